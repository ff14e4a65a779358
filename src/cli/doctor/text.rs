//! Findings for people: the verdict first, then what was found, the worst first.

use anstyle::{AnsiColor, Style};

use crate::cli::output::{ALLOW, DENY, HINT, PrintError, Printer, STRONG};
use crate::doctor::{self, Coverage, Health, Outcome, Severity};
use crate::telemetry::Printable;
use crate::vnet::{Hop, LoadBalancing};

use super::report::{Examination, Item, Report, Told};

/// Of what is not covered, what is named in a line; other formats have it all.
const NAMED: usize = 6;

pub(super) fn print(report: &Report, printer: &mut Printer) -> Result<(), PrintError> {
    report.environments.iter().try_for_each(|examination| one(report, examination, printer))?;
    printer.flush()
}

fn one(report: &Report, examination: &Examination, printer: &mut Printer) -> Result<(), PrintError> {
    verdict(examination, printer)?;
    patient(report, examination, printer)?;
    printer.line("")?;
    examination.items.iter().try_for_each(|item| finding(item, printer))?;
    sum_up(examination, printer)
}

fn verdict(examination: &Examination, printer: &mut Printer) -> Result<(), PrintError> {
    let health = examination.health();
    let style = match health {
        Health::Healthy => ALLOW.bold(),
        Health::Degraded => AnsiColor::Yellow.on_default().bold(),
        Health::Unhealthy | Health::WouldBeSuspended | Health::Suspended => DENY,
    };
    let name = Printable(&examination.environment.name);
    printer.line(format_args!("{STRONG}{name}{STRONG:#}: {style}{}{style:#}", health.as_str()))?;
    let messages = examination.diagnosis.platform_messages(&examination.environment.name);
    messages.iter().try_for_each(|message| printer.line(format_args!("  {HINT}│{HINT:#} {}", Printable(message))))
}

/// What was examined.
fn patient(report: &Report, examination: &Examination, printer: &mut Printer) -> Result<(), PrintError> {
    let environment = &examination.environment;
    let kind = match environment.load_balancing {
        LoadBalancing::External => "External",
        LoadBalancing::Internal(_) => "ILB",
    };
    let subnet = report.network.subnet(examination.place);
    let prefixes: Vec<String> = subnet.prefixes.iter().map(ToString::to_string).collect();
    let name = format!("{}/{}", environment.virtual_network, environment.subnet);
    let version = environment.version.number();
    printer.line(format_args!("  {HINT}kind    {HINT:#} {kind} ASE, version {version}"))?;
    printer.line(format_args!("  {HINT}subnet  {HINT:#} {} {}", Printable(&name), prefixes.join(", ")))?;
    printer.line(format_args!("  {HINT}leaves  {HINT:#} {}", Printable(&way_out(report, examination))))?;
    printer.line(format_args!("  {HINT}policy  {HINT:#} {}", Printable(&report.policies.join(", "))))
}

/// Where what nobody has a narrower route for goes.
fn way_out(report: &Report, examination: &Examination) -> String {
    let Some(hop) = doctor::way_out(&report.network, examination.place) else { return "nowhere".to_owned() };
    match hop {
        Hop::VirtualAppliance(address) => match report.network.topology().firewall_at(address) {
            Some(firewall) => format!("by the firewall {} at {address}", firewall.name),
            None => format!("by the appliance at {address}"),
        },
        Hop::Internet => "to the Internet at once".to_owned(),
        Hop::VirtualNetworkGateway => "by the gateway".to_owned(),
        other => other.as_str().to_owned(),
    }
}

fn style(severity: Severity) -> Style {
    match severity {
        Severity::Suspended | Severity::Unhealthy => DENY,
        Severity::Degraded | Severity::App => AnsiColor::Yellow.on_default().bold(),
        Severity::Advice => AnsiColor::Cyan.on_default().bold(),
    }
}

fn finding(item: &Item, printer: &mut Printer) -> Result<(), PrintError> {
    let Item { rule, severity, subject, what, at, evidence, commands, by_hand } = item;
    let style = style(*severity);
    printer.line(format_args!("{style}{severity}[{}]{style:#}: {STRONG}{}{STRONG:#}", rule.id, Printable(what)))?;
    let place = at.as_ref().map(|at| format!("{}  ", at.shown())).unwrap_or_default();
    printer.line(format_args!("  --> {}{HINT}{}{HINT:#}", Printable(&place), Printable(subject)))?;
    evidence.iter().filter(|it| it.coverage.is_none()).try_for_each(|it| because(it, printer))?;
    for coverage in [Coverage::Missing, Coverage::Partly] {
        covered(evidence, coverage, printer)?;
    }
    mend(commands, by_hand.as_deref(), printer)?;
    let documents: Vec<String> = item.documents().collect();
    printer.line(format_args!("  {HINT}= see: {}{HINT:#}", documents.join("; ")))?;
    printer.line("")
}

fn because(told: &Told, printer: &mut Printer) -> Result<(), PrintError> {
    let place = told.at.as_ref().map(|at| format!("  {}", at.shown())).unwrap_or_default();
    printer.line(format_args!("  {HINT}|{HINT:#} {}{HINT}{}{HINT:#}", Printable(&told.what), Printable(&place)))
}

fn covered(evidence: &[Told], coverage: Coverage, printer: &mut Printer) -> Result<(), PrintError> {
    let of: Vec<&str> = evidence.iter().filter(|it| it.coverage == Some(coverage)).map(|it| it.what.as_str()).collect();
    if of.is_empty() {
        return Ok(());
    }
    let named = of.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = if of.len() > NAMED { format!(" and {} more", of.len() - NAMED) } else { String::new() };
    let coverage = coverage.as_str();
    printer.line(format_args!("  {HINT}|{HINT:#} {coverage}: {}{HINT}{more}{HINT:#}", Printable(&named)))
}

fn mend(commands: &str, by_hand: Option<&str>, printer: &mut Printer) -> Result<(), PrintError> {
    if let Some(by_hand) = by_hand {
        printer.line(format_args!("  = mend: {}", Printable(by_hand)))?;
    }
    let mut lines = commands.lines();
    let Some(first) = lines.next() else { return Ok(()) };
    printer.line(format_args!("  = mend: {}", Printable(first)))?;
    lines.try_for_each(|line| printer.line(format_args!("          {}", Printable(line))))
}

fn sum_up(examination: &Examination, printer: &mut Printer) -> Result<(), PrintError> {
    let asked = examination.diagnosis.examined.len();
    let passed = examination.count(|it| matches!(it, Outcome::Passed));
    let found = examination.count(|it| matches!(it, Outcome::Found(_)));
    let other = examination.count(|it| matches!(it, Outcome::NotApplicable(_)));
    printer.flush()?;
    printer.tell(&format!("{asked} rules: {passed} passed, {found} found something, {other} do not apply"));
    if let Some(item) = examination.items.first() {
        printer.tell(&format!("{HINT}`egret doctor --about {}` says more{HINT:#}", item.rule.id));
    }
    Ok(())
}
