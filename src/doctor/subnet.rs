//! The subnet and how far it is from everything (`NET-…`).

use crate::vnet::{AseVersion, Change};

use super::Patient;
use super::beyond;
use super::finding::{ANY, BEFORE_V3, Finding, Outcome, Severity, V3, rules};
use super::routes::occupants;
use super::ways;
use super::words::some;

rules! {
    RULES:
    SIZE = "NET-SIZE", Unhealthy, ANY, [NETWORKING, NETWORKING_2017, NETWORKING_V3],
        "the subnet is small",
        "A subnet cannot be resized once an environment is in it, and Azure keeps five addresses of each. An empty \
         environment of version 2 takes 12 more, and 13 with an internal load balancer; scaling doubles for a while what it \
         needs. The document of 2017 advises /25, those since 2020 /24: below /25 it is advice, and where not even the empty \
         environment fits, it cannot be made. Version 3 cannot be made below /27. The platform logs when few addresses are \
         left." => size;
    DELEGATION = "NET-DELEGATION", Unhealthy, V3, [NETWORKING_V3],
        "the subnet is not delegated, or not empty",
        "The subnet of an environment of version 3 has to be delegated to Microsoft.Web/hostingEnvironments and to hold nothing \
         else; otherwise it cannot be made." => delegation;
    LATENCY = "NET-LATENCY", Degraded, BEFORE_V3, [FORCED_TUNNEL],
        "what leaves is forced over a long way",
        "All that the platform needs goes through the tunnel, at once or behind the firewall. Over a long or congested way it gets slow, and the environment \
         with it. No number is published: from 100 ms a round trip on, this is said." => latency;
}

/// What Azure keeps of every subnet.
const KEPT: u64 = 5;
/// The shortest prefix that is advised against, and the longest that version 3 takes.
const ADVISED: u8 = 25;
const SMALLEST_V3: u8 = 27;

/// A subnet with few addresses left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crowded {
    pub(super) subnet: String,
    pub(super) left: u64,
}

/// Where an environment, without any app, leaves fewer than scaling needs, which doubles what it has (ours: nobody says
/// when Azure logs it).
pub(super) fn crowded(patient: &Patient<'_>) -> Option<Crowded> {
    let subnet = patient.network.subnet(patient.place);
    let (_, addresses) = room(patient)?;
    let taken = empty(patient);
    let is_crowded = patient.environment.version != AseVersion::V3 && addresses < 3 * taken;
    is_crowded.then(|| Crowded { subnet: subnet.name.clone(), left: addresses.saturating_sub(taken) })
}

/// The length of the subnet's prefix, and how many addresses it has to give.
fn room(patient: &Patient<'_>) -> Option<(u8, u64)> {
    let subnet = patient.network.subnet(patient.place);
    let lengths = subnet.prefixes.iter().filter(|net| net.addr().is_ipv4()).map(|net| net.prefix_len());
    let length = lengths.min()?;
    Some((length, (1_u64 << (32 - u32::from(length.min(32)))).saturating_sub(KEPT)))
}

fn size(patient: &Patient<'_>) -> Outcome {
    let subnet = patient.network.subnet(patient.place);
    let Some((length, addresses)) = room(patient) else {
        return Outcome::not_applicable("the subnet has no IPv4 prefix");
    };
    let found = match patient.environment.version {
        AseVersion::V3 => too_small_for_v3(length),
        AseVersion::V1 | AseVersion::V2 => too_small(length, addresses, empty(patient)),
    };
    let Some((what, severity)) = found else { return Outcome::Passed };
    let finding = Finding::new(&SIZE, subnet.at, &subnet.name, what).graded(severity);
    Outcome::Found(vec![
        finding.by_hand("make the environment anew in a larger subnet (/24): this one cannot be resized"),
    ])
}

/// Addresses that it takes without any app (NI-2022).
fn empty(patient: &Patient<'_>) -> u64 {
    if patient.environment.load_balancing.is_internal() { 13 } else { 12 }
}

fn too_small(length: u8, addresses: u64, empty: u64) -> Option<(String, Severity)> {
    if addresses < empty {
        let what = format!("/{length} has {addresses} addresses to give, and an empty environment takes {empty}");
        return Some((what, Severity::Unhealthy));
    }
    let what = || format!("/{length} leaves {} addresses to grow into; /24 is advised", addresses - empty);
    (length > ADVISED).then(|| (what(), Severity::Advice))
}

fn too_small_for_v3(length: u8) -> Option<(String, Severity)> {
    let what = || format!("/{length} is smaller than /{SMALLEST_V3}, the least that version 3 takes");
    (length > SMALLEST_V3).then(|| (what(), Severity::Unhealthy))
}

const SERVICE: &str = "Microsoft.Web/hostingEnvironments";

fn delegation(patient: &Patient<'_>) -> Outcome {
    let subnet = patient.network.subnet(patient.place);
    let is_delegated = subnet.delegations.iter().any(|service| service.eq_ignore_ascii_case(SERVICE));
    let undelegated = (!is_delegated).then(|| {
        let change = Change::Delegation {
            network: patient.network.virtual_network(patient.place).name.clone(),
            subnet: subnet.name.clone(),
            service: SERVICE.to_owned(),
        };
        Finding::new(&DELEGATION, subnet.at, &subnet.name, format!("it is not delegated to {SERVICE}")).mend(change)
    });
    let strangers = occupants(patient);
    let occupied = (!strangers.is_empty()).then(|| {
        let what = format!("{} is in it, and it has to be empty", some(&strangers));
        Finding::new(&DELEGATION, subnet.at, &subnet.name, what).by_hand("move it to another subnet")
    });
    Outcome::from(undelegated.into_iter().chain(occupied).collect::<Vec<_>>())
}

/// A round trip from which on a forced tunnel is called long: ours.
const LONG_MS: u32 = 100;

fn latency(patient: &Patient<'_>) -> Outcome {
    let Some((way, gateway)) = beyond::forced(patient) else {
        return Outcome::not_applicable("what leaves is not forced to one's own premises");
    };
    let Some(ms) = gateway.latency_ms else {
        return Outcome::not_applicable("nobody measured the way to one's own premises");
    };
    if ms < LONG_MS {
        return Outcome::Passed;
    }
    let what = format!("all that leaves is forced to one's own premises, {ms} ms away");
    let finding = Finding::new(&LATENCY, gateway.at, &gateway.name, what).because(ways::shown(&way), way.route.at);
    Outcome::Found(vec![finding.by_hand(
        "let the platform's traffic leave in Azure: service endpoints, a firewall, or 0.0.0.0/0 to the Internet",
    )])
}
