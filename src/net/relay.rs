//! Bytes both ways between two sockets.
//!
//! A relay owns no buffer while it is idle: it reads into one that all relays of a thread share, and keeps only
//! what the other side would not take at once. A direction that proves to be bulk moves through a pipe instead,
//! which it owns only while there are bytes in it. Half-closes are passed on. There is no timer a read: one sleeps
//! for the idle limit and looks, when it wakes, whether anything moved.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BufMut;
use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::deadline::Timer;
use super::splice::Pipe;

/// What one read takes at most.
const SCRATCH: usize = 128 * 1024;

/// What a direction moves before other tunnels have their turn.
const TURN: u64 = 1024 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Reads what is there, `most` of it, and gives `to` just the room for that. So little room costs next to nothing.
pub(crate) async fn read_some(stream: &mut TcpStream, to: &mut impl BufMut, most: usize) -> io::Result<usize> {
    poll_fn(|cx| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut room = ReadBuf::new(buffer.get_mut(..most.min(SCRATCH)).unwrap_or_default());
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut room))?;
            to.put_slice(room.filled());
            Poll::Ready(Ok(room.filled().len()))
        })
    })
    .await
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

/// How long nothing may move.
pub(crate) struct Idle<'a> {
    pub(crate) limit: Duration,
    /// Of the task that relays.
    pub(crate) timer: &'a Timer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Origin,
}

/// Relays until both sides have closed, one fails, nothing moved for too long, or `cut` completes, which is polled for
/// every byte that passes. `early` was read already, from the client and from the origin. `progress` has what was moved
/// so far, where somebody wants to know.
///
/// The end of the side that closes first is passed on; that of the other by whoever drops both.
pub(crate) async fn relay<C>(
    client: &TcpStream,
    origin: &TcpStream,
    idle: Idle<'_>,
    early: [Vec<u8>; 2],
    progress: Option<&Cell<[u64; 2]>>,
    mut cut: Pin<&mut impl Future<Output = C>>,
) -> Relayed<C> {
    let [from_client, from_origin] = early;
    let mut up = Direction::new(client, origin, Side::Client, from_client);
    let mut down = Direction::new(origin, client, Side::Origin, from_origin);
    let mut first_eof = None;
    let mut until = None;
    let end = poll_fn(|cx| {
        if let Poll::Ready(why) = cut.as_mut().poll(cx) {
            return Poll::Ready(End::Cut(why));
        }
        let before = up.moved + down.moved;
        for direction in [&mut up, &mut down] {
            match direction.poll(cx) {
                Poll::Ready(Err(side)) => return Poll::Ready(End::Reset(side)),
                Poll::Ready(Ok(())) if first_eof.is_none() => {
                    first_eof = Some(direction.from);
                    // The sink may be gone already; what it did not read it did not want.
                    let _ = SockRef::from(direction.sink).shutdown(Shutdown::Write);
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        if let (true, true, Some(side)) = (up.done, down.done, first_eof) {
            return Poll::Ready(End::Eof(side));
        }
        if up.moved + down.moved > before {
            until = None;
            progress.inspect(|progress| progress.set([up.moved, down.moved]));
        }
        let until = *until.get_or_insert_with(|| Instant::now() + idle.limit);
        idle.timer.poll(cx, until).map(|()| End::Idle)
    })
    .await;
    Relayed { up: up.moved, down: down.moved, end }
}

/// One direction of a relay.
struct Direction<'a> {
    source: &'a TcpStream,
    sink: &'a TcpStream,
    from: Side,
    held: Held,
    pace: Pace,
    moved: u64,
    eof: bool,
    done: bool,
}

/// What was taken from the source and not yet by the sink.
enum Held {
    Nothing,
    Bytes(Vec<u8>),
    Piped(Pipe),
}

impl<'a> Direction<'a> {
    fn new(source: &'a TcpStream, sink: &'a TcpStream, from: Side, early: Vec<u8>) -> Self {
        let held = Held::of(early);
        Direction { source, sink, from, held, pace: Pace::default(), moved: 0, eof: false, done: false }
    }

    /// Ready when all has been passed on but the source's end; the error names the side that failed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Side>> {
        let other = if self.from == Side::Client { Side::Origin } else { Side::Client };
        let turn_ends = self.moved + TURN;
        while !self.done {
            if self.moved >= turn_ends {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !matches!(self.held, Held::Nothing) {
                ready!(self.poll_flush(cx)).map_err(|_| other)?;
            } else if self.eof {
                self.done = true;
            } else {
                ready!(self.source.poll_read_ready(cx)).map_err(|_| self.from)?;
                self.pass().map_err(|failed| if failed == Failed::Source { self.from } else { other })?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.sink.poll_write_ready(cx))?;
        Poll::Ready(self.flush())
    }

    /// Gives the sink what it takes at once of what is held.
    fn flush(&mut self) -> io::Result<()> {
        let written = match &mut self.held {
            Held::Nothing => return Ok(()),
            Held::Bytes(bytes) => or_nothing(self.sink.try_write(bytes))?,
            Held::Piped(pipe) => or_nothing(pipe.drain(self.sink))?,
        };
        self.moved += written as u64;
        self.held.lose(written);
        Ok(())
    }

    /// Reads once and writes as much of it as the sink takes at once.
    fn pass(&mut self) -> Result<(), Failed> {
        if !self.pace.is_bulk() {
            return self.copy();
        }
        match Pipe::take() {
            Some(pipe) => self.splice(pipe),
            None => {
                self.pace = Pace::default();
                self.copy()
            }
        }
    }

    fn splice(&mut self, mut pipe: Pipe) -> Result<(), Failed> {
        let read = pipe.fill(self.source).map_err(|_| Failed::Source)?;
        self.pace.saw(read);
        if read > 0 {
            self.held = Held::Piped(pipe);
            self.flush().map_err(|_| Failed::Sink)?;
        }
        // So little is likely to have been all: a plain read finds out, and it alone is believed.
        if read < BULK && matches!(self.held, Held::Nothing) { self.copy() } else { Ok(()) }
    }

    fn copy(&mut self) -> Result<(), Failed> {
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
            self.pace.saw(read);
            let came = buffer.get(..read).unwrap_or_default();
            let written = or_nothing(self.sink.try_write(came)).map_err(|_| Failed::Sink)?;
            self.moved += written as u64;
            self.held = Held::of(came.get(written..).unwrap_or_default().to_vec());
            Ok(())
        })
    }
}

impl Held {
    fn of(bytes: Vec<u8>) -> Held {
        if bytes.is_empty() { Held::Nothing } else { Held::Bytes(bytes) }
    }

    fn lose(&mut self, written: usize) {
        let is_empty = match self {
            Held::Nothing => true,
            Held::Bytes(bytes) => {
                bytes.drain(..written);
                bytes.is_empty()
            }
            Held::Piped(pipe) => pipe.is_empty(),
        };
        if is_empty {
            *self = Held::Nothing;
        }
    }
}

/// A read of this much is one of bulk. Below it, copying twice costs no more than handing pages on.
const BULK: usize = SCRATCH / 4;

/// How a direction comes along: what the latest reads were, in favour of bulk and against it.
#[derive(Default)]
struct Pace(u8);

impl Pace {
    /// So many reads of bulk more than others make a direction bulk.
    const ENOUGH: u8 = 4;
    /// Then it may falter this often before it has to prove itself again.
    const MOST: u8 = 2 * Pace::ENOUGH;

    fn saw(&mut self, read: usize) {
        self.0 = if read >= BULK { Pace::MOST.min(self.0 + 1) } else { self.0.saturating_sub(1) };
    }

    fn is_bulk(&self) -> bool {
        self.0 >= Pace::ENOUGH
    }
}

fn or_nothing(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

#[derive(PartialEq, Eq)]
enum Failed {
    Source,
    Sink,
}

/// Has the other side see a reset, not an end, when this is dropped. A socket that refuses is closed as it is.
pub(crate) fn reset_when_dropped(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
