//! Findings for people: at most six lines each, by file, and what they sum up to.

use std::collections::HashMap;

use anstyle::{AnsiColor, Style};

use crate::cli::output::{DENY, HINT, PrintError, Printer, STRONG};
use crate::lint::Severity;
use crate::telemetry::Printable;

use super::report::{Item, Limits, Read, Report, counted};

/// Cases of one check that are shown of a file; the rest is counted.
const SHOWN: usize = 20;

pub(super) fn print(report: &Report, printer: &mut Printer) -> Result<(), PrintError> {
    let mut shown: HashMap<(&str, &Option<String>), usize> = HashMap::new();
    for item in &report.items {
        let count = shown.entry((item.check.id, &item.origin)).or_default();
        *count += 1;
        if *count <= SHOWN {
            one(item, printer)?;
        }
    }
    let mut more: Vec<(&str, usize)> = shown.iter().map(|((id, _), count)| (*id, *count)).collect();
    more.retain(|(_, count)| *count > SHOWN);
    more.sort_unstable();
    for (id, count) in more {
        printer
            .line(format_args!("{HINT}and {} more of {id}; other formats have them all{HINT:#}\n", count - SHOWN))?;
    }
    printer.flush()?;
    sum_up(report, printer);
    Ok(())
}

fn style(severity: Severity) -> Style {
    match severity {
        Severity::Error => DENY,
        Severity::Warning => AnsiColor::Yellow.on_default().bold(),
        Severity::Note => AnsiColor::Cyan.on_default().bold(),
    }
}

fn one(item: &Item, printer: &mut Printer) -> Result<(), PrintError> {
    let Item { check, severity, origin, position, path, subject, what, mend, related } = item;
    let style = style(*severity);
    printer.line(format_args!("{style}{severity}[{}]{style:#}: {STRONG}{}{STRONG:#}", check.id, Printable(what)))?;
    let place = match (origin, position) {
        (Some(origin), Some(at)) => format!("{origin}:{}:{}", at.line, at.column),
        (Some(origin), None) => origin.clone(),
        (None, _) => "built in".to_owned(),
    };
    let subject = if subject.is_empty() { path.as_deref().unwrap_or_default() } else { subject };
    printer.line(format_args!("  --> {}{HINT}  {}{HINT:#}", Printable(&place), Printable(subject)))?;
    if let Some(at) = position {
        at.excerpt().lines().try_for_each(|line| printer.line(line))?;
    }
    if let Some(first) = related.first() {
        let more = if related.len() > 1 { format!(" (and {} more)", related.len() - 1) } else { String::new() };
        let place = format!("{}:{}:{}", first.origin, first.line, first.column);
        printer.line(format_args!("  = see: {} {}{more}", Printable(&place), Printable(&first.what)))?;
    }
    if let Some(mend) = mend {
        printer.line(format_args!("  = mend: {}", Printable(mend)))?;
    }
    printer.line("")
}

/// What was looked at, and what it came to.
fn sum_up(report: &Report, printer: &mut Printer) {
    let Read { policies, groups, collections, rules } = report.read;
    let read = [(policies, "policy"), (groups, "group"), (collections, "collection"), (rules, "rule")];
    let read: Vec<String> = read.iter().map(|(count, noun)| counted(*count, noun)).collect();
    let found = Severity::ALL.map(|severity| counted(report.count(severity), severity.as_str()));
    printer.tell(&format!("{}: {}", read.join(", "), found.join(", ")));
    let Limits { undecided, globs_are_sampled } = report.limits;
    if undecided > 0 {
        printer.tell(&format!("whether a flow reaches {} was not decided", counted(undecided, "rule")));
    }
    if globs_are_sampled {
        printer.tell("globs meet in too many ways to look at: what is said of rules with globs is not proven");
    }
    let mut failing = report.items.iter().filter(|item| item.severity == Severity::Error);
    if let Some(item) = failing.next() {
        printer.tell(&format!("{HINT}`egret lint --about {}` says more{HINT:#}", item.check.id));
    }
}
