//! The first thing that happens to a name: which server is asked, can it be reached, and what is known of the answer.
//! Nothing is sent: an answer is given by whoever asks, or stands in a zone of the topology.

use std::net::IpAddr;

use crate::flow::{AddrClass, HostName, Protocol};
use crate::policy::Action;
use crate::vnet::{
    AppServiceEnvironment, DnsZone, EPHEMERAL, FlowDirection, HOST, LoadBalancing, NetFlow, Place, Transport,
    endpoint_tag,
};

use super::Scene;
use super::book::Book;
use super::outcome::Outcome;
use super::path::{Answer, Lookup};
use super::walk::{self, Packet};
use super::words;

const DNS: u16 = 53;

/// Shares its zone with event hubs, and no list has it.
const SERVICE_BUS: &str = "Microsoft.ServiceBus";
const EVENT_HUB: &str = "Microsoft.EventHub";

/// The services that a name may be of.
pub(super) fn services_of(scene: Scene<'_>, name: &HostName) -> Vec<String> {
    let mut services = scene.network.tags().services_of(name);
    if services.iter().any(|it| it == EVENT_HUB) {
        services.push(SERVICE_BUS.to_owned());
    }
    services
}

/// The service that a name is surely of.
pub(super) fn service_of(scene: Scene<'_>, name: &HostName) -> Option<String> {
    let services = services_of(scene, name);
    <[String; 1]>::try_from(services).ok().map(|[service]| service)
}

/// Who looks a name up, and what else depends on who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) address: IpAddr,
    /// Its subnet, if it is in one.
    pub(super) place: Option<Place>,
}

pub(super) fn look_up(scene: Scene<'_>, book: &Book<'_>, asker: Asker, name: &HostName, port: u16) -> Lookup {
    let given = (scene.given)(name, port);
    let Asker { address: from, place } = asker;
    let servers = place.map(|place| scene.network.virtual_network(place).dns_servers.clone()).unwrap_or_default();
    let asked = match place {
        None => Ok("its own DNS".to_owned()),
        Some(place) if servers.is_empty() => azure(scene, place, from),
        Some(place) => custom(scene, book, place, from, &servers),
    };
    let known = || {
        let zone = place.and_then(|place| in_zones(scene, book, place, &servers, name));
        zone.or_else(|| of_environment(scene, book, name)).map(|(zone, address)| Answer::Zone(zone, address))
    };
    let tag = || service_of(scene, name).as_deref().and_then(endpoint_tag);
    let (resolver, answer) = match asked {
        Err((resolver, why)) => (resolver, Answer::Unreachable(why)),
        Ok(resolver) if !given.is_empty() => (resolver, Answer::Given(given)),
        Ok(resolver) => {
            let sees_all = is_all_seen(book, place, from, &servers);
            let unknown =
                || if sees_all && is_internal(scene, name) { Answer::Nowhere } else { Answer::NotAsked(tag()) };
            (resolver, known().unwrap_or_else(unknown))
        }
    };
    Lookup { name: name.clone(), resolver, answer }
}

/// Asked, or why not.
type Asked = Result<String, (String, String)>;

fn azure(scene: Scene<'_>, place: Place, from: IpAddr) -> Asked {
    let resolver = format!("Azure DNS, {HOST}");
    let question = NetFlow {
        transport: Transport::Udp,
        source: from,
        source_port: EPHEMERAL,
        destination: HOST,
        destination_port: DNS,
    };
    let steps = walk::security(scene, place, FlowDirection::Outbound, &question);
    match steps.iter().find(|step| step.access == Action::Deny) {
        None => Ok(resolver),
        Some(denying) => Err((resolver, format!("denied by {}", words::deciding(&denying.because)))),
    }
}

fn custom(scene: Scene<'_>, book: &Book<'_>, place: Place, from: IpAddr, servers: &[IpAddr]) -> Asked {
    let mut last = String::new();
    for server in servers {
        let question = Packet {
            protocol: Protocol::Udp,
            source: from,
            source_port: EPHEMERAL,
            destination: *server,
            destination_port: DNS,
        };
        match walk::outcome(scene, book, question, Some(place)) {
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
