//! For rules that agree on protocol and destination: the first one that has the port and the client.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::flow::PortSet;

use super::address::AddressSet;
use super::sources::FirstBySource;

/// What a port table is made from: rules in the order of evaluation.
pub(super) struct PortRule<'a> {
    pub(super) rule: u32,
    pub(super) ports: &'a PortSet,
    pub(super) sources: &'a AddressSet,
}

/// Entries that the pieces of one table may hold together. Thousands of rules with overlapping port ranges, each
/// for another client, would need their square: such a table is walked instead.
const MAX_ENTRIES: usize = 1 << 20;

pub(super) enum PortTable {
    Pieces(Pieces),
    Walk(Vec<Walked>),
}

/// The port space, cut where any rule's ports begin or end.
pub(super) struct Pieces {
    /// The first port of each piece, ascending, beginning with 0.
    starts: Vec<u16>,
    first: Vec<FirstBySource>,
}

pub(super) struct Walked {
    rule: u32,
    ports: PortSet,
    sources: AddressSet,
}

impl PortTable {
    pub(super) fn build(rules: &[PortRule<'_>]) -> PortTable {
        PortTable::build_within(rules, MAX_ENTRIES)
    }

    fn build_within(rules: &[PortRule<'_>], max_entries: usize) -> PortTable {
        Pieces::build(rules, max_entries).map_or_else(|| PortTable::walk(rules), PortTable::Pieces)
    }

    fn walk(rules: &[PortRule<'_>]) -> PortTable {
        let kept = rules.iter().filter(|rule| !rule.sources.has_empty_group());
        let own =
            |rule: &PortRule<'_>| Walked { rule: rule.rule, ports: rule.ports.clone(), sources: rule.sources.clone() };
        PortTable::Walk(kept.map(own).collect())
    }

    pub(super) fn get(&self, port: u16, client: Option<IpAddr>) -> Option<u32> {
        match self {
            PortTable::Pieces(pieces) => pieces.get(port, client),
            PortTable::Walk(rules) => rules.iter().find(|rule| rule.matches(port, client)).map(|rule| rule.rule),
        }
    }
}

impl Walked {
    fn matches(&self, port: u16, client: Option<IpAddr>) -> bool {
        self.ports.contains(port) && client.map_or(self.sources.is_any(), |addr| self.sources.contains(addr))
    }
}

impl Pieces {
    /// None where more than `max_entries` would be needed.
    fn build(rules: &[PortRule<'_>], max_entries: usize) -> Option<Pieces> {
        let mut turns: BTreeMap<u16, Vec<(usize, bool)>> = BTreeMap::from([(0, Vec::new())]);
        for (at, range) in rules.iter().enumerate().flat_map(|(at, r)| r.ports.ranges().iter().map(move |p| (at, p))) {
            turns.entry(range.first()).or_default().push((at, true));
            if let Some(after) = range.last().checked_add(1) {
                turns.entry(after).or_default().push((at, false));
            }
        }
        let mut pieces = Pieces { starts: Vec::with_capacity(turns.len()), first: Vec::with_capacity(turns.len()) };
        let mut here = BTreeSet::new();
        let mut entries = 0;
        for (start, changes) in turns {
            for (at, begins) in changes {
                if begins {
                    here.insert(at)
                } else {
                    here.remove(&at)
                };
            }
            entries += entries_until_any(rules, &here);
            if entries > max_entries {
                return None;
            }
            pieces.starts.push(start);
            let ordered = here.iter().map(|at| (rules[*at].rule, rules[*at].sources));
            pieces.first.push(FirstBySource::build(ordered));
        }
        Some(pieces)
    }

    fn get(&self, port: u16, client: Option<IpAddr>) -> Option<u32> {
        let piece = self.starts.partition_point(|start| *start <= port) - 1;
        self.first[piece].get(client)
    }
}

fn entries_until_any(rules: &[PortRule<'_>], here: &BTreeSet<usize>) -> usize {
    here.iter().take_while(|at| !rules[**at].sources.is_any()).map(|at| rules[*at].sources.ranges().count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_walk_agree() {
        let ports = |text: &str| text.split(',').map(|t| t.parse().unwrap()).collect::<PortSet>();
        let sources = |text: &str| {
            let mut set = AddressSet::default();
            set.insert_text(text).unwrap();
            set
        };
        let given = [
            (ports("80,443"), sources("10.0.0.0/8")),
            (ports("400-500"), sources("10.1.0.0/16")),
            (ports("*"), sources("10.1.2.3")),
            (ports("443"), sources("*")),
            (ports("1-1000"), sources("192.168.0.0/16")),
        ];
        let numbered = given.iter().zip(0..);
        let rules: Vec<_> = numbered.map(|((ports, sources), rule)| PortRule { rule, ports, sources }).collect();
        let pieces = PortTable::build_within(&rules, 100);
        let walk = PortTable::build_within(&rules, 1);
        assert!(matches!(pieces, PortTable::Pieces(_)) && matches!(walk, PortTable::Walk(_)));
        let clients = ["10.1.2.3", "10.1.0.1", "10.9.9.9", "192.168.1.1", "1.1.1.1", "::1"];
        let clients = clients.map(|c| Some(c.parse().unwrap())).into_iter().chain([None]);
        for client in clients {
            for port in [0, 1, 79, 80, 81, 400, 443, 500, 501, 1000, 1001, 65535] {
                assert_eq!(pieces.get(port, client), walk.get(port, client), "{client:?} {port}");
            }
        }
        assert_eq!(pieces.get(443, Some("10.1.2.3".parse().unwrap())), Some(0));
        assert_eq!(pieces.get(443, None), Some(3));
    }
}
