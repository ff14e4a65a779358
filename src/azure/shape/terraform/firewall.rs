//! Firewalls and the collections of classic ones.

use std::sync::Arc;

use crate::azure::json::{Node, Object, Value};
use crate::azure::shape::build::{members, set, text};

use super::around::ip_configurations;
use super::fields::{Fields, Unread, renamed};

pub(super) fn firewall(values: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_firewall", object);
    fields.wrap("firewall_policy_id", "firewallPolicy", "id");
    fields.copy(&[("threat_intel_mode", "threatIntelMode")]);
    let sku = ["sku_name", "sku_tier"].map(|name| fields.get(name));
    let mut parts = Object::default();
    for (name, node) in ["name", "tier"].into_iter().zip(sku) {
        if let Some(node) = node {
            set(&mut parts, name, node.clone());
        }
    }
    if !parts.0.is_empty() {
        fields.put("sku", members(parts.0, values.at));
    }
    additional(&mut fields, values);
    ip_configurations(&mut fields);
    fields.ignore(&["management_ip_configuration", "virtual_hub", "zones"]);
    fields.finish(values.at, unread)
}

/// A classic firewall has these settings as texts in a map.
fn additional(fields: &mut Fields<'_>, values: &Node) {
    let mut map = Object::default();
    for (name, arm) in [("dns_servers", "Network.DNS.Servers"), ("private_ip_ranges", "Network.SNAT.PrivateRanges")] {
        if let Some(node) = fields.get(name) {
            set(&mut map, arm, comma_list(node));
        }
    }
    if let Some(node) = fields.get("dns_proxy_enabled") {
        let word = if node.value == Value::Bool(true) { "true" } else { "false" };
        set(&mut map, "Network.DNS.EnableProxy", text(word, node.at));
    }
    if !map.0.is_empty() {
        fields.put("additionalProperties", members(map.0, values.at));
    }
}

fn comma_list(node: &Node) -> Node {
    let Some(items) = node.list() else { return node.clone() };
    let texts: Option<Vec<&str>> = items.iter().map(Node::text).collect();
    texts.map_or_else(|| node.clone(), |texts| text(&texts.join(","), node.at))
}

/// A kind of classic collection: Terraform's type and ARM's list.
pub(super) struct Classic {
    pub(super) kind: &'static str,
    pub(super) list: &'static str,
    rule: fn(&Node, &Object, &mut Unread) -> Node,
}

pub(super) const CLASSIC: &[Classic] = &[
    Classic {
        kind: "azurerm_firewall_application_rule_collection",
        list: "applicationRuleCollections",
        rule: application_rule,
    },
    Classic { kind: "azurerm_firewall_network_rule_collection", list: "networkRuleCollections", rule: network_rule },
    Classic { kind: "azurerm_firewall_nat_rule_collection", list: "natRuleCollections", rule: network_rule },
];

impl Classic {
    /// `{name, properties}`.
    pub(super) fn collection(&self, values: &Node, object: &Object, name: Arc<str>, unread: &mut Unread) -> Node {
        let mut fields = Fields::new(self.kind, object);
        fields.copy(&[("priority", "priority")]).wrap("action", "action", "type");
        fields.each("rule", "rules", |rule| match rule.object() {
            Some(object) => (self.rule)(rule, object, unread),
            None => rule.clone(),
        });
        fields.ignore(&["azure_firewall_name"]);
        let properties = fields.finish(values.at, unread);
        let mut collection = Object::default();
        set(&mut collection, "name", text(&name, values.at));
        set(&mut collection, "properties", properties);
        members(collection.0, values.at)
    }
}

fn application_rule(node: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_firewall_application_rule_collection.rule", object);
    fields.copy(&[
        ("name", "name"),
        ("description", "description"),
        ("source_addresses", "sourceAddresses"),
        ("source_ip_groups", "sourceIpGroups"),
        ("target_fqdns", "targetFqdns"),
        ("fqdn_tags", "fqdnTags"),
    ]);
    fields.each("protocol", "protocols", |item| {
        renamed("protocol", &[("type", "protocolType"), ("port", "port")], item, unread)
    });
    fields.finish(node.at, unread)
}

/// Those of NAT have the same attributes and where to.
fn network_rule(node: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_firewall_network_rule_collection.rule", object);
    fields.copy(&[
        ("name", "name"),
        ("description", "description"),
        ("protocols", "protocols"),
        ("source_addresses", "sourceAddresses"),
        ("source_ip_groups", "sourceIpGroups"),
        ("destination_addresses", "destinationAddresses"),
        ("destination_ip_groups", "destinationIpGroups"),
        ("destination_fqdns", "destinationFqdns"),
        ("destination_ports", "destinationPorts"),
        ("translated_address", "translatedAddress"),
        ("translated_fqdn", "translatedFqdn"),
    ]);
    super::policy::translated_port(&mut fields);
    fields.finish(node.at, unread)
}
