//! What Azure's documents say of security groups, case by case, and what holds of all networks.

use std::net::IpAddr;

use proptest::prelude::*;

use crate::flow::AddrClass;
use crate::policy::{Action, AddressRange, Spot};
use crate::vnet::samples::{GROUP, SUBNET, VNET, built, security_rule, worked};
use crate::vnet::{
    ApplicationSecurityGroup, NetworkInterface, NextHop, Peering, Route, RouteDestination, SecurityProtocol, Topology,
    VirtualNetwork, VirtualNetworkTag, arbitrary,
};

use super::*;

const IN: FlowDirection = FlowDirection::Inbound;
const OUT: FlowDirection = FlowDirection::Outbound;
const ANY: SecurityProtocol = SecurityProtocol::Any;

fn flow(transport: Transport, from: &str, to: &str, port: u16) -> NetFlow {
    let (source, destination) = (from.parse().unwrap(), to.parse().unwrap());
    NetFlow { transport, source, source_port: 49152, destination, destination_port: port }
}

/// The worked set-up with these rules for its one group; its default route is not in the tag `VirtualNetwork`.
fn ruled(rules: Vec<SecurityRule>) -> Topology {
    let mut topology = worked();
    topology.security_groups[0].rules = rules;
    topology.switches.virtual_network_tag = VirtualNetworkTag::Routes;
    topology
}

fn denies(rule: SecurityRule) -> SecurityRule {
    SecurityRule { access: Action::Deny, ..rule }
}

/// What decides, as text: the rule, `exempt` or `no group`, with `!` where it denies.
fn decided(network: &Network, direction: FlowDirection, flow: &NetFlow) -> String {
    let place = network.place(VNET, SUBNET).unwrap();
    let decision = network.security(place, direction, flow);
    let text = match decision.because {
        Because::NoGroup => "no group",
        Because::Exempt => "exempt",
        Because::Rule { rule, .. } => rule,
    };
    format!("{}{text}", if decision.is_allowed() { "" } else { "!" })
}

#[test]
fn default_rules() {
    let network = built(ruled(Vec::new()));
    let check = |direction, transport, from, to, expected: &str| {
        assert_eq!(decided(&network, direction, &flow(transport, from, to, 1)), expected, "{from} -> {to}");
    };
    check(IN, Transport::Tcp, "192.168.7.7", "192.168.251.140", "AllowVnetInBound");
    check(IN, Transport::Tcp, "168.63.129.16", "192.168.251.140", "AllowVnetInBound");
    check(IN, Transport::Udp, "198.51.100.1", "192.168.251.140", "!DenyAllInBound");
    check(OUT, Transport::Icmp, "192.168.251.140", "192.168.7.7", "AllowVnetOutBound");
    check(OUT, Transport::Esp, "192.168.251.140", "198.51.100.1", "AllowInternetOutBound");
    check(OUT, Transport::Tcp, "192.168.251.140", "172.16.0.1", "!DenyAllOutBound");
    check(OUT, Transport::Tcp, "192.168.251.140", "2600::1", "AllowInternetOutBound");
    check(OUT, Transport::Tcp, "192.168.251.140", "224.0.0.1", "!DenyAllOutBound");
    let names: Vec<(u16, &str)> = default_security_rules().iter().map(|it| (it.priority, it.name.as_str())).collect();
    assert_eq!(
        names,
        [
            (65000, "AllowVnetInBound"),
            (65001, "AllowAzureLoadBalancerInBound"),
            (65500, "DenyAllInBound"),
            (65000, "AllowVnetOutBound"),
            (65001, "AllowInternetOutBound"),
            (65500, "DenyAllOutBound"),
        ]
    );
}

#[test]
fn no_group_filters_nothing() {
    let mut topology = ruled(Vec::new());
    topology.virtual_networks[0].subnets[0].security_group = None;
    let to = flow(Transport::Tcp, "198.51.100.1", "192.168.251.140", 22);
    assert_eq!(decided(&built(topology), IN, &to), "no group");
}

#[test]
fn the_lowest_priority_that_matches_decides_whatever_the_order() {
    let rule = |name, priority, port| security_rule(name, priority, IN, SecurityProtocol::Tcp, "*", "*", port);
    let rules = vec![rule("c", 300, "*"), denies(rule("b", 200, "80")), rule("a", 100, "443,8000-8080")];
    let network = built(ruled(rules));
    let to = |port| flow(Transport::Tcp, "198.51.100.1", "192.168.251.140", port);
    assert_eq!(decided(&network, IN, &to(8080)), "a");
    assert_eq!(decided(&network, IN, &to(80)), "!b");
    assert_eq!(decided(&network, IN, &to(22)), "c");
    let udp = NetFlow { transport: Transport::Udp, ..to(443) };
    assert_eq!(decided(&network, IN, &udp), "!DenyAllInBound");
}

#[test]
fn tags_in_any_letter_case_and_regional_ones_where_they_are_at_hand() {
    let rule = |name, priority, tag| security_rule(name, priority, IN, ANY, tag, "*", "*");
    let rules = vec![
        rule("region", 100, "storage.westus2"),
        rule("all", 110, "STORAGE"),
        rule("internet", 120, "INTERNET"),
        rule("unknown", 130, "NoSuchTag"),
    ];
    let network = Network::new(ruled(rules), arbitrary::tags());
    let from = |address| decided(&network, IN, &flow(Transport::Tcp, address, "192.168.251.140", 1));
    assert_eq!(from("192.0.2.65"), "region");
    assert_eq!(from("198.51.100.1"), "all");
    assert_eq!(from("203.0.113.1"), "internet");
    assert_eq!(from("172.16.0.1"), "!DenyAllInBound");
}

#[test]
fn a_range_is_one_answer_where_the_tag_covers_it() {
    let network = built(worked());
    let place = network.place(VNET, SUBNET).unwrap();
    let parts = |prefix: &str, port| {
        let parts = network.security_of_range(place, IN, Transport::Tcp, prefix.parse().unwrap(), port);
        let shown = parts.iter().map(|(part, it)| match it.because {
            Because::Rule { rule, .. } => format!("{part} {rule}"),
            _ => format!("{part} {:?}", it.because),
        });
        shown.collect::<Vec<_>>()
    };
    for prefix in network.tags().published("AppServiceManagement").unwrap().iter().filter(|it| it.first().is_ipv4()) {
        assert_eq!(parts(&prefix.to_string(), 454), [format!("{prefix} management")]);
    }
    assert_eq!(
        parts("168.63.129.15-168.63.129.17", 16001),
        ["168.63.129.15 deny-inbound", "168.63.129.16 load-balancer", "168.63.129.17 deny-inbound"]
    );
}

#[test]
fn a_range_is_as_denied_as_the_worst_address_of_the_subnet() {
    let one = security_rule("one", 100, IN, ANY, "*", "192.168.251.132/32", "*");
    let some = security_rule("some", 110, IN, ANY, "198.51.100.0/25", "192.168.251.128/25", "*");
    let network = built(ruled(vec![one, some]));
    let place = network.place(VNET, SUBNET).unwrap();
    let remote = "198.51.100.0/24".parse().unwrap();
    let access = |parts: Vec<(AddressRange, SecurityDecision<'_>)>| -> Vec<String> {
        parts.iter().map(|(part, it)| format!("{part} {}", it.is_allowed())).collect()
    };
    let all = network.security_of_range(place, IN, Transport::Tcp, remote, 80);
    assert_eq!(access(all), ["198.51.100.0/25 true", "198.51.100.128/25 false"]);
    let local = "192.168.251.132".parse().unwrap();
    let one = network.security_of_range_at(place, IN, Transport::Tcp, local, remote, 80);
    assert_eq!(access(one), ["198.51.100.0/24 true"]);
}

/// A machine in the subnet, with a group of its own.
fn with_interface(rules: Vec<SecurityRule>, own: Vec<SecurityRule>) -> Topology {
    let mut topology = ruled(rules);
    topology.security_groups.push(NetworkSecurityGroup { name: "own".into(), rules: own, at: Spot::nowhere() });
    topology.interfaces.push(NetworkInterface {
        name: "nic".into(),
        virtual_network: VNET.into(),
        subnet: SUBNET.into(),
        addresses: vec!["192.168.251.140".parse().unwrap()],
        security_group: Some("OWN".into()),
        ..NetworkInterface::default()
    });
    topology
}

#[test]
fn inbound_the_subnets_group_is_first_outbound_the_interfaces() {
    let rule = |name, direction| security_rule(name, 100, direction, ANY, "*", "*", "*");
    let (inbound, outbound) = (|name| rule(name, IN), |name| rule(name, OUT));
    let check = |subnet: [SecurityRule; 2], own: [SecurityRule; 2], expected: [&str; 2]| {
        let network = built(with_interface(subnet.into(), own.into()));
        let to = flow(Transport::Tcp, "198.51.100.1", "192.168.251.140", 80);
        assert_eq!([decided(&network, IN, &to), decided(&network, OUT, &to.reply())], expected);
    };
    let allow = |who: [&'static str; 2]| [inbound(who[0]), outbound(who[1])];
    let deny = |who: [&'static str; 2]| allow(who).map(denies);
    check(allow(["si", "so"]), allow(["ni", "no"]), ["ni", "so"]);
    check(deny(["si", "so"]), allow(["ni", "no"]), ["!si", "!so"]);
    check(allow(["si", "so"]), deny(["ni", "no"]), ["!ni", "!no"]);
    check(deny(["si", "so"]), deny(["ni", "no"]), ["!si", "!no"]);
}

#[test]
fn the_walk_says_of_each_rule_what_matched() {
    let rules = vec![
        security_rule("tcp", 100, IN, SecurityProtocol::Tcp, "198.51.100.0/24", "*", "443"),
        security_rule("udp", 110, IN, SecurityProtocol::Udp, "*", "*", "80"),
        security_rule("all", 120, IN, ANY, "*", "*", "*"),
    ];
    let network = built(with_interface(rules, vec![denies(security_rule("own", 100, IN, ANY, "*", "*", "80"))]));
    let place = network.place(VNET, SUBNET).unwrap();
    let groups = network.evaluate(place, IN, &flow(Transport::Tcp, "198.51.100.1", "192.168.251.140", 80));
    let shown = |it: &RuleEvaluation<'_>| {
        let all = [it.protocol, it.source, it.source_port, it.destination, it.destination_port];
        format!("{} {}", it.rule.name, all.map(|matched| if matched { '+' } else { '-' }).iter().collect::<String>())
    };
    let of_subnet: Vec<String> = groups[0].rules.iter().map(shown).collect();
    assert_eq!(of_subnet, ["tcp ++++-", "udp -++++", "all +++++"]);
    assert_eq!(
        (groups[0].applied_to, groups[1].applied_to),
        (AppliedTo::Subnet(SUBNET), AppliedTo::NetworkInterface("nic"))
    );
    assert_eq!(groups[1].matched().map(|rule| rule.name.as_str()), Some("own"));
    assert_eq!((groups.len(), groups[1].is_allowed()), (2, false));
}

#[test]
fn application_security_groups_on_both_sides_within_one_network() {
    let mut rule = security_rule("asg", 100, IN, ANY, "*", "*", "*");
    rule.source.prefixes.clear();
    rule.destination.prefixes.clear();
    rule.source.application_security_groups = vec!["Web".into(), "Jobs".into()];
    rule.destination.application_security_groups = vec!["db".into()];
    let mut topology = ruled(vec![rule, denies(security_rule("rest", 200, IN, ANY, "*", "*", "*"))]);
    let interface = |network: &str, address: &str, group: &str| NetworkInterface {
        name: address.into(),
        virtual_network: network.into(),
        addresses: vec![address.parse().unwrap()],
        application_security_groups: vec![group.into()],
        ..NetworkInterface::default()
    };
    topology.application_security_groups = vec![ApplicationSecurityGroup { name: "DB".into(), at: Spot::nowhere() }];
    topology.interfaces = vec![
        interface(VNET, "192.168.1.4", "WEB"),
        interface(VNET, "192.168.1.5", "jobs"),
        interface("other", "192.168.1.6", "web"),
        interface(VNET, "192.168.251.140", "DB"),
        interface(VNET, "192.168.251.141", "web"),
    ];
    let network = built(topology);
    let from = |from, to| decided(&network, IN, &flow(Transport::Tcp, from, to, 1433));
    assert_eq!(from("192.168.1.4", "192.168.251.140"), "asg");
    assert_eq!(from("192.168.1.5", "192.168.251.140"), "asg");
    assert_eq!(from("192.168.1.6", "192.168.251.140"), "!rest");
    assert_eq!(from("192.168.1.4", "192.168.251.141"), "!rest");
    assert_eq!(from("192.168.251.141", "192.168.251.140"), "asg");
}

#[test]
fn what_has_no_ports() {
    let icmp = security_rule("icmp", 100, IN, SecurityProtocol::Icmp, "*", "*", "80");
    let some = security_rule("some", 110, IN, ANY, "*", "*", "80");
    let all = security_rule("all", 120, IN, ANY, "*", "*", "1-65535");
    let network = built(ruled(vec![icmp, some, all]));
    let by = |transport| decided(&network, IN, &flow(transport, "198.51.100.1", "192.168.251.140", 0));
    assert_eq!([by(Transport::Icmp), by(Transport::Esp), by(Transport::Ah)], ["icmp", "all", "all"]);
}

#[test]
fn the_platform_is_exempt_but_for_rules_with_its_tags() {
    let all = || denies(security_rule("all", 4096, OUT, ANY, "*", "*", "*"));
    let network = built(ruled(vec![all(), denies(security_rule("in", 4096, IN, ANY, "*", "*", "*"))]));
    let out =
        |network: &Network, transport, to, port| decided(network, OUT, &flow(transport, "192.168.251.140", to, port));
    for (transport, to, port) in [
        (Transport::Udp, "168.63.129.16", 53),
        (Transport::Tcp, "168.63.129.16", 80),
        (Transport::Tcp, "169.254.169.254", 80),
        (Transport::Udp, "255.255.255.255", 67),
    ] {
        assert_eq!(out(&network, transport, to, port), "exempt", "{to}:{port}");
    }
    let offer = NetFlow { source_port: 67, ..flow(Transport::Udp, "168.63.129.16", "192.168.251.140", 68) };
    assert_eq!(decided(&network, IN, &offer), "exempt");
    let probe = flow(Transport::Tcp, "168.63.129.16", "192.168.251.140", 16001);
    assert_eq!(decided(&network, IN, &probe), "!in");

    let tagged = |name, tag| denies(security_rule(name, 100, OUT, ANY, "*", tag, "*"));
    let mut rules = vec![tagged("imds", "AzurePlatformIMDS"), all()];
    rules.push(SecurityRule { priority: 90, ..tagged("dns", "azureplatformdns") });
    let network = built(ruled(rules));
    assert_eq!(out(&network, Transport::Udp, "168.63.129.16", 53), "!dns");
    assert_eq!(out(&network, Transport::Tcp, "168.63.129.16", 80), "exempt");
    assert_eq!(out(&network, Transport::Tcp, "169.254.169.254", 80), "!imds");
}

#[test]
fn activation_is_exempt_unless_the_default_route_is_ones_own() {
    let rules = vec![denies(security_rule("all", 4096, OUT, ANY, "*", "*", "*"))];
    let kms = flow(Transport::Tcp, "192.168.251.140", "23.102.135.246", 1688);
    let mut topology = ruled(rules);
    assert_eq!(decided(&built(topology.clone()), OUT, &kms), "!all");
    topology.route_tables.clear();
    assert_eq!(decided(&built(topology.clone()), OUT, &kms), "exempt");
    let elsewhere = NetFlow { destination_port: 443, ..kms };
    assert_eq!(decided(&built(topology.clone()), OUT, &elsewhere), "!all");
    topology.security_groups[0].rules.push(denies(security_rule("lkm", 100, OUT, ANY, "*", "AzurePlatformLKM", "*")));
    assert_eq!(decided(&built(topology), OUT, &kms), "!lkm");
}

#[test]
fn what_the_tag_virtual_network_holds() {
    let mut topology = worked();
    let peering = |remote: &str, allow| Peering {
        remote: remote.into(),
        remote_space: vec!["10.20.0.0/16".parse().unwrap()],
        allow_virtual_network_access: allow,
        ..Peering::default()
    };
    let network = |name: &str, space: &str, back: bool| VirtualNetwork {
        name: name.into(),
        address_space: vec![space.parse().unwrap()],
        peerings: if back { vec![peering(VNET, true)] } else { Vec::new() },
        ..VirtualNetwork::default()
    };
    topology.virtual_networks[0].peerings =
        vec![peering("both", true), peering("initiated", true), peering("apart", false), peering("elsewhere", true)];
    topology.virtual_networks.extend([
        network("both", "10.1.0.0/16", true),
        network("initiated", "10.2.0.0/16", false),
        network("apart", "10.3.0.0/16", true),
    ]);
    let to_appliance = |name: &str, net: &str| Route {
        name: name.into(),
        destination: RouteDestination::Net(net.parse().unwrap()),
        next_hop: NextHop::VirtualAppliance("192.168.0.4".parse().unwrap()),
        at: Spot::nowhere(),
    };
    topology.route_tables[0].routes.push(to_appliance("premises", "10.4.0.0/16"));
    let holds = |topology: &Topology, address: &str| {
        let network = built(topology.clone());
        let place = network.place(VNET, SUBNET).unwrap();
        network.tag_holds(place, "virtualNETWORK", address.parse().unwrap())
    };
    let of = |topology: &Topology| {
        let all =
            ["192.168.9.9", "168.63.129.16", "10.1.0.1", "10.2.0.1", "10.3.0.1", "10.20.0.1", "10.4.0.1", "192.0.2.1"];
        all.map(|address| holds(topology, address))
    };
    assert_eq!(of(&topology), [true; 8]);
    topology.switches.virtual_network_tag = VirtualNetworkTag::Routes;
    assert_eq!(of(&topology), [true, true, true, false, false, true, true, false]);
    topology.switches.virtual_network_tag = VirtualNetworkTag::AddressSpace;
    assert_eq!(of(&topology), [true, true, true, false, false, true, false, false]);
}

/// What was seen of effective rules under a default route to an appliance: the tag is 0.0.0.0/0, and the default rules let
/// everything in and out. A rule that denies the Internet before them goes on to deny it.
#[test]
fn a_default_route_opens_the_default_rules() {
    let mut topology = ruled(Vec::new());
    topology.switches.virtual_network_tag = VirtualNetworkTag::default();
    let outwards = flow(Transport::Tcp, "192.168.251.140", "198.51.100.1", 443);
    let inwards = flow(Transport::Tcp, "198.51.100.1", "192.168.251.140", 443);
    let network = built(topology.clone());
    assert_eq!(decided(&network, OUT, &outwards), "AllowVnetOutBound");
    assert_eq!(decided(&network, IN, &inwards), "AllowVnetInBound");
    topology.security_groups[0].rules =
        vec![denies(security_rule("no-internet", 4000, OUT, ANY, "*", "Internet", "*"))];
    assert_eq!(decided(&built(topology), OUT, &outwards), "!no-internet");
}

#[test]
fn an_answer_is_let_through_by_the_record_of_its_flow() {
    let asked = flow(Transport::Tcp, "192.168.251.140", "198.51.100.1", 443);
    assert_eq!(asked.reply().reply(), asked);
    let by_another_way = NetFlow { source: "203.0.113.4".parse().unwrap(), ..asked.reply() };
    assert_ne!(asked.reply(), by_another_way);
}

#[test]
fn names_and_addresses_are_found() {
    let network = built(worked());
    assert_eq!(network.place("ASE-VNET", "Ase-Subnet"), network.place_of("192.168.251.200".parse().unwrap()));
    assert!(network.place(VNET, "no").is_none() && network.place_of("192.168.250.1".parse().unwrap()).is_none());
    assert_eq!(network.security_group_of(network.place(VNET, SUBNET).unwrap()).unwrap().name, GROUP);
}

/// Addresses that stand for all of a range: its ends, and those of the cases that are inside.
fn probes(range: AddressRange, more: &[IpAddr]) -> Vec<IpAddr> {
    let inside = more.iter().copied().filter(|address| range.contains(*address));
    [range.first(), range.last()].into_iter().chain(inside).collect()
}

fn part_of<T>(parts: &[(AddressRange, T)], address: IpAddr) -> &T {
    let holding: Vec<&(AddressRange, T)> = parts.iter().filter(|(part, _)| part.contains(address)).collect();
    assert_eq!(holding.len(), 1, "{address} is in {} parts", holding.len());
    &holding[0].1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn compiled_and_walk_agree(topology in arbitrary::topology(), direction in arbitrary::direction(), flow in arbitrary::flow()) {
        let network = Network::new(topology, arbitrary::tags());
        let place = network.place(arbitrary::VNET, arbitrary::SUBNET).unwrap();
        prop_assume!(exempt::service(&network, place, direction, &flow).is_none());
        let walked = network.evaluate(place, direction, &flow);
        let by_walk = match walked.last() {
            None => UNFILTERED,
            Some(last) => decision(last.group, last.matched().unwrap()),
        };
        prop_assert_eq!(network.security(place, direction, &flow), by_walk);
    }

    #[test]
    fn the_order_in_which_rules_are_written_does_not_matter(
        topology in arbitrary::topology(), direction in arbitrary::direction(), flow in arbitrary::flow(),
    ) {
        let mut turned = topology.clone();
        turned.security_groups.iter_mut().for_each(|group| group.rules.reverse());
        let (one, other) = (Network::new(topology, arbitrary::tags()), Network::new(turned, arbitrary::tags()));
        let place = one.place(arbitrary::VNET, arbitrary::SUBNET).unwrap();
        prop_assert_eq!(one.security(place, direction, &flow), other.security(place, direction, &flow));
    }

    #[test]
    fn a_range_answers_as_its_addresses_do(
        topology in arbitrary::topology(), direction in arbitrary::direction(), transport in arbitrary::transport(),
        remote in arbitrary::range(), port in arbitrary::port(), more in proptest::collection::vec(arbitrary::address(), 8),
    ) {
        let network = Network::new(topology, arbitrary::tags());
        let place = network.place(arbitrary::VNET, arbitrary::SUBNET).unwrap();
        let whole = network.security_of_range(place, direction, transport, remote, port);
        prop_assert_eq!((whole[0].0.first(), whole[whole.len() - 1].0.last()), (remote.first(), remote.last()));
        for address in probes(remote, &more).into_iter().filter(IpAddr::is_ipv4) {
            let mut allowed = true;
            for low in 4..15 {
                let local = IpAddr::from([10, 0, 1, low]);
                let at = network.security_of_range_at(place, direction, transport, local, remote, port);
                let (source, destination) = if direction == IN { (address, local) } else { (local, address) };
                let (source_port, destination_port) = if transport.has_ports() { (49152, port) } else { (0, 0) };
                let flow = NetFlow { transport, source, source_port, destination, destination_port };
                let pointwise = network.security(place, direction, &flow);
                prop_assert_eq!(part_of(&at, address), &pointwise);
                allowed &= pointwise.is_allowed();
            }
            prop_assert_eq!(part_of(&whole, address).is_allowed(), allowed);
        }
    }

    #[test]
    fn the_internet_is_what_is_global_and_not_connected(topology in arbitrary::topology(), bits in any::<u32>()) {
        let network = Network::new(topology, arbitrary::tags());
        let place = network.place(arbitrary::VNET, arbitrary::SUBNET).unwrap();
        let address = IpAddr::V4(bits.into());
        // A default route that the tag holds takes nothing from the Internet.
        let mut narrow = network.topology().clone();
        if narrow.switches.virtual_network_tag == VirtualNetworkTag::DefaultRoutes {
            narrow.switches.virtual_network_tag = VirtualNetworkTag::Routes;
        }
        let connected = Network::new(narrow, arbitrary::tags()).tag_holds(place, "VirtualNetwork", address);
        let expected = AddrClass::of(address) == AddrClass::Global && !connected;
        prop_assert_eq!(network.tag_holds(place, "Internet", address), expected);
        let in_ranges = network.tag_ranges(place, "Internet").iter().any(|range| range.contains(address));
        prop_assert_eq!(in_ranges, expected);
    }
}
