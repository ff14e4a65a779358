//! A tunnel from the request for it to where it can be relayed, whoever asked: `CONNECT` and SOCKS5 differ only in how
//! they say yes and no.

use std::rc::Rc;

use bytes::BytesMut;
use tokio::net::TcpStream;

use crate::flow::{Authority, Host, Protocol, Reason};
use crate::telemetry::{CloseWhy, ClosedBy};

use super::inspect;
use super::session::{Ask, Outcome, Permitted, Session, Tunnel};

/// What a tunnel to this destination may turn out to carry, the likeliest first: the first bytes tell. To an address
/// only network rules apply.
pub(super) fn protocols_to(to: &Authority) -> &'static [Protocol] {
    match (&to.host, to.port) {
        (Host::Addr(_), _) => &[Protocol::Tcp],
        (Host::Name(_), 80) => &[Protocol::Http, Protocol::Https, Protocol::Mssql],
        (Host::Name(_), 1433) => &[Protocol::Mssql, Protocol::Https, Protocol::Http],
        (Host::Name(_), _) => &[Protocol::Https, Protocol::Http, Protocol::Mssql],
    }
}

/// What became of a wish for a tunnel.
pub(super) enum Carried {
    Done(Outcome),
    /// It is recorded; the client waits for a no.
    Refused(Refusal),
}

pub(super) struct Refusal {
    pub(super) stream: TcpStream,
    pub(super) held: BytesMut,
    pub(super) reason: Reason,
    pub(super) rule: Option<String>,
}

/// Decides, says `granted` where it may be, and opens the tunnel: by the first bytes where an application rule decided,
/// at once where nothing is looked into. `held` came behind the request.
pub(super) async fn carry(
    session: &Rc<Session>,
    stream: TcpStream,
    held: BytesMut,
    ask: Ask<'_>,
    granted: &[u8],
) -> Carried {
    let permitted = match session.authorize(ask).await {
        Ok(permitted) => permitted,
        Err(refused) => {
            session.record_refused(ask, &refused, None).await;
            let (reason, rule) = (refused.reason, refused.rule_name());
            return Carried::Refused(Refusal { stream, held, reason, rule });
        }
    };
    if !permitted.is_looked_into() {
        return pass(session, stream, held, permitted, ask, granted).await;
    }
    if !session.write(&stream, granted).await {
        let refused = session.refuse(permitted, Reason::ClientGone);
        session.record_refused(ask, &refused, None).await;
        return Carried::Done(None);
    }
    Carried::Done(inspect::serve(session, stream, held, permitted, ask).await)
}

/// A tunnel that is not looked into is dialled before the client is told that it stands.
async fn pass(
    session: &Session,
    stream: TcpStream,
    held: BytesMut,
    mut permitted: Permitted,
    ask: Ask<'_>,
    granted: &[u8],
) -> Carried {
    let opened = session.record_allowed(ask, &permitted, None).await;
    let origin = match session.dial(&mut permitted).await {
        Ok(origin) => origin,
        Err(reason) => {
            session.close_failed(opened, [0, 0], reason);
            return Carried::Refused(Refusal { stream, held, reason, rule: None });
        }
    };
    if !session.write(&stream, granted).await {
        session.close(opened, [0, 0], ClosedBy::Client, CloseWhy::Reset);
        return Carried::Done(None);
    }
    let (via, to, path) = (ask.via, ask.to.clone(), None);
    let (client, early, moved) = (stream, [held.to_vec(), Vec::new()], [0, 0]);
    Carried::Done(Some(Box::new(Tunnel { opened, via, to, path, permitted, client, origin, early, moved })))
}
