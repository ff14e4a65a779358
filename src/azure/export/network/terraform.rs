//! HCL for azurerm; what has no resource of its own there is an update by azapi, which reads before it writes.
//!
//! Terraform takes away only what it made: what has to go is told of and not written.

use hcl::structure::{Block, BlockBuilder, Body};
use hcl::{Expression, Identifier, Object, ObjectKey, Traversal, Variable};

use crate::azure::export::API_VERSION;
use crate::azure::export::Exported;
use crate::azure::export::names::{Shortest, Symbols};
use crate::azure::export::plan::Plan;
use crate::azure::export::terraform::{Named, group_block, of_variable, resource, variable};
use crate::azure::note::Note;
use crate::vnet::{Change, Route, SecurityRule};

use super::shape::{Side, protocol};
use super::{Site, appliance, destination, firewall, not_written, same};

struct Writer<'s> {
    site: &'s Site<'s>,
    changes: &'s [Change],
    blocks: Vec<Block>,
    notes: Vec<Note>,
    symbols: Symbols,
    /// What has a block: kind, name in Azure, symbol, whether it is looked up and not made.
    known: Vec<Known>,
    firewall_done: bool,
}

struct Known {
    kind: &'static str,
    name: String,
    symbol: String,
    source: Source,
}

/// Whether Terraform makes it or finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Made,
    Found,
}

const GROUP: &str = "azurerm_network_security_group";
const TABLE: &str = "azurerm_route_table";
const SUBNET: &str = "azurerm_subnet";
const NETWORK: &str = "azurerm_virtual_network";
const POLICY: &str = "azurerm_firewall_policy";
const ZONE: &str = "azurerm_private_dns_zone";
const UPDATE: &str = "azapi_update_resource";

pub(super) fn write(changes: &[Change], site: &Site<'_>, remark: Option<&str>) -> Exported {
    let mut writer = Writer {
        site,
        changes,
        blocks: Vec::new(),
        notes: Vec::new(),
        symbols: Symbols::default(),
        known: Vec::new(),
        firewall_done: false,
    };
    changes.iter().for_each(|change| writer.change(change));
    let Writer { blocks, mut notes, .. } = writer;
    let group = Some(site.topology.resource_group.as_str()).filter(|name| !name.is_empty());
    let location = Some(site.topology.location.as_str()).filter(|name| !name.is_empty());
    let mut body = Body::builder()
        .add_block(providers(&blocks))
        .add_block(variable("resource_group_name", group))
        .add_block(variable("location", location));
    for block in blocks {
        body = body.add_block(block);
    }
    let text = hcl::format::to_string(&body.build()).unwrap_or_else(|error| {
        notes.push(not_written(format!("Terraform's text could not be written: {error}"), "write another form"));
        String::new()
    });
    let remark = remark.map(|remark| format!("# {remark}\n\n")).unwrap_or_default();
    Exported { text: remark + &text, notes }
}

/// What the blocks need.
fn providers(blocks: &[Block]) -> Block {
    let updates = |block: &Block| block.labels().first().is_some_and(|it| it.as_str() == UPDATE);
    let provider = |source: &str, version: &str| -> Expression {
        [("source", source), ("version", version)]
            .into_iter()
            .map(|(key, value)| (Identifier::sanitized(key), value))
            .collect()
    };
    let mut required =
        Block::builder("required_providers").add_attribute(("azurerm", provider("hashicorp/azurerm", ">= 3.116")));
    if blocks.iter().any(updates) {
        required = required.add_attribute(("azapi", provider("Azure/azapi", ">= 2.0")));
    }
    Block::builder("terraform").add_block(required.build()).build()
}

fn texts(values: &[String]) -> Expression {
    values.iter().map(String::as_str).collect()
}

fn object(fields: Vec<(&str, Expression)>) -> Expression {
    let fields = fields.into_iter().map(|(key, value)| (ObjectKey::from(Identifier::sanitized(key)), value));
    Expression::Object(fields.collect::<Object<ObjectKey, Expression>>())
}

/// One value or several: azurerm has an argument for each.
fn one_or_more(block: BlockBuilder, name: &str, plural: &str, values: &[String]) -> BlockBuilder {
    match values {
        [] => block,
        [one] => block.add_attribute((name, one.as_str())),
        several => block.add_attribute((format!("{name}{plural}"), texts(several))),
    }
}

impl Writer<'_> {
    fn symbol(&mut self, name: &str) -> String {
        self.symbols.take(name)
    }

    /// An attribute of a resource: `azurerm_subnet.ase.id`, or of the data source where it is found.
    fn attribute(&self, known: usize, attribute: &str) -> Expression {
        let Known { kind, symbol, source, .. } = &self.known[known];
        let traversal = match source {
            Source::Made => Traversal::builder(Variable::sanitized(*kind)).attr(symbol.as_str()),
            Source::Found => Traversal::builder(Variable::sanitized("data")).attr(*kind).attr(symbol.as_str()),
        };
        traversal.attr(attribute).build().into()
    }

    fn place(&self, kind: &str, name: &str) -> Option<usize> {
        self.known.iter().position(|known| known.kind == kind && same(&known.name, name))
    }

    fn add(&mut self, kind: &'static str, name: &str, symbol: String, source: Source) -> usize {
        self.known.push(Known { kind, name: name.to_owned(), symbol, source });
        self.known.len() - 1
    }

    /// Looked up by its name in the resource group, with what else leads to it.
    fn found(&mut self, kind: &'static str, key: &str, name: &str, more: &[(&str, &str)]) -> usize {
        if let Some(place) = self.place(kind, key) {
            return place;
        }
        let symbol = self.symbol(key);
        let mut block = Block::builder("data").add_label(kind).add_label(symbol.as_str()).add_attribute(("name", name));
        block = block.add_attribute(("resource_group_name", of_variable("resource_group_name")));
        block = more.iter().fold(block, |block, (key, value)| block.add_attribute((*key, *value)));
        self.blocks.push(block.build());
        self.add(kind, key, symbol, Source::Found)
    }

    fn made(&mut self, kind: &'static str, name: &str) -> usize {
        let symbol = self.symbol(name);
        self.blocks.push(resource(kind, &symbol, name).build());
        self.add(kind, name, symbol, Source::Made)
    }

    fn group(&mut self, name: &str) -> usize {
        match self.place(GROUP, name) {
            Some(place) => place,
            None if self.site.has_group(name) => self.found(GROUP, name, name, &[]),
            None => self.made(GROUP, name),
        }
    }

    fn table(&mut self, name: &str) -> usize {
        match self.place(TABLE, name) {
            Some(place) => place,
            None if self.site.has_table(name) => self.found(TABLE, name, name, &[]),
            None => self.made(TABLE, name),
        }
    }

    fn subnet(&mut self, network: &str, subnet: &str) -> usize {
        let key = format!("{network}/{subnet}");
        self.found(SUBNET, &key, subnet, &[("virtual_network_name", network)])
    }

    fn inside(&mut self, kind: &str, name: &str, attributes: Vec<(&str, Expression)>) {
        let symbol = self.symbol(name);
        let block = Block::builder("resource").add_label(kind).add_label(symbol.as_str());
        self.blocks.push(attributes.into_iter().fold(block, BlockBuilder::add_attribute).build());
    }

    /// Properties of what is there, read and written again with these in their place.
    fn update(&mut self, kind: &str, what: &str, of: Expression, properties: Expression) {
        let symbol = self.symbol(what);
        if self.blocks.iter().any(|block| block.labels().get(1).is_some_and(|it| it.as_str() == symbol)) {
            return;
        }
        let block = Block::builder("resource").add_label(UPDATE).add_label(symbol.as_str());
        let block = block
            .add_attribute(("type", kind))
            .add_attribute(("resource_id", of))
            .add_attribute(("body", object(vec![("properties", properties)])));
        self.blocks.push(block.build());
    }

    /// Lists are written whole, so the first change to one stands for all.
    fn is_first(&self, change: &Change, alike: fn(&Change, &Change) -> bool) -> bool {
        self.changes.iter().find(|other| alike(other, change)).is_some_and(|first| std::ptr::eq(first, change))
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::SecurityRule { group, rule } => self.security_rule(group, rule),
            Change::Route { table, route } => self.route(table, route),
            Change::RemoveSecurityRule { group, rule } => self.removed(&format!("security rule `{group}/{rule}`")),
            Change::RemoveRoute { table, route } => self.removed(&format!("route `{table}/{route}`")),
            Change::RemoveFirewallRule { rule } => self.removed(&format!("rule of the firewall `{rule}`")),
            Change::SubnetSecurityGroup { network, subnet, group } => self.put_group_on(network, subnet, group),
            Change::SubnetRouteTable { network, subnet, table } => self.put_table_on(network, subnet, table),
            Change::ServiceEndpoint { network, subnet, .. } => self.service_endpoints(change, network, subnet),
            Change::Delegation { network, subnet, .. } => self.delegations(change, network, subnet),
            Change::AddSubnet { network, subnet, prefix } => self.add_subnet(network, subnet, prefix.to_string()),
            Change::ApplicationRule(_) | Change::NetworkRule(_) => self.firewall_rules(),
            Change::DnsRecord { zone, name, address } => self.dns_record(zone, name, &address.to_string()),
        }
    }

    fn put_group_on(&mut self, network: &str, subnet: &str, group: &str) {
        let (of, group) = (self.subnet(network, subnet), self.group(group));
        let ids =
            vec![("subnet_id", self.attribute(of, "id")), ("network_security_group_id", self.attribute(group, "id"))];
        self.inside("azurerm_subnet_network_security_group_association", subnet, ids);
    }

    fn put_table_on(&mut self, network: &str, subnet: &str, table: &str) {
        let (of, table) = (self.subnet(network, subnet), self.table(table));
        let ids = vec![("subnet_id", self.attribute(of, "id")), ("route_table_id", self.attribute(table, "id"))];
        self.inside("azurerm_subnet_route_table_association", subnet, ids);
    }

    fn add_subnet(&mut self, network: &str, subnet: &str, prefix: String) {
        let attributes = vec![
            ("name", subnet.into()),
            ("resource_group_name", of_variable("resource_group_name")),
            ("virtual_network_name", network.into()),
            ("address_prefixes", texts(&[prefix])),
        ];
        self.inside(SUBNET, subnet, attributes);
    }

    fn removed(&mut self, what: &str) {
        let what = format!("Terraform takes away only what it made: the {what} is not removed");
        self.notes.push(not_written(what, "remove it with az (--to az-cli), or where it is written"));
    }

    fn security_rule(&mut self, group: &str, rule: &SecurityRule) {
        let group = self.group(group);
        let (from, to) = (Side::of(&rule.source), Side::of(&rule.destination));
        let symbol = self.symbol(&rule.name);
        let mut block = Block::builder("resource")
            .add_label("azurerm_network_security_rule")
            .add_label(symbol.as_str())
            .add_attribute(("name", rule.name.as_str()))
            .add_attribute(("resource_group_name", of_variable("resource_group_name")))
            .add_attribute(("network_security_group_name", self.attribute(group, "name")))
            .add_attribute(("priority", rule.priority))
            .add_attribute(("direction", rule.direction.as_str()))
            .add_attribute(("access", rule.access.as_str()))
            .add_attribute(("protocol", protocol(rule)));
        for (end, side) in [("source", &from), ("destination", &to)] {
            block = one_or_more(block, &format!("{end}_address_prefix"), "es", &side.prefixes);
            block = one_or_more(block, &format!("{end}_port_range"), "s", &side.ports);
            if !side.groups.is_empty() {
                let what = format!("the application security groups of the rule `{}` are not written", rule.name);
                self.notes.push(not_written(what, "add their ids by hand"));
            }
        }
        self.blocks.push(block.build());
    }

    fn route(&mut self, table: &str, route: &Route) {
        let table = self.table(table);
        let mut attributes: Vec<(&str, Expression)> = vec![
            ("name", route.name.as_str().into()),
            ("resource_group_name", of_variable("resource_group_name")),
            ("route_table_name", self.attribute(table, "name")),
            ("address_prefix", destination(route).into()),
            ("next_hop_type", route.next_hop.as_str().into()),
        ];
        attributes.extend(appliance(route).map(|address| ("next_hop_in_ip_address", address.into())));
        self.inside("azurerm_route", &route.name, attributes);
    }

    fn service_endpoints(&mut self, change: &Change, network: &str, subnet: &str) {
        let alike = |one: &Change, other: &Change| match (one, other) {
            (
                Change::ServiceEndpoint { network: a, subnet: b, .. },
                Change::ServiceEndpoint { network: c, subnet: d, .. },
            ) => same(a, c) && same(b, d),
            _ => false,
        };
        if !self.is_first(change, alike) {
            return;
        }
        let services = self.site.endpoints(self.changes, network, subnet);
        let service = |service: &String| object(vec![("service", service.as_str().into())]);
        let list: Expression = services.iter().map(service).collect();
        let known = self.subnet(network, subnet);
        let id = self.attribute(known, "id");
        self.update(
            &typed("virtualNetworks/subnets"),
            &format!("{subnet}_endpoints"),
            id,
            object(vec![("serviceEndpoints", list)]),
        );
    }

    fn delegations(&mut self, change: &Change, network: &str, subnet: &str) {
        let alike = |one: &Change, other: &Change| match (one, other) {
            (Change::Delegation { network: a, subnet: b, .. }, Change::Delegation { network: c, subnet: d, .. }) => {
                same(a, c) && same(b, d)
            }
            _ => false,
        };
        if !self.is_first(change, alike) {
            return;
        }
        let services = self.site.delegations(self.changes, network, subnet);
        let delegation = |service: &String| {
            let properties = object(vec![("serviceName", service.as_str().into())]);
            object(vec![("name", service.replace('/', ".").into()), ("properties", properties)])
        };
        let list: Expression = services.iter().map(delegation).collect();
        let known = self.subnet(network, subnet);
        let id = self.attribute(known, "id");
        self.update(
            &typed("virtualNetworks/subnets"),
            &format!("{subnet}_delegations"),
            id,
            object(vec![("delegations", list)]),
        );
    }

    fn dns_record(&mut self, zone: &str, name: &str, address: &str) {
        if self.place(ZONE, zone).is_none() {
            self.zone(zone);
        }
        let kind =
            if address.contains(':') { "azurerm_private_dns_aaaa_record" } else { "azurerm_private_dns_a_record" };
        let zone = self.place(ZONE, zone).map(|known| self.attribute(known, "name"));
        let attributes = vec![
            ("name", name.into()),
            ("resource_group_name", of_variable("resource_group_name")),
            ("zone_name", zone.unwrap_or(Expression::Null)),
            ("ttl", Expression::from(3600)),
            ("records", texts(&[address.to_owned()])),
        ];
        self.inside(kind, &format!("record_{name}"), attributes);
    }

    fn zone(&mut self, zone: &str) {
        if self.site.topology.dns_zones.iter().any(|known| same(&known.name, zone)) {
            self.found(ZONE, zone, zone, &[]);
            return;
        }
        let symbol = self.symbol(zone);
        let block = Block::builder("resource").add_label(ZONE).add_label(symbol.as_str());
        let block = block.add_attribute(("name", zone));
        self.blocks.push(block.add_attribute(("resource_group_name", of_variable("resource_group_name"))).build());
        let known = self.add(ZONE, zone, symbol, Source::Made);
        for network in self.site.networks_to_link(zone) {
            let of = self.found(NETWORK, &network, &network, &[]);
            let attributes = vec![
                ("name", network.as_str().into()),
                ("resource_group_name", of_variable("resource_group_name")),
                ("private_dns_zone_name", self.attribute(known, "name")),
                ("virtual_network_id", self.attribute(of, "id")),
            ];
            self.inside("azurerm_private_dns_zone_virtual_network_link", &format!("link_{network}"), attributes);
        }
    }

    fn firewall_rules(&mut self) {
        if std::mem::replace(&mut self.firewall_done, true) {
            return;
        }
        let mut plan: Plan = firewall::mended(self.changes, self.site, Shortest::Two);
        if !plan.ip_groups.is_empty() {
            self.notes.push(not_written(
                "rules with IP groups are not written for Terraform".into(),
                "write a template (--to arm)",
            ));
            return;
        }
        for policy in &plan.policies {
            let known = self.found(POLICY, &policy.name, &policy.name, &[]);
            let of = format!("data.{POLICY}.{}", self.known[known].symbol);
            for group in &policy.groups {
                let symbol = self.symbol(&group.name);
                let block = group_block(group, &symbol, "policy", &Named::default(), &mut self.notes);
                self.blocks.push(of_policy(block, &of));
            }
        }
        self.notes.append(&mut plan.notes);
    }
}

/// The group's policy is one that is found, not one that is made beside it.
fn of_policy(block: Block, policy: &str) -> Block {
    let mut parts = policy.split('.');
    let first = Variable::sanitized(parts.next().unwrap_or_default());
    let id = parts.fold(Traversal::builder(first), |built, part| built.attr(part)).attr("id").build();
    let mut block = block;
    for attribute in block.body.iter_mut().filter_map(hcl::Structure::as_attribute_mut) {
        if attribute.key() == "firewall_policy_id" {
            attribute.expr = Expression::from(id.clone());
        }
    }
    block
}

fn typed(kind: &str) -> String {
    format!("Microsoft.Network/{kind}@{API_VERSION}")
}
