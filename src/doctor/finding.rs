//! What a rule is and what it found.

use std::fmt;

use crate::policy::Spot;
use crate::vnet::{AseVersion, Change};

use super::Patient;
use super::documents::Document;

/// What becomes of an environment that has it. The later is the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth to be known.
    Advice,
    /// Apps or the portal lose something; the environment itself does not.
    App,
    /// It works, and is watched, repaired or scaled less well.
    Degraded,
    /// It goes unhealthy, or cannot be made.
    Unhealthy,
    /// It stops working; long enough, and it is suspended.
    Suspended,
}

/// One thing to look for. `docs/doctor.md` has a section for each.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable: `IN-MGMT`.
    pub id: &'static str,
    pub severity: Severity,
    /// One line, without a full stop.
    pub title: &'static str,
    /// What happens and why, in whole sentences.
    pub why: &'static str,
    /// The documents that say so, the first above all.
    pub sources: &'static [&'static Document],
    /// Of environments of other versions it is not asked.
    pub versions: &'static [AseVersion],
    /// What an environment that breaks it does not reach. Empty where that is not what it is about.
    pub cuts: &'static [Dependency],
}

/// What the platform's log says that an environment does not reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dependency {
    AzureDns,
    TimeServers,
    Web,
    LinuxApps,
    Sql,
    Internet,
}

impl Dependency {
    /// As in `the environment cannot reach Azure DNS`.
    pub fn as_str(self) -> &'static str {
        match self {
            Dependency::AzureDns => "Azure DNS",
            Dependency::TimeServers => "its time servers",
            Dependency::Web => "its dependencies over HTTP and HTTPS",
            Dependency::LinuxApps => "its dependencies of Linux apps",
            Dependency::Sql => "Azure SQL",
            Dependency::Internet => "the Internet",
        }
    }
}

/// Of every version.
pub(super) const ANY: &[AseVersion] = &[AseVersion::V1, AseVersion::V2, AseVersion::V3];
/// Of those that have dependencies of the platform's own in the customer's network.
pub(super) const BEFORE_V3: &[AseVersion] = &[AseVersion::V1, AseVersion::V2];
pub(super) const V3: &[AseVersion] = &[AseVersion::V3];

/// A rule with what looks whether it is broken.
pub(super) struct Check {
    pub(super) rule: &'static Rule,
    pub(super) look: fn(&Patient<'_>) -> Outcome,
}

/// Declares rules: a static each, and one table of them all with the function that looks.
macro_rules! rules {
    ($(#[$meta:meta])* $table:ident: $($name:ident = $id:literal, $severity:ident, $versions:expr, [$($source:ident),+],
        $title:literal, $why:literal => $look:path $(, cuts $cut:ident)?;)*) => {
        $(static $name: $crate::doctor::Rule = $crate::doctor::Rule {
            id: $id,
            severity: $crate::doctor::Severity::$severity,
            title: $title,
            why: $why,
            sources: &[$(&$crate::doctor::documents::$source),+],
            versions: $versions,
            cuts: &[$($crate::doctor::finding::Dependency::$cut)?],
        };)*
        $(#[$meta])*
        pub(super) static $table: &[$crate::doctor::finding::Check] =
            &[$($crate::doctor::finding::Check { rule: &$name, look: $look }),*];
    };
}
pub(super) use rules;

/// What became of a rule.
#[derive(Debug, Clone)]
pub enum Outcome {
    Passed,
    Found(Vec<Finding>),
    /// Why it says nothing of this environment, in lower case without a full stop: `an External environment`.
    NotApplicable(String),
}

/// How much of what is needed is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coverage {
    Covered,
    Partly,
    Missing,
}

impl Coverage {
    pub fn as_str(self) -> &'static str {
        match self {
            Coverage::Covered => "covered",
            Coverage::Partly => "partly covered",
            Coverage::Missing => "not covered",
        }
    }
}

/// What a finding rests on: a rule, a route, a prefix.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Of a list of what has to be covered; None for what decides.
    pub coverage: Option<Coverage>,
    /// `security rule ase-nsg/DenyAll (4096)`, `13.66.140.0/26`
    pub what: String,
    pub at: Spot,
}

/// A case of a rule.
#[derive(Debug, Clone)]
pub struct Finding {
    pub rule: &'static Rule,
    /// The rule's own, unless this case is milder.
    pub severity: Severity,
    /// What it is about, `ase-nsg`, `ase-subnet`, `ase-routes/default`.
    pub subject: String,
    /// Lower-case, without a full stop, with the text in question.
    pub what: String,
    pub at: Spot,
    pub evidence: Vec<Evidence>,
    /// What mends just this, in order.
    pub mend: Vec<Change>,
    /// What no command can do.
    pub by_hand: Option<String>,
}

/// Nothing found is passed.
impl From<Vec<Finding>> for Outcome {
    fn from(found: Vec<Finding>) -> Outcome {
        if found.is_empty() { Outcome::Passed } else { Outcome::Found(found) }
    }
}

impl From<Option<Finding>> for Outcome {
    fn from(found: Option<Finding>) -> Outcome {
        Outcome::from(Vec::from_iter(found))
    }
}

impl Outcome {
    pub(super) fn not_applicable(why: impl Into<String>) -> Outcome {
        Outcome::NotApplicable(why.into())
    }

    pub fn findings(&self) -> &[Finding] {
        match self {
            Outcome::Found(findings) => findings,
            Outcome::Passed | Outcome::NotApplicable(_) => &[],
        }
    }

    pub(super) fn findings_mut(&mut self) -> &mut [Finding] {
        match self {
            Outcome::Found(findings) => findings,
            Outcome::Passed | Outcome::NotApplicable(_) => &mut [],
        }
    }

    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Found(_) => "found",
            Outcome::NotApplicable(_) => "not applicable",
        }
    }
}

impl Severity {
    pub const ALL: [Severity; 5] =
        [Severity::Suspended, Severity::Unhealthy, Severity::Degraded, Severity::App, Severity::Advice];

    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Suspended => "suspended",
            Severity::Unhealthy => "unhealthy",
            Severity::Degraded => "degraded",
            Severity::App => "app",
            Severity::Advice => "advice",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Finding {
    pub fn new(rule: &'static Rule, at: Spot, subject: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding {
            rule,
            severity: rule.severity,
            subject: subject.into(),
            what: what.into(),
            at,
            evidence: Vec::new(),
            mend: Vec::new(),
            by_hand: None,
        }
    }

    /// A milder or a graver case than usual.
    pub fn graded(self, severity: Severity) -> Finding {
        Finding { severity, ..self }
    }

    pub fn because(mut self, what: impl Into<String>, at: Spot) -> Finding {
        self.evidence.push(Evidence { coverage: None, what: what.into(), at });
        self
    }

    pub fn covers(mut self, coverage: Coverage, what: impl Into<String>) -> Finding {
        self.evidence.push(Evidence { coverage: Some(coverage), what: what.into(), at: Spot::nowhere() });
        self
    }

    pub fn mend(mut self, change: Change) -> Finding {
        self.mend.push(change);
        self
    }

    pub fn by_hand(self, what: impl Into<String>) -> Finding {
        Finding { by_hand: Some(what.into()), ..self }
    }
}
