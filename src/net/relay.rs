//! Bytes both ways between two sockets.
//!
//! A relay owns no buffer while it is idle: it reads into one that all relays of a thread share, and keeps only
//! what the other side would not take at once. Half-closes are passed on. There is no timer a read: one sleeps
//! for the idle limit and looks, when it wakes, whether anything moved.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use super::deadline::Deadline;

/// What one read takes at most.
const SCRATCH: usize = 128 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// How a relay ended, and what it moved.
#[derive(Debug)]
pub(crate) struct Relayed<C> {
    /// Bytes from the client to the origin.
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) end: End<C>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End<C> {
    /// Both sides closed in good order; this one first.
    Eof(Side),
    /// This side failed.
    Reset(Side),
    Idle,
    /// It was cut from outside.
    Cut(C),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Origin,
}

/// Relays until both sides have closed, one fails, nothing moved for `idle`, or `cut` completes. `early` was read
/// already, from the client and from the origin.
pub(crate) async fn relay<C>(
    client: &TcpStream,
    origin: &TcpStream,
    idle: Duration,
    early: [Vec<u8>; 2],
    mut cut: Pin<&mut impl Future<Output = C>>,
) -> Relayed<C> {
    let [from_client, from_origin] = early;
    let mut up = Direction::new(client, origin, Side::Client, from_client);
    let mut down = Direction::new(origin, client, Side::Origin, from_origin);
    let mut first_eof = None;
    let mut still = Deadline::default();
    let end = poll_fn(|cx| {
        if let Poll::Ready(why) = cut.as_mut().poll(cx) {
            return Poll::Ready(End::Cut(why));
        }
        let before = up.moved + down.moved;
        for direction in [&mut up, &mut down] {
            match direction.poll(cx) {
                Poll::Ready(Err(side)) => return Poll::Ready(End::Reset(side)),
                Poll::Ready(Ok(())) => {
                    first_eof.get_or_insert(direction.from);
                }
                Poll::Pending => {}
            }
        }
        if let (true, true, Some(side)) = (up.done, down.done, first_eof) {
            return Poll::Ready(End::Eof(side));
        }
        if up.moved + down.moved > before {
            still.passed();
        }
        still.poll(cx, idle).map(|()| End::Idle)
    })
    .await;
    Relayed { up: up.moved, down: down.moved, end }
}

/// One direction of a relay.
struct Direction<'a> {
    source: &'a TcpStream,
    sink: &'a TcpStream,
    from: Side,
    /// Read but not yet taken by the sink.
    pending: Vec<u8>,
    moved: u64,
    eof: bool,
    done: bool,
}

impl<'a> Direction<'a> {
    fn new(source: &'a TcpStream, sink: &'a TcpStream, from: Side, pending: Vec<u8>) -> Self {
        Direction { source, sink, from, pending, moved: 0, eof: false, done: false }
    }

    /// Ready when the source's end has been passed on; the error names the side that failed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Side>> {
        let other = if self.from == Side::Client { Side::Origin } else { Side::Client };
        loop {
            if self.done {
                return Poll::Ready(Ok(()));
            }
            if !self.pending.is_empty() {
                ready!(self.poll_flush(cx)).map_err(|_| other)?;
            } else if self.eof {
                // The sink may be gone already; what it did not read it did not want.
                let _ = SockRef::from(self.sink).shutdown(Shutdown::Write);
                self.done = true;
            } else {
                ready!(self.source.poll_read_ready(cx)).map_err(|_| self.from)?;
                self.pass().map_err(|failed| if failed == Failed::Source { self.from } else { other })?;
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.sink.poll_write_ready(cx))?;
        match self.sink.try_write(&self.pending) {
            Ok(written) => {
                self.moved += written as u64;
                self.pending.drain(..written);
                if self.pending.is_empty() {
                    self.pending = Vec::new();
                }
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Reads once and writes as much of it as the sink takes at once.
    fn pass(&mut self) -> Result<(), Failed> {
        BUFFER.with_borrow_mut(|buffer| {
            let read = match self.source.try_read(buffer) {
                Ok(0) => {
                    self.eof = true;
                    return Ok(());
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Failed::Source),
            };
            let written = match self.sink.try_write(&buffer[..read]) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return Err(Failed::Sink),
            };
            self.moved += written as u64;
            self.pending.extend_from_slice(&buffer[written..read]);
            Ok(())
        })
    }
}

#[derive(PartialEq, Eq)]
enum Failed {
    Source,
    Sink,
}
