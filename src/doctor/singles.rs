//! Dependencies that are listed by their addresses (`RT-IPDEP`).

use crate::allowlist::Kind;
use crate::vnet::{Hop, NextHop, RouteDestination};

use super::Patient;
use super::age::edition;
use super::dependencies::Row;
use super::finding::{Coverage, Finding, Outcome, Rule};
use super::gate::{Gate, Passage};
use super::ways::{self, Ways, hop_text};
use super::words::some;

pub(super) fn look(rule: &'static Rule, patient: &Patient<'_>) -> Outcome {
    let gate = Gate::of(patient).ok();
    let Some(edition) = edition(patient, gate.as_ref()) else {
        return Outcome::not_applicable("no list is published for this cloud");
    };
    let ways = Ways::of(patient);
    let rows = edition.rows(Kind::Ip);
    let lost: Vec<(&Row, String)> =
        rows.iter().filter_map(|row| Some((row, loss(&ways, gate.as_ref(), row)?))).collect();
    if lost.is_empty() {
        return Outcome::Passed;
    }
    let subnet = patient.network.subnet(patient.place);
    let what = format!(
        "{} reach the Internet neither by a route nor by a network rule (list of {})",
        some(lost.iter().map(|(row, _)| row.text)),
        edition.date,
    );
    let mut finding = Finding::new(rule, subnet.at, &subnet.name, what);
    for (row, why) in &lost {
        finding = finding.covers(Coverage::Missing, format!("{}: {why}", row.text));
    }
    let mend = ways::add_routes(patient, routes(&lost));
    Outcome::Found(vec![mend.into_iter().fold(finding, Finding::mend)])
}

/// Why a flow to an address comes to nothing. What goes to one's own premises may well get there, what a rule of the
/// firewall denies before another allows it is `FW-DENY-FIRST`'s, and what the default route drops is `RT-DEFAULT`'s.
fn loss(ways: &Ways<'_>, gate: Option<&Gate<'_>>, row: &Row) -> Option<String> {
    let way = ways.to(row.address()?)?;
    match &way.route.next_hop {
        Hop::VirtualAppliance(_) => {
            let lacks = gate?.row(row) == Passage::Lacks;
            lacks.then(|| format!("goes to {}, and no network rule allows it", hop_text(&way.route.next_hop)))
        }
        Hop::None if way.prefix.prefix_len() > 0 => Some(format!("dropped by {}", ways::shown(&way))),
        _ => None,
    }
}

/// Each address once, whatever its ports.
fn routes(lost: &[(&Row, String)]) -> Vec<(String, RouteDestination, NextHop)> {
    let mut addresses: Vec<_> = lost.iter().filter_map(|(row, _)| row.address()).collect();
    addresses.dedup();
    let route = |address| {
        let destination = RouteDestination::Net(ipnet::IpNet::from(address));
        (format!("dependency-{address}"), destination, NextHop::Internet)
    };
    addresses.into_iter().map(route).collect()
}
