//! The client's half of a case: a connection by one door, and the steps on it.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::answer::{Connection, answer, head, is_framed};
use super::bytes::{Fill, Piece};
use super::case::{Await, Case, Door, Segments, Step};
use super::ways::{CONNECT, TICK, Ways, connect};

/// Bytes of what came that are kept for the next step.
const KEPT: usize = 4 * 1024 * 1024;

/// How a refusal showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Status(u16),
    Socks(u8),
    Closed,
    Reset,
    /// A code of DNS.
    Rcode(u8),
    Dropped,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Status(status) => write!(out, "{status}"),
            Refusal::Socks(0xff) => out.write_str("no method of SOCKS5"),
            Refusal::Socks(reply) => write!(out, "SOCKS5 reply {reply}"),
            Refusal::Closed => out.write_str("closed"),
            Refusal::Reset => out.write_str("reset"),
            Refusal::Rcode(code) => write!(out, "rcode {code}"),
            Refusal::Dropped => out.write_str("dropped"),
        }
    }
}

pub struct Flow {
    stream: TcpStream,
    /// What came and was not yet waited for.
    pub seen: Vec<u8>,
    pub refused: Option<Refusal>,
    /// Something of the origin's came back.
    pub answered: bool,
    /// What was waited for in vain.
    pub unmet: Option<String>,
    /// Until when the steps may take.
    until: Instant,
    /// What TLS is spoken on, which stays open for as long as the flow.
    secure: Option<TcpStream>,
}

impl Flow {
    /// By this door, up to where the case itself begins.
    pub fn open(ways: &Ways, case: &Case, fill: &Fill, patience: Duration) -> Result<Flow> {
        let mut flow = Flow::over(ways.connect(case, fill.door)?, patience);
        match fill.door {
            Door::Connect => flow.ask_http(&fill.text(&case.target)),
            Door::Socks5 if case.target == "-" => {}
            Door::Socks5 => flow.ask_socks(&fill.text(&case.target))?,
            Door::Http | Door::Gateway | Door::Dns => {}
        }
        Ok(flow)
    }

    fn over(stream: TcpStream, patience: Duration) -> Flow {
        Flow {
            stream,
            seen: Vec::new(),
            refused: None,
            answered: false,
            unmet: None,
            until: Instant::now() + patience,
            secure: None,
        }
    }

    pub fn client(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    fn ask_http(&mut self, to: &str) {
        // The target is what is tried: a Host header that is none as well would be refused for its own sake.
        let host = if is_plain(to) { to } else { "ok.test" };
        self.send(format!("CONNECT {to} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        while !self.is_over() {
            if let Some((status, size)) = head(&self.seen) {
                if status != 200 {
                    self.refused = Some(Refusal::Status(status));
                } else {
                    self.seen.drain(..size);
                }
                return;
            }
            self.pump();
        }
        self.unmet = self.refused.is_none().then(|| "no answer to CONNECT".into());
    }

    fn ask_socks(&mut self, to: &str) -> Result<()> {
        let (host, port) = to.rsplit_once(':').context("a target of host:port")?;
        let port: u16 = port.parse().context("a target's port")?;
        self.send(&[5, 1, 0]);
        if self.take(2).is_none_or(|method| method[1] != 0) {
            self.refused.get_or_insert(Refusal::Socks(0xff));
            return Ok(());
        }
        self.send(&[&[5, 1, 0][..], &socks_address(host), &port.to_be_bytes()].concat());
        let Some(reply) = self.take(4) else { return Ok(()) };
        if reply[1] != 0 {
            self.refused = Some(Refusal::Socks(reply[1]));
            return Ok(());
        }
        self.take(if reply[3] == 4 { 18 } else { 6 });
        Ok(())
    }

    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        while self.seen.len() < size {
            if self.is_over() {
                return None;
            }
            self.pump();
        }
        Some(self.seen.drain(..size).collect())
    }

    /// The proxy has said its last word, or the time is up.
    fn is_over(&self) -> bool {
        self.refused.is_some() || Instant::now() >= self.until
    }

    pub fn play(&mut self, case: &Case, fill: &Fill, patience: Duration) -> Result<()> {
        for step in &case.steps {
            if self.refused.is_some() || self.unmet.is_some() {
                return Ok(());
            }
            self.until = Instant::now() + patience;
            self.step(step, fill)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, fill: &Fill) -> Result<()> {
        match step {
            Step::Send(pieces) => self.send(&fill.bytes(pieces)),
            Step::Segments(segments) => self.trickle(segments, fill),
            Step::Await(what) => self.wait_for(what, fill),
            Step::Wait(pause) => {
                let until = Instant::now() + Duration::from_millis(*pause);
                while Instant::now() < until && self.refused.is_none() {
                    self.pump();
                }
            }
            // A connection that is closed already needs no more.
            Step::Finish => drop(self.stream.shutdown(Shutdown::Write)),
            // They have come before.
            Step::Hold { .. } => {}
            Step::Tls { name, alpn, send } => self.secure(&fill.text(name), alpn, send, fill)?,
            Step::Query(_) => bail!("a question is for the dns door"),
        }
        Ok(())
    }

    /// The proxy may have closed before the last byte: what came back says so.
    fn send(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_over() {
            match self.stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if is_tick(&error) => self.pump(),
                Err(_) => return self.drain(),
            }
        }
    }

    fn trickle(&mut self, segments: &Segments, fill: &Fill) {
        let bytes = fill.bytes(&segments.of);
        for (from, to) in cuts(bytes.len(), segments) {
            if self.is_over() {
                return;
            }
            self.until = self.until.max(Instant::now() + TICK * 10);
            self.send(&bytes[from..to]);
            thread::sleep(Duration::from_millis(segments.pause));
        }
    }

    fn wait_for(&mut self, what: &Await, fill: &Fill) {
        loop {
            match self.meets(what, fill) {
                Met::Yes => return self.answered = true,
                Met::Otherwise(refusal) => return self.refused = Some(refusal),
                Met::NotYet => {}
            }
            if self.is_over() {
                break;
            }
            self.pump();
        }
        if self.refused.is_none() {
            self.unmet = Some(format!("{} did not come, but {:?}", shown_await(what, fill), self.shown()));
        }
    }

    fn meets(&mut self, what: &Await, fill: &Fill) -> Met {
        match what {
            Await::Text(text) => {
                let text = fill.text(text);
                let at = self.seen.windows(text.len()).position(|window| window == text.as_bytes());
                if let Some(at) = at {
                    self.seen.drain(..at + text.len());
                    return Met::Yes;
                }
                self.refusal()
            }
            Await::Bytes(size) if self.seen.len() >= *size => {
                self.seen.drain(..*size);
                Met::Yes
            }
            Await::Bytes(_) => self.refusal(),
            Await::Answer(wanted) => match self.answer() {
                Some((status, size)) if status == *wanted => {
                    self.seen.drain(..size);
                    Met::Yes
                }
                Some((status, size)) if status < 200 => {
                    self.seen.drain(..size);
                    Met::NotYet
                }
                Some((status, _)) if status >= 400 => Met::Otherwise(Refusal::Status(status)),
                _ => Met::NotYet,
            },
        }
    }

    /// Status of the whole answer that came first, and its size.
    fn answer(&self) -> Option<(u16, usize)> {
        let connection = if self.refused.is_some() { Connection::Ended } else { Connection::Open };
        answer(&self.seen, connection)
    }

    fn refusal(&self) -> Met {
        match head(&self.seen) {
            Some((status, _)) if status >= 400 => Met::Otherwise(Refusal::Status(status)),
            _ => Met::NotYet,
        }
    }

    /// A protocol that nobody knows carries the marker, so that the origin knows whose hello it is.
    fn secure(&mut self, name: &str, alpn: &[String], send: &[Piece], fill: &Fill) -> Result<()> {
        let protocols = alpn.iter().map(|name| name.as_bytes().to_vec());
        let config = super::tls::client(protocols.chain([fill.marker.clone().into_bytes()]).collect())?;
        let name = ServerName::try_from(name.to_owned()).context("the name of a TLS session")?;
        let stream = self.stream.try_clone()?;
        stream.set_read_timeout(Some(self.until.saturating_duration_since(Instant::now()).max(TICK)))?;
        let mut secure = StreamOwned::new(ClientConnection::new(config, name)?, stream);
        let mut buffer = vec![0; 16 * 1024];
        let said = secure.write_all(&fill.bytes(send)).and_then(|()| secure.flush());
        match said.and_then(|()| secure.read(&mut buffer)) {
            Ok(read @ 1..) => self.seen.extend(&buffer[..read]),
            Ok(0) => self.refused = Some(Refusal::Closed),
            Err(error) if is_tick(&error) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.refused = Some(Refusal::Reset),
            Err(_) => self.refused = Some(Refusal::Closed),
        }
        self.stream.set_read_timeout(Some(TICK))?;
        self.secure = Some(secure.sock);
        Ok(())
    }

    /// The beginning of what came, to be read by people.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.seen).escape_debug().take(60).collect()
    }

    /// Takes what has come, waiting a moment for it.
    pub fn pump(&mut self) {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.refused = self.refused.or(Some(Refusal::Closed)),
            Ok(read) if self.seen.len() < KEPT => self.seen.extend(&buffer[..read]),
            Ok(_) => {}
            Err(error) if is_tick(&error) => {}
            Err(_) => self.refused = self.refused.or(Some(Refusal::Reset)),
        }
    }

    /// What came before the connection broke.
    fn drain(&mut self) {
        for _ in 0..1000 {
            if self.refused.is_some() {
                return;
            }
            self.pump();
        }
    }

    /// The next answer of HTTP in what came, whose bytes are gone then if it refuses nothing.
    pub fn next_status(&mut self) -> Option<u16> {
        let (status, size) = match head(&self.seen)? {
            (status @ 400.., size) => (status, size),
            // What has no length is the 200 to a CONNECT: there is no body.
            (_, size) if !is_framed(&self.seen[..size]) => head(&self.seen)?,
            _ => self.answer()?,
        };
        if status < 400 {
            self.seen.drain(..size);
        }
        Some(status)
    }
}

/// Whether tunnels for plain HTTP to what is permitted are opened by this door.
pub fn tunnels_http(ways: &Ways, door: Door) -> bool {
    let Some(stream) = ways.known(door).and_then(|to| connect(to).ok()) else { return false };
    let mut flow = Flow::over(stream, CONNECT);
    match door {
        Door::Socks5 => drop(flow.ask_socks("ok.test:80")),
        _ => flow.ask_http("ok.test:80"),
    }
    // Some refuse only what is inside.
    flow.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    while !flow.is_over() {
        if let Some(status) = flow.next_status() {
            return status < 400;
        }
        flow.pump();
    }
    false
}

/// The other connections that a case holds open, which come before its own.
pub fn crowd(ways: &Ways, case: &Case, fill: &Fill, patience: Duration) -> Result<Vec<Flow>> {
    let mut held = Vec::new();
    for step in &case.steps {
        let Step::Hold { count, send } = step else { continue };
        for _ in 0..*count {
            let mut other = Flow::open(ways, case, fill, patience)?;
            other.send(&fill.bytes(send));
            held.push(other);
        }
    }
    Ok(held)
}

enum Met {
    Yes,
    NotYet,
    Otherwise(Refusal),
}

/// A name or an address, and a port.
fn is_plain(authority: &str) -> bool {
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address = address.is_some_and(|address| address.parse::<IpAddr>().is_ok());
    (name || address) && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn shown_await(what: &Await, fill: &Fill) -> String {
    match what {
        Await::Answer(status) => format!("an answer {status}"),
        Await::Text(text) => format!("{:?}", fill.text(text)),
        Await::Bytes(size) => format!("{size} bytes"),
    }
}

fn is_tick(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn socks_address(host: &str) -> Vec<u8> {
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(addr)) => [&[1][..], &addr.octets()].concat(),
        Ok(IpAddr::V6(addr)) => [&[4][..], &addr.octets()].concat(),
        Err(_) => [&[3, u8::try_from(host.len()).unwrap_or(u8::MAX)], host.as_bytes()].concat(),
    }
}

/// The ranges that the bytes are sent in.
fn cuts(length: usize, segments: &Segments) -> Vec<(usize, usize)> {
    let mut places: Vec<usize> = segments.at.iter().copied().filter(|place| *place < length).collect();
    let mut last = places.last().copied().unwrap_or(0);
    if let Some(each) = segments.each {
        while last + each < length {
            last += each;
            places.push(last);
        }
    }
    let from = [0].into_iter().chain(places.iter().copied());
    from.zip(places.iter().copied().chain([length])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments() {
        let check = |length, at: &[usize], each, expected: &[(usize, usize)]| {
            let segments = Segments { of: Vec::new(), at: at.to_vec(), each, pause: 0 };
            assert_eq!(cuts(length, &segments), expected);
        };
        check(5, &[], None, &[(0, 5)]);
        check(5, &[1, 9], None, &[(0, 1), (1, 5)]);
        check(5, &[], Some(2), &[(0, 2), (2, 4), (4, 5)]);
        check(6, &[1], Some(3), &[(0, 1), (1, 4), (4, 6)]);
    }
}
