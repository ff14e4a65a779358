//! How long the lists of all destinations would become, told before they are made.
//!
//! Thousands of rules for networks that lie within each other are in each other's lists: hundreds of millions of
//! places, which no policy that people write comes near.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::policy::FqdnPattern;

use super::units::Unit;

/// Places in lists, never too few by much.
pub(super) fn size(units: &[Unit<'_>]) -> u64 {
    of_addresses(units).saturating_add(of_names(units))
}

fn of_addresses(units: &[Unit<'_>]) -> u64 {
    let ranges = units.iter().filter(|unit| !unit.is_everywhere()).flat_map(Unit::ranges);
    let mut turns: Vec<(IpAddr, i64)> = ranges.flat_map(|range| [(range.first(), 1), (range.last(), -1)]).collect();
    turns.sort_unstable_by_key(|(addr, _)| *addr);
    let mut open = 0_i64;
    let open = turns.into_iter().map(|(_, turn)| {
        open += turn;
        open.unsigned_abs()
    });
    open.fold(0, u64::saturating_add)
}

fn of_names(units: &[Unit<'_>]) -> u64 {
    let mut counts: HashMap<FqdnPattern, u64> = HashMap::new();
    for unit in units.iter().filter(|unit| !unit.is_everywhere() && !unit.is_for_any_name()) {
        unit.patterns().into_iter().for_each(|pattern| *counts.entry(pattern).or_default() += 1);
    }
    let mut below: HashMap<&str, u64> = HashMap::new();
    for (pattern, count) in &counts {
        if let Some(text) = tail_of(pattern) {
            *below.entry(text).or_default() += count;
        }
    }
    let globs: u64 = counts.iter().filter(|(it, _)| matches!(it, FqdnPattern::Glob(_))).map(|(_, count)| count).sum();
    let above = |text: &str| -> u64 {
        let tails = text.char_indices().filter_map(|(at, _)| below.get(&text[at..]));
        tails.sum::<u64>().saturating_add(globs)
    };
    let of = |(pattern, count): (&FqdnPattern, &u64)| match pattern {
        FqdnPattern::Any => *count,
        FqdnPattern::Exact(name) => above(name.as_str()) + count,
        FqdnPattern::Subdomains(parent) => above(parent.as_str()) + count,
        FqdnPattern::Suffix(tail) | FqdnPattern::Glob(tail) => above(tail) + count,
    };
    counts.iter().map(of).fold(0, u64::saturating_add)
}

/// What a name that it matches ends with.
fn tail_of(pattern: &FqdnPattern) -> Option<&str> {
    match pattern {
        FqdnPattern::Subdomains(parent) => Some(parent.as_str()),
        FqdnPattern::Suffix(tail) => Some(tail),
        FqdnPattern::Any | FqdnPattern::Exact(_) | FqdnPattern::Glob(_) => None,
    }
}
