//! All cases over all proxies, in turns, so that a noisy minute hits everybody.

mod kept;
mod progress;
mod rate;
mod turns;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::args::Compare;
use crate::door::Door;
use crate::namespace;
use crate::origin::Origin;
use crate::output;
use crate::proxies::{Floor, Origins, Stage, Subject};
use crate::report::{Comparison, Conditions, Missing, Participant, Row, markdown, point};
use crate::signals::Signals;
use crate::suite::Case;
use crate::tune::TimeWaitBound;
use crate::workload::{self, Limit, Plan, Workload};

pub use kept::{Kept, redraw};
use progress::Progress;
use turns::{Loop, Step, steps};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// A proxy that so many measurements in a row could not start or use is left out of the rest.
const HOPELESS: usize = 3;
/// Idle tunnels of a quick run.
const FEW_TUNNELS: u64 = 250;

const POLICY: &str = "the names of the workload, and beside them as many as a case says; Egret has its built-in list \
                      too, inspects each hello and logs each flow to a file";

/// Subjects and cases as the command line and this machine have them.
struct Field {
    subjects: Vec<Subject>,
    participants: Vec<Participant>,
    missing: Vec<Missing>,
    cases: Vec<Case>,
}

pub fn run(compare: &Compare) -> Result<()> {
    let egret = compare.egret()?;
    let mut cases = compare.cases();
    let mut missing = Vec::new();
    let gateway = cases.iter().any(|case| case.door == Door::Gateway);
    if gateway && let Err(error) = enter_namespace() {
        cases.retain(|case| case.door != Door::Gateway);
        missing.push(Missing { what: "the gateway".into(), why: format!("{error:#}") });
    }
    cases.retain(|case| match workload::lacks_descriptors(case.concurrency) {
        Some(why) => {
            missing.push(Missing { what: point(case), why });
            false
        }
        None => true,
    });
    let lacks: String = missing.iter().map(|Missing { what, why }| format!(": without {what}: {why}")).collect();
    ensure!(!cases.is_empty(), "nothing is left to measure{lacks}");
    let _bound = (compare.tune || namespace::is_inside()).then(TimeWaitBound::set).transpose()?;
    let kept = Kept::at(&compare.out()?);
    kept.try_it().context("nothing could be kept (--out STEM says where else)")?;
    let field = field(compare, egret, cases, missing)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut comparison = runtime.block_on(measure_all(compare, field))?;
    let kept = if comparison.interrupted { kept.for_interrupted() } else { kept };
    let written = kept.write(&mut comparison);
    output::print(markdown(&comparison, &[], ""))?;
    written?;
    output::tell(&kept);
    ensure!(!comparison.interrupted, "interrupted: what there was by then is kept");
    if let [first, ..] = &comparison.failures[..] {
        bail!("{} measurements failed, which the report names; the first: {first}", comparison.failures.len());
    }
    Ok(())
}

/// Every door is measured inside, where loopback is as it is outside.
fn enter_namespace() -> Result<()> {
    namespace::probe().context("no network namespace can be made here")?;
    namespace::enter()
}

/// Egret first: the ratios are its figures divided by the others'. A peer that was asked for by name has to be there.
fn field(compare: &Compare, egret: PathBuf, cases: Vec<Case>, mut missing: Vec<Missing>) -> Result<Field> {
    let (mut subjects, mut participants) = (Vec::new(), Vec::new());
    for subject in std::iter::once(Subject::Egret(egret)).chain(others(compare)) {
        let name = subject.name().to_owned();
        match subject.version() {
            Ok(version) if cases.iter().any(|case| compare.wants(&subject, case)) => {
                subjects.push(subject);
                participants.push(Participant { name, version });
            }
            Ok(_) if compare.peers.contains(&subject) => bail!("{name} can do nothing of this"),
            Ok(_) => {}
            Err(error) if matches!(subject, Subject::Egret(_)) || compare.peers.contains(&subject) => {
                return Err(error);
            }
            Err(error) => missing.push(Missing { what: name, why: format!("{error:#}") }),
        }
    }
    Ok(Field { subjects, participants, missing, cases })
}

/// What a figure is held against, the relay and no proxy at all, is always among them.
fn others(compare: &Compare) -> Vec<Subject> {
    let mut others = match &compare.peers[..] {
        [] if !compare.quick => Subject::value_variants().to_vec(),
        named => named.to_vec(),
    };
    for always in [Subject::Floor(Floor::Relay), Subject::Direct] {
        if !others.contains(&always) {
            others.push(always);
        }
    }
    others
}

async fn measure_all(compare: &Compare, field: Field) -> Result<Comparison> {
    let Field { subjects, participants, missing, cases } = field;
    let (rounds, seconds) = (compare.rounds(), compare.seconds());
    let steps = steps(&cases, subjects.len(), rounds, |subject, case| compare.wants(&subjects[subject], case));
    let conditions = Conditions {
        command: std::env::args().skip(1).collect(),
        rounds,
        seconds: seconds.as_secs_f64(),
        policy: POLICY.into(),
    };
    let mut signals = Signals::new()?;
    let mut progress = Progress::start(&steps, seconds, &participants, &missing);
    let mut comparison = Comparison::new(conditions, participants, missing);
    let mut in_a_row = vec![0; subjects.len()];
    for step in &steps {
        let subject = &subjects[step.subject];
        if in_a_row[step.subject] == HOPELESS {
            continue;
        }
        let Some(plan) = plan(compare, step, subject, &comparison) else { continue };
        progress.on(step, subject.name());
        let measured = tokio::select! {
            biased;
            _ = signals.any() => {
                comparison.interrupted = true;
                break;
            }
            row = measure(subject, &step.case, plan, step.round, None) => row,
        };
        in_a_row[step.subject] = if measured.is_ok() { 0 } else { in_a_row[step.subject] + 1 };
        note(&mut comparison, step, subject.name(), measured);
        if in_a_row[step.subject] == HOPELESS {
            comparison.failures.push(format!("{} is left out of the rest", subject.name()));
        }
    }
    progress.end();
    Ok(comparison)
}

/// `None` for an open loop whose rate nothing says, because no closed one came to an end.
fn plan(compare: &Compare, step: &Step, subject: &Subject, comparison: &Comparison) -> Option<Plan> {
    let limit = match step.case.workload {
        Workload::Idle if compare.quick => Limit::Count(FEW_TUNNELS),
        _ => Limit::Time(compare.seconds()),
    };
    match step.kind {
        Loop::Closed => Some(step.case.plan(limit, None)),
        Loop::Open => {
            let rate = rate::of(comparison, &step.case, subject.name())?;
            Some(step.case.plan(limit, Some(rate)))
        }
    }
}

/// A measurement that fails is noted and does not end the comparison.
fn note(comparison: &mut Comparison, step: &Step, name: &str, measured: Result<Row>) {
    let what = format!("{name}, {}, {} loop, round {}", point(&step.case), step.kind.as_str(), step.round);
    match measured {
        Ok(row) => {
            let (errors, first) = (row.measured.errors, row.measured.first_error.clone());
            if errors > 0 {
                comparison.failures.push(format!("{what}: {errors} errors: {}", first.unwrap_or_default()));
            }
            comparison.rows.push(row);
        }
        // What a proxy has written may be of several lines, and each failure is a line of a list.
        Err(error) => comparison.failures.push(format!("{what}: {error:#}").replace('\n', " / ")),
    }
}

/// One case on a proxy and an origin started for it alone.
/// `descriptors` is the proxy's limit, where it is not this process's.
pub async fn measure(
    subject: &Subject,
    case: &Case,
    plan: Plan,
    round: usize,
    descriptors: Option<u32>,
) -> Result<Row> {
    let origin = Origin::start(LOOPBACK, plan.script())?;
    ensure!(subject.can(&plan), "{} cannot do {} by {}", subject.name(), case.title(), case.door.what());
    let stage = Stage { descriptors, ..Stage::of(&plan, Origins::all(origin.addr())) };
    let running = subject.start(&stage).await?;
    let dial = Rc::new(running.dial(plan.setting.hello)?);
    let measured = tokio::select! {
        measured = workload::run(plan, dial, running.tree()) => measured?,
        ended = running.churn(), if plan.setting.churn => match ended? {},
    };
    let proxy = subject.name().into();
    let origin_connections = origin.accepted();
    Ok(Row { proxy, case: *case, round, rate: plan.rate, origin_connections, measured })
}

/// How long one step takes beside its measurement: starting, warming up, stopping. Only the first guess of what remains.
fn overhead(case: &Case) -> Duration {
    match case.workload {
        Workload::Idle => Duration::from_secs(7) + Duration::from_millis(case.tunnels.unwrap_or(4_000) / 3),
        _ => Duration::from_millis(1_200),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn names(line: &str) -> Vec<&'static str> {
        let cli = Cli::try_parse_from(["egret-bench", "compare"].into_iter().chain(line.split_whitespace())).unwrap();
        let Command::Compare(compare) = cli.command else { panic!("{line}") };
        others(&compare).iter().map(Subject::name).collect()
    }

    #[test]
    fn the_relay_and_the_direct_connection_are_always_there_and_once() {
        assert_eq!(names("--quick"), ["floor", "direct"]);
        assert_eq!(names("--peers nginx"), ["nginx", "floor", "direct"]);
        assert_eq!(names("--quick --peers direct,squid"), ["direct", "squid", "floor"]);
        assert_eq!(names("").len(), Subject::value_variants().len());
    }
}
