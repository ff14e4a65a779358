//! What a CI system reads off a job's output: annotations for GitHub Actions and Azure Pipelines, and GitHub's summary.
//!
//! Names come from whoever was denied: what could end a command or begin another is escaped as each system has it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use super::report::{DeniedLine, Outcome, Report};
use crate::cli::annotation::{self, Level};
use crate::cli::output::Printer;

/// GitHub shows ten errors of a step.
const ANNOTATIONS: usize = 10;

/// Does what the environment asks for.
pub(super) fn annotate(report: &Report, printer: &mut Printer) {
    let is = |name: &str| std::env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    if is("GITHUB_ACTIONS") {
        github(report).iter().for_each(|line| printer.tell(line));
        if let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty())
            && let Err(error) = append(Path::new(&path), &summary(report))
        {
            printer.warn(&format!("cannot write GITHUB_STEP_SUMMARY: {error}"));
        }
    }
    if is("TF_BUILD") {
        azure(report).iter().for_each(|line| printer.tell(line));
    }
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

/// What each annotation says, and how many more there are.
fn messages(report: &Report) -> Vec<String> {
    let targets = &report.unexpected.targets;
    let mut messages: Vec<String> = targets.iter().take(ANNOTATIONS - 1).map(message).collect();
    let more = targets.len().saturating_sub(ANNOTATIONS - 1);
    if more > 0 || report.unexpected.unlisted > 0 {
        messages.push(format!("denied: {more} targets more; the report has them"));
    }
    messages
}

fn message(denied: &DeniedLine) -> String {
    let DeniedLine { line, mend, nearest_miss: _ } = denied;
    let mend = mend.as_ref().map(|mend| format!("; allow it: {mend}")).unwrap_or_default();
    format!("denied: {} ({}, {} times){mend}", line.target, line.reason, line.count)
}

/// `::error title=…::message`
fn github(report: &Report) -> Vec<String> {
    let level = if report.outcome == Outcome::Denied { Level::Error } else { Level::Warning };
    let say = |level, text: &str| annotation::github(level, &[("title", "egret run".to_owned())], text);
    let denied = messages(report).into_iter().map(|text| say(level, &text));
    let unmet = report.unmet.iter().take(ANNOTATIONS);
    let unmet = unmet.map(|it| say(Level::Notice, &format!("expected to be denied, not seen: {it}")));
    denied.chain(unmet).collect()
}

/// `##vso[task.logissue type=…]message`
fn azure(report: &Report) -> Vec<String> {
    let level = if report.outcome == Outcome::Denied { "error" } else { "warning" };
    // What follows the bracket is text up to the end of the line; `%` is the escape's own.
    let escaped = |text: &str| text.replace('%', "%AZP25").replace('\r', "%0D").replace('\n', "%0A");
    messages(report)
        .into_iter()
        .map(|text| format!("##vso[task.logissue type={level}]egret run: {}", escaped(&text)))
        .collect()
}

/// A table for the page of the job.
fn summary(report: &Report) -> String {
    let denied = report.unexpected.flows + report.expected.flows;
    let enforced = if report.enforced { "" } else { " Not enforced (`--proxy-only`)." };
    let (allowed, names) = (report.allowed.flows, report.names_resolved);
    let names = if names > 0 { format!(" {names} names resolved.") } else { String::new() };
    let mut text = format!("### egret run\n\n{denied} flows denied, {allowed} allowed.{names}{enforced}\n\n");
    if !report.unexpected.targets.is_empty() {
        text.push_str("| denied | flows | reason | allow it |\n|---|---:|---|---|\n");
    }
    for DeniedLine { line, mend, nearest_miss: _ } in &report.unexpected.targets {
        let (target, mend) = (code(&line.target), mend.as_deref().map(code).unwrap_or_default());
        text.push_str(&format!("| {target} | {} | {} | {mend} |\n", line.count, line.reason));
    }
    text.push('\n');
    text
}

/// In Markdown, within a table: nothing in it is read as anything but itself.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::super::expect::FailOn;
    use super::super::report::tests::{hostile, report, to};
    use super::*;

    #[test]
    fn a_name_ends_no_command_and_begins_none() {
        let report = report(&[(hostile(b"a\n::error::b\r%0A]|`#vso[task.complete]"), 2)], FailOn::Unexpected);
        let [github] = &github(&report)[..] else { panic!("one annotation") };
        assert_eq!(
            github,
            "::error title=egret run::denied: https://a\\x0a::error::b\\x0d%250A]|`#vso[task.complete] (bad-name, 2 times)"
        );
        let [azure] = &azure(&report)[..] else { panic!("one issue") };
        assert!(
            azure.starts_with("##vso[task.logissue type=error]egret run: denied: https://a\\x0a::error"),
            "{azure}"
        );
        assert!(azure.contains("%AZP250A]") && !azure.contains('\n'), "{azure}");
        let summary = summary(&report);
        let row = summary.lines().rfind(|line| line.starts_with('|')).unwrap();
        assert!(
            row.contains("| `https://a\\x0a::error::b\\x0d%0A]\\|'#vso[task.complete]` | 2 | bad-name |  |"),
            "{row}"
        );
    }

    #[test]
    fn annotations_are_few_and_say_how_many_are_missing() {
        let flows: Vec<_> = (0..25).map(|n| (to(&format!("h{n}.test")), 1)).collect();
        let annotations = github(&report(&flows, FailOn::Unexpected));
        assert_eq!(annotations.len(), ANNOTATIONS);
        assert_eq!(annotations[9], "::error title=egret run::denied: 16 targets more; the report has them");
        let annotations = azure(&report(&flows[..3], FailOn::Never));
        assert_eq!(annotations.len(), 3);
        assert!(annotations[0].starts_with("##vso[task.logissue type=warning]"), "what fails nothing is no error");
    }
}
