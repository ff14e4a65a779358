//! Rules taken apart for set analysis: what each looks at, one dimension at a time.
//!
//! A unit is the part of a rule whose destinations share their ports and protocols: a whole network rule, the FQDNs of
//! an application rule, the members of its tags on one port, one of its URLs. Service endpoints are units that come
//! before all rules. Units say where verdicts can change; what the verdict is, only the policy says.

use std::collections::BTreeMap;

use crate::flow::{Host, HostName, PortRange, PortSet, Protocol};
use crate::policy::{
    Action, AddressRange, AddressSet, AnyRule, AppProtocol, ApplicationRule, FqdnPattern, IpProtocols, PathPattern,
    RuleId, RuleSet, Translated, in_order,
};

use super::points::inside;

const ALL: [Protocol; 7] =
    [Protocol::Http, Protocol::Https, Protocol::Mssql, Protocol::Tcp, Protocol::Udp, Protocol::Icmp, Protocol::Other];

/// A unit's place among all units.
pub(super) type UnitId = u32;

#[derive(Debug, Clone)]
pub(super) struct Unit<'a> {
    pub(super) owner: Owner,
    sources: Sources<'a>,
    traffic: Traffic<'a>,
    to: Destinations<'a>,
    /// The first and the last of its ports.
    span: (u16, u16),
}

/// Whose unit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Owner {
    /// By its number in the rule set.
    Endpoint(u32),
    Rule(RuleId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Sources<'a> {
    Anybody,
    Listed(&'a AddressSet),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Traffic<'a> {
    Endpoint(&'a PortSet),
    Network { protocols: IpProtocols, ports: &'a PortSet },
    Application { protocols: Vec<AppProtocol>, path: Option<&'a PathPattern> },
}

#[derive(Debug, Clone)]
enum Destinations<'a> {
    /// DNAT rules are passed by where flows go out.
    Network {
        addresses: &'a AddressSet,
        names: &'a [HostName],
        passes: bool,
    },
    Names(Vec<&'a FqdnPattern>),
    Endpoint {
        zones: &'a [HostName],
        ranges: &'a [AddressRange],
    },
}

/// What decides of a unit once its destination matches: two of the same decide alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Content<'a> {
    sources: Sources<'a>,
    traffic: Traffic<'a>,
    action: Action,
    kind: Kind<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind<'a> {
    Endpoint,
    Dnat(&'a Translated),
    /// The guard asks which internal addresses a network rule names.
    Network(&'a AddressSet),
    Application,
}

/// All units of a rule set that can match at all, in the order of evaluation.
pub(super) fn units_of(set: &RuleSet) -> Vec<(Unit<'_>, Content<'_>)> {
    let endpoints = set.service_endpoints.iter().zip(0..).map(|(endpoint, number)| {
        let unit = Unit {
            owner: Owner::Endpoint(number),
            sources: Sources::Anybody,
            traffic: Traffic::Endpoint(&endpoint.ports),
            to: Destinations::Endpoint { zones: &endpoint.zones, ranges: &endpoint.ranges },
            span: span_of(endpoint.ports.ranges()),
        };
        with_content(unit, Action::Allow, Kind::Endpoint)
    });
    let rules = in_order(set).into_iter().zip(0..).flat_map(|(ordered, number)| of_rule(ordered.rule, RuleId(number)));
    endpoints.chain(rules).collect()
}

fn span_of(ranges: &[PortRange]) -> (u16, u16) {
    let ends = ranges.first().zip(ranges.last());
    ends.map_or((u16::MAX, 0), |(first, last)| (first.first(), last.last()))
}

fn with_content<'a>(unit: Unit<'a>, action: Action, kind: Kind<'a>) -> (Unit<'a>, Content<'a>) {
    let content = Content { sources: unit.sources, traffic: unit.traffic.clone(), action, kind };
    (unit, content)
}

fn of_rule(rule: AnyRule<'_>, number: RuleId) -> Vec<(Unit<'_>, Content<'_>)> {
    let owner = Owner::Rule(number);
    let network = |sources, protocols, ports, addresses, names, passes| Unit {
        owner,
        sources: Sources::Listed(sources),
        traffic: Traffic::Network { protocols, ports },
        to: Destinations::Network { addresses, names, passes },
        // ICMP has no ports, and takes those of a rule for all.
        span: if protocols.icmp { (0, u16::MAX) } else { span_of(PortSet::ranges(ports)) },
    };
    match rule {
        AnyRule::Dnat(rule) if !skips(&rule.sources, Some(&rule.destinations)) => {
            let unit = network(&rule.sources, rule.protocols, &rule.ports, &rule.destinations, &[], true);
            vec![with_content(unit, Action::Allow, Kind::Dnat(&rule.translated))]
        }
        AnyRule::Network(action, rule) if !skips(&rule.sources, Some(&rule.destinations)) => {
            let unit = network(&rule.sources, rule.protocols, &rule.ports, &rule.destinations, &rule.fqdns, false);
            vec![with_content(unit, action, Kind::Network(&rule.destinations))]
        }
        AnyRule::Application(action, rule) => of_application(owner, action, rule),
        AnyRule::Infrastructure(rule) => of_application(owner, Action::Allow, rule),
        AnyRule::Dnat(_) | AnyRule::Network(..) => Vec::new(),
    }
}

fn skips(sources: &AddressSet, destinations: Option<&AddressSet>) -> bool {
    sources.has_empty_group() || destinations.is_some_and(AddressSet::has_empty_group)
}

fn of_application(owner: Owner, action: Action, rule: &ApplicationRule) -> Vec<(Unit<'_>, Content<'_>)> {
    if skips(&rule.sources, None) {
        return Vec::new();
    }
    let mut tagged: BTreeMap<AppProtocol, Vec<&FqdnPattern>> = BTreeMap::new();
    for (pattern, protocol) in rule.tags.iter().flat_map(|tag| tag.members.iter()) {
        tagged.entry(*protocol).or_default().push(pattern);
    }
    let categories = rule.categories.iter().flat_map(|category| category.members.iter());
    let own = (rule.protocols.clone(), None, rule.fqdns.iter().chain(categories).collect::<Vec<_>>());
    let tagged = tagged.into_iter().map(|(protocol, patterns)| (vec![protocol], None, patterns));
    let urls = rule.urls.iter().map(|url| (rule.protocols.clone(), Some(&url.path), vec![&url.host]));
    let units = std::iter::once(own).chain(tagged).chain(urls).map(|(mut protocols, path, patterns)| {
        protocols.sort_unstable();
        protocols.dedup();
        let ports = protocols.iter().map(|protocol| protocol.port);
        let span = (ports.clone().min().unwrap_or(u16::MAX), ports.max().unwrap_or(0));
        let traffic = Traffic::Application { protocols, path };
        Unit { owner, sources: Sources::Listed(&rule.sources), traffic, to: Destinations::Names(patterns), span }
    });
    units.map(|unit| with_content(unit, action, Kind::Application)).collect()
}

impl<'a> Unit<'a> {
    /// Any destination at all.
    pub(super) fn is_everywhere(&self) -> bool {
        matches!(&self.to, Destinations::Network { addresses, .. } if addresses.is_any())
    }

    /// Any name; an address has none.
    pub(super) fn is_for_any_name(&self) -> bool {
        let any = |patterns: &[&FqdnPattern]| patterns.contains(&&FqdnPattern::Any);
        matches!(&self.to, Destinations::Names(patterns) if any(patterns))
    }

    pub(super) fn patterns(&self) -> Vec<FqdnPattern> {
        match &self.to {
            Destinations::Network { names, .. } => names.iter().cloned().map(FqdnPattern::Exact).collect(),
            Destinations::Names(patterns) => patterns.iter().map(|pattern| (*pattern).clone()).collect(),
            Destinations::Endpoint { zones, .. } => zones.iter().cloned().map(FqdnPattern::Subdomains).collect(),
        }
    }

    pub(super) fn ranges(&self) -> Vec<AddressRange> {
        match &self.to {
            Destinations::Network { addresses, .. } => addresses.ranges().collect(),
            Destinations::Names(_) => Vec::new(),
            Destinations::Endpoint { ranges, .. } => ranges.to_vec(),
        }
    }

    /// Some destination of it.
    pub(super) fn member(&self) -> Option<Host> {
        let below = |tail: &str| HostName::parse(&format!("www{tail}")).ok().map(Host::Name);
        if self.is_everywhere() || self.is_for_any_name() {
            return below(".example");
        }
        let by_name = self.patterns().iter().find_map(|pattern| match pattern {
            FqdnPattern::Any | FqdnPattern::Glob(_) => None,
            FqdnPattern::Exact(name) => Some(Host::Name(name.clone())),
            FqdnPattern::Subdomains(parent) => below(&format!(".{parent}")),
            FqdnPattern::Suffix(tail) => below(tail),
        });
        by_name.or_else(|| self.ranges().first().map(|range| Host::Addr(inside(*range))))
    }

    /// A network rule that looks at addresses.
    pub(super) fn is_by_address(&self) -> bool {
        matches!(self.to, Destinations::Network { passes: false, .. })
            && !self.is_everywhere()
            && !self.ranges().is_empty()
    }

    /// Matches an address and is no network rule: a DNAT rule, a service endpoint.
    pub(super) fn passes(&self) -> bool {
        matches!(self.to, Destinations::Network { passes: true, .. } | Destinations::Endpoint { .. })
    }

    pub(super) fn is_application(&self) -> bool {
        matches!(self.traffic, Traffic::Application { .. })
    }

    pub(super) fn path(&self) -> Option<&'a PathPattern> {
        match &self.traffic {
            Traffic::Application { path, .. } => *path,
            Traffic::Endpoint(_) | Traffic::Network { .. } => None,
        }
    }

    /// The ports on which the unit takes flows of this protocol; `0` stands for none where there are no ports.
    pub(super) fn ports(&self, protocol: Protocol) -> Vec<PortRange> {
        let portless = matches!(protocol, Protocol::Icmp | Protocol::Other);
        match &self.traffic {
            Traffic::Endpoint(_) if portless || protocol == Protocol::Udp => Vec::new(),
            Traffic::Endpoint(ports) => ports.ranges().to_vec(),
            Traffic::Network { protocols, ports } if !protocols.covers(protocol, ports) => Vec::new(),
            Traffic::Network { .. } if portless => vec![PortRange::single(0)],
            Traffic::Network { ports, .. } => ports.ranges().to_vec(),
            // Nobody sees the path of an encrypted request.
            Traffic::Application { path: Some(_), .. } if protocol != Protocol::Http => Vec::new(),
            Traffic::Application { protocols, .. } => {
                let mine = protocols.iter().filter(|mine| mine.protocol == protocol);
                mine.map(|mine| PortRange::single(mine.port)).collect()
            }
        }
    }

    /// Does this one take all traffic of the other, whoever asks, so that the other is left nothing where it comes
    /// later?
    pub(super) fn closes(&self, other: &Unit<'_>) -> bool {
        self.is_closed() && (self.traffic == other.traffic || ALL.iter().all(|protocol| self.holds(other, *protocol)))
    }

    /// Some flows pass DNAT rules and service endpoints by; target URLs want their paths.
    pub(super) fn is_closed(&self) -> bool {
        let stays = self.is_application() || matches!(self.to, Destinations::Network { passes: false, .. });
        stays && self.is_for_anybody() && self.path().is_none()
    }

    /// False where no port is common to both, without a closer look.
    pub(super) fn may_meet(&self, other: &Unit<'_>) -> bool {
        let ((first, last), (low, high)) = (self.span, other.span);
        first <= high && low <= last
    }

    fn holds(&self, other: &Unit<'_>, protocol: Protocol) -> bool {
        let (mine, its) = (self.ports(protocol), other.ports(protocol));
        let is_held =
            |it: &PortRange| mine.iter().any(|range| range.first() <= it.first() && it.last() <= range.last());
        its.iter().all(is_held)
    }

    pub(super) fn is_for_anybody(&self) -> bool {
        match self.sources {
            Sources::Anybody => true,
            Sources::Listed(sources) => sources.is_any(),
        }
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = AddressRange> + 'a {
        let listed = match self.sources {
            Sources::Anybody => None,
            Sources::Listed(sources) => Some(sources),
        };
        listed.into_iter().flat_map(|sources| sources.ranges())
    }

    pub(super) fn has_source(&self, client: Option<std::net::IpAddr>) -> bool {
        self.is_for_anybody() || client.is_some_and(|client| self.sources().any(|range| range.contains(client)))
    }
}
