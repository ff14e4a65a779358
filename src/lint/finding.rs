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

/// One thing to look for. All of them are in [`CHECKS`](super::CHECKS); `docs/lint.md` has a section for each.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable, lower-case words with hyphens: `broad-network-rule`.
    pub id: &'static str,
    pub severity: Severity,
    /// One line, without a full stop.
    pub title: &'static str,
    /// Why it matters, in whole sentences.
    pub why: &'static str,
    /// Who says so: a page of Azure's documentation, or Egret where it is our own.
    pub source: &'static str,
    /// The number in the list of Azure Firewall's known issues that `docs/lint.md` shows.
    pub azure: Option<u8>,
}

/// A case of a check.
#[derive(Debug, Clone)]
pub struct Finding {
    pub check: &'static Check,
    pub at: Spot,
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
        Finding { check, at, subject: subject.into(), what: what.into(), mend: None, related: Vec::new() }
    }

    pub fn mend(self, mend: impl Into<String>) -> Finding {
        Finding { mend: Some(mend.into()), ..self }
    }

    /// Another place that belongs to it.
    pub fn with(mut self, at: Spot, what: impl Into<String>) -> Finding {
        self.related.push((at, what.into()));
        self
    }
}
