//! What nobody has to say of a topology, filled in when all of it is read.

use std::net::IpAddr;

use crate::vnet::{Topology, VirtualNetwork};

/// Fills in networks of what is in the only subnet of its name, and the address of a firewall.
pub(in crate::config) fn settle(topology: &mut Topology) {
    let Topology { virtual_networks, interfaces, firewalls, environments, .. } = topology;
    let interfaces = interfaces.iter_mut().map(|it| (&mut it.virtual_network, &it.subnet));
    let firewall_places = firewalls.iter_mut().map(|it| (&mut it.virtual_network, &it.subnet));
    let environments = environments.iter_mut().map(|it| (&mut it.virtual_network, &it.subnet));
    for (network, subnet) in interfaces.chain(firewall_places).chain(environments) {
        if network.is_empty() {
            *network = network_of(virtual_networks, subnet).unwrap_or_default();
        }
    }
    let first: Vec<Option<IpAddr>> = topology.firewalls.iter().map(|it| topology.first_address(it)).collect();
    for (firewall, first) in topology.firewalls.iter_mut().zip(first) {
        firewall.private_address = firewall.private_address.or(first);
    }
}

/// The only network there is, or the only one that has such a subnet.
fn network_of(networks: &[VirtualNetwork], subnet: &str) -> Option<String> {
    let mut having = networks.iter().filter(|network| networks.len() == 1 || network.subnet(subnet).is_some());
    match (having.next(), having.next()) {
        (Some(one), None) => Some(one.name.clone()),
        _ => None,
    }
}
