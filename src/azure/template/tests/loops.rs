//! Copy loops on properties, variables and resources.

use super::*;

#[test]
fn of_properties() {
    let text = r#"{"parameters": {"ips": {"type": "array", "defaultValue": ["0.0.0.0", "198.51.100.1"]}},
      "resources": [{"type": "Microsoft.Network/routeTables", "name": "rt", "properties": {
        "before": 1,
        "copy": [{"name": "routes", "count": "[length(parameters('ips'))]", "input": {
            "name": "[concat('r', copyIndex('routes', 1))]",
            "properties": {
              "nextHopType": "[if(equals(copyIndex('routes'), 0), 'VirtualAppliance', 'Internet')]",
              "nextHopIpAddress": "[if(equals(copyIndex('routes'), 0), '10.0.0.4', json('null'))]"}}},
          {"name": "none", "count": 0, "input": {}}],
        "after": {"copy": [{"name": "inner", "count": 2, "input": "[copyIndex('inner')]"}], "copy2": 1}}}]}"#;
    let expected = r#"{"before":1,"routes":[
        {"name":"r1","properties":{"nextHopType":"VirtualAppliance","nextHopIpAddress":"10.0.0.4"}},
        {"name":"r2","properties":{"nextHopType":"Internet","nextHopIpAddress":null}}],
        "none":[],"after":{"inner":[0,1],"copy2":1}}"#;
    assert_eq!(properties(&expanded(text, &[])), shown(&node(expected)));
}

#[test]
fn within_each_other() {
    let text = r#"{"resources": [{"type": "A/b", "name": "[copyIndex('outer')]", "copy": {"name": "outer", "count": 2},
      "properties": {"copy": [{"name": "x", "count": 2, "input": {"copy": [{"name": "y", "count": 2,
        "input": "[format('{0}{1}{2}{3}', copyIndex(), copyIndex('outer'), copyIndex('x'), copyIndex('y', 10))]"}]}}]}}]}"#;
    let found = expanded(text, &[]);
    assert_eq!(notes(&found), Vec::<String>::new());
    let second = shown(found.resources[1].get("properties").unwrap());
    assert_eq!(second, r#"{"x":[{"y":["11010","11011"]},{"y":["11110","11111"]}]}"#);
}

#[test]
fn of_variables() {
    let members = r#""variables": {
        "copy": [{"name": "made", "count": 3, "input": "[concat('a', copyIndex('made', 1))]"}],
        "holder": {"copy": [{"name": "inner", "count": 2, "input": {"i": "[copyIndex('inner')]"}}], "other": "o"},
        "copied": "[variables('made')[2]]"},"#;
    let check = |expression: &str, expected: &str| {
        assert_eq!(value_of(members, expression, &[]).as_deref(), Ok(expected));
    };
    check("variables('made')", r#"["a1","a2","a3"]"#);
    check("variables('holder')", r#"{"inner":[{"i":0},{"i":1}],"other":"o"}"#);
    check("variables('copied')", r#""a3""#);
}

#[test]
fn of_resources() {
    let text = r#"{"variables": {"names": ["hub", "spoke"]}, "resources": [
      {"type": "Microsoft.Network/ipGroups", "name": "[variables('names')[copyIndex()]]",
       "copy": {"name": "loop", "count": "[length(variables('names'))]", "mode": "serial"},
       "properties": {"n": "[copyIndex(5)]"}, "dependsOn": ["[no such function"]},
      {"type": "Microsoft.Network/ipGroups", "name": "never", "copy": {"name": "loop", "count": 0}}]}"#;
    let found = expanded(text, &[]);
    assert_eq!(names(&found), ["ipGroups hub", "ipGroups spoke"]);
    assert_eq!(shown(found.resources[1].get("properties").unwrap()), r#"{"n":6}"#);
    assert_eq!(found.resources[0].get("copy").or(found.resources[0].get("dependsOn")), None);
}

#[test]
fn that_cannot_be() {
    let check = |copy: &str, expected: &str| {
        let text = format!("{{\"resources\": [{{\"type\": \"A/b\", \"name\": \"n\", \"copy\": {copy}}}]}}");
        assert_eq!(notes(&expanded(&text, &[])), [expected], "{copy}");
    };
    check(r#"{"name": "l"}"#, "Error: a copy loop has no count");
    check(r#"{"name": "l", "count": -1}"#, "Error: the count of a copy loop is -1, and has to be 0 to 100000");
    check(r#"{"name": "l", "count": "3"}"#, "Error: the count of a copy loop is a text, and has to be a whole number");
}
