//! Which way traffic leaves and comes back (`RT-…`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::flow::AddrClass;
use crate::policy::AddressRange;
use crate::vnet::recipe::{MOST_ROUTES, MOST_TAG_ROUTES};
use crate::vnet::{
    Change, EffectiveRoute, Firewall, Hop, NextHop, Obstacle, Route, RouteDestination, Selection, Stage,
};

use super::Patient;
use super::beyond;
use super::finding::{ANY, BEFORE_V3, Coverage, Finding, Outcome, Severity, rules};
use super::outbound::{NEEDED, anywhere, is_published};
use super::ways::{self, Stretch, Ways};
use super::words::{count, some};
use super::{clients, endpoints, management, premises, singles};

rules! {
    RULES:
    DEFAULT = "RT-DEFAULT", Suspended, BEFORE_V3, [NETWORKING_2017, FIREWALL_2018, FORCED_TUNNEL],
        "the default route leads nowhere",
        "What the platform needs is on the Internet, under addresses that nobody can list. So 0.0.0.0/0 has to lead to the \
         Internet, to an appliance that is there, or to a gateway that is there. It breaks with the next hop None, an \
         appliance outside the network or in none of its subnets, an address of the firewall's subnet that the firewall does \
         not have, or VirtualNetworkGateway without a gateway. It breaks as well where the firewall's own subnet has a route \
         like that, or one back to itself, and where routes for a /16 or more of the Internet lead nowhere, or narrower ones \
         for what is known to be needed: Entra ID, Resource Manager, and Azure Monitor, without which it is degraded; where \
         nothing else leads to them, Storage and Event Hubs. And it breaks where a peering on the way does not carry what is \
         sent, or the firewall cannot give the replies back: they are forwarded traffic for the network of the environment, \
         whose half of the peering has to allow it (allowForwardedTraffic). Whether the other side lets through what has to pass is asked by RT-MGMT, \
         RT-SQL, RT-SE and FW-…; an appliance inside the environment's own subnet is RT-NVA-SUBNET's." => default_route, cuts Internet;
    MGMT = "RT-MGMT", Suspended, BEFORE_V3, [FIREWALL_2018, MANAGEMENT, FIREWALL],
        "replies to management leave by another address",
        "Management comes in by the public VIP, and its connections live only while the replies leave by the same. Only the \
         next hop Internet does that: behind a firewall or a gateway the replies bear another address. Every prefix that \
         App Service manages from needs a route to the Internet that no narrower one takes away. It breaks without any such \
         route, and where a narrower route of one's own diverts part of them. Routes for some addresses of many are \
         RT-MGMT-STALE's, narrower routes of BGP are RT-BGP-SPECIFIC's. The cloud in China publishes no file of service \
         tags: its two documented addresses count there, and a route with the tag is believed, but where one for a single address takes it \
         away." => mgmt;
    MGMT_STALE = "RT-MGMT-STALE", Suspended, BEFORE_V3, [MANAGEMENT, FIREWALL_2018],
        "routes for management cover part of its addresses",
        "The recipe of 2018 makes a /32 route of each documented address. Today the service tag AppServiceManagement has \
         ranges, and the 72 addresses that were last documented cover 34 of its 231 prefixes fully, 37 partly and 160 not at \
         all. Management from the others gets its replies from a strange address. Every prefix is listed with how much of \
         it is covered. It asks where routes with explicit prefixes, and no route with a tag, lead management to the \
         Internet; without any route it is RT-MGMT." => mgmt_stale;
    SQL = "RT-SQL", Suspended, BEFORE_V3, [NETWORKING_2017, FORCED_TUNNEL, FIREWALL],
        "the environment's own database refuses it",
        "The platform keeps its state in an Azure SQL database with a firewall of its own, which takes connections from the \
         environment's VIP alone. It answers where the subnet has the service endpoint Microsoft.Sql, where SQL leaves to the \
         Internet by the VIP, or where the addresses that it leaves by are in userWhitelistedIpRanges and the firewall on the \
         way lets TCP 1433 through. The addresses are those of the firewall, of the gateway behind it where its subnet's \
         routes lead there, or of the interface of another appliance. The prefixes of the service tag Sql are asked one by \
         one." => sql, cuts Sql;
    SE = "RT-SE", Suspended, BEFORE_V3, [FIREWALL, FIREWALL_2018, FORCED_TUNNEL],
        "a service endpoint is missing behind the firewall",
        "What goes to Storage and Event Hubs is not supported through a firewall device: it needs service endpoints (for \
         Storage the one for every region, Microsoft.Storage.Global, will do), or routes with the services' tags to the Internet. The document of 2018 names Key Vault in place of Event Hubs; who \
         follows it is told by DOC-LIST-AGE. Where 0.0.0.0/0 leads to a gateway, only Storage is asked for. Microsoft.Sql is \
         RT-SQL's, because there are other ways for it." => service_endpoints;
    SE_SQLALL = "RT-SE-SQLALL", App, ANY, [FORCED_TUNNEL, FIREWALL, ENDPOINTS],
        "a database of the apps does not know the subnet",
        "With the service endpoint of SQL on, every Azure SQL database that is reached from the subnet sees private \
         addresses. One that allows public addresses alone refuses the apps until it has a virtual network rule for the \
         subnet. Only databases that the topology names are asked." => databases;
    BGP_SPECIFIC = "RT-BGP-SPECIFIC", Suspended, BEFORE_V3, [NETWORKING_2017, FORCED_TUNNEL, EXPRESS_ROUTE_V1],
        "narrower routes of BGP take Azure's ranges away",
        "A user-defined route for 0.0.0.0/0 does not help against prefixes that BGP brings and that are narrower. Where \
         routes of the public peering are advertised on the private peering, all that is for Azure is forced to one's own \
         premises, which is not supported. Asked are the prefixes of the service tags that an environment needs, those of \
         management first. Routes of service endpoints cannot be beaten so." => bgp_specific;
    BGP_OFF = "RT-BGP-OFF", App, ANY, [FORCED_TUNNEL],
        "routes of BGP are ignored, and nothing stands in for them",
        "A route table with disableBgpRoutePropagation knows no way to one's own premises. Apps reach what is there, and \
         clients there get replies, only by user-defined routes to VirtualNetworkGateway (or, on purpose, to an appliance). \
         Private prefixes of the gateway are asked, each as a whole." => bgp_off;
    APP_REPLY = "RT-APP-REPLY", App, ANY, [FIREWALL_2018, FIREWALL, ISSUE_REPLIES],
        "replies to clients of the apps do not go back the way they came",
        "Clients of an External environment come by the public VIP; where 0.0.0.0/0 leads to a firewall, the replies leave by \
         another address, and the apps are dead until the clients' ranges are routed to the Internet or an Application \
         Gateway stands in front. Clients of an internal load balancer are in the network, a peer or behind a gateway, and \
         the replies have to go there. Private networks that routes of BGP would lead to are RT-BGP-OFF's." => app_replies;
    APPGW = "RT-APPGW", App, ANY, [FIREWALL_2018, FIREWALL],
        "the Application Gateway is not reached directly",
        "An Application Gateway gives all clients one address, which has to be routed straight: inside the network or a peer \
         of it, or to the Internet where it is a public one. By way of a firewall its connections break." => app_gateway;
    IPDEP = "RT-IPDEP", Degraded, BEFORE_V3, [FIREWALL_2018, FIREWALL],
        "a dependency that is listed by its address is not reached",
        "A few dependencies have addresses and no names: four on ports 80 and 443 in the list of 2023, seven in that of 2018. \
         They are needed to monitor and alert. Each has to leave by a route to the Internet, as the document of 2018 has it, or \
         by a network rule of the firewall: one for AzureMonitor will do, as the four are among its prefixes. Ports 123 and 12000 to anywhere are OUT-NTP's and OUT-12000's." => singles;
    NVA_SUBNET = "RT-NVA-SUBNET", Unhealthy, ANY, [ROUTING, NETWORKING],
        "the environment's subnet is not its own",
        "An appliance inside the subnet whose traffic it is to take gets its own packets back: a loop. And nothing else may be in the subnet \
         of an environment: no interface, no firewall, no other environment. Of version 3 the second is NET-DELEGATION's." => own_subnet;
    TABLE_LIMITS = "RT-LIMITS", Unhealthy, ANY, [ROUTING, LIMITS],
        "the route table is larger than Azure takes",
        "A route table holds 400 user-defined routes, and 25 of them with service tags. Beyond that, changes are refused, and \
         what the table lacks then stays away." => limits;
}

fn mgmt(patient: &Patient<'_>) -> Outcome {
    management::look(&MGMT, patient)
}

fn mgmt_stale(patient: &Patient<'_>) -> Outcome {
    management::look_stale(&MGMT_STALE, patient)
}

fn sql(patient: &Patient<'_>) -> Outcome {
    endpoints::sql(&SQL, patient)
}

fn service_endpoints(patient: &Patient<'_>) -> Outcome {
    endpoints::others(&SE, patient)
}

fn databases(patient: &Patient<'_>) -> Outcome {
    endpoints::databases(&SE_SQLALL, patient)
}

fn bgp_specific(patient: &Patient<'_>) -> Outcome {
    premises::specific(&BGP_SPECIFIC, patient)
}

fn bgp_off(patient: &Patient<'_>) -> Outcome {
    premises::ignored(&BGP_OFF, patient)
}

fn app_replies(patient: &Patient<'_>) -> Outcome {
    clients::replies(&APP_REPLY, patient)
}

fn app_gateway(patient: &Patient<'_>) -> Outcome {
    clients::application_gateway(&APPGW, patient)
}

fn singles(patient: &Patient<'_>) -> Outcome {
    singles::look(&IPDEP, patient)
}

fn default_route(patient: &Patient<'_>) -> Outcome {
    let beyond = || beyond::behind_default(patient);
    let behind_it = |look: fn(&Patient<'_>) -> Option<Finding>| {
        let (firewall, there) = beyond()?;
        let found = look(&there)?;
        Some(Finding { what: format!("behind the firewall {}, {}", firewall.name, found.what), ..found })
    };
    let found = dead_end(patient).or_else(|| behind(patient)).or_else(|| holes(patient)).or_else(|| behind_it(holes));
    found.or_else(|| barred(patient)).or_else(|| missed(patient)).or_else(|| behind_it(missed)).into()
}

/// A peering that carries nothing, or replies that do not come back.
fn barred(patient: &Patient<'_>) -> Option<Finding> {
    let ways = Ways::of(patient);
    let outside = ways.outside()?;
    let is_of_it = |address: &IpAddr| ways.to(*address).is_some_and(|way| std::ptr::eq(way.route, outside.route));
    let Obstacle { way, why, stage } = patient.network.obstacle(patient.place, anywhere().find(is_of_it)?)?;
    let subnet = patient.network.subnet(patient.place);
    let is_loop = |hop: &Hop| matches!(hop, Hop::VirtualAppliance(address) if subnet.contains(*address));
    if stage == Stage::Out && is_loop(&outside.route.next_hop) {
        return None;
    }
    let what = match stage {
        Stage::Out => format!("{} leads to {}: {why}", ways::destination(&outside), outside.route.next_hop),
        Stage::Beyond(firewall) => format!("behind the firewall {}, {why}", firewall.name),
        Stage::Back(firewall) => {
            format!("replies by the firewall {} do not come back to {}: {why}", firewall.name, subnet.name)
        }
    };
    let (name, at) =
        way.as_ref().map_or((subnet.name.clone(), subnet.at), |way| (subject(way, &subnet.name), way.route.at));
    let finding = Finding::new(&DEFAULT, at, name, what);
    let finding = way.iter().fold(finding, |finding, way| finding.because(ways::shown(way), way.route.at));
    let removal = way.iter().filter(|way| way.route.next_hop == Hop::None).find_map(ways::remove_route);
    Some(match removal {
        Some(change) => finding.mend(change),
        None => finding.by_hand(
            "let both halves of the peering carry it: allowVirtualNetworkAccess in each, and allowForwardedTraffic in that of \
             the environment's network",
        ),
    })
}

/// Services that are needed and that routes of one's own lead nowhere, however narrow. Of what only a service endpoint
/// helps, behind a firewall, RT-SE tells; of dependencies that are listed as single addresses, RT-IPDEP.
fn missed(patient: &Patient<'_>) -> Option<Finding> {
    let missing: Vec<Missed<'_>> = NEEDED.iter().filter_map(|(tag, grade)| Missed::of(patient, tag, *grade)).collect();
    let severity = missing.iter().map(|it| it.severity).max()?;
    let mut ways: Vec<&Selection<'_>> = Vec::new();
    for way in missing.iter().flat_map(|it| &it.lost).map(|stretch| &stretch.way) {
        if !ways.iter().any(|known| std::ptr::eq(known.route, way.route)) {
            ways.push(way);
        }
    }
    let way = ways.first()?;
    let routes = some(ways.iter().map(|way| ways::destination(way)));
    let what = format!("{} is not reached: {routes} leads nowhere", some(missing.iter().map(|it| &it.name)));
    let mut finding = Finding::new(&DEFAULT, way.route.at, subject(way, ""), what).graded(severity);
    for stretch in missing.iter().flat_map(|it| &it.lost) {
        finding = finding.covers(Coverage::Missing, stretch.range.to_string());
    }
    for way in ways {
        finding = finding.because(ways::shown(way), way.route.at);
        finding = ways::remove_route(way).into_iter().fold(finding, Finding::mend);
    }
    Some(finding)
}

/// What of a service is not reached.
struct Missed<'a> {
    /// `part of Storage`
    name: String,
    severity: Severity,
    lost: Vec<Stretch<'a>>,
}

impl<'a> Missed<'a> {
    fn of(patient: &Patient<'a>, tag: &str, grade: Severity) -> Option<Missed<'a>> {
        let ways = Ways::of(patient);
        let is_direct = || ways.outside().is_some_and(|way| way.route.next_hop == Hop::Internet);
        if BY_ENDPOINT.contains(&tag) && !is_direct() {
            return None;
        }
        let ranges = patient.network.tags().published(tag)?;
        let stretches: Vec<Stretch<'_>> = ranges.iter().flat_map(|range| ways.stretches(*range)).collect();
        let size = |stretches: &[Stretch<'_>]| stretches.iter().map(Stretch::size).sum::<u64>();
        let whole = size(&stretches);
        let lost: Vec<Stretch<'_>> = stretches.into_iter().filter(|it| is_missed(patient, it)).collect();
        let (name, severity) = match 2 * size(&lost) > whole {
            true => (tag.to_owned(), grade),
            false => (format!("part of {tag}"), grade.min(Severity::Unhealthy)),
        };
        (!lost.is_empty()).then_some(Missed { name, severity, lost })
    }
}

/// What RT-SE asks about where something else than the Internet is the way out.
const BY_ENDPOINT: [&str; 2] = ["EventHub", "Storage"];

fn is_missed(patient: &Patient<'_>, stretch: &Stretch<'_>) -> bool {
    let is_own = stretch.way.route.route_table.is_some() && stretch.way.prefix.prefix_len() > 1;
    let (first, last) = (stretch.range.first(), stretch.range.last());
    let is_told_elsewhere = || first == last && is_published(first);
    let stops = || patient.network.obstacle(patient.place, first).is_some_and(|it| it.stage == Stage::Out);
    is_own && may_be_dead(stretch.hop()) && !is_told_elsewhere() && stops()
}

fn dead_end(patient: &Patient<'_>) -> Option<Finding> {
    let way = Ways::of(patient).outside();
    let why = nowhere(patient, way.as_ref())?;
    Some(blocked(patient, way, why, way_out(patient)))
}

/// The way on from the firewall that the default route leads to.
fn behind(patient: &Patient<'_>) -> Option<Finding> {
    let Hop::VirtualAppliance(address) = Ways::of(patient).outside()?.route.next_hop else { return None };
    let firewall = patient.network.topology().firewall_at(address)?;
    let place = patient.network.place(&firewall.virtual_network, &firewall.subnet)?;
    let patient = &Patient { place, ..*patient };
    let way = Ways::of(patient).outside();
    let back = |way: &Selection<'_>| match way.route.next_hop {
        Hop::VirtualAppliance(hop) if patient.network.subnet(place).contains(hop) => {
            Some(format!("{} leads to {hop}, back into its own subnet", way.prefix))
        }
        _ => None,
    };
    let why = nowhere(patient, way.as_ref()).or_else(|| way.as_ref().and_then(back))?;
    Some(blocked(patient, way, format!("behind the firewall {}, {why}", firewall.name), NextHop::Internet))
}

/// Routes for less are taken for wanted: somebody may drop what a list of bad addresses names.
const WIDE: u8 = 16;

/// Large parts of the Internet that routes of one's own lead nowhere.
fn holes(patient: &Patient<'_>) -> Option<Finding> {
    let ways = Ways::of(patient);
    let is_wide = |net: &IpNet| net.addr().is_ipv4() && (1..=WIDE).contains(&net.prefix_len());
    let routes = patient.network.effective_routes(patient.place).iter();
    // What a service tag leads astray is asked service by service.
    let is_own = |route: &EffectiveRoute| route.route_table.is_some() && route.tag.is_none();
    let dead = routes.filter(|route| is_own(route) && may_be_dead(&route.next_hop));
    let nets = dead.flat_map(|route| &route.prefixes).filter(|net| is_wide(net));
    let ranges = nets.filter_map(|net| AddressRange::between(net.network(), net.broadcast()));
    let is_lost = |it: &Stretch<'_>| {
        let own = is_own(it.way.route) && is_wide(&it.way.prefix) && may_be_dead(it.hop());
        own && is_public(it.range) && nowhere(patient, Some(&it.way)).is_some()
    };
    let mut lost: Vec<Stretch<'_>> = ranges.flat_map(|range| ways.stretches(range)).filter(is_lost).collect();
    lost.sort_by_key(|stretch| stretch.range.first());
    lost.dedup_by_key(|stretch| stretch.range);
    let way = &lost.first()?.way;
    let prefixes: BTreeSet<IpNet> = lost.iter().map(|stretch| stretch.way.prefix).collect();
    let what = format!("part of the Internet is not reached: {} leads nowhere", some(&prefixes));
    let mut finding = Finding::new(&DEFAULT, way.route.at, subject(way, ""), what);
    for stretch in &lost {
        finding = finding.covers(Coverage::Missing, stretch.range.to_string());
    }
    for way in lost.iter().map(|stretch| &stretch.way) {
        if let Some(change) = ways::remove_route(way).filter(|change| !finding.mend.contains(change)) {
            finding = finding.because(ways::shown(way), way.route.at).mend(change);
        }
    }
    Some(finding)
}

fn may_be_dead(hop: &Hop) -> bool {
    matches!(hop, Hop::None | Hop::VirtualAppliance(_) | Hop::VirtualNetworkGateway)
}

/// Is anything of it on the Internet? What is set aside is told by the end of each /16.
fn is_public(range: AddressRange) -> bool {
    let (IpAddr::V4(first), IpAddr::V4(last)) = (range.first(), range.last()) else { return false };
    let (first, last) = (u32::from(first), u32::from(last));
    let mut ends = (first >> 16..=last >> 16).map(|high| (high << 16 | 0xffff).min(last));
    ends.any(|end| AddrClass::of(IpAddr::V4(end.into())) == AddrClass::Global)
}

fn blocked(patient: &Patient<'_>, way: Option<Selection<'_>>, why: String, way_out: NextHop) -> Finding {
    let subnet = patient.network.subnet(patient.place);
    let (subject, at) =
        way.as_ref().map_or((subnet.name.clone(), subnet.at), |way| (subject(way, &subnet.name), way.route.at));
    let finding = Finding::new(&DEFAULT, at, subject, why);
    let finding = way.iter().fold(finding, |finding, way| finding.because(ways::shown(way), way.route.at));
    let name = way.as_ref().filter(|way| way.route.route_table.is_some()).map_or("default", |way| &way.route.name);
    let everything = RouteDestination::Net("0.0.0.0/0".parse().expect("a literal prefix"));
    let routes = vec![(name.to_owned(), everything, way_out)];
    ways::add_routes(patient, routes).into_iter().fold(finding, Finding::mend)
}

/// `ase-routes/default`
fn subject(way: &Selection<'_>, subnet: &str) -> String {
    match &way.route.route_table {
        Some(table) => format!("{table}/{}", way.route.name),
        None => subnet.to_owned(),
    }
}

fn nowhere(patient: &Patient<'_>, way: Option<&Selection<'_>>) -> Option<String> {
    let Some(way) = way else { return Some("no route leads out of the subnet".to_owned()) };
    let hop = &way.route.next_hop;
    match &way.route.next_hop {
        Hop::Internet => None,
        Hop::VirtualNetworkGateway if ways::gateway(patient).is_some() => None,
        Hop::VirtualNetworkGateway => Some(format!("{} leads to {hop}, and there is no gateway", way.prefix)),
        Hop::VirtualAppliance(address) => {
            absent(patient, *address).map(|why| format!("{} leads to {hop}, {why}", way.prefix))
        }
        Hop::None => Some(format!("{} has the next hop None: all that leaves is dropped", way.prefix)),
        _ => Some(format!("{} leads to {hop}, which is not the way out", way.prefix)),
    }
}

/// Why no appliance takes what is sent to this address.
fn absent(patient: &Patient<'_>, address: IpAddr) -> Option<String> {
    let network = patient.network.virtual_network(patient.place);
    if patient.network.subnet(patient.place).contains(address) {
        return None;
    }
    let peers = network.peerings.iter().flat_map(|peering| patient.network.remote_space(peering));
    if !network.address_space.iter().copied().chain(peers).any(|net| net.contains(&address)) {
        return Some(format!("which is neither in {} nor in a network that it peers with", network.name));
    }
    let is_own = network.address_space.iter().any(|net| net.contains(&address));
    let is_placed = network.subnets.iter().any(|subnet| subnet.contains(address));
    if is_own && !is_placed && patient.network.topology().firewall_at(address).is_none() {
        return Some(format!("which is in no subnet of {}", network.name));
    }
    let (place, firewall) = firewall_beside(patient, address)?;
    let real = firewall.private_address.filter(|real| *real != address)?;
    Some(format!("which nobody has in {place}: the firewall {} is at {real}", firewall.name))
}

/// The firewall whose subnet an address is of.
fn firewall_beside<'a>(patient: &Patient<'a>, address: IpAddr) -> Option<(&'a str, &'a Firewall)> {
    let place = patient.network.place_of(address)?;
    Some((&patient.network.subnet(place).name, patient.network.firewall_in(place)?))
}

/// The firewall that there is, or else the Internet.
pub(super) fn way_out(patient: &Patient<'_>) -> NextHop {
    let network = patient.network.virtual_network(patient.place);
    let is_near = |firewall: &&Firewall| {
        let peers =
            network.peerings.iter().any(|peering| peering.remote.eq_ignore_ascii_case(&firewall.virtual_network));
        peers || firewall.virtual_network.eq_ignore_ascii_case(&network.name)
    };
    let firewall = patient.network.topology().firewalls.iter().find(is_near);
    firewall.and_then(|it| it.private_address).map_or(NextHop::Internet, NextHop::VirtualAppliance)
}

fn own_subnet(patient: &Patient<'_>) -> Outcome {
    Outcome::from(loop_back(patient).into_iter().chain(occupied(patient)).collect::<Vec<_>>())
}

fn loop_back(patient: &Patient<'_>) -> Option<Finding> {
    let (table, subnet) = (patient.network.route_table_of(patient.place)?, patient.network.subnet(patient.place));
    let inside =
        |route: &&Route| matches!(route.next_hop, NextHop::VirtualAppliance(address) if subnet.contains(address));
    let looping: Vec<&Route> = table.routes.iter().filter(inside).collect();
    let first = looping.first()?;
    let subject = format!("{}/{}", table.name, first.name);
    let what = format!("the next hop of {} is inside {}: a loop", some(looping.iter().map(|it| &it.name)), subnet.name);
    let mut finding = Finding::new(&NVA_SUBNET, first.at, subject, what);
    for route in &looping {
        finding = finding.because(format!("route {}/{} to {}", table.name, route.name, next_hop(route)), route.at);
        finding = finding.mend(Change::Route {
            table: table.name.clone(),
            route: Route { next_hop: way_out(patient), ..Route::clone(route) },
        });
    }
    Some(finding)
}

fn next_hop(route: &Route) -> String {
    match route.next_hop {
        NextHop::VirtualAppliance(address) => format!("VirtualAppliance {address}"),
        other => other.as_str().to_owned(),
    }
}

fn occupied(patient: &Patient<'_>) -> Option<Finding> {
    let subnet = patient.network.subnet(patient.place);
    let strangers = occupants(patient);
    (patient.environment.version != crate::vnet::AseVersion::V3 && !strangers.is_empty()).then(|| {
        let what = format!("{} is in the environment's subnet, where nothing else may be", some(&strangers));
        Finding::new(&NVA_SUBNET, subnet.at, &subnet.name, what).by_hand("move it to another subnet")
    })
}

/// Whatever else is in the subnet, as far as the topology says.
pub(super) fn occupants<'a>(patient: &Patient<'a>) -> Vec<&'a str> {
    let (network, subnet) = (patient.network.virtual_network(patient.place), patient.network.subnet(patient.place));
    let is_here = |in_network: &str, in_subnet: &str| {
        in_network.eq_ignore_ascii_case(&network.name) && in_subnet.eq_ignore_ascii_case(&subnet.name)
    };
    let topology = patient.network.topology();
    let own = &patient.environment.name;
    let interfaces = topology.interfaces.iter().map(|it| (&it.virtual_network, &it.subnet, &it.name));
    let firewalls = topology.firewalls.iter().map(|it| (&it.virtual_network, &it.subnet, &it.name));
    let others = topology.environments.iter().filter(|it| !it.name.eq_ignore_ascii_case(own));
    let others = others.map(|it| (&it.virtual_network, &it.subnet, &it.name));
    let here = interfaces.chain(firewalls).chain(others).filter(|(network, subnet, _)| is_here(network, subnet));
    subnet.occupants.iter().map(String::as_str).chain(here.map(|(.., name)| name.as_str())).collect()
}

fn limits(patient: &Patient<'_>) -> Outcome {
    let Some(table) = patient.network.route_table_of(patient.place) else {
        return Outcome::not_applicable("the subnet has no route table");
    };
    let tags = table.routes.iter().filter(|route| matches!(route.destination, RouteDestination::Tag(_))).count();
    let counted = [(table.routes.len(), MOST_ROUTES, "route"), (tags, MOST_TAG_ROUTES, "route with a service tag")];
    let beyond: Vec<String> = counted
        .into_iter()
        .filter(|(number, most, _)| number > most)
        .map(|(number, most, noun)| format!("{}, where Azure takes {most}", numbered(number, noun)))
        .collect();
    if beyond.is_empty() {
        return Outcome::Passed;
    }
    let finding = Finding::new(&TABLE_LIMITS, table.at, &table.name, format!("it has {}", beyond.join(" and ")));
    let advice = "take routes out: one with a service tag stands for all prefixes of a service, one with a wider prefix for many";
    Outcome::Found(vec![finding.by_hand(advice)])
}

fn numbered(number: usize, noun: &str) -> String {
    match noun.split_once(' ') {
        Some((first, rest)) => format!("{} {rest}", count(number, first)),
        None => count(number, noun),
    }
}
