//! How much of what was read.

use std::collections::BTreeMap;
use std::fmt;

use super::network;
use super::policies::{FIREWALL, FoundKind, FoundPolicy, GROUP, POLICY};
use super::{Resource, ip_groups};
use crate::azure::shape::kinds;
use crate::vnet::Topology;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadSummary {
    pub policies: usize,
    /// With or without a policy.
    pub firewalls: usize,
    pub groups: usize,
    pub collections: usize,
    pub rules: usize,
    pub ip_groups: usize,
    pub security_groups: usize,
    pub security_rules: usize,
    pub route_tables: usize,
    pub routes: usize,
    pub virtual_networks: usize,
    pub subnets: usize,
    /// Tags, categories and IP groups that are not known here.
    pub unknown_names: usize,
    /// Places at which something stands that only Azure knows.
    pub unknown_values: usize,
    /// Resources of other types, by type.
    pub ignored: BTreeMap<String, usize>,
}

impl ReadSummary {
    pub(super) fn count<'r>(
        self,
        resources: impl Iterator<Item = &'r Resource>,
        policies: &[FoundPolicy],
        networks: &[&Topology],
    ) -> ReadSummary {
        let security_groups = || networks.iter().flat_map(|network| &network.security_groups);
        let route_tables = || networks.iter().flat_map(|network| &network.route_tables);
        let virtual_networks = || networks.iter().flat_map(|network| &network.virtual_networks);
        let mut summary = ReadSummary {
            policies: policies.iter().filter(|policy| policy.kind != FoundKind::Classic).count(),
            groups: policies.iter().map(|policy| policy.rules.groups.len()).sum(),
            collections: policies.iter().map(|policy| policy.collections().count()).sum(),
            rules: policies.iter().map(FoundPolicy::count_rules).sum(),
            security_groups: security_groups().count(),
            route_tables: route_tables().count(),
            virtual_networks: virtual_networks().count(),
            subnets: virtual_networks().map(|network| network.subnets.len()).sum(),
            ..self
        };
        resources.for_each(|resource| summary.count_resource(resource));
        summary
    }

    fn count_resource(&mut self, resource: &Resource) {
        if resource.is(ip_groups::KIND) {
            self.ip_groups += 1;
        } else if resource.is(FIREWALL) {
            self.firewalls += 1;
        } else if resource.is(kinds::SECURITY_RULE) {
            self.security_rules += 1;
        } else if resource.is(kinds::ROUTE) {
            self.routes += 1;
        } else if !resource.is(POLICY) && !resource.is(GROUP) && !network::is_read(&resource.kind) {
            *self.ignored.entry(resource.kind.clone()).or_default() += 1;
        }
    }

    /// What a file holds in which there is no policy: `1 network security group with 17 rules and 2 route tables`.
    pub fn surroundings(&self) -> Option<String> {
        let others = self.ignored.values().sum();
        let [groups, tables, networks] = self.network_parts();
        listed([
            with(self.firewalls, "firewall", 0, ""),
            with(self.ip_groups, "IP group", 0, ""),
            groups,
            tables,
            networks,
            with(others, "resource of another type", 0, ""),
        ])
    }

    /// What is read of the network around the firewall; None where there is none of it.
    pub(super) fn network(&self) -> Option<String> {
        listed(self.network_parts())
    }

    fn network_parts(&self) -> [Option<String>; 3] {
        [
            with(self.security_groups, "network security group", self.security_rules, "rule"),
            with(self.route_tables, "route table", self.routes, "route"),
            with(self.virtual_networks, "virtual network", self.subnets, "subnet"),
        ]
    }
}

fn with(holders: usize, name: &str, held: usize, what: &str) -> Option<String> {
    let holders = (holders > 0).then(|| plural(holders, name))?;
    Some(if held > 0 { format!("{holders} with {}", plural(held, what)) } else { holders })
}

/// `a, b and c`
fn listed<const N: usize>(parts: [Option<String>; N]) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let (last, before) = parts.split_last()?;
    Some(if before.is_empty() { last.clone() } else { format!("{} and {last}", before.join(", ")) })
}

/// `12 rules in 3 groups`
impl fmt::Display for ReadSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", plural(self.rules, "rule"), plural(self.groups, "group"))
    }
}

/// `1 rule`, `2 rules`, `2 resources of another type`.
fn plural(count: usize, what: &str) -> String {
    match (count, what.split_once(' ')) {
        (1, _) => format!("1 {what}"),
        (_, Some(("resource", rest))) => format!("{count} resources {rest}"),
        _ => format!("{count} {what}s"),
    }
}
