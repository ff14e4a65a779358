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
fn a_group_of_azapi_whose_body_is_not_known_yet() {
    let mut plan = plan_of_two();
    let kind = json!(format!("{GROUP}@2023-09-01"));
    let owner = "/subscriptions/s/resourceGroups/rg-a/providers/Microsoft.Network/firewallPolicies/p";
    let values = json!({ "type": kind, "name": "g0", "parent_id": owner });
    let address = json!({ "address": "azapi_resource.x", "mode": "managed", "type": "azapi_resource", "name": "x" });
    let (mut planned, mut changed) = (address.clone(), address);
    planned["values"] = values.clone();
    changed["change"] = json!({ "actions": ["create"], "before": null, "after": values,
                                "after_unknown": { "id": true, "body": true } });
    plan["planned_values"]["root_module"]["resources"].as_array_mut().unwrap().push(planned);
    plan["resource_changes"].as_array_mut().unwrap().push(changed);
    plan["configuration"] = Value::Null;
    refused(&check(&plan, &AZURE), "properties of rule collection group `g0`");
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

/// A template of one group, whose action is a parameter with a default.
fn check_with(parameters: &str, args: &[&str]) -> Answer {
    let policy = json!({ "type": "Microsoft.Network/firewallPolicies", "name": "p", "properties": {} });
    let mut file =
        template(&[policy, group(GROUP, "p/g", 100, &network("[parameters('t')]", &json!(["192.0.2.0/24"])))]);
    file["parameters"]["t"]["defaultValue"] = json!("Allow");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.json"), file.to_string()).unwrap();
    fs::write(folder.path().join("params.json"), parameters).unwrap();
    let given = ["check", "--policy", "p.json", "--parameters", "params.json"];
    finish(egret().current_dir(folder.path()).args(given).args(args), "")
}

#[test]
fn parameters_of_another_shape() {
    assert_eq!(check_with(r#"{"parameters": {"t": {"value": "Deny"}}}"#, &AZURE).code, 3);
    assert_eq!(check_with(r#"{"t": {"value": "Deny"}}"#, &AZURE).code, 3);
    for wrong in [r#"{"t": "Deny"}"#, r#"{"parameters": {"t": "Deny"}}"#, r#"{"parameters": {"t": {"Wert": "Deny"}}}"#]
    {
        refused(&check_with(wrong, &AZURE), "the parameter `t` has no `value`");
    }
    refused(&check_with("[1]", &AZURE), "parameters are an object of theirs, and this is a list");
}

#[test]
fn a_parameter_in_a_key_vault() {
    let vault = r#"{"parameters": {"t": {"reference": {"keyVault": {"id": "/x"}, "secretName": "s"}}}}"#;
    let answer = check_with(vault, &AZURE);
    refused(
        &answer,
        "1 value is known to Azure only, and without it this would not deny what Azure denies: `parameters.t`",
    );
    let set = check_with(vault, &[&["--set", "parameters.t=Deny"], &AZURE[..]].concat());
    warned(&set, "the parameter `t` is in a key vault, and not known here");
    assert_eq!(set.code, 3);
}

#[test]
fn a_name_that_stands_twice() {
    let folder = tempfile::tempdir().unwrap();
    let text = policy_of(&network("Deny", &json!(["*"]))).to_string();
    let twice = text.replace(r#""priority":100,"rule"#, r#""Priority":200,"priority":100,"rule"#);
    assert_ne!(text, twice);
    fs::write(folder.path().join("p.json"), twice).unwrap();
    let args = ["check", "--policy", "p.json", AZURE[2]];
    let answer = finish(egret().current_dir(folder.path()).args(args), "");
    warned(&answer, "`priority` stands twice in this object: only the last counts");
}

/// A plan with a policy `p` in two resource groups, each with a group of one rule; ids are known after it is applied.
fn plan_of_two() -> Value {
    let change = |kind: &str, key: &str, values: &Value, unknown: &Value| {
        json!({ "address": format!("{kind}.{key}"), "mode": "managed", "type": kind, "name": key,
                "change": { "actions": ["create"], "before": null, "after": values, "after_unknown": unknown } })
    };
    let (policy, of_policy) = ("azurerm_firewall_policy", "azurerm_firewall_policy_rule_collection_group");
    let (mut changes, mut planned, mut expressions) = (Vec::new(), Vec::new(), Vec::new());
    for (key, action) in [("a", "Allow"), ("b", "Deny")] {
        let own = json!({ "name": "p", "resource_group_name": format!("rg-{key}") });
        let rule = json!({ "name": "r", "protocols": ["TCP"], "source_addresses": ["*"],
                           "destination_addresses": ["192.0.2.0/24"], "destination_ports": ["443"] });
        let collection = json!({ "name": "c", "priority": 100, "action": action, "rule": [rule] });
        let group = json!({ "name": "g", "priority": 100, "network_rule_collection": [collection] });
        changes.push(change(policy, key, &own, &json!({ "id": true })));
        changes.push(change(of_policy, key, &group, &json!({ "id": true, "firewall_policy_id": true })));
        for (kind, values) in [(policy, own), (of_policy, group)] {
            planned.push(json!({ "address": format!("{kind}.{key}"), "mode": "managed", "type": kind, "name": key,
                                 "values": values }));
            let owner = format!("{policy}.{key}");
            let reference = json!({ "firewall_policy_id": { "references": [format!("{owner}.id"), owner] } });
            let references = if kind == policy { json!({}) } else { reference };
            expressions.push(json!({ "address": format!("{kind}.{key}"), "mode": "managed", "type": kind, "name": key,
                                     "expressions": references }));
        }
    }
    json!({ "format_version": "1.2", "terraform_version": "1.9.0",
            "planned_values": { "root_module": { "resources": planned } }, "resource_changes": changes,
            "configuration": { "root_module": { "resources": expressions } } })
}

#[test]
fn policies_of_one_name_in_two_resource_groups() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plan.json"), plan_of_two().to_string()).unwrap();
    let asked =
        |policy: &str| finish(egret().current_dir(folder.path()).args(["check", "--policy", policy, AZURE[2]]), "");
    let (first, second) = (asked("plan.json#rg-a/p"), asked("plan.json#RG-B/p"));
    assert!(first.code == 0 && first.out.contains("network-rule"), "{first:?}");
    assert!(second.code == 3 && second.out.contains("denied-by-rule"), "{second:?}");
    refused(&asked("plan.json#p"), "`plan.json` holds 2 policies `p`: rg-a/p and rg-b/p");
    refused(&asked("plan.json"), "--policy 'plan.json#rg-a/p' or --policy 'plan.json#rg-b/p'");
}
