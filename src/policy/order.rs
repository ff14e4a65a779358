//! The order in which rules are looked at: one pass for each type; inside it policies, then groups by
//! priority, then collections by priority, then rules as listed (azure-docs, rule-processing.md).
//!
//! Equal priorities are undocumented: here the one listed first comes first.

use super::spot::Spot;
use super::tree::{Action, ApplicationRule, DnatRule, NetworkRule, PolicyRules, RuleCollection, RuleSet, Rules};

/// A rule with where it stands.
#[derive(Debug, Clone, Copy)]
pub struct OrderedRule<'a> {
    pub policy: &'a str,
    pub group: &'a str,
    pub collection: &'a str,
    pub rule: AnyRule<'a>,
}

#[derive(Debug, Clone, Copy)]
pub enum AnyRule<'a> {
    Dnat(&'a DnatRule),
    Network(Action, &'a NetworkRule),
    Application(Action, &'a ApplicationRule),
    Infrastructure(&'a ApplicationRule),
}

impl<'a> AnyRule<'a> {
    pub fn name(self) -> &'a str {
        match self {
            AnyRule::Dnat(rule) => &rule.name,
            AnyRule::Network(_, rule) => &rule.name,
            AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => &rule.name,
        }
    }

    /// Where it is written.
    pub fn at(self) -> Spot {
        match self {
            AnyRule::Dnat(rule) => rule.about.at,
            AnyRule::Network(_, rule) => rule.about.at,
            AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => rule.about.at,
        }
    }

    pub fn action(self) -> Action {
        match self {
            AnyRule::Network(action, _) | AnyRule::Application(action, _) => action,
            AnyRule::Dnat(_) | AnyRule::Infrastructure(_) => Action::Allow,
        }
    }
}

/// Every rule, first looked at first. A rule's place in it is its [`RuleId`](super::RuleId).
pub fn in_order(set: &RuleSet) -> Vec<OrderedRule<'_>> {
    let mut dnat = Vec::new();
    let mut network = Vec::new();
    let mut application = Vec::new();
    for (policy, group, collection) in set.policies.iter().flat_map(collections_in_order) {
        let place = |rule| OrderedRule { policy, group, collection: &collection.name, rule };
        match &collection.rules {
            Rules::Dnat(rules) => dnat.extend(rules.iter().map(|r| place(AnyRule::Dnat(r)))),
            Rules::Network(action, rules) => {
                network.extend(rules.iter().map(|r| place(AnyRule::Network(*action, r))));
            }
            Rules::Application(action, rules) => {
                application.extend(rules.iter().map(|r| place(AnyRule::Application(*action, r))));
            }
        }
    }
    let built_in = |rule| OrderedRule {
        policy: "azure",
        group: "infrastructure",
        collection: "infrastructure",
        rule: AnyRule::Infrastructure(rule),
    };
    let infrastructure = set.infrastructure.iter().map(built_in);
    dnat.into_iter().chain(network).chain(application).chain(infrastructure).collect()
}

fn collections_in_order(policy: &PolicyRules) -> impl Iterator<Item = (&str, &str, &RuleCollection)> {
    let mut groups: Vec<_> = policy.groups.iter().collect();
    groups.sort_by_key(|group| group.priority);
    groups.into_iter().flat_map(|group| {
        let mut collections: Vec<_> = group.collections.iter().collect();
        collections.sort_by_key(|collection| collection.priority);
        collections.into_iter().map(|collection| (policy.name.as_str(), group.name.as_str(), collection))
    })
}
