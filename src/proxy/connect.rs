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

/// Serves one `CONNECT`, whose head was taken off what is held.
pub(super) async fn serve(
    session: &Rc<Session>,
    stream: TcpStream,
    held: BytesMut,
    asked: Result<Asked, Malformed>,
) -> After {
    let Asked { to, keep_alive } = match asked {
        Ok(asked) => asked,
        Err(Malformed { reason, target, keep_alive }) => {
            let about = target.as_deref().map_or(About::Nothing, About::Raw);
            session.record_malformed(Via::Connect, about, reason).await;
            let answer = session.bare_refusal(reason);
            return refuse(session, stream, held, &answer, keep_alive).await;
        }
    };
    let ask = Ask { via: Via::Connect, to: &to, protocols: protocols_to(&to), path: None, dialled: None, live: None };
    match carry(session, stream, held, ask, ESTABLISHED).await {
        Carried::Done(outcome) => After::Done(outcome),
        Carried::Refused(Refusal { stream, held, reason, rule }) => {
            refuse(session, stream, held, &session.refusal(reason, rule, &to), keep_alive).await
        }
    }
}

/// What a `CONNECT` asks for.
pub(super) struct Asked {
    to: Authority,
    /// The client means to use the connection again if it is refused.
    keep_alive: bool,
}

/// One that cannot be read, or that may not ask.
pub(super) struct Malformed {
    reason: Reason,
    /// As it was sent.
    target: Option<Vec<u8>>,
    keep_alive: bool,
}

/// Takes the head off what is held and reads it. None where that is not the whole head of a `CONNECT`.
pub(super) fn asked(session: &Session, held: &mut BytesMut) -> Option<Result<Asked, Malformed>> {
    let (head, length) = http_head::parse(held).ok()?;
    if head.method != "CONNECT" || length > session.max_head() {
        return None;
    }
    let known = auth::is_basic(session.core.shared.config.credentials.as_ref(), head.proxy_authorization);
    let to = Authority::parse(head.target, None).map_err(|_| head.target.as_bytes().to_vec());
    let keep_alive = head.keep_alive;
    held.advance(length);
    Some(match to {
        _ if !known => Err(Malformed { reason: Reason::AuthRequired, target: None, keep_alive }),
        Ok(to) => Ok(Asked { to, keep_alive }),
        Err(target) => Err(Malformed { reason: Reason::BadName, target: Some(target), keep_alive }),
    })
}

async fn refuse(session: &Session, stream: TcpStream, held: BytesMut, answer: &Answer, keep_alive: bool) -> After {
    session.write_answer(&stream, answer).await;
    if keep_alive && !answer.closes() {
        return After::Again((stream, held));
    }
    close_gently(stream).await;
    After::Done(None)
}
