//! Dependencies that are listed by their addresses (`RT-IPDEP`).

use ipnet::IpNet;

use crate::allowlist::Kind;
use crate::vnet::{Hop, NextHop, Obstacle, RouteDestination, Selection, Stage};

use super::Patient;
use super::age::edition;
use super::dependencies::Row;
use super::finding::{Coverage, Finding, Outcome, Rule};
use super::gate::{Gate, Passage};
use super::ways::{self, Ways};
use super::words::some;

pub(super) fn look(rule: &'static Rule, patient: &Patient<'_>) -> Outcome {
    let gate = Gate::of(patient).ok();
    let Some(edition) = edition(patient, gate.as_ref()) else {
        return Outcome::not_applicable("no list is published for this cloud");
    };
    let ways = Ways::of(patient);
    let rows = edition.rows(Kind::Ip);
    let lost: Vec<Loss<'_>> = rows.iter().filter_map(|row| loss(patient, &ways, gate.as_ref(), row)).collect();
    if lost.is_empty() {
        return Outcome::Passed;
    }
    let subnet = patient.network.subnet(patient.place);
    let what = format!(
        "{} reach the Internet neither by a route nor by a network rule (list of {})",
        some(lost.iter().map(|it| it.row.text)),
        edition.date,
    );
    let mut finding = Finding::new(rule, subnet.at, &subnet.name, what);
    for Loss { row, why, .. } in &lost {
        finding = finding.covers(Coverage::Missing, format!("{}: {why}", row.text));
    }
    let mend = ways::add_routes(patient, routes(&lost));
    Outcome::Found(vec![mend.into_iter().fold(finding, Finding::mend)])
}

/// A dependency that is not reached, with the way that it goes.
struct Loss<'a> {
    row: &'a Row,
    way: Selection<'a>,
    why: String,
}

/// What becomes of a flow to an address, if nothing. What goes to one's own premises may well get there, what a rule of the
/// firewall denies before another allows it is `FW-DENY-FIRST`'s, and what the default route drops is `RT-DEFAULT`'s.
fn loss<'a>(patient: &Patient<'a>, ways: &Ways<'a>, gate: Option<&Gate<'_>>, row: &'a Row) -> Option<Loss<'a>> {
    let address = row.address()?;
    let way = ways.to(address)?;
    let obstacle = patient.network.obstacle(patient.place, address).filter(|it| it.stage == Stage::Out);
    if let Some(Obstacle { why, .. }) = obstacle.filter(|_| way.prefix.prefix_len() > 0 && !is_dropped(&way)) {
        let why = format!("{}: {why}", ways::shown(&way));
        return Some(Loss { row, way, why });
    }
    let why = match &way.route.next_hop {
        Hop::VirtualAppliance(_) if gate?.row(row) == Passage::Lacks => {
            format!("goes to {}, and no network rule allows it", &way.route.next_hop)
        }
        Hop::None if way.prefix.prefix_len() > 0 => format!("dropped by {}", ways::shown(&way)),
        _ => return None,
    };
    Some(Loss { row, way, why })
}

fn is_dropped(way: &Selection<'_>) -> bool {
    way.route.next_hop == Hop::None
}

/// Each address once, whatever its ports; in place of the route that is there for just this address.
fn routes(lost: &[Loss<'_>]) -> Vec<(String, RouteDestination, NextHop)> {
    let route = |it: &Loss<'_>| {
        let net = IpNet::from(it.row.address()?);
        let own = (it.way.prefix == net && it.way.route.route_table.is_some()).then(|| it.way.route.name.clone());
        let name = own.unwrap_or_else(|| format!("dependency-{}", net.addr()));
        Some((name, RouteDestination::Net(net), NextHop::Internet))
    };
    let mut routes: Vec<_> = lost.iter().filter_map(route).collect();
    routes.dedup();
    routes
}
