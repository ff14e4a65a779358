//! Members and elements of values: `.a`, `[0]`, `['a']`, `.?a`.

use std::rc::Rc;
use std::sync::Arc;

use super::eval::Machine;
use super::members::{MOST_COMPARED, find};
use super::meter::Stop;
use super::parse::{Absence, Step};
use super::scope::{Env, Held};
use super::value;
use crate::azure::json::{Node, Unknown, Value};
use crate::flow::nearest;

pub(super) struct Key {
    pub(super) value: Value,
    pub(super) absence: Absence,
}

impl Key {
    /// As an expression writes it.
    fn path(&self) -> String {
        match &self.value {
            Value::Text(name) if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                format!(".{name}")
            }
            Value::Text(name) => format!("['{name}']"),
            other => format!("[{}]", value::argument(other)),
        }
    }
}

impl<'t> Machine<'t> {
    pub(super) fn key(&mut self, step: &Step, env: &Env<'t>) -> Result<Key, Stop> {
        let value = self.eval(&step.key, env)?.value().clone();
        match value {
            Value::Text(_) | Value::Number(_) | Value::Unknown(_) => Ok(Key { value, absence: step.absence }),
            other => {
                let found = Node::new(other, self.at).kind();
                Err(Stop::Wrong(format!("a member's name or an index is expected, and found is {found}")))
            }
        }
    }

    /// What `keys` lead to. Only that is copied.
    pub(super) fn walk(&mut self, held: Held, keys: &[Key]) -> Result<Held, Stop> {
        let mut open: Option<String> = held.open.as_deref().map(str::to_owned);
        let mut node: &Node = &held.node;
        for (at, key) in keys.iter().enumerate() {
            if let Value::Unknown(unknown) = &node.value {
                return self.unknown_member(unknown, &keys[at..]);
            }
            if let Value::Unknown(unknown) = &key.value {
                let shown = format!("{{{}{}}}", value::argument(&node.value), key.path());
                return Ok(self.made(value::unknown_of(unknown.names.clone(), shown)));
            }
            if let Some(path) = &mut open {
                path.push_str(&key.path());
                if let Some(value) = self.set_value(path) {
                    return self.walk(self.made(value), &keys[at + 1..]);
                }
            }
            match child(node, key) {
                Ok(found) => node = found,
                Err(_) if open.is_some() => {
                    let name = open.unwrap_or_default();
                    return self.named(&name, &keys[at + 1..]);
                }
                Err(_) if key.absence == Absence::Null => return Ok(self.made(Value::Null)),
                Err(words) => return Err(Stop::Wrong(words)),
            }
        }
        if std::ptr::eq(node, &*held.node) {
            return Ok(held);
        }
        self.meter.make(value::size(node))?;
        let node = node.clone();
        Ok(Held { node: Rc::new(node), open: open.map(Arc::from) })
    }

    /// What `--set NAME=…` gives for `name` and the members that `keys` ask of it, or an unknown of that name.
    pub(super) fn named(&mut self, name: &str, keys: &[Key]) -> Result<Held, Stop> {
        let mut name = name.to_owned();
        for at in 0..=keys.len() {
            if let Some(value) = self.set_value(&name) {
                return self.walk(self.made(value), &keys[at..]);
            }
            if let Some(key) = keys.get(at) {
                name.push_str(&key.path());
            }
        }
        Ok(self.made(value::unknown(name)))
    }

    fn unknown_member(&mut self, unknown: &Unknown, keys: &[Key]) -> Result<Held, Stop> {
        if let Some(name) = value::name_of(unknown) {
            let name = Arc::clone(name);
            return self.named(&name, keys);
        }
        let path: String = keys.iter().map(Key::path).collect();
        let base = value::argument(&Value::Unknown(unknown.clone()));
        Ok(self.made(value::unknown_of(unknown.names.clone(), format!("{{{base}{path}}}"))))
    }
}

/// A member or an element; in words, why there is none.
fn child<'n>(node: &'n Node, key: &Key) -> Result<&'n Node, String> {
    match (&node.value, &key.value) {
        (Value::Object(object), Value::Text(name)) => find(object, name).map(|(_, node)| node).ok_or_else(|| {
            let names = object.iter().map(|(key, _)| &*key.name).take(MOST_COMPARED);
            match nearest(name, names) {
                Some(near) => format!("an object has no member '{name}', but '{near}'"),
                None => format!("an object has no member '{name}'"),
            }
        }),
        (Value::List(items), Value::Number(_)) => {
            let index = value::integer(&key.value).and_then(|index| usize::try_from(index).ok());
            let found = index.and_then(|index| items.get(index));
            found.ok_or_else(|| format!("a list of {} has no element {}", items.len(), value::argument(&key.value)))
        }
        (_, Value::Text(name)) => Err(format!("{} has no member '{name}'", node.kind())),
        (_, index) => Err(format!("{} has no element {}", node.kind(), value::argument(index))),
    }
}
