//! How many operations a second begin in an open loop.
//!
//! The same for all, so that latencies can be compared: half of what the slowest takes. Who takes less than a quarter of
//! what the fastest does would make that a rate at which nobody else has anything to do; it gets half of its own.

use crate::report::{Comparison, median};
use crate::suite::Case;

const SHARE: f64 = 0.5;
const FAR_BEHIND: f64 = 0.25;

/// `None` where there is no throughput to go by. Later rounds have the rate of the first, so that they can be put
/// together. A setting that is not usual is given the rate of the usual one, so that
/// it can be compared with that.
pub fn of(comparison: &Comparison, case: &Case, proxy: &str) -> Option<f64> {
    if let Some(rate) = comparison.rate(proxy, case) {
        return Some(rate);
    }
    let usual = Case::usual(case.door, case.workload);
    let throughputs = throughputs(comparison, &usual);
    let throughputs = if throughputs.is_empty() { self::throughputs(comparison, case) } else { throughputs };
    rate(&throughputs, proxy)
}

/// Of those that have a process: a direct connection is no measure for proxies.
fn throughputs<'a>(comparison: &'a Comparison, case: &Case) -> Vec<(&'a str, f64)> {
    let name = |row: usize| comparison.subjects[row].name.as_str();
    let of = |name: &str| {
        let rows = comparison.rows.iter().filter(|row| row.proxy == name && row.case == *case && row.rate.is_none());
        let rows = rows.filter(|row| row.measured.cpu_us_per_operation.is_some());
        median(rows.filter_map(|row| row.measured.per_second).collect())
    };
    (0..comparison.subjects.len()).filter_map(|row| Some((name(row), of(name(row))?))).collect()
}

fn rate(throughputs: &[(&str, f64)], proxy: &str) -> Option<f64> {
    let fastest = throughputs.iter().map(|(_, rate)| *rate).reduce(f64::max)?;
    let keeps_up = |rate: f64| rate >= FAR_BEHIND * fastest;
    let own = throughputs.iter().find(|(name, _)| *name == proxy).map(|(_, rate)| *rate);
    let slowest = throughputs.iter().map(|(_, rate)| *rate).filter(|rate| keeps_up(*rate)).reduce(f64::min)?;
    let of = own.filter(|own| !keeps_up(*own)).unwrap_or(slowest);
    Some(rounded(SHARE * of))
}

/// Two digits, down, and one a second at least.
fn rounded(rate: f64) -> f64 {
    let unit = 10_f64.powf((rate.log10().floor() - 1.0).max(0.0));
    ((rate / unit).floor() * unit).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{comparison, tunnel};
    use crate::workload::Setting;

    fn check(proxy: &str, expected: f64) {
        let throughputs = [("egret", 23_000.0), ("squid", 14_900.0), ("mitmproxy", 310.0)];
        assert_eq!(rate(&throughputs, proxy), Some(expected), "{proxy}");
    }

    #[test]
    fn everybody_has_half_of_what_the_slowest_takes() {
        check("egret", 7_400.0);
        check("squid", 7_400.0);
        check("direct", 7_400.0);
    }

    #[test]
    fn who_is_far_behind_has_half_of_its_own() {
        check("mitmproxy", 150.0);
        assert_eq!(rate(&[], "egret"), None);
    }

    #[test]
    fn later_rounds_have_the_rate_of_the_first() {
        let mut all = comparison(&[("egret", tunnel(), &[100.0])]);
        assert_eq!(of(&all, &tunnel(), "egret"), Some(5_000.0));
        all.rows.retain(|row| row.rate.is_none());
        all.rows[0].measured.per_second = Some(800.0);
        assert_eq!(of(&all, &tunnel(), "egret"), Some(400.0));
        let churn = Case { setting: Setting { churn: true, ..Setting::default() }, ..tunnel() };
        assert_eq!(of(&all, &churn, "egret"), Some(400.0));
    }

    #[test]
    fn rates_are_round() {
        for (rate, expected) in [(0.3, 1.0), (7.9, 7.0), (78.0, 78.0), (789.0, 780.0), (78_999.0, 78_000.0)] {
            assert_eq!(rounded(rate), expected);
        }
    }
}
