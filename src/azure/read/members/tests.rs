//! What is said of groups, collections and rules that are not as Azure has them.

use super::super::*;
use crate::azure::json::parse;
use crate::azure::shape;

fn read_all(texts: &[&str]) -> Read {
    let sets: Vec<Vec<Resource>> =
        texts.iter().map(|text| shape::resources(&parse(text, 0).unwrap()).resources).collect();
    let sets: Vec<Set<'_>> = sets.iter().map(|resources| Set { resources, asked: Asked::Policy }).collect();
    read(&sets, &Catalogue::default())
}

fn notes(read: &Read) -> Vec<String> {
    let mend = |note: &Note| note.mend.as_ref().map(|mend| format!("; {mend}")).unwrap_or_default();
    read.notes.iter().map(|note| format!("{:?}: {}{}", note.severity, note.what, mend(note))).collect()
}

fn group(properties: &str) -> String {
    format!(
        r#"{{"type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups", "name": "p/g", "properties": {properties}}}"#
    )
}

/// A group with one collection with one rule, and what else they hold.
fn with(in_group: &str, in_collection: &str, in_rule: &str, action: &str) -> String {
    let rule = format!(
        r#"{{"ruleType": "ApplicationRule", "name": "r", "sourceAddresses": ["*"],
            "protocols": [{{"protocolType": "Https", "port": 443}}], "targetFqdns": ["a.test"] {in_rule}}}"#
    );
    let collection = format!(
        r#"{{"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "c", "priority": 100,
            "action": {{"type": "{action}"}}, "rules": [{rule}] {in_collection}}}"#
    );
    group(&format!(r#"{{"priority": 100, "ruleCollections": [{collection}] {in_group}}}"#))
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(notes(&read_all(&[text])), expected, "{text}");
}

#[test]
fn members_that_nobody_reads_are_told() {
    let strange = with(
        r#", "rulecollection_s": [1]"#,
        r#", "surprise": 1"#,
        r#", "targetFqdnz": ["b.test"], "sourceAdresses": ["10.0.0.1"]"#,
        "Allow",
    );
    check(
        &strange,
        &[
            "Warning: `rulecollection_s` of rule collection group `g` is not known here, and not read; \
             did you mean `ruleCollections`?",
            "Warning: `surprise` of rule collection `c` is not known here, and not read",
            "Warning: `targetFqdnz` of rule `r` is not known here, and not read; did you mean `targetFqdns`?",
            "Warning: `sourceAdresses` of rule `r` is not known here, and not read; did you mean `sourceAddresses`?",
        ],
    );
    let denied = with("", "", r#", "targetFqdnz": ["b.test"]"#, "Deny");
    let expected = "Doubt: `targetFqdnz` of rule `r` is not known here, and not read; did you mean `targetFqdns`?";
    check(&denied, &[expected]);
}

#[test]
fn what_stands_beside_or_says_nothing_is_not_told() {
    let harmless = r#", "etag": "x", "id": "y", "type": "z", "provisioningState": "Succeeded", "resourceGroup": "rg",
        "size": "1 MB", "comments": "c", "_note": "n", "unheardOf": null, "nothing": []"#;
    check(&with(harmless, harmless, harmless, "Allow"), &[]);
}

#[test]
fn lists_objects_and_texts_are_what_is_wanted() {
    let collection = r#"{"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "c", "priority": 100,
        "action": {"type": "Allow"}, "rules": {"ruleType": "NetworkRule", "name": "r"}}"#;
    check(
        &group(&format!(r#"{{"priority": 100, "ruleCollections": [{collection}]}}"#)),
        &["Error: `rules` of rule collection `c` is a list of objects, not an object"],
    );
    check(&group("[]"), &["Error: `properties` of rule collection group `g` is an object, not a list"]);
    let number = with("", "", r#", "targetFqdns": 5, "webCategories": [7]"#, "Allow");
    check(
        &number,
        &[
            "Error: `targetFqdns` of rule `r` is a list of texts, not a number",
            "Error: `webCategories` of rule `r` is a list of texts, not a number",
        ],
    );
}

const POLICY_WITH_IP_GROUP: &str = r#"{"type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
    "name": "p/g", "properties": {"priority": 100, "ruleCollections": [
        {"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "c", "priority": 100,
         "action": {"type": "Allow"}, "rules": [{"ruleType": "NetworkRule", "name": "r", "ipProtocols": ["TCP"],
            "sourceIpGroups": ["/subscriptions/1/resourceGroups/rg/providers/Microsoft.Network/ipGroups/g"],
            "destinationAddresses": ["*"], "destinationPorts": [443]}]}]}}"#;

fn ip_group(subscription: &str, name: &str, addresses: &str) -> String {
    format!(
        r#"{{"type": "Microsoft.Network/ipGroups", "name": "{name}", "properties": {{"ipAddresses": [{addresses}]}},
            "id": "/subscriptions/{subscription}/resourceGroups/RG/providers/Microsoft.Network/ipGroups/{name}"}}"#
    )
}

#[test]
fn an_ip_group_in_two_files() {
    let one = ip_group("1", "g", r#""10.0.0.1", "10.0.0.2""#);
    let same = ip_group("1", "G", r#""10.0.0.2", "10.0.0.1""#);
    assert!(notes(&read_all(&[POLICY_WITH_IP_GROUP, &one, &same])).is_empty());
    let other = ip_group("1", "G", r#""10.0.0.3""#);
    assert_eq!(
        notes(&read_all(&[POLICY_WITH_IP_GROUP, &one, &other])),
        ["Doubt: the IP group `g` is there 2 times with other addresses each: it matches nothing; \
          leave out the old one"]
    );
}

#[test]
fn who_has_a_wrong_name_is_no_policy_of_its_own() {
    let mut group = shape::resources(&parse(&with("", "", "", "Allow"), 0).unwrap()).resources;
    let nothing = crate::azure::json::Unknown { names: Vec::new(), shown: "{variables.a}".into() };
    group[0].name.value = crate::azure::json::Value::Unknown(nothing);
    let read = read(&[Set { resources: &group, asked: Asked::Policy }], &Catalogue::default());
    assert!(read.policies.is_empty(), "{:?}", read.policies);
}

#[test]
fn what_only_names_hang_on_is_told() {
    let mut group = shape::resources(&parse(&with("", "", "", "Allow"), 0).unwrap()).resources;
    let unknown = crate::azure::json::Unknown { names: vec!["parameters.env".into()], shown: "{env}/g".into() };
    group[0].name.value = crate::azure::json::Value::Unknown(unknown);
    let read = read(&[Set { resources: &group, asked: Asked::Policy }], &Catalogue::default());
    let expected = "Info: known to Azure only, and only names hang on it: `parameters.env`; --set 'parameters.env=…'";
    assert_eq!(notes(&read), [expected]);
}
