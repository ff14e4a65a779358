//! `egret lint --diff OLD NEW`: which flows two policies decide differently.

use std::sync::Arc;

use serde::Serialize;

use crate::cli::output::{HINT, PrintError, Printer, STRONG, style_of};
use crate::cli::{Exit, UsageError};
use crate::config::{self, DefaultFile, Loaded, Overrides};
use crate::control::RulePlace;
use crate::flow::{PortSet, Protocol, Verdict};
use crate::lint::{Clients, Comparison, Difference, Region, Ruling, Side, Witness, compare};
use crate::policy::Policy;
use crate::telemetry::Printable;

use super::also::also;
use super::{Format, overrides_of};

/// The two policies, and how much is told.
pub(super) struct Diff {
    pub(super) old: String,
    pub(super) new: String,
    pub(super) flags: Overrides,
    pub(super) shown: Shown,
    pub(super) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Flows that are allowed by one and denied by the other.
    Verdicts,
    /// And flows that another rule decides alike.
    Rules,
}

pub(super) fn run(diff: Diff, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Diff { old, new, flags, shown, format } = diff;
    let before = load(&old, &flags, printer)?;
    let after = load(&new, &flags, printer)?;
    let comparison = compare(before.side(), after.side());
    let also = also(before.policy.rules(), after.policy.rules());
    match format {
        Format::Text => print(&comparison, &also, shown, printer)?,
        Format::Json => printer.json(&Whole::new(&old, &new, &comparison, &also, shown))?,
        Format::Github => {
            annotate(&new, &comparison, printer)?;
            notice(&new, &also, printer)?;
        }
        Format::Sarif => {
            let what = "differences have no place in a file, so there is no SARIF of them: use --format json";
            return Err(UsageError(what.to_owned()).into());
        }
    }
    tell_limits(&comparison, printer);
    Ok(if comparison.changed.is_empty() { Exit::Clean } else { Exit::Denied })
}

struct Compiled {
    loaded: Loaded,
    policy: Policy,
}

fn load(file: &str, flags: &Overrides, printer: &mut Printer) -> anyhow::Result<Compiled> {
    let loaded = config::load(&overrides_of(&[file.to_owned()], flags.clone()), DefaultFile::Ignored)?;
    loaded.warnings.iter().for_each(|warning| printer.warn(&warning.one_line()));
    let policy = Policy::compile(Arc::new(loaded.config.rules.clone()), loaded.config.switches());
    Ok(Compiled { loaded, policy })
}

impl Compiled {
    fn side(&self) -> Side<'_> {
        Side { set: self.policy.rules(), policy: &self.policy, switches: self.loaded.config.switches() }
    }
}

fn tell_limits(comparison: &Comparison, printer: &mut Printer) {
    if comparison.globs_are_sampled {
        printer.warn("the globs of the policies meet in more ways than were looked at: there may be more differences");
    }
    if comparison.is_cut_short {
        printer.warn("not every name was looked at with every address: there may be more differences of names that lead to addresses");
    }
}

fn print(comparison: &Comparison, also: &[String], shown: Shown, printer: &mut Printer) -> Result<(), PrintError> {
    let Comparison { changed, moved, .. } = comparison;
    changed.iter().try_for_each(|difference| print_one(difference, printer))?;
    if shown == Shown::Rules {
        moved.iter().try_for_each(|difference| print_one(difference, printer))?;
    }
    also.iter().try_for_each(|what| printer.line(format_args!("{NO_VERDICT}: {}", Printable(what))))?;
    printer.flush()?;
    printer.tell(&sum(changed.len(), moved.len(), shown));
    Ok(())
}

const NO_VERDICT: &str = "not a verdict, and different";

fn sum(changed: usize, moved: usize, shown: Shown) -> String {
    let verdicts = match changed {
        0 => "no flow changes its verdict".to_owned(),
        1 => "flows change their verdict in 1 way".to_owned(),
        many => format!("flows change their verdict in {many} ways"),
    };
    let rules = match (moved, shown) {
        (0, _) => "",
        (_, Shown::Rules) => "; the others are decided alike by another rule",
        (_, Shown::Verdicts) => "; --all shows those that another rule decides alike",
    };
    format!("{verdicts}{rules}")
}

fn print_one(difference: &Difference, printer: &mut Printer) -> Result<(), PrintError> {
    let Difference { old, new, region, witness } = difference;
    let (was, is) = (styled(old.verdict), styled(new.verdict));
    printer.line(format_args!("{was} → {is}  {STRONG}{}{STRONG:#}", Printable(&headline(region))))?;
    printer.line(format_args!("  old: {}", Printable(&said(old))))?;
    printer.line(format_args!("  new: {}", Printable(&said(new))))?;
    let arguments = witness.check_arguments().unwrap_or_else(|| witness.to_string());
    printer.line(format_args!("  {HINT}egret check {}{HINT:#}", Printable(&arguments)))
}

fn styled(verdict: Verdict) -> String {
    let style = style_of(verdict);
    format!("{style}{verdict}{style:#}")
}

fn said(ruling: &Ruling) -> String {
    match &ruling.rule {
        Some(rule) => format!("{rule} ({})", ruling.reason),
        None => format!("no rule ({})", ruling.reason),
    }
}

/// Things that a line names; the rest is counted.
const NAMED: usize = 3;

fn headline(region: &Region) -> String {
    let Region { names, but_names, addresses, at, clients, paths, but_paths, protocols, ports, .. } = region;
    let to: Vec<String> =
        names.iter().map(ToString::to_string).chain(addresses.iter().map(ToString::to_string)).collect();
    let mut text = format!("{} to {}", protocols_of(protocols), listed(&to));
    if !but_names.is_empty() {
        text += &format!(" (but not {})", listed(&texts(but_names)));
    }
    if !ports.ranges().is_empty() && !is_every_port(ports) {
        text += &format!(" on {ports}");
    }
    if !paths.is_empty() {
        text += &format!(" for {}", listed(paths));
    }
    if !but_paths.is_empty() {
        text += &format!(" (but not {})", listed(but_paths));
    }
    if !at.is_empty() {
        text += &format!(" where it leads to {}", listed(&texts(at)));
    }
    text + &clients_of(clients)
}

fn is_every_port(ports: &PortSet) -> bool {
    ports.ranges().iter().any(|range| range.first() <= 1 && range.last() == u16::MAX)
}

fn protocols_of(protocols: &[Protocol]) -> String {
    let carried = [Protocol::Http, Protocol::Https, Protocol::Mssql, Protocol::Tcp];
    let all_of_tcp = carried.iter().all(|protocol| protocols.contains(protocol));
    let named =
        protocols.iter().filter(|protocol| !all_of_tcp || !carried.contains(protocol) || **protocol == Protocol::Tcp);
    texts(named).join(", ")
}

fn clients_of(clients: &Clients) -> String {
    match clients {
        Clients { anybody: true, except, .. } if except.is_empty() => String::new(),
        Clients { anybody: true, except, .. } => format!(", from anybody but {}", listed(&texts(except))),
        Clients { ranges, .. } => format!(", from {}", listed(&texts(ranges))),
    }
}

fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

fn listed(items: &[String]) -> String {
    match items {
        [shown @ .., _, _] if shown.len() >= NAMED => {
            format!("{} and {} more", items[..NAMED].join(", "), items.len() - NAMED)
        }
        items => items.join(", "),
    }
}

fn annotate(new: &str, comparison: &Comparison, printer: &mut Printer) -> Result<(), PrintError> {
    use crate::cli::annotation::{Level, github};
    comparison.changed.iter().try_for_each(|difference| {
        let Difference { old, new: is, region, witness } = difference;
        let what = format!("{} → {}  {}", old.verdict, is.verdict, headline(region));
        let arguments = witness.check_arguments().unwrap_or_else(|| witness.to_string());
        let text = format!(
            "{}\nold: {}\nnew: {}\negret check {}",
            Printable(&what),
            Printable(&said(old)),
            Printable(&said(is)),
            Printable(&arguments)
        );
        let properties = vec![("file", new.to_owned()), ("title", "egret lint --diff".to_owned())];
        printer.line(github(Level::Warning, &properties, &text))
    })
}

fn notice(new: &str, also: &[String], printer: &mut Printer) -> Result<(), PrintError> {
    use crate::cli::annotation::{Level, github};
    also.iter().try_for_each(|what| {
        let properties = vec![("file", new.to_owned()), ("title", "egret lint --diff".to_owned())];
        printer.line(github(Level::Notice, &properties, &format!("{NO_VERDICT}: {}", Printable(what))))
    })
}

/// What differs, for programs.
#[derive(Serialize)]
struct Whole<'a> {
    old: &'a str,
    new: &'a str,
    changed: Vec<Line<'a>>,
    /// With `--all` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<Vec<Line<'a>>>,
    /// What differs and changes no verdict, for people.
    also: &'a [String],
    /// False where there may be more than was found.
    complete: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    old: Said<'a>,
    new: Said<'a>,
    flows: Flows<'a>,
    witness: Shape,
}

#[derive(Serialize)]
struct Said<'a> {
    verdict: &'static str,
    reason: &'static str,
    rule: Option<RulePlace<'a>>,
}

#[derive(Serialize)]
struct Flows<'a> {
    protocols: Vec<&'static str>,
    ports: Option<String>,
    names: Vec<String>,
    but_names: Vec<String>,
    addresses: Vec<String>,
    leading_to: Vec<String>,
    from: FromClients,
    paths: &'a [String],
    but_paths: &'a [String],
}

#[derive(Serialize)]
struct FromClients {
    anybody: bool,
    ranges: Vec<String>,
    except: Vec<String>,
}

#[derive(Serialize)]
struct Shape {
    target: String,
    from: Option<String>,
    /// What follows `egret check`.
    arguments: Option<String>,
}

impl<'a> Whole<'a> {
    fn new(old: &'a str, new: &'a str, comparison: &'a Comparison, also: &'a [String], shown: Shown) -> Whole<'a> {
        let Comparison { changed, moved, globs_are_sampled, is_cut_short } = comparison;
        let lines = |differences: &'a [Difference]| differences.iter().map(line).collect();
        Whole {
            old,
            new,
            changed: lines(changed),
            moved: (shown == Shown::Rules).then(|| lines(moved)),
            also,
            complete: !globs_are_sampled && !is_cut_short,
        }
    }
}

fn line(difference: &Difference) -> Line<'_> {
    let Difference { old, new, region, witness } = difference;
    Line { old: said_to_programs(old), new: said_to_programs(new), flows: flows(region), witness: shape(witness) }
}

fn said_to_programs(ruling: &Ruling) -> Said<'_> {
    let Ruling { verdict, reason, rule } = ruling;
    Said {
        verdict: verdict.as_str(),
        reason: reason.as_str(),
        rule: rule.as_ref().map(|rule| RulePlace::from(&**rule)),
    }
}

fn flows(region: &Region) -> Flows<'_> {
    let Region { protocols, ports, names, but_names, addresses, at, clients, paths, but_paths, .. } = region;
    let Clients { anybody, ranges, except } = clients;
    Flows {
        protocols: protocols.iter().map(|protocol| protocol.as_str()).collect(),
        ports: (!ports.ranges().is_empty()).then(|| ports.to_string()),
        names: texts(names),
        but_names: texts(but_names),
        addresses: texts(addresses),
        leading_to: texts(at),
        from: FromClients { anybody: *anybody, ranges: texts(ranges), except: texts(except) },
        paths,
        but_paths,
    }
}

fn shape(witness: &Witness) -> Shape {
    Shape {
        target: witness.target(),
        from: witness.client.map(|client| client.to_string()),
        arguments: witness.check_arguments(),
    }
}
