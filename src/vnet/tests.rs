//! A trace and the engine are asked about the same flows: what becomes of a request is one verdict.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use crate::allowlist::builtin;
use crate::flow::{Authority, Host, HostName, Protocol, Reason};
use crate::policy::{Action, Policy, PrivateAddresses, Query, RuleSet, Spot};

use super::samples::{self, VNET};
use super::trace::{By, Leg, Node, Outcome, Scene, Target, Trace};
use super::{
    Egress, Firewall, FlowDirection, Flows, Gateway, NextHop, Peering, Route, RouteDestination, SecurityProtocol,
    SecurityRule, Subnet, Topology, VirtualNetwork, arbitrary,
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
}

/// None where only a trace looks: what is behind the firewall.
fn told(trace: &Trace) -> Option<Fate> {
    let is_beyond = trace.request.iter().any(|it| matches!(it.node, Node::Firewall(_)));
    Some(match &trace.outcome {
        Outcome::Denied { by: By::SecurityGroup, .. } => Fate::BySecurityGroup,
        Outcome::Denied { by: By::Firewall, .. } => Fate::ByFirewall,
        Outcome::Denied { .. } | Outcome::BlackHole { leg: Leg::Request, .. } if is_beyond => return None,
        Outcome::Denied { .. } | Outcome::BlackHole { leg: Leg::Request, .. } => Fate::Nowhere,
        Outcome::Delivered | Outcome::Asymmetric(_) | Outcome::BlackHole { .. } | Outcome::Unknown(_) => Fate::Through,
        Outcome::Unresolved(_) => return None,
    })
}

fn decided(reason: Reason) -> Fate {
    match reason {
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
    let decision = Egress::new(policy, Some(&network), Flows::New).decide(&query, 50_000).decision;
    if decision.reason == Reason::InternalAddress {
        return None;
    }
    let trace = Trace::of(scene, Some(&client), &target).unwrap();
    Some((told(&trace)?, decided(decision.reason)))
}

fn ase() -> Policy {
    let rules = RuleSet { policies: vec![builtin("ase").unwrap().rules], ..RuleSet::default() };
    Policy::compile(Arc::new(rules), PrivateAddresses::Allow)
}

#[track_caller]
fn check(topology: &Topology, to: &str, expected: Fate) {
    let found = both(topology.clone(), &ase(), CLIENT, to);
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
        assert_eq!(found, (super::Way::Platform, None, Reason::InternalAddress, None), "{to}");
        let own_word = query.with_address(crate::policy::Address::Override(to.parse().unwrap()));
        assert_eq!(egress.decide(&own_word, 0).decision.reason, Reason::RoutedPast, "{to}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn networks_of_all_kinds(topology in arbitrary::topology(), to in arbitrary::address(), port in arbitrary::port()) {
        let private_address = Some("10.0.2.4".parse().unwrap());
        let firewall = Firewall { name: "fw".into(), virtual_network: "v".into(), private_address, ..Firewall::default() };
        let topology = Topology { firewalls: vec![firewall], ..topology };
        let to = if to.is_ipv6() { format!("tcp://[{to}]:{}", port.max(1)) } else { format!("tcp://{to}:{}", port.max(1)) };
        if let Some((trace, engine)) = both(topology, &ase(), "10.0.1.4", &to) {
            prop_assert_eq!(trace, engine, "{}", to);
        }
    }
}
