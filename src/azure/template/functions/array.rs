//! Functions that make lists.

use std::collections::HashSet;

use super::super::meter::Stop;
use super::super::value;
use super::Pure;
use super::args::Args;
use super::object::merged;
use crate::azure::json::{Node, Object, Value};

/// Elements of one `range`, as in Azure.
const LONGEST_RANGE: i64 = 10_000;

pub(super) fn function(name: &str) -> Option<Pure> {
    Some(match name {
        "array" => array,
        "createarray" => create_array,
        "flatten" => flatten,
        "intersection" => intersection,
        "union" => union,
        "max" => max,
        "min" => min,
        "range" => range,
        "indexfromend" => index_from_end,
        "tryindexfromend" => try_index_from_end,
        _ => return None,
    })
}

fn array(args: &mut Args<'_>) -> Result<Value, Stop> {
    match args.known(0)? {
        Value::List(items) => args.copies(items),
        _ => create_array(args),
    }
}

fn create_array(args: &mut Args<'_>) -> Result<Value, Stop> {
    let items = args.items;
    args.copies(items.iter().map(|held| &*held.node))
}

fn flatten(args: &mut Args<'_>) -> Result<Value, Stop> {
    let mut all = Vec::new();
    for item in args.list(0)? {
        match &item.value {
            Value::List(items) => {
                for item in items {
                    all.push(args.copy(item)?);
                }
            }
            Value::Unknown(_) => return Err(Stop::Unknown),
            _ => return Err(args.mistyped(0, "a list of lists")),
        }
    }
    Ok(Value::List(all))
}

/// Of lists: what is in all of them; of objects: the members that are the same in all.
fn intersection(args: &mut Args<'_>) -> Result<Value, Stop> {
    if let Value::Object(first) = args.known(0)? {
        return shared_members(first, args);
    }
    let mut kept: Vec<&Node> = args.list(0)?.iter().collect();
    for at in 1..args.len() {
        let other = texts(args.list(at)?, args)?;
        let mut still = Vec::new();
        for node in kept {
            if other.contains(&*known_text(node, args)?) {
                still.push(node);
            }
        }
        kept = still;
    }
    distinct(kept, args)
}

fn shared_members(first: &Object, args: &mut Args<'_>) -> Result<Value, Stop> {
    let mut kept = Vec::new();
    for (key, node) in first.iter() {
        let mut everywhere = true;
        for at in 1..args.len() {
            let other = args.object(at)?.iter().find(|(other, _)| other.name.eq_ignore_ascii_case(&key.name));
            everywhere &= match other.map(|(_, other)| value::equal(&node.value, &other.value)) {
                Some(None) => return Err(Stop::Unknown),
                Some(Some(same)) => same,
                None => false,
            };
        }
        if everywhere {
            kept.push((key.clone(), args.copy(node)?));
        }
    }
    Ok(Value::Object(Object(kept)))
}

/// Of lists: each element once; of objects: the members of all, those of objects within them too.
fn union(args: &mut Args<'_>) -> Result<Value, Stop> {
    if let Value::Object(first) = args.known(0)? {
        let mut all = first.clone();
        for at in 1..args.len() {
            merged(&mut all, args.object(at)?, super::object::Depth::Whole, args)?;
        }
        return Ok(Value::Object(all));
    }
    let mut all = Vec::new();
    for at in 0..args.len() {
        all.extend(args.list(at)?);
    }
    distinct(all, args)
}

/// Each once, those that are unknown as they are.
fn distinct(nodes: Vec<&Node>, args: &mut Args<'_>) -> Result<Value, Stop> {
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for node in nodes {
        if value::has_unknown(node) || seen.insert(args.json(&node.value)?) {
            kept.push(args.copy(node)?);
        }
    }
    Ok(Value::List(kept))
}

fn texts(nodes: &[Node], args: &mut Args<'_>) -> Result<HashSet<std::sync::Arc<str>>, Stop> {
    nodes.iter().map(|node| known_text(node, args)).collect()
}

fn known_text(node: &Node, args: &mut Args<'_>) -> Result<std::sync::Arc<str>, Stop> {
    if value::has_unknown(node) { Err(Stop::Unknown) } else { args.json(&node.value) }
}

fn max(args: &mut Args<'_>) -> Result<Value, Stop> {
    extreme(args)
        .and_then(|numbers| numbers.into_iter().max().map(value::number).ok_or_else(|| args.wrong("takes numbers")))
}

fn min(args: &mut Args<'_>) -> Result<Value, Stop> {
    extreme(args)
        .and_then(|numbers| numbers.into_iter().min().map(value::number).ok_or_else(|| args.wrong("takes numbers")))
}

/// Numbers, or one list of them.
fn extreme(args: &mut Args<'_>) -> Result<Vec<i64>, Stop> {
    if !matches!(args.known(0)?, Value::List(_)) {
        return (0..args.len()).map(|at| args.whole(at)).collect();
    }
    let number = |node: &Node| match &node.value {
        Value::Unknown(_) => Err(Stop::Unknown),
        value => value::integer(value).ok_or_else(|| args.mistyped(0, "a list of whole numbers")),
    };
    args.list(0)?.iter().map(number).collect()
}

fn range(args: &mut Args<'_>) -> Result<Value, Stop> {
    let (start, count) = (args.whole(0)?, args.whole(1)?);
    if !(0..=LONGEST_RANGE).contains(&count) {
        return Err(args.wrong(format!("makes 0 to {LONGEST_RANGE} numbers, and not {count}")));
    }
    let end = start.checked_add(count).ok_or_else(|| args.wrong("goes beyond the largest number"))?;
    (start..end).map(|number| args.made(value::number(number))).collect::<Result<_, _>>().map(Value::List)
}

fn index_from_end(args: &mut Args<'_>) -> Result<Value, Stop> {
    match try_index_from_end(args)? {
        Value::Null => Err(args.wrong(format!("{} is beyond the start of the list", args.whole(1)?))),
        value => Ok(value),
    }
}

/// The last is 1.
fn try_index_from_end(args: &mut Args<'_>) -> Result<Value, Stop> {
    let items = args.list(0)?;
    let at = items.len().checked_sub(args.count(1)?).and_then(|at| items.get(at));
    at.map_or(Ok(Value::Null), |node| args.copy(node).map(|node| node.value))
}
