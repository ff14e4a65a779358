//! Functions over objects.

use std::collections::HashMap;

use super::super::access::Key as Asked;
use super::super::eval::Machine;
use super::super::members::index;
use super::super::meter::Stop;
use super::super::parse::{Absence, Call};
use super::super::scope::{Env, Held};
use super::super::value;
use super::Pure;
use super::args::Args;
use crate::azure::json::{Key, Node, Object, Value};

pub(super) fn function(name: &str) -> Option<Pure> {
    Some(match name {
        "createobject" => create_object,
        "items" => items,
        "objectkeys" => object_keys,
        "shallowmerge" => shallow_merge,
        "json" => json,
        "null" => |_| Ok(Value::Null),
        _ => return None,
    })
}

/// How far the members of two objects are put together.
#[derive(Clone, Copy)]
pub(super) enum Depth {
    Whole,
    Shallow,
}

fn create_object(args: &mut Args<'_>) -> Result<Value, Stop> {
    if !args.len().is_multiple_of(2) {
        return Err(args.wrong("takes names and values in pairs"));
    }
    let mut object = Object::default();
    for at in (0..args.len()).step_by(2) {
        let key = Key { name: args.text(at)?.clone(), at: args.at };
        let node = args.any(at + 1)?;
        object.0.push((key, args.copy(node)?));
    }
    Ok(Value::Object(object))
}

/// `{key, value}` of each member, sorted by name.
fn items(args: &mut Args<'_>) -> Result<Value, Stop> {
    let mut made = Vec::new();
    for (key, node) in sorted(args.object(0)?) {
        let pair = [("key", value::text(key.name.clone())), ("value", args.copy(node)?.value)];
        let pair = value::object(pair, args.at);
        made.push(args.made(pair)?);
    }
    Ok(Value::List(made))
}

fn object_keys(args: &mut Args<'_>) -> Result<Value, Stop> {
    let names = sorted(args.object(0)?);
    names
        .into_iter()
        .map(|(key, _)| args.made(value::text(key.name.clone())))
        .collect::<Result<_, _>>()
        .map(Value::List)
}

fn sorted(object: &Object) -> Vec<&(Key, Node)> {
    let mut members: Vec<&(Key, Node)> = object.iter().collect();
    members.sort_by_cached_key(|(key, _)| key.name.to_lowercase());
    members
}

/// Of one list of objects.
fn shallow_merge(args: &mut Args<'_>) -> Result<Value, Stop> {
    let mut all = Object::default();
    for node in args.list(0)? {
        match &node.value {
            Value::Object(object) => merged(&mut all, object, Depth::Shallow, args)?,
            Value::Unknown(_) => return Err(Stop::Unknown),
            _ => return Err(args.mistyped(0, "a list of objects")),
        }
    }
    Ok(Value::Object(all))
}

/// Puts `from` into `into`, where the later one wins.
pub(super) fn merged(into: &mut Object, from: &Object, depth: Depth, args: &mut Args<'_>) -> Result<(), Stop> {
    let mut places: HashMap<String, usize> = index(into);
    args.meter.work(into.0.len() + from.0.len())?;
    for (key, node) in from.iter() {
        let Some(&at) = places.get(&key.name.to_lowercase()) else {
            places.insert(key.name.to_lowercase(), into.0.len());
            into.0.push((key.clone(), args.copy(node)?));
            continue;
        };
        match (&mut into.0[at].1.value, &node.value, depth) {
            (Value::Object(into), Value::Object(from), Depth::Whole) => merged(into, from, depth, args)?,
            (into, _, _) => *into = args.copy(node)?.value,
        }
    }
    Ok(())
}

fn json(args: &mut Args<'_>) -> Result<Value, Stop> {
    let text = match args.known(0)? {
        Value::Text(text) => text,
        other => return Ok(other.clone()),
    };
    let value = value::from_json(text, args.at).map_err(|words| args.wrong(format!("takes JSON: {words}")))?;
    args.made(value).map(|node| node.value)
}

impl<'t> Machine<'t> {
    /// `tryGet(value, key, key)`: null where there is none.
    pub(super) fn try_get(&mut self, call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        let mut arguments = self.arguments(call, env)?;
        if arguments.len() < 2 {
            return Err(Stop::Wrong("tryGet takes a value and names or indexes".into()));
        }
        let keys = arguments.split_off(1);
        let key = |held: Held| Asked { value: held.value().clone(), absence: Absence::Null };
        let keys: Vec<Asked> = keys.into_iter().map(key).collect();
        let Some(base) = arguments.pop() else { return Ok(self.made(Value::Null)) };
        self.walk(base, &keys)
    }
}
