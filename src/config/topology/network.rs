//! Networks, their subnets, peerings and gateways, and what is in them.

use std::collections::HashSet;

use crate::config::error::Findings;
use crate::config::reader::Section;
use crate::vnet::{FIREWALL_SUBNET, Gateway, Peering, Topology, VirtualNetwork};

use super::names::{Written, report_twice, require};
use super::values::{self, flag, maybe_text, text, texts};

pub(super) fn virtual_network(
    section: &Section,
    topology: &mut Topology,
    written: &mut Written,
    findings: &mut Findings,
) {
    let network = written.slot(&mut topology.virtual_networks, text(section, "name"), section, findings);
    network.at = section.spot();
    if section.has("address_space") {
        network.address_space = values::prefixes(section, "address_space", findings);
    }
    require(section, "address_space", !network.address_space.is_empty(), findings);
    if section.has("dns_servers") {
        network.dns_servers = values::addresses(section, "dns_servers", findings);
    }
    subnets(section, network, findings);
    peerings(section, network, findings);
    if let Some(section) = section.table("gateway", findings) {
        let before = network.gateway.take().unwrap_or_default();
        network.gateway = Some(gateway(&section, before, findings));
    }
}

fn subnets(section: &Section, network: &mut VirtualNetwork, findings: &mut Findings) {
    let mut written = Written::default();
    for section in section.tables("subnet", findings) {
        let subnet = written.slot(&mut network.subnets, text(&section, "name"), &section, findings);
        subnet.at = section.spot();
        if section.has("prefix") {
            subnet.prefixes = values::prefixes(&section, "prefix", findings);
        }
        require(&section, "prefix", !subnet.prefixes.is_empty(), findings);
        if section.has("nsg") {
            subnet.security_group = maybe_text(&section, "nsg");
        }
        if section.has("route_table") {
            subnet.route_table = maybe_text(&section, "route_table");
        }
        let lists = [
            ("service_endpoints", &mut subnet.service_endpoints),
            ("delegation", &mut subnet.delegations),
            ("occupants", &mut subnet.occupants),
        ];
        for (key, list) in lists.into_iter().filter(|(key, _)| section.has(key)) {
            *list = texts(&section, key);
        }
    }
}

fn peerings(section: &Section, network: &mut VirtualNetwork, findings: &mut Findings) {
    let mut seen = HashSet::new();
    let mut own = Vec::new();
    for section in section.tables("peering", findings) {
        let peering = peering(&section, findings);
        if !seen.insert(peering.name.to_lowercase()) {
            report_twice("peering", &peering.name, &section, findings);
        }
        own.push(peering);
    }
    network.peerings.retain(|known| !seen.contains(&known.name.to_lowercase()));
    network.peerings.extend(own);
}

fn peering(section: &Section, findings: &mut Findings) -> Peering {
    let remote = text(section, "remote");
    Peering {
        name: maybe_text(section, "name").unwrap_or_else(|| remote.clone()),
        remote,
        remote_space: values::prefixes(section, "remote_space", findings),
        global: flag(section, "global", false),
        allow_virtual_network_access: flag(section, "allow_virtual_network_access", true),
        allow_forwarded_traffic: flag(section, "allow_forwarded_traffic", false),
        allow_gateway_transit: flag(section, "allow_gateway_transit", false),
        use_remote_gateways: flag(section, "use_remote_gateways", false),
        at: section.spot(),
    }
}

fn gateway(section: &Section, before: Gateway, findings: &mut Findings) -> Gateway {
    let usual = if before.name.is_empty() { "gateway".to_owned() } else { before.name };
    let list = |key: &str| section.has(key);
    Gateway {
        name: maybe_text(section, "name").unwrap_or(usual),
        kind: values::word(section, "kind", values::GATEWAY_KINDS, findings).unwrap_or(before.kind),
        routes: if list("routes") { values::prefixes(section, "routes", findings) } else { before.routes },
        egress_addresses: match list("egress_addresses") {
            true => values::addresses(section, "egress_addresses", findings),
            false => before.egress_addresses,
        },
        egress_proxy: flag(section, "egress_proxy", before.egress_proxy),
        latency_ms: values::number(section, "latency_ms").or(before.latency_ms),
        at: section.spot(),
    }
}

pub(super) fn application_security_group(
    section: &Section,
    topology: &mut Topology,
    written: &mut Written,
    findings: &mut Findings,
) {
    let groups = &mut topology.application_security_groups;
    written.slot(groups, text(section, "name"), section, findings).at = section.spot();
}

pub(super) fn firewall(section: &Section, topology: &mut Topology, written: &mut Written, findings: &mut Findings) {
    let name = maybe_text(section, "name").unwrap_or_else(|| only_name(&topology.firewalls, |it| &it.name, "firewall"));
    let firewall = written.slot(&mut topology.firewalls, name, section, findings);
    firewall.at = section.spot();
    if let Some(network) = maybe_text(section, "vnet") {
        firewall.virtual_network = network;
    }
    let usual = if firewall.subnet.is_empty() { FIREWALL_SUBNET.to_owned() } else { firewall.subnet.clone() };
    firewall.subnet = maybe_text(section, "subnet").unwrap_or(usual);
    if section.has("private_address") {
        firewall.private_address = values::address(section, "private_address", findings);
    }
    if section.has("public_addresses") {
        firewall.public_addresses = values::addresses(section, "public_addresses", findings);
    }
}

/// What is imported, where there is one and the file does not say which it means.
pub(super) fn only_name<T>(known: &[T], name: impl Fn(&T) -> &String, usual: &str) -> String {
    match known {
        [one] => name(one).clone(),
        _ => usual.to_owned(),
    }
}

pub(super) fn interface(section: &Section, topology: &mut Topology, written: &mut Written, findings: &mut Findings) {
    let interface = written.slot(&mut topology.interfaces, text(section, "name"), section, findings);
    interface.at = section.spot();
    if let Some(network) = maybe_text(section, "vnet") {
        interface.virtual_network = network;
    }
    if let Some(subnet) = maybe_text(section, "subnet") {
        interface.subnet = subnet;
    }
    require(section, "subnet", !interface.subnet.is_empty(), findings);
    if section.has("addresses") {
        interface.addresses = values::addresses(section, "addresses", findings);
    }
    require(section, "addresses", !interface.addresses.is_empty(), findings);
    if section.has("public_addresses") {
        interface.public_addresses = values::addresses(section, "public_addresses", findings);
    }
    if section.has("nsg") {
        interface.security_group = maybe_text(section, "nsg");
    }
    if section.has("asgs") {
        interface.application_security_groups = texts(section, "asgs");
    }
}

pub(super) fn dns_zone(section: &Section, topology: &mut Topology, written: &mut Written, findings: &mut Findings) {
    let zone = written.slot(&mut topology.dns_zones, text(section, "name"), section, findings);
    zone.at = section.spot();
    if section.has("vnets") {
        zone.virtual_networks = texts(section, "vnets");
    }
    let mut records = Vec::new();
    for section in section.tables("record", findings) {
        let name = text(&section, "name");
        let addresses = values::addresses(&section, "addresses", findings);
        records.extend(addresses.into_iter().map(|address| (name.clone(), address)));
    }
    let own: HashSet<String> = records.iter().map(|(name, _)| name.to_lowercase()).collect();
    zone.records.retain(|(name, _)| !own.contains(&name.to_lowercase()));
    zone.records.extend(records);
}
