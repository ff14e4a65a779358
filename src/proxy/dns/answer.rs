//! What a client is answered, and the record of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hickory_resolver::proto::rr::rdata::{HINFO, PTR};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::config::DnsMode;
use crate::flow::{ClientAddr, Host, HostName, Protocol, Reason, Verdict, Via};
use crate::net::dns::{Answer, Question, SYNTHETIC_TTL, Synthetic, absolute, host_name};
use crate::telemetry::{DnsOutcome, DnsRecord, Escaped, Event, FlowRecord, Seen, Transport};
use crate::wire::dns::{DnsQuery, DnsReply, ResponseCode, WrittenReply, class_name, code_name, kind_name};

use super::Dns;
use super::ready::{Holds, Kept};

/// How long a client may keep the answer to a question for everything (RFC 8482 section 4.2).
const ANY_TTL: u32 = 3600;

/// It never changes.
const LOCALHOST_TTL: u32 = 3600;

/// Who asks, and how.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) client: ClientAddr,
    pub(super) transport: Transport,
    pub(super) request_bytes: usize,
}

/// A reply, and why it is none of a server's.
struct Outcome {
    reply: DnsReply,
    error: Option<String>,
    /// Until when the same may be said again; None where that is to be asked each time.
    until: Option<Instant>,
}

impl From<DnsReply> for Outcome {
    fn from(reply: DnsReply) -> Outcome {
        Outcome { reply, error: None, until: None }
    }
}

impl Outcome {
    fn refused(code: ResponseCode, why: &str) -> Outcome {
        Outcome { reply: DnsReply::empty(code), error: Some(why.to_owned()), until: None }
    }
}

/// An answer that has been written down.
pub(super) struct Answered {
    pub(super) bytes: Vec<u8>,
    /// To be given again, where it may be.
    pub(super) again: Option<Kept>,
}

impl Dns {
    /// The answer in at most `limit` bytes; it is written down by then.
    pub(super) async fn answer(&self, query: &DnsQuery, asked: Asked, limit: usize) -> Answered {
        let since = Instant::now();
        // Before anything is asked of the policy: what another one says has another number.
        let generation = self.shared.generation();
        let Outcome { reply, error, until } = self.outcome(query, asked).await;
        let written = query.write(&reply, limit);
        // The log may keep this one waiting.
        drop(reply);
        self.count(written.code);
        let record = record_of(query, asked, &written, since.elapsed(), error);
        let keep = |until| {
            let (written, record) = (written.clone(), record.clone());
            Kept { written, record, holds: Holds { until, generation } }
        };
        let again = until.map(keep);
        self.recorder.record(Event::Dns(record)).await;
        Answered { bytes: written.bytes, again }
    }

    /// Has `send` give the answer that the same client got to the same question just now. False where there is none, or
    /// the log has no room: then it has to be looked for.
    pub(super) fn answer_again(&self, client: ClientAddr, message: &[u8], send: impl FnOnce(&[u8])) -> bool {
        if self.recorder.refusing() || !self.recorder.has_room() {
            return false;
        }
        let since = Instant::now();
        let given = self.ready.give(client.ip(), message, self.shared.generation(), since, |id, bytes, kept| {
            self.counters().cache_hits.add(1);
            self.count(kept.written.code);
            let (ts, duration) = (Timestamp::now(), since.elapsed());
            let record = DnsRecord { ts, client, id, duration, ..kept.record.clone() };
            self.recorder.record_at_once(Event::Dns(record));
            send(bytes);
        });
        given.is_some()
    }

    pub(super) fn count(&self, code: ResponseCode) {
        self.counters().answered(match code {
            ResponseCode::NoError => DnsOutcome::NoError,
            ResponseCode::FormErr => DnsOutcome::FormErr,
            ResponseCode::ServFail => DnsOutcome::ServFail,
            ResponseCode::NXDomain => DnsOutcome::NxDomain,
            ResponseCode::NotImp => DnsOutcome::NotImp,
            ResponseCode::Refused => DnsOutcome::Refused,
            _ => DnsOutcome::Other,
        });
    }

    async fn outcome(&self, query: &DnsQuery, asked: Asked) -> Outcome {
        if query.is_of_another_version() {
            return DnsReply::empty(ResponseCode::BADVERS).into();
        }
        if query.class() != DNSClass::IN || is_no_data(query.kind()) {
            return Outcome::refused(ResponseCode::Refused, "not supported");
        }
        if self.recorder.refusing() {
            return Outcome::refused(ResponseCode::ServFail, Reason::LogUnavailable.as_str());
        }
        if let Some(name) = self.synthetic_name(query) {
            return reply_with(query, SYNTHETIC_TTL, RData::PTR(PTR(absolute(&name)))).into();
        }
        if is_localhost(query.name()) {
            return localhost(query).into();
        }
        let name = host_name(query.name());
        let allowed = name.filter(|name| self.shared.active().could_allow_name(name, Some(asked.client.ip())));
        match (self.config.proxy.mode, allowed) {
            // Programs ask for the sake of their logs: nobody learns of it, and it is no attempt to get out.
            (DnsMode::Strict, None) if query.name().parse_arpa_name().is_ok() => {
                DnsReply::empty(ResponseCode::NXDomain).into()
            }
            (DnsMode::Strict, None) => {
                self.record_denied(query, asked).await;
                Outcome::refused(ResponseCode::Refused, Reason::DnsNotAllowed.as_str())
            }
            (DnsMode::Strict, Some(_)) if is_binding(query.kind()) => DnsReply::default().into(),
            // An answer for everything is worth most to whoever asks in another's name.
            _ if query.kind() == RecordType::ANY => {
                reply_with(query, ANY_TTL, RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()))).into()
            }
            (_, allowed) => self.find(query, allowed).await,
        }
    }

    async fn find(&self, query: &DnsQuery, allowed: Option<HostName>) -> Outcome {
        match (self.shared.directory.synthetic(), allowed) {
            (Some(synthetic), Some(name)) if self.config.is_synthetic(&name) => {
                self.synthesize(synthetic, query, &name)
            }
            (_, None) if self.config.is_closed() => self.given_or_absent(query).into(),
            _ => self.look_up(query).await,
        }
    }

    /// An allowed name has an address of one family, and nothing else.
    fn synthesize(&self, synthetic: &Synthetic, query: &DnsQuery, name: &HostName) -> Outcome {
        self.counters().cache_hits.add(1);
        if query.kind() != synthetic.kind() {
            return DnsReply::default().into();
        }
        match synthetic.address_of(name, Instant::now().into_std()) {
            Some(addr) => reply_with(query, SYNTHETIC_TTL, RData::from(addr)).into(),
            None => Outcome::refused(ResponseCode::ServFail, "every synthetic address is in use"),
        }
    }

    /// Where all addresses are synthetic there is nobody to ask: what no rule could allow is not there, but for what the
    /// user gave.
    fn given_or_absent(&self, query: &DnsQuery) -> DnsReply {
        self.counters().cache_hits.add(1);
        let given = self.lookup.given(&Question::new(query.name(), query.kind()));
        given.map_or(DnsReply::empty(ResponseCode::NXDomain), |given| given.aged(Instant::now()))
    }

    /// The name that is asked for backwards, of an address that was made up here.
    fn synthetic_name(&self, query: &DnsQuery) -> Option<HostName> {
        if query.kind() != RecordType::PTR {
            return None;
        }
        let net = query.name().parse_arpa_name().ok()?;
        (net.prefix_len() == net.max_prefix_len()).then(|| self.shared.directory.name_of(net.addr())).flatten()
    }

    async fn look_up(&self, query: &DnsQuery) -> Outcome {
        let question = Question {
            dnssec_ok: query.dnssec_ok(),
            checking_disabled: query.checking_disabled(),
            ..Question::new(query.name(), query.kind())
        };
        if let Some(known) = self.lookup.known(&question).await {
            self.counters().cache_hits.add(1);
            let now = Instant::now();
            return Outcome { until: Some(known.unchanged_until(now)), ..self.reply(&known, now).into() };
        }
        let Ok(_asking) = self.asking.try_acquire() else {
            return Outcome::refused(ResponseCode::ServFail, "too many questions wait for name servers");
        };
        match self.lookup.answer(&question).await {
            Ok(answer) => self.reply(&answer, Instant::now()).into(),
            Err(error) => Outcome::refused(ResponseCode::ServFail, &error.to_string()),
        }
    }

    fn reply(&self, answer: &Answer, now: Instant) -> DnsReply {
        let mut reply = answer.aged(now);
        if self.config.proxy.mode == DnsMode::Strict {
            without_bindings(&mut reply);
        }
        reply
    }

    async fn record_denied(&self, query: &DnsQuery, asked: Asked) {
        let host = match host_name(query.name()) {
            Some(name) => Seen::Valid(Host::Name(name)),
            None => Seen::Raw(Escaped::name(query.name().to_ascii().as_bytes())),
        };
        self.deny(asked.client, asked.transport, Some(host), Reason::DnsNotAllowed).await;
    }

    /// A denial as any other.
    pub(super) async fn deny(
        &self,
        client: ClientAddr,
        transport: Transport,
        host: Option<Seen<Host>>,
        reason: Reason,
    ) {
        let active = self.shared.active();
        let record = FlowRecord {
            ts: Timestamp::now(),
            flow: self.next_flow(),
            via: Via::Dns,
            client,
            protocol: match transport {
                Transport::Udp => Protocol::Udp,
                Transport::Tcp => Protocol::Tcp,
            },
            host,
            port: 0,
            sni: None,
            dst: None,
            verdict: Verdict::Deny,
            reason,
            rule: None,
            profile: active.profile,
            policy_hash: active.policy.hash().clone(),
            url: None,
            threat: None,
            network: None,
        };
        self.shared.dns_counters().flow(record.via, record.verdict, record.reason);
        self.recorder.record(Event::Flow(record)).await;
    }
}

fn record_of(
    query: &DnsQuery,
    asked: Asked,
    written: &WrittenReply,
    duration: Duration,
    error: Option<String>,
) -> DnsRecord {
    let Asked { client, transport, request_bytes } = asked;
    DnsRecord {
        ts: Timestamp::now(),
        client,
        transport,
        id: query.id(),
        name: Escaped::name(query.name().to_ascii().as_bytes()),
        kind: kind_name(query.kind()),
        class: class_name(query.class()),
        request_bytes,
        dnssec_ok: query.dnssec_ok(),
        buffer_bytes: query.buffer_size(),
        code: code_name(written.code),
        flags: written.flags.clone(),
        response_bytes: written.bytes.len(),
        duration,
        error: error.map(Into::into),
    }
}

/// RFC 6761 section 6.3: never a question for a server.
fn is_localhost(name: &Name) -> bool {
    name.iter().next_back().is_some_and(|label| label.eq_ignore_ascii_case(b"localhost"))
}

fn localhost(query: &DnsQuery) -> DnsReply {
    match query.kind() {
        RecordType::A => reply_with(query, LOCALHOST_TTL, RData::from(IpAddr::V4(Ipv4Addr::LOCALHOST))),
        RecordType::AAAA => reply_with(query, LOCALHOST_TTL, RData::from(IpAddr::V6(Ipv6Addr::LOCALHOST))),
        _ => DnsReply::default(),
    }
}

fn reply_with(query: &DnsQuery, ttl: u32, data: RData) -> DnsReply {
    let answers = vec![Record::from_rdata(query.name().clone(), ttl, data)];
    DnsReply { answers, ..DnsReply::default() }
}

/// Types that are about messages and zones, not about names.
fn is_no_data(kind: RecordType) -> bool {
    matches!(kind, RecordType::AXFR | RecordType::IXFR | RecordType::OPT | RecordType::TSIG | RecordType::ZERO)
}

/// Service bindings carry the keys of an encrypted ClientHello.
fn is_binding(kind: RecordType) -> bool {
    matches!(kind, RecordType::HTTPS | RecordType::SVCB)
}

fn without_bindings(reply: &mut DnsReply) {
    for section in [&mut reply.answers, &mut reply.authorities, &mut reply.additionals] {
        section.retain(|record| !is_binding(record.record_type()));
    }
}
