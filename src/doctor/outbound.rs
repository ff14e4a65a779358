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
    AseVersion, Because, Change, EPHEMERAL, FlowDirection, HOST, Hop, NetFlow, Network, NetworkSecurityGroup, NextHop,
    Prefix, RouteDestination, SecurityProtocol, SecurityRule, Selection, Transport,
};

use super::Patient;
use super::dns::servers;
use super::filter::{Filtered, Needed, Opening, decider, finding, listed};
use super::finding::{BEFORE_V3, Coverage, Finding, Outcome, Rule, Severity, rules};
use super::gate::{Gate, Passage};
use super::inbound::within;
use super::spans;
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
         443 under names whose addresses change: nothing narrower than everything is enough in a security group. Where part \
         of it is closed, it costs what is known to be there: Entra ID, Resource Manager, Event Hubs and Storage as much as \
         everything, Azure Monitor less. Less than a /16 of addresses that are nobody's may be closed on purpose. What of it \
         is allowed is for the firewall to say." => web, cuts Web;

    OUT_SQL = "OUT-SQL", Suspended, BEFORE_V3, [NETWORKING, NETWORKING_2017, EXPRESS_ROUTE_V1],
        "the environment's own database is not let out to",
        "An environment keeps its state in an Azure SQL database, reached over TCP 1433. Documents until 2017 also name \
         the ports 11000-11999 and 14000-14999, by which clients inside Azure are redirected; later ones do not. Where the \
         prefixes of the tag Sql are not at hand, a rule with the tag counts, and one for everything." => sql, cuts Sql;

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
         Let out everything on the port, and let a firewall filter by name. Asked where the port is not let out to \
         everything; beside such a rule, one for single addresses harms nobody." => pinned;
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

/// What a part that is closed takes away.
struct Cut {
    /// As in `is not let out to …`
    whom: String,
    severity: Severity,
    /// What has to be opened; any address where that is nothing of its own.
    tags: Vec<&'static str>,
}

/// Services behind the names of the list whose prefixes are published, with what their lack brings.
pub(super) const NEEDED: [(&str, Severity); 5] = [
    ("AzureActiveDirectory", Severity::Suspended),
    ("AzureResourceManager", Severity::Suspended),
    ("EventHub", Severity::Suspended),
    ("Storage", Severity::Suspended),
    ("AzureMonitor", Severity::Degraded),
];

/// A few addresses may be closed on purpose, as a list of bad ones has it, and as routes may drop them: less than a /16.
const MANY: u64 = 1 << 16;

impl Dependency<'_> {
    fn remote(&self, patient: &Patient<'_>) -> Vec<AddressRange> {
        match self.tag {
            Some(tag) => spans::joined(patient.network.tag_ranges(patient.place, tag)),
            None => spans::internet(patient),
        }
    }

    /// By the security group.
    fn look(&self, patient: &Patient<'_>) -> Option<Finding> {
        self.look_as(0, patient)
    }

    /// As the `nth` of several for one rule, so that the rules that open them are several too.
    fn look_as(&self, nth: usize, patient: &Patient<'_>) -> Option<Finding> {
        let Dependency { rule, transport, ports, tag, name } = self;
        let remote = self.remote(patient);
        let needed = Needed { direction: FlowDirection::Outbound, transports: &[*transport], ports, remote: &remote };
        let passage = Filtered::of(patient, &needed);
        let all = || tag.map_or("any address".to_owned(), |tag| format!("the tag {tag}"));
        let cut = match passage.coverage() {
            Coverage::Covered => return None,
            Coverage::Partly => self.cut(patient, &remote, &passage.lost, &all())?,
            Coverage::Missing => Cut { whom: all(), severity: rule.severity, tags: Vec::new() },
        };
        let packets = format!("{} {} ({name})", super::filter::name(*transport), listed(ports));
        let what = format!("{packets} is not let out to {}", cut.whom);
        let found = passage.explain(patient, finding(patient, rule, what)).graded(cut.severity);
        let openings = self.openings(&cut.tags).into_iter().enumerate();
        Some(openings.fold(found, |found, (at, it)| it.numbered(nth + at).mend(patient, &passage.blocks, found)))
    }

    /// What it costs that some addresses are closed. Whatever resolves to one of them is lost, and of most nobody knows
    /// what that is. None for so few that somebody may mean it.
    fn cut(&self, patient: &Patient<'_>, all: &[AddressRange], lost: &[AddressRange], whom: &str) -> Option<Cut> {
        let usual = self.rule.severity;
        if 2 * spans::size(lost) > spans::size(all) {
            return Some(Cut { whom: format!("most of {whom}"), severity: usual, tags: Vec::new() });
        }
        let in_part = usual.min(Severity::Unhealthy);
        if self.tag.is_some() {
            return Some(Cut { whom: format!("all of {whom}"), severity: in_part, tags: Vec::new() });
        }
        self.of_services(patient, lost).or_else(|| {
            let is_much = spans::size(lost) >= MANY;
            is_much.then(|| Cut { whom: format!("all of {whom}"), severity: in_part, tags: Vec::new() })
        })
    }

    /// What of it services are known to be behind.
    fn of_services(&self, patient: &Patient<'_>, lost: &[AddressRange]) -> Option<Cut> {
        let is_asked = self.ports.iter().any(|port| port.contains(443)) && self.transport == Transport::Tcp;
        let services = NEEDED.iter().filter(|_| is_asked).filter_map(|(tag, severity)| {
            let ranges = spans::joined(patient.network.tags().published(tag)?.iter().copied());
            let (missing, whole) = (spans::size(&spans::shared(&ranges, lost)), spans::size(&ranges));
            match 2 * missing > whole {
                _ if missing == 0 => None,
                true => Some((*tag, format!("{}{tag}", if missing < whole { "most of " } else { "" }), *severity)),
                false => Some((*tag, format!("part of {tag}"), (*severity).min(Severity::Unhealthy))),
            }
        });
        let services: Vec<(&str, String, Severity)> = services.collect();
        let severity = services.iter().map(|(_, _, severity)| *severity).max()?.min(self.rule.severity);
        let whom = some(services.iter().map(|(_, whom, _)| whom));
        Some(Cut { whom, severity, tags: services.iter().map(|(tag, ..)| *tag).collect() })
    }

    /// A rule may have one service tag.
    fn openings(&self, tags: &[&'static str]) -> Vec<Opening<'_>> {
        let protocol = match self.transport {
            Transport::Udp => SecurityProtocol::Udp,
            _ => SecurityProtocol::Tcp,
        };
        let to = |remote: Prefix| Opening {
            rule: self.rule,
            nth: 0,
            direction: FlowDirection::Outbound,
            protocol,
            remote: vec![remote],
            ports: self.ports,
        };
        let tag = |tag: &str| to(Prefix::Tag(tag.to_owned()));
        match tags {
            [] => vec![self.tag.map_or_else(|| to(Prefix::Any), tag)],
            tags => tags.iter().map(|it| tag(it)).collect(),
        }
    }
}

fn dns(patient: &Patient<'_>) -> Outcome {
    let port = [PortRange::single(53)];
    let dependency = Dependency { rule: &OUT_DNS, transport: Transport::Udp, ports: &port, tag: None, name: "DNS" };
    azure_dns(patient).into_iter().chain(dependency.look(patient)).collect::<Vec<_>>().into()
}

/// Azure's own, which is exempt but for rules that name its tag. Where others are to be asked, `DNS-AZURE` says it.
fn azure_dns(patient: &Patient<'_>) -> Option<Finding> {
    if servers(patient).next().is_some() {
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
    let passages: Vec<Passage> = anywhere().map(|address| gate.ask(&Host::Addr(address), protocol, port)).collect();
    let closed = passages.iter().filter(|passage| !passage.is_open()).count();
    let severity = match closed {
        0 => return None,
        some if some < passages.len() => dependency.rule.severity.min(Severity::Unhealthy),
        _ => dependency.rule.severity,
    };
    let blocker = passages.iter().find_map(Passage::blocker);
    let (policy, at) = gate.name();
    let packets = format!("{} {port} ({})", super::filter::name(dependency.transport), dependency.name);
    let denied = format!("{closed} of {} addresses that were asked are denied", passages.len());
    let what = match blocker {
        Some(blocker) => {
            format!("{packets} is denied by {} before a later rule allows it: {denied}", gate.shown(blocker).0)
        }
        None => format!("{packets} has no network rule of {policy} to any address: {denied}"),
    };
    let found = Finding::new(dependency.rule, at, policy, what).graded(severity);
    let found = blocker.map(|it| gate.shown(it)).into_iter().fold(found, |found, (by, at)| found.because(by, at));
    let rule = Change::NetworkRule(network_rule(patient, dependency, port));
    let is_open = |gate: &Gate<'_>| anywhere().all(|it| gate.ask(&Host::Addr(it), protocol, port).is_open());
    let removal = blocker.and_then(|it| gate.removal(it, port));
    let mend = match removal {
        Some(removal) if !gate.opens(patient, std::slice::from_ref(&rule), is_open) => vec![removal, rule],
        _ => vec![rule],
    };
    Some(gate.mended_by(patient, found, mend, blocker, is_open))
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
    if patient.network.tags().published(SQL_TAG).is_none() {
        return sql_by_tag(patient);
    }
    let needed = [PortRange::single(1433)];
    let redirected = [PortRange::between(11000, 11999), PortRange::between(14000, 14999)];
    let dependency =
        Dependency { rule: &OUT_SQL, transport: Transport::Tcp, ports: &needed, tag: Some(SQL_TAG), name: DATABASE };
    let redirects = Dependency {
        ports: &redirected,
        name: "redirected connections to Azure SQL, as documented until 2017",
        ..dependency
    };
    let found = dependency.look(patient);
    found.or_else(|| redirects.look_as(1, patient).map(|found| found.graded(Severity::Advice))).into()
}

const SQL_TAG: &str = "Sql";
const DATABASE: &str = "the environment's own database";

/// Where no file says what the tag holds, one address stands for it: a rule with the tag lets it out, and so does whatever
/// lets out everything.
fn sql_by_tag(patient: &Patient<'_>) -> Outcome {
    let stands_for_it = IpAddr::from([192, 0, 2, 77]);
    let tags = patient.network.tags().clone().assuming(SQL_TAG, &[AddressRange::from(stands_for_it)]);
    let network = Network::new(patient.network.topology().clone(), tags);
    let patient = Patient { network: &network, ..*patient };
    let dependency = Dependency {
        rule: &OUT_SQL,
        transport: Transport::Tcp,
        ports: &[PortRange::single(1433)],
        tag: Some(SQL_TAG),
        name: DATABASE,
    };
    let Some(mut found) = dependency.look(&patient) else {
        return Outcome::not_applicable(
            "the prefixes of the service tag Sql are not at hand for this cloud; a rule lets it out",
        );
    };
    found.evidence.retain(|it| it.coverage.is_none());
    for evidence in &mut found.evidence {
        evidence.what = evidence.what.replace(&format!("of {stands_for_it}"), "of the tag Sql");
    }
    Outcome::Found(vec![found])
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
    if web(patient).findings().is_empty() {
        return Outcome::Passed;
    }
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
        && !spans::near(patient).iter().any(|range| range.contains(address))
        && !is_published(address)
        && !patient.environment.app_dependencies.iter().any(|it| it.host == Host::Addr(address))
}

/// One of the dependencies that are addresses and have no names.
pub(super) fn is_published(address: IpAddr) -> bool {
    let published = lists().iter().filter(|list| list.kind == Kind::Ip).flat_map(|list| list.endpoints());
    published.into_iter().any(|(_, endpoint)| endpoint.host == EndpointHost::Addr(address))
}

/// The first that Azure gives to anybody.
fn own_address(patient: &Patient<'_>) -> Option<IpAddr> {
    patient.network.subnet(patient.place).usable().next().map(|range| range.first())
}
