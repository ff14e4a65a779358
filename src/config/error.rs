//! What is wrong with a configuration: where it stands, what it says, and how to mend it. All of it at once.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::azure::json::{self, Node};
use crate::azure::shape::{self, Format};
use crate::flow::Profile;
use crate::policy::Spot;

use super::paths::Keys;
use super::words;

/// Errors beyond this many are counted, not kept: a file that is not a configuration at all has millions.
const KEPT: usize = 200;
/// Bytes of a message.
const LONGEST: usize = 800;
/// Characters of a line that are shown around the offending text.
const SHOWN: usize = 120;

/// A file as it was read, with the places where its lines begin.
#[derive(Debug)]
pub(super) struct Source {
    /// By which a [`Spot`](crate::policy::Spot) names it.
    number: u32,
    name: String,
    text: String,
    lines: Vec<usize>,
    /// How many characters begin before each [`BLOCK`] of bytes: a whole file may be one line.
    characters: Vec<usize>,
    /// The tree of a JSON file, when first asked for a path in it.
    documents: OnceLock<Vec<Node>>,
    /// The same of a TOML file.
    keys: OnceLock<Keys>,
}

impl Source {
    pub(super) fn new(number: u32, name: String, text: String) -> Arc<Source> {
        let after = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(after).collect();
        let characters = characters_before(&text);
        Arc::new(Source { number, name, text, lines, characters, documents: OnceLock::new(), keys: OnceLock::new() })
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The number of the line in which a byte stands, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= at).max(1)
    }

    /// How many characters begin before a byte.
    fn characters(&self, at: usize) -> usize {
        let block = at / BLOCK;
        self.characters[block] + beginnings(&self.text.as_bytes()[block * BLOCK..at])
    }

    /// What belongs to a place: the header of a TOML table stands for the lines below it.
    fn extent(&self, span: &Range<usize>) -> Range<usize> {
        let text = self.text.as_str();
        let is_header = is_toml_header(text, span);
        match span {
            Range { start: 0, end: 0 } => 0..text.len(),
            span if is_header => span.start..text[span.end..].find("\n[").map_or(text.len(), |end| span.end + end),
            span => span.clone(),
        }
    }

    /// What the place is called in the file's tree.
    pub(super) fn path(&self, span: &Range<usize>) -> Option<String> {
        if shape::detect(&self.text, &self.name) != Format::Json {
            let keys = self.keys.get_or_init(|| Keys::of_toml(&self.text));
            return keys.at(span).map(str::to_owned);
        }
        let documents = self.documents.get_or_init(|| json::parse(&self.text, self.number).unwrap_or_default());
        json::path_of(documents, Spot::new(self.number, span.clone()))
    }

    fn position(&self, span: &Range<usize>, key: &str) -> Position {
        let start = floor(&self.text, span.start);
        let line = self.line(start);
        let begin = self.lines[line - 1];
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        let whole = self.text[begin..end.max(begin)].trim_end_matches('\r');
        let before = self.characters(start) - self.characters(begin);
        let text = &self.text[start..floor(&self.text, span.end.clamp(start, end.max(start)))];
        let marked = text.chars().take(SHOWN).count();
        let fits = whole.chars().nth(SHOWN).is_none();
        let skipped = if fits { 0 } else { before.saturating_sub(SHOWN / 2) };
        let near = self.text[begin..start].char_indices().rev().take(before - skipped).last();
        let near = near.map_or(start - begin, |(at, _)| at).min(whole.len());
        let snippet: String = whole[near..].chars().take(SHOWN).collect();
        let marked = marked.clamp(1, (SHOWN + skipped).saturating_sub(before).max(1));
        Position {
            line,
            column: before + 1,
            key: key.to_owned(),
            text: shortened(text, LONGEST).into_owned(),
            snippet,
            indent: before - skipped,
            marked,
        }
    }
}

/// `[[table]]` or `[table]` on a line of its own.
fn is_toml_header(text: &str, span: &Range<usize>) -> bool {
    let Some(header) = text.get(span.clone()).filter(|it| it.starts_with('[') && it.ends_with(']')) else {
        return false;
    };
    let before = text[..span.start].trim_end_matches([' ', '\t']);
    !header.contains(['\n', ',', '"']) && (before.is_empty() || before.ends_with('\n'))
}

/// Bytes between which characters are counted anew.
const BLOCK: usize = 4096;

fn characters_before(text: &str) -> Vec<usize> {
    let mut before = 0;
    let blocks = text.as_bytes().chunks(BLOCK).map(|block| {
        before += beginnings(block);
        before
    });
    std::iter::once(0).chain(blocks).collect()
}

/// How many of these bytes of UTF-8 are the first of a character.
fn beginnings(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The files that were read, by the numbers that spots have.
#[derive(Debug, Clone, Default)]
pub struct Texts(pub(super) Vec<Arc<Source>>);

impl Texts {
    /// Name of the file, line and column in characters, both from 1.
    pub fn position(&self, spot: Spot) -> Option<(&str, usize, usize)> {
        let source = self.0.get(spot.file()? as usize)?;
        let position = source.position(&spot.span()?, "");
        Some((source.name(), position.line, position.column))
    }

    pub(super) fn place(&self, spot: Spot) -> Option<Place> {
        let source = Arc::clone(self.0.get(spot.file()? as usize)?);
        Some(Place::File { source, span: spot.span()?, key: String::new() })
    }

    /// What to say about a place, as an error of reading says it: of the first of `words` that is written there, or
    /// of the place as a whole. A spot without any length at a file's beginning is the whole file.
    pub fn say(&self, spot: Spot, words: &[String], what: &str, mend: Option<&str>) -> Option<ConfigError> {
        let place = self.place_of_word(spot, words)?;
        let problem = Problem::new(what).maybe_mend(mend.map(str::to_owned));
        Some(ConfigError::new(&place, problem))
    }

    /// Where the first of `words` is written, or the place as a whole.
    pub(super) fn place_of_word(&self, spot: Spot, words: &[String]) -> Option<Place> {
        let source = self.0.get(spot.file()? as usize)?;
        let span = spot.span()?;
        let within = source.extent(&span);
        let text = source.text.get(within.clone())?;
        let word = words::find(text, words).map(|word| within.start + word.start..within.start + word.end);
        let span = word.unwrap_or(span);
        let key = source.path(&span).unwrap_or_default();
        Some(Place::File { source: Arc::clone(source), span, key })
    }

    /// Where it stands in the file's tree: `$.resources[2].name` in JSON, `rule_collection_group[0].name` in TOML.
    pub fn path(&self, spot: Spot) -> Option<String> {
        self.0.get(spot.file()? as usize)?.path(&spot.span()?)
    }
}

/// Where something was said.
#[derive(Debug, Clone)]
pub(super) enum Place {
    File {
        source: Arc<Source>,
        span: Range<usize>,
        key: String,
    },
    /// A flag or its environment twin.
    Flag(&'static str),
}

/// A value with the place where it was said.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub value: T,
    pub place: Place,
}

impl<T> Placed<T> {
    pub(super) fn map<U>(self, make: impl FnOnce(T) -> U) -> Placed<U> {
        Placed { value: make(self.value), place: self.place }
    }

    /// Makes something of the value, or reports at its place why that cannot be.
    pub(super) fn read<U, P: Into<Problem>>(
        &self,
        findings: &mut Findings,
        make: impl FnOnce(&T) -> Result<U, P>,
    ) -> Option<U> {
        match make(&self.value) {
            Ok(made) => Some(made),
            Err(problem) => {
                findings.error(&self.place, problem);
                None
            }
        }
    }
}

/// What is wrong with a value, and the mend where one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    what: String,
    mend: Option<String>,
    check: Option<&'static str>,
}

impl Problem {
    pub(super) fn new(what: impl Into<String>) -> Problem {
        Problem { what: what.into(), mend: None, check: None }
    }

    pub(super) fn one_line(self) -> String {
        let Problem { what, mend, check: _ } = self;
        mend.map_or_else(|| what.clone(), |mend| format!("{what}; {mend}"))
    }

    pub(super) fn mend(self, mend: impl Into<String>) -> Problem {
        Problem { mend: Some(mend.into()), ..self }
    }

    /// The lint check that this is a case of, by its id.
    pub(super) fn check(self, check: Option<&'static str>) -> Problem {
        Problem { check, ..self }
    }

    pub(super) fn maybe_mend(self, mend: Option<String>) -> Problem {
        Problem { mend, ..self }
    }
}

macro_rules! problem_from {
    ($($error:ty),*) => {
        $(impl From<$error> for Problem {
            fn from(error: $error) -> Problem {
                Problem::new(error.to_string())
            }
        })*
    };
}

impl From<crate::policy::PatternError> for Problem {
    fn from(error: crate::policy::PatternError) -> Problem {
        let star = matches!(error, crate::policy::PatternError::StarPosition { .. });
        Problem::new(error.to_string()).check(star.then_some("unsupported-wildcard"))
    }
}

problem_from!(
    crate::policy::AddressError,
    crate::policy::PriorityError,
    crate::flow::PortError,
    super::target::TargetError
);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's name as it was given, or the flag.
    pub origin: String,
    /// None for what a flag said.
    pub position: Option<Position>,
    /// Lower-case, without a full stop, with the offending text in it.
    pub what: String,
    pub mend: Option<String>,
    /// The lint check that this is a case of, by its id.
    pub check: Option<&'static str>,
}

/// A place in a file, with the line for people to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// `proxy.listen`, `rule_collection_group[0].name`; list items are counted from 0.
    pub key: String,
    /// What is written there, as far as the line goes; empty for what is missing at a file's end.
    pub text: String,
    /// The line, or what of a long one is near.
    snippet: String,
    indent: usize,
    marked: usize,
}

impl ConfigError {
    pub(super) fn new(place: &Place, problem: impl Into<Problem>) -> ConfigError {
        let Problem { what, mend, check } = problem.into();
        let (origin, position) = match place {
            Place::File { source, span, key } => (source.name.clone(), Some(source.position(span, key))),
            Place::Flag(flag) => ((*flag).to_owned(), None),
        };
        ConfigError { origin, position, what: shortened(&what, LONGEST).into_owned(), mend, check }
    }
}

impl Position {
    /// How many characters of the line it is about.
    pub fn width(&self) -> usize {
        self.marked
    }

    /// The line, or what of a long one is near, and marks below what it is about.
    pub fn excerpt(&self) -> String {
        let Position { line, column: _, key: _, text: _, snippet, indent, marked } = self;
        let gutter = line.to_string().len();
        // Tabs stay tabs under themselves, so that the marks stand where the text does.
        let pad: String = snippet.chars().take(*indent).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let snippet = snippet.replace(|c: char| c.is_control() && c != '\t', " ");
        format!("  {line} | {snippet}\n  {:gutter$} | {pad}{}", "", "^".repeat(*marked))
    }
}

impl ConfigError {
    /// For a warning: without the line that it is about.
    pub fn one_line(&self) -> String {
        let mend = self.mend.as_ref().map(|mend| format!("; {mend}")).unwrap_or_default();
        match &self.position {
            Some(at) => format!("{}:{}:{}: {}{mend}", self.origin, at.line, at.column, self.what),
            None => format!("{}: {}{mend}", self.origin, self.what),
        }
    }
}

/// A message repeats what was written, and that may be a whole book: the middle of what has more bytes goes.
pub(super) fn shortened(what: &str, longest: usize) -> Cow<'_, str> {
    if what.len() <= longest {
        return Cow::Borrowed(what);
    }
    let (head, tail) = (floor(what, longest * 3 / 4), floor(what, what.len() - longest / 4));
    Cow::Owned(format!("{} … {}", &what[..head], &what[tail..]))
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError { origin, position, what, mend, check: _ } = self;
        let Some(position) = position else {
            write!(f, "{origin}: {what}")?;
            return mend.iter().try_for_each(|mend| write!(f, "\n  = mend: {mend}"));
        };
        let Position { line, column, key, .. } = position;
        let gutter = line.to_string().len();
        write!(f, "{origin}:{line}:{column}: {what}\n{}", position.excerpt())?;
        if !key.is_empty() {
            write!(f, "\n  {:gutter$} = key: {key}", "")?;
        }
        mend.iter().try_for_each(|mend| write!(f, "\n  {:gutter$} = mend: {mend}", ""))
    }
}

/// Everything that is wrong, in the order of the files and of the lines in them. Exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// At least one, at most a few hundred.
    pub errors: Vec<ConfigError>,
    /// Errors beyond those.
    pub more: usize,
    /// Every file that was read or looked for: a change in one may be the mend.
    pub files: Vec<PathBuf>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n" };
            write!(f, "{gap}{error}")?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

/// All that was found while reading, nothing of it decided.
#[derive(Debug)]
pub(super) struct Parts {
    pub errors: Vec<ConfigError>,
    pub doubts: Vec<ConfigError>,
    pub warnings: Vec<ConfigError>,
    pub infos: Vec<ConfigError>,
}

/// What was found while reading. Reading goes on after an error, so that all of them are told.
#[derive(Debug, Default)]
pub(super) struct Findings {
    errors: Vec<ConfigError>,
    more: usize,
    /// Errors under the profile `strict`, warnings under `azure`.
    doubts: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
    infos: Vec<ConfigError>,
}

/// What was said of files in which nothing is wrong.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    pub warnings: Vec<ConfigError>,
    pub infos: Vec<ConfigError>,
}

impl Findings {
    pub(super) fn error(&mut self, place: &Place, problem: impl Into<Problem>) {
        if self.errors.len() < KEPT {
            self.errors.push(ConfigError::new(place, problem));
        } else {
            self.more += 1;
        }
    }

    pub(super) fn doubt(&mut self, place: &Place, problem: impl Into<Problem>) {
        if self.doubts.len() < KEPT {
            self.doubts.push(ConfigError::new(place, problem));
        }
    }

    pub(super) fn warn(&mut self, place: &Place, what: impl Into<Problem>) {
        if self.warnings.len() < KEPT {
            self.warnings.push(ConfigError::new(place, what));
        }
    }

    /// Nothing is the matter, and who asks for everything is told.
    pub(super) fn info(&mut self, place: &Place, what: impl Into<Problem>) {
        if self.infos.len() < KEPT {
            self.infos.push(ConfigError::new(place, what));
        }
    }

    /// What was only worth a warning turns out to be why nothing is left; answers whether there was any.
    pub(super) fn raise(&mut self) -> bool {
        self.errors.append(&mut self.doubts);
        self.errors.append(&mut self.warnings);
        !self.errors.is_empty()
    }

    pub(super) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// Decides what the doubts were.
    pub(super) fn settle(&mut self, profile: Profile) {
        let doubts = std::mem::take(&mut self.doubts);
        match profile {
            Profile::Strict => self.errors.extend(doubts),
            Profile::Azure => self.warnings.extend(doubts),
        }
    }

    /// Everything, for who wants to know it all.
    pub(super) fn into_parts(self) -> Parts {
        let Findings { errors, more: _, doubts, warnings, infos } = self;
        Parts { errors, doubts, warnings, infos }
    }

    /// The warnings and the rest, where nothing was wrong in these `files`.
    pub(super) fn finish(self, files: &[PathBuf]) -> Result<Remarks, ConfigErrors> {
        let Findings { mut errors, more, doubts: _, warnings, infos } = self;
        if errors.is_empty() {
            return Ok(Remarks { warnings, infos });
        }
        let mut origins: Vec<String> = Vec::new();
        for error in &errors {
            if !origins.contains(&error.origin) {
                origins.push(error.origin.clone());
            }
        }
        errors.sort_by_key(|error| {
            let origin = origins.iter().position(|origin| *origin == error.origin);
            (origin, error.position.as_ref().map(|at| (at.line, at.column)))
        });
        Err(ConfigErrors { errors, more, files: files.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> String {
        let source = Source::new(0, "egret.toml".into(), text.into());
        let place = Place::File { source, span, key: "a.b".into() };
        ConfigError::new(&place, Problem::new("`x` is wrong").mend("write y")).to_string()
    }

    #[test]
    fn an_error_shows_its_line() {
        assert_eq!(
            shown("a = 1\n\tbü = \"x\"\n", 13..16),
            "egret.toml:2:7: `x` is wrong\n  2 | \tbü = \"x\"\n    | \t     ^^^\n    = key: a.b\n    = mend: write y"
        );
    }

    /// Columns of a line of many blocks are told without going through it from its beginning.
    #[test]
    fn columns_of_a_long_line() {
        let text = format!("a\n{}", "xüß, ".repeat(4000));
        let source = Source::new(0, "min.json".into(), text.clone());
        assert_eq!(source.characters.len(), text.len() / BLOCK + 2);
        for (column, (at, c)) in text[2..].char_indices().enumerate() {
            let start = at + 2;
            assert_eq!(source.characters(start), column + 2);
            if column % 997 == 0 {
                let position = source.position(&(start..start + c.len_utf8()), "");
                assert_eq!((position.line, position.column, position.marked), (2, column + 1, 1));
                assert_eq!(position.snippet.chars().nth(position.indent), Some(c), "{column}");
                assert_eq!(position.indent, column.min(SHOWN / 2));
            }
        }
    }

    #[test]
    fn any_span_can_be_shown() {
        for text in ["", "\n", "ü", "a\r\nb", &"x\u{0}ü".repeat(500)] {
            for start in 0..text.len() + 2 {
                for end in [start, start + 1, start + 900] {
                    assert!(shown(text, start..end).contains('^'));
                }
            }
        }
    }
}
