//! A packet on its way, hop by hop, and its reply.
//!
//! What translates addresses or follows connections keeps a record of what it has passed on. A reply is handed back by
//! the record; one that comes to a firewall without a record, or passes the firewall by that has one, is lost.

mod firewall;
mod gateways;
mod internet;
mod records;
mod reply;
mod stations;
mod subnets;

use std::net::IpAddr;

use crate::flow::{AddrClass, HostName, Protocol};
use crate::vnet::onward::Gatekeeper;
use crate::vnet::{
    AppliedTo, Because, FlowDirection, Gateway, GroupDecision, NetFlow, Peering, Place, SecurityDecision,
};

use super::Scene;
use super::book::Book;
use super::outcome::{BlackHole, Leg, Outcome};
use super::path::{Deciding, Level, Node, SecurityStep, Station};

/// A packet that has been to more places goes in circles.
const HOPS: usize = 24;

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
            transport: self.protocol.into(),
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

/// What a packet is meant for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meant<'b> {
    /// Its destination.
    Address,
    /// A name that has this address.
    Host(&'b HostName),
    /// A name that the address only stands for. The service, where it is of one whose addresses are not at hand.
    HostSomewhere { host: &'b HostName, service: Option<&'b str> },
}

impl<'b> Meant<'b> {
    fn host(self) -> Option<&'b HostName> {
        match self {
            Meant::Address => None,
            Meant::Host(host) | Meant::HostSomewhere { host, .. } => Some(host),
        }
    }
}

/// Follows a packet and its reply. `begins` is the subnet that it is sent from, where that is known: several may have its
/// source.
pub(super) fn both_ways(
    scene: Scene<'_>,
    book: &Book<'_>,
    packet: Packet,
    begins: Option<Place>,
    meant: Meant<'_>,
) -> Walked {
    let mut walk = Walk {
        scene,
        book,
        meant,
        begins,
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
pub(super) fn outcome(scene: Scene<'_>, book: &Book<'_>, packet: Packet, begins: Option<Place>) -> Outcome {
    both_ways(scene, book, packet, begins, Meant::Address).outcome
}

/// Where a packet is, and what is to be done there.
#[derive(Debug, Clone, Copy)]
enum At {
    /// Sent from a subnet: its security group is asked.
    Leaving(Place),
    Firewall(Gatekeeper),
    /// A firewall sends something of its own.
    Sending(Gatekeeper),
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
    Firewall(Gatekeeper),
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
    Firewall(Gatekeeper),
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
    meant: Meant<'b>,
    begins: Option<Place>,
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
            At::Sending(firewall) => self.at(Self::node_of(firewall), self.name_of(firewall), Some(source)),
            At::Platform => self.at(Node::Platform, "Azure's load balancer", Some(source)),
            At::Peer(network) => {
                let peering = self.peering_to(network, source);
                let remote = peering.map(|it| it.remote.clone()).unwrap_or_default();
                self.at(Node::Peer(remote.clone()), &remote, Some(source));
            }
            At::Internet | At::Nowhere | At::Firewall(_) => {
                self.at(Node::Internet, "Internet", Some(source));
            }
        }
        begin
    }

    fn place_of_source(&self, source: IpAddr) -> At {
        if AddrClass::of(source) == AddrClass::Metadata {
            return At::Platform;
        }
        if let Some(firewall) = self.own_of_firewall(source) {
            return At::Sending(firewall);
        }
        if let Some(place) = self.begins.or_else(|| self.scene.network.place_of(source)) {
            return At::Leaving(place);
        }
        let networks = &self.scene.network.topology().virtual_networks;
        let behind = |gateway: &Gateway| gateways::leads_to(gateway, source);
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
            At::Firewall(firewall) => self.at_firewall(firewall),
            At::Sending(firewall) => self.leave_firewall(firewall),
            At::Internet => self.on_the_internet(),
            At::Premises(network) => self.leave_premises(network),
            At::Peer(network) => self.leave_peer(network),
            At::Platform => self.leave_platform(),
            At::Nowhere => Next::Stop(
                self.lost(BlackHole::Unroutable, "it begins in no subnet, behind no gateway, and at no public address"),
            ),
        }
    }
}

/// What every security group on the way of a packet says, in the order in which they are asked; one step where there is
/// none, or none has a say.
pub(super) fn security(scene: Scene<'_>, place: Place, direction: FlowDirection, flow: &NetFlow) -> Vec<SecurityStep> {
    let told = |it: &GroupDecision<'_>| step(direction, &it.decision, it.applied_to.into());
    let steps: Vec<SecurityStep> = scene.network.security_of_groups(place, direction, flow).iter().map(told).collect();
    match steps.is_empty() {
        true => vec![step(direction, &scene.network.security(place, direction, flow), Level::Subnet)],
        false => steps,
    }
}

fn step(direction: FlowDirection, decision: &SecurityDecision<'_>, on: Level) -> SecurityStep {
    let because = match decision.because {
        Because::NoGroup => Deciding::NoGroup,
        Because::Exempt => Deciding::Exempt,
        Because::Rule { group, rule, priority, is_default, at } => {
            let (group, rule) = (group.to_owned(), rule.to_owned());
            Deciding::Rule { group, rule, priority, is_default, on, at }
        }
    };
    SecurityStep { direction, access: decision.access, because }
}

impl From<AppliedTo<'_>> for Level {
    fn from(applied_to: AppliedTo<'_>) -> Level {
        match applied_to {
            AppliedTo::Subnet(_) => Level::Subnet,
            AppliedTo::NetworkInterface(_) => Level::Interface,
        }
    }
}
