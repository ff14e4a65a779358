//! What `terraform show -json` writes of plans and states, and state files themselves, with the names of ARM.
//!
//! `count`, `for_each` and modules come expanded. What Terraform will know only after it has applied a plan is led,
//! through the configuration that the plan carries, to the resource it comes from; where that does not tell it, it
//! stays unknown under that resource's address.

mod around;
mod azapi;
mod fields;
mod firewall;
mod instance;
mod network;
mod overlay;
mod policy;
mod references;
mod translate;

use crate::azure::json::{Node, Object};
use crate::azure::note::{Note, Severity};

use super::gather::Gathered;

pub(super) fn plan(document: &Node, out: &mut Gathered) {
    let document = mock(document, out);
    let mut found = instance::Found::default();
    found.plan(document);
    if found.deleted > 0 {
        let what = format!("{} resources that this plan deletes are left out", found.deleted);
        out.note(Severity::Info, document.at, what);
    }
    translate::all(found, document.get("configuration"), document, out);
}

pub(super) fn state(document: &Node, out: &mut Gathered) {
    let mut found = instance::Found::default();
    if let Some(root) = document.get("values").and_then(|values| values.get("root_module")) {
        found.module(root, instance::Data::AllRead);
    }
    translate::all(found, None, document, out);
}

pub(super) fn state_file(document: &Node, out: &mut Gathered) {
    let version = document.get("version").map(|version| &version.value);
    if version.is_some_and(|version| *version != crate::azure::json::Value::Number("4".into())) {
        let note = Note::new(Severity::Error, document.at, "a Terraform state of another version than 4");
        out.notes.push(note.mend("run `terraform show -json > state.json` and give state.json"));
        return;
    }
    let mut found = instance::Found::default();
    found.state_file(document);
    translate::all(found, None, document, out);
}

/// Tests of policies over plans wrap several of them as alternatives, of which the first counts.
fn mock<'d>(document: &'d Node, out: &mut Gathered) -> &'d Node {
    let Some(plans) = document.get("mock").and_then(Node::object) else { return document };
    let first = plans.get("default").or_else(|| plans.iter().next().map(|(_, plan)| plan));
    if plans.0.len() > 1 {
        let names = names_of(plans);
        let what = format!("mocked plans that are alternatives ({names}): the first is taken, the others are left out");
        out.note(Severity::Warning, document.at, what);
    }
    first.unwrap_or(document)
}

fn names_of(plans: &Object) -> String {
    let names: Vec<&str> = plans.iter().take(8).map(|(key, _)| &*key.name).collect();
    names.join(", ")
}
