//! The subjects of a measurement: how each is started, what it is asked for, and how it is stopped. One a file.

mod dnsmasq;
mod egret;
mod floor;
mod g3proxy;
mod haproxy;
mod launch;
mod mitmproxy;
mod nginx;
mod peer;
mod process;
mod sniproxy;
mod squid;
mod stage;
mod tinyproxy;
mod unbound;

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use clap::builder::PossibleValue;
use tokio::time::sleep;

use crate::client::Dial;
use crate::cpu::ProcessTree;
use crate::door::Door;
use crate::namespace;
use crate::workload::{HelloKind, LogTo, Plan, Workload};
pub use egret::binary as egret_binary;
pub use floor::Floor;
pub use launch::Ready;
use launch::{Launch, Reload, Site};
pub use peer::{Peer, find};
pub use process::{Output, Process};
pub use stage::{Origins, Stage};

/// Between two reloads of a churn.
const CHURN: Duration = Duration::from_secs(1);

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Egret(PathBuf),
    Peer(Peer),
    Floor(Floor),
    /// No proxy at all: clients ask the origin.
    Direct,
}

/// Everything but Egret, by the name that the command line has for it.
impl ValueEnum for Subject {
    fn value_variants<'a>() -> &'a [Subject] {
        const ALL: &[Subject] = &[
            Subject::Peer(Peer::Squid),
            Subject::Peer(Peer::SquidSplice),
            Subject::Peer(Peer::Tinyproxy),
            Subject::Peer(Peer::G3proxy),
            Subject::Peer(Peer::Nginx),
            Subject::Peer(Peer::Haproxy),
            Subject::Peer(Peer::Sniproxy),
            Subject::Peer(Peer::Mitmproxy),
            Subject::Peer(Peer::MitmproxyPassthrough),
            Subject::Peer(Peer::Dnsmasq),
            Subject::Peer(Peer::Unbound),
            Subject::Floor(Floor::Relay),
            Subject::Floor(Floor::Splice),
            Subject::Direct,
        ];
        ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Subject::Egret(_) => None,
            Subject::Peer(peer) => peer.to_possible_value(),
            Subject::Floor(floor) => floor.to_possible_value(),
            Subject::Direct => Some(PossibleValue::new("direct").help("No proxy at all")),
        }
    }
}

impl Subject {
    pub fn name(&self) -> &'static str {
        match self {
            Subject::Egret(_) => "egret",
            Subject::Peer(peer) => peer.name(),
            Subject::Floor(floor) => floor.name(),
            Subject::Direct => "direct",
        }
    }

    /// Whether this plan makes sense for it. A floor has no policy, a direct connection no process, and a peer does
    /// what it was made for.
    pub fn can(&self, plan: &Plan) -> bool {
        let can = match self {
            Subject::Egret(_) => true,
            Subject::Peer(peer) => peer.can(plan),
            Subject::Floor(floor) => floor.can(plan),
            Subject::Direct => {
                let unasked = matches!(plan.workload, Workload::Refused | Workload::Idle | Workload::Crowd);
                plan.setting.policy == 0 && !plan.setting.churn && !unasked
            }
        };
        plan.workload.fits(plan.door) && can
    }

    /// What the program says of itself, in a line. An error where it is not installed.
    pub fn version(&self) -> Result<String> {
        let (program, flag) = match self {
            Subject::Egret(path) => (path.clone(), "--version"),
            Subject::Peer(peer) => ((peer.spec().program)()?, peer.spec().version),
            Subject::Floor(_) | Subject::Direct => {
                return Ok(concat!("egret-bench ", env!("CARGO_PKG_VERSION")).into());
            }
        };
        let output = Command::new(&program).arg(flag).output();
        let output = output.with_context(|| format!("running {} (is it installed?)", program.display()))?;
        // nginx says it on standard error.
        let said = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Starts the proxy and waits until it accepts; it reaches the stage's origins and nothing else. It may be dropped
    /// while it waits: the process then ends.
    pub async fn start(&self, stage: &Stage) -> Result<Running> {
        if *self == Subject::Direct {
            return Ok(Running::direct(stage));
        }
        let dir = tempfile::Builder::new().prefix("egret-bench-").tempdir()?;
        // Squid changes to a user of its own and writes here.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
        let Launch { command, ready, tunnel, http, reload } = self.launch(&Site::new(stage, dir.path())?)?;
        let command = match stage.descriptors {
            Some(most) => limited(&command, most),
            None => command,
        };
        let output = match (self, stage.log) {
            (Subject::Egret(_), LogTo::SlowSink) => Output::Sipped,
            _ => Output::Kept,
        };
        let mut process = Process::spawn(command, dir, output)?;
        let addr = process.wait_until(ready).await.with_context(|| format!("starting {}", self.name()))?;
        Ok(Running { door: stage.door, addr, tunnel, http, reload, process: Some(process) })
    }

    fn launch(&self, site: &Site) -> Result<Launch> {
        match self {
            Subject::Egret(path) => egret::launch(path, site),
            Subject::Peer(peer) => peer.spec().start(site),
            Subject::Floor(floor) => floor.launch(site),
            Subject::Direct => bail!("there is nothing to launch"),
        }
    }
}

/// A started proxy, or what stands for one. It is stopped when dropped.
pub struct Running {
    door: Door,
    pub addr: SocketAddr,
    /// `host:port` for CONNECT and SOCKS5.
    pub tunnel: String,
    /// `host:port` for forwarded requests.
    pub http: String,
    reload: Option<Reload>,
    /// `None` where there is no proxy.
    process: Option<Process>,
}

impl Running {
    fn direct(stage: &Stage) -> Running {
        let Origins { tls, http, dns } = stage.origins;
        let addr = match (stage.door, stage.workload) {
            (Door::Dns, _) => dns,
            (_, Workload::Http) => http,
            _ => tls,
        };
        let door = stage.door;
        Running { door, addr, tunnel: tls.to_string(), http: http.to_string(), reload: None, process: None }
    }

    pub fn tree(&self) -> Option<ProcessTree> {
        self.process.as_ref().map(Process::tree)
    }

    /// How clients come to it. Of several gateways only the last that was asked for this gets their connections.
    pub fn dial(&self, hello: HelloKind) -> Result<Dial> {
        match (self.door, &self.process) {
            (Door::Dns, _) => Ok(Dial::resolver(self.addr)),
            (_, None) => Ok(Dial::origin(self.addr, hello)),
            (Door::Gateway, _) => {
                namespace::hand_over_to(self.addr.port())?;
                Ok(Dial::handed_over(namespace::DESTINATION, hello))
            }
            (Door::Explicit, _) => Ok(Dial::http(self.addr, &self.tunnel, &self.http, hello)),
            (Door::Socks5, _) => Dial::socks(self.addr, &self.tunnel, hello),
        }
    }

    /// Changes the allowlist and has it loaded again, every second, until dropped.
    pub async fn churn(&self) -> Result<Infallible> {
        let reload = self.reload.as_ref().context("this proxy cannot load its list again")?;
        let process = self.process.as_ref().context("there is no proxy")?;
        loop {
            sleep(CHURN).await;
            reload.change()?;
            process.signal(reload.signal);
        }
    }
}

/// The same command with so many descriptors at most.
fn limited(command: &Command, descriptors: u32) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"ulimit -n "$0" && exec "$@""#, &descriptors.to_string()]);
    limited.arg(command.get_program()).args(command.get_args());
    limited
}
