//! JSON as text again, for what is kept and not understood.

use std::fmt::Write as _;

use crate::azure::json::{Node, Value};

/// On one line; what only Azure knows is a text as far as it is known.
pub(super) fn compact(node: &Node) -> String {
    let mut text = String::new();
    write(node, &mut text);
    text
}

fn write(node: &Node, to: &mut String) {
    match &node.value {
        Value::Null => to.push_str("null"),
        Value::Bool(flag) => {
            let _ = write!(to, "{flag}");
        }
        Value::Number(number) => to.push_str(number),
        Value::Text(text) => quoted(text, to),
        Value::Unknown(unknown) => quoted(&unknown.shown, to),
        Value::List(items) => {
            to.push('[');
            separated(items, to, write);
            to.push(']');
        }
        Value::Object(object) => {
            to.push('{');
            separated(&object.0, to, |(key, value), to| {
                quoted(&key.name, to);
                to.push(':');
                write(value, to);
            });
            to.push('}');
        }
    }
}

fn separated<T>(items: &[T], to: &mut String, write: impl Fn(&T, &mut String)) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            to.push(',');
        }
        write(item, to);
    }
}

fn quoted(text: &str, to: &mut String) {
    to.push_str(&serde_json::Value::from(text).to_string());
}

/// Whether anything is set in it: all that is empty, null or false says nothing.
pub(super) fn says_something(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Bool(false) => false,
        Value::Text(text) => !text.is_empty(),
        Value::List(items) => items.iter().any(says_something),
        Value::Object(object) => object.iter().any(|(_, value)| says_something(value)),
        Value::Bool(true) | Value::Number(_) | Value::Unknown(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::json::parse;

    #[test]
    fn json_is_written_as_it_was_read() {
        let text = r#"{"a":[1,true,null,"x\"\n"],"b":{}}"#;
        let node = &parse(text, 0).unwrap()[0];
        assert_eq!(compact(node), text);
        assert!(says_something(node));
        assert!(!says_something(&parse(r#"{"a": [], "b": {"c": false, "d": ""}}"#, 0).unwrap()[0]));
    }
}
