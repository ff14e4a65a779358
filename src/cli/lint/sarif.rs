//! SARIF 2.1.0, as code scanning reads it (OASIS, sarif-v2.1.0): one run, a rule for each check there is.

use std::collections::HashMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::lint::{self, Check, Severity};

use super::report::{Item, Related, Report};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Value,
    column_kind: &'static str,
    results: Vec<Finding>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Value,
    locations: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Value>,
    partial_fingerprints: Value,
}

pub(super) fn log(report: &Report) -> Log {
    let checks: Vec<&Check> = lint::checks().collect();
    let tool = json!({"driver": {
        "name": "egret",
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": checks.iter().map(|check| rule(check)).collect::<Vec<_>>(),
    }});
    let index: HashMap<&str, usize> = checks.iter().enumerate().map(|(at, check)| (check.id, at)).collect();
    let mut seen = HashMap::new();
    let results = report.items.iter().map(|item| finding(item, &index, &mut seen)).collect();
    Log { schema: SCHEMA, version: "2.1.0", runs: [Run { tool, column_kind: "unicodeCodePoints", results }] }
}

/// SARIF's levels go by the names of severities here.
fn rule(check: &Check) -> Value {
    json!({
        "id": check.id,
        "shortDescription": {"text": check.title},
        "fullDescription": {"text": check.why},
        "helpUri": check.source,
        "help": {"text": format!("{} See {} and docs/lint.md#{}.", check.why, check.source, check.id)},
        "defaultConfiguration": {"level": level(check.severity)},
    })
}

fn level(severity: Severity) -> &'static str {
    severity.as_str()
}

fn finding(item: &Item, index: &HashMap<&str, usize>, seen: &mut HashMap<String, usize>) -> Finding {
    let Item { check, severity, mend, what, related, .. } = item;
    let text = match mend {
        Some(mend) => format!("{what}. Mend: {mend}."),
        None => format!("{what}."),
    };
    Finding {
        rule_id: check.id,
        rule_index: index.get(check.id).copied().unwrap_or_default(),
        level: level(*severity),
        message: json!({ "text": text }),
        locations: location(item).into_iter().collect(),
        related_locations: related.iter().enumerate().map(|(at, it)| other(at, it)).collect(),
        partial_fingerprints: json!({"egretFinding/v1": fingerprint(item, seen)}),
    }
}

fn location(item: &Item) -> Option<Value> {
    let mut location = serde_json::Map::new();
    if let Some(file) = &item.origin {
        let mut physical = json!({"artifactLocation": {"uri": uri(file)}});
        if let Some(at) = &item.position {
            let end = at.column + at.width();
            physical["region"] =
                json!({"startLine": at.line, "startColumn": at.column, "endLine": at.line, "endColumn": end});
        }
        location.insert("physicalLocation".to_owned(), physical);
    }
    let mut logical = serde_json::Map::new();
    if !item.subject.is_empty() {
        logical.insert("name".to_owned(), json!(item.subject));
    }
    if let Some(path) = &item.path {
        logical.insert("fullyQualifiedName".to_owned(), json!(path));
    }
    if !logical.is_empty() {
        location.insert("logicalLocations".to_owned(), json!([logical]));
    }
    (!location.is_empty()).then_some(Value::Object(location))
}

fn other(at: usize, related: &Related) -> Value {
    json!({
        "id": at,
        "message": {"text": related.what},
        "physicalLocation": {
            "artifactLocation": {"uri": uri(&related.origin)},
            "region": {"startLine": related.line, "startColumn": related.column},
        },
    })
}

/// A relative reference, or `file:` where the path is absolute (RFC 3986).
fn uri(file: &str) -> String {
    let path = file.replace('\\', "/");
    let path = path.strip_prefix("./").unwrap_or(&path);
    let absolute = path.starts_with('/');
    let mut uri = String::from(if absolute { "file://" } else { "" });
    for byte in path.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~/@+".contains(&byte);
        // A string takes whatever is written to it.
        let _ = if plain { write!(uri, "{}", char::from(byte)) } else { write!(uri, "%{byte:02X}") };
    }
    uri
}

/// The same for the same finding when lines move: by what it is about, not by where it stands.
fn fingerprint(item: &Item, seen: &mut HashMap<String, usize>) -> String {
    let about = item.position.as_ref().map(|at| at.text.as_str()).unwrap_or_default();
    let about = if item.subject.is_empty() { item.what.as_str() } else { about };
    let origin = item.origin.as_deref().unwrap_or_default();
    let key = [item.check.id, origin, &item.subject, about].join("\0");
    let nth = seen.entry(key.clone()).or_default();
    *nth += 1;
    let hash = Sha256::digest(format!("{key}\0{nth}"));
    hash.iter().take(8).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        assert_eq!(uri("./a b/c:d.json"), "a%20b/c%3Ad.json");
        assert_eq!(uri("/a/ü.json"), "file:///a/%C3%BC.json");
        assert_eq!(uri("a\\b.json"), "a/b.json");
    }
}
