//! The feed of threat intelligence, compiled: names and URLs by the strategies of rules, addresses by hash or prefix.
//!
//! Asking it allocates nothing, and nearly every flow is done with by a look at the length of its name.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use crate::flow::HostName;

use super::address::{AddressRange, AddressSet};
use super::decision::Query;
use super::names::{NameIndex, NameIndexBuilder};
use super::pattern::{PathPattern, UrlPattern, is_ambiguous};
use super::settings::ThreatMode;
use super::sources::min;
use super::threats::{Feed, Sign, ThreatId, ThreatIntel};

type Map<K> = HashMap<K, u32, foldhash::fast::FixedState>;

/// Numbers are those of indicators; of several that match, the lowest counts.
pub(super) struct ThreatIndex {
    mode: ThreatMode,
    names: NameIndex,
    urls: Urls,
    addresses: Addresses,
    allowed_fqdns: NameIndex,
    allowed_addresses: AddressSet,
    feed: Arc<Feed>,
}

impl ThreatIndex {
    /// None where there is nothing to look for.
    pub(super) fn build(intel: &ThreatIntel) -> Option<Box<ThreatIndex>> {
        let ThreatIntel { mode, allowed_fqdns, allowed_addresses, feed } = intel;
        if *mode == ThreatMode::Off || feed.indicators().is_empty() {
            return None;
        }
        let mut names = NameIndexBuilder::default();
        let mut urls = UrlsBuilder::default();
        let mut addresses = Addresses::default();
        for (indicator, number) in feed.indicators().iter().zip(0..) {
            match &indicator.sign {
                Sign::Name(pattern) => names.add_first(pattern, number),
                Sign::Addresses(range) => addresses.add(*range, number),
                Sign::Url(url) => urls.add(url, number),
            }
        }
        let mut allowed = NameIndexBuilder::default();
        allowed_fqdns.iter().for_each(|pattern| allowed.add_first(pattern, 0));
        Some(Box::new(ThreatIndex {
            mode: *mode,
            names: names.build_first(),
            urls: urls.build(),
            addresses,
            allowed_fqdns: allowed.build_first(),
            allowed_addresses: allowed_addresses.clone(),
            feed: Arc::clone(feed),
        }))
    }

    pub(super) fn mode(&self) -> ThreatMode {
        self.mode
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.feed
    }

    pub(super) fn knows_addresses(&self) -> bool {
        !self.addresses.is_empty()
    }

    pub(super) fn find(&self, query: &Query<'_>) -> Option<ThreatId> {
        let from = query.client.and_then(|client| self.address(client));
        min(self.destination(query), from).map(ThreatId)
    }

    fn destination(&self, query: &Query<'_>) -> Option<u32> {
        let by_name = query.name.and_then(|name| min(self.names.least(name), self.urls.least(name, query.path)));
        let addresses = query.address.ip().into_iter().chain(query.dialled);
        let found = min(by_name, addresses.filter_map(|addr| self.address(addr)).min())?;
        let exempt = query.name.is_some_and(|name| self.allowed_fqdns.least(name).is_some());
        (!exempt).then_some(found)
    }

    fn address(&self, addr: IpAddr) -> Option<u32> {
        self.addresses.least(addr).filter(|_| !self.allowed_addresses.contains(addr))
    }
}

#[derive(Default)]
struct Addresses {
    single: Map<IpAddr>,
    v4: PrefixMap<Ipv4Net, u32>,
    v6: PrefixMap<Ipv6Net, u32>,
}

impl Addresses {
    fn add(&mut self, range: AddressRange, number: u32) {
        if range.first() == range.last() {
            self.single.entry(range.first()).or_insert(number);
            return;
        }
        for net in range.nets() {
            match net {
                IpNet::V4(net) => self.v4.entry(net).or_insert(number),
                IpNet::V6(net) => self.v6.entry(net).or_insert(number),
            };
        }
    }

    fn is_empty(&self) -> bool {
        self.single.is_empty() && self.v4.is_empty() && self.v6.is_empty()
    }

    fn least(&self, addr: IpAddr) -> Option<u32> {
        let ranged = match addr {
            IpAddr::V4(addr) => self.v4.cover(&Ipv4Net::from(addr)).map(|(_, number)| *number).min(),
            IpAddr::V6(addr) => self.v6.cover(&Ipv6Net::from(addr)).map(|(_, number)| *number).min(),
        };
        min(self.single.get(&addr).copied(), ranged)
    }
}

/// URLs by host, then by path: whole, or by what they begin with.
struct Urls {
    hosts: NameIndex,
    /// By the number that a host has in `hosts`: its first indicator.
    first: Vec<u32>,
    exact: Map<Path>,
    prefixes: Map<Path>,
    /// Of the texts in `prefixes`, each once, ascending.
    prefix_lengths: Vec<usize>,
}

#[derive(PartialEq, Eq, Hash)]
struct Path {
    host: u32,
    text: Box<str>,
}

#[derive(Hash)]
struct PathRef<'a> {
    host: u32,
    text: &'a str,
}

impl Equivalent<Path> for PathRef<'_> {
    fn equivalent(&self, path: &Path) -> bool {
        self.host == path.host && self.text == &*path.text
    }
}

#[derive(Default)]
struct UrlsBuilder {
    hosts: NameIndexBuilder,
    first: Vec<u32>,
    exact: Map<Path>,
    prefixes: Map<Path>,
}

impl UrlsBuilder {
    fn add(&mut self, url: &UrlPattern, number: u32) {
        let next = u32::try_from(self.first.len()).expect("fewer hosts than indicators");
        let host = self.hosts.number_of(&url.host, next);
        if host == next {
            self.first.push(number);
        }
        let path = |text: &str| Path { host, text: text.into() };
        match &url.path {
            PathPattern::Exact(text) => self.exact.entry(path(text)).or_insert(number),
            PathPattern::Prefix(text) => self.prefixes.entry(path(text)).or_insert(number),
            PathPattern::Any => self.prefixes.entry(path("")).or_insert(number),
        };
    }

    fn build(self) -> Urls {
        let UrlsBuilder { hosts, first, exact, prefixes } = self;
        let mut prefix_lengths: Vec<usize> = prefixes.keys().map(|path| path.text.len()).collect();
        prefix_lengths.sort_unstable();
        prefix_lengths.dedup();
        Urls { hosts: hosts.build_first(), first, exact, prefixes, prefix_lengths }
    }
}

impl Urls {
    fn least(&self, name: &HostName, path: Option<&str>) -> Option<u32> {
        let path = path?;
        let mut least = None;
        self.hosts.visit(name, |host| least = min(least, self.of_host(host, path)));
        least
    }

    fn of_host(&self, host: u32, path: &str) -> Option<u32> {
        if is_ambiguous(path) {
            return Some(self.first[host as usize]);
        }
        let path = path.split(['?', '#']).next().unwrap_or(path);
        let whole = PathRef { host, text: path.strip_suffix('/').unwrap_or(path) };
        let begins = self.prefix_lengths.iter().filter_map(|length| path.get(..*length));
        let begins = begins.filter_map(|text| self.prefixes.get(&PathRef { host, text })).min();
        min(self.exact.get(&whole).copied(), begins.copied())
    }
}
