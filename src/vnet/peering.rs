//! Peerings between networks: what they lead to, what they let through, and the gateways that are lent over them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::Spot;

use super::network::{Network, Place};
use super::onward::Barred;
use super::topology::{GATEWAY_SUBNET, Gateway, Peering, VirtualNetwork};

/// Where a packet comes from that is to cross a peering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It has this source. One of another network has been passed on by somebody: it is forwarded.
    Source(IpAddr),
    /// The gateway of the network itself. A peer that uses it takes what comes from there without leave for forwarded
    /// traffic, which is for appliances (azure-docs, virtual-network-manage-peering.md).
    Gateway,
}

impl Network {
    /// What a peering leads to: as the other network says, or the peering itself where that is not in the topology.
    pub fn remote_space(&self, peering: &Peering) -> Vec<IpNet> {
        match self.topology().virtual_network(&peering.remote) {
            Some(remote) => remote.address_space.clone(),
            None => peering.remote_space.clone(),
        }
    }

    /// The same, but nothing where the other network does not peer back: such a peering is `Initiated`, not `Connected`.
    pub(super) fn connected_space(&self, own: &VirtualNetwork, peering: &Peering) -> Vec<IpNet> {
        let is_connected = match self.topology().virtual_network(&peering.remote) {
            Some(remote) => half(remote, &own.name).is_some(),
            None => true,
        };
        if is_connected { self.remote_space(peering) } else { Vec::new() }
    }

    /// The way to one's own premises that a subnet has: its network's gateway, or that of a peer which lends it.
    pub fn gateway_of(&self, place: Place) -> Option<&Gateway> {
        self.topology().virtual_networks[self.network_with_gateway(place)?].gateway.as_ref()
    }

    /// The number of the network that has it. Both halves of a peering have to agree that it is lent.
    pub(super) fn network_with_gateway(&self, place: Place) -> Option<usize> {
        let networks = &self.topology().virtual_networks;
        let own = self.virtual_network(place);
        if own.gateway.is_some() {
            return Some(place.network);
        }
        own.peerings.iter().filter(|it| it.use_remote_gateways).find_map(|peering| {
            let at = networks.iter().position(|it| it.name.eq_ignore_ascii_case(&peering.remote))?;
            half(&networks[at], &own.name).filter(|back| back.allow_gateway_transit)?;
            networks[at].gateway.as_ref().map(|_| at)
        })
    }

    /// What is reached through it.
    pub(super) fn gateway_routes(&self, place: Place) -> impl Iterator<Item = (IpNet, Spot)> + '_ {
        let gateway = self.gateway_of(place).into_iter();
        gateway.flat_map(|gateway| gateway.routes.iter().map(|net| (*net, gateway.at)))
    }

    /// A peering has two halves, each with a word in it.
    pub(super) fn may_cross<'n>(
        &'n self,
        own: &'n VirtualNetwork,
        remote: &'n str,
        origin: Origin,
    ) -> Result<(), Barred<'n>> {
        let far = self.topology().virtual_network(remote);
        let (near, back) = (half(own, remote), far.and_then(|far| half(far, &own.name)));
        if far.is_some() && back.is_none() {
            return Err(Barred::Unconnected(remote));
        }
        if let Some(closed) = [near, back].into_iter().flatten().find(|it| !it.allow_virtual_network_access) {
            return Err(Barred::Closed(closed));
        }
        let is_lent =
            || near.is_some_and(|it| it.allow_gateway_transit) && back.is_some_and(|it| it.use_remote_gateways);
        let is_forwarded = match origin {
            Origin::Source(source) => !own.address_space.iter().any(|net| net.contains(&source)),
            Origin::Gateway => !is_lent(),
        };
        match back.filter(|it| is_forwarded && !it.allow_forwarded_traffic) {
            Some(peering) => Err(Barred::NotForwarded(peering, remote)),
            None => Ok(()),
        }
    }

    /// Where packets come from that are sent on from a subnet.
    pub(super) fn origin(&self, place: Place, source: IpAddr) -> Origin {
        match self.subnet(place).name.eq_ignore_ascii_case(GATEWAY_SUBNET) {
            true => Origin::Gateway,
            false => Origin::Source(source),
        }
    }
}

/// The half of a peering that a network has of it.
fn half<'n>(network: &'n VirtualNetwork, remote: &str) -> Option<&'n Peering> {
    network.peerings.iter().find(|it| it.remote.eq_ignore_ascii_case(remote))
}
