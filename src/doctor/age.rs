//! Which of the published lists a firewall's rules were made from (`DOC-LIST-AGE`).

use crate::allowlist::Kind;
use crate::vnet::Hop;

use super::Patient;
use super::dependencies::{Edition, Row, editions};
use super::endpoints::{EVENT_HUB, KEY_VAULT, follows_the_first_list};
use super::finding::{Coverage, Finding, Outcome, Rule};
use super::firewall::open_rows;
use super::gate::{Gate, Passage};
use super::ways::Ways;
use super::words::some;

/// The list that a policy is judged by: the newest, unless it plainly was made from an older one. It was where it lets
/// through nine tenths of what that one lists and less than half of what came after; wide rules of one's own let through
/// some of each. None where nothing is published.
///
/// So a policy of 2018 is told once that it is old, and not of each name that came since.
pub(super) fn edition(patient: &Patient<'_>, gate: Option<&Gate<'_>>) -> Option<Edition> {
    let editions = editions(patient.network.tags().cloud());
    let newest = *editions.first()?;
    let Some(gate) = gate else { return Some(newest) };
    let older = editions.iter().skip(1).find(|older| is_made_from(gate, **older, newest));
    Some(older.copied().unwrap_or(newest))
}

fn is_made_from(gate: &Gate<'_>, older: Edition, newest: Edition) -> bool {
    let old = older.rows(Kind::Fqdn);
    let is_new = |row: &Row| !old.iter().any(|known| known.text.eq_ignore_ascii_case(row.text));
    let since: Vec<Row> = newest.rows(Kind::Fqdn).into_iter().filter(is_new).collect();
    let (passing_old, asked_old) = tally(gate, &old);
    let (passing_since, asked_since) = tally(gate, &since);
    passing_old * 10 >= asked_old * 9 && passing_since * 2 < asked_since
}

/// How many of the rows that meet the firewall some rule of it lets through.
fn tally(gate: &Gate<'_>, rows: &[Row]) -> (usize, usize) {
    let passages: Vec<Passage> = rows.iter().map(|row| gate.row(row)).collect();
    let asked = passages.iter().filter(|passage| **passage != Passage::Bypasses).count();
    let lacking = passages.iter().filter(|passage| **passage == Passage::Lacks).count();
    (asked - lacking, asked)
}

pub(super) fn look(rule: &'static Rule, patient: &Patient<'_>) -> Outcome {
    let by_rules = Gate::of(patient).ok().and_then(|gate| old_rules(rule, patient, &gate));
    let by_endpoints = old_endpoints(rule, patient);
    Outcome::from(by_rules.into_iter().chain(by_endpoints).collect::<Vec<_>>())
}

fn old_rules(rule: &'static Rule, patient: &Patient<'_>, gate: &Gate<'_>) -> Option<Finding> {
    let newest = *editions(patient.network.tags().cloud()).first()?;
    let used = edition(patient, Some(gate)).filter(|used| *used != newest)?;
    let kinds =
        [Kind::Fqdn, Kind::Wildcard, Kind::Ip].into_iter().chain(patient.environment.linux.then_some(Kind::Linux));
    let rows: Vec<Row> = kinds.flat_map(|kind| newest.rows(kind)).collect();
    let denied: Vec<&Row> = rows.iter().filter(|row| gate.row(row) == Passage::Lacks).collect();
    let (name, at) = gate.name();
    let what = format!(
        "its rules are those of the list of {}: of the {} dependencies in the list of {} it denies {} ({})",
        used.date,
        rows.len(),
        newest.date,
        denied.len(),
        some(denied.iter().map(|row| row.text)),
    );
    let mut finding = Finding::new(rule, at, name, what);
    for row in &denied {
        finding = finding.covers(Coverage::Missing, row.shown());
    }
    Some(open_rows(patient, &denied, "since-the-list").into_iter().fold(finding, Finding::mend))
}

fn old_endpoints(rule: &'static Rule, patient: &Patient<'_>) -> Option<Finding> {
    let subnet = patient.network.subnet(patient.place);
    (behind_a_firewall(patient) && follows_the_first_list(patient)).then(|| {
        let what = format!("service endpoints as in the list of 2018: {KEY_VAULT}, where later ones have {EVENT_HUB}");
        let change = crate::vnet::Change::ServiceEndpoint {
            network: patient.network.virtual_network(patient.place).name.clone(),
            subnet: subnet.name.clone(),
            service: EVENT_HUB.to_owned(),
        };
        Finding::new(rule, subnet.at, &subnet.name, what).mend(change)
    })
}

fn behind_a_firewall(patient: &Patient<'_>) -> bool {
    let outside = Ways::of(patient).outside();
    outside.is_some_and(|way| matches!(way.route.next_hop, Hop::VirtualAppliance(_)))
}
