//! Walks a parsed file along the table of options. Keys that are not in it, values of another kind and missing
//! keys are reported once, when a section is opened; so the getters afterwards know what they find.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::policy::Spot;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Findings, Place, Placed, Problem, Source};
use super::options::{CONFIG, Kind, Opt, Presence, Schema};

/// One table of a file.
pub(super) struct Section<'a> {
    source: &'a Arc<Source>,
    table: &'a DeTable<'a>,
    span: Range<usize>,
    schema: &'static Schema,
    /// Its path in the table of options.
    path: &'static str,
    /// Its path in this file, with indices.
    key: String,
}

/// Lines with syntax errors that are told; most of those that come after have come of them.
const BROKEN_LINES: usize = 3;

/// Parses a file. Syntax errors are reported, one for each line, and nothing else is looked at then: what a parser
/// makes of the rest of a broken line is a guess.
pub(super) fn parse<'a>(
    source: &'a Source,
    place: impl Fn(Range<usize>) -> Place,
    findings: &mut Findings,
) -> Option<DeTable<'a>> {
    let (document, errors) = DeTable::parse_recoverable(source.text());
    let end = source.text().len();
    let mut lines = HashSet::new();
    let broken = errors.iter().map(|error| (error.span().unwrap_or(end..end), error.message()));
    // The first error of a line begets the others.
    let broken: Vec<_> = broken.filter(|(span, _)| lines.insert(source.line(span.start))).collect();
    let more = broken.len().saturating_sub(BROKEN_LINES);
    for (nth, (span, message)) in broken.iter().take(BROKEN_LINES).enumerate() {
        let is_last = more > 0 && nth + 1 == BROKEN_LINES;
        let mend = is_last.then(|| format!("these first; {more} more lines cannot be read, and may come of them"));
        findings.error(&place(span.clone()), Problem::new(format!("not TOML: {message}")).maybe_mend(mend));
    }
    errors.is_empty().then(|| document.into_inner())
}

impl<'a> Section<'a> {
    /// The whole file, an `egret.toml`.
    pub(super) fn root(source: &'a Arc<Source>, table: &'a DeTable<'a>, findings: &mut Findings) -> Section<'a> {
        Section::root_of(&CONFIG, source, table, findings)
    }

    pub(super) fn root_of(
        schema: &'static Schema,
        source: &'a Arc<Source>,
        table: &'a DeTable<'a>,
        findings: &mut Findings,
    ) -> Section<'a> {
        let section = Section { source, table, span: 0..0, schema, path: "", key: String::new() };
        section.look_over(findings);
        section
    }

    fn look_over(&self, findings: &mut Findings) {
        let known: Vec<(&str, &Opt)> = self.schema.children(self.path).collect();
        for (key, value) in self.table.iter() {
            let name: &str = key.get_ref();
            match known.iter().find(|(known, _)| *known == name) {
                None => {
                    let problem = Problem::new(format!("`{name}` is no option{}", self.of_what()));
                    let mend = self.schema.mend_key(self.path, name);
                    findings.error(&self.place_of(name, key.span()), problem.maybe_mend(mend));
                }
                Some((_, opt)) => self.check(name, opt, value, findings),
            }
        }
        for (name, opt) in known {
            if opt.presence == Presence::Required && !self.has(name) {
                findings.error(&self.place(), Problem::new(format!("`{name}` is missing{}", self.of_what())));
            }
        }
    }

    fn check(&self, name: &str, opt: &Opt, value: &Spanned<DeValue<'_>>, findings: &mut Findings) {
        let wrong = |found: &Spanned<DeValue<'_>>| {
            let what = format!("`{name}` wants {}, not {}", opt.kind.describe(), describe(found.get_ref()));
            (self.place_of(name, found.span()), Problem::new(what))
        };
        let items = match (opt.kind, value.get_ref()) {
            (Kind::List | Kind::Ports | Kind::Tables | Kind::TableOrTables, DeValue::Array(items)) => {
                items.iter().collect()
            }
            (Kind::Tables, _) => {
                let (place, problem) = wrong(value);
                return findings.error(&place, problem.mend(format!("write [[{}]]", opt.path)));
            }
            _ => vec![value],
        };
        for item in items.into_iter().filter(|item| !accepts(opt.kind, item.get_ref())) {
            let (place, problem) = wrong(item);
            findings.error(&place, problem);
        }
    }

    fn of_what(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in `{}`", self.path) }
    }

    pub(super) fn place(&self) -> Place {
        Place::File { source: Arc::clone(self.source), span: self.span.clone(), key: self.key.clone() }
    }

    /// In the table of options.
    pub(super) fn path(&self) -> &'static str {
        self.path
    }

    pub(super) fn spot(&self) -> Spot {
        Spot::new(self.source.number(), self.span.clone())
    }

    /// The place of one key, for what is wrong with it as a whole.
    pub(super) fn place_of_key(&self, name: &str) -> Place {
        match self.table.get_key_value(name) {
            Some((key, _)) => self.place_of(name, key.span()),
            None => self.place(),
        }
    }

    fn place_of(&self, name: &str, span: Range<usize>) -> Place {
        Place::File { source: Arc::clone(self.source), span, key: self.key_of(name) }
    }

    fn key_of(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.table.keys().map(|key| &**key.get_ref())
    }

    /// The folder that files named in it are relative to.
    pub(super) fn folder(&self) -> &Path {
        Path::new(self.source.name()).parent().unwrap_or(Path::new(""))
    }

    fn get(&self, name: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        debug_assert!(self.schema.children(self.path).any(|(known, _)| known == name), "{}: {name}", self.path);
        self.table.get(name)
    }

    fn kind(&self, name: &str) -> Option<Kind> {
        self.schema.children(self.path).find(|(known, _)| *known == name).map(|(_, opt)| opt.kind)
    }

    fn placed<T>(&self, name: &str, value: &Spanned<DeValue<'_>>, inner: T) -> Placed<T> {
        Placed { value: inner, place: self.place_of(name, value.span()) }
    }

    pub(super) fn text(&self, name: &str) -> Option<Placed<String>> {
        let value = self.get(name)?;
        value.get_ref().as_str().map(|text| self.placed(name, value, text.to_owned()))
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.get_ref().as_bool()
    }

    pub(super) fn count(&self, name: &str) -> Option<Placed<i64>> {
        let value = self.get(name)?;
        let number = integer(value.get_ref())?;
        if !self.kind(name).is_some_and(|kind| accepts(kind, value.get_ref())) {
            return None;
        }
        Some(self.placed(name, value, number))
    }

    /// The items of a list, or the one text that stands for a list. None where the key is not there.
    pub(super) fn list(&self, name: &str) -> Option<Vec<Placed<String>>> {
        let value = self.get(name)?;
        let items = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        let kind = self.kind(name)?;
        let sound = items.into_iter().filter(|item| accepts(kind, item.get_ref()));
        Some(sound.filter_map(|item| self.item(name, item)).collect())
    }

    fn item(&self, name: &str, item: &Spanned<DeValue<'_>>) -> Option<Placed<String>> {
        let text = match item.get_ref() {
            DeValue::String(text) => text.to_string(),
            number => integer(number)?.to_string(),
        };
        Some(self.placed(name, item, text))
    }

    /// As [`Section::list`], where a key that is not there is an empty list.
    pub(super) fn items(&self, name: &str) -> Vec<Placed<String>> {
        self.list(name).unwrap_or_default()
    }

    pub(super) fn table(&self, name: &str, findings: &mut Findings) -> Option<Section<'a>> {
        let value = self.get(name)?;
        self.open(name, self.key_of(name), value, findings)
    }

    pub(super) fn tables(&self, name: &str, findings: &mut Findings) -> Vec<Section<'a>> {
        let items = match self.get(name).map(|value| (value, value.get_ref())) {
            Some((_, DeValue::Array(items))) => items,
            Some((value, DeValue::Table(_))) if matches!(self.kind(name), Some(Kind::TableOrTables)) => {
                return self.open(name, self.key_of(name), value, findings).into_iter().collect();
            }
            _ => return Vec::new(),
        };
        let open = |(i, item)| self.open(name, format!("{}[{i}]", self.key_of(name)), item, findings);
        items.iter().enumerate().filter_map(open).collect()
    }

    fn open(
        &self,
        name: &str,
        key: String,
        value: &'a Spanned<DeValue<'a>>,
        findings: &mut Findings,
    ) -> Option<Section<'a>> {
        let table = value.get_ref().as_table()?;
        let (_, opt) = self.schema.children(self.path).find(|(known, _)| *known == name)?;
        let section =
            Section { source: self.source, table, span: value.span(), schema: self.schema, path: opt.path, key };
        section.look_over(findings);
        Some(section)
    }
}

/// Whether one value, or one item of a list, is of this kind. Words and numbers are judged by those who read them.
fn accepts(kind: Kind, value: &DeValue<'_>) -> bool {
    match (kind, value) {
        (Kind::Text | Kind::List | Kind::Ports | Kind::Duration | Kind::Choice(_), DeValue::String(_)) => true,
        (Kind::Ports, DeValue::Integer(_)) | (Kind::Flag, DeValue::Boolean(_)) => true,
        (Kind::Count { min, max }, value) => integer(value).is_some_and(|number| min <= number && number <= max),
        (Kind::Table | Kind::Tables | Kind::TableOrTables, DeValue::Table(_)) => true,
        _ => false,
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("`{}`", text.chars().take(80).collect::<String>()),
        DeValue::Integer(number) => format!("{number}"),
        DeValue::Float(number) => format!("{number}"),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
