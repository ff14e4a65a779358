//! An index from destinations to the network (or DNAT) rules that name them.
//!
//! One table for each way a rule names its destination: any, by prefix, by name. The prefixes that cover an
//! address are walked from the shortest to the longest, a handful of steps however many rules there are.

use std::net::IpAddr;

use hashbrown::HashMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use crate::flow::{HostName, PortSet, Protocol};

use super::address::AddressSet;
use super::chains::{ChainId, Chains, PerChain};
use super::ports::{PortRule, PortTable};
use super::sources::{FirstBySource, min};
use super::tree::{Action, IpProtocols};

/// What network and DNAT rules have in common, borrowed from them.
pub(super) struct NetworkMatch<'a> {
    pub(super) rule: u32,
    pub(super) action: Action,
    pub(super) sources: &'a AddressSet,
    pub(super) protocols: IpProtocols,
    pub(super) destinations: &'a AddressSet,
    pub(super) fqdns: &'a [HostName],
    pub(super) ports: &'a PortSet,
}

impl NetworkMatch<'_> {
    fn is_skipped(&self) -> bool {
        self.sources.has_empty_group() || self.destinations.has_empty_group()
    }
}

/// The rules that name one destination.
struct Table {
    by_port: PortTable,
    /// The same without the rules that deny, where there are any.
    allowed_by_port: Option<PortTable>,
    /// The first that allows, whatever its ports: for the reason of a denial.
    allowed_somewhere: FirstBySource,
}

/// The rules of one protocol.
#[derive(Default)]
pub(super) struct NetworkIndex {
    tables: Vec<Table>,
    any: Option<u32>,
    v4: PrefixMap<Ipv4Net, u32>,
    v6: PrefixMap<Ipv6Net, u32>,
    names: HashMap<HostName, u32, foldhash::fast::FixedState>,
    /// All rules that look at the address, as if it matched: whether it can matter at all.
    by_address: Option<u32>,
}

impl NetworkIndex {
    /// `rules` in the order of evaluation; those that do not cover `protocol` are left out.
    pub(super) fn build(rules: &[NetworkMatch<'_>], protocol: Protocol) -> NetworkIndex {
        let mut found = Collected::default();
        for rule in rules.iter().filter(|rule| rule.protocols.covers(protocol, rule.ports) && !rule.is_skipped()) {
            found.add(rule);
        }
        found.into_index(rules, protocol)
    }

    /// The first rule that matches. Without an address only rules for any destination or for the name can.
    pub(super) fn first(&self, query: &NetworkQuery<'_>) -> Option<u32> {
        let mut first = None;
        self.visit(query, |table| {
            first = min(first, self.tables[table as usize].by_port.get(query.port, query.client))
        });
        first
    }

    /// Would a rule that allows match, if none that denies stood before it?
    pub(super) fn allows(&self, query: &NetworkQuery<'_>) -> bool {
        let mut found = false;
        self.visit(query, |table| {
            let table = &self.tables[table as usize];
            let by_port = table.allowed_by_port.as_ref().unwrap_or(&table.by_port);
            found |= by_port.get(query.port, query.client).is_some();
        });
        found
    }

    /// For a flow that nothing matched: is its destination allowed on another port?
    pub(super) fn allows_on_some_port(&self, query: &NetworkQuery<'_>) -> bool {
        let mut found = false;
        self.visit(query, |table| found |= self.tables[table as usize].allowed_somewhere.get(query.client).is_some());
        found
    }

    /// Does a rule that allows speak of this name itself?
    pub(super) fn allows_name_on_some_port(&self, query: &NetworkQuery<'_>) -> bool {
        let mut found = false;
        self.visit_names(query, |table| {
            found |= self.tables[table as usize].allowed_somewhere.get(query.client).is_some();
        });
        found
    }

    /// The first rule that an address might match.
    pub(super) fn first_by_address(&self, query: &NetworkQuery<'_>) -> Option<u32> {
        self.by_address.and_then(|table| self.tables[table as usize].by_port.get(query.port, query.client))
    }

    fn visit(&self, query: &NetworkQuery<'_>, mut found: impl FnMut(u32)) {
        self.any.into_iter().for_each(&mut found);
        match query.address {
            Some(IpAddr::V4(addr)) => self.v4.cover(&Ipv4Net::from(addr)).for_each(|(_, table)| found(*table)),
            Some(IpAddr::V6(addr)) => self.v6.cover(&Ipv6Net::from(addr)).for_each(|(_, table)| found(*table)),
            None => {}
        }
        self.visit_names(query, found);
    }

    fn visit_names(&self, query: &NetworkQuery<'_>, mut found: impl FnMut(u32)) {
        if !self.names.is_empty() {
            let names = query.name.into_iter().chain(query.resolved);
            names.filter_map(|name| self.names.get(name)).for_each(|table| found(*table));
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct NetworkQuery<'a> {
    pub(super) client: Option<IpAddr>,
    pub(super) name: Option<&'a HostName>,
    pub(super) resolved: &'a [HostName],
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

/// Destinations with the sets of rules that name them, while the index is built.
#[derive(Default)]
struct Collected {
    chains: Option<Chains>,
    any: ChainId,
    v4: PrefixMap<Ipv4Net, ChainId>,
    v6: PrefixMap<Ipv6Net, ChainId>,
    names: HashMap<HostName, ChainId, foldhash::fast::FixedState>,
    by_address: ChainId,
}

impl Collected {
    fn add(&mut self, rule: &NetworkMatch<'_>) {
        let chains = self.chains.get_or_insert_with(Chains::new);
        if rule.destinations.is_any() {
            self.any = chains.extend(self.any, rule.rule);
            return;
        }
        for net in rule.destinations.ranges().flat_map(|range| range.nets()) {
            self.by_address = chains.extend(self.by_address, rule.rule);
            let chain = match net {
                IpNet::V4(net) => self.v4.entry(net).or_insert(0),
                IpNet::V6(net) => self.v6.entry(net).or_insert(0),
            };
            *chain = chains.extend(*chain, rule.rule);
        }
        for name in rule.fqdns {
            let chain = self.names.entry(name.clone()).or_insert(0);
            *chain = chains.extend(*chain, rule.rule);
        }
    }

    fn into_index(self, rules: &[NetworkMatch<'_>], protocol: Protocol) -> NetworkIndex {
        let Some(chains) = self.chains else { return NetworkIndex::default() };
        let mut tables = PerChain::new();
        let mut table = |chain: ChainId| {
            tables.get_or_build(chain, || {
                let members: Vec<&NetworkMatch<'_>> =
                    chains.rules(chain).iter().map(|at| of_number(rules, *at)).collect();
                Table::build(&members, protocol)
            })
        };
        let any = (self.any != 0).then(|| table(self.any));
        let by_address = (self.by_address != 0).then(|| table(self.by_address));
        let v4 = self.v4.into_iter().map(|(net, chain)| (net, table(chain))).collect();
        let v6 = self.v6.into_iter().map(|(net, chain)| (net, table(chain))).collect();
        let names = self.names.into_iter().map(|(name, chain)| (name, table(chain))).collect();
        NetworkIndex { any, v4, v6, names, by_address, tables: tables.into_values() }
    }
}

/// The rules of one type are numbered without gaps.
fn of_number<'a, 'b>(rules: &'b [NetworkMatch<'a>], number: u32) -> &'b NetworkMatch<'a> {
    let first = rules.first().map_or(0, |rule| rule.rule);
    &rules[(number - first) as usize]
}

impl Table {
    fn build(rules: &[&NetworkMatch<'_>], protocol: Protocol) -> Table {
        let allowing: Vec<&NetworkMatch<'_>> =
            rules.iter().copied().filter(|rule| rule.action == Action::Allow).collect();
        Table {
            by_port: port_table(rules, protocol),
            allowed_by_port: (allowing.len() < rules.len()).then(|| port_table(&allowing, protocol)),
            allowed_somewhere: FirstBySource::build(allowing.iter().map(|rule| (rule.rule, rule.sources))),
        }
    }
}

/// ICMP has no ports: any will do.
fn port_table(rules: &[&NetworkMatch<'_>], protocol: Protocol) -> PortTable {
    let every_port = PortSet::any();
    let mut of_rule = Vec::with_capacity(rules.len());
    for rule in rules {
        let ports = if protocol == Protocol::Icmp { &every_port } else { rule.ports };
        of_rule.push(PortRule { rule: rule.rule, ports, sources: rule.sources });
    }
    PortTable::build(&of_rule)
}
