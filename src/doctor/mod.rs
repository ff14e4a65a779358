//! Would an App Service Environment stay healthy in this network, behind this firewall?
//!
//! All the rules that break one, each asked of the one engine: of [`Network`] for security groups and routes, of
//! [`Policy`] for the firewall. What is in force counts, not what is written: a default rule is as good as one of one's
//! own. Nothing is sent.

mod age;
mod beyond;
mod clients;
mod dependencies;
mod dns;
mod documents;
mod doubt;
mod endpoints;
mod examine;
mod filter;
mod finding;
mod firewall;
mod gate;
mod inbound;
mod lifecycle;
mod management;
mod mend;
mod messages;
mod outbound;
mod premises;
mod routes;
mod singles;
mod spans;
mod subnet;
mod ways;
mod words;

use ipnet::IpNet;

use crate::policy::{AddressRange, Policy};
use crate::vnet::{AppServiceEnvironment, Network, Place};

pub use documents::Document;
pub(crate) use examine::examine_reach;
pub use examine::{Diagnosis, Examined, examine, rule, rules};
pub use finding::{Coverage, Dependency, Evidence, Finding, Outcome, Rule, Severity};
pub use mend::{Mended, mend};
pub use ways::way_out;

/// What is looked at: one environment with all that is around it.
#[derive(Clone, Copy)]
pub struct Patient<'a> {
    pub network: &'a Network,
    pub environment: &'a AppServiceEnvironment,
    /// Its subnet.
    pub place: Place,
    /// None where there is no firewall.
    pub policy: Option<&'a Policy>,
}

impl<'a> Patient<'a> {
    fn own_nets(&self) -> impl Iterator<Item = IpNet> + 'a {
        self.network.subnet(self.place).prefixes.iter().copied()
    }

    fn own_ranges(&self) -> impl Iterator<Item = AddressRange> + 'a {
        self.own_nets().filter_map(|net| AddressRange::between(net.network(), net.broadcast()))
    }
}

/// How the environment fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Health {
    Healthy,
    Degraded,
    Unhealthy,
    WouldBeSuspended,
    /// Its resource says so.
    Suspended,
}

impl Health {
    /// By the worst that was found. What only apps or advice are about leaves it healthy.
    pub fn of<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Health {
        let worst = findings.into_iter().map(|finding| finding.severity).max();
        match worst {
            Some(Severity::Suspended) => Health::WouldBeSuspended,
            Some(Severity::Unhealthy) => Health::Unhealthy,
            Some(Severity::Degraded) => Health::Degraded,
            Some(Severity::App | Severity::Advice) | None => Health::Healthy,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::Unhealthy => "unhealthy",
            Health::WouldBeSuspended => "would be suspended",
            Health::Suspended => "suspended",
        }
    }
}
