//! The command line: every subcommand, and those that take no more than a few options.

mod compare;
mod load;
mod overload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::attack::Attack;
use crate::instructions::{self, Policies};
use crate::overload::Hold;
pub use compare::Compare;
pub use load::{Attach, Format, Load};
pub use overload::Overload;

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
    #[command(after_help = compare::HELP)]
    Compare(Compare),
    /// Draw a comparison again from its JSON: as Markdown, as charts, into the README
    Report(Redraw),
    /// Run one workload on one proxy: your own, Egret or a peer
    #[command(after_help = load::HELP)]
    Load(Load),
    /// Count instructions of flows and decisions with valgrind, and hold them to what was recorded
    Instructions(Instructions),
    /// What is counted of decisions
    #[command(hide = true)]
    Decide { policies: Policies, operations: u64 },
    /// Attack an egret binary while others work
    #[command(after_help = overload::HELP)]
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
    /// Record what is counted, in a new file where there is none
    #[arg(long)]
    pub write: bool,
}

#[derive(Debug, Args)]
pub struct Redraw {
    /// What `compare` has kept
    pub json: PathBuf,
    /// Add the rounds of this run to it first, and draw everything beside it anew
    #[arg(long, value_name = "JSON", conflicts_with_all = ["markdown", "svg"])]
    pub join: Option<PathBuf>,
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
pub struct Floor {
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    #[arg(long)]
    pub port_file: PathBuf,
    /// Where everything goes
    #[arg(long, value_name = "ADDR")]
    pub connect_to: SocketAddr,
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.parse()?;
    ensure!((0.1..=600.0).contains(&seconds), "from 0.1 to 600");
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// What the help shows is understood.
    #[test]
    fn examples_can_be_run() {
        let mut examples = 0;
        let help = [compare::HELP, load::HELP, overload::HELP].join("\n").replace("\\\n     ", "");
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
    fn what_is_counted_goes_by_its_name() {
        let only = |name: &str| Cli::try_parse_from(["egret-bench", "instructions", "--only", name]);
        only("tunnel,decision-built-in").unwrap();
        let error = only("tunel").unwrap_err().to_string();
        assert!(error.contains("gateway-flow-refused") && error.contains("decision-10000-rules"), "{error}");
    }
}
