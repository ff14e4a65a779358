//! What has one name and is not the same: a topology knows resources by their names alone, so that those of one name in
//! two resource groups would be taken as one.

use std::collections::{HashMap, HashSet};

use crate::azure::json::{Node, Value};
use crate::azure::note::{Note, Severity};
use crate::azure::read::ident::{Ident, reference};
use crate::azure::read::notes::Notes;
use crate::azure::shape::{Resource, kinds};
use crate::policy::Spot;

/// Members by which a resource names others that it needs. What only leads back (`subnets` of a security group, say) is
/// not among them.
const REFERENCES: [&str; 11] = [
    "applicationSecurityGroups",
    "destinationApplicationSecurityGroups",
    "localNetworkGateway2",
    "networkSecurityGroup",
    "publicIPAddress",
    "remoteVirtualNetwork",
    "routeTable",
    "sourceApplicationSecurityGroups",
    "subnet",
    "virtualNetwork",
    "virtualNetworkGateway1",
];

/// Type and name of what is in nothing else, in lower case.
type Key = (String, String);

#[derive(Default)]
pub(super) struct Clashes {
    /// The different ways in which each was met.
    known: HashMap<Key, Vec<Ident>>,
    told: HashSet<Key>,
    references: Vec<Reference>,
}

struct Reference {
    member: &'static str,
    key: Key,
    to: Ident,
    at: Spot,
}

impl Clashes {
    /// True for a resource that is not the one of its name that was read before, which is told; or is in such a one.
    pub(super) fn is_another(&mut self, resource: &Resource, notes: &mut Notes) -> bool {
        let ident = Ident::of(resource).root();
        let key = key(&resource.kind, &ident);
        let known = self.known.entry(key.clone()).or_default();
        if let Some(other) = known.iter().find(|known| known.is_apart(&ident)) {
            if self.told.insert(key) {
                notes.push(clash(&resource.kind, other, &ident, resource.at));
            }
            return true;
        }
        if !known.contains(&ident) {
            known.push(ident);
        }
        self.note_references(&resource.properties);
        false
    }

    fn note_references(&mut self, node: &Node) {
        match &node.value {
            Value::Object(object) => {
                for (key, inner) in object.iter() {
                    let member = REFERENCES.iter().find(|known| key.name.eq_ignore_ascii_case(known));
                    member.into_iter().for_each(|member| self.note_reference(member, inner));
                    self.note_references(inner);
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.note_references(item)),
            _ => {}
        }
    }

    fn note_reference(&mut self, member: &'static str, node: &Node) {
        for node in node.list().unwrap_or(std::slice::from_ref(node)) {
            let Some((id, at)) = reference(node).text().map(|id| (id, node.at)) else { continue };
            let Some((kind, _)) = kinds::of_id(id) else { continue };
            let to = Ident::parse(id).root();
            self.references.push(Reference { member, key: key(&kind, &to), to, at });
        }
    }

    /// References to what has the name of a known resource and is another.
    pub(super) fn tell(&mut self, notes: &mut Notes) {
        for Reference { member, key, to, at } in std::mem::take(&mut self.references) {
            let Some(known) = self.known.get(&key) else { continue };
            let Some(other) = known.iter().find(|known| known.is_apart(&to)) else { continue };
            if !self.told.insert(key) {
                continue;
            }
            let (name, own, known) = (to.name(), to.place(other), other.place(&to));
            let what = format!("`{member}` is `{name}` of {own}, and what is known is that of {known}");
            let mend = "give the file that it is in, and another name to one of both in copies of their files";
            notes.push(Note::new(Severity::Error, at, what).mend(mend));
        }
    }
}

/// Of the resource that one of this type is in.
fn key(kind: &str, root: &Ident) -> Key {
    let end = kind.match_indices('/').nth(1).map_or(kind.len(), |(end, _)| end);
    (kind[..end].to_ascii_lowercase(), root.name().to_owned())
}

fn clash(kind: &str, first: &Ident, second: &Ident, at: Spot) -> Note {
    let plural = kind.split('/').nth(1).unwrap_or(kind);
    let (name, one, other) = (first.name(), first.place(second), second.place(first));
    let what = format!(
        "two {plural} are called `{name}`, one of {one} and one of {other}: a topology knows resources by their names alone"
    );
    let mend =
        "give one of them another name in a copy of its file, there and where it is referred to, or leave it out";
    Note::new(Severity::Error, at, what).mend(mend)
}
