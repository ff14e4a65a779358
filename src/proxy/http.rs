//! Plain HTTP: each request authorised by its own host, on a connection kept alive or not.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::BytesMut;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::HostWithoutPort;
use crate::flow::{Authority, Profile, Protocol, Reason, Via};
use crate::net::relay::reset_when_dropped;
use crate::telemetry::{CloseWhy, ClosedBy};

use super::answer::Answer;
use super::body::{Body, BodyEnd, Meter, Streamed};
use super::gateway::dialled;
use super::guard::{Guard, Link, Stop};
use super::headers;
use super::imitate::{self, Packing};
use super::records::{About, Opened};
use super::session::{Ask, Permitted, Session, Tunnel, close_gently};
use super::upstream::{self, Upstream};
use super::{auth, pac};

/// How requests on this connection say where they go.
pub(super) enum Form {
    /// To the proxy, in absolute form.
    Proxy,
    /// Inside a tunnel to this host and port, which every Host header has to name again.
    Tunnel(Via, Authority),
    /// To the host itself, by a gateway that the client knows nothing of. The Host header says which; the connection
    /// was to this host and port.
    Gateway(Authority),
}

impl Form {
    fn via(&self) -> Via {
        match self {
            Form::Proxy => Via::Http,
            Form::Tunnel(via, _) => *via,
            Form::Gateway(_) => Via::Gateway,
        }
    }

    fn about(&self) -> About<'_> {
        match self {
            Form::Proxy => About::Nothing,
            Form::Tunnel(_, to) | Form::Gateway(to) => About::To(to),
        }
    }
}

/// What comes after the last request that was plain HTTP.
pub(super) enum After {
    Closed,
    /// A `CONNECT`, with the bytes of it that were read.
    Connect(TcpStream, BytesMut),
    /// The origin agreed to another protocol.
    Switched(Box<Tunnel>),
}

/// Serves requests until the connection closes or turns into something else.
pub(super) async fn serve(session: Rc<Session>, stream: TcpStream, held: BytesMut, form: Form) -> After {
    let config = &session.core.shared.config;
    let guard = Guard::new(stream, held, &config.timeouts, session.max_head());
    let connection = Rc::new(Connection {
        link: guard.link(),
        upstream: Upstream::new(session.clone()),
        session: session.clone(),
        forwarded_for: headers::client_value(session.client.ip()),
        form,
        switch: RefCell::default(),
        answering: Rc::default(),
    });
    let service = service_fn(|request| -> Pin<Box<dyn Future<Output = Result<Response<Body>, Dropped>>>> {
        let connection = connection.clone();
        Box::pin(async move { connection.answer(request).await })
    });
    let mut served = http1::Builder::new()
        .half_close(true)
        .title_case_headers(true)
        .max_buf_size(upstream::BUFFER)
        .serve_connection(TokioIo::new(guard), service);
    let alarm = &session.core.alarm;
    let (mut listener, mut draining) = (alarm.listen(), false);
    let ended = poll_fn(|cx| {
        if listener.poll(cx).is_ready() && connection.is_denied() {
            return Poll::Ready(Ended::Cut);
        }
        if !draining && alarm.is_draining() {
            draining = true;
            Pin::new(&mut served).graceful_shutdown();
        }
        served.poll_without_shutdown(cx).map(|served| if served.is_ok() { Ended::Well } else { Ended::Badly })
    })
    .await;
    let (stream, held) = served.into_parts().io.into_inner().into_parts();
    if ended == Ended::Cut {
        reset_when_dropped(&stream);
        return After::Closed;
    }
    connection.finish(stream, held, ended == Ended::Well).await
}

/// How a connection was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    /// An answer was cut short.
    Badly,
    /// A new policy denies what was being answered.
    Cut,
}

/// One client connection that speaks HTTP.
struct Connection {
    session: Rc<Session>,
    form: Form,
    link: Rc<Link>,
    upstream: Upstream,
    /// The client's address.
    forwarded_for: HeaderValue,
    /// Set when the origin agreed to another protocol.
    switch: RefCell<Option<Switch>>,
    answering: Rc<RefCell<Answering>>,
}

/// What becomes of the answer whose body is on its way: there is one at a time.
#[derive(Default)]
enum Answering {
    #[default]
    Nothing,
    Allowed(Asked, Permitted),
    /// A new policy denies it.
    Denied,
}

struct Switch {
    origin: TcpStream,
    early: Vec<u8>,
    opened: Opened,
    permitted: Permitted,
    asked: Asked,
}

/// A request as far as it concerns the policy.
struct Asked {
    to: Authority,
    path: String,
    via: Via,
    dialled: Option<IpAddr>,
    live: Option<IpAddr>,
}

/// A request that does not say clearly where it goes.
struct Unclear {
    reason: Reason,
    /// Where the URI says, if that can be read.
    to: Option<Authority>,
}

impl From<Reason> for Unclear {
    fn from(reason: Reason) -> Unclear {
        Unclear { reason, to: None }
    }
}

/// What a request gets instead of its answer.
enum Refusal {
    Answer(Answer),
    /// The end of the connection.
    Drop,
}

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Refusal {
        Refusal::Answer(answer)
    }
}

/// The connection is closed instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("dropped")]
struct Dropped;

impl Asked {
    fn ask(&self) -> Ask<'_> {
        let Asked { to, path, via, dialled, live } = self;
        Ask { via: *via, to, protocols: &[Protocol::Http], path: Some(path), dialled: *dialled, live: *live }
    }
}

impl Connection {
    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
        let answer = self.exchange(request).await;
        self.link.answered();
        match answer {
            Ok(response) => Ok(response),
            Err(Refusal::Answer(answer)) => {
                self.link.finished();
                Ok(answer.into_response())
            }
            Err(Refusal::Drop) => {
                self.link.finished();
                Err(Dropped)
            }
        }
    }

    async fn exchange(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        if matches!(self.form, Form::Proxy) {
            // Who fetches it does not know the proxy yet, and has no credentials for it.
            if let Some(pac) = pac::answer(&self.session, &request) {
                self.link.finished();
                return Ok(pac);
            }
            self.authenticate(request.headers()).await?;
        }
        let asked = match self.asked(&request) {
            Ok(asked) => asked,
            Err(unclear) => return Err(self.malformed(&request, &unclear).await),
        };
        let mut permitted = match self.session.authorize(asked.ask()).await {
            Ok(permitted) => permitted,
            Err(refused) => {
                self.session.record_refused(asked.ask(), &refused, None).await;
                return Err(self.session.refusal(refused.reason, refused.rule_name(), &asked.to).into());
            }
        };
        self.goes_on(&asked, &mut permitted);
        let http = self.session.core.shared.config.http;
        let upgrade = headers::for_upstream(&mut request, &asked.to, &self.forwarded_for, http.forwarded_for);
        headers::insert(request.headers_mut(), permitted.headers_to_insert());
        let packing = imitate::request(&mut request, http.rewrite);
        let opened = self.session.record_allowed(asked.ask(), &permitted, None).await;
        opened.sends_head(|| headers::request_bytes(&request));
        let meter = Rc::new(Meter::default());
        match self.upstream.send(request, asked.ask(), &mut permitted, &meter).await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Ok(self.switch(response, upgrade, opened, permitted, asked).await?)
            }
            Ok(response) => {
                self.answering.replace(Answering::Allowed(asked, permitted));
                Ok(self.stream_back(response, packing, meter, opened))
            }
            Err(reason) => Err(self.failed(reason, meter.bytes(), opened, &asked.to).into()),
        }
    }

    /// What the network around the firewall said of a flow that runs is what it said when that began: security groups do not
    /// look at it again (`azure`).
    fn goes_on(&self, asked: &Asked, permitted: &mut Permitted) {
        let running = self.upstream.running(&asked.to).filter(|flow| flow.seen == permitted.seen());
        if let Some(running) = running.filter(|_| permitted.active.profile == Profile::Azure) {
            permitted.around = running.around;
        }
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<(), Answer> {
        let given = headers.get(PROXY_AUTHORIZATION).map(HeaderValue::as_bytes);
        if auth::is_basic(self.session.core.shared.config.credentials.as_ref(), given) {
            return Ok(());
        }
        self.session.record_malformed(Via::Http, About::Nothing, Reason::AuthRequired).await;
        Err(self.session.bare_refusal(Reason::AuthRequired))
    }

    /// Where the request goes: the URI and the Host header have to agree.
    fn asked(&self, request: &Request<Incoming>) -> Result<Asked, Unclear> {
        let uri = request.uri();
        let host = request.headers().get(HOST).map(|host| host.to_str().map_err(|_| Reason::BadHost)).transpose()?;
        let usual = self.port_of_host();
        let in_host = host.map(|host| Authority::parse(host, Some(usual)).map_err(|_| Reason::BadHost)).transpose()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let in_uri = match (uri.scheme_str(), uri.authority()) {
            // As a rule they agree to the letter.
            (Some("http"), Some(authority)) if usual == 80 && host == Some(authority.as_str()) => in_host.clone(),
            (Some("http"), Some(authority)) if !authority.as_str().contains('@') => {
                Some(Authority::parse(authority.as_str(), Some(80)).map_err(|_| Reason::BadName)?)
            }
            (None, None) => None,
            _ => return Err(Reason::BadRequest.into()),
        };
        let (via, to) = match (&self.form, in_uri) {
            (Form::Proxy, Some(to)) => (Via::Http, to),
            (Form::Proxy, None) => return Err(Reason::BadRequest.into()),
            (Form::Tunnel(_, to), Some(in_uri)) if in_uri != *to => {
                return Err(Unclear { reason: Reason::HostUriMismatch, to: Some(to.clone()) });
            }
            (Form::Tunnel(via, to), _) => (*via, to.clone()),
            (Form::Gateway(_), in_uri) => {
                let host = in_host.clone().ok_or(Reason::BadHost)?;
                (Via::Gateway, in_uri.unwrap_or(host))
            }
        };
        if in_host.is_some_and(|host| host != to) {
            return Err(Unclear { reason: Reason::HostUriMismatch, to: Some(to) });
        }
        if let Form::Gateway(dialled) = &self.form
            && to.port != dialled.port
        {
            // The port that counts is the one that was dialled.
            let to = Authority { port: dialled.port, ..to };
            return Err(Unclear { reason: Reason::HostPortMismatch, to: Some(to) });
        }
        let dialled = match &self.form {
            Form::Gateway(to) => dialled(to),
            Form::Proxy | Form::Tunnel(..) => None,
        };
        let live = self.upstream.running(&to).and_then(|flow| flow.seen);
        Ok(Asked { to, path, via, dialled, live })
    }

    /// The port that a Host header without one speaks of.
    fn port_of_host(&self) -> u16 {
        match &self.form {
            Form::Gateway(dialled) if self.session.core.shared.gateway.host_without_port == HostWithoutPort::Any => {
                dialled.port
            }
            _ => 80,
        }
    }

    /// Does a new policy deny what is being answered?
    fn is_denied(&self) -> bool {
        let denied = match &*self.answering.borrow() {
            Answering::Allowed(asked, permitted) => !self.session.still_allowed(asked.ask(), permitted),
            Answering::Denied => true,
            Answering::Nothing => false,
        };
        if denied {
            self.answering.replace(Answering::Denied);
        }
        denied
    }

    /// True where the client speaks to the proxy and means to.
    fn is_explicit(&self) -> bool {
        matches!(self.form, Form::Proxy)
    }

    async fn malformed(&self, request: &Request<Incoming>, unclear: &Unclear) -> Refusal {
        let Unclear { reason, to } = unclear;
        let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
        let unknown = match &self.form {
            Form::Gateway(dialled) => About::To(dialled),
            Form::Proxy | Form::Tunnel(..) => host.map_or(About::Nothing, About::Raw),
        };
        let about = to.as_ref().map_or(unknown, About::Request);
        self.session.record_malformed(self.form.via(), about, *reason).await;
        match to {
            // Azure drops such traffic without a word (rule-processing.md).
            _ if *reason == Reason::HostPortMismatch => Refusal::Drop,
            Some(to) => self.session.refusal(*reason, None, to).into(),
            None => self.session.bare_refusal(*reason).into(),
        }
    }

    /// The answer's head now, its body as it comes; the flow is closed with it.
    fn stream_back(
        &self,
        response: Response<Incoming>,
        packing: Packing,
        sent: Rc<Meter>,
        opened: Opened,
    ) -> Response<Body> {
        opened.receives_head(|| headers::response_bytes(&response));
        let (mut head, body) = response.into_parts();
        headers::for_client(&mut head.headers);
        head.version = Version::HTTP_11;
        let (session, link) = (self.session.clone(), self.link.clone());
        let limit = session.timeouts().idle;
        let received = Rc::new(Meter::default());
        if opened.is_measured() {
            let (sent, received) = (sent.clone(), received.clone());
            opened.moves(move || [sent.bytes(), received.bytes()]);
        }
        let answering = self.answering.clone();
        let body = Streamed::new(body, limit, received.clone()).on_end(move |end| {
            let denied = matches!(answering.take(), Answering::Denied);
            let killed = || session.core.shared.lifecycle.kill.is_cancelled();
            let (by, why) = match end {
                BodyEnd::Dropped if denied => (ClosedBy::Egret, CloseWhy::Reason(Reason::PolicyChanged)),
                BodyEnd::Complete => (ClosedBy::Origin, CloseWhy::Eof),
                BodyEnd::Failed => (ClosedBy::Origin, CloseWhy::Reset),
                BodyEnd::Dropped if killed() => (ClosedBy::Egret, CloseWhy::Shutdown),
                BodyEnd::Dropped if !link.is_stuck() => (ClosedBy::Client, CloseWhy::Reset),
                BodyEnd::Idle | BodyEnd::Dropped => (ClosedBy::Egret, CloseWhy::IdleTimeout),
            };
            session.close(opened, [sent.bytes(), received.bytes()], by, why);
            link.finished();
        });
        imitate::response(head, packing, body)
    }

    /// The upstream failed, or the client's own body was not clean.
    fn failed(&self, reason: Reason, sent: u64, opened: Opened, to: &Authority) -> Answer {
        let reason = match self.link.stop() {
            Some(Stop::Invalid(own) | Stop::Broken(own)) => own,
            _ => reason,
        };
        self.session.close_failed(opened, [sent, 0], reason);
        self.session.refusal(reason, None, to)
    }

    /// The origin speaks another protocol from here on, as the client asked.
    async fn switch(
        &self,
        mut response: Response<Incoming>,
        upgrade: Option<HeaderValue>,
        opened: Opened,
        permitted: Permitted,
        asked: Asked,
    ) -> Result<Response<Body>, Answer> {
        opened.receives_head(|| headers::response_bytes(&response));
        let upgraded = match upgrade {
            Some(_) => hyper::upgrade::on(&mut response).await.ok(),
            None => None,
        };
        let parts = upgraded.and_then(|upgraded| upgraded.downcast::<TokioIo<TcpStream>>().ok());
        let Some(parts) = parts else {
            return Err(self.failed(Reason::UpstreamInvalid, 0, opened, &asked.to));
        };
        let (origin, early) = (parts.io.into_inner(), parts.read_buf.to_vec());
        *self.switch.borrow_mut() = Some(Switch { origin, early, opened, permitted, asked });
        let (mut head, _) = response.into_parts();
        let protocol = head.headers.get(UPGRADE).cloned();
        headers::for_client(&mut head.headers);
        head.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        head.headers.extend(protocol.map(|protocol| (UPGRADE, protocol)));
        Ok(Response::from_parts(head, Body::empty()))
    }

    /// hyper is done: what the connection becomes now. `clean` where no answer was cut short.
    async fn finish(&self, stream: TcpStream, held: BytesMut, clean: bool) -> After {
        if let Some(switch) = self.switch.take() {
            let Switch { origin, early, opened, permitted, asked } = switch;
            let Asked { to, path, via, dialled: _, live: _ } = asked;
            let (path, client, early, moved) = (Some(path), stream, [held.to_vec(), early], [0, 0]);
            let tunnel = Tunnel { opened, via, to, path, permitted, client, origin, early, moved };
            return After::Switched(Box::new(tunnel));
        }
        let nested = self.link.stop() == Some(Stop::Connect);
        let stop = match (self.link.stop(), self.is_explicit()) {
            // A tunnel leads to one place, and a gateway is no proxy.
            (Some(Stop::Connect), false) => Some(Stop::Invalid(Reason::BadRequest)),
            (stop, _) => stop,
        };
        match stop {
            Some(Stop::Connect) if clean => return After::Connect(stream, held),
            Some(Stop::Invalid(reason)) => {
                self.session.record_malformed(self.form.via(), self.form.about(), reason).await;
                // In a tunnel, what never was HTTP is closed without a byte, as what is no TLS is.
                let never = !self.is_explicit() && !self.link.had_any() && !nested;
                if clean && !(never && reason == Reason::BadRequest) {
                    self.session.write_answer(&stream, &self.session.bare_refusal(reason)).await;
                }
            }
            Some(Stop::Eof) if !self.is_explicit() && !self.link.had_any() => {
                self.session.record_malformed(self.form.via(), self.form.about(), Reason::ClientGone).await;
            }
            _ => {}
        }
        close_gently(stream).await;
        After::Closed
    }
}
