//! The built-in policies: what a document says an App Service Environment needs, as rules, and nothing more.

use std::net::IpAddr;

use crate::flow::PortRange;
use crate::policy::{
    Action, AddressRange, AddressSet, AppProtocol, ApplicationRule, FqdnPattern, NetworkRule, PolicyRules, Priority,
    RuleCollection, RuleCollectionGroup, Rules, ServiceEndpoint, Spot,
};

use super::entry::EndpointHost;
use super::find::find;
use super::list::{Kind, List};

/// A built-in policy with what surrounds it and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builtin {
    pub rules: PolicyRules,
    /// Services whose flows bypass the firewall. Cleared, their flows are ordinary ones.
    pub service_endpoints: Vec<ServiceEndpoint>,
    /// What the rules and the service endpoints were made from.
    pub lists: Vec<&'static List>,
}

/// The names that [`builtin`] knows, each with what it is.
pub const BUILTINS: &[(&str, &str)] = &[
    ("ase", "the default: ase@2018-09-24"),
    ("ase@2018-09-24", "an App Service Environment as documented in 2018, Linux apps included"),
    ("ase-linux", "the same, whose name promises the Linux dependencies"),
    ("ase@2023-11-20", "an App Service Environment as last documented, Linux apps included"),
    ("ase-usgov", "ase-usgov@2023-11-20"),
    ("ase-usgov@2023-11-20", "an App Service Environment in the US Government cloud, as last documented"),
    ("none", "no rule at all: everything is denied"),
    ("deny-all", "the same as none"),
];

/// A built-in policy by name, in any letter case.
pub fn builtin(name: &str) -> Option<Builtin> {
    let (known, _) = BUILTINS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()))?;
    match *known {
        "none" | "deny-all" => Some(assemble("none", Vec::new())),
        "ase-linux" => Some(assemble("ase-linux@2018-09-24", find("ase@2018-09-24").ok()?)),
        edition => {
            let lists = find(edition).ok()?;
            Some(assemble(lists.first()?.folder(), lists))
        }
    }
}

/// A word that names no part of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` is no part of the policy `{policy}`{hint}", hint = hint(.known))]
pub struct UnknownPart {
    pub part: String,
    pub policy: String,
    pub known: Vec<&'static str>,
}

fn hint(known: &[&str]) -> String {
    if known.is_empty() { ": it has no parts".to_owned() } else { format!("; its parts: {}", known.join(", ")) }
}

impl Builtin {
    /// Drops one list's part: `linux`, `ip`, `wildcard`, `fqdn`, `intended` or `service-endpoints`.
    pub fn without(mut self, part: &str) -> Result<Builtin, UnknownPart> {
        let (gone, kept): (Vec<_>, Vec<_>) = self.lists.iter().partition(|list| list.kind.as_str() == part);
        if gone.is_empty() {
            return Err(self.unknown(part));
        }
        for list in gone {
            let dropped = collections(list);
            let is_dropped = |collection: &RuleCollection| dropped.iter().any(|d| d.name == collection.name);
            self.rules.groups.iter_mut().for_each(|group| group.collections.retain(|c| !is_dropped(c)));
            if list.kind == Kind::ServiceEndpoints {
                self.service_endpoints.clear();
            }
        }
        Ok(Builtin { lists: kept, ..self })
    }

    fn unknown(self, part: &str) -> UnknownPart {
        let known = self.lists.iter().map(|list| list.kind.as_str()).collect();
        UnknownPart { part: part.to_owned(), policy: self.rules.name, known }
    }
}

/// The networking document's tables open nothing, so their lists are left out.
fn assemble(name: &str, lists: Vec<&'static List>) -> Builtin {
    let acts = |list: &&List| place(list.kind).is_some() || list.kind == Kind::ServiceEndpoints;
    let lists: Vec<_> = lists.into_iter().filter(acts).collect();
    let collections: Vec<_> = lists.iter().flat_map(|list| collections(list)).collect();
    let group = RuleCollectionGroup {
        name: "ase-dependencies".to_owned(),
        priority: priority(1000),
        collections,
        at: Spot::nowhere(),
    };
    let groups = if group.collections.is_empty() { Vec::new() } else { vec![group] };
    Builtin {
        rules: PolicyRules { name: name.to_owned(), groups, ..PolicyRules::default() },
        service_endpoints: lists.iter().flat_map(|list| list.service_endpoints()).collect(),
        lists,
    }
}

/// Name and priority of the collection that a kind of list becomes. All collections allow, so priorities only
/// decide which of two rules that agree is named.
fn place(kind: Kind) -> Option<(&'static str, i64)> {
    match kind {
        Kind::Ip => Some(("ip-dependencies", 1000)),
        Kind::Fqdn => Some(("fqdn-dependencies", 1100)),
        Kind::Wildcard => Some(("wildcard-dependencies", 1200)),
        Kind::Linux => Some(("linux-dependencies", 1300)),
        Kind::Intended => Some(("intended-dependencies", 1400)),
        Kind::ServiceEndpoints | Kind::Outbound | Kind::Inbound | Kind::AppPorts => None,
        Kind::Management | Kind::ServiceTag | Kind::FqdnTag | Kind::WebCategory => None,
    }
}

/// Names become application rules, addresses network rules. A list that has both becomes two collections,
/// because a collection is of one type.
fn collections(list: &List) -> Vec<RuleCollection> {
    let Some((name, first)) = place(list.kind) else { return Vec::new() };
    let mut application = Vec::new();
    let mut network = Vec::new();
    for (text, endpoint) in list.endpoints() {
        let protocol = endpoint.app_protocol();
        let mut to_addresses = |destinations| network.push(network_rule(list, text, destinations, endpoint.port));
        match endpoint.host {
            EndpointHost::Name(pattern) => application.push(application_rule(text, pattern, protocol)),
            EndpointHost::Any => to_addresses(AddressSet::any()),
            EndpointHost::Addr(addr) => to_addresses(single(addr)),
        }
    }
    let (suffix, second) = if application.is_empty() { ("", first) } else { ("-ip", first + 10) };
    let mut collections = Vec::new();
    if !application.is_empty() {
        let rules = Rules::Application(Action::Allow, application);
        collections.push(collection(name, first, rules));
    }
    if !network.is_empty() {
        let rules = Rules::Network(Action::Allow, network);
        collections.push(collection(&format!("{name}{suffix}"), second, rules));
    }
    collections
}

fn collection(name: &str, number: i64, rules: Rules) -> RuleCollection {
    RuleCollection { name: name.to_owned(), priority: priority(number), rules, at: Spot::nowhere() }
}

fn application_rule(name: &str, pattern: FqdnPattern, protocol: AppProtocol) -> ApplicationRule {
    ApplicationRule {
        name: name.to_owned(),
        sources: AddressSet::any(),
        protocols: vec![protocol],
        fqdns: vec![pattern],
        ..ApplicationRule::default()
    }
}

fn network_rule(list: &List, name: &str, destinations: AddressSet, port: u16) -> NetworkRule {
    NetworkRule {
        name: name.to_owned(),
        sources: AddressSet::any(),
        protocols: list.protocols,
        destinations,
        fqdns: Vec::new(),
        ports: [PortRange::single(port)].into_iter().collect(),
        ..NetworkRule::default()
    }
}

fn single(addr: IpAddr) -> AddressSet {
    let mut set = AddressSet::default();
    set.insert(AddressRange::from(addr));
    set
}

fn priority(number: i64) -> Priority {
    Priority::try_from(number).expect("a constant between 100 and 65000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{HostName, PortSet, Protocol};
    use crate::policy::{AnyRule, IpProtocols, RuleSet, in_order};

    fn shape(builtin: &Builtin) -> Vec<(&str, u16, usize)> {
        let collections = builtin.rules.groups.iter().flat_map(|group| &group.collections);
        let shape = collections.map(|c| (c.name.as_str(), c.priority.get(), count(&c.rules)));
        let mut shape: Vec<_> = shape.collect();
        shape.sort_by_key(|(_, priority, _)| *priority);
        shape
    }

    fn count(rules: &Rules) -> usize {
        match rules {
            Rules::Dnat(rules) => rules.len(),
            Rules::Network(_, rules) => rules.len(),
            Rules::Application(_, rules) => rules.len(),
        }
    }

    #[test]
    fn the_default() {
        let ase = builtin("ase").unwrap();
        assert_eq!(ase.rules.name, "ase@2018-09-24");
        assert_eq!(
            shape(&ase),
            [
                ("ip-dependencies", 1000, 7),
                ("fqdn-dependencies", 1100, 51),
                ("wildcard-dependencies", 1200, 10),
                ("linux-dependencies", 1300, 9),
            ]
        );
        assert_eq!(ase.lists.len(), 5);
        assert_eq!(builtin("ASE@2018-09-24").unwrap(), ase);
        let linux = builtin("ase-linux").unwrap();
        assert_eq!((linux.rules.name.as_str(), linux.rules.groups), ("ase-linux@2018-09-24", ase.rules.groups));
    }

    #[test]
    fn the_others() {
        assert_eq!(
            shape(&builtin("ase@2023-11-20").unwrap()),
            [
                ("ip-dependencies", 1000, 10),
                ("fqdn-dependencies", 1100, 88),
                ("wildcard-dependencies", 1200, 11),
                ("linux-dependencies", 1300, 20),
                ("linux-dependencies-ip", 1310, 7),
            ]
        );
        assert_eq!(
            shape(&builtin("ase-usgov").unwrap()),
            [
                ("ip-dependencies", 1000, 10),
                ("fqdn-dependencies", 1100, 112),
                ("wildcard-dependencies", 1200, 8),
                ("intended-dependencies", 1400, 7),
            ]
        );
        let none = builtin("deny-all").unwrap();
        assert_eq!((none.rules.name.as_str(), none.rules.groups.len(), none.lists.len()), ("none", 0, 0));
        assert!(none.service_endpoints.is_empty());
        assert!(builtin("ase@1999").is_none());
        for (name, _) in BUILTINS {
            assert!(builtin(name).is_some(), "{name}");
        }
    }

    /// Every row of the documents' lists is a rule that bears the row's text and allows it.
    #[test]
    fn each_row_is_a_rule() {
        let policies = vec![builtin("ase").unwrap().rules];
        let set = RuleSet { policies, ..RuleSet::default() };
        let rules = in_order(&set);
        assert_eq!(rules.len(), 77);
        let rule = |name: &str| rules.iter().find(|rule| rule.rule.name() == name).unwrap().rule;
        let AnyRule::Network(Action::Allow, triage) = rule("168.62.226.198:12000") else { panic!() };
        assert_eq!((triage.protocols, triage.ports.to_string().as_str()), (IpProtocols::TCP, "12000"));
        assert_eq!(triage.destinations.to_string(), "168.62.226.198");
        let AnyRule::Application(Action::Allow, http) = rule("go.microsoft.com:80") else { panic!() };
        assert_eq!(http.protocols[0].to_string(), "http:80");
        let AnyRule::Application(Action::Allow, glob) = rule("gr-Prod-*.cloudapp.net:443") else { panic!() };
        assert!(glob.fqdns[0].matches(&HostName::parse("gr-prod-mwh.cloudapp.net").unwrap()));
        assert_eq!(glob.protocols[0].protocol, Protocol::Https);
    }

    #[test]
    fn clock_checks_go_anywhere_by_udp() {
        let policies = vec![builtin("ase@2023-11-20").unwrap().rules];
        let set = RuleSet { policies, ..RuleSet::default() };
        let rules = in_order(&set);
        let ntp = rules.iter().find(|rule| rule.rule.name() == "*:123").unwrap();
        let AnyRule::Network(_, ntp) = ntp.rule else { panic!() };
        assert!(ntp.destinations.is_any() && ntp.protocols.udp && ntp.protocols.tcp);
        let keys = rules.iter().find(|rule| rule.rule.name() == "13.74.252.37:11371").unwrap();
        let AnyRule::Network(_, keys) = keys.rule else { panic!() };
        assert_eq!(keys.protocols, IpProtocols::TCP);
    }

    #[test]
    fn parts_can_be_dropped() {
        let kinds = |builtin: &Builtin| builtin.lists.iter().map(|list| list.kind.as_str()).collect::<Vec<_>>();
        let ase = builtin("ase").unwrap().without("linux").unwrap();
        assert_eq!(kinds(&ase), ["fqdn", "ip", "service-endpoints", "wildcard"]);
        assert_eq!(shape(&ase).len(), 3);
        let ase = ase.without("service-endpoints").unwrap().without("wildcard").unwrap();
        assert!(ase.service_endpoints.is_empty());
        assert_eq!(shape(&ase).len(), 2);
        let both = builtin("ase@2023-11-20").unwrap().without("linux").unwrap();
        assert_eq!(shape(&both).len(), 3);
        assert_eq!(
            ase.without("linux").unwrap_err().to_string(),
            "`linux` is no part of the policy `ase@2018-09-24`; its parts: fqdn, ip"
        );
        assert_eq!(
            builtin("none").unwrap().without("ip").unwrap_err().to_string(),
            "`ip` is no part of the policy `none`: it has no parts"
        );
    }

    #[test]
    fn service_endpoints() {
        let shown = |name: &str| -> Vec<(String, String, usize, bool)> {
            let endpoints = builtin(name).unwrap().service_endpoints;
            let show = |e: ServiceEndpoint| (e.service, e.ports.to_string(), e.zones.len(), !e.ranges.is_empty());
            endpoints.into_iter().map(show).collect()
        };
        let row = |service: &str, ports: &str, zones, ranges| (service.to_owned(), ports.to_owned(), zones, ranges);
        let sql = "1433,11000-11999,14000-14999";
        let storage = "80,443,445";
        assert_eq!(
            shown("ase"),
            [
                row("Microsoft.KeyVault", "443", 1, true),
                row("Microsoft.Sql", sql, 1, true),
                row("Microsoft.Storage", storage, 4, true)
            ]
        );
        let hub = "443,5671-5672,9093";
        assert_eq!(
            shown("ase@2023-11-20"),
            [
                row("Microsoft.EventHub", hub, 1, true),
                row("Microsoft.Sql", sql, 1, true),
                row("Microsoft.Storage", storage, 4, true)
            ]
        );
        assert!(shown("ase-usgov").iter().all(|(_, _, _, ranges)| !ranges));
        assert!(!builtin("ase").unwrap().service_endpoints.iter().any(|e| e.ports == PortSet::any()));
    }
}
