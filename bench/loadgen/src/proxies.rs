//! The proxies under test: how each is started, what it is asked for, and how it is stopped.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cpu::ProcessTree;
use crate::door::Door;
use crate::workload::Workload;

const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

const SQUID_CONF: &str = include_str!("../../peers/squid.conf");
const TINYPROXY_CONF: &str = include_str!("../../peers/tinyproxy.conf");
const G3PROXY_CONF: &str = include_str!("../../peers/g3proxy.yaml");
const NGINX_CONF: &str = include_str!("../../peers/nginx.conf");
const HAPROXY_CONF: &str = include_str!("../../peers/haproxy.cfg");
const SNIPROXY_CONF: &str = include_str!("../../peers/sniproxy.conf");

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    Squid,
    Tinyproxy,
    G3proxy,
    Nginx,
    Haproxy,
    Sniproxy,
    /// The floor: a bare relay for tunnels and flows, a bare forward proxy for http
    Relay,
    /// The floor of bulk by a gateway: a relay with splice(2)
    Splice,
}

#[derive(Debug, Clone)]
pub enum Subject {
    Egret(PathBuf),
    Peer(Peer),
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
            Subject::Peer(Peer::Relay) => "floor",
            Subject::Peer(Peer::Splice) => "floor, splice",
        }
    }

    /// The explicit floor has no policy, so there is nothing that it refuses.
    pub fn can(&self, door: Door, workload: Workload) -> bool {
        let fits = workload == Workload::Crowd || Workload::of(door).contains(&workload);
        let Subject::Peer(peer) = self else { return fits };
        let can = match (peer, door) {
            (Peer::Squid | Peer::Tinyproxy | Peer::G3proxy, Door::Explicit) => true,
            (Peer::Nginx | Peer::Haproxy, Door::Gateway) => true,
            // It answers a denied name with an alert.
            (Peer::Sniproxy, Door::Gateway) => workload != Workload::SniRefused,
            (Peer::Relay, _) => workload != Workload::Refused,
            (Peer::Splice, Door::Gateway) => workload == Workload::Bulk,
            _ => false,
        };
        fits && can
    }

    /// The first line of what the program says of itself.
    pub fn version(&self) -> Result<String> {
        let (program, flag) = match self {
            Subject::Egret(path) => (path.as_path(), "--version"),
            Subject::Peer(Peer::Squid) => (Path::new("squid"), "-v"),
            Subject::Peer(Peer::Tinyproxy) => (Path::new("tinyproxy"), "-v"),
            Subject::Peer(Peer::G3proxy) => (Path::new("g3proxy"), "--version"),
            Subject::Peer(Peer::Nginx) => (Path::new("nginx"), "-v"),
            Subject::Peer(Peer::Haproxy) => (Path::new("haproxy"), "-v"),
            Subject::Peer(Peer::Sniproxy) => (Path::new("sniproxy"), "-V"),
            Subject::Peer(Peer::Relay | Peer::Splice) => {
                return Ok(concat!("egret-bench ", env!("CARGO_PKG_VERSION")).into());
            }
        };
        let output = Command::new(program).arg(flag).output();
        let output = output.with_context(|| format!("running {} (is it installed?)", program.display()))?;
        // nginx says it on standard error.
        let said = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Starts the proxy and waits until it accepts; it reaches `origin` and nothing else.
    pub fn start(
        &self,
        door: Door,
        workload: Workload,
        origin: SocketAddr,
        descriptors: Option<u32>,
    ) -> Result<Running> {
        let can = self.can(door, workload);
        ensure!(can, "{} cannot run {} as {}", self.name(), workload.as_str(), door.what());
        let dir = tempfile::Builder::new().prefix("egret-bench-").tempdir()?;
        // Squid changes to a user of its own and writes here.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
        let Launch { command, ready, tunnel, http } = self.launch(door, workload, dir.path(), origin)?;
        let command = match descriptors {
            Some(most) => limited(&command, most),
            None => command,
        };
        let mut process = Process::spawn(command, dir)?;
        let addr = process.wait_until(ready).with_context(|| format!("starting {}", self.name()))?;
        Ok(Running { addr, tunnel, http, process })
    }

    fn launch(&self, door: Door, workload: Workload, dir: &Path, origin: SocketAddr) -> Result<Launch> {
        let by_name = |port| format!("ok.test:{port}");
        let command = match self {
            Subject::Egret(path) => egret(path, door, dir, origin),
            Subject::Peer(peer @ (Peer::Relay | Peer::Splice)) => floor(*peer, door, workload, dir, origin)?,
            Subject::Peer(peer) => {
                let addr = free_address()?;
                let target = match peer {
                    Peer::Squid => by_name(origin.port()),
                    _ => origin.to_string(),
                };
                let command = configured(*peer, dir, addr, origin)?;
                return Ok(Launch { command, ready: Ready::At(addr), tunnel: target.clone(), http: target });
            }
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
    pub addr: SocketAddr,
    /// `host:port` for CONNECT.
    pub tunnel: String,
    /// `host:port` for forwarded requests.
    pub http: String,
    process: Process,
}

impl Running {
    pub fn tree(&self) -> ProcessTree {
        self.process.tree()
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

fn floor(peer: Peer, door: Door, workload: Workload, dir: &Path, origin: SocketAddr) -> Result<Command> {
    let kind = match (peer, door, workload) {
        (Peer::Splice, ..) => "splice-relay",
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
        Peer::Relay | Peer::Splice => bail!("the floor has no configuration"),
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

    fn wait_until(&mut self, ready: Ready) -> Result<SocketAddr> {
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
            std::thread::sleep(POLL);
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
