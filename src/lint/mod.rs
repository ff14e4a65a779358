//! What is wrong with a policy that can be read: the checks behind `egret lint`.
//!
//! Pure: rules in, findings out, each with the place where it was written. What cannot be read at all is told by
//! `config`; what is printed, and how, is the matter of `cli`. Every check looks at each rule once, so that the
//! time grows with the policy and not with its square.

mod catalogue;
mod finding;

pub use finding::{Check, Finding, Severity};

/// Every check there is.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    catalogue::CHECKS.iter().copied()
}

/// A check by its id.
pub fn check(id: &str) -> Option<&'static Check> {
    checks().find(|check| check.id == id)
}
