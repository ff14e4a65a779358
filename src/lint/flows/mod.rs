//! All flows that a policy can tell apart: which rules they reach, and which of them two policies decide differently.
//!
//! Rules cut the flows into cells: by destination, protocol, port, client and path. Inside one nothing changes, so one
//! flow stands for all, and the compiled policy is asked about it: nothing here decides anything itself.

mod addresses;
mod atoms;
mod diff;
mod globs;
mod holds;
mod names;
mod points;
mod probes;
mod reach;
mod regions;
mod size;
mod threats;
mod units;
mod witness;

pub use diff::{Comparison, Difference, Ruling, Side, compare};
pub use reach::{Cover, Outcome, Reach, reach};
pub use regions::{AddressPart, Clients, NamePart, Region};
pub use witness::Witness;

#[cfg(test)]
mod tests;
