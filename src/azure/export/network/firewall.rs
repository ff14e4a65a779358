//! What of the firewall's policy a list of changes touches: its own group of rules, and the groups that lose some.

use crate::azure::export::Options;
use crate::azure::export::names::Shortest;
use crate::azure::export::plan::Plan;
use crate::policy::{PolicyRules, RuleSet, Rules};
use crate::vnet::{Change, MENDED, Topology};

use super::{Site, same};

/// A rule of a policy by the names that lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found<'r> {
    pub policy: &'r str,
    pub group: &'r str,
    pub collection: &'r str,
    pub rule: &'r str,
}

/// The rule at `policy/group/collection/rule`. Names may hold slashes, so the path is not taken apart.
pub(super) fn find<'r>(rules: &'r RuleSet, path: &str) -> Option<Found<'r>> {
    all(rules).find(|it| same(&format!("{}/{}/{}/{}", it.policy, it.group, it.collection, it.rule), path))
}

fn all(rules: &RuleSet) -> impl Iterator<Item = Found<'_>> {
    let groups = rules.policies.iter().flat_map(|policy| policy.groups.iter().map(move |group| (policy, group)));
    let collections = groups.flat_map(|(policy, group)| group.collections.iter().map(move |it| (policy, group, it)));
    collections.flat_map(|(policy, group, collection)| {
        let found = |rule| Found { policy: &policy.name, group: &group.name, collection: &collection.name, rule };
        names(&collection.rules).into_iter().map(found)
    })
}

fn names(rules: &Rules) -> Vec<&str> {
    match rules {
        Rules::Dnat(rules) => rules.iter().map(|rule| rule.name.as_str()).collect(),
        Rules::Network(_, rules) => rules.iter().map(|rule| rule.name.as_str()).collect(),
        Rules::Application(_, rules) => rules.iter().map(|rule| rule.name.as_str()).collect(),
    }
}

/// True where the changes add a rule to the firewall.
pub(super) fn adds(changes: &[Change]) -> bool {
    changes.iter().any(|change| matches!(change, Change::ApplicationRule(_) | Change::NetworkRule(_)))
}

/// The group of the changes as it is in the end, in its policy. Empty where no rule is added.
pub(super) fn mended(changes: &[Change], site: &Site<'_>, shortest: Shortest) -> Plan {
    touched(changes, site, shortest, |group| adds(changes) && same(group, MENDED))
}

/// All groups that are not as they were.
pub(super) fn rewritten(changes: &[Change], site: &Site<'_>, shortest: Shortest) -> Plan {
    let loses = |group: &str| {
        let removed = changes.iter().filter_map(|change| match change {
            Change::RemoveFirewallRule { rule } => find(site.rules, rule),
            _ => None,
        });
        removed.into_iter().any(|found| same(found.group, group))
    };
    touched(changes, site, shortest, |group| (adds(changes) && same(group, MENDED)) || loses(group))
}

fn touched(changes: &[Change], site: &Site<'_>, shortest: Shortest, keeps: impl Fn(&str) -> bool) -> Plan {
    let mut rules = RuleSet { policies: site.rules.policies.clone(), ..RuleSet::default() };
    let of_firewall = |change: &&Change| {
        matches!(change, Change::ApplicationRule(_) | Change::NetworkRule(_) | Change::RemoveFirewallRule { .. })
    };
    changes.iter().filter(of_firewall).for_each(|change| change.apply(&mut Topology::default(), &mut rules));
    let policies = rules.policies.into_iter().map(|policy| PolicyRules {
        groups: policy.groups.into_iter().filter(|group| keeps(&group.name)).collect(),
        ..policy
    });
    let policies = policies.filter(|policy| !policy.groups.is_empty()).collect();
    Plan::new(&RuleSet { policies, ..RuleSet::default() }, &Options::default(), shortest)
}
