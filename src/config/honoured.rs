//! What policies say about the firewall itself, as far as Egret does it: name servers, the ports of the explicit
//! proxy, the DNS proxy of a gateway, the destinations that see the client's own address.
//!
//! Flags and egret.toml come before it. A child's DNS settings are its own: whether it inherits its parent's is
//! documented both ways (azure-docs, dns-settings.md; firewall known issues, 2025).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::policy::{AddressRange, ExplicitProxySettings, PolicyRules, PolicySettings};
use crate::vnet::HOST;

/// None is what no policy speaks of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Honoured {
    pub listen: Option<Vec<SocketAddr>>,
    pub dns_servers: Option<Vec<SocketAddr>>,
    pub dns_proxy: bool,
    pub private_ranges: Option<Vec<AddressRange>>,
}

impl Honoured {
    /// Of several policies the first that says something is heard; a parent only where its children are silent about
    /// what they inherit.
    pub(super) fn of(policies: &[PolicyRules]) -> Honoured {
        let (parents, children): (Vec<_>, Vec<_>) = policies.iter().partition(|policy| is_parent(policy, policies));
        let settings = || children.iter().map(|policy| &policy.settings);
        let inherited = || settings().chain(parents.iter().rev().map(|policy| &policy.settings));
        Honoured {
            listen: inherited().find_map(|settings| ports(&settings.explicit_proxy)),
            dns_servers: settings().find_map(name_servers),
            dns_proxy: settings().find_map(|settings| settings.dns.proxy).unwrap_or(false),
            private_ranges: inherited().find_map(|settings| settings.snat.private_ranges.clone()),
        }
    }
}

fn is_parent(policy: &PolicyRules, policies: &[PolicyRules]) -> bool {
    let bases = policies.iter().filter_map(|other| other.settings.base_policy.as_deref());
    let mut names = bases.filter_map(|base| base.rsplit('/').next());
    !policy.name.is_empty() && names.any(|name| name.eq_ignore_ascii_case(&policy.name))
}

/// One port may carry both; so may two here.
fn ports(settings: &ExplicitProxySettings) -> Option<Vec<SocketAddr>> {
    if settings.enabled != Some(true) {
        return None;
    }
    let mut ports: Vec<u16> = [settings.http_port, settings.https_port].into_iter().flatten().collect();
    ports.retain(|port| *port > 0);
    ports.dedup();
    let listen = ports.into_iter().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    Some(listen.collect()).filter(|listen: &Vec<_>| !listen.is_empty())
}

/// Azure's own alone is no answer of its own.
fn name_servers(settings: &PolicySettings) -> Option<Vec<SocketAddr>> {
    let servers = settings.dns.servers.iter().filter(|server| **server != HOST);
    let servers: Vec<SocketAddr> = servers.map(|server| SocketAddr::new(*server, 53)).collect();
    Some(servers).filter(|servers| !servers.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, base: Option<&str>, settings: PolicySettings) -> PolicyRules {
        let settings = PolicySettings { base_policy: base.map(str::to_owned), ..settings };
        PolicyRules { name: name.to_owned(), settings, ..PolicyRules::default() }
    }

    fn dns(servers: &[&str]) -> PolicySettings {
        let mut settings = PolicySettings::default();
        settings.dns.servers = servers.iter().map(|server| server.parse().unwrap()).collect();
        settings
    }

    fn proxy(enabled: bool, http_port: u16, https_port: u16) -> PolicySettings {
        let explicit_proxy = ExplicitProxySettings {
            enabled: Some(enabled),
            http_port: Some(http_port),
            https_port: Some(https_port),
            ..ExplicitProxySettings::default()
        };
        PolicySettings { explicit_proxy, ..PolicySettings::default() }
    }

    #[test]
    fn name_servers_are_the_childs_own() {
        let servers = |policies: &[PolicyRules]| {
            let servers = Honoured::of(policies).dns_servers.unwrap_or_default();
            servers.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(servers(&[policy("a", None, dns(&["10.0.0.4", "168.63.129.16"]))]), ["10.0.0.4:53"]);
        assert!(servers(&[policy("a", None, dns(&["168.63.129.16"]))]).is_empty());
        let parent = policy("Base", None, dns(&["10.0.0.4"]));
        let base = Some("/subscriptions/x/firewallPolicies/base");
        assert!(servers(&[parent.clone(), policy("c", base, dns(&[]))]).is_empty());
        assert_eq!(servers(&[parent, policy("c", base, dns(&["10.0.0.5"]))]), ["10.0.0.5:53"]);
    }

    #[test]
    fn ports_of_the_explicit_proxy() {
        let listen = |settings| {
            let listen = Honoured::of(&[policy("a", None, settings)]).listen.unwrap_or_default();
            listen.iter().map(SocketAddr::port).collect::<Vec<_>>()
        };
        assert_eq!(listen(proxy(true, 8080, 8443)), [8080, 8443]);
        assert_eq!(listen(proxy(true, 8080, 8080)), [8080]);
        assert!(listen(proxy(true, 0, 0)).is_empty() && listen(proxy(false, 8080, 8443)).is_empty());
    }
}
