//! TOML as a person would lay it out: short lists on one line, long ones an item a line.

use std::fmt::Write as _;

/// A list that would be longer than this stands on several lines.
const WIDTH: usize = 100;

/// A file being written. What is None or empty is left out.
#[derive(Default)]
pub(super) struct Page {
    text: String,
    /// A header that is written once something stands under it.
    pending: Option<String>,
}

impl Page {
    /// A table of its own; without a line in it there is none.
    pub(super) fn table(&mut self, path: &str) {
        self.pending = Some(format!("[{path}]"));
    }

    /// The next of a list of tables.
    pub(super) fn tables(&mut self, path: &str) {
        self.pending = Some(format!("[[{path}]]"));
    }

    /// A value that is TOML already.
    pub(super) fn raw(&mut self, key: &str, value: &str) {
        if let Some(header) = self.pending.take() {
            let blank = if self.text.is_empty() { "" } else { "\n" };
            writeln!(self.text, "{blank}{header}").expect("a String takes any text");
        }
        writeln!(self.text, "{key} = {value}").expect("a String takes any text");
    }

    pub(super) fn text(&mut self, key: &str, value: Option<&str>) {
        value.into_iter().for_each(|value| self.raw(key, &quoted(value)));
    }

    pub(super) fn flag(&mut self, key: &str, value: Option<bool>) {
        value.into_iter().for_each(|value| self.raw(key, if value { "true" } else { "false" }));
    }

    pub(super) fn number(&mut self, key: &str, value: Option<u16>) {
        value.into_iter().for_each(|value| self.raw(key, &value.to_string()));
    }

    pub(super) fn list(&mut self, key: &str, items: impl IntoIterator<Item = String>) {
        self.raw_list(key, items.into_iter().map(|item| quoted(&item)));
    }

    /// Of items that are TOML already.
    pub(super) fn raw_list(&mut self, key: &str, items: impl IntoIterator<Item = String>) {
        let items: Vec<String> = items.into_iter().collect();
        if items.is_empty() {
            return;
        }
        let line = format!("[{}]", items.join(", "));
        if key.len() + line.len() <= WIDTH {
            return self.raw(key, &line);
        }
        self.raw(key, &format!("[\n  {},\n]", items.join(",\n  ")));
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
