//! Effective security rules of a subnet or an interface: normalised, with what their tags stand for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::flow::PortRange;
use crate::vnet::{
    FlowDirection, Network, NetworkSecurityGroup, Place, Prefix, RuleSide, SecurityProtocol, SecurityRule,
    default_security_rules,
};

use super::Ids;

/// `EffectiveNetworkSecurityGroupListResult`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EffectiveSecurityGroups {
    pub value: Vec<EffectiveSecurityGroup>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveSecurityGroup {
    network_security_group: Reference,
    association: Association,
    effective_security_rules: Vec<EffectiveRule>,
    /// What each tag of the rules stands for.
    tag_map: BTreeMap<String, Vec<IpNet>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Reference {
    id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Association {
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_interface: Option<Reference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct EffectiveRule {
    name: String,
    protocol: &'static str,
    source_port_range: String,
    destination_port_range: String,
    source_port_ranges: Vec<String>,
    destination_port_ranges: Vec<String>,
    source_address_prefix: String,
    destination_address_prefix: String,
    source_address_prefixes: Vec<String>,
    destination_address_prefixes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expanded_source_address_prefix: Vec<IpNet>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expanded_destination_address_prefix: Vec<IpNet>,
    access: &'static str,
    priority: u16,
    direction: &'static str,
}

/// Of a subnet, and of the interface at an address there.
pub fn effective_security_groups(
    network: &Network,
    ids: Ids<'_>,
    place: Place,
    address: Option<IpAddr>,
) -> EffectiveSecurityGroups {
    let id = |path: String| Some(Reference { id: ids.network(&path) });
    let of_subnet = network.security_group_of(place).map(|group| {
        let subnet = Some(Reference { id: ids.subnet(network, place) });
        (group, Association { subnet, network_interface: None })
    });
    let interface = address.and_then(|address| network.interface_at(place, address));
    let of_interface = interface.and_then(|interface| {
        let group = network.topology().security_group(interface.security_group.as_deref()?)?;
        let network_interface = id(format!("networkInterfaces/{}", interface.name));
        Some((group, Association { subnet: None, network_interface }))
    });
    let shown = of_subnet.into_iter().chain(of_interface).map(|(group, association)| EffectiveSecurityGroup {
        network_security_group: Reference { id: ids.network(&format!("networkSecurityGroups/{}", group.name)) },
        association,
        effective_security_rules: ordered(group).into_iter().map(|it| effective(network, place, it)).collect(),
        tag_map: tag_map(network, place, group),
    });
    EffectiveSecurityGroups { value: shown.collect() }
}

/// Inbound first, each direction in its order.
fn ordered(group: &NetworkSecurityGroup) -> Vec<&SecurityRule> {
    let mut rules: Vec<&SecurityRule> = group.rules.iter().chain(default_security_rules()).collect();
    rules.sort_by_key(|rule| (rule.direction == FlowDirection::Outbound, rule.priority));
    rules
}

fn effective(network: &Network, place: Place, rule: &SecurityRule) -> EffectiveRule {
    let kind = if rule.is_default() { "defaultSecurityRules" } else { "securityRules" };
    let (from, to) = (&rule.source, &rule.destination);
    let first = |texts: Vec<String>| texts.into_iter().next().unwrap_or_default();
    EffectiveRule {
        name: format!("{kind}/{}", rule.name),
        protocol: protocol(rule.protocol),
        source_port_range: first(ports(from)),
        destination_port_range: first(ports(to)),
        source_port_ranges: ports(from),
        destination_port_ranges: ports(to),
        source_address_prefix: first(prefixes(network, place, from)),
        destination_address_prefix: first(prefixes(network, place, to)),
        source_address_prefixes: prefixes(network, place, from),
        destination_address_prefixes: prefixes(network, place, to),
        expanded_source_address_prefix: expanded(network, place, from),
        expanded_destination_address_prefix: expanded(network, place, to),
        access: rule.access.as_str(),
        priority: rule.priority,
        direction: rule.direction.as_str(),
    }
}

fn protocol(protocol: SecurityProtocol) -> &'static str {
    match protocol {
        SecurityProtocol::Any => "All",
        SecurityProtocol::Tcp => "Tcp",
        SecurityProtocol::Udp => "Udp",
        SecurityProtocol::Icmp => "Icmp",
        SecurityProtocol::Esp => "Esp",
        SecurityProtocol::Ah => "Ah",
    }
}

/// `456-456`, `0-65535`
fn ports(side: &RuleSide) -> Vec<String> {
    side.ports.iter().map(|range: &PortRange| format!("{}-{}", range.first(), range.last())).collect()
}

/// Addresses with their lengths, tags by their names, application security groups by their members' addresses.
fn prefixes(network: &Network, place: Place, side: &RuleSide) -> Vec<String> {
    let written = side.prefixes.iter().map(|prefix| match prefix {
        Prefix::Any => "0.0.0.0/0".to_owned(),
        Prefix::Net(net) => net.to_string(),
        Prefix::Tag(tag) => tag.clone(),
    });
    let own = &network.virtual_network(place).name;
    let is_member = |groups: &[String]| {
        groups.iter().any(|it| side.application_security_groups.iter().any(|wanted| wanted.eq_ignore_ascii_case(it)))
    };
    let members = network.topology().interfaces.iter().filter(|interface| {
        is_member(&interface.application_security_groups) && interface.virtual_network.eq_ignore_ascii_case(own)
    });
    let members = members.flat_map(|interface| interface.addresses.iter().map(|it| IpNet::from(*it).to_string()));
    written.chain(members).collect()
}

fn tags(side: &RuleSide) -> impl Iterator<Item = &str> {
    side.prefixes.iter().filter_map(|prefix| match prefix {
        Prefix::Tag(tag) if tag != "*" => Some(tag.as_str()),
        Prefix::Tag(_) | Prefix::Any | Prefix::Net(_) => None,
    })
}

fn expanded(network: &Network, place: Place, side: &RuleSide) -> Vec<IpNet> {
    tags(side).flat_map(|tag| nets(network, place, tag)).collect()
}

fn nets(network: &Network, place: Place, tag: &str) -> Vec<IpNet> {
    network.tag_ranges(place, tag).into_iter().flat_map(crate::policy::AddressRange::nets).collect()
}

fn tag_map(network: &Network, place: Place, group: &NetworkSecurityGroup) -> BTreeMap<String, Vec<IpNet>> {
    let sides = ordered(group).into_iter().flat_map(|rule| [&rule.source, &rule.destination]);
    sides.flat_map(tags).map(|tag| (tag.to_owned(), nets(network, place, tag))).collect()
}
