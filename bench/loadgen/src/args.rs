//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::attack::Attack;
use crate::door::Door;
use crate::proxies::{Peer, Subject};
use crate::workload::{Limit, Plan, Workload};

/// Load generator and origin for proxies and gateways, on loopback: CPU per operation, latency, memory.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one workload on one proxy
    Load(Load),
    /// Run all workloads on several proxies in turns and print a table
    Compare(Compare),
    /// Send adversarial cases to proxies and print what each takes wrongly
    Attack(Box<Attack>),
    /// The floor of a tunnel proxy: relays every CONNECT to one address
    Relay(Floor),
    /// The floor of an HTTP forward proxy
    ForwardFloor(Floor),
    /// The floor of a gateway: relays what names ok.test in its ClientHello to one address
    SniRelay(Floor),
    /// The same with splice(2)
    SpliceRelay(Floor),
}

#[derive(Debug, Args)]
pub struct Load {
    #[command(flatten)]
    pub subject: SubjectArgs,
    #[arg(long)]
    pub workload: Workload,
    /// How long to measure, seconds [default: 5]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: Option<u64>,
    /// How many operations to measure: tunnels for idle, MiB for bulk
    #[arg(long, conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub count: Option<u64>,
    /// Connections at a time [default: 16, bulk 4]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub concurrency: Option<u16>,
    /// By a gateway, in a network namespace of its own, instead of by an explicit proxy
    #[arg(long, conflicts_with = "proxy")]
    pub gateway: bool,
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
    pub peer: Option<Peer>,
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
    /// The egret binary; without it the peers are compared among themselves
    #[arg(long, value_name = "PATH")]
    pub egret: Option<PathBuf>,
    /// Compare gateways, in a network namespace of its own, instead of explicit proxies
    #[arg(long)]
    pub gateway: bool,
    /// The others [default: squid,tinyproxy,relay; with --gateway nginx,haproxy,relay,splice]
    #[arg(long, value_delimiter = ',')]
    pub peers: Vec<Peer>,
    /// Leave out the others
    #[arg(long, value_delimiter = ',')]
    pub workloads: Vec<Workload>,
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub rounds: u8,
    /// How long each measurement takes, seconds
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Write everything as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Bound the machine's time-wait sockets while running (root)
    #[arg(long)]
    pub tune: bool,
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

impl Command {
    /// How a command reaches what it measures; a floor is reached as whoever started it likes.
    pub fn door(&self) -> Door {
        match self {
            Command::Load(load) => Door::of(load.gateway),
            Command::Compare(compare) => compare.door(),
            _ => Door::Explicit,
        }
    }
}

impl Load {
    pub fn plan(&self) -> Plan {
        let seconds = Duration::from_secs(self.seconds.unwrap_or(5));
        Plan {
            door: Door::of(self.gateway),
            workload: self.workload,
            concurrency: self.concurrency.map_or(self.workload.default_concurrency(), usize::from),
            limit: self.count.map_or(Limit::Time(seconds), Limit::Count),
        }
    }
}

impl SubjectArgs {
    /// `None` for a proxy that runs already.
    pub fn to_start(&self) -> Option<Subject> {
        self.egret.clone().map(Subject::Egret).or(self.peer.map(Subject::Peer))
    }
}

impl Compare {
    /// Egret first: the ratios are its figures divided by the others'.
    pub fn subjects(&self) -> Vec<Subject> {
        let usual: &[Peer] = match self.door() {
            Door::Explicit => &[Peer::Squid, Peer::Tinyproxy, Peer::Relay],
            Door::Gateway => &[Peer::Nginx, Peer::Haproxy, Peer::Relay, Peer::Splice],
        };
        let peers = if self.peers.is_empty() { usual } else { &self.peers };
        let egret = self.egret.clone().map(Subject::Egret);
        egret.into_iter().chain(peers.iter().copied().map(Subject::Peer)).collect()
    }

    pub fn door(&self) -> Door {
        Door::of(self.gateway)
    }

    pub fn plans(&self) -> Vec<Plan> {
        let limit = Limit::Time(Duration::from_secs(self.seconds));
        let wanted = |workload: &Workload| self.workloads.is_empty() || self.workloads.contains(workload);
        let door = self.door();
        let plan = |workload: Workload| Plan { door, workload, concurrency: workload.default_concurrency(), limit };
        Workload::of(door).iter().copied().filter(wanted).map(plan).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
