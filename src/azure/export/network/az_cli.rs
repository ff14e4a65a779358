//! Commands of `az`. What would empty a resource that is there (`route-table create`, `vnet subnet create`) is run only
//! where `show` does not find it; rules, routes and groups of rules are put in place of what has their name.

use std::fmt::Write as _;

use crate::azure::export::Exported;
use crate::azure::export::az_cli::{Command, GROUP, quoted, write_group};
use crate::azure::export::names::Shortest;
use crate::azure::note::Note;
use crate::vnet::{Change, Route, SecurityRule};

use super::shape::{Side, access, protocol};
use super::{Site, Step, appliance, destination, firewall, not_written, same, steps};

const SUBNET: &str = "az network vnet subnet";

/// What is written as it goes: what is made of it by then need not be looked for again.
struct Writer<'s> {
    site: &'s Site<'s>,
    changes: &'s [Change],
    text: String,
    notes: Vec<Note>,
    /// Security groups, route tables, zones and subnets that the script has made sure of.
    made: Vec<String>,
    /// The group of firewall rules is written once, with all of them.
    firewall_done: bool,
}

pub(super) fn script(changes: &[Change], site: &Site<'_>, remark: Option<&str>) -> Exported {
    let Exported { text: commands, notes } = commands(changes, site);
    let mut text = String::from("#!/usr/bin/env bash\n");
    remark.iter().for_each(|remark| writeln!(text, "# {remark}").expect("a String takes any text"));
    if firewall::adds(changes) {
        text.push_str("# Needs the extension: az extension add --name azure-firewall\n");
    }
    text.push_str("set -euo pipefail\n");
    text.push_str(&variable("RESOURCE_GROUP", &site.topology.resource_group, "the name of the resource group"));
    if commands.contains("$LOCATION") {
        text.push_str(&variable("LOCATION", &site.topology.location, "the region, as westus2"));
    }
    Exported { text: text + &commands, notes }
}

/// A default that the environment overrides, or a question where there is none.
fn variable(name: &str, value: &str, what: &str) -> String {
    match value {
        "" => format!(": \"${{{name}:?set {name} to {what}}}\"\n"),
        value => format!("{name}=${{{name}:-{}}}\n", quoted(value)),
    }
}

pub(super) fn commands(changes: &[Change], site: &Site<'_>) -> Exported {
    let mut writer =
        Writer { site, changes, text: String::new(), notes: Vec::new(), made: Vec::new(), firewall_done: false };
    for step in steps(changes) {
        match step {
            Step::Loop { table, prefixes } => writer.routes(table, &prefixes),
            Step::One(change) => writer.change(change),
        }
    }
    Exported { text: writer.text, notes: writer.notes }
}

impl Writer<'_> {
    fn put(&mut self, command: Command) {
        self.text.push_str(&command.end());
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::SecurityRule { group, rule } => {
                self.security_group(group);
                self.put(security_rule(group, rule));
            }
            Change::RemoveSecurityRule { group, rule } => {
                self.put(Command::new("az network nsg rule delete").option("--nsg-name", group).option("--name", rule));
            }
            Change::SubnetSecurityGroup { network, subnet, group } => {
                self.security_group(group);
                self.put(of_subnet("update", network, subnet).option("--network-security-group", group));
            }
            Change::Route { table, route } => {
                self.route_table(table);
                self.put(self::route(table, route));
            }
            Change::RemoveRoute { table, route } => {
                let command = Command::new("az network route-table route delete").option("--route-table-name", table);
                self.put(command.option("--name", route));
            }
            Change::SubnetRouteTable { network, subnet, table } => {
                self.route_table(table);
                self.put(of_subnet("update", network, subnet).option("--route-table", table));
            }
            Change::BgpRoutePropagation { table, disabled } => {
                self.route_table(table);
                let command = Command::new("az network route-table update").option("--name", table);
                self.put(command.option("--disable-bgp-route-propagation", &disabled.to_string()));
            }
            Change::ServiceEndpoint { network, subnet, .. } => {
                let services = self.site.endpoints(self.changes, network, subnet);
                self.once(format!("endpoints {network}/{subnet}"), |writer| {
                    writer.put(of_subnet("update", network, subnet).list("--service-endpoints", &services));
                });
            }
            Change::Delegation { network, subnet, .. } => {
                let services = self.site.delegations(self.changes, network, subnet);
                self.once(format!("delegations {network}/{subnet}"), |writer| {
                    writer.put(of_subnet("update", network, subnet).list("--delegations", &services));
                });
            }
            Change::AddSubnet { network, subnet, prefix } => {
                let show = of_subnet("show", network, subnet);
                let create = of_subnet("create", network, subnet).option("--address-prefixes", &prefix.to_string());
                self.unless_there(show, create);
            }
            Change::ApplicationRule(_) | Change::NetworkRule(_) => self.firewall_rules(),
            Change::RemoveFirewallRule { rule } => self.remove_firewall_rule(rule),
            Change::DnsRecord { zone, name, address } => self.dns_record(zone, name, &address.to_string()),
            Change::DnsServers { network, servers } => {
                let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
                let command = Command::new("az network vnet update").option("--name", network);
                self.put(match servers.as_slice() {
                    [] => command.option("--dns-servers", "[]"),
                    servers => command.list("--dns-servers", servers),
                });
            }
            Change::SqlEgressRange { environment, .. } => {
                let ranges = self.site.sql_ranges(self.changes, environment);
                let ranges = serde_json::Value::from(ranges).to_string();
                self.once(format!("ranges {environment}"), |writer| {
                    let command = Command::new("az resource update")
                        .option("--resource-type", "Microsoft.Web/hostingEnvironments")
                        .option("--name", environment);
                    writer.put(command.option("--set", &format!("properties.userWhitelistedIpRanges={ranges}")));
                });
            }
        }
    }

    /// Does it the first time that it is asked for.
    fn once(&mut self, what: String, write: impl FnOnce(&mut Self)) {
        if !self.made.iter().any(|made| same(made, &what)) {
            self.made.push(what);
            write(self);
        }
    }

    fn unless_there(&mut self, show: Command, create: Command) {
        let (show, create) = (show.end(), create.end());
        let create = create.trim().replace("\n  ", "\n    ");
        writeln!(self.text, "\n{} >/dev/null 2>&1 ||\n  {create}", show.trim()).expect("a String takes any text");
    }

    fn security_group(&mut self, group: &str) {
        self.once(format!("group {group}"), |writer| {
            let show = Command::new("az network nsg show").option("--name", group);
            let create = Command::new("az network nsg create").option("--name", group).raw("--location \"$LOCATION\"");
            if !writer.site.has_group(group) {
                writer.unless_there(show, create);
            }
        });
    }

    fn route_table(&mut self, table: &str) {
        self.once(format!("table {table}"), |writer| {
            let show = Command::new("az network route-table show").option("--name", table);
            let create = Command::new("az network route-table create").option("--name", table);
            if !writer.site.has_table(table) {
                writer.unless_there(show, create.raw("--location \"$LOCATION\""));
            }
        });
    }

    /// The loop that the management addresses' document shows (App Service Environment management addresses, 2022).
    fn routes(&mut self, table: &str, prefixes: &[String]) {
        self.route_table(table);
        self.text.push_str("\nfor prefix in");
        for prefix in prefixes {
            write!(self.text, " \\\n  {}", quoted(prefix)).expect("a String takes any text");
        }
        let table = quoted(table);
        write!(
            self.text,
            "\ndo\n  name=${{prefix%/32}}\n  name=${{name//\\//_}}\n  \
             az network route-table route create --resource-group \"$RESOURCE_GROUP\" \\\n    \
             --route-table-name {table} \\\n    --name \"${{name//:/-}}\" \\\n    \
             --address-prefix \"$prefix\" \\\n    --next-hop-type Internet\ndone\n"
        )
        .expect("a String takes any text");
    }

    fn firewall_rules(&mut self) {
        if std::mem::replace(&mut self.firewall_done, true) {
            return;
        }
        let mut plan = firewall::mended(self.changes, self.site, Shortest::One);
        for policy in &plan.policies {
            policy.groups.iter().for_each(|group| write_group(&mut self.text, policy, group, &plan, &mut self.notes));
        }
        self.notes.append(&mut plan.notes);
    }

    fn remove_firewall_rule(&mut self, path: &str) {
        let Some(found) = firewall::find(self.site.rules, path) else {
            self.notes.push(not_written(format!("the firewall has no rule `{path}`"), "look at its rules"));
            return;
        };
        let of_group = |verb: &str| Command::new(&format!("{GROUP} {verb}")).option("--policy-name", found.policy);
        let query = format!("ruleCollections[?name=='{}'].rules[].name", found.collection);
        let show = of_group("show").option("--name", found.group).option("--query", &query).option("--output", "tsv");
        let remove = of_group("collection rule remove")
            .option("--rule-collection-group-name", found.group)
            .option("--collection-name", found.collection)
            .option("--name", found.rule);
        // Whoever reads to the end does not make az fail for want of a reader.
        let (show, remove, rule) = (show.end(), remove.end(), quoted(found.rule));
        let remove = remove.trim().replace("\n  ", "\n    ");
        writeln!(self.text, "\nif {} | grep -xF -e {rule} >/dev/null\nthen\n  {remove}\nfi", show.trim())
            .expect("a String takes any text");
    }

    /// `add-record` refuses what is there (azure-cli issue 22886), so the set is made anew.
    fn dns_record(&mut self, zone: &str, name: &str, address: &str) {
        self.once(format!("zone {zone}"), |writer| {
            writer.put(Command::new("az network private-dns zone create").option("--name", zone))
        });
        for network in self.site.linked_networks() {
            self.once(format!("link {zone} {network}"), |writer| {
                let link = |verb: &str| {
                    let command = Command::new(&format!("az network private-dns link vnet {verb}"));
                    command.option("--zone-name", zone).option("--name", &network)
                };
                let create =
                    link("create").option("--virtual-network", &network).option("--registration-enabled", "false");
                writer.unless_there(link("show"), create);
            });
        }
        let (kind, flag) = if address.contains(':') { ("aaaa", "--ipv6-address") } else { ("a", "--ipv4-address") };
        let delete = Command::new(&format!("az network private-dns record-set {kind} delete"));
        self.put(delete.option("--zone-name", zone).option("--name", name).raw("--yes"));
        let add = Command::new(&format!("az network private-dns record-set {kind} add-record"));
        self.put(add.option("--zone-name", zone).option("--record-set-name", name).option(flag, address));
    }
}

fn of_subnet(verb: &str, network: &str, subnet: &str) -> Command {
    Command::new(&format!("{SUBNET} {verb}")).option("--vnet-name", network).option("--name", subnet)
}

fn security_rule(group: &str, rule: &SecurityRule) -> Command {
    let command = Command::new("az network nsg rule create")
        .option("--nsg-name", group)
        .option("--name", &rule.name)
        .option("--priority", &rule.priority.to_string())
        .option("--direction", rule.direction.as_str())
        .option("--access", access(rule))
        .option("--protocol", protocol(rule));
    let (from, to) = (Side::of(&rule.source), Side::of(&rule.destination));
    command
        .list("--source-address-prefixes", &from.prefixes)
        .list("--source-asgs", &from.groups)
        .list("--source-port-ranges", &from.ports)
        .list("--destination-address-prefixes", &to.prefixes)
        .list("--destination-asgs", &to.groups)
        .list("--destination-port-ranges", &to.ports)
}

fn route(table: &str, route: &Route) -> Command {
    let command = Command::new("az network route-table route create")
        .option("--route-table-name", table)
        .option("--name", &route.name)
        .option("--address-prefix", &destination(route))
        .option("--next-hop-type", route.next_hop.as_str());
    command.maybe("--next-hop-ip-address", appliance(route).as_deref())
}
