//! Random networks and flows.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::allowlist::Catalogue;
use crate::flow::PortRange;
use crate::policy::{Action, AddressRange, NamedKind, NamedRanges, Spot};

use super::*;

pub(crate) const VNET: &str = "v";
pub(crate) const SUBNET: &str = "s";

/// Of the subnet, of one of two interfaces, of the network, of a peer, of the premises, of the Internet, of the platform.
const ADDRESSES: [&str; 14] = [
    "10.0.1.4",
    "10.0.1.7",
    "10.0.1.9",
    "10.0.2.1",
    "10.8.0.1",
    "10.9.0.1",
    "172.16.5.5",
    "192.0.2.1",
    "192.0.2.77",
    "198.51.100.9",
    "203.0.113.200",
    "168.63.129.16",
    "169.254.169.254",
    "23.102.135.246",
];

const NETS: [&str; 13] = [
    "0.0.0.0/0",
    "0.0.0.0/1",
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.1.0/28",
    "10.0.1.8/30",
    "10.0.1.7/32",
    "10.8.0.0/16",
    "172.16.0.0/12",
    "192.0.2.0/24",
    "192.0.2.64/26",
    "198.51.100.9/32",
    "::/0",
];

const TAGS: [&str; 9] = [
    "VirtualNetwork",
    "internet",
    "AzureLoadBalancer",
    "AzurePlatformDNS",
    "azureplatformimds",
    "AzurePlatformLKM",
    "Storage",
    "storage.WestUS2",
    "Unknown",
];

/// Three tags in place of the published ones.
pub(crate) fn tags() -> Tags {
    let tag = |name: &str, ranges: &[&str]| NamedRanges {
        name: name.into(),
        kind: NamedKind::ServiceTag,
        ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
    };
    let mut catalogue = Catalogue::default();
    catalogue.replace_service_tags(vec![
        tag("Storage", &["192.0.2.0/24", "198.51.100.0/25", "2001:db8::/32"]),
        tag("Storage.WestUS2", &["192.0.2.64/26", "192.0.2.0/24"]),
        tag("AzureCloud", &["192.0.2.0/24", "203.0.113.0/24"]),
    ]);
    Tags::new(catalogue, Cloud::Public)
}

pub(crate) fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        8 => select(ADDRESSES.to_vec()).prop_map(|text| text.parse().unwrap()),
        1 => any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        1 => select(vec!["2001:db8::1", "2600::1", "fd00::5"]).prop_map(|text| text.parse().unwrap()),
    ]
}

pub(crate) fn range() -> impl Strategy<Value = AddressRange> {
    let net = select(NETS.to_vec()).prop_map(|text| text.parse().unwrap());
    let between = (address(), address()).prop_map(|(one, other)| {
        AddressRange::between(one.min(other), one.max(other)).unwrap_or_else(|| AddressRange::from(one))
    });
    prop_oneof![net, between]
}

pub(crate) fn transport() -> impl Strategy<Value = Transport> {
    let all = vec![
        Transport::Tcp,
        Transport::Tcp,
        Transport::Udp,
        Transport::Icmp,
        Transport::Esp,
        Transport::Ah,
        Transport::Other,
    ];
    select(all)
}

pub(crate) fn direction() -> impl Strategy<Value = FlowDirection> {
    select(vec![FlowDirection::Inbound, FlowDirection::Outbound])
}

pub(crate) fn port() -> impl Strategy<Value = u16> {
    select(vec![0, 22, 53, 67, 80, 443, 454, 1688, 49152])
}

pub(crate) fn flow() -> impl Strategy<Value = NetFlow> {
    (transport(), address(), port(), address(), port()).prop_map(
        |(transport, source, source_port, destination, destination_port)| NetFlow {
            transport,
            source,
            source_port,
            destination,
            destination_port,
        },
    )
}

fn side() -> impl Strategy<Value = RuleSide> {
    let prefix = prop_oneof![
        3 => Just(Prefix::Any),
        4 => select(NETS.to_vec()).prop_map(|text| Prefix::Net(text.parse().unwrap())),
        3 => select(TAGS.to_vec()).prop_map(|tag| Prefix::Tag(tag.into())),
    ];
    let ports = select(vec!["*", "*", "80", "443", "53", "400-500", "1024-65535", "1688", "67"]);
    let range = |text: &str| if text == "*" { PortRange::ANY } else { text.parse().unwrap() };
    let ports = prop_oneof![3 => Just(vec![PortRange::ANY]), 1 => vec(ports.prop_map(range), 0..3)];
    let groups = prop_oneof![3 => Just(Vec::new()), 1 => subsequence(vec!["Web", "db"], 1..=2)];
    (vec(prefix, 0..4), ports, groups).prop_map(|(prefixes, ports, groups)| RuleSide {
        prefixes,
        ports,
        application_security_groups: groups.into_iter().map(String::from).collect(),
    })
}

/// Priorities are unique, and the rules are in no order.
fn security_rules() -> impl Strategy<Value = Vec<SecurityRule>> {
    let any = SecurityProtocol::Any;
    let protocols = vec![any, any, SecurityProtocol::Tcp, SecurityProtocol::Udp, SecurityProtocol::Icmp];
    let access = select(vec![Action::Allow, Action::Deny]);
    let rule = (select(protocols), access, direction(), side(), side()).prop_map(
        |(protocol, access, direction, source, destination)| SecurityRule {
            name: String::new(),
            priority: 0,
            direction,
            access,
            protocol,
            source,
            destination,
            at: Spot::nowhere(),
        },
    );
    let numbered = vec(rule, 0..16).prop_map(|rules| {
        let number =
            |(at, rule): (u16, SecurityRule)| SecurityRule { name: format!("r{at}"), priority: 100 + at, ..rule };
        (0..).zip(rules).map(number).collect::<Vec<_>>()
    });
    numbered.prop_shuffle()
}

fn group(name: &'static str) -> impl Strategy<Value = NetworkSecurityGroup> {
    security_rules().prop_map(|rules| NetworkSecurityGroup { name: name.into(), rules, at: Spot::nowhere() })
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let nets = NETS.map(|text| RouteDestination::Net(text.parse().unwrap()));
    let tags = ["Storage", "Storage.WestUS2", "AzureCloud", "Unknown"].map(|tag| RouteDestination::Tag(tag.into()));
    let destination = select(nets.into_iter().chain(tags).collect::<Vec<_>>());
    let hops = vec![
        NextHop::Internet,
        NextHop::None,
        NextHop::VnetLocal,
        NextHop::VirtualNetworkGateway,
        NextHop::VirtualAppliance("10.0.2.4".parse().unwrap()),
    ];
    vec((destination, select(hops)), 0..8).prop_map(|routes| {
        let named = |(at, (destination, next_hop)): (u32, _)| Route {
            name: format!("r{at}"),
            destination,
            next_hop,
            at: Spot::nowhere(),
        };
        (0..).zip(routes).map(named).collect()
    })
}

/// None, one without an address, one in a subnet that is not in the topology, one in its own subnet, and one beside the
/// appliance that routes lead to; with the subnets that are there.
pub(crate) fn firewalls() -> impl Strategy<Value = (Vec<Firewall>, Vec<Subnet>)> {
    let firewall = |subnet: &str, address: Option<&str>| Firewall {
        name: "fw".into(),
        virtual_network: VNET.into(),
        subnet: subnet.into(),
        private_address: address.map(|text| text.parse().unwrap()),
        ..Firewall::default()
    };
    let own = FIREWALL_SUBNET;
    let kinds = vec![
        vec![],
        vec![firewall("", None)],
        vec![firewall("", Some("10.0.2.4"))],
        vec![firewall(own, Some("10.0.2.4"))],
        vec![firewall("", Some("10.0.3.4"))],
    ];
    let table = prop_oneof![Just(None), Just(Some("T".to_owned()))];
    (select(kinds), table, any::<bool>()).prop_map(|(firewalls, route_table, is_there)| {
        let prefixes = vec!["10.0.2.0/26".parse().unwrap()];
        let subnet = Subnet { name: FIREWALL_SUBNET.into(), prefixes, route_table, ..Subnet::default() };
        (firewalls, if is_there { vec![subnet] } else { Vec::new() })
    })
}

/// A network `v` with a small subnet `s`, two interfaces in it, a peer, and perhaps a gateway.
pub(crate) fn topology() -> impl Strategy<Value = Topology> {
    let some = |name: &str| prop_oneof![1 => Just(None), 3 => Just(Some(name.to_owned()))];
    let advertised = subsequence(
        vec!["0.0.0.0/0", "10.0.1.0/24", "10.9.0.0/16", "10.8.0.0/24", "192.0.2.0/24", "192.0.2.64/27"],
        0..=4,
    );
    let switches = (
        select(vec![VirtualNetworkTag::AddressSpace, VirtualNetworkTag::Routes, VirtualNetworkTag::DefaultRoutes]),
        select(vec![NoneRoutes::Documented, NoneRoutes::Observed]),
    );
    let names = (some("g"), some("h"), some("t"));
    let groups = (group("G"), group("h"));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (groups, names, routes(), advertised, switches, flags).prop_map(
        |((of_subnet, of_interface), (group, own, table), routes, advertised, switches, flags)| {
            let (endpoint, back, allow, lent, no_bgp) = flags;
            let subnet = Subnet {
                name: SUBNET.into(),
                prefixes: vec!["10.0.1.0/28".parse().unwrap()],
                security_group: group,
                route_table: table,
                service_endpoints: if endpoint { vec!["microsoft.storage".into()] } else { Vec::new() },
                ..Subnet::default()
            };
            let gateway =
                Gateway { routes: advertised.iter().map(|text| text.parse().unwrap()).collect(), ..Gateway::default() };
            let peering = |remote: &str| Peering {
                remote: remote.into(),
                allow_virtual_network_access: allow,
                allow_gateway_transit: true,
                use_remote_gateways: lent,
                ..Peering::default()
            };
            let own_network = VirtualNetwork {
                name: VNET.into(),
                address_space: vec!["10.0.0.0/16".parse().unwrap(), "fd00::/48".parse().unwrap()],
                subnets: vec![subnet],
                peerings: vec![peering("P")],
                gateway: (!lent).then(|| gateway.clone()),
                ..VirtualNetwork::default()
            };
            let peer = VirtualNetwork {
                name: "p".into(),
                address_space: vec!["10.8.0.0/16".parse().unwrap()],
                peerings: if back { vec![peering("V")] } else { Vec::new() },
                gateway: lent.then_some(gateway),
                ..VirtualNetwork::default()
            };
            let interface = |name: &str, address: &str, group: Option<String>, groups: &[&str]| NetworkInterface {
                name: name.into(),
                virtual_network: "V".into(),
                subnet: SUBNET.into(),
                addresses: vec![address.parse().unwrap()],
                security_group: group,
                application_security_groups: groups.iter().copied().map(String::from).collect(),
                ..NetworkInterface::default()
            };
            Topology {
                virtual_networks: vec![own_network, peer],
                security_groups: vec![of_subnet, of_interface],
                route_tables: vec![RouteTable {
                    name: "T".into(),
                    routes,
                    disable_bgp_route_propagation: no_bgp,
                    at: Spot::nowhere(),
                }],
                interfaces: vec![
                    interface("n1", "10.0.1.7", own, &["web"]),
                    interface("n2", "10.0.1.9", None, &["WEB", "DB"]),
                ],
                switches: TopologySwitches { virtual_network_tag: switches.0, none_routes: switches.1 },
                ..Topology::default()
            }
        },
    )
}
