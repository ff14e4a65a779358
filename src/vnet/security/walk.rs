//! The rules of the groups on a packet's way one after the other, and what of each matched.

use std::net::IpAddr;

use crate::policy::Action;

use super::super::network::{Network, Place};
use super::super::topology::{NetworkSecurityGroup, Prefix, RuleSide, SecurityRule};
use super::{FlowDirection, NetFlow, default_security_rules, port_matches};

/// What a group is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppliedTo<'n> {
    Subnet(&'n str),
    NetworkInterface(&'n str),
}

/// What one group on the way says.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupEvaluation<'n> {
    pub group: &'n NetworkSecurityGroup,
    pub applied_to: AppliedTo<'n>,
    /// In the order of evaluation, up to the one that matches.
    pub rules: Vec<RuleEvaluation<'n>>,
}

/// What of a rule matches a packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RuleEvaluation<'n> {
    pub rule: &'n SecurityRule,
    pub protocol: bool,
    pub source: bool,
    pub source_port: bool,
    pub destination: bool,
    pub destination_port: bool,
}

impl RuleEvaluation<'_> {
    pub fn is_match(&self) -> bool {
        let RuleEvaluation { rule: _, protocol, source, source_port, destination, destination_port } = *self;
        protocol && source && source_port && destination && destination_port
    }
}

impl<'n> GroupEvaluation<'n> {
    /// The rule that decides.
    pub fn matched(&self) -> Option<&'n SecurityRule> {
        self.rules.last().filter(|last| last.is_match()).map(|last| last.rule)
    }

    pub fn is_allowed(&self) -> bool {
        self.matched().is_some_and(|rule| rule.access == Action::Allow)
    }
}

impl Network {
    /// Every rule that is looked at for a packet, group after group, up to the first group that denies: what NSG
    /// diagnostics show. It knows no exemption of the platform: where [`Network::security`] says
    /// [`Because::Exempt`](super::Because::Exempt), it is what the rules would say otherwise.
    pub fn evaluate(&self, place: Place, direction: FlowDirection, flow: &NetFlow) -> Vec<GroupEvaluation<'_>> {
        let mut groups = Vec::new();
        for (applied_to, group, _) in self.groups_at(place, flow.local(direction), direction) {
            let evaluation = GroupEvaluation { group, applied_to, rules: self.walk(place, direction, group, flow) };
            let goes_on = evaluation.is_allowed();
            groups.push(evaluation);
            if !goes_on {
                break;
            }
        }
        groups
    }

    fn walk<'n>(
        &'n self,
        place: Place,
        direction: FlowDirection,
        group: &'n NetworkSecurityGroup,
        flow: &NetFlow,
    ) -> Vec<RuleEvaluation<'n>> {
        let mut rules: Vec<&SecurityRule> = group.rules.iter().chain(default_security_rules()).collect();
        rules.retain(|rule| rule.direction == direction);
        rules.sort_by_key(|rule| rule.priority);
        let mut seen = Vec::new();
        for rule in rules {
            let evaluation = self.compare(place, rule, flow);
            seen.push(evaluation);
            if evaluation.is_match() {
                break;
            }
        }
        seen
    }

    fn compare<'n>(&self, place: Place, rule: &'n SecurityRule, flow: &NetFlow) -> RuleEvaluation<'n> {
        let port = |side: &RuleSide, port| port_matches(rule.protocol, flow.transport, &side.ports, port);
        RuleEvaluation {
            rule,
            protocol: rule.protocol.covers(flow.transport),
            source: self.names(place, &rule.source, flow.source),
            source_port: port(&rule.source, flow.source_port),
            destination: self.names(place, &rule.destination, flow.destination),
            destination_port: port(&rule.destination, flow.destination_port),
        }
    }

    fn names(&self, place: Place, side: &RuleSide, address: IpAddr) -> bool {
        let holds = |prefix: &Prefix| match prefix {
            Prefix::Any => true,
            Prefix::Net(net) => net.contains(&address),
            Prefix::Tag(tag) => self.tag_holds(place, tag, address),
        };
        let in_group = || {
            let interface = self.interface_at(place, address);
            let mut groups = interface.into_iter().flat_map(|interface| &interface.application_security_groups);
            groups.any(|group| side.application_security_groups.iter().any(|it| it.eq_ignore_ascii_case(group)))
        };
        side.prefixes.iter().any(holds) || in_group()
    }
}
