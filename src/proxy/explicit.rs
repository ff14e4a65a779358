//! The explicit proxy: one port that speaks HTTP, `CONNECT` and SOCKS5, told apart by the first bytes.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wire::{http_head, socks5};

use super::http::{self, Form};
use super::session::{Outcome, Session};
use super::{connect, socks5 as socks};

/// What is read at once before it is known what a client speaks.
const FIRST_READ: usize = 2 * 1024;

/// Serves one client connection to its end, or to where it becomes a tunnel.
pub(super) async fn serve(session: Rc<Session>, mut stream: TcpStream) -> Outcome {
    let mut held = BytesMut::with_capacity(FIRST_READ);
    loop {
        let limit = session.timeouts().idle_client;
        if held.is_empty() && !read_some(&session, &mut stream, &mut held, limit).await {
            return None;
        }
        if held.first() == Some(&socks5::VERSION) {
            return socks::serve(session, stream, held).await;
        }
        (stream, held) = match http_head::parse(&held) {
            Ok((head, length)) if head.method == "CONNECT" && length <= session.max_head() => {
                match connect::serve(&session, stream, held).await {
                    connect::After::Again(reusable) => reusable,
                    connect::After::Done(outcome) => return outcome,
                }
            }
            _ => match http::serve(session.clone(), stream, held, Form::Proxy).await {
                http::After::Connect(stream, held) => (stream, held),
                http::After::Switched(tunnel) => return Some(tunnel),
                http::After::Closed => return None,
            },
        };
    }
}

/// Reads what there is. False at the end of the stream, at the deadline, on an error and when Egret goes down.
pub(super) async fn read_some(session: &Session, stream: &mut TcpStream, held: &mut BytesMut, limit: Duration) -> bool {
    held.reserve(FIRST_READ);
    let drain = &session.core.shared.lifecycle.drain;
    tokio::select! {
        biased;
        read = timeout(limit, stream.read_buf(held)) => matches!(read, Ok(Ok(1..))),
        () = drain.cancelled(), if held.is_empty() => false,
    }
}
