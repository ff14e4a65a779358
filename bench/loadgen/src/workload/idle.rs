//! Memory of tunnels that do nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Limit, Measured, Plan};
use crate::client::{Dial, EXCHANGE, reset};
use crate::cpu::ProcessTree;

/// Tunnels when no count is given.
const TUNNELS: u64 = 4000;
/// Two descriptors of this process belong to a tunnel, the client's and the origin's; these are for the rest.
const RESERVED_DESCRIPTORS: u64 = 256;
/// A proxy may give buffers back only after a while.
const SETTLE: Duration = Duration::from_secs(3);

pub async fn run(plan: Plan, dial: &Dial, tree: Option<ProcessTree>) -> Result<Measured> {
    let tree = tree.context("idle needs the proxy's process: --pid, --peer or --egret")?;
    let wanted = match plan.limit {
        Limit::Count(count) => count,
        Limit::Time(_) => TUNNELS,
    };
    let tunnels = wanted.min(descriptors().saturating_sub(RESERVED_DESCRIPTORS) / 2);
    ensure!(tunnels > 0, "the descriptor limit leaves no room for tunnels");

    let started = Instant::now();
    reset(open(dial).await?)?;
    sleep(SETTLE).await;
    let before = tree.pss_kib()?;
    let mut held = Vec::new();
    for at in 0..tunnels {
        held.push(open(dial).await.with_context(|| format!("opening tunnel {} of {tunnels}", at + 1))?);
    }
    sleep(SETTLE).await;
    let after = tree.pss_kib()?;
    let kib = after as f64 - before as f64;
    held.into_iter().try_for_each(reset)?;
    Ok(Measured {
        operations: tunnels,
        seconds: started.elapsed().as_secs_f64(),
        kib_per_tunnel: Some(kib / tunnels as f64),
        pss_kib: Some(after),
        ..Measured::default()
    })
}

/// A tunnel through which a hello and its answer have passed, so that its buffers have been in use.
async fn open(dial: &Dial) -> Result<TcpStream> {
    timeout(EXCHANGE, dial.answered()).await.context("no answer within 10 s")?
}

/// What this process may have of them.
pub fn descriptors() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}
