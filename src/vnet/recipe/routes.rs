//! The route table of an environment behind a firewall (Locking down an App Service Environment, 2018 and 2023).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::allowlist::{EndpointHost, Kind, List, lists};
use crate::flow::AddrClass;
use crate::policy::{AddressRange, Spot};
use crate::vnet::topology::{NextHop, Route, RouteDestination, RouteTable, Topology};
use crate::vnet::{AppServiceEnvironment, AseVersion, Change, Cloud, LoadBalancing, Tags, route_name};

use super::{RecipeError, firewall, free_name};

/// The tag of the addresses that App Service manages environments from.
const TAG: &str = "AppServiceManagement";

/// How the way back to App Service is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Management {
    /// One route with the service tag.
    #[default]
    Tag,
    /// The addresses that were last published one by one, as the document's loop has them. They cover a part of the tag.
    Addresses,
    /// Each prefix of the tag.
    Prefixes,
}

#[derive(Debug, Clone, Default)]
pub struct RouteRecipe {
    /// Empty: the environment's name with `-routes`.
    pub table: String,
    pub management: Management,
    /// Routes to the Internet for the dependencies that the document of 2018 names by their addresses.
    pub ip_dependencies: bool,
    /// Instead of the firewall of the topology.
    pub firewall: Option<IpAddr>,
}

/// The routes, in the order in which the document has them, and the table's place.
pub fn routes(
    topology: &Topology,
    environment: &AppServiceEnvironment,
    tags: &Tags,
    recipe: &RouteRecipe,
) -> Result<Vec<Change>, RecipeError> {
    if environment.subnet.is_empty() {
        return Err(RecipeError::NoSubnet(environment.name.clone()));
    }
    let appliance = match recipe.firewall {
        Some(address) => address,
        None => firewall(topology, environment)?.private_address.ok_or(RecipeError::NoFirewall)?,
    };
    let table = match recipe.table.as_str() {
        "" => format!("{}-routes", environment.name),
        name => name.to_owned(),
    };
    let mut routes = Vec::new();
    // Version 3 is managed without the customer's network.
    if environment.version != AseVersion::V3 {
        routes.extend(management(topology.cloud, tags, recipe.management)?);
        if recipe.ip_dependencies {
            routes.extend(dependencies(topology.cloud).into_iter().map(to_internet));
        }
    }
    routes.extend(clients(environment).into_iter().map(to_internet));
    routes.push(route(
        "default",
        RouteDestination::Net(default_prefix(appliance)),
        NextHop::VirtualAppliance(appliance),
    ));
    let mut known = Vec::new();
    routes.retain(|route| {
        !known.contains(&route.destination) && {
            known.push(route.destination.clone());
            true
        }
    });
    keep_names(&mut routes, topology.route_table(&table));
    let mut changes: Vec<Change> =
        routes.into_iter().map(|route| Change::Route { table: table.clone(), route }).collect();
    changes.push(Change::SubnetRouteTable {
        network: environment.virtual_network.clone(),
        subnet: environment.subnet.clone(),
        table,
    });
    Ok(changes)
}

/// Azure takes a destination once in a table: one that has a route there keeps that route's name, so that it is replaced.
/// The name of a route to somewhere else is not taken from it.
fn keep_names(routes: &mut [Route], there: Option<&RouteTable>) {
    let there = there.map(|table| table.routes.as_slice()).unwrap_or_default();
    for route in routes {
        route.name = match there.iter().find(|known| known.destination == route.destination) {
            Some(known) => known.name.clone(),
            None => free_name(&route.name, |name| there.iter().any(|known| known.name.eq_ignore_ascii_case(name))),
        };
    }
}

fn route(name: &str, destination: RouteDestination, next_hop: NextHop) -> Route {
    Route { name: name.to_owned(), destination, next_hop, at: Spot::nowhere() }
}

fn to_internet(net: IpNet) -> Route {
    route(&route_name(&net.to_string()), RouteDestination::Net(net), NextHop::Internet)
}

fn default_prefix(like: IpAddr) -> IpNet {
    let all = if like.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    all.parse().expect("both are prefixes")
}

fn management(cloud: Cloud, tags: &Tags, how: Management) -> Result<Vec<Route>, RecipeError> {
    let ranges: Vec<AddressRange> = match how {
        Management::Tag => {
            return Ok(vec![route("management", RouteDestination::Tag(TAG.to_owned()), NextHop::Internet)]);
        }
        Management::Addresses => newest(cloud).map(List::addresses).unwrap_or_default(),
        Management::Prefixes => tags.published(TAG).map(|ranges| ranges.to_vec()).unwrap_or_default(),
    };
    let mut nets: Vec<IpNet> = ranges.into_iter().flat_map(AddressRange::nets).collect();
    nets.retain(|net| net.addr().is_ipv4());
    nets.sort_unstable();
    if nets.is_empty() {
        return Err(RecipeError::NoAddresses(cloud.as_str()));
    }
    Ok(nets.into_iter().map(to_internet).collect())
}

/// The addresses of a cloud that were published last.
fn newest(cloud: Cloud) -> Option<&'static List> {
    let of_cloud = |list: &&List| list.kind == Kind::Management && list.stem() == cloud.as_str();
    lists().iter().filter(of_cloud).max_by_key(|list| list.date)
}

/// Those that the oldest list of a cloud has: later ones dropped some, and the step with them.
fn dependencies(cloud: Cloud) -> Vec<IpNet> {
    let folder = match cloud {
        Cloud::Public => "ase@",
        Cloud::UsGov => "ase-usgov@",
        Cloud::China => return Vec::new(),
    };
    let of_cloud = |list: &&List| list.kind == Kind::Ip && list.name.starts_with(folder);
    let Some(list) = lists().iter().filter(of_cloud).min_by_key(|list| list.date) else { return Vec::new() };
    let address = |(_, endpoint): (&str, crate::allowlist::Endpoint)| match endpoint.host {
        EndpointHost::Addr(address) => Some(IpNet::from(address)),
        _ => None,
    };
    let mut nets: Vec<IpNet> = list.endpoints().into_iter().filter_map(address).collect();
    nets.sort_unstable();
    nets.dedup();
    nets
}

/// Clients of apps come in by the public address, and are answered by it: through the firewall, the answer would have
/// another. Those in private hands are answered by routes that are there.
fn clients(environment: &AppServiceEnvironment) -> Vec<IpNet> {
    if environment.load_balancing != LoadBalancing::External {
        return Vec::new();
    }
    let gateway = environment.application_gateway.iter();
    let ranges = environment.client_ranges.iter().chain(gateway);
    let public = ranges.filter(|range| AddrClass::of(range.first()) == AddrClass::Global);
    public.flat_map(|range| range.nets()).filter(|net| net.prefix_len() > 0).collect()
}
