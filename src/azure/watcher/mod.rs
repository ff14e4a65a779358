//! What Network Watcher and network interfaces are asked of a network, and answer: IP flow verify, NSG diagnostics,
//! effective security rules, effective routes, next hop. Effective routes are read too.
//!
//! Sources: Microsoft's REST specification (api-version 2021-02-01) with its examples; what `az network watcher` and
//! `az network nic` printed in public transcripts.

mod diagnostics;
mod flow_verify;
mod next_hop;
mod routes;
mod security;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::vnet::{Because, FlowDirection, Network, Place, Topology, Transport};

pub use diagnostics::{NsgDiagnosticsParameters, NsgDiagnosticsResult, nsg_diagnostics};
pub use flow_verify::{IpFlowVerifyParameters, IpFlowVerifyResult, ip_flow_verify};
pub use next_hop::{NextHopParameters, NextHopResult, next_hop};
pub use routes::{
    CliRoutes, EffectiveRoutes, EffectiveRoutesError, cli_routes, effective_routes, read_effective_routes, table,
};
pub use security::{EffectiveSecurityGroups, effective_security_groups};

/// Why something is not answered. Words in lower case, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatcherError {
    #[error("{field} is {expected}, not '{text}'")]
    Parameter { field: &'static str, expected: &'static str, text: String },
    #[error("{field}: '{address}' is of no subnet of the topology")]
    Nowhere { field: &'static str, address: IpAddr },
}

/// What resource ids begin with.
#[derive(Debug, Clone, Copy)]
pub struct Ids<'a> {
    pub subscription: &'a str,
    pub resource_group: &'a str,
}

impl<'a> Ids<'a> {
    /// Something stands for what nobody said.
    pub fn of(topology: &'a Topology) -> Ids<'a> {
        Ids { subscription: topology.subscription_id(), resource_group: topology.group_name() }
    }

    /// `networkSecurityGroups/nsg`
    fn network(self, path: &str) -> String {
        let Ids { subscription, resource_group } = self;
        format!("/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.Network/{path}")
    }

    fn subnet(self, network: &Network, place: Place) -> String {
        let (own, subnet) = (&network.virtual_network(place).name, &network.subnet(place).name);
        self.network(&format!("virtualNetworks/{own}/subnets/{subnet}"))
    }
}

/// A rule as effective security rules and IP flow verify name it. Without one it is empty, and `PlatformRule`, as flow
/// logs have it, for what the platform exempts.
fn rule_name(because: &Because<'_>) -> String {
    match because {
        Because::NoGroup => String::new(),
        Because::Exempt => "PlatformRule".to_owned(),
        Because::Rule { rule, is_default: true, .. } => format!("defaultSecurityRules/{rule}"),
        Because::Rule { rule, .. } => format!("securityRules/{rule}"),
    }
}

fn direction(text: &str) -> Result<FlowDirection, WatcherError> {
    match text.to_ascii_lowercase().as_str() {
        "inbound" => Ok(FlowDirection::Inbound),
        "outbound" => Ok(FlowDirection::Outbound),
        _ => Err(wrong("direction", "Inbound or Outbound", text)),
    }
}

/// `*` stands for a port that nobody knows.
fn port(field: &'static str, text: &str) -> Result<u16, WatcherError> {
    if text == "*" || text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| wrong(field, "a port or *", text))
}

fn address(field: &'static str, text: &str) -> Result<IpAddr, WatcherError> {
    text.parse().map_err(|_| wrong(field, "an address", text))
}

fn transport(text: &str) -> Option<Transport> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        "icmp" => Some(Transport::Icmp),
        _ => None,
    }
}

fn wrong(field: &'static str, expected: &'static str, text: &str) -> WatcherError {
    WatcherError::Parameter { field, expected, text: text.to_owned() }
}

/// The last part of a resource's id.
fn name_of(id: &str) -> &str {
    id.trim_end_matches('/').rsplit('/').next().unwrap_or(id)
}
