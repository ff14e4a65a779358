//! What network security groups decide.

use std::net::IpAddr;

use crate::policy::Action;

use super::network::{Network, Place};
use super::topology::{Endpoint, NetworkSecurityGroup, Prefix, SecurityProtocol, SecurityRule};

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
}

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
    },
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

/// The default rules (azure-docs, network-security-groups-overview.md, 2025), as ARM names them.
const DEFAULTS: &[(FlowDirection, &str, u16, &str, &str, Action)] = &[
    (FlowDirection::Inbound, "AllowVnetInBound", 65000, "VirtualNetwork", "VirtualNetwork", Action::Allow),
    (FlowDirection::Inbound, "AllowAzureLoadBalancerInBound", 65001, "AzureLoadBalancer", "*", Action::Allow),
    (FlowDirection::Inbound, "DenyAllInBound", 65500, "*", "*", Action::Deny),
    (FlowDirection::Outbound, "AllowVnetOutBound", 65000, "VirtualNetwork", "VirtualNetwork", Action::Allow),
    (FlowDirection::Outbound, "AllowInternetOutBound", 65001, "*", "Internet", Action::Allow),
    (FlowDirection::Outbound, "DenyAllOutBound", 65500, "*", "*", Action::Deny),
];

/// What one group says.
pub(super) fn decide<'n>(
    network: &'n Network,
    place: Place,
    group: &'n NetworkSecurityGroup,
    direction: FlowDirection,
    flow: &NetFlow,
) -> SecurityDecision<'n> {
    let mut rules: Vec<&SecurityRule> = group.rules.iter().filter(|rule| rule.direction == direction).collect();
    rules.sort_by_key(|rule| rule.priority);
    let own = rules.into_iter().find(|rule| matches(network, place, rule, flow));
    let found = own.map(|rule| (rule.name.as_str(), rule.priority, rule.access, false));
    let (rule, priority, access, is_default) = found.unwrap_or_else(|| default_rule(network, place, direction, flow));
    SecurityDecision { access, because: Because::Rule { group: &group.name, rule, priority, is_default } }
}

fn default_rule(
    network: &Network,
    place: Place,
    wanted: FlowDirection,
    flow: &NetFlow,
) -> (&'static str, u16, Action, bool) {
    let holds = |text: &str, address| match text {
        "*" => true,
        tag => network.tag_holds(place, tag, address),
    };
    let (_, name, priority, _, _, access) = DEFAULTS
        .iter()
        .filter(|(direction, ..)| *direction == wanted)
        .find(|(_, _, _, from, to, _)| holds(from, flow.source) && holds(to, flow.destination))
        .expect("the last default rule of each direction matches everything");
    (name, *priority, *access, true)
}

fn matches(network: &Network, place: Place, rule: &SecurityRule, flow: &NetFlow) -> bool {
    rule.protocol.covers(flow.transport)
        && side(network, place, &rule.source, flow.source, flow.source_port)
        && side(network, place, &rule.destination, flow.destination, flow.destination_port)
}

fn side(network: &Network, place: Place, side: &Endpoint, address: IpAddr, port: u16) -> bool {
    let holds = |prefix: &Prefix| match prefix {
        Prefix::Any => true,
        Prefix::Net(net) => net.contains(&address),
        Prefix::Tag(tag) => network.tag_holds(place, tag, address),
    };
    let in_group = || {
        let own = network.interface_of(address);
        own.is_some_and(|interface| {
            let mut groups = interface.application_security_groups.iter();
            groups.any(|group| side.application_security_groups.iter().any(|it| it.eq_ignore_ascii_case(group)))
        })
    };
    let port_is = port == 0 || side.ports.iter().any(|range| range.contains(port));
    port_is && (side.prefixes.iter().any(holds) || in_group())
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
