//! Names and addresses of a topology, to be found without looking through it.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use super::network::Place;
use super::ranges::Ranges;
use super::topology::Topology;

/// Of several of one name or address the first counts, but for interfaces, which tell all.
#[derive(Debug)]
pub(super) struct Index {
    groups: HashMap<String, usize>,
    tables: HashMap<String, usize>,
    /// By network and subnet.
    places: HashMap<(String, String), Place>,
    v4: PrefixMap<Ipv4Net, Place>,
    v6: PrefixMap<Ipv6Net, Place>,
    interfaces: HashMap<IpAddr, Vec<usize>>,
    /// By network and application security group.
    members: HashMap<(String, String), Ranges>,
}

impl Index {
    pub(super) fn new(topology: &Topology) -> Index {
        let mut index = Index {
            groups: numbered(topology.security_groups.iter().map(|group| group.name.as_str())),
            tables: numbered(topology.route_tables.iter().map(|table| table.name.as_str())),
            places: HashMap::new(),
            v4: PrefixMap::new(),
            v6: PrefixMap::new(),
            interfaces: HashMap::new(),
            members: members(topology),
        };
        index.add_subnets(topology);
        for (at, interface) in topology.interfaces.iter().enumerate() {
            interface.addresses.iter().for_each(|it| index.interfaces.entry(*it).or_default().push(at));
        }
        index
    }

    fn add_subnets(&mut self, topology: &Topology) {
        for (network, it) in topology.virtual_networks.iter().enumerate() {
            for (subnet, found) in it.subnets.iter().enumerate() {
                let place = Place { network, subnet };
                self.places.entry(key(&it.name, &found.name)).or_insert(place);
                for net in &found.prefixes {
                    match net {
                        IpNet::V4(net) => *self.v4.entry(net.trunc()).or_insert(place),
                        IpNet::V6(net) => *self.v6.entry(net.trunc()).or_insert(place),
                    };
                }
            }
        }
    }

    pub(super) fn group(&self, name: &str) -> Option<usize> {
        numbered_as(&self.groups, name)
    }

    pub(super) fn table(&self, name: &str) -> Option<usize> {
        numbered_as(&self.tables, name)
    }

    pub(super) fn place(&self, network: &str, subnet: &str) -> Option<Place> {
        self.places.get(&key(network, subnet)).copied()
    }

    pub(super) fn place_of(&self, address: IpAddr) -> Option<Place> {
        match address {
            IpAddr::V4(v4) => self.v4.cover(&v4.into()).map(|(_, place)| *place).min(),
            IpAddr::V6(v6) => self.v6.cover(&v6.into()).map(|(_, place)| *place).min(),
        }
    }

    /// Those that have the address, in every network.
    pub(super) fn interfaces(&self, address: IpAddr) -> &[usize] {
        self.interfaces.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn members(&self, network: &str, group: &str) -> Option<&Ranges> {
        self.members.get(&key(network, group))
    }
}

fn key(one: &str, other: &str) -> (String, String) {
    (one.to_ascii_lowercase(), other.to_ascii_lowercase())
}

fn numbered<'a>(names: impl Iterator<Item = &'a str>) -> HashMap<String, usize> {
    let mut numbers = HashMap::new();
    for (at, name) in names.enumerate() {
        numbers.entry(name.to_ascii_lowercase()).or_insert(at);
    }
    numbers
}

/// Every flow asks: a name that is in lower case already is not written anew.
fn numbered_as(numbers: &HashMap<String, usize>, name: &str) -> Option<usize> {
    numbers.get(name).or_else(|| numbers.get(&name.to_ascii_lowercase())).copied()
}

fn members(topology: &Topology) -> HashMap<(String, String), Ranges> {
    let mut addresses: HashMap<(String, String), Vec<IpAddr>> = HashMap::new();
    for interface in &topology.interfaces {
        for group in &interface.application_security_groups {
            addresses.entry(key(&interface.virtual_network, group)).or_default().extend(&interface.addresses);
        }
    }
    addresses
        .into_iter()
        .map(|(key, all)| (key, all.into_iter().map(crate::policy::AddressRange::from).collect()))
        .collect()
}
