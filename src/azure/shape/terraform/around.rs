//! What stands in networks and beside them: peerings, interfaces, gateways, DNS zones, App Service Environments.
//!
//! What is not read of these is not told: nothing but where they are and what they are called is asked of them.

use crate::azure::json::{Node, Object, Value};
use crate::azure::shape::build::{object_mut, set, single, text};

use super::fields::{Fields, Names, Unread};

fn quietly(fields: Fields<'_>, values: &Node) -> Node {
    fields.finish(values.at, &mut Unread::new())
}

/// Nothing but its name.
pub(super) fn bare(values: &Node, object: &Object, _: &mut Unread) -> Node {
    quietly(Fields::new("", object), values)
}

/// A child with a level of properties of its own.
fn with_properties(node: &Node, turn: impl Fn(&mut Fields<'_>)) -> Node {
    let Some(object) = node.object() else { return node.clone() };
    let mut fields = Fields::new("", object);
    turn(&mut fields);
    single("properties", fields.finish(node.at, &mut Unread::new()))
}

/// Of firewalls, interfaces and gateways alike.
pub(super) fn ip_configurations(fields: &mut Fields<'_>) {
    fields.each("ip_configuration", "ipConfigurations", |item| {
        with_properties(item, |fields| {
            fields.wrap("subnet_id", "subnet", "id").wrap("public_ip_address_id", "publicIPAddress", "id");
            fields.copy(&[("private_ip_address", "privateIPAddress")]);
        })
    });
}

pub(super) fn interface(values: &Node, object: &Object, _: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_network_interface", object);
    ip_configurations(&mut fields);
    quietly(fields, values)
}

pub(super) fn public_address(values: &Node, object: &Object, _: &mut Unread) -> Node {
    renamed(values, object, &[("ip_address", "ipAddress")])
}

fn renamed(values: &Node, object: &Object, names: Names) -> Node {
    let mut fields = Fields::new("", object);
    fields.copy(names);
    quietly(fields, values)
}

pub(super) fn peering(values: &Node, object: &Object, _: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_virtual_network_peering", object);
    fields.wrap("remote_virtual_network_id", "remoteVirtualNetwork", "id").copy(&[
        ("allow_virtual_network_access", "allowVirtualNetworkAccess"),
        ("allow_forwarded_traffic", "allowForwardedTraffic"),
        ("allow_gateway_transit", "allowGatewayTransit"),
        ("use_remote_gateways", "useRemoteGateways"),
    ]);
    quietly(fields, values)
}

pub(super) fn gateway(values: &Node, object: &Object, _: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_virtual_network_gateway", object);
    fields.copy(&[("type", "gatewayType")]);
    ip_configurations(&mut fields);
    quietly(fields, values)
}

pub(super) fn local_gateway(values: &Node, object: &Object, _: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_local_network_gateway", object);
    fields.wrap("address_space", "localNetworkAddressSpace", "addressPrefixes");
    quietly(fields, values)
}

pub(super) fn connection(values: &Node, object: &Object, _: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_virtual_network_gateway_connection", object);
    fields.wrap("virtual_network_gateway_id", "virtualNetworkGateway1", "id");
    fields.wrap("local_network_gateway_id", "localNetworkGateway2", "id");
    quietly(fields, values)
}

pub(super) fn dns_record(values: &Node, object: &Object, _: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_private_dns_a_record", object);
    fields.wrap_each("records", "aRecords", "ipv4Address");
    quietly(fields, values)
}

pub(super) fn dns_link(values: &Node, object: &Object, _: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_private_dns_zone_virtual_network_link", object);
    fields.wrap("virtual_network_id", "virtualNetwork", "id");
    quietly(fields, values)
}

pub(super) fn environment_2(values: &Node, object: &Object, _: &mut Unread) -> Node {
    let names = &[
        ("internal_load_balancing_mode", "internalLoadBalancingMode"),
        ("allowed_user_ip_cidrs", "userWhitelistedIpRanges"),
    ];
    let inside = &[
        ("service_ip_address", "externalInboundIpAddresses"),
        ("internal_ip_address", "internalInboundIpAddresses"),
        ("outbound_ip_addresses", "windowsOutboundIpAddresses"),
    ];
    environment("ASEV2", names, inside, values, object)
}

pub(super) fn environment_3(values: &Node, object: &Object, _: &mut Unread) -> Node {
    let names = &[("internal_load_balancing_mode", "internalLoadBalancingMode"), ("dns_suffix", "dnsSuffix")];
    let inside = &[
        ("external_inbound_ip_addresses", "externalInboundIpAddresses"),
        ("internal_inbound_ip_addresses", "internalInboundIpAddresses"),
        ("windows_outbound_ip_addresses", "windowsOutboundIpAddresses"),
        ("linux_outbound_ip_addresses", "linuxOutboundIpAddresses"),
        ("remote_debugging_enabled", "remoteDebugEnabled"),
    ];
    environment("ASEV3", names, inside, values, object)
}

/// What is not known before it is applied says nothing.
fn environment(kind: &str, names: Names, inside: Names, values: &Node, object: &Object) -> Node {
    let mut fields = Fields::new("azurerm_app_service_environment", object);
    fields.put("kind", text(kind, values.at));
    fields.wrap("subnet_id", "virtualNetwork", "id");
    let known = |names: Names| -> Vec<(&'static str, &'static str)> {
        let is_known = |name: &str| object.get(name).is_some_and(|node| !is_open(node));
        names.iter().filter(|(name, _)| is_known(name)).copied().collect()
    };
    for (name, arm) in known(names) {
        if let Some(node) = fields.get(name) {
            fields.put(arm, node.clone());
        }
    }
    let mut networking = Object::default();
    for (name, arm) in known(inside) {
        if let Some(node) = fields.get(name) {
            set(&mut networking, arm, node.clone());
        }
    }
    fields.put("networkingConfiguration", Node::new(Value::Object(networking), values.at));
    quietly(fields, values)
}

fn is_open(node: &Node) -> bool {
    match &node.value {
        Value::Unknown(_) => true,
        Value::List(items) => items.iter().any(is_open),
        _ => false,
    }
}

pub(super) fn plan(values: &Node, object: &Object, _: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_service_plan", object);
    fields.wrap("app_service_environment_id", "hostingEnvironmentProfile", "id");
    let linux = ["os_type", "kind"].iter().filter_map(|name| object.get(name)).filter_map(Node::text);
    let is_linux = linux.into_iter().any(|word| word.to_ascii_lowercase().contains("linux"));
    let reserved = object.get("reserved").is_some_and(|node| node.value == Value::Bool(true));
    let mut properties = quietly(fields, values);
    if let Some(object) = object_mut(&mut properties) {
        set(object, "reserved", Node::new(Value::Bool(is_linux || reserved), values.at));
    }
    properties
}
