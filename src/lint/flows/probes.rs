//! A few points of a rule's own: its corners, and some inside it.
//!
//! Most rules are reached at one of them, whatever the others say, so that nothing has to be laid over each other. A
//! rule that is not reached here may still be reached elsewhere: nothing is proven by that.

use crate::flow::{Host, HostName, Protocol};
use crate::policy::{AddressRange, FqdnPattern, PathPattern};

use super::points::{inside, well_known};
use super::reach::protocols_for;
use super::units::Unit;
use super::witness::{Way, Witness};

/// Points of one unit, at most.
const PROBES: usize = 24;
/// Hosts, ports, clients and paths that are put together, each.
const PICKED: usize = 8;
/// Strides through all combinations: a prime, so that each comes once.
const STRIDE: usize = 7919;

/// Ascending in nothing: the first is made of what the unit names first.
pub(super) fn probes(unit: &Unit<'_>) -> impl Iterator<Item = Witness> {
    let hosts = hosts(unit);
    let ports = ports(unit);
    let clients = if unit.is_for_anybody() {
        vec![None]
    } else {
        picked(&unit.sources().collect::<Vec<_>>()).into_iter().flat_map(ends).map(Some).collect()
    };
    let paths = own_paths(unit.path());
    let all = hosts.len() * ports.len() * clients.len() * paths.len();
    (0..all.min(PROBES)).map(move |at| {
        let at = at * STRIDE % all;
        let (host, at) = (hosts[at % hosts.len()].clone(), at / hosts.len());
        let ((protocol, port), at) = (ports[at % ports.len()], at / ports.len());
        let (client, at) = (clients[at % clients.len()], at / clients.len());
        let path = paths[at].clone().filter(|_| protocol == Protocol::Http);
        Witness { client, protocol, host, port, path, way: Way::Checked }
    })
}

/// Can it match at all?
pub(super) fn is_empty(unit: &Unit<'_>) -> bool {
    let has_ports = || protocols_for(unit).iter().any(|protocol| !unit.ports(*protocol).is_empty());
    let has_sources = || unit.is_for_anybody() || unit.sources().next().is_some();
    let has_destinations = || unit.is_everywhere() || !unit.ranges().is_empty() || !unit.patterns().is_empty();
    !(has_sources() && has_destinations() && has_ports())
}

/// The first, and others at even distances.
fn picked<T: Clone>(all: &[T]) -> Vec<T> {
    all.iter().step_by(all.len().div_ceil(PICKED).max(1)).cloned().collect()
}

fn ends(range: AddressRange) -> Vec<std::net::IpAddr> {
    let mut ends = vec![inside(range), range.last()];
    ends.dedup();
    ends
}

fn hosts(unit: &Unit<'_>) -> Vec<Host> {
    if unit.is_everywhere() {
        return unit.member().into_iter().collect();
    }
    let names = picked(&unit.patterns()).into_iter().filter_map(|pattern| member(&pattern)).map(Host::Name);
    let ranges = picked(&unit.ranges());
    names.chain(ranges.into_iter().flat_map(ends).map(Host::Addr)).collect()
}

fn member(pattern: &FqdnPattern) -> Option<HostName> {
    let text = match pattern {
        FqdnPattern::Any => "www.example".to_owned(),
        FqdnPattern::Exact(name) => return Some(name.clone()),
        FqdnPattern::Subdomains(parent) => format!("www.{parent}"),
        FqdnPattern::Suffix(tail) => format!("www{tail}"),
        FqdnPattern::Glob(text) => text.replace('*', "x0").replace('?', "x"),
    };
    HostName::parse(&text).ok().filter(|name| pattern.matches(name))
}

fn ports(unit: &Unit<'_>) -> Vec<(Protocol, u16)> {
    let of_protocol = |protocol: &Protocol| {
        let protocol = *protocol;
        let portless = matches!(protocol, Protocol::Icmp | Protocol::Other);
        let ranges = picked(&unit.ports(protocol));
        let ports = ranges.into_iter().flat_map(move |range| {
            let first = range.first().max(u16::from(range.last() > 0));
            let mut ports = vec![well_known(first, range.last()), first, range.last()];
            ports.dedup();
            ports
        });
        ports.filter(move |port| portless || *port > 0).map(move |port| (protocol, port))
    };
    protocols_for(unit).iter().flat_map(of_protocol).collect()
}

fn own_paths(pattern: Option<&PathPattern>) -> Vec<Option<String>> {
    let paths = match pattern {
        None | Some(PathPattern::Any) => vec!["/".to_owned()],
        Some(PathPattern::Exact(exact)) => vec![exact.to_string(), format!("{exact}/")],
        Some(PathPattern::Prefix(prefix)) => {
            let below = ["", "x", "0", "-", "z/x"];
            below.iter().map(|tail| format!("{prefix}{tail}")).collect()
        }
    };
    paths.into_iter().filter(|path| !path.is_empty()).map(Some).collect()
}
