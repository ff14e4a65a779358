//! `egret run`: one command whose egress passes the policy, and a report at its end.
//!
//! What keeps the command inside is the jail's; what decides is the proxy's. Here the two are joined, signals passed
//! on, flows summed up and the exit code chosen.

mod ci;
mod command;
#[cfg(target_os = "linux")]
mod enforced;
mod environment;
mod expect;
mod learn;
mod plan;
mod report;
mod report_file;
mod show;
mod signals;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Runtime;

use super::Exit;
use super::output::{Format, Printer};
use super::serve::{start_record, telemetry_config};
use crate::net::listener::raise_descriptor_limit;
use crate::policy::Policy;
use crate::proxy::{Intake, Lifecycle, Proxy, Setup};
use crate::telemetry::{RunId, Tally, Telemetry, Totals};

use command::{Command, Ended, Started};
#[cfg(target_os = "linux")]
use enforced::enforced;
#[cfg(target_os = "linux")]
pub(super) use enforced::stage;
pub(super) use plan::Args;
use plan::{ANY_PORT, Plan, Way, Wishes};
use report::{Circumstances, InForce, Report};
use signals::Signals;

/// What the flow log may take to be written to its end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// What workers may take to end once everything was cut.
const CUTTING: Duration = Duration::from_secs(5);

pub(super) fn run(args: Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let (plan, wishes) = Plan::new(args, printer)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // From here on a signal is the command's.
    let signals = runtime.block_on(async { Signals::new() })?;
    let policy = Policy::compile(Arc::new(plan.config.rules.clone()), plan.config.private_addresses);
    let (run, tally) = (RunId::random(), Tally::default());
    let mut telemetry = telemetry_config(&plan.config.log, start_record(&policy, &plan.digest));
    (telemetry.run, telemetry.tally) = (run.clone(), Some(tally.clone()));
    let telemetry = Telemetry::start(telemetry)?;
    // The log gets its end, however the rest ended.
    let ran = supervise(&runtime, &plan, policy, &telemetry, signals);
    runtime.shutdown_background();
    let counts = telemetry.shutdown(LAST_WORDS);
    let Ran { ended, policy } = ran?;
    let lost = counts.map(|counts| counts.lost).unwrap_or_else(|error| {
        printer.warn(&error.to_string());
        0
    });
    let policy = policy.policy();
    let circumstances = Circumstances { run: &run, way: plan.way, config: &plan.config, policy, ended: &ended, lost };
    conclude(&plan, wishes, &tally.totals(), &circumstances, printer)
}

/// Tells what happened to whoever wants to know.
fn conclude(
    plan: &Plan,
    wishes: Wishes,
    totals: &Totals,
    circumstances: &Circumstances<'_>,
    printer: &mut Printer,
) -> anyhow::Result<Exit> {
    let Wishes { fail_on, expectations, lesson, format, report_file } = wishes;
    let report = Report::new(totals, expectations, fail_on, circumstances);
    show::print(&report, format, printer)?;
    ci::annotate(&report, printer);
    let reported = report_file.map_or(Ok(()), |file| file.write(&report));
    let learned = lesson.map(|lesson| lesson.write(totals, &plan.program())).transpose().map(|learned| {
        let told = learned.filter(|_| format == Format::Text);
        told.iter().for_each(|learned| printer.tell(&learned.to_string()));
    });
    // One that cannot be written keeps nobody from the other, nor from the command's own failure.
    let failures: Vec<anyhow::Error> = [reported, learned].into_iter().filter_map(Result::err).collect();
    failures.iter().for_each(|error| printer.error(&format!("{error:#}")));
    Ok(match report.exit_code() {
        0 if !failures.is_empty() => Exit::Failed,
        code => Exit::Child(code),
    })
}

/// What became of the command, and what decided meanwhile.
struct Ran {
    ended: Ended,
    policy: InForce,
}

/// Starts the filter, then the command; waits for its end; ends the filter.
fn supervise(
    runtime: &Runtime,
    plan: &Plan,
    policy: Policy,
    telemetry: &Telemetry,
    signals: Signals,
) -> anyhow::Result<Ran> {
    let lifecycle = Lifecycle::default();
    let (log, run) = (telemetry.log().clone(), telemetry.log().run());
    let setup = plan.setup(policy, log, lifecycle.clone());
    let (proxy, start) = match plan.way {
        Way::ProxyOnly => proxied(setup, plan, run)?,
        Way::Enforced => enforced(setup, plan, run)?,
    };
    let policy = InForce::of(proxy.shared());
    let ended = runtime.block_on(async {
        let started = start()?;
        // The command keeps the limit of its caller.
        raise_descriptor_limit();
        started.supervise(signals).await
    });
    lifecycle.drain.cancel();
    lifecycle.kill.cancel();
    let join = tokio::task::spawn_blocking;
    let joined = runtime.block_on(async { tokio::time::timeout(CUTTING, join(move || proxy.join())).await });
    joined.context("a worker of the proxy does not end")??;
    Ok(Ran { ended: ended?, policy })
}

/// Starts the command, once the filter is there.
type Start<'a> = Box<dyn FnOnce() -> anyhow::Result<Started> + 'a>;

fn proxied<'a>(setup: Setup, plan: &'a Plan, run: &RunId) -> anyhow::Result<(Proxy, Start<'a>)> {
    let intake = Intake::bind(&[ANY_PORT], &setup.gateway, &[], setup.proxy.workers)?;
    let addr = *intake.explicit().first().context("the proxy listens nowhere")?;
    let variables = environment::proxied(addr, run);
    Ok((Proxy::start(setup, intake)?, Box::new(move || Command::start(&plan.line, variables))))
}

#[cfg(not(target_os = "linux"))]
fn enforced<'a>(_: Setup, _: &'a Plan, _: &RunId) -> anyhow::Result<(Proxy, Start<'a>)> {
    let what = "a command can be held on Linux only: --proxy-only tells it of a proxy instead";
    Err(super::UsageError(what.into()).into())
}
