//! Templates that were written for these tests, and what comes of them.

mod deployments;
mod expressions;
mod functions;
mod hostile;
mod loops;
mod references;
mod unknowns;

use super::meter::Meter;
use super::value::Woven;
use super::*;
use crate::azure::json;

/// The document of one text.
fn node(text: &str) -> Node {
    let mut documents = json::parse(text, 0).unwrap();
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

/// As JSON in one line, where what is unknown stands as it is shown.
fn shown(node: &Node) -> String {
    let mut woven = Woven::default();
    woven.push_json(&node.value, &mut Meter::default()).unwrap();
    match woven.finish() {
        Value::Text(text) => text.to_string(),
        Value::Unknown(unknown) => unknown.shown.to_string(),
        _ => String::new(),
    }
}

fn inputs<'t>(set: &[(&str, &str)]) -> Inputs<'t> {
    let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Inputs { parameters: Vec::new(), set, linked: &|_| None, wanted: &|_| true }
}

fn expanded(template: &str, set: &[(&str, &str)]) -> Expanded {
    let template = node(template);
    let inputs = inputs(set);
    expand(&template, &inputs)
}

/// `type name` of each resource.
fn names(expanded: &Expanded) -> Vec<String> {
    let text = |node: &Node, name: &str| match node.get(name).map(|node| &node.value) {
        Some(Value::Unknown(unknown)) => unknown.shown.to_string(),
        _ => node.get(name).and_then(Node::text).unwrap_or_default().to_owned(),
    };
    let short = |kind: String| kind.replace("Microsoft.Network/", "");
    expanded.resources.iter().map(|node| format!("{} {}", short(text(node, "type")), text(node, "name"))).collect()
}

fn notes(expanded: &Expanded) -> Vec<String> {
    expanded.notes.iter().map(|note| format!("{:?}: {}", note.severity, note.what)).collect()
}

/// The properties of the first resource, which has to be without anything to note.
fn properties(expanded: &Expanded) -> String {
    assert_eq!(notes(expanded), Vec::<String>::new());
    shown(expanded.resources[0].get("properties").unwrap())
}

/// A template with one resource, with these members of the template and this expression in it.
fn template_of(members: &str, expression: &str) -> String {
    let value = expression.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "{{{members} \"contentVersion\": \"1.0.0.0\", \"resources\": [{{\"type\": \"Microsoft.Network/ipGroups\", \
         \"name\": \"g\", \"properties\": {{\"x\": \"[{value}]\"}}}}]}}"
    )
}

fn value_of(members: &str, expression: &str, set: &[(&str, &str)]) -> Result<String, String> {
    let expanded = expanded(&template_of(members, expression), set);
    match expanded.notes.first() {
        Some(note) => Err(note.what.clone()),
        None => Ok(shown(&expanded.resources[0].get("properties").unwrap().object().unwrap().0[0].1)),
    }
}
