//! SARIF 2.1.0, as code scanning reads it (OASIS, sarif-v2.1.0): one run of Egret, a rule for each that there is.

use std::collections::HashMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::config::Position;

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
    results: Vec<Written>,
    /// What is said of the whole.
    #[serde(skip_serializing_if = "Value::is_null")]
    properties: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Value,
    locations: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Value>,
    partial_fingerprints: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    properties: Value,
}

/// What may be found.
pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) why: &'static str,
    /// A page that says so.
    pub(super) page: &'static str,
    /// The manual's section.
    pub(super) manual: String,
    pub(super) level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Error,
    Warning,
    Note,
}

/// What was found.
pub(super) struct Found<'a> {
    pub(super) rule: &'static str,
    pub(super) level: Level,
    pub(super) text: String,
    pub(super) file: Option<&'a str>,
    pub(super) position: Option<&'a Position>,
    /// Where in the file's tree.
    pub(super) path: Option<&'a str>,
    pub(super) subject: &'a str,
    pub(super) related: Vec<Related<'a>>,
    /// What tells it from others of the rule and the subject, however the lines around it move.
    pub(super) identity: &'a str,
    /// What SARIF has no word for: its bag of properties.
    pub(super) properties: Value,
}

pub(super) struct Related<'a> {
    pub(super) file: &'a str,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) what: &'a str,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        }
    }
}

pub(super) fn log<'a>(rules: &[Rule], found: impl IntoIterator<Item = Found<'a>>) -> Log {
    let tool = json!({"driver": {
        "name": "egret",
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": rules.iter().map(described).collect::<Vec<_>>(),
    }});
    let index: HashMap<&str, usize> = rules.iter().enumerate().map(|(at, rule)| (rule.id, at)).collect();
    let mut seen = HashMap::new();
    let results = found.into_iter().map(|found| written(&found, &index, &mut seen)).collect();
    let run = Run { tool, column_kind: "unicodeCodePoints", results, properties: Value::Null };
    Log { schema: SCHEMA, version: "2.1.0", runs: [run] }
}

impl Log {
    /// With what is said of the whole.
    pub(super) fn with_properties(mut self, properties: Value) -> Log {
        self.runs[0].properties = properties;
        self
    }
}

fn described(rule: &Rule) -> Value {
    let Rule { id, title, why, page, manual, level } = rule;
    json!({
        "id": id,
        "shortDescription": {"text": title},
        "fullDescription": {"text": why},
        "helpUri": page,
        "help": {"text": format!("{why} See {page} and {manual}.")},
        "defaultConfiguration": {"level": level.as_str()},
    })
}

fn written(found: &Found<'_>, index: &HashMap<&str, usize>, seen: &mut HashMap<String, usize>) -> Written {
    Written {
        rule_id: found.rule,
        rule_index: index.get(found.rule).copied().unwrap_or_default(),
        level: found.level.as_str(),
        message: json!({ "text": found.text }),
        locations: location(found).into_iter().collect(),
        related_locations: found.related.iter().enumerate().map(|(at, it)| other(at, it)).collect(),
        partial_fingerprints: json!({"egretFinding/v1": fingerprint(found, seen)}),
        properties: found.properties.clone(),
    }
}

fn location(found: &Found<'_>) -> Option<Value> {
    let mut location = serde_json::Map::new();
    if let Some(file) = found.file {
        let mut physical = json!({"artifactLocation": {"uri": uri(file)}});
        if let Some(at) = found.position {
            let end = at.column + at.width();
            physical["region"] =
                json!({"startLine": at.line, "startColumn": at.column, "endLine": at.line, "endColumn": end});
        }
        location.insert("physicalLocation".to_owned(), physical);
    }
    let mut logical = serde_json::Map::new();
    if !found.subject.is_empty() {
        logical.insert("name".to_owned(), json!(found.subject));
    }
    if let Some(path) = found.path {
        logical.insert("fullyQualifiedName".to_owned(), json!(path));
    }
    if !logical.is_empty() {
        location.insert("logicalLocations".to_owned(), json!([logical]));
    }
    (!location.is_empty()).then_some(Value::Object(location))
}

fn other(at: usize, related: &Related<'_>) -> Value {
    json!({
        "id": at,
        "message": {"text": related.what},
        "physicalLocation": {
            "artifactLocation": {"uri": uri(related.file)},
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
fn fingerprint(found: &Found<'_>, seen: &mut HashMap<String, usize>) -> String {
    let key = [found.rule, found.file.unwrap_or_default(), found.subject, found.identity].join("\0");
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
