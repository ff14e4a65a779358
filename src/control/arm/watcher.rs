//! Network Watcher's next hop and IP flow verify, and the effective routes of an interface, of the topology.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::azure::ase::ArmError;
use crate::policy::Action;
use crate::vnet::{Because, EffectiveRoute, FlowDirection, Hop, NetFlow, Network, RouteSource, RouteState, Transport};

/// The body of `nextHop`. Which machine asks follows from the source address.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NextHopParameters {
    #[serde(rename = "sourceIPAddress")]
    source: IpAddr,
    #[serde(rename = "destinationIPAddress")]
    destination: IpAddr,
}

/// `NextHopResult`
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NextHopResult {
    next_hop_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop_ip_address: Option<IpAddr>,
    /// `System Route` where no user-defined one decided.
    route_table_id: String,
}

/// The body of `ipFlowVerify`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VerificationParameters {
    direction: String,
    protocol: String,
    /// One port, as text; `*` for any.
    local_port: String,
    remote_port: String,
    #[serde(rename = "localIPAddress")]
    local_address: IpAddr,
    #[serde(rename = "remoteIPAddress")]
    remote_address: IpAddr,
}

/// `VerificationIPFlowResult`
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VerificationResult {
    access: &'static str,
    rule_name: String,
}

/// Where a packet goes next.
pub(super) fn next_hop(
    network: &Network,
    asked: &NextHopParameters,
    table_id: impl Fn(&str) -> String,
) -> Result<NextHopResult, ArmError> {
    let place = network.place_of(asked.source).ok_or_else(|| nowhere("sourceIPAddress", asked.source))?;
    let selected = network.route(place, asked.destination).map(|selection| selection.route);
    let (hop, table) = selected.map_or((&Hop::None, None), |route| (&route.next_hop, route.route_table.as_deref()));
    let next_hop_ip_address = match hop {
        Hop::VirtualAppliance(address) => Some(*address),
        _ => None,
    };
    let route_table_id = table.map_or_else(|| "System Route".to_owned(), table_id);
    Ok(NextHopResult { next_hop_type: hop.as_str(), next_hop_ip_address, route_table_id })
}

/// What the security groups say of a flow.
pub(super) fn verify(network: &Network, asked: &VerificationParameters) -> Result<VerificationResult, ArmError> {
    let VerificationParameters { direction, protocol, local_port, remote_port, local_address, remote_address } = asked;
    let direction = match direction.to_ascii_lowercase().as_str() {
        "inbound" => FlowDirection::Inbound,
        "outbound" => FlowDirection::Outbound,
        _ => return Err(ArmError::InvalidParameter(format!("direction is Inbound or Outbound, not '{direction}'"))),
    };
    let transport = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ => return Err(ArmError::InvalidParameter(format!("protocol is TCP or UDP, not '{protocol}'"))),
    };
    let place = network.place_of(*local_address).ok_or_else(|| nowhere("localIPAddress", *local_address))?;
    let local = (*local_address, port("localPort", local_port)?);
    let remote = (*remote_address, port("remotePort", remote_port)?);
    let (from, to) = if direction == FlowDirection::Outbound { (local, remote) } else { (remote, local) };
    let flow = NetFlow { transport, source: from.0, source_port: from.1, destination: to.0, destination_port: to.1 };
    let decided = network.security(place, direction, &flow);
    let access = if decided.access == Action::Allow { "Allow" } else { "Deny" };
    Ok(VerificationResult { access, rule_name: rule_name(&decided.because) })
}

fn rule_name(because: &Because<'_>) -> String {
    match because {
        Because::NoGroup | Because::Exempt => String::new(),
        Because::Rule { rule, is_default: true, .. } => format!("defaultSecurityRules/{rule}"),
        Because::Rule { rule, .. } => format!("securityRules/{rule}"),
    }
}

fn port(field: &str, text: &str) -> Result<u16, ArmError> {
    match text {
        "*" | "" => Ok(0),
        text => text.parse().map_err(|_| ArmError::InvalidParameter(format!("{field} is a port, not '{text}'"))),
    }
}

fn nowhere(field: &str, address: IpAddr) -> ArmError {
    ArmError::InvalidParameter(format!("{field}: '{address}' is of no subnet of the topology"))
}

/// `EffectiveRouteListResult`
#[derive(Debug, Serialize)]
pub(super) struct EffectiveRoutes {
    value: Vec<EffectiveRouteLine>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EffectiveRouteLine {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    source: &'static str,
    state: &'static str,
    address_prefix: Vec<String>,
    next_hop_type: &'static str,
    next_hop_ip_address: Vec<IpAddr>,
}

/// Of an interface by its name; None where there is none.
pub(super) fn effective_routes(network: &Network, interface: &str) -> Option<EffectiveRoutes> {
    let found = network.topology().interfaces.iter().find(|it| it.name.eq_ignore_ascii_case(interface))?;
    let place = network.place(&found.virtual_network, &found.subnet)?;
    Some(EffectiveRoutes { value: network.effective_routes(place).iter().map(line).collect() })
}

fn line(route: &EffectiveRoute) -> EffectiveRouteLine {
    EffectiveRouteLine {
        name: route.name.clone(),
        source: match route.source {
            RouteSource::Default => "Default",
            RouteSource::VirtualNetworkGateway => "VirtualNetworkGateway",
            RouteSource::User => "User",
        },
        state: if route.state == RouteState::Active { "Active" } else { "Invalid" },
        address_prefix: route.prefixes.iter().map(ToString::to_string).collect(),
        next_hop_type: route.next_hop.as_str(),
        next_hop_ip_address: match route.next_hop {
            Hop::VirtualAppliance(address) => vec![address],
            _ => Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vnet::samples::{built, worked};
    use serde_json::{Value, json};

    fn hop(to: &str) -> Value {
        let network = built(worked());
        let body =
            json!({ "targetResourceId": "/x", "sourceIPAddress": "192.168.251.140", "destinationIPAddress": to });
        let asked = serde_json::from_value(body).unwrap();
        serde_json::to_value(next_hop(&network, &asked, |table| format!("/tables/{table}")).unwrap()).unwrap()
    }

    #[test]
    fn next_hops() {
        let firewall = json!({
            "nextHopType": "VirtualAppliance", "nextHopIpAddress": "192.168.0.4", "routeTableId": "/tables/ase-routes"
        });
        assert_eq!(hop("198.51.100.1"), firewall);
        assert_eq!(hop("192.168.7.7"), json!({ "nextHopType": "VnetLocal", "routeTableId": "System Route" }));
        assert_eq!(hop("70.37.57.58"), json!({ "nextHopType": "Internet", "routeTableId": "/tables/ase-routes" }));
    }

    fn verified(direction: &str, local: (&str, &str), remote: (&str, &str)) -> Result<Value, ArmError> {
        let network = built(worked());
        let body = json!({
            "targetResourceId": "/x", "direction": direction, "protocol": "TCP", "localPort": local.1,
            "remotePort": remote.1, "localIPAddress": local.0, "remoteIPAddress": remote.0
        });
        let asked = serde_json::from_value(body).unwrap();
        verify(&network, &asked).map(|result| serde_json::to_value(result).unwrap())
    }

    #[test]
    fn flows() {
        let own = "192.168.251.140";
        let check = |direction, local: &str, remote: (&str, &str), access: &str, rule: &str| {
            let result = verified(direction, (own, local), remote).unwrap();
            assert_eq!(result, json!({ "access": access, "ruleName": rule }), "{direction} {local} {remote:?}");
        };
        check("Inbound", "454", ("70.37.57.58", "60000"), "Allow", "securityRules/management");
        check("Inbound", "454", ("198.51.100.7", "60000"), "Deny", "securityRules/deny-inbound");
        check("outbound", "60000", ("198.51.100.7", "443"), "Allow", "securityRules/web");
        check("Outbound", "60000", ("198.51.100.7", "25"), "Deny", "securityRules/deny-outbound");
        let error = |result: Result<Value, ArmError>| result.unwrap_err().to_string();
        assert!(error(verified("sideways", (own, "1"), (own, "2"))).starts_with("direction is"));
        assert!(error(verified("Inbound", (own, "http"), (own, "2"))).starts_with("localPort is"));
        assert!(error(verified("Inbound", ("192.0.2.1", "1"), (own, "2"))).contains("of no subnet"));
    }
}
