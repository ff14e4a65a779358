//! A proxy's process: started, waited for, and stopped by its own id.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;

use super::launch::Ready;
use crate::cpu::ProcessTree;

/// A long allowlist takes some proxies half a minute to load.
const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// A slow sink takes this much at a time, with this rest in between: 160 KB a second.
const SIP: usize = 16 * 1024;
const REST: Duration = Duration::from_millis(100);

/// What becomes of a proxy's standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Into a file, for error messages.
    Kept,
    /// Into a pipe that is read slowly.
    Sipped,
}

/// A child with its directory; both go when dropped.
pub struct Process {
    child: Child,
    dir: TempDir,
    /// Tells the slow reader to read the rest as fast as it comes.
    hurry: Arc<AtomicBool>,
}

impl Process {
    pub fn spawn(mut command: Command, dir: TempDir, output: Output) -> Result<Process> {
        let file = File::create(dir.path().join("output"))?;
        command.stdin(Stdio::null()).stderr(file.try_clone()?);
        match output {
            Output::Kept => command.stdout(file),
            Output::Sipped => command.stdout(Stdio::piped()),
        };
        let program = command.get_program().to_owned();
        let mut child = command.spawn().with_context(|| format!("running {} (is it installed?)", program.display()))?;
        let hurry = Arc::new(AtomicBool::new(false));
        if let Some(pipe) = child.stdout.take() {
            let hurry = hurry.clone();
            // Ends with the pipe, which ends with the child.
            thread::Builder::new().name("slow sink".into()).spawn(move || sip(pipe, &hurry))?;
        }
        Ok(Process { child, dir, hurry })
    }

    pub fn tree(&self) -> ProcessTree {
        ProcessTree::of(self.child.id())
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn signal(&self, what: Signal) {
        signal(self.child.id(), what);
    }

    pub async fn wait_until(&mut self, ready: Ready) -> Result<SocketAddr> {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}{}", self.output());
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
        bail!("it does not listen after {} s{}", START.as_secs(), self.output())
    }

    /// `None` until the whole file is there.
    fn port_file(&self) -> Result<Option<SocketAddr>> {
        match fs::read_to_string(self.dir().join("port")) {
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
        let read = |name| fs::read_to_string(self.dir().join(name)).unwrap_or_default();
        let text = read("output") + &read("cache.log") + &read("error.log");
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(8)..].join("\n");
        if end.is_empty() { ", without a word".into() } else { format!(": {end}") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.hurry.store(true, Ordering::Relaxed);
        stop(&mut self.child);
    }
}

/// Asks it to end, and ends it and all below it where it does not.
fn stop(child: &mut Child) {
    // Listed before the signal, while every member can still be traced to this child.
    let members = ProcessTree::of(child.id()).pids().unwrap_or_default();
    signal(child.id(), Signal::TERM);
    if !ends_within(child, STOP) {
        members.into_iter().for_each(|pid| signal(pid, Signal::KILL));
        ends_within(child, STOP);
    }
}

fn ends_within(child: &mut Child, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        thread::sleep(POLL);
    }
    false
}

/// A process that has ended meanwhile needs no signal.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

fn sip(mut pipe: ChildStdout, hurry: &AtomicBool) {
    let mut buffer = vec![0; SIP];
    while matches!(pipe.read(&mut buffer), Ok(1..)) {
        if !hurry.load(Ordering::Relaxed) {
            thread::sleep(REST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, output: Output) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn(command, tempfile::tempdir().unwrap(), output).unwrap()
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = shell("exec sleep 600", Output::Kept);
        let pid = process.child.id();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn one_that_ignores_the_signal_is_gone_too() {
        let process = shell("trap '' TERM; while :; do sleep 600; done", Output::Kept);
        thread::sleep(Duration::from_millis(200));
        let pid = process.child.id();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_slow_sink_does_not_keep_a_process_that_is_to_end() {
        let mut process = shell("yes | head -c 4000000", Output::Sipped);
        assert!(!ends_within(&mut process.child, Duration::from_millis(500)));
        process.hurry.store(true, Ordering::Relaxed);
        assert!(ends_within(&mut process.child, STOP));
    }

    #[tokio::test]
    async fn what_ends_at_once_says_why() {
        let mut process = shell("echo no such option >&2; exit 3", Output::Kept);
        let error = process.wait_until(Ready::PortFile).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3: no such option"), "{error}");
        let mut process = shell("exit 0", Output::Kept);
        let error = process.wait_until(Ready::PortFile).await.unwrap_err().to_string();
        assert_eq!(error, "it ended with exit status: 0, without a word");
    }
}
