//! Adversarial cases for which a gateway is needed: addresses that the client dials itself, and names in what it says to
//! an address that means nothing. What hellos and requests have in common by any way in is in the other files of the
//! kind, with the same numbers.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use super::adversarial_addr::{INTERNAL, LEADS_INSIDE, PRIVATE, denied};
use super::support::dns::NameServer;
use super::support::gateway::{Gateway, NOBODY};
use super::support::hello::Hello;
use super::support::lab::PROFILES;
use super::support::netns::{HandOver, Net};
use super::support::origin::{Origin, echo, http_ok};
use super::support::raw::{connect, get, status_of};

fn to(port: u16) -> String {
    format!("{NOBODY}:{port}")
}

/// Those that a client's kernel sends nobody, or a router's takes from nobody.
const NEVER_SENT: &[&str] = &[
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[fe80::1]",
    "[fe80::5efe:a9fe:a9fe]",
    "[ff02::1]",
];

/// Dialled by the client, under a rule that spans the world. Rules of Egret's own would keep some of it from it.
#[test]
fn case_31_internal_addresses_by_the_gateway() {
    for profile in PROFILES {
        let Some(net) = Net::new() else { return };
        net.hand_over(HandOver::Tproxy);
        let flags = ["--allow=tcp://*:*", "--allow=tcp://[::/0]:*", "--gateway-rules=leave", "--profile", profile];
        let gateway = Gateway::of(net, HandOver::Tproxy, "", &flags);
        for host in INTERNAL.iter().filter(|host| !NEVER_SENT.contains(host)) {
            for port in [22, 80, 443] {
                let to = format!("{host}:{port}");
                let (client, _connected) = gateway.net.try_connect(&to);
                assert_eq!(gateway.egret.verdict(client), "deny internal-address", "{profile} {to}");
            }
        }
    }
}

/// The same as a name of its own, in a request to anywhere.
#[test]
fn case_31_internal_addresses_in_the_host_header() {
    for profile in PROFILES {
        let flags = ["--allow=https://ok.test", "--profile", profile];
        let Some(gateway) = Gateway::start(HandOver::Tproxy, "", &flags) else { return };
        for host in INTERNAL {
            let mut client = gateway.net.send(&format!("{NOBODY}:80"), get("/", host));
            assert_eq!(client.status(), denied(profile), "{host}");
            assert_eq!(gateway.egret.verdict(client.addr()), "deny internal-address", "{host}");
        }
    }
}

/// The same names by the gateway, whatever the client dials.
#[test]
fn case_32_a_permitted_name_that_leads_inside_by_the_gateway() {
    for profile in PROFILES {
        let Some(net) = Net::new() else { return };
        let address = Arc::new(Mutex::new(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let told = address.clone();
        let names = net.gateway.enter(|| NameServer::start(move |_, _| vec![*told.lock().unwrap()]));
        let server = format!("--dns-server={}", names.addr);
        let flags = ["--allow=https://*.ok.test", "--allow=http://*.ok.test", &server, "--profile", profile];
        let gateway = Gateway::of(net, HandOver::Tproxy, "", &flags);
        let inside = gateway.net.gateway.enter(|| Origin::start_on("127.0.0.1:443", echo));
        let strict: &[&str] = if profile == "strict" { PRIVATE } else { &[] };
        for (number, addr) in LEADS_INSIDE.iter().chain(strict).enumerate() {
            *address.lock().unwrap() = addr.parse().unwrap();
            // A name of its own: that another one has no address of a family is remembered for a while.
            let name = format!("n{number}.ok.test");
            gateway.assert_closed(&format!("{NOBODY}:443"), Hello::of(&name).bytes(), "deny internal-address");
            let mut client = gateway.net.send(&format!("{NOBODY}:80"), get("/", &name));
            assert_eq!(client.status(), denied(profile), "{addr}");
            assert_eq!(gateway.egret.verdict(client.addr()), "deny internal-address", "{addr}");
        }
        assert_eq!(inside.connections(), 0);
    }
}

/// The address that was judged is the one that is dialled, also where DNS changes its mind.
#[test]
fn case_33_rebinding_by_the_gateway() {
    let Some(net) = Net::new() else { return };
    let names = net.gateway.enter(|| {
        NameServer::start(|_, times| {
            let first = Ipv4Addr::new(198, 51, 100, 8);
            vec![if times == 1 { first } else { Ipv4Addr::LOCALHOST }.into()]
        })
    });
    let server = format!("--dns-server={}", names.addr);
    let flags = ["--allow=https://ok.test", "--workers=1", &server];
    let gateway = Gateway::of(net, HandOver::Tproxy, "", &flags);
    let origin = gateway.net.origin("198.51.100.8:443", echo);
    let inside = gateway.net.gateway.enter(|| Origin::start_on("127.0.0.1:443", echo));
    let hello = Hello::of("ok.test").bytes();
    let mut client = gateway.net.send(&to(443), &hello);
    assert_eq!(client.bytes(hello.len()), hello);
    assert_eq!(names.asked().iter().filter(|asked| *asked == "ok.test A").count(), 1);
    gateway.assert_closed(&to(443), &hello, "deny internal-address");
    assert_eq!((origin.connections(), inside.connections()), (1, 0));
}

/// A protocol that the rule for this name and port does not allow, on a port that is looked into.
#[test]
fn another_protocol_than_the_rule_wants() {
    let rules = ["--allow=https://ok.test", "--allow=http://ok.test", "--connect-to=::198.51.100.7:80"];
    for profile in PROFILES {
        Gateway::both("", &[&rules[..], &["--profile", profile]].concat(), |gateway| {
            let origin = gateway.net.origin("198.51.100.7:80", http_ok());
            gateway.assert_closed(&to(80), Hello::of("ok.test").bytes(), "deny proto-not-allowed");
            let mut client = gateway.net.send(&to(443), get("/", "ok.test:443"));
            assert_eq!(client.status(), denied(profile));
            assert_eq!(gateway.egret.verdict(client.addr()), "deny proto-not-allowed");
            gateway.assert_closed(&to(443), get("/", "ok.test"), "deny host-port-mismatch");
            // A gateway is no proxy.
            let mut client = gateway.net.send(&to(443), connect("ok.test:443"));
            assert_eq!((client.status(), gateway.egret.verdict(client.addr()).as_str()), (400, "deny bad-request"));
            gateway.assert_closed(&to(80), [5, 1, 0], "deny not-tls");
            assert_eq!(origin.connections(), 0);
        });
    }
}

/// A client that leaves in the middle of a hello.
#[test]
fn a_client_that_leaves() {
    Gateway::both("", &["--allow=https://ok.test"], |gateway| {
        let hello = Hello::of("ok.test").bytes();
        for first in [1, 60, hello.len() - 1] {
            let mut client = gateway.net.send(&to(443), &hello[..first]);
            client.finish();
            gateway.assert_ends(&mut client, "deny client-gone");
        }
    });
}

/// Through a permitted name, a gateway could be made to dial itself for ever.
#[test]
fn a_name_that_leads_to_the_gateway() {
    let rules = ["--allow=https://self.test:3129", "--allow=http://self.test:3129"];
    for addr in ["192.0.2.1", "198.51.100.1", "127.0.0.1", "[2001:db8:1::1]", "[::1]", "0.0.0.0"] {
        let resolve = format!("--resolve=self.test:{addr}");
        let flags = [&rules[..], &[&resolve]].concat();
        let Some(gateway) = Gateway::start(HandOver::Redirect, "", &flags) else { return };
        gateway.assert_closed(&to(3129), Hello::of("self.test").bytes(), "deny loop");
        let (head, _) = gateway.net.send(&to(3129), get("/", "self.test:3129")).answer();
        assert_eq!(status_of(&head), 470, "{addr}");
    }
}
