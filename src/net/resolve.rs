//! Names into addresses: the user's own word first, then DNS.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::time::timeout;

use crate::config::{ConnectTo, DnsConfig, ResolveOverride};
use crate::flow::{Authority, Host, HostName};
use crate::policy::Address;

/// Answers kept, a core.
const CACHE_ENTRIES: u64 = 4096;

/// One resolver with its cache, a core.
pub(crate) struct Resolver {
    dns: TokioResolver,
    overrides: Vec<ResolveOverride>,
    connect_to: Vec<ConnectTo>,
    deadline: Duration,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("{name} does not resolve: {why}")]
    Unresolvable { name: HostName, why: String },
    #[error("{name} did not resolve within {after:?}")]
    Timeout { name: HostName, after: Duration },
}

impl Resolver {
    pub(crate) fn new(config: &DnsConfig, deadline: Duration) -> Result<Resolver, String> {
        let DnsConfig { servers, overrides, connect_to, proxy: _, synthetic: _ } = config;
        let builder = match servers {
            Some(servers) => {
                let name_servers = servers.iter().map(|addr| name_server(*addr)).collect();
                TokioResolver::builder_with_config(
                    ResolverConfig::from_parts(None, Vec::new(), name_servers),
                    TokioRuntimeProvider::default(),
                )
            }
            None => TokioResolver::builder_tokio().unwrap_or_else(|_| {
                let none = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
                TokioResolver::builder_with_config(none, TokioRuntimeProvider::default())
            }),
        };
        let mut builder = builder;
        let options = builder.options_mut();
        options.cache_size = CACHE_ENTRIES;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.timeout = deadline.min(options.timeout);
        let dns = builder.build().map_err(|error| error.to_string())?;
        Ok(Resolver { dns, overrides: overrides.clone(), connect_to: connect_to.clone(), deadline })
    }

    /// Where `--connect-to` sends a destination; None where it says nothing of it.
    pub(crate) fn redirected(&self, to: &Authority) -> Option<Authority> {
        let rule = self.connect_to.iter().find(|rule| rule.is_for(to))?;
        Some(Authority {
            host: rule.to_host.clone().unwrap_or_else(|| to.host.clone()),
            port: rule.to_port.unwrap_or(to.port),
        })
    }

    /// The addresses of a destination, each with who says so; never empty.
    pub(crate) async fn resolve(&self, to: &Authority) -> Result<Vec<Address>, ResolveError> {
        let name = match &to.host {
            Host::Addr(addr) => return Ok(vec![Address::Given(addr.to_canonical())]),
            Host::Name(name) => name,
        };
        if let Some(given) = self.overrides.iter().find(|given| given.is_for(name, to.port)) {
            return Ok(given.addresses.iter().map(|addr| Address::Override(addr.to_canonical())).collect());
        }
        let answers = self.look_up(name).await?;
        Ok(answers.into_iter().map(|addr| Address::Given(addr.to_canonical())).collect())
    }

    async fn look_up(&self, name: &HostName) -> Result<Vec<IpAddr>, ResolveError> {
        // The trailing dot keeps the system's search list out: the policy judged this name and no other.
        let absolute = format!("{name}.");
        let Ok(answer) = timeout(self.deadline, self.dns.lookup_ip(absolute)).await else {
            return Err(ResolveError::Timeout { name: name.clone(), after: self.deadline });
        };
        let unresolvable = |why: String| ResolveError::Unresolvable { name: name.clone(), why };
        let addrs: Vec<IpAddr> = answer.map_err(|error| unresolvable(error.to_string()))?.iter().collect();
        if addrs.is_empty() { Err(unresolvable("no address in the answer".to_owned())) } else { Ok(addrs) }
    }
}

impl ConnectTo {
    pub(crate) fn is_for(&self, to: &Authority) -> bool {
        self.from_host.as_ref().is_none_or(|host| *host == to.host) && self.from_port.is_none_or(|port| port == to.port)
    }
}

impl ResolveOverride {
    pub(crate) fn is_for(&self, name: &HostName, port: u16) -> bool {
        self.host.as_ref().is_none_or(|host| host == name) && self.port.is_none_or(|own| own == port)
    }
}

fn name_server(addr: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(addr.ip());
    server.connections.iter_mut().for_each(|connection| connection.port = addr.port());
    server
}
