//! `GET /proxy.pac`: the proxy's own auto-configuration, as Azure's explicit proxy has one.

use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response};

use crate::flow::Authority;

use super::body::Body;
use super::session::Session;

/// The answer where the request is for the PAC file and for Egret itself.
pub(super) fn answer<B>(session: &Session, request: &Request<B>) -> Option<Response<Body>> {
    let uri = request.uri();
    let is_own = uri.authority().is_none() && uri.path() == "/proxy.pac";
    if !is_own || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let listener = session.core.shared.config.listen.first().map(ToString::to_string);
    let asked = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let asked = asked.and_then(|host| Authority::parse(host, Some(80)).ok()).map(|host| host.to_string());
    let proxy = asked.or(listener)?;
    let script = format!("function FindProxyForURL(url, host) {{\n  return \"PROXY {proxy}\";\n}}\n");
    let mut response = Response::new(Body::whole(script.into()));
    let kind = HeaderValue::from_static("application/x-ns-proxy-autoconfig");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Some(response)
}
