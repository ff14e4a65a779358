//! What a session writes down: each flow when it is decided, and each that was allowed once more when it ends.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::flow::{Authority, Host, HostName, Protocol, Reason, Verdict, Via};
use crate::policy::{Decision, Policy, Query, ThreatId};
use crate::telemetry::{CloseRecord, CloseWhy, ClosedBy, Escaped, Event, FlowRecord, KnownThreat, Seen};

use super::session::{Ask, Permitted, Refused, Session};
use super::shared::{Active, Core};

/// An allowed flow that has been recorded. It ends by [`Session::close`]; dropped before, Egret has cut it.
pub(super) struct Opened {
    core: Rc<Core>,
    id: u64,
    since: Instant,
    /// No log has it.
    unwritten: bool,
    closed: bool,
    /// Bytes of the heads of a request in plain HTTP and its answer, which only flow logs of networks count.
    heads: Rc<Cell<[u64; 2]>>,
}

impl Opened {
    /// From now on it moves bytes: so many up and down, whenever that is asked.
    pub(super) fn moves(&self, moved: impl Fn() -> [u64; 2] + 'static) {
        if let Some(rates) = &self.core.rates {
            let heads = self.heads.clone();
            rates.moves(self.id, move || {
                let ([up, down], [head_up, head_down]) = (moved(), heads.get());
                [up + head_up, down + head_down]
            });
        }
    }

    /// A head goes up, of so many bytes where that matters.
    pub(super) fn sends_head(&self, bytes: impl FnOnce() -> u64) {
        if self.is_measured() {
            let [up, down] = self.heads.get();
            self.heads.set([up + bytes(), down]);
        }
    }

    /// A head came down.
    pub(super) fn receives_head(&self, bytes: impl FnOnce() -> u64) {
        if self.is_measured() {
            let [up, down] = self.heads.get();
            self.heads.set([up, down + bytes()]);
        }
    }

    /// True where it matters how fast it is.
    pub(super) fn is_measured(&self) -> bool {
        self.core.rates.is_some() && !self.unwritten
    }

    fn end(&mut self, bytes_up: u64, bytes_down: u64, closed_by: ClosedBy, why: CloseWhy) {
        self.closed = true;
        self.core.counters.bytes_up.add(bytes_up);
        self.core.counters.bytes_down.add(bytes_down);
        if self.unwritten {
            return;
        }
        if let Some(rates) = &self.core.rates {
            rates.closed(self.id);
        }
        let (ts, flow, duration) = (Timestamp::now(), self.id, self.since.elapsed());
        let heads = self.heads.get();
        let record = CloseRecord { ts, flow, bytes_up, bytes_down, heads, duration, closed_by, why };
        self.core.recorder.record_at_once(Event::Close(record));
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.closed {
            self.end(0, 0, ClosedBy::Egret, CloseWhy::Shutdown);
        }
    }
}

fn known_threat(policy: &Policy, threat: ThreatId) -> Option<Box<KnownThreat>> {
    let (_, indicator) = policy.indicator(threat)?;
    let (sign, description) = (indicator.sign.to_string(), indicator.description.clone());
    Some(Box::new(KnownThreat { indicator: sign.into(), description }))
}

fn url(host: &Host, path: &str) -> Escaped {
    match host {
        Host::Name(name) => Escaped::url(&[name.as_str(), path].concat()),
        Host::Addr(addr) => Escaped::url(&format!("{addr}{path}")),
    }
}

/// What a malformed request was about, as far as that can be told.
#[derive(Clone, Copy)]
pub(super) enum About<'a> {
    Nothing,
    /// A destination that could not be read, as it was sent.
    Raw(&'a [u8]),
    To(&'a Authority),
    /// A request in HTTP for this, which says so of itself twice and not alike.
    Request(&'a Authority),
}

impl About<'_> {
    fn protocol(self) -> Protocol {
        match self {
            About::Request(_) => Protocol::Http,
            About::Nothing | About::Raw(_) | About::To(_) => Protocol::Tcp,
        }
    }
}

impl Session {
    /// Records that the flow is allowed.
    pub(super) async fn record_allowed(
        &self,
        ask: Ask<'_>,
        permitted: &Permitted,
        sni: Option<Seen<HostName>>,
    ) -> Opened {
        let decision = permitted.permit.decision();
        let dst = permitted.first();
        let record = self.flow_record(ask, permitted.protocol, decision, &permitted.active, dst);
        let network = permitted.around.clone();
        self.open(FlowRecord { sni, network, ..record }).await
    }

    async fn open(&self, record: FlowRecord) -> Opened {
        let (id, unwritten) = (record.flow, record.is_unwritten());
        let (core, since, heads) = (self.core.clone(), Instant::now(), Rc::default());
        let opened = Opened { core, id, since, unwritten, closed: false, heads };
        if let (Some(rates), false) = (&self.core.rates, unwritten) {
            rates.opened(&record);
        }
        self.write_down(record).await;
        opened
    }

    /// Records that the flow is denied; waits where the log is behind. An upstream failure is no denial: it is
    /// recorded as a flow that was allowed and closed at once.
    pub(super) async fn record_refused(&self, ask: Ask<'_>, refused: &Refused, sni: Option<Seen<HostName>>) {
        let Refused { reason, decision, protocol, dst, around, active } = refused;
        let network = around.clone();
        let record = FlowRecord { sni, network, ..self.flow_record(ask, *protocol, *decision, active, *dst) };
        if reason.is_upstream_failure() && decision.verdict == Verdict::Allow {
            let opened = self.open(record).await;
            self.close_failed(opened, [0, 0], *reason);
            return;
        }
        let record = FlowRecord { verdict: Verdict::Deny, reason: *reason, ..record };
        self.write_down(record).await;
    }

    /// Counts a decision and records it: an alert is in the same record, so that neither is without the other.
    async fn write_down(&self, record: FlowRecord) {
        self.core.counters.flow(record.via, record.verdict, record.reason);
        if record.threat.is_some() {
            self.core.counters.threat(record.reason);
        }
        self.core.recorder.record(Event::Flow(record)).await;
    }

    /// Records the refusal of what no rule was asked about. Threat intelligence is, as far as client and destination are
    /// known.
    pub(super) async fn record_malformed(&self, via: Via, about: About<'_>, reason: Reason) {
        let active = self.core.active();
        let (host, port) = match about {
            About::Nothing => (None, 0),
            About::Raw(raw) => (Some(Seen::Raw(Escaped::name(raw))), 0),
            About::To(to) | About::Request(to) => (Some(Seen::Valid(to.host.clone())), to.port),
        };
        let threat = self.known(&active.policy, about);
        let record = FlowRecord {
            ts: Timestamp::now(),
            flow: self.core.next_flow(),
            via,
            client: self.client,
            protocol: about.protocol(),
            host,
            port,
            sni: None,
            dst: None,
            verdict: Verdict::Deny,
            reason,
            rule: None,
            profile: active.profile,
            policy_hash: active.policy.hash().clone(),
            url: None,
            threat: threat.and_then(|threat| known_threat(&active.policy, threat)),
            network: None,
        };
        self.write_down(record).await;
    }

    fn known(&self, policy: &Policy, about: About<'_>) -> Option<ThreatId> {
        let nowhere = Host::Addr(Ipv4Addr::UNSPECIFIED.into());
        let (host, port) = match about {
            About::To(to) | About::Request(to) => (&to.host, to.port),
            About::Nothing | About::Raw(_) => (&nowhere, 0),
        };
        let query = Query::new(Some(self.client.ip()), about.protocol(), host, port);
        policy.threat(&query).map(|(_, threat)| threat)
    }

    fn flow_record(
        &self,
        ask: Ask<'_>,
        protocol: Protocol,
        decision: Decision,
        active: &Active,
        dst: Option<SocketAddr>,
    ) -> FlowRecord {
        if let Some(rule) = decision.rule {
            active.hits.hit(self.core.counters.core(), rule);
        }
        FlowRecord {
            ts: Timestamp::now(),
            flow: self.core.next_flow(),
            via: ask.via,
            client: self.client,
            protocol,
            host: Some(Seen::Valid(ask.to.host.clone())),
            port: ask.to.port,
            sni: None,
            dst,
            verdict: decision.verdict,
            reason: decision.reason,
            rule: decision.rule.map(|rule| active.policy.rule_name(rule).clone()),
            profile: active.profile,
            policy_hash: active.policy.hash().clone(),
            url: ask.path.map(|path| url(&ask.to.host, path)),
            threat: decision.threat.and_then(|threat| known_threat(&active.policy, threat)),
            network: None,
        }
    }

    /// Records how an allowed flow ended, and what it moved: up, down.
    pub(super) fn close(&self, mut opened: Opened, moved: [u64; 2], closed_by: ClosedBy, why: CloseWhy) {
        let [up, down] = moved;
        opened.end(up, down, closed_by, why);
    }

    /// The same for datagrams, which nobody but Egret ends, unless the origin cannot be reached.
    pub(super) fn close_connectionless(&self, opened: Opened, moved: [u64; 2], why: CloseWhy) {
        let by = match why {
            CloseWhy::Reason(reason) if reason.is_upstream_failure() => ClosedBy::Origin,
            _ => ClosedBy::Egret,
        };
        self.close(opened, moved, by, why);
    }

    /// The same for a flow that failed: whose fault it was follows from the reason.
    pub(super) fn close_failed(&self, opened: Opened, moved: [u64; 2], reason: Reason) {
        let by = match reason {
            Reason::ClientGone => ClosedBy::Client,
            Reason::UpstreamUnreachable => ClosedBy::Origin,
            _ => ClosedBy::Egret,
        };
        self.close(opened, moved, by, CloseWhy::Reason(reason));
    }
}
