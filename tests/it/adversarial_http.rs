//! Adversarial cases about plain HTTP and about requests to the proxy itself. The numbers are those of the table
//! of cases in `docs/fidelity.md`.

use std::io::{Read, Write};
use std::time::Duration;

use super::support::egret::Egret;
use super::support::hello::Hello;
use super::support::lab::{Lab, PROFILES};
use super::support::origin::Origin;
use super::support::poll;
use super::support::raw::{Client, End, connect, get, header, socks_request, status_of};

/// The request is answered with this status and a close, once, and reaches nobody.
fn assert_malformed(lab: &Lab, request: &[u8], status: u16, reason: &str) {
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

/// A `POST` to ok.test with these lines in its head and this body.
fn post(lines: &str, body: &str) -> String {
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
    Lab::both(Origin::http_ok, |lab| {
        for request in requests {
            lab.assert_refused(request, lab.denied(), &format!("deny {reason}"));
        }
    });
}

#[test]
fn case_10_the_same_host_written_otherwise() {
    Lab::both(Origin::http_ok, |lab| {
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
    check_malformed(
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
    check_malformed(
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
    Lab::both(Origin::http_ok, |lab| {
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
    Lab::both(Origin::http_ok, |lab| {
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
    Lab::both(Origin::http_ok, |lab| {
        lab.assert_refused(upgrade("evil.test"), lab.denied(), "deny not-allowed");
    });
}

#[test]
fn case_14_an_upgrade_that_nobody_asked_for() {
    Lab::both(
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
    check_malformed(
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
    Lab::both(Origin::http_ok, |lab| {
        for path in ["/\"<>", "/{a}|b^`", "/\u{e9}", "/%", "/a//../b", "/\\a", "/?a=http://evil.test/", "/;a@b:c"] {
            let mut client = lab.send(get(&format!("http://ok.test{path}"), "ok.test"));
            let status = client.status();
            let expected = if status == 200 { "allow application-rule" } else { "deny bad-request" };
            assert!(status == 200 || status == 400, "{path}: {status}");
            assert_eq!(lab.egret.verdict(client.addr()), expected, "{path}");
        }
    });
}

/// Requests whose heads are fine and whose bodies are not: they are cut, and nothing behind them is a request.
#[test]
fn case_15_framing_in_the_body() {
    Lab::both(Origin::http_ok, |lab| {
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
    Lab::both(Origin::http_ok, |lab| {
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
    Lab::both(Origin::http_ok, |lab| {
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
    Lab::both(Origin::http_ok, |lab| {
        for name in
            ["evilwild.test", "wild.test.evil.test", "wild.test", "xwild.test", "ok.test.wild.test.evil", "a.ok.test"]
        {
            lab.assert_refused(connect(&format!("{name}:443")), lab.denied(), "deny not-allowed");
            lab.assert_refused(get(&format!("http://{name}/"), name), lab.denied(), "deny not-allowed");
        }
        for name in ["a.wild.test", "a.b.wild.test", "wild.test.wild.test"] {
            let mut client = lab.send(get(&format!("http://{name}/"), name));
            assert_eq!((client.status(), lab.egret.verdict(client.addr()).as_str()), (200, "allow application-rule"));
        }
    });
}

#[test]
fn case_39_no_line_of_the_log_is_forged() {
    Lab::both(Origin::echo, |lab| {
        let forged = "{\"v\":1,\"kind\":\"flow\",\"verdict\":\"allow\",\"reason\":\"forged\"}";
        let hostile = format!("a\u{1b}[31m\n{forged}\n");
        let mut clients = vec![
            lab.send(connect(&format!("{hostile}:443"))),
            lab.send(get("http://ok.test/", &hostile)),
            lab.send(get(&format!("http://{hostile}/"), "ok.test")),
            lab.send(get("http://ok.test/", "\u{1b}[2J")),
            lab.send(connect("\u{1b}[31mevil:443")),
        ];
        let (socks, _) = Client::socks(lab.addr(), &hostile, 443);
        clients.push(socks);
        let mut tunnel = lab.tunnel("ok.test:443");
        tunnel.send(Hello::of(&hostile).bytes());
        clients.push(tunnel);
        for client in &mut clients {
            client.rest();
            assert!(lab.egret.verdict(client.addr()).starts_with("deny bad-"));
        }
        // `log` reads every line as JSON.
        assert!(lab.egret.records(|record| record["reason"] == "forged").is_empty());
        let text = std::fs::read_to_string(lab.egret.log_path()).unwrap();
        assert!(!text.contains('\u{1b}') && !text.contains("\\u001b"), "{text}");
        assert_eq!(lab.origin.connections(), 0);
    });
}

#[test]
fn case_39_heads_without_end() {
    for profile in PROFILES {
        let lab = Lab::new(profile, Origin::http_ok());
        let line = format!("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nX: {}", "a".repeat(1 << 20));
        let target = format!("GET http://ok.test/{}", "a".repeat(1 << 20));
        let lines = format!("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n{}\r\n", "X: a\r\n".repeat(1000));
        for head in [line, target, lines] {
            let mut client = Client::connect(lab.addr());
            client.try_send(head.as_bytes());
            assert_eq!(status_of(&client.head()), 431);
            assert_eq!(lab.egret.verdict(client.addr()), "deny limit-head");
        }
        let method = "A".repeat(1 << 16);
        assert_malformed(&lab, &method.as_bytes()[..100], 400, "bad-request");
    }
}

/// The limit is the configured one, for CONNECT as well.
#[test]
fn case_39_the_configured_limit_of_heads() {
    let lab = Lab::with_config("strict", Origin::echo(), "[limits]\nhead_bytes = 600\n");
    let padding = "a".repeat(600);
    for request in [
        format!("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nX: {padding}\r\n\r\n"),
        format!("CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test\r\nX: {padding}\r\n\r\n"),
    ] {
        assert_malformed(&lab, request.as_bytes(), 431, "limit-head");
    }
}

const SHORT_HEAD: &str = "[timeouts]\nhead = \"400ms\"\nidle_client = \"400ms\"\n";

#[test]
fn case_39_half_a_head_then_silence() {
    for profile in PROFILES {
        let lab = Lab::with_config(profile, Origin::http_ok(), SHORT_HEAD);
        for request in ["G", "GET http://ok.test/ HTTP/1.1\r\nHost: ok", "CONNECT ok.test:443 HTTP/1.1\r\n"] {
            assert_malformed(&lab, request.as_bytes(), 408, "head-timeout");
        }
        for greeting in [&[5][..], &[5, 1], &[5, 1, 0, 5, 1, 0, 3, 9]] {
            let mut client = lab.send(greeting);
            assert_eq!(client.rest().1, End::Eof);
            assert_eq!(lab.egret.verdict(client.addr()), "deny head-timeout");
        }
        // Nothing at all is no request, and no flow.
        assert_eq!(Client::connect(lab.addr()).rest(), (Vec::new(), End::Eof));
    }
}

/// A byte now and then does not move the deadline.
#[test]
fn case_39_a_head_that_trickles() {
    let lab = Lab::with_config("strict", Origin::http_ok(), SHORT_HEAD);
    let head = format!("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nX: {}\r\n\r\n", "a".repeat(200));
    let mut client = Client::connect(lab.addr());
    for byte in head.bytes() {
        if !client.try_send(&[byte]) || !client.is_silent_for(Duration::from_millis(20)) {
            break;
        }
    }
    assert_eq!(lab.egret.verdict(client.addr()), "deny head-timeout");
    assert_eq!(lab.origin.connections(), 0);
}

#[test]
fn case_39_a_body_that_stands_still() {
    let lab = Lab::with_config("strict", Origin::http_ok(), "[timeouts]\nidle = \"300ms\"\n");
    let mut client = lab.send(post("Content-Length: 10\r\n", "half"));
    let (_, end) = client.rest();
    assert_eq!(end, End::Eof);
    lab.egret.close(client.addr());
    assert!(lab.origin.noted().is_empty(), "the request reached the origin whole");
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

const AUTH: &str = "Proxy-Authorization: Basic bGFiOnNlY3JldA==\r\n";

fn with_auth(request: &str) -> String {
    request.replacen("\r\n", &format!("\r\n{AUTH}"), 1)
}

#[test]
fn credentials_are_asked_for_and_taken_on_the_same_connection() {
    for profile in PROFILES {
        let origin = Origin::http_ok();
        let to = format!("--connect-to=::{}", origin.addr);
        let flags = ["--allow=http://ok.test", "--auth=lab:secret", &to, "--profile", profile];
        let egret = Egret::start(&flags);
        for request in [get("http://ok.test/", "ok.test"), connect("ok.test:80")] {
            let mut client = Client::send_to(egret.addr, &request);
            let (head, _) = client.answer();
            assert_eq!(status_of(&head), 407);
            assert_eq!(header(&head, "proxy-authenticate"), Some("Basic realm=\"egret\""));
            client.send(with_auth(&request));
            assert_eq!(client.head().split(' ').nth(1), Some("200"));
        }
        let wrong = with_auth(&get("http://ok.test/", "ok.test")).replace("bGFi", "bGFj");
        assert_eq!(Client::send_to(egret.addr, wrong).status(), 407);
        assert_eq!(Client::send_to(egret.addr, get("/proxy.pac", "p")).status(), 407);
        let head = &origin.wait_noted(1)[0];
        assert_eq!(header(head, "proxy-authorization"), None, "{head}");
        let refused = || Some(egret.records(|record| record["reason"] == "auth-required")).filter(|it| it.len() == 4);
        assert!(poll(refused).is_some(), "{:#?}", egret.log());
    }
}

#[test]
fn socks5_with_user_and_password() {
    let origin = Origin::http_ok();
    let to = format!("--connect-to=::{}", origin.addr);
    let egret = Egret::start(&["--allow=http://ok.test", "--auth=lab:secret", &to]);
    let greet = |user: &[u8]| {
        let mut client = Client::send_to(egret.addr, [5, 2, 0, 2]);
        assert_eq!(client.bytes(2), [5, 2]);
        client.send(user);
        client
    };
    let mut client = greet(b"\x01\x03lab\x06secret");
    assert_eq!(client.bytes(2), [1, 0]);
    client.send(socks_request("ok.test", 80));
    assert_eq!(client.bytes(10)[1], 0);
    client.send(get("/", "ok.test"));
    assert_eq!(client.status(), 200);

    let mut client = greet(b"\x01\x03lab\x06Secret");
    assert_eq!(client.rest(), (vec![1, 1], End::Eof));
    assert_eq!(egret.verdict(client.addr()), "deny auth-required");
    let mut client = Client::send_to(egret.addr, [5, 1, 0]);
    assert_eq!(client.rest(), (vec![5, 0xff], End::Eof));
    assert_eq!(egret.verdict(client.addr()), "deny auth-required");
}

#[test]
fn socks5_commands_other_than_connect() {
    Lab::both(Origin::echo, |lab| {
        for command in [2, 3, 9] {
            let mut request = socks_request("ok.test", 443);
            request[1] = command;
            let mut client = lab.send([&[5, 1, 0][..], &request].concat());
            assert_eq!(client.rest(), (vec![5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0], End::Eof));
            assert_eq!(lab.egret.verdict(client.addr()), "deny bad-request");
        }
    });
}

#[test]
fn off_loopback_is_refused_without_a_word() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let ended = Egret::refused(&["--listen", listen]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("off loopback"), "{}", ended.stderr);
    }
}

#[test]
fn the_cap_of_one_client_refuses() {
    let lab = Lab::with_config("strict", Origin::http_ok(), "[limits]\nconnections_per_client = 2\n");
    let request = get("http://ok.test/", "ok.test");
    let mut held: Vec<Client> = (0..2).map(|_| lab.send(&request)).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.status(), 200));
    let mut third = Client::connect(lab.addr());
    assert_ne!(third.rest().1, End::Silent);
    assert_eq!(lab.egret.verdict(third.addr()), "deny limit-client");
    drop(held);
    let again = poll(|| {
        let mut client = Client::connect(lab.addr());
        (client.try_send(request.as_bytes()) && client.rest_starts_with(b"HTTP/1.1 200")).then_some(())
    });
    assert!(again.is_some(), "the places were not given back");
}

#[test]
fn the_cap_of_all_connections_waits() {
    let lab = Lab::with_config("strict", Origin::http_ok(), "[limits]\nconnections = 2\n[proxy]\nworkers = 1\n");
    let request = get("http://ok.test/", "ok.test");
    let mut held: Vec<Client> = (0..2).map(|_| lab.send(&request)).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.status(), 200));
    let mut third = lab.send(&request);
    assert!(third.is_silent_for(Duration::from_millis(300)));
    drop(held.pop());
    assert_eq!(third.status(), 200);
}

const RELOADED: &str = "allow = [\"https://ok.test\", \"http://ok.test\"]\n";

fn reloading(origin: &Origin) -> Egret {
    Egret::with_config(RELOADED, &[format!("--connect-to=::{}", origin.addr)])
}

fn assert_cut(egret: &Egret, client: &mut Client) {
    assert_eq!(client.rest(), (Vec::new(), End::Eof));
    let close = egret.close(client.addr());
    assert_eq!((close["reason"].as_str(), close["closed_by"].as_str()), (Some("policy-changed"), Some("egret")));
}

#[test]
fn a_live_tunnel_is_cut_by_a_reload_that_denies_it() {
    let origin = Origin::echo();
    let egret = reloading(&origin);
    let mut client = Client::tunnel(egret.addr, "ok.test:443");
    let hello = Hello::of("ok.test").bytes();
    client.send(&hello);
    assert_eq!(client.bytes(hello.len()), hello);
    egret.reload(&format!("{RELOADED}deny = [\"https://evil.test\"]\n"));
    client.send("still");
    assert_eq!(client.bytes(5), b"still");
    egret.reload("allow = [\"http://ok.test\"]\n");
    assert_cut(&egret, &mut client);
    assert_eq!(Client::send_to(egret.addr, connect("ok.test:443")).status(), 470);
}

#[test]
fn a_tunnel_whose_origin_has_not_answered_is_cut_as_well() {
    let origin = Origin::start(|mut stream, note| {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            note.note(&buffer[..read]);
        }
    });
    let egret = reloading(&origin);
    let mut client = Client::tunnel(egret.addr, "ok.test:443");
    client.send(Hello::of("ok.test").bytes());
    origin.wait_noted(1);
    egret.reload("allow = [\"http://ok.test\"]\n");
    assert_cut(&egret, &mut client);
}

#[test]
fn a_kept_connection_is_judged_anew_after_a_reload() {
    let origin = Origin::http_ok();
    let egret = reloading(&origin);
    let mut client = Client::send_to(egret.addr, get("http://ok.test/", "ok.test"));
    assert_eq!(client.status(), 200);
    egret.reload("allow = [\"https://ok.test\"]\n");
    client.send(get("http://ok.test/", "ok.test"));
    assert_eq!(client.status(), 470);
    assert_eq!(origin.noted().len(), 1);
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let origin = Origin::http_ok();
    let egret = reloading(&origin);
    std::fs::write(egret.log_path().with_file_name("egret.toml"), "allow = [").unwrap();
    egret.signal("HUP");
    assert_eq!(Client::send_to(egret.addr, get("http://ok.test/", "ok.test")).status(), 200);
    egret.reload(RELOADED);
    assert_eq!(Client::send_to(egret.addr, get("http://ok.test/", "ok.test")).status(), 200);
}
