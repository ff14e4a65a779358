//! The runner's name server. Every name leads to the origin, but those that a case leads elsewhere; every question is
//! noted.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::witness::Witness;

const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST: usize = 4096;

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const NULL: u16 = 10;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const HTTPS: u16 = 65;

/// Serves there, by UDP and TCP, for as long as this program runs.
pub fn listen(at: SocketAddr, witness: &Arc<Witness>) -> Result<()> {
    let what = || format!("listening on {at} for names");
    let socket = UdpSocket::bind(at).with_context(what)?;
    let listener = TcpListener::bind(at).with_context(what)?;
    let (by_udp, by_tcp) = (witness.clone(), witness.clone());
    thread::Builder::new().name("names".into()).spawn(move || datagrams(&socket, &by_udp))?;
    let accept = move || {
        for stream in listener.incoming().flatten() {
            let witness = by_tcp.clone();
            let _ = thread::Builder::new().spawn(move || stream_of(stream, &witness));
        }
    };
    thread::Builder::new().name("names".into()).spawn(accept)?;
    Ok(())
}

fn datagrams(socket: &UdpSocket, witness: &Witness) {
    let mut buffer = [0; LARGEST];
    loop {
        let Ok((read, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = answer(&buffer[..read], witness) {
            // Who asked may have gone.
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn stream_of(mut stream: TcpStream, witness: &Witness) -> Option<()> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question).ok()?;
        let answer = answer(&question, witness)?;
        let length = u16::try_from(answer.len()).ok()?.to_be_bytes();
        stream.write_all(&[&length[..], &answer].concat()).ok()?;
    }
}

fn answer(question: &[u8], witness: &Witness) -> Option<Vec<u8>> {
    let (name, end) = name(question, 12)?;
    let kind = u16::from_be_bytes(question.get(end..end + 2)?.try_into().ok()?);
    witness.asked(&name);
    let records = records(&name, kind, witness);
    let header = [&question[..2], &[0x85, 0x80, 0, 1, 0, u8::try_from(records.len()).ok()?, 0, 0, 0, 0]].concat();
    let question = question.get(12..end + 4)?;
    Some([&header[..], question, &records.concat()].concat())
}

/// Of a time to live of zero, so that whoever wants to know again has to ask.
fn records(name: &str, kind: u16, witness: &Witness) -> Vec<Vec<u8>> {
    if kind == HTTPS {
        // Priority 1, the name itself, and an `ech` parameter.
        return vec![record(kind, &[0, 1, 0, 0, 5, 0, 4, 0xfe, 0x0d, 0, 0])];
    }
    if let Some(data) = other(kind) {
        return vec![record(kind, data)];
    }
    // A question by IPv6 comes beside one by IPv4: both are one turn.
    let known = if kind == A { witness.take_addresses(name) } else { witness.addresses(name) };
    let known = known.unwrap_or_else(|| witness.public().to_vec());
    known
        .iter()
        .filter_map(|addr| match addr {
            IpAddr::V4(addr) if kind == A => Some(record(kind, &addr.octets())),
            IpAddr::V6(addr) if kind == AAAA => Some(record(kind, &addr.octets())),
            _ => None,
        })
        .collect()
}

/// Something of every type that data could be hidden in.
fn other(kind: u16) -> Option<&'static [u8]> {
    match kind {
        NS | CNAME => Some(&[0]),
        NULL => Some(b"leak"),
        MX => Some(&[0, 10, 0]),
        TXT => Some(b"\x04leak"),
        _ => None,
    }
}

fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(0);
    [&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 0], &length.to_be_bytes(), data].concat()
}

/// A name in lower case, and where it ends.
pub fn name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        if length > 63 {
            return None;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
}
