//! The figures of an overload, as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::hold::Held;
use super::others::Observed;
use super::subject::{Refusals, Weight};
use crate::report::{Environment, median};

/// What the others' 99th percentile may become, of what it is without load.
const WORST: f64 = 3.0;

#[derive(Debug, Serialize)]
pub struct Stage {
    pub name: String,
    /// What the others ask for a second.
    pub rate: f64,
    pub observed: Observed,
    pub weight: Weight,
    pub held: Option<Held>,
    pub refused: Refusals,
}

#[derive(Debug, Serialize)]
pub struct Report {
    environment: Environment,
    /// Tunnels a second that were served in a closed loop.
    capacity: f64,
    /// Without load, before each of the stages: a machine's own hiccups come and go.
    calm: Vec<Stage>,
    stages: Vec<Stage>,
    peak_kib: u64,
}

impl Report {
    pub fn new(capacity: f64, calm: Vec<Stage>, stages: Vec<Stage>, peak_kib: u64) -> Report {
        Report { environment: Environment::here(), capacity, calm, stages, peak_kib }
    }

    /// Of the 99th percentiles without load, the one in the middle.
    fn calm_p99_us(&self) -> f64 {
        median(self.calm.iter().map(|calm| calm.observed.p99_us as f64).collect()).unwrap_or(1.0).max(1.0)
    }

    fn ratio(&self, stage: &Stage) -> f64 {
        stage.observed.p99_us as f64 / self.calm_p99_us()
    }

    /// What is not as it should be.
    pub fn shortcomings(&self) -> Vec<String> {
        let mut found = Vec::new();
        for stage in self.calm.iter().chain(&self.stages) {
            let Stage { name, observed, refused, .. } = stage;
            if refused.counted != refused.logged {
                found.push(format!("{name}: {:?} were counted and {:?} logged", refused.counted, refused.logged));
            }
            let Some(held) = &stage.held else { continue };
            if !held.is_an_attack() {
                let Held { asked, held, refused, ended, .. } = held;
                found.push(format!("{name}: of {asked} attackers {held} were held, {ended} ended, {refused} refused"));
            }
            if observed.failed + observed.not_begun > 0 {
                found.push(format!("{name}: {} of the others failed", observed.failed + observed.not_begun));
            }
            if self.ratio(stage) > WORST {
                found.push(format!("{name}: the others' p99 is {:.1} times what it was", self.ratio(stage)));
            }
        }
        found
    }

    pub fn markdown(&self) -> String {
        let Environment { date, kernel, cores, .. } = &self.environment;
        let mut text = format!(
            "{date}, kernel {kernel}, {cores} cores. Capacity {:.0} tunnels/s; memory at its peak {:.1} MiB.\n\n\
             | while | asked/s | served/s | failed | p50 ms | p99 ms | × unloaded | p99.9 ms | PSS MiB | descriptors | held | refused (counted = logged) |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|\n",
            self.capacity,
            self.peak_kib as f64 / 1024.0,
        );
        for stage in self.calm.iter().chain(&self.stages) {
            let Stage { name, rate, observed, weight, held, refused } = stage;
            let ms = |us: u64| us as f64 / 1e3;
            let held = held.as_ref().map_or("–".to_owned(), |held| held.held.to_string());
            let by_reason = refused.counted.iter().map(|(reason, count)| format!("{reason} {count}"));
            let mut refusals = by_reason.collect::<Vec<_>>().join(", ");
            if refused.counted != refused.logged {
                let _ = write!(refusals, " (logged {:?})", refused.logged);
            }
            let _ = writeln!(
                text,
                "| {name} | {rate:.0} | {:.0} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {} | {held} | {refusals} |",
                observed.served_per_second,
                observed.failed + observed.not_begun,
                ms(observed.p50_us),
                ms(observed.p99_us),
                self.ratio(stage),
                ms(observed.p999_us),
                weight.pss_kib as f64 / 1024.0,
                weight.descriptors,
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(held: Held) -> Stage {
        let weight = Weight { pss_kib: 1, descriptors: 1 };
        let refused = Refusals { counted: Vec::new(), logged: Vec::new() };
        Stage { name: "hellos".into(), rate: 1.0, observed: Observed::default(), weight, held: Some(held), refused }
    }

    fn check(held: Held, expected: &[&str]) {
        assert_eq!(Report::new(1.0, Vec::new(), vec![stage(held)], 1).shortcomings(), expected);
    }

    #[test]
    fn who_did_not_attack_has_shown_nothing() {
        let asked = Held { asked: 10_000, ..Held::default() };
        check(Held { held: 8_943, opened: 20_000, refused: 11_000, ..asked }, &[]);
        check(Held { held: 100, ended: 9_000, ..asked }, &[]);
        let few = Held { held: 393, opened: 900, refused: 500, ended: 7, ..asked };
        check(few, &["hellos: of 10000 attackers 393 were held, 7 ended, 500 refused"]);
    }
}
