//! One policy, one verdict, whoever asks: every flow of `tests/cases/*.toml` is put to `egret check`, to the explicit
//! proxy by HTTP and by SOCKS5, and to the gateway, over the wire, and has to be decided as the compiled policy (and
//! the case) decides it: verdict, reason and collection. Where a way cannot be asked, or sees less than the policy was
//! told, [`DIFFERENCES`] says so.
//!
//! It all happens in one network namespace that leads nowhere: what is sent there goes to the gateway, whatever its
//! destination, and what Egret itself dials is unreachable. A verdict is written down before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use egret::config::CheckTarget;
use egret::flow::{Host, Protocol};
use serde_json::Value;

use super::cases::{self, Flow};
use super::support::command::{egret, finish};
use super::support::dns::NameServer;
use super::support::egret::Egret;
use super::support::hello::Hello;
use super::support::netns::{GATEWAY_PORT, NetNs, Ports, is_possible};
use super::support::raw::{Client, connect, get, socks_request, status_of};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `egret check`.
    Check,
    /// `CONNECT`, or a request in absolute form.
    Proxy,
    Socks5,
    Gateway,
}

use Way::{Check, Gateway, Proxy, Socks5};

const ON_THE_WIRE: [Way; 3] = [Proxy, Socks5, Gateway];

/// Flows that a way decides otherwise, or cannot be asked about.
struct Difference {
    /// The file and what is asked for; a star at the end stands for anything.
    of: (&'static str, &'static str),
    ways: &'static [Way],
    /// None where it cannot be asked.
    verdict: Option<&'static str>,
    because: &'static str,
}

const fn not_asked(file: &'static str, ask: &'static str, because: &'static str) -> Difference {
    Difference { of: (file, ask), ways: &ON_THE_WIRE, verdict: None, because }
}

const fn by(
    ways: &'static [Way],
    file: &'static str,
    ask: &'static str,
    verdict: &'static str,
    because: &'static str,
) -> Difference {
    Difference { of: (file, ask), ways, verdict: Some(verdict), because }
}

const NO_DATAGRAMS: &str = "the explicit proxy carries TCP alone, and REDIRECT hands nothing else over";
const NO_NAME: &str = "on a port that is not intercepted the gateway sees no name: it decides by address";
const LOOKED_INTO: &str =
    "on an intercepted port the gateway waits for a name, and what names nobody is refused for that";
const NO_INBOUND: &str = "DNAT rules are for what comes in, and clients of a proxy go out";
const BY_NAME_FIRST: &str = "a name whose port application rules decide is judged by name alone, so that no client makes \
                             Egret ask DNS for names of its choice";
const NO_PATH_YET: &str = "SOCKS5 asks before there is a path, so a rule for URLs cannot match";
const PAST_IT: &str = "what a service endpoint takes past the firewall is counted, and not written down";
const OWN_WORD: &str = "`check` is told the address by --resolve, the user's own word, which leads where it leads";
const TUNNEL_FIRST: &str = "what SOCKS5 asks for is allowed by HTTPS, and is something else inside";

/// All there are: one that is not one is an error.
const DIFFERENCES: &[Difference] = &[
    not_asked("row_08_no_rules.toml", "udp:*", NO_DATAGRAMS),
    not_asked("row_08_no_rules.toml", "icmp:*", NO_DATAGRAMS),
    not_asked("row_10_any_with_a_port_is_tcp_and_udp.toml", "udp:*", NO_DATAGRAMS),
    not_asked("row_10_any_with_a_port_is_tcp_and_udp.toml", "icmp:*", NO_DATAGRAMS),
    not_asked("row_10_any_with_a_port_is_tcp_and_udp.toml", "ip:*", NO_DATAGRAMS),
    by(&[Gateway], "fqdn_exact.toml", "https://www.contoso.com:8443", "deny not-allowed", NO_NAME),
    by(&[Gateway], "tags.toml", "https://login.windows.net:8443", "deny not-allowed", NO_NAME),
    by(&[Gateway], "row_06_sni_decides_not_the_address.toml", "tcp://198.51.100.9:443", "deny not-tls", LOOKED_INTO),
    by(&[Gateway], "row_08_no_rules.toml", "tcp://1.1.1.1:443", "deny not-tls", LOOKED_INTO),
    by(&[Gateway], "tags.toml", "tcp://1.1.1.1:443", "deny not-tls", LOOKED_INTO),
    by(&[Gateway], "row_09_address_is_no_name.toml", "https://198.51.100.7", "deny missing-sni", LOOKED_INTO),
    by(&[Proxy, Socks5], "rule_order.toml", "tcp://203.0.113.4:22", "deny not-allowed", NO_INBOUND),
    by(&[Socks5], "fqdn_exact.toml", "http://www.contoso.com:443", "deny not-tls", TUNNEL_FIRST),
    by(&[Socks5], "row_11_url_rules.toml", "http:*", "deny not-allowed", NO_PATH_YET),
    by(&[Socks5], "url_host_wildcards.toml", "http:*", "deny not-allowed", NO_PATH_YET),
    by(&[Socks5], "url_paths.toml", "http:*", "deny not-allowed", NO_PATH_YET),
    not_asked("service_endpoints.toml", "https://mine.blob.core.windows.net", PAST_IT),
    not_asked("service_endpoints.toml", "mssql:*", PAST_IT),
    by(&[Check], "service_endpoints.toml", "https://private.*", "allow service-endpoint", OWN_WORD),
    Difference {
        of: ("row_03_parent_precedes_only_within_a_type.toml", "https://example.com"),
        ways: &[Check, Proxy, Socks5],
        verdict: Some("deny denied-by-rule"),
        because: BY_NAME_FIRST,
    },
];

impl Difference {
    fn is_of(&self, file: &str, flow: &Flow, way: Way) -> bool {
        let (of, ask) = self.of;
        let asked = ask.strip_suffix('*').map_or(flow.ask == ask, |start| flow.ask.starts_with(start));
        of == file && asked && self.ways.contains(&way)
    }
}

/// What came of all questions: those that were decided wrongly, and the differences that showed.
#[derive(Default)]
struct Score {
    wrong: Vec<String>,
    seen: BTreeSet<usize>,
}

impl Score {
    /// Compares what was decided with what the case says. It is not asked where it cannot be.
    fn check(&mut self, file: &str, flow: &Flow, way: Way, decide: impl FnOnce() -> Decided) {
        let at = DIFFERENCES.iter().position(|difference| difference.is_of(file, flow, way));
        let instead = at.map(|at| DIFFERENCES[at].verdict);
        if instead == Some(None) {
            self.seen.extend(at);
            return;
        }
        let decided = decide();
        let agrees = decided.agrees(flow);
        let fine = instead.flatten().map_or(agrees, |verdict| decided.verdict == verdict);
        self.seen.extend(at.filter(|_| !agrees));
        if !fine {
            let Flow { ask, from, address, verdict, reason, .. } = flow;
            let line =
                format!("{file}: {ask} from {from:?} at {address:?} by {way:?}: {decided:?}, not {verdict} {reason}");
            self.wrong.push(line);
        }
    }

    /// Nothing may be wrong, and every difference by one of these ways has to have shown.
    fn assert_clean(&self, ways: &[Way]) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        for (at, difference) in DIFFERENCES.iter().enumerate() {
            let expected = difference.ways.iter().any(|way| ways.contains(way));
            assert!(
                !expected || self.seen.contains(&at),
                "{:?} does not differ: {}",
                difference.of,
                difference.because
            );
        }
    }
}

const EXPLICIT: &str = "127.0.0.1:3128";

/// All that is sent in the namespace goes to the gateway, but for what Egret sends and what is for the proxy.
const EVERYTHING_TO_THE_GATEWAY: &str = "\
table inet handover {
    chain out {
        type nat hook output priority -100;
        meta mark 17767 accept
        ip daddr 127.0.0.1 tcp dport 3128 accept
        meta l4proto tcp redirect to :3129
    }
}
";

/// For either family. What Egret dials is marked.
const LEADS_NOWHERE: &str = "\
route add default dev lo
rule add fwmark 17767 lookup 17767
route add unreachable default table 17767
";

/// Where a name leads of which the case says nothing.
const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

struct World {
    namespace: NetNs,
    names: NameServer,
    /// Where every name leads at present.
    address: Arc<Mutex<IpAddr>>,
    ports: Ports,
}

impl World {
    fn new(clients: impl Iterator<Item = IpAddr>) -> World {
        let namespace = NetNs::new("parity");
        namespace.ip("addr add 192.0.2.10/32 dev lo\naddr add 2001:db8:1::10/128 dev lo nodad\n");
        namespace.ip(&clients.map(|client| format!("addr replace {client}/32 dev lo\n")).collect::<String>());
        namespace.ip(LEADS_NOWHERE);
        namespace.ip6(LEADS_NOWHERE);
        namespace.nft(EVERYTHING_TO_THE_GATEWAY);
        let address = Arc::new(Mutex::new(SOMEWHERE));
        let told = address.clone();
        let names = namespace.enter(|| NameServer::start(move |_, _| vec![*told.lock().unwrap()]));
        World { namespace, names, address, ports: Ports::new() }
    }

    /// With the policy of this folder.
    fn start(&self, folder: &Path, profile: Option<&str>) -> Egret {
        let mut flags = vec![
            format!("--config={}", folder.join("egret.toml").display()),
            format!("--dns-server={}", self.names.addr),
            format!("--listen={EXPLICIT}"),
            format!("--gateway=127.0.0.1:{GATEWAY_PORT}"),
            format!("--gateway=[::1]:{GATEWAY_PORT}"),
            "--gateway-mode=redirect".to_owned(),
            "--gateway-rules=leave".to_owned(),
            "--admin=off".to_owned(),
        ];
        flags.extend(profile.map(|profile| format!("--profile={profile}")));
        Egret::inside(&self.namespace, "", &flags)
    }

    /// What was decided of the flow when it came this way.
    fn decided(&self, egret: &Egret, way: Way, flow: &Flow) -> Decided {
        *self.address.lock().unwrap() = flow.address.unwrap_or(SOMEWHERE);
        let (question, port) = (Question::of(flow), self.ports.next());
        let (client, asked) = self.namespace.enter(|| question.put(way, port));
        let decided = Decided::of(&egret.flows(client, 1)[0]);
        drop(asked);
        decided
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Decided {
    verdict: String,
    collection: Option<String>,
}

impl Decided {
    /// By an answer of `check` or a record of a flow.
    fn of(answer: &Value) -> Decided {
        let text = |field: &str| answer[field].as_str().unwrap_or("none").to_owned();
        Decided {
            verdict: format!("{} {}", text("verdict"), text("reason")),
            collection: answer["rule"]["collection"].as_str().map(str::to_owned),
        }
    }

    fn agrees(&self, flow: &Flow) -> bool {
        self.verdict == format!("{} {}", flow.verdict, flow.reason)
            && (flow.collection.is_none() || flow.collection == self.collection)
    }
}

/// A flow as a client would begin it.
struct Question<'a> {
    target: CheckTarget,
    /// Host and port as the case writes them.
    host: &'a str,
    from: Option<IpAddr>,
    /// Where the client thinks that it is.
    address: IpAddr,
}

impl Question<'_> {
    fn of(flow: &Flow) -> Question<'_> {
        let target = CheckTarget::parse(&flow.ask).unwrap();
        let (_, rest) = flow.ask.split_once("://").unwrap();
        let authority = rest.split(['/', '?']).next().unwrap();
        let host = authority.strip_suffix(&format!(":{}", target.port)).unwrap_or(authority);
        let address = match &target.host {
            Host::Addr(addr) => *addr,
            Host::Name(_) => flow.address.unwrap_or(SOMEWHERE),
        };
        Question { target, host, from: flow.from, address }
    }

    /// The client's address, and its connection while that is of interest.
    fn put(&self, way: Way, port: u16) -> (SocketAddr, Option<Client>) {
        let explicit = EXPLICIT.parse().unwrap();
        let to = if way == Gateway { SocketAddr::new(self.address, self.target.port) } else { explicit };
        let (client, connected) = Client::connect_from(self.from, port, to);
        // What is reset at once was decided by its address.
        let asked = connected.ok().and_then(|client| self.say(way, client));
        (client, asked)
    }

    fn say(&self, way: Way, mut client: Client) -> Option<Client> {
        let Question { target, host, .. } = self;
        let (http, path) = (target.protocol == Protocol::Http, target.path.as_deref().unwrap_or("/"));
        let authority = if http && target.port == 80 { (*host).to_owned() } else { format!("{host}:{}", target.port) };
        let granted = match way {
            Proxy if http => {
                client.send(get(&format!("http://{authority}{path}"), &authority));
                return Some(client);
            }
            Proxy => {
                client.send(connect(&authority));
                status_of(&client.head()) == 200
            }
            Socks5 => {
                client.send([5, 1, 0]);
                assert_eq!(client.bytes(2), [5, 0]);
                client.send(socks_request(host.trim_matches(['[', ']']), target.port));
                client.bytes(2) == [5, 0]
            }
            Gateway | Check => true,
        };
        let first = match (&target.host, target.protocol) {
            _ if http => get(path, &authority).into_bytes(),
            (Host::Name(_), Protocol::Https) => Hello::of(host).bytes(),
            (Host::Addr(_), Protocol::Https) => Hello::nameless().bytes(),
            // Of no protocol that names its destination.
            _ => vec![0],
        };
        // It may be refused, and reset, already.
        (granted && client.try_send(&first)).then_some(client)
    }
}

/// The flows of a case by the profile in which they are decided.
fn by_profile(flows: &[Flow]) -> BTreeMap<Option<&str>, Vec<&Flow>> {
    let mut groups: BTreeMap<_, Vec<&Flow>> = BTreeMap::new();
    for flow in flows {
        groups.entry(flow.profile.as_deref()).or_default().push(flow);
    }
    groups
}

#[test]
fn the_wire_decides_as_the_policy_does() {
    if !is_possible() {
        return;
    }
    let cases = cases::all();
    let world = World::new(cases.iter().flat_map(|(_, case, _)| &case.flows).filter_map(|flow| flow.from));
    let mut score = Score::default();
    for (file, case, folder) in &cases {
        for (profile, flows) in by_profile(&case.flows) {
            let egret = world.start(folder.path(), profile);
            for (flow, way) in flows.iter().flat_map(|flow| ON_THE_WIRE.map(|way| (flow, way))) {
                score.check(file, flow, way, || world.decided(&egret, way, flow));
            }
        }
    }
    score.assert_clean(&ON_THE_WIRE);
}

/// Flows that are asked about together: those of one profile, one client and one address of the names.
type Together<'a> = (Option<&'a str>, Option<IpAddr>, Option<IpAddr>);

#[test]
fn check_decides_as_the_policy_does() {
    let mut score = Score::default();
    for (file, case, folder) in cases::all() {
        let mut groups: BTreeMap<Together<'_>, Vec<&Flow>> = BTreeMap::new();
        for flow in &case.flows {
            groups.entry((flow.profile.as_deref(), flow.from, flow.address)).or_default().push(flow);
        }
        for (together, flows) in groups {
            let answers = answers(folder.path(), together, &flows);
            for (flow, answer) in flows.iter().zip(&answers) {
                score.check(&file, flow, Check, || Decided::of(answer));
            }
        }
    }
    score.assert_clean(&[Check]);
}

fn answers(folder: &Path, (profile, from, address): Together<'_>, flows: &[&Flow]) -> Vec<Value> {
    let mut check = egret();
    check.args(["check", "--format=json"]).current_dir(folder);
    check.args(profile.map(|profile| format!("--profile={profile}")));
    check.args(from.map(|from| format!("--from={from}")));
    check.args(address.map(|address| format!("--resolve=*:{address}")));
    let asks: Vec<&str> = flows.iter().map(|flow| flow.ask.as_str()).collect();
    let answer = finish(&mut check, &asks.join("\n"));
    let answers: Vec<Value> = answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), flows.len(), "{answer:?}");
    answers
}
