//! The table as nft reads it. Pure: a [`Spec`] in, text out.
//!
//! Each chain says what it is for, since people read it by `egret gateway up --print`.

use std::net::{IpAddr, SocketAddr};

use crate::config::{HandOver, Interface};
use crate::flow::PortSet;
use crate::policy::{AddressSet, DnatRule};

use super::routing::Family;
use super::{Answers, Clients, OwnTraffic, Spec, TABLE};

/// There or not, the table is gone after this.
pub(super) const REMOVAL: &str = "add table inet egret\ndelete table inet egret\n";

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// What no router forwards. Of IPv4 link-local addresses one is asked for from afar all the same, that of the
/// metadata service: it is handed over to be denied.
const NEAR_BY: [&str; 2] =
    ["fib daddr type { local, broadcast, anycast, multicast } return", "ip6 daddr fe80::/10 return"];

/// A renewal goes to the server's own address, and the lease is not worth losing.
const DHCP: [&str; 2] = ["udp sport 68 udp dport 67 return", "udp sport 546 udp dport 547 return"];

/// A connection's first packet. Those that were there before the rules stay as they are: the session in which
/// somebody types `egret gateway up` is among them.
const FIRST_PACKET: &str = "tcp flags & (fin|syn|rst|ack) == syn";

struct Chain {
    name: &'static str,
    what: &'static str,
    /// None: others jump to it.
    hook: Option<&'static str>,
    rules: Vec<String>,
}

/// The whole transaction: the table, in place of the one that may be there.
pub(super) fn ruleset(spec: &Spec) -> String {
    let mut text = format!("{REMOVAL}table {TABLE} {{\n");
    let chains = [prerouting(spec), inbound(spec), clients(spec), forward(spec)].into_iter().chain(own(spec));
    let shown: Vec<String> = chains.filter(|chain| !chain.rules.is_empty()).map(|chain| chain.to_string()).collect();
    text.push_str(&shown.join("\n"));
    text.push_str("}\n");
    text
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Chain { name, what, hook, rules } = self;
        writeln!(f, "\t# {what}\n\tchain {name} {{")?;
        hook.iter().try_for_each(|hook| writeln!(f, "\t\ttype {hook}; policy accept;"))?;
        rules.iter().try_for_each(|rule| writeln!(f, "\t\t{rule}"))?;
        writeln!(f, "\t}}")
    }
}

fn prerouting(spec: &Spec) -> Chain {
    let mut rules = vec![past_own(spec)];
    if spec.mode == HandOver::Tproxy && spec.answers == Answers::ToClients {
        let mark = spec.mark.routing();
        rules.push(format!("meta l4proto tcp socket transparent 1 meta mark set {mark:#x} accept"));
    }
    if !inbound(spec).rules.is_empty() {
        rules.push("iifname != \"lo\" jump inbound".to_owned());
    }
    match &spec.clients {
        Clients::AllForwarded => rules.push("iifname != \"lo\" jump clients".to_owned()),
        Clients::Interfaces(names) => {
            rules.extend(names.iter().map(|name| format!("iifname \"{name}\" jump clients")));
        }
    }
    if spec.mode == HandOver::Tproxy && spec.own == OwnTraffic::Filtered {
        rules.push(format!("iifname \"lo\" meta mark {:#x} jump clients", spec.mark.routing()));
    }
    let hook = match spec.mode {
        HandOver::Tproxy => "filter hook prerouting priority mangle",
        HandOver::Redirect => "nat hook prerouting priority dstnat",
    };
    Chain { name: "prerouting", what: "whatever comes in", hook: Some(hook), rules }
}

/// What DNAT rules translate. Answers to connections of this machine's own come to its ports too.
fn inbound(spec: &Spec) -> Chain {
    let mut rules: Vec<String> = spec.inbound.iter().flat_map(|each| translated(spec, each)).collect();
    if !rules.is_empty() {
        rules.insert(0, "ct direction reply return".to_owned());
    }
    Chain { name: "inbound", what: "the destinations of DNAT rules", hook: None, rules }
}

fn translated(spec: &Spec, rule: &DnatRule) -> Vec<String> {
    let udp = rule.protocols.udp && spec.mode == HandOver::Tproxy;
    let named = [(rule.protocols.tcp, "tcp"), (udp, "udp")].into_iter().filter(|(on, _)| *on);
    let each = named.flat_map(|(_, protocol)| FAMILIES.map(|family| (protocol, family)));
    each.flat_map(|(protocol, family)| translated_one(spec, rule, protocol, family)).collect()
}

fn translated_one(spec: &Spec, rule: &DnatRule, protocol: &str, family: Family) -> Vec<String> {
    let Some(destination) = destination(&rule.destinations, family) else { return Vec::new() };
    let matched = format!("{destination} {}", ports(protocol, &rule.ports));
    let led = spec.listeners.of(family).map(|listener| lead(spec, family, listener));
    // What nobody takes is not for a service of this machine's that has the port.
    let dropped = (spec.mode == HandOver::Tproxy).then(|| "counter drop".to_owned());
    led.into_iter().chain(dropped).map(|statement| format!("{matched} {statement}")).collect()
}

/// None where the set has no address of the family.
fn destination(set: &AddressSet, family: Family) -> Option<String> {
    if set.is_any() {
        return Some(format!("meta nfproto {} fib daddr type local", family.nfproto()));
    }
    let ranges = merged(set, family);
    let each: Vec<String> = ranges.iter().map(|(first, last)| span(first, last)).collect();
    (!each.is_empty()).then(|| format!("{} daddr {{ {} }}", family.nft(), each.join(", ")))
}

fn span(first: &IpAddr, last: &IpAddr) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// Ascending and apart, as nft wants the elements of a set.
fn merged(set: &AddressSet, family: Family) -> Vec<(IpAddr, IpAddr)> {
    let of_family = |addr: IpAddr| addr.is_ipv4() == (family == Family::V4);
    let mut ranges: Vec<(IpAddr, IpAddr)> = set.ranges().map(|range| (range.first(), range.last())).collect();
    ranges.retain(|(first, _)| of_family(*first));
    ranges.sort_unstable();
    let mut apart: Vec<(IpAddr, IpAddr)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match apart.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            _ => apart.push((first, last)),
        }
    }
    apart
}

fn ports(protocol: &str, ports: &PortSet) -> String {
    if ports.is_any() {
        return format!("meta l4proto {protocol}");
    }
    let each: Vec<String> = ports.ranges().iter().map(ToString::to_string).collect();
    format!("{protocol} dport {{ {} }}", each.join(", "))
}

fn clients(spec: &Spec) -> Chain {
    let mut rules: Vec<String> = NEAR_BY.map(str::to_owned).into();
    match spec.mode {
        HandOver::Tproxy => {
            // Also the ICMP errors about a connection that is answered in another's name: they belong to its socket. A
            // datagram does not: who answers in another's name only sends.
            rules.push(format!(
                "meta l4proto != udp socket transparent 1 meta mark set {:#x} accept",
                spec.mark.routing()
            ));
            rules.extend(spec.listeners.each().map(|(family, addr)| {
                let matched = format!("meta nfproto {} meta l4proto {{ tcp, udp }}", family.nfproto());
                format!("{matched} {}", lead(spec, family, addr))
            }));
            rules.push("meta l4proto { tcp, udp } counter drop".to_owned());
        }
        HandOver::Redirect => rules.extend(spec.listeners.each().map(|(family, addr)| {
            format!("meta nfproto {} meta l4proto tcp {}", family.nfproto(), lead(spec, family, addr))
        })),
    }
    Chain { name: "clients", what: "what clients send elsewhere", hook: None, rules }
}

/// The statement that hands a packet over.
fn lead(spec: &Spec, family: Family, listener: SocketAddr) -> String {
    match spec.mode {
        HandOver::Tproxy => {
            let (mark, family) = (spec.mark.routing(), family.nft());
            match listener.ip().is_unspecified() {
                true => format!("tproxy {family} to :{} meta mark set {mark:#x} accept", listener.port()),
                false => format!("tproxy {family} to {listener} meta mark set {mark:#x} accept"),
            }
        }
        HandOver::Redirect => redirect(family, listener),
    }
}

fn redirect(family: Family, listener: SocketAddr) -> String {
    match listener.ip().is_unspecified() {
        true => format!("redirect to :{}", listener.port()),
        false => format!("dnat {} to {listener}", family.nft()),
    }
}

/// Nothing gets by Egret, whatever its protocol and whoever opened it.
fn forward(spec: &Spec) -> Chain {
    let rules = match &spec.clients {
        Clients::AllForwarded => vec!["counter drop".to_owned()],
        Clients::Interfaces(names) => {
            let both = |name: &Interface| ["iifname", "oifname"].map(|side| format!("{side} \"{name}\" counter drop"));
            names.iter().flat_map(both).collect()
        }
    };
    let hook = Some("filter hook forward priority filter");
    Chain { name: "forward", what: "what is left of it is not forwarded", hook, rules }
}

fn past_own(spec: &Spec) -> String {
    format!("meta mark {:#x} return", spec.mark.get())
}

fn own(spec: &Spec) -> Vec<Chain> {
    match (spec.own, spec.mode) {
        (OwnTraffic::LeftAlone, _) => Vec::new(),
        (OwnTraffic::Filtered, HandOver::Tproxy) => vec![own_tcp(spec), own_udp(spec), own_rest(spec)],
        (OwnTraffic::Filtered, HandOver::Redirect) => vec![own_tcp(spec), own_rest(spec)],
    }
}

/// By redirection in both modes: TPROXY would take the packets of connections that were there before as well.
fn own_tcp(spec: &Spec) -> Chain {
    let mut rules = vec![past_own(spec)];
    rules.extend(NEAR_BY.map(str::to_owned));
    rules.extend(
        spec.listeners.each().map(|(family, addr)| {
            format!("meta nfproto {} {FIRST_PACKET} {}", family.nfproto(), redirect(family, addr))
        }),
    );
    let hook = Some("nat hook output priority -100");
    Chain { name: "own_tcp", what: "connections of this machine's own", hook, rules }
}

/// Marked, it is routed to loopback, comes in again there, and is handed over like a client's.
fn own_udp(spec: &Spec) -> Chain {
    let mut rules = vec!["meta l4proto != udp return".to_owned(), past_own(spec)];
    rules.push("ct direction reply return".to_owned());
    rules.extend(NEAR_BY.into_iter().chain(DHCP).map(str::to_owned));
    rules.extend(
        spec.listeners
            .each()
            .map(|(family, _)| format!("meta nfproto {} meta mark set {:#x}", family.nfproto(), spec.mark.routing())),
    );
    let hook = Some("route hook output priority mangle");
    Chain { name: "own_udp", what: "datagrams of this machine's own", hook, rules }
}

/// Refused rather than dropped: who asks is here, and goes on with the other family at once.
fn own_rest(spec: &Spec) -> Chain {
    let mut rules = vec![past_own(spec)];
    if spec.mode == HandOver::Tproxy {
        rules.push(format!("meta mark {:#x} return", spec.mark.routing()));
    }
    rules.push("ct direction reply return".to_owned());
    rules.extend(NEAR_BY.into_iter().chain(DHCP).map(str::to_owned));
    let refused = [
        FIRST_PACKET,
        "meta l4proto udp",
        "icmp type echo-request",
        "icmpv6 type echo-request",
        "meta l4proto != { tcp, udp, icmp, ipv6-icmp, igmp }",
    ];
    rules.extend(refused.map(|what| format!("{what} counter reject")));
    let hook = Some("filter hook output priority filter");
    Chain { name: "own_rest", what: "what else this machine sends", hook, rules }
}
