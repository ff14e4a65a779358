//! Which way a packet goes.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::{AddressRange, Spot};

use super::network::{Network, Place};
use super::topology::{NextHop, Route, RouteDestination};

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
    /// With the name of the other network.
    VnetPeering(String),
    VnetGlobalPeering(String),
    VirtualNetworkGateway,
    /// With the service, as Azure calls it.
    VirtualNetworkServiceEndpoint(String),
    VirtualAppliance(IpAddr),
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
            Hop::Internet => "Internet",
            Hop::None => "None",
        }
    }
}

/// Reserved for private use: dropped unless the network uses them or a default route of one's own leads elsewhere
/// (azure-docs, virtual-networks-udr-overview.md, 2023).
const UNUSED: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];

/// The service tag of each service that has endpoints.
const SERVICES: &[(&str, &str)] = &[
    ("Microsoft.Sql", "Sql"),
    ("Microsoft.Storage", "Storage"),
    ("Microsoft.EventHub", "EventHub"),
    ("Microsoft.KeyVault", "AzureKeyVault"),
    ("Microsoft.AzureActiveDirectory", "AzureActiveDirectory"),
    ("Microsoft.AzureCosmosDB", "AzureCosmosDB"),
    ("Microsoft.ServiceBus", "ServiceBus"),
    ("Microsoft.ContainerRegistry", "AzureContainerRegistry"),
    ("Microsoft.Web", "AppService"),
];

pub(super) fn effective(network: &Network, place: Place) -> Vec<EffectiveRoute> {
    let mut routes = system(network, place);
    let table = network.route_table_of(place);
    if !table.is_some_and(|table| table.disable_bgp_route_propagation) {
        let gateway = network.virtual_network(place).gateway.iter();
        routes.extend(gateway.flat_map(|gateway| {
            gateway.routes.iter().map(|net| {
                route(RouteSource::VirtualNetworkGateway, vec![*net], Hop::VirtualNetworkGateway, gateway.at)
            })
        }));
    }
    let own = table.into_iter().flat_map(|table| table.routes.iter().map(move |route| (table.name.as_str(), route)));
    routes.extend(own.map(|(table, route)| user(network, table, route)));
    let is_default = |net: &IpNet| net.prefix_len() == 0 && net.addr().is_ipv4();
    let overridden = routes.iter().any(|it| it.source == RouteSource::User && it.prefixes.iter().any(is_default));
    if overridden {
        routes.retain(|it| it.source != RouteSource::Default || it.next_hop != Hop::None);
    }
    let invalid: Vec<bool> = routes.iter().map(|it| routes.iter().any(|other| overrides(other, it))).collect();
    for (it, invalid) in routes.iter_mut().zip(invalid) {
        if invalid {
            it.state = RouteState::Invalid;
        }
    }
    routes
}

fn overrides(other: &EffectiveRoute, it: &EffectiveRoute) -> bool {
    let is_endpoint = |it: &EffectiveRoute| matches!(it.next_hop, Hop::VirtualNetworkServiceEndpoint(_));
    other.source > it.source
        && !is_endpoint(it)
        && !it.prefixes.is_empty()
        && it.prefixes.iter().all(|net| other.prefixes.contains(net))
}

fn route(source: RouteSource, prefixes: Vec<IpNet>, next_hop: Hop, at: Spot) -> EffectiveRoute {
    EffectiveRoute {
        name: String::new(),
        source,
        state: RouteState::Active,
        prefixes,
        next_hop,
        route_table: None,
        tag: None,
        at,
    }
}

fn system(network: &Network, place: Place) -> Vec<EffectiveRoute> {
    let own = network.virtual_network(place);
    let local = |net: &IpNet| route(RouteSource::Default, vec![*net], Hop::VnetLocal, own.at);
    let mut routes: Vec<EffectiveRoute> = own.address_space.iter().map(local).collect();
    for peering in &own.peerings {
        let name = peering.remote.clone();
        let hop = if peering.global { Hop::VnetGlobalPeering(name) } else { Hop::VnetPeering(name) };
        let space = network.remote_space(peering).into_iter();
        routes.extend(space.map(|net| route(RouteSource::Default, vec![net], hop.clone(), peering.at)));
    }
    let any: IpNet = "0.0.0.0/0".parse().expect("a literal prefix");
    routes.push(route(RouteSource::Default, vec![any], Hop::Internet, own.at));
    let unused = UNUSED.iter().map(|text| text.parse::<IpNet>().expect("a literal prefix"));
    let unused: Vec<IpNet> = unused.filter(|net| !own.address_space.contains(net)).collect();
    routes.extend(unused.into_iter().map(|net| route(RouteSource::Default, vec![net], Hop::None, own.at)));
    routes.extend(network.subnet(place).service_endpoints.iter().filter_map(|service| endpoint(network, service)));
    routes
}

fn endpoint(network: &Network, service: &str) -> Option<EffectiveRoute> {
    let (name, tag) = SERVICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(service))?;
    let ranges = network.tags().published(tag)?;
    let hop = Hop::VirtualNetworkServiceEndpoint((*name).to_owned());
    let endpoint = route(RouteSource::Default, nets(&ranges), hop, Spot::nowhere());
    Some(EffectiveRoute { tag: Some((*tag).to_owned()), ..endpoint })
}

fn nets(ranges: &[AddressRange]) -> Vec<IpNet> {
    ranges.iter().flat_map(|range| range.nets()).collect()
}

fn user(network: &Network, table: &str, written: &Route) -> EffectiveRoute {
    let (prefixes, tag) = match &written.destination {
        RouteDestination::Net(net) => (vec![*net], None),
        RouteDestination::Tag(tag) => {
            let ranges = network.tags().published(tag);
            (ranges.map(|ranges| nets(&ranges)).unwrap_or_default(), Some(tag.clone()))
        }
    };
    let hop = match written.next_hop {
        NextHop::VirtualNetworkGateway => Hop::VirtualNetworkGateway,
        NextHop::VnetLocal => Hop::VnetLocal,
        NextHop::Internet => Hop::Internet,
        NextHop::VirtualAppliance(address) => Hop::VirtualAppliance(address),
        NextHop::None => Hop::None,
    };
    let route = route(RouteSource::User, prefixes, hop, written.at);
    EffectiveRoute { name: written.name.clone(), route_table: Some(table.to_owned()), tag, ..route }
}

/// The route that takes a packet.
pub(super) fn select(routes: &[EffectiveRoute], destination: IpAddr) -> Option<Selection<'_>> {
    let holding = routes
        .iter()
        .flat_map(|route| route.prefixes.iter().filter(|net| net.contains(&destination)).map(move |net| (route, *net)));
    let mut holding: Vec<(&EffectiveRoute, IpNet)> = holding.collect();
    holding.sort_by_key(|(route, net)| std::cmp::Reverse(rank(route, *net)));
    let mut holding = holding.into_iter();
    let (route, prefix) = holding.next()?;
    let beaten: Vec<_> = holding.collect();
    let why = match beaten.first() {
        None => Why::Only,
        _ if matches!(route.next_hop, Hop::VirtualNetworkServiceEndpoint(_)) => Why::ServiceEndpoint,
        Some((_, net)) if net.prefix_len() < prefix.prefix_len() => Why::LongestPrefix,
        Some((_, net)) if net.prefix_len() > prefix.prefix_len() => Why::SystemBeforeBgp,
        Some((other, _)) if other.source == route.source => Why::TagOrder,
        Some(_) => Why::Source,
    };
    Some(Selection { route, prefix, why, beaten })
}

/// The greater is preferred.
fn rank(route: &EffectiveRoute, net: IpNet) -> (bool, u8, RouteSource, bool) {
    let endpoint = matches!(route.next_hop, Hop::VirtualNetworkServiceEndpoint(_));
    (endpoint, net.prefix_len(), route.source, route.tag.is_none())
}
