//! Every shape in which Azure's things are written down, turned into uniform resources, so that there is one reader.
//!
//! Templates are worked out elsewhere; the resources that come of them are given here like all others. No rule is
//! judged here, and no address is read.

mod build;
mod classic;
mod decode;
mod detect;
mod envelope;
mod foreign;
mod form;
mod fragment;
mod gather;
mod groups;
pub mod kinds;
mod legacy;
mod nest;
mod powershell;
mod resource;
mod rest;
mod terraform;
#[cfg(test)]
mod tests;

pub use decode::{NotText, decode};
pub use detect::{Format, Refusal, detect, is_cut_off};
pub use form::{Shape, shape_of};
pub use resource::Resource;

use super::json::Node;
use super::note::Note;

/// What a file holds.
#[derive(Debug, Default, PartialEq)]
pub struct Shaped {
    /// Only of the types in [`kinds`]; each before its children.
    pub resources: Vec<Resource>,
    /// Where there are no resources, a warning or an error among them says what there is instead.
    pub notes: Vec<Note>,
}

/// Turns documents, or the resources that a template gave, into uniform resources.
pub fn resources(documents: &[Node]) -> Shaped {
    let mut gathered = gather::Gathered::default();
    for document in documents {
        gathered.document(document);
    }
    let (resources, notes) = gathered.finish();
    Shaped { resources, notes }
}
