//! The charts of a comparison, by the names of their files.

use super::Comparison;
use super::figure::Figure;
use super::query::EGRET;
use crate::chart::{self, Bar, Curve, Curves, Panel, Picture, Role, Sheet, Spread};
use crate::door::Door;
use crate::suite::{Case, Suite};
use crate::workload::{Setting, Workload};

/// A file name without its ending, and what is in it. Charts without figures are left out.
pub struct Named {
    pub name: String,
    pub title: String,
    pub svg: String,
}

/// The works that a reader asks about first.
const SUMMARY: [(Door, Workload); 6] = [
    (Door::Explicit, Workload::Tunnel),
    (Door::Gateway, Workload::Tunnel),
    (Door::Explicit, Workload::Http),
    (Door::Explicit, Workload::Refused),
    (Door::Gateway, Workload::Bulk),
    (Door::Gateway, Workload::Idle),
];

pub fn pictures(comparison: &Comparison) -> Vec<Named> {
    let usual: Vec<Case> = comparison.cases().into_iter().filter(Case::is_usual).collect();
    let at = |door| usual.iter().copied().filter(move |case| case.door == door).collect::<Vec<Case>>();
    let summary: Vec<Case> = SUMMARY.map(|(door, workload)| Case::usual(door, workload)).into();
    let mut all = vec![named("summary", costs(comparison, &summary, "Egret beside its peers"))];
    for (door, name, title) in [
        (Door::Explicit, "explicit", "The explicit proxy"),
        (Door::Socks5, "socks5", "SOCKS5"),
        (Door::Gateway, "gateway", "The gateway"),
        (Door::Dns, "dns", "The DNS proxy"),
    ] {
        all.push(named(name, costs(comparison, &at(door), title)));
    }
    all.push(named("latency", latencies(comparison, &usual)));
    all.push(named("throughput", throughput(comparison, &usual)));
    all.push(named("concurrency", concurrency(comparison)));
    all.push(named("policy", policy(comparison)));
    all.push(named("connections", connections(comparison)));
    all.push(named("settings", settings(comparison)));
    all.into_iter().flatten().collect()
}

fn named(name: &str, sheet: Sheet) -> Option<Named> {
    (!sheet.panels.is_empty()).then(|| Named { name: name.into(), title: sheet.title.clone(), svg: sheet.svg() })
}

/// Bars of what the proxies are compared by.
fn costs(comparison: &Comparison, cases: &[Case], title: &str) -> Sheet {
    let panel = |case: &Case| bars(comparison, case, Figure::cost(case));
    Sheet {
        title: title.into(),
        caption: format!("Shorter is better. Lines show the range of the rounds. {}", caption(comparison)),
        panels: cases.iter().filter_map(panel).collect(),
    }
}

fn throughput(comparison: &Comparison, cases: &[Case]) -> Sheet {
    let bulk = cases.iter().filter(|case| case.is_bulk());
    Sheet {
        title: "Bulk throughput".into(),
        caption: format!("Longer is better. Client, proxy and origin share the cores. {}", caption(comparison)),
        panels: bulk.filter_map(|case| bars(comparison, case, Figure::GbPerSecond)).collect(),
    }
}

fn caption(comparison: &Comparison) -> String {
    let environment = &comparison.environment;
    let day = environment.date.split('T').next().unwrap_or_default();
    format!("{day}, {} cores of {}.", environment.cores, environment.cpu_model)
}

/// From the least to the most; `None` where only one has a figure.
fn bars(comparison: &Comparison, case: &Case, figure: Figure) -> Option<Panel> {
    let mut bars: Vec<Bar> = Vec::new();
    for name in comparison.with(case, figure) {
        let rounds = comparison.rounds(name, case, figure)?;
        let ratio = comparison.ratio(name, EGRET, case, figure).filter(|_| name != EGRET);
        bars.push(Bar {
            name: name.into(),
            role: comparison.role(name),
            value: rounds.median,
            low: rounds.low,
            high: rounds.high,
            note: ratio.map(|ratio| format!("{} ×", chart::figure(ratio))).unwrap_or_default(),
        });
    }
    bars.sort_by(|a, b| a.value.total_cmp(&b.value));
    let panel = Panel {
        title: capital(&case.full_title()),
        caption: format!("{}, and times Egret's", figure.unit()),
        picture: Picture::Bars(bars),
    };
    Some(panel).filter(|panel| matches!(&panel.picture, Picture::Bars(bars) if bars.len() > 1))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn latencies(comparison: &Comparison, cases: &[Case]) -> Sheet {
    Sheet {
        title: "Latency at a fixed rate".into(),
        caption: format!(
            "Dot: half are faster; tick: 99 of 100; ring: 999 of 1000. With *: at half of its own pace. {}",
            caption(comparison)
        ),
        panels: cases.iter().filter_map(|case| latency(comparison, case)).collect(),
    }
}

fn latency(comparison: &Comparison, case: &Case) -> Option<Panel> {
    let mut spreads = Vec::new();
    let rate = comparison.rate(EGRET, case)?;
    for name in comparison.with(case, Figure::P99) {
        let median = |figure| Some(comparison.rounds(name, case, figure)?.median);
        let (p50, p99, p999) = (median(Figure::P50)?, median(Figure::P99)?, median(Figure::P999)?);
        let own = if comparison.rate(name, case) == Some(rate) { "" } else { " *" };
        spreads.push(Spread { name: format!("{name}{own}"), role: comparison.role(name), p50, p99, p999 });
    }
    spreads.sort_by(|a, b| a.p99.total_cmp(&b.p99));
    Some(Panel {
        title: capital(&case.full_title()),
        caption: format!("{} begin each second", chart::figure(rate)),
        picture: Picture::Spreads(spreads),
    })
}

/// One curve a proxy over the cases, whose x the second function says. Two points are no curve yet, but better than none.
fn curves(
    comparison: &Comparison,
    cases: &[Case],
    figure: Figure,
    x: impl Fn(&Case) -> f64,
    x_title: &str,
) -> Option<Curves> {
    let mut curves = Vec::new();
    for name in comparison.subjects.iter().map(|subject| &subject.name) {
        let point = |case: &Case| Some((x(case), comparison.rounds(name, case, figure)?.median));
        let mut points: Vec<(f64, f64)> = cases.iter().filter_map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if points.len() > 1 {
            curves.push(Curve { name: name.clone(), role: comparison.role(name), points });
        }
    }
    (!curves.is_empty()).then(|| Curves { x_title: x_title.into(), curves })
}

/// The cases of a suite, by door and workload.
fn works(suite: Suite) -> Vec<(Case, Vec<Case>)> {
    let mut works: Vec<(Case, Vec<Case>)> = Vec::new();
    for case in suite.cases() {
        let usual = Case::usual(case.door, case.workload);
        match works.iter_mut().find(|(work, _)| *work == usual) {
            Some((_, cases)) => cases.push(case),
            None => works.push((usual, vec![case])),
        }
    }
    works
}

fn concurrency(comparison: &Comparison) -> Sheet {
    let panel = |(work, cases): (Case, Vec<Case>)| {
        let x = |case: &Case| case.concurrency as f64;
        let curves = curves(comparison, &cases, Figure::Cpu, x, "connections at a time")?;
        let caption = Figure::Cpu.unit().into();
        Some(Panel { title: capital(&work.title()), caption, picture: Picture::Curves(curves) })
    };
    Sheet {
        title: "Cost against concurrency".into(),
        caption: format!("Lower is better. {}", caption(comparison)),
        panels: works(Suite::Concurrency).into_iter().filter_map(panel).collect(),
    }
}

fn policy(comparison: &Comparison) -> Sheet {
    let panel = |(work, cases): (Case, Vec<Case>), figure, what: &str| {
        let x = |case: &Case| case.setting.policy as f64;
        let curves = curves(comparison, &cases, figure, x, "entries of the allowlist")?;
        Some(Panel { title: capital(&work.title()), caption: what.into(), picture: Picture::Curves(curves) })
    };
    let cost = works(Suite::Policy).into_iter().filter_map(|work| panel(work, Figure::Cpu, "CPU µs each"));
    let memory =
        works(Suite::Policy).into_iter().filter_map(|work| panel(work, Figure::Memory, "PSS of the proxy, MiB"));
    Sheet {
        title: "Cost against policy size".into(),
        caption: format!("Lower is better. {}", caption(comparison)),
        panels: cost.chain(memory).collect(),
    }
}

fn connections(comparison: &Comparison) -> Sheet {
    let panel = |(work, cases): (Case, Vec<Case>)| {
        let x = |case: &Case| case.tunnels.unwrap_or_default() as f64;
        let curves = curves(comparison, &cases, Figure::PerTunnel, x, "idle tunnels")?;
        Some(Panel {
            title: capital(&work.full_title()),
            caption: "KiB (PSS) each".into(),
            picture: Picture::Curves(curves),
        })
    };
    Sheet {
        title: "Memory against connection count".into(),
        caption: format!("Lower is better. Memory of the kernel is not in it. {}", caption(comparison)),
        panels: works(Suite::Connections).into_iter().filter_map(panel).collect(),
    }
}

/// Egret alone, in one setting beside the other.
fn settings(comparison: &Comparison) -> Sheet {
    let suites = [(Suite::Hello, "the ClientHello"), (Suite::Log, "the flow log"), (Suite::Churn, "reloads")];
    let panels = suites.into_iter().flat_map(|(suite, what)| {
        works(suite).into_iter().filter_map(move |(work, cases)| variants(comparison, &work, &cases, suite, what))
    });
    Sheet {
        title: "What settings cost Egret".into(),
        caption: format!("Shorter is better. {}", caption(comparison)),
        panels: panels.collect(),
    }
}

fn variants(comparison: &Comparison, work: &Case, cases: &[Case], suite: Suite, what: &str) -> Option<Panel> {
    let bar = |case: &Case| {
        let rounds = comparison.rounds(EGRET, case, Figure::Cpu)?;
        let note = comparison.ratio_of_cases(EGRET, case, work, Figure::Cpu).filter(|_| case != work);
        Some(Bar {
            name: variant(&case.setting, suite).into(),
            role: if case == work { Role::Egret } else { Role::Peer(0) },
            value: rounds.median,
            low: rounds.low,
            high: rounds.high,
            note: note.map(|ratio| format!("{} ×", chart::figure(ratio))).unwrap_or_default(),
        })
    };
    let bars: Vec<Bar> = cases.iter().filter_map(bar).collect();
    (bars.len() > 1).then(|| Panel {
        title: format!("{}: {what}", capital(&work.title())),
        caption: "CPU µs each, and times the usual".into(),
        picture: Picture::Bars(bars),
    })
}

/// What a suite varies in a setting.
fn variant(setting: &Setting, suite: Suite) -> &'static str {
    match suite {
        Suite::Hello => setting.hello.as_str(),
        Suite::Log => setting.log.as_str(),
        _ if setting.churn => "every second",
        _ => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{comparison, tunnel};
    use super::*;
    use crate::workload::LogTo;

    fn names(all: &Comparison) -> Vec<String> {
        pictures(all).into_iter().map(|picture| picture.name).collect()
    }

    #[test]
    fn only_what_has_figures_is_drawn() {
        assert!(names(&comparison(&[])).is_empty());
        let all = comparison(&[("egret", tunnel(), &[10.0]), ("squid", tunnel(), &[20.0])]);
        assert_eq!(names(&all), ["summary", "explicit", "latency"]);
    }

    #[test]
    fn curves_are_drawn_of_the_suites() {
        let with = |concurrency| Case { concurrency, ..tunnel() };
        let all = comparison(&[("egret", with(1), &[10.0]), ("egret", with(4), &[8.0]), ("egret", with(64), &[9.0])]);
        assert_eq!(names(&all), ["concurrency"]);
        let log = |log| Case { setting: Setting { log, ..Setting::default() }, ..tunnel() };
        let all = comparison(&[("egret", log(LogTo::Off), &[10.0]), ("egret", log(LogTo::File), &[12.0])]);
        assert!(names(&all).contains(&"settings".into()));
    }

    #[test]
    fn bars_stand_in_the_order_of_their_length() {
        let all =
            comparison(&[("egret", tunnel(), &[10.0]), ("squid", tunnel(), &[20.0]), ("floor", tunnel(), &[8.0])]);
        let panel = bars(&all, &tunnel(), Figure::Cpu).unwrap();
        let Picture::Bars(bars) = panel.picture else { panic!("bars") };
        let shown: Vec<(&str, &str)> = bars.iter().map(|bar| (bar.name.as_str(), bar.note.as_str())).collect();
        assert_eq!(shown, [("floor", "0.80 ×"), ("egret", ""), ("squid", "2.00 ×")]);
        assert_eq!(panel.title, "New tunnel by CONNECT");
    }
}
