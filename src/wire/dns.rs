//! DNS messages (RFC 1035, RFC 6891): a client's bytes into a query, a reply into bytes.
//!
//! Messages are read and written by `hickory-proto`; what stands here is which of them are answered at all, and how
//! large an answer may be. Zone transfers, updates and notifications are deliberately absent.

use std::borrow::Cow;

use hickory_resolver::proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query};
use hickory_resolver::proto::rr::{DNSClass, Name, Record, RecordType};

pub use hickory_resolver::proto::op::ResponseCode;

/// Bytes of a datagram that is answered or asked, at most: what crosses every network unfragmented (RFC 9715).
pub const MAX_UDP: u16 = 1232;

/// Bytes of an answer for those who do not say what they can take.
const PLAIN_UDP: u16 = 512;

const HEADER: usize = 12;

/// A client's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsQuery {
    id: u16,
    /// With the name in the case in which it was asked.
    question: Query,
    recursion_desired: bool,
    checking_disabled: bool,
    authentic_data: bool,
    edns: Option<AskedEdns>,
}

/// What a client says of itself by EDNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AskedEdns {
    payload: u16,
    dnssec_ok: bool,
    version: u8,
}

/// What is no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misasked {
    /// Not a query at all: there is nothing to answer.
    Noise,
    /// Answered with a code and nothing else.
    Answered { id: u16, opcode: u8, code: ResponseCode },
}

impl Misasked {
    /// The answer, if there is one.
    pub fn to_bytes(self) -> Option<Vec<u8>> {
        let Misasked::Answered { id, opcode, code } = self else { return None };
        Message::error_msg(id, OpCode::from_u8(opcode), code).to_vec().ok()
    }
}

/// What is answered, whoever asks.
#[derive(Debug, Clone, Default)]
pub struct DnsReply {
    pub code: ResponseCode,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
    pub additionals: Vec<Record>,
    /// The server says that it validated the answer.
    pub authentic: bool,
}

impl DnsReply {
    pub fn empty(code: ResponseCode) -> DnsReply {
        DnsReply { code, ..DnsReply::default() }
    }
}

/// An answer as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenReply {
    pub bytes: Vec<u8>,
    pub code: ResponseCode,
    /// `qr,rd,ra`, as CoreDNS and Azure's log write them.
    pub flags: Cow<'static, str>,
}

impl DnsQuery {
    /// Reads a message that a client sent.
    pub fn read(message: &[u8]) -> Result<DnsQuery, Misasked> {
        let (id, opcode) = query_head(message)?;
        let refused = |code| Misasked::Answered { id, opcode, code };
        if opcode != u8::from(OpCode::Query) {
            return Err(refused(ResponseCode::NotImp));
        }
        // Before anything is reserved for as many questions as the message claims to have.
        if message.get(4..6) != Some(&[0, 1]) {
            return Err(refused(ResponseCode::FormErr));
        }
        let message = Message::from_vec(message).map_err(|_| refused(ResponseCode::FormErr))?;
        let question = message.queries.first().ok_or(refused(ResponseCode::FormErr))?.clone();
        let edns = message.edns.as_ref().map(|edns| AskedEdns {
            payload: edns.max_payload(),
            dnssec_ok: edns.flags().dnssec_ok,
            version: edns.version(),
        });
        let Metadata { recursion_desired, checking_disabled, authentic_data, .. } = message.metadata;
        Ok(DnsQuery { id, question, recursion_desired, checking_disabled, authentic_data, edns })
    }

    pub fn id(&self) -> u16 {
        self.id
    }

    pub fn name(&self) -> &Name {
        &self.question.name
    }

    pub fn kind(&self) -> RecordType {
        self.question.query_type
    }

    pub fn class(&self) -> DNSClass {
        self.question.query_class
    }

    pub fn checking_disabled(&self) -> bool {
        self.checking_disabled
    }

    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// Of an EDNS that is not known yet (RFC 6891 section 6.1.3).
    pub fn is_of_another_version(&self) -> bool {
        self.edns.is_some_and(|edns| edns.version != 0)
    }

    /// The size that the client says it can take; 512 where it says nothing.
    pub fn buffer_size(&self) -> u16 {
        self.edns.map_or(PLAIN_UDP, |edns| edns.payload)
    }

    /// The bytes that fit into a datagram for this client.
    pub fn udp_limit(&self) -> usize {
        usize::from(self.buffer_size().clamp(PLAIN_UDP, MAX_UDP))
    }

    /// The answer in at most `limit` bytes. What does not fit is left out whole, with the sign to ask by TCP.
    pub fn write(&self, reply: &DnsReply, limit: usize) -> WrittenReply {
        let mut message = self.head(reply.code);
        message.metadata.authentic_data = reply.authentic && (self.dnssec_ok() || self.authentic_data);
        message.answers = reply.answers.iter().map(|record| self.as_asked(record)).collect();
        message.authorities.clone_from(&reply.authorities);
        message.additionals.clone_from(&reply.additionals);
        match message.to_vec() {
            Ok(bytes) if bytes.len() <= limit => written(&message, bytes),
            Ok(_) => {
                let mut cut = self.head(reply.code);
                cut.metadata.truncation = true;
                self.written_bare(cut)
            }
            Err(_) => self.written_bare(self.head(ResponseCode::ServFail)),
        }
    }

    /// A message without records always goes out.
    fn written_bare(&self, message: Message) -> WrittenReply {
        let bytes = message.to_vec().unwrap_or_else(|_| {
            let code = ResponseCode::ServFail;
            Misasked::Answered { id: self.id, opcode: 0, code }.to_bytes().unwrap_or_default()
        });
        written(&message, bytes)
    }

    fn head(&self, code: ResponseCode) -> Message {
        let mut message = Message::response(self.id, OpCode::Query);
        message.metadata.recursion_desired = self.recursion_desired;
        message.metadata.recursion_available = true;
        message.metadata.checking_disabled = self.checking_disabled;
        message.metadata.response_code = code;
        message.add_query(self.question.clone());
        if let Some(AskedEdns { dnssec_ok, .. }) = self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_UDP).set_dnssec_ok(dnssec_ok);
            message.set_edns(edns);
        }
        message
    }

    /// The name as the client spelt it: some spell it at random, and look whether it comes back the same.
    fn as_asked(&self, record: &Record) -> Record {
        let mut record = record.clone();
        if record.name == self.question.name {
            record.name = self.question.name.clone();
        }
        record
    }
}

/// The id and the opcode of a query; noise is what is too short for a header, and what is an answer.
fn query_head(message: &[u8]) -> Result<(u16, u8), Misasked> {
    match message {
        [high, low, flags, ..] if message.len() >= HEADER && flags & 0x80 == 0 => {
            Ok((u16::from_be_bytes([*high, *low]), flags >> 3 & 0xf))
        }
        _ => Err(Misasked::Noise),
    }
}

fn written(message: &Message, bytes: Vec<u8>) -> WrittenReply {
    WrittenReply { bytes, code: message.metadata.response_code, flags: flags_of(&message.metadata) }
}

fn flags_of(head: &Metadata) -> Cow<'static, str> {
    let flags = [
        (head.message_type == MessageType::Response, "qr"),
        (head.authoritative, "aa"),
        (head.truncation, "tc"),
        (head.recursion_desired, "rd"),
        (head.recursion_available, "ra"),
        (head.authentic_data, "ad"),
        (head.checking_disabled, "cd"),
    ];
    match flags.map(|(is_set, _)| is_set) {
        [true, false, false, true, true, false, false] => Cow::Borrowed("qr,rd,ra"),
        _ => flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect::<Vec<_>>().join(",").into(),
    }
}

/// `AAAA`
pub fn kind_name(kind: RecordType) -> Cow<'static, str> {
    match kind {
        RecordType::Unknown(_) => kind.to_string().into(),
        kind => <&'static str>::from(kind).into(),
    }
}

/// `IN`
pub fn class_name(class: DNSClass) -> Cow<'static, str> {
    match class {
        DNSClass::IN => "IN".into(),
        class => class.to_string().into(),
    }
}

/// `NOERROR`, as other name servers' logs write it.
pub fn code_name(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::BADVERS => "BADVERS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::RData;
    use std::net::IpAddr;

    fn asked(name: &str, kind: RecordType) -> Message {
        let mut message = Message::new(0xbeef, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    }

    fn addresses(name: &str, count: u8) -> DnsReply {
        let record = |last| {
            let addr = IpAddr::from([192, 0, 2, last]);
            Record::from_rdata(Name::from_ascii(name).unwrap(), 60, RData::from(addr))
        };
        DnsReply { answers: (0..count).map(record).collect(), ..DnsReply::default() }
    }

    #[test]
    fn what_is_no_question() {
        let check = |message: &[u8], expected: Misasked| {
            assert_eq!(DnsQuery::read(message), Err(expected), "{}", message.escape_ascii());
        };
        let answered = |opcode, code| Misasked::Answered { id: 0xbeef, opcode, code };
        let head = |flags: u8, questions: u8| [0xbe, 0xef, flags, 0, 0, questions, 0, 0, 0, 0, 0, 0];
        check(b"", Misasked::Noise);
        check(&head(0, 1)[..11], Misasked::Noise);
        check(&head(0x80, 1), Misasked::Noise);
        check(&head(5 << 3, 1), answered(5, ResponseCode::NotImp));
        check(&head(0, 0), answered(0, ResponseCode::FormErr));
        check(&head(0, 2), answered(0, ResponseCode::FormErr));
        check(&[0xbe, 0xef, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0], answered(0, ResponseCode::FormErr));
        let question = |name: &[u8]| [&head(0, 1), name, &[0, 1, 0, 1]].concat();
        // A pointer to itself, two that point at each other, one to nowhere, and a label that is cut.
        check(&question(&[0xc0, 12]), answered(0, ResponseCode::FormErr));
        check(&question(&[0xc0, 14, 0xc0, 12]), answered(0, ResponseCode::FormErr));
        check(&question(&[0xc3, 0xff]), answered(0, ResponseCode::FormErr));
        check(&question(&[63, b'a', 0]), answered(0, ResponseCode::FormErr));
        check(&question(&[0x40, b'a', 0]), answered(0, ResponseCode::FormErr));
    }

    #[test]
    fn the_answer_spells_the_name_as_the_question_did() {
        let query = DnsQuery::read(&asked("oK.tEsT.", RecordType::A).to_vec().unwrap()).unwrap();
        let written = query.write(&addresses("ok.test.", 1), 512);
        assert_eq!((written.code, &*written.flags), (ResponseCode::NoError, "qr,rd,ra"));
        let answer = Message::from_vec(&written.bytes).unwrap();
        assert_eq!((answer.metadata.id, answer.edns), (0xbeef, None));
        for name in [&answer.queries[0].name, &answer.answers[0].name] {
            assert!(name.eq_case(&Name::from_ascii("oK.tEsT.").unwrap()), "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_is_asked_for_by_tcp() {
        let mut message = asked("ok.test.", RecordType::A);
        let plain = DnsQuery::read(&message.to_vec().unwrap()).unwrap();
        let mut edns = Edns::new();
        edns.set_max_payload(4096).set_dnssec_ok(true);
        message.set_edns(edns);
        let extended = DnsQuery::read(&message.to_vec().unwrap()).unwrap();
        assert_eq!((plain.udp_limit(), extended.udp_limit()), (512, 1232));
        let reply = addresses("ok.test.", 60);
        for query in [&plain, &extended] {
            let written = query.write(&reply, query.udp_limit().min(900));
            let answer = Message::from_vec(&written.bytes).unwrap();
            assert!(answer.metadata.truncation && answer.answers.is_empty() && written.flags.contains("tc"));
            let whole = query.write(&reply, 65_535);
            assert_eq!(Message::from_vec(&whole.bytes).unwrap().answers.len(), 60);
        }
        let answer = Message::from_vec(&extended.write(&reply, 65_535).bytes).unwrap();
        let edns = answer.edns.expect("EDNS is answered with EDNS");
        assert_eq!((edns.max_payload(), edns.flags().dnssec_ok), (1232, true));
    }
}
