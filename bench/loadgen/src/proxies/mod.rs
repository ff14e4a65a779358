//! The proxies under test: how each is started, what it is asked for, and how it is stopped.

mod stage;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use clap::builder::PossibleValue;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::client::Dial;
use crate::cpu::ProcessTree;
use crate::door::Door;
use crate::namespace;
use crate::workload::{HelloKind, Plan, Workload};
pub use stage::{Origins, Pattern, Policy, Stage};

const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

const SQUID_CONF: &str = include_str!("../../../peers/squid.conf");
const TINYPROXY_CONF: &str = include_str!("../../../peers/tinyproxy.conf");
const G3PROXY_CONF: &str = include_str!("../../../peers/g3proxy.yaml");
const NGINX_CONF: &str = include_str!("../../../peers/nginx.conf");
const HAPROXY_CONF: &str = include_str!("../../../peers/haproxy.cfg");
const SNIPROXY_CONF: &str = include_str!("../../../peers/sniproxy.conf");

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    Squid,
    Tinyproxy,
    G3proxy,
    Nginx,
    Haproxy,
    Sniproxy,
}

/// The least that a proxy can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Floor {
    /// A bare relay for tunnels and flows, a bare forward proxy for http
    Relay,
    /// The same with splice(2), for bulk
    Splice,
}

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
            Subject::Peer(Peer::Tinyproxy),
            Subject::Peer(Peer::G3proxy),
            Subject::Peer(Peer::Nginx),
            Subject::Peer(Peer::Haproxy),
            Subject::Peer(Peer::Sniproxy),
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
            Subject::Peer(Peer::Squid) => "squid",
            Subject::Peer(Peer::Tinyproxy) => "tinyproxy",
            Subject::Peer(Peer::G3proxy) => "g3proxy",
            Subject::Peer(Peer::Nginx) => "nginx",
            Subject::Peer(Peer::Haproxy) => "haproxy",
            Subject::Peer(Peer::Sniproxy) => "sniproxy",
            Subject::Floor(Floor::Relay) => "floor",
            Subject::Floor(Floor::Splice) => "floor, splice",
            Subject::Direct => "direct",
        }
    }

    /// Whether this plan makes sense for it. A floor has no policy, a direct connection no process, and a peer only
    /// what it was made for.
    pub fn can(&self, plan: &Plan) -> bool {
        let Plan { door, workload, setting, .. } = *plan;
        let bare = setting.policy == 0 && !setting.churn;
        let can = match (self, door) {
            (Subject::Egret(_), _) => true,
            (Subject::Peer(Peer::Squid | Peer::Tinyproxy | Peer::G3proxy), Door::Explicit) => bare,
            (Subject::Peer(Peer::Nginx | Peer::Haproxy), Door::Gateway) => bare,
            // It answers a denied name with an alert.
            (Subject::Peer(Peer::Sniproxy), Door::Gateway) => bare && workload != Workload::Refused,
            (Subject::Floor(Floor::Relay), Door::Explicit) => bare && workload != Workload::Refused,
            (Subject::Floor(Floor::Relay), Door::Gateway) => bare,
            (Subject::Floor(Floor::Splice), Door::Gateway) => bare && workload == Workload::Bulk,
            (Subject::Direct, Door::Explicit | Door::Gateway) => {
                bare && !matches!(workload, Workload::Refused | Workload::Idle | Workload::Crowd)
            }
            _ => false,
        };
        workload.fits(door) && can
    }

    /// The first line of what the program says of itself. An error where it is not there.
    pub fn version(&self) -> Result<String> {
        let (program, flag) = match self {
            Subject::Egret(path) => (path.as_path(), "--version"),
            Subject::Peer(Peer::Squid) => (Path::new("squid"), "-v"),
            Subject::Peer(Peer::Tinyproxy) => (Path::new("tinyproxy"), "-v"),
            Subject::Peer(Peer::G3proxy) => (Path::new("g3proxy"), "--version"),
            Subject::Peer(Peer::Nginx) => (Path::new("nginx"), "-v"),
            Subject::Peer(Peer::Haproxy) => (Path::new("haproxy"), "-v"),
            Subject::Peer(Peer::Sniproxy) => (Path::new("sniproxy"), "-V"),
            Subject::Floor(_) | Subject::Direct => {
                return Ok(concat!("egret-bench ", env!("CARGO_PKG_VERSION")).into());
            }
        };
        let output = Command::new(program).arg(flag).output();
        let output = output.with_context(|| format!("running {} (is it installed?)", program.display()))?;
        // nginx says it on standard error.
        let said = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Starts the proxy and waits until it accepts; it reaches the stage's origins and nothing else.
    pub async fn start(&self, stage: &Stage) -> Result<Running> {
        let Stage { door, origins, descriptors, .. } = *stage;
        if let Subject::Direct = self {
            let Origins { tls, http, dns } = origins;
            let addr = if door == Door::Dns { dns } else { tls };
            return Ok(Running { door, addr, tunnel: tls.to_string(), http: http.to_string(), process: None });
        }
        let dir = tempfile::Builder::new().prefix("egret-bench-").tempdir()?;
        // Squid changes to a user of its own and writes here.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
        let Launch { command, ready, tunnel, http } = self.launch(stage, dir.path())?;
        let command = match descriptors {
            Some(most) => limited(&command, most),
            None => command,
        };
        let mut process = Process::spawn(command, dir)?;
        let addr = process.wait_until(ready).await.with_context(|| format!("starting {}", self.name()))?;
        Ok(Running { door, addr, tunnel, http, process: Some(process) })
    }

    fn launch(&self, stage: &Stage, dir: &Path) -> Result<Launch> {
        let by_name = |port| format!("ok.test:{port}");
        let (door, workload, origin) = (stage.door, stage.workload, stage.origins.tls);
        let command = match self {
            Subject::Egret(path) => egret(path, door, dir, origin),
            Subject::Floor(kind) => floor(*kind, door, workload, dir, origin)?,
            Subject::Peer(peer) => {
                let addr = free_address()?;
                let target = match peer {
                    Peer::Squid => by_name(origin.port()),
                    _ => origin.to_string(),
                };
                let command = configured(*peer, dir, addr, origin)?;
                return Ok(Launch { command, ready: Ready::At(addr), tunnel: target.clone(), http: target });
            }
            Subject::Direct => bail!("there is nothing to launch"),
        };
        Ok(Launch { command, ready: Ready::PortFile, tunnel: by_name(443), http: by_name(80) })
    }
}

/// How a proxy is started, and what it is then asked for.
struct Launch {
    command: Command,
    ready: Ready,
    tunnel: String,
    http: String,
}

/// A started proxy. It is stopped when dropped.
pub struct Running {
    door: Door,
    pub addr: SocketAddr,
    /// `host:port` for CONNECT.
    pub tunnel: String,
    /// `host:port` for forwarded requests.
    pub http: String,
    /// `None` where there is no proxy.
    process: Option<Process>,
}

impl Running {
    pub fn tree(&self) -> Option<ProcessTree> {
        self.process.as_ref().map(Process::tree)
    }

    /// How clients come to it. Of several gateways only the last that was asked for this gets their connections.
    pub fn dial(&self, hello: HelloKind) -> Result<Dial> {
        match (self.door, &self.process) {
            (_, None) => Ok(Dial::handed_over(self.addr, hello)),
            (Door::Gateway, Some(_)) => {
                namespace::hand_over_to(self.addr.port())?;
                Ok(Dial::handed_over(namespace::DESTINATION, hello))
            }
            (Door::Explicit | Door::Socks5 | Door::Dns, Some(_)) => {
                Ok(Dial::new(self.addr, &self.tunnel, &self.http, hello))
            }
        }
    }
}

/// How one learns that a proxy listens, and where.
enum Ready {
    /// It writes `port` in its directory.
    PortFile,
    At(SocketAddr),
}

/// Egret with two names allowed, both of which lead to the origin, and every flow logged to a file.
fn egret(path: &Path, door: Door, dir: &Path, origin: SocketAddr) -> Command {
    let mut command = Command::new(path);
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "off"]);
    if door == Door::Gateway {
        let gateway = ["--gateway", "127.0.0.1:0", "--gateway-mode", "redirect", "--gateway-rules", "leave"];
        command.args(gateway);
    }
    command.arg("--port-file").arg(dir.join("port"));
    for (scheme, port) in [("https", 443), ("http", 80)] {
        command.arg("--allow").arg(format!("{scheme}://ok.test:{port}"));
        command.arg("--connect-to").arg(format!("ok.test:{port}:{origin}"));
    }
    command.arg("--log").arg(dir.join("flows.log"));
    command
}

fn floor(floor: Floor, door: Door, workload: Workload, dir: &Path, origin: SocketAddr) -> Result<Command> {
    let kind = match (floor, door, workload) {
        (Floor::Splice, ..) => "splice-relay",
        (_, Door::Gateway, _) => "sni-relay",
        (.., Workload::Http) => "forward-floor",
        _ => "relay",
    };
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.args([kind, "--listen", "127.0.0.1:0", "--connect-to", &origin.to_string()]);
    command.arg("--port-file").arg(dir.join("port"));
    Ok(command)
}

/// A peer with its file from `bench/peers`, the placeholders filled in.
fn configured(peer: Peer, dir: &Path, addr: SocketAddr, origin: SocketAddr) -> Result<Command> {
    let fill = |template: &str| {
        template
            .replace("{port}", &addr.port().to_string())
            .replace("{target_port}", &origin.port().to_string())
            .replace("{dir}", &dir.display().to_string())
            .replace("{workers}", &workers(peer).to_string())
    };
    let file = dir.join("proxy.conf");
    let (program, template, args): (_, _, &[&str]) = match peer {
        Peer::Squid => ("squid", SQUID_CONF, &["--foreground", "-n", "egretbench", "-f"]),
        Peer::Tinyproxy => ("tinyproxy", TINYPROXY_CONF, &["-d", "-c"]),
        Peer::G3proxy => ("g3proxy", G3PROXY_CONF, &["-G", "egretbench", "-c"]),
        Peer::Nginx => ("nginx", NGINX_CONF, &["-c"]),
        Peer::Haproxy => ("haproxy", HAPROXY_CONF, &["-q", "-f"]),
        Peer::Sniproxy => ("sniproxy", SNIPROXY_CONF, &["-f", "-c"]),
    };
    fs::write(&file, fill(template))?;
    fs::write(dir.join("hosts"), "127.0.0.1 ok.test\n")?;
    fs::write(dir.join("filter"), "^127\\.0\\.0\\.1$\n")?;
    fs::write(dir.join("names"), "ok.test\n")?;
    let mut command = Command::new(program);
    command.args(args).arg(file);
    Ok(command)
}

fn workers(peer: Peer) -> usize {
    if peer == Peer::Squid && !rustix::process::geteuid().is_root() {
        return 1;
    }
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The same command with so many descriptors at most.
fn limited(command: &Command, descriptors: u32) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"ulimit -n "$0" && exec "$@""#, &descriptors.to_string()]);
    limited.arg(command.get_program()).args(command.get_args());
    limited
}

/// For proxies that cannot say which port they were given. Another process could take it in between; the start
/// then fails and says so.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A child with its directory; both go when dropped.
struct Process {
    child: Child,
    dir: TempDir,
}

impl Process {
    fn spawn(mut command: Command, dir: TempDir) -> Result<Process> {
        let output = File::create(dir.path().join("output"))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let program = command.get_program().to_owned();
        let child = command.spawn().with_context(|| format!("running {}", program.display()))?;
        Ok(Process { child, dir })
    }

    fn tree(&self) -> ProcessTree {
        ProcessTree::of(self.child.id())
    }

    async fn wait_until(&mut self, ready: Ready) -> Result<SocketAddr> {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}: {}", self.output());
            }
            let found = match ready {
                Ready::PortFile => self.port_file()?,
                Ready::At(addr) => TcpStream::connect_timeout(&addr, POLL).ok().map(|_| addr),
            };
            if let Some(addr) = found {
                return Ok(addr);
            }
            sleep(POLL).await;
        }
        bail!("it does not listen after {} s: {}", START.as_secs(), self.output())
    }

    /// The last line is the door that was asked for last. `None` until the whole line is there.
    fn port_file(&self) -> Result<Option<SocketAddr>> {
        match fs::read_to_string(self.dir.path().join("port")) {
            Ok(text) if text.ends_with('\n') => {
                let addr = text.lines().last().unwrap_or_default().parse();
                addr.map(Some).with_context(|| format!("the port file holds {text:?}"))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("reading the port file"),
        }
    }

    /// The end of what the proxy wrote, for error messages.
    fn output(&self) -> String {
        let read = |name| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        let text = read("output") + &read("cache.log") + &read("error.log");
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    fn ends_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(POLL);
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Listed before the signal, while every member can still be traced to this child.
        let members = self.tree().pids().unwrap_or_default();
        signal(self.child.id(), Signal::TERM);
        if !self.ends_within(STOP) {
            members.into_iter().for_each(|pid| signal(pid, Signal::KILL));
            self.ends_within(STOP);
        }
    }
}

/// A process that has ended meanwhile needs no signal.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
