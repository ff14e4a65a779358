//! Those who work: new tunnels at a rate of their own, whatever becomes of the ones before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::client::{Dial, EXCHANGE};
use crate::origin::ANSWER_LEN;

/// More at a time than this are not begun, and counted: descriptors are for what is measured.
const AT_A_TIME: usize = 6_000;
/// A timer may be as late as this.
const TIMER: Duration = Duration::from_millis(1);

/// What they saw.
#[derive(Debug, Default, Serialize)]
pub struct Observed {
    pub served: u64,
    pub failed: u64,
    /// Those that were due while too many were on their way already.
    pub not_begun: u64,
    pub served_per_second: f64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub first_failure: Option<String>,
}

/// So many a second for so long, each measured from when it was due.
pub async fn open_loop(dial: &Arc<Dial>, rate: f64, time: Duration) -> Observed {
    let began = Instant::now();
    let mut running = JoinSet::new();
    let mut seen = Seen::default();
    for number in 0.. {
        let due = began + Duration::from_secs_f64(f64::from(number) / rate);
        if due >= began + time {
            break;
        }
        sleep_until(due.into()).await;
        while let Some(ended) = running.try_join_next() {
            seen.add(ended);
        }
        if running.len() >= AT_A_TIME {
            seen.not_begun += 1;
            continue;
        }
        let (dial, since) = (dial.clone(), Instant::now().min(due + TIMER));
        running.spawn(async move { exchange(&dial).await.map(|()| since.elapsed()) });
    }
    let elapsed = began.elapsed();
    while let Some(ended) = running.join_next().await {
        seen.add(ended);
    }
    seen.observed(elapsed)
}

/// How many a second there are where so many clients each begin another when one has ended.
pub async fn closed_loop(dial: &Arc<Dial>, clients: usize, time: Duration) -> f64 {
    let began = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let dial = dial.clone();
        running.spawn(async move {
            let mut served = 0;
            while began.elapsed() < time {
                served += u32::from(exchange(&dial).await.is_ok());
            }
            served
        });
    }
    let served: u32 = running.join_all().await.into_iter().sum();
    f64::from(served) / began.elapsed().as_secs_f64()
}

async fn exchange(dial: &Dial) -> Result<()> {
    let tunnel = async {
        let mut stream = dial.tunnel().await?;
        let mut answer = Vec::with_capacity(ANSWER_LEN);
        stream.read_to_end(&mut answer).await?;
        ensure!(answer.len() == ANSWER_LEN, "{} bytes came back", answer.len());
        Ok(())
    };
    timeout(EXCHANGE, tunnel).await.context("no end within 10 s")?
}

#[derive(Default)]
struct Seen {
    latencies_us: Vec<u64>,
    failed: u64,
    not_begun: u64,
    first_failure: Option<String>,
}

impl Seen {
    fn add(&mut self, ended: Result<Result<Duration>, tokio::task::JoinError>) {
        match ended.context("it ended in a panic").and_then(|ended| ended) {
            Ok(latency) => self.latencies_us.push(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)),
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    fn observed(mut self, elapsed: Duration) -> Observed {
        self.latencies_us.sort_unstable();
        let count = self.latencies_us.len();
        let at = |permille: usize| self.latencies_us.get(count * permille / 1000).copied().unwrap_or_default();
        Observed {
            served: count as u64,
            failed: self.failed,
            not_begun: self.not_begun,
            served_per_second: count as f64 / elapsed.as_secs_f64(),
            p50_us: at(500),
            p99_us: at(990),
            p999_us: at(999),
            first_failure: self.first_failure,
        }
    }
}
