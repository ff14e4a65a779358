//! Where a packet comes to by its next hop: one judgement, for whoever follows packets and for whoever decides about
//! flows. Security groups and firewalls are not asked here.

use std::net::IpAddr;

use crate::flow::AddrClass;

use super::network::{Network, Place};
use super::routes::Hop;
use super::topology::{Peering, VirtualNetwork};

/// A next hop that leads on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Onward<'n> {
    /// The network at the other end of the peering that is crossed.
    pub(super) over: Option<&'n str>,
    pub(super) to: Towards<'n>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Towards<'n> {
    Subnet(Place),
    /// A peered network that is not in the topology.
    Peer(&'n str),
    Service(&'n str),
    /// Behind the gateway of the network with this number.
    Premises(usize),
    /// To the Internet from there.
    Forced(usize),
    /// A firewall, or another.
    Appliance(IpAddr),
    Internet,
}

/// A next hop that leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Barred<'n> {
    Dropped,
    /// The address is in no subnet of the network itself.
    NoSubnet,
    NoSubnetOf(&'n str),
    /// The peering with this network has no other half.
    Unconnected(&'n str),
    /// The peering lets no traffic through.
    Closed(&'n Peering),
    /// The peering's other half, of this network, lets in only what begins in the network itself.
    NotForwarded(&'n Peering, &'n str),
    /// The appliance is in the very subnet that is routed to it.
    Loop(IpAddr),
    /// Neither in the network nor in a peered one.
    NoAppliance(IpAddr),
    NoGateway,
    /// What is behind the gateway of the network with this number is known, and this is not there.
    NothingBehind(usize),
    /// No address of the Internet.
    Unroutable,
}

impl Network {
    pub(super) fn onward<'n>(
        &'n self,
        place: Place,
        hop: &'n Hop,
        source: IpAddr,
        to: IpAddr,
    ) -> Result<Onward<'n>, Barred<'n>> {
        let straight = |to| Onward { over: None, to };
        match hop {
            Hop::VnetLocal => {
                self.place_near(place, to).map(|there| straight(Towards::Subnet(there))).ok_or(Barred::NoSubnet)
            }
            Hop::VnetPeering(remote) | Hop::VnetGlobalPeering(remote) => self.towards_peer(place, remote, source, to),
            // Of this network or a peered one, whatever routes say of the prefix around it.
            Hop::InterfaceEndpoint => {
                let there = self.place_near(place, to).or_else(|| self.place_of(to));
                there.map(|there| straight(Towards::Subnet(there))).ok_or(Barred::NoSubnet)
            }
            Hop::VirtualNetworkGateway => self.through_gateway(place, to).map(straight),
            Hop::VirtualNetworkServiceEndpoint(service) => Ok(straight(Towards::Service(service))),
            Hop::VirtualAppliance(address) => self.to_appliance(place, *address, source),
            Hop::Internet if AddrClass::of(to) == AddrClass::Global => Ok(straight(Towards::Internet)),
            Hop::Internet => Err(Barred::Unroutable),
            Hop::None => Err(Barred::Dropped),
        }
    }

    fn towards_peer<'n>(
        &'n self,
        place: Place,
        remote: &'n str,
        source: IpAddr,
        to: IpAddr,
    ) -> Result<Onward<'n>, Barred<'n>> {
        self.may_cross(place, remote, source)?;
        let onward = |to| Onward { over: Some(remote), to };
        if self.topology().virtual_network(remote).is_none() {
            return Ok(onward(Towards::Peer(remote)));
        }
        let there = self.place_in(remote, to).ok_or(Barred::NoSubnetOf(remote))?;
        Ok(onward(Towards::Subnet(there)))
    }

    /// A peering has two halves, each with a word in it.
    fn may_cross<'n>(&'n self, place: Place, remote: &'n str, source: IpAddr) -> Result<(), Barred<'n>> {
        let own = self.virtual_network(place);
        let to = |network: &'n VirtualNetwork, name: &str| {
            network.peerings.iter().find(|it| it.remote.eq_ignore_ascii_case(name))
        };
        let far = self.topology().virtual_network(remote);
        let (near, back) = (to(own, remote), far.and_then(|far| to(far, &own.name)));
        if far.is_some() && back.is_none() {
            return Err(Barred::Unconnected(remote));
        }
        if let Some(closed) = [near, back].into_iter().flatten().find(|it| !it.allow_virtual_network_access) {
            return Err(Barred::Closed(closed));
        }
        let is_forwarded = !own.address_space.iter().any(|net| net.contains(&source));
        match back.filter(|it| is_forwarded && !it.allow_forwarded_traffic) {
            Some(peering) => Err(Barred::NotForwarded(peering, remote)),
            None => Ok(()),
        }
    }

    fn through_gateway(&self, place: Place, to: IpAddr) -> Result<Towards<'_>, Barred<'_>> {
        let number = self.gateway_of(place).ok_or(Barred::NoGateway)?;
        let gateway = self.topology().virtual_networks[number].gateway.as_ref();
        let is_there = gateway.is_some_and(|it| it.routes.iter().any(|net| net.prefix_len() > 0 && net.contains(&to)));
        match AddrClass::of(to) {
            _ if is_there => Ok(Towards::Premises(number)),
            AddrClass::Global => Ok(Towards::Forced(number)),
            _ => Err(Barred::NothingBehind(number)),
        }
    }

    /// The network whose gateway a place uses: its own, or a peer's.
    fn gateway_of(&self, place: Place) -> Option<usize> {
        let networks = &self.topology().virtual_networks;
        let by_name =
            |name: &str| networks.iter().position(|it| it.name.eq_ignore_ascii_case(name) && it.gateway.is_some());
        let own = self.virtual_network(place);
        let remote = own.peerings.iter().filter(|it| it.use_remote_gateways).find_map(|it| by_name(&it.remote));
        by_name(&own.name).or(remote)
    }

    fn to_appliance(&self, place: Place, address: IpAddr, source: IpAddr) -> Result<Onward<'_>, Barred<'_>> {
        if self.subnet(place).contains(address) {
            return Err(Barred::Loop(address));
        }
        let over = match self.next_hop(place, address).map(|(route, _)| &route.next_hop) {
            Some(Hop::VnetLocal) => None,
            Some(Hop::VnetPeering(remote) | Hop::VnetGlobalPeering(remote)) => {
                self.may_cross(place, remote, source)?;
                Some(remote.as_str())
            }
            _ => return Err(Barred::NoAppliance(address)),
        };
        Ok(Onward { over, to: Towards::Appliance(address) })
    }

    /// A subnet of the network that a place is in.
    pub(super) fn place_near(&self, place: Place, address: IpAddr) -> Option<Place> {
        let nearest = self.place_of(address).filter(|it| it.network == place.network);
        nearest.or_else(|| self.place_in(&self.virtual_network(place).name, address))
    }

    pub(super) fn place_in(&self, name: &str, address: IpAddr) -> Option<Place> {
        let is_in = |it: &Place| self.virtual_network(*it).name.eq_ignore_ascii_case(name);
        self.places().find(|it| is_in(it) && self.subnet(*it).contains(address))
    }
}
