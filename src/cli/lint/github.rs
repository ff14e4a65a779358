//! Findings as annotations of GitHub Actions, the worst first: of each level GitHub shows ten a step.

use crate::cli::annotation::{Level, github};
use crate::cli::output::{PrintError, Printer};
use crate::lint::Severity;
use crate::telemetry::Printable;

use super::report::{Item, Report};

pub(super) fn print(report: &Report, printer: &mut Printer) -> Result<(), PrintError> {
    let by_severity = |severity| report.items.iter().filter(move |item| item.severity == severity);
    Severity::ALL.into_iter().flat_map(by_severity).try_for_each(|item| printer.line(line(item)))
}

fn line(item: &Item) -> String {
    let level = match item.severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warning,
        Severity::Note => Level::Notice,
    };
    let mut properties = Vec::new();
    if let (Some(file), Some(at)) = (&item.origin, &item.position) {
        properties.push(("file", file.clone()));
        properties.push(("line", at.line.to_string()));
        properties.push(("col", at.column.to_string()));
        properties.push(("endColumn", (at.column + at.width()).to_string()));
    }
    properties.push(("title", format!("egret lint: {}", item.check.id)));
    let subject = if item.subject.is_empty() { String::new() } else { format!(" ({})", item.subject) };
    let mend = item.mend.as_ref().map(|mend| format!("\nmend: {mend}")).unwrap_or_default();
    // Line ends are the annotation's own; whatever else a name holds is shown as what it is.
    let what = Printable(&item.what).to_string();
    github(level, &properties, &format!("{what}{}{}", Printable(&subject), mend))
}
