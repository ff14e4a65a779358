//! azapi's resources, whose bodies are ARM's own.

use crate::azure::json::{Node, Object, Value, parse};
use crate::azure::shape::build::is_unset;
use crate::policy::Spot;

/// `Microsoft.Network/ipGroups` of `Microsoft.Network/ipGroups@2023-09-01`.
pub(super) fn kind(values: &Node) -> Option<&str> {
    let kind = values.get("type")?.text()?;
    Some(kind.split('@').next().unwrap_or(kind))
}

/// The body as an object: it is a text in azapi 1, an object since 2, and with its type beside it in state files.
pub(super) fn body(object: &Object) -> Option<Node> {
    let body = object.get("body").filter(|body| !is_unset(body))?;
    let body = match body.object() {
        Some(typed) if typed.0.len() == 2 && typed.get("type").is_some() => typed.get("value").unwrap_or(body),
        _ => body,
    };
    let Some(text) = body.text() else { return Some(body.clone()) };
    let mut documents = parse(text, 0).ok()?;
    let mut document = documents.pop().filter(|_| documents.is_empty())?;
    place(&mut document, body.at);
    Some(document)
}

/// What stands in a text stands where the text does.
fn place(node: &mut Node, at: Spot) {
    node.at = at;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| place(item, at)),
        Value::Object(object) => {
            for (key, item) in &mut object.0 {
                key.at = at;
                place(item, at);
            }
        }
        _ => {}
    }
}
