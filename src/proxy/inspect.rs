//! What is inside a tunnel: the first bytes are read before anything is dialled.
//!
//! A ClientHello's SNI has to be the name that the tunnel was asked for, in TDS packets too. Plain HTTP is served
//! request by request. What is neither is refused by closing without a byte.

use std::rc::Rc;

use bytes::BytesMut;
use tokio::net::TcpStream;

use crate::flow::{Host, HostName, Protocol, Reason};
use crate::net::relay::{Side, reset_when_dropped};
use crate::telemetry::{CloseWhy, ClosedBy};
use crate::wire::client_hello::ClientHello;

use super::handshake::Handshake;
use super::http::{self, Form};
use super::peek::{Carrier, First, Named, Peek, Speaks};
use super::session::{Ask, Outcome, Permitted, Refused, Session, Tunnel, close_gently, closed_by};

/// What may be served.
enum Inside {
    Http,
    Tls(Permitted, Named),
}

/// What may not, and the name in its hello.
struct Denied {
    refused: Refused,
    sni: Option<HostName>,
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Denied {
        Denied { refused, sni: None }
    }
}

/// Serves a tunnel that was promised to the client. `held` came with the promise's request.
pub(super) async fn serve(
    session: &Rc<Session>,
    mut stream: TcpStream,
    mut held: BytesMut,
    permitted: Permitted,
    ask: Ask<'_>,
) -> Outcome {
    let peek = Peek::new(session, &mut stream, &mut held);
    match judge(peek, permitted, ask).await {
        Ok(Inside::Http) => {
            match http::serve(session.clone(), stream, held, Form::Tunnel(ask.via, ask.to.clone())).await {
                http::After::Switched(tunnel) => Some(tunnel),
                http::After::Closed | http::After::Connect(..) => None,
            }
        }
        Ok(Inside::Tls(permitted, named)) => open(session, stream, held, permitted, ask, named).await,
        Err(Denied { refused, sni }) => {
            session.record_refused(ask, &refused, sni.map(Into::into)).await;
            close_gently(stream).await;
            None
        }
    }
}

/// Reads the first bytes and decides again by what they are.
async fn judge(mut peek: Peek<'_>, permitted: Permitted, ask: Ask<'_>) -> Result<Inside, Denied> {
    let session = peek.session;
    let wanted = permitted.protocol;
    let not_wanted = |permitted, reason| match reason {
        Reason::NotTls => session.refuse(permitted, mismatch(wanted).unwrap_or(Reason::NotTls)),
        reason => session.refuse(permitted, reason),
    };
    let speaks = match peek.speaks().await {
        Ok(speaks) => speaks,
        Err(reason) => return Err(not_wanted(permitted, reason).into()),
    };
    let permitted = match speaks {
        // By its whole hello, so that the name in it is on record.
        Speaks::Tls => permitted,
        Speaks::Tds => plain(session, &[Protocol::Mssql], permitted, ask)?,
        Speaks::Http => plain(session, &[Protocol::Http], permitted, ask)?,
    };
    match peek.first(speaks).await {
        Ok(First::Http) => Ok(Inside::Http),
        Ok(First::Tls(hello, carrier)) => tls(session, hello, carrier, permitted, ask),
        Err(reason) => Err(not_wanted(permitted, reason).into()),
    }
}

fn tls(
    session: &Session,
    hello: ClientHello,
    carrier: Carrier,
    permitted: Permitted,
    ask: Ask<'_>,
) -> Result<Inside, Denied> {
    let https = Ask { protocols: &[Protocol::Https], ..ask };
    // TDS 8.0 begins with TLS as well.
    let mssql = Ask { protocols: &[Protocol::Mssql], ..ask };
    let asked = if permitted.protocol == Protocol::Mssql { mssql } else { https };
    let ClientHello { sni, ech } = hello;
    let denied = |refused| Denied { refused, sni: sni.clone() };
    let permitted = session.reauthorize(asked, permitted).map_err(denied)?;
    match &sni {
        None => Err(session.refuse(permitted, Reason::MissingSni).into()),
        Some(name) if !is_name(&ask.to.host, name) => {
            Err(denied(session.refuse(permitted, Reason::SniConnectMismatch)))
        }
        Some(_) if ech && session.denies_ech() => Err(denied(session.refuse(permitted, Reason::EchPresent))),
        Some(name) => Ok(Inside::Tls(permitted, Named { sni: name.clone(), carrier })),
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

/// Dials for a permitted handshake, whose hello is held, and follows it until it can be relayed.
pub(super) async fn open(
    session: &Session,
    mut stream: TcpStream,
    held: BytesMut,
    mut permitted: Permitted,
    ask: Ask<'_>,
    named: Named,
) -> Outcome {
    let opened = session.record_allowed(ask, &permitted, Some(named.sni.clone().into())).await;
    // The log may have taken its time.
    if !session.still_allowed(ask, &permitted) {
        session.close(opened, [0, 0], ClosedBy::Egret, CloseWhy::Reason(Reason::PolicyChanged));
        close_gently(stream).await;
        return None;
    }
    let (mut origin, sent) = match session.dial_with(&mut permitted, named.carrier.opening(&held)).await {
        Ok(dialled) => dialled,
        Err(reason) => {
            session.close_failed(opened, [0, 0], reason);
            close_gently(stream).await;
            return None;
        }
    };
    let (via, to, path) = (ask.via, ask.to.clone(), None);
    let mut handshake = Handshake::new(session, &mut stream, &mut origin, &named, sent);
    let first = tokio::select! {
        biased;
        // The policy may have changed while the origin was dialled: whom it denies by now is sent nothing more.
        why = session.cut(ask, &permitted) => Err(why),
        first = handshake.first_exchange(&held) => first.map_err(CloseWhy::Reason),
    };
    let (moved, reset) = (handshake.moved(), handshake.reset());
    if let (Ok(_), Some(side)) = (&first, reset) {
        session.close(opened, moved, closed_by(side), CloseWhy::Reset);
        // The other side learns it as it would have from the relay.
        reset_when_dropped(if side == Side::Origin { &stream } else { &origin });
        return None;
    }
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
