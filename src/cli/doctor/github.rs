//! Findings as annotations of GitHub Actions, the worst first: of each level GitHub shows ten a step.

use crate::cli::annotation::{Level, github};
use crate::cli::output::{PrintError, Printer};
use crate::doctor::{Health, Severity};
use crate::telemetry::Printable;

use super::live::{Attempt, Tried};
use super::report::{Examination, Item, Report};

/// Of what is not covered, what an annotation names: they are short.
const LISTED: usize = 20;

pub(super) fn print(report: &Report, tried: &[Tried], printer: &mut Printer) -> Result<(), PrintError> {
    let mut items: Vec<&Item> = report.environments.iter().flat_map(|it| &it.items).collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.severity));
    report.environments.iter().try_for_each(|it| printer.line(verdict(it)))?;
    items.into_iter().try_for_each(|item| printer.line(line(item)))?;
    tried.iter().try_for_each(|it| it.not_reached().try_for_each(|attempt| printer.line(not_reached(it, &attempt))))
}

/// The verdict, with what the platform would log.
fn verdict(examination: &Examination) -> String {
    let name = &examination.environment.name;
    let level = match examination.health() {
        Health::Healthy => Level::Notice,
        Health::Degraded => Level::Warning,
        Health::Unhealthy | Health::WouldBeSuspended | Health::Suspended => Level::Error,
    };
    let messages = examination.diagnosis.platform_messages(name);
    let lines: Vec<String> = std::iter::once(format!("{name}: {}", examination.health().as_str()))
        .chain(messages)
        .map(|line| Printable(&line).to_string())
        .collect();
    github(level, &[("title", format!("egret doctor: {}", Printable(name)))], &lines.join("\n"))
}

fn not_reached(tried: &Tried, attempt: &Attempt<'_>) -> String {
    let title = format!("egret doctor --live: {}", Printable(&tried.environment));
    github(Level::Error, &[("title", title)], &attempt.failure())
}

fn line(item: &Item) -> String {
    let level = match item.severity {
        Severity::Suspended | Severity::Unhealthy => Level::Error,
        Severity::Degraded | Severity::App => Level::Warning,
        Severity::Advice => Level::Notice,
    };
    let mut properties = Vec::new();
    if let Some((at, position)) = item.at.as_ref().and_then(|at| at.position.as_ref().map(|position| (at, position))) {
        properties.push(("file", at.file.clone()));
        properties.push(("line", position.line.to_string()));
        properties.push(("col", position.column.to_string()));
        properties.push(("endColumn", (position.column + position.width()).to_string()));
    }
    properties.push(("title", format!("egret doctor: {} ({})", item.rule.id, item.severity)));
    let commands = Some(item.commands.trim_end()).filter(|it| !it.is_empty());
    let mend: String =
        item.by_hand.as_deref().into_iter().chain(commands).map(|mend| format!("\nmend: {mend}")).collect();
    // Line ends are the annotation's own; whatever else a name holds is shown as what it is.
    let evidence: String = item.rests_on(LISTED).iter().map(|line| format!("\n{}", Printable(line))).collect();
    let documents: String = item.documents().map(|document| format!("\nsee: {document}")).collect();
    github(level, &properties, &format!("{}{evidence}{mend}{documents}", Printable(&item.what)))
}
