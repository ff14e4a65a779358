//! A change to a network and its firewall, small enough to be one command.
//!
//! What finds something wrong proposes changes; [`Change::apply`] makes them in memory, so that the result can be asked
//! whether they were enough; Azure's spellings of them are written in [`azure`](crate::azure).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::{
    Action, ApplicationRule, NetworkRule, PolicyRules, Priority, RuleCollection, RuleCollectionGroup, RuleSet, Rules,
    Spot,
};

use super::topology::{
    DnsZone, NetworkSecurityGroup, Route, RouteTable, SecurityRule, Subnet, Topology, VirtualNetwork,
};

/// The rule collection group that firewall rules of changes go into, one collection of each kind, and nothing else.
pub const MENDED: &str = "egret-doctor";
/// Its collections: network rules are asked first whatever their numbers.
const NETWORK_RULES: (&str, i64) = ("network", 100);
const APPLICATION_RULES: (&str, i64) = ("application", 200);
/// Of a policy that is made for a rule where there is none.
const POLICY: &str = "firewall-policy";

/// One change. Resources go by their names; what is not there yet is made.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Adds a security rule, or replaces the one of this name and direction.
    SecurityRule {
        group: String,
        rule: SecurityRule,
    },
    RemoveSecurityRule {
        group: String,
        rule: String,
    },
    /// Puts a security group on a subnet.
    SubnetSecurityGroup {
        network: String,
        subnet: String,
        group: String,
    },
    /// Adds a route, or replaces the one of this name.
    Route {
        table: String,
        route: Route,
    },
    RemoveRoute {
        table: String,
        route: String,
    },
    /// Puts a route table on a subnet.
    SubnetRouteTable {
        network: String,
        subnet: String,
        table: String,
    },
    /// Enables the endpoint of a service, `Microsoft.Storage`.
    ServiceEndpoint {
        network: String,
        subnet: String,
        service: String,
    },
    Delegation {
        network: String,
        subnet: String,
        service: String,
    },
    AddSubnet {
        network: String,
        subnet: String,
        prefix: IpNet,
    },
    /// An application rule of the firewall, in a collection that allows.
    ApplicationRule(ApplicationRule),
    /// A network rule of the firewall, in a collection that allows.
    NetworkRule(NetworkRule),
    /// Takes a rule out of the firewall's policy: `policy/group/collection/rule`.
    RemoveFirewallRule {
        rule: String,
    },
    DnsRecord {
        zone: String,
        name: String,
        address: IpAddr,
    },
}

/// The name of a route that has none of its own: `192.0.2.1` for a single address, `192.0.2.0_26`.
pub fn route_name(prefix: &str) -> String {
    prefix.strip_suffix("/32").unwrap_or(prefix).replace('/', "_").replace(':', "-")
}

impl Change {
    /// Makes it. Made twice, it is as made once.
    pub fn apply(&self, topology: &mut Topology, rules: &mut RuleSet) {
        match self {
            Change::SecurityRule { group, rule } => add_security_rule(security_group(topology, group), rule),
            Change::RemoveSecurityRule { group, rule } => {
                security_group(topology, group).rules.retain(|it| !same(&it.name, rule));
            }
            Change::SubnetSecurityGroup { network, subnet: name, group } => {
                security_group(topology, group);
                subnet(topology, network, name).security_group = Some(group.clone());
            }
            Change::Route { table, route } => {
                put(&mut route_table(topology, table).routes, route.clone(), |it| &it.name)
            }
            Change::RemoveRoute { table, route } => {
                route_table(topology, table).routes.retain(|it| !same(&it.name, route));
            }
            Change::SubnetRouteTable { network, subnet: name, table } => {
                route_table(topology, table);
                subnet(topology, network, name).route_table = Some(table.clone());
            }
            Change::ServiceEndpoint { network, subnet: name, service } => {
                add_word(&mut subnet(topology, network, name).service_endpoints, service);
            }
            Change::Delegation { network, subnet: name, service } => {
                add_word(&mut subnet(topology, network, name).delegations, service);
            }
            Change::AddSubnet { network, subnet: name, prefix } => {
                let prefixes = &mut subnet(topology, network, name).prefixes;
                if !prefixes.contains(prefix) {
                    prefixes.push(*prefix);
                }
            }
            Change::ApplicationRule(rule) => add_application_rule(rules, rule),
            Change::NetworkRule(rule) => add_network_rule(rules, rule),
            Change::RemoveFirewallRule { rule } => remove_firewall_rule(rules, rule),
            Change::DnsRecord { zone, name, address } => add_dns_record(topology, zone, name, *address),
        }
    }

    /// All of them, in order.
    pub fn apply_all(changes: &[Change], topology: &mut Topology, rules: &mut RuleSet) {
        changes.iter().for_each(|change| change.apply(topology, rules));
    }
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// The one of this name, which is made where there is none.
fn named<'t, T: Default>(items: &'t mut Vec<T>, name: &str, of: impl Fn(&mut T) -> &mut String) -> &'t mut T {
    let known = items.iter_mut().position(|item| same(of(item), name));
    let at = known.unwrap_or_else(|| {
        let mut made = T::default();
        name.clone_into(of(&mut made));
        items.push(made);
        items.len() - 1
    });
    &mut items[at]
}

fn security_group<'t>(topology: &'t mut Topology, name: &str) -> &'t mut NetworkSecurityGroup {
    named(&mut topology.security_groups, name, |group| &mut group.name)
}

fn route_table<'t>(topology: &'t mut Topology, name: &str) -> &'t mut RouteTable {
    named(&mut topology.route_tables, name, |table| &mut table.name)
}

fn virtual_network<'t>(topology: &'t mut Topology, name: &str) -> &'t mut VirtualNetwork {
    named(&mut topology.virtual_networks, name, |network| &mut network.name)
}

fn subnet<'t>(topology: &'t mut Topology, network: &str, name: &str) -> &'t mut Subnet {
    named(&mut virtual_network(topology, network).subnets, name, |subnet| &mut subnet.name)
}

/// In the place of the one of its name, or at the end.
fn put<T>(items: &mut Vec<T>, item: T, name: impl Fn(&T) -> &str) {
    match items.iter_mut().find(|known| same(name(known), name(&item))) {
        Some(known) => *known = item,
        None => items.push(item),
    }
}

fn add_word(words: &mut Vec<String>, word: &str) {
    if !words.iter().any(|known| same(known, word)) {
        words.push(word.to_owned());
    }
}

/// Names are for each direction here, as topologies may have them; Azure knows one of a name in a group.
fn add_security_rule(group: &mut NetworkSecurityGroup, rule: &SecurityRule) {
    let known = group.rules.iter_mut().find(|known| known.direction == rule.direction && same(&known.name, &rule.name));
    match known {
        Some(known) => *known = rule.clone(),
        None => group.rules.push(rule.clone()),
    }
}

/// The zone is linked to the networks that environments are in: who asks for a record there wants it answered.
fn add_dns_record(topology: &mut Topology, zone: &str, name: &str, address: IpAddr) {
    let networks: Vec<String> = topology.environments.iter().map(|it| it.virtual_network.clone()).collect();
    let zone: &mut DnsZone = named(&mut topology.dns_zones, zone, |zone| &mut zone.name);
    networks
        .iter()
        .filter(|network| !network.is_empty())
        .for_each(|network| add_word(&mut zone.virtual_networks, network));
    zone.records.retain(|(known, _)| !same(known, name));
    zone.records.push((name.to_owned(), address));
}

fn add_application_rule(rules: &mut RuleSet, rule: &ApplicationRule) {
    let empty = Rules::Application(Action::Allow, Vec::new());
    if let Rules::Application(_, rules) = &mut collection(rules, APPLICATION_RULES, empty).rules {
        put(rules, rule.clone(), |it| &it.name);
    }
}

fn add_network_rule(rules: &mut RuleSet, rule: &NetworkRule) {
    let empty = Rules::Network(Action::Allow, Vec::new());
    if let Rules::Network(_, rules) = &mut collection(rules, NETWORK_RULES, empty).rules {
        put(rules, rule.clone(), |it| &it.name);
    }
}

/// The collection of this name in the group of changes, in the policy that has the last word.
fn collection<'r>(rules: &'r mut RuleSet, (name, priority): (&str, i64), empty: Rules) -> &'r mut RuleCollection {
    if rules.policies.is_empty() {
        rules.policies.push(PolicyRules { name: POLICY.to_owned(), ..PolicyRules::default() });
    }
    let last = rules.policies.len() - 1;
    let collections = &mut group(&mut rules.policies[last]).collections;
    let known = collections.iter().position(|it| same(&it.name, name));
    let at = known.unwrap_or_else(|| {
        let priority = Priority::try_from(priority).expect("the numbers of this module are in range");
        collections.push(RuleCollection { name: name.to_owned(), priority, rules: empty, at: Spot::nowhere() });
        collections.len() - 1
    });
    &mut collections[at]
}

/// Before all other groups where there is room: what denies must not come first. No two groups share a priority.
fn group(policy: &mut PolicyRules) -> &mut RuleCollectionGroup {
    let known = policy.groups.iter().position(|group| same(&group.name, MENDED));
    let at = known.unwrap_or_else(|| {
        let is_free = |wanted: &Priority| policy.groups.iter().all(|group| group.priority != *wanted);
        let priority = (100..=65_000).filter_map(|number| Priority::try_from(number).ok()).find(is_free);
        let priority = priority.expect("a policy has fewer groups than there are priorities");
        let name = MENDED.to_owned();
        policy.groups.push(RuleCollectionGroup { name, priority, collections: Vec::new(), at: Spot::nowhere() });
        policy.groups.len() - 1
    });
    &mut policy.groups[at]
}

/// A collection that it leaves empty goes too, and so does a group: not every tool of Azure takes such.
fn remove_firewall_rule(rules: &mut RuleSet, path: &str) {
    for policy in &mut rules.policies {
        for group in &mut policy.groups {
            for collection in &mut group.collections {
                let place = format!("{}/{}/{}/", policy.name, group.name, collection.name);
                let keep = |name: &str| !same(&format!("{place}{name}"), path);
                match &mut collection.rules {
                    Rules::Dnat(rules) => rules.retain(|rule| keep(&rule.name)),
                    Rules::Network(_, rules) => rules.retain(|rule| keep(&rule.name)),
                    Rules::Application(_, rules) => rules.retain(|rule| keep(&rule.name)),
                }
            }
            group.collections.retain(|collection| !is_empty(&collection.rules));
        }
        policy.groups.retain(|group| !group.collections.is_empty());
    }
}

fn is_empty(rules: &Rules) -> bool {
    match rules {
        Rules::Dnat(rules) => rules.is_empty(),
        Rules::Network(_, rules) => rules.is_empty(),
        Rules::Application(_, rules) => rules.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vnet::samples::{self, GROUP, SUBNET, TABLE, VNET};
    use crate::vnet::{FlowDirection, NextHop, RouteDestination, SecurityProtocol};

    fn everything() -> Vec<Change> {
        let (network, subnet) = (VNET.to_owned(), SUBNET.to_owned());
        let rule = samples::security_rule("new", 200, FlowDirection::Inbound, SecurityProtocol::Tcp, "*", "*", "80");
        let route = Route {
            name: "new".into(),
            destination: RouteDestination::Net("198.51.100.0/24".parse().unwrap()),
            next_hop: NextHop::Internet,
            at: Spot::nowhere(),
        };
        vec![
            Change::SecurityRule { group: GROUP.into(), rule },
            Change::RemoveSecurityRule { group: GROUP.into(), rule: "FTP".into() },
            Change::SubnetSecurityGroup { network: network.clone(), subnet: subnet.clone(), group: "other".into() },
            Change::Route { table: TABLE.into(), route },
            Change::RemoveRoute { table: TABLE.into(), route: "Default".into() },
            Change::SubnetRouteTable { network: network.clone(), subnet: subnet.clone(), table: "other".into() },
            Change::ServiceEndpoint {
                network: network.clone(),
                subnet: subnet.clone(),
                service: "Microsoft.KeyVault".into(),
            },
            Change::Delegation {
                network: network.clone(),
                subnet,
                service: "Microsoft.Web/hostingEnvironments".into(),
            },
            Change::AddSubnet {
                network: network.clone(),
                subnet: "added".into(),
                prefix: "192.168.9.0/24".parse().unwrap(),
            },
            Change::ApplicationRule(ApplicationRule { name: "app".into(), ..ApplicationRule::default() }),
            Change::NetworkRule(NetworkRule { name: "net".into(), ..NetworkRule::default() }),
            Change::DnsRecord {
                zone: "ase.test".into(),
                name: "*".into(),
                address: "192.168.251.132".parse().unwrap(),
            },
        ]
    }

    #[test]
    fn each_change_shows_and_is_made_once() {
        for change in everything() {
            let (mut topology, mut rules) = (samples::worked(), RuleSet::default());
            change.apply(&mut topology, &mut rules);
            let once = (topology.clone(), rules.clone());
            assert_ne!(once, (samples::worked(), RuleSet::default()), "{change:?}");
            change.apply(&mut topology, &mut rules);
            assert_eq!((topology, rules), once, "{change:?}");
        }
    }

    #[test]
    fn what_is_missing_is_made() {
        let (mut topology, mut rules) = (Topology::default(), RuleSet::default());
        Change::apply_all(&everything(), &mut topology, &mut rules);
        let subnet = topology.virtual_network("ASE-VNET").unwrap().subnet(SUBNET).unwrap();
        assert_eq!(subnet.security_group.as_deref(), Some("other"));
        assert_eq!(subnet.route_table.as_deref(), Some("other"));
        assert!(subnet.has_endpoint("microsoft.keyvault"));
        assert_eq!(topology.security_group("other").unwrap().rules, []);
        assert_eq!(topology.security_group(GROUP).unwrap().rules.len(), 1);
        assert_eq!(topology.route_table(TABLE).unwrap().routes.len(), 1);
        assert_eq!(topology.dns_zones[0].records, [("*".to_owned(), "192.168.251.132".parse().unwrap())]);
        let groups = &rules.policies[0].groups;
        assert_eq!((groups.len(), groups[0].name.as_str(), groups[0].collections.len()), (1, MENDED, 2));
    }

    /// In ARM a name is one rule's; topologies may have it once for each direction.
    #[test]
    fn a_rule_takes_the_place_of_its_name_and_direction() {
        let mut topology = samples::worked();
        let outbound = FlowDirection::Outbound;
        let twin = samples::security_rule("ase-internal", 155, outbound, SecurityProtocol::Any, "*", "*", "*");
        topology.security_groups[0].rules.push(twin);
        let before = topology.security_group(GROUP).unwrap().rules.len();
        let rule =
            |direction| samples::security_rule("ASE-internal", 200, direction, SecurityProtocol::Tcp, "*", "*", "80");
        let change = Change::SecurityRule { group: "ASE-nsg".into(), rule: rule(FlowDirection::Outbound) };
        change.apply(&mut topology, &mut RuleSet::default());
        let rules = &topology.security_group(GROUP).unwrap().rules;
        assert_eq!(rules.len(), before);
        let named = rules.iter().filter(|it| it.name.eq_ignore_ascii_case("ase-internal"));
        assert_eq!(
            named.map(|it| (it.direction, it.priority)).collect::<Vec<_>>(),
            [(FlowDirection::Inbound, 120), (FlowDirection::Outbound, 200),]
        );
    }

    #[test]
    fn the_group_of_changes_comes_first_where_it_can() {
        let check = |taken: &[i64], expected: u16| {
            let groups = taken.iter().map(|priority| RuleCollectionGroup {
                name: format!("g{priority}"),
                priority: Priority::try_from(*priority).unwrap(),
                collections: Vec::new(),
                at: Spot::nowhere(),
            });
            let policy = PolicyRules { name: "lab".into(), groups: groups.collect(), ..PolicyRules::default() };
            let mut rules = RuleSet { policies: vec![policy], ..RuleSet::default() };
            add_network_rule(&mut rules, &NetworkRule::default());
            assert_eq!(rules.policies[0].groups.last().unwrap().priority.get(), expected, "{taken:?}");
        };
        check(&[], 100);
        check(&[200, 300], 100);
        check(&[100, 101, 300], 102);
    }

    #[test]
    fn a_firewall_rule_goes_with_what_it_leaves_empty() {
        let rule = |name: &str| NetworkRule { name: name.into(), ..NetworkRule::default() };
        let collection = |name: &str, rules| RuleCollection {
            name: name.into(),
            priority: Priority::try_from(100).unwrap(),
            rules: Rules::Network(Action::Deny, rules),
            at: Spot::nowhere(),
        };
        let group = RuleCollectionGroup {
            name: "g".into(),
            priority: Priority::try_from(100).unwrap(),
            collections: vec![collection("one", vec![rule("a:1")]), collection("two", vec![rule("a:1"), rule("b")])],
            at: Spot::nowhere(),
        };
        let policy = PolicyRules { name: "lab".into(), groups: vec![group], ..PolicyRules::default() };
        let mut rules = RuleSet { policies: vec![policy], ..RuleSet::default() };
        let mut remove = |path: &str| {
            Change::RemoveFirewallRule { rule: path.into() }.apply(&mut Topology::default(), &mut rules);
            let groups = &rules.policies[0].groups;
            groups.iter().flat_map(|it| &it.collections).map(|it| it.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(remove("lab/g/one/c"), ["one", "two"]);
        assert_eq!(remove("Lab/g/one/a:1"), ["two"]);
        assert_eq!(remove("lab/g/two/b"), ["two"]);
        assert_eq!(remove("lab/g/two/a:1"), Vec::<String>::new());
    }
}
