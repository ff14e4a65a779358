//! What Azure would refuse of a topology, and names in it that lead nowhere. Of all files together, whatever they are
//! written in.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::error::{Findings, Place, Problem, Texts};
use crate::flow::nearest;
use crate::policy::Spot;
use crate::vnet::{FIREWALL_SUBNET, Subnet, Tags, Topology, VirtualNetwork, endpoint_tag};

use super::limits;

/// Where faults are told.
pub(super) struct Teller<'t> {
    pub texts: &'t Texts,
    pub findings: &'t mut Findings,
    /// For what is in no file.
    pub whole: Place,
}

impl Teller<'_> {
    pub(super) fn error(&mut self, at: Spot, word: &str, problem: Problem) {
        let place = self.place(at, word);
        self.findings.error(&place, problem);
    }

    pub(super) fn doubt(&mut self, at: Spot, word: &str, problem: Problem) {
        let place = self.place(at, word);
        self.findings.doubt(&place, problem);
    }

    pub(super) fn warn(&mut self, at: Spot, word: &str, problem: Problem) {
        let place = self.place(at, word);
        self.findings.warn(&place, problem);
    }

    /// The word that it is about, where that stands there as it is.
    fn place(&self, at: Spot, word: &str) -> Place {
        self.texts.place_of_word(at, &[word.to_owned()]).unwrap_or_else(|| self.whole.clone())
    }

    /// A name of something that there is none of: ``there is no route table`` and so on.
    fn unknown(&mut self, at: Spot, absent: &str, name: &str, known: &[&str]) {
        let mend = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "add it, or give its file too, by one more --topology".to_owned(),
            None => format!("there is {}; or give its file too, by one more --topology", listed(known)),
        };
        self.error(at, name, Problem::new(format!("{absent} `{name}`")).mend(mend));
    }
}

/// More names than this are not listed.
const LISTED: usize = 8;

pub(super) fn listed(known: &[&str]) -> String {
    let shown: Vec<String> = known.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    let more = known.len().saturating_sub(LISTED);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

/// The names of resources of each kind, in lower case and as they are written.
struct Names<'t> {
    lower: HashSet<String>,
    written: Vec<&'t str>,
}

impl<'t> Names<'t> {
    fn of(names: impl Iterator<Item = &'t String>) -> Names<'t> {
        let written: Vec<&str> = names.map(String::as_str).collect();
        Names { lower: written.iter().map(|name| name.to_lowercase()).collect(), written }
    }

    fn have(&self, name: &str) -> bool {
        self.lower.contains(&name.to_lowercase())
    }
}

/// Tells everything that is wrong with a topology.
pub(in crate::config) fn tell(topology: &Topology, tags: &Tags, texts: &Texts, whole: Place, findings: &mut Findings) {
    let mut teller = Teller { texts, findings, whole };
    let groups = Names::of(topology.security_groups.iter().map(|it| &it.name));
    let tables = Names::of(topology.route_tables.iter().map(|it| &it.name));
    let asgs = Names::of(topology.application_security_groups.iter().map(|it| &it.name));
    let networks = Names::of(topology.virtual_networks.iter().map(|it| &it.name));
    if topology.virtual_networks.is_empty() {
        let what = "there is no virtual network in the topology";
        teller.error(topology.at, "", Problem::new(what).mend("add one, as `[[vnet]]` with its subnets"));
    }
    names(topology, &mut teller);
    for network in &topology.virtual_networks {
        spaces(network, &mut teller);
        for subnet in &network.subnets {
            if let Some(name) = subnet.security_group.as_ref().filter(|name| !groups.have(name)) {
                teller.unknown(subnet.at, "there is no network security group", name, &groups.written);
            }
            endpoints(subnet, tags, &mut teller);
            if let Some(name) = subnet.route_table.as_ref().filter(|name| !tables.have(name)) {
                teller.unknown(subnet.at, "there is no route table", name, &tables.written);
            }
        }
        peerings(network, topology, &mut teller);
    }
    for group in &topology.security_groups {
        limits::security_group(group, tags, &mut teller);
        let sides = group.rules.iter().flat_map(|rule| [(rule.at, &rule.source), (rule.at, &rule.destination)]);
        let named = sides.flat_map(|(at, side)| side.application_security_groups.iter().map(move |name| (at, name)));
        named.filter(|(_, name)| !asgs.have(name)).for_each(|(at, name)| {
            teller.unknown(at, "there is no application security group", name, &asgs.written);
        });
    }
    topology.route_tables.iter().for_each(|table| limits::route_table(table, tags, &mut teller));
    interfaces(topology, &groups, &asgs, &mut teller);
    firewalls(topology, &mut teller);
    environments(topology, &mut teller);
    for zone in &topology.dns_zones {
        for name in zone.virtual_networks.iter().filter(|name| !networks.have(name)) {
            teller.unknown(zone.at, "there is no network", name, &networks.written);
        }
    }
}

/// Names are shown, and written into scripts: in Azure none holds such characters.
fn names(topology: &Topology, teller: &mut Teller<'_>) {
    let networks = topology.virtual_networks.iter().flat_map(|it| {
        let subnets = it.subnets.iter().map(|subnet| (subnet.at, &subnet.name));
        let peerings = it.peerings.iter().map(|peering| (peering.at, &peering.name));
        let gateway = it.gateway.iter().map(|gateway| (gateway.at, &gateway.name));
        std::iter::once((it.at, &it.name)).chain(subnets).chain(peerings).chain(gateway)
    });
    let groups = topology
        .security_groups
        .iter()
        .flat_map(|it| std::iter::once((it.at, &it.name)).chain(it.rules.iter().map(|rule| (rule.at, &rule.name))));
    let tables = topology
        .route_tables
        .iter()
        .flat_map(|it| std::iter::once((it.at, &it.name)).chain(it.routes.iter().map(|route| (route.at, &route.name))));
    let whole = [&topology.name, &topology.location, &topology.subscription, &topology.resource_group];
    let others = (topology.application_security_groups.iter().map(|it| (it.at, &it.name)))
        .chain(topology.interfaces.iter().map(|it| (it.at, &it.name)))
        .chain(topology.firewalls.iter().map(|it| (it.at, &it.name)))
        .chain(topology.environments.iter().map(|it| (it.at, &it.name)))
        .chain(topology.dns_zones.iter().map(|it| (it.at, &it.name)))
        .chain(whole.map(|name| (topology.at, name)));
    let is_strange = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}');
    for (at, name) in networks.chain(groups).chain(tables).chain(others) {
        if name.contains(is_strange) {
            let what = format!("the name `{name}` holds a control character");
            teller.error(at, name, Problem::new(what).mend("write letters, digits, `-`, `.` and `_`"));
        }
    }
}

/// No network can have these: of this machine, of the link, of groups, of all (virtual-networks-faq.md, 2023).
const NOBODYS: [&str; 7] =
    ["169.254.0.0/16", "168.63.129.16/32", "224.0.0.0/4", "255.255.255.255/32", "fe80::/10", "ff00::/8", "::1/128"];
/// Nor this one, but where Egret is the lab its clients may be there.
const LOOPBACK: &str = "127.0.0.0/8";

fn nobodys(network: &VirtualNetwork, teller: &mut Teller<'_>) {
    let net = |text: &str| text.parse::<IpNet>().expect("a literal prefix");
    for space in &network.address_space {
        let meets = |other: &IpNet| space.contains(other) || other.contains(space);
        let loopback = net(LOOPBACK);
        let met = NOBODYS.iter().map(|text| net(text)).find(meets);
        let met = met.or_else(|| Some(loopback).filter(|it| meets(it) && !it.contains(space)));
        let text = space.to_string();
        if let Some(met) = met {
            let what =
                format!("network `{}`: {text} holds addresses of {met}, which no network can have", network.name);
            teller.error(network.at, &text, Problem::new(what).mend("write a prefix of your own, such as 10.0.0.0/16"));
        } else if loopback.contains(space) {
            let what = format!("network `{}`: {text} is of loopback: good for a lab, refused by Azure", network.name);
            teller.warn(network.at, &text, Problem::new(what));
        }
    }
}

/// An endpoint without prefixes takes nothing past the firewall.
fn endpoints(subnet: &Subnet, tags: &Tags, teller: &mut Teller<'_>) {
    for service in &subnet.service_endpoints {
        let what = format!("subnet `{}`: the prefixes of `{service}` are not known here", subnet.name);
        let problem = Problem::new(format!("{what}, so that its flows go as any others"));
        match endpoint_tag(service) {
            Some(tag) if tags.published(tag).is_some() => {}
            Some(tag) => {
                let mend = format!("give a file with the service tag `{tag}`, by --service-tags");
                teller.warn(subnet.at, service, problem.mend(mend));
            }
            None => teller.warn(subnet.at, service, problem),
        }
    }
}

/// Subnets lie in their network's space and beside each other.
fn spaces(network: &VirtualNetwork, teller: &mut Teller<'_>) {
    nobodys(network, teller);
    let own = network.address_space.iter().map(|net| (*net, network.at, "the address space".to_owned()));
    overlaps(own, teller);
    if network.address_space.is_empty() && !network.subnets.is_empty() {
        let what = format!("the address space of network `{}` is not known", network.name);
        teller.warn(network.at, &network.name, Problem::new(what).mend("give the file that it is in too"));
    }
    for subnet in &network.subnets {
        if subnet.prefixes.is_empty() {
            let what = format!("subnet `{}` has no prefix: nothing is in it", subnet.name);
            teller.warn(subnet.at, "", Problem::new(what).mend("write its `prefix`"));
        }
        let outside = subnet.prefixes.iter().filter(|net| !network.address_space.iter().any(|it| it.contains(*net)));
        for net in outside.filter(|_| !network.address_space.is_empty()) {
            let space: Vec<String> = network.address_space.iter().map(ToString::to_string).collect();
            let what = format!("subnet `{}`: {net} is not in the address space of `{}`", subnet.name, network.name);
            let mend = format!("write a prefix in {}", space.join(", "));
            teller.error(subnet.at, &net.to_string(), Problem::new(what).mend(mend));
        }
    }
    let subnets = network.subnets.iter().flat_map(|it| it.prefixes.iter().map(move |net| (*net, it)));
    let all = subnets.map(|(net, it)| (net, it.at, format!("subnet `{}`", it.name)));
    overlaps(all, teller);
}

/// Of prefixes in order each can only overlap one that is around it.
fn overlaps(all: impl Iterator<Item = (IpNet, Spot, String)>, teller: &mut Teller<'_>) {
    let mut all: Vec<(IpNet, Spot, String)> = all.collect();
    all.sort_by_key(|(net, ..)| (net.network(), net.prefix_len()));
    let mut around: Option<(IpNet, String)> = None;
    for (net, at, name) in all {
        match &around {
            Some((wide, other)) if wide.contains(&net) => {
                let what = format!("{net} of {name} overlaps {wide} of {other}");
                teller.error(at, &net.to_string(), Problem::new(what).mend("give it a prefix of its own"));
            }
            _ => around = Some((net, name)),
        }
    }
}

fn peerings(network: &VirtualNetwork, topology: &Topology, teller: &mut Teller<'_>) {
    let names: Vec<&str> = topology.virtual_networks.iter().map(|it| it.name.as_str()).collect();
    for peering in &network.peerings {
        let space = match topology.virtual_network(&peering.remote) {
            Some(remote) => &remote.address_space,
            None if peering.remote_space.is_empty() => {
                let problem = Problem::new(format!("there is no network `{}`", peering.remote));
                let mend = match nearest(&peering.remote, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write its prefixes as `remote_space`, or give its file too".to_owned(),
                };
                teller.error(peering.at, &peering.remote, problem.mend(mend));
                continue;
            }
            None => &peering.remote_space,
        };
        let both = network.address_space.iter().flat_map(|own| space.iter().map(move |other| (own, other)));
        for (own, other) in both.filter(|(own, other)| own.contains(*other) || other.contains(*own)) {
            let what = format!("the peering `{}` leads to {other}, which overlaps {own} here", peering.name);
            let mend = "networks that are peered have address spaces of their own";
            teller.error(peering.at, &peering.remote, Problem::new(what).mend(mend));
        }
    }
}

/// What is in a subnet, by the names of that and of its network.
struct InSubnet<'t> {
    kind: &'t str,
    name: &'t str,
    network: &'t str,
    subnet: &'t str,
    addresses: &'t [IpAddr],
    at: Spot,
}

fn in_subnet(it: &InSubnet<'_>, topology: &Topology, teller: &mut Teller<'_>) {
    let InSubnet { kind, name, network, subnet, addresses, at } = it;
    let names: Vec<&str> = topology.virtual_networks.iter().map(|it| it.name.as_str()).collect();
    if network.is_empty() {
        let what =
            format!("in which network {kind} `{name}` is cannot be told: no one network has a subnet `{subnet}`");
        return teller.error(*at, subnet, Problem::new(what).mend("write its `vnet`"));
    }
    let Some(network) = topology.virtual_network(network) else {
        return teller.unknown(*at, "there is no network", network, &names);
    };
    let Some(place) = network.subnet(subnet) else {
        let known: Vec<&str> = network.subnets.iter().map(|it| it.name.as_str()).collect();
        return teller.unknown(*at, &format!("network `{}` has no subnet", network.name), subnet, &known);
    };
    for address in addresses.iter().filter(|address| !place.contains(**address)) {
        let prefixes: Vec<String> = place.prefixes.iter().map(ToString::to_string).collect();
        let what = format!("{address} of {kind} `{name}` is not in its subnet `{subnet}`");
        let mend = format!("write an address in {}", prefixes.join(", "));
        teller.error(*at, &address.to_string(), Problem::new(what).mend(mend));
    }
}

fn interfaces(topology: &Topology, groups: &Names<'_>, asgs: &Names<'_>, teller: &mut Teller<'_>) {
    // Networks that do not know of each other may be alike.
    let mut taken: HashMap<(String, IpAddr), &str> = HashMap::new();
    for interface in &topology.interfaces {
        let place = InSubnet {
            kind: "network interface",
            name: &interface.name,
            network: &interface.virtual_network,
            subnet: &interface.subnet,
            addresses: &interface.addresses,
            at: interface.at,
        };
        in_subnet(&place, topology, teller);
        if let Some(name) = interface.security_group.as_ref().filter(|name| !groups.have(name)) {
            teller.unknown(interface.at, "there is no network security group", name, &groups.written);
        }
        for name in interface.application_security_groups.iter().filter(|name| !asgs.have(name)) {
            teller.unknown(interface.at, "there is no application security group", name, &asgs.written);
        }
        for address in &interface.addresses {
            let key = (interface.virtual_network.to_lowercase(), *address);
            if let Some(other) = taken.insert(key, &interface.name) {
                let what = format!("{address} of `{}` is that of `{other}` already", interface.name);
                let problem = Problem::new(what).mend("give it an address of its own");
                teller.error(interface.at, &address.to_string(), problem);
            }
        }
    }
}

/// A network that lacks the subnet for its firewall is the doctor's to speak of (`FW-SUBNET`).
fn firewalls(topology: &Topology, teller: &mut Teller<'_>) {
    for firewall in &topology.firewalls {
        let network = topology.virtual_network(&firewall.virtual_network);
        let lacks = network.is_some_and(|network| network.subnet(FIREWALL_SUBNET).is_none());
        if lacks && firewall.subnet.eq_ignore_ascii_case(FIREWALL_SUBNET) {
            let what = format!("network `{}` has no subnet `{FIREWALL_SUBNET}`", firewall.virtual_network);
            teller.warn(firewall.at, "", Problem::new(what).mend("add it: a firewall is in no other"));
            continue;
        }
        let own: Vec<IpAddr> = firewall.private_address.into_iter().collect();
        let place = InSubnet {
            kind: "firewall",
            name: &firewall.name,
            network: &firewall.virtual_network,
            subnet: &firewall.subnet,
            addresses: &own,
            at: firewall.at,
        };
        in_subnet(&place, topology, teller);
    }
}

fn environments(topology: &Topology, teller: &mut Teller<'_>) {
    for ase in &topology.environments {
        let own: Vec<IpAddr> = ase.internal_address.into_iter().collect();
        let place = InSubnet {
            kind: "App Service Environment",
            name: &ase.name,
            network: &ase.virtual_network,
            subnet: &ase.subnet,
            addresses: &own,
            at: ase.at,
        };
        in_subnet(&place, topology, teller);
        if let Some(app) = ase.app_addresses.first().filter(|_| ase.load_balancing.is_internal()) {
            let what =
                format!("{} is the address of an app, and `{}` has an internal load balancer", app.address, ase.name);
            let mend = "leave it out: only an External environment has addresses of single apps";
            teller.error(ase.at, &app.address.to_string(), Problem::new(what).mend(mend));
        }
    }
}
