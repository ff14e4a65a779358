//! What is wrong with a policy that can be read: the checks behind `egret lint`.
//!
//! Pure: rules in, findings out, each with the place where it was written. What cannot be read at all is told by
//! `config`; what is printed, and how, is the matter of `cli`.

mod finding;
mod flows;

pub use finding::{Check, Finding, Severity};
pub use flows::{Cover, Outcome, Reach, Witness, reach};
