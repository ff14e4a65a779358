//! A trace drawn for people: a box for each station, the request on the left, its reply on the right.

use anstyle::{AnsiColor, Style};

use super::layout::{Line, beside, boxed, wrapped};
use crate::cli::output::{ALLOW, DENY, HINT, PrintError, Printer, STRONG};
use crate::vnet::trace::{
    Group, Leg, Mark, Outcome, Pairing, Part, Share, Shown, Station, Step, Sweep, SweptEnd, Trace, Unit,
};

/// Where nobody knows how wide a line may be.
const USUAL: usize = 110;
/// Wider ones are hard to read.
const WIDEST: usize = 150;
/// Below that the reply stands under the request.
const TWO_COLUMNS: usize = 96;
const NARROWEST: usize = 40;
const GAP: usize = 2;
/// Prefixes or parts of a group that are listed.
const LISTED: usize = 4;

const UNSURE: Style = AnsiColor::Yellow.on_default().bold();

/// Of the terminal, or as `COLUMNS` says.
pub(super) fn width() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|text| text.parse::<usize>().ok()).filter(|width| *width > 0);
    said.or_else(of_terminal).unwrap_or(USUAL).clamp(NARROWEST, WIDEST)
}

#[cfg(unix)]
fn of_terminal() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

#[cfg(not(unix))]
fn of_terminal() -> Option<usize> {
    None
}

pub(super) fn print(trace: &Trace, width: usize, printer: &mut Printer) -> Result<(), PrintError> {
    for line in drawn(trace, width) {
        printer.line(line)?;
    }
    Ok(())
}

fn drawn(trace: &Trace, width: usize) -> Vec<Line> {
    let mut lines = head(trace, width);
    lines.push(Line::default());
    lines.extend(paths(trace, width));
    if let Some(sweep) = &trace.sweep {
        lines.push(Line::default());
        lines.extend(swept(sweep, width));
    }
    if !trace.notes.is_empty() {
        lines.push(Line::default());
        lines.extend(trace.notes.iter().flat_map(|note| hung(Line::styled(HINT, "note  "), note, HINT, width)));
    }
    lines
}

fn head(trace: &Trace, width: usize) -> Vec<Line> {
    let flow = format!("{} → {}", trace.from, trace.to);
    let first = Line::styled(STRONG, wrapped(&flow, width).join(" ")).and(HINT, format!("  {}", trace.service));
    let (sign, style) = sign_of(&trace.outcome);
    let mut lines = vec![first];
    lines.extend(hung(Line::styled(style, format!("{sign} ")), &trace.outcome.to_string(), style, width));
    lines
}

fn sign_of(outcome: &Outcome) -> (char, Style) {
    match outcome {
        Outcome::Delivered => ('✓', ALLOW),
        Outcome::Unknown(_) => ('?', UNSURE),
        _ => ('✗', DENY),
    }
}

/// A text after a short beginning, its further lines below its first.
fn hung(begin: Line, text: &str, style: Style, width: usize) -> Vec<Line> {
    let indent = begin.width();
    let mut begin = Some(begin);
    let line = |text: String| begin.take().unwrap_or_else(|| Line::plain(" ".repeat(indent))).and(style, text);
    wrapped(text, width.saturating_sub(indent)).into_iter().map(line).collect()
}

fn paths(trace: &Trace, width: usize) -> Vec<Line> {
    let two = width >= TWO_COLUMNS && !trace.reply.is_empty();
    let column = if two { (width - GAP) / 2 } else { width.min(TWO_COLUMNS) };
    let request = [ends(trace, Leg::Request, column), path(&trace.request, column)].concat();
    if trace.reply.is_empty() {
        return request;
    }
    let reply = [ends(trace, Leg::Reply, column), path(&trace.reply, column)].concat();
    match two {
        true => beside(request, reply, column, GAP),
        false => [request, vec![Line::default()], reply].concat(),
    }
}

/// What a column is; of an asymmetric route with its address and its way, so that they stand side by side.
fn ends(trace: &Trace, leg: Leg, width: usize) -> Vec<Line> {
    let title = Line::styled(HINT, leg.as_str());
    let Outcome::Asymmetric(asymmetry) = &trace.outcome else { return vec![title] };
    let (stations, verb, address, style) = match leg {
        Leg::Request => (&trace.request, "sent to ", &asymmetry.came_to, ALLOW),
        Leg::Reply => (&trace.reply, "to leave by ", &asymmetry.leaves_by, DENY),
    };
    let mut lines = vec![title];
    if !asymmetry.is_by_one_address() {
        lines.extend(hung(Line::styled(HINT, verb), &address.to_string(), style, width));
    }
    lines.extend(hung(Line::styled(HINT, "by way of "), &way(stations), style, width));
    lines
}

fn way(stations: &[Station]) -> String {
    let mut names: Vec<&str> = stations.iter().map(|it| it.name.as_str()).collect();
    names.dedup();
    names.join(" → ")
}

fn path(stations: &[Station], width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for (at, station) in stations.iter().enumerate() {
        if at > 0 {
            lines.push(Line::styled(HINT, format!("{}▼", " ".repeat(width / 2))));
        }
        let address = station.address.as_ref().map(|shown| without_name(shown, &station.name)).unwrap_or_default();
        let inside = station.steps.iter().flat_map(|step| told(step, width.saturating_sub(4))).collect();
        lines.extend(boxed(&station.name, &address, inside, width));
    }
    lines
}

/// The station has said its name.
fn without_name(shown: &Shown, name: &str) -> String {
    match shown.address {
        _ if shown.name != name => shown.to_string(),
        Some(address) => address.to_string(),
        None => String::new(),
    }
}

fn told(step: &Step, width: usize) -> Vec<Line> {
    let (sign, style) = match step.mark() {
        Mark::Pass => ("✓ ", ALLOW),
        Mark::Stop => ("✗ ", DENY),
        Mark::Info => ("  ", Style::new()),
    };
    let label = step.label();
    let label = if label.is_empty() { String::new() } else { format!("{label:<8}") };
    let text = if step.mark() == Mark::Stop { style } else { Style::new() };
    hung(Line::styled(style, sign).and(HINT, label), &step.to_string(), text, width)
}

fn swept(sweep: &Sweep, width: usize) -> Vec<Line> {
    let Sweep { ends, groups } = sweep;
    let ends: Vec<String> = ends.iter().map(|end| format!("{}: {}", end.label, counted(end))).collect();
    let mut lines = vec![Line::styled(STRONG, ends.join(" → "))];
    for Group { outcome, way, share } in groups {
        let (sign, style) = sign_of(outcome);
        let begin = Line::styled(style, format!("{sign} ")).and(style, format!("{:<12}", outcome.as_str()));
        lines.extend(hung(begin, &shared(share, &way.join(" → ")), Style::new(), width));
    }
    lines
}

fn counted(end: &SweptEnd) -> String {
    match (end.unit, end.count) {
        (Unit::Prefix, 1) => "1 prefix".to_owned(),
        (Unit::Prefix, count) => format!("{count} prefixes"),
        (Unit::Address, 1) => "1 address".to_owned(),
        (Unit::Address, count) => format!("{count} addresses"),
    }
}

fn shared(share: &Share, way: &str) -> String {
    match share {
        Share::Of { wholly, partly } => {
            let counts =
                [(wholly.len(), "wholly"), (partly.len(), "partly")].into_iter().filter(|(count, _)| *count > 0);
            let counts: Vec<String> = counts.map(|(count, how)| format!("{count} {how}")).collect();
            let parts = partly.iter().map(|Part { prefix, ranges }| format!("{} of {prefix}", listed(ranges, " ")));
            let all: Vec<String> = wholly.iter().map(ToString::to_string).chain(parts).collect();
            format!("{}, by {way}: {}", counts.join(", "), listed(&all, ", "))
        }
        Share::Pairs(pairs) => {
            let pair = |it: &Pairing| format!("{} to {}", listed(&it.from, " "), listed(&it.to, " "));
            let all: Vec<String> = pairs.iter().map(pair).collect();
            format!("by {way}: {}", listed(&all, ", "))
        }
    }
}

fn listed(all: &[impl ToString], between: &str) -> String {
    let first: Vec<String> = all.iter().take(LISTED).map(ToString::to_string).collect();
    let more = if all.len() > LISTED { format!("{between}…") } else { String::new() };
    first.join(between) + &more
}
