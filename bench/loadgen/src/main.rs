//! `egret-bench`: load generator and origin in one process of two threads, for Egret and for its peers.
//!
//! Linux only: CPU and memory of the proxies are read from `/proc`. Everything stays on loopback; gateways are measured
//! in a network namespace that ends with this process.

mod args;
mod attack;
mod client;
mod compare;
mod cpu;
mod door;
mod floor;
mod hello;
mod namespace;
mod origin;
mod proxies;
mod report;
mod tune;
mod workload;

use std::fs;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use args::{Attach, Cli, Command, Compare, Floor, Format, Load};
use client::Dial;
use cpu::ProcessTree;
use door::Door;
use floor::{forward, relay, serve_per_core, sni, splice};
use origin::Origin;
use report::Row;
use tune::TimeWaitBound;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Attack(attack) = &cli.command {
        return attacked(attack);
    }
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("egret-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Its exit code tells a wrong verdict from a wrong use.
fn attacked(attack: &attack::Attack) -> ExitCode {
    let entered = if attack.starts_subjects() { attack::enter() } else { Ok(()) };
    match entered.and_then(|()| attack::attack(attack)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("egret-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    if cli.command.door() == Door::Gateway {
        namespace::enter()?;
    }
    raise_descriptor_limit()?;
    match cli.command {
        // `main` has taken it already.
        Command::Attack(_) => Ok(()),
        Command::Load(load) => on_runtime(run_load(load)),
        Command::Compare(compare) => on_runtime(run_compare(compare)),
        Command::Relay(Floor { listen, port_file, connect_to }) => {
            serve_per_core(listen, &port_file, relay::serve, connect_to)
        }
        Command::ForwardFloor(Floor { listen, port_file, connect_to }) => {
            serve_per_core(listen, &port_file, forward::serve, connect_to)
        }
        Command::SniRelay(Floor { listen, port_file, connect_to }) => {
            serve_per_core(listen, &port_file, sni::serve, connect_to)
        }
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
fn on_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = work => result,
            _ = interrupt.recv() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

async fn run_load(load: Load) -> Result<()> {
    let _bound = (load.tune || load.gateway).then(TimeWaitBound::set).transpose()?;
    let row = match load.subject.to_start() {
        Some(subject) => compare::measure(&subject, load.plan(), 1, load.descriptors).await?,
        None => measure_running(&load).await?,
    };
    match load.format {
        Format::Text => print!("{}", row.text()),
        Format::Json => println!("{}", serde_json::to_string_pretty(&row)?),
    }
    ensure!(row.measured.errors == 0, "{} operations failed", row.measured.errors);
    Ok(())
}

async fn measure_running(load: &Load) -> Result<Row> {
    let proxy = load.subject.proxy.context("--proxy, --egret or --peer says what to measure")?;
    let Attach { pid, origin, target } = &load.attach;
    let plan = load.plan();
    let origin = Origin::start(*origin, plan.workload.script())?;
    let target = target.clone().unwrap_or_else(|| origin.addr().to_string());
    let dial = Rc::new(Dial::new(proxy, &target, &target));
    let measured = workload::run(plan, dial, pid.map(ProcessTree::of)).await?;
    Ok(Row {
        proxy: proxy.to_string(),
        version: "already running".into(),
        door: plan.door,
        workload: plan.workload,
        round: 1,
        concurrency: plan.concurrency,
        origin_connections: origin.accepted(),
        measured,
    })
}

async fn run_compare(compare: Compare) -> Result<()> {
    let (subjects, plans) = (compare.subjects(), compare.plans());
    for subject in &subjects {
        subject.version()?;
        let can_any = plans.iter().any(|plan| subject.can(plan.door, plan.workload));
        ensure!(can_any, "{} can do nothing of this", subject.name());
    }
    let _bound = (compare.tune || compare.gateway).then(TimeWaitBound::set).transpose()?;
    let comparison = compare::compare(&subjects, &plans, compare.rounds.into()).await;
    print!("{}", comparison.markdown());
    if let Some(path) = &compare.json {
        let json = serde_json::to_string_pretty(&comparison)? + "\n";
        fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    ensure!(comparison.failures.is_empty(), "{} measurements failed", comparison.failures.len());
    Ok(())
}
