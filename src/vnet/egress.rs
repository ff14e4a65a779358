//! The whole way out of a subnet: its security group, its route, and the firewall where the route leads there.
//!
//! Security groups and routes look at addresses. Of a name that has none yet only the firewall can be asked; whoever
//! dials asks again for each address.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::flow::{AddrClass, Host, Reason, Verdict};
use crate::policy::{Address, Decision, Policy, Query};

use super::client::Client;
use super::network::{Network, Place};
use super::onward::{Barred, Gatekeeper, Onward, Towards};
use super::routes::{EffectiveRoute, RouteSource};
use super::security::{FlowDirection, NetFlow, SecurityDecision, Transport};
use super::snat::keeps_source;

/// Everything that decides about a flow: the policy, and what is around the firewall where a topology says it.
#[derive(Clone, Copy)]
pub struct Egress<'a> {
    policy: &'a Policy,
    network: Option<&'a Network>,
    flows: Flows,
    client: Option<Client>,
}

/// Which flows are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flows {
    New,
    /// Live ones, which security groups do not look at again: they are stateful (azure-docs,
    /// network-security-groups-overview.md, 2025).
    Live,
}

/// What becomes of a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided<'n> {
    pub decision: Decision,
    /// What was found on the way. None where there is no topology, the client is in no subnet of it or there is no address
    /// to look at.
    pub crossing: Option<Crossing<'n>>,
    /// What was found where a DNAT rule leads a flow of a client in no subnet.
    pub arrival: Option<Arrival<'n>>,
}

/// What becomes of a flow from outside behind the firewall.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival<'n> {
    /// By the groups at the destination.
    pub inbound: Secured<'n>,
    /// What the firewall said, where those groups deny what it let through.
    pub passed: Option<Decision>,
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
    /// What the firewall said, where those groups deny what it let through.
    pub passed: Option<Decision>,
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
    /// No route, or one that leads nowhere: it drops it, its peering is closed, nobody has the address of its next hop.
    Nowhere,
    /// To the platform on the host itself, which no route leads to and no firewall sees.
    Platform,
    Firewall,
    /// To the service itself, with the client's private address.
    ServiceEndpoint,
    /// Elsewhere: the Internet, another appliance, a gateway, the network itself.
    Past,
}

impl<'a> Egress<'a> {
    /// Without a network the policy alone decides.
    pub fn new(policy: &'a Policy, network: Option<&'a Network>, flows: Flows) -> Egress<'a> {
        Egress { policy, network, flows, client: None }
    }

    /// The same, where it is known who asks: the address in a query does not say which subnet it is of.
    pub fn asked_by(self, client: Option<Client>) -> Egress<'a> {
        Egress { client, ..self }
    }

    /// The one place where flows are decided. `source_port` is 0 where it is not known: then every rule's source ports
    /// hold it.
    pub fn decide(&self, query: &Query<'_>, source_port: u16) -> Decided<'a> {
        let Some(network) = self.network else {
            return Decided { decision: self.policy.decide(query), crossing: None, arrival: None };
        };
        match self.cross(network, query, source_port) {
            Ok(crossing) => Decided { decision: crossing.decision, crossing: Some(crossing), arrival: None },
            Err(decision) => self.come_in(network, query, source_port, decision),
        }
    }

    /// On from the firewall, where a DNAT rule leads what it has decided.
    fn come_in(&self, network: &'a Network, query: &Query<'_>, source_port: u16, decision: Decision) -> Decided<'a> {
        let Some(inbound) = self.translated_to(network, query, source_port, &decision) else {
            return Decided { decision, crossing: None, arrival: None };
        };
        if !self.denies(&inbound) {
            return Decided { decision, crossing: None, arrival: Some(Arrival { inbound, passed: None }) };
        }
        let arrival = Arrival { inbound, passed: Some(decision) };
        Decided { decision: Decision::deny(Reason::NsgDenied, None), crossing: None, arrival: Some(arrival) }
    }

    /// The groups there see the firewall: DNAT translates both ends.
    fn translated_to(
        &self,
        network: &'a Network,
        query: &Query<'_>,
        source_port: u16,
        decision: &Decision,
    ) -> Option<Secured<'a>> {
        let translated = self.policy.translated(decision)?;
        let Host::Addr(destination) = translated.host else { return None };
        let destination = destination.to_canonical();
        let dialled = query.dialled.or(query.address.ip())?;
        let firewalls = &network.topology().firewalls;
        let number = firewalls.iter().position(|it| it.public_addresses.contains(&dialled)).unwrap_or(0);
        let firewall = firewalls.get(number).map(|_| Gatekeeper::Numbered(number));
        let source = firewall.and_then(|firewall| network.seen_behind(firewall, destination)).or(query.client)?;
        let routed = firewall.and_then(|firewall| network.beyond(firewall, source, destination));
        let place = match routed {
            Some(Ok(Onward { to: Towards::Subnet(there), .. })) => there,
            _ => network.place_of(destination)?,
        };
        let transport = Transport::from(query.protocol);
        let source_port = if transport.has_ports() { source_port } else { 0 };
        let flow = NetFlow { transport, source, source_port, destination, destination_port: translated.port };
        Some(Secured { place, flow, decision: network.security(place, FlowDirection::Inbound, &flow) })
    }

    /// The subnet of a client, if it is in one or counts as being in one.
    pub fn place_of(&self, client: Option<IpAddr>) -> Option<Place> {
        let client = self.client.or_else(|| self.network?.client(client?, None));
        client.map(|client| client.place)
    }

    /// The error is the firewall's own decision.
    fn cross(&self, network: &'a Network, query: &Query<'_>, source_port: u16) -> Result<Crossing<'a>, Decision> {
        let seen = query.dialled.or(query.address.ip());
        let counted = || query.client.and_then(|client| network.client(client, seen));
        let Some(Client { address, place }) = self.client.or_else(counted) else {
            return Err(self.policy.decide(query));
        };
        let query = &Query { client: Some(address), ..*query };
        let Some(seen) = seen else {
            return Err(self.policy.decide_at_firewall(query));
        };
        let transport = Transport::from(query.protocol);
        let flow = NetFlow {
            transport,
            source: address,
            source_port: if transport.has_ports() { source_port } else { 0 },
            destination: seen,
            destination_port: query.port,
        };
        let outbound = Secured { place, flow, decision: network.security(place, FlowDirection::Outbound, &flow) };
        if self.denies(&outbound) {
            let decision = Decision::deny(Reason::NsgDenied, None);
            return Ok(Crossing { decision, outbound, route: None, way: Way::Denied, inbound: None, passed: None });
        }
        let is_platform = AddrClass::of(seen) == AddrClass::Metadata;
        let route = if is_platform { None } else { network.next_hop(place, seen) };
        let onward = route.map_or(Err(Barred::NoRoute), |(route, _)| network.onward(place, route, address, seen));
        let way = if is_platform { Way::Platform } else { self.way(onward, seen, query.address) };
        let decision = self.decide_along(network, way, query);
        let crossing = Crossing { decision, outbound, route, way, inbound: None, passed: None };
        Ok(match onward.map(|onward| onward.to) {
            Ok(Towards::Firewall(firewall)) => self.go_on(network, crossing, query, firewall),
            // Then it arrives on the premises, even where a subnet holds its address too.
            Ok(Towards::Premises(_) | Towards::Forced(_)) => crossing,
            Ok(Towards::Subnet(there)) => self.arrive(network, crossing, query, Some(there), address),
            _ => self.arrive(network, crossing, query, None, address),
        })
    }

    fn denies(&self, secured: &Secured<'_>) -> bool {
        !secured.decision.is_allowed() && self.flows == Flows::New
    }

    fn decide_along(&self, network: &Network, way: Way, query: &Query<'_>) -> Decision {
        match way {
            Way::Denied => Decision::deny(Reason::NsgDenied, None),
            Way::Nowhere => Decision::deny(Reason::NoRoute, None),
            Way::Firewall => self.policy.decide_at_firewall(query),
            // Egret's own host has a platform too, which is nobody's but by the user's own word: that, or a rule for it.
            Way::Platform => match query.address {
                Address::Given(_) if self.policy.decide_at_firewall(query).verdict == Verdict::Deny => {
                    Decision::deny(Reason::InternalAddress, None)
                }
                _ => Decision::allow(Reason::RoutedPast),
            },
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

    /// A gateway, an appliance that is no firewall of the topology and the Internet are not emulated any further: what
    /// goes there leaves.
    fn way(&self, onward: Result<Onward<'_>, Barred<'_>>, to: IpAddr, address: Address) -> Way {
        match onward.map(|onward| onward.to) {
            Ok(Towards::Firewall(_)) => Way::Firewall,
            Ok(Towards::Service(_)) => Way::ServiceEndpoint,
            Ok(_) => Way::Past,
            Err(Barred::Unroutable) if self.is_of_the_machine(to, address) => Way::Past,
            Err(_) => Way::Nowhere,
        }
    }

    /// What the Internet has no way to, but the machine that Egret is on has: the guard speaks of it, the user has said
    /// where a name is, or what was dialled only stands for a name.
    fn is_of_the_machine(&self, dialled: IpAddr, address: Address) -> bool {
        match address {
            Address::Given(addr) => self.policy.guards(addr) || AddrClass::of(dialled) == AddrClass::Benchmark,
            Address::Override(_) | Address::Unknown => true,
        }
    }

    /// On from the firewall, by the routes of its own subnet. Where that is not known, to wherever the destination is.
    fn go_on(
        &self,
        network: &'a Network,
        crossing: Crossing<'a>,
        query: &Query<'_>,
        firewall: Gatekeeper,
    ) -> Crossing<'a> {
        let Some((to, _)) = self.arrives_at(&crossing, query) else { return crossing };
        let source = self.seen_by(network, &crossing, firewall, to);
        let onward = network.beyond(firewall, source, to);
        match onward.map(|onward| onward.map(|onward| onward.to)) {
            Some(Ok(Towards::Subnet(there))) => self.arrive(network, crossing, query, Some(there), source),
            Some(Err(barred)) if !self.is_elsewhere(barred, to, query.address) => {
                let passed = Some(crossing.decision);
                Crossing { decision: Decision::deny(Reason::NoRoute, None), passed, ..crossing }
            }
            Some(_) => crossing,
            None => self.arrive(network, crossing, query, None, source),
        }
    }

    /// Is it no destination of the topology's, so that nothing there is in its way? What only stands for a name, and what
    /// the user has said of one, is wherever the machine has it: the private ranges that Azure drops unasked too.
    fn is_elsewhere(&self, barred: Barred<'_>, to: IpAddr, address: Address) -> bool {
        match barred {
            Barred::Unroutable => self.is_of_the_machine(to, address),
            Barred::Dropped(RouteSource::Default) => !matches!(address, Address::Given(_)),
            _ => false,
        }
    }

    /// Asks the groups at the destination: in the subnet that the route leads to, unless the user has it elsewhere.
    fn arrive(
        &self,
        network: &'a Network,
        crossing: Crossing<'a>,
        query: &Query<'_>,
        routed: Option<Place>,
        source: IpAddr,
    ) -> Crossing<'a> {
        let Some((destination, destination_port)) = self.arrives_at(&crossing, query) else { return crossing };
        let routed = routed.filter(|place| network.subnet(*place).contains(destination));
        let Some(place) = routed.or_else(|| network.place_of(destination)) else { return crossing };
        let flow = NetFlow { source, destination, destination_port, ..crossing.outbound.flow };
        let inbound = Secured { place, flow, decision: network.security(place, FlowDirection::Inbound, &flow) };
        if !self.denies(&inbound) {
            return Crossing { inbound: Some(inbound), ..crossing };
        }
        let passed = (crossing.way == Way::Firewall).then_some(crossing.decision);
        Crossing { decision: Decision::deny(Reason::NsgDenied, None), inbound: Some(inbound), passed, ..crossing }
    }

    /// The source that a destination behind the firewall sees. Of one whose public address nobody knows, the client's.
    fn seen_by(&self, network: &Network, crossing: &Crossing<'_>, firewall: Gatekeeper, destination: IpAddr) -> IpAddr {
        let client = crossing.outbound.flow.source;
        if keeps_source(self.policy, crossing.decision.reason, destination) {
            return client;
        }
        network.seen_behind(firewall, destination).unwrap_or(client)
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

impl Network {
    /// Is it an address of one of the networks?
    fn is_own(&self, address: IpAddr) -> bool {
        self.topology().virtual_networks.iter().any(|it| it.address_space.iter().any(|net| net.contains(&address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{HostName, PortRange, PortSet, Protocol};
    use crate::policy::{
        About, Action, AddressSet, AppProtocol, ApplicationRule, Direction, DnatRule, FqdnPattern, IpProtocols,
        NetworkRule, PolicyRules, PolicySettings, Priority, PrivateAddresses, RuleCollection, RuleCollectionGroup,
        RuleSet, Rules, SnatSettings, Spot, Translated,
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
        compiled(Rules::Application(Action::Allow, vec![rule]), PolicySettings::default())
    }

    fn compiled(rules: Rules, settings: PolicySettings) -> Policy {
        let priority = Priority::try_from(100).unwrap();
        let collection = RuleCollection { name: "web".to_owned(), priority, rules, at: Spot::default() };
        let group =
            RuleCollectionGroup { name: "g".to_owned(), priority, collections: vec![collection], at: Spot::default() };
        let policy = PolicyRules { name: "lab".to_owned(), groups: vec![group], settings, ..PolicyRules::default() };
        let set = RuleSet { policies: vec![policy], ..RuleSet::default() };
        Policy::compile(set.into(), PrivateAddresses::Allow)
    }

    fn query(protocol: Protocol, host: &Host, port: u16) -> Query<'_> {
        Query::new(Some(CLIENT.parse().unwrap()), protocol, host, port).outbound()
    }

    fn crossing<'n>(network: &'n Network, policy: &'n Policy, query: &Query<'_>) -> Crossing<'n> {
        let decided = Egress::new(policy, Some(network), Flows::New).decide(query, 51_000);
        decided.crossing.expect("the client is in the subnet")
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

    /// A destination of a network rule sees the firewall, but where the policy has it private.
    #[test]
    fn who_the_destination_of_a_network_rule_sees() {
        let address = Host::Addr("192.168.7.9".parse().unwrap());
        let query = query(Protocol::Tcp, &address, 443);
        let network = with_data(true);
        let check = |ranges: Option<&str>, reason, source: &str| {
            let policy = private(ranges);
            let crossing = crossing(&network, &policy, &query);
            let inbound = crossing.inbound.expect("it is in a subnet");
            assert_eq!((crossing.decision.reason, inbound.flow.source), (reason, source.parse().unwrap()));
        };
        check(None, Reason::NsgDenied, CLIENT);
        check(Some("192.168.0.0/16"), Reason::NsgDenied, CLIENT);
        check(Some("10.0.0.0/8"), Reason::NetworkRule, "192.168.0.4");
    }

    /// Whoever dials the firewall's public address is in no subnet; what he is led to is.
    #[test]
    fn what_a_dnat_rule_lets_in_meets_the_group_there() {
        let network = with_data(false);
        let rule = |port| DnatRule {
            name: format!("in-{port}"),
            sources: AddressSet::any(),
            protocols: IpProtocols::TCP,
            destinations: AddressSet::any(),
            ports: PortSet::from_iter([PortRange::single(port)]),
            translated: Translated { host: Host::Addr("192.168.7.4".parse().unwrap()), port },
            about: About::default(),
        };
        let policy = compiled(Rules::Dnat(vec![rule(443), rule(22)]), PolicySettings::default());
        let public = Host::Addr("203.0.113.4".parse().unwrap());
        for (port, reason, passed) in [(443, Reason::DnatRule, None), (22, Reason::NsgDenied, Some(Reason::DnatRule))] {
            let query = Query::new(Some("198.51.100.7".parse().unwrap()), Protocol::Tcp, &public, port);
            let query = Query { direction: Direction::Inbound, ..query };
            let decided = Egress::new(&policy, Some(&network), Flows::New).decide(&query, 51_000);
            assert_eq!((decided.decision.reason, decided.crossing), (reason, None), "{port}");
            let Arrival { inbound, passed: by_firewall } = decided.arrival.expect("it is in a subnet");
            assert_eq!(by_firewall.map(|decision| decision.reason), passed, "{port}");
            let NetFlow { source, destination, destination_port, .. } = inbound.flow;
            let seen = ("192.168.0.4".parse().unwrap(), "192.168.7.4".parse().unwrap(), port);
            assert_eq!((source, destination, destination_port), seen);
        }
    }

    /// By a network rule for all of TCP.
    fn private(ranges: Option<&str>) -> Policy {
        let rule = NetworkRule {
            name: "tcp".to_owned(),
            sources: AddressSet::any(),
            protocols: IpProtocols::TCP,
            destinations: AddressSet::any(),
            ports: PortSet::any(),
            ..NetworkRule::default()
        };
        let settings = PolicySettings {
            snat: SnatSettings {
                private_ranges: ranges.map(|range| vec![range.parse().unwrap()]),
                ..SnatSettings::default()
            },
            ..PolicySettings::default()
        };
        compiled(Rules::Network(Action::Allow, vec![rule]), settings)
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
        let named = [SecurityProtocol::Tcp, SecurityProtocol::Udp, SecurityProtocol::Icmp, SecurityProtocol::Esp];
        for other in named.into_iter().chain([SecurityProtocol::Ah]) {
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
            assert_eq!(
                egress.decide(&query, 0),
                Decided { decision: policy.decide(&query), crossing: None, arrival: None }
            );
        }
        let place = egress.place_of(unknown.client).unwrap();
        assert_eq!(network.subnet(place).name, SUBNET);
        let smtp = query(Protocol::Tcp, &name, 25).with_address(Address::Given("198.51.100.7".parse().unwrap()));
        let reason = |network, flows| Egress::new(&policy, network, flows).decide(&smtp, 0).decision.reason;
        assert_eq!(reason(Some(&network), Flows::New), Reason::NsgDenied);
        assert_eq!(reason(None, Flows::New), policy.decide(&smtp).reason);
        assert_ne!(reason(Some(&network), Flows::Live), Reason::NsgDenied);
    }
}
