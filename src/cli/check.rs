//! `egret check`: asks the policy about targets, one answer a line.

use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;

use anyhow::Context;

use super::args::{FlowArgs, PolicyArgs};
use super::asker::Asker;
use super::output::{Format, HINT, PrintError, Printer, STRONG, style_of};
use super::{Exit, UsageError};
use crate::config::{self, CheckTarget, DefaultFile, Loaded};
use crate::control::{Answer, Asking, Detail, Oracle, StepLine, ThreatLine};
use crate::flow::{Reason, Verdict};
use crate::policy::Policy;
use crate::telemetry::Printable;

const EXAMPLES: &str = "\
Targets:
  https://host[:port][/path], http://…, mssql://host[:port], tcp://addr:port, udp://addr:port, icmp://addr,
  host:port, or a bare host, which is asked for by HTTPS

Examples:
  egret check https://login.windows.net
  egret check --policy egret.toml --from 10.0.1.4 https://api.contoso.com tcp://10.1.0.4:1433
  egret check --format json < targets.txt
  egret check --explain https://example.com

Exits with 3 when any target is denied, with 2 when any is no target.";

/// Ask the policy about targets: would they get through?
///
/// Nothing is sent and no name is resolved: give addresses with --resolve where a rule looks at them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// What to ask about; without any or with `-`, one a line from standard input (`#` begins a comment)
    targets: Vec<String>,
    /// Who asks, by address or as a machine of a subnet; without it, a client that only rules for everybody match
    #[arg(long, env = "EGRET_FROM", value_name = "ADDR|SUBNET")]
    from: Option<Asker>,
    /// Show every rule that was looked at, in order, and why it did not match
    #[arg(long, env = "EGRET_EXPLAIN", value_parser = clap::builder::FalseyValueParser::new())]
    explain: bool,
    /// How to answer: a line for people or one JSON object a line
    #[arg(long, env = "EGRET_FORMAT", value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    flow: FlowArgs,
}

pub(super) fn run(args: Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Args { targets, from, explain, format, policy, flow } = args;
    let lines: Lines = match targets.as_slice() {
        [] if io::stdin().is_terminal() => {
            return Err(UsageError("no target: name one, as in `egret check https://login.windows.net`".into()).into());
        }
        [] => Box::new(numbered(io::stdin().lock())),
        [dash] if dash == "-" => Box::new(numbered(io::stdin().lock())),
        _ => Box::new(targets.into_iter().map(|target| Ok((None, target)))),
    };
    let Loaded { config, warnings, .. } = config::load(&flow.over(policy.into_overrides()), DefaultFile::Read)?;
    warnings.iter().for_each(|warning| printer.warn(&warning.one_line()));
    let from = from.map(|from| from.resolved(config.network.as_deref())).transpose()?;
    let (switches, network) = (config.switches(), config.enforced_network().cloned());
    let policy = Policy::compile(Arc::new(config.rules), switches);
    let detail = if explain { Detail::Steps } else { Detail::Verdict };
    let mut check = Check {
        oracle: Oracle::new(&policy, network.as_deref(), config.profile, &config.dns),
        from,
        detail,
        format,
        printer,
        tally: Tally::default(),
    };
    match check.all(lines) {
        // Whoever read the answers has seen enough; the exit code is that of those which were read.
        Err(error) if matches!(error.downcast_ref(), Some(PrintError::Closed)) => Ok(check.tally.exit()),
        Err(error) => Err(error),
        Ok(()) => {
            check.sum_up();
            Ok(check.tally.exit())
        }
    }
}

/// Targets with the numbers of their lines, if they come from lines.
type Lines = Box<dyn Iterator<Item = io::Result<(Option<usize>, String)>>>;

fn numbered(lines: impl BufRead + 'static) -> impl Iterator<Item = io::Result<(Option<usize>, String)>> {
    let is_target = |text: &str| !text.is_empty() && !text.starts_with('#');
    lines.split(b'\n').enumerate().filter_map(move |(number, line)| {
        let line = line.map(|line| String::from_utf8_lossy(&line).trim().to_owned());
        match line {
            Ok(text) if is_target(&text) => Some(Ok((Some(number + 1), text))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    })
}

#[derive(Debug, Default)]
struct Tally {
    allowed: usize,
    denied: usize,
    bad: usize,
}

impl Tally {
    fn exit(&self) -> Exit {
        match self {
            Tally { bad: 1.., .. } => Exit::Usage,
            Tally { denied: 1.., .. } => Exit::Denied,
            _ => Exit::Clean,
        }
    }
}

struct Check<'a> {
    oracle: Oracle<'a>,
    from: Option<Asking>,
    detail: Detail,
    format: Format,
    printer: &'a mut Printer,
    tally: Tally,
}

impl Check<'_> {
    /// Answers line by line, so that whoever writes the questions can wait for the answers.
    fn all(&mut self, lines: Lines) -> anyhow::Result<()> {
        for line in lines {
            let (number, text) = line.context("cannot read the targets from standard input")?;
            match CheckTarget::parse(&text) {
                Ok(target) => self.one(&target)?,
                Err(error) => {
                    self.tally.bad += 1;
                    let place = number.map(|number| format!("standard input, line {number}: "));
                    self.printer.error(&format!("{}{}", place.unwrap_or_default(), Printable(&error.to_string())));
                }
            }
        }
        Ok(())
    }

    fn one(&mut self, target: &CheckTarget) -> Result<(), PrintError> {
        let answer = self.oracle.ask(target, self.from, self.detail);
        match answer.verdict {
            Verdict::Allow => self.tally.allowed += 1,
            Verdict::Deny => self.tally.denied += 1,
        }
        match self.format {
            Format::Json => self.printer.json_line(&answer)?,
            Format::Text => print(&answer, self.printer)?,
        }
        self.printer.flush()
    }

    fn sum_up(&mut self) {
        let Tally { allowed, denied, bad } = self.tally;
        if self.format == Format::Text && allowed + denied + bad > 1 {
            let bad = if bad > 0 { format!(", {bad} not understood") } else { String::new() };
            self.printer.tell(&format!("{allowed} allowed, {denied} denied{bad}"));
        }
    }
}

fn print(answer: &Answer<'_>, printer: &mut Printer) -> Result<(), PrintError> {
    let Answer { target, verdict, reason, rule, profile: _, threat_intel, network, note, nearest_miss, steps } = answer;
    let style = style_of(*verdict);
    let rule = rule.map(|rule| format!("  {}", Printable(&rule.to_string()))).unwrap_or_default();
    let target = Printable(target).to_string();
    let (verdict, reason) = (verdict.as_str(), reason.as_str());
    let known = threat_intel.as_ref().map(|ThreatLine { action, indicator, description }| {
        format!("threat intelligence, {action}: {indicator}, {description}")
    });
    let around = network.as_ref().map(ToString::to_string);
    let is_platform = network.as_ref().is_some_and(|network| network.is_platform);
    let unseen =
        is_platform || answer.reason.is_before_firewall() || (answer.reason.is_past_firewall() && network.is_some());
    let hints = [&known, nearest_miss, note].into_iter().flatten();
    if let Some(steps) = steps {
        printer.line(format_args!("{style}{verdict:<5}{style:#}  {STRONG}{target}{STRONG:#}  {reason}{rule}"))?;
        if let Some(around) = &around {
            printer.line(format_args!("        {}", Printable(around)))?;
        }
        if unseen {
            printer.line("        the firewall never sees it: no rule was looked at")?;
        } else if answer.reason == Reason::ThreatIntel {
            printer.line("        threat intelligence comes first: no rule was looked at")?;
        } else {
            print_steps(steps, printer)?;
        }
        for hint in hints {
            printer.line(format_args!("  {STRONG}=>{STRONG:#} {}", Printable(hint)))?;
        }
        return Ok(());
    }
    let hints = around.iter().filter(|_| unseen).chain(hints);
    let hints: String = hints.map(|hint| format!("  {HINT}({}){HINT:#}", Printable(hint))).collect();
    let line = format!("{style}{verdict:<5}{style:#}  {target:<48}  {reason:<16}{rule}{hints}");
    printer.line(line.trim_end())
}

fn print_steps(steps: &[StepLine<'_>], printer: &mut Printer) -> Result<(), PrintError> {
    for (number, step) in steps.iter().enumerate() {
        let StepLine { rule, kind, action, matched, misses } = step;
        let rule = rule.to_string();
        let (number, rule) = (number + 1, Printable(&rule));
        if *matched {
            printer.line(format_args!("  {number:>4}. {kind} {action} {STRONG}{rule}{STRONG:#}: matches"))?;
        } else {
            let misses = misses.join("; ");
            printer
                .line(format_args!("  {number:>4}. {kind} {action} {rule}: {HINT}{}{HINT:#}", Printable(&misses)))?;
        }
    }
    if !steps.iter().any(|step| step.matched) {
        printer.line("        no rule matches: denied by default")?;
    }
    Ok(())
}
