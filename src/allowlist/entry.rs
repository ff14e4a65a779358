//! `host:port`, as the documents write what an App Service Environment needs.

use std::net::IpAddr;
use std::str::FromStr;

use crate::flow::Protocol;
use crate::policy::{AppProtocol, FqdnPattern, PatternError};

/// A host and a port from a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub host: EndpointHost,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndpointHost {
    /// `*:123`: any destination.
    Any,
    Addr(IpAddr),
    Name(FqdnPattern),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("`{0}` is not host:port")]
    NoPort(String),
    #[error(transparent)]
    Host(#[from] PatternError),
}

impl FromStr for Endpoint {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Endpoint, EntryError> {
        let bad = || EntryError::NoPort(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().map_err(|_| bad())?;
        Ok(Endpoint { host: parse_host(host)?, port })
    }
}

/// A `*` that is not left-most is no pattern of Azure's, though its documents print it: a glob says it exactly.
pub(super) fn parse_host(text: &str) -> Result<EndpointHost, PatternError> {
    if text == "*" {
        return Ok(EndpointHost::Any);
    }
    if let Ok(addr) = text.parse() {
        return Ok(EndpointHost::Addr(addr));
    }
    let inner_star = text.get(1..).is_some_and(|rest| rest.contains('*'));
    let pattern = if inner_star { FqdnPattern::parse(&format!("glob:{text}")) } else { FqdnPattern::parse_azure(text) };
    Ok(EndpointHost::Name(pattern?))
}

impl Endpoint {
    /// Port 80 is HTTP and 443 HTTPS: the documents' tables of HTTP/HTTPS names hold no other.
    pub fn app_protocol(&self) -> AppProtocol {
        let protocol = if self.port == 80 { Protocol::Http } else { Protocol::Https };
        AppProtocol { protocol, port: self.port }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allowlist::lists;

    #[test]
    fn endpoints() {
        let host = |text: &str| text.parse::<Endpoint>().unwrap().host;
        assert_eq!(host("*:123"), EndpointHost::Any);
        assert_eq!(host("40.77.24.27:443"), EndpointHost::Addr("40.77.24.27".parse().unwrap()));
        let shown = |text: &str| match host(text) {
            EndpointHost::Name(pattern) => pattern.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(shown("login.windows.net:443"), "login.windows.net");
        assert_eq!(shown("*.update.microsoft.com:443"), "*.update.microsoft.com");
        assert_eq!(shown("*ctldl.windowsupdate.com:443"), "*ctldl.windowsupdate.com");
        assert_eq!(shown("gr-Prod-*.cloudapp.net:443"), "glob:gr-prod-*.cloudapp.net");
        assert_eq!(shown("*a*.test:443"), "glob:*a*.test");
        for bad in ["login.windows.net", "login.windows.net:", "login.windows.net:65536", ":443", "a b.test:443"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_listed_with_ports_80_and_443_only() {
        let mut names = 0;
        for (text, endpoint) in lists().iter().flat_map(|list| list.endpoints()) {
            if let EndpointHost::Name(_) = endpoint.host {
                names += 1;
                assert!(matches!(endpoint.port, 80 | 443), "{text}");
            }
        }
        assert!(names > 300, "{names}");
    }
}
