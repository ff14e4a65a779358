//! Names into addresses, for one core: the user's own word first, then what the thread `egret-dns` says.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

use super::dns::{AskError, Asker, Resolved, Unresolved};
use crate::config::{ConnectTo, DnsConfig, ResolveOverride};
use crate::flow::{Authority, Host, HostName};
use crate::policy::Address;

/// Answers kept, a core. When it is full, it starts anew: all of them are in the cache behind it as well.
const KEPT: usize = 4096;

/// One core's way to addresses.
pub(crate) struct Resolver {
    dns: Asker,
    kept: RefCell<HashMap<HostName, Kept, foldhash::fast::RandomState>>,
    overrides: Vec<ResolveOverride>,
    connect_to: Vec<ConnectTo>,
    deadline: Duration,
}

/// An answer for as long as the cache behind it has the same.
struct Kept {
    addrs: Vec<IpAddr>,
    until: Instant,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("{name} does not resolve: {why}")]
    Unresolvable { name: HostName, why: String },
    #[error("{name} did not resolve within {after:?}")]
    Timeout { name: HostName, after: Duration },
    #[error("{name} was not resolved: what resolves names has ended; please report it if Egret was not stopping")]
    Gone { name: HostName },
}

impl Resolver {
    pub(crate) fn new(config: &DnsConfig, dns: Asker, deadline: Duration) -> Resolver {
        let DnsConfig { overrides, connect_to, servers: _, proxy: _, synthetic: _ } = config;
        let (overrides, connect_to) = (overrides.clone(), connect_to.clone());
        Resolver { dns, kept: RefCell::default(), overrides, connect_to, deadline }
    }

    /// Where `--connect-to` sends a destination; None where it says nothing of it.
    pub(crate) fn redirected(&self, to: &Authority) -> Option<Authority> {
        let rule = self.connect_to.iter().find(|rule| rule.is_for(to))?;
        Some(Authority {
            host: rule.to_host.clone().unwrap_or_else(|| to.host.clone()),
            port: rule.to_port.unwrap_or(to.port),
        })
    }

    /// Has the user said where it is, so that no server is asked?
    pub(crate) fn is_given(&self, to: &Authority) -> bool {
        match &to.host {
            Host::Addr(_) => true,
            Host::Name(name) => self.overrides.iter().any(|given| given.is_for(name, to.port)),
        }
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
        if let Some(addresses) = self.kept(name) {
            return Ok(addresses);
        }
        match self.dns.ask(name, self.deadline).await {
            Ok(Resolved::To { addrs, until }) => Ok(self.keep(name, addrs, until)),
            Ok(Resolved::Failed(Unresolved { why, server: _ })) => {
                Err(ResolveError::Unresolvable { name: name.clone(), why })
            }
            Err(AskError::Timeout) => Err(ResolveError::Timeout { name: name.clone(), after: self.deadline }),
            Err(AskError::Gone) => Err(ResolveError::Gone { name: name.clone() }),
        }
    }

    fn kept(&self, name: &HostName) -> Option<Vec<Address>> {
        let kept = self.kept.borrow();
        let Kept { addrs, until } = kept.get(name)?;
        (Instant::now() < *until).then(|| addrs.iter().copied().map(Address::Given).collect())
    }

    fn keep(&self, name: &HostName, addrs: Vec<IpAddr>, until: Instant) -> Vec<Address> {
        let given = addrs.iter().copied().map(Address::Given).collect();
        if until > Instant::now() {
            let mut kept = self.kept.borrow_mut();
            if kept.len() >= KEPT {
                kept.clear();
            }
            kept.insert(name.clone(), Kept { addrs, until });
        }
        given
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
