//! A lab of three network namespaces: clients, the gateway that is their only way out, and origins. They are made for
//! one test, by names of their own, and go when they are dropped, also by a panic. Takes root.
//!
//! ```text
//!   clients                    gateway                         origins
//!   192.0.2.10      eth0 ─── inside   outside ─── eth0   198.51.100.0/24 (.7, .8, .9)
//!   2001:db8:1::10           .1 / ::1   .1 / ::1         2001:db8:2::/64 (::7, ::8)
//! ```
//!
//! The gateway is a router, whose rules are Egret's to write. A socket belongs to the namespace in which it was made, whoever uses it
//! later: what a test opens inside [`NetNs::enter`] it may take outside.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::command::clean;
use super::origin::{Note, Origin};
use super::raw::{Client, End};
use super::skip;

/// A network namespace, with nothing in it but a loopback.
pub struct NetNs {
    name: String,
}

impl NetNs {
    pub fn new(role: &str) -> NetNs {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("egret-{}-{number}-{role}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]), "");
        let namespace = NetNs { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// A program to run inside, without a variable `EGRET_…`. It is its own process: what kills it kills the program.
    pub fn command(&self, program: &str) -> Command {
        let mut command = clean("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Does the work in a thread inside. Threads that it starts are inside too.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            let namespace = File::open(format!("/run/netns/{}", self.name)).expect("it is there");
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("we are root");
            work()
        };
        std::thread::scope(|scope| scope.spawn(inside).join().unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// Lines as `ip` takes them, in order.
    pub fn ip(&self, lines: &str) {
        run(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), lines);
    }

    /// The same for what does not tell by itself that it is of IPv6.
    pub fn ip6(&self, lines: &str) {
        run(Command::new("ip").args(["-6", "-n", &self.name, "-batch", "-"]), lines);
    }

    /// Takes these addresses and these routers, by the one interface that it has.
    fn joins(&self, router: &str, router_v6: &str, addrs: &[&str]) {
        let flags = |addr: &str| if addr.contains(':') { " nodad" } else { "" };
        let addrs = addrs.iter().map(|addr| format!("addr add {addr} dev eth0{}\n", flags(addr)));
        self.ip(&format!("{}link set eth0 up\nroute add default via {router}\n", addrs.collect::<String>()));
        self.ip6(&format!("route add default via {router_v6}\n"));
    }

    /// Rules as `nft -f` reads them.
    pub fn nft(&self, rules: &str) {
        run(self.command("nft").args(["-f", "-"]), rules);
    }

    pub fn sysctl(&self, setting: &str) {
        run(self.command("sysctl").args(["-qw", setting]), "");
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        // While a panic unwinds another one would end the process.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).stderr(Stdio::null()).status();
    }
}

/// Runs to its end, which has to be a good one.
fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{input}", output.status);
    output
}

/// May this process make namespaces, with nftables in them? In CI it has to.
pub fn is_possible() -> bool {
    static POSSIBLE: OnceLock<Option<String>> = OnceLock::new();
    let lack = POSSIBLE.get_or_init(|| {
        let name = format!("egret-{}-probe", std::process::id());
        let tries = [
            &["ip", "netns", "add", &name][..],
            &["ip", "netns", "exec", &name, "nft", "add", "table", "inet", "probe"],
            &["ip", "netns", "del", &name],
        ];
        tries.iter().find_map(|words| match Command::new(words[0]).args(&words[1..]).output() {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Some(format!("{words:?}: {error}")),
        })
    });
    if let Some(lack) = lack {
        skip(&format!("no network namespaces here: {lack}"));
    }
    lack.is_none()
}

/// How the kernel hands connections over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    Tproxy,
    Redirect,
}

pub const HAND_OVERS: [HandOver; 2] = [HandOver::Tproxy, HandOver::Redirect];

impl HandOver {
    pub fn word(self) -> &'static str {
        match self {
            HandOver::Tproxy => "tproxy",
            HandOver::Redirect => "redirect",
        }
    }
}

/// Where the gateway listens, in both families.
pub const GATEWAY_PORT: u16 = 3129;

/// Everything that clients send, to the gateway itself too, which is where DNAT rules take it from.
const TPROXY: &str = "\
table inet handover {
    chain pre {
        type filter hook prerouting priority mangle;
        iifname != \"inside\" accept
        meta l4proto { tcp, udp } meta nfproto ipv4 tproxy ip to :3129 meta mark set 17768 accept
        meta l4proto { tcp, udp } meta nfproto ipv6 tproxy ip6 to :3129 meta mark set 17768 accept
    }
}
";
/// For either family.
const TPROXY_ROUTES: &str = "\
rule add fwmark 17768 lookup 17768
route add local default dev lo table 17768
";
const REDIRECT: &str = "\
table inet handover {
    chain pre {
        type nat hook prerouting priority dstnat;
        iifname \"inside\" meta l4proto tcp redirect to :3129
    }
}
";
const FORWARDS_NOTHING: &str = "\
table inet forwards_nothing {
    chain forward { type filter hook forward priority 0; policy drop; }
}
";

const ORIGINS: [&str; 5] =
    ["198.51.100.7/24", "198.51.100.8/24", "198.51.100.9/24", "2001:db8:2::7/64", "2001:db8:2::8/64"];

/// The three namespaces, connected.
pub struct Net {
    pub client: NetNs,
    pub gateway: NetNs,
    pub origin: NetNs,
    ports: Ports,
}

/// Source ports, each once. One that was used before, to elsewhere, a redirecting kernel would replace by another, since
/// to the gateway both lead to the same place: then the client is not who it thinks it is.
pub struct Ports(AtomicU16);

impl Ports {
    /// Below those that the kernel chooses.
    pub const fn new() -> Ports {
        Ports(AtomicU16::new(10_000))
    }

    pub fn next(&self) -> u16 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Net {
    /// With nothing handed over yet, and everything forwarded. None, and said so, where that is not possible.
    pub fn new() -> Option<Net> {
        if !is_possible() {
            return None;
        }
        let [client, gateway, origin] = ["client", "gateway", "origin"].map(NetNs::new);
        let net = Net { client, gateway, origin, ports: Ports::new() };
        net.gateway.ip(&format!(
            "link add inside type veth peer name eth0 netns {client}\n\
             link add outside type veth peer name eth0 netns {origin}\n\
             addr add 192.0.2.1/24 dev inside\n\
             addr add 2001:db8:1::1/64 dev inside nodad\n\
             addr add 198.51.100.1/24 dev outside\n\
             addr add 2001:db8:2::1/64 dev outside nodad\n\
             link set inside up\n\
             link set outside up\n",
            client = net.client.name,
            origin = net.origin.name,
        ));
        net.client.joins("192.0.2.1", "2001:db8:1::1", &["192.0.2.10/24", "2001:db8:1::10/64"]);
        net.origin.joins("198.51.100.1", "2001:db8:2::1", &ORIGINS);
        net.gateway.sysctl("net.ipv4.ip_forward=1");
        net.gateway.sysctl("net.ipv6.conf.all.forwarding=1");
        Some(net)
    }

    /// Hands over what clients send to [`GATEWAY_PORT`], by rules of this file: for an Egret that leaves them to others.
    pub fn hand_over(&self, how: HandOver) {
        self.gateway.nft(FORWARDS_NOTHING);
        match how {
            HandOver::Tproxy => {
                self.gateway.nft(TPROXY);
                self.gateway.ip(TPROXY_ROUTES);
                self.gateway.ip6(TPROXY_ROUTES);
            }
            HandOver::Redirect => self.gateway.nft(REDIRECT),
        }
    }

    /// An origin in its namespace, at an address and port of that.
    pub fn origin(&self, addr: &str, handler: impl Fn(TcpStream, &Note) + Send + Sync + 'static) -> Origin {
        self.origin.enter(|| Origin::start_on(addr, handler))
    }

    /// A client's connection to wherever it likes.
    pub fn connect(&self, to: &str) -> Client {
        let (_, connected) = self.try_connect(to);
        connected.unwrap_or_else(|error| panic!("{to}: {error}"))
    }

    /// The same where it may be reset before the news that the handshake is over. The client's address.
    pub fn try_connect(&self, to: &str) -> (SocketAddr, std::io::Result<Client>) {
        let to: SocketAddr = to.parse().expect("an address and a port");
        self.client.enter(|| Client::connect_from(None, self.ports.next(), to))
    }

    pub fn send(&self, to: &str, bytes: impl AsRef<[u8]>) -> Client {
        let mut client = self.connect(to);
        client.send(bytes);
        client
    }

    /// Connects and sends to where nothing but a reset may come from. The client's address.
    pub fn assert_reset(&self, to: &str, first: impl AsRef<[u8]>) -> SocketAddr {
        let (from, connected) = self.try_connect(to);
        // It may be faster than what is sent.
        let sent = connected.and_then(|mut client| client.stream.write_all(first.as_ref()).map(|()| client));
        match sent {
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{to}"),
            Ok(mut client) => assert_eq!(client.rest(), (Vec::new(), End::Reset), "{to}"),
        }
        from
    }
}
