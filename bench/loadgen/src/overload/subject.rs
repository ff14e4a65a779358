//! Egret as it is attacked: its usual limits, its log in a file, its metrics.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::cpu::ProcessTree;

const START: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// For what is counted to be in the log.
const LOGGED: Duration = Duration::from_secs(5);

/// Reasons of refusals that are no matter of policy.
const REASONS: [&str; 6] =
    ["limit-client", "limit-connections", "hello-timeout", "head-timeout", "limit-head", "hello-too-large"];

pub struct Subject {
    pub addr: SocketAddr,
    admin: SocketAddr,
    child: Child,
    dir: TempDir,
}

/// What it takes up.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Weight {
    pub pss_kib: u64,
    pub descriptors: usize,
}

/// Refusals so far, by reason: those that are counted, and those that are in the log.
#[derive(Debug, Clone, Serialize)]
pub struct Refusals {
    pub counted: Vec<(&'static str, u64)>,
    pub logged: Vec<(&'static str, u64)>,
}

impl Refusals {
    pub fn since(&self, before: &Refusals) -> Refusals {
        let less = |now: &[(&'static str, u64)], before: &[(&'static str, u64)]| {
            let pairs = now.iter().zip(before);
            pairs.map(|((reason, now), (_, before))| (*reason, now - before)).filter(|(_, count)| *count > 0).collect()
        };
        Refusals { counted: less(&self.counted, &before.counted), logged: less(&self.logged, &before.logged) }
    }
}

impl Subject {
    /// With these destinations, each with where it is led to, as `--connect-to` has it.
    pub fn start(egret: &Path, destinations: &[(&str, SocketAddr)]) -> Result<Subject> {
        let dir = tempfile::Builder::new().prefix("egret-bench-").tempdir()?;
        let mut command = Command::new(egret);
        command.current_dir(dir.path()).args(["serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"]);
        command.args(["--port-file=port", "--admin-port-file=admin-port", "--log=flows.log", "--log-format=json"]);
        for (destination, addr) in destinations {
            command.arg(format!("--allow={destination}")).arg(format!("--connect-to={destination}:{addr}"));
        }
        let output = fs::File::create(dir.path().join("output"))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("running {}", egret.display()))?;
        let mut subject = Subject { addr: ([0; 4], 0).into(), admin: ([0; 4], 0).into(), child, dir };
        subject.admin = subject.port("admin-port")?;
        subject.addr = subject.port("port")?;
        Ok(subject)
    }

    fn port(&mut self, file: &str) -> Result<SocketAddr> {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("egret ended with {status}: {}", fs::read_to_string(self.dir.path().join("output"))?);
            }
            let text = fs::read_to_string(self.dir.path().join(file)).unwrap_or_default();
            if let Some(addr) = text.lines().next().and_then(|line| line.parse().ok()) {
                return Ok(addr);
            }
            std::thread::sleep(POLL);
        }
        bail!("egret does not listen after {} s", START.as_secs())
    }

    pub fn weigh(&self) -> Result<Weight> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count();
        Ok(Weight { pss_kib: ProcessTree::of(self.child.id()).pss_kib()?, descriptors })
    }

    /// The most memory that it ever had.
    pub fn peak_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).context("a process has a peak")
    }

    /// Once the log has what is counted, which it has soon after; or what both have when it has not.
    pub async fn refusals(&self) -> Result<Refusals> {
        let deadline = Instant::now() + LOGGED;
        loop {
            let refusals = self.refusals_now().await?;
            if refusals.counted == refusals.logged || Instant::now() > deadline {
                return Ok(refusals);
            }
            sleep(POLL).await;
        }
    }

    async fn refusals_now(&self) -> Result<Refusals> {
        let metrics = self.metrics().await?;
        let log = fs::read_to_string(self.dir.path().join("flows.log"))?;
        let counted = |reason: &str| {
            let lines = metrics.lines().filter(|line| line.starts_with("egret_flows_total{"));
            let mine = lines.filter(|line| line.contains(&format!("reason=\"{reason}\"")));
            mine.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        let logged = |reason: &str| {
            let flows = log.lines().filter(|line| line.contains("\"kind\":\"flow\""));
            flows.filter(|line| line.contains(&format!("\"reason\":\"{reason}\""))).count() as u64
        };
        Ok(Refusals {
            counted: REASONS.map(|reason| (reason, counted(reason))).into(),
            logged: REASONS.map(|reason| (reason, logged(reason))).into(),
        })
    }

    async fn metrics(&self) -> Result<String> {
        let mut stream = TcpStream::connect(self.admin).await.context("connecting to the admin server")?;
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
