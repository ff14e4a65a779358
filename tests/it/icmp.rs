//! ICMP echo through the gateway, by rules of Egret's own: who answers, what is denied, and what is the kernel's.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use super::support::DEADLINE;
use super::support::egret::Egret;
use super::support::gateway::{Gateway, NOBODY};
use super::support::netns::{HandOver, Net, NetNs};

const V4: &str = "198.51.100.7";
const V6: &str = "2001:db8:2::7";
const BOTH: &[&str] = &["--allow=icmp://198.51.100.7", "--allow=icmp://[2001:db8:2::7]"];

/// The kernel's own client: it looks at checksum and identifier, and takes nothing but replies.
pub(super) struct Ping {
    socket: UdpSocket,
    /// Its port is the identifier.
    pub(super) client: SocketAddr,
}

impl Ping {
    pub(super) fn new(net: &Net, to: &str) -> Ping {
        Ping::from(&net.client, if to.contains(':') { "[2001:db8:1::10]:0" } else { "192.0.2.10:0" })
    }

    /// With this identifier; 0 is the kernel's choice.
    fn from(namespace: &NetNs, client: &str) -> Ping {
        namespace.sysctl("net.ipv4.ping_group_range=0 65534");
        let client: SocketAddr = client.parse().unwrap();
        let protocol = if client.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
        let open = || Socket::new(Domain::for_address(client), Type::DGRAM, Some(protocol)).unwrap();
        let socket = namespace.enter(open);
        socket.bind(&client.into()).unwrap();
        // To the standard library it is a socket for datagrams like any other.
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let client = socket.local_addr().unwrap();
        Ping { socket, client }
    }

    pub(super) fn send(&self, to: &str, sequence: u8, payload: &[u8]) {
        let kind = if self.client.is_ipv4() { 8 } else { 128 };
        let message = [&[kind, 0, 0, 0, 0, 0, 0, sequence], payload].concat();
        let to = SocketAddr::new(to.parse().unwrap(), 0);
        assert_eq!(self.socket.send_to(&message, to).unwrap(), message.len());
    }

    /// The next reply: from whom, to which request, and what it carries.
    fn next(&self) -> (String, u8, Vec<u8>) {
        let mut buffer = [0; 2048];
        let (length, from) = loop {
            match self.socket.recv_from(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.expect("a reply"),
            }
        };
        let kind = if self.client.is_ipv4() { 0 } else { 129 };
        assert_eq!(buffer[..2], [kind, 0]);
        assert_eq!(buffer[4..6], self.client.port().to_be_bytes());
        (from.ip().to_string(), buffer[7], buffer[8..length].to_vec())
    }

    /// There is one reply, and nothing came before it.
    pub(super) fn assert_answered(&self, to: &str, sequence: u8, payload: &[u8]) {
        self.send(to, sequence, payload);
        assert_eq!(self.next(), (to.to_owned(), sequence, payload.to_vec()));
    }
}

fn start(config: &str, flags: &[&str]) -> Option<Gateway> {
    Gateway::start(HandOver::Tproxy, config, flags)
}

/// Echo requests that this machine's kernel got, by either family.
fn requests(namespace: &NetNs) -> u64 {
    let script = "awk '/^Icmp:/ { n += $10 } END { print n + 0 }' /proc/net/snmp; \
                  awk '$1 == \"Icmp6InEchos\" { print $2 }' /proc/net/snmp6";
    let output = namespace.command("sh").args(["-c", script]).output().unwrap();
    let counts = String::from_utf8(output.stdout).unwrap();
    counts.split_whitespace().map(|count| count.parse::<u64>().unwrap()).sum()
}

fn assert_fields(record: &Value, expected: &[(&str, &str)]) {
    for (field, expected) in expected {
        assert_eq!(record[field], *expected, "{field} in {record:#}");
    }
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    let Some(gateway) = start("", BOTH) else { return };
    for to in [V4, V6] {
        let ping = Ping::new(&gateway.net, to);
        for (sequence, payload) in [&b""[..], b"odd", b"even", &[0xa5; 1400]].into_iter().enumerate() {
            ping.assert_answered(to, sequence as u8, payload);
        }
        let record = &gateway.egret.flows(ping.client, 1)[0];
        let expected = [("via", "gateway"), ("verdict", "allow"), ("reason", "network-rule"), ("proto", "icmp")];
        assert_fields(record, &expected);
        assert_eq!((record["host"].as_str(), record["port"].as_u64()), (Some(to), None), "{record:#}");
    }
    assert_eq!(requests(&gateway.net.origin), 8);
    let metrics = gateway.net.gateway.enter(|| gateway.egret.get("/metrics")).body;
    assert!(metrics.contains("egret_icmp_flows 2\n") && metrics.contains("egret_icmp_dropped_total 0\n"), "{metrics}");
}

/// What comes first is the answer to what was sent last: there was none to the rest.
#[test]
fn denied_flows_are_dropped_and_logged_once() {
    let Some(gateway) = start("", BOTH) else { return };
    for (allowed, denied) in [(V4, "198.51.100.8"), (V6, "2001:db8:2::8")] {
        let before = requests(&gateway.net.origin);
        let ping = Ping::new(&gateway.net, allowed);
        (0..5).for_each(|sequence| ping.send(denied, sequence, b"anybody there?"));
        ping.assert_answered(allowed, 10, b"through");
        ping.send(denied, 11, b"again");
        ping.assert_answered(allowed, 12, b"through");
        let mut verdicts = gateway.egret.verdicts(ping.client, 2);
        verdicts.sort();
        assert_eq!(verdicts, ["allow network-rule", "deny not-allowed"]);
        let denial = gateway.egret.records(|record| record["verdict"] == "deny" && record["host"] == denied);
        assert_fields(&denial[0], &[("proto", "icmp"), ("via", "gateway")]);
        assert_eq!(requests(&gateway.net.origin) - before, 2);
    }
}

/// Internal addresses are denied with their own reason, whatever allows the rest.
#[test]
fn the_metadata_service_is_denied() {
    let Some(gateway) = start("", &["--allow=icmp://*"]) else { return };
    let ping = Ping::new(&gateway.net, V4);
    ping.send("169.254.169.254", 1, b"");
    assert_eq!(gateway.egret.verdict(ping.client), "deny internal-address");
    let nobody = Ping::new(&gateway.net, V4);
    nobody.send(NOBODY, 1, b"");
    assert_eq!(gateway.egret.verdict(nobody.client), "allow network-rule", "it is allowed, and nobody answers");
}

/// The machine that the gateway runs on answers for itself, whatever the policy says, and no flow is recorded.
#[test]
fn the_kernel_answers_for_its_own_addresses() {
    let Some(gateway) = start("", &["--allow=icmp://*"]) else { return };
    gateway.net.gateway.ip("addr add 192.0.2.2/24 dev inside\n");
    for own in ["192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8:1::1", "2001:db8:2::1"] {
        let ping = Ping::new(&gateway.net, own);
        (0..3).for_each(|sequence| ping.assert_answered(own, sequence, b"hello"));
        // Egret has got to it when it has got to this.
        let to = if own.contains(':') { V6 } else { V4 };
        ping.assert_answered(to, 9, b"through");
        let record = &gateway.egret.flows(ping.client, 1)[0];
        assert_fields(record, &[("host", to)]);
    }
}

/// To the origin both come from the gateway.
#[test]
fn clients_with_the_same_identifier_are_told_apart() {
    let Some(gateway) = start("", &["--allow=icmp://198.51.100.0/24"]) else { return };
    gateway.net.client.ip("addr add 192.0.2.11/24 dev eth0\n");
    let pings =
        ["192.0.2.10:4242", "192.0.2.11:4242", "192.0.2.10:4243"].map(|from| Ping::from(&gateway.net.client, from));
    for sequence in 0..3 {
        for (number, ping) in pings.iter().enumerate() {
            for to in [V4, "198.51.100.8"] {
                ping.send(to, sequence, &[number as u8; 5]);
            }
        }
        for (number, ping) in pings.iter().enumerate() {
            let mut replies = [ping.next(), ping.next()];
            replies.sort();
            let expected = [V4, "198.51.100.8"].map(|to| (to.to_owned(), sequence, vec![number as u8; 5]));
            assert_eq!(replies, expected);
        }
    }
    pings.iter().for_each(|ping| assert_eq!(gateway.egret.flows(ping.client, 2).len(), 2));
}

#[test]
fn idle_flows_end() {
    let Some(gateway) = start("[timeouts]\nudp = \"300ms\"\n", BOTH) else { return };
    let ping = Ping::new(&gateway.net, V4);
    ping.assert_answered(V4, 1, b"hello");
    let close = gateway.egret.close(ping.client);
    assert_fields(&close, &[("reason", "idle-timeout"), ("closed_by", "egret")]);
    assert_eq!((close["bytes_up"].as_u64(), close["bytes_down"].as_u64()), (Some(5), Some(5)), "{close:#}");
    ping.assert_answered(V4, 2, b"hello again");
    gateway.egret.flows(ping.client, 2);
}

#[test]
fn flows_are_capped() {
    let config = "[limits]\nudp_flows = 2\n[timeouts]\nudp = \"1s\"\n";
    let Some(gateway) = start(config, BOTH) else { return };
    let pings = [(); 2].map(|()| Ping::new(&gateway.net, V4));
    pings.iter().for_each(|ping| ping.assert_answered(V4, 1, b"in time"));
    let late = Ping::new(&gateway.net, V4);
    late.send(V4, 1, b"too late");
    assert_eq!(gateway.egret.verdict(late.client), "deny limit-flows");
}

#[test]
fn a_new_policy_cuts_flows_and_forgets_denials() {
    let other = "198.51.100.8";
    let Some(gateway) = start("allow = [\"icmp://198.51.100.7\"]\n", &[]) else { return };
    let (cut, denied) = (Ping::new(&gateway.net, V4), Ping::new(&gateway.net, V4));
    cut.assert_answered(V4, 1, b"before");
    denied.send(other, 1, b"before");
    assert_eq!(gateway.egret.verdict(denied.client), "deny not-allowed");
    gateway.egret.reload("allow = [\"icmp://198.51.100.8\"]\n");
    assert_fields(&gateway.egret.close(cut.client), &[("reason", "policy-changed")]);
    denied.assert_answered(other, 2, b"after");
    cut.send(V4, 2, b"after");
    assert_eq!(gateway.egret.verdicts(cut.client, 2)[1], "deny not-allowed");
}

/// Who comes in elsewhere is no client.
#[test]
fn interfaces_are_those_that_were_named() {
    let Some(net) = Net::new() else { return };
    let named = |name: &str| {
        let flags = [&["--gateway=0.0.0.0:3129", "--interface", name, "--allow=icmp://*"][..]].concat();
        Egret::inside(&net.gateway, "", &flags)
    };
    let mut egret = named("insi*");
    let ping = Ping::new(&net, V4);
    ping.assert_answered(V4, 1, b"through");
    egret.signal("TERM");
    assert!(egret.wait().success());
    let egret = named("outside");
    // Between the interfaces nothing is forwarded. Whoever comes from outside is a client now.
    ping.send(V4, 2, b"ignored");
    let outside = Ping::from(&net.origin, "198.51.100.7:0");
    outside.assert_answered("192.0.2.10", 1, b"through");
    egret.flows(outside.client, 1);
    egret.flows(ping.client, 0);
}

/// Without it echo requests are dropped as before, and that is said at the start. The rest works.
#[test]
fn it_takes_a_capability() {
    let Some(net) = Net::new() else { return };
    let flags = ["--gateway=0.0.0.0:3129", "--gateway=[::]:3129", "--allow=*", "--allow=icmp://*"];
    let egret = Egret::without("net_raw", &net.gateway, "", &flags);
    let said = egret.stderr();
    assert_eq!(said.matches("CAP_NET_RAW").count(), 1, "{said}");
    let ping = Ping::new(&net, V4);
    ping.send(V4, 1, b"dropped");
    ping.assert_answered("192.0.2.1", 2, b"by the kernel");
    assert_eq!(requests(&net.origin), 0);
    egret.flows(ping.client, 0);
}
