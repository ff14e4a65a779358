//! Headers that a proxy takes off, puts on or leaves alone (RFC 9110 section 7.6).

use std::net::IpAddr;

use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, EXPECT, Entry, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Request, Response, Uri, Version};

use crate::config::ForwardedFor;
use crate::flow::{Authority, Host};
use crate::policy::HeaderInsertion;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// About one connection, whichever side wrote them.
static HOP_BY_HOP: [HeaderName; 6] = [CONNECTION, PROXY_CONNECTION, KEEP_ALIVE, HTTP2_SETTINGS, TE, UPGRADE];

/// For the proxy, in a request.
static OF_REQUESTS: [HeaderName; 2] = [EXPECT, PROXY_AUTHORIZATION];

/// The same in an answer. The framing is the connection's too; for a request the guard has seen to it.
static OF_ANSWERS: [HeaderName; 2] = [TRANSFER_ENCODING, PROXY_AUTHENTICATE];

/// Turns a request to the proxy into one to the origin. Returns the protocol that the client offers to change
/// to, where it does.
pub(super) fn for_upstream(
    request: &mut Request<Incoming>,
    to: &Authority,
    client: &HeaderValue,
    kept: ForwardedFor,
) -> Option<HeaderValue> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    // Most requests have none of these.
    let upgrade = if has_any(headers, &OF_REQUESTS) { without_own_hop(headers) } else { None };
    if !headers.get(HOST).is_some_and(|host| is_normal(host, to)) {
        headers.insert(HOST, host_value(to));
    }
    if kept == ForwardedFor::Replace {
        headers.remove(X_FORWARDED_FOR);
    }
    forwarded_for(headers, client);
    upgrade
}

/// Is there anything to take off: what is about the connection, or one of these?
fn has_any(headers: &HeaderMap, others: &[HeaderName]) -> bool {
    headers.keys().any(|name| HOP_BY_HOP.contains(name) || others.contains(name))
}

/// Takes off a request what it says to the proxy, and puts on what the proxy says instead.
fn without_own_hop(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let upgrade = offered_upgrade(headers);
    let trailers = headers.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    take_off_hop_by_hop(headers);
    // hyper answers it as soon as the origin's side is ready for the body.
    headers.remove(EXPECT);
    headers.remove(PROXY_AUTHORIZATION);
    if trailers {
        headers.insert(CONNECTION, HeaderValue::from_static("TE"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = &upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    upgrade
}

/// Puts a rule's headers on a request, in place of the client's own of the same names. Those that Azure refuses are
/// left out.
pub(super) fn insert(headers: &mut HeaderMap, insertions: &[HeaderInsertion]) {
    for insertion in insertions.iter().filter(|insertion| insertion.refusal().is_none()) {
        let name = HeaderName::from_bytes(insertion.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&insertion.value)) {
            headers.insert(name, value);
        }
    }
}

/// Takes off an origin's answer what was meant for the proxy.
pub(super) fn for_client(headers: &mut HeaderMap) {
    if has_any(headers, &OF_ANSWERS) {
        take_off_hop_by_hop(headers);
        OF_ANSWERS.iter().for_each(|name| drop(headers.remove(name)));
    }
}

/// An upgrade to HTTP/2 would take the requests behind it out of sight, and is not passed on.
fn offered_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers.get_all(CONNECTION).iter().any(|value| names(value).any(|name| name == "upgrade"));
    let protocol = headers.get(UPGRADE).filter(|_| asks)?;
    let h2 = names(protocol).any(|name| name.starts_with("h2c") || name.starts_with("http/"));
    (!h2).then(|| protocol.clone())
}

fn take_off_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(names)
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| *name != TRANSFER_ENCODING)
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn names(value: &HeaderValue) -> impl Iterator<Item = String> + '_ {
    value.to_str().unwrap_or("").split(',').map(|name| name.trim().to_ascii_lowercase())
}

/// Does it say so already, as [`host_value`] would?
fn is_normal(host: &HeaderValue, to: &Authority) -> bool {
    matches!(&to.host, Host::Name(name) if to.port == 80 && host.as_bytes() == name.as_str().as_bytes())
}

fn host_value(to: &Authority) -> HeaderValue {
    let text = match to.to_string() {
        text if to.port == 80 => text.trim_end_matches(":80").to_owned(),
        text => text,
    };
    HeaderValue::from_str(&text).expect("a normalised host is visible ASCII")
}

/// What is there is kept, and the client's address is added (azure-docs, firewall known issues, 2025).
fn forwarded_for(headers: &mut HeaderMap, client: &HeaderValue) {
    let mut before = match headers.entry(X_FORWARDED_FOR) {
        Entry::Vacant(absent) => {
            absent.insert(client.clone());
            return;
        }
        Entry::Occupied(before) => before,
    };
    let all: Vec<&str> = before.iter().chain([client]).filter_map(|value| value.to_str().ok()).collect();
    let value = HeaderValue::from_str(&all.join(", ")).expect("it is made of header values");
    before.insert(value);
}

/// The client's address, as [`for_upstream`] wants it.
pub(super) fn client_value(client: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&client.to_string()).expect("an address is visible ASCII")
}

/// The head of a request as it goes to the origin, in bytes.
pub(super) fn request_bytes<B>(request: &Request<B>) -> u64 {
    let path = request.uri().path_and_query().map_or(1, |path| path.as_str().len());
    line_bytes(request.method().as_str().len() + " ".len() + path + " HTTP/1.1".len()) + fields_bytes(request.headers())
}

/// The head of an answer as it came, but for a reason phrase of the origin's own.
pub(super) fn response_bytes<B>(response: &Response<B>) -> u64 {
    let reason = response.status().canonical_reason().unwrap_or_default();
    line_bytes("HTTP/1.1 200 ".len() + reason.len()) + fields_bytes(response.headers())
}

fn line_bytes(text: usize) -> u64 {
    (text + "\r\n".len()) as u64
}

/// With the empty line after them.
fn fields_bytes(headers: &HeaderMap) -> u64 {
    let fields = headers.iter().map(|(name, value)| line_bytes(name.as_str().len() + ": ".len() + value.len()));
    fields.sum::<u64>() + line_bytes(0)
}
