//! One address for each way in which ranges can hold an address.
//!
//! The boundaries of all ranges cut the addresses into intervals. Inside one the policy can still tell addresses apart
//! by their class (loopback, private, …), so the classes' boundaries cut too, and an IPv6 interval has one address
//! for each class that an embedded IPv4 address can give it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::flow::AddrClass;
use crate::policy::AddressRange;

/// Addresses `first..=last` that nothing tells apart but their class, and of this class one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AddressCell {
    pub(super) first: IpAddr,
    pub(super) last: IpAddr,
    pub(super) addr: IpAddr,
    pub(super) class: AddrClass,
}

/// Calls `found` for each cell with those of `ranges` that hold it, in the order in which they were given.
pub(super) fn address_cells(ranges: &[(AddressRange, u32)], mut found: impl FnMut(AddressCell, &[u32])) {
    for family in [Family::V4, Family::V6] {
        let mut events: BTreeMap<u128, Vec<(u32, i32)>> = BTreeMap::new();
        for cut in family.cuts() {
            events.entry(cut).or_default();
        }
        for (range, who) in ranges.iter().filter(|(range, _)| range.first().is_ipv4() == (family == Family::V4)) {
            events.entry(number(range.first())).or_default().push((*who, 1));
            if let Some(after) = number(range.last()).checked_add(1) {
                events.entry(after).or_default().push((*who, -1));
            }
        }
        sweep(family, &events, &mut found);
    }
}

fn sweep(family: Family, events: &BTreeMap<u128, Vec<(u32, i32)>>, found: &mut impl FnMut(AddressCell, &[u32])) {
    let mut open: BTreeMap<u32, i32> = BTreeMap::new();
    let mut here: Vec<u32> = Vec::new();
    let mut starts = events.iter().peekable();
    while let Some((start, changes)) = starts.next() {
        for (who, change) in changes {
            let count = open.entry(*who).or_insert(0);
            *count += change;
            if *count == 0 {
                open.remove(who);
            }
        }
        if !changes.is_empty() {
            here = open.keys().copied().collect();
        }
        let last = starts.peek().map_or(family.last(), |(next, _)| **next - 1);
        if *start <= family.last() {
            family.cells(*start, last).into_iter().for_each(|cell| found(cell, &here));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(u32::from(addr)),
        IpAddr::V6(addr) => u128::from(addr),
    }
}

impl Family {
    fn last(self) -> u128 {
        match self {
            Family::V4 => u128::from(u32::MAX),
            Family::V6 => u128::MAX,
        }
    }

    fn addr(self, number: u128) -> IpAddr {
        match self {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(number)),
        }
    }

    fn cuts(self) -> BTreeSet<u128> {
        let v4 = V4_CLASSES.iter().map(|first| u128::from(u32::from(*first)));
        match self {
            Family::V4 => v4.collect(),
            Family::V6 => {
                let embedded =
                    EMBEDDING.iter().flat_map(|(prefix, shift)| v4.clone().map(move |v4| prefix | (v4 << shift)));
                let after = EMBEDDING.iter().filter_map(|(prefix, shift)| prefix.checked_add(1 << (32 + shift)));
                let own = V6_CLASSES.iter().map(|first| u128::from(*first));
                embedded.chain(after).chain(own).chain([0]).collect()
            }
        }
    }

    fn cells(self, first: u128, last: u128) -> Vec<AddressCell> {
        let mut cells: Vec<AddressCell> = Vec::new();
        for addr in self.samples(first, last) {
            let addr = self.addr(addr);
            let class = AddrClass::of(addr);
            // What is mapped is IPv4 by the time that it is judged.
            if addr.to_canonical() == addr && !cells.iter().any(|cell| cell.class == class) {
                cells.push(AddressCell { first: self.addr(first), last: self.addr(last), addr, class });
            }
        }
        cells
    }

    /// The second address of an interval reads better than the first, which is a network's own name.
    fn samples(self, first: u128, last: u128) -> Vec<u128> {
        let plain = vec![last.min(first + u128::from(first != last)), first];
        if self == Family::V4 {
            return plain;
        }
        let networks = [first >> 64, (first >> 64).saturating_add(1) & u128::from(u64::MAX), last >> 64];
        let low = V4_CLASSES.iter().map(|v4| u128::from(u32::from(*v4)));
        let isatap = low.clone().map(|v4| (0x5efe << 32) | v4);
        let teredo = low.map(|v4| v4 ^ u128::from(u32::MAX));
        let hosts: Vec<u128> = isatap.chain(teredo).collect();
        let embedded = networks.iter().flat_map(|network| hosts.iter().map(move |host| (network << 64) | host));
        plain.into_iter().chain(embedded.filter(|addr| (first..=last).contains(addr))).collect()
    }
}

/// Where IPv4 changes its class.
const V4_CLASSES: [Ipv4Addr; 24] = {
    const fn at(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
        Ipv4Addr::new(a, b, c, d)
    }
    [
        at(0, 0, 0, 0),
        at(1, 0, 0, 0),
        at(10, 0, 0, 0),
        at(11, 0, 0, 0),
        at(100, 64, 0, 0),
        at(100, 128, 0, 0),
        at(127, 0, 0, 0),
        at(128, 0, 0, 0),
        at(168, 63, 129, 16),
        at(168, 63, 129, 17),
        at(169, 254, 0, 0),
        at(169, 254, 169, 254),
        at(169, 254, 169, 255),
        at(169, 255, 0, 0),
        at(172, 16, 0, 0),
        at(172, 32, 0, 0),
        at(192, 0, 0, 0),
        at(192, 0, 1, 0),
        at(192, 168, 0, 0),
        at(192, 169, 0, 0),
        at(198, 18, 0, 0),
        at(198, 20, 0, 0),
        at(224, 0, 0, 0),
        at(240, 0, 0, 0),
    ]
};

/// Prefixes that carry an IPv4 address, with the bits that follow it: compatible, mapped, SIIT, NAT64, 6to4.
const EMBEDDING: [(u128, u32); 5] =
    [(0, 0), (0xffff << 32, 0), (0xffff << 48, 0), (0x0064_ff9b << 96, 0), (0x2002 << 112, 80)];

/// Where IPv6 changes its class.
const V6_CLASSES: [Ipv6Addr; 15] = {
    const fn at(a: u16, b: u16, c: u16, h: u16) -> Ipv6Addr {
        Ipv6Addr::new(a, b, c, 0, 0, 0, 0, h)
    }
    [
        at(0, 0, 0, 1),
        at(0, 0, 0, 2),
        at(1, 0, 0, 0),
        at(0x64, 0xff9b, 0, 0),
        at(0x64, 0xff9c, 0, 0),
        at(0x2001, 0, 0, 0),
        at(0x2001, 1, 0, 0),
        at(0xfc00, 0, 0, 0),
        at(0xfd00, 0xec2, 0, 0x254),
        at(0xfd00, 0xec2, 0, 0x255),
        at(0xfe00, 0, 0, 0),
        at(0xfe80, 0, 0, 0),
        at(0xfec0, 0, 0, 0),
        at(0xff00, 0, 0, 0),
        at(0x2003, 0, 0, 0),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_are_cut_where_they_change() {
        let mut cells = Vec::new();
        address_cells(&[], |cell, _| cells.push(cell));
        for cell in cells.iter().filter(|cell| cell.first.is_ipv4()) {
            assert_eq!(AddrClass::of(cell.first), AddrClass::of(cell.last), "{cell:?}");
        }
        let kinds = |v4: bool| {
            let mine = cells.iter().filter(|cell| cell.first.is_ipv4() == v4);
            mine.map(|cell| cell.class.as_str()).collect::<BTreeSet<_>>().len()
        };
        assert_eq!((kinds(true), kinds(false)), (9, 9));
    }

    #[test]
    fn ranges_cut() {
        let ranges: Vec<(AddressRange, u32)> =
            ["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"].iter().map(|text| text.parse().unwrap()).zip(0..).collect();
        let mut found = Vec::new();
        address_cells(&ranges, |cell, here| {
            if !here.is_empty() {
                found.push(format!("{}-{} {here:?} {}", cell.first, cell.last, cell.class.as_str()));
            }
        });
        assert_eq!(
            found[..4].join("\n"),
            "10.0.0.0-10.0.255.255 [0] private\n10.1.0.0-10.1.255.255 [0, 1] private\n10.2.0.0-10.255.255.255 [0] private\n2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff [2] global"
        );
        assert!(found.iter().any(|line| line.ends_with("[2] loopback")));
    }
}
