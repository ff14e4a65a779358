//! When the operations of an open loop begin: by a schedule that no answer can delay.
//!
//! A client that waits for one answer before it asks again asks less while the proxy is slow, and so leaves out just the
//! latencies that matter (coordinated omission). Here an operation has an intended start, and its latency counts from
//! that, however long it had to wait for a worker.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;

/// Equal distances from the start on. Workers that wait queue in the order of their coming.
pub struct Pace {
    per_second: f64,
    started: Instant,
    end: Instant,
    turn: Mutex<Turn>,
}

struct Turn {
    begun: u64,
    /// The runtime's own timers are of milliseconds, the distance between two operations may be of microseconds.
    timer: AsyncFd<OwnedFd>,
}

impl Pace {
    pub fn new(per_second: f64, started: Instant, end: Instant) -> Result<Pace> {
        ensure!(per_second.is_finite() && per_second > 0.0, "a rate of {per_second} operations a second");
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
            .context("making a timer")?;
        #[allow(deprecated, reason = "it is for what may change its descriptor; an OwnedFd does not")]
        let timer = AsyncFd::new(timer)?;
        Ok(Pace { per_second, started, end, turn: Mutex::new(Turn { begun: 0, timer }) })
    }

    /// Waits for the next operation's turn and yields its intended start, which may long have passed. `None` once
    /// everything that was to begin has begun.
    pub async fn next(&self) -> io::Result<Option<Instant>> {
        let mut turn = self.turn.lock().await;
        let intended = self.intended(turn.begun);
        if intended >= self.end {
            return Ok(None);
        }
        turn.begun += 1;
        wait_until(&turn.timer, intended).await?;
        Ok(Some(intended))
    }

    /// Operations that should have begun and have not. A worker that waits for its turn counts as begun.
    pub fn behind(&self) -> u64 {
        let Ok(turn) = self.turn.try_lock() else { return 0 };
        self.scheduled().saturating_sub(turn.begun)
    }

    pub fn is_exhausted(&self) -> bool {
        self.turn.try_lock().is_ok_and(|turn| self.intended(turn.begun) >= self.end)
    }

    fn intended(&self, number: u64) -> Instant {
        self.started + Duration::from_secs_f64(number as f64 / self.per_second)
    }

    fn scheduled(&self) -> u64 {
        ((self.end - self.started).as_secs_f64() * self.per_second).ceil() as u64
    }
}

async fn wait_until(timer: &AsyncFd<OwnedFd>, at: Instant) -> io::Result<()> {
    let left = at.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(());
    }
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let value = Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: zero, it_value: value })?;
    loop {
        let mut ready = timer.readable().await?;
        let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0; 8])?));
        if let Ok(read) = read {
            return read.map(|_| ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn starts(pace: &Pace) -> Vec<Duration> {
        let mut starts = Vec::new();
        while let Some(start) = pace.next().await.unwrap() {
            starts.push(start - pace.started);
        }
        starts
    }

    #[tokio::test]
    async fn operations_begin_at_equal_distances() {
        let now = Instant::now();
        let pace = Pace::new(200.0, now, now + Duration::from_millis(20)).unwrap();
        assert_eq!(starts(&pace).await, [0, 5, 10, 15].map(Duration::from_millis));
        assert!(now.elapsed() >= Duration::from_millis(15), "the last began before its time");
        assert!(pace.is_exhausted());
        assert_eq!(pace.behind(), 0);
    }

    #[tokio::test]
    async fn who_comes_late_is_told_when_it_should_have_begun() {
        let now = Instant::now();
        let long_ago = now - Duration::from_secs(5);
        let pace = Pace::new(1.0, long_ago, now).unwrap();
        assert_eq!(pace.behind(), 5);
        assert_eq!(pace.next().await.unwrap(), Some(long_ago));
        assert_eq!(pace.behind(), 4);
        assert_eq!(starts(&pace).await.len(), 4);
    }

    #[tokio::test]
    async fn a_rate_is_a_positive_number() {
        let now = Instant::now();
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Pace::new(rate, now, now).is_err(), "{rate}");
        }
    }
}
