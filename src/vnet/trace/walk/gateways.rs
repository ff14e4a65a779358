//! To premises behind a gateway, and into networks from their edges.

use std::net::IpAddr;

use crate::flow::AddrClass;
use crate::vnet::Place;

use super::super::outcome::BlackHole;
use super::super::path::Step;
use super::{At, Keeper, Next, Site, Walk};

impl Walk<'_, '_> {
    pub(super) fn reach_gateway(&mut self, place: Place) -> Next {
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
    pub(super) fn forced(&mut self, network: usize, egress: IpAddr, has_proxy: bool) -> Next {
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
    pub(super) fn gateway_of(&self, place: Place) -> Option<usize> {
        let network = self.scene.network;
        let networks = &network.topology().virtual_networks;
        let by_name =
            |name: &str| networks.iter().position(|it| it.name.eq_ignore_ascii_case(name) && it.gateway.is_some());
        let own = network.virtual_network(place);
        let remote = own.peerings.iter().filter(|it| it.use_remote_gateways).find_map(|it| by_name(&it.remote));
        by_name(&own.name).or(remote)
    }

    pub(super) fn leave_premises(&mut self, network: usize) -> Next {
        self.at_gateway(network);
        let own = &self.scene.network.topology().virtual_networks[network];
        let subnet = own.subnets.iter().find(|it| it.name.eq_ignore_ascii_case("GatewaySubnet"));
        let place = subnet.and_then(|subnet| self.scene.network.place(&own.name, &subnet.name));
        if let Some(place) = place {
            return self.forward(place);
        }
        self.enter_network(&own.name)
    }

    pub(super) fn leave_peer(&mut self, network: usize) -> Next {
        let own = &self.scene.network.topology().virtual_networks[network];
        self.enter_network(&own.name)
    }

    /// Into a network from its edge, where nothing says that it is routed elsewhere.
    pub(super) fn enter_network(&mut self, name: &str) -> Next {
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

    pub(super) fn leave_platform(&mut self) -> Next {
        match self.scene.network.place_of(self.packet.destination) {
            Some(place) => self.arrive(place),
            None => Next::Stop(self.lost(BlackHole::NoSubnet, "the load balancer probes addresses of subnets only")),
        }
    }
}
