//! The order of the measurements.

use crate::suite::Case;
use crate::workload::Workload;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    pub round: usize,
    pub case: Case,
    /// Its number.
    pub subject: usize,
    pub kind: Loop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loop {
    /// Each operation begins when the one before it has ended: what a proxy can do, and what that costs.
    Closed,
    /// Operations begin by a schedule: how long they take.
    Open,
}

impl Loop {
    pub fn as_str(self) -> &'static str {
        match self {
            Loop::Closed => "closed",
            Loop::Open => "open",
        }
    }
}

/// Case by case, everybody in turn: first as fast as they can, then at a rate. Another one begins in each round.
pub fn steps(cases: &[Case], subjects: usize, rounds: usize, wanted: impl Fn(usize, &Case) -> bool) -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 1..=rounds {
        for case in cases.iter().filter(|case| round <= rounds_of(case)) {
            let turn = || (0..subjects).map(|at| (at + round - 1) % subjects).filter(|subject| wanted(*subject, case));
            let loops = if is_paced(case) { &[Loop::Closed, Loop::Open][..] } else { &[Loop::Closed] };
            for kind in loops {
                steps.extend(turn().map(|subject| Step { round, case: *case, subject, kind: *kind }));
            }
        }
    }
    steps
}

/// Memory does not drift with the machine, and a curve has its neighbours to be judged by.
fn rounds_of(case: &Case) -> usize {
    match case.workload {
        Workload::Idle => 1,
        _ if case.is_usual() => usize::MAX,
        _ => 2,
    }
}

/// Points of a curve have costs alone.
fn is_paced(case: &Case) -> bool {
    let usual = Case::usual(case.door, case.workload);
    let is_point = case.concurrency != usual.concurrency || case.setting.policy != usual.setting.policy;
    case.has_open_loop() && !is_point
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Door;

    #[test]
    fn everybody_takes_turns() {
        let case = Case::usual(Door::Explicit, Workload::Tunnel);
        let steps = steps(&[case], 3, 2, |subject, _| subject != 1);
        let order: Vec<_> = steps.iter().map(|step| (step.round, step.kind, step.subject)).collect();
        use Loop::{Closed, Open};
        let expected = [
            (1, Closed, 0),
            (1, Closed, 2),
            (1, Open, 0),
            (1, Open, 2),
            (2, Closed, 2),
            (2, Closed, 0),
            (2, Open, 2),
            (2, Open, 0),
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn what_does_not_drift_has_fewer_rounds() {
        let count = |case| steps(&[case], 1, 5, |_, _| true).iter().filter(|step| step.kind == Loop::Closed).count();
        let tunnel = Case::usual(Door::Explicit, Workload::Tunnel);
        assert_eq!(count(tunnel), 5);
        assert_eq!(count(Case { concurrency: 64, ..tunnel }), 2);
        assert_eq!(count(Case::usual(Door::Explicit, Workload::Idle)), 1);
    }

    #[test]
    fn bulk_and_points_of_curves_have_no_rate() {
        let count = |case| steps(&[case], 1, 1, |_, _| true).len();
        let tunnel = Case::usual(Door::Gateway, Workload::Tunnel);
        assert_eq!(count(tunnel), 2);
        assert_eq!(count(Case { concurrency: 64, ..tunnel }), 1);
        assert_eq!(count(Case::usual(Door::Gateway, Workload::Bulk)), 1);
        assert_eq!(count(Case::usual(Door::Gateway, Workload::Idle)), 1);
    }
}
