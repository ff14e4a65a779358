//! The workloads: what one operation is, and how many run when.

mod crowd;
mod exchange;
mod idle;
mod measured;
mod meter;
mod pace;
mod session;
mod setting;

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep;

use crate::client::Dial;
use crate::cpu::ProcessTree;
use crate::door::Door;
use crate::origin::Script;
pub use crowd::Crowd;
pub use idle::descriptors;
pub use measured::Measured;
#[cfg(test)]
pub use meter::Latency;
use meter::Meter;
pub use setting::{HelloKind, LogTo, Setting};

/// Load before the measurement, if that is not shorter itself, so that threads, caches and allocators are warm.
const WARM_UP: Duration = Duration::from_millis(500);
/// Time for a proxy to finish closing what the last operations opened.
const SETTLE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// A new tunnel or flow: a ClientHello, 128 bytes back, close
    Tunnel,
    /// The same with a whole TLS handshake and one request in it
    Handshake,
    /// A tunnel, flow or lookup for a name that is not allowed, always denied.test; any refusal will do
    Refused,
    /// GET in absolute form on kept connections, 128 bytes back
    Http,
    /// Tunnels that the origin fills as fast as they take it
    Bulk,
    /// Tunnels that the client fills as fast as they take it
    BulkUp,
    /// One byte there and back in a tunnel
    Pingpong,
    /// Tunnels that do nothing, for their memory
    Idle,
    /// More tunnels at once than the proxy may hold
    Crowd,
    /// The address of a name, which is in the cache
    Lookup,
}

impl Workload {
    /// Those that a comparison is made of.
    pub fn of(door: Door) -> &'static [Workload] {
        use Workload::{Bulk, BulkUp, Handshake, Http, Idle, Lookup, Pingpong, Refused, Tunnel};
        match door {
            Door::Explicit => &[Tunnel, Handshake, Refused, Http, Bulk, BulkUp, Pingpong, Idle],
            Door::Socks5 => &[Tunnel, Refused],
            Door::Gateway => &[Tunnel, Handshake, Refused, Bulk, BulkUp, Pingpong, Idle],
            Door::Dns => &[Lookup, Refused],
        }
    }

    /// What can be asked for by a door, compared or not.
    pub fn fits(self, door: Door) -> bool {
        match door {
            Door::Explicit => self != Workload::Lookup,
            Door::Socks5 | Door::Gateway => !matches!(self, Workload::Lookup | Workload::Http),
            Door::Dns => matches!(self, Workload::Lookup | Workload::Refused),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Workload::Tunnel => "tunnel",
            Workload::Handshake => "handshake",
            Workload::Refused => "refused",
            Workload::Http => "http",
            Workload::Bulk => "bulk",
            Workload::BulkUp => "bulk-up",
            Workload::Pingpong => "pingpong",
            Workload::Idle => "idle",
            Workload::Crowd => "crowd",
            Workload::Lookup => "lookup",
        }
    }

    pub fn default_concurrency(self) -> usize {
        match self {
            Workload::Bulk | Workload::BulkUp => 4,
            Workload::Crowd => 256,
            _ => 16,
        }
    }
}

/// How much of a workload is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    pub door: Door,
    pub workload: Workload,
    pub concurrency: usize,
    pub limit: Limit,
    pub setting: Setting,
    /// Operations a second that are begun whether or not earlier ones have ended; `None`: one after the other.
    pub rate: Option<f64>,
}

impl Plan {
    /// The usual way of running a workload.
    #[cfg(test)]
    pub fn usual(door: Door, workload: Workload, limit: Limit) -> Plan {
        crate::suite::Case::usual(door, workload).plan(limit, None)
    }

    /// What the origin does; a refused name never gets there.
    pub fn script(&self) -> Script {
        match self.workload {
            _ if self.door == Door::Dns => Script::Names,
            Workload::Tunnel | Workload::Refused => Script::Answer,
            Workload::Handshake => Script::Tls,
            Workload::Http => Script::Http,
            Workload::Bulk => Script::Stream,
            Workload::BulkUp => Script::Swallow,
            Workload::Pingpong | Workload::Crowd => Script::Echo,
            Workload::Idle => Script::Hold,
            Workload::Lookup => Script::Names,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Time(Duration),
    /// Operations; tunnels for `idle` and `crowd`, MiB for `bulk`.
    Count(u64),
}

/// Of this process, beside those of connections.
const RESERVED_DESCRIPTORS: u64 = 64;

/// Why so many connections at a time are more than this process can hold: each is the client's and the origin's.
pub fn lacks_descriptors(concurrency: usize) -> Option<String> {
    let (needed, there) = (2 * concurrency as u64 + RESERVED_DESCRIPTORS, descriptors());
    let why = "egret-bench itself needs that many; `ulimit -Hn` shows them";
    (needed > there).then(|| format!("it takes {needed} descriptors, and there are {there}: {why}"))
}

pub async fn run(plan: Plan, dial: Rc<Dial>, tree: Option<ProcessTree>) -> Result<Measured> {
    match plan.workload {
        Workload::Idle => return idle::run(plan, &dial, tree).await,
        Workload::Crowd => return crowd::run(plan, dial).await,
        _ => {}
    }
    if let Some(why) = lacks_descriptors(plan.concurrency) {
        bail!("{} at a time: {why}", plan.concurrency);
    }
    let warm_up = if let Limit::Time(time) = plan.limit { WARM_UP.min(time) } else { WARM_UP };
    let warm = drive(plan, Limit::Time(warm_up), None, dial.clone()).await?;
    let first_error = || warm.first_error().unwrap_or_else(|| format!("no error, and no end within {warm_up:?}"));
    ensure!(warm.operations() > 0, "nothing came through: {}", first_error());
    sleep(SETTLE).await;
    let before = cpu(tree)?;
    let meter = drive(plan, plan.limit, plan.rate, dial).await?;
    sleep(SETTLE).await;
    let spent = cpu(tree)?.zip(before).map(|(after, before)| after.saturating_sub(before));
    let pss_kib = tree.map(|tree| tree.pss_kib()).transpose()?;
    Ok(Measured { pss_kib, ..Measured::of(plan.workload, &meter, spent) })
}

fn cpu(tree: Option<ProcessTree>) -> Result<Option<Duration>> {
    tree.map(|tree| tree.cpu()).transpose()
}

/// Runs the workload's workers side by side on this thread until the limit is reached.
pub async fn drive(plan: Plan, limit: Limit, rate: Option<f64>, dial: Rc<Dial>) -> Result<Rc<Meter>> {
    let meter = Rc::new(Meter::start(limit, rate)?);
    let local = LocalSet::new();
    let mut workers = JoinSet::new();
    for _ in 0..plan.concurrency {
        workers.spawn_local_on(work(plan, dial.clone(), meter.clone()), &local);
    }
    local
        .run_until(async {
            while let Some(worker) = workers.join_next().await {
                worker.context("a worker panicked")?;
            }
            anyhow::Ok(())
        })
        .await?;
    meter.stop();
    Ok(meter)
}

async fn work(plan: Plan, dial: Rc<Dial>, meter: Rc<Meter>) {
    match plan.workload {
        Workload::Tunnel => exchange::repeat(&meter, || exchange::tunnel(&dial)).await,
        Workload::Handshake => session::repeat(&meter, || session::handshakes(&dial, &meter)).await,
        Workload::Refused if plan.door == Door::Dns => {
            session::repeat(&meter, || session::refused_lookups(&dial, &meter)).await;
        }
        Workload::Refused => exchange::repeat(&meter, || dial.refused()).await,
        Workload::Http => session::repeat(&meter, || session::http(&dial, &meter)).await,
        Workload::Bulk => session::repeat(&meter, || session::bulk(&dial, &meter)).await,
        Workload::BulkUp => session::repeat(&meter, || session::bulk_up(&dial, &meter)).await,
        Workload::Pingpong => session::repeat(&meter, || session::pingpong(&dial, &meter)).await,
        Workload::Lookup => session::repeat(&meter, || session::lookups(&dial, &meter)).await,
        Workload::Idle | Workload::Crowd => unreachable!("have runs of their own"),
    }
}
