//! Connections to origins for plain HTTP, kept as long as the client's own connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::flow::{Authority, Reason};

use super::body::{Body, BodyEnd, Streamed};
use super::session::{Permitted, Session};

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
    policy_hash: std::sync::Arc<str>,
    sender: SendRequest<Body>,
}

/// The head of an origin's answer.
pub(super) struct Sent {
    pub(super) response: Response<Incoming>,
    /// Bytes of the request's body, as far as they were sent.
    pub(super) sent_bytes: Rc<Cell<u64>>,
}

impl Upstream {
    pub(super) fn new(session: Rc<Session>) -> Upstream {
        Upstream { session, kept: RefCell::default(), drivers: RefCell::default() }
    }

    /// Sends a request on a kept connection or on a new one, and waits for the head of the answer.
    pub(super) async fn send(
        &self,
        request: Request<Incoming>,
        to: &Authority,
        permitted: &Permitted,
    ) -> Result<Sent, Reason> {
        let progress = Progress::default();
        let (sent_bytes, done_at) = (progress.bytes.clone(), progress.done_at.clone());
        let limit = self.session.timeouts().idle;
        let hash = permitted.policy_hash();
        let kept = self.take_kept(to, &hash).await;
        let repeat = kept.as_ref().and_then(|_| repeatable(&request));
        let mut request = request.map(|body| {
            Body::Streamed(Streamed::new(body, limit, move |bytes, _: BodyEnd| {
                sent_bytes.set(bytes);
                done_at.set(Some(Instant::now()));
            }))
        });
        if let Some(mut kept) = kept {
            match (self.answer_within(kept.sender.try_send_request(request), &progress).await, repeat) {
                (Ok(response), _) => return Ok(self.keep(kept, response, progress)),
                // The origin closed the kept connection before it took the request, or as it did.
                (Err(Failed::Unsent(unsent)), _) => request = *unsent,
                (Err(Failed::Reason(Reason::UpstreamUnreachable)), Some(repeat)) => request = repeat,
                (Err(Failed::Reason(reason)), _) => return Err(reason),
            }
        }
        let sender = self.connect(permitted).await?;
        let mut kept = Kept { to: to.clone(), policy_hash: hash, sender };
        match self.answer_within(kept.sender.try_send_request(request), &progress).await {
            Ok(response) => Ok(self.keep(kept, response, progress)),
            Err(Failed::Unsent(_)) => Err(Reason::UpstreamUnreachable),
            Err(Failed::Reason(reason)) => Err(reason),
        }
    }

    /// A kept connection to the same place, judged by the same policy and still open.
    async fn take_kept(&self, to: &Authority, hash: &std::sync::Arc<str>) -> Option<Kept> {
        let mut kept = {
            let mut all = self.kept.borrow_mut();
            all.retain(|kept| !kept.sender.is_closed() && kept.policy_hash == *hash);
            let at = all.iter().position(|kept| kept.to == *to)?;
            all.swap_remove(at)
        };
        let limit = self.session.timeouts().connect;
        matches!(timeout(limit, kept.sender.ready()).await, Ok(Ok(()))).then_some(kept)
    }

    fn keep(&self, kept: Kept, response: Response<Incoming>, progress: Progress) -> Sent {
        let mut all = self.kept.borrow_mut();
        if all.len() == KEPT {
            all.remove(0);
        }
        all.push(kept);
        Sent { response, sent_bytes: progress.bytes }
    }

    async fn connect(&self, permitted: &Permitted) -> Result<SendRequest<Body>, Reason> {
        let stream = self.session.dial(permitted).await?;
        let mut http = http1::Builder::new();
        let handshake = http.title_case_headers(true).handshake(TokioIo::new(stream)).await;
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

    /// The deadline runs from the end of the request's body, however long that takes.
    async fn answer_within<F>(&self, sending: F, progress: &Progress) -> Result<Response<Incoming>, Failed>
    where
        F: Future<Output = Result<Response<Incoming>, hyper::client::conn::TrySendError<Request<Body>>>>,
    {
        let limit = self.session.timeouts().response;
        let late = async {
            loop {
                let until = progress.done_at.get().unwrap_or_else(Instant::now) + limit;
                sleep_until(until).await;
                if progress.done_at.get().is_some_and(|done| done + limit <= Instant::now()) {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            answer = sending => answer.map_err(|mut error| match error.take_message() {
                Some(request) => Failed::Unsent(Box::new(request)),
                None => Failed::Reason(reason_of(error.error())),
            }),
            () = late => Err(Failed::Reason(Reason::UpstreamTimeout)),
        }
    }
}

enum Failed {
    /// Nothing of the request was sent.
    Unsent(Box<Request<Body>>),
    Reason(Reason),
}

/// The same request again, where it may be sent twice (RFC 9110 section 9.2.2) and there is no body to keep for that.
fn repeatable(request: &Request<Incoming>) -> Option<Request<Body>> {
    if !request.method().is_idempotent() || !request.body().is_end_stream() {
        return None;
    }
    let mut repeat = Request::new(Body::empty());
    *repeat.method_mut() = request.method().clone();
    *repeat.uri_mut() = request.uri().clone();
    *repeat.headers_mut() = request.headers().clone();
    Some(repeat)
}

fn reason_of(error: &hyper::Error) -> Reason {
    if error.is_parse() { Reason::UpstreamInvalid } else { Reason::UpstreamUnreachable }
}

/// How far the request's body is.
#[derive(Default)]
struct Progress {
    bytes: Rc<Cell<u64>>,
    done_at: Rc<Cell<Option<Instant>>>,
}
