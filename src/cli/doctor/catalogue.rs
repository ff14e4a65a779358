//! The rules themselves: all of them by name, or one with its reasons.

use serde::Serialize;

use crate::cli::output::{HINT, PrintError, Printer, STRONG};
use crate::doctor::{self, Document, Rule};

use super::Format;

#[derive(Serialize)]
pub(super) struct Line {
    rule: &'static str,
    severity: &'static str,
    title: &'static str,
    why: &'static str,
    /// Versions of environments that it is asked of.
    versions: Vec<u8>,
    sources: Vec<Source>,
}

#[derive(Serialize)]
pub(super) struct Source {
    title: &'static str,
    date: &'static str,
    page: &'static str,
}

fn line(rule: &Rule) -> Line {
    let Rule { id, severity, title, why, sources: _, versions, cuts: _ } = *rule;
    let versions = versions.iter().map(|version| version.number()).collect();
    Line { rule: id, severity: severity.as_str(), title, why, versions, sources: sources(rule) }
}

pub(super) fn sources(rule: &Rule) -> Vec<Source> {
    let source = |&&Document { title, date, page }: &&'static Document| Source { title, date, page };
    rule.sources.iter().map(source).collect()
}

pub(super) fn list(format: Format, printer: &mut Printer) -> Result<(), PrintError> {
    if format == Format::Json {
        return printer.json(&doctor::rules().map(line).collect::<Vec<_>>());
    }
    let width = doctor::rules().map(|rule| rule.id.len()).max().unwrap_or(0);
    for Rule { id, severity, title, .. } in doctor::rules() {
        let severity = severity.as_str();
        printer.line(format_args!("{STRONG}{id:<width$}{STRONG:#}  {severity:<9}  {title}"))?;
    }
    Ok(())
}

pub(super) fn explain(rule: &Rule, format: Format, printer: &mut Printer) -> Result<(), PrintError> {
    if format == Format::Json {
        return printer.json(&line(rule));
    }
    let Rule { id, severity, title, why, sources, versions, cuts: _ } = rule;
    let versions: Vec<String> = versions.iter().map(|version| version.number().to_string()).collect();
    printer.line(format_args!("{STRONG}{id}{STRONG:#} ({severity}): {title}\n\n{why}\n"))?;
    printer.line(format_args!("{HINT}environments of version {}{HINT:#}", versions.join(", ")))?;
    for Document { title, date, page } in *sources {
        printer.line(format_args!("{HINT}{title} ({date}): {page}{HINT:#}"))?;
    }
    printer.line(format_args!("{HINT}docs/doctor.md#{} has an example and the mend{HINT:#}", id.to_ascii_lowercase()))
}
