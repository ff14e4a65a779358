//! The gateway: connections that the kernel handed over, decided as Azure Firewall does.
//!
//! A DNAT or network rule decides at once, by the address that the client dialled, and keeps it. On an intercepted
//! port what nothing decided yet is looked into: the name that shows is asked about, resolved again, and *that* is
//! dialled. Anything else is denied.

use std::rc::Rc;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{DeniedTcp, EchMode};
use crate::flow::{Authority, Host, Protocol, Reason, Via};
use crate::net::origdst::original_destination;
use crate::wire::client_hello::ClientHello;

use super::http::{self, Form};
use super::inspect::{self, First};
use super::records::About;
use super::session::{Ask, Outcome, Permitted, Refused, Session, Tunnel, close_gently};

/// Serves one connection to its end, or to where it becomes a tunnel.
pub(super) async fn serve(session: Rc<Session>, stream: TcpStream) -> Outcome {
    let Ok(dst) = original_destination(&stream) else {
        session.record_malformed(Via::Gateway, About::Nothing, Reason::ClientGone).await;
        return None;
    };
    let to = Authority { host: Host::Addr(dst.ip()), port: dst.port() };
    if session.core.shared.is_own(dst) {
        session.record_malformed(Via::Gateway, About::To(&to), Reason::Loop).await;
        reset(stream);
        return None;
    }
    let ask = Ask { via: Via::Gateway, to: &to, protocols: &[Protocol::Tcp], path: None };
    let decided = match session.authorize_inbound(ask).await {
        Some(decided) => decided,
        None => session.authorize(ask).await,
    };
    match decided {
        Ok(permitted) => pass(&session, stream, permitted, ask).await,
        Err(refused) if is_looked_into(&refused, dst.port()) => look(&session, stream, refused, ask).await,
        Err(refused) => deny(&session, stream, refused, ask).await,
    }
}

/// No rule decided, and the port is one where names do.
fn is_looked_into(refused: &Refused, port: u16) -> bool {
    refused.decision.rule.is_none()
        && refused.reason != Reason::LogUnavailable
        && refused.active.policy.is_intercepted(port)
}

/// A flow that is not looked into: the client believes that it has reached its destination, so what cannot be reached
/// is reset.
async fn pass(session: &Session, stream: TcpStream, mut permitted: Permitted, ask: Ask<'_>) -> Outcome {
    let opened = session.record_allowed(ask, &permitted, None).await;
    match session.dial(&mut permitted).await {
        Ok(origin) => {
            let (via, to, path, client) = (ask.via, ask.to.clone(), None, stream);
            let (early, moved) = ([Vec::new(), Vec::new()], [0, 0]);
            Some(Box::new(Tunnel { opened, via, to, path, permitted, client, origin, early, moved }))
        }
        Err(reason) => {
            session.close_failed(opened, [0, 0], reason);
            reset(stream);
            None
        }
    }
}

/// Decides by the name in the first bytes.
async fn look(session: &Rc<Session>, mut stream: TcpStream, refused: Refused, ask: Ask<'_>) -> Outcome {
    let mut held = BytesMut::new();
    match inspect::first_bytes(session, &mut stream, &mut held).await {
        Ok(First::Tls(hello)) => tls(session, stream, held, hello, refused, ask).await,
        Ok(First::Http) => plain(session, stream, held, ask.to.port).await,
        Ok(First::Tds) => close(session, stream, refused.because(Reason::MissingSni), ask).await,
        // A bare handshake leaves no trace in Azure's log either (firewall-faq.yml).
        Err(Reason::ClientGone) if held.is_empty() => None,
        Err(reason) => close(session, stream, refused.because(reason), ask).await,
    }
}

async fn tls(
    session: &Rc<Session>,
    stream: TcpStream,
    held: BytesMut,
    hello: ClientHello,
    refused: Refused,
    dialled: Ask<'_>,
) -> Outcome {
    let refused = Refused { protocol: Protocol::Https, ..refused };
    let Some(sni) = hello.sni else {
        return close(session, stream, refused.because(Reason::MissingSni), dialled).await;
    };
    let to = Authority { host: Host::Name(sni.clone()), port: dialled.to.port };
    // TDS 8.0 begins with TLS as well.
    let ask = Ask { to: &to, protocols: &[Protocol::Https, Protocol::Mssql], ..dialled };
    let decided = match session.authorize(ask).await {
        Ok(permitted) if hello.ech && session.core.shared.config.ech == EchMode::Deny => {
            Err(session.refuse(permitted, Reason::EchPresent))
        }
        decided => decided,
    };
    match decided {
        Ok(permitted) => inspect::open(session, stream, held, permitted, ask, Some(sni)).await,
        Err(refused) => {
            session.record_refused(ask, &refused, Some(sni.into())).await;
            close_gently(stream).await;
            None
        }
    }
}

/// Plain HTTP, each request by its own Host header.
async fn plain(session: &Rc<Session>, stream: TcpStream, held: BytesMut, port: u16) -> Outcome {
    match http::serve(session.clone(), stream, held, Form::Gateway(port)).await {
        http::After::Switched(tunnel) => Some(tunnel),
        http::After::Closed | http::After::Connect(..) => None,
    }
}

/// Refuses on an intercepted port: the end, without a byte.
async fn close(session: &Session, stream: TcpStream, refused: Refused, ask: Ask<'_>) -> Outcome {
    session.record_refused(ask, &refused, None).await;
    close_gently(stream).await;
    None
}

/// Refuses on any other port.
async fn deny(session: &Session, mut stream: TcpStream, refused: Refused, ask: Ask<'_>) -> Outcome {
    session.record_refused(ask, &refused, None).await;
    if session.core.shared.gateway.denied_tcp == DeniedTcp::Silence {
        be_silent(session, &mut stream).await;
    }
    reset(stream);
    None
}

/// Answers nothing until the client gives up, for as long as that may take and as many as may be silent at once.
async fn be_silent(session: &Session, stream: &mut TcpStream) {
    let Ok(_place) = session.core.shared.silent.try_acquire() else { return };
    let mut waste = [0; 512];
    let gone = async { while let Ok(1..) = stream.read(&mut waste).await {} };
    let kill = session.core.shared.lifecycle.drain.cancelled();
    tokio::select! {
        // At the deadline it is reset.
        _ = timeout(session.timeouts().silence, gone) => {}
        () = kill => {}
    }
}

/// Closes so that the client sees a reset.
fn reset(stream: TcpStream) {
    // A socket that refuses the option is closed all the same.
    let _ = SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
    drop(stream);
}
