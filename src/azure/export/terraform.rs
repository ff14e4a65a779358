//! Terraform's HCL for the provider azurerm.

use hcl::structure::{Attribute, Block, BlockBuilder, Body};
use hcl::{Expression, Identifier, Traversal, Variable};

use crate::azure::note::{Note, Severity};
use crate::policy::Spot;

use super::names::{Names, Symbols};
use super::plan::{Collection, CollectionAction, Group, Plan, Policy};
use super::settings::user_assigned;
use super::tree::{Fields, Target, Tree, field};

/// ARM's names of a rule's fields and azurerm's.
const APPLICATION: &[(&str, &str)] = &[
    ("name", "name"),
    ("description", "description"),
    ("sourceAddresses", "source_addresses"),
    ("sourceIpGroups", "source_ip_groups"),
    ("targetFqdns", "destination_fqdns"),
    ("targetUrls", "destination_urls"),
    ("fqdnTags", "destination_fqdn_tags"),
    ("webCategories", "web_categories"),
    ("terminateTLS", "terminate_tls"),
];
const NETWORK: &[(&str, &str)] = &[
    ("name", "name"),
    ("description", "description"),
    ("ipProtocols", "protocols"),
    ("sourceAddresses", "source_addresses"),
    ("sourceIpGroups", "source_ip_groups"),
    ("destinationAddresses", "destination_addresses"),
    ("destinationIpGroups", "destination_ip_groups"),
    ("destinationFqdns", "destination_fqdns"),
    ("destinationPorts", "destination_ports"),
];
/// Without the destination and its port, of which azurerm takes one each.
const NAT: &[(&str, &str)] = &[
    ("description", "description"),
    ("ipProtocols", "protocols"),
    ("sourceAddresses", "source_addresses"),
    ("sourceIpGroups", "source_ip_groups"),
    ("translatedAddress", "translated_address"),
    ("translatedFqdn", "translated_fqdn"),
    ("translatedPort", "translated_port"),
];

/// Of intrusion detection: what its signatures are overridden by, and the traffic that it passes over.
const SIGNATURE: &[(&str, &str)] = &[("id", "id"), ("mode", "state")];
const BYPASS: &[(&str, &str)] = &[
    ("name", "name"),
    ("description", "description"),
    ("protocol", "protocol"),
    ("sourceAddresses", "source_addresses"),
    ("sourceIpGroups", "source_ip_groups"),
    ("destinationAddresses", "destination_addresses"),
    ("destinationIpGroups", "destination_ip_groups"),
    ("destinationPorts", "destination_ports"),
];

/// The resources by their symbols.
#[derive(Default)]
pub(super) struct Named {
    ip_groups: Vec<String>,
    policies: Vec<String>,
}

pub(super) fn write(plan: &mut Plan, remark: Option<&str>) -> String {
    let mut notes = Vec::new();
    let body = body(plan, &mut notes);
    plan.notes.append(&mut notes);
    let text = hcl::format::to_string(&body).unwrap_or_else(|error| {
        let what = format!("Terraform's text could not be written: {error}");
        plan.notes.push(Note::new(Severity::Error, Spot::nowhere(), what));
        String::new()
    });
    remark.map(|remark| format!("# {remark}\n\n")).unwrap_or_default() + &text
}

fn body(plan: &Plan, notes: &mut Vec<Note>) -> Body {
    let mut symbols = Symbols::default();
    let ip_groups = plan.ip_groups.iter().map(|group| symbols.take(&group.name)).collect();
    let mut symbols = Symbols::default();
    let policies = plan.policies.iter().map(|policy| symbols.take(&policy.name)).collect();
    let named = Named { ip_groups, policies };
    let mut body = Body::builder().add_block(providers()).add_block(variable("resource_group_name", None));
    let location = plan.policies.last().and_then(|policy| policy.location.as_deref());
    body = body.add_block(variable("location", location));
    for (group, symbol) in plan.ip_groups.iter().zip(&named.ip_groups) {
        let cidrs = Tree::texts(group.addresses.iter().cloned());
        let block = resource("azurerm_ip_group", symbol, &group.name);
        body = body.add_block(block.add_attribute(attribute("cidrs", &cidrs, &named)).build());
    }
    let mut symbols = Symbols::default();
    for (policy, symbol) in plan.policies.iter().zip(&named.policies) {
        body = body.add_block(policy_block(policy, symbol, &named, notes));
        for group in &policy.groups {
            let own = symbols.take(&format!("{}_{}", policy.name, group.name));
            body = body.add_block(group_block(group, &own, symbol, &named, notes));
        }
    }
    body.build()
}

fn providers() -> Block {
    let azurerm = [("source", "hashicorp/azurerm"), ("version", ">= 3.100")];
    let azurerm: Expression = azurerm.into_iter().map(|(key, value)| (Identifier::sanitized(key), value)).collect();
    let providers = Block::builder("required_providers").add_attribute(("azurerm", azurerm)).build();
    Block::builder("terraform").add_block(providers).build()
}

pub(super) fn variable(name: &str, default: Option<&str>) -> Block {
    let block = Block::builder("variable").add_label(name);
    let block = block.add_attribute(("type", Variable::sanitized("string")));
    default.into_iter().fold(block, |block, default| block.add_attribute(("default", default))).build()
}

pub(super) fn of_variable(name: &str) -> Expression {
    Traversal::builder(Variable::sanitized("var")).attr(name).build().into()
}

fn id_of(kind: &str, symbol: &str) -> Expression {
    Traversal::builder(Variable::sanitized(kind)).attr(symbol).attr("id").build().into()
}

pub(super) fn resource(kind: &str, symbol: &str, name: &str) -> BlockBuilder {
    Block::builder("resource")
        .add_label(kind)
        .add_label(symbol)
        .add_attribute(("name", name))
        .add_attribute(("resource_group_name", of_variable("resource_group_name")))
        .add_attribute(("location", of_variable("location")))
}

pub(super) fn attribute(key: &str, value: &Tree, named: &Named) -> Attribute {
    Attribute::new(Identifier::sanitized(key), expression(value, named))
}

fn expression(tree: &Tree, named: &Named) -> Expression {
    match tree {
        Tree::Null => Expression::Null,
        Tree::Flag(flag) => Expression::Bool(*flag),
        Tree::Number(number) => match number.parse::<i64>() {
            Ok(number) => Expression::from(number),
            Err(_) => number.parse::<f64>().map_or(Expression::Null, Expression::from),
        },
        Tree::Text(text) => Expression::String(text.clone()),
        Tree::Id(Target::IpGroup(number)) => id_of("azurerm_ip_group", &named.ip_groups[*number]),
        Tree::Id(Target::Policy(number)) => id_of("azurerm_firewall_policy", &named.policies[*number]),
        Tree::List(items) => items.iter().map(|item| expression(item, named)).collect(),
        Tree::Object(fields) => {
            let entry = |(key, value): &(String, Tree)| (Expression::from(key.as_str()), expression(value, named));
            Expression::Object(fields.iter().map(entry).map(|(key, value)| (key.into(), value)).collect())
        }
    }
}

/// Copies fields under other names.
fn copied(mut block: BlockBuilder, fields: &Fields, names: &[(&str, &str)], named: &Named) -> BlockBuilder {
    for (arm, own) in names {
        if let Some(value) = field(fields, arm) {
            block = block.add_attribute(attribute(own, value, named));
        }
    }
    block
}

fn policy_block(policy: &Policy, symbol: &str, named: &Named, notes: &mut Vec<Note>) -> Block {
    let mut block = resource("azurerm_firewall_policy", symbol, &policy.name);
    for (key, value) in &policy.properties {
        block = match (key.as_str(), value) {
            ("sku", Tree::Object(sku)) => copied(block, sku, &[("tier", "sku")], named),
            ("basePolicy", Tree::Object(base)) => copied(block, base, &[("id", "base_policy_id")], named),
            ("threatIntelMode", mode) => block.add_attribute(attribute("threat_intelligence_mode", mode, named)),
            ("threatIntelWhitelist", Tree::Object(list)) => {
                let names = [("fqdns", "fqdns"), ("ipAddresses", "ip_addresses")];
                block.add_block(copied(Block::builder("threat_intelligence_allowlist"), list, &names, named).build())
            }
            ("dnsSettings", Tree::Object(dns)) => {
                if field(dns, "requireProxyForNetworkRules").is_some() {
                    notes.push(not_written("dnsSettings.requireProxyForNetworkRules"));
                }
                let names = [("servers", "servers"), ("enableProxy", "proxy_enabled")];
                block.add_block(copied(Block::builder("dns"), dns, &names, named).build())
            }
            ("snat", Tree::Object(snat)) => {
                let learn = field(snat, "autoLearnPrivateRanges").and_then(Tree::text);
                let learn = learn.map(|word| ("auto_learn_private_ranges_enabled", word == "Enabled"));
                let block = copied(block, snat, &[("privateRanges", "private_ip_ranges")], named);
                learn.into_iter().fold(block, BlockBuilder::add_attribute)
            }
            ("sql", Tree::Object(sql)) => copied(block, sql, &[("allowSqlRedirect", "sql_redirect_allowed")], named),
            ("explicitProxy", Tree::Object(proxy)) => block.add_block(proxy_block(proxy, named)),
            ("intrusionDetection", Tree::Object(idps)) => block.add_block(idps_block(idps, named, notes)),
            ("transportSecurity", transport) => with_block(block, key, certificate_block(transport, named), notes),
            ("insights", insights) => with_block(block, key, insights_block(insights, named), notes),
            (key, _) => with_block(block, key, None, notes),
        };
    }
    for (key, value) in &policy.rest {
        match key.as_str() {
            "tags" => block = block.add_attribute(attribute("tags", value, named)),
            "identity" => block = with_block(block, key, identity_block(value, named), notes),
            key => notes.push(not_written(key)),
        }
    }
    block.build()
}

fn not_written(property: &str) -> Note {
    let what = format!("the policy's `{property}` is not written for Terraform");
    Note::new(Severity::Warning, Spot::nowhere(), what).mend("write it by hand")
}

/// Where there is no block, the property is told of.
fn with_block(block: BlockBuilder, property: &str, inner: Option<Block>, notes: &mut Vec<Note>) -> BlockBuilder {
    match inner {
        Some(inner) => block.add_block(inner),
        None => {
            notes.push(not_written(property));
            block
        }
    }
}

fn idps_block(idps: &Fields, named: &Named, notes: &mut Vec<Note>) -> Block {
    let more = idps.iter().filter(|(key, _)| key != "mode" && key != "configuration");
    notes.extend(more.map(|(key, _)| not_written(&format!("intrusionDetection.{key}"))));
    let mut block = copied(Block::builder("intrusion_detection"), idps, &[("mode", "mode")], named);
    let Some(Tree::Object(configuration)) = field(idps, "configuration") else { return block.build() };
    block = copied(block, configuration, &[("privateRanges", "private_ranges")], named);
    block = copied_blocks(block, configuration, ("signatureOverrides", "signature_overrides"), SIGNATURE, named);
    copied_blocks(block, configuration, ("bypassTrafficSettings", "traffic_bypass"), BYPASS, named).build()
}

/// None where the provider would miss what it wants; so with the next two.
fn certificate_block(transport: &Tree, named: &Named) -> Option<Block> {
    let Tree::Object(authority) = transport.field("certificateAuthority")? else { return None };
    let names = [("keyVaultSecretId", "key_vault_secret_id"), ("name", "name")];
    let complete = names.iter().all(|(arm, _)| field(authority, arm).is_some());
    complete.then(|| copied(Block::builder("tls_certificate"), authority, &names, named).build())
}

fn insights_block(insights: &Tree, named: &Named) -> Option<Block> {
    let Tree::Object(fields) = insights else { return None };
    let resources = insights.field("logAnalyticsResources")?;
    let default = resources.field("defaultWorkspaceId")?.field("id")?;
    let names = [("isEnabled", "enabled"), ("retentionDays", "retention_in_days")];
    let mut block = copied(Block::builder("insights"), fields, &names, named);
    block = block.add_attribute(attribute("default_log_analytics_workspace_id", default, named));
    for workspace in resources.field("workspaces").map(Tree::items).unwrap_or_default() {
        let inner = Block::builder("log_analytics_workspace")
            .add_attribute(attribute("id", workspace.field("workspaceId")?.field("id")?, named))
            .add_attribute(attribute("firewall_location", workspace.field("region")?, named));
        block = block.add_block(inner.build());
    }
    Some(block.build())
}

fn identity_block(identity: &Tree, named: &Named) -> Option<Block> {
    let ids = Tree::texts(user_assigned(identity)?);
    let block = Block::builder("identity").add_attribute(("type", "UserAssigned"));
    Some(block.add_attribute(attribute("identity_ids", &ids, named)).build())
}

fn proxy_block(proxy: &Fields, named: &Named) -> Block {
    let names = [
        ("enableExplicitProxy", "enabled"),
        ("httpPort", "http_port"),
        ("httpsPort", "https_port"),
        ("enablePacFile", "enable_pac_file"),
        ("pacFilePort", "pac_file_port"),
        ("pacFile", "pac_file"),
    ];
    copied(Block::builder("explicit_proxy"), proxy, &names, named).build()
}

pub(super) fn group_block(group: &Group, symbol: &str, policy: &str, named: &Named, notes: &mut Vec<Note>) -> Block {
    let mut block = Block::builder("resource")
        .add_label("azurerm_firewall_policy_rule_collection_group")
        .add_label(symbol)
        .add_attribute(("name", group.name.as_str()))
        .add_attribute(("firewall_policy_id", id_of("azurerm_firewall_policy", policy)))
        .add_attribute(("priority", group.priority));
    for collection in &group.collections {
        match collection.rules.first() {
            None => notes.push(without_rules(group, collection, "Terraform")),
            Some(first) => block = block.add_block(collection_block(collection, first, named)),
        }
    }
    block.build()
}

pub(super) fn without_rules(group: &Group, collection: &Collection, tool: &str) -> Note {
    let what = format!("{}/{}: {tool} takes no collection without a rule; it is left out", group.name, collection.name);
    Note::new(Severity::Info, Spot::nowhere(), what)
}

fn collection_block(collection: &Collection, first: &Tree, named: &Named) -> Block {
    let is_application = first.field("ruleType").and_then(Tree::text) == Some("ApplicationRule");
    let (kind, action) = match collection.action {
        CollectionAction::Dnat => ("nat_rule_collection", "Dnat"),
        action if is_application => ("application_rule_collection", action.as_str()),
        action => ("network_rule_collection", action.as_str()),
    };
    let block = Block::builder(kind)
        .add_attribute(("name", collection.name.as_str()))
        .add_attribute(("priority", collection.priority))
        .add_attribute(("action", action));
    let mut names = Names::default();
    let fields = collection.rules.iter().filter_map(|rule| match rule {
        Tree::Object(fields) => Some(fields),
        _ => None,
    });
    let rules = fields.flat_map(|fields| match collection.action {
        CollectionAction::Dnat => nat_rules(fields, &mut names, named),
        _ if is_application => vec![application_rule(fields, named)],
        _ => vec![copied(Block::builder("rule"), fields, NETWORK, named).build()],
    });
    rules.fold(block, |block, rule| block.add_block(rule)).build()
}

fn application_rule(fields: &Fields, named: &Named) -> Block {
    let mut block = copied(Block::builder("rule"), fields, APPLICATION, named);
    let parts = [
        ("protocols", "protocols", [("protocolType", "type"), ("port", "port")]),
        ("httpHeadersToInsert", "http_headers", [("headerName", "name"), ("headerValue", "value")]),
    ];
    for (arm, own, names) in parts {
        block = copied_blocks(block, fields, (arm, own), &names, named);
    }
    block.build()
}

/// The same for a list of objects: a block each.
fn copied_blocks(
    mut block: BlockBuilder,
    fields: &Fields,
    (arm, own): (&str, &str),
    names: &[(&str, &str)],
    named: &Named,
) -> BlockBuilder {
    for item in field(fields, arm).map(Tree::items).unwrap_or_default() {
        if let Tree::Object(item) = item {
            block = block.add_block(copied(Block::builder(own), item, names, named).build());
        }
    }
    block
}

/// A rule for each destination and each of its ports.
fn nat_rules(fields: &Fields, names: &mut Names, named: &Named) -> Vec<Block> {
    let items = |name| field(fields, name).map(Tree::items).unwrap_or_default();
    let name = field(fields, "name").and_then(Tree::text).unwrap_or_default();
    let ports = items("destinationPorts");
    let pairs = items("destinationAddresses").iter().flat_map(|to| ports.iter().map(move |port| (to, port)));
    let mut blocks = Vec::new();
    for (to, port) in pairs {
        let block = Block::builder("rule").add_attribute(("name", names.take(name, "rule")));
        let block = copied(block, fields, NAT, named)
            .add_attribute(attribute("destination_address", to, named))
            .add_attribute(attribute("destination_ports", &Tree::List(vec![port.clone()]), named));
        blocks.push(block.build());
    }
    blocks
}
