//! All workloads over all proxies, in turns, so that a noisy minute hits everybody.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use anyhow::{Result, ensure};

use crate::origin::Origin;
use crate::proxies::{Origins, Stage, Subject};
use crate::report::{Comparison, Environment, Row};
use crate::workload::{self, Plan};

pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// One workload on a proxy and an origin started for it alone.
/// `descriptors` is the proxy's limit, where it is not this process's.
pub async fn measure(subject: &Subject, plan: Plan, round: usize, descriptors: Option<u32>) -> Result<Row> {
    let Plan { door, workload, concurrency, setting, .. } = plan;
    let origin = Origin::start(LOOPBACK, plan.script())?;
    let version = subject.version()?;
    ensure!(subject.can(&plan), "{} cannot run {} as {}", subject.name(), workload.as_str(), door.what());
    let stage = Stage { descriptors, ..Stage::of(&plan, Origins::all(origin.addr())) };
    let running = subject.start(&stage).await?;
    let dial = Rc::new(running.dial(setting.hello)?);
    let measured = tokio::select! {
        measured = workload::run(plan, dial, running.tree()) => measured?,
        ended = running.churn(), if setting.churn => match ended? {},
    };
    Ok(Row {
        proxy: subject.name().into(),
        version,
        door,
        workload,
        setting,
        round,
        concurrency,
        origin_connections: origin.accepted(),
        measured,
    })
}

/// A workload that fails is reported and does not end the comparison.
pub async fn compare(subjects: &[Subject], plans: &[Plan], rounds: usize) -> Comparison {
    let mut comparison = Comparison { environment: Environment::here(), rows: Vec::new(), failures: Vec::new() };
    for round in 1..=rounds {
        for &plan in plans {
            for subject in subjects.iter().filter(|subject| subject.can(&plan)) {
                let what = format!("{} {}, round {round}", subject.name(), plan.workload.as_str());
                eprintln!("{what}");
                match measure(subject, plan, round, None).await {
                    Ok(row) => {
                        if row.measured.errors > 0 {
                            comparison.failures.push(format!("{what}: {} errors", row.measured.errors));
                        }
                        comparison.rows.push(row);
                    }
                    Err(error) => comparison.failures.push(format!("{what}: {error:#}")),
                }
            }
        }
    }
    comparison
}
