//! The count of one run, shared by its workers on one thread, and the limit that ends it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::Limit;

/// Runs limited by count end here even if the proxy has become slow.
const LONGEST: Duration = Duration::from_secs(600);
/// Latencies beyond this many are not kept: 16 MiB.
const MAX_LATENCIES: usize = 4 << 20;
/// Failures after which a run makes no sense any more.
const MAX_ERRORS: u64 = 100;

pub struct Meter {
    started: Instant,
    deadline: Instant,
    /// Set by `stop`; the time until then is what rates refer to.
    elapsed: Cell<Duration>,
    remaining: Cell<u64>,
    operations: Cell<u64>,
    bytes: Cell<u64>,
    byte_limit: u64,
    errors: Cell<u64>,
    first_error: RefCell<Option<String>>,
    latencies_us: RefCell<Vec<u32>>,
}

impl Meter {
    pub fn start(limit: Limit) -> Meter {
        let started = Instant::now();
        let (time, count) = match limit {
            Limit::Time(time) => (time.min(LONGEST), u64::MAX),
            Limit::Count(count) => (LONGEST, count),
        };
        Meter {
            started,
            deadline: started + time,
            elapsed: Cell::new(Duration::ZERO),
            remaining: Cell::new(count),
            operations: Cell::new(0),
            bytes: Cell::new(0),
            byte_limit: count.saturating_mul(1 << 20),
            errors: Cell::new(0),
            first_error: RefCell::new(None),
            latencies_us: RefCell::new(Vec::new()),
        }
    }

    pub fn stop(&self) {
        self.elapsed.set(self.started.elapsed());
    }

    /// Takes one operation from the limit; `None` when the run is over. The instant is the operation's start.
    pub fn take(&self) -> Option<Instant> {
        let now = Instant::now();
        if self.over(now) || self.remaining.get() == 0 {
            return None;
        }
        self.remaining.set(self.remaining.get() - 1);
        Some(now)
    }

    /// An operation that was taken has not been carried out, through no fault of the proxy.
    pub fn put_back(&self) {
        self.remaining.set(self.remaining.get() + 1);
    }

    pub fn has_more(&self) -> bool {
        !self.over(Instant::now()) && self.remaining.get() > 0 && self.bytes.get() < self.byte_limit
    }

    fn over(&self, now: Instant) -> bool {
        now >= self.deadline || self.errors.get() >= MAX_ERRORS
    }

    pub fn done(&self, since: Instant) {
        self.operations.set(self.operations.get() + 1);
        let mut latencies = self.latencies_us.borrow_mut();
        if latencies.len() < MAX_LATENCIES {
            latencies.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
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

    pub fn first_error(&self) -> Option<String> {
        self.first_error.borrow().clone()
    }

    /// Median and 99th percentile, µs.
    pub fn percentiles(&self) -> Option<(u32, u32)> {
        let mut sorted = self.latencies_us.borrow().clone();
        sorted.sort_unstable();
        let at = |share: usize| sorted.get((sorted.len() * share / 100).min(sorted.len().saturating_sub(1))).copied();
        at(50).zip(at(99))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_taken_once() {
        let meter = Meter::start(Limit::Count(2));
        assert!(meter.take().is_some());
        assert!(meter.take().is_some());
        assert!(meter.take().is_none());
        assert!(!meter.has_more());
    }

    #[test]
    fn errors_end_a_run() {
        let meter = Meter::start(Limit::Count(1000));
        for _ in 0..MAX_ERRORS {
            meter.failed(&anyhow::anyhow!("refused"));
        }
        assert!(meter.take().is_none());
        assert_eq!(meter.first_error().as_deref(), Some("refused"));
    }

    #[test]
    fn percentiles_of_a_hundred() {
        let meter = Meter::start(Limit::Count(1));
        assert_eq!(meter.percentiles(), None);
        meter.latencies_us.borrow_mut().extend((1..=100).rev());
        assert_eq!(meter.percentiles(), Some((51, 100)));
    }
}
