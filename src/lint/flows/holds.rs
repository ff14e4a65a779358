//! Does one rule match all that another one matches?
//!
//! What it says is proven, one dimension at a time; what it does not see (a name that two patterns match between
//! them) is left to the search.

use crate::flow::{PortRange, Protocol};
use crate::policy::{AddressRange, FqdnPattern, PathPattern};

use super::units::Unit;

/// In one dimension: few enough to be compared with each other.
const COMPARED: usize = 1 << 16;

const ALL: [Protocol; 7] =
    [Protocol::Http, Protocol::Https, Protocol::Mssql, Protocol::Tcp, Protocol::Udp, Protocol::Icmp, Protocol::Other];

/// `outer` is no unit that flows pass by: no DNAT rule, no service endpoint.
pub(super) fn holds(outer: &Unit<'_>, inner: &Unit<'_>) -> bool {
    has_sources_of(outer, inner)
        && has_path_of(outer.path(), inner.path())
        && ALL.iter().all(|protocol| has_ports_of(&outer.ports(*protocol), &inner.ports(*protocol)))
        && has_destinations_of(outer, inner)
}

/// Can no flow match both? False where that is not plain.
pub(super) fn are_apart(a: &Unit<'_>, b: &Unit<'_>) -> bool {
    !a.may_meet(b) || have_no_client(a, b) || have_no_address(a, b) || have_no_path(a, b)
}

fn have_no_client(a: &Unit<'_>, b: &Unit<'_>) -> bool {
    let met = || a.sources().any(|mine| b.sources().any(|its| touch(mine, its)));
    !a.is_for_anybody() && !b.is_for_anybody() && !met()
}

fn have_no_address(a: &Unit<'_>, b: &Unit<'_>) -> bool {
    let everywhere = a.is_everywhere() || b.is_everywhere();
    let named = || !a.patterns().is_empty() || !b.patterns().is_empty();
    let met = || a.ranges().into_iter().any(|mine| b.ranges().into_iter().any(|its| touch(mine, its)));
    !everywhere && !named() && !met()
}

fn have_no_path(a: &Unit<'_>, b: &Unit<'_>) -> bool {
    let text = |unit: &Unit<'_>| match unit.path() {
        None | Some(PathPattern::Any) => String::new(),
        Some(PathPattern::Exact(text) | PathPattern::Prefix(text)) => text.to_string(),
    };
    let (a, b) = (text(a), text(b));
    !a.starts_with(&b) && !b.starts_with(&a)
}

fn touch(a: AddressRange, b: AddressRange) -> bool {
    a.contains(b.first()) || b.contains(a.first())
}

fn has_sources_of(outer: &Unit<'_>, inner: &Unit<'_>) -> bool {
    if outer.is_for_anybody() || inner.is_for_anybody() {
        return outer.is_for_anybody();
    }
    holds_ranges(&outer.sources().collect::<Vec<_>>(), &inner.sources().collect::<Vec<_>>())
}

fn holds_ranges(outer: &[AddressRange], inner: &[AddressRange]) -> bool {
    let is_held = |it: &AddressRange| outer.iter().any(|range| range.contains(it.first()) && range.contains(it.last()));
    outer.len().saturating_mul(inner.len()) <= COMPARED && inner.iter().all(is_held)
}

fn has_ports_of(outer: &[PortRange], inner: &[PortRange]) -> bool {
    let is_held = |it: &PortRange| outer.iter().any(|range| range.contains(it.first()) && range.contains(it.last()));
    inner.iter().all(is_held)
}

fn has_path_of(outer: Option<&PathPattern>, inner: Option<&PathPattern>) -> bool {
    match (outer, inner) {
        (None | Some(PathPattern::Any), _) => true,
        (Some(_), None) => false,
        (Some(PathPattern::Prefix(outer)), Some(PathPattern::Exact(inner) | PathPattern::Prefix(inner))) => {
            inner.starts_with(&**outer)
        }
        (Some(outer), Some(inner)) => outer == inner,
    }
}

fn has_destinations_of(outer: &Unit<'_>, inner: &Unit<'_>) -> bool {
    if outer.is_everywhere() || inner.is_everywhere() {
        return outer.is_everywhere();
    }
    if outer.is_application() != inner.is_application() {
        return false;
    }
    let (mine, its) = (outer.patterns(), inner.patterns());
    let is_held = |it: &FqdnPattern| mine.iter().any(|pattern| holds_names(pattern, it));
    mine.len().saturating_mul(its.len()) <= COMPARED
        && its.iter().all(is_held)
        && holds_ranges(&outer.ranges(), &inner.ranges())
}

fn holds_names(outer: &FqdnPattern, inner: &FqdnPattern) -> bool {
    match (outer, inner) {
        (FqdnPattern::Any, _) => true,
        (outer, FqdnPattern::Exact(name)) => outer.matches(name),
        (FqdnPattern::Subdomains(_), FqdnPattern::Subdomains(parent)) => outer == inner || outer.matches(parent),
        (outer, inner) => outer == inner,
    }
}
