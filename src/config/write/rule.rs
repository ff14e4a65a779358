//! Rules as tables of TOML.

use std::sync::Arc;

use crate::azure::note::{Note, Severity};
use crate::flow::{Host, PortRange, PortSet, Protocol};
use crate::policy::{
    About, Action, AddressRange, AddressSet, AppProtocol, ApplicationRule, DnatRule, HeaderInsertion, IpProtocols,
    NamedKind, NamedRanges, NetworkRule, PolicyRules, Rules, Translated,
};

use super::Siblings;
use super::page::{Page, quoted};

const RULE: &str = "rule_collection_group.rule_collection.rule";

/// The IP groups of a policy, each by a name that only it has.
pub(super) struct IpGroups(Vec<(NamedRanges, String)>);

impl IpGroups {
    pub(super) fn of(policy: &PolicyRules) -> IpGroups {
        let mut names = Siblings::default();
        let mut groups = IpGroups(Vec::new());
        for group in policy.groups.iter().flat_map(|group| &group.collections).flat_map(|it| ip_groups(&it.rules)) {
            if groups.name(group).is_none() {
                groups.0.push((group.clone(), names.unique(&group.name)));
            }
        }
        groups
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Arc<[AddressRange]>)> {
        self.0.iter().map(|(group, name)| (name.as_str(), &group.ranges))
    }

    fn name(&self, group: &NamedRanges) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == group).map(|(_, name)| name.as_str())
    }
}

fn ip_groups(rules: &Rules) -> Vec<&NamedRanges> {
    let sets: Vec<&AddressSet> = match rules {
        Rules::Dnat(rules) => rules.iter().flat_map(|rule| [&rule.sources, &rule.destinations]).collect(),
        Rules::Network(_, rules) => rules.iter().flat_map(|rule| [&rule.sources, &rule.destinations]).collect(),
        Rules::Application(_, rules) => rules.iter().map(|rule| &rule.sources).collect(),
    };
    let named = sets.into_iter().flat_map(AddressSet::named);
    named.filter(|named| named.kind == NamedKind::IpGroup).collect()
}

/// Writes the rules of a collection.
pub(super) struct RuleWriter<'p> {
    pub page: &'p mut Page,
    pub ip_groups: &'p IpGroups,
    pub notes: &'p mut Vec<Note>,
    /// Whether the collection at hand does.
    pub denies: bool,
}

/// The sources of a rule as they are written; neither for any.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sources {
    addresses: Vec<String>,
    groups: Vec<String>,
}

/// What a rule names and a file cannot say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Nothing,
    Groups,
}

impl RuleWriter<'_> {
    /// Type and action of the collection.
    pub(super) fn kind(&mut self, kind: &str, action: Option<Action>) {
        self.denies = action == Some(Action::Deny);
        self.page.text("type", Some(kind));
        let word = |action| match action {
            Action::Allow => "allow",
            Action::Deny => "deny",
        };
        self.page.text("action", action.map(word));
    }

    pub(super) fn network(&mut self, rule: &NetworkRule, names: &mut Siblings) {
        let NetworkRule { name, sources, protocols, destinations, fqdns, ports, about } = rule;
        let lost = self.lost_groups(name, about, &[sources, destinations]);
        let nowhere = names_nothing(destinations) && fqdns.is_empty();
        let Some(from) = self.sources(sources).filter(|_| !nowhere) else {
            return self.matches_nothing(name, about, lost);
        };
        if ports.ranges().is_empty() || *protocols == IpProtocols::default() {
            return self.matches_nothing(name, about, lost);
        }
        self.begin(name, names, about);
        self.write_sources(from);
        self.page.list("ip_protocols", ip_protocols(*protocols));
        self.page.list("destination_addresses", addresses(destinations).into_iter().chain(tags(destinations)));
        self.groups("destination_ip_groups", destinations);
        self.page.list("destination_fqdns", fqdns.iter().map(ToString::to_string));
        self.ports(ports);
    }

    pub(super) fn application(&mut self, rule: &ApplicationRule, names: &mut Siblings) {
        let ApplicationRule { name, sources, protocols, fqdns, tags, urls, categories, terminate_tls, headers, about } =
            rule;
        // Without a protocol only tags match, which bring their own.
        let by_protocol = !protocols.is_empty() && fqdns.len() + urls.len() + categories.len() > 0;
        let lost = self.lost_groups(name, about, &[sources]);
        let Some(from) = self.sources(sources).filter(|_| by_protocol || !tags.is_empty()) else {
            return self.matches_nothing(name, about, lost);
        };
        self.begin(name, names, about);
        self.write_sources(from);
        self.page.list("protocols", protocols.iter().map(|protocol| app_protocol(*protocol)));
        if by_protocol {
            self.page.list("target_fqdns", fqdns.iter().map(ToString::to_string));
            self.page.list("target_urls", urls.iter().map(ToString::to_string));
            self.page.list("web_categories", categories.iter().map(|category| category.name.clone()));
        }
        self.page.list("fqdn_tags", tags.iter().map(|tag| tag.name.clone()));
        self.page.flag("terminate_tls", Some(true).filter(|_| *terminate_tls));
        self.page.raw_list("http_headers", headers.iter().map(header));
    }

    pub(super) fn dnat(&mut self, rule: &DnatRule, names: &mut Siblings) {
        let DnatRule { name, sources, protocols, destinations, ports, translated, about } = rule;
        let lost = self.lost_groups(name, about, &[sources, destinations]);
        let nowhere = names_nothing(destinations) || ports.ranges().is_empty();
        let Some(from) = self.sources(sources).filter(|_| !nowhere) else {
            return self.matches_nothing(name, about, lost);
        };
        if destinations.is_any() {
            let what = format!("the DNAT rule `{name}` translates every destination and is left out");
            let note = Note::new(Severity::Error, about.at, what);
            return self.notes.push(note.mend("name the firewall's own addresses"));
        }
        let IpProtocols { tcp, udp, icmp: _, any } = *protocols;
        let protocols = IpProtocols { tcp: tcp || any, udp: udp || any, ..IpProtocols::default() };
        self.begin(name, names, about);
        self.write_sources(from);
        self.page.list("ip_protocols", ip_protocols(protocols));
        // IP groups are not for destinations of DNAT rules.
        let groups = destinations.named().iter().flat_map(|named| named.ranges.iter()).map(ToString::to_string);
        self.page.list("destination_addresses", addresses(destinations).into_iter().chain(groups));
        self.ports(ports);
        let Translated { host, port } = translated;
        let key = if matches!(host, Host::Addr(_)) { "translated_address" } else { "translated_fqdn" };
        self.page.text(key, Some(&host.to_string()));
        self.page.number("translated_port", Some(*port));
    }

    fn begin(&mut self, name: &str, names: &mut Siblings, about: &About) {
        self.page.tables(RULE);
        self.page.text("name", Some(&names.unique(name)));
        self.page.text("description", Some(about.description.as_str()).filter(|text| !text.is_empty()));
    }

    /// What was lost was told of already.
    fn matches_nothing(&mut self, name: &str, about: &About, lost: Lost) {
        if lost == Lost::Nothing {
            let what = format!("the rule `{name}` names nothing that it could match and is left out");
            self.notes.push(Note::new(Severity::Warning, about.at, what));
        }
    }

    /// Tells of the IP groups that are not at hand: there is no table of them to name.
    fn lost_groups(&mut self, name: &str, about: &About, sets: &[&AddressSet]) -> Lost {
        let named = sets.iter().flat_map(|set| set.named());
        let mut lost = Lost::Nothing;
        for group in named.filter(|named| named.kind == NamedKind::UnknownIpGroup) {
            lost = Lost::Groups;
            let hole = if self.denies { "; what it denied may be allowed" } else { "" };
            let what = format!("the rule `{name}`: the IP group `{}` is not known and is left out{hole}", group.name);
            self.notes.push(Note::new(Severity::Error, about.at, what).mend("give the IP group's file too"));
        }
        lost
    }

    /// Sources know no service tags: their addresses stand for them. None where nothing would be written, as rules
    /// that name no source are for any.
    fn sources(&self, sources: &AddressSet) -> Option<Sources> {
        if *sources == AddressSet::any() {
            return Some(Sources::default());
        }
        let tags = sources.named().iter().filter(|named| named.kind == NamedKind::ServiceTag);
        let of_tags = tags.flat_map(|tag| tag.ranges.iter()).map(ToString::to_string);
        let addresses = addresses(sources).into_iter().chain(of_tags).collect();
        let written = Sources { addresses, groups: self.group_names(sources) };
        (written != Sources::default()).then_some(written)
    }

    fn write_sources(&mut self, Sources { addresses, groups }: Sources) {
        self.page.list("source_addresses", addresses);
        self.page.list("source_ip_groups", groups);
    }

    fn group_names(&self, set: &AddressSet) -> Vec<String> {
        set.named().iter().filter_map(|named| self.ip_groups.name(named)).map(str::to_owned).collect()
    }

    fn groups(&mut self, key: &str, set: &AddressSet) {
        let groups = self.group_names(set);
        self.page.list(key, groups);
    }

    fn ports(&mut self, ports: &PortSet) {
        let written = |range: &PortRange| match (range.first(), range.last()) {
            _ if *range == PortRange::ANY => quoted("*"),
            (first, last) if first == last => first.to_string(),
            (first, last) => quoted(&format!("{}-{last}", first.max(1))),
        };
        self.page.raw_list("destination_ports", ports.ranges().iter().map(written));
    }
}

/// True where not so much as a name is in it that can be written.
fn names_nothing(set: &AddressSet) -> bool {
    let is_written = |named: &NamedRanges| named.kind != NamedKind::UnknownIpGroup;
    !set.is_any() && set.listed().is_empty() && !set.named().iter().any(is_written)
}

/// The entries that go by no name.
pub(super) fn addresses(set: &AddressSet) -> Vec<String> {
    let any = set.is_any().then(|| "*".to_owned());
    any.into_iter().chain(set.listed().iter().map(ToString::to_string)).collect()
}

fn tags(set: &AddressSet) -> impl Iterator<Item = String> + '_ {
    set.named().iter().filter(|named| named.kind == NamedKind::ServiceTag).map(|named| named.name.clone())
}

fn ip_protocols(protocols: IpProtocols) -> Vec<String> {
    let IpProtocols { tcp, udp, icmp, any } = protocols;
    let named = [(tcp, "TCP"), (udp, "UDP"), (icmp, "ICMP"), (any, "Any")];
    named.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.to_owned()).collect()
}

pub(super) fn app_protocol(AppProtocol { protocol, port }: AppProtocol) -> String {
    let name = match protocol {
        Protocol::Http => "Http",
        Protocol::Mssql => "Mssql",
        _ => "Https",
    };
    format!("{name}:{port}")
}

fn header(HeaderInsertion { name, value }: &HeaderInsertion) -> String {
    format!("{{ name = {}, value = {} }}", quoted(name), quoted(value))
}
