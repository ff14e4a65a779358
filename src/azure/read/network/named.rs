//! What is being read, each resource in its place whatever the order of the files, and what is left to do when all is
//! read.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::clashes::Clashes;
use super::values::referred;
use crate::azure::note::{Note, Severity};
use crate::azure::read::ident::NO_SUBSCRIPTION;
use crate::azure::read::notes::{Notes, Subject};
use crate::azure::shape::{Resource, kinds};
use crate::policy::Spot;
use crate::vnet::{
    AppServiceEnvironment, ApplicationSecurityGroup, DnsZone, Firewall, Gateway, NetworkInterface,
    NetworkSecurityGroup, NextHop, Route, RouteDestination, RouteTable, Subnet, Topology, VirtualNetwork,
};

/// What has children that may be resources of their own, in any order.
pub(super) trait Parent: Default {
    fn called(name: String, at: Spot) -> Self;
}

macro_rules! parents {
    ($($type:ty),*) => {
        $(impl Parent for $type {
            fn called(name: String, at: Spot) -> Self {
                Self { name, at, ..Self::default() }
            }
        })*
    };
}

impl Parent for ApplicationSecurityGroup {
    fn called(name: String, at: Spot) -> Self {
        ApplicationSecurityGroup { name, at }
    }
}

parents!(
    AppServiceEnvironment,
    DnsZone,
    Firewall,
    NetworkInterface,
    NetworkSecurityGroup,
    RouteTable,
    Subnet,
    VirtualNetwork
);

pub(super) struct Named<P> {
    pub all: Vec<P>,
    /// By their names in lower case.
    places: HashMap<String, usize>,
}

impl<P> Default for Named<P> {
    fn default() -> Named<P> {
        Named { all: Vec::new(), places: HashMap::new() }
    }
}

impl<P: Parent> Named<P> {
    /// With its place.
    pub(super) fn find_or_add(&mut self, name: &str, at: Spot) -> (usize, &mut P) {
        let Named { all, places } = self;
        let place = *places.entry(name.to_ascii_lowercase()).or_insert_with(|| {
            all.push(P::called(name.to_owned(), at));
            all.len() - 1
        });
        (place, &mut all[place])
    }

    pub(super) fn of(&mut self, name: &str, at: Spot) -> &mut P {
        self.find_or_add(name, at).1
    }
}

/// The name of a public address, to be looked up when all are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublicOf {
    Firewall(String),
    Interface(String),
}

/// A route to an address that only Azure gives out: that of a firewall.
#[derive(Debug)]
pub(super) struct OpenHop {
    pub table: String,
    pub name: String,
    pub destination: RouteDestination,
    /// What is known of the address: `reference(fw).ipConfigurations[0].properties.privateIPAddress`.
    pub shown: String,
    pub at: Spot,
}

#[derive(Default)]
pub(super) struct Surroundings {
    pub clashes: Clashes,
    pub security_groups: Named<NetworkSecurityGroup>,
    /// Rules and routes that were read, as `group/rule` in lower case: of two of one name the later counts.
    children: HashSet<(&'static str, String)>,
    pub application_security_groups: Named<ApplicationSecurityGroup>,
    pub route_tables: Named<RouteTable>,
    pub virtual_networks: Named<VirtualNetwork>,
    /// Where each subnet is in its network, by the number of that and its own name in lower case.
    pub subnets: HashMap<(usize, String), usize>,
    pub interfaces: Named<NetworkInterface>,
    pub firewalls: Named<Firewall>,
    pub environments: Named<AppServiceEnvironment>,
    /// Names of environments in lower case that plans for Linux are in.
    pub linux: Vec<String>,
    pub dns_zones: Named<DnsZone>,
    /// By lower-case name.
    pub public_addresses: HashMap<String, IpAddr>,
    pub publics: Vec<(PublicOf, String)>,
    /// Gateways with the networks that they are in.
    pub gateways: Vec<(String, Gateway)>,
    /// Prefixes of local gateways, by lower-case name.
    pub local: Vec<(String, Vec<IpNet>)>,
    /// Gateway and local gateway, in lower case.
    pub connections: Vec<(String, String)>,
    pub open_hops: Vec<OpenHop>,
    location: String,
    network_locations: HashMap<String, String>,
    subscription: String,
    resource_group: String,
}

impl Surroundings {
    /// True for a child that was read before.
    pub(super) fn is_again(&mut self, kind: &'static str, name: &str) -> bool {
        !self.children.insert((kind, name.to_ascii_lowercase()))
    }

    /// The public addresses of one resource, in place of those that it was said to have before.
    pub(super) fn set_publics(&mut self, whose: &PublicOf, configurations: &[Subject<'_>]) {
        self.publics.retain(|(known, _)| known != whose);
        let names = configurations.iter().filter_map(|it| referred(it, "publicIPAddress"));
        self.publics.extend(names.map(|name| (whose.clone(), name)));
    }

    /// The first resource that says where it is speaks for all.
    pub(super) fn note_place(&mut self, resource: &Resource) {
        let location = resource.rest.get("location").and_then(|node| node.text()).unwrap_or_default();
        let location = location.replace(' ', "").to_lowercase();
        if resource.is(kinds::NETWORK)
            && let Some(name) = resource.name.text()
        {
            self.network_locations.insert(name.to_ascii_lowercase(), location.clone());
        }
        if self.location.is_empty() && location != "global" {
            self.location = location;
        }
        // A template's own stand-in for where it is deployed says nothing.
        let Some(id) = resource.id_text().filter(|id| !id.to_ascii_lowercase().starts_with(NO_SUBSCRIPTION)) else {
            return;
        };
        let segment = |after: &str| {
            let mut segments = id.split('/').skip_while(|segment| !segment.eq_ignore_ascii_case(after)).skip(1);
            segments.next().unwrap_or_default().to_owned()
        };
        if self.subscription.is_empty() {
            self.subscription = segment("subscriptions");
            self.resource_group = segment("resourceGroups");
        }
    }

    pub(super) fn finish(mut self, notes: &mut Notes) -> Topology {
        self.clashes.tell(notes);
        self.settle_publics();
        self.settle_gateways();
        self.settle_peerings();
        let hops = std::mem::take(&mut self.open_hops);
        let linux = std::mem::take(&mut self.linux);
        for environment in &mut self.environments.all {
            environment.linux |= linux.contains(&environment.name.to_ascii_lowercase());
        }
        let mut topology = Topology {
            location: self.location,
            subscription: self.subscription,
            resource_group: self.resource_group,
            virtual_networks: self.virtual_networks.all,
            security_groups: self.security_groups.all,
            application_security_groups: self.application_security_groups.all,
            route_tables: self.route_tables.all,
            interfaces: self.interfaces.all,
            firewalls: self.firewalls.all,
            environments: self.environments.all,
            dns_zones: self.dns_zones.all,
            ..Topology::default()
        };
        settle_suffixes(&mut topology);
        settle_addresses(&mut topology, notes);
        hops.into_iter().for_each(|hop| settle_hop(hop, &mut topology, notes));
        topology
    }

    fn settle_publics(&mut self) {
        for (whose, name) in std::mem::take(&mut self.publics) {
            let Some(address) = self.public_addresses.get(&name.to_ascii_lowercase()).copied() else { continue };
            let list = match whose {
                PublicOf::Firewall(name) => &mut self.firewalls.of(&name, Spot::nowhere()).public_addresses,
                PublicOf::Interface(name) => &mut self.interfaces.of(&name, Spot::nowhere()).public_addresses,
            };
            if !list.contains(&address) {
                list.push(address);
            }
        }
    }

    /// Where no connection says which, all local gateways are behind the only gateway there is.
    fn settle_gateways(&mut self) {
        let gateways = std::mem::take(&mut self.gateways);
        let alone = gateways.len() == 1 && self.connections.is_empty();
        for (network, mut gateway) in gateways {
            let own = gateway.name.to_ascii_lowercase();
            let is_behind =
                |local: &str| alone || self.connections.iter().any(|(gateway, to)| *gateway == own && to == local);
            let behind = self.local.iter().filter(|(local, _)| is_behind(local));
            gateway.routes.extend(behind.flat_map(|(_, prefixes)| prefixes.iter().copied()));
            let at = gateway.at;
            self.virtual_networks.of(&network, at).gateway = Some(gateway);
        }
    }

    /// Networks of different regions are peered globally.
    fn settle_peerings(&mut self) {
        let known = &self.network_locations;
        let location = |name: &str| known.get(&name.to_ascii_lowercase()).filter(|it| !it.is_empty());
        for network in &mut self.virtual_networks.all {
            for peering in &mut network.peerings {
                let both = location(&network.name).zip(location(&peering.remote));
                peering.global |= both.is_some_and(|(own, other)| own != other);
            }
        }
    }
}

/// A zone may be named for the suffix that Azure gives an environment: `{reference(ase).dnsSuffix}`.
fn settle_suffixes(topology: &mut Topology) {
    for zone in &mut topology.dns_zones {
        let asked = zone.name.strip_prefix("{reference(").and_then(|rest| rest.strip_suffix(").dnsSuffix}"));
        let Some(asked) = asked else { continue };
        let own = topology.environments.iter().find(|ase| ase.name.eq_ignore_ascii_case(asked));
        if let Some(ase) = own {
            zone.name = ase.suffix(topology.cloud);
        }
    }
}

/// Templates seldom say a firewall's address: Azure gives it the first one that is free.
fn settle_addresses(topology: &mut Topology, notes: &mut Notes) {
    let first: Vec<Option<IpAddr>> = topology.firewalls.iter().map(|it| topology.first_address(it)).collect();
    for (firewall, first) in topology.firewalls.iter_mut().zip(first) {
        if let (None, Some(first)) = (firewall.private_address, first) {
            firewall.private_address = Some(first);
            let what = format!(
                "the private address of firewall `{}` is not written: it is taken to be {first}, the first that Azure \
                 gives out in its subnet",
                firewall.name
            );
            notes.push(Note::new(Severity::Info, firewall.at, what));
        }
    }
}

/// The firewall that the address speaks of, or the only one there is.
fn settle_hop(hop: OpenHop, topology: &mut Topology, notes: &mut Notes) {
    let OpenHop { table, name, destination, shown, at } = hop;
    let lower = shown.to_lowercase();
    let named = |firewall: &&Firewall| lower.contains(&firewall.name.to_lowercase());
    let only = || Some(&topology.firewalls).filter(|all| all.len() == 1).and_then(|all| all.first());
    let address = topology.firewalls.iter().find(named).or_else(only).and_then(|firewall| firewall.private_address);
    let Some(address) = address else {
        let what = format!("`nextHopIpAddress` of `{name}` is known to Azure only: `{shown}`");
        return notes.push(Note::new(Severity::Error, at, what).mend(format!("--set '{shown}=…'")));
    };
    let place = topology.route_tables.iter_mut().find(|it| it.name.eq_ignore_ascii_case(&table));
    if let Some(table) = place {
        table.routes.push(Route { name, destination, next_hop: NextHop::VirtualAppliance(address), at });
    }
}
