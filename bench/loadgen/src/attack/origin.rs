//! The origin that nothing may reach but what is permitted. It takes connections on every port that a case names, notes
//! what comes, and answers as the case says.
//!
//! A thread for each connection: there are as many as cases at a time, and blocking reads are the plainest way to be
//! slow, to half-close and to speak TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::bytes::hello_retry_request;
use super::case::Tls;
use super::witness::{Script, Witness};

/// No connection outlives a peer that says nothing for so long.
const PATIENCE: Duration = Duration::from_secs(30);

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\norigin";
const MAX_HEAD: usize = 2 * 1024 * 1024;

#[derive(Clone)]
pub struct Origin {
    witness: Arc<Witness>,
    tls: Arc<ServerConfig>,
}

impl Origin {
    pub fn new(witness: Arc<Witness>) -> Result<Origin> {
        Ok(Origin { witness, tls: super::tls::server()? })
    }

    /// Serves there for as long as this program runs.
    pub fn listen(&self, at: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(at).with_context(|| format!("listening on {at} for the origin"))?;
        let origin = self.clone();
        let accept = move || {
            for stream in listener.incoming().flatten() {
                let origin = origin.clone();
                // A connection that finds no thread is dropped, which its client sees.
                let _ = thread::Builder::new().spawn(move || origin.serve(stream));
            }
        };
        thread::Builder::new().name("origin".into()).spawn(accept)?;
        Ok(())
    }

    /// A peer that leaves ends its session, and nothing else.
    fn serve(&self, stream: TcpStream) {
        let number = self.witness.accepted(stream.local_addr().ok());
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.set_nodelay(true);
        let mut noted = Noted { stream, witness: &self.witness, number, ahead: Vec::new() };
        let _ = self.play(&mut noted);
    }

    fn play(&self, stream: &mut Noted<'_>) -> io::Result<()> {
        let first = stream.fill()?;
        if first == 0 {
            return Ok(());
        }
        if stream.ahead[0].is_ascii_uppercase() {
            return http(stream, &self.witness);
        }
        if stream.ahead[0] != 22 {
            return echo(stream);
        }
        while stream.script().is_none() && stream.lacks_a_record() {
            if stream.fill()? == 0 {
                break;
            }
        }
        match stream.script().map(|script| script.tls) {
            Some(Tls::Echo) => echo(stream),
            Some(Tls::Retry) => retry(stream),
            // What has no marker is a proxy's own hello.
            Some(Tls::Serve) | None => self.secure(stream),
        }
    }

    fn secure(&self, stream: &mut Noted<'_>) -> io::Result<()> {
        let witness = stream.witness;
        let session = ServerConnection::new(self.tls.clone()).map_err(io::Error::other)?;
        let plain = StreamOwned::new(session, &mut *stream);
        let number = witness.accepted(plain.sock.stream.local_addr().ok());
        let mut noted = Inside { plain, witness, number, ahead: Vec::new() };
        noted.fill()?;
        if noted.ahead.starts_with(b"PRI ") { echo(&mut noted) } else { http(&mut noted, witness) }
    }
}

/// A stream whose bytes are noted as they come, some of which were read ahead.
trait Peer: Write {
    /// Reads more. None more are to come when it says zero.
    fn fill(&mut self) -> io::Result<usize>;
    fn ahead(&mut self) -> &mut Vec<u8>;
    fn number(&self) -> usize;
}

/// Notes what comes next, and keeps it for whoever reads.
fn read_ahead(from: &mut impl Read, witness: &Witness, number: usize, ahead: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 16 * 1024];
    let read = from.read(&mut buffer)?;
    witness.came(number, &buffer[..read]);
    ahead.extend(&buffer[..read]);
    Ok(read)
}

struct Noted<'a> {
    stream: TcpStream,
    witness: &'a Witness,
    number: usize,
    ahead: Vec<u8>,
}

impl Noted<'_> {
    fn script(&self) -> Option<Script> {
        self.witness.script(&self.ahead)
    }

    fn lacks_a_record(&self) -> bool {
        let length = self.ahead.get(3..5).map_or(5, |it| 5 + usize::from(u16::from_be_bytes([it[0], it[1]])));
        self.ahead.len() < length.max(400)
    }
}

impl Peer for Noted<'_> {
    fn fill(&mut self) -> io::Result<usize> {
        read_ahead(&mut self.stream, self.witness, self.number, &mut self.ahead)
    }

    fn ahead(&mut self) -> &mut Vec<u8> {
        &mut self.ahead
    }

    fn number(&self) -> usize {
        self.number
    }
}

impl Read for Noted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            self.fill()?;
        }
        let taken = self.ahead.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&self.ahead[..taken]);
        self.ahead.drain(..taken);
        Ok(taken)
    }
}

impl Write for Noted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What is inside of TLS.
struct Inside<'a, 'b> {
    plain: StreamOwned<ServerConnection, &'b mut Noted<'a>>,
    witness: &'a Witness,
    number: usize,
    ahead: Vec<u8>,
}

impl Peer for Inside<'_, '_> {
    fn fill(&mut self) -> io::Result<usize> {
        read_ahead(&mut self.plain, self.witness, self.number, &mut self.ahead)
    }

    fn ahead(&mut self) -> &mut Vec<u8> {
        &mut self.ahead
    }

    fn number(&self) -> usize {
        self.number
    }
}

impl Write for Inside<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.plain.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.plain.flush()
    }
}

fn echo(peer: &mut impl Peer) -> io::Result<()> {
    loop {
        let bytes = std::mem::take(peer.ahead());
        peer.write_all(&bytes)?;
        peer.flush()?;
        if peer.fill()? == 0 {
            return Ok(());
        }
    }
}

/// Asks for another hello once, and answers whatever comes then.
fn retry(peer: &mut impl Peer) -> io::Result<()> {
    peer.ahead().clear();
    peer.write_all(&hello_retry_request())?;
    while peer.fill()? > 0 {
        peer.ahead().clear();
        peer.write_all(b"served")?;
    }
    Ok(())
}

fn http(peer: &mut impl Peer, witness: &Witness) -> io::Result<()> {
    let mut answered = 0;
    while let Some(head) = head(peer)? {
        witness.requested(peer.number(), &head);
        let script = witness.script(head.as_bytes()).unwrap_or_default();
        let answer = script.answers.get(answered).or(script.answers.last());
        let answer = answer.map_or(ANSWER, String::as_str);
        if expects_to_continue(&head) {
            peer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if answer.starts_with("HTTP/1.1 101") {
            say(peer, answer)?;
            return echo(peer);
        }
        if !body(peer, &head)? {
            return Ok(());
        }
        say(peer, if head.starts_with("HEAD ") { answer.trim_end_matches("origin") } else { answer })?;
        answered += 1;
        if answer.contains("Connection: close") || !has_an_end(answer) {
            return Ok(());
        }
    }
    Ok(())
}

/// Its reader knows where it ends without the end of the connection.
fn has_an_end(answer: &str) -> bool {
    ["Content-Length:", "chunked", " 204 ", " 304 "].iter().any(|sign| answer.contains(sign))
}

/// `{pause:MILLISECONDS}` in an answer holds back what follows.
fn say(peer: &mut impl Peer, answer: &str) -> io::Result<()> {
    for (number, part) in answer.split("{pause:").enumerate() {
        let mut text = part;
        if number > 0 {
            let (pause, rest) = part.split_once('}').unwrap_or(("0", part));
            thread::sleep(Duration::from_millis(pause.parse().unwrap_or(0)));
            text = rest;
        }
        peer.write_all(text.as_bytes())?;
        peer.flush()?;
    }
    Ok(())
}

/// The next head, with its empty line. None at the end.
fn head(peer: &mut impl Peer) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = find(peer.ahead(), b"\r\n\r\n") {
            let head: Vec<u8> = peer.ahead().drain(..end + 4).collect();
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if peer.ahead().len() > MAX_HEAD || peer.fill()? == 0 {
            return Ok(None);
        }
    }
}

fn expects_to_continue(head: &str) -> bool {
    head.to_ascii_lowercase().contains("\r\nexpect: 100-continue")
}

/// Reads a body to its end. False where it has none.
fn body(peer: &mut impl Peer, head: &str) -> io::Result<bool> {
    let head = head.to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding:") {
        return chunks(peer);
    }
    let length = head.split("\r\ncontent-length:").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    take(peer, length.unwrap_or(0))
}

/// Takes nothing but what RFC 9112 has: what reads otherwise ends the connection.
fn chunks(peer: &mut impl Peer) -> io::Result<bool> {
    loop {
        let Some(line) = line(peer)? else { return Ok(false) };
        let size = line.split(';').next().unwrap_or_default();
        let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(size) = usize::from_str_radix(size, 16).ok().filter(|_| digits) else { return Ok(false) };
        if size == 0 {
            break;
        }
        if !take(peer, size.saturating_add(2))? {
            return Ok(false);
        }
    }
    loop {
        match line(peer)?.as_deref() {
            Some("") => return Ok(true),
            Some(_) => {}
            None => return Ok(false),
        }
    }
}

fn line(peer: &mut impl Peer) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = find(peer.ahead(), b"\r\n") {
            let line: Vec<u8> = peer.ahead().drain(..end + 2).collect();
            return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
        }
        if peer.fill()? == 0 {
            return Ok(None);
        }
    }
}

fn take(peer: &mut impl Peer, mut left: usize) -> io::Result<bool> {
    loop {
        let taken = left.min(peer.ahead().len());
        peer.ahead().drain(..taken);
        left -= taken;
        if left == 0 {
            return Ok(true);
        }
        if peer.fill()? == 0 {
            return Ok(false);
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
