//! The way on from a firewall: its own subnet has routes too.

use std::net::IpAddr;

use crate::vnet::{Firewall, Gateway, Hop, Selection};

use super::Patient;
use super::ways::{self, Ways};

/// A firewall of the topology, with its subnet in place of the environment's.
pub(super) fn behind<'a>(patient: &Patient<'a>, appliance: IpAddr) -> Option<(&'a Firewall, Patient<'a>)> {
    let firewall = patient.network.topology().firewall_at(appliance)?;
    let place = patient.network.place(&firewall.virtual_network, &firewall.subnet)?;
    Some((firewall, Patient { place, ..*patient }))
}

/// The one that the default route leads to.
pub(super) fn behind_default<'a>(patient: &Patient<'a>) -> Option<(&'a Firewall, Patient<'a>)> {
    let Hop::VirtualAppliance(address) = Ways::of(patient).outside()?.route.next_hop else { return None };
    behind(patient, address)
}

/// The gateway that what leaves is forced through, at once or by the firewall, and the route that leads there.
pub(super) fn forced<'a>(patient: &Patient<'a>) -> Option<(Selection<'a>, &'a Gateway)> {
    let at_once = |patient: &Patient<'a>| {
        let way = Ways::of(patient).outside().filter(|way| way.route.next_hop == Hop::VirtualNetworkGateway)?;
        Some((way, ways::gateway(patient)?))
    };
    at_once(patient).or_else(|| at_once(&behind_default(patient)?.1))
}

/// The public addresses that an appliance sends by what is for an address; empty where nobody knows.
pub(super) fn leaves_by(patient: &Patient<'_>, appliance: IpAddr, to: IpAddr) -> Vec<IpAddr> {
    let Some(firewall) = patient.network.topology().firewall_at(appliance) else {
        return patient.network.interface_of(appliance).map(|it| it.public_addresses.clone()).unwrap_or_default();
    };
    let there = behind(patient, appliance).map(|(_, there)| there);
    let is_forced = |there: &Patient<'_>| {
        Ways::of(there).to(to).is_some_and(|way| way.route.next_hop == Hop::VirtualNetworkGateway)
    };
    match there.filter(is_forced).and_then(|there| ways::gateway(&there)) {
        Some(gateway) => gateway.egress_addresses.clone(),
        None => firewall.public_addresses.clone(),
    }
}
