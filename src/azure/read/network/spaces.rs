//! Virtual networks, subnets, peerings and gateways.

use std::collections::hash_map::Entry;

use super::named::Surroundings;
use super::values::{addresses, nets, referred, subnet_of};
use super::{Notes, Subject, Whole, each, unread};
use crate::azure::json::Node;
use crate::azure::note::{Note, Severity};
use crate::azure::read::notes::shown;
use crate::azure::read::words::Words;
use crate::policy::Spot;
use crate::vnet::{Gateway, GatewayKind, Peering, ResourceKind, Subnet};

const GATEWAYS: Words<GatewayKind> =
    &[("Vpn", GatewayKind::Vpn), ("ExpressRoute", GatewayKind::ExpressRoute), ("LocalGateway", GatewayKind::Vpn)];

/// Its subnets and peerings are resources of their own.
pub(super) fn network(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let space = notes.object(&whole.subject, "addressSpace").map(|space| nets(&space, &["addressPrefixes"], notes));
    let dns = notes.object(&whole.subject, "dhcpOptions").map(|dns| addresses(&dns, "dnsServers", notes));
    let own = network.virtual_networks.of(&whole.name, whole.resource.at);
    space.into_iter().for_each(|space| own.address_space = space);
    dns.into_iter().for_each(|servers| own.dns_servers = servers);
    own.at = whole.resource.at;
}

pub(super) fn subnet(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    unread::keep(whole, ResourceKind::Subnet, network);
    let subnet = read_subnet(&whole.subject, whole.leaf(), notes);
    add_subnet(network, whole.parent(), whole.resource.at, subnet);
}

/// A subnet may be written in its network and as a resource of its own: the later one counts.
fn add_subnet(network: &mut Surroundings, vnet: &str, at: Spot, subnet: Subnet) {
    let (place, vnet) = network.virtual_networks.find_or_add(vnet, at);
    match network.subnets.entry((place, subnet.name.to_ascii_lowercase())) {
        Entry::Occupied(known) => vnet.subnets[*known.get()] = subnet,
        Entry::Vacant(free) => {
            free.insert(vnet.subnets.len());
            vnet.subnets.push(subnet);
        }
    }
}

fn read_subnet(subnet: &Subject<'_>, name: String, notes: &mut Notes) -> Subnet {
    let of_list = |key: &str, inner: fn(&Node) -> Option<&Node>| -> Vec<String> {
        let items = subnet.get(key).and_then(Node::list).unwrap_or_default();
        items.iter().filter_map(inner).map(shown).filter(|text| !text.is_empty()).collect()
    };
    let mut prefixes = nets(subnet, &["addressPrefix", "addressPrefixes"], notes);
    prefixes.dedup();
    Subnet {
        name,
        prefixes,
        security_group: referred(subnet, "networkSecurityGroup"),
        route_table: referred(subnet, "routeTable"),
        service_endpoints: of_list("serviceEndpoints", |node| Some(node.get("service").unwrap_or(node))),
        delegations: of_list("delegations", |node| node.get("properties").unwrap_or(node).get("serviceName")),
        occupants: Vec::new(),
        at: subnet.at,
    }
}

pub(super) fn peering(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let subject = &whole.subject;
    let space = ["remoteAddressSpace", "remoteVirtualNetworkAddressSpace"];
    let space = space.iter().find_map(|key| notes.object(subject, key));
    let mut flag = |key: &str, usual: bool| notes.flag(subject, key).unwrap_or(usual);
    let peering = Peering {
        name: whole.leaf(),
        remote: referred(subject, "remoteVirtualNetwork").unwrap_or_default(),
        remote_space: Vec::new(),
        global: false,
        allow_virtual_network_access: flag("allowVirtualNetworkAccess", true),
        allow_forwarded_traffic: flag("allowForwardedTraffic", false),
        allow_gateway_transit: flag("allowGatewayTransit", false),
        use_remote_gateways: flag("useRemoteGateways", false),
        at: whole.resource.at,
    };
    if peering.remote.is_empty() {
        return notes.missing("remoteVirtualNetwork", subject, "every peering names the other network");
    }
    let remote_space = space.map(|space| nets(&space, &["addressPrefixes"], notes)).unwrap_or_default();
    let state =
        notes.text(subject, "peeringState").map(|item| item.text).filter(|it| !it.eq_ignore_ascii_case("Connected"));
    let own = network.virtual_networks.of(whole.parent(), whole.resource.at);
    own.peerings.retain(|known| !known.name.eq_ignore_ascii_case(&peering.name));
    // Nothing crosses it, whatever it allows; as who made it meant it to be, it has no state yet.
    if let Some(state) = state {
        let what = format!("the peering `{}` is {state}: nothing crosses it", peering.name);
        return notes
            .push(Note::new(Severity::Warning, whole.resource.at, what).mend("make its other half, or both anew"));
    }
    own.peerings.push(Peering { remote_space, ..peering });
}

/// What it advertises is told by local gateways, or known to Azure only.
pub(super) fn gateway(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let kind = notes.word(&whole.subject, "gatewayType", GATEWAYS).unwrap_or_default();
    let configurations = each(&whole.subject, "ipConfigurations", notes);
    let place = configurations.iter().find_map(|it| it.get("subnet")).and_then(subnet_of);
    let Some((of, _)) = place else {
        return notes.missing("subnet", &whole.subject, "a gateway is in the `GatewaySubnet` of a network");
    };
    let gateway = Gateway { name: whole.name.clone(), kind, at: whole.resource.at, ..Gateway::default() };
    network.gateways.retain(|(_, known)| !known.name.eq_ignore_ascii_case(&gateway.name));
    network.gateways.push((of, gateway));
}

pub(super) fn local_gateway(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let space = notes.object(&whole.subject, "localNetworkAddressSpace");
    let prefixes = space.map(|space| nets(&space, &["addressPrefixes"], notes)).unwrap_or_default();
    let name = whole.name.to_ascii_lowercase();
    network.local.retain(|(known, _)| *known != name);
    network.local.push((name, prefixes));
}

pub(super) fn connection(whole: &Whole<'_>, network: &mut Surroundings, _: &mut Notes) {
    let end = |key: &str| referred(&whole.subject, key).map(|name| name.to_ascii_lowercase());
    network.connections.extend(end("virtualNetworkGateway1").zip(end("localNetworkGateway2")));
}
