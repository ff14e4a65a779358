//! Adversarial cases about addresses and names: where a permitted flow must not lead. The numbers of the cases run
//! through all these files; those that are missing concern other modes than the explicit one and the gateway.

use std::net::{Ipv4Addr, SocketAddr};

use super::support::dns::NameServer;
use super::support::egret::Egret;
use super::support::free::free_port;
use super::support::hello::Hello;
use super::support::lab::PROFILES;
use super::support::origin::Origin;
use super::support::raw::{Client, End, connect, get, status_of};

/// Every way of writing an address that leads inside, as it stands in a URI.
pub(super) const INTERNAL: &[&str] = &[
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "168.63.129.16",
    "192.0.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:0:169.254.169.254]",
    "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::a9fe:a9fe]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[0064:ff9b:0:0:0:0:a9fe:a9fe]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::a9fe:a9fe]",
    "[64:ff9b:1:a9fe:a9:fe00::]",
    "[2002:a9fe:a9fe::]",
    "[2002:7f00:1::1]",
    "[2001:0:1:2:3:4:5601:5601]",
    "[2001:0:1:2:3:4:80ff:fffe]",
    "[fe80::1]",
    "[fe80::5efe:a9fe:a9fe]",
    "[ff02::1]",
    "[fd00:ec2::254]",
];

pub(super) fn denied(profile: &str) -> u16 {
    if profile == "azure" { 470 } else { 403 }
}

/// By CONNECT, by HTTP and by SOCKS5, each denied for this reason.
fn check_everywhere(egret: &Egret, profile: &str, host: &str, reason: &str) {
    let verdict = format!("deny {reason}");
    let url = format!("http://{host}/");
    for request in [connect(&format!("{host}:443")), connect(&format!("{host}:80")), get(&url, host)] {
        let mut client = Client::send_to(egret.addr, &request);
        assert_eq!(client.status(), denied(profile), "{request}");
        assert_eq!(egret.verdict(client.addr()), verdict, "{request}");
    }
    let (mut client, reply) = Client::socks(egret.addr, host.trim_matches(['[', ']']), 443);
    assert_eq!((reply, client.rest().1), (2, End::Eof), "{host}");
    assert_eq!(egret.verdict(client.addr()), verdict, "socks5 {host}");
}

#[test]
fn case_31_internal_addresses_however_they_are_written() {
    for profile in PROFILES {
        // With no rule for addresses, and with one that spans the world.
        for rules in [
            &["--allow=https://ok.test"][..],
            &["--allow=tcp://*:*", "--allow=tcp://0.0.0.0/0:*", "--allow=tcp://[::/0]:*"],
        ] {
            let egret = Egret::start(&[rules, &["--profile", profile]].concat());
            for host in INTERNAL {
                check_everywhere(&egret, profile, host, "internal-address");
            }
        }
    }
}

#[test]
fn case_31_zone_ids() {
    for profile in PROFILES {
        let egret = Egret::start(&["--allow=tcp://*:*", "--profile", profile]);
        for host in ["[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%25lo]", "[2606:4700::1%25eth0]"] {
            let http = format!("GET http://{host}/ HTTP/1.1\r\nHost: ok.test\r\n\r\n");
            for request in [format!("CONNECT {host}:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n"), http] {
                let mut client = Client::send_to(egret.addr, &request);
                assert_eq!(client.status(), 400, "{request}");
                assert_eq!(egret.verdict(client.addr()), "deny bad-name", "{request}");
            }
        }
    }
}

/// Addresses in forms that only some resolvers read are no names either.
#[test]
fn case_31_numbers_that_may_be_addresses() {
    let egret = Egret::start(&["--allow=https://*", "--allow=http://*"]);
    for host in
        ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1.", "0x7f.0.0.1", "127.0.0.0x1", "017700000001"]
    {
        let request = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: ok.test\r\n\r\n");
        let mut client = Client::send_to(egret.addr, request);
        let status = client.status();
        let verdict = egret.verdict(client.addr());
        assert!(
            [(400, "deny bad-name"), (470, "deny internal-address")].contains(&(status, verdict.as_str())),
            "{host}: {status} {verdict}"
        );
    }
}

/// An address that no rule names, and that is nobody's own: another reason.
#[test]
fn case_31_a_public_address_without_a_rule() {
    for profile in PROFILES {
        let egret = Egret::start(&["--allow=https://ok.test", "--profile", profile]);
        for host in ["192.0.2.1", "[2606:4700::1111]", "[64:ff9b::c000:201]"] {
            check_everywhere(&egret, profile, host, "not-allowed");
        }
    }
}

/// A rule that names an internal address itself is the user's own word.
#[test]
fn case_31_an_internal_address_that_a_rule_names() {
    let origin = Origin::echo();
    let rule = format!("--allow=tcp://127.0.0.1:{}", origin.addr.port());
    let egret = Egret::start(&[rule.as_str(), "--profile=strict"]);
    let mut client = Client::tunnel(egret.addr, &origin.addr.to_string());
    client.send("ping");
    assert_eq!(client.bytes(4), b"ping");
    assert_eq!(egret.verdict(client.addr()), "allow network-rule");
    // The same address in disguise is the same address.
    let mapped = format!("[::ffff:127.0.0.1]:{}", origin.addr.port());
    let mut client = Client::tunnel(egret.addr, &mapped);
    client.send("ping");
    assert_eq!(client.bytes(4), b"ping");
}

/// A permitted name that DNS leads to this address.
fn check_resolved(profile: &str, addrs: &[&str], expected: &str) {
    let dns = NameServer::with("ok.test", addrs);
    let server = format!("--dns-server={}", dns.addr);
    let allowed = ["--allow=https://ok.test", "--allow=http://ok.test"];
    let egret = Egret::start(&[&allowed[..], &[&server, "--profile", profile]].concat());
    for request in [connect("ok.test:443"), get("http://ok.test/", "ok.test")] {
        let mut client = Client::send_to(egret.addr, &request);
        assert_eq!(client.status(), denied(profile), "{addrs:?}");
        assert_eq!(egret.verdict(client.addr()), expected, "{addrs:?}");
    }
    let (client, reply) = Client::socks(egret.addr, "ok.test", 443);
    assert_eq!((reply, egret.verdict(client.addr()).as_str()), (2, expected), "{addrs:?}");
    assert!(dns.asked().contains(&"ok.test A".to_owned()));
}

pub(super) const LEADS_INSIDE: &[&str] = &[
    "127.0.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "fe80::1",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
];

pub(super) const PRIVATE: &[&str] =
    &["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1", "fd00::1", "::ffff:10.0.0.1"];

#[test]
fn case_32_a_permitted_name_that_leads_inside() {
    for profile in PROFILES {
        for addr in LEADS_INSIDE {
            check_resolved(profile, &[addr], "deny internal-address");
        }
        check_resolved(profile, &["127.0.0.1", "169.254.169.254", "::1"], "deny internal-address");
    }
}

#[test]
fn case_32_private_addresses_are_for_the_profile_to_judge() {
    for addr in PRIVATE {
        check_resolved("strict", &[addr], "deny internal-address");
    }
    // In `azure` they are destinations like any other: the flow is allowed.
    let dns = NameServer::with("ok.test", &["198.18.0.1"]);
    let server = format!("--dns-server={}", dns.addr);
    let config = "[timeouts]\nconnect = \"300ms\"\n";
    let egret = Egret::with_config(config, &["--allow=http://ok.test", &server]);
    let mut client = Client::send_to(egret.addr, get("http://ok.test/", "ok.test"));
    let status = client.status();
    assert_ne!(status, 470);
    let record = &egret.flows(client.addr(), 1)[0];
    assert_eq!((record["verdict"].as_str(), record["dst"].as_str()), (Some("allow"), Some("198.18.0.1:80")));
}

#[test]
fn case_32_an_address_of_the_user_is_exempt() {
    let origin = Origin::http_ok();
    let port = origin.addr.port();
    for profile in PROFILES {
        let resolve = format!("--resolve=ok.test:{port}:127.0.0.1");
        let allow = format!("--allow=http://ok.test:{port}");
        let egret = Egret::start(&[&allow, &resolve, "--profile", profile]);
        let host = format!("ok.test:{port}");
        assert_eq!(Client::send_to(egret.addr, get(&format!("http://{host}/"), &host)).status(), 200);
    }
    assert_eq!(origin.noted().len(), 2);
}

/// The address that was judged is the address that is dialled, and each request is judged anew.
#[test]
fn case_33_rebinding() {
    for profile in PROFILES {
        let dns = NameServer::start(|_, times| {
            let addr = if times == 1 { Ipv4Addr::new(192, 0, 2, 1) } else { Ipv4Addr::LOCALHOST };
            vec![addr.into()]
        });
        let config = "[timeouts]\nconnect = \"200ms\"\n";
        let server = format!("--dns-server={}", dns.addr);
        let origin = Origin::http_ok();
        let port = origin.addr.port();
        let allow = format!("--allow=http://ok.test:{port}");
        let egret = Egret::with_config(config, &[&allow, &server, "--profile", profile, "--workers=1"]);
        let host = format!("ok.test:{port}");
        let request = get(&format!("http://{host}/"), &host);
        let mut client = Client::send_to(egret.addr, &request);
        let first = client.status();
        assert!([502, 504].contains(&first), "{first}");
        let asked = dns.asked().iter().filter(|asked| *asked == "ok.test A").count();
        assert_eq!(asked, 1, "the name was asked for again between the judgement and the dialling");
        client.send(&request);
        assert_eq!(client.status(), denied(profile));
        let flows = egret.flows(client.addr(), 2);
        assert_eq!(
            (flows[0]["verdict"].as_str(), flows[1]["reason"].as_str()),
            (Some("allow"), Some("internal-address"))
        );
        assert_eq!(flows[0]["dst"], format!("192.0.2.1:{port}"));
        assert_eq!(origin.connections(), 0);
    }
}

/// One public address among internal ones does not take them along.
#[test]
fn case_33_only_the_judged_addresses_are_dialled() {
    let origin = Origin::http_ok();
    let port = origin.addr.port();
    let dns = NameServer::with("ok.test", &["127.0.0.1", "192.0.2.1"]);
    let (server, allow) = (format!("--dns-server={}", dns.addr), format!("--allow=http://ok.test:{port}"));
    let egret = Egret::with_config("[timeouts]\nconnect = \"200ms\"\n", &[&allow, &server]);
    let host = format!("ok.test:{port}");
    let status = Client::send_to(egret.addr, get(&format!("http://{host}/"), &host)).status();
    assert!([502, 504].contains(&status), "{status}");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn case_36_names_that_are_not_allowed_are_never_looked_up() {
    for profile in PROFILES {
        let dns = NameServer::start(|_, _| vec![Ipv4Addr::new(192, 0, 2, 1).into()]);
        let server = format!("--dns-server={}", dns.addr);
        let rules = ["--allow=https://ok.test", "--allow=10.1.0.0/16:1433", "--deny=tcp://10.0.0.0/8:22"];
        let egret = Egret::start(&[&rules[..], &[&server, "--profile", profile]].concat());
        let secret = "c2VjcmV0.evil.test";
        for to in ["evil.test:443", "evil.test:53", "evil.test:853", "ok.test:53", "ok.test:853", "ok.test:80"] {
            let mut client = Client::send_to(egret.addr, connect(to));
            assert_eq!(client.status(), denied(profile), "{to}");
            assert!(egret.verdict(client.addr()).starts_with("deny "), "{to}");
        }
        let mut client = Client::send_to(egret.addr, get(&format!("http://{secret}/"), secret));
        assert_eq!(client.status(), denied(profile));
        let (_, reply) = Client::socks(egret.addr, secret, 443);
        assert_eq!(reply, 2);
        assert_eq!(dns.asked(), Vec::<String>::new());
    }
}

#[test]
fn case_36_dns_ports_of_addresses() {
    let egret = Egret::start(&["--allow=https://ok.test"]);
    for to in ["192.0.2.53:53", "192.0.2.53:853", "[2606:4700::1111]:53"] {
        let mut client = Client::send_to(egret.addr, connect(to));
        assert_eq!((client.status(), egret.verdict(client.addr()).as_str()), (470, "deny not-allowed"), "{to}");
    }
}

/// What a permitted name that does not resolve looks like, which is no denial.
#[test]
fn a_permitted_name_that_does_not_resolve() {
    let dns = NameServer::start(|_, _| Vec::new());
    let server = format!("--dns-server={}", dns.addr);
    for (profile, status, body) in [
        ("azure", "500 Internal Server Error", "Action: Deny. Reason: Failed to resolve address."),
        ("strict", "502 Bad Gateway", "egret: ok.test:80 is allowed but failed: name-unresolvable\n"),
    ] {
        let egret = Egret::start(&["--allow=http://ok.test", &server, "--profile", profile]);
        for request in [get("http://ok.test/", "ok.test"), connect("ok.test:80")] {
            let mut client = Client::send_to(egret.addr, request);
            let (head, answered) = client.answer();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
            assert_eq!(answered, body);
            // The policy allowed it: it is the destination that failed.
            assert_eq!(egret.verdict(client.addr()), "allow application-rule");
            assert_eq!(egret.close(client.addr())["reason"], "name-unresolvable");
        }
        let (_, reply) = Client::socks(egret.addr, "ok.test", 80);
        assert_eq!(reply, 4);
    }
}

/// Through itself, Egret would serve a client that it does not know and never come to an end.
#[test]
fn it_never_connects_to_itself() {
    for addr in ["127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"] {
        let egret = Egret::start(&[
            "--allow=tcp://self.test:*",
            "--allow=https://ok.test",
            "--allow=http://ok.test",
            &format!("--resolve=self.test:{addr}"),
            "--profile=strict",
        ]);
        let port = egret.addr.port();
        let mut client = Client::send_to(egret.addr, connect(&format!("self.test:{port}")));
        assert_eq!((client.status(), egret.verdict(client.addr()).as_str()), (403, "deny loop"), "{addr}");
        let (client, reply) = Client::socks(egret.addr, "self.test", port);
        assert_eq!((reply, egret.verdict(client.addr()).as_str()), (2, "deny loop"), "{addr}");
    }
}

#[test]
fn it_never_connects_to_itself_by_connect_to() {
    let port = free_port();
    for to in ["127.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let egret = Egret::start(&[
            "--allow=http://ok.test",
            "--allow=https://ok.test",
            &format!("--connect-to=::{to}:{port}"),
            &format!("--listen=127.0.0.1:{port}"),
        ]);
        let own = SocketAddr::from(([127, 0, 0, 1], port));
        let mut client = Client::send_to(own, get("http://ok.test/", "ok.test"));
        assert_eq!((client.status(), egret.verdict(client.addr()).as_str()), (470, "deny loop"), "{to}");
        let mut client = Client::send_to(own, connect("ok.test:443"));
        assert_eq!((client.status(), egret.verdict(client.addr()).as_str()), (470, "deny loop"), "{to}");
    }
}

#[test]
fn it_never_connects_to_itself_by_a_rule_for_its_address() {
    let egret = Egret::start(&["--allow=tcp://127.0.0.1:*", "--profile=strict"]);
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]"] {
        let mut client = Client::send_to(egret.addr, connect(&format!("{host}:{}", egret.addr.port())));
        assert_eq!((client.status(), egret.verdict(client.addr()).as_str()), (403, "deny loop"), "{host}");
    }
}

/// The last resort behind a name: its tunnel is dialled after the hello, and says nothing but a close.
#[test]
fn an_origin_that_refuses_the_connection() {
    let port = free_port();
    for (profile, status) in [("azure", 502), ("strict", 502)] {
        let to = format!("--connect-to=::127.0.0.1:{port}");
        let rules = ["--allow=http://ok.test", "--allow=https://ok.test", "--allow=tcp://plain.test:7"];
        let egret = Egret::start(&[&rules[..], &[&to, "--profile", profile]].concat());
        for request in [get("http://ok.test/", "ok.test"), connect("plain.test:7")] {
            let mut client = Client::send_to(egret.addr, request);
            let (head, body) = client.answer();
            assert_eq!(status_of(&head), status);
            assert!(body.contains("is allowed but failed: upstream-unreachable"), "{body}");
            assert_eq!(egret.close(client.addr())["reason"], "upstream-unreachable");
        }
        let mut client = Client::tunnel(egret.addr, "ok.test:443");
        client.send(Hello::of("ok.test").bytes());
        assert_eq!(client.rest(), (Vec::new(), End::Eof));
        assert_eq!(egret.close(client.addr())["reason"], "upstream-unreachable");
    }
}
