//! A topology with its names resolved, ready to be asked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::client::StandIn;
use super::environment::AppServiceEnvironment;
use super::index::Index;
use super::ranges::Ranges;
use super::routes::{self, EffectiveRoute, Routes};
use super::security::Compiled;
use super::tags::{Surroundings, Tags};
use super::topology::{Firewall, NetworkInterface, NetworkSecurityGroup, RouteTable, Subnet, Topology, VirtualNetwork};

/// A subnet of a topology, by its numbers. Only [`Network`] makes them, for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub(super) network: usize,
    pub(super) subnet: usize,
}

/// What is around a firewall, ready to be asked. What a question needs is worked out when it is first asked: a topology
/// of hundreds of subnets costs no more than those that are looked at.
#[derive(Debug)]
pub struct Network {
    topology: Topology,
    tags: Tags,
    index: Index,
    /// For each security group, its rules in the order of evaluation.
    groups: Vec<OnceLock<Compiled>>,
    /// For each network, its subnets.
    subnets: Vec<Vec<OfSubnet>>,
    /// By name in lower case. Locked for as long as one tag is sorted, and only by who compiles.
    published: Mutex<HashMap<String, Arc<Ranges>>>,
    /// For clients in no subnet.
    pub(super) stand_in: Option<StandIn>,
}

/// What is worked out for a subnet.
#[derive(Debug, Default)]
struct OfSubnet {
    surroundings: OnceLock<Surroundings>,
    routes: OnceLock<Routes>,
    inbound_samples: OnceLock<Vec<IpAddr>>,
    outbound_samples: OnceLock<Vec<IpAddr>>,
}

impl Network {
    /// Names that lead nowhere stand for nothing: who reads a topology says so.
    pub fn new(topology: Topology, tags: Tags) -> Network {
        let index = Index::new(&topology);
        let groups = topology.security_groups.iter().map(|_| OnceLock::new()).collect();
        let empty = |network: &VirtualNetwork| network.subnets.iter().map(|_| OfSubnet::default()).collect();
        let subnets = topology.virtual_networks.iter().map(empty).collect();
        Network { topology, tags, index, groups, subnets, published: Mutex::default(), stand_in: None }
    }

    /// The same with these effective routes for a subnet, as a real machine in it has them, instead of those that the
    /// topology comes to. Peers and services that they do not name are found by their prefixes.
    pub fn with_effective_routes(mut self, place: Place, routes: Vec<EffectiveRoute>) -> Network {
        let routes = routes::named(&self, place, routes);
        self.subnets[place.network][place.subnet].routes = OnceLock::from(Routes::new(routes));
        self
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
        self.index.place(network, subnet)
    }

    /// The subnet that an address is of: the first in the topology, where several networks use the same addresses.
    pub fn place_of(&self, address: IpAddr) -> Option<Place> {
        self.index.place_of(address)
    }

    pub fn virtual_network(&self, place: Place) -> &VirtualNetwork {
        &self.topology.virtual_networks[place.network]
    }

    pub fn subnet(&self, place: Place) -> &Subnet {
        &self.virtual_network(place).subnets[place.subnet]
    }

    pub fn security_group_of(&self, place: Place) -> Option<&NetworkSecurityGroup> {
        let at = self.index.group(self.subnet(place).security_group.as_deref()?)?;
        Some(&self.topology.security_groups[at])
    }

    pub fn route_table_of(&self, place: Place) -> Option<&RouteTable> {
        let at = self.index.table(self.subnet(place).route_table.as_deref()?)?;
        Some(&self.topology.route_tables[at])
    }

    /// The interface of an address of this network.
    pub fn interface_of(&self, address: IpAddr) -> Option<&NetworkInterface> {
        self.index.interfaces(address).first().map(|at| &self.topology.interfaces[*at])
    }

    /// The interface of an address in the network of a subnet.
    pub fn interface_at(&self, place: Place, address: IpAddr) -> Option<&NetworkInterface> {
        let own = &self.virtual_network(place).name;
        let mut interfaces = self.index.interfaces(address).iter().map(|at| &self.topology.interfaces[*at]);
        interfaces.find(|interface| interface.virtual_network.eq_ignore_ascii_case(own))
    }

    /// The environment that is in a subnet, with its number.
    pub fn environment_in(&self, place: Place) -> Option<(usize, &AppServiceEnvironment)> {
        let mut environments = self.topology.environments.iter().enumerate();
        environments.find(|(_, it)| self.is_called(place, &it.virtual_network, &it.subnet))
    }

    /// The firewall that is in a subnet.
    pub fn firewall_in(&self, place: Place) -> Option<&Firewall> {
        self.topology.firewalls.iter().find(|it| self.is_called(place, &it.virtual_network, &it.subnet))
    }

    /// The interfaces that are in a subnet.
    pub fn interfaces_in(&self, place: Place) -> impl Iterator<Item = &NetworkInterface> {
        let interfaces = self.topology.interfaces.iter();
        interfaces.filter(move |it| self.is_called(place, &it.virtual_network, &it.subnet))
    }

    fn is_called(&self, place: Place, network: &str, subnet: &str) -> bool {
        self.virtual_network(place).name.eq_ignore_ascii_case(network)
            && self.subnet(place).name.eq_ignore_ascii_case(subnet)
    }

    /// The addresses of an application security group in the network of a subnet: it reaches no further.
    pub(super) fn members(&self, place: Place, group: &str) -> Option<&Ranges> {
        self.index.members(&self.virtual_network(place).name, group)
    }

    /// A security group by its name, compiled.
    pub(super) fn group(&self, name: &str) -> Option<(&NetworkSecurityGroup, &Compiled)> {
        let at = self.index.group(name)?;
        let group = &self.topology.security_groups[at];
        Some((group, self.groups[at].get_or_init(|| Compiled::new(self, group))))
    }

    pub(super) fn surroundings(&self, place: Place) -> &Surroundings {
        self.of(place).surroundings.get_or_init(|| Surroundings::of(self, place))
    }

    pub(super) fn routes(&self, place: Place) -> &Routes {
        self.of(place).routes.get_or_init(|| Routes::new(routes::effective(self, place)))
    }

    /// Addresses of a subnet, one of each kind that the security groups there tell apart.
    pub(super) fn samples(&self, place: Place, direction: super::FlowDirection) -> &[IpAddr] {
        let of = self.of(place);
        let samples = match direction {
            super::FlowDirection::Inbound => &of.inbound_samples,
            super::FlowDirection::Outbound => &of.outbound_samples,
        };
        samples.get_or_init(|| super::security::samples(self, place, direction))
    }

    /// A published tag, sorted once; empty for one that is not at hand.
    pub(super) fn published_tag(&self, tag: &str) -> Arc<Ranges> {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let known = published.entry(tag.to_ascii_lowercase());
        let sort = || {
            let ranges = self.tags.published(tag);
            Arc::new(ranges.iter().flat_map(|ranges| ranges.iter().copied()).collect())
        };
        Arc::clone(known.or_insert_with(sort))
    }

    fn of(&self, place: Place) -> &OfSubnet {
        &self.subnets[place.network][place.subnet]
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::Action;
    use crate::vnet::samples::{self, SUBNET, VNET};
    use crate::vnet::{Because, FlowDirection, Hop, NetFlow, Transport, Why};

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
