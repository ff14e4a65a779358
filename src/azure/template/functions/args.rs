//! The arguments of a pure function, of the types that it takes.

use std::sync::Arc;

use super::super::meter::{Meter, Stop};
use super::super::scope::Held;
use super::super::value::{self, Woven};
use crate::azure::json::{Node, Object, Value};
use crate::policy::Spot;

pub(super) struct Args<'a> {
    /// As the expression writes it.
    pub(super) name: &'a str,
    pub(super) items: &'a [Held],
    pub(super) meter: &'a mut Meter,
    pub(super) at: Spot,
}

impl<'a> Args<'a> {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// An argument that may be unknown.
    pub(super) fn any(&self, at: usize) -> Result<&'a Node, Stop> {
        let found = self.items.get(at).map(|held| &*held.node);
        found.ok_or_else(|| self.wrong(format!("takes at least {} arguments, and has {}", at + 1, self.items.len())))
    }

    pub(super) fn known(&self, at: usize) -> Result<&'a Value, Stop> {
        match &self.any(at)?.value {
            Value::Unknown(_) => Err(Stop::Unknown),
            value => Ok(value),
        }
    }

    pub(super) fn text(&self, at: usize) -> Result<&'a Arc<str>, Stop> {
        match self.known(at)? {
            Value::Text(text) => Ok(text),
            _ => Err(self.mistyped(at, "a text")),
        }
    }

    pub(super) fn whole(&self, at: usize) -> Result<i64, Stop> {
        value::integer(self.known(at)?).ok_or_else(|| self.mistyped(at, "a whole number"))
    }

    /// A whole number, with those below nought taken for it.
    pub(super) fn count(&self, at: usize) -> Result<usize, Stop> {
        Ok(usize::try_from(self.whole(at)?).unwrap_or(0))
    }

    pub(super) fn list(&self, at: usize) -> Result<&'a [Node], Stop> {
        match self.known(at)? {
            Value::List(items) => Ok(items),
            _ => Err(self.mistyped(at, "a list")),
        }
    }

    pub(super) fn object(&self, at: usize) -> Result<&'a Object, Stop> {
        match self.known(at)? {
            Value::Object(object) => Ok(object),
            _ => Err(self.mistyped(at, "an object")),
        }
    }

    pub(super) fn wrong(&self, what: impl std::fmt::Display) -> Stop {
        Stop::Wrong(format!("{} {what}", self.name))
    }

    pub(super) fn mistyped(&self, at: usize, expected: &str) -> Stop {
        let kind = self.items.get(at).map_or("nothing", |held| held.node.kind());
        self.wrong(format!("takes {expected} as argument {}, and this is {kind}", at + 1))
    }

    /// What an element costs is paid before it is copied.
    pub(super) fn copy(&mut self, node: &Node) -> Result<Node, Stop> {
        self.meter.make(value::size(node))?;
        Ok(node.clone())
    }

    pub(super) fn copies<'n>(&mut self, nodes: impl IntoIterator<Item = &'n Node>) -> Result<Value, Stop> {
        nodes.into_iter().map(|node| self.copy(node)).collect::<Result<_, _>>().map(Value::List)
    }

    pub(super) fn made(&mut self, value: Value) -> Result<Node, Stop> {
        self.meter.make(1)?;
        Ok(Node::new(value, self.at))
    }

    /// A new text.
    pub(super) fn text_of(&mut self, text: impl Into<Arc<str>>) -> Result<Value, Stop> {
        let text = text.into();
        self.meter.make_text(text.len())?;
        Ok(Value::Text(text))
    }

    /// The JSON of a value, by which equal ones are told from others.
    pub(super) fn json(&mut self, value: &Value) -> Result<Arc<str>, Stop> {
        let mut woven = Woven::default();
        woven.push_json(value, self.meter)?;
        Ok(value::reading(&woven.finish()).unwrap_or_default().into())
    }

    /// What it costs to compare each of `items` with a value.
    pub(super) fn charge_search(&mut self, items: &[Node], sought: &Value) -> Result<(), Stop> {
        let each = match sought {
            Value::List(_) | Value::Object(_) => items.iter().map(value::size).sum(),
            _ => items.len(),
        };
        self.meter.work(each)
    }

    /// What a look at all of the arguments costs.
    pub(super) fn charge(&mut self) -> Result<(), Stop> {
        let size = |held: &Held| match &held.node.value {
            Value::Text(text) => text.len() / 16,
            Value::List(items) => items.len(),
            Value::Object(object) => object.0.len(),
            _ => 1,
        };
        let size = self.items.iter().map(size).sum();
        self.meter.work(size)
    }
}
