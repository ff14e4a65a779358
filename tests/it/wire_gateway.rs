//! What clients of a gateway see on the wire, byte for byte, and whom their destinations see: the rows of
//! `docs/fidelity.md` that take a client that dials anywhere.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::time::Duration;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::RecordType;
use serde_json::{Value, json};

use super::answers::DENIED;
use super::support::dns::NameServer;
use super::support::egret::Egret;
use super::support::gateway::{Gateway, NOBODY};
use super::support::hello::{Hello, alpn};
use super::support::netns::{HAND_OVERS, HandOver, Net};
use super::support::origin::{GREETING, echo, greeter, http_ok};
use super::support::raw::{Client, End, get, header};
use super::support::upstream::{ask, question};
use super::support::{DEADLINE, eventually};

/// As Azure Firewall answers, with nothing of Egret's own.
const BARE: &str = "[proxy]\nreason_headers = false\n";

const OK: &[&str] = &["--allow=https://ok.test", "--allow=http://ok.test", "--resolve=ok.test:198.51.100.8"];

fn to(port: u16) -> String {
    format!("{NOBODY}:{port}")
}

/// The next answer without the value of its Date, which has to be one.
fn undated(client: &mut Client) -> String {
    let (head, body) = client.answer();
    let date = header(&head, "date").expect("a date").to_owned();
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
    head.replace(&date, "*") + &body
}

/// 470, and the connection is left open: no rule, a rule that denies, an address.
#[test]
fn denied_http_is_answered_in_these_bytes() {
    let expected = format!(
        "HTTP/1.1 470 status code 470\r\nDate: *\r\nContent-Length: 70\r\nContent-Type: text/plain; charset=utf-8\r\n\
         \r\n{DENIED}"
    );
    assert_eq!(DENIED.len(), 70);
    Gateway::both(BARE, &[OK, &["--deny=http://bad.test"]].concat(), |gateway| {
        let _origin = gateway.net.origin("198.51.100.8:80", http_ok());
        let mut client = gateway.net.connect(&to(80));
        for host in ["evil.test", "bad.test", "10.1.0.4"] {
            client.send(get("/", host));
            assert_eq!(undated(&mut client), expected, "{host}");
            assert!(client.is_silent_for(Duration::from_millis(100)), "{host}");
        }
        client.send(get("/", "ok.test"));
        assert_eq!(client.status(), 200);
        let verdicts = gateway.egret.verdicts(client.addr(), 4);
        assert_eq!(verdicts, ["deny not-allowed", "deny denied-by-rule", "deny not-allowed", "allow application-rule"]);
    });
}

/// A permitted name: 500 by HTTP; by HTTPS the end, after the hello was taken, without a byte and without a reset.
#[test]
fn what_does_not_resolve_is_answered_in_these_bytes_or_by_the_end() {
    for how in HAND_OVERS {
        let Some(net) = Net::new() else { return };
        let names = net.gateway.enter(|| NameServer::start(|_, _| Vec::new()));
        let server = format!("--dns-server={}", names.addr);
        let flags = ["--allow=https://lost.test", "--allow=http://lost.test", &server];
        let gateway = Gateway::of(net, how, BARE, &flags);
        let mut client = gateway.net.send(&to(80), get("/", "lost.test"));
        assert_eq!(
            undated(&mut client),
            "HTTP/1.1 500 Internal Server Error\r\nDate: *\r\nContent-Length: 48\r\nContent-Type: text/plain; \
             charset=utf-8\r\n\r\nAction: Deny. Reason: Failed to resolve address."
        );
        let mut client = gateway.net.send(&to(443), Hello::of("lost.test").bytes());
        gateway.assert_ends(&mut client, "allow application-rule");
        assert_eq!(gateway.egret.close(client.addr())["reason"], "name-unresolvable");
    }
}

/// As in the captures: 517 bytes in, the same 517 out, so that ALPN and the version are the client's and the server's.
#[test]
fn a_hello_is_passed_on_byte_for_byte() {
    Gateway::both("", OK, |gateway| {
        let _origin = gateway.net.origin("198.51.100.8:443", echo);
        let hello = |padding| Hello::of("ok.test").with(16, alpn(&[b"h2", b"http/1.1"])).padded(padding).bytes();
        let hello = hello(517 - hello(0).len());
        assert_eq!(hello.len(), 517);
        let mut client = gateway.net.send(&to(443), &hello);
        assert_eq!(client.bytes(517), hello);
    });
}

/// The record is that of a network rule, and no rule is named in it.
#[test]
fn quic_that_no_rule_allows_is_denied_by_the_network_rules_default() {
    let config = "[[log.sink]]\ntarget = \"azure.json\"\nformat = \"azure\"\n";
    let Some(gateway) = Gateway::start(HandOver::Tproxy, config, OK) else { return };
    let client = gateway.net.client.enter(|| UdpSocket::bind("192.0.2.10:0").unwrap());
    client.send_to(b"initial", "198.51.100.8:443").unwrap();
    assert_eq!(gateway.egret.verdict(client.local_addr().unwrap()), "deny not-allowed");
    let record: Value = eventually("it is in Azure's log", || {
        let log = std::fs::read_to_string(gateway.egret.path("azure.json")).ok()?;
        log.lines().find_map(|line| serde_json::from_str(line).ok())
    });
    assert_eq!(record["category"], "AZFWNetworkRule");
    let expected = json!({
        "Protocol": "UDP", "SourceIp": "192.0.2.10", "SourcePort": client.local_addr().unwrap().port(),
        "DestinationIp": "198.51.100.8", "DestinationPort": 443, "Action": "Deny", "Policy": "",
        "RuleCollectionGroup": "", "RuleCollection": "", "Rule": "", "ActionReason": "Default Action",
    });
    assert_eq!(record["properties"], expected);
}

/// Application rules are a proxy: whatever is private, their destinations never see the client, nor its port.
#[test]
fn destinations_of_application_rules_never_see_the_client() {
    let config = "[settings.snat]\nprivate_ranges = [\"198.51.100.0/24\"]\n";
    Gateway::both(config, OK, |gateway| {
        let first = [(443, Hello::of("ok.test").bytes()), (80, get("/", "ok.test").into_bytes())];
        for (port, first) in first {
            let listener = gateway.net.origin.enter(|| TcpListener::bind(("198.51.100.8", port)).unwrap());
            let client = gateway.net.send(&to(port), first);
            let (_server, seen) = listener.accept().unwrap();
            assert_eq!(seen.ip(), IpAddr::from([198, 51, 100, 1]));
            assert_ne!(seen.port(), client.addr().port());
        }
    });
}

/// Destinations of network rules see the client everywhere or nowhere, where the policy has all or nothing as private;
/// those of DNAT rules never do.
#[test]
fn who_destinations_of_network_rules_see() {
    let dnat = "\
rule_collection_group = [{ name = \"g\", priority = 100, rule_collection = [
    { name = \"c\", priority = 100, type = \"dnat\", rule = [{ name = \"r\", ip_protocols = \"TCP\",
        destination_addresses = [\"192.0.2.1\"], destination_ports = [2525, 65000], translated_address = \"198.51.100.7\",
        translated_port = 25 }] } ] }]
";
    for (ranges, sees_client) in [("0.0.0.0/0", true), ("255.255.255.255/32", false)] {
        let config = format!("{dnat}[settings.snat]\nprivate_ranges = [\"{ranges}\"]\n");
        let Some(gateway) = Gateway::start(HandOver::Tproxy, &config, &["--allow=tcp://*:25"]) else { return };
        let listener = gateway.net.origin.enter(|| TcpListener::bind("198.51.100.7:25").unwrap());
        for (to, sees_client) in
            [("198.51.100.7:25", sees_client), ("192.0.2.1:2525", false), ("192.0.2.1:65000", false)]
        {
            let client = gateway.net.connect(to);
            let (_server, seen) = listener.accept().unwrap();
            let own = IpAddr::from([198, 51, 100, 1]);
            assert_eq!(seen.ip(), if sees_client { client.addr().ip() } else { own }, "{ranges} {to}");
        }
    }
}

/// A permitted name whose server is not there, on a connection that stands already.
#[test]
fn what_cannot_be_reached_is_answered_or_ends() {
    Gateway::both("", OK, |gateway| {
        let mut client = gateway.net.send(&to(443), Hello::of("ok.test").bytes());
        gateway.assert_ends(&mut client, "allow application-rule");
        assert_eq!(gateway.egret.close(client.addr())["reason"], "upstream-unreachable");
        let (head, body) = gateway.net.send(&to(80), get("/", "ok.test")).answer();
        assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{head}");
        assert_eq!(body, "egret: ok.test:80 is allowed but failed: upstream-unreachable\n");
    });
}

/// What was allowed one way is answered, though a rule denies the other way; what begins there is denied.
#[test]
fn answers_come_back_whatever_the_reverse_rule_says() {
    let config = "\
[[rule_collection_group]]
name = \"g\"
priority = 100
[[rule_collection_group.rule_collection]]
name = \"back\"
priority = 100
type = \"network\"
action = \"deny\"
[[rule_collection_group.rule_collection.rule]]
name = \"r\"
source_addresses = [\"198.51.100.7\"]
ip_protocols = [\"TCP\", \"UDP\"]
destination_addresses = [\"192.0.2.10\"]
destination_ports = [\"*\"]
[[rule_collection_group.rule_collection]]
name = \"there\"
priority = 200
type = \"network\"
action = \"allow\"
[[rule_collection_group.rule_collection.rule]]
name = \"r\"
ip_protocols = [\"TCP\", \"UDP\"]
destination_addresses = [\"*\"]
destination_ports = [\"*\"]
[gateway]
denied_tcp = \"reset\"
";
    Gateway::both(config, &["--interface=inside", "--interface=outside"], |gateway| {
        let _origin = gateway.net.origin("198.51.100.7:25", greeter);
        let _listener = gateway.net.client.enter(|| TcpListener::bind("192.0.2.10:25").unwrap());
        let mut client = gateway.net.connect("198.51.100.7:25");
        assert_eq!(client.bytes(GREETING.len()), GREETING);
        assert_eq!(gateway.egret.verdict(client.addr()), "allow network-rule");
        let back = "192.0.2.10:25".parse().unwrap();
        let from = Some("198.51.100.7".parse().unwrap());
        let (server, back) = gateway.net.origin.enter(|| Client::connect_from(from, 40_000, back));
        // A reset may come before the news of the handshake.
        assert!(back.map_or(true, |mut client| client.rest() == (Vec::new(), End::Reset)));
        assert_eq!(gateway.egret.verdict(server), "deny denied-by-rule");
    });
}

/// A policy's name servers are asked, and where it has the DNS proxy on, the gateway is a name server.
#[test]
fn dns_settings_of_a_policy() {
    let config = "[settings.dns]\nservers = [\"198.51.100.7\"]\nproxy = true\n";
    let Some(net) = Net::new() else { return };
    let there = IpAddr::from([198, 51, 100, 8]);
    let names = net.origin.enter(|| NameServer::start_on("198.51.100.7:53", move |_, _| vec![there]));
    let gateway = Gateway::of(net, HandOver::Tproxy, config, &["--allow=http://ok.test"]);
    let _origin = gateway.net.origin("198.51.100.8:80", http_ok());
    assert_eq!(gateway.net.send(&to(80), get("/", "ok.test")).status(), 200);
    assert_eq!(names.asked().iter().filter(|asked| *asked == "ok.test A").count(), 1);
    let client = gateway.net.client.enter(|| UdpSocket::bind("192.0.2.10:0").unwrap());
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.send_to(&question("ok.test.", RecordType::A).to_vec().unwrap(), "192.0.2.1:53").unwrap();
    let mut buffer = [0; 512];
    let (read, _) = client.recv_from(&mut buffer).unwrap();
    let answer = Message::from_vec(&buffer[..read]).unwrap();
    assert_eq!(answer.answers[0].data.ip_addr(), Some(there));
}

/// Its name is known, and the DNS proxy answers all the same; the flow that follows is denied.
#[test]
fn dns_questions_are_no_matter_of_threat_intelligence() {
    let name = "testmaliciousdomain.eastus.cloudapp.azure.com";
    let there = IpAddr::from([198, 51, 100, 8]);
    let names = NameServer::start(move |_, _| vec![there]);
    let server = format!("--dns-server={}", names.addr);
    let egret = Egret::start(&["--threat-intel=deny", "--allow=http://*", "--dns=127.83.0.1:5399", &server]);
    let answer = ask("127.83.0.1:5399".parse().unwrap(), &question(&format!("{name}."), RecordType::A));
    assert_eq!(answer.answers[0].data.ip_addr(), Some(there));
    let mut client = Client::send_to(egret.addr, get(&format!("http://{name}/"), name));
    assert_eq!(client.status(), 470);
    assert_eq!(egret.verdict(client.addr()), "deny threat-intel");
}
