//! What surrounds a firewall: virtual networks, security groups, route tables, and what is in them, as one
//! [`Topology`].
//!
//! Beside a policy it is read to be counted: what is wrong in it is a warning then. Where it is asked for, it is an
//! error.

mod clashes;
mod environment;
mod hosts;
mod named;
mod routes;
mod security;
mod spaces;
mod values;

#[cfg(test)]
mod tests;

use super::ident::leaf;
use super::notes::{Effect, Notes, Subject, shown};
use crate::azure::json::{Node, Unknown};
use crate::azure::note::{Note, Severity};
use crate::azure::shape::{Resource, kinds};
use crate::vnet::Topology;

use named::Surroundings;

/// What resources of the network are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To say how much of it there is.
    BesidePolicy,
    /// To be asked.
    Topology,
}

/// How a resource is read into what is known.
type Reader = fn(&Whole<'_>, &mut Surroundings, &mut Notes);

/// A resource with its names.
pub(super) struct Whole<'r> {
    pub resource: &'r Resource,
    pub subject: Subject<'r>,
    /// `network/subnet`
    pub name: String,
}

impl Whole<'_> {
    /// `network` of `network/subnet`.
    pub(super) fn parent(&self) -> &str {
        self.name.rsplit_once('/').map_or("", |(parent, _)| parent)
    }

    pub(super) fn leaf(&self) -> String {
        leaf(&self.name).to_owned()
    }

    /// A member that tools write beside the properties or among them.
    pub(super) fn beside(&self, key: &str) -> Option<String> {
        let node = self.resource.rest.get(key).or_else(|| self.resource.property(key))?;
        node.text().map(str::to_owned)
    }
}

/// What has always been read beside a policy.
const BESIDE: &[(&str, Reader)] = &[
    (kinds::SECURITY_GROUP, security::group),
    (kinds::SECURITY_RULE, security::rule),
    (kinds::ROUTE_TABLE, routes::table),
    (kinds::ROUTE, routes::route),
    (kinds::NETWORK, spaces::network),
    (kinds::SUBNET, spaces::subnet),
];

/// What only a topology wants to know.
const AROUND: &[(&str, Reader)] = &[
    (kinds::PEERING, spaces::peering),
    (kinds::ASG, security::application_group),
    (kinds::NETWORK_GATEWAY, spaces::gateway),
    (kinds::LOCAL_GATEWAY, spaces::local_gateway),
    (kinds::CONNECTION, spaces::connection),
    (kinds::PUBLIC_ADDRESS, hosts::public_address),
    (kinds::FIREWALL, hosts::firewall),
    (kinds::INTERFACE, hosts::interface),
    (kinds::ENVIRONMENT, environment::environment),
    (kinds::ENVIRONMENT_CONFIGURATION, environment::configuration),
    (kinds::ENVIRONMENT_CAPACITY, environment::capacity),
    (kinds::SERVER_FARM, environment::server_farm),
    (kinds::DNS_ZONE, hosts::dns_zone),
    (kinds::DNS_RECORD, hosts::dns_record),
    (kinds::DNS_LINK, hosts::dns_link),
];

fn reader_of(resource: &Resource, purpose: Purpose) -> Option<Reader> {
    let around = if purpose == Purpose::Topology { AROUND } else { &[] };
    BESIDE.iter().chain(around).find(|(kind, _)| resource.is(kind)).map(|(_, read)| *read)
}

/// True for the types that are read beside a policy.
pub(super) fn knows(resource: &Resource) -> bool {
    reader_of(resource, Purpose::BesidePolicy).is_some()
}

pub(super) fn is_beside(kind: &str) -> bool {
    BESIDE.iter().any(|(known, _)| known.eq_ignore_ascii_case(kind))
}

/// True for the types that are read where a topology is asked for.
pub(super) fn is_read(kind: &str) -> bool {
    is_beside(kind) || AROUND.iter().any(|(known, _)| known.eq_ignore_ascii_case(kind))
}

/// Beside a policy what is wrong in it is noted as a warning, and what only Azure knows not at all.
pub(super) fn read<'r>(resources: impl Iterator<Item = &'r Resource>, purpose: Purpose, notes: &mut Notes) -> Topology {
    let mut own = Notes::default();
    let mut surroundings = Surroundings::default();
    for resource in resources {
        read_one(resource, purpose, &mut surroundings, &mut own);
    }
    let topology = surroundings.finish(&mut own);
    match purpose {
        Purpose::Topology => {
            notes.notes.extend(own.notes);
            notes.unknowns_around.extend(own.unknowns);
        }
        Purpose::BesidePolicy => {
            let soft = own.notes.into_iter().filter(|note| note.severity > Severity::Info);
            notes.notes.extend(soft.map(|note| Note { severity: Severity::Warning, ..note }));
        }
    }
    topology
}

fn read_one(resource: &Resource, purpose: Purpose, network: &mut Surroundings, notes: &mut Notes) {
    let Some(reader) = reader_of(resource, purpose) else { return };
    let name = shown(&resource.name);
    let what = format!("`{name}`");
    let Some(subject) = notes.resource(resource, &what, Effect::Allows) else { return };
    if purpose == Purpose::Topology && network.clashes.is_another(resource, notes) {
        return;
    }
    network.note_place(resource);
    reader(&Whole { resource, subject, name }, network, notes);
}

/// What `--set` would have to give.
pub(super) fn open_name(unknown: &Unknown) -> &str {
    unknown.names.first().unwrap_or(&unknown.shown)
}

/// Objects in a list, each with a level of properties of its own or without.
pub(super) fn each<'a>(parent: &Subject<'a>, key: &str, notes: &mut Notes) -> Vec<Subject<'a>> {
    let nodes = notes.objects(parent, key);
    let inner = |node: &'a Node| Some((node.get("properties").unwrap_or(node).object()?, node.at));
    nodes.into_iter().filter_map(inner).map(|(object, at)| Subject { object, at, ..*parent }).collect()
}
