//! Next hop: where does a packet go?

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::flow::AddrClass;
use crate::vnet::{Hop, Network};

use super::{Ids, WatcherError, address};

/// The route table of what no user-defined route decided.
const SYSTEM: &str = "System Route";

/// `NextHopParameters`. Which machine asks follows from the source address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextHopParameters {
    pub target_resource_id: String,
    #[serde(rename = "sourceIPAddress")]
    pub source_ip_address: String,
    #[serde(rename = "destinationIPAddress")]
    pub destination_ip_address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_nic_resource_id: Option<String>,
}

/// `NextHopResult`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextHopResult {
    /// As effective routes spell it.
    pub next_hop_type: &'static str,
    /// Of an appliance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop_ip_address: Option<IpAddr>,
    /// `System Route` for what no user-defined route decided.
    pub route_table_id: String,
}

/// # Errors
/// What is no address, and a source that is of no subnet.
pub fn next_hop(network: &Network, ids: Ids<'_>, asked: &NextHopParameters) -> Result<NextHopResult, WatcherError> {
    let source = address("sourceIPAddress", &asked.source_ip_address)?;
    let destination = address("destinationIPAddress", &asked.destination_ip_address)?;
    let nowhere = WatcherError::Nowhere { field: "sourceIPAddress", address: source };
    let place = network.place_of(source).ok_or(nowhere)?;
    if AddrClass::of(destination) == AddrClass::Metadata {
        return Ok(of_the_host());
    }
    let route = network.route(place, destination).map(|selected| selected.route);
    let hop = route.map_or(&Hop::None, |route| &route.next_hop);
    let table = route.and_then(|route| route.route_table.as_deref());
    Ok(NextHopResult {
        next_hop_type: hop.as_str(),
        next_hop_ip_address: match hop {
            Hop::VirtualAppliance(address) => Some(*address),
            _ => None,
        },
        route_table_id: table.map_or_else(|| SYSTEM.to_owned(), |table| ids.network(&format!("routeTables/{table}"))),
    })
}

/// The platform is reached on the host itself, and no user-defined route counts (azure-docs,
/// what-is-ip-address-168-63-129-16.md); the system route that holds its addresses is the default one.
fn of_the_host() -> NextHopResult {
    let next_hop_type = Hop::Internet.as_str();
    NextHopResult { next_hop_type, next_hop_ip_address: None, route_table_id: SYSTEM.to_owned() }
}
