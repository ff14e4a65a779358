//! Firewall policies and their rule collection groups.

use crate::azure::json::{Node, Object, Value};
use crate::azure::shape::build::{list, members, set, single, text};

use super::fields::{Fields, Names, Unread, renamed};

pub(super) fn policy(values: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_firewall_policy", object);
    fields.copy(&[("threat_intelligence_mode", "threatIntelMode")]);
    fields.wrap("base_policy_id", "basePolicy", "id").wrap("sku", "sku", "tier");
    fields.wrap("sql_redirect_allowed", "sql", "allowSqlRedirect");
    for (name, arm, names) in BLOCKS {
        fields.block(name, arm, |block| renamed(name, names, block, unread));
    }
    fields.block("tls_certificate", "transportSecurity", |block| {
        single("certificateAuthority", renamed("tls_certificate", CERTIFICATE, block, unread))
    });
    fields.block("intrusion_detection", "intrusionDetection", |block| intrusion_detection(block, unread));
    snat(&mut fields);
    fields.ignore(&["child_policies", "firewalls", "rule_collection_groups"]);
    fields.finish(values.at, unread)
}

/// Blocks of the policy whose attributes are only called otherwise.
const BLOCKS: &[(&str, &str, Names)] = &[
    ("threat_intelligence_allowlist", "threatIntelWhitelist", &[("fqdns", "fqdns"), ("ip_addresses", "ipAddresses")]),
    (
        "dns",
        "dnsSettings",
        &[
            ("proxy_enabled", "enableProxy"),
            ("servers", "servers"),
            ("network_rule_fqdn_enabled", "requireProxyForNetworkRules"),
        ],
    ),
    (
        "explicit_proxy",
        "explicitProxy",
        &[
            ("enabled", "enableExplicitProxy"),
            ("http_port", "httpPort"),
            ("https_port", "httpsPort"),
            ("enable_pac_file", "enablePacFile"),
            ("pac_file_port", "pacFilePort"),
            ("pac_file", "pacFile"),
        ],
    ),
    (
        "insights",
        "insights",
        &[
            ("enabled", "isEnabled"),
            ("retention_in_days", "retentionDays"),
            ("default_log_analytics_workspace_id", "defaultWorkspaceId"),
            ("log_analytics_workspace", "workspaces"),
        ],
    ),
];

const CERTIFICATE: Names = &[("key_vault_secret_id", "keyVaultSecretId"), ("name", "name")];

fn snat(fields: &mut Fields<'_>) {
    let ranges = fields.get("private_ip_ranges");
    let learn = fields.get("auto_learn_private_ranges_enabled");
    let mut snat = Object::default();
    if let Some(ranges) = ranges {
        set(&mut snat, "privateRanges", ranges.clone());
    }
    if let Some(learn) = learn.filter(|learn| learn.value == Value::Bool(true)) {
        set(&mut snat, "autoLearnPrivateRanges", text("Enabled", learn.at));
    }
    if let Some(at) = ranges.or(learn).map(|node| node.at).filter(|_| !snat.0.is_empty()) {
        fields.put("snat", members(snat.0, at));
    }
}

fn intrusion_detection(block: &Node, unread: &mut Unread) -> Node {
    let Some(object) = block.object() else { return block.clone() };
    let mut configuration = Fields::new("intrusion_detection", object);
    configuration.copy(&[("private_ranges", "privateRanges")]).ignore(&["mode"]);
    configuration.each("signature_overrides", "signatureOverrides", |item| {
        renamed("signature_overrides", &[("id", "id"), ("state", "mode")], item, unread)
    });
    configuration
        .each("traffic_bypass", "bypassTrafficSettings", |item| renamed("traffic_bypass", BYPASS, item, unread));
    let configuration = configuration.finish(block.at, unread);
    let mut outer = Object::default();
    if let Some(mode) = object.get("mode") {
        set(&mut outer, "mode", mode.clone());
    }
    set(&mut outer, "configuration", configuration);
    members(outer.0, block.at)
}

const BYPASS: Names = &[
    ("name", "name"),
    ("description", "description"),
    ("protocol", "protocol"),
    ("source_addresses", "sourceAddresses"),
    ("destination_addresses", "destinationAddresses"),
    ("destination_ports", "destinationPorts"),
    ("source_ip_groups", "sourceIpGroups"),
    ("destination_ip_groups", "destinationIpGroups"),
];

/// The properties of `azurerm_firewall_policy_rule_collection_group`. Collections of all three kinds become one list;
/// their order says nothing, since each has a priority.
pub(super) fn group(values: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("azurerm_firewall_policy_rule_collection_group", object);
    fields.copy(&[("priority", "priority")]).ignore(&["firewall_policy_id"]);
    let mut collections = Vec::new();
    for kind in COLLECTIONS {
        match fields.get(kind.name).map(|node| (&node.value, node)) {
            Some((Value::List(items), _)) => collections.extend(items.iter().map(|item| kind.collection(item, unread))),
            // A collection that is not known is one that the reader has to speak of.
            Some((_, node)) => collections.push(node.clone()),
            None => {}
        }
    }
    let at = collections.first().map_or(values.at, |first| first.at);
    fields.put("ruleCollections", list(collections, at));
    fields.finish(values.at, unread)
}

struct Kind {
    name: &'static str,
    collection: &'static str,
    rule_type: &'static str,
    rule: fn(&Node, &Object, &mut Unread) -> Node,
}

const COLLECTIONS: &[Kind] = &[
    Kind {
        name: "nat_rule_collection",
        collection: "FirewallPolicyNatRuleCollection",
        rule_type: "NatRule",
        rule: nat_rule,
    },
    Kind {
        name: "network_rule_collection",
        collection: "FirewallPolicyFilterRuleCollection",
        rule_type: "NetworkRule",
        rule: network_rule,
    },
    Kind {
        name: "application_rule_collection",
        collection: "FirewallPolicyFilterRuleCollection",
        rule_type: "ApplicationRule",
        rule: application_rule,
    },
];

impl Kind {
    fn collection(&self, node: &Node, unread: &mut Unread) -> Node {
        let Some(object) = node.object() else { return node.clone() };
        let mut fields = Fields::new(self.name, object);
        fields.put("ruleCollectionType", text(self.collection, node.at));
        fields.copy(&[("name", "name"), ("priority", "priority")]).wrap("action", "action", "type");
        fields.each("rule", "rules", |rule| self.rule(rule, unread));
        fields.finish(node.at, unread)
    }

    fn rule(&self, node: &Node, unread: &mut Unread) -> Node {
        let Some(object) = node.object() else { return node.clone() };
        let mut rule = (self.rule)(node, object, unread);
        if let Some(rule) = crate::azure::shape::build::object_mut(&mut rule) {
            set(rule, "ruleType", text(self.rule_type, node.at));
        }
        rule
    }
}

fn application_rule(node: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("application_rule_collection.rule", object);
    fields.copy(&[
        ("name", "name"),
        ("description", "description"),
        ("source_addresses", "sourceAddresses"),
        ("source_ip_groups", "sourceIpGroups"),
        ("destination_addresses", "destinationAddresses"),
        ("destination_fqdns", "targetFqdns"),
        ("destination_urls", "targetUrls"),
        ("destination_fqdn_tags", "fqdnTags"),
        ("web_categories", "webCategories"),
        ("terminate_tls", "terminateTLS"),
    ]);
    fields.each("protocols", "protocols", |item| {
        renamed("protocols", &[("type", "protocolType"), ("port", "port")], item, unread)
    });
    fields.each("http_headers", "httpHeadersToInsert", |item| {
        renamed("http_headers", &[("name", "headerName"), ("value", "headerValue")], item, unread)
    });
    fields.finish(node.at, unread)
}

fn network_rule(node: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("network_rule_collection.rule", object);
    fields.copy(&[
        ("name", "name"),
        ("description", "description"),
        ("protocols", "ipProtocols"),
        ("source_addresses", "sourceAddresses"),
        ("source_ip_groups", "sourceIpGroups"),
        ("destination_addresses", "destinationAddresses"),
        ("destination_ip_groups", "destinationIpGroups"),
        ("destination_fqdns", "destinationFqdns"),
        ("destination_ports", "destinationPorts"),
    ]);
    fields.finish(node.at, unread)
}

fn nat_rule(node: &Node, object: &Object, unread: &mut Unread) -> Node {
    let mut fields = Fields::new("nat_rule_collection.rule", object);
    fields.copy(&[
        ("name", "name"),
        ("description", "description"),
        ("protocols", "ipProtocols"),
        ("source_addresses", "sourceAddresses"),
        ("source_ip_groups", "sourceIpGroups"),
        ("destination_ports", "destinationPorts"),
        ("translated_address", "translatedAddress"),
        ("translated_fqdn", "translatedFqdn"),
    ]);
    fields.one("destination_address", "destinationAddresses");
    translated_port(&mut fields);
    fields.finish(node.at, unread)
}

/// Zero is Terraform's way to say that there is none.
pub(super) fn translated_port(fields: &mut Fields<'_>) {
    let port = fields.get("translated_port").filter(|port| port.value != Value::Number("0".into()));
    if let Some(port) = port {
        fields.put("translatedPort", port.clone());
    }
}
