//! `ruleGroups`, before rules were put in collections: each rule of a group was what a collection is today, and its
//! conditions were the rules.

use crate::azure::json::{Node, Object};
use crate::azure::note::Severity;

use super::build::{get_mut, list, list_mut, object_mut, rename, set, take, text};
use super::gather::Gathered;
use super::kinds;
use super::resource::Resource;

/// Turns a group of rules into a rule collection group.
pub(super) fn group(resource: &mut Resource, out: &mut Gathered) {
    kinds::GROUP.clone_into(&mut resource.kind);
    let what = "a rule group of API version 2020-04-01 or before, read as a rule collection group";
    out.note(Severity::Info, resource.at, what);
    if let Some(properties) = object_mut(&mut resource.properties) {
        rename(properties, "rules", "ruleCollections");
    }
}

pub(super) fn has_conditions(object: &Object) -> bool {
    object.get("ruleConditions").is_some() || object.get("ruleCondition").is_some()
}

/// Turns a rule with conditions into a collection with rules.
pub(super) fn collection(object: &mut Object) {
    let nat = object.get("ruleType").and_then(Node::text).is_some_and(|kind| kind.to_ascii_lowercase().contains("nat"));
    let conditions = take(object, "ruleConditions").or_else(|| take(object, "ruleCondition"));
    let translated: Vec<_> =
        TRANSLATED.iter().filter_map(|name| take(object, name).map(|node| (*name, node))).collect();
    if let Some(kind) = take(object, "ruleType") {
        let word = if nat { "FirewallPolicyNatRuleCollection" } else { "FirewallPolicyFilterRuleCollection" };
        set(object, "ruleCollectionType", text(word, kind.at));
    }
    let Some(mut rules) = conditions.map(listed) else { return };
    for condition in list_mut(&mut rules).into_iter().flatten().filter_map(object_mut) {
        rule(condition);
        if nat {
            to_nat(condition, &translated);
        }
    }
    set(object, "rules", rules);
}

const TRANSLATED: &[&str] = &["translatedAddress", "translatedFqdn", "translatedPort"];

fn listed(node: Node) -> Node {
    if node.object().is_none() {
        return node;
    }
    let at = node.at;
    list(vec![node], at)
}

/// Where to was said once for the whole of a NAT rule.
fn to_nat(condition: &mut Object, translated: &[(&str, Node)]) {
    if let Some(kind) = get_mut(condition, "ruleType") {
        *kind = text("NatRule", kind.at);
    }
    for (name, node) in translated {
        if condition.get(name).is_none() {
            set(condition, name, node.clone());
        }
    }
}

/// Turns a condition into a rule; leaves a rule as it is.
pub(super) fn rule(condition: &mut Object) {
    rename(condition, "ruleConditionType", "ruleType");
    let Some(kind) = get_mut(condition, "ruleType") else { return };
    let word = kind.text().and_then(|word| KINDS.iter().find(|(old, _)| word.eq_ignore_ascii_case(old)));
    if let Some((_, today)) = word {
        *kind = text(today, kind.at);
    }
}

const KINDS: &[(&str, &str)] = &[
    ("ApplicationRuleCondition", "ApplicationRule"),
    ("NetworkRuleCondition", "NetworkRule"),
    ("NatRuleCondition", "NatRule"),
];
