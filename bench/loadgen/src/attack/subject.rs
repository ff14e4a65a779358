//! Who is attacked: Egret and installed peers, each started with the policy of the cases, or whatever runs already.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::case::{Need, Profile};
use super::log::Log;
use super::ways::{Gateway, Ways};
use super::{DNS, GATEWAY, GATEWAY_HTTP, NAMES, PROXY};
use crate::proxies::{Output, Process, Ready, find};

/// Deadlines as short as a case that waits for one wants them.
const EGRET_CONFIG: &str = "\
[timeouts]
hello = \"4s\"
head = \"4s\"
connect = \"2s\"
idle_client = \"20s\"
";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    Squid,
    /// squid with peek and splice: a build with OpenSSL (EGRET_BENCH_SQUID, or squid-openssl)
    SquidPeek,
    Tinyproxy,
    Nginx,
    Haproxy,
    Sniproxy,
    Dnsmasq,
}

#[derive(Debug, Clone)]
pub enum Subject {
    Egret(PathBuf, Profile),
    Peer(Peer),
}

impl Subject {
    pub fn name(&self) -> String {
        match self {
            Subject::Egret(_, profile) => format!("egret, {}", profile.as_str()),
            Subject::Peer(Peer::SquidPeek) => "squid, peeking".into(),
            Subject::Peer(peer) => peer.to_possible_value().map_or_else(String::new, |it| it.get_name().to_owned()),
        }
    }

    /// Peers have no profiles: what is safe is what is asked of them.
    pub fn profile(&self) -> Profile {
        match self {
            Subject::Egret(_, profile) => *profile,
            Subject::Peer(_) => Profile::Strict,
        }
    }

    /// The first line of what the program says of itself.
    pub fn version(&self) -> Result<String> {
        let flag = match self {
            Subject::Egret(..) | Subject::Peer(Peer::Dnsmasq) => "--version",
            Subject::Peer(Peer::Sniproxy) => "-V",
            Subject::Peer(_) => "-v",
        };
        let program = self.program();
        let output = Command::new(&program).arg(flag).output();
        let output = output.with_context(|| format!("running {} (is it installed?)", program.display()))?;
        // nginx says it on standard error.
        let said = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned())
    }

    fn program(&self) -> PathBuf {
        let name = match self {
            Subject::Egret(path, _) => return path.clone(),
            Subject::Peer(Peer::SquidPeek) => {
                return std::env::var_os("EGRET_BENCH_SQUID").map_or_else(|| "squid-openssl".into(), PathBuf::from);
            }
            Subject::Peer(Peer::Squid) => "squid",
            Subject::Peer(Peer::Tinyproxy) => "tinyproxy",
            Subject::Peer(Peer::Nginx) => "nginx",
            Subject::Peer(Peer::Haproxy) => "haproxy",
            Subject::Peer(Peer::Sniproxy) => "sniproxy",
            Subject::Peer(Peer::Dnsmasq) => "dnsmasq",
        };
        find(name).unwrap_or_else(|| name.into())
    }

    fn ways(&self) -> Ways {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let gateway = Gateway::At { tls: at(GATEWAY), http: Some(at(GATEWAY_HTTP)) };
        match self {
            Subject::Egret(..) => Ways {
                proxy: Some(at(PROXY)),
                socks: Some(at(PROXY)),
                gateway: Some(Gateway::HandedOver),
                dns: Some(at(DNS)),
            },
            Subject::Peer(Peer::Squid | Peer::SquidPeek | Peer::Tinyproxy) => {
                Ways { proxy: Some(at(PROXY)), ..Ways::default() }
            }
            Subject::Peer(Peer::Nginx | Peer::Haproxy | Peer::Sniproxy) => {
                Ways { gateway: Some(gateway), ..Ways::default() }
            }
            Subject::Peer(Peer::Dnsmasq) => Ways { dns: Some(at(DNS)), ..Ways::default() },
        }
    }

    fn can(&self) -> Vec<Need> {
        match self {
            Subject::Egret(..) => vec![Need::Names, Need::HandOver, Need::Opaque],
            Subject::Peer(_) => vec![Need::Names, Need::Opaque],
        }
    }

    /// Something that can be attacked as long as its process is held.
    pub async fn start(&self) -> Result<(Running, Process)> {
        let dir = tempfile::Builder::new().prefix("egret-bench-").tempdir()?;
        // Squid changes to a user of its own and writes here.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
        let mut command = Command::new(self.program());
        match self {
            Subject::Egret(_, profile) => egret(&mut command, dir.path(), *profile)?,
            Subject::Peer(peer) => configured(&mut command, *peer, dir.path())?,
        }
        let ways = self.ways();
        let mut process = Process::spawn(command, dir, Output::Kept)?;
        for addr in ways.listeners() {
            process.wait_until(Ready::At(addr)).await.with_context(|| format!("starting {}", self.name()))?;
        }
        let log = matches!(self, Subject::Egret(..)).then(|| Log::of(process.dir().join("flows.log")));
        Ok((Running { ways, can: self.can(), log, reach: Reach::Runner }, process))
    }
}

/// Where its own connections go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Whatever it dials comes to the runner.
    Runner,
    /// What does not lead to the origin goes elsewhere.
    Anywhere,
}

/// Something that can be attacked now.
pub struct Running {
    pub ways: Ways,
    pub can: Vec<Need>,
    /// Egret's own, for the reasons.
    pub log: Option<Log>,
    pub reach: Reach,
}

impl Running {
    pub fn attached(ways: Ways, can: Vec<Need>, log: Option<Log>) -> Running {
        Running { ways, can, log, reach: Reach::Anywhere }
    }
}

fn egret(command: &mut Command, dir: &Path, profile: Profile) -> Result<()> {
    fs::write(dir.join("egret.toml"), EGRET_CONFIG)?;
    command.current_dir(dir).args(["serve", "--admin", "off", "--quiet", "--log", "flows.log", "--log-format", "json"]);
    for (flag, port) in [("--listen", PROXY), ("--gateway", GATEWAY), ("--dns", DNS)] {
        command.args([flag, &format!("127.0.0.1:{port}")]);
    }
    command.args(["--gateway", &format!("[::1]:{GATEWAY}")]);
    command.args(["--gateway", &format!("127.0.0.1:{GATEWAY_HTTP}"), "--gateway", &format!("[::1]:{GATEWAY_HTTP}")]);
    command.args(["--gateway-mode", "redirect", "--gateway-rules", "leave", "--profile", profile.as_str()]);
    command.args(["--dns-server", &NAMES.to_string()]);
    for target in ["https://ok.test", "http://ok.test", "https://*.wild.test", "http://*.wild.test"] {
        command.args(["--allow", target]);
    }
    Ok(())
}

/// A peer with its file from `bench/peers/attack`, the placeholders filled in.
fn configured(command: &mut Command, peer: Peer, dir: &Path) -> Result<()> {
    let (template, args): (_, &[&str]) = match peer {
        Peer::Squid => (include_str!("../../../peers/attack/squid.conf"), &["--foreground", "-n", "egretattack", "-f"]),
        Peer::SquidPeek => {
            fs::write(dir.join("own.pem"), certificate()?)?;
            (include_str!("../../../peers/attack/squid-peek.conf"), &["--foreground", "-n", "egretattack", "-f"])
        }
        Peer::Tinyproxy => (include_str!("../../../peers/attack/tinyproxy.conf"), &["-d", "-c"]),
        Peer::Nginx => (include_str!("../../../peers/attack/nginx.conf"), &["-c"]),
        Peer::Haproxy => (include_str!("../../../peers/attack/haproxy.cfg"), &["-q", "-f"]),
        Peer::Sniproxy => (include_str!("../../../peers/attack/sniproxy.conf"), &["-f", "-c"]),
        Peer::Dnsmasq => (include_str!("../../../peers/attack/dnsmasq.conf"), &["--keep-in-foreground", "-C"]),
    };
    fs::write(dir.join("filter"), include_str!("../../../peers/attack/tinyproxy.filter"))?;
    let file = dir.join("proxy.conf");
    let ports = [("{proxy}", PROXY), ("{gateway}", GATEWAY), ("{gateway_http}", GATEWAY_HTTP), ("{dns}", DNS)];
    let text = ports.iter().fold(template.to_owned(), |text, (name, port)| text.replace(name, &port.to_string()));
    fs::write(&file, text.replace("{dir}", &dir.display().to_string()))?;
    command.args(args).arg(file);
    Ok(())
}

/// Squid wants one to speak TLS with, which it never does here.
fn certificate() -> Result<String> {
    let certified = rcgen::generate_simple_self_signed(["proxy.test".to_owned()]).context("making a certificate")?;
    Ok(certified.cert.pem() + &certified.signing_key.serialize_pem())
}

/// Stands for all that are.
pub const INSTALLED: &str = "installed";

/// What `--peer` takes.
pub fn peers() -> impl Iterator<Item = PossibleValue> {
    let all = PossibleValue::new(INSTALLED).help("All that are");
    Peer::value_variants().iter().filter_map(Peer::to_possible_value).chain([all])
}

/// Those of which a program is on the PATH.
pub fn installed() -> Vec<Peer> {
    let found = |peer: &Peer| Subject::Peer(*peer).version().is_ok();
    Peer::value_variants().iter().copied().filter(found).collect()
}
