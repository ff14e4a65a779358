//! Functions over lists, texts and objects alike.

use super::super::eval::Machine;
use super::super::members::find;
use super::super::meter::Stop;
use super::super::parse::Call;
use super::super::scope::{Env, Held};
use super::super::value::{self, Woven};
use super::Pure;
use super::args::Args;
use crate::azure::json::{Node, Value};

pub(super) fn function(name: &str) -> Option<Pure> {
    Some(match name {
        "concat" => concat,
        "empty" => empty,
        "first" => first,
        "last" => last,
        "indexof" => index_of,
        "lastindexof" => last_index_of,
        "length" => length,
        "skip" => skip,
        "take" => take,
        _ => return None,
    })
}

/// Lists with lists, and anything else as text.
fn concat(args: &mut Args<'_>) -> Result<Value, Stop> {
    if args.items.iter().any(|held| matches!(held.value(), Value::List(_))) {
        let mut all = Vec::new();
        for at in 0..args.len() {
            for item in args.list(at)? {
                all.push(args.copy(item)?);
            }
        }
        return Ok(Value::List(all));
    }
    let mut woven = Woven::default();
    for (at, held) in args.items.iter().enumerate() {
        if matches!(held.value(), Value::Object(_)) {
            return Err(args.mistyped(at, "texts or lists"));
        }
        woven.push(held.value(), args.meter)?;
    }
    Ok(woven.finish())
}

fn empty(args: &mut Args<'_>) -> Result<Value, Stop> {
    Ok(Value::Bool(match args.known(0)? {
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Object(object) => object.0.is_empty(),
        _ => return Err(args.mistyped(0, "a list, an object or a text")),
    }))
}

fn first(args: &mut Args<'_>) -> Result<Value, Stop> {
    match args.known(0)? {
        Value::Text(text) => {
            let first = text.chars().next().map(String::from);
            args.text_of(first.unwrap_or_default())
        }
        _ => one(args.list(0)?.first(), args),
    }
}

fn last(args: &mut Args<'_>) -> Result<Value, Stop> {
    match args.known(0)? {
        Value::Text(text) => {
            let last = text.chars().next_back().map(String::from);
            args.text_of(last.unwrap_or_default())
        }
        _ => one(args.list(0)?.last(), args),
    }
}

fn one(found: Option<&Node>, args: &mut Args<'_>) -> Result<Value, Stop> {
    found.map_or(Ok(Value::Null), |node| args.copy(node).map(|node| node.value))
}

/// In texts in any letter case, as Azure does it; -1 where there is none.
fn index_of(args: &mut Args<'_>) -> Result<Value, Stop> {
    if let Value::Text(text) = args.known(0)? {
        let sought = args.text(1)?.to_lowercase();
        let text = text.to_lowercase();
        return Ok(position(text.find(&sought).map(|at| text[..at].chars().count())));
    }
    let (items, sought) = (args.list(0)?, args.known(1)?);
    args.charge_search(items, sought)?;
    for (at, item) in items.iter().enumerate() {
        match value::equal(&item.value, sought) {
            Some(true) => return Ok(position(Some(at))),
            Some(false) => {}
            None => return Err(Stop::Unknown),
        }
    }
    Ok(position(None))
}

fn last_index_of(args: &mut Args<'_>) -> Result<Value, Stop> {
    if let Value::Text(text) = args.known(0)? {
        let sought = args.text(1)?.to_lowercase();
        let text = text.to_lowercase();
        return Ok(position(text.rfind(&sought).map(|at| text[..at].chars().count())));
    }
    let (items, sought) = (args.list(0)?, args.known(1)?);
    args.charge_search(items, sought)?;
    for (at, item) in items.iter().enumerate().rev() {
        match value::equal(&item.value, sought) {
            Some(true) => return Ok(position(Some(at))),
            Some(false) => {}
            None => return Err(Stop::Unknown),
        }
    }
    Ok(position(None))
}

fn position(found: Option<usize>) -> Value {
    found.map_or_else(|| value::number(-1), value::number)
}

fn length(args: &mut Args<'_>) -> Result<Value, Stop> {
    Ok(value::number(match args.known(0)? {
        Value::Text(text) => text.encode_utf16().count(),
        Value::List(items) => items.len(),
        Value::Object(object) => object.0.len(),
        _ => return Err(args.mistyped(0, "a list, an object or a text")),
    }))
}

fn skip(args: &mut Args<'_>) -> Result<Value, Stop> {
    let count = args.count(1)?;
    match args.known(0)? {
        Value::Text(text) => args.text_of(text.chars().skip(count).collect::<String>()),
        _ => {
            let items = args.list(0)?;
            args.copies(items.iter().skip(count))
        }
    }
}

fn take(args: &mut Args<'_>) -> Result<Value, Stop> {
    let count = args.count(1)?;
    match args.known(0)? {
        Value::Text(text) => args.text_of(text.chars().take(count).collect::<String>()),
        _ => {
            let items = args.list(0)?;
            args.copies(items.iter().take(count))
        }
    }
}

impl<'t> Machine<'t> {
    /// What an object of Azure's does not hold here it may hold there.
    pub(super) fn contains(&mut self, call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        let arguments = self.arguments(call, env)?;
        let held = self.apply(contains, &call.name, &arguments)?;
        let is_open = arguments.first().is_some_and(|container| container.open.is_some());
        match held.value() {
            Value::Bool(false) if is_open => self.named(&super::shown_call(&call.name, &arguments), &[]),
            _ => Ok(held),
        }
    }
}

/// An element of a list, a part of a text, or the name of a member in any letter case.
fn contains(args: &mut Args<'_>) -> Result<Value, Stop> {
    let container = args.known(0)?;
    let sought = args.known(1)?;
    match container {
        Value::Text(text) => {
            let mut woven = Woven::default();
            woven.push(sought, args.meter)?;
            Ok(Value::Bool(woven.finish_known().is_some_and(|sought| text.contains(&*sought))))
        }
        Value::Object(object) => Ok(Value::Bool(find(object, args.text(1)?).is_some())),
        Value::Null => Ok(Value::Bool(false)),
        _ => {
            let items = args.list(0)?;
            args.charge_search(items, sought)?;
            is_among(items, sought)
        }
    }
}

fn is_among(items: &[Node], sought: &Value) -> Result<Value, Stop> {
    let mut is_known = true;
    for item in items {
        match value::equal(&item.value, sought) {
            Some(true) => return Ok(Value::Bool(true)),
            Some(false) => {}
            None => is_known = false,
        }
    }
    if is_known { Ok(Value::Bool(false)) } else { Err(Stop::Unknown) }
}
