//! The gateway: what it hands on, what it denies and how that looks, in a lab of network namespaces. The explicit
//! proxy's modules say the rest about what is inside a flow.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;

use super::answers::DENIED;
use super::support::command::{BINARY, finish};
use super::support::dns::NameServer;
use super::support::gateway::{Gateway, NOBODY};
use super::support::hello::{Hello, Tls};
use super::support::https::Https;
use super::support::netns::{HAND_OVERS, HandOver, Net};
use super::support::origin::{GREETING, Origin, echo, greeter, http_ok, tls, tls_configs};
use super::support::raw::{Client, End, get, header, status_of};
use super::support::{eventually, poll};

/// ok.test is at .8, and nothing is at [`NOBODY`].
const OK: &[&str] = &[
    "--allow=https://ok.test",
    "--allow=http://ok.test",
    "--resolve=ok.test:198.51.100.8",
    "--resolve=evil.test:198.51.100.7",
];

fn to(port: u16) -> String {
    format!("{NOBODY}:{port}")
}

/// The client's only flow.
fn flow(gateway: &Gateway, client: &Client) -> Value {
    gateway.egret.flows(client.addr(), 1).remove(0)
}

fn assert_greeted(client: &mut Client) {
    assert_eq!(client.bytes(GREETING.len()), GREETING);
}

/// No port is special to a network rule, and no hello is waited for: the server may speak first.
#[test]
fn a_network_rule_lets_any_port_and_protocol_through() {
    let rules =
        ["--allow=tcp://198.51.100.0/24:25", "--allow=tcp://[2001:db8:2::/64]:22", "--allow=tcp://198.51.100.7:443"];
    Gateway::both("", &rules, |gateway| {
        for to in ["198.51.100.7:25", "[2001:db8:2::7]:22", "198.51.100.7:443"] {
            let origin = gateway.net.origin(to, greeter);
            let mut client = gateway.net.connect(to);
            assert_greeted(&mut client);
            client.send("EHLO client.test\r\n");
            assert_eq!(client.bytes(18), b"EHLO client.test\r\n");
            let record = flow(gateway, &client);
            for (field, expected) in
                [("via", "gateway"), ("verdict", "allow"), ("reason", "network-rule"), ("proto", "tcp"), ("dst", to)]
            {
                assert_eq!(record[field], expected, "{field} in {record:#}");
            }
            client.finish();
            assert_eq!(client.rest().0, b"");
            let close = gateway.egret.close(client.addr());
            assert_eq!((close["bytes_up"].as_u64(), close["bytes_down"].as_u64()), (Some(18), Some(29)), "{close:#}");
            assert_eq!(origin.connections(), 1);
        }
    });
}

/// No SNAT towards what a policy has as private: the server sees the client itself.
#[test]
fn private_destinations_see_the_client() {
    let private = "[settings.snat]\nprivate_ranges = [\"198.51.100.7/32\", \"2001:db8:2::7/128\"]\n";
    let always = format!("{private}[gateway]\nsnat = \"always\"\n");
    let interface = format!("{private}[gateway]\ninterfaces = [\"inside\"]\n");
    let rules = ["--allow=tcp://198.51.100.0/24:25", "--allow=tcp://[2001:db8:2::/64]:25", "--allow=https://ok.test"];
    let cases = [(private, true), (always.as_str(), false), (interface.as_str(), true)];
    for (config, kept) in cases {
        Gateway::both(config, &rules, |gateway| {
            for (to, private) in [("198.51.100.7:25", true), ("[2001:db8:2::7]:25", true), ("198.51.100.8:25", false)] {
                let listener = gateway.net.origin.enter(|| TcpListener::bind(to).unwrap());
                let mut client = gateway.net.connect(to);
                let (mut server, seen) = listener.accept().unwrap();
                let is_client = seen.ip() == client.addr().ip();
                assert_eq!(is_client, kept && private && gateway.how == HandOver::Tproxy, "{config} {to} {seen}");
                server.write_all(b"hello").unwrap();
                assert_eq!(client.bytes(5), b"hello");
            }
        });
    }
}

/// A destination that a network rule allows and that is not there looks like one that is not there.
/// An end would say that the file is whole.
#[test]
fn a_reset_is_passed_on() {
    Gateway::both("", &["--allow=tcp://198.51.100.7:25"], |gateway| {
        let listener = gateway.net.origin.enter(|| TcpListener::bind("198.51.100.7:25").unwrap());
        let mut client = gateway.net.connect("198.51.100.7:25");
        let (mut origin, _) = listener.accept().unwrap();
        // What was reset before it stood could not be reached.
        origin.write_all(b"half").unwrap();
        assert_eq!(client.bytes(4), b"half");
        SockRef::from(&origin).set_linger(Some(Duration::ZERO)).unwrap();
        drop(origin);
        assert_eq!(client.rest(), (Vec::new(), End::Reset));
        let close = gateway.egret.close(client.addr());
        assert_eq!((close["closed_by"].as_str(), close["reason"].as_str()), (Some("origin"), Some("reset")));
    });
}

#[test]
fn a_destination_that_refuses_is_reset() {
    Gateway::both("", &["--allow=tcp://198.51.100.7:2222"], |gateway| {
        let client = gateway.net.assert_reset("198.51.100.7:2222", "");
        assert_eq!(gateway.egret.verdict(client), "allow network-rule");
        assert_eq!(gateway.egret.close(client)["reason"], "upstream-unreachable");
    });
}

/// Rows 6 of the semantics and of the adversarial cases: the address that the client dialled counts for nothing.
#[test]
fn a_permitted_name_is_dialled_where_egret_resolves_it() {
    let (server, client_config) = tls_configs(&["ok.test"], &["h2"]);
    Gateway::both("", OK, |gateway| {
        let origin = gateway.net.origin("198.51.100.8:443", tls(server.clone()));
        let decoy = gateway.net.origin("198.51.100.7:443", echo);
        for to in ["198.51.100.7:443", &to(443), "[2001:db8:9::9]:443"] {
            let client = gateway.net.connect(to);
            let mut tls = Tls::new(&client.stream, &client_config, "ok.test");
            assert_eq!(tls.echo("through").unwrap(), "through");
            let record = flow(gateway, &client);
            for (field, expected) in [
                ("via", "gateway"),
                ("reason", "application-rule"),
                ("proto", "https"),
                ("host", "ok.test"),
                ("sni", "ok.test"),
                ("dst", "198.51.100.8:443"),
            ] {
                assert_eq!(record[field], expected, "{field} in {record:#}");
            }
        }
        assert_eq!((decoy.connections(), origin.wait_noted(3)), (0, vec!["ok.test h2".to_owned(); 3]));
    });
}

/// Row 7: the same for HTTP, and each request is judged by its own Host.
#[test]
fn http_is_judged_request_by_request() {
    Gateway::both("", OK, |gateway| {
        let origin = gateway.net.origin("198.51.100.8:80", http_ok());
        let decoy = gateway.net.origin("198.51.100.7:80", http_ok());
        for to in [to(80), "198.51.100.7:80".to_owned(), "[2001:db8:9::9]:80".to_owned()] {
            let mut client = gateway.net.send(&to, get("/a", "ok.test"));
            assert_eq!(client.status(), 200);
            client.send(get("/b", "evil.test"));
            let (head, body) = client.answer();
            assert!(head.starts_with("HTTP/1.1 470 status code 470\r\n"), "{head}");
            assert_eq!((header(&head, "content-length"), body.as_str()), (Some("70"), DENIED));
            client.send(get("/c", "OK.TEST:80"));
            assert_eq!(client.status(), 200);
            let verdicts = gateway.egret.verdicts(client.addr(), 3);
            assert_eq!(verdicts, ["allow application-rule", "deny not-allowed", "allow application-rule"]);
            let records = gateway.egret.flows(client.addr(), 3);
            let hosts: Vec<_> = records.iter().map(|record| record["host"].as_str().unwrap()).collect();
            assert_eq!(hosts, ["ok.test", "evil.test", "ok.test"]);
            assert!(records.iter().all(|record| record["via"] == "gateway" && record["port"] == 80), "{records:#?}");
        }
        assert_eq!((decoy.connections(), origin.wait_noted(6).len()), (0, 6));
        let first = &origin.wait_noted(1)[0];
        assert!(first.starts_with("GET /a HTTP/1.1\r\n"), "{first}");
        assert_eq!(header(first, "x-forwarded-for"), Some("192.0.2.10"), "{first}");
    });
}

#[test]
fn strict_answers_denied_http_in_its_own_words() {
    let flags = [OK, &["--profile=strict"]].concat();
    let Some(gateway) = Gateway::start(HandOver::Tproxy, "", &flags) else { return };
    let (head, body) = gateway.net.send(&to(80), get("/", "evil.test")).answer();
    assert_eq!((status_of(&head), header(&head, "x-egret-reason")), (403, Some("not-allowed")));
    assert_eq!(body, "egret: evil.test:80 is denied: not-allowed; to allow it: --allow evil.test:80\n");
}

/// A request that does not say whom it is for is nobody's, and a gateway is no proxy.
#[test]
fn requests_without_a_host_of_their_own() {
    Gateway::both("", OK, |gateway| {
        for (request, status, verdict) in [
            ("GET / HTTP/1.1\r\n\r\n", 400, "deny bad-host"),
            ("GET / HTTP/1.0\r\n\r\n", 400, "deny bad-host"),
            ("GET / HTTP/1.1\r\nHost: 198.51.100.8\r\n\r\n", 470, "deny not-allowed"),
            ("GET / HTTP/1.1\r\nHost: ok.test\r\nHost: evil.test\r\n\r\n", 400, "deny bad-host"),
            ("GET http://evil.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n", 470, "deny host-uri-mismatch"),
            ("CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n\r\n", 400, "deny bad-request"),
            ("GET /proxy.pac HTTP/1.1\r\nHost: evil.test\r\n\r\n", 470, "deny not-allowed"),
        ] {
            let mut client = gateway.net.send(&to(80), request);
            assert_eq!(
                (client.status(), gateway.egret.verdict(client.addr()).as_str()),
                (status, verdict),
                "{request}"
            );
        }
    });
}

/// What curl in the client's namespace says, with no proxy in its environment.
fn curl(net: &Net, args: &[&str]) -> (Option<i32>, String) {
    let mut curl: Command = net.client.command("curl");
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY"] {
        curl.env_remove(name);
    }
    let output = curl.args(["-sS", "--max-time", "10"]).args(args).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn curl_knows_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    Gateway::both("", OK, |gateway| {
        let files = HashMap::from([("/hello".to_owned(), b"hello from the origin".to_vec())]);
        let start = || Https::start_on("198.51.100.8:443", &["ok.test", "evil.test"], files, folder.path());
        let https = gateway.net.origin.enter(start);
        let (ca, _http) = (https.ca.to_str().unwrap(), gateway.net.origin("198.51.100.8:80", http_ok()));
        let elsewhere = |host: &str| [443, 80].map(|port| format!("{host}:{port}:{NOBODY}"));
        let [ok_443, ok_80] = elsewhere("ok.test");
        let [evil_443, evil_80] = elsewhere("evil.test");
        let ask = |resolve: &str, url: &str| curl(&gateway.net, &["--cacert", ca, "--resolve", resolve, url]);
        assert_eq!(ask(&ok_443, "https://ok.test/hello"), (Some(0), "hello from the origin".to_owned()));
        assert_eq!(ask(&ok_80, "http://ok.test/"), (Some(0), "ok".to_owned()));
        assert_eq!(ask(&evil_80, "http://evil.test/"), (Some(0), DENIED.to_owned()));
        // Closed without a TLS record: `SSL_ERROR_SYSCALL` and the like.
        assert_eq!(ask(&evil_443, "https://evil.test/hello").0, Some(35));
    });
}

/// FIN without a byte, whatever was denied and why.
#[test]
fn denied_on_an_intercepted_port() {
    for profile in ["azure", "strict"] {
        Gateway::both("", &[OK, &["--profile", profile]].concat(), |gateway| {
            let origin = gateway.net.origin("198.51.100.7:443", echo);
            for to in ["198.51.100.7:443", &to(443), "[2001:db8:2::7]:443"] {
                for (first, reason) in [
                    (Hello::of("evil.test").bytes(), "not-allowed"),
                    (Hello::nameless().bytes(), "missing-sni"),
                    (b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), "bad-request"),
                    (vec![0, 1, 2, 3], "not-tls"),
                ] {
                    gateway.assert_closed(to, first, &format!("deny {reason}"));
                }
            }
            assert_eq!(origin.connections(), 0);
            let sni = gateway.egret.records(|record| record["sni"] == "evil.test" && record["host"] == "evil.test");
            assert_eq!(sni.len(), 3);
        });
    }
}

/// Row 8: the handshake is over before anything is decided, also to an address that nobody has, and by itself it
/// leaves no trace.
#[test]
fn the_handshake_comes_before_the_verdict() {
    Gateway::both("policy = []\n", &["--admin=off"], |gateway| {
        for port in [80, 443, 1433] {
            drop(gateway.net.connect(&to(port)));
        }
        gateway.assert_closed(&to(443), Hello::of("ok.test").bytes(), "deny not-allowed");
        let mut client = gateway.net.send(&to(80), get("/", "ok.test"));
        let (head, body) = client.answer();
        assert_eq!((status_of(&head), body.as_str()), (470, DENIED));
        assert_eq!(gateway.egret.verdict(client.addr()), "deny not-allowed");
        let flows = gateway.egret.records(|record| record["kind"] == "flow");
        assert_eq!(flows.len(), 2, "{flows:#?}");
    });
}

/// A port of any application rule is taken in for every destination (row 16 of what people get wrong).
#[test]
fn the_port_of_an_application_rule_is_intercepted_for_every_destination() {
    let rules = ["--allow=https://ok.test:8443", "--resolve=ok.test:198.51.100.8"];
    Gateway::both("", &rules, |gateway| {
        let _origin = gateway.net.origin("198.51.100.8:8443", echo);
        let mut client = gateway.net.send(&to(8443), Hello::of("ok.test").bytes());
        assert_eq!(client.bytes(3), [22, 3, 1]);
        assert_eq!(gateway.egret.verdict(client.addr()), "allow application-rule");
        gateway.assert_closed(&to(8443), Hello::of("evil.test").bytes(), "deny not-allowed");
        gateway.assert_closed("[2001:db8:9::9]:8443", Hello::of("evil.test").bytes(), "deny not-allowed");
    });
}

/// Row 14, and the switch: a Host header without a port speaks of port 80.
#[test]
fn the_port_of_the_host_header() {
    for (config, implied) in [
        ("", false),
        ("[gateway]\nhost_without_port = \"port-80\"\n", false),
        ("[gateway]\nhost_without_port = \"any\"\n", true),
    ] {
        let rules = ["--allow=http://ok.test:8080", "--resolve=ok.test:198.51.100.8"];
        Gateway::both(config, &rules, |gateway| {
            let origin = gateway.net.origin("198.51.100.8:8080", http_ok());
            let mut client = gateway.net.send(&to(8080), get("/", "ok.test:8080"));
            assert_eq!(client.status(), 200);
            client.send(get("/", "ok.test:80"));
            // Azure drops it: no answer, and the end.
            assert_eq!(client.rest(), (Vec::new(), End::Eof));
            let verdicts = gateway.egret.verdicts(client.addr(), 2);
            assert_eq!(verdicts, ["allow application-rule", "deny host-port-mismatch"]);
            if implied {
                let mut client = gateway.net.send(&to(8080), get("/", "ok.test"));
                assert_eq!(client.status(), 200);
            } else {
                gateway.assert_closed(&to(8080), get("/", "ok.test"), "deny host-port-mismatch");
            }
            assert_eq!(origin.noted().len(), 1 + usize::from(implied));
        });
    }
}

/// Ports that no application rule names are not taken in: what the client sees is an option.
#[test]
fn denied_on_any_other_port() {
    let option = |word: &str| format!("[gateway]\ndenied_tcp = \"{word}\"\n");
    for (profile, config, silent) in [
        ("azure", String::new(), true),
        ("strict", String::new(), false),
        ("azure", option("reset"), false),
        ("strict", option("silence"), true),
    ] {
        Gateway::both(&config, &[OK, &["--profile", profile]].concat(), |gateway| {
            for to in ["198.51.100.7:22", &to(22), "[2001:db8:2::7]:22"] {
                let client = if silent {
                    let mut client = gateway.net.send(to, "SSH-2.0-x\r\n");
                    assert!(client.is_silent_for(Duration::from_millis(100)), "{profile} {config}");
                    client.addr()
                } else {
                    gateway.net.assert_reset(to, "SSH-2.0-x\r\n")
                };
                assert_eq!(gateway.egret.verdict(client), "deny not-allowed");
            }
        });
    }
}

/// Silence has an end, and only so many are kept in it.
#[test]
fn silence_is_bounded() {
    let config = "[timeouts]\nsilence = \"300ms\"\n";
    Gateway::both(config, OK, |gateway| {
        let client = gateway.net.assert_reset(&to(22), "");
        assert_eq!(gateway.egret.verdict(client), "deny not-allowed");
    });
    let config = "[limits]\nsilent = 1\n";
    Gateway::both(config, OK, |gateway| {
        let mut first = gateway.net.connect(&to(22));
        assert_eq!(gateway.egret.verdict(first.addr()), "deny not-allowed");
        let second = gateway.net.assert_reset(&to(22), "");
        assert_eq!(gateway.egret.verdict(second), "deny not-allowed");
        assert!(first.is_silent_for(Duration::from_millis(100)));
    });
}

/// Ports of the gateway that lead to the origins, and perhaps a rule that denies one of them.
fn dnat_policy(further: &str) -> String {
    let rule = |port: u16, to: &str| {
        format!(
            "{{ name = \"r{port}\", ip_protocols = \"TCP\", destination_addresses = [\"192.0.2.1\"], \
             destination_ports = {port}, {to} }},\n"
        )
    };
    format!(
        "name = \"lab\"\nrule_collection_group = [{{ name = \"g\", priority = 100, rule_collection = [\n\
         {{ name = \"in\", priority = 100, type = \"dnat\", rule = [\n{}{}{}{}] }},\n\
         {{ name = \"net\", priority = 200, type = \"network\", action = \"deny\", rule = [\n\
         {{ name = \"no\", ip_protocols = \"TCP\", destination_addresses = [\"198.51.100.7\"], destination_ports = 22 }}\
         ] }}] }}]\n{further}",
        rule(2222, "translated_address = \"198.51.100.7\", translated_port = 22"),
        rule(8443, "translated_fqdn = \"app.test\", translated_port = 443"),
        rule(8444, "translated_fqdn = \"lost.test\", translated_port = 443"),
        rule(8445, "translated_address = \"198.51.100.1\", translated_port = 3129"),
    )
}

/// In a lab whose names are these.
fn with_names(how: HandOver, config: &str, flags: &[&str]) -> Option<(NameServer, Gateway)> {
    let net = Net::new()?;
    let names = net.gateway.enter(|| NameServer::with("app.test", &["198.51.100.9", "198.51.100.7"]));
    let server = format!("--dns-server={}", names.addr);
    Some((names, Gateway::of(net, how, config, &[flags, &[&server]].concat())))
}

#[test]
fn dnat_leads_on_and_allows() {
    for how in HAND_OVERS {
        let Some((_names, gateway)) = with_names(how, &dnat_policy(""), &[]) else { return };
        // Row 15: the rule that denies the translated flow is not looked at.
        for (port, dst) in [(2222, "198.51.100.7:22"), (8443, "198.51.100.9:443")] {
            let origin = gateway.net.origin(dst, greeter);
            let mut client = gateway.net.connect(&format!("192.0.2.1:{port}"));
            assert_greeted(&mut client);
            let record = flow(&gateway, &client);
            assert_eq!((record["reason"].as_str(), record["dst"].as_str()), (Some("dnat-rule"), Some(dst)));
            assert_eq!((record["host"].as_str(), record["port"].as_u64()), (Some("192.0.2.1"), Some(port)));
            assert_eq!(record["rule"]["rule"], format!("r{port}"));
            assert_eq!(origin.connections(), 1);
        }
        // A name that leads nowhere is no match.
        let client = gateway.net.connect("192.0.2.1:8444");
        assert_eq!(gateway.egret.verdict(client.addr()), "deny not-allowed");
        let client = gateway.net.assert_reset("192.0.2.1:8445", "");
        assert_eq!(gateway.egret.verdict(client), "deny loop");
        // Nor does it hide a rule behind it.
        gateway.egret.reload(&dnat_policy("allow = [\"tcp://192.0.2.1:8444\"]\n"));
        let _own = gateway.net.gateway.enter(|| Origin::start_on("192.0.2.1:8444", greeter));
        let mut client = gateway.net.connect("192.0.2.1:8444");
        assert_greeted(&mut client);
        assert_eq!(gateway.egret.verdict(client.addr()), "allow network-rule");
        // The rule is for that address: nobody's else.
        let client = gateway.net.connect("198.51.100.8:2222");
        assert_eq!(gateway.egret.verdict(client.addr()), "deny not-allowed");
    }
}

#[test]
fn a_network_rule_may_override_dnat() {
    let config = dnat_policy("[gateway]\ndnat_deny = \"overrides\"\n");
    for how in HAND_OVERS {
        let Some((_names, gateway)) = with_names(how, &config, &[]) else { return };
        let _origins = ["198.51.100.7:22", "198.51.100.9:443"].map(|to| gateway.net.origin(to, greeter));
        let client = gateway.net.connect("192.0.2.1:2222");
        assert_eq!(gateway.egret.verdict(client.addr()), "deny denied-by-rule");
        assert_eq!(flow(&gateway, &client)["rule"]["rule"], "no");
        let mut client = gateway.net.connect("192.0.2.1:8443");
        assert_greeted(&mut client);
        assert_eq!(gateway.egret.verdict(client.addr()), "allow dnat-rule");
    }
}

/// Whoever dials the gateway's own port is handed over to nobody.
#[test]
fn its_own_port_is_no_destination() {
    Gateway::both("", &["--allow=tcp://*:*"], |gateway| {
        for to in ["192.0.2.1:3129", "198.51.100.1:3129", "[2001:db8:1::1]:3129"] {
            let client = gateway.net.assert_reset(to, "");
            assert_eq!(gateway.egret.verdict(client), "deny loop", "{to}");
        }
    });
}

/// An address of Azure Storage and one of Azure SQL: they exist in these namespaces alone.
#[test]
fn a_service_endpoint_passes_the_firewall_by() {
    for how in HAND_OVERS {
        let Some(net) = Net::new() else { return };
        for addr in ["13.65.107.33", "4.149.112.130"] {
            net.origin.ip(&format!("addr add {addr}/32 dev eth0\n"));
            net.gateway.ip(&format!("route add {addr}/32 via 198.51.100.7\n"));
        }
        let gateway = Gateway::of(net, how, "", &["--policy=ase"]);
        for to in ["13.65.107.33:445", "13.65.107.33:443", "4.149.112.130:11000", "4.149.112.130:1433"] {
            let _origin = gateway.net.origin(to, greeter);
            assert_greeted(&mut gateway.net.connect(to));
        }
        let client = gateway.net.connect("13.65.107.33:1434");
        assert_eq!(gateway.egret.verdict(client.addr()), "deny not-allowed");
        // The firewall never saw the others: they are counted and not written down.
        assert_eq!(gateway.egret.records(|record| record["kind"] == "flow").len(), 1);
        let metrics = gateway.net.gateway.enter(|| gateway.egret.get("/metrics"));
        assert!(metrics.body.contains("egret_bypassed_total 4\n"), "{}", metrics.body);
    }
}

fn allow(rules: &[&str]) -> String {
    format!("allow = [{}]\n", rules.iter().map(|rule| format!("\"{rule}\", ")).collect::<String>())
}

#[test]
fn a_new_policy_cuts_what_it_denies() {
    let (server, client_config) = tls_configs(&["ok.test"], &[]);
    for how in HAND_OVERS {
        let old = allow(&["tcp://198.51.100.7:25", "tcp://198.51.100.7:26", "https://ok.test", "http://ok.test"]);
        let resolve = "--resolve=ok.test:198.51.100.8";
        let Some(gateway) = Gateway::start(how, &old, &[resolve]) else { return };
        let net = &gateway.net;
        let _mail = ["198.51.100.7:25", "198.51.100.7:26"].map(|to| net.origin(to, greeter));
        let _tls = net.origin("198.51.100.8:443", tls(server.clone()));
        let _http = net.origin("198.51.100.8:80", http_ok());
        let [mut cut, mut kept] = ["198.51.100.7:25", "198.51.100.7:26"].map(|to| net.connect(to));
        [&mut cut, &mut kept].into_iter().for_each(assert_greeted);
        let mut by_name = net.connect(&to(443));
        let mut session = Tls::new(&by_name.stream, &client_config, "ok.test");
        assert_eq!(session.echo("through").unwrap(), "through");
        let mut http = net.send(&to(80), get("/", "ok.test"));
        assert_eq!(http.status(), 200);
        gateway.egret.reload(&allow(&["tcp://198.51.100.7:26"]));
        for client in [&mut cut, &mut by_name] {
            assert_eq!(client.rest().1, End::Reset);
            assert_eq!(gateway.egret.close(client.addr())["reason"], "policy-changed");
        }
        http.send(get("/", "ok.test"));
        assert_eq!(http.status(), 470);
        kept.send("still there");
        assert_eq!(kept.bytes(11), b"still there");
        let client = net.connect("198.51.100.7:25");
        assert_eq!(gateway.egret.verdict(client.addr()), "deny port-not-allowed");
    }
}

#[test]
fn connections_of_one_client_are_capped() {
    let config = "[limits]\nconnections_per_client = 1\n";
    Gateway::both(config, &["--allow=tcp://198.51.100.7:25"], |gateway| {
        let origin = gateway.net.origin("198.51.100.7:25", greeter);
        let mut first = gateway.net.connect("198.51.100.7:25");
        assert_greeted(&mut first);
        let second = gateway.net.assert_reset("198.51.100.7:25", "");
        assert_eq!(gateway.egret.verdict(second), "deny limit-client");
        first.finish();
        first.rest();
        gateway.egret.close(first.addr());
        let greeted = poll(|| {
            let mut third = gateway.net.try_connect("198.51.100.7:25").1.ok()?;
            third.rest_starts_with(GREETING).then_some(())
        });
        assert!(greeted.is_some(), "{} connections", origin.connections());
    });
}

/// Who has one address of a /64 may have all of them: another buys no further place. Who is in another one is another client.
#[test]
fn a_network_of_ipv6_is_one_client() {
    let config = "[limits]\nconnections_per_client = 1\n";
    Gateway::both(config, &["--allow=tcp://[2001:db8:2::7]:25"], |gateway| {
        let net = &gateway.net;
        let _origin = net.origin("[2001:db8:2::7]:25", greeter);
        net.client.ip("addr add 2001:db8:1::11/64 dev eth0 nodad\naddr add 2001:db8:3::10/64 dev eth0 nodad\n");
        net.gateway.ip6("route add 2001:db8:3::/64 dev inside\n");
        let to = "[2001:db8:2::7]:25".parse().unwrap();
        let from = |addr: &str, port| net.client.enter(|| Client::connect_from(Some(addr.parse().unwrap()), port, to));
        let mut first = from("2001:db8:1::10", 20_001).1.unwrap();
        assert_greeted(&mut first);
        let (neighbour, connected) = from("2001:db8:1::11", 20_002);
        assert_eq!(gateway.egret.verdict(neighbour), "deny limit-client");
        assert!(connected.is_err() || connected.unwrap().rest() == (Vec::new(), End::Reset));
        assert_greeted(&mut from("2001:db8:3::10", 20_003).1.unwrap());
    });
}

/// What runs may go on until the deadline, and no longer.
#[test]
fn it_drains() {
    let config = "[timeouts]\ndrain = \"300ms\"\n";
    for how in HAND_OVERS {
        let Some(mut gateway) = Gateway::start(how, config, &["--allow=tcp://198.51.100.7:25"]) else { return };
        let _origin = gateway.net.origin("198.51.100.7:25", greeter);
        let mut client = gateway.net.connect("198.51.100.7:25");
        assert_greeted(&mut client);
        gateway.egret.signal("TERM");
        client.send("last words");
        assert_eq!(client.bytes(10), b"last words");
        assert!(gateway.egret.wait().success());
        assert_eq!(client.rest(), (Vec::new(), End::Eof), "{how:?}");
        let close = gateway.egret.close(client.addr());
        assert_eq!(
            (close["closed_by"].as_str(), close["reason"].as_str()),
            (Some("egret"), Some("shutdown")),
            "{close}"
        );
    }
}

/// An idle flow ends with a reset for both sides (azure-docs, tcp-session-behavior.md).
#[test]
fn an_idle_flow_is_reset() {
    let config = "[timeouts]\nidle = \"300ms\"\n";
    Gateway::both(config, &["--allow=tcp://198.51.100.7:25"], |gateway| {
        let origin = gateway.net.origin("198.51.100.7:25", |mut stream, note| {
            let read = stream.read(&mut [0; 16]);
            note.note(format!("{:?}", read.map_err(|error| error.kind())).as_bytes());
        });
        let mut client = gateway.net.connect("198.51.100.7:25");
        assert_eq!(client.rest(), (Vec::new(), End::Reset));
        assert_eq!(origin.wait_noted(1), ["Err(ConnectionReset)"]);
        assert_eq!(gateway.egret.close(client.addr())["reason"], "idle-timeout");
    });
}

/// Without rules of its own it serves what others hand over.
#[test]
fn the_rules_may_be_somebody_elses() {
    for how in HAND_OVERS {
        let Some(net) = Net::new() else { return };
        net.hand_over(how);
        let gateway = Gateway::of(net, how, "", &[OK, &["--gateway-rules=leave", "--allow=tcp://[::/0]:25"]].concat());
        let _origins = ["198.51.100.8:443", "[2001:db8:2::7]:25"].map(|to| gateway.net.origin(to, greeter));
        assert_greeted(&mut gateway.net.connect("[2001:db8:2::7]:25"));
        let mut client = gateway.net.send(&to(443), Hello::of("ok.test").bytes());
        assert_greeted(&mut client);
        gateway.assert_closed(&to(443), Hello::of("evil.test").bytes(), "deny not-allowed");
        let rules = gateway.net.gateway.command("nft").args(["list", "tables"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&rules.stdout).matches("egret").count(), 0);
    }
}

/// What was let through before is no way round the policy, and what no rule allows is not forwarded either.
#[test]
fn nothing_is_forwarded_past_it() {
    for how in HAND_OVERS {
        let Some(net) = Net::new() else { return };
        let _origins = ["198.51.100.7:25", "[2001:db8:2::7]:25"].map(|to| net.origin(to, greeter));
        let mut before = ["198.51.100.7:25", "[2001:db8:2::7]:25"].map(|to| net.connect(to));
        before.iter_mut().for_each(assert_greeted);
        assert!(is_answered(&net));
        let gateway = Gateway::of(net, how, "", OK);
        for client in &mut before {
            // Silent or reset, by the way of handing over.
            client.try_send(b"still there?");
            client.is_silent_for(Duration::from_millis(300));
            assert_eq!(client.held.escape_ascii().to_string(), "", "{how:?}");
        }
        for to in ["198.51.100.7:25", "[2001:db8:2::7]:25"] {
            let mut client = gateway.net.connect(to);
            assert_eq!(gateway.egret.verdict(client.addr()), "deny not-allowed");
            assert!(client.is_silent_for(Duration::from_millis(100)));
        }
        assert!(!is_answered(&gateway.net), "{how:?}");
    }
}

/// Does a datagram of the client reach the origin, and its answer the client?
fn is_answered(net: &Net) -> bool {
    let bind = |addr: &str| {
        let socket = UdpSocket::bind(addr).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        socket
    };
    let origin = net.origin.enter(|| bind("198.51.100.7:7"));
    let client = net.client.enter(|| bind("0.0.0.0:0"));
    client.send_to(b"anybody there?", "198.51.100.7:7").unwrap();
    let mut buffer = [0; 64];
    let Ok((read, from)) = origin.recv_from(&mut buffer) else { return false };
    origin.send_to(&buffer[..read], from).unwrap();
    client.recv_from(&mut buffer).is_ok()
}

/// The metadata service of a cloud: a router would forward it, and a rule for any address does not speak of it.
#[test]
fn the_metadata_address_is_denied() {
    let ask = |net: &Net| curl(net, &["--connect-timeout", "1", "http://169.254.169.254/"]);
    for how in HAND_OVERS {
        let Some(net) = Net::new() else { return };
        net.origin.ip("addr add 169.254.169.254/32 dev eth0\n");
        net.gateway.ip("route add 169.254.169.254/32 via 198.51.100.7\n");
        let metadata = net.origin("169.254.169.254:80", http_ok());
        assert_eq!(ask(&net), (Some(0), "ok".to_owned()));
        let gateway = Gateway::of(net, how, "", &["--allow=tcp://*:*", "--allow=http://*"]);
        assert_ne!(ask(&gateway.net).1, "ok");
        assert_eq!(metadata.connections(), 1);
        let denied = |record: &Value| record["host"] == "169.254.169.254" && record["reason"] == "internal-address";
        eventually("its denial is logged", || gateway.egret.records(denied).pop());
    }
}

/// Its rules would replace those of the first, and go with it.
#[test]
fn a_second_gateway_is_refused() {
    let Some(gateway) = Gateway::start(HandOver::Tproxy, "", &["--allow=tcp://198.51.100.7:25"]) else { return };
    let origin = gateway.net.origin("198.51.100.7:25", greeter);
    let mut second = gateway.net.gateway.command(BINARY);
    second.args(["serve", "--gateway=0.0.0.0:4129", "--listen=127.0.0.1:0", "--admin=off", "--log=stdout"]);
    let answer = finish(&mut second, "");
    assert_eq!(answer.code, 4, "{}", answer.err);
    assert!(answer.err.contains("another egret writes the gateway's rules here"), "{}", answer.err);
    let mut up = gateway.net.gateway.command(BINARY);
    up.args(["gateway", "up", "--gateway=0.0.0.0:4129"]);
    assert_eq!(finish(&mut up, "").code, 4);
    assert_greeted(&mut gateway.net.connect("198.51.100.7:25"));
    assert_eq!(origin.connections(), 1);
}
