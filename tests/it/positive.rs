//! What must go on working through the proxy, and what its own answers look like byte for byte.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::support::egret::Egret;
use super::support::hello::{Hello, Tls};
use super::support::lab::Lab;
use super::support::origin::{Origin, tls_configs};
use super::support::raw::{Client, End, connect, get, header, status_of};
use super::support::{DEADLINE, poll};

/// The answer of an origin that always says the same.
fn saying(answer: &str) -> Origin {
    let answer = answer.as_bytes().to_vec();
    Origin::http(move |_| answer.clone())
}

fn lab(answer: &str) -> Lab {
    Lab::new("strict", saying(answer))
}

const GET: &str = "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n";

/// A request to ok.test with this method and these further lines.
fn request(method: &str, lines: &str) -> String {
    format!("{method} http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n{lines}\r\n")
}

#[test]
fn http2_through_a_tunnel_is_opaque() {
    let (server, client_config) = tls_configs(&["ok.test"], &["h2"]);
    Lab::both(
        move || Origin::tls(server.clone()),
        |lab| {
            let client = lab.tunnel("ok.test:443");
            let mut tls = Tls::new(&client.stream, &client_config, "ok.test");
            let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
            assert_eq!(tls.echo(preface).unwrap(), preface);
            assert_eq!(tls.alpn(), Some(&b"h2"[..]));
            assert_eq!(lab.origin.wait_noted(1), ["ok.test h2"]);
        },
    );
}

#[test]
fn the_name_of_a_tunnel_in_capitals() {
    let (server, client_config) = tls_configs(&["ok.test"], &[]);
    let lab = Lab::new("strict", Origin::tls(server));
    let client = lab.tunnel("OK.TEST:443");
    assert_eq!(Tls::new(&client.stream, &client_config, "ok.test").echo("capital").unwrap(), "capital");
}

/// Agrees to the upgrade, speaks first in the segment of its 101, then echoes.
fn websocket() -> Origin {
    Origin::start(|mut stream, note| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
        note.note(&head);
        let lines = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x";
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n\r\nhello from the origin");
        let mut buffer = [0; 4096];
        let mut sent = stream.write_all(answer.as_bytes());
        while let (Ok(()), Ok(read @ 1..)) = (&sent, stream.read(&mut buffer)) {
            sent = stream.write_all(&buffer[..read]);
        }
    })
}

#[test]
fn websockets() {
    Lab::both(websocket, |lab| {
        let lines = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: y\r\n";
        let mut client = lab.send(request("GET", lines));
        let head = client.head();
        assert_eq!(status_of(&head), 101, "{head}");
        assert_eq!(header(&head, "upgrade"), Some("websocket"));
        assert_eq!(header(&head, "connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
        assert_eq!(header(&head, "sec-websocket-accept"), Some("x"));
        assert_eq!(client.bytes(21), b"hello from the origin");
        client.send(b"\x81\x85mask!\0\xff");
        assert_eq!(client.bytes(9), b"\x81\x85mask!\0\xff");
        client.finish();
        assert_eq!(client.rest(), (Vec::new(), End::Eof));
        let close = lab.egret.close(client.addr());
        assert_eq!((close["bytes_up"].as_u64(), close["bytes_down"].as_u64()), (Some(9), Some(30)), "{close}");
        let head = &lab.origin.wait_noted(1)[0];
        assert_eq!(header(head, "upgrade"), Some("websocket"));
        assert_eq!(header(head, "connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
        assert_eq!(header(head, "sec-websocket-key"), Some("y"));
    });
}

/// Each event arrives while the next is not yet written.
#[test]
fn server_sent_events_are_not_held_back() {
    let events = || {
        Origin::start(|mut stream, note| {
            let mut buffer = [0; 4096];
            let Ok(1..) = stream.read(&mut buffer) else { return };
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut sent = stream.write_all(head);
            for number in 0..3 {
                if sent.is_ok() && poll(|| (note.count() > number).then_some(())).is_some() {
                    sent = stream.write_all(format!("9\r\ndata: {number}\n\n\r\n").as_bytes());
                }
            }
            let _ = sent.and_then(|()| stream.write_all(b"0\r\n\r\n"));
        })
    };
    Lab::both(events, |lab| {
        let mut client = lab.send(request("GET", "Accept: text/event-stream\r\n"));
        assert_eq!(header(&client.head(), "content-type"), Some("text/event-stream"));
        for number in 0..3 {
            lab.origin.note(b"go on");
            assert_eq!(client.bytes(14), format!("9\r\ndata: {number}\n\n\r\n").as_bytes());
        }
        assert_eq!(client.bytes(5), b"0\r\n\r\n");
    });
}

#[test]
fn the_client_is_told_to_continue() {
    Lab::both(Origin::http_ok, |lab| {
        let mut client = lab.send(request("POST", "Expect: 100-continue\r\nContent-Length: 4\r\n"));
        assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("body");
        assert_eq!(client.status(), 200);
        let noted = &lab.origin.wait_noted(1)[0];
        assert!(noted.ends_with("\r\n\r\nbody"), "{noted}");
    });
}

#[test]
fn a_client_that_expects_to_continue_is_refused_before_the_body() {
    Lab::both(Origin::http_ok, |lab| {
        let lines = "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        let mut client = lab.send(format!("POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n{lines}"));
        assert_eq!(client.status(), lab.denied());
        assert_eq!(lab.origin.connections(), 0);
    });
}

/// Interim answers of the origin do not end the exchange.
#[test]
fn interim_answers() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    let lab = lab(&format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal"));
    let mut client = lab.send(GET);
    let mut answer = client.answer();
    while status_of(&answer.0) < 200 {
        answer = client.answer();
    }
    assert_eq!((status_of(&answer.0), answer.1.as_str()), (200, "final"));
    client.send(GET);
    while client.status() < 200 {}
}

#[test]
fn head_has_a_length_and_no_body() {
    let lab = lab("HTTP/1.1 200 OK\r\nContent-Length: 123456\r\n\r\n");
    let mut client = lab.send([request("HEAD", ""), request("HEAD", "")].concat());
    for _ in 0..2 {
        let head = client.head();
        assert_eq!((status_of(&head), header(&head, "content-length")), (200, Some("123456")));
    }
    assert!(client.is_silent_for(Duration::from_millis(100)));
}

#[test]
fn answers_without_a_body() {
    for status in ["204 No Content", "304 Not Modified"] {
        let lab = lab(&format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n"));
        let mut client = lab.send([GET, GET].concat());
        for _ in 0..2 {
            let head = client.head();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
            assert_eq!((header(&head, "etag"), header(&head, "transfer-encoding")), (Some("\"x\""), None));
        }
        assert!(client.is_silent_for(Duration::from_millis(100)), "{status}");
    }
}

#[test]
fn chunks_and_trailers_both_ways() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
    let lab = lab(&format!("{chunked}5\r\nfirst\r\n6\r\nsecond\r\n0\r\nX-Sum: 11\r\n\r\n"));
    let lines = "TE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n";
    let mut client = lab.send(request("POST", lines) + "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n");
    let head = client.head();
    assert_eq!((status_of(&head), header(&head, "transfer-encoding")), (200, Some("chunked")));
    let mut body = String::new();
    while !body.ends_with("\r\n\r\n") {
        body.push_str(&String::from_utf8_lossy(&client.bytes(1)));
    }
    assert!(body.contains("first") && body.contains("second"), "{body}");
    assert!(body.to_lowercase().ends_with("0\r\nx-sum: 11\r\n\r\n"), "{body}");
    let noted = lab.origin.wait_noted(1)[0].to_lowercase();
    assert_eq!(header(&noted, "transfer-encoding"), Some("chunked"));
    assert!(noted.contains("abc") && noted.contains("defg"), "{noted}");
    assert!(noted.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{noted}");
}

#[test]
fn half_close_both_ways() {
    Lab::both(Origin::echo, |lab| {
        // The client is done first and still gets everything.
        let hello = Hello::of("ok.test").bytes();
        let mut client = lab.tunnel("ok.test:443");
        client.send(&hello);
        assert_eq!(client.bytes(hello.len()), hello);
        let large = vec![b'x'; 300_000];
        client.send(&large);
        client.finish();
        let (bytes, end) = client.rest();
        assert_eq!((bytes.len(), end), (large.len(), End::Eof));
        let close = lab.egret.close(client.addr());
        assert_eq!((close["reason"].as_str(), close["closed_by"].as_str()), (Some("eof"), Some("client")));
        let all = (large.len() + hello.len()) as u64;
        assert_eq!((close["bytes_up"].as_u64(), close["bytes_down"].as_u64()), (Some(all), Some(all)));
    });
    let closing = || {
        Origin::start(|mut stream, note| {
            let _ = stream.write_all(b"all there is").and_then(|()| stream.shutdown(Shutdown::Write));
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            note.note(&rest);
        })
    };
    Lab::both(closing, |lab| {
        // The origin is done first and still gets everything.
        let mut client = lab.tunnel("ok.test:443");
        let hello = Hello::of("ok.test").bytes();
        client.send(&hello);
        assert_eq!(client.rest(), (b"all there is".to_vec(), End::Eof));
        client.send(b"and more");
        client.finish();
        lab.origin.wait_noted(1);
        assert_eq!(lab.origin.noted()[0], [&hello[..], b"and more"].concat());
        assert_eq!(lab.egret.close(client.addr())["closed_by"], "origin");
    });
}

#[test]
fn a_post_of_nothing() {
    Lab::both(Origin::http_ok, |lab| {
        let mut client = lab.send(request("POST", "Content-Length: 0\r\n") + &request("POST", ""));
        assert_eq!((client.status(), client.status()), (200, 200));
        for head in lab.origin.wait_noted(2) {
            assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
            assert_eq!(header(&head, "transfer-encoding"), None, "{head}");
        }
        assert_eq!(header(&lab.origin.wait_noted(2)[0], "content-length"), Some("0"));
    });
}

const LARGE: usize = 64 << 20;

/// Bytes without a period, so that none can be lost or repeated unseen.
fn large() -> Vec<u8> {
    let mut state = 1u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).to_le_bytes()
    };
    (0..LARGE / 8).flat_map(next).collect()
}

#[test]
fn sixty_four_megabytes_both_ways() {
    let body = large();
    let sum = Sha256::digest(&body);
    let lab = Lab::new(
        "strict",
        Origin::http(|request| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
            [head.as_bytes(), &request.body].concat()
        }),
    );
    let mut client = lab.send(request("POST", &format!("Content-Length: {LARGE}\r\n")));
    let mut writer = Client { stream: client.stream.try_clone().unwrap(), ..Client::connect(lab.addr()) };
    std::thread::scope(|scope| {
        scope.spawn(|| writer.send(&body));
        let head = client.head();
        assert_eq!((status_of(&head), header(&head, "content-length")), (200, Some("67108864")));
        assert!(Sha256::digest(client.bytes(LARGE)) == sum, "other bytes came back");
    });
    let close = lab.egret.close(client.addr());
    assert_eq!((close["bytes_up"].as_u64(), close["bytes_down"].as_u64()), (Some(LARGE as u64), Some(LARGE as u64)));
}

#[test]
fn sixty_four_megabytes_through_a_tunnel() {
    let body = large();
    let lab = Lab::new("strict", Origin::echo());
    let hello = Hello::of("ok.test").bytes();
    let mut client = lab.tunnel("ok.test:443");
    client.send(&hello);
    assert_eq!(client.bytes(hello.len()), hello);
    let mut writer = Client { stream: client.stream.try_clone().unwrap(), ..Client::connect(lab.addr()) };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.send(&body);
            writer.finish();
        });
        assert!(client.rest() == (body.clone(), End::Eof), "other bytes came back");
    });
}

#[test]
fn connect_over_http_1_0() {
    Lab::both(Origin::echo, |lab| {
        for head in
            ["CONNECT ok.test:443 HTTP/1.0\r\n\r\n", "CONNECT ok.test:443 HTTP/1.0\r\nHost: ok.test:443\r\n\r\n"]
        {
            let mut client = lab.send(head);
            assert_eq!(status_of(&client.head()), 200);
            let hello = Hello::of("ok.test").bytes();
            client.send(&hello);
            assert_eq!(client.bytes(hello.len()), hello);
        }
        // Without keep-alive a refusal is the end.
        let mut client = lab.send("CONNECT evil.test:443 HTTP/1.0\r\n\r\n");
        assert_eq!(client.status(), lab.denied());
        assert_eq!(client.rest(), (Vec::new(), End::Eof));
    });
}

#[test]
fn an_ipv6_literal_and_an_ipv6_origin() {
    let Ok(probe) = std::net::TcpListener::bind("[::1]:0") else {
        return println!("skipped: there is no IPv6 loopback here");
    };
    drop(probe);
    let origin = Origin::start_on("[::1]:0", |mut stream, _| {
        let mut buffer = [0; 4096];
        while let Ok(1..) = stream.read(&mut buffer) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let port = origin.addr.port();
    let rules = [format!("--allow=tcp://[::1]:{port}"), "--allow=http://ok.test".to_owned()];
    let egret = Egret::start(&[&rules[..], &[format!("--connect-to=ok.test::[::1]:{port}")]].concat());
    let mut client = Client::tunnel(egret.addr, &format!("[::1]:{port}"));
    client.send("anything");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    let host = format!("[::1]:{port}");
    for (url, host) in [(format!("http://{host}/"), host.as_str()), ("http://ok.test/".to_owned(), "ok.test")] {
        let mut client = Client::send_to(egret.addr, get(&url, host));
        let verdict = egret.flows(client.addr(), 1)[0]["reason"].clone();
        assert_eq!(client.status(), 200, "{url}: {verdict}");
    }
    let (mut client, reply) = Client::socks(egret.addr, "::1", port);
    assert_eq!(reply, 0);
    client.send("anything");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
}

#[test]
fn connections_to_origins_are_kept() {
    Lab::both(Origin::http_ok, |lab| {
        let mut client = Client::connect(lab.addr());
        for _ in 0..100 {
            client.send(GET);
            assert_eq!(client.status(), 200);
        }
        assert_eq!((lab.origin.noted().len(), lab.origin.connections()), (100, 1));
        assert_eq!(lab.egret.flows(client.addr(), 100).len(), 100);
    });
}

/// A kept connection that the origin closed meanwhile is no failure of the next request.
#[test]
fn a_kept_connection_that_the_origin_closed() {
    let once = || {
        Origin::start(|mut stream, note| {
            let mut buffer = [0; 4096];
            if let Ok(read @ 1..) = stream.read(&mut buffer) {
                // The answer says nothing of the close that comes with it.
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                note.note(&buffer[..read]);
                let _ = stream.shutdown(Shutdown::Both);
            }
        })
    };
    Lab::both(once, |lab| {
        let mut client = Client::connect(lab.addr());
        for _ in 0..50 {
            client.send(GET);
            assert_eq!(client.status(), 200);
        }
        assert_eq!(lab.origin.wait_noted(50).len(), 50);
        client.send(request("POST", "Content-Length: 4\r\n") + "body");
        assert_eq!(client.status(), 200);
    });
}

#[test]
fn an_origin_that_closes_says_so_and_the_client_stays() {
    let lab = lab("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    let mut client = Client::connect(lab.addr());
    for _ in 0..3 {
        client.send(GET);
        let (head, _) = client.answer();
        assert_eq!((status_of(&head), header(&head, "connection")), (200, None), "{head}");
    }
    assert_eq!(lab.origin.connections(), 3);
}

/// The end of the body is the end of the origin's connection: the client gets it in chunks and stays.
#[test]
fn a_body_that_ends_with_its_connection() {
    for version in ["1.0", "1.1"] {
        let lab = lab(&format!("HTTP/{version} 200 OK\r\nConnection: close\r\n\r\nuntil the end"));
        let mut client = Client::connect(lab.addr());
        for _ in 0..2 {
            client.send(GET);
            let head = client.head();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert_eq!(header(&head, "transfer-encoding"), Some("chunked"), "{head}");
            assert_eq!(client.bytes(23), b"D\r\nuntil the end\r\n0\r\n\r\n");
        }
    }
}

#[test]
fn clients_of_http_1_0() {
    let lab = lab("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nplain\r\n0\r\n\r\n");
    for host in ["Host: ok.test\r\n", ""] {
        let mut client = lab.send(format!("GET http://ok.test/ HTTP/1.0\r\n{host}\r\n"));
        let (bytes, end) = client.rest();
        let answer = String::from_utf8(bytes).unwrap();
        assert!(answer.ends_with("\r\n\r\nplain"), "{answer}");
        assert_eq!((header(&answer, "transfer-encoding"), end), (None, End::Eof), "{answer}");
    }
    for head in lab.origin.wait_noted(2) {
        assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(&head, "host"), Some("ok.test"));
    }
}

#[test]
fn a_client_that_wants_to_close() {
    Lab::both(Origin::http_ok, |lab| {
        let mut client = lab.send(request("GET", "Connection: close\r\n"));
        let (head, body) = client.answer();
        assert_eq!((status_of(&head), body.as_str(), client.rest()), (200, "ok", (Vec::new(), End::Eof)));
        assert_eq!(header(&head, "connection").map(str::to_lowercase).as_deref(), Some("close"));
        let denied = "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n";
        let mut client = lab.send(denied);
        assert_eq!((client.status(), client.rest()), (lab.denied(), (Vec::new(), End::Eof)));
    });
}

#[test]
fn absolute_form_with_a_port() {
    let origin = Origin::http_ok();
    let port = origin.addr.port();
    let flags = [format!("--allow=http://ok.test:{port}"), format!("--resolve=ok.test:{port}:127.0.0.1")];
    let egret = Egret::start(&flags);
    let host = format!("ok.test:{port}");
    assert_eq!(Client::send_to(egret.addr, get(&format!("http://{host}/a/b?c=d"), &host)).status(), 200);
    let head = &origin.wait_noted(1)[0];
    assert!(head.starts_with("GET /a/b?c=d HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(head, "host"), Some(host.as_str()));
}

/// An origin that refuses an upload without reading it.
#[test]
fn an_early_answer_to_an_upload() {
    let refusing = || {
        Origin::start(|mut stream, note| {
            let mut buffer = [0; 1024];
            if let Ok(read @ 1..) = stream.read(&mut buffer) {
                note.note(&buffer[..read]);
                let lines = "Content-Length: 9\r\nConnection: close\r\n";
                let _ = stream.write_all(format!("HTTP/1.1 413 Payload Too Large\r\n{lines}\r\ntoo large").as_bytes());
                // Reads on for a while, as servers do that do not want to reset.
                while matches!(stream.read(&mut buffer), Ok(1..)) {}
            }
        })
    };
    Lab::both(refusing, |lab| {
        let mut client = lab.send(request("POST", "Content-Length: 10000000\r\n") + "the beginning");
        let (head, body) = client.answer();
        assert_eq!((status_of(&head), body.as_str()), (413, "too large"));
        assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule");
        // It may have been closed.
        client.try_send(&[b'x'; 4096]);
    });
}

#[test]
fn headers_of_one_hop_are_taken_off() {
    let hop = "Connection: X-Hop, close, x-other\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-Other: 2\r\nX-Kept: 3\r\n";
    let lab = lab(&format!("HTTP/1.1 200 OK\r\n{hop}Proxy-Connection: close\r\nContent-Length: 0\r\n\r\n"));
    let own = "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: gzip\r\nUpgrade: x\r\n";
    let mut client = lab.send(request("GET", &format!("{}{own}", hop.replace(", close", ""))));
    let answer = client.answer().0;
    let asked = &lab.origin.wait_noted(1)[0];
    for head in [&answer, asked] {
        for name in
            ["connection", "keep-alive", "x-hop", "x-other", "proxy-connection", "proxy-authorization", "te", "upgrade"]
        {
            assert_eq!(header(head, name), None, "{head}");
        }
        assert_eq!(header(head, "x-kept"), Some("3"), "{head}");
    }
    assert!(asked.starts_with("GET / HTTP/1.1\r\n"), "{asked}");
}

#[test]
fn x_forwarded_for_is_added_and_appended() {
    Lab::both(Origin::http_ok, |lab| {
        for lines in
            ["", "X-Forwarded-For: 192.0.2.9\r\n", "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 192.0.2.8\r\n"]
        {
            assert_eq!(lab.send(request("GET", lines)).status(), 200);
        }
        let noted = lab.origin.wait_noted(3);
        let sent: Vec<Option<&str>> = noted.iter().map(|head| header(head, "x-forwarded-for")).collect();
        let expected = ["127.0.0.1", "192.0.2.9, 127.0.0.1", "192.0.2.9, 192.0.2.8, 127.0.0.1"];
        assert_eq!(sent, expected.map(Some));
    });
}

/// An answer with its Date replaced, which has to be one.
fn dated(client: &mut Client) -> String {
    let (head, body) = client.answer();
    let date = header(&head, "date").expect("a date").to_owned();
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
    head.replace(&date, "*") + &body
}

const DENIED: &str = "Action: Deny. Reason: No rule matched. Proceeding with default action.";

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

#[test]
fn the_log_has_no_gaps() {
    let lab = Lab::new("strict", Origin::http_ok());
    for _ in 0..20 {
        assert_eq!(lab.send(GET).status(), 200);
        assert_eq!(lab.send(connect("evil.test:443")).status(), 403);
    }
    lab.egret.signal("TERM");
    let ended = poll(|| lab.egret.records(|record| record["kind"] == "end").pop());
    let counts = &ended.unwrap_or_else(|| panic!("no end record within {DEADLINE:?}"))["counts"];
    assert_eq!(
        (counts["allowed"].as_u64(), counts["denied"].as_u64(), counts["closed"].as_u64()),
        (Some(20), Some(20), Some(20))
    );
    let numbers: Vec<u64> = lab.egret.log().iter().filter_map(|record| record["seq"].as_u64()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<u64>>());
}
