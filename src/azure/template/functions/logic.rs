//! Conditions and comparisons. An argument that does not matter is not evaluated.

use std::cmp::Ordering;

use super::super::eval::Machine;
use super::super::meter::Stop;
use super::super::parse::{Call, Expr};
use super::super::scope::{Env, Held};
use super::super::value;
use super::Pure;
use super::args::Args;
use crate::azure::json::Value;

pub(super) fn function(name: &str) -> Option<Pure> {
    Some(match name {
        "not" => not,
        "bool" => bool_of,
        "true" => |_| Ok(Value::Bool(true)),
        "false" => |_| Ok(Value::Bool(false)),
        "equals" => equals,
        "less" => |args| ordered(args, Ordering::is_lt),
        "lessorequals" => |args| ordered(args, Ordering::is_le),
        "greater" => |args| ordered(args, Ordering::is_gt),
        "greaterorequals" => |args| ordered(args, Ordering::is_ge),
        _ => return None,
    })
}

fn not(args: &mut Args<'_>) -> Result<Value, Stop> {
    truth(args.known(0)?).map(|flag| Value::Bool(!flag)).ok_or_else(|| args.mistyped(0, "true or false"))
}

fn bool_of(args: &mut Args<'_>) -> Result<Value, Stop> {
    let value = args.known(0)?;
    let number = value::integer(value).or_else(|| value_text(value)?.parse().ok()).map(|number| number != 0);
    truth(value).or(number).map(Value::Bool).ok_or_else(|| args.mistyped(0, "true or false"))
}

fn value_text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn equals(args: &mut Args<'_>) -> Result<Value, Stop> {
    let (one, two) = (args.any(0)?, args.any(1)?);
    args.meter.work(value::size(one).min(value::size(two)))?;
    value::equal(&one.value, &two.value).map(Value::Bool).ok_or(Stop::Unknown)
}

fn ordered(args: &mut Args<'_>, holds: fn(Ordering) -> bool) -> Result<Value, Stop> {
    let ordering = match (args.known(0)?, args.known(1)?) {
        (Value::Text(one), Value::Text(two)) => Some(one.cmp(two)),
        (one, two) => match (value::integer(one), value::integer(two)) {
            (Some(one), Some(two)) => Some(one.cmp(&two)),
            _ => value::float(one).zip(value::float(two)).and_then(|(one, two)| one.partial_cmp(&two)),
        },
    };
    ordering.map(|ordering| Value::Bool(holds(ordering))).ok_or_else(|| args.wrong("takes two numbers or two texts"))
}

impl<'t> Machine<'t> {
    pub(super) fn logic(&mut self, name: &str, call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        match name {
            "if" => self.if_else(call, env),
            "and" => self.chained(call, env, false),
            "or" => self.chained(call, env, true),
            _ => self.coalesce(call, env),
        }
    }

    fn if_else(&mut self, call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        let [condition, then, other] = call.arguments.as_slice() else {
            return Err(Stop::Wrong("if takes a condition and two values".into()));
        };
        let condition = self.eval(condition, env)?;
        match condition.value() {
            Value::Unknown(_) => self.either(call, condition, then, other, env),
            value => match truth(value) {
                Some(true) => self.eval(then, env),
                Some(false) => self.eval(other, env),
                None => Err(Stop::Wrong(format!("if takes true or false, and this is {}", condition.node.kind()))),
            },
        }
    }

    /// Both, where the condition is not known; it does not matter where they are the same.
    fn either(&mut self, call: &Call, condition: Held, then: &Expr, other: &Expr, env: &Env<'t>) -> Result<Held, Stop> {
        let (then, other) = (self.eval(then, env)?, self.eval(other, env)?);
        self.meter.work(value::size(&then.node).min(value::size(&other.node)))?;
        if value::equal(then.value(), other.value()) == Some(true) {
            return Ok(then);
        }
        let shown = self.unknown_call(&call.name, &[condition.clone(), then, other]);
        let (Value::Unknown(of), Value::Unknown(whole)) = (condition.value(), shown.value()) else { return Ok(shown) };
        Ok(self.made(value::unknown_of(of.names.clone(), whole.shown.to_string())))
    }

    /// `and` and `or`: one that is `decisive` decides, even if others are unknown.
    fn chained(&mut self, call: &Call, env: &Env<'t>, decisive: bool) -> Result<Held, Stop> {
        let mut unknown = Vec::new();
        for argument in &call.arguments {
            let held = self.eval(argument, env)?;
            match truth(held.value()) {
                Some(flag) if flag == decisive => return Ok(self.made(Value::Bool(decisive))),
                Some(_) => {}
                None if matches!(held.value(), Value::Unknown(_)) => unknown.push(held),
                None => {
                    let found = held.node.kind();
                    return Err(Stop::Wrong(format!("{} takes true or false, and this is {found}", call.name)));
                }
            }
        }
        match unknown.as_slice() {
            [] => Ok(self.made(Value::Bool(!decisive))),
            [one] => Ok(one.clone()),
            several => Ok(self.unknown_call(&call.name, several)),
        }
    }

    fn coalesce(&mut self, call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        for argument in &call.arguments {
            let held = self.eval(argument, env)?;
            if *held.value() != Value::Null {
                return Ok(held);
            }
        }
        Ok(self.made(Value::Null))
    }
}
