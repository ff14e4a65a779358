//! `CONNECT host:port`: authorised, answered, and then looked into.

use std::rc::Rc;

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;

use crate::flow::{Authority, Host, Protocol, Reason, Via};
use crate::telemetry::{CloseWhy, ClosedBy};
use crate::wire::http_head;

use super::answer::Answer;
use super::session::{Ask, Outcome, Permitted, Session, Tunnel, close_gently};
use super::{auth, inspect};

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// What may be inside a tunnel to a name; the first bytes tell.
const NAMED: &[Protocol] = &[Protocol::Https, Protocol::Http, Protocol::Mssql];

/// To an address only network rules apply.
const ADDRESSED: &[Protocol] = &[Protocol::Tcp];

/// What a tunnel to this destination may turn out to carry.
pub(super) fn protocols_to(host: &Host) -> &'static [Protocol] {
    match host {
        Host::Name(_) => NAMED,
        Host::Addr(_) => ADDRESSED,
    }
}

/// A connection that can be used again, with what was read from it.
pub(super) type Reusable = (TcpStream, BytesMut);

/// What became of a `CONNECT`.
pub(super) enum After {
    /// It was refused, and the connection can be used again.
    Again(Reusable),
    Done(Outcome),
}

/// Serves one `CONNECT`, whose whole head is held.
pub(super) async fn serve(session: &Rc<Session>, stream: TcpStream, mut held: BytesMut) -> After {
    let asked = asked(session, &mut held);
    let Asked { to, keep_alive } = match asked {
        Ok(asked) => asked,
        Err(Malformed { reason, target }) => {
            session.record_malformed(Via::Connect, target.as_deref(), reason).await;
            let answer = session.bare_refusal(reason);
            return refuse(session, stream, held, &answer, true).await;
        }
    };
    let ask = Ask { via: Via::Connect, to: &to, protocols: protocols_to(&to.host), path: None };
    let permitted = match session.authorize(ask).await {
        Ok(permitted) => permitted,
        Err(refused) => {
            session.record_refused(ask, &refused, None).await;
            let answer = session.refusal(refused.reason, refused.rule_name(), &to);
            return refuse(session, stream, held, &answer, keep_alive).await;
        }
    };
    if permitted.is_looked_into() {
        if session.write(&stream, ESTABLISHED).await {
            return After::Done(inspect::serve(session, stream, held, permitted, ask).await);
        }
        return After::Done(None);
    }
    pass(session, stream, held, permitted, ask, keep_alive).await
}

struct Asked {
    to: Authority,
    /// The client means to use the connection again if it is refused.
    keep_alive: bool,
}

struct Malformed {
    reason: Reason,
    /// As it was sent.
    target: Option<Vec<u8>>,
}

/// Takes the head off what is held and reads it.
fn asked(session: &Session, held: &mut BytesMut) -> Result<Asked, Malformed> {
    let unclear = |reason| Malformed { reason, target: None };
    let (head, length) = http_head::parse(held).map_err(|_| unclear(Reason::BadRequest))?;
    let known = auth::is_basic(session.core.shared.config.credentials.as_ref(), head.proxy_authorization);
    let target = head.target.as_bytes().to_vec();
    let to = Authority::parse(head.target, None);
    let keep_alive = head.keep_alive;
    held.advance(length);
    match to {
        _ if !known => Err(unclear(Reason::AuthRequired)),
        Ok(to) => Ok(Asked { to, keep_alive }),
        Err(_) => Err(Malformed { reason: Reason::BadName, target: Some(target) }),
    }
}

async fn refuse(session: &Session, stream: TcpStream, held: BytesMut, answer: &Answer, keep_alive: bool) -> After {
    session.write_answer(&stream, answer).await;
    if keep_alive && !answer.closes() {
        return After::Again((stream, held));
    }
    close_gently(stream).await;
    After::Done(None)
}

/// A tunnel that is not looked into is dialled before the client is told that it stands.
async fn pass(
    session: &Session,
    stream: TcpStream,
    held: BytesMut,
    permitted: Permitted,
    ask: Ask<'_>,
    keep_alive: bool,
) -> After {
    let opened = session.record_allowed(ask, &permitted, None).await;
    match session.dial(&permitted).await {
        Ok(origin) => {
            if !session.write(&stream, ESTABLISHED).await {
                session.close(opened, 0, 0, ClosedBy::Client, CloseWhy::Reset);
                return After::Done(None);
            }
            let early = [held.to_vec(), Vec::new()];
            let (client, via, to, moved) = (stream, ask.via, ask.to.clone(), [0, 0]);
            After::Done(Some(Box::new(Tunnel { opened, via, to, permitted, client, origin, early, moved })))
        }
        Err(reason) => {
            session.close(opened, 0, 0, ClosedBy::Egret, CloseWhy::Reason(reason));
            refuse(session, stream, held, &session.refusal(reason, None, ask.to), keep_alive).await
        }
    }
}
