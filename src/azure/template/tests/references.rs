//! Resources that refer to each other, children, symbolic names.

use super::*;

#[test]
fn to_resources_of_the_same_template() {
    let text = r#"{"resources": [
      {"type": "A.B/c", "name": "n", "properties": {
        "written": "[reference('fw').sku.tier]",
        "byId": "[reference(resourceId('Microsoft.Network/azureFirewalls', 'fw'), '2020-01-01').list[1]]",
        "byPath": "[reference('Microsoft.Network/azureFirewalls/fw').list[0]]",
        "full": "[reference('fw', '2020-01-01', 'Full').location]",
        "runtime": "[reference('fw').ipConfigurations[0].properties.privateIPAddress]",
        "elsewhere": "[reference('other').x]"}},
      {"type": "Microsoft.Network/azureFirewalls", "name": "fw", "location": "[concat('west', 'us')]", "properties": {
        "sku": {"tier": "[toUpper('basic')]"}, "list": [1, 2], "ipConfigurations": [{"properties": {}}]}}]}"#;
    let expected = r#"{"written":"BASIC","byId":2,"byPath":1,"full":"westus","#.to_owned()
        + r#""runtime":{reference(fw).ipConfigurations[0].properties.privateIPAddress},"elsewhere":{reference(other).x}}"#;
    assert_eq!(properties(&expanded(text, &[])), expected);
}

#[test]
fn in_a_circle() {
    let text = r#"{"resources": [
      {"type": "A.B/c", "name": "a", "properties": {"x": "[reference('b').x]"}},
      {"type": "A.B/c", "name": "b", "properties": {"x": "[reference('a').x]"}}]}"#;
    let notes = notes(&expanded(text, &[]));
    let expected =
        "Error: it is defined by itself: reference(b) -> reference(a) -> reference(b), in [reference('b').x]";
    assert_eq!(notes, [expected]);
}

#[test]
fn children() {
    let text = r#"{"resources": [{"type": "Microsoft.Network/firewallPolicies", "name": "p", "copy": {"name": "c", "count": 1},
      "properties": {"a": 1}, "resources": [
        {"type": "ruleCollectionGroups", "name": "[concat('g', copyIndex())]", "properties": {"priority": 100}, "resources": [
          {"type": "x", "name": "y"}]},
        {"type": "Microsoft.Network/firewallPolicies/ruleGroups", "name": "p/old"},
        {"type": "Microsoft.Network/firewallPolicies/ruleGroups", "name": "short"},
        {"type": "Microsoft.Insights/diagnosticSettings", "name": "d"}]}]}"#;
    let expected = [
        "firewallPolicies p",
        "firewallPolicies/ruleCollectionGroups p/g0",
        "firewallPolicies/ruleCollectionGroups/x p/g0/y",
        "firewallPolicies/ruleGroups p/old",
        "firewallPolicies/ruleGroups p/short",
        "Microsoft.Insights/diagnosticSettings d",
    ];
    let found = expanded(text, &[]);
    assert_eq!(names(&found), expected);
    assert_eq!(shown(found.resources[0].get("properties").unwrap()), r#"{"a":1}"#);
    let id = found.resources[1].get("id").and_then(Node::text).unwrap();
    assert!(
        id.ends_with("/resourceGroups/egret/providers/Microsoft.Network/firewallPolicies/p/ruleCollectionGroups/g0")
    );
}

#[test]
fn symbolic_names() {
    let text = r#"{"languageVersion": "2.0", "contentVersion": "1.0.0.0", "resources": {
      "policy": {"existing": true, "type": "Microsoft.Network/firewallPolicies", "name": "p"},
      "groups": {"type": "Microsoft.Network/ipGroups", "name": "[format('g{0}', copyIndex())]",
        "copy": {"name": "groups", "count": 2}, "properties": {"ipAddresses": ["[concat('10.0.0.', copyIndex())]"]}},
      "rules": {"type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups", "name": "p/r", "properties": {
        "a": "[reference('groups[1]').ipAddresses[0]]", "b": "[reference('policy').sku]",
        "c": "[resourceInfo('policy').name]"}}}}"#;
    let found = expanded(text, &[]);
    assert_eq!(notes(&found), Vec::<String>::new());
    assert_eq!(names(&found), ["ipGroups g0", "ipGroups g1", "firewallPolicies/ruleCollectionGroups p/r"]);
    let rules = shown(found.resources[2].get("properties").unwrap());
    assert_eq!(rules, r#"{"a":"10.0.0.1","b":{reference(p).sku},"c":"p"}"#);
}

#[test]
fn what_does_not_matter_is_not_evaluated() {
    let text = r#"{"resources": [{"type": "Microsoft.Compute/virtualMachines", "name": "vm", "location": "x",
        "condition": "[nonsense", "properties": {"a": "[nonsense(]"}}]}"#;
    let template = node(text);
    let inputs = Inputs { wanted: &|kind| kind.starts_with("Microsoft.Network/"), ..inputs(&[]) };
    let found = expand(&template, &inputs);
    assert_eq!((names(&found).len(), notes(&found).len()), (1, 0));
    assert_eq!(found.resources[0].get("properties").or(found.resources[0].get("location")), None);
}
