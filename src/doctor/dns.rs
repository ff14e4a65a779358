//! Who resolves names, and how (`DNS-…`).

use std::net::IpAddr;

use crate::flow::{AddrClass, Host, Protocol};
use crate::policy::Action;
use crate::vnet::{
    Because, Change, DnsZone, EPHEMERAL, FlowDirection, HOST, Hop, IlbMode, LoadBalancing, NetFlow, SecurityDecision,
    Transport,
};

use super::Patient;
use super::finding::{ANY, BEFORE_V3, Coverage, Finding, Outcome, rules};
use super::gate::{Gate, Passage, clients};
use super::premises::cut_off;
use super::ways::{self, Ways};
use super::words::some;

rules! {
    RULES:
    AZURE = "DNS-AZURE", Suspended, BEFORE_V3, [NETWORKING_2017, NETWORKING, SECURITY_GROUPS],
        "the platform does not reach Azure DNS",
        "Apps resolve names by the DNS servers of the network, the platform by Azure's own at 168.63.129.16, whatever the \
         network's are. Security groups let that through, unless a rule denies the tag AzurePlatformDNS. Without DNS servers \
         of one's own such a rule is OUT-DNS's." => azure, cuts AzureDns;
    CUSTOM = "DNS-CUSTOM", Unhealthy, ANY, [NETWORKING_2017, EXPRESS_ROUTE_V1],
        "the network's own DNS servers do not answer the subnet",
        "DNS servers of one's own have to be reached from the subnet, across a VPN too: by a route, by the security group, and \
         by the firewall where it is on the way (or is the server: then with its DNS proxy on); the security group of the \
         server's own subnet has to let them in. And they have to resolve all \
         names of the platform, or the environment cannot be made, or goes unhealthy. Servers with public addresses that \
         the security group denies are OUT-DNS's; those behind a gateway whose routes are ignored RT-BGP-OFF's." => custom;
    REBOOT = "DNS-REBOOT", Advice, ANY, [NETWORKING],
        "the DNS servers were changed, and the environment was not rebooted",
        "An environment reads the DNS servers of its network when it starts. After a change it has to be rebooted." => reboot;
    APP_NAMES = "DNS-ILB", App, ANY, [ILB],
        "names of the apps do not lead to the internal load balancer",
        "Behind an internal load balancer nobody but the customer answers for the names of apps: a zone for the environment's \
         suffix needs the records *, @ and *.scm (or a zone scm. of it with *), each with the load balancer's address, and a \
         link to the network. Where the network has DNS servers of its own and the topology no zone, nothing is known." => ilb;
}

const PORT: u16 = 53;

/// The network's own servers.
pub(super) fn servers<'a>(patient: &Patient<'a>) -> impl Iterator<Item = IpAddr> + 'a {
    let servers = &patient.network.virtual_network(patient.place).dns_servers;
    servers.iter().copied().filter(|server| *server != HOST)
}

fn azure(patient: &Patient<'_>) -> Outcome {
    if servers(patient).next().is_none() {
        return Outcome::not_applicable("the network has no DNS servers of its own (OUT-DNS)");
    }
    let Some(denial) = denial(patient, HOST) else { return Outcome::Passed };
    let Because::Rule { group, rule, priority, at, .. } = denial.because else { return Outcome::Passed };
    let subject = patient.network.security_group_of(patient.place).map(|group| group.at).unwrap_or_default();
    let what = format!("security rule {group}/{rule} ({priority}) denies Azure DNS at {HOST}");
    let finding = Finding::new(&AZURE, subject, group, &what).because(what, at);
    let remove = Change::RemoveSecurityRule { group: group.to_owned(), rule: rule.to_owned() };
    Outcome::Found(vec![finding.mend(remove)])
}

/// What the security group has against questions to a server.
fn denial<'a>(patient: &Patient<'a>, server: IpAddr) -> Option<SecurityDecision<'a>> {
    let source = clients(patient).into_iter().next()?;
    let flow = NetFlow {
        transport: Transport::Udp,
        source,
        source_port: EPHEMERAL,
        destination: server,
        destination_port: PORT,
    };
    let decision = patient.network.security(patient.place, FlowDirection::Outbound, &flow);
    (!decision.is_allowed()).then_some(decision)
}

fn custom(patient: &Patient<'_>) -> Outcome {
    let found = unreachable(patient).into_iter().chain(unresolvable(patient));
    Outcome::from(found.collect::<Vec<_>>())
}

fn unreachable(patient: &Patient<'_>) -> Option<Finding> {
    let lost: Vec<(IpAddr, String)> = servers(patient).filter_map(|it| Some((it, loss(patient, it)?))).collect();
    let (first, _) = lost.first()?;
    let network = patient.network.virtual_network(patient.place);
    let what =
        format!("its DNS server {} cannot be asked from the subnet: {}", some(lost.iter().map(|it| it.0)), lost[0].1);
    let mut finding = Finding::new(&CUSTOM, network.at, &network.name, what);
    for (server, why) in &lost {
        finding = finding.covers(Coverage::Missing, format!("{server}: {why}"));
    }
    if let Some(way) = Ways::of(patient).to(*first) {
        finding = finding.because(ways::shown(&way), way.route.at);
    }
    Some(finding.by_hand("let UDP 53 through to it, route it to where it is, or name another server (dnsServers)"))
}

/// Why a server does not hear a question.
fn loss(patient: &Patient<'_>, server: IpAddr) -> Option<String> {
    let is_private = AddrClass::of(server) == AddrClass::Private;
    if let Some(SecurityDecision { because: Because::Rule { group, rule, priority, .. }, .. }) =
        denial(patient, server).filter(|_| is_private)
    {
        return Some(format!("security rule {group}/{rule} ({priority}) denies UDP 53"));
    }
    if cut_off(patient).iter().any(|net| net.contains(&server)) {
        return None;
    }
    let Some(way) = Ways::of(patient).to(server) else { return Some("no route leads there".to_owned()) };
    match &way.route.next_hop {
        Hop::None => Some(format!("{} drops what is for it", ways::shown(&way))),
        Hop::Internet if is_private => Some(format!("its way is {}, where no private address is", ways::shown(&way))),
        Hop::VnetLocal if is_homeless(patient, server) => Some("it is in no subnet of the network".to_owned()),
        Hop::VirtualAppliance(appliance) => by_appliance(patient, server, *appliance),
        _ => no_proxy(patient, server).or_else(|| shut_out(patient, server)),
    }
}

/// The server's own subnet has a security group too.
fn shut_out(patient: &Patient<'_>, server: IpAddr) -> Option<String> {
    let there = patient.network.place_of(server)?;
    let source = clients(patient).into_iter().next()?;
    let flow =
        NetFlow { transport: Transport::Udp, source, source_port: 49152, destination: server, destination_port: PORT };
    let decision = patient.network.security(there, FlowDirection::Inbound, &flow);
    let Because::Rule { group, rule, priority, .. } = decision.because else { return None };
    let there = &patient.network.subnet(there).name;
    (decision.access == Action::Deny)
        .then(|| format!("security rule {group}/{rule} ({priority}) denies UDP 53 at {there}"))
}

/// An address of the network's own space that no machine can have.
fn is_homeless(patient: &Patient<'_>, server: IpAddr) -> bool {
    let network = patient.network.virtual_network(patient.place);
    let is_own = network.address_space.iter().any(|net| net.contains(&server));
    let is_known = patient.network.topology().firewall_at(server).is_some();
    is_own && !is_known && !network.subnets.iter().any(|subnet| subnet.contains(server))
}

fn by_appliance(patient: &Patient<'_>, server: IpAddr, appliance: IpAddr) -> Option<String> {
    let firewall = patient.network.topology().firewall_at(appliance);
    let gate = firewall.and_then(|_| Gate::of(patient).ok())?;
    let passage = gate.ask(&Host::Addr(server), Protocol::Udp, PORT);
    let is_denied = matches!(passage, Passage::Lacks | Passage::Denied(_));
    is_denied.then(|| format!("the firewall at {appliance} has no network rule for UDP 53 to it"))
}

/// The firewall answers questions only as a DNS proxy, and a policy says whether it is one.
fn no_proxy(patient: &Patient<'_>, server: IpAddr) -> Option<String> {
    let firewall = patient.network.topology().firewall_at(server)?;
    let policies = &patient.policy?.rules().policies;
    let is_off = policies.iter().any(|policy| policy.settings.dns.proxy == Some(false));
    is_off.then(|| format!("it is the firewall {}, whose policy has the DNS proxy off", firewall.name))
}

fn unresolvable(patient: &Patient<'_>) -> Option<Finding> {
    let environment = patient.environment;
    let names = &environment.unresolvable;
    (!names.is_empty()).then(|| {
        let what = format!("its DNS servers do not resolve {}", some(names));
        let finding = Finding::new(&CUSTOM, environment.at, &environment.name, what);
        let finding = names.iter().fold(finding, |finding, name| finding.covers(Coverage::Missing, name));
        finding.by_hand(format!("let the network's DNS servers forward what they do not know to {HOST}"))
    })
}

fn reboot(patient: &Patient<'_>) -> Outcome {
    let environment = patient.environment;
    let found = environment.dns_changed.then(|| {
        let now = some(servers(patient));
        let now = if now.is_empty() { "Azure's own".to_owned() } else { now };
        let what = format!("its network's DNS servers (now {now}) were changed, and it still asks the old ones");
        Finding::new(&REBOOT, environment.at, &environment.name, what).by_hand(format!(
            "az rest --method post --url '{{id of {}}}/reboot?api-version=2021-01-15'",
            environment.name
        ))
    });
    found.into()
}

fn ilb(patient: &Patient<'_>) -> Outcome {
    let environment = patient.environment;
    if !matches!(environment.load_balancing, LoadBalancing::Internal(IlbMode::Web | IlbMode::WebAndPublishing)) {
        return Outcome::not_applicable("apps have names in public DNS");
    }
    let Some(address) = environment.internal_address else {
        return Outcome::not_applicable("the address of the internal load balancer is not known");
    };
    let suffix = patient.environment.suffix(patient.network.tags().cloud());
    let zones = &patient.network.topology().dns_zones;
    if zones.is_empty() && servers(patient).next().is_some() {
        return Outcome::not_applicable("the network's own DNS servers answer, and what is not known");
    }
    let missing: Vec<&str> =
        RECORDS.into_iter().filter(|name| !resolves(patient, zones, &suffix, name, address)).collect();
    if missing.is_empty() {
        return Outcome::Passed;
    }
    let shown = missing.iter().map(|name| full(&suffix, name));
    let what = format!("{} do not lead to the internal load balancer at {address}", some(shown));
    let mut finding = Finding::new(&APP_NAMES, environment.at, &environment.name, what);
    for name in &missing {
        finding = finding.covers(Coverage::Missing, full(&suffix, name));
    }
    Outcome::Found(vec![answered(patient, finding, zones, &suffix, &missing, address)])
}

/// A record cannot help in a zone that the network is not linked to.
fn answered(
    patient: &Patient<'_>,
    finding: Finding,
    zones: &[DnsZone],
    suffix: &str,
    missing: &[&str],
    address: IpAddr,
) -> Finding {
    if let Some(zone) = zones.iter().find(|it| it.name.eq_ignore_ascii_case(suffix) && !is_linked(patient, it)) {
        let network = &patient.network.virtual_network(patient.place).name;
        return finding
            .by_hand(format!("link the zone {} to the network {network}, and let it have the records", zone.name));
    }
    let record = |name: &&str| Change::DnsRecord { zone: suffix.to_owned(), name: (*name).to_owned(), address };
    missing.iter().map(record).fold(finding, Finding::mend)
}

const RECORDS: [&str; 3] = ["*", "@", "*.scm"];

/// `*.scm.ase.appserviceenvironment.net`
fn full(suffix: &str, record: &str) -> String {
    if record == "@" { suffix.to_owned() } else { format!("{record}.{suffix}") }
}

/// In the zone of the suffix, or `*.scm` in a zone of its own as `*`.
fn resolves(patient: &Patient<'_>, zones: &[DnsZone], suffix: &str, record: &str, address: IpAddr) -> bool {
    let has = |zone: &str, name: &str| {
        let linked = zones.iter().filter(|it| it.name.eq_ignore_ascii_case(zone) && is_linked(patient, it));
        linked.flat_map(|zone| &zone.records).any(|(it, to)| it.eq_ignore_ascii_case(name) && *to == address)
    };
    has(suffix, record) || (record == "*.scm" && has(&format!("scm.{suffix}"), "*"))
}

/// To the environment's network; a zone that says nothing of links is one that somebody's own server has, where there is
/// one. Azure's own answers for linked zones alone.
fn is_linked(patient: &Patient<'_>, zone: &DnsZone) -> bool {
    let own = &patient.network.virtual_network(patient.place).name;
    let by_own_server = zone.virtual_networks.is_empty() && servers(patient).next().is_some();
    by_own_server || zone.virtual_networks.iter().any(|network| network.eq_ignore_ascii_case(own))
}
