//! Azure Resource Manager on the admin server: the App Service Environment of the topology with its dependency APIs, and
//! Network Watcher.
//!
//! `armclient`, `az rest` and curl get what Azure would give them, with `http://127.0.0.1:9315` for
//! `https://management.azure.com`. Where the topology names a subscription or a resource group, others are not found;
//! else any is taken and given back.

mod path;
mod sweep;
mod watcher;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, PRAGMA,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::azure::ase::{
    API_VERSIONS, AddressResponse, ArmError, Collection, HostingEnvironment, environment, inbound, networking,
};
use crate::azure::shape::kinds::ENVIRONMENT;
use crate::azure::watcher::Ids;
use crate::proxy::Shared;
use crate::telemetry::EnvironmentState;
use crate::vnet::{AppServiceEnvironment, Network};

use super::admin::{Answer, BodyError, read_body};
use super::health::Order;
use super::reload::Reloader;
use super::wards::Wards;
use path::{Part, Resource, Scope};
use sweep::{Freshness, Sweeps};

pub(super) use path::is_arm;
#[cfg(any(test, fuzzing))]
pub use path::rehearse as rehearse_paths;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
const CLIENT_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const RETURN_CLIENT_ID: HeaderName = HeaderName::from_static("x-ms-return-client-request-id");

/// What Resource Manager says to somebody without a token that it knows.
const CHALLENGE: &str = "Bearer authorization_uri=\"https://login.windows.net/\", error=\"invalid_token\", \
                         error_description=\"The access token is missing or is not the one that is wanted.\"";

/// Everything that is asked about.
pub(super) struct Arm {
    shared: Arc<Shared>,
    reloader: Arc<Reloader>,
    wards: Arc<Wards>,
    sweeps: Sweeps,
}

/// One request, as far as it was understood.
struct Asked<'a> {
    network: &'a Network,
    scope: &'a Scope,
    headers: &'a HeaderMap,
    /// Path and query, for who is led back there.
    target: &'a str,
}

impl Arm {
    pub(super) fn new(shared: Arc<Shared>, reloader: Arc<Reloader>, wards: Arc<Wards>) -> Arm {
        Arm { shared, reloader, wards, sweeps: Sweeps::default() }
    }

    /// To a request that was let in.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let headers = request.headers().clone();
        let answer = Box::pin(self.try_answer(request)).await.unwrap_or_else(|error| refusal(&error));
        with_ids(answer, &headers)
    }

    async fn try_answer(&self, request: Request<Incoming>) -> Result<Answer, ArmError> {
        let (head, body) = request.into_parts();
        let parsed = path::parse(head.uri.path());
        check_version(head.uri.query().unwrap_or(""), parsed.as_ref().is_none_or(|(_, it)| it.is_web()))?;
        let (scope, resource) = parsed.ok_or(ArmError::InvalidResourcePath)?;
        let network = self.reloader.network();
        let network = network.as_deref().ok_or_else(|| missing(&resource, &scope))?;
        scope.check(network)?;
        let methods = resource.methods();
        let target = head.uri.path_and_query().map_or("/", |it| it.as_str());
        let asked = Asked { network, scope: &scope, headers: &head.headers, target };
        if methods.split(", ").all(|known| known != head.method.as_str()) {
            return Err(ArmError::MethodNotAllowed(methods));
        }
        match &resource {
            Resource::Environments => Ok(ok(&self.environments(&asked).await)),
            Resource::Environment { name, part } => self.environment(&asked, name, *part).await,
            Resource::Watcher { part, .. } => watcher::watched(network, asked.ids(), *part, body).await,
            Resource::Interface { name, part } => {
                watcher::effective(network, asked.ids(), name, *part).ok_or_else(|| missing(&resource, &scope))
            }
        }
    }

    async fn environments(&self, asked: &Asked<'_>) -> Collection<HostingEnvironment> {
        let mut all = Vec::new();
        for one in &asked.network.topology().environments {
            all.push(self.resource(asked, one).await);
        }
        Collection::of(all)
    }

    async fn environment(&self, asked: &Asked<'_>, name: &str, part: Part) -> Result<Answer, ArmError> {
        let found = asked.network.topology().environments.iter().find(|it| it.name.eq_ignore_ascii_case(name));
        let unknown = || ArmError::ResourceNotFound(format!("{ENVIRONMENT}/{name}"), asked.group().to_owned());
        let found = found.ok_or_else(unknown)?;
        let place = asked.network.place(&found.virtual_network, &found.subnet);
        let id = asked.scope.id(ENVIRONMENT, &found.name, asked.group());
        match part {
            Part::Whole => Ok(ok(&self.resource(asked, found).await)),
            Part::Inbound => Ok(ok(&inbound(asked.network, found, place))),
            Part::Outbound => self.outbound(asked, found).await.ok_or_else(unknown),
            Part::VirtualIp => Ok(ok(&AddressResponse::of(found))),
            Part::Networking => Ok(ok(&networking(found, &id))),
            Part::Suspend => self.obey(asked, found, Order::Suspend).await,
            Part::Resume => self.obey(asked, found, Order::Resume).await,
            Part::Reboot => self.obey(asked, found, Order::Reboot).await,
        }
    }

    async fn resource(&self, asked: &Asked<'_>, of: &AppServiceEnvironment) -> HostingEnvironment {
        let fares = self.wards.fares(&of.name).await;
        let suspended = fares.map_or(of.suspended, |fares| fares.state == EnvironmentState::Suspended);
        let id = asked.scope.id(ENVIRONMENT, &of.name, asked.group());
        environment(asked.network.topology(), &AppServiceEnvironment { suspended, ..of.clone() }, &id)
    }

    async fn outbound(&self, asked: &Asked<'_>, of: &AppServiceEnvironment) -> Option<Answer> {
        let fares = self.wards.fares(&of.name).await?;
        let wanted = freshness(asked.headers);
        let swept = self.sweeps.get(&of.name, fares, &self.shared, &self.wards, wanted).await;
        let mut answer = ok(&swept.answer);
        answer.headers_mut().insert(AGE, HeaderValue::from(swept.at.elapsed().as_secs()));
        Some(answer)
    }

    /// Accepted, and done: whoever follows `Location` finds the resource as it is by then.
    async fn obey(&self, asked: &Asked<'_>, of: &AppServiceEnvironment, order: Order) -> Result<Answer, ArmError> {
        self.wards.obey(&of.name, order).await.map_err(|_| {
            ArmError::Conflict(format!("the App Service Environment '{}' is suspended: resume it first", of.name))
        })?;
        let mut answer = match order {
            Order::Reboot => Answer::new(Full::default()),
            // The apps of the environment, of which no topology knows.
            Order::Suspend | Order::Resume => ok(&Collection::<()>::of(Vec::new())),
        };
        *answer.status_mut() = StatusCode::ACCEPTED;
        let location = asked.location().and_then(|text| HeaderValue::try_from(text).ok());
        answer.headers_mut().extend(location.map(|location| (LOCATION, location)));
        Ok(answer)
    }
}

impl Asked<'_> {
    /// The group that is shown where a whole subscription was asked about.
    fn group(&self) -> &str {
        self.scope.group.as_deref().unwrap_or(self.network.topology().group_name())
    }

    fn ids(&self) -> Ids<'_> {
        Ids { subscription: &self.scope.subscription, resource_group: self.group() }
    }

    /// The resource that an order was for.
    fn location(&self) -> Option<String> {
        let host = self.headers.get(HOST)?.to_str().ok()?;
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let (resource, _) = path.trim_end_matches('/').rsplit_once('/')?;
        Some(format!("http://{host}{resource}?{query}"))
    }
}

impl Scope {
    /// What the topology names is all there is; where it names none, anything is.
    fn check(&self, network: &Network) -> Result<(), ArmError> {
        let topology = network.topology();
        let differs = |own: &str, given: &str| !own.is_empty() && !own.eq_ignore_ascii_case(given);
        if differs(&topology.subscription, &self.subscription) {
            return Err(ArmError::SubscriptionNotFound(self.subscription.clone()));
        }
        match &self.group {
            Some(group) if differs(&topology.resource_group, group) => {
                Err(ArmError::ResourceGroupNotFound(group.clone()))
            }
            _ => Ok(()),
        }
    }
}

async fn read_json<T: DeserializeOwned>(body: Incoming) -> Result<T, ArmError> {
    let body = read_body(body).await.map_err(|error| match error {
        BodyError::Late => ArmError::RequestTimeout,
        BodyError::TooLarge => ArmError::RequestTooLarge,
        BodyError::Broken(error) => ArmError::InvalidRequestContent(error),
    })?;
    serde_json::from_slice(&body).map_err(|error| ArmError::InvalidRequestContent(error.to_string()))
}

/// There is no such resource, also where there is no topology at all.
fn missing(resource: &Resource, scope: &Scope) -> ArmError {
    let (kind, name) = match resource {
        Resource::Environments => (ENVIRONMENT, "*"),
        Resource::Environment { name, .. } => (ENVIRONMENT, name.as_str()),
        Resource::Watcher { name, .. } => ("Microsoft.Network/networkWatchers", name.as_str()),
        Resource::Interface { name, .. } => ("Microsoft.Network/networkInterfaces", name.as_str()),
    };
    ArmError::ResourceNotFound(format!("{kind}/{name}"), scope.group.clone().unwrap_or_default())
}

/// Of Microsoft.Network, any date is a version: many are.
fn check_version(query: &str, is_web: bool) -> Result<(), ArmError> {
    let mut params = form_urlencoded::parse(query.as_bytes());
    let given = params.find(|(name, _)| name.eq_ignore_ascii_case("api-version")).map(|(_, value)| value.into_owned());
    let given = given.filter(|given| !given.is_empty()).ok_or(ArmError::MissingApiVersionParameter)?;
    let known = if is_web { API_VERSIONS.contains(&given.as_str()) } else { is_date(&given) };
    let supported = if is_web { API_VERSIONS.join(", ") } else { "dates such as 2021-02-01".to_owned() };
    if known { Ok(()) } else { Err(ArmError::InvalidApiVersionParameter(given, supported)) }
}

fn is_date(version: &str) -> bool {
    version.strip_suffix("-preview").unwrap_or(version).parse::<jiff::civil::Date>().is_ok()
}

fn freshness(headers: &HeaderMap) -> Freshness {
    let asked = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let anew = asked.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("no-cache"));
    if anew { Freshness::Anew } else { Freshness::Usual }
}

fn ok(body: &impl Serialize) -> Answer {
    with_body(StatusCode::OK, body)
}

/// The answer to whoever the gate does not let in.
pub(super) fn unauthorized(headers: &HeaderMap) -> Answer {
    with_ids(refusal(&ArmError::AuthenticationFailed), headers)
}

fn refusal(error: &ArmError) -> Answer {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = with_body(status, &error.body());
    let headers = answer.headers_mut();
    match error {
        ArmError::AuthenticationFailed => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        ArmError::MethodNotAllowed(methods) => {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        _ => {}
    }
    answer
}

fn with_body(status: StatusCode, body: &impl Serialize) -> Answer {
    let (status, text) = match serde_json::to_string(body) {
        Ok(text) => (status, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    answer
}

/// What every answer of Resource Manager carries.
fn with_ids(mut answer: Answer, request: &HeaderMap) -> Answer {
    let id = HeaderValue::try_from(uuid()).expect("digits and hyphens are no line breaks");
    let headers = answer.headers_mut();
    headers.insert(CORRELATION_ID, request.get(CORRELATION_ID).cloned().unwrap_or_else(|| id.clone()));
    headers.insert(REQUEST_ID, id);
    let wants_its_own = request.get(RETURN_CLIENT_ID).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"true"));
    if let (true, Some(own)) = (wants_its_own, request.get(CLIENT_ID)) {
        headers.insert(CLIENT_ID, own.clone());
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(EXPIRES, HeaderValue::from_static("-1"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A random one (RFC 9562, version 4).
fn uuid() -> String {
    let bits = || RandomState::new().hash_one(0);
    let (high, low) = (bits() & !0xf000 | 0x4000, bits() >> 2 | 1 << 63);
    let (first, second, third) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    format!("{first:08x}-{second:04x}-{third:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for version in API_VERSIONS {
            assert_eq!(check_version(&format!("api-version={version}"), true), Ok(()), "{version}");
        }
        assert_eq!(check_version("API-VERSION=2021-01-15&x=y", true), Ok(()));
        assert_eq!(check_version("api-version=2021-02-01", false), Ok(()));
        assert_eq!(check_version("api-version=2021-02-01-preview", false), Ok(()));
        assert_eq!(check_version("x=y", true), Err(ArmError::MissingApiVersionParameter));
        assert_eq!(check_version("api-version=", true), Err(ArmError::MissingApiVersionParameter));
        for (version, is_web) in [("2018-11-01", true), ("latest", true), ("latest", false), ("2021-13-01", false)] {
            let refused = check_version(&format!("api-version={version}"), is_web).unwrap_err();
            assert_eq!(refused.code(), "InvalidApiVersionParameter", "{version}");
        }
    }

    #[test]
    fn ids_are_uuids() {
        let (one, other) = (uuid(), uuid());
        assert_ne!(one, other);
        let lengths: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&one[14..15], "4");
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"), "{one}");
    }

    #[test]
    fn the_manual_has_every_path() {
        let manual = include_str!("../../../docs/ase-api.md");
        let parts = path::PARTS.iter().map(|(part, _, methods)| (*part, *methods));
        let watcher = path::WATCHER_PARTS.iter().map(|(part, _, methods)| (*part, *methods));
        let interface = path::INTERFACE_PARTS.iter().map(|(part, _, methods)| (*part, *methods));
        for (part, methods) in parts.chain(watcher).chain(interface) {
            let part = if part.is_empty() { "{name}".to_owned() } else { format!("/{part}") };
            assert!(manual.contains(&format!("{part}` | {methods} |")), "{part} {methods}");
        }
        for version in API_VERSIONS {
            assert!(manual.contains(version), "{version}");
        }
    }
}
