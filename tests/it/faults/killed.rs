//! SIGKILL under load: what was denied is in the log, and the next start is as if nothing had been. That nothing is left
//! of `egret run` is in `run_held`.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{denied, reason_of, sequence};
use crate::support::command::{BINARY, egret};
use crate::support::egret::{Egret, NO_FLAGS};
use crate::support::gateway::Gateway;
use crate::support::hello::Hello;
use crate::support::netns::{HandOver, Net};
use crate::support::origin::{GREETING, Origin, greeter};
use crate::support::raw::{Client, End, connect};

/// A record waits 10 ms for others. The rest is for a machine that does other work.
const FLUSHED_AFTER: Duration = Duration::from_secs(1);

/// Names that were denied, each with the time of the answer.
fn load(egret: &Egret, number: usize, stop: &AtomicBool) -> Vec<(String, Instant)> {
    let mut denied = Vec::new();
    let mut client = Client::connect(egret.addr);
    while !stop.load(Ordering::Acquire) {
        let name = format!("n{}.c{number}.evil.test", denied.len());
        if !client.try_send(connect(&format!("{name}:443")).as_bytes()) || !client.rest_starts_with(b"HTTP/1.1 470 ") {
            break;
        }
        client.answer();
        denied.push((name, Instant::now()));
    }
    denied
}

/// Lines that are records, and those that are none.
fn lines(text: &str) -> (Vec<Value>, Vec<&str>) {
    let mut torn = Vec::new();
    let read = |line| match serde_json::from_str(line) {
        Ok(record) => Some(record),
        Err(_) => {
            torn.push(line);
            None
        }
    };
    (text.lines().filter_map(read).collect(), torn)
}

#[test]
fn no_denied_flow_is_missing_and_the_next_start_is_clean() {
    let origin = Origin::echo();
    let mut egret = Egret::start(&[format!("--allow=tcp://{}", origin.addr)]);
    let mut tunnel = Client::tunnel(egret.addr, &origin.addr.to_string());
    let stop = AtomicBool::new(false);
    let (denied_flows, killed) = thread::scope(|scope| {
        let loading: Vec<_> = (0..4)
            .map(|number| {
                scope.spawn({
                    let (egret, stop) = (&egret, &stop);
                    move || load(egret, number, stop)
                })
            })
            .collect();
        thread::park_timeout(Duration::from_millis(2500));
        let killed = Instant::now();
        crate::support::command::signal(egret.pid(), "KILL");
        // A client whose connection outlives the process would go on for ever.
        thread::park_timeout(Duration::from_millis(500));
        stop.store(true, Ordering::Release);
        (loading.into_iter().flat_map(|one| one.join().unwrap()).collect::<Vec<_>>(), killed)
    });
    egret.kill();
    assert_ne!(tunnel.rest().1, End::Silent, "its tunnels end with it");

    let text = fs::read_to_string(egret.path("log.json")).unwrap();
    let (records, torn) = lines(&text);
    assert!(torn.is_empty() || !text.ends_with('\n'), "{torn:?}");
    assert_eq!(sequence(&records), (0..records.len() as u64).collect::<Vec<u64>>());
    let logged: HashSet<&str> = records.iter().filter_map(|record| record["host"].as_str()).collect();
    let old = denied_flows.iter().filter(|(_, answered)| *answered + FLUSHED_AFTER <= killed);
    let missing: Vec<&String> =
        old.clone().map(|(name, _)| name).filter(|name| !logged.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{} of {}: {missing:?}", missing.len(), denied_flows.len());
    assert!(old.count() > 50, "under load: {}", denied_flows.len());

    // As where it was killed within a write.
    let mut log = OpenOptions::new().append(true).open(egret.path("log.json")).unwrap();
    log.write_all(b"{\"v\":1,\"kind\":\"fl").unwrap();
    let addr = egret.addr;
    egret.start_again(self::egret());
    assert_eq!(egret.addr, addr, "the same port");
    assert_eq!(denied(&egret, "again.evil.test"), 470);
    crate::support::eventually("it is logged", || {
        fs::read_to_string(egret.path("log.json")).unwrap().contains("again.evil.test").then_some(())
    });
    egret.signal("TERM");
    assert!(egret.wait().success(), "{}", egret.stderr());
    let text = fs::read_to_string(egret.path("log.json")).unwrap();
    let (all, torn) = lines(&text);
    assert_eq!(torn.last(), Some(&"{\"v\":1,\"kind\":\"fl"));
    let second: Vec<Value> = all.into_iter().filter(|record| record["run"] != records[0]["run"]).collect();
    let kinds: Vec<&str> = second.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!((kinds, sequence(&second)), (vec!["start", "flow", "end"], vec![0, 1, 2]));
    assert!(!egret.path("port").exists());
}

/// As a gateway: what it handed over goes nowhere until it is back, by the same command, and a clean end leaves nothing.
#[test]
fn a_gateway_leaves_rules_that_let_nothing_through() {
    for how in [HandOver::Tproxy, HandOver::Redirect] {
        let Some(net) = Net::new() else { return };
        let origin = net.origin("198.51.100.7:22", greeter);
        let mut gateway = Gateway::of(net, how, "", &["--allow=tcp://198.51.100.7:22", "--dns-server=192.0.2.99"]);
        let show = |gateway: &Gateway| {
            let script = "nft list ruleset; ip rule; ip -6 rule; ip route show table 17768; ip -6 route show table 17768; exit 0";
            let out = gateway.net.gateway.command("sh").args(["-c", script]).output().unwrap();
            String::from_utf8(out.stdout).unwrap()
        };
        let greeted = |gateway: &Gateway| {
            let mut client = gateway.net.connect("198.51.100.7:22");
            assert_eq!(client.bytes(GREETING.len()), GREETING);
        };
        greeted(&gateway);
        let rules = show(&gateway);
        gateway.egret.kill();
        assert!(show(&gateway).contains("table inet egret"), "{how:?}: they fail closed");
        let before = origin.connections();
        let through = gateway.net.client.enter(|| {
            let to = "198.51.100.7:22".parse().unwrap();
            std::net::TcpStream::connect_timeout(&to, Duration::from_millis(700)).is_ok()
        });
        assert_eq!((through, origin.connections()), (false, before), "{how:?}");
        gateway.egret.start_again(gateway.net.gateway.command(BINARY));
        assert_eq!(show(&gateway), rules, "{how:?}");
        greeted(&gateway);
        gateway.egret.signal("TERM");
        assert!(gateway.egret.wait().success(), "{}", gateway.egret.stderr());
        let after = show(&gateway);
        assert!(!after.contains("egret") && !after.contains("17768"), "{how:?}: {after}");
    }
}

/// Several starts one after the other, each killed before it has said that it is ready.
#[test]
fn killed_while_it_starts() {
    let mut egret = Egret::start(NO_FLAGS);
    egret.kill();
    for delay in [0, 5, 20, 60] {
        let mut command = self::egret();
        command.current_dir(egret.path("")).args([
            "serve",
            "--log",
            "log.json",
            "--admin",
            "off",
            "--port-file",
            "port",
        ]);
        command.arg(format!("--listen={}", egret.addr));
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        thread::park_timeout(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    egret.start_again(self::egret());
    assert_eq!(denied(&egret, "again.evil.test"), 470);
    assert_eq!(reason_of(&egret, "again.evil.test"), "not-allowed");
    let hello = Hello::of("evil.test").bytes();
    let mut garbage = Client::send_to(egret.addr, hello);
    assert_ne!(garbage.rest().1, End::Silent);
}
