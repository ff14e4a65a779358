//! Rules as ARM objects. What Azure takes no entry for is left out of its rule and told of, with what would do instead.

use crate::allowlist::Catalogue;
use crate::azure::note::{Note, Severity};
use crate::flow::{Host, PortRange, PortSet, Protocol};
use crate::policy::{
    About, Action, AddressSet, AppProtocol, ApplicationRule, DnatRule, FqdnPattern, IpProtocols, NamedKind,
    NetworkRule, Rules,
};

use super::Widen;
use super::names::Names;
use super::plan::{CollectionAction, Planner};
use super::tree::{Builder, Tree};

/// Azure keeps the ports above for itself.
const LAST_APP_PORT: u16 = 64_000;
const LAST_NAT_PORT: u16 = 63_999;

/// Plans the rules of one collection.
pub(super) struct RulePlanner<'p, 'r> {
    planner: &'p mut Planner<'r>,
    /// `group/collection`, for people.
    place: String,
    names: Names,
    action: CollectionAction,
    /// Something of the rule at hand was left out, and told of.
    lost: bool,
}

/// An address set as a rule names it.
#[derive(Default)]
struct Entries {
    addresses: Vec<String>,
    ip_groups: Vec<Tree>,
}

impl Entries {
    fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.ip_groups.is_empty()
    }
}

/// The targets of an application rule that go together.
#[derive(Default)]
struct Targets {
    fqdns: Vec<String>,
    urls: Vec<String>,
    categories: Vec<String>,
    tags: Vec<String>,
    protocols: Vec<Tree>,
}

impl<'p, 'r> RulePlanner<'p, 'r> {
    pub(super) fn new(planner: &'p mut Planner<'r>, group: &str, collection: &str) -> RulePlanner<'p, 'r> {
        let place = format!("{group}/{collection}");
        let names = planner.names();
        RulePlanner { planner, place, names, action: CollectionAction::Dnat, lost: false }
    }

    pub(super) fn rules(mut self, rules: &Rules) -> (CollectionAction, Vec<Tree>) {
        let of = |action: &Action| match action {
            Action::Allow => CollectionAction::Allow,
            Action::Deny => CollectionAction::Deny,
        };
        let planned = match rules {
            Rules::Dnat(rules) => rules.iter().filter_map(|rule| self.dnat(rule)).collect(),
            Rules::Network(action, rules) => {
                self.action = of(action);
                rules.iter().filter_map(|rule| self.network(rule)).collect()
            }
            Rules::Application(action, rules) => {
                self.action = of(action);
                rules.iter().flat_map(|rule| self.application(rule)).collect()
            }
        };
        (self.action, planned)
    }

    fn network(&mut self, rule: &NetworkRule) -> Option<Tree> {
        let NetworkRule { name, sources, protocols, destinations, fqdns, ports, about } = rule;
        let from = self.entries(name, about, sources, Use::Source);
        let to = self.entries(name, about, destinations, Use::Destination);
        let ports = ports.ranges().iter().map(port).collect::<Vec<_>>();
        let nowhere = to.is_empty() && fqdns.is_empty();
        if from.is_empty() || nowhere || ports.is_empty() || *protocols == IpProtocols::default() {
            return self.nothing_left(name, about);
        }
        let built = self.begin("NetworkRule", name, about);
        let built = built.put("ipProtocols", ip_protocols(*protocols));
        let built = with_sources(built, from)
            .put("destinationAddresses", Tree::texts(to.addresses))
            .put("destinationIpGroups", Tree::List(to.ip_groups))
            .put("destinationFqdns", Tree::texts(fqdns.iter().map(ToString::to_string)))
            .put("destinationPorts", Tree::texts(ports));
        Some(built.object())
    }

    fn dnat(&mut self, rule: &DnatRule) -> Option<Tree> {
        let DnatRule { name, sources, protocols, destinations, ports, translated, about } = rule;
        if destinations.is_any() {
            let what = format!("{}: a DNAT rule for every destination is left out", self.named(name));
            self.lose(about, what, "name the firewall's own addresses");
            return None;
        }
        let from = self.entries(name, about, sources, Use::Source);
        let to = self.entries(name, about, destinations, Use::DnatDestination);
        let ports = self.nat_ports(name, about, ports);
        if from.is_empty() || to.is_empty() || ports.is_empty() {
            return self.nothing_left(name, about);
        }
        let IpProtocols { tcp, udp, icmp: _, any } = *protocols;
        let protocols = IpProtocols { tcp: tcp || any, udp: udp || any, ..IpProtocols::default() };
        let (address, fqdn) = match &translated.host {
            Host::Addr(addr) => (Some(addr.to_string()), None),
            Host::Name(name) => (None, Some(name.to_string())),
        };
        let built = self.begin("NatRule", name, about).put("ipProtocols", ip_protocols(protocols));
        let built = with_sources(built, from)
            .put("destinationAddresses", Tree::texts(to.addresses))
            .put("destinationPorts", Tree::texts(ports))
            .text("translatedAddress", address)
            .text("translatedFqdn", fqdn)
            .text("translatedPort", Some(translated.port.to_string()));
        Some(built.object())
    }

    fn nat_ports(&mut self, name: &str, about: &About, ports: &PortSet) -> Vec<String> {
        if ports.ranges().iter().any(|range| range.last() > LAST_NAT_PORT) {
            let what = format!("{}: ports above {LAST_NAT_PORT} are left out of a DNAT rule", self.named(name));
            self.lose(about, what, "translate another port: Azure keeps these for itself");
        }
        let kept = ports.ranges().iter().filter(|range| range.first() <= LAST_NAT_PORT);
        kept.map(|range| port_text(range.first().max(1), range.last().min(LAST_NAT_PORT))).collect()
    }

    /// FQDN tags stand alone in Azure: a rule that has other targets too becomes two.
    fn application(&mut self, rule: &ApplicationRule) -> Vec<Tree> {
        let name = &rule.name;
        let from = self.entries(name, &rule.about, &rule.sources, Use::Source);
        let by_name = self.by_name(rule);
        let tags: Vec<String> = rule.tags.iter().map(|tag| tag.name.clone()).collect();
        let tagged = Targets { tags, protocols: tag_protocols(rule), ..Targets::default() };
        let targets = by_name.fqdns.len() + by_name.urls.len() + by_name.categories.len();
        let (has_names, has_tags) = (targets > 0 && !by_name.protocols.is_empty(), !tagged.tags.is_empty());
        if from.is_empty() || (!has_names && !has_tags) {
            self.nothing_left(name, &rule.about);
            return Vec::new();
        }
        if has_names && has_tags {
            let what = format!("{}: the FQDN tags become a rule of their own", self.named(name));
            self.planner.tell(Severity::Info, rule.about.at, what);
        }
        let tags_name = if has_names { format!("{name}-tags") } else { name.clone() };
        let wanted = [(has_names, name, by_name), (has_tags, &tags_name, tagged)];
        let wanted = wanted.into_iter().filter(|(there, ..)| *there);
        wanted.map(|(_, name, targets)| self.application_object(name, rule, &from, targets)).collect()
    }

    fn application_object(&mut self, name: &str, rule: &ApplicationRule, from: &Entries, targets: Targets) -> Tree {
        let Targets { fqdns, urls, categories, tags, protocols } = targets;
        let header = |header: &crate::policy::HeaderInsertion| {
            Builder::default()
                .text("headerName", Some(header.name.as_str()))
                .text("headerValue", Some(header.value.as_str()))
                .object()
        };
        let from = Entries { addresses: from.addresses.clone(), ip_groups: from.ip_groups.clone() };
        let built = with_sources(self.begin("ApplicationRule", name, &rule.about), from)
            .put("protocols", Tree::List(protocols))
            .put("targetFqdns", Tree::texts(fqdns))
            .put("targetUrls", Tree::texts(urls))
            .put("fqdnTags", Tree::texts(tags))
            .put("webCategories", Tree::texts(categories))
            .flag("terminateTLS", rule.terminate_tls.then_some(true))
            .put("httpHeadersToInsert", Tree::List(rule.headers.iter().map(header).collect()));
        built.object()
    }

    fn by_name(&mut self, rule: &ApplicationRule) -> Targets {
        let ApplicationRule { name, protocols, fqdns, urls, categories, about, .. } = rule;
        let mut kept = Vec::new();
        for protocol in protocols {
            if protocol.port <= LAST_APP_PORT {
                kept.push(app_protocol(*protocol));
                continue;
            }
            let what = format!("{}: port {} of an application rule is left out", self.named(name), protocol.port);
            self.lose(about, what, &format!("Azure takes ports up to {LAST_APP_PORT} there; a network rule takes all"));
        }
        Targets {
            fqdns: fqdns.iter().filter_map(|pattern| self.fqdn(rule, pattern)).collect(),
            urls: urls.iter().map(ToString::to_string).collect(),
            categories: categories.iter().map(|category| category.name.clone()).collect(),
            tags: Vec::new(),
            protocols: kept,
        }
    }

    /// A pattern in Azure's dialect; a full glob is none, unless it says what one does.
    fn fqdn(&mut self, rule: &ApplicationRule, pattern: &FqdnPattern) -> Option<String> {
        let FqdnPattern::Glob(glob) = pattern else {
            return Some(pattern.to_string());
        };
        if let Some(same) = same_in_azure(glob) {
            return Some(same);
        }
        let (wider, named) = (wider(glob), self.named(&rule.name));
        let more = if self.action == CollectionAction::Deny { "denies" } else { "allows" };
        let tag = tag_with(pattern).map(|tag| format!("the FQDN tag {tag} holds it; ")).unwrap_or_default();
        match self.planner.widen() {
            Widen::Nearest => {
                let what = format!("{named}: `{glob}` is widened to `{wider}`, which {more} more");
                self.lose(&rule.about, what, &format!("{tag}list the names that are meant"));
                Some(wider)
            }
            Widen::Never => {
                let what = format!("{named}: Azure takes `*` only as the left-most character, so `{glob}` is left out");
                let mend = format!("{tag}`{wider}` is the nearest that Azure takes and {more} more (--widen)");
                self.lose(&rule.about, what, &mend);
                None
            }
        }
    }

    fn entries(&mut self, name: &str, about: &About, set: &AddressSet, used: Use) -> Entries {
        let mut entries = Entries::default();
        entries.addresses.extend(set.is_any().then(|| "*".to_owned()));
        let mut left = 0;
        for range in set.listed() {
            if range.first().is_ipv4() { entries.addresses.push(range.to_string()) } else { left += 1 }
        }
        for named in set.named() {
            let v4 = || named.ranges.iter().filter(|range| range.first().is_ipv4());
            let only_v6 = !named.ranges.is_empty() && v4().next().is_none();
            match (named.kind, used) {
                (NamedKind::ServiceTag, Use::Destination) => entries.addresses.push(named.name.clone()),
                (NamedKind::IpGroup, Use::Source | Use::Destination) if !only_v6 => {
                    entries.ip_groups.push(Tree::Id(self.planner.ip_group(named)));
                }
                (NamedKind::UnknownIpGroup, _) => {
                    let what =
                        format!("{}: the IP group `{}` is not known and is left out", self.named(name), named.name);
                    self.lose(about, what, "give the IP group's file too");
                }
                _ => {
                    left += named.ranges.len() - v4().count();
                    entries.addresses.extend(v4().map(ToString::to_string));
                }
            }
        }
        if left > 0 {
            let what = format!("{}: IPv6 addresses are left out", self.named(name));
            self.lose(about, what, "Azure Firewall's rules take IPv4 only");
        }
        entries
    }

    fn begin(&mut self, kind: &str, name: &str, about: &About) -> Builder {
        self.lost = false;
        let legal = self.names.take(name, "rule");
        if legal != name && !name.is_empty() {
            self.planner.renamed.push((name.to_owned(), legal.clone()));
        }
        let description = Some(about.description.as_str()).filter(|text| !text.is_empty());
        Builder::default().text("ruleType", Some(kind)).text("name", Some(legal)).text("description", description)
    }

    fn nothing_left(&mut self, name: &str, about: &About) -> Option<Tree> {
        if !std::mem::take(&mut self.lost) {
            let what = format!("{}: the rule names nothing that it could match, and is left out", self.named(name));
            self.planner.tell(Severity::Warning, about.at, what);
        }
        None
    }

    fn named(&self, rule: &str) -> String {
        format!("{}/{rule}", self.place)
    }

    fn lose(&mut self, about: &About, what: String, mend: &str) {
        self.lost = true;
        let hole = match self.action {
            CollectionAction::Deny => "; what it denied may be allowed",
            CollectionAction::Allow | CollectionAction::Dnat => "",
        };
        let what = if what.contains("widened") { what } else { format!("{what}{hole}") };
        self.planner.plan.notes.push(Note::new(Severity::Error, about.at, what).mend(mend));
    }
}

/// What an address set is used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Source,
    /// Service tags are for these only.
    Destination,
    DnatDestination,
}

fn with_sources(built: Builder, from: Entries) -> Builder {
    built.put("sourceAddresses", Tree::texts(from.addresses)).put("sourceIpGroups", Tree::List(from.ip_groups))
}

fn ip_protocols(protocols: IpProtocols) -> Tree {
    let IpProtocols { tcp, udp, icmp, any } = protocols;
    let named = [(tcp, "TCP"), (udp, "UDP"), (icmp, "ICMP"), (any, "Any")];
    Tree::texts(named.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.to_owned()))
}

fn app_protocol(AppProtocol { protocol, port }: AppProtocol) -> Tree {
    let name = match protocol {
        Protocol::Http => "Http",
        Protocol::Mssql => "Mssql",
        _ => "Https",
    };
    Builder::default().text("protocolType", Some(name)).number("port", Some(port)).object()
}

/// A rule with FQDN tags has to say Https; what decides is the tag's own (azure-docs, fqdn-tags.md).
fn tag_protocols(rule: &ApplicationRule) -> Vec<Tree> {
    let https = AppProtocol { protocol: Protocol::Https, port: 443 };
    let by_name = rule.fqdns.len() + rule.urls.len() + rule.categories.len() > 0;
    if by_name || !rule.protocols.contains(&https) || rule.protocols.iter().any(|it| it.port > LAST_APP_PORT) {
        return vec![app_protocol(https)];
    }
    rule.protocols.iter().map(|protocol| app_protocol(*protocol)).collect()
}

pub(super) fn port(range: &PortRange) -> String {
    if *range == PortRange::ANY { "*".to_owned() } else { port_text(range.first().max(1), range.last()) }
}

fn port_text(first: u16, last: u16) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// A glob that is a pattern of Azure's under another name.
fn same_in_azure(glob: &str) -> Option<String> {
    let plain = !glob.contains(['?', '[', ']', '{', '}', ',', '!']);
    FqdnPattern::parse_azure(glob).ok().filter(|_| plain).map(|pattern| pattern.to_string())
}

/// What follows the last sign of a glob, from its first dot on.
fn wider(glob: &str) -> String {
    let tail = glob.rsplit(['*', '?', '[', ']', '{', '}', ',', '!']).next().unwrap_or_default();
    let tail = tail.find('.').map_or("", |dot| &tail[dot..]);
    if tail.len() > 1 { format!("*{tail}") } else { "*".to_owned() }
}

/// The FQDN tag that has this very pattern among its members.
fn tag_with(pattern: &FqdnPattern) -> Option<String> {
    let catalogue = Catalogue::default();
    let names: Vec<String> = catalogue.fqdn_tag_names().into_iter().map(str::to_owned).collect();
    names.into_iter().find(|name| {
        catalogue.fqdn_tag(name).is_some_and(|tag| tag.members.iter().any(|(member, _)| member == pattern))
    })
}
