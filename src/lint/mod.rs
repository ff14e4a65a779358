//! What is wrong with a policy that can be read: the checks behind `egret lint`.
//!
//! Pure: rules in, findings out, each with the place where it was written. What cannot be read at all is told by
//! `config`; what is printed, and how, is the matter of `cli`.

mod addresses;
mod atoms;
mod finding;
mod globs;
mod names;
mod points;
mod reach;
mod units;
mod witness;

#[cfg(test)]
mod tests;


pub use finding::{Check, Finding, Severity};
pub use reach::{Cover, Outcome, Reach, reach};
pub use witness::Witness;
