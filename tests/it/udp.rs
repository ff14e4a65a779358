//! UDP through the gateway, in a lab of network namespaces: what comes back and from where, what is denied and how that
//! looks, and when a flow ends.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::support::egret::Egret;
use super::support::gateway::{Gateway, NOBODY};
use super::support::netns::{HandOver, Net};
use super::support::{DEADLINE, eventually};

const V4: &str = "198.51.100.7:5000";
const V6: &str = "[2001:db8:2::7]:5000";

/// Sends back what it gets, with its own address in front.
struct Echo {
    received: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn start(net: &Net, addr: &str) -> Echo {
        let socket = net.origin.enter(|| UdpSocket::bind(addr).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (received, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (received, over) = (received.clone(), over.clone());
            move || echo(&socket, &received, &over)
        });
        Echo { received, over, thread: Some(thread) }
    }

    fn received(&self) -> usize {
        self.received.load(Ordering::SeqCst)
    }
}

fn echo(socket: &UdpSocket, received: &AtomicUsize, over: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while !over.load(Ordering::SeqCst) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            received.fetch_add(1, Ordering::SeqCst);
            socket.send_to(&buffer[..length], from).unwrap();
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // It has panicked if the test has.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A client's socket, on the address of its own that suits `to`.
struct Client {
    socket: UdpSocket,
    addr: SocketAddr,
}

impl Client {
    fn new(net: &Net, to: &str) -> Client {
        let own = if to.starts_with('[') { "[2001:db8:1::10]:0" } else { "192.0.2.10:0" };
        let socket = net.client.enter(|| UdpSocket::bind(own).unwrap());
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let addr = socket.local_addr().unwrap();
        Client { socket, addr }
    }

    /// One that takes nothing from any other address, but news of what became of its datagrams.
    fn connected(net: &Net, to: &str) -> Client {
        let client = Client::new(net, to);
        client.socket.connect(to).unwrap();
        client
    }

    fn send(&self, to: &str, datagram: &str) {
        assert_eq!(self.socket.send_to(datagram.as_bytes(), to).unwrap(), datagram.len());
    }

    /// The next datagram, and who it says it is from.
    fn next(&self) -> (String, String) {
        let mut buffer = [0; 2048];
        let (length, from) = self.receive(&mut buffer).expect("an answer");
        (String::from_utf8(buffer[..length].to_vec()).unwrap(), from.to_string())
    }

    /// A wait with a deadline may be interrupted by anything.
    fn receive(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), ErrorKind> {
        loop {
            match self.socket.recv_from(buffer).map_err(|error| error.kind()) {
                Err(ErrorKind::Interrupted) => {}
                received => return received,
            }
        }
    }

    fn assert_echoed(&self, to: &str, datagram: &str) {
        self.send(to, datagram);
        assert_eq!(self.next(), (datagram.to_owned(), to.to_owned()));
    }

    fn assert_echoed_connected(&self, datagram: &str) {
        self.socket.send(datagram.as_bytes()).unwrap();
        assert_eq!(self.next().0, datagram);
    }

    /// Sends on a connected socket, and is told that nobody is there.
    fn assert_refused(&self) {
        self.socket.send(b"anybody there?").unwrap();
        assert_eq!(self.receive(&mut [0; 16]), Err(ErrorKind::ConnectionRefused), "{}", self.addr);
    }
}

/// By the rules of the lab, which hand over what is for the gateway itself too.
fn start(config: &str, flags: &[&str]) -> Option<Gateway> {
    let net = Net::new()?;
    net.hand_over(HandOver::Tproxy);
    Some(Gateway::of(net, HandOver::Tproxy, config, &[flags, &["--gateway-rules=leave"]].concat()))
}

/// A flow's later datagrams belong to it as well, by rules of Egret's own.
#[test]
fn every_datagram_is_handed_over() {
    let Some(gateway) = Gateway::start(HandOver::Tproxy, "", BOTH) else { return };
    for to in [V4, V6] {
        let origin = Echo::start(&gateway.net, to);
        let client = Client::new(&gateway.net, to);
        for datagram in ["first", "second", "third"] {
            client.assert_echoed(to, datagram);
        }
        assert_eq!(origin.received(), 3);
        gateway.egret.flows(client.addr, 1);
    }
}

fn assert_fields(record: &Value, expected: &[(&str, &str)]) {
    for (field, expected) in expected {
        assert_eq!(record[field], *expected, "{field} in {record:#}");
    }
}

fn allow(rules: &[&str]) -> String {
    let quoted: Vec<String> = rules.iter().map(|rule| format!("\"{rule}\"")).collect();
    format!("allow = [{}]\n", quoted.join(", "))
}

const BOTH: &[&str] = &["--allow=udp://198.51.100.7:5000", "--allow=udp://[2001:db8:2::7]:5000"];

/// A connected socket takes nothing from any other address than the one that it asked.
#[test]
fn answers_come_from_the_address_that_was_asked() {
    let Some(gateway) = start("", BOTH) else { return };
    for to in [V4, V6] {
        let origin = Echo::start(&gateway.net, to);
        let client = Client::connected(&gateway.net, to);
        for datagram in ["one", "", "three"] {
            client.socket.send(datagram.as_bytes()).unwrap();
            assert_eq!(client.next().0, datagram);
        }
        let record = &gateway.egret.flows(client.addr, 1)[0];
        let expected =
            [("via", "gateway"), ("verdict", "allow"), ("reason", "network-rule"), ("proto", "udp"), ("dst", to)];
        assert_fields(record, &expected);
        assert_eq!(record["port"], 5000);
        assert_eq!(origin.received(), 3);
    }
    let metrics = gateway.net.gateway.enter(|| gateway.egret.get("/metrics")).body;
    assert!(metrics.contains("egret_udp_flows 2\n") && metrics.contains("egret_udp_dropped_total 0\n"), "{metrics}");
}

/// The rules that Egret writes itself lead each datagram of a flow to it, not the first one only: not to the socket that
/// answers in the name of the one who was asked.
#[test]
fn egrets_own_rules_hand_over_whole_flows() {
    let Some(net) = Net::new() else { return };
    let listen = ["--gateway=0.0.0.0:3129", "--gateway=[::]:3129", "--gateway-rules=manage"];
    let config = "[gateway]\ndenied_udp = \"unreachable\"\n";
    let egret = Egret::inside(&net.gateway, config, &[&listen, BOTH].concat());
    for (to, denied) in [(V4, "198.51.100.7:5001"), (V6, "[2001:db8:2::7]:5001")] {
        let origin = Echo::start(&net, to);
        let client = Client::connected(&net, to);
        (0..3).for_each(|_| client.assert_echoed_connected("hello"));
        assert_eq!(egret.verdict(client.addr), "allow network-rule");
        assert_eq!(origin.received(), 3);
        let client = Client::connected(&net, denied);
        (0..3).for_each(|_| client.assert_refused());
        assert_eq!(egret.verdict(client.addr), "deny port-not-allowed");
    }
}

/// Every pair of a client's socket and a destination is a flow of its own.
#[test]
fn flows_are_told_apart() {
    let Some(gateway) = start("", &["--allow=udp://198.51.100.0/24:5000-5001"]) else { return };
    let asked = [V4, "198.51.100.8:5000", "198.51.100.7:5001"];
    let origins = asked.map(|to| Echo::start(&gateway.net, to));
    let clients = [(); 4].map(|()| Client::new(&gateway.net, V4));
    for round in 0..3 {
        for (number, client) in clients.iter().enumerate() {
            asked.iter().for_each(|to| client.assert_echoed(to, &format!("{number} to {to}, {round}")));
        }
    }
    for client in &clients {
        let mut dsts: Vec<String> = gateway.egret.flows(client.addr, 3).iter().map(|r| r["dst"].to_string()).collect();
        dsts.sort();
        let mut expected = asked.map(|to| format!("\"{to}\""));
        expected.sort();
        assert_eq!(dsts, expected);
    }
    assert_eq!(origins.map(|origin| origin.received()), [12; 3]);
}

/// Section 1.6 of the semantics: a name allows nothing on UDP, a network rule does.
#[test]
fn quic_is_udp_443() {
    let rules = ["--allow=https://ok.test", "--resolve=ok.test:198.51.100.8", "--allow=udp://198.51.100.7:443"];
    let Some(gateway) = start("", &rules) else { return };
    let (_quic, other) = (Echo::start(&gateway.net, "198.51.100.7:443"), Echo::start(&gateway.net, "198.51.100.8:443"));
    let denied = Client::new(&gateway.net, V4);
    denied.send("198.51.100.8:443", "initial");
    assert_eq!(gateway.egret.verdict(denied.addr), "deny not-allowed");
    let client = Client::new(&gateway.net, V4);
    client.assert_echoed("198.51.100.7:443", "initial");
    assert_eq!(gateway.egret.verdict(client.addr), "allow network-rule");
    assert_eq!(other.received(), 0);
}

/// What comes first is the answer to what was sent last: there was none to the rest.
#[test]
fn denied_flows_are_dropped_and_logged_once() {
    let Some(gateway) = start("", BOTH) else { return };
    let (_allowed, denied) = (Echo::start(&gateway.net, V4), Echo::start(&gateway.net, "198.51.100.7:5001"));
    let client = Client::new(&gateway.net, V4);
    (0..5).for_each(|_| client.send("198.51.100.7:5001", "again"));
    client.assert_echoed(V4, "through");
    client.send("198.51.100.7:5001", "and again");
    client.assert_echoed(V4, "through");
    let mut verdicts = gateway.egret.verdicts(client.addr, 2);
    verdicts.sort();
    assert_eq!(verdicts, ["allow network-rule", "deny port-not-allowed"]);
    let denial = &gateway.egret.records(|record| record["verdict"] == "deny")[0];
    assert_fields(denial, &[("proto", "udp"), ("via", "gateway"), ("host", "198.51.100.7")]);
    assert_eq!(denied.received(), 0);
}

#[test]
fn denied_flows_may_be_told_so() {
    let Some(gateway) = start("[gateway]\ndenied_udp = \"unreachable\"\n", &[]) else { return };
    for to in [format!("{NOBODY}:53"), V4.to_owned(), V6.to_owned()] {
        let client = Client::connected(&gateway.net, &to);
        (0..3).for_each(|_| client.assert_refused());
        assert_eq!(gateway.egret.verdict(client.addr), "deny not-allowed", "{to}");
    }
}

/// Nobody is there: that is no denial, and ends the flow.
#[test]
fn an_origin_that_refuses() {
    let Some(gateway) = start("", &[BOTH, &["--profile=strict"]].concat()) else { return };
    for to in [V4, V6] {
        let client = Client::connected(&gateway.net, to);
        client.assert_refused();
        assert_eq!(gateway.egret.verdict(client.addr), "allow network-rule");
        let close = gateway.egret.close(client.addr);
        assert_fields(&close, &[("reason", "upstream-unreachable"), ("closed_by", "origin")]);
        // Somebody may be there the next time.
        let _origin = Echo::start(&gateway.net, to);
        client.assert_echoed_connected("there now");
        gateway.egret.flows(client.addr, 2);
    }
}

#[test]
fn idle_flows_end() {
    let Some(gateway) = start("[timeouts]\nudp = \"300ms\"\n", BOTH) else { return };
    let _origin = Echo::start(&gateway.net, V4);
    let client = Client::new(&gateway.net, V4);
    client.assert_echoed(V4, "hello");
    let close = gateway.egret.close(client.addr);
    assert_fields(&close, &[("reason", "idle-timeout"), ("closed_by", "egret")]);
    assert_eq!((close["bytes_up"].as_u64(), close["bytes_down"].as_u64()), (Some(5), Some(5)), "{close:#}");
    client.assert_echoed(V4, "hello again");
    gateway.egret.flows(client.addr, 2);
}

#[test]
fn flows_are_capped() {
    let config = "[limits]\nudp_flows = 2\n[timeouts]\nudp = \"1s\"\n";
    let Some(gateway) = start(config, BOTH) else { return };
    let _origin = Echo::start(&gateway.net, V4);
    let clients = [(); 2].map(|()| Client::new(&gateway.net, V4));
    clients.iter().for_each(|client| client.assert_echoed(V4, "in time"));
    let late = Client::new(&gateway.net, V4);
    late.send(V4, "too late");
    assert_eq!(gateway.egret.verdict(late.addr), "deny limit-flows");
    // What was refused for a lack of room is let in once there is some.
    late.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    eventually("there is room", || {
        late.send(V4, "again");
        late.receive(&mut [0; 16]).ok()
    });
    assert_eq!(gateway.egret.verdicts(late.addr, 2), ["deny limit-flows", "allow network-rule"]);
}

/// Whoever goes on sending is asked about again too: what allows it may have come meanwhile.
#[test]
fn a_denial_does_not_outlast_the_timeout_of_a_flow() {
    let Some(gateway) = start("[timeouts]\nudp = \"300ms\"\n", &[]) else { return };
    let client = Client::new(&gateway.net, V4);
    eventually("it is decided again", || {
        client.send(V4, "still here");
        (gateway.egret.records(|record| record["verdict"] == "deny").len() >= 3).then_some(())
    });
}

#[test]
fn flows_of_one_client_are_capped() {
    let config = "[limits]\nconnections_per_client = 2\n[timeouts]\nudp = \"1s\"\n";
    let Some(gateway) = start(config, BOTH) else { return };
    let _origins = [V4, V6].map(|to| Echo::start(&gateway.net, to));
    let clients = [(); 2].map(|()| Client::new(&gateway.net, V4));
    clients.iter().for_each(|client| client.assert_echoed(V4, "in time"));
    let late = Client::new(&gateway.net, V4);
    late.send(V4, "one too many");
    assert_eq!(gateway.egret.verdict(late.addr), "deny limit-client");
    Client::new(&gateway.net, V6).assert_echoed(V6, "another client");
    late.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    eventually("there is room", || {
        late.send(V4, "again");
        late.receive(&mut [0; 16]).ok()
    });
    assert_eq!(gateway.egret.verdicts(late.addr, 2), ["deny limit-client", "allow network-rule"]);
}

/// Flows that wait for a name server which never answers hold nobody else up.
#[test]
fn undecided_flows_do_not_stall_others() {
    let rule = TRANSLATED.replace("address = \"198.51.100.7\"", "fqdn = \"origin.test\"");
    let config = format!("{rule}[proxy]\nworkers = 1\n");
    let Some(net) = Net::new() else { return };
    net.hand_over(HandOver::Tproxy);
    let _silent = net.origin.enter(|| UdpSocket::bind("198.51.100.7:53").unwrap());
    let flags = [&["--gateway-rules=leave", "--dns-server=198.51.100.7"], BOTH].concat();
    let gateway = Gateway::of(net, HandOver::Tproxy, &config, &flags);
    let _origin = Echo::start(&gateway.net, V4);
    let known = Client::new(&gateway.net, V4);
    known.assert_echoed(V4, "before");
    let waiting: Vec<Client> = (0..300).map(|_| Client::new(&gateway.net, V4)).collect();
    for some in waiting.chunks(50) {
        some.iter().for_each(|client| client.send("192.0.2.1:5353", "anybody there?"));
        // So they have all been taken from the kernel's queue, which would not hold many more.
        known.assert_echoed(V4, "meanwhile");
    }
    assert_eq!(gateway.egret.records(|record| record["port"] == 5353), [Value::Null; 0]);
    let metrics = gateway.net.gateway.enter(|| gateway.egret.get("/metrics")).body;
    assert!(metrics.contains("egret_udp_dropped_total 44\n"), "{metrics}");
}

const TRANSLATED: &str = r#"
name = "lab"
[[rule_collection_group]]
name = "g"
priority = 100
[[rule_collection_group.rule_collection]]
name = "in"
priority = 100
type = "dnat"
[[rule_collection_group.rule_collection.rule]]
name = "r5353"
ip_protocols = "UDP"
destination_addresses = ["192.0.2.1"]
destination_ports = 5353
translated_address = "198.51.100.7"
translated_port = 5000
"#;

#[test]
fn dnat_takes_datagrams() {
    let Some(gateway) = start(TRANSLATED, &[]) else { return };
    let origin = Echo::start(&gateway.net, V4);
    let client = Client::new(&gateway.net, V4);
    client.assert_echoed("192.0.2.1:5353", "translated");
    let record = &gateway.egret.flows(client.addr, 1)[0];
    assert_fields(record, &[("reason", "dnat-rule"), ("dst", V4), ("host", "192.0.2.1"), ("proto", "udp")]);
    let other = Client::new(&gateway.net, V4);
    other.send("192.0.2.1:5354", "not translated");
    assert_eq!(gateway.egret.verdict(other.addr), "deny not-allowed");
    assert_eq!(origin.received(), 1);
}

/// The largest that there are: 65 535 bytes of IPv4, or of IPv6's payload, without the headers.
#[test]
fn large_datagrams() {
    let Some(gateway) = start("", BOTH) else { return };
    for (to, length) in [(V4, 65_507), (V6, 65_527)] {
        let _origin = Echo::start(&gateway.net, to);
        let client = Client::connected(&gateway.net, to);
        let datagram: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let mut buffer = vec![0; 65_536];
        for _ in 0..3 {
            assert_eq!(client.socket.send(&datagram).unwrap(), length);
            assert_eq!(client.receive(&mut buffer).unwrap().0, length);
            assert!(buffer[..length] == datagram, "{to}");
        }
    }
}

#[test]
fn a_new_policy_cuts_flows_and_forgets_denials() {
    let other = "198.51.100.7:5001";
    let Some(gateway) = start(&allow(&["udp://198.51.100.7:5000"]), &[]) else { return };
    let _origins = [V4, other].map(|to| Echo::start(&gateway.net, to));
    let (cut, denied) = (Client::new(&gateway.net, V4), Client::new(&gateway.net, V4));
    cut.assert_echoed(V4, "before");
    denied.send(other, "before");
    assert_eq!(gateway.egret.verdict(denied.addr), "deny port-not-allowed");
    gateway.egret.reload(&allow(&["udp://198.51.100.7:5001"]));
    assert_fields(&gateway.egret.close(cut.addr), &[("reason", "policy-changed"), ("closed_by", "egret")]);
    denied.assert_echoed(other, "after");
    cut.send(V4, "after");
    assert_eq!(gateway.egret.verdicts(cut.addr, 2), ["allow network-rule", "deny port-not-allowed"]);
}

#[test]
fn its_own_port_is_no_destination() {
    let Some(gateway) = start("", &["--allow=udp://*:*"]) else { return };
    for to in ["192.0.2.1:3129", "198.51.100.1:3129", "[2001:db8:1::1]:3129"] {
        let client = Client::new(&gateway.net, to);
        client.send(to, "round and round");
        assert_eq!(gateway.egret.verdict(client.addr), "deny loop", "{to}");
        assert_fields(&gateway.egret.flows(client.addr, 1)[0], &[("proto", "udp")]);
    }
}

/// The gateway's own port on somebody else's machine is a destination like any other.
#[test]
fn an_origin_on_the_gateways_port() {
    let to = "198.51.100.7:3129";
    let Some(gateway) = start("", &["--allow=udp://198.51.100.7:3129"]) else { return };
    let _origin = Echo::start(&gateway.net, to);
    let client = Client::new(&gateway.net, to);
    (0..3).for_each(|_| client.assert_echoed(to, "through"));
    gateway.egret.flows(client.addr, 1);
}

/// A service of Egret's own has the port on every address of this machine, and somebody else is answered for all the
/// same.
#[test]
fn a_port_that_egret_itself_serves() {
    let (v4, v6) = ("198.51.100.7:53", "[2001:db8:2::7]:53");
    let flags =
        ["--allow=udp://198.51.100.7:53", "--allow=udp://[2001:db8:2::7]:53", "--dns=0.0.0.0:53", "--dns=[::]:53"];
    let Some(gateway) = start("", &flags) else { return };
    for to in [v4, v6] {
        let _origin = Echo::start(&gateway.net, to);
        let client = Client::new(&gateway.net, to);
        (0..3).for_each(|_| client.assert_echoed(to, "through"));
    }
}

/// Flows go on while Egret drains, until they rest; no new one begins.
#[test]
fn it_drains() {
    let Some(mut gateway) = start("", BOTH) else { return };
    let _origin = Echo::start(&gateway.net, V4);
    let (client, late) = (Client::new(&gateway.net, V4), Client::new(&gateway.net, V4));
    client.assert_echoed(V4, "hello");
    gateway.egret.signal("TERM");
    client.assert_echoed(V4, "last words");
    assert!(gateway.egret.wait().success());
    assert_fields(&gateway.egret.close(client.addr), &[("reason", "shutdown"), ("closed_by", "egret")]);
    gateway.egret.flows(late.addr, 0);
}
