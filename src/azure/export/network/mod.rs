//! Changes to a network and its firewall as Azure's tools take them: `az` commands, PowerShell, an ARM template,
//! Terraform.
//!
//! Each form can be run again: what is there stays as it is, but for what is changed. Where a tool replaces a whole list
//! or a whole resource, all of it that the topology knows is written. Only what was found in the topology is known:
//! nothing here asks Azure.

mod arm;
mod az_cli;
mod carried;
mod classic;
mod firewall;
mod fit;
mod powershell;
mod shape;
mod terraform;
#[cfg(test)]
mod tests;

use crate::azure::note::{Note, Severity};
use crate::policy::{RuleSet, Spot};
use crate::vnet::{Change, NextHop, Route, RouteDestination, Subnet, Topology, route_name};

use super::Exported;

pub use fit::Unwritable;

/// What changes are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// A bash script.
    AzCli,
    /// A script of the Az modules.
    PowerShell,
    /// A template to deploy into the resource group.
    Arm,
    /// HCL for the providers azurerm and azapi.
    Terraform,
}

/// Where changes are made: the network and the firewall as they are before them.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    pub topology: &'a Topology,
    pub rules: &'a RuleSet,
}

/// A whole script or template.
pub fn write(
    changes: &[Change],
    script: Script,
    site: &Site<'_>,
    remark: Option<&str>,
) -> Result<Exported, Unwritable> {
    fit::parse(changes, site)?;
    let remark = remark.map(fit::one_line);
    let remark = remark.as_deref();
    Ok(match script {
        Script::AzCli => az_cli::script(changes, site, remark),
        Script::PowerShell => powershell::script(changes, site, remark),
        Script::Arm => arm::template(changes, site, remark),
        Script::Terraform => terraform::write(changes, site, remark),
    })
}

/// The commands alone, for people to read and to copy; `RESOURCE_GROUP` and `LOCATION` are theirs to set.
pub fn az_cli(changes: &[Change], site: &Site<'_>) -> String {
    match fit::parse(changes, site) {
        Ok(()) => {
            let text = az_cli::commands(changes, site).text;
            let remark = if text.contains("rule-collection-group create") { ANEW } else { "" };
            format!("{remark}{}", text.trim_start())
        }
        Err(unwritable) => format!("# {unwritable}\n"),
    }
}

/// Commands of one finding after those of another would leave the last one's rules alone.
const ANEW: &str = "# makes the group egret-doctor anew: where several findings need it, take the script of --fix\n";

impl Site<'_> {
    fn subnet(&self, network: &str, subnet: &str) -> Option<&Subnet> {
        self.topology.virtual_network(network)?.subnet(subnet)
    }

    fn has_group(&self, name: &str) -> bool {
        self.topology.security_group(name).is_some()
    }

    fn has_table(&self, name: &str) -> bool {
        self.topology.route_table(name).is_some()
    }

    /// The endpoints that a subnet has in the end: Azure's tools replace the list.
    fn endpoints(&self, changes: &[Change], in_network: &str, in_subnet: &str) -> Vec<String> {
        let known = self.subnet(in_network, in_subnet).map(|it| it.service_endpoints.clone()).unwrap_or_default();
        let added = changes.iter().filter_map(|change| match change {
            Change::ServiceEndpoint { network, subnet, service }
                if same(network, in_network) && same(subnet, in_subnet) =>
            {
                Some(service.clone())
            }
            _ => None,
        });
        distinct(known.into_iter().chain(added))
    }

    fn delegations(&self, changes: &[Change], in_network: &str, in_subnet: &str) -> Vec<String> {
        let known = self.subnet(in_network, in_subnet).map(|it| it.delegations.clone()).unwrap_or_default();
        let added = changes.iter().filter_map(|change| match change {
            Change::Delegation { network, subnet, service } if same(network, in_network) && same(subnet, in_subnet) => {
                Some(service.clone())
            }
            _ => None,
        });
        distinct(known.into_iter().chain(added))
    }

    fn has_zone(&self, zone: &str) -> bool {
        self.topology.dns_zones.iter().any(|known| same(&known.name, zone))
    }

    /// Networks of environments that a private zone is not linked to yet.
    fn networks_to_link(&self, zone: &str) -> Vec<String> {
        let zone = self.topology.dns_zones.iter().find(|known| same(&known.name, zone));
        let linked = |name: &String| zone.is_some_and(|zone| zone.virtual_networks.iter().any(|it| same(it, name)));
        let networks = self.topology.environments.iter().map(|it| it.virtual_network.clone());
        distinct(networks.filter(|name| !name.is_empty() && !linked(name)))
    }
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn distinct(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for word in words {
        if !kept.iter().any(|known| same(known, &word)) {
            kept.push(word);
        }
    }
    kept
}

fn destination(route: &Route) -> String {
    match &route.destination {
        RouteDestination::Net(net) => net.to_string(),
        RouteDestination::Tag(tag) => tag.clone(),
    }
}

fn appliance(route: &Route) -> Option<String> {
    match route.next_hop {
        NextHop::VirtualAppliance(address) => Some(address.to_string()),
        _ => None,
    }
}

/// A run of routes to the Internet that are named by their own prefixes, or a change by itself.
enum Step<'c> {
    Loop { table: &'c str, prefixes: Vec<String> },
    One(&'c Change),
}

/// Scripts have a loop for as many as this; fewer are written one by one.
const LOOP: usize = 3;

/// Runs of routes that one loop can make. Only changes side by side are gathered: what comes later stays later.
fn steps(changes: &[Change]) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut rest = changes;
    while let Some((first, after)) = rest.split_first() {
        let (table, run) = run(rest);
        if run.len() < LOOP {
            steps.push(Step::One(first));
            rest = after;
            continue;
        }
        rest = &rest[run.len()..];
        steps.push(Step::Loop { table, prefixes: run });
    }
    steps
}

/// The table and the prefixes of the changes at the head that are of one loop.
fn run(changes: &[Change]) -> (&str, Vec<String>) {
    let Some(Change::Route { table, .. }) = changes.first() else { return ("", Vec::new()) };
    let of_loop = |change: &Change| match change {
        Change::Route { table: of, route } if of == table && route.next_hop == NextHop::Internet => {
            let prefix = destination(route);
            let is_net = matches!(route.destination, RouteDestination::Net(_));
            (is_net && route.name == route_name(&prefix)).then_some(prefix)
        }
        _ => None,
    };
    (table, changes.iter().map_while(of_loop).collect())
}

/// A change that a tool has no words for.
fn not_written(what: String, mend: &str) -> Note {
    Note::new(Severity::Warning, Spot::nowhere(), what).mend(mend)
}
