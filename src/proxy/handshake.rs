//! The beginning of a TLS handshake through a tunnel: a second ClientHello must name what the first one named, and may
//! hide no other name where the first may not.
//!
//! A server may answer a hello with a HelloRetryRequest, and then the hello that counts is the second. So until the
//! server has answered, nothing of the client's is passed on that could be a handshake message.
//!
//! In TDS packets it is the same handshake, after the pre-login.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::config::Timeouts;
use crate::flow::Reason;
use crate::net::deadline::{Late, Timer};
use crate::net::relay::{Side, read_some};
use crate::wire::ParseError;
use crate::wire::client_hello::{self, ClientHello, HelloReader};
use crate::wire::tds::{self, Unpacked};

use super::peek::{Carrier, Named, wire_limit};
use super::session::Session;

/// The content types of TLS records, RFC 8446 section 5.1: change_cipher_spec is 20, heartbeat 24.
const HANDSHAKE: u8 = 22;
const CONTENT_TYPES: std::ops::RangeInclusive<u8> = 20..=24;

/// What is read at once.
const READ: usize = 4 * 1024;

/// What a client may send ahead of the server's answer before it has to wait.
const MAX_AHEAD: usize = 64 * 1024;

/// From which side something came: so many bytes, its end or an error.
enum Came {
    Answer(io::Result<usize>),
    Ahead(io::Result<usize>),
}

pub(super) struct Handshake<'a> {
    session: &'a Session,
    client: &'a mut TcpStream,
    origin: &'a mut TcpStream,
    named: &'a Named,
    timer: &'a Timer,
    idle: Duration,
    hello: Duration,
    response: Duration,
    up: usize,
    down: usize,
    /// Who reset its connection. A socket says so once, and shows an end from then on: the relay would find no more.
    reset: Option<Side>,
}

impl<'a> Handshake<'a> {
    /// So much of [`Carrier::opening`] was sent to the origin already.
    pub(super) fn new(
        session: &'a Session,
        client: &'a mut TcpStream,
        origin: &'a mut TcpStream,
        named: &'a Named,
        sent: usize,
    ) -> Handshake<'a> {
        let &Timeouts { idle, hello, response, .. } = session.timeouts();
        let timer = &session.timer;
        Handshake { session, client, origin, named, timer, idle, hello, response, up: sent, down: 0, reset: None }
    }

    /// Bytes that were passed on, up and down.
    pub(super) fn moved(&self) -> [u64; 2] {
        [self.up as u64, self.down as u64]
    }

    pub(super) fn reset(&self) -> Option<Side> {
        self.reset
    }

    /// Sends the hello on and waits for the answer. Returns what a relay has still to pass on: from the client, from
    /// the origin. `held` begins with the hello; what came behind it may be another one.
    pub(super) async fn first_exchange(&mut self, held: &[u8]) -> Result<[Vec<u8>; 2], Reason> {
        let sent = self.up;
        if let Carrier::Tds(login) = &self.named.carrier {
            self.up += login.repeat(self.origin, self.response, self.timer).await?;
        }
        let (hello, behind) = held.split_at(self.named.carrier.hello_length(held).unwrap_or(held.len()));
        self.send_on(hello.get(sent..).unwrap_or_default()).await?;
        let (ahead, answer) = self.answer(behind.to_vec()).await?;
        if !is_hello_retry(self.named.carrier.unpacking().read(&answer)) {
            return Ok([ahead, answer]);
        }
        let sent = self.timer.within(self.idle, self.client.write_all(&answer)).await;
        flat(sent).map_err(|_| Reason::ClientGone)?;
        self.down += answer.len();
        let second = self.second_hello(ahead).await?;
        Ok([second, Vec::new()])
    }

    /// What the client sent ahead and may not have yet, and the beginning of the origin's answer: empty where one of
    /// them closed, or where what goes through is no TLS at all. The relay finds out about that by itself.
    async fn answer(&mut self, mut ahead: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), Reason> {
        let (mut answer, mut records) = (Vec::new(), self.named.carrier.unpacking());
        let mut open = true;
        loop {
            let Some(passable) = self.named.carrier.passable(&ahead) else { return Ok((ahead, answer)) };
            if passable > 0 {
                let pass: Vec<u8> = ahead.drain(..passable).collect();
                self.send_on(&pass).await?;
            }
            let is_read = open && ahead.len() < MAX_AHEAD;
            let came = async {
                tokio::select! {
                    biased;
                    read = read_some(self.origin, &mut answer, READ) => Came::Answer(read),
                    read = read_some(self.client, &mut ahead, READ), if is_read => Came::Ahead(read),
                }
            };
            match self.timer.within(self.idle, came).await.map_err(|Late| Reason::UpstreamTimeout)? {
                Came::Answer(read) => {
                    self.reset = self.reset.or(read.is_err().then_some(Side::Origin));
                    let clear = is_clear(records.read(&answer));
                    if clear || records.are_broken() || !matches!(read, Ok(1..)) {
                        return Ok((ahead, answer));
                    }
                }
                Came::Ahead(read) => {
                    self.reset = self.reset.or(read.is_err().then_some(Side::Client));
                    open = matches!(read, Ok(1..));
                }
            }
            // What was sent ahead is still to be judged.
            if !open && ahead.is_empty() {
                return Ok((ahead, answer));
            }
        }
    }

    async fn send_on(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        let sent = self.timer.within(self.idle, self.origin.write_all(bytes)).await;
        flat(sent).map_err(|_| Reason::UpstreamUnreachable)?;
        self.up += bytes.len();
        Ok(())
    }

    /// As the first one was judged: what it names is the same, and is what it wants.
    fn judge(&self, second: &ClientHello) -> Result<(), Reason> {
        if second.sni.as_ref() != Some(&self.named.sni) {
            return Err(Reason::SniChanged);
        }
        if second.ech && self.session.denies_ech() {
            return Err(Reason::EchPresent);
        }
        Ok(())
    }

    /// Reads the second hello to its end.
    async fn second_hello(&mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>, Reason> {
        let deadline = Instant::now() + self.hello;
        let (mut records, mut behind, mut reader) = (self.named.carrier.unpacking(), 0, HelloReader::default());
        loop {
            let records = records.read(&bytes);
            behind += other_records(records.get(behind..).unwrap_or_default());
            let hello = records.get(behind..).filter(|hello| hello.first().is_some_and(|kind| !is_other_record(*kind)));
            match hello.map(|hello| reader.read(hello)) {
                Some(Ok(second)) => return self.judge(&second).map(|()| bytes),
                Some(Err(ParseError::Invalid(error))) => return Err(error.reason()),
                _ if bytes.len() > wire_limit(self.session) => return Err(Reason::HelloTooLarge),
                Some(Err(ParseError::Incomplete)) | None => {}
            }
            match self.timer.by(deadline, self.client.read_buf(&mut bytes)).await {
                Err(_) => return Err(Reason::HelloTimeout),
                Ok(Ok(0) | Err(_)) => return Err(Reason::ClientGone),
                Ok(Ok(_)) => {}
            }
        }
    }
}

impl Carrier {
    /// What the origin may be sent of this before it has said anything: the hello, if there is nothing before it.
    pub(super) fn opening<'b>(&self, held: &'b [u8]) -> &'b [u8] {
        match self {
            Carrier::Bare => self.hello_length(held).and_then(|length| held.get(..length)).unwrap_or(held),
            Carrier::Tds(_) => &[],
        }
    }

    fn hello_length(&self, held: &[u8]) -> Option<usize> {
        match self {
            Carrier::Bare => client_hello::wire_length(held),
            Carrier::Tds(_) => tds::hello_length(held),
        }
    }

    /// How much of this, which the client sent ahead of the answer, may be passed on; None where it does not matter.
    /// In packets nothing is expected before the answer.
    fn passable(&self, ahead: &[u8]) -> Option<usize> {
        match self {
            Carrier::Bare => passable(ahead),
            Carrier::Tds(_) => Some(0),
        }
    }

    /// Reads the records in what comes.
    fn unpacking(&self) -> Records {
        match self {
            Carrier::Bare => Records::Bare,
            Carrier::Tds(_) => Records::Packed(Unpacked::of_either()),
        }
    }
}

/// TLS records, bare or in packets.
enum Records {
    Bare,
    Packed(Unpacked),
}

impl Records {
    /// Those in these bytes as far as they are there, which begin with those of the calls before.
    fn read<'b>(&'b mut self, bytes: &'b [u8]) -> &'b [u8] {
        match self {
            Records::Bare => bytes,
            Records::Packed(unpacked) => {
                unpacked.read(bytes);
                unpacked.content()
            }
        }
    }

    /// No more of them come.
    fn are_broken(&self) -> bool {
        matches!(self, Records::Packed(unpacked) if unpacked.is_broken())
    }
}

fn flat<T>(sent: Result<io::Result<T>, Late>) -> io::Result<T> {
    sent.unwrap_or_else(|late| Err(late.into()))
}

/// The random of a ServerHello that is a HelloRetryRequest (RFC 8446 section 4.1.3): SHA-256 of those words.
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// An origin that hides the retry by cutting it up would only hide it for a client that it conspires with, and that
/// client needs no retry to be let through.
fn is_hello_retry(answer: &[u8]) -> bool {
    answer.first() == Some(&HANDSHAKE) && answer.get(5) == Some(&2) && answer.get(11..43) == Some(&RETRY_RANDOM)
}

/// Is it known by so much of an answer whether it is one?
fn is_clear(answer: &[u8]) -> bool {
    answer.first().is_some_and(|kind| *kind != HANDSHAKE) || answer.len() >= 11 + RETRY_RANDOM.len()
}

/// How many bytes are whole records that are no handshake, such as early data.
fn other_records(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match *bytes.get(at..).unwrap_or_default() {
            [kind, _, _, high, low, ..] if is_other_record(kind) => {
                let end = at + 5 + usize::from(u16::from_be_bytes([high, low]));
                if end > bytes.len() {
                    return at;
                }
                at = end;
            }
            _ => return at,
        }
    }
}

fn is_other_record(kind: u8) -> bool {
    kind != HANDSHAKE && CONTENT_TYPES.contains(&kind)
}

/// How many bytes of these may go ahead of a handshake; None where they are no records.
fn passable(bytes: &[u8]) -> Option<usize> {
    let at = other_records(bytes);
    bytes.get(at).is_none_or(|kind| CONTENT_TYPES.contains(kind)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_before_the_second_hello() {
        let check = |bytes: &[u8], others: usize, pass: Option<usize>| {
            assert_eq!((other_records(bytes), passable(bytes)), (others, pass), "{bytes:?}");
        };
        check(&[], 0, Some(0));
        check(&[20, 3, 3, 0], 0, Some(0));
        check(&[20, 3, 3, 0, 1], 0, Some(0));
        check(&[20, 3, 3, 0, 1, 1], 6, Some(6));
        check(&[20, 3, 3, 0, 1, 1, 22, 3], 6, Some(6));
        check(&[20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 2, 7, 7, 22], 13, Some(13));
        check(&[20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 2, 7], 6, Some(6));
        check(&[20, 3, 3, 0, 1, 1, b'p'], 6, None);
        check(b"ping", 0, None);
    }
}
