//! What `egret-bench load` takes: one workload, one proxy.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use super::seconds;
use crate::door::Door;
use crate::proxies::Subject;
use crate::suite::Case;
use crate::workload::{HelloKind, Limit, LogTo, Plan, Setting, Workload};

pub const HELP: &str = "\
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
  egret-bench load --egret target/release/egret --door gateway --workload idle --count 9800

The exit code is 0 if every operation succeeded, 1 if one failed or never began or no tunnel of a
crowd was held, 2 for a wrong command line.";

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
    #[arg(long, value_name = "IP:PORT")]
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
    #[arg(long, conflicts_with_all = ["egret", "peer"])]
    pub pid: Option<u32>,
    /// Where the origin listens
    #[arg(long, conflicts_with_all = ["egret", "peer"], value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    pub origin: SocketAddr,
    /// What the proxy is asked for [default: the origin's address]. By `refused` it is always denied.test
    #[arg(long, conflicts_with_all = ["egret", "peer"], value_name = "HOST:PORT", value_parser = authority)]
    pub target: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

fn rate(text: &str) -> Result<f64> {
    let rate: f64 = text.parse()?;
    ensure!((0.1..=1e7).contains(&rate), "from 0.1 to 10000000");
    Ok(rate)
}

fn authority(text: &str) -> Result<String> {
    let parts = text.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    ensure!(parts.is_some(), "HOST:PORT is wanted, as in ok.test:443");
    Ok(text.to_owned())
}

impl Load {
    /// What the command line says and the workload has no use for.
    pub fn contradiction(&self) -> Option<String> {
        let name = self.workload.as_str();
        if self.rate.is_some() && !self.case().has_open_loop() {
            return Some(format!("--rate has no meaning for {name}, whose operations begin by no schedule"));
        }
        if self.attach.target.is_some() && self.workload == Workload::Refused {
            return Some(format!("--target has no meaning for {name}, which asks for denied.test"));
        }
        None
    }

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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn load(line: &str) -> Result<Load, String> {
        let cli = Cli::try_parse_from(["egret-bench", "load"].into_iter().chain(line.split_whitespace()));
        match cli.map_err(|error| error.to_string())?.command {
            Command::Load(load) => Ok(load),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_ignored() {
        for option in ["--origin 127.0.0.1:8080", "--target ok.test:443", "--pid 7"] {
            let error = load(&format!("--egret egret --workload tunnel {option}")).unwrap_err();
            assert!(error.contains("cannot be used with"), "{option}: {error}");
            load(&format!("--proxy 127.0.0.1:3128 --workload tunnel {option}")).unwrap();
        }
        let contradiction = |line: &str| load(line).unwrap().contradiction().unwrap_or_default();
        for workload in ["bulk", "bulk-up", "idle", "crowd"] {
            let error = contradiction(&format!("--egret egret --workload {workload} --rate 100"));
            assert!(error.starts_with(&format!("--rate has no meaning for {workload},")), "{error}");
        }
        let error = contradiction("--proxy 127.0.0.1:3128 --workload refused --target ok.test:443");
        assert!(error.starts_with("--target has no meaning for refused"), "{error}");
        assert_eq!(contradiction("--egret egret --workload tunnel --rate 100"), "");
    }

    #[test]
    fn targets() {
        for wrong in ["nonsense", ":443", "ok.test:", "ok.test:https"] {
            let error = load(&format!("--proxy 127.0.0.1:3128 --workload tunnel --target {wrong}")).unwrap_err();
            assert!(error.contains("HOST:PORT is wanted"), "{wrong}: {error}");
        }
        load("--proxy 127.0.0.1:3128 --workload tunnel --target [2001:db8::1]:443").unwrap();
    }
}
