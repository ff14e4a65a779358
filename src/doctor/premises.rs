//! One's own premises behind a gateway (`RT-BGP-SPECIFIC`, `RT-BGP-OFF`).

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::flow::AddrClass;
use crate::policy::AddressRange;
use crate::vnet::recipe::MOST_ROUTES;
use crate::vnet::{Change, Hop, NextHop, RouteDestination, RouteSource, Selection};

use super::Patient;
use super::finding::{Coverage, Finding, Outcome, Rule};
use super::ways::{self, Ways};
use super::words::{count, some};

/// Of Azure's public ranges those that an environment needs and whose prefixes are at hand.
const AZURE: [&str; 8] = [
    "AppServiceManagement",
    "AzureActiveDirectory",
    "AzureKeyVault",
    "AzureMonitor",
    "AzureResourceManager",
    "EventHub",
    "Sql",
    "Storage",
];

/// What one advertised prefix takes away.
struct Theft<'a> {
    way: Selection<'a>,
    /// Prefixes by service tag.
    taken: BTreeMap<&'static str, usize>,
}

/// Routes of BGP that beat the user-defined ones because they are narrower.
pub(super) fn specific(rule: &'static Rule, patient: &Patient<'_>) -> Outcome {
    let Some(gateway) = ways::gateway(patient) else { return Outcome::not_applicable("there is no gateway") };
    let thefts = thefts(patient);
    if thefts.is_empty() {
        return Outcome::Passed;
    }
    let prefixes: Vec<String> = thefts.iter().map(|theft| theft.way.prefix.to_string()).collect();
    let what = format!(
        "{} advertises {} by BGP, narrower than the routes that lead Azure's own ranges elsewhere: what is for them goes \
         to one's own premises",
        gateway.name,
        some(prefixes),
    );
    let mut finding = Finding::new(rule, gateway.at, &gateway.name, what);
    for theft in &thefts {
        finding = finding.covers(Coverage::Missing, theft.text());
    }
    let finding = mend(patient, &thefts).into_iter().fold(finding, Finding::mend);
    Outcome::Found(vec![finding.by_hand(
        "stop the advertisement of routes from the public peering on the private peering: environments are not supported \
         with it",
    )])
}

fn thefts<'a>(patient: &Patient<'a>) -> Vec<Theft<'a>> {
    let routes = patient.network.effective_routes(patient.place).iter();
    let by_bgp = routes.filter(|route| route.source == RouteSource::VirtualNetworkGateway);
    let nets: Vec<IpNet> = by_bgp.flat_map(|route| &route.prefixes).copied().filter(is_public).collect();
    if nets.is_empty() {
        return Vec::new();
    }
    let ways = Ways::of(patient);
    let mut thefts: BTreeMap<IpNet, Theft<'_>> = BTreeMap::new();
    for tag in AZURE {
        let ranges = patient.network.tags().published(tag);
        let near =
            ranges.iter().flat_map(|ranges| ranges.iter()).filter(|range| nets.iter().any(|net| overlap(net, range)));
        for way in near.filter_map(|range| stolen(&ways, *range)) {
            let theft = thefts.entry(way.prefix).or_insert_with(|| Theft { way, taken: BTreeMap::new() });
            *theft.taken.entry(tag).or_default() += 1;
        }
    }
    thefts.into_values().collect()
}

/// The route of BGP that takes a range, or part of it, away from another way than that through the gateway.
fn stolen<'a>(ways: &Ways<'a>, range: AddressRange) -> Option<Selection<'a>> {
    let taken = ways.stretches(range).into_iter().filter(|stretch| stretch.is_by_specific_bgp());
    let elsewhere =
        |way: &Selection<'_>| way.beaten.first().is_some_and(|(route, _)| route.next_hop != Hop::VirtualNetworkGateway);
    taken.map(|stretch| stretch.way).find(elsewhere)
}

/// Narrower than everything, and no network of one's own.
fn is_public(net: &IpNet) -> bool {
    net.prefix_len() > 0 && net.addr().is_ipv4() && AddrClass::of(net.network()) != AddrClass::Private
}

fn overlap(net: &IpNet, range: &AddressRange) -> bool {
    net.network() <= range.last() && range.first() <= net.broadcast() && range.first().is_ipv4()
}

impl Theft<'_> {
    fn text(&self) -> String {
        let taken = self.taken.iter().map(|(tag, number)| format!("{} of {tag}", count(*number, "prefix")));
        format!("{}: it takes {}", ways::shown(&self.way), some(taken))
    }
}

/// A user-defined route for the very prefix beats that of BGP: it leads where the beaten one leads.
fn mend(patient: &Patient<'_>, thefts: &[Theft<'_>]) -> Vec<Change> {
    let table = patient.network.route_table_of(patient.place);
    if table.map_or(0, |table| table.routes.len()) + thefts.len() > MOST_ROUTES {
        return Vec::new();
    }
    let back = |theft: &Theft<'_>| {
        let next_hop = match theft.way.beaten.first().map(|(route, _)| &route.next_hop) {
            Some(Hop::VirtualAppliance(address)) => NextHop::VirtualAppliance(*address),
            _ => NextHop::Internet,
        };
        let net = theft.way.prefix;
        (format!("azure-{}-{}", net.addr(), net.prefix_len()), RouteDestination::Net(net), next_hop)
    };
    ways::add_routes(patient, thefts.iter().map(back).collect())
}

/// Routes of BGP are ignored, and nothing stands in for those of one's own premises.
pub(super) fn ignored(rule: &'static Rule, patient: &Patient<'_>) -> Outcome {
    let table = patient.network.route_table_of(patient.place).filter(|table| table.disable_bgp_route_propagation);
    let Some(table) = table else { return Outcome::not_applicable("routes of BGP are not ignored") };
    let cut_off = cut_off(patient);
    if cut_off.is_empty() {
        return Outcome::Passed;
    }
    let what = format!(
        "{} ignores routes of BGP, and no route of its own leads to {}: {} of one's own premises cannot be reached",
        table.name,
        some(&cut_off),
        count(cut_off.len(), "network"),
    );
    let mut finding = Finding::new(rule, table.at, &table.name, what);
    for net in &cut_off {
        finding = finding.covers(Coverage::Missing, net.to_string());
    }
    let route = |net: &IpNet| {
        let name = format!("premises-{}-{}", net.addr(), net.prefix_len());
        (name, RouteDestination::Net(*net), NextHop::VirtualNetworkGateway)
    };
    let mend = ways::add_routes(patient, cut_off.iter().map(route).collect());
    Outcome::Found(vec![mend.into_iter().fold(finding, Finding::mend)])
}

/// The networks behind the gateway that are left to the default route, or to none, because routes of BGP are ignored.
pub(super) fn cut_off(patient: &Patient<'_>) -> Vec<IpNet> {
    let table = patient.network.route_table_of(patient.place);
    if !table.is_some_and(|table| table.disable_bgp_route_propagation) {
        return Vec::new();
    }
    let ways = Ways::of(patient);
    let behind = ways::gateway(patient).into_iter().flat_map(|gateway| &gateway.routes);
    let private = behind.filter(|net| AddrClass::of(net.network()) == AddrClass::Private);
    private.filter(|net| !is_led(&ways, net)).copied().collect()
}

/// Is all of it?
fn is_led(ways: &Ways<'_>, net: &IpNet) -> bool {
    let range = AddressRange::between(net.network(), net.broadcast());
    let stretches = range.into_iter().flat_map(|range| ways.stretches(range));
    ways.to(net.network()).is_some() && stretches.into_iter().all(|stretch| leads(&stretch.way))
}

/// To the gateway, or on purpose to an appliance that knows the way.
fn leads(way: &Selection<'_>) -> bool {
    match way.route.next_hop {
        Hop::VirtualNetworkGateway => true,
        Hop::VirtualAppliance(_) => way.prefix.prefix_len() > 0,
        Hop::VnetLocal | Hop::VnetPeering(_) | Hop::VnetGlobalPeering(_) | Hop::InterfaceEndpoint => true,
        Hop::Internet | Hop::None | Hop::VirtualNetworkServiceEndpoint(_) => false,
    }
}
