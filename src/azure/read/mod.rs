//! Uniform resources into typed policies: the only reader of Azure's rules.
//!
//! Property names and words are taken in any letter case; null, a missing property and an empty list are alike. What
//! is wrong is noted, all of it, with its place; what only Azure knows is collected apart. Which of the policies take
//! part is not decided here, but can be asked ([`Read::lineage`]). Templates are expanded before.

mod collections;
mod compact;
mod ident;
mod ip_groups;
mod members;
mod network;
mod notes;
mod order;
mod policies;
mod rules;
mod settings;
mod summary;
mod words;

#[cfg(test)]
mod tests;

use super::note::{Note, Severity};
use super::shape::Resource;
use crate::allowlist::Catalogue;
use crate::vnet::Topology;
use ip_groups::IpGroups;
use network::Purpose;
use notes::Notes;
use policies::{Attachment, Finder};

pub use ident::Ident;
pub use notes::{Effect, UnknownUse};
pub use order::{Refusal, Wanted};
pub use policies::{Base, FoundKind, FoundPolicy};
pub(crate) use rules::is_tag_like;
pub use summary::ReadSummary;

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// In the order of the sets and of the resources in them.
    pub policies: Vec<FoundPolicy>,
    /// What is around the firewall, of the sets that were asked for it.
    pub topology: Topology,
    pub summary: ReadSummary,
    pub notes: Vec<Note>,
    /// Values that only Azure knows, where it matters.
    pub unknowns: Vec<UnknownUse>,
    /// The same of the topology.
    pub unknowns_around: Vec<UnknownUse>,
    attachments: Vec<Attachment>,
}

/// Whether resources of this type are read, whatever the letter case.
pub fn takes(kind: &str) -> bool {
    let own = [policies::POLICY, policies::GROUP, policies::LEGACY_GROUP, policies::FIREWALL, ip_groups::KIND];
    own.iter().any(|known| known.eq_ignore_ascii_case(kind)) || network::is_beside(kind)
}

/// The same, where the topology is asked for too.
pub fn takes_around(kind: &str) -> bool {
    takes(kind) || network::is_read(kind)
}

/// The resources of one file.
#[derive(Debug, Clone, Copy)]
pub struct Set<'r> {
    pub resources: &'r [Resource],
    pub asked: Asked,
}

/// What a file was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Policy,
    /// What is around a firewall, and the policy in it if there is one.
    Topology,
}

/// Reads all sets of resources together, one set for each file, so that what one names is found in another.
pub fn read(sets: &[Set<'_>], catalogue: &Catalogue) -> Read {
    let all = || sets.iter().flat_map(|set| set.resources.iter());
    let of = |asked: Asked| sets.iter().filter(move |set| set.asked == asked).flat_map(|set| set.resources.iter());
    let mut notes = Notes::default();
    let ip_groups = IpGroups::read(all(), &mut notes);
    all().filter(|resource| takes(&resource.kind)).for_each(|resource| notes.used_in_name(&resource.name));
    let mut finder = Finder::new(&mut notes, catalogue, &ip_groups);
    finder.find(&sets.iter().map(|set| set.resources).collect::<Vec<_>>());
    finder.report_missing_policies();
    let Finder { found: policies, attachments, .. } = finder;
    let beside = network::read(of(Asked::Policy), Purpose::BesidePolicy, &mut notes);
    let topology = network::read(of(Asked::Topology), Purpose::Topology, &mut notes);
    notes.report_names();
    let Notes { mut notes, unknowns, unknowns_around, unknown_names, .. } = notes;
    let counted = ReadSummary { unknown_names, unknown_values: unknowns.len(), ..ReadSummary::default() };
    let passed_over = counted.clone().count(of(Asked::Policy), &policies, &[&beside]);
    let summary = counted.count(all(), &policies, &[&beside, &topology]);
    let first = of(Asked::Policy).find(|resource| network::knows(resource)).map(|resource| resource.at);
    if let Some((at, what)) = first.zip(passed_over.network()) {
        let what = format!("read, not emulated: {what}");
        notes.push(Note::new(Severity::Info, at, what).check("not-emulated"));
    }
    Read { policies, topology, summary, notes, unknowns, unknowns_around, attachments }
}
