//! As whom a client counts: as itself where it is in a subnet, else as a machine of the subnet that was chosen for such.

use std::net::IpAddr;

use crate::policy::AddressRange;

use super::network::{Network, Place};
use super::ranges::after;

/// Who asks, as the network sees it. The address alone does not say which subnet it is of: several networks may use the
/// same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    pub address: IpAddr,
    pub place: Place,
}

/// More addresses of one prefix than this are not looked at for a free one.
const LOOKED_AT: usize = 4096;

/// A machine that clients in no subnet count as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StandIn {
    place: Place,
    /// One of each prefix of the subnet.
    addresses: Vec<IpAddr>,
}

impl Network {
    /// The same, where clients that are in no subnet count as being in this one.
    pub fn with_client_subnet(mut self, place: Place) -> Network {
        self.stand_in = Some(StandIn { place, addresses: self.free_addresses(place) });
        self
    }

    /// The subnet that clients in no subnet count as being in.
    pub fn client_subnet(&self) -> Option<Place> {
        Some(self.stand_in.as_ref()?.place)
    }

    /// The address that a new machine in this subnet would be given: the first that Azure gives out and no interface or
    /// firewall of the topology has. Of several prefixes one of the family of `like`, if there is such. None for a subnet
    /// without addresses.
    pub fn free_address(&self, place: Place, like: Option<IpAddr>) -> Option<IpAddr> {
        like_first(&self.free_addresses(place), like)
    }

    /// Who a client counts as, towards what it dials. None: it is in no subnet, and nothing stands in for it. Of several
    /// subnets with its address it is in the one that was chosen for clients of none, else in the first.
    pub fn client(&self, address: IpAddr, to: Option<IpAddr>) -> Option<Client> {
        let chosen = self.client_subnet().filter(|place| self.subnet(*place).contains(address));
        match chosen.or_else(|| self.place_of(address)) {
            Some(place) => Some(Client { address, place }),
            None => self.stand_in(to),
        }
    }

    /// Whom clients in no subnet count as. Of several addresses one of the family of what is dialled.
    pub fn stand_in(&self, to: Option<IpAddr>) -> Option<Client> {
        let StandIn { place, addresses } = self.stand_in.as_ref()?;
        Some(Client { address: like_first(addresses, to)?, place: *place })
    }

    fn free_addresses(&self, place: Place) -> Vec<IpAddr> {
        let is_free = |address: &IpAddr| {
            self.interface_at(place, *address).is_none() && self.topology().firewall_at(*address).is_none()
        };
        let free = |range: AddressRange| addresses(range).take(LOOKED_AT).find(is_free).unwrap_or(range.first());
        self.subnet(place).usable_or_all().map(free).collect()
    }
}

fn like_first(addresses: &[IpAddr], like: Option<IpAddr>) -> Option<IpAddr> {
    let fits = |address: &&IpAddr| like.is_none_or(|like| like.is_ipv4() == address.is_ipv4());
    addresses.iter().find(fits).or(addresses.first()).copied()
}

fn addresses(range: AddressRange) -> impl Iterator<Item = IpAddr> {
    std::iter::successors(Some(range.first()), move |address| after(*address).filter(|next| range.contains(*next)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vnet::samples::{self, SUBNET, VNET};
    use crate::vnet::{NetworkInterface, Topology, VirtualNetwork};

    fn network(topology: Topology) -> Network {
        let network = samples::built(topology);
        let place = network.place(VNET, SUBNET).unwrap();
        network.with_client_subnet(place)
    }

    #[test]
    fn clients_in_no_subnet_count_as_a_machine_of_the_chosen_one() {
        let mut topology = samples::worked();
        let check = |topology: &Topology, client: &str, to: Option<&str>, expected: &str| {
            let network = network(topology.clone());
            let to = to.map(|to| to.parse().unwrap());
            let Client { address, place } = network.client(client.parse().unwrap(), to).unwrap();
            assert_eq!(address, expected.parse::<IpAddr>().unwrap(), "{client}");
            assert_eq!(network.client_subnet(), Some(place), "{client}");
        };
        check(&topology, "127.0.0.1", None, "192.168.251.132");
        check(&topology, "192.168.251.140", None, "192.168.251.140");
        let subnet = topology.virtual_networks[0].subnets.iter_mut().find(|it| it.name == SUBNET).unwrap();
        subnet.prefixes.push("2001:db8::/64".parse().unwrap());
        check(&topology, "127.0.0.1", Some("2001:db8:1::1"), "2001:db8::4");
        check(&topology, "::1", Some("198.51.100.7"), "192.168.251.132");
        topology.interfaces.push(NetworkInterface {
            name: "vm".into(),
            virtual_network: VNET.into(),
            addresses: vec!["192.168.251.132".parse().unwrap()],
            ..NetworkInterface::default()
        });
        check(&topology, "127.0.0.1", None, "192.168.251.133");
    }

    /// Several networks may use the same addresses.
    #[test]
    fn a_subnet_that_is_chosen_has_its_own_clients() {
        let mut topology = samples::worked();
        let twin = VirtualNetwork { name: "twin".into(), ..topology.virtual_networks[0].clone() };
        topology.virtual_networks.push(twin);
        let client = "192.168.251.140".parse().unwrap();
        let network = samples::built(topology);
        let (first, second) = (network.place(VNET, SUBNET).unwrap(), network.place("twin", SUBNET).unwrap());
        assert_eq!(network.client(client, None), Some(Client { address: client, place: first }));
        let network = network.with_client_subnet(second);
        assert_eq!(network.client(client, None), Some(Client { address: client, place: second }));
    }

    #[test]
    fn without_a_chosen_subnet_they_are_in_none() {
        let network = samples::built(samples::worked());
        assert_eq!(network.client("127.0.0.1".parse().unwrap(), None), None);
    }
}
