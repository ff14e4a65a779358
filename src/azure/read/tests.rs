//! What is noted of resources, each read from a file of its own.

use super::*;
use crate::azure::json::{Node, Object, Unknown, Value, parse};
use crate::azure::shape;

const P: &str = r#""type": "Microsoft.Network/firewallPolicies""#;
const G: &str = r#""type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups""#;

/// Reads a document in which the text `UNKNOWN` stands for what only Azure knows.
fn read_text(text: &str) -> Read {
    let document: Vec<Node> = parse(text, 0).unwrap().into_iter().map(unknown).collect();
    let shaped = shape::resources(&document);
    read(&[Set { resources: &shaped.resources, asked: Asked::Policy }], &Catalogue::default())
}

fn unknown(node: Node) -> Node {
    let Node { value, at } = node;
    let value = match value {
        Value::Text(text) if &*text == "UNKNOWN" => {
            Value::Unknown(Unknown { names: vec!["what".into()], shown: "{what}".into() })
        }
        Value::List(items) => Value::List(items.into_iter().map(unknown).collect()),
        Value::Object(object) => {
            Value::Object(Object(object.0.into_iter().map(|(key, node)| (key, unknown(node))).collect()))
        }
        value => value,
    };
    Node::new(value, at)
}

fn unknowns(text: &str) -> Vec<(String, Effect)> {
    read_text(text).unknowns.into_iter().map(|unknown| (unknown.field, unknown.effect)).collect()
}

fn notes(text: &str) -> Vec<(Severity, String)> {
    read_text(text).notes.into_iter().map(|note| (note.severity, note.what)).collect()
}

/// Nobody can tell that what is not known only allows.
#[test]
fn what_may_deny_and_is_not_known_is_an_error() {
    let denies = |text: &str, field: &str| assert_eq!(unknowns(text), [(field.to_owned(), Effect::Denies)], "{text}");
    denies(
        &format!(r#"[{{{P}, "name": "p", "properties": {{}}}}, {{{G}, "name": "p/g", "properties": "UNKNOWN"}}]"#),
        "properties of rule collection group `g`",
    );
    denies(
        &format!(r#"{{{G}, "name": "p/g", "properties": {{"priority": 100, "ruleCollections": "UNKNOWN"}}}}"#),
        "ruleCollections of rule collection group `g`",
    );
    denies(&format!(r#"{{{P}, "name": "p", "properties": "UNKNOWN"}}"#), "properties of policy `p`");
    denies(
        &format!(r#"{{{P}, "name": "p", "properties": {{"ruleCollectionGroups": "UNKNOWN"}}}}"#),
        "ruleCollectionGroups of policy `p`",
    );
    denies(
        r#"{"type": "Microsoft.Network/azureFirewalls", "name": "f",
            "properties": {"networkRuleCollections": "UNKNOWN"}}"#,
        "networkRuleCollections of firewall `f`",
    );
}

#[test]
fn what_only_allows_and_is_not_known_is_a_doubt() {
    let text = format!(
        r#"{{{G}, "name": "p/g", "properties": {{"priority": "UNKNOWN", "ruleCollections": [
            {{"name": "c", "action": {{"type": "Allow"}}, "priority": 100,
              "ruleCollectionType": "FirewallPolicyFilterRuleCollection", "rules": []}}]}}}}"#
    );
    assert_eq!(unknowns(&text), [("priority of rule collection group `g`".to_owned(), Effect::Allows)]);
}

#[test]
fn what_is_no_network_is_told_of_once() {
    let told = notes(&format!(r#"{{{P}, "name": "p", "properties": 5}}"#));
    assert_eq!(told, [(Severity::Error, "`properties` of policy `p` is an object, not a number".to_owned())]);
}

#[test]
fn settings_that_change_nothing_are_named() {
    let of = |properties: &str| {
        let told = notes(&format!(r#"{{{P}, "name": "p", "properties": {properties}}}"#));
        told.into_iter().map(|(_, what)| what).collect::<Vec<_>>()
    };
    let on = r#"{"snat": {"autoLearnPrivateRanges": "Enabled"}, "sql": {"allowSqlRedirect": true},
        "dnsSettings": {"requireProxyForNetworkRules": true},
        "explicitProxy": {"enablePacFile": true, "pacFilePort": 8090, "pacFile": "https://pac.test/x"}}"#;
    assert_eq!(
        of(on),
        ["policy `p`: read, not emulated: snat.autoLearnPrivateRanges, sql.allowSqlRedirect, \
          dnsSettings.requireProxyForNetworkRules, explicitProxy.enablePacFile, explicitProxy.pacFilePort, \
          explicitProxy.pacFile"]
    );
    let off = r#"{"snat": {"autoLearnPrivateRanges": "Disabled"}, "sql": {"allowSqlRedirect": false},
        "explicitProxy": {"enablePacFile": false, "pacFilePort": 8090, "pacFile": "https://pac.test/x"}}"#;
    assert_eq!(of(off), Vec::<String>::new());
}

/// A tag without members here is Azure's all the same, and nobody misspelt it.
#[test]
fn names_of_azures_are_not_misspelt() {
    let of = |member: &str| {
        let text = format!(
            r#"{{{G}, "name": "p/g", "properties": {{"priority": 100, "ruleCollections": [
                {{"name": "c", "action": {{"type": "Allow"}}, "priority": 100,
                  "ruleCollectionType": "FirewallPolicyFilterRuleCollection", "rules": [
                  {{"ruleType": "ApplicationRule", "name": "r", "sourceAddresses": ["*"], {member},
                    "protocols": [{{"protocolType": "Https", "port": 443}}]}}]}}]}}}}"#
        );
        let note = read_text(&text).notes.into_iter().find(|note| note.severity == Severity::Doubt).unwrap();
        format!("{}; {}", note.what, note.mend.unwrap_or_default())
    };
    assert_eq!(
        of(r#""fqdnTags": ["AzureBackup"]"#),
        "`AzureBackup` is an FQDN tag whose members Azure does not publish: it matches nothing; give its names by \
         --tag AzureBackup=FILE"
    );
    assert_eq!(
        of(r#""fqdnTags": ["AzureBackups"]"#),
        "`AzureBackups` is no FQDN tag that is known here: it matches nothing; did you mean `AzureBackup`?"
    );
    assert_eq!(
        of(r#""webCategories": ["Uncategorized"]"#),
        "`Uncategorized` is a web category whose members Azure does not publish: it matches nothing; give its names by \
         --tag Uncategorized=FILE"
    );
}
