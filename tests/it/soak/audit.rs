//! The flow log, read while it grows: its sequence has no gap, every verdict is that of the policy it names, every flow
//! that began ends, and what it counts is what it has.
//!
//! The file is renamed away now and then, as `logrotate` does, so that a long run needs no large disk.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use super::clock::{ALWAYS, EVEN, GONE, GONE_NEVER, MORTAL, ODD, Rules};
use super::ledger::{Known, Ledger};
use crate::support::eventually;
use crate::support::gateway::NOBODY;

/// More of them say nothing new.
const MOST_FINDINGS: usize = 20;

pub struct Audit<'a> {
    ledger: &'a Ledger,
    path: PathBuf,
    file: File,
    /// The beginning of a line whose end is not there yet.
    partial: Vec<u8>,
    next_seq: u64,
    /// The policies' digests, in the order of their first appearance.
    policies: Vec<String>,
    /// Allowed flows without a close record, with their host.
    running: HashMap<u64, String>,
    pub seen: Seen,
    findings: Vec<String>,
}

/// What is in the log.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub records: u64,
    pub starts: u64,
    pub allowed: u64,
    pub denied: u64,
    pub closed: u64,
    pub dns: u64,
    pub reloads: u64,
    pub rotations: u64,
    pub end: Option<Value>,
}

impl<'a> Audit<'a> {
    pub fn begin(path: PathBuf, ledger: &'a Ledger) -> Audit<'a> {
        let file = eventually("there is a log", || File::open(&path).ok());
        Audit {
            ledger,
            path,
            file,
            partial: Vec::new(),
            next_seq: 0,
            policies: Vec::new(),
            running: HashMap::new(),
            seen: Seen::default(),
            findings: Vec::new(),
        }
    }

    /// Takes what was written since.
    pub fn read(&mut self) {
        let mut text = std::mem::take(&mut self.partial);
        self.file.read_to_end(&mut text).expect("it is a file");
        let complete = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.partial = text.split_off(complete);
        for line in String::from_utf8(text).expect("a log is text").lines() {
            match serde_json::from_str(line) {
                Ok(record) => self.take(&record),
                Err(error) => self.find(format!("{error}: {line}")),
            }
        }
    }

    /// Has a new file begun, and takes the rest of the old one.
    pub fn rotate(&mut self) {
        let old = self.path.with_extension("old");
        fs::rename(&self.path, &old).expect("it is there");
        let new = eventually("the log goes on in a new file", || File::open(&self.path).ok());
        self.read();
        if !self.partial.is_empty() {
            self.find("a file of the log ends in the middle of a line".to_owned());
        }
        self.file = new;
        self.seen.rotations += 1;
        fs::remove_file(old).expect("it is there");
    }

    /// Everything that is wrong with the log, once it has ended.
    pub fn end(mut self) -> (Seen, Vec<String>) {
        self.read();
        let running = std::mem::take(&mut self.running);
        running.iter().for_each(|(flow, host)| self.find(format!("flow {flow} to {host} has no close record")));
        let Seen { starts, allowed, denied, closed, reloads, .. } = self.seen;
        let counted = serde_json::json!({
            "allowed": allowed, "denied": denied, "bypassed": 0, "closed": closed, "reloads": reloads, "lost": 0,
        });
        match self.seen.end.take() {
            None => self.find("there is no end record".to_owned()),
            Some(end) if end["counts"] != counted => self.find(format!("{} but {counted}", end["counts"])),
            end => self.seen.end = end,
        }
        if starts != 1 || !self.partial.is_empty() {
            self.find(format!("{starts} start records, and {:?} in the end", self.partial.escape_ascii().to_string()));
        }
        (self.seen, self.findings)
    }

    fn find(&mut self, what: String) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(what);
        }
    }

    fn take(&mut self, record: &Value) {
        if self.seen.end.is_some() || record["seq"] != self.next_seq {
            self.find(format!("expected number {} or the end: {record}", self.next_seq));
        }
        self.next_seq = record["seq"].as_u64().unwrap_or_default() + 1;
        self.seen.records += 1;
        match record["kind"].as_str() {
            Some("start") => {
                self.seen.starts += 1;
                self.policy(record);
            }
            Some("flow") => self.flow(record),
            Some("close") => self.close(record),
            Some("dns") => self.question(record),
            Some("reload") => {
                self.seen.reloads += 1;
                self.policy(record);
            }
            Some("end") => self.seen.end = Some(record.clone()),
            _ => self.find(format!("of no kind that is expected: {record}")),
        }
    }

    /// Two policies take turns.
    fn policy(&mut self, record: &Value) {
        let hash = text(record, "policy_hash");
        if !self.policies.contains(&hash) {
            self.policies.push(hash);
        }
        if self.policies.len() > 2 || record["ok"] == false {
            self.find(format!("unexpected: {record}"));
        }
    }

    fn rules(&self, record: &Value) -> Option<Rules> {
        let hash = text(record, "policy_hash");
        let at = self.policies.iter().position(|known| *known == hash)?;
        Some(if at == 0 { Rules::FIRST } else { Rules::FIRST.other() })
    }

    fn flow(&mut self, record: &Value) {
        let (host, reason) = (text(record, "host"), text(record, "reason"));
        let is_allowed = record["verdict"] == "allow";
        if is_allowed {
            self.seen.allowed += 1;
            self.running.insert(record["flow"].as_u64().unwrap_or_default(), host.clone());
        } else {
            self.seen.denied += 1;
        }
        if !self.is_right(record, &host, &reason, is_allowed) {
            self.find(format!("a wrong verdict: {record}"));
        }
        let known = if is_allowed { Known::Allowed } else { Known::Denied };
        self.balance(record, &host, known);
    }

    /// Is it what the policy of the record says? Those who vanish may be denied for what they did not say any more.
    fn is_right(&self, record: &Value, host: &str, reason: &str, is_allowed: bool) -> bool {
        let by_policy = reason == "not-allowed" || reason == "dns-not-allowed";
        match self.rules(record) {
            Some(rules) if is_allowed => rules.allows(host),
            Some(rules) if by_policy => !rules.allows(host),
            Some(_) if reason == "sni-connect-mismatch" => host == ALWAYS && text(record, "sni") != ALWAYS,
            Some(_) => is_of_the_vanished(host),
            None => false,
        }
    }

    fn balance(&mut self, record: &Value, host: &str, known: Known) {
        let Ok(client) = text(record, "client").parse::<SocketAddr>() else {
            return self.find(format!("no client: {record}"));
        };
        if !is_of_the_vanished(host) {
            self.ledger.logged(client, host, known);
        }
    }

    fn close(&mut self, record: &Value) {
        self.seen.closed += 1;
        let Some(host) = self.running.remove(&record["flow"].as_u64().unwrap_or_default()) else {
            return self.find(format!("the end of no flow: {record}"));
        };
        let is_right = match record["reason"].as_str() {
            Some("eof" | "reset" | "shutdown") => true,
            Some("policy-changed") => [ODD, EVEN].contains(&&*host),
            _ => [MORTAL, GONE].contains(&&*host),
        };
        if !is_right {
            self.find(format!("a flow to {host} ended so: {record}"));
        }
    }

    /// A refused question has a flow record besides.
    fn question(&mut self, record: &Value) {
        self.seen.dns += 1;
        let known = if record["rcode"] == "REFUSED" { Known::Denied } else { Known::Allowed };
        self.balance(record, &text(record, "name"), known);
    }
}

/// Of those who said where they wanted to go some never said it to a gateway.
fn is_of_the_vanished(host: &str) -> bool {
    ["", GONE, GONE_NEVER, NOBODY].contains(&host)
}

fn text(record: &Value, field: &str) -> String {
    record[field].as_str().unwrap_or_default().to_owned()
}
