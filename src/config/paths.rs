//! What a place in a file is called by those who walk its tree: JSON paths, and the keys of TOML.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::azure::json::{self, Node};
use crate::policy::Spot;

/// By its first signs: a TOML file cannot begin with a brace, nor with a bracket around one or around nothing.
pub(super) fn is_json(text: &str) -> bool {
    let text = after_comments(text.trim_start_matches('\u{feff}'));
    let in_list = text.strip_prefix('[').map(after_comments);
    let is_list = in_list.is_some_and(|text| text.starts_with(['{', ']', '"']));
    text.starts_with('{') || is_list || matches!(text.trim_end(), "null" | "true" | "false")
}

/// Comments of JSON; those of TOML begin with `#`.
fn after_comments(text: &str) -> &str {
    let mut text = text.trim_start();
    loop {
        let rest = if let Some(line) = text.strip_prefix("//") {
            line.find('\n').map_or("", |at| &line[at..])
        } else if let Some(block) = text.strip_prefix("/*") {
            block.find("*/").map_or("", |at| &block[at + 2..])
        } else {
            return text;
        };
        text = rest.trim_start();
    }
}

/// The path of what stands at a place of a JSON file.
pub(super) fn in_json(documents: &[Node], spot: Spot) -> Option<String> {
    json::path_of(documents, spot)
}

/// Where everything of a TOML file stands, with its key: `rule_collection_group[0].name`.
#[derive(Debug)]
pub(super) struct Keys(Vec<(Range<usize>, String)>);

impl Keys {
    pub(super) fn of_toml(text: &str) -> Keys {
        let (table, _) = DeTable::parse_recoverable(text);
        let mut keys = Vec::new();
        in_table(table.get_ref(), "", &mut keys);
        keys.retain(|(span, _)| !span.is_empty());
        keys.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
        Keys(keys)
    }

    /// The narrowest value around a place: of those that hold it, the one that begins last.
    pub(super) fn at(&self, span: &Range<usize>) -> Option<&str> {
        let begun = self.0.partition_point(|(at, _)| at.start <= span.start);
        let holds = |(at, _): &&(Range<usize>, String)| span.end <= at.end && at.start <= span.start;
        self.0[..begun].iter().rev().find(holds).map(|(_, key)| key.as_str())
    }
}

fn in_table(table: &DeTable<'_>, path: &str, keys: &mut Vec<(Range<usize>, String)>) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        keys.push((key.span(), path.clone()));
        in_value(value, path, keys);
    }
}

/// What is around comes before what is inside: of two that begin alike the later is the narrower.
fn in_value(value: &Spanned<DeValue<'_>>, path: String, keys: &mut Vec<(Range<usize>, String)>) {
    keys.push((value.span(), path.clone()));
    match value.get_ref() {
        DeValue::Table(table) => in_table(table, &path, keys),
        DeValue::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(at, item)| in_value(item, format!("{path}[{at}]"), keys));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_toml_are_told_apart() {
        for json in ["{", "[{", "\u{feff} {}", "[]", "[ ]", "null", "// c\n{}", "/* c */ [ // d\n {}]", "[\"a\", 1]"] {
            assert!(is_json(json), "{json}");
        }
        for toml in ["", "# c\na = 1", "[a]\nb = 1", "[[a]]", "a = {}", "nullable = 1"] {
            assert!(!is_json(toml), "{toml}");
        }
    }

    #[test]
    fn keys_of_toml() {
        let text = "name = \"x\"\n[[group]]\npriority = 100\n[[group.rule]]\nto = [\"a\", \"b\"]\n";
        let key = |what: &str| {
            let at = text.find(what).unwrap();
            Keys::of_toml(text).at(&(at..at + what.len())).map(str::to_owned)
        };
        assert_eq!(key("\"x\"").as_deref(), Some("name"));
        assert_eq!(key("100").as_deref(), Some("group[0].priority"));
        assert_eq!(key("\"b\"").as_deref(), Some("group[0].rule[0].to[1]"));
        assert_eq!(key("[[group]]").as_deref(), Some("group[0]"));
    }
}
