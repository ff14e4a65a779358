//! Network security groups and their rules.

use std::collections::HashSet;

use crate::config::error::{Findings, Placed, Problem};
use crate::config::reader::Section;
use crate::policy::Action;
use crate::vnet::{FlowDirection, Prefix, RuleSide, SecurityProtocol, SecurityRule, Topology};

use super::names::{Written, report_twice};
use super::values::{self, text, texts};

pub(super) fn security_group(
    section: &Section,
    topology: &mut Topology,
    written: &mut Written,
    findings: &mut Findings,
) {
    let group = written.slot(&mut topology.security_groups, text(section, "name"), section, findings);
    group.at = section.spot();
    let mut seen = HashSet::new();
    let mut own = Vec::new();
    for section in section.tables("rule", findings) {
        let name = text(&section, "name");
        if !seen.insert(name.to_lowercase()) {
            report_twice("rule", &name, &section, findings);
        }
        own.extend(rule(&section, name, findings));
    }
    group.rules.retain(|known| !seen.contains(&known.name.to_lowercase()));
    group.rules.extend(own);
}

/// None where what has to be there is missing, or is no such thing: that was reported.
fn rule(section: &Section, name: String, findings: &mut Findings) -> Option<SecurityRule> {
    let priority = section.count("priority").and_then(|number| u16::try_from(number.value).ok());
    let direction = values::word::<FlowDirection>(section, "direction", values::DIRECTIONS, findings);
    let access = values::word::<Action>(section, "access", values::ACCESS, findings);
    let protocol = match section.has("protocol") {
        true => values::word(section, "protocol", values::PROTOCOLS, findings),
        false => Some(SecurityProtocol::Any),
    };
    let source = side(section, "source", "source_asgs", "source_ports", findings);
    let destination = side(section, "destination", "destination_asgs", "ports", findings);
    Some(SecurityRule {
        name,
        priority: priority?,
        direction: direction?,
        access: access?,
        protocol: protocol?,
        source: source?,
        destination: destination?,
        at: section.spot(),
    })
}

/// None where some of it cannot be read.
fn side(section: &Section, addresses: &str, groups: &str, ports: &str, findings: &mut Findings) -> Option<RuleSide> {
    let application_security_groups = texts(section, groups);
    let prefixes = match section.list(addresses) {
        Some(items) => {
            let read: Vec<Option<Prefix>> = items.iter().flat_map(parts).map(|item| prefix(&item, findings)).collect();
            read.into_iter().collect()
        }
        None if application_security_groups.is_empty() => Some(vec![Prefix::Any]),
        None => Some(Vec::new()),
    };
    let ports = values::ports(section, ports, findings);
    Some(RuleSide { prefixes: prefixes?, ports: ports?, application_security_groups })
}

/// A list in one text, as the portal takes it.
fn parts(item: &Placed<String>) -> Vec<Placed<String>> {
    let part = |text: &str| Placed { value: text.trim().to_owned(), place: item.place.clone() };
    item.value.split(',').map(part).collect()
}

fn prefix(item: &Placed<String>, findings: &mut Findings) -> Option<Prefix> {
    match item.value.as_str() {
        "*" => Some(Prefix::Any),
        tag if values::is_tag(tag) => Some(Prefix::Tag(tag.to_owned())),
        "" => item.read(findings, |_| Err(Problem::new("an address is empty").mend("write * for any"))),
        _ => values::prefix(item, findings).map(Prefix::Net),
    }
}
