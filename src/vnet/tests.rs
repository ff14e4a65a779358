//! A trace and the engine are asked about the same flows: what becomes of a request is one verdict.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use crate::allowlist::builtin;
use crate::flow::{Authority, Host, HostName, PortSet, Protocol, Reason};
use crate::policy::{
    Action, Address, AddressSet, IpProtocols, NetworkRule, Policy, PolicyRules, Priority, PrivateAddresses, Query,
    RuleCollection, RuleCollectionGroup, RuleSet, Rules, Spot,
};

use super::samples::{self, VNET};
use super::trace::{By, Outcome, Scene, Step, Target, Trace};
use super::{
    Crossing, Egress, FIREWALL_SUBNET, FlowDirection, Flows, Gateway, Hop, NextHop, Peering, Route, RouteDestination,
    RouteTable, SecurityProtocol, SecurityRule, Subnet, Topology, VirtualNetwork, Way, arbitrary,
};

const CLIENT: &str = "192.168.251.140";

/// What a request comes to, as far as both of them look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Through,
    BySecurityGroup,
    ByFirewall,
    /// No way leads there.
    Nowhere,
    /// It comes to an appliance that is no firewall.
    Unknown,
}

/// None where only a trace looks: which way goes on what leaves the topology's firewall to an appliance, or to nowhere.
fn told(trace: &Trace) -> Option<Fate> {
    if !trace.reply.is_empty() {
        return Some(Fate::Through);
    }
    let is_asked = |step: &Step| matches!(step, Step::Firewall(_));
    let is_beyond = trace.request.iter().any(|it| it.steps.iter().any(is_asked));
    Some(match &trace.outcome {
        Outcome::Denied { by: By::SecurityGroup, .. } => Fate::BySecurityGroup,
        Outcome::Denied { by: By::Firewall, .. } => Fate::ByFirewall,
        Outcome::Denied { by: By::Peering, .. } | Outcome::BlackHole { .. } => Fate::Nowhere,
        Outcome::Unknown(_) if !is_beyond => Fate::Unknown,
        Outcome::Delivered | Outcome::Asymmetric(_) => Fate::Through,
        Outcome::Denied { by: By::LoadBalancer, .. } | Outcome::Unknown(_) | Outcome::Unresolved(_) => return None,
    })
}

fn decided(crossing: &Crossing<'_>) -> Fate {
    let is_to_appliance = || {
        let hop = crossing.route.map(|(route, _)| &route.next_hop);
        crossing.way == Way::Past && matches!(hop, Some(Hop::VirtualAppliance(_)))
    };
    match crossing.decision.reason {
        // Its groups are asked as if the appliance passed it on.
        _ if is_to_appliance() => Fate::Unknown,
        Reason::NsgDenied => Fate::BySecurityGroup,
        Reason::NoRoute => Fate::Nowhere,
        Reason::NotAllowed | Reason::PortNotAllowed | Reason::DeniedByRule => Fate::ByFirewall,
        _ => Fate::Through,
    }
}

/// None where Egret keeps flows from the machine that it is on: a trace is of Azure alone.
fn both(topology: Topology, policy: &Policy, from: &str, to: &str) -> Option<(Fate, Fate)> {
    let network = samples::built(topology);
    let given = |_: &HostName, _: u16| -> Vec<IpAddr> { Vec::new() };
    let scene = Scene { network: &network, policy: Some(policy), given: &given };
    let (client, target) = (Target::parse(from).unwrap(), Target::parse(to).unwrap());
    let protocol = target.scheme.unwrap_or(Protocol::Tcp);
    let to = Authority { host: Host::parse(&target.name).unwrap(), port: target.port.unwrap_or(0) };
    let query = Query::new(Some(from.parse().unwrap()), protocol, &to.host, to.port).outbound();
    let crossing = Egress::new(policy, Some(&network), Flows::New).decide(&query, 50_000).crossing?;
    if crossing.decision.reason == Reason::InternalAddress {
        return None;
    }
    let trace = Trace::of(scene, Some(&client), &target).unwrap();
    Some((told(&trace)?, decided(&crossing)))
}

fn ase() -> Policy {
    let rules = RuleSet { policies: vec![builtin("ase").unwrap().rules], ..RuleSet::default() };
    Policy::compile(Arc::new(rules), PrivateAddresses::Allow)
}

/// By a network rule for all of TCP, to private addresses too.
fn everything() -> Policy {
    let rule = NetworkRule {
        name: "tcp".to_owned(),
        sources: AddressSet::any(),
        protocols: IpProtocols::TCP,
        destinations: AddressSet::any(),
        ports: PortSet::any(),
        ..NetworkRule::default()
    };
    let priority = Priority::try_from(100).unwrap();
    let rules = Rules::Network(Action::Allow, vec![rule]);
    let collection = RuleCollection { name: "all".to_owned(), priority, rules, at: Spot::nowhere() };
    let group =
        RuleCollectionGroup { name: "g".to_owned(), priority, collections: vec![collection], at: Spot::nowhere() };
    let policy = PolicyRules { name: "open".to_owned(), groups: vec![group], ..PolicyRules::default() };
    let rules = RuleSet { policies: vec![policy], ..RuleSet::default() };
    Policy::compile(Arc::new(rules), PrivateAddresses::Allow)
}

#[track_caller]
fn check(topology: &Topology, to: &str, expected: Fate) {
    check_by(&ase(), topology, to, expected);
}

#[track_caller]
fn check_by(policy: &Policy, topology: &Topology, to: &str, expected: Fate) {
    let found = both(topology.clone(), policy, CLIENT, to);
    assert_eq!(found, Some((expected, expected)), "{to}: the trace, and the engine");
}

fn with_route(mut topology: Topology, to: &str, next_hop: NextHop) -> Topology {
    let destination = RouteDestination::Net(to.parse().unwrap());
    topology.route_tables[0].routes.push(Route { name: "more".into(), destination, next_hop, at: Spot::nowhere() });
    topology
}

fn with_peer(near: bool, far: bool) -> Topology {
    let mut topology = samples::worked();
    let half = |remote: &str, allow_virtual_network_access| Peering {
        name: format!("to-{remote}"),
        remote: remote.into(),
        allow_virtual_network_access,
        ..Peering::default()
    };
    topology.virtual_networks[0].peerings.push(half("spoke", near));
    let subnet = Subnet { name: "web".into(), prefixes: vec!["10.7.1.0/24".parse().unwrap()], ..Subnet::default() };
    topology.virtual_networks.push(VirtualNetwork {
        name: "spoke".into(),
        address_space: vec!["10.7.0.0/16".parse().unwrap()],
        subnets: vec![subnet],
        peerings: vec![half(VNET, far)],
        ..VirtualNetwork::default()
    });
    topology
}

#[test]
fn the_worked_set_up() {
    let worked = samples::worked();
    for (to, expected) in [
        ("tcp://198.51.100.7:443", Fate::ByFirewall),
        ("tcp://198.51.100.7:25", Fate::BySecurityGroup),
        ("tcp://40.77.24.27:443", Fate::Through),
        ("tcp://192.168.251.150:8080", Fate::Through),
        ("udp://198.51.100.7:123", Fate::ByFirewall),
        ("tcp://192.168.9.9:443", Fate::Nowhere),
    ] {
        check(&worked, to, expected);
    }
}

#[test]
fn next_hops_that_lead_nowhere() {
    let worked = samples::worked;
    let to = "tcp://198.51.100.7:443";
    for next_hop in [
        NextHop::None,
        NextHop::VirtualNetworkGateway,
        NextHop::VnetLocal,
        NextHop::VirtualAppliance("192.168.251.150".parse().unwrap()),
        NextHop::VirtualAppliance("10.99.0.4".parse().unwrap()),
        NextHop::VirtualAppliance("192.168.9.9".parse().unwrap()),
    ] {
        check(&with_route(worked(), "198.51.100.0/24", next_hop), to, Fate::Nowhere);
    }
    check(&with_route(worked(), "198.51.100.0/24", NextHop::Internet), to, Fate::Through);
    check(&with_route(worked(), "10.9.0.0/16", NextHop::Internet), "tcp://10.9.0.1:443", Fate::Nowhere);
    let mut with_gateway = worked();
    with_gateway.virtual_networks[0].gateway =
        Some(Gateway { routes: vec!["10.0.0.0/8".parse().unwrap()], ..Gateway::default() });
    let forced = with_route(with_gateway, "198.51.100.0/24", NextHop::VirtualNetworkGateway);
    check(&forced, to, Fate::Through);
    check(&forced, "tcp://10.9.0.1:443", Fate::Through);
    let behind = with_route(forced, "172.16.0.0/12", NextHop::VirtualNetworkGateway);
    check(&behind, "tcp://172.16.0.1:443", Fate::Nowhere);
}

#[test]
fn peerings_that_let_nothing_through() {
    for (near, far, expected) in
        [(true, true, Fate::Through), (false, true, Fate::Nowhere), (true, false, Fate::Nowhere)]
    {
        check(&with_peer(near, far), "tcp://10.7.1.4:443", expected);
    }
    check(&with_peer(true, true), "tcp://10.7.2.4:443", Fate::Nowhere);
    let mut half = with_peer(true, true);
    half.virtual_networks[1].peerings.clear();
    check(&half, "tcp://10.7.1.4:443", Fate::ByFirewall);
}

/// Which appliance is the firewall: the one that has a firewall's address, or any where no firewall has one.
#[test]
fn what_is_taken_for_the_firewall() {
    let to = "tcp://198.51.100.7:443";
    let appliance = NextHop::VirtualAppliance("192.168.7.4".parse().unwrap());
    let mut topology = with_route(samples::worked(), "198.51.100.0/24", appliance);
    let subnet = Subnet { name: "nva".into(), prefixes: vec!["192.168.7.0/24".parse().unwrap()], ..Subnet::default() };
    topology.virtual_networks[0].subnets.push(subnet);
    check(&topology, to, Fate::Unknown);
    topology.firewalls[0].private_address = None;
    check(&topology, to, Fate::ByFirewall);
    check_by(&everything(), &topology, to, Fate::Through);
    topology.firewalls.clear();
    check(&topology, to, Fate::ByFirewall);
    check_by(&everything(), &topology, to, Fate::Through);
}

/// The firewall's own subnet has routes too: what it lets through goes by them.
#[test]
fn routes_of_the_firewalls_own_subnet() {
    let to = "tcp://198.51.100.7:443";
    let beyond = |next_hop: Option<NextHop>| {
        let mut topology = samples::worked();
        let destination = RouteDestination::Net("0.0.0.0/0".parse().unwrap());
        let route = |next_hop| Route {
            name: "default".into(),
            destination: destination.clone(),
            next_hop,
            at: Spot::nowhere(),
        };
        let routes = next_hop.map(route).into_iter().collect();
        topology.route_tables.push(RouteTable { name: "of-firewall".into(), routes, ..RouteTable::default() });
        let mut subnets = topology.virtual_networks[0].subnets.iter_mut();
        let own = subnets.find(|it| it.name == FIREWALL_SUBNET).unwrap();
        own.route_table = Some("of-firewall".into());
        topology
    };
    check_by(&everything(), &beyond(None), to, Fate::Through);
    check_by(&everything(), &beyond(Some(NextHop::Internet)), to, Fate::Through);
    check_by(&everything(), &beyond(None), "tcp://172.16.0.1:443", Fate::Nowhere);
    for next_hop in [
        NextHop::None,
        NextHop::VirtualNetworkGateway,
        NextHop::VirtualAppliance("192.168.0.5".parse().unwrap()),
        NextHop::VirtualAppliance("192.168.9.9".parse().unwrap()),
    ] {
        check_by(&everything(), &beyond(Some(next_hop)), to, Fate::Nowhere);
        check(&beyond(Some(next_hop)), to, Fate::ByFirewall);
    }
    let mut tunnelled = beyond(Some(NextHop::VirtualNetworkGateway));
    tunnelled.virtual_networks[0].gateway = Some(Gateway::default());
    check_by(&everything(), &tunnelled, to, Fate::Through);
    check_by(&everything(), &tunnelled, "tcp://172.16.0.1:443", Fate::Nowhere);
}

/// What the user says of a name is where the machine has it: private ranges that Azure drops unasked are in nobody's way.
#[test]
fn names_that_are_elsewhere() {
    let (network, policy) = (samples::built(samples::worked()), everything());
    let name = Host::Name(HostName::parse("app.test").unwrap());
    let query = Query::new(Some(CLIENT.parse().unwrap()), Protocol::Tcp, &name, 443).outbound();
    let decided = |address| {
        Egress::new(&policy, Some(&network), Flows::New).decide(&query.with_address(address), 0).decision.reason
    };
    let address = "172.17.0.3".parse().unwrap();
    assert_eq!(decided(Address::Override(address)), Reason::NetworkRule);
    assert_eq!(decided(Address::Given(address)), Reason::NoRoute);
}

/// All of the network, and all of a peer, led to the firewall: the way to the firewall itself is not led to it.
#[test]
fn routes_around_the_firewall() {
    let firewall: IpAddr = "192.168.0.4".parse().unwrap();
    let around = with_route(samples::worked(), "192.168.0.0/16", NextHop::VirtualAppliance(firewall));
    check(&around, "tcp://198.51.100.9:443", Fate::ByFirewall);
    check_by(&everything(), &around, "tcp://198.51.100.9:443", Fate::Through);
    check(&around, "tcp://192.168.0.70:443", Fate::ByFirewall);
    let mut hub = with_peer(true, true);
    let of_peer = hub.virtual_networks[1].address_space[0];
    let inside = of_peer.hosts().nth(4).unwrap();
    hub.firewalls[0].private_address = Some(inside);
    hub.route_tables[0].routes.clear();
    for prefix in [of_peer.to_string(), "0.0.0.0/0".to_owned()] {
        hub = with_route(hub, &prefix, NextHop::VirtualAppliance(inside));
    }
    check(&hub, "tcp://198.51.100.9:443", Fate::ByFirewall);
}

/// A gateway that is not lent is none.
#[test]
fn gateways_of_peers() {
    let spoke = |lent| {
        let mut topology = with_peer(true, true);
        topology.virtual_networks[0].peerings[0].use_remote_gateways = true;
        topology.virtual_networks[1].peerings[0].allow_gateway_transit = lent;
        topology.virtual_networks[1].gateway =
            Some(Gateway { routes: vec!["172.16.0.0/16".parse().unwrap()], ..Gateway::default() });
        with_route(topology, "172.16.0.0/16", NextHop::VirtualNetworkGateway)
    };
    check(&spoke(true), "tcp://172.16.0.9:443", Fate::Through);
    check(&spoke(false), "tcp://172.16.0.9:443", Fate::Nowhere);
}

/// A subnet's own addresses, announced by the premises: what the gateway takes never comes to the subnet's group.
#[test]
fn addresses_that_the_premises_announce_too() {
    let mut topology = samples::worked();
    let closed = samples::security_rule("c", 100, FlowDirection::Inbound, SecurityProtocol::Any, "*", "*", "*");
    topology.security_groups[0].rules.retain(|it| it.direction == FlowDirection::Outbound);
    topology.security_groups[0].rules.push(SecurityRule { access: Action::Deny, ..closed });
    let to = "tcp://192.168.251.150:443";
    check(&topology, to, Fate::BySecurityGroup);
    topology.virtual_networks[0].gateway =
        Some(Gateway { routes: vec!["192.168.251.0/24".parse().unwrap()], ..Gateway::default() });
    check(&with_route(topology, "192.168.251.144/28", NextHop::VirtualNetworkGateway), to, Fate::Through);
}

/// The guard keeps flows from the platform of the machine that Egret is on, and the policy is not to blame.
#[test]
fn the_platform() {
    let network = samples::built(samples::worked());
    let policy = ase();
    for to in ["168.63.129.16", "169.254.169.254"] {
        let host = Host::Addr(to.parse().unwrap());
        let query = Query::new(Some(CLIENT.parse().unwrap()), Protocol::Udp, &host, 53).outbound();
        let egress = Egress::new(&policy, Some(&network), Flows::New);
        let crossing = egress.decide(&query, 0).crossing.unwrap();
        let found = (crossing.way, crossing.route, crossing.decision.reason, crossing.decision.rule);
        assert_eq!(found, (Way::Platform, None, Reason::InternalAddress, None), "{to}");
        let own_word = query.with_address(Address::Override(to.parse().unwrap()));
        assert_eq!(egress.decide(&own_word, 0).decision.reason, Reason::RoutedPast, "{to}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn networks_of_all_kinds(
        mut topology in arbitrary::topology(),
        firewalls in arbitrary::firewalls(),
        is_open in any::<bool>(),
        to in arbitrary::address(),
        port in arbitrary::port(),
    ) {
        let (firewalls, subnets) = firewalls;
        topology.firewalls = firewalls;
        topology.virtual_networks[0].subnets.extend(subnets);
        let policy = if is_open { everything() } else { ase() };
        let to = if to.is_ipv6() { format!("tcp://[{to}]:{}", port.max(1)) } else { format!("tcp://{to}:{}", port.max(1)) };
        if let Some((trace, engine)) = both(topology, &policy, "10.0.1.4", &to) {
            prop_assert_eq!(trace, engine, "{}", to);
        }
    }
}
