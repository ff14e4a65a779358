//! A topology as a `vnet.toml` that is read back into the same.

use std::net::IpAddr;

use crate::config::topology::values::{
    ACCESS, ASE_VERSIONS, CLOUDS, DIRECTIONS, GATEWAY_KINDS, ILB_MODES, NONE_ROUTES, PROTOCOLS, VIRTUAL_NETWORK_TAGS,
};
use crate::config::values::Words;
use crate::flow::{Host, PortRange};
use crate::vnet::{
    AppAddress, AppDependency, AppServiceEnvironment, DnsZone, Firewall, Gateway, NetworkInterface,
    NetworkSecurityGroup, NextHop, Peering, Prefix, RouteDestination, RouteTable, RuleSide, SecurityRule, SqlDatabase,
    Subnet, Topology, TopologySwitches, VirtualNetwork,
};

use super::page::Page;

/// Writes all of a topology. `policies` are the firewall's: names of files beside this one, or built-in names.
pub fn to_vnet_toml(topology: &Topology, policies: &[String]) -> String {
    let Topology {
        name,
        cloud,
        subscription,
        resource_group,
        location,
        virtual_networks,
        security_groups,
        application_security_groups,
        route_tables,
        interfaces,
        firewalls,
        environments,
        dns_zones,
        switches,
        at: _,
    } = topology;
    let mut page = Page::default();
    page.text("name", unusual(name.as_str()));
    page.text("cloud", unusual(*cloud).map(|it| word(CLOUDS, it)));
    page.text("location", unusual(location.as_str()));
    page.text("subscription", unusual(subscription.as_str()));
    page.text("resource_group", unusual(resource_group.as_str()));
    let TopologySwitches { virtual_network_tag, none_routes } = *switches;
    page.text("virtual_network_tag", unusual(virtual_network_tag).map(|it| word(VIRTUAL_NETWORK_TAGS, it)));
    page.text("none_routes", unusual(none_routes).map(|it| word(NONE_ROUTES, it)));
    virtual_networks.iter().for_each(|it| network(it, &mut page));
    security_groups.iter().for_each(|it| security_group(it, &mut page));
    for group in application_security_groups {
        page.tables("asg");
        page.text("name", Some(&group.name));
    }
    route_tables.iter().for_each(|it| route_table(it, &mut page));
    firewalls.iter().for_each(|it| firewall(it, policies, &mut page));
    interfaces.iter().for_each(|it| interface(it, &mut page));
    environments.iter().for_each(|it| environment(it, &mut page));
    dns_zones.iter().for_each(|it| dns_zone(it, &mut page));
    page.finish()
}

/// None where it is what nobody has to write.
fn unusual<T: PartialEq + Default>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

/// The word that is read as the value.
fn word<T: PartialEq + Copy>(words: Words<T>, value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

fn shown<T: ToString>(items: &[T]) -> impl Iterator<Item = String> + '_ {
    items.iter().map(ToString::to_string)
}

fn address(address: Option<IpAddr>) -> Option<String> {
    address.map(|address| address.to_string())
}

fn network(network: &VirtualNetwork, page: &mut Page) {
    let VirtualNetwork { name, address_space, dns_servers, subnets, peerings, gateway, at: _ } = network;
    page.tables("vnet");
    page.text("name", Some(name));
    page.list("address_space", shown(address_space));
    page.list("dns_servers", shown(dns_servers));
    subnets.iter().for_each(|it| subnet(it, page));
    peerings.iter().for_each(|it| peering(it, page));
    gateway.iter().for_each(|it| self::gateway(it, page));
}

fn subnet(subnet: &Subnet, page: &mut Page) {
    let Subnet { name, prefixes, security_group, route_table, service_endpoints, delegations, occupants, at: _ } =
        subnet;
    page.tables("vnet.subnet");
    page.text("name", Some(name));
    page.list("prefix", shown(prefixes));
    page.text("nsg", security_group.as_deref());
    page.text("route_table", route_table.as_deref());
    page.list("service_endpoints", service_endpoints.iter().cloned());
    page.list("delegation", delegations.iter().cloned());
    page.list("occupants", occupants.iter().cloned());
}

fn peering(peering: &Peering, page: &mut Page) {
    let Peering {
        name,
        remote,
        remote_space,
        global,
        allow_virtual_network_access,
        allow_forwarded_traffic,
        allow_gateway_transit,
        use_remote_gateways,
        at: _,
    } = peering;
    page.tables("vnet.peering");
    page.text("name", Some(name));
    page.text("remote", Some(remote));
    page.list("remote_space", shown(remote_space));
    page.flag("global", unusual(*global));
    page.flag("allow_virtual_network_access", (!allow_virtual_network_access).then_some(false));
    page.flag("allow_forwarded_traffic", unusual(*allow_forwarded_traffic));
    page.flag("allow_gateway_transit", unusual(*allow_gateway_transit));
    page.flag("use_remote_gateways", unusual(*use_remote_gateways));
}

fn gateway(gateway: &Gateway, page: &mut Page) {
    let Gateway { name, kind, routes, egress_addresses, egress_proxy, latency_ms, at: _ } = gateway;
    page.table("vnet.gateway");
    page.text("name", Some(name));
    page.text("kind", Some(word(GATEWAY_KINDS, *kind)));
    page.list("routes", shown(routes));
    page.list("egress_addresses", shown(egress_addresses));
    page.flag("egress_proxy", unusual(*egress_proxy));
    latency_ms.iter().for_each(|latency| page.raw("latency_ms", &latency.to_string()));
}

fn security_group(group: &NetworkSecurityGroup, page: &mut Page) {
    page.tables("nsg");
    page.text("name", Some(&group.name));
    group.rules.iter().for_each(|it| security_rule(it, page));
}

fn security_rule(rule: &SecurityRule, page: &mut Page) {
    let SecurityRule { name, priority, direction, access, protocol, source, destination, at: _ } = rule;
    page.tables("nsg.rule");
    page.text("name", Some(name));
    page.number("priority", Some(*priority));
    page.text("direction", Some(word(DIRECTIONS, *direction)));
    page.text("access", Some(word(ACCESS, *access)));
    page.text("protocol", Some(word(PROTOCOLS, *protocol)));
    side(source, ["source", "source_asgs", "source_ports"], page);
    side(destination, ["destination", "destination_asgs", "ports"], page);
}

/// What matches nothing is written too: what is left out is everything.
fn side(side: &RuleSide, [addresses, groups, ports_key]: [&str; 3], page: &mut Page) {
    let RuleSide { prefixes, ports, application_security_groups } = side;
    let prefix = |prefix: &Prefix| match prefix {
        Prefix::Any => "*".to_owned(),
        Prefix::Net(net) => net.to_string(),
        Prefix::Tag(tag) => tag.clone(),
    };
    if prefixes.is_empty() && application_security_groups.is_empty() {
        page.raw(addresses, "[]");
    }
    page.list(addresses, prefixes.iter().map(prefix));
    page.list(groups, application_security_groups.iter().cloned());
    match ports.as_slice() {
        [] => page.raw(ports_key, "[]"),
        [PortRange::ANY] => {}
        ports => page.list(ports_key, shown(ports)),
    }
}

fn route_table(table: &RouteTable, page: &mut Page) {
    let RouteTable { name, routes, disable_bgp_route_propagation, at: _ } = table;
    page.tables("route_table");
    page.text("name", Some(name));
    page.flag("disable_bgp_route_propagation", unusual(*disable_bgp_route_propagation));
    for route in routes {
        page.tables("route_table.route");
        page.text("name", Some(&route.name));
        let prefix = match &route.destination {
            RouteDestination::Net(net) => net.to_string(),
            RouteDestination::Tag(tag) => tag.clone(),
        };
        page.text("prefix", Some(&prefix));
        page.text("next_hop", Some(route.next_hop.as_str()));
        if let NextHop::VirtualAppliance(appliance) = route.next_hop {
            page.text("next_hop_address", Some(&appliance.to_string()));
        }
    }
}

fn firewall(firewall: &Firewall, policies: &[String], page: &mut Page) {
    let Firewall { name, virtual_network, subnet, private_address, public_addresses, at: _ } = firewall;
    page.tables("firewall");
    page.text("name", unusual(name.as_str()));
    page.text("vnet", unusual(virtual_network.as_str()));
    page.text("subnet", unusual(subnet.as_str()));
    page.text("private_address", address(*private_address).as_deref());
    page.list("public_addresses", shown(public_addresses));
    page.list("policy", policies.iter().cloned());
}

fn interface(interface: &NetworkInterface, page: &mut Page) {
    let NetworkInterface {
        name,
        virtual_network,
        subnet,
        addresses,
        public_addresses,
        security_group,
        application_security_groups,
        at: _,
    } = interface;
    page.tables("nic");
    page.text("name", Some(name));
    page.text("vnet", unusual(virtual_network.as_str()));
    page.text("subnet", unusual(subnet.as_str()));
    page.list("addresses", shown(addresses));
    page.list("public_addresses", shown(public_addresses));
    page.text("nsg", security_group.as_deref());
    page.list("asgs", application_security_groups.iter().cloned());
}

fn environment(environment: &AppServiceEnvironment, page: &mut Page) {
    page.tables("ase");
    places(environment, page);
    addresses(environment, page);
    clients(environment, page);
    state(environment, page);
    app_addresses(&environment.app_addresses, page);
    app_databases(&environment.app_databases, page);
}

fn places(ase: &AppServiceEnvironment, page: &mut Page) {
    page.text("name", Some(&ase.name));
    page.text("version", Some(word(ASE_VERSIONS, ase.version)));
    page.text("internal_load_balancing_mode", Some(word(ILB_MODES, ase.load_balancing)));
    page.flag("linux", unusual(ase.linux));
    page.text("vnet", unusual(ase.virtual_network.as_str()));
    page.text("subnet", unusual(ase.subnet.as_str()));
    page.text("dns_suffix", unusual(ase.dns_suffix.as_str()));
}

fn addresses(ase: &AppServiceEnvironment, page: &mut Page) {
    page.text("public_address", address(ase.public_address).as_deref());
    page.text("internal_address", address(ase.internal_address).as_deref());
    page.list("outbound_addresses", shown(&ase.outbound_addresses));
    page.list("sql_egress_ranges", shown(&ase.sql_egress_ranges));
}

fn clients(ase: &AppServiceEnvironment, page: &mut Page) {
    page.list("client_ranges", shown(&ase.client_ranges));
    page.list("app_dependencies", ase.app_dependencies.iter().map(dependency));
    page.text("application_gateway", ase.application_gateway.map(|range| range.to_string()).as_deref());
}

fn state(ase: &AppServiceEnvironment, page: &mut Page) {
    let flags = [
        ("ftp", ase.ftp),
        ("remote_debug", ase.remote_debug),
        ("web_deploy", ase.web_deploy),
        ("dns_changed", ase.dns_changed),
        ("restored", ase.restored),
        ("suspended", ase.suspended),
    ];
    flags.into_iter().for_each(|(key, flag)| page.flag(key, unusual(flag)));
    page.list("unresolvable", ase.unresolvable.iter().cloned());
}

fn app_addresses(all: &[AppAddress], page: &mut Page) {
    for AppAddress { address, http_port, https_port } in all {
        page.tables("ase.app_address");
        page.text("address", Some(&address.to_string()));
        page.number("http_port", Some(*http_port));
        page.number("https_port", Some(*https_port));
    }
}

fn app_databases(all: &[SqlDatabase], page: &mut Page) {
    for SqlDatabase { name, virtual_network_rule } in all {
        page.tables("ase.app_database");
        page.text("name", Some(name));
        page.flag("virtual_network_rule", unusual(*virtual_network_rule));
    }
}

/// As targets are written.
fn dependency(app: &AppDependency) -> String {
    let AppDependency { protocol, host, port } = app;
    let host = match host {
        Host::Addr(IpAddr::V6(address)) => format!("[{address}]"),
        host => host.to_string(),
    };
    let port = unusual(*port).map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}", protocol.to_string().to_ascii_lowercase())
}

fn dns_zone(zone: &DnsZone, page: &mut Page) {
    let DnsZone { name, records, virtual_networks, at: _ } = zone;
    page.tables("dns_zone");
    page.text("name", Some(name));
    page.list("vnets", virtual_networks.iter().cloned());
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in records {
        if names.contains(&name.as_str()) {
            continue;
        }
        names.push(name);
        page.tables("dns_zone.record");
        page.text("name", Some(name));
        let of_name = records.iter().filter(|(known, _)| known == name);
        page.list("addresses", of_name.map(|(_, address)| address.to_string()));
    }
}
