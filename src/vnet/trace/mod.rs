//! One flow, hop by hop, both ways: from what begins it to what it is meant for, and the reply's way back.
//!
//! It decides nothing itself. Security groups and routes are asked of [`Network`], the firewall of [`Policy`]; what is
//! here is the order in which they come, and what each makes of the packet. Routes know nothing of connections, so the
//! reply is looked up afresh where it begins: one that would leave by another address than the request came to is an
//! [asymmetric route](Outcome::Asymmetric).
//!
//! Absent on purpose: DNS is not asked, nothing is sent. A name without a known address is decided by its name, and goes
//! the way of any public address.

mod book;
mod names;
mod outcome;
mod party;
mod path;
mod sweep;
mod target;
#[cfg(test)]
mod tests;
mod walk;
mod words;

use std::net::IpAddr;

use crate::flow::HostName;
use crate::policy::Policy;

use super::network::{Network, Place};

pub use book::Shown;
pub use outcome::{Asymmetry, BlackHole, By, Leg, Outcome};
pub use party::UnknownParty;
pub use path::{
    Answer, Deciding, FirewallStep, Level, Lookup, Mark, Node, RouteLine, RouteStep, SecurityStep, Station, Step,
    Translates, Translation,
};
pub use sweep::{Group, Pairing, Part, Share, Sweep, SweptEnd, Unit};
pub use target::{Target, TargetError, endpoints};

/// Whom a trace asks.
#[derive(Clone, Copy)]
pub struct Scene<'n> {
    pub network: &'n Network,
    /// None where nobody knows what the firewall lets through.
    pub policy: Option<&'n Policy>,
    /// The addresses that a name is known to have on a port.
    pub given: &'n dyn Fn(&HostName, u16) -> Vec<IpAddr>,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Trace {
    /// As people name them.
    pub from: String,
    pub to: String,
    /// `tcp 443`
    pub service: String,
    pub request: Vec<Station>,
    /// Empty where the request does not arrive.
    pub reply: Vec<Station>,
    pub outcome: Outcome,
    /// What was taken for granted.
    pub notes: Vec<String>,
    /// Where one end stands for many addresses: what becomes of each. The paths are those of one that fares worst.
    pub sweep: Option<Sweep>,
}

impl Trace {
    /// Follows a flow. Without `from` it begins in the subnet of the App Service Environment.
    pub fn of(scene: Scene<'_>, from: Option<&Target>, to: &Target) -> Result<Trace, UnknownParty> {
        let parties = party::resolve(scene, from, to)?;
        sweep::trace(&parties)
    }

    /// The subnet that the same flow begins in; None where it begins elsewhere.
    pub fn begins_in(scene: Scene<'_>, from: Option<&Target>, to: &Target) -> Result<Option<Place>, UnknownParty> {
        let parties = party::resolve(scene, from, to)?;
        Ok(parties.from.begins_in(scene.network, parties.from.first()))
    }

    /// Does every address that was asked for get through, both ways?
    pub fn is_delivered(&self) -> bool {
        let others = self.sweep.iter().flat_map(|sweep| &sweep.groups);
        self.outcome == Outcome::Delivered && others.into_iter().all(|group| group.outcome == Outcome::Delivered)
    }
}
