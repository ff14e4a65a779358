//! How much of what is needed the security groups of the subnet let through, and what opens the rest.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::flow::PortRange;
use crate::policy::{Action, AddressRange, Spot};
use crate::vnet::{
    Because, Change, FlowDirection, NetworkSecurityGroup, Prefix, RuleSide, SecurityProtocol, SecurityRule, Transport,
};

use super::Patient;
use super::finding::{Coverage, Finding, Rule};
use super::spans;

/// The least number that a rule of one's own may have.
const FIRST_PRIORITY: u16 = 100;

/// What has to get through between the subnet, all of it, and others.
pub(super) struct Needed<'a> {
    pub(super) direction: FlowDirection,
    pub(super) transports: &'a [Transport],
    /// Of the destination.
    pub(super) ports: &'a [PortRange],
    pub(super) remote: &'a [AddressRange],
}

/// What of it does.
pub(super) struct Filtered<'n> {
    /// Of each range of the others, in the order of addresses.
    pub(super) ranges: Vec<(AddressRange, Coverage)>,
    /// What of them some packet does not get through with, joined.
    pub(super) lost: Vec<AddressRange>,
    /// What denies, each rule once.
    pub(super) blocks: Vec<Block<'n>>,
}

/// A rule that denies, with the first packet that it denies.
pub(super) struct Block<'n> {
    pub(super) because: Because<'n>,
    pub(super) transport: Transport,
    pub(super) source: u16,
    pub(super) remote: IpAddr,
    pub(super) port: u16,
}

/// How many ranges get through wholly, partly and not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) covered: usize,
    pub(super) partly: usize,
    pub(super) missing: usize,
}

impl Counts {
    pub(super) fn of(ranges: impl IntoIterator<Item = Coverage>) -> Counts {
        let mut counts = Counts::default();
        for coverage in ranges {
            match coverage {
                Coverage::Covered => counts.covered += 1,
                Coverage::Partly => counts.partly += 1,
                Coverage::Missing => counts.missing += 1,
            }
        }
        counts
    }

    /// Of all of them together.
    pub(super) fn coverage(self) -> Coverage {
        match self {
            Counts { partly: 0, missing: 0, .. } => Coverage::Covered,
            Counts { covered: 0, partly: 0, .. } => Coverage::Missing,
            _ => Coverage::Partly,
        }
    }
}

impl<'n> Filtered<'n> {
    pub(super) fn of(patient: &Patient<'n>, needed: &Needed<'_>) -> Filtered<'n> {
        let asked = packets(patient, needed);
        let mut remote = needed.remote.to_vec();
        remote.sort_unstable_by_key(|range| range.first());
        let mut filtered = Filtered { ranges: Vec::new(), lost: Vec::new(), blocks: Vec::new() };
        for range in remote {
            let counts = Counts::of(asked.iter().map(|packet| filtered.one(patient, needed, range, *packet)));
            filtered.ranges.push((range, counts.coverage()));
        }
        filtered.lost = spans::joined(filtered.lost);
        filtered
    }

    fn one(&mut self, patient: &Patient<'n>, needed: &Needed<'_>, range: AddressRange, packet: Packet) -> Coverage {
        let Packet { transport, source, port } = packet;
        let Needed { direction, .. } = *needed;
        let parts = patient.network.security_of_range_from(patient.place, direction, transport, source, range, port);
        let counts = Counts::of(parts.into_iter().map(|(part, decision)| {
            if decision.is_allowed() {
                return Coverage::Covered;
            }
            if !self.blocks.iter().any(|block| block.because == decision.because) {
                self.blocks.push(Block { because: decision.because, transport, source, remote: part.first(), port });
            }
            self.lost.push(part);
            Coverage::Missing
        }));
        counts.coverage()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts::of(self.ranges.iter().map(|(_, coverage)| *coverage))
    }

    pub(super) fn coverage(&self) -> Coverage {
        self.counts().coverage()
    }

    pub(super) fn is_open(&self) -> bool {
        self.coverage() == Coverage::Covered
    }

    /// What of the ranges does not get through, as evidence, and what denies it.
    pub(super) fn explain(&self, patient: &Patient<'_>, finding: Finding) -> Finding {
        let short = self.ranges.iter().filter(|(_, coverage)| *coverage != Coverage::Covered);
        let finding = short.fold(finding, |it, (range, coverage)| it.covers(*coverage, range.to_string()));
        self.blocks.iter().fold(finding, |it, block| {
            let (what, at) = decider(patient, &block.because);
            it.because(format!("{what} denies {}", block.packet()), at)
        })
    }
}

impl Block<'_> {
    fn packet(&self) -> String {
        let Block { transport, source, remote, port, .. } = self;
        if transport.has_ports() && *source > BEGINS {
            format!("{} {port} of {remote} from port {source}", name(*transport))
        } else if transport.has_ports() {
            format!("{} {port} of {remote}", name(*transport))
        } else {
            format!("{} of {remote}", name(*transport))
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    transport: Transport,
    source: u16,
    port: u16,
}

/// From here on are the ports that flows begin at (RFC 6335): nobody knows at which of them.
const BEGINS: u16 = 49_152;

/// One packet of each kind that the rules tell apart by protocol and ports.
fn packets(patient: &Patient<'_>, needed: &Needed<'_>) -> Vec<Packet> {
    let (ports, sources) = (ports(patient, needed), source_ports(patient, needed));
    let of = |transport: &Transport| {
        let transport = *transport;
        match transport.has_ports() {
            true => ports
                .iter()
                .flat_map(|port| sources.iter().map(move |source| Packet { transport, source: *source, port: *port }))
                .collect(),
            false => vec![Packet { transport, source: 0, port: 0 }],
        }
    };
    needed.transports.iter().flat_map(of).collect()
}

/// The first port of each part of those that flows begin at, as rules of this direction cut them up.
fn source_ports(patient: &Patient<'_>, needed: &Needed<'_>) -> Vec<u16> {
    let written = rules(patient, needed).flat_map(|rule| &rule.source.ports);
    let begins = written.flat_map(|range| [Some(range.first()), range.last().checked_add(1)]).flatten();
    let inner = begins.filter(|port| *port >= BEGINS);
    let mut ports: Vec<u16> = inner.chain([BEGINS]).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn rules<'n>(patient: &Patient<'n>, needed: &Needed<'_>) -> impl Iterator<Item = &'n SecurityRule> {
    let direction = needed.direction;
    let group = patient.network.security_group_of(patient.place);
    group.into_iter().flat_map(|group| &group.rules).filter(move |rule| rule.direction == direction)
}

/// The first port of each part of the ranges that some rule begins or ends.
fn ports(patient: &Patient<'_>, needed: &Needed<'_>) -> Vec<u16> {
    let written = rules(patient, needed).flat_map(|rule| &rule.destination.ports);
    let begins = written.flat_map(|range| [Some(range.first()), range.last().checked_add(1)]).flatten();
    let inner = begins.filter(|port| needed.ports.iter().any(|range| range.contains(*port)));
    // Nobody asks for port 0, and the engine takes it for one that nobody knows.
    let mut ports: Vec<u16> =
        inner.chain(needed.ports.iter().map(|range| range.first())).map(|port| port.max(1)).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// What decided, and where it is written.
pub(super) fn decider(patient: &Patient<'_>, because: &Because<'_>) -> (String, Spot) {
    match because {
        Because::NoGroup => ("no security group".to_owned(), Spot::nowhere()),
        Because::Exempt => ("the platform's own exemption".to_owned(), Spot::nowhere()),
        Because::Rule { group, rule, priority, is_default: true, .. } => {
            let at = patient.network.topology().security_group(group).map(|group| group.at).unwrap_or_default();
            (format!("Azure's default rule {rule} ({priority}) of {group}"), at)
        }
        Because::Rule { group, rule, priority, .. } => {
            let written = patient.network.topology().security_group(group);
            let mut rules = written.iter().flat_map(|group| &group.rules);
            let at = rules.find(|it| it.name == *rule && it.priority == *priority).map(|it| it.at);
            (format!("security rule {group}/{rule} ({priority})"), at.unwrap_or_default())
        }
    }
}

/// About the security group of the subnet; about the subnet where it has none.
pub(super) fn finding(patient: &Patient<'_>, rule: &'static Rule, what: impl Into<String>) -> Finding {
    match patient.network.security_group_of(patient.place) {
        Some(group) => Finding::new(rule, group.at, &group.name, what),
        None => {
            let subnet = patient.network.subnet(patient.place);
            Finding::new(rule, subnet.at, &subnet.name, what)
        }
    }
}

/// A security rule that lets through what is needed, before those that deny it.
pub(super) struct Opening<'a> {
    /// It is named after it.
    pub(super) rule: &'static Rule,
    /// Of several for one rule.
    pub(super) nth: usize,
    pub(super) direction: FlowDirection,
    pub(super) protocol: SecurityProtocol,
    pub(super) remote: Vec<Prefix>,
    pub(super) ports: &'a [PortRange],
}

impl Opening<'_> {
    pub(super) fn numbered(self, nth: usize) -> Self {
        Opening { nth, ..self }
    }

    /// Adds to the finding what opens it, or says why no command can.
    pub(super) fn mend(self, patient: &Patient<'_>, blocks: &[Block<'_>], finding: Finding) -> Finding {
        let denying = blocks.iter().filter_map(|block| match block.because {
            Because::Rule { group, rule, priority, .. } => Some((priority, group, rule)),
            Because::NoGroup | Because::Exempt => None,
        });
        let Some((before, group, denies)) = denying.min() else { return finding };
        match free_priority(patient, group, self.direction, before) {
            Some(priority) => {
                finding.mend(Change::SecurityRule { group: group.to_owned(), rule: self.written(patient, priority) })
            }
            None => finding.by_hand(format!("give {group}/{denies} a priority above {before}: none before it is free")),
        }
    }

    fn name(&self) -> String {
        let id = self.rule.id;
        if self.nth == 0 { format!("egret-{id}") } else { format!("egret-{id}-{}", self.nth) }
    }

    fn written(self, patient: &Patient<'_>, priority: u16) -> SecurityRule {
        let name = self.name();
        let own = patient.own_nets().map(Prefix::Net).collect();
        let side = |prefixes, ports: &[PortRange]| RuleSide { prefixes, ports: ports.to_vec(), ..RuleSide::default() };
        let (source, destination) = match self.direction {
            FlowDirection::Inbound => (self.remote, own),
            FlowDirection::Outbound => (own, self.remote),
        };
        SecurityRule {
            name,
            priority,
            direction: self.direction,
            access: Action::Allow,
            protocol: self.protocol,
            source: side(source, &[PortRange::ANY]),
            destination: side(destination, self.ports),
            at: Spot::nowhere(),
        }
    }
}

/// The last one that no rule has, before another. What others of the same answer take is for [`apart`].
fn free_priority(patient: &Patient<'_>, group: &str, direction: FlowDirection, before: u16) -> Option<u16> {
    const LAST: u16 = 4096;
    let group = patient.network.topology().security_group(group)?;
    (FIRST_PRIORITY..before.min(LAST + 1)).rev().find(|priority| !has(group, direction, *priority))
}

fn has(group: &NetworkSecurityGroup, direction: FlowDirection, priority: u16) -> bool {
    group.rules.iter().any(|rule| rule.direction == direction && rule.priority == priority)
}

/// Gives each security rule that mends something a priority of its own, as each was found out alone: the last free one
/// before. One that finds none keeps that of another, and `--fix`, which mends one after the other, does better.
pub(super) fn apart<'f>(patient: &Patient<'_>, findings: impl IntoIterator<Item = &'f mut Finding>) {
    let mut taken: HashSet<(String, FlowDirection, u16)> = HashSet::new();
    for change in findings.into_iter().flat_map(|finding| &mut finding.mend) {
        let Change::SecurityRule { group: name, rule } = change else { continue };
        let Some(group) = patient.network.topology().security_group(name) else { continue };
        let key = |priority: u16| (name.to_lowercase(), rule.direction, priority);
        let is_free = |at: &u16| !taken.contains(&key(*at)) && !has(group, rule.direction, *at);
        rule.priority = (FIRST_PRIORITY..=rule.priority).rev().find(is_free).unwrap_or(rule.priority);
        taken.insert((name.to_lowercase(), rule.direction, rule.priority));
    }
}

pub(super) fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
        Transport::Icmp => "ICMP",
        Transport::Esp => "ESP",
        Transport::Ah => "AH",
        Transport::Other => "IP",
    }
}

/// `454-455,16001`
pub(super) fn listed(ports: &[PortRange]) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vnet::samples::{self, GROUP, SUBNET, VNET};
    use crate::vnet::{Network, Topology};

    fn asked<T>(change: impl FnOnce(&mut Topology), ask: impl FnOnce(&Patient<'_>) -> T) -> T {
        let mut topology = samples::worked();
        change(&mut topology);
        let network: Network = samples::built(topology);
        let environment = &network.topology().environments[0];
        let place = network.place(VNET, SUBNET).unwrap();
        ask(&Patient { network: &network, environment, place, policy: None })
    }

    /// However many rules there are, only those that could tell ports apart that are asked for make more work.
    #[test]
    fn ports_are_asked_once_for_each_part() {
        let own = |patient: &Patient<'_>| patient.own_ranges().collect::<Vec<_>>();
        let asked_for = |text: &str, change: fn(&mut Topology)| {
            let ports = [text.parse::<PortRange>().unwrap()];
            asked(change, |patient| {
                let remote = own(patient);
                let direction = FlowDirection::Inbound;
                super::ports(
                    patient,
                    &Needed { direction, transports: &[Transport::Tcp], ports: &ports, remote: &remote },
                )
            })
        };
        assert_eq!(asked_for("454-455", |_| ()), [454]);
        assert_eq!(asked_for("80-443", |_| ()), [80, 81, 443]);
        assert_eq!(asked_for("*", |_| ())[0], 1);
        let many = |topology: &mut Topology| {
            let any = SecurityProtocol::Any;
            let rule = |at: u16| {
                let port = (20_000 + at).to_string();
                samples::security_rule(&format!("r{at}"), 200 + at, FlowDirection::Inbound, any, "*", "*", &port)
            };
            topology.security_groups[0].rules.extend((0..900).map(rule));
        };
        assert_eq!(asked_for("454-455", many), [454]);
    }

    #[test]
    fn priorities_that_are_free() {
        let free = |before: u16| asked(|_| (), |patient| free_priority(patient, GROUP, FlowDirection::Inbound, before));
        assert_eq!(free(65500), Some(4095), "4096 is taken");
        assert_eq!(free(4096), Some(4095));
        assert_eq!(free(111), Some(109));
        assert_eq!(free(100), None);
        assert_eq!(free(101), None, "100 is taken");
    }
}
