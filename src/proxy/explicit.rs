//! The explicit proxy: one port that speaks HTTP, `CONNECT` and SOCKS5, told apart by the first bytes.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::yield_now;

use crate::wire::socks5;

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
        (stream, held) = match connect::asked(&session, &mut held) {
            Some(asked) => match connect::serve(&session, stream, held, asked).await {
                connect::After::Again(reusable) => {
                    // Whoever asks for much at once lets others go first.
                    if !reusable.1.is_empty() {
                        yield_now().await;
                    }
                    reusable
                }
                connect::After::Done(outcome) => return outcome,
            },
            None => match http::serve(session.clone(), stream, held, Form::Proxy).await {
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
    let (is_fresh, alarm) = (held.is_empty(), &session.core.alarm);
    let mut listener = alarm.listen();
    let draining = poll_fn(|cx| {
        // It may ring for something else.
        let _ = listener.poll(cx);
        if is_fresh && alarm.is_draining() { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::select! {
        biased;
        read = session.timer.within(limit, stream.read_buf(held)) => matches!(read, Ok(Ok(1..))),
        () = draining => false,
    }
}
