//! Many addresses at once: is all of a prefix let in?
//!
//! The rules are gone through once with all addresses that none has decided yet, rather than once for each address.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::policy::{Action, AddressRange};

use super::super::network::{Network, Place};
use super::super::ranges::{Ranges, after, cut, overlap};
use super::compiled::{Compiled, Ports};
use super::{EPHEMERAL, FlowDirection, NetFlow, SecurityDecision, Transport, UNFILTERED, decision, exempt};

/// Parts of a range in order, each with its decision.
type Decided<'n> = Vec<(AddressRange, SecurityDecision<'n>)>;

impl Network {
    /// What the groups at a subnet say of packets between it and each address of a range: the range in parts, in order,
    /// each with the decision that holds for all of it.
    ///
    /// The local end is *every* address of the subnet that somebody can have (not the first four and the last of a
    /// prefix, which are Azure's); where the decision depends on it, a part is as denied as the worst of them. `port` is
    /// the destination's port, inbound the subnet's, outbound the range's; the source's is taken to be 49152. For one
    /// local address there is [`Network::security_of_range_at`].
    ///
    /// ```
    /// use egret::policy::{Action, Spot};
    /// use egret::vnet::{
    ///     RuleSide, FlowDirection, Network, NetworkSecurityGroup, Prefix, SecurityProtocol, SecurityRule, Subnet, Tags,
    ///     Topology, Transport, VirtualNetwork,
    /// };
    ///
    /// let subnet = Subnet {
    ///     name: "ase".into(),
    ///     prefixes: vec!["10.0.1.0/24".parse().unwrap()],
    ///     security_group: Some("nsg".into()),
    ///     ..Subnet::default()
    /// };
    /// let virtual_network = VirtualNetwork {
    ///     name: "vnet".into(),
    ///     address_space: vec!["10.0.0.0/16".parse().unwrap()],
    ///     subnets: vec![subnet],
    ///     ..VirtualNetwork::default()
    /// };
    /// let management = SecurityRule {
    ///     name: "management".into(),
    ///     priority: 100,
    ///     direction: FlowDirection::Inbound,
    ///     access: Action::Allow,
    ///     protocol: SecurityProtocol::Tcp,
    ///     source: RuleSide {
    ///         prefixes: vec![Prefix::Net("192.0.2.0/25".parse().unwrap())],
    ///         ports: vec![egret::flow::PortRange::ANY],
    ///         ..RuleSide::default()
    ///     },
    ///     destination: RuleSide {
    ///         prefixes: vec![Prefix::Any],
    ///         ports: vec!["454-455".parse().unwrap()],
    ///         ..RuleSide::default()
    ///     },
    ///     at: Spot::nowhere(),
    /// };
    /// let group = NetworkSecurityGroup { name: "nsg".into(), rules: vec![management], at: Spot::nowhere() };
    /// let topology = Topology {
    ///     virtual_networks: vec![virtual_network],
    ///     security_groups: vec![group],
    ///     ..Topology::default()
    /// };
    /// let network = Network::new(topology, Tags::default());
    /// let place = network.place("vnet", "ase").unwrap();
    ///
    /// let prefix = "192.0.2.0/24".parse().unwrap();
    /// let parts = network.security_of_range(place, FlowDirection::Inbound, Transport::Tcp, prefix, 454);
    /// let shown: Vec<(String, Action)> = parts.iter().map(|(part, it)| (part.to_string(), it.access)).collect();
    /// assert_eq!(shown, [("192.0.2.0/25".into(), Action::Allow), ("192.0.2.128/25".into(), Action::Deny)]);
    /// assert!(!parts.iter().all(|(_, it)| it.is_allowed()));
    /// ```
    pub fn security_of_range(
        &self,
        place: Place,
        direction: FlowDirection,
        transport: Transport,
        remote: AddressRange,
        port: u16,
    ) -> Vec<(AddressRange, SecurityDecision<'_>)> {
        self.security_of_range_from(place, direction, transport, EPHEMERAL, remote, port)
    }

    /// The same of packets that come from this port.
    pub fn security_of_range_from(
        &self,
        place: Place,
        direction: FlowDirection,
        transport: Transport,
        source_port: u16,
        remote: AddressRange,
        port: u16,
    ) -> Vec<(AddressRange, SecurityDecision<'_>)> {
        let ports = ports(transport, source_port, port);
        let samples = self.samples(place, direction).iter().filter(|it| it.is_ipv4() == remote.first().is_ipv4());
        let asked = samples.map(|local| Asked { network: self, place, direction, local: *local, ports });
        asked.map(|asked| asked.of(remote)).reduce(worse).unwrap_or_else(|| vec![(remote, UNFILTERED)])
    }

    /// The same for one address of the subnet.
    pub fn security_of_range_at(
        &self,
        place: Place,
        direction: FlowDirection,
        transport: Transport,
        local: IpAddr,
        remote: AddressRange,
        port: u16,
    ) -> Vec<(AddressRange, SecurityDecision<'_>)> {
        Asked { network: self, place, direction, local, ports: ports(transport, EPHEMERAL, port) }.of(remote)
    }
}

fn ports(transport: Transport, source: u16, destination: u16) -> Ports {
    if transport.has_ports() {
        Ports { transport, source, destination }
    } else {
        Ports { transport, source: 0, destination: 0 }
    }
}

/// What is asked of a range.
struct Asked<'n> {
    network: &'n Network,
    place: Place,
    direction: FlowDirection,
    local: IpAddr,
    ports: Ports,
}

impl<'n> Asked<'n> {
    fn of(&self, remote: AddressRange) -> Decided<'n> {
        let platform = exempt::addresses().collect::<Vec<_>>();
        let begins = platform.iter().flat_map(|address| [Some(*address), after(*address)]).flatten();
        let parts = cut(remote, begins).into_iter().flat_map(|part| match platform.contains(&part.first()) {
            true => vec![(part, self.network.security(self.place, self.direction, &self.flow(part.first())))],
            false => self.groups(part),
        });
        merged(parts)
    }

    fn flow(&self, remote: IpAddr) -> NetFlow {
        let (source, destination) = match self.direction {
            FlowDirection::Inbound => (remote, self.local),
            FlowDirection::Outbound => (self.local, remote),
        };
        let Ports { transport, source: source_port, destination: destination_port } = self.ports;
        NetFlow { transport, source, source_port, destination, destination_port }
    }

    /// Group after group: what one allows is asked of the next.
    fn groups(&self, remote: AddressRange) -> Decided<'n> {
        let mut parts: Decided<'n> = vec![(remote, UNFILTERED)];
        for (_, group, compiled) in self.network.groups_at(self.place, self.local, self.direction) {
            let (open, mut denied): (Decided<'n>, Decided<'n>) =
                parts.into_iter().partition(|(_, decision)| decision.access == Action::Allow);
            let open = open.into_iter().map(|(part, _)| part).collect();
            denied.extend(
                self.rules(compiled, open)
                    .into_iter()
                    .map(|(part, at)| (part, decision(group, compiled.rules(self.direction)[at].written(group)))),
            );
            denied.sort_unstable_by_key(|(part, _)| part.first());
            parts = denied;
        }
        parts
    }

    /// The rules of one group: what each takes of what those before it left over.
    fn rules(&self, compiled: &Compiled, mut open: Vec<AddressRange>) -> Vec<(AddressRange, usize)> {
        let mut taken = Vec::new();
        for (at, rule) in compiled.rules(self.direction).iter().enumerate() {
            let (local, remote) = rule.sides(self.direction);
            if open.is_empty() || !rule.takes(self.ports) || !local.holds(self.network, self.place, self.local) {
                continue;
            }
            if remote.is_any() {
                taken.extend(open.drain(..).map(|part| (part, at)));
            }
            for part in remote.parts(self.network, self.place) {
                take(&mut open, part, |found| taken.push((found, at)));
            }
        }
        taken
    }
}

/// Takes out of `open` what is in a set.
fn take(open: &mut Vec<AddressRange>, set: &Ranges, mut taken: impl FnMut(AddressRange)) {
    let is_touched = |range: &AddressRange| set.within(*range).next().is_some();
    if !open.iter().any(is_touched) {
        return;
    }
    let mut rest = Vec::with_capacity(open.len());
    for range in open.drain(..) {
        set.within(range).for_each(&mut taken);
        rest.extend(set.outside_of(range));
    }
    *open = rest;
}

/// Two divisions of one range: of each part the decision that denies.
fn worse<'n>(one: Decided<'n>, other: Decided<'n>) -> Decided<'n> {
    let mut others = other.into_iter().peekable();
    let mut parts = Vec::with_capacity(one.len());
    for (range, decision) in one {
        while let Some((until, that)) = others.peek() {
            if let Some(part) = overlap(range, *until) {
                let chosen = if decision.access == Action::Deny { &decision } else { that };
                parts.push((part, chosen.clone()));
            }
            if until.last() > range.last() {
                break;
            }
            others.next();
        }
    }
    merged(parts)
}

/// Neighbours of one decision become one part.
fn merged<'n>(parts: impl IntoIterator<Item = (AddressRange, SecurityDecision<'n>)>) -> Decided<'n> {
    let mut merged: Decided<'n> = Vec::new();
    for (part, decision) in parts {
        let joined = merged.last().filter(|(_, last)| *last == decision);
        match joined.and_then(|(last, _)| AddressRange::between(last.first(), part.last())) {
            Some(joined) => merged.last_mut().expect("there is a neighbour").0 = joined,
            None => merged.push((part, decision)),
        }
    }
    merged
}

/// Addresses of a subnet, one for each way in which the rules there can match at the local side.
pub(in super::super) fn samples(network: &Network, place: Place, direction: FlowDirection) -> Vec<IpAddr> {
    let usable: Vec<AddressRange> = network.subnet(place).usable_or_all().collect();
    let named = network.security_group_of(place).and_then(|group| network.group(&group.name));
    let begins = named.into_iter().flat_map(|(_, compiled)| begins(network, place, direction, compiled, &usable));
    let interfaces = usable.iter().flat_map(|range| network.interfaces_within(place, *range));
    let begins: Vec<IpAddr> =
        begins.chain(interfaces.flat_map(|address| [Some(address), after(address)]).flatten()).collect();
    let firsts = usable.iter().flat_map(|range| cut(*range, begins.iter().copied())).map(AddressRange::first);
    let mut seen = HashSet::new();
    firsts.filter(|address| seen.insert(kind(network, place, direction, *address))).collect()
}

/// Where in the subnet the local side of some rule begins or ends.
fn begins(
    network: &Network,
    place: Place,
    direction: FlowDirection,
    compiled: &Compiled,
    usable: &[AddressRange],
) -> Vec<IpAddr> {
    let mut begins = Vec::new();
    for rule in compiled.rules(direction) {
        for part in rule.sides(direction).0.parts(network, place) {
            let within = usable.iter().flat_map(|range| part.within(*range));
            begins.extend(within.flat_map(|it| [Some(it.first()), after(it.last())]).flatten());
        }
    }
    begins
}

/// What tells addresses of a subnet apart: the groups that are asked of them, and which of their rules match there.
fn kind(network: &Network, place: Place, direction: FlowDirection, local: IpAddr) -> (bool, Vec<&str>, Vec<bool>) {
    let (mut groups, mut matching) = (Vec::new(), Vec::new());
    for (_, group, compiled) in network.groups_at(place, local, direction) {
        groups.push(group.name.as_str());
        let rules = compiled.rules(direction).iter();
        matching.extend(rules.map(|rule| rule.sides(direction).0.holds(network, place, local)));
    }
    (local.is_ipv4(), groups, matching)
}

impl Network {
    fn interfaces_within(&self, place: Place, range: AddressRange) -> impl Iterator<Item = IpAddr> + '_ {
        let own = &self.virtual_network(place).name;
        let interfaces = self.topology().interfaces.iter().filter(|it| it.virtual_network.eq_ignore_ascii_case(own));
        interfaces.flat_map(|it| it.addresses.iter().copied()).filter(move |address| range.contains(*address))
    }
}
