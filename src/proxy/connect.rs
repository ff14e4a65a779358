//! `CONNECT host:port`: authorised, answered, and then looked into.

use std::rc::Rc;

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;

use crate::flow::{Authority, Reason, Via};
use crate::wire::http_head;

use super::answer::Answer;
use super::auth;
use super::carry::{Carried, Refusal, carry, protocols_to};
use super::records::About;
use super::session::{Ask, Outcome, Session, close_gently};

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

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
        Err(Malformed { reason, target, keep_alive }) => {
            let about = target.as_deref().map_or(About::Nothing, About::Raw);
            session.record_malformed(Via::Connect, about, reason).await;
            let answer = session.bare_refusal(reason);
            return refuse(session, stream, held, &answer, keep_alive).await;
        }
    };
    let ask = Ask { via: Via::Connect, to: &to, protocols: protocols_to(&to), path: None, dialled: None };
    match carry(session, stream, held, ask, ESTABLISHED).await {
        Carried::Done(outcome) => After::Done(outcome),
        Carried::Refused(Refusal { stream, held, reason, rule }) => {
            refuse(session, stream, held, &session.refusal(reason, rule, &to), keep_alive).await
        }
    }
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
    keep_alive: bool,
}

/// Takes the head off what is held and reads it.
fn asked(session: &Session, held: &mut BytesMut) -> Result<Asked, Malformed> {
    let unclear = |reason, keep_alive| Malformed { reason, target: None, keep_alive };
    let (head, length) = http_head::parse(held).map_err(|_| unclear(Reason::BadRequest, false))?;
    let known = auth::is_basic(session.core.shared.config.credentials.as_ref(), head.proxy_authorization);
    let target = head.target.as_bytes().to_vec();
    let to = Authority::parse(head.target, None);
    let keep_alive = head.keep_alive;
    held.advance(length);
    match to {
        _ if !known => Err(unclear(Reason::AuthRequired, keep_alive)),
        Ok(to) => Ok(Asked { to, keep_alive }),
        Err(_) => Err(Malformed { reason: Reason::BadName, target: Some(target), keep_alive }),
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
