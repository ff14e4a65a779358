//! The whole report in Markdown, for a terminal as for a page.

use std::fmt::Write as _;

use clap::ValueEnum as _;

use super::figure::Figure;
use super::goals::{self, Outcome};
use super::pictures::Named;
use super::query::{EGRET, Rounds};
use super::table::Table;
use super::{Comparison, Conditions, Environment};
use crate::chart::figure;
use crate::door::Door;
use crate::suite::Case;
use crate::workload::Setting;

/// `pictures` are linked as files in `folder`; without any it is for a terminal.
pub fn markdown(comparison: &Comparison, pictures: &[Named], folder: &str) -> String {
    let mut out = format!("# Egret beside its peers\n\n{}\n", conditions(comparison));
    let cases = comparison.cases();
    let image = |name: &str| {
        let picture = pictures.iter().find(|picture| picture.name == name);
        picture.map(|Named { name, title, .. }| format!("![{title}]({folder}{name}.svg)\n\n")).unwrap_or_default()
    };
    out.push_str(&image("summary"));
    for &door in Door::value_variants() {
        let usual: Vec<Case> = cases.iter().copied().filter(|case| case.door == door && case.is_usual()).collect();
        if usual.is_empty() {
            continue;
        }
        let _ = write!(out, "## {}\n\n{}", heading(door), image(door.as_str()));
        usual.iter().for_each(|case| out.push_str(&work(comparison, case)));
    }
    if !pictures.is_empty() {
        out.push_str("## Latency and throughput\n\n");
    }
    out.push_str(&(image("latency") + &image("throughput")));
    let unusual: Vec<Case> = cases.into_iter().filter(|case| !case.is_usual()).collect();
    if !unusual.is_empty() {
        out.push_str("## Concurrency, policies, connections, settings\n\n");
        for name in ["concurrency", "policy", "connections", "settings"] {
            out.push_str(&image(name));
        }
        out.push_str(&variations(comparison, &unusual));
    }
    out.push_str(&ratios(comparison));
    out.push_str(&outcomes(&goals::outcomes(comparison)));
    out.push_str(&omissions(comparison));
    out
}

fn heading(door: Door) -> &'static str {
    match door {
        Door::Explicit => "The explicit proxy",
        Door::Socks5 => "SOCKS5",
        Door::Gateway => "The gateway",
        Door::Dns => "The DNS proxy",
    }
}

fn conditions(comparison: &Comparison) -> String {
    let Environment { date, kernel, cpu_model, cores, memory_mib, load_average, tcp_max_tw_buckets } =
        &comparison.environment;
    let Conditions { command, rounds, seconds, policy } = &comparison.conditions;
    let versions: Vec<&str> = comparison.subjects.iter().map(|subject| subject.version.as_str()).collect();
    let mut distinct: Vec<&str> = Vec::new();
    versions.into_iter().for_each(|version| {
        if !distinct.contains(&version) {
            distinct.push(version)
        }
    });
    let joined: String = comparison
        .joined
        .iter()
        .map(|Conditions { command, rounds, seconds, .. }| {
            format!(
                "\nAdded to it, of what is as fast as it can be: `egret-bench {}`, rounds: {rounds}, of {seconds} s.",
                command.join(" ")
            )
        })
        .collect();
    format!(
        "{date}, kernel {kernel}, {cores} cores of {cpu_model}, {memory_mib} MiB; load before it {load_average}; \
         tcp_max_tw_buckets {tcp_max_tw_buckets}.\n\
         {}.\n\
         `egret-bench {}`: rounds: {rounds}, of {seconds} s for each measurement, in turns. Policy: {policy}.{joined}\n\n\
         Figures are medians of the rounds, with their range in brackets; ratios are medians of the rounds' ratios. \
         CPU is of the whole process tree of a proxy that works as fast as it can, latency of operations that begin \
         at a fixed rate (open loop, so many a second) and counts from when they should have begun.\n",
        distinct.join("; "),
        command.join(" "),
    )
}

/// One work: those who did it, and what it took.
fn work(comparison: &Comparison, case: &Case) -> String {
    let figures = Figure::all(case);
    let mut head = vec![case.title()];
    for figure in figures {
        head.extend((*figure == Figure::P50).then(|| "open loop".to_owned()));
        head.push(figure.title().to_owned());
    }
    head.extend(["errors".into(), "egret ÷".into()]);
    let mut table = Table::new(head);
    for proxy in participants(comparison, case) {
        let mut cells = vec![proxy.to_owned()];
        for kind in figures {
            if *kind == Figure::P50 {
                cells.push(comparison.rate(proxy, case).map_or("–".into(), figure));
            }
            let rounds = comparison.rounds(proxy, case, *kind);
            let shown = |rounds| if *kind == Figure::cost(case) { with_range(rounds) } else { figure(rounds.median) };
            cells.push(rounds.map_or("–".into(), shown));
        }
        cells.push(comparison.errors(proxy, case).to_string());
        cells.push(ratio(comparison, proxy, case));
        table.push(cells);
    }
    table.markdown() + "\n"
}

/// Who has any figure here: the direct connection has throughput and latency, and no cost.
fn participants<'a>(comparison: &'a Comparison, case: &Case) -> Vec<&'a str> {
    let mut names = comparison.with(case, Figure::cost(case));
    for figure in Figure::all(case) {
        for name in comparison.with(case, *figure) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn with_range(Rounds { low, median, high }: Rounds) -> String {
    let (middle, low, high) = (figure(median), figure(low), figure(high));
    if low == high { middle } else { format!("{middle} ({low}–{high})") }
}

/// Of the cost: Egret's divided by this one's.
fn ratio(comparison: &Comparison, proxy: &str, case: &Case) -> String {
    let ratio = comparison.ratio(EGRET, proxy, case, Figure::cost(case)).filter(|_| proxy != EGRET);
    ratio.map_or("–".into(), |ratio| format!("{ratio:.2}"))
}

/// What is not as usual, one line a case: whoever did it has a column.
fn variations(comparison: &Comparison, cases: &[Case]) -> String {
    let names: Vec<&str> = comparison.subjects.iter().map(|subject| subject.name.as_str()).collect();
    let took_part = |name: &&str| cases.iter().any(|case| comparison.rounds(name, case, Figure::cost(case)).is_some());
    let names: Vec<&str> = names.into_iter().filter(took_part).collect();
    let mut table = Table::new([vec!["", "figure"], names.clone()].concat());
    for case in cases {
        let median = |name: &&str| comparison.rounds(name, case, Figure::cost(case)).map(|rounds| rounds.median);
        let cells = names.iter().map(|name| median(name).map_or("–".into(), figure));
        let what = vec![point(case), Figure::cost(case).title().into()];
        table.push(what.into_iter().chain(cells));
    }
    table.markdown() + "\n"
}

/// A case among all others.
pub fn point(case: &Case) -> String {
    let particular = particular(case);
    if particular.is_empty() { case.full_title() } else { format!("{}, {particular}", case.full_title()) }
}

/// What of a case is not as usual.
fn particular(case: &Case) -> String {
    let usual = Case::usual(case.door, case.workload);
    let Setting { policy, hello, log, churn } = case.setting;
    let mut parts = Vec::new();
    if case.concurrency != usual.concurrency {
        parts.push(format!("{} at a time", case.concurrency));
    }
    if policy != usual.setting.policy {
        parts.push(format!("{} entries", figure(policy as f64)));
    }
    if let Some(tunnels) = case.tunnels {
        parts.push(format!("{} of them", figure(tunnels as f64)));
    }
    if hello != usual.setting.hello {
        parts.push(hello.as_str().into());
    }
    if log != usual.setting.log {
        parts.push(format!("log {}", log.as_str()));
    }
    if churn {
        parts.push("reloads every second".into());
    }
    parts.join(", ")
}

/// Egret's cost divided by everybody's: one table of all that is as usual.
fn ratios(comparison: &Comparison) -> String {
    let cases: Vec<Case> = comparison.cases().into_iter().filter(Case::is_usual).collect();
    let names = comparison.subjects.iter().map(|subject| subject.name.as_str()).filter(|name| *name != EGRET);
    let has_any = |name: &&str| cases.iter().any(|case| ratio(comparison, name, case) != "–");
    let names: Vec<&str> = names.filter(has_any).collect();
    if names.is_empty() {
        return String::new();
    }
    let mut table = Table::new([vec!["egret ÷", "figure"], names.clone()].concat());
    for case in &cases {
        let cells = names.iter().map(|name| ratio(comparison, name, case));
        let what = vec![case.full_title(), Figure::cost(case).title().into()];
        table.push(what.into_iter().chain(cells));
    }
    format!("## Ratios\n\nEgret's cost divided by the other's: below 1, Egret takes less.\n\n{}\n", table.markdown())
}

fn outcomes(outcomes: &[Outcome]) -> String {
    let mut table = Table::new(["work", "goal", "reached", "", "best peer, or where"]);
    for outcome in outcomes {
        let Outcome { work, goal, reached: _, verdict, note } = outcome;
        table.push([
            work.clone(),
            goal.clone(),
            outcome.shown(),
            verdict.as_str().into(),
            note.clone().unwrap_or_default(),
        ]);
    }
    format!("## The goals\n\n{}", table.markdown())
}

fn omissions(comparison: &Comparison) -> String {
    let mut out = String::new();
    if comparison.interrupted {
        out.push_str("\nIt was interrupted: this is what there was by then.\n");
    }
    if !comparison.missing.is_empty() {
        out.push_str("\n## Not measured\n\n");
        comparison.missing.iter().for_each(|missing| _ = writeln!(out, "- {}: {}", missing.what, missing.why));
    }
    if !comparison.failures.is_empty() {
        out.push_str("\n## Failed\n\n");
        comparison.failures.iter().for_each(|failure| _ = writeln!(out, "- {failure}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{comparison, tunnel};
    use super::super::{Missing, pictures};
    use super::*;
    use crate::workload::Workload;

    fn sample() -> Comparison {
        let many = Case { setting: Setting { policy: 100_000, ..Setting::default() }, ..tunnel() };
        let mut all = comparison(&[
            ("egret", tunnel(), &[10.0, 14.0]),
            ("egret", many, &[11.0, 15.0]),
            ("egret", Case::usual(Door::Gateway, Workload::Pingpong), &[4.0]),
            ("squid", tunnel(), &[20.0, 28.0]),
            ("direct", tunnel(), &[1.0, 1.0]),
        ]);
        all.missing = vec![Missing { what: "g3proxy".into(), why: "not installed".into() }];
        all
    }

    /// A row that begins so has these cells.
    fn check(text: &str, first: &str, cells: &[&str]) {
        let mut rows = text.lines().filter(|line| line.strip_prefix("| ").is_some_and(|line| line.starts_with(first)));
        let has_all = |row: &str| cells.iter().all(|cell| row.split('|').any(|found| found.trim() == *cell));
        assert!(rows.any(has_all), "no row of {first} with {cells:?}:\n{text}");
    }

    #[test]
    fn every_participant_has_its_figures() {
        let text = markdown(&sample(), &[], "");
        check(&text, "new tunnel by CONNECT", &["CPU µs", "a second", "p99.9 µs", "open loop", "errors", "egret ÷"]);
        check(&text, "egret ", &["12.0 (10.0–14.0)", "24.0", "120", "600", "5000", "4.00", "0"]);
        check(&text, "squid ", &["24.0 (20.0–28.0)", "0.50"]);
        check(&text, "direct ", &["–", "1\u{a0}000\u{a0}000"]);
        check(&text, "new tunnel by CONNECT, 100\u{a0}000 entries", &["CPU µs", "13.0"]);
        check(&text, "new tunnel by CONNECT, CPU µs", &["≤ 0.55 × squid", "0.50", "met"]);
        assert!(text.contains("- g3proxy: not installed\n"), "{text}");
        assert!(!text.contains("!["), "pictures on a terminal: {text}");
    }

    #[test]
    fn pictures_are_linked_where_they_are() {
        let all = sample();
        let text = markdown(&all, &pictures(&all), "today/");
        assert!(text.contains("![Egret beside its peers](today/summary.svg)"), "{text}");
        assert!(text.contains("](today/latency.svg)"), "{text}");
        for picture in pictures(&all) {
            assert!(text.contains(&format!("(today/{}.svg)", picture.name)), "{} is not shown", picture.name);
        }
    }

    #[test]
    fn an_interrupted_run_says_so() {
        let mut all = sample();
        all.interrupted = true;
        all.failures.push("squid: it does not listen".into());
        let text = markdown(&all, &[], "");
        assert!(text.contains("It was interrupted") && text.contains("- squid: it does not listen"), "{text}");
    }
}
