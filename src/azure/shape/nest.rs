//! Resources inside of resources: `resources` of a template, and the lists of properties that are resources themselves.

use crate::azure::json::{Node, Object};
use crate::azure::note::Severity;

use super::build::{list_mut, object_mut, text};
use super::gather::{Gathered, Hint, Parent};
use super::resource::Resource;
use super::{classic, groups, kinds, legacy, powershell};

/// Properties of a type that hold resources of another.
const INLINE: &[(&str, &str, &str)] = &[
    (kinds::POLICY, "ruleCollectionGroups", kinds::GROUP),
    (kinds::POLICY, "ruleGroups", kinds::LEGACY_GROUP),
    (kinds::SECURITY_GROUP, "securityRules", kinds::SECURITY_RULE),
    (kinds::ROUTE_TABLE, "routes", kinds::ROUTE),
    (kinds::NETWORK, "subnets", kinds::SUBNET),
    (kinds::NETWORK, "virtualNetworkPeerings", kinds::PEERING),
];

/// Adds a resource that is read, and its children behind it.
pub(super) fn add(mut resource: Resource, object: &Object, out: &mut Gathered) {
    powershell::tidy(&mut resource, out);
    if resource.is(kinds::LEGACY_GROUP) {
        legacy::group(&mut resource, out);
    }
    if resource.is(kinds::GROUP) {
        groups::tidy(&mut resource);
    }
    if resource.is(kinds::FIREWALL) {
        classic::unflatten(&mut resource);
    }
    let inline = take_inline(&mut resource);
    let (kind, name) = (resource.kind.clone(), resource.name.clone());
    let parent = Parent { kind: &kind, name: &name };
    out.resources.push(resource);
    for (child, node) in inline {
        if let Some(object) = node.object() {
            out.resource(&node, object, child.to_owned(), &Hint::default(), Some(parent));
        }
    }
    if let Some(items) = object.get("resources").and_then(Node::list) {
        children(items, parent, out);
    }
}

/// Children with types relative to their parent's; a full one is taken as it is.
pub(super) fn children(items: &[Node], parent: Parent<'_>, out: &mut Gathered) {
    for item in items {
        let Some(object) = item.object() else {
            out.note(Severity::Warning, item.at, format!("no child resource, but {}", item.kind()));
            continue;
        };
        let own = object.get("type").and_then(Node::text).unwrap_or_default();
        let full = own.split_once('/').is_some_and(|(namespace, _)| namespace.contains('.'));
        let kind = if full { own.to_owned() } else { format!("{}/{own}", super::build::cut(parent.kind)) };
        let within = (!full || starts_with(&kind, parent.kind)).then_some(parent);
        out.resource(item, object, kind, &Hint::default(), within);
    }
}

fn starts_with(kind: &str, parent: &str) -> bool {
    kind.get(..parent.len()).is_some_and(|start| start.eq_ignore_ascii_case(parent))
}

/// Takes the bodies of children out of the properties. What only names a child, or is not known, stays.
fn take_inline(resource: &mut Resource) -> Vec<(&'static str, Node)> {
    let mut taken = Vec::new();
    for (kind, name, child) in INLINE {
        if !resource.is(kind) {
            continue;
        }
        let Some(properties) = object_mut(&mut resource.properties) else { continue };
        let Some(items) = super::build::get_mut(properties, name).and_then(list_mut) else { continue };
        let (bodies, others): (Vec<Node>, Vec<Node>) = std::mem::take(items).into_iter().partition(is_body);
        *items = others;
        taken.extend(bodies.into_iter().map(|body| (*child, named(body))));
    }
    taken
}

/// More than an id.
fn is_body(node: &Node) -> bool {
    let more = |name: &str| !["id", "resourceGroup"].iter().any(|known| known.eq_ignore_ascii_case(name));
    node.object().is_some_and(|object| object.iter().any(|(key, _)| more(&key.name)))
}

/// A child without a name of its own has the one of its id, or none.
fn named(mut node: Node) -> Node {
    let at = node.at;
    if let Some(object) = object_mut(&mut node)
        && object.get("name").is_none()
        && object.get("id").is_none()
    {
        super::build::set(object, "name", text("", at));
    }
    node
}
