//! The network around the firewall: virtual networks, network security groups, routes and service endpoints, decided
//! with Azure's semantics. Pure: no I/O, no clock, no log.
//!
//! [`Topology`] is what people write or import. [`Network`] is made from it once and asked: which rule of a security
//! group decides ([`Network::security`]), which route takes a packet ([`Network::route`]). Both with the
//! firewall's own [`Policy`](crate::policy::Policy) are asked by [`Egress`], which decides about flows.

#[cfg(test)]
pub(crate) mod arbitrary;
mod change;
mod client;
mod egress;
mod environment;
mod homes;
mod index;
mod network;
mod onward;
mod peering;
mod ranges;
mod reach;
pub mod recipe;
mod routes;
#[cfg(test)]
pub(crate) mod samples;
mod security;
mod snat;
mod tags;
#[cfg(test)]
mod tests;
mod topology;
pub mod trace;

pub use change::{Change, MENDED, MENDED_CLASSIC, route_name};
pub use client::Client;
pub use egress::{Arrival, Crossing, Decided, Egress, Flows, Secured, Way};
pub use environment::{
    AppAddress, AppDependency, AppServiceEnvironment, AseVersion, Cloud, IlbMode, LoadBalancing, MANAGEMENT_PORTS,
    SqlDatabase, WEB_DEPLOY_PORT, ftp_ports,
};
pub use homes::{Home, Homes};
pub use network::{Network, Place};
pub use ranges::Ranges;
pub(crate) use ranges::after;
pub use reach::{Obstacle, Stage};
pub use routes::{EffectiveRoute, Hop, RouteSource, RouteState, Selection, Why, endpoint_tag};
pub use security::{
    AppliedTo, Because, EPHEMERAL, FlowDirection, GroupDecision, GroupEvaluation, NetFlow, RuleEvaluation,
    SecurityDecision, Transport, default_security_rules,
};
pub use tags::{HOST, Tags};
pub use topology::{
    ApplicationSecurityGroup, DnsZone, FIREWALL_SUBNET, Firewall, GATEWAY_SUBNET, Gateway, GatewayKind,
    NetworkInterface, NetworkSecurityGroup, NextHop, NoneRoutes, Peering, Prefix, ResourceKind, Route,
    RouteDestination, RouteTable, RuleSide, SecurityProtocol, SecurityRule, Subnet, Topology, TopologySwitches, Unread,
    VirtualNetwork, VirtualNetworkTag,
};
