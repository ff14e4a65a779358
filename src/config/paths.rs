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

/// The key of what stands at a place of a TOML file: `rule_collection_group[0].name`.
pub(super) fn in_toml(text: &str, span: &Range<usize>) -> Option<String> {
    let (table, _) = DeTable::parse_recoverable(text);
    let mut best = None;
    in_table(table.get_ref(), "", span, &mut best);
    best.map(|(_, key)| key)
}

/// The narrowest value around a place, by the length of its text.
type Best = Option<(usize, String)>;

fn in_table(table: &DeTable<'_>, path: &str, span: &Range<usize>, best: &mut Best) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        offer(&key.span(), &path, span, best);
        in_value(value, &path, span, best);
    }
}

fn in_value(value: &Spanned<DeValue<'_>>, path: &str, span: &Range<usize>, best: &mut Best) {
    offer(&value.span(), path, span, best);
    match value.get_ref() {
        DeValue::Table(table) => in_table(table, path, span, best),
        DeValue::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(at, item)| in_value(item, &format!("{path}[{at}]"), span, best));
        }
        _ => {}
    }
}

fn offer(at: &Range<usize>, path: &str, span: &Range<usize>, best: &mut Best) {
    let holds = at.start <= span.start && span.end <= at.end && !at.is_empty();
    let length = at.end - at.start;
    if holds && best.as_ref().is_none_or(|(shortest, _)| length <= *shortest) {
        *best = Some((length, path.to_owned()));
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
            in_toml(text, &(at..at + what.len()))
        };
        assert_eq!(key("\"x\"").as_deref(), Some("name"));
        assert_eq!(key("100").as_deref(), Some("group[0].priority"));
        assert_eq!(key("\"b\"").as_deref(), Some("group[0].rule[0].to[1]"));
        assert_eq!(key("[[group]]").as_deref(), Some("group[0]"));
    }
}
