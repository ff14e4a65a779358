//! The whole way out of a subnet: its security group, its route, and the firewall where the route leads there.
//!
//! Security groups and routes look at addresses. Of a name that has none yet only the firewall can be asked; whoever
//! dials asks again for each address.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::flow::{Host, Protocol, Reason, Verdict};
use crate::policy::{Address, Decision, Policy, Query};

use super::network::{Network, Place};
use super::routes::{EffectiveRoute, Hop};
use super::security::{FlowDirection, NetFlow, SecurityDecision, Transport};
use super::topology::Topology;

/// Everything that decides about a flow: the policy, and what is around the firewall where a topology says it.
#[derive(Clone, Copy)]
pub struct Egress<'a> {
    policy: &'a Policy,
    network: Option<&'a Network>,
    flows: Flows,
}

/// Which flows are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flows {
    New,
    /// Live ones, which security groups do not look at again: they are stateful (azure-docs,
    /// network-security-groups-overview.md, 2025).
    Live,
}

/// What the network around the firewall made of a flow of a subnet.
#[derive(Debug, Clone, PartialEq)]
pub struct Crossing<'n> {
    /// With what the firewall said, where it was asked.
    pub decision: Decision,
    /// By the groups at the client's interface and subnet.
    pub outbound: Secured<'n>,
    /// None where a group denied before, or where there is none.
    pub route: Option<(&'n EffectiveRoute, IpNet)>,
    pub way: Way,
    /// By the groups at the destination, where that is in the topology and the flow came so far.
    pub inbound: Option<Secured<'n>>,
}

/// What the groups of one subnet say of a flow as they see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Secured<'n> {
    pub place: Place,
    pub flow: NetFlow,
    pub decision: SecurityDecision<'n>,
}

/// Where a flow goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A security group at the client denies it.
    Denied,
    /// No route, or one that drops it.
    Nowhere,
    Firewall,
    /// To the service itself, with the client's private address.
    ServiceEndpoint,
    /// Elsewhere: the Internet, another appliance, a gateway, the network itself.
    Past,
}

impl<'a> Egress<'a> {
    /// Without a network the policy alone decides.
    pub fn new(policy: &'a Policy, network: Option<&'a Network>, flows: Flows) -> Egress<'a> {
        Egress { policy, network, flows }
    }

    /// The one place where flows are decided. `source_port` is 0 where it is not known: then every rule's source ports
    /// hold it.
    pub fn decide(&self, query: &Query<'_>, source_port: u16) -> Decision {
        let Some(network) = self.network else { return self.policy.decide(query) };
        match self.cross(network, query, source_port) {
            Ok(crossing) => crossing.decision,
            Err(decision) => decision,
        }
    }

    /// The same with what was found on the way. None where there is no topology, the client is in no subnet of it or
    /// there is no address to look at.
    pub fn crossing(&self, query: &Query<'_>, source_port: u16) -> Option<Crossing<'a>> {
        self.cross(self.network?, query, source_port).ok()
    }

    /// The subnet of a client, if it is in one.
    pub fn place_of(&self, client: Option<IpAddr>) -> Option<Place> {
        self.network?.place_of(client?)
    }

    /// The error is the firewall's own decision.
    fn cross(&self, network: &'a Network, query: &Query<'_>, source_port: u16) -> Result<Crossing<'a>, Decision> {
        let Some((client, place)) = query.client.and_then(|client| Some((client, network.place_of(client)?))) else {
            return Err(self.policy.decide(query));
        };
        let Some(seen) = query.dialled.or(query.address.ip()) else {
            return Err(self.policy.decide_at_firewall(query));
        };
        let flow = NetFlow {
            transport: transport(query.protocol),
            source: client,
            source_port,
            destination: seen,
            destination_port: query.port,
        };
        let outbound = Secured { place, flow, decision: network.security(place, FlowDirection::Outbound, &flow) };
        if self.denies(&outbound) {
            let decision = Decision::deny(Reason::NsgDenied, None);
            return Ok(Crossing { decision, outbound, route: None, way: Way::Denied, inbound: None });
        }
        let route = network.route(place, seen).map(|selected| (selected.route, selected.prefix));
        let way = way(network, route.map(|(route, _)| route));
        let decision = self.decide_along(network, way, query);
        let crossing = Crossing { decision, outbound, route, way, inbound: None };
        Ok(self.arrive(network, crossing, query))
    }

    fn denies(&self, secured: &Secured<'_>) -> bool {
        !secured.decision.is_allowed() && self.flows == Flows::New
    }

    fn decide_along(&self, network: &Network, way: Way, query: &Query<'_>) -> Decision {
        match way {
            Way::Denied => Decision::deny(Reason::NsgDenied, None),
            Way::Nowhere => Decision::deny(Reason::NoRoute, None),
            Way::Firewall => self.policy.decide_at_firewall(query),
            Way::ServiceEndpoint | Way::Past => match query.address {
                // Whatever a route says, nobody gets at what is the machine's own; a network's own addresses are meant.
                Address::Given(addr) if self.policy.guards(addr) && !network.is_own(addr) => {
                    Decision::deny(Reason::InternalAddress, None)
                }
                _ if way == Way::ServiceEndpoint => Decision::allow(Reason::ServiceEndpoint),
                _ => Decision::allow(Reason::RoutedPast),
            },
        }
    }

    /// Asks the groups at the destination.
    fn arrive(&self, network: &'a Network, crossing: Crossing<'a>, query: &Query<'_>) -> Crossing<'a> {
        let Some((address, port)) = self.arrives_at(&crossing, query) else { return crossing };
        let Some(place) = network.place_of(address) else { return crossing };
        let source = seen_by_destination(&crossing);
        let flow = NetFlow { source, destination: address, destination_port: port, ..crossing.outbound.flow };
        let inbound = Secured { place, flow, decision: network.security(place, FlowDirection::Inbound, &flow) };
        let decision = if self.denies(&inbound) { Decision::deny(Reason::NsgDenied, None) } else { crossing.decision };
        Crossing { decision, inbound: Some(inbound), ..crossing }
    }

    /// None where it does not get so far.
    fn arrives_at(&self, crossing: &Crossing<'_>, query: &Query<'_>) -> Option<(IpAddr, u16)> {
        if crossing.decision.verdict == Verdict::Deny {
            return None;
        }
        match self.policy.translated(&crossing.decision) {
            Some(translated) => match translated.host {
                Host::Addr(addr) => Some((addr.to_canonical(), translated.port)),
                Host::Name(_) => None,
            },
            None => Some((query.address.ip().or(query.dialled)?, query.port)),
        }
    }
}

/// The firewall puts its own address in place of the client's where it ends the connection itself, and where it
/// translates what comes in (azure-docs, snat-private-range.md). Of its instances' addresses the one is taken that
/// routes name.
fn seen_by_destination(crossing: &Crossing<'_>) -> IpAddr {
    let reason = crossing.decision.reason;
    let own = matches!(reason, Reason::ApplicationRule | Reason::Infrastructure | Reason::DnatRule);
    match crossing.route {
        Some((EffectiveRoute { next_hop: Hop::VirtualAppliance(address), .. }, _)) if own => *address,
        _ => crossing.outbound.flow.source,
    }
}

/// What a route's next hop means for whoever waits at the firewall. A gateway, an appliance that is no firewall of the
/// topology and the Internet are not emulated any further: what goes there leaves.
fn way(network: &Network, route: Option<&EffectiveRoute>) -> Way {
    match route.map(|route| &route.next_hop) {
        None | Some(Hop::None) => Way::Nowhere,
        Some(Hop::VirtualAppliance(address)) if network.is_firewall(*address) => Way::Firewall,
        Some(Hop::VirtualNetworkServiceEndpoint(_)) => Way::ServiceEndpoint,
        Some(_) => Way::Past,
    }
}

/// Security rules have no word for other protocols, such as GRE: only rules for any match them. ESP stands for them.
fn transport(protocol: Protocol) -> Transport {
    match protocol {
        Protocol::Http | Protocol::Https | Protocol::Mssql | Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
        Protocol::Icmp => Transport::Icmp,
        Protocol::Other => Transport::Esp,
    }
}

impl Network {
    /// Is it an address of one of the networks?
    fn is_own(&self, address: IpAddr) -> bool {
        self.topology().virtual_networks.iter().any(|it| it.address_space.iter().any(|net| net.contains(&address)))
    }

    /// Is this appliance the firewall that is emulated? Where none has an address, every appliance is taken for it.
    fn is_firewall(&self, address: IpAddr) -> bool {
        let firewalls = &self.topology().firewalls;
        firewalls.iter().all(|firewall| firewall.private_address.is_none())
            || self.topology().firewall_at(address).is_some()
    }
}

/// What ids say where nobody said which subscription it is.
const NO_SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

impl Topology {
    /// `/subscriptions/S/resourceGroups/G`, where its resources are.
    pub fn scope(&self) -> String {
        let or =
            |text: &'static str| move |given: &str| if given.is_empty() { text.to_owned() } else { given.to_owned() };
        let (subscription, group) = (or(NO_SUBSCRIPTION)(&self.subscription), or("egret")(&self.resource_group));
        format!("/subscriptions/{subscription}/resourceGroups/{group}")
    }
}
