//! To premises behind a gateway, and into networks from their edges.

use crate::vnet::VirtualNetwork;
use crate::vnet::onward::{Barred, Onward, Towards};
use crate::vnet::peering::Origin;
use crate::vnet::topology::GATEWAY_SUBNET;

use super::super::outcome::BlackHole;
use super::super::path::Step;
use super::{At, Keeper, Next, Site, Walk};

impl<'n> Walk<'n, '_> {
    pub(super) fn reach_premises(&mut self, network: usize) -> Next {
        self.at_gateway(network);
        self.at_premises(network, self.packet.destination);
        Next::Arrived(Site::Premises(network))
    }

    pub(super) fn reach_forced(&mut self, network: usize) -> Next {
        self.at_gateway(network);
        let gateway = self.scene.network.topology().virtual_networks[network].gateway.as_ref();
        let Some(gateway) = gateway else {
            return Next::Stop(self.lost(BlackHole::NoGateway, "there is no gateway"));
        };
        let egress = self.book.egress_of(gateway);
        self.at_premises(network, egress);
        if gateway.egress_proxy {
            self.tell(Step::info("a proxy sends it on, and changes more than the source"));
        }
        if let Some(back) = self.take_record(Keeper::Premises(network)) {
            self.packet = back;
        } else {
            self.translate_source(Keeper::Premises(network), egress);
        }
        Next::Go(At::Internet)
    }

    pub(super) fn leave_premises(&mut self, network: usize) -> Next {
        self.at_gateway(network);
        let own = &self.scene.network.topology().virtual_networks[network];
        match self.scene.network.place(&own.name, GATEWAY_SUBNET) {
            Some(place) => self.forward(place),
            None => self.enter_network(own, Origin::Gateway),
        }
    }

    pub(super) fn leave_peer(&mut self, network: usize) -> Next {
        let own = &self.scene.network.topology().virtual_networks[network];
        let source = self.packet.source;
        if let Some(closed) = self.peering_to(network, source).filter(|it| !it.allow_virtual_network_access) {
            return Next::Stop(self.barred(&own.name, Barred::Closed(closed)));
        }
        self.enter_network(own, Origin::Source(source))
    }

    /// Into a network from its edge.
    fn enter_network(&mut self, own: &'n VirtualNetwork, origin: Origin) -> Next {
        let entered = self.scene.network.enter(own, origin, self.packet.destination);
        self.entered(&own.name, entered)
    }

    pub(super) fn entered(&mut self, own: &str, entered: Result<Onward<'n>, Barred<'n>>) -> Next {
        match entered {
            Ok(Onward { over, to }) => {
                if let Some(remote) = over {
                    self.tell(Step::info(format!("over the peering with {remote}")));
                }
                match to {
                    Towards::Subnet(place) => self.arrive(place),
                    _ => Next::Go(At::Internet),
                }
            }
            Err(barred) => Next::Stop(self.barred(own, barred)),
        }
    }

    pub(super) fn leave_platform(&mut self) -> Next {
        match self.scene.network.place_of(self.packet.destination) {
            Some(place) => self.arrive(place),
            None => Next::Stop(self.lost(BlackHole::NoSubnet, "the load balancer probes addresses of subnets only")),
        }
    }
}
