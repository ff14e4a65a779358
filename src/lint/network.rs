//! Network rules, one at a time.

use std::net::IpAddr;

use crate::flow::{AddrClass, PortSet};
use crate::policy::{Action, AddressRange, AddressSet, NetworkRule, RuleSet, Rules, ThreatMode};

use super::catalogue as c;
use super::finding::{Check, Finding};
use super::place::Place;

/// A range of so many public addresses is no particular place any more: a /8.
const WIDE: u32 = 1 << 24;

pub(super) fn check(set: &RuleSet, found: &mut Vec<Finding>) {
    let names = has_application_rules(set);
    for place in Place::all(set) {
        let Rules::Network(action, rules) = &place.collection.rules else { continue };
        for rule in rules {
            if *action == Action::Allow {
                found.extend(too_wide(place, rule, names));
                found.extend(quic(place, rule));
                found.extend(icmp(place, rule));
            }
            found.extend(any_with_ports(place, rule));
        }
    }
    found.extend(masked_alerts(set));
}

fn has_application_rules(set: &RuleSet) -> bool {
    Place::all(set).any(|place| matches!(&place.collection.rules, Rules::Application(_, rules) if !rules.is_empty()))
}

fn too_wide(place: Place<'_>, rule: &NetworkRule, names: bool) -> Option<Finding> {
    let everything = rule.destinations.is_any() && rule.ports.is_any() && rule.sources.is_any();
    let say = |check: &'static Check, what: String| {
        let found = place.rule(check, &rule.name, &rule.about, what);
        found.about("destinationAddresses").about("destination_addresses")
    };
    if !is_wide_web(rule) {
        return None;
    }
    let (protocols, to) = (rule.protocols, &rule.destinations);
    if everything {
        let what = format!("the rule allows {protocols} to any port of any address, for anybody");
        let mend = "name sources, destinations and ports; let application rules allow the web by name";
        return Some(say(&c::ALLOW_EVERYTHING, what).mend(mend));
    }
    let ports = web_ports(&rule.ports);
    let dead =
        if names { "application rules for these flows are never looked at" } else { "no name is ever looked at" };
    let what = format!("the rule allows {protocols} {ports} to {}: {dead}", shown(to));
    let mend = format!("take {ports} out of it and allow the names by application rules, or name the destinations");
    Some(say(&c::BROAD_NETWORK_RULE, what).mend(mend))
}

fn is_wide_web(rule: &NetworkRule) -> bool {
    let protocols = rule.protocols.tcp || rule.protocols.any;
    protocols && (rule.ports.contains(80) || rule.ports.contains(443)) && is_wide(&rule.destinations)
}

fn web_ports(ports: &PortSet) -> String {
    let web: Vec<&str> =
        [(80, "80"), (443, "443")].iter().filter(|(port, _)| ports.contains(*port)).map(|(_, text)| *text).collect();
    web.join(" and ")
}

/// All there is, or so much of the public addresses that nobody can have meant them one by one.
pub(super) fn is_wide(set: &AddressSet) -> bool {
    let tag = |name: &str| name.split('.').next().is_some_and(|name| name.eq_ignore_ascii_case("AzureCloud"));
    set.is_any() || set.listed().iter().any(|range| is_wide_range(*range)) || set.named().iter().any(|it| tag(&it.name))
}

fn is_wide_range(range: AddressRange) -> bool {
    let (IpAddr::V4(first), IpAddr::V4(last)) = (range.first(), range.last()) else {
        return false;
    };
    u32::from(last) - u32::from(first) >= WIDE - 1 && is_public(range)
}

/// As far as its ends say.
pub(super) fn is_public(range: AddressRange) -> bool {
    [range.first(), range.last()].iter().any(|addr| AddrClass::of(*addr) == AddrClass::Global)
}

/// The set in words that fit a line.
fn shown(set: &AddressSet) -> String {
    if set.is_any() { "any address".to_owned() } else { crate::lint::short(&set.to_string()) }
}

fn quic(place: Place<'_>, rule: &NetworkRule) -> Option<Finding> {
    let udp = rule.protocols.udp || (rule.protocols.any && !rule.ports.is_any());
    let passes = udp && rule.ports.contains(443) && is_wide(&rule.destinations);
    let what = || format!("UDP 443 is allowed to {}", shown(&rule.destinations));
    let mend = "leave UDP 443 out: clients then use HTTPS, which application rules judge";
    passes.then(|| place.rule(&c::QUIC_PASSES_BY, &rule.name, &rule.about, what()).mend(mend))
}

fn icmp(place: Place<'_>, rule: &NetworkRule) -> Option<Finding> {
    let public = rule.destinations.is_any() || rule.destinations.ranges().any(is_public);
    let what = || format!("ICMP is allowed to {}, and gets no answer from the internet", shown(&rule.destinations));
    let say = || place.rule(&c::ICMP_TO_INTERNET, &rule.name, &rule.about, what()).about("ICMP");
    (rule.protocols.icmp && public).then(|| say().mend("name the networks of your own that it is for"))
}

fn any_with_ports(place: Place<'_>, rule: &NetworkRule) -> Option<Finding> {
    let what =
        || format!("protocol Any with the ports {} is TCP and UDP only", crate::lint::short(&rule.ports.to_string()));
    let say = || place.rule(&c::ANY_PROTOCOL_WITH_PORTS, &rule.name, &rule.about, what()).about("Any");
    let mend = "write TCP and UDP; for other protocols a rule with Any and the ports `*`";
    (rule.protocols.any && !rule.ports.is_any()).then(|| say().mend(mend))
}

/// Once a policy: the first rule that does it.
fn masked_alerts(set: &RuleSet) -> Option<Finding> {
    let alerts = set.policies.iter().any(|policy| policy.settings.threat_intel.mode == Some(ThreatMode::Alert));
    let rules = Place::all(set).filter_map(|place| match &place.collection.rules {
        Rules::Network(Action::Allow, rules) => Some(rules.iter().map(move |rule| (place, rule))),
        _ => None,
    });
    let (place, rule) = rules.flatten().filter(|_| alerts).find(|(_, rule)| is_wide_web(rule))?;
    let what = format!("threat intelligence sees no names in what this rule allows ({})", web_ports(&rule.ports));
    let mend = "allow the web by application rules, or set threat intelligence to Deny";
    Some(place.rule(&c::THREAT_ALERT_MASKED, &rule.name, &rule.about, what).mend(mend))
}
