//! Networks out of resources.

use super::*;
use crate::azure::shape::kinds::{NETWORK as VIRTUAL_NETWORK, SUBNET};
use crate::azure::{json, shape};

/// Whatever the order and the case; a network of many subnets has a place for each.
#[test]
fn children_find_their_parents() {
    let subnet = |network: &str, name: &str, prefix: &str| {
        format!(r#"{{"type": "{SUBNET}", "name": "{network}/{name}", "properties": {{"addressPrefix": "{prefix}"}}}}"#)
    };
    let mut texts = vec![
        subnet("Hub", "a", "10.0.0.0/24"),
        subnet("spoke", "a", "10.9.0.0/24"),
        format!(
            r#"{{"type": "{VIRTUAL_NETWORK}", "name": "hub", "properties": {{"subnets": [
                {{"name": "A", "properties": {{"addressPrefix": "10.1.0.0/24"}}}}, {{"name": "b", "properties": {{}}}}]}}}}"#
        ),
    ];
    texts.extend((0..2000).map(|number| subnet("HUB", &format!("s{number}"), "10.2.0.0/24")));
    let nodes = json::parse(&format!("[{}]", texts.join(",")), 0).unwrap();
    let resources = shape::resources(&nodes).resources;
    let network = read(resources.iter(), Purpose::BesidePolicy, &mut Notes::default());
    let [hub, spoke] = network.virtual_networks.as_slice() else { panic!("{:?}", network.virtual_networks.len()) };
    assert_eq!((hub.name.as_str(), hub.subnets.len(), spoke.subnets.len()), ("Hub", 2002, 1));
    assert_eq!(hub.subnets[0].name, "A", "the later one counts");
    assert_eq!(hub.subnets[2001].name, "s1999");
}

fn topology(text: &str) -> (Topology, Vec<String>) {
    let nodes = json::parse(text, 0).unwrap();
    let resources = shape::resources(&nodes).resources;
    let mut notes = Notes::default();
    let topology = read(resources.iter(), Purpose::Topology, &mut notes);
    let errors = notes.notes.into_iter().filter(|note| note.severity == Severity::Error);
    (topology, errors.map(|note| note.what).collect())
}

/// As where two templates write the same resources.
#[test]
fn what_is_written_later_counts() {
    let file = |number: u8| {
        format!(
            r#"{{"type": "{VIRTUAL_NETWORK}", "name": "v", "properties": {{
                "addressSpace": {{"addressPrefixes": ["10.{number}.0.0/16"]}},
                "dhcpOptions": {{"dnsServers": ["10.{number}.0.9"]}}}}}},
            {{"type": "Microsoft.Network/networkInterfaces", "name": "vm", "properties": {{"ipConfigurations": [
                {{"properties": {{"privateIPAddress": "10.{number}.1.4", "subnet":
                    {{"id": "/providers/{VIRTUAL_NETWORK}/v/subnets/s"}}}}}}]}}}},
            {{"type": "Microsoft.Network/azureFirewalls", "name": "fw", "properties": {{"ipConfigurations": [
                {{"properties": {{"privateIPAddress": "10.{number}.0.4", "subnet":
                    {{"id": "/providers/{VIRTUAL_NETWORK}/v/subnets/AzureFirewallSubnet"}}}}}}]}}}},
            {{"type": "Microsoft.Web/hostingEnvironments", "name": "ase", "kind": "ASEV2", "properties": {{
                "userWhitelistedIpRanges": ["203.0.113.{number}"],
                "networkingConfiguration": {{"windowsOutboundIpAddresses": ["198.51.100.{number}"]}},
                "virtualNetwork": {{"id": "/providers/{VIRTUAL_NETWORK}/v/subnets/s"}}}}}},
            {{"type": "Microsoft.Web/hostingEnvironments/capacities", "name": "ase/virtualip", "properties": {{
                "vipMappings": [{{"virtualIP": "192.0.2.{number}", "internalHttpPort": 1, "internalHttpsPort": 2}}]}}}},
            {{"type": "Microsoft.Network/privateDnsZones", "name": "z.test", "properties": {{}}}},
            {{"type": "Microsoft.Network/privateDnsZones/A", "name": "z.test/@", "properties": {{
                "aRecords": [{{"ipv4Address": "10.{number}.1.9"}}]}}}},
            {{"type": "Microsoft.Network/privateDnsZones/virtualNetworkLinks", "name": "z.test/l", "properties": {{
                "virtualNetwork": {{"id": "/providers/{VIRTUAL_NETWORK}/v"}}}}}},
            {{"type": "Microsoft.Network/localNetworkGateways", "name": "l", "properties": {{
                "localNetworkAddressSpace": {{"addressPrefixes": ["172.{number}.0.0/16"]}}}}}},
            {{"type": "Microsoft.Network/virtualNetworkGateways", "name": "g", "properties": {{
                "gatewayType": "Vpn", "ipConfigurations": [{{"properties": {{"subnet":
                    {{"id": "/providers/{VIRTUAL_NETWORK}/v/subnets/GatewaySubnet"}}}}}}]}}}}"#
        )
    };
    // A file that says nothing of something leaves it as it is.
    let bare = format!(r#"{{"type": "{VIRTUAL_NETWORK}", "name": "v", "properties": {{}}}}"#);
    let (both, errors) = topology(&format!("[{},{},{bare}]", file(16), file(17)));
    assert_eq!(errors, [""; 0]);
    let (later, _) = topology(&format!("[{}]", file(17)));
    assert_eq!(both, later);
    let network = &later.virtual_networks[0];
    assert_eq!((network.address_space.len(), network.dns_servers.len()), (1, 1));
    assert_eq!(network.gateway.as_ref().map(|gateway| gateway.routes.len()), Some(1));
    assert_eq!(later.environments[0].app_addresses.len(), 1);
}

const SUBSCRIPTION: &str = "/subscriptions/11111111-1111-1111-1111-111111111111";

fn id(group: &str, rest: &str) -> String {
    format!("{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network/{rest}")
}

/// A security group as `az network nsg show` has it, with one rule.
fn group_of(group: &str, rule: &str) -> String {
    let own = id(group, "networkSecurityGroups/default-nsg");
    format!(
        r#"{{"id": "{own}", "name": "default-nsg", "resourceGroup": "{group}",
            "type": "Microsoft.Network/networkSecurityGroups", "securityRules": [
            {{"id": "{own}/securityRules/{rule}", "name": "{rule}", "priority": 100, "direction": "Inbound",
              "access": "Allow", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*",
              "destinationAddressPrefix": "*", "destinationPortRange": "*"}}]}}"#
    )
}

fn network_with(group: &str) -> String {
    let own = id("rg-hub", "virtualNetworks/v");
    let security = id(group, "networkSecurityGroups/default-nsg");
    format!(
        r#"{{"id": "{own}", "name": "v", "type": "Microsoft.Network/virtualNetworks",
            "addressSpace": {{"addressPrefixes": ["10.0.0.0/16"]}}, "subnets": [{{"id": "{own}/subnets/s",
            "name": "s", "addressPrefix": "10.0.1.0/24", "networkSecurityGroup": {{"id": "{security}"}}}}]}}"#
    )
}

/// The rules of two groups are not those of one.
#[test]
fn one_name_in_two_resource_groups() {
    let (_, errors) = topology(&format!("[{},{}]", group_of("rg-hub", "a"), group_of("RG-Spoke", "b")));
    assert_eq!(
        errors,
        [
            "two networkSecurityGroups are called `default-nsg`, one of the resource group `rg-hub` and one of the resource \
          group `rg-spoke`: a topology knows resources by their names alone"
        ]
    );
    let (same, errors) = topology(&format!("[{},{}]", group_of("rg-hub", "a"), group_of("RG-HUB", "b")));
    assert_eq!((errors, same.security_groups[0].rules.len()), (vec![], 2));
}

/// What is referred to is in a group that no file is of.
#[test]
fn a_reference_into_another_resource_group() {
    let (_, errors) = topology(&format!("[{},{}]", network_with("rg-spoke"), group_of("rg-hub", "a")));
    assert_eq!(
        errors,
        [
            "`networkSecurityGroup` is `default-nsg` of the resource group `rg-spoke`, and what is known is that of the resource \
          group `rg-hub`"
        ]
    );
    for of in ["rg-hub", "RG-HUB"] {
        let (known, errors) = topology(&format!("[{},{}]", network_with(of), group_of("rg-hub", "a")));
        assert_eq!(errors, [""; 0]);
        assert_eq!(known.virtual_networks[0].subnets[0].security_group.as_deref(), Some("default-nsg"));
    }
}
