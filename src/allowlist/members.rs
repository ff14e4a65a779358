//! Members of an FQDN tag or a web category, as users list them: one a line.

use std::str::FromStr;

use crate::flow::Protocol;
use crate::policy::{AppProtocol, FqdnPattern, PatternError};

use super::entry::{EndpointHost, parse_host};

/// `name`, `name:443`, `https://name` or `http://name:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub pattern: FqdnPattern,
    /// None where it is said by what protocol neither by a port nor by a scheme.
    pub protocol: Option<AppProtocol>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    #[error("`{0}` is an address: tags and categories have names")]
    Address(String),
    #[error("`{0}`: `*` is every name there is")]
    Everything(String),
    #[error("`{0}` has no port from 1 to 65535 behind its colon")]
    Port(String),
    #[error("`{0}`: a member has no path")]
    Path(String),
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// As in `allow = ["contoso.com"]`.
pub(super) const USUAL: [AppProtocol; 2] =
    [AppProtocol { protocol: Protocol::Http, port: 80 }, AppProtocol { protocol: Protocol::Https, port: 443 }];

const SCHEMES: [(&str, AppProtocol); 3] = [
    ("http://", USUAL[0]),
    ("https://", USUAL[1]),
    ("mssql://", AppProtocol { protocol: Protocol::Mssql, port: 1433 }),
];

impl FromStr for Member {
    type Err = MemberError;

    fn from_str(text: &str) -> Result<Member, MemberError> {
        let scheme = SCHEMES.iter().find_map(|(scheme, usual)| Some((text.strip_prefix(scheme)?, *usual)));
        let rest = scheme.map_or(text, |(rest, _)| rest);
        if rest.contains('/') {
            return Err(MemberError::Path(text.to_owned()));
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, digits)) => {
                let port = digits.parse().ok().filter(|port| *port != 0);
                (host, Some(port.ok_or_else(|| MemberError::Port(text.to_owned()))?))
            }
            None => (rest, None),
        };
        let pattern = match parse_host(host)? {
            EndpointHost::Name(pattern) => pattern,
            EndpointHost::Any => return Err(MemberError::Everything(text.to_owned())),
            EndpointHost::Addr(_) => return Err(MemberError::Address(text.to_owned())),
        };
        let protocol = match (scheme, port) {
            (Some((_, usual)), port) => Some(AppProtocol { port: port.unwrap_or(usual.port), ..usual }),
            (None, Some(80)) => Some(USUAL[0]),
            (None, Some(port)) => Some(AppProtocol { port, ..USUAL[1] }),
            (None, None) => None,
        };
        Ok(Member { pattern, protocol })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members() {
        let check = |text: &str, expected: &str| {
            let shown = match text.parse::<Member>() {
                Ok(Member { pattern, protocol: Some(protocol) }) => format!("{pattern} {protocol}"),
                Ok(Member { pattern, protocol: None }) => pattern.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(shown, expected, "{text}");
        };
        check("a.test", "a.test");
        check("*.a.test", "*.a.test");
        check("a.test:443", "a.test https:443");
        check("a.test:80", "a.test http:80");
        check("a.test:8443", "a.test https:8443");
        check("http://a.test", "a.test http:80");
        check("http://a.test:8080", "a.test http:8080");
        check("mssql://a.test", "a.test mssql:1433");
        check("gr-*.a.test", "glob:gr-*.a.test");
        check("*", "`*`: `*` is every name there is");
        check("192.0.2.7", "`192.0.2.7` is an address: tags and categories have names");
        check("a.test:0", "`a.test:0` has no port from 1 to 65535 behind its colon");
        check("https://a.test/x", "`https://a.test/x`: a member has no path");
        assert!("a b".parse::<Member>().is_err() && "".parse::<Member>().is_err());
    }
}
