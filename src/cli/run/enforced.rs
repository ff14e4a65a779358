//! A command that is held: in a jail whose sockets the filter serves. Linux only.

use super::command::{Command, Started};
use super::plan::Plan;
use super::{Start, environment};
use crate::jail::{Ipv6, Jail, Spec};
use crate::proxy::{Intake, Proxy, Setup};
use crate::telemetry::RunId;

use anyhow::Context;

/// Makes the jail, and starts the filter on its sockets.
pub(super) fn enforced<'a>(setup: Setup, plan: &'a Plan, run: &RunId) -> anyhow::Result<(Proxy, Start<'a>)> {
    let Some((program, args)) = plan.line.split_first() else { anyhow::bail!("there is no command to run") };
    let spec = Spec {
        program: program.clone(),
        args: args.to_vec(),
        env: vec![(environment::RUN.into(), run.as_str().into())],
        host_ports: plan.host_ports.clone(),
        workers: setup.proxy.workers,
        ipv6: Ipv6::of_this_machine(),
    };
    let jail = Jail::start(spec).map_err(explain)?;
    let sockets = jail.take_sockets().context("the jail has no sockets")?;
    let intake = Intake::handed_over(sockets.gateway)?;
    let proxy = Proxy::start(setup, intake)?;
    let start = move || {
        jail.run().context("cannot start the command")?;
        Ok(Started::Running(Command::Held(jail.into())))
    };
    Ok((proxy, Box::new(start)))
}
