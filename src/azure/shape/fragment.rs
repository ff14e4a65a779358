//! Collections and rules that stand alone, such as `az … rule-collection-group collection list` gives.

use crate::azure::json::{Node, Object, Value};
use crate::azure::note::{Note, Severity};
use crate::policy::Spot;

use super::build::{list, members, object_mut, text};
use super::gather::Gathered;
use super::resource::Resource;
use super::{groups, kinds};

/// What the group is called that stands for the one that is not there.
const NAME: &str = "imported";
const PRIORITY: &str = "100";

#[derive(Default)]
pub(super) struct Parts {
    collections: Vec<Node>,
    rules: Vec<Node>,
}

impl Parts {
    /// True where it was a part.
    pub(super) fn take(&mut self, node: &Node) -> bool {
        let Some(object) = node.object() else { return false };
        if object.get("type").and_then(Node::text).is_some_and(|kind| kind.contains('/')) {
            return false;
        }
        if is_collection(object) {
            self.collections.push(node.clone());
        } else if is_rule(object) {
            self.rules.push(node.clone());
        } else {
            return false;
        }
        true
    }

    /// Puts them into a group of their own. `around` is what they stood in.
    pub(super) fn finish(self, around: &Node, out: &mut Gathered) {
        let Parts { mut collections, rules } = self;
        if collections.is_empty() && rules.is_empty() {
            return;
        }
        if !collections.is_empty() {
            out.notes.push(note_of(&collections, around.at));
        }
        if !rules.is_empty() {
            let what = "rules without a collection: taken as allowed, in a collection with priority 100 for each type";
            out.note(Severity::Doubt, around.at, what);
            collections.extend(by_type(rules));
        }
        collections.iter_mut().for_each(groups::collection_of_today);
        out.resources.push(group(collections, around.at));
    }
}

fn note_of(collections: &[Node], at: Spot) -> Note {
    if let [collection] = collections {
        let what = "a rule collection without its group: taken into one with priority 100";
        return Note::new(Severity::Warning, collection.at, what);
    }
    let what = "rule collections without their groups: taken into one with priority 100, and if they were in several, \
                the order across them is lost";
    Note::new(Severity::Warning, at, what)
        .mend("export whole groups: `az network firewall policy rule-collection-group list -o json`")
}

fn is_collection(object: &Object) -> bool {
    object.get("ruleCollectionType").is_some() || super::legacy::has_conditions(object)
}

fn is_rule(object: &Object) -> bool {
    let kind = object.get("ruleType").or_else(|| object.get("ruleConditionType")).and_then(Node::text);
    kind.is_some_and(|kind| TYPES.iter().any(|(known, ..)| kind.to_ascii_lowercase().starts_with(known)))
}

/// Lower-case beginnings of the rules' types; the collection's type and its action.
const TYPES: &[(&str, &str, &str)] = &[
    ("natrule", "FirewallPolicyNatRuleCollection", "DNAT"),
    ("networkrule", "FirewallPolicyFilterRuleCollection", "Allow"),
    ("applicationrule", "FirewallPolicyFilterRuleCollection", "Allow"),
];

fn by_type(rules: Vec<Node>) -> Vec<Node> {
    let mut collections = Vec::new();
    let mut rest = rules;
    for (kind, collection, action) in TYPES {
        let is_of = |node: &Node| {
            let own = node.get("ruleType").or_else(|| node.get("ruleConditionType")).and_then(Node::text);
            own.is_some_and(|own| own.to_ascii_lowercase().starts_with(kind))
        };
        let (of_kind, others): (Vec<Node>, Vec<Node>) = rest.into_iter().partition(is_of);
        rest = others;
        if let Some(first) = of_kind.first() {
            let at = first.at;
            collections.push(collection_of(&format!("{NAME}-{kind}s"), collection, action, of_kind, at));
        }
    }
    collections
}

fn collection_of(name: &str, kind: &str, action: &str, rules: Vec<Node>, at: Spot) -> Node {
    let named = |name: &str, node| (super::build::key(name, at), node);
    let parts = vec![
        named("name", text(name, at)),
        named("ruleCollectionType", text(kind, at)),
        named("priority", Node::new(Value::Number(PRIORITY.into()), at)),
        named("action", super::build::single("type", text(action, at))),
        named("rules", list(rules, at)),
    ];
    members(parts, at)
}

fn group(collections: Vec<Node>, at: Spot) -> Resource {
    let mut properties = super::build::single("priority", Node::new(Value::Number(PRIORITY.into()), at));
    if let Some(object) = object_mut(&mut properties) {
        super::build::set(object, "ruleCollections", list(collections, at));
    }
    Resource { kind: kinds::GROUP.to_owned(), name: text(NAME, at), id: None, properties, rest: Object::default(), at }
}
