//! What is wrong with a policy that can be read: the checks behind `egret lint`.
//!
//! Pure: rules in, findings out, each with the place where it was written. What cannot be read at all is told by
//! `config`; what is printed, and how, is the matter of `cli`. [`findings`] looks at each rule once, so that its time
//! grows with the policy and not with its square. [`whole_order`] looks at what earlier rules leave of later ones, and
//! [`compare`] and [`reach`] at the flows of whole policies: those count their work, and say where they gave up.

mod addresses;
mod application;
mod catalogue;
mod dnat;
mod finding;
mod flows;
mod inspection;
mod names;
mod network;
mod order;
mod place;
mod settings;
mod tree;

use crate::policy::RuleSet;

pub use finding::{Check, Finding, Severity};
pub use flows::{
    AddressPart, Clients, Comparison, Cover, Difference, NamePart, Outcome, Reach, Region, Ruling, Side, Witness,
    compare, reach,
};
pub use order::{WholeOrder, whole_order};

/// What is wrong with these rules, in no particular order.
pub fn findings(set: &RuleSet) -> Vec<Finding> {
    let mut found = Vec::new();
    for look in [
        tree::check,
        settings::check,
        network::check,
        dnat::check,
        names::check,
        application::check,
        inspection::check,
        addresses::check,
    ] {
        look(set, &mut found);
    }
    found
}

/// Text that may be long, in a line.
fn short(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Every check there is.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    catalogue::CHECKS.iter().chain(order::CHECKS).copied()
}

/// A check by its id.
pub fn check(id: &str) -> Option<&'static Check> {
    checks().find(|check| check.id == id)
}
