//! The set-up of the networking document (Networking considerations for an App Service environment, ms.date 05/08/2017)
//! with the firewall of its sequel (09/24/2018): VNet 192.168.250.0/16, ASE subnet 192.168.251.128/25.

use crate::allowlist::Catalogue;
use crate::flow::PortRange;
use crate::policy::{Action, Spot};

use super::{
    AppServiceEnvironment, AseVersion, Cloud, DnsZone, Firewall, FlowDirection, IlbMode, LoadBalancing, Network,
    NetworkSecurityGroup, NextHop, Prefix, Route, RouteDestination, RouteTable, RuleSide, SecurityProtocol,
    SecurityRule, Subnet, Tags, Topology, VirtualNetwork,
};

pub(crate) const VNET: &str = "ase-vnet";
pub(crate) const SUBNET: &str = "ase-subnet";
pub(crate) const GROUP: &str = "ase-nsg";
pub(crate) const TABLE: &str = "ase-routes";

/// The dependencies that have addresses and no names, in the order of the document.
const DEPENDENCIES: [&str; 7] = [
    "40.77.24.27",
    "13.82.184.151",
    "13.68.109.212",
    "13.90.249.229",
    "13.91.102.27",
    "104.45.230.69",
    "168.62.226.198",
];

/// Healthy: an ILB ASE v2 behind an Azure Firewall at 192.168.0.4.
pub(crate) fn worked() -> Topology {
    let firewall = Firewall {
        name: "firewall".into(),
        virtual_network: VNET.into(),
        subnet: "AzureFirewallSubnet".into(),
        private_address: Some("192.168.0.4".parse().unwrap()),
        public_addresses: vec!["203.0.113.4".parse().unwrap()],
        at: Spot::nowhere(),
    };
    let environment = AppServiceEnvironment {
        name: "ase".into(),
        version: AseVersion::V2,
        load_balancing: LoadBalancing::Internal(IlbMode::WebAndPublishing),
        virtual_network: VNET.into(),
        subnet: SUBNET.into(),
        public_address: Some("203.0.113.9".parse().unwrap()),
        internal_address: Some("192.168.251.132".parse().unwrap()),
        client_ranges: vec!["192.168.0.0/16".parse().unwrap()],
        ..AppServiceEnvironment::default()
    };
    Topology {
        name: "worked".into(),
        location: "westus2".into(),
        virtual_networks: vec![network()],
        security_groups: vec![NetworkSecurityGroup {
            name: GROUP.into(),
            rules: security_rules(),
            at: Spot::nowhere(),
        }],
        route_tables: vec![table()],
        firewalls: vec![firewall],
        environments: vec![environment],
        dns_zones: vec![names()],
        ..Topology::default()
    }
}

/// Ready to be asked, with the service tags that are built in.
pub(crate) fn built(topology: Topology) -> Network {
    Network::new(topology, Tags::new(Catalogue::default(), Cloud::Public))
}

fn network() -> VirtualNetwork {
    let ase = Subnet {
        name: SUBNET.into(),
        prefixes: vec!["192.168.251.128/25".parse().unwrap()],
        security_group: Some(GROUP.into()),
        route_table: Some(TABLE.into()),
        service_endpoints: ["Microsoft.Sql", "Microsoft.Storage", "Microsoft.EventHub"].map(String::from).into(),
        ..Subnet::default()
    };
    let firewall = Subnet {
        name: "AzureFirewallSubnet".into(),
        prefixes: vec!["192.168.0.0/26".parse().unwrap()],
        ..Subnet::default()
    };
    VirtualNetwork {
        name: VNET.into(),
        address_space: vec!["192.168.0.0/16".parse().unwrap()],
        subnets: vec![ase, firewall],
        ..VirtualNetwork::default()
    }
}

fn names() -> DnsZone {
    let address = "192.168.251.132".parse().unwrap();
    DnsZone {
        name: "ase.appserviceenvironment.net".into(),
        records: ["*", "@", "*.scm"].map(|name| (name.to_owned(), address)).into(),
        virtual_networks: vec![VNET.into()],
        at: Spot::nowhere(),
    }
}

fn security_rules() -> Vec<SecurityRule> {
    let (inbound, outbound) = (FlowDirection::Inbound, FlowDirection::Outbound);
    let (tcp, udp, any) = (SecurityProtocol::Tcp, SecurityProtocol::Udp, SecurityProtocol::Any);
    let own = "192.168.251.128/25";
    vec![
        security_rule("management", 100, inbound, tcp, "AppServiceManagement", own, "454-455"),
        security_rule("load-balancer", 110, inbound, any, "AzureLoadBalancer", "*", "*"),
        security_rule("ase-internal", 120, inbound, any, own, own, "*"),
        security_rule("http", 130, inbound, tcp, "192.168.0.0/16", own, "80,443"),
        security_rule("ftp", 140, inbound, tcp, "192.168.0.0/16", own, "21,990,10001-10020"),
        security_rule("debug", 150, inbound, tcp, "192.168.0.0/16", own, "4020,4022,4024"),
        security_rule("web-deploy", 160, inbound, tcp, "192.168.0.0/16", own, "8172"),
        denies("deny-inbound", inbound),
        security_rule("dns", 100, outbound, udp, own, "*", "53"),
        security_rule("ntp", 110, outbound, udp, own, "*", "123"),
        security_rule("web", 120, outbound, tcp, own, "*", "80,443"),
        security_rule("sql", 130, outbound, tcp, own, "Sql", "1433,11000-11999,14000-14999"),
        security_rule("files", 135, outbound, tcp, own, "Storage", "445"),
        security_rule("monitoring", 140, outbound, tcp, own, "*", "12000"),
        security_rule("ase-internal-out", 150, outbound, any, own, own, "*"),
        security_rule("vnet", 160, outbound, any, own, "192.168.0.0/16", "*"),
        denies("deny-outbound", outbound),
    ]
}

fn denies(name: &str, direction: FlowDirection) -> SecurityRule {
    let rule = security_rule(name, 4096, direction, SecurityProtocol::Any, "*", "*", "*");
    SecurityRule { access: Action::Deny, ..rule }
}

/// One that allows, from any port.
pub(crate) fn security_rule(
    name: &str,
    priority: u16,
    direction: FlowDirection,
    protocol: SecurityProtocol,
    from: &str,
    to: &str,
    ports: &str,
) -> SecurityRule {
    SecurityRule {
        name: name.into(),
        priority,
        direction,
        access: Action::Allow,
        protocol,
        source: side(from, "*"),
        destination: side(to, ports),
        at: Spot::nowhere(),
    }
}

fn side(prefix: &str, ports: &str) -> RuleSide {
    let prefix = match prefix {
        "*" => Prefix::Any,
        text => text.parse().map_or_else(|_| Prefix::Tag(text.into()), Prefix::Net),
    };
    let range = |text: &str| if text == "*" { PortRange::ANY } else { text.parse().unwrap() };
    RuleSide { prefixes: vec![prefix], ports: ports.split(',').map(range).collect(), ..RuleSide::default() }
}

fn table() -> RouteTable {
    let firewall = NextHop::VirtualAppliance("192.168.0.4".parse().unwrap());
    let route =
        |name: &str, destination, next_hop| Route { name: name.into(), destination, next_hop, at: Spot::nowhere() };
    let management = RouteDestination::Tag("AppServiceManagement".into());
    let net = |text: &str| RouteDestination::Net(text.parse().unwrap());
    let dependency = |(at, address): (usize, &&str)| {
        route(&format!("dependency-{}", at + 1), net(&format!("{address}/32")), NextHop::Internet)
    };
    RouteTable {
        name: TABLE.into(),
        routes: [route("management", management, NextHop::Internet)]
            .into_iter()
            .chain(DEPENDENCIES.iter().enumerate().map(dependency))
            .chain([route("default", net("0.0.0.0/0"), firewall)])
            .collect(),
        ..RouteTable::default()
    }
}
