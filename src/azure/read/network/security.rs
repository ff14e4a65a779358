//! Network security groups, their rules, and application security groups.

use super::named::Surroundings;
use super::values::{all_referred, ports, prefixes};
use super::{Notes, Subject, Whole};
use crate::azure::note::{Note, Severity};
use crate::azure::read::notes::Effect;
use crate::azure::read::words::Words;
use crate::policy::Action;
use crate::vnet::{FlowDirection, RuleSide, SecurityProtocol, SecurityRule};

const DIRECTIONS: Words<FlowDirection> = &[("Inbound", FlowDirection::Inbound), ("Outbound", FlowDirection::Outbound)];
const ACCESS: Words<Action> = &[("Allow", Action::Allow), ("Deny", Action::Deny)];
const PROTOCOLS: Words<SecurityProtocol> = &[
    ("Tcp", SecurityProtocol::Tcp),
    ("Udp", SecurityProtocol::Udp),
    ("Icmp", SecurityProtocol::Icmp),
    ("Esp", SecurityProtocol::Esp),
    ("Ah", SecurityProtocol::Ah),
    ("*", SecurityProtocol::Any),
    ("Any", SecurityProtocol::Any),
];

/// Its rules are resources of their own.
pub(super) fn group(whole: &Whole<'_>, network: &mut Surroundings, _: &mut Notes) {
    network.security_groups.of(&whole.name, whole.resource.at).at = whole.resource.at;
}

pub(super) fn application_group(whole: &Whole<'_>, network: &mut Surroundings, _: &mut Notes) {
    network.application_security_groups.of(&whole.name, whole.resource.at);
}

pub(super) fn rule(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let again = network.is_again("rule", &whole.name);
    let group = network.security_groups.of(whole.parent(), whole.resource.at);
    let name = whole.leaf();
    if again {
        group.rules.retain(|known| !known.name.eq_ignore_ascii_case(&name));
    }
    group.rules.extend(security_rule(&whole.subject, name, notes));
}

/// None where something is missing or wrong, which was noted, or where only Azure knows it.
fn security_rule(rule: &Subject<'_>, name: String, notes: &mut Notes) -> Option<SecurityRule> {
    for key in ["priority", "direction", "access", "protocol"] {
        if rule.get(key).is_none() {
            notes.missing(key, rule, "every security rule has one");
        }
    }
    let access = notes.word(rule, "access", ACCESS);
    let effect = if access == Some(Action::Allow) { Effect::Allows } else { Effect::Denies };
    let rule = &Subject { effect, ..*rule };
    let priority = security_priority(rule, notes);
    let direction = notes.word(rule, "direction", DIRECTIONS);
    let protocol = notes.word(rule, "protocol", PROTOCOLS);
    let source = endpoint(rule, "source", notes);
    let destination = endpoint(rule, "destination", notes);
    Some(SecurityRule {
        name,
        priority: priority?,
        direction: direction?,
        access: access?,
        protocol: protocol?,
        source,
        destination,
        at: rule.at,
    })
}

fn security_priority(rule: &Subject<'_>, notes: &mut Notes) -> Option<u16> {
    let (number, at) = notes.number(rule, "priority")?;
    let priority = u16::try_from(number).ok().filter(|number| (100..=4096).contains(number));
    if priority.is_none() {
        let what = format!("priority {number} of {} is out of range: 100 (first) to 4096 (last)", rule.what);
        notes.push(Note::new(Severity::Error, at, what));
    }
    priority
}

/// Singular and plural properties of one side; Azure takes either.
fn endpoint(rule: &Subject<'_>, side: &str, notes: &mut Notes) -> RuleSide {
    let key = |rest: &str| format!("{side}{rest}");
    RuleSide {
        prefixes: prefixes(rule, &[&key("AddressPrefix"), &key("AddressPrefixes")], notes),
        ports: ports(rule, &[&key("PortRange"), &key("PortRanges")], notes),
        application_security_groups: all_referred(rule, &key("ApplicationSecurityGroups")),
    }
}
