//! What comes in to the environment: management, the load balancer, itself, the clients of its apps (`IN-…`).
//!
//! Security groups see inbound packets after public addresses became private ones, so that the destination is the subnet
//! whatever the client dialled (azure-docs, network-security-groups-overview.md, 2025).

use std::net::IpAddr;

use crate::flow::{Host, PortRange};
use crate::policy::{Action, AddressRange, DnatRule, Rules};
use crate::vnet::{
    AppAddress, AppServiceEnvironment, Because, Change, FlowDirection, HOST, LoadBalancing, MANAGEMENT_PORTS, Network,
    Prefix, SecurityProtocol, SecurityRule, Transport, WEB_DEPLOY_PORT, ftp_ports,
};

use super::Patient;
use super::filter::{Block, Filtered, Needed, Opening, finding, listed};
use super::finding::{ANY, BEFORE_V3, Coverage, Finding, Outcome, Rule, Severity, V3, rules};
use super::management::{Management, TAG};
use super::spans;

rules! {
    /// In the order of `docs/doctor.md`.
    RULES:

    IN_MGMT = "IN-MGMT", Suspended, BEFORE_V3, [MANAGEMENT, NETWORKING, NETWORKING_2017],
        "App Service cannot manage the environment",
        "App Service manages an environment from known addresses over TCP 454 and 455. Each of them has to reach the \
         subnet: the service does not say from which it will come next. An environment that cannot be managed goes \
         unhealthy, and is suspended when that lasts." => management;

    IN_MGMT_FW = "IN-MGMT-FW", Suspended, BEFORE_V3, [FIREWALL, FIREWALL_2018],
        "the firewall is in the way of management",
        "Management traffic comes to the environment's own public VIP and cannot be led through a firewall device: \
         replies would leave by another address than the one that was asked." => management_by_firewall;

    IN_LB_16001 = "IN-LB-16001", Unhealthy, BEFORE_V3, [NETWORKING, FIREWALL, ISSUE_DENY_ALL, SERVICE_TAGS],
        "the load balancer cannot tell whether the environment is alive",
        "The load balancer keeps the environment alive by TCP 16001 and needs 454 and 455 as well. Azure's default rule \
         lets it in until a rule that denies everything comes before. A rule for VirtualNetwork, whose tag is said to hold the \
         host's address, may let it in too; the documents about environments want one for AzureLoadBalancer, so that \
         counts as degraded." => load_balancer;

    IN_SELF = "IN-SELF", Suspended, BEFORE_V3, [NETWORKING, NETWORKING_2017],
        "the environment's own machines cannot reach each other",
        "The machines of an environment talk to each other on ports that change: all of them have to be open from the \
         subnet to itself." => itself;

    IN_APPIP = "IN-APPIP", App, BEFORE_V3, [NETWORKING, NETWORKING_2017],
        "an app with an address of its own is not reached",
        "For each address that is assigned to an app the environment keeps a pair of ports, which the load balancer sends \
         the app's traffic to. They have to be open from the load balancer and from that address." => app_addresses;

    IN_APP = "IN-APP", App, ANY, [NETWORKING, NETWORKING_2017, NETWORKING_V3],
        "clients do not reach the apps",
        "Apps are reached by TCP 80 and 443; FTP, remote debugging and Web Deploy have ports of their own. The environment \
         stays healthy without them. Behind an internal load balancer 443 closed alone is told by IN-SCM, not a second time here." => apps;

    IN_SCM = "IN-SCM", App, ANY, [NETWORKING_2017],
        "the SCM site is not reached, and the portal loses what depends on it",
        "WebJobs, Functions, log streaming, Kudu, extensions, the process explorer and the console talk to an app's SCM \
         site over HTTPS. Behind an internal load balancer nobody but the clients of the network can reach it." => scm;

    IN_V3_80 = "IN-V3-80", Suspended, V3, [NETWORKING_V3, SERVICE_TAGS],
        "the load balancer does not reach port 80",
        "An environment of version 3 needs one thing of its security group: that the load balancer reaches TCP 80, by \
         which it tells whether the environment is alive. One for VirtualNetwork alone counts as degraded, as in \
         IN-LB-16001." => probe;

    IN_V3_21 = "IN-V3-21", Degraded, V3, [NETWORKING_V3, SETTINGS_V3],
        "FTP is on and the load balancer does not reach port 21",
        "Where FTP is on, the load balancer asks TCP 21 whether it is alive, even where nobody wants to use plain FTP." => ftp_probe;
}

/// The load balancer's probes come from [`HOST`].
const LOAD_BALANCER_TAG: &str = "AzureLoadBalancer";

fn managed() -> PortRange {
    let [first, last] = MANAGEMENT_PORTS;
    PortRange::between(first, last)
}

fn management(patient: &Patient<'_>) -> Outcome {
    let Management { name, ranges, .. } = Management::of(patient.network.tags());
    if patient.network.tags().published(TAG).is_none() && lets_in_by_tag(patient) {
        return by_tag(patient, &ranges);
    }
    managed_from(patient, name, &ranges)
}

/// Where no file says what the tag holds, the documented addresses are in it: a rule with the tag lets them in as far as
/// its ports go and nothing denies them before.
fn by_tag(patient: &Patient<'_>, ranges: &[AddressRange]) -> Outcome {
    let tags = patient.network.tags().clone().assuming(TAG, ranges);
    let network = Network::new(patient.network.topology().clone(), tags);
    match managed_from(&Patient { network: &network, ..*patient }, TAG, ranges) {
        Outcome::Passed => {
            Outcome::not_applicable(format!("a rule lets in {TAG}, whose prefixes are not at hand for this cloud"))
        }
        other => other,
    }
}

fn managed_from(patient: &Patient<'_>, name: &str, ranges: &[AddressRange]) -> Outcome {
    let ports = [managed()];
    let passage = inbound(patient, &[Transport::Tcp], &ports, ranges);
    if passage.is_open() {
        return Outcome::Passed;
    }
    let counts = passage.counts();
    let what = format!(
        "of {} prefixes of {name} {} reach TCP 454 and 455 fully, {} partly and {} not at all",
        ranges.len(),
        counts.covered,
        counts.partly,
        counts.missing
    );
    let found = passage.explain(patient, finding(patient, &IN_MGMT, what));
    let remote = match patient.network.tags().published(name) {
        Some(_) => vec![Prefix::Tag(name.to_owned())],
        None => ranges.iter().flat_map(|range| range.nets()).map(Prefix::Net).collect(),
    };
    let opening = opening(&IN_MGMT, SecurityProtocol::Tcp, remote, &ports);
    Some(opening.mend(patient, &passage.blocks, found)).into()
}

fn lets_in_by_tag(patient: &Patient<'_>) -> bool {
    let rules = patient.network.security_group_of(patient.place).into_iter().flat_map(|group| &group.rules);
    let mut allowing = rules.filter(|rule| rule.direction == FlowDirection::Inbound && rule.access == Action::Allow);
    let is_tag = |prefix: &Prefix| matches!(prefix, Prefix::Tag(tag) if tag.eq_ignore_ascii_case(TAG));
    allowing.any(|rule| rule.source.prefixes.iter().any(is_tag))
}

fn management_by_firewall(patient: &Patient<'_>) -> Outcome {
    let firewalls = &patient.network.topology().firewalls;
    if firewalls.is_empty() && patient.policy.is_none() {
        return Outcome::not_applicable("there is no firewall");
    }
    let vip = patient.environment.public_address;
    let shared = firewalls.iter().find(|it| vip.is_some_and(|vip| it.public_addresses.contains(&vip)));
    let by_address = shared.map(|firewall| {
        let what =
            format!("management comes to a public address of the firewall {}, not of the environment", firewall.name);
        Finding::new(&IN_MGMT_FW, firewall.at, &firewall.name, what)
            .by_hand("give the environment a public VIP of its own: what comes to the firewall is translated by it")
    });
    by_address.into_iter().chain(translated(patient)).collect::<Vec<_>>().into()
}

/// DNAT rules that lead management to the environment.
fn translated(patient: &Patient<'_>) -> Vec<Finding> {
    let policies = patient.policy.into_iter().flat_map(|policy| &policy.rules().policies);
    let mut found = Vec::new();
    for policy in policies {
        for (group, collection) in
            policy.groups.iter().flat_map(|group| group.collections.iter().map(move |it| (group, it)))
        {
            let Rules::Dnat(rules) = &collection.rules else { continue };
            for rule in rules.iter().filter(|rule| leads_management(patient, rule)) {
                let path = format!("{}/{}/{}/{}", policy.name, group.name, collection.name, rule.name);
                found.push(by_rule(rule, path));
            }
        }
    }
    found
}

fn leads_management(patient: &Patient<'_>, rule: &DnatRule) -> bool {
    let own = |address: IpAddr| {
        let environment = patient.environment;
        let known = [environment.public_address, environment.internal_address];
        patient.network.subnet(patient.place).contains(address) || known.contains(&Some(address))
    };
    let to_own = match &rule.translated.host {
        Host::Addr(address) => own(*address),
        Host::Name(name) => is_own_name(patient, name.as_str()) || recorded(patient, name.as_str()).any(own),
    };
    let managed = MANAGEMENT_PORTS.iter().any(|port| rule.ports.contains(*port) || rule.translated.port == *port);
    rule.protocols.tcp && to_own && managed
}

/// The environment's suffix, or a name below it.
fn is_own_name(patient: &Patient<'_>, name: &str) -> bool {
    let suffix = patient.environment.suffix(patient.network.tags().cloud());
    name.strip_suffix(&suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What the zones of the topology have for a name.
fn recorded<'a>(patient: &Patient<'a>, name: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    let zones = patient.network.topology().dns_zones.iter();
    zones.flat_map(|zone| zone.records.iter().map(move |record| (zone, record))).filter_map(
        move |(zone, (host, to))| {
            let full = if host == "@" { zone.name.clone() } else { format!("{host}.{}", zone.name) };
            full.eq_ignore_ascii_case(name).then_some(*to)
        },
    )
}

fn by_rule(rule: &DnatRule, path: String) -> Finding {
    let what = format!("the DNAT rule {path} leads TCP {} through the firewall to the environment", rule.ports);
    Finding::new(&IN_MGMT_FW, rule.about.at, path.clone(), what)
        .because(format!("DNAT rule {path} (to {})", rule.translated.host), rule.about.at)
        .mend(Change::RemoveFirewallRule { rule: path })
}

fn load_balancer(patient: &Patient<'_>) -> Outcome {
    from_load_balancer(patient, &IN_LB_16001, &[managed(), PortRange::single(16001)])
}

fn probe(patient: &Patient<'_>) -> Outcome {
    from_load_balancer(patient, &IN_V3_80, &[PortRange::single(80)])
}

fn ftp_probe(patient: &Patient<'_>) -> Outcome {
    if !patient.environment.ftp {
        return Outcome::not_applicable("FTP is off");
    }
    from_load_balancer(patient, &IN_V3_21, &[PortRange::single(21)])
}

fn from_load_balancer(patient: &Patient<'_>, rule: &'static Rule, ports: &[PortRange]) -> Outcome {
    let passage = inbound(patient, &[Transport::Tcp], ports, &[AddressRange::from(HOST)]);
    if passage.is_open() {
        return by_network(patient, rule, ports).into();
    }
    let closed = match passage.coverage() {
        Coverage::Partly => "does not reach all of",
        Coverage::Covered | Coverage::Missing => "does not reach",
    };
    let what = format!("AzureLoadBalancer {closed} TCP {} of the subnet", listed(ports));
    let found = passage.explain(patient, finding(patient, rule, what));
    let opening = opening(rule, SecurityProtocol::Tcp, vec![Prefix::Tag(LOAD_BALANCER_TAG.to_owned())], ports);
    Some(opening.mend(patient, &passage.blocks, found)).into()
}

/// Probes that nothing lets in but a rule for the tag VirtualNetwork. The document about service tags says that it holds
/// the host's address; those about environments want a rule for the load balancer, and somebody's probes were denied.
fn by_network(patient: &Patient<'_>, rule: &'static Rule, ports: &[PortRange]) -> Option<Finding> {
    let group = patient.network.security_group_of(patient.place)?;
    let is_by_tag = |it: &SecurityRule| {
        let prefixes = &it.source.prefixes;
        let is =
            |tag: &str| prefixes.iter().any(|it| matches!(it, Prefix::Tag(name) if name.eq_ignore_ascii_case(tag)));
        it.direction == FlowDirection::Inbound && it.access == Action::Allow && is("VirtualNetwork")
    };
    let mut topology = patient.network.topology().clone();
    let here = topology.security_groups.iter_mut().find(|it| it.name == group.name)?;
    here.rules.retain(|it| !is_by_tag(it));
    let network = Network::new(topology, patient.network.tags().clone());
    let without = Patient { network: &network, ..*patient };
    if inbound(&without, &[Transport::Tcp], ports, &[AddressRange::from(HOST)]).is_open() {
        return None;
    }
    let has_port = |it: &SecurityRule| {
        let mut written = it.destination.ports.iter();
        written.any(|range| ports.iter().any(|port| range.contains(port.first())))
    };
    let by = group.rules.iter().filter(|it| is_by_tag(it) && has_port(it)).min_by_key(|it| it.priority)?;
    let by_text = format!("security rule {}/{} ({})", group.name, by.name, by.priority);
    let what = format!("AzureLoadBalancer reaches TCP {} of the subnet by VirtualNetwork alone", listed(ports));
    let found = finding(patient, rule, what)
        .graded(rule.severity.min(Severity::Degraded))
        .because(format!("{by_text} lets in {HOST} as part of VirtualNetwork"), by.at);
    let because =
        Because::Rule { group: &group.name, rule: &by.name, priority: by.priority, is_default: false, at: by.at };
    let block = Block { because, transport: Transport::Tcp, source: 0, remote: HOST, port: ports.first()?.first() };
    let opening = opening(rule, SecurityProtocol::Tcp, vec![Prefix::Tag(LOAD_BALANCER_TAG.to_owned())], ports);
    Some(opening.mend(patient, &[block], found))
}

fn itself(patient: &Patient<'_>) -> Outcome {
    within(patient, &IN_SELF, FlowDirection::Inbound)
}

/// From the subnet to itself, on every port and by every protocol that has a name.
pub(super) fn within(patient: &Patient<'_>, rule: &'static Rule, direction: FlowDirection) -> Outcome {
    let ranges: Vec<AddressRange> = patient.own_ranges().collect();
    let transports = &[Transport::Tcp, Transport::Udp, Transport::Icmp];
    let needed = Needed { direction, transports, ports: &[PortRange::ANY], remote: &ranges };
    let passage = Filtered::of(patient, &needed);
    if passage.is_open() {
        return Outcome::Passed;
    }
    let what = match passage.coverage() {
        Coverage::Partly => "the subnet reaches itself on some ports and protocols only",
        Coverage::Covered | Coverage::Missing => "the subnet does not reach itself",
    };
    let found = passage.explain(patient, finding(patient, rule, what));
    let remote = patient.own_nets().map(Prefix::Net).collect();
    let opening = Opening { direction, ..opening(rule, SecurityProtocol::Any, remote, &[PortRange::ANY]) };
    Some(opening.mend(patient, &passage.blocks, found)).into()
}

fn app_addresses(patient: &Patient<'_>) -> Outcome {
    let AppServiceEnvironment { load_balancing, app_addresses, .. } = patient.environment;
    match (load_balancing, app_addresses.as_slice()) {
        (LoadBalancing::Internal(_), _) => {
            return Outcome::not_applicable("apps of an ILB environment have no addresses");
        }
        (LoadBalancing::External, []) => return Outcome::not_applicable("no app has an address of its own"),
        (LoadBalancing::External, _) => {}
    }
    let closed = app_addresses.iter().enumerate().filter_map(|(nth, app)| app_address(patient, nth, app));
    closed.collect::<Vec<_>>().into()
}

fn app_address(patient: &Patient<'_>, nth: usize, app: &AppAddress) -> Option<Finding> {
    let ports = [PortRange::single(app.http_port), PortRange::single(app.https_port)];
    let what = format!("the app at {} is not reached on its ports {}", app.address, listed(&ports));
    let sources = [(HOST, Prefix::Tag(LOAD_BALANCER_TAG.to_owned())), (app.address, Prefix::Net(app.address.into()))];
    let mut found = finding(patient, &IN_APPIP, what);
    for (at, (address, prefix)) in sources.into_iter().enumerate() {
        let passage = inbound(patient, &[Transport::Tcp], &ports, &[AddressRange::from(address)]);
        if !passage.is_open() {
            let opening = opening(&IN_APPIP, SecurityProtocol::Tcp, vec![prefix], &ports).numbered(2 * nth + at);
            found = opening.mend(patient, &passage.blocks, passage.explain(patient, found));
        }
    }
    (!found.evidence.is_empty()).then_some(found)
}

/// One kind of access that clients may have.
struct Access {
    /// So that the rules that open several are told apart.
    nth: usize,
    name: &'static str,
    ports: Vec<PortRange>,
}

impl Access {
    fn new(nth: usize, name: &'static str, ports: &[u16]) -> Access {
        Access { nth, name, ports: ports.iter().copied().map(PortRange::single).collect() }
    }
}

fn apps(patient: &Patient<'_>) -> Outcome {
    let clients = Clients::of(patient);
    let switched_on = accesses(patient.environment);
    let optional = switched_on.iter().filter_map(|it| clients.lack(&IN_APP, patient, it));
    web(patient, &clients).into_iter().chain(optional).collect::<Vec<_>>().into()
}

/// HTTP alone missing is a matter of taste; HTTPS alone missing behind an internal load balancer is told by `IN-SCM`,
/// which depends on it.
fn web(patient: &Patient<'_>, clients: &Clients) -> Option<Finding> {
    let lack = |ports: &[u16]| clients.lack(&IN_APP, patient, &Access::new(0, "apps", ports));
    let internal = patient.environment.load_balancing.is_internal();
    match (lack(&[80]), lack(&[443])) {
        (None, None) => None,
        (Some(http), None) => Some(http.graded(Severity::Advice)),
        (None, Some(https)) => Some(https).filter(|_| !internal),
        (Some(_), Some(_)) => lack(&[80, 443]),
    }
}

/// What is switched on.
fn accesses(environment: &AppServiceEnvironment) -> Vec<Access> {
    let ftp = Access { nth: 1, name: "FTP", ports: ftp_ports() };
    let debugging = environment.version.remote_debug_ports();
    let all = [
        (environment.ftp, ftp),
        (environment.remote_debug, Access::new(2, "remote debugging", debugging)),
        (environment.web_deploy, Access::new(3, "Web Deploy", &[WEB_DEPLOY_PORT])),
    ];
    all.into_iter().filter(|(on, _)| *on).map(|(_, access)| access).collect()
}

fn scm(patient: &Patient<'_>) -> Outcome {
    if !patient.environment.load_balancing.is_internal() {
        return Outcome::not_applicable("the SCM sites of an External environment are public");
    }
    Clients::of(patient).lack(&IN_SCM, patient, &Access::new(0, "SCM sites", &[443])).into()
}

/// Who asks for apps.
struct Clients {
    ranges: Vec<AddressRange>,
    /// Somebody said so: all of them have to get through. Otherwise it is anybody, and enough if somebody does.
    are_known: bool,
}

impl Clients {
    fn of(patient: &Patient<'_>) -> Clients {
        let known = &patient.environment.client_ranges;
        if !known.is_empty() {
            return Clients { ranges: known.clone(), are_known: true };
        }
        let ranges = match patient.environment.load_balancing {
            // Its own machines are no clients.
            LoadBalancing::Internal(_) => {
                spans::without(spans::near(patient), &patient.own_ranges().collect::<Vec<_>>())
            }
            LoadBalancing::External => spans::internet(patient),
        };
        Clients { ranges, are_known: false }
    }

    fn lack(&self, rule: &'static Rule, patient: &Patient<'_>, access: &Access) -> Option<Finding> {
        let Access { nth, name, ports } = access;
        let passage = inbound(patient, &[Transport::Tcp], ports, &self.ranges);
        let enough = if self.are_known { passage.is_open() } else { passage.coverage() != Coverage::Missing };
        if enough {
            return None;
        }
        let who = if self.are_known { "not all clients reach" } else { "nobody reaches" };
        let what = format!("{who} TCP {} of the subnet: {name}", listed(ports));
        let found = passage.explain(patient, finding(patient, rule, what));
        let opening = opening(rule, SecurityProtocol::Tcp, self.prefixes(patient), ports).numbered(*nth);
        Some(opening.mend(patient, &passage.blocks, found))
    }

    fn prefixes(&self, patient: &Patient<'_>) -> Vec<Prefix> {
        match patient.environment.load_balancing {
            _ if self.are_known => self.ranges.iter().flat_map(|range| range.nets()).map(Prefix::Net).collect(),
            // The tag VirtualNetwork would let in everybody where a default route leads to a firewall.
            LoadBalancing::Internal(_) => {
                spans::near(patient).iter().flat_map(|range| range.nets()).map(Prefix::Net).collect()
            }
            LoadBalancing::External => vec![Prefix::Any],
        }
    }
}

fn inbound<'n>(
    patient: &Patient<'n>,
    transports: &[Transport],
    ports: &[PortRange],
    remote: &[AddressRange],
) -> Filtered<'n> {
    Filtered::of(patient, &Needed { direction: FlowDirection::Inbound, transports, ports, remote })
}

fn opening<'a>(
    rule: &'static Rule,
    protocol: SecurityProtocol,
    remote: Vec<Prefix>,
    ports: &'a [PortRange],
) -> Opening<'a> {
    Opening { rule, nth: 0, direction: FlowDirection::Inbound, protocol, remote, ports }
}
