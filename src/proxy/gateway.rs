//! The gateway: connections that the kernel handed over, decided as Azure Firewall does.
//!
//! A DNAT or network rule decides at once, by the address that the client dialled, and keeps it. On an intercepted
//! port what nothing decided yet is looked into: the name that shows is asked about, resolved again, and *that* is
//! dialled. Anything else is denied.

use std::net::IpAddr;
use std::rc::Rc;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::DeniedTcp;
use crate::flow::{Authority, Host, Protocol, Reason, Via};
use crate::net::origdst::original_destination;
use crate::net::relay::reset_when_dropped;
use crate::wire::client_hello::ClientHello;

use super::http::{self, Form};
use super::inspect;
use super::peek::{Carrier, First, Named, Peek, Speaks};
use super::records::About;
use super::session::{Ask, Outcome, Permitted, Refused, Session, Tunnel, close_gently};

/// Serves one connection to its end, or to where it becomes a tunnel.
pub(super) async fn serve(session: Rc<Session>, stream: TcpStream) -> Outcome {
    let Ok(dst) = original_destination(&stream, session.client.ip()) else {
        session.record_malformed(Via::Gateway, About::Nothing, Reason::ClientGone).await;
        return None;
    };
    let to = session.core.shared.meant_by(dst);
    let ask = Ask { via: Via::Gateway, to: &to, protocols: &[Protocol::Tcp], path: None, dialled: None, live: None };
    match session.authorize_handed_over(ask).await {
        Ok(permitted) => pass(&session, stream, permitted, ask).await,
        Err(refused) if is_looked_into(&refused, dst.port()) => look(&session, stream, refused, ask).await,
        Err(refused) => deny(&session, stream, refused, ask).await,
    }
}

/// Refuses a connection whatever it was meant for.
pub(super) async fn refuse(session: &Session, stream: TcpStream, reason: Reason) {
    let to = original_destination(&stream, session.client.ip()).map(|dst| session.core.shared.meant_by(dst));
    let about = to.as_ref().map_or(About::Nothing, About::To);
    session.record_malformed(Via::Gateway, about, reason).await;
    reset(stream);
}

/// No rule decided, and the port is one where names do.
fn is_looked_into(refused: &Refused, port: u16) -> bool {
    refused.decision.rule.is_none()
        && !matches!(refused.reason, Reason::LogUnavailable | Reason::Loop | Reason::ThreatIntel)
        && !refused.reason.is_before_firewall()
        && refused.active.policy.is_intercepted(port)
}

/// A flow that is not looked into: the client believes that it has reached its destination, so what cannot be reached
/// is reset.
async fn pass(session: &Session, stream: TcpStream, mut permitted: Permitted, ask: Ask<'_>) -> Outcome {
    let opened = session.record_allowed(ask, &permitted, None).await;
    match session.dial_as_client(&mut permitted).await {
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
    let mut peek = Peek::new(session, &mut stream, &mut held);
    let speaks = match peek.speaks().await {
        Ok(speaks) => speaks,
        // A bare handshake leaves no trace in Azure's log either (firewall-faq.yml).
        Err(Reason::ClientGone) if refused.decision.threat.is_none() => return None,
        Err(reason) => return close(session, stream, refused.because(reason), ask).await,
    };
    let refused = Refused { protocol: spoken(speaks), ..refused };
    match peek.first(speaks).await {
        Ok(First::Http) => plain(session, stream, held, ask.to).await,
        Ok(First::Tls(ClientHello { sni: None, .. }, _)) => {
            close(session, stream, refused.because(Reason::MissingSni), ask).await
        }
        Ok(First::Tls(ClientHello { sni: Some(sni), ech }, carrier)) => {
            let to = Authority { host: Host::Name(sni.clone()), port: ask.to.port };
            let dialled = dialled(ask.to);
            let ask = Ask { to: &to, protocols: protocols_in(&carrier), dialled, ..ask };
            let judged = match session.authorize(ask).await {
                Ok(permitted) if ech && session.denies_ech() => Err(session.refuse(permitted, Reason::EchPresent)),
                judged => judged,
            };
            tls(session, stream, held, judged, Named { sni, carrier }, ask).await
        }
        Err(reason) => close(session, stream, refused.because(reason), ask).await,
    }
}

/// The address behind a name that showed: threat intelligence may know it.
pub(super) fn dialled(to: &Authority) -> Option<IpAddr> {
    match to.host {
        Host::Addr(addr) => Some(addr.to_canonical()),
        Host::Name(_) => None,
    }
}

/// What a flow is recorded as that is refused before it named its destination.
fn spoken(speaks: Speaks) -> Protocol {
    match speaks {
        Speaks::Tls => Protocol::Https,
        Speaks::Tds => Protocol::Mssql,
        Speaks::Http => Protocol::Http,
    }
}

/// TDS 8.0 begins with TLS, as HTTPS does.
fn protocols_in(carrier: &Carrier) -> &'static [Protocol] {
    match carrier {
        Carrier::Bare => &[Protocol::Https, Protocol::Mssql],
        Carrier::Tds(_) => &[Protocol::Mssql],
    }
}

async fn tls(
    session: &Session,
    stream: TcpStream,
    held: BytesMut,
    judged: Result<Permitted, Refused>,
    named: Named,
    ask: Ask<'_>,
) -> Outcome {
    match judged {
        Ok(permitted) => inspect::open(session, stream, held, permitted, ask, named).await,
        Err(refused) => {
            session.record_refused(ask, &refused, Some(named.sni.into())).await;
            close_gently(stream).await;
            None
        }
    }
}

/// Plain HTTP, each request by its own Host header.
async fn plain(session: &Rc<Session>, stream: TcpStream, held: BytesMut, to: &Authority) -> Outcome {
    match http::serve(session.clone(), stream, held, Form::Gateway(to.clone())).await {
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

/// Refuses on any other port, and on any port what the firewall never saw.
async fn deny(session: &Session, mut stream: TcpStream, refused: Refused, ask: Ask<'_>) -> Outcome {
    session.record_refused(ask, &refused, None).await;
    if session.core.shared.gateway.denied_tcp == DeniedTcp::Silence && refused.reason != Reason::Loop {
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
    let drained = session.core.shared.lifecycle.drain.cancelled();
    tokio::select! {
        // At the deadline it is reset.
        _ = timeout(session.timeouts().silence, gone) => {}
        () = drained => {}
    }
}

/// Closes so that the client sees a reset.
fn reset(stream: TcpStream) {
    reset_when_dropped(&stream);
}
