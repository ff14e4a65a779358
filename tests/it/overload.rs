//! More than Egret can take: who asks too much is refused, counted and logged, the others work on, and memory stays
//! within what the configuration allows. The figures to it are `egret-bench overload`'s.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::time::Duration;

use super::support::egret::Egret;
use super::support::eventually;
use super::support::gateway::{Gateway, NOBODY};
use super::support::hello::Hello;
use super::support::lab::Lab;
use super::support::netns::HandOver;
use super::support::origin::{GREETING, Origin};
use super::support::raw::{Client, connect, get};

/// Of this machine too, and not that of the others.
const ATTACKER: &str = "127.0.0.2";

fn attacker(lab: &Lab) -> Client {
    let from: IpAddr = ATTACKER.parse().unwrap();
    Client::connect_from(Some(from), 0, lab.addr()).1.unwrap()
}

/// A tunnel in which half a hello was sent; `None` where it was refused.
fn half_open(lab: &Lab) -> Option<Client> {
    let mut client = attacker(lab);
    let granted = client.try_send(connect("ok.test:443").as_bytes()) && client.rest_starts_with(b"HTTP/1.1 200");
    granted.then(|| {
        client.head();
        client.try_send(&Hello::of("ok.test").bytes()[..40]);
        client
    })
}

fn assert_served(lab: &Lab) {
    let mut client = lab.send(get("http://ok.test/", "ok.test"));
    assert_eq!(client.status(), 200);
}

/// How often this was the reason, by the metrics.
fn counted(egret: &Egret, reason: &str) -> usize {
    let page = egret.get("/metrics").body;
    let lines = page.lines().filter(|line| line.starts_with("egret_flows_total{"));
    let mine = lines.filter(|line| line.contains(&format!("reason=\"{reason}\"")));
    mine.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

fn assert_told(egret: &Egret, reason: &str, times: usize) {
    let logged = || egret.records(|record| record["kind"] == "flow" && record["reason"] == reason).len();
    eventually(&format!("{times} times {reason} in the log"), || (logged() >= times).then_some(()));
    assert_eq!((logged(), counted(egret, reason)), (times, times), "{reason}");
}

#[test]
fn whoever_takes_all_places_leaves_a_tenth_to_others() {
    let lab = Lab::with_config("strict", Origin::http_ok(), "[limits]\nconnections = 40\n");
    let held: Vec<Client> = (0..36).map(|_| half_open(&lab).expect("a place")).collect();
    for _ in 0..30 {
        assert!(half_open(&lab).is_none(), "more than nine tenths");
        assert_served(&lab);
    }
    assert_told(&lab.egret, "limit-client", 30);
    assert_eq!(counted(&lab.egret, "limit-connections"), 0);
    drop(held);
    eventually("there is a place again", || half_open(&lab));
}

/// As the gateway too, where there is no word for it but a reset.
#[test]
fn whoever_takes_all_places_of_a_gateway() {
    let config = "[limits]\nconnections = 20\n";
    let Some(Gateway { egret, net, .. }) = Gateway::start(HandOver::Tproxy, config, &["--allow=ok.test"]) else {
        return;
    };
    let to = format!("{NOBODY}:80");
    let held: Vec<Client> = (0..18).map(|_| net.send(&to, "GET / HT")).collect();
    // Two cores accept, in no order.
    let all = || egret.get("/metrics").body.contains("egret_connections 18\n").then_some(());
    net.gateway.enter(|| eventually("all have their places", all));
    assert_eq!(egret.verdict(net.assert_reset(&to, "")), "deny limit-client");
    drop(held);
}

#[test]
fn a_cap_that_was_set_is_the_cap() {
    let config = "[limits]\nconnections = 10\nconnections_per_client = 10\n";
    let lab = Lab::with_config("strict", Origin::http_ok(), config);
    let held: Vec<Client> = (0..10).map(|_| half_open(&lab).expect("a place")).collect();
    assert!(half_open(&lab).is_none());
    assert_told(&lab.egret, "limit-connections", 1);
    drop(held);
}

/// Four hundred at once for forty places: each is served or refused, none is forgotten, and the log says which.
#[test]
fn ten_times_as_many_as_there_are_places() {
    const CLIENTS: usize = 400;
    let lab =
        Lab::with_config("strict", Origin::http_ok(), "[limits]\nconnections = 40\nconnections_per_client = 40\n");
    let request = get("http://ok.test/", "ok.test");
    let served = std::thread::scope(|scope| {
        let one = || {
            let mut client = Client::connect(lab.addr());
            let is_served = client.try_send(request.as_bytes()) && client.rest_starts_with(b"HTTP/1.1 200");
            // Places are short because they are kept.
            std::thread::sleep(Duration::from_millis(100));
            is_served
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(one)).collect();
        clients.into_iter().map(|client| usize::from(client.join().unwrap())).sum::<usize>()
    });
    let is_decided = |record: &serde_json::Value| record["kind"] == "flow";
    eventually("all are in the log", || (lab.egret.records(is_decided).len() >= CLIENTS).then_some(()));
    let allowed = lab.egret.records(|record| is_decided(record) && record["verdict"] == "allow").len();
    assert_eq!(allowed, served);
    assert_told(&lab.egret, "limit-connections", CLIENTS - served);
    eventually("places are given back", || {
        let mut client = lab.send(&request);
        client.rest_starts_with(b"HTTP/1.1 200").then_some(())
    });
}

const SLOW: &str = "[limits]\nhead_bytes = 16384\nhello_bytes = 16384\n";
/// Of each kind.
const MANY: usize = 100;

/// What a connection may take in each phase, KiB: `docs/reliability.md`.
const HEAD: usize = 3 * 16;
const HELLO: usize = 6 * 16;
const TUNNEL: usize = 2 * 128;
const HTTP: usize = 6 * 128;
/// In whatever phase.
const STATE: usize = 32;

/// A flood for whoever asks for a tunnel, an answer for whoever asks for a page.
fn generous() -> Origin {
    Origin::start(|mut stream, _| {
        let mut first = [0; 1024];
        match stream.read(&mut first) {
            Ok(read @ 1..) if first[..read].starts_with(b"GET") => {
                let body = vec![b'x'; 16 << 20];
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                // Nobody reads it all.
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
                let _ = stream.read(&mut first);
            }
            Ok(1..) => while stream.write_all(&GREETING.repeat(1000)).is_ok() {},
            _ => {}
        }
    })
}

fn resident_kib(egret: &Egret) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", egret.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Slow clients of each kind, each as large as it may be, while another one works.
#[test]
fn slow_clients_take_no_more_than_the_configuration_allows() {
    let head = format!("GET http://ok.test/ HTTP/1.1\r\nX: {}", "a".repeat(16_000));
    let body = "POST http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 9\r\n\r\nhalf";
    let hello = Hello::of("ok.test").padded(16_000).records_of(6).bytes();
    let (whole, request) = (Hello::of("ok.test").bytes(), get("http://ok.test/", "ok.test"));
    let kinds: [(&str, usize, Option<&str>, &[u8]); 5] = [
        ("heads", HEAD, None, head.as_bytes()),
        ("hellos", HELLO, Some("ok.test:443"), &hello[..hello.len() - 3000]),
        ("bodies", HTTP, None, body.as_bytes()),
        ("tunnels that are not read", TUNNEL, Some("ok.test:443"), &whole),
        ("answers that are not read", HTTP, None, request.as_bytes()),
    ];
    for (what, most, tunnel, bytes) in kinds {
        let lab = Lab::with_config("strict", generous(), SLOW);
        let ask = || {
            let mut client = Client::send_to(lab.addr(), tunnel.map(connect).unwrap_or_default());
            if tunnel.is_some() {
                client.head();
            }
            client.try_send(bytes);
            client
        };
        drop(ask());
        let before = resident_kib(&lab.egret);
        let held: Vec<Client> = (0..MANY).map(|_| ask()).collect();
        // For what is not read to come as far as it does.
        std::thread::sleep(Duration::from_secs(1));
        let mut other = lab.send(get("http://ok.test/", "ok.test"));
        assert!(other.rest_starts_with(b"HTTP/1.1 200"), "{what} keep others out");
        let took = resident_kib(&lab.egret).saturating_sub(before) / MANY;
        println!("{what}: {took} KiB each, at most {}", most + STATE);
        assert!(took <= most + STATE, "{what}: {took} KiB each");
        drop(held);
    }
}
