//! What a firewall policy holds beside its rules (Azure REST API 2024-05-01, `firewallPolicies`).
//!
//! Here it is only said. Whoever uses a setting says so in `docs/fidelity.md`; what nobody uses is kept, so that
//! the policy can be written again.

use std::fmt;
use std::net::IpAddr;

use super::address::{AddressRange, AddressSet};
use super::pattern::FqdnPattern;

/// None and empty: the policy does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PolicySettings {
    /// `sku.tier`
    pub tier: Option<Tier>,
    /// The name or resource id of the parent.
    pub base_policy: Option<String>,
    pub threat_intel: ThreatIntelSettings,
    pub dns: DnsSettings,
    pub snat: SnatSettings,
    pub explicit_proxy: ExplicitProxySettings,
    pub idps: Option<ThreatMode>,
    /// `sql.allowSqlRedirect`
    pub allow_sql_redirect: Option<bool>,
    /// All other properties, by their ARM name (`insights`, `transportSecurity`, `location`, `tags`), as JSON text.
    pub kept: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    Basic,
    Standard,
    Premium,
}

/// What becomes of a flow that threat intelligence or an IDPS signature knows. The later is the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ThreatMode {
    Off,
    /// It is logged and goes on to the rules.
    Alert,
    /// It is logged and denied, whatever the rules say.
    Deny,
}

/// `threatIntelMode` and `threatIntelWhitelist`
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ThreatIntelSettings {
    pub mode: Option<ThreatMode>,
    pub allowed_fqdns: Vec<FqdnPattern>,
    pub allowed_addresses: AddressSet,
}

/// `dnsSettings`
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct DnsSettings {
    pub servers: Vec<IpAddr>,
    pub proxy: Option<bool>,
    pub require_proxy_for_network_rules: Option<bool>,
}

/// `snat`
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SnatSettings {
    /// Destinations that see the client's own address. An empty list is an answer.
    pub private_ranges: Option<Vec<AddressRange>>,
    pub auto_learn: Option<bool>,
}

/// `explicitProxy`
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ExplicitProxySettings {
    pub enabled: Option<bool>,
    pub http_port: Option<u16>,
    pub https_port: Option<u16>,
    pub pac_enabled: Option<bool>,
    pub pac_port: Option<u16>,
    /// A URL with a signature in it.
    pub pac_file: Option<String>,
}

impl Tier {
    pub const ALL: [Tier; 3] = [Tier::Basic, Tier::Standard, Tier::Premium];

    /// As Azure writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Basic => "Basic",
            Tier::Standard => "Standard",
            Tier::Premium => "Premium",
        }
    }
}

impl ThreatMode {
    pub const ALL: [ThreatMode; 3] = [ThreatMode::Off, ThreatMode::Alert, ThreatMode::Deny];

    /// As Azure writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            ThreatMode::Off => "Off",
            ThreatMode::Alert => "Alert",
            ThreatMode::Deny => "Deny",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ThreatMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
