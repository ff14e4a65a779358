//! The reply: looked up afresh, and compared with the request.

use std::net::IpAddr;

use crate::flow::AddrClass;
use crate::vnet::{Hop, Place};

use super::super::book::Shown;
use super::super::outcome::{Asymmetry, Leg, Outcome};
use super::super::path::{Mark, Node, Step};
use super::subnets::{PEER, SERVICE, or_else};
use super::{At, Keeper, Meant, Next, Site, Walk};

impl Walk<'_, '_> {
    pub(super) fn reply(&mut self, site: Site) -> Outcome {
        self.leg = Leg::Reply;
        self.packet = self.packet.reversed();
        let source = self.packet.source;
        let begin = match site {
            Site::Subnet(place) => {
                self.at_subnet(place, Some(source));
                At::Leaving(place)
            }
            Site::Firewall(firewall) => {
                self.at(Self::node_of(firewall), self.name_of(firewall), Some(source));
                let next = self.leave_firewall(firewall);
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

    pub(super) fn finish_at(&mut self, next: Next) -> Outcome {
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
    pub(super) fn reply_from_behind(&mut self, place: Place, source: IpAddr) -> Outcome {
        let (name, node) = match self.last_node_of_request() {
            Some((name, node)) => (name, node),
            None => ("Internet".to_owned(), Node::Internet),
        };
        let is_peer = matches!(node, Node::Peer(_));
        self.at(node, &name, Some(source));
        let to = self.packet.destination;
        let there =
            self.scene.network.place_near(place, to).or_else(|| self.scene.network.place_of(to)).unwrap_or(place);
        let next = self.arrive(there);
        let skipped = self.records.iter().any(|it| matches!(it.keeper, Keeper::Firewall(_)) && !it.is_used);
        if is_peer && skipped && matches!(next, Next::Arrived(_)) {
            return Outcome::Unknown(format!(
                "whether {name} sends its replies back through the firewall is not known here"
            ));
        }
        self.finish_at(next)
    }

    pub(super) fn last_node_of_request(&self) -> Option<(String, Node)> {
        let far = self.packet.source;
        let selection = self
            .scene
            .network
            .place_of(self.packet.destination)
            .or_else(|| self.records.last().and_then(|it| self.scene.network.place_of(it.after.source)));
        if AddrClass::of(far) == AddrClass::Metadata {
            return Some(("Azure's host".to_owned(), Node::Platform));
        }
        if let Meant::HostSomewhere { service: Some(service), .. } = self.meant
            && self.scene.network.subnet(selection?).has_endpoint(service)
        {
            return Some((service.to_owned(), Node::Service(service.to_owned())));
        }
        let route = self.scene.network.route(selection?, far)?;
        match &route.route.next_hop {
            Hop::VirtualNetworkServiceEndpoint(service) => {
                Some((or_else(service, SERVICE).to_owned(), Node::Service(service.clone())))
            }
            Hop::VnetPeering(remote) | Hop::VnetGlobalPeering(remote) => {
                Some((or_else(remote, PEER).to_owned(), Node::Peer(remote.clone())))
            }
            _ => None,
        }
    }

    /// Arrived: from where it was expected, and past all that has seen the request?
    pub(super) fn compared(&mut self) -> Outcome {
        let skipped = self.records.iter().find_map(|it| match it.keeper {
            Keeper::Firewall(firewall) if !it.is_used => Some(firewall),
            _ => None,
        });
        if let Some(firewall) = skipped {
            let name = self.name_of(firewall);
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
        self.tell(Step::Remark { mark: Mark::Pass, text: format!("a reply from {}, as was asked", self.shown(got)) });
        Outcome::Delivered
    }

    pub(super) fn asymmetric(&self, leaves_by: Shown, what: String) -> Outcome {
        let came_to = self.shown(self.first.destination);
        Outcome::Asymmetric(Asymmetry { came_to, leaves_by, what })
    }
}
