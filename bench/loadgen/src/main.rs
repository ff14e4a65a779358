//! `egret-bench`: load generator and origin in one process of two threads, for Egret and for its peers.
//!
//! Linux only: CPU and memory of the proxies are read from `/proc`. Everything stays on loopback; gateways are measured
//! in a network namespace that ends with this process.

mod args;
mod attack;
mod chart;
mod client;
mod compare;
mod cpu;
mod dns;
mod door;
mod floor;
mod hello;
mod instructions;
mod namespace;
mod origin;
mod output;
mod overload;
mod proxies;
mod report;
mod signals;
mod suite;
mod tls;
mod tune;
mod workload;

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use args::{Attach, Cli, Command, Floor, Format, Load};
use client::Dial;
use cpu::ProcessTree;
use door::Door;
use floor::{forward, relay, serve_per_core, sni, socks, splice};
use origin::Origin;
use proxies::egret_binary;
use report::Row;
use signals::Signals;
use tune::TimeWaitBound;
use workload::Workload;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Attack(attack) = &cli.command {
        return attacked(attack);
    }
    if let Command::Load(load) = &cli.command
        && let Some(wrong) = load.contradiction()
    {
        Cli::command().error(ErrorKind::ArgumentConflict, wrong).exit();
    }
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::tell(format_args!("egret-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Its exit code tells a wrong verdict from a wrong use.
fn attacked(attack: &attack::Attack) -> ExitCode {
    let entered = if attack.starts_subjects() { attack::enter(attack) } else { Ok(()) };
    match entered.and_then(|()| on_runtime(attack::attack(attack))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            output::tell(format_args!("egret-bench: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    raise_descriptor_limit()?;
    match cli.command {
        // `main` has taken it already.
        Command::Attack(_) => Ok(()),
        Command::Load(mut load) => {
            if let Some(egret) = &mut load.subject.egret {
                *egret = egret_binary(egret)?;
            }
            if load.door == Door::Gateway && load.subject.to_start().is_some() {
                namespace::enter()?;
            }
            on_runtime(run_load(load))
        }
        Command::Compare(compare) => compare::run(&compare),
        Command::Report(redraw) => compare::redraw(&redraw),
        Command::Instructions(mut instructions) => {
            if instructions::has_flows(&instructions) {
                instructions.egret = egret_binary(&instructions.egret)?;
                namespace::enter()?;
            }
            on_runtime(instructions::run(instructions))
        }
        Command::Decide { policies, operations } => {
            instructions::decide(policies, operations);
            Ok(())
        }
        Command::Overload(overload) => on_runtime(async move { overload::run(&overload).await }),
        Command::Hold(hold) => on_runtime(overload::hold(hold)),
        Command::Relay(Floor { listen, port_file, connect_to }) => {
            serve_per_core(listen, &port_file, relay::serve, connect_to)
        }
        Command::ForwardFloor(Floor { listen, port_file, connect_to }) => {
            serve_per_core(listen, &port_file, forward::serve, connect_to)
        }
        Command::SniRelay(Floor { listen, port_file, connect_to }) => {
            serve_per_core(listen, &port_file, sni::serve, connect_to)
        }
        Command::SocksRelay(Floor { listen, port_file, connect_to }) => {
            serve_per_core(listen, &port_file, socks::serve, connect_to)
        }
        Command::DnsFloor(Floor { listen, port_file, connect_to }) => floor::dns::serve(listen, &port_file, connect_to),
        Command::SpliceRelay(Floor { listen, port_file, connect_to }) => {
            serve_per_core(listen, &port_file, splice::serve, connect_to)
        }
    }
}

/// The proxies started here inherit it.
fn raise_descriptor_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("raising the descriptor limit")
}

/// A signal ends the work by dropping it, and with it whatever was started.
fn on_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        tokio::select! {
            result = work => result,
            what = signals.any() => bail!(what),
        }
    })
}

async fn run_load(load: Load) -> Result<()> {
    let _bound = (load.tune || namespace::is_inside()).then(TimeWaitBound::set).transpose()?;
    let row = match load.subject.to_start() {
        Some(subject) => compare::measure(&subject, &load.case(), load.plan(), 1, load.descriptors).await?,
        None => measure_running(&load).await?,
    };
    match load.format {
        Format::Text => output::print(report::text(&row))?,
        Format::Json => output::print(serde_json::to_string_pretty(&row)? + "\n")?,
    }
    if let (Workload::Idle, Some(count)) = (load.workload, load.count)
        && row.measured.operations < count
    {
        let held = row.measured.operations;
        output::tell(format_args!("{held} tunnels instead of {count}: each takes two of this program's descriptors"));
    }
    let (errors, never_begun) = (row.measured.errors, row.measured.never_begun);
    ensure!(errors == 0 && never_begun == 0, "{errors} operations failed, {never_begun} never began");
    Ok(())
}

async fn measure_running(load: &Load) -> Result<Row> {
    let proxy = load.subject.proxy.context("--proxy, --egret or --peer says what to measure")?;
    let Attach { pid, origin, target } = &load.attach;
    let (case, plan) = (load.case(), load.plan());
    let origin = Origin::start(*origin, plan.script())?;
    let target = target.clone().unwrap_or_else(|| origin.addr().to_string());
    let dial = match case.door {
        Door::Explicit => Dial::http(proxy, &target, &target, case.setting.hello),
        Door::Socks5 => Dial::socks(proxy, &target, case.setting.hello)?,
        Door::Dns => Dial::resolver(proxy),
        Door::Gateway => bail!("a gateway that runs already is not reached from here: start it with --egret or --peer"),
    };
    let measured = workload::run(plan, Rc::new(dial), pid.map(ProcessTree::of)).await?;
    let origin_connections = origin.accepted();
    Ok(Row { proxy: proxy.to_string(), case, round: 1, rate: plan.rate, origin_connections, measured })
}
