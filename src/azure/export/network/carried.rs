//! What a file said of a resource and a topology has no field for: written again where the resource is written whole.

use crate::azure::export::arm::literal;
use crate::azure::export::tree::{Fields, Tree};
use crate::azure::json;
use crate::azure::note::Note;
use crate::azure::shape::kinds;
use crate::vnet::{ResourceKind, Topology, Unread};

use super::{arm, not_written, same};

/// What a resource has beside what the topology knows.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Beside the properties.
    pub tags: Option<Tree>,
    pub properties: Fields,
    /// A note for each that is not known.
    pub lost: Vec<Note>,
}

pub(super) fn of(topology: &Topology, kind: ResourceKind, resource: &str) -> Carried {
    let mut carried = Carried::default();
    for unread in all(topology, kind, resource).filter(|unread| !unread.is_part()) {
        let Some(tree) = tree(unread) else {
            let what = format!("`{}` of the {} `{resource}` is known to Azure only", unread.property, kind.as_str());
            carried.lost.push(not_written(format!("{what}, and is not written"), "add it before this is deployed"));
            continue;
        };
        if unread.property == "tags" {
            carried.tags = Some(tree);
        } else {
            carried.properties.push((unread.property.clone(), tree));
        }
    }
    carried
}

/// One property, as text where it is one.
pub(super) fn text(topology: &Topology, kind: ResourceKind, resource: &str, property: &str) -> Option<String> {
    let unread = all(topology, kind, resource).find(|it| same(&it.property, property))?;
    serde_json::from_str::<serde_json::Value>(unread.value.as_deref()?).ok()?.as_str().map(str::to_owned)
}

/// Where an endpoint of a subnet is.
pub(super) fn locations(topology: &Topology, subnet: &str, service: &str) -> Option<Tree> {
    let property = Unread::locations(service);
    tree(all(topology, ResourceKind::Subnet, subnet).find(|it| same(&it.property, &property))?)
}

fn all<'t>(topology: &'t Topology, kind: ResourceKind, resource: &str) -> impl Iterator<Item = &'t Unread> {
    topology.unread.iter().filter(move |it| it.of == kind && same(&it.resource, resource))
}

fn tree(unread: &Unread) -> Option<Tree> {
    let nodes = json::parse(unread.value.as_deref()?, 0).ok()?;
    Some(Tree::of_json(nodes.first()?).map(&|leaf| match leaf {
        Tree::Text(text) => Tree::Text(expression(text)),
        leaf => leaf.clone(),
    }))
}

/// A template's own stand-in for where it is deployed is asked for by the function that it came of.
const STAND_IN: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/";

fn expression(text: &str) -> String {
    match kinds::of_id(text) {
        Some((kind, names)) if text.starts_with(STAND_IN) => format!("[{}]", arm::id(&kind, &names)),
        _ => literal(text),
    }
}
