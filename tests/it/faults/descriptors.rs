//! All descriptors are taken: flows go on, new ones fail or wait, nothing spins, and the admin server says so.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::processor_time;
use crate::support::egret::Egret;
use crate::support::eventually;
use crate::support::origin::Origin;
use crate::support::raw::{Client, get};
use crate::support::upstream::Upstream;

/// Each connection may keep as many to origins.
const HOSTS: [&str; 4] = ["a.test", "b.test", "c.test", "d.test"];

/// What is left after some tunnel, held.
struct Exhausted {
    egret: Egret,
    tunnel: Client,
    held: Vec<Client>,
    _origins: [Origin; 2],
}

impl Exhausted {
    /// Connections are counted as two descriptors each; these take five.
    fn new(flags: &[String]) -> Exhausted {
        let (echo, http) = (Origin::echo(), Origin::http_ok());
        let mut all = vec![format!("--allow=tcp://{}", echo.addr)];
        for host in [&HOSTS[..], &["e.test"]].concat() {
            all.extend([format!("--allow=http://{host}"), format!("--connect-to={host}:80:{}", http.addr)]);
        }
        all.extend_from_slice(flags);
        let egret = Egret::with_descriptors(128, &all);
        let tunnel = Client::tunnel(egret.addr, &echo.addr.to_string());
        let mut exhausted = Exhausted { egret, tunnel, held: Vec::new(), _origins: [echo, http] };
        exhausted.exhaust();
        exhausted
    }

    fn exhaust(&mut self) {
        'held: for _ in 0..30 {
            let mut client = Client::connect(self.egret.addr);
            for host in HOSTS {
                client.send(get(&format!("http://{host}/"), host));
                // One that is not accepted is not waited for.
                if client.is_silent_for(Duration::from_secs(1)) {
                    self.held.push(client);
                    break 'held;
                }
                client.status();
            }
            self.held.push(client);
        }
        let said = "cannot accept connections for now";
        eventually("it has no descriptor left", || self.egret.stderr().contains(said).then_some(()));
        assert!(self.egret.descriptors() >= 128, "{}", self.egret.descriptors());
    }
}

#[test]
fn flows_go_on_and_new_ones_wait() {
    let mut exhausted = Exhausted::new(&[]);
    let used = processor_time(&exhausted.egret);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(1) {
        exhausted.tunnel.send("still here");
        assert_eq!(exhausted.tunnel.bytes(10), b"still here");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let used = processor_time(&exhausted.egret) - used;
    // A loop that waits for nothing would have used all of them, on two cores.
    assert!(used < since.elapsed() / 3, "{used:?} in {:?}", since.elapsed());
    // Whoever looks what is wrong is answered, more than once.
    for _ in 0..3 {
        assert_eq!(exhausted.egret.get("/readyz").status, 200);
    }
    // A flow for which there is no descriptor fails, is counted and logged.
    let failures = || exhausted.egret.metric("egret_connect_failures_total");
    let before = failures();
    let mut another = exhausted.held.remove(0);
    another.send(get("http://e.test/", "e.test"));
    assert_eq!(another.status(), 502);
    assert_eq!(failures(), before + 1);
    let failed = |it: &Value| it["kind"] == "flow" && it["host"] == "e.test";
    let flow = exhausted.egret.records(failed).remove(0)["flow"].clone();
    let closed = |it: &Value| it["kind"] == "close" && it["flow"] == flow;
    let close = eventually("it is closed", || exhausted.egret.records(closed).pop());
    assert_eq!(close["reason"], "upstream-unreachable");
    let mut waiting = exhausted.held.pop().unwrap();
    exhausted.held.clear();
    assert_eq!(waiting.status(), 200, "who waited is served");
    let mut late = Client::send_to(exhausted.egret.addr, get("http://a.test/", "a.test"));
    assert_eq!(late.status(), 200);
    exhausted.tunnel.send("still here");
    assert_eq!(exhausted.tunnel.bytes(10), b"still here");
    eventually("the descriptors are given back", || (exhausted.egret.descriptors() < 64).then_some(()));
}

/// That Egret has no descriptor to ask with says nothing of whom it would ask.
#[test]
fn name_servers_are_not_blamed() {
    let origin = Origin::http_ok();
    let upstream = Upstream::with(&["127.0.0.1"], 0);
    let there = format!("--connect-to=asked.test:80:there.test:{}", origin.addr.port());
    let mut exhausted = Exhausted::new(&[upstream.flag(), "--allow=http://asked.test".to_owned(), there]);
    let mut client = exhausted.held.swap_remove(0);
    client.send(get("http://asked.test/", "asked.test"));
    assert_ne!(client.status(), 200);
    assert_eq!(exhausted.egret.metric("egret_dns_failures_total"), 1, "{}", exhausted.egret.stderr());
    exhausted.held.clear();
    eventually("the descriptors are given back", || (exhausted.egret.descriptors() < 64).then_some(()));
    client.send(get("http://asked.test/", "asked.test"));
    assert_eq!(client.status(), 200);
    // Who is thought to be gone is asked every five seconds.
    std::thread::park_timeout(Duration::from_millis(5_500));
    assert_eq!(upstream.times_asked(". NS"), 0, "it was asked whether it is back");
}
