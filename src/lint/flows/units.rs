//! Rules taken apart for set analysis: what each looks at, one dimension at a time.
//!
//! A unit is the part of a rule whose destinations share their ports and protocols: a whole network rule, the FQDNs of
//! an application rule, the members of its tags on one port, one of its URLs. Service endpoints are units that come
//! before all rules. Units say where verdicts can change; what the verdict is, only the policy says.

use std::collections::BTreeMap;

use crate::flow::{HostName, PortRange, PortSet, Protocol};
use crate::policy::{
    Action, AddressRange, AddressSet, AnyRule, AppProtocol, ApplicationRule, FqdnPattern, IpProtocols, PathPattern,
    RuleId, RuleSet, Translated, in_order,
};

/// A unit's place among all units.
pub(super) type UnitId = u32;

#[derive(Debug, Clone)]
pub(super) struct Unit<'a> {
    pub(super) owner: Owner,
    sources: Sources<'a>,
    traffic: Traffic<'a>,
    to: Destinations<'a>,
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
    Network { addresses: &'a AddressSet, names: &'a [HostName] },
    Names(Vec<&'a FqdnPattern>),
    Endpoint { zones: &'a [HostName], ranges: &'a [AddressRange] },
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
        };
        with_content(unit, Action::Allow, Kind::Endpoint)
    });
    let rules = in_order(set).into_iter().zip(0..).flat_map(|(ordered, number)| of_rule(ordered.rule, RuleId(number)));
    endpoints.chain(rules).collect()
}

fn with_content<'a>(unit: Unit<'a>, action: Action, kind: Kind<'a>) -> (Unit<'a>, Content<'a>) {
    let content = Content { sources: unit.sources, traffic: unit.traffic.clone(), action, kind };
    (unit, content)
}

fn of_rule(rule: AnyRule<'_>, number: RuleId) -> Vec<(Unit<'_>, Content<'_>)> {
    let owner = Owner::Rule(number);
    let network = |sources, protocols, ports, addresses, names| Unit {
        owner,
        sources: Sources::Listed(sources),
        traffic: Traffic::Network { protocols, ports },
        to: Destinations::Network { addresses, names },
    };
    match rule {
        AnyRule::Dnat(rule) if !skips(&rule.sources, Some(&rule.destinations)) => {
            let unit = network(&rule.sources, rule.protocols, &rule.ports, &rule.destinations, &[]);
            vec![with_content(unit, Action::Allow, Kind::Dnat(&rule.translated))]
        }
        AnyRule::Network(action, rule) if !skips(&rule.sources, Some(&rule.destinations)) => {
            let unit = network(&rule.sources, rule.protocols, &rule.ports, &rule.destinations, &rule.fqdns);
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
        let traffic = Traffic::Application { protocols, path };
        Unit { owner, sources: Sources::Listed(&rule.sources), traffic, to: Destinations::Names(patterns) }
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
