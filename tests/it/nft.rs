//! The gateway's nftables rules in the kernel, in network namespaces of the test's own: what is written, what is left
//! alone, and where packets go. Who takes what is handed over is a few lines of Python here: the rules are looked at,
//! not Egret.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::command::{Answer, finish};

const EGRET: &str = env!("CARGO_BIN_EXE_egret");
const NOTHING: &str = "no rule of Egret's is in force\n";

/// A network namespace with its `lo` up. Dropped, it goes, and with it all that is in it.
struct Namespace(String);

impl Namespace {
    fn new() -> Namespace {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("egret-nft-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        succeeds(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Namespace(name);
        // Whoever is in it may send an echo request.
        namespace.sh("ip link set lo up; sysctl -qw net.ipv4.ping_group_range='0 65534'");
        namespace
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]).env("NO_COLOR", "1");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EGRET_")) {
            command.env_remove(name);
        }
        command
    }

    /// Runs a script that has to succeed; what it wrote.
    fn sh(&self, script: &str) -> String {
        succeeds(self.command("sh").args(["-e", "-c", script]))
    }

    fn gateway(&self, args: &[&str]) -> Answer {
        finish(self.command(EGRET).arg("gateway").args(args).current_dir("/"), "")
    }

    fn up(&self, args: &[&str]) -> Answer {
        let answer = self.gateway(&[&["up"], args].concat());
        assert_eq!(answer.code, 0, "{answer:?}");
        answer
    }

    fn down(&self) {
        assert_eq!(self.gateway(&["down"]).code, 0);
    }

    fn show(&self) -> String {
        let answer = self.gateway(&["show"]);
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.out
    }

    /// Everybody's rules.
    fn everything(&self) -> String {
        self.sh("nft list ruleset; ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A test that failed early may have left it half made.
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn succeeds(command: &mut Command) -> String {
    let answer = finish(command, "");
    assert_eq!(answer.code, 0, "{command:?}: {answer:?}");
    answer.out
}

/// Namespaces take root. In CI nothing may be skipped.
fn may_make_namespaces() -> bool {
    let works =
        |program: &str, args: &[&str]| Command::new(program).args(args).output().is_ok_and(|o| o.status.success());
    let may = works("unshare", &["--net", "true"]) && works("nft", &["--version"]) && works("ip", &["-Version"]);
    if !may {
        assert!(std::env::var_os("EGRET_NO_SKIP").is_none(), "no root, nft or ip, and no test may be skipped here");
        use std::io::Write;
        // The harness captures what is printed; a skip has to be seen.
        let _ = writeln!(std::io::stderr(), "SKIPPED: rules of the kernel: needs root, nft and ip");
    }
    may
}

const DNAT: &str = r#"
[[rule_collection_group]]
name = "inbound"
priority = 100
[[rule_collection_group.rule_collection]]
name = "web"
priority = 100
type = "dnat"
[[rule_collection_group.rule_collection.rule]]
name = "overlapping"
ip_protocols = ["TCP", "UDP"]
destination_addresses = ["203.0.113.1", "203.0.113.0/28", "203.0.113.8-203.0.113.20", "2001:db8:2::1"]
destination_ports = ["8080", "9000-9010"]
translated_address = "198.51.100.2"
translated_port = 80
"#;

/// A file of the configuration, in a folder that lives as long.
fn config(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("egret.toml");
    fs::write(&path, format!("allow = [\"https://contoso.com\"]\n{text}")).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

/// Somebody else's, as like Egret's as can be.
const OTHERS: &str = "\
    nft add table ip egret; nft add table inet egret2
    nft add chain inet egret2 c '{ type filter hook forward priority 0; policy accept; }'
    nft add rule inet egret2 c meta mark 0x4568 counter accept
    ip rule add priority 4567 fwmark 0x99 lookup 17768; ip rule add priority 4568 fwmark 0x4568 lookup 17768
    ip route add blackhole 192.0.2.0/24 table 17768";

#[test]
fn twice_is_once_and_nobody_elses_is_touched() {
    if !may_make_namespaces() {
        return;
    }
    let listens = ["\"0.0.0.0:3129\", \"[::]:3130\"", "\"192.0.2.1:3129\", \"[2001:db8::1]:3129\"", "\"0.0.0.0:3129\""];
    let mut checked = 0;
    for mode in ["tproxy", "redirect"] {
        for local in [true, false] {
            for (listen, interfaces) in listens.into_iter().zip(["[]", "[\"veth0\", \"br-*\"]", "\"lo\""]) {
                let gateway =
                    format!("listen = [{listen}]\nmode = \"{mode}\"\nlocal = {local}\ninterfaces = {interfaces}");
                same_from_all_sides(&format!("[gateway]\n{gateway}\n{DNAT}"));
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 12);
}

fn same_from_all_sides(text: &str) {
    let (_folder, path) = config(text);
    let namespace = Namespace::new();
    namespace.sh(OTHERS);
    let before = namespace.everything();
    let script = namespace.up(&["--config", &path, "--print"]).out;
    assert_eq!(namespace.everything(), before, "--print does nothing");
    let rules = script.split("EOF").nth(1).unwrap().trim_start_matches("'\n");
    let checked = finish(namespace.command("nft").args(["-c", "-f", "-"]), rules);
    assert_eq!((checked.code, checked.err.as_str()), (0, ""), "{rules}");
    namespace.up(&["--config", &path]);
    let shown = namespace.show();
    assert!(shown.starts_with("table inet egret {"), "{shown}");
    let once = namespace.everything();
    assert_ne!(once, before);
    namespace.up(&["--config", &path]);
    assert_eq!((namespace.show(), namespace.everything()), (shown.clone(), once.clone()), "{text}");
    namespace.sh(&script);
    assert_eq!((namespace.show(), namespace.everything()), (shown, once), "{script}");
    namespace.down();
    assert_eq!(namespace.everything(), before, "{text}");
    namespace.down();
    namespace.sh(&script);
    namespace.sh(&namespace.gateway(&["down", "--print"]).out);
    assert_eq!((namespace.everything(), namespace.show()), (before, NOTHING.to_owned()), "{text}");
}

#[test]
fn what_a_crash_left_behind_is_replaced() {
    if !may_make_namespaces() {
        return;
    }
    let namespace = Namespace::new();
    let (_one, first) = config("[gateway]\nlisten = [\"0.0.0.0:3129\", \"[::]:3129\"]\nmark = 4711\nlocal = true\n");
    let (_two, second) = config("[gateway]\nlisten = [\"0.0.0.0:3131\"]\n");
    namespace.up(&["--config", &first]);
    assert!(namespace.show().contains("ip -6 rule add priority 4567 fwmark 4712 lookup 4712\n"));
    namespace.up(&["--config", &second]);
    let shown = namespace.show();
    let expected = "ip -4 rule add priority 4567 fwmark 17768 lookup 17768\nip -4 route replace local default dev lo table 17768\n";
    assert!(shown.ends_with(&format!("}}\n{expected}")) && !shown.contains("own_tcp"), "{shown}");
    namespace.up(&["--config", &second, "--gateway-mode", "redirect"]);
    let shown = namespace.show();
    assert!(shown.contains("redirect to :3131") && shown.ends_with("}\n"), "{shown}");
    // Half of it.
    namespace.up(&["--config", &second]);
    namespace.sh("ip rule del priority 4567");
    let half = namespace.gateway(&["show"]);
    assert!(half.err.contains("the routing that TPROXY needs is not there\n  = mend: egret gateway up"), "{half:?}");
    namespace.up(&["--config", &second]);
    namespace.sh("nft delete table inet egret");
    let half = namespace.gateway(&["show"]);
    assert!(half.err.contains("routing of Egret's was left behind\n  = mend: egret gateway down"), "{half:?}");
    namespace.down();
    assert_eq!(
        namespace.gateway(&["show", "--format", "json"]).out.split_whitespace().collect::<String>(),
        r#"{"in_force":false,"nftables":null,"routing":[]}"#
    );
}

#[test]
fn errors_say_what_to_do() {
    if !may_make_namespaces() {
        return;
    }
    let namespace = Namespace::new();
    let check = |answer: Answer, code: i32, expected: &str| {
        assert!(answer.code == code && answer.err.contains(expected), "{expected}: {answer:?}");
    };
    check(namespace.gateway(&["up"]), 2, "the gateway has no listener\n  = mend: say where it listens: --gateway");
    check(namespace.gateway(&["up", "--gateway=0.0.0.0:0"]), 2, "the rules have to name a port\n  = mend:");
    let redirect = ["up", "--gateway=127.0.0.1:3129", "--gateway-mode=redirect"];
    check(namespace.gateway(&redirect), 2, "the kernel redirects nothing from other machines to loopback\n  = mend:");
    let twice = ["up", "--gateway=192.0.2.1:1;192.0.2.2:1"];
    check(namespace.gateway(&twice), 2, "one listener a family\n  = mend: leave one out");
    check(
        namespace.gateway(&["up", "--gateway=0.0.0.0:3129", "--interface=a b"]),
        2,
        "`a b` is no name of a network interface",
    );
    let (_folder, path) = config("[gateway]\nlisten = \"0.0.0.0:3129\"\nmark = 253\n");
    check(namespace.gateway(&["up", "--config", &path]), 2, "numbers a routing table\n  4 | mark = 253\n");
    let mut nobody = namespace.command("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]);
    nobody.args(["sh", "-c", "exec \"$0\" gateway up --gateway=0.0.0.0:3129 </dev/null", EGRET]).current_dir("/");
    check(finish(&mut nobody, ""), 4, "is not permitted");
    check(
        namespace.gateway(&["up", "--gateway=0.0.0.0:3129", "--interface=veth7"]),
        0,
        "no interface `veth7` at present",
    );
    // Where routing cannot be had, nothing is half done.
    namespace.down();
    namespace.sh("ip link set lo down");
    check(namespace.gateway(&["up", BOTH]), 4, "Nexthop device is not up.\n  = mend: ip link set lo up");
    assert_eq!(namespace.show(), NOTHING);
}

/// Client, gateway and origin in a row, each with IPv4 and IPv6, the gateway forwarding: without the rules
/// everything gets through.
struct Line {
    client: Namespace,
    gateway: Namespace,
    origin: Namespace,
}

const ORIGIN: &str = "203.0.113.2";
const ORIGIN6: &str = "2001:db8:2::2";

impl Line {
    fn new() -> Line {
        let line = Line { client: Namespace::new(), gateway: Namespace::new(), origin: Namespace::new() };
        let Line { client, gateway, origin } = &line;
        let link = |inner: &Namespace, outer: &Namespace, name: &str| {
            let (inner, outer) = (&inner.0, &outer.0);
            succeeds(
                Command::new("ip")
                    .args(["link", "add", name, "netns", inner, "type", "veth", "peer", name, "netns", outer]),
            );
        };
        link(client, gateway, "inside");
        link(gateway, origin, "outside");
        let address = |at: &Namespace, name: &str, v4: &str, v6: &str| {
            at.sh(&format!(
                "ip addr add {v4}/24 dev {name}; ip addr add {v6}/64 dev {name} nodad; ip link set {name} up"
            ));
        };
        address(client, "inside", "198.51.100.2", "2001:db8:1::2");
        address(gateway, "inside", "198.51.100.1", "2001:db8:1::1");
        address(gateway, "outside", "203.0.113.1", "2001:db8:2::1");
        address(origin, "outside", ORIGIN, ORIGIN6);
        client.sh("ip route add default via 198.51.100.1; ip -6 route add default via 2001:db8:1::1");
        origin.sh("ip route add default via 203.0.113.1; ip -6 route add default via 2001:db8:2::1");
        line.forwarding("1");
        line
    }

    fn forwarding(&self, on: &str) {
        self.gateway.sh(&format!("sysctl -qw net.ipv4.ip_forward={on} net.ipv6.conf.all.forwarding={on}"));
    }
}

/// Answers each connection and datagram with its name and where it was sent to. Dropped, it is killed.
struct Taker(Child);

impl Taker {
    /// `ports` of a name of its own, `transparent` where it takes what is handed over.
    fn start(at: &Namespace, name: &str, ports: &[u16], transparent: bool) -> Taker {
        let mut command = at.command("python3");
        command.args(["-u", "-c", TAKER, name, if transparent { "1" } else { "0" }]);
        command.args(ports.iter().map(ToString::to_string));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Taker(child)
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

const TAKER: &str = r#"
import select, socket, struct, sys
name, transparent, ports = sys.argv[1], sys.argv[2] == "1", [int(p) for p in sys.argv[3:]]
socks = {}
def sock(family, kind, addr, seen):
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6: s.setsockopt(41, socket.IPV6_V6ONLY, 1)
    if seen: s.setsockopt(*((0, 19) if family == socket.AF_INET else (41, 75)), 1)
    if kind == socket.SOCK_DGRAM: s.setsockopt(*((0, 20) if family == socket.AF_INET else (41, 74)), 1)
    s.bind(addr)
    return s
def original(conn):
    v4 = conn.family == socket.AF_INET
    try:
        raw = conn.getsockopt(0 if v4 else 41, 80, 16 if v4 else 28)
        return read(raw)
    except OSError:
        return conn.getsockname()[:2]
def read(raw):
    port = struct.unpack("!H", raw[2:4])[0]
    if len(raw) == 28: return socket.inet_ntop(socket.AF_INET6, raw[8:24]), port
    return socket.inet_ntop(socket.AF_INET, raw[4:8]), port
for port in ports:
    for family, any in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        tcp = sock(family, socket.SOCK_STREAM, (any, port), transparent)
        tcp.listen()
        socks[tcp] = True
        socks[sock(family, socket.SOCK_DGRAM, (any, port), transparent)] = False
print("ready")
while True:
    for s in select.select(list(socks), [], [])[0]:
        if socks[s]:
            conn, _ = s.accept()
            dst = original(conn)
            conn.sendall(f"{name} {dst[0]} {dst[1]}".encode())
            conn.close()
        else:
            _, control, _, peer = s.recvmsg(100, 200)
            dst = read(control[0][2])
            reply = sock(s.family, socket.SOCK_DGRAM, dst, True)
            reply.sendto(f"{name} {dst[0]} {dst[1]}".encode(), peer)
            reply.close()
"#;

/// Prints what a destination answers, or that it does not.
const ASK: &str = r#"
import socket, sys
proto, addr, port, mark = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ":" in addr else socket.AF_INET
echo, number = (b"\x80", 58) if ":" in addr else (b"\x08", 1)
s = socket.socket(family, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM, number if proto == "icmp" else 0)
s.settimeout(float(sys.argv[5]))
if mark: s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
try:
    s.connect((addr, port))
    if proto == "udp": s.send(b"?")
    if proto == "icmp": s.send(echo + bytes(7))
    print("echo" if proto == "icmp" and s.recv(100) else s.recv(100).decode(), end="")
except (TimeoutError, socket.timeout):
    print("silence", end="")
except OSError as error:
    print("refused", end="")
"#;

/// An answer that has to come may take a while; one that must not come is not waited for as long.
fn ask_within(at: &Namespace, what: &str, mark: u32, seconds: &str) -> String {
    let [protocol, addr, port] = what.split(' ').collect::<Vec<_>>()[..] else { panic!("{what}") };
    succeeds(at.command("python3").args(["-c", ASK, protocol, addr, port, &mark.to_string(), seconds]))
}

fn assert_answers(at: &Namespace, asked: &[(&str, &str)]) {
    assert_answers_marked(at, 0, asked);
}

fn assert_answers_marked(at: &Namespace, mark: u32, asked: &[(&str, &str)]) {
    for (what, expected) in asked {
        let seconds = if *expected == "silence" { "0.5" } else { "10" };
        assert_eq!(ask_within(at, what, mark, seconds), *expected, "{what} with mark {mark}");
    }
}

/// What gets through to the origin where there are no rules.
const PAST: &[(&str, &str)] = &[
    ("tcp 203.0.113.2 443", "origin 203.0.113.2 443"),
    ("tcp 2001:db8:2::2 443", "origin 2001:db8:2::2 443"),
    ("udp 203.0.113.2 443", "origin 203.0.113.2 443"),
    ("udp 2001:db8:2::2 443", "origin 2001:db8:2::2 443"),
];

/// The same, handed over.
const TAKEN: &[(&str, &str)] = &[
    ("tcp 203.0.113.2 443", "egret 203.0.113.2 443"),
    ("tcp 2001:db8:2::2 443", "egret 2001:db8:2::2 443"),
    ("udp 203.0.113.2 443", "egret 203.0.113.2 443"),
    ("udp 2001:db8:2::2 443", "egret 2001:db8:2::2 443"),
];

const SILENCE: &[(&str, &str)] = &[
    ("tcp 203.0.113.2 443", "silence"),
    ("tcp 2001:db8:2::2 443", "silence"),
    ("udp 203.0.113.2 443", "silence"),
    ("udp 2001:db8:2::2 443", "silence"),
];

const BOTH: &str = "--gateway=0.0.0.0:3129;[::]:3129";

/// What an echo request comes to.
const ECHO: &[(&str, &str)] = &[("icmp 203.0.113.2 0", "echo"), ("icmp 2001:db8:2::2 0", "echo")];
const NO_ECHO: &[(&str, &str)] = &[("icmp 203.0.113.2 0", "silence"), ("icmp 2001:db8:2::2 0", "silence")];

#[test]
fn tproxy_hands_over_whatever_is_forwarded() {
    if !may_make_namespaces() {
        return;
    }
    let line = Line::new();
    let _origin = Taker::start(&line.origin, "origin", &[443], false);
    assert_answers(&line.client, PAST);
    assert_answers(&line.client, ECHO);
    for flags in [&[BOTH][..], &[BOTH, "--interface=inside"], &[BOTH, "--interface=in*"]] {
        line.gateway.up(flags);
        // Nobody takes it: it does not get through either.
        assert_answers(&line.client, SILENCE);
        assert_answers(&line.client, NO_ECHO);
        let egret = Taker::start(&line.gateway, "egret", &[3129], true);
        assert_answers(&line.client, TAKEN);
        // The gateway itself, and its own traffic, are left alone.
        assert_answers(&line.client, &[("icmp 198.51.100.1 0", "echo")]);
        assert_answers(&line.gateway, PAST);
        // Neither forwarding nor a strict look at sources makes a difference.
        line.forwarding("0");
        line.gateway.sh("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.inside.rp_filter=1");
        assert_answers(&line.client, TAKEN);
        line.forwarding("1");
        drop(egret);
    }
    // Another interface than the clients': nothing is handed over, and nothing gets to or from the clients' own.
    line.gateway.up(&[BOTH, "--interface=outside"]);
    let _egret = Taker::start(&line.gateway, "egret", &[3129], true);
    assert_answers(&line.client, SILENCE);
    line.gateway.down();
    assert_answers(&line.client, PAST);
}

#[test]
fn a_family_without_a_listener_gets_nowhere() {
    if !may_make_namespaces() {
        return;
    }
    let line = Line::new();
    let _origin = Taker::start(&line.origin, "origin", &[443], false);
    for mode in ["tproxy", "redirect"] {
        line.gateway.up(&["--gateway=0.0.0.0:3129", "--gateway-mode", mode]);
        let _egret = Taker::start(&line.gateway, "egret", &[3129], true);
        assert_answers(&line.client, &[TAKEN[0], SILENCE[1], SILENCE[3]]);
    }
}

#[test]
fn redirect_hands_over_tcp_and_drops_the_rest() {
    if !may_make_namespaces() {
        return;
    }
    let line = Line::new();
    let _origin = Taker::start(&line.origin, "origin", &[443], false);
    for listen in [BOTH, "--gateway=198.51.100.1:3129;[2001:db8:1::1]:3129"] {
        line.gateway.up(&[listen, "--gateway-mode=redirect", "--interface=inside"]);
        let _egret = Taker::start(&line.gateway, "egret", &[3129], false);
        assert_answers(&line.client, &TAKEN[..2]);
        assert_answers(&line.client, &SILENCE[2..]);
        assert_answers(&line.client, NO_ECHO);
        assert_answers(&line.gateway, PAST);
    }
}

#[test]
fn this_machines_own_traffic_except_egrets() {
    if !may_make_namespaces() {
        return;
    }
    let line = Line::new();
    let _origin = Taker::start(&line.origin, "origin", &[443], false);
    let _service = Taker::start(&line.gateway, "service", &[443], false);
    let _egret = Taker::start(&line.gateway, "egret", &[3129], true);
    for mode in ["tproxy", "redirect"] {
        let gateway = format!(
            "[gateway]\nlisten = [\"0.0.0.0:3129\", \"[::]:3129\"]\nlocal = true\nmode = \"{mode}\"\ninterfaces = \"lo\"\n"
        );
        let (_folder, path) = config(&gateway);
        line.gateway.up(&["--config", &path]);
        assert_answers(&line.gateway, &TAKEN[..2]);
        match mode {
            "tproxy" => assert_answers(&line.gateway, &TAKEN[2..]),
            _ => assert_answers(&line.gateway, &[(TAKEN[2].0, "refused"), (TAKEN[3].0, "refused")]),
        }
        assert_answers_marked(&line.gateway, 17767, PAST);
        assert_answers(&line.gateway, &ECHO.iter().map(|(what, _)| (*what, "refused")).collect::<Vec<_>>());
        // What is here, and whoever asks from elsewhere.
        assert_answers(&line.gateway, &[("tcp 203.0.113.1 443", "service 203.0.113.1 443")]);
        let services =
            [("tcp 203.0.113.1 443", "service 203.0.113.1 443"), ("udp 203.0.113.1 443", "service 203.0.113.1 443")];
        assert_answers(&line.origin, &services);
        assert_answers(&line.origin, &[("icmp 203.0.113.1 0", "echo")]);
        assert_answers(&line.gateway, &[("icmp 127.0.0.1 0", "echo")]);
        line.gateway.down();
        assert_answers(&line.gateway, PAST);
    }
}

#[test]
fn destinations_of_dnat_rules_are_handed_over_on_any_interface() {
    if !may_make_namespaces() {
        return;
    }
    let line = Line::new();
    let _service = Taker::start(&line.gateway, "service", &[22, 8080], false);
    let (_folder, path) =
        config(&format!("[gateway]\nlisten = [\"0.0.0.0:3129\", \"[::]:3129\"]\ninterfaces = \"inside\"\n{DNAT}"));
    let others =
        [("tcp 203.0.113.1 22", "service 203.0.113.1 22"), ("udp 2001:db8:2::1 22", "service 2001:db8:2::1 22")];
    for mode in ["tproxy", "redirect"] {
        line.gateway.up(&["--config", &path, "--gateway-mode", mode]);
        // Nobody takes it: it is not for the service that has the port.
        let nobody = if mode == "tproxy" { "silence" } else { "refused" };
        assert_answers(&line.origin, &[("tcp 203.0.113.1 8080", nobody), ("tcp 2001:db8:2::1 9005", nobody)]);
        let _egret = Taker::start(&line.gateway, "egret", &[3129], true);
        let taken = [
            ("tcp 203.0.113.1 8080", "egret 203.0.113.1 8080"),
            ("tcp 2001:db8:2::1 9005", "egret 2001:db8:2::1 9005"),
        ];
        assert_answers(&line.origin, &taken);
        if mode == "tproxy" {
            assert_answers(&line.origin, &[("udp 203.0.113.1 8080", "egret 203.0.113.1 8080")]);
        }
        assert_answers(&line.origin, &others);
    }
}

#[test]
fn a_sysctl_in_the_way_is_told() {
    if !may_make_namespaces() {
        return;
    }
    let line = Line::new();
    line.gateway.sh("sysctl -qw net.ipv4.conf.all.src_valid_mark=1");
    let told = line.gateway.up(&[BOTH]).err;
    assert!(told.contains("net.ipv4.conf.all.src_valid_mark is 1"), "{told}");
    let _egret = Taker::start(&line.gateway, "egret", &[3129], true);
    assert_answers(&line.client, &[SILENCE[0]]);
    line.gateway.sh("sysctl -qw net.ipv4.conf.all.src_valid_mark=0");
    assert_eq!(line.gateway.up(&[BOTH]).err.lines().count(), 1);
    assert_answers(&line.client, &[TAKEN[0]]);
}
