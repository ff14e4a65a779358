//! The vocabulary of a flow: who asks, for what, in which protocol, and why the answer is what it is.
//!
//! Everything here is plain data with no I/O and no clock. Names, addresses and ports are normalised by
//! their constructors, so the rest of the program compares bytes.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unreachable))]

mod addr;
mod name;
mod nearest;
mod port;
mod reason;

pub use addr::{AddrClass, embedded_ipv4};
pub(crate) use name::MAX_NAME;
pub use name::{HostName, NameError};
pub(crate) use nearest::nearest;
pub(crate) use port::parse_port;
pub use port::{PortError, PortRange, PortSet};
pub use reason::{Reason, Verdict};

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The address that a client connected from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddr(SocketAddr);

impl ClientAddr {
    /// IPv4-mapped IPv6 addresses become IPv4 here and nowhere else.
    pub fn new(addr: SocketAddr) -> Self {
        ClientAddr(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
    }

    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }

    pub fn port(self) -> u16 {
        self.0.port()
    }

    pub fn addr(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The protocol of a flow, as rules name it.
///
/// `Http`, `Https` and `Mssql` are carried by TCP: network rules see them as TCP, application rules by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Http,
    Https,
    Mssql,
    Tcp,
    Udp,
    Icmp,
    /// Any other IP protocol, such as GRE.
    Other,
}

impl Protocol {
    /// What is spoken on a port of TCP to a host, as far as the port tells.
    pub fn usual(port: u16) -> Protocol {
        match port {
            80 => Protocol::Http,
            443 => Protocol::Https,
            1433 => Protocol::Mssql,
            _ => Protocol::Tcp,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Mssql => "mssql",
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Icmp => "icmp",
            Protocol::Other => "ip",
        }
    }

    /// Azure's spelling, as in logs and rules.
    pub fn azure_name(self) -> &'static str {
        match self {
            Protocol::Http => "HTTP",
            Protocol::Https => "HTTPS",
            Protocol::Mssql => "MSSQL",
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Icmp => "ICMP",
            Protocol::Other => "IP",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a flow wants to go, as the client said it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    Name(HostName),
    Addr(IpAddr),
}

impl Host {
    /// Reads a host as it stands in a URL, a `CONNECT` line or a Host header: a name, an IPv4 address,
    /// or an IPv6 address in brackets. A zone id (`%25eth0`) is refused.
    ///
    /// ```
    /// use egret::flow::Host;
    /// assert_eq!(Host::parse("LOGIN.windows.net.").unwrap().to_string(), "login.windows.net");
    /// assert_eq!(Host::parse("[::1]").unwrap().to_string(), "::1");
    /// assert!(Host::parse("a..b").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Host, NameError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(NameError::Brackets)?;
            if inner.contains('%') {
                return Err(NameError::ZoneId);
            }
            let addr = inner.parse().map_err(|_| NameError::Brackets)?;
            return Ok(Host::Addr(IpAddr::V6(addr)));
        }
        if may_be_addr(text)
            && let Ok(addr) = text.parse::<IpAddr>()
        {
            return Ok(Host::Addr(addr));
        }
        Ok(Host::Name(HostName::parse(text)?))
    }
}

/// An IPv4 address begins with a digit, and there is a colon in any IPv6 address.
fn may_be_addr(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) || text.contains(':')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => name.fmt(f),
            Host::Addr(addr) => addr.fmt(f),
        }
    }
}

/// A host and a port, as `CONNECT` and SOCKS5 carry them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    pub host: Host,
    pub port: u16,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Addr(IpAddr::V6(addr)) => write!(f, "[{addr}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

impl Authority {
    /// Splits `host:port` or `[v6]:port`; without a port, `default_port` is taken.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Authority, NameError> {
        let colon_in_brackets = text.rfind(']').unwrap_or(0);
        let (host, port) = match text.rfind(':').filter(|at| *at >= colon_in_brackets) {
            Some(at) => {
                let (host, port) = text.split_at(at);
                (host, port.strip_prefix(':'))
            }
            None => (text, None),
        };
        let port = match port {
            Some(digits) => parse_port(digits).ok_or(NameError::Port)?,
            None => default_port.ok_or(NameError::Port)?,
        };
        if host.contains(':') && !host.starts_with('[') {
            return Err(NameError::Brackets);
        }
        Ok(Authority { host: Host::parse(host)?, port })
    }
}

/// Through which door a flow came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    Http,
    Connect,
    Socks5,
    /// The client asked for no proxy: the kernel handed its connection over.
    Gateway,
    /// The DNS proxy.
    Dns,
}

impl Via {
    pub fn as_str(self) -> &'static str {
        match self {
            Via::Http => "http",
            Via::Connect => "connect",
            Via::Socks5 => "socks5",
            Via::Gateway => "gateway",
            Via::Dns => "dns",
        }
    }
}

/// Whose manners Egret shows: Azure Firewall's, or the safe ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Profile {
    #[default]
    Azure,
    Strict,
}

impl Profile {
    pub fn as_str(self) -> &'static str {
        match self {
            Profile::Azure => "azure",
            Profile::Strict => "strict",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        let shown = |text: &str| Authority::parse(text, None).map(|a| a.to_string());
        assert_eq!(shown("OK.test:443").unwrap(), "ok.test:443");
        assert_eq!(shown("[::1]:80").unwrap(), "[::1]:80");
        assert_eq!(shown("10.0.0.1:65535").unwrap(), "10.0.0.1:65535");
        for bad in
            ["ok.test", "ok.test:", "ok.test:0", "ok.test:65536", "ok.test:+80", "::1:80", "[::1", "[::1%25eth0]:80"]
        {
            assert!(shown(bad).is_err(), "{bad}");
        }
        assert_eq!(Authority::parse("ok.test", Some(80)).unwrap().port, 80);
    }
}
