//! Security groups, route tables, networks and IP groups.

use crate::azure::json::{Node, Object, Value};
use crate::azure::shape::build::{object_mut, set, single};

use super::fields::{Fields, Names, Unread};

pub(super) fn ip_group(values: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_ip_group", object);
    fields.copy(&[("cidrs", "ipAddresses")]).ignore(&["firewall_ids", "firewall_policy_ids"]);
    fields.finish(values.at, unread)
}

pub(super) fn security_group(values: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_network_security_group", object);
    fields.each("security_rule", "securityRules", |rule| named(rule, security_rule, unread));
    fields.finish(values.at, unread)
}

/// A child that stands in its parent, with its name beside its properties.
fn named(node: &Node, turn: fn(&Node, &Object, &mut Unread) -> Node, unread: &mut Unread) -> Node {
    let Some(object) = node.object() else { return node.clone() };
    let mut child = single("properties", turn(node, object, unread));
    if let (Some(child), Some(name)) = (object_mut(&mut child), object.get("name")) {
        set(child, "name", name.clone());
    }
    child
}

pub(super) fn security_rule(node: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_network_security_rule", object);
    fields.copy(SECURITY_RULE).ignore(&["network_security_group_name"]);
    fields.wrap_each("source_application_security_group_ids", "sourceApplicationSecurityGroups", "id");
    fields.wrap_each("destination_application_security_group_ids", "destinationApplicationSecurityGroups", "id");
    fields.finish(node.at, unread)
}

const SECURITY_RULE: Names = &[
    ("description", "description"),
    ("protocol", "protocol"),
    ("source_port_range", "sourcePortRange"),
    ("source_port_ranges", "sourcePortRanges"),
    ("destination_port_range", "destinationPortRange"),
    ("destination_port_ranges", "destinationPortRanges"),
    ("source_address_prefix", "sourceAddressPrefix"),
    ("source_address_prefixes", "sourceAddressPrefixes"),
    ("destination_address_prefix", "destinationAddressPrefix"),
    ("destination_address_prefixes", "destinationAddressPrefixes"),
    ("access", "access"),
    ("priority", "priority"),
    ("direction", "direction"),
];

pub(super) fn route_table(values: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_route_table", object);
    fields.each("route", "routes", |item| named(item, route, unread));
    fields.copy(&[("disable_bgp_route_propagation", "disableBgpRoutePropagation")]).ignore(&["subnets"]);
    if let Some(node) = fields.get("bgp_route_propagation_enabled")
        && let Value::Bool(enabled) = node.value
    {
        fields.put("disableBgpRoutePropagation", Node::new(Value::Bool(!enabled), node.at));
    }
    fields.finish(values.at, unread)
}

pub(super) fn route(node: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_route", object);
    fields.copy(&[
        ("address_prefix", "addressPrefix"),
        ("next_hop_type", "nextHopType"),
        ("next_hop_in_ip_address", "nextHopIpAddress"),
    ]);
    fields.ignore(&["route_table_name"]).finish_here(node, unread)
}

pub(super) fn network(values: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_virtual_network", object);
    fields.wrap("address_space", "addressSpace", "addressPrefixes").wrap("dns_servers", "dhcpOptions", "dnsServers");
    fields.each("subnet", "subnets", |item| named(item, subnet, unread));
    fields.ignore(&["guid"]).finish_here(values, unread)
}

pub(super) fn subnet(node: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_subnet", object);
    fields.copy(&[("address_prefix", "addressPrefix"), ("address_prefixes", "addressPrefixes")]);
    fields.wrap_each("service_endpoints", "serviceEndpoints", "service");
    fields.wrap("security_group", "networkSecurityGroup", "id").wrap("route_table_id", "routeTable", "id");
    fields.each("delegation", "delegations", delegation);
    fields.ignore(BESIDE_SUBNET).finish_here(node, unread)
}

fn delegation(node: &Node) -> Node {
    let service = node.get("service_delegation");
    let service = service.and_then(|block| block.list().map_or(Some(block), <[Node]>::first));
    match service.and_then(|service| service.get("name")) {
        Some(name) => single("properties", single("serviceName", name.clone())),
        None => node.clone(),
    }
}

/// What a subnet may have that decides nothing about what leaves it.
const BESIDE_SUBNET: &[&str] = &[
    "virtual_network_name",
    "default_outbound_access_enabled",
    "enforce_private_link_endpoint_network_policies",
    "enforce_private_link_service_network_policies",
    "private_endpoint_network_policies",
    "private_endpoint_network_policies_enabled",
    "private_link_service_network_policies_enabled",
    "service_endpoint_policy_ids",
];
