//! The count of one run, shared by its workers on one thread, and the limit that ends it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::Limit;
use super::pace::Pace;

/// Runs limited by count end here even if the proxy has become slow.
const LONGEST: Duration = Duration::from_secs(600);
/// How long an open loop may take to catch up with its schedule once that has ended; what has not begun by then never
/// does, and is counted.
const CATCH_UP: Duration = Duration::from_secs(10);
/// Failures after which a run makes no sense any more.
const MAX_ERRORS: u64 = 100;

/// Latencies are kept from a tenth of a microsecond to more than any run takes, with three digits each.
const SHORTEST_NS: u64 = 100;
const LONGEST_NS: u64 = 2 * LONGEST.as_nanos() as u64;
const DIGITS: u8 = 3;

/// How long operations took, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    #[serde(rename = "latency_p50_us")]
    pub p50: f64,
    #[serde(rename = "latency_p99_us")]
    pub p99: f64,
    #[serde(rename = "latency_p999_us")]
    pub p999: f64,
    #[serde(rename = "latency_max_us")]
    pub max: f64,
}

pub struct Meter {
    started: Instant,
    deadline: Instant,
    /// In an open loop: when each operation is to begin.
    pace: Option<Pace>,
    /// Set by `stop`; the time until then is what rates refer to.
    elapsed: Cell<Duration>,
    remaining: Cell<u64>,
    /// Operations to be carried out again, by the start that they had.
    again: RefCell<Vec<Instant>>,
    operations: Cell<u64>,
    bytes: Cell<u64>,
    byte_limit: u64,
    errors: Cell<u64>,
    first_error: RefCell<Option<String>>,
    latencies_ns: RefCell<Histogram<u64>>,
}

impl Meter {
    /// With a rate, operations a second, in an open loop; without one each worker begins when it has ended.
    pub fn start(limit: Limit, rate: Option<f64>) -> Result<Meter> {
        let started = Instant::now();
        let (time, count) = match limit {
            Limit::Time(time) => (time.min(LONGEST), u64::MAX),
            Limit::Count(count) => (LONGEST, count),
        };
        let deadline = started + time;
        let latencies = Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS);
        Ok(Meter {
            started,
            deadline,
            pace: rate.map(|rate| Pace::new(rate, started, deadline)).transpose()?,
            elapsed: Cell::new(Duration::ZERO),
            remaining: Cell::new(count),
            again: RefCell::default(),
            operations: Cell::new(0),
            bytes: Cell::new(0),
            byte_limit: count.saturating_mul(1 << 20),
            errors: Cell::new(0),
            first_error: RefCell::new(None),
            latencies_ns: RefCell::new(latencies.context("making a histogram")?),
        })
    }

    pub fn stop(&self) {
        self.elapsed.set(self.started.elapsed());
    }

    /// Takes one operation from the limit; `None` when the run is over. The instant is the operation's start, in an
    /// open loop the one that was intended.
    pub async fn take(&self) -> Option<Instant> {
        let now = Instant::now();
        if self.over(now) {
            return None;
        }
        if let Some(since) = self.again.borrow_mut().pop() {
            return Some(since);
        }
        self.remaining.set(self.remaining.get().checked_sub(1)?);
        match &self.pace {
            None => Some(now),
            Some(pace) => pace.next().await.unwrap_or_else(|error| {
                self.failed(&error.into());
                None
            }),
        }
    }

    /// An operation that was taken has not been carried out, through no fault of the proxy.
    pub fn put_back(&self, since: Instant) {
        self.again.borrow_mut().push(since);
    }

    pub fn has_more(&self) -> bool {
        let left = self.remaining.get() > 0 && self.pace.as_ref().is_none_or(|pace| !pace.is_exhausted());
        let more = left || !self.again.borrow().is_empty();
        !self.over(Instant::now()) && more && self.bytes.get() < self.byte_limit
    }

    fn over(&self, now: Instant) -> bool {
        let grace = if self.pace.is_some() { CATCH_UP } else { Duration::ZERO };
        now >= self.deadline + grace || self.errors.get() >= MAX_ERRORS
    }

    pub fn done(&self, since: Instant) {
        self.operations.set(self.operations.get() + 1);
        let ns = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.latencies_ns.borrow_mut().saturating_record(ns);
    }

    pub fn received(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
        self.operations.set(self.bytes.get() >> 20);
    }

    pub fn failed(&self, error: &anyhow::Error) {
        self.errors.set(self.errors.get() + 1);
        self.first_error.borrow_mut().get_or_insert_with(|| format!("{error:#}"));
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    pub fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }

    pub fn operations(&self) -> u64 {
        self.operations.get()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    pub fn errors(&self) -> u64 {
        self.errors.get()
    }

    /// Operations of an open loop that were due and never begun, because all workers were still waiting.
    pub fn never_begun(&self) -> u64 {
        self.pace.as_ref().map_or(0, Pace::behind)
    }

    pub fn first_error(&self) -> Option<String> {
        self.first_error.borrow().clone()
    }

    /// `None` without an operation.
    pub fn latency(&self) -> Option<Latency> {
        let latencies = self.latencies_ns.borrow();
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile: f64| us(latencies.value_at_quantile(quantile));
        (!latencies.is_empty()).then(|| Latency {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: us(latencies.max()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_count_is_taken_once() {
        let meter = Meter::start(Limit::Count(2), None).unwrap();
        assert!(meter.take().await.is_some());
        let second = meter.take().await.unwrap();
        assert!(meter.take().await.is_none());
        assert!(!meter.has_more());
        meter.put_back(second);
        assert!(meter.has_more());
        assert_eq!(meter.take().await, Some(second));
    }

    #[tokio::test]
    async fn errors_end_a_run() {
        let meter = Meter::start(Limit::Count(1000), None).unwrap();
        for _ in 0..MAX_ERRORS {
            meter.failed(&anyhow::anyhow!("refused"));
        }
        assert!(meter.take().await.is_none());
        assert_eq!(meter.first_error().as_deref(), Some("refused"));
    }

    #[test]
    fn percentiles_of_ten_thousand() {
        let meter = Meter::start(Limit::Count(1), None).unwrap();
        assert_eq!(meter.latency(), None);
        for us in 1..=10_000 {
            *meter.latencies_ns.borrow_mut() += us * 1000;
        }
        let Latency { p50, p99, p999, max } = meter.latency().unwrap();
        for (value, expected) in [(p50, 5_000.0), (p99, 9_900.0), (p999, 9_990.0), (max, 10_000.0)] {
            assert!((value / expected - 1.0_f64).abs() < 0.002, "{value} instead of {expected}");
        }
    }

    /// One slow answer delays those behind it, and each of them counts from when it should have begun.
    #[tokio::test]
    async fn an_open_loop_omits_nothing() {
        let meter = Meter::start(Limit::Time(Duration::from_millis(100)), Some(100.0)).unwrap();
        let first = meter.take().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        meter.done(first);
        while let Some(since) = meter.take().await {
            meter.done(since);
        }
        assert_eq!((meter.operations(), meter.never_begun()), (10, 0));
        assert!(meter.latency().unwrap().p50 >= 110_000.0, "{:?}", meter.latency());
        assert!(!meter.has_more());
    }
}
