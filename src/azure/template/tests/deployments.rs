//! Templates in templates, and templates that are linked to.

use super::*;

fn nested(scope: &str) -> String {
    let options = format!("\"expressionEvaluationOptions\": {{\"scope\": \"{scope}\"}},");
    let text = r#"{"parameters": {"name": {"type": "string", "defaultValue": "outer"}}, "variables": {"v": "outside"},
      "resources": [{"type": "Microsoft.Resources/deployments", "name": "d", "resourceGroup": "other", "properties": {
        OPTIONS "parameters": {"name": {"value": "[concat(parameters('name'), '-passed')]"}},
        "template": {"parameters": {"name": {"type": "string"}}, "variables": {"v": "within"}, "resources": [
          {"type": "Microsoft.Network/ipGroups", "name": "[parameters('name')]", "properties": {"v": "[variables('v')]"}}],
          "outputs": {"made": {"type": "string", "value": "[parameters('name')]"}}}}},
      {"type": "A.B/c", "name": "[reference('d').outputs.made.value]"}]}"#;
    text.replace("OPTIONS", &options)
}

#[test]
fn inner_and_outer_scope() {
    let check = |scope: &str, expected: &[&str], variable: &str| {
        let found = expanded(&nested(scope), &[]);
        assert_eq!(names(&found), expected, "{scope}");
        assert_eq!(properties(&found), format!("{{\"v\":\"{variable}\"}}"), "{scope}");
        let id = found.resources[0].get("id").and_then(Node::text).unwrap();
        assert!(id.contains("/resourceGroups/other/"), "{id}");
    };
    check("inner", &["ipGroups outer-passed", "A.B/c outer-passed"], "within");
    check("outer", &["ipGroups outer", "A.B/c outer"], "outside");
}

#[test]
fn later_ones_use_what_earlier_ones_give() {
    let text = r#"{"resources": [
      {"type": "Microsoft.Resources/deployments", "name": "rules", "properties": {
        "expressionEvaluationOptions": {"scope": "inner"},
        "parameters": {"policy": {"value": "[reference(resourceId('Microsoft.Resources/deployments', 'policy')).outputs.name.value]"}},
        "template": {"parameters": {"policy": {"type": "string"}}, "resources": [
          {"type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups", "name": "[concat(parameters('policy'), '/g')]"}]}}},
      {"type": "Microsoft.Resources/deployments", "name": "policy", "properties": {
        "template": {"resources": [{"type": "Microsoft.Network/firewallPolicies", "name": "p"}],
          "outputs": {"name": {"type": "string", "value": "p"}}}}}]}"#;
    let found = expanded(text, &[]);
    assert_eq!(names(&found), ["firewallPolicies/ruleCollectionGroups p/g", "firewallPolicies p"]);
    assert_eq!(notes(&found), Vec::<String>::new());
}

const LINKING: &str = r#"{"parameters": {"at": {"type": "string", "defaultValue": "[deployment().properties.templateLink.uri]"},
    "token": {"type": "securestring", "defaultValue": ""}},
  "resources": [{"type": "Microsoft.Resources/deployments", "name": "d", "properties": {
    "templateLink": {"uri": "[uri(parameters('at'), concat('nested/vnet.json', parameters('token')))]"},
    "parameters": {"name": {"value": "[parameters('at')]"}}}}]}"#;

#[test]
fn linked() {
    let (template, other) = (
        node(LINKING),
        json::parse(
            r#"{"parameters": {"name": {"type": "string"}}, "resources": [
        {"type": "A.B/c", "name": "linked"}]}"#,
            7,
        )
        .unwrap(),
    );
    let linked = |to: &str| (to == "nested/vnet.json").then_some(&other[0]);
    let inputs = Inputs { linked: &linked, ..inputs(&[]) };
    let found = expand(&template, &inputs);
    assert_eq!(names(&found), ["A.B/c linked"]);
    assert_eq!(notes(&found), Vec::<String>::new());
    assert_eq!((found.links[0].to.as_str(), found.links[0].file), ("nested/vnet.json", Some(7)));
}

#[test]
fn linked_and_not_at_hand() {
    let found = expanded(LINKING, &[("at", "https://example.com/main.json"), ("token", "?sig=x")]);
    let to = "https://example.com/nested/vnet.json?sig=x";
    assert_eq!(
        notes(&found),
        [format!("Doubt: it links to {to}, which is not at hand; what that deploys was left out")]
    );
    assert_eq!(found.notes[0].mend.as_deref(), Some("give that file too: --policy vnet.json"));
}

#[test]
fn that_lead_in_a_circle() {
    let text = r#"{"resources": [{"type": "Microsoft.Resources/deployments", "name": "again", "properties": {
        "templateLink": {"relativePath": "self.json"}}}]}"#;
    let template = node(text);
    let linked = |_: &str| Some(&template);
    let inputs = Inputs { linked: &linked, ..inputs(&[]) };
    let found = expand(&template, &inputs);
    assert_eq!(notes(&found), ["Error: deployments are nested more than 16 deep"]);
}

/// Parameters of a template within it are not those that `--set` means, unless nothing else is given for them.
#[test]
fn their_parameters() {
    let check = |set: &[(&str, &str)], expected: &str| {
        let text = r#"{"parameters": {"a": {"type": "string", "defaultValue": "main"}}, "resources": [
          {"type": "Microsoft.Resources/deployments", "name": "d", "properties": {
            "expressionEvaluationOptions": {"scope": "inner"}, "parameters": {
              "secret": {"reference": {"keyVault": {"id": "/x"}, "secretName": "s"}}},
            "template": {"parameters": {"a": {"type": "string", "defaultValue": "own"}, "b": {"type": "string"},
                "secret": {"type": "securestring"}},
              "resources": [{"type": "A.B/c", "name": "n", "properties": {
                "x": "[format('{0} {1} {2}', parameters('a'), parameters('b'), parameters('secret'))]"}}]}}}]}"#;
        assert_eq!(properties(&expanded(text, set)), expected);
    };
    check(&[], r#"{"x":own {parameters.b} {parameters.secret}}"#);
    check(&[("a", "given"), ("b", "set")], r#"{"x":own set {parameters.secret}}"#);
}
