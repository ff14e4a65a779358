//! The two ends of a flow as people type them.

use std::net::IpAddr;

use crate::flow::{Protocol, parse_port};

/// One end: a word, a name or an address, with what a URL would say of it. Whether there is such a thing is not asked
/// here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As it was given.
    pub text: String,
    pub scheme: Option<Protocol>,
    /// Without scheme, port and path; empty for a port alone (`:454`).
    pub name: String,
    pub port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("`{text}`: `{scheme}` is no scheme of a flow: https, http, mssql, tcp, udp, icmp or ip")]
    Scheme { text: String, scheme: String },
    #[error("`{0}`: expected a port from 1 to 65535")]
    Port(String),
    #[error("`{0}` names nothing")]
    Empty(String),
    #[error("{0} ends: a flow has two, as in `egret trace ase https://login.windows.net`")]
    Ends(usize),
}

const ARROWS: [&str; 2] = ["->", "→"];

/// Reads `FROM TO`, `FROM '->' TO`, `'FROM -> TO'`, or `TO` alone.
pub fn endpoints(words: &[String]) -> Result<(Option<Target>, Target), TargetError> {
    let split = |word: &String| {
        let word = ARROWS.iter().fold(word.clone(), |word, arrow| word.replace(arrow, "\n"));
        word.split('\n').map(|part| part.trim().to_owned()).collect::<Vec<_>>()
    };
    let ends: Vec<String> = words.iter().flat_map(split).filter(|end| !end.is_empty()).collect();
    match ends.as_slice() {
        [to] => Ok((None, Target::parse(to)?)),
        [from, to] => Ok((Some(Target::parse(from)?), Target::parse(to)?)),
        ends => Err(TargetError::Ends(ends.len())),
    }
}

impl Target {
    pub fn parse(text: &str) -> Result<Target, TargetError> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(protocol(text, scheme)?), until_path(rest)),
            None => (None, text),
        };
        let (name, port) = split_port(rest);
        let port = port.map(|port| parse_port(port).ok_or_else(|| TargetError::Port(text.to_owned()))).transpose()?;
        if name.is_empty() && port.is_none() {
            return Err(TargetError::Empty(text.to_owned()));
        }
        Ok(Target { text: text.to_owned(), scheme, name: name.to_owned(), port })
    }
}

fn protocol(text: &str, scheme: &str) -> Result<Protocol, TargetError> {
    Ok(match scheme.to_ascii_lowercase().as_str() {
        "https" => Protocol::Https,
        "http" => Protocol::Http,
        "mssql" => Protocol::Mssql,
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        "ip" => Protocol::Other,
        _ => return Err(TargetError::Scheme { text: text.to_owned(), scheme: scheme.to_owned() }),
    })
}

fn until_path(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// Splits off the port, but for the colons of an IPv6 address; brackets go.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if text.parse::<IpAddr>().is_ok() {
        return (text, None);
    }
    if let Some((inner, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return (inner, rest.strip_prefix(':'));
    }
    match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => (name, Some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: &str) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let show = |target: Target| {
            let scheme = target.scheme.map(|scheme| format!("{scheme} ")).unwrap_or_default();
            let port = target.port.map(|port| format!(" {port}")).unwrap_or_default();
            format!("{scheme}{}{port}", target.name)
        };
        let shown = match endpoints(&words) {
            Ok((from, to)) => format!("{} | {}", from.map(show).unwrap_or_default(), show(to)),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{words:?}");
    }

    #[test]
    fn both_ends_in_every_spelling() {
        check(&["a", "b:443"], "a | b 443");
        check(&["a", "->", "b:443"], "a | b 443");
        check(&["a -> b:443"], "a | b 443");
        check(&["a→b"], "a | b");
        check(&["b"], " | b");
        check(&["vnet/ase-subnet", "https://Login.windows.net/x?y"], "vnet/ase-subnet | https Login.windows.net");
        check(&["AppServiceManagement", ":454"], "AppServiceManagement |  454");
        check(&["x", "[2001:db8::1]:53"], "x | 2001:db8::1 53");
        check(&["x", "2001:db8::1"], "x | 2001:db8::1");
        check(&["x", "10.0.0.0/8:1433"], "x | 10.0.0.0/8 1433");
    }

    #[test]
    fn what_is_no_flow_is_refused() {
        check(&["a", "b", "c"], "3 ends: a flow has two, as in `egret trace ase https://login.windows.net`");
        check(&["a", "b:0"], "`b:0`: expected a port from 1 to 65535");
        check(&["a", ":"], "`:`: expected a port from 1 to 65535");
        check(&["a", "ftp://b"], "`ftp://b`: `ftp` is no scheme of a flow: https, http, mssql, tcp, udp, icmp or ip");
    }
}
