//! One line a function, or a case of one.

use super::value_of;

#[track_caller]
fn check(expression: &str, expected: &str) {
    assert_eq!(value_of("", expression, &[]).as_deref(), Ok(expected), "{expression}");
}

#[track_caller]
fn wrong(expression: &str, expected: &str) {
    let expected = format!("{expected}, in [{expression}]");
    assert_eq!(value_of("", expression, &[]), Err(expected), "{expression}");
}

#[test]
fn arrays() {
    check("array('a')", r#"["a"]"#);
    check("array(createArray(1))", "[1]");
    check("concat(createArray('a'), createArray('b', 'c'))", r#"["a","b","c"]"#);
    check("createArray()", "[]");
    check("createArray(1, 'a', true(), null())", r#"[1,"a",true,null]"#);
    check("empty(createArray())", "true");
    check("empty('')", "true");
    check("empty(null())", "true");
    check("empty(createObject('a', 1))", "false");
    check("first(createArray('a', 'b'))", r#""a""#);
    check("first('Über')", r#""Ü""#);
    check("first(createArray())", "null");
    check("last(split('a/b/c', '/'))", r#""c""#);
    check("last('')", r#""""#);
    check("flatten(createArray(createArray(1), createArray(2, 3)))", "[1,2,3]");
    check("indexOf(createArray('a', 'b'), 'b')", "1");
    check("indexOf(createArray('a', 'b'), 'B')", "-1");
    check("lastIndexOf(createArray(1, 2, 1), 1)", "2");
    check("intersection(createArray('a', 'b', 'c'), createArray('c', 'b'), createArray('b', 'c'))", r#"["b","c"]"#);
    check("intersection(createObject('a', 1, 'b', 2), createObject('b', 2, 'a', 3))", r#"{"b":2}"#);
    check("union(createArray('a', 'b'), createArray('b', 'c'), createArray('a'))", r#"["a","b","c"]"#);
    check("length(createArray(1, 2))", "2");
    check("length('abc')", "3");
    check("length(createObject('a', 1))", "1");
    check("max(1, 3, 2)", "3");
    check("min(createArray(1, 3, 2))", "1");
    check("range(-1, 3)", "[-1,0,1]");
    check("range(5, 0)", "[]");
    check("skip(createArray(1, 2, 3), 1)", "[2,3]");
    check("skip('abc', -1)", r#""abc""#);
    check("take(createArray(1, 2, 3), 2)", "[1,2]");
    check("take('abc', 10)", r#""abc""#);
    check("contains(createArray('a', 'b'), 'b')", "true");
    check("contains(createArray(1, 2), '1')", "false");
    check("contains('abc', 'bc')", "true");
    check("contains('abc', 'BC')", "false");
    check("contains(createObject('Name', 1), 'name')", "true");
    check("tryIndexFromEnd(createArray(1, 2), 1)", "2");
    check("tryIndexFromEnd(createArray(1, 2), 3)", "null");
    wrong("range(0, 10001)", "range makes 0 to 10000 numbers, and not 10001");
    wrong("first(1)", "first takes a list as argument 1, and this is a number");
    wrong("length()", "length takes at least 1 arguments, and has 0");
}

#[test]
fn comparison_and_logic() {
    check("coalesce(null(), 'a', variables('no such'))", r#""a""#);
    check("equals('a', 'A')", "false");
    check("equals(1, 1)", "true");
    check("equals(1, '1')", "false");
    check("equals(createObject('a', 1, 'b', 2), createObject('B', 2, 'a', 1))", "true");
    check("equals(createArray(1, 2), createArray(2, 1))", "false");
    check("greater(2, 1)", "true");
    check("greaterOrEquals('b', 'a')", "true");
    check("less(1, 1)", "false");
    check("lessOrEquals(1, 1)", "true");
    check("and(true(), true(), false())", "false");
    check("or(false(), true())", "true");
    check("not(bool('false'))", "true");
    check("bool(1)", "true");
    check("if(true(), 'a', variables('no such'))", r#""a""#);
    check("if(equals('a', 'b'), 1, json('{\"a\": [1]}'))", r#"{"a":[1]}"#);
    check("IF(True(), 1, 2)", "1");
    wrong("if('x', 1, 2)", "if takes true or false, and this is a text");
    wrong("less(1, 'a')", "less takes two numbers or two texts");
}

#[test]
fn numbers() {
    check("add(5, -3)", "2");
    check("sub(1, 2)", "-1");
    check("mul(4, 3)", "12");
    check("div(7, 2)", "3");
    check("mod(7, 3)", "1");
    check("int('42')", "42");
    check("float('3.5')", "3.5");
    wrong("div(1, 0)", "div of 1 and 0 is no number");
    wrong("mul(9223372036854775807, 2)", "mul of 9223372036854775807 and 2 is no number");
    wrong("int('a')", "int takes a whole number, and not 'a'");
}

#[test]
fn objects() {
    check("createObject('a', 1, 'b', createObject('c', null()))", r#"{"a":1,"b":{"c":null}}"#);
    check("json('null')", "null");
    check("json(concat('[1, ', '2]'))", "[1,2]");
    check("null()", "null");
    check("items(createObject('b', 1, 'A', 2))", r#"[{"key":"A","value":2},{"key":"b","value":1}]"#);
    check("objectKeys(createObject('b', 1, 'a', 2))", r#"["a","b"]"#);
    check("union(json('{\"a\": {\"b\": 1}}'), json('{\"A\": {\"c\": 2}, \"d\": 3}'))", r#"{"a":{"b":1,"c":2},"d":3}"#);
    check("shallowMerge(createArray(json('{\"a\": {\"b\": 1}}'), json('{\"a\": {\"c\": 2}}')))", r#"{"a":{"c":2}}"#);
    check("tryGet(createObject('a', createArray(1)), 'a', 0)", "1");
    check("tryGet(createObject('a', 1), 'b', 'c')", "null");
    check("tryGet(null(), 'b')", "null");
    wrong("createObject('a')", "createObject takes names and values in pairs");
    wrong("json('{')", "json takes JSON: not JSON: unterminated object");
}

#[test]
fn texts() {
    check("base64('one')", r#""b25l""#);
    check("base64ToString('b25l')", r#""one""#);
    check("base64ToJson(base64('{\"a\": 1}'))", r#"{"a":1}"#);
    check("dataUri('Hello')", r#""data:text/plain;charset=utf8;base64,SGVsbG8=""#);
    check("dataUriToString('data:text/plain,a%20b')", r#""a b""#);
    check("concat('a', 1, true())", r#""a1True""#);
    check("endsWith('abc', 'BC')", "true");
    check("startsWith('abc', 'AB')", "true");
    check("format('{0}-{1:D3}-{2,4}-{2,-4}|{{}}', 'a', 7, 'x')", r#""a-007-   x-x   |{}""#);
    check("format('{0:X2}', 10)", r#""0A""#);
    check("indexOf('abC', 'c')", "2");
    check("join(createArray('a', 'b'), ', ')", r#""a, b""#);
    check("padLeft('7', 3, '0')", r#""007""#);
    check("padLeft(7, 3)", r#""  7""#);
    check("replace('a-b-c', '-', '')", r#""abc""#);
    check("split('a,b;c', createArray(',', ';'))", r#"["a","b","c"]"#);
    check("split('a', ',')", r#"["a"]"#);
    check("string(createObject('a', createArray(1, 'b')))", r#""{\"a\":[1,\"b\"]}""#);
    check("string(true())", r#""True""#);
    check("substring('abcdef', 1, 3)", r#""bcd""#);
    check("substring('abc', 1)", r#""bc""#);
    check("toLower('ABC')", r#""abc""#);
    check("TOUPPER('abc')", r#""ABC""#);
    check("trim(' a ')", r#""a""#);
    check("length(uniqueString('a', 'b'))", "13");
    check("equals(uniqueString('a', 'b'), uniqueString('a', 'b'))", "true");
    check("equals(uniqueString('a', 'b'), uniqueString('ab'))", "false");
    check("length(guid('a'))", "36");
    check("uri('https://example.com/a/b.json', 'c/d.json')", r#""https://example.com/a/c/d.json""#);
    check("uri('https://example.com', 'a')", r#""https://example.com/a""#);
    check("uriComponent('a b/ü')", r#""a%20b%2F%C3%BC""#);
    check("uriComponentToString('a%20b')", r#""a b""#);
    wrong("substring('abc', 1, 3)", "substring ends outside of a text of 3 characters");
    wrong("format('{1}', 'a')", "format takes at least 3 arguments, and has 2");
    wrong("format('{', 'a')", "format has a lone { in its text; two of them stand for one");
    wrong("base64ToString('%')", "base64ToString cannot read its text");
}

#[test]
fn addresses() {
    check("cidrSubnet('10.144.0.0/20', 24, 1)", r#""10.144.1.0/24""#);
    check("first(split(cidrsubnet('10.1.2.0/26', 32, 4), '/'))", r#""10.1.2.4""#);
    check("cidrHost('10.144.3.0/24', 0)", r#""10.144.3.1""#);
    check("cidrHost('2001:db8::/64', 3)", r#""2001:db8::4""#);
    check("parseCidr('10.144.0.9/20').firstUsable", r#""10.144.0.1""#);
    check("parseCidr('10.144.0.0/20').lastUsable", r#""10.144.15.254""#);
    check("parseCidr('10.144.0.0/20').broadcast", r#""10.144.15.255""#);
    check("parseCidr('10.144.0.0/20').cidr", "20");
    check("cidrSubnet('::/0', 128, 1)", r#""::1/128""#);
    wrong("cidrSubnet('::/0', 0, 1)", "cidrSubnet ::/0 has no /0 with number 1");
    wrong("cidrSubnet('10.0.0.0/24', 16, 0)", "cidrSubnet 10.0.0.0/24 has no /16 with number 0");
    wrong("cidrHost('10.0.0.0/30', 4)", "cidrHost 10.0.0.0/30 has no host 4");
    wrong("parseCidr('a')", "parseCidr takes an address range, and not 'a'");
}

#[test]
fn lambdas() {
    check("map(range(0, 3), lambda('i', mul(lambdaVariables('i'), 2)))", "[0,2,4]");
    check(
        "map(createArray('a', 'b'), lambda('x', 'i', concat(lambdaVariables('x'), lambdaVariables('i'))))",
        r#"["a0","b1"]"#,
    );
    check("filter(range(0, 5), lambda('i', greater(lambdaVariables('i'), 2)))", "[3,4]");
    check("reduce(range(1, 4), 0, lambda('a', 'b', add(lambdaVariables('a'), lambdaVariables('b'))))", "10");
    check("sort(createArray(3, 1, 2), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))", "[1,2,3]");
    check("toObject(createArray('a', 'b'), lambda('x', lambdaVariables('x')), lambda('x', 1))", r#"{"a":1,"b":1}"#);
    check(
        "groupBy(createArray('a1', 'b1', 'a2'), lambda('x', first(lambdaVariables('x'))))",
        r#"{"a":["a1","a2"],"b":["b1"]}"#,
    );
    check("mapValues(createObject('a', 1), lambda('x', add(lambdaVariables('x'), 1)))", r#"{"a":2}"#);
    check(
        "map(range(0, 2), lambda('i', map(range(0, 2), lambda('j', add(lambdaVariables('i'), lambdaVariables('j'))))))",
        "[[0,1],[1,2]]",
    );
    wrong("map(range(0, 1), 'a')", "map takes a lambda as argument 2");
    wrong("lambdaVariables('a')", "no lambda around it has a variable named 'a'");
}

#[test]
fn where_it_is_deployed() {
    check("resourceGroup().location", r#""westeurope""#);
    check("resourceGroup().name", r#""egret""#);
    check("subscription().subscriptionId", r#""00000000-0000-0000-0000-000000000000""#);
    check("environment().suffixes.storage", r#""core.windows.net""#);
    check("deployment().name", r#""egret""#);
    let set = [("resourcegroup().NAME", "prod"), ("subscription().subscriptionId", "1")];
    let id = value_of("", "resourceGroup().id", &set);
    assert_eq!(id.as_deref(), Ok(r#""/subscriptions/1/resourceGroups/prod""#));
}

#[test]
fn ids() {
    let group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/egret";
    check(
        "resourceId('Microsoft.Network/ipGroups', 'g')",
        &format!("\"{group}/providers/Microsoft.Network/ipGroups/g\""),
    );
    check("resourceId('s', 'r', 'A.B/c/d', 'x', 'y')", r#""/subscriptions/s/resourceGroups/r/providers/A.B/c/x/d/y""#);
    check("subscriptionResourceId('s', 'A.B/c', 'x')", r#""/subscriptions/s/providers/A.B/c/x""#);
    check("tenantResourceId('A.B/c', 'x')", r#""/providers/A.B/c/x""#);
    check(
        "managementGroupResourceId('m', 'A.B/c', 'x')",
        r#""/providers/Microsoft.Management/managementGroups/m/providers/A.B/c/x""#,
    );
    check("extensionResourceId('/x', 'A.B/c', 'y')", r#""/x/providers/A.B/c/y""#);
    wrong("resourceId('x')", "resourceid takes a type, such as 'Microsoft.Network/ipGroups', and names");
}

#[test]
fn what_is_not_a_function() {
    let note = "the function frobnicate is not known; what it gives is taken as unknown";
    assert_eq!(value_of("", "frobnicate('a')", &[]), Err(note.into()));
    check("newGuid()", "{newGuid()}");
    check("listKeys(resourceId('A.B/c', 'x'), '2020-01-01').key1", "{listKeys(x).key1}");
    wrong("contoso.f('a')", "the template defines no function contoso.f");
}
