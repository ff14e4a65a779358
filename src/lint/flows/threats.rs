//! What threat intelligence changes between two policies. It is no rule, and comes before all of them.
//!
//! A flow can only change its verdict by it where a sign of a feed, or an entry of an allowlist, speaks of the flow's
//! destination. Each of these is asked about, by every protocol and port that some rule speaks of.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::flow::{Host, HostName, PortSet, Protocol};
use crate::policy::{
    AnyRule, Decision, FqdnPattern, PathPattern, Policy, RuleSet, Sign, ThreatIntel, ThreatMode, UrlPattern, in_order,
};

use super::diff::{Difference, Ruling, Side, decide};
use super::regions::{AddressPart, Clients, NamePart, Region};
use super::witness::{Way, Witness};

/// Ports, and clients, of rules that are asked about, at most.
const MOST: usize = 64;

/// Does threat intelligence decide anything here?
pub(super) fn denies(set: &RuleSet) -> bool {
    set.threat_intel.mode == ThreatMode::Deny
}

/// The same policy without threat intelligence.
pub(super) fn without(side: Side<'_>) -> Policy {
    let rules = RuleSet { threat_intel: ThreatIntel::default(), ..side.set.clone() };
    Policy::compile(Arc::new(rules), side.switches)
}

/// One difference for each destination that it is about.
pub(super) fn differences(old: Side<'_>, new: Side<'_>) -> Vec<Difference> {
    let (before, after) = (&old.set.threat_intel, &new.set.threat_intel);
    if before == after || !(denies(old.set) || denies(new.set)) {
        return Vec::new();
    }
    let ways = Ways::of(old.set, new.set);
    let mut told = BTreeSet::new();
    let subjects = subjects(before).chain(subjects(after)).filter(|subject| told.insert(subject.to_string()));
    subjects.filter_map(|subject| ways.differing(old, new, &subject)).collect()
}

/// What is spoken of, by one destination that stands for it.
struct Subject {
    host: Host,
    path: Option<String>,
    part: Part,
}

enum Part {
    Name(NamePart),
    Address(AddressPart),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.host, self.path.as_deref().unwrap_or_default())
    }
}

fn subjects(intel: &ThreatIntel) -> impl Iterator<Item = Subject> + '_ {
    let signs = intel.feed.indicators().iter().filter_map(|indicator| match &indicator.sign {
        Sign::Name(pattern) => named(pattern),
        Sign::Addresses(range) => Some(addressed(*range)),
        Sign::Url(url) => located(url),
    });
    let names = intel.allowed_fqdns.iter().filter_map(named);
    signs.chain(names).chain(intel.allowed_addresses.ranges().map(addressed))
}

fn named(pattern: &FqdnPattern) -> Option<Subject> {
    let (text, part) = match pattern {
        FqdnPattern::Exact(name) => (name.to_string(), NamePart::Exact(name.clone())),
        FqdnPattern::Subdomains(parent) => (format!("some.{parent}"), NamePart::Ending(pattern.to_string())),
        FqdnPattern::Suffix(tail) => (format!("some{tail}"), NamePart::Ending(pattern.to_string())),
        FqdnPattern::Any | FqdnPattern::Glob(_) => return None,
    };
    let host = Host::Name(HostName::parse(&text).ok()?);
    Some(Subject { host, path: None, part: Part::Name(part) })
}

fn addressed(range: crate::policy::AddressRange) -> Subject {
    Subject { host: Host::Addr(range.first()), path: None, part: Part::Address(AddressPart::Range(range)) }
}

fn located(url: &UrlPattern) -> Option<Subject> {
    let path = match &url.path {
        PathPattern::Any => "/".to_owned(),
        PathPattern::Exact(path) | PathPattern::Prefix(path) if path.is_empty() => "/".to_owned(),
        PathPattern::Exact(path) | PathPattern::Prefix(path) => path.to_string(),
    };
    named(&url.host).map(|subject| Subject { path: Some(path), ..subject })
}

/// The protocols, ports and clients that rules speak of.
struct Ways {
    services: BTreeSet<(Protocol, u16)>,
    clients: Vec<Option<IpAddr>>,
}

impl Ways {
    fn of(old: &RuleSet, new: &RuleSet) -> Ways {
        let mut services = BTreeSet::from([(Protocol::Http, 80), (Protocol::Https, 443)]);
        let mut clients = BTreeSet::from([None]);
        for rule in in_order(old).into_iter().chain(in_order(new)) {
            match rule.rule {
                AnyRule::Dnat(_) => {}
                AnyRule::Network(_, rule) => {
                    let ports = first_ports(&rule.ports);
                    services.extend(ports.flat_map(|port| [(Protocol::Tcp, port), (Protocol::Udp, port)]));
                    clients.extend(rule.sources.ranges().map(|range| Some(range.first())));
                }
                AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => {
                    let tagged = rule.tags.iter().flat_map(|tag| tag.members.iter().map(|(_, protocol)| protocol));
                    services.extend(rule.protocols.iter().chain(tagged).map(|it| (it.protocol, it.port)));
                    clients.extend(rule.sources.ranges().map(|range| Some(range.first())));
                }
            }
        }
        Ways { services: services.into_iter().take(MOST).collect(), clients: clients.into_iter().take(MOST).collect() }
    }

    /// The first flow to it that changes its verdict.
    fn differing(&self, old: Side<'_>, new: Side<'_>, subject: &Subject) -> Option<Difference> {
        let of_url = |protocol: Protocol| subject.path.is_none() || protocol == Protocol::Http;
        let services = self.services.iter().filter(|(protocol, _)| of_url(*protocol));
        let flows = services.flat_map(|service| self.clients.iter().map(move |client| (*service, *client)));
        flows.map(|((protocol, port), client)| flow(subject, protocol, port, client)).find_map(|witness| {
            let (was, is) = (ruling(old, &witness), ruling(new, &witness));
            (was.verdict != is.verdict).then(|| difference(was, is, subject, witness))
        })
    }
}

fn first_ports(ports: &PortSet) -> impl Iterator<Item = u16> + '_ {
    ports.ranges().iter().map(|range| range.first().max(1))
}

fn flow(subject: &Subject, protocol: Protocol, port: u16, client: Option<IpAddr>) -> Witness {
    let path = (protocol == Protocol::Http).then(|| subject.path.clone().unwrap_or_else(|| "/".to_owned()));
    Witness { client, protocol, host: subject.host.clone(), port, path, way: Way::Checked }
}

fn ruling(side: Side<'_>, witness: &Witness) -> Ruling {
    let Decision { verdict, reason, rule, .. } = decide(side.policy, witness);
    Ruling { verdict, reason, rule: rule.map(|rule| Arc::clone(side.policy.rule_name(rule))) }
}

fn difference(old: Ruling, new: Ruling, subject: &Subject, witness: Witness) -> Difference {
    let (names, addresses) = match &subject.part {
        Part::Name(name) => (vec![name.clone()], Vec::new()),
        Part::Address(address) => (Vec::new(), vec![address.clone()]),
    };
    let ranges = witness.client.map(crate::policy::AddressRange::from);
    let region = Region {
        protocols: vec![witness.protocol],
        ports: [crate::flow::PortRange::single(witness.port)].into_iter().collect(),
        names,
        but_names: Vec::new(),
        addresses,
        at: Vec::new(),
        clients: Clients { anybody: ranges.is_none(), ranges: ranges.into_iter().collect(), except: Vec::new() },
        paths: subject.path.iter().cloned().collect(),
        but_paths: Vec::new(),
        classes: (Vec::new(), None),
    };
    Difference { old, new, region, witness }
}
