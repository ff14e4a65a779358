//! The routes of one subnet, to be selected from.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use crate::policy::AddressRange;

use super::super::ranges::{after, cut, range_of};
use super::{EffectiveRoute, Hop, RouteSource, RouteState, Selection, Why};

/// Routes with an index by prefix.
#[derive(Debug)]
pub(in super::super) struct Routes {
    routes: Vec<EffectiveRoute>,
    /// By their numbers, in order.
    v4: PrefixMap<Ipv4Net, Vec<usize>>,
    v6: PrefixMap<Ipv6Net, Vec<usize>>,
    /// Where some prefix begins, or what is behind one; sorted.
    begins: Vec<IpAddr>,
}

/// Which of several routes for one prefix takes a packet: the greatest, and of equal ones the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Preference {
    class: Class,
    written: Written,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    System,
    Gateway,
    /// System routes to the network itself and to its peers, which BGP does not override.
    Connected,
    User,
    ServiceEndpoint,
}

/// How a route says where it leads to; the exacter is preferred (azure-docs, virtual-networks-udr-overview.md, 2023).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Written {
    AzureCloud,
    RegionalAzureCloud,
    Tag,
    RegionalTag,
    Prefix,
}

pub(super) fn preference(route: &EffectiveRoute) -> Preference {
    let class = match (&route.next_hop, route.source) {
        (Hop::VirtualNetworkServiceEndpoint(_), _) => Class::ServiceEndpoint,
        (_, RouteSource::User) => Class::User,
        (_, RouteSource::VirtualNetworkGateway) => Class::Gateway,
        (Hop::VnetLocal | Hop::VnetPeering(_) | Hop::VnetGlobalPeering(_), RouteSource::Default) => Class::Connected,
        (_, RouteSource::Default) => Class::System,
    };
    Preference { class, written: route.tag.as_deref().map_or(Written::Prefix, written) }
}

fn written(tag: &str) -> Written {
    let is = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
    match tag.split_once('.') {
        None if is(tag, "AzureCloud") => Written::AzureCloud,
        Some((name, _)) if is(name, "AzureCloud") => Written::RegionalAzureCloud,
        // Its parts are services.
        Some((name, _)) if is(name, "AzureFrontDoor") => Written::Tag,
        None => Written::Tag,
        Some(_) => Written::RegionalTag,
    }
}

/// In which order routes take a packet: the greatest first, and of equal ones the first.
type Rank = (bool, bool, u8, Preference);

/// With `Shield::Up` a system route to the network or a peer holds the destination, and shuts those of BGP out.
fn rank(route: &EffectiveRoute, net: IpNet, shield: Shield) -> Rank {
    let preference = preference(route);
    let is_endpoint = preference.class == Class::ServiceEndpoint;
    (is_endpoint, !shield.shuts_out(route), net.prefix_len(), preference)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shield {
    Up,
    Down,
}

impl Shield {
    fn raised_by(route: &EffectiveRoute) -> bool {
        route.state == RouteState::Active && preference(route).class == Class::Connected
    }

    fn shuts_out(self, route: &EffectiveRoute) -> bool {
        self == Shield::Up && preference(route).class == Class::Gateway
    }
}

impl Routes {
    pub(in super::super) fn new(routes: Vec<EffectiveRoute>) -> Routes {
        let (mut v4, mut v6, mut begins) = (PrefixMap::new(), PrefixMap::new(), Vec::new());
        for (at, route) in routes.iter().enumerate() {
            for net in &route.prefixes {
                let numbers: &mut Vec<usize> = match net {
                    IpNet::V4(net) => v4.entry(net.trunc()).or_default(),
                    IpNet::V6(net) => v6.entry(net.trunc()).or_default(),
                };
                numbers.push(at);
                let range = range_of(*net);
                begins.extend([Some(range.first()), after(range.last())].into_iter().flatten());
            }
        }
        begins.sort_unstable();
        begins.dedup();
        Routes { routes, v4, v6, begins }
    }

    pub(in super::super) fn as_slice(&self) -> &[EffectiveRoute] {
        &self.routes
    }

    /// The route that takes a packet.
    pub(in super::super) fn select(&self, destination: IpAddr) -> Option<Selection<'_>> {
        let mut holding = Vec::new();
        self.see_holding(destination, |route, net| holding.push((route, net)));
        let shield = self.shield(destination);
        holding.sort_by_key(|(route, net)| Reverse(rank(route, *net, shield)));
        let first = holding.iter().position(|(route, _)| route.state == RouteState::Active)?;
        let (route, prefix) = holding.remove(first);
        let shuts_out = |(other, net): &(&EffectiveRoute, IpNet)| {
            shield.shuts_out(other) && net.prefix_len() >= prefix.prefix_len()
        };
        let shut_out = holding.iter().any(shuts_out);
        let why = match holding.first() {
            _ if shut_out && preference(route).class == Class::Connected => Why::SystemBeforeBgp,
            second => why((route, prefix), second),
        };
        Some(Selection { route, prefix, why, beaten: holding })
    }

    /// The same without what was beaten. Nothing is allocated: every flow asks.
    pub(in super::super) fn first(&self, destination: IpAddr) -> Option<(&EffectiveRoute, IpNet)> {
        let shield = self.shield(destination);
        let mut best: Option<(Rank, &EffectiveRoute, IpNet)> = None;
        self.see_holding(destination, |route, net| {
            let rank = rank(route, net, shield);
            if route.state == RouteState::Active && best.is_none_or(|(held, ..)| held < rank) {
                best = Some((rank, route, net));
            }
        });
        best.map(|(_, route, net)| (route, net))
    }

    fn shield(&self, destination: IpAddr) -> Shield {
        let mut shield = Shield::Down;
        self.see_holding(destination, |route, _| {
            if Shield::raised_by(route) {
                shield = Shield::Up;
            }
        });
        shield
    }

    /// Shows the routes to an address, those of shorter prefixes first.
    fn see_holding<'r>(&'r self, destination: IpAddr, mut see: impl FnMut(&'r EffectiveRoute, IpNet)) {
        let mut all = |net: IpNet, numbers: &[usize]| numbers.iter().for_each(|at| see(&self.routes[*at], net));
        match destination {
            IpAddr::V4(v4) => self.v4.cover(&v4.into()).for_each(|(net, numbers)| all((*net).into(), numbers)),
            IpAddr::V6(v6) => self.v6.cover(&v6.into()).for_each(|(net, numbers)| all((*net).into(), numbers)),
        }
    }

    /// The range cut where another route takes over.
    pub(in super::super) fn select_range(&self, range: AddressRange) -> Vec<(AddressRange, Selection<'_>)> {
        let first = self.begins.partition_point(|begin| *begin <= range.first());
        let begins = self.begins[first..].iter().take_while(|begin| **begin <= range.last());
        let mut parts: Vec<(AddressRange, Selection<'_>)> = Vec::new();
        for part in cut(range, begins.copied()) {
            let Some(selection) = self.select(part.first()) else { continue };
            match parts.last_mut().and_then(|last| Some((joined(last, part, &selection)?, last))) {
                Some((joined, last)) => last.0 = joined,
                None => parts.push((part, selection)),
            }
        }
        parts
    }
}

/// `second` is the likeliest of what was beaten.
fn why((route, prefix): (&EffectiveRoute, IpNet), second: Option<&(&EffectiveRoute, IpNet)>) -> Why {
    let Some((other, net)) = second else { return Why::Only };
    match (preference(route), preference(other)) {
        (own, _) if own.class == Class::ServiceEndpoint => Why::ServiceEndpoint,
        _ if *net != prefix => Why::LongestPrefix,
        (own, other) if own.class != other.class => Why::Source,
        _ => Why::TagOrder,
    }
}

fn joined(
    (last, before): &(AddressRange, Selection<'_>),
    part: AddressRange,
    next: &Selection<'_>,
) -> Option<AddressRange> {
    let is_same = |(one, net): &(&EffectiveRoute, IpNet), (other, that): &(&EffectiveRoute, IpNet)| {
        std::ptr::eq(*one, *other) && net == that
    };
    let adjoins = after(last.last()) == Some(part.first());
    let is_it = is_same(&(before.route, before.prefix), &(next.route, next.prefix))
        && before.beaten.len() == next.beaten.len()
        && before.beaten.iter().zip(&next.beaten).all(|(one, other)| is_same(one, other));
    if adjoins && is_it { AddressRange::between(last.first(), part.last()) } else { None }
}
