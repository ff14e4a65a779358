//! Answers and how long they hold (azure-docs, dns-settings: at most an hour, half an hour for what is not there).
//!
//! Nothing is fetched before somebody asks. Failures of servers are not kept.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::BinEncodable;
use tokio::time::Instant;

use super::Question;
use crate::wire::dns::{DnsReply, ResponseCode};

const MAX_POSITIVE: Duration = Duration::from_secs(3600);
const MAX_NEGATIVE: Duration = Duration::from_secs(1800);

/// Answers kept, at most; beyond either the one that was stored first goes.
pub(super) const ROOM: Room = Room { entries: 10_000, bytes: 64 << 20 };

/// Bytes in memory of an answer that is kept, at most: each question for it copies them. Some 200 addresses. What is
/// larger is *fetched each time*.
const MAX_ANSWER: usize = 64 << 10;

#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

/// An answer with its time of arrival.
#[derive(Debug)]
pub(crate) struct Answer {
    reply: DnsReply,
    /// In memory, about.
    bytes: usize,
    got: Instant,
    until: Instant,
    /// Whose answer it is; None where it was given.
    server: Option<SocketAddr>,
}

impl Answer {
    /// Of a server's message: no record claims to hold for longer than it is kept at most.
    pub(super) fn of(message: Message, kind: RecordType, now: Instant) -> Answer {
        let lifetime = lifetime(&message, kind);
        let cap = if has_answer(&message, kind) { MAX_POSITIVE } else { MAX_NEGATIVE };
        let cap = u32::try_from(cap.as_secs()).unwrap_or(u32::MAX);
        let Message { metadata, mut answers, mut authorities, mut additionals, .. } = message;
        let sections = answers.iter_mut().chain(&mut authorities).chain(&mut additionals);
        sections.for_each(|record| record.ttl = record.ttl.min(cap));
        let (code, authentic) = (metadata.response_code, metadata.authentic_data);
        let reply = DnsReply { code, answers, authorities, additionals, authentic };
        let bytes = size(&reply);
        Answer { reply, bytes, got: now, until: now + lifetime, server: None }
    }

    /// Known without asking anybody.
    pub(super) fn given(answers: Vec<Record>, holds: Duration, now: Instant) -> Answer {
        let reply = DnsReply { answers, ..DnsReply::default() };
        Answer { bytes: size(&reply), reply, got: now, until: now + holds, server: None }
    }

    pub(super) fn of_server(self, server: SocketAddr) -> Answer {
        Answer { server: Some(server), ..self }
    }

    pub(super) fn server(&self) -> Option<SocketAddr> {
        self.server
    }

    pub(crate) fn code(&self) -> ResponseCode {
        self.reply.code
    }

    /// When it has to be asked again.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Until when [`Answer::aged`] says what it says now.
    pub(crate) fn unchanged_until(&self, now: Instant) -> Instant {
        let age = now.saturating_duration_since(self.got).as_secs();
        self.until.min(self.got + Duration::from_secs(age + 1))
    }

    /// As it stands now: what was waited is taken off the times to live.
    pub(crate) fn aged(&self, now: Instant) -> DnsReply {
        let age = u32::try_from(now.saturating_duration_since(self.got).as_secs()).unwrap_or(u32::MAX);
        let mut reply = self.reply.clone();
        let sections = reply.answers.iter_mut().chain(&mut reply.authorities).chain(&mut reply.additionals);
        sections.for_each(|record| record.ttl = record.ttl.saturating_sub(age));
        reply
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.reply.answers.iter().filter_map(|record| record.data.ip_addr())
    }
}

/// How long a message may be kept; no time at all for what says nothing of it.
fn lifetime(message: &Message, kind: RecordType) -> Duration {
    if !matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Duration::ZERO;
    }
    let answers = message.answers.iter().map(|record| record.ttl).min();
    let (seconds, cap) = if has_answer(message, kind) {
        (answers, MAX_POSITIVE)
    } else {
        // RFC 2308 section 5; where aliases lead to nothing, they have their own say.
        let absent = message.authorities.iter().find_map(negative_ttl);
        (absent.map(|absent| absent.min(answers.unwrap_or(absent))), MAX_NEGATIVE)
    };
    seconds.map_or(Duration::ZERO, |seconds| Duration::from_secs(seconds.into()).min(cap))
}

/// Names may be long in memory that were two bytes in a message, and a record takes more than its data.
fn size(reply: &DnsReply) -> usize {
    let records = reply.answers.iter().chain(&reply.authorities).chain(&reply.additionals);
    let each = records.map(|record| size_of::<Record>() + record.to_bytes().map_or(MAX_ANSWER, |bytes| bytes.len()));
    size_of::<Answer>() + each.sum::<usize>()
}

fn has_answer(message: &Message, kind: RecordType) -> bool {
    message.answers.iter().any(|record| record.record_type() == kind)
}

fn negative_ttl(record: &Record) -> Option<u32> {
    match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    }
}

/// Answers by question.
pub(super) struct Cache {
    kept: HashMap<Question, (u64, Rc<Answer>)>,
    /// By the order in which they were stored.
    order: BTreeMap<u64, Question>,
    next: u64,
    bytes: usize,
    room: Room,
}

impl Cache {
    pub(super) fn new(room: Room) -> Cache {
        Cache { kept: HashMap::new(), order: BTreeMap::new(), next: 0, bytes: 0, room }
    }

    pub(super) fn get(&self, question: &Question, now: Instant) -> Option<Rc<Answer>> {
        let (_, answer) = self.kept.get(question)?;
        (now < answer.until).then(|| answer.clone())
    }

    pub(super) fn put(&mut self, question: &Question, answer: &Rc<Answer>) {
        if answer.until <= answer.got || answer.bytes > MAX_ANSWER {
            return;
        }
        self.remove(question);
        self.kept.insert(question.clone(), (self.next, answer.clone()));
        self.order.insert(self.next, question.clone());
        self.next += 1;
        self.bytes += answer.bytes;
        while (self.order.len() > self.room.entries || self.bytes > self.room.bytes)
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, question: &Question) {
        if let Some((place, answer)) = self.kept.remove(question) {
            self.order.remove(&place);
            self.bytes -= answer.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::{MessageType, OpCode};
    use hickory_resolver::proto::rr::Name;
    use hickory_resolver::proto::rr::rdata::{CNAME, SOA};
    use std::str::FromStr;

    fn name(text: &str) -> Name {
        Name::from_str(text).unwrap()
    }

    fn message(code: ResponseCode) -> Message {
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.metadata.response_code = code;
        message
    }

    fn with_a(mut message: Message, ttl: u32) -> Message {
        let data = RData::from(IpAddr::from([192, 0, 2, 1]));
        message.answers.push(Record::from_rdata(name("ok.test."), ttl, data));
        message
    }

    fn with_soa(mut message: Message, ttl: u32, minimum: u32) -> Message {
        let soa = SOA::new(name("ns.test."), name("root.test."), 1, 1, 1, 1, minimum);
        message.authorities.push(Record::from_rdata(name("test."), ttl, RData::SOA(soa)));
        message
    }

    fn with_alias(mut message: Message, ttl: u32) -> Message {
        let data = RData::CNAME(CNAME(name("b.test.")));
        message.answers.push(Record::from_rdata(name("ok.test."), ttl, data));
        message
    }

    #[test]
    fn how_long_an_answer_holds() {
        let check = |message: Message, seconds: u64| {
            let now = Instant::now();
            let shown = format!("{message}");
            let answer = Answer::of(message, RecordType::A, now);
            assert_eq!((answer.until - now).as_secs(), seconds, "{shown}");
        };
        let no_error = || message(ResponseCode::NoError);
        check(with_a(no_error(), 60), 60);
        check(with_a(with_alias(no_error(), 5), 60), 5);
        check(with_a(no_error(), 0), 0);
        check(with_a(no_error(), 86_400), 3600);
        check(with_soa(message(ResponseCode::NXDomain), 60, 10), 10);
        check(with_soa(message(ResponseCode::NXDomain), 10, 60), 10);
        check(with_soa(message(ResponseCode::NXDomain), 86_400, 86_400), 1800);
        check(with_soa(no_error(), 86_400, 86_400), 1800);
        check(with_soa(with_alias(no_error(), 7), 60, 60), 7);
        check(no_error(), 0);
        check(message(ResponseCode::NXDomain), 0);
        check(with_soa(message(ResponseCode::ServFail), 60, 60), 0);
    }

    fn after(seconds: u64) -> impl Fn(Instant) -> Instant {
        move |start| start + Duration::from_secs(seconds)
    }

    #[test]
    fn times_to_live_are_capped_and_run_down() {
        let start = Instant::now();
        let answer = Answer::of(with_a(message(ResponseCode::NoError), 86_400), RecordType::A, start);
        let ttl = |seconds| answer.aged(after(seconds)(start)).answers[0].ttl;
        assert_eq!([0, 100, 3600, 4000].map(ttl), [3600, 3500, 0, 0]);
    }

    #[test]
    fn kept_until_it_expires_or_there_are_too_many() {
        let start = Instant::now();
        let mut cache = Cache::new(Room { entries: 2, ..ROOM });
        let question = |text: &str| Question::new(&name(text), RecordType::A);
        let answer = |ttl, now| Rc::new(Answer::of(with_a(message(ResponseCode::NoError), ttl), RecordType::A, now));
        let has = |cache: &Cache, text: &str, seconds| cache.get(&question(text), after(seconds)(start)).is_some();
        cache.put(&question("a.test."), &answer(60, start));
        cache.put(&question("b.test."), &answer(120, start));
        assert!(has(&cache, "A.TEST.", 59) && has(&cache, "b.test.", 59));
        assert!(cache.get(&Question { dnssec_ok: true, ..question("a.test.") }, start).is_none());
        assert!(!has(&cache, "a.test.", 60) && has(&cache, "b.test.", 60));
        cache.put(&question("a.test."), &answer(60, after(60)(start)));
        cache.put(&question("c.test."), &answer(60, after(60)(start)));
        assert!(!has(&cache, "b.test.", 60) && has(&cache, "a.test.", 60) && has(&cache, "c.test.", 60));
        cache.put(&question("d.test."), &answer(0, after(60)(start)));
        assert!(!has(&cache, "d.test.", 60) && has(&cache, "a.test.", 60), "what does not hold takes no place");
        assert_eq!((cache.kept.len(), cache.order.len()), (2, 2));
    }

    fn of_size(addresses: usize) -> Rc<Answer> {
        let message = (0..addresses).fold(message(ResponseCode::NoError), |message, _| with_a(message, 60));
        Rc::new(Answer::of(message, RecordType::A, Instant::now()))
    }

    #[test]
    fn kept_for_as_long_as_there_is_room_in_memory() {
        let question = |text: &str| Question::new(&name(text), RecordType::A);
        let one = of_size(10);
        let mut cache = Cache::new(Room { bytes: 2 * one.bytes, ..ROOM });
        let kept = |cache: &Cache| {
            let names = ["a.test.", "b.test.", "c.test.", "d.test."];
            names.map(|text| cache.get(&question(text), Instant::now()).is_some())
        };
        for text in ["a.test.", "b.test.", "b.test."] {
            cache.put(&question(text), &one);
        }
        assert_eq!(kept(&cache), [true, true, false, false]);
        cache.put(&question("c.test."), &one);
        assert_eq!(kept(&cache), [false, true, true, false]);
        cache.put(&question("d.test."), &of_size(11));
        assert_eq!((kept(&cache), cache.bytes), ([false, false, false, true], of_size(11).bytes));
        assert_eq!((cache.kept.len(), cache.order.len()), (1, 1));
    }

    #[test]
    fn an_answer_that_is_too_large_takes_no_place() {
        let mut cache = Cache::new(ROOM);
        let question = Question::new(&name("a.test."), RecordType::A);
        cache.put(&question, &of_size(4000));
        assert_eq!((cache.kept.len(), cache.bytes), (0, 0));
        cache.put(&question, &of_size(150));
        assert_eq!(cache.kept.len(), 1);
    }
}
