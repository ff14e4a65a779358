//! What `egret-bench overload` takes.

use std::path::PathBuf;

use clap::Args;

pub const HELP: &str = "\
Starts Egret and origins of its own, all on loopback. Others work from 127.0.0.1, 500 new tunnels
a second: alone, at twice what Egret can take, while attackers hold slow heads, slow hellos, half
bodies, tunnels and answers that nobody reads (1 000 of each in turn) and 10 000 half-open hellos
from 127.0.0.2, and alone again. Each kind takes half a minute, the whole about five minutes.

It needs no root, and 20 000 descriptors (ulimit -Hn). The report goes to standard output, the
stages to standard error as they begin.

Examples:
  egret-bench overload --egret target/release/egret
  egret-bench overload --egret target/release/egret --seconds 2 --json overload.json

The exit code is 1 if one of the others failed while there were attackers, if their 99th percentile
was then more than three times what it is without, if fewer than half of the attackers ever got
into their state, if the refusals in the metrics are not those in the log, or if there are too few
descriptors.";

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
