//! Sets of addresses as sorted ranges, for questions that ask of many addresses at once.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::AddressRange;

/// Ranges in order of their addresses, IPv4 before IPv6, that neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<AddressRange>);

impl Ranges {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let after = self.0.partition_point(|range| range.first() <= address);
        after > 0 && self.0[after - 1].contains(address)
    }

    pub fn as_slice(&self) -> &[AddressRange] {
        &self.0
    }

    /// What of a range is in the set, in order.
    pub(super) fn within(&self, range: AddressRange) -> impl Iterator<Item = AddressRange> + '_ {
        let first = self.0.partition_point(|it| it.last() < range.first());
        let overlapping = self.0[first..].iter().take_while(move |it| it.first() <= range.last());
        overlapping.filter_map(move |it| overlap(*it, range))
    }

    /// What of a range is not in the set, in order.
    pub(super) fn outside_of(&self, range: AddressRange) -> Vec<AddressRange> {
        let mut rest = Vec::new();
        let mut from = Some(range.first());
        for taken in self.within(range) {
            let until = before(taken.first());
            rest.extend(from.zip(until).and_then(|(from, until)| AddressRange::between(from, until)));
            from = after(taken.last());
        }
        rest.extend(from.and_then(|from| AddressRange::between(from, range.last())));
        rest
    }

    /// What of this set is not in the other.
    pub fn minus(&self, other: &Ranges) -> Ranges {
        self.0.iter().flat_map(|range| other.outside_of(*range)).collect()
    }
}

impl FromIterator<AddressRange> for Ranges {
    fn from_iter<I: IntoIterator<Item = AddressRange>>(ranges: I) -> Ranges {
        let mut sorted: Vec<AddressRange> = ranges.into_iter().collect();
        sorted.sort_unstable_by_key(|range| (range.first(), range.last()));
        let mut merged: Vec<AddressRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut().and_then(|last| joined(*last, range).map(|joined| (last, joined))) {
                Some((last, joined)) => *last = joined,
                None => merged.push(range),
            }
        }
        Ranges(merged)
    }
}

impl FromIterator<IpNet> for Ranges {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Ranges {
        nets.into_iter().map(range_of).collect()
    }
}

pub(super) fn range_of(net: IpNet) -> AddressRange {
    AddressRange::between(net.network(), net.broadcast()).expect("a network ends behind its beginning")
}

pub(super) fn overlap(one: AddressRange, other: AddressRange) -> Option<AddressRange> {
    AddressRange::between(one.first().max(other.first()), one.last().min(other.last()))
}

/// One range of two that overlap or touch; `next` does not begin before `range`.
fn joined(range: AddressRange, next: AddressRange) -> Option<AddressRange> {
    let touches = range.contains(next.first()) || after(range.last()) == Some(next.first());
    AddressRange::between(range.first(), range.last().max(next.last())).filter(|_| touches)
}

/// None at the end of the family.
pub(crate) fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

/// None at the beginning of the family.
pub(super) fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_sub(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_sub(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

/// Cuts a range where the addresses say that something new begins.
pub(super) fn cut(range: AddressRange, begins: impl IntoIterator<Item = IpAddr>) -> Vec<AddressRange> {
    let mut begins: Vec<IpAddr> = begins.into_iter().filter(|it| range.contains(*it)).collect();
    begins.push(range.first());
    begins.sort_unstable();
    begins.dedup();
    let ends = begins.iter().skip(1).filter_map(|begin| before(*begin)).chain([range.last()]);
    begins.iter().zip(ends).filter_map(|(first, last)| AddressRange::between(*first, last)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(texts: &[&str]) -> Ranges {
        texts.iter().map(|text| text.parse::<AddressRange>().unwrap()).collect()
    }

    fn shown(ranges: &[AddressRange]) -> Vec<String> {
        ranges.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ranges_are_joined_where_they_overlap_or_touch() {
        let joined = set(&["::1", "10.0.1.0/24", "10.0.0.0/24", "10.0.0.7", "10.0.3.0/24", "255.255.255.255", "::"]);
        assert_eq!(shown(joined.as_slice()), ["10.0.0.0/23", "10.0.3.0/24", "255.255.255.255", "::/127"]);
        assert!(joined.contains("10.0.1.255".parse().unwrap()) && !joined.contains("10.0.2.0".parse().unwrap()));
        assert!(!joined.contains("::ffff:10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_range_is_split_into_what_is_in_and_what_is_not() {
        let taken = set(&["10.0.0.0/30", "10.0.0.8", "0.0.0.0/8", "fe80::/10"]);
        let range = "10.0.0.2-10.0.0.9".parse().unwrap();
        assert_eq!(shown(&taken.within(range).collect::<Vec<_>>()), ["10.0.0.2/31", "10.0.0.8"]);
        assert_eq!(shown(&taken.outside_of(range)), ["10.0.0.4/30", "10.0.0.9"]);
        assert_eq!(shown(set(&["0.0.0.0/0"]).minus(&set(&["128.0.0.0/1"])).as_slice()), ["0.0.0.0/1"]);
        assert!(set(&["10.0.0.0/8"]).outside_of("10.1.0.0/16".parse().unwrap()).is_empty());
    }

    fn small() -> impl Strategy<Value = Vec<(u8, u8)>> {
        proptest::collection::vec((any::<u8>(), any::<u8>()), 0..8)
    }

    fn ranges(pairs: &[(u8, u8)]) -> Vec<AddressRange> {
        let address = |low: u8| IpAddr::from([10, 0, 0, low]);
        pairs.iter().filter_map(|(one, other)| AddressRange::between(address(*one), address(*other))).collect()
    }

    proptest! {
        #[test]
        fn sets_hold_what_their_ranges_hold(pairs in small(), others in small()) {
            let (one, other) = (ranges(&pairs), ranges(&others));
            let (set, minus) = (one.iter().copied().collect::<Ranges>(), other.iter().copied().collect::<Ranges>());
            let less = set.minus(&minus);
            for low in 0..=u8::MAX {
                let address = IpAddr::from([10, 0, 0, low]);
                let in_one = one.iter().any(|range| range.contains(address));
                let in_other = other.iter().any(|range| range.contains(address));
                prop_assert_eq!(set.contains(address), in_one);
                prop_assert_eq!(less.contains(address), in_one && !in_other);
            }
        }
    }
}
