//! What Azure's documents say of routes, case by case, and what holds of all networks.

use std::cmp::Reverse;

use proptest::prelude::*;

use crate::vnet::samples::{SUBNET, VNET, built, worked};
use crate::vnet::{
    Gateway, NextHop, NoneRoutes, Peering, Route, RouteDestination, Topology, VirtualNetwork, arbitrary,
};

use super::table::preference;
use super::*;

fn route(name: &str, to: &str, next_hop: NextHop) -> Route {
    let destination = to.parse().map_or_else(|_| RouteDestination::Tag(to.into()), RouteDestination::Net);
    Route { name: name.into(), destination, next_hop, at: Spot::nowhere() }
}

/// The worked set-up with these routes, and no service endpoints.
fn routed(routes: Vec<Route>) -> Topology {
    let mut topology = worked();
    topology.route_tables[0].routes = routes;
    topology.virtual_networks[0].subnets[0].service_endpoints.clear();
    topology
}

fn advertises(topology: &mut Topology, nets: &[&str]) {
    let routes = nets.iter().map(|net| net.parse().unwrap()).collect();
    topology.virtual_networks[0].gateway = Some(Gateway { routes, ..Gateway::default() });
}

/// `prefix hop`, with `!` where the route is not in force.
fn listed(network: &Network) -> Vec<String> {
    let place = network.place(VNET, SUBNET).unwrap();
    let shown = network.effective_routes(place).iter().map(|route| {
        let state = if route.state == RouteState::Active { "" } else { "!" };
        let prefix = route.tag.clone().unwrap_or_else(|| route.prefixes[0].to_string());
        format!("{state}{prefix} {}", route.next_hop.as_str())
    });
    shown.collect()
}

fn selected(network: &Network, to: &str) -> (String, &'static str, Why) {
    let place = network.place(VNET, SUBNET).unwrap();
    let it = network.route(place, to.parse().unwrap()).unwrap();
    (it.prefix.to_string(), it.route.next_hop.as_str(), it.why)
}

fn check(network: &Network, to: &str, prefix: &str, hop: &'static str, why: Why) {
    assert_eq!(selected(network, to), (prefix.to_owned(), hop, why), "{to}");
}

const FIREWALL: NextHop = NextHop::VirtualAppliance(IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 0, 4)));

#[test]
fn system_routes() {
    let network = built(routed(Vec::new()));
    let expected = [
        "192.168.0.0/16 VnetLocal",
        "0.0.0.0/0 Internet",
        "10.0.0.0/8 None",
        "100.64.0.0/10 None",
        "172.16.0.0/12 None",
    ];
    assert_eq!(listed(&network), expected);
    let mut topology = routed(Vec::new());
    topology.virtual_networks[0]
        .address_space
        .extend(["10.1.0.0/16", "fd00::/48"].map(|net| net.parse::<IpNet>().unwrap()));
    let network = built(topology);
    assert!(listed(&network).contains(&"10.0.0.0/8 None".to_owned()));
    check(&network, "2600::1", "::/0", "Internet", Why::Only);
    check(&network, "10.1.2.3", "10.1.0.0/16", "VnetLocal", Why::LongestPrefix);
    check(&network, "10.2.2.3", "10.0.0.0/8", "None", Why::LongestPrefix);
    assert!(
        built(routed(Vec::new())).route(network.place(VNET, SUBNET).unwrap(), "2600::1".parse().unwrap()).is_none()
    );
}

#[test]
fn routes_that_drop_vanish_under_a_default_route_of_ones_own() {
    let network = built(routed(vec![route("default", "0.0.0.0/0", FIREWALL)]));
    assert_eq!(listed(&network), ["192.168.0.0/16 VnetLocal", "!0.0.0.0/0 Internet", "0.0.0.0/0 VirtualAppliance"]);
    check(&network, "10.2.3.4", "0.0.0.0/0", "VirtualAppliance", Why::Source);
    let network = built(routed(vec![route("ten", "10.0.0.0/8", FIREWALL)]));
    assert_eq!(
        listed(&network),
        [
            "192.168.0.0/16 VnetLocal",
            "0.0.0.0/0 Internet",
            "100.64.0.0/10 None",
            "172.16.0.0/12 None",
            "10.0.0.0/8 VirtualAppliance",
        ]
    );
}

#[test]
fn further_routes_that_drop_were_observed() {
    let mut topology = routed(Vec::new());
    let hop = |topology: &Topology| selected(&built(topology.clone()), "198.18.0.1").1;
    assert_eq!(hop(&topology), "Internet");
    topology.switches.none_routes = NoneRoutes::Observed;
    assert_eq!(hop(&topology), "None");
    assert_eq!(listed(&built(topology.clone())).len(), 5 + 9);
    topology.route_tables[0].routes.push(route("default", "0.0.0.0/0", FIREWALL));
    assert_eq!(listed(&built(topology)).len(), 3);
}

#[test]
fn of_one_prefix_user_defined_routes_are_before_bgp_and_that_before_system_routes() {
    let mut topology = routed(Vec::new());
    advertises(&mut topology, &["0.0.0.0/0"]);
    check(&built(topology.clone()), "198.51.100.1", "0.0.0.0/0", "VirtualNetworkGateway", Why::Source);
    topology.route_tables[0].routes.push(route("default", "0.0.0.0/0", FIREWALL));
    let network = built(topology);
    check(&network, "198.51.100.1", "0.0.0.0/0", "VirtualAppliance", Why::Source);
    let place = network.place(VNET, SUBNET).unwrap();
    let beaten = network.route(place, "198.51.100.1".parse().unwrap()).unwrap().beaten;
    let beaten: Vec<&str> = beaten.iter().map(|(route, _)| route.next_hop.as_str()).collect();
    assert_eq!(beaten, ["VirtualNetworkGateway", "Internet"]);
    assert_eq!(
        listed(&network),
        [
            "192.168.0.0/16 VnetLocal",
            "!0.0.0.0/0 Internet",
            "!0.0.0.0/0 VirtualNetworkGateway",
            "0.0.0.0/0 VirtualAppliance",
        ]
    );
}

#[test]
fn a_more_specific_bgp_route_beats_a_default_route_but_not_the_network_itself() {
    let mut topology = routed(vec![route("default", "0.0.0.0/0", FIREWALL)]);
    advertises(&mut topology, &["13.64.0.0/11", "192.168.7.0/24", "192.168.0.0/16"]);
    let network = built(topology.clone());
    check(&network, "13.70.0.1", "13.64.0.0/11", "VirtualNetworkGateway", Why::LongestPrefix);
    check(&network, "192.168.7.1", "192.168.0.0/16", "VnetLocal", Why::SystemBeforeBgp);
    topology.route_tables[0].disable_bgp_route_propagation = true;
    check(&built(topology), "13.70.0.1", "0.0.0.0/0", "VirtualAppliance", Why::Source);
}

#[test]
fn a_user_defined_route_overrides_the_network_itself() {
    let network = built(routed(vec![route("own", "192.168.0.0/16", FIREWALL)]));
    check(&network, "192.168.7.1", "192.168.0.0/16", "VirtualAppliance", Why::Source);
    assert_eq!(listed(&network)[0], "!192.168.0.0/16 VnetLocal");
}

#[test]
fn routes_of_service_endpoints_are_before_everything() {
    let mut topology = routed(vec![route("one", "40.78.0.1/32", FIREWALL), route("sql", "Sql", NextHop::Internet)]);
    topology.virtual_networks[0].subnets[0].service_endpoints = vec!["microsoft.SQL".into()];
    let network = built(topology.clone());
    let place = network.place(VNET, SUBNET).unwrap();
    let sql = network.tags().published("Sql").unwrap();
    let inside = sql.iter().find(|range| range.first().is_ipv4()).unwrap().first();
    topology.route_tables[0].routes[0] = route("one", &format!("{inside}/32"), FIREWALL);
    let network = built(topology);
    let it = network.route(place, inside).unwrap();
    assert_eq!(it.route.next_hop, Hop::VirtualNetworkServiceEndpoint("Microsoft.Sql".into()));
    assert_eq!(it.why, Why::ServiceEndpoint);
    assert_eq!(it.beaten[0].0.name, "one");
    let states: Vec<(&str, RouteState)> = network
        .effective_routes(place)
        .iter()
        .filter(|route| route.source == RouteSource::User)
        .map(|route| (route.name.as_str(), route.state))
        .collect();
    assert_eq!(states, [("one", RouteState::Active), ("sql", RouteState::Invalid)]);
    let neighbour = network.place(VNET, "AzureFirewallSubnet").unwrap();
    assert_eq!(network.route(neighbour, inside).unwrap().route.next_hop, Hop::Internet);
}

#[test]
fn an_explicit_prefix_is_before_a_tag_and_a_regional_tag_before_a_global_one() {
    let select = |routes: &[(&str, &str)]| {
        let routes = routes.iter().map(|(name, to)| route(name, to, NextHop::Internet)).collect();
        let network = Network::new(routed(routes), arbitrary::tags());
        let place = network.place(VNET, SUBNET).unwrap();
        let it = network.route(place, "192.0.2.200".parse().unwrap()).unwrap();
        (it.route.name.clone(), it.why)
    };
    let mut routes =
        vec![("cloud", "AzureCloud"), ("all", "Storage"), ("region", "storage.westus2"), ("net", "192.0.2.0/24")];
    for expected in ["net", "region", "all"] {
        assert_eq!(select(&routes), (expected.to_owned(), Why::TagOrder));
        routes.pop();
    }
    assert_eq!(select(&routes), ("cloud".to_owned(), Why::LongestPrefix));
}

/// The worked network peered with two others, of which one peers back and lends its gateway.
fn peered() -> Topology {
    let mut topology = routed(Vec::new());
    let peering = |remote: &str| Peering {
        remote: remote.into(),
        use_remote_gateways: true,
        allow_gateway_transit: true,
        allow_virtual_network_access: true,
        ..Peering::default()
    };
    let network = |name: &str, space: &str, peerings| VirtualNetwork {
        name: name.into(),
        address_space: vec![space.parse().unwrap()],
        peerings,
        gateway: Some(Gateway { routes: vec!["172.20.0.0/16".parse().unwrap()], ..Gateway::default() }),
        ..VirtualNetwork::default()
    };
    topology.virtual_networks.push(network("hub", "10.1.0.0/16", vec![peering(VNET)]));
    topology.virtual_networks.push(network("alone", "10.2.0.0/16", Vec::new()));
    let far = Peering { global: true, remote_space: vec!["10.3.0.0/16".parse().unwrap()], ..peering("far") };
    topology.virtual_networks[0].peerings = vec![peering("HUB"), peering("alone"), far];
    topology
}

#[test]
fn peerings_that_both_sides_have() {
    let mut topology = peered();
    let network = built(topology.clone());
    check(&network, "10.1.0.4", "10.1.0.0/16", "VNetPeering", Why::LongestPrefix);
    check(&network, "10.2.0.4", "10.0.0.0/8", "None", Why::LongestPrefix);
    check(&network, "10.3.0.4", "10.3.0.0/16", "VNetGlobalPeering", Why::LongestPrefix);
    check(&network, "172.20.0.1", "172.20.0.0/16", "VirtualNetworkGateway", Why::LongestPrefix);
    topology.virtual_networks[1].peerings[0].allow_gateway_transit = false;
    check(&built(topology), "172.20.0.1", "172.16.0.0/12", "None", Why::LongestPrefix);
}

#[test]
fn routes_that_were_read_are_taken_as_they_are() {
    let network = built(worked());
    let place = network.place(VNET, SUBNET).unwrap();
    let read = |prefix: &str, source, state, next_hop| EffectiveRoute {
        name: String::new(),
        source,
        state,
        prefixes: vec![prefix.parse().unwrap()],
        next_hop,
        route_table: None,
        tag: None,
        at: Spot::nowhere(),
    };
    let network = network.with_effective_routes(
        place,
        vec![
            read("0.0.0.0/0", RouteSource::User, RouteState::Invalid, Hop::None),
            read("0.0.0.0/0", RouteSource::Default, RouteState::Active, Hop::Internet),
            read("192.168.3.4/32", RouteSource::Default, RouteState::Active, Hop::InterfaceEndpoint),
        ],
    );
    check(&network, "198.51.100.1", "0.0.0.0/0", "Internet", Why::Source);
    check(&network, "192.168.3.4", "192.168.3.4/32", "InterfaceEndpoint", Why::LongestPrefix);
    assert_eq!(network.topology(), &worked());
}

/// One route after the other, as the document tells it.
fn walked(routes: &[EffectiveRoute], to: IpAddr) -> Option<(&EffectiveRoute, IpNet)> {
    let is_endpoint = |route: &EffectiveRoute| matches!(route.next_hop, Hop::VirtualNetworkServiceEndpoint(_));
    let is_connected = |route: &EffectiveRoute| {
        route.source == RouteSource::Default
            && matches!(route.next_hop, Hop::VnetLocal | Hop::VnetPeering(_) | Hop::VnetGlobalPeering(_))
    };
    let holding = |route: &EffectiveRoute| route.prefixes.iter().copied().find(|net| net.contains(&to));
    let active = routes.iter().filter(|route| route.state == RouteState::Active);
    let mut found: Vec<(&EffectiveRoute, IpNet)> =
        active.filter_map(|route| longest(route, to).or(holding(route)).map(|net| (route, net))).collect();
    if found.iter().any(|(route, _)| is_endpoint(route)) {
        found.retain(|(route, _)| is_endpoint(route));
    }
    if found.iter().any(|(route, _)| is_connected(route)) {
        found.retain(|(route, _)| route.source != RouteSource::VirtualNetworkGateway);
    }
    let length = found.iter().map(|(_, net)| net.prefix_len()).max()?;
    found.retain(|(_, net)| net.prefix_len() == length);
    let source = found.iter().map(|(route, _)| (is_endpoint(route), route.source)).max()?;
    found.retain(|(route, _)| (is_endpoint(route), route.source) == source);
    found.sort_by_key(|(route, _)| Reverse(preference(route)));
    found.into_iter().next()
}

fn longest(route: &EffectiveRoute, to: IpAddr) -> Option<IpNet> {
    route.prefixes.iter().copied().filter(|net| net.contains(&to)).max_by_key(|net| net.prefix_len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn selected_and_walked_agree(topology in arbitrary::topology(), to in arbitrary::address()) {
        let network = Network::new(topology, arbitrary::tags());
        let place = network.place(arbitrary::VNET, arbitrary::SUBNET).unwrap();
        let selected = network.route(place, to).map(|it| (it.route, it.prefix));
        prop_assert_eq!(selected, walked(network.effective_routes(place), to));
    }

    #[test]
    fn the_next_hop_is_the_selected_route(topology in arbitrary::topology(), to in arbitrary::address()) {
        let network = Network::new(topology, arbitrary::tags());
        let place = network.place(arbitrary::VNET, arbitrary::SUBNET).unwrap();
        let selected = network.route(place, to).map(|it| (it.route, it.prefix));
        prop_assert_eq!(network.next_hop(place, to), selected);
    }

    #[test]
    fn the_longest_prefix_is_selected_among_routes_of_one_kind(topology in arbitrary::topology(), to in arbitrary::address()) {
        let network = Network::new(topology, arbitrary::tags());
        let place = network.place(arbitrary::VNET, arbitrary::SUBNET).unwrap();
        let Some(it) = network.route(place, to) else { return Ok(()) };
        for (other, net) in it.beaten.iter().filter(|(other, _)| other.source == it.route.source) {
            let endpoint = matches!(it.route.next_hop, Hop::VirtualNetworkServiceEndpoint(_));
            prop_assert!(endpoint || net.prefix_len() <= it.prefix.prefix_len(), "{:?}", other);
        }
        let same = it.beaten.iter().filter(|(_, net)| *net == it.prefix);
        prop_assert!(same.into_iter().all(|(other, _)| preference(other) <= preference(it.route)));
    }

    #[test]
    fn a_range_is_routed_as_its_addresses_are(
        topology in arbitrary::topology(), range in arbitrary::range(), more in proptest::collection::vec(arbitrary::address(), 12),
    ) {
        let network = Network::new(topology, arbitrary::tags());
        let place = network.place(arbitrary::VNET, arbitrary::SUBNET).unwrap();
        let parts = network.routes_of_range(place, range);
        let ends = parts.iter().flat_map(|(part, _)| [part.first(), part.last()]);
        for address in ends.chain(more).chain([range.first(), range.last()]).filter(|it| range.contains(*it)) {
            let found: Vec<_> = parts.iter().filter(|(part, _)| part.contains(address)).map(|(_, it)| it).collect();
            prop_assert!(found.len() <= 1);
            let selected = network.route(place, address);
            prop_assert_eq!(found.first().copied(), selected.as_ref());
        }
    }
}
