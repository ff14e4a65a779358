//! One rule of each type, as policies and as classic firewalls have it.

use super::ip_groups::IpGroups;
use super::notes::{Effect, Item, Items, Notes, Subject};
use super::words;
use crate::allowlist::Catalogue;
use crate::azure::json::{Node, Value};
use crate::azure::note::{Note, Severity};
use crate::flow::{Host, HostName, PortRange, PortSet, Protocol, nearest};
use crate::policy::{
    About, AddressSet, AppProtocol, ApplicationRule, DnatRule, FqdnPattern, FqdnTag, HeaderInsertion, IpProtocols,
    NamedKind, NamedRanges, NetworkRule, PatternError, Translated, UrlPattern, WebCategory,
};

/// Where a rule stands, which decides what its properties are called and what it may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Policy,
    /// Of a firewall without a policy. A source may be left out there.
    Classic,
}

pub(super) struct RuleReader<'r> {
    pub notes: &'r mut Notes,
    pub catalogue: &'r Catalogue,
    pub ip_groups: &'r IpGroups,
    pub form: Form,
}

/// Whether service tags may stand among addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tags {
    Known,
    Refused,
}

/// A name that nothing is listed under here: one of Azure's, or one of nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unlisted {
    Tag,
    NoTag,
    Category,
    NoCategory,
}

impl RuleReader<'_> {
    pub(super) fn application(&mut self, rule: &Subject<'_>, name: String) -> ApplicationRule {
        let read = ApplicationRule {
            name,
            sources: self.sources(rule),
            protocols: self.app_protocols(rule),
            fqdns: self.patterns(rule, "targetFqdns", FqdnPattern::parse_azure),
            tags: self.fqdn_tags(rule),
            urls: self.patterns(rule, "targetUrls", UrlPattern::parse),
            categories: self.categories(rule),
            terminate_tls: self.notes.flag(rule, "terminateTLS").unwrap_or(false),
            headers: self.headers(rule),
            about: self.about(rule),
        };
        self.want_one(rule, &["targetFqdns", "fqdnTags", "targetUrls", "webCategories"], "no-target");
        if ["targetFqdns", "targetUrls", "webCategories"].iter().any(|key| is_given(rule, key)) {
            self.want_one(rule, &["protocols"], "no-protocol");
        }
        self.note_destinations(rule);
        self.note_urls(rule, &read);
        read
    }

    pub(super) fn network(&mut self, rule: &Subject<'_>, name: String) -> NetworkRule {
        let protocols = self.ip_protocols(rule);
        let mut destinations = self.addresses(rule, "destinationAddresses", Tags::Known);
        self.add_groups(rule, "destinationIpGroups", &mut destinations);
        self.want_one(rule, &["destinationAddresses", "destinationIpGroups", "destinationFqdns"], "no-destination");
        NetworkRule {
            name,
            sources: self.sources(rule),
            protocols,
            destinations,
            fqdns: self.exact_names(rule, "destinationFqdns"),
            ports: self.ports(rule, protocols),
            about: self.about(rule),
        }
    }

    /// None where it cannot be told where it leads.
    pub(super) fn dnat(&mut self, rule: &Subject<'_>, name: String) -> Option<DnatRule> {
        let protocols = self.ip_protocols(rule);
        if protocols.icmp || protocols.any {
            let note = Note::new(Severity::Error, rule.place_of(self.protocols_key()), DNAT_PROTOCOLS);
            self.notes.push(note.check("dnat-protocol"));
        }
        let destinations = self.addresses(rule, "destinationAddresses", Tags::Refused);
        self.want_one(rule, &["destinationAddresses"], "no-destination");
        if destinations.is_any() {
            let note = Note::new(Severity::Error, rule.place_of("destinationAddresses"), DNAT_ANYWHERE);
            self.notes.push(note.mend("name them").check("dnat-destination"));
        }
        let (sources, ports) = (self.sources(rule), self.ports(rule, protocols));
        let translated = self.translated(rule);
        let about = self.about(rule);
        Some(DnatRule { name, sources, protocols, destinations, ports, translated: translated?, about })
    }

    fn about(&mut self, rule: &Subject<'_>) -> About {
        About { description: self.notes.description(rule), at: rule.at }
    }

    /// Reports a rule in which none of these says anything: Azure takes no such rule.
    fn want_one(&mut self, rule: &Subject<'_>, keys: &[&str], check: &'static str) {
        if keys.iter().any(|key| is_given(rule, key)) {
            return;
        }
        let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
        let what = format!("{} has no {}: it matches nothing", rule.what, keys.join(", "));
        self.notes.less(rule.effect, rule.at, what, check, None);
    }

    fn sources(&mut self, rule: &Subject<'_>) -> AddressSet {
        if !is_given(rule, "sourceAddresses") && !is_given(rule, "sourceIpGroups") {
            let what = format!("{} names no source: it is taken to be for all", rule.what);
            let severity = match self.form {
                Form::Classic => Severity::Warning,
                Form::Policy => Severity::Doubt,
            };
            self.notes
                .push(Note::new(severity, rule.at, what).mend("write \"*\" in sourceAddresses").check("no-source"));
            return AddressSet::any();
        }
        let mut sources = self.addresses(rule, "sourceAddresses", Tags::Refused);
        self.add_groups(rule, "sourceIpGroups", &mut sources);
        sources
    }

    fn addresses(&mut self, rule: &Subject<'_>, key: &str, tags: Tags) -> AddressSet {
        let mut set = AddressSet::default();
        for item in self.notes.items(rule, key).items {
            if tags == Tags::Known && is_tag_like(item.text) {
                let tag = self.service_tag(rule, item);
                set.insert_named(tag);
            } else if let Err(error) = set.insert_text(item.text) {
                let what = format!("`{key}` of {}: {error}", rule.what);
                self.notes.push(Note::new(Severity::Error, item.at, what));
            }
        }
        set
    }

    fn service_tag(&mut self, rule: &Subject<'_>, item: Item<'_>) -> NamedRanges {
        if let Some(tag) = self.catalogue.service_tag(item.text) {
            if tag.ranges.is_empty() {
                let what = format!("the service tag `{}` has no prefixes: it matches nothing", item.text);
                let mend = "give a file that has them by --service-tags ServiceTags_Public_….json".to_owned();
                self.notes.less(rule.effect, item.at, what, "unknown-service-tag", Some(mend));
            }
            return tag;
        }
        let mend = match nearest(item.text, self.catalogue.service_tag_names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if item.text.contains('.') => {
                "a region's tag wants --service-tags, a host name belongs in destinationFqdns".to_owned()
            }
            None => "give it by --service-tags ServiceTags_Public_….json".to_owned(),
        };
        let what =
            format!("`{}` is neither an address nor a service tag that is known here: it matches nothing", item.text);
        self.notes.less(rule.effect, item.at, what, "unknown-service-tag", Some(mend));
        self.notes.unknown_names += 1;
        NamedRanges { name: item.text.to_owned(), kind: NamedKind::ServiceTag, ranges: [].into() }
    }

    fn add_groups(&mut self, rule: &Subject<'_>, key: &str, set: &mut AddressSet) {
        for item in self.group_ids(rule, key) {
            let group = self.ip_groups.find(item, rule, self.notes);
            set.insert_named(group);
        }
    }

    /// Ids as texts, or as objects that hold one.
    fn group_ids<'a>(&mut self, rule: &Subject<'a>, key: &str) -> Vec<Item<'a>> {
        let of_objects =
            |node: &'a Node| node.list()?.iter().all(|item| item.object().is_some()).then_some(node.list()?);
        match rule.get(key).and_then(of_objects) {
            Some(objects) => {
                let subject = |node: &'a Node| Some(Subject { object: node.object()?, at: node.at, ..*rule });
                objects.iter().filter_map(|node| self.notes.text(&subject(node)?, "id")).collect()
            }
            None => self.notes.items(rule, key).items,
        }
    }

    fn fqdn_tags(&mut self, rule: &Subject<'_>) -> Vec<FqdnTag> {
        let items = self.notes.items(rule, "fqdnTags").items;
        items.into_iter().map(|item| self.fqdn_tag(rule, item)).collect()
    }

    fn fqdn_tag(&mut self, rule: &Subject<'_>, item: Item<'_>) -> FqdnTag {
        if let Some(tag) = self.catalogue.fqdn_tag(item.text) {
            return tag;
        }
        let near = nearest(item.text, self.catalogue.fqdn_tag_names()).map(|near| format!("did you mean `{near}`?"));
        let is_azures = self.catalogue.is_azures_fqdn_tag(item.text);
        self.unknown_name(rule, item, if is_azures { Unlisted::Tag } else { Unlisted::NoTag }, near);
        FqdnTag { name: item.text.to_owned(), members: [].into() }
    }

    fn categories(&mut self, rule: &Subject<'_>) -> Vec<WebCategory> {
        let items = self.notes.items(rule, "webCategories").items;
        items.into_iter().map(|item| self.category(rule, item)).collect()
    }

    fn category(&mut self, rule: &Subject<'_>, item: Item<'_>) -> WebCategory {
        if let Some(category) = self.catalogue.web_category(item.text) {
            return category;
        }
        let near =
            nearest(item.text, self.catalogue.web_category_names()).map(|near| format!("did you mean `{near}`?"));
        let is_azures = self.catalogue.is_azures_web_category(item.text);
        self.unknown_name(rule, item, if is_azures { Unlisted::Category } else { Unlisted::NoCategory }, near);
        WebCategory { name: item.text.to_owned(), members: [].into() }
    }

    fn unknown_name(&mut self, rule: &Subject<'_>, item: Item<'_>, of: Unlisted, near: Option<String>) {
        let (is, check) = match of {
            Unlisted::Tag => ("an FQDN tag whose members Azure does not publish", "unknown-fqdn-tag"),
            Unlisted::NoTag => ("no FQDN tag that is known here", "unknown-fqdn-tag"),
            Unlisted::Category => ("a web category whose members Azure does not publish", "unknown-web-category"),
            Unlisted::NoCategory => ("no web category that is known here", "unknown-web-category"),
        };
        // What is Azure's own is near to itself.
        let near = near.filter(|_| matches!(of, Unlisted::NoTag | Unlisted::NoCategory));
        let mend = near.unwrap_or_else(|| format!("give its names by --tag {}=FILE", item.text));
        let what = format!("`{}` is {is}: it matches nothing", item.text);
        self.notes.less(rule.effect, item.at, what, check, Some(mend));
        self.notes.unknown_names += 1;
    }

    fn patterns<T>(
        &mut self,
        rule: &Subject<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, PatternError>,
    ) -> Vec<T> {
        let items = self.notes.items(rule, key).items;
        let mut patterns = Vec::with_capacity(items.len());
        for item in items {
            match parse(item.text) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => self.bad_pattern(rule, key, item, &error),
            }
        }
        patterns
    }

    fn bad_pattern(&mut self, rule: &Subject<'_>, key: &str, item: Item<'_>, error: &PatternError) {
        let note = Note::new(Severity::Error, item.at, format!("`{key}` of {}: {error}", rule.what));
        self.notes.push(match error {
            PatternError::StarPosition { .. } => note.check("unsupported-wildcard"),
            _ => note,
        });
    }

    fn exact_names(&mut self, rule: &Subject<'_>, key: &str) -> Vec<HostName> {
        let items = self.notes.items(rule, key).items;
        items.into_iter().filter_map(|item| self.exact_name(rule, key, item)).collect()
    }

    fn exact_name(&mut self, rule: &Subject<'_>, key: &str, item: Item<'_>) -> Option<HostName> {
        let read = HostName::parse_typed(item.text);
        read.map_err(|error| {
            let what = format!("`{key}` of {}: `{}` is no host name: {error}", rule.what, item.text);
            let note = Note::new(Severity::Error, item.at, what);
            self.notes.push(if item.text.contains('*') {
                note.mend("a wildcard belongs in targetFqdns of an application rule").check("wildcard-in-network-fqdn")
            } else {
                note
            });
        })
        .ok()
    }

    /// Objects of a type and a port; a type alone has its usual port, and `https:8443` is taken too.
    fn app_protocols(&mut self, rule: &Subject<'_>) -> Vec<AppProtocol> {
        let items = match rule.get("protocols") {
            Some(Node { value: Value::List(items), .. }) => items.as_slice(),
            Some(node) => std::slice::from_ref(node),
            None => &[],
        };
        items.iter().filter_map(|node| self.app_protocol(rule, node)).collect()
    }

    fn app_protocol(&mut self, rule: &Subject<'_>, node: &Node) -> Option<AppProtocol> {
        match &node.value {
            Value::Object(object) => {
                let subject = Subject { object, at: node.at, ..*rule };
                let kind = self.protocol_type(&subject)?;
                match self.notes.text(&subject, "port") {
                    Some(port) => self.port_of(rule, kind, port),
                    None if subject.get("port").is_some() => None,
                    None => Some(AppProtocol { protocol: kind, port: usual_port(kind) }),
                }
            }
            Value::Text(text) => self.written_protocol(rule, text, node),
            Value::Null => None,
            Value::Unknown(unknown) => {
                self.notes.unknown(rule, "protocols", node.at, unknown);
                None
            }
            _ => {
                let what =
                    format!("`protocols` of {} is a list of {{protocolType, port}}, not {}", rule.what, node.kind());
                self.notes.push(Note::new(Severity::Error, node.at, what));
                None
            }
        }
    }

    fn protocol_type(&mut self, subject: &Subject<'_>) -> Option<Protocol> {
        if subject.get("protocolType").is_none() {
            self.notes.missing("protocolType", subject, "Http, Https or Mssql");
        }
        self.notes.word(subject, "protocolType", words::APP_PROTOCOLS)
    }

    fn written_protocol(&mut self, rule: &Subject<'_>, text: &str, node: &Node) -> Option<AppProtocol> {
        let (word, port) = text.split_once([':', '=']).map_or((text, None), |(word, port)| (word, Some(port)));
        match (words::pick(words::APP_PROTOCOLS, word), port) {
            (Ok(kind), Some(port)) => self.port_of(rule, kind, Item { text: port.trim(), at: node.at }),
            (Ok(kind), None) => Some(AppProtocol { protocol: kind, port: usual_port(kind) }),
            (Err(what), _) => {
                self.notes.bad_word(rule, "protocols", node.at, &what);
                None
            }
        }
    }

    fn port_of(&mut self, rule: &Subject<'_>, protocol: Protocol, port: Item<'_>) -> Option<AppProtocol> {
        match port.text.parse::<u16>() {
            Ok(port @ 1..) => Some(AppProtocol { protocol, port }),
            _ => {
                self.bad_port(rule, "protocols", port, "expected a port from 1 to 64000");
                None
            }
        }
    }

    fn bad_port(&mut self, rule: &Subject<'_>, key: &str, port: Item<'_>, why: &str) {
        let what = format!("`{key}` of {}: `{}`: {why}", rule.what, port.text);
        self.notes.push(Note::new(Severity::Error, port.at, what));
    }

    fn protocols_key(&self) -> &'static str {
        match self.form {
            Form::Policy => "ipProtocols",
            Form::Classic => "protocols",
        }
    }

    fn ip_protocols(&mut self, rule: &Subject<'_>) -> IpProtocols {
        let key = self.protocols_key();
        self.want_one(rule, &[key], "no-protocol");
        let mut protocols = IpProtocols::default();
        for item in self.notes.items(rule, key).items {
            match words::pick(words::IP_PROTOCOLS, item.text) {
                Ok(protocol) => protocols = protocols.union(protocol),
                Err(what) => self.notes.bad_word(rule, key, item.at, &what),
            }
        }
        protocols
    }

    /// ICMP alone has no ports.
    fn ports(&mut self, rule: &Subject<'_>, protocols: IpProtocols) -> PortSet {
        let Items { items, given, incomplete: _ } = self.notes.items(rule, "destinationPorts");
        if !given && protocols == IpProtocols::ICMP {
            return PortSet::any();
        }
        self.want_one(rule, &["destinationPorts"], "no-port");
        items.into_iter().filter_map(|item| self.port_range(rule, item)).collect()
    }

    fn port_range(&mut self, rule: &Subject<'_>, item: Item<'_>) -> Option<PortRange> {
        let read = item.text.parse::<PortRange>();
        read.map_err(|error| {
            let what = format!("`destinationPorts` of {}: {error}", rule.what);
            self.notes.push(Note::new(Severity::Error, item.at, what));
        })
        .ok()
    }

    fn translated(&mut self, rule: &Subject<'_>) -> Option<Translated> {
        let port = self.translated_port(rule);
        let address = self.notes.text(rule, "translatedAddress");
        let fqdn = self.notes.text(rule, "translatedFqdn");
        let host = match (address, fqdn) {
            (Some(_), Some(fqdn)) => {
                let what = format!("{} has both `translatedAddress` and `translatedFqdn`", rule.what);
                self.notes.push(Note::new(Severity::Error, fqdn.at, what).mend("leave one out").check("dnat-target"));
                None
            }
            (Some(address), None) => self.translated_address(rule, address),
            (None, Some(fqdn)) => self.exact_name(rule, "translatedFqdn", fqdn).map(Host::Name),
            (None, None) => {
                if rule.get("translatedAddress").or(rule.get("translatedFqdn")).is_none() {
                    self.notes.missing("translatedAddress", rule, "where the rule leads, or translatedFqdn");
                }
                None
            }
        };
        Some(Translated { host: host?, port: port? })
    }

    fn translated_address(&mut self, rule: &Subject<'_>, address: Item<'_>) -> Option<Host> {
        let read = address.text.parse().map(Host::Addr);
        read.map_err(|_| {
            let what = format!("`translatedAddress` of {}: `{}` is no address", rule.what, address.text);
            self.notes.push(Note::new(Severity::Error, address.at, what));
        })
        .ok()
    }

    fn translated_port(&mut self, rule: &Subject<'_>) -> Option<u16> {
        if rule.get("translatedPort").is_none() {
            self.notes.missing("translatedPort", rule, "a port from 1 to 65535");
            return None;
        }
        let port = self.notes.text(rule, "translatedPort")?;
        let number = port.text.parse().ok().filter(|port| *port != 0);
        if number.is_none() {
            self.bad_port(rule, "translatedPort", port, "expected a port from 1 to 65535");
        }
        number
    }

    fn headers(&mut self, rule: &Subject<'_>) -> Vec<HeaderInsertion> {
        let nodes = self.notes.objects(rule, "httpHeadersToInsert");
        nodes.into_iter().filter_map(|node| self.header(rule, node)).collect()
    }

    fn header(&mut self, rule: &Subject<'_>, node: &Node) -> Option<HeaderInsertion> {
        let subject = Subject { object: node.object()?, at: node.at, ..*rule };
        if subject.get("headerName").is_none() {
            self.notes.missing("headerName", &subject, "the name of a header to insert");
        }
        let name = self.notes.text(&subject, "headerName")?.text.to_owned();
        let value = self.notes.text(&subject, "headerValue").map(|value| value.text.to_owned());
        Some(HeaderInsertion { name, value: value.unwrap_or_default() })
    }

    /// The path of a request over HTTPS shows only where it is decrypted.
    fn note_urls(&mut self, rule: &Subject<'_>, read: &ApplicationRule) {
        let https = read.protocols.iter().any(|protocol| protocol.protocol == Protocol::Https);
        if !https || !read.terminate_tls || read.urls.is_empty() {
            return;
        }
        let at = rule.place_of("targetUrls");
        let note = match rule.effect {
            Effect::Denies => {
                let what = format!("{}: read, not emulated: TLS inspection; {DENIES_BY_URL}", rule.what);
                Note::new(Severity::Error, at, what).mend("name the FQDN in targetFqdns")
            }
            Effect::Allows => {
                let what = format!("{}: read, not emulated: TLS inspection; {ALLOWS_BY_URL}", rule.what);
                Note::new(Severity::Warning, at, what)
            }
        };
        self.notes.push(note.check("not-emulated"));
    }

    /// Azure documents the property of application rules, and not what it does.
    fn note_destinations(&mut self, rule: &Subject<'_>) {
        let items = self.notes.items(rule, "destinationAddresses").items;
        if items.iter().all(|item| item.text == "*") {
            return;
        }
        let what = format!("`destinationAddresses` of {} is read, not emulated: any address will do", rule.what);
        let severity = match rule.effect {
            Effect::Allows => Severity::Doubt,
            Effect::Denies => Severity::Warning,
        };
        let at = rule.place_of("destinationAddresses");
        self.notes.push(Note::new(severity, at, what).check("application-destination"));
    }
}

const DENIES_BY_URL: &str = "a rule that denies by URL over HTTPS cannot deny here";
const ALLOWS_BY_URL: &str = "its URLs match plain HTTP only, and allow nothing over HTTPS";
const DNAT_PROTOCOLS: &str = "a DNAT rule translates TCP and UDP only";
const DNAT_ANYWHERE: &str = "a DNAT rule translates the firewall's own addresses, not all there are";

/// Something stands there, be it an empty text in a list.
fn is_given(rule: &Subject<'_>, key: &str) -> bool {
    match rule.get(key).map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().any(|item| item.value != Value::Null),
        Some(_) => true,
        None => false,
    }
}

/// Addresses begin with a digit or hold a colon; names of tags do neither.
pub(crate) fn is_tag_like(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.contains([':', '/'])
}

fn usual_port(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Http => 80,
        Protocol::Mssql => 1433,
        _ => 443,
    }
}
