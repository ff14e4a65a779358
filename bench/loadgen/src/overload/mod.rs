//! Overload: more than Egret can take, clients that are slow on purpose, and ten thousand half-open hellos from one
//! address, while others work. What the others see of it, what it weighs, and whether each refusal is counted and logged.
//!
//! The attackers are a process of their own, so that their descriptors are nobody else's, and come from 127.0.0.2; the
//! others come from 127.0.0.1.

mod flood;
mod hold;
mod others;
mod report;
mod subject;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use crate::args::Overload;
use crate::client::Dial;
use crate::origin::{Origin, Script};
use crate::output;
use crate::proxies::egret_binary;
use crate::workload::{HelloKind, descriptors};
use flood::Flood;
use hold::Attackers;
pub use hold::{Hold, Kind, hold};
use others::{closed_loop, open_loop};
use report::{Report, Stage};
use subject::{Refusals, Subject};

/// What the others ask for a second, unless more is asked of Egret than it can take.
const RATE: f64 = 500.0;
/// Connections at a time while capacity is measured.
const CONCURRENCY: usize = 32;
/// Of each kind of slow client, 65 000 bytes of a head and the like each.
const SLOW: u32 = 1_000;
const HALF_OPEN: u32 = 10_000;
/// Of Egret, two for each connection that it holds, and of each of the others here.
const DESCRIPTORS: u64 = 20_000;
/// Until what has ended is closed and given back.
const SETTLE: Duration = Duration::from_secs(3);
/// Until what is not read has filled the kernel's buffers, some gigabytes of it.
const FILLED: Duration = Duration::from_secs(10);

/// Everything that is reached, and Egret.
struct Scene {
    subject: Subject,
    dial: Arc<Dial>,
    time: Duration,
    /// They end after Egret does.
    _origins: [Origin; 2],
    _flood: Flood,
}

pub async fn run(overload: &Overload) -> Result<()> {
    if let Some(path) = &overload.json {
        output::try_file(path)?;
    }
    let egret = egret_binary(&overload.egret)?;
    enough(descriptors())?;
    let scene = Scene::new(&egret, Duration::from_secs(overload.seconds)).await?;
    let report = scene.run().await?;
    output::print(report.markdown())?;
    if let Some(path) = &overload.json {
        let json = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    ensure!(report.shortcomings().is_empty(), "{}", report.shortcomings().join("; "));
    Ok(())
}

/// With fewer, what is told would be of another attack.
fn enough(descriptors: u64) -> Result<()> {
    let mend = "`ulimit -Hn` shows them, and root or the service manager raises them";
    ensure!(descriptors >= DESCRIPTORS, "it takes {DESCRIPTORS} descriptors, and there are {descriptors}: {mend}");
    Ok(())
}

impl Scene {
    async fn new(egret: &Path, time: Duration) -> Result<Scene> {
        let origin = |script| Origin::start(([127, 0, 0, 1], 0).into(), script);
        let origins = [origin(Script::Answer)?, origin(Script::Hold)?];
        let flood = Flood::start().await?;
        let mut destinations: Vec<_> =
            ["ok.test:443", "slow.test:80"].into_iter().zip(origins.iter().map(Origin::addr)).collect();
        destinations.extend([("flood.test:443", flood.addr), ("flood.test:80", flood.addr)]);
        let subject = Subject::start(egret, &destinations)?;
        let dial = Arc::new(Dial::http(subject.addr, "ok.test:443", "ok.test:80", HelloKind::Classic));
        Ok(Scene { subject, dial, time, _origins: origins, _flood: flood })
    }

    async fn run(&self) -> Result<Report> {
        open_loop(&self.dial, RATE, Duration::from_secs(2)).await;
        let mut calm = vec![self.alone("unloaded", RATE).await?];
        let capacity = closed_loop(&self.dial, CONCURRENCY, self.time / 2).await;
        sleep(SETTLE).await;
        let mut stages = vec![self.alone("twice its capacity", 2.0 * capacity).await?];
        let slow = Kind::SLOW.iter().map(|kind| (*kind, SLOW));
        for (kind, count) in slow.chain([(Kind::Hellos, HALF_OPEN)]) {
            sleep(SETTLE).await;
            calm.push(self.alone("unloaded again", RATE).await?);
            stages.push(self.under(kind, count).await?);
        }
        sleep(SETTLE).await;
        stages.push(self.alone("after all", RATE).await?);
        let peak_kib = self.subject.peak_kib()?;
        Ok(Report::new(capacity, calm, stages, peak_kib))
    }

    /// The others' work while these are held.
    async fn under(&self, kind: Kind, count: u32) -> Result<Stage> {
        let before = self.subject.refusals().await?;
        let attackers = Attackers::start(self.subject.addr, kind, count)?;
        attackers.wait_until_all_came().await?;
        sleep(FILLED).await;
        self.stage(&format!("{count} {}", kind.what()), RATE, Some(attackers), &before).await
    }

    async fn alone(&self, name: &str, rate: f64) -> Result<Stage> {
        let before = self.subject.refusals().await?;
        self.stage(name, rate, None, &before).await
    }

    /// `before` is of when there were no attackers.
    async fn stage(&self, name: &str, rate: f64, attackers: Option<Attackers>, before: &Refusals) -> Result<Stage> {
        output::tell(name);
        let observed = open_loop(&self.dial, rate, self.time).await;
        let weight = self.subject.weigh()?;
        let held = attackers.map(Attackers::stop).transpose()?;
        let after = self.subject.refusals().await?;
        Ok(Stage { name: name.to_owned(), rate, observed, weight, held, refused: after.since(before) })
    }
}
