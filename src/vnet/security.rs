//! What network security groups decide.
//!
//! [`compiled`] is what answers; [`walk`] goes through the rules as they are written, and says of each what matched: it is
//! what NSG diagnostics print, and what tests hold the former against. Security admin rules of Virtual Network Manager,
//! which Azure asks before, are not emulated.

mod compiled;
pub(super) mod defaults;
mod exempt;
mod range;
#[cfg(test)]
mod tests;
mod walk;

use std::net::IpAddr;

use crate::flow::Protocol;
use crate::policy::{Action, Spot};

use super::network::{Network, Place};
use super::topology::{NetworkSecurityGroup, SecurityProtocol, SecurityRule};

pub(super) use compiled::Compiled;
pub use defaults::default_security_rules;
pub(super) use range::samples;
pub use walk::{AppliedTo, GroupEvaluation, RuleEvaluation};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowDirection {
    Inbound,
    Outbound,
}

/// What security rules tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    Tcp,
    Udp,
    Icmp,
    Esp,
    Ah,
    /// Such as GRE: only rules for any protocol match it.
    Other,
}

/// The port that a flow begins at, where nobody says which: the first of those for such use (RFC 6335).
pub const EPHEMERAL: u16 = 49_152;

/// One packet that begins a flow, as a security group sees it: inbound after the translation of public to private
/// addresses, outbound before that of private to public ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NetFlow {
    pub transport: Transport,
    pub source: IpAddr,
    /// 0 for what has no ports.
    pub source_port: u16,
    pub destination: IpAddr,
    pub destination_port: u16,
}

/// What the security groups of a subnet and an interface say of a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct SecurityDecision<'n> {
    pub access: Action,
    pub because: Because<'n>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Because<'n> {
    /// There is no group on the way.
    NoGroup,
    /// Traffic of the platform itself, which no group filters unless a rule names its tag.
    Exempt,
    /// The rule that denied, or the last one that allowed.
    Rule {
        group: &'n str,
        /// As it is written, or Azure's name of a default rule.
        rule: &'n str,
        priority: u16,
        is_default: bool,
        /// Of a default rule: where its group is written.
        at: Spot,
    },
}

/// What the group of a subnet or of an interface says.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupDecision<'n> {
    pub applied_to: AppliedTo<'n>,
    pub decision: SecurityDecision<'n>,
}

impl SecurityDecision<'_> {
    pub fn is_allowed(&self) -> bool {
        self.access == Action::Allow
    }
}

impl FlowDirection {
    pub fn as_str(self) -> &'static str {
        match self {
            FlowDirection::Inbound => "Inbound",
            FlowDirection::Outbound => "Outbound",
        }
    }
}

impl NetFlow {
    /// What comes back. No rule is asked of it: security groups are stateful, and the record of a flow that was allowed
    /// lets its answers through, whatever the rules of their direction say; a change of rules is for new flows only
    /// (azure-docs, network-security-groups-overview.md, 2025). Another packet, such as one that comes back by another address,
    /// begins a flow of its own.
    pub fn reply(self) -> NetFlow {
        NetFlow {
            transport: self.transport,
            source: self.destination,
            source_port: self.destination_port,
            destination: self.source,
            destination_port: self.source_port,
        }
    }

    /// The end outside of the subnet, with its port.
    pub(super) fn remote(&self, direction: FlowDirection) -> (IpAddr, u16) {
        match direction {
            FlowDirection::Inbound => (self.source, self.source_port),
            FlowDirection::Outbound => (self.destination, self.destination_port),
        }
    }

    /// The address in the subnet.
    pub(super) fn local(&self, direction: FlowDirection) -> IpAddr {
        match direction {
            FlowDirection::Inbound => self.destination,
            FlowDirection::Outbound => self.source,
        }
    }
}

impl Network {
    /// What the groups at a subnet, and at the interface there if there is one, say of a flow that leaves it or comes in.
    /// Inbound the subnet's group is asked first, outbound the interface's; both have to allow. Between two addresses of
    /// one subnet it is the same: outbound is asked of the one, inbound of the other.
    pub fn security(&self, place: Place, direction: FlowDirection, flow: &NetFlow) -> SecurityDecision<'_> {
        let service = exempt::service(self, place, direction, flow);
        let without = if service.is_some() { EXEMPT } else { UNFILTERED };
        self.asked(place, direction, flow, service).last().map_or(without, |last| last.decision)
    }

    /// The same of each group that is asked, up to the first that denies; of none where no group has a say.
    pub fn security_of_groups(&self, place: Place, direction: FlowDirection, flow: &NetFlow) -> Vec<GroupDecision<'_>> {
        self.asked(place, direction, flow, exempt::service(self, place, direction, flow)).collect()
    }

    /// The platform's own traffic is filtered only by rules with the tag of that service.
    fn asked<'n>(
        &'n self,
        place: Place,
        direction: FlowDirection,
        flow: &NetFlow,
        service: Option<exempt::Service>,
    ) -> impl Iterator<Item = GroupDecision<'n>> {
        let groups = self.groups_at(place, flow.local(direction), direction);
        let decisions = groups.filter_map(move |(applied_to, group, compiled)| {
            let rule = match service {
                Some(service) => compiled.first_of_platform(self, place, direction, flow, group, service)?,
                None => compiled.first(self, place, direction, flow).written(group),
            };
            Some(GroupDecision { applied_to, decision: decision(group, rule) })
        });
        let mut is_denied = false;
        decisions.take_while(move |it| !std::mem::replace(&mut is_denied, !it.decision.is_allowed()))
    }

    /// The groups on the way of a packet, in the order in which they are asked.
    fn groups_at(
        &self,
        place: Place,
        local: IpAddr,
        direction: FlowDirection,
    ) -> impl Iterator<Item = (AppliedTo<'_>, &NetworkSecurityGroup, &Compiled)> {
        let subnet = self.subnet(place);
        let interface = self.interface_at(place, local);
        let of_subnet = subnet.security_group.as_deref().map(|name| (AppliedTo::Subnet(&subnet.name), name));
        let of_interface = interface.and_then(|interface| {
            Some((AppliedTo::NetworkInterface(&interface.name), interface.security_group.as_deref()?))
        });
        let mut groups = [of_subnet, of_interface];
        if direction == FlowDirection::Outbound {
            groups.reverse();
        }
        groups
            .into_iter()
            .flatten()
            .filter_map(|(applied_to, name)| self.group(name).map(|(group, compiled)| (applied_to, group, compiled)))
    }
}

/// Without a group on the way.
const UNFILTERED: SecurityDecision<'static> = SecurityDecision { access: Action::Allow, because: Because::NoGroup };
/// Where no rule names the platform's service.
const EXEMPT: SecurityDecision<'static> = SecurityDecision { access: Action::Allow, because: Because::Exempt };

fn decision<'n>(group: &'n NetworkSecurityGroup, rule: &'n SecurityRule) -> SecurityDecision<'n> {
    let is_default = rule.is_default();
    let because = Because::Rule {
        group: &group.name,
        rule: &rule.name,
        priority: rule.priority,
        is_default,
        at: if is_default { group.at } else { rule.at },
    };
    SecurityDecision { access: rule.access, because }
}

impl Transport {
    /// The others have none: a rule for them is one whatever its ports.
    pub fn has_ports(self) -> bool {
        matches!(self, Transport::Tcp | Transport::Udp)
    }
}

/// What comes as IP without more is not told apart any further.
impl From<Protocol> for Transport {
    fn from(protocol: Protocol) -> Transport {
        match protocol {
            Protocol::Http | Protocol::Https | Protocol::Mssql | Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
            Protocol::Icmp => Transport::Icmp,
            Protocol::Other => Transport::Other,
        }
    }
}

impl SecurityProtocol {
    pub fn covers(self, transport: Transport) -> bool {
        match self {
            SecurityProtocol::Any => true,
            SecurityProtocol::Tcp => transport == Transport::Tcp,
            SecurityProtocol::Udp => transport == Transport::Udp,
            SecurityProtocol::Icmp => transport == Transport::Icmp,
            SecurityProtocol::Esp => transport == Transport::Esp,
            SecurityProtocol::Ah => transport == Transport::Ah,
        }
    }
}

/// Do the ports of one side of a rule hold for a packet? 0 is a port that nobody knows, and matches. ICMP, ESP and AH
/// have none: a rule for just them matches whatever its ports, one for any protocol only where it says every port.
fn port_matches(protocol: SecurityProtocol, transport: Transport, ports: &[crate::flow::PortRange], port: u16) -> bool {
    match (transport.has_ports(), protocol) {
        (true, _) if port == 0 => true,
        (true, _) => ports.iter().any(|range| range.contains(port)),
        (false, SecurityProtocol::Any) => ports.iter().any(|range| range.first() <= 1 && range.last() == u16::MAX),
        (false, _) => true,
    }
}
