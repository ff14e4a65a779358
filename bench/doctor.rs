//! What the doctor costs: `cargo bench --bench doctor`.
//!
//! A topology of 500 subnets with 1 000 rules a security group and 400 routes a table, an environment in one of them.
//! `whole` is a topology made ready to be asked and every rule asked; `again` is the rules alone, once the network knows
//! what it was asked before.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up may as well panic")]

use std::sync::Arc;

use divan::Bencher;
use egret::allowlist::{Catalogue, builtin};
use egret::doctor::{Patient, examine};
use egret::flow::PortRange;
use egret::policy::{Action, Policy, RuleSet, Spot, Switches};
use egret::vnet::{
    AppServiceEnvironment, Cloud, Firewall, FlowDirection, IlbMode, LoadBalancing, Network, NetworkSecurityGroup,
    NextHop, Prefix, Route, RouteDestination, RouteTable, RuleSide, SecurityProtocol, SecurityRule, Subnet, Tags,
    Topology, VirtualNetwork,
};

fn main() {
    divan::main();
}

const SUBNETS: usize = 500;
const RULES: usize = 1_000;
const ROUTES: usize = 400;

#[divan::bench(sample_count = 5, sample_size = 1)]
fn whole(bencher: Bencher<'_, '_>) {
    let (topology, policy) = (topology(), policy());
    bencher.with_inputs(|| topology.clone()).bench_local_values(|topology| {
        let network = Network::new(topology, Tags::new(Catalogue::default(), Cloud::Public));
        findings(&network, &policy)
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn again(bencher: Bencher<'_, '_>) {
    let (network, policy) = (Network::new(topology(), Tags::new(Catalogue::default(), Cloud::Public)), policy());
    findings(&network, &policy);
    bencher.bench_local(|| findings(&network, &policy));
}

fn findings(network: &Network, policy: &Policy) -> usize {
    let environment = &network.topology().environments[0];
    let place = network.place(&environment.virtual_network, &environment.subnet).unwrap();
    examine(&Patient { network, environment, place, policy: Some(policy) }).findings().len()
}

fn policy() -> Policy {
    let builtin = builtin("ase@2023-11-20").unwrap();
    let rules =
        RuleSet { policies: vec![builtin.rules], service_endpoints: builtin.service_endpoints, ..RuleSet::default() };
    Policy::compile(Arc::new(rules), Switches::default())
}

/// Subnets of /24 in one network; the environment is in the first.
fn topology() -> Topology {
    let subnets = (0..SUBNETS).map(|at| Subnet {
        name: format!("subnet-{at}"),
        prefixes: vec![format!("10.{}.{}.0/24", at / 256, at % 256).parse().unwrap()],
        security_group: Some(format!("nsg-{at}")),
        route_table: Some(format!("routes-{at}")),
        service_endpoints: ["Microsoft.Sql", "Microsoft.Storage", "Microsoft.EventHub"].map(String::from).into(),
        ..Subnet::default()
    });
    let network = VirtualNetwork {
        name: "vnet".into(),
        address_space: vec!["10.0.0.0/12".parse().unwrap()],
        subnets: subnets.collect(),
        ..VirtualNetwork::default()
    };
    Topology {
        virtual_networks: vec![network],
        security_groups: (0..SUBNETS).map(group).collect(),
        route_tables: (0..SUBNETS).map(table).collect(),
        firewalls: vec![Firewall {
            name: "firewall".into(),
            virtual_network: "vnet".into(),
            subnet: "AzureFirewallSubnet".into(),
            private_address: Some("10.15.0.4".parse().unwrap()),
            ..Firewall::default()
        }],
        environments: vec![AppServiceEnvironment {
            name: "ase".into(),
            load_balancing: LoadBalancing::Internal(IlbMode::WebAndPublishing),
            virtual_network: "vnet".into(),
            subnet: "subnet-0".into(),
            internal_address: Some("10.0.0.11".parse().unwrap()),
            ..AppServiceEnvironment::default()
        }],
        ..Topology::default()
    }
}

/// Half of the rules for each direction, all for ports and networks of their own; the last one lets everything through
/// that the environment needs.
fn group(nth: usize) -> NetworkSecurityGroup {
    let each = (0..RULES).map(|at| {
        let direction = if at % 2 == 0 { FlowDirection::Inbound } else { FlowDirection::Outbound };
        let priority = u16::try_from(100 + at / 2).unwrap();
        let last = at + 2 >= RULES;
        let (net, port) = if last {
            (Prefix::Any, PortRange::ANY)
        } else {
            (net("172.16.0.0", at), PortRange::single(u16::try_from(20_000 + 7 * at).unwrap()))
        };
        rule(format!("rule-{nth}-{at}"), priority, direction, net, port)
    });
    NetworkSecurityGroup { name: format!("nsg-{nth}"), rules: each.collect(), at: Spot::nowhere() }
}

fn net(base: &str, at: usize) -> Prefix {
    let [first, second, ..] = base.parse::<std::net::Ipv4Addr>().unwrap().octets();
    Prefix::Net(format!("{first}.{}.{}.0/24", usize::from(second) + at / 256, at % 256).parse().unwrap())
}

fn rule(name: String, priority: u16, direction: FlowDirection, remote: Prefix, port: PortRange) -> SecurityRule {
    let side = |prefix, port| RuleSide { prefixes: vec![prefix], ports: vec![port], ..RuleSide::default() };
    let (source, destination) = match direction {
        FlowDirection::Inbound => (side(remote, PortRange::ANY), side(Prefix::Any, port)),
        FlowDirection::Outbound => (side(Prefix::Any, PortRange::ANY), side(remote, port)),
    };
    let (access, protocol, at) = (Action::Allow, SecurityProtocol::Any, Spot::nowhere());
    SecurityRule { name, priority, direction, access, protocol, source, destination, at }
}

fn table(nth: usize) -> RouteTable {
    let firewall = NextHop::VirtualAppliance("10.15.0.4".parse().unwrap());
    let route = |name: String, destination, next_hop| Route { name, destination, next_hop, at: Spot::nowhere() };
    let each = (0..ROUTES - 2).map(|at| {
        let destination = format!("172.{}.{}.0/24", 16 + at / 256, at % 256).parse().unwrap();
        route(format!("route-{at}"), RouteDestination::Net(destination), firewall)
    });
    let management = RouteDestination::Tag("AppServiceManagement".into());
    let default = RouteDestination::Net("0.0.0.0/0".parse().unwrap());
    let ends = [route("management".into(), management, NextHop::Internet), route("default".into(), default, firewall)];
    RouteTable { name: format!("routes-{nth}"), routes: each.chain(ends).collect(), ..RouteTable::default() }
}
