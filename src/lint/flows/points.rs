//! Where a dimension is cut: the points at which one of some ranges begins, or the one after one ends.
//!
//! Between two neighbouring points nothing changes, so a point stands for all up to the next.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::flow::PortRange;
use crate::policy::{AddressRange, PathPattern};

/// The points of `within` at which `others` cut it, each with the last port of its interval; ascending.
pub(super) fn port_intervals(within: &[PortRange], others: impl IntoIterator<Item = PortRange>) -> Vec<(u16, u16)> {
    let mut starts: Vec<u16> = within.iter().map(|range| range.first()).collect();
    for other in others {
        starts.push(other.first());
        starts.extend(other.last().checked_add(1));
    }
    starts.sort_unstable();
    starts.dedup();
    let last = |at: usize| starts.get(at + 1).map_or(u16::MAX, |next| next - 1);
    let intervals = starts.iter().enumerate().map(|(at, start)| (*start, last(at)));
    let inside = |port: u16| within.iter().find(|range| range.contains(port));
    let intervals = intervals.filter_map(|(start, last)| Some((start, last.min(inside(start)?.last()))));
    // `*` holds the port 0, for the sake of protocols without ports: where there are ports, there is no such port.
    let has_ports = within.iter().any(|range| range.last() > 0);
    intervals
        .filter(|(_, last)| *last > 0 || !has_ports)
        .map(|(first, last)| (first.max(has_ports.into()), last))
        .collect()
}

/// Intervals as of [`port_intervals`], each with those of `there` that hold it.
pub(super) fn port_cells<T: Copy + Ord>(
    within: PortRange,
    there: &[(T, Vec<PortRange>)],
    cuts: impl Iterator<Item = PortRange>,
) -> Vec<((u16, u16), Vec<T>)> {
    let ranges = || there.iter().flat_map(|(who, ranges)| ranges.iter().map(move |range| (*who, *range)));
    let begins = ranges().map(|(who, range)| (u32::from(range.first()), true, who));
    let ends = ranges().map(|(who, range)| (u32::from(range.last()) + 1, false, who));
    let mut turns: Vec<(u32, bool, T)> = begins.chain(ends).collect();
    turns.sort_unstable();
    let mut turns = turns.into_iter().peekable();
    let mut here = BTreeSet::new();
    let cells = port_intervals(&[within], ranges().map(|(_, range)| range).chain(cuts)).into_iter().map(|ports| {
        while let Some((_, begins, who)) = turns.next_if(|(at, _, _)| *at <= u32::from(ports.0)) {
            let _ = if begins { here.insert(who) } else { here.remove(&who) };
        }
        (ports, here.iter().copied().collect())
    });
    cells.collect()
}

/// A port of the interval that people know.
pub(super) fn well_known(first: u16, last: u16) -> u16 {
    let known = [443, 80, 1433, 22, 53];
    known.into_iter().find(|port| (first..=last).contains(port)).unwrap_or(first)
}

/// The same for addresses: intervals of `within`, cut by `others`.
pub(super) fn address_intervals(
    within: &[AddressRange],
    others: impl IntoIterator<Item = AddressRange>,
) -> Vec<AddressRange> {
    let mut starts: Vec<IpAddr> = within.iter().map(|range| range.first()).collect();
    starts.extend(within.iter().filter_map(|range| after(range.last())));
    for other in others {
        starts.push(other.first());
        starts.extend(after(other.last()));
    }
    starts.sort_unstable();
    starts.dedup();
    let last = |at: usize| starts.get(at + 1).and_then(|next| before(*next));
    let intervals = starts.iter().enumerate().filter_map(|(at, start)| {
        let mut inside = within.iter().filter(|range| range.contains(*start)).map(|range| range.last());
        let end = inside.next()?;
        let next = last(at).filter(|last| last.is_ipv4() == start.is_ipv4());
        AddressRange::between(*start, next.map_or(end, |next| next.min(end)))
    });
    intervals.collect()
}

pub(super) fn after(addr: IpAddr) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(addr) => u32::from(addr).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(addr) => u128::from(addr).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}

fn before(addr: IpAddr) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(addr) => u32::from(addr).checked_sub(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(addr) => u128::from(addr).checked_sub(1).map(|next| IpAddr::V6(next.into())),
    }
}

/// Joins ranges that overlap or touch; ascending.
pub(super) fn joined(mut ranges: Vec<AddressRange>) -> Vec<AddressRange> {
    ranges.sort_unstable_by_key(|range| (range.first(), range.last()));
    let mut all: Vec<AddressRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let touches = |last: &AddressRange| {
            last.contains(range.first()) || after(last.last()).is_some_and(|next| next == range.first())
        };
        match all.last_mut().filter(|last| touches(last)) {
            Some(last) => {
                let end = last.last().max(range.last());
                *last = AddressRange::between(last.first(), end).unwrap_or(range);
            }
            None => all.push(range),
        }
    }
    all
}

/// The second address of a range reads better than the first, which is a network's own name.
pub(super) fn inside(range: AddressRange) -> IpAddr {
    after(range.first()).filter(|second| range.contains(*second)).unwrap_or(range.first())
}

/// A path, and which paths it stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PathCell {
    pub(super) path: String,
    /// As target URLs write it.
    pub(super) shown: String,
}

/// Which the policy refuses where a rule looks at paths.
pub(super) fn ambiguous_path() -> PathCell {
    PathCell { path: "/a/../b".to_owned(), shown: "/…/../…".to_owned() }
}

/// A path for each way in which the patterns can match one.
pub(super) fn paths<'a>(patterns: impl Iterator<Item = &'a PathPattern>) -> Vec<PathCell> {
    let patterns: Vec<&PathPattern> = patterns.collect();
    let cell = |path: String, shown: &str| PathCell { path, shown: shown.to_owned() };
    let mut paths = vec![cell("/".to_owned(), "/"), cell(fresh("/", &patterns), "/*")];
    for pattern in &patterns {
        match pattern {
            PathPattern::Any => {}
            PathPattern::Exact(exact) => {
                let with_slash = format!("{exact}/");
                paths.push(cell(with_slash.clone(), &with_slash));
                paths.push(cell((**exact).to_owned(), exact));
            }
            PathPattern::Prefix(prefix) => {
                paths.push(cell((**prefix).to_owned(), prefix));
                paths.push(cell(fresh(prefix, &patterns), &format!("{prefix}*")));
            }
        }
    }
    paths.retain(|cell| !cell.path.is_empty());
    paths.sort_unstable();
    paths.dedup_by(|a, b| a.path == b.path);
    paths
}

/// A path that begins so, and with nothing longer that a pattern names.
fn fresh(prefix: &str, patterns: &[&PathPattern]) -> String {
    let letters = "x0abcdefghijklmnopqrstuvwyz123456789-_~";
    let single = letters.chars().map(|letter| format!("{prefix}{letter}"));
    let double = letters.chars().flat_map(|a| letters.chars().map(move |b| [a, b].iter().collect::<String>()));
    let mut all = single.chain(double.map(|letters| format!("{prefix}{letters}")));
    let is_longer = |path: &str, pattern: &PathPattern| match pattern {
        PathPattern::Any => false,
        PathPattern::Exact(_) => pattern.matches(path),
        PathPattern::Prefix(other) => other.len() > prefix.len() && pattern.matches(path),
    };
    let found = all.find(|path| !patterns.iter().any(|pattern| is_longer(path, pattern)));
    found.unwrap_or_else(|| format!("{prefix}a-path-of-its-own"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::UrlPattern;

    #[test]
    fn ports() {
        let ranges = |text: &str| text.split(',').map(|t| t.parse().unwrap()).collect::<Vec<PortRange>>();
        assert_eq!(port_intervals(&ranges("10-20"), ranges("15,18-30")), [(10, 14), (15, 15), (16, 17), (18, 20)]);
        assert_eq!(port_intervals(&ranges("*"), []), [(1, 65535)]);
        assert_eq!((well_known(1, 65535), well_known(1, 9), well_known(0, 0)), (443, 1, 0));
    }

    #[test]
    fn addresses() {
        let ranges = |text: &str| text.split(',').map(|t| t.parse().unwrap()).collect::<Vec<AddressRange>>();
        let shown = |ranges: Vec<AddressRange>| ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let cut = address_intervals(&ranges("10.0.0.0/8,::/0"), ranges("10.1.0.0/16,2001:db8::/32"));
        assert_eq!(cut.len(), 6);
        assert_eq!(shown(joined(cut)), "10.0.0.0/8 ::/0");
        assert_eq!(shown(joined(ranges("10.0.0.0/9,10.128.0.0/9,10.1.2.3,192.0.2.1"))), "10.0.0.0/8 192.0.2.1");
    }

    #[test]
    fn every_way_to_match_a_path() {
        let patterns = ["a.test/x", "a.test/x/*", "a.test/xx*"].map(|text| UrlPattern::parse(text).unwrap().path);
        let paths: Vec<String> = paths(patterns.iter()).into_iter().map(|cell| cell.path).collect();
        assert_eq!(paths, ["/", "/0", "/x", "/x/", "/x/x", "/xx", "/xxx"]);
    }
}
