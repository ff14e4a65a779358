//! Bicep: the resources of the template, with symbols for names.

use std::fmt::Write as _;

use super::API_VERSION;
use super::names::Symbols;
use super::plan::{Plan, Policy};
use super::tree::{Fields, Target, Tree};

/// The symbols of the resources.
struct Named {
    ip_groups: Vec<String>,
    policies: Vec<String>,
}

pub(super) fn write(plan: &Plan, remark: Option<&str>) -> String {
    let mut symbols = Symbols::default();
    ["location", "policyName"].iter().for_each(|taken| drop(symbols.take(taken)));
    let mut take = |kind: &str, name: &str| symbols.take(&format!("{kind}_{name}"));
    let ip_groups = plan.ip_groups.iter().map(|group| take("ip_group", &group.name)).collect();
    let policies = plan.policies.iter().map(|policy| take("policy", &policy.name)).collect();
    let named = Named { ip_groups, policies };
    let mut text = remark.map(|remark| format!("// {remark}\n\n")).unwrap_or_default();
    let main = plan.policies.last();
    let location = main.and_then(|policy| policy.location.as_deref());
    let location = location.map_or("resourceGroup().location".to_owned(), quoted);
    writeln!(text, "param location string = {location}").expect("a String takes any text");
    let name = main.map_or("", |policy| &policy.name);
    writeln!(text, "param policyName string = {}", quoted(name)).expect("a String takes any text");
    for (group, symbol) in plan.ip_groups.iter().zip(&named.ip_groups) {
        let properties = vec![("ipAddresses".to_owned(), Tree::texts(group.addresses.iter().cloned()))];
        let lines = [("name", quoted(&group.name)), ("location", "location".to_owned())];
        resource(&mut text, symbol, "Microsoft.Network/ipGroups", &lines, &properties, &named);
    }
    let mut last: Option<String> = None;
    for (number, policy) in plan.policies.iter().enumerate() {
        let is_main = number + 1 == plan.policies.len();
        let name = if is_main { "policyName".to_owned() } else { quoted(&policy.name) };
        write_policy(&mut text, policy, (&named.policies[number], name), last.take().as_deref(), &named);
        for group in &policy.groups {
            let symbol = take("group", &format!("{}_{}", policy.name, group.name));
            let mut lines = vec![("parent", named.policies[number].clone()), ("name", quoted(&group.name))];
            if let Some(last) = &last {
                // Azure changes one group of a policy at a time.
                lines.push(("dependsOn", format!("[\n    {last}\n  ]")));
            }
            let properties = vec![
                ("priority".to_owned(), Tree::number(group.priority)),
                ("ruleCollections".to_owned(), group.rule_collections()),
            ];
            let kind = "Microsoft.Network/firewallPolicies/ruleCollectionGroups";
            resource(&mut text, &symbol, kind, &lines, &properties, &named);
            last = Some(symbol);
        }
    }
    text
}

/// By its symbol and the expression of its name, once what comes before it is there.
fn write_policy(
    text: &mut String,
    policy: &Policy,
    (symbol, name): (&str, String),
    after: Option<&str>,
    named: &Named,
) {
    let mut lines = vec![("name", name), ("location", "location".to_owned())];
    if let Some(after) = after {
        lines.push(("dependsOn", format!("[\n    {after}\n  ]")));
    }
    for (key, value) in &policy.rest {
        lines.push((key, expression(value, 1, named)));
    }
    let kind = "Microsoft.Network/firewallPolicies";
    resource(text, symbol, kind, &lines, &policy.properties, named);
}

fn resource(text: &mut String, symbol: &str, kind: &str, lines: &[(&str, String)], properties: &Fields, named: &Named) {
    writeln!(text, "\nresource {symbol} '{kind}@{API_VERSION}' = {{").expect("a String takes any text");
    for (key, value) in lines {
        writeln!(text, "  {key}: {value}").expect("a String takes any text");
    }
    let properties = expression(&Tree::Object(properties.clone()), 1, named);
    writeln!(text, "  properties: {properties}\n}}").expect("a String takes any text");
}

fn expression(tree: &Tree, depth: usize, named: &Named) -> String {
    let inner = "  ".repeat(depth + 1);
    let outer = "  ".repeat(depth);
    match tree {
        Tree::Null => "null".to_owned(),
        Tree::Flag(flag) => flag.to_string(),
        // There are whole numbers only; others are read from JSON.
        Tree::Number(number) if number.contains(['.', 'e', 'E']) => format!("json('{number}')"),
        Tree::Number(number) => number.clone(),
        Tree::Text(text) => quoted(text),
        Tree::Id(Target::IpGroup(number)) => format!("{}.id", named.ip_groups[*number]),
        Tree::Id(Target::Policy(number)) => format!("{}.id", named.policies[*number]),
        Tree::List(items) if items.is_empty() => "[]".to_owned(),
        Tree::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Tree::List(items) => {
            let lines: String =
                items.iter().map(|item| format!("{inner}{}\n", expression(item, depth + 1, named))).collect();
            format!("[\n{lines}{outer}]")
        }
        Tree::Object(fields) => {
            let line = |(key, value): &(String, Tree)| {
                format!("{inner}{}: {}\n", key_text(key), expression(value, depth + 1, named))
            };
            let lines: String = fields.iter().map(line).collect();
            format!("{{\n{lines}{outer}}}")
        }
    }
}

fn key_text(key: &str) -> String {
    let mut letters = key.chars();
    let first = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let plain = first && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { key.to_owned() } else { quoted(key) }
}

/// Single quotes, with `\` before what would end the text or begin an expression.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '\'' => quoted.push_str("\\'"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '$' if letters.peek() == Some(&'{') => quoted.push_str("\\$"),
            c if c.is_control() => write!(quoted, "\\u{{{:x}}}", u32::from(c)).expect("a String takes any text"),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let check = |text: &str, expected: &str| assert_eq!(quoted(text), expected);
        check("it's", r"'it\'s'");
        check(r"a\b", r"'a\\b'");
        check("a\nb\tc\rd", r"'a\nb\tc\rd'");
        check("${x} $y $", r"'\${x} $y $'");
        check("\u{1}", r"'\u{1}'");
    }
}
