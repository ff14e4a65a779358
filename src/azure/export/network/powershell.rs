//! A script of the Az modules for PowerShell. Objects are fetched, changed and set again: what is not changed stays.

use std::fmt::Write as _;

use crate::azure::export::Exported;
use crate::azure::export::names::Shortest;
use crate::azure::export::plan::{Collection, Group, Plan, Policy};
use crate::azure::export::tree::{Target, Tree};
use crate::azure::note::Note;
use crate::vnet::{Change, Route, SecurityRule};

use super::shape::{Side, protocol};
use super::{Site, Step, appliance, destination, firewall, not_written, steps};

/// A resource that is fetched, changed some times and set.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    Group(String),
    Table(String),
    Network(String),
}

struct Writer<'s> {
    site: &'s Site<'s>,
    changes: &'s [Change],
    text: String,
    notes: Vec<Note>,
    /// What has to be set before another is fetched.
    held: Option<Held>,
    firewall_done: bool,
}

pub(super) fn script(changes: &[Change], site: &Site<'_>, remark: Option<&str>) -> Exported {
    let mut writer = Writer { site, changes, text: String::new(), notes: Vec::new(), held: None, firewall_done: false };
    for step in steps(changes) {
        match step {
            Step::Loop { table, prefixes } => writer.routes(table, &prefixes),
            Step::One(change) => writer.change(change),
        }
    }
    writer.release();
    let mut text = String::new();
    remark.iter().for_each(|remark| writeln!(text, "# {remark}").expect("a String takes any text"));
    text.push_str("#Requires -Modules Az.Network\nparam(\n");
    let parameters = [("ResourceGroup", &site.topology.resource_group), ("Location", &site.topology.location)];
    let parameters = parameters.map(|(name, value)| match value.as_str() {
        "" => format!("    [Parameter(Mandatory)] [string] ${name}"),
        value => format!("    [string] ${name} = {}", quoted(value)),
    });
    text.push_str(&parameters.join(",\n"));
    text.push_str("\n)\n$ErrorActionPreference = 'Stop'\n");
    Exported { text: text + &writer.text, notes: writer.notes }
}

/// In single quotes nothing counts but the quote itself, and its typographic kin.
fn quoted(text: &str) -> String {
    let doubled = text.chars().flat_map(|c| {
        let twice = matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}');
        std::iter::repeat_n(c, if twice { 2 } else { 1 })
    });
    format!("'{}'", doubled.collect::<String>())
}

fn list(values: &[String]) -> String {
    values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ")
}

/// Parameters of a cmdlet, those with values.
fn parameters(named: &[(&str, String)]) -> String {
    named
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!(" `\n    -{name} {value}"))
        .collect()
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("a String takes any text");
    }

    fn release(&mut self) {
        match self.held.take() {
            Some(Held::Group(_)) => self.line("$group | Set-AzNetworkSecurityGroup | Out-Null"),
            Some(Held::Table(_)) => self.line("$table | Set-AzRouteTable | Out-Null"),
            Some(Held::Network(_)) => self.line("$network | Set-AzVirtualNetwork | Out-Null"),
            None => {}
        }
    }

    fn hold(&mut self, held: Held) {
        if self.held.as_ref() == Some(&held) {
            return;
        }
        self.release();
        let (variable, noun, name, is_made) = match &held {
            Held::Group(name) => ("$group", "AzNetworkSecurityGroup", name, true),
            Held::Table(name) => ("$table", "AzRouteTable", name, true),
            Held::Network(name) => ("$network", "AzVirtualNetwork", name, false),
        };
        let name = quoted(name);
        let named = format!("-ResourceGroupName $ResourceGroup -Name {name}");
        if is_made {
            self.line(&format!("\n{variable} = Get-{noun} {named} -ErrorAction SilentlyContinue"));
            self.line(&format!("if (-not {variable}) {{ {variable} = New-{noun} {named} -Location $Location }}"));
        } else {
            self.line(&format!("\n{variable} = Get-{noun} {named}"));
        }
        self.held = Some(held);
    }

    /// The subnet's object in `$subnet`, inside the network that is held.
    fn subnet(&mut self, network: &str, subnet: &str) {
        self.hold(Held::Network(network.to_owned()));
        self.line(&format!("$subnet = $network.Subnets | Where-Object Name -EQ {}", quoted(subnet)));
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::SecurityRule { group, rule } => {
                self.hold(Held::Group(group.clone()));
                self.security_rule(rule);
            }
            Change::RemoveSecurityRule { group, rule } => {
                self.hold(Held::Group(group.clone()));
                self.remove_security_rule(rule);
            }
            Change::SubnetSecurityGroup { network, subnet, group } => self.put_group_on(network, subnet, group),
            Change::Route { table, route } => {
                self.hold(Held::Table(table.clone()));
                self.route(route);
            }
            Change::RemoveRoute { table, route } => {
                self.hold(Held::Table(table.clone()));
                self.remove_route(&quoted(route));
            }
            Change::SubnetRouteTable { network, subnet, table } => self.put_table_on(network, subnet, table),
            Change::ServiceEndpoint { network, subnet, service } => self.service_endpoint(network, subnet, service),
            Change::Delegation { network, subnet, service } => self.delegation(network, subnet, service),
            Change::AddSubnet { network, subnet, prefix } => self.add_subnet(network, subnet, &prefix.to_string()),
            Change::ApplicationRule(_) | Change::NetworkRule(_) => self.firewall_rules(),
            Change::RemoveFirewallRule { rule } => self.remove_firewall_rule(rule),
            Change::DnsRecord { zone, name, address } => {
                self.release();
                self.dns_record(zone, name, &address.to_string());
            }
        }
    }

    fn put_group_on(&mut self, network: &str, subnet: &str, group: &str) {
        self.hold(Held::Group(group.to_owned()));
        self.release();
        self.subnet(network, subnet);
        self.line("$subnet.NetworkSecurityGroup = $group");
    }

    fn put_table_on(&mut self, network: &str, subnet: &str, table: &str) {
        self.hold(Held::Table(table.to_owned()));
        self.release();
        self.subnet(network, subnet);
        self.line("$subnet.RouteTable = $table");
    }

    fn delegation(&mut self, network: &str, subnet: &str, service: &str) {
        self.subnet(network, subnet);
        let (name, service) = (quoted(&service.replace('/', ".")), quoted(service));
        self.line(&format!("if (@($subnet.Delegations.ServiceName) -notcontains {service}) {{"));
        self.line(&format!("    Add-AzDelegation -Name {name} -ServiceName {service} -Subnet $subnet | Out-Null"));
        self.line("}");
    }

    fn add_subnet(&mut self, network: &str, subnet: &str, prefix: &str) {
        self.subnet(network, subnet);
        let (name, prefix) = (quoted(subnet), quoted(prefix));
        self.line("if (-not $subnet) {");
        self.line(&format!(
            "    Add-AzVirtualNetworkSubnetConfig -VirtualNetwork $network -Name {name} -AddressPrefix {prefix} | Out-Null"
        ));
        self.line("}");
    }

    fn security_rule(&mut self, rule: &SecurityRule) {
        self.remove_security_rule(&rule.name);
        let (from, to) = (Side::of(&rule.source), Side::of(&rule.destination));
        let groups = |names: &[String]| match names {
            [] => String::new(),
            names => {
                let get = |name: &String| {
                    format!("(Get-AzApplicationSecurityGroup -ResourceGroupName $ResourceGroup -Name {})", quoted(name))
                };
                names.iter().map(get).collect::<Vec<_>>().join(", ")
            }
        };
        let named = [
            ("Name", quoted(&rule.name)),
            ("Priority", rule.priority.to_string()),
            ("Direction", rule.direction.as_str().to_owned()),
            ("Access", rule.access.as_str().to_owned()),
            ("Protocol", quoted(protocol(rule))),
            ("SourceAddressPrefix", list(&from.prefixes)),
            ("SourceApplicationSecurityGroup", groups(&from.groups)),
            ("SourcePortRange", list(&from.ports)),
            ("DestinationAddressPrefix", list(&to.prefixes)),
            ("DestinationApplicationSecurityGroup", groups(&to.groups)),
            ("DestinationPortRange", list(&to.ports)),
        ];
        let command = format!("Add-AzNetworkSecurityRuleConfig -NetworkSecurityGroup $group{}", parameters(&named));
        self.line(&format!("{command} | Out-Null"));
    }

    fn remove_security_rule(&mut self, name: &str) {
        let name = quoted(name);
        self.line(&format!("if (@($group.SecurityRules.Name) -contains {name}) {{"));
        self.line(&format!(
            "    Remove-AzNetworkSecurityRuleConfig -NetworkSecurityGroup $group -Name {name} | Out-Null"
        ));
        self.line("}");
    }

    fn route(&mut self, route: &Route) {
        self.remove_route(&quoted(&route.name));
        let named = [
            ("Name", quoted(&route.name)),
            ("AddressPrefix", quoted(&destination(route))),
            ("NextHopType", route.next_hop.as_str().to_owned()),
            ("NextHopIpAddress", appliance(route).map(|it| quoted(&it)).unwrap_or_default()),
        ];
        self.line(&format!("Add-AzRouteConfig -RouteTable $table{} | Out-Null", parameters(&named)));
    }

    /// The name is PowerShell already.
    fn remove_route(&mut self, name: &str) {
        self.line(&format!("if (@($table.Routes.Name) -contains {name}) {{"));
        self.line(&format!("    Remove-AzRouteConfig -RouteTable $table -Name {name} | Out-Null"));
        self.line("}");
    }

    fn routes(&mut self, table: &str, prefixes: &[String]) {
        self.hold(Held::Table(table.to_owned()));
        self.line("$toInternet = @(");
        prefixes.iter().for_each(|prefix| self.line(&format!("    {}", quoted(prefix))));
        self.line(")");
        self.line("foreach ($prefix in $toInternet) {");
        self.line("    $name = ($prefix -replace '/32$', '') -replace '/', '_' -replace ':', '-'");
        self.line("    if (@($table.Routes.Name) -contains $name) {");
        self.line("        Remove-AzRouteConfig -RouteTable $table -Name $name | Out-Null");
        self.line("    }");
        self.line(
            "    Add-AzRouteConfig -RouteTable $table -Name $name -AddressPrefix $prefix -NextHopType Internet | Out-Null",
        );
        self.line("}");
    }

    fn service_endpoint(&mut self, network: &str, subnet: &str, service: &str) {
        const ENDPOINT: &str = "Microsoft.Azure.Commands.Network.Models.PSServiceEndpoint";
        self.subnet(network, subnet);
        let service = quoted(service);
        self.line(&format!("if (-not $subnet.ServiceEndpoints) {{ $subnet.ServiceEndpoints = [System.Collections.Generic.List[{ENDPOINT}]]::new() }}"));
        self.line(&format!("if (@($subnet.ServiceEndpoints.Service) -notcontains {service}) {{"));
        self.line(&format!("    $subnet.ServiceEndpoints.Add([{ENDPOINT}]@{{ Service = {service} }})"));
        self.line("}");
    }

    fn dns_record(&mut self, zone: &str, name: &str, address: &str) {
        let networks = self.site.networks_to_link(zone);
        let zone = quoted(zone);
        let of_zone = format!("-ResourceGroupName $ResourceGroup -ZoneName {zone}");
        self.line(&format!("\nif (-not (Get-AzPrivateDnsZone -ResourceGroupName $ResourceGroup -Name {zone} -ErrorAction SilentlyContinue)) {{"));
        self.line(&format!("    New-AzPrivateDnsZone -ResourceGroupName $ResourceGroup -Name {zone} | Out-Null"));
        self.line("}");
        for network in networks {
            let link = quoted(&network);
            self.line(&format!(
                "if (-not (Get-AzPrivateDnsVirtualNetworkLink {of_zone} -Name {link} -ErrorAction SilentlyContinue)) {{"
            ));
            self.line(&format!("    $network = Get-AzVirtualNetwork -ResourceGroupName $ResourceGroup -Name {link}"));
            self.line(&format!(
                "    New-AzPrivateDnsVirtualNetworkLink {of_zone} -Name {link} -VirtualNetworkId $network.Id | Out-Null"
            ));
            self.line("}");
        }
        let (kind, flag) = if address.contains(':') { ("AAAA", "Ipv6Address") } else { ("A", "Ipv4Address") };
        self.line(&format!("$record = New-AzPrivateDnsRecordConfig -{flag} {}", quoted(address)));
        self.line(&format!(
            "New-AzPrivateDnsRecordSet {of_zone} -Name {} -RecordType {kind} -Ttl 3600 -PrivateDnsRecords $record -Overwrite -Confirm:$false | Out-Null",
            quoted(name)
        ));
    }

    fn firewall_rules(&mut self) {
        if std::mem::replace(&mut self.firewall_done, true) {
            return;
        }
        self.release();
        let mut plan = firewall::mended(self.changes, self.site, Shortest::One);
        for policy in &plan.policies {
            policy.groups.iter().for_each(|group| self.firewall_group(policy, group, &plan));
        }
        self.notes.append(&mut plan.notes);
    }

    fn firewall_group(&mut self, policy: &Policy, group: &Group, plan: &Plan) {
        self.line(&format!(
            "\n$policy = Get-AzFirewallPolicy -ResourceGroupName $ResourceGroup -Name {}",
            quoted(&policy.name)
        ));
        self.line("$collections = @()");
        for collection in &group.collections {
            self.collection(collection, plan);
        }
        let name = quoted(&group.name);
        let named = format!(
            "-Name {name} -Priority {} -RuleCollection $collections -FirewallPolicyObject $policy",
            group.priority
        );
        self.line(&format!("$known = Get-AzFirewallPolicyRuleCollectionGroup -ResourceGroupName $ResourceGroup -AzureFirewallPolicyName $policy.Name -Name {name} -ErrorAction SilentlyContinue"));
        self.line(&format!("if ($known) {{ Set-AzFirewallPolicyRuleCollectionGroup {named} | Out-Null }}"));
        self.line(&format!("else {{ New-AzFirewallPolicyRuleCollectionGroup {named} | Out-Null }}"));
    }

    fn collection(&mut self, collection: &Collection, plan: &Plan) {
        let Collection { name, priority, action, rules } = collection;
        self.line("$rules = @()");
        for rule in rules {
            let line = firewall_rule(rule, plan);
            self.line(&format!("$rules += {line}"));
        }
        self.line(&format!(
            "$collections += New-AzFirewallPolicyFilterRuleCollection -Name {} -Priority {priority} -ActionType {} -Rule $rules",
            quoted(name),
            action.as_str()
        ));
    }

    fn remove_firewall_rule(&mut self, path: &str) {
        self.release();
        let Some(found) = firewall::find(self.site.rules, path) else {
            self.notes.push(not_written(format!("the firewall has no rule `{path}`"), "look at its rules"));
            return;
        };
        let (policy, group) = (quoted(found.policy), quoted(found.group));
        self.line(&format!("\n$policy = Get-AzFirewallPolicy -ResourceGroupName $ResourceGroup -Name {policy}"));
        self.line(&format!("$known = Get-AzFirewallPolicyRuleCollectionGroup -ResourceGroupName $ResourceGroup -AzureFirewallPolicyName $policy.Name -Name {group}"));
        self.line(&format!(
            "$collection = $known.Properties.RuleCollection | Where-Object Name -EQ {}",
            quoted(found.collection)
        ));
        self.line(&format!("$collection.Rules = @($collection.Rules | Where-Object Name -NE {})", quoted(found.rule)));
        self.line(&format!("Set-AzFirewallPolicyRuleCollectionGroup -Name {group} -Priority $known.Properties.Priority -RuleCollection $known.Properties.RuleCollection -FirewallPolicyObject $policy | Out-Null"));
    }
}

/// A rule's object, made of ARM's fields.
fn firewall_rule(rule: &Tree, plan: &Plan) -> String {
    let texts = |name: &str| -> Vec<String> {
        let items = rule.field(name).map(Tree::items).unwrap_or_default();
        items.iter().filter_map(Tree::text).map(str::to_owned).collect()
    };
    let groups = |name: &str| -> String {
        let items = rule.field(name).map(Tree::items).unwrap_or_default();
        let id = |item: &Tree| match item {
            Tree::Id(Target::IpGroup(number)) => plan.ip_groups.get(*number).map(|group| {
                format!("(Get-AzIpGroup -ResourceGroupName $ResourceGroup -Name {}).Id", quoted(&group.name))
            }),
            _ => None,
        };
        items.iter().filter_map(id).collect::<Vec<_>>().join(", ")
    };
    let protocols = rule.field("protocols").map(Tree::items).unwrap_or_default();
    let pair = |item: &Tree| {
        let part = |name: &str| item.field(name).and_then(Tree::text).unwrap_or_default();
        format!("{}:{}", part("protocolType"), part("port")).to_ascii_lowercase()
    };
    let protocols: Vec<String> = protocols.iter().map(pair).collect();
    let name = rule.field("name").and_then(Tree::text).unwrap_or_default();
    let mut named = vec![
        ("Name", quoted(name)),
        ("SourceAddress", list(&texts("sourceAddresses"))),
        ("SourceIpGroup", groups("sourceIpGroups")),
    ];
    let is_application = rule.field("ruleType").and_then(Tree::text) == Some("ApplicationRule");
    if is_application {
        let tags = texts("fqdnTags");
        // A tag brings its protocols; the cmdlet takes none beside it.
        let protocols = if tags.is_empty() { list(&protocols) } else { String::new() };
        named.extend([
            ("Protocol", protocols),
            ("TargetFqdn", list(&texts("targetFqdns"))),
            ("FqdnTag", list(&tags)),
            ("WebCategory", list(&texts("webCategories"))),
            ("TargetUrl", list(&texts("targetUrls"))),
        ]);
    } else {
        named.extend([
            ("Protocol", list(&texts("ipProtocols"))),
            ("DestinationAddress", list(&texts("destinationAddresses"))),
            ("DestinationIpGroup", groups("destinationIpGroups")),
            ("DestinationFqdn", list(&texts("destinationFqdns"))),
            ("DestinationPort", list(&texts("destinationPorts"))),
        ]);
    }
    let noun = if is_application { "Application" } else { "Network" };
    format!("New-AzFirewallPolicy{noun}Rule{}", parameters(&named))
}
