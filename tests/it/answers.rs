//! The proxy's own answers, byte for byte, and what becomes of malformed answers of origins.

use std::io::{Read, Write};
use std::time::Duration;

use super::positive::{GET, lab};
use super::support::egret::Egret;
use super::support::lab::Lab;
use super::support::origin::Origin;
use super::support::raw::{Client, connect, get, header, status_of};

/// An answer with its Date replaced, which has to be one.
fn dated(client: &mut Client) -> String {
    let (head, body) = client.answer();
    let date = header(&head, "date").expect("a date").to_owned();
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
    head.replace(&date, "*") + &body
}

pub(super) const DENIED: &str = "Action: Deny. Reason: No rule matched. Proceeding with default action.";

#[test]
fn azure_denies_in_these_words() {
    let expected = [
        "HTTP/1.1 470 status code 470\r\n",
        "Date: *\r\nContent-Length: 70\r\nContent-Type: text/plain; charset=utf-8\r\n",
        "X-Egret-Reason: not-allowed\r\n\r\n",
        DENIED,
    ];
    let silent = "[proxy]\nreason_headers = false\n";
    for (config, expected) in
        [("", expected.concat()), (silent, expected.concat().replace("X-Egret-Reason: not-allowed\r\n", ""))]
    {
        let lab = Lab::with_config("azure", Origin::echo(), config);
        let mut client = lab.send(get("http://evil.test/", "evil.test"));
        assert_eq!(dated(&mut client), expected);
        client.send(connect("evil.test:443"));
        assert_eq!(dated(&mut client), expected);
        // "Left intact", as curl says.
        assert!(client.is_silent_for(Duration::from_millis(100)));
    }
}

#[test]
fn azure_says_the_same_whatever_the_reason() {
    let lab = Lab::new("azure", Origin::echo());
    for (request, reason) in [
        (connect("ok.test:22"), "port-not-allowed"),
        (connect("169.254.169.254:80"), "internal-address"),
        (get("http://ok.test/", "evil.test"), "host-uri-mismatch"),
    ] {
        let (head, body) = lab.send(request).answer();
        assert_eq!((status_of(&head), header(&head, "x-egret-reason"), body.as_str()), (470, Some(reason), DENIED));
    }
}

#[test]
fn a_rule_that_denies_is_named() {
    for (profile, status) in [("azure", 470), ("strict", 403)] {
        let egret = Egret::start(&["--deny=http://evil.test", "--allow=http://*", "--profile", profile]);
        let (head, _) = Client::send_to(egret.addr, get("http://evil.test/", "evil.test")).answer();
        assert_eq!((status_of(&head), header(&head, "x-egret-reason")), (status, Some("denied-by-rule")));
        assert!(header(&head, "x-egret-rule").is_some_and(|rule| rule.contains("evil.test")), "{head}");
    }
}

#[test]
fn strict_says_how_to_mend_it() {
    let lab = Lab::new("strict", Origin::echo());
    let denied = "egret: evil.test:443 is denied: not-allowed; to allow it: --allow evil.test:443\n";
    let (head, body) = lab.send(connect("evil.test:443")).answer();
    assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
    assert_eq!((header(&head, "x-egret-reason"), body.as_str()), (Some("not-allowed"), denied));
    let (head, body) = lab.send(get("http://evil.test/", "evil.test")).answer();
    assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
    assert_eq!(body, denied.replace("443", "80"));
}

/// Failures of the origin, each with a status of its own that is never that of a denial.
#[test]
fn strict_tells_failures_apart() {
    let silent = || Origin::start(|mut stream, _| while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {});
    let lab = Lab::with_config("strict", silent(), "[timeouts]\nresponse = \"200ms\"\n");
    let (head, body) = lab.send(GET).answer();
    assert!(head.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{head}");
    assert_eq!(body, "egret: ok.test:80 is allowed but failed: upstream-timeout\n");
    for (answer, reason) in [("SSH-2.0-OpenSSH\r\n", "upstream-invalid"), ("", "upstream-unreachable")] {
        let origin = Origin::start(move |mut stream, _| {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer.as_bytes());
        });
        let lab = Lab::new("strict", origin);
        let mut client = lab.send(GET);
        let (head, body) = client.answer();
        assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{head}");
        assert_eq!(body, format!("egret: ok.test:80 is allowed but failed: {reason}\n"));
        assert_eq!(lab.egret.close(client.addr())["reason"], reason);
    }
}

/// Tricks of the origin's framing must not reach the client as two answers.
#[test]
fn malformed_answers_of_an_origin() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/3.7 200 OK\r\n\r\n",
    ] {
        let lab = lab(answer);
        assert_eq!(lab.send(GET).status(), 502, "{answer}");
    }
}

#[test]
fn the_proxy_configuration_file() {
    Lab::both(Origin::http_ok, |lab| {
        let host = lab.addr().to_string();
        let mut client = lab.send(get("/proxy.pac", &host));
        let (head, body) = client.answer();
        assert_eq!(header(&head, "content-type"), Some("application/x-ns-proxy-autoconfig"));
        assert_eq!(body, format!("function FindProxyForURL(url, host) {{\n  return \"PROXY {host}\";\n}}\n"));
        client.send(GET);
        assert_eq!(client.status(), 200);
        assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule");
    });
}
