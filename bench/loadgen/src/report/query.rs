//! Questions to a comparison.

use clap::ValueEnum;

use super::figure::Figure;
use super::{Comparison, Row};
use crate::chart::Role;
use crate::suite::{Case, Suite};

pub const EGRET: &str = "egret";
/// No proxy, or one that does nothing.
const FLOORS: [&str; 3] = ["direct", "floor", "floor, splice"];

/// The rounds of one figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rounds {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Comparison {
    /// Those that have a figure here, Egret first, the floors last.
    pub fn with(&self, case: &Case, figure: Figure) -> Vec<&str> {
        let mut names: Vec<&str> = self.subjects.iter().map(|subject| subject.name.as_str()).collect();
        names.retain(|name| self.rounds(name, case, figure).is_some());
        names.sort_by_key(|name| (FLOORS.contains(name), *name != EGRET));
        names
    }

    pub fn rounds(&self, proxy: &str, case: &Case, figure: Figure) -> Option<Rounds> {
        let values: Vec<f64> = self.values(proxy, case, figure).map(|(_, value)| value).collect();
        let low = values.iter().copied().reduce(f64::min)?;
        let high = values.iter().copied().fold(low, f64::max);
        Some(Rounds { low, median: median(values)?, high })
    }

    /// The median of the rounds' ratios: a machine's speed drifts by the minute, so only figures of the same round are
    /// divided by each other.
    pub fn ratio(&self, of: &str, to: &str, case: &Case, figure: Figure) -> Option<f64> {
        quotient(self.values(of, case, figure), self.values(to, case, figure))
    }

    /// The same of one proxy in two cases.
    pub fn ratio_of_cases(&self, proxy: &str, of: &Case, to: &Case, figure: Figure) -> Option<f64> {
        quotient(self.values(proxy, of, figure), self.values(proxy, to, figure))
    }

    /// The peer, not a floor, that this costs least.
    pub fn best_peer(&self, case: &Case, figure: Figure) -> Option<&str> {
        let most_is_best = matches!(figure, Figure::PerSecond | Figure::GbPerSecond);
        let peers = self.with(case, figure).into_iter().filter(|name| is_peer(name));
        let key = |name: &&str| {
            let value = self.rounds(name, case, figure).map_or(f64::INFINITY, |rounds| rounds.median);
            if most_is_best { -value } else { value }
        };
        peers.min_by(|a, b| key(a).total_cmp(&key(b)))
    }

    /// In the order of the suites, whatever that of the measurements was.
    pub fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for row in &self.rows {
            if !cases.contains(&row.case) {
                cases.push(row.case);
            }
        }
        let order: Vec<Case> = Suite::value_variants().iter().flat_map(|suite| suite.cases()).collect();
        cases.sort_by_key(|case| order.iter().position(|of| of == case));
        cases
    }

    /// How many operations a second began in the open loop.
    pub fn rate(&self, proxy: &str, case: &Case) -> Option<f64> {
        self.of(proxy, case).find_map(|row| row.rate)
    }

    /// Operations that failed or never began, of all rounds.
    pub fn errors(&self, proxy: &str, case: &Case) -> u64 {
        self.of(proxy, case).map(|row| row.measured.errors + row.measured.never_begun).sum()
    }

    pub fn role(&self, proxy: &str) -> Role {
        let peers = self.subjects.iter().filter(|subject| is_peer(&subject.name));
        match peers.zip(0..).find(|(subject, _)| subject.name == proxy) {
            Some((_, at)) => Role::Peer(at),
            None if proxy == EGRET => Role::Egret,
            None => Role::Floor,
        }
    }

    fn of(&self, proxy: &str, case: &Case) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.proxy == proxy && row.case == *case)
    }

    /// The figure of each round that has one, with the round.
    fn values(&self, proxy: &str, case: &Case, figure: Figure) -> impl Iterator<Item = (usize, f64)> {
        self.of(proxy, case).filter_map(move |row| Some((row.round, figure.of(row)?)))
    }
}

/// Of figures with their rounds.
fn quotient(ours: impl Iterator<Item = (usize, f64)>, theirs: impl Iterator<Item = (usize, f64)>) -> Option<f64> {
    let theirs: Vec<(usize, f64)> = theirs.collect();
    let paired = |(round, ours): (usize, f64)| {
        let (_, theirs) = theirs.iter().find(|(of, _)| *of == round)?;
        (*theirs > 0.0).then(|| ours / theirs)
    };
    median(ours.filter_map(paired).collect())
}

pub fn is_peer(name: &str) -> bool {
    name != EGRET && !FLOORS.contains(&name)
}

pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{comparison, tunnel};
    use super::*;
    use crate::door::Door;
    use crate::workload::Workload;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let all = comparison(&[("egret", tunnel(), &[10.0, 40.0]), ("squid", tunnel(), &[20.0, 80.0])]);
        assert_eq!(all.ratio("egret", "squid", &tunnel(), Figure::Cpu), Some(0.5));
        let rounds = all.rounds("egret", &tunnel(), Figure::Cpu);
        assert_eq!(rounds, Some(Rounds { low: 10.0, median: 25.0, high: 40.0 }));
        let missed = comparison(&[("egret", tunnel(), &[10.0]), ("squid", tunnel(), &[])]);
        assert_eq!(missed.ratio("egret", "squid", &tunnel(), Figure::Cpu), None);
    }

    #[test]
    fn cases_stand_in_the_order_of_the_suites() {
        let refused = Case::usual(Door::Explicit, Workload::Refused);
        let curve = Case { concurrency: 64, ..tunnel() };
        let all = comparison(&[("egret", curve, &[1.0]), ("egret", refused, &[1.0]), ("egret", tunnel(), &[1.0])]);
        assert_eq!(all.cases(), [tunnel(), refused, curve]);
    }

    #[test]
    fn the_best_peer_is_no_floor() {
        let figures: &[(&str, Case, &[f64])] = &[
            ("floor", tunnel(), &[5.0]),
            ("egret", tunnel(), &[6.0]),
            ("squid", tunnel(), &[20.0]),
            ("nginx", tunnel(), &[8.0]),
        ];
        let all = comparison(figures);
        assert_eq!(all.best_peer(&tunnel(), Figure::Cpu), Some("nginx"));
        assert_eq!(all.best_peer(&tunnel(), Figure::PerSecond), Some("nginx"));
        assert_eq!(all.with(&tunnel(), Figure::Cpu), ["egret", "squid", "nginx", "floor"]);
    }

    #[test]
    fn colours_stay_with_their_proxies() {
        let all = comparison(&[("egret", tunnel(), &[1.0]), ("squid", tunnel(), &[1.0]), ("nginx", tunnel(), &[1.0])]);
        assert_eq!(all.role("nginx"), Role::Peer(1));
        assert_eq!((all.role("egret"), all.role("direct")), (Role::Egret, Role::Floor));
    }

    /// Latency is of the open loop alone, cost of the closed one alone.
    #[test]
    fn loops_are_not_mixed() {
        let all = comparison(&[("egret", tunnel(), &[10.0])]);
        assert_eq!(all.rows.iter().filter(|row| Figure::Cpu.of(row).is_some()).count(), 1);
        assert_eq!(all.rows.iter().filter(|row| Figure::P99.of(row).is_some()).count(), 1);
        assert_eq!(all.rate("egret", &tunnel()), Some(5000.0));
    }
}
