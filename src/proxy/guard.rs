//! The gatekeeper between the socket and hyper.
//!
//! hyper parses HTTP; the guard sees to it that what hyper gets can be read in one way only. It lets whole,
//! clean request heads through, follows each body to its end, and stops where something else begins: a head
//! that is not clean, a `CONNECT`, the end of the stream. Then hyper sees an end of file, and whoever serves
//! the connection asks the guard why.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use hyper::Uri;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::config::Timeouts;
use crate::flow::{Authority, Reason};
use crate::net::deadline::Deadline;
use crate::wire::ParseError;
use crate::wire::http_body::{BodyTracker, Progress};
use crate::wire::http_head::{self, Framing, RequestHead, Scheme, Target};

/// Why the guard stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The client closed between two requests, or in the middle of one.
    Eof,
    /// What follows is refused.
    Invalid(Reason),
    /// The body of the last request is not clean. Whoever serves that request says so.
    Broken(Reason),
    /// The next request is a `CONNECT`; its bytes are still there.
    Connect,
}

/// What the guard and the one who answers tell each other.
pub(super) struct Link {
    stop: Cell<Option<Stop>>,
    /// Requests that were let through and are not answered yet.
    in_flight: Cell<u32>,
    upgrade: Cell<Upgrade>,
    /// A request was let through.
    any: Cell<bool>,
    /// The client took nothing of an answer for too long.
    stuck: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upgrade {
    None,
    /// A request asked for it: what follows waits for the origin's answer.
    Asked,
    /// The origin did not agree.
    Declined,
}

impl Link {
    /// The head of the answer is known: an upgrade that was asked for is declined, if hyper still reads.
    pub(super) fn answered(&self) {
        if self.upgrade.get() == Upgrade::Asked {
            self.upgrade.set(Upgrade::Declined);
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The last byte of an answer is on its way.
    pub(super) fn finished(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }

    pub(super) fn had_any(&self) -> bool {
        self.any.get()
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.get()
    }

    pub(super) fn stop(&self) -> Option<Stop> {
        self.stop.get()
    }
}

pub(super) struct Guard {
    stream: TcpStream,
    link: Rc<Link>,
    /// Read from the socket, not yet let through.
    held: BytesMut,
    state: State,
    max_head: usize,
    idle_client: Duration,
    head: Duration,
    idle: Duration,
    deadline: Deadline,
    writing: Deadline,
}

enum State {
    /// Before or in a request head.
    Head,
    /// So many bytes of a clean head are still to be let through; then comes the body.
    Pass(usize, BodyTracker),
    Body(BodyTracker),
    /// After a request that asks for an upgrade.
    Upgrade,
    Stopped,
}

/// What is read from the socket at once while heads are awaited.
const READ: usize = 8 * 1024;

impl Guard {
    /// `held` was read from the stream already.
    pub(super) fn new(stream: TcpStream, held: BytesMut, timeouts: &Timeouts, max_head: usize) -> Guard {
        let link = Link {
            stop: Cell::new(None),
            in_flight: Cell::new(0),
            upgrade: Cell::new(Upgrade::None),
            any: Cell::new(false),
            stuck: Cell::new(false),
            waker: RefCell::new(None),
        };
        Guard {
            stream,
            link: Rc::new(link),
            held,
            state: State::Head,
            max_head,
            idle_client: timeouts.idle_client,
            head: timeouts.head,
            idle: timeouts.idle,
            deadline: Deadline::default(),
            writing: Deadline::default(),
        }
    }

    pub(super) fn link(&self) -> Rc<Link> {
        self.link.clone()
    }

    /// The socket, and what was read from it but not let through.
    pub(super) fn into_parts(self) -> (TcpStream, BytesMut) {
        (self.stream, self.held)
    }

    fn stop(&mut self, why: Stop) {
        self.link.stop.set(Some(why));
        self.state = State::Stopped;
    }

    /// Looks at what is held for the next head. Pending where there is none yet.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.held.is_empty() && ready!(self.poll_more(cx))? == 0 {
                self.stop(Stop::Eof);
            }
            if matches!(self.state, State::Stopped) {
                return Poll::Ready(Ok(()));
            }
            match http_head::parse(&self.held) {
                Ok((head, length)) if length <= self.max_head => {
                    if head.method == "CONNECT" {
                        self.stop(Stop::Connect);
                        return Poll::Ready(Ok(()));
                    }
                    if let Some(reason) = refused_target(&head) {
                        self.stop(Stop::Invalid(reason));
                        return Poll::Ready(Ok(()));
                    }
                    let body = BodyTracker::new(if head.upgrade { Framing::None } else { head.framing });
                    if head.upgrade && head.framing != Framing::None {
                        self.stop(Stop::Invalid(Reason::BadUpgrade));
                        return Poll::Ready(Ok(()));
                    }
                    self.link.upgrade.set(if head.upgrade { Upgrade::Asked } else { Upgrade::None });
                    self.link.in_flight.set(self.link.in_flight.get() + 1);
                    self.link.any.set(true);
                    self.deadline.passed();
                    self.state = State::Pass(length, body);
                    return Poll::Ready(Ok(()));
                }
                Ok(_) => self.stop(Stop::Invalid(Reason::LimitHead)),
                Err(ParseError::Invalid(error)) => self.stop(Stop::Invalid(error.reason())),
                Err(ParseError::Incomplete) if self.held.len() > self.max_head => {
                    self.stop(Stop::Invalid(Reason::LimitHead));
                }
                Err(ParseError::Incomplete) => {
                    if ready!(self.poll_more(cx))? == 0 {
                        self.stop(Stop::Eof);
                    }
                }
            }
            if matches!(self.state, State::Stopped) {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads more into what is held, within the deadline of the phase; 0 at the end of the stream.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.held.capacity() - self.held.len() < READ / 2 {
            self.held.reserve(READ);
        }
        let before = self.held.len();
        match tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.held) {
            Poll::Ready(read) => {
                // A head has its time from the first byte to the last, however it trickles.
                if before == 0 {
                    self.deadline.passed();
                }
                Poll::Ready(read)
            }
            Poll::Pending => {
                let limit = if before == 0 { self.idle_client } else { self.head };
                while self.deadline.poll(cx, limit).is_ready() {
                    if self.link.in_flight.get() == 0 {
                        let late = if before == 0 { Stop::Eof } else { Stop::Invalid(Reason::HeadTimeout) };
                        self.stop(late);
                        return Poll::Ready(Ok(1));
                    }
                    self.deadline.passed();
                }
                Poll::Pending
            }
        }
    }

    /// Body bytes go straight from the socket to hyper; what lies behind the body is held back.
    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let State::Body(tracker) = &mut self.state else { return Poll::Ready(Ok(())) };
        if !self.held.is_empty() {
            let take = self.held.len().min(out.remaining());
            let (passed, state) = follow(tracker, self.held.get(..take).unwrap_or_default());
            out.put_slice(self.held.get(..passed).unwrap_or_default());
            self.held.advance(passed);
            self.turn(state);
            return Poll::Ready(Ok(()));
        }
        let start = out.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, out) {
            Poll::Ready(read) => read?,
            Poll::Pending => {
                ready!(self.deadline.poll(cx, self.idle));
                self.stop(Stop::Broken(Reason::HeadTimeout));
                return Poll::Ready(Ok(()));
            }
        }
        self.deadline.passed();
        let read = out.filled().get(start..).unwrap_or_default();
        if read.is_empty() {
            self.stop(Stop::Eof);
            return Poll::Ready(Ok(()));
        }
        let (passed, state) = follow(tracker, read);
        self.held.extend_from_slice(read.get(passed..).unwrap_or_default());
        out.set_filled(start + passed);
        self.turn(state);
        Poll::Ready(Ok(()))
    }

    fn turn(&mut self, end: Followed) {
        match end {
            Followed::More => {}
            Followed::Done => {
                self.deadline.passed();
                self.state = self.after_body();
            }
            Followed::Invalid(reason) => self.stop(Stop::Broken(reason)),
        }
    }

    fn after_body(&self) -> State {
        if self.link.upgrade.get() == Upgrade::None { State::Head } else { State::Upgrade }
    }

    /// Waits for the origin's answer to an upgrade. If it agrees, hyper hands the socket back and never asks
    /// again; if not, a client that has sent more already took it for granted.
    fn poll_upgrade(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.link.upgrade.get() == Upgrade::Asked {
            *self.link.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.held.is_empty() {
            self.state = State::Head;
        } else {
            self.stop(Stop::Invalid(Reason::BadUpgrade));
        }
        Poll::Ready(())
    }
}

/// hyper takes fewer targets than our own reader, and answers the others by itself: nobody would know.
fn refused_target(head: &RequestHead<'_>) -> Option<Reason> {
    let target = match http_head::parse_target(head.method, head.target) {
        Ok(target) => target,
        Err(error) => return Some(error.reason()),
    };
    match target {
        _ if is_plain(target) || Uri::try_from(head.target).is_ok() => None,
        Target::Absolute { authority, .. } if Authority::parse(authority, Some(80)).is_err() => Some(Reason::BadName),
        _ => Some(Reason::BadRequest),
    }
}

/// Is it one of which every reader makes the same? No URI is built then only to see whether it can be.
fn is_plain(target: Target<'_>) -> bool {
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~?=&%+,:;".contains(&byte);
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    match target {
        Target::Origin(path) => path.bytes().all(in_path),
        Target::Absolute { scheme: Scheme::Http, authority, path } => {
            authority.bytes().all(in_name) && path.bytes().all(in_path)
        }
        Target::Absolute { scheme: Scheme::Https, .. } | Target::Authority(_) | Target::Asterisk => false,
    }
}

enum Followed {
    More,
    Done,
    Invalid(Reason),
}

/// How many of the bytes belong to the body, and what comes after them.
fn follow(tracker: &mut BodyTracker, bytes: &[u8]) -> (usize, Followed) {
    match tracker.advance(bytes) {
        Ok(Progress::More) => (bytes.len(), Followed::More),
        Ok(Progress::Done(at)) => (at, Followed::Done),
        Err(error) => (0, Followed::Invalid(error.reason())),
    }
}

impl AsyncRead for Guard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let start = out.filled().len();
        loop {
            match &mut this.state {
                State::Stopped => return Poll::Ready(Ok(())),
                State::Head => ready!(this.poll_head(cx))?,
                State::Upgrade => ready!(this.poll_upgrade(cx)),
                State::Pass(left, _) => {
                    let take = (*left).min(out.remaining());
                    *left -= take;
                    out.put_slice(this.held.get(..take).unwrap_or_default());
                    this.held.advance(take);
                    if let State::Pass(0, _) = this.state {
                        let State::Pass(_, body) = std::mem::replace(&mut this.state, State::Stopped) else { continue };
                        this.state = State::Body(body);
                        this.begin_body();
                    }
                    return Poll::Ready(Ok(()));
                }
                State::Body(_) => {
                    ready!(this.poll_body(cx, out))?;
                    if out.filled().len() > start || out.remaining() == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl Guard {
    /// A client that reads nothing for as long as a body may stand still is given up.
    fn within_deadline(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            ready!(self.writing.poll(cx, self.idle));
            self.link.stuck.set(true);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.writing.passed();
        written
    }

    /// A body without bytes is over at once.
    fn begin_body(&mut self) {
        let State::Body(tracker) = &mut self.state else { return };
        if let (_, end @ (Followed::Done | Followed::Invalid(_))) = follow(tracker, &[]) {
            self.turn(end);
        }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.within_deadline(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.within_deadline(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(target: &str) -> bool {
        is_plain(http_head::parse_target("GET", target).unwrap())
    }

    #[test]
    fn what_is_plain() {
        for target in ["/", "/a?b=c%20d&e", "//a", "/a:1,2;3", "http://ok.test", "http://ok.test/a?b", "http://a?b"] {
            assert!(plain(target), "{target}");
        }
        for target in ["http://ok.test:80/", "http://[::1]/", "https://ok.test/", "/\u{e9}", "/a|b", "/a\"b", "/a^b"] {
            assert!(!plain(target), "{target}");
        }
    }

    proptest! {
        #[test]
        fn what_is_plain_is_a_uri_to_hyper(
            authority in "(http://[a-zA-Z0-9.-]{1,9})?",
            path in "[a-z0-9/._~?=&%+,:;-]{0,20}",
        ) {
            let target = format!("{authority}/{path}");
            prop_assert!(plain(&target));
            let uri = Uri::try_from(target.as_str());
            prop_assert!(uri.is_ok(), "{:?}", uri);
        }
    }
}
