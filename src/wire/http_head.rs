//! The head of an HTTP/1 request, read as a proxy must: where two readers could differ about where a message
//! ends or which host it is for, it is refused.
//!
//! RFC 9112. `httparse` splits the head; what it lets pass and what a later hop could read otherwise (a bare
//! LF, two lengths, two hosts) is caught here. Nothing is allocated: a [`RequestHead`] borrows from the bytes.

use httparse::{EMPTY_HEADER, Header, Request};

use super::ParseError;
use crate::flow::Reason;

/// The longest head in bytes, up to and including the empty line.
pub const MAX_HEAD: usize = 64 * 1024;

/// The most header lines: what hyper takes without asking for memory for each head.
pub const MAX_HEADERS: usize = 100;

/// The longest method in bytes. Without a bound, letters without end would look like the start of one.
const MAX_METHOD: usize = 32;

/// What a request head says that matters to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHead<'a> {
    pub method: &'a str,
    /// As it stands on the request line; [`parse_target`] takes it apart.
    pub target: &'a str,
    pub version: Version,
    pub framing: Framing,
    /// The Host header, never empty. `None` only in HTTP/1.0 and for `CONNECT`, where old clients leave it out.
    /// It holds no byte that ends a host in a URI, but may still be no name: `Authority::parse` decides.
    pub host: Option<&'a str>,
    /// The client offers to change the protocol: an Upgrade header that Connection names.
    pub upgrade: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// The client wants to send another request on this connection.
    pub keep_alive: bool,
    /// The first Proxy-Authorization header, as it stands.
    pub proxy_authorization: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    Http11,
}

/// How the end of a request's body is found, RFC 9112 section 6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes, from Content-Length.
    Length(u64),
    Chunked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("the first bytes are not an HTTP request")]
    NotHttp,
    #[error("the request line is not HTTP/1.0 or HTTP/1.1")]
    RequestLine,
    #[error("the request target is malformed")]
    BadTarget,
    #[error("a control character, a bare CR or a bare LF is in the head")]
    Control,
    #[error("a header line is malformed or folded")]
    HeaderLine,
    #[error("Content-Length is not one decimal number")]
    ContentLength,
    #[error("Transfer-Encoding is not `chunked` alone, or not with HTTP/1.1")]
    TransferEncoding,
    #[error("both Content-Length and Transfer-Encoding are given")]
    TwoFramings,
    #[error("CONNECT has no body")]
    ConnectBody,
    #[error("Connection names a header that frames or routes the request")]
    ConnectionOption,
    #[error("Host is missing, empty, repeated or no host")]
    Host,
    #[error("the head is longer than 64 KiB")]
    TooLong,
    #[error("the head has more than 100 header lines")]
    TooManyHeaders,
}

impl HeadError {
    pub fn reason(self) -> Reason {
        match self {
            HeadError::NotHttp | HeadError::RequestLine | HeadError::BadTarget => Reason::BadRequest,
            HeadError::Control
            | HeadError::HeaderLine
            | HeadError::ContentLength
            | HeadError::TransferEncoding
            | HeadError::TwoFramings
            | HeadError::ConnectBody
            | HeadError::ConnectionOption => Reason::BadFraming,
            HeadError::Host => Reason::BadHost,
            HeadError::TooLong | HeadError::TooManyHeaders => Reason::LimitHead,
        }
    }
}

/// Reads the head of a request; the number is its length in bytes, so the body starts there.
///
/// One empty line before the request line is skipped (RFC 9112 section 2.2) and counts towards the length.
/// While the head is incomplete the request line, the line ends and their number are checked; header lines are
/// once it is whole.
pub fn parse(bytes: &[u8]) -> Result<(RequestHead<'_>, usize), ParseError<HeadError>> {
    let window = first(bytes, MAX_HEAD);
    let text = match window {
        [b'\r'] => return Err(ParseError::Incomplete),
        [b'\r', b'\n', text @ ..] => text,
        text => text,
    };
    check_method(text)?;
    match scan_lines(text) {
        Lines::Whole(length) => {
            let head = parse_whole(first(text, length))?;
            Ok((head, window.len() - text.len() + length))
        }
        // An error of an earlier byte comes first, or the verdict would depend on how much was there.
        Lines::Broken(at) => Err(first_error(first(text, at)).unwrap_or(HeadError::Control).into()),
        Lines::TooMany(end) => Err(first_error(first(text, end)).unwrap_or(HeadError::TooManyHeaders).into()),
        Lines::Open(end) if window.len() == MAX_HEAD => {
            Err(first_error(first(text, end)).unwrap_or(HeadError::TooLong).into())
        }
        Lines::Open(end) => match first_error(first_line(first(text, end))) {
            Some(error) => Err(error.into()),
            None => Err(ParseError::Incomplete),
        },
    }
}

/// A request starts with a token of bounded length and a space: anything else is told from its first bytes.
fn check_method(text: &[u8]) -> Result<(), ParseError<HeadError>> {
    let start = first(text, MAX_METHOD + 1);
    match start.iter().position(|byte| !is_token(*byte)) {
        Some(at) if at > 0 && start.get(at) == Some(&b' ') => Ok(()),
        None if start.len() <= MAX_METHOD => Err(ParseError::Incomplete),
        _ => Err(HeadError::NotHttp.into()),
    }
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 section 5.5: a tab is the one control character that may stand in a field.
pub(super) fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

enum Lines {
    /// An empty line ends the head, which has so many bytes.
    Whole(usize),
    /// The control character here is no part of a CRLF.
    Broken(usize),
    /// There is no end within [`MAX_HEADERS`] lines, of which the next one ends here.
    TooMany(usize),
    /// There is no end yet; a CR at the end that waits for its LF is not counted.
    Open(usize),
}

/// Finds the end of the head by its lines, each of which must end with CRLF.
fn scan_lines(text: &[u8]) -> Lines {
    let mut line = 0;
    let mut lines = 0;
    let mut at = 0;
    while let Some(skipped) = next_control(text.get(at..).unwrap_or_default()) {
        at += skipped;
        let Some(control) = text.get(at) else { break };
        match (control, text.get(at + 1)) {
            (b'\r', Some(b'\n')) if at == line => return Lines::Whole(at + 2),
            (b'\r', Some(b'\n')) if lines > MAX_HEADERS => return Lines::TooMany(at + 2),
            (b'\r', Some(b'\n')) => at += 2,
            (b'\r', None) => return Lines::Open(at),
            _ => return Lines::Broken(at),
        }
        lines += 1;
        line = at;
    }
    Lines::Open(text.len())
}

/// Looks at 32 bytes at a time, which the compiler turns into vector instructions: a long head that grows
/// byte by byte is scanned again and again.
fn next_control(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<32>) {
        if block.iter().fold(false, |found, byte| found | is_control(*byte)) {
            break;
        }
        at += block.len();
    }
    text.iter().skip(at).position(|byte| is_control(*byte)).map(|found| at + found)
}

fn first_line(text: &[u8]) -> &[u8] {
    match next_control(text) {
        Some(at) => first(text, at + 2),
        None => text,
    }
}

/// At most so many bytes.
fn first(text: &[u8], count: usize) -> &[u8] {
    text.get(..count).unwrap_or(text)
}

/// What is wrong with an incomplete head already.
fn first_error(text: &[u8]) -> Option<HeadError> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    Request::new(&mut headers).parse(text).err().map(HeadError::from)
}

impl From<httparse::Error> for HeadError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::HeaderName | httparse::Error::HeaderValue => HeadError::HeaderLine,
            httparse::Error::TooManyHeaders => HeadError::TooManyHeaders,
            // With every CR and LF in its place, a bad line end is one that follows something after the version.
            httparse::Error::NewLine | httparse::Error::Token | httparse::Error::Version | httparse::Error::Status => {
                HeadError::RequestLine
            }
        }
    }
}

fn parse_whole(text: &[u8]) -> Result<RequestHead<'_>, HeadError> {
    /// Enough for most heads, and quicker to clear than room for [`MAX_HEADERS`].
    const USUAL_HEADERS: usize = 32;
    match parse_with::<USUAL_HEADERS>(text) {
        Err(HeadError::TooManyHeaders) => parse_with::<MAX_HEADERS>(text),
        done => done,
    }
}

fn parse_with<const N: usize>(text: &[u8]) -> Result<RequestHead<'_>, HeadError> {
    let mut headers = [EMPTY_HEADER; N];
    let mut request = Request::new(&mut headers);
    request.parse(text)?;
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(HeadError::RequestLine);
    };
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let mut fields = Fields::default();
    for header in request.headers.iter() {
        fields.take(header)?;
    }
    fields.finish(method, target, version)
}

/// The header fields that a proxy acts on.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a str>,
    content_length: Option<u64>,
    chunked: bool,
    connection: Connection,
    upgrade: bool,
    expect_continue: bool,
    proxy_authorization: Option<&'a [u8]>,
}

#[derive(Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl<'a> Fields<'a> {
    fn take(&mut self, header: &Header<'a>) -> Result<(), HeadError> {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let value = header.value;
        if is("host") {
            let repeated = self.host.replace(parse_host(value)?);
            return if repeated.is_none() { Ok(()) } else { Err(HeadError::Host) };
        }
        if is("content-length") {
            let repeated = self.content_length.replace(parse_length(value)?);
            return if repeated.is_none() { Ok(()) } else { Err(HeadError::ContentLength) };
        }
        if is("transfer-encoding") {
            let repeated = std::mem::replace(&mut self.chunked, true);
            let chunked = value.eq_ignore_ascii_case(b"chunked");
            return if chunked && !repeated { Ok(()) } else { Err(HeadError::TransferEncoding) };
        }
        if is("connection") {
            return self.connection.take(value);
        }
        if is("upgrade") {
            self.upgrade = true;
        } else if is("expect") {
            self.expect_continue |= value.eq_ignore_ascii_case(b"100-continue");
        } else if is("proxy-authorization") {
            self.proxy_authorization.get_or_insert(value);
        }
        Ok(())
    }

    fn finish(self, method: &'a str, target: &'a str, version: Version) -> Result<RequestHead<'a>, HeadError> {
        let is_http11 = version == Version::Http11;
        let is_connect = method == "CONNECT";
        if self.host.is_none() && is_http11 && !is_connect {
            return Err(HeadError::Host);
        }
        let framing = self.framing(version)?;
        // RFC 9110 section 9.3.6: what it would mean is not defined, so it would be read as the tunnel's start.
        if is_connect && !matches!(framing, Framing::None | Framing::Length(0)) {
            return Err(HeadError::ConnectBody);
        }
        let Connection { close, keep_alive, upgrade } = self.connection;
        Ok(RequestHead {
            method,
            target,
            version,
            framing,
            host: self.host,
            upgrade: is_http11 && upgrade && self.upgrade,
            expect_continue: is_http11 && self.expect_continue,
            keep_alive: !close && (is_http11 || keep_alive),
            proxy_authorization: self.proxy_authorization,
        })
    }

    fn framing(&self, version: Version) -> Result<Framing, HeadError> {
        match (self.content_length, self.chunked) {
            (None, false) => Ok(Framing::None),
            (Some(length), false) => Ok(Framing::Length(length)),
            (Some(_), true) => Err(HeadError::TwoFramings),
            (None, true) if version == Version::Http10 => Err(HeadError::TransferEncoding),
            (None, true) => Ok(Framing::Chunked),
        }
    }
}

impl Connection {
    /// A client that has a later hop's Host or framing stripped wants another request to arrive there than the
    /// one that is judged here.
    fn take(&mut self, value: &[u8]) -> Result<(), HeadError> {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("host") || is("content-length") || is("transfer-encoding") {
                return Err(HeadError::ConnectionOption);
            }
            self.close |= is("close");
            self.keep_alive |= is("keep-alive");
            self.upgrade |= is("upgrade");
        }
        Ok(())
    }
}

/// A list of equal lengths, which RFC 9110 section 8.6 would let pass, is no decimal number either.
fn parse_length(value: &[u8]) -> Result<u64, HeadError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::ContentLength);
    }
    let digits = std::str::from_utf8(value).map_err(|_| HeadError::ContentLength)?;
    digits.parse().map_err(|_| HeadError::ContentLength)
}

fn parse_host(value: &[u8]) -> Result<&str, HeadError> {
    let host = std::str::from_utf8(value).map_err(|_| HeadError::Host)?;
    if is_authority(host) { Ok(host) } else { Err(HeadError::Host) }
}

/// No blank, comma, `@`, slash or the like. What is outside ASCII passes, so that it ends as a bad name.
fn is_authority(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"-._:[]%~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

/// A request target, RFC 9112 section 3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// `CONNECT host:port`; whether a port is there is not checked.
    Authority(&'a str),
    Absolute {
        scheme: Scheme,
        authority: &'a str,
        /// Path and query; `/` if both are missing. It starts with `?` where there is a query without a path,
        /// and whoever sends it on puts `/` before it.
        path: &'a str,
    },
    /// Path and query, which start with `/`.
    Origin(&'a str),
    /// `OPTIONS *`.
    Asterisk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// Takes a request target apart. User names, fragments and schemes other than HTTP's are refused.
pub fn parse_target<'a>(method: &str, target: &'a str) -> Result<Target<'a>, HeadError> {
    if target.contains('#') {
        return Err(HeadError::BadTarget);
    }
    match method {
        "CONNECT" if is_authority(target) => Ok(Target::Authority(target)),
        "CONNECT" => Err(HeadError::BadTarget),
        _ if target.starts_with('/') => Ok(Target::Origin(target)),
        "OPTIONS" if target == "*" => Ok(Target::Asterisk),
        _ => parse_absolute(target),
    }
}

fn parse_absolute(target: &str) -> Result<Target<'_>, HeadError> {
    let colon = position(target, |byte| byte == b':').ok_or(HeadError::BadTarget)?;
    let (scheme, rest) = target.split_at(colon);
    let rest = rest.strip_prefix("://").ok_or(HeadError::BadTarget)?;
    let scheme = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
        _ if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
        _ => return Err(HeadError::BadTarget),
    };
    let end = position(rest, |byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_authority(authority) {
        return Err(HeadError::BadTarget);
    }
    Ok(Target::Absolute { scheme, authority, path: if path.is_empty() { "/" } else { path } })
}

/// Of the first such byte, which is in ASCII: quicker than a search for characters in what is short.
fn position(text: &str, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    text.bytes().position(is_it)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::HeadError::*;
    use super::*;

    fn head(bytes: &[u8]) -> Result<RequestHead<'_>, HeadError> {
        match parse(bytes) {
            Ok((head, length)) => {
                assert_eq!(length, bytes.len(), "{}", bytes.escape_ascii());
                Ok(head)
            }
            Err(ParseError::Invalid(error)) => Err(error),
            Err(ParseError::Incomplete) => panic!("incomplete: {}", bytes.escape_ascii()),
        }
    }

    fn check_error(text: &str, expected: HeadError) {
        assert_eq!(head(text.as_bytes()), Err(expected), "{text:?}");
    }

    fn post(fields: &str) -> String {
        format!("POST / HTTP/1.1\r\nHost: ok.test\r\n{fields}\r\n")
    }

    fn check_framing(fields: &str, expected: Result<Framing, HeadError>) {
        assert_eq!(head(post(fields).as_bytes()).map(|head| head.framing), expected, "{fields:?}");
    }

    fn check_host(fields: &str, expected: Result<&str, HeadError>) {
        let text = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        assert_eq!(head(text.as_bytes()).map(|head| head.host), expected.map(Some), "{fields:?}");
    }

    #[test]
    fn a_plain_request() {
        let expected = RequestHead {
            method: "GET",
            target: "/a?b",
            version: Version::Http11,
            framing: Framing::None,
            host: Some("ok.test:80"),
            upgrade: false,
            expect_continue: false,
            keep_alive: true,
            proxy_authorization: Some(b"Basic eA=="),
        };
        let text = b"GET /a?b HTTP/1.1\r\nHost: ok.test:80\r\nProxy-Authorization:  Basic eA== \r\nAccept: */*\r\n\r\n";
        assert_eq!(head(text), Ok(expected));
        assert_eq!(parse(&[&text[..], b"body"].concat()), Ok((expected, text.len())));
        assert_eq!(parse(&[b"\r\n", &text[..]].concat()), Ok((expected, text.len() + 2)));
    }

    #[test]
    fn framing() {
        check_framing("", Ok(Framing::None));
        check_framing("Content-Length: 0\r\n", Ok(Framing::Length(0)));
        check_framing("content-length:5\t\r\n", Ok(Framing::Length(5)));
        check_framing("Content-Length: 18446744073709551615\r\n", Ok(Framing::Length(u64::MAX)));
        check_framing("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked));
        check_framing("Transfer-Encoding: Chunked \r\n", Ok(Framing::Chunked));
    }

    #[test]
    fn two_ways_to_read_the_end() {
        check_framing("Content-Length: 5\r\nContent-Length: 5\r\n", Err(ContentLength));
        check_framing("Content-Length: 5\r\ncontent-length: 6\r\n", Err(ContentLength));
        check_framing("Content-Length: 5, 5\r\n", Err(ContentLength));
        check_framing("Content-Length: +4\r\n", Err(ContentLength));
        check_framing("Content-Length: -1\r\n", Err(ContentLength));
        check_framing("Content-Length: 0x10\r\n", Err(ContentLength));
        check_framing("Content-Length: 1 0\r\n", Err(ContentLength));
        check_framing("Content-Length:\r\n", Err(ContentLength));
        check_framing("Content-Length: 18446744073709551616\r\n", Err(ContentLength));
        check_framing("Content-Length: ٣\r\n", Err(ContentLength));
        check_framing("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(TwoFramings));
        check_framing("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", Err(TwoFramings));
        check_framing("Transfer-Encoding: chunked, identity\r\n", Err(TransferEncoding));
        check_framing("Transfer-Encoding: gzip, chunked\r\n", Err(TransferEncoding));
        check_framing("Transfer-Encoding: identity\r\n", Err(TransferEncoding));
        check_framing("Transfer-Encoding: xchunked\r\n", Err(TransferEncoding));
        check_framing("Transfer-Encoding:\r\n", Err(TransferEncoding));
        check_framing("Transfer-Encoding: \"chunked\"\r\n", Err(TransferEncoding));
        check_framing("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(TransferEncoding));
        check_error("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncoding);
        check_error("CONNECT ok.test:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\n", ConnectBody);
        check_error("CONNECT ok.test:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", ConnectBody);
        check_framing("Connection: close, Content-Length\r\n", Err(ConnectionOption));
        check_framing("Connection: host\r\n", Err(ConnectionOption));
    }

    #[test]
    fn broken_lines() {
        check_error("GET / HTTP/1.1\nHost: ok.test\n\n", Control);
        check_error("GET / HTTP/1.1\r\nHost: ok.test\nX: y\r\n\r\n", Control);
        check_error("GET / HTTP/1.1\r\nHost: ok.test\r\n\n", Control);
        check_error("GET / HTTP/1.1\r\nHost: ok.test\rX: y\r\n\r\n", Control);
        check_error("GET / HTTP/1.1\r\nHost: ok.test\r\r\n\r\n", Control);
        check_error("GET / HTTP/1.1\r\nHost: ok.test\0\r\n\r\n", Control);
        check_error("GET / HTTP/1.1\r\nX\0: y\r\n\r\n", Control);
        check_error("GET /\0 HTTP/1.1\r\n\r\n", Control);
        check_error("GET / HTTP/1.1\r\nX: \x1b[31m\r\n\r\n", Control);
        check_error("GET / HTTP/1.1\r\nX: \x7f\r\n\r\n", Control);
        check_error("GET / HTTP/1.1\r\nHost: ok.test\r\n folded\r\n\r\n", HeaderLine);
        check_error("GET / HTTP/1.1\r\nHost: ok.test\r\n\tfolded\r\n\r\n", HeaderLine);
        check_error("GET / HTTP/1.1\r\n Host: ok.test\r\n\r\n", HeaderLine);
        check_error("GET / HTTP/1.1\r\nHost : ok.test\r\n\r\n", HeaderLine);
        check_error("GET / HTTP/1.1\r\n: ok.test\r\n\r\n", HeaderLine);
        check_error("GET / HTTP/1.1\r\nHost\r\n\r\n", HeaderLine);
    }

    #[test]
    fn hosts() {
        check_host("Host: OK.test\r\n", Ok("OK.test"));
        check_host("Host: [2001:db8::1]:80\r\n", Ok("[2001:db8::1]:80"));
        check_host("Host: bücher.example\r\n", Ok("bücher.example"));
        check_host("Host: ok.test\r\nHost: ok.test\r\n", Err(Host));
        check_host("Host: ok.test\r\nhOST: evil.test\r\n", Err(Host));
        check_host("", Err(Host));
        check_host("Host:\r\n", Err(Host));
        check_host("Host: \t\r\n", Err(Host));
        check_host("Host: ok.test evil.test\r\n", Err(Host));
        check_host("Host: ok.test\tevil.test\r\n", Err(Host));
        check_host("Host: ok.test, evil.test\r\n", Err(Host));
        check_host("Host: ok.test,evil.test\r\n", Err(Host));
        check_host("Host: ok.test@evil.test\r\n", Err(Host));
        check_host("Host: ok.test/\r\n", Err(Host));
        check_host("Host: evil.test\\ok.test\r\n", Err(Host));
        check_host("Host: http://ok.test\r\n", Err(Host));
        check_host("Host: ok.test#x\r\n", Err(Host));
        check_host("Host: *\r\n", Err(Host));
        assert_eq!(head(b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n"), Err(Host));
        check_error("GET http://ok.test/ HTTP/1.1\r\n\r\n", Host);
        check_error("GET / HTTP/1.0\r\nHost:\r\n\r\n", Host);
        assert_eq!(head(b"GET / HTTP/1.0\r\n\r\n").unwrap().host, None);
        assert_eq!(head(b"CONNECT ok.test:443 HTTP/1.1\r\n\r\n").unwrap().host, None);
    }

    #[test]
    fn what_is_not_a_request() {
        check_error("\x16\x03\x01", NotHttp);
        check_error("\0", NotHttp);
        check_error(" GET / HTTP/1.1", NotHttp);
        check_error("\n", NotHttp);
        check_error("\r\r", NotHttp);
        check_error("\r\n\r\n", NotHttp);
        check_error("GET\t/ HTTP/1.1", NotHttp);
        check_error("G(T ", NotHttp);
        check_error("SSH-2.0-OpenSSH\r\n", NotHttp);
        check_error(&"A".repeat(MAX_METHOD + 1), NotHttp);
        check_error("GET  / HTTP/1.1", RequestLine);
        check_error("GET /\r\n", RequestLine);
        check_error("GET / HTTP/1.2", RequestLine);
        check_error("GET / HTTP/2.0", RequestLine);
        check_error("GET / http/1.1", RequestLine);
        check_error("GET / HTTP/1.1 \r\n", RequestLine);
        check_error("GET /a b HTTP/1.1\r\n", RequestLine);
        check_error("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", RequestLine);
    }

    #[test]
    fn connection_options() {
        let check = |text: &str, expected: [bool; 3]| {
            let head = head(text.as_bytes()).unwrap();
            assert_eq!([head.keep_alive, head.upgrade, head.expect_continue], expected, "{text:?}");
        };
        check(&post(""), [true, false, false]);
        check(&post("Connection: close\r\n"), [false, false, false]);
        check(&post("Connection: Keep-Alive\r\nConnection: TE, Close\r\n"), [false, false, false]);
        check(&post("Connection: Upgrade\r\nUpgrade: websocket\r\n"), [true, true, false]);
        check(&post("Connection: keep-alive , upgrade\r\nUpgrade: websocket\r\n"), [true, true, false]);
        check(&post("Upgrade: websocket\r\n"), [true, false, false]);
        check(&post("Connection: Upgrade\r\n"), [true, false, false]);
        check(&post("Expect: 100-Continue\r\n"), [true, false, true]);
        check("GET / HTTP/1.0\r\n\r\n", [false, false, false]);
        check("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [true, false, false]);
        check("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\nExpect: 100-continue\r\n\r\n", [false; 3]);
    }

    #[test]
    fn limits() {
        let with_headers = |count: usize| post(&"X: y\r\n".repeat(count - 1));
        assert!(head(with_headers(MAX_HEADERS).as_bytes()).is_ok());
        check_error(&with_headers(MAX_HEADERS + 1), TooManyHeaders);
        check_error(with_headers(MAX_HEADERS + 1).strip_suffix("\r\n").unwrap(), TooManyHeaders);
        let with_length = |length: usize| post(&format!("X: {}\r\n", "y".repeat(length - post("X: \r\n").len())));
        assert!(head(with_length(MAX_HEAD).as_bytes()).is_ok());
        check_error(&with_length(MAX_HEAD + 1), TooLong);
        check_error(&with_length(1 << 20), TooLong);
        assert_eq!(parse(&with_length(MAX_HEAD).as_bytes()[..MAX_HEAD - 1]), Err(ParseError::Incomplete));
        assert_eq!(TooLong.reason(), Reason::LimitHead);
    }

    #[test]
    fn targets() {
        let check = |method: &str, target: &str, expected: Option<Target>| {
            assert_eq!(parse_target(method, target).ok(), expected, "{method} {target}");
        };
        let absolute = |scheme, authority, path| Some(Target::Absolute { scheme, authority, path });
        check("CONNECT", "ok.test:443", Some(Target::Authority("ok.test:443")));
        check("CONNECT", "[::1]:443", Some(Target::Authority("[::1]:443")));
        check("CONNECT", "http://ok.test/", None);
        check("CONNECT", "user@ok.test:443", None);
        check("CONNECT", "/", None);
        check("CONNECT", "", None);
        check("GET", "/a?b=http://evil.test/", Some(Target::Origin("/a?b=http://evil.test/")));
        check("GET", "//evil.test/", Some(Target::Origin("//evil.test/")));
        check("GET", "/a#b", None);
        check("OPTIONS", "*", Some(Target::Asterisk));
        check("GET", "*", None);
        check("GET", "http://ok.test", absolute(Scheme::Http, "ok.test", "/"));
        check("GET", "HTTP://OK.test:80/a?b", absolute(Scheme::Http, "OK.test:80", "/a?b"));
        check("GET", "http://ok.test?b", absolute(Scheme::Http, "ok.test", "?b"));
        check("GET", "https://[::1]/", absolute(Scheme::Https, "[::1]", "/"));
        check("GET", "http://user:pass@ok.test/", None);
        check("GET", "http://ok.test\\@evil.test/", None);
        check("GET", "http://ok.test#@evil.test/", None);
        check("GET", "http:///a", None);
        check("GET", "http:ok.test", None);
        check("GET", "ftp://ok.test/", None);
        check("GET", "ok.test", None);
        check("GET", "", None);
    }

    proptest! {
        #[test]
        fn verdict_does_not_depend_on_the_segments(
            line in "(\r\n)?[A-Z]{1,4} /[a-z#]{0,3} HTTP/1.[01]\r\n",
            fields in "([A-Za-z]{1,3}: ?[a-z\t ]{0,9}\r\n){0,3}Host: [a-z]{1,9}\r\n\r\nbody",
            at in any::<prop::sample::Index>(),
            byte in prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), any::<u8>()],
        ) {
            let mut bytes = (line + &fields).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let whole = parse(&bytes);
            for cut in 0..bytes.len() {
                let part = parse(&bytes[..cut]);
                prop_assert!(part == Err(ParseError::Incomplete) || part == whole, "{}: {:?}", cut, part);
            }
        }

        #[test]
        fn noise_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"GET ", &bytes[..]].concat());
            let _ = parse_target("GET", &String::from_utf8_lossy(&bytes));
        }
    }
}
