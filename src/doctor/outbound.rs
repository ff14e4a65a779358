//! What the security group lets out, and for two ports the firewall (`OUT-…`).
//!
//! An environment of version 3 has no dependencies of the platform's own in the customer's network: none of these is
//! asked of one.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::allowlist::{EndpointHost, Kind, lists};
use crate::flow::{AddrClass, Host, PortRange, PortSet, Protocol};
use crate::policy::{Action, AddressRange, AddressSet, IpProtocols, NetworkRule};
use crate::vnet::{
    AseVersion, Because, Change, EPHEMERAL, FlowDirection, HOST, Hop, NetFlow, NetworkSecurityGroup, NextHop, Prefix,
    RouteDestination, SecurityProtocol, SecurityRule, Selection, Transport,
};

use super::Patient;
use super::filter::{Filtered, Needed, Opening, decider, finding, listed};
use super::finding::{BEFORE_V3, Coverage, Finding, Outcome, Rule, Severity, rules};
use super::gate::Gate;
use super::inbound::within;
use super::ways::{self, Stretch, Ways};
use super::words::some;

rules! {
    /// In the order of `docs/doctor.md`.
    RULES:

    OUT_SELF = "OUT-SELF", Suspended, BEFORE_V3, [NETWORKING, NETWORKING_2017],
        "the environment's own machines are not let out to each other",
        "The machines of an environment talk to each other on ports that change. Security groups filter traffic within a \
         subnet too, on its way out as on its way in; and a route for the subnet, or for its network, that does not lead to \
         VnetLocal takes it away." => itself;

    OUT_DNS = "OUT-DNS", Suspended, BEFORE_V3, [NETWORKING, SECURITY_GROUPS, NETWORKING_2017],
        "names cannot be resolved",
        "The platform resolves the names of its dependencies over UDP 53. Azure's own DNS passes every security group but \
         for rules that name the tag AzurePlatformDNS; one that denies it leaves nothing to resolve with." => dns, cuts AzureDns;

    OUT_NTP = "OUT-NTP", Suspended, BEFORE_V3, [NETWORKING, FIREWALL],
        "clocks cannot be set",
        "The machines of an environment set their clocks over UDP 123, at addresses that are not published. Where a \
         firewall takes what leaves, it needs a network rule: a security group that lets it out is not enough." => ntp, cuts TimeServers;

    OUT_WEB = "OUT-WEB", Suspended, BEFORE_V3, [NETWORKING, NETWORKING_2017, ISSUE_80],
        "dependencies over HTTP and HTTPS are not let out",
        "Azure's management, Storage, certificate revocation lists, updates and monitoring are reached over TCP 80 and \
         443 under names whose addresses change: nothing narrower than everything is enough in a security group. What of \
         it is allowed is for the firewall to say." => web, cuts Web;

    OUT_SQL = "OUT-SQL", Suspended, BEFORE_V3, [NETWORKING, NETWORKING_2017, EXPRESS_ROUTE_V1],
        "the environment's own database is not let out to",
        "An environment keeps its state in an Azure SQL database, reached over TCP 1433. Documents until 2017 also name \
         the ports 11000-11999 and 14000-14999, by which clients inside Azure are redirected; later ones do not." => sql, cuts Sql;

    OUT_12000 = "OUT-12000", Degraded, BEFORE_V3, [FIREWALL, NETWORKING],
        "monitoring over port 12000 is not let out",
        "Some system traffic for triage uses TCP 12000. Without it the environment works, and is harder to repair." => triage;

    OUT_445 = "OUT-445", Advice, BEFORE_V3, [NETWORKING_2017, ISSUE_445],
        "port 445 to Storage is closed",
        "Environments of version 1 mount Storage over TCP 445. Version 2 does not need it as documented; somebody reported \
         that scaling failed until it was open." => files;

    OUT_NSG_PIN = "OUT-NSG-PIN", Advice, BEFORE_V3, [FIREWALL_2018],
        "a security rule lists addresses that names resolved to",
        "The dependencies are names without static addresses, which change too often for a security group to follow. \
         Let out everything on the port, and let a firewall filter by name." => pinned;
}

fn itself(patient: &Patient<'_>) -> Outcome {
    let filtered = within(patient, &OUT_SELF, FlowDirection::Outbound);
    filtered.findings().iter().cloned().chain(led_away(patient)).collect::<Vec<_>>().into()
}

/// What a route takes out of the network between two machines of the subnet.
fn led_away(patient: &Patient<'_>) -> Option<Finding> {
    let ways = Ways::of(patient);
    let stretches = patient.own_ranges().flat_map(|range| ways.stretches(range));
    let astray: Vec<Stretch<'_>> = stretches.filter(|stretch| *stretch.hop() != Hop::VnetLocal).collect();
    let way = &astray.first()?.way;
    let subnet = patient.network.subnet(patient.place);
    let what = format!("what its machines send to each other goes to {}", way.route.next_hop);
    let finding = Finding::new(&OUT_SELF, way.route.at, &subnet.name, what).because(ways::shown(way), way.route.at);
    let finding = astray.iter().fold(finding, |it, stretch| it.covers(Coverage::Missing, stretch.range.to_string()));
    Some(kept_inside(patient, &astray).into_iter().fold(finding, Finding::mend))
}

/// Routes as narrow as the subnet are taken out; others are beaten by one for the subnet.
fn kept_inside(patient: &Patient<'_>, astray: &[Stretch<'_>]) -> Vec<Change> {
    let is_narrow = |way: &Selection<'_>| patient.own_nets().any(|net| net.contains(&way.prefix));
    let (narrow, wide): (Vec<_>, Vec<_>) = astray.iter().map(|stretch| &stretch.way).partition(|way| is_narrow(way));
    let mut changes: Vec<Change> = Vec::new();
    for removal in narrow.into_iter().filter_map(ways::remove_route) {
        if !changes.contains(&removal) {
            changes.push(removal);
        }
    }
    let local = |net: IpNet| (format!("itself-{}", net.addr()), RouteDestination::Net(net), NextHop::VnetLocal);
    let routes = if wide.is_empty() { Vec::new() } else { patient.own_nets().map(local).collect() };
    changes.into_iter().chain(ways::add_routes(patient, routes)).collect()
}

/// A port, or a few, that have to be open.
struct Dependency<'a> {
    rule: &'static Rule,
    transport: Transport,
    ports: &'a [PortRange],
    /// Published service tag; None: any address.
    tag: Option<&'static str>,
    /// What it is, as the finding says it.
    name: &'static str,
}

impl Dependency<'_> {
    fn remote(&self, patient: &Patient<'_>) -> Vec<AddressRange> {
        let ranges = match self.tag {
            Some(tag) => patient.network.tag_ranges(patient.place, tag),
            None => patient.network.tag_ranges(patient.place, "Internet"),
        };
        ranges.into_iter().filter(|range| range.first().is_ipv4()).collect()
    }

    /// By the security group. Where it is closed to some addresses only, whatever resolves to one of them is lost, and
    /// nobody knows what that is.
    fn look(&self, patient: &Patient<'_>) -> Option<Finding> {
        self.look_as(0, patient)
    }

    /// As the `nth` of several for one rule, so that the rules that open them are several too.
    fn look_as(&self, nth: usize, patient: &Patient<'_>) -> Option<Finding> {
        let Dependency { rule, transport, ports, tag, name } = self;
        let remote = self.remote(patient);
        let needed = Needed { direction: FlowDirection::Outbound, transports: &[*transport], ports, remote: &remote };
        let passage = Filtered::of(patient, &needed);
        let whom = tag.map_or("any address".to_owned(), |tag| format!("the tag {tag}"));
        let packets = format!("{} {} ({name})", super::filter::name(*transport), listed(ports));
        let (what, severity) = match passage.coverage() {
            Coverage::Covered => return None,
            Coverage::Partly if self.is_mostly_closed(patient) => {
                (format!("{packets} is not let out to most of {whom}"), rule.severity)
            }
            Coverage::Partly => {
                (format!("{packets} is not let out to all of {whom}"), rule.severity.min(Severity::Unhealthy))
            }
            Coverage::Missing => (format!("{packets} is not let out to {whom}"), rule.severity),
        };
        let found = passage.explain(patient, finding(patient, rule, what)).graded(severity);
        Some(self.opening().numbered(nth).mend(patient, &passage.blocks, found))
    }

    /// One of the ports, to more than half of the Internet: as good as closed.
    fn is_mostly_closed(&self, patient: &Patient<'_>) -> bool {
        let Some(source) = own_address(patient).filter(|_| self.tag.is_none()) else { return false };
        let asked: Vec<IpAddr> = anywhere().collect();
        let is_open = |destination: IpAddr, destination_port: u16| {
            let transport = self.transport;
            let flow = NetFlow { transport, source, source_port: EPHEMERAL, destination, destination_port };
            patient.network.security(patient.place, FlowDirection::Outbound, &flow).is_allowed()
        };
        let open = |port: &PortRange| asked.iter().filter(|address| is_open(**address, port.first())).count();
        self.ports.iter().any(|port| 2 * open(port) < asked.len())
    }

    fn opening(&self) -> Opening<'_> {
        let remote = vec![self.tag.map_or(Prefix::Any, |tag| Prefix::Tag(tag.to_owned()))];
        let protocol = match self.transport {
            Transport::Udp => SecurityProtocol::Udp,
            _ => SecurityProtocol::Tcp,
        };
        Opening { rule: self.rule, nth: 0, direction: FlowDirection::Outbound, protocol, remote, ports: self.ports }
    }
}

fn dns(patient: &Patient<'_>) -> Outcome {
    let port = [PortRange::single(53)];
    let dependency = Dependency { rule: &OUT_DNS, transport: Transport::Udp, ports: &port, tag: None, name: "DNS" };
    azure_dns(patient).into_iter().chain(dependency.look(patient)).collect::<Vec<_>>().into()
}

/// Azure's own, which is exempt but for rules that name its tag. Where others are to be asked, `DNS-AZURE` says it.
fn azure_dns(patient: &Patient<'_>) -> Option<Finding> {
    if !patient.network.virtual_network(patient.place).dns_servers.is_empty() {
        return None;
    }
    let source = own_address(patient)?;
    let flow =
        |transport| NetFlow { transport, source, source_port: EPHEMERAL, destination: HOST, destination_port: 53 };
    let decided = [Transport::Udp, Transport::Tcp]
        .map(|transport| patient.network.security(patient.place, FlowDirection::Outbound, &flow(transport)));
    let denied = decided.into_iter().find(|decision| !decision.is_allowed())?;
    let (what, at) = decider(patient, &denied.because);
    let found = finding(patient, &OUT_DNS, format!("{what} denies Azure DNS at {HOST}")).because(what, at);
    Some(match denied.because {
        Because::Rule { group, rule, is_default: false, .. } => {
            found.mend(Change::RemoveSecurityRule { group: group.to_owned(), rule: rule.to_owned() })
        }
        _ => found,
    })
}

fn ntp(patient: &Patient<'_>) -> Outcome {
    let port = [PortRange::single(123)];
    let dependency = Dependency { rule: &OUT_NTP, transport: Transport::Udp, ports: &port, tag: None, name: "NTP" };
    dependency
        .look(patient)
        .into_iter()
        .chain(by_firewall(patient, &dependency, Protocol::Udp, 123))
        .collect::<Vec<_>>()
        .into()
}

fn triage(patient: &Patient<'_>) -> Outcome {
    let port = [PortRange::single(12000)];
    let dependency =
        Dependency { rule: &OUT_12000, transport: Transport::Tcp, ports: &port, tag: None, name: "monitoring" };
    dependency
        .look(patient)
        .into_iter()
        .chain(by_firewall(patient, &dependency, Protocol::Tcp, 12000))
        .collect::<Vec<_>>()
        .into()
}

/// What the firewall says of it, where it takes what leaves. Asked of some addresses all over the Internet: none is
/// published, so that a rule for less than all of them is not enough.
fn by_firewall(patient: &Patient<'_>, dependency: &Dependency<'_>, protocol: Protocol, port: u16) -> Option<Finding> {
    let gate = Gate::of(patient).ok()?;
    let asked: Vec<IpAddr> = anywhere().collect();
    let closed = asked.iter().filter(|address| !gate.ask(&Host::Addr(**address), protocol, port).is_open()).count();
    let severity = match closed {
        0 => return None,
        some if some < asked.len() => dependency.rule.severity.min(Severity::Unhealthy),
        _ => dependency.rule.severity,
    };
    let (policy, at) = gate.name();
    let name = super::filter::name(dependency.transport);
    let what = format!(
        "{name} {port} ({}) has no network rule of {policy} to any address: {closed} of {} that were asked are denied",
        dependency.name,
        asked.len()
    );
    let found = Finding::new(dependency.rule, at, policy, what).graded(severity);
    Some(found.mend(Change::NetworkRule(network_rule(patient, dependency, port))))
}

fn network_rule(patient: &Patient<'_>, dependency: &Dependency<'_>, port: u16) -> NetworkRule {
    let mut sources = AddressSet::default();
    patient.own_ranges().for_each(|range| sources.insert(range));
    let protocols = match dependency.transport {
        Transport::Udp => IpProtocols { udp: true, ..IpProtocols::default() },
        _ => IpProtocols { tcp: true, ..IpProtocols::default() },
    };
    NetworkRule {
        name: format!("egret-{}", dependency.rule.id),
        sources,
        protocols,
        destinations: AddressSet::any(),
        ports: PortSet::from_iter([PortRange::single(port)]),
        ..NetworkRule::default()
    }
}

/// Public addresses that have nothing in common.
pub(super) fn anywhere() -> impl Iterator<Item = IpAddr> {
    (3..=223_u8)
        .step_by(11)
        .map(|first| IpAddr::from([first, 77, first, 77]))
        .filter(|it| AddrClass::of(*it) == AddrClass::Global)
}

fn web(patient: &Patient<'_>) -> Outcome {
    let ports = [80, 443].map(PortRange::single);
    let dependency =
        Dependency { rule: &OUT_WEB, transport: Transport::Tcp, ports: &ports, tag: None, name: "HTTP and HTTPS" };
    dependency.look(patient).into()
}

fn sql(patient: &Patient<'_>) -> Outcome {
    if patient.network.tags().published("Sql").is_none() {
        return Outcome::not_applicable("the prefixes of the service tag Sql are not at hand for this cloud");
    }
    let needed = [PortRange::single(1433)];
    let redirected = [PortRange::between(11000, 11999), PortRange::between(14000, 14999)];
    let dependency = Dependency {
        rule: &OUT_SQL,
        transport: Transport::Tcp,
        ports: &needed,
        tag: Some("Sql"),
        name: "the environment's own database",
    };
    let redirects = Dependency {
        ports: &redirected,
        name: "redirected connections to Azure SQL, as documented until 2017",
        ..dependency
    };
    let found = dependency.look(patient);
    found.or_else(|| redirects.look_as(1, patient).map(|found| found.graded(Severity::Advice))).into()
}

/// Of version 1 it is a dependency like any other.
fn files(patient: &Patient<'_>) -> Outcome {
    if patient.network.tags().published("Storage").is_none() {
        return Outcome::not_applicable("the prefixes of the service tag Storage are not at hand for this cloud");
    }
    let port = [PortRange::single(445)];
    let dependency = Dependency {
        rule: &OUT_445,
        transport: Transport::Tcp,
        ports: &port,
        tag: Some("Storage"),
        name: "file shares",
    };
    let severity = match patient.environment.version {
        AseVersion::V1 => Severity::Suspended,
        AseVersion::V2 | AseVersion::V3 => OUT_445.severity,
    };
    dependency.look(patient).map(|found| found.graded(severity)).into()
}

fn pinned(patient: &Patient<'_>) -> Outcome {
    let Some(group) = patient.network.security_group_of(patient.place) else {
        return Outcome::not_applicable("the subnet has no security group");
    };
    let rules =
        group.rules.iter().filter(|rule| rule.direction == FlowDirection::Outbound && rule.access == Action::Allow);
    rules.filter_map(|rule| pins(patient, group, rule)).collect::<Vec<_>>().into()
}

/// Single public addresses for HTTP or HTTPS, but for those that are published as addresses.
fn pins(patient: &Patient<'_>, group: &NetworkSecurityGroup, rule: &SecurityRule) -> Option<Finding> {
    let has_port = |port: u16| rule.destination.ports.iter().any(|range| range.contains(port));
    if !(has_port(80) || has_port(443)) || rule.destination.prefixes.contains(&Prefix::Any) {
        return None;
    }
    let nets = rule.destination.prefixes.iter().filter_map(|prefix| match prefix {
        Prefix::Net(net) if is_pin(patient, *net) => Some(net.addr()),
        _ => None,
    });
    let pins: Vec<IpAddr> = nets.collect();
    if pins.is_empty() {
        return None;
    }
    let subject = format!("{}/{}", group.name, rule.name);
    let what = format!("{subject} lets out to {} alone, and dependencies have no addresses that last", some(&pins));
    let found = Finding::new(&OUT_NSG_PIN, rule.at, subject, what)
        .because(format!("security rule {}/{} ({})", group.name, rule.name, rule.priority), rule.at);
    Some(found.by_hand("let out everything on these ports, and let the firewall filter by name"))
}

fn is_pin(patient: &Patient<'_>, net: IpNet) -> bool {
    let address = net.addr();
    net.prefix_len() == net.max_prefix_len()
        && AddrClass::of(address) == AddrClass::Global
        && !patient.network.tag_holds(patient.place, "VirtualNetwork", address)
        && !is_published(address)
}

/// One of the dependencies that are addresses and have no names.
fn is_published(address: IpAddr) -> bool {
    let published = lists().iter().filter(|list| list.kind == Kind::Ip).flat_map(|list| list.endpoints());
    published.into_iter().any(|(_, endpoint)| endpoint.host == EndpointHost::Addr(address))
}

/// The first that Azure gives to anybody.
fn own_address(patient: &Patient<'_>) -> Option<IpAddr> {
    patient.network.subnet(patient.place).usable().next().map(|range| range.first())
}
