//! Attributes of Terraform's taken over under ARM's names, with an eye on those that nobody took.

use std::collections::BTreeMap;

use crate::azure::json::{Node, Object, Value};
use crate::azure::shape::build::{is_unset, key, list, members, single};
use crate::policy::Spot;

/// Attributes that are set and not read, by type: `azurerm_firewall_policy.identity`.
pub(super) type Unread = BTreeMap<String, Spot>;

/// Terraform's name and ARM's.
pub(super) type Names = &'static [(&'static str, &'static str)];

/// What every resource may have, and what decides nothing.
const BESIDE: &[&str] = &["id", "name", "resource_group_name", "location", "tags", "timeouts", "identity"];

pub(super) struct Fields<'v> {
    what: &'static str,
    object: &'v Object,
    used: Vec<&'static str>,
    into: Vec<(crate::azure::json::Key, Node)>,
}

impl<'v> Fields<'v> {
    pub(super) fn new(what: &'static str, object: &'v Object) -> Fields<'v> {
        Fields { what, object, used: Vec::new(), into: Vec::new() }
    }

    /// What it is set to. An empty text and an empty list are how Terraform writes that it is not.
    pub(super) fn get(&mut self, name: &'static str) -> Option<&'v Node> {
        self.used.push(name);
        self.object.get(name).filter(|node| !is_unset(node))
    }

    pub(super) fn copy(&mut self, names: Names) -> &mut Self {
        for (name, arm) in names {
            if let Some(node) = self.get(name) {
                self.put(arm, node.clone());
            }
        }
        self
    }

    pub(super) fn put(&mut self, arm: &str, node: Node) {
        self.into.push((key(arm, node.at), node));
    }

    /// `arm: {inner: value}`.
    pub(super) fn wrap(&mut self, name: &'static str, arm: &str, inner: &str) -> &mut Self {
        if let Some(node) = self.get(name) {
            self.put(arm, single(inner, node.clone()));
        }
        self
    }

    /// `arm: [value]`.
    pub(super) fn one(&mut self, name: &'static str, arm: &str) -> &mut Self {
        if let Some(node) = self.get(name) {
            self.put(arm, list(vec![node.clone()], node.at));
        }
        self
    }

    /// A list, each item of which becomes `{inner: item}`.
    pub(super) fn wrap_each(&mut self, name: &'static str, arm: &str, inner: &str) -> &mut Self {
        self.each(name, arm, |item| single(inner, item.clone()))
    }

    /// Blocks, each of which becomes an object; what is not known stays so.
    pub(super) fn each(&mut self, name: &'static str, arm: &str, mut turn: impl FnMut(&Node) -> Node) -> &mut Self {
        if let Some(node) = self.get(name) {
            let turned = match &node.value {
                Value::List(items) => list(items.iter().map(&mut turn).collect(), node.at),
                Value::Object(_) => list(vec![turn(node)], node.at),
                _ => node.clone(),
            };
            self.put(arm, turned);
        }
        self
    }

    /// A block of which there is one at most.
    pub(super) fn block(&mut self, name: &'static str, arm: &str, turn: impl FnOnce(&Node) -> Node) -> &mut Self {
        if let Some(node) = self.get(name) {
            let block = node.list().and_then(<[Node]>::first).unwrap_or(node);
            let turned = turn(block);
            self.put(arm, turned);
        }
        self
    }

    pub(super) fn ignore(&mut self, names: &[&'static str]) -> &mut Self {
        self.used.extend(names);
        self
    }

    pub(super) fn finish_here(&mut self, node: &Node, unread: &mut Unread) -> Node {
        let Fields { what, object, used, into } = self;
        let fields = Fields { what, object, used: std::mem::take(used), into: std::mem::take(into) };
        fields.finish(node.at, unread)
    }

    /// The object; what is set and was not asked for is put down as not read.
    pub(super) fn finish(self, at: Spot, unread: &mut Unread) -> Node {
        for (key, node) in self.object.iter() {
            let asked = self.used.iter().chain(BESIDE).any(|name| *name == &*key.name);
            if !asked && !is_unset(node) && node.value != Value::Bool(false) && !matches!(node.value, Value::Unknown(_))
            {
                unread.entry(format!("{}.{}", self.what, key.name)).or_insert(key.at);
            }
        }
        members(self.into, at)
    }
}

/// A block whose attributes have other names and nothing else.
pub(super) fn renamed(what: &'static str, names: Names, block: &Node, unread: &mut Unread) -> Node {
    let Some(object) = block.object() else { return block.clone() };
    let mut fields = Fields::new(what, object);
    fields.copy(names);
    fields.finish(block.at, unread)
}
