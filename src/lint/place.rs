//! Where a rule stands, for whoever has something to say about it.

use crate::policy::{About, PolicyRules, RuleCollection, RuleCollectionGroup, RuleSet, Spot};

use super::finding::{Check, Finding};

/// A collection with what it is in.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) policy: &'a PolicyRules,
    pub(super) group: &'a RuleCollectionGroup,
    pub(super) collection: &'a RuleCollection,
}

impl<'a> Place<'a> {
    /// Every collection as it is listed: order of evaluation is another matter.
    pub(super) fn all(set: &'a RuleSet) -> impl Iterator<Item = Place<'a>> {
        set.policies.iter().flat_map(Place::of_policy)
    }

    pub(super) fn of_policy(policy: &'a PolicyRules) -> impl Iterator<Item = Place<'a>> {
        policy
            .groups
            .iter()
            .flat_map(move |group| group.collections.iter().map(move |collection| Place { policy, group, collection }))
    }

    /// Of a rule in it.
    pub(super) fn rule(self, check: &'static Check, name: &str, about: &About, what: impl Into<String>) -> Finding {
        let subject = subject(&[&self.policy.name, &self.group.name, &self.collection.name, name]);
        Finding::new(check, about.at, subject, what)
    }

    pub(super) fn collection(self, check: &'static Check, what: impl Into<String>) -> Finding {
        let subject = subject(&[&self.policy.name, &self.group.name, &self.collection.name]);
        Finding::new(check, self.collection.at, subject, what)
    }
}

pub(super) fn of_group(
    policy: &PolicyRules,
    group: &RuleCollectionGroup,
    check: &'static Check,
    what: impl Into<String>,
) -> Finding {
    Finding::new(check, group.at, subject(&[&policy.name, &group.name]), what)
}

pub(super) fn of_policy(policy: &PolicyRules, check: &'static Check, what: impl Into<String>) -> Finding {
    Finding::new(check, policy.at, policy.name.clone(), what)
}

/// The classic rules of a firewall are in no policy and no group: empty names are left out.
pub(super) fn subject(names: &[&str]) -> String {
    let named: Vec<&str> = names.iter().copied().filter(|name| !name.is_empty()).collect();
    named.join("/")
}

/// Was it written by somebody? The built-in lists say what a document says.
pub(super) fn is_written(at: Spot) -> bool {
    at.file().is_some()
}
