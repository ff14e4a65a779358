//! `egret-bench attack`: the adversarial cases of `bench/attacks`, run against any proxy.
//!
//! A case is sent by every door that it concerns. The runner is client and origin in one, so that it sees what came
//! through: bytes of a case carry a marker of their own, and the verdict is where that marker arrived. `docs/attacks.md`
//! is the manual.

mod answer;
mod bytes;
mod case;
mod corpus;
mod flow;
mod log;
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
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::output;
use bytes::{Fill, MARKER_LEN};
use case::{Case, Door, Need, Profile, Verdict};
use corpus::Corpus;
use report::{Attacked, Line, Report, Result as Came};
use run::{Patience, Trace};
use subject::{Peer, Running, Subject};
use ways::{Gateway, Ways};
use witness::Witness;

/// Ports in the namespace of subjects that the runner starts.
const PROXY: u16 = 3128;
const GATEWAY: u16 = 3129;
const GATEWAY_HTTP: u16 = 3130;
const DNS: u16 = 5300;
const NAMES: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// How long the last bytes of the last case may take to the origin.
const LATE: Duration = Duration::from_millis(500);

/// Sends adversarial cases to a proxy and says which it takes wrongly.
#[derive(Debug, Args)]
pub struct Attack {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    place: Place,
    /// What is expected: what is safe, or what Azure Firewall does [default: strict; with --egret both]
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// These families alone
    #[arg(long, value_delimiter = ',')]
    family: Vec<String>,
    /// These cases alone: ids, or how they begin
    #[arg(long, value_delimiter = ',')]
    case: Vec<String>,
    /// A folder of cases instead of those that are built in
    #[arg(long, value_name = "FOLDER")]
    corpus: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the report as JSON to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as Markdown to this file too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Cases at a time
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Seconds that an answer may take
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    patience: u64,
    /// Seconds that the proxy's own deadlines may take, for a head or a hello that never ends [default: 15; 12 for
    /// what is started here]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    deadline: Option<u64>,
    /// Print the cases, and send nothing
    #[arg(long)]
    list: bool,
    /// Print what a proxy has to be configured with, and send nothing
    #[arg(long)]
    setup: bool,
}

/// Who is attacked.
#[derive(Debug, Args)]
struct Who {
    /// A proxy that runs already: HTTP forward and CONNECT
    #[arg(long, value_name = "ADDR")]
    proxy: Option<SocketAddr>,
    /// The same for SOCKS5
    #[arg(long, value_name = "ADDR")]
    socks: Option<SocketAddr>,
    /// A gateway that runs already: what it is handed, or takes by itself, for TLS
    #[arg(long, value_name = "ADDR")]
    gateway: Option<SocketAddr>,
    /// The same for plain HTTP
    #[arg(long, value_name = "ADDR", requires = "gateway")]
    gateway_http: Option<SocketAddr>,
    /// A DNS proxy that runs already
    #[arg(long, value_name = "ADDR")]
    dns: Option<SocketAddr>,
    /// Egret's log in JSON, for the reasons of its denials
    #[arg(long, value_name = "FILE", conflicts_with_all = ["egret", "peer"])]
    egret_log: Option<PathBuf>,
    /// The proxy looks into TLS
    #[arg(long, conflicts_with_all = ["egret", "peer"])]
    inspects: bool,
    /// An egret binary to start
    #[arg(long, value_name = "PATH", conflicts_with_all = ["proxy", "socks", "gateway", "dns"])]
    egret: Option<PathBuf>,
    /// Peers to start; `installed` for all that are
    #[arg(long, value_delimiter = ',', value_name = "PEER", conflicts_with_all = ["proxy", "socks", "gateway", "dns"])]
    peer: Vec<String>,
}

/// Where the runner's own halves are, for a proxy that runs already.
#[derive(Debug, Args)]
struct Place {
    /// Where the origin listens for plain HTTP
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:80")]
    origin_http: SocketAddr,
    /// Where the origin listens for TLS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:443")]
    origin_tls: SocketAddr,
    /// Where the runner serves names, if the proxy asks it
    #[arg(long, value_name = "ADDR")]
    names: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
}

impl Attack {
    /// Subjects are started in namespaces of their own, which have to be entered before anything else runs.
    pub fn starts_subjects(&self) -> bool {
        (self.who.egret.is_some() || !self.who.peer.is_empty()) && !self.list && !self.setup
    }

    fn corpus(&self) -> Result<Corpus> {
        let corpus = self.corpus.as_deref().map_or_else(Corpus::embedded, Corpus::load)?;
        corpus.only(&self.family, &self.case)
    }

    fn patience(&self, usual: u64) -> Patience {
        let deadline = Duration::from_secs(self.deadline.unwrap_or(usual));
        Patience { step: Duration::from_secs(self.patience), deadline }
    }

    fn subjects(&self) -> Result<Vec<Subject>> {
        let profiles = self.profile.map_or(Profile::ALL.to_vec(), |profile| vec![profile]);
        let egret = self.who.egret.iter().map(fs::canonicalize).collect::<std::io::Result<Vec<_>>>();
        let egret = egret.context("looking for the egret binary")?;
        let mut subjects: Vec<Subject> = egret
            .iter()
            .flat_map(|path| profiles.iter().map(|profile| Subject::Egret(path.clone(), *profile)))
            .collect();
        for name in &self.who.peer {
            if name == "installed" {
                subjects.extend(subject::installed().into_iter().map(Subject::Peer));
            } else {
                let peer = Peer::from_str(name, true).map_err(anyhow::Error::msg)?;
                subjects.push(Subject::Peer(peer));
            }
        }
        Ok(subjects)
    }
}

/// In the namespaces where subjects are started.
pub fn enter() -> Result<()> {
    surroundings::enter()
}

/// Whether nothing went wrong.
pub fn attack(args: &Attack) -> Result<bool> {
    let corpus = args.corpus()?;
    if args.setup {
        output::print(setup::text(&corpus, &args.place.origin_http, &args.place.origin_tls))?;
        return Ok(true);
    }
    if args.list {
        output::print(report::list(&corpus))?;
        return Ok(true);
    }
    let attacked = if args.starts_subjects() { started(args, &corpus)? } else { vec![attached(args, &corpus)?] };
    let report = Report::of(&corpus, attacked);
    for (path, text) in [(&args.json, report.json()?), (&args.markdown, report.markdown())] {
        if let Some(path) = path {
            fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    match args.format {
        Format::Text => output::print(report.text())?,
        Format::Json => output::print(report.json()?)?,
        Format::Markdown => output::print(report.markdown())?,
    }
    Ok(report.is_clean())
}

fn started(args: &Attack, corpus: &Corpus) -> Result<Vec<Attacked>> {
    let folder = tempfile::tempdir()?;
    let witness = surroundings::prepare(folder.path())?;
    let mut attacked = Vec::new();
    for subject in args.subjects()? {
        let version = subject.version()?;
        output::tell(format_args!("{}: {version}", subject.name()));
        let running = subject.start()?;
        let came = all(corpus, &running, subject.profile(), &witness, args.patience(12), args.jobs)?;
        attacked.push(Attacked { name: subject.name(), version, profile: subject.profile(), came });
    }
    Ok(attacked)
}

fn attached(args: &Attack, corpus: &Corpus) -> Result<Attacked> {
    let Who { proxy, socks, gateway, gateway_http, dns, egret_log, inspects, .. } = &args.who;
    let gateway = gateway.map(|tls| Gateway::At { tls, http: *gateway_http });
    let ways = Ways { proxy: *proxy, socks: *socks, gateway, dns: *dns };
    ensure!(
        proxy.is_some() || socks.is_some() || gateway.is_some() || dns.is_some(),
        "--proxy, --socks, --gateway, --dns, --egret or --peer says who is attacked"
    );
    let Place { origin_http, origin_tls, names } = &args.place;
    let witness = Arc::new(Witness::of(vec![origin_http.ip(), origin_tls.ip()], marker_prefix()));
    let origin = origin::Origin::new(witness.clone())?;
    origin.listen(*origin_http)?;
    origin.listen(*origin_tls)?;
    if let Some(names) = names {
        names::listen(*names, &witness)?;
    }
    let names = names.map(|_| Need::Names);
    let sight = if *inspects { Need::Inspection } else { Need::Opaque };
    let can = names.into_iter().chain([sight]).collect();
    let running = Running::attached(ways, can, egret_log.clone().map(log::Log::of));
    let profile = args.profile.unwrap_or(Profile::Strict);
    let came = all(corpus, &running, profile, &witness, args.patience(15), args.jobs)?;
    Ok(Attacked { name: "proxy".into(), version: "already running".into(), profile, came })
}

/// Every case by every door that it concerns, several at a time.
fn all(
    corpus: &Corpus,
    running: &Running,
    profile: Profile,
    witness: &Arc<Witness>,
    patience: Patience,
    jobs: u16,
) -> Result<Vec<Line>> {
    let http_tunnels =
        [Door::Connect, Door::Socks5].into_iter().filter(|door| flow::tunnels_http(&running.ways, *door));
    let abilities = Abilities { running, http_tunnels: http_tunnels.collect() };
    let flows: Vec<(&Case, Door)> =
        corpus.cases().flat_map(|(_, case)| case.doors.iter().map(move |door| (case, *door))).collect();
    let next = AtomicUsize::new(0);
    let traces: Mutex<Vec<(usize, Trace)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((number, (case, door))) = take(&next, &flows) {
                    if abilities.lacking(case, door).is_none() {
                        let fill = Fill { marker: marker(), door };
                        let trace = run::run(case, &running.ways, &fill, witness, patience);
                        traces.lock().unwrap_or_else(PoisonError::into_inner).push((number, trace));
                    }
                }
            });
        }
    });
    thread::sleep(LATE);
    let mut traces = traces.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (number, trace) in &mut traces {
        run::look_again(flows[*number].0, witness, trace);
    }
    lines(&flows, &traces, &abilities, profile)
}

fn take<'a>(next: &AtomicUsize, flows: &[(&'a Case, Door)]) -> Option<(usize, (&'a Case, Door))> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    flows.get(number).map(|flow| (number, *flow))
}

fn lines(
    flows: &[(&Case, Door)],
    traces: &[(usize, Trace)],
    abilities: &Abilities<'_>,
    profile: Profile,
) -> Result<Vec<Line>> {
    let running = abilities.running;
    let reasons = running.log.as_ref().map(log::Log::reasons).transpose()?;
    let line = |(number, (case, door)): (usize, &(&Case, Door))| {
        let trace = traces.iter().find(|(of, _)| *of == number).map(|(_, trace)| trace);
        let came = match trace {
            None => Came::NotApplicable(abilities.lacking(case, *door).unwrap_or_default()),
            Some(trace) => judged(case, *door, profile, trace, running.sees_all, reasons.as_ref()),
        };
        Line::of(case, *door, profile, trace, came)
    };
    Ok(flows.iter().enumerate().map(line).collect())
}

fn judged(
    case: &Case,
    door: Door,
    profile: Profile,
    trace: &Trace,
    sees_all: bool,
    reasons: Option<&log::ReasonsOf>,
) -> Came {
    if trace.outcome == run::Outcome::ControlLost {
        return Came::NotApplicable("what the case builds on does not pass");
    }
    if let Some(why) = run::wrong(case, profile, trace, sees_all) {
        return Came::Wrong(why);
    }
    let denied = case.expected(profile) != Verdict::Allow;
    let expected = case.reason.as_ref().and_then(|it| it.at(door)).filter(|_| denied);
    let (Some(reasons), Some(expected), Some(client)) = (reasons, expected, trace.client) else {
        return Came::AsExpected;
    };
    let logged = reasons.get(&client).cloned().unwrap_or_default();
    if expected.split('|').any(|code| logged.contains(code)) {
        return Came::AsExpected;
    }
    let mut logged: Vec<String> = logged.into_iter().collect();
    logged.sort();
    Came::Wrong(format!("refused, but logged as {logged:?} instead of {expected}"))
}

/// What can be asked of a subject.
struct Abilities<'a> {
    running: &'a Running,
    /// Doors by which it opens tunnels for plain HTTP: a proxy that cannot look into them had better not.
    http_tunnels: Vec<Door>,
}

impl Abilities<'_> {
    /// Why this case cannot be sent by this door.
    fn lacking(&self, case: &Case, door: Door) -> Option<&'static str> {
        let Ways { proxy, socks, gateway, dns } = &self.running.ways;
        let port = case.target.rsplit_once(':').map_or("", |(_, port)| port);
        let lacks = match door {
            Door::Http | Door::Connect if proxy.is_none() => Some("it is no proxy of HTTP"),
            Door::Socks5 if socks.is_none() => Some("it does not speak SOCKS5"),
            Door::Connect | Door::Socks5 if port == "80" && !self.http_tunnels.contains(&door) => {
                Some("it opens no tunnels to port 80")
            }
            Door::Gateway => at_the_gateway(*gateway, port),
            Door::Dns if dns.is_none() => Some("it is no DNS proxy"),
            _ => None,
        };
        lacks.or_else(|| case.needs.iter().find(|need| !self.running.can.contains(need)).map(|need| need.lacking()))
    }
}

fn at_the_gateway(gateway: Option<Gateway>, port: &str) -> Option<&'static str> {
    match (gateway, port) {
        (None, _) => Some("it is no gateway"),
        (Some(Gateway::At { http: None, .. }), "80") => Some("it is no gateway for plain HTTP"),
        (Some(Gateway::HandedOver), _) | (_, "80" | "443") => None,
        (Some(Gateway::At { .. }), _) => Some("the gateway is not told which port clients believe to connect to"),
    }
}

/// A label of its own for each run: a letter and hexadecimal digits.
fn marker() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let prefix = marker_prefix();
    format!("{prefix}{count:0width$x}", width = MARKER_LEN - prefix.len())
}

/// How all markers of this process begin.
fn marker_prefix() -> String {
    format!("m{:07x}", std::process::id() & 0x0fff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_labels_of_their_own() {
        let (first, second) = (marker(), marker());
        assert!(first.len() == MARKER_LEN && second.len() == MARKER_LEN && first != second);
        assert!(first.starts_with('m') && first.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
