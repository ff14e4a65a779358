//! What is inside a tunnel: the first bytes are read before anything is dialled.
//!
//! A ClientHello's SNI has to be the name that the tunnel was asked for. Plain HTTP is served request by
//! request. What is neither is refused by closing without a byte.

use std::rc::Rc;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::config::EchMode;
use crate::flow::{Host, HostName, Protocol, Reason};
use crate::telemetry::{CloseWhy, ClosedBy};
use crate::wire::ParseError;
use crate::wire::client_hello::{self, ClientHello};

use super::handshake::Handshake;
use super::http::{self, Form};
use super::session::{Ask, Outcome, Permitted, Refused, Session, Tunnel, close_gently};

/// The first byte of a TLS handshake record, and of a TDS pre-login packet (MS-TDS 2.2.3.1.1).
const TLS_HANDSHAKE: u8 = 22;
const TDS_PRELOGIN: u8 = 0x12;

/// What is read at once.
const READ: usize = 4 * 1024;

/// What the first bytes turned out to be.
pub(super) enum First {
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
) -> Outcome {
    let first = first_bytes(session, &mut stream, &mut held).await;
    let sni = match &first {
        Ok(First::Tls(hello)) => hello.sni.clone(),
        _ => None,
    };
    let judged = match first {
        Ok(First::Tls(hello)) => tls(session, &hello, permitted, ask),
        Ok(First::Http) => plain(session, &[Protocol::Http], permitted, ask),
        Ok(First::Tds) => plain(session, &[Protocol::Mssql], permitted, ask),
        Err(Reason::NotTls) => {
            let reason = mismatch(permitted.protocol).unwrap_or(Reason::NotTls);
            Err(session.refuse(permitted, reason))
        }
        Err(reason) => Err(session.refuse(permitted, reason)),
    };
    match judged {
        Ok(permitted) if permitted.protocol == Protocol::Http => {
            match http::serve(session.clone(), stream, held, Form::Tunnel(ask.via, ask.to.clone())).await {
                http::After::Switched(tunnel) => Some(tunnel),
                http::After::Closed | http::After::Connect(..) => None,
            }
        }
        Ok(permitted) => open(session, stream, held, permitted, ask, sni).await,
        Err(refused) => {
            session.record_refused(ask, &refused, sni.map(Into::into)).await;
            close_gently(stream).await;
            None
        }
    }
}

/// Reads until it is clear what the client speaks, within the deadline for a hello.
pub(super) async fn first_bytes(
    session: &Session,
    stream: &mut TcpStream,
    held: &mut BytesMut,
) -> Result<First, Reason> {
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
pub(super) fn wire_limit(session: &Session) -> usize {
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

/// Bytes that are not TLS: fine where a rule wants just these, and not what was wanted where one wants others.
fn plain(session: &Session, protocols: &[Protocol], permitted: Permitted, ask: Ask<'_>) -> Result<Permitted, Refused> {
    let mismatch = mismatch(permitted.protocol);
    session.reauthorize(Ask { protocols, ..ask }, permitted).map_err(|refused| match mismatch {
        Some(reason) => refused.because(reason),
        None => refused,
    })
}

/// What first bytes are where a rule wants this protocol and they are another one.
fn mismatch(wanted: Protocol) -> Option<Reason> {
    match wanted {
        Protocol::Https => Some(Reason::NotTls),
        Protocol::Mssql => Some(Reason::NotTds),
        _ => None,
    }
}

pub(super) async fn open(
    session: &Session,
    mut stream: TcpStream,
    held: BytesMut,
    mut permitted: Permitted,
    ask: Ask<'_>,
    sni: Option<HostName>,
) -> Outcome {
    let opened = session.record_allowed(ask, &permitted, sni.clone().map(Into::into)).await;
    let mut origin = match session.dial(&mut permitted).await {
        Ok(origin) => origin,
        Err(reason) => {
            session.close_failed(opened, [0, 0], reason);
            close_gently(stream).await;
            return None;
        }
    };
    let (via, to, path) = (ask.via, ask.to.clone(), None);
    let Some(sni) = sni else {
        let (early, moved) = ([held.to_vec(), Vec::new()], [0, 0]);
        return Some(Box::new(Tunnel { opened, via, to, path, permitted, client: stream, origin, early, moved }));
    };
    let mut handshake = Handshake::new(session, &mut stream, &mut origin, &sni);
    let first = tokio::select! {
        biased;
        first = handshake.first_exchange(&held) => first.map_err(CloseWhy::Reason),
        why = session.cut(ask, &permitted) => Err(why),
    };
    let moved = handshake.moved();
    match first {
        Ok(early) => Some(Box::new(Tunnel { opened, via, to, path, permitted, client: stream, origin, early, moved })),
        Err(why) => {
            match why {
                CloseWhy::Reason(reason) => session.close_failed(opened, moved, reason),
                why => session.close(opened, moved, ClosedBy::Egret, why),
            }
            close_gently(stream).await;
            None
        }
    }
}
