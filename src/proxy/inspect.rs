//! What is inside a tunnel: the first bytes are read before anything is dialled.
//!
//! A ClientHello's SNI has to be the name that the tunnel was asked for. Plain HTTP is served request by
//! request. What is neither is refused by closing without a byte.

use std::rc::Rc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::EchMode;
use crate::flow::{Host, HostName, Protocol, Reason};
use crate::telemetry::{CloseWhy, ClosedBy};
use crate::wire::ParseError;
use crate::wire::client_hello::{self, ClientHello};

use super::http::{self, Form};
use super::session::{Ask, Permitted, Refused, Session, Tunnel, close_gently};

/// The first byte of a TLS handshake record, and of a TDS pre-login packet (MS-TDS 2.2.3.1.1).
const TLS_HANDSHAKE: u8 = 22;
const TDS_PRELOGIN: u8 = 0x12;

/// What is read at once.
const READ: usize = 4 * 1024;

/// What the first bytes turned out to be.
enum First {
    Tls(ClientHello),
    Http,
    Tds,
}

/// Serves a tunnel that was promised to the client. `held` came with the promise's request.
pub(super) async fn serve(
    session: &Rc<Session>,
    mut stream: TcpStream,
    mut held: BytesMut,
    permitted: Permitted,
    ask: Ask<'_>,
) {
    let first = first_bytes(session, &mut stream, &mut held).await;
    let sni = match &first {
        Ok(First::Tls(hello)) => hello.sni.clone(),
        _ => None,
    };
    let judged = match first {
        Ok(First::Tls(hello)) => tls(session, &hello, permitted, ask),
        Ok(First::Http) => plain(session, Protocol::Http, Reason::NotTls, permitted, ask),
        Ok(First::Tds) => plain(session, Protocol::Mssql, Reason::NotTls, permitted, ask),
        Err(reason) => Err(session.refuse(permitted, reason)),
    };
    match judged {
        Ok(permitted) if permitted.protocol == Protocol::Http => {
            http::serve(session.clone(), stream, held, Form::Tunnel(ask.via, ask.to.clone())).await;
        }
        Ok(permitted) => open(session, stream, held, permitted, ask, sni).await,
        Err(refused) => {
            session.record_refused(ask, &refused, sni.map(Into::into)).await;
            close_gently(stream).await;
        }
    }
}

/// Reads until it is clear what the client speaks, within the deadline for a hello.
async fn first_bytes(session: &Session, stream: &mut TcpStream, held: &mut BytesMut) -> Result<First, Reason> {
    let deadline = Instant::now() + session.timeouts().hello;
    loop {
        match held.first() {
            Some(&TLS_HANDSHAKE) => match client_hello::parse(held) {
                Ok(hello) => return Ok(First::Tls(hello)),
                Err(ParseError::Invalid(error)) => return Err(error.reason()),
                Err(ParseError::Incomplete) if held.len() > wire_limit(session) => return Err(Reason::HelloTooLarge),
                Err(ParseError::Incomplete) => {}
            },
            Some(&TDS_PRELOGIN) => return Ok(First::Tds),
            Some(byte) if byte.is_ascii_uppercase() => return Ok(First::Http),
            Some(_) => return Err(Reason::NotTls),
            None => {}
        }
        held.reserve(READ);
        match timeout_at(deadline, stream.read_buf(held)).await {
            Err(_) => return Err(Reason::HelloTimeout),
            Ok(Ok(0) | Err(_)) => return Err(Reason::ClientGone),
            Ok(Ok(_)) => {}
        }
    }
}

/// Records add to a hello's size: as much again is granted for them.
fn wire_limit(session: &Session) -> usize {
    session.core.shared.config.limits.hello_bytes.saturating_mul(2)
}

fn tls(session: &Session, hello: &ClientHello, permitted: Permitted, ask: Ask<'_>) -> Result<Permitted, Refused> {
    let https = Ask { protocols: &[Protocol::Https], ..ask };
    // TDS 8.0 begins with TLS as well.
    let mssql = Ask { protocols: &[Protocol::Mssql], ..ask };
    let asked = if permitted.protocol == Protocol::Mssql { mssql } else { https };
    let permitted = session.reauthorize(asked, permitted)?;
    let ech = hello.ech && session.core.shared.config.ech == EchMode::Deny;
    match &hello.sni {
        None => Err(session.refuse(permitted, Reason::MissingSni)),
        Some(sni) if !is_name(&ask.to.host, sni) => Err(session.refuse(permitted, Reason::SniConnectMismatch)),
        Some(_) if ech => Err(session.refuse(permitted, Reason::EchPresent)),
        Some(_) => Ok(permitted),
    }
}

fn is_name(host: &Host, sni: &HostName) -> bool {
    matches!(host, Host::Name(name) if name == sni)
}

/// Bytes that are not TLS: fine where a rule wants just these, no TLS where one wants TLS.
fn plain(
    session: &Session,
    protocol: Protocol,
    otherwise: Reason,
    permitted: Permitted,
    ask: Ask<'_>,
) -> Result<Permitted, Refused> {
    let wanted_tls = permitted.protocol == Protocol::Https;
    let protocols = match protocol {
        Protocol::Http => &[Protocol::Http],
        _ => &[Protocol::Mssql],
    };
    session
        .reauthorize(Ask { protocols, ..ask }, permitted)
        .map_err(|refused| if wanted_tls { refused.because(otherwise) } else { refused })
}

async fn open(
    session: &Session,
    mut stream: TcpStream,
    held: BytesMut,
    permitted: Permitted,
    ask: Ask<'_>,
    sni: Option<HostName>,
) {
    let opened = session.record_allowed(ask, &permitted, sni.clone().map(Into::into)).await;
    let mut origin = match session.dial(&permitted).await {
        Ok(origin) => origin,
        Err(reason) => {
            session.close(opened, 0, 0, ClosedBy::Egret, CloseWhy::Reason(reason));
            return close_gently(stream).await;
        }
    };
    let mut moved = Moved::default();
    let tls = sni.as_ref();
    match first_exchange(session, &mut stream, &mut origin, held, tls, &mut moved).await {
        Ok(early) => {
            let tunnel = Tunnel { opened, ask, permitted };
            session.tunnel_after(tunnel, &stream, &origin, early, [moved.up, moved.down]).await;
        }
        Err(reason) => {
            session.close(opened, moved.up, moved.down, ClosedBy::Egret, CloseWhy::Reason(reason));
            close_gently(stream).await;
        }
    }
}

/// Bytes that went through before the relay began.
#[derive(Default)]
struct Moved {
    up: u64,
    down: u64,
}

/// Sends the hello on and looks at the answer: after a HelloRetryRequest comes a second hello, which must name
/// the same host. Returns what the relay has still to pass on: from the client, from the origin.
async fn first_exchange(
    session: &Session,
    client: &mut TcpStream,
    origin: &mut TcpStream,
    held: BytesMut,
    sni: Option<&HostName>,
    moved: &mut Moved,
) -> Result<[Vec<u8>; 2], Reason> {
    let Some(sni) = sni else { return Ok([held.to_vec(), Vec::new()]) };
    let idle = session.timeouts().idle;
    timeout(idle, origin.write_all(&held))
        .await
        .map_err(|_| Reason::UpstreamTimeout)?
        .or(Err(Reason::UpstreamUnreachable))?;
    moved.up += held.len() as u64;
    drop(held);
    let mut answer = Vec::with_capacity(READ);
    // An end or an error shows itself again in the relay.
    let _ = timeout(idle, origin.read_buf(&mut answer)).await.map_err(|_| Reason::UpstreamTimeout)?;
    if !is_hello_retry(&answer) {
        return Ok([Vec::new(), answer]);
    }
    timeout(idle, client.write_all(&answer)).await.map_err(|_| Reason::ClientGone)?.or(Err(Reason::ClientGone))?;
    moved.down += answer.len() as u64;
    let second = second_hello(session, client, sni).await?;
    Ok([second, Vec::new()])
}

/// Reads the second hello to its end.
async fn second_hello(session: &Session, client: &mut TcpStream, sni: &HostName) -> Result<Vec<u8>, Reason> {
    let deadline = Instant::now() + session.timeouts().hello;
    let mut bytes = Vec::with_capacity(READ);
    loop {
        match timeout_at(deadline, client.read_buf(&mut bytes)).await {
            Err(_) => return Err(Reason::HelloTimeout),
            Ok(Ok(0) | Err(_)) => return Err(Reason::ClientGone),
            Ok(Ok(_)) => {}
        }
        let Some(hello) = behind_other_records(&bytes) else { continue };
        match client_hello::parse(hello) {
            Ok(second) if second.sni.as_ref() == Some(sni) => return Ok(bytes),
            Ok(_) => return Err(Reason::SniChanged),
            Err(ParseError::Invalid(error)) => return Err(error.reason()),
            Err(ParseError::Incomplete) if bytes.len() > wire_limit(session) => return Err(Reason::HelloTooLarge),
            Err(ParseError::Incomplete) => {}
        }
    }
}

/// The random of a ServerHello that is a HelloRetryRequest (RFC 8446 section 4.1.3): SHA-256 of those words.
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// An origin that hides the retry by cutting it up would only hide it from a client that it conspires with, and
/// that client needs no retry to be let through.
fn is_hello_retry(answer: &[u8]) -> bool {
    answer.first() == Some(&TLS_HANDSHAKE) && answer.get(5) == Some(&2) && answer.get(11..43) == Some(&RETRY_RANDOM)
}

/// What follows records of a changed cipher spec and of early data, which may come before the second hello.
fn behind_other_records(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        match bytes {
            [20 | 23, _, _, high, low, rest @ ..] => {
                bytes = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..)?;
            }
            [20 | 23, ..] | [] => return None,
            _ => return Some(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_before_the_second_hello() {
        let check = |bytes: &[u8], expected: Option<&[u8]>| assert_eq!(behind_other_records(bytes), expected);
        check(&[], None);
        check(&[20, 3, 3, 0], None);
        check(&[20, 3, 3, 0, 1], None);
        check(&[20, 3, 3, 0, 1, 1], None);
        check(&[20, 3, 3, 0, 1, 1, 22, 3], Some(&[22, 3]));
        check(&[20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 2, 7, 7, 22], Some(&[22]));
    }
}
