//! As whom a client counts: as itself where it is in a subnet, else as a machine of the subnet that was chosen for such.

use std::net::IpAddr;

use ipnet::IpNet;

use super::network::{Network, Place};

/// Azure keeps the first four addresses of a subnet, for its own and for the gateway, DNS and the network itself
/// (azure-docs, virtual-networks-faq.md).
const RESERVED: usize = 4;

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

    /// The address that a new machine in this subnet would be given: the first that Azure gives out and no interface of
    /// the topology has. None for a subnet without addresses.
    pub fn free_address(&self, place: Place) -> Option<IpAddr> {
        self.free_addresses(place).into_iter().next()
    }

    /// The address and the subnet that a client counts as, towards what it dials. None: it is in no subnet, and nothing
    /// stands in for it.
    pub fn client(&self, client: IpAddr, to: Option<IpAddr>) -> Option<(IpAddr, Place)> {
        match self.place_of(client) {
            Some(place) => Some((client, place)),
            None => self.stand_in(to),
        }
    }

    /// The address and the subnet of clients in no subnet. Of several addresses one of the family of what is dialled.
    pub fn stand_in(&self, to: Option<IpAddr>) -> Option<(IpAddr, Place)> {
        let StandIn { place, addresses } = self.stand_in.as_ref()?;
        let fits = |address: &&IpAddr| to.is_none_or(|to| to.is_ipv4() == address.is_ipv4());
        let address = addresses.iter().find(fits).or(addresses.first())?;
        Some((*address, *place))
    }

    fn free_addresses(&self, place: Place) -> Vec<IpAddr> {
        self.subnet(place).prefixes.iter().map(|net| self.first_free(place, *net)).collect()
    }

    fn first_free(&self, place: Place, net: IpNet) -> IpAddr {
        let is_free = |address: &IpAddr| {
            self.interface_at(place, *address).is_none() && self.topology().firewall_at(*address).is_none()
        };
        // Of IPv4 hosts() leaves the first out.
        let reserved = if net.addr().is_ipv4() { RESERVED - 1 } else { RESERVED };
        net.hosts().skip(reserved).take(LOOKED_AT).find(is_free).unwrap_or(net.addr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vnet::samples::{self, SUBNET, VNET};
    use crate::vnet::{NetworkInterface, Topology};

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
            let (address, place) = network.client(client.parse().unwrap(), to).unwrap();
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

    #[test]
    fn without_a_chosen_subnet_they_are_in_none() {
        let network = samples::built(samples::worked());
        assert_eq!(network.client("127.0.0.1".parse().unwrap(), None), None);
    }
}
