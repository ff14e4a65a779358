//! The peers: what each can do, and which file of this folder starts it.

use std::path::PathBuf;

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
    pub launch: fn(&Site) -> Result<Launch>,
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
