//! Addresses and what they are called. Some are not known before a deployment: a stand-in that nobody else has takes
//! their place, and is never shown.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use crate::vnet::{AppServiceEnvironment, Firewall, Gateway, Network, RouteDestination, Topology};

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

/// What a stand-in stands for, in the order of the book's list.
const VIP: usize = 0;
const FIREWALL: usize = 1;
const OUTBOUND: usize = 2;
const EGRESS: usize = 3;
const ANYONE: usize = 4;

#[derive(Debug, Clone, Copy)]
pub(super) struct Book<'n> {
    topology: &'n Topology,
    stand_ins: [IpAddr; 5],
}

impl<'n> Book<'n> {
    pub(super) fn new(network: &'n Network) -> Book<'n> {
        let topology = network.topology();
        let nets = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
        let all = nets.iter().flat_map(|[a, b, c]| (1..255).rev().map(|d| IpAddr::V4(Ipv4Addr::new(*a, *b, *c, d))));
        let mut free = all.filter(|address| !is_taken(topology, *address));
        let stand_ins = [(); 5].map(|()| free.next().unwrap_or(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 255))));
        Book { topology, stand_ins }
    }

    pub(super) fn vip(&self, environment: &AppServiceEnvironment) -> IpAddr {
        environment.public_address.unwrap_or(self.stand_ins[VIP])
    }

    /// What the Internet sees of an environment.
    pub(super) fn outbound_of(&self, environment: &AppServiceEnvironment) -> IpAddr {
        environment.outbound_addresses.first().copied().unwrap_or_else(|| self.vip(environment))
    }

    pub(super) fn of_firewall(&self, firewall: &Firewall) -> IpAddr {
        firewall.public_addresses.first().copied().unwrap_or(self.stand_ins[FIREWALL])
    }

    pub(super) fn egress_of(&self, gateway: &Gateway) -> IpAddr {
        gateway.egress_addresses.first().copied().unwrap_or(self.stand_ins[EGRESS])
    }

    /// Of who has no public address, and gets one of Azure's choice.
    pub(super) fn outbound(&self) -> IpAddr {
        self.stand_ins[OUTBOUND]
    }

    /// A public address that nothing is said about.
    pub(super) fn anyone(&self) -> IpAddr {
        self.stand_ins[ANYONE]
    }

    pub(super) fn is_stand_in(&self, address: IpAddr) -> bool {
        self.stand_ins.contains(&address)
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
        match self.stand_ins.iter().position(|it| *it == address) {
            Some(OUTBOUND) => "a public address of Azure's choice",
            Some(EGRESS) => "a public address of the premises",
            Some(_) => "any public address",
            None => "",
        }
    }
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
