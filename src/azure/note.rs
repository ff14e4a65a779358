//! What is said about a file of Azure's while it is read.

use crate::policy::Spot;

/// One thing that is wrong, doubtful or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub severity: Severity,
    pub at: Spot,
    /// Lower-case, without a full stop, with the offending text in it.
    pub what: String,
    pub mend: Option<String>,
    /// The lint check that this is a case of, by its id.
    pub check: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Said once, and nothing is the matter: `read, not emulated`.
    Info,
    Warning,
    /// An error under the profile `strict`, a warning under `azure`.
    Doubt,
    /// The file cannot be used.
    Error,
}

impl Note {
    pub fn new(severity: Severity, at: Spot, what: impl Into<String>) -> Note {
        Note { severity, at, what: what.into(), mend: None, check: None }
    }

    pub fn mend(self, mend: impl Into<String>) -> Note {
        Note { mend: Some(mend.into()), ..self }
    }

    pub fn check(self, check: &'static str) -> Note {
        Note { check: Some(check), ..self }
    }
}
