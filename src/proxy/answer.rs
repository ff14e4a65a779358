//! What a refused client sees: Azure Firewall's own answers, or plain ones that say how to mend it.
//!
//! `azure`: 470 with 70 bytes of body, 500 with 48 where a permitted name does not resolve (observed, see
//! `docs/fidelity.md`), 504 where the network around the firewall drops it. `strict`: 403, 502 and 504 with one line of text. What is malformed gets 400 in both.

use std::borrow::Cow;
use std::cell::RefCell;

use hyper::ext::ReasonPhrase;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use jiff::Timestamp;

use crate::flow::{Authority, Profile, Reason};

use super::body::Body;

/// Observed of Azure Firewall where no rule matched; 70 bytes.
const AZURE_DENIED: &str = "Action: Deny. Reason: No rule matched. Proceeding with default action.";

/// Observed of Azure Firewall where a permitted name does not resolve; 48 bytes.
const AZURE_UNRESOLVABLE: &str = "Action: Deny. Reason: Failed to resolve address.";

/// An answer of Egret's own.
pub(super) struct Answer {
    status: u16,
    phrase: &'static str,
    body: Cow<'static, str>,
    /// What `X-Egret-Reason` and `X-Egret-Rule` say; None where they are switched off.
    reason: Option<(Reason, Option<String>)>,
    authenticate: bool,
}

impl Answer {
    /// The answer to a flow that was refused, or that could not be carried out.
    pub(super) fn refusal(profile: Profile, reason: Reason, rule: Option<String>, to: Option<&Authority>) -> Answer {
        let (status, phrase) = status_of(profile, reason);
        let body = match (status, reason) {
            (470, _) => AZURE_DENIED.into(),
            (500, _) => AZURE_UNRESOLVABLE.into(),
            _ => plain_text(reason, to).into(),
        };
        Answer { status, phrase, body, reason: Some((reason, rule)), authenticate: reason == Reason::AuthRequired }
    }

    pub(super) fn without_reason_headers(self) -> Answer {
        Answer { reason: None, ..self }
    }

    /// True where the connection cannot be used again: nobody knows where the next request begins.
    pub(super) fn closes(&self) -> bool {
        self.status == 400 || self.status == 408 || self.status == 431
    }

    /// As bytes for a connection that hyper does not serve.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::with_capacity(HEAD + self.body.len());
        let mut digits = itoa::Buffer::new();
        push(&mut text, ["HTTP/1.1 ", digits.format(self.status), " ", self.phrase, "\r\n"]);
        self.each_header(|name, value| push(&mut text, [name, ": ", value, "\r\n"]));
        push(&mut text, ["\r\n", &self.body]);
        text.into_bytes()
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(self.status).expect("every status here has three digits");
        response.extensions_mut().insert(ReasonPhrase::from_static(self.phrase.as_bytes()));
        self.each_header(|name, value| {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                response.headers_mut().append(name, value);
            }
        });
        response.map(|()| Body::whole(self.body))
    }

    /// The first three in the order that was observed of Azure Firewall.
    fn each_header(&self, mut put: impl FnMut(&'static str, &str)) {
        DATE.with_borrow_mut(|date| put("Date", date.at(Timestamp::now())));
        put("Content-Length", itoa::Buffer::new().format(self.body.len()));
        put("Content-Type", "text/plain; charset=utf-8");
        if self.authenticate {
            put("Proxy-Authenticate", "Basic realm=\"egret\"");
        }
        if let Some((reason, rule)) = &self.reason {
            put("X-Egret-Reason", reason.as_str());
            let rule = rule.as_deref().filter(|rule| HeaderValue::from_str(rule).is_ok());
            rule.into_iter().for_each(|rule| put("X-Egret-Rule", rule));
        }
        if self.closes() {
            put("Connection", "close");
        }
    }
}

/// Room for a head, as a rule.
const HEAD: usize = 256;

fn push<const N: usize>(text: &mut String, parts: [&str; N]) {
    parts.iter().for_each(|part| text.push_str(part));
}

thread_local! {
    static DATE: RefCell<Date> = const { RefCell::new(Date { second: i64::MIN, text: String::new() }) };
}

/// The Date header of one second (RFC 9110 section 5.6.7), which costs more to write than all the others.
struct Date {
    second: i64,
    text: String,
}

impl Date {
    fn at(&mut self, now: Timestamp) -> &str {
        if self.second != now.as_second() {
            let text = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            *self = Date { second: now.as_second(), text };
        }
        &self.text
    }
}

fn status_of(profile: Profile, reason: Reason) -> (u16, &'static str) {
    match (reason, profile) {
        (Reason::AuthRequired, _) => (407, "Proxy Authentication Required"),
        (Reason::LimitHead, _) => (431, "Request Header Fields Too Large"),
        (Reason::HeadTimeout, _) => (408, "Request Timeout"),
        (
            // Half a request, of a client that may still listen (RFC 9112 section 8).
            Reason::ClientGone
            | Reason::BadFraming
            | Reason::BadRequest
            | Reason::BadHost
            | Reason::BadName
            | Reason::BadPath
            | Reason::BadUpgrade,
            _,
        ) => (400, "Bad Request"),
        (Reason::NameUnresolvable, Profile::Azure) => (500, "Internal Server Error"),
        (Reason::UpstreamTimeout, _) => (504, "Gateway Timeout"),
        (reason, _) if reason.is_upstream_failure() => (502, "Bad Gateway"),
        // Azure drops it without a word: this is how a proxy tells of that.
        (reason, Profile::Azure) if reason.is_before_firewall() => (504, "Gateway Timeout"),
        (_, Profile::Azure) => (470, "status code 470"),
        (_, Profile::Strict) => (403, "Forbidden"),
    }
}

/// One line that names the destination, the reason and the mend.
fn plain_text(reason: Reason, to: Option<&Authority>) -> String {
    let what = to.map_or_else(|| "the request".to_owned(), ToString::to_string);
    let mend = match reason {
        Reason::NotAllowed | Reason::PortNotAllowed | Reason::ProtoNotAllowed => {
            format!("; to allow it: --allow {what}")
        }
        Reason::InternalAddress => "; to allow it: name the address in a network rule, or --resolve".to_owned(),
        Reason::AuthRequired => "; give the proxy's credentials".to_owned(),
        Reason::BadRequest if to.is_none() => "; a proxy is asked like this: curl -x http://HOST:PORT URL".to_owned(),
        _ => String::new(),
    };
    let verb = match status_of(Profile::Strict, reason).0 {
        403 => "is denied",
        502 | 504 => "is allowed but failed",
        _ => "was refused",
    };
    format!("egret: {what} {verb}: {reason}{mend}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head_of(profile: Profile, reason: Reason) -> String {
        let to = Authority::parse("evil.test:443", None).unwrap();
        let answer = Answer::refusal(profile, reason, None, Some(&to)).without_reason_headers();
        let text = String::from_utf8(answer.to_bytes()).unwrap();
        let (status, rest) = text.split_once("\r\nDate: ").unwrap();
        format!("{status}|{}", rest.split_once("\r\n").unwrap().1)
    }

    #[test]
    fn azure_answers_byte_for_byte() {
        assert_eq!(
            head_of(Profile::Azure, Reason::NotAllowed),
            "HTTP/1.1 470 status code 470|Content-Length: 70\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nAction: \
             Deny. Reason: No rule matched. Proceeding with default action."
        );
        assert_eq!(
            head_of(Profile::Azure, Reason::NameUnresolvable),
            "HTTP/1.1 500 Internal Server Error|Content-Length: 48\r\nContent-Type: text/plain; \
             charset=utf-8\r\n\r\nAction: Deny. Reason: Failed to resolve address."
        );
    }

    #[test]
    fn the_date_is_that_of_the_second() {
        let mut date = Date { second: 0, text: String::new() };
        let mut at = |text: &str| date.at(text.parse().unwrap()).to_owned();
        assert_eq!(at("2026-11-22T09:59:59.9Z"), "Sun, 22 Nov 2026 09:59:59 GMT");
        assert_eq!(at("2026-11-22T10:00:00Z"), "Sun, 22 Nov 2026 10:00:00 GMT");
        assert_eq!(at("2026-11-22T10:00:00.5Z"), "Sun, 22 Nov 2026 10:00:00 GMT");
    }

    #[test]
    fn strict_answers_say_how_to_mend_it() {
        let body = |reason| head_of(Profile::Strict, reason).rsplit("\r\n\r\n").next().unwrap().to_owned();
        assert_eq!(
            body(Reason::NotAllowed),
            "egret: evil.test:443 is denied: not-allowed; to allow it: --allow evil.test:443\n"
        );
        assert_eq!(body(Reason::UpstreamTimeout), "egret: evil.test:443 is allowed but failed: upstream-timeout\n");
    }
}
