//! `egret allowlist`: the built-in lists, to be looked at and compared.

use clap::Subcommand;
use serde::Serialize;

use super::output::{ALLOW, DENY, Format, HINT, PrintError, Printer, STRONG};
use super::{Exit, UsageError};
use crate::allowlist::{BUILTINS, List, ListDiff, builtin, diff, find, lists};

const EXAMPLES: &str = "\
Examples:
  egret allowlist list
  egret allowlist show ase                              every list of the default edition
  egret allowlist show ase/fqdn                         one list
  egret allowlist show Storage                          the newest addresses of a service tag
  egret allowlist diff ase@2018-09-24 ase@2023-11-20    what changed between two editions";

/// List, show and compare the built-in lists
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Name every list, with its date and source, and every built-in policy
    List {
        #[command(flatten)]
        shape: Shape,
    },
    /// Show a list, or every list of an edition, with where it comes from
    Show {
        /// As `egret allowlist list` names it, or an edition such as ase@2018-09-24, or a service tag
        name: String,
        #[command(flatten)]
        shape: Shape,
    },
    /// Show what one list or edition has that another has not
    Diff {
        /// The list or edition to begin with
        from: String,
        /// The list or edition to compare it with
        to: String,
        #[command(flatten)]
        shape: Shape,
    },
}

#[derive(Debug, clap::Args)]
struct Shape {
    /// How to answer
    #[arg(long, env = "EGRET_FORMAT", value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    match &args.command {
        Command::List { shape } => list(shape.format, printer)?,
        Command::Show { name, shape } => show(&lists_of(name)?, shape.format, printer)?,
        Command::Diff { from, to, shape } => compare((from, to), &diff(from, to)?, shape.format, printer)?,
    }
    Ok(Exit::Clean)
}

/// By the name of a list or edition; else by that of a policy, whose lists they are.
fn lists_of(name: &str) -> anyhow::Result<Vec<&'static List>> {
    let unknown = match find(name) {
        Ok(found) => return Ok(found),
        Err(unknown) => unknown,
    };
    match builtin(name) {
        Some(policy) if policy.lists.is_empty() => {
            Err(UsageError(format!("`{name}` is a policy without lists: it denies everything")).into())
        }
        Some(policy) => Ok(policy.lists),
        None => Err(unknown.into()),
    }
}

/// A list without its entries.
#[derive(Serialize)]
struct Header<'a> {
    name: &'a str,
    title: &'a str,
    date: &'a str,
    source: &'a str,
    scope: &'a str,
    kind: &'a str,
    count: usize,
    approximation: Option<&'a str>,
    notes: &'a [&'a str],
}

impl<'a> From<&'a List> for Header<'a> {
    fn from(list: &'a List) -> Header<'a> {
        let List { name, title, source, date, scope, kind, protocols: _, approximation, notes, entries } = list;
        let (kind, count, approximation) = (kind.as_str(), entries.len(), *approximation);
        Header { name, title, date, source, scope, kind, count, approximation, notes }
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    header: Header<'a>,
    entries: &'a [&'a str],
}

#[derive(Serialize)]
struct BuiltinLine {
    name: &'static str,
    about: &'static str,
}

#[derive(Serialize)]
struct Everything<'a> {
    policies: Vec<BuiltinLine>,
    lists: Vec<Header<'a>>,
}

fn list(format: Format, printer: &mut Printer) -> Result<(), PrintError> {
    let headers = lists().iter().map(Header::from);
    if format == Format::Json {
        let policies = BUILTINS.iter().map(|(name, about)| BuiltinLine { name, about }).collect();
        return printer.json(&Everything { policies, lists: headers.collect() });
    }
    printer.line(format_args!("{STRONG}policies{STRONG:#} (for --policy)"))?;
    for (name, about) in BUILTINS {
        printer.line(format_args!("  {name:<26}  {about}"))?;
    }
    printer.line(format_args!("\n{STRONG}lists{STRONG:#}"))?;
    let width = lists().iter().map(|list| list.name.len()).max().unwrap_or(0);
    for Header { name, title, date, count, approximation, .. } in headers {
        let doubt = if approximation.is_some() { " (an approximation)" } else { "" };
        printer.line(format_args!("  {name:<width$}  {date:<10}  {count:>5}  {title}{HINT}{doubt}{HINT:#}"))?;
    }
    Ok(())
}

fn show(found: &[&List], format: Format, printer: &mut Printer) -> Result<(), PrintError> {
    if format == Format::Json {
        let whole = found.iter().map(|list| Whole { header: Header::from(*list), entries: &list.entries });
        return printer.json(&whole.collect::<Vec<_>>());
    }
    for (number, list) in found.iter().enumerate() {
        if number > 0 {
            printer.line("")?;
        }
        print_list(list, printer)?;
    }
    Ok(())
}

fn print_list(list: &List, printer: &mut Printer) -> Result<(), PrintError> {
    let Header { name, title, date, source, scope, kind, count, approximation, notes } = Header::from(list);
    printer.line(format_args!("{STRONG}{name}{STRONG:#}  {title}"))?;
    printer.line(format_args!("  source: {source}"))?;
    printer.line(format_args!("  date: {date}; scope: {scope}; kind: {kind}; entries: {count}"))?;
    if let Some(why) = approximation {
        printer.line(format_args!("  approximation: {why}"))?;
    }
    for note in notes {
        printer.line(format_args!("  note: {note}"))?;
    }
    list.entries.iter().try_for_each(|entry| printer.line(entry))
}

#[derive(Serialize)]
struct DiffLine<'a> {
    kind: &'static str,
    from: &'a [&'a str],
    to: &'a [&'a str],
    added: &'a [&'a str],
    removed: &'a [&'a str],
    kept: usize,
}

impl<'a> From<&'a ListDiff> for DiffLine<'a> {
    fn from(diff: &'a ListDiff) -> DiffLine<'a> {
        let ListDiff { kind, from, to, added, removed, kept } = diff;
        DiffLine { kind: kind.as_str(), from, to, added, removed, kept: *kept }
    }
}

fn compare(names: (&str, &str), diffs: &[ListDiff], format: Format, printer: &mut Printer) -> Result<(), PrintError> {
    if format == Format::Json {
        return printer.json(&diffs.iter().map(DiffLine::from).collect::<Vec<_>>());
    }
    for (number, diff) in diffs.iter().enumerate() {
        if number > 0 {
            printer.line("")?;
        }
        print_diff(names, diff, printer)?;
    }
    Ok(())
}

fn print_diff((from, to): (&str, &str), diff: &ListDiff, printer: &mut Printer) -> Result<(), PrintError> {
    let ListDiff { kind, from: olds, to: news, added, removed, kept } = diff;
    let (plus, minus) = (added.len(), removed.len());
    let kind = kind.as_str();
    printer.line(format_args!("{STRONG}{kind}{STRONG:#}  {plus} added, {minus} removed, {kept} kept"))?;
    for (side, lists) in [(from, olds), (to, news)] {
        if lists.is_empty() {
            printer.line(format_args!("  {side} has no such list"))?;
        }
    }
    removed.iter().try_for_each(|entry| printer.line(format_args!("{DENY}- {entry}{DENY:#}")))?;
    added.iter().try_for_each(|entry| printer.line(format_args!("{ALLOW}+ {entry}{ALLOW:#}")))
}
