//! What of the firewall's policy a list of changes touches: its own group of rules, and the groups that lose some.

use crate::allowlist;
use crate::azure::export::Options;
use crate::azure::export::names::Shortest;
use crate::azure::export::plan::Plan;
use crate::azure::note::Note;
use crate::policy::{PolicyRules, RuleCollectionGroup, RuleSet, Rules};
use crate::vnet::{Change, MENDED, MENDED_CLASSIC, Topology};

use super::{Site, not_written, same};

/// A rule of a policy by the names that lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found<'r> {
    pub policy: &'r str,
    pub group: &'r str,
    pub collection: &'r str,
    pub rule: &'r str,
    pub rules: &'r Rules,
}

/// Where rules that are added go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// A policy, or one that is made for them.
    Policy,
    /// A firewall without a policy.
    Firewall(String),
    /// No command reaches it: what is not known.
    Unknown(String),
}

/// What has the last word.
pub(super) fn owner(site: &Site<'_>) -> Owner {
    let Some(last) = site.rules.policies.last() else { return Owner::Policy };
    if last.is_classic() {
        return classic_owner(site).map_or_else(
            || Owner::Unknown("which firewall has these rules is not known".to_owned()),
            |name| Owner::Firewall(name.to_owned()),
        );
    }
    if allowlist::builtin(&last.name).is_some() {
        let why = format!("`{}` is built in here, and which policy the firewall in Azure has is not known", last.name);
        return Owner::Unknown(why);
    }
    Owner::Policy
}

/// The firewall whose own rules they are: as it was read, or the only one there is.
pub(super) fn classic_owner<'s>(site: &Site<'s>) -> Option<&'s str> {
    let written = site.rules.policies.iter().rfind(|policy| policy.is_classic())?.firewall.as_deref();
    let only = || match site.topology.firewalls.as_slice() {
        [only] => Some(only.name.as_str()),
        _ => None,
    };
    written.or_else(only)
}

/// What is said of rules that cannot be written.
pub(super) fn unknown(why: &str) -> Note {
    let what = format!("the rules of the firewall are not written: {why}");
    not_written(what, "name its policy, as a file that Azure's tools print, by --policy")
}

/// In forms that would have to write the whole firewall, of which a topology knows a part.
fn classic(firewall: &str) -> Note {
    let what = format!(
        "the rules of the firewall `{firewall}` are not written: without a policy they are a part of its own resource, \
         which would have to be written whole"
    );
    not_written(what, "run the commands of az, or add the rules to its own template")
}

/// The rule at `policy/group/collection/rule`. Names may hold slashes, so the path is not taken apart.
pub(super) fn find<'r>(rules: &'r RuleSet, path: &str) -> Option<Found<'r>> {
    all(rules).find(|it| same(&format!("{}/{}/{}/{}", it.policy, it.group, it.collection, it.rule), path))
}

fn all(rules: &RuleSet) -> impl Iterator<Item = Found<'_>> {
    let groups = rules.policies.iter().flat_map(|policy| policy.groups.iter().map(move |group| (policy, group)));
    let collections = groups.flat_map(|(policy, group)| group.collections.iter().map(move |it| (policy, group, it)));
    collections.flat_map(|(policy, group, collection)| {
        let (group, rules) = (&group.name, &collection.rules);
        let found = |rule| Found { policy: &policy.name, group, collection: &collection.name, rule, rules };
        names(&collection.rules).into_iter().map(found)
    })
}

pub(super) fn names(rules: &Rules) -> Vec<&str> {
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

/// The collections of the changes as they are in the end, in a firewall without a policy.
pub(super) fn mended_classic(changes: &[Change], site: &Site<'_>) -> Plan {
    let is_own = |name: &str| MENDED_CLASSIC.iter().any(|own| same(own, name));
    touched(changes, site, Shortest::One, |group| group.is_empty(), is_own)
}

/// The group of the changes as it is in the end, in its policy. Empty where no rule is added.
pub(super) fn mended(changes: &[Change], site: &Site<'_>, shortest: Shortest) -> Plan {
    if let Some(note) = refusal(changes, site) {
        return Plan { notes: vec![note], ..Plan::default() };
    }
    touched(changes, site, shortest, |group| adds(changes) && same(group, MENDED), |_| true)
}

/// Why rules have no policy to go into.
pub(super) fn refusal(changes: &[Change], site: &Site<'_>) -> Option<Note> {
    let touches = |change: &Change| {
        matches!(change, Change::ApplicationRule(_) | Change::NetworkRule(_) | Change::RemoveFirewallRule { .. })
    };
    if !changes.iter().any(touches) {
        return None;
    }
    match owner(site) {
        Owner::Policy => None,
        Owner::Firewall(name) => Some(classic(&name)),
        Owner::Unknown(why) => Some(unknown(&why)),
    }
}

/// All groups that are not as they were.
pub(super) fn rewritten(changes: &[Change], site: &Site<'_>, shortest: Shortest) -> Plan {
    if let Some(note) = refusal(changes, site) {
        return Plan { notes: vec![note], ..Plan::default() };
    }
    let loses = |group: &str| {
        let removed = changes.iter().filter_map(|change| match change {
            Change::RemoveFirewallRule { rule } => find(site.rules, rule),
            _ => None,
        });
        removed.into_iter().any(|found| same(found.group, group))
    };
    touched(changes, site, shortest, |group| (adds(changes) && same(group, MENDED)) || loses(group), |_| true)
}

/// Groups that lose their last rule: Azure keeps such a group, with nothing in it.
pub(super) fn emptied<'r>(changes: &[Change], site: &Site<'r>) -> Vec<(&'r PolicyRules, &'r RuleCollectionGroup)> {
    if refusal(changes, site).is_some() {
        return Vec::new();
    }
    let mut after = RuleSet { policies: site.rules.policies.clone(), ..RuleSet::default() };
    changes.iter().for_each(|change| change.apply(&mut Topology::default(), &mut after));
    let is_left = |policy: &PolicyRules, group: &RuleCollectionGroup| {
        let policies = after.policies.iter().filter(|it| it.name == policy.name);
        policies.flat_map(|it| &it.groups).any(|it| same(&it.name, &group.name) && !it.collections.is_empty())
    };
    let groups = site.rules.policies.iter().flat_map(|policy| policy.groups.iter().map(move |group| (policy, group)));
    groups.filter(|(policy, group)| !group.collections.is_empty() && !is_left(policy, group)).collect()
}

/// The groups that are kept, with the collections that are.
fn touched(
    changes: &[Change],
    site: &Site<'_>,
    shortest: Shortest,
    keeps: impl Fn(&str) -> bool,
    keeps_collection: impl Fn(&str) -> bool,
) -> Plan {
    let mut rules = RuleSet { policies: site.rules.policies.clone(), ..RuleSet::default() };
    let of_firewall = |change: &&Change| {
        matches!(change, Change::ApplicationRule(_) | Change::NetworkRule(_) | Change::RemoveFirewallRule { .. })
    };
    changes.iter().filter(of_firewall).for_each(|change| change.apply(&mut Topology::default(), &mut rules));
    let of_group = |mut group: RuleCollectionGroup| {
        group.collections.retain(|collection| keeps_collection(&collection.name));
        group
    };
    let policies = rules.policies.into_iter().map(|policy| PolicyRules {
        groups: policy.groups.into_iter().filter(|group| keeps(&group.name)).map(of_group).collect(),
        ..policy
    });
    let policies = policies.filter(|policy| !policy.groups.is_empty()).collect();
    Plan::new(&RuleSet { policies, ..RuleSet::default() }, &Options::default(), shortest)
}
