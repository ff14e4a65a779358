//! Findings for programs; `docs/lint.md` says what each member is.

use serde::Serialize;

use crate::lint::Severity;

use super::report::{Item, Limits, Read, Related, Report};

#[derive(Serialize)]
pub(super) struct Whole<'a> {
    read: Read,
    limits: Limits,
    counts: Counts,
    findings: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Counts {
    error: usize,
    warning: usize,
    note: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    check: &'static str,
    severity: &'static str,
    title: &'static str,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    path: Option<&'a str>,
    subject: Option<&'a str>,
    what: &'a str,
    why: &'static str,
    mend: Option<&'a str>,
    source: &'static str,
    related: Vec<RelatedLine<'a>>,
}

#[derive(Serialize)]
struct RelatedLine<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    what: &'a str,
}

pub(super) fn whole(report: &Report) -> Whole<'_> {
    let counts = Counts {
        error: report.count(Severity::Error),
        warning: report.count(Severity::Warning),
        note: report.count(Severity::Note),
    };
    Whole { read: report.read, limits: report.limits, counts, findings: report.items.iter().map(line).collect() }
}

fn line(item: &Item) -> Line<'_> {
    let Item { check, severity, origin, position: _, path, subject, what, mend, related } = item;
    let at = item.line_and_column();
    Line {
        check: check.id,
        severity: severity.as_str(),
        title: check.title,
        file: origin.as_deref(),
        line: at.map(|(line, _)| line),
        column: at.map(|(_, column)| column),
        path: path.as_deref(),
        subject: Some(subject.as_str()).filter(|subject| !subject.is_empty()),
        what,
        why: check.why,
        mend: mend.as_deref(),
        source: check.source,
        related: related.iter().map(other).collect(),
    }
}

fn other(related: &Related) -> RelatedLine<'_> {
    let Related { origin, line, column, what } = related;
    RelatedLine { file: origin, line: *line, column: *column, what }
}
