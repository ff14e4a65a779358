//! What happens when something breaks around a running Egret, each with the real thing: a file of tests a subject.
//! `docs/reliability.md` says the same in words.

mod admin;
mod clock;
mod descriptors;
mod killed;
mod log;
mod origin;
mod reload;
mod resolver;

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::egret::Egret;
use crate::support::eventually;
use crate::support::raw::{Client, connect};

/// Processor time that the process has used so far.
fn processor_time(egret: &Egret) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", egret.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = fields.split_ascii_whitespace().skip(11).take(2).map(|it| it.parse::<u64>().unwrap()).sum();
    // A hundred a second, on every Linux of today.
    Duration::from_millis(ticks * 10)
}

/// Asks for a tunnel to a name that nobody allows, and waits for the answer: its status.
fn denied(egret: &Egret, name: &str) -> u16 {
    Client::send_to(egret.addr, connect(&format!("{name}:443"))).status()
}

/// The reason of the flow to this host, once it is recorded.
fn reason_of(egret: &Egret, host: &str) -> String {
    let record = eventually("the flow is recorded", || egret.records(|it| it["host"] == host).pop());
    record["reason"].as_str().unwrap().to_owned()
}

/// The numbers of these records, which have to be of one run.
fn sequence(records: &[Value]) -> Vec<u64> {
    records.iter().map(|record| record["seq"].as_u64().unwrap()).collect()
}
