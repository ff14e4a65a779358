//! What the process weighs, second by second, and how fast that grows.

use std::fs;
use std::time::Instant;

use crate::support::egret::Egret;

/// One look at the process.
#[derive(Debug, Clone, Copy)]
pub struct Weight {
    pub resident_kib: u64,
    pub descriptors: usize,
}

pub fn weigh(egret: &Egret) -> Weight {
    let status = fs::read_to_string(format!("/proc/{}/status", egret.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process has memory");
    let resident_kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    Weight { resident_kib, descriptors: egret.descriptors() }
}

pub struct Samples {
    began: Instant,
    /// Minutes since the beginning, and what was seen then.
    taken: Vec<(f64, Weight)>,
}

impl Samples {
    pub fn begin() -> Samples {
        Samples { began: Instant::now(), taken: Vec::new() }
    }

    pub fn take(&mut self, egret: &Egret) {
        self.taken.push((self.began.elapsed().as_secs_f64() / 60.0, weigh(egret)));
    }

    /// Without those of the first minutes.
    pub fn after(&self, warm_up: f64) -> &[(f64, Weight)] {
        &self.taken[self.taken.partition_point(|(at, _)| *at < warm_up)..]
    }
}

/// The least-squares slope, a minute.
pub fn slope(samples: &[(f64, Weight)], of: impl Fn(&Weight) -> f64) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: &dyn Fn(&(f64, Weight)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (at, value) = (mean(&|(at, _)| *at), mean(&|(_, weight)| of(weight)));
    let together: f64 = samples.iter().map(|(x, weight)| (x - at) * (of(weight) - value)).sum();
    let alone: f64 = samples.iter().map(|(x, _)| (x - at).powi(2)).sum();
    together / alone
}

#[test]
fn the_slope_of_a_line() {
    let weight = |minute: u64| Weight { resident_kib: 5000 + 12 * minute, descriptors: 7 };
    let samples: Vec<(f64, Weight)> = (0..9).map(|minute| (minute as f64, weight(minute))).collect();
    assert!((slope(&samples, |weight| weight.resident_kib as f64) - 12.0).abs() < 1e-9);
    assert!(slope(&samples, |weight| weight.descriptors as f64).abs() < 1e-9);
}
