//! What only Azure's tables have, made from the other records: traces of TCP connections and hourly sums.
//!
//! Off unless its categories are wanted. It has no numbers, and no form but Azure's structured one.

use std::collections::HashMap;
use std::net::SocketAddr;

use jiff::Timestamp;

use super::azure::with_decided;
use super::record::{CloseRecord, CloseWhy, ClosedBy, FlowRecord};
use crate::azure::aggregates::Summed;
use crate::azure::category::{Categories, Category};
use crate::azure::flow_logs::{Fat, Flag, Traced};
use crate::flow::{Protocol, Reason, Verdict};

/// Connections that are traced at once. Of one beyond them *no end is written*.
const TRACED: usize = 65_536;

/// Sums that are kept at once. When there is no room for another, all are *written early*, and counted anew.
const SUMS: usize = 16_384;

/// A record that is not numbered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Derived<'a> {
    Trace(Timestamp, Traced),
    Fat(Timestamp, Fat),
    /// With how many there were.
    Sum(Timestamp, &'a Summed, u32),
}

impl Derived<'_> {
    pub(super) fn category(&self) -> Category {
        match self {
            Derived::Trace(..) => Category::FlowTrace,
            Derived::Fat(..) => Category::FatFlow,
            Derived::Sum(_, summed, _) => summed.category(),
        }
    }

    pub(super) fn ts(&self) -> Timestamp {
        match *self {
            Derived::Trace(ts, _) | Derived::Fat(ts, _) | Derived::Sum(ts, ..) => ts,
        }
    }
}

/// Makes them.
pub(super) struct Deriver {
    traces: Option<Traces>,
    sums: Option<Sums>,
}

impl Deriver {
    /// `categories` is what is wanted; None where no sink writes Azure's tables.
    pub(super) fn new(categories: Option<Categories>) -> Deriver {
        const SUMMED: [Category; 3] =
            [Category::ApplicationRuleAggregation, Category::NetworkRuleAggregation, Category::NatRuleAggregation];
        let wants = |category| categories.is_some_and(|categories| categories.contains(category));
        Deriver {
            traces: wants(Category::FlowTrace).then(Traces::default),
            sums: SUMMED.into_iter().any(wants).then(Sums::default),
        }
    }

    /// A decision.
    pub(super) fn flow(&mut self, record: &FlowRecord, mut write: impl FnMut(Derived<'_>)) {
        if let Some(traced) = self.traces.as_mut().and_then(|traces| traces.opened(record)) {
            write(Derived::Trace(record.ts, traced));
        }
        if let Some(sums) = &mut self.sums {
            sums.add(record, write);
        }
    }

    /// The end of an allowed flow.
    pub(super) fn close(&mut self, record: &CloseRecord, mut write: impl FnMut(Derived<'_>)) {
        let traces = self.traces.as_mut().map(|traces| traces.closed(record));
        traces.into_iter().flatten().flatten().for_each(|traced| write(Derived::Trace(record.ts, traced)));
    }

    /// Writes the sums of an hour that is over.
    pub(super) fn tick(&mut self, now: Timestamp, write: impl FnMut(Derived<'_>)) {
        if let Some(sums) = self.sums.as_mut().filter(|sums| sums.is_over(now)) {
            sums.write(now, write);
        }
    }

    /// Writes what there is.
    pub(super) fn end(&mut self, now: Timestamp, write: impl FnMut(Derived<'_>)) {
        if let Some(sums) = &mut self.sums {
            sums.write(now, write);
        }
    }
}

/// Connections that run, by flow: the client and the server.
#[derive(Default)]
struct Traces(HashMap<u64, [SocketAddr; 2]>);

impl Traces {
    /// By now the client has its connection.
    fn opened(&mut self, record: &FlowRecord) -> Option<Traced> {
        // A request of plain HTTP is none: what it came by stays for the next.
        let is_connection = matches!(record.protocol, Protocol::Tcp | Protocol::Https | Protocol::Mssql);
        let server = record.dst.filter(|_| is_connection && record.verdict == Verdict::Allow)?;
        let client = record.client.addr();
        if self.0.len() < TRACED {
            self.0.insert(record.flow, [client, server]);
        }
        Some(Traced { from: server, to: client, flag: Flag::SynAck })
    }

    fn closed(&mut self, record: &CloseRecord) -> [Option<Traced>; 2] {
        let Some([client, server]) = self.0.remove(&record.flow) else { return [None, None] };
        let (from, to) = if record.closed_by == ClosedBy::Client { (client, server) } else { (server, client) };
        match record.why {
            CloseWhy::Eof => {
                [Some(Traced { from, to, flag: Flag::Fin }), Some(Traced { from: to, to: from, flag: Flag::FinAck })]
            }
            CloseWhy::Reset | CloseWhy::IdleTimeout => [Some(Traced { from, to, flag: Flag::Rst }), None],
            CloseWhy::Reason(reason) if reason == Reason::PolicyChanged || reason.is_upstream_failure() => {
                [Some(Traced { from, to, flag: Flag::Rst }), None]
            }
            // Egret closes both ends, and waits for neither.
            CloseWhy::Shutdown | CloseWhy::Reason(_) => [Some(Traced { from, to, flag: Flag::Fin }), None],
        }
    }
}

/// The decisions of an hour, summed up.
#[derive(Default)]
struct Sums {
    counts: HashMap<Summed, u32>,
    /// Since the epoch; that of the first decision in it.
    hour: i64,
}

impl Sums {
    fn add(&mut self, record: &FlowRecord, write: impl FnMut(Derived<'_>)) {
        let Some(summed) = with_decided(record, "", Summed::of) else { return };
        let is_full = self.counts.len() >= SUMS && !self.counts.contains_key(&summed);
        if is_full || self.is_over(record.ts) {
            self.write(record.ts, write);
        }
        if self.counts.is_empty() {
            self.hour = hour(record.ts);
        }
        let count = self.counts.entry(summed).or_default();
        *count = count.saturating_add(1);
    }

    /// A record may come a little late: it is of the hour in which it comes. Hours before that are those of a clock that
    /// was set back: who waited for it to catch up would write nothing for as long.
    fn is_over(&self, now: Timestamp) -> bool {
        let hours = hour(now) - self.hour;
        !self.counts.is_empty() && !(-1..=0).contains(&hours)
    }

    fn write(&mut self, now: Timestamp, mut write: impl FnMut(Derived<'_>)) {
        self.counts.drain().for_each(|(summed, count)| write(Derived::Sum(now, &summed, count)));
    }
}

fn hour(ts: Timestamp) -> i64 {
    ts.as_second().div_euclid(3600)
}

#[cfg(test)]
mod tests {
    use super::super::record::Seen;
    use super::super::record::tests::{allowed, closed, denied};
    use super::*;
    use crate::flow::Host;

    fn deriver(wanted: &[Category]) -> Deriver {
        Deriver::new(Some(Categories::chosen(wanted)))
    }

    const ALL: &[Category] = &[
        Category::FlowTrace,
        Category::ApplicationRuleAggregation,
        Category::NetworkRuleAggregation,
        Category::NatRuleAggregation,
    ];

    /// `192.0.2.7:443 > 127.0.0.1:51000 SYN-ACK`, and counts of sums.
    fn shown(written: Derived<'_>) -> String {
        match written {
            Derived::Trace(_, Traced { from, to, flag }) => format!("{from} > {to} {}", flag.as_str()),
            Derived::Sum(_, summed, count) => format!("{} {count}", summed.category().name()),
            Derived::Fat(..) => panic!("made elsewhere"),
        }
    }

    /// What a flow with such an end is traced as.
    fn traced(record: &FlowRecord, end: CloseRecord) -> Vec<String> {
        let mut deriver = deriver(&[Category::FlowTrace]);
        let mut lines = Vec::new();
        deriver.flow(record, |derived| lines.push(shown(derived)));
        deriver.close(&end, |derived| lines.push(shown(derived)));
        assert!(deriver.traces.unwrap().0.is_empty());
        lines
    }

    #[test]
    fn traces() {
        let (client, server) = ("127.0.0.1:51000", "192.0.2.7:443");
        let check = |closed_by, why, ends: &[String]| {
            let expected = [&[format!("{server} > {client} SYN-ACK")], ends].concat();
            assert_eq!(traced(&allowed(), CloseRecord { closed_by, why, ..closed() }), expected, "{why:?}");
        };
        let up = |flag: &str| format!("{client} > {server} {flag}");
        let down = |flag: &str| format!("{server} > {client} {flag}");
        check(ClosedBy::Client, CloseWhy::Eof, &[up("FIN"), down("FIN-ACK")]);
        check(ClosedBy::Origin, CloseWhy::Eof, &[down("FIN"), up("FIN-ACK")]);
        check(ClosedBy::Client, CloseWhy::Reset, &[up("RST")]);
        check(ClosedBy::Egret, CloseWhy::IdleTimeout, &[down("RST")]);
        check(ClosedBy::Egret, CloseWhy::Shutdown, &[down("FIN")]);
        check(ClosedBy::Egret, CloseWhy::Reason(Reason::PolicyChanged), &[down("RST")]);
        check(ClosedBy::Origin, CloseWhy::Reason(Reason::UpstreamUnreachable), &[down("RST")]);
        for no_connection in [denied(), FlowRecord { protocol: Protocol::Http, ..allowed() }] {
            assert_eq!(traced(&no_connection, closed()), [""; 0]);
        }
        let udp = FlowRecord { protocol: Protocol::Udp, ..allowed() };
        assert_eq!(traced(&udp, closed()), [""; 0]);
    }

    #[test]
    fn there_is_an_end_to_what_is_traced() {
        let mut traces = Traces::default();
        for flow in 0..TRACED as u64 + 10 {
            assert!(traces.opened(&FlowRecord { flow, ..allowed() }).is_some());
        }
        assert_eq!(traces.0.len(), TRACED);
    }

    fn at(ts: &str, record: FlowRecord) -> FlowRecord {
        FlowRecord { ts: ts.parse().unwrap(), ..record }
    }

    #[test]
    fn sums_are_written_when_their_hour_is_over() {
        let mut deriver = deriver(&ALL[1..]);
        let mut lines = Vec::new();
        let mut flow = |deriver: &mut Deriver, ts, record| {
            deriver.flow(&at(ts, record), |derived| lines.push(shown(derived)));
            lines.len()
        };
        let tcp = || FlowRecord { protocol: Protocol::Tcp, ..denied() };
        assert_eq!(flow(&mut deriver, "2026-11-21T21:58:00Z", denied()), 0);
        assert_eq!(flow(&mut deriver, "2026-11-21T21:59:59Z", denied()), 0);
        assert_eq!(flow(&mut deriver, "2026-11-21T21:59:59Z", tcp()), 0);
        assert_eq!(flow(&mut deriver, "2026-11-21T22:00:00Z", denied()), 2);
        // It was written late.
        assert_eq!(flow(&mut deriver, "2026-11-21T21:59:59Z", denied()), 2);
        lines.sort();
        assert_eq!(lines, ["AZFWApplicationRuleAggregation 2", "AZFWNetworkRuleAggregation 1"]);
        let written = |deriver: &mut Deriver, ts: &str| {
            let mut lines = Vec::new();
            deriver.tick(ts.parse().unwrap(), |derived| lines.push(shown(derived)));
            lines
        };
        assert_eq!(written(&mut deriver, "2026-11-21T22:59:59Z"), [""; 0]);
        assert_eq!(written(&mut deriver, "2026-11-21T23:00:00Z"), ["AZFWApplicationRuleAggregation 2"]);
        assert_eq!(written(&mut deriver, "2026-11-22T01:00:00Z"), [""; 0]);
        // The clock was wrong, and is set back.
        deriver.flow(&at("2036-11-22T01:00:00Z", denied()), |_| panic!("nothing is over"));
        assert_eq!(written(&mut deriver, "2036-11-22T00:59:59Z"), [""; 0]);
        assert_eq!(written(&mut deriver, "2026-11-22T01:00:00Z"), ["AZFWApplicationRuleAggregation 1"]);
    }

    #[test]
    fn without_room_sums_are_written_early() {
        let mut deriver = deriver(&ALL[1..]);
        let mut written = 0;
        let host = |number: usize| Some(Seen::Valid(Host::parse(&format!("h{number}.test")).unwrap()));
        for number in 0..=SUMS {
            deriver.flow(&FlowRecord { host: host(number), ..denied() }, |_| written += 1);
        }
        assert_eq!((written, deriver.sums.as_ref().unwrap().counts.len()), (SUMS, 1));
        deriver.end(closed().ts, |derived| {
            assert_eq!(shown(derived), "AZFWApplicationRuleAggregation 1");
            written += 1;
        });
        assert_eq!(written, SUMS + 1, "no decision is lost");
    }

    #[test]
    fn nothing_is_kept_where_nobody_wants_it() {
        for mut deriver in [Deriver::new(None), deriver(&[])] {
            deriver.flow(&allowed(), |_| panic!("nobody asked"));
            assert!(deriver.traces.is_none() && deriver.sums.is_none());
        }
    }
}
