//! Parameters, variables, members, and what is written around them.

use super::*;

const MEMBERS: &str = r#"
    "parameters": {
        "name": {"type": "string", "defaultValue": "[concat('rg-', resourceGroup().name)]"},
        "ports": {"type": "array", "defaultValue": [80, 443]},
        "nothing": {"type": "string", "nullable": true},
        "mode": {"type": "string", "defaultValue": "Deny", "allowedValues": ["Alert", "Deny", "Off"]}
    },
    "variables": {
        "rule": {"Name": "r", "to": ["[parameters('name')]", "b"], "none": null},
        "escaped": "[[not an expression]",
        "index": 1
    },
    "functions": [{"namespace": "own", "members": {"twice": {
        "parameters": [{"name": "x", "type": "string"}],
        "output": {"type": "string", "value": "[concat(parameters('x'), parameters('x'))]"}}}}],
"#;

#[track_caller]
fn check(expression: &str, expected: &str) {
    assert_eq!(value_of(MEMBERS, expression, &[]).as_deref(), Ok(expected), "{expression}");
}

#[track_caller]
fn wrong(expression: &str, expected: &str) {
    let expected = format!("{expected}, in [{expression}]");
    assert_eq!(value_of(MEMBERS, expression, &[]), Err(expected), "{expression}");
}

#[test]
fn names_and_members() {
    check("parameters('NAME')", r#""rg-egret""#);
    check("parameters('ports')", "[80,443]");
    check("parameters('ports')[variables('index')]", "443");
    check("parameters('nothing')", "null");
    check("variables('rule').to[0]", r#""rg-egret""#);
    check("variables('rule')['name']", r#""r""#);
    check("variables('rule').none", "null");
    check("variables('rule').?nowhere.deeper", "null");
    check("variables('rule')[?'nowhere']", "null");
    check("variables('escaped')", r#""[not an expression]""#);
    check("own.twice('ab')", r#""abab""#);
    check(" concat( 'it''s' ,\n 'ok' ) ", r#""it'sok""#);
}

#[test]
fn what_is_wrong() {
    wrong("parameters('nam')", "no parameter is named 'nam', but 'name'");
    wrong("variables('elsewhere')", "no variable is named 'elsewhere'");
    wrong("variables('rule').too", "an object has no member 'too', but 'to'");
    wrong("parameters('ports')[2]", "a list of 2 has no element 2");
    wrong("parameters('name')[0]", "a text has no element 0");
    wrong("own.twice()", "own.twice takes 1 arguments, and has 0");
    wrong("concat('a'", "concat( is not closed");
    wrong("copyIndex()", "copyIndex() stands in no copy loop");
}

/// The place of an error is that of its string; of two that are the same there is one note.
#[test]
fn notes_have_places() {
    let text =
        r#"{"resources": [{"type": "A/b", "name": "n", "properties": {"a": "[x(]", "b": ["[variables('v')]"]}}]}"#;
    let found = expanded(text, &[]);
    let at = |what: &str| text.find(what).map(|at| at..at + what.len());
    let spans: Vec<_> = found.notes.iter().map(|note| note.at.span()).collect();
    assert_eq!(spans, [at("\"[x(]\""), at("\"[variables('v')]\"")]);
}

#[test]
fn values_stand_where_their_expressions_do() {
    let text = template_of(MEMBERS, "parameters('ports')");
    let found = expanded(&text, &[]);
    let value = &found.resources[0].get("properties").unwrap().get("x").unwrap();
    assert_eq!(value.at.span().map(|at| &text[at]), Some("\"[parameters('ports')]\""));
    assert_eq!(value.list().unwrap()[1].at.span().map(|at| &text[at]), Some("443"));
}

#[test]
fn given_parameters() {
    let template = node(&template_of(MEMBERS, "concat(parameters('name'), parameters('mode'))"));
    let file = r#"{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#",
        "contentVersion": "1.0.0.0", "parameters": {"Name": {"value": "[x"}, "extra": {"value": 1},
        "secret": {"reference": {"keyVault": {"id": "/x"}, "secretName": "s"}}}}"#;
    let file = node(file);
    assert!(is_parameters_file(&file) && !is_template(&file) && is_template(&template));
    let inputs = Inputs { parameters: parameters_of(&file), ..inputs(&[("parameters.MODE", "Off"), ("none", "1")]) };
    let found = expand(&template, &inputs);
    assert_eq!(properties(&found), r#"{"x":"[xOff"}"#);
    assert_eq!(found.undeclared, [Arc::from("extra"), Arc::from("secret")]);
    assert_eq!(found.unused, ["none"]);
}

#[test]
fn parameters_that_do_not_fit() {
    let check = |members: &str, set: &[(&str, &str)], expected: &str| {
        assert_eq!(value_of(members, "parameters('p')", set), Err(expected.into()), "{members}");
    };
    let allowed = r#""parameters": {"p": {"type": "string", "allowedValues": ["a", "b"]}},"#;
    check(allowed, &[("p", "c")], "parameter p is 'c', which is not one of its allowedValues");
    check(
        r#""parameters": {"p": {"type": "int"}},"#,
        &[("p", "c")],
        "parameter p is to be a whole number, and is a text",
    );
    let list = r#""parameters": {"p": {"type": "array", "defaultValue": "a"}},"#;
    check(list, &[], "parameter p is to be a list, and is a text");
    let int = value_of(r#""parameters": {"p": {"type": "int"}},"#, "parameters('p')", &[("p", "7")]);
    assert_eq!(int.as_deref(), Ok("7"));
    let text = value_of(r#""parameters": {"p": {"type": "String"}},"#, "parameters('p')", &[("p", "7")]);
    assert_eq!(text.as_deref(), Ok("\"7\""));
    let list = value_of(r#""parameters": {"p": {"type": "array"}},"#, "parameters('p')", &[("p", "[\"a\"]")]);
    assert_eq!(list.as_deref(), Ok("[\"a\"]"));
}

#[test]
fn which_documents_are_templates() {
    let check = |text: &str, template: bool, parameters: bool| {
        let node = node(text);
        assert_eq!((is_template(&node), is_parameters_file(&node)), (template, parameters), "{text}");
    };
    let schema = "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#";
    check(&format!("{{\"$schema\": \"{schema}\"}}"), true, false);
    check(r#"{"contentVersion": "1.0.0.0", "resources": []}"#, true, false);
    check(r#"{"variables": {}, "resources": {}}"#, true, false);
    check(r#"{"contentVersion": "1.0.0.0", "parameters": {}}"#, false, true);
    check(r#"{"type": "A/b", "name": "c", "resources": []}"#, false, false);
    check(r#"{"parameters": {"parameters": {}}, "responses": {}}"#, false, false);
    check("[]", false, false);
}
