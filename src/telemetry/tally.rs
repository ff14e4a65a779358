//! What a run came to: every decision, counted by what it was about, for the report at its end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::record::{CloseRecord, CloseWhy, DnsRecord, Event, FlowRecord, Seen};
use crate::flow::{Protocol, Reason, Verdict, Via};

/// Kinds of flows that are told apart, of each verdict.
const KINDS: usize = 4096;
/// Names that are told apart: some megabyte of hashes.
const NAMES: usize = 65_536;

/// Counts the log's events beside its sinks. Cheap to clone; all clones count the same.
///
/// Flows of one kind share a row: the same verdict, reason, protocol, host and port. There are so many rows of each
/// verdict at most; flows of further kinds are *counted together*, so that no denial is lost. A name that was not even
/// resolved counts once, however often and by whatever transport a resolver asked for it.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<Counted>>);

/// What was counted, most frequent first.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    pub allowed: Rows,
    pub denied: Rows,
    /// Flows that a service endpoint took past the firewall.
    pub bypassed: u64,
    /// Allowed flows that failed later, or were denied after all.
    pub failed: BTreeMap<Reason, u64>,
    /// Names that were looked up, whatever the answer: a question is enough to carry something out.
    pub names: u64,
    /// Flows that threat intelligence knew and did not deny.
    pub alerts: u64,
}

/// The flows of one verdict.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub rows: Vec<Row>,
    /// Flows of kinds that found no row.
    pub more: u64,
}

impl Rows {
    /// Flows, listed or not.
    pub fn flows(&self) -> u64 {
        self.rows.iter().map(|row| row.count).sum::<u64>() + self.more
    }
}

/// Flows of one kind.
#[derive(Debug, Clone)]
pub struct Row {
    pub count: u64,
    /// The first of them.
    pub first: FlowRecord,
}

#[derive(Debug, Default)]
struct Counted {
    allowed: Table,
    denied: Table,
    bypassed: u64,
    failed: BTreeMap<Reason, u64>,
    names: Names,
    alerts: u64,
}

/// Names by their hashes; beyond [`NAMES`] of them each question *counts as a name*.
#[derive(Debug, Default)]
struct Names {
    hasher: RandomState,
    seen: HashSet<u64>,
    more: u64,
}

impl Names {
    fn add(&mut self, record: &DnsRecord) {
        let name = record.name.as_str().to_ascii_lowercase();
        if !was_looked_up(record, name.trim_end_matches('.')) {
            return;
        }
        let hash = self.hasher.hash_one(name);
        if self.seen.contains(&hash) {
            return;
        }
        if self.seen.len() < NAMES {
            self.seen.insert(hash);
        } else {
            self.more += 1;
        }
    }

    fn count(&self) -> u64 {
        self.seen.len() as u64 + self.more
    }
}

/// Not refused, and nothing that is answered without asking anybody.
fn was_looked_up(record: &DnsRecord, name: &str) -> bool {
    let loopback = name == "localhost" || name.ends_with(".localhost");
    let backwards = &*record.kind == "PTR" && record.code == "NXDOMAIN";
    matches!(record.code, "NOERROR" | "NXDOMAIN" | "SERVFAIL") && !loopback && !backwards
}

#[derive(Debug, Default)]
struct Table {
    places: HashMap<Kind, usize>,
    rows: Vec<Row>,
    more: u64,
}

/// What flows of one row have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    of_dns: bool,
    reason: Reason,
    protocol: Protocol,
    host: Option<String>,
    /// Of a flow that named no host.
    dst: Option<IpAddr>,
    port: u16,
    /// Met an indicator.
    known: bool,
}

impl Kind {
    fn of(record: &FlowRecord) -> Kind {
        Kind {
            of_dns: record.via == Via::Dns,
            reason: record.reason,
            protocol: if record.via == Via::Dns { Protocol::Udp } else { record.protocol },
            host: record.host.as_ref().map(Seen::to_string),
            dst: record.dst.filter(|_| record.host.is_none()).map(|dst| dst.ip()),
            port: record.port,
            known: record.threat.is_some(),
        }
    }
}

impl Table {
    fn add(&mut self, record: &FlowRecord) {
        let kind = Kind::of(record);
        if let Some(row) = self.places.get(&kind).and_then(|place| self.rows.get_mut(*place)) {
            row.count += u64::from(!kind.of_dns);
        } else if self.rows.len() < KINDS {
            self.places.insert(kind, self.rows.len());
            self.rows.push(Row { count: 1, first: record.clone() });
        } else {
            self.more += 1;
        }
    }

    fn rows(&self) -> Rows {
        let mut rows = self.rows.clone();
        rows.sort_by_key(|row| std::cmp::Reverse(row.count));
        Rows { rows, more: self.more }
    }
}

impl Counted {
    fn add(&mut self, event: &Event) {
        match event {
            Event::Flow(record) if record.is_unwritten() => self.bypassed += 1,
            Event::Flow(record) => {
                self.alerts += u64::from(record.threat.is_some() && record.reason != Reason::ThreatIntel);
                match record.verdict {
                    Verdict::Allow => self.allowed.add(record),
                    Verdict::Deny => self.denied.add(record),
                }
            }
            Event::Close(CloseRecord { why: CloseWhy::Reason(reason), .. }) => {
                *self.failed.entry(*reason).or_default() += 1;
            }
            Event::Dns(record) => self.names.add(record),
            Event::Close(_)
            | Event::Environment(_)
            | Event::Reload(_)
            | Event::FqdnFailure(_)
            | Event::FatFlow(_)
            | Event::Progress(_) => {}
        }
    }
}

impl Tally {
    /// Of the writer's thread only.
    pub(super) fn add(&self, events: &[Event]) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().for_each(|event| counted.add(event));
    }

    /// What has been counted so far; complete once the log was shut down.
    pub fn totals(&self) -> Totals {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Totals {
            allowed: counted.allowed.rows(),
            denied: counted.denied.rows(),
            bypassed: counted.bypassed,
            failed: counted.failed.clone(),
            names: counted.names.count(),
            alerts: counted.alerts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Escaped;
    use super::super::record::tests::{alerted, allowed, asked, closed, denied};
    use super::*;
    use crate::flow::Host;

    fn counted(events: impl IntoIterator<Item = Event>) -> Totals {
        let tally = Tally::default();
        events.into_iter().for_each(|event| tally.add(&[event]));
        tally.totals()
    }

    fn to(host: &str) -> FlowRecord {
        FlowRecord { host: Some(Host::parse(host).unwrap().into()), ..denied() }
    }

    #[test]
    fn flows_of_one_kind_share_a_row() {
        let by_dns = FlowRecord { via: Via::Dns, ..denied() };
        let by_address = |dst: &str| FlowRecord { host: None, dst: Some(dst.parse().unwrap()), ..denied() };
        let flows = [
            to("other.test"),
            denied(),
            FlowRecord { flow: 8, ..denied() },
            FlowRecord { port: 80, ..denied() },
            FlowRecord { reason: Reason::PortNotAllowed, ..denied() },
            by_dns,
            by_address("192.0.2.1:443"),
            by_address("192.0.2.2:443"),
            allowed(),
        ];
        let Totals { allowed, denied, bypassed, failed, .. } = counted(flows.map(Event::Flow));
        assert_eq!((allowed.flows(), denied.flows(), bypassed, failed.len()), (1, 8, 0, 0));
        assert_eq!((denied.rows.len(), denied.rows[0].count, denied.rows[0].first.flow), (7, 2, 7));
    }

    /// A resolver asks for two kinds of addresses, again over TCP, and of several servers.
    #[test]
    fn a_name_that_is_not_resolved_counts_once() {
        let asked = |host: &str, protocol| FlowRecord { via: Via::Dns, protocol, port: 0, ..to(host) };
        let questions = [
            asked("evil.test", Protocol::Udp),
            asked("evil.test", Protocol::Udp),
            asked("evil.test", Protocol::Tcp),
            asked("other.test", Protocol::Udp),
        ];
        let denied = counted(questions.map(Event::Flow)).denied;
        let counts: Vec<_> =
            denied.rows.iter().map(|row| (row.first.host.clone().unwrap().to_string(), row.count)).collect();
        assert_eq!(counts, [("evil.test".to_owned(), 1), ("other.test".to_owned(), 1)]);
    }

    #[test]
    fn alerts_are_counted_and_have_rows_of_their_own() {
        let stopped = FlowRecord { verdict: Verdict::Deny, reason: Reason::ThreatIntel, ..alerted() };
        let totals = counted([allowed(), alerted(), alerted(), stopped].map(Event::Flow));
        assert_eq!((totals.alerts, totals.allowed.rows.len(), totals.denied.flows()), (2, 2, 1));
    }

    #[test]
    fn names_that_were_looked_up_are_counted() {
        let question = |name: &[u8], kind: &'static str, code| DnsRecord {
            name: Escaped::name(name),
            kind: kind.into(),
            code,
            error: None,
            ..asked()
        };
        let names = |questions: &[DnsRecord]| counted(questions.iter().cloned().map(Event::Dns)).names;
        let twice = [question(b"ok.test.", "A", "NOERROR"), question(b"OK.test.", "AAAA", "NOERROR")];
        assert_eq!(names(&twice), 1);
        // What tunnels through questions needs no answer.
        assert_eq!(
            names(&[question(b"a.evil.test.", "A", "NXDOMAIN"), question(b"b.evil.test.", "TXT", "SERVFAIL")]),
            2
        );
        let not_asked = [
            question(b"denied.test.", "A", "REFUSED"),
            question(b"localhost.", "A", "NOERROR"),
            question(b"api.LocalHost.", "A", "NOERROR"),
            question(b"7.2.0.192.in-addr.arpa.", "PTR", "NXDOMAIN"),
        ];
        assert_eq!(names(&not_asked), 0);
        let flood: Vec<_> =
            (0..NAMES + 10).map(|n| question(format!("h{n}.test.").as_bytes(), "A", "NOERROR")).collect();
        assert_eq!(names(&flood), (NAMES + 10) as u64);
    }

    #[test]
    fn ends_that_matter_are_counted_by_their_reason() {
        let failed = CloseRecord { why: CloseWhy::Reason(Reason::UpstreamTimeout), ..closed() };
        let bypassed = FlowRecord { reason: Reason::ServiceEndpoint, ..allowed() };
        let totals = counted([Event::Close(failed), Event::Close(closed()), Event::Flow(bypassed)]);
        assert_eq!(totals.failed, BTreeMap::from([(Reason::UpstreamTimeout, 1)]));
        assert_eq!((totals.bypassed, totals.allowed.flows()), (1, 0));
    }

    #[test]
    fn a_flood_of_hosts_takes_no_more_rows_and_loses_no_denial() {
        let over = 10;
        let flood = (0..KINDS + over).map(|n| Event::Flow(to(&format!("h{n}.test"))));
        let totals = counted(flood.chain([Event::Flow(to("h0.test")), Event::Flow(allowed())]));
        assert_eq!((totals.denied.rows.len(), totals.denied.more), (KINDS, over as u64));
        assert_eq!(totals.denied.flows(), (KINDS + over + 1) as u64);
        assert_eq!(totals.denied.rows[0].count, 2, "the most frequent first");
        assert_eq!(totals.allowed.rows.len(), 1, "each verdict has its own room");
    }
}
