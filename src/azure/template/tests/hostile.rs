//! What is meant to cost too much, or to overflow a stack. The threads of tests have small stacks.

use super::*;

#[test]
fn variables_in_a_circle() {
    let members =
        r#""variables": {"a": "[variables('b')]", "b": ["[concat('x', variables('c'))]"], "c": "[variables('A')]"},"#;
    let found = expanded(&template_of(members, "variables('a')"), &[]);
    let expected =
        "Error: it is defined by itself: variables.a -> variables.b -> variables.c -> variables.A, in [variables('A')]";
    assert_eq!(notes(&found), [expected]);
}

#[test]
fn parameters_in_a_circle() {
    let members = r#""parameters": {"a": {"type": "string", "defaultValue": "[parameters('b')]"},
        "b": {"type": "string", "defaultValue": "[parameters('a')]"}},"#;
    let found = expanded(&template_of(members, "parameters('a')"), &[]);
    let expected = "Error: it is defined by itself: parameters.a -> parameters.b -> parameters.a, in [parameters('a')]";
    assert_eq!(notes(&found), [expected]);
}

#[test]
fn a_function_that_calls_itself() {
    let members = r#""functions": [{"namespace": "n", "members": {"f": {"parameters": [],
        "output": {"type": "string", "value": "[concat(n.f(), n.f())]"}}}}],"#;
    let found = expanded(&template_of(members, "n.f()"), &[]);
    assert_eq!(notes(&found), ["Error: what it takes is nested more than 200 deep, in [concat(n.f(), n.f())]"]);
}

#[test]
fn a_long_chain_of_variables() {
    let chain: Vec<String> =
        (0..5000).map(|at| format!("\"v{at}\": \"[createArray(variables('v{}'))]\"", at + 1)).collect();
    let members = format!("\"variables\": {{{}, \"v5000\": 1}},", chain.join(","));
    let found = expanded(&template_of(&members, "variables('v0')"), &[]);
    assert_eq!(found.notes.len(), 1);
    assert!(found.notes[0].what.starts_with("what it takes is nested more than 200 deep"), "{:?}", found.notes);
}

/// Each is shallow by itself, and deeper than the one before.
#[test]
fn values_that_grow_deeper() {
    let wrap = |inside: String| format!("{}{inside}{}", "createArray(".repeat(50), ")".repeat(50));
    let variable = |at: usize| format!("\"v{at}\": \"[{}]\"", wrap(format!("variables('v{}')", at + 1)));
    let variables: Vec<String> = (0..100).map(variable).collect();
    let uses: Vec<String> = (0..100).rev().map(|at| format!("\"[length(variables('v{at}'))]\"")).collect();
    let text = format!(
        "{{\"variables\": {{{}, \"v100\": 1}}, \"resources\": [{{\"type\": \"A/b\", \"name\": \"n\", \
         \"properties\": [{}]}}]}}",
        variables.join(","),
        uses.join(",")
    );
    let found = expanded(&text, &[]);
    assert!(found.notes[0].what.starts_with("its value is nested more than 300 deep"), "{:?}", found.notes[0]);
    let members = "reduce(range(0, 10000), 1, lambda('a', 'b', createArray(lambdaVariables('a'))))";
    assert!(value_of("", members, &[]).unwrap_err().starts_with("reduce nests values more than 100 deep"));
}

#[test]
fn values_within_values() {
    let text = format!(
        "{{\"resources\": [{{\"type\": \"A/b\", \"name\": \"n\", \"properties\": {}1{}}}]}}",
        "[".repeat(400),
        "]".repeat(400)
    );
    assert_eq!(notes(&expanded(&text, &[])), ["Error: values are nested more than 200 deep"]);
    let calls = format!("{}1{}", "string(".repeat(99), ")".repeat(99));
    assert_eq!(value_of("", &calls, &[]).as_deref(), Ok("\"1\""));
    let error = value_of("", &"a(".repeat(10_000), &[]).unwrap_err();
    assert!(error.starts_with("the expression has calls within calls more than 100 deep"), "{error}");
}

#[test]
fn loops_in_loops() {
    let cube =
        "map(range(0, 10000), lambda('i', map(range(0, 10000), lambda('j', map(range(0, 10000), lambda('k', 1))))))";
    assert!(value_of("", cube, &[]).unwrap_err().starts_with("the template's expressions make more"));
    let text = r#"{"resources": [{"type": "A/b", "name": "n", "properties": {"copy": [{"name": "a", "count": 100000, "input": {
        "copy": [{"name": "b", "count": 100000, "input": 1}]}}]}}]}"#;
    assert_eq!(notes(&expanded(text, &[])).len(), 1);
    let text = r#"{"resources": [{"type": "A/b", "name": "n", "copy": {"name": "a", "count": 100000}},
        {"type": "A/b", "name": "n", "copy": {"name": "a", "count": 100000}}]}"#;
    let found = expanded(text, &[]);
    assert_eq!(notes(&found), ["Error: the template makes more than 100000 resources; the others were left out"]);
    assert_eq!(found.resources.len(), 100_000);
}

#[test]
fn texts_that_double() {
    let doubled = |at: usize| format!("\"v{at}\": \"[concat(variables('v{0}'), variables('v{0}'))]\"", at + 1);
    let variables: Vec<String> = (0..60).map(doubled).collect();
    let members = format!("\"variables\": {{{}, \"v60\": \"x\"}},", variables.join(","));
    let error = value_of(&members, "variables('v0')", &[]).unwrap_err();
    assert!(error.starts_with("the text is longer than 4194304 bytes"), "{error}");
    let replaced = "replace(padLeft('', 60000, 'a'), 'a', padLeft('', 60000, 'a'))";
    assert!(value_of("", replaced, &[]).unwrap_err().starts_with("the text is longer"));
}

#[test]
fn lists_that_double() {
    let doubled = |at: usize| format!("\"v{at}\": \"[createArray(variables('v{0}'), variables('v{0}'))]\"", at + 1);
    let variables: Vec<String> = (0..60).map(doubled).collect();
    let members = format!("\"variables\": {{{}, \"v60\": \"x\"}},", variables.join(","));
    let error = value_of(&members, "variables('v0')", &[]).unwrap_err();
    assert!(error.starts_with("the template's expressions make more than 2000000 values"), "{error}");
}

#[test]
fn what_is_no_template() {
    let check = |text: &str, expected: &str| assert_eq!(notes(&expanded(text, &[])), [expected], "{text}");
    check("[]", "Error: a template is an object, and this is a list");
    check(r#"{"resources": 1}"#, "Error: resources are a list or an object, and this is a number");
    check(r#"{"resources": ["a"]}"#, "Error: a resource is an object, and this is a text");
    check(r#"{"resources": [{"name": "a"}]}"#, "Error: a resource needs a type and a name");
    check(
        r#"{"resources": [{"type": 1, "name": "a"}]}"#,
        "Error: the type of a resource is a text, and this is a number",
    );
}

#[test]
fn a_cycle_that_nothing_asks_for_is_told_too() {
    let template = r#"{"variables": {"a": "[variables('b')]", "b": {"x": ["[concat('y', variables('A').x)]"]},
        "c": "[variables('c')]", "d": "[variables('a')]", "e": "[concat(variables('f'), variables('f'))]", "f": 1},
        "resources": []}"#;
    let expected = [
        "Warning: it is defined by itself: variables.a -> variables.b -> variables.a; nothing uses it",
        "Warning: it is defined by itself: variables.c -> variables.c; nothing uses it",
    ];
    assert_eq!(notes(&expanded(template, &[])), expected);
}
