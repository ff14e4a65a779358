//! What a place in a TOML file is called by those who walk its tree: its key. Paths of JSON are `azure::json`'s.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

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
