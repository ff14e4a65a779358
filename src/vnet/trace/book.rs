//! Addresses and what they are called. Some are not known before a deployment: a stand-in that nobody else has takes
//! their place, and is never shown.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use crate::vnet::{AppServiceEnvironment, Firewall, Gateway, Network, Place, RouteDestination, Topology};

/// An address as it is told: of a stand-in, only what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub address: Option<IpAddr>,
    /// `VIP of ase`; empty for one that is only an address.
    pub name: String,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.name.as_str()) {
            (Some(address), "") => address.fmt(f),
            (Some(address), name) => write!(f, "{address} ({name})"),
            (None, name) => f.write_str(name),
        }
    }
}

/// What a stand-in stands for; the numbers are those of the topology's lists, of a gateway its network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StandIn {
    Vip(usize),
    Firewall(usize),
    Egress(usize),
    Outbound,
    Anyone,
}

#[derive(Debug, Clone)]
pub(super) struct Book<'n> {
    network: &'n Network,
    topology: &'n Topology,
    /// Each has its own.
    stand_ins: Vec<(StandIn, IpAddr)>,
    /// Names of subnets that several networks have, in lower case.
    shared: HashSet<String>,
}

impl<'n> Book<'n> {
    pub(super) fn new(network: &'n Network) -> Book<'n> {
        let topology = network.topology();
        let nets = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
        let all = nets.iter().flat_map(|[a, b, c]| (1..255).rev().map(|d| IpAddr::V4(Ipv4Addr::new(*a, *b, *c, d))));
        let mut free = all.filter(|address| !is_taken(topology, *address));
        let mut take = || free.next().unwrap_or(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 255)));
        let stand_ins = wanted(topology).into_iter().map(|wanted| (wanted, take())).collect();
        Book { network, topology, stand_ins, shared: shared(network) }
    }

    fn stand_in(&self, wanted: impl Fn(StandIn) -> bool) -> IpAddr {
        let found = self.stand_ins.iter().find(|(it, _)| wanted(*it));
        found.map(|(_, address)| *address).expect("whatever has no address has a stand-in")
    }

    pub(super) fn vip(&self, environment: &AppServiceEnvironment) -> IpAddr {
        let is_it =
            |it: StandIn| matches!(it, StandIn::Vip(at) if is_same(&self.topology.environments[at], environment));
        environment.public_address.unwrap_or_else(|| self.stand_in(is_it))
    }

    /// What the Internet sees of an environment.
    pub(super) fn outbound_of(&self, environment: &AppServiceEnvironment) -> IpAddr {
        environment.outbound_addresses.first().copied().unwrap_or_else(|| self.vip(environment))
    }

    pub(super) fn of_firewall(&self, firewall: &Firewall) -> IpAddr {
        let is_it =
            |it: StandIn| matches!(it, StandIn::Firewall(at) if is_same(&self.topology.firewalls[at], firewall));
        firewall.public_addresses.first().copied().unwrap_or_else(|| self.stand_in(is_it))
    }

    pub(super) fn egress_of(&self, gateway: &Gateway) -> IpAddr {
        let of = |at: usize| self.topology.virtual_networks[at].gateway.as_ref();
        let is_it = |it: StandIn| matches!(it, StandIn::Egress(at) if of(at).is_some_and(|it| is_same(it, gateway)));
        gateway.egress_addresses.first().copied().unwrap_or_else(|| self.stand_in(is_it))
    }

    /// A subnet's name, with its network's where another network has one of that name.
    pub(super) fn subnet_name(&self, place: Place) -> String {
        let name = &self.network.subnet(place).name;
        match self.shared.contains(&name.to_ascii_lowercase()) {
            true => format!("{}/{name}", self.network.virtual_network(place).name),
            false => name.clone(),
        }
    }

    /// Of who has no public address, and gets one of Azure's choice.
    pub(super) fn outbound(&self) -> IpAddr {
        self.stand_in(|it| it == StandIn::Outbound)
    }

    /// A public address that nothing is said about.
    pub(super) fn anyone(&self) -> IpAddr {
        self.stand_in(|it| it == StandIn::Anyone)
    }

    pub(super) fn is_stand_in(&self, address: IpAddr) -> bool {
        self.stand_ins.iter().any(|(_, it)| *it == address)
    }

    /// The environment whose public VIP this is, or that it is an app's own address of.
    pub(super) fn environment_at(&self, address: IpAddr) -> Option<(usize, &'n AppServiceEnvironment)> {
        let has = |it: &AppServiceEnvironment| {
            self.vip(it) == address || it.app_addresses.iter().any(|app| app.address == address)
        };
        self.topology.environments.iter().enumerate().find(|(_, it)| has(it))
    }

    pub(super) fn public_firewall_at(&self, address: IpAddr) -> Option<usize> {
        let has = |it: &Firewall| it.public_addresses.contains(&address) || self.of_firewall(it) == address;
        self.topology.firewalls.iter().position(has)
    }

    pub(super) fn private_firewall_at(&self, address: IpAddr) -> Option<usize> {
        self.topology.firewalls.iter().position(|it| it.private_address == Some(address))
    }

    /// By any of its addresses.
    pub(super) fn firewall_at(&self, address: IpAddr) -> Option<usize> {
        self.private_firewall_at(address).or_else(|| self.public_firewall_at(address))
    }

    pub(super) fn shown(&self, address: IpAddr) -> Shown {
        let known = (!self.is_stand_in(address)).then_some(address);
        Shown { address: known, name: self.name_of(address) }
    }

    fn name_of(&self, address: IpAddr) -> String {
        if let Some((_, environment)) = self.environment_at(address) {
            let what = if self.vip(environment) == address { "VIP" } else { "an app's address" };
            return format!("{what} of {}", environment.name);
        }
        let internal = |it: &&AppServiceEnvironment| it.internal_address == Some(address);
        if let Some(environment) = self.topology.environments.iter().find(internal) {
            return format!("ILB of {}", environment.name);
        }
        let leaves = |it: &&AppServiceEnvironment| it.outbound_addresses.contains(&address);
        if let Some(environment) = self.topology.environments.iter().find(leaves) {
            return format!("outbound of {}", environment.name);
        }
        if let Some(at) = self.public_firewall_at(address) {
            return format!("public address of {}", self.topology.firewalls[at].name);
        }
        if let Some(at) = self.private_firewall_at(address) {
            return self.topology.firewalls[at].name.clone();
        }
        let mine = self.topology.interfaces.iter();
        let mine = mine.filter(|it| it.addresses.contains(&address) || it.public_addresses.contains(&address));
        if let Some(interface) = mine.into_iter().next() {
            return interface.name.clone();
        }
        self.name_of_stand_in(address).to_owned()
    }

    fn name_of_stand_in(&self, address: IpAddr) -> &'static str {
        match self.stand_ins.iter().find(|(_, it)| *it == address).map(|(stands_for, _)| *stands_for) {
            Some(StandIn::Outbound) => "a public address of Azure's choice",
            Some(StandIn::Egress(_)) => "a public address of the premises",
            Some(StandIn::Vip(_) | StandIn::Firewall(_) | StandIn::Anyone) => "any public address",
            None => "",
        }
    }
}

fn is_same<T>(one: &T, other: &T) -> bool {
    std::ptr::eq(one, other)
}

fn wanted(topology: &Topology) -> Vec<StandIn> {
    let environments = topology.environments.iter().enumerate().filter(|(_, it)| it.public_address.is_none());
    let firewalls = topology.firewalls.iter().enumerate().filter(|(_, it)| it.public_addresses.is_empty());
    let lacks = |gateway: &Gateway| gateway.egress_addresses.is_empty();
    let gateways = topology.virtual_networks.iter().enumerate();
    let gateways = gateways.filter(|(_, it)| it.gateway.as_ref().is_some_and(lacks));
    let of_one = environments.map(|(at, _)| StandIn::Vip(at)).chain(firewalls.map(|(at, _)| StandIn::Firewall(at)));
    let of_one = of_one.chain(gateways.map(|(at, _)| StandIn::Egress(at)));
    [StandIn::Outbound, StandIn::Anyone].into_iter().chain(of_one).collect()
}

fn shared(network: &Network) -> HashSet<String> {
    let names = network.places().map(|place| network.subnet(place).name.to_ascii_lowercase());
    let mut seen = HashSet::new();
    names.filter(|name| !seen.insert(name.clone())).collect()
}

fn is_taken(topology: &Topology, address: IpAddr) -> bool {
    let environments = topology.environments.iter().flat_map(|it| {
        it.public_address.iter().chain(&it.outbound_addresses).chain(it.app_addresses.iter().map(|app| &app.address))
    });
    let firewalls = topology.firewalls.iter().flat_map(|it| &it.public_addresses);
    let interfaces = topology.interfaces.iter().flat_map(|it| &it.public_addresses);
    let gateways = topology.virtual_networks.iter().flat_map(|it| &it.gateway);
    let mut known = environments.chain(firewalls).chain(interfaces).chain(gateways.flat_map(|it| &it.egress_addresses));
    let routes = topology.route_tables.iter().flat_map(|table| &table.routes);
    let mut routes = routes.filter_map(|route| match &route.destination {
        RouteDestination::Net(net) => Some(net),
        RouteDestination::Tag(_) => None,
    });
    let special = |net: &ipnet::IpNet| net.prefix_len() > 8 && net.contains(&address);
    known.any(|it| *it == address) || routes.any(special)
}
