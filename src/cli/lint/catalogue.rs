//! The checks themselves: all of them by name, or one with its reasons.

use serde::Serialize;

use crate::cli::output::{HINT, PrintError, Printer, STRONG};
use crate::lint::{self, Check};

use super::Format;

#[derive(Serialize)]
struct Line {
    check: &'static str,
    severity: &'static str,
    title: &'static str,
    why: &'static str,
    source: &'static str,
    azure: Option<u8>,
}

fn line(check: &Check) -> Line {
    let Check { id, severity, title, why, source, azure } = *check;
    Line { check: id, severity: severity.as_str(), title, why, source, azure }
}

pub(super) fn list(format: Format, printer: &mut Printer) -> Result<(), PrintError> {
    if format == Format::Json {
        return printer.json(&lint::checks().map(line).collect::<Vec<_>>());
    }
    let width = lint::checks().map(|check| check.id.len()).max().unwrap_or(0);
    for Check { id, severity, title, .. } in lint::checks() {
        let severity = severity.as_str();
        printer.line(format_args!("{STRONG}{id:<width$}{STRONG:#}  {severity:<7}  {title}"))?;
    }
    Ok(())
}

pub(super) fn explain(check: &Check, format: Format, printer: &mut Printer) -> Result<(), PrintError> {
    if format == Format::Json {
        return printer.json(&line(check));
    }
    let Check { id, severity, title, why, source, azure } = check;
    printer.line(format_args!("{STRONG}{id}{STRONG:#} ({severity}): {title}\n\n{why}\n"))?;
    if let Some(number) = azure {
        printer.line(format_args!("{HINT}Azure's known issues as docs/lint.md numbers them: {number}{HINT:#}"))?;
    }
    printer.line(format_args!("{HINT}{source}\ndocs/lint.md#{id} has an example and the mend{HINT:#}"))
}
