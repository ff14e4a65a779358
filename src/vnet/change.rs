//! A change to a network and its firewall, small enough to be one command.
//!
//! What finds something wrong proposes changes; [`Change::apply`] makes them in memory, so that the result can be asked
//! whether they were enough; Azure's spellings of them are written in [`azure`](crate::azure).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::{AddressRange, ApplicationRule, NetworkRule};

use super::topology::{Route, SecurityRule};

/// One change. Resources go by their names; what is not there yet is made.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Adds a security rule, or replaces the one of this name and direction.
    SecurityRule {
        group: String,
        rule: SecurityRule,
    },
    RemoveSecurityRule {
        group: String,
        rule: String,
    },
    /// Puts a security group on a subnet.
    SubnetSecurityGroup {
        network: String,
        subnet: String,
        group: String,
    },
    /// Adds a route, or replaces the one of this name.
    Route {
        table: String,
        route: Route,
    },
    RemoveRoute {
        table: String,
        route: String,
    },
    /// Puts a route table on a subnet.
    SubnetRouteTable {
        network: String,
        subnet: String,
        table: String,
    },
    BgpRoutePropagation {
        table: String,
        disabled: bool,
    },
    /// Enables the endpoint of a service, `Microsoft.Storage`.
    ServiceEndpoint {
        network: String,
        subnet: String,
        service: String,
    },
    Delegation {
        network: String,
        subnet: String,
        service: String,
    },
    AddSubnet {
        network: String,
        subnet: String,
        prefix: IpNet,
    },
    /// An application rule of the firewall, in a collection that allows.
    ApplicationRule(ApplicationRule),
    /// A network rule of the firewall, in a collection that allows.
    NetworkRule(NetworkRule),
    /// Takes a rule out of the firewall's policy: `policy/group/collection/rule`.
    RemoveFirewallRule {
        rule: String,
    },
    DnsRecord {
        zone: String,
        name: String,
        address: IpAddr,
    },
    DnsServers {
        network: String,
        servers: Vec<IpAddr>,
    },
    /// Adds to `userWhitelistedIpRanges`.
    SqlEgressRange {
        environment: String,
        range: AddressRange,
    },
}
