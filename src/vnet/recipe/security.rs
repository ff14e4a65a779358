//! The security group of an environment (Networking considerations, 2017 and 2022; for version 3, 2023).

use crate::flow::{Host, PortRange, Protocol};
use crate::policy::{Action, AddressRange, Spot};
use crate::vnet::security::FlowDirection;
use crate::vnet::topology::{Prefix, RuleSide, SecurityProtocol, SecurityRule, Topology};
use crate::vnet::{AppServiceEnvironment, AseVersion, Change, MANAGEMENT_PORTS, WEB_DEPLOY_PORT, ftp_ports};

use super::RecipeError;
use super::beside::Beside;

/// What becomes of all else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rest {
    /// Azure's own last rules decide: the network's own addresses may, and everything out to the Internet.
    #[default]
    Default,
    /// A last rule denies it, in both directions.
    Deny,
}

#[derive(Debug, Clone, Default)]
pub struct SecurityRecipe {
    /// Empty: the environment's name with `-nsg`.
    pub group: String,
    pub rest: Rest,
}

pub(super) const FIRST: u16 = 100;
pub(super) const LAST: u16 = 4096;

/// The rules and the group's place.
pub fn security(
    topology: &Topology,
    environment: &AppServiceEnvironment,
    recipe: &SecurityRecipe,
) -> Result<Vec<Change>, RecipeError> {
    let network = topology.virtual_network(&environment.virtual_network);
    let subnet = network.and_then(|network| network.subnet(&environment.subnet));
    let subnet = subnet.filter(|subnet| !subnet.prefixes.is_empty());
    let subnet = subnet.ok_or_else(|| RecipeError::NoSubnet(environment.name.clone()))?;
    let own: Vec<Prefix> = subnet.prefixes.iter().copied().map(Prefix::Net).collect();
    let mut rules = inbound(environment, &own);
    rules.extend(outbound(environment, &own, recipe.rest));
    if recipe.rest == Rest::Deny {
        rules.push(last("deny-inbound", FlowDirection::Inbound));
        rules.push(last("deny-outbound", FlowDirection::Outbound));
    }
    let group = match recipe.group.as_str() {
        "" => format!("{}-nsg", environment.name),
        name => name.to_owned(),
    };
    let there = topology.security_group(&group).map(|group| group.rules.as_slice()).unwrap_or_default();
    let space = network.map(|network| network.address_space.as_slice()).unwrap_or_default();
    let rules = Beside { there, space }.placed(rules)?;
    let mut changes: Vec<Change> =
        rules.into_iter().map(|rule| Change::SecurityRule { group: group.clone(), rule }).collect();
    changes.push(Change::SubnetSecurityGroup {
        network: environment.virtual_network.clone(),
        subnet: environment.subnet.clone(),
        group,
    });
    Ok(changes)
}

fn last(name: &str, direction: FlowDirection) -> SecurityRule {
    let any = || vec![Prefix::Any];
    let rule = allow(name, direction, SecurityProtocol::Any, any(), any(), vec![PortRange::ANY]);
    SecurityRule { priority: LAST, access: Action::Deny, ..rule }
}

fn allow(
    name: &str,
    direction: FlowDirection,
    protocol: SecurityProtocol,
    from: Vec<Prefix>,
    to: Vec<Prefix>,
    ports: Vec<PortRange>,
) -> SecurityRule {
    let end = |prefixes, ports| RuleSide { prefixes, ports, application_security_groups: Vec::new() };
    SecurityRule {
        name: name.to_owned(),
        priority: FIRST,
        direction,
        access: Action::Allow,
        protocol,
        source: end(from, vec![PortRange::ANY]),
        destination: end(to, ports),
        at: Spot::nowhere(),
    }
}

/// TCP from somewhere to the subnet.
fn inwards(name: &str, from: Vec<Prefix>, own: &[Prefix], ports: Vec<PortRange>) -> SecurityRule {
    allow(name, FlowDirection::Inbound, SecurityProtocol::Tcp, from, own.to_vec(), ports)
}

fn tag(name: &str) -> Vec<Prefix> {
    vec![Prefix::Tag(name.to_owned())]
}

fn single(ports: &[u16]) -> Vec<PortRange> {
    ports.iter().copied().map(PortRange::single).collect()
}

fn nets(ranges: &[AddressRange]) -> Vec<Prefix> {
    ranges.iter().flat_map(|range| range.nets()).map(Prefix::Net).collect()
}

fn inbound(environment: &AppServiceEnvironment, own: &[Prefix]) -> Vec<SecurityRule> {
    let [first, last] = MANAGEMENT_PORTS;
    let mut rules = match environment.version {
        AseVersion::V3 => vec![
            inwards("load-balancer", tag("AzureLoadBalancer"), own, single(&[80])),
            inwards("network", tag("VirtualNetwork"), own, single(&[80, 443])),
        ],
        AseVersion::V1 | AseVersion::V2 => vec![
            inwards("management", tag("AppServiceManagement"), own, vec![PortRange::between(first, last)]),
            // One document's table names 16001 alone, its text the two of management too.
            inwards("load-balancer", tag("AzureLoadBalancer"), own, single(&[first, last, 16001])),
        ],
    };
    rules.push(within("within-in", FlowDirection::Inbound, own));
    rules.push(inwards("http", clients(environment), own, single(&[80, 443])));
    features(environment, own, &mut rules);
    app_addresses(environment, own, &mut rules);
    rules
}

fn within(name: &str, direction: FlowDirection, own: &[Prefix]) -> SecurityRule {
    allow(name, direction, SecurityProtocol::Any, own.to_vec(), own.to_vec(), vec![PortRange::ANY])
}

/// Where the apps are asked from.
fn clients(environment: &AppServiceEnvironment) -> Vec<Prefix> {
    let mut ranges = environment.client_ranges.clone();
    ranges.extend(environment.application_gateway.filter(|_| !ranges.is_empty()));
    if ranges.is_empty() { vec![Prefix::Any] } else { nets(&ranges) }
}

fn features(environment: &AppServiceEnvironment, own: &[Prefix], rules: &mut Vec<SecurityRule>) {
    let from = clients(environment);
    if environment.ftp {
        rules.push(inwards("ftp", from.clone(), own, ftp_ports()));
        if environment.version == AseVersion::V3 {
            rules.push(inwards("load-balancer-ftp", tag("AzureLoadBalancer"), own, single(&[21])));
        }
    }
    if environment.remote_debug {
        rules.push(inwards("remote-debug", from.clone(), own, single(environment.version.remote_debug_ports())));
    }
    if environment.web_deploy {
        rules.push(inwards("web-deploy", from, own, single(&[WEB_DEPLOY_PORT])));
    }
}

/// The pair of ports of each address that is one app's own.
fn app_addresses(environment: &AppServiceEnvironment, own: &[Prefix], rules: &mut Vec<SecurityRule>) {
    if environment.app_addresses.is_empty() {
        return;
    }
    let pairs = environment.app_addresses.iter().flat_map(|app| [app.http_port, app.https_port]);
    let ports: Vec<PortRange> = pairs.map(PortRange::single).collect();
    let mut from = clients(environment);
    if !from.contains(&Prefix::Any) {
        from.extend(environment.app_addresses.iter().map(|app| Prefix::Net(app.address.into())));
    }
    rules.push(inwards("app-addresses", from, own, ports.clone()));
    rules.push(inwards("load-balancer-app-addresses", tag("AzureLoadBalancer"), own, ports));
}

fn outbound(environment: &AppServiceEnvironment, own: &[Prefix], rest: Rest) -> Vec<SecurityRule> {
    let out = |name: &str, protocol, to: Vec<Prefix>, ports| {
        allow(name, FlowDirection::Outbound, protocol, own.to_vec(), to, ports)
    };
    let (tcp, udp, any) = (SecurityProtocol::Tcp, SecurityProtocol::Udp, || vec![Prefix::Any]);
    let mut rules = Vec::new();
    // The platform of version 3 asks nothing of the network; what apps resolve and reach is theirs.
    let is_v3 = environment.version == AseVersion::V3;
    if !is_v3 || rest == Rest::Deny {
        rules.push(out("dns", udp, any(), single(&[53])));
    }
    if !is_v3 {
        // Ports beside 1433 are named by the older document alone: where the gateway redirects, they are used.
        let sql = vec![PortRange::single(1433), PortRange::between(11_000, 11_999), PortRange::between(14_000, 14_999)];
        rules.push(out("ntp", udp, any(), single(&[123])));
        rules.push(out("web", tcp, any(), single(&[80, 443])));
        rules.push(out("sql", tcp, tag("Sql"), sql));
        rules.push(out("monitoring", tcp, any(), single(&[12_000])));
    }
    if environment.version == AseVersion::V1 {
        rules.push(out("storage-files", tcp, any(), single(&[445])));
    }
    rules.push(within("within-out", FlowDirection::Outbound, own));
    for (name, protocol, of) in [("app-dependencies-tcp", tcp, Side::Tcp), ("app-dependencies-udp", udp, Side::Udp)] {
        let (to, ports) = app_dependencies(environment, of);
        if !ports.is_empty() {
            rules.push(out(name, protocol, to, ports));
        }
    }
    rules
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Tcp,
    Udp,
}

/// Where what the apps need is: addresses where all are known by them. Names have no address that a rule could hold.
fn app_dependencies(environment: &AppServiceEnvironment, of: Side) -> (Vec<Prefix>, Vec<PortRange>) {
    let side = |protocol| if protocol == Protocol::Udp { Side::Udp } else { Side::Tcp };
    let needed: Vec<_> = environment.app_dependencies.iter().filter(|it| side(it.protocol) == of).collect();
    let address = |host: &Host| match host {
        Host::Addr(address) => Some(Prefix::Net((*address).into())),
        Host::Name(_) => None,
    };
    let addresses: Option<Vec<Prefix>> = needed.iter().map(|it| address(&it.host)).collect();
    let mut ports: Vec<u16> = needed.iter().map(|it| it.port).collect();
    ports.sort_unstable();
    ports.dedup();
    (addresses.unwrap_or_else(|| vec![Prefix::Any]), single(&ports))
}
