//! Names that no tool is given: Azure refuses them, and on the way there they would be something else than a name. `az`
//! reads the file that `@` names, a hyphen begins a flag, and a line break ends a comment.

use crate::policy::RuleSet;
use crate::vnet::{Change, Prefix, RouteDestination, RuleSide, SecurityRule, Topology};

use super::Site;

/// A name that a topology may have and Azure cannot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be written: {why}", one_line(.name))]
pub struct Unwritable {
    name: String,
    why: &'static str,
}

/// On one line, whatever is in it: comments of scripts end with theirs.
pub(super) fn one_line(text: &str) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.chars().flat_map(|c| if is_break(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// All that the tools are told of.
pub(super) fn parse(changes: &[Change], site: &Site<'_>) -> Result<(), Unwritable> {
    let Topology { resource_group, location, .. } = site.topology;
    name(resource_group)?;
    name(location)?;
    changes.iter().try_for_each(|change| of_change(change, site))
}

fn name(text: &str) -> Result<(), Unwritable> {
    let mut chars = text.chars();
    let why = match (chars.next(), chars.next()) {
        _ if text.chars().any(char::is_control) => "Azure takes no name with control characters",
        // By itself it is the name of a zone's own record.
        (Some('@'), Some(_)) => "Azure takes no name that begins with `@`, by which az names files",
        (Some('-'), _) => "Azure takes no name that begins with `-`, by which tools know their flags",
        _ => return Ok(()),
    };
    Err(Unwritable { name: text.to_owned(), why })
}

/// Azure's own: a service, a tag.
fn word(text: &str) -> Result<(), Unwritable> {
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let is_word = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_known);
    let why = "Azure has no service or tag with such characters";
    if is_word { Ok(()) } else { Err(Unwritable { name: text.to_owned(), why }) }
}

fn of_change(change: &Change, site: &Site<'_>) -> Result<(), Unwritable> {
    let names = |names: &[&String]| names.iter().try_for_each(|it| name(it));
    match change {
        Change::SecurityRule { group, rule } => name(group).and_then(|()| of_rule(rule)),
        Change::RemoveSecurityRule { group, rule } => names(&[group, rule]),
        Change::SubnetSecurityGroup { network, subnet, group } => names(&[network, subnet, group]),
        Change::Route { table, route } => {
            names(&[table, &route.name])?;
            match &route.destination {
                RouteDestination::Tag(tag) => word(tag),
                RouteDestination::Net(_) => Ok(()),
            }
        }
        Change::RemoveRoute { table, route } => names(&[table, route]),
        Change::SubnetRouteTable { network, subnet, table } => names(&[network, subnet, table]),
        Change::ServiceEndpoint { network, subnet, service } | Change::Delegation { network, subnet, service } => {
            names(&[network, subnet])?;
            word(service)?;
            let known = site.subnet(network, subnet);
            known.iter().flat_map(|it| it.service_endpoints.iter().chain(&it.delegations)).try_for_each(|it| word(it))
        }
        Change::AddSubnet { network, subnet, .. } => names(&[network, subnet]),
        Change::ApplicationRule(rule) => name(&rule.name).and_then(|()| policies(site.rules)),
        Change::NetworkRule(rule) => name(&rule.name).and_then(|()| policies(site.rules)),
        Change::RemoveFirewallRule { rule } => rule.split('/').try_for_each(name),
        Change::DnsRecord { zone, name: record, .. } => {
            names(&[zone, record])?;
            site.networks_to_link(zone).iter().try_for_each(|it| name(it))
        }
    }
}

fn policies(rules: &RuleSet) -> Result<(), Unwritable> {
    rules.policies.iter().try_for_each(|policy| name(&policy.name))
}

fn of_rule(rule: &SecurityRule) -> Result<(), Unwritable> {
    name(&rule.name)?;
    [&rule.source, &rule.destination].into_iter().try_for_each(of_end)
}

fn of_end(end: &RuleSide) -> Result<(), Unwritable> {
    end.application_security_groups.iter().try_for_each(|group| name(group))?;
    end.prefixes.iter().try_for_each(|prefix| match prefix {
        Prefix::Tag(tag) => word(tag),
        Prefix::Any | Prefix::Net(_) => Ok(()),
    })
}
