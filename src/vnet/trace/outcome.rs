//! How a flow ends.

use super::book::Shown;

/// Request or reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leg {
    Request,
    Reply,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Both ways.
    Delivered,
    Denied {
        by: By,
        /// The rule, with what it belongs to.
        what: String,
    },
    /// Nothing answers, and nobody says why.
    BlackHole {
        leg: Leg,
        why: BlackHole,
        what: String,
    },
    Asymmetric(Asymmetry),
    /// The name has no address: its server cannot be reached, or nobody has it.
    Unresolved(String),
    /// What decides is not in the topology.
    Unknown(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    SecurityGroup,
    Firewall,
    /// A peering that lets no traffic through, or none that was forwarded.
    Peering,
    /// A load balancer that does not serve the port.
    LoadBalancer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlackHole {
    /// A route whose next hop is None.
    NoneRoute,
    NoRoute,
    /// The address is in no subnet.
    NoSubnet,
    /// Nobody has the address of the next hop, or it cannot be reached.
    NoAppliance,
    NoGateway,
    /// A private address on the Internet.
    Unroutable,
    /// It comes back to where it was.
    Loop,
}

/// The reply to a request leaves by another way than the request came, so that one side takes it for a stranger's.
#[derive(Debug, Clone, PartialEq)]
pub struct Asymmetry {
    /// Where the request went.
    pub came_to: Shown,
    /// Where the reply comes from, or would if nothing dropped it.
    pub leaves_by: Shown,
    pub what: String,
}

impl Asymmetry {
    /// It is not another address that makes the difference, but what it passes.
    pub fn is_by_one_address(&self) -> bool {
        self.came_to == self.leaves_by
    }
}

impl Leg {
    pub fn as_str(self) -> &'static str {
        match self {
            Leg::Request => "request",
            Leg::Reply => "reply",
        }
    }
}

impl Outcome {
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Denied { .. } => "denied",
            Outcome::BlackHole { .. } => "black-hole",
            Outcome::Asymmetric(_) => "asymmetric",
            Outcome::Unresolved(_) => "unresolved",
            Outcome::Unknown(_) => "unknown",
        }
    }
}

impl By {
    pub fn as_str(self) -> &'static str {
        match self {
            By::SecurityGroup => "security-group",
            By::Firewall => "firewall",
            By::Peering => "peering",
            By::LoadBalancer => "load-balancer",
        }
    }
}

impl BlackHole {
    pub fn as_str(self) -> &'static str {
        match self {
            BlackHole::NoneRoute => "none-route",
            BlackHole::NoRoute => "no-route",
            BlackHole::NoSubnet => "no-subnet",
            BlackHole::NoAppliance => "no-appliance",
            BlackHole::NoGateway => "no-gateway",
            BlackHole::Unroutable => "unroutable",
            BlackHole::Loop => "loop",
        }
    }
}
