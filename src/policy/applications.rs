//! An index from names to the application rules that name them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::flow::{HostName, Protocol};

use super::address::AddressSet;
use super::chains::{Chains, PerChain};
use super::names::{NameIndex, NameIndexBuilder};
use super::order::AnyRule;
use super::pattern::{FqdnPattern, PathPattern};
use super::sources::{FirstBySource, min};
use super::tree::{Action, AppProtocol, ApplicationRule};

pub(super) struct ApplicationIndex {
    fqdns: NameIndex,
    postings: Vec<Posting>,
    /// None where no rule names a URL.
    urls: Option<UrlIndex>,
}

/// URLs by their host; each host pattern has its URLs in the order of evaluation.
struct UrlIndex {
    hosts: NameIndex,
    postings: Vec<Vec<u32>>,
    rules: Vec<UrlRule>,
}

/// What application rules of one set say, by port and protocol.
struct Posting {
    /// Sorted by port, then protocol.
    first: Vec<(AppProtocol, FirstBySource)>,
    /// The first rule that allows, whatever its port and protocol: for the reason of a denial.
    allowed_somewhere: FirstBySource,
    /// The first rule that allows, by port, whatever its protocol.
    allowed_on_port: Vec<(u16, FirstBySource)>,
}

struct UrlRule {
    rule: u32,
    action: Action,
    sources: AddressSet,
    protocols: Vec<AppProtocol>,
    path: PathPattern,
}

/// How near a denied flow came to being allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Near {
    Nothing,
    OtherPort,
    OtherProtocol,
}

#[derive(Clone, Copy)]
pub(super) struct ApplicationQuery<'a> {
    pub(super) client: Option<IpAddr>,
    pub(super) name: &'a HostName,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    pub(super) path: Option<&'a str>,
}

/// Part of a rule whose names share their protocols: its own FQDNs, or the members of its tags on one port.
struct Unit<'a> {
    rule: u32,
    action: Action,
    sources: &'a AddressSet,
    protocols: Vec<AppProtocol>,
    patterns: Vec<&'a FqdnPattern>,
}

impl ApplicationIndex {
    /// `rules` in the order of evaluation, with their numbers.
    pub(super) fn build<'a>(rules: impl Iterator<Item = (u32, AnyRule<'a>)>) -> ApplicationIndex {
        let rules: Vec<_> = rules.filter_map(application).collect();
        let units: Vec<Unit<'a>> =
            rules.iter().flat_map(|(number, action, rule)| units(*number, *action, rule)).collect();
        let mut chains = Chains::new();
        let mut fqdns = NameIndexBuilder::default();
        for (at, unit) in units.iter().enumerate() {
            let at = u32::try_from(at).expect("fewer than 2^32 rules");
            unit.patterns.iter().for_each(|pattern| fqdns.add(pattern, &mut chains, at));
        }
        let mut postings = PerChain::new();
        let fqdns = fqdns.build(|chain| {
            postings.get_or_build(chain, || {
                let members = chains.rules(chain);
                Posting::build(members.into_iter().map(|at| &units[at as usize]))
            })
        });
        ApplicationIndex { fqdns, postings: postings.into_values(), urls: build_urls(&rules) }
    }

    pub(super) fn first(&self, query: &ApplicationQuery<'_>) -> Option<u32> {
        let wanted = AppProtocol { protocol: query.protocol, port: query.port };
        let mut first = None;
        self.fqdns.visit(query.name, |posting| {
            first = min(first, self.postings[posting as usize].get(wanted, query.client));
        });
        if let (Some(urls), Some(path)) = (&self.urls, query.path) {
            urls.hosts.visit(query.name, |posting| {
                let mut rules = urls.postings[posting as usize].iter().map(|at| &urls.rules[*at as usize]);
                let hit = rules.find(|rule| rule.matches(wanted, query.client, path));
                first = min(first, hit.map(|rule| rule.rule));
            });
        }
        first
    }

    /// True where a rule looks at paths.
    pub(super) fn looks_at_paths(&self) -> bool {
        self.urls.is_some()
    }

    /// Does a rule allow this client anything of this name?
    pub(super) fn allows_somewhere(&self, name: &HostName, client: Option<IpAddr>) -> bool {
        let mut found = false;
        self.fqdns.visit(name, |posting| {
            found |= self.postings[posting as usize].allowed_somewhere.get(client).is_some();
        });
        if let Some(urls) = &self.urls {
            urls.hosts.visit(name, |posting| {
                let mut rules = urls.postings[posting as usize].iter().map(|at| &urls.rules[*at as usize]);
                found |= rules.any(|rule| rule.action == Action::Allow && rule.is_for(client));
            });
        }
        found
    }

    /// How near a flow that nothing matched came to a rule that allows.
    pub(super) fn near(&self, name: &HostName, port: u16, client: Option<IpAddr>) -> Near {
        let mut near = Near::Nothing;
        self.fqdns.visit(name, |posting| near = near.max(self.postings[posting as usize].near(port, client)));
        near
    }
}

fn application<'a>((number, rule): (u32, AnyRule<'a>)) -> Option<(u32, Action, &'a ApplicationRule)> {
    match rule {
        AnyRule::Application(action, rule) => Some((number, action, rule)),
        AnyRule::Infrastructure(rule) => Some((number, Action::Allow, rule)),
        AnyRule::Dnat(_) | AnyRule::Network(..) => None,
    }
}

fn units<'a>(number: u32, action: Action, rule: &'a ApplicationRule) -> Vec<Unit<'a>> {
    if rule.sources.has_empty_group() {
        return Vec::new();
    }
    let unit = |protocols, patterns| Unit { rule: number, action, sources: &rule.sources, protocols, patterns };
    let mut by_protocol: BTreeMap<AppProtocol, Vec<&FqdnPattern>> = BTreeMap::new();
    for (pattern, protocol) in rule.tags.iter().flat_map(|tag| tag.members.iter()) {
        by_protocol.entry(*protocol).or_default().push(pattern);
    }
    let categories = rule.categories.iter().flat_map(|category| category.members.iter());
    let own = unit(rule.protocols.clone(), rule.fqdns.iter().chain(categories).collect());
    let tagged = by_protocol.into_iter().map(|(protocol, patterns)| unit(vec![protocol], patterns));
    std::iter::once(own).chain(tagged).collect()
}

/// Each URL of each rule is an entry of its own: paths differ where hosts agree.
fn build_urls(rules: &[(u32, Action, &ApplicationRule)]) -> Option<UrlIndex> {
    let mut chains = Chains::new();
    let mut index = NameIndexBuilder::default();
    let mut found = Vec::new();
    for (number, action, rule) in rules.iter().filter(|(_, _, rule)| !rule.sources.has_empty_group()) {
        for url in &rule.urls {
            let at = u32::try_from(found.len()).expect("fewer than 2^32 URLs");
            index.add(&url.host, &mut chains, at);
            found.push(UrlRule {
                rule: *number,
                action: *action,
                sources: rule.sources.clone(),
                protocols: rule.protocols.clone(),
                path: url.path.clone(),
            });
        }
    }
    let mut postings = PerChain::new();
    let index = index.build(|chain| postings.get_or_build(chain, || chains.rules(chain)));
    (!found.is_empty()).then(|| UrlIndex { hosts: index, postings: postings.into_values(), rules: found })
}

impl Posting {
    /// From units in the order of evaluation.
    fn build<'a>(units: impl Iterator<Item = &'a Unit<'a>>) -> Posting {
        let units: Vec<&Unit<'_>> = units.collect();
        let mut by_protocol: BTreeMap<AppProtocol, Vec<&Unit<'_>>> = BTreeMap::new();
        let mut by_port: BTreeMap<u16, Vec<&Unit<'_>>> = BTreeMap::new();
        for unit in &units {
            for protocol in &unit.protocols {
                by_protocol.entry(*protocol).or_default().push(unit);
                by_port.entry(protocol.port).or_default().push(unit);
            }
        }
        let all = |units: &[&Unit<'_>]| FirstBySource::build(units.iter().map(|unit| (unit.rule, unit.sources)));
        let allowing = |units: &[&Unit<'_>]| {
            let allow = units.iter().filter(|unit| unit.action == Action::Allow);
            FirstBySource::build(allow.map(|unit| (unit.rule, unit.sources)))
        };
        Posting {
            first: by_protocol.iter().map(|(protocol, units)| (*protocol, all(units))).collect(),
            allowed_somewhere: allowing(&units),
            allowed_on_port: by_port.iter().map(|(port, units)| (*port, allowing(units))).collect(),
        }
    }

    fn get(&self, wanted: AppProtocol, client: Option<IpAddr>) -> Option<u32> {
        let at = self.first.binary_search_by_key(&wanted, |(protocol, _)| *protocol).ok()?;
        self.first[at].1.get(client)
    }

    fn near(&self, port: u16, client: Option<IpAddr>) -> Near {
        let on_port = self.allowed_on_port.binary_search_by_key(&port, |(port, _)| *port);
        if on_port.is_ok_and(|at| self.allowed_on_port[at].1.get(client).is_some()) {
            Near::OtherProtocol
        } else if self.allowed_somewhere.get(client).is_some() {
            Near::OtherPort
        } else {
            Near::Nothing
        }
    }
}

impl UrlRule {
    fn matches(&self, wanted: AppProtocol, client: Option<IpAddr>, path: &str) -> bool {
        self.protocols.contains(&wanted) && self.is_for(client) && self.path.matches(path)
    }

    fn is_for(&self, client: Option<IpAddr>) -> bool {
        client.map_or(self.sources.is_any(), |addr| self.sources.contains(addr))
    }
}
