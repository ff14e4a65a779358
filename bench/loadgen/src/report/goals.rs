//! What Egret is to reach, and whether it does.

use serde::{Deserialize, Serialize};

use super::Comparison;
use super::figure::Figure;
use super::query::EGRET;
use crate::door::Door;
use crate::suite::Case;
use crate::workload::{Setting, Workload};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub work: String,
    pub goal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<f64>,
    pub verdict: Verdict,
    /// Whom it was compared with, or where it is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Met,
    Missed,
    NotMeasured,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::NotMeasured => "not measured",
        }
    }
}

impl Outcome {
    /// What was reached, to the second digit, and to more where a goal that is missed would look met.
    pub fn shown(&self) -> String {
        let Some(reached) = self.reached else { return "–".into() };
        let bound = self.goal.split(' ').nth(1).and_then(|bound| bound.parse::<f64>().ok());
        let is_misleading = |text: &String| self.verdict == Verdict::Missed && text.parse().ok() == bound;
        let mut texts = (2..6).map(|digits| format!("{reached:.digits$}"));
        texts.find(|text| !is_misleading(text)).unwrap_or_else(|| reached.to_string())
    }
}

struct Goal {
    door: Door,
    workload: Workload,
    figure: Figure,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    /// Egret's figure divided by the other's.
    AtMost(f64, Against),
    AtLeast(f64, Against),
    /// The figure itself.
    Below(f64),
    /// The figure with so many entries, divided by that with so few.
    Growth {
        entries: (usize, usize),
        most: f64,
    },
}

#[derive(Clone, Copy)]
enum Against {
    Peer(&'static str),
    BestPeer,
    Floor,
}

use Against::{BestPeer, Floor, Peer};
use Bound::{AtLeast, AtMost, Below, Growth};

const fn goal(door: Door, workload: Workload, figure: Figure, bound: Bound) -> Goal {
    Goal { door, workload, figure, bound }
}

const GOALS: [Goal; 26] = [
    goal(Door::Explicit, Workload::Tunnel, Figure::Cpu, AtMost(0.9, Peer("g3proxy"))),
    goal(Door::Explicit, Workload::Tunnel, Figure::Cpu, AtMost(0.55, Peer("squid"))),
    goal(Door::Explicit, Workload::Tunnel, Figure::Cpu, AtMost(0.75, Peer("tinyproxy"))),
    goal(Door::Explicit, Workload::Tunnel, Figure::Cpu, AtMost(1.15, Floor)),
    goal(Door::Gateway, Workload::Tunnel, Figure::Cpu, AtMost(1.15, Floor)),
    goal(Door::Gateway, Workload::Tunnel, Figure::Cpu, AtMost(1.05, Peer("nginx"))),
    goal(Door::Gateway, Workload::Tunnel, Figure::Cpu, AtMost(1.0, Peer("haproxy"))),
    goal(Door::Explicit, Workload::Bulk, Figure::CpuPerGb, AtMost(0.4, BestPeer)),
    goal(Door::Explicit, Workload::Bulk, Figure::GbPerSecond, AtLeast(1.3, BestPeer)),
    goal(Door::Gateway, Workload::Bulk, Figure::CpuPerGb, AtMost(0.4, BestPeer)),
    goal(Door::Gateway, Workload::Bulk, Figure::GbPerSecond, AtLeast(1.3, BestPeer)),
    goal(Door::Explicit, Workload::Pingpong, Figure::Cpu, AtMost(1.05, BestPeer)),
    goal(Door::Gateway, Workload::Pingpong, Figure::Cpu, AtMost(1.05, BestPeer)),
    goal(Door::Explicit, Workload::Http, Figure::Cpu, AtMost(1.2, Floor)),
    goal(Door::Explicit, Workload::Http, Figure::Cpu, AtMost(0.85, Peer("g3proxy"))),
    goal(Door::Explicit, Workload::Http, Figure::Cpu, AtMost(0.4, Peer("squid"))),
    goal(Door::Explicit, Workload::Http, Figure::Cpu, AtMost(1.05, Peer("nginx"))),
    goal(Door::Explicit, Workload::Refused, Figure::Cpu, AtMost(0.9, Peer("g3proxy"))),
    goal(Door::Explicit, Workload::Refused, Figure::Cpu, AtMost(0.6, Peer("tinyproxy"))),
    goal(Door::Explicit, Workload::Idle, Figure::PerTunnel, Below(3.0)),
    goal(Door::Gateway, Workload::Idle, Figure::PerTunnel, Below(3.0)),
    goal(Door::Explicit, Workload::Tunnel, Figure::Cpu, Growth { entries: (10, 100_000), most: 1.05 }),
    goal(Door::Dns, Workload::Lookup, Figure::PerSecond, AtLeast(0.8, Peer("dnsmasq"))),
    goal(Door::Dns, Workload::Lookup, Figure::PerSecond, AtLeast(0.8, Peer("unbound"))),
    // 0.8 of their lookups for the same CPU.
    goal(Door::Dns, Workload::Lookup, Figure::Cpu, AtMost(1.25, Peer("dnsmasq"))),
    goal(Door::Dns, Workload::Lookup, Figure::Cpu, AtMost(1.25, Peer("unbound"))),
];

/// Goals that no proxy under load shows.
const ELSEWHERE: [(&str, &str); 5] = [
    ("one decision, built-in policy", "≤ 150 ns"),
    ("one decision, 10 000 rules", "≤ 300 ns"),
    ("one decision, 1 000 000 names", "≤ 500 ns"),
    ("allocations of a decision", "none"),
    ("compiling 1 000 000 names", "≤ 2 s, ≤ 200 bytes a name"),
];
const MEASURED_BY: &str = "by `cargo bench --bench policy`";

pub fn outcomes(comparison: &Comparison) -> Vec<Outcome> {
    let elsewhere = ELSEWHERE.map(|(work, goal)| Outcome {
        work: work.into(),
        goal: goal.into(),
        reached: None,
        verdict: Verdict::NotMeasured,
        note: Some(MEASURED_BY.into()),
    });
    GOALS.iter().map(|goal| goal.outcome(comparison)).chain(elsewhere).collect()
}

impl Goal {
    fn outcome(&self, comparison: &Comparison) -> Outcome {
        let case = Case::usual(self.door, self.workload);
        let (reached, note) = self.reached(comparison, &case);
        let verdict = match reached {
            None => Verdict::NotMeasured,
            Some(reached) if self.bound.holds(reached) => Verdict::Met,
            Some(_) => Verdict::Missed,
        };
        let work = format!("{}, {}", case.full_title(), self.figure.title());
        Outcome { work, goal: self.bound.text(), reached, verdict, note }
    }

    fn reached(&self, comparison: &Comparison, case: &Case) -> (Option<f64>, Option<String>) {
        let value = |case: &Case| Some(comparison.rounds(EGRET, case, self.figure)?.median);
        let ratio = |other: &str| comparison.ratio(EGRET, other, case, self.figure);
        match self.bound {
            AtMost(_, against) | AtLeast(_, against) => match against {
                Peer(name) => (ratio(name), None),
                Floor => (ratio("floor"), None),
                BestPeer => {
                    let best = comparison.best_peer(case, self.figure);
                    (best.and_then(ratio), best.map(str::to_owned))
                }
            },
            Below(_) => (value(case), None),
            Growth { entries: (few, many), .. } => {
                let with = |policy| Case { setting: Setting { policy, ..case.setting }, ..*case };
                (comparison.ratio_of_cases(EGRET, &with(many), &with(few), self.figure), None)
            }
        }
    }
}

impl Bound {
    fn holds(self, reached: f64) -> bool {
        match self {
            AtMost(most, _) | Below(most) | Growth { most, .. } => reached <= most,
            AtLeast(least, _) => reached >= least,
        }
    }

    fn text(self) -> String {
        match self {
            AtMost(most, against) => format!("≤ {most} × {}", against.name()),
            AtLeast(least, against) => format!("≥ {least} × {}", against.name()),
            Below(most) => format!("≤ {most}"),
            Growth { entries: (few, many), most } => format!("≤ {most} × from {few} to {many} entries"),
        }
    }
}

impl Against {
    fn name(self) -> &'static str {
        match self {
            Peer(name) => name,
            BestPeer => "the best peer",
            Floor => "the floor",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{comparison, tunnel};
    use super::*;

    fn check(all: &Comparison, work: &str, goal: &str, expected: (Option<f64>, Verdict, Option<&str>)) {
        let outcomes = outcomes(all);
        let found = outcomes.iter().find(|outcome| outcome.work == work && outcome.goal == goal);
        let found = found.unwrap_or_else(|| panic!("no such goal: {work}: {goal}"));
        assert_eq!((found.reached, found.verdict, found.note.as_deref()), expected, "{work}: {goal}");
    }

    #[test]
    fn goals_are_met_missed_or_not_measured() {
        let pingpong = Case::usual(Door::Gateway, Workload::Pingpong);
        let with = |policy| Case { setting: Setting { policy, ..Setting::default() }, ..tunnel() };
        let all = comparison(&[
            ("egret", tunnel(), &[10.0, 12.0]),
            ("egret", pingpong, &[5.0]),
            ("egret", with(10), &[10.0, 20.0]),
            ("egret", with(100_000), &[11.0, 22.0]),
            ("squid", tunnel(), &[20.0, 24.0]),
            ("haproxy", pingpong, &[5.0]),
            ("nginx", pingpong, &[4.0]),
            ("floor", tunnel(), &[8.0, 8.0]),
        ]);
        let work = "new tunnel by CONNECT, CPU µs";
        check(&all, work, "≤ 0.55 × squid", (Some(0.5), Verdict::Met, None));
        check(&all, work, "≤ 1.15 × the floor", (Some(1.375), Verdict::Missed, None));
        check(&all, work, "≤ 0.9 × g3proxy", (None, Verdict::NotMeasured, None));
        check(&all, work, "≤ 1.05 × from 10 to 100000 entries", (Some(1.1), Verdict::Missed, None));
        let work = "1 byte there and back, gateway, CPU µs";
        let outcomes = outcomes(&all);
        let best = outcomes.iter().find(|outcome| outcome.work == work && outcome.reached.is_some()).unwrap();
        assert_eq!((best.reached, best.note.as_deref()), (Some(1.25), Some("nginx")));
    }

    #[test]
    fn what_is_measured_elsewhere_says_where() {
        let outcomes = outcomes(&comparison(&[]));
        assert!(outcomes.iter().all(|outcome| outcome.verdict == Verdict::NotMeasured));
        let last = outcomes.last().unwrap();
        assert_eq!(last.note.as_deref(), Some("by `cargo bench --bench policy`"));
    }

    #[test]
    fn what_is_missed_by_little_does_not_look_met() {
        let shown = |bound: Bound, reached: f64| {
            let verdict = if bound.holds(reached) { Verdict::Met } else { Verdict::Missed };
            let outcome = Outcome { work: "".into(), goal: bound.text(), reached: Some(reached), verdict, note: None };
            outcome.shown()
        };
        assert_eq!(shown(AtMost(1.05, BestPeer), 1.054), "1.054");
        assert_eq!(shown(AtMost(1.05, BestPeer), 1.0504), "1.0504");
        assert_eq!(shown(AtMost(1.05, BestPeer), 1.06), "1.06");
        assert_eq!(shown(AtMost(1.05, BestPeer), 1.046), "1.05");
        assert_eq!(shown(AtLeast(0.8, BestPeer), 0.798), "0.798");
        assert_eq!(shown(Below(3.0), 3.000_000_1), "3.0000001");
    }

    #[test]
    fn bounds_are_met_on_the_line() {
        assert!(AtMost(1.15, Floor).holds(1.15) && !AtMost(1.15, Floor).holds(1.16));
        assert!(AtLeast(1.3, BestPeer).holds(1.3) && !AtLeast(1.3, BestPeer).holds(1.29));
        assert!(Below(3.0).holds(2.9) && !Below(3.0).holds(3.1));
    }
}
