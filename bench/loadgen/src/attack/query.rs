//! Questions to a DNS proxy, right and wrong ones.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use super::bytes::{Fill, from_hex};
use super::case::Query;
use super::flow::Refusal;
use super::ways::bind;

const ID: [u8; 2] = [0x65, 0x67];
const EDNS: u16 = 41;
/// The option of EDNS that pads a message.
const PADDING: u16 = 12;

pub struct Reply {
    pub client: Option<SocketAddr>,
    /// None: answered with at least one record.
    pub refusal: Option<Refusal>,
}

pub fn ask(server: SocketAddr, query: &Query, fill: &Fill, patience: Duration) -> Result<Reply> {
    let message = message(query, fill);
    if query.tcp { by_tcp(server, &message, patience) } else { by_udp(server, &message, patience) }
}

/// Whether somebody answers there to what is permitted, whatever it is.
pub fn try_it(server: SocketAddr, patience: Duration) -> Result<()> {
    let question = [wire_name("ok.test"), words(&[1, 1])].concat();
    let message = [&ID[..], &words(&[0x0100, 1, 0, 0, 0]), &question].concat();
    let reply = by_udp(server, &message, patience)?;
    ensure!(reply.refusal != Some(Refusal::Dropped), "nobody answers questions of DNS at {server}");
    Ok(())
}

fn by_udp(server: SocketAddr, message: &[u8], patience: Duration) -> Result<Reply> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    bind(|from| socket.bind(&from.into()), server);
    let socket = UdpSocket::from(socket);
    socket.connect(server)?;
    socket.set_read_timeout(Some(patience))?;
    let client = socket.local_addr().ok();
    let mut buffer = [0; 4096];
    let answer = socket.send(message).and_then(|_| socket.recv(&mut buffer));
    let refusal = match answer {
        // The kernel's word for a port where nobody is, not a proxy's for a question.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            return Err(error).with_context(|| format!("asking {server}"));
        }
        Err(_) => Some(Refusal::Dropped),
        Ok(read) => refusal(&buffer[..read]),
    };
    Ok(Reply { client, refusal })
}

fn by_tcp(server: SocketAddr, message: &[u8], patience: Duration) -> Result<Reply> {
    let mut stream = TcpStream::connect(server).with_context(|| format!("connecting to {server}"))?;
    stream.set_read_timeout(Some(patience))?;
    let client = stream.local_addr().ok();
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut exchange = || {
        stream.write_all(&[&length[..], message].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let refusal = exchange().map_or(Some(Refusal::Dropped), |answer| refusal(&answer));
    Ok(Reply { client, refusal })
}

/// Without a record it is a refusal too, whatever its code.
fn refusal(answer: &[u8]) -> Option<Refusal> {
    let code = answer.get(3).map_or(0, |flags| flags & 15);
    let records = answer.get(6..8).map_or(0, |count| u16::from_be_bytes([count[0], count[1]]));
    (code != 0 || records == 0).then_some(Refusal::Rcode(code))
}

fn message(query: &Query, fill: &Fill) -> Vec<u8> {
    let question = match &query.raw {
        Some(raw) => from_hex(raw),
        None => [wire_name(&fill.text(&query.name)), words(&[query.kind, query.class])].concat(),
    };
    let counts = [query.questions, 0, 0, u16::from(query.edns.is_some())];
    let mut message = [&ID[..], &words(&[query.flags]), &words(&counts), &question].concat();
    if let Some(size) = query.edns {
        message.extend(edns(size, query.padding));
    }
    message.extend(vec![0; query.trailing]);
    message
}

fn edns(size: u16, padding: usize) -> Vec<u8> {
    let length = u16::try_from(padding).unwrap_or(0);
    let option = if length == 0 { Vec::new() } else { [words(&[PADDING, length]), vec![0; padding]].concat() };
    let whole = u16::try_from(option.len()).unwrap_or(0);
    [&[0][..], &words(&[EDNS, size, 0, 0, whole]), &option].concat()
}

/// Labels as they are, however long.
fn wire_name(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let length = |label: &str| u8::try_from(label.len()).unwrap_or(63);
    labels.flat_map(|label| [&[length(label)], label.as_bytes()].concat()).chain([0]).collect()
}

fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that nobody else has.
    fn at(answer: Option<[u8; 12]>) -> Result<()> {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = server.local_addr().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (_, client) = server.recv_from(&mut [0; 512]).unwrap();
                answer.map(|answer| server.send_to(&answer, client).unwrap());
            });
            try_it(addr, Duration::from_millis(300))
        })
    }

    #[test]
    fn who_does_not_answer_is_not_there() {
        at(Some([0x65, 0x67, 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0])).unwrap();
        assert!(at(None).unwrap_err().to_string().starts_with("nobody answers questions of DNS at 127.0.0.1:"));
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = format!("{:#}", try_it(closed, Duration::from_secs(4)).unwrap_err());
        assert!(error.starts_with("asking 127.0.0.1:") && error.contains("refused"), "{error}");
    }
}
