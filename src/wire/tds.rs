//! TDS, what SQL Server's clients speak (MS-TDS 2.2.3, 2.2.6.5): the pre-login that either side begins with, and the
//! ClientHello that the client sends after it, in packets of the same type.
//!
//! Nothing behind the hello is read: from there on it is TLS. TDS 8.0 begins with TLS and never comes here.

use std::ops::Range;

use super::ParseError;
use super::client_hello::{self, ClientHello, HelloError};
use crate::flow::Reason;

/// The types of packets: a client's pre-login, which carries either side's TLS handshake as well; a server's answer.
pub const PRE_LOGIN: u8 = 0x12;
const ANSWER: u8 = 0x04;

/// The most bytes that a packet may take, and a whole pre-login, which is about 100 bytes.
pub const MAX_PACKET: usize = 32_767;
pub const MAX_PRE_LOGIN: usize = MAX_PACKET;

const HEADER: usize = 8;

/// The last packet of its message. The other bits of a status ask to ignore the message or to reset a session: what
/// one reader ignores and another does not has no place before a login.
const END_OF_MESSAGE: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TdsError {
    #[error("not a TDS pre-login")]
    NotTds,
    #[error("the TDS pre-login is longer than 32 767 bytes")]
    TooLarge,
    #[error("what follows the TDS pre-login is no TLS handshake in TDS packets")]
    NotTls,
    #[error("{0}")]
    Hello(HelloError),
}

impl TdsError {
    pub fn reason(self) -> Reason {
        match self {
            TdsError::NotTds => Reason::NotTds,
            TdsError::TooLarge => Reason::HelloTooLarge,
            TdsError::NotTls | TdsError::Hello(HelloError::NotTls) => Reason::BadHello,
            TdsError::Hello(error) => error.reason(),
        }
    }
}

/// What a client wants to be encrypted, or a server decides on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// The login alone.
    Off,
    /// All of it.
    On,
    /// Nothing: no TLS follows.
    NotSupported,
    /// All of it, or no connection.
    Required,
}

/// What a pre-login says that has a bearing on what follows it. An option that is not there says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreLogin {
    pub encryption: Encryption,
    /// Several requests at once on one connection, in a framing of their own after the login.
    pub mars: bool,
    /// The client can log in by a token of Microsoft Entra ID; the server wants one.
    pub federated: bool,
    /// Where the byte of the encryption is, from the first packet's first byte.
    encryption_at: Option<usize>,
}

/// A client's pre-login, and how many bytes it took.
pub fn pre_login(bytes: &[u8]) -> Result<(PreLogin, usize), ParseError<TdsError>> {
    PreLoginReader::of_client().read(bytes)
}

/// A server's answer, and how many bytes it took.
pub fn pre_login_answer(bytes: &[u8]) -> Result<(PreLogin, usize), ParseError<TdsError>> {
    PreLoginReader::of_server().read(bytes)
}

/// Reads a pre-login as its segments come: whole packets are not looked at again when the next segment is there, or the
/// cost of one in small packets would grow with the square of its size.
#[derive(Debug, Clone)]
pub struct PreLoginReader {
    kinds: &'static [u8],
    /// The packets are whole up to here, and none of them is the last.
    at: usize,
}

impl PreLoginReader {
    pub fn of_client() -> PreLoginReader {
        PreLoginReader { kinds: &[PRE_LOGIN], at: 0 }
    }

    pub fn of_server() -> PreLoginReader {
        PreLoginReader { kinds: &[ANSWER], at: 0 }
    }

    /// The same as [`pre_login`] or [`pre_login_answer`] of these bytes, which begin with those of the calls before.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(PreLogin, usize), ParseError<TdsError>> {
        loop {
            let packet = packet(bytes, self.at, self.kinds)?;
            if packet.end > MAX_PRE_LOGIN {
                return Err(TdsError::TooLarge.into());
            }
            if bytes.len() < packet.end {
                return Err(ParseError::Incomplete);
            }
            if packet.ends_message {
                return Ok((read_options(bytes.get(..packet.end).unwrap_or(bytes), self.kinds)?, packet.end));
            }
            self.at = packet.end;
        }
    }
}

/// The tokens of options; the table of them ends with [`TERMINATOR`].
const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;
const THREAD_ID: u8 = 3;
const MARS: u8 = 4;
const FEDERATED: u8 = 6;
const TERMINATOR: u8 = 0xff;

/// Bytes of one entry of the table: token, offset, length.
const ENTRY: usize = 5;

fn read_options(packets: &[u8], kinds: &'static [u8]) -> Result<PreLogin, TdsError> {
    let message = content(packets, kinds).content;
    let mut read =
        PreLogin { encryption: Encryption::NotSupported, mars: false, federated: false, encryption_at: None };
    for (token, place) in options(&message)? {
        match (token, message.get(place.clone()).unwrap_or_default()) {
            (ENCRYPTION, [value]) => {
                read.encryption = encryption(*value)?;
                read.encryption_at = holder(packets, kinds, place.start).map(|(packet, at)| packet.start + at);
            }
            (ENCRYPTION, _) => return Err(TdsError::NotTds),
            (MARS, [value, ..]) => read.mars = *value != 0,
            (FEDERATED, [value, ..]) => read.federated = *value != 0,
            _ => {}
        }
    }
    Ok(read)
}

/// The table of a pre-login: tokens, and where their values are in the message. Each value has its bytes for itself, behind
/// the table: the encryption's is written anew, and nothing else may be read in it.
fn options(message: &[u8]) -> Result<Vec<(u8, Range<usize>)>, TdsError> {
    let mut options: Vec<(u8, Range<usize>)> = Vec::with_capacity(8);
    let mut table = message;
    // The version comes first and has to be there.
    if table.first() != Some(&VERSION) {
        return Err(TdsError::NotTds);
    }
    while table.first() != Some(&TERMINATOR) {
        let (&[token, high, low, length_high, length_low], rest) =
            table.split_first_chunk::<ENTRY>().ok_or(TdsError::NotTds)?;
        table = rest;
        let at = usize::from(u16::from_be_bytes([high, low]));
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        if options.iter().any(|(known, _)| *known == token) || at + length > message.len() {
            return Err(TdsError::NotTds);
        }
        options.push((token, at..at + length));
    }
    let table_end = message.len() - table.len() + 1;
    let mut places: Vec<&Range<usize>> = options.iter().map(|(_, place)| place).filter(|it| !it.is_empty()).collect();
    places.sort_unstable_by_key(|place| place.start);
    let apart = places.is_sorted_by(|one, other| one.end <= other.start);
    if !apart || places.first().is_some_and(|first| first.start < table_end) {
        return Err(TdsError::NotTds);
    }
    Ok(options)
}

/// The highest bit is of a login by certificate, which changes nothing about the rest.
const BY_CERTIFICATE: u8 = 0x80;

fn encryption(value: u8) -> Result<Encryption, TdsError> {
    match value & !BY_CERTIFICATE {
        0 => Ok(Encryption::Off),
        1 => Ok(Encryption::On),
        2 => Ok(Encryption::NotSupported),
        3 => Ok(Encryption::Required),
        _ => Err(TdsError::NotTds),
    }
}

impl PreLogin {
    /// The same pre-login, which `packets` are, asking for everything to be encrypted. One that asks for that already
    /// stays as it is.
    pub fn demand_encryption(&self, packets: &mut [u8]) {
        let value = self.encryption_at.and_then(|at| packets.get_mut(at));
        if let (Encryption::Off, Some(value)) = (self.encryption, value) {
            *value |= 1;
        }
    }

    /// A server's answer, by which everything is encrypted and what else the client asks for is granted.
    ///
    /// It has what a SQL Server of the client's own answers: clients look for more than the encryption.
    #[cfg_attr(not(test), expect(clippy::expect_used, reason = "what is written here is short, whatever was asked"))]
    pub fn answer(&self) -> Vec<u8> {
        let encryption = if self.encryption == Encryption::Off { 3 } else { 1 };
        let mars = [u8::from(self.mars)];
        let mut options: Vec<(u8, &[u8])> =
            vec![(VERSION, &ANSWERED_VERSION), (ENCRYPTION, std::slice::from_ref(&encryption)), (INSTANCE, &[0])];
        options.extend([(THREAD_ID, &[][..]), (MARS, &mars)]);
        // Who was not asked may not say it.
        if self.federated {
            options.push((FEDERATED, &[1]));
        }
        let message = message(&options);
        let length = u16::try_from(HEADER + message.len()).expect("six options are short");
        [&[ANSWER, END_OF_MESSAGE], &length.to_be_bytes()[..], &[0, 0, 1, 0], &message].concat()
    }
}

/// Azure SQL Database says 12.0.2000 of itself, whatever it is.
const ANSWERED_VERSION: [u8; 6] = [12, 0, 0x07, 0xd0, 0, 0];

#[cfg_attr(not(test), expect(clippy::expect_used, reason = "what is written here is short, whatever was asked"))]
fn message(options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut at = options.len() * ENTRY + 1;
    let (mut table, mut values) = (Vec::new(), Vec::new());
    for (token, value) in options {
        let place = [at, value.len()].map(|number| u16::try_from(number).expect("six options are short").to_be_bytes());
        table.push(*token);
        table.extend(place.as_flattened());
        values.extend(*value);
        at += value.len();
    }
    table.push(TERMINATOR);
    [table, values].concat()
}

/// The ClientHello that a client sends in packets once its pre-login was answered. Nothing may follow it in its last
/// packet: behind a hello the server's answer comes first.
pub fn hello(bytes: &[u8]) -> Result<ClientHello, ParseError<TdsError>> {
    HelloReader::default().read(bytes)
}

/// Reads such a hello as its segments come: what was looked at is not looked at again.
#[derive(Debug, Clone)]
pub struct HelloReader {
    records: Unpacked,
    hello: client_hello::HelloReader,
}

impl Default for HelloReader {
    fn default() -> Self {
        HelloReader { records: Unpacked::of(&[PRE_LOGIN]), hello: client_hello::HelloReader::default() }
    }
}

impl HelloReader {
    /// The same as [`hello`] of these bytes, which begin with those of the calls before.
    pub fn read(&mut self, bytes: &[u8]) -> Result<ClientHello, ParseError<TdsError>> {
        self.records.read(bytes);
        match self.hello.read(self.records.content()) {
            Ok(_) if hello_length(bytes).is_none() => Err(TdsError::NotTls.into()),
            Ok(hello) => Ok(hello),
            Err(ParseError::Invalid(error)) => Err(TdsError::Hello(error).into()),
            Err(ParseError::Incomplete) if self.records.is_broken() => Err(TdsError::NotTls.into()),
            Err(ParseError::Incomplete) => Err(ParseError::Incomplete),
        }
    }
}

/// How many bytes the packets of a hello are; `None` where there is none that ends with its packet.
pub fn hello_length(bytes: &[u8]) -> Option<usize> {
    let length = client_hello::wire_length(&content(bytes, &[PRE_LOGIN]).content)?;
    let (packet, at) = holder(bytes, &[PRE_LOGIN], length - 1)?;
    (packet.start + at + 1 == packet.end).then_some(packet.end)
}

/// What is in packets, taken out of them as they come.
#[derive(Debug, Clone)]
pub struct Unpacked {
    kinds: &'static [u8],
    /// The packets are whole up to here.
    at: usize,
    content: Vec<u8>,
    /// How much of `content` is of the next packet.
    of_next: usize,
    broken: bool,
}

impl Unpacked {
    /// TLS records in packets of a handshake, whoever sent them.
    pub fn of_either() -> Unpacked {
        Unpacked::of(&[PRE_LOGIN, ANSWER])
    }

    fn of(kinds: &'static [u8]) -> Unpacked {
        Unpacked { kinds, at: 0, content: Vec::new(), of_next: 0, broken: false }
    }

    /// What is in the packets, and in as much of the next one as is there.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// What follows is no packet: no more content comes.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// `bytes` begin with those of the calls before.
    pub fn read(&mut self, bytes: &[u8]) {
        loop {
            let packet = match packet(bytes, self.at, self.kinds) {
                Ok(packet) => packet,
                Err(error) => {
                    self.broken = error != ParseError::Incomplete;
                    return;
                }
            };
            let part = bytes.get(packet.start + self.of_next..packet.end.min(bytes.len())).unwrap_or_default();
            self.content.extend_from_slice(part);
            if bytes.len() < packet.end {
                self.of_next += part.len();
                return;
            }
            (self.at, self.of_next) = (packet.end, 0);
        }
    }
}

fn content(bytes: &[u8], kinds: &'static [u8]) -> Unpacked {
    let mut unpacked = Unpacked::of(kinds);
    unpacked.read(bytes);
    unpacked
}

/// One packet, of which the header is there.
struct Packet {
    /// Behind the header.
    start: usize,
    end: usize,
    ends_message: bool,
}

/// Reads the header of the packet at `at`, byte by byte as they are there.
fn packet(bytes: &[u8], at: usize, kinds: &[u8]) -> Result<Packet, ParseError<TdsError>> {
    let header = bytes.get(at..).unwrap_or_default();
    let other_kind = header.first().is_some_and(|kind| !kinds.contains(kind));
    if other_kind || header.get(1).is_some_and(|status| *status > END_OF_MESSAGE) {
        return Err(TdsError::NotTds.into());
    }
    let &[_, _, high, low, ..] = header else { return Err(ParseError::Incomplete) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    // An empty packet says nothing, and there would be no end of them.
    if !(HEADER + 1..=MAX_PACKET).contains(&length) {
        return Err(TdsError::NotTds.into());
    }
    let &[_, status, _, _, _, _, _, _, ..] = header else { return Err(ParseError::Incomplete) };
    Ok(Packet { start: at + HEADER, end: at + length, ends_message: status == END_OF_MESSAGE })
}

/// The packet that holds this byte of the content, and which of its bytes that is.
fn holder(bytes: &[u8], kinds: &[u8], mut offset: usize) -> Option<(Packet, usize)> {
    let mut at = 0;
    loop {
        let packet = packet(bytes, at, kinds).ok()?;
        let size = packet.end - packet.start;
        if offset < size {
            return Some((packet, offset));
        }
        offset -= size;
        at = packet.end;
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the messages made here are short")]
mod tests {
    use proptest::prelude::*;

    use super::TdsError::{Hello, NotTds, NotTls, TooLarge};
    use super::*;

    /// A message in packets of so many bytes of content.
    fn packets(kind: u8, message: &[u8], size: usize) -> Vec<u8> {
        let count = message.len().div_ceil(size);
        let packet = |(index, part): (usize, &[u8])| {
            let [high, low] = ((HEADER + part.len()) as u16).to_be_bytes();
            [&[kind, u8::from(index + 1 == count), high, low, 0, 0, index as u8, 0], part].concat()
        };
        message.chunks(size).enumerate().flat_map(packet).collect()
    }

    /// What a .NET client sends, with this encryption.
    fn asked(encryption: u8) -> Vec<u8> {
        message(&[
            (VERSION, &[5, 1, 0, 0, 0, 0]),
            (ENCRYPTION, &[encryption]),
            (INSTANCE, b"MSSQLServer\0"),
            (THREAD_ID, &[0, 0, 9, 7]),
            (MARS, &[0]),
            (5, &[7; 36]),
            (FEDERATED, &[1]),
        ])
    }

    fn vector16(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u16).to_be_bytes(), body].concat()
    }

    /// A ClientHello for this name, in one record.
    fn client_hello(name: &[u8]) -> Vec<u8> {
        let list = vector16(&[&[0][..], &vector16(name)].concat());
        let extensions = vector16(&[&[0, 0][..], &vector16(&list)].concat());
        let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &extensions].concat();
        let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
        [&[22, 3, 1][..], &vector16(&message)].concat()
    }

    fn check_encryption(value: u8, expected: Result<Encryption, TdsError>) {
        let read = pre_login(&packets(PRE_LOGIN, &asked(value), 4096));
        assert_eq!(read.map(|(read, _)| read.encryption), expected.map_err(ParseError::Invalid), "{value}");
    }

    #[test]
    fn encryptions() {
        check_encryption(0, Ok(Encryption::Off));
        check_encryption(1, Ok(Encryption::On));
        check_encryption(2, Ok(Encryption::NotSupported));
        check_encryption(3, Ok(Encryption::Required));
        check_encryption(0x81, Ok(Encryption::On));
        check_encryption(4, Err(NotTds));
        check_encryption(0x12, Err(NotTds));
    }

    #[test]
    fn a_pre_login_in_many_packets() {
        for size in [1, 2, 30, 37, 4096] {
            let whole = packets(PRE_LOGIN, &asked(0), size);
            let (read, length) = pre_login(&[&whole[..], b"behind it"].concat()).unwrap();
            assert_eq!(
                (length, read.encryption, read.mars, read.federated),
                (whole.len(), Encryption::Off, false, true)
            );
            assert!((0..whole.len()).all(|cut| pre_login(&whole[..cut]) == Err(ParseError::Incomplete)));
            let mut demanding = whole.clone();
            read.demand_encryption(&mut demanding);
            assert_eq!(demanding, packets(PRE_LOGIN, &asked(1), size));
        }
    }

    #[test]
    fn a_pre_login_that_demands_encryption_stays_as_it_is() {
        for value in [1, 2, 3, 0x83] {
            let whole = packets(PRE_LOGIN, &asked(value), 4096);
            let mut demanding = whole.clone();
            pre_login(&whole).unwrap().0.demand_encryption(&mut demanding);
            assert_eq!(demanding, whole);
        }
    }

    #[test]
    fn without_an_encryption_nothing_is_encrypted() {
        let (read, _) = pre_login(&packets(PRE_LOGIN, &message(&[(VERSION, &[0; 6])]), 4096)).unwrap();
        assert_eq!(read.encryption, Encryption::NotSupported);
    }

    fn check_refused(bytes: &[u8], expected: TdsError) {
        assert_eq!(pre_login(bytes), Err(ParseError::Invalid(expected)), "{}", bytes.escape_ascii());
    }

    #[test]
    fn what_is_no_pre_login() {
        let options = |options: &[(u8, &[u8])]| packets(PRE_LOGIN, &message(options), 4096);
        let version: (u8, &[u8]) = (VERSION, &[0; 6]);
        check_refused(&[4], NotTds);
        check_refused(&[0x12, 2], NotTds);
        check_refused(&[0x12, 1, 0, 8], NotTds);
        check_refused(&[0x12, 1, 0x80, 0], NotTds);
        check_refused(&options(&[]), NotTds);
        check_refused(&options(&[(ENCRYPTION, &[1]), version]), NotTds);
        check_refused(&options(&[version, version]), NotTds);
        check_refused(&options(&[version, (ENCRYPTION, &[1]), (ENCRYPTION, &[0])]), NotTds);
        check_refused(&options(&[version, (ENCRYPTION, &[])]), NotTds);
        check_refused(&options(&[version, (ENCRYPTION, &[1, 0])]), NotTds);
        check_refused(&packets(PRE_LOGIN, &[0, 0, 11, 0, 1, 0xff], 4096), NotTds);
        check_refused(&packets(PRE_LOGIN, &[0, 0, 0, 0, 0], 4096), NotTds);
        check_refused(&packets(PRE_LOGIN, &[0, 0, 0, 0, 0, 1, 0], 4096), NotTds);
        let long = packets(PRE_LOGIN, &[0; 40_000], 4096);
        check_refused(&long, TooLarge);
    }

    /// Demanding encryption would change what else those bytes say, and leave the server to read another wish.
    #[test]
    fn an_encryption_that_is_something_else_as_well() {
        let apart = [0, 0, 11, 0, 1, 1, 0, 12, 0, 1, 0xff, 5, 0];
        assert!(pre_login(&packets(PRE_LOGIN, &apart, 4096)).is_ok());
        let in_the_table = [0, 0, 11, 0, 1, 1, 0, 1, 0, 1, 0xff, 5];
        check_refused(&packets(PRE_LOGIN, &in_the_table, 4096), NotTds);
        let in_the_version = [0, 0, 11, 0, 2, 1, 0, 12, 0, 1, 0xff, 5, 0];
        check_refused(&packets(PRE_LOGIN, &in_the_version, 4096), NotTds);
    }

    #[test]
    fn what_is_answered() {
        let check = |value: u8, mars: u8, federated: &[u8], expected: &[(u8, &[u8])]| {
            let mut options: Vec<(u8, &[u8])> = vec![(VERSION, &[0; 6]), (ENCRYPTION, std::slice::from_ref(&value))];
            options.extend([(MARS, std::slice::from_ref(&mars)), (FEDERATED, federated)]);
            let (read, _) = pre_login(&packets(PRE_LOGIN, &message(&options), 4096)).unwrap();
            let expected = [&[(VERSION, &ANSWERED_VERSION[..])], expected].concat();
            assert_eq!(read.answer()[HEADER..], message(&expected));
        };
        let (instance, thread) = ((INSTANCE, [0].as_slice()), (THREAD_ID, [].as_slice()));
        check(0, 0, &[], &[(ENCRYPTION, &[3]), instance, thread, (MARS, &[0])]);
        check(1, 1, &[], &[(ENCRYPTION, &[1]), instance, thread, (MARS, &[1])]);
        check(3, 0, &[1], &[(ENCRYPTION, &[1]), instance, thread, (MARS, &[0]), (FEDERATED, &[1])]);
        let (read, _) = pre_login(&packets(PRE_LOGIN, &asked(0), 4096)).unwrap();
        let answer = read.answer();
        let (given, length) = pre_login_answer(&answer).unwrap();
        assert_eq!((given.encryption, given.federated, length), (Encryption::Required, true, answer.len()));
        assert_eq!(pre_login(&answer), Err(NotTds.into()));
    }

    fn sni(bytes: &[u8]) -> Result<Option<String>, ParseError<TdsError>> {
        hello(bytes).map(|hello| hello.sni.map(|name| name.to_string()))
    }

    #[test]
    fn a_hello_in_packets() {
        let records = client_hello(b"ok.test");
        for size in [1, 3, 5, 50, 4096] {
            let whole = packets(PRE_LOGIN, &records, size);
            assert_eq!(sni(&whole), Ok(Some("ok.test".to_owned())), "{size}");
            assert_eq!(hello_length(&whole), Some(whole.len()));
            assert!((0..whole.len()).all(|cut| hello(&whole[..cut]) == Err(ParseError::Incomplete)), "{size}");
            let followed = [&whole[..], b"anything"].concat();
            assert_eq!((sni(&followed), hello_length(&followed)), (sni(&whole), Some(whole.len())));
        }
    }

    /// Seen by what would happen if they were: by then something else is there.
    #[test]
    fn what_was_unpacked_is_not_looked_at_again() {
        let bytes = packets(PRE_LOGIN, &client_hello(b"ok.test"), 10);
        let mut reader = HelloReader::default();
        assert_eq!(reader.read(&bytes[..50]), Err(ParseError::Incomplete));
        let mut changed = bytes[..bytes.len() - 1].to_vec();
        changed[..50].fill(0);
        assert_eq!(hello(&changed), Err(NotTls.into()));
        changed[36..50].copy_from_slice(&bytes[36..50]);
        assert_eq!(reader.read(&changed), Err(ParseError::Incomplete));
    }

    #[test]
    fn what_was_read_of_a_pre_login_is_not_looked_at_again() {
        for (kind, mut reader) in [(PRE_LOGIN, PreLoginReader::of_client()), (ANSWER, PreLoginReader::of_server())] {
            let whole = packets(kind, &asked(1), 10);
            let bytes = &whole[..whole.len() - 1];
            assert_eq!(reader.read(&bytes[..50]), Err(ParseError::Incomplete));
            let mut changed = bytes.to_vec();
            changed[..36].fill(0xff);
            assert_eq!([pre_login(&changed), pre_login_answer(&changed)], [Err(NotTds.into()); 2]);
            assert_eq!(reader.read(&changed), Err(ParseError::Incomplete));
            assert!(reader.read(&whole).is_ok());
        }
    }

    #[test]
    fn what_is_no_hello() {
        let check = |bytes: &[u8], expected: TdsError| assert_eq!(hello(bytes), Err(expected.into()), "{bytes:?}");
        let records = client_hello(b"ok.test");
        // A login in the clear, and a hello without packets.
        check(&packets(0x10, &records, 4096), NotTls);
        check(&records, NotTls);
        check(&packets(PRE_LOGIN, b"GET / HTTP/1.1", 4096), Hello(HelloError::NotTls));
        check(&packets(PRE_LOGIN, &client_hello(b"127.0.0.1"), 4096), Hello(HelloError::BadSni));
        let (one, two) = records.split_at(20);
        check(&[packets(PRE_LOGIN, one, 4096), packets(ANSWER, two, 4096)].concat(), NotTls);
        // A second hello in the packet of the first.
        check(&packets(PRE_LOGIN, &[&records[..], &client_hello(b"evil.test")].concat(), 4096), NotTls);
        check(&packets(PRE_LOGIN, &[&records[..], &[20]].concat(), 50), NotTls);
    }

    #[test]
    fn records_of_either_side() {
        let check = |bytes: &[u8], content: &[u8], broken: bool| {
            let (mut whole, mut pieces) = (Unpacked::of_either(), Unpacked::of_either());
            whole.read(bytes);
            (0..=bytes.len()).for_each(|there| pieces.read(&bytes[..there]));
            for read in [whole, pieces] {
                assert_eq!((read.content(), read.is_broken()), (content, broken), "{bytes:?}");
            }
        };
        check(&[], &[], false);
        check(&[4, 1, 0], &[], false);
        check(&[18, 1, 0, 10, 0, 0, 0, 0, 22], &[22], false);
        check(&[4, 0, 0, 9, 0, 0, 0, 0, 22, 18, 1, 0, 9, 0, 0, 0, 0, 3], &[22, 3], false);
        check(&[4, 0, 0, 9, 0, 0, 0, 0, 22, 22, 3], &[22], true);
    }

    proptest! {
        #[test]
        fn verdict_does_not_depend_on_the_packets(size in 1usize..300, cut in 1usize..300, flip: u8, at in 0usize..68) {
            let mut message = client_hello(b"ok.test");
            message[at] ^= flip;
            prop_assert_eq!(hello(&packets(PRE_LOGIN, &message, size)), hello(&packets(PRE_LOGIN, &message, cut)));
        }

        #[test]
        fn verdict_does_not_depend_on_the_segments(size in 1usize..100, at in any::<prop::sample::Index>(), flip: u8) {
            for (mut bytes, parse) in [
                (packets(PRE_LOGIN, &asked(1), size), (|bytes| pre_login(bytes).map(|_| ())) as fn(&[u8]) -> _),
                (packets(PRE_LOGIN, &client_hello(b"ok.test"), size), |bytes| hello(bytes).map(|_| ())),
            ] {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
                let whole = parse(&bytes);
                for cut in 0..bytes.len() {
                    let part = parse(&bytes[..cut]);
                    prop_assert!(part == Err(ParseError::Incomplete) || part == whole, "{}: {:?}", cut, part);
                }
            }
        }

        #[test]
        fn segments_are_read_as_the_whole_is(
            size in 1usize..100,
            step in 1usize..40,
            at in any::<prop::sample::Index>(),
            flip: u8,
        ) {
            let mut bytes = packets(PRE_LOGIN, &client_hello(b"ok.test"), size);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let mut reader = HelloReader::default();
            for there in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
                prop_assert_eq!(reader.read(&bytes[..there]), hello(&bytes[..there]), "{}", there);
            }
        }

        #[test]
        fn segments_of_a_pre_login_are_read_as_the_whole_is(
            kind in prop::sample::select(vec![PRE_LOGIN, ANSWER]),
            size in 1usize..100,
            step in 1usize..40,
            at in any::<prop::sample::Index>(),
            flip: u8,
        ) {
            let mut bytes = packets(kind, &asked(1), size);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let (mut client, mut server) = (PreLoginReader::of_client(), PreLoginReader::of_server());
            // Once more when it is read, and with something behind it.
            let followed = [&bytes[..], &bytes].concat();
            for there in (0..bytes.len()).step_by(step).chain([bytes.len(), bytes.len(), followed.len()]) {
                prop_assert_eq!(client.read(&followed[..there]), pre_login(&followed[..there]), "{}", there);
                prop_assert_eq!(server.read(&followed[..there]), pre_login_answer(&followed[..there]), "{}", there);
            }
        }

        #[test]
        fn noise_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = pre_login(&packets(PRE_LOGIN, &[&[0], &bytes[..]].concat(), 100));
            let _ = hello(&packets(PRE_LOGIN, &bytes, 100));
            let _ = (pre_login(&bytes), hello(&bytes));
            Unpacked::of_either().read(&bytes);
        }
    }
}
