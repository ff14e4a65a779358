//! Adversarial cases about plain HTTP and about requests to the proxy itself. The numbers of the cases run through
//! all these files; those that are missing concern other modes than the explicit one and the gateway.

use std::io::{Read, Write};

use super::support::hello::Hello;
use super::support::lab::Lab;
use super::support::origin::Origin;
use super::support::poll;
use super::support::random::Random;
use super::support::raw::{Client, End, connect, get, header, status_of};

/// The request is answered with this status and a close, once, and reaches nobody.
pub(super) fn assert_malformed(lab: &Lab, request: &[u8], status: u16, reason: &str) {
    let mut client = lab.send(request);
    let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).escape_debug().to_string();
    let (bytes, end) = client.rest();
    let answer = String::from_utf8_lossy(&bytes);
    assert_eq!(end, End::Eof, "{shown}: {answer}");
    assert_eq!((status_of(&answer), answer.matches("HTTP/1.").count()), (status, 1), "{shown}: {answer}");
    let connection = header(&answer, "connection").map(str::to_ascii_lowercase);
    assert_eq!(connection.as_deref(), Some("close"), "{shown}: {answer}");
    assert_eq!(lab.egret.verdict(client.addr()), format!("deny {reason}"), "{shown}");
    assert_eq!(lab.origin.connections(), 0, "{shown}");
}

fn check_malformed(reason: &str, requests: &[&str]) {
    Lab::both(Origin::http_ok, |lab| {
        requests.iter().for_each(|request| assert_malformed(lab, request.as_bytes(), 400, reason));
    });
}

/// The same for the gateway too, to which clients speak as to the origin.
fn check_malformed_everywhere(reason: &str, requests: &[&str]) {
    Lab::everywhere(Origin::http_ok, |lab| {
        for request in requests {
            assert_malformed(lab, request.as_bytes(), 400, reason);
            if lab.by_door(false, true) {
                assert_malformed(lab, request.replacen("http://ok.test/", "/", 1).as_bytes(), 400, reason);
            }
        }
    });
}

/// A `POST` to ok.test with these lines in its head and this body.
pub(super) fn post(lines: &str, body: &str) -> String {
    format!("POST http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n{lines}\r\n{body}")
}

#[test]
fn case_05_ports_that_no_rule_names() {
    Lab::both(Origin::echo, |lab| {
        for to in ["ok.test:22", "ok.test:25", "ok.test:8443", "ok.test:442", "ok.test:444", "a.wild.test:8443"] {
            lab.assert_refused(connect(to), lab.denied(), "deny port-not-allowed");
            let (host, port) = to.split_once(':').unwrap();
            let (client, reply) = Client::socks(lab.addr(), host, port.parse().unwrap());
            assert_eq!((reply, lab.egret.verdict(client.addr()).as_str()), (2, "deny port-not-allowed"), "{to}");
        }
        for port in [79, 81, 8080, 65535] {
            let host = format!("ok.test:{port}");
            let request = get(&format!("http://{host}/"), &host);
            lab.assert_refused(request, lab.denied(), "deny port-not-allowed");
        }
        assert_eq!(lab.origin.connections(), 0);
    });
}

#[test]
fn case_05_no_port_and_impossible_ports() {
    Lab::both(Origin::echo, |lab| {
        for to in
            ["ok.test", "ok.test:", "ok.test:0", "ok.test:65536", "ok.test:+443", "ok.test:0x1bb", "ok.test:443:443"]
        {
            let request = format!("CONNECT {to} HTTP/1.1\r\nHost: ok.test\r\n\r\n");
            assert_malformed(lab, request.as_bytes(), 400, "bad-name");
        }
    });
}

#[test]
fn case_10_the_uri_and_the_host_header_disagree() {
    check_malformed_as(
        "host-uri-mismatch",
        &[
            get("http://ok.test/", "evil.test"),
            get("http://ok.test/", "ok.test:81"),
            get("http://ok.test:80/", "ok.test:8080"),
            get("http://evil.test/", "ok.test"),
            get("http://a.wild.test/", "b.wild.test"),
            "GET http://ok.test/ HTTP/1.0\r\nHost: evil.test\r\n\r\n".to_owned(),
        ],
    );
}

/// Denied, and not malformed: the connection may go on.
fn check_malformed_as(reason: &str, requests: &[String]) {
    Lab::everywhere(Origin::http_ok, |lab| {
        for request in requests {
            lab.assert_refused(request, lab.denied(), &format!("deny {reason}"));
        }
    });
}

#[test]
fn case_10_the_same_host_written_otherwise() {
    Lab::everywhere(Origin::http_ok, |lab| {
        for (url, host) in [
            ("http://ok.test/", "ok.test:80"),
            ("http://ok.test:80/", "ok.test"),
            ("http://OK.test/", "ok.TEST"),
            ("http://ok.test./", "ok.test"),
            ("HTTP://ok.test/", "ok.test."),
            ("http://ok.test?query", "ok.test"),
        ] {
            let mut client = lab.send(get(url, host));
            assert_eq!(client.status(), 200, "{url} {host}");
            assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule", "{url} {host}");
        }
        for head in lab.origin.wait_noted(6) {
            assert_eq!(header(&head, "host"), Some("ok.test"), "{head}");
        }
    });
}

#[test]
fn case_11_host_headers() {
    check_malformed_everywhere(
        "bad-host",
        &[
            "GET http://ok.test/ HTTP/1.1\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nHost: evil.test\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nhost: ok.test\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost:\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: \r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test evil.test\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test, evil.test\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test/\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: user@ok.test\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: http://ok.test\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test:\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test:x\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: ok..test\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: \u{f6}k.test\r\n\r\n",
        ],
    );
    check_malformed_everywhere(
        "bad-framing",
        &[
            "GET http://ok.test/ HTTP/1.1\r\nHost : ok.test\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\n Host: ok.test\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nConnection: host\r\n\r\n",
        ],
    );
}

#[test]
fn case_12_each_request_is_judged_by_its_own_host() {
    Lab::everywhere(Origin::http_ok, |lab| {
        let mut client = lab.send(get("http://ok.test/", "ok.test"));
        assert_eq!(client.status(), 200);
        client.send(get("http://evil.test/", "evil.test"));
        assert_eq!(client.status(), lab.denied());
        client.send(get("http://ok.test/again", "ok.test"));
        assert_eq!(client.status(), 200);
        let expected = ["allow application-rule", "deny not-allowed", "allow application-rule"];
        assert_eq!(lab.egret.verdicts(client.addr(), 3), expected);
        assert_eq!(lab.origin.noted().len(), 2);
    });
}

#[test]
fn case_12_pipelined_requests() {
    Lab::both(Origin::http_ok, |lab| {
        let evil = get("http://evil.test/", "evil.test");
        let ok = get("http://ok.test/", "ok.test");
        let mut client = lab.send([ok.as_str(), &evil, &ok, &connect("evil.test:443"), &ok].concat());
        let statuses: Vec<u16> = (0..5).map(|_| client.status()).collect();
        assert_eq!(statuses, [200, lab.denied(), 200, lab.denied(), 200]);
        let mut expected = ["allow application-rule", "deny not-allowed"].repeat(2);
        expected.push("allow application-rule");
        assert_eq!(lab.egret.verdicts(client.addr(), 5), expected);
        assert_eq!(lab.origin.noted().len(), 3);
    });
}

/// Inside a tunnel the name is that of the tunnel, request by request.
#[test]
fn case_12_inside_a_tunnel() {
    Lab::both(Origin::http_ok, |lab| {
        let mut client = lab.tunnel("ok.test:80");
        client.send(get("/", "ok.test"));
        assert_eq!(client.status(), 200);
        client.send(get("/", "evil.test"));
        assert_eq!(client.status(), lab.denied());
        client.send(get("http://evil.test/", "evil.test"));
        assert_eq!(client.status(), lab.denied());
        let expected = ["allow application-rule", "deny host-uri-mismatch", "deny host-uri-mismatch"];
        assert_eq!(lab.egret.verdicts(client.addr(), 3), expected);
        assert_eq!(lab.origin.noted().len(), 1);
    });
}

#[test]
fn case_12_malformed_inside_a_socks5_tunnel() {
    let lab = Lab::new("strict", Origin::http_ok());
    let (mut client, reply) = Client::socks(lab.addr(), "ok.test", 80);
    assert_eq!(reply, 0);
    client.send("GET / HTTP/1.1\r\nHost: ok.test\r\nContent-Length: +1\r\n\r\nx");
    assert_eq!(client.status(), 400);
    let record = &lab.egret.flows(client.addr(), 1)[0];
    assert_eq!((record["via"].as_str(), record["reason"].as_str()), (Some("socks5"), Some("bad-framing")));
    assert_eq!(lab.origin.connections(), 0);
}

fn upgrade(host: &str) -> String {
    format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
}

#[test]
fn case_14_a_request_behind_an_upgrade_without_a_101() {
    Lab::everywhere(Origin::http_ok, |lab| {
        for behind in
            [get("http://evil.test/", "evil.test"), get("http://ok.test/", "ok.test"), connect("evil.test:443")]
        {
            let mut client = lab.send(upgrade("ok.test") + &behind);
            assert_eq!(client.status(), 200);
            assert_eq!(client.status(), 400);
            assert_eq!(client.rest(), (Vec::new(), End::Eof));
            assert_eq!(lab.egret.verdicts(client.addr(), 2), ["allow application-rule", "deny bad-upgrade"]);
        }
        assert_eq!(lab.origin.noted().len(), 3);
    });
}

#[test]
fn case_14_an_upgrade_to_a_denied_host() {
    Lab::everywhere(Origin::http_ok, |lab| {
        lab.assert_refused(upgrade("evil.test"), lab.denied(), "deny not-allowed");
    });
}

#[test]
fn case_14_an_upgrade_that_nobody_asked_for() {
    Lab::everywhere(
        || Origin::http(|_| b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n".to_vec()),
        |lab| {
            let mut client = lab.send(get("http://ok.test/", "ok.test"));
            assert_eq!(client.status(), 502);
            assert_eq!(lab.egret.close(client.addr())["reason"], "upstream-invalid");
        },
    );
}

/// An upgrade to HTTP/2 would take the requests behind it out of sight.
#[test]
fn case_14_an_upgrade_to_h2c_is_not_passed_on() {
    let lab = Lab::new("strict", Origin::http_ok());
    let lines = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let mut client = lab.send(format!("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n{lines}\r\n"));
    assert_eq!(client.status(), 200);
    let head = &lab.origin.wait_noted(1)[0];
    for name in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(header(head, name), None, "{head}");
    }
}

#[test]
fn case_15_framing_in_the_head() {
    check_malformed_everywhere(
        "bad-framing",
        &[
            &post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            &post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"),
            &post("Content-Length: 4\r\nContent-Length: 5\r\n", "abcde"),
            &post("Content-Length: 4\r\nContent-Length: 4\r\n", "abcd"),
            &post("Content-Length: 4, 4\r\n", "abcd"),
            &post("Content-Length: +4\r\n", "abcd"),
            &post("Content-Length: -4\r\n", "abcd"),
            &post("Content-Length: 0x4\r\n", "abcd"),
            &post("Content-Length: 4 4\r\n", "abcd"),
            &post("Content-Length:\r\n", ""),
            &post("Content-Length: 99999999999999999999\r\n", ""),
            &post("Content-Length : 4\r\n", "abcd"),
            &post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
            &post("Transfer-Encoding: identity\r\n", ""),
            &post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
            &post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
            &post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            &post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
            &post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
            &post("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"),
            &post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
            &post("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"),
            &post("X: a\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            &post("X: a\r\n\tb\r\n", ""),
            &post("X: a\nContent-Length: 4\r\n", "abcd"),
            &post("X: a\rContent-Length: 4\r\n", "abcd"),
            &post("X: a\0b\r\n", ""),
            &post("X\0: b\r\n", ""),
            &post("no colon\r\n", ""),
            &post(": empty name\r\n", ""),
            &post("Connection: close, content-length\r\nContent-Length: 4\r\n", "abcd"),
            &post("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            "POST http://ok.test/ HTTP/1.0\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET http://ok.test/ HTTP/1.1\nHost: ok.test\n\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\n\r\n",
        ],
    );
    check_malformed(
        "bad-framing",
        &[
            "CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 4\r\n\r\nabcd",
            "CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ],
    );
}

#[test]
fn case_15_request_lines() {
    check_malformed(
        "bad-request",
        &[
            "GET http://ok.test/\r\n\r\n",
            "GET  http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET http://ok.test/ a HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET http://ok.test/ HTTP/2.0\r\nHost: ok.test\r\n\r\n",
            "GET http://ok.test/ HTTP/1.2\r\nHost: ok.test\r\n\r\n",
            "GET http://ok.test/ http/1.1\r\nHost: ok.test\r\n\r\n",
            "GET http://user@ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET http://evil.test@ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET http://ok.test\\@evil.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET http://ok.test/#a HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET ftp://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET https://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET //ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET http:/ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET http:///ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\u{16}\u{3}\u{1}\u{0}\u{5}hello",
            "SSH-2.0-OpenSSH_9.9\r\n",
        ],
    );
}

/// A path that one parser takes and another does not must not become a hole in the log.
#[test]
fn case_15_odd_paths_are_answered_and_logged() {
    Lab::everywhere(Origin::http_ok, |lab| {
        for path in ["/\"<>", "/{a}|b^`", "/\u{e9}", "/%", "/a//../b", "/\\a", "/?a=http://evil.test/", "/;a@b:c"] {
            let mut client = lab.send(get(&format!("http://ok.test{path}"), "ok.test"));
            // What never was HTTP to the gateway gets no answer.
            let answered = client.rest_starts_with(b"HTTP/1.1 ");
            let status = if answered { client.status() } else { lab.by_door(0, 400) };
            let expected = if status == 200 { "allow application-rule" } else { "deny bad-request" };
            assert!(status == 200 || status == 400, "{path}: {status}");
            assert_eq!(lab.egret.verdict(client.addr()), expected, "{path}");
        }
    });
}

/// Requests whose heads are fine and whose bodies are not: they are cut, and nothing behind them is a request.
#[test]
fn case_15_framing_in_the_body() {
    Lab::everywhere(Origin::http_ok, |lab| {
        let smuggled = get("http://ok.test/smuggled", "ok.test");
        for body in [
            "+4\r\nabcd\r\n0\r\n\r\n",
            "0x4\r\nabcd\r\n0\r\n\r\n",
            "4 \r\nabcd\r\n0\r\n\r\n",
            " 4\r\nabcd\r\n0\r\n\r\n",
            "4\nabcd\r\n0\r\n\r\n",
            "4\r\nabcd\n0\r\n\r\n",
            "4\r\nabcdX\r\n0\r\n\r\n",
            "\r\n",
            ";x\r\n0\r\n\r\n",
            "-1\r\n\r\n",
            "4_0\r\nabcd\r\n0\r\n\r\n",
            "10000000000000004\r\nabcd\r\n0\r\n\r\n",
            "4;a\nb\r\nabcd\r\n0\r\n\r\n",
            "4;a\0b\r\nabcd\r\n0\r\n\r\n",
            "0\r\nContent-Length : 4\r\n\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\nX: a\nY: b\r\n\r\n",
        ] {
            let mut client = lab.send(post("Transfer-Encoding: chunked\r\n", body) + &smuggled);
            let (bytes, end) = client.rest();
            let answer = String::from_utf8_lossy(&bytes);
            assert_eq!(end, End::Eof, "{body:?}: {answer}");
            assert_eq!((status_of(&answer), answer.matches("HTTP/1.").count()), (400, 1), "{body:?}: {answer}");
            let verdicts = lab.egret.flows(client.addr(), 1);
            assert_eq!(verdicts[0]["verdict"], "allow");
            assert_eq!(lab.egret.close(client.addr())["reason"], "bad-framing", "{body:?}");
        }
        assert_eq!(lab.origin.noted(), Vec::<Vec<u8>>::new(), "a request reached the origin whole");
    });
}

#[test]
fn case_15_a_length_in_the_trailers_frames_nothing() {
    Lab::everywhere(Origin::http_ok, |lab| {
        let body = "3\r\nabc\r\n0\r\nContent-Length: 60\r\nHost: evil.test\r\n\r\n";
        let next = get("http://ok.test/next", "ok.test");
        let mut client = lab.send(post("Transfer-Encoding: chunked\r\n", body) + &next);
        assert_eq!((client.status(), client.status()), (200, 200));
        let noted = lab.origin.wait_noted(2);
        assert!(!noted[0].contains("evil.test") && noted[1].starts_with("GET /next "), "{noted:?}");
    });
}

/// What a body says is no request, however much it looks like one.
#[test]
fn case_15_a_body_that_looks_like_a_request() {
    Lab::everywhere(Origin::http_ok, |lab| {
        let smuggled = get("http://evil.test/", "evil.test");
        let mut client = lab.send(post(&format!("Content-Length: {}\r\n", smuggled.len()), &smuggled));
        assert_eq!(client.status(), 200);
        assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule");
        assert!(lab.origin.wait_noted(1)[0].ends_with(&smuggled));
    });
}

#[test]
fn case_26_names_written_otherwise() {
    Lab::both(Origin::echo, |lab| {
        for name in ["ok.test.", "OK.TEST", "Ok.Test."] {
            let mut client = lab.tunnel(&format!("{name}:443"));
            let hello = Hello::of("ok.test").bytes();
            client.send(&hello);
            assert_eq!(client.bytes(hello.len()), hello);
            assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule", "{name}");
        }
    });
}

/// These are no names to anybody: not to CONNECT, not to a URI, not to SOCKS5.
fn check_bad_names(names: &[&str]) {
    Lab::both(Origin::echo, |lab| {
        for name in names {
            assert_malformed(lab, connect(&format!("{name}:443")).as_bytes(), 400, "bad-name");
            let request = format!("GET http://{name}/ HTTP/1.1\r\nHost: ok.test\r\n\r\n");
            assert_malformed(lab, request.as_bytes(), 400, "bad-name");
            let (client, reply) = Client::socks(lab.addr(), name, 443);
            assert_eq!((reply, lab.egret.verdict(client.addr()).as_str()), (1, "deny bad-name"), "{name}");
        }
        assert_eq!(lab.origin.connections(), 0);
    });
}

#[test]
fn case_26_names_that_are_none() {
    check_bad_names(&[
        "ok.test..",
        "ok..test",
        ".ok.test",
        "-ok.test",
        "ok-.test",
        &"a".repeat(64),
        "2130706433",
        "0x7f.1",
    ]);
}

#[test]
fn case_27_internationalised_names() {
    // Another script's o, a full-width dot, a soft hyphen, a label that decodes to nothing that is allowed.
    check_bad_names(&[
        "\u{43e}k.test",
        "ok\u{3002}test",
        "o\u{ad}k.test",
        "\u{f6}k.test",
        "xn--a.test",
        "xn--ok-.test",
    ]);
    Lab::both(Origin::echo, |lab| {
        // As an A-label it is a name like any other, and another one than ok.test.
        lab.assert_refused(connect("xn--k-ymb.test:443"), lab.denied(), "deny not-allowed");
    });
}

#[test]
fn case_29_suffixes() {
    Lab::everywhere(Origin::http_ok, |lab| {
        for name in
            ["evilwild.test", "wild.test.evil.test", "wild.test", "xwild.test", "ok.test.wild.test.evil", "a.ok.test"]
        {
            lab.assert_refused(get(&format!("http://{name}/"), name), lab.denied(), "deny not-allowed");
            if lab.by_door(true, false) {
                lab.assert_refused(connect(&format!("{name}:443")), lab.denied(), "deny not-allowed");
            } else {
                let mut client = lab.tunnel(":443");
                client.send(Hello::of(name).bytes());
                lab.assert_closed(&mut client, "deny not-allowed");
            }
        }
        for name in ["a.wild.test", "a.b.wild.test", "wild.test.wild.test"] {
            let mut client = lab.send(get(&format!("http://{name}/"), name));
            assert_eq!((client.status(), lab.egret.verdict(client.addr()).as_str()), (200, "allow application-rule"));
        }
    });
}

#[test]
fn case_39_no_line_of_the_log_is_forged() {
    Lab::everywhere(Origin::echo, |lab| {
        let forged = "{\"v\":1,\"kind\":\"flow\",\"verdict\":\"allow\",\"reason\":\"forged\"}";
        let hostile = format!("a\u{1b}[31m\n{forged}\n");
        let mut clients = vec![
            lab.send(connect(&format!("{hostile}:443"))),
            lab.send(get("http://ok.test/", &hostile)),
            lab.send(get(&format!("http://{hostile}/"), "ok.test")),
            lab.send(get("http://ok.test/", "\u{1b}[2J")),
            lab.send(connect("\u{1b}[31mevil:443")),
        ];
        clients.extend(lab.by_door(Some(lab.addr()), None).map(|proxy| Client::socks(proxy, &hostile, 443).0));
        let mut tunnel = lab.tunnel("ok.test:443");
        tunnel.send(Hello::of(&hostile).bytes());
        clients.push(tunnel);
        for client in &mut clients {
            client.rest();
            assert!(lab.egret.verdict(client.addr()).starts_with("deny bad-"));
        }
        // `log` reads every line as JSON.
        assert!(lab.egret.records(|record| record["reason"] == "forged").is_empty());
        let text = std::fs::read_to_string(lab.egret.path("log.json")).unwrap();
        assert!(!text.contains('\u{1b}') && !text.contains("\\u001b"), "{text}");
        assert_eq!(lab.origin.connections(), 0);
    });
}

/// A client that follows redirects without thought stays inside.
#[test]
fn case_40_a_redirect_to_the_metadata_address() {
    let location = "http://169.254.169.254/metadata/instance";
    let redirect = move || {
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        Origin::http(move |_| answer.clone().into_bytes())
    };
    Lab::both(redirect, |lab| {
        let mut client = lab.send(get("http://ok.test/", "ok.test"));
        let (head, _) = client.answer();
        assert_eq!((status_of(&head), header(&head, "location")), (302, Some(location)));
        client.send(get(location, "169.254.169.254"));
        assert_eq!(client.status(), lab.denied());
        assert_eq!(lab.egret.verdicts(client.addr(), 2), ["allow application-rule", "deny internal-address"]);
        assert_eq!(lab.origin.noted().len(), 1);
    });
}

#[test]
fn a_refused_connect_leaves_the_connection_open() {
    Lab::both(Origin::echo, |lab| {
        let mut client = lab.send(connect("evil.test:443"));
        assert_eq!(client.status(), lab.denied());
        client.send(connect("ok.test:443"));
        assert_eq!(client.head(), "HTTP/1.1 200 Connection established\r\n\r\n");
        let hello = Hello::of("ok.test").bytes();
        client.send(&hello);
        assert_eq!(client.bytes(hello.len()), hello);
        assert_eq!(lab.egret.verdicts(client.addr(), 2), ["deny not-allowed", "allow application-rule"]);
    });
}

#[test]
fn http_then_connect_on_one_connection() {
    let both = || {
        Origin::start(|mut stream, _| {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                let is_http = buffer.starts_with(b"GET");
                let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                if stream.write_all(if is_http { ok } else { &buffer[..read] }).is_err() {
                    return;
                }
            }
        })
    };
    Lab::both(both, |lab| {
        let mut client = lab.send(get("http://ok.test/", "ok.test"));
        assert_eq!(client.status(), 200);
        let hello = Hello::of("ok.test").bytes();
        client.send([connect("ok.test:443").as_bytes(), &hello].concat());
        assert_eq!(client.head(), "HTTP/1.1 200 Connection established\r\n\r\n");
        assert_eq!(client.bytes(hello.len()), hello);
        assert_eq!(lab.egret.verdicts(client.addr(), 2), ["allow application-rule"; 2]);
    });
}

/// An origin may not answer the next request before it is asked.
#[test]
fn an_answer_that_nobody_asked_for() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned";
    let both = move || Origin::http(move |_| [ok, poison].concat().into_bytes());
    Lab::everywhere(both, |lab| {
        let mut client = lab.send(get("http://ok.test/", "ok.test"));
        assert_eq!(client.answer().1, "ok");
        for _ in 0..3 {
            client.send(get("http://ok.test/next", "ok.test"));
            assert_eq!(client.answer().1, "ok");
        }
    });
}

#[test]
fn a_connect_inside_a_tunnel() {
    Lab::both(Origin::http_ok, |lab| {
        for to in ["evil.test:443", "ok.test:443"] {
            let mut client = lab.tunnel("ok.test:80");
            client.send(connect(to));
            assert_eq!(client.status(), 400, "{to}");
            assert_eq!(client.rest(), (Vec::new(), End::Eof));
            assert_eq!(lab.egret.verdict(client.addr()), "deny bad-request", "{to}");
        }
        assert_eq!(lab.origin.connections(), 0);
    });
}

#[test]
fn a_request_after_an_upgrade_that_was_declined() {
    Lab::everywhere(Origin::http_ok, |lab| {
        let mut client = lab.send(upgrade("ok.test"));
        assert_eq!(client.status(), 200);
        client.send(get("http://ok.test/", "ok.test"));
        assert_eq!(client.status(), 200);
        client.send(get("http://evil.test/", "evil.test"));
        assert_eq!(client.status(), lab.denied());
        let expected = ["allow application-rule", "allow application-rule", "deny not-allowed"];
        assert_eq!(lab.egret.verdicts(client.addr(), 3), expected);
    });
}

#[test]
fn an_upgrade_with_a_body() {
    check_malformed("bad-upgrade", &[&post("Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 4\r\n", "abcd")]);
}

/// What the log says of a refusal names who asked for what.
#[test]
fn the_log_names_the_destination_of_every_refusal() {
    let lab = Lab::new("strict", Origin::http_ok());
    for (request, host, port) in [
        (connect("evil.test:8443"), "evil.test", 8443),
        (get("http://evil.test:81/", "evil.test:81"), "evil.test", 81),
        (connect("[2606:4700::1111]:443"), "2606:4700::1111", 443),
    ] {
        let client = lab.send(request);
        let record = &lab.egret.flows(client.addr(), 1)[0];
        let named = record["host"].as_str().unwrap_or("none").trim_matches(['[', ']']).to_owned();
        assert_eq!((named.as_str(), record["port"].as_u64()), (host, Some(port)), "{record}");
    }
}

/// What a refused request says in its body is no next request.
#[test]
fn the_body_of_a_refused_request() {
    Lab::everywhere(Origin::http_ok, |lab| {
        let smuggled = get("http://ok.test/smuggled", "ok.test");
        let lines = format!("Content-Length: {}\r\n", smuggled.len());
        let refused = format!("POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n{lines}\r\n{smuggled}");
        let mut client = lab.send(&refused);
        assert_eq!(client.status(), lab.denied());
        // It may be closed or go on; what was in the body is not served in either case.
        client.finish();
        let (rest, _) = client.rest();
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
        assert_eq!(lab.egret.verdict(client.addr()), "deny not-allowed");
        assert_eq!(lab.origin.connections(), 0);
    });
}

/// The Host header of a CONNECT leads nowhere: the target decides.
#[test]
fn a_connect_with_another_host_header() {
    Lab::both(Origin::echo, |lab| {
        let request = "CONNECT evil.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n\r\n";
        lab.assert_refused(request, lab.denied(), "deny not-allowed");
        lab.assert_refused("CONNECT http://ok.test:443/ HTTP/1.1\r\nHost: ok.test\r\n\r\n", 400, "deny bad-name");
        lab.assert_refused("CONNECT user@ok.test:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n", 400, "deny bad-name");
    });
}

#[test]
fn methods_of_every_kind_reach_the_origin() {
    let lab = Lab::new("strict", Origin::http_ok());
    let methods = ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "M-SEARCH"];
    for method in methods {
        let mut client = lab.send(format!("{method} http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n"));
        assert_eq!(client.status(), 200, "{method}");
    }
    let seen: Vec<String> = lab.origin.wait_noted(methods.len());
    for (head, method) in seen.iter().zip(methods) {
        assert!(head.starts_with(&format!("{method} / HTTP/1.1\r\n")), "{head}");
    }
    // To the proxy itself it says nothing.
    assert_eq!(lab.send("OPTIONS * HTTP/1.1\r\nHost: ok.test\r\n\r\n").status(), 400);
}

/// Whatever happens to a request: an origin sees no more requests than were allowed, and none for another host.
#[test]
fn no_request_reads_one_way_here_and_another_way_there() {
    let origin = Origin::http(|request| {
        let about_ok = header(&request.head, "host") == Some("ok.test");
        let body = if about_ok { "ok" } else { "poisoned" };
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    let lab = Lab::with_config("strict", origin, "[timeouts]\nhead = \"200ms\"\nidle = \"200ms\"\n");
    let inner = get("http://evil.test/inner", "evil.test");
    let chunked = post("Transfer-Encoding: chunked\r\n", &format!("{:x}\r\n{inner}\r\n0\r\nX: y\r\n\r\n", inner.len()));
    let sized = post(&format!("Content-Length: {}\r\n", inner.len()), &inner);
    let plain = get("http://ok.test/", "ok.test");
    let whole = [chunked + &plain, sized + &plain, upgrade("ok.test") + &plain];
    let mut random = Random::seeded(15);
    for round in 0..400 {
        let mut bytes = random.pick(&whole).clone().into_bytes();
        random.mutate(&mut bytes, b"\r\n\t :;,+-0123456789abcdefx\0\x0b\xff/@#?%\\");
        let mut client = lab.send(&bytes);
        client.finish();
        let (answers, end) = client.rest();
        assert_eq!(end, End::Eof, "round {round}: {}", bytes.escape_ascii());
        let answers = String::from_utf8_lossy(&answers);
        assert!(!answers.contains("poisoned"), "round {round}: {}", bytes.escape_ascii());
    }
    let seen = lab.origin.noted().len();
    let allowed = || Some(lab.egret.records(|record| record["verdict"] == "allow")).filter(|it| it.len() >= seen);
    let allowed = poll(allowed).unwrap_or_else(|| panic!("{seen} requests were seen, and not so many allowed"));
    assert!(seen > 100 && allowed.iter().all(|record| record["host"] == "ok.test"), "{seen}");
}
