//! The App Service Environment, as far as the network around it matters to it.

use std::net::IpAddr;

use crate::flow::{Host, PortRange, Protocol};
use crate::policy::{AddressRange, Spot};

/// Which lists, addresses and suffixes count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Cloud {
    #[default]
    Public,
    UsGov,
    /// Azure operated by 21Vianet. It publishes neither names nor a file of service tags.
    China,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AseVersion {
    V1,
    #[default]
    V2,
    /// Without dependencies of the platform's own in the customer's network.
    V3,
}

/// Where App Service manages environments of versions 1 and 2, over TCP.
pub const MANAGEMENT_PORTS: [u16; 2] = [454, 455];

pub const WEB_DEPLOY_PORT: u16 = 8172;

/// Control and data of FTP and FTPS.
pub fn ftp_ports() -> Vec<PortRange> {
    vec![PortRange::single(21), PortRange::single(990), PortRange::between(10_001, 10_020)]
}

impl AseVersion {
    /// The documents name different ports: 4016, 4018, 4020 and 4022 in 2017; 4020, 4022 and 4024 since 2020; 4022, 4024
    /// and 4026 for version 3.
    pub fn remote_debug_ports(self) -> &'static [u16] {
        match self {
            AseVersion::V1 => &[4016, 4018, 4020, 4022],
            AseVersion::V2 => &[4020, 4022, 4024],
            AseVersion::V3 => &[4022, 4024, 4026],
        }
    }
}

/// `internalLoadBalancingMode`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LoadBalancing {
    /// External: apps are reached by the public VIP.
    #[default]
    External,
    /// Apps, publishing or both are reached by an address of the subnet.
    Internal(IlbMode),
}

/// What the internal load balancer serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IlbMode {
    Web,
    Publishing,
    WebAndPublishing,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct AppServiceEnvironment {
    pub name: String,
    pub version: AseVersion,
    pub load_balancing: LoadBalancing,
    /// `hasLinuxWorkers`
    pub linux: bool,
    pub virtual_network: String,
    pub subnet: String,
    /// The public VIP: management comes in by it, and traffic to the Internet leaves by it.
    pub public_address: Option<IpAddr>,
    /// The address of the internal load balancer.
    pub internal_address: Option<IpAddr>,
    /// Others that traffic leaves by; empty: the VIP.
    pub outbound_addresses: Vec<IpAddr>,
    /// Addresses of single apps; External only.
    pub app_addresses: Vec<AppAddress>,
    /// `userWhitelistedIpRanges`: whom the environment's own database takes connections from too.
    pub sql_egress_ranges: Vec<AddressRange>,
    /// Empty: the usual one of its kind.
    pub dns_suffix: String,
    /// Where clients of the apps are; empty: anywhere.
    pub client_ranges: Vec<AddressRange>,
    /// What its apps need to reach.
    pub app_dependencies: Vec<AppDependency>,
    /// SQL databases that its apps use.
    pub app_databases: Vec<SqlDatabase>,
    /// Of an Application Gateway in front of it.
    pub application_gateway: Option<AddressRange>,
    pub ftp: bool,
    pub remote_debug: bool,
    pub web_deploy: bool,
    /// DNS servers of the network were changed since it was made or rebooted.
    pub dns_changed: bool,
    /// Dependency names that its DNS servers are known not to resolve.
    pub unresolvable: Vec<String>,
    /// It was suspended and resumed: its addresses are new.
    pub restored: bool,
    pub suspended: bool,
    pub at: Spot,
}

/// An address of one app, with the pair of ports that the load balancer sends its traffic to (`vipMappings`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppAddress {
    pub address: IpAddr,
    pub http_port: u16,
    pub https_port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppDependency {
    pub protocol: Protocol,
    pub host: Host,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlDatabase {
    pub name: String,
    /// It has a virtual network rule for the subnet.
    pub virtual_network_rule: bool,
}

impl AppServiceEnvironment {
    /// Of the names of its apps: its own, or the usual one of its kind (azure-docs, create-ilb-ase.md, 2024;
    /// using-an-ase.md, 2020). Those of the other clouds are an assumption.
    pub fn suffix(&self, cloud: Cloud) -> String {
        let usual = match (self.load_balancing, cloud) {
            (LoadBalancing::Internal(_), Cloud::Public) => "appserviceenvironment.net",
            (LoadBalancing::Internal(_), Cloud::UsGov) => "appserviceenvironment.us",
            (LoadBalancing::Internal(_), Cloud::China) => "appserviceenvironment.cn",
            (LoadBalancing::External, Cloud::Public) => "p.azurewebsites.net",
            (LoadBalancing::External, Cloud::UsGov) => "p.azurewebsites.us",
            (LoadBalancing::External, Cloud::China) => "p.chinacloudsites.cn",
        };
        match self.dns_suffix.as_str() {
            "" => format!("{}.{usual}", self.name.to_ascii_lowercase()),
            own => own.to_ascii_lowercase(),
        }
    }
}

impl LoadBalancing {
    pub fn is_internal(self) -> bool {
        self != LoadBalancing::External
    }
}

impl AseVersion {
    pub fn number(self) -> u8 {
        match self {
            AseVersion::V1 => 1,
            AseVersion::V2 => 2,
            AseVersion::V3 => 3,
        }
    }
}

impl Cloud {
    pub fn as_str(self) -> &'static str {
        match self {
            Cloud::Public => "public",
            Cloud::UsGov => "usgov",
            Cloud::China => "china",
        }
    }
}
