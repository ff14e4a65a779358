//! Functions that make texts.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use super::super::ids;
use super::super::meter::Stop;
use super::super::value::{self, Woven};
use super::Pure;
use super::args::Args;
use super::format::format;
use crate::azure::json::Value;

/// Of `padLeft`.
const LONGEST_PADDED: usize = 1 << 16;

pub(super) fn function(name: &str) -> Option<Pure> {
    Some(match name {
        "base64" => |args| changed(args, |text| Some(BASE64.encode(text))),
        "base64tostring" => |args| changed(args, from_base64),
        "base64tojson" => base64_to_json,
        "datauri" => {
            |args| changed(args, |text| Some(["data:text/plain;charset=utf8;base64,", &BASE64.encode(text)].concat()))
        }
        "datauritostring" => |args| changed(args, from_data_uri),
        "endswith" => |args| compared(args, |text, end| text.ends_with(end)),
        "startswith" => |args| compared(args, |text, start| text.starts_with(start)),
        "format" => format,
        "guid" => guid,
        "join" => join,
        "padleft" => pad_left,
        "replace" => replace,
        "split" => split,
        "string" => string,
        "substring" => substring,
        "tolower" => |args| changed(args, |text| Some(text.to_lowercase())),
        "toupper" => |args| changed(args, |text| Some(text.to_uppercase())),
        "trim" => |args| changed(args, |text| Some(text.trim().to_owned())),
        "uniquestring" => unique_string,
        "uri" => uri,
        "uricomponent" => |args| changed(args, |text| Some(escaped(text))),
        "uricomponenttostring" => |args| changed(args, unescaped),
        _ => return None,
    })
}

fn changed(args: &mut Args<'_>, change: fn(&str) -> Option<String>) -> Result<Value, Stop> {
    let text = args.text(0)?;
    let made = change(text).ok_or_else(|| args.wrong("cannot read its text"))?;
    args.text_of(made)
}

/// In any letter case, as Azure does it.
fn compared(args: &mut Args<'_>, holds: fn(&str, &str) -> bool) -> Result<Value, Stop> {
    Ok(Value::Bool(holds(&args.text(0)?.to_lowercase(), &args.text(1)?.to_lowercase())))
}

fn from_base64(text: &str) -> Option<String> {
    String::from_utf8(BASE64.decode(text.trim()).ok()?).ok()
}

fn base64_to_json(args: &mut Args<'_>) -> Result<Value, Stop> {
    let text = from_base64(args.text(0)?).ok_or_else(|| args.wrong("cannot read its text"))?;
    let value = value::from_json(&text, args.at).map_err(|words| args.wrong(words))?;
    args.made(value).map(|node| node.value)
}

fn from_data_uri(text: &str) -> Option<String> {
    let (kind, data) = text.strip_prefix("data:")?.split_once(',')?;
    if kind.ends_with(";base64") { from_base64(data) } else { unescaped(data) }
}

fn join(args: &mut Args<'_>) -> Result<Value, Stop> {
    let (items, between) = (args.list(0)?, args.any(1)?);
    let mut woven = Woven::default();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            woven.push(&between.value, args.meter)?;
        }
        woven.push(&item.value, args.meter)?;
    }
    Ok(woven.finish())
}

fn pad_left(args: &mut Args<'_>) -> Result<Value, Stop> {
    let text = match args.known(0)? {
        Value::Number(number) => number,
        _ => args.text(0)?,
    };
    let width = args.count(1)?;
    let pad = if args.len() > 2 { args.text(2)?.chars().next() } else { Some(' ') };
    let missing = width.saturating_sub(text.chars().count());
    if missing > LONGEST_PADDED {
        return Err(args.wrong("takes a shorter length"));
    }
    let padding: String = std::iter::repeat_n(pad.unwrap_or(' '), missing).collect();
    args.text_of(padding + text)
}

fn replace(args: &mut Args<'_>) -> Result<Value, Stop> {
    let (text, from, to) = (args.text(0)?, args.text(1)?, args.text(2)?);
    if from.is_empty() {
        return Err(args.wrong("takes a text to replace, and this is empty"));
    }
    let mut woven = Woven::default();
    for (at, part) in text.split(&**from).enumerate() {
        woven.push_str(if at == 0 { "" } else { to }, args.meter)?;
        woven.push_str(part, args.meter)?;
    }
    Ok(woven.finish())
}

/// By one text, or by any of a list of them.
fn split(args: &mut Args<'_>) -> Result<Value, Stop> {
    let text = args.text(0)?;
    let mut cuts: Vec<&str> = Vec::new();
    match args.known(1)? {
        Value::List(items) => {
            for item in items {
                cuts.push(item.text().ok_or_else(|| args.mistyped(1, "a text or a list of them"))?);
            }
        }
        _ => cuts.push(args.text(1)?),
    }
    cuts.retain(|cut| !cut.is_empty());
    args.meter.work(text.len() / 8 * cuts.len().max(1))?;
    let parts = parts(text, &cuts);
    args.meter.make_text(text.len())?;
    parts.into_iter().map(|part| args.made(value::text(part))).collect::<Result<_, _>>().map(Value::List)
}

fn parts<'a>(text: &'a str, cuts: &[&str]) -> Vec<&'a str> {
    if let [cut] = cuts {
        return text.split(cut).collect();
    }
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(c) = text[at..].chars().next() {
        match cuts.iter().find(|cut| text[at..].starts_with(**cut)) {
            Some(cut) => {
                parts.push(&text[from..at]);
                at += cut.len();
                from = at;
            }
            None => at += c.len_utf8(),
        }
    }
    parts.push(&text[from..]);
    parts
}

fn string(args: &mut Args<'_>) -> Result<Value, Stop> {
    let node = args.any(0)?;
    let mut woven = Woven::default();
    woven.push(&node.value, args.meter)?;
    Ok(woven.finish())
}

fn substring(args: &mut Args<'_>) -> Result<Value, Stop> {
    let text = args.text(0)?;
    let all = text.chars().count();
    let start = args.whole(1)?;
    let start = usize::try_from(start).ok().filter(|start| *start <= all);
    let start = start.ok_or_else(|| args.wrong(format!("starts outside of a text of {all} characters")))?;
    let length = match args.items.get(2) {
        Some(_) => usize::try_from(args.whole(2)?).ok(),
        None => Some(all - start),
    };
    let length = length.filter(|length| *length <= all - start);
    let length = length.ok_or_else(|| args.wrong(format!("ends outside of a text of {all} characters")))?;
    args.text_of(text.chars().skip(start).take(length).collect::<String>())
}

/// Of the right shape and the same for the same arguments, but not what Azure gives: its hash is not published.
fn unique_string(args: &mut Args<'_>) -> Result<Value, Stop> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest = digest(args)?;
    let made: String = digest.iter().take(13).map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    args.text_of(made)
}

/// Of the right shape and the same for the same arguments, but not what Azure gives.
fn guid(args: &mut Args<'_>) -> Result<Value, Stop> {
    let mut digest = digest(args)?;
    digest[6] = digest[6] & 0x0f | 0x50;
    digest[8] = digest[8] & 0x3f | 0x80;
    let mut made = String::new();
    for (at, byte) in digest.iter().take(16).enumerate() {
        let _ = write!(made, "{}{byte:02x}", if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" });
    }
    args.text_of(made)
}

fn digest(args: &mut Args<'_>) -> Result<[u8; 32], Stop> {
    let mut hash = Sha256::new();
    args.known(0)?;
    for at in 0..args.len() {
        hash.update(args.text(at)?.as_bytes());
        hash.update([0]);
    }
    Ok(hash.finalize().into())
}

/// A relative address against a base, whose last part it replaces unless that ends in a slash.
fn uri(args: &mut Args<'_>) -> Result<Value, Stop> {
    let (base, relative) = (args.any(0)?, args.any(1)?);
    let (Value::Text(base), Value::Text(relative)) = (&base.value, &relative.value) else {
        args.known(0).or_else(|stop| if stop == Stop::Unknown { Ok(&Value::Null) } else { Err(stop) })?;
        return ids::weave(&[&base.value, &value::text("/"), &relative.value], args.meter);
    };
    args.text_of(resolved(base, relative))
}

fn resolved(base: &str, relative: &str) -> String {
    if relative.contains("://") {
        return relative.to_owned();
    }
    let path = base.find("://").map_or(0, |at| at + 3);
    let path = base[path..].find('/').map_or(base.len(), |at| path + at);
    let (host, path) = base.split_at(path);
    if relative.starts_with('/') {
        return [host, relative].concat();
    }
    let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
    [host, folder, relative].concat()
}

fn escaped(text: &str) -> String {
    let mut made = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            made.push(char::from(byte));
        } else {
            let _ = write!(made, "%{byte:02X}");
        }
    }
    made
}

fn unescaped(text: &str) -> Option<String> {
    let mut made = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            made.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        made.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(made).ok()
}
