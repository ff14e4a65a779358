//! What Azure limits of security groups and route tables (azure-docs, network-security-groups-overview.md, 2025;
//! virtual-networks-udr-overview.md, 2023; includes/azure-virtual-network-limits.md).

use std::collections::{HashMap, HashSet};

use crate::config::error::Problem;
use crate::flow::nearest;
use crate::policy::Spot;
use crate::vnet::recipe::{MOST_ROUTES, MOST_TAG_ROUTES};
use crate::vnet::{
    FlowDirection, NetworkSecurityGroup, Prefix, RouteDestination, RouteTable, RuleSide, SecurityRule, Tags,
};

use super::faults::Teller;

/// Rules of a group.
const RULES: usize = 1000;
/// Addresses and prefixes of one side of a rule.
const PREFIXES: usize = 4000;
/// Application security groups of one side of a rule, and of all rules of a group.
const ASGS_OF_SIDE: usize = 10;
const ASGS: usize = 100;
/// Characters of a rule's name.
const NAME: usize = 80;

/// What each network has of its own, in lower case: no file holds it.
const MADE_UP: [&str; 6] =
    ["virtualnetwork", "azureloadbalancer", "internet", "azureplatformdns", "azureplatformimds", "azureplatformlkm"];

pub(super) fn security_group(group: &NetworkSecurityGroup, tags: &Tags, teller: &mut Teller<'_>) {
    if group.rules.len() > RULES {
        let what = format!("`{}` has {} rules: {RULES} is the most", group.name, group.rules.len());
        teller.error(group.at, "", Problem::new(what).mend("name several prefixes and ports in one rule"));
    }
    priorities(group, teller);
    let mut asgs = HashSet::new();
    for rule in &group.rules {
        if rule.name.chars().count() > NAME {
            let what = format!("the name of rule `{}` is too long: {NAME} characters at most", rule.name);
            teller.error(rule.at, "", Problem::new(what).mend("give it a shorter one"));
        }
        for (side, endpoint) in [("source", &rule.source), ("destination", &rule.destination)] {
            one_side(rule, side, endpoint, tags, teller);
            asgs.extend(endpoint.application_security_groups.iter().map(|name| name.to_lowercase()));
        }
    }
    if asgs.len() > ASGS {
        let what = format!(
            "the rules of `{}` name {} application security groups: {ASGS} is the most",
            group.name,
            asgs.len()
        );
        teller.error(group.at, "", Problem::new(what).mend("put them into groups with fewer names"));
    }
}

fn priorities(group: &NetworkSecurityGroup, teller: &mut Teller<'_>) {
    let all: HashSet<(FlowDirection, u16)> = group.rules.iter().map(|rule| (rule.direction, rule.priority)).collect();
    let mut taken: HashMap<(FlowDirection, u16), &str> = HashMap::new();
    for rule in &group.rules {
        if let Some(other) = taken.insert((rule.direction, rule.priority), &rule.name) {
            let (priority, direction) = (rule.priority, rule.direction.as_str());
            let what = format!("priority {priority} of `{}` is that of `{other}` already, {direction}", rule.name);
            let free = (priority..=4096).find(|free| !all.contains(&(rule.direction, *free)));
            let mend = free.map_or("leave one out".to_owned(), |free| format!("{free} is free"));
            teller.error(rule.at, &priority.to_string(), Problem::new(what).mend(mend));
        }
    }
}

fn one_side(rule: &SecurityRule, side: &str, endpoint: &RuleSide, tags: &Tags, teller: &mut Teller<'_>) {
    let RuleSide { prefixes, ports, application_security_groups } = endpoint;
    let name = &rule.name;
    let mut error = |word: &str, what: String, mend: &str| {
        teller.error(rule.at, word, Problem::new(what).mend(mend));
    };
    if prefixes.is_empty() && application_security_groups.is_empty() {
        error(side, format!("the {side} of rule `{name}` is empty: it matches nothing"), "write `*` for any");
    }
    if ports.is_empty() {
        error("ports", format!("rule `{name}` names no {side} port: it matches nothing"), "write `*` for any");
    }
    if prefixes.len() > PREFIXES {
        let what = format!("rule `{name}` names {} prefixes as its {side}: {PREFIXES} is the most", prefixes.len());
        error(side, what, "split it, or use a service tag");
    }
    if application_security_groups.len() > ASGS_OF_SIDE {
        let what = format!("rule `{name}` names more than {ASGS_OF_SIDE} application security groups as its {side}");
        error(side, what, "split it");
    }
    let of_tags: Vec<&str> = prefixes.iter().filter_map(tag_of).collect();
    if let [_, second, ..] = of_tags.as_slice() {
        error(
            second,
            format!("rule `{name}` names {} service tags as its {side}: one is the most", of_tags.len()),
            "write a rule for each",
        );
    }
    of_tags.into_iter().for_each(|tag| known_tag(tag, rule.at, tags, teller));
}

fn tag_of(prefix: &Prefix) -> Option<&str> {
    match prefix {
        Prefix::Tag(tag) => Some(tag),
        Prefix::Any | Prefix::Net(_) => None,
    }
}

fn known_tag(tag: &str, at: Spot, tags: &Tags, teller: &mut Teller<'_>) {
    if MADE_UP.contains(&tag.to_lowercase().as_str()) || tags.published(tag).is_some() {
        return;
    }
    let at_hand = tags.names().into_iter().chain(["VirtualNetwork", "AzureLoadBalancer", "Internet"]);
    let mend = match nearest(tag, at_hand) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "give the file it is in by --service-tags".to_owned(),
    };
    let what = format!("the service tag `{tag}` is not known here: it stands for no address");
    teller.doubt(at, tag, Problem::new(what).mend(mend));
}

/// A table that is too large is only warned of: what comes of it for an environment is the doctor's to say (`RT-LIMITS`).
pub(super) fn route_table(table: &RouteTable, tags: &Tags, teller: &mut Teller<'_>) {
    if table.routes.len() > MOST_ROUTES {
        let what = format!("`{}` has {} routes: {MOST_ROUTES} is the most", table.name, table.routes.len());
        teller.warn(table.at, "", Problem::new(what).mend("name prefixes that are wider, or service tags"));
    }
    let mut seen: HashMap<&RouteDestination, &str> = HashMap::new();
    let mut of_tags = 0;
    for route in &table.routes {
        let written = match &route.destination {
            RouteDestination::Net(net) => net.to_string(),
            RouteDestination::Tag(tag) => {
                of_tags += 1;
                known_tag(tag, route.at, tags, teller);
                tag.clone()
            }
        };
        if let Some(other) = seen.insert(&route.destination, &route.name) {
            let what =
                format!("route `{}` has the prefix of `{other}`, {written}: Azure takes one of them", route.name);
            teller.warn(route.at, &written, Problem::new(what).mend("leave one out"));
        }
    }
    if of_tags > MOST_TAG_ROUTES {
        let what = format!("`{}` has {of_tags} routes with service tags: {MOST_TAG_ROUTES} is the most", table.name);
        teller.warn(table.at, "", Problem::new(what).mend("write prefixes for some of them"));
    }
}
