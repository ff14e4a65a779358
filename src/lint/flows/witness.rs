//! A flow that shows something, as it can be asked again.

use std::fmt;
use std::net::IpAddr;

use crate::flow::{Authority, Host, HostName, Protocol};
use crate::policy::{Address, Direction, Query};

/// One flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// None where anybody will do.
    pub client: Option<IpAddr>,
    pub protocol: Protocol,
    pub host: Host,
    pub port: u16,
    /// Of a plain HTTP request.
    pub path: Option<String>,
    pub(super) way: Way,
}

/// How the flow comes to the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// As `egret check` asks.
    Checked,
    /// As a proxy's client asks: DNAT rules are passed over.
    Outbound,
    /// By a name that leads to this address.
    Resolved(IpAddr),
    /// The same, by `--resolve`.
    Override(IpAddr),
    /// By an address to which the name of a network rule leads.
    KnownAs(HostName),
}

impl Witness {
    /// Calls `ask` with the flow as a question.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&Query<'_>) -> T) -> T {
        let query =
            Query { path: self.path.as_deref(), ..Query::new(self.client, self.protocol, &self.host, self.port) };
        match &self.way {
            Way::Checked => ask(&query),
            Way::Outbound => ask(&query.outbound()),
            Way::Resolved(addr) => ask(&query.with_address(Address::Given(*addr)).outbound()),
            Way::Override(addr) => ask(&query.with_address(Address::Override(*addr))),
            Way::KnownAs(name) => {
                let resolved = [name.clone()];
                ask(&Query { resolved: &resolved, direction: Direction::Outbound, ..query })
            }
        }
    }

    /// The flow as a target of `egret check`.
    pub fn target(&self) -> String {
        let Witness { protocol, host, port, path, .. } = self;
        match protocol {
            Protocol::Icmp | Protocol::Other => format!("{protocol}://{}", bracketed(host)),
            _ => {
                let path = path.as_deref().filter(|path| *path != "/").unwrap_or_default();
                format!("{protocol}://{}{path}", Authority { host: host.clone(), port: *port })
            }
        }
    }

    /// What follows `egret check` on a command line; None where no such question is this flow.
    pub fn check_arguments(&self) -> Option<String> {
        let from = self.client.map(|client| format!("--from {client} ")).unwrap_or_default();
        let resolve = match &self.way {
            Way::Checked => String::new(),
            Way::Override(addr) => format!("--resolve {}:{} ", self.host, bracketed(&Host::Addr(*addr))),
            Way::Outbound | Way::Resolved(_) | Way::KnownAs(_) => return None,
        };
        Some(format!("{from}{resolve}{}", quoted(&self.target())))
    }
}

/// Paths may hold what a shell reads.
fn quoted(target: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/[]%+,=@".contains(&b);
    if target.bytes().all(plain) { target.to_owned() } else { format!("'{}'", target.replace('\'', r"'\''")) }
}

fn bracketed(host: &Host) -> String {
    match host {
        Host::Addr(IpAddr::V6(addr)) => format!("[{addr}]"),
        host => host.to_string(),
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target())?;
        match &self.way {
            Way::Checked => {}
            Way::Outbound => f.write_str(" by the proxy")?,
            Way::Resolved(addr) | Way::Override(addr) => write!(f, " at {addr}")?,
            Way::KnownAs(name) => write!(f, " to which {name} leads")?,
        }
        self.client.map_or(Ok(()), |client| write!(f, " from {client}"))
    }
}
