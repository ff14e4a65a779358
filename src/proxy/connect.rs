//! `CONNECT host:port`: authorised, answered, and then looked into.

use std::rc::Rc;

use bytes::BytesMut;
use tokio::net::TcpStream;

use crate::flow::{Authority, Reason, Via};
use crate::wire::http_head::RequestHead;

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

/// Serves one `CONNECT`; `held` came behind its head.
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
    let ask = Ask { via: Via::Connect, to: &to, protocols: protocols_to(&to), path: None, dialled: None };
    match carry(session, stream, held, ask, ESTABLISHED).await {
        Carried::Done(outcome) => After::Done(outcome),
        Carried::Refused(Refusal { stream, held, reason, rule }) => {
            refuse(session, stream, held, &session.refusal(reason, rule, &to), keep_alive).await
        }
    }
}

pub(super) struct Asked {
    to: Authority,
    /// The client means to use the connection again if it is refused.
    keep_alive: bool,
}

pub(super) struct Malformed {
    reason: Reason,
    /// As it was sent.
    target: Option<Vec<u8>>,
    keep_alive: bool,
}

/// What the head of a `CONNECT` asks for.
pub(super) fn asked(session: &Session, head: &RequestHead<'_>) -> Result<Asked, Malformed> {
    let keep_alive = head.keep_alive;
    if !auth::is_basic(session.core.shared.config.credentials.as_ref(), head.proxy_authorization) {
        return Err(Malformed { reason: Reason::AuthRequired, target: None, keep_alive });
    }
    match Authority::parse(head.target, None) {
        Ok(to) => Ok(Asked { to, keep_alive }),
        Err(_) => {
            let target = Some(head.target.as_bytes().to_vec());
            Err(Malformed { reason: Reason::BadName, target, keep_alive })
        }
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
