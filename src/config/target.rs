//! Targets as people type them: `--allow` and `--deny` shorthand, and what `egret check` is asked about.

use std::net::IpAddr;

use crate::flow::{Authority, Host, HostName, NameError, PortError, PortRange, Protocol};
use crate::policy::{
    AddressError, AddressSet, AppProtocol, ApplicationRule, FqdnPattern, IpProtocols, NetworkRule, PatternError,
};

use super::error::shortened;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("`{text}` names no port: write {to}:443 or, for any port, {to}:*", to = bracketed(.text))]
    PortMissing { text: String },
    #[error("`{text}`: `{scheme}` is no scheme of a target: http, https, mssql, tcp, udp or icmp")]
    Scheme { text: String, scheme: String },
    #[error("`{text}`: a target of a rule holds no path; a target URL of an application rule does")]
    Path { text: String },
    #[error("`{text}`: {what}")]
    Part { text: String, what: String },
}

/// An IPv6 address wants brackets before a port follows.
fn bracketed(text: &str) -> String {
    let (scheme, to) = text.split_once("://").map_or((None, text), |(scheme, to)| (Some(scheme), to));
    let to = if to.contains(':') && !to.starts_with('[') { format!("[{to}]") } else { to.to_owned() };
    scheme.map_or(to.clone(), |scheme| format!("{scheme}://{to}"))
}

/// A rule made from one shorthand target. Its name is the text as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetRule {
    Application(ApplicationRule),
    Network(NetworkRule),
}

impl TargetRule {
    /// Reads a target of `--allow` or `--deny`.
    ///
    /// | target | rule |
    /// |---|---|
    /// | `https://host[:port]`, `http://…`, `mssql://…` | application rule of this protocol |
    /// | `tcp://to:ports`, `udp://to:ports`, `icmp://to` | network rule; `to` is an address, CIDR, range, name or `*` |
    /// | `host` | application rule, Http:80 and Https:443 |
    /// | `host:80`, `host:443`, `host:1433` | application rule of the port's own protocol |
    /// | `host:port` | application rule, Http and Https on this port |
    /// | `address:ports`, `cidr:ports` | network rule, TCP |
    pub fn parse(text: &str) -> Result<TargetRule, TargetError> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            return bare(text);
        };
        let lower = scheme.to_ascii_lowercase();
        if let Some(protocol) = app_protocol(&lower) {
            return with_protocol(text, rest, protocol);
        }
        match lower.as_str() {
            "tcp" => network(text, rest, IpProtocols::TCP),
            "udp" => network(text, rest, IpProtocols::UDP),
            "icmp" => icmp(text, rest),
            _ => Err(no_scheme(text, scheme)),
        }
    }
}

fn app_protocol(scheme: &str) -> Option<Protocol> {
    match scheme {
        "http" => Some(Protocol::Http),
        "https" => Some(Protocol::Https),
        "mssql" => Some(Protocol::Mssql),
        _ => None,
    }
}

fn default_port(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Http => 80,
        Protocol::Mssql => 1433,
        _ => 443,
    }
}

fn with_protocol(text: &str, rest: &str, protocol: Protocol) -> Result<TargetRule, TargetError> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = split_port(rest);
    let port = port.map_or(Ok(default_port(protocol)), |port| single_port(text, port))?;
    application(text, host, vec![AppProtocol { protocol, port }])
}

fn bare(text: &str) -> Result<TargetRule, TargetError> {
    let (to, port) = split_port(text);
    if to == "*" || !is_address(to) {
        let protocols = port.map_or(Ok(vec![HTTP, HTTPS]), |port| protocols_of_port(text, port))?;
        return application(text, to, protocols);
    }
    network(text, text, IpProtocols::TCP)
}

const HTTP: AppProtocol = AppProtocol { protocol: Protocol::Http, port: 80 };
const HTTPS: AppProtocol = AppProtocol { protocol: Protocol::Https, port: 443 };

fn protocols_of_port(text: &str, port: &str) -> Result<Vec<AppProtocol>, TargetError> {
    Ok(match single_port(text, port)? {
        80 => vec![HTTP],
        443 => vec![HTTPS],
        1433 => vec![AppProtocol { protocol: Protocol::Mssql, port: 1433 }],
        port => [Protocol::Http, Protocol::Https].map(|protocol| AppProtocol { protocol, port }).to_vec(),
    })
}

fn application(text: &str, host: &str, protocols: Vec<AppProtocol>) -> Result<TargetRule, TargetError> {
    if host.contains('/') && !host.starts_with("glob:") {
        return Err(TargetError::Path { text: shown(text) });
    }
    if is_address(host) && host != "*" {
        return Err(part(text, "an application rule wants a name; for an address write tcp://".to_owned()));
    }
    let pattern = FqdnPattern::parse(host).map_err(|error| pattern_part(text, error))?;
    Ok(TargetRule::Application(ApplicationRule {
        name: text.to_owned(),
        sources: AddressSet::any(),
        protocols,
        fqdns: vec![pattern],
        ..ApplicationRule::default()
    }))
}

fn network(text: &str, rest: &str, protocols: IpProtocols) -> Result<TargetRule, TargetError> {
    let inside = prefix_inside(rest);
    let (to, ports) = split_port(inside.as_deref().unwrap_or(rest));
    let ports = ports.ok_or_else(|| TargetError::PortMissing { text: shown(text) })?;
    let ports =
        ports.parse().map_err(|error: PortError| part(text, shortened(&error.to_string(), 2 * SHOWN).into_owned()))?;
    network_rule(text, to, protocols, ports)
}

/// `[2001:db8::]/32:443`, as some write it, is `[2001:db8::/32]:443`.
fn prefix_inside(rest: &str) -> Option<String> {
    let (addr, after) = rest.strip_prefix('[')?.split_once("]/")?;
    let (length, ports) = after.split_once(':')?;
    Some(format!("[{addr}/{length}]:{ports}"))
}

fn icmp(text: &str, rest: &str) -> Result<TargetRule, TargetError> {
    network_rule(text, unbracket(rest), IpProtocols::ICMP, PortRange::ANY)
}

fn network_rule(text: &str, to: &str, protocols: IpProtocols, ports: PortRange) -> Result<TargetRule, TargetError> {
    let mut destinations = AddressSet::default();
    let mut fqdns = Vec::new();
    if is_address(to) {
        destinations
            .insert_text(to)
            .map_err(|error: AddressError| part(text, shortened(&error.to_string(), 2 * SHOWN).into_owned()))?;
    } else {
        fqdns.push(HostName::parse_typed(to).map_err(|error| host_part(text, to, error))?);
    }
    Ok(TargetRule::Network(NetworkRule {
        name: text.to_owned(),
        sources: AddressSet::any(),
        protocols,
        destinations,
        fqdns,
        ports: [ports].into_iter().collect(),
        ..NetworkRule::default()
    }))
}

/// True for what is meant as an address, well-formed or not: no name has a colon or is digits all through.
fn is_address(text: &str) -> bool {
    let numeric = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b".-/".contains(&b));
    text == "*" || (text.contains(':') && !text.starts_with("glob:")) || (numeric(text) && text.contains('.'))
}

/// Splits off what stands after the last colon, but for the colons of an IPv6 address; brackets go.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some((inner, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return (inner, rest.strip_prefix(':'));
    }
    let (prefix, body) = text.strip_prefix("glob:").map_or(("", text), |body| ("glob:", body));
    match body.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (&text[..prefix.len() + host.len()], Some(port)),
        _ => (text, None),
    }
}

fn unbracket(text: &str) -> &str {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)
}

fn single_port(text: &str, port: &str) -> Result<u16, TargetError> {
    match port.parse::<PortRange>() {
        Ok(range) if range.first() == range.last() => Ok(range.first()),
        Ok(_) => Err(part(text, format!("an application rule names one port, not `{}`", shown(port)))),
        Err(error) => Err(part(text, shortened(&error.to_string(), 2 * SHOWN).into_owned())),
    }
}

fn no_scheme(text: &str, scheme: &str) -> TargetError {
    TargetError::Scheme { text: shown(text), scheme: shown(scheme) }
}

fn part(text: &str, what: String) -> TargetError {
    TargetError::Part { text: shown(text), what }
}

/// Bytes of what was typed that an error repeats.
const SHOWN: usize = 200;

fn shown(text: &str) -> String {
    shortened(text, SHOWN).into_owned()
}

fn pattern_part(text: &str, error: PatternError) -> TargetError {
    part(text, shortened(&error.to_string(), 2 * SHOWN).into_owned())
}

fn host_part(text: &str, host: &str, error: NameError) -> TargetError {
    part(text, format!("`{}` is no host: {error}", shown(host)))
}

/// One flow that `egret check` asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckTarget {
    /// As it was given.
    pub text: String,
    pub protocol: Protocol,
    pub host: Host,
    /// 0 for ICMP and other protocols without ports.
    pub port: u16,
    /// Path and query, from the first slash on.
    pub path: Option<String>,
}

impl CheckTarget {
    /// Reads `https://host[:port][/path]`, `http://…`, `mssql://host[:port]`, `tcp://host:port`,
    /// `udp://host:port`, `icmp://host`, `ip://host` (any other IP protocol), `host:port` or a bare host, which is
    /// asked for by HTTPS.
    ///
    /// ```
    /// use egret::config::CheckTarget;
    /// let target = CheckTarget::parse("http://contoso.com:8080/a?b").unwrap();
    /// assert_eq!((target.port, target.path.as_deref()), (8080, Some("/a?b")));
    /// ```
    pub fn parse(text: &str) -> Result<CheckTarget, TargetError> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            return check_bare(text);
        };
        let lower = scheme.to_ascii_lowercase();
        match lower.as_str() {
            "tcp" => check_plain(text, rest, Protocol::Tcp, None),
            "udp" => check_plain(text, rest, Protocol::Udp, None),
            "mssql" => check_plain(text, rest, Protocol::Mssql, Some(1433)),
            "icmp" => check_portless(text, rest, Protocol::Icmp),
            "ip" => check_portless(text, rest, Protocol::Other),
            _ => match app_protocol(&lower) {
                Some(protocol) => check_url(text, rest, protocol),
                None => Err(no_scheme(text, scheme)),
            },
        }
    }
}

fn check_bare(text: &str) -> Result<CheckTarget, TargetError> {
    let (authority, path) = split_path(text);
    let Authority { host, port } = authority_of(text, authority, Some(443))?;
    let (_, named) = split_port(authority);
    let protocol = match (&host, port) {
        (_, 80) => Protocol::Http,
        (_, 1433) => Protocol::Mssql,
        (Host::Addr(_), _) if named.is_some() => Protocol::Tcp,
        _ => Protocol::Https,
    };
    Ok(CheckTarget { text: text.to_owned(), protocol, host, port, path })
}

fn check_url(text: &str, rest: &str, protocol: Protocol) -> Result<CheckTarget, TargetError> {
    let (authority, path) = split_path(rest);
    if authority.contains('@') {
        return Err(part(text, "credentials are no part of a target".to_owned()));
    }
    // RFC 3986, 3.2.3: an empty port is the scheme's own.
    let authority = authority.strip_suffix(':').filter(|host| !host.is_empty()).unwrap_or(authority);
    let Authority { host, port } = authority_of(text, authority, Some(default_port(protocol)))?;
    Ok(CheckTarget { text: text.to_owned(), protocol, host, port, path })
}

fn check_plain(
    text: &str,
    rest: &str,
    protocol: Protocol,
    default_port: Option<u16>,
) -> Result<CheckTarget, TargetError> {
    let Authority { host, port } = authority_of(text, rest, default_port)?;
    Ok(CheckTarget { text: text.to_owned(), protocol, host, port, path: None })
}

fn check_portless(text: &str, rest: &str, protocol: Protocol) -> Result<CheckTarget, TargetError> {
    let host = match unbracket(rest).parse::<IpAddr>() {
        Ok(addr) => Host::Addr(addr),
        Err(_) => Host::Name(HostName::parse_typed(rest).map_err(|error| host_part(text, rest, error))?),
    };
    Ok(CheckTarget { text: text.to_owned(), protocol, host, port: 0, path: None })
}

fn split_path(rest: &str) -> (&str, Option<String>) {
    match rest.find(['/', '?', '#']) {
        Some(at) if rest[at..].starts_with('/') => (&rest[..at], Some(without_fragment(&rest[at..]))),
        Some(at) => (&rest[..at], Some(format!("/{}", without_fragment(&rest[at..])))),
        None => (rest, None),
    }
}

/// A fragment never leaves the client.
fn without_fragment(path: &str) -> String {
    path.split('#').next().unwrap_or(path).to_owned()
}

fn authority_of(text: &str, authority: &str, default_port: Option<u16>) -> Result<Authority, TargetError> {
    // Typed names may be Unicode; the port stays where it is.
    let (host, port) = split_port(authority);
    if host.is_ascii() {
        return Authority::parse(authority, default_port).map_err(|error| match error {
            NameError::Port if port.is_none() => part(text, "expected a port, as in host:443".to_owned()),
            NameError::Port => part(text, "expected a port from 1 to 65535".to_owned()),
            error => host_part(text, host, error),
        });
    }
    let name = HostName::parse_typed(host).map_err(|error| host_part(text, host, error))?;
    let port = port.map(|port| single_port(text, port)).transpose()?.or(default_port);
    let port = port.ok_or_else(|| part(text, "expected a port, as in host:443".to_owned()))?;
    Ok(Authority { host: Host::Name(name), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `app PROTOCOLS PATTERN` or `net PROTOCOLS DESTINATIONS PORTS`.
    fn shown(rule: TargetRule) -> String {
        let list = |items: Vec<String>| items.join(",");
        match rule {
            TargetRule::Application(rule) => {
                let protocols = list(rule.protocols.iter().map(ToString::to_string).collect());
                format!("app {protocols} {}", list(rule.fqdns.iter().map(ToString::to_string).collect()))
            }
            TargetRule::Network(rule) => {
                let names = list(rule.fqdns.iter().map(ToString::to_string).collect());
                format!("net {} {}{names} {}", rule.protocols, rule.destinations, rule.ports)
            }
        }
    }

    fn rule(text: &str, expected: &str) {
        assert_eq!(TargetRule::parse(text).map(shown).unwrap_or_else(|error| error.to_string()), expected, "{text}");
    }

    #[test]
    fn shorthand() {
        rule("https://contoso.com", "app https:443 contoso.com");
        rule("https://contoso.com/", "app https:443 contoso.com");
        rule("https://*.contoso.com:8443", "app https:8443 *.contoso.com");
        rule("http://contoso.com", "app http:80 contoso.com");
        rule("mssql://db.database.windows.net", "app mssql:1433 db.database.windows.net");
        rule("contoso.com", "app http:80,https:443 contoso.com");
        rule("*", "app http:80,https:443 *");
        rule("*:443", "app https:443 *");
        rule("*.contoso.com:443", "app https:443 *.contoso.com");
        rule("contoso.com:80", "app http:80 contoso.com");
        rule("contoso.com:1433", "app mssql:1433 contoso.com");
        rule("contoso.com:8080", "app http:8080,https:8080 contoso.com");
        rule("Bücher.example:443", "app https:443 xn--bcher-kva.example");
        rule("glob:gr-*.cloudapp.net:443", "app https:443 glob:gr-*.cloudapp.net");
        rule("glob:gr-*.cloudapp.net", "app http:80,https:443 glob:gr-*.cloudapp.net");
        rule("10.1.0.0/16:1433", "net TCP 10.1.0.0/16 1433");
        rule("10.1.0.4:80-90", "net TCP 10.1.0.4 80-90");
        rule("10.1.0.0-10.1.0.9:*", "net TCP 10.1.0.0-10.1.0.9 *");
        rule("[2001:db8::1]:443", "net TCP 2001:db8::1 443");
        rule("[2001:db8::/32]:443", "net TCP 2001:db8::/32 443");
        rule("tcp://10.0.0.4:22", "net TCP 10.0.0.4 22");
        rule("tcp://*:22", "net TCP * 22");
        rule("tcp://contoso.com:9000-9010", "net TCP contoso.com 9000-9010");
        rule("udp://10.0.0.4:123", "net UDP 10.0.0.4 123");
        rule("3-way.contoso.com:443", "app https:443 3-way.contoso.com");
        rule("icmp://10.0.0.4", "net ICMP 10.0.0.4 *");
        rule("HTTPS://contoso.com", "app https:443 contoso.com");
        rule("Tcp://10.0.0.4:22", "net TCP 10.0.0.4 22");
        rule("[2001:db8::]/32:443", "net TCP 2001:db8::/32 443");
        rule("udp://[2001:db8::]/32:53", "net UDP 2001:db8::/32 53");
    }

    #[test]
    fn what_is_no_shorthand() {
        let address = "is no address: write 10.0.0.4, 10.1.0.0/16, 10.2.0.0-10.2.0.31 or *";
        rule("10.1.0.0/16", "`10.1.0.0/16` names no port: write 10.1.0.0/16:443 or, for any port, 10.1.0.0/16:*");
        rule("10.0.0.0/35:1", "`10.0.0.0/35:1`: `10.0.0.0/35` has a prefix that is too long: at most /32");
        rule("10.0.0.256:80", &format!("`10.0.0.256:80`: `10.0.0.256` {address}"));
        rule("2001:db8::1", "`2001:db8::1` names no port: write [2001:db8::1]:443 or, for any port, [2001:db8::1]:*");
        rule("", "``: `` is no host name: the name is empty");
        rule("ftp://a.test", "`ftp://a.test`: `ftp` is no scheme of a target: http, https, mssql, tcp, udp or icmp");
        rule(
            "https://a.test/x",
            "`https://a.test/x`: a target of a rule holds no path; a target URL of an application rule does",
        );
        rule("tcp://a.test", "`tcp://a.test` names no port: write tcp://a.test:443 or, for any port, tcp://a.test:*");
        rule(
            "a.test:0",
            "`a.test:0`: `0` is no port: ports are 1 to 65535, a range is written 1000-2000, any port is *",
        );
        rule("a.test:1-2", "`a.test:1-2`: an application rule names one port, not `1-2`");
        rule("https://10.0.0.1", "`https://10.0.0.1`: an application rule wants a name; for an address write tcp://");
        rule("tcp://a..b:1", "`tcp://a..b:1`: `a..b` is no host: a label is empty");
    }

    fn check(text: &str, expected: &str) {
        let shown = CheckTarget::parse(text).map(|target| {
            let path = target.path.unwrap_or_default();
            format!("{} {} {} {path}", target.protocol, target.host, target.port).trim_end().to_owned()
        });
        assert_eq!(shown.unwrap_or_else(|error| error.to_string()), expected, "{text}");
    }

    #[test]
    fn errors_repeat_no_book() {
        let long = "a..".repeat(5_000);
        for text in [long.clone(), format!("x{long}://a"), format!("tcp://{long}:1"), format!("a.test:{long}")] {
            for error in [TargetRule::parse(&text).unwrap_err(), CheckTarget::parse(&text).unwrap_err()] {
                assert!(error.to_string().len() < 800, "{error}");
            }
        }
        let error = CheckTarget::parse(&long).unwrap_err().to_string();
        assert!(error.ends_with("is no host: the name is longer than 253 bytes") && error.len() < 500, "{error}");
    }

    #[test]
    fn targets_of_check() {
        check("https://Contoso.com/a?b#c", "https contoso.com 443 /a?b");
        check("https://contoso.com?b", "https contoso.com 443 /?b");
        check("http://contoso.com:8080", "http contoso.com 8080");
        check("tcp://10.0.0.4:22", "tcp 10.0.0.4 22");
        check("udp://ntp.test:123", "udp ntp.test 123");
        check("icmp://10.0.0.4", "icmp 10.0.0.4 0");
        check("icmp://[::1]", "icmp ::1 0");
        check("ip://10.0.0.4", "ip 10.0.0.4 0");
        check("mssql://db.test", "mssql db.test 1433");
        check("contoso.com:80", "http contoso.com 80");
        check("contoso.com:1433", "mssql contoso.com 1433");
        check("contoso.com:8443", "https contoso.com 8443");
        check("10.0.0.4:22", "tcp 10.0.0.4 22");
        check("[::1]:22", "tcp ::1 22");
        check("contoso.com", "https contoso.com 443");
        check("contoso.com/a", "https contoso.com 443 /a");
        check("bücher.example:443", "https xn--bcher-kva.example 443");
        check("HTTPS://CONTOSO.com:8443/A", "https contoso.com 8443 /A");
        check("TCP://10.0.0.4:22", "tcp 10.0.0.4 22");
        check("https://contoso.com:/a", "https contoso.com 443 /a");
        check("http://[::1]:/", "http ::1 80 /");
        check("mssql://db.test:", "`mssql://db.test:`: expected a port from 1 to 65535");
        check("tcp://10.0.0.4", "`tcp://10.0.0.4`: expected a port, as in host:443");
        check("a.test:99999", "`a.test:99999`: expected a port from 1 to 65535");
        check("a..b", "`a..b`: `a..b` is no host: a label is empty");
        check("https://u:p@a.test", "`https://u:p@a.test`: credentials are no part of a target");
        check(
            "gopher://a.test",
            "`gopher://a.test`: `gopher` is no scheme of a target: http, https, mssql, tcp, udp or icmp",
        );
    }
}
