//! Which way goes what leaves the environment's subnet.

use std::net::{IpAddr, Ipv4Addr};

use crate::policy::AddressRange;
use crate::vnet::{Change, Selection};
use crate::vnet::{EffectiveRoute, Gateway, Hop, Network, NextHop, Place, Route, RouteDestination, RouteSource};

use super::Patient;

/// The routes of one subnet, asked for single addresses and for whole ranges. IPv4 alone: an environment's VIP has no
/// other address.
pub(super) struct Ways<'a> {
    network: &'a Network,
    place: Place,
}

/// Where what no narrower route takes goes from a subnet. None where no route leads out of it.
pub fn way_out(network: &Network, place: Place) -> Option<Hop> {
    Ways { network, place }.outside().map(|way| way.route.next_hop.clone())
}

/// Addresses that one route takes.
pub(super) struct Stretch<'a> {
    pub(super) range: AddressRange,
    pub(super) way: Selection<'a>,
}

/// Addresses that nobody has (RFC 5737): they go the way of the Internet at large.
const ANYWHERE: [Ipv4Addr; 3] =
    [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(203, 0, 113, 1)];

impl<'a> Ways<'a> {
    pub(super) fn of(patient: &Patient<'a>) -> Ways<'a> {
        let Patient { network, place, .. } = *patient;
        Ways { network, place }
    }

    pub(super) fn to(&self, address: IpAddr) -> Option<Selection<'a>> {
        self.network.route(self.place, address)
    }

    /// The way of what no narrower route takes. Where two halves stand in for the default route, one of them.
    pub(super) fn outside(&self) -> Option<Selection<'a>> {
        let ways = ANYWHERE.into_iter().filter_map(|address| self.to(IpAddr::V4(address)));
        ways.min_by_key(|way| way.prefix.prefix_len())
    }

    /// A range, cut up by the routes that take its parts. Empty for IPv6; of IPv4 Azure's own default route takes what no
    /// other does.
    pub(super) fn stretches(&self, range: AddressRange) -> Vec<Stretch<'a>> {
        if !range.first().is_ipv4() {
            return Vec::new();
        }
        let parts = self.network.routes_of_range(self.place, range).into_iter();
        parts.map(|(range, way)| Stretch { range, way }).collect()
    }
}

impl Stretch<'_> {
    pub(super) fn hop(&self) -> &Hop {
        &self.way.route.next_hop
    }

    pub(super) fn size(&self) -> u64 {
        size(self.range)
    }

    /// Does a route that BGP brought take it, and one for less than everything?
    pub(super) fn is_by_specific_bgp(&self) -> bool {
        is_by_specific_bgp(&self.way)
    }
}

pub(super) fn is_by_specific_bgp(way: &Selection<'_>) -> bool {
    way.route.source == RouteSource::VirtualNetworkGateway && way.prefix.prefix_len() > 0
}

/// How many addresses of IPv4 there are in it.
pub(super) fn size(range: AddressRange) -> u64 {
    match (range.first(), range.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => u64::from(u32::from(last) - u32::from(first)) + 1,
        _ => 0,
    }
}

/// The way to one's own premises that the subnet has.
pub(super) fn gateway<'a>(patient: &Patient<'a>) -> Option<&'a Gateway> {
    patient.network.gateway_of(patient.place)
}

/// `route ase-routes/default (0.0.0.0/0 to VirtualAppliance 192.168.0.4)`
pub(super) fn shown(way: &Selection<'_>) -> String {
    format!("{} ({} to {})", route_name(way.route), destination(way), way.route.next_hop)
}

/// As the route is written: by its service tag, if it has one.
pub(super) fn destination(way: &Selection<'_>) -> String {
    way.route.tag.clone().unwrap_or_else(|| way.prefix.to_string())
}

fn route_name(route: &EffectiveRoute) -> String {
    match (&route.route_table, route.source) {
        (Some(table), _) => format!("route {table}/{}", route.name),
        (None, RouteSource::VirtualNetworkGateway) => "route by BGP".to_owned(),
        (None, _) => "system route".to_owned(),
    }
}

/// The changes that put routes into the subnet's route table, and make one where there is none.
pub(super) fn add_routes(patient: &Patient<'_>, routes: Vec<(String, RouteDestination, NextHop)>) -> Vec<Change> {
    let (table, hang) = table(patient);
    let route = |(name, destination, next_hop)| {
        let route = Route { name, destination, next_hop, at: crate::policy::Spot::nowhere() };
        Change::Route { table: table.clone(), route }
    };
    routes.into_iter().map(route).chain(hang.clone()).collect()
}

fn table(patient: &Patient<'_>) -> (String, Option<Change>) {
    if let Some(table) = patient.network.route_table_of(patient.place) {
        return (table.name.clone(), None);
    }
    let (network, subnet) = (patient.network.virtual_network(patient.place), patient.network.subnet(patient.place));
    let table = format!("{}-routes", subnet.name);
    let (network, subnet) = (network.name.clone(), subnet.name.clone());
    (table.clone(), Some(Change::SubnetRouteTable { network, subnet, table }))
}

/// Takes the route that leads astray out, where it is somebody's own.
pub(super) fn remove_route(way: &Selection<'_>) -> Option<Change> {
    let table = way.route.route_table.clone()?;
    Some(Change::RemoveRoute { table, route: way.route.name.clone() })
}
