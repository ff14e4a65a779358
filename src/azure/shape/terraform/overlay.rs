//! The values of an instance with what is not known yet put in: ids that lead to another resource of the plan, and
//! unknowns for all else.

use std::collections::HashMap;
use std::sync::Arc;

use crate::azure::json::{Key, Node, Object, Unknown, Value};
use crate::policy::Spot;

use super::instance::Instance;
use super::references::{References, block, join, of_expression, sets};
use crate::azure::shape::build::{cut, key, list, members};

pub(super) struct Overlay<'a, 'd> {
    pub(super) references: &'a References<'d>,
    /// Of all instances, in their order.
    pub(super) ids: &'a [Arc<str>],
    pub(super) place: usize,
    pub(super) instance: &'a Instance<'d>,
}

/// Where a value stands in its instance.
#[derive(Clone, Copy)]
struct Place<'p, 'd> {
    around: Option<&'p Place<'p, 'd>>,
    step: Step<'p>,
    /// The attribute that it is, or is in.
    attribute: &'p str,
    expression: Option<&'d Node>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Member(&'p str),
    Item(usize),
}

impl<'d> Overlay<'_, 'd> {
    pub(super) fn values(&self) -> Node {
        let values = self.instance.values;
        let Some(unknown) = self.instance.unknown else { return values.clone() };
        let expression = self.references.expressions(self.instance);
        let place = Place { around: None, step: Step::Root, attribute: "", expression };
        self.merge(Some(values), unknown, &place, values.at).unwrap_or_else(|| values.clone())
    }

    fn merge(&self, value: Option<&Node>, unknown: &Node, place: &Place<'_, 'd>, at: Spot) -> Option<Node> {
        let at = value.map_or(at, |value| value.at);
        match &unknown.value {
            Value::Bool(true) => self.later(place, at),
            Value::Object(inside) => Some(self.object(value, inside, place, at)),
            Value::List(inside) => Some(self.items(value, inside, place, at)),
            _ => value.cloned(),
        }
    }

    fn object(&self, value: Option<&Node>, unknown: &Object, place: &Place<'_, 'd>, at: Spot) -> Node {
        let empty = Object::default();
        let known = value.and_then(Node::object).unwrap_or(&empty);
        let later: HashMap<&str, &Node> = unknown.iter().map(|(key, node)| (&*key.name, node)).collect();
        let mut merged: Vec<(Key, Node)> = Vec::new();
        for (key, node) in known.iter() {
            let node = match later.get(&*key.name) {
                Some(later) => self.merge(Some(node), later, &place.member(&key.name), at),
                None => Some(node.clone()),
            };
            merged.extend(node.map(|node| (key.clone(), node)));
        }
        let named: std::collections::HashSet<&str> = known.iter().map(|(key, _)| &*key.name).collect();
        for (later, node) in unknown.iter().filter(|(key, node)| !named.contains(&*key.name) && says_later(node)) {
            let node = self.merge(None, node, &place.member(&later.name), at);
            merged.extend(node.map(|node| (key(&later.name, at), node)));
        }
        members(merged, at)
    }

    fn items(&self, value: Option<&Node>, unknown: &[Node], place: &Place<'_, 'd>, at: Spot) -> Node {
        let known = value.and_then(Node::list).unwrap_or_default();
        let of = known.len().max(unknown.len());
        if let Some(ids) = self.ids_for(unknown, place) {
            return self.with_ids(known, unknown, ids, at);
        }
        let item = |at_place: usize| {
            let (value, later) = (known.get(at_place), unknown.get(at_place));
            match later {
                Some(later) => self.merge(value, later, &place.item(at_place, value, of), at),
                None => value.cloned(),
            }
        };
        list((0..of).filter_map(item).collect(), at)
    }

    /// As many ids as there are items that are not known; else it cannot be said which is which.
    fn ids_for(&self, unknown: &[Node], place: &Place<'_, 'd>) -> Option<Vec<&Arc<str>>> {
        let wanted = unknown.iter().filter(|later| later.value == Value::Bool(true)).count();
        let ids = self.targets(place).filter(|_| wanted > 0)?;
        (ids.len() == wanted).then_some(ids)
    }

    fn with_ids(&self, known: &[Node], unknown: &[Node], ids: Vec<&Arc<str>>, at: Spot) -> Node {
        let mut ids = ids.into_iter();
        let of = known.len().max(unknown.len());
        let item = |place: usize| match unknown.get(place).map(|later| &later.value) {
            Some(Value::Bool(true)) => ids.next().map(|id| shared(id, at)),
            _ => known.get(place).cloned(),
        };
        list((0..of).filter_map(item).collect(), at)
    }

    /// What will be known only later. Attributes that nobody set are Terraform's to fill in, and say nothing.
    fn later(&self, place: &Place<'_, 'd>, at: Spot) -> Option<Node> {
        let top = place.is_top();
        let expressions = self.references.expressions(self.instance).and_then(Node::object);
        let may_be_filled_in = !REQUIRED.contains(&place.attribute);
        if top && may_be_filled_in && expressions.is_some_and(|expressions| !sets(expressions, place.attribute)) {
            return None;
        }
        if top && expressions.is_none() && COMPUTED.contains(&place.attribute) {
            return None;
        }
        let ids = self.targets(place).unwrap_or_default();
        Some(match ids.as_slice() {
            [] => self.unknown(place, at),
            ids if is_plural(place.attribute) => list(ids.iter().map(|id| shared(id, at)).collect(), at),
            [id] => shared(id, at),
            _ => self.unknown(place, at),
        })
    }

    /// The ids that an attribute of ids will hold, if each of its references leads to a resource of the plan.
    fn targets(&self, place: &Place<'_, 'd>) -> Option<Vec<&Arc<str>>> {
        if !is_id(place.attribute) {
            return None;
        }
        let mut ids = Vec::new();
        for reference in of_expression(place.expression?) {
            let found = self.references.resolve(self.place, reference);
            if found.is_empty() {
                return None;
            }
            ids.extend(found.into_iter().map(|place| &self.ids[place]));
        }
        Some(ids)
    }

    fn unknown(&self, place: &Place<'_, 'd>, at: Spot) -> Node {
        let references = place.expression.map(of_expression).unwrap_or_default();
        let named = references.iter().map(|reference| Arc::from(join(cut(&self.instance.module), reference)));
        let mut names: Vec<Arc<str>> = named.collect();
        if names.is_empty() {
            names.push(format!("{}.{}", cut(&self.instance.address), place.path()).into());
        }
        let shown = names.join(", ").into();
        Node::new(Value::Unknown(Unknown { names, shown }), at)
    }
}

impl<'d> Place<'_, 'd> {
    fn member<'q>(&'q self, name: &'q str) -> Place<'q, 'd> {
        let expression = match self.expression {
            Some(expression) if is_attribute(expression) => Some(expression),
            expression => expression.and_then(|expression| expression.get(name)),
        };
        Place { around: Some(self), step: Step::Member(name), attribute: name, expression }
    }

    fn item<'q>(&'q self, at: usize, value: Option<&Node>, of: usize) -> Place<'q, 'd> {
        let expression = self.expression.and_then(|expression| match expression.list() {
            Some(blocks) => block(blocks, at, value, of),
            None => Some(expression),
        });
        Place { around: Some(self), step: Step::Item(at), attribute: self.attribute, expression }
    }

    /// An attribute of the resource itself.
    fn is_top(&self) -> bool {
        matches!((self.step, self.around), (Step::Member(_), Some(Place { step: Step::Root, .. })))
    }

    /// `rule[0].destination_addresses`, as far as it is of a length that people read.
    fn path(&self) -> String {
        let mut path = self.around.map(Place::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Member(name) => path = join(cut(&path), cut(name)),
            Step::Item(at) => path.push_str(&format!("[{at}]")),
        }
        path
    }
}

fn shared(id: &Arc<str>, at: Spot) -> Node {
    Node::new(Value::Text(Arc::clone(id)), at)
}

/// An expression, where others are blocks of them.
fn is_attribute(expression: &Node) -> bool {
    expression.get("references").is_some_and(|references| references.list().is_some())
        || expression.get("constant_value").is_some()
}

fn says_later(node: &Node) -> bool {
    match &node.value {
        Value::Bool(later) => *later,
        Value::List(items) => items.iter().any(says_later),
        Value::Object(object) => object.iter().any(|(_, node)| says_later(node)),
        _ => false,
    }
}

/// What the provider fills in, where no configuration says whether it was set.
const COMPUTED: &[&str] = &["id", "security_rule", "route", "subnet", "guid", "output", "child_policies", "firewalls"];

/// What the provider never fills in, so that somebody set it whatever the configuration shows.
const REQUIRED: &[&str] = &["priority"];

fn is_id(attribute: &str) -> bool {
    attribute.ends_with("_id") || is_plural(attribute) || attribute == "security_group"
}

fn is_plural(attribute: &str) -> bool {
    attribute.ends_with("_ids") || attribute.ends_with("_ip_groups")
}
