//! The routes of a subnet, gathered: Azure's own, those of gateways, and those that users define.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ipnet::IpNet;

use crate::policy::{AddressRange, Spot};

use super::super::network::{Network, Place};
use super::super::topology::{NextHop, NoneRoutes, Route, RouteDestination, RouteTable, VirtualNetwork};
use super::table::{Preference, preference};
use super::{EffectiveRoute, Hop, RouteSource, RouteState};

/// Reserved for private use: dropped unless the network uses them or a default route of one's own leads elsewhere
/// (azure-docs, virtual-networks-udr-overview.md, 2023).
const UNUSED: [&str; 4] = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"];

/// Also dropped, as effective routes were seen to say in 2023.
const ALSO_UNUSED: [&str; 9] = [
    "127.0.0.0/8",
    "198.18.0.0/15",
    "157.59.0.0/16",
    "40.108.0.0/17",
    "40.109.0.0/16",
    "104.146.0.0/17",
    "104.147.0.0/16",
    "23.103.0.0/18",
    "20.35.252.0/22",
];

/// The service tag of each service that has endpoints.
pub(super) const SERVICES: &[(&str, &str)] = &[
    ("Microsoft.Sql", "Sql"),
    ("Microsoft.Storage", "Storage"),
    // The same for accounts of any region (azure-docs, virtual-network-service-endpoints-overview.md).
    ("Microsoft.Storage.Global", "Storage"),
    ("Microsoft.EventHub", "EventHub"),
    ("Microsoft.KeyVault", "AzureKeyVault"),
    ("Microsoft.AzureActiveDirectory", "AzureActiveDirectory"),
    ("Microsoft.AzureCosmosDB", "AzureCosmosDB"),
    ("Microsoft.ServiceBus", "ServiceBus"),
    ("Microsoft.ContainerRegistry", "AzureContainerRegistry"),
    ("Microsoft.Web", "AppService"),
];

/// Their endpoints lead to the region of the network alone; elsewhere the service is reached as anything else
/// (azure-docs, virtual-network-service-endpoints-overview.md, 2023).
const OF_ONE_REGION: [&str; 1] = ["Microsoft.Sql"];

pub(in super::super) fn effective(network: &Network, place: Place) -> Vec<EffectiveRoute> {
    let own = network.virtual_network(place);
    let table = network.route_table_of(place);
    let mut routes = connected(network, own);
    routes.extend(defaults(network, own, table));
    routes.extend(network.subnet(place).service_endpoints.iter().filter_map(|service| endpoint(network, service)));
    if !table.is_some_and(|table| table.disable_bgp_route_propagation) {
        routes.extend(
            network
                .gateway_routes(place)
                .map(|(net, at)| route(RouteSource::VirtualNetworkGateway, vec![net], Hop::VirtualNetworkGateway, at)),
        );
    }
    routes
        .extend(table.into_iter().flat_map(|table| table.routes.iter().map(|route| user(network, &table.name, route))));
    invalidate(&mut routes);
    routes
}

fn route(source: RouteSource, prefixes: Vec<IpNet>, next_hop: Hop, at: Spot) -> EffectiveRoute {
    let (name, route_table, tag) = (String::new(), None, None);
    EffectiveRoute { name, source, state: RouteState::Active, prefixes, next_hop, route_table, tag, at }
}

/// To the network itself and to its peers.
fn connected(network: &Network, own: &VirtualNetwork) -> Vec<EffectiveRoute> {
    let local = |net: &IpNet| route(RouteSource::Default, vec![*net], Hop::VnetLocal, own.at);
    let mut routes: Vec<EffectiveRoute> = own.address_space.iter().map(local).collect();
    for peering in &own.peerings {
        let name = peering.remote.clone();
        let hop = if peering.global { Hop::VnetGlobalPeering(name) } else { Hop::VnetPeering(name) };
        let space = network.connected_space(own, peering).into_iter();
        routes.extend(space.map(|net| route(RouteSource::Default, vec![net], hop.clone(), peering.at)));
    }
    routes
}

/// To the Internet, and to nowhere what should not go there.
fn defaults(network: &Network, own: &VirtualNetwork, table: Option<&RouteTable>) -> Vec<EffectiveRoute> {
    let net = |text: &str| text.parse::<IpNet>().expect("a literal prefix");
    let has_ipv6 = own.address_space.iter().any(|net| net.addr().is_ipv6());
    let internet = [net("0.0.0.0/0")].into_iter().chain(has_ipv6.then(|| net("::/0")));
    let mut routes: Vec<EffectiveRoute> =
        internet.map(|net| route(RouteSource::Default, vec![net], Hop::Internet, own.at)).collect();
    let written: HashSet<IpNet> = table.into_iter().flat_map(|table| &table.routes).filter_map(explicit).collect();
    if written.contains(&net("0.0.0.0/0")) {
        return routes;
    }
    let observed: &[&str] = match network.topology().switches.none_routes {
        NoneRoutes::Documented => &[],
        NoneRoutes::Observed => &ALSO_UNUSED,
    };
    let is_used = |unused: &IpNet| own.address_space.iter().any(|net| net.contains(unused));
    let unused = UNUSED.iter().chain(observed).map(|text| net(text));
    let unused = unused.filter(|net| !is_used(net) && !written.contains(net));
    routes.extend(unused.map(|net| route(RouteSource::Default, vec![net], Hop::None, own.at)));
    routes
}

fn explicit(route: &Route) -> Option<IpNet> {
    match route.destination {
        RouteDestination::Net(net) => Some(net.trunc()),
        RouteDestination::Tag(_) => None,
    }
}

/// The service tag whose prefixes the endpoint of a service leads to; None for a service that is not known here.
pub fn endpoint_tag(service: &str) -> Option<&'static str> {
    SERVICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, tag)| *tag)
}

fn endpoint(network: &Network, service: &str) -> Option<EffectiveRoute> {
    let (name, tag) = SERVICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(service))?;
    let regional = Some(*name).filter(|name| OF_ONE_REGION.contains(name)).and_then(|_| of_region(network, tag));
    let (tag, ranges) = regional.or_else(|| Some((*tag, network.tags().published(tag)?)))?;
    let hop = Hop::VirtualNetworkServiceEndpoint((*name).to_owned());
    let endpoint = route(RouteSource::Default, nets(&ranges), hop, Spot::nowhere());
    Some(EffectiveRoute { tag: Some(tag.to_owned()), ..endpoint })
}

/// The tag of a service in the region of the topology, as far as both are known.
fn of_region<'n>(network: &'n Network, tag: &str) -> Option<(&'n str, Arc<[AddressRange]>)> {
    let location: String = network.topology().location.split_whitespace().collect();
    let wanted = format!("{tag}.{location}");
    let known = network.tags().names().into_iter().find(|name| name.eq_ignore_ascii_case(&wanted))?;
    Some((known, network.tags().published(known)?))
}

fn nets(ranges: &[AddressRange]) -> Vec<IpNet> {
    ranges.iter().flat_map(|range| range.nets()).collect()
}

fn user(network: &Network, table: &str, written: &Route) -> EffectiveRoute {
    let (prefixes, tag) = match &written.destination {
        RouteDestination::Net(net) => (vec![net.trunc()], None),
        RouteDestination::Tag(tag) => {
            let ranges = network.tags().published(tag);
            (ranges.map(|ranges| nets(&ranges)).unwrap_or_default(), Some(tag.clone()))
        }
    };
    let route = route(RouteSource::User, prefixes, written.next_hop.into(), written.at);
    EffectiveRoute { name: written.name.clone(), route_table: Some(table.to_owned()), tag, ..route }
}

impl From<NextHop> for Hop {
    fn from(hop: NextHop) -> Hop {
        match hop {
            NextHop::VirtualNetworkGateway => Hop::VirtualNetworkGateway,
            NextHop::VnetLocal => Hop::VnetLocal,
            NextHop::Internet => Hop::Internet,
            NextHop::VirtualAppliance(address) => Hop::VirtualAppliance(address),
            NextHop::None => Hop::None,
        }
    }
}

/// A route is not in force when for each of its prefixes another one is preferred.
fn invalidate(routes: &mut [EffectiveRoute]) {
    let mut preferred: HashMap<IpNet, (Preference, usize)> = HashMap::new();
    for (at, route) in routes.iter().enumerate() {
        let own = preference(route);
        for net in &route.prefixes {
            let best = preferred.entry(*net).or_insert((own, at));
            if own > best.0 {
                *best = (own, at);
            }
        }
    }
    for (at, route) in routes.iter_mut().enumerate() {
        let is_beaten = route.prefixes.iter().all(|net| preferred.get(net).is_some_and(|(_, best)| *best != at));
        if is_beaten && !route.prefixes.is_empty() {
            route.state = RouteState::Invalid;
        }
    }
}
