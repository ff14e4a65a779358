//! What files say of resources and no field of a topology holds: kept as it is, so that a resource can be written whole.

use super::named::Surroundings;
use super::{Notes, Whole};
use crate::azure::json::{Node, Value};
use crate::azure::note::{Note, Severity};
use crate::azure::read::compact::{compact, says_something};
use crate::azure::read::notes::shown;
use crate::vnet::{ResourceKind, Topology, Unread};

/// Properties that are read into a field of their own, or that Azure makes itself.
fn is_read(kind: ResourceKind) -> &'static [&'static str] {
    match kind {
        ResourceKind::SecurityGroup => {
            &["securityRules", "defaultSecurityRules", "subnets", "networkInterfaces", "flowLogs"]
        }
        ResourceKind::SecurityRule => &[
            "priority",
            "direction",
            "access",
            "protocol",
            "sourceAddressPrefix",
            "sourceAddressPrefixes",
            "sourcePortRange",
            "sourcePortRanges",
            "sourceApplicationSecurityGroups",
            "destinationAddressPrefix",
            "destinationAddressPrefixes",
            "destinationPortRange",
            "destinationPortRanges",
            "destinationApplicationSecurityGroups",
        ],
        ResourceKind::RouteTable => &["routes", "subnets", "disableBgpRoutePropagation"],
        ResourceKind::Route => &["addressPrefix", "nextHopType", "nextHopIpAddress", "hasBgpOverride"],
        ResourceKind::Subnet => &[
            "addressPrefix",
            "addressPrefixes",
            "networkSecurityGroup",
            "routeTable",
            "serviceEndpoints",
            "delegations",
            "ipConfigurations",
            "ipConfigurationProfiles",
            "resourceNavigationLinks",
            "serviceAssociationLinks",
            "purpose",
        ],
    }
}

/// What Azure says of every resource.
const OF_ALL: [&str; 7] = ["provisioningState", "resourceGuid", "etag", "id", "name", "type", "resourceGroup"];

/// Of a resource that is read a second time the later counts.
pub(super) fn keep(whole: &Whole<'_>, kind: ResourceKind, network: &mut Surroundings) {
    let resource = whole.name.clone();
    network.unread.retain(|known| known.of != kind || !known.resource.eq_ignore_ascii_case(&resource));
    let mut add = |property: String, node: &Node| {
        let value = is_known(node).then(|| compact(node));
        network.unread.push(Unread { of: kind, resource: resource.clone(), property, value });
    };
    if let Some(tags) = whole.resource.rest.get("tags").filter(|node| says_something(node)) {
        add("tags".to_owned(), tags);
    }
    let is_in = |name: &str, names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    for (key, node) in whole.subject.object.iter() {
        let is_own = !is_in(&key.name, is_read(kind)) && !is_in(&key.name, &OF_ALL);
        if is_own && is_set(&key.name, node) {
            add(key.name.to_string(), node);
        }
    }
    for (service, locations) in endpoint_locations(whole, kind) {
        add(Unread::locations(&service), locations);
    }
}

/// A flag that is off says something where Azure has it on.
fn is_set(name: &str, node: &Node) -> bool {
    says_something(node)
        || (name.eq_ignore_ascii_case("defaultOutboundAccess") && matches!(node.value, Value::Bool(false)))
}

fn endpoint_locations<'w>(whole: &'w Whole<'_>, kind: ResourceKind) -> Vec<(String, &'w Node)> {
    if kind != ResourceKind::Subnet {
        return Vec::new();
    }
    let items = whole.subject.get("serviceEndpoints").and_then(Node::list).unwrap_or_default();
    let of =
        |item: &'w Node| Some((shown(item.get("service")?), item.get("locations").filter(|it| says_something(it))?));
    items.iter().filter_map(of).collect()
}

fn is_known(node: &Node) -> bool {
    match &node.value {
        Value::Unknown(_) => false,
        Value::List(items) => items.iter().all(is_known),
        Value::Object(object) => object.iter().all(|(_, value)| is_known(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => true,
    }
}

/// Properties of subnets that change what becomes of a flow, and are not emulated.
const NOT_EMULATED: [(&str, &str); 3] = [
    (
        "natGateway",
        "what leaves to the Internet has the address of the NAT gateway there, and is shown with another here",
    ),
    ("privateEndpoints", "they are no addresses here: what is for them goes as any other of the subnet"),
    (
        "defaultOutboundAccess",
        "without a NAT gateway, a public address or a firewall nothing leaves to the Internet there",
    ),
];

pub(super) fn report(topology: &Topology, notes: &mut Notes) {
    for Unread { of, resource, property, value: _ } in &topology.unread {
        let known = NOT_EMULATED.iter().find(|(name, _)| name.eq_ignore_ascii_case(property));
        let Some((_, why)) = known.filter(|_| *of == ResourceKind::Subnet) else { continue };
        let (network, subnet) = resource.rsplit_once('/').unwrap_or(("", resource));
        let at = topology.virtual_network(network).and_then(|it| it.subnet(subnet)).map(|it| it.at).unwrap_or_default();
        let what = format!("subnet `{resource}`: `{property}` is read, not emulated: {why}");
        notes.push(Note::new(Severity::Warning, at, what).check("not-emulated"));
    }
}
