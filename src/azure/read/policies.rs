//! Firewall policies with their groups, and firewalls that hold their rules themselves.

use std::collections::HashSet;

use super::collections::effect_of_all;
use super::ident::{Ident, Idents, leaf, reference};
use super::ip_groups::IpGroups;
use super::members;
use super::notes::{Effect, Notes, Subject, is_wrong, shown};
use super::rules::{Form, RuleReader};
use super::settings;
use super::words::RuleType;
use crate::allowlist::Catalogue;
use crate::azure::json::{Node, Object, Value};
use crate::azure::note::{Note, Severity};
use crate::azure::shape::Resource;
use crate::policy::{PolicyRules, Priority, RuleCollection, RuleCollectionGroup, Rules, Spot};

/// A policy as it was found; whether it takes part is for others to say.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundPolicy {
    pub rules: PolicyRules,
    /// By which people pick it: the policy's name, or the firewall's.
    pub label: String,
    pub kind: FoundKind,
    pub ident: Ident,
    /// The parent that it names.
    pub base: Option<Base>,
    /// The number of the set of resources that it is of.
    pub set: usize,
}

/// A policy that another one names as its parent.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    pub ident: Ident,
    /// As it is written.
    pub name: String,
    pub at: Spot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    Policy,
    /// A firewall with rules of its own.
    Classic,
    /// Groups of a policy that is not at hand.
    GroupsAlone,
}

/// A firewall that has its rules from a policy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attachment {
    pub policy: Ident,
    /// As it is written.
    pub name: String,
    pub set: usize,
    pub at: Spot,
    pub firewall: String,
}

pub(super) const POLICY: &str = "Microsoft.Network/firewallPolicies";
pub(super) const GROUP: &str = "Microsoft.Network/firewallPolicies/ruleCollectionGroups";
/// Turned into groups with collections before it is read.
pub(super) const LEGACY_GROUP: &str = "Microsoft.Network/firewallPolicies/ruleGroups";
pub(super) const FIREWALL: &str = "Microsoft.Network/azureFirewalls";

pub(super) struct Finder<'r> {
    pub notes: &'r mut Notes,
    pub catalogue: &'r Catalogue,
    pub ip_groups: &'r IpGroups,
    pub found: Vec<FoundPolicy>,
    pub attachments: Vec<Attachment>,
    /// Where in `found` what groups and firewalls name is.
    idents: Idents,
    /// The groups of what was found, by their names in lower case.
    group_names: HashSet<(usize, String)>,
    /// Groups that a policy names, to be told of where they are not at hand.
    named_groups: Vec<(usize, String, Spot)>,
}

impl<'r> Finder<'r> {
    pub(super) fn new(notes: &'r mut Notes, catalogue: &'r Catalogue, ip_groups: &'r IpGroups) -> Finder<'r> {
        let (found, attachments, idents, group_names, named_groups) = Default::default();
        Finder { notes, catalogue, ip_groups, found, attachments, idents, group_names, named_groups }
    }

    /// Policies and firewalls first, so that groups find them whatever the order of the files.
    pub(super) fn find(&mut self, sets: &[&[Resource]]) {
        // An error was told of each name that came out wrong; who it is of cannot be said.
        let all = || sets.iter().enumerate().flat_map(|(set, all)| all.iter().map(move |resource| (set, resource)));
        let all = || all().filter(|(_, resource)| !is_wrong(&resource.name));
        for (set, resource) in all() {
            if resource.is(POLICY) {
                self.policy(set, resource);
            } else if resource.is(FIREWALL) {
                self.firewall(set, resource);
            }
        }
        all().filter(|(_, resource)| resource.is(GROUP)).for_each(|(set, resource)| self.group(set, resource));
        self.report_missing_groups();
    }

    fn policy(&mut self, set: usize, resource: &Resource) {
        let label = shown(&resource.name);
        let what = format!("policy `{label}`");
        // Groups may stand in what is not known, and deny.
        let Some(whole) = self.notes.resource(resource, &what, Effect::Denies) else { return };
        let subject = Subject { effect: Effect::Allows, ..whole };
        let ident = Ident::of(resource);
        let same = |other: &&FoundPolicy| other.kind == FoundKind::Policy && other.ident == ident;
        if let Some(other) = self.idents.fitting(&ident).map(|at| &self.found[at]).find(same) {
            let note = Note::new(Severity::Error, resource.at, format!("the {what} is there already"));
            let mend = if other.set == set { "leave one out" } else { "give one of the two files" };
            return self.notes.push(note.mend(mend).check("duplicate-name"));
        }
        let base = settings::base_policy(&subject, &mut Notes::default());
        let base = base.map(|id| Base { ident: Ident::parse(id.text), name: leaf(id.text).to_owned(), at: id.at });
        let settings = settings::of_policy(resource, &subject, self.notes);
        let mut rules = PolicyRules { name: label.clone(), settings, at: resource.at, ..PolicyRules::default() };
        let inline = self.notes.objects(&whole, "ruleCollectionGroups");
        rules.groups = inline.into_iter().filter_map(|node| self.inline_group(node)).collect();
        self.add(FoundPolicy { rules, label, kind: FoundKind::Policy, ident, base, set });
    }

    fn add(&mut self, policy: FoundPolicy) -> usize {
        let at = self.found.len();
        self.group_names.extend(policy.rules.groups.iter().map(|group| (at, group.name.to_ascii_lowercase())));
        self.idents.insert(&policy.ident, at);
        self.found.push(policy);
        at
    }

    /// A group in its policy's properties; most often it is only named there.
    fn inline_group(&mut self, node: &Node) -> Option<RuleCollectionGroup> {
        let properties = node.get("properties").unwrap_or(node);
        let is_known = !matches!(properties.value, Value::Unknown(_));
        if is_known && properties.get("ruleCollections").or(properties.get("priority")).is_none() {
            let id = reference(node).text()?;
            self.named_groups.push((self.found.len(), leaf(id).to_owned(), node.at));
            return None;
        }
        let object = node.object()?;
        let name = self.notes.name(object);
        self.read_group(properties, object, name, node.at)
    }

    fn group(&mut self, set: usize, resource: &Resource) {
        let full = shown(&resource.name);
        let (policy, name) = full.rsplit_once('/').unwrap_or(("", &full));
        let group = self.read_group(&resource.properties, &resource.rest, name.to_owned(), resource.at);
        let at = self.policy_of(set, resource, policy);
        let Some(group) = group else { return };
        if !self.group_names.insert((at, group.name.to_ascii_lowercase())) {
            let what = format!("the rule collection group `{}` is there already", group.name);
            let note = Note::new(Severity::Error, resource.at, what);
            return self.notes.push(note.mend("leave one out").check("duplicate-name"));
        }
        self.found[at].rules.groups.push(group);
    }

    /// `around` is what the properties stand in.
    fn read_group(
        &mut self,
        properties: &Node,
        around: &Object,
        name: String,
        at: Spot,
    ) -> Option<RuleCollectionGroup> {
        let what = format!("rule collection group `{name}`");
        let whole = Subject { object: around, at, what: &what, effect: Effect::Denies };
        let object = self.notes.properties(properties, &whole)?;
        let subject = Subject { object, effect: effect_of_all(properties), ..whole };
        self.notes.strangers(&subject, members::GROUP);
        let priority = self.notes.priority(&subject);
        let collections = self.reader(Form::Policy).collections(&subject);
        Some(RuleCollectionGroup { name, priority: priority?, collections, at })
    }

    fn reader(&mut self, form: Form) -> RuleReader<'_> {
        RuleReader { notes: self.notes, catalogue: self.catalogue, ip_groups: self.ip_groups, form }
    }

    /// The policy that a group is of; one of the same file before others of that name.
    fn policy_of(&mut self, set: usize, group: &Resource, name: &str) -> usize {
        let ident = Ident::of(group).parent().unwrap_or(Ident::parse(name));
        // The index knows nothing of resource groups.
        let fits = |at: &usize| self.is_owner(*at) && self.found[*at].ident.is(&ident);
        let fitting = self.idents.fitting(&ident).filter(fits);
        if let Some(at) = fitting.min_by_key(|at| (self.found[*at].set != set, *at)) {
            return at;
        }
        let rules = PolicyRules { name: name.to_owned(), at: group.at, ..PolicyRules::default() };
        let label = name.to_owned();
        self.add(FoundPolicy { rules, label, kind: FoundKind::GroupsAlone, ident, base: None, set })
    }

    /// Policies are named by others; rules of a firewall's own are not.
    fn is_owner(&self, at: usize) -> bool {
        self.found[at].kind != FoundKind::Classic
    }

    fn report_missing_groups(&mut self) {
        for (policy, name, at) in &self.named_groups {
            let Some(FoundPolicy { label, .. }) = self.found.get(*policy) else { continue };
            if self.group_names.contains(&(*policy, name.to_ascii_lowercase())) {
                continue;
            }
            let what = format!("policy `{label}` names the rule collection group `{name}`, which is not in the files");
            let mend = "give it too: az network firewall policy rule-collection-group list -o json";
            self.notes.push(Note::new(Severity::Doubt, *at, what).mend(mend).check("missing-group"));
        }
    }

    fn firewall(&mut self, set: usize, resource: &Resource) {
        let label = shown(&resource.name);
        let what = format!("firewall `{label}`");
        let Some(subject) = self.notes.resource(resource, &what, Effect::Allows) else { return };
        match subject.get("firewallPolicy").filter(|node| node.object().is_none_or(|it| it.get("id").is_some())) {
            Some(policy) => self.attach(set, &subject, label.clone(), policy),
            None => self.classic_firewall(set, resource, &subject, label.clone()),
        }
    }

    fn attach(&mut self, set: usize, subject: &Subject<'_>, firewall: String, policy: &Node) {
        let own = CLASSIC.iter().filter_map(|(key, _)| subject.get(key));
        let own = own.filter(|node| node.list().is_none_or(|items| !items.is_empty())).collect::<Vec<_>>();
        if let Some(node) = own.first() {
            let what = format!("{} has a policy: its own rules do not count", subject.what);
            self.notes.push(Note::new(Severity::Warning, node.at, what).check("classic-beside-policy"));
        }
        let id = reference(policy);
        match &id.value {
            Value::Unknown(unknown) => self.notes.unknown(subject, "firewallPolicy", id.at, unknown),
            _ => {
                let text = id.text().unwrap_or_default();
                let (policy, name) = (Ident::parse(text), leaf(text).to_owned());
                self.attachments.push(Attachment { policy, name, set, at: id.at, firewall });
            }
        }
    }

    fn classic_firewall(&mut self, set: usize, resource: &Resource, subject: &Subject<'_>, label: String) {
        let settings = settings::of_firewall(resource, subject, self.notes);
        let mut collections = Vec::new();
        for (key, kind) in CLASSIC {
            // Of a list that is not known nobody can say that it only allows.
            let effect = if *kind == RuleType::Nat { Effect::Allows } else { Effect::Denies };
            let subject = Subject { effect, ..*subject };
            collections.extend(self.reader(Form::Classic).classic(&subject, key, *kind));
        }
        let groups = classic_groups(collections, resource.at);
        let firewall = Some(label.clone());
        let rules = PolicyRules { name: String::new(), groups, settings, firewall, at: resource.at };
        let (kind, ident) = (FoundKind::Classic, Ident::of(resource));
        self.add(FoundPolicy { rules, label, kind, ident, base: None, set });
    }

    /// Firewalls whose policy is not at hand.
    pub(super) fn report_missing_policies(&mut self) {
        for Attachment { policy, name, set: _, at, firewall } in &self.attachments {
            if !self.idents.fitting(policy).any(|at| self.is_owner(at)) {
                let what =
                    format!("firewall `{firewall}` has its rules from the policy `{name}`, which is not in the files");
                let mend = "give its file too, by one more --policy";
                self.notes.push(Note::new(Severity::Doubt, *at, what).mend(mend).check("missing-policy"));
            }
        }
    }
}

/// The collections of classic firewalls.
const CLASSIC: &[(&str, RuleType)] = &[
    ("natRuleCollections", RuleType::Nat),
    ("networkRuleCollections", RuleType::Network),
    ("applicationRuleCollections", RuleType::Application),
];

/// One group without a name: of its collections each type has an order of its own anyhow.
fn classic_groups(collections: Vec<RuleCollection>, at: Spot) -> Vec<RuleCollectionGroup> {
    let first = Priority::try_from(100);
    match first {
        Ok(priority) if !collections.is_empty() => {
            vec![RuleCollectionGroup { name: String::new(), priority, collections, at }]
        }
        _ => Vec::new(),
    }
}

impl FoundPolicy {
    /// Collections of any kind in it.
    pub fn collections(&self) -> impl Iterator<Item = &RuleCollection> {
        self.rules.groups.iter().flat_map(|group| &group.collections)
    }

    pub fn count_rules(&self) -> usize {
        self.collections().map(|collection| count(&collection.rules)).sum()
    }
}

fn count(rules: &Rules) -> usize {
    match rules {
        Rules::Dnat(rules) => rules.len(),
        Rules::Network(_, rules) => rules.len(),
        Rules::Application(_, rules) => rules.len(),
    }
}
