//! `format('{0}-{1:D3}', …)`, as .NET formats.

use super::super::meter::Stop;
use super::super::value::{self, Woven};
use super::args::Args;
use crate::azure::json::Value;

const WIDEST: usize = 1024;

pub(super) fn format(args: &mut Args<'_>) -> Result<Value, Stop> {
    let mut rest: &str = args.text(0)?;
    let mut woven = Woven::default();
    while let Some(at) = rest.find(['{', '}']) {
        woven.push_str(&rest[..at], args.meter)?;
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            woven.push_str(brace, args.meter)?;
            rest = after;
            continue;
        }
        let end = rest.find('}').filter(|_| brace == "{");
        let end =
            end.ok_or_else(|| args.wrong(format!("has a lone {brace} in its text; two of them stand for one")))?;
        push_item(&rest[..end], &mut woven, args)?;
        rest = &rest[end + 1..];
    }
    woven.push_str(rest, args.meter)?;
    Ok(woven.finish())
}

/// `0`, `0,5` or `0:D3`.
fn push_item(item: &str, woven: &mut Woven, args: &mut Args<'_>) -> Result<(), Stop> {
    let (place, style) = item.split_once(':').unwrap_or((item, ""));
    let (index, width) = place.split_once(',').unwrap_or((place, "0"));
    let index: Option<usize> = index.trim().parse().ok();
    let width: Option<i64> = width.trim().parse().ok();
    let (Some(index), Some(width)) = (index, width) else {
        return Err(args.wrong(format!("takes numbers in braces, and not {{{item}}}")));
    };
    let node = args.any(index.saturating_add(1))?;
    if let Value::Unknown(_) = &node.value {
        return woven.push(&node.value, args.meter);
    }
    let mut text = Woven::default();
    match styled(&node.value, style) {
        Some(styled) => text.push_str(&styled, args.meter)?,
        None => text.push(&node.value, args.meter)?,
    }
    let text = text.finish();
    woven.push_str(&padded(value::reading(&text).unwrap_or_default(), width), args.meter)
}

/// `D3` and `X2` of whole numbers; other styles leave a value as it is.
fn styled(value: &Value, style: &str) -> Option<String> {
    let number = value::integer(value)?;
    let width: usize = style.get(1..)?.parse().unwrap_or(0).min(WIDEST);
    let sign = if number < 0 { "-" } else { "" };
    match style.chars().next()? {
        'D' | 'd' => Some(format!("{sign}{:0width$}", number.unsigned_abs())),
        'X' => Some(format!("{number:0width$X}")),
        'x' => Some(format!("{number:0width$x}")),
        _ => None,
    }
}

/// To the right for a width above nought, to the left for one below.
fn padded(text: &str, width: i64) -> String {
    let columns = usize::try_from(width.unsigned_abs()).unwrap_or(0).min(WIDEST);
    if width < 0 { format!("{text:<columns$}") } else { format!("{text:>columns$}") }
}
