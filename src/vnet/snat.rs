//! Whose address a destination behind a firewall sees. What Egret's own gateway does is another matter, of
//! `gateway.snat`.

use std::net::IpAddr;

use crate::flow::{AddrClass, Reason};
use crate::policy::{AddressRange, Policy};

use super::topology::Firewall;

/// Where the policy names no private ranges: RFC 1918, RFC 6598, and their likes of IPv6 (azure-docs,
/// snat-private-range.md, 2023; deploy-dual-stack-firewall.md, 2026).
const USUAL: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

/// Does the destination see who really asks? Of flows by network rules it does where it is private. Connections by
/// application rules end at the firewall, and what comes in by a DNAT rule is translated on both sides.
pub(super) fn keeps_source(policy: &Policy, reason: Reason, destination: IpAddr) -> bool {
    reason == Reason::NetworkRule && is_private(policy, destination)
}

fn is_private(policy: &Policy, destination: IpAddr) -> bool {
    let said = policy.rules().policies.iter().find_map(|it| it.settings.snat.private_ranges.as_deref());
    let usual = |text: &str| text.parse::<AddressRange>().is_ok_and(|range| range.contains(destination));
    match said {
        Some(ranges) => ranges.iter().any(|range| range.contains(destination)),
        None => USUAL.iter().copied().any(usual),
    }
}

impl Firewall {
    /// The address that a destination sees of what it translates, where that is known. Of its instances' addresses the
    /// one is taken that routes name.
    pub(super) fn towards(&self, destination: IpAddr) -> Option<IpAddr> {
        let public = self.public_addresses.first().copied();
        match AddrClass::of(destination) {
            AddrClass::Global => public,
            _ => self.private_address.or(public),
        }
    }
}
