//! The TLS ClientHello: which server a client asks for, read without taking part in the handshake.
//!
//! RFC 8446 section 4.1.2, RFC 6066 section 3 (SNI), RFC 7301 (ALPN), RFC 9849 (ECH). Only what a filter
//! decides by is kept. What a server would refuse is refused here as well, because two readers of one hello
//! that disagree about its SNI are a way round the policy.

use std::borrow::Cow;
use std::net::IpAddr;

use super::ParseError;
use crate::flow::{HostName, Reason};

/// The longest ClientHello, in bytes of the handshake message without its 4-byte header. A post-quantum hello
/// takes about 1.7 KiB; hellos with many tickets and key shares were seen at 16 KiB.
pub const MAX_HELLO: usize = 64 * 1024;

/// The most bytes that a hello may take on the wire, with its record headers: what a caller has to buffer.
///
/// A hello cut into records of one byte is six times its size, so the bound refuses what is both long and cut
/// fine: any hello up to 21 KiB passes however it is cut, one of [`MAX_HELLO`] in records of six bytes or more.
pub const MAX_HELLO_WIRE: usize = 2 * MAX_HELLO;

/// What a ClientHello says that matters to a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name, `None` if the client sent none. A trailing dot, which RFC 6066 forbids but clients
    /// send, is dropped.
    pub sni: Option<HostName>,
    /// An `encrypted_client_hello` of type *outer* is there, so `sni` may be a front for another name.
    ///
    /// Browsers send a random one (GREASE ECH, RFC 9849 section 6.2) where they have no key. That is meant to
    /// look like the real thing and does: whether to believe it is for the caller to decide.
    pub ech: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    #[error("the first bytes are not a TLS ClientHello")]
    NotTls,
    #[error("the ClientHello is longer than 64 KiB, or cut into too many records")]
    TooLarge,
    #[error("the ClientHello is malformed")]
    Malformed,
    #[error("the server name is no host name")]
    BadSni,
}

impl HelloError {
    pub fn reason(self) -> Reason {
        match self {
            HelloError::NotTls => Reason::NotTls,
            HelloError::TooLarge => Reason::HelloTooLarge,
            HelloError::Malformed => Reason::BadHello,
            HelloError::BadSni => Reason::BadSni,
        }
    }
}

/// Reads the ClientHello that a TLS connection starts with. Bytes after it are not looked at. A hello in one record is
/// read in place.
pub fn parse(bytes: &[u8]) -> Result<ClientHello, ParseError<HelloError>> {
    HelloReader::default().read(bytes)
}

/// How many of the bytes are the hello's, with the headers of its records; `None` while it is incomplete.
pub fn wire_length(bytes: &[u8]) -> Option<usize> {
    HelloReader::default().reassemble(bytes).ok().map(|(_, length)| length)
}

/// Reads a hello that comes in segments: whole records are not looked at again when the next segment is there, or the
/// cost of one in small records would grow with the square of its size.
#[derive(Debug, Clone, Default)]
pub struct HelloReader {
    /// The hello's records are whole up to here.
    at: usize,
    /// What is in those records, in bytes.
    received: usize,
    header: HandshakeHeader,
}

const RECORD_HEADER: usize = 5;
const HANDSHAKE_HEADER: usize = 4;
/// RFC 8446 section 5.1.
const MAX_RECORD: usize = 1 << 14;
const CONTENT_HANDSHAKE: u8 = 22;
const TYPE_CLIENT_HELLO: u8 = 1;
const MAJOR_VERSION: u8 = 3;

impl HelloReader {
    /// The same as [`parse`] of these bytes, which begin with those of the calls before.
    pub fn read(&mut self, bytes: &[u8]) -> Result<ClientHello, ParseError<HelloError>> {
        let (message, _) = self.reassemble(bytes)?;
        Ok(parse_hello(&message)?)
    }

    /// The body of the first handshake message, in one piece, and where its last record ends.
    fn reassemble<'a>(&mut self, bytes: &'a [u8]) -> Result<(Cow<'a, [u8]>, usize), ParseError<HelloError>> {
        loop {
            let start = self.at + RECORD_HEADER;
            let end = start + record_length(bytes, self.at)?;
            let fragment = bytes.get(start..end.min(bytes.len())).unwrap_or_default();
            let received = self.received + (end - start);
            let header = self.header.filled(fragment)?;
            let hello = header.hello_length()?.map(|length| HANDSHAKE_HEADER + length);
            // Nothing may follow a ClientHello until the server has answered it.
            if hello.is_some_and(|hello| received > hello) {
                return Err(HelloError::Malformed.into());
            }
            if bytes.len() < end {
                return Err(ParseError::Incomplete);
            }
            if hello == Some(received) {
                let message = match self.at {
                    0 => Cow::Borrowed(fragment.get(HANDSHAKE_HEADER..).unwrap_or_default()),
                    _ => Cow::Owned(join(bytes.get(..end).unwrap_or(bytes), received)),
                };
                return Ok((message, end));
            }
            *self = HelloReader { at: end, received, header };
        }
    }
}

/// The first bytes of the handshake message, which may come from several records.
#[derive(Debug, Clone, Copy, Default)]
struct HandshakeHeader {
    bytes: [u8; HANDSHAKE_HEADER],
    have: usize,
}

impl HandshakeHeader {
    /// With what the next record brings.
    fn filled(mut self, fragment: &[u8]) -> Result<HandshakeHeader, HelloError> {
        for (place, byte) in self.bytes.iter_mut().skip(self.have).zip(fragment) {
            *place = *byte;
            self.have += 1;
        }
        let [kind, ..] = self.bytes;
        if self.have > 0 && kind != TYPE_CLIENT_HELLO {
            return Err(HelloError::NotTls);
        }
        Ok(self)
    }

    /// `None` until the header is whole.
    fn hello_length(&self) -> Result<Option<usize>, HelloError> {
        if self.have < HANDSHAKE_HEADER {
            return Ok(None);
        }
        let [_, high, middle, low] = self.bytes;
        match u32::from_be_bytes([0, high, middle, low]) as usize {
            length if length > MAX_HELLO => Err(HelloError::TooLarge),
            length => Ok(Some(length)),
        }
    }
}

/// Reads the record header at `at`, byte by byte as they are there, so that what is not TLS is told early.
fn record_length(bytes: &[u8], at: usize) -> Result<usize, ParseError<HelloError>> {
    let rest = bytes.get(at..).unwrap_or_default();
    let header = rest.get(..RECORD_HEADER).unwrap_or(rest);
    // A connection that started as TLS and goes on as something else is broken rather than not TLS.
    let foreign = if at == 0 { HelloError::NotTls } else { HelloError::Malformed };
    if header.first().is_some_and(|kind| *kind != CONTENT_HANDSHAKE) {
        return Err(foreign.into());
    }
    if header.get(1).is_some_and(|major| *major != MAJOR_VERSION) {
        return Err(foreign.into());
    }
    let &[_, _, _, high, low] = header else {
        return Err(ParseError::Incomplete);
    };
    match usize::from(u16::from_be_bytes([high, low])) {
        0 => Err(HelloError::Malformed.into()),
        length if length > MAX_RECORD => Err(HelloError::Malformed.into()),
        length if at + RECORD_HEADER + length > MAX_HELLO_WIRE => Err(HelloError::TooLarge.into()),
        length => Ok(length),
    }
}

/// Joins the fragments of whole records, so many bytes in all; without the handshake's header.
fn join(mut records: &[u8], received: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(received);
    while let [_, _, _, high, low, rest @ ..] = records {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (fragment, next) = rest.split_at(length);
        message.extend_from_slice(fragment);
        records = next;
    }
    message.drain(..HANDSHAKE_HEADER);
    message
}

fn parse_hello(message: &[u8]) -> Result<ClientHello, HelloError> {
    let mut hello = Reader(message);
    if hello.u16()? >> 8 != u16::from(MAJOR_VERSION) {
        return Err(HelloError::Malformed);
    }
    hello.take(32)?;
    let session_id = hello.vector8()?;
    let cipher_suites = hello.vector16()?;
    let compression = hello.vector8()?;
    if session_id.0.len() > 32 || cipher_suites.0.len() % 2 != 0 {
        return Err(HelloError::Malformed);
    }
    if cipher_suites.is_empty() || compression.is_empty() {
        return Err(HelloError::Malformed);
    }
    if hello.is_empty() {
        return Ok(ClientHello { sni: None, ech: false });
    }
    let extensions = hello.vector16()?;
    hello.end()?;
    parse_extensions(extensions)
}

const EXT_SERVER_NAME: u16 = 0;
const EXT_ALPN: u16 = 16;
const EXT_ECH: u16 = 0xfe0d;

/// Clients send about twenty. The bound keeps the search for duplicates short.
const MAX_EXTENSIONS: usize = 128;

fn parse_extensions(mut extensions: Reader<'_>) -> Result<ClientHello, HelloError> {
    let mut hello = ClientHello { sni: None, ech: false };
    let mut seen = [0u16; MAX_EXTENSIONS];
    let mut count = 0;
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let body = extensions.vector16()?;
        if seen.iter().take(count).any(|earlier| *earlier == kind) {
            return Err(HelloError::Malformed);
        }
        *seen.get_mut(count).ok_or(HelloError::Malformed)? = kind;
        count += 1;
        match kind {
            EXT_SERVER_NAME => hello.sni = Some(parse_server_name(body)?),
            EXT_ALPN => check_alpn(body)?,
            EXT_ECH => hello.ech = parse_ech(body)? == Ech::Outer,
            _ => {}
        }
    }
    Ok(hello)
}

/// RFC 6066 allows one name of each type and defines one type; as OpenSSL does, nothing else is accepted.
fn parse_server_name(mut body: Reader<'_>) -> Result<HostName, HelloError> {
    const HOST_NAME: u8 = 0;
    let mut list = body.vector16()?;
    body.end()?;
    let kind = list.u8()?;
    let name = list.vector16()?;
    list.end()?;
    if kind != HOST_NAME {
        return Err(HelloError::Malformed);
    }
    parse_sni(name.0).ok_or(HelloError::BadSni)
}

fn parse_sni(name: &[u8]) -> Option<HostName> {
    let name = std::str::from_utf8(name).ok()?;
    // RFC 6066 section 3: literal addresses are not permitted.
    if name.parse::<IpAddr>().is_ok() {
        return None;
    }
    HostName::parse(name).ok()
}

/// Names are checked and counted but not kept: a hello has room for thousands.
fn check_alpn(mut body: Reader<'_>) -> Result<(), HelloError> {
    const MAX_NAMES: usize = 64;
    let mut list = body.vector16()?;
    body.end()?;
    let mut count = 0;
    while !list.is_empty() {
        count += 1;
        if list.vector8()?.is_empty() || count > MAX_NAMES {
            return Err(HelloError::Malformed);
        }
    }
    if count == 0 { Err(HelloError::Malformed) } else { Ok(()) }
}

#[derive(PartialEq, Eq)]
enum Ech {
    Outer,
    /// Marks a hello that was already decrypted; hides nothing.
    Inner,
}

/// RFC 9849 section 5.
fn parse_ech(mut body: Reader<'_>) -> Result<Ech, HelloError> {
    let ech = match body.u8()? {
        0 => {
            let _cipher_suite = body.take(4)?;
            let _config_id = body.u8()?;
            let _enc = body.vector16()?;
            if body.vector16()?.is_empty() {
                return Err(HelloError::Malformed);
            }
            Ech::Outer
        }
        1 => Ech::Inner,
        _ => return Err(HelloError::Malformed),
    };
    body.end()?;
    Ok(ech)
}

/// Takes from the front; whatever does not fit is a malformed hello.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn end(&self) -> Result<(), HelloError> {
        if self.is_empty() { Ok(()) } else { Err(HelloError::Malformed) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], HelloError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(HelloError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, HelloError> {
        let (first, rest) = self.0.split_first().ok_or(HelloError::Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn u16(&mut self) -> Result<u16, HelloError> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    fn vector8(&mut self) -> Result<Reader<'a>, HelloError> {
        let length = self.u8()?;
        self.take(length.into()).map(Reader)
    }

    fn vector16(&mut self) -> Result<Reader<'a>, HelloError> {
        let length = self.u16()?;
        self.take(length.into()).map(Reader)
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the hellos made here are short")]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::crypto::{CryptoProvider, aws_lc_rs};
    use rustls::pki_types::ServerName;
    use rustls::server::Acceptor;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::HelloError::{BadSni, Malformed, NotTls, TooLarge};
    use super::*;

    fn sni(bytes: &[u8]) -> Result<Option<String>, HelloError> {
        match parse(bytes) {
            Ok(hello) => Ok(hello.sni.map(|name| name.to_string())),
            Err(ParseError::Invalid(error)) => Err(error),
            Err(ParseError::Incomplete) => panic!("incomplete: {bytes:02x?}"),
        }
    }

    fn check(bytes: &[u8], expected: Result<Option<&str>, HelloError>) {
        assert_eq!(sni(bytes), expected.map(|name| name.map(str::to_owned)), "{bytes:02x?}");
    }

    fn check_name(name: &[u8], expected: Result<&str, HelloError>) {
        check(&hello(&[server_name(&[(0, name)])]), expected.map(Some));
    }

    fn check_incomplete(bytes: &[u8]) {
        assert_eq!(parse(bytes), Err(ParseError::Incomplete), "{bytes:02x?}");
    }

    fn vector8(body: &[u8]) -> Vec<u8> {
        [&[body.len() as u8], body].concat()
    }

    fn vector16(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u16).to_be_bytes(), body].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector16(body)].concat()
    }

    fn server_name(names: &[(u8, &[u8])]) -> Vec<u8> {
        let list: Vec<u8> = names.iter().flat_map(|(kind, name)| [vec![*kind], vector16(name)].concat()).collect();
        extension(EXT_SERVER_NAME, &vector16(&list))
    }

    fn alpn(names: &[&[u8]]) -> Vec<u8> {
        let list: Vec<u8> = names.iter().flat_map(|name| vector8(name)).collect();
        extension(EXT_ALPN, &vector16(&list))
    }

    fn before_extensions() -> Vec<u8> {
        [&[3, 3][..], &[7; 32], &vector8(&[9; 32]), &vector16(&[0x13, 1]), &vector8(&[0])].concat()
    }

    fn message(body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32).to_be_bytes();
        [&[TYPE_CLIENT_HELLO], &length[1..], body].concat()
    }

    fn record(fragment: &[u8]) -> Vec<u8> {
        [&[CONTENT_HANDSHAKE, 3, 1][..], &vector16(fragment)].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(record).collect()
    }

    fn hello_message(extensions: &[Vec<u8>]) -> Vec<u8> {
        message(&[before_extensions(), vector16(&extensions.concat())].concat())
    }

    fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
        records(&hello_message(extensions), MAX_RECORD)
    }

    fn ok_message() -> Vec<u8> {
        hello_message(&[server_name(&[(0, b"ok.test")])])
    }

    /// A hello as rustls sends it, in one record.
    fn rustls_hello(name: &str, provider: CryptoProvider) -> Vec<u8> {
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut bytes = Vec::new();
        ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut bytes).unwrap();
        bytes
    }

    fn post_quantum() -> CryptoProvider {
        aws_lc_rs::default_provider()
    }

    fn classic() -> CryptoProvider {
        let kx_groups = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];
        CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() }
    }

    #[test]
    fn names_of_real_clients() {
        check(&rustls_hello("ok.test", classic()), Ok(Some("ok.test")));
        check(&rustls_hello("OK.test", post_quantum()), Ok(Some("ok.test")));
        check(&rustls_hello("192.0.2.1", post_quantum()), Ok(None));
        assert!(rustls_hello("ok.test", classic()).len() < 600);
        assert!(rustls_hello("ok.test", post_quantum()).len() > 1400);
    }

    #[test]
    fn names() {
        check_name(b"ok.test", Ok("ok.test"));
        check_name(b"OK.TEST", Ok("ok.test"));
        check_name(b"ok.test.", Ok("ok.test"));
        check_name(b"_sip.ok.test", Ok("_sip.ok.test"));
        check_name(b"xn--bcher-kva.example", Ok("xn--bcher-kva.example"));
        check(&hello(&[]), Ok(None));
        check(&record(&message(&before_extensions())), Ok(None));
    }

    #[test]
    fn names_that_are_none() {
        check_name(b"", Err(BadSni));
        check_name(b".", Err(BadSni));
        check_name(b"ok.test..", Err(BadSni));
        check_name(b"192.0.2.1", Err(BadSni));
        check_name(b"2130706433", Err(BadSni));
        check_name(b"2001:db8::1", Err(BadSni));
        check_name(b"[2001:db8::1]", Err(BadSni));
        check_name(b"ok.test:443", Err(BadSni));
        check_name(b"ok.test\0.evil.test", Err(BadSni));
        check_name(b"ok.test\n", Err(BadSni));
        check_name(b" ok.test", Err(BadSni));
        check_name(b"*.ok.test", Err(BadSni));
        check_name(b"\xff\xfe", Err(BadSni));
        check_name("bücher.example".as_bytes(), Err(BadSni));
        check_name("ok。test".as_bytes(), Err(BadSni));
        check_name(b"xn--a.test", Err(BadSni));
        check_name("a.".repeat(128).as_bytes(), Err(BadSni));
        check_name(&[b'a'; 64], Err(BadSni));
    }

    #[test]
    fn what_is_not_tls() {
        check(b"G", Err(NotTls));
        check(b"SSH-2.0-x", Err(NotTls));
        check(b"\x80\x2e\x01\x03\x01", Err(NotTls));
        check(b"\x15\x03\x01\x00\x02\x01\x00", Err(NotTls));
        check(b"\x17", Err(NotTls));
        check(b"\x16\x02", Err(NotTls));
        check(b"\x16\x03\x01\x00\x2a\x02", Err(NotTls));
    }

    #[test]
    fn broken_records() {
        let after_half = |second: &[u8]| [&record(&ok_message()[..20]), second].concat();
        check(b"\x16\x03\x01\x00\x00", Err(Malformed));
        check(b"\x16\x03\x01\x40\x01", Err(Malformed));
        check(&after_half(b"\x15"), Err(Malformed));
        check(&after_half(b"\x17"), Err(Malformed));
        check(&after_half(b"\x16\x02"), Err(Malformed));
        check(&after_half(b"\x16\x03\x03\x00\x00"), Err(Malformed));
        check(&record(&[ok_message(), vec![0]].concat()), Err(Malformed));
    }

    #[test]
    fn bytes_after_the_hello_are_not_read() {
        check(&[record(&ok_message()), b"\x17\x03\x03\x00\x01x".to_vec()].concat(), Ok(Some("ok.test")));
        check(&[record(&ok_message()), b"GET /".to_vec()].concat(), Ok(Some("ok.test")));
    }

    #[test]
    fn malformed_extensions() {
        let name: (u8, &[u8]) = (0, b"ok.test");
        check(&hello(&[server_name(&[])]), Err(Malformed));
        check(&hello(&[server_name(&[name, name])]), Err(Malformed));
        check(&hello(&[server_name(&[name, (0, b"evil.test")])]), Err(Malformed));
        check(&hello(&[server_name(&[name, (1, b"x")])]), Err(Malformed));
        check(&hello(&[server_name(&[(1, b"ok.test")])]), Err(Malformed));
        check(&hello(&[server_name(&[name]), server_name(&[name])]), Err(Malformed));
        check(&hello(&[extension(EXT_SERVER_NAME, &[])]), Err(Malformed));
        check(&hello(&[extension(EXT_SERVER_NAME, b"\x00\x09\x00\x00\x07ok.test")]), Err(Malformed));
        check(&hello(&[extension(EXT_SERVER_NAME, b"\x00\x0a\x00\x00\x07ok.test!")]), Err(Malformed));
        check(&hello(&[extension(10, &[]), extension(10, &[])]), Err(Malformed));
        check(&hello(&[vec![0, 0]]), Err(Malformed));
        let many: Vec<Vec<u8>> = (1000..=1000 + MAX_EXTENSIONS as u16).map(|kind| extension(kind, &[])).collect();
        check(&hello(&many[1..]), Ok(None));
        check(&hello(&many), Err(Malformed));
    }

    #[test]
    fn malformed_alpn() {
        check(&hello(&[alpn(&[b"h2", b"http/1.1"])]), Ok(None));
        check(&hello(&[alpn(&[&b"x"[..]; 64])]), Ok(None));
        check(&hello(&[alpn(&[])]), Err(Malformed));
        check(&hello(&[alpn(&[b""])]), Err(Malformed));
        check(&hello(&[alpn(&[b"h2", b""])]), Err(Malformed));
        check(&hello(&[alpn(&[&b"x"[..]; 65])]), Err(Malformed));
        check(&hello(&[alpn(&[&b""[..]; 60_000])]), Err(Malformed));
        check(&hello(&[extension(EXT_ALPN, b"\x00\x03\x05h2")]), Err(Malformed));
    }

    #[test]
    fn malformed_body() {
        let whole = [before_extensions(), vector16(&server_name(&[(0, b"ok.test")]))].concat();
        for cut in (0..whole.len()).filter(|cut| *cut != before_extensions().len()) {
            check(&record(&message(&whole[..cut])), Err(Malformed));
        }
        check(&record(&message(&[&whole[..], b"!"].concat())), Err(Malformed));
        check(&record(&message(&[b"\x02", &whole[1..]].concat())), Err(Malformed));
    }

    #[test]
    fn encrypted_hellos() {
        let check = |body: &[u8], expected: Result<bool, HelloError>| {
            let got = parse(&hello(&[server_name(&[(0, b"front.test")]), extension(EXT_ECH, body)]));
            assert_eq!(got.map(|hello| hello.ech), expected.map_err(ParseError::Invalid), "{body:02x?}");
        };
        check(b"\x00\x00\x01\x00\x01\x07\x00\x02ab\x00\x03xyz", Ok(true));
        check(b"\x00\x00\x01\x00\x01\x07\x00\x00\x00\x03xyz", Ok(true));
        check(b"\x01", Ok(false));
        check(b"", Err(Malformed));
        check(b"\x02", Err(Malformed));
        check(b"\x01\x00", Err(Malformed));
        check(b"\x00\x00\x01\x00\x01\x07\x00\x02ab\x00\x00", Err(Malformed));
        check(b"\x00\x00\x01\x00\x01\x07\x00\x02ab\x00\x03xy", Err(Malformed));
        assert!(!parse(&record(&ok_message())).unwrap().ech);
    }

    #[test]
    fn large_hellos() {
        let padded = |size: usize| {
            let name = server_name(&[(0, b"ok.test")]);
            let padding = size - before_extensions().len() - 2 - name.len() - 4;
            hello_message(&[name, extension(21, &vec![0; padding])])
        };
        check(&records(&padded(16_384), MAX_RECORD), Ok(Some("ok.test")));
        check(&records(&padded(16_384), 1), Ok(Some("ok.test")));
        check(&records(&padded(65_500), MAX_RECORD), Ok(Some("ok.test")));
        check(&records(&padded(65_500), 6), Ok(Some("ok.test")));
        check(&records(&padded(65_500), 1), Err(TooLarge));
        check_incomplete(b"\x16\x03\x01\x40\x00\x01\x01\x00\x00");
        check(b"\x16\x03\x01\x40\x00\x01\x01\x00\x01", Err(TooLarge));
        check(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", Err(TooLarge));
    }

    #[test]
    fn every_prefix_is_incomplete() {
        let real = rustls_hello("ok.test", post_quantum());
        for bytes in [record(&ok_message()), records(&ok_message(), 1), real] {
            for cut in 0..bytes.len() {
                check_incomplete(&bytes[..cut]);
            }
        }
    }

    /// Seen by what would happen if they were: by then something else is there.
    #[test]
    fn whole_records_are_not_looked_at_again() {
        let bytes = records(&ok_message(), 6);
        let mut reader = HelloReader::default();
        assert_eq!(reader.read(&bytes[..30]), Err(ParseError::Incomplete));
        let mut changed = bytes[..bytes.len() - 1].to_vec();
        changed[..22].fill(0);
        assert_eq!(parse(&changed), Err(NotTls.into()));
        assert_eq!(reader.read(&changed), Err(ParseError::Incomplete));
    }

    #[test]
    fn agrees_with_rustls() {
        for name in ["ok.test", "a.b.wild.test", "OK.Test", "xn--bcher-kva.example", "_x.ok.test"] {
            let bytes = records(&rustls_hello(name, post_quantum())[RECORD_HEADER..], 100);
            let mut acceptor = Acceptor::default();
            let mut rest = &bytes[..];
            let theirs = loop {
                acceptor.read_tls(&mut rest).unwrap();
                if let Some(accepted) = acceptor.accept().ok().unwrap() {
                    break accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                }
            };
            assert_eq!(sni(&bytes), Ok(theirs));
        }
    }

    fn any_message() -> impl Strategy<Value = Vec<u8>> {
        let named = |name: Vec<u8>| hello_message(&[server_name(&[(0, &name)])]);
        let built = prop::collection::vec(any::<u8>(), 0..200).prop_map(named);
        let broken = prop::collection::vec(any::<u8>(), 0..300).prop_map(|body| message(&body));
        let name = "[a-z]{1,20}(\\.[a-z]{1,20}){1,3}";
        let real = name.prop_map(|name| rustls_hello(&name, post_quantum())[RECORD_HEADER..].to_vec());
        prop_oneof![built, broken, real]
    }

    /// Cuts `message` into records whose sizes are taken from `sizes` in turn.
    fn cut(message: &[u8], sizes: &[usize]) -> Vec<u8> {
        let mut rest = message;
        let mut bytes = Vec::new();
        for size in sizes.iter().cycle() {
            let (fragment, next) = rest.split_at(rest.len().min(*size));
            bytes.extend(record(fragment));
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn verdict_does_not_depend_on_the_records(
            message in any_message(),
            sizes in prop::collection::vec(1usize..400, 1..8),
        ) {
            prop_assert_eq!(parse(&cut(&message, &sizes)), parse(&record(&message)));
        }

        #[test]
        fn verdict_does_not_depend_on_the_segments(
            mut bytes in any_message().prop_map(|message| cut(&message, &[90])),
            at in any::<prop::sample::Index>(),
            flip: u8,
        ) {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let whole = parse(&bytes);
            for cut in 0..bytes.len() {
                let part = parse(&bytes[..cut]);
                prop_assert!(part == Err(ParseError::Incomplete) || part == whole, "{}: {:?}", cut, part);
            }
        }

        #[test]
        fn segments_are_read_as_the_whole_is(
            mut bytes in (any_message(), 1usize..90).prop_map(|(message, size)| cut(&message, &[size])),
            step in 1usize..40,
            at in any::<prop::sample::Index>(),
            flip: u8,
        ) {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let mut reader = HelloReader::default();
            for there in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
                prop_assert_eq!(reader.read(&bytes[..there]), parse(&bytes[..there]), "{}", there);
            }
        }

        #[test]
        fn noise_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
            let _ = parse(&record(&bytes));
            let _ = parse(&record(&message(&bytes)));
        }
    }
}
