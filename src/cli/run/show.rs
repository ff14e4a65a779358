//! The report as people read it: what was denied first, each with what would have allowed it.

use super::report::{AllowedLine, DeniedLine, Line, Outcome, Report, Side};
use crate::cli::output::{ALLOW, DENY, Format, HINT, PrintError, Printer, STRONG};
use crate::telemetry::Printable;

/// Lines of each kind; the JSON report has them all.
const SHOWN: usize = 50;
const SHOWN_ALLOWED: usize = 20;

pub(super) fn print(report: &Report, format: Format, printer: &mut Printer) -> Result<(), PrintError> {
    match format {
        Format::Text => {
            text(report, printer);
            Ok(())
        }
        Format::Json => printer.tell_json(report),
    }
}

fn text(report: &Report, printer: &mut Printer) {
    if let Some(error) = &report.command_error {
        printer.error(&Printable(error).to_string());
    }
    printer.tell(&headline(report));
    denied("denied", &report.unexpected, printer);
    denied("denied as expected", &report.expected, printer);
    allowed(&report.allowed, printer);
    to_paste(&report.unexpected, printer);
    asides(report, printer);
}

fn headline(report: &Report) -> String {
    let style = if report.outcome == Outcome::Denied { DENY } else { ALLOW };
    let denied = report.unexpected.flows + report.expected.flows;
    let count = |flows: u64, word: &str| if flows == 0 { format!("none {word}") } else { format!("{flows} {word}") };
    let names = match report.names_resolved {
        0 => String::new(),
        1 => ", 1 name resolved".to_owned(),
        names => format!(", {names} names resolved"),
    };
    let summary = match (denied, report.allowed.flows) {
        (0, 0) if names.is_empty() => "nothing asked of the network".to_owned(),
        (denied, allowed) => {
            format!("{style}{}{style:#}, {}{names}", count(denied, "denied"), count(allowed, "allowed"))
        }
    };
    format!("\n{STRONG}egret run{STRONG:#}: {summary}")
}

fn denied(title: &str, side: &Side<DeniedLine>, printer: &mut Printer) {
    if side.flows == 0 {
        return;
    }
    printer.tell(title);
    for DeniedLine { line, mend, nearest_miss } in side.targets.iter().take(SHOWN) {
        let sni = line.sni.as_ref().map(|sni| format!(", SNI {sni}")).unwrap_or_default();
        let rule = line.decided_by().map(|rule| format!("  {}", Printable(rule))).unwrap_or_default();
        let reason = format!("{}{sni}", line.reason);
        printer.tell(&format!("  {DENY}{:<44}{DENY:#} {:>4}  {reason}{rule}", line.target, times(line)));
        known(line, printer);
        if let Some(mend) = mend {
            printer.tell(&format!("      allow it: {}", quoted(mend)));
        }
        if let Some(near) = nearest_miss {
            printer.tell(&format!("      {HINT}{}{HINT:#}", Printable(near)));
        }
    }
    rest(side, SHOWN, printer);
}

fn allowed(side: &Side<AllowedLine>, printer: &mut Printer) {
    if side.flows == 0 {
        return;
    }
    printer.tell("allowed");
    for AllowedLine { line } in side.targets.iter().take(SHOWN_ALLOWED) {
        let rule = line.decided_by().map(|rule| format!("  {HINT}{}{HINT:#}", Printable(rule))).unwrap_or_default();
        printer.tell(&format!("  {:<44} {:>4}{rule}", line.target, times(line)));
        known(line, printer);
    }
    rest(side, SHOWN_ALLOWED, printer);
}

fn known(line: &Line, printer: &mut Printer) {
    if let Some(known) = &line.threat_intel {
        printer.tell(&format!("      {DENY}threat intelligence: {}{DENY:#}", Printable(known)));
    }
}

fn times(line: &Line) -> String {
    format!("x{}", line.count)
}

fn rest<T: AsRef<Line>>(side: &Side<T>, shown: usize, printer: &mut Printer) {
    let hidden: u64 = side.targets.iter().skip(shown).map(|target| target.as_ref().count).sum();
    if hidden + side.unlisted > 0 {
        printer.tell(&format!("  and {} flows more", hidden + side.unlisted));
    }
}

/// A wildcard is the shell's, unless it is quoted.
fn quoted(flag: &str) -> String {
    match flag.split_once(' ') {
        Some((flag, value)) if value.contains(['*', '[', '\\', '?']) => format!("{flag} '{value}'"),
        _ => flag.to_owned(),
    }
}

/// All of it at once, for `egret.toml`.
fn to_paste(side: &Side<DeniedLine>, printer: &mut Printer) {
    let mends = side.targets.iter().take(SHOWN).filter_map(|line| line.mend.as_deref());
    let mut targets: Vec<String> =
        mends.filter_map(|mend| mend.strip_prefix("--allow ")).map(|target| format!("\"{target}\"")).collect();
    targets.dedup();
    if !targets.is_empty() {
        printer.tell("to allow what was denied, in egret.toml:");
        printer.tell(&format!("  allow = [{}]", targets.join(", ")));
    }
}

fn asides(report: &Report, printer: &mut Printer) {
    let count = |what: &str, flows: u64| (flows > 0).then(|| format!("{what}: {flows}"));
    let failed = report.failed.iter().map(|(reason, flows)| format!("allowed, but failed ({reason}): {flows}"));
    let counts = [
        count("flows that threat intelligence knew and let pass to the rules", report.threat_alerts),
        count("past the firewall, by a service endpoint", report.bypassed),
        count("names tried with a search domain, not resolved", report.search_list),
    ];
    counts.into_iter().flatten().chain(failed).for_each(|line| printer.tell(&format!("{HINT}{line}{HINT:#}")));
    for target in &report.unmet {
        printer.warn(&format!("expected to be denied, but nobody asked for it: {}", Printable(target)));
    }
    if report.log_records_lost > 0 {
        printer.warn(&format!("the flow log lacks {} records", report.log_records_lost));
    }
    if !report.enforced {
        printer
            .warn("not enforced (--proxy-only): this is only what went through the proxy of the command's own accord");
    }
}
