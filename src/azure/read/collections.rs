//! Rule collections, of a group in a policy or of a classic firewall.

use super::members;
use super::notes::{Effect, Subject};
use super::rules::{Form, RuleReader};
use super::words::{self, CollectionType, RuleType, WrittenAction};
use crate::azure::json::{Node, Value};
use crate::azure::note::{Note, Severity};
use crate::policy::{Action, RuleCollection, Rules};

impl RuleReader<'_> {
    /// The collections of a group in a policy.
    pub(super) fn collections(&mut self, group: &Subject<'_>) -> Vec<RuleCollection> {
        let nodes = self.notes.objects(group, "ruleCollections");
        nodes.into_iter().filter_map(|node| self.collection(node)).collect()
    }

    fn collection(&mut self, node: &Node) -> Option<RuleCollection> {
        let object = node.object()?;
        let name = self.notes.name(object);
        let what = format!("rule collection `{name}`");
        let subject = Subject { object, at: node.at, what: &what, effect: effect_of(node) };
        self.notes.strangers(&subject, members::COLLECTION);
        let kind = self.collection_type(&subject);
        let action = self.action(&subject);
        let priority = self.notes.priority(&subject);
        let rules = match (kind?, action?) {
            (CollectionType::Nat, WrittenAction::Dnat) => self.of_type(&subject, RuleType::Nat, Action::Allow),
            (CollectionType::Filter, WrittenAction::Verdict(action)) => {
                let kind = self.rule_type_of(&subject);
                self.of_type(&subject, kind, action)
            }
            (kind, _) => {
                self.wrong_action(&subject, kind);
                return None;
            }
        };
        Some(RuleCollection { name, priority: priority?, rules, at: node.at })
    }

    /// The collections of one kind of a classic firewall.
    pub(super) fn classic(&mut self, firewall: &Subject<'_>, key: &str, kind: RuleType) -> Vec<RuleCollection> {
        let nodes = self.notes.objects(firewall, key);
        nodes.into_iter().filter_map(|node| self.classic_collection(node, kind)).collect()
    }

    fn classic_collection(&mut self, node: &Node, kind: RuleType) -> Option<RuleCollection> {
        let name = self.notes.name(node.object()?);
        let what = format!("rule collection `{name}`");
        let whole = Subject { object: node.object()?, at: node.at, what: &what, effect: Effect::Denies };
        // az leaves the level of properties out.
        let object = match whole.get("properties") {
            Some(_) => self.notes.object(&whole, "properties")?.object,
            None => whole.object,
        };
        let effect = effect_of(node.get("properties").unwrap_or(node));
        let subject = Subject { object, effect, ..whole };
        self.notes.strangers(&subject, members::COLLECTION);
        let action = match self.action(&subject) {
            Some(WrittenAction::Verdict(action)) if kind != RuleType::Nat => Some(action),
            Some(WrittenAction::Dnat) if kind == RuleType::Nat => Some(Action::Allow),
            Some(_) => {
                self.wrong_action(
                    &subject,
                    if kind == RuleType::Nat { CollectionType::Nat } else { CollectionType::Filter },
                );
                None
            }
            None => None,
        };
        let priority = self.notes.priority(&subject);
        let rules = self.of_type(&subject, kind, action?);
        Some(RuleCollection { name, priority: priority?, rules, at: node.at })
    }

    fn collection_type(&mut self, subject: &Subject<'_>) -> Option<CollectionType> {
        if subject.get("ruleCollectionType").is_none() {
            let expected = "FirewallPolicyFilterRuleCollection or FirewallPolicyNatRuleCollection";
            self.notes.missing("ruleCollectionType", subject, expected);
        }
        self.notes.word(subject, "ruleCollectionType", words::COLLECTION_TYPES)
    }

    /// `{"type": "Allow"}`, or the word alone.
    fn action(&mut self, subject: &Subject<'_>) -> Option<WrittenAction> {
        let Some(node) = subject.get("action") else {
            self.notes.missing("action", subject, "{\"type\": \"Allow\"}, Deny or Dnat");
            return None;
        };
        match &node.value {
            Value::Object(object) => {
                let inner = Subject { object, at: node.at, ..*subject };
                if inner.get("type").is_none() {
                    self.notes.missing("type", &inner, "Allow, Deny or Dnat");
                }
                self.notes.word(&inner, "type", words::ACTIONS)
            }
            _ => self.notes.word(subject, "action", words::ACTIONS),
        }
    }

    fn wrong_action(&mut self, subject: &Subject<'_>, kind: CollectionType) {
        let what = match kind {
            CollectionType::Nat => format!("the action of {}, which holds NAT rules, is Dnat", subject.what),
            CollectionType::Filter => format!("the action of {} is Allow or Deny", subject.what),
        };
        self.notes.push(Note::new(Severity::Error, subject.place_of("action"), what).check("wrong-action"));
    }

    /// Only its rules say of which type a filter collection is; without any, its name is as good as a guess.
    fn rule_type_of(&mut self, collection: &Subject<'_>) -> RuleType {
        let first = collection.get("rules").and_then(Node::list).and_then(<[Node]>::first);
        let word = first.and_then(|rule| rule.get("ruleType")).and_then(Node::text);
        match word.and_then(|word| words::pick(words::RULE_TYPES, word).ok()) {
            Some(RuleType::Nat) => return RuleType::Network,
            Some(kind) => return kind,
            None => {}
        }
        if collection.what.to_ascii_lowercase().contains("app") { RuleType::Application } else { RuleType::Network }
    }

    fn of_type(&mut self, collection: &Subject<'_>, kind: RuleType, action: Action) -> Rules {
        let nodes = self.notes.objects(collection, "rules");
        if nodes.is_empty() && collection.get("rules").is_none_or(|rules| rules.list().is_some_and(<[Node]>::is_empty))
        {
            let note = Note::new(Severity::Warning, collection.at, format!("{} holds no rules", collection.what));
            self.notes.push(note.check("empty-collection"));
        }
        let effect = collection.effect;
        match kind {
            RuleType::Network => Rules::Network(
                action,
                self.each(&nodes, kind, effect, |reader, rule, name| Some(reader.network(rule, name))),
            ),
            RuleType::Application => Rules::Application(
                action,
                self.each(&nodes, kind, effect, |reader, rule, name| Some(reader.application(rule, name))),
            ),
            RuleType::Nat => Rules::Dnat(self.each(&nodes, kind, effect, Self::dnat)),
        }
    }

    fn each<T>(
        &mut self,
        nodes: &[&Node],
        kind: RuleType,
        effect: Effect,
        mut read: impl FnMut(&mut Self, &Subject<'_>, String) -> Option<T>,
    ) -> Vec<T> {
        let mut rules = Vec::with_capacity(nodes.len());
        for node in nodes {
            let Some(object) = node.object() else { continue };
            let name = self.notes.name(object);
            let what = format!("rule `{name}`");
            let subject = Subject { object, at: node.at, what: &what, effect };
            if self.form == Form::Classic || self.is_of(&subject, kind) {
                self.notes.strangers(&subject, &members::of_rule(kind, self.form));
                rules.extend(read(self, &subject, name));
            }
        }
        rules
    }

    /// Whether a rule is of its collection's type; what is not is an error.
    fn is_of(&mut self, rule: &Subject<'_>, kind: RuleType) -> bool {
        if rule.get("ruleType").is_none() {
            self.notes.missing("ruleType", rule, "ApplicationRule, NetworkRule or NatRule");
            return false;
        }
        let Some(own) = self.notes.word(rule, "ruleType", words::RULE_TYPES) else {
            return false;
        };
        if own != kind {
            let what = format!("{} is of type {} in a collection of type {}", rule.what, own.as_str(), kind.as_str());
            let note = Note::new(Severity::Error, rule.place_of("ruleType"), what);
            self.notes.push(note.mend("give it a collection of its own").check("mixed-types"));
        }
        own == kind
    }
}

/// What is not known to allow is taken to deny.
fn effect_of(collection: &Node) -> Effect {
    let action = collection.get("action");
    let word = action.and_then(|action| action.get("type").or(Some(action))).and_then(Node::text);
    match word.and_then(|word| words::pick(words::ACTIONS, word).ok()) {
        Some(WrittenAction::Verdict(Action::Allow) | WrittenAction::Dnat | WrittenAction::Snat) => Effect::Allows,
        Some(WrittenAction::Verdict(Action::Deny)) | None => Effect::Denies,
    }
}

/// Whether something in these collections denies.
pub(super) fn effect_of_all(group: &Node) -> Effect {
    let collections = group.get("ruleCollections").and_then(Node::list).unwrap_or_default();
    let denies = collections.iter().any(|collection| effect_of(collection) == Effect::Denies);
    if denies { Effect::Denies } else { Effect::Allows }
}
