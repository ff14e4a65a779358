//! Next hop: where does a packet go?

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::vnet::{Hop, Network};

use super::{Ids, WatcherError, address};

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
    let route = network.route(place, destination).map(|selected| selected.route);
    let hop = route.map_or(&Hop::None, |route| &route.next_hop);
    let table = route.and_then(|route| route.route_table.as_deref());
    Ok(NextHopResult {
        next_hop_type: hop.as_str(),
        next_hop_ip_address: match hop {
            Hop::VirtualAppliance(address) => Some(*address),
            _ => None,
        },
        route_table_id: table
            .map_or_else(|| "System Route".to_owned(), |table| ids.network(&format!("routeTables/{table}"))),
    })
}
