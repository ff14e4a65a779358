//! Where an end stands for many addresses, each is followed, of two such ends each with each; those that fare alike are
//! told together.
//!
//! A prefix is not one case: a route for one address of it may lead elsewhere. It is cut where any route, rule or tag
//! that could tell its addresses apart begins or ends, and one address of each piece is followed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::{AddressRange, AnyRule, in_order};
use crate::vnet::ranges::{self, Ranges, after};
use crate::vnet::{GATEWAY_SUBNET, Hop, Network, NetworkInterface, NetworkSecurityGroup, Place, Prefix, RuleSide};

use super::Trace;
use super::outcome::Outcome;
use super::party::{Addresses, Known, Parties, Party, UnknownParty};
use super::path::{Answer, Lookup, Station, Step};
use super::walk::{self, Packet, Walked};

/// Flows that a sweep of two ends follows at most. More are refused: what was not looked at is not known.
const MOST: usize = 20_000;

/// What becomes of the addresses that one end stands for, or both.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// One, or two in the order of the flow.
    pub ends: Vec<SweptEnd>,
    /// The worst first.
    pub groups: Vec<Group>,
}

/// An end that stands for many addresses.
#[derive(Debug, Clone)]
pub struct SweptEnd {
    pub label: String,
    pub count: usize,
    pub unit: Unit,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Prefix,
    /// Of a name with several.
    Address,
}

/// What fares alike.
#[derive(Debug, Clone)]
pub struct Group {
    pub outcome: Outcome,
    /// The names of the stations of the request.
    pub way: Vec<String>,
    pub share: Share,
}

#[derive(Debug, Clone)]
pub enum Share {
    /// Of the one end that is many.
    Of { wholly: Vec<IpNet>, partly: Vec<Part> },
    /// Of two such ends: these with those.
    Pairs(Vec<Pairing>),
}

/// The part of a prefix that fares so, while another part fares otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub prefix: IpNet,
    pub ranges: Vec<AddressRange>,
}

/// Each of these with each of those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    pub from: Vec<AddressRange>,
    pub to: Vec<AddressRange>,
}

/// # Errors
/// Two ends that come to more flows than are followed.
pub(super) fn trace(parties: &Parties<'_>) -> Result<Trace, UnknownParty> {
    Ok(match (&parties.from.addresses, &parties.to.addresses) {
        (Addresses::Many(from), Addresses::Many(to)) => both(parties, from, to)?,
        (Addresses::Many(nets), _) => one(parties, nets, End::From),
        (_, Addresses::Many(nets)) => one(parties, nets, End::To),
        _ => told(parties, single(parties, parties.from.first(), parties.to.first()), None),
    })
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
    let has_none = |it: &&Lookup| matches!(it.answer, Answer::Unreachable(_) | Answer::Nowhere);
    if let Some(lookup) = parties.lookup.as_ref().filter(has_none) {
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

/// How some flows fare, with the ends of the first of them.
struct Fate {
    outcome: Outcome,
    way: Vec<String>,
    begins: IpAddr,
    ends: IpAddr,
}

fn one(parties: &Parties<'_>, nets: &[IpNet], end: End) -> Trace {
    let cuts = cuts(parties, nets);
    let mut fates = Vec::new();
    let mut fared = |piece: AddressRange| {
        let (from, to) = match end {
            End::From => (piece.first(), parties.to.first()),
            End::To => (parties.from.first(), piece.first()),
        };
        (fate_of(parties, &mut fates, from, to), piece)
    };
    let met: Vec<Vec<(usize, AddressRange)>> =
        nets.iter().map(|net| pieces(*net, &cuts).into_iter().map(&mut fared).collect()).collect();
    let party = if end == End::From { &parties.from } else { &parties.to };
    summed(parties, vec![swept(party, nets)], fates, |fate| share_of(nets, &met, fate))
}

fn share_of(nets: &[IpNet], met: &[Vec<(usize, AddressRange)>], fate: usize) -> Share {
    let (mut wholly, mut partly) = (Vec::new(), Vec::new());
    for (prefix, met) in nets.iter().copied().zip(met) {
        let mine: Ranges = met.iter().filter(|(at, _)| *at == fate).map(|(_, piece)| *piece).collect();
        match mine.as_slice() {
            [] => {}
            _ if met.iter().all(|(at, _)| *at == fate) => wholly.push(prefix),
            ranges => partly.push(Part { prefix, ranges: ranges.to_vec() }),
        }
    }
    Share::Of { wholly, partly }
}

fn both(parties: &Parties<'_>, from: &[IpNet], to: &[IpNet]) -> Result<Trace, UnknownParty> {
    let cuts = cuts(parties, &[from, to].concat());
    let all = |nets: &[IpNet]| nets.iter().flat_map(|net| pieces(*net, &cuts)).collect::<Vec<_>>();
    let (begins, ends) = (all(from), all(to));
    if begins.len() * ends.len() > MOST {
        let (from, to) = (parties.from.label.clone(), parties.to.label.clone());
        return Err(UnknownParty::TooMany { from, begins: begins.len(), to, ends: ends.len(), most: MOST });
    }
    let mut fates = Vec::new();
    let mut met = Vec::new();
    for begin in &begins {
        met.push(ends.iter().map(|end| (fate_of(parties, &mut fates, begin.first(), end.first()), *end)).collect());
    }
    let labels = vec![swept(&parties.from, from), swept(&parties.to, to)];
    Ok(summed(parties, labels, fates, |fate| pairs_of(&begins, &met, fate)))
}

/// Beginnings that fare so with the same ends are told together.
fn pairs_of(begins: &[AddressRange], met: &[Vec<(usize, AddressRange)>], fate: usize) -> Share {
    let mut pairs: Vec<(Ranges, Vec<AddressRange>)> = Vec::new();
    for (begin, met) in begins.iter().copied().zip(met) {
        let ends: Ranges = met.iter().filter(|(at, _)| *at == fate).map(|(_, end)| *end).collect();
        match pairs.iter_mut().find(|(known, _)| *known == ends) {
            _ if ends.as_slice().is_empty() => {}
            Some((_, begins)) => begins.push(begin),
            None => pairs.push((ends, vec![begin])),
        }
    }
    let merged = |ranges: Vec<AddressRange>| ranges.into_iter().collect::<Ranges>().as_slice().to_vec();
    let pairing = |(to, from): (Ranges, Vec<AddressRange>)| Pairing { from: merged(from), to: to.as_slice().to_vec() };
    Share::Pairs(pairs.into_iter().map(pairing).collect())
}

/// What is drawn is one of those that fare worst.
fn summed(parties: &Parties<'_>, ends: Vec<SweptEnd>, fates: Vec<Fate>, share_of: impl Fn(usize) -> Share) -> Trace {
    let mut fates: Vec<(Share, Fate)> = fates.into_iter().enumerate().map(|(at, fate)| (share_of(at), fate)).collect();
    fates.sort_by_key(|(share, fate)| (fate.outcome == Outcome::Delivered, Reverse(share.wholly())));
    let shown = fates.first().map(|(_, fate)| (fate.begins, fate.ends));
    let (from, to) = shown.unwrap_or((parties.from.first(), parties.to.first()));
    let group = |(share, Fate { outcome, way, .. }): (Share, Fate)| Group { outcome, way, share };
    let groups = fates.into_iter().map(group).collect();
    told(parties, single(parties, from, to), Some(Sweep { ends, groups }))
}

fn swept(party: &Party, nets: &[IpNet]) -> SweptEnd {
    let unit = if matches!(party.host, Known::Nameless) { Unit::Prefix } else { Unit::Address };
    SweptEnd { label: party.label.clone(), count: nets.len(), unit }
}

impl Share {
    /// How many fare so as a whole.
    pub fn wholly(&self) -> usize {
        match self {
            Share::Of { wholly, .. } => wholly.len(),
            Share::Pairs(pairs) => pairs.iter().map(|pair| pair.from.len() * pair.to.len()).sum(),
        }
    }
}

/// The number of those that fare as this flow does.
fn fate_of(parties: &Parties<'_>, fates: &mut Vec<Fate>, begins: IpAddr, ends: IpAddr) -> usize {
    let Walked { request, outcome, .. } = single(parties, begins, ends);
    let way: Vec<String> = request.into_iter().map(|it: Station| it.name).collect();
    if let Some(at) = fates.iter().position(|it| it.way == way && is_alike(&it.outcome, &outcome)) {
        return at;
    }
    fates.push(Fate { outcome, way, begins, ends });
    fates.len() - 1
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

fn pieces(net: IpNet, cuts: &BTreeSet<IpAddr>) -> Vec<AddressRange> {
    ranges::cut(ranges::range_of(net), cuts.range(net.network()..=net.broadcast()).copied())
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
