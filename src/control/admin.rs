//! The admin server: health, metrics, the policy in force, the last decisions, questions, reload.
//!
//! HTTP/1 only. At [`CONNECTIONS`] connections new ones wait. Without a token only those are answered who
//! reached it by an address or as localhost: a page whose name was rebound to 127.0.0.1 is not.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, ORIGIN, WWW_AUTHENTICATE};
use hyper::http::HeaderName;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::{CheckTarget, DnsConfig, PolicySource, SourceOrigin, client_of_subnet};
use crate::flow::{Authority, Host, Reason, Verdict};
use crate::net::listener::{self, Spare};
use crate::policy::in_order;
use crate::proxy::{Shared, same_secret};
use crate::telemetry::{self, Filter, RECENT_FLOWS};
use crate::vnet::Network;

use super::arm::{self, Arm};
use super::question::{Asking, Detail, Oracle, RulePlace, action_of, kind_of};
use super::reload::{Refused, Reloader};

/// Connections at once; beyond them new ones wait.
const CONNECTIONS: usize = 64;
/// For a request head, and for a body.
const READING: Duration = Duration::from_secs(10);
/// For a connection, so that a client that takes no answer does not keep its place for ever.
const LONGEST: Duration = Duration::from_secs(300);
const MAX_BODY: usize = 64 * 1024;
const MAX_HEAD: usize = 64 * 1024;

/// Where a browser says that the page is from that asks, and what the answer is for.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Everything that requests ask about.
pub(super) struct Admin {
    pub(super) shared: Arc<Shared>,
    pub(super) drain: CancellationToken,
    /// What the process started with, as the proxy has it.
    pub(super) dns: DnsConfig,
    pub(super) gate: Gate,
    pub(super) reloader: Arc<Reloader>,
    pub(super) arm: Arm,
}

/// Who is let in.
pub(super) struct Gate {
    pub(super) listen: SocketAddr,
    pub(super) token: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Healthz,
    Readyz,
    Metrics,
    Policy,
    Flows,
    Check,
    Reload,
}

/// Each with the methods that it takes; whoever takes GET takes HEAD too.
const ROUTES: &[(&str, Route, &str)] = &[
    ("/healthz", Route::Healthz, "GET, HEAD"),
    ("/readyz", Route::Readyz, "GET, HEAD"),
    ("/metrics", Route::Metrics, "GET, HEAD"),
    ("/v1/policy", Route::Policy, "GET, HEAD"),
    ("/v1/flows", Route::Flows, "GET, HEAD"),
    ("/v1/check", Route::Check, "GET, HEAD, POST"),
    ("/v1/reload", Route::Reload, "POST"),
];

pub(super) type Answer = Response<Full<Bytes>>;

/// A request that is not granted.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    header: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), header: None }
    }

    fn bad(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, code, message)
    }

    fn into_answer(self) -> Answer {
        let Refusal { status, code, message, header } = self;
        let mut answer = json_answer(status, &json!({ "error": { "code": code, "message": message } }));
        if let Some((name, value)) = header {
            answer.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
        }
        answer
    }
}

/// For ever.
pub(super) async fn serve(listener: TcpListener, admin: Arc<Admin>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let spare = Arc::new(Spare::default());
    loop {
        spare.keep();
        let place = places.clone().acquire_owned().await.expect("nobody closes it");
        let (stream, lent) = listener::accept_in_need(&listener, &spare).await;
        while connections.try_join_next().is_some() {}
        let admin = admin.clone();
        connections.spawn(async move {
            // Too long or gone: either way it ends here.
            let _ = timeout(LONGEST, serve_one(stream, admin)).await;
            drop((place, lent));
        });
    }
}

async fn serve_one(stream: TcpStream, admin: Arc<Admin>) {
    let service = service_fn(move |request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(admin.answer(request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(READING).max_buf_size(MAX_HEAD);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "an admin connection ended");
    }
}

impl Admin {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let authority = request.uri().authority().map(|it| it.as_str());
        let admitted = self.gate.admit(authority, request.headers());
        let path = request.uri().path();
        match (admitted, arm::is_arm(path)) {
            (Err(refusal), true) if refusal.status == StatusCode::UNAUTHORIZED && arm::is_metadata(path) => {
                self.arm.answer(request).await
            }
            (Err(refusal), true) if refusal.status == StatusCode::UNAUTHORIZED => arm::unauthorized(request.headers()),
            (Err(refusal), _) => refusal.into_answer(),
            (Ok(()), true) => self.arm.answer(request).await,
            (Ok(()), false) => self.answer_own(request).await,
        }
    }

    async fn answer_own(&self, request: Request<Incoming>) -> Answer {
        self.try_answer(request).await.unwrap_or_else(Refusal::into_answer)
    }

    async fn try_answer(&self, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let route = route(request.method(), request.uri().path())?;
        let params = Params::read(request.uri().query().unwrap_or(""));
        match route {
            Route::Healthz => Ok(text_answer(StatusCode::OK, "ok\n")),
            Route::Readyz if self.drain.is_cancelled() => {
                Ok(text_answer(StatusCode::SERVICE_UNAVAILABLE, "draining\n"))
            }
            Route::Readyz if self.shared.log.refusing() => {
                Ok(text_answer(StatusCode::SERVICE_UNAVAILABLE, "log unavailable\n"))
            }
            Route::Readyz => Ok(text_answer(StatusCode::OK, "ready\n")),
            Route::Metrics => Ok(plain(StatusCode::OK, telemetry::CONTENT_TYPE, self.shared.metrics.encode())),
            Route::Policy => Ok(self.policy()),
            Route::Flows => self.flows(&params),
            Route::Check if request.method() == Method::POST => {
                let body = read_body(request.into_body()).await.map_err(Refusal::from)?;
                let question = serde_json::from_slice(&body);
                self.check(&question.map_err(|error| Refusal::bad("bad-body", error.to_string()))?)
            }
            Route::Check => self.check(&Question::of_params(&params)?),
            Route::Reload => Ok(self.reload().await),
        }
    }

    fn policy(&self) -> Answer {
        let active = self.shared.active();
        let set = active.policy.rules();
        let rules = in_order(set).into_iter().zip(active.hits.totals());
        let rules = rules.map(|(ordered, (_, hits))| RuleLine {
            place: RulePlace::from(&ordered),
            kind: kind_of(ordered.rule),
            action: action_of(ordered.rule),
            hits,
        });
        let sources = self.reloader.sources();
        json_answer(
            StatusCode::OK,
            &PolicyPage {
                policies: set.policies.iter().map(|policy| policy.name.as_str()).collect(),
                hash: active.policy.hash(),
                profile: active.profile.as_str(),
                sources: sources.iter().map(SourceLine::from).collect(),
                service_endpoints: set.service_endpoints.iter().map(|it| it.service.as_str()).collect(),
                rules: rules.collect(),
            },
        )
    }

    fn flows(&self, params: &Params) -> Result<Answer, Refusal> {
        params.only(&["verdict", "reason", "host", "limit"])?;
        let verdict = params.word("verdict", &[Verdict::Allow, Verdict::Deny], Verdict::as_str)?;
        let reason = params.word("reason", Reason::ALL, Reason::as_str)?;
        let limit = params.get("limit").map(|text| match text.parse::<usize>() {
            Ok(limit @ 1..=RECENT_FLOWS) => Ok(limit),
            _ => Err(Refusal::bad("bad-parameter", format!("limit is a number from 1 to {RECENT_FLOWS}"))),
        });
        let host = params.get("host").map(str::to_owned);
        let filter = Filter { verdict, reason, host, limit: limit.transpose()? };
        Ok(json_answer(StatusCode::OK, &json!({ "flows": self.shared.log.recent(&filter) })))
    }

    fn check(&self, question: &Question) -> Result<Answer, Refusal> {
        let Question { target, from } = question;
        let target = CheckTarget::parse(target).map_err(|error| Refusal::bad("bad-target", error.to_string()))?;
        let active = self.shared.active();
        let from = from.as_deref().map(|from| asker(from, active.network())).transpose()?;
        let oracle = Oracle::new(&active.policy, active.network(), active.profile, &self.dns);
        Ok(json_answer(StatusCode::OK, &oracle.ask(&target, from, Detail::Verdict)))
    }

    async fn reload(&self) -> Answer {
        match self.reloader.reload().await {
            Ok(done) => {
                let body = json!({ "ok": true, "policy_hash": &*done.policy_hash, "warnings": done.warnings });
                json_answer(StatusCode::OK, &body)
            }
            Err(Refused { policy_hash, error }) => {
                let body = json!({ "ok": false, "policy_hash": &*policy_hash, "error": error });
                json_answer(StatusCode::CONFLICT, &body)
            }
        }
    }
}

fn route(method: &Method, path: &str) -> Result<Route, Refusal> {
    let Some((_, route, methods)) = ROUTES.iter().find(|(known, ..)| *known == path) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this path"));
    };
    if methods.split(", ").any(|known| known == method.as_str()) {
        return Ok(*route);
    }
    let message = format!("this path takes {methods}");
    let header = Some((ALLOW, *methods));
    Err(Refusal { header, ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", message) })
}

impl Gate {
    /// A token, where one is wanted, lets in whoever has it: no foreign page does. Without one, the Host header
    /// must not be a name that somebody else's DNS leads here, nor a foreign page be the one that asks.
    fn admit(&self, authority: Option<&str>, headers: &HeaderMap) -> Result<(), Refusal> {
        if let Some(token) = &self.token {
            return if bearer(headers).is_some_and(|given| same_secret(given.as_bytes(), token.as_bytes())) {
                Ok(())
            } else {
                let header = Some((WWW_AUTHENTICATE, "Bearer"));
                let message = "give the token, as in `Authorization: Bearer …`";
                Err(Refusal { header, ..Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", message) })
            };
        }
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Refusal::bad("bad-host", "a request has one Host header"));
        };
        let host = host.to_str().unwrap_or("");
        if !self.is_mine(host) || authority.is_some_and(|authority| !self.is_mine(authority)) {
            let message = format!("this is {}: ask for it by address or as localhost", self.listen);
            return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, "foreign-host", message));
        }
        if is_foreign_page(host, headers) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "foreign-origin", "pages of other sites cannot ask here"));
        }
        Ok(())
    }

    fn is_mine(&self, host: &str) -> bool {
        match Authority::parse(host, Some(80)) {
            Ok(Authority { host: Host::Addr(_), port }) => port == self.listen.port(),
            Ok(Authority { host: Host::Name(name), port }) => {
                name.as_str() == "localhost" && port == self.listen.port()
            }
            Err(_) => false,
        }
    }
}

/// Does a browser ask on behalf of a page from elsewhere? It could not read the answer, but some questions make Egret try
/// connections. Whoever follows a link asks for themselves (Fetch Metadata, W3C 2021).
fn is_foreign_page(host: &str, headers: &HeaderMap) -> bool {
    let header = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let is_embedded = matches!(header(SEC_FETCH_SITE), Some("cross-site" | "same-site"))
        && header(SEC_FETCH_DEST) != Some("document");
    is_embedded || header(ORIGIN).is_some_and(|origin| origin != format!("http://{host}"))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Why there is no body.
pub(super) enum BodyError {
    Late,
    TooLarge,
    Broken(String),
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Refusal {
        match error {
            BodyError::Late => Refusal::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", "the body took too long"),
            BodyError::TooLarge => {
                let message = "the body is larger than 64 KiB";
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", message)
            }
            BodyError::Broken(error) => Refusal::bad("bad-body", error),
        }
    }
}

pub(super) async fn read_body(body: Incoming) -> Result<Bytes, BodyError> {
    let read = timeout(READING, Limited::new(body, MAX_BODY).collect()).await.map_err(|_| BodyError::Late)?;
    let body = read.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
        true => BodyError::TooLarge,
        false => BodyError::Broken(error.to_string()),
    });
    Ok(body?.to_bytes())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    target: String,
    from: Option<String>,
}

/// An address, or a new machine of a subnet.
fn asker(from: &str, network: Option<&Network>) -> Result<Asking, Refusal> {
    let machine = |_| client_of_subnet(network, from).map(Asking::Machine);
    let asker = from.parse().map(Asking::Address).or_else(machine);
    asker.map_err(|why| Refusal::bad("bad-parameter", format!("from: `{from}` is no address, and {why}")))
}

impl Question {
    fn of_params(params: &Params) -> Result<Question, Refusal> {
        params.only(&["target", "from"])?;
        let target = params.get("target").ok_or_else(|| Refusal::bad("bad-parameter", "target is missing"))?;
        Ok(Question { target: target.to_owned(), from: params.get("from").map(str::to_owned) })
    }
}

/// The parameters of a query string.
struct Params(Vec<(String, String)>);

impl Params {
    fn read(query: &str) -> Params {
        Params(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => {
                let message = format!("`{name}` is no parameter here; known: {}", known.join(", "));
                Err(Refusal::bad("bad-parameter", message))
            }
            None => Ok(()),
        }
    }

    fn word<T: Copy>(&self, name: &str, all: &[T], word: fn(T) -> &'static str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let found = all.iter().copied().find(|value| word(*value) == text);
        let words = || all.iter().map(|value| word(*value)).collect::<Vec<_>>().join(", ");
        found.map(Some).ok_or_else(|| Refusal::bad("bad-parameter", format!("{name} is one of {}", words())))
    }
}

#[derive(Serialize)]
struct PolicyPage<'a> {
    policies: Vec<&'a str>,
    hash: &'a str,
    profile: &'static str,
    sources: Vec<SourceLine<'a>>,
    service_endpoints: Vec<&'a str>,
    rules: Vec<RuleLine<'a>>,
}

#[derive(Serialize)]
struct RuleLine<'a> {
    #[serde(flatten)]
    place: RulePlace<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
    action: &'static str,
    hits: u64,
}

#[derive(Serialize)]
struct SourceLine<'a> {
    name: &'a str,
    /// `builtin`, `command-line` or the file.
    origin: String,
    summary: &'a [String],
}

impl<'a> From<&'a PolicySource> for SourceLine<'a> {
    fn from(source: &'a PolicySource) -> SourceLine<'a> {
        let PolicySource { name, origin, summary } = source;
        let origin = match origin {
            SourceOrigin::Builtin | SourceOrigin::Default => "builtin".to_owned(),
            SourceOrigin::CommandLine => "command-line".to_owned(),
            SourceOrigin::File(path) => path.display().to_string(),
        };
        SourceLine { name, origin, summary }
    }
}

fn json_answer(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_string(body) {
        Ok(text) => plain(status, "application/json", text + "\n"),
        Err(error) => text_answer(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn text_answer(status: StatusCode, text: &str) -> Answer {
    plain(status, "text/plain; charset=utf-8", text.to_owned())
}

fn plain(status: StatusCode, content_type: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_has_every_route() {
        let manual = include_str!("../../docs/admin.md");
        for (path, _, methods) in ROUTES {
            let row = format!("| `{path}` | {methods} |");
            assert!(manual.contains(&row), "{row}");
        }
    }

    #[test]
    fn who_is_let_in() {
        let gate =
            |token: Option<&str>| Gate { listen: "127.0.0.1:9315".parse().unwrap(), token: token.map(str::to_owned) };
        let check = |token, headers: &[(HeaderName, &str)], expected: Option<&str>| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, value.parse().unwrap());
            }
            let refusal = gate(token).admit(None, &map).err();
            assert_eq!(refusal.map(|refusal| refusal.code), expected, "{headers:?}");
        };
        let get = |host: &str, expected| check(None, &[(HOST, host)], expected);
        get("127.0.0.1:9315", None);
        get("localhost:9315", None);
        get("LOCALHOST.:9315", None);
        get("10.0.0.1:9315", None);
        get("[::1]:9315", None);
        get("localhost", Some("foreign-host"));
        get("localhost:9316", Some("foreign-host"));
        get("evil.test:9315", Some("foreign-host"));
        get("localhost.evil.test:9315", Some("foreign-host"));
        get("127.0.0.1.evil.test:9315", Some("foreign-host"));
        get("", Some("foreign-host"));
        check(None, &[], Some("bad-host"));
        check(None, &[(HOST, "localhost:9315"), (HOST, "evil.test")], Some("bad-host"));
        let page = |origin: &str, expected| {
            check(None, &[(HOST, "localhost:9315"), (ORIGIN, origin)], expected);
        };
        page("http://localhost:9315", None);
        page("http://evil.test", Some("foreign-origin"));
        page("http://localhost:8080", Some("foreign-origin"));
        page("null", Some("foreign-origin"));
        let browser = |site: &str, dest: &str, expected| {
            let headers = [(HOST, "localhost:9315"), (SEC_FETCH_SITE, site), (SEC_FETCH_DEST, dest)];
            check(None, &headers, expected);
        };
        browser("none", "document", None);
        browser("same-origin", "empty", None);
        browser("cross-site", "document", None);
        for dest in ["image", "empty", "iframe", "script"] {
            browser("cross-site", dest, Some("foreign-origin"));
            browser("same-site", dest, Some("foreign-origin"));
        }
        let token = |given: &str, expected| {
            check(Some("s3cret"), &[(HOST, "egret:9315"), (AUTHORIZATION, given)], expected);
        };
        token("Bearer s3cret", None);
        token("bearer s3cret", None);
        token("Bearer s3cre", Some("unauthorized"));
        token("Basic s3cret", Some("unauthorized"));
        check(Some("s3cret"), &[(HOST, "localhost:9315")], Some("unauthorized"));
    }

    #[test]
    fn methods() {
        assert_eq!(route(&Method::GET, "/healthz"), Ok(Route::Healthz));
        assert_eq!(route(&Method::POST, "/v1/check"), Ok(Route::Check));
        assert_eq!(route(&Method::GET, "/").unwrap_err().status, StatusCode::NOT_FOUND);
        assert_eq!(route(&Method::GET, "/v1/reload").unwrap_err().header, Some((ALLOW, "POST")));
        assert_eq!(route(&Method::DELETE, "/readyz").unwrap_err().status, StatusCode::METHOD_NOT_ALLOWED);
    }
}
