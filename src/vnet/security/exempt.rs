//! What the platform does for its own: DHCP, DNS, instance metadata, what agents tell the host, and Windows activation
//! pass every security group, but for rules that name the tag of just that service
//! (azure-docs, network-security-groups-overview.md, 2025).
//!
//! Probes of the load balancer come from the host's address too; they are not among these, but filtered by the tag
//! `AzureLoadBalancer`: a group that denies it makes them fail.

use std::net::{IpAddr, Ipv4Addr};

use super::super::network::{Network, Place};
use super::super::routes::{Hop, RouteSource};
use super::super::tags::{HOST, KEY_MANAGEMENT, METADATA};
use super::super::topology::{Prefix, RuleSide};
use super::{FlowDirection, NetFlow, Transport};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Dhcp,
    Dns,
    Metadata,
    /// What else there is at the host's address.
    Host,
    KeyManagement,
}

/// The addresses of these services.
pub(super) fn addresses() -> impl Iterator<Item = IpAddr> {
    [HOST, METADATA, BROADCAST].into_iter().chain(KEY_MANAGEMENT)
}

/// Where DHCP asks.
const BROADCAST: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);

pub(super) fn service(network: &Network, place: Place, direction: FlowDirection, flow: &NetFlow) -> Option<Service> {
    let (remote, port) = flow.remote(direction);
    let known = matches!(flow.transport, Transport::Tcp | Transport::Udp);
    let (udp, inbound) = (flow.transport == Transport::Udp, direction == FlowDirection::Inbound);
    match remote {
        HOST | BROADCAST if udp && port == 67 => Some(Service::Dhcp),
        _ if inbound => None,
        HOST if known && port == 53 => Some(Service::Dns),
        HOST => Some(Service::Host),
        METADATA => Some(Service::Metadata),
        _ if flow.transport == Transport::Tcp && port == 1688 && KEY_MANAGEMENT.contains(&remote) => {
            has_systems_default_route(network, place).then_some(Service::KeyManagement)
        }
        _ => None,
    }
}

/// Activation is not exempt where traffic to the Internet is led another way.
fn has_systems_default_route(network: &Network, place: Place) -> bool {
    let route = network.route(place, KEY_MANAGEMENT[0]);
    route.is_some_and(|it| it.route.source == RouteSource::Default && it.route.next_hop == Hop::Internet)
}

impl Service {
    /// The tag that a rule has to name to filter it.
    pub(super) fn tag(self) -> Option<&'static str> {
        match self {
            Service::Dhcp | Service::Host => None,
            Service::Dns => Some("AzurePlatformDNS"),
            Service::Metadata => Some("AzurePlatformIMDS"),
            Service::KeyManagement => Some("AzurePlatformLKM"),
        }
    }

    pub(super) fn is_named_by(self, side: &RuleSide) -> bool {
        let is_it = |tag: &str| self.tag().is_some_and(|own| own.eq_ignore_ascii_case(tag));
        side.prefixes.iter().any(|prefix| matches!(prefix, Prefix::Tag(tag) if is_it(tag)))
    }
}
