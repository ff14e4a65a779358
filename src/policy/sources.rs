//! Which of the rules that match otherwise is the first whose sources hold the client.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use super::address::AddressSet;

/// The first rule, for any client and for each prefix that rules name.
#[derive(Debug, Default)]
pub(super) struct FirstBySource {
    any: Option<u32>,
    specific: Option<Box<Prefixes>>,
}

#[derive(Debug, Default)]
struct Prefixes {
    v4: PrefixMap<Ipv4Net, u32>,
    v6: PrefixMap<Ipv6Net, u32>,
}

impl FirstBySource {
    /// `rules` in the order of evaluation, each with its sources. What comes after a rule for everybody can
    /// never win and is left out.
    pub(super) fn build<'a>(rules: impl IntoIterator<Item = (u32, &'a AddressSet)>) -> Self {
        let mut first = FirstBySource::default();
        for (rule, sources) in rules {
            if sources.has_empty_group() {
                continue;
            }
            if sources.is_any() {
                first.any = Some(rule);
                break;
            }
            for net in sources.ranges().flat_map(|range| range.nets()) {
                first.specific.get_or_insert_default().insert(net, rule);
            }
        }
        if let Some(prefixes) = &mut first.specific {
            prefixes.push_down();
        }
        first
    }

    pub(super) fn get(&self, client: Option<IpAddr>) -> Option<u32> {
        let specific = match (&self.specific, client) {
            (Some(prefixes), Some(client)) => prefixes.get(client),
            _ => None,
        };
        min(specific, self.any)
    }
}

/// The earlier of two rules, where there are any.
pub(super) fn min(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl Prefixes {
    fn insert(&mut self, net: IpNet, rule: u32) {
        match net {
            IpNet::V4(net) => {
                self.v4.entry(net).or_insert(rule);
            }
            IpNet::V6(net) => {
                self.v6.entry(net).or_insert(rule);
            }
        }
    }

    /// Gives each prefix the first rule of all prefixes that cover it, so that the longest match answers.
    fn push_down(&mut self) {
        push_down(&mut self.v4);
        push_down(&mut self.v6);
    }

    fn get(&self, client: IpAddr) -> Option<u32> {
        match client {
            IpAddr::V4(addr) => self.v4.get_lpm(&Ipv4Net::from(addr)).map(|(_, rule)| *rule),
            IpAddr::V6(addr) => self.v6.get_lpm(&Ipv6Net::from(addr)).map(|(_, rule)| *rule),
        }
    }
}

fn push_down<P: prefix_trie::Prefix + Copy>(map: &mut PrefixMap<P, u32>) {
    let first_cover = |net: &P| map.cover(net).map(|(_, rule)| *rule).min().unwrap_or(u32::MAX);
    *map = map.iter().map(|(net, _)| (*net, first_cover(net))).collect();
}
