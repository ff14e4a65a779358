//! The rules of one security group, sorted and resolved once.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::flow::PortSet;

use super::super::network::{Network, Place};
use super::super::ranges::Ranges;
use super::super::tags::{Meaning, meaning};
use super::super::topology::{NetworkSecurityGroup, Prefix, RuleSide, SecurityProtocol, SecurityRule};
use super::exempt::Service;
use super::{FlowDirection, NetFlow, Transport, default_security_rules, port_matches};

/// What holds in every subnet that the group is on; what differs there is asked of the network.
#[derive(Debug)]
pub(in super::super) struct Compiled {
    inbound: Vec<Rule>,
    outbound: Vec<Rule>,
}

/// A rule of one direction.
#[derive(Debug)]
pub(super) struct Rule {
    which: Which,
    protocol: SecurityProtocol,
    pub(super) source: Side,
    pub(super) destination: Side,
}

#[derive(Debug, Clone, Copy)]
enum Which {
    /// By its place in the group.
    Own(usize),
    /// By its place among the default rules.
    Default(usize),
}

#[derive(Debug)]
pub(super) struct Side {
    any: bool,
    parts: Vec<Part>,
    ports: PortSet,
}

/// Some of the addresses that a side names.
#[derive(Debug)]
enum Part {
    Written(Ranges),
    Published(Arc<Ranges>),
    VirtualNetwork,
    Internet,
    /// An application security group, by its name.
    Group(String),
}

/// What a range is asked with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) transport: Transport,
    pub(super) source: u16,
    pub(super) destination: u16,
}

impl Compiled {
    pub(in super::super) fn new(network: &Network, group: &NetworkSecurityGroup) -> Compiled {
        let of = |direction| {
            let own = group.rules.iter().enumerate().map(|(at, rule)| (Which::Own(at), rule));
            let defaults = default_security_rules().iter().enumerate().map(|(at, rule)| (Which::Default(at), rule));
            let mut rules: Vec<(Which, &SecurityRule)> =
                own.chain(defaults).filter(|(_, rule)| rule.direction == direction).collect();
            rules.sort_by_key(|(_, rule)| rule.priority);
            rules.into_iter().map(|(which, rule)| Rule::new(network, which, rule)).collect()
        };
        Compiled { inbound: of(FlowDirection::Inbound), outbound: of(FlowDirection::Outbound) }
    }

    /// In the order of evaluation; the last one matches everything.
    pub(super) fn rules(&self, direction: FlowDirection) -> &[Rule] {
        match direction {
            FlowDirection::Inbound => &self.inbound,
            FlowDirection::Outbound => &self.outbound,
        }
    }

    pub(super) fn first(&self, network: &Network, place: Place, direction: FlowDirection, flow: &NetFlow) -> &Rule {
        let first = self.rules(direction).iter().find(|rule| rule.matches(network, place, flow));
        first.expect("the last default rule of each direction matches everything")
    }

    /// The first of those that name the platform's service.
    pub(super) fn first_of_platform<'g>(
        &self,
        network: &Network,
        place: Place,
        direction: FlowDirection,
        flow: &NetFlow,
        group: &'g NetworkSecurityGroup,
        service: Service,
    ) -> Option<&'g SecurityRule> {
        service.tag()?;
        let matching = self.rules(direction).iter().filter(|rule| rule.matches(network, place, flow));
        matching.map(|rule| rule.written(group)).find(|rule| service.is_named_by(rule.remote_side()))
    }
}

impl Rule {
    fn new(network: &Network, which: Which, rule: &SecurityRule) -> Rule {
        Rule {
            which,
            protocol: rule.protocol,
            source: Side::new(network, &rule.source),
            destination: Side::new(network, &rule.destination),
        }
    }

    /// As it stands in the group that it was made of.
    pub(super) fn written<'g>(&self, group: &'g NetworkSecurityGroup) -> &'g SecurityRule {
        match self.which {
            Which::Own(at) => &group.rules[at],
            Which::Default(at) => &default_security_rules()[at],
        }
    }

    fn matches(&self, network: &Network, place: Place, flow: &NetFlow) -> bool {
        let ports = Ports { transport: flow.transport, source: flow.source_port, destination: flow.destination_port };
        self.takes(ports)
            && self.destination.holds(network, place, flow.destination)
            && self.source.holds(network, place, flow.source)
    }

    /// Do its protocol and its ports match?
    pub(super) fn takes(&self, ports: Ports) -> bool {
        let Ports { transport, source, destination } = ports;
        let port_is = |side: &Side, port| port_matches(self.protocol, transport, side.ports.ranges(), port);
        self.protocol.covers(transport) && port_is(&self.destination, destination) && port_is(&self.source, source)
    }

    /// The side in the subnet, and the one outside of it.
    pub(super) fn sides(&self, direction: FlowDirection) -> (&Side, &Side) {
        match direction {
            FlowDirection::Inbound => (&self.destination, &self.source),
            FlowDirection::Outbound => (&self.source, &self.destination),
        }
    }
}

impl Side {
    fn new(network: &Network, side: &RuleSide) -> Side {
        let (mut any, mut nets, mut parts) = (false, Vec::new(), Vec::new());
        for prefix in &side.prefixes {
            match prefix {
                Prefix::Any => any = true,
                Prefix::Net(net) => nets.push(*net),
                Prefix::Tag(tag) => match meaning(tag) {
                    Meaning::Any => any = true,
                    Meaning::VirtualNetwork => parts.push(Part::VirtualNetwork),
                    Meaning::Internet => parts.push(Part::Internet),
                    Meaning::Addresses(known) => nets.extend(known.into_iter().map(IpNet::from)),
                    Meaning::Published => parts.push(Part::Published(network.published_tag(tag))),
                },
            }
        }
        if !nets.is_empty() {
            parts.push(Part::Written(nets.into_iter().collect()));
        }
        parts.extend(side.application_security_groups.iter().cloned().map(Part::Group));
        Side { any, parts, ports: side.ports.iter().copied().collect() }
    }

    pub(super) fn holds(&self, network: &Network, place: Place, address: IpAddr) -> bool {
        self.any || self.parts(network, place).any(|part| part.contains(address))
    }

    pub(super) fn is_any(&self) -> bool {
        self.any
    }

    /// Every set of addresses that it names, but for all.
    pub(super) fn parts<'a>(&'a self, network: &'a Network, place: Place) -> impl Iterator<Item = &'a Ranges> {
        self.parts.iter().filter_map(move |part| match part {
            Part::Written(ranges) => Some(ranges),
            Part::Published(ranges) => Some(&**ranges),
            Part::VirtualNetwork => Some(&network.surroundings(place).virtual_network),
            Part::Internet => Some(&network.surroundings(place).internet),
            Part::Group(group) => network.members(place, group),
        })
    }
}

impl SecurityRule {
    /// The side outside of the subnet.
    pub(super) fn remote_side(&self) -> &RuleSide {
        match self.direction {
            FlowDirection::Inbound => &self.source,
            FlowDirection::Outbound => &self.destination,
        }
    }
}
