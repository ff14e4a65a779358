//! `egret-bench attack`: the adversarial cases of `bench/attacks`, run against any proxy.
//!
//! A case is sent by every door that it concerns. The runner is client and origin in one, so that it sees what came
//! through: bytes of a case carry a marker of their own, and the verdict is where that marker arrived. `docs/attacks.md`
//! is the manual.

mod abilities;
mod answer;
mod args;
mod bytes;
mod case;
mod corpus;
mod crew;
mod flow;
mod judge;
mod log;
mod marker;
mod names;
mod origin;
mod query;
mod report;
mod run;
mod setup;
mod subject;
mod surroundings;
mod tls;
mod ways;
mod witness;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::output;
pub use args::Attack;
use args::{Format, Place};
use case::Profile;
use corpus::Corpus;
use crew::Crew;
use report::{Attacked, Report};
use subject::Running;
use witness::Witness;

/// Ports in the namespace of subjects that the runner starts.
const PROXY: u16 = 3128;
const GATEWAY: u16 = 3129;
const GATEWAY_HTTP: u16 = 3130;
const DNS: u16 = 5300;
const NAMES: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// In the namespaces where subjects are started.
pub fn enter(args: &Attack) -> Result<()> {
    // What is wrong with them is told before it is told what is wrong here.
    args.subjects()?;
    surroundings::enter()
}

/// Whether nothing went wrong.
pub async fn attack(args: &Attack) -> Result<bool> {
    let corpus = Arc::new(args.corpus()?);
    if args.setup {
        output::print(setup::text(&corpus, &args.place.origin_http, &args.place.origin_tls))?;
        return Ok(true);
    }
    if args.list {
        output::print(report::list(&corpus))?;
        return Ok(true);
    }
    for path in [&args.json, &args.markdown].into_iter().flatten() {
        output::try_file(path)?;
    }
    let attacked = if args.starts_subjects() {
        started(args, corpus.clone()).await?
    } else {
        vec![attached(args, corpus.clone()).await?]
    };
    let report = Report::of(&corpus, attacked);
    let written = write(args, &report);
    match args.format {
        Format::Text => output::print(report.text())?,
        Format::Json => output::print(report.json()?)?,
        Format::Markdown => output::print(report.markdown())?,
    }
    written?;
    ensure!(!report.is_empty(), "no case is applicable to what is attacked");
    if !args.starts_subjects() {
        let gone = "it is not there any more, and what it refused since may be no refusal";
        args.who.ways()?.try_all(args.patience(15).step).context(gone)?;
    }
    Ok(report.is_clean())
}

fn write(args: &Attack, report: &Report) -> Result<()> {
    for (path, text) in [(&args.json, report.json()?), (&args.markdown, report.markdown())] {
        if let Some(path) = path {
            fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}

/// One after the other. What was started is stopped when this is dropped.
async fn started(args: &Attack, corpus: Arc<Corpus>) -> Result<Vec<Attacked>> {
    let folder = tempfile::tempdir()?;
    let witness = surroundings::prepare(folder.path())?;
    let crew = Crew { corpus, witness, patience: args.patience(12), jobs: args.jobs };
    let mut attacked = Vec::new();
    for subject in args.subjects()? {
        let version = subject.version()?;
        output::tell(format_args!("{}: {version}", subject.name()));
        let (running, _process) = subject.start().await?;
        let came = crew.attack(running, subject.profile()).await?;
        attacked.push(Attacked { name: subject.name(), version, profile: subject.profile(), came });
    }
    Ok(attacked)
}

async fn attached(args: &Attack, corpus: Arc<Corpus>) -> Result<Attacked> {
    let ways = args.who.ways()?;
    let Place { origin_http, origin_tls, names } = &args.place;
    let witness = Arc::new(Witness::of(vec![origin_http.ip(), origin_tls.ip()], marker::prefix()));
    let origin = origin::Origin::new(witness.clone())?;
    origin.listen(*origin_http)?;
    origin.listen(*origin_tls)?;
    if let Some(names) = names {
        names::listen(*names, &witness)?;
    }
    ways.try_all(args.patience(15).step)?;
    let running = Running::attached(ways, args.can(), args.who.egret_log.clone().map(log::Log::of));
    let profile = args.profile.unwrap_or(Profile::Strict);
    let crew = Crew { corpus, witness, patience: args.patience(15), jobs: args.jobs };
    let came = crew.attack(running, profile).await?;
    Ok(Attacked { name: "proxy".into(), version: "already running".into(), profile, came })
}
