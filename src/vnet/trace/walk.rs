//! A packet on its way, hop by hop, and its reply.
//!
//! What translates addresses or follows connections keeps a record of what it has passed on. A reply is handed back by
//! the record; one that comes to a firewall without a record, or passes the firewall by that has one, is lost.

use std::net::IpAddr;

use crate::flow::{AddrClass, HostName, Protocol, Reason};
use crate::policy::{Action, Address, AddressRange, Direction, Policy, Query};
use crate::vnet::{
    AppServiceEnvironment, Because, FlowDirection, Hop, LoadBalancing, NetFlow, NetworkInterface, Peering, Place,
    SecurityDecision, Selection, Transport,
};

use super::Scene;
use super::book::{Book, Shown};
use super::outcome::{Asymmetry, BlackHole, By, Leg, Outcome};
use super::path::{
    Deciding, FirewallStep, Level, Mark, Node, RouteStep, SecurityStep, Station, Step, Translates, Translation,
};
use super::words;

/// The port that a flow begins at, where nobody says which.
pub(super) const EPHEMERAL: u16 = 50_000;

/// A packet that has been to more places goes in circles.
const HOPS: usize = 24;

/// Ports of an environment's VIP that Azure manages it by.
const MANAGEMENT: [u16; 2] = [454, 455];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) protocol: Protocol,
    pub(super) source: IpAddr,
    pub(super) source_port: u16,
    pub(super) destination: IpAddr,
    pub(super) destination_port: u16,
}

impl Packet {
    fn reversed(self) -> Packet {
        Packet {
            source: self.destination,
            source_port: self.destination_port,
            destination: self.source,
            destination_port: self.source_port,
            ..self
        }
    }

    fn flow(self) -> NetFlow {
        NetFlow {
            transport: match self.protocol {
                Protocol::Udp => Transport::Udp,
                Protocol::Icmp => Transport::Icmp,
                Protocol::Other => Transport::Esp,
                Protocol::Http | Protocol::Https | Protocol::Mssql | Protocol::Tcp => Transport::Tcp,
            },
            source: self.source,
            source_port: self.source_port,
            destination: self.destination,
            destination_port: self.destination_port,
        }
    }
}

/// Both ways of one flow.
pub(super) struct Walked {
    pub(super) request: Vec<Station>,
    pub(super) reply: Vec<Station>,
    pub(super) outcome: Outcome,
}

/// Follows a packet and its reply. `host` is the name that it is meant for; `is_assumed` where the address only stands
/// for it.
pub(super) fn both_ways(
    scene: Scene<'_>,
    book: &Book<'_>,
    packet: Packet,
    host: Option<&HostName>,
    is_assumed: bool,
) -> Walked {
    let mut walk = Walk {
        scene,
        book,
        host,
        is_assumed,
        first: packet,
        packet,
        leg: Leg::Request,
        stations: Vec::new(),
        records: Vec::new(),
    };
    let begin = walk.begin();
    let ended = walk.run(begin);
    let request = std::mem::take(&mut walk.stations);
    let (reply, outcome) = match ended {
        Err(outcome) => (Vec::new(), outcome),
        Ok(site) => {
            let outcome = walk.reply(site);
            (walk.stations, outcome)
        }
    };
    Walked { request, reply, outcome }
}

/// The same, where the way does not matter.
pub(super) fn outcome(scene: Scene<'_>, book: &Book<'_>, packet: Packet) -> Outcome {
    both_ways(scene, book, packet, None, false).outcome
}

/// Where a packet is, and what is to be done there.
#[derive(Debug, Clone, Copy)]
enum At {
    /// Sent from a subnet: its security group is asked.
    Leaving(Place),
    /// Passed on from a subnet of a firewall or a gateway.
    Forwarding(Place),
    Firewall(usize),
    Internet,
    /// Behind the gateway of this network, towards it.
    Premises(usize),
    /// Somebody of a peered network that is not in the topology, towards the network with this number.
    Peer(usize),
    Platform,
    Nowhere,
}

/// Where a packet has arrived.
#[derive(Debug, Clone, Copy)]
enum Site {
    Subnet(Place),
    Firewall(usize),
    Internet,
    Premises(usize),
    /// Behind something that gives replies back to the subnet where they belong.
    Behind(Place),
}

enum Next {
    Go(At),
    Arrived(Site),
    Stop(Outcome),
}

/// Who keeps a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeper {
    /// What is between a subnet and the Internet: a load balancer, or the translation of what leaves.
    Edge(Place),
    Firewall(usize),
    Premises(usize),
}

struct Record {
    keeper: Keeper,
    before: Packet,
    after: Packet,
    is_used: bool,
}

struct Walk<'n, 'b> {
    scene: Scene<'n>,
    book: &'b Book<'n>,
    host: Option<&'b HostName>,
    is_assumed: bool,
    /// As it was sent.
    first: Packet,
    packet: Packet,
    leg: Leg,
    stations: Vec<Station>,
    records: Vec<Record>,
}

impl<'n> Walk<'n, '_> {
    fn begin(&mut self) -> At {
        let source = self.packet.source;
        let begin = self.place_of_source(source);
        match begin {
            At::Leaving(place) => self.at_subnet(place, Some(source)),
            At::Premises(network) => self.at_premises(network, source),
            At::Platform => self.at(Node::Platform, "Azure's load balancer", Some(source)),
            At::Peer(network) => {
                let peering = self.peering_to(network, source);
                let remote = peering.map(|it| it.remote.clone()).unwrap_or_default();
                self.at(Node::Peer(remote.clone()), &remote, Some(source));
            }
            At::Internet | At::Nowhere | At::Forwarding(_) | At::Firewall(_) => {
                self.at(Node::Internet, "Internet", Some(source));
            }
        }
        begin
    }

    fn place_of_source(&self, source: IpAddr) -> At {
        if AddrClass::of(source) == AddrClass::Metadata {
            return At::Platform;
        }
        if let Some(place) = self.scene.network.place_of(source) {
            return At::Leaving(place);
        }
        let networks = &self.scene.network.topology().virtual_networks;
        let behind = |gateway: &crate::vnet::Gateway| {
            gateway.routes.iter().any(|net| net.prefix_len() > 0 && net.contains(&source))
        };
        if let Some(at) = networks.iter().position(|it| it.gateway.as_ref().is_some_and(behind)) {
            return At::Premises(at);
        }
        if AddrClass::of(source) == AddrClass::Global {
            return At::Internet;
        }
        match (0..networks.len()).find(|at| self.peering_to(*at, source).is_some()) {
            Some(at) => At::Peer(at),
            None => At::Nowhere,
        }
    }

    /// The peering of a network that leads to an address.
    fn peering_to(&self, network: usize, address: IpAddr) -> Option<&'n Peering> {
        let own = &self.scene.network.topology().virtual_networks[network];
        let leads = |it: &&Peering| self.scene.network.remote_space(it).iter().any(|net| net.contains(&address));
        own.peerings.iter().find(leads)
    }

    /// Until it arrives, is stopped, or goes in circles.
    fn run(&mut self, begin: At) -> Result<Site, Outcome> {
        let mut at = begin;
        for _ in 0..HOPS {
            match self.step(at) {
                Next::Go(next) => at = next,
                Next::Arrived(site) => return Ok(site),
                Next::Stop(outcome) => return Err(outcome),
            }
        }
        Err(self.lost(BlackHole::Loop, "it goes in circles until its time to live is over"))
    }

    fn step(&mut self, at: At) -> Next {
        match at {
            At::Leaving(place) => self.leave(place),
            At::Forwarding(place) => self.forward(place),
            At::Firewall(firewall) => self.at_firewall(firewall),
            At::Internet => self.on_the_internet(),
            At::Premises(network) => self.from_premises(network),
            At::Peer(network) => self.from_peer(network),
            At::Platform => self.from_platform(),
            At::Nowhere => Next::Stop(
                self.lost(BlackHole::Unroutable, "it begins in no subnet, behind no gateway, and at no public address"),
            ),
        }
    }

    // ---- stations and what they are told by ----

    fn at(&mut self, node: Node, name: &str, address: Option<IpAddr>) {
        let address = address.map(|address| self.shown(address));
        self.stations.push(Station { node, name: name.to_owned(), address, steps: Vec::new() });
    }

    fn at_subnet(&mut self, place: Place, address: Option<IpAddr>) {
        let name = self.scene.network.subnet(place).name.clone();
        self.at(Node::Subnet(place), &name, address);
    }

    fn at_gateway(&mut self, network: usize) {
        let gateway = self.scene.network.topology().virtual_networks[network].gateway.as_ref();
        let name = gateway.map(|it| it.name.as_str()).filter(|name| !name.is_empty()).unwrap_or("gateway").to_owned();
        self.at(Node::Gateway(network), &name, None);
    }

    fn at_premises(&mut self, network: usize, address: IpAddr) {
        self.at(Node::Premises(network), "on-premises", Some(address));
    }

    fn tell(&mut self, step: Step) {
        if let Some(station) = self.stations.last_mut() {
            station.steps.push(step);
        }
    }

    fn shown(&self, address: IpAddr) -> Shown {
        match self.host.filter(|_| self.is_assumed && address == self.first.destination) {
            Some(host) => Shown { address: None, name: host.to_string() },
            None => self.book.shown(address),
        }
    }

    fn lost(&mut self, why: BlackHole, what: impl Into<String>) -> Outcome {
        let what = what.into();
        self.tell(Step::stop(what.clone()));
        Outcome::BlackHole { leg: self.leg, why, what }
    }

    fn denied(&mut self, by: By, what: impl Into<String>) -> Outcome {
        let what = what.into();
        self.tell(Step::stop(what.clone()));
        Outcome::Denied { by, what }
    }

    // ---- subnets ----

    fn leave(&mut self, place: Place) -> Next {
        if let Some(outcome) = self.security(place, FlowDirection::Outbound) {
            return Next::Stop(outcome);
        }
        if AddrClass::of(self.packet.destination) == AddrClass::Metadata {
            self.tell(Step::info("the platform is reached on the host itself: no route leads there"));
            return self.to_platform(place);
        }
        self.forward(place)
    }

    fn to_platform(&mut self, place: Place) -> Next {
        self.at(Node::Platform, "Azure's host", Some(self.packet.destination));
        match self.leg {
            Leg::Request => Next::Arrived(Site::Behind(place)),
            Leg::Reply => Next::Arrived(Site::Internet),
        }
    }

    fn forward(&mut self, place: Place) -> Next {
        let Some(selection) = self.scene.network.route(place, self.packet.destination) else {
            let what = format!("no route leads to {}", self.shown(self.packet.destination));
            return Next::Stop(self.lost(BlackHole::NoRoute, what));
        };
        self.tell(Step::Route(RouteStep::of(&selection)));
        self.follow(place, &selection)
    }

    fn follow(&mut self, place: Place, selection: &Selection<'n>) -> Next {
        match &selection.route.next_hop {
            Hop::VnetLocal | Hop::InterfaceEndpoint => self.to_own_network(place),
            Hop::VnetPeering(remote) | Hop::VnetGlobalPeering(remote) => self.to_peer(place, remote),
            Hop::VirtualNetworkGateway => self.to_gateway(place),
            Hop::VirtualNetworkServiceEndpoint(service) => self.to_service(place, service),
            Hop::VirtualAppliance(address) => self.to_appliance(place, *address),
            Hop::Internet => self.to_internet(place),
            Hop::None => {
                let what = format!("{} drops it", words::route(&RouteStep::of(selection).line));
                Next::Stop(self.lost(BlackHole::NoneRoute, what))
            }
        }
    }

    /// A subnet of the network that a place is in.
    fn place_near(&self, place: Place, address: IpAddr) -> Option<Place> {
        let network = self.scene.network;
        let own = &network.virtual_network(place).name;
        self.place_in(own, address)
    }

    fn place_in(&self, name: &str, address: IpAddr) -> Option<Place> {
        let network = self.scene.network;
        let is_in = |it: &Place| network.virtual_network(*it).name.eq_ignore_ascii_case(name);
        network.places().find(|it| is_in(it) && network.subnet(*it).contains(address))
    }

    fn to_own_network(&mut self, place: Place) -> Next {
        match self.place_near(place, self.packet.destination) {
            Some(there) => self.arrive(there),
            None => {
                let what = format!("{} is in no subnet of the network", self.shown(self.packet.destination));
                Next::Stop(self.lost(BlackHole::NoSubnet, what))
            }
        }
    }

    fn to_peer(&mut self, place: Place, remote: &str) -> Next {
        if let Some(outcome) = self.cross(place, remote) {
            return Next::Stop(outcome);
        }
        if self.scene.network.topology().virtual_network(remote).is_none() {
            self.at(Node::Peer(remote.to_owned()), remote, Some(self.packet.destination));
            self.tell(Step::info("the security groups and routes of this network are not known here"));
            return match self.leg {
                Leg::Request => Next::Arrived(Site::Behind(place)),
                Leg::Reply => Next::Arrived(Site::Internet),
            };
        }
        match self.place_in(remote, self.packet.destination) {
            Some(there) => self.arrive(there),
            None => {
                let what = format!("{} is in no subnet of {remote}", self.shown(self.packet.destination));
                Next::Stop(self.lost(BlackHole::NoSubnet, what))
            }
        }
    }

    /// May the packet pass from the network of a place to a peered one? A peering has two halves, each with a word in it.
    fn cross(&mut self, place: Place, remote: &str) -> Option<Outcome> {
        let network = self.scene.network;
        let own = network.virtual_network(place);
        let near = own.peerings.iter().find(|it| it.remote.eq_ignore_ascii_case(remote));
        let far = network.topology().virtual_network(remote);
        let back = far.and_then(|far| far.peerings.iter().find(|it| it.remote.eq_ignore_ascii_case(&own.name)));
        if far.is_some() && back.is_none() {
            let what = format!("the peering of {} with {remote} has no other half: it is not connected", own.name);
            return Some(self.lost(BlackHole::NoRoute, what));
        }
        let closed = [near, back].into_iter().flatten().find(|it| !it.allow_virtual_network_access);
        if let Some(peering) = closed {
            let what = format!("peering {} lets no traffic of the networks through", peering.name);
            return Some(self.denied(By::Peering, what));
        }
        let is_forwarded = !own.address_space.iter().any(|net| net.contains(&self.packet.source));
        if let Some(peering) = back.filter(|it| is_forwarded && !it.allow_forwarded_traffic) {
            let what = format!("peering {} of {remote} lets no forwarded traffic in", peering.name);
            return Some(self.denied(By::Peering, what));
        }
        self.tell(Step::info(format!("over the peering with {remote}")));
        None
    }

    fn to_service(&mut self, place: Place, service: &str) -> Next {
        let source = self.shown(self.packet.source);
        self.tell(Step::info(format!("the firewall is passed by; {service} sees {source}, the private address")));
        self.at(Node::Service(service.to_owned()), service, Some(self.packet.destination));
        match self.leg {
            Leg::Request => Next::Arrived(Site::Behind(place)),
            Leg::Reply => Next::Arrived(Site::Internet),
        }
    }

    fn to_appliance(&mut self, place: Place, address: IpAddr) -> Next {
        let network = self.scene.network;
        if network.subnet(place).contains(address) {
            let what = format!(
                "the next hop {address} is in the very subnet that is routed to it: what it sends on comes back"
            );
            return Next::Stop(self.lost(BlackHole::Loop, what));
        }
        let way = network.route(place, address).map(|way| way.route.next_hop.clone());
        match way {
            Some(Hop::VnetLocal) => {}
            Some(Hop::VnetPeering(remote) | Hop::VnetGlobalPeering(remote)) => {
                if let Some(outcome) = self.cross(place, &remote) {
                    return Next::Stop(outcome);
                }
            }
            _ => {
                let what = format!("the next hop {address} is neither in the network nor in a peered one");
                return Next::Stop(self.lost(BlackHole::NoAppliance, what));
            }
        }
        match self.book.private_firewall_at(address) {
            Some(firewall) => Next::Go(At::Firewall(firewall)),
            None => self.unknown_appliance(address),
        }
    }

    fn unknown_appliance(&mut self, address: IpAddr) -> Next {
        let network = self.scene.network;
        if network.place_of(address).is_none() {
            let what = format!("the next hop {address} is in no subnet");
            return Next::Stop(self.lost(BlackHole::NoAppliance, what));
        }
        let name = network.interface_of(address).map_or("appliance", |it| it.name.as_str());
        self.at(Node::Appliance(address), name, Some(address));
        let what = format!("what the appliance {address} lets through is not known here");
        self.tell(Step::stop(what.clone()));
        match self.leg {
            Leg::Request => Next::Stop(Outcome::Unknown(what)),
            Leg::Reply => Next::Stop(self.asymmetric(self.book.shown(address), "it has not seen the request".into())),
        }
    }

    /// Comes into a subnet, which has its own security group, or at a firewall in it.
    fn arrive(&mut self, place: Place) -> Next {
        if let Some(firewall) = self.book.private_firewall_at(self.packet.destination) {
            return Next::Go(At::Firewall(firewall));
        }
        self.at_subnet(place, Some(self.packet.destination));
        if let Some(outcome) = self.security(place, FlowDirection::Inbound) {
            return Next::Stop(outcome);
        }
        Next::Arrived(Site::Subnet(place))
    }

    /// Whether the groups stop it. A reply is let through by the record of its request.
    fn security(&mut self, place: Place, direction: FlowDirection) -> Option<Outcome> {
        if self.leg == Leg::Reply {
            self.tell(Step::FlowRecord(direction));
            return None;
        }
        let decision = self.scene.network.security(place, direction, &self.packet.flow());
        let own = match direction {
            FlowDirection::Inbound => self.packet.destination,
            FlowDirection::Outbound => self.packet.source,
        };
        let because = deciding(self.scene, own, &decision);
        let what = words::deciding(&because);
        self.tell(Step::Security(SecurityStep { direction, access: decision.access, because }));
        (decision.access == Action::Deny).then_some(Outcome::Denied { by: By::SecurityGroup, what })
    }

    // ---- gateways ----

    fn to_gateway(&mut self, place: Place) -> Next {
        let Some(network) = self.gateway_of(place) else {
            let what = "there is no gateway that the next hop VirtualNetworkGateway could be";
            return Next::Stop(self.lost(BlackHole::NoGateway, what));
        };
        self.at_gateway(network);
        let gateway = self.scene.network.topology().virtual_networks[network].gateway.as_ref();
        let to = self.packet.destination;
        let is_there = gateway.is_some_and(|it| it.routes.iter().any(|net| net.prefix_len() > 0 && net.contains(&to)));
        if is_there {
            self.at_premises(network, to);
            return Next::Arrived(Site::Premises(network));
        }
        match gateway.filter(|_| AddrClass::of(to) == AddrClass::Global) {
            Some(gateway) => {
                let egress = self.book.egress_of(gateway);
                let has_proxy = gateway.egress_proxy;
                self.forced(network, egress, has_proxy)
            }
            None => {
                let what = format!("nothing behind the gateway is known to have {}", self.shown(to));
                Next::Stop(self.lost(BlackHole::NoGateway, what))
            }
        }
    }

    /// To the Internet by way of one's own premises.
    fn forced(&mut self, network: usize, egress: IpAddr, has_proxy: bool) -> Next {
        self.at_premises(network, egress);
        if has_proxy {
            self.tell(Step::info("a proxy sends it on, and changes more than the source"));
        }
        if let Some(back) = self.take_record(Keeper::Premises(network)) {
            self.packet = back;
        } else {
            self.translate_source(Keeper::Premises(network), egress);
        }
        Next::Go(At::Internet)
    }

    /// The network whose gateway a place uses: its own, or a peer's.
    fn gateway_of(&self, place: Place) -> Option<usize> {
        let network = self.scene.network;
        let networks = &network.topology().virtual_networks;
        let by_name =
            |name: &str| networks.iter().position(|it| it.name.eq_ignore_ascii_case(name) && it.gateway.is_some());
        let own = network.virtual_network(place);
        let remote = own.peerings.iter().filter(|it| it.use_remote_gateways).find_map(|it| by_name(&it.remote));
        by_name(&own.name).or(remote)
    }

    fn from_premises(&mut self, network: usize) -> Next {
        self.at_gateway(network);
        let own = &self.scene.network.topology().virtual_networks[network];
        let subnet = own.subnets.iter().find(|it| it.name.eq_ignore_ascii_case("GatewaySubnet"));
        let place = subnet.and_then(|subnet| self.scene.network.place(&own.name, &subnet.name));
        if let Some(place) = place {
            return self.forward(place);
        }
        self.into_network(&own.name)
    }

    fn from_peer(&mut self, network: usize) -> Next {
        let own = &self.scene.network.topology().virtual_networks[network];
        self.into_network(&own.name)
    }

    /// Into a network from its edge, where nothing says that it is routed elsewhere.
    fn into_network(&mut self, name: &str) -> Next {
        let network = self.scene.network;
        let to = self.packet.destination;
        let own = network.topology().virtual_network(name);
        let peers = own.into_iter().flat_map(|it| &it.peerings).map(|it| it.remote.as_str());
        let mut names = std::iter::once(name).chain(peers);
        match names.find_map(|name| self.place_in(name, to)) {
            Some(place) => self.arrive(place),
            None => {
                let what = format!("{} is in no subnet there", self.shown(to));
                Next::Stop(self.lost(BlackHole::NoSubnet, what))
            }
        }
    }

    fn from_platform(&mut self) -> Next {
        match self.scene.network.place_of(self.packet.destination) {
            Some(place) => self.arrive(place),
            None => Next::Stop(self.lost(BlackHole::NoSubnet, "the load balancer probes addresses of subnets only")),
        }
    }

    // ---- the Internet ----

    fn to_internet(&mut self, place: Place) -> Next {
        let to = self.packet.destination;
        if AddrClass::of(to) != AddrClass::Global {
            let what = format!("{} is no address of the Internet", self.shown(to));
            return Next::Stop(self.lost(BlackHole::Unroutable, what));
        }
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
    fn seen_from_outside(&self, place: Place) -> IpAddr {
        let interface = self.scene.network.interface_of(self.packet.source);
        let own = interface.and_then(|it| it.public_addresses.first().copied());
        let environment = self.environment_in(place).map(|(_, it)| self.book.outbound_of(it));
        own.or(environment).unwrap_or_else(|| self.book.outbound())
    }

    fn environment_in(&self, place: Place) -> Option<(usize, &'n AppServiceEnvironment)> {
        let network = self.scene.network;
        let (own, subnet) = (network.virtual_network(place), network.subnet(place));
        network.topology().environments.iter().enumerate().find(|(_, it)| {
            it.virtual_network.eq_ignore_ascii_case(&own.name) && it.subnet.eq_ignore_ascii_case(&subnet.name)
        })
    }

    fn on_the_internet(&mut self) -> Next {
        let to = self.packet.destination;
        if self.stations.last().is_none_or(|last| last.node != Node::Internet) {
            let shown = if self.leg == Leg::Reply { self.packet.source } else { to };
            self.at(Node::Internet, "Internet", Some(shown));
        }
        if self.leg == Leg::Reply {
            return self.back_from_the_internet();
        }
        if let Some((number, environment)) = self.book.environment_at(to) {
            return self.to_vip(number, environment);
        }
        if let Some(firewall) = self.book.public_firewall_at(to) {
            return Next::Go(At::Firewall(firewall));
        }
        let interfaces = &self.scene.network.topology().interfaces;
        if let Some(interface) = interfaces.iter().find(|it| it.public_addresses.contains(&to)) {
            return self.to_interface(interface);
        }
        if AddrClass::of(to) == AddrClass::Global {
            return Next::Arrived(Site::Internet);
        }
        let what = format!("{} is private: the Internet has no way there", self.shown(to));
        Next::Stop(self.lost(BlackHole::Unroutable, what))
    }

    /// A reply on the Internet comes to who sent the request, or to what has a record of it.
    fn back_from_the_internet(&mut self) -> Next {
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
    fn to_vip(&mut self, number: usize, environment: &'n AppServiceEnvironment) -> Next {
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
        if environment.load_balancing != LoadBalancing::External && !MANAGEMENT.contains(&port) {
            let what = format!(
                "the VIP of an ILB environment serves 454 and 455 only, not {port}: its apps are at the address of its internal load balancer"
            );
            return Next::Stop(self.denied(By::LoadBalancer, what));
        }
        let place = network.place(&environment.virtual_network, &environment.subnet);
        let inside = place.and_then(|place| {
            let plain = network.subnet(place).prefixes.first().and_then(|net| net.hosts().nth(3));
            environment.internal_address.or(plain).map(|inside| (place, inside))
        });
        let Some((place, inside)) = inside else {
            return Next::Stop(Outcome::Unknown(format!("the subnet of {} is not known here", environment.name)));
        };
        self.translate_destination(Keeper::Edge(place), inside, backend);
        self.arrive(place)
    }

    fn to_interface(&mut self, interface: &'n NetworkInterface) -> Next {
        let inside = interface.addresses.first().copied();
        let place = inside.and_then(|inside| self.scene.network.place_of(inside));
        let (Some(inside), Some(place)) = (inside, place) else {
            return Next::Stop(Outcome::Unknown(format!("the subnet of {} is not known here", interface.name)));
        };
        self.translate_destination(Keeper::Edge(place), inside, self.packet.destination_port);
        self.arrive(place)
    }

    // ---- translation and its records ----

    fn translate_source(&mut self, keeper: Keeper, to: IpAddr) {
        let before = self.packet;
        self.packet.source = to;
        self.tell(Step::Translation(Translation {
            what: Translates::Source,
            from: self.shown(before.source),
            to: self.shown(to),
        }));
        self.records.push(Record { keeper, before, after: self.packet, is_used: false });
    }

    fn translate_destination(&mut self, keeper: Keeper, to: IpAddr, port: u16) {
        let before = self.packet;
        self.packet.destination = to;
        self.packet.destination_port = port;
        self.tell(Step::Translation(Translation {
            what: Translates::Destination,
            from: self.shown(before.destination),
            to: self.shown(to),
        }));
        self.records.push(Record { keeper, before, after: self.packet, is_used: false });
    }

    /// The packet as it was before somebody translated it, the other way round, if this is a reply to it.
    fn take_record(&mut self, keeper: Keeper) -> Option<Packet> {
        let (leg, wanted) = (self.leg, self.packet.reversed());
        let fits = |it: &&mut Record| leg == Leg::Reply && it.keeper == keeper && it.after == wanted && !it.is_used;
        let record = self.records.iter_mut().find(fits)?;
        record.is_used = true;
        Some(record.before.reversed())
    }

    fn give_back(&mut self, back: Packet) {
        let (from, to) = if back.source == self.packet.source {
            (self.packet.destination, back.destination)
        } else {
            (self.packet.source, back.source)
        };
        if from != to {
            let (from, to) = (self.shown(from), self.shown(to));
            self.tell(Step::Translation(Translation { what: Translates::Back, from, to }));
        }
        self.packet = back;
    }

    // ---- the firewall ----

    fn at_firewall(&mut self, number: usize) -> Next {
        let firewall = &self.scene.network.topology().firewalls[number];
        let seen = if self.book.public_firewall_at(self.packet.destination) == Some(number) {
            Some(self.packet.destination)
        } else {
            firewall.private_address
        };
        self.at(Node::Firewall(number), &firewall.name, seen);
        match self.leg {
            Leg::Request => self.filter(number),
            Leg::Reply => self.back_through(number),
        }
    }

    fn back_through(&mut self, number: usize) -> Next {
        match self.take_record(Keeper::Firewall(number)) {
            Some(back) => {
                self.tell(Step::Remark { mark: Mark::Pass, text: "it knows the flow".into() });
                self.give_back(back);
                self.beyond(number)
            }
            None => {
                let firewall = &self.scene.network.topology().firewalls[number];
                let public = AddrClass::of(self.packet.destination) == AddrClass::Global;
                let private = firewall.private_address.unwrap_or_else(|| self.book.of_firewall(firewall));
                let leaves = self.book.shown(if public { self.book.of_firewall(firewall) } else { private });
                let what = format!("{} has not seen the request, and drops what it does not know", firewall.name);
                self.tell(Step::stop(what.clone()));
                Next::Stop(self.asymmetric(leaves, what))
            }
        }
    }

    fn filter(&mut self, number: usize) -> Next {
        let firewall = &self.scene.network.topology().firewalls[number];
        let Some(policy) = self.scene.policy else {
            let what = format!("what {} lets through is not known here", firewall.name);
            return Next::Stop(Outcome::Unknown(what));
        };
        let to_itself = self.is_of_firewall(number, self.packet.destination);
        let (step, decision) = self.decision(policy, number, to_itself);
        let denial = words::firewall(&step);
        let is_allowed = decision.permit().is_ok();
        if to_itself && decision.reason != Reason::DnatRule && firewall.private_address == Some(self.packet.destination)
        {
            self.tell(Step::info("it is meant for the firewall itself"));
            return Next::Arrived(Site::Firewall(number));
        }
        self.tell(Step::Firewall(step));
        if !is_allowed {
            return Next::Stop(Outcome::Denied { by: By::Firewall, what: denial });
        }
        self.pass(policy, number, &decision)
    }

    fn is_of_firewall(&self, number: usize, address: IpAddr) -> bool {
        let firewall = &self.scene.network.topology().firewalls[number];
        firewall.private_address == Some(address) || self.book.public_firewall_at(address) == Some(number)
    }

    fn decision(&self, policy: &Policy, number: usize, to_itself: bool) -> (FirewallStep, crate::policy::Decision) {
        let known = Address::Given(self.packet.destination);
        let address = match self.host {
            Some(_) if self.is_assumed => Address::Unknown,
            Some(_) => Address::Override(self.packet.destination),
            None => known,
        };
        let query = Query {
            client: Some(self.packet.source),
            protocol: self.packet.protocol,
            name: self.host.filter(|_| !to_itself),
            address,
            dialled: None,
            port: self.packet.destination_port,
            direction: if to_itself { Direction::Inbound } else { Direction::Outbound },
            resolved: &[],
            path: (self.packet.protocol == Protocol::Http).then_some("/"),
        };
        let decision = policy.decide(&query);
        let is_denied = decision.permit().is_err();
        let nearest = is_denied.then(|| policy.explain(&query)).and_then(|walked| {
            let (step, wish) = walked.nearest_miss()?;
            Some(format!("{} would allow it if {wish}", step.rule.rule.name()))
        });
        let open = (decision.address_matters && is_denied).then(|| {
            "a network rule may allow it by its address, which is not known here: tell it with --resolve".to_owned()
        });
        let step = FirewallStep {
            firewall: self.scene.network.topology().firewalls[number].name.clone(),
            verdict: decision.verdict,
            reason: decision.reason,
            rule: decision.rule.map(|rule| policy.rule_name(rule).to_string()),
            hint: nearest.or(open),
        };
        (step, decision)
    }

    /// Let through: whose address it has from here on depends on who let it through.
    fn pass(&mut self, policy: &Policy, number: usize, decision: &crate::policy::Decision) -> Next {
        let firewall = &self.scene.network.topology().firewalls[number];
        let before = self.packet;
        if let Some(translated) = policy.translated(decision) {
            let crate::flow::Host::Addr(to) = translated.host else {
                return Next::Stop(Outcome::Unknown(format!("the address of {} is not known here", translated.host)));
            };
            self.packet.destination = to;
            self.packet.destination_port = translated.port;
            let (from, to) = (self.shown(before.destination), self.shown(to));
            self.tell(Step::Translation(Translation { what: Translates::Destination, from, to }));
        }
        let to = self.packet.destination;
        let is_private = AddrClass::of(to) != AddrClass::Global;
        let keeps = decision.reason == Reason::NetworkRule && private_ranges(policy).iter().any(|it| it.contains(to));
        if !keeps {
            let private = firewall.private_address.filter(|_| is_private);
            self.packet.source = private.unwrap_or_else(|| self.book.of_firewall(firewall));
            let (from, to) = (self.shown(before.source), self.shown(self.packet.source));
            self.tell(Step::Translation(Translation { what: Translates::Source, from, to }));
        }
        self.records.push(Record { keeper: Keeper::Firewall(number), before, after: self.packet, is_used: false });
        self.beyond(number)
    }

    /// By the routes of the firewall's own subnet.
    fn beyond(&mut self, number: usize) -> Next {
        let firewall = &self.scene.network.topology().firewalls[number];
        match self.scene.network.place(&firewall.virtual_network, &firewall.subnet) {
            Some(place) => self.forward(place),
            None if AddrClass::of(self.packet.destination) == AddrClass::Global => Next::Go(At::Internet),
            None => self.into_network(&firewall.virtual_network),
        }
    }

    // ---- the reply ----

    fn reply(&mut self, site: Site) -> Outcome {
        self.leg = Leg::Reply;
        self.packet = self.packet.reversed();
        let source = self.packet.source;
        let begin = match site {
            Site::Subnet(place) => {
                self.at_subnet(place, Some(source));
                At::Leaving(place)
            }
            Site::Firewall(firewall) => {
                let name = self.scene.network.topology().firewalls[firewall].name.clone();
                self.at(Node::Firewall(firewall), &name, Some(source));
                let next = self.beyond(firewall);
                return self.finish_at(next);
            }
            Site::Internet => {
                self.at(Node::Internet, "Internet", Some(source));
                At::Internet
            }
            Site::Premises(network) => {
                self.at_premises(network, source);
                At::Premises(network)
            }
            Site::Behind(place) => return self.reply_from_behind(place, source),
        };
        match self.run(begin) {
            Ok(_) => self.compared(),
            Err(outcome) => outcome,
        }
    }

    fn finish_at(&mut self, next: Next) -> Outcome {
        let ended = match next {
            Next::Go(at) => self.run(at),
            Next::Arrived(site) => Ok(site),
            Next::Stop(outcome) => Err(outcome),
        };
        match ended {
            Ok(_) => self.compared(),
            Err(outcome) => outcome,
        }
    }

    /// What answers by a service endpoint, a peering or the host answers to where it was asked from.
    fn reply_from_behind(&mut self, place: Place, source: IpAddr) -> Outcome {
        let (name, node) = match self.last_node_of_request() {
            Some((name, node)) => (name, node),
            None => ("Internet".to_owned(), Node::Internet),
        };
        let is_peer = matches!(node, Node::Peer(_));
        self.at(node, &name, Some(source));
        let to = self.packet.destination;
        let there = self.place_near(place, to).or_else(|| self.scene.network.place_of(to)).unwrap_or(place);
        let next = self.arrive(there);
        let skipped = self.records.iter().any(|it| matches!(it.keeper, Keeper::Firewall(_)) && !it.is_used);
        if is_peer && skipped && matches!(next, Next::Arrived(_)) {
            return Outcome::Unknown(format!(
                "whether {name} sends its replies back through the firewall is not known here"
            ));
        }
        self.finish_at(next)
    }

    fn last_node_of_request(&self) -> Option<(String, Node)> {
        let far = self.packet.source;
        let selection = self
            .scene
            .network
            .place_of(self.packet.destination)
            .or_else(|| self.records.last().and_then(|it| self.scene.network.place_of(it.after.source)));
        if AddrClass::of(far) == AddrClass::Metadata {
            return Some(("Azure's host".to_owned(), Node::Platform));
        }
        let route = self.scene.network.route(selection?, far)?;
        match &route.route.next_hop {
            Hop::VirtualNetworkServiceEndpoint(service) => Some((service.clone(), Node::Service(service.clone()))),
            Hop::VnetPeering(remote) | Hop::VnetGlobalPeering(remote) => {
                Some((remote.clone(), Node::Peer(remote.clone())))
            }
            _ => None,
        }
    }

    /// Arrived: from where it was expected, and past all that has seen the request?
    fn compared(&mut self) -> Outcome {
        let skipped = self.records.iter().find_map(|it| match it.keeper {
            Keeper::Firewall(number) if !it.is_used => Some(number),
            _ => None,
        });
        if let Some(number) = skipped {
            let name = self.scene.network.topology().firewalls[number].name.clone();
            let what = format!("{name} has seen the request and does not see the reply: it drops what follows");
            return self.asymmetric(self.shown(self.packet.source), what);
        }
        let (expected, got) = (self.first.destination, self.packet.source);
        if expected != got || self.packet.destination != self.first.source {
            let what =
                format!("who asked {} gets a reply from {}, and drops it", self.shown(expected), self.shown(got));
            self.tell(Step::stop(what.clone()));
            return self.asymmetric(self.shown(got), what);
        }
        Outcome::Delivered
    }

    fn asymmetric(&self, leaves_by: Shown, what: String) -> Outcome {
        let came_to = self.shown(self.first.destination);
        Outcome::Asymmetric(Asymmetry { came_to, leaves_by, what })
    }
}

/// Destinations that see who really asks, of flows by network rules: what the policy says, else RFC 1918 and RFC 6598
/// (azure-docs, snat-private-range.md, 2023).
fn private_ranges(policy: &Policy) -> Vec<AddressRange> {
    const USUAL: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];
    let said = policy.rules().policies.iter().find_map(|it| it.settings.snat.private_ranges.clone());
    said.unwrap_or_else(|| USUAL.iter().filter_map(|text| text.parse().ok()).collect())
}

/// Which group decided, and what it is on.
pub(super) fn deciding(scene: Scene<'_>, own: IpAddr, decision: &SecurityDecision<'_>) -> Deciding {
    match decision.because {
        Because::NoGroup => Deciding::NoGroup,
        Because::Exempt => Deciding::Exempt,
        Because::Rule { group, rule, priority, is_default } => {
            let interface = scene.network.interface_of(own).and_then(|it| it.security_group.as_deref());
            let subnet = scene.network.place_of(own).and_then(|it| scene.network.security_group_of(it));
            let of_subnet = subnet.is_some_and(|it| it.name.eq_ignore_ascii_case(group));
            let of_interface = interface.is_some_and(|it| it.eq_ignore_ascii_case(group));
            let on = if of_interface && !of_subnet { Level::Interface } else { Level::Subnet };
            let (group, rule) = (group.to_owned(), rule.to_owned());
            Deciding::Rule { group, rule, priority, is_default, on }
        }
    }
}
