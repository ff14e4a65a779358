//! Out of subnets and into them: security groups, routes, peerings, appliances.

use std::net::IpAddr;

use crate::flow::{AddrClass, Reason};
use crate::policy::Action;
use crate::vnet::onward::{Barred, Onward, Towards};
use crate::vnet::{FlowDirection, Place, Selection};

use super::super::outcome::{BlackHole, By, Leg, Outcome};
use super::super::path::{Node, RouteStep, Step};
use super::super::words;
use super::{At, Meant, Next, Site, Walk};

/// What routes were read of may have no name: they do not tell it, and the topology does not know the prefix.
pub(super) const PEER: &str = "a peered network";
pub(super) const SERVICE: &str = "a service";

pub(super) fn or_else<'t>(name: &'t str, other: &'t str) -> &'t str {
    if name.is_empty() { other } else { name }
}

impl<'n, 'b> Walk<'n, 'b> {
    pub(super) fn leave(&mut self, place: Place) -> Next {
        if let Some(outcome) = self.security(place, FlowDirection::Outbound) {
            return Next::Stop(outcome);
        }
        if AddrClass::of(self.packet.destination) == AddrClass::Metadata {
            return self.reach_host(place);
        }
        self.forward(place)
    }

    pub(super) fn reach_host(&mut self, place: Place) -> Next {
        self.tell(Step::info("the platform is reached on the host itself: no user-defined route counts"));
        self.reach_platform(place)
    }

    pub(super) fn reach_platform(&mut self, place: Place) -> Next {
        self.at(Node::Platform, "Azure's host", Some(self.packet.destination));
        if self.leg == Leg::Request {
            let word = Reason::InternalAddress.as_str();
            self.tell(Step::info(format!("egret serve leads nobody to the platform of its own host: {word}")));
        }
        match self.leg {
            Leg::Request => Next::Arrived(Site::Behind(place)),
            Leg::Reply => Next::Arrived(Site::Internet),
        }
    }

    pub(super) fn forward(&mut self, place: Place) -> Next {
        if let Some(service) = self.unlisted_endpoint(place) {
            let what =
                format!("{service} has an endpoint here; its addresses, which the route is for, are not at hand");
            self.tell(Step::info(what));
            return self.reach_service(place, service);
        }
        let Some(selection) = self.scene.network.route(place, self.packet.destination) else {
            let what = format!("no route leads to {}", self.shown(self.packet.destination));
            return Next::Stop(self.lost(BlackHole::NoRoute, what));
        };
        self.tell(Step::Route(RouteStep::of(&selection)));
        self.follow(place, &selection)
    }

    /// The service that a name is of, where the endpoint of the subnet leads to it and no file says to which addresses.
    fn unlisted_endpoint(&self, place: Place) -> Option<&'b str> {
        let Meant::HostSomewhere { service: Some(service), .. } = self.meant else { return None };
        let is_request = self.leg == Leg::Request && self.packet.destination == self.first.destination;
        (is_request && self.scene.network.subnet(place).has_endpoint(service)).then_some(service)
    }

    pub(super) fn follow(&mut self, place: Place, selection: &Selection<'n>) -> Next {
        match self.scene.network.onward(place, selection.route, self.packet.source, self.packet.destination) {
            Ok(onward) => self.go_on(place, onward),
            Err(Barred::Dropped(_)) => {
                let what = format!("{} drops it", words::route(&RouteStep::of(selection).line));
                Next::Stop(self.lost(BlackHole::NoneRoute, what))
            }
            Err(barred) => Next::Stop(self.barred(&self.scene.network.virtual_network(place).name, barred)),
        }
    }

    fn go_on(&mut self, place: Place, onward: Onward<'n>) -> Next {
        if let Some(remote) = onward.over {
            self.tell(Step::info(format!("over the peering with {}", or_else(remote, PEER))));
        }
        match onward.to {
            Towards::Subnet(there) => self.arrive(there),
            Towards::Peer(remote) => self.reach_peer(place, remote),
            Towards::Service(service) => self.reach_service(place, service),
            Towards::Premises(network) => self.reach_premises(network),
            Towards::Forced(network) => self.reach_forced(network),
            Towards::Firewall(firewall) => Next::Go(At::Firewall(firewall)),
            Towards::Appliance(address) => self.unknown_appliance(place, address),
            Towards::Internet => self.reach_internet(place),
        }
    }

    pub(super) fn barred(&mut self, own: &str, barred: Barred<'_>) -> Outcome {
        let to = self.shown(self.packet.destination);
        let (why, what) = match barred {
            Barred::NoRoute => (BlackHole::NoRoute, format!("no route leads to {to}")),
            Barred::Dropped(_) => (BlackHole::NoneRoute, "the route drops it".to_owned()),
            Barred::NoSubnet => (BlackHole::NoSubnet, format!("{to} is in no subnet of the network")),
            Barred::NoSubnetOf(remote) => {
                self.tell(Step::info(format!("over the peering with {remote}")));
                (BlackHole::NoSubnet, format!("{to} is in no subnet of {remote}"))
            }
            Barred::Unconnected(remote) => {
                let what = format!("the peering of {own} with {remote} has no other half: it is not connected");
                (BlackHole::NoRoute, what)
            }
            Barred::Closed(peering) => {
                let what = format!("peering {} lets no traffic of the networks through", peering.name);
                return self.denied(By::Peering, what);
            }
            Barred::NotForwarded(peering, remote) => {
                let what = format!("peering {} of {remote} lets no forwarded traffic in", peering.name);
                return self.denied(By::Peering, what);
            }
            Barred::Loop(address) => {
                let what = "is in the very subnet that is routed to it: what it sends on comes back";
                (BlackHole::Loop, format!("the next hop {address} {what}"))
            }
            Barred::NoAppliance(address) => {
                let what = format!("the next hop {address} is neither in the network nor in a peered one");
                (BlackHole::NoAppliance, what)
            }
            Barred::Nobody(address) => (BlackHole::NoAppliance, format!("the next hop {address} is in no subnet")),
            Barred::NoGateway => {
                let what = "there is no gateway that the next hop VirtualNetworkGateway could be";
                (BlackHole::NoGateway, what.to_owned())
            }
            Barred::NothingBehind(network) => {
                self.at_gateway(network);
                (BlackHole::NoGateway, format!("nothing behind the gateway is known to have {to}"))
            }
            Barred::Unroutable => (BlackHole::Unroutable, format!("{to} is no address of the Internet")),
        };
        self.lost(why, what)
    }

    fn reach_peer(&mut self, place: Place, remote: &str) -> Next {
        self.at(Node::Peer(remote.to_owned()), or_else(remote, PEER), Some(self.packet.destination));
        self.tell(Step::info("the security groups and routes of this network are not known here"));
        match self.leg {
            Leg::Request => Next::Arrived(Site::Behind(place)),
            Leg::Reply => Next::Arrived(Site::Internet),
        }
    }

    pub(super) fn reach_service(&mut self, place: Place, service: &str) -> Next {
        let source = self.shown(self.packet.source);
        let name = or_else(service, SERVICE);
        self.tell(Step::info(format!("the firewall is passed by; {name} sees {source}, the private address")));
        self.at(Node::Service(service.to_owned()), name, Some(self.packet.destination));
        match self.leg {
            Leg::Request => Next::Arrived(Site::Behind(place)),
            Leg::Reply => Next::Arrived(Site::Internet),
        }
    }

    fn unknown_appliance(&mut self, place: Place, address: IpAddr) -> Next {
        let network = self.scene.network;
        let interface = network.interface_at(place, address).or_else(|| network.interface_of(address));
        let name = interface.map_or("appliance", |it| it.name.as_str());
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
        if let Some(firewall) = self.firewall_at(self.packet.destination) {
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
