//! The first thing that happens to a name: which server is asked, can it be reached, and what is known of the answer.
//! Nothing is sent: an answer is given by whoever asks, or stands in a zone of the topology.

use std::net::IpAddr;

use crate::flow::{AddrClass, HostName, Protocol};
use crate::policy::Action;
use crate::vnet::{AppServiceEnvironment, DnsZone, FlowDirection, LoadBalancing, NetFlow, Place, Transport};

use super::Scene;
use super::book::Book;
use super::outcome::Outcome;
use super::path::{Answer, Lookup};
use super::walk::{self, Packet};
use super::words;

/// Azure's own DNS server: the same in every network.
const AZURE_DNS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(168, 63, 129, 16));
const DNS: u16 = 53;

/// Below these are the names of services that have endpoints. Event hubs, queues of Service Bus and relays share a zone.
const ZONES: &[(&str, &[&str])] = &[
    ("blob.core.windows.net", &["Storage"]),
    ("database.windows.net", &["Sql"]),
    ("dfs.core.windows.net", &["Storage"]),
    ("file.core.windows.net", &["Storage"]),
    ("queue.core.windows.net", &["Storage"]),
    ("servicebus.windows.net", &["EventHub", "ServiceBus"]),
    ("table.core.windows.net", &["Storage"]),
    ("vault.azure.net", &["AzureKeyVault"]),
];

/// The service tags that the addresses of a name may be of.
pub(super) fn tags_of(name: &HostName) -> &'static [&'static str] {
    ZONES.iter().find(|(zone, _)| is_below(name.as_str(), zone)).map_or(&[], |(_, tags)| *tags)
}

/// The service tag that the addresses of a name are surely of.
fn tag_of(name: &HostName) -> Option<&'static str> {
    match tags_of(name) {
        [tag] => Some(tag),
        _ => None,
    }
}

pub(super) fn look_up(scene: Scene<'_>, book: &Book<'_>, from: IpAddr, name: &HostName, port: u16) -> Lookup {
    let given = (scene.given)(name, port);
    let place = scene.network.place_of(from);
    let servers = place.map(|place| scene.network.virtual_network(place).dns_servers.clone()).unwrap_or_default();
    let asked = match place {
        None => Ok("its own DNS".to_owned()),
        Some(place) if servers.is_empty() => azure(scene, place, from),
        Some(_) => custom(scene, book, from, &servers),
    };
    let known = || {
        let zone = place.and_then(|place| in_zones(scene, book, place, &servers, name));
        zone.or_else(|| of_environment(scene, book, name)).map(|(zone, address)| Answer::Zone(zone, address))
    };
    let (resolver, answer) = match asked {
        Err((resolver, why)) => (resolver, Answer::Unreachable(why)),
        Ok(resolver) if !given.is_empty() => (resolver, Answer::Given(given)),
        Ok(resolver) => {
            let sees_all = is_all_seen(book, place, from, &servers);
            let unknown =
                || if sees_all && is_internal(scene, name) { Answer::Nowhere } else { Answer::NotAsked(tag_of(name)) };
            (resolver, known().unwrap_or_else(unknown))
        }
    };
    Lookup { name: name.clone(), resolver, answer }
}

/// Asked, or why not.
type Asked = Result<String, (String, String)>;

fn azure(scene: Scene<'_>, place: Place, from: IpAddr) -> Asked {
    let resolver = format!("Azure DNS, {AZURE_DNS}");
    let question = NetFlow {
        transport: Transport::Udp,
        source: from,
        source_port: walk::EPHEMERAL,
        destination: AZURE_DNS,
        destination_port: DNS,
    };
    let steps = walk::security(scene, place, FlowDirection::Outbound, &question);
    match steps.iter().find(|step| step.access == Action::Deny) {
        None => Ok(resolver),
        Some(denying) => Err((resolver, format!("denied by {}", words::deciding(&denying.because)))),
    }
}

fn custom(scene: Scene<'_>, book: &Book<'_>, from: IpAddr, servers: &[IpAddr]) -> Asked {
    let mut last = String::new();
    for server in servers {
        let question = Packet {
            protocol: Protocol::Udp,
            source: from,
            source_port: walk::EPHEMERAL,
            destination: *server,
            destination_port: DNS,
        };
        match walk::outcome(scene, book, question) {
            Outcome::Delivered => return Ok(format!("the network's own server, {}", book.shown(*server))),
            outcome => last = words::outcome(&outcome),
        }
    }
    let all: Vec<String> = servers.iter().map(ToString::to_string).collect();
    Err((format!("the network's own server, {}", all.join(" or ")), last))
}

/// Private zones are seen by Azure DNS in the networks that they are linked to, and by a firewall there, whose DNS proxy
/// asks Azure's. What else a server of one's own sees is not known here.
fn in_zones(
    scene: Scene<'_>,
    book: &Book<'_>,
    place: Place,
    servers: &[IpAddr],
    name: &HostName,
) -> Option<(String, IpAddr)> {
    let sees = servers.is_empty() || servers.iter().any(|server| book.private_firewall_at(*server).is_some());
    let network = &scene.network.virtual_network(place).name;
    let linked = |zone: &&DnsZone| zone.virtual_networks.iter().any(|it| it.eq_ignore_ascii_case(network));
    let mut zones: Vec<&DnsZone> = scene.network.topology().dns_zones.iter().filter(linked).filter(|_| sees).collect();
    zones.sort_by_key(|zone| std::cmp::Reverse(zone.name.len()));
    zones.into_iter().find_map(|zone| Some((zone.name.clone(), record(zone, name)?)))
}

fn record(zone: &DnsZone, name: &HostName) -> Option<IpAddr> {
    let name = name.as_str();
    let label = if name.eq_ignore_ascii_case(&zone.name) {
        "@"
    } else {
        is_below(name, &zone.name).then(|| &name[..name.len() - zone.name.len() - 1])?
    };
    let find = |wanted: &str| zone.records.iter().find(|(it, _)| it.eq_ignore_ascii_case(wanted)).map(|(_, at)| *at);
    // RFC 4592: the wildcard of the nearest parent that has one.
    let parents = label.match_indices('.').map(|(at, _)| format!("*{}", &label[at..]));
    let wildcards = parents.chain((label != "@").then(|| "*".to_owned()));
    find(label).or_else(|| wildcards.into_iter().find_map(|wanted| find(&wanted)))
}

/// The names of an External environment are in public DNS by themselves.
fn of_environment(scene: Scene<'_>, book: &Book<'_>, name: &HostName) -> Option<(String, IpAddr)> {
    let external = |it: &&AppServiceEnvironment| it.load_balancing == LoadBalancing::External;
    scene.network.topology().environments.iter().filter(external).find_map(|environment| {
        let suffix = environment.suffix(scene.network.tags().cloud());
        is_below(name.as_str(), &suffix).then(|| (suffix, book.vip(environment)))
    })
}

/// Is all that could answer known here: public DNS and the zones of the topology? What servers of one's own, in a network
/// or on premises, know besides is not.
fn is_all_seen(book: &Book<'_>, place: Option<Place>, from: IpAddr, servers: &[IpAddr]) -> bool {
    match place {
        None => AddrClass::of(from) == AddrClass::Global,
        Some(_) => servers.iter().all(|server| book.private_firewall_at(*server).is_some()),
    }
}

/// The names of an ILB environment are in no public DNS: its owner makes the zone (azure-docs, create-ilb-ase.md, 2024). A
/// suffix of the owner's own may be anywhere.
fn is_internal(scene: Scene<'_>, name: &HostName) -> bool {
    let internal = |it: &&AppServiceEnvironment| it.load_balancing.is_internal() && it.dns_suffix.is_empty();
    scene.network.topology().environments.iter().filter(internal).any(|environment| {
        let suffix = environment.suffix(scene.network.tags().cloud());
        name.as_str().eq_ignore_ascii_case(&suffix) || is_below(name.as_str(), &suffix)
    })
}

fn is_below(name: &str, zone: &str) -> bool {
    let name = name.to_lowercase();
    name.strip_suffix(&zone.to_lowercase()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}
