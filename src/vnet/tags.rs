//! Service tags as security groups and routes see them: those of the dated files, and those that Azure makes up for each
//! network.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::allowlist::Catalogue;
use crate::flow::AddrClass;
use crate::policy::AddressRange;

use super::environment::Cloud;
use super::network::{Network, Place};
use super::topology::{NextHop, Peering, RouteDestination, VirtualNetworkTag};

/// The host's virtual address: DNS, DHCP, health probes.
pub(super) const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));
/// The instance metadata service.
pub(super) const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// Key management for Windows activation, exempt on port 1688.
const KEY_MANAGEMENT: [Ipv4Addr; 3] =
    [Ipv4Addr::new(23, 102, 135, 246), Ipv4Addr::new(20, 118, 99, 224), Ipv4Addr::new(40, 83, 235, 53)];

/// The tags of the published files, by name.
#[derive(Debug, Clone, Default)]
pub struct Tags {
    catalogue: Catalogue,
    cloud: Cloud,
}

impl Tags {
    pub fn new(catalogue: Catalogue, cloud: Cloud) -> Tags {
        Tags { catalogue, cloud }
    }

    pub fn cloud(&self) -> Cloud {
        self.cloud
    }

    /// Of the tags that are at hand, for who misspelt one.
    pub fn names(&self) -> Vec<&str> {
        self.catalogue.service_tag_names()
    }

    /// The prefixes of a published tag; None for one that is not at hand.
    pub fn published(&self, name: &str) -> Option<Arc<[AddressRange]>> {
        self.catalogue.service_tag(name).map(|tag| tag.ranges)
    }
}

impl Network {
    /// Is the address among those that a tag stands for, seen from a subnet? A tag that is not at hand stands for none.
    pub fn tag_holds(&self, place: Place, tag: &str, address: IpAddr) -> bool {
        match tag.to_ascii_lowercase().as_str() {
            "*" => true,
            "virtualnetwork" => self.is_connected(place, address),
            "azureloadbalancer" => address == HOST,
            "internet" => AddrClass::of(address) == AddrClass::Global && !self.is_connected(place, address),
            "azureplatformdns" => address == HOST,
            "azureplatformimds" => address == METADATA,
            "azureplatformlkm" => KEY_MANAGEMENT.iter().any(|known| IpAddr::V4(*known) == address),
            _ => self.tags().published(tag).is_some_and(|ranges| ranges.iter().any(|range| range.contains(address))),
        }
    }

    fn is_connected(&self, place: Place, address: IpAddr) -> bool {
        let own = self.virtual_network(place);
        let peers = own.peerings.iter().flat_map(|peering| self.remote_space(peering));
        let premises = own.gateway.iter().flat_map(|gateway| gateway.routes.iter().copied());
        let connected =
            own.address_space.iter().copied().chain(peers).chain(premises.filter(|net| net.prefix_len() > 0));
        address == HOST || connected.chain(self.routed_privately(place)).any(|net| net.contains(&address))
    }

    /// What a peering leads to: as the other network says, or the peering itself where that is not in the topology.
    pub fn remote_space(&self, peering: &Peering) -> Vec<IpNet> {
        match self.topology().virtual_network(&peering.remote) {
            Some(remote) => remote.address_space.clone(),
            None => peering.remote_space.clone(),
        }
    }

    fn routed_privately(&self, place: Place) -> Vec<IpNet> {
        let wanted = self.topology().switches.virtual_network_tag;
        let routes = self.route_table_of(place).map(|table| table.routes.as_slice()).unwrap_or_default();
        let private = |hop: NextHop| !matches!(hop, NextHop::Internet | NextHop::None);
        let nets = routes.iter().filter(|route| private(route.next_hop)).filter_map(|route| match route.destination {
            RouteDestination::Net(net) => Some(net),
            RouteDestination::Tag(_) => None,
        });
        nets.filter(|net| match wanted {
            VirtualNetworkTag::AddressSpace => false,
            VirtualNetworkTag::Routes => net.prefix_len() > 0,
            VirtualNetworkTag::DefaultRoutes => true,
        })
        .collect()
    }
}
