//! The variables by which a command learns of a proxy.
//!
//! Certificates are none of them: nothing is decrypted, so the command's own authorities go on to hold.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;

use crate::telemetry::RunId;

/// Says to the command that it runs under Egret: the run's identifier, as in the log.
pub(super) const RUN: &str = "EGRET_RUN";

/// curl reads `http_proxy` in lower case only, others in upper case only.
const PROXIES: [&str; 6] = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// Networks, leading dots and `*` mean something else to each client; names and addresses mean the same to all. What
/// the caller excepts would pass the policy by, so it is not taken over. Loopback is the command's own, as it would be
/// in a namespace.
const DIRECT: &str = "localhost,127.0.0.1,::1";

/// Java has its own spelling, and heeds no variable but this.
const JAVA: &str = "JAVA_TOOL_OPTIONS";

pub(super) type Variables = Vec<(&'static str, OsString)>;

/// What a command gets besides what it inherits.
pub(super) fn proxied(addr: SocketAddr, run: &RunId) -> Variables {
    let inherited = std::env::var_os(JAVA);
    let url = OsString::from(format!("http://{addr}"));
    let mut variables: Variables = PROXIES.map(|name| (name, url.clone())).to_vec();
    variables.extend(["no_proxy", "NO_PROXY"].map(|name| (name, DIRECT.into())));
    // Node from version 24 on reads the variables above when it is told to.
    variables.push(("NODE_USE_ENV_PROXY", "1".into()));
    variables.push((JAVA, java(addr, inherited.as_deref())));
    variables.push((RUN, run.as_str().into()));
    variables
}

/// The last of two options holds, so what was set before stays.
fn java(addr: SocketAddr, inherited: Option<&OsStr>) -> OsString {
    let (host, port) = (addr.ip(), addr.port());
    let mut options = inherited.filter(|before| !before.is_empty()).map(OsStr::to_owned).unwrap_or_default();
    if !options.is_empty() {
        options.push(" ");
    }
    for scheme in ["http", "https"] {
        options.push(format!("-D{scheme}.proxyHost={host} -D{scheme}.proxyPort={port} "));
    }
    options.push("-Dhttp.nonProxyHosts=localhost|127.*|[::1]");
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_cases_and_nothing_of_certificates() {
        let variables = proxied("127.0.0.1:3128".parse().unwrap(), &RunId::from_bits(1));
        let value = |name: &str| {
            let found: Vec<_> = variables.iter().filter(|(known, _)| *known == name).collect();
            assert_eq!(found.len(), 1, "{name}");
            found[0].1.to_str().unwrap().to_owned()
        };
        for name in ["http", "https", "all"].map(|scheme| format!("{scheme}_proxy")) {
            assert_eq!(value(&name), "http://127.0.0.1:3128");
            assert_eq!(value(&name.to_uppercase()), "http://127.0.0.1:3128");
        }
        assert_eq!((value("no_proxy"), value("NO_PROXY")), (DIRECT.to_owned(), DIRECT.to_owned()));
        assert_eq!((value("NODE_USE_ENV_PROXY"), value(RUN)), ("1".to_owned(), "00000001".to_owned()));
        assert!(variables.iter().all(|(name, _)| !name.contains("CERT") && !name.contains("CA_")));
    }

    #[test]
    fn what_java_was_told_before_stays() {
        let addr = "127.0.0.1:3128".parse().unwrap();
        let proxy = "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=3128 -Dhttps.proxyHost=127.0.0.1 \
                     -Dhttps.proxyPort=3128 -Dhttp.nonProxyHosts=localhost|127.*|[::1]";
        assert_eq!(java(addr, None), proxy);
        assert_eq!(java(addr, Some(OsStr::new(""))), proxy);
        assert_eq!(java(addr, Some(OsStr::new("-Xmx1g"))), OsString::from(format!("-Xmx1g {proxy}")));
    }
}
