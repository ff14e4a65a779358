//! The floors: this program itself, as the least that a proxy of a kind can do.

use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::launch::{Launch, Ready, Site};
use crate::door::Door;
use crate::workload::{Plan, Workload};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Floor {
    /// A bare relay for tunnels and flows, a bare forward proxy for http, a bare cache for lookups
    Relay,
    /// A relay with splice(2), for bulk
    Splice,
}

impl Floor {
    pub fn name(self) -> &'static str {
        match self {
            Floor::Relay => "floor",
            Floor::Splice => "floor, splice",
        }
    }

    /// There is no list to make longer or to load again. The gateway's floor compares the one name, others refuse
    /// nothing.
    pub fn can(self, plan: &Plan) -> bool {
        let bare = plan.setting.policy == 0 && !plan.setting.churn;
        let can = match (self, plan.door) {
            (Floor::Relay, Door::Gateway) => true,
            (Floor::Relay, _) => plan.workload != Workload::Refused,
            (Floor::Splice, Door::Gateway) => matches!(plan.workload, Workload::Bulk | Workload::BulkUp),
            (Floor::Splice, _) => false,
        };
        bare && can
    }

    pub fn launch(self, site: &Site) -> Result<Launch> {
        let origins = site.stage.origins;
        let (kind, origin) = match (self, site.stage.door, site.stage.workload) {
            (Floor::Splice, ..) => ("splice-relay", origins.tls),
            (_, Door::Gateway, _) => ("sni-relay", origins.tls),
            (_, Door::Socks5, _) => ("socks-relay", origins.tls),
            (_, Door::Dns, _) => ("dns-floor", origins.dns),
            (.., Workload::Http) => ("forward-floor", origins.http),
            _ => ("relay", origins.tls),
        };
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        command.args([kind, "--listen", "127.0.0.1:0", "--connect-to", &origin.to_string()]);
        command.arg("--port-file").arg(site.dir.join("port"));
        Ok(site.by_name(command, Ready::PortFile))
    }
}
