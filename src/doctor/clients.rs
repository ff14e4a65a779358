//! The way back to the clients of apps (`RT-APP-REPLY`, `RT-APPGW`).

use crate::flow::AddrClass;
use crate::policy::AddressRange;
use crate::vnet::{Change, Hop, NextHop, RouteDestination, Selection};

use super::Patient;
use super::finding::{Coverage, Finding, Outcome, Rule};
use super::premises::cut_off;
use super::ways::{self, Stretch, Ways};
use super::words::some;

pub(super) fn replies(rule: &'static Rule, patient: &Patient<'_>) -> Outcome {
    let ways = Ways::of(patient);
    if patient.environment.load_balancing.is_internal() {
        inside(rule, patient, &ways)
    } else if patient.environment.client_ranges.is_empty() {
        anywhere(rule, patient, &ways)
    } else {
        outside(rule, patient, &ways)
    }
}

/// Clients of an External environment that may be anywhere: their replies go the way of the Internet at large.
fn anywhere(rule: &'static Rule, patient: &Patient<'_>, ways: &Ways<'_>) -> Outcome {
    if patient.environment.application_gateway.is_some() {
        return Outcome::not_applicable("clients come by the Application Gateway");
    }
    let Some(way) = ways.outside().filter(|way| is_asymmetric(&way.route.next_hop)) else { return Outcome::Passed };
    let what = format!(
        "clients come by the public VIP from anywhere, and replies to them leave by {}: no connection to an app comes about",
        &way.route.next_hop
    );
    let finding = Finding::new(rule, patient.environment.at, &patient.environment.name, what);
    Outcome::Found(vec![finding.because(ways::shown(&way), way.route.at).by_hand(
        "say where clients are (client_ranges) and route each range to the Internet, or put an Application Gateway in \
         front and route its one address",
    )])
}

/// A default route that drops everything is `RT-DEFAULT`'s.
fn is_asymmetric(hop: &Hop) -> bool {
    matches!(hop, Hop::VirtualAppliance(_) | Hop::VirtualNetworkGateway)
}

fn outside(rule: &'static Rule, patient: &Patient<'_>, ways: &Ways<'_>) -> Outcome {
    let public = |range: &&AddressRange| AddrClass::of(range.first()) != AddrClass::Private;
    let ranges = patient.environment.client_ranges.iter().filter(public);
    let mut finding = None;
    let mut routes = Vec::new();
    for range in ranges {
        let astray = astray(ways, *range, |stretch| is_asymmetric(stretch.hop()));
        if let Some(way) = astray {
            finding = Some(add(finding, rule, patient, *range, &way));
            routes
                .extend(range.nets().into_iter().map(|net| (name(net), RouteDestination::Net(net), NextHop::Internet)));
        }
    }
    told(patient, finding, routes, Vec::new())
}

/// Clients of an internal load balancer are in the network, in a peer of it or behind a gateway.
fn inside(rule: &'static Rule, patient: &Patient<'_>, ways: &Ways<'_>) -> Outcome {
    let (mut finding, mut routes, mut removed) = (None, Vec::new(), Vec::new());
    let cut_off = cut_off(patient);
    let private = |range: &&AddressRange| AddrClass::of(range.first()) == AddrClass::Private;
    for range in patient.environment.client_ranges.iter().filter(private) {
        let known = |stretch: &Stretch<'_>| cut_off.iter().any(|net| net.contains(&stretch.range.first()));
        let own = |stretch: &Stretch<'_>| patient.network.subnet(patient.place).contains(stretch.range.first());
        let lost = |stretch: &Stretch<'_>| is_lost(stretch) || is_one_way(patient, stretch);
        let Some(way) = astray(ways, *range, |stretch| lost(stretch) && !known(stretch) && !own(stretch)) else {
            continue;
        };
        finding = Some(add(finding, rule, patient, *range, &way));
        if let Some(change) = away(&way) {
            removed.push(change);
        } else if is_local(patient, *range) {
            routes.extend(
                range.nets().into_iter().map(|net| (name(net), RouteDestination::Net(net), NextHop::VnetLocal)),
            );
        } else if ways::gateway(patient).is_some() {
            let nets = range.nets().into_iter();
            routes.extend(nets.map(|net| (name(net), RouteDestination::Net(net), NextHop::VirtualNetworkGateway)));
        }
    }
    told(patient, finding, routes, removed)
}

/// A route of its own that leads clients of the network to an appliance is one too many.
fn away(way: &Selection<'_>) -> Option<Change> {
    let leads = matches!(way.route.next_hop, Hop::VirtualAppliance(_)) && way.prefix.prefix_len() > 0;
    let table = way.route.route_table.clone().filter(|_| leads)?;
    Some(Change::RemoveRoute { table, route: way.route.name.clone() })
}

fn is_local(patient: &Patient<'_>, range: AddressRange) -> bool {
    let spaces = &patient.network.virtual_network(patient.place).address_space;
    spaces.iter().any(|net| net.contains(&range.first()) && net.contains(&range.last()))
}

/// What a route of its own leads to an appliance came by it too, as far as anybody can tell.
fn is_lost(stretch: &Stretch<'_>) -> bool {
    match stretch.hop() {
        Hop::VnetLocal | Hop::VnetPeering(_) | Hop::VnetGlobalPeering(_) | Hop::VirtualNetworkGateway => false,
        Hop::VirtualAppliance(_) => stretch.way.prefix.prefix_len() == 0,
        Hop::VirtualNetworkServiceEndpoint(_) | Hop::InterfaceEndpoint => false,
        Hop::Internet | Hop::None => true,
    }
}

/// Clients of a subnet of the same network come straight, unless its own routes lead them by the appliance too.
fn is_one_way(patient: &Patient<'_>, stretch: &Stretch<'_>) -> bool {
    let Hop::VirtualAppliance(appliance) = stretch.hop() else { return false };
    let Some(own) = patient.own_nets().next() else { return false };
    let near = patient.network.virtual_network(patient.place);
    let others = patient.network.places().filter(|place| {
        let subnet = patient.network.subnet(*place);
        *place != patient.place
            && patient.network.virtual_network(*place).name == near.name
            && !subnet.contains(*appliance)
            && subnet.prefixes.iter().any(|net| stretch.range.contains(net.network()))
    });
    let mut hops = others.filter_map(|place| patient.network.route(place, own.network()));
    hops.any(|way| way.route.next_hop == Hop::VnetLocal)
}

fn astray<'a>(ways: &Ways<'a>, range: AddressRange, is_wrong: impl Fn(&Stretch<'a>) -> bool) -> Option<Selection<'a>> {
    ways.stretches(range).into_iter().find(is_wrong).map(|stretch| stretch.way)
}

fn add(
    finding: Option<Finding>,
    rule: &'static Rule,
    patient: &Patient<'_>,
    range: AddressRange,
    way: &Selection<'_>,
) -> Finding {
    let environment = patient.environment;
    let finding = finding.unwrap_or_else(|| Finding::new(rule, environment.at, &environment.name, String::new()));
    finding.covers(Coverage::Missing, range.to_string()).because(ways::shown(way), way.route.at)
}

fn told(
    patient: &Patient<'_>,
    finding: Option<Finding>,
    routes: Vec<(String, RouteDestination, NextHop)>,
    removed: Vec<Change>,
) -> Outcome {
    let Some(finding) = finding else { return Outcome::Passed };
    let ranges = finding.evidence.iter().filter(|it| it.coverage.is_some()).map(|it| it.what.as_str());
    let what = format!("replies to clients in {} do not go back the way they came", some(ranges));
    let finding = Finding { what, ..finding };
    let finding = if routes.is_empty() && removed.is_empty() {
        finding.by_hand("connect the network of the clients: a peering, or a gateway that knows the way to them")
    } else {
        let added = if routes.is_empty() { Vec::new() } else { ways::add_routes(patient, routes) };
        removed.into_iter().chain(added).fold(finding, Finding::mend)
    };
    Outcome::Found(vec![finding])
}

fn name(net: ipnet::IpNet) -> String {
    format!("clients-{}-{}", net.addr(), net.prefix_len())
}

/// The one address that stands for all clients.
pub(super) fn application_gateway(rule: &'static Rule, patient: &Patient<'_>) -> Outcome {
    let Some(range) = patient.environment.application_gateway else {
        return Outcome::not_applicable("no Application Gateway in front");
    };
    let ways = Ways::of(patient);
    let Some(way) = astray(&ways, range, |stretch| !is_direct(stretch)) else { return Outcome::Passed };
    let what =
        format!("replies to the Application Gateway at {range} leave by {}, not straight to it", &way.route.next_hop);
    let finding = Finding::new(rule, patient.environment.at, &patient.environment.name, what);
    let finding = finding.because(ways::shown(&way), way.route.at);
    Outcome::Found(vec![straighten(patient, range, &way).into_iter().fold(finding, Finding::mend)])
}

fn is_direct(stretch: &Stretch<'_>) -> bool {
    matches!(stretch.hop(), Hop::VnetLocal | Hop::VnetPeering(_) | Hop::VnetGlobalPeering(_) | Hop::Internet)
}

/// A route as wide as the gateway's addresses, or the removal of one that is as narrow.
fn straighten(patient: &Patient<'_>, range: AddressRange, way: &Selection<'_>) -> Vec<Change> {
    let nets = range.nets();
    let narrower = nets.iter().any(|net| net.prefix_len() <= way.prefix.prefix_len());
    if let Some(remove) = ways::remove_route(way).filter(|_| narrower) {
        return vec![remove];
    }
    let local = AddrClass::of(range.first()) == AddrClass::Private;
    let hop = if local { NextHop::VnetLocal } else { NextHop::Internet };
    let route = |net: ipnet::IpNet| (format!("application-gateway-{}", net.addr()), RouteDestination::Net(net), hop);
    ways::add_routes(patient, nets.into_iter().map(route).collect())
}
