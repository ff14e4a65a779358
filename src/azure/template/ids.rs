//! Resource ids, types and names: how they are put together and taken apart, with parts that may be unknown.

use std::sync::Arc;

use super::meter::{Meter, Stop};
use super::scope::{Level, Place};
use super::value::{self, Woven};
use crate::azure::json::Value;

/// What stands before `/providers/` in the ids of a place.
pub(super) fn prefix(place: &Place, meter: &mut Meter) -> Result<Value, Stop> {
    match place.level {
        Level::Group => group_prefix(&place.subscription, &place.group, meter),
        Level::Subscription => subscription_prefix(&place.subscription, meter),
        Level::Tenant => Ok(value::text("")),
    }
}

pub(super) fn subscription_prefix(subscription: &Value, meter: &mut Meter) -> Result<Value, Stop> {
    weave(&[&value::text("/subscriptions/"), subscription], meter)
}

pub(super) fn group_prefix(subscription: &Value, group: &Value, meter: &mut Meter) -> Result<Value, Stop> {
    weave(&[&value::text("/subscriptions/"), subscription, &value::text("/resourceGroups/"), group], meter)
}

pub(super) fn weave(parts: &[&Value], meter: &mut Meter) -> Result<Value, Stop> {
    let mut woven = Woven::default();
    for part in parts {
        woven.push(part, meter)?;
    }
    Ok(woven.finish())
}

/// `PREFIX/providers/Namespace/type/name/type/name`.
pub(super) fn id(prefix: &Value, kind: &str, names: &[Value], meter: &mut Meter) -> Result<Value, Stop> {
    weave(&[prefix, &value::text("/providers/"), &path(kind, names, meter)?], meter)
}

/// `Namespace/type/name/type/name`.
pub(super) fn path(kind: &str, names: &[Value], meter: &mut Meter) -> Result<Value, Stop> {
    let mut woven = Woven::default();
    let mut names = names.iter();
    for (at, part) in kind.split('/').enumerate() {
        woven.push_str(if at == 0 { "" } else { "/" }, meter)?;
        woven.push_str(part, meter)?;
        if let Some(name) = (at > 0).then(|| names.next()).flatten() {
            woven.push_str("/", meter)?;
            woven.push(name, meter)?;
        }
    }
    for name in names {
        woven.push_str("/", meter)?;
        woven.push(name, meter)?;
    }
    Ok(woven.finish())
}

/// The names in `policy/group`. A slash within braces belongs to what is unknown.
pub(super) fn names(name: &Value) -> Vec<Value> {
    match name {
        Value::Text(text) => text.split('/').map(value::text).collect(),
        Value::Unknown(unknown) => pieces(&unknown.shown)
            .into_iter()
            .map(|piece| match piece.contains('{') {
                true => value::unknown_of(unknown.names.clone(), piece.to_owned()),
                false => value::text(piece),
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn pieces(shown: &str) -> Vec<&str> {
    let mut open = 0usize;
    let is_cut = |c: char| {
        match c {
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            _ => {}
        }
        c == '/' && open == 0
    };
    shown.split(is_cut).collect()
}

/// The type and the name of a child, in full. A child of another provider keeps its own.
pub(super) fn of_child(
    parent: (&str, &Value),
    kind: &str,
    name: &Value,
    meter: &mut Meter,
) -> Result<(Arc<str>, Value), Stop> {
    let (parent_kind, parent_name) = parent;
    let is_full = kind.split('/').next().is_some_and(|first| first.contains('.'));
    let full: Arc<str> = if is_full { kind.into() } else { format!("{parent_kind}/{kind}").into() };
    let beneath = full.len() > parent_kind.len() && full.to_lowercase().starts_with(&parent_kind.to_lowercase());
    let is_whole = is_full && names(name).len() > 1;
    if !beneath || is_whole {
        return Ok((full, name.clone()));
    }
    Ok((full, weave(&[parent_name, &value::text("/"), name], meter)?))
}

/// What comes after the last `/providers/`; the whole, where it has none but might be such a path.
pub(super) fn provider_path(id: &str) -> &str {
    let lower = id.to_ascii_lowercase();
    lower.rfind("/providers/").map_or(id, |at| &id[at + "/providers/".len()..])
}

/// The name in an id, `policy/group` for that of a child; what is no id is a name.
pub(super) fn name_in(id: &str) -> String {
    let parts = pieces(provider_path(id));
    let is_path = parts.len() > 2 && parts[0].contains('.');
    if !is_path {
        return id.trim_start_matches('/').to_owned();
    }
    let names: Vec<&str> = parts.iter().skip(2).step_by(2).copied().collect();
    names.join("/")
}
