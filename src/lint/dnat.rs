//! DNAT rules.

use std::collections::HashSet;

use crate::flow::AddrClass;
use crate::policy::{DnatRule, PolicyRules, RuleSet, Rules};

use super::catalogue as c;
use super::finding::Finding;
use super::network::is_public;
use super::place::{Place, of_policy};

/// The firewall keeps the ports from here on.
const FIRST_KEPT: u16 = 64000;
/// Public addresses and targets together.
const MOST: usize = 250;

pub(super) fn check(set: &RuleSet, found: &mut Vec<Finding>) {
    for place in Place::all(set) {
        let Rules::Dnat(rules) = &place.collection.rules else { continue };
        for rule in rules {
            found.extend(any_source(place, rule));
            found.extend(internal_source(place, rule));
            found.extend(port_out_of_range(place, rule));
            found.extend(several_ports(place, rule));
        }
    }
    found.extend(set.policies.iter().filter_map(too_many));
}

fn any_source(place: Place<'_>, rule: &DnatRule) -> Option<Finding> {
    let what = || format!("anybody reaches {}:{} by this rule", rule.translated.host, rule.translated.port);
    let say = || place.rule(&c::DNAT_ANY_SOURCE, &rule.name, &rule.about, what());
    let say = || say().about("sourceAddresses").about("source_addresses").mend("name the sources that may");
    rule.sources.is_any().then(say)
}

fn internal_source(place: Place<'_>, rule: &DnatRule) -> Option<Finding> {
    let mut sources = rule.sources.ranges().peekable();
    let internal = !rule.sources.is_any()
        && sources.peek().is_some()
        && sources.all(|range| [range.first(), range.last()].iter().all(|it| AddrClass::of(*it) == AddrClass::Private));
    let public = rule.destinations.ranges().any(is_public);
    let what = || format!("the sources {} are internal, the destination is public", rule.sources);
    let mend = "let internal clients use the target's own address, or translate a private address of the firewall";
    (internal && public).then(|| place.rule(&c::DNAT_INTERNAL_SOURCE, &rule.name, &rule.about, what()).mend(mend))
}

fn port_out_of_range(place: Place<'_>, rule: &DnatRule) -> Option<Finding> {
    let high = rule.ports.ranges().iter().find(|range| range.last() >= FIRST_KEPT);
    let (text, port) = match (high, rule.translated.port) {
        (Some(range), _) => (range.to_string(), "port"),
        (None, port @ FIRST_KEPT..) => (port.to_string(), "translated port"),
        (None, _) => return None,
    };
    let what = format!("the {port} `{text}` is none of a NAT rule: they take 1 to 63999");
    Some(place.rule(&c::DNAT_PORT_OUT_OF_RANGE, &rule.name, &rule.about, what).about(text).mend("choose a lower port"))
}

fn several_ports(place: Place<'_>, rule: &DnatRule) -> Option<Finding> {
    let several = !matches!(rule.ports.ranges(), [only] if only.first() == only.last());
    let what = || format!("the ports {} all lead to port {}", rule.ports, rule.translated.port);
    let say = || place.rule(&c::DNAT_SEVERAL_PORTS, &rule.name, &rule.about, what());
    several.then(|| say().about("destinationPorts").about("destination_ports").mend("write a rule for each port"))
}

fn too_many(policy: &PolicyRules) -> Option<Finding> {
    let rules = Place::of_policy(policy).filter_map(|place| match &place.collection.rules {
        Rules::Dnat(rules) => Some(rules),
        _ => None,
    });
    let mut targets = HashSet::new();
    for rule in rules.flatten() {
        let protocols = [(rule.protocols.tcp, "tcp"), (rule.protocols.udp, "udp")];
        for (_, protocol) in protocols.iter().filter(|(on, _)| *on) {
            let to = rule.destinations.ranges().map(|range| range.to_string());
            targets.extend(to.map(|to| (to, rule.ports.to_string(), *protocol)));
        }
    }
    let what = format!("{} distinct DNAT targets; public addresses and targets are {MOST} at most", targets.len());
    (targets.len() > MOST).then(|| of_policy(policy, &c::TOO_MANY_DNAT, what).mend("put them behind a load balancer"))
}
