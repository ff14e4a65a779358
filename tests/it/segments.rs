//! The same verdict, whatever segments and records it comes in: of readers, and of Egret itself by real sockets.

use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;

use egret::wire::{ParseError, client_hello, http_head, socks5};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::Value;

use super::support::hello::{Hello, alpn, ech, server_names};
use super::support::lab::Lab;
use super::support::origin::Origin;
use super::support::poll;
use super::support::raw::{Client, End, connect, get, socks_request};

const NAMES: [&str; 6] = ["ok.test", "evil.test", "OK.test.", "a.wild.test", "192.0.2.7", "x..test"];

/// Hellos as clients send them, and some that none should.
fn hello() -> impl Strategy<Value = Hello> {
    let named = select(NAMES.to_vec()).prop_map(Hello::of);
    let twice = Just(Hello::nameless().with(0, server_names(&[b"ok.test", b"evil.test"])));
    let again = Just(Hello::of("ok.test").with(0, server_names(&[b"evil.test"])));
    let plain = prop_oneof![6 => named, 1 => Just(Hello::nameless()), 1 => twice, 1 => again];
    (plain, 0..4_u8, 0..3_000_usize).prop_map(|(hello, more, padding)| match more {
        0 => hello,
        1 => hello.with(16, alpn(&[b"h2", b"http/1.1"])),
        2 => hello.with(0xfe0d, ech()),
        _ => hello.padded(padding),
    })
}

fn head() -> impl Strategy<Value = Vec<u8>> {
    let target = select(vec![
        "GET http://ok.test/ HTTP/1.1",
        "GET http://evil.test/ HTTP/1.1",
        "GET /x HTTP/1.1",
        "CONNECT ok.test:443 HTTP/1.1",
        "CONNECT evil.test:443 HTTP/1.1",
        "get http://ok.test/ HTTP/1.1",
        "GET http://ok.test/ HTTP/1.1 ",
        "GET http://ok.test/\x01 HTTP/1.1",
    ]);
    let field = select(vec![
        "Host: ok.test",
        "Host: evil.test",
        "Content-Length: 3",
        "Content-Length: 4",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "X: y\n",
        " folded",
        "Bad name: x",
        "Upgrade: websocket",
    ]);
    (target, vec(field, 0..4))
        .prop_map(|(target, fields)| format!("{target}\r\n{}\r\n\r\n", fields.join("\r\n")).into())
}

fn greeting() -> impl Strategy<Value = Vec<u8>> {
    let host = select(vec!["ok.test", "evil.test", "", "x y", "192.0.2.7"]);
    (vec(0..4_u8, 0..4), host, any::<u16>(), 0..4_u8, any::<u8>()).prop_map(|(methods, host, port, command, noise)| {
        let mut request = socks_request(host, port);
        if command == 0 {
            request[1] = noise;
        }
        if command == 1 {
            request[3] = noise;
        }
        [&[5, methods.len() as u8][..], &methods, &request].concat()
    })
}

/// Every prefix is incomplete, or read as the whole is.
fn assert_prefixes<'b, T: PartialEq + std::fmt::Debug, E: PartialEq + std::fmt::Debug>(
    bytes: &'b [u8],
    parse: impl Fn(&'b [u8]) -> Result<T, ParseError<E>>,
) -> Result<(), TestCaseError> {
    let whole = parse(bytes);
    for cut in 0..bytes.len() {
        let part = parse(&bytes[..cut]);
        prop_assert!(part == Err(ParseError::Incomplete) || part == whole, "{}: {:?}, {:?}", cut, part, whole);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hellos_are_read_alike_however_they_are_recorded(hello in hello(), size in 1..2_000_usize) {
        let whole = client_hello::parse(&hello.clone().records_of(1 << 14).bytes());
        let cut = hello.records_of(size).bytes();
        prop_assert_eq!(client_hello::parse(&cut), whole);
        assert_prefixes(&cut, client_hello::parse)?;
    }

    #[test]
    fn heads_are_read_alike_however_they_come(bytes in head()) {
        assert_prefixes(&bytes, http_head::parse)?;
    }

    #[test]
    fn greetings_are_read_alike_however_they_come(bytes in greeting()) {
        assert_prefixes(&bytes, socks5::greeting)?;
        assert_prefixes(&bytes[1..], socks5::user_password)?;
        if let Ok((_, length)) = socks5::greeting(&bytes) {
            assert_prefixes(&bytes[length..], socks5::request)?;
        }
    }
}

/// How long a segment has the wire for itself. Whether it has is not for the verdict to depend on.
const APART: Duration = Duration::from_millis(2);

/// Sends it in segments that end at these places.
fn send_cut(client: &mut Client, bytes: &[u8], cuts: &[Index]) {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.sort_unstable();
    let mut begin = 0;
    for end in ends.into_iter().chain([bytes.len()]) {
        // A verdict may fall before the last byte is sent.
        if end > begin && !client.try_send(&bytes[begin..end]) {
            return;
        }
        begin = end.max(begin);
        thread::park_timeout(APART);
    }
}

/// Waits for the end of a connection that says no more.
fn ended(mut client: Client) -> SocketAddr {
    let addr = client.addr();
    // It may be closed already.
    let _ = client.stream.shutdown(Shutdown::Write);
    // Whether the end is seen as one or as a reset is a race with what was sent behind a refusal.
    assert_ne!(client.rest().1, End::Silent);
    addr
}

/// What the log says of a connection, by now.
fn verdicts(lab: &Lab, addr: SocketAddr) -> Vec<String> {
    let keys = ["verdict", "reason", "via", "protocol", "host", "port", "sni", "rule"];
    let text = |record: &Value| keys.map(|key| record[key].to_string()).join(" ");
    lab.egret
        .records(|record| record["kind"] == "flow" && record["client"] == addr.to_string())
        .iter()
        .map(text)
        .collect()
}

/// The same when nothing was added for a while.
fn settled(lab: &Lab, addr: SocketAddr) -> Vec<String> {
    poll(|| {
        let before = verdicts(lab, addr);
        thread::park_timeout(Duration::from_millis(50));
        Some(before).filter(|before| !before.is_empty() && verdicts(lab, addr) == *before)
    })
    .unwrap_or_default()
}

/// Each case whole and cut, by every door that takes it.
fn check_cut<T: std::fmt::Debug>(
    cases: u32,
    lab: &Lab,
    what: impl Strategy<Value = T>,
    send: impl Fn(&T, &[Index]) -> Client,
) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let cuts = vec(any::<Index>(), 1..6);
    let checked = TestRunner::new(config).run(&(what, cuts), |(what, cuts)| {
        let whole = settled(lab, ended(send(&what, &[])));
        prop_assert!(!whole.is_empty(), "nothing is logged of {:?}", what);
        let addr = ended(send(&what, &cuts));
        // Nothing tells the end of what is logged of a connection.
        poll(|| (verdicts(lab, addr) == whole).then_some(()));
        prop_assert_eq!(verdicts(lab, addr), whole);
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}

/// Of each door and profile: some hundred connections in all.
const CASES: u32 = 12;

#[test]
fn hellos_get_the_same_verdict_however_they_come() {
    Lab::everywhere(Origin::echo, |lab| {
        check_cut(CASES, lab, (hello(), 1..500_usize), |(hello, size), cuts| {
            let mut client = lab.tunnel("ok.test:443");
            let size = if cuts.is_empty() { 1 << 14 } else { *size };
            send_cut(&mut client, &hello.clone().records_of(size).bytes(), cuts);
            client
        });
    });
}

#[test]
fn heads_get_the_same_verdict_however_they_come() {
    Lab::both(Origin::http_ok, |lab| {
        check_cut(CASES, lab, head(), |head, cuts| {
            let mut client = Client::connect(lab.addr());
            send_cut(&mut client, head, cuts);
            client
        });
    });
}

#[test]
fn greetings_get_the_same_verdict_however_they_come() {
    Lab::both(Origin::echo, |lab| {
        check_cut(CASES, lab, (greeting(), hello()), |(greeting, hello), cuts| {
            let mut client = Client::connect(lab.addr());
            send_cut(&mut client, &[greeting.as_slice(), &hello.bytes()].concat(), cuts);
            client
        });
    });
}

#[test]
fn a_whole_conversation_gets_the_same_verdicts_however_it_comes() {
    let first = [
        [connect("evil.test:443").into_bytes(), connect("ok.test:443").into_bytes(), Hello::of("ok.test").bytes()]
            .concat(),
        [connect("ok.test:443").into_bytes(), Hello::of("evil.test").bytes()].concat(),
        [connect("ok.test:80").into_bytes(), get("/", "ok.test").into_bytes(), get("/", "evil.test").into_bytes()]
            .concat(),
        [get("http://ok.test/", "ok.test"), get("http://evil.test/", "evil.test")].concat().into_bytes(),
    ];
    Lab::both(Origin::http_ok, |lab| {
        check_cut(CASES, lab, select(first.to_vec()), |bytes, cuts| {
            let mut client = Client::connect(lab.addr());
            send_cut(&mut client, bytes, cuts);
            client
        });
    });
}
