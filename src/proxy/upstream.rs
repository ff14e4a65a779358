//! Connections to origins for plain HTTP, kept as long as the client's own connection.

use std::cell::RefCell;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::flow::{Authority, Reason};
use crate::telemetry::Surroundings;

use super::body::{Body, BodyError, Meter};
use super::session::{Ask, Permitted, Session};

/// What is read ahead of a client that does not read, and kept for one, at most, bytes: a request's head has to fit.
pub(super) const BUFFER: usize = 128 * 1024;

/// Connections that one client connection keeps open to origins.
const KEPT: usize = 4;

/// The upstream side of one client connection.
pub(super) struct Upstream {
    session: Rc<Session>,
    kept: RefCell<Vec<Kept>>,
    /// Drive the connections; they end with this.
    drivers: RefCell<JoinSet<()>>,
}

struct Kept {
    to: Authority,
    /// Of what judged it.
    generation: u64,
    sender: SendRequest<Body>,
    flow: Running,
}

/// A flow that runs, as the network around the firewall saw it begin.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) seen: Option<IpAddr>,
    pub(super) around: Option<Arc<Surroundings>>,
}

impl Upstream {
    pub(super) fn new(session: Rc<Session>) -> Upstream {
        Upstream { session, kept: RefCell::default(), drivers: RefCell::default() }
    }

    /// Sends a request on a kept connection or on a new one, and waits for the head of the answer. `meter` shows how
    /// far the request's body is.
    pub(super) async fn send(
        &self,
        request: Request<Incoming>,
        ask: Ask<'_>,
        permitted: &mut Permitted,
        meter: &Rc<Meter>,
    ) -> Result<Response<Incoming>, Reason> {
        let limit = self.session.timeouts().idle;
        let generation = permitted.active.generation();
        let kept = self.take_kept(ask.to, generation).await;
        let repeat = kept.as_ref().and_then(|_| Repeat::of(&request));
        let mut request = request.map(|body| Body::upward(body, limit, meter));
        if let Some(mut kept) = kept {
            let answer = self.exchange(&mut kept.sender, request, ask, permitted, meter).await;
            match (answer, repeat) {
                (Ok(response), _) => return Ok(self.keep(kept, response)),
                // The origin closed the kept connection before it took the request, or as it did.
                (Err(Failed::Unsent(unsent)), _) => request = *unsent,
                (Err(Failed::Reason(Reason::UpstreamUnreachable)), Some(repeat)) => request = repeat.into_request(),
                (Err(Failed::Reason(reason)), _) => return Err(reason),
            }
        }
        let sender = self.connect(permitted).await?;
        let flow = Running { seen: permitted.seen(), around: permitted.around.clone() };
        let mut kept = Kept { to: ask.to.clone(), generation, sender, flow };
        match self.exchange(&mut kept.sender, request, ask, permitted, meter).await {
            Ok(response) => Ok(self.keep(kept, response)),
            Err(Failed::Unsent(_)) => Err(Reason::UpstreamUnreachable),
            Err(Failed::Reason(reason)) => Err(reason),
        }
    }

    /// The flow to this place that runs already.
    pub(super) fn running(&self, to: &Authority) -> Option<Running> {
        let all = self.kept.borrow();
        all.iter().find(|kept| kept.to == *to && !kept.sender.is_closed()).map(|kept| kept.flow.clone())
    }

    /// A kept connection to the same place, judged by the same policy and still open.
    async fn take_kept(&self, to: &Authority, generation: u64) -> Option<Kept> {
        let mut kept = {
            let mut all = self.kept.borrow_mut();
            all.retain(|kept| !kept.sender.is_closed() && kept.generation == generation);
            let at = all.iter().position(|kept| kept.to == *to)?;
            all.swap_remove(at)
        };
        if kept.sender.is_ready() {
            return Some(kept);
        }
        let limit = self.session.timeouts().connect;
        matches!(self.session.timer.within(limit, kept.sender.ready()).await, Ok(Ok(()))).then_some(kept)
    }

    fn keep(&self, kept: Kept, response: Response<Incoming>) -> Response<Incoming> {
        let mut all = self.kept.borrow_mut();
        if all.len() == KEPT {
            all.remove(0);
        }
        all.push(kept);
        response
    }

    async fn connect(&self, permitted: &mut Permitted) -> Result<SendRequest<Body>, Reason> {
        let stream = self.session.dial(permitted).await?;
        let mut http = http1::Builder::new();
        let handshake = http.title_case_headers(true).max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|_| Reason::UpstreamUnreachable)?;
        let mut drivers = self.drivers.borrow_mut();
        while drivers.try_join_next().is_some() {}
        drivers.spawn_local(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "an origin's connection ended");
            }
        });
        Ok(sender)
    }

    /// Sends the request and waits for the head of its answer, for as long as the policy in force allows it: it may have
    /// changed since the verdict, for the log and the connection took their time.
    async fn exchange(
        &self,
        sender: &mut SendRequest<Body>,
        request: Request<Body>,
        ask: Ask<'_>,
        permitted: &Permitted,
        meter: &Meter,
    ) -> Result<Response<Incoming>, Failed> {
        // It is sent as it is called for: not before the policy was asked.
        let answer = async { self.answer_within(sender.try_send_request(request), meter).await };
        tokio::select! {
            biased;
            () = self.session.denied(ask, permitted) => Err(Failed::Reason(Reason::PolicyChanged)),
            answer = answer => answer,
        }
    }

    /// The body may take its time as long as it moves; the deadline for an answer runs from its end.
    async fn answer_within<F>(&self, sending: F, meter: &Meter) -> Result<Response<Incoming>, Failed>
    where
        F: Future<Output = Result<Response<Incoming>, hyper::client::conn::TrySendError<Request<Body>>>>,
    {
        let since = Instant::now();
        let mut sending = pin!(sending);
        let answer = poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => self.poll_late(cx, since, meter).map(|()| None),
        });
        answer.await.ok_or(Failed::Reason(Reason::UpstreamTimeout))?.map_err(|mut error| match error.take_message() {
            Some(request) => Failed::Unsent(Box::new(request)),
            None => Failed::Reason(reason_of(error.error())),
        })
    }

    /// Ready when the answer to what was sent then is late.
    fn poll_late(&self, cx: &mut Context<'_>, since: Instant, meter: &Meter) -> Poll<()> {
        let timeouts = self.session.timeouts();
        let until = match meter.done_at() {
            Some(done) => done.max(since) + timeouts.response,
            None => meter.moved_at().unwrap_or(since) + timeouts.idle,
        };
        self.session.timer.poll(cx, until)
    }
}

enum Failed {
    /// Nothing of the request was sent.
    Unsent(Box<Request<Body>>),
    Reason(Reason),
}

/// What it takes to send a request again: less than the request, since it is rarely done.
struct Repeat {
    method: Method,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Repeat {
    /// Where it may be sent twice (RFC 9110 section 9.2.2) and there is no body to keep for that.
    fn of(request: &Request<Incoming>) -> Option<Repeat> {
        if !request.method().is_idempotent() || !request.body().is_end_stream() {
            return None;
        }
        let headers = request.headers().iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Some(Repeat { method: request.method().clone(), uri: request.uri().clone(), headers })
    }

    fn into_request(self) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        self.headers.into_iter().for_each(|(name, value)| _ = request.headers_mut().append(name, value));
        request
    }
}

/// The request's own body fails where the client leaves in the middle of it: that is no fault of the origin's.
fn reason_of(error: &hyper::Error) -> Reason {
    match error.source().and_then(|source| source.downcast_ref()) {
        Some(BodyError::Http(_)) => Reason::ClientGone,
        _ if error.is_parse() => Reason::UpstreamInvalid,
        _ => Reason::UpstreamUnreachable,
    }
}
