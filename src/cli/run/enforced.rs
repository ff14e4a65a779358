//! A command that is held: in a jail whose sockets the filter serves. Linux only.

use std::ffi::OsString;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;

use super::command::{Command, Started};
use super::plan::Plan;
use super::{Start, environment};
use crate::cli::UsageError;
use crate::cli::output::Printer;
use crate::config::DeniedUdp;
use crate::jail::{self, Ipv6, Jail, JailError, STAGE, Sockets, Sources, Spec};
use crate::net::icmp::Unreachable;
use crate::net::udp::ReplySockets;
use crate::proxy::{DnsSockets, Intake, Proxy, Setup};
use crate::telemetry::RunId;

/// Makes the jail, and starts the filter on its sockets.
pub(super) fn enforced<'a>(setup: Setup, plan: &'a Plan, run: &RunId) -> anyhow::Result<(Proxy, Start<'a>)> {
    let (program, args) = plan.line.split_first().context("there is no command to run")?;
    let spec = Spec {
        program: program.clone(),
        args: args.to_vec(),
        env: vec![(environment::RUN.into(), run.as_str().into())],
        host_ports: plan.host_ports.clone(),
        sources: sources(plan.from)?,
        workers: setup.proxy.workers,
        ipv6: Ipv6::of_this_machine(),
    };
    let jail = Jail::start(spec).map_err(explain)?;
    let proxy = start(setup, &jail)?;
    let begin = move || {
        jail.run().context("cannot start the command")?;
        Ok(Started::Running(Command::held(jail)))
    };
    Ok((proxy, Box::new(begin)))
}

fn sources(from: Option<IpAddr>) -> anyhow::Result<Sources> {
    let Some(from) = from else { return Ok(Sources::default()) };
    let unfit = || UsageError(format!("--from: no machine's connections come from {from}"));
    Ok(Sources::of(from).ok_or_else(unfit)?)
}

fn start(setup: Setup, jail: &Jail) -> anyhow::Result<Proxy> {
    let Sockets { gateway, dns_tcp, dns_udp, udp, icmp } = jail.take_sockets().context("the jail has no sockets")?;
    let replies = jail.reply_sockets();
    let replies = ReplySockets::Asked(Arc::new(move |from| replies.open(from)));
    let unreachable = match setup.gateway.denied_udp {
        DeniedUdp::Unreachable => Unreachable::with(icmp),
        DeniedUdp::Drop => None,
    };
    let intake = Intake::handed_over(gateway, DnsSockets::handed_over(dns_udp, dns_tcp))?;
    let intake = intake.with_datagrams(udp, replies, unreachable, setup.proxy.workers);
    Ok(Proxy::start(setup, intake)?)
}

/// Which right is missing, how to get it, and how to do without.
fn explain(error: JailError) -> anyhow::Error {
    anyhow::anyhow!("{error}\n  = mend: or run it with --proxy-only, which enforces nothing")
}

/// What a process of the jail does, if this is one: they are this program under another word.
pub(in crate::cli) fn stage(args: &[OsString]) -> Option<ExitCode> {
    let [_, word, rest @ ..] = args else { return None };
    let run = || {
        jail::stage(rest.iter().cloned()).unwrap_or_else(|error| {
            Printer::new().error(&error.to_string());
            ExitCode::from(error.exit_code())
        })
    };
    (word == STAGE).then(run)
}
