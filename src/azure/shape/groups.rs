//! Rule collection groups as they are today, from their older and looser forms.

use crate::azure::json::{Node, Object};

use super::build::{get_mut, list_mut, object_mut, rename, take, text};
use super::legacy;
use super::resource::Resource;

pub(super) fn tidy(group: &mut Resource) {
    let Some(properties) = object_mut(&mut group.properties) else { return };
    rename(properties, "ruleCollection", "ruleCollections");
    let Some(items) = get_mut(properties, "ruleCollections").and_then(list_mut) else { return };
    for collection in items {
        collection_of_today(collection);
    }
}

/// One collection, in place.
pub(super) fn collection_of_today(collection: &mut Node) {
    let Some(object) = object_mut(collection) else { return };
    lift_properties(object);
    if legacy::has_conditions(object) {
        legacy::collection(object);
        return;
    }
    if let Some(kind) = get_mut(object, "ruleCollectionType") {
        full_word(kind);
    }
    if let Some(rules) = get_mut(object, "rules").and_then(list_mut) {
        rules.iter_mut().filter_map(object_mut).for_each(rule_of_today);
    }
}

/// Bodies written by hand sometimes have the properties of the classic ones.
fn lift_properties(object: &mut Object) {
    if object.get("properties").and_then(Node::object).is_some()
        && let Some(mut properties) = take(object, "properties")
        && let Some(properties) = object_mut(&mut properties)
    {
        object.0.append(&mut properties.0);
    }
}

/// az's extension once wrote `FirewallPolicyFilterRule`.
fn full_word(kind: &mut Node) {
    let full = match kind.text() {
        Some(word) if word.eq_ignore_ascii_case("FirewallPolicyFilterRule") => "FirewallPolicyFilterRuleCollection",
        Some(word) if word.eq_ignore_ascii_case("FirewallPolicyNatRule") => "FirewallPolicyNatRuleCollection",
        _ => return,
    };
    *kind = text(full, kind.at);
}

fn rule_of_today(rule: &mut Object) {
    legacy::rule(rule);
    let kind = rule.get("ruleType").and_then(Node::text).unwrap_or_default();
    if !kind.eq_ignore_ascii_case("ApplicationRule") {
        // PowerShell's name for it.
        rename(rule, "protocols", "ipProtocols");
    }
}
