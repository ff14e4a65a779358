//! The columns of Azure's log tables, from `tests/fixtures/azure-tables.txt`, and whether a record has just these.
//! Shared with the unit tests of `azure`.

use std::collections::BTreeMap;

use serde_json::Value;

const TABLES: &str = include_str!("../../fixtures/azure-tables.txt");

/// Columns and their types, by category.
pub fn tables() -> BTreeMap<&'static str, BTreeMap<&'static str, &'static str>> {
    let mut tables: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut category = "";
    for line in TABLES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, kind] = words[..] else { panic!("not two words: {line}") };
        if line.starts_with(' ') {
            let before = tables.entry(category).or_default().insert(name, kind);
            assert_eq!(before, None, "{category} has {name} twice");
        } else {
            category = kind;
        }
    }
    assert!(tables.len() > 10, "the list is not where it was");
    tables
}

/// Holds a record against the columns of its table: just these, each of its type, and nothing else around them.
pub fn assert_fits(record: &Value) {
    let keys: Vec<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["category", "properties", "resourceId", "time"], "{record}");
    let resource = record["resourceId"].as_str().unwrap();
    assert_eq!(resource, resource.to_ascii_uppercase());
    assert!(is_time(record["time"].as_str().unwrap()), "{record}");
    let category = record["category"].as_str().unwrap();
    let mut columns = tables().remove(category).unwrap_or_else(|| panic!("no table of {category}: {record}"));
    for (name, value) in record["properties"].as_object().unwrap() {
        let kind = columns.remove(name.as_str()).unwrap_or_else(|| panic!("{category} has no {name}: {record}"));
        assert!(is_of(kind, value), "{category}: {name} is no {kind}: {record}");
    }
    assert!(columns.is_empty(), "{category} lacks {columns:?}: {record}");
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "int" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "real" => value.is_number(),
        "bool" => value.is_boolean(),
        other => panic!("no type: {other}"),
    }
}

/// `2023-09-06T14:33:46.8121070Z`
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.0000000Z"
}
