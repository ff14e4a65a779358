//! Making and changing nodes. What is made stands where that stood which it was made from.

use crate::azure::json::{Key, Node, Object, Unknown, Value};
use crate::policy::Spot;

pub(super) fn text(value: &str, at: Spot) -> Node {
    Node::new(Value::Text(value.into()), at)
}

pub(super) fn list(items: Vec<Node>, at: Spot) -> Node {
    Node::new(Value::List(items), at)
}

pub(super) fn members(members: Vec<(Key, Node)>, at: Spot) -> Node {
    Node::new(Value::Object(Object(members)), at)
}

/// `{"<name>": value}`.
pub(super) fn single(name: &str, value: Node) -> Node {
    let at = value.at;
    members(vec![(key(name, at), value)], at)
}

pub(super) fn key(name: &str, at: Spot) -> Key {
    Key { name: name.into(), at }
}

/// Adds a member behind the others, so that it is the one that counts.
pub(super) fn set(object: &mut Object, name: &str, value: Node) {
    object.0.push((key(name, value.at), value));
}

/// Takes a member out, with all others of its name.
pub(super) fn take(object: &mut Object, name: &str) -> Option<Node> {
    let found = object.get(name).cloned();
    object.0.retain(|(key, _)| !key.name.eq_ignore_ascii_case(name));
    found
}

/// Gives a member another name, unless there is one of that name.
pub(super) fn rename(object: &mut Object, from: &str, to: &str) {
    if object.get(to).is_some() {
        return;
    }
    for (key, _) in &mut object.0 {
        if key.name.eq_ignore_ascii_case(from) {
            key.name = to.into();
        }
    }
}

pub(super) fn object_mut(node: &mut Node) -> Option<&mut Object> {
    match &mut node.value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

pub(super) fn list_mut(node: &mut Node) -> Option<&mut Vec<Node>> {
    match &mut node.value {
        Value::List(items) => Some(items),
        _ => None,
    }
}

/// A member to be changed where it is.
pub(super) fn get_mut<'o>(object: &'o mut Object, name: &str) -> Option<&'o mut Node> {
    object.0.iter_mut().rev().find(|(key, _)| key.name.eq_ignore_ascii_case(name)).map(|(_, node)| node)
}

/// Null, an empty text and an empty list say nothing.
pub(super) fn is_unset(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        _ => false,
    }
}

/// Azure's names and types are shorter than this. What every child repeats has to be bounded.
const LONGEST: usize = 300;
/// As many unknowns are named of one name.
const MOST_NAMES: usize = 16;

/// The beginning of a text, for what is repeated.
pub(super) fn cut(text: &str) -> &str {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// `parent/leaf`; unknown where either is.
pub(super) fn joined_name(parent: &Node, leaf: &Node) -> Node {
    let shown = format!("{}/{}", cut(shown(parent)), shown(leaf));
    let unknown = [parent, leaf].into_iter().filter_map(|node| match &node.value {
        Value::Unknown(unknown) => Some(unknown.names.clone()),
        _ => None,
    });
    let is_unknown = [parent, leaf].iter().any(|node| matches!(node.value, Value::Unknown(_)));
    let mut names: Vec<_> = unknown.flatten().collect();
    names.dedup();
    names.truncate(MOST_NAMES);
    let value = if is_unknown { unknown_of(names, &shown) } else { Value::Text(shown.into()) };
    Node::new(value, leaf.at)
}

fn unknown_of(names: Vec<std::sync::Arc<str>>, shown: &str) -> Value {
    Value::Unknown(Unknown { names, shown: shown.into() })
}

fn shown(node: &Node) -> &str {
    match &node.value {
        Value::Text(text) => text,
        Value::Number(number) => number,
        Value::Unknown(unknown) => &unknown.shown,
        _ => "",
    }
}
