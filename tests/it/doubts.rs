//! What may deny and cannot be told here is said, by running the binary on files of Azure's that leave it open.

use std::fs;

use serde_json::{Value, json};

use crate::support::command::{Answer, egret, finish};

/// `egret check` of one target, on one policy.
fn check(policy: &Value, args: &[&str]) -> Answer {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.json"), policy.to_string()).unwrap();
    fs::write(folder.path().join("tags.json"), EMPTY_TAG).unwrap();
    finish(egret().current_dir(folder.path()).args(["check", "--policy", "p.json"]).args(args), "")
}

const EMPTY_TAG: &str = r#"{"values": [{"name": "Storage", "properties": {"addressPrefixes": []}}]}"#;
const GROUP: &str = "Microsoft.Network/firewallPolicies/ruleCollectionGroups";

fn network(action: &str, destinations: &Value) -> Value {
    json!({ "ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": action, "priority": 100,
            "action": { "type": action }, "rules": [{ "ruleType": "NetworkRule", "name": "r", "ipProtocols": ["TCP"],
            "sourceAddresses": ["*"], "destinationAddresses": destinations, "destinationPorts": ["443"] }] })
}

fn by_url(action: &str, terminates: bool) -> Value {
    json!({ "ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "c", "priority": 100,
            "action": { "type": action }, "rules": [{ "ruleType": "ApplicationRule", "name": "r",
            "protocols": [{ "protocolType": "Https", "port": 443 }], "sourceAddresses": ["*"],
            "targetUrls": ["a.example/x/*"], "terminateTLS": terminates }] })
}

fn group(kind: &str, name: &str, priority: u32, collection: &Value) -> Value {
    json!({ "type": kind, "name": name, "properties": { "priority": priority, "ruleCollections": [collection] } })
}

fn policy_of(collection: &Value) -> Value {
    json!([{ "type": "Microsoft.Network/firewallPolicies", "name": "p", "properties": {} }, group(GROUP, "p/g", 100, collection)])
}

fn template(resources: &[Value]) -> Value {
    json!({ "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0", "parameters": { "t": { "type": "string" } }, "resources": resources })
}

/// It is so in the profile `azure`, or in both.
fn refused(answer: &Answer, what: &str) {
    assert!(answer.code == 2 && answer.err.contains(what), "{answer:?}");
}

fn warned(answer: &Answer, what: &str) {
    assert!([0, 3].contains(&answer.code) && answer.err.contains(what), "{answer:?}");
}

const AZURE: [&str; 3] = ["--profile", "azure", "tcp://192.0.2.1:443"];
const STRICT: [&str; 3] = ["--profile", "strict", "tcp://192.0.2.1:443"];

#[test]
fn a_resource_of_unknown_type() {
    let file = template(&[
        json!({ "type": "Microsoft.Network/firewallPolicies", "name": "p", "properties": {} }),
        group("[parameters('t')]", "p/no", 100, &network("Deny", &json!(["*"]))),
        group(GROUP, "p/yes", 200, &network("Allow", &json!(["*"]))),
    ]);
    let what = "of what type p/no is is not known here: ";
    warned(&check(&file, &AZURE), what);
    refused(&check(&file, &STRICT), what);
    let known = check(&file, &[&["--set", &format!("parameters.t={GROUP}")], &STRICT[..]].concat());
    assert!(known.code == 3 && !known.err.contains("type"), "{known:?}");
}

#[test]
fn a_classic_collection_of_unknown_content() {
    let allowed = json!({ "name": "a", "properties": network("Allow", &json!(["*"])) });
    let lists = json!({ "networkRuleCollections": [{ "name": "d", "properties": "[parameters('t')]" }, allowed] });
    let firewall = json!({ "type": "Microsoft.Network/azureFirewalls", "name": "fw", "properties": lists });
    refused(&check(&template(&[firewall]), &AZURE), "properties of rule collection `d`");
}

#[test]
fn urls_that_only_decrypting_would_show() {
    let https = ["--profile", "azure", "https://a.example"];
    refused(&check(&policy_of(&by_url("Deny", true)), &https), "a rule that denies by URL over HTTPS cannot deny here");
    warned(&check(&policy_of(&by_url("Allow", true)), &https), "its URLs match plain HTTP only");
    let blind = check(&policy_of(&by_url("Deny", false)), &https);
    assert!(blind.code == 3 && !blind.err.contains("TLS inspection"), "{blind:?}");
}

#[test]
fn a_service_tag_without_prefixes() {
    let tags = |args: &[&'static str]| [&["--service-tags", "tags.json"], args].concat();
    let what = "the service tag `Storage` has no prefixes: it matches nothing";
    warned(&check(&policy_of(&network("Allow", &json!(["Storage"]))), &tags(&AZURE)), what);
    refused(&check(&policy_of(&network("Deny", &json!(["Storage"]))), &tags(&AZURE)), what);
}

#[test]
fn an_address_that_a_name_of_a_network_rule_leads_to() {
    let mut rule = network("Allow", &json!([]));
    rule["rules"][0]["destinationFqdns"] = json!(["a.example"]);
    let policy = policy_of(&rule);
    let asked = |resolve: &str| check(&policy, &["--resolve", resolve, "tcp://192.0.2.1:443"]);
    let led = asked("a.example:443:192.0.2.1");
    assert!(led.code == 0 && led.out.contains("network-rule") && led.out.contains("p/g/Allow/r"), "{led:?}");
    assert_eq!(asked("a.example:443:192.0.2.2").code, 3);
    assert_eq!(asked("b.example:443:192.0.2.1").code, 3);
}
