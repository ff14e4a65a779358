//! What the firewall lets through (`FW-…`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::allowlist::{Kind, fqdn_tag, service_tag};
use crate::flow::{Host, PortRange, Protocol};
use crate::policy::{
    AddressRange, AddressSet, AppProtocol, ApplicationRule, FqdnPattern, FqdnTag, IpProtocols, NetworkRule, RuleId,
};
use crate::vnet::{AppDependency, AseVersion, Change, Cloud, FIREWALL_SUBNET, Firewall, Hop};

use super::Patient;
use super::age::edition;
use super::dependencies::{Row, editions};
use super::finding::{ANY, BEFORE_V3, Coverage, Finding, Outcome, Rule, Severity, rules};
use super::gate::{Blocker, Gate, Passage};
use super::outbound::anywhere;
use super::ways::{self, Ways};
use super::words::{count, some};

rules! {
    RULES:
    ASE = "FW-ASE", Suspended, BEFORE_V3, [FIREWALL_2018, FIREWALL],
        "the firewall denies names that the platform needs",
        "The subnet needs an application rule with the FQDN tags AppServiceEnvironment and WindowsUpdate, or one for every \
         name and port of the published list. Each row of the list is asked of the firewall, from the first and the last \
         address of the subnet and from each part (256 at most) that the sources of rules cut it into; what a service endpoint takes past the firewall is covered. What a tag stands for is not \
         published: the rows are taken to be in it. A policy that was plainly made from the list of 2018 is judged by that list, \
         and told so by DOC-LIST-AGE. Names with a wildcard are FW-WILDCARD's, those of Linux FW-LINUX's, those of the US \
         Government FW-GOV's; what one rule allows and another denies before it is FW-DENY-FIRST's. For the cloud in China no \
         list is published." => names, cuts Web;
    WILDCARD = "FW-WILDCARD", Suspended, BEFORE_V3, [FIREWALL_2018, FIREWALL],
        "the firewall denies wildcard dependencies",
        "Some names differ from environment to environment and are listed with a wildcard. Each wildcard and port is asked by \
         a name that it holds, which the finding gives. Azure Firewall takes a * only as the left-most character, so a row such as \
         gr-prod-*.cloudapp.net needs the FQDN tag AppServiceEnvironment (or a wider *.cloudapp.net)." => wildcards, cuts Web;
    LINUX = "FW-LINUX", Suspended, BEFORE_V3, [FIREWALL_2018, FIREWALL],
        "the firewall denies what Linux apps need",
        "An environment with Linux workers (hasLinuxWorkers) needs a list of its own: registries, package sources, and key \
         servers by their addresses on port 11371. In the US Government cloud there are no Linux apps." => linux, cuts LinuxApps;
    GOV = "FW-GOV", Suspended, BEFORE_V3, [FIREWALL],
        "the firewall denies names of the US Government cloud",
        "The US Government cloud has a list of its own. Some of its rows were damaged by a search and replace; those are asked \
         as they were meant, and the finding gives both. A rule with the FQDN tag AppServiceEnvironment is taken to stand \
         for the list of the cloud that it is in." => gov, cuts Web;
    AZMON = "FW-AZMON", Degraded, BEFORE_V3, [FIREWALL],
        "no network rule for Azure Monitor",
        "Since 2020 the set-up has a network rule for the service tag AzureMonitor on ports 80 and 443. Without it the \
         environment is watched less well. The prefixes of the tag are asked one by one; for clouds whose file of tags is not \
         at hand nothing can be asked." => monitor;
    DENY_FIRST = "FW-DENY-FIRST", Suspended, BEFORE_V3, [RULE_ORDER, FIREWALL],
        "a rule that denies comes before the one that allows",
        "Rule collections are asked by priority, network rules before application rules, a parent policy's before its \
         child's: a Deny that comes first takes a dependency away that a later rule allows. So does threat intelligence. The \
         finding names the collection and the rule. A network rule that denies prefixes of \
         Entra ID or Resource Manager, or all addresses of a port, denies the names that lead there. What no rule allows anyway is said by the rule for its list. Ports 123 and \
         12000 are OUT-NTP's and OUT-12000's, databases are RT-SQL's." => deny_first, cuts Web;
    SUBNET = "FW-SUBNET", Unhealthy, ANY, [FIREWALL],
        "the firewall has no AzureFirewallSubnet",
        "Azure Firewall lives in a subnet of the name AzureFirewallSubnet, in the environment's network or in one that it \
         peers with. Asked where the default route leads to a firewall of the topology." => firewall_subnet;
    APPDEPS = "FW-APPDEPS", App, ANY, [FIREWALL_2018, FIREWALL],
        "the firewall denies what the apps need",
        "The platform's list does not know what the apps talk to. What is named as app_dependencies of the environment has to \
         be allowed: HTTP and HTTPS by application rules, everything else by network rules, or by a route past the firewall." => app_dependencies;
    PROXY = "FW-PROXY", Unhealthy, BEFORE_V3, [EXPRESS_ROUTE_V1],
        "what leaves passes a corporate proxy or a strange NAT",
        "Where traffic is forced to one's own premises, a corporate proxy there changes more than the source, and the \
         platform's services refuse it: environments cannot be made, or go unhealthy. Of version 1 any forced tunnel does that. \
         Of version 2 an address translation alone is RT-SQL's." => proxy;
}

/// How many rows a rule of one's own lists before the tag is the better mend.
const FEW: usize = 40;

const TAGS: [&str; 2] = ["AppServiceEnvironment", "WindowsUpdate"];

fn names(patient: &Patient<'_>) -> Outcome {
    public(&ASE, patient, Kind::Fqdn)
}

fn wildcards(patient: &Patient<'_>) -> Outcome {
    public(&WILDCARD, patient, Kind::Wildcard)
}

fn linux(patient: &Patient<'_>) -> Outcome {
    if patient.environment.linux {
        public(&LINUX, patient, Kind::Linux)
    } else {
        Outcome::not_applicable("no Linux apps")
    }
}

/// One list of the public cloud.
fn public(rule: &'static Rule, patient: &Patient<'_>, kind: Kind) -> Outcome {
    match patient.network.tags().cloud() {
        Cloud::Public => {}
        Cloud::UsGov => return Outcome::not_applicable("the US Government cloud has a list of its own (FW-GOV)"),
        Cloud::China => return Outcome::not_applicable("for the cloud in China no list of names is published"),
    }
    let gate = match Gate::of(patient) {
        Ok(gate) => gate,
        Err(outcome) => return outcome,
    };
    let edition = edition(patient, Some(&gate)).expect("the public cloud has lists");
    listed(rule, patient, &gate, edition.name, edition.rows(kind))
}

fn gov(patient: &Patient<'_>) -> Outcome {
    if patient.network.tags().cloud() != Cloud::UsGov {
        return Outcome::not_applicable("not the US Government cloud");
    }
    let gate = match Gate::of(patient) {
        Ok(gate) => gate,
        Err(outcome) => return outcome,
    };
    if gate.has_tag(TAGS[0]) {
        return Outcome::Passed;
    }
    let edition = editions(Cloud::UsGov)[0];
    let rows = [Kind::Fqdn, Kind::Wildcard].into_iter().flat_map(|kind| edition.rows(kind)).collect();
    listed(&GOV, patient, &gate, edition.name, rows)
}

fn listed(rule: &'static Rule, patient: &Patient<'_>, gate: &Gate<'_>, list: &str, rows: Vec<Row>) -> Outcome {
    let denied: Vec<&Row> = rows.iter().filter(|row| gate.row(row) == Passage::Lacks).collect();
    if denied.is_empty() {
        return Outcome::Passed;
    }
    let (name, at) = gate.name();
    let what = format!(
        "it denies {} of the {} in {list}: {}",
        denied.len(),
        count(rows.len(), "row"),
        some(denied.iter().map(|row| row.shown())),
    );
    let mut finding = Finding::new(rule, at, name, what);
    for row in &denied {
        finding = finding.covers(Coverage::Missing, row.shown());
    }
    let mend = open_rows(patient, &denied, &rule.id.to_ascii_lowercase());
    Outcome::Found(vec![mend.into_iter().fold(finding, Finding::mend)])
}

/// Rules for just these rows. What Azure cannot spell, and what is most of a list, is opened by the FQDN tags.
pub(super) fn open_rows(patient: &Patient<'_>, rows: &[&Row], name: &str) -> Vec<Change> {
    let patterns = || rows.iter().filter_map(|row| row.pattern());
    let by_tag = patterns().any(|pattern| matches!(pattern, FqdnPattern::Glob(_))) || patterns().count() > FEW;
    let application = if by_tag { vec![by_tags(patient, name)] } else { by_names(patient, rows, name) };
    application.into_iter().map(Change::ApplicationRule).chain(by_addresses(patient, rows, name)).collect()
}

fn by_tags(patient: &Patient<'_>, name: &str) -> ApplicationRule {
    let tags: Vec<FqdnTag> = TAGS.iter().filter_map(|tag| fqdn_tag(tag)).collect();
    ApplicationRule { name: format!("{name}-tags"), sources: sources(patient), tags, ..ApplicationRule::default() }
}

/// One rule for each set of ports, as names and ports of a rule are multiplied.
fn by_names(patient: &Patient<'_>, rows: &[&Row], name: &str) -> Vec<ApplicationRule> {
    let mut by_protocol: BTreeMap<AppProtocol, Vec<FqdnPattern>> = BTreeMap::new();
    for (row, pattern) in rows.iter().filter_map(|row| Some((row, row.pattern()?))) {
        let patterns = by_protocol.entry(row.meant.app_protocol()).or_default();
        if !patterns.contains(pattern) {
            patterns.push(pattern.clone());
        }
    }
    let rule = |(protocol, fqdns): (AppProtocol, Vec<FqdnPattern>)| ApplicationRule {
        name: format!("{name}-{}", protocol.port),
        sources: sources(patient),
        protocols: vec![protocol],
        fqdns,
        ..ApplicationRule::default()
    };
    by_protocol.into_iter().map(rule).collect()
}

fn by_addresses(patient: &Patient<'_>, rows: &[&Row], name: &str) -> Vec<Change> {
    let mut by_port: BTreeMap<u16, AddressSet> = BTreeMap::new();
    for (row, address) in rows.iter().filter_map(|row| Some((row, row.address()?))) {
        by_port.entry(row.meant.port).or_default().insert(AddressRange::from(address));
    }
    let rule = |(port, destinations)| network_rule(patient, &format!("{name}-{port}"), destinations, &[port]);
    by_port.into_iter().map(rule).collect()
}

fn network_rule(patient: &Patient<'_>, name: &str, destinations: AddressSet, ports: &[u16]) -> Change {
    Change::NetworkRule(NetworkRule {
        name: name.to_owned(),
        sources: sources(patient),
        protocols: IpProtocols::TCP,
        destinations,
        ports: ports.iter().map(|port| PortRange::single(*port)).collect(),
        ..NetworkRule::default()
    })
}

/// The environment's subnet.
fn sources(patient: &Patient<'_>) -> AddressSet {
    let mut sources = AddressSet::default();
    let prefixes = patient.network.subnet(patient.place).prefixes.iter();
    let range = |net: &IpNet| AddressRange::between(net.network(), net.broadcast());
    prefixes.filter_map(range).for_each(|range| sources.insert(range));
    sources
}

const MONITOR: &str = "AzureMonitor";
const WEB: [u16; 2] = [80, 443];

fn monitor(patient: &Patient<'_>) -> Outcome {
    let gate = match Gate::of(patient) {
        Ok(gate) => gate,
        Err(outcome) => return outcome,
    };
    let Some(prefixes) = monitoring(patient) else {
        return Outcome::not_applicable(format!("the prefixes of {MONITOR} in this cloud are not at hand"));
    };
    let lacks =
        |range: &&AddressRange| WEB.iter().any(|port| ask_address(&gate, range.first(), *port) == Passage::Lacks);
    let denied: Vec<&AddressRange> = prefixes.iter().filter(lacks).collect();
    if denied.is_empty() {
        return Outcome::Passed;
    }
    let (name, at) = gate.name();
    let what = format!(
        "no network rule lets {} of {} prefixes of {MONITOR} through on ports 80 and 443",
        denied.len(),
        prefixes.len()
    );
    let mut finding = Finding::new(&AZMON, at, name, what);
    if denied.len() < prefixes.len() {
        finding = denied.iter().fold(finding, |finding, range| finding.covers(Coverage::Missing, range.to_string()));
    }
    let mut destinations = AddressSet::default();
    service_tag(MONITOR).into_iter().for_each(|tag| destinations.insert_named(tag));
    Outcome::Found(vec![finding.mend(network_rule(patient, "azure-monitor", destinations, &WEB))])
}

/// IPv4 alone: Azure Firewall has no other.
fn monitoring(patient: &Patient<'_>) -> Option<Vec<AddressRange>> {
    let ranges = patient.network.tags().published(MONITOR)?;
    Some(ranges.iter().copied().filter(|range| range.first().is_ipv4()).collect())
}

fn ask_address(gate: &Gate<'_>, address: IpAddr, port: u16) -> Passage {
    gate.ask(&Host::Addr(address), Protocol::Tcp, port)
}

/// What one blocker takes away.
struct Denied {
    blocker: Blocker,
    what: Vec<String>,
    severity: Severity,
}

fn deny_first(patient: &Patient<'_>) -> Outcome {
    let gate = match Gate::of(patient) {
        Ok(gate) => gate,
        Err(outcome) => return outcome,
    };
    let mut denied: Vec<Denied> = Vec::new();
    for (row, severity) in dependencies(patient, &gate) {
        note(&mut denied, gate.row(&row), row.shown(), severity);
    }
    for range in monitoring(patient).into_iter().flatten() {
        for port in WEB {
            let what = format!("{range}:{port} of {MONITOR}");
            note(&mut denied, ask_address(&gate, range.first(), port), what, Severity::Degraded);
        }
    }
    let stops = |rule: &RuleId, known: &[Denied]| {
        known.iter().any(|it| it.blocker == Blocker::Rule(*rule) && it.severity == Severity::Suspended)
    };
    let by_address = by_address(patient, &gate).into_iter().filter(|(rule, _)| !stops(rule, &denied));
    for (rule, what) in by_address.collect::<Vec<_>>() {
        note(&mut denied, Passage::Denied(Blocker::Rule(rule)), what, Severity::Suspended);
    }
    denied.iter().map(|it| taken(patient, &gate, it)).collect::<Vec<_>>().into()
}

fn note(denied: &mut Vec<Denied>, passage: Passage, what: String, severity: Severity) {
    let Passage::Denied(blocker) = passage else { return };
    match denied.iter_mut().find(|it| it.blocker == blocker) {
        Some(known) => {
            known.what.push(what);
            known.severity = known.severity.max(severity);
        }
        None => denied.push(Denied { blocker, what: vec![what], severity }),
    }
}

/// Services behind names of the list whose prefixes are published.
const NAMED_SERVICES: [&str; 2] = ["AzureActiveDirectory", "AzureResourceManager"];

/// Network rules that deny what names of the list lead to: a service's prefixes, or all the Internet in pieces.
fn by_address(patient: &Patient<'_>, gate: &Gate<'_>) -> Vec<(RuleId, String)> {
    let mut found = Vec::new();
    for tag in NAMED_SERVICES {
        let ranges = patient.network.tags().published(tag);
        for range in ranges.iter().flat_map(|it| it.iter()).filter(|range| range.first().is_ipv4()) {
            let rule = gate.network_denial(range.first(), 443);
            found.extend(rule.map(|rule| (rule, format!("{range}:443 of {tag}"))));
        }
    }
    for port in WEB {
        let rules: Option<Vec<RuleId>> = anywhere().map(|address| gate.network_denial(address, port)).collect();
        let rule = rules.and_then(|rules| rules.first().copied());
        found.extend(rule.map(|rule| (rule, format!("every name on port {port}"))));
    }
    found
}

/// Everything that is asked of the firewall for the platform, each with what its lack brings.
fn dependencies(patient: &Patient<'_>, gate: &Gate<'_>) -> Vec<(Row, Severity)> {
    let Some(edition) = edition(patient, Some(gate)) else { return Vec::new() };
    let linux = patient.environment.linux && patient.network.tags().cloud() == Cloud::Public;
    let stops = [Kind::Fqdn, Kind::Wildcard].into_iter().chain(linux.then_some(Kind::Linux));
    let stops = stops.flat_map(|kind| edition.rows(kind)).map(|row| (row, Severity::Suspended));
    stops.chain(edition.rows(Kind::Ip).into_iter().map(|row| (row, Severity::Degraded))).collect()
}

fn taken(patient: &Patient<'_>, gate: &Gate<'_>, denied: &Denied) -> Finding {
    let (by, at) = gate.shown(denied.blocker);
    let what = format!(
        "{by} denies {} that a later rule allows: {}",
        count(denied.what.len(), "dependency"),
        some(&denied.what),
    );
    let (name, _) = gate.name();
    let mut finding = Finding::new(&DENY_FIRST, at, name, what).graded(denied.severity).because(by, at);
    for what in &denied.what {
        finding = finding.covers(Coverage::Missing, what);
    }
    match denied.blocker {
        Blocker::Rule(id) => finding.mend(removal(gate, id)),
        Blocker::ThreatIntelligence => {
            let names =
                format!("add the names to threatIntelWhitelist of the policy, for {}", patient.environment.name);
            finding.by_hand(names)
        }
    }
}

fn removal(gate: &Gate<'_>, id: RuleId) -> Change {
    Change::RemoveFirewallRule { rule: gate.policy.rule_name(id).to_string() }
}

fn firewall_subnet(patient: &Patient<'_>) -> Outcome {
    let hop = Ways::of(patient).outside().map(|way| way.route.next_hop.clone());
    let Some(Hop::VirtualAppliance(address)) = hop else {
        return Outcome::not_applicable("the default route leads to no appliance");
    };
    let Some(firewall) = patient.network.topology().firewall_at(address) else {
        return Outcome::not_applicable(format!("{address} is no Azure Firewall of the topology"));
    };
    let Some(why) = misplaced(patient, firewall) else { return Outcome::Passed };
    let finding = Finding::new(&SUBNET, firewall.at, &firewall.name, why);
    Outcome::Found(vec![match subnet_for(patient, firewall) {
        Some(change) => finding.mend(change),
        None => finding.by_hand(format!("deploy the firewall in a subnet named {FIREWALL_SUBNET} of at least /26")),
    }])
}

/// A firewall in a network that is out of reach is `RT-DEFAULT`'s.
fn misplaced(patient: &Patient<'_>, firewall: &Firewall) -> Option<String> {
    let network = patient.network.topology().virtual_network(&firewall.virtual_network)?;
    if network.subnet(FIREWALL_SUBNET).is_none() {
        return Some(format!("{} has no subnet {FIREWALL_SUBNET}", network.name));
    }
    let elsewhere = !firewall.subnet.eq_ignore_ascii_case(FIREWALL_SUBNET);
    elsewhere.then(|| format!("it is in the subnet {}, and Azure takes {FIREWALL_SUBNET} alone", firewall.subnet))
}

/// The missing subnet, around the firewall's address where nothing else is there.
fn subnet_for(patient: &Patient<'_>, firewall: &Firewall) -> Option<Change> {
    let network = patient.network.topology().virtual_network(&firewall.virtual_network)?;
    if network.subnet(FIREWALL_SUBNET).is_some() || !firewall.subnet.eq_ignore_ascii_case(FIREWALL_SUBNET) {
        return None;
    }
    let prefix = IpNet::new(firewall.private_address?, 26).ok()?.trunc();
    let apart = |net: &IpNet| !net.contains(&prefix) && !prefix.contains(net);
    let is_free = network.subnets.iter().flat_map(|subnet| &subnet.prefixes).all(apart);
    is_free.then(|| Change::AddSubnet { network: network.name.clone(), subnet: FIREWALL_SUBNET.to_owned(), prefix })
}

fn app_dependencies(patient: &Patient<'_>) -> Outcome {
    if patient.environment.app_dependencies.is_empty() {
        return Outcome::not_applicable("no dependencies of apps are named");
    }
    let gate = match Gate::of(patient) {
        Ok(gate) => gate,
        Err(outcome) => return outcome,
    };
    let is_denied = |it: &&AppDependency| !gate.ask(&it.host, it.protocol, it.port).is_open();
    let denied: Vec<&AppDependency> = patient.environment.app_dependencies.iter().filter(is_denied).collect();
    if denied.is_empty() {
        return Outcome::Passed;
    }
    let (name, at) = gate.name();
    let what = format!(
        "it denies {} that apps need: {}",
        count(denied.len(), "dependency"),
        some(denied.iter().map(|it| shown(it)))
    );
    let mut finding = Finding::new(&APPDEPS, at, name, what);
    for dependency in denied {
        finding = finding.covers(Coverage::Missing, shown(dependency)).mend(open(patient, dependency));
    }
    Outcome::Found(vec![finding])
}

fn shown(dependency: &AppDependency) -> String {
    format!("{}://{}:{}", dependency.protocol, dependency.host, dependency.port)
}

fn open(patient: &Patient<'_>, dependency: &AppDependency) -> Change {
    let AppDependency { protocol, host, port } = dependency;
    let name = format!("app-{host}-{port}");
    match (protocol, host) {
        (Protocol::Http | Protocol::Https | Protocol::Mssql, Host::Name(fqdn)) => {
            Change::ApplicationRule(ApplicationRule {
                name,
                sources: sources(patient),
                protocols: vec![AppProtocol { protocol: *protocol, port: *port }],
                fqdns: vec![FqdnPattern::Exact(fqdn.clone())],
                ..ApplicationRule::default()
            })
        }
        (_, host) => Change::NetworkRule(NetworkRule {
            name,
            sources: sources(patient),
            protocols: if *protocol == Protocol::Udp { IpProtocols::UDP } else { IpProtocols::TCP },
            destinations: addresses(host),
            fqdns: fqdns(host),
            ports: [PortRange::single(*port)].into_iter().collect(),
            ..NetworkRule::default()
        }),
    }
}

fn addresses(host: &Host) -> AddressSet {
    let mut addresses = AddressSet::default();
    if let Host::Addr(address) = host {
        addresses.insert(AddressRange::from(*address));
    }
    addresses
}

fn fqdns(host: &Host) -> Vec<crate::flow::HostName> {
    match host {
        Host::Name(name) => vec![name.clone()],
        Host::Addr(_) => Vec::new(),
    }
}

fn proxy(patient: &Patient<'_>) -> Outcome {
    let way = Ways::of(patient).outside().filter(|way| way.route.next_hop == Hop::VirtualNetworkGateway);
    let (Some(way), Some(gateway)) = (way, ways::gateway(patient)) else {
        return Outcome::not_applicable("what leaves is not forced to one's own premises");
    };
    let why = if gateway.egress_proxy {
        "what leaves goes through a corporate proxy behind it"
    } else if patient.environment.version == AseVersion::V1 {
        "what leaves is forced to it, and version 1 is not supported with a forced tunnel"
    } else {
        return Outcome::Passed;
    };
    let finding = Finding::new(&PROXY, gateway.at, &gateway.name, why).because(ways::shown(&way), way.route.at);
    Outcome::Found(vec![finding.by_hand(
        "let the subnet's traffic leave by a user-defined route for 0.0.0.0/0 to the Internet or to a firewall in Azure",
    )])
}
