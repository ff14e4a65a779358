//! A network as people write it, resource by resource. Names stand for resources, in any letter case.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::flow::PortRange;
use crate::policy::{Action, AddressRange, Spot};

use super::environment::{AppServiceEnvironment, Cloud};
use super::homes::{Home, Homes};
use super::ranges::range_of;
use super::security::{FlowDirection, defaults};

/// Everything around a firewall.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Topology {
    /// The file's stem.
    pub name: String,
    pub cloud: Cloud,
    /// As in ids; empty where nobody said.
    pub subscription: String,
    pub resource_group: String,
    /// Of resources that are elsewhere; of no `vnet.toml`.
    pub homes: Homes,
    /// `westus2`; empty where nobody said. The endpoint route of Microsoft.Sql is for this region alone.
    pub location: String,
    pub virtual_networks: Vec<VirtualNetwork>,
    pub security_groups: Vec<NetworkSecurityGroup>,
    pub application_security_groups: Vec<ApplicationSecurityGroup>,
    pub route_tables: Vec<RouteTable>,
    pub interfaces: Vec<NetworkInterface>,
    pub firewalls: Vec<Firewall>,
    pub environments: Vec<AppServiceEnvironment>,
    pub dns_zones: Vec<DnsZone>,
    /// What files say and none of these holds; of no `vnet.toml`.
    pub unread: Vec<Unread>,
    pub switches: TopologySwitches,
    pub at: Spot,
}

/// A property that is no part of the model, kept so that its resource can be written whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    pub of: ResourceKind,
    /// `group`, `group/rule`, `network/subnet`
    pub resource: String,
    /// `tags`, `natGateway`
    pub property: String,
    /// As JSON. None where only Azure knows a part of it.
    pub value: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    SecurityGroup,
    SecurityRule,
    RouteTable,
    Route,
    Subnet,
}

impl ResourceKind {
    pub fn as_str(self) -> &'static str {
        match self {
            ResourceKind::SecurityGroup => "security group",
            ResourceKind::SecurityRule => "security rule",
            ResourceKind::RouteTable => "route table",
            ResourceKind::Route => "route",
            ResourceKind::Subnet => "subnet",
        }
    }
}

impl Unread {
    /// The property that has the regions of a service endpoint.
    pub fn locations(service: &str) -> String {
        format!("serviceEndpoints/{}", service.to_ascii_lowercase())
    }

    /// Of a property that the model has otherwise.
    pub fn is_part(&self) -> bool {
        self.property.starts_with("serviceEndpoints/")
    }
}

/// What Azure leaves open, decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TopologySwitches {
    pub virtual_network_tag: VirtualNetworkTag,
    pub none_routes: NoneRoutes,
}

/// Which prefixes have a system route that drops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NoneRoutes {
    /// RFC 1918 and RFC 6598 (virtual-networks-udr-overview.md, 2023).
    #[default]
    Documented,
    /// Those too that effective routes of real machines were seen to have in 2023, as far as their extent was noted.
    Observed,
}

/// What the service tag `VirtualNetwork` stands for beside the address spaces that are connected. Azure's text names the
/// prefixes of user-defined routes, and says that it "might" hold default routes (service-tags-overview.md, 2021). Whoever
/// looked at effective rules under a default route to an appliance found 0.0.0.0/0 in it (azure-docs, issue 22178, 2019;
/// azure-powershell, issue 4972, 2017).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VirtualNetworkTag {
    /// No route.
    AddressSpace,
    /// User-defined routes that keep traffic in private hands (`VirtualAppliance`, `VirtualNetworkGateway`,
    /// `VnetLocal`), but for the default route.
    Routes,
    /// The default route too: then the tag holds every address.
    #[default]
    DefaultRoutes,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct VirtualNetwork {
    pub name: String,
    pub address_space: Vec<IpNet>,
    /// Empty: Azure's own.
    pub dns_servers: Vec<IpAddr>,
    pub subnets: Vec<Subnet>,
    pub peerings: Vec<Peering>,
    pub gateway: Option<Gateway>,
    pub at: Spot,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subnet {
    pub name: String,
    pub prefixes: Vec<IpNet>,
    pub security_group: Option<String>,
    pub route_table: Option<String>,
    /// `Microsoft.Storage`, in any letter case.
    pub service_endpoints: Vec<String>,
    /// `Microsoft.Web/hostingEnvironments`
    pub delegations: Vec<String>,
    /// What else is in it, where somebody says so: names of virtual machines, private endpoints.
    pub occupants: Vec<String>,
    pub at: Spot,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Peering {
    pub name: String,
    /// The other network's name; it need not be in the topology where `remote_space` says what it holds.
    pub remote: String,
    pub remote_space: Vec<IpNet>,
    /// Between regions: `VNetGlobalPeering`.
    pub global: bool,
    pub allow_virtual_network_access: bool,
    pub allow_forwarded_traffic: bool,
    pub allow_gateway_transit: bool,
    pub use_remote_gateways: bool,
    pub at: Spot,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum GatewayKind {
    #[default]
    Vpn,
    ExpressRoute,
}

/// The way to one's own premises.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gateway {
    pub name: String,
    pub kind: GatewayKind,
    /// What is advertised over BGP, or is the address space of local network gateways.
    pub routes: Vec<IpNet>,
    /// The public addresses that traffic to the Internet leaves by on the other side, where it is forced that way.
    pub egress_addresses: Vec<IpAddr>,
    /// It goes out by a corporate proxy, which changes more than the source.
    pub egress_proxy: bool,
    /// Milliseconds for a round trip to the other side, where somebody measured it.
    pub latency_ms: Option<u32>,
    pub at: Spot,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct NetworkSecurityGroup {
    pub name: String,
    /// As they are written; Azure's own default rules are not among them.
    pub rules: Vec<SecurityRule>,
    pub at: Spot,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SecurityRule {
    pub name: String,
    /// 100 (first) to 4096 (last), unique for each direction.
    pub priority: u16,
    pub direction: FlowDirection,
    pub access: Action,
    pub protocol: SecurityProtocol,
    pub source: RuleSide,
    pub destination: RuleSide,
    pub at: Spot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecurityProtocol {
    /// `*`: every protocol, ESP and AH among them.
    Any,
    Tcp,
    Udp,
    Icmp,
    Esp,
    Ah,
}

/// One side of a security rule. An empty list of prefixes with no group matches nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleSide {
    pub prefixes: Vec<Prefix>,
    pub ports: Vec<PortRange>,
    /// Names of application security groups.
    pub application_security_groups: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Prefix {
    Any,
    Net(IpNet),
    /// A service tag, `VirtualNetwork`, `AzureLoadBalancer`, `Internet`, as it is written.
    Tag(String),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApplicationSecurityGroup {
    pub name: String,
    pub at: Spot,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RouteTable {
    pub name: String,
    pub routes: Vec<Route>,
    pub disable_bgp_route_propagation: bool,
    pub at: Spot,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub name: String,
    pub destination: RouteDestination,
    pub next_hop: NextHop,
    pub at: Spot,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RouteDestination {
    Net(IpNet),
    /// A service tag, as it is written.
    Tag(String),
}

/// What a user-defined route can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NextHop {
    VirtualNetworkGateway,
    VnetLocal,
    Internet,
    VirtualAppliance(IpAddr),
    None,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct NetworkInterface {
    pub name: String,
    pub virtual_network: String,
    pub subnet: String,
    pub addresses: Vec<IpAddr>,
    pub public_addresses: Vec<IpAddr>,
    pub security_group: Option<String>,
    pub application_security_groups: Vec<String>,
    pub at: Spot,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Firewall {
    pub name: String,
    pub virtual_network: String,
    /// `AzureFirewallSubnet`, where it is as it has to be.
    pub subnet: String,
    pub private_address: Option<IpAddr>,
    /// What the Internet sees of what it lets through.
    pub public_addresses: Vec<IpAddr>,
    pub at: Spot,
}

/// A private DNS zone with its A records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DnsZone {
    pub name: String,
    /// `*`, `@`, `*.scm`, with their addresses.
    pub records: Vec<(String, IpAddr)>,
    /// Networks that it is linked to.
    pub virtual_networks: Vec<String>,
    pub at: Spot,
}

/// Azure Firewall is in a subnet of this name, and in no other.
pub const FIREWALL_SUBNET: &str = "AzureFirewallSubnet";

/// The gateway of a network is in a subnet of this name.
pub const GATEWAY_SUBNET: &str = "GatewaySubnet";

/// What ids say where nobody said which subscription and group it is.
const NO_SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
const NO_GROUP: &str = "egret";

impl Topology {
    /// As ids have it: zeros where nobody said.
    pub fn subscription_id(&self) -> &str {
        if self.subscription.is_empty() { NO_SUBSCRIPTION } else { &self.subscription }
    }

    /// As ids have it: `egret` where nobody said.
    pub fn group_name(&self) -> &str {
        if self.resource_group.is_empty() { NO_GROUP } else { &self.resource_group }
    }

    /// `/subscriptions/S/resourceGroups/G`, where its resources are.
    pub fn scope(&self) -> String {
        format!("/subscriptions/{}/resourceGroups/{}", self.subscription_id(), self.group_name())
    }

    /// Where a resource is. `kind` is `Microsoft.Network/routeTables`.
    pub fn home(&self, kind: &str, name: &str) -> Home<'_> {
        self.homes.of(kind, name).unwrap_or_else(|| self.usual_home())
    }

    /// Where a resource is that says nothing else.
    pub fn usual_home(&self) -> Home<'_> {
        Home { subscription: &self.subscription, resource_group: &self.resource_group }
    }

    /// Whether anything is in it. Where nobody said where things are, they are anywhere.
    pub fn has_subscription(&self, name: &str) -> bool {
        self.subscription.is_empty() || self.all_homes().any(|it| it.subscription.eq_ignore_ascii_case(name))
    }

    /// As [`Topology::has_subscription`].
    pub fn has_group(&self, subscription: &str, group: &str) -> bool {
        let is_there = |home: Home<'_>| {
            let same = |own: &str, given: &str| own.is_empty() || own.eq_ignore_ascii_case(given);
            same(home.subscription, subscription) && home.resource_group.eq_ignore_ascii_case(group)
        };
        self.resource_group.is_empty() || self.all_homes().any(is_there)
    }

    fn all_homes(&self) -> impl Iterator<Item = Home<'_>> {
        self.homes.all().chain([self.usual_home()])
    }

    pub fn security_group(&self, name: &str) -> Option<&NetworkSecurityGroup> {
        self.security_groups.iter().find(|group| group.name.eq_ignore_ascii_case(name))
    }

    pub fn route_table(&self, name: &str) -> Option<&RouteTable> {
        self.route_tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))
    }

    pub fn virtual_network(&self, name: &str) -> Option<&VirtualNetwork> {
        self.virtual_networks.iter().find(|network| network.name.eq_ignore_ascii_case(name))
    }

    /// The address that a firewall has where nobody says which: Azure gives out the first that is free.
    pub fn first_address(&self, firewall: &Firewall) -> Option<IpAddr> {
        let subnet = self.virtual_network(&firewall.virtual_network)?.subnet(&firewall.subnet)?;
        subnet.usable().map(|range| range.first()).find(IpAddr::is_ipv4)
    }

    /// The firewall that a route's next hop names.
    pub fn firewall_at(&self, address: IpAddr) -> Option<&Firewall> {
        self.firewalls.iter().find(|firewall| firewall.private_address == Some(address))
    }
}

impl SecurityRule {
    /// Is it one of those that every group has behind its own? Priorities of one's own end at 4096.
    pub fn is_default(&self) -> bool {
        self.priority >= defaults::FIRST
    }
}

impl VirtualNetwork {
    pub fn subnet(&self, name: &str) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.name.eq_ignore_ascii_case(name))
    }
}

impl Subnet {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefixes.iter().any(|prefix| prefix.contains(&address))
    }

    /// The addresses of each prefix that Azure gives to anybody: it keeps the first four and the last one (azure-docs,
    /// virtual-networks-faq.md). None of one that is smaller than eight, as Azure takes no such.
    pub fn usable(&self) -> impl Iterator<Item = AddressRange> + '_ {
        self.prefixes.iter().filter_map(|net| usable(*net))
    }

    /// The same, but all of a prefix that is smaller: a topology may have one.
    pub fn usable_or_all(&self) -> impl Iterator<Item = AddressRange> + '_ {
        self.prefixes.iter().map(|net| usable(*net).unwrap_or_else(|| range_of(*net)))
    }

    /// That for Storage in every region is one for Storage.
    pub fn has_endpoint(&self, service: &str) -> bool {
        const EVERYWHERE: [&str; 2] = ["Microsoft.Storage.Global", "Microsoft.Storage"];
        let [global, regional] = EVERYWHERE;
        let is = |enabled: &String| {
            enabled.eq_ignore_ascii_case(service)
                || (enabled.eq_ignore_ascii_case(global) && service.eq_ignore_ascii_case(regional))
        };
        self.service_endpoints.iter().any(is)
    }
}

fn usable(prefix: IpNet) -> Option<AddressRange> {
    const KEPT: [u8; 2] = [4, 1];
    let [first, last] = match prefix {
        _ if prefix.max_prefix_len() - prefix.prefix_len() < 3 => return None,
        IpNet::V4(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            let [before, after] = KEPT.map(u32::from);
            [first + before, last - after].map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
        }
        IpNet::V6(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            let [before, after] = KEPT.map(u128::from);
            [first + before, last - after].map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
        }
    };
    AddressRange::between(first, last)
}

impl NextHop {
    /// As ARM spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            NextHop::VirtualNetworkGateway => "VirtualNetworkGateway",
            NextHop::VnetLocal => "VnetLocal",
            NextHop::Internet => "Internet",
            NextHop::VirtualAppliance(_) => "VirtualAppliance",
            NextHop::None => "None",
        }
    }
}
