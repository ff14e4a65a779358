//! The Internet, and the load balancers that are reached over it.

use std::net::IpAddr;

use crate::flow::AddrClass;
use crate::vnet::onward::Gatekeeper;
use crate::vnet::{AppServiceEnvironment, AseVersion, MANAGEMENT_PORTS, NetworkInterface, Place};

use super::super::outcome::{BlackHole, By, Leg, Outcome};
use super::super::path::Node;
use super::{At, Keeper, Next, Site, Walk};

impl<'n> Walk<'n, '_> {
    pub(super) fn reach_internet(&mut self, place: Place) -> Next {
        if let Some(back) = self.take_record(Keeper::Edge(place)) {
            self.give_back(back);
            return Next::Go(At::Internet);
        }
        // What comes from a firewall has its public address already.
        if AddrClass::of(self.packet.source) != AddrClass::Global {
            let seen = self.seen_from_outside(place);
            self.translate_source(Keeper::Edge(place), seen);
        }
        Next::Go(At::Internet)
    }

    /// Whose public address the Internet sees of what leaves a subnet directly.
    pub(super) fn seen_from_outside(&self, place: Place) -> IpAddr {
        let interface = self.scene.network.interface_at(place, self.packet.source);
        let own = interface.and_then(|it| it.public_addresses.first().copied());
        let environment = self.scene.network.environment_in(place).map(|(_, it)| self.book.outbound_of(it));
        let firewall = self.book.private_firewall_at(self.packet.source);
        let firewall = firewall.map(|at| self.book.of_firewall(&self.scene.network.topology().firewalls[at]));
        own.or(environment).or(firewall).unwrap_or_else(|| self.book.outbound())
    }

    pub(super) fn on_the_internet(&mut self) -> Next {
        let to = self.packet.destination;
        if self.stations.last().is_none_or(|last| last.node != Node::Internet) {
            let shown = if self.leg == Leg::Reply { self.packet.source } else { to };
            self.at(Node::Internet, "Internet", Some(shown));
        }
        if self.leg == Leg::Reply {
            return self.back_from_the_internet();
        }
        if let Some((number, environment)) = self.book.environment_at(to) {
            return self.reach_vip(number, environment);
        }
        if let Some(firewall) = self.book.public_firewall_at(to) {
            return Next::Go(At::Firewall(Gatekeeper::Numbered(firewall)));
        }
        let interfaces = &self.scene.network.topology().interfaces;
        if let Some(interface) = interfaces.iter().find(|it| it.public_addresses.contains(&to)) {
            return self.reach_interface(interface);
        }
        if AddrClass::of(to) == AddrClass::Global {
            return Next::Arrived(Site::Internet);
        }
        let why = match AddrClass::of(to) {
            AddrClass::Metadata => "is the platform's own, which only machines in Azure reach",
            AddrClass::Private => "is private: the Internet has no way there",
            _ => "is no address of the Internet",
        };
        let what = format!("{} {why}", self.shown(to));
        Next::Stop(self.lost(BlackHole::Unroutable, what))
    }

    /// A reply on the Internet comes to who sent the request, or to what has a record of it.
    pub(super) fn back_from_the_internet(&mut self) -> Next {
        let at = |keeper: Keeper| match keeper {
            Keeper::Edge(place) => At::Leaving(place),
            Keeper::Firewall(firewall) => At::Firewall(firewall),
            Keeper::Premises(network) => At::Premises(network),
        };
        let waiting = self.records.iter().find(|it| it.after == self.packet.reversed() && !it.is_used);
        match waiting.map(|it| it.keeper) {
            Some(Keeper::Edge(place)) => match self.take_record(Keeper::Edge(place)) {
                Some(back) => {
                    self.give_back(back);
                    self.arrive(place)
                }
                None => Next::Arrived(Site::Internet),
            },
            Some(Keeper::Premises(network)) => {
                if let Some(back) = self.take_record(Keeper::Premises(network)) {
                    self.at_premises(network, self.packet.destination);
                    self.give_back(back);
                }
                Next::Go(At::Premises(network))
            }
            Some(keeper) => Next::Go(at(keeper)),
            None => Next::Arrived(Site::Internet),
        }
    }

    /// The public load balancer of an environment. Inbound rules see the address of the subnet, and who really asks.
    pub(super) fn reach_vip(&mut self, number: usize, environment: &'n AppServiceEnvironment) -> Next {
        let network = self.scene.network;
        let vip = self.packet.destination;
        let name = self.book.shown(vip).name;
        self.at(Node::Vip(number), &name, Some(vip));
        let app = environment.app_addresses.iter().find(|app| app.address == vip);
        let port = self.packet.destination_port;
        let backend = match app {
            Some(app) if port == 80 => app.http_port,
            Some(app) if port == 443 => app.https_port,
            _ => port,
        };
        if let Some(what) = unserved(environment, port) {
            return Next::Stop(self.denied(By::LoadBalancer, what));
        }
        let place = network.place(&environment.virtual_network, &environment.subnet);
        let inside = place.and_then(|place| {
            let plain = || network.free_address(place, Some(vip));
            environment.internal_address.or_else(plain).map(|inside| (place, inside))
        });
        let Some((place, inside)) = inside else {
            return Next::Stop(Outcome::Unknown(format!("the subnet of {} is not known here", environment.name)));
        };
        self.translate_destination(Keeper::Edge(place), inside, backend);
        self.arrive(place)
    }

    pub(super) fn reach_interface(&mut self, interface: &'n NetworkInterface) -> Next {
        let inside = interface.addresses.first().copied();
        let place = self.scene.network.place(&interface.virtual_network, &interface.subnet);
        let place = place.or_else(|| self.scene.network.place_of(inside?));
        let (Some(inside), Some(place)) = (inside, place) else {
            return Next::Stop(Outcome::Unknown(format!("the subnet of {} is not known here", interface.name)));
        };
        self.translate_destination(Keeper::Edge(place), inside, self.packet.destination_port);
        self.arrive(place)
    }
}

/// Why a public VIP does not serve a port. Version 3 is managed without the customer's network (azure-docs,
/// networking.md, 2023).
fn unserved(environment: &AppServiceEnvironment, port: u16) -> Option<String> {
    let is_internal = environment.load_balancing.is_internal();
    let (is_management, is_v3) = (MANAGEMENT_PORTS.contains(&port), environment.version == AseVersion::V3);
    let at = "its apps are at the address of its internal load balancer";
    match (is_v3, is_management) {
        (true, true) => Some(format!(
            "an environment of version 3 needs no management in the network of its customer: nobody serves {port}"
        )),
        (true, false) if is_internal => Some(format!("an ILB environment of version 3 serves nothing in public: {at}")),
        (false, false) if is_internal => {
            Some(format!("the VIP of an ILB environment serves 454 and 455 only, not {port}: {at}"))
        }
        _ => None,
    }
}
