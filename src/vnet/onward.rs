//! Where a packet comes to by its next hop: one judgement, for whoever follows packets and for whoever decides about
//! flows. Security groups and firewalls are not asked here, but which appliance is the firewall is said here alone.

use std::net::IpAddr;

use crate::flow::AddrClass;

use super::network::{Network, Place};
use super::peering::Origin;
use super::routes::{EffectiveRoute, Hop, RouteSource};
use super::topology::{Firewall, Peering, VirtualNetwork};

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
    /// The one that is emulated ([`Network::is_firewall`]).
    Firewall(Gatekeeper),
    /// Another, of which nothing is known.
    Appliance(IpAddr),
    Internet,
}

/// The firewall that is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gatekeeper {
    /// Of the topology, by its number.
    Numbered(usize),
    /// Whatever has this address, as no firewall of the topology has one.
    At(IpAddr),
}

/// A next hop that leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Barred<'n> {
    /// There is no route.
    NoRoute,
    /// By a route of this source.
    Dropped(RouteSource),
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
    /// In no subnet of the network that it would be in.
    Nobody(IpAddr),
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
        route: &'n EffectiveRoute,
        source: IpAddr,
        to: IpAddr,
    ) -> Result<Onward<'n>, Barred<'n>> {
        let straight = |to| Onward { over: None, to };
        match &route.next_hop {
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
            Hop::None => Err(Barred::Dropped(route.source)),
        }
    }

    fn towards_peer<'n>(
        &'n self,
        place: Place,
        remote: &'n str,
        source: IpAddr,
        to: IpAddr,
    ) -> Result<Onward<'n>, Barred<'n>> {
        self.may_cross(self.virtual_network(place), remote, self.origin(place, source))?;
        let onward = |to| Onward { over: Some(remote), to };
        if self.topology().virtual_network(remote).is_none() {
            return Ok(onward(Towards::Peer(remote)));
        }
        let there = self.place_in(remote, to).ok_or(Barred::NoSubnetOf(remote))?;
        Ok(onward(Towards::Subnet(there)))
    }

    fn through_gateway(&self, place: Place, to: IpAddr) -> Result<Towards<'_>, Barred<'_>> {
        let number = self.network_with_gateway(place).ok_or(Barred::NoGateway)?;
        let gateway = self.topology().virtual_networks[number].gateway.as_ref();
        let is_there = gateway.is_some_and(|it| it.routes.iter().any(|net| net.prefix_len() > 0 && net.contains(&to)));
        match AddrClass::of(to) {
            _ if is_there => Ok(Towards::Premises(number)),
            AddrClass::Global => Ok(Towards::Forced(number)),
            _ => Err(Barred::NothingBehind(number)),
        }
    }

    fn to_appliance(&self, place: Place, address: IpAddr, source: IpAddr) -> Result<Onward<'_>, Barred<'_>> {
        if self.subnet(place).contains(address) {
            return Err(Barred::Loop(address));
        }
        let over = match self.next_hop(place, address).map(|(route, _)| &route.next_hop) {
            Some(Hop::VnetLocal) => None,
            Some(Hop::VnetPeering(remote) | Hop::VnetGlobalPeering(remote)) => {
                self.may_cross(self.virtual_network(place), remote, self.origin(place, source))?;
                Some(remote.as_str())
            }
            _ => return Err(Barred::NoAppliance(address)),
        };
        let to = match self.gatekeeper(address) {
            Some(gatekeeper) => Towards::Firewall(gatekeeper),
            None if self.place_of(address).is_none() => return Err(Barred::Nobody(address)),
            None => Towards::Appliance(address),
        };
        Ok(Onward { over, to })
    }

    /// Is the appliance at this address the firewall that is emulated? One is that a firewall of the topology has the
    /// address of. Where no firewall has an address, or there is none, every appliance is taken for it.
    pub fn is_firewall(&self, address: IpAddr) -> bool {
        self.gatekeeper(address).is_some()
    }

    fn gatekeeper(&self, address: IpAddr) -> Option<Gatekeeper> {
        let firewalls = &self.topology().firewalls;
        let number = firewalls.iter().position(|it| it.private_address == Some(address));
        let is_unknown = || firewalls.iter().all(|it| it.private_address.is_none());
        number.map(Gatekeeper::Numbered).or_else(|| is_unknown().then_some(Gatekeeper::At(address)))
    }

    /// The subnet that a firewall is in, where that is known: its routes are for what it lets through.
    pub(super) fn place_of_firewall(&self, gatekeeper: Gatekeeper) -> Option<Place> {
        match gatekeeper {
            Gatekeeper::Numbered(number) => {
                let Firewall { virtual_network, subnet, .. } = &self.topology().firewalls[number];
                self.place(virtual_network, subnet)
            }
            Gatekeeper::At(address) => self.place_of(address),
        }
    }

    /// Where what a firewall lets through comes to: by the routes of its own subnet, or from the edge of its network where
    /// its subnet is not in the topology. None where nothing is known of either.
    pub(super) fn beyond(
        &self,
        firewall: Gatekeeper,
        source: IpAddr,
        to: IpAddr,
    ) -> Option<Result<Onward<'_>, Barred<'_>>> {
        if let Some(place) = self.place_of_firewall(firewall) {
            return Some(self.way_on(place, source, to));
        }
        if AddrClass::of(to) == AddrClass::Global {
            return Some(Ok(Onward { over: None, to: Towards::Internet }));
        }
        let Gatekeeper::Numbered(number) = firewall else { return None };
        let own = self.topology().virtual_network(&self.topology().firewalls[number].virtual_network)?;
        Some(self.enter(own, Origin::Source(source), to))
    }

    /// Into a network from its edge, and on to a peer of it, where nothing says that it is routed elsewhere.
    pub(super) fn enter<'n>(
        &'n self,
        own: &'n VirtualNetwork,
        origin: Origin,
        to: IpAddr,
    ) -> Result<Onward<'n>, Barred<'n>> {
        if let Some(place) = self.place_in(&own.name, to) {
            return Ok(Onward { over: None, to: Towards::Subnet(place) });
        }
        let mut peers = own.peerings.iter().map(|it| it.remote.as_str());
        let peer = peers.find_map(|remote| Some((remote, self.place_in(remote, to)?)));
        let (remote, place) = peer.ok_or(Barred::NoSubnet)?;
        self.may_cross(own, remote, origin)?;
        Ok(Onward { over: Some(remote), to: Towards::Subnet(place) })
    }

    /// The address that a destination sees of what a firewall translates, where that is known. Where the firewall's own
    /// subnet leads not straight to the Internet (forced tunnelling, another appliance, a service endpoint), it is a
    /// private one, whatever the destination (azure-docs, snat-private-range.md, 2023).
    pub(super) fn seen_behind(&self, gatekeeper: Gatekeeper, destination: IpAddr) -> Option<IpAddr> {
        let place = self.place_of_firewall(gatekeeper);
        let route = place.and_then(|place| self.next_hop(place, destination)).map(|(route, _)| &route.next_hop);
        let is_straight = matches!(route, None | Some(Hop::Internet));
        match gatekeeper {
            Gatekeeper::Numbered(number) => {
                let firewall = &self.topology().firewalls[number];
                let inside = firewall.private_address.filter(|_| !is_straight);
                inside.or_else(|| firewall.towards(destination))
            }
            Gatekeeper::At(address) => {
                Some(address).filter(|_| !is_straight || AddrClass::of(destination) != AddrClass::Global)
            }
        }
    }

    /// Where a packet comes to that is sent on from a subnet.
    pub(super) fn way_on(&self, place: Place, source: IpAddr, to: IpAddr) -> Result<Onward<'_>, Barred<'_>> {
        let (route, _) = self.next_hop(place, to).ok_or(Barred::NoRoute)?;
        self.onward(place, route, source, to)
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
