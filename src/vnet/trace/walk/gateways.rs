//! To premises behind a gateway, and into networks from their edges.

use std::net::IpAddr;

use super::super::outcome::BlackHole;
use super::super::path::Step;
use super::{At, Keeper, Next, Site, Walk};

impl Walk<'_, '_> {
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
        let (egress, has_proxy) = (self.book.egress_of(gateway), gateway.egress_proxy);
        self.forced(network, egress, has_proxy)
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
        match names.find_map(|name| network.place_in(name, to)) {
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
