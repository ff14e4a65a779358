//! What is not known, how it is shown, and how it becomes known.

use super::*;

const MEMBERS: &str = r#""parameters": {"env": {"type": "string"}, "ips": {"type": "array"}, "flag": {"type": "bool"},
    "o": {"type": "object"}, "secret": {"type": "securestring"}},"#;

/// Names in front of what is shown.
#[track_caller]
fn check(expression: &str, names: &str, shown: &str) {
    let found = expanded(&template_of(MEMBERS, expression), &[]);
    assert_eq!(notes(&found), Vec::<String>::new(), "{expression}");
    let Value::Unknown(unknown) = &found.resources[0].get("properties").unwrap().get("x").unwrap().value else {
        panic!("{expression} is known");
    };
    assert_eq!((unknown.names.join(" ").as_str(), &*unknown.shown), (names, shown), "{expression}");
}

#[track_caller]
fn known(expression: &str, set: &[(&str, &str)], expected: &str) {
    assert_eq!(value_of(MEMBERS, expression, set).as_deref(), Ok(expected), "{expression}");
}

#[test]
fn go_through_functions() {
    check("parameters('env')", "parameters.env", "{parameters.env}");
    check("concat('fw-', parameters('env'))", "parameters.env", "fw-{parameters.env}");
    check(
        "format('{0}/{1}', parameters('env'), parameters('o').a)",
        "parameters.env parameters.o.a",
        "{parameters.env}/{parameters.o.a}",
    );
    check("toLower(parameters('env'))", "parameters.env", "{toLower(parameters.env)}");
    check("toLower(concat('a', parameters('env')))", "parameters.env", "{toLower('a{parameters.env}')}");
    check("length(parameters('ips'))", "parameters.ips", "{length(parameters.ips)}");
    check("parameters('ips')[0].x", "parameters.ips[0].x", "{parameters.ips[0].x}");
    check("split(parameters('env'), '-')[0]", "parameters.env", "{split(parameters.env, '-')[0]}");
    check("split(concat(parameters('env'), '/a'), '/')[0]", "parameters.env", "{split('{parameters.env}/a', '/')[0]}");
    check("concat(parameters('ips'), createArray('a'))", "parameters.ips", "{concat(parameters.ips, […])}");
    check("if(parameters('flag'), 'a', 'b')", "parameters.flag", "{if(parameters.flag, 'a', 'b')}");
    check("contains(createArray('a', parameters('env')), 'b')", "parameters.env", "{contains([…], 'b')}");
    check("and(true(), parameters('flag'))", "parameters.flag", "{parameters.flag}");
    check("equals(parameters('env'), 'x')", "parameters.env", "{equals(parameters.env, 'x')}");
    check("filter(parameters('ips'), lambda('i', true()))", "parameters.ips", "{filter(parameters.ips)}");
    check("createObject('a', 1)[parameters('env')]", "parameters.env", "{{…}[parameters.env]}");
    check(
        "deployment().properties.templateLink.uri",
        "deployment().properties.templateLink.uri",
        "{deployment().properties.templateLink.uri}",
    );
}

#[test]
fn do_not_matter() {
    known("if(parameters('flag'), 'a', 'a')", &[], r#""a""#);
    known("and(parameters('flag'), false())", &[], "false");
    known("or(parameters('flag'), true())", &[], "true");
    known("contains(createArray(parameters('env'), 'b'), 'b')", &[], "true");
    known("length(createArray(parameters('env')))", &[], "1");
    known("equals(createArray(1, parameters('env')), createArray(2, 'a'))", &[], "false");
    known("createArray(parameters('env'), 'a')[1]", &[], r#""a""#);
    known("union(createArray(parameters('env')), createArray('a'))[1]", &[], r#""a""#);
    known("coalesce(null(), 1, parameters('env'))", &[], "1");
}

#[test]
fn become_known() {
    known("concat('fw-', parameters('env'))", &[("env", "prod")], r#""fw-prod""#);
    known("parameters('o').a.b", &[("parameters.o.a", "{\"b\": [1]}")], "[1]");
    known("parameters('o').a.b", &[("o", "{\"a\": {\"b\": 2}}")], "2");
    known("reference('ip').ipAddress", &[("reference(ip).ipAddress", "192.0.2.1")], r#""192.0.2.1""#);
    known("reference(resourceId('A.B/c', 'ip')).x.y", &[("reference(ip)", "{\"x\": {\"y\": true}}")], "true");
    known("resourceGroup().location", &[("resourceGroup().location", "eastus")], r#""eastus""#);
    known("resourceGroup().tags.owner", &[("resourceGroup().tags.owner", "me")], r#""me""#);
    known("parameters('secret')", &[("secret", "1")], r#""1""#);
    known("listKeys('x', '2020').key", &[("listKeys(x).key", "k")], r#""k""#);
}

/// An error's value is an unknown that no `--set` mends, and has been said once.
#[test]
fn of_errors_have_no_names() {
    let text = r#"{"variables": {"v": "[nope(]"}, "resources": [{"type": "A/b", "name": "[variables('v')]"},
        {"type": "A/b", "name": "n", "properties": {"x": "[concat('a', variables('v'))]"}}]}"#;
    let found = expanded(text, &[]);
    let expected = "Error: the expression ends where a function, a text in single quotes or a number is expected";
    assert_eq!(notes(&found), [format!("{expected}, in [nope(]")]);
    assert_eq!(names(&found), ["A/b [nope(]", "A/b n"]);
    let Value::Unknown(unknown) = &found.resources[0].get("name").unwrap().value else { panic!("it is known") };
    assert_eq!(unknown.names.len(), 0);
}

#[test]
fn conditions_and_counts() {
    let text = r#"{"parameters": {"deploy": {"type": "bool"}, "n": {"type": "int"}}, "resources": [
        {"type": "A/b", "name": "maybe", "condition": "[parameters('deploy')]"},
        {"type": "A/b", "name": "never", "condition": "[equals(1, 2)]"},
        {"type": "A/b", "name": "always", "condition": true},
        {"type": "A/b", "name": "many", "copy": {"name": "l", "count": "[parameters('n')]"}}]}"#;
    let found = expanded(text, &[]);
    assert_eq!(names(&found), ["A/b maybe", "A/b always"]);
    let expected = [
        "Doubt: how many resources this loop makes is not known here: {parameters.n}; none was made",
        "Doubt: whether maybe is deployed is not known here: {parameters.deploy}; it is taken to be",
    ];
    assert_eq!(notes(&found), expected);
    let mends: Vec<_> = found.notes.iter().filter_map(|note| note.mend.as_deref()).collect();
    assert_eq!(mends[1], "give it with --set 'parameters.deploy=VALUE'");
    let found = expanded(text, &[("deploy", "false"), ("n", "2")]);
    assert_eq!(names(&found), ["A/b always", "A/b many", "A/b many"]);
    assert_eq!(notes(&found), Vec::<String>::new());
}

#[test]
fn in_names() {
    let text = r#"{"parameters": {"p": {"type": "string"}}, "resources": [
        {"type": "Microsoft.Network/firewallPolicies", "name": "[parameters('p')]", "properties": {"a": 1},
         "resources": [{"type": "ruleCollectionGroups", "name": "g"}]},
        {"type": "A/b", "name": "n", "properties": {
          "x": "[reference(resourceId('Microsoft.Network/firewallPolicies', parameters('p'))).a]"}}]}"#;
    let found = expanded(text, &[]);
    let expected =
        ["firewallPolicies {parameters.p}", "firewallPolicies/ruleCollectionGroups {parameters.p}/g", "A/b n"];
    assert_eq!(names(&found), expected);
    assert_eq!(shown(found.resources[2].get("properties").unwrap()), r#"{"x":1}"#);
}
