//! A document in the order in which it is written, with places that each format fills in its own way.

use crate::azure::json::{Node, Value};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Null,
    Flag(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Tree>),
    Object(Fields),
    /// The resource id of another resource of the plan.
    Id(Target),
}

pub(super) type Fields = Vec<(String, Tree)>;

/// By its place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    IpGroup(usize),
    Policy(usize),
}

impl Tree {
    pub(super) fn number(value: impl Into<i64>) -> Tree {
        Tree::Number(value.into().to_string())
    }

    pub(super) fn texts(items: impl IntoIterator<Item = String>) -> Tree {
        Tree::List(items.into_iter().map(Tree::Text).collect())
    }

    pub(super) fn of_json(node: &Node) -> Tree {
        match &node.value {
            Value::Null => Tree::Null,
            Value::Bool(flag) => Tree::Flag(*flag),
            Value::Number(number) => Tree::Number(number.to_string()),
            Value::Text(text) => Tree::Text(text.to_string()),
            Value::List(items) => Tree::List(items.iter().map(Tree::of_json).collect()),
            Value::Object(object) => {
                Tree::Object(object.iter().map(|(key, value)| (key.name.to_string(), Tree::of_json(value))).collect())
            }
            Value::Unknown(unknown) => Tree::Text(unknown.shown.to_string()),
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<&Tree> {
        let Tree::Object(fields) = self else { return None };
        field(fields, name)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Tree::Text(text) | Tree::Number(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> &[Tree] {
        match self {
            Tree::List(items) => items,
            _ => &[],
        }
    }

    /// True for what need not be written.
    fn is_empty(&self) -> bool {
        match self {
            Tree::Null => true,
            Tree::List(items) => items.is_empty(),
            Tree::Object(fields) => fields.is_empty(),
            _ => false,
        }
    }

    /// Everything inside with ids and texts rewritten.
    pub(super) fn map(&self, leaf: &dyn Fn(&Tree) -> Tree) -> Tree {
        match self {
            Tree::List(items) => Tree::List(items.iter().map(|item| item.map(leaf)).collect()),
            Tree::Object(fields) => {
                Tree::Object(fields.iter().map(|(key, value)| (key.clone(), value.map(leaf))).collect())
            }
            leaf_value => leaf(leaf_value),
        }
    }

    /// The resources that it names, each once.
    pub(super) fn targets(&self) -> Vec<Target> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect(&self, found: &mut Vec<Target>) {
        match self {
            Tree::Id(target) if !found.contains(target) => found.push(*target),
            Tree::List(items) => items.iter().for_each(|item| item.collect(found)),
            Tree::Object(fields) => fields.iter().for_each(|(_, value)| value.collect(found)),
            _ => {}
        }
    }

    /// JSON over several lines.
    pub(super) fn json(&self) -> String {
        let mut text = String::new();
        self.write_json(0, &mut text);
        text.push('\n');
        text
    }

    fn write_json(&self, depth: usize, text: &mut String) {
        match self {
            Tree::Null | Tree::Id(_) => text.push_str("null"),
            Tree::Flag(flag) => text.push_str(if *flag { "true" } else { "false" }),
            Tree::Number(number) => text.push_str(number),
            Tree::Text(plain) => text.push_str(&json_text(plain)),
            Tree::List(items) => {
                let item = |item: &Tree, text: &mut String| item.write_json(depth + 1, text);
                bracketed(['[', ']'], items, depth, text, item);
            }
            Tree::Object(fields) => bracketed(['{', '}'], fields, depth, text, |(key, value), text| {
                text.push_str(&json_text(key));
                text.push_str(": ");
                value.write_json(depth + 1, text);
            }),
        }
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn bracketed<T>(
    [open, close]: [char; 2],
    items: &[T],
    depth: usize,
    text: &mut String,
    write: impl Fn(&T, &mut String),
) {
    text.push(open);
    for (i, item) in items.iter().enumerate() {
        text.push_str(if i == 0 { "\n" } else { ",\n" });
        text.push_str(&"  ".repeat(depth + 1));
        write(item, text);
    }
    if !items.is_empty() {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    }
    text.push(close);
}

pub(super) fn field<'t>(fields: &'t [(String, Tree)], name: &str) -> Option<&'t Tree> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Collects fields, leaving out what is empty.
#[derive(Debug, Default)]
pub(super) struct Builder(Fields);

impl Builder {
    pub(super) fn put(mut self, name: &str, value: Tree) -> Builder {
        if !value.is_empty() {
            self.0.push((name.to_owned(), value));
        }
        self
    }

    pub(super) fn text(self, name: &str, value: Option<impl Into<String>>) -> Builder {
        self.put(name, value.map_or(Tree::Null, |text| Tree::Text(text.into())))
    }

    pub(super) fn flag(self, name: &str, value: Option<bool>) -> Builder {
        self.put(name, value.map_or(Tree::Null, Tree::Flag))
    }

    pub(super) fn number(self, name: &str, value: Option<u16>) -> Builder {
        self.put(name, value.map_or(Tree::Null, Tree::number))
    }

    pub(super) fn fields(self) -> Fields {
        self.0
    }

    pub(super) fn object(self) -> Tree {
        Tree::Object(self.0)
    }
}
