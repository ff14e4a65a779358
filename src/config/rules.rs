//! Reads Azure's tree of rules out of a file: IP groups, groups, collections, rules.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::allowlist::Catalogue;
use crate::azure::read::{Effect, is_tag_like};
use crate::flow::{Host, HostName, PortRange, PortSet, nearest};
use crate::policy::{
    About, Action, AddressSet, AppProtocol, ApplicationRule, DnatRule, FqdnPattern, FqdnTag, HeaderInsertion,
    IpProtocols, NamedKind, NamedRanges, NetworkRule, Priority, RuleCollection, RuleCollectionGroup, Rules, Translated,
    UrlPattern, WebCategory,
};

use super::error::{Findings, Placed, Problem};
use super::reader::Section;
use super::values::{self, RuleType, WrittenAction};

/// Reads `[[rule_collection_group]]` with the `[[ip_group]]` that its rules name.
pub(super) fn read(file: &Section, catalogue: &Catalogue, findings: &mut Findings) -> Vec<RuleCollectionGroup> {
    let ip_groups = ip_groups(file, findings);
    let mut reader = RuleReader { ip_groups, catalogue, findings, effect: Effect::Allows };
    let mut names = Names::of("rule collection group");
    if file.flag("classic") == Some(true) {
        names.required = false;
    }
    let groups = file.tables("rule_collection_group", reader.findings);
    groups.iter().filter_map(|group| reader.group(group, &mut names)).collect()
}

/// Reads `[infrastructure]` as one rule.
pub(super) fn infrastructure(section: &Section, findings: &mut Findings) -> ApplicationRule {
    let (ip_groups, catalogue) = (HashMap::new(), &Catalogue::default());
    let mut reader = RuleReader { ip_groups, catalogue, findings, effect: Effect::Allows };
    let usual = [(crate::flow::Protocol::Http, 80), (crate::flow::Protocol::Https, 443)];
    let usual = || usual.map(|(protocol, port)| AppProtocol { protocol, port }).to_vec();
    ApplicationRule {
        name: "infrastructure".to_owned(),
        sources: AddressSet::any(),
        protocols: if section.has("protocols") { reader.app_protocols(section) } else { usual() },
        fqdns: reader.each(section, "fqdns", FqdnPattern::parse),
        about: About { at: section.spot(), ..About::default() },
        ..ApplicationRule::default()
    }
}

fn ip_groups(file: &Section, findings: &mut Findings) -> HashMap<String, NamedRanges> {
    let mut groups = HashMap::new();
    let mut names = Names::of("IP group");
    for group in file.tables("ip_group", findings) {
        let addresses = group.items("addresses");
        let read = |item: &Placed<String>| item.read(findings, |text| text.parse());
        let ranges: Vec<_> = addresses.iter().filter_map(read).collect();
        let Some(name) = names.take(&group, findings) else { continue };
        if addresses.is_empty() {
            let what = format!("the IP group `{name}` is empty: rules that name it are skipped, as Azure does");
            findings.warn(&group.place(), Problem::new(what).check(Some("empty-ip-group")));
        }
        groups.insert(name.clone(), NamedRanges { name, kind: NamedKind::IpGroup, ranges: ranges.into() });
    }
    groups
}

/// The names of siblings, of which no two may be the same.
struct Names {
    what: &'static str,
    /// Else they may be empty.
    required: bool,
    taken: HashSet<String>,
}

impl Names {
    fn of(what: &'static str) -> Names {
        Names { what, required: true, taken: HashSet::new() }
    }

    fn take(&mut self, section: &Section, findings: &mut Findings) -> Option<String> {
        let name = section.text("name")?;
        if name.value.is_empty() && !self.required {
            return Some(name.value);
        }
        if name.value.trim().is_empty() {
            findings.error(&name.place, Problem::new(format!("the {} has an empty name", self.what)));
            return None;
        }
        if !self.taken.insert(name.value.clone()) {
            let what = format!("the {} `{}` is there already", self.what, name.value);
            let problem = Problem::new(what).mend("rename one of them").check(Some("duplicate-name"));
            findings.error(&name.place, problem);
        }
        Some(name.value)
    }
}

fn in_a_file(name: &str) -> String {
    format!("name them in a file: --tag {name}=FILE")
}

/// The keys of a rule that mean something to its type only.
const OF_TYPES: &[(&str, &[RuleType])] = &[
    ("ip_protocols", &[RuleType::Network, RuleType::Dnat]),
    ("destination_addresses", &[RuleType::Network, RuleType::Dnat]),
    ("destination_ip_groups", &[RuleType::Network]),
    ("destination_fqdns", &[RuleType::Network]),
    ("destination_ports", &[RuleType::Network, RuleType::Dnat]),
    ("protocols", &[RuleType::Application]),
    ("target_fqdns", &[RuleType::Application]),
    ("fqdn_tags", &[RuleType::Application]),
    ("target_urls", &[RuleType::Application]),
    ("web_categories", &[RuleType::Application]),
    ("terminate_tls", &[RuleType::Application]),
    ("http_headers", &[RuleType::Application]),
    ("translated_address", &[RuleType::Dnat]),
    ("translated_fqdn", &[RuleType::Dnat]),
    ("translated_port", &[RuleType::Dnat]),
];

/// Reads rules. None stands for what an error was reported of.
struct RuleReader<'f> {
    ip_groups: HashMap<String, NamedRanges>,
    catalogue: &'f Catalogue,
    findings: &'f mut Findings,
    /// Of the collection at hand.
    effect: Effect,
}

impl RuleReader<'_> {
    fn group(&mut self, section: &Section, names: &mut Names) -> Option<RuleCollectionGroup> {
        let name = names.take(section, self.findings);
        let priority = self.priority(section);
        let mut names = Names::of("rule collection");
        let sections = section.tables("rule_collection", self.findings);
        let collections = sections.iter().filter_map(|section| self.collection(section, &mut names)).collect();
        Some(RuleCollectionGroup { name: name?, priority: priority?, collections, at: section.spot() })
    }

    fn collection(&mut self, section: &Section, names: &mut Names) -> Option<RuleCollection> {
        let name = names.take(section, self.findings);
        let priority = self.priority(section);
        let kind = section.text("type")?.read(self.findings, |text| values::pick(values::RULE_TYPES, text))?;
        let action = self.action(section, kind);
        self.effect = if action == Some(Action::Deny) { Effect::Denies } else { Effect::Allows };
        let rules = self.rules(section, kind, action.unwrap_or(Action::Deny));
        action?;
        Some(RuleCollection { name: name?, priority: priority?, rules, at: section.spot() })
    }

    fn priority(&mut self, section: &Section) -> Option<Priority> {
        section.count("priority")?.read(self.findings, |number| Priority::try_from(*number))
    }

    /// The action; DNAT collections have but one, which counts as allowing.
    fn action(&mut self, section: &Section, kind: RuleType) -> Option<Action> {
        let Some(written) = section.text("action") else {
            if kind != RuleType::Dnat && !section.has("action") {
                let problem = Problem::new("`action` is missing").mend("write action = \"allow\" or \"deny\"");
                self.findings.error(&section.place(), problem);
            }
            return (kind == RuleType::Dnat).then_some(Action::Allow);
        };
        written.read(self.findings, |text| match (values::pick(values::ACTIONS, text)?, kind) {
            (WrittenAction::Verdict(action), RuleType::Network | RuleType::Application) => Ok(action),
            (WrittenAction::Dnat, RuleType::Dnat) => Ok(Action::Allow),
            (_, RuleType::Dnat) => {
                Err(Problem::new(format!("`{text}` is no action of DNAT rules")).mend("leave it out"))
            }
            (WrittenAction::Dnat, _) => {
                Err(Problem::new(format!("`{text}` is an action of DNAT rules only")).mend("write allow or deny"))
            }
        })
    }

    fn rules(&mut self, collection: &Section, kind: RuleType, action: Action) -> Rules {
        let mut names = Names::of("rule");
        let sections = collection.tables("rule", self.findings);
        let mut each = Vec::with_capacity(sections.len());
        for section in &sections {
            self.refuse_other_types(section, kind);
            each.push((section, names.take(section, self.findings).unwrap_or_default()));
        }
        let each = each.into_iter();
        match kind {
            RuleType::Network => Rules::Network(action, each.filter_map(|(s, name)| self.network(s, name)).collect()),
            RuleType::Application => {
                Rules::Application(action, each.filter_map(|(s, name)| self.application(s, name)).collect())
            }
            RuleType::Dnat => Rules::Dnat(each.filter_map(|(s, name)| self.dnat(s, name)).collect()),
        }
    }

    fn refuse_other_types(&mut self, rule: &Section, kind: RuleType) {
        for (key, types) in OF_TYPES.iter().filter(|(key, types)| rule.has(key) && !types.contains(&kind)) {
            let word = |kind: &RuleType| values::RULE_TYPES.iter().find(|(_, it)| it == kind).map_or("", |(w, _)| w);
            let owners: Vec<&str> = types.iter().map(word).collect();
            let what = format!("`{key}` is for {} rules, this is a rule of type {}", owners.join(" and "), word(&kind));
            self.findings.error(&rule.place_of_key(key), Problem::new(what));
        }
    }

    fn network(&mut self, rule: &Section, name: String) -> Option<NetworkRule> {
        let sources = self.sources(rule);
        let protocols = self.ip_protocols(rule);
        let mut destinations = self.addresses(rule, "destination_addresses", Tags::Known);
        self.add_groups(rule, "destination_ip_groups", &mut destinations);
        let fqdns = self.each(rule, "destination_fqdns", exact_name);
        let keys = ["destination_addresses", "destination_ip_groups", "destination_fqdns"];
        self.want_one(rule, &keys, "no destination");
        let ports = self.ports(rule, protocols);
        let about = about(rule);
        Some(NetworkRule { name, sources, protocols: protocols?, destinations, fqdns, ports: ports?, about })
    }

    fn application(&mut self, rule: &Section, name: String) -> Option<ApplicationRule> {
        let sources = self.sources(rule);
        let protocols = self.app_protocols(rule);
        let fqdns = self.each(rule, "target_fqdns", FqdnPattern::parse);
        let urls = self.each(rule, "target_urls", UrlPattern::parse);
        let tags = self.fqdn_tags(rule);
        let categories = self.web_categories(rule);
        self.want_one(rule, &["target_fqdns", "fqdn_tags", "target_urls", "web_categories"], "no target");
        let needs_protocols =
            ["target_fqdns", "target_urls", "web_categories"].iter().any(|key| !rule.items(key).is_empty());
        if needs_protocols && rule.items("protocols").is_empty() {
            let problem = Problem::new("`protocols` is missing").mend("write protocols = [\"Http:80\", \"Https:443\"]");
            self.findings.error(&rule.place(), problem);
        }
        let terminate_tls = rule.flag("terminate_tls").unwrap_or_default();
        let headers = self.headers(rule);
        let about = about(rule);
        Some(ApplicationRule { name, sources, protocols, fqdns, tags, urls, categories, terminate_tls, headers, about })
    }

    fn dnat(&mut self, rule: &Section, name: String) -> Option<DnatRule> {
        let sources = self.sources(rule);
        let protocols = self.ip_protocols(rule);
        if protocols.is_some_and(|protocols| protocols.icmp || protocols.any) {
            let problem = Problem::new("a DNAT rule translates TCP and UDP only");
            self.findings.error(&rule.place_of_key("ip_protocols"), problem);
        }
        let destinations = self.addresses(rule, "destination_addresses", Tags::Refused);
        self.want_one(rule, &["destination_addresses"], "no destination");
        if destinations.is_any() {
            let problem = Problem::new("a DNAT rule translates the firewall's own addresses, not all there are");
            self.findings.error(&rule.place_of_key("destination_addresses"), problem.mend("name them"));
        }
        let ports = self.ports(rule, protocols);
        let translated = self.translated(rule);
        let about = about(rule);
        Some(DnatRule {
            name,
            sources,
            protocols: protocols?,
            destinations,
            ports: ports?,
            translated: translated?,
            about,
        })
    }

    fn translated(&mut self, rule: &Section) -> Option<Translated> {
        let port = rule.count("translated_port").and_then(|port| u16::try_from(port.value).ok());
        if !rule.has("translated_port") {
            self.findings.error(&rule.place(), Problem::new("`translated_port` is missing"));
        }
        let host = match (rule.text("translated_address"), rule.text("translated_fqdn")) {
            (Some(address), None) => address.read(self.findings, |text| {
                text.parse().map(Host::Addr).map_err(|_| Problem::new(format!("`{text}` is no address")))
            }),
            (None, Some(fqdn)) => fqdn.read(self.findings, |text| exact_name(text)).map(Host::Name),
            (Some(_), Some(fqdn)) => {
                let what = "`translated_address` and `translated_fqdn` exclude each other";
                self.findings.error(&fqdn.place, Problem::new(what).mend("leave one out"));
                None
            }
            (None, None) => {
                self.want_one(rule, &["translated_address", "translated_fqdn"], "nowhere to lead to");
                None
            }
        };
        Some(Translated { host: host?, port: port? })
    }

    /// Reports a rule in which none of these keys says anything.
    fn want_one(&mut self, rule: &Section, keys: &[&str], what: &str) {
        // A text where a list might be is one item; a value of the wrong kind was reported already.
        let says = |key: &&str| rule.list(key).map_or(rule.has(key), |items| !items.is_empty());
        if !keys.iter().any(says) {
            let mend =
                format!("give it {}", keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" or "));
            self.findings.error(&rule.place(), Problem::new(format!("the rule names {what}")).mend(mend));
        }
    }

    /// Where neither addresses nor groups are given, any source will do.
    fn sources(&mut self, rule: &Section) -> AddressSet {
        let nothing = |key| rule.list(key).map_or(!rule.has(key), |items| items.is_empty());
        if nothing("source_addresses") && nothing("source_ip_groups") {
            return AddressSet::any();
        }
        let mut sources = self.addresses(rule, "source_addresses", Tags::Refused);
        self.add_groups(rule, "source_ip_groups", &mut sources);
        sources
    }

    fn addresses(&mut self, rule: &Section, key: &str, tags: Tags) -> AddressSet {
        let mut set = AddressSet::default();
        for item in rule.items(key) {
            match tags {
                Tags::Known if is_tag_like(item.value.trim()) => self.add_service_tag(&item, &mut set),
                _ => {
                    item.read(self.findings, |text| set.insert_text(text));
                }
            }
        }
        set
    }

    fn add_service_tag(&mut self, item: &Placed<String>, set: &mut AddressSet) {
        let name = item.value.trim();
        if let Some(tag) = self.catalogue.service_tag(name) {
            return set.insert_named(tag);
        }
        let mend = match nearest(name, self.catalogue.service_tag_names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if name.contains('.') => "a host name belongs in `destination_fqdns`".to_owned(),
            None => "name its addresses, or give --service-tags ServiceTags_Public_….json".to_owned(),
        };
        let what = format!("`{name}` is neither an address nor a service tag that is known here: it matches nothing");
        self.less(item, what, Some(mend), "unknown-service-tag");
        // Kept for who writes the policy again.
        set.insert_named(NamedRanges { name: name.to_owned(), kind: NamedKind::ServiceTag, ranges: Arc::from([]) });
    }

    fn add_groups(&mut self, rule: &Section, key: &str, set: &mut AddressSet) {
        for item in rule.items(key) {
            if let Some(group) = item.read(self.findings, |name| find_group(&self.ip_groups, name)) {
                set.insert_named(group);
            }
        }
    }

    fn fqdn_tags(&mut self, rule: &Section) -> Vec<FqdnTag> {
        rule.items("fqdn_tags").iter().filter_map(|item| self.fqdn_tag(item)).collect()
    }

    fn fqdn_tag(&mut self, item: &Placed<String>) -> Option<FqdnTag> {
        let name = item.value.trim();
        if let Some(tag) = self.catalogue.fqdn_tag(name) {
            return Some(tag);
        }
        let near = nearest(name, self.catalogue.fqdn_tag_names()).map(|near| format!("did you mean `{near}`?"));
        let (is, mend) = match self.catalogue.is_azures_fqdn_tag(name) {
            true => ("an FQDN tag whose members Azure does not publish", Some(in_a_file(name))),
            false => ("no FQDN tag that is known here", near),
        };
        self.less(item, format!("`{name}` is {is}: it matches nothing"), mend, "unknown-fqdn-tag");
        Some(FqdnTag { name: name.to_owned(), members: Arc::from([]) })
    }

    fn web_categories(&mut self, rule: &Section) -> Vec<WebCategory> {
        rule.items("web_categories").iter().map(|item| self.web_category(item)).collect()
    }

    fn web_category(&mut self, item: &Placed<String>) -> WebCategory {
        let name = item.value.trim();
        if let Some(category) = self.catalogue.web_category(name) {
            return category;
        }
        let known = self.catalogue.web_category_names();
        let near = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
        let (is, mend) = match self.catalogue.is_azures_web_category(name) {
            true => ("a web category whose members Azure does not publish", Some(in_a_file(name))),
            false => ("no web category that is known here", near),
        };
        self.less(item, format!("`{name}` is {is}: it matches nothing"), mend, "unknown-web-category");
        WebCategory { name: name.to_owned(), members: Arc::from([]) }
    }

    /// Something matches less than it does in Azure: on the safe side in what allows, and an error in what denies.
    fn less(&mut self, item: &Placed<String>, what: String, mend: Option<String>, check: &'static str) {
        let problem = |what| Problem::new(what).maybe_mend(mend).check(Some(check));
        match self.effect {
            Effect::Allows => self.findings.doubt(&item.place, problem(what)),
            Effect::Denies => {
                let what = format!("{what}, so this collection would not deny what Azure denies");
                self.findings.error(&item.place, problem(what));
            }
        }
    }

    fn headers(&mut self, rule: &Section) -> Vec<HeaderInsertion> {
        let headers = rule.tables("http_headers", self.findings);
        let read = |header: &Section| {
            Some(HeaderInsertion { name: header.text("name")?.value, value: header.text("value")?.value })
        };
        headers.iter().filter_map(read).collect()
    }

    fn app_protocols(&mut self, rule: &Section) -> Vec<AppProtocol> {
        self.each(rule, "protocols", values::app_protocol)
    }

    fn ip_protocols(&mut self, rule: &Section) -> Option<IpProtocols> {
        let items = rule.items("ip_protocols");
        if items.is_empty() {
            if rule.list("ip_protocols").is_some() || !rule.has("ip_protocols") {
                let problem = Problem::new("`ip_protocols` is missing").mend("write ip_protocols = [\"TCP\"]");
                self.findings.error(&rule.place(), problem);
            }
            return None;
        }
        let read = |item: &Placed<String>| item.read(self.findings, |text| values::ip_protocol(text));
        let read: Vec<IpProtocols> = items.iter().filter_map(read).collect();
        (read.len() == items.len()).then(|| read.into_iter().fold(IpProtocols::default(), IpProtocols::union))
    }

    /// ICMP alone has no ports.
    fn ports(&mut self, rule: &Section, protocols: Option<IpProtocols>) -> Option<PortSet> {
        let items = rule.items("destination_ports");
        if items.is_empty() {
            if protocols == Some(IpProtocols::ICMP) {
                return Some(PortSet::any());
            }
            if rule.list("destination_ports").is_some() || !rule.has("destination_ports") {
                let problem = Problem::new("`destination_ports` is missing").mend("for any port, write \"*\"");
                self.findings.error(&rule.place(), problem);
            }
            return None;
        }
        let read = |item: &Placed<String>| item.read(self.findings, |text| text.parse::<PortRange>());
        let read: Vec<PortRange> = items.iter().filter_map(read).collect();
        (read.len() == items.len()).then(|| read.into_iter().collect())
    }

    fn each<T, P: Into<Problem>>(&mut self, rule: &Section, key: &str, make: impl Fn(&str) -> Result<T, P>) -> Vec<T> {
        rule.items(key).iter().filter_map(|item| item.read(self.findings, |text| make(text))).collect()
    }
}

fn about(rule: &Section) -> About {
    let description = rule.text("description").map(|text| text.value).unwrap_or_default();
    About { description, at: rule.spot() }
}

/// Whether service tags may stand among addresses.
#[derive(Clone, Copy)]
enum Tags {
    Known,
    Refused,
}

fn find_group(groups: &HashMap<String, NamedRanges>, name: &str) -> Result<NamedRanges, Problem> {
    if let Some(group) = groups.get(name) {
        return Ok(group.clone());
    }
    let mut known: Vec<&str> = groups.keys().map(String::as_str).collect();
    known.sort_unstable();
    let mend = match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add [[ip_group]] with name = \"{name}\" to this file"),
    };
    Err(Problem::new(format!("there is no IP group `{name}`")).mend(mend))
}

fn exact_name(text: &str) -> Result<HostName, Problem> {
    HostName::parse_typed(text).map_err(|error| {
        let problem = Problem::new(format!("`{text}` is no host name: {error}"));
        if text.contains('*') {
            let mend = "a wildcard belongs in `target_fqdns` of an application rule";
            return problem.mend(mend).check(Some("wildcard-in-network-fqdn"));
        }
        problem
    })
}
