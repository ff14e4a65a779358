//! A topology with its names resolved, ready to be asked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use crate::policy::Action;

use super::routes::{self, EffectiveRoute, Selection};
use super::security::{self, Because, FlowDirection, NetFlow, SecurityDecision};
use super::tags::Tags;
use super::topology::{NetworkInterface, NetworkSecurityGroup, RouteTable, Subnet, Topology, VirtualNetwork};

/// A subnet of a topology, by its numbers. Only [`Network`] makes them, for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    network: usize,
    subnet: usize,
}

/// What is around a firewall, ready to be asked. What a question needs is worked out when it is first asked: a topology
/// of hundreds of subnets costs no more than those that are looked at.
#[derive(Debug)]
pub struct Network {
    topology: Topology,
    tags: Tags,
    groups: HashMap<String, usize>,
    tables: HashMap<String, usize>,
    /// For each network and subnet, its effective routes.
    routes: Vec<Vec<OnceLock<Vec<EffectiveRoute>>>>,
}

impl Network {
    /// Names that lead nowhere stand for nothing: who reads a topology says so.
    pub fn new(topology: Topology, tags: Tags) -> Network {
        let by_name = |names: Vec<&str>| {
            names.into_iter().enumerate().map(|(at, name)| (name.to_ascii_lowercase(), at)).collect::<HashMap<_, _>>()
        };
        let groups = by_name(topology.security_groups.iter().map(|group| group.name.as_str()).collect());
        let tables = by_name(topology.route_tables.iter().map(|table| table.name.as_str()).collect());
        let empty = |network: &VirtualNetwork| network.subnets.iter().map(|_| OnceLock::new()).collect();
        let routes = topology.virtual_networks.iter().map(empty).collect();
        Network { topology, tags, groups, tables, routes }
    }

    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Every subnet there is.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let networks = self.topology.virtual_networks.iter().enumerate();
        networks.flat_map(|(network, it)| (0..it.subnets.len()).map(move |subnet| Place { network, subnet }))
    }

    /// The subnet of these names, in any letter case.
    pub fn place(&self, network: &str, subnet: &str) -> Option<Place> {
        self.places().find(|place| {
            let (in_network, in_subnet) = (self.virtual_network(*place), self.subnet(*place));
            in_network.name.eq_ignore_ascii_case(network) && in_subnet.name.eq_ignore_ascii_case(subnet)
        })
    }

    /// The subnet that an address is of.
    pub fn place_of(&self, address: IpAddr) -> Option<Place> {
        self.places().find(|place| self.subnet(*place).contains(address))
    }

    pub fn virtual_network(&self, place: Place) -> &VirtualNetwork {
        &self.topology.virtual_networks[place.network]
    }

    pub fn subnet(&self, place: Place) -> &Subnet {
        &self.virtual_network(place).subnets[place.subnet]
    }

    pub fn security_group_of(&self, place: Place) -> Option<&NetworkSecurityGroup> {
        self.group(self.subnet(place).security_group.as_deref()?)
    }

    pub fn route_table_of(&self, place: Place) -> Option<&RouteTable> {
        let name = self.subnet(place).route_table.as_deref()?.to_ascii_lowercase();
        self.tables.get(&name).map(|at| &self.topology.route_tables[*at])
    }

    /// The interface of an address of this network.
    pub fn interface_of(&self, address: IpAddr) -> Option<&NetworkInterface> {
        self.topology.interfaces.iter().find(|interface| interface.addresses.contains(&address))
    }

    /// What the groups at a subnet, and at the interface there if there is one, say of a flow that leaves it or comes in.
    /// Inbound the subnet's group is asked first, outbound the interface's; both have to allow.
    pub fn security(&self, place: Place, direction: FlowDirection, flow: &NetFlow) -> SecurityDecision<'_> {
        let own = match direction {
            FlowDirection::Inbound => flow.destination,
            FlowDirection::Outbound => flow.source,
        };
        let of_interface = self.interface_of(own).and_then(|interface| interface.security_group.as_deref());
        let of_interface = of_interface.and_then(|name| self.group(name));
        let mut groups = [self.security_group_of(place), of_interface];
        if direction == FlowDirection::Outbound {
            groups.reverse();
        }
        let mut last = SecurityDecision { access: Action::Allow, because: Because::NoGroup };
        for group in groups.into_iter().flatten() {
            last = security::decide(self, place, group, direction, flow);
            if last.access == Action::Deny {
                break;
            }
        }
        last
    }

    /// All routes of a subnet, those that are not in force too.
    pub fn effective_routes(&self, place: Place) -> &[EffectiveRoute] {
        self.routes[place.network][place.subnet].get_or_init(|| routes::effective(self, place))
    }

    /// The route that a packet to `destination` takes from a subnet; None where there is none.
    pub fn route(&self, place: Place, destination: IpAddr) -> Option<Selection<'_>> {
        routes::select(self.effective_routes(place), destination)
    }

    fn group(&self, name: &str) -> Option<&NetworkSecurityGroup> {
        self.groups.get(&name.to_ascii_lowercase()).map(|at| &self.topology.security_groups[*at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vnet::samples::{self, SUBNET, VNET};
    use crate::vnet::{Hop, Transport, Why};

    #[test]
    fn the_worked_set_up_answers() {
        let network = samples::built(samples::worked());
        let place = network.place(VNET, SUBNET).unwrap();
        let hop = |to: &str| network.route(place, to.parse().unwrap()).map(|it| (it.route.next_hop.clone(), it.why));
        let firewall = Hop::VirtualAppliance("192.168.0.4".parse().unwrap());
        assert_eq!(hop("198.51.100.1"), Some((firewall, Why::Source)));
        assert_eq!(hop("70.37.57.58"), Some((Hop::Internet, Why::LongestPrefix)));
        assert_eq!(hop("192.168.7.7"), Some((Hop::VnetLocal, Why::LongestPrefix)));
        let to_management = NetFlow {
            transport: Transport::Tcp,
            source: "70.37.57.58".parse().unwrap(),
            source_port: 40_000,
            destination: "192.168.251.132".parse().unwrap(),
            destination_port: 454,
        };
        let decided = network.security(place, FlowDirection::Inbound, &to_management);
        assert!(matches!(decided.because, Because::Rule { rule: "management", .. }), "{decided:?}");
        let elsewhere = NetFlow { source: "198.51.100.1".parse().unwrap(), ..to_management };
        assert_eq!(network.security(place, FlowDirection::Inbound, &elsewhere).access, Action::Deny);
    }
}
