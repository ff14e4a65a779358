//! Route tables and their routes.

use std::collections::HashSet;

use crate::config::error::{Findings, Problem};
use crate::config::reader::Section;
use crate::vnet::{NextHop, Route, RouteDestination, Topology};

use super::names::{Written, report_twice};
use super::values::{self, HopKind, flag, text};

pub(super) fn route_table(section: &Section, topology: &mut Topology, written: &mut Written, findings: &mut Findings) {
    let table = written.slot(&mut topology.route_tables, text(section, "name"), section, findings);
    table.at = section.spot();
    table.disable_bgp_route_propagation =
        flag(section, "disable_bgp_route_propagation", table.disable_bgp_route_propagation);
    let mut seen = HashSet::new();
    let mut own = Vec::new();
    for section in section.tables("route", findings) {
        let name = text(&section, "name");
        if !seen.insert(name.to_lowercase()) {
            report_twice("route", &name, &section, findings);
        }
        own.extend(route(&section, name, findings));
    }
    table.routes.retain(|known| !seen.contains(&known.name.to_lowercase()));
    table.routes.extend(own);
}

/// None where what has to be there is missing, or is no such thing: that was reported.
fn route(section: &Section, name: String, findings: &mut Findings) -> Option<Route> {
    let destination = section.text("prefix").and_then(|item| match item.value.trim() {
        tag if values::is_tag(tag) => Some(RouteDestination::Tag(tag.to_owned())),
        _ => values::prefix(&item, findings).map(RouteDestination::Net),
    });
    let next_hop = next_hop(section, findings);
    Some(Route { name, destination: destination?, next_hop: next_hop?, at: section.spot() })
}

fn next_hop(section: &Section, findings: &mut Findings) -> Option<NextHop> {
    let kind = values::word(section, "next_hop", values::NEXT_HOPS, findings)?;
    let plain = match kind {
        HopKind::VirtualAppliance => {
            if !section.has("next_hop_address") {
                let problem = Problem::new("a next hop `VirtualAppliance` without `next_hop_address`");
                let mend = "add next_hop_address = \"…\", the private address of the firewall";
                findings.error(&section.place_of_key("next_hop"), problem.mend(mend));
            }
            return values::address(section, "next_hop_address", findings).map(NextHop::VirtualAppliance);
        }
        HopKind::VirtualNetworkGateway => NextHop::VirtualNetworkGateway,
        HopKind::VnetLocal => NextHop::VnetLocal,
        HopKind::Internet => NextHop::Internet,
        HopKind::None => NextHop::None,
    };
    if section.has("next_hop_address") {
        let problem = Problem::new(format!("a next hop `{}` has no address", plain.as_str()));
        let mend = "leave `next_hop_address` out, or write next_hop = \"VirtualAppliance\"";
        findings.error(&section.place_of_key("next_hop_address"), problem.mend(mend));
    }
    Some(plain)
}
