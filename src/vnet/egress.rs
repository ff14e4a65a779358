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
        let has_ports = !matches!(query.protocol, Protocol::Icmp | Protocol::Other);
        let flow = NetFlow {
            transport: transport(query.protocol),
            source: client,
            source_port: if has_ports { source_port } else { 0 },
            destination: seen,
            destination_port: query.port,
        };
        let outbound = Secured { place, flow, decision: network.security(place, FlowDirection::Outbound, &flow) };
        if self.denies(&outbound) {
            let decision = Decision::deny(Reason::NsgDenied, None);
            return Ok(Crossing { decision, outbound, route: None, way: Way::Denied, inbound: None });
        }
        let route = network.next_hop(place, seen);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::HostName;
    use crate::policy::{
        About, Action, AddressSet, AppProtocol, ApplicationRule, FqdnPattern, PolicyRules, Priority, PrivateAddresses,
        RuleCollection, RuleCollectionGroup, RuleSet, Rules, Spot,
    };
    use crate::vnet::samples::{self, GROUP, SUBNET, security_rule};
    use crate::vnet::{
        NetworkSecurityGroup, NextHop, Route, RouteDestination, SecurityProtocol, SecurityRule, Subnet, Topology,
    };

    const CLIENT: &str = "192.168.251.140";

    /// Every name by HTTPS.
    fn policy() -> Policy {
        let rule = ApplicationRule {
            name: "any".to_owned(),
            sources: AddressSet::any(),
            fqdns: vec![FqdnPattern::parse("*").unwrap()],
            protocols: vec![AppProtocol { protocol: Protocol::Https, port: 443 }],
            about: About::default(),
            ..ApplicationRule::default()
        };
        let priority = Priority::try_from(100).unwrap();
        let rules = Rules::Application(Action::Allow, vec![rule]);
        let collection = RuleCollection { name: "web".to_owned(), priority, rules, at: Spot::default() };
        let group =
            RuleCollectionGroup { name: "g".to_owned(), priority, collections: vec![collection], at: Spot::default() };
        let policy = PolicyRules { name: "lab".to_owned(), groups: vec![group], ..PolicyRules::default() };
        let set = RuleSet { policies: vec![policy], ..RuleSet::default() };
        Policy::compile(set.into(), PrivateAddresses::Allow)
    }

    fn query(protocol: Protocol, host: &Host, port: u16) -> Query<'_> {
        Query::new(Some(CLIENT.parse().unwrap()), protocol, host, port).outbound()
    }

    fn crossing<'n>(network: &'n Network, policy: &'n Policy, query: &Query<'_>) -> Crossing<'n> {
        Egress::new(policy, Some(network), Flows::New).crossing(query, 51_000).expect("the client is in the subnet")
    }

    /// The worked set-up with a subnet for data, to which a route leads by way of the firewall, or none does.
    fn with_data(by_firewall: bool) -> Network {
        let mut topology = samples::worked();
        let inbound = FlowDirection::Inbound;
        let from_firewall = security_rule("fw", 100, inbound, SecurityProtocol::Tcp, "192.168.0.4/32", "*", "443");
        let closed = security_rule("closed", 200, inbound, SecurityProtocol::Any, "*", "*", "*");
        let rules = vec![from_firewall, SecurityRule { access: Action::Deny, ..closed }];
        topology.security_groups.push(NetworkSecurityGroup { name: "data-nsg".into(), rules, at: Spot::nowhere() });
        topology.virtual_networks[0].subnets.push(Subnet {
            name: "data".into(),
            prefixes: vec!["192.168.7.0/24".parse().unwrap()],
            security_group: Some("data-nsg".into()),
            ..Subnet::default()
        });
        if by_firewall {
            topology.route_tables[0].routes.push(Route {
                name: "data".into(),
                destination: RouteDestination::Net("192.168.7.0/24".parse().unwrap()),
                next_hop: NextHop::VirtualAppliance("192.168.0.4".parse().unwrap()),
                at: Spot::nowhere(),
            });
        }
        samples::built(topology)
    }

    #[test]
    fn who_the_destination_sees() {
        let name = Host::Name(HostName::parse("db.test").unwrap());
        let query = query(Protocol::Https, &name, 443).with_address(Address::Given("192.168.7.4".parse().unwrap()));
        let policy = policy();
        let check = |by_firewall, reason, source: &str| {
            let network = with_data(by_firewall);
            let crossing = crossing(&network, &policy, &query);
            let inbound = crossing.inbound.expect("it is in a subnet");
            assert_eq!((crossing.decision.reason, inbound.flow.source), (reason, source.parse().unwrap()));
        };
        check(true, Reason::ApplicationRule, "192.168.0.4");
        check(false, Reason::NsgDenied, CLIENT);
    }
    #[test]
    fn protocols_without_a_word() {
        let host = Host::Addr("198.51.100.7".parse().unwrap());
        let outbound = |protocol| {
            let rule = security_rule("first", 100, FlowDirection::Outbound, protocol, "*", "*", "*");
            let rules = vec![SecurityRule { access: Action::Deny, ..rule }];
            let group = NetworkSecurityGroup { name: GROUP.into(), rules, at: Spot::nowhere() };
            samples::built(Topology { security_groups: vec![group], ..samples::worked() })
        };
        let check = |protocol, expected| {
            let (network, policy) = (outbound(protocol), policy());
            let crossing = crossing(&network, &policy, &query(Protocol::Other, &host, 0));
            assert_eq!(crossing.decision.reason, expected, "{protocol:?}");
        };
        check(SecurityProtocol::Any, Reason::NsgDenied);
        for other in [SecurityProtocol::Tcp, SecurityProtocol::Udp, SecurityProtocol::Icmp] {
            check(other, Reason::NotAllowed);
        }
    }

    /// A name without an address is for the firewall alone, and so is a client of nowhere.
    #[test]
    fn who_is_not_asked() {
        let (network, policy) = (samples::built(samples::worked()), policy());
        let egress = Egress::new(&policy, Some(&network), Flows::New);
        let name = Host::Name(HostName::parse("ok.test").unwrap());
        let unknown = query(Protocol::Https, &name, 443);
        let elsewhere = Query { client: Some("198.51.100.1".parse().unwrap()), ..unknown };
        for query in [unknown, elsewhere] {
            assert_eq!(egress.decide(&query, 0), policy.decide(&query));
            assert_eq!(egress.crossing(&query, 0), None);
        }
        let place = egress.place_of(unknown.client).unwrap();
        assert_eq!(network.subnet(place).name, SUBNET);
        let smtp = query(Protocol::Tcp, &name, 25).with_address(Address::Given("198.51.100.7".parse().unwrap()));
        assert_eq!(egress.decide(&smtp, 0).reason, Reason::NsgDenied);
        assert_eq!(Egress::new(&policy, None, Flows::New).decide(&smtp, 0), policy.decide(&smtp));
        assert_ne!(Egress::new(&policy, Some(&network), Flows::Live).decide(&smtp, 0).reason, Reason::NsgDenied);
    }
}
