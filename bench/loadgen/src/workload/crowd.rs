//! More tunnels at once than a proxy may hold: what becomes of those that it holds, and of the others.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use super::idle::descriptors;
use super::{Limit, Measured, Plan};
use crate::client::{Dial, reset};
use crate::origin::ANSWER_LEN;

/// Tunnels when no count is given.
const TUNNELS: u64 = 12_000;
/// A tunnel without an answer for so long is one that waits.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long those that waited may take once there is room.
const LATER: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Copy, Serialize, Deserialize, Default)]
pub struct Crowd {
    /// Tunnels that were answered.
    pub held: u64,
    /// Of them those that returned a byte when all the others had come.
    pub answering: u64,
    /// Those that got neither a byte nor an end.
    pub waiting: u64,
    /// Those that were closed or reset without a byte.
    pub refused: u64,
    /// Of those that waited, those that were answered when half of the held ones had gone.
    pub served_later: u64,
}

enum Fate {
    Held(TcpStream),
    Waiting(TcpStream),
    /// Not even connected yet.
    Queued,
    Refused(anyhow::Error),
}

pub async fn run(plan: Plan, dial: Rc<Dial>) -> Result<Measured> {
    let tunnels = match plan.limit {
        Limit::Count(count) => count,
        Limit::Time(_) => TUNNELS,
    };
    ensure!(tunnels < descriptors(), "{tunnels} tunnels are more than this process has descriptors");
    let started = Instant::now();
    let fates = all(tunnels, plan.concurrency, move || open(dial.clone())).await?;
    let mut crowd = Crowd::default();
    let (mut held, mut waiting, mut first) = (Vec::new(), Vec::new(), None);
    for fate in fates {
        match fate {
            Fate::Held(stream) => held.push(stream),
            Fate::Waiting(stream) => waiting.push(stream),
            Fate::Queued => crowd.waiting += 1,
            Fate::Refused(error) => {
                crowd.refused += 1;
                first.get_or_insert(error);
            }
        }
    }
    if held.is_empty() {
        let none = format!("none of {tunnels} tunnels was held, and {} were closed", crowd.refused);
        return Err(first.unwrap_or_else(|| anyhow!("no answer")).context(none));
    }
    crowd.held = held.len() as u64;
    crowd.waiting += waiting.len() as u64;
    for stream in &mut held {
        crowd.answering += u64::from(matches!(timeout(PATIENCE, echo(stream)).await, Ok(Ok(()))));
    }
    held.drain(..held.len() / 2).try_for_each(reset)?;
    crowd.served_later = served(waiting).await?;
    held.into_iter().try_for_each(reset)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Measured { operations: tunnels, seconds, crowd: Some(crowd), ..Measured::default() })
}

/// Runs so many of these, and so many at a time.
async fn all<F: Future<Output = Fate> + 'static>(
    count: u64,
    at_a_time: usize,
    one: impl Fn() -> F,
) -> Result<Vec<Fate>> {
    let local = LocalSet::new();
    let mut running = JoinSet::new();
    let mut fates = Vec::new();
    local
        .run_until(async {
            for _ in 0..count {
                if running.len() >= at_a_time {
                    fates.extend(running.join_next().await.transpose().context("a worker panicked")?);
                }
                running.spawn_local(one());
            }
            while let Some(fate) = running.join_next().await {
                fates.push(fate.context("a worker panicked")?);
            }
            anyhow::Ok(())
        })
        .await?;
    Ok(fates)
}

async fn open(dial: Rc<Dial>) -> Fate {
    let mut stream = match timeout(PATIENCE, dial.tunnel()).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Fate::Refused(error),
        Err(_) => return Fate::Queued,
    };
    match timeout(PATIENCE, stream.read_exact(&mut [0; ANSWER_LEN])).await {
        Ok(Ok(_)) => Fate::Held(stream),
        Ok(Err(error)) => Fate::Refused(error.into()),
        Err(_) => Fate::Waiting(stream),
    }
}

async fn echo(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(b"p").await?;
    stream.read_exact(&mut [0]).await?;
    Ok(())
}

/// What each of them has sent is still on its way.
async fn served(waiting: Vec<TcpStream>) -> Result<u64> {
    let deadline = tokio::time::Instant::now() + LATER;
    let mut served = 0;
    for mut stream in waiting {
        let answer = tokio::time::timeout_at(deadline, stream.read_exact(&mut [0; ANSWER_LEN])).await;
        if matches!(answer, Ok(Ok(_))) {
            served += 1;
        }
        reset(stream)?;
    }
    Ok(served)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Door;
    use crate::workload::{HelloKind, Workload};

    #[tokio::test]
    async fn a_crowd_before_a_closed_port_is_an_error() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dial = Rc::new(Dial::http(closed, "ok.test:443", "ok.test:80", HelloKind::Classic));
        let plan = Plan::usual(Door::Explicit, Workload::Crowd, Limit::Count(3));
        let error = format!("{:#}", run(plan, dial).await.unwrap_err());
        assert!(error.starts_with("none of 3 tunnels was held, and 3 were closed: "), "{error}");
        assert!(error.contains("refused"), "{error}");
    }
}
