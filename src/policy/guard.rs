//! The guard against internal addresses: what a permitted name or a wide rule must not lead to.

use std::net::IpAddr;

use hashbrown::HashMap;

use crate::flow::AddrClass;

use super::address::{AddressRange, AddressSet};
use super::order::AnyRule;

/// What becomes of private addresses (RFC 1918, RFC 6598, fc00::/7, 198.18.0.0/15) behind a permitted flow.
/// Loopback, link-local, metadata, multicast and reserved addresses are refused whatever it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PrivateAddresses {
    #[default]
    Allow,
    /// Only where a network rule names such an address itself.
    Deny,
}

impl PrivateAddresses {
    pub(super) fn guards(self, addr: IpAddr) -> bool {
        match AddrClass::of(addr) {
            AddrClass::Global => false,
            AddrClass::Private | AddrClass::Benchmark => self == PrivateAddresses::Deny,
            _ => true,
        }
    }
}

/// Does the rule name this address itself, and not only in passing with a range that spans half the world?
pub(super) fn names_itself(rule: AnyRule<'_>, addr: IpAddr) -> bool {
    let AnyRule::Network(_, rule) = rule else { return false };
    internal_ranges(&rule.destinations).any(|range| is_named_by(range, addr))
}

fn internal_ranges(destinations: &AddressSet) -> impl Iterator<Item = AddressRange> + '_ {
    destinations.ranges().filter(|range| {
        let class = AddrClass::of(range.first());
        class != AddrClass::Global && class == AddrClass::of(range.last())
    })
}

fn is_named_by(range: AddressRange, addr: IpAddr) -> bool {
    range.contains(addr) && AddrClass::of(range.first()) == AddrClass::of(addr)
}

/// The guard of a compiled policy.
pub(super) struct Guard {
    private: PrivateAddresses,
    /// By rule: the internal ranges that it names itself.
    named: HashMap<u32, Vec<AddressRange>, foldhash::fast::FixedState>,
}

impl Guard {
    pub(super) fn build<'a>(private: PrivateAddresses, rules: impl Iterator<Item = (u32, AnyRule<'a>)>) -> Guard {
        let named = rules.filter_map(|(number, rule)| {
            let AnyRule::Network(_, rule) = rule else { return None };
            let ranges: Vec<AddressRange> = internal_ranges(&rule.destinations).collect();
            (!ranges.is_empty()).then_some((number, ranges))
        });
        Guard { private, named: named.collect() }
    }

    pub(super) fn refuses(&self, rule: u32, addr: IpAddr) -> bool {
        let named = || self.named.get(&rule).is_some_and(|ranges| ranges.iter().any(|r| is_named_by(*r, addr)));
        self.private.guards(addr) && !named()
    }
}
