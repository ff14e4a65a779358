//! Route tables and their routes.

use std::net::IpAddr;

use super::named::{OpenHop, Surroundings};
use super::values::{address, prefixes};
use super::{Notes, Subject, Whole, open_name, unread};
use crate::azure::json::{Node, Value};
use crate::azure::note::{Note, Severity};
use crate::azure::read::words::Words;
use crate::vnet::{NextHop, Prefix, ResourceKind, Route, RouteDestination};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hop {
    Plain(NextHop),
    Appliance,
}

const NEXT_HOPS: Words<Hop> = &[
    ("VirtualNetworkGateway", Hop::Plain(NextHop::VirtualNetworkGateway)),
    ("VnetLocal", Hop::Plain(NextHop::VnetLocal)),
    ("Internet", Hop::Plain(NextHop::Internet)),
    ("VirtualAppliance", Hop::Appliance),
    ("None", Hop::Plain(NextHop::None)),
];

/// Its routes are resources of their own.
pub(super) fn table(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let disabled = notes.flag(&whole.subject, "disableBgpRoutePropagation").unwrap_or(false);
    let table = network.route_tables.of(&whole.name, whole.resource.at);
    table.disable_bgp_route_propagation = disabled;
    table.at = whole.resource.at;
    unread::keep(whole, ResourceKind::RouteTable, network);
}

pub(super) fn route(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let (name, route) = (whole.leaf(), &whole.subject);
    for key in ["addressPrefix", "nextHopType"] {
        if route.get(key).is_none() {
            notes.missing(key, route, "every route has one");
        }
    }
    let destination = prefixes(route, &["addressPrefix"], notes).pop();
    let hop = notes.word(route, "nextHopType", NEXT_HOPS);
    unread::keep(whole, ResourceKind::Route, network);
    let again = network.is_again("route", &whole.name);
    let table = network.route_tables.of(whole.parent(), whole.resource.at);
    if again {
        table.routes.retain(|known| !known.name.eq_ignore_ascii_case(&name));
    }
    let Some((destination, hop)) = destination.zip(hop) else { return };
    let destination = match destination {
        Prefix::Net(net) => RouteDestination::Net(net),
        Prefix::Tag(tag) => RouteDestination::Tag(tag),
        Prefix::Any => RouteDestination::Net(ipnet::Ipv4Net::default().into()),
    };
    let next_hop = match hop {
        Hop::Plain(plain) => {
            refuse_address(route, plain, notes);
            plain
        }
        Hop::Appliance => match appliance(route, notes) {
            Appliance::Known(address) => NextHop::VirtualAppliance(address),
            Appliance::Wrong => return,
            Appliance::Open(shown) => {
                let hop = OpenHop { table: whole.parent().to_owned(), name, destination, shown, at: route.at };
                return network.open_hops.push(hop);
            }
        },
    };
    table.routes.push(Route { name, destination, next_hop, at: route.at });
}

enum Appliance {
    Known(IpAddr),
    /// Known to Azure only, as far as it is known.
    Open(String),
    /// What is wrong was noted.
    Wrong,
}

fn appliance(route: &Subject<'_>, notes: &mut Notes) -> Appliance {
    match route.get("nextHopIpAddress") {
        None => {
            let what = format!("a next hop `VirtualAppliance` without `nextHopIpAddress`: {}", route.what);
            notes.push(Note::new(Severity::Error, route.at, what).mend("give it the firewall's private address"));
            Appliance::Wrong
        }
        Some(Node { value: Value::Unknown(unknown), .. }) => Appliance::Open(open_name(unknown).to_owned()),
        Some(_) => address(route, "nextHopIpAddress", notes).map_or(Appliance::Wrong, Appliance::Known),
    }
}

fn refuse_address(route: &Subject<'_>, hop: NextHop, notes: &mut Notes) {
    if let Some(node) = route.get("nextHopIpAddress") {
        let what = format!("`nextHopIpAddress` of {}: a next hop `{}` has no address", route.what, hop.as_str());
        let mend = "leave it out, or write `VirtualAppliance`";
        notes.push(Note::new(Severity::Error, node.at, what).mend(mend));
    }
}
