//! The envelope of a resource: what it is and what it is called, told apart from what it says.

use crate::azure::json::{Key, Node, Object, Value};

use super::build::{joined_name, members, text};
use super::gather::{Hint, Parent};
use super::kinds;
use super::resource::Resource;

/// What stands beside the properties where a tool has flattened them: az, PowerShell, Resource Graph.
const BESIDE: &[&str] = &[
    "name",
    "type",
    "id",
    "etag",
    "location",
    "tags",
    "identity",
    "zones",
    "resourceGroup",
    "resourceGroupName",
    "apiVersion",
    "dependsOn",
    "condition",
    "comments",
    "scope",
    "systemData",
    "managedBy",
    "extendedLocation",
    "plan",
    "copy",
    "resources",
    "existing",
    "subscriptionId",
    "tenantId",
    "tagsTable",
    "resourceGuid",
    "resourceId",
];

/// What is in every envelope, and is a field of its own in a resource.
const FIELDS: &[&str] = &["name", "type", "id", "properties", "resources"];

/// Full type of an object, if it is a resource. An own type outranks an id's, and that what a request was for.
pub(super) fn kind_of(object: &Object, hint: &Hint) -> Option<String> {
    let own = object.get("type").and_then(Node::text).filter(|kind| kind.contains('/'));
    own.map(str::to_owned)
        .or_else(|| id_of(object).and_then(kinds::of_id).map(|(kind, _)| kind))
        .or_else(|| hint.kind.filter(|_| hint.is_for(object)).map(str::to_owned))
        .or_else(|| by_content(object).map(str::to_owned))
}

fn id_of(object: &Object) -> Option<&str> {
    object.get("id").or_else(|| object.get("resourceId"))?.text()
}

/// What only one type of resource has; each is asked for in the properties, or beside the name.
const CONTENT: &[(&str, &str)] = &[
    ("ruleCollections", kinds::GROUP),
    ("ruleCollection", kinds::GROUP),
    ("applicationRuleCollections", kinds::FIREWALL),
    ("networkRuleCollections", kinds::FIREWALL),
    ("natRuleCollections", kinds::FIREWALL),
    ("securityRules", kinds::SECURITY_GROUP),
    ("defaultSecurityRules", kinds::SECURITY_GROUP),
    ("destinationPortRange", kinds::SECURITY_RULE),
    ("destinationPortRanges", kinds::SECURITY_RULE),
    ("routes", kinds::ROUTE_TABLE),
    ("addressSpace", kinds::NETWORK),
    ("subnets", kinds::NETWORK),
    ("nextHopType", kinds::ROUTE),
    ("serviceEndpoints", kinds::SUBNET),
    ("ipAddresses", kinds::IP_GROUP),
    ("threatIntelMode", kinds::POLICY),
    ("threatIntelWhitelist", kinds::POLICY),
    ("basePolicy", kinds::POLICY),
    ("dnsSettings", kinds::POLICY),
    ("ruleCollectionGroups", kinds::POLICY),
    ("ruleGroups", kinds::POLICY),
];

fn by_content(object: &Object) -> Option<&'static str> {
    let inside = object.get("properties").and_then(Node::object).unwrap_or(object);
    if is_legacy_group(inside) {
        return Some(kinds::LEGACY_GROUP);
    }
    CONTENT.iter().find(|(name, _)| inside.get(name).is_some()).map(|(_, kind)| *kind)
}

fn is_legacy_group(properties: &Object) -> bool {
    let first = properties.get("rules").and_then(Node::list).and_then(<[Node]>::first);
    first.is_some_and(|rule| rule.get("ruleConditions").is_some() || rule.get("ruleCondition").is_some())
}

/// Makes a resource of an object of this type. `parent` is what it stands in.
pub(super) fn open(node: &Node, object: &Object, kind: String, hint: &Hint, parent: Option<Parent<'_>>) -> Resource {
    let name = name_of(node, object, &kind, hint, parent);
    let id = object.get("id").or_else(|| object.get("resourceId")).cloned();
    let flat = object.get("properties").is_none();
    let rest = object.iter().filter(|(key, _)| if flat { is_in(BESIDE, key) } else { true });
    let rest = rest.filter(|(key, _)| !is_in(FIELDS, key)).cloned().collect();
    let properties = match object.get("properties") {
        Some(properties) => properties.clone(),
        None => members(object.iter().filter(|(key, _)| !is_in(BESIDE, key)).cloned().collect(), node.at),
    };
    Resource { kind, name, id, properties, rest: Object(rest), at: node.at }
}

fn is_in(names: &[&str], key: &Key) -> bool {
    names.iter().any(|name| key.name.eq_ignore_ascii_case(name))
}

/// The full name: of its id, of its own name behind its parent's, or of the request.
fn name_of(node: &Node, object: &Object, kind: &str, hint: &Hint, parent: Option<Parent<'_>>) -> Node {
    let own = object.get("name");
    let segments = kind.matches('/').count();
    let has_all = |name: &str| name.matches('/').count() + 1 >= segments;
    if let Some(name) = own.filter(|name| name.text().is_some_and(has_all) && segments > 1) {
        return name.clone();
    }
    let of_id = id_of(object).and_then(kinds::of_id).filter(|(of_id, _)| of_id.eq_ignore_ascii_case(kind));
    if let Some((_, names)) = of_id {
        return text(&names.join("/"), own.map_or(node.at, |own| own.at));
    }
    match (own, parent) {
        (Some(own), Some(parent)) => joined_name(parent.name, own),
        (own, _) => hint.name(own, segments).unwrap_or_else(|| own.cloned().unwrap_or_else(|| nameless(node))),
    }
}

fn nameless(node: &Node) -> Node {
    Node::new(Value::Text("".into()), node.at)
}
