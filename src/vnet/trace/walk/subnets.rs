//! Out of subnets and into them: security groups, routes, peerings, appliances.

use std::net::IpAddr;

use crate::flow::AddrClass;
use crate::policy::Action;
use crate::vnet::{FlowDirection, Hop, Place, Selection};

use super::super::outcome::{BlackHole, By, Leg, Outcome};
use super::super::path::{Node, RouteStep, Step};
use super::super::words;
use super::{At, Next, Site, Walk};

impl<'n> Walk<'n, '_> {
    pub(super) fn leave(&mut self, place: Place) -> Next {
        if let Some(outcome) = self.security(place, FlowDirection::Outbound) {
            return Next::Stop(outcome);
        }
        if AddrClass::of(self.packet.destination) == AddrClass::Metadata {
            self.tell(Step::info("the platform is reached on the host itself: no route leads there"));
            return self.reach_platform(place);
        }
        self.forward(place)
    }

    pub(super) fn reach_platform(&mut self, place: Place) -> Next {
        self.at(Node::Platform, "Azure's host", Some(self.packet.destination));
        match self.leg {
            Leg::Request => Next::Arrived(Site::Behind(place)),
            Leg::Reply => Next::Arrived(Site::Internet),
        }
    }

    pub(super) fn forward(&mut self, place: Place) -> Next {
        let Some(selection) = self.scene.network.route(place, self.packet.destination) else {
            let what = format!("no route leads to {}", self.shown(self.packet.destination));
            return Next::Stop(self.lost(BlackHole::NoRoute, what));
        };
        self.tell(Step::Route(RouteStep::of(&selection)));
        self.follow(place, &selection)
    }

    pub(super) fn follow(&mut self, place: Place, selection: &Selection<'n>) -> Next {
        match &selection.route.next_hop {
            Hop::VnetLocal => self.reach_own_network(place),
            Hop::VnetPeering(remote) | Hop::VnetGlobalPeering(remote) => self.reach_peer(place, remote),
            Hop::InterfaceEndpoint => self.reach_private_endpoint(place),
            Hop::VirtualNetworkGateway => self.reach_gateway(place),
            Hop::VirtualNetworkServiceEndpoint(service) => self.reach_service(place, service),
            Hop::VirtualAppliance(address) => self.reach_appliance(place, *address),
            Hop::Internet => self.reach_internet(place),
            Hop::None => {
                let what = format!("{} drops it", words::route(&RouteStep::of(selection).line));
                Next::Stop(self.lost(BlackHole::NoneRoute, what))
            }
        }
    }

    /// A subnet of the network that a place is in.
    pub(super) fn place_near(&self, place: Place, address: IpAddr) -> Option<Place> {
        let network = self.scene.network;
        let own = &network.virtual_network(place).name;
        self.place_in(own, address)
    }

    pub(super) fn place_in(&self, name: &str, address: IpAddr) -> Option<Place> {
        let network = self.scene.network;
        let is_in = |it: &Place| network.virtual_network(*it).name.eq_ignore_ascii_case(name);
        network.places().find(|it| is_in(it) && network.subnet(*it).contains(address))
    }

    pub(super) fn reach_own_network(&mut self, place: Place) -> Next {
        match self.place_near(place, self.packet.destination) {
            Some(there) => self.arrive(there),
            None => {
                let what = format!("{} is in no subnet of the network", self.shown(self.packet.destination));
                Next::Stop(self.lost(BlackHole::NoSubnet, what))
            }
        }
    }

    /// A private endpoint of this network or a peered one, whatever routes say of the prefix around it.
    fn reach_private_endpoint(&mut self, place: Place) -> Next {
        let to = self.packet.destination;
        match self.place_near(place, to).or_else(|| self.scene.network.place_of(to)) {
            Some(there) => self.arrive(there),
            None => Next::Stop(self.lost(BlackHole::NoSubnet, format!("{} is in no subnet", self.shown(to)))),
        }
    }

    pub(super) fn reach_peer(&mut self, place: Place, remote: &str) -> Next {
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
    pub(super) fn cross(&mut self, place: Place, remote: &str) -> Option<Outcome> {
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

    pub(super) fn reach_service(&mut self, place: Place, service: &str) -> Next {
        let source = self.shown(self.packet.source);
        self.tell(Step::info(format!("the firewall is passed by; {service} sees {source}, the private address")));
        self.at(Node::Service(service.to_owned()), service, Some(self.packet.destination));
        match self.leg {
            Leg::Request => Next::Arrived(Site::Behind(place)),
            Leg::Reply => Next::Arrived(Site::Internet),
        }
    }

    pub(super) fn reach_appliance(&mut self, place: Place, address: IpAddr) -> Next {
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

    pub(super) fn unknown_appliance(&mut self, address: IpAddr) -> Next {
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
    pub(super) fn arrive(&mut self, place: Place) -> Next {
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
    pub(super) fn security(&mut self, place: Place, direction: FlowDirection) -> Option<Outcome> {
        if self.leg == Leg::Reply {
            self.tell(Step::FlowRecord(direction));
            return None;
        }
        let steps = super::security(self.scene, place, direction, &self.packet.flow());
        let denial = steps.iter().find(|step| step.access == Action::Deny).map(|step| words::deciding(&step.because));
        steps.into_iter().for_each(|step| self.tell(Step::Security(step)));
        denial.map(|what| Outcome::Denied { by: By::SecurityGroup, what })
    }
}
