//! The linear walk: every rule looked at in order, with why it did not match.
//!
//! Slow and obviously right. `check --explain` prints it; property tests hold the compiled policy against it.
//! It shares nothing with the compiled policy but the order of the rules and the patterns' own `matches`.

use std::fmt;

use crate::flow::{AddrClass, Protocol, Reason, Verdict};

use super::address::AddressSet;
use super::decision::{Address, Decision, Direction, Query, RuleId};
use super::guard::{PrivateAddresses, names_itself};
use super::order::{AnyRule, OrderedRule, in_order};
use super::pattern::is_ambiguous;
use super::settings::ThreatMode;
use super::switches::{DnatDeny, Switches};
use super::threats::Indicator;
use super::tree::{Action, AppProtocol, ApplicationRule, DnatRule, NetworkRule, RuleSet, ServiceEndpoint};

/// A decision with everything that was looked at on the way.
#[derive(Debug, Clone)]
pub struct Explanation<'a> {
    /// The service endpoint that takes the flow, if one does: no rule was looked at then.
    pub endpoint: Option<&'a str>,
    /// The indicator that the flow meets, if it meets one; where that denies, no rule was looked at.
    pub threat: Option<&'a Indicator>,
    /// In the order of evaluation, up to and with the rule that matched.
    pub steps: Vec<Step<'a>>,
    pub decision: Decision,
}

#[derive(Debug, Clone)]
pub struct Step<'a> {
    pub rule: OrderedRule<'a>,
    /// Empty where the rule matched.
    pub misses: Vec<Miss>,
}

/// One thing about a rule that did not fit the flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    EmptyIpGroup,
    /// What the rule wants: each time as text for people.
    Source {
        wanted: String,
    },
    Protocol {
        wanted: String,
    },
    Port {
        wanted: String,
    },
    Destination {
        wanted: String,
    },
    /// A network rule that looks at addresses, and none is known.
    AddressUnknown {
        wanted: String,
    },
    /// An application rule, and the client asked for an address.
    NoName,
    /// A rule for URLs, and the path cannot be seen.
    PathHidden,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::EmptyIpGroup => f.write_str("an IP group of the rule is empty, so the rule is skipped"),
            Miss::Source { wanted } => write!(f, "the source is not {wanted}"),
            Miss::Protocol { wanted } => write!(f, "the protocol is not {wanted}"),
            Miss::Port { wanted } => write!(f, "the port is not {wanted}"),
            Miss::Destination { wanted } => write!(f, "the destination is not {wanted}"),
            Miss::AddressUnknown { wanted } => {
                write!(f, "the address of the name is not known here, so it cannot be {wanted}")
            }
            Miss::NoName => f.write_str("application rules look at names, and this is an address"),
            Miss::PathHidden => f.write_str("target URLs need the path, which is not to be seen here"),
        }
    }
}

impl Explanation<'_> {
    /// The rule that would have allowed the flow but for the fewest things, and what those are.
    pub fn nearest_miss(&self) -> Option<(&Step<'_>, String)> {
        if self.decision.verdict == Verdict::Allow {
            return None;
        }
        let may_allow = |step: &&Step<'_>| step.rule.rule.action() == Action::Allow && !step.misses.is_empty();
        let near = self.steps.iter().filter(may_allow).min_by_key(|step| distance(&step.misses))?;
        let wishes: Vec<String> = near.misses.iter().filter_map(Miss::wish).collect();
        let reachable = distance(&near.misses) < FAR && wishes.len() == near.misses.len();
        reachable.then(|| (near, wishes.join(" and ")))
    }
}

/// A destination that differs is another matter altogether; the rest can be mended.
const FAR: usize = 100;

fn distance(misses: &[Miss]) -> usize {
    misses.iter().map(|miss| if miss.wish().is_some() { 1 } else { FAR }).sum()
}

impl Miss {
    fn wish(&self) -> Option<String> {
        let (what, wanted) = match self {
            Miss::Source { wanted } => ("client", wanted),
            Miss::Protocol { wanted } => ("protocol", wanted),
            Miss::Port { wanted } => ("port", wanted),
            _ => return None,
        };
        // A rule that wants nothing matches nothing.
        (!wanted.is_empty()).then(|| format!("the {what} were {wanted}"))
    }
}

/// Decides by looking at every rule in turn.
pub fn walk<'a>(set: &'a RuleSet, switches: impl Into<Switches>, query: &Query<'_>) -> Explanation<'a> {
    if let Some(endpoint) = set.service_endpoints.iter().find(|endpoint| takes(endpoint, query)) {
        let decision = Decision::allow(Reason::ServiceEndpoint);
        return Explanation { endpoint: Some(&endpoint.service), threat: None, steps: Vec::new(), decision };
    }
    walk_at_firewall(set, switches.into(), query)
}

/// The same of a flow that came to the firewall.
pub(super) fn walk_at_firewall<'a>(set: &'a RuleSet, switches: Switches, query: &Query<'_>) -> Explanation<'a> {
    let Some(threat) = set.threat_intel.first(query) else {
        return walk_rules(set, switches, query);
    };
    let indicator = Some(set.threat_intel.feed.get(threat));
    if set.threat_intel.mode == ThreatMode::Deny {
        let decision = Decision::deny_threat(threat);
        return Explanation { endpoint: None, threat: indicator, steps: Vec::new(), decision };
    }
    let walked = walk_rules(set, switches, query);
    let decision = Decision { threat: Some(threat), ..walked.decision };
    Explanation { threat: indicator, decision, ..walked }
}

fn walk_rules<'a>(set: &'a RuleSet, switches: Switches, query: &Query<'_>) -> Explanation<'a> {
    let Switches { private, dnat_deny } = switches;
    let mut steps = Vec::new();
    let mut decision = None;
    let mut address_matters = false;
    let ordered = in_order(set);
    let unclear = query.path.is_some_and(is_ambiguous) && ordered.iter().any(|rule| looks_at_paths(rule.rule));
    for (rule, number) in ordered.iter().copied().zip(0..) {
        if unclear
            && query.direction != Direction::Published
            && matches!(rule.rule, AnyRule::Application(..) | AnyRule::Infrastructure(_))
        {
            decision = Some(Decision::deny(Reason::BadPath, None));
            address_matters = false;
            break;
        }
        let is_passed_over = match query.direction {
            Direction::Inbound => false,
            Direction::Published => !matches!(rule.rule, AnyRule::Dnat(_)),
            Direction::Outbound => matches!(rule.rule, AnyRule::Dnat(_)),
        };
        if is_passed_over {
            continue;
        }
        let misses = misses(rule.rule, query);
        let matched = misses.is_empty();
        address_matters |= is_network(rule.rule) && matches!(misses.as_slice(), [Miss::AddressUnknown { .. }]);
        steps.push(Step { rule, misses });
        if matched {
            let taken_back =
                if dnat_deny == DnatDeny::Overrides { taken_back(&ordered, rule.rule, query) } else { None };
            decision = Some(match taken_back {
                Some((rule, number)) => {
                    steps.push(Step { rule, misses: Vec::new() });
                    Decision::deny(Reason::DeniedByRule, Some(number))
                }
                None => decided(rule.rule, RuleId(number), private, query),
            });
            break;
        }
    }
    let decision = decision.unwrap_or_else(|| Decision::deny(default_reason(&steps, query), None));
    Explanation { endpoint: None, threat: None, steps, decision: Decision { address_matters, ..decision } }
}

/// The network rule that denies the flow once this DNAT rule has translated it.
fn taken_back<'a>(
    ordered: &[OrderedRule<'a>],
    dnat: AnyRule<'_>,
    query: &Query<'_>,
) -> Option<(OrderedRule<'a>, RuleId)> {
    let AnyRule::Dnat(DnatRule { translated, .. }) = dnat else { return None };
    let query = query.translated(translated);
    let mut network = ordered.iter().zip(0..).filter(|(rule, _)| is_network(rule.rule));
    let (rule, number) = network.find(|(rule, _)| misses(rule.rule, &query).is_empty())?;
    (rule.rule.action() == Action::Deny).then_some((*rule, RuleId(number)))
}

fn looks_at_paths(rule: AnyRule<'_>) -> bool {
    match rule {
        AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => {
            !rule.urls.is_empty() && !rule.sources.has_empty_group()
        }
        AnyRule::Dnat(_) | AnyRule::Network(..) => false,
    }
}

fn is_network(rule: AnyRule<'_>) -> bool {
    matches!(rule, AnyRule::Network(..))
}

fn takes(endpoint: &ServiceEndpoint, query: &Query<'_>) -> bool {
    let tcp = !matches!(query.protocol, Protocol::Udp | Protocol::Icmp | Protocol::Other);
    let name = query.name.map_or("", |name| name.as_str());
    let by_name = endpoint.zones.iter().any(|zone| name.ends_with(&format!(".{zone}")));
    let by_address = query.address.ip().is_some_and(|addr| endpoint.ranges.iter().any(|r| r.contains(addr)));
    let routed = !matches!(query.address, Address::Given(addr) if AddrClass::of(addr) != AddrClass::Global);
    tcp && routed && endpoint.ports.contains(query.port) && (by_name || by_address)
}

fn decided(rule: AnyRule<'_>, number: RuleId, private: PrivateAddresses, query: &Query<'_>) -> Decision {
    let reason = match rule {
        _ if rule.action() == Action::Deny => return Decision::deny(Reason::DeniedByRule, Some(number)),
        AnyRule::Dnat(_) => Reason::DnatRule,
        AnyRule::Network(..) => Reason::NetworkRule,
        AnyRule::Application(..) => Reason::ApplicationRule,
        AnyRule::Infrastructure(_) => Reason::Infrastructure,
    };
    if let (Address::Given(addr), true) = (query.address, reason != Reason::DnatRule)
        && private.guards(addr)
        && !names_itself(rule, addr)
    {
        return Decision::deny(Reason::InternalAddress, Some(number));
    }
    Decision { rule: Some(number), ..Decision::allow(reason) }
}

/// The default action's reason: some rule that allows may have lacked just one thing.
fn default_reason(steps: &[Step<'_>], query: &Query<'_>) -> Reason {
    if query.direction == Direction::Published {
        return Reason::NotAllowed;
    }
    if let (None, Address::Given(addr)) = (query.name, query.address)
        && AddrClass::of(addr).is_never_a_destination()
    {
        return Reason::InternalAddress;
    }
    if matches!(query.protocol, Protocol::Icmp | Protocol::Other) {
        return Reason::NotAllowed;
    }
    let allowing = || steps.iter().filter(|step| has_ports(step.rule.rule));
    if allowing().any(|step| matches!(step.misses.as_slice(), [Miss::Protocol { .. }])) {
        Reason::ProtoNotAllowed
    } else if allowing().any(|step| matches!(step.misses.as_slice(), [Miss::Port { .. }])) {
        Reason::PortNotAllowed
    } else {
        Reason::NotAllowed
    }
}

/// Rules that allow outbound flows on ports: ICMP has none, DNAT is inbound.
fn has_ports(rule: AnyRule<'_>) -> bool {
    rule.action() == Action::Allow
        && match rule {
            AnyRule::Dnat(_) => false,
            AnyRule::Network(_, rule) => rule.protocols.tcp || rule.protocols.udp || rule.protocols.any,
            AnyRule::Application(..) | AnyRule::Infrastructure(_) => true,
        }
}

fn misses(rule: AnyRule<'_>, query: &Query<'_>) -> Vec<Miss> {
    match rule {
        AnyRule::Dnat(rule) => {
            let mut misses = source_misses(&rule.sources, query);
            if !rule.protocols.covers(query.protocol, &rule.ports) {
                misses.push(Miss::Protocol { wanted: rule.protocols.to_string() });
            }
            if !rule.ports.contains(query.port) {
                misses.push(Miss::Port { wanted: rule.ports.to_string() });
            }
            misses.extend(address_miss(&rule.destinations, query));
            misses
        }
        AnyRule::Network(_, rule) => network_misses(rule, query),
        AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => application_misses(rule, query),
    }
}

fn source_misses(sources: &AddressSet, query: &Query<'_>) -> Vec<Miss> {
    if sources.has_empty_group() {
        return vec![Miss::EmptyIpGroup];
    }
    let fits = query.client.map_or(sources.is_any(), |client| sources.contains(client));
    if fits { Vec::new() } else { vec![Miss::Source { wanted: sources.to_string() }] }
}

fn address_miss(destinations: &AddressSet, query: &Query<'_>) -> Option<Miss> {
    let wanted = || destinations.to_string();
    match query.address.ip() {
        _ if destinations.has_empty_group() => Some(Miss::EmptyIpGroup),
        _ if destinations.is_any() => None,
        Some(addr) if destinations.contains(addr) => None,
        None if !destinations.is_empty() => Some(Miss::AddressUnknown { wanted: wanted() }),
        _ => Some(Miss::Destination { wanted: wanted() }),
    }
}

fn network_misses(rule: &NetworkRule, query: &Query<'_>) -> Vec<Miss> {
    let mut misses = source_misses(&rule.sources, query);
    if !rule.protocols.covers(query.protocol, &rule.ports) {
        misses.push(Miss::Protocol { wanted: rule.protocols.to_string() });
    }
    if query.protocol != Protocol::Icmp && !rule.ports.contains(query.port) {
        misses.push(Miss::Port { wanted: rule.ports.to_string() });
    }
    let mut names = query.name.into_iter().chain(query.resolved);
    let named = names.any(|name| rule.fqdns.contains(name)) && !rule.destinations.has_empty_group();
    if !named {
        misses.extend(address_miss(&rule.destinations, query).map(|miss| match miss {
            Miss::Destination { .. } => Miss::Destination { wanted: destinations_of(rule) },
            other => other,
        }));
    }
    misses
}

fn destinations_of(rule: &NetworkRule) -> String {
    let names = rule.fqdns.iter().map(ToString::to_string);
    let addresses = (!rule.destinations.is_empty()).then(|| rule.destinations.to_string());
    addresses.into_iter().chain(names).collect::<Vec<_>>().join(", ")
}

fn application_misses(rule: &ApplicationRule, query: &Query<'_>) -> Vec<Miss> {
    let mut misses = source_misses(&rule.sources, query);
    let Some(name) = query.name else {
        misses.push(Miss::NoName);
        return misses;
    };
    let wanted = AppProtocol { protocol: query.protocol, port: query.port };
    let tags = || rule.tags.iter().flat_map(|tag| tag.members.iter());
    let mut protocols: Vec<AppProtocol> = Vec::new();
    let categories = || rule.categories.iter().flat_map(|category| category.members.iter());
    if rule.fqdns.iter().chain(categories()).any(|pattern| pattern.matches(name)) {
        protocols.extend(&rule.protocols);
    }
    protocols.extend(tags().filter(|(pattern, _)| pattern.matches(name)).map(|(_, protocol)| *protocol));
    let mut urls = rule.urls.iter().filter(|url| url.host.matches(name)).peekable();
    let any_url = urls.peek().is_some();
    let by_url =
        rule.protocols.contains(&wanted) && query.path.is_some_and(|path| urls.any(|url| url.path.matches(path)));
    if protocols.contains(&wanted) || by_url {
        return misses;
    }
    misses.push(if protocols.iter().any(|protocol| protocol.port == query.port) {
        Miss::Protocol { wanted: list(protocols.iter().map(|p| p.protocol)) }
    } else if !protocols.is_empty() {
        Miss::Port { wanted: list(protocols.iter().map(|p| p.port)) }
    } else if any_url && query.path.is_none() {
        Miss::PathHidden
    } else {
        Miss::Destination { wanted: targets_of(rule) }
    });
    misses
}

fn targets_of(rule: &ApplicationRule) -> String {
    let tags = rule.tags.iter().map(|tag| format!("in the tag {}", tag.name));
    let categories = rule.categories.iter().map(|category| format!("in the category {}", category.name));
    let fqdns = rule.fqdns.iter().map(ToString::to_string);
    let urls = rule.urls.iter().map(ToString::to_string);
    let all: Vec<String> = fqdns.chain(urls).chain(tags).chain(categories).collect();
    match all.as_slice() {
        [first, second, third, rest @ ..] if rest.len() > 1 => {
            format!("{first}, {second}, {third} or one of {} more", rest.len())
        }
        all => all.join(", "),
    }
}

fn list<T: fmt::Display>(items: impl Iterator<Item = T>) -> String {
    let mut texts: Vec<String> = items.map(|item| item.to_string()).collect();
    texts.dedup();
    texts.join(" or ")
}
