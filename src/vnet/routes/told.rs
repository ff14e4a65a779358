//! Effective routes that were read of a real machine do not tell the other end of a peering, nor the service of an
//! endpoint. Both follow from the prefixes, as far as the topology and the service tags know them.

use std::cmp::Reverse;
use std::collections::HashSet;

use ipnet::IpNet;

use super::super::network::{Network, Place};
use super::effective::SERVICES;
use super::{EffectiveRoute, Hop};

/// The same routes of a subnet, with the names that can be found.
pub(in super::super) fn named(network: &Network, place: Place, routes: Vec<EffectiveRoute>) -> Vec<EffectiveRoute> {
    routes.into_iter().map(|route| EffectiveRoute { next_hop: hop(network, place, &route), ..route }).collect()
}

fn hop(network: &Network, place: Place, route: &EffectiveRoute) -> Hop {
    let peer = || peer(network, place, &route.prefixes).unwrap_or_default();
    match &route.next_hop {
        Hop::VnetPeering(name) if name.is_empty() => Hop::VnetPeering(peer()),
        Hop::VnetGlobalPeering(name) if name.is_empty() => Hop::VnetGlobalPeering(peer()),
        Hop::VirtualNetworkServiceEndpoint(name) if name.is_empty() => {
            Hop::VirtualNetworkServiceEndpoint(service(network, place, &route.prefixes).unwrap_or_default())
        }
        told => told.clone(),
    }
}

/// Whose address space holds the prefixes.
fn peer(network: &Network, place: Place, prefixes: &[IpNet]) -> Option<String> {
    let first = prefixes.first()?;
    let peerings = network.virtual_network(place).peerings.iter();
    let mut leads = peerings.filter(|it| network.remote_space(it).iter().any(|net| net.contains(first)));
    leads.next().map(|peering| peering.remote.clone())
}

/// The service whose tag has most of the prefixes; those that the topology has an endpoint of are asked first.
fn service(network: &Network, place: Place, prefixes: &[IpNet]) -> Option<String> {
    let counted = SERVICES.iter().filter_map(|(service, tag)| {
        let ranges = network.tags().published(tag)?;
        let tagged: HashSet<IpNet> = ranges.iter().flat_map(|range| range.nets()).collect();
        let held = prefixes.iter().filter(|net| tagged.contains(net)).count();
        (held > 0).then(|| (held, network.subnet(place).has_endpoint(service), (*service).to_owned()))
    });
    counted.min_by_key(|(held, is_on, _)| Reverse((*held, *is_on))).map(|(_, _, service)| service)
}
