//! Arithmetic. Numbers are whole; `float` is there to be written out.

use super::super::meter::Stop;
use super::super::value;
use super::Pure;
use super::args::Args;
use crate::azure::json::Value;

pub(super) fn function(name: &str) -> Option<Pure> {
    Some(match name {
        "add" => |args| with(args, i64::checked_add),
        "sub" => |args| with(args, i64::checked_sub),
        "mul" => |args| with(args, i64::checked_mul),
        "div" => |args| with(args, i64::checked_div),
        "mod" => |args| with(args, i64::checked_rem),
        "int" => int,
        "float" => float,
        _ => return None,
    })
}

fn with(args: &mut Args<'_>, operation: fn(i64, i64) -> Option<i64>) -> Result<Value, Stop> {
    let (one, two) = (args.whole(0)?, args.whole(1)?);
    operation(one, two).map(value::number).ok_or_else(|| args.wrong(format!("of {one} and {two} is no number")))
}

fn int(args: &mut Args<'_>) -> Result<Value, Stop> {
    match args.known(0)? {
        Value::Text(text) => {
            let number: Option<i64> = text.trim().parse().ok();
            number.map(value::number).ok_or_else(|| args.wrong(format!("takes a whole number, and not '{text}'")))
        }
        _ => args.whole(0).map(value::number),
    }
}

fn float(args: &mut Args<'_>) -> Result<Value, Stop> {
    let text = match args.known(0)? {
        Value::Text(text) | Value::Number(text) => text,
        _ => return Err(args.mistyped(0, "a number")),
    };
    let number: Option<f64> = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
    let number = number.ok_or_else(|| args.wrong(format!("takes a number, and not '{text}'")))?;
    Ok(Value::Number(number.to_string().into()))
}
