//! Effective routes: as ARM answers, as `az network nic show-effective-route-table` prints them as JSON and as a table;
//! all three are read as well.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::policy::Spot;
use crate::vnet::{EffectiveRoute, Hop, Network, Place, RouteSource, RouteState};

/// `EffectiveRouteListResult`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EffectiveRoutes {
    pub value: Vec<ArmRoute>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmRoute {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    source: &'static str,
    state: &'static str,
    address_prefix: Vec<IpNet>,
    next_hop_type: &'static str,
    next_hop_ip_address: Vec<IpAddr>,
}

/// The same as `az` prints it, with its keys in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CliRoutes {
    next_link: Option<String>,
    value: Vec<CliRoute>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct CliRoute {
    address_prefix: Vec<IpNet>,
    destination_service_tags: Vec<String>,
    disable_bgp_route_propagation: bool,
    has_bgp_override: bool,
    name: Option<String>,
    next_hop_ip_address: Vec<IpAddr>,
    next_hop_type: &'static str,
    source: &'static str,
    state: &'static str,
    tag_map: BTreeMap<String, Vec<IpNet>>,
}

/// As ARM answers.
pub fn effective_routes(routes: &[EffectiveRoute]) -> EffectiveRoutes {
    let shown = routes.iter().map(|route| ArmRoute {
        name: name(route),
        source: route.source.as_str(),
        state: state(route.state),
        address_prefix: route.prefixes.clone(),
        next_hop_type: route.next_hop.as_str(),
        next_hop_ip_address: addresses(&route.next_hop),
    });
    EffectiveRoutes { value: shown.collect() }
}

/// As `az network nic show-effective-route-table` prints them.
pub fn cli_routes(network: &Network, place: Place) -> CliRoutes {
    let disabled = network.route_table_of(place).is_some_and(|table| table.disable_bgp_route_propagation);
    let shown = network.effective_routes(place).iter().map(|route| CliRoute {
        address_prefix: route.prefixes.clone(),
        destination_service_tags: route.tag.iter().filter(|_| route.source == RouteSource::User).cloned().collect(),
        disable_bgp_route_propagation: disabled,
        has_bgp_override: false,
        name: name(route),
        next_hop_ip_address: addresses(&route.next_hop),
        next_hop_type: route.next_hop.as_str(),
        source: route.source.as_str(),
        state: state(route.state),
        tag_map: BTreeMap::new(),
    });
    CliRoutes { next_link: None, value: shown.collect() }
}

fn name(route: &EffectiveRoute) -> Option<String> {
    Some(route.name.clone()).filter(|name| !name.is_empty())
}

fn state(state: RouteState) -> &'static str {
    match state {
        RouteState::Active => "Active",
        RouteState::Invalid => "Invalid",
    }
}

fn addresses(hop: &Hop) -> Vec<IpAddr> {
    match hop {
        Hop::VirtualAppliance(address) => vec![*address],
        _ => Vec::new(),
    }
}

const COLUMNS: [&str; 5] = ["Source", "State", "Address Prefix", "Next Hop Type", "Next Hop IP"];

/// As `-o table` shows them: all prefixes of a route on its line, columns at least two wider than their heads, and no
/// blanks at the ends of lines.
pub fn table(routes: &[EffectiveRoute]) -> String {
    let joined = |texts: Vec<String>| texts.join(" ");
    let cells = |route: &EffectiveRoute| {
        [
            route.source.as_str().to_owned(),
            state(route.state).to_owned(),
            joined(route.prefixes.iter().map(ToString::to_string).collect()),
            route.next_hop.as_str().to_owned(),
            joined(addresses(&route.next_hop).iter().map(ToString::to_string).collect()),
        ]
    };
    let rows: Vec<[String; 5]> = routes.iter().map(cells).collect();
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        widest.max(COLUMNS[column].len() + 2)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |cells: [&str; 5]| {
        let padded = cells.into_iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let rule = widths.map(|width| "-".repeat(width));
    let mut text = line(COLUMNS) + &line(rule.each_ref().map(String::as_str));
    text.extend(rows.iter().map(|row| line(row.each_ref().map(String::as_str))));
    text
}

#[derive(Debug, thiserror::Error)]
pub enum EffectiveRoutesError {
    #[error("these are no effective routes: {0}")]
    Shape(String),
    /// Its number, from 1.
    #[error("effective route {number}: `{text}` is no {what}")]
    Value { number: usize, text: String, what: &'static str },
    #[error("effective route {0}: a next hop `VirtualAppliance` without an address")]
    NoAddress(usize),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    List {
        #[serde(alias = "Value")]
        value: Vec<Written>,
    },
    Bare(Vec<Written>),
}

/// Names as ARM and `az` write them, and as PowerShell does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default, alias = "Name")]
    name: Option<String>,
    #[serde(alias = "Source")]
    source: String,
    #[serde(alias = "State")]
    state: String,
    #[serde(alias = "AddressPrefix")]
    address_prefix: Vec<String>,
    #[serde(alias = "NextHopType")]
    next_hop_type: String,
    #[serde(default, alias = "NextHopIpAddress")]
    next_hop_ip_address: Option<Vec<String>>,
    #[serde(default, alias = "DestinationServiceTags")]
    destination_service_tags: Option<Vec<String>>,
}

/// Reads effective routes of a real machine, as ARM or `az … -o json` gave them: `{"value": […]}` or the list alone, with
/// the progress that `az` writes before it or behind its first brace; and as `az … -o table` printed them, which tells no
/// names of routes and no service tags. For [`Network::with_effective_routes`].
///
/// What the shape does not tell stays empty: the route table, the other end of a peering, the service of an endpoint. A
/// source `Unknown` is taken for a system route, `ConnectedGroup` (a mesh of Virtual Network Manager) for a peering.
///
/// # Errors
/// What is no such JSON, and the first route with a prefix, state, source, next hop or address that is none.
pub fn read_effective_routes(text: &str) -> Result<Vec<EffectiveRoute>, EffectiveRoutesError> {
    if let Some(rows) = rows(text) {
        return (1..).zip(rows).map(|(number, row)| read(number, row)).collect();
    }
    let text = without_progress(text);
    let file: File = serde_json::from_str(&text).map_err(|error| EffectiveRoutesError::Shape(error.to_string()))?;
    let (File::List { value: routes } | File::Bare(routes)) = file;
    (1..).zip(routes).map(|(number, route)| read(number, route)).collect()
}

/// The rows of a table, cut where the rule below its heads is; None for what is no such table.
fn rows(text: &str) -> Option<Vec<Written>> {
    let mut lines = text.lines().skip_while(|line| !COLUMNS.iter().all(|column| line.contains(column)));
    lines.next()?;
    let rule = lines.next().filter(|line| line.starts_with('-'))?;
    let is_begin = |at: &usize| rule[*at..].starts_with('-') && !rule[..*at].ends_with('-');
    let begins: Vec<usize> = rule.char_indices().map(|(at, _)| at).filter(is_begin).collect();
    let begins: [usize; 5] = begins.try_into().ok()?;
    let cell = |line: &str, column: usize| {
        let end = begins.get(column + 1).map_or(line.len(), |next| *next).min(line.len());
        line.get(begins[column].min(end)..end).unwrap_or_default().trim().to_owned()
    };
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let row = |line: &str| Written {
        name: None,
        source: cell(line, 0),
        state: cell(line, 1),
        address_prefix: words(cell(line, 2)),
        next_hop_type: cell(line, 3),
        next_hop_ip_address: Some(words(cell(line, 4))),
        destination_service_tags: None,
    };
    Some(lines.filter(|line| !line.trim().is_empty()).map(row).collect())
}

/// `az` draws ` - Finished ..` on the terminal while it waits; of a capture it is often left behind the first brace.
fn without_progress(text: &str) -> String {
    let Some(begin) = text.find(['{', '[']) else { return text.to_owned() };
    let text = &text[begin..];
    let key = text.find(['"', ']', '}']).unwrap_or(text.len());
    let (head, rest) = text.split_at(key);
    let brackets: String = head.chars().filter(|it| matches!(it, '{' | '[')).collect();
    brackets + rest
}

fn read(number: usize, route: Written) -> Result<EffectiveRoute, EffectiveRoutesError> {
    let Written { name, source, state, address_prefix, next_hop_type, next_hop_ip_address, destination_service_tags } =
        route;
    let wrong = |text: &str, what| EffectiveRoutesError::Value { number, text: text.to_owned(), what };
    let prefix = |text: &String| text.parse::<IpNet>().map_err(|_| wrong(text, "prefix"));
    let prefixes = address_prefix.iter().map(prefix).collect::<Result<_, _>>()?;
    let address = next_hop_ip_address.iter().flatten().find(|text| !text.is_empty());
    let address = address.map(|text| text.parse().map_err(|_| wrong(text, "address"))).transpose()?;
    let next_hop = match next_hop_type.to_ascii_lowercase().as_str() {
        "virtualappliance" => Hop::VirtualAppliance(address.ok_or(EffectiveRoutesError::NoAddress(number))?),
        _ => plain_hop(&next_hop_type).ok_or_else(|| wrong(&next_hop_type, "next hop"))?,
    };
    Ok(EffectiveRoute {
        name: name.unwrap_or_default(),
        source: read_source(&source).ok_or_else(|| wrong(&source, "source"))?,
        state: read_state(&state).ok_or_else(|| wrong(&state, "state"))?,
        prefixes,
        next_hop,
        route_table: None,
        tag: destination_service_tags.into_iter().flatten().next(),
        at: Spot::nowhere(),
    })
}

/// Those without an address of their own; a gateway's is not kept.
fn plain_hop(text: &str) -> Option<Hop> {
    let hop = match text.to_ascii_lowercase().as_str() {
        "vnetlocal" => Hop::VnetLocal,
        "vnetpeering" | "connectedgroup" => Hop::VnetPeering(String::new()),
        "vnetglobalpeering" => Hop::VnetGlobalPeering(String::new()),
        "virtualnetworkgateway" | "hypernetgateway" => Hop::VirtualNetworkGateway,
        "virtualnetworkserviceendpoint" => Hop::VirtualNetworkServiceEndpoint(String::new()),
        "interfaceendpoint" => Hop::InterfaceEndpoint,
        "internet" => Hop::Internet,
        "none" => Hop::None,
        _ => return None,
    };
    Some(hop)
}

fn read_source(text: &str) -> Option<RouteSource> {
    match text.to_ascii_lowercase().as_str() {
        "default" | "unknown" => Some(RouteSource::Default),
        "user" => Some(RouteSource::User),
        "virtualnetworkgateway" => Some(RouteSource::VirtualNetworkGateway),
        _ => None,
    }
}

fn read_state(text: &str) -> Option<RouteState> {
    match text.to_ascii_lowercase().as_str() {
        "active" => Some(RouteState::Active),
        "invalid" => Some(RouteState::Invalid),
        _ => None,
    }
}
