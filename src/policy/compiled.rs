//! The compiled policy: what the hot path asks.

use std::sync::Arc;

use hashbrown::HashMap;

use std::net::IpAddr;

use crate::flow::{AddrClass, Host, HostName, Protocol, Reason, Verdict};

use super::applications::{ApplicationIndex, ApplicationQuery, Near};
use super::categories::Sharing;
use super::decision::{Address, Decision, Direction, Query, RuleId, RuleKind, RuleName};
use super::digest::digest;
use super::endpoints::EndpointIndex;
use super::guard::Guard;
use super::insertion::HeaderInsertion;
use super::networks::{NetworkIndex, NetworkMatch, NetworkQuery};
use super::order::{AnyRule, OrderedRule, in_order};
use super::pattern::is_ambiguous;
use super::settings::ThreatMode;
use super::spot::Spot;
use super::switches::{DnatDeny, Switches};
use super::threat_index::ThreatIndex;
use super::threats::{Indicator, ThreatId};
use super::tree::{Action, RuleSet, Translated, WebCategory};
use super::walk::{Explanation, walk, walk_at_firewall};

/// A rule set, compiled. Asking it allocates nothing and costs much the same however many rules there are.
pub struct Policy {
    rules: Arc<RuleSet>,
    switches: Switches,
    guard: Guard,
    names: Vec<Arc<RuleName>>,
    kinds: Vec<Kind>,
    dnat: PerProtocol,
    network: PerProtocol,
    application: ApplicationIndex,
    endpoints: EndpointIndex,
    /// None where there is nothing to look for.
    threats: Option<Box<ThreatIndex>>,
    /// DNAT rules come first in the order of evaluation, so a rule's number is its place here.
    translations: Vec<Translated>,
    application_ports: Vec<u16>,
    network_fqdns: Vec<HostName>,
    /// By rule, for the few that have any.
    insertions: HashMap<u32, Vec<HeaderInsertion>, foldhash::fast::FixedState>,
    hash: Arc<str>,
}

/// What a rule's match means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    verdict: Verdict,
    reason: Reason,
}

/// One index for each protocol that network rules tell apart.
struct PerProtocol {
    tcp: NetworkIndex,
    udp: NetworkIndex,
    icmp: NetworkIndex,
    other: NetworkIndex,
}

impl Policy {
    pub fn compile(rules: Arc<RuleSet>, switches: impl Into<Switches>) -> Policy {
        let switches = switches.into();
        let ordered = in_order(&rules);
        let numbered = || ordered.iter().zip(0_u32..).map(|(rule, number)| (number, rule.rule));
        let dnat: Vec<NetworkMatch<'_>> = numbered().filter_map(as_dnat).collect();
        let network: Vec<NetworkMatch<'_>> = numbered().filter_map(as_network).collect();
        Policy {
            guard: Guard::build(switches.private, numbered()),
            names: names_of(&ordered),
            kinds: ordered.iter().map(|rule| kind_of(rule.rule)).collect(),
            dnat: PerProtocol::build(&dnat),
            network: PerProtocol::build(&network),
            application: ApplicationIndex::build(numbered()),
            endpoints: EndpointIndex::build(&rules.service_endpoints),
            threats: ThreatIndex::build(&rules.threat_intel),
            translations: ordered.iter().filter_map(|rule| translation_of(rule.rule)).collect(),
            application_ports: application_ports(&ordered),
            network_fqdns: network_fqdns(&ordered),
            insertions: numbered().filter_map(insertions).collect(),
            switches,
            hash: hash_of(&rules, switches),
            rules,
        }
    }

    /// The one place where flows are decided, but for what is around the firewall where a topology says it
    /// ([`Egress`](crate::vnet::Egress)).
    pub fn decide(&self, query: &Query<'_>) -> Decision {
        if self.endpoints.matches(query) {
            return Decision::allow(Reason::ServiceEndpoint);
        }
        self.decide_at_firewall(query)
    }

    /// The same of a flow that came to the firewall: no service endpoint took it.
    pub fn decide_at_firewall(&self, query: &Query<'_>) -> Decision {
        match self.threat(query) {
            Some((ThreatMode::Deny, threat)) => Decision::deny_threat(threat),
            Some((_, threat)) => Decision { threat: Some(threat), ..self.decide_by_rules(query) },
            None => self.decide_by_rules(query),
        }
    }

    /// What threat intelligence knows of a flow, whatever becomes of it.
    pub fn threat(&self, query: &Query<'_>) -> Option<(ThreatMode, ThreatId)> {
        let threats = self.threats.as_ref()?;
        Some((threats.mode(), threats.find(query)?))
    }

    fn decide_by_rules(&self, query: &Query<'_>) -> Decision {
        let network = NetworkQuery {
            client: query.client,
            name: query.name,
            resolved: query.resolved,
            address: query.address.ip(),
            port: query.port,
        };
        let by_network = self.network.of(query.protocol);
        let inbound = query.direction != Direction::Outbound;
        if let Some(dnat) = self.dnat.of(query.protocol).first(&network).filter(|_| inbound) {
            let deciding = self.taken_back(dnat, query).unwrap_or(dnat);
            return self.decision_of(deciding, query.address);
        }
        if query.direction == Direction::Published {
            return Decision::deny(Reason::NotAllowed, None);
        }
        let first = by_network.first(&network);
        if first.is_none() && self.application.looks_at_paths() && query.path.is_some_and(is_ambiguous) {
            return Decision::deny(Reason::BadPath, None);
        }
        let first = first.or_else(|| self.first_application(query));
        let decision = match first {
            Some(rule) => self.decision_of(rule, query.address),
            None => self.default_deny(query, &network),
        };
        let by_address = by_network.first_by_address(&network).filter(|_| query.address == Address::Unknown);
        let address_matters = by_address.is_some_and(|rule| first.is_none_or(|first| rule < first));
        Decision { address_matters, ..decision }
    }

    /// The network rule that denies what a DNAT rule allowed, where that counts.
    fn taken_back(&self, dnat: u32, query: &Query<'_>) -> Option<u32> {
        if self.switches.dnat_deny == DnatDeny::Ignored {
            return None;
        }
        let Query { client, protocol, name, address, port, .. } = query.translated(&self.translations[dnat as usize]);
        let network = NetworkQuery { client, name, resolved: &[], address: address.ip(), port };
        let first = self.network.of(protocol).first(&network)?;
        (self.kinds[first as usize].verdict == Verdict::Deny).then_some(first)
    }

    /// The same question, answered rule by rule: slow.
    pub fn explain(&self, query: &Query<'_>) -> Explanation<'_> {
        walk(&self.rules, self.switches, query)
    }

    /// The same of a flow that came to the firewall.
    pub fn explain_at_firewall(&self, query: &Query<'_>) -> Explanation<'_> {
        walk_at_firewall(&self.rules, self.switches, query)
    }

    /// Is it an address that no wide rule leads to, such as one of loopback?
    pub fn guards(&self, addr: IpAddr) -> bool {
        self.switches.private.guards(addr)
    }

    fn first_application(&self, query: &Query<'_>) -> Option<u32> {
        self.application.first(&ApplicationQuery {
            client: query.client,
            name: query.name?,
            protocol: query.protocol,
            port: query.port,
            path: query.path,
        })
    }

    fn decision_of(&self, rule: u32, address: Address) -> Decision {
        let Kind { verdict, reason } = self.kinds[rule as usize];
        if let (Verdict::Allow, Address::Given(addr)) = (verdict, address)
            && reason != Reason::DnatRule
            && self.guard.refuses(rule, addr)
        {
            return Decision::deny(Reason::InternalAddress, Some(RuleId(rule)));
        }
        Decision { verdict, reason, rule: Some(RuleId(rule)), address_matters: false, threat: None }
    }

    /// The default action, with the reason that helps most.
    fn default_deny(&self, query: &Query<'_>, network: &NetworkQuery<'_>) -> Decision {
        if let (None, Address::Given(addr)) = (query.name, query.address)
            && AddrClass::of(addr).is_never_a_destination()
        {
            return Decision::deny(Reason::InternalAddress, None);
        }
        if matches!(query.protocol, Protocol::Icmp | Protocol::Other) {
            return Decision::deny(Reason::NotAllowed, None);
        }
        let by_name = query.name.map_or(Near::Nothing, |name| self.application.near(name, query.port, query.client));
        let near = by_name.max(self.near_by_network(query.protocol, network));
        Decision::deny(near.reason(), None)
    }

    fn near_by_network(&self, protocol: Protocol, query: &NetworkQuery<'_>) -> Near {
        let mine = self.network.of(protocol);
        let other = if protocol == Protocol::Udp { &self.network.tcp } else { &self.network.udp };
        if other.allows(query) {
            Near::OtherProtocol
        } else if mine.allows_on_some_port(query) {
            Near::OtherPort
        } else {
            Near::Nothing
        }
    }

    /// Is this a denied name that only its address can tell about, on a port of its own? Names on ports that
    /// application rules decide are judged by name alone, so that a client cannot make Egret ask DNS for names of
    /// its choice.
    pub fn is_decided_by_address(&self, decision: Decision, port: u16) -> bool {
        decision.address_matters && decision.rule.is_none() && !self.is_application_port(port)
    }

    /// A rule's names. `rule` comes from this policy's own decision.
    pub fn rule_name(&self, rule: RuleId) -> &Arc<RuleName> {
        &self.names[rule.0 as usize]
    }

    /// Where a rule is written. `rule` comes from this policy's own decision.
    pub fn spot_of(&self, rule: RuleId) -> Spot {
        in_order(self.rules())[rule.0 as usize].rule.at()
    }

    pub fn rule_names(&self) -> &[Arc<RuleName>] {
        &self.names
    }

    /// What a rule adds to the requests that it allows.
    pub fn headers_to_insert(&self, rule: RuleId) -> &[HeaderInsertion] {
        self.insertions.get(&rule.0).map_or(&[], Vec::as_slice)
    }

    /// What becomes of a flow that met an indicator, and which it is. The id comes from this policy's own decision.
    pub fn indicator(&self, threat: ThreatId) -> Option<(ThreatMode, &Indicator)> {
        self.threats.as_ref().map(|threats| (threats.mode(), threats.feed().get(threat)))
    }

    /// May an address alone be denied by threat intelligence?
    pub fn denies_known_addresses(&self) -> bool {
        self.threats.as_ref().is_some_and(|it| it.mode() == ThreatMode::Deny && it.knows_addresses())
    }

    /// Is there a DNAT rule at all?
    pub fn translates(&self) -> bool {
        !self.translations.is_empty()
    }

    /// Where a flow that a DNAT rule took is sent.
    pub fn translated(&self, decision: &Decision) -> Option<&Translated> {
        let rule = decision.rule.filter(|_| decision.reason == Reason::DnatRule)?;
        self.translations.get(rule.0 as usize)
    }

    /// True for ports that an application rule names: flows on them are looked into.
    pub fn is_application_port(&self, port: u16) -> bool {
        self.application_ports.binary_search(&port).is_ok()
    }

    /// True for the ports on which a gateway completes the handshake and looks into the flow before it decides: 80,
    /// 443, 1433, and for every destination each port that some application rule names (azure-docs issue 121272).
    pub fn is_intercepted(&self, port: u16) -> bool {
        matches!(port, 80 | 443 | 1433) || self.is_application_port(port)
    }

    /// The names of network rules, each once: whoever hands out queries keeps them resolved.
    pub fn network_fqdns(&self) -> &[HostName] {
        &self.network_fqdns
    }

    /// The names that DNAT rules lead to.
    pub fn translated_fqdns(&self) -> impl Iterator<Item = &HostName> {
        self.translations.iter().filter_map(|translated| match &translated.host {
            Host::Name(name) => Some(name),
            Host::Addr(_) => None,
        })
    }

    /// The network and DNAT rules that have this name for a destination, in the order of evaluation. Looks at every
    /// rule.
    pub fn rules_with_fqdn(&self, name: &HostName) -> Vec<Arc<RuleName>> {
        let ordered = in_order(&self.rules);
        let has_it = |rule: AnyRule<'_>| match rule {
            AnyRule::Network(_, rule) => rule.fqdns.contains(name),
            AnyRule::Dnat(rule) => matches!(&rule.translated.host, Host::Name(to) if to == name),
            AnyRule::Application(..) | AnyRule::Infrastructure(_) => false,
        };
        let named = ordered.iter().zip(&self.names).filter(|(rule, _)| has_it(rule.rule));
        named.map(|(_, name)| name.clone()).collect()
    }

    /// Could some rule, or a service endpoint, allow this client something by this name? Rules that look at addresses
    /// alone do not count.
    pub fn could_allow_name(&self, name: &HostName, client: Option<IpAddr>) -> bool {
        let named = NetworkQuery { client, name: Some(name), resolved: &[], address: None, port: 0 };
        self.application.allows_somewhere(name, client)
            || [&self.network.tcp, &self.network.udp, &self.network.other]
                .iter()
                .any(|index| index.allows_name_on_some_port(&named))
            || self.endpoints.has_zone_of(name)
    }

    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// What it was compiled with.
    pub fn switches(&self) -> Switches {
        self.switches
    }

    /// 16 hexadecimal digits that change with any rule.
    pub fn hash(&self) -> &Arc<str> {
        &self.hash
    }
}

impl PerProtocol {
    fn build(rules: &[NetworkMatch<'_>]) -> PerProtocol {
        PerProtocol {
            tcp: NetworkIndex::build(rules, Protocol::Tcp),
            udp: NetworkIndex::build(rules, Protocol::Udp),
            icmp: NetworkIndex::build(rules, Protocol::Icmp),
            other: NetworkIndex::build(rules, Protocol::Other),
        }
    }

    fn of(&self, protocol: Protocol) -> &NetworkIndex {
        match protocol {
            Protocol::Http | Protocol::Https | Protocol::Mssql | Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
            Protocol::Icmp => &self.icmp,
            Protocol::Other => &self.other,
        }
    }
}

impl Near {
    fn reason(self) -> Reason {
        match self {
            Near::OtherProtocol => Reason::ProtoNotAllowed,
            Near::OtherPort => Reason::PortNotAllowed,
            Near::Nothing => Reason::NotAllowed,
        }
    }
}

fn as_dnat((number, rule): (u32, AnyRule<'_>)) -> Option<NetworkMatch<'_>> {
    let AnyRule::Dnat(rule) = rule else { return None };
    Some(NetworkMatch {
        rule: number,
        action: Action::Allow,
        sources: &rule.sources,
        protocols: rule.protocols,
        destinations: &rule.destinations,
        fqdns: &[],
        ports: &rule.ports,
    })
}

fn as_network((number, rule): (u32, AnyRule<'_>)) -> Option<NetworkMatch<'_>> {
    let AnyRule::Network(action, rule) = rule else { return None };
    Some(NetworkMatch {
        rule: number,
        action,
        sources: &rule.sources,
        protocols: rule.protocols,
        destinations: &rule.destinations,
        fqdns: &rule.fqdns,
        ports: &rule.ports,
    })
}

fn network_fqdns(ordered: &[OrderedRule<'_>]) -> Vec<HostName> {
    let fqdns = |rule: &OrderedRule<'_>| match rule.rule {
        AnyRule::Network(_, rule) => rule.fqdns.clone(),
        _ => Vec::new(),
    };
    let mut names: Vec<HostName> = ordered.iter().flat_map(fqdns).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn translation_of(rule: AnyRule<'_>) -> Option<Translated> {
    let AnyRule::Dnat(rule) = rule else { return None };
    Some(rule.translated.clone())
}

fn insertions((number, rule): (u32, AnyRule<'_>)) -> Option<(u32, Vec<HeaderInsertion>)> {
    let AnyRule::Application(_, rule) = rule else { return None };
    (!rule.headers.is_empty()).then(|| (number, rule.headers.clone()))
}

fn kind_of(rule: AnyRule<'_>) -> Kind {
    match (rule, rule.action()) {
        (_, Action::Deny) => Kind { verdict: Verdict::Deny, reason: Reason::DeniedByRule },
        (AnyRule::Dnat(_), _) => Kind { verdict: Verdict::Allow, reason: Reason::DnatRule },
        (AnyRule::Network(..), _) => Kind { verdict: Verdict::Allow, reason: Reason::NetworkRule },
        (AnyRule::Application(..), _) => Kind { verdict: Verdict::Allow, reason: Reason::ApplicationRule },
        (AnyRule::Infrastructure(_), _) => Kind { verdict: Verdict::Allow, reason: Reason::Infrastructure },
    }
}

/// Rules of one collection share the collection's names.
fn names_of(rules: &[OrderedRule<'_>]) -> Vec<Arc<RuleName>> {
    let mut sharing = Sharing::default();
    let mut names: Vec<Arc<RuleName>> = Vec::with_capacity(rules.len());
    for rule in rules {
        let like_last = |get: fn(&RuleName) -> &Arc<str>, text: &str| {
            let last = names.last().map(|last| get(last)).filter(|last| ***last == *text);
            last.map_or_else(|| Arc::from(text), Arc::clone)
        };
        let name = RuleName {
            policy: like_last(|name| &name.policy, rule.policy),
            group: like_last(|name| &name.group, rule.group),
            collection: like_last(|name| &name.collection, rule.collection),
            rule: Arc::from(rule.rule.name()),
            kind: rule_kind(rule.rule),
            categories: sharing.of(categories_of(rule.rule)),
        };
        names.push(Arc::new(name));
    }
    names
}

fn rule_kind(rule: AnyRule<'_>) -> RuleKind {
    match rule {
        AnyRule::Dnat(_) => RuleKind::Dnat,
        AnyRule::Network(..) => RuleKind::Network,
        AnyRule::Application(..) | AnyRule::Infrastructure(_) => RuleKind::Application,
    }
}

fn categories_of(rule: AnyRule<'_>) -> &[WebCategory] {
    match rule {
        AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => &rule.categories,
        AnyRule::Dnat(_) | AnyRule::Network(..) => &[],
    }
}

fn application_ports(rules: &[OrderedRule<'_>]) -> Vec<u16> {
    let protocols = rules.iter().filter_map(|rule| match rule.rule {
        AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => Some(rule),
        AnyRule::Dnat(_) | AnyRule::Network(..) => None,
    });
    let mut ports: Vec<u16> = protocols
        .flat_map(|rule| {
            let tagged = rule.tags.iter().flat_map(|tag| tag.members.iter().map(|(_, protocol)| protocol.port));
            rule.protocols.iter().map(|protocol| protocol.port).chain(tagged)
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The digest of everything that decides, through the same `Hash` that compares rule sets.
fn hash_of(rules: &RuleSet, switches: Switches) -> Arc<str> {
    let [a, b, c, d, e, f, g, h, ..] = digest(&(rules, switches));
    let first = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    Arc::from(format!("{first:016x}"))
}
