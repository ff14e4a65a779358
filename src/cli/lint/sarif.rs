//! Findings for code scanning: a rule for each check there is.

use crate::cli::sarif::{self, Found, Level, Log, Related, Rule};
use crate::lint::{self, Check, Severity};

use super::report::{Item, Report};

pub(super) fn log(report: &Report) -> Log {
    let rules: Vec<Rule> = lint::checks().map(rule).collect();
    sarif::log(&rules, report.items.iter().map(found))
}

fn rule(check: &Check) -> Rule {
    let Check { id, severity, title, why, source, azure: _ } = *check;
    Rule { id, title, why, page: source, manual: format!("docs/lint.md#{id}"), level: level(severity) }
}

/// SARIF's levels go by the names of severities here.
fn level(severity: Severity) -> Level {
    match severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warning,
        Severity::Note => Level::Note,
    }
}

fn found(item: &Item) -> Found<'_> {
    let Item { check, severity, origin, position, path, subject, what, mend, related } = item;
    let text = match mend {
        Some(mend) => format!("{what}. Mend: {mend}."),
        None => format!("{what}."),
    };
    let about = position.as_ref().map(|at| at.text.as_str()).unwrap_or_default();
    Found {
        rule: check.id,
        level: level(*severity),
        text,
        file: origin.as_deref(),
        position: position.as_ref(),
        path: path.as_deref(),
        subject,
        related: related.iter().map(related_of).collect(),
        identity: if subject.is_empty() { what } else { about },
        properties: serde_json::Value::Null,
    }
}

fn related_of(related: &super::report::Related) -> Related<'_> {
    let super::report::Related { origin, line, column, what } = related;
    Related { file: origin, line: *line, column: *column, what }
}
