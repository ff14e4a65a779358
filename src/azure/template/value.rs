//! Values as expressions see them: comparing them when some are unknown, and writing them as text.

use std::fmt::Write as _;
use std::sync::Arc;

use super::meter::{Meter, Stop};
use crate::azure::json::{self, Key, Node, Object, Unknown, Value};
use crate::policy::Spot;

/// Bytes of one text, as of a whole template in Azure.
const LONGEST_TEXT: usize = 4 << 20;
/// Bytes of what is shown of an unknown, and how many names it has at most.
const LONGEST_SHOWN: usize = 1000;
const MOST_NAMES: usize = 64;
/// Ends what was too long to be shown whole.
const CUT: char = '…';

pub(super) fn number(value: impl itoa::Integer) -> Value {
    Value::Number(itoa::Buffer::new().format(value).into())
}

pub(super) fn text(text: impl Into<Arc<str>>) -> Value {
    Value::Text(text.into())
}

/// What `--set NAME=…` gives.
pub(super) fn unknown(name: impl Into<Arc<str>>) -> Value {
    let name = name.into();
    let shown = shortened(format!("{{{name}}}"));
    Value::Unknown(Unknown { names: vec![name], shown })
}

/// The value of an expression that is wrong, which has been said.
pub(super) fn wrong(expression: &str) -> Value {
    Value::Unknown(Unknown { names: Vec::new(), shown: shortened(expression.to_owned()) })
}

pub(super) fn unknown_of(names: Vec<Arc<str>>, shown: String) -> Value {
    Value::Unknown(Unknown { names, shown: shortened(shown) })
}

fn shortened(mut shown: String) -> Arc<str> {
    if shown.len() > LONGEST_SHOWN {
        let end = (0..=LONGEST_SHOWN).rev().find(|end| shown.is_char_boundary(*end));
        shown.truncate(end.unwrap_or(0));
        shown.push(CUT);
    }
    shown.into()
}

/// The name, where nothing but `--set` of it is needed: neither a piece of a text nor the result of a function.
pub(super) fn name_of(unknown: &Unknown) -> Option<&Arc<str>> {
    let [name] = unknown.names.as_slice() else { return None };
    let inside = unknown.shown.strip_prefix('{')?.strip_suffix('}')?;
    (inside == &**name).then_some(name)
}

pub(super) fn add_names(names: &mut Vec<Arc<str>>, more: &[Arc<str>]) {
    for name in more {
        if names.len() < MOST_NAMES && !names.contains(name) {
            names.push(Arc::clone(name));
        }
    }
}

/// The names of all that is unknown in a value, each once.
pub(super) fn names_in(node: &Node, names: &mut Vec<Arc<str>>) {
    match &node.value {
        Value::Unknown(unknown) => add_names(names, &unknown.names),
        Value::List(items) => items.iter().for_each(|item| names_in(item, names)),
        Value::Object(object) => object.iter().for_each(|(_, member)| names_in(member, names)),
        _ => {}
    }
}

pub(super) fn has_unknown(node: &Node) -> bool {
    match &node.value {
        Value::Unknown(_) => true,
        Value::List(items) => items.iter().any(has_unknown),
        Value::Object(object) => object.iter().any(|(_, member)| has_unknown(member)),
        _ => false,
    }
}

/// An argument as it is shown within a call.
pub(super) fn argument(value: &Value) -> String {
    match value {
        Value::Null => "null()".into(),
        Value::Bool(flag) => format!("{flag}()"),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => format!("'{text}'"),
        Value::List(_) => "[…]".into(),
        Value::Object(_) => "{…}".into(),
        Value::Unknown(unknown) => inside(&unknown.shown).map_or_else(|| format!("'{}'", unknown.shown), str::to_owned),
    }
}

/// What stands in the braces, where nothing stands outside of them.
fn inside(shown: &str) -> Option<&str> {
    let inside = shown.strip_prefix('{')?.strip_suffix('}')?;
    let mut open = 0i32;
    let is_closed_early = inside.chars().any(|c| {
        open += i32::from(c == '{') - i32::from(c == '}');
        open < 0
    });
    (!is_closed_early).then_some(inside)
}

/// The text of an unknown or known text: two that read the same are the same, as they come from the same expression.
pub(super) fn reading(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Unknown(unknown) if !unknown.names.is_empty() && !unknown.shown.ends_with(CUT) => Some(&unknown.shown),
        _ => None,
    }
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.parse().ok().or_else(|| whole(number)),
        _ => None,
    }
}

/// `1e3` and `2.0` are whole numbers too.
#[allow(clippy::cast_possible_truncation, reason = "its size is looked at first")]
fn whole(number: &str) -> Option<i64> {
    let number: f64 = number.parse().ok()?;
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

pub(super) fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.parse().ok(),
        _ => None,
    }
}

/// Whether two values are equal; None where that depends on what is unknown. Texts differ by letter case.
pub(super) fn equal(one: &Value, two: &Value) -> Option<bool> {
    match (one, two) {
        (Value::Unknown(_), _) | (_, Value::Unknown(_)) => None,
        (Value::Number(one_text), Value::Number(two_text)) => {
            Some(one_text == two_text || float(one).zip(float(two)).is_some_and(|(one, two)| one == two))
        }
        (Value::List(one), Value::List(two)) if one.len() == two.len() => {
            all(one.iter().zip(two).map(|(one, two)| equal(&one.value, &two.value)))
        }
        (Value::Object(one), Value::Object(two)) if one.0.len() == two.0.len() => {
            let index = super::members::index(two);
            let member = |name: &str| index.get(&*name.to_lowercase()).map(|at| &two.0[*at].1);
            all(one.iter().map(|(key, node)| member(&key.name).map_or(Some(false), |to| equal(&node.value, &to.value))))
        }
        (Value::List(_), _) | (Value::Object(_), _) => Some(false),
        (one, two) => Some(one == two),
    }
}

/// Whether all are true: one that is false decides, whatever the others are.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut known = Some(true);
    for part in parts {
        match part {
            Some(false) => return Some(false),
            Some(true) => {}
            None => known = None,
        }
    }
    known
}

/// How many values there are in it.
pub(super) fn size(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(object) => 1 + object.iter().map(|(_, member)| size(member)).sum::<usize>(),
        _ => 1,
    }
}

pub(super) fn is_deeper(node: &Node, levels: usize) -> bool {
    match &node.value {
        Value::List(items) => levels == 0 || items.iter().any(|item| is_deeper(item, levels - 1)),
        Value::Object(object) => levels == 0 || object.iter().any(|(_, member)| is_deeper(member, levels - 1)),
        _ => false,
    }
}

pub(super) fn move_to(node: &mut Node, at: Spot) {
    node.at = at;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| move_to(item, at)),
        Value::Object(object) => object.0.iter_mut().for_each(|(key, member)| {
            key.at = at;
            move_to(member, at);
        }),
        _ => {}
    }
}

/// The value of a JSON text, all of it standing at `at`.
pub(super) fn from_json(text: &str, at: Spot) -> Result<Value, String> {
    let mut documents = json::parse(text, 0).map_err(|error| error.to_string())?;
    let (Some(mut node), None) = (documents.pop(), documents.pop()) else {
        return Err("not JSON: it is no single value".into());
    };
    move_to(&mut node, at);
    Ok(node.value)
}

pub(super) fn object(members: impl IntoIterator<Item = (&'static str, Value)>, at: Spot) -> Value {
    let member = |(name, value): (&str, Value)| (Key { name: name.into(), at }, Node::new(value, at));
    Value::Object(Object(members.into_iter().map(member).collect()))
}

/// A text that is put together of pieces, some of which may be unknown.
#[derive(Default)]
pub(super) struct Woven {
    text: String,
    names: Vec<Arc<str>>,
    has_unknown: bool,
}

impl Woven {
    pub(super) fn push_str(&mut self, text: &str, meter: &mut Meter) -> Result<(), Stop> {
        meter.make_text(text.len())?;
        if self.text.len() + text.len() > LONGEST_TEXT {
            return Err(Stop::Wrong(format!("the text is longer than {LONGEST_TEXT} bytes")));
        }
        self.text.push_str(text);
        Ok(())
    }

    /// As `string()` writes it.
    pub(super) fn push(&mut self, value: &Value, meter: &mut Meter) -> Result<(), Stop> {
        match value {
            Value::Text(text) => self.push_str(text, meter),
            Value::Number(number) => self.push_str(number, meter),
            Value::Bool(flag) => self.push_str(if *flag { "True" } else { "False" }, meter),
            Value::Null => Ok(()),
            Value::Unknown(unknown) => {
                self.has_unknown = true;
                add_names(&mut self.names, &unknown.names);
                self.push_str(&unknown.shown, meter)
            }
            Value::List(_) | Value::Object(_) => self.push_json(value, meter),
        }
    }

    pub(super) fn push_json(&mut self, value: &Value, meter: &mut Meter) -> Result<(), Stop> {
        match value {
            Value::Null => self.push_str("null", meter),
            Value::Bool(flag) => self.push_str(if *flag { "true" } else { "false" }, meter),
            Value::Number(_) | Value::Unknown(_) => self.push(value, meter),
            Value::Text(text) => self.push_str(&quoted(text), meter),
            Value::List(items) => {
                self.push_str("[", meter)?;
                for (at, item) in items.iter().enumerate() {
                    self.push_str(if at == 0 { "" } else { "," }, meter)?;
                    self.push_json(&item.value, meter)?;
                }
                self.push_str("]", meter)
            }
            Value::Object(object) => {
                self.push_str("{", meter)?;
                for (at, (key, member)) in object.iter().enumerate() {
                    self.push_str(if at == 0 { "" } else { "," }, meter)?;
                    self.push_str(&quoted(&key.name), meter)?;
                    self.push_str(":", meter)?;
                    self.push_json(&member.value, meter)?;
                }
                self.push_str("}", meter)
            }
        }
    }

    /// The text, if all of it is known.
    pub(super) fn finish_known(self) -> Option<String> {
        (!self.has_unknown).then_some(self.text)
    }

    pub(super) fn finish(self) -> Value {
        if self.has_unknown { unknown_of(self.names, self.text) } else { text(self.text) }
    }
}

/// A text as JSON writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
