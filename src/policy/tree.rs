//! Rules as people write them: policies, rule collection groups, rule collections, rules.
//!
//! This is the form that files are read into and that the linear walk evaluates. The hot path asks the
//! compiled [`Policy`](super::Policy) instead.

use std::fmt;
use std::sync::Arc;

use crate::flow::{Host, HostName, PortSet, Protocol};

use super::address::{AddressRange, AddressSet};
use super::insertion::HeaderInsertion;
use super::pattern::{FqdnPattern, UrlPattern};
use super::settings::PolicySettings;
use super::spot::Spot;
use super::threats::ThreatIntel;

/// Everything that decides: policies in the order of their precedence, and what surrounds them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RuleSet {
    /// In each type's pass the rules of an earlier policy come before those of a later one: a parent before
    /// its child, the command line's own rules before all.
    pub policies: Vec<PolicyRules>,
    /// Azure's built-in rule collection after all application rules. Its members are not published: empty
    /// unless given.
    pub infrastructure: Vec<ApplicationRule>,
    /// Services whose flows leave by a service endpoint and never reach the firewall.
    pub service_endpoints: Vec<ServiceEndpoint>,
    /// Asked before any rule.
    pub threat_intel: ThreatIntel,
}

/// One firewall policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PolicyRules {
    /// Empty for the classic rules of a firewall without a policy, as are the names of their groups.
    pub name: String,
    pub groups: Vec<RuleCollectionGroup>,
    pub settings: PolicySettings,
    pub at: Spot,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleCollectionGroup {
    pub name: String,
    pub priority: Priority,
    pub collections: Vec<RuleCollection>,
    pub at: Spot,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleCollection {
    pub name: String,
    pub priority: Priority,
    pub rules: Rules,
    pub at: Spot,
}

/// What a rule holds that decides nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct About {
    pub description: String,
    pub at: Spot,
}

/// The rules of one collection: of one type, as Azure has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Rules {
    Dnat(Vec<DnatRule>),
    Network(Action, Vec<NetworkRule>),
    Application(Action, Vec<ApplicationRule>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Allow,
    Deny,
}

impl Action {
    /// As ARM spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Allow => "Allow",
            Action::Deny => "Deny",
        }
    }
}

/// 100 (first) to 65000 (last), for groups and for collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Priority(u16);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("priority {0} is out of range: 100 (first) to 65000 (last)")]
pub struct PriorityError(pub i64);

impl TryFrom<i64> for Priority {
    type Error = PriorityError;

    fn try_from(value: i64) -> Result<Self, PriorityError> {
        match u16::try_from(value) {
            Ok(number @ 100..=65000) => Ok(Priority(number)),
            _ => Err(PriorityError(value)),
        }
    }
}

impl Priority {
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `Http:80`, `Https:443`, `Mssql:1433`; any port will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppProtocol {
    /// `Http`, `Https` or `Mssql`.
    pub protocol: Protocol,
    pub port: u16,
}

impl fmt::Display for AppProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.protocol, self.port)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ApplicationRule {
    pub name: String,
    pub sources: AddressSet,
    /// For `fqdns`, `categories` and `urls`; tags bring their own.
    pub protocols: Vec<AppProtocol>,
    pub fqdns: Vec<FqdnPattern>,
    pub tags: Vec<FqdnTag>,
    pub urls: Vec<UrlPattern>,
    pub categories: Vec<WebCategory>,
    /// What matches is decrypted by Azure Firewall Premium. Egret decrypts nothing.
    pub terminate_tls: bool,
    /// Headers that an allowed request is sent on with.
    pub headers: Vec<HeaderInsertion>,
    pub about: About,
}

/// An FQDN tag with the members it stands for here. Azure publishes none: they are an approximation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FqdnTag {
    pub name: String,
    pub members: Arc<[(FqdnPattern, AppProtocol)]>,
}

/// A web category with the names it stands for here. Azure publishes none: they are an approximation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WebCategory {
    pub name: String,
    pub members: Arc<[FqdnPattern]>,
}

/// The protocols of a network or DNAT rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct IpProtocols {
    pub tcp: bool,
    pub udp: bool,
    pub icmp: bool,
    pub any: bool,
}

impl IpProtocols {
    pub const TCP: IpProtocols = IpProtocols { tcp: true, udp: false, icmp: false, any: false };
    pub const UDP: IpProtocols = IpProtocols { tcp: false, udp: true, icmp: false, any: false };
    pub const ICMP: IpProtocols = IpProtocols { tcp: false, udp: false, icmp: true, any: false };
    pub const ANY: IpProtocols = IpProtocols { tcp: false, udp: false, icmp: false, any: true };

    pub fn union(self, other: IpProtocols) -> IpProtocols {
        IpProtocols {
            tcp: self.tcp || other.tcp,
            udp: self.udp || other.udp,
            icmp: self.icmp || other.icmp,
            any: self.any || other.any,
        }
    }

    /// `Any` with a port given is TCP and UDP; only `Any` with ports `*` is every protocol
    /// (azure-docs, rule-processing.md). ICMP has no ports.
    pub fn covers(self, protocol: Protocol, ports: &PortSet) -> bool {
        match protocol {
            Protocol::Http | Protocol::Https | Protocol::Mssql | Protocol::Tcp => self.tcp || self.any,
            Protocol::Udp => self.udp || self.any,
            Protocol::Icmp => self.icmp || (self.any && ports.is_any()),
            Protocol::Other => self.any && ports.is_any(),
        }
    }
}

impl fmt::Display for IpProtocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [(self.tcp, "TCP"), (self.udp, "UDP"), (self.icmp, "ICMP"), (self.any, "Any")];
        let names: Vec<&str> = named.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        f.write_str(&names.join(", "))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct NetworkRule {
    pub name: String,
    pub sources: AddressSet,
    pub protocols: IpProtocols,
    /// Addresses, IP groups and service tags.
    pub destinations: AddressSet,
    /// Exact names only: Azure takes no wildcard in a network rule.
    pub fqdns: Vec<HostName>,
    pub ports: PortSet,
    pub about: About,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnatRule {
    pub name: String,
    pub sources: AddressSet,
    /// TCP and UDP only.
    pub protocols: IpProtocols,
    pub destinations: AddressSet,
    pub ports: PortSet,
    pub translated: Translated,
    pub about: About,
}

/// Where a DNAT rule leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Translated {
    pub host: Host,
    pub port: u16,
}

/// A service that the subnet reaches by a service endpoint: by the names it goes by and its service tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceEndpoint {
    /// As Azure calls it, `Microsoft.Storage`.
    pub service: String,
    /// The zones below which its names are, `blob.core.windows.net`.
    pub zones: Vec<HostName>,
    pub ranges: Arc<[AddressRange]>,
    pub ports: PortSet,
}

impl ServiceEndpoint {
    /// Is it below one of the zones?
    pub fn has_name(&self, name: &HostName) -> bool {
        let is_below = |zone: &HostName| {
            let rest = name.as_str().strip_suffix(zone.as_str());
            rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        };
        self.zones.iter().any(is_below)
    }
}
