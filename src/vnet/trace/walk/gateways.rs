//! To premises behind a gateway, and into networks from their edges.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::flow::AddrClass;
use crate::vnet::onward::{Barred, Onward, Towards};
use crate::vnet::peering::Origin;
use crate::vnet::topology::GATEWAY_SUBNET;
use crate::vnet::{Gateway, VirtualNetwork};

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
        self.out_of_premises(network, gateway)
    }

    /// To the Internet by the premises' own way.
    fn out_of_premises(&mut self, network: usize, gateway: &Gateway) -> Next {
        if gateway.egress_proxy {
            self.tell(Step::info("a proxy sends it on, and changes more than the source"));
        }
        if let Some(back) = self.take_record(Keeper::Premises(network)) {
            self.packet = back;
        } else {
            self.translate_source(Keeper::Premises(network), self.book.egress_of(gateway));
        }
        Next::Go(At::Internet)
    }

    /// By Azure's gateway to what is in Azure, and to nothing else.
    pub(super) fn leave_premises(&mut self, network: usize) -> Next {
        let to = self.packet.destination;
        let gateway = self.scene.network.topology().virtual_networks[network].gateway.as_ref();
        match gateway.filter(|_| !self.is_in_azure(to)) {
            Some(gateway) if leads_to(gateway, to) => return Next::Arrived(Site::Premises(network)),
            Some(gateway) if AddrClass::of(to) == AddrClass::Global => return self.out_of_premises(network, gateway),
            _ => self.at_gateway(network),
        }
        let own = &self.scene.network.topology().virtual_networks[network];
        match self.scene.network.place(&own.name, GATEWAY_SUBNET) {
            Some(place) => self.forward(place),
            None => self.enter_network(own, Origin::Gateway),
        }
    }

    /// In a network, or in one that is peered.
    fn is_in_azure(&self, address: IpAddr) -> bool {
        let network = self.scene.network;
        let holds = |space: &[IpNet]| space.iter().any(|net| net.contains(&address));
        network.topology().virtual_networks.iter().any(|it| {
            holds(&it.address_space) || it.peerings.iter().any(|peering| holds(&network.remote_space(peering)))
        })
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

/// Is it known to be behind a gateway?
pub(super) fn leads_to(gateway: &Gateway, address: IpAddr) -> bool {
    gateway.routes.iter().any(|net| net.prefix_len() > 0 && net.contains(&address))
}
