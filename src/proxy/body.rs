//! Bodies on their way through: streamed, counted, and given up when they stand still.

use std::borrow::Cow;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use crate::net::deadline::Deadline;

use super::unpack::Unpacked;

/// The body of an answer.
pub(super) enum Body {
    /// Of an answer of Egret's own, until it is sent.
    Whole(Option<Bytes>),
    Streamed(Streamed),
    Unpacked(Box<Unpacked>),
}

/// A body from the other side.
pub(super) struct Streamed {
    inner: Incoming,
    meter: Rc<Meter>,
    limit: Duration,
    idle: Deadline,
    /// Told how it ended, once.
    done: Option<Box<dyn FnOnce(BodyEnd)>>,
}

/// How far a body is, for whoever does not have it in hand.
#[derive(Default)]
pub(super) struct Meter {
    bytes: Cell<u64>,
    moved_at: Cell<Option<Instant>>,
    done_at: Cell<Option<Instant>>,
}

impl Meter {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// When the last bytes passed; None before the first.
    pub(super) fn moved_at(&self) -> Option<Instant> {
        self.moved_at.get()
    }

    /// When it ended, well or not.
    pub(super) fn done_at(&self) -> Option<Instant> {
        self.done_at.get()
    }

    fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
        self.moved_at.set(Some(Instant::now()));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyEnd {
    Complete,
    /// The sender failed.
    Failed,
    /// It stood still for too long.
    Idle,
    /// The receiver went away.
    Dropped,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body stood still for {0:?}")]
    Idle(Duration),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("the body cannot be unpacked: {0}")]
    Packed(std::io::Error),
}

impl Body {
    pub(super) fn whole(text: Cow<'static, str>) -> Body {
        Body::Whole(Some(match text {
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        }))
    }

    pub(super) fn empty() -> Body {
        Body::Whole(None)
    }

    /// Of a request, which goes on.
    pub(super) fn upward(body: Incoming, limit: Duration, meter: &Rc<Meter>) -> Body {
        if body.is_end_stream() {
            meter.done_at.set(Some(Instant::now()));
            return Body::empty();
        }
        Body::Streamed(Streamed::new(body, limit, meter.clone()))
    }
}

impl Streamed {
    pub(super) fn new(inner: Incoming, limit: Duration, meter: Rc<Meter>) -> Streamed {
        // hyper neither polls a body without bytes nor drops it before the answer.
        if inner.is_end_stream() {
            meter.done_at.set(Some(Instant::now()));
        }
        Streamed { inner, meter, limit, idle: Deadline::default(), done: None }
    }

    pub(super) fn on_end(mut self, done: impl FnOnce(BodyEnd) + 'static) -> Streamed {
        self.done = Some(Box::new(done));
        self
    }

    fn finish(&mut self, end: BodyEnd) {
        if self.meter.done_at().is_none() {
            self.meter.done_at.set(Some(Instant::now()));
        }
        if let Some(done) = self.done.take() {
            done(end);
        }
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        let end = if self.inner.is_end_stream() { BodyEnd::Complete } else { BodyEnd::Dropped };
        self.finish(end);
    }
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.meter.add(frame.data_ref().map_or(0, Bytes::len));
                this.idle.passed();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.finish(BodyEnd::Failed);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.finish(BodyEnd::Complete);
                Poll::Ready(None)
            }
            Poll::Pending => {
                let limit = this.limit;
                ready!(this.idle.poll(cx, limit));
                this.finish(BodyEnd::Idle);
                Poll::Ready(Some(Err(BodyError::Idle(limit))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::Streamed(streamed) => Pin::new(streamed).poll_frame(cx),
            Body::Unpacked(unpacked) => Pin::new(&mut **unpacked).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_none(),
            Body::Streamed(streamed) => streamed.is_end_stream(),
            Body::Unpacked(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Body::Streamed(streamed) => streamed.size_hint(),
            Body::Unpacked(_) => SizeHint::default(),
        }
    }
}
