//! IP flow verify: what do the security groups say of one flow?

use serde::{Deserialize, Serialize};

use crate::vnet::{FlowDirection, NetFlow, Network, Transport};

use super::{WatcherError, address, direction, port, rule_name, transport, wrong};

/// `VerificationIPFlowParameters`. Which machine it is about follows from the local address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpFlowVerifyParameters {
    pub target_resource_id: String,
    pub direction: String,
    /// TCP or UDP.
    pub protocol: String,
    /// One port as text, or `*`.
    pub local_port: String,
    pub remote_port: String,
    #[serde(rename = "localIPAddress")]
    pub local_ip_address: String,
    #[serde(rename = "remoteIPAddress")]
    pub remote_ip_address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_nic_resource_id: Option<String>,
}

/// `VerificationIPFlowResult`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IpFlowVerifyResult {
    pub access: &'static str,
    /// `securityRules/x` or `defaultSecurityRules/x`
    pub rule_name: String,
}

/// # Errors
/// What is no direction, protocol, port or address, and a local address that is of no subnet.
pub fn ip_flow_verify(network: &Network, asked: &IpFlowVerifyParameters) -> Result<IpFlowVerifyResult, WatcherError> {
    let direction = direction(&asked.direction)?;
    let transport = transport(&asked.protocol).filter(|it| *it != Transport::Icmp);
    let transport = transport.ok_or_else(|| wrong("protocol", "TCP or UDP", &asked.protocol))?;
    let local = address("localIPAddress", &asked.local_ip_address)?;
    let remote = address("remoteIPAddress", &asked.remote_ip_address)?;
    let (local_port, remote_port) = (port("localPort", &asked.local_port)?, port("remotePort", &asked.remote_port)?);
    let nowhere = WatcherError::Nowhere { field: "localIPAddress", address: local };
    let place = network.place_of(local).ok_or(nowhere)?;
    let outbound = NetFlow {
        transport,
        source: local,
        source_port: local_port,
        destination: remote,
        destination_port: remote_port,
    };
    let flow = if direction == FlowDirection::Outbound { outbound } else { outbound.reply() };
    let decided = network.security(place, direction, &flow);
    Ok(IpFlowVerifyResult { access: decided.access.as_str(), rule_name: rule_name(&decided.because) })
}
