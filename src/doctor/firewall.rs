//! What the firewall lets through (`FW-…`).

mod apps;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::allowlist::{Kind, fqdn_tag, service_tag};
use crate::flow::{Host, PortRange, Protocol};
use crate::policy::{
    AddressRange, AddressSet, AppProtocol, ApplicationRule, FqdnPattern, FqdnTag, IpProtocols, NetworkRule, RuleId,
};
use crate::vnet::{AseVersion, Change, Cloud, FIREWALL_SUBNET, Firewall, Hop};

use super::Patient;
use super::age::edition;
use super::beyond;
use super::dependencies::{Row, editions, representative};
use super::finding::{ANY, BEFORE_V3, Coverage, Finding, Outcome, Rule, Severity, rules};
use super::gate::{Blocker, Gate, Passage};
use super::outbound::anywhere;
use super::ways::{self, Ways};
use super::words::{count, some};
use apps::app_dependencies;

rules! {
    RULES:
    ASE = "FW-ASE", Suspended, BEFORE_V3, [FIREWALL_2018, FIREWALL],
        "the firewall denies names that the platform needs",
        "The subnet needs an application rule with the FQDN tags AppServiceEnvironment and WindowsUpdate, or one for every \
         name and port of the published list. With the first tag alone it counts as degraded, unless other rules let the names \
         of the second through. Each row of the list is asked of the firewall, from the first and the last \
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
         environment is watched less well. The prefixes of the tag are asked one by one, each as a whole; for clouds whose \
         file of tags is not at hand a rule with the tag counts, and one for everything." => monitor;
    DENY_FIRST = "FW-DENY-FIRST", Suspended, BEFORE_V3, [RULE_ORDER, FIREWALL],
        "a rule that denies comes before the one that allows",
        "Rule collections are asked by priority, network rules before application rules, a parent policy's before its \
         child's: a Deny that comes first takes a dependency away that a later rule allows. So does threat intelligence. The \
         finding names the collection and the rule. A network rule that denies prefixes of \
         Entra ID or Resource Manager, or parts of them, or all addresses of a port, denies the names that lead there. What no rule allows anyway is said by the rule for its list. Ports 123 and \
         12000 are OUT-NTP's and OUT-12000's, databases are RT-SQL's." => deny_first, cuts Web;
    SUBNET = "FW-SUBNET", Unhealthy, ANY, [FIREWALL],
        "the firewall has no AzureFirewallSubnet",
        "Azure Firewall lives in a subnet of the name AzureFirewallSubnet, of /26 or larger, in the environment's network or \
         in one that it peers with. Asked where the default route leads to a firewall of the topology." => firewall_subnet;
    APPDEPS = "FW-APPDEPS", App, ANY, [FIREWALL_2018, FIREWALL],
        "the apps do not reach what they need",
        "The platform's list does not know what the apps talk to. What is named as app_dependencies of the environment has to \
         be allowed by the firewall: HTTP and HTTPS by application rules, everything else by network rules; or be led past it \
         by a route. The security group has to let it out, and a route has to lead there. A default route that leads nowhere \
         is RT-DEFAULT's, and ports 80 and 443 that are closed are OUT-WEB's, where they are asked." => app_dependencies;
    PROXY = "FW-PROXY", Unhealthy, BEFORE_V3, [EXPRESS_ROUTE_V1],
        "what leaves passes a corporate proxy or a strange NAT",
        "Where traffic is forced to one's own premises, at once or by the routes of the firewall's subnet, a corporate proxy there changes more than the source, and the \
         platform's services refuse it: environments cannot be made, or go unhealthy. Of version 1 any forced tunnel does that. \
         Of version 2 an address translation alone is RT-SQL's." => proxy;
}

/// How many rows a rule of one's own lists before the tag is the better mend.
const FEW: usize = 40;

const TAGS: [&str; 2] = ["AppServiceEnvironment", "WindowsUpdate"];

fn names(patient: &Patient<'_>) -> Outcome {
    match public(&ASE, patient, Kind::Fqdn) {
        Outcome::Passed => updates(patient).into(),
        other => other,
    }
}

/// Both tags are asked for: what the first stands for is not published, and updates are said to be the second's.
fn updates(patient: &Patient<'_>) -> Option<Finding> {
    let [platform, updates] = TAGS;
    let gate = Gate::of(patient).ok().filter(|gate| gate.has_tag(platform))?;
    let without = gate.without_tag(platform);
    let rest = Gate::of(&Patient { policy: Some(&without), ..*patient }).ok()?;
    let lacks = |(pattern, protocol): &(FqdnPattern, AppProtocol)| {
        let host = Host::Name(representative(pattern)?);
        let passage = rest.ask(&host, protocol.protocol, protocol.port);
        (passage == Passage::Lacks).then(|| format!("{host}:{}", protocol.port))
    };
    let denied: Vec<String> = fqdn_tag(updates)?.members.iter().filter_map(lacks).collect();
    let first = denied.first()?;
    let what = format!(
        "it has no rule with the FQDN tag {updates} for the subnet, nor one for its names such as {first}: what \
         {platform} stands for is not published"
    );
    let (name, at) = gate.name();
    let finding = Finding::new(&ASE, at, name, what).graded(Severity::Degraded);
    let finding = denied.iter().fold(finding, |it, name| it.covers(Coverage::Missing, name));
    Some(finding.mend(Change::ApplicationRule(by_tags(patient, "fw-ase"))))
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
    let Some(prefixes) = monitoring(patient) else { return monitor_by_tag(patient, &gate) };
    let lacks = |range: &&AddressRange| WEB.iter().any(|port| gate.ask_range(**range, *port).contains(&Passage::Lacks));
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
    Outcome::Found(vec![finding.mend(to_tag(patient, "azure-monitor", MONITOR, &WEB))])
}

/// Where no file says what the tag holds, a rule with the tag counts, and one for everything.
fn monitor_by_tag(patient: &Patient<'_>, gate: &Gate<'_>) -> Outcome {
    let stands_for_it = Host::Addr(IpAddr::from([192, 0, 2, 77]));
    let is_let_out =
        |port: &u16| gate.has_service_tag(MONITOR, *port) || gate.ask(&stands_for_it, Protocol::Tcp, *port).is_open();
    if WEB.iter().all(is_let_out) {
        return Outcome::not_applicable(format!(
            "the prefixes of {MONITOR} in this cloud are not at hand; a rule lets it out"
        ));
    }
    let (name, at) = gate.name();
    let what = format!("no network rule lets {MONITOR} through on ports 80 and 443");
    let mend = to_tag(patient, "azure-monitor", MONITOR, &WEB);
    Outcome::Found(vec![Finding::new(&AZMON, at, name, what).mend(mend)])
}

fn to_tag(patient: &Patient<'_>, name: &str, tag: &str, ports: &[u16]) -> Change {
    let mut destinations = AddressSet::default();
    service_tag(tag).into_iter().for_each(|tag| destinations.insert_named(tag));
    network_rule(patient, name, destinations, ports)
}

/// IPv4 alone: Azure Firewall has no other.
fn monitoring(patient: &Patient<'_>) -> Option<Vec<AddressRange>> {
    let ranges = patient.network.tags().published(MONITOR)?;
    Some(ranges.iter().copied().filter(|range| range.first().is_ipv4()).collect())
}

/// What one blocker takes away.
struct Denied {
    blocker: Blocker,
    lost: Vec<Lost>,
    severity: Severity,
}

struct Lost {
    what: String,
    needs: Needs,
}

/// What opens it.
enum Needs {
    Row(Row),
    Tag(&'static str, u16),
    /// Nothing that is narrow enough.
    Everything,
}

fn deny_first(patient: &Patient<'_>) -> Outcome {
    let gate = match Gate::of(patient) {
        Ok(gate) => gate,
        Err(outcome) => return outcome,
    };
    denials(patient, &gate).iter().map(|it| taken(patient, &gate, it)).collect::<Vec<_>>().into()
}

fn denials(patient: &Patient<'_>, gate: &Gate<'_>) -> Vec<Denied> {
    let mut denied: Vec<Denied> = Vec::new();
    for (row, severity) in dependencies(patient, gate) {
        let blocker = gate.row(&row).blocker();
        note(&mut denied, blocker, severity, || Lost { what: row.shown(), needs: Needs::Row(row) });
    }
    for range in monitoring(patient).into_iter().flatten() {
        for port in WEB {
            let blocker = gate.ask_range(range, port).iter().find_map(Passage::blocker);
            let lost = || Lost { what: format!("{range}:{port} of {MONITOR}"), needs: Needs::Tag(MONITOR, port) };
            note(&mut denied, blocker, Severity::Degraded, lost);
        }
    }
    let stops = |rule: &RuleId, known: &[Denied]| {
        known.iter().any(|it| it.blocker == Blocker::Rule(*rule) && it.severity == Severity::Suspended)
    };
    let by_address = by_address(patient, gate).into_iter().filter(|(rule, _)| !stops(rule, &denied));
    for (rule, lost) in by_address.collect::<Vec<_>>() {
        note(&mut denied, Some(Blocker::Rule(rule)), Severity::Suspended, || lost);
    }
    denied
}

fn note(denied: &mut Vec<Denied>, blocker: Option<Blocker>, severity: Severity, lost: impl FnOnce() -> Lost) {
    let Some(blocker) = blocker else { return };
    match denied.iter_mut().find(|it| it.blocker == blocker) {
        Some(known) => {
            known.lost.push(lost());
            known.severity = known.severity.max(severity);
        }
        None => denied.push(Denied { blocker, lost: vec![lost()], severity }),
    }
}

/// Services behind names of the list whose prefixes are published.
const NAMED_SERVICES: [&str; 2] = ["AzureActiveDirectory", "AzureResourceManager"];

/// Network rules that deny what names of the list lead to: a service's prefixes, or all the Internet in pieces.
fn by_address(patient: &Patient<'_>, gate: &Gate<'_>) -> Vec<(RuleId, Lost)> {
    let mut found = Vec::new();
    for tag in NAMED_SERVICES {
        let ranges = patient.network.tags().published(tag);
        for range in ranges.iter().flat_map(|it| it.iter()).filter(|range| range.first().is_ipv4()) {
            let rule = gate.parts(*range).into_iter().find_map(|address| gate.network_denial(address, 443));
            let lost = || Lost { what: format!("{range}:443 of {tag}"), needs: Needs::Tag(tag, 443) };
            found.extend(rule.map(|rule| (rule, lost())));
        }
    }
    for port in WEB {
        let rules: Option<Vec<RuleId>> = anywhere().map(|address| gate.network_denial(address, port)).collect();
        let rule = rules.and_then(|rules| rules.first().copied());
        let lost = || Lost { what: format!("every name on port {port}"), needs: Needs::Everything };
        found.extend(rule.map(|rule| (rule, lost())));
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
    let lost: Vec<&str> = denied.lost.iter().map(|it| it.what.as_str()).collect();
    let what = format!("{by} denies {} that a later rule allows: {}", count(lost.len(), "dependency"), some(&lost));
    let (name, _) = gate.name();
    let mut finding = Finding::new(&DENY_FIRST, at, name, what).graded(denied.severity).because(by, at);
    for what in &lost {
        finding = finding.covers(Coverage::Missing, *what);
    }
    if denied.blocker == Blocker::ThreatIntelligence {
        let names = format!("add the names to threatIntelWhitelist of the policy, for {}", patient.environment.name);
        return finding.by_hand(names);
    }
    let is_open = |after: &Gate<'_>| {
        let left = denials(patient, after);
        !left.iter().flat_map(|it| &it.lost).any(|it| lost.contains(&it.what.as_str()))
    };
    gate.mended_by(patient, finding, allowed_before(patient, gate, denied), Some(denied.blocker), is_open)
}

/// Rules for the subnet alone, in a collection that comes first: whoever else is denied stays denied. Empty where only
/// a rule for everything would help.
fn allowed_before(patient: &Patient<'_>, gate: &Gate<'_>, denied: &Denied) -> Vec<Change> {
    let (path, _) = gate.shown(denied.blocker);
    let rule = path.rsplit('/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("-");
    let name = format!("before-{rule}");
    let (mut rows, mut tags): (Vec<&Row>, BTreeMap<&str, Vec<u16>>) = (Vec::new(), BTreeMap::new());
    for lost in &denied.lost {
        match &lost.needs {
            Needs::Row(row) => rows.push(row),
            Needs::Tag(tag, port) => tags.entry(tag).or_default().push(*port),
            Needs::Everything => return Vec::new(),
        }
    }
    let by_tag = tags.into_iter().map(|(tag, mut ports)| {
        ports.sort_unstable();
        ports.dedup();
        to_tag(patient, &format!("{name}-{tag}"), tag, &ports)
    });
    let by_tag: Vec<Change> = by_tag.collect();
    let by_row = if rows.is_empty() { Vec::new() } else { open_rows(patient, &rows, &name) };
    by_row.into_iter().chain(by_tag).collect()
}

fn firewall_subnet(patient: &Patient<'_>) -> Outcome {
    let hop = Ways::of(patient).outside().map(|way| way.route.next_hop.clone());
    let Some(Hop::VirtualAppliance(address)) = hop else {
        return Outcome::not_applicable("the default route leads to no appliance");
    };
    let Some(firewall) = patient.network.topology().firewall_at(address).or_else(|| homeless(patient, address)) else {
        return Outcome::not_applicable(format!("{address} is no Azure Firewall of the topology"));
    };
    let Some(why) = misplaced(patient, firewall) else { return Outcome::Passed };
    let finding = Finding::new(&SUBNET, firewall.at, &firewall.name, why);
    Outcome::Found(vec![match subnet_for(patient, firewall, address) {
        Some(change) => finding.mend(change),
        None => finding.by_hand(format!("deploy the firewall in a subnet named {FIREWALL_SUBNET} of at least /26")),
    }])
}

/// A firewall whose subnet is missing has no address yet; the default route tells the one that it was to have.
pub(super) fn homeless<'a>(patient: &Patient<'a>, address: IpAddr) -> Option<&'a Firewall> {
    let topology = patient.network.topology();
    let without = topology.firewalls.iter().filter(|firewall| firewall.private_address.is_none());
    let mut near = without.filter(|firewall| {
        let network = topology.virtual_network(&firewall.virtual_network);
        network.is_some_and(|network| network.address_space.iter().any(|net| net.contains(&address)))
    });
    near.next()
}

/// A firewall in a network that is out of reach is `RT-DEFAULT`'s.
fn misplaced(patient: &Patient<'_>, firewall: &Firewall) -> Option<String> {
    let network = patient.network.topology().virtual_network(&firewall.virtual_network)?;
    if network.subnet(FIREWALL_SUBNET).is_none() {
        return Some(format!("{} has no subnet {FIREWALL_SUBNET}", network.name));
    }
    if !firewall.subnet.eq_ignore_ascii_case(FIREWALL_SUBNET) {
        return Some(format!("it is in the subnet {}, and Azure takes {FIREWALL_SUBNET} alone", firewall.subnet));
    }
    let lengths = network.subnet(FIREWALL_SUBNET).into_iter().flat_map(|it| &it.prefixes).map(IpNet::prefix_len);
    let length = lengths.min().filter(|length| *length > SMALLEST)?;
    Some(format!("{FIREWALL_SUBNET} is a /{length}, and Azure takes /{SMALLEST} or larger"))
}

/// Of the firewall's subnet.
const SMALLEST: u8 = 26;

/// The missing subnet, around the firewall's address where nothing else is there.
fn subnet_for(patient: &Patient<'_>, firewall: &Firewall, address: IpAddr) -> Option<Change> {
    let network = patient.network.topology().virtual_network(&firewall.virtual_network)?;
    if network.subnet(FIREWALL_SUBNET).is_some() || !firewall.subnet.eq_ignore_ascii_case(FIREWALL_SUBNET) {
        return None;
    }
    let prefix = IpNet::new(firewall.private_address.unwrap_or(address), 26).ok()?.trunc();
    let apart = |net: &IpNet| !net.contains(&prefix) && !prefix.contains(net);
    let is_free = network.subnets.iter().flat_map(|subnet| &subnet.prefixes).all(apart);
    is_free.then(|| Change::AddSubnet { network: network.name.clone(), subnet: FIREWALL_SUBNET.to_owned(), prefix })
}

fn proxy(patient: &Patient<'_>) -> Outcome {
    let Some((way, gateway)) = beyond::forced(patient) else {
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
