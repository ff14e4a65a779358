//! The services that an environment reaches by service endpoints (`RT-SQL`, `RT-SE`, `RT-SE-SQLALL`).

use std::net::IpAddr;

use crate::flow::{Host, HostName, Protocol};
use crate::policy::AddressRange;
use crate::vnet::{Change, Cloud, Hop, NextHop, RouteDestination, Selection};

use super::Patient;
use super::beyond;
use super::finding::{Coverage, Finding, Outcome, Rule};
use super::gate::Gate;
use super::ways::{self, Ways, is_by_specific_bgp};
use super::words::some;

pub(super) const SQL: &str = "Microsoft.Sql";
pub(super) const STORAGE: &str = "Microsoft.Storage";
pub(super) const EVENT_HUB: &str = "Microsoft.EventHub";
pub(super) const KEY_VAULT: &str = "Microsoft.KeyVault";

/// The port of a database.
const TDS: u16 = 1433;

/// The environment's own database: does it see an address that it takes connections from?
pub(super) fn sql(rule: &'static Rule, patient: &Patient<'_>) -> Outcome {
    let subnet = patient.network.subnet(patient.place);
    if subnet.has_endpoint(SQL) {
        return Outcome::Passed;
    }
    let ways = Ways::of(patient);
    let mut finding = Finding::new(rule, subnet.at, &subnet.name, String::new());
    let mut refusals = Vec::new();
    for (way, to) in exits(patient, &ways) {
        if let Some(why) = refusal(patient, &way, to) {
            finding = finding.because(ways::shown(&way), way.route.at);
            refusals.push(why);
        }
    }
    if refusals.is_empty() {
        return Outcome::Passed;
    }
    let what = format!("connections to the environment's own database leave by {}", some(refusals));
    Outcome::Found(vec![Finding { what, ..finding }.mend(enable(patient, SQL))])
}

/// The different ways to SQL databases; where no file tells their prefixes, that of the Internet at large. What BGP
/// takes by a narrower route is `RT-BGP-SPECIFIC`'s, what a default route drops `RT-DEFAULT`'s.
fn exits<'a>(patient: &Patient<'a>, ways: &Ways<'a>) -> Vec<(Selection<'a>, IpAddr)> {
    let ranges = patient.network.tags().published("Sql");
    let all: Vec<(Selection<'_>, IpAddr)> = match ranges {
        Some(ranges) => {
            let stretches = ranges.iter().flat_map(|range| ways.stretches(*range));
            stretches.map(|it| (it.way, it.range.first())).collect()
        }
        None => ways.outside().map(|way| (way, IpAddr::from([192, 0, 2, 1]))).into_iter().collect(),
    };
    let mut exits: Vec<(Selection<'_>, IpAddr)> = Vec::new();
    for (way, to) in all.into_iter().filter(|(way, _)| !is_by_specific_bgp(way) && !drops_everything(way)) {
        if !exits.iter().any(|(other, _)| std::ptr::eq(other.route, way.route)) {
            exits.push((way, to));
        }
    }
    exits
}

fn drops_everything(way: &Selection<'_>) -> bool {
    way.route.next_hop == Hop::None && way.prefix.prefix_len() == 0
}

/// Why the database does not answer what comes this way.
fn refusal(patient: &Patient<'_>, way: &Selection<'_>, to: IpAddr) -> Option<String> {
    let hop = &way.route.next_hop;
    let addresses: Vec<IpAddr> = match hop {
        Hop::Internet | Hop::VirtualNetworkServiceEndpoint(_) => return None,
        Hop::VirtualAppliance(address) => beyond::leaves_by(patient, *address, to),
        Hop::VirtualNetworkGateway => ways::gateway(patient).map(|it| it.egress_addresses.clone()).unwrap_or_default(),
        Hop::VnetLocal | Hop::VnetPeering(_) | Hop::VnetGlobalPeering(_) | Hop::InterfaceEndpoint | Hop::None => {
            return Some(format!("{}, where no database is", hop));
        }
    };
    let strange: Vec<IpAddr> = addresses.iter().copied().filter(|address| !is_known(patient, *address)).collect();
    if addresses.is_empty() {
        return Some(format!("{}, and by which public address is not known", hop));
    }
    if !strange.is_empty() {
        let strange = some(strange);
        return Some(format!("{} as {strange}, which is neither the VIP nor in userWhitelistedIpRanges", hop));
    }
    // Of an appliance of somebody else's nobody knows what it denies.
    let is_asked = matches!(hop, Hop::VirtualAppliance(address) if patient.network.interface_of(*address).is_none());
    let denied = is_asked && denies_databases(patient, way);
    denied.then(|| format!("{}, which denies them", hop))
}

fn is_known(patient: &Patient<'_>, address: IpAddr) -> bool {
    let environment = patient.environment;
    environment.public_address == Some(address)
        || environment.outbound_addresses.contains(&address)
        || environment.sql_egress_ranges.iter().any(|range| range.contains(address))
}

/// By the address or by a name: either will do.
fn denies_databases(patient: &Patient<'_>, way: &Selection<'_>) -> bool {
    let Ok(gate) = Gate::of(patient) else { return false };
    let zone = match patient.network.tags().cloud() {
        Cloud::Public => "database.windows.net",
        Cloud::UsGov => "database.usgovcloudapi.net",
        Cloud::China => "database.chinacloudapi.cn",
    };
    let name = HostName::parse(&format!("egret.{zone}")).expect("a literal zone");
    let ranges = patient.network.tags().published("Sql");
    let inside = ranges.and_then(|ranges| ranges.iter().map(|range| range.first()).find(|it| way.prefix.contains(it)));
    let by_address = inside.is_some_and(|address| gate.ask(&Host::Addr(address), Protocol::Tcp, TDS).is_open());
    !by_address && !gate.ask(&Host::Name(name), Protocol::Mssql, TDS).is_open()
}

/// The services that must not come by where everything else goes.
pub(super) fn others(rule: &'static Rule, patient: &Patient<'_>) -> Outcome {
    let ways = Ways::of(patient);
    let outside = ways.outside();
    let hop = outside.as_ref().map(|way| &way.route.next_hop);
    let missing: Vec<&str> = match hop {
        Some(Hop::VirtualAppliance(_)) => behind_a_firewall(patient, &ways),
        Some(Hop::VirtualNetworkGateway) => lacking(patient, &ways, &[STORAGE]),
        _ => return Outcome::not_applicable("what leaves goes neither to a firewall nor to one's own premises"),
    };
    if missing.is_empty() {
        return Outcome::Passed;
    }
    let subnet = patient.network.subnet(patient.place);
    let hop = hop.map(ToString::to_string).unwrap_or_default();
    let what = format!("without a service endpoint for {}: what is for it goes to {hop}", some(&missing));
    let mut finding = Finding::new(rule, subnet.at, &subnet.name, what);
    finding = outside.iter().fold(finding, |finding, way| finding.because(ways::shown(way), way.route.at));
    for service in missing {
        finding = finding.covers(Coverage::Missing, service).mend(enable(patient, service));
    }
    Outcome::Found(vec![finding])
}

/// Of the newest list Storage and Event Hubs; of the first one Key Vault in place of Event Hubs.
fn behind_a_firewall<'s>(patient: &Patient<'_>, ways: &Ways<'_>) -> Vec<&'s str> {
    let mut missing = lacking(patient, ways, &[STORAGE, EVENT_HUB]);
    if follows_the_first_list(patient) {
        missing.retain(|service| *service != EVENT_HUB);
    }
    missing
}

/// Are the endpoints those of the document of 2018, which names Key Vault where its successors name Event Hubs?
pub(super) fn follows_the_first_list(patient: &Patient<'_>) -> bool {
    let subnet = patient.network.subnet(patient.place);
    subnet.has_endpoint(KEY_VAULT) && !subnet.has_endpoint(EVENT_HUB)
}

fn lacking<'s>(patient: &Patient<'_>, ways: &Ways<'_>, services: &[&'s str]) -> Vec<&'s str> {
    services.iter().copied().filter(|service| !is_direct(patient, ways, service)).collect()
}

/// By an endpoint, or by routes that lead all of the service straight to the Internet.
fn is_direct(patient: &Patient<'_>, ways: &Ways<'_>, service: &str) -> bool {
    let tag = service.trim_start_matches("Microsoft.");
    let leads = |range: &AddressRange| {
        ways.stretches(*range).iter().all(|it| *it.hop() == Hop::Internet || it.is_by_specific_bgp())
    };
    let by_route = || match patient.network.tags().published(tag) {
        Some(ranges) => ranges.iter().all(leads),
        None => has_route(patient, tag),
    };
    patient.network.subnet(patient.place).has_endpoint(service) || by_route()
}

fn has_route(patient: &Patient<'_>, tag: &str) -> bool {
    let routes = patient.network.route_table_of(patient.place).into_iter().flat_map(|table| &table.routes);
    routes.filter(|route| route.next_hop == NextHop::Internet).any(|route| match &route.destination {
        RouteDestination::Tag(written) => written.eq_ignore_ascii_case(tag),
        RouteDestination::Net(_) => false,
    })
}

/// With the endpoint of SQL on, every database that is reached from the subnet has to know the subnet.
pub(super) fn databases(rule: &'static Rule, patient: &Patient<'_>) -> Outcome {
    if !patient.network.subnet(patient.place).has_endpoint(SQL) {
        return Outcome::not_applicable(format!("no service endpoint for {SQL}"));
    }
    let strangers = patient.environment.app_databases.iter().filter(|database| !database.virtual_network_rule);
    let strangers: Vec<&str> = strangers.map(|database| database.name.as_str()).collect();
    if strangers.is_empty() {
        return Outcome::Passed;
    }
    let what = format!(
        "apps reach {} by the service endpoint, with a private address, and it has no virtual network rule for the subnet",
        some(&strangers)
    );
    let finding = Finding::new(rule, patient.environment.at, &patient.environment.name, what);
    let finding = strangers.iter().fold(finding, |finding, name| finding.covers(Coverage::Missing, *name));
    let subnet = patient.network.subnet(patient.place);
    let mend = format!(
        "for each server: az sql server vnet-rule create --resource-group GROUP --server SERVER --name {name} --vnet-name {vnet} --subnet {name} (the subnet's id instead of both names, where it is in another group)",
        name = subnet.name,
        vnet = patient.network.virtual_network(patient.place).name,
    );
    Outcome::Found(vec![
        finding.because(format!("{} has the service endpoint {SQL}", subnet.name), subnet.at).by_hand(mend),
    ])
}

fn enable(patient: &Patient<'_>, service: &str) -> Change {
    Change::ServiceEndpoint {
        network: patient.network.virtual_network(patient.place).name.clone(),
        subnet: patient.network.subnet(patient.place).name.clone(),
        service: service.to_owned(),
    }
}
