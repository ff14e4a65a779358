//! The command line.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::attack::Attack;
use crate::door::Door;
use crate::instructions::{self, Policies};
use crate::namespace;
use crate::overload::Hold;
use crate::proxies::Subject;
use crate::suite::{Case, Suite};
use crate::workload::{HelloKind, Limit, LogTo, Plan, Setting, Workload};

/// What proxies and gateways cost and how fast they are: CPU per operation, latency, memory, side by side. All on
/// loopback.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure Egret beside every peer that is installed, and the floor
    #[command(after_help = COMPARE_HELP)]
    Compare(Compare),
    /// Draw a comparison again from its JSON: as Markdown, as charts, into the README
    Report(Redraw),
    /// Run one workload on one proxy: your own, Egret or a peer
    #[command(after_help = LOAD_HELP)]
    Load(Load),
    /// Count instructions of flows and decisions with valgrind, and hold them to what was recorded
    Instructions(Instructions),
    /// What is counted of decisions
    #[command(hide = true)]
    Decide { policies: Policies, operations: u64 },
    /// Attack an egret binary while others work
    #[command(after_help = OVERLOAD_HELP)]
    Overload(Overload),
    /// The attackers of overload
    #[command(hide = true)]
    Hold(Hold),
    /// Send adversarial cases to proxies and print what each takes wrongly
    Attack(Box<Attack>),
    /// The floor of a tunnel proxy: relays every CONNECT to one address
    #[command(hide = true)]
    Relay(Floor),
    /// The floor of an HTTP forward proxy
    #[command(hide = true)]
    ForwardFloor(Floor),
    /// The floor of a gateway: relays what names ok.test in its ClientHello to one address
    #[command(hide = true)]
    SniRelay(Floor),
    /// The floor of SOCKS5: relays every CONNECT to one address
    #[command(hide = true)]
    SocksRelay(Floor),
    /// The floor of lookups: a cache before one name server
    #[command(hide = true)]
    DnsFloor(Floor),
    /// The gateway's floor with splice(2)
    #[command(hide = true)]
    SpliceRelay(Floor),
}

const COMPARE_HELP: &str = "\
Without arguments everything is measured, three rounds of one second each, which takes about 40
minutes with ten peers. What is on the PATH joins in; what is not is named. The direct
connection and a bare relay are always in the table. By `cargo run`, Egret is built first,
unless --egret says which one is measured. The report goes to standard output, progress to
standard error; JSON, report and charts are kept. Ctrl-C stops it and keeps what there is.

Examples:
  egret-bench compare                                everything
  egret-bench compare --quick                        a smoke: Egret, the relay and no proxy, once
  egret-bench compare --doors gateway --peers nginx  the gateway, of the peers nginx alone
  egret-bench compare --suite concurrency,policy     curves alone
  egret-bench compare --full --out bench/results/2026-11-22-compare
  egret-bench report bench/results/2026-11-22-compare.json --readme README.md

The exit code is 1 if a measurement failed or was interrupted.";

const LOAD_HELP: &str = "\
The origin is part of this program: the proxy has to allow it and reach it. --target says by
which name.

Examples:
  egret-bench load --proxy 127.0.0.1:3128 --workload tunnel
      CONNECT to the origin's own address, as many as the proxy takes
  egret-bench load --proxy 127.0.0.1:3128 --workload http \\
      --origin 127.0.0.1:8080 --target ok.test:8080
      requests for a name that the proxy resolves to 127.0.0.1
  egret-bench load --proxy 127.0.0.1:3128 --pid $(pgrep -o squid) --workload tunnel --rate 2000
      2000 tunnels begin each second, whatever the proxy does; latency counts from when they
      should have begun
  egret-bench load --peer squid --workload bulk --seconds 10 --format json | jq .cpu_ms_per_gb
  egret-bench load --egret target/release/egret --door gateway --workload idle --count 9900

The exit code is 0 if every operation succeeded, 1 if one failed or never began, 2 for a wrong
command line.";

const OVERLOAD_HELP: &str = "\
Starts Egret and origins of its own, all on loopback. Others work from 127.0.0.1, 100 new tunnels
a second: alone, at twice what Egret can take, while attackers hold slow heads, slow hellos, half
bodies, tunnels and answers that nobody reads (1 000 of each in turn) and 10 000 half-open hellos
from 127.0.0.2, and alone again. Each kind takes half a minute, the whole about five minutes.

It needs no root, and 20 000 descriptors (ulimit -Hn). The report goes to standard output, the
stages to standard error as they begin.

Examples:
  egret-bench overload --egret target/release/egret
  egret-bench overload --egret target/release/egret --seconds 2 --json overload.json

The exit code is 1 if one of the others failed while there were attackers, if their 99th percentile
was then more than three times what it is without, or if the refusals in the metrics are not
those in the log.";

#[derive(Debug, Args)]
pub struct Load {
    #[command(flatten)]
    pub subject: SubjectArgs,
    #[arg(long)]
    pub workload: Workload,
    /// How clients come to the proxy; gateways are measured in a network namespace of their own
    #[arg(long, value_enum, default_value_t = Door::Explicit)]
    pub door: Door,
    /// How long to measure, seconds [default: 5]
    #[arg(long, value_parser = seconds)]
    pub seconds: Option<Duration>,
    /// How many operations to measure: tunnels for idle, MiB for bulk
    #[arg(long, conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub count: Option<u64>,
    /// Connections at a time [default: 16, bulk 4]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub concurrency: Option<u16>,
    /// Operations that begin each second, whether or not others have ended, instead of one after the other
    #[arg(long, value_parser = rate, conflicts_with = "count")]
    pub rate: Option<f64>,
    /// Entries of the allowlist beside the names that are used
    #[arg(long, default_value_t = 0, conflicts_with = "proxy")]
    pub policy: usize,
    /// What clients send first
    #[arg(long, value_enum, default_value_t = HelloKind::Classic)]
    pub hello: HelloKind,
    /// Where Egret's flow log goes
    #[arg(long, value_enum, default_value_t = LogTo::File, conflicts_with = "proxy")]
    pub log: LogTo,
    /// Reload the policy every second
    #[arg(long, conflicts_with = "proxy")]
    pub churn: bool,
    /// What the proxy may have of descriptors, instead of as many as this program
    #[arg(long, conflicts_with = "proxy", value_parser = clap::value_parser!(u32).range(64..))]
    pub descriptors: Option<u32>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Bound the machine's time-wait sockets while running (root)
    #[arg(long)]
    pub tune: bool,
    #[command(flatten)]
    pub attach: Attach,
}

/// Which proxy is measured: exactly one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct SubjectArgs {
    /// A proxy that runs already
    #[arg(long, value_name = "ADDR")]
    pub proxy: Option<SocketAddr>,
    /// An egret binary to start
    #[arg(long, value_name = "PATH")]
    pub egret: Option<PathBuf>,
    /// A peer to start
    #[arg(long)]
    pub peer: Option<Subject>,
}

/// What is needed to know of a proxy that runs already.
#[derive(Debug, Args)]
pub struct Attach {
    /// Its process, for CPU and memory of the tree below
    #[arg(long, requires = "proxy")]
    pub pid: Option<u32>,
    /// Where the origin listens
    #[arg(long, requires = "proxy", value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub origin: SocketAddr,
    /// What the proxy is asked for, host:port [default: the origin's address]
    #[arg(long, requires = "proxy", value_name = "HOST:PORT")]
    pub target: Option<String>,
}

#[derive(Debug, Args)]
pub struct Compare {
    /// The egret binary [default: beside this program; by `cargo run`, built first from what is in the workspace]
    #[arg(long, value_name = "PATH")]
    pub egret: Option<PathBuf>,
    /// Who takes part beside Egret, the relay and the direct connection [default: whoever is installed]
    #[arg(long, value_delimiter = ',')]
    pub peers: Vec<Subject>,
    /// Which questions are asked [default: all; with --quick the doors]
    #[arg(long, value_delimiter = ',')]
    pub suite: Vec<Suite>,
    /// Leave out the other doors
    #[arg(long, value_delimiter = ',')]
    pub doors: Vec<Door>,
    /// Leave out the other workloads
    #[arg(long, value_delimiter = ',')]
    pub workloads: Vec<Workload>,
    /// A smoke of a minute or two: short, once, and without --peers beside the relay and the direct connection alone
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// Five rounds of two seconds each, about two hours: for figures to keep
    #[arg(long)]
    pub full: bool,
    /// How often everybody has its turn
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub rounds: Option<u8>,
    /// How long each measurement takes, seconds
    #[arg(long, value_parser = seconds)]
    pub seconds: Option<Duration>,
    /// Where it is kept: STEM.json, STEM.md and charts in the folder STEM [default: compare/DATE in the target folder]
    #[arg(long, value_name = "STEM")]
    pub out: Option<PathBuf>,
    /// Bound the machine's time-wait sockets while running (root); in a network namespace they are
    #[arg(long)]
    pub tune: bool,
}

#[derive(Debug, Args)]
pub struct Instructions {
    /// The egret binary, built for release
    #[arg(long, value_name = "PATH", default_value = "target/release/egret")]
    pub egret: PathBuf,
    /// What was recorded
    #[arg(long, value_name = "FILE", default_value = "bench/instructions.json")]
    pub bounds: PathBuf,
    /// Leave out the others
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    #[arg(value_parser = PossibleValuesParser::new(instructions::names()))]
    pub only: Vec<String>,
    /// Record what is counted
    #[arg(long)]
    pub write: bool,
}

#[derive(Debug, Args)]
pub struct Redraw {
    /// What `compare` has kept
    pub json: PathBuf,
    /// Write the report here
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Write the charts into this folder
    #[arg(long, value_name = "FOLDER")]
    pub svg: Option<PathBuf>,
    /// Renew the section of this README, which has to be above the JSON
    #[arg(long, value_name = "FILE")]
    pub readme: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Overload {
    /// The egret binary
    #[arg(long, value_name = "PATH")]
    pub egret: PathBuf,
    /// How long the others work in each of the stages, seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=600))]
    pub seconds: u64,
    /// Write everything as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Floor {
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    #[arg(long)]
    pub port_file: PathBuf,
    /// Where everything goes
    #[arg(long, value_name = "ADDR")]
    pub connect_to: SocketAddr,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.parse()?;
    ensure!((0.1..=600.0).contains(&seconds), "from 0.1 to 600");
    Ok(Duration::from_secs_f64(seconds))
}

fn rate(text: &str) -> Result<f64> {
    let rate: f64 = text.parse()?;
    ensure!((0.1..=1e7).contains(&rate), "from 0.1 to 10000000");
    Ok(rate)
}

impl Load {
    pub fn case(&self) -> Case {
        let Load { policy, hello, log, churn, .. } = *self;
        let usual = Case::usual(self.door, self.workload);
        let concurrency = self.concurrency.map_or(usual.concurrency, usize::from);
        Case { concurrency, setting: Setting { policy, hello, log, churn }, ..usual }
    }

    pub fn plan(&self) -> Plan {
        let limit = Limit::Time(self.seconds.unwrap_or(Duration::from_secs(5)));
        self.case().plan(self.count.map_or(limit, Limit::Count), self.rate)
    }
}

impl SubjectArgs {
    /// `None` for a proxy that runs already.
    pub fn to_start(&self) -> Option<Subject> {
        self.egret.clone().map(Subject::Egret).or(self.peer.clone())
    }
}

impl Compare {
    pub fn egret(&self) -> Result<PathBuf> {
        let path = match &self.egret {
            Some(path) => path.clone(),
            None => own_egret(&std::env::current_exe().context("finding this program")?)?,
        };
        let mend = "build it with `cargo build --release`, or say where it is with --egret PATH";
        ensure!(path.is_file(), "there is no {}: {mend}", path.display());
        // Somebody who gave a file name alone meant the file, not the PATH.
        std::path::absolute(&path).with_context(|| format!("finding {}", path.display()))
    }

    pub fn rounds(&self) -> usize {
        let usual = match (self.quick, self.full) {
            (true, _) => 1,
            (_, true) => 5,
            _ => 3,
        };
        self.rounds.map_or(usual, usize::from)
    }

    pub fn seconds(&self) -> Duration {
        let usual = match (self.quick, self.full) {
            (true, _) => 0.2,
            (_, true) => 2.0,
            _ => 1.0,
        };
        self.seconds.unwrap_or(Duration::from_secs_f64(usual))
    }

    fn suites(&self) -> &[Suite] {
        match &self.suite[..] {
            [] if self.quick => &[Suite::Doors],
            [] => Suite::value_variants(),
            named => named,
        }
    }

    /// Each once, whichever suites it is in.
    pub fn cases(&self) -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        for case in self.suites().iter().flat_map(|suite| suite.cases()) {
            let wanted = (self.doors.is_empty() || self.doors.contains(&case.door))
                && (self.workloads.is_empty() || self.workloads.contains(&case.workload));
            if wanted && !cases.contains(&case) {
                cases.push(case);
            }
        }
        cases
    }

    /// Whether a suite wants this of it, and it can do it.
    pub fn wants(&self, subject: &Subject, case: &Case) -> bool {
        let any = Limit::Count(1);
        let is_asked = |suite: &Suite| suite.wants(subject) && suite.cases().contains(case);
        self.suites().iter().any(is_asked) && subject.can(&case.plan(any, None))
    }

    pub fn out(&self) -> Result<PathBuf> {
        let date = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
        Ok(match &self.out {
            Some(stem) => stem.clone(),
            None => target_folder(&std::env::current_exe()?).join("compare").join(date),
        })
    }
}

/// The one beside this program, or that of the workspace as it is now where cargo runs this.
fn own_egret(program: &Path) -> Result<PathBuf> {
    let (Some(cargo), Some(target)) = (std::env::var_os("CARGO"), cargo_target(program)) else {
        return Ok(program.with_file_name("egret"));
    };
    // Anew in the namespace, this program has built it already.
    if !namespace::is_entered() {
        build_egret(&cargo, target)?;
    }
    Ok(target.join("release/egret"))
}

/// By the same cargo, and to where that has put this program, whichever way it was told.
fn build_egret(cargo: &OsStr, target: &Path) -> Result<()> {
    let mut command = std::process::Command::new(cargo);
    command.args(["build", "--release", "--package", "egret", "--target-dir"]).arg(target);
    if let Some(workspace) = std::env::var_os("CARGO_MANIFEST_DIR") {
        command.current_dir(workspace);
    }
    let status = command.stdout(Stdio::null()).status().context("running cargo")?;
    ensure!(status.success(), "building egret ended with {status}: --egret PATH measures another one");
    Ok(())
}

/// Where cargo has put this program, or the present folder.
fn target_folder(program: &Path) -> PathBuf {
    cargo_target(program).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn cargo_target(program: &Path) -> Option<&Path> {
    let profile = program.parent().filter(|folder| folder.ends_with("release") || folder.ends_with("debug"));
    profile.and_then(Path::parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn compare(line: &str) -> Compare {
        let cli = Cli::try_parse_from(["egret-bench", "compare"].into_iter().chain(line.split_whitespace())).unwrap();
        let Command::Compare(compare) = cli.command else { panic!("{line}") };
        compare
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// What the help shows is understood.
    #[test]
    fn examples_can_be_run() {
        let mut examples = 0;
        let help = format!("{COMPARE_HELP}\n{LOAD_HELP}\n{OVERLOAD_HELP}").replace("\\\n     ", "");
        for line in help.lines() {
            let Some(example) = line.trim().strip_prefix("egret-bench ") else { continue };
            let words =
                example.split("  ").next().unwrap().split('|').next().unwrap().replace("$(pgrep -o squid)", "7");
            let parsed = Cli::try_parse_from(["egret-bench"].into_iter().chain(words.split_whitespace()));
            parsed.unwrap_or_else(|error| panic!("{example}: {error}"));
            examples += 1;
        }
        assert!(examples > 8, "{examples}");
    }

    #[test]
    fn suites_share_their_cases() {
        let all = compare("").cases();
        let each: usize = Suite::value_variants().iter().map(|suite| suite.cases().len()).sum();
        assert!(all.len() < each, "{} of {each}", all.len());
        assert!(all.iter().enumerate().all(|(at, case)| !all[..at].contains(case)));
        assert!(compare("--quick").cases().iter().all(Case::is_usual));
        assert_eq!(compare("--suite policy").cases(), Suite::Policy.cases());
    }

    #[test]
    fn doors_and_workloads_are_left_out() {
        let cases = compare("--doors gateway --workloads tunnel,bulk --suite doors").cases();
        assert!(cases.iter().all(|case| case.door == Door::Gateway), "{cases:?}");
        assert_eq!(cases.len(), 3, "{cases:?}");
    }

    #[test]
    fn how_long_it_takes() {
        let shape = |line: &str| (compare(line).rounds(), compare(line).seconds().as_secs_f64());
        assert_eq!([shape(""), shape("--quick"), shape("--full")], [(3, 1.0), (1, 0.2), (5, 2.0)]);
        assert_eq!(shape("--full --rounds 2 --seconds 0.5"), (2, 0.5));
    }

    #[test]
    fn a_missing_egret_is_told_with_its_mend() {
        let error = compare("--egret /nowhere/egret").egret().unwrap_err().to_string();
        assert!(error.contains("/nowhere/egret") && error.contains("cargo build --release"), "{error}");
    }

    #[test]
    fn it_is_kept_where_cargo_builds() {
        assert_eq!(target_folder(Path::new("/src/target/release/egret-bench")), Path::new("/src/target"));
        assert_eq!(target_folder(Path::new("/usr/bin/egret-bench")), Path::new("."));
    }

    #[test]
    fn what_is_counted_goes_by_its_name() {
        let only = |name: &str| Cli::try_parse_from(["egret-bench", "instructions", "--only", name]);
        only("tunnel,decision-built-in").unwrap();
        let error = only("tunel").unwrap_err().to_string();
        assert!(error.contains("gateway-flow-refused") && error.contains("decision-10000-rules"), "{error}");
    }
}
