//! What is asked of the policy, and what it answers.

use std::net::IpAddr;
use std::sync::Arc;

use crate::flow::{Host, HostName, Protocol, Reason, Verdict};

use super::categories::RuleCategories;
use super::threats::ThreatId;
use super::tree::Translated;

/// One flow, as far as it is known when the question is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// None asks for a client of any address: only rules with the source `*` match it.
    pub client: Option<IpAddr>,
    pub protocol: Protocol,
    /// The name that the client asked for; None where it asked for an address.
    pub name: Option<&'a HostName>,
    pub address: Address,
    /// Of a name on a gateway: what the client dialled. Rules do not look at it, threat intelligence does.
    pub dialled: Option<IpAddr>,
    pub port: u16,
    pub direction: Direction,
    /// Names of [`Policy::network_fqdns`](super::Policy::network_fqdns) that resolve to the address at present: network
    /// rules for them match it, whatever the client asked for.
    pub resolved: &'a [HostName],
    /// Path and query of a plain HTTP request; nobody sees those of an encrypted one.
    pub path: Option<&'a str>,
}

/// Whether DNAT rules count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It may be meant for an address that a DNAT rule translates.
    Inbound,
    /// It is meant for a public address of the firewall itself: DNAT rules open it, and nothing else does.
    Published,
    /// DNAT rules are passed over: they are for what comes in, and open nothing outbound.
    Outbound,
}

/// The destination's address, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// A name that has not been resolved yet.
    Unknown,
    /// Written by the client, or from DNS: judged.
    Given(IpAddr),
    /// From `--resolve`, `--connect-to` or the configuration: the user's own word, exempt from the guard
    /// against internal addresses.
    Override(IpAddr),
}

impl Address {
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Address::Unknown => None,
            Address::Given(addr) | Address::Override(addr) => Some(addr),
        }
    }
}

impl<'a> Query<'a> {
    /// A question about a host as the client named it. All rules count.
    pub fn new(client: Option<IpAddr>, protocol: Protocol, host: &'a Host, port: u16) -> Query<'a> {
        let (name, address) = match host {
            Host::Name(name) => (Some(name), Address::Unknown),
            Host::Addr(addr) => (None, Address::Given(addr.to_canonical())),
        };
        Query {
            client,
            protocol,
            name,
            address,
            dialled: None,
            port,
            direction: Direction::Inbound,
            resolved: &[],
            path: None,
        }
    }

    /// The same flow once a DNAT rule has led it elsewhere.
    pub(super) fn translated<'b>(&self, to: &'b Translated) -> Query<'b> {
        Query::new(self.client, self.protocol, &to.host, to.port)
    }

    /// The same, by network and application rules alone.
    pub fn outbound(self) -> Query<'a> {
        Query { direction: Direction::Outbound, ..self }
    }

    pub fn with_address(self, address: Address) -> Query<'a> {
        Query { address, ..self }
    }
}

/// A rule's place in the order of evaluation, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u32);

/// A rule as logs and reports speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleName {
    pub policy: Arc<str>,
    pub group: Arc<str>,
    pub collection: Arc<str>,
    pub rule: Arc<str>,
    pub kind: RuleKind,
    /// Of an application rule that names web categories.
    pub categories: RuleCategories,
}

/// The type of a rule's collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleKind {
    Dnat,
    Network,
    Application,
}

impl std::fmt::Display for RuleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.policy, self.group, self.collection, self.rule)
    }
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    pub reason: Reason,
    /// The rule that decided; None for the default action and for service endpoints.
    pub rule: Option<RuleId>,
    /// True when the address was not known and a rule that looks at addresses might decide otherwise.
    pub address_matters: bool,
    /// The first indicator of threat intelligence that the flow meets, allowed or not.
    pub threat: Option<ThreatId>,
}

impl Decision {
    pub(crate) fn allow(reason: Reason) -> Decision {
        Decision { verdict: Verdict::Allow, reason, rule: None, address_matters: false, threat: None }
    }

    pub(crate) fn deny(reason: Reason, rule: Option<RuleId>) -> Decision {
        Decision { verdict: Verdict::Deny, reason, rule, address_matters: false, threat: None }
    }

    pub(super) fn deny_threat(threat: ThreatId) -> Decision {
        Decision { threat: Some(threat), ..Decision::deny(Reason::ThreatIntel, None) }
    }

    /// The permit that an allowed flow needs to go upstream.
    pub fn permit(self) -> Result<Permit, Denied> {
        match self.verdict {
            Verdict::Allow => Ok(Permit { decision: self }),
            Verdict::Deny => Err(Denied { decision: self }),
        }
    }
}

/// The right to dial. Only a decision that allows makes one.
#[derive(Debug, Clone, Copy)]
pub struct Permit {
    decision: Decision,
}

impl Permit {
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// True where the flow never meets the firewall.
    pub fn bypasses_firewall(&self) -> bool {
        self.decision.reason.is_past_firewall()
    }

    /// True where a network rule decided: such a flow is not looked into.
    pub fn is_network_rule(&self) -> bool {
        self.decision.reason == Reason::NetworkRule
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    decision: Decision,
}

impl Denied {
    pub fn decision(&self) -> Decision {
        self.decision
    }
}
