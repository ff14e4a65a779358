//! What was found, in the order in which it is told, each with where it stands.

use std::collections::HashSet;

use crate::config::{ConfigError, Position, Survey, Texts};
use crate::lint::{self, Check, Finding, Severity, WholeOrder};
use crate::policy::{RuleSet, Rules, Spot};

pub(super) struct Report {
    /// By file, then by line.
    pub(super) items: Vec<Item>,
    pub(super) read: Read,
    pub(super) limits: Limits,
}

#[derive(PartialEq, Eq, Hash)]
struct Identity {
    check: &'static str,
    origin: Option<String>,
    at: Option<(usize, usize)>,
    what: Option<String>,
}

/// How far the search through the whole order went.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(super) struct Limits {
    /// Rules that more flows would have to be asked about than are asked about.
    pub(super) undecided: usize,
    /// What is said of rules with globs is not proven.
    pub(super) globs_are_sampled: bool,
}

/// One finding, of the rules or of reading them.
pub(super) struct Item {
    pub(super) check: &'static Check,
    pub(super) severity: Severity,
    /// The file's name as it was given, or the flag; none for what is built in.
    pub(super) origin: Option<String>,
    pub(super) position: Option<Position>,
    /// JSON path or TOML key.
    pub(super) path: Option<String>,
    /// `policy/group/collection/rule`, where it is about one.
    pub(super) subject: String,
    pub(super) what: String,
    pub(super) mend: Option<String>,
    pub(super) related: Vec<Related>,
}

pub(super) struct Related {
    pub(super) origin: String,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) what: String,
}

/// How much was looked at.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub(super) struct Read {
    pub(super) policies: usize,
    pub(super) groups: usize,
    pub(super) collections: usize,
    pub(super) rules: usize,
}

impl Report {
    pub(super) fn new(survey: Survey, ignored: &[&'static Check]) -> Report {
        let Survey { rules, sources: _, errors, doubts, warnings, infos, texts, switches } = survey;
        let WholeOrder { findings, undecided, globs_are_sampled } = lint::whole_order(&rules, switches);
        let found = lint::findings(&rules).into_iter().chain(findings);
        let errors = errors.into_iter().map(|it| of_reading(it, "cannot-read", Severity::Error));
        let doubts = doubts.into_iter().map(|it| of_reading(it, "doubtful", Severity::Warning));
        let warnings = warnings.into_iter().map(|it| of_reading(it, "doubtful", Severity::Note));
        let infos = infos.into_iter().map(|it| of_reading(it, "not-emulated", Severity::Note));
        let reading = errors.chain(doubts).chain(warnings).chain(infos).flatten();
        let mut items: Vec<Item> = found.map(|it| of_rules(it, &texts)).chain(reading).collect();
        items.retain(|item| !ignored.contains(&item.check));
        items.sort_by(|a, b| a.key().cmp(&b.key()));
        // Reading and looking at the rules may both say it of the same word.
        let mut told = HashSet::new();
        items.retain(|item| item.position.is_none() || told.insert(item.identity()));
        Report { items, read: Read::of(&rules), limits: Limits { undecided, globs_are_sampled } }
    }

    /// Nothing but errors, and no rule to say anything of.
    pub(super) fn is_blank(&self) -> bool {
        self.read.policies == 0 && self.items.iter().any(|item| item.severity == Severity::Error)
    }

    pub(super) fn count(&self, severity: Severity) -> usize {
        self.items.iter().filter(|item| item.severity == severity).count()
    }
}

impl Item {
    /// What the rules say comes before what reading said of the same: it names the rule.
    fn key(&self) -> (&Option<String>, usize, usize, &'static str, bool, &str) {
        let (line, column) = self.line_and_column().unwrap_or_default();
        (&self.origin, line, column, self.check.id, self.subject.is_empty(), &self.subject)
    }

    /// What no two findings share: of the same check at the same word only one is told.
    fn identity(&self) -> Identity {
        // Where nothing is written, what is said decides.
        let what = self.position.as_ref().is_none_or(|at| at.text.is_empty()).then(|| self.what.clone());
        Identity { check: self.check.id, origin: self.origin.clone(), at: self.line_and_column(), what }
    }

    pub(super) fn line_and_column(&self) -> Option<(usize, usize)> {
        self.position.as_ref().map(|at| (at.line, at.column))
    }
}

/// By the check that reading names, where it is one of the table.
fn of_reading(error: ConfigError, usual: &str, least: Severity) -> Option<Item> {
    let ConfigError { origin, position, what, mend, check } = error;
    let check = check.and_then(lint::check).or_else(|| lint::check(usual))?;
    let path = path_of(position.as_ref());
    let severity = check.severity.max(least);
    let (origin, subject) = (Some(origin), String::new());
    Some(Item { check, severity, origin, position, path, subject, what, mend, related: Vec::new() })
}

fn of_rules(finding: Finding, texts: &Texts) -> Item {
    let Finding { check, at, words, subject, what, mend, related } = finding;
    let (origin, position) = match texts.say(at, &words, "", None) {
        Some(said) => (Some(said.origin), said.position),
        None => (None, None),
    };
    let related = related.into_iter().filter_map(|(spot, what)| related_at(texts, spot, what)).collect();
    let path = path_of(position.as_ref());
    Item { check, severity: check.severity, origin, position, path, subject, what, mend, related }
}

fn path_of(position: Option<&Position>) -> Option<String> {
    position.map(|at| at.key.clone()).filter(|key| !key.is_empty())
}

fn related_at(texts: &Texts, spot: Spot, what: String) -> Option<Related> {
    let (origin, line, column) = texts.position(spot)?;
    Some(Related { origin: origin.to_owned(), line, column, what })
}

impl Read {
    fn of(set: &RuleSet) -> Read {
        let groups = || set.policies.iter().flat_map(|policy| &policy.groups);
        let collections = || groups().flat_map(|group| &group.collections);
        let count = |rules: &Rules| match rules {
            Rules::Dnat(rules) => rules.len(),
            Rules::Network(_, rules) => rules.len(),
            Rules::Application(_, rules) => rules.len(),
        };
        Read {
            policies: set.policies.len(),
            groups: groups().count(),
            collections: collections().count(),
            rules: collections().map(|collection| count(&collection.rules)).sum(),
        }
    }
}

/// `1 rule`, `2 rules`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}
