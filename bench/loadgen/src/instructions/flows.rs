//! Flows through a running Egret that callgrind counts, one after the other.

use std::net::Ipv4Addr;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Result, ensure};

use crate::door::Door;
use crate::origin::Origin;
use crate::proxies::{Origins, Stage, Subject};
use crate::suite::Case;
use crate::workload::{self, Limit, Plan, Workload};

use super::callgrind::Counted;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow {
    door: Door,
    workload: Workload,
    name: &'static str,
}

pub(super) const ALL: [Flow; 7] = [
    Flow { door: Door::Explicit, workload: Workload::Tunnel, name: "tunnel" },
    Flow { door: Door::Explicit, workload: Workload::Refused, name: "tunnel-refused" },
    Flow { door: Door::Explicit, workload: Workload::Http, name: "http-request" },
    Flow { door: Door::Explicit, workload: Workload::Pingpong, name: "pingpong" },
    Flow { door: Door::Socks5, workload: Workload::Tunnel, name: "socks5-tunnel" },
    Flow { door: Door::Gateway, workload: Workload::Tunnel, name: "gateway-flow" },
    Flow { door: Door::Gateway, workload: Workload::Refused, name: "gateway-flow-refused" },
];

impl Flow {
    pub(super) fn name(self) -> &'static str {
        self.name
    }

    /// Instructions of a process that carried so many of these flows.
    pub(super) async fn count(self, egret: &Path, operations: u64) -> Result<u64> {
        let limit = Limit::Count(operations);
        let plan = Plan { concurrency: 1, ..Case::usual(self.door, self.workload).plan(limit, None) };
        let counted = Counted::new(egret)?;
        let origin = Origin::start((Ipv4Addr::LOCALHOST, 0).into(), plan.script())?;
        let stage = Stage::of(&plan, Origins::all(origin.addr()));
        let running = Subject::Egret(counted.program()).start(&stage).await?;
        let dial = Rc::new(running.dial(plan.setting.hello)?);
        let meter = workload::drive(plan, limit, None, dial).await?;
        let done = meter.operations();
        ensure!(
            done == operations,
            "{done} of {operations} were carried out: {}",
            meter.first_error().unwrap_or_default()
        );
        drop(running);
        counted.instructions()
    }
}
