//! Headers that a proxy takes off, puts on or leaves alone (RFC 9110 section 7.6).

use std::net::IpAddr;

use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Request, Uri, Version};

use crate::config::ForwardedFor;
use crate::flow::Authority;
use crate::policy::HeaderInsertion;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Turns a request to the proxy into one to the origin. Returns the protocol that the client offers to change
/// to, where it does.
pub(super) fn for_upstream(
    request: &mut Request<Incoming>,
    to: &Authority,
    client: IpAddr,
    kept: ForwardedFor,
) -> Option<HeaderValue> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
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
    headers.insert(HOST, host_value(to));
    if kept == ForwardedFor::Replace {
        headers.remove(X_FORWARDED_FOR);
    }
    forwarded_for(headers, client);
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
    take_off_hop_by_hop(headers);
    headers.remove(TRANSFER_ENCODING);
    headers.remove(PROXY_AUTHENTICATE);
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
    for name in named.iter().chain(&[CONNECTION, PROXY_CONNECTION, KEEP_ALIVE, HTTP2_SETTINGS, TE, UPGRADE]) {
        headers.remove(name);
    }
}

fn names(value: &HeaderValue) -> impl Iterator<Item = String> + '_ {
    value.to_str().unwrap_or("").split(',').map(|name| name.trim().to_ascii_lowercase())
}

fn host_value(to: &Authority) -> HeaderValue {
    let text = match to.to_string() {
        text if to.port == 80 => text.trim_end_matches(":80").to_owned(),
        text => text,
    };
    HeaderValue::from_str(&text).expect("a normalised host is visible ASCII")
}

/// What is there is kept, and the client's address is added (azure-docs, firewall known issues, 2025).
fn forwarded_for(headers: &mut HeaderMap, client: IpAddr) {
    let before = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<String> = before.map(str::to_owned).chain([client.to_string()]).collect();
    let value = HeaderValue::from_str(&all.join(", ")).expect("it is made of header values");
    headers.insert(X_FORWARDED_FOR, value);
}
