//! Flows of the seed's worked set-up, and of small changes to it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::allowlist::{Catalogue, builtin};
use crate::flow::{HostName, PortSet};
use crate::policy::{
    Action, AddressRange, AddressSet, IpProtocols, NetworkRule, Policy, PolicyRules, Priority, PrivateAddresses,
    RuleCollection, RuleCollectionGroup, RuleSet, Rules, ServiceEndpoint, Spot,
};
use crate::vnet::samples::{self, SUBNET, TABLE, VNET, security_rule};
use crate::vnet::{
    AppServiceEnvironment, AseVersion, Cloud, DnsZone, EffectiveRoute, Firewall, FlowDirection, Gateway, Hop,
    LoadBalancing, Network, NetworkInterface, NetworkSecurityGroup, NextHop, Peering, Prefix, Route, RouteDestination,
    RouteTable, SecurityProtocol, Subnet, Tags, Topology, VirtualNetwork,
};

use super::party::Addresses;
use super::{Outcome, Scene, Share, Station, Trace, endpoints, party, sweep};

fn ase() -> Policy {
    let policy = builtin("ase").unwrap();
    let rules = RuleSet { policies: vec![policy.rules], ..RuleSet::default() };
    Policy::compile(Arc::new(rules), PrivateAddresses::Allow)
}

fn traced(topology: Topology, flow: &str) -> Trace {
    traced_by(&ase(), topology, flow)
}

fn traced_by(policy: &Policy, topology: Topology, flow: &str) -> Trace {
    let network: Network = samples::built(topology);
    let given = |name: &HostName, _: u16| -> Vec<IpAddr> {
        if name.as_str() == "login.windows.net" { vec!["198.51.100.7".parse().unwrap()] } else { Vec::new() }
    };
    let scene = Scene { network: &network, policy: Some(policy), given: &given };
    let words: Vec<String> = flow.split(' ').map(str::to_owned).collect();
    let (from, to) = endpoints(&words).unwrap();
    Trace::of(scene, from.as_ref(), &to).unwrap()
}

/// `outcome | request's stations | reply's stations`
fn shown(trace: &Trace) -> String {
    let way = |stations: &[Station]| stations.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(" > ");
    format!("{} | {} | {}", trace.outcome.as_str(), way(&trace.request), way(&trace.reply))
}

fn all_of(trace: &Trace) -> String {
    let lines = |stations: &[Station]| {
        let steps = stations.iter().flat_map(|it| {
            let head = format!("{} {}", it.name, it.address.as_ref().map(ToString::to_string).unwrap_or_default());
            std::iter::once(head).chain(it.steps.iter().map(|step| format!("  {} {step}", step.label())))
        });
        steps.collect::<Vec<_>>().join("\n")
    };
    format!("{}\n{}\n--\n{}", trace.outcome, lines(&trace.request), lines(&trace.reply))
}

#[track_caller]
fn check(topology: &Topology, flow: &str, expected: &str, says: &[&str]) {
    let trace = traced(topology.clone(), flow);
    assert_eq!(shown(&trace), expected, "{flow}\n{}", all_of(&trace));
    for part in says {
        assert!(all_of(&trace).contains(part), "{flow}: {part}\n{}", all_of(&trace));
    }
}

fn worked() -> Topology {
    samples::worked()
}

fn route(name: &str, to: &str, next_hop: NextHop) -> Route {
    let destination = to.parse().map_or_else(|_| RouteDestination::Tag(to.into()), RouteDestination::Net);
    Route { name: name.into(), destination, next_hop, at: Spot::nowhere() }
}

fn table_of(topology: &mut Topology) -> &mut RouteTable {
    topology.route_tables.iter_mut().find(|table| table.name == TABLE).unwrap()
}

fn with_route(name: &str, to: &str, next_hop: NextHop) -> Topology {
    let mut topology = worked();
    table_of(&mut topology).routes.push(route(name, to, next_hop));
    topology
}

fn external() -> Topology {
    let mut topology = worked();
    let environment = &mut topology.environments[0];
    environment.load_balancing = LoadBalancing::External;
    environment.client_ranges.clear();
    let (inbound, tcp) = (FlowDirection::Inbound, SecurityProtocol::Tcp);
    topology.security_groups[0].rules.push(security_rule("clients", 135, inbound, tcp, "Internet", "*", "80,443"));
    topology
}

fn subnet(name: &str, prefix: &str) -> Subnet {
    Subnet { name: name.into(), prefixes: vec![prefix.parse().unwrap()], ..Subnet::default() }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// By the tag, which holds peers and premises.
fn let_in_the_network(topology: &mut Topology) {
    let rules = topology.security_groups[0].rules.iter_mut();
    let http = rules.into_iter().find(|rule| rule.name == "http").unwrap();
    http.source.prefixes = vec![Prefix::Tag("VirtualNetwork".into())];
}

/// With premises behind an ExpressRoute that advertises 10.0.0.0/8.
fn with_gateway() -> Topology {
    let mut topology = worked();
    let_in_the_network(&mut topology);
    let network = &mut topology.virtual_networks[0];
    network.gateway =
        Some(Gateway { name: "er-gateway".into(), routes: vec![net("10.0.0.0/8")], ..Gateway::default() });
    network.subnets.push(subnet("GatewaySubnet", "192.168.1.0/27"));
    topology
}

/// A spoke with a machine, peered with the network of the environment.
fn with_peer() -> Topology {
    let mut topology = worked();
    let_in_the_network(&mut topology);
    let peering = |remote: &str| Peering {
        name: format!("to-{remote}"),
        remote: remote.into(),
        allow_virtual_network_access: true,
        ..Peering::default()
    };
    topology.virtual_networks[0].peerings.push(peering("spoke"));
    topology.virtual_networks.push(VirtualNetwork {
        name: "spoke".into(),
        address_space: vec![net("172.20.0.0/16")],
        subnets: vec![subnet("web", "172.20.1.0/24")],
        peerings: vec![peering(VNET)],
        ..VirtualNetwork::default()
    });
    topology.interfaces.push(NetworkInterface {
        name: "vm1".into(),
        virtual_network: "spoke".into(),
        subnet: "web".into(),
        addresses: vec!["172.20.1.9".parse().unwrap()],
        ..NetworkInterface::default()
    });
    topology
}

#[test]
fn names_go_through_the_firewall() {
    check(
        &worked(),
        "ase https://login.windows.net",
        "delivered | ase-subnet > firewall > Internet | Internet > firewall > ase-subnet",
        &[
            "NSG out ase-nsg/web (120)",
            "route ase-routes/default, 0.0.0.0/0 → VirtualAppliance 192.168.0.4",
            "rule allows, application-rule ase@2018-09-24",
            "SNAT 192.168.251.132 (ILB of ase) becomes 203.0.113.4 (public address of firewall)",
            "asked of Azure DNS",
        ],
    );
    let denied = "denied | ase-subnet > firewall | ";
    check(&worked(), "ase https://example.com", denied, &["denied by the firewall: denies, not-allowed"]);
    check(&worked(), "ase http://login.windows.net", denied, &["would allow it if"]);
}

#[test]
fn management_comes_in_and_goes_back_by_the_vip() {
    let delivered = "delivered | Internet > VIP of ase > ase-subnet | ase-subnet > Internet";
    check(
        &worked(),
        "AppServiceManagement vip:454",
        delivered,
        &[
            "NSG in ase-nsg/management (100)",
            "route ase-routes/management",
            "of AppServiceManagement → Internet",
            "NSG out flow record of the request",
        ],
    );
    check(&worked(), "AppServiceManagement :455", delivered, &[]);
    check(&worked(), "AppServiceManagement ase-subnet:455", delivered, &[]);
}

#[test]
fn management_without_its_route_is_asymmetric() {
    let mut topology = worked();
    table_of(&mut topology).routes.retain(|route| route.name != "management");
    check(
        &topology,
        "AppServiceManagement vip:454",
        "asymmetric | Internet > VIP of ase > ase-subnet | ase-subnet > firewall",
        &["sent to 203.0.113.9 (VIP of ase), its reply would leave by 203.0.113.4 (public address of firewall)"],
    );
    let trace = traced(topology, "AppServiceManagement vip:454");
    let sweep = trace.sweep.unwrap();
    assert_eq!((sweep.ends[0].count, sweep.groups.len(), sweep.groups[0].share.wholly()), (231, 1, 231));
}

/// Sixty groups of a thousand rules each, of subnets that the flow never sees: a tag has thousands of prefixes.
#[test]
fn only_what_a_flow_meets_cuts_its_prefixes() {
    let mut topology = worked();
    let rule = |at: u16| {
        security_rule("one", at, FlowDirection::Inbound, SecurityProtocol::Any, "198.51.100.0/24", "AzureKeyVault", "*")
    };
    let group = |at: usize| NetworkSecurityGroup {
        name: format!("group-{at}"),
        rules: (100..1100).map(rule).collect(),
        at: Spot::nowhere(),
    };
    topology.security_groups.extend((0..60).map(group));
    let subnet = |at: u8| Subnet {
        name: format!("subnet-{at}"),
        prefixes: vec![format!("192.168.{}.0/24", at + 1).parse().unwrap()],
        security_group: Some(format!("group-{at}")),
        ..Subnet::default()
    };
    topology.virtual_networks[0].subnets.extend((0..60).map(subnet));
    let network = samples::built(topology);
    let scene = Scene { network: &network, policy: None, given: &|_, _| Vec::new() };
    let (from, to) = endpoints(&["AppServiceManagement".to_owned(), "vip:454".to_owned()]).unwrap();
    let parties = party::resolve(scene, from.as_ref(), &to).unwrap();
    let Addresses::Many(nets) = &parties.from.addresses else { panic!("a tag is many") };
    let cuts = sweep::cuts(&parties, nets);
    let management = network.tags().published("AppServiceManagement").unwrap();
    assert!(management.iter().filter(|it| it.first().is_ipv4()).all(|it| cuts.contains(&it.first())));
    let net = |text: &str| text.parse::<IpAddr>().unwrap();
    assert!(!cuts.contains(&net("198.51.100.0")) && !cuts.contains(&net("192.168.9.0")), "{}", cuts.len());
}

/// The seed's recipe: a route for each documented address, and none for the ranges around them.
#[test]
fn routes_for_single_addresses_cover_few_of_the_prefixes() {
    let mut topology = worked();
    let table = table_of(&mut topology);
    table.routes.retain(|route| route.name != "management");
    let listed = crate::allowlist::find("management/public").unwrap()[0].addresses();
    let routes = listed.iter().map(|it| route(&it.to_string(), &format!("{}/32", it.first()), NextHop::Internet));
    table.routes.extend(routes);
    let trace = traced(topology, "AppServiceManagement vip:454");
    assert_eq!(trace.outcome.as_str(), "asymmetric", "{}", all_of(&trace));
    let groups = trace.sweep.unwrap().groups;
    let partly = |share: &Share| match share {
        Share::Of { partly, .. } => partly.len(),
        Share::Pairs(_) => 0,
    };
    let told = |at: usize| (groups[at].outcome.as_str(), groups[at].share.wholly(), partly(&groups[at].share));
    assert_eq!((groups.len(), told(0), told(1)), (2, ("asymmetric", 160, 37), ("delivered", 34, 37)));
}

/// Event hubs, Service Bus and relays share a zone.
#[test]
fn a_name_of_several_services_is_not_surely_of_one() {
    let trace = traced(worked(), "ase https://hub.servicebus.windows.net");
    assert!(trace.notes.iter().any(|note| note.contains("it may be of EventHub or ServiceBus")), "{:?}", trace.notes);
}

#[test]
fn apps_of_an_external_environment_behind_a_default_route_are_dead() {
    check(
        &external(),
        "internet vip:443",
        "asymmetric | Internet > VIP of ase > ase-subnet | ase-subnet > firewall",
        &["NSG in ase-nsg/clients (135)", "its reply would leave by 203.0.113.4 (public address of firewall)"],
    );
    let mut topology = external();
    table_of(&mut topology).routes.push(route("clients", "198.51.100.0/24", NextHop::Internet));
    check(
        &topology,
        "198.51.100.20 ase",
        "delivered | Internet > VIP of ase > ase-subnet | ase-subnet > Internet",
        &["NAT 192.168.251.132 (ILB of ase) becomes 203.0.113.9 (VIP of ase)"],
    );
}

#[test]
fn the_vip_of_an_ilb_environment_serves_management_only() {
    check(&worked(), "internet vip:443", "denied | Internet > VIP of ase | ", &["denied by the load balancer"]);
}

#[test]
fn service_endpoints_pass_the_firewall_by() {
    check(
        &worked(),
        "ase mssql://db1.database.windows.net",
        "delivered | ase-subnet > Microsoft.Sql | Microsoft.Sql > ase-subnet",
        &[
            "VirtualNetworkServiceEndpoint Microsoft.Sql; service endpoints go before ase-routes/default",
            "192.168.251.132",
        ],
    );
    let mut topology = worked();
    topology.virtual_networks[0].subnets[0].service_endpoints.clear();
    check(&topology, "ase mssql://db1.database.windows.net", "denied | ase-subnet > firewall | ", &[]);
}

#[test]
fn a_security_group_that_denies_is_named() {
    check(
        &worked(),
        "ase tcp://198.51.100.9:8080",
        "denied | ase-subnet | ",
        &["denied by the network security group: ase-nsg/deny-outbound (4096)"],
    );
    check(
        &worked(),
        "198.51.100.9 vip:454",
        "denied | Internet > VIP of ase > ase-subnet | ",
        &["ase-nsg/deny-inbound (4096)"],
    );
}

#[test]
fn a_route_to_nowhere_is_a_black_hole() {
    check(
        &with_route("drop", "198.51.100.0/24", NextHop::None),
        "ase https://login.windows.net",
        "black-hole | ase-subnet | ",
        &["the request is lost: ase-routes/drop, 198.51.100.0/24 → None drops it"],
    );
    let topology = with_route("drop", "AppServiceManagement.Nowhere", NextHop::None);
    check(&topology, "ase 192.168.99.9:443", "black-hole | ase-subnet | ", &["is in no subnet of the network"]);
}

#[test]
fn a_next_hop_in_the_subnet_itself_loops() {
    let hop = NextHop::VirtualAppliance("192.168.251.140".parse().unwrap());
    let topology = with_route("nva", "198.51.100.0/24", hop);
    check(&topology, "ase https://login.windows.net", "black-hole | ase-subnet | ", &["comes back"]);
    let hop = NextHop::VirtualAppliance("192.168.7.7".parse().unwrap());
    let topology = with_route("nva", "198.51.100.0/24", hop);
    check(&topology, "ase https://login.windows.net", "black-hole | ase-subnet | ", &["is in no subnet"]);
}

#[test]
fn a_firewall_whose_own_routes_lead_back_to_it_loops() {
    let mut topology = worked();
    topology.virtual_networks[0].subnets[1].route_table = Some(TABLE.into());
    let trace = traced(topology, "ase https://login.windows.net");
    assert_eq!(trace.outcome.as_str(), "black-hole", "{}", all_of(&trace));
}

#[test]
fn premises_behind_a_gateway() {
    check(
        &with_gateway(),
        "on-premises ase",
        "delivered | on-premises > er-gateway > ase-subnet | ase-subnet > er-gateway > on-premises",
        &["BGP route, 10.0.0.0/8 → VirtualNetworkGateway"],
    );
    let mut topology = with_gateway();
    table_of(&mut topology).disable_bgp_route_propagation = true;
    check(
        &topology,
        "10.1.2.3 ase:443",
        "asymmetric | on-premises > er-gateway > ase-subnet | ase-subnet > firewall",
        &["firewall has not seen the request"],
    );
}

#[test]
fn forced_tunnelling_leaves_by_another_address() {
    let mut topology = with_gateway();
    let gateway = topology.virtual_networks[0].gateway.as_mut().unwrap();
    gateway.routes.push(net("0.0.0.0/0"));
    gateway.egress_addresses = vec!["203.0.113.77".parse().unwrap()];
    table_of(&mut topology).routes.clear();
    check(
        &topology,
        "AppServiceManagement :454",
        "asymmetric | Internet > VIP of ase > ase-subnet | ase-subnet > er-gateway > on-premises > Internet",
        &["its reply would leave by 203.0.113.77"],
    );
    check(
        &topology,
        "ase https://login.windows.net",
        "delivered | ase-subnet > er-gateway > on-premises > Internet | Internet > on-premises > er-gateway > ase-subnet",
        &[],
    );
}

#[test]
fn peered_networks() {
    check(
        &with_peer(),
        "vm1 ase",
        "delivered | web > ase-subnet | ase-subnet > web",
        &["over the peering with ase-vnet", "NSG in ase-nsg/http (130)", "VNetPeering spoke"],
    );
    let mut topology = with_peer();
    topology.virtual_networks[1].peerings.clear();
    check(&topology, "ase vm1:443", "denied | ase-subnet > firewall | ", &["VirtualAppliance 192.168.0.4"]);
    let mut topology = with_peer();
    topology.virtual_networks[0].peerings[0].allow_virtual_network_access = false;
    check(&topology, "ase vm1:443", "denied | ase-subnet | ", &["peering to-spoke lets no traffic"]);
}

#[test]
fn a_reply_past_the_firewall_that_saw_the_request() {
    let mut topology = with_peer();
    let firewall = NextHop::VirtualAppliance("192.168.0.4".parse().unwrap());
    topology.route_tables.push(RouteTable {
        name: "spoke-routes".into(),
        routes: vec![route("to-ase", "192.168.251.128/25", firewall)],
        ..RouteTable::default()
    });
    topology.virtual_networks[1].subnets[0].route_table = Some("spoke-routes".into());
    topology.virtual_networks[0].peerings[0].allow_forwarded_traffic = true;
    topology.virtual_networks[1].peerings[0].allow_forwarded_traffic = true;
    let trace = traced(topology, "ase vm1:443");
    assert_eq!(shown(&trace), "asymmetric | ase-subnet > web | web > firewall", "{}", all_of(&trace));
}

/// What a firewall of one network passes on into another has not begun there.
#[test]
fn forwarded_traffic_needs_leave() {
    let mut topology = with_peer();
    let firewall = NextHop::VirtualAppliance("192.168.0.4".parse().unwrap());
    topology.route_tables.push(RouteTable {
        name: "spoke-routes".into(),
        routes: vec![route("default", "0.0.0.0/0", firewall)],
        ..RouteTable::default()
    });
    topology.virtual_networks[1].subnets[0].route_table = Some("spoke-routes".into());
    let way = "denied | web > firewall > Internet | Internet > firewall";
    check(&topology, "vm1 https://login.windows.net", way, &["lets no forwarded traffic in"]);
    topology.virtual_networks[1].peerings[0].allow_forwarded_traffic = true;
    let way = "delivered | web > firewall > Internet | Internet > firewall > web";
    check(&topology, "vm1 https://login.windows.net", way, &[]);
}

#[test]
fn names_of_private_zones() {
    let mut topology = worked();
    let records = [("*", "192.168.251.132"), ("*.scm", "192.168.251.132"), ("@", "192.168.251.133")];
    topology.dns_zones.push(DnsZone {
        name: "ase.appserviceenvironment.net".into(),
        records: records.map(|(name, address)| (name.to_owned(), address.parse().unwrap())).into(),
        virtual_networks: vec![VNET.into()],
        at: Spot::nowhere(),
    });
    let within = "delivered | ase-subnet > ase-subnet | ase-subnet > ase-subnet";
    for name in ["app.ase.appserviceenvironment.net", "app.scm.ase.appserviceenvironment.net"] {
        check(
            &topology,
            &format!("ase https://{name}"),
            within,
            &["is 192.168.251.132 (zone ase.appserviceenvironment.net)"],
        );
    }
    topology.virtual_networks[0].dns_servers = vec!["192.168.251.140".parse().unwrap()];
    check(
        &topology,
        "ase https://app.ase.appserviceenvironment.net",
        "denied | ase-subnet > firewall | ",
        &["address not known here"],
    );
}

#[test]
fn the_load_balancer_probes() {
    check(
        &worked(),
        "AzureLoadBalancer ase",
        "delivered | Azure's load balancer > ase-subnet | ase-subnet > Azure's host",
        &["NSG in ase-nsg/load-balancer (110)"],
    );
}

#[test]
fn a_name_server_that_cannot_be_reached() {
    let mut topology = worked();
    topology.virtual_networks[0].dns_servers = vec!["10.9.9.9".parse().unwrap()];
    check(&topology, "ase https://login.windows.net", "unresolved | ase-subnet | ", &["10.9.9.9 cannot be reached"]);
    topology.virtual_networks[0].dns_servers = vec!["192.168.0.4".parse().unwrap()];
    let way = "delivered | ase-subnet > firewall > Internet | Internet > firewall > ase-subnet";
    check(&topology, "ase https://login.windows.net", way, &["the network's own server, 192.168.0.4 (firewall)"]);
}

#[test]
fn within_the_environment() {
    check(&worked(), "ase ase:9000", "delivered | ase-subnet > ase-subnet | ase-subnet > ase-subnet", &[SUBNET]);
}

#[test]
fn what_is_not_there_is_said() {
    let network = samples::built(worked());
    let scene = Scene { network: &network, policy: None, given: &|_, _| Vec::new() };
    let ask = |flow: &str| {
        let words: Vec<String> = flow.split(' ').map(str::to_owned).collect();
        let (from, to) = endpoints(&words).unwrap();
        Trace::of(scene, from.as_ref(), &to)
    };
    let error = ask("ase-subnett vip:454").unwrap_err().to_string();
    assert!(error.ends_with("did you mean `ase-subnet`?"), "{error}");
    assert_eq!(ask("on-premises ase").unwrap_err().to_string(), "there is no gateway with routes in the topology");
    let trace = ask("ase https://login.windows.net").unwrap();
    assert!(matches!(trace.outcome, Outcome::Unknown(_)), "{}", all_of(&trace));
    assert!(!trace.is_delivered());
}

/// An endpoint is a route of a subnet: one of the policy's own takes nothing that has come to the firewall.
#[test]
fn endpoints_of_the_policy_are_no_way_round_the_firewall() {
    let endpoint = ServiceEndpoint {
        service: "Microsoft.Web".into(),
        zones: Vec::new(),
        ranges: ["198.51.100.0/24".parse().unwrap()].into(),
        ports: PortSet::any(),
    };
    let set = RuleSet { service_endpoints: vec![endpoint], ..RuleSet::default() };
    let policy = Policy::compile(Arc::new(set), PrivateAddresses::Allow);
    let trace = traced_by(&policy, worked(), "ase tcp://198.51.100.7:443");
    assert_eq!(shown(&trace), "denied | ase-subnet > firewall | ");
}

/// The error of a flow that is none.
fn refused(topology: Topology, flow: &str) -> String {
    let network = samples::built(topology);
    let scene = Scene { network: &network, policy: None, given: &|_, _| Vec::new() };
    let words: Vec<String> = flow.split(' ').map(str::to_owned).collect();
    let (from, to) = endpoints(&words).unwrap();
    Trace::of(scene, from.as_ref(), &to).map(|trace| all_of(&trace)).unwrap_err().to_string()
}

/// A policy with one network rule, that lets everything through.
fn open() -> Policy {
    let rule = NetworkRule {
        name: "any".to_owned(),
        sources: AddressSet::any(),
        protocols: IpProtocols { any: true, ..IpProtocols::default() },
        destinations: AddressSet::any(),
        ports: PortSet::any(),
        ..NetworkRule::default()
    };
    let priority = Priority::try_from(100).unwrap();
    let rules = Rules::Network(Action::Allow, vec![rule]);
    let collections = vec![RuleCollection { name: "c".to_owned(), priority, rules, at: Spot::default() }];
    let group = RuleCollectionGroup { name: "g".to_owned(), priority, collections, at: Spot::default() };
    let policy = PolicyRules { name: "open".to_owned(), groups: vec![group], ..PolicyRules::default() };
    let set = RuleSet { policies: vec![policy], ..RuleSet::default() };
    Policy::compile(Arc::new(set), PrivateAddresses::Allow)
}

#[test]
fn a_firewall_that_is_tunnelled_itself_sends_from_a_private_address() {
    let mut topology = with_gateway();
    topology.virtual_networks[0].gateway.as_mut().unwrap().egress_addresses = vec!["203.0.113.77".parse().unwrap()];
    topology.route_tables.push(RouteTable {
        name: "firewall-routes".into(),
        routes: vec![route("forced", "0.0.0.0/0", NextHop::VirtualNetworkGateway)],
        ..RouteTable::default()
    });
    topology.virtual_networks[0].subnets[1].route_table = Some("firewall-routes".into());
    check(
        &topology,
        "ase https://login.windows.net",
        "delivered | ase-subnet > firewall > er-gateway > on-premises > Internet \
         | Internet > on-premises > er-gateway > firewall > ase-subnet",
        &[
            "SNAT 192.168.251.132 (ILB of ase) becomes 192.168.0.4 (firewall)",
            "SNAT 192.168.0.4 (firewall) becomes 203.0.113.77",
        ],
    );
}

#[test]
fn a_firewall_takes_replies_to_what_it_asked_itself() {
    let way = "delivered | firewall > Azure's host | Azure's host > firewall";
    check(&worked(), "firewall 168.63.129.16:53", way, &["no user-defined route counts"]);
    check(&worked(), "AzureFirewallSubnet 168.63.129.16:53", way, &[]);
    check(
        &worked(),
        "firewall https://login.windows.net",
        "delivered | firewall > Internet | Internet > firewall",
        &["SNAT 192.168.0.4 (firewall) becomes 203.0.113.4 (public address of firewall)"],
    );
    check(
        &worked(),
        "AzureLoadBalancer firewall",
        "delivered | Azure's load balancer > firewall | firewall > Azure's host",
        &["it is meant for the firewall itself"],
    );
    let mut topology = with_peer();
    topology.virtual_networks[0].peerings[0].allow_forwarded_traffic = true;
    check(&topology, "firewall vm1:443", "delivered | firewall > web | web > firewall", &[]);
}

#[test]
fn premises_have_a_way_of_their_own_to_the_internet() {
    let way = "delivered | on-premises > Internet | Internet > on-premises";
    check(&with_gateway(), "on-premises https://login.windows.net", way, &["a public address of the premises"]);
    let mut topology = external();
    let gateway = Gateway { routes: vec![net("0.0.0.0/0"), net("10.0.0.0/8")], ..Gateway::default() };
    topology.virtual_networks[0].gateway = Some(gateway);
    topology.virtual_networks[0].subnets.push(subnet("GatewaySubnet", "192.168.1.0/27"));
    table_of(&mut topology).routes.push(route("all", "0.0.0.0/0", NextHop::Internet));
    table_of(&mut topology).routes.retain(|route| route.name != "default");
    check(
        &topology,
        "on-premises ase:443",
        "delivered | on-premises > Internet > VIP of ase > ase-subnet | ase-subnet > Internet > on-premises",
        &[],
    );
    check(&with_gateway(), "10.1.2.3 10.3.2.1:443", "delivered | on-premises | on-premises", &[]);
}

#[test]
fn of_two_prefixes_each_address_is_followed_with_each() {
    let mut topology = worked();
    let group = &mut topology.security_groups[0];
    group.rules.push(security_rule(
        "one",
        105,
        FlowDirection::Inbound,
        SecurityProtocol::Tcp,
        "192.168.7.0/25",
        "192.168.251.140/32",
        "8080",
    ));
    topology.virtual_networks[0].subnets.push(subnet("data", "192.168.7.0/24"));
    let shown = |flow: &str| {
        let trace = traced(topology.clone(), flow);
        assert!(!trace.is_delivered(), "{}", all_of(&trace));
        let groups = trace.sweep.unwrap().groups.into_iter().map(|group| (group.outcome.as_str(), group.share));
        groups.map(|(outcome, share)| format!("{outcome} {}", in_words(&share))).collect::<Vec<_>>()
    };
    assert_eq!(
        shown("192.168.7.0/24 192.168.251.140/31:8080"),
        [
            "denied 192.168.7.0/25 with 192.168.251.141; 192.168.7.128/25 with 192.168.251.140/31",
            "delivered 192.168.7.0/25 with 192.168.251.140",
        ]
    );
    assert_eq!(
        shown("192.168.7.9 192.168.251.140/30:8080"),
        [
            "denied 192.168.251.141-192.168.251.143 of 192.168.251.140/30",
            "delivered 192.168.251.140 of 192.168.251.140/30",
        ]
    );
    let error = refused(worked(), "AppServiceManagement AppServiceManagement:443");
    assert!(error.contains("each with each: more than 20000 flows are not followed"), "{error}");
}

fn in_words(share: &Share) -> String {
    let all = |ranges: &[AddressRange]| ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let told: Vec<String> = match share {
        Share::Of { wholly, partly } => {
            let parts = partly.iter().map(|part| format!("{} of {}", all(&part.ranges), part.prefix));
            wholly.iter().map(ToString::to_string).chain(parts).collect()
        }
        Share::Pairs(pairs) => pairs.iter().map(|pair| format!("{} with {}", all(&pair.from), all(&pair.to))).collect(),
    };
    told.join("; ")
}

#[test]
fn version_3_is_managed_elsewhere() {
    let mut topology = worked();
    topology.environments[0].version = AseVersion::V3;
    let way = "delivered | Azure's load balancer > ase-subnet | ase-subnet > Azure's host";
    for end in ["ase", "ase-subnet", "vip"] {
        let trace = traced(topology.clone(), &format!("AzureLoadBalancer {end}"));
        assert_eq!(trace.service, "TCP 80", "{end}");
    }
    check(&topology, "AzureLoadBalancer ase", way, &[]);
    let denied = "denied | Internet > VIP of ase | ";
    check(
        &topology,
        "AppServiceManagement vip:454",
        denied,
        &["version 3 needs no management in the network of its customer"],
    );
    check(&topology, "internet vip:443", denied, &["an ILB environment of version 3 serves nothing in public"]);
    topology.environments[0].load_balancing = LoadBalancing::External;
    check(&topology, "AppServiceManagement ase:455", denied, &["version 3 needs no management"]);
}

#[test]
fn each_environment_and_firewall_without_an_address_is_told_apart() {
    let mut topology = worked();
    topology.environments[0].public_address = None;
    let other = AppServiceEnvironment {
        name: "other".into(),
        subnet: "other-subnet".into(),
        internal_address: None,
        ..topology.environments[0].clone()
    };
    topology.environments.push(other);
    topology.virtual_networks[0].subnets.push(subnet("other-subnet", "192.168.7.0/24"));
    check(
        &topology,
        "internet other:454",
        "delivered | Internet > VIP of other > other-subnet | other-subnet > Internet",
        &["192.168.7.4 becomes VIP of other"],
    );
    check(
        &topology,
        "internet vip/other:454",
        "delivered | Internet > VIP of other > other-subnet | other-subnet > Internet",
        &[],
    );
    let mut topology = with_peer();
    topology.firewalls[0].public_addresses.clear();
    topology.firewalls.push(Firewall {
        name: "second".into(),
        virtual_network: "spoke".into(),
        subnet: "AzureFirewallSubnet".into(),
        private_address: Some("172.20.2.4".parse().unwrap()),
        ..Firewall::default()
    });
    topology.virtual_networks[1].subnets.push(subnet("AzureFirewallSubnet", "172.20.2.0/26"));
    check(&topology, "internet second:443", "denied | Internet > second | ", &["public address of second"]);
}

#[test]
fn ends_that_may_be_several_are_refused() {
    let mut topology = with_peer();
    topology.virtual_networks[1].subnets.push(subnet(SUBNET, "172.20.3.0/24"));
    let asked = refused(topology.clone(), &format!("{SUBNET} internet"));
    assert_eq!(asked, format!("`{SUBNET}` may be `{VNET}/{SUBNET}` or `spoke/{SUBNET}`: write which"));
    check(
        &topology,
        &format!("spoke/{SUBNET} vm1:443"),
        &format!("delivered | spoke/{SUBNET} > web | web > spoke/{SUBNET}"),
        &[],
    );
    let mut topology = worked();
    let other = AppServiceEnvironment {
        name: "other".into(),
        subnet: "other-subnet".into(),
        ..topology.environments[0].clone()
    };
    topology.environments.push(other);
    topology.virtual_networks[0].subnets.push(subnet("other-subnet", "192.168.7.0/24"));
    assert_eq!(refused(topology.clone(), "ase internet"), "`ase` may be `ase` or `other`: write which");
    assert_eq!(refused(topology.clone(), "internet vip:454"), "`vip:454` may be `vip/ase` or `vip/other`: write which");
    assert_eq!(refused(topology.clone(), "internet"), "`ase` may be `ase` or `other`: write which");
    topology.firewalls.push(Firewall { name: "second".into(), ..topology.firewalls[0].clone() });
    assert_eq!(refused(topology, "internet firewall"), "`firewall` may be `firewall` or `second`: write which");
}

#[test]
fn what_no_flow_ends_at_is_told_as_what_it_is() {
    let check = |name: &str, expected: &str| assert_eq!(refused(worked(), &format!("ase {name}")), expected);
    check(
        "Sql.WestUS",
        "the service tag `Sql.WestUS` is not at hand: give the file that it is in by --service-tags, or write the tag of all regions",
    );
    check(
        "sql.westus2",
        "the service tag `sql.westus2` is not at hand: give the file that it is in by --service-tags, or write the tag of all regions",
    );
    check(
        "VirtualNetwork",
        "`VirtualNetwork` is no end of a flow: it stands for other addresses in each subnet: write a subnet or a prefix",
    );
    check("*", "`*` is no end of a flow: it stands for every address: write one, a prefix, or internet");
    check(
        "nothing",
        "`nothing` is nothing here: there are the subnets ase-subnet, AzureFirewallSubnet, ase, vip, firewall, internet, addresses, hosts and published service tags",
    );
    let trace = traced(worked(), "ase AzurePlatformDNS");
    assert_eq!(
        (trace.service.as_str(), shown(&trace).as_str()),
        ("UDP 53", "delivered | ase-subnet > Azure's host | Azure's host > ase-subnet")
    );
}

#[test]
fn names_of_an_internal_environment_are_in_no_public_dns() {
    let mut topology = worked();
    topology.dns_zones.clear();
    let name = "https://app.ase.appserviceenvironment.net";
    check(
        &topology,
        &format!("ase {name}"),
        "unresolved | ase-subnet | ",
        &["is in no public DNS, and in no private zone here"],
    );
    check(&topology, &format!("internet {name}"), "unresolved | Internet | ", &[]);
    topology.environments[0].dns_suffix = "apps.example.com".into();
    let trace = traced(topology, "ase https://app.apps.example.com");
    assert_eq!(trace.outcome.as_str(), "denied", "a suffix of one's own may be in public DNS");
}

#[test]
fn routes_that_were_read_have_their_peers_and_services() {
    let mut topology = with_peer();
    topology.virtual_networks[0].subnets[0].service_endpoints = vec!["microsoft.sql".into()];
    let network = samples::built(topology);
    let place = network.place(VNET, SUBNET).unwrap();
    let unnamed = |hop: &Hop| match hop {
        Hop::VnetPeering(_) => Hop::VnetPeering(String::new()),
        Hop::VirtualNetworkServiceEndpoint(_) => Hop::VirtualNetworkServiceEndpoint(String::new()),
        hop => hop.clone(),
    };
    let read: Vec<EffectiveRoute> = network
        .effective_routes(place)
        .iter()
        .map(|it| EffectiveRoute { next_hop: unnamed(&it.next_hop), tag: None, ..it.clone() })
        .collect();
    let known: Vec<Hop> = network.effective_routes(place).iter().map(|it| it.next_hop.clone()).collect();
    let network = network.with_effective_routes(place, read);
    let told: Vec<Hop> = network.effective_routes(place).iter().map(|it| it.next_hop.clone()).collect();
    assert_eq!(told, known);
    assert!(told.contains(&Hop::VirtualNetworkServiceEndpoint("Microsoft.Sql".into())), "{told:?}");
}

/// A network rule for everything lets nothing in.
#[test]
fn a_public_address_of_a_firewall_is_opened_by_dnat_rules_alone() {
    let trace = traced_by(&open(), worked(), "198.51.100.9 firewall:123");
    assert_eq!(shown(&trace), "denied | Internet > firewall | ");
    assert!(all_of(&trace).contains("no DNAT rule is for it"), "{}", all_of(&trace));
}

#[test]
fn addresses_that_are_not_of_the_internet() {
    check(&worked(), "internet 168.63.129.16:80", "black-hole | Internet | ", &["168.63.129.16 is the platform's own"]);
    check(&worked(), "internet 10.3.4.5:80", "black-hole | Internet | ", &["10.3.4.5 is private"]);
}

#[test]
fn china_has_the_management_addresses_of_the_documents() {
    let topology = Topology { cloud: Cloud::China, ..worked() };
    let network = Network::new(topology, Tags::new(Catalogue::default(), Cloud::China));
    let scene = Scene { network: &network, policy: None, given: &|_, _| Vec::new() };
    let outcome = |flow: &[&str]| {
        let words: Vec<String> = flow.iter().map(|it| (*it).to_owned()).collect();
        let (from, to) = endpoints(&words).unwrap();
        let trace = Trace::of(scene, from.as_ref(), &to).unwrap();
        (trace.outcome.as_str(), trace.sweep.map(|sweep| sweep.ends[0].count))
    };
    assert_eq!(outcome(&["42.159.4.236", "vip:454"]), ("delivered", None));
    assert_eq!(outcome(&["AppServiceManagement", "vip:454"]), ("delivered", Some(2)));
    assert_eq!(outcome(&["198.51.100.9", "vip:454"]).0, "denied");
}

/// Nobody says which appliance is the firewall: then the one on the way is, by the rule of the engine.
#[test]
fn an_appliance_where_no_firewall_is_known() {
    let mut topology = with_route("nva", "198.51.100.0/24", NextHop::VirtualAppliance("192.168.7.7".parse().unwrap()));
    topology.virtual_networks[0].subnets.push(subnet("nva", "192.168.7.0/24"));
    check(&topology, "ase https://login.windows.net", "unknown | ase-subnet > appliance | ", &["what the appliance"]);
    topology.firewalls.clear();
    let way = "delivered | ase-subnet > firewall > Internet | Internet > firewall > ase-subnet";
    check(&topology, "ase https://login.windows.net", way, &["rule allows, application-rule"]);
    check(&topology, "ase tcp://198.51.100.9:443", "denied | ase-subnet > firewall | ", &[]);
}

/// Two networks with the same addresses: the subnet that is named is meant.
#[test]
fn networks_with_equal_addresses() {
    let network = |name: &str, own: Subnet| VirtualNetwork {
        name: name.into(),
        address_space: vec![net("10.0.0.0/16")],
        subnets: vec![own],
        ..VirtualNetwork::default()
    };
    let closed = Subnet { security_group: Some("closed".into()), ..subnet("t", "10.0.1.0/24") };
    let rule = security_rule("no", 100, FlowDirection::Outbound, SecurityProtocol::Any, "*", "*", "*");
    let rule = crate::vnet::SecurityRule { access: Action::Deny, ..rule };
    let topology = Topology {
        virtual_networks: vec![network("a", subnet("s", "10.0.1.0/24")), network("b", closed)],
        security_groups: vec![NetworkSecurityGroup { name: "closed".into(), rules: vec![rule], at: Spot::nowhere() }],
        ..Topology::default()
    };
    check(&topology, "b/t internet:443", "denied | t | ", &["closed/no (100)"]);
    check(&topology, "a/s internet:443", "delivered | s > Internet | Internet > s", &[]);
}

/// A hub that lends its gateway to a spoke, all else by default.
fn hub_and_spoke(is_placed: bool) -> Topology {
    let peering = |remote: &str| Peering {
        name: format!("to-{remote}"),
        remote: remote.into(),
        allow_virtual_network_access: true,
        allow_gateway_transit: remote == "spoke",
        use_remote_gateways: remote == "hub",
        ..Peering::default()
    };
    let gateway = Gateway { name: "gw".into(), routes: vec![net("172.16.0.0/16")], ..Gateway::default() };
    let hub = VirtualNetwork {
        name: "hub".into(),
        address_space: vec![net("10.0.0.0/16")],
        subnets: is_placed.then(|| subnet("GatewaySubnet", "10.0.255.0/27")).into_iter().collect(),
        peerings: vec![peering("spoke")],
        gateway: Some(gateway),
        ..VirtualNetwork::default()
    };
    let spoke = VirtualNetwork {
        name: "spoke".into(),
        address_space: vec![net("10.1.0.0/16")],
        subnets: vec![subnet("app", "10.1.1.0/24")],
        peerings: vec![peering("hub")],
        ..VirtualNetwork::default()
    };
    Topology { virtual_networks: vec![hub, spoke], ..Topology::default() }
}

/// Allow-forwarded-traffic is for appliances: what comes by a gateway that is lent needs none.
#[test]
fn a_gateway_that_is_lent() {
    for is_placed in [true, false] {
        let topology = hub_and_spoke(is_placed);
        check(&topology, "on-premises app:443", "delivered | on-premises > gw > app | app > gw > on-premises", &[]);
        check(&topology, "app 172.16.0.9:443", "delivered | app > gw > on-premises | on-premises > gw > app", &[]);
    }
}

#[test]
fn a_peering_that_is_closed_to_the_gateway() {
    for is_placed in [true, false] {
        let mut topology = hub_and_spoke(is_placed);
        topology.virtual_networks[0].peerings[0].allow_virtual_network_access = false;
        let denied = "denied | on-premises > gw | ";
        check(&topology, "on-premises app:443", denied, &["to-spoke lets no traffic of the networks through"]);
        topology.virtual_networks[0].peerings[0].allow_virtual_network_access = true;
        topology.virtual_networks[0].peerings[0].allow_gateway_transit = false;
        check(&topology, "on-premises app:443", denied, &["lets no forwarded traffic in"]);
    }
}

/// The first address that Azure gives out, of the family that the other end has.
#[test]
fn flows_begin_at_an_address_of_their_family() {
    let both = Subnet { prefixes: vec![net("10.0.1.0/24"), net("2001:db8:1:2::/64")], ..subnet("both", "10.0.1.0/24") };
    let network = VirtualNetwork {
        name: "v".into(),
        address_space: vec![net("10.0.0.0/16"), net("2001:db8:1::/48")],
        subnets: vec![subnet("six", "2001:db8:1:1::/64"), both],
        ..VirtualNetwork::default()
    };
    let topology = Topology { virtual_networks: vec![network], ..Topology::default() };
    let begins = |flow: &str| {
        let trace = traced(topology.clone(), flow);
        trace.request[0].address.as_ref().unwrap().to_string()
    };
    assert_eq!(begins("six [2600::1]:443"), "2001:db8:1:1::4");
    assert_eq!(begins("both [2600::1]:443"), "2001:db8:1:2::4");
    assert_eq!(begins("both six:443"), "2001:db8:1:2::4");
    assert_eq!(begins("both 198.51.100.9:443"), "10.0.1.4");
}

/// In the US Government cloud the names are others, and no file tells the addresses: the endpoint takes them.
#[test]
fn endpoints_of_another_cloud() {
    let network = Network::new(worked(), Tags::new(Catalogue::default(), Cloud::UsGov));
    let scene = Scene { network: &network, policy: Some(&ase()), given: &|_, _| Vec::new() };
    let ask = |flow: &str| {
        let (from, to) = endpoints(&["ase".to_owned(), flow.to_owned()]).unwrap();
        shown(&Trace::of(scene, from.as_ref(), &to).unwrap())
    };
    let passed = "delivered | ase-subnet > Microsoft.Storage | Microsoft.Storage > ase-subnet";
    assert_eq!(ask("https://x.blob.core.usgovcloudapi.net"), passed);
    assert_eq!(ask("https://x.blob.core.windows.net"), "denied | ase-subnet > firewall | ");
}
