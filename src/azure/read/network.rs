//! Network security groups, route tables and virtual networks: what surrounds a firewall. Plain data: nothing decides
//! by it yet, so what is wrong in it is a warning.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::ident::reference;
use super::notes::{Effect, Items, Notes, Subject, shown};
use super::words::Words;
use crate::azure::json::Node;
use crate::azure::note::{Note, Severity};
use crate::azure::shape::Resource;
use crate::flow::PortRange;
use crate::policy::{Action, AddressRange, Spot};

/// All that was read of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Network {
    pub security_groups: Vec<NetworkSecurityGroup>,
    pub route_tables: Vec<RouteTable>,
    pub virtual_networks: Vec<VirtualNetwork>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NetworkSecurityGroup {
    pub name: String,
    /// As they are written; Azure's own default rules are not among them.
    pub rules: Vec<SecurityRule>,
    pub at: Spot,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SecurityRule {
    pub name: String,
    /// 100 (first) to 4096 (last), for each direction.
    pub priority: Option<u16>,
    pub direction: Option<FlowDirection>,
    pub access: Option<Action>,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `*`.
    pub protocol: String,
    pub source: Endpoint,
    pub destination: Endpoint,
    pub at: Spot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowDirection {
    Inbound,
    Outbound,
}

/// One side of a security rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Endpoint {
    pub prefixes: Vec<Prefix>,
    pub ports: Vec<PortRange>,
    /// Ids of application security groups.
    pub security_groups: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prefix {
    Any,
    Range(AddressRange),
    /// A service tag, `VirtualNetwork`, `AzureLoadBalancer`, `Internet`.
    Tag(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct RouteTable {
    pub name: String,
    pub routes: Vec<Route>,
    pub disable_bgp: bool,
    pub at: Spot,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub name: String,
    pub prefix: Option<Prefix>,
    pub next_hop: Option<NextHop>,
    /// Of a virtual appliance.
    pub next_hop_address: Option<String>,
    pub at: Spot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextHop {
    VirtualNetworkGateway,
    VnetLocal,
    Internet,
    VirtualAppliance,
    None,
}

#[derive(Debug, Clone, PartialEq)]
pub struct VirtualNetwork {
    pub name: String,
    pub prefixes: Vec<Prefix>,
    pub subnets: Vec<Subnet>,
    pub at: Spot,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Subnet {
    pub name: String,
    pub prefixes: Vec<Prefix>,
    /// Ids.
    pub security_group: Option<String>,
    pub route_table: Option<String>,
    /// `Microsoft.Storage`
    pub service_endpoints: Vec<String>,
    /// `Microsoft.Web/hostingEnvironments`
    pub delegations: Vec<String>,
    pub at: Spot,
}

const SECURITY_GROUP: &str = "Microsoft.Network/networkSecurityGroups";
const SECURITY_RULE: &str = "Microsoft.Network/networkSecurityGroups/securityRules";
const ROUTE_TABLE: &str = "Microsoft.Network/routeTables";
const ROUTE: &str = "Microsoft.Network/routeTables/routes";
const VIRTUAL_NETWORK: &str = "Microsoft.Network/virtualNetworks";
const SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets";
pub(super) const ALL: [&str; 6] = [SECURITY_GROUP, SECURITY_RULE, ROUTE_TABLE, ROUTE, VIRTUAL_NETWORK, SUBNET];

const DIRECTIONS: Words<FlowDirection> = &[("Inbound", FlowDirection::Inbound), ("Outbound", FlowDirection::Outbound)];
const ACCESS: Words<Action> = &[("Allow", Action::Allow), ("Deny", Action::Deny)];
const NEXT_HOPS: Words<NextHop> = &[
    ("VirtualNetworkGateway", NextHop::VirtualNetworkGateway),
    ("VnetLocal", NextHop::VnetLocal),
    ("Internet", NextHop::Internet),
    ("VirtualAppliance", NextHop::VirtualAppliance),
    ("None", NextHop::None),
];
const PROTOCOLS: Words<&str> =
    &[("Tcp", "Tcp"), ("Udp", "Udp"), ("Icmp", "Icmp"), ("Esp", "Esp"), ("Ah", "Ah"), ("*", "*"), ("Any", "*")];

/// True for the types that [`read`] takes up.
pub(super) fn knows(resource: &Resource) -> bool {
    ALL.iter().any(|kind| resource.is(kind))
}

/// What is wrong in it is noted as a warning, and what only Azure knows not at all.
pub(super) fn read<'r>(resources: impl Iterator<Item = &'r Resource>, notes: &mut Notes) -> Network {
    let mut own = Notes::default();
    let mut surroundings = Surroundings::default();
    for resource in resources {
        read_one(resource, &mut surroundings, &mut own);
    }
    let softened = own.notes.into_iter().map(|note| Note { severity: note.severity.min(Severity::Warning), ..note });
    notes.notes.extend(softened);
    let Surroundings { security_groups, route_tables, virtual_networks, subnets: _ } = surroundings;
    Network {
        security_groups: security_groups.all,
        route_tables: route_tables.all,
        virtual_networks: virtual_networks.all,
    }
}

fn read_one(resource: &Resource, network: &mut Surroundings, notes: &mut Notes) {
    if !knows(resource) {
        return;
    }
    let what = format!("`{}`", shown(&resource.name));
    let Some(subject) = notes.resource(resource, &what, Effect::Allows) else { return };
    let name = shown(&resource.name);
    let (parent, leaf) = name.rsplit_once('/').unwrap_or(("", &name));
    if resource.is(SECURITY_GROUP) {
        let rules = each(&subject, "securityRules", notes, security_rule);
        let (_, group) = network.security_groups.find_or_add(&name, resource.at);
        group.rules.extend(rules);
    } else if resource.is(SECURITY_RULE) {
        let rule = security_rule(&subject, leaf.to_owned(), notes);
        network.security_groups.find_or_add(parent, resource.at).1.rules.push(rule);
    } else if resource.is(ROUTE_TABLE) {
        let routes = each(&subject, "routes", notes, route);
        let (_, table) = network.route_tables.find_or_add(&name, resource.at);
        table.routes.extend(routes);
        table.disable_bgp = notes.flag(&subject, "disableBgpRoutePropagation").unwrap_or(false);
    } else if resource.is(ROUTE) {
        let route = route(&subject, leaf.to_owned(), notes);
        network.route_tables.find_or_add(parent, resource.at).1.routes.push(route);
    } else if resource.is(VIRTUAL_NETWORK) {
        let space = notes.object(&subject, "addressSpace");
        let space = space.map(|space| prefixes(&space, &["addressPrefixes"], notes)).unwrap_or_default();
        let subnets = each(&subject, "subnets", notes, subnet);
        network.virtual_networks.find_or_add(&name, resource.at).1.prefixes.extend(space);
        subnets.into_iter().for_each(|subnet| network.add_subnet(&name, resource.at, subnet));
    } else if resource.is(SUBNET) {
        let subnet = subnet(&subject, leaf.to_owned(), notes);
        network.add_subnet(parent, resource.at, subnet);
    }
}

/// What has children that may be resources of their own, in any order.
trait Parent {
    fn empty(name: String, at: Spot) -> Self;
}

impl Parent for NetworkSecurityGroup {
    fn empty(name: String, at: Spot) -> Self {
        NetworkSecurityGroup { name, rules: Vec::new(), at }
    }
}

impl Parent for RouteTable {
    fn empty(name: String, at: Spot) -> Self {
        RouteTable { name, routes: Vec::new(), disable_bgp: false, at }
    }
}

impl Parent for VirtualNetwork {
    fn empty(name: String, at: Spot) -> Self {
        VirtualNetwork { name, prefixes: Vec::new(), subnets: Vec::new(), at }
    }
}

/// What is being read, with the places of all that others name.
#[derive(Default)]
struct Surroundings {
    security_groups: Named<NetworkSecurityGroup>,
    route_tables: Named<RouteTable>,
    virtual_networks: Named<VirtualNetwork>,
    /// Where each subnet is in its network, by the number of that and its own name in lower case.
    subnets: HashMap<(usize, String), usize>,
}

struct Named<P> {
    all: Vec<P>,
    /// By their names in lower case.
    places: HashMap<String, usize>,
}

impl<P> Default for Named<P> {
    fn default() -> Named<P> {
        Named { all: Vec::new(), places: HashMap::new() }
    }
}

impl<P: Parent> Named<P> {
    /// With its place.
    fn find_or_add(&mut self, name: &str, at: Spot) -> (usize, &mut P) {
        let Named { all, places } = self;
        let place = *places.entry(name.to_ascii_lowercase()).or_insert_with(|| {
            all.push(P::empty(name.to_owned(), at));
            all.len() - 1
        });
        (place, &mut all[place])
    }
}

impl Surroundings {
    /// A subnet may be written in its network and as a resource of its own: the later one counts.
    fn add_subnet(&mut self, vnet: &str, at: Spot, subnet: Subnet) {
        let (place, vnet) = self.virtual_networks.find_or_add(vnet, at);
        match self.subnets.entry((place, subnet.name.to_ascii_lowercase())) {
            Entry::Occupied(known) => vnet.subnets[*known.get()] = subnet,
            Entry::Vacant(free) => {
                free.insert(vnet.subnets.len());
                vnet.subnets.push(subnet);
            }
        }
    }
}

/// Children that stand in their parent's properties, with or without a level of properties of their own.
fn each<T>(
    parent: &Subject<'_>,
    key: &str,
    notes: &mut Notes,
    read: impl Fn(&Subject<'_>, String, &mut Notes) -> T,
) -> Vec<T> {
    let nodes = notes.objects(parent, key);
    let mut children = Vec::with_capacity(nodes.len());
    for node in nodes {
        let name = node.get("name").map_or_else(String::new, shown);
        let what = format!("`{name}`");
        if let Some(object) = node.get("properties").unwrap_or(node).object() {
            let subject = Subject { object, at: node.at, what: &what, effect: Effect::Allows };
            children.push(read(&subject, name, notes));
        }
    }
    children
}

fn security_rule(rule: &Subject<'_>, name: String, notes: &mut Notes) -> SecurityRule {
    for key in ["priority", "direction", "access", "protocol"] {
        if rule.get(key).is_none() {
            notes.missing(key, rule, "every security rule has one");
        }
    }
    SecurityRule {
        name,
        priority: security_priority(rule, notes),
        direction: notes.word(rule, "direction", DIRECTIONS),
        access: notes.word(rule, "access", ACCESS),
        protocol: notes.word(rule, "protocol", PROTOCOLS).unwrap_or_default().to_owned(),
        source: endpoint(rule, "source", notes),
        destination: endpoint(rule, "destination", notes),
        at: rule.at,
    }
}

fn security_priority(rule: &Subject<'_>, notes: &mut Notes) -> Option<u16> {
    let (number, at) = notes.number(rule, "priority")?;
    let priority = u16::try_from(number).ok().filter(|number| (100..=4096).contains(number));
    if priority.is_none() {
        let what = format!("priority {number} of {} is out of range: 100 (first) to 4096 (last)", rule.what);
        notes.push(Note::new(Severity::Warning, at, what));
    }
    priority
}

/// Singular and plural properties of one side; Azure takes either.
fn endpoint(rule: &Subject<'_>, side: &str, notes: &mut Notes) -> Endpoint {
    let key = |rest: &str| format!("{side}{rest}");
    let asgs = notes.objects(rule, &key("ApplicationSecurityGroups"));
    let ids = asgs.into_iter().map(|group| shown(reference(group)));
    Endpoint {
        prefixes: prefixes(rule, &[&key("AddressPrefix"), &key("AddressPrefixes")], notes),
        ports: ports(rule, &[&key("PortRange"), &key("PortRanges")], notes),
        security_groups: ids.collect(),
    }
}

fn prefixes(subject: &Subject<'_>, keys: &[&str], notes: &mut Notes) -> Vec<Prefix> {
    let mut all = Vec::new();
    for key in keys {
        let Items { items, .. } = notes.items(subject, key);
        // A list in one text, as some templates write it.
        let parts = items.iter().flat_map(|item| item.text.split(',').map(|part| (part.trim(), item.at)));
        for (text, at) in parts {
            match prefix(text) {
                Ok(prefix) => all.push(prefix),
                Err(what) => notes.push(Note::new(Severity::Warning, at, format!("`{key}`: {what}"))),
            }
        }
    }
    all
}

fn prefix(text: &str) -> Result<Prefix, String> {
    if text == "*" {
        return Ok(Prefix::Any);
    }
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.contains([':', '/']) {
        return Ok(Prefix::Tag(text.to_owned()));
    }
    text.parse().map(Prefix::Range).map_err(|error: crate::policy::AddressError| error.to_string())
}

fn ports(subject: &Subject<'_>, keys: &[&str], notes: &mut Notes) -> Vec<PortRange> {
    let mut all = Vec::new();
    for key in keys {
        let Items { items, .. } = notes.items(subject, key);
        let parts = items.iter().flat_map(|item| item.text.split(',').map(|part| (part.trim(), item.at)));
        for (text, at) in parts {
            // Port 0 stands in security rules, though nothing uses it.
            let read = match text {
                "0-65535" => Ok(PortRange::ANY),
                _ => text.parse::<PortRange>(),
            };
            match read {
                Ok(range) => all.push(range),
                Err(error) => {
                    notes.push(Note::new(Severity::Warning, at, format!("`{key}`: {error}")));
                }
            }
        }
    }
    all
}

fn route(route: &Subject<'_>, name: String, notes: &mut Notes) -> Route {
    for key in ["addressPrefix", "nextHopType"] {
        if route.get(key).is_none() {
            notes.missing(key, route, "every route has one");
        }
    }
    Route {
        name,
        prefix: prefixes(route, &["addressPrefix"], notes).pop(),
        next_hop: notes.word(route, "nextHopType", NEXT_HOPS),
        next_hop_address: route.get("nextHopIpAddress").map(shown),
        at: route.at,
    }
}

fn subnet(subnet: &Subject<'_>, name: String, notes: &mut Notes) -> Subnet {
    let id = |key: &str| subnet.get(key).map(|node| shown(reference(node))).filter(|id| !id.is_empty());
    let of_list = |key: &str, inner: fn(&Node) -> Option<&Node>| -> Vec<String> {
        let items = subnet.get(key).and_then(Node::list).unwrap_or_default();
        items.iter().filter_map(inner).map(shown).collect()
    };
    Subnet {
        name,
        prefixes: prefixes(subnet, &["addressPrefix", "addressPrefixes"], notes),
        security_group: id("networkSecurityGroup"),
        route_table: id("routeTable"),
        service_endpoints: of_list("serviceEndpoints", |node| Some(node.get("service").unwrap_or(node))),
        delegations: of_list("delegations", |node| node.get("properties").unwrap_or(node).get("serviceName")),
        at: subnet.at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::{json, shape};

    /// Whatever the order and the case; a network of many subnets has a place for each.
    #[test]
    fn children_find_their_parents() {
        let subnet = |network: &str, name: &str, prefix: &str| {
            format!(
                r#"{{"type": "{SUBNET}", "name": "{network}/{name}", "properties": {{"addressPrefix": "{prefix}"}}}}"#
            )
        };
        let mut texts = vec![
            subnet("Hub", "a", "10.0.0.0/24"),
            subnet("spoke", "a", "10.9.0.0/24"),
            format!(
                r#"{{"type": "{VIRTUAL_NETWORK}", "name": "hub", "properties": {{"subnets": [
                    {{"name": "A", "properties": {{"addressPrefix": "10.1.0.0/24"}}}}, {{"name": "b", "properties": {{}}}}]}}}}"#
            ),
        ];
        texts.extend((0..2000).map(|number| subnet("HUB", &format!("s{number}"), "10.2.0.0/24")));
        let nodes = json::parse(&format!("[{}]", texts.join(",")), 0).unwrap();
        let resources = shape::resources(&nodes).resources;
        let network = read(resources.iter(), &mut Notes::default());
        let [hub, spoke] = network.virtual_networks.as_slice() else { panic!("{:?}", network.virtual_networks.len()) };
        assert_eq!((hub.name.as_str(), hub.subnets.len(), spoke.subnets.len()), ("Hub", 2002, 1));
        assert_eq!(hub.subnets[0].name, "A", "the later one counts");
        assert_eq!(hub.subnets[2001].name, "s1999");
    }
}
