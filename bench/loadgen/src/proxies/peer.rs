//! The peers: what each can do, and which file of this folder starts it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use super::launch::{Launch, Site};
use super::{dnsmasq, g3proxy, haproxy, mitmproxy, nginx, sniproxy, squid, tinyproxy, unbound};
use crate::door::Door;
use crate::workload::{Plan, Workload};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    Squid,
    /// Squid that looks at the name in the ClientHello; built with OpenSSL
    SquidSplice,
    Tinyproxy,
    G3proxy,
    Nginx,
    Haproxy,
    Sniproxy,
    /// mitmproxy that ends TLS and looks inside
    Mitmproxy,
    /// mitmproxy that looks at the ClientHello and passes TLS on
    MitmproxyPassthrough,
    Dnsmasq,
    Unbound,
}

/// What is to know of a peer.
pub struct Spec {
    /// Where the program is; an error says where it was looked for.
    pub program: fn() -> Result<PathBuf>,
    /// The option that makes it say its version.
    pub version: &'static str,
    /// Doors and workloads that it is made for.
    pub serves: fn(Door, Workload) -> bool,
    /// Names beyond which its list takes longer to load than anybody would wait.
    pub most_names: usize,
    /// Whether it can be told to load its list again.
    pub reloads: bool,
    /// Writes its configuration, and gives the bare program the arguments that go with it.
    pub launch: fn(&Site, Command) -> Result<Launch>,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Peer::Squid => "squid",
            Peer::SquidSplice => "squid, splice",
            Peer::Tinyproxy => "tinyproxy",
            Peer::G3proxy => "g3proxy",
            Peer::Nginx => "nginx",
            Peer::Haproxy => "haproxy",
            Peer::Sniproxy => "sniproxy",
            Peer::Mitmproxy => "mitmproxy",
            Peer::MitmproxyPassthrough => "mitmproxy, passthrough",
            Peer::Dnsmasq => "dnsmasq",
            Peer::Unbound => "unbound",
        }
    }

    pub fn spec(self) -> &'static Spec {
        match self {
            Peer::Squid => &squid::PLAIN,
            Peer::SquidSplice => &squid::SPLICE,
            Peer::Tinyproxy => &tinyproxy::SPEC,
            Peer::G3proxy => &g3proxy::SPEC,
            Peer::Nginx => &nginx::SPEC,
            Peer::Haproxy => &haproxy::SPEC,
            Peer::Sniproxy => &sniproxy::SPEC,
            Peer::Mitmproxy => &mitmproxy::INSPECT,
            Peer::MitmproxyPassthrough => &mitmproxy::PASSTHROUGH,
            Peer::Dnsmasq => &dnsmasq::SPEC,
            Peer::Unbound => &unbound::SPEC,
        }
    }

    pub fn can(self, plan: &Plan) -> bool {
        let spec = self.spec();
        let listed = plan.setting.policy <= spec.most_names;
        (spec.serves)(plan.door, plan.workload) && listed && (spec.reloads || !plan.setting.churn)
    }
}

impl Spec {
    pub fn start(&self, site: &Site) -> Result<Launch> {
        (self.launch)(site, Command::new((self.program)()?))
    }

    /// A program of this name on the PATH.
    pub fn on_path(program: &str) -> Result<PathBuf> {
        find(program).ok_or_else(|| anyhow::anyhow!("there is no {program} on the PATH"))
    }
}

/// Debian keeps daemons in directories that the PATH of others than root leaves out.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// What goes through tunnels, by whichever door they are opened.
pub fn is_tunnelled(workload: Workload) -> bool {
    !matches!(workload, Workload::Http | Workload::Lookup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxies::{Origins, Stage};
    use crate::workload::{Limit, Setting};
    use std::fs;

    /// What a template leaves to be filled in, as opposed to the braces of a configuration.
    fn placeholder(text: &str) -> Option<&str> {
        text.match_indices('{').find_map(|(at, _)| {
            let (name, _) = text[at + 1..].split_once('}')?;
            let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            named.then_some(name)
        })
    }

    fn plans() -> impl Iterator<Item = Plan> {
        let doors = Door::value_variants().iter();
        doors.flat_map(|door| Workload::of(*door).iter().map(|workload| Plan::usual(*door, *workload, Limit::Count(1))))
    }

    #[test]
    fn every_configuration_is_filled_in() {
        let origins = Origins::all("127.0.0.1:4433".parse().unwrap());
        for peer in Peer::value_variants() {
            let plans: Vec<Plan> = plans().filter(|plan| peer.can(plan)).collect();
            assert!(!plans.is_empty(), "{} serves nothing", peer.name());
            for plan in plans {
                let dir = tempfile::tempdir().unwrap();
                let stage = Stage::of(&plan, origins);
                let site = Site::new(&stage, dir.path()).unwrap();
                (peer.spec().launch)(&site, Command::new("true")).unwrap();
                let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
                assert!(!files.is_empty(), "{} has no configuration", peer.name());
                for file in files {
                    let text = fs::read_to_string(&file).unwrap();
                    assert_eq!(placeholder(&text), None, "{}", file.display());
                }
            }
        }
    }

    #[test]
    fn placeholders_are_seen() {
        assert_eq!(placeholder("port={port}"), Some("port"));
        assert_eq!(placeholder("events { x; } if { req.ssl_sni -i }"), None);
    }

    #[test]
    fn a_list_that_takes_too_long_to_load_is_not_asked_for() {
        let usual = Plan::usual(Door::Explicit, Workload::Tunnel, Limit::Count(1));
        let long = Plan { setting: Setting { policy: 100_000, ..usual.setting }, ..usual };
        assert!(Peer::Tinyproxy.can(&usual) && !Peer::Tinyproxy.can(&long));
        assert!(Peer::Squid.can(&long));
        let churning = Plan { setting: Setting { churn: true, ..usual.setting }, ..usual };
        assert!(Peer::Squid.can(&churning) && !Peer::Tinyproxy.can(&churning));
    }
}
