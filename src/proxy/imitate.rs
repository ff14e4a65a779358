//! How plain HTTP looks that went through Azure Firewall, where it is to look so.
//!
//! Observed of it (packet captures of 2025): a request is written with `Host` and `User-Agent` first and the rest in
//! alphabetical order, and gzip is asked for where the client asked for no encoding; an answer comes back unpacked,
//! its headers in alphabetical order. That is how Go's reverse proxy writes them, and where captures say nothing its
//! rules are taken.

use hyper::body::{Body as HttpBody, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, RANGE, USER_AGENT,
};
use hyper::http::response::Parts;
use hyper::{Method, Request, Response};

use crate::config::Rewrite;

use super::body::{Body, Streamed};
use super::unpack::Unpacked;

/// What is to be done to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// Nothing.
    AsItIs,
    /// Its headers are sorted.
    Sorted,
    /// They are, and a body in gzip is unpacked: the client did not ask for it.
    Unpacked,
}

/// Writes a request anew, where it is to be; answers what that means for its answer.
pub(super) fn request(request: &mut Request<Incoming>, rewrite: Rewrite) -> Packing {
    if rewrite == Rewrite::Minimal {
        return Packing::AsItIs;
    }
    let headers = request.headers();
    let wants = headers.contains_key(ACCEPT_ENCODING) || headers.contains_key(RANGE);
    let asks = !wants && request.method() != Method::HEAD;
    let headers = std::mem::take(request.headers_mut());
    *request.headers_mut() = sorted(headers, &[HOST, USER_AGENT, CONTENT_LENGTH]);
    if !asks {
        return Packing::Sorted;
    }
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    Packing::Unpacked
}

/// The answer as the client gets it.
pub(super) fn response(mut head: Parts, packing: Packing, body: Streamed) -> Response<Body> {
    if packing == Packing::AsItIs {
        return Response::from_parts(head, Body::Streamed(body));
    }
    // 204, 304 and other answers without a body have nothing to unpack: what they say of one stays.
    let unpacks = packing == Packing::Unpacked && is_gzip(&head.headers) && !body.is_end_stream();
    if unpacks {
        head.headers.remove(CONTENT_ENCODING);
        head.headers.remove(CONTENT_LENGTH);
    }
    head.headers = sorted(head.headers, &[]);
    let body = if unpacks { Body::Unpacked(Box::new(Unpacked::new(body))) } else { Body::Streamed(body) };
    Response::from_parts(head, body)
}

fn is_gzip(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"gzip"))
}

/// These first, the rest by name.
fn sorted(mut headers: HeaderMap, first: &[HeaderName]) -> HeaderMap {
    let mut rest: Vec<HeaderName> = headers.keys().filter(|name| !first.contains(name)).cloned().collect();
    rest.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    let mut sorted = HeaderMap::with_capacity(headers.len());
    for name in first.iter().chain(&rest) {
        if let hyper::header::Entry::Occupied(entry) = headers.entry(name) {
            sorted.extend(entry.remove_entry_mult().1.map(|value| (name.clone(), value)));
        }
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_compared_in_any_letter_case() {
        let says = |coding: &'static str| {
            is_gzip(&HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))]))
        };
        assert!(says("gzip") && says("GZip") && !says("br") && !says("gzip, br"));
        assert!(!is_gzip(&HeaderMap::new()));
    }
}
