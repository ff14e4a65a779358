//! What a check is and what it found.

use std::fmt;

use crate::policy::Spot;

/// How bad it is. The later is the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth to be known; nothing has to change.
    Note,
    /// Azure takes it, and it does other than it seems to.
    Warning,
    /// Azure refuses it, or it opens or closes what nobody can have meant.
    Error,
}

/// One thing to look for. [`checks`](super::checks) has all of them; `docs/lint.md` has a section for each.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable, lower-case words with hyphens: `broad-network-rule`.
    pub id: &'static str,
    pub severity: Severity,
    /// One line, without a full stop.
    pub title: &'static str,
    /// Why it matters, in whole sentences.
    pub why: &'static str,
    /// The page of Azure's documentation that says so, or that a check of Egret's own is about.
    pub source: &'static str,
    /// The number in the list of Azure Firewall's known issues that `docs/lint.md` shows.
    pub azure: Option<u8>,
}

/// Declares checks: a static each, and one table of them all.
macro_rules! checks {
    ($(#[$meta:meta])* $table:ident: $($name:ident = $id:literal, $severity:ident, $azure:expr, $source:expr, $title:literal, $why:literal;)*) => {
        $(pub(crate) static $name: $crate::lint::Check = $crate::lint::Check {
            id: $id,
            severity: $crate::lint::Severity::$severity,
            title: $title,
            why: $why,
            source: $source,
            azure: $azure,
        };)*
        $(#[$meta])*
        pub(crate) static $table: &[&$crate::lint::Check] = &[$(&$name),*];
    };
}
pub(crate) use checks;

/// A case of a check.
#[derive(Debug, Clone)]
pub struct Finding {
    pub check: &'static Check,
    pub at: Spot,
    /// What is written at `at` that it is about, the first that is there, so that people are sent to the very word.
    pub words: Vec<String>,
    /// `policy/group/collection/rule`, as far as it goes.
    pub subject: String,
    /// Lower-case, without a full stop, with the text in question.
    pub what: String,
    pub mend: Option<String>,
    /// Other places that belong to it, with what they are.
    pub related: Vec<(Spot, String)>,
}

impl Severity {
    pub const ALL: [Severity; 3] = [Severity::Error, Severity::Warning, Severity::Note];

    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Finding {
    pub fn new(check: &'static Check, at: Spot, subject: impl Into<String>, what: impl Into<String>) -> Finding {
        let (subject, what) = (subject.into(), what.into());
        Finding { check, at, words: Vec::new(), subject, what, mend: None, related: Vec::new() }
    }

    pub fn mend(self, mend: impl Into<String>) -> Finding {
        Finding { mend: Some(mend.into()), ..self }
    }

    /// The word within its place that it is about; one given later counts where the earlier is not there.
    pub fn about(mut self, word: impl ToString) -> Finding {
        self.words.push(word.to_string());
        self
    }

    /// Another place that belongs to it.
    pub fn with(mut self, at: Spot, what: impl Into<String>) -> Finding {
        self.related.push((at, what.into()));
        self
    }
}
