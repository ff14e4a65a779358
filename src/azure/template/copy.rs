//! Copy loops: on properties and variables here, on resources in `resources`.

use std::sync::Arc;

use super::eval::Machine;
use super::meter::Stop;
use super::parse::Call;
use super::scope::{Bound, Env, Held, Looped};
use super::value;
use crate::azure::json::{Key, Node, Object, Unknown, Value};
use crate::azure::note::{Note, Severity};

/// Iterations of one loop. Azure allows 800.
const MOST_ITERATIONS: i64 = 100_000;

/// How often a loop goes round.
pub(super) enum Count {
    Known(i64),
    Unknown(Unknown),
}

impl<'t> Machine<'t> {
    /// The members of an object, with those that its `copy` makes in its place.
    pub(super) fn members(&mut self, object: &Object, env: &Env<'t>) -> Vec<(Key, Node)> {
        let mut members = Vec::with_capacity(object.0.len());
        for (key, node) in object.iter() {
            if self.meter.is_spent() {
                break;
            }
            match loops(key, node) {
                Some(loops) => members.extend(loops.iter().filter_map(|each| {
                    let name = each.get("name")?;
                    Some((Key { name: name.text()?.into(), at: name.at }, self.looped(each, env)))
                })),
                None => members.push((key.clone(), self.node(node, env))),
            }
        }
        members
    }

    /// The list that one `{name, count, input}` makes.
    pub(super) fn looped(&mut self, each: &Node, env: &Env<'t>) -> Node {
        let made = |value| Node::new(value, each.at);
        let Some(input) = each.get("input") else {
            self.note(Note::new(Severity::Error, each.at, "a copy loop has no input"));
            return made(value::wrong("copy"));
        };
        match self.count(each, env) {
            Some(Count::Known(count)) => {
                let name: Arc<str> = each.get("name").and_then(Node::text).unwrap_or_default().into();
                let mut items = Vec::new();
                for index in 0..count {
                    if self.meter.call().is_err() {
                        break;
                    }
                    let bound = Bound::Loop { name: Arc::clone(&name), index, of: Looped::Value };
                    items.push(self.node(input, &env.bind(bound)));
                }
                made(Value::List(items))
            }
            Some(Count::Unknown(unknown)) => made(Value::Unknown(unknown)),
            None => made(value::wrong("copy")),
        }
    }

    /// The `count` of a loop. What is wrong with it has been said.
    pub(super) fn count(&mut self, each: &Node, env: &Env<'t>) -> Option<Count> {
        let Some(written) = each.get("count") else {
            self.note(Note::new(Severity::Error, each.at, "a copy loop has no count"));
            return None;
        };
        let held = self.held(written, env);
        let what = match held.value() {
            Value::Unknown(unknown) if unknown.names.is_empty() => return None,
            Value::Unknown(unknown) => return Some(Count::Unknown(unknown.clone())),
            value => match value::integer(value) {
                Some(count) if (0..=MOST_ITERATIONS).contains(&count) => return Some(Count::Known(count)),
                Some(count) => format!("the count of a copy loop is {count}, and has to be 0 to {MOST_ITERATIONS}"),
                None => format!("the count of a copy loop is {}, and has to be a whole number", held.node.kind()),
            },
        };
        self.note(Note::new(Severity::Error, written.at, what));
        None
    }

    /// `copyIndex()`, `copyIndex(1)`, `copyIndex('loop')`, `copyIndex('loop', 1)`.
    pub(super) fn copy_index(&mut self, call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        let mut name = None;
        let mut offset = 0;
        for argument in &call.arguments {
            match self.eval(argument, env)?.value() {
                Value::Text(text) => name = Some(Arc::clone(text)),
                value => {
                    let wrong = || Stop::Wrong("copyIndex takes the name of a loop and an offset".into());
                    offset = value::integer(value).ok_or_else(wrong)?;
                }
            }
        }
        let index = index(name.as_deref(), env).ok_or_else(|| {
            Stop::Wrong(match &name {
                Some(name) => format!("copyIndex('{name}') stands in no copy loop of that name"),
                None => "copyIndex() stands in no copy loop".into(),
            })
        })?;
        Ok(self.made(value::number(index.saturating_add(offset))))
    }
}

/// The loops of a member that is no property, but says how to make some.
fn loops<'n>(key: &Key, node: &'n Node) -> Option<&'n [Node]> {
    let loops = node.list().filter(|_| key.name.eq_ignore_ascii_case("copy"))?;
    let is_loop =
        |each: &Node| each.get("name").is_some_and(|name| name.text().is_some()) && each.get("count").is_some();
    loops.iter().all(is_loop).then_some(loops)
}

/// Without a name it is the loop of the resource, and of a value where there is none.
fn index(name: Option<&str>, env: &Env<'_>) -> Option<i64> {
    let mut innermost = None;
    for bound in env.bindings() {
        let Bound::Loop { name: looped, index, of } = bound else { continue };
        match name {
            Some(name) if looped.eq_ignore_ascii_case(name) => return Some(*index),
            Some(_) => {}
            None if *of == Looped::Resource => return Some(*index),
            None => innermost = innermost.or(Some(*index)),
        }
    }
    innermost
}
