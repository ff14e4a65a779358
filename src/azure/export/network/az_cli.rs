//! Commands of `az`. What would empty a resource that is there (`route-table create`, `vnet subnet create`) is run only
//! where `show` does not find it; rules, routes and groups of rules are put in place of what has their name.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::azure::export::Exported;
use crate::azure::export::az_cli::{Command, GROUP, quoted, write_group};
use crate::azure::export::names::Shortest;
use crate::azure::export::plan::Collection;
use crate::azure::note::Note;
use crate::vnet::{Change, ResourceKind, Route, SecurityRule};

use super::firewall::{Found, Owner};
use super::shape::{Side, protocol};
use super::{
    Site, Step, appliance, carried,
    classic::{self, Lost},
    destination, firewall, not_written, same, steps,
};

const SUBNET: &str = "az network vnet subnet";

/// What is written as it goes: what is made of it by then need not be looked for again.
struct Writer<'s> {
    site: &'s Site<'s>,
    changes: &'s [Change],
    text: String,
    notes: Vec<Note>,
    made: HashSet<Made>,
    /// The group of firewall rules is written once, with all of them.
    firewall_done: bool,
    variables: Variables,
}

/// What a script has made sure of and need not again, by its name in lower case.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Made {
    Group(String),
    Table(String),
    /// The whole list of a subnet, `network/subnet`.
    Endpoints(String),
    Delegations(String),
    Zone(String),
    /// `zone/network`
    Link(String),
    /// What is said of rules that reach no firewall.
    NoFirewall(String),
    /// What is taken out of one without a policy.
    Removed(String),
}

/// What a script names at its head, so that one place is changed for another: a name that is the only one of its kind.
/// Commands by themselves have none.
#[derive(Debug, Default)]
struct Variables {
    /// A kind's variable and its one value.
    named: Vec<(Kind, String)>,
    /// Prefixes that loops go over.
    lists: Vec<Vec<String>>,
}

/// What has a name of its own at the head of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Network,
    Subnet,
    Group,
    Table,
    Appliance,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Network, Kind::Subnet, Kind::Group, Kind::Table, Kind::Appliance];

    fn variable(self) -> &'static str {
        match self {
            Kind::Network => "virtual_network",
            Kind::Subnet => "subnet",
            Kind::Group => "security_group",
            Kind::Table => "route_table",
            Kind::Appliance => "firewall",
        }
    }

    /// The names of this kind in a change.
    fn of(self, change: &Change) -> Option<String> {
        match (self, change) {
            (
                Kind::Network,
                Change::SubnetSecurityGroup { network, .. }
                | Change::SubnetRouteTable { network, .. }
                | Change::ServiceEndpoint { network, .. }
                | Change::Delegation { network, .. }
                | Change::AddSubnet { network, .. },
            ) => Some(network.clone()),
            (
                Kind::Subnet,
                Change::SubnetSecurityGroup { subnet, .. }
                | Change::SubnetRouteTable { subnet, .. }
                | Change::ServiceEndpoint { subnet, .. }
                | Change::Delegation { subnet, .. }
                | Change::AddSubnet { subnet, .. },
            ) => Some(subnet.clone()),
            (
                Kind::Group,
                Change::SecurityRule { group, .. }
                | Change::RemoveSecurityRule { group, .. }
                | Change::SubnetSecurityGroup { group, .. },
            ) => Some(group.clone()),
            (
                Kind::Table,
                Change::Route { table, .. }
                | Change::RemoveRoute { table, .. }
                | Change::SubnetRouteTable { table, .. },
            ) => Some(table.clone()),
            (Kind::Appliance, Change::Route { route, .. }) => appliance(route),
            _ => None,
        }
    }
}

impl Variables {
    fn of(changes: &[Change]) -> Variables {
        let only = |kind: Kind| {
            let mut names = changes.iter().filter_map(|change| kind.of(change));
            let first = names.next()?;
            names.all(|name| name == first).then_some((kind, first))
        };
        let lists = steps(changes).into_iter().filter_map(|step| match step {
            Step::Loop { prefixes, .. } => Some(prefixes),
            Step::One(_) => None,
        });
        Variables { named: Kind::ALL.into_iter().filter_map(only).collect(), lists: lists.collect() }
    }

    /// The value for bash, by its variable where it has one.
    fn word(&self, kind: Kind, value: &str) -> String {
        match self.named.iter().any(|(known, of)| *known == kind && of == value) {
            true => format!("\"${}\"", kind.variable()),
            false => quoted(value),
        }
    }

    fn assignments(&self) -> String {
        let named = self.named.iter().map(|(kind, value)| format!("{}={}\n", kind.variable(), quoted(value)));
        let lists = self.lists.iter().enumerate().map(|(number, prefixes)| {
            let prefixes: String = prefixes.iter().map(|prefix| format!("  {}\n", quoted(prefix))).collect();
            format!("{}=(\n{prefixes})\n", list_name(number))
        });
        named.chain(lists).collect()
    }
}

/// What goes to the Internet and not to the firewall.
fn list_name(number: usize) -> String {
    if number == 0 { "to_internet".to_owned() } else { format!("to_internet_{}", number + 1) }
}

pub(super) fn script(changes: &[Change], site: &Site<'_>, remark: Option<&str>) -> Exported {
    let variables = Variables::of(changes);
    let assignments = variables.assignments();
    let Exported { text: commands, notes } = written(changes, site, variables);
    let mut text = String::from("#!/usr/bin/env bash\n");
    remark.iter().for_each(|remark| writeln!(text, "# {remark}").expect("a String takes any text"));
    if commands.contains("az network firewall ") || commands.contains("$(az network firewall ") {
        text.push_str("# Needs the extension: az extension add --name azure-firewall\n");
    }
    text.push_str("set -euo pipefail\n");
    text.push_str(&variable("RESOURCE_GROUP", &site.topology.resource_group, "the name of the resource group"));
    if commands.contains("$LOCATION") {
        text.push_str(&variable("LOCATION", &site.topology.location, "the region, as westus2"));
    }
    text.push_str(&assignments);
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
    written(changes, site, Variables::default())
}

fn written(changes: &[Change], site: &Site<'_>, variables: Variables) -> Exported {
    let mut writer = Writer {
        site,
        changes,
        text: String::new(),
        notes: Vec::new(),
        made: HashSet::new(),
        firewall_done: false,
        variables,
    };
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
                self.put(self.security_rule(group, rule));
            }
            Change::RemoveSecurityRule { group, rule } => self.remove_security_rule(group, rule),
            Change::SubnetSecurityGroup { network, subnet, group } => self.put_group_on(network, subnet, group),
            Change::Route { table, route } => {
                self.route_table(table);
                self.put(self.route(table, route));
            }
            Change::RemoveRoute { table, route } => self.remove_route(table, route),
            Change::SubnetRouteTable { network, subnet, table } => self.put_table_on(network, subnet, table),
            Change::ServiceEndpoint { network, subnet, .. } => self.endpoints(network, subnet),
            Change::Delegation { network, subnet, .. } => self.delegations(network, subnet),
            Change::AddSubnet { network, subnet, prefix } => self.add_subnet(network, subnet, &prefix.to_string()),
            Change::ApplicationRule(_) | Change::NetworkRule(_) => self.firewall_rules(),
            Change::RemoveFirewallRule { rule } => self.remove_firewall_rule(rule),
            Change::DnsLink { zone, network } => {
                self.dns_zone(zone);
                self.dns_link(zone, network);
            }
            Change::DnsRecord { zone, name, address } => self.dns_record(zone, name, &address.to_string()),
        }
    }

    fn remove_security_rule(&mut self, group: &str, rule: &str) {
        let of_group = self.named("--nsg-name", Kind::Group, group);
        self.put(Command::new("az network nsg rule delete").raw(&of_group).option("--name", rule));
    }

    fn put_group_on(&mut self, network: &str, subnet: &str, group: &str) {
        self.security_group(group);
        let group = self.named("--network-security-group", Kind::Group, group);
        self.put(self.of_subnet("update", network, subnet).raw(&group));
    }

    fn remove_route(&mut self, table: &str, route: &str) {
        let of_table = self.named("--route-table-name", Kind::Table, table);
        self.put(Command::new("az network route-table route delete").raw(&of_table).option("--name", route));
    }

    fn put_table_on(&mut self, network: &str, subnet: &str, table: &str) {
        self.route_table(table);
        let table = self.named("--route-table", Kind::Table, table);
        self.put(self.of_subnet("update", network, subnet).raw(&table));
    }

    fn endpoints(&mut self, network: &str, subnet: &str) {
        let services = self.site.endpoints(self.changes, network, subnet);
        self.once(Made::Endpoints, &format!("{network}/{subnet}"), |writer| {
            writer.put(writer.of_subnet("update", network, subnet).list("--service-endpoints", &services));
        });
    }

    fn delegations(&mut self, network: &str, subnet: &str) {
        let services = self.site.delegations(self.changes, network, subnet);
        self.once(Made::Delegations, &format!("{network}/{subnet}"), |writer| {
            writer.put(writer.of_subnet("update", network, subnet).list("--delegations", &services));
        });
    }

    fn add_subnet(&mut self, network: &str, subnet: &str, prefix: &str) {
        let show = self.of_subnet("show", network, subnet);
        let create = self.of_subnet("create", network, subnet).option("--address-prefixes", prefix);
        self.unless_there(show, create);
    }

    /// Does it the first time that it is asked for.
    fn once(&mut self, kind: fn(String) -> Made, name: &str, write: impl FnOnce(&mut Self)) {
        if self.made.insert(kind(name.to_ascii_lowercase())) {
            write(self);
        }
    }

    fn unless_there(&mut self, show: Command, create: Command) {
        let (show, create) = (show.end(), create.end());
        let create = create.trim().replace("\n  ", "\n    ");
        writeln!(self.text, "\n{} >/dev/null 2>&1 ||\n  {create}", show.trim()).expect("a String takes any text");
    }

    fn security_group(&mut self, group: &str) {
        self.once(Made::Group, group, |writer| {
            let show = Command::new("az network nsg show").raw(&writer.named("--name", Kind::Group, group));
            let create = Command::new("az network nsg create")
                .raw(&writer.named("--name", Kind::Group, group))
                .raw("--location \"$LOCATION\"");
            if !writer.site.has_group(group) {
                writer.unless_there(show, create);
            }
        });
    }

    fn route_table(&mut self, table: &str) {
        self.once(Made::Table, table, |writer| {
            let show = Command::new("az network route-table show").raw(&writer.named("--name", Kind::Table, table));
            let create = Command::new("az network route-table create").raw(&writer.named("--name", Kind::Table, table));
            if !writer.site.has_table(table) {
                writer.unless_there(show, create.raw("--location \"$LOCATION\""));
            }
        });
    }

    /// The loop that the management addresses' document shows (App Service Environment management addresses, 2022).
    fn routes(&mut self, table: &str, prefixes: &[String]) {
        self.route_table(table);
        let list = match self.variables.lists.iter().position(|list| list == prefixes) {
            Some(number) => format!("\"${{{}[@]}}\"", list_name(number)),
            None => prefixes.iter().map(|prefix| quoted(prefix)).collect::<Vec<_>>().join(" \\\n  "),
        };
        let table = self.named("--route-table-name", Kind::Table, table);
        write!(
            self.text,
            "\nfor prefix in {list}; do\n  name=${{prefix%/32}}\n  name=${{name//\\//_}}\n  \
             az network route-table route create --resource-group \"$RESOURCE_GROUP\" \\\n    \
             {table} \\\n    --name \"${{name//:/-}}\" \\\n    \
             --address-prefix \"$prefix\" \\\n    --next-hop-type Internet\ndone\n"
        )
        .expect("a String takes any text");
    }

    fn firewall_rules(&mut self) {
        if std::mem::replace(&mut self.firewall_done, true) {
            return;
        }
        let name = match firewall::owner(self.site) {
            Owner::Policy => return self.policy_rules(),
            Owner::Firewall(name) => name,
            Owner::Unknown(why) => return self.no_firewall(&why),
        };
        let mut plan = firewall::mended_classic(self.changes, self.site);
        let groups = plan.policies.iter().flat_map(|policy| &policy.groups);
        let collections: Vec<&Collection> = groups.flat_map(|group| &group.collections).collect();
        collections.iter().for_each(|collection| classic::write(&mut self.text, &name, collection, &plan));
        self.notes.append(&mut plan.notes);
    }

    /// Commands that reach nobody are not written; a script says why.
    fn no_firewall(&mut self, why: &str) {
        writeln!(self.text, "\n# The rules of the firewall are not written: {why}.").expect("a String takes any text");
        self.notes.push(firewall::unknown(why));
    }

    fn policy_rules(&mut self) {
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
        if found.policy.is_empty() {
            return self.remove_classic(&found);
        }
        if let Owner::Unknown(why) = firewall::owner(self.site) {
            return self.once(Made::NoFirewall, "", |writer| writer.no_firewall(&why));
        }
        let of_group = |verb: &str| Command::new(&format!("{GROUP} {verb}")).option("--policy-name", found.policy);
        // A raw string of JMESPath.
        let collection = found.collection.replace('\\', "\\\\").replace('\'', "\\'");
        let query = format!("ruleCollections[?name=='{collection}'].rules[].name");
        let show = of_group("show").option("--name", found.group).option("--query", &query).option("--output", "tsv");
        let remove = of_group("collection rule remove")
            .option("--rule-collection-group-name", found.group)
            .option("--collection-name", found.collection)
            .option("--name", found.rule);
        // An assignment of its own ends the script where az fails: it is no answer that the rule is gone.
        let (show, remove, rule) = (show.end(), remove.end(), quoted(found.rule));
        let remove = remove.trim().replace("\n  ", "\n    ");
        let show = show.trim();
        writeln!(self.text, "\nrules=$({show})\nif grep -xF -e {rule} <<<\"$rules\" >/dev/null\nthen\n  {remove}\nfi")
            .expect("a String takes any text");
    }

    /// Azure keeps no collection without a rule.
    fn remove_classic(&mut self, found: &Found<'_>) {
        let Some(name) = firewall::classic_owner(self.site) else {
            return self.once(Made::NoFirewall, "", |writer| writer.no_firewall("whose they are is not known"));
        };
        let is_lost = |rule: &&str| {
            let path = format!("//{}/{rule}", found.collection);
            self.changes.iter().any(|it| matches!(it, Change::RemoveFirewallRule { rule } if same(rule, &path)))
        };
        let is_emptied = firewall::names(found.rules).iter().all(is_lost);
        let lost = if is_emptied { Lost::Collection } else { Lost::Rule };
        let text = classic::removal(name, found, lost);
        self.once(Made::Removed, &text, |writer| writer.text.push_str(&text));
    }

    fn dns_zone(&mut self, zone: &str) {
        if !self.site.has_zone(zone) {
            self.once(Made::Zone, zone, |writer| {
                writer.put(Command::new("az network private-dns zone create").option("--name", zone))
            });
        }
    }

    fn dns_link(&mut self, zone: &str, network: &str) {
        self.once(Made::Link, &format!("{zone}/{network}"), |writer| {
            let link = |verb: &str| {
                let command = Command::new(&format!("az network private-dns link vnet {verb}"));
                command.option("--zone-name", zone).option("--name", network)
            };
            let create = link("create").option("--virtual-network", network).option("--registration-enabled", "false");
            writer.unless_there(link("show"), create);
        });
    }

    /// `add-record` refuses what is there (azure-cli issue 22886), so the set is made anew.
    fn dns_record(&mut self, zone: &str, name: &str, address: &str) {
        self.dns_zone(zone);
        self.site.networks_to_link(zone).iter().for_each(|network| self.dns_link(zone, network));
        let (kind, flag) = if address.contains(':') { ("aaaa", "--ipv6-address") } else { ("a", "--ipv4-address") };
        let delete = Command::new(&format!("az network private-dns record-set {kind} delete"));
        self.put(delete.option("--zone-name", zone).option("--name", name).raw("--yes"));
        let add = Command::new(&format!("az network private-dns record-set {kind} add-record"));
        self.put(add.option("--zone-name", zone).option("--record-set-name", name).option(flag, address));
    }

    fn named(&self, flag: &str, kind: Kind, value: &str) -> String {
        // What begins with a hyphen would be taken for a flag.
        let between = if value.starts_with('-') { "=" } else { " " };
        format!("{flag}{between}{}", self.variables.word(kind, value))
    }

    fn of_subnet(&self, verb: &str, network: &str, subnet: &str) -> Command {
        Command::new(&format!("{SUBNET} {verb}"))
            .raw(&self.named("--vnet-name", Kind::Network, network))
            .raw(&self.named("--name", Kind::Subnet, subnet))
    }

    fn security_rule(&self, group: &str, rule: &SecurityRule) -> Command {
        let command = Command::new("az network nsg rule create")
            .raw(&self.named("--nsg-name", Kind::Group, group))
            .option("--name", &rule.name)
            .option("--priority", &rule.priority.to_string())
            .option("--direction", rule.direction.as_str())
            .option("--access", rule.access.as_str())
            .option("--protocol", protocol(rule));
        let (from, to) = (Side::of(&rule.source), Side::of(&rule.destination));
        let place = format!("{group}/{}", rule.name);
        let description = carried::text(self.site.topology, ResourceKind::SecurityRule, &place, "description");
        command
            .maybe("--description", description.as_deref())
            .list("--source-address-prefixes", &from.prefixes)
            .list("--source-asgs", &from.groups)
            .list("--source-port-ranges", &from.ports)
            .list("--destination-address-prefixes", &to.prefixes)
            .list("--destination-asgs", &to.groups)
            .list("--destination-port-ranges", &to.ports)
    }

    fn route(&self, table: &str, route: &Route) -> Command {
        let command = Command::new("az network route-table route create")
            .raw(&self.named("--route-table-name", Kind::Table, table))
            .option("--name", &route.name)
            .option("--address-prefix", &destination(route))
            .option("--next-hop-type", route.next_hop.as_str());
        match appliance(route) {
            Some(address) => command.raw(&self.named("--next-hop-ip-address", Kind::Appliance, &address)),
            None => command,
        }
    }
}
