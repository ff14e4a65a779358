//! What HTTP looks like behind Azure Firewall, where `proxy.rewrite` and `proxy.forwarded_for` ask for it.

use std::io::Write;
use std::process::{Command, Stdio};

use super::support::egret::Egret;
use super::support::free::free_port;
use super::support::lab::Lab;
use super::support::origin::{Origin, Request};
use super::support::raw::{Client, End, get, header};

const AZURE: &str = "[proxy]\nrewrite = \"azure\"\n";

/// `hello, client` and a newline.
const PACKED: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 203, 72, 205, 201, 201, 215, 81, 72, 206, 201, 76, 205, 43, 225, 2, 0, 109, 208,
    87, 3, 14, 0, 0, 0,
];

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// As nginx does: packed for who asks for it.
fn packing(request: &Request) -> Vec<u8> {
    let headers = "Server: nginx\r\nDate: Mon, 12 May 2025 08:42:15 GMT\r\nETag: W/\"1\"\r\n";
    match request.header("accept-encoding") {
        Some(encoding) if encoding.contains("gzip") => {
            answer(&format!("{headers}Content-Encoding: gzip\r\nContent-Type: text/html\r\n"), PACKED)
        }
        _ => answer(&format!("{headers}Content-Type: text/html\r\nAccept-Ranges: bytes\r\n"), b"hello, client\n"),
    }
}

fn exchange(config: &str, origin: Origin, request: &str) -> (String, Vec<u8>, String) {
    let lab = Lab::with_config("azure", origin, config);
    let mut client = lab.send(request);
    client.finish();
    let head = client.head();
    let (body, _) = client.rest();
    (head, body, lab.origin.wait_noted(1).remove(0))
}

#[test]
fn a_request_is_written_as_it_was_observed() {
    let request = "GET http://ok.test/index.html HTTP/1.1\r\nAccept: */*\r\nX-Zone: 1\r\nB: 2\r\nHost: ok.test\r\n\
                   User-Agent: curl/8.5.0\r\n\r\n";
    let (_, _, sent) = exchange(AZURE, Origin::http(packing), request);
    assert_eq!(
        sent,
        "GET /index.html HTTP/1.1\r\nHost: ok.test\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nB: 2\r\n\
         X-Forwarded-For: 127.0.0.1\r\nX-Zone: 1\r\nAccept-Encoding: gzip\r\n\r\n"
    );
}

#[test]
fn an_answer_comes_back_unpacked_and_sorted() {
    let (head, body, _) = exchange(AZURE, Origin::http(packing), &get("http://ok.test/", "ok.test"));
    assert_eq!(
        head,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nDate: Mon, 12 May 2025 08:42:15 GMT\r\nEtag: W/\"1\"\r\n\
         Server: nginx\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    assert_eq!(body, b"E\r\nhello, client\n\r\n0\r\n\r\n");
}

/// What was not packed keeps its length.
#[test]
fn an_answer_that_was_not_packed_is_only_sorted() {
    let origin = Origin::http(|_| answer("Vary: a\r\nDate: x\r\nConnection: keep-alive\r\nAllow: b\r\n", b"plain"));
    let (head, body, _) = exchange(AZURE, origin, &get("http://ok.test/", "ok.test"));
    assert_eq!(head, "HTTP/1.1 200 OK\r\nAllow: b\r\nContent-Length: 5\r\nDate: x\r\nVary: a\r\n\r\n");
    assert_eq!(body, b"plain");
}

#[test]
fn who_asks_for_an_encoding_gets_it() {
    let asks = |line: &str| format!("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n{line}\r\n\r\n");
    let (head, body, sent) = exchange(AZURE, Origin::http(packing), &asks("Accept-Encoding: gzip, br"));
    assert_eq!(header(&sent, "accept-encoding"), Some("gzip, br"));
    assert_eq!((header(&head, "content-encoding"), body.as_slice()), (Some("gzip"), PACKED));
    for line in ["Accept-Encoding: identity", "Range: bytes=0-3"] {
        let (head, body, sent) = exchange(AZURE, Origin::http(packing), &asks(line));
        assert!(!sent.contains("gzip"), "{sent}");
        assert_eq!((header(&head, "content-encoding"), body.as_slice()), (None, &b"hello, client\n"[..]));
    }
}

/// What has no body is not unpacked, whatever it says of one; the coding's name is of no letter case.
#[test]
fn answers_without_a_body_stay_as_they_are() {
    for status in ["204 No Content", "304 Not Modified"] {
        let origin = Origin::http(move |_| {
            format!("HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\nEtag: \"1\"\r\n\r\n").into_bytes()
        });
        let (head, body, _) = exchange(AZURE, origin, &get("http://ok.test/", "ok.test"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\n")), "{head}");
        assert!(!head.contains("chunked") && body.is_empty(), "{head} {body:?}");
    }
    let origin = Origin::http(|_| answer("Content-Encoding: GZip\r\n", PACKED));
    let (head, body, _) = exchange(AZURE, origin, &get("http://ok.test/", "ok.test"));
    assert_eq!((header(&head, "content-encoding"), body.as_slice()), (None, &b"E\r\nhello, client\n\r\n0\r\n\r\n"[..]));
}

#[test]
fn nothing_of_it_happens_unasked() {
    let (head, body, sent) = exchange("", Origin::http(packing), &get("http://ok.test/", "ok.test"));
    assert_eq!(header(&sent, "accept-encoding"), None);
    assert!(head.find("Server").unwrap() < head.find("Date").unwrap(), "{head}");
    assert_eq!(body, b"hello, client\n");
}

/// A body of a thousand times its size comes through whole, and one that is no gzip is cut.
#[test]
fn large_and_broken_bodies() {
    let plain = vec![b'a'; 8 << 20];
    let mut gzip = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let feed = std::thread::spawn({
        let plain = plain.clone();
        move || input.write_all(&plain)
    });
    let packed = gzip.wait_with_output().unwrap().stdout;
    feed.join().unwrap().unwrap();
    let origin = Origin::http(move |_| answer("Content-Encoding: gzip\r\n", &packed));
    let lab = Lab::with_config("azure", origin, AZURE);
    let mut client: Client = lab.send("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nConnection: close\r\n\r\n");
    assert!(client.head().contains("chunked"));
    let (chunks, end) = client.rest();
    assert_eq!(end, End::Eof);
    // The sizes of chunks are written in capitals.
    assert_eq!(chunks.iter().filter(|byte| **byte == b'a').count(), plain.len());
    assert!(chunks.ends_with(b"0\r\n\r\n"));

    let broken = Origin::http(|_| answer("Content-Encoding: gzip\r\n", &PACKED[..PACKED.len() - 9]));
    let lab = Lab::with_config("azure", broken, AZURE);
    let mut client = lab.send(get("http://ok.test/", "ok.test"));
    client.finish();
    assert!(!client.rest().0.ends_with(b"0\r\n\r\n"));
}

#[test]
fn x_forwarded_for_in_both_documented_ways() {
    for (config, expected) in [("", "192.0.2.9, 127.0.0.1"), ("[proxy]\nforwarded_for = \"replace\"\n", "127.0.0.1")] {
        let request = "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n";
        let (_, _, sent) = exchange(config, Origin::http_ok(), request);
        assert_eq!(header(&sent, "x-forwarded-for"), Some(expected), "{config}");
    }
}

/// In place of the client's own, on what that rule allows alone. Reserved names are left as they are.
#[test]
fn a_rule_inserts_headers() {
    let config = "\
rule_collection_group = [{ name = \"g\", priority = 100, rule_collection = [
    { name = \"c\", priority = 100, type = \"application\", action = \"allow\", rule = [
        { name = \"tenants\", protocols = \"Http:80\", target_fqdns = \"ok.test\", http_headers = [
            { name = \"Restrict-Access-To-Tenants\", value = \"contoso.com\" },
            { name = \"Authorization\", value = \"Basic eDp5\" } ] },
        { name = \"other\", protocols = \"Http:80\", target_fqdns = \"other.test\" },
    ] },
] }]
";
    let origin = Origin::http_ok();
    let egret = Egret::with_config(config, &[format!("--connect-to=::{}", origin.addr)]);
    for (host, tenants) in [("ok.test", "contoso.com"), ("other.test", "evil.test")] {
        let request = format!(
            "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nrestrict-access-to-tenants: evil.test\r\n\
             Authorization: mine\r\n\r\n"
        );
        assert_eq!(Client::send_to(egret.addr, request).status(), 200);
        let noted = origin.noted();
        let sent = String::from_utf8_lossy(&noted[noted.len() - 1]);
        assert_eq!(header(&sent, "restrict-access-to-tenants"), Some(tenants), "{sent}");
        assert_eq!(sent.to_ascii_lowercase().matches("restrict-access").count(), 1, "{sent}");
        assert_eq!(header(&sent, "authorization"), Some("mine"), "{sent}");
    }
}

/// The firewall's explicit proxy has ports in its policy: Egret listens there, unless it is told to elsewhere.
#[test]
fn ports_of_a_policys_explicit_proxy() {
    let ports = [free_port(), free_port()];
    let config = format!(
        "# Without a flag to listen elsewhere.\n[settings.explicit_proxy]\nenabled = true\nhttp_port = {}\n\
         https_port = {}\n",
        ports[0], ports[1]
    );
    let egret = Egret::with_config(&config, &["--allow=https://ok.test"]);
    for port in ports {
        let mut client = Client::send_to(([127, 0, 0, 1], port).into(), get("http://evil.test/", "evil.test"));
        assert_eq!(client.status(), 470);
        assert_eq!(egret.verdict(client.addr()), "deny not-allowed");
    }
}
