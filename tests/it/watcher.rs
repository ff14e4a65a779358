//! The examples of Microsoft's REST specification, in `EGRET_CORPUS`: each is read, and what Egret writes has its shape.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

use egret::azure::watcher::{
    Ids, IpFlowVerifyParameters, NextHopParameters, effective_routes, effective_security_groups, ip_flow_verify,
    next_hop, read_effective_routes,
};
use egret::policy::{Action, Spot};
use egret::vnet::{
    FlowDirection, Hop, Network, NetworkInterface, NetworkSecurityGroup, NextHop, Prefix, Route, RouteDestination,
    RouteTable, RuleSide, SecurityProtocol, SecurityRule, Subnet, Tags, Topology, VirtualNetwork,
    default_security_rules,
};
use serde_json::Value;

use crate::corpus::corpus;

fn example(path: &str) -> Option<Value> {
    let text = fs::read_to_string(corpus()?.join(path)).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// The example's answer.
fn answer(example: &Value) -> Value {
    example["responses"]["200"]["body"].clone()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// One network with one subnet, and everything on it that a test gives.
fn topology(space: &str, subnet: &str) -> Topology {
    let subnet = Subnet {
        name: "default".into(),
        prefixes: vec![subnet.parse().unwrap()],
        security_group: Some("nsg".into()),
        route_table: Some("rt1".into()),
        ..Subnet::default()
    };
    let network = VirtualNetwork {
        name: "vnet".into(),
        address_space: vec![space.parse().unwrap()],
        subnets: vec![subnet],
        ..VirtualNetwork::default()
    };
    Topology {
        subscription: "subid".into(),
        resource_group: "rg2".into(),
        virtual_networks: vec![network],
        ..Topology::default()
    }
}

fn rule(name: &str, direction: FlowDirection) -> SecurityRule {
    let any = || RuleSide { prefixes: vec![Prefix::Any], ports: vec!["*".parse().unwrap()], ..RuleSide::default() };
    SecurityRule {
        name: name.into(),
        priority: 100,
        direction,
        access: Action::Allow,
        protocol: SecurityProtocol::Tcp,
        source: any(),
        destination: any(),
        at: Spot::nowhere(),
    }
}

#[test]
fn effective_routes_of_the_example_are_those_of_its_network() {
    let Some(example) = example("routes/rest-examples/NetworkInterfaceEffectiveRouteTableList.json") else { return };
    let network = Network::new(topology("172.20.2.0/24", "172.20.2.0/25"), Tags::default());
    let place = network.place("vnet", "default").unwrap();
    let written = serde_json::to_value(effective_routes(network.effective_routes(place))).unwrap();
    assert_eq!(written, answer(&example));
    let read = read_effective_routes(&answer(&example).to_string()).unwrap();
    assert_eq!(read, network.effective_routes(place));
    let read = network.with_effective_routes(place, read);
    let hop = |to: &str| read.route(place, to.parse::<IpAddr>().unwrap()).unwrap().route.next_hop.clone();
    assert_eq!([hop("172.20.2.9"), hop("172.20.3.9"), hop("192.0.2.1")], [Hop::VnetLocal, Hop::None, Hop::Internet]);
}

#[test]
fn the_next_hop_of_the_example() {
    let Some(example) = example("routes/rest-examples/NetworkWatcherNextHopGet.json") else { return };
    let asked: NextHopParameters = serde_json::from_value(example["parameters"]["parameters"].clone()).unwrap();
    let mut topology = topology("10.0.0.0/16", "10.0.0.0/24");
    let appliance = NextHop::VirtualAppliance("10.0.0.1".parse().unwrap());
    let destination = RouteDestination::Net("10.0.0.10/32".parse().unwrap());
    topology.route_tables = vec![RouteTable {
        name: "rt1".into(),
        routes: vec![Route { name: "one".into(), destination, next_hop: appliance, at: Spot::nowhere() }],
        ..RouteTable::default()
    }];
    let network = Network::new(topology, Tags::default());
    let mut told = serde_json::to_value(next_hop(&network, Ids::of(network.topology()), &asked).unwrap()).unwrap();
    // The example has the address of an appliance beside a type that has none; the rest is the same.
    assert_eq!(told["nextHopType"].take(), "VirtualAppliance");
    let mut expected = answer(&example);
    expected["nextHopType"].take();
    assert_eq!(told, expected);
}

#[test]
fn the_ip_flow_of_the_example_is_verified() {
    let Some(example) = example("nsg/rest-examples/NetworkWatcherIpFlowVerify.json") else { return };
    let asked: IpFlowVerifyParameters = serde_json::from_value(example["parameters"]["parameters"].clone()).unwrap();
    let mut topology = topology("10.2.0.0/16", "10.2.0.0/24");
    let rules = vec![rule("Rule1", FlowDirection::Outbound)];
    topology.security_groups = vec![NetworkSecurityGroup { name: "nsg".into(), rules, at: Spot::nowhere() }];
    let network = Network::new(topology, Tags::default());
    let told = serde_json::to_value(ip_flow_verify(&network, &asked).unwrap()).unwrap();
    let expected = answer(&example);
    assert_eq!(keys(&told), keys(&expected));
    assert_eq!(told["access"], expected["access"]);
    // Real answers name the kind of the rule too.
    assert_eq!(told["ruleName"], format!("securityRules/{}", expected["ruleName"].as_str().unwrap()));
}

#[test]
fn effective_security_rules_have_the_keys_of_the_example() {
    let Some(example) = example("nsg/rest-examples/NetworkInterfaceEffectiveNSGList.json") else { return };
    let mut topology = topology("10.2.0.0/16", "10.2.0.0/24");
    let rules = vec![rule("rule1", FlowDirection::Inbound)];
    topology.security_groups = vec![NetworkSecurityGroup { name: "nsg".into(), rules, at: Spot::nowhere() }];
    topology.interfaces = vec![NetworkInterface {
        name: "nic1".into(),
        virtual_network: "vnet".into(),
        addresses: vec!["10.2.0.4".parse().unwrap()],
        security_group: Some("nsg".into()),
        ..NetworkInterface::default()
    }];
    let network = Network::new(topology, Tags::default());
    let place = network.place("vnet", "default").unwrap();
    let address = Some("10.2.0.4".parse().unwrap());
    let told = effective_security_groups(&network, Ids::of(network.topology()), place, address);
    let told = serde_json::to_value(told).unwrap();
    let (ours, theirs) = (&told["value"][0], &answer(&example)["value"][0]);
    assert!(keys(theirs).is_subset(&keys(ours)));
    let named = |of: &Value, name: &str| {
        let rules = of["effectiveSecurityRules"].as_array().unwrap();
        rules.iter().find(|rule| rule["name"] == name).unwrap().clone()
    };
    for name in ["securityRules/rule1", "defaultSecurityRules/AllowInternetOutBound"] {
        let (ours, theirs) = (named(ours, name), named(theirs, name));
        assert!(keys(&theirs).is_subset(&keys(&ours)), "{ours} {theirs}");
    }
    let (mut ours, mut theirs) = (
        named(ours, "defaultSecurityRules/AllowInternetOutBound"),
        named(theirs, "defaultSecurityRules/AllowInternetOutBound"),
    );
    let expanded = "expandedDestinationAddressPrefix";
    for prefix in theirs[expanded].as_array().unwrap() {
        assert!(ours[expanded].as_array().unwrap().contains(prefix), "{prefix}");
    }
    ours.as_object_mut()
        .unwrap()
        .retain(|key, _| key != expanded && !key.ends_with("Prefixes") && !key.ends_with("Ranges"));
    theirs.as_object_mut().unwrap().remove(expanded);
    assert_eq!(ours, theirs);
}

#[test]
fn the_default_rules_are_those_of_the_example() {
    let Some(example) = example("nsg/rest-examples/DefaultSecurityRuleList.json") else { return };
    let theirs: Vec<[String; 7]> = answer(&example)["value"].as_array().unwrap().iter().map(of_example).collect();
    let ours: Vec<[String; 7]> = default_security_rules().iter().map(of_ours).collect();
    assert_eq!(ours, theirs);
}

fn of_example(rule: &Value) -> [String; 7] {
    let properties = &rule["properties"];
    let text = |key: &str| properties[key].as_str().unwrap().to_owned();
    [
        rule["name"].as_str().unwrap().to_owned(),
        properties["priority"].to_string(),
        text("direction"),
        text("protocol"),
        text("sourceAddressPrefix"),
        text("destinationAddressPrefix"),
        text("access"),
    ]
}

fn of_ours(rule: &SecurityRule) -> [String; 7] {
    let prefix = |side: &RuleSide| match &side.prefixes[0] {
        Prefix::Any => "*".to_owned(),
        Prefix::Net(net) => net.to_string(),
        Prefix::Tag(tag) => tag.clone(),
    };
    let protocol = if rule.protocol == SecurityProtocol::Any { "*" } else { "another" };
    [
        rule.name.clone(),
        rule.priority.to_string(),
        rule.direction.as_str().to_owned(),
        protocol.to_owned(),
        prefix(&rule.source),
        prefix(&rule.destination),
        if rule.access == Action::Allow { "Allow".to_owned() } else { "Deny".to_owned() },
    ]
}
