//! Service tags as security groups and routes see them: those of the dated files, and those that Azure makes up for each
//! network.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::allowlist::{Catalogue, Kind, lists};
use crate::flow::HostName;
use crate::policy::{AddressRange, ServiceEndpoint};

use super::environment::Cloud;
use super::network::{Network, Place};
use super::ranges::Ranges;
use super::topology::{NextHop, RouteDestination, VirtualNetworkTag};

/// The host's virtual address, the same in every network: DNS, DHCP, health probes.
pub const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));
/// The instance metadata service.
pub(super) const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// Key management for Windows activation, exempt on port 1688.
pub(super) const KEY_MANAGEMENT: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(23, 102, 135, 246)),
    IpAddr::V4(Ipv4Addr::new(20, 118, 99, 224)),
    IpAddr::V4(Ipv4Addr::new(40, 83, 235, 53)),
];

const MANAGEMENT: &str = "AppServiceManagement";

/// What is not the Internet's, beside the network itself: the special ranges of [`AddrClass`](crate::flow::AddrClass).
const NOT_INTERNET: [&str; 11] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
];

/// Unicast addresses of the whole world.
const GLOBAL_IPV6: &str = "2000::/3";

/// The tags of the published files, by name.
#[derive(Debug, Clone, Default)]
pub struct Tags {
    catalogue: Catalogue,
    cloud: Cloud,
    /// By name in lower case: what somebody wants to try out that no file says.
    assumed: HashMap<String, Arc<[AddressRange]>>,
}

impl Tags {
    pub fn new(catalogue: Catalogue, cloud: Cloud) -> Tags {
        Tags { catalogue, cloud, assumed: HashMap::new() }
    }

    /// The same with prefixes for a tag, whatever files say.
    #[must_use]
    pub fn assuming(mut self, name: &str, ranges: &[AddressRange]) -> Tags {
        self.assumed.insert(name.to_ascii_lowercase(), ranges.into());
        self
    }

    pub fn cloud(&self) -> Cloud {
        self.cloud
    }

    /// Of the tags that are at hand in this cloud, for who misspelt one. One of several clouds may come twice.
    pub fn names(&self) -> Vec<&str> {
        let names = self.catalogue.service_tag_names();
        let of_cloud = names.into_iter().map(|name| name.strip_suffix("-usgov").unwrap_or(name));
        of_cloud.filter(|name| self.published(name).is_some()).collect()
    }

    /// The prefixes of a published tag in this cloud; None for one that is not at hand. What is built in is of the public
    /// cloud, but for what bears another's name (`AppServiceManagement-usgov`), and for the management addresses of China,
    /// which are those that the documents print.
    pub fn published(&self, name: &str) -> Option<Arc<[AddressRange]>> {
        if let Some(ranges) = self.assumed.get(&name.to_ascii_lowercase()) {
            return Some(Arc::clone(ranges));
        }
        let tag = match self.cloud {
            _ if self.catalogue.has_own_service_tags() => self.catalogue.service_tag(name),
            Cloud::Public => self.catalogue.service_tag(name),
            Cloud::UsGov => self.catalogue.service_tag(&format!("{name}-usgov")),
            // The documents print addresses, and name a file of tags that is not to be had.
            Cloud::China if name.eq_ignore_ascii_case(MANAGEMENT) => return Some(newest("management/china").into()),
            Cloud::China => None,
        };
        tag.map(|tag| tag.ranges)
    }

    /// The services that have endpoints, with their zones and ports, as the lists of this cloud have them. One that several
    /// lists have comes several times.
    pub fn services(&self) -> Vec<ServiceEndpoint> {
        let prefix = match self.cloud {
            Cloud::Public => "ase@",
            Cloud::UsGov => "ase-usgov@",
            Cloud::China => return Vec::new(),
        };
        let of_cloud = lists().iter().filter(|list| list.name.starts_with(prefix));
        of_cloud.flat_map(|list| list.service_endpoints()).collect()
    }

    /// The names of those that a host is of, each once.
    pub fn services_of(&self, host: &HostName) -> Vec<String> {
        let mut services: Vec<String> =
            self.services().into_iter().filter(|it| it.has_name(host)).map(|it| it.service).collect();
        services.sort_unstable();
        services.dedup();
        services
    }

    /// Is it known by the addresses that a document prints, and by no file?
    pub fn is_printed_alone(&self, name: &str) -> bool {
        self.cloud == Cloud::China && !self.catalogue.has_own_service_tags() && name.eq_ignore_ascii_case(MANAGEMENT)
    }

    /// Where App Service manages environments from, IPv4 alone: no environment is managed by another address. By the
    /// service tag; where there is none at hand (a file without it), the newest list of addresses.
    pub fn management(&self) -> Vec<AddressRange> {
        let list = match self.cloud {
            Cloud::Public => "management/public",
            Cloud::UsGov => "management/usgov",
            Cloud::China => "management/china",
        };
        let published = self.published(MANAGEMENT);
        let ranges = published.map_or_else(|| newest(list), |ranges| ranges.to_vec());
        ranges.into_iter().filter(|range| range.first().is_ipv4()).collect()
    }
}

fn newest(list: &str) -> Vec<AddressRange> {
    let of_cloud = |name: &str| name.split_once('@').is_some_and(|(stem, _)| stem == list);
    let dated = lists().iter().filter(|it| it.kind == Kind::Management && of_cloud(it.name));
    dated.max_by_key(|it| it.date).map(|it| it.addresses()).unwrap_or_default()
}

/// What a tag stands for.
pub(super) enum Meaning {
    Any,
    /// Of the subnet that is asked about.
    VirtualNetwork,
    /// Of the subnet that is asked about.
    Internet,
    Addresses(Vec<IpAddr>),
    /// As the files say.
    Published,
}

pub(super) fn meaning(tag: &str) -> Meaning {
    match tag.to_ascii_lowercase().as_str() {
        "*" => Meaning::Any,
        "virtualnetwork" => Meaning::VirtualNetwork,
        "internet" => Meaning::Internet,
        "azureloadbalancer" | "azureplatformdns" => Meaning::Addresses(vec![HOST]),
        "azureplatformimds" => Meaning::Addresses(vec![METADATA]),
        "azureplatformlkm" => Meaning::Addresses(KEY_MANAGEMENT.to_vec()),
        _ => Meaning::Published,
    }
}

/// The tags that stand for something else in each subnet.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) virtual_network: Ranges,
    /// A default route takes nothing from it: a rule that denies the Internet goes on to deny it.
    pub(super) internet: Ranges,
}

impl Surroundings {
    pub(super) fn of(network: &Network, place: Place) -> Surroundings {
        let (connected, routed) = (network.connected(place), network.routed_privately(place));
        let narrow = routed.iter().filter(|net| net.prefix_len() > 0);
        let host = IpNet::from(HOST);
        let private: Ranges = connected.iter().chain(narrow).copied().chain([host]).collect();
        let virtual_network: Ranges = connected.iter().chain(&routed).copied().chain([host]).collect();
        let net = |text: &str| text.parse::<IpNet>().expect("a literal prefix");
        let special: Ranges = NOT_INTERNET.iter().map(|text| net(text)).collect();
        let world: Ranges = [net("0.0.0.0/0"), net(GLOBAL_IPV6)].into_iter().collect();
        let internet = world.minus(&special).minus(&private);
        Surroundings { virtual_network, internet }
    }
}

impl Network {
    /// Is the address among those that a tag stands for, seen from a subnet? A tag that is not at hand stands for none.
    pub fn tag_holds(&self, place: Place, tag: &str, address: IpAddr) -> bool {
        match meaning(tag) {
            Meaning::Any => true,
            Meaning::VirtualNetwork => self.surroundings(place).virtual_network.contains(address),
            Meaning::Internet => self.surroundings(place).internet.contains(address),
            Meaning::Addresses(known) => known.contains(&address),
            Meaning::Published => self.published_tag(tag).contains(address),
        }
    }

    /// The addresses that a tag stands for, seen from a subnet, in order and without overlap; none for a tag that is not
    /// at hand, all of both families for `*`.
    pub fn tag_ranges(&self, place: Place, tag: &str) -> Vec<AddressRange> {
        let net = |text: &str| text.parse::<AddressRange>().expect("a literal prefix");
        match meaning(tag) {
            Meaning::Any => vec![net("0.0.0.0/0"), net("::/0")],
            Meaning::VirtualNetwork => self.surroundings(place).virtual_network.as_slice().to_vec(),
            Meaning::Internet => self.surroundings(place).internet.as_slice().to_vec(),
            Meaning::Addresses(known) => known.into_iter().map(AddressRange::from).collect(),
            Meaning::Published => self.published_tag(tag).as_slice().to_vec(),
        }
    }

    /// The address spaces that a subnet is connected with: its network's, those of its peers, the premises.
    fn connected(&self, place: Place) -> Vec<IpNet> {
        let own = self.virtual_network(place);
        let allowing = own.peerings.iter().filter(|peering| peering.allow_virtual_network_access);
        let peers = allowing.flat_map(|peering| self.connected_space(own, peering));
        let premises = self.gateway_routes(place).map(|(net, _)| net).filter(|net| net.prefix_len() > 0);
        own.address_space.iter().copied().chain(peers).chain(premises).collect()
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
