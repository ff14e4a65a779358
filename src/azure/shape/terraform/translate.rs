//! Instances turned into resources, each under its parent's name, and what other instances add to them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::azure::json::{Node, Object, Value};
use crate::azure::note::{Note, Severity};
use crate::azure::shape::build::{cut, get_mut, list, list_mut, members, object_mut, set, single, text};
use crate::azure::shape::gather::Gathered;
use crate::azure::shape::kinds::{self, Use};
use crate::azure::shape::nest;
use crate::azure::shape::resource::Resource;

use super::fields::Unread;
use super::firewall::{self, CLASSIC, Classic};
use super::instance::{Found, Instance};
use super::overlay::Overlay;
use super::references::References;
use super::{around, azapi, network, policy};

/// Where resources stand that are not there yet.
const NOWHERE: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups";

pub(super) fn all(found: Found<'_>, configuration: Option<&Node>, document: &Node, out: &mut Gathered) {
    let references = References::new(configuration, &found.instances);
    let ids: Vec<Arc<str>> = found.instances.iter().map(|instance| id_of(instance).into()).collect();
    let mut made = Made::default();
    // Collections look for their firewall by its name, so they come behind it.
    let is_classic = |instance: &Instance<'_>| CLASSIC.iter().any(|classic| classic.kind == instance.kind);
    let (classic, others): (Vec<_>, Vec<_>) =
        found.instances.iter().enumerate().partition(|(_, instance)| is_classic(instance));
    for (place, instance) in others.into_iter().chain(classic) {
        if is_read(instance) {
            let overlay = Overlay { references: &references, ids: &ids, place, instance };
            made.instance(instance, &overlay.values(), &ids[place], out);
        } else {
            if is_of_unknown_type(instance) {
                let what = format!("of what type {} is is not known yet: it is left out", instance.address);
                let note = Note::new(Severity::Doubt, instance.at, format!("{what}, also what it may deny"));
                out.notes.push(note.check("unknown-value"));
            }
            let why = if is_irrelevant(instance.kind) { Use::Irrelevant } else { Use::Unknown };
            out.count(azapi::kind(instance.values).unwrap_or(instance.kind), instance.at, why);
        }
    }
    if found.instances.is_empty() {
        out.note(Severity::Warning, document.at, "no resource stands in this plan or state of Terraform");
    }
    made.finish(out);
}

/// How a type of Terraform's becomes one of ARM's.
struct Mapping {
    kind: &'static str,
    arm: &'static str,
    /// Where its parent is told: by a name or by an id.
    parent: Option<&'static str>,
    properties: fn(&Node, &Object, &mut Unread) -> Node,
}

const fn mapping(
    kind: &'static str,
    arm: &'static str,
    parent: Option<&'static str>,
    properties: fn(&Node, &Object, &mut Unread) -> Node,
) -> Mapping {
    Mapping { kind, arm, parent, properties }
}

const MAPPINGS: &[Mapping] = &[
    mapping("azurerm_firewall_policy", kinds::POLICY, None, policy::policy),
    mapping("azurerm_firewall_policy_rule_collection_group", kinds::GROUP, Some("firewall_policy_id"), policy::group),
    mapping("azurerm_firewall", kinds::FIREWALL, None, firewall::firewall),
    mapping("azurerm_ip_group", kinds::IP_GROUP, None, network::ip_group),
    mapping("azurerm_network_security_group", kinds::SECURITY_GROUP, None, network::security_group),
    mapping(
        "azurerm_network_security_rule",
        kinds::SECURITY_RULE,
        Some("network_security_group_name"),
        network::security_rule,
    ),
    mapping("azurerm_route_table", kinds::ROUTE_TABLE, None, network::route_table),
    mapping("azurerm_route", kinds::ROUTE, Some("route_table_name"), network::route),
    mapping("azurerm_virtual_network", kinds::NETWORK, None, network::network),
    mapping("azurerm_subnet", kinds::SUBNET, Some("virtual_network_name"), network::subnet),
    mapping("azurerm_virtual_network_peering", kinds::PEERING, Some("virtual_network_name"), around::peering),
    mapping("azurerm_application_security_group", kinds::ASG, None, around::bare),
    mapping("azurerm_network_interface", kinds::INTERFACE, None, around::interface),
    mapping("azurerm_public_ip", kinds::PUBLIC_ADDRESS, None, around::public_address),
    mapping("azurerm_virtual_network_gateway", kinds::NETWORK_GATEWAY, None, around::gateway),
    mapping("azurerm_local_network_gateway", kinds::LOCAL_GATEWAY, None, around::local_gateway),
    mapping("azurerm_virtual_network_gateway_connection", kinds::CONNECTION, None, around::connection),
    mapping("azurerm_private_dns_zone", kinds::DNS_ZONE, None, around::bare),
    mapping("azurerm_private_dns_a_record", kinds::DNS_RECORD, Some("zone_name"), around::dns_record),
    mapping(
        "azurerm_private_dns_zone_virtual_network_link",
        kinds::DNS_LINK,
        Some("private_dns_zone_name"),
        around::dns_link,
    ),
    mapping("azurerm_app_service_environment", kinds::ENVIRONMENT, None, around::environment_2),
    mapping("azurerm_app_service_environment_v3", kinds::ENVIRONMENT, None, around::environment_3),
    mapping("azurerm_app_service_plan", kinds::SERVER_FARM, None, around::plan),
    mapping("azurerm_service_plan", kinds::SERVER_FARM, None, around::plan),
];

/// What only adds to another resource: to which, by what attribute, and where.
const LINKS: &[(&str, &str, &str, &str)] = &[
    (
        "azurerm_subnet_network_security_group_association",
        "subnet_id",
        "network_security_group_id",
        "networkSecurityGroup",
    ),
    ("azurerm_subnet_route_table_association", "subnet_id", "route_table_id", "routeTable"),
    (
        "azurerm_network_interface_security_group_association",
        "network_interface_id",
        "network_security_group_id",
        "networkSecurityGroup",
    ),
];

fn is_read(instance: &Instance<'_>) -> bool {
    let kind = instance.kind;
    match kind {
        "azapi_resource" | "azapi_update_resource" => {
            azapi::kind(instance.values).is_some_and(|kind| kinds::use_of(kind) == Use::Read)
        }
        "azurerm_ip_group_cidr"
        | "azurerm_virtual_network_dns_servers"
        | "azurerm_network_interface_application_security_group_association" => true,
        _ => {
            MAPPINGS.iter().any(|mapping| mapping.kind == kind)
                || CLASSIC.iter().any(|classic| classic.kind == kind)
                || LINKS.iter().any(|(link, ..)| *link == kind)
        }
    }
}

/// Only applying the plan tells what azapi makes there.
fn is_of_unknown_type(instance: &Instance<'_>) -> bool {
    let is_azapi = ["azapi_resource", "azapi_update_resource"].contains(&instance.kind);
    is_azapi && azapi::kind(instance.values).is_none()
}

/// What stands beside a firewall in most plans.
fn is_irrelevant(kind: &str) -> bool {
    let starts = ["random_", "time_", "null_", "tls_", "local_", "terraform_", "modtm_", "azurerm_resource_group"];
    let beside = ["azurerm_public_ip", "azurerm_monitor_", "azurerm_log_analytics_", "azurerm_network_interface"];
    starts.iter().chain(&beside).any(|start| kind.starts_with(start)) || kind.ends_with("_virtual_machine")
}

/// The id it has, or one made up from its names, or from its address where those are not known either.
fn id_of(instance: &Instance<'_>) -> String {
    if let Some(id) = instance.value("id") {
        return id.to_owned();
    }
    let name = cut(instance.value("name").unwrap_or(&instance.address));
    let mapping = MAPPINGS.iter().find(|mapping| mapping.kind == instance.kind);
    let parent = mapping.and_then(|mapping| mapping.parent).and_then(|parent| instance.value(parent));
    if let Some(parent) = instance.value("parent_id").or(parent).filter(|parent| parent.contains("/providers/")) {
        let kind = mapping.map(|mapping| mapping.arm).or_else(|| azapi::kind(instance.values)).unwrap_or_default();
        let last = kind.rsplit('/').next().unwrap_or_default();
        return format!("{}/{last}/{name}", cut(parent));
    }
    let group = instance.value("resource_group_name").unwrap_or("unknown");
    let kind = mapping.map(|mapping| mapping.arm).or_else(|| azapi::kind(instance.values)).unwrap_or(instance.kind);
    let (outer, inner) = match kind.match_indices('/').nth(1) {
        Some((at, _)) => (&kind[..at], &kind[at + 1..]),
        None => (kind, ""),
    };
    match parent {
        Some(parent) if !inner.is_empty() => format!("{NOWHERE}/{group}/providers/{outer}/{parent}/{inner}/{name}"),
        _ => format!("{NOWHERE}/{group}/providers/{kind}/{name}"),
    }
}

/// Resources, and what is still to be added to them.
#[derive(Default)]
struct Made {
    resources: Vec<Resource>,
    /// Places of resources by their lower-case ids.
    by_id: HashMap<String, usize>,
    /// Places of firewalls by their lower-case names.
    firewalls: HashMap<String, usize>,
    patches: Vec<Patch>,
    unread: Unread,
}

struct Patch {
    id: Node,
    change: Change,
    instance: String,
}

enum Change {
    /// An item behind those of a list.
    Item(&'static str, Node),
    Member(&'static str, Node),
    /// Properties over those that are there.
    Merge(Node),
}

impl Change {
    /// What it is when there is nothing to change: what only links networks decides nothing.
    fn missed(&self) -> Severity {
        match self {
            Change::Member(..) => Severity::Warning,
            Change::Item(..) | Change::Merge(_) => Severity::Doubt,
        }
    }
}

impl Made {
    fn instance(&mut self, instance: &Instance<'_>, values: &Node, id: &str, out: &mut Gathered) {
        let Some(object) = values.object() else { return };
        if let Some(mapping) = MAPPINGS.iter().find(|mapping| mapping.kind == instance.kind) {
            return self.mapped(mapping, instance, values, object, id, out);
        }
        if let Some(classic) = CLASSIC.iter().find(|classic| classic.kind == instance.kind) {
            return self.classic(classic, instance, values, object);
        }
        if let Some((_, to, from, property)) = LINKS.iter().find(|(kind, ..)| *kind == instance.kind) {
            let change = object.get(from).map(|from| Change::Member(property, single("id", from.clone())));
            return self.link(object.get(to), change, instance, out);
        }
        match instance.kind {
            "azurerm_network_interface_application_security_group_association" => {
                let group = object.get("application_security_group_id");
                let group = group.map(|id| Change::Item("applicationSecurityGroups", single("id", id.clone())));
                self.link(object.get("network_interface_id"), group, instance, out);
            }
            "azurerm_virtual_network_dns_servers" => {
                let servers = object.get("dns_servers").map(|servers| single("dnsServers", servers.clone()));
                let change = servers.map(|servers| Change::Member("dhcpOptions", servers));
                self.link(object.get("virtual_network_id"), change, instance, out);
            }
            "azurerm_ip_group_cidr" => {
                let change = object.get("cidr").map(|cidr| Change::Item("ipAddresses", cidr.clone()));
                self.link(object.get("ip_group_id"), change, instance, out);
            }
            _ => self.azapi(instance, values, object, id, out),
        }
    }

    /// Both of what it links have to be told.
    fn link(&mut self, to: Option<&Node>, change: Option<Change>, instance: &Instance<'_>, out: &mut Gathered) {
        match to.cloned().zip(change) {
            Some((id, change)) => self.patches.push(Patch { id, change, instance: instance.address.clone() }),
            None => {
                let is_network = LINKS.iter().any(|(kind, ..)| *kind == instance.kind);
                let severity = if is_network { Severity::Warning } else { Severity::Doubt };
                let what = format!("{} does not say what it links, and is left out", instance.address);
                out.note(severity, instance.at, what);
            }
        }
    }

    fn mapped(
        &mut self,
        mapping: &Mapping,
        instance: &Instance<'_>,
        values: &Node,
        object: &Object,
        id: &str,
        out: &mut Gathered,
    ) {
        let own = name_of(instance, object, values, out);
        let parent = mapping.parent.map(|attribute| parent_of(object.get(attribute), instance, attribute, out));
        let name = match parent.flatten() {
            Some(parent) => text(&format!("{}/{own}", cut(&parent)), values.at),
            None => text(&own, values.at),
        };
        let properties = (mapping.properties)(values, object, &mut self.unread);
        let told = mapping.parent.and_then(|attribute| object.get(attribute)).and_then(Node::text);
        let own_id = match told.filter(|parent| mapping.arm == kinds::GROUP && parent.contains("/providers/")) {
            Some(parent) => format!("{}/ruleCollectionGroups/{}", cut(parent), cut(&own)),
            None => id.to_owned(),
        };
        let names = ["location", "tags", "zones", "identity"];
        let rest = object.iter().filter(|(key, _)| names.contains(&&*key.name)).cloned().collect();
        let resource = Resource {
            kind: mapping.arm.to_owned(),
            name,
            id: Some(text(&own_id, values.at)),
            properties,
            rest: Object(rest),
            at: instance.at,
        };
        if resource.is(kinds::FIREWALL) {
            self.firewalls.insert(own.to_ascii_lowercase(), self.resources.len());
        }
        self.add(resource, id);
    }

    fn add(&mut self, resource: Resource, id: &str) {
        self.by_id.insert(id.to_ascii_lowercase(), self.resources.len());
        self.resources.push(resource);
    }

    /// A collection goes to the firewall of its name, which may be one that this plan does not hold.
    fn classic(&mut self, classic: &Classic, instance: &Instance<'_>, values: &Node, object: &Object) {
        let own: Arc<str> = instance.value("name").unwrap_or(&instance.address).into();
        let collection = classic.collection(values, object, own, &mut self.unread);
        let firewall = object.get("azure_firewall_name").and_then(Node::text).unwrap_or("unknown").to_owned();
        let place = match self.firewalls.get(&firewall.to_ascii_lowercase()) {
            Some(place) => *place,
            None => self.firewall(&firewall, instance, values),
        };
        let id = self.resources[place].id.clone().unwrap_or_else(|| text("", values.at));
        let change = Change::Item(classic.list, collection);
        self.patches.push(Patch { id, change, instance: instance.address.clone() });
    }

    fn firewall(&mut self, name: &str, instance: &Instance<'_>, values: &Node) -> usize {
        let place = self.resources.len();
        let group = instance.value("resource_group_name").unwrap_or("unknown");
        let id = format!("{NOWHERE}/{group}/providers/{}/{name}", kinds::FIREWALL);
        self.firewalls.insert(name.to_ascii_lowercase(), place);
        let resource = Resource {
            kind: kinds::FIREWALL.to_owned(),
            name: text(name, values.at),
            id: Some(text(&id, values.at)),
            properties: members(Vec::new(), values.at),
            rest: Object::default(),
            at: instance.at,
        };
        self.add(resource, &id);
        place
    }

    fn azapi(&mut self, instance: &Instance<'_>, values: &Node, object: &Object, id: &str, out: &mut Gathered) {
        let Some(kind) = azapi::kind(values).map(str::to_owned) else { return };
        let Some(body) = azapi::body(object) else {
            let what = format!("{}: its body is neither an object nor JSON", instance.address);
            return out.note(Severity::Error, values.at, what);
        };
        let properties = match body.get("properties") {
            Some(properties) => properties.clone(),
            None if matches!(body.value, Value::Unknown(_)) => body.clone(),
            None => members(Vec::new(), body.at),
        };
        if instance.kind == "azapi_update_resource" {
            let id = object.get("resource_id").cloned().unwrap_or_else(|| text(id, values.at));
            let change = Change::Merge(properties);
            return self.patches.push(Patch { id, change, instance: instance.address.clone() });
        }
        let own = name_of(instance, object, values, out);
        let nested = kind.matches('/').count() > 1;
        let parent = nested.then(|| parent_of(object.get("parent_id"), instance, "parent_id", out)).flatten();
        let name = parent.map_or_else(|| own.clone(), |parent| format!("{}/{own}", cut(&parent)));
        let rest =
            body.object().map(|body| body.iter().filter(|(key, _)| !key.name.eq_ignore_ascii_case("properties")));
        let rest = Object(rest.into_iter().flatten().cloned().collect());
        let (name, id_node) = (text(&name, values.at), text(id, values.at));
        self.add(Resource { kind, name, id: Some(id_node), properties, rest, at: instance.at }, id);
    }

    fn finish(mut self, out: &mut Gathered) {
        for patch in std::mem::take(&mut self.patches) {
            self.patch(patch, out);
        }
        for (attribute, at) in self.unread {
            out.note(Severity::Info, at, format!("{attribute} is not read"));
        }
        for resource in self.resources {
            nest::add(resource, &Object::default(), out);
        }
    }

    fn patch(&mut self, patch: Patch, out: &mut Gathered) {
        let Patch { id, change, instance } = patch;
        let place = id.text().and_then(|id| self.by_id.get(&id.to_ascii_lowercase()));
        let Some(resource) = place.and_then(|place| self.resources.get_mut(*place)) else {
            let what = format!("{instance} changes a resource that is not in this file, and is left out");
            return out.notes.push(Note::new(change.missed(), id.at, what));
        };
        let Some(properties) = object_mut(&mut resource.properties) else { return };
        match change {
            Change::Member(name, node) => set(properties, name, node),
            Change::Merge(node) => merge(properties, node),
            Change::Item(name, item) => add_item(properties, name, item),
        }
    }
}

/// What is there and no list is an item too: one that is not known stays beside the new one.
fn add_item(properties: &mut Object, name: &str, item: Node) {
    match get_mut(properties, name) {
        Some(node) if node.value != Value::Null => match list_mut(node) {
            Some(items) => items.push(item),
            None => *node = list(vec![node.clone(), item], node.at),
        },
        _ => {
            let at = item.at;
            set(properties, name, list(vec![item], at));
        }
    }
}

/// What is updated replaces what is there, object by object.
fn merge(into: &mut Object, from: Node) {
    let Value::Object(from) = from.value else { return };
    for (key, node) in from.0 {
        match get_mut(into, &key.name).and_then(object_mut) {
            Some(inner) if node.object().is_some() => merge(inner, node),
            _ => into.0.push((key, node)),
        }
    }
}

/// What it is called; by its address where Terraform will know that only later.
fn name_of(instance: &Instance<'_>, object: &Object, values: &Node, out: &mut Gathered) -> String {
    if let Some(name) = object.get("name").and_then(Node::text) {
        return name.to_owned();
    }
    let what = format!("the name of {} is not known yet: it is called by its address here", instance.address);
    out.note(Severity::Info, values.at, what);
    instance.address.clone()
}

/// The names of what a child stands in, by its name or its id.
fn parent_of(told: Option<&Node>, instance: &Instance<'_>, attribute: &str, out: &mut Gathered) -> Option<String> {
    match told.and_then(Node::text) {
        Some(id) if id.contains("/providers/") => kinds::of_id(id).map(|(_, names)| names.join("/")),
        Some(name) => Some(name.to_owned()),
        None => {
            let what = format!("{}: {attribute} is not known, so it stands alone", instance.address);
            out.note(Severity::Warning, instance.at, what);
            None
        }
    }
}
