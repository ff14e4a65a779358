//! Which way a packet goes.
//!
//! [`effective`] gathers the routes of a subnet and says which of them are in force; [`table`] selects one for a packet.

mod effective;
mod table;
#[cfg(test)]
mod tests;
mod told;

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::{AddressRange, Spot};

use super::network::{Network, Place};

pub(super) use effective::effective;
pub use effective::endpoint_tag;
pub(super) use table::Routes;
pub(super) use told::named;

/// A route as it is in force, or is not, for one subnet.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectiveRoute {
    /// Of a user-defined route; empty for the others.
    pub name: String,
    pub source: RouteSource,
    pub state: RouteState,
    /// Of a service endpoint or a service tag there are hundreds.
    pub prefixes: Vec<IpNet>,
    pub next_hop: Hop,
    /// Of a user-defined route.
    pub route_table: Option<String>,
    /// The service tag that it was written with.
    pub tag: Option<String>,
    pub at: Spot,
}

/// The later is preferred for one prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteSource {
    /// A system route.
    Default,
    /// BGP, or a local network gateway.
    VirtualNetworkGateway,
    /// A user-defined route.
    User,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteState {
    Active,
    /// Another one for the same prefix is preferred.
    Invalid,
}

/// The next hops of effective routes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hop {
    VnetLocal,
    /// With the name of the other network, empty where routes were read that do not tell it.
    VnetPeering(String),
    VnetGlobalPeering(String),
    VirtualNetworkGateway,
    /// With the service, as Azure calls it, empty where routes were read that do not tell it.
    VirtualNetworkServiceEndpoint(String),
    VirtualAppliance(IpAddr),
    /// A private endpoint's. Only routes that were read have it.
    InterfaceEndpoint,
    Internet,
    None,
}

/// The route that takes a packet, and what it beat.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection<'n> {
    pub route: &'n EffectiveRoute,
    /// The prefix of it that holds the destination.
    pub prefix: IpNet,
    pub why: Why,
    /// Others that hold the destination, the likeliest first.
    pub beaten: Vec<(&'n EffectiveRoute, IpNet)>,
}

/// Why a route was preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// No other holds the destination.
    Only,
    LongestPrefix,
    /// Of the same prefix: user-defined before BGP before system.
    Source,
    /// Routes of service endpoints are before all others.
    ServiceEndpoint,
    /// System routes of the network and its peerings are before more specific BGP routes.
    SystemBeforeBgp,
    /// An explicit prefix before a service tag, a regional tag before a global one.
    TagOrder,
}

impl Hop {
    /// As effective routes spell it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Hop::VnetLocal => "VnetLocal",
            Hop::VnetPeering(_) => "VNetPeering",
            Hop::VnetGlobalPeering(_) => "VNetGlobalPeering",
            Hop::VirtualNetworkGateway => "VirtualNetworkGateway",
            Hop::VirtualNetworkServiceEndpoint(_) => "VirtualNetworkServiceEndpoint",
            Hop::VirtualAppliance(_) => "VirtualAppliance",
            Hop::InterfaceEndpoint => "InterfaceEndpoint",
            Hop::Internet => "Internet",
            Hop::None => "None",
        }
    }
}

impl RouteSource {
    /// As effective routes spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            RouteSource::Default => "Default",
            RouteSource::VirtualNetworkGateway => "VirtualNetworkGateway",
            RouteSource::User => "User",
        }
    }
}

impl Why {
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Only => "only",
            Why::LongestPrefix => "longest-prefix",
            Why::Source => "source",
            Why::ServiceEndpoint => "service-endpoint",
            Why::SystemBeforeBgp => "system-before-bgp",
            Why::TagOrder => "tag-order",
        }
    }
}

/// `VirtualAppliance 192.168.0.4`, `Internet`
impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Hop::VirtualAppliance(address) => write!(f, " {address}"),
            Hop::VnetPeering(name) | Hop::VnetGlobalPeering(name) | Hop::VirtualNetworkServiceEndpoint(name)
                if !name.is_empty() =>
            {
                write!(f, " {name}")
            }
            _ => Ok(()),
        }
    }
}

impl Network {
    /// All routes of a subnet, those that are not in force too.
    pub fn effective_routes(&self, place: Place) -> &[EffectiveRoute] {
        self.routes(place).as_slice()
    }

    /// The route that a packet to `destination` takes from a subnet; None where there is none.
    pub fn route(&self, place: Place, destination: IpAddr) -> Option<Selection<'_>> {
        self.routes(place).select(destination)
    }

    /// The route and the prefix of it that [`Network::route`] selects, for whoever asks of every flow.
    pub fn next_hop(&self, place: Place, destination: IpAddr) -> Option<(&EffectiveRoute, IpNet)> {
        self.routes(place).first(destination)
    }

    /// The routes that packets to the addresses of a range take: the range in parts, in order, each with what is selected
    /// for all of it, what it beat included. What no route leads to is in no part.
    ///
    /// ```
    /// use egret::vnet::{Hop, Network, Subnet, Tags, Topology, VirtualNetwork};
    ///
    /// let virtual_network = VirtualNetwork {
    ///     name: "vnet".into(),
    ///     address_space: vec!["10.0.0.0/16".parse().unwrap()],
    ///     subnets: vec![Subnet { name: "ase".into(), ..Subnet::default() }],
    ///     ..VirtualNetwork::default()
    /// };
    /// let topology = Topology { virtual_networks: vec![virtual_network], ..Topology::default() };
    /// let network = Network::new(topology, Tags::default());
    /// let place = network.place("vnet", "ase").unwrap();
    ///
    /// let parts = network.routes_of_range(place, "10.0.255.0-10.1.0.255".parse().unwrap());
    /// let shown: Vec<(String, &Hop)> = parts.iter().map(|(part, it)| (part.to_string(), &it.route.next_hop)).collect();
    /// assert_eq!(shown, [("10.0.255.0/24".into(), &Hop::VnetLocal), ("10.1.0.0/24".into(), &Hop::None)]);
    /// ```
    pub fn routes_of_range(&self, place: Place, range: AddressRange) -> Vec<(AddressRange, Selection<'_>)> {
        self.routes(place).select_range(range)
    }
}
