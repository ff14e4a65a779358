//! What nobody has to say of a topology, filled in when all of it is read.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::vnet::{Firewall, Topology, VirtualNetwork};

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
    for firewall in firewalls.iter_mut().filter(|it| it.private_address.is_none()) {
        firewall.private_address = first_address(virtual_networks, firewall);
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

/// Azure keeps the first four addresses of a subnet and its last one (azure-docs, virtual-networks-faq.md), and gives
/// out the first that is free: in a subnet of its own that is the fifth.
fn first_address(networks: &[VirtualNetwork], firewall: &Firewall) -> Option<IpAddr> {
    let network = networks.iter().find(|it| it.name.eq_ignore_ascii_case(&firewall.virtual_network))?;
    let prefixes = &network.subnet(&firewall.subnet)?.prefixes;
    prefixes.iter().find_map(|prefix| match prefix {
        IpNet::V4(net) if net.prefix_len() <= 29 => Some(IpAddr::V4(Ipv4Addr::from_bits(net.network().to_bits() + 4))),
        _ => None,
    })
}
