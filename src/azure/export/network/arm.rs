//! A template, and its resources. A rule or a route of a group or table that is there is a resource of its own; what
//! loses something, and every subnet, is written whole, as the topology knows it.

use crate::azure::export::API_VERSION;
use crate::azure::export::Exported;
use crate::azure::export::arm::{GROUPS, group_properties, literal, quoted};
use crate::azure::export::names::Shortest;
use crate::azure::export::tree::{Builder, Tree};
use crate::azure::note::Note;
use crate::policy::RuleSet;
use crate::vnet::{Change, NetworkSecurityGroup, ResourceKind, RouteTable, Subnet, Topology, VirtualNetwork};

use super::carried::{self, Carried};
use super::{Site, distinct, firewall, not_written, same, shape};

const SECURITY_GROUPS: &str = "Microsoft.Network/networkSecurityGroups";
const ROUTE_TABLES: &str = "Microsoft.Network/routeTables";
const NETWORKS: &str = "Microsoft.Network/virtualNetworks";
const ZONES: &str = "Microsoft.Network/privateDnsZones";
const DNS_API: &str = "2020-06-01";

/// Resources that are written, with what each has to wait for.
struct Writer<'s> {
    site: &'s Site<'s>,
    changes: &'s [Change],
    /// With the changes made.
    after: Topology,
    resources: Vec<Tree>,
    /// Ids of what was written, as calls of `resourceId`.
    written: Vec<String>,
    notes: Vec<Note>,
}

pub(super) fn template(changes: &[Change], site: &Site<'_>, remark: Option<&str>) -> Exported {
    let writer = Writer::new(changes, site).all();
    let location = match site.topology.location.as_str() {
        "" => "[resourceGroup().location]",
        location => &literal(location),
    };
    let location = Builder::default().text("type", Some("string")).text("defaultValue", Some(location)).object();
    let metadata = Builder::default().text("generator", Some("egret")).text("comment", remark.map(literal));
    let mut fields = Builder::default()
        .text("$schema", Some("https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"))
        .text("contentVersion", Some("1.0.0.0"))
        .put("metadata", metadata.object())
        .put("parameters", Builder::default().put("location", location).object())
        .fields();
    fields.push(("resources".to_owned(), Tree::List(writer.resources)));
    Exported { text: Tree::Object(fields).json(), notes: writer.notes }
}

/// The call of the function `resourceId`, without brackets.
pub(super) fn id(kind: &str, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    format!("resourceId('{kind}', {})", names.join(", "))
}

fn reference(kind: &str, names: &[&str]) -> Tree {
    Builder::default().text("id", Some(format!("[{}]", id(kind, names)))).object()
}

fn head(kind: &str, api: &str, name: &str) -> Builder {
    Builder::default().text("type", Some(kind)).text("apiVersion", Some(api)).text("name", Some(literal(name)))
}

fn located(head: Builder) -> Builder {
    head.text("location", Some("[parameters('location')]"))
}

impl<'s> Writer<'s> {
    fn new(changes: &'s [Change], site: &'s Site<'s>) -> Writer<'s> {
        let mut after = touched(changes, site.topology);
        Change::apply_all(changes, &mut after, &mut RuleSet::default());
        Writer { site, changes, after, resources: Vec::new(), written: Vec::new(), notes: Vec::new() }
    }

    fn all(mut self) -> Self {
        self.security_groups();
        self.route_tables();
        self.networks();
        self.firewall_groups();
        self.zones();
        self
    }

    /// `after` names what has to be there before, in the template or not.
    fn put(&mut self, head: Builder, id: String, after: &[String], properties: Tree) {
        let after = after.iter().filter(|id| self.written.contains(id)).map(|id| format!("[{id}]"));
        let mut fields = head.put("dependsOn", Tree::texts(distinct(after))).fields();
        fields.push(("properties".to_owned(), properties));
        self.resources.push(Tree::Object(fields));
        self.written.push(id);
    }

    fn last(&self) -> Vec<String> {
        self.written.last().cloned().into_iter().collect()
    }

    fn security_groups(&mut self) {
        for group in std::mem::take(&mut self.after.security_groups) {
            if self.loses_rules(&group) {
                self.whole_group(&group);
            } else {
                self.added_rules(&group);
            }
        }
    }

    /// A template can add and replace a rule of a group that is there, and take none out. One that comes back is replaced.
    fn loses_rules(&self, group: &NetworkSecurityGroup) -> bool {
        let Some(before) = self.site.topology.security_group(&group.name) else { return true };
        let is_left = |name: &str| group.rules.iter().any(|rule| same(&rule.name, name));
        !before.rules.iter().all(|rule| is_left(&rule.name))
    }

    fn loses_routes(&self, table: &RouteTable) -> bool {
        let Some(before) = self.site.topology.route_table(&table.name) else { return true };
        let is_left = |name: &str| table.routes.iter().any(|route| same(&route.name, name));
        !before.routes.iter().all(|route| is_left(&route.name))
    }

    /// A resource that is there and is written whole, for which nothing less would do.
    fn tell_whole(&mut self, kind: ResourceKind, name: &str) {
        let what = format!("the {} `{name}` is written whole, as the files that were read have it", kind.as_str());
        self.notes.push(not_written(what, "add what else it has before this is deployed, or run the commands of az"));
    }

    /// With what the topology has no field for.
    fn with_carried(&mut self, kind: ResourceKind, resource: &str, properties: Tree) -> (Option<Tree>, Tree) {
        let Carried { tags, properties: more, mut lost } = carried::of(self.site.topology, kind, resource);
        self.notes.append(&mut lost);
        match properties {
            Tree::Object(fields) => (tags, Tree::Object(fields.into_iter().chain(more).collect())),
            other => (tags, other),
        }
    }

    fn whole_group(&mut self, group: &NetworkSecurityGroup) {
        let mut rules = Vec::new();
        for rule in &group.rules {
            let place = format!("{}/{}", group.name, rule.name);
            let properties = shape::security_rule(rule, group_id);
            let (_, properties) = self.with_carried(ResourceKind::SecurityRule, &place, properties);
            let name = ("name".to_owned(), Tree::Text(literal(&rule.name)));
            rules.push(Tree::Object(vec![name, ("properties".to_owned(), properties)]));
        }
        let properties = Tree::Object(vec![("securityRules".to_owned(), Tree::List(rules))]);
        let (tags, properties) = self.with_carried(ResourceKind::SecurityGroup, &group.name, properties);
        if self.site.has_group(&group.name) {
            self.tell_whole(ResourceKind::SecurityGroup, &group.name);
        }
        let head = with_tags(located(head(SECURITY_GROUPS, API_VERSION, &group.name)), tags);
        self.put(head, id(SECURITY_GROUPS, &[&group.name]), &[], properties);
    }

    /// Azure changes one of them at a time.
    fn added_rules(&mut self, group: &NetworkSecurityGroup) {
        let is_added = |rule: &&crate::vnet::SecurityRule| {
            self.changes.iter().any(|change| {
                matches!(change, Change::SecurityRule { group: of, rule: added }
                    if same(of, &group.name) && same(&added.name, &rule.name) && added.direction == rule.direction)
            })
        };
        let mut added: Vec<_> = group.rules.iter().filter(is_added).collect();
        // One that is moved makes room for another: the last goes first.
        added.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        for (number, rule) in added.into_iter().enumerate() {
            let kind = format!("{SECURITY_GROUPS}/securityRules");
            let before = if number == 0 { Vec::new() } else { self.last() };
            let place = format!("{}/{}", group.name, rule.name);
            let head = head(&kind, API_VERSION, &place);
            let properties = shape::security_rule(rule, group_id);
            let (_, properties) = self.with_carried(ResourceKind::SecurityRule, &place, properties);
            self.put(head, id(&kind, &[&group.name, &rule.name]), &before, properties);
        }
    }

    fn route_tables(&mut self) {
        for table in std::mem::take(&mut self.after.route_tables) {
            if self.loses_routes(&table) {
                self.whole_table(&table);
            } else {
                self.added_routes(&table);
            }
        }
    }

    fn whole_table(&mut self, table: &RouteTable) {
        let mut routes = Vec::new();
        for route in &table.routes {
            let place = format!("{}/{}", table.name, route.name);
            let (_, properties) = self.with_carried(ResourceKind::Route, &place, shape::route(route));
            let name = ("name".to_owned(), Tree::Text(literal(&route.name)));
            routes.push(Tree::Object(vec![name, ("properties".to_owned(), properties)]));
        }
        let properties = Tree::Object(vec![
            ("disableBgpRoutePropagation".to_owned(), Tree::Flag(table.disable_bgp_route_propagation)),
            ("routes".to_owned(), Tree::List(routes)),
        ]);
        let (tags, properties) = self.with_carried(ResourceKind::RouteTable, &table.name, properties);
        if self.site.has_table(&table.name) {
            self.tell_whole(ResourceKind::RouteTable, &table.name);
        }
        let head = with_tags(located(head(ROUTE_TABLES, API_VERSION, &table.name)), tags);
        self.put(head, id(ROUTE_TABLES, &[&table.name]), &[], properties);
    }

    fn added_routes(&mut self, table: &RouteTable) {
        let is_added = |route: &&crate::vnet::Route| {
            self.changes.iter().any(|change| {
                matches!(change, Change::Route { table: of, route: added }
                    if same(of, &table.name) && same(&added.name, &route.name))
            })
        };
        let added: Vec<_> = table.routes.iter().filter(is_added).collect();
        for (number, route) in added.into_iter().enumerate() {
            let kind = format!("{ROUTE_TABLES}/routes");
            let before = if number == 0 { Vec::new() } else { self.last() };
            let head = head(&kind, API_VERSION, &format!("{}/{}", table.name, route.name));
            self.put(head, id(&kind, &[&table.name, &route.name]), &before, shape::route(route));
        }
    }

    fn networks(&mut self) {
        for network in std::mem::take(&mut self.after.virtual_networks) {
            self.changed_subnets(&network);
        }
    }

    fn changed_subnets(&mut self, network: &VirtualNetwork) {
        let kind = format!("{NETWORKS}/subnets");
        let is_changed = |subnet: &&Subnet| subnets(self.changes).contains(&(key(&network.name), key(&subnet.name)));
        let changed: Vec<&Subnet> = network.subnets.iter().filter(is_changed).collect();
        for (number, subnet) in changed.into_iter().enumerate() {
            let mut after = if number == 0 { Vec::new() } else { self.last() };
            after.extend(subnet_needs(subnet));
            let place = format!("{}/{}", network.name, subnet.name);
            let head = head(&kind, API_VERSION, &place);
            let known = self.site.topology;
            let properties = subnet_properties(subnet, |service| carried::locations(known, &place, service));
            let (_, properties) = self.with_carried(ResourceKind::Subnet, &place, properties);
            self.put(head, id(&kind, &[&network.name, &subnet.name]), &after, properties);
            let what = format!("the subnet `{}` is written whole, as the topology knows it", subnet.name);
            self.notes.push(not_written(what, "add what else it has (a NAT gateway, say) before it is deployed"));
        }
    }

    fn firewall_groups(&mut self) {
        let mut plan = firewall::rewritten(self.changes, self.site, Shortest::One);
        let lists_groups = |tree: &Tree| !tree.targets().is_empty();
        let mut last = Vec::new();
        for policy in &plan.policies {
            for group in &policy.groups {
                if lists_groups(&group.rule_collections()) {
                    let what = format!("the group `{}` has rules with IP groups and is not written", group.name);
                    self.notes.push(not_written(what, "mend it in the policy's own template"));
                    continue;
                }
                let head = head(GROUPS, API_VERSION, &format!("{}/{}", policy.name, group.name));
                let own = id(GROUPS, &[&policy.name, &group.name]);
                self.put(head, own.clone(), &last, escaped(Tree::Object(group_properties(group))));
                last = vec![own];
            }
        }
        for (policy, group) in firewall::emptied(self.changes, self.site) {
            let head = head(GROUPS, API_VERSION, &format!("{}/{}", policy.name, group.name));
            let own = id(GROUPS, &[&policy.name, &group.name]);
            let properties =
                [("priority", Tree::number(group.priority.get())), ("ruleCollections", Tree::List(Vec::new()))];
            let properties = properties.map(|(name, value)| (name.to_owned(), value)).into();
            self.put(head, own.clone(), &last, escaped(Tree::Object(properties)));
            last = vec![own];
        }
        self.notes.append(&mut plan.notes);
    }

    fn zones(&mut self) {
        for zone in std::mem::take(&mut self.after.dns_zones) {
            let own = id(ZONES, &[&zone.name]);
            let global = |head: Builder| head.text("location", Some("global"));
            if !self.site.has_zone(&zone.name) {
                self.put(global(head(ZONES, DNS_API, &zone.name)), own.clone(), &[], Tree::Object(Vec::new()));
            }
            for network in self.site.networks_to_link(&zone.name) {
                let kind = format!("{ZONES}/virtualNetworkLinks");
                let properties = Tree::Object(vec![
                    ("registrationEnabled".to_owned(), Tree::Flag(false)),
                    ("virtualNetwork".to_owned(), reference(NETWORKS, &[&network])),
                ]);
                let head = global(head(&kind, DNS_API, &format!("{}/{network}", zone.name)));
                self.put(head, id(&kind, &[&zone.name, &network]), std::slice::from_ref(&own), properties);
            }
            for (name, address) in zone.records.iter().filter(|record| is_asked(self.changes, &zone.name, &record.0)) {
                let (part, field, key) = if address.is_ipv4() {
                    ("A", "aRecords", "ipv4Address")
                } else {
                    ("AAAA", "aaaaRecords", "ipv6Address")
                };
                let kind = format!("{ZONES}/{part}");
                let record = Builder::default().text(key, Some(address.to_string())).object();
                let properties =
                    Builder::default().number("ttl", Some(3600)).put(field, Tree::List(vec![record])).object();
                let head = head(&kind, DNS_API, &format!("{}/{name}", zone.name));
                self.put(head, id(&kind, &[&zone.name, name]), std::slice::from_ref(&own), properties);
            }
        }
    }
}

fn group_id(name: &str) -> String {
    format!("[{}]", id("Microsoft.Network/applicationSecurityGroups", &[name]))
}

/// Texts that would be expressions.
fn escaped(tree: Tree) -> Tree {
    tree.map(&|leaf| match leaf {
        Tree::Text(text) => Tree::Text(literal(text)),
        leaf => leaf.clone(),
    })
}

fn with_tags(head: Builder, tags: Option<Tree>) -> Builder {
    match tags {
        Some(tags) => head.put("tags", tags),
        None => head,
    }
}

/// `locations` of the endpoint of a service, where a file has some.
fn subnet_properties(subnet: &Subnet, locations: impl Fn(&str) -> Option<Tree>) -> Tree {
    let prefixes = subnet.prefixes.iter().map(ToString::to_string).collect();
    let service = |service: &String| {
        let built = Builder::default().text("service", Some(service.as_str()));
        match locations(service) {
            Some(locations) => built.put("locations", locations).object(),
            None => built.object(),
        }
    };
    let delegation = |service: &String| {
        let name = service.replace('/', ".");
        let properties = Builder::default().text("serviceName", Some(service.as_str())).object();
        Builder::default().text("name", Some(name)).put("properties", properties).object()
    };
    let to = |kind: &str, name: &Option<String>| name.as_ref().map_or(Tree::Null, |name| reference(kind, &[name]));
    shape::one_or_more(Builder::default(), "addressPrefix", "es", prefixes)
        .put("networkSecurityGroup", to(SECURITY_GROUPS, &subnet.security_group))
        .put("routeTable", to(ROUTE_TABLES, &subnet.route_table))
        .put("serviceEndpoints", Tree::List(subnet.service_endpoints.iter().map(service).collect()))
        .put("delegations", Tree::List(subnet.delegations.iter().map(delegation).collect()))
        .object()
}

fn subnet_needs(subnet: &Subnet) -> Vec<String> {
    let group = subnet.security_group.iter().map(|name| id(SECURITY_GROUPS, &[name]));
    let table = subnet.route_table.iter().map(|name| id(ROUTE_TABLES, &[name]));
    group.chain(table).collect()
}

fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn is_asked(changes: &[Change], in_zone: &str, of: &str) -> bool {
    changes.iter().any(|it| matches!(it, Change::DnsRecord { zone, name, .. } if same(zone, in_zone) && same(name, of)))
}

/// The subnets that the changes are of, in lower case.
fn subnets(changes: &[Change]) -> Vec<(String, String)> {
    let of = |change: &Change| match change {
        Change::SubnetSecurityGroup { network, subnet, .. }
        | Change::SubnetRouteTable { network, subnet, .. }
        | Change::ServiceEndpoint { network, subnet, .. }
        | Change::Delegation { network, subnet, .. }
        | Change::AddSubnet { network, subnet, .. } => Some((key(network), key(subnet))),
        _ => None,
    };
    changes.iter().filter_map(of).collect()
}

/// What of a topology the changes are about: all else need not be copied.
fn touched(changes: &[Change], topology: &Topology) -> Topology {
    let of_group = |name: &str| {
        changes.iter().any(|change| {
            matches!(change,
        Change::SecurityRule { group, .. } | Change::RemoveSecurityRule { group, .. } if same(group, name))
        })
    };
    let of_table = |name: &str| {
        changes.iter().any(|change| {
            matches!(change,
        Change::Route { table, .. } | Change::RemoveRoute { table, .. } if same(table, name))
        })
    };
    let subnets = subnets(changes);
    let of_network = |name: &str| subnets.iter().any(|(network, _)| same(network, name));
    let of_zone = |name: &str| {
        changes
            .iter()
            .any(|it| matches!(it, Change::DnsRecord { zone, .. } | Change::DnsLink { zone, .. } if same(zone, name)))
    };
    Topology {
        security_groups: kept(&topology.security_groups, |it| of_group(&it.name)),
        route_tables: kept(&topology.route_tables, |it| of_table(&it.name)),
        virtual_networks: kept(&topology.virtual_networks, |it| of_network(&it.name)),
        dns_zones: kept(&topology.dns_zones, |it| of_zone(&it.name)),
        ..Topology::default()
    }
}

fn kept<T: Clone>(items: &[T], keeps: impl Fn(&T) -> bool) -> Vec<T> {
    items.iter().filter(|item| keeps(item)).cloned().collect()
}
