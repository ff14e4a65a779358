//! Where one end stands for many addresses, each is followed; those that fare alike are told together.
//!
//! A prefix is not one case: a route for one address of it may lead elsewhere. It is cut where any route, rule or tag
//! that could tell its addresses apart begins or ends, and one address of each piece is followed.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::{AnyRule, in_order};
use crate::vnet::ranges::after;
use crate::vnet::{GATEWAY_SUBNET, Hop, Network, NetworkInterface, NetworkSecurityGroup, Place, Prefix, RuleSide};

use super::Trace;
use super::outcome::Outcome;
use super::party::{Addresses, Parties};
use super::path::{Answer, Station, Step};
use super::walk::{self, Packet, Walked};

/// What becomes of the addresses that one end stands for.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Which end: the one where the flow begins, or the other.
    pub label: String,
    pub prefixes: usize,
    /// The worst first.
    pub groups: Vec<Group>,
}

/// Prefixes that fare alike.
#[derive(Debug, Clone)]
pub struct Group {
    pub outcome: Outcome,
    /// The names of the stations of the request.
    pub way: Vec<String>,
    pub wholly: Vec<IpNet>,
    /// Of these, another part fares otherwise.
    pub partly: Vec<IpNet>,
}

pub(super) fn trace(parties: &Parties<'_>) -> Trace {
    match (&parties.from.addresses, &parties.to.addresses) {
        (Addresses::Many(nets), _) => many(parties, nets, End::From),
        (_, Addresses::Many(nets)) => many(parties, nets, End::To),
        _ => told(parties, single(parties, parties.from.first(), parties.to.first()), None),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    From,
    To,
}

fn single(parties: &Parties<'_>, from: IpAddr, to: IpAddr) -> Walked {
    let packet = Packet {
        protocol: parties.protocol,
        source: from,
        source_port: parties.source_port,
        destination: to,
        destination_port: parties.port,
    };
    let (begins, meant) = (parties.from.begins_in(parties.scene.network, from), parties.to.meant());
    if let Some(lookup) = parties.lookup.as_ref().filter(|it| matches!(it.answer, Answer::Unreachable(_))) {
        let outcome = Outcome::Unresolved(lookup.to_string());
        let mut walked = walk::both_ways(parties.scene, &parties.book, packet, begins, meant);
        walked.request.truncate(1);
        walked.request.iter_mut().for_each(|station| station.steps = vec![Step::Dns(lookup.clone())]);
        return Walked { reply: Vec::new(), outcome, ..walked };
    }
    let mut walked = walk::both_ways(parties.scene, &parties.book, packet, begins, meant);
    if let (Some(lookup), Some(first)) = (&parties.lookup, walked.request.first_mut()) {
        first.steps.insert(0, Step::Dns(lookup.clone()));
    }
    walked
}

fn told(parties: &Parties<'_>, walked: Walked, sweep: Option<Sweep>) -> Trace {
    let Walked { request, reply, outcome } = walked;
    let port = if parties.port == 0 { String::new() } else { format!(" {}", parties.port) };
    Trace {
        from: parties.from.label.clone(),
        to: parties.to.label.clone(),
        service: format!("{}{port}", parties.protocol.azure_name()),
        request,
        reply,
        outcome,
        notes: parties.notes.clone(),
        sweep,
    }
}

fn many(parties: &Parties<'_>, nets: &[IpNet], end: End) -> Trace {
    let cuts = cuts(parties, nets);
    let mut groups: Vec<(Group, IpAddr)> = Vec::new();
    let (from, to) = (parties.from.first(), parties.to.first());
    for net in nets {
        let mut touched: Vec<usize> = Vec::new();
        for address in pieces(*net, &cuts) {
            let walked = if end == End::From { single(parties, address, to) } else { single(parties, from, address) };
            let at = group_of(&mut groups, &walked, address);
            if !touched.contains(&at) {
                touched.push(at);
            }
        }
        let is_whole = touched.len() == 1;
        for at in touched {
            let group = &mut groups[at].0;
            let list = if is_whole { &mut group.wholly } else { &mut group.partly };
            list.push(*net);
        }
    }
    groups.sort_by_key(|(group, _)| (group.outcome == Outcome::Delivered, std::cmp::Reverse(group.wholly.len())));
    let shown = groups.first().map_or(if end == End::From { from } else { to }, |(_, address)| *address);
    let walked = if end == End::From { single(parties, shown, to) } else { single(parties, from, shown) };
    let label = if end == End::From { &parties.from.label } else { &parties.to.label };
    let groups = groups.into_iter().map(|(group, _)| group).collect();
    told(parties, walked, Some(Sweep { label: label.clone(), prefixes: nets.len(), groups }))
}

/// The group of those that fare as this one does, with the address that it was first seen of.
fn group_of(groups: &mut Vec<(Group, IpAddr)>, walked: &Walked, address: IpAddr) -> usize {
    let way: Vec<String> = walked.request.iter().map(|it: &Station| it.name.clone()).collect();
    let alike = |group: &Group| group.way == way && is_alike(&group.outcome, &walked.outcome);
    if let Some(at) = groups.iter().position(|(group, _)| alike(group)) {
        return at;
    }
    let group = Group { outcome: walked.outcome.clone(), way, wholly: Vec::new(), partly: Vec::new() };
    groups.push((group, address));
    groups.len() - 1
}

/// But for the address that was asked about.
fn is_alike(one: &Outcome, other: &Outcome) -> bool {
    match (one, other) {
        (Outcome::BlackHole { leg, why, .. }, Outcome::BlackHole { leg: other_leg, why: other_why, .. }) => {
            (leg, why) == (other_leg, other_why)
        }
        (Outcome::Asymmetric(one), Outcome::Asymmetric(other)) => one.leaves_by == other.leaves_by,
        _ => one == other,
    }
}

/// One address of each piece of a prefix.
fn pieces(net: IpNet, cuts: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let inside = cuts.range(net.network()..=net.broadcast()).copied().filter(|at| *at != net.network());
    std::iter::once(net.network()).chain(inside).collect()
}

/// The first address of whatever could tell addresses apart, and the one after its last.
pub(super) fn cuts(parties: &Parties<'_>, nets: &[IpNet]) -> BTreeSet<IpAddr> {
    let network = parties.scene.network;
    let mut cuts = BTreeSet::new();
    let mut known = HashSet::new();
    for place in concerned(parties, nets) {
        let routes = network.effective_routes(place).iter().flat_map(|route| &route.prefixes);
        routes.chain(&network.subnet(place).prefixes).for_each(|net| cut(&mut cuts, *net));
        let interfaces: Vec<&NetworkInterface> = network.interfaces_in(place).collect();
        interfaces.iter().flat_map(|it| &it.addresses).for_each(|address| cut(&mut cuts, IpNet::from(*address)));
        for group in groups(network, place, &interfaces) {
            let sides = group.rules.iter().flat_map(|rule| [&rule.source, &rule.destination]);
            sides.for_each(|side| cut_by(&mut cuts, &mut known, network, place, side));
        }
    }
    if let Some(policy) = parties.scene.policy {
        for ordered in in_order(policy.rules()) {
            let sets = match ordered.rule {
                AnyRule::Dnat(rule) => vec![&rule.sources, &rule.destinations],
                AnyRule::Network(_, rule) => vec![&rule.sources, &rule.destinations],
                AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => vec![&rule.sources],
            };
            let ranges = sets.into_iter().flat_map(|set| set.ranges());
            ranges.flat_map(|range| range.nets()).for_each(|net| cut(&mut cuts, net));
        }
    }
    cuts
}

/// The security groups that are asked in a subnet, each once.
fn groups<'n>(
    network: &'n Network,
    place: Place,
    interfaces: &[&'n NetworkInterface],
) -> Vec<&'n NetworkSecurityGroup> {
    let topology = network.topology();
    let of_interfaces = interfaces.iter().filter_map(|it| topology.security_group(it.security_group.as_deref()?));
    let mut groups: Vec<&NetworkSecurityGroup> = Vec::new();
    for group in network.security_group_of(place).into_iter().chain(of_interfaces) {
        if !groups.iter().any(|known| std::ptr::eq(*known, group)) {
            groups.push(group);
        }
    }
    groups
}

/// What one side of a rule names. A tag has thousands of prefixes, and a thousand rules may name it: each is `known` by
/// then, in the subnet that it is seen from.
fn cut_by<'n>(
    cuts: &mut BTreeSet<IpAddr>,
    known: &mut HashSet<(Place, &'n str)>,
    network: &Network,
    place: Place,
    side: &'n RuleSide,
) {
    for prefix in &side.prefixes {
        match prefix {
            Prefix::Any => {}
            Prefix::Net(net) => cut(cuts, *net),
            Prefix::Tag(tag) if known.insert((place, tag)) => {
                let ranges = network.tag_ranges(place, tag).into_iter();
                ranges.flat_map(|range| range.nets()).for_each(|net| cut(cuts, net));
            }
            Prefix::Tag(_) => {}
        }
    }
    let members = |it: &&NetworkInterface| {
        let mut own = it.application_security_groups.iter();
        own.any(|own| side.application_security_groups.iter().any(|group| group.eq_ignore_ascii_case(own)))
    };
    if !side.application_security_groups.is_empty() {
        let addresses = network.topology().interfaces.iter().filter(members).flat_map(|it| &it.addresses);
        addresses.for_each(|address| cut(cuts, IpNet::from(*address)));
    }
}

fn cut(cuts: &mut BTreeSet<IpAddr>, net: IpNet) {
    cuts.insert(net.network());
    cuts.extend(after(net.broadcast()));
}

/// The subnets whose security groups and routes a packet may meet: those of both ends and of what passes packets on.
fn concerned(parties: &Parties<'_>, nets: &[IpNet]) -> Vec<Place> {
    let network = parties.scene.network;
    let topology = network.topology();
    let begins = parties.from.begins_in(network, parties.from.first());
    let ends = begins.into_iter().chain(network.place_of(parties.to.first()));
    let holds = |place: &Place| {
        let mut own = network.subnet(*place).prefixes.iter();
        own.any(|own| nets.iter().any(|net| net.contains(own) || own.contains(net)))
    };
    let swept = network.places().filter(holds);
    let firewalls = topology.firewalls.iter().filter_map(|it| network.place(&it.virtual_network, &it.subnet));
    let environments = topology.environments.iter().filter_map(|it| network.place(&it.virtual_network, &it.subnet));
    let gateways = network.places().filter(|it| network.subnet(*it).name.eq_ignore_ascii_case(GATEWAY_SUBNET));
    let mut found: Vec<Place> = ends.chain(swept).chain(firewalls).chain(environments).chain(gateways).collect();
    let (mut places, mut seen) = (Vec::new(), HashSet::new());
    while let Some(place) = found.pop() {
        if seen.insert(place) {
            places.push(place);
            found.extend(appliances(network, place));
        }
    }
    places
}

/// Where the appliances are that routes of a subnet lead to.
fn appliances(network: &Network, place: Place) -> impl Iterator<Item = Place> {
    network.effective_routes(place).iter().filter_map(|route| match route.next_hop {
        Hop::VirtualAppliance(address) => network.place_of(address),
        _ => None,
    })
}
