//! The command itself: started, waited for, told of signals.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::ExitStatus;
#[cfg(target_os = "linux")]
use std::sync::Arc;
use std::time::Duration;

#[cfg(unix)]
use anyhow::Context;
#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::Instant;

use super::environment::Variables;
use super::signals::{Arrived, Reached, Signals};
#[cfg(target_os = "linux")]
use crate::jail::Jail;

/// Two interrupts within this end everything. Apart from that they are the command's: a shell may well want many.
const TWICE: Duration = Duration::from_secs(3);

/// A command that runs, in Egret's own process group: the terminal is its as well.
pub(super) struct Command {
    handle: Handle,
    /// To be awaited once. Dropped, it ends the command.
    end: Pin<Box<dyn Future<Output = io::Result<Ended>>>>,
}

/// What signals are sent to.
enum Handle {
    /// Not waited for unless `end` is polled, so the number stays the command's.
    #[cfg(unix)]
    Process(Pid),
    #[cfg(target_os = "linux")]
    Jail(Arc<Jail>),
    #[cfg(not(unix))]
    None,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Exited(u8),
    /// By this signal.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are none"))]
    Signalled(u8),
    /// Somebody asked twice.
    Interrupted,
    /// There is no such program.
    NotFound(String),
    /// There is, but it cannot be run.
    NotRun(String),
}

impl Ended {
    /// As a shell gives it.
    pub(super) fn code(&self) -> u8 {
        match self {
            Ended::Exited(code) => *code,
            Ended::Signalled(signal) => 128_u8.saturating_add(*signal),
            Ended::Interrupted => 130,
            Ended::NotFound(_) => 127,
            Ended::NotRun(_) => 126,
        }
    }

    #[cfg(target_os = "linux")]
    fn of_jail(ended: crate::jail::Ended) -> Ended {
        match ended {
            crate::jail::Ended::Exited(code) => Ended::Exited(code),
            crate::jail::Ended::Killed { signal } => Ended::Signalled(signal),
        }
    }

    /// Why the command was not run, where it was not.
    pub(super) fn error(&self) -> Option<&str> {
        match self {
            Ended::NotFound(what) | Ended::NotRun(what) => Some(what),
            Ended::Exited(_) | Ended::Signalled(_) | Ended::Interrupted => None,
        }
    }

    fn of_status(status: ExitStatus) -> Ended {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Ended::Signalled(u8::try_from(signal).unwrap_or(u8::MAX));
        }
        // Windows has larger codes; none of them is a success.
        Ended::Exited(status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1)))
    }

    fn of_failure(program: &OsStr, error: &io::Error) -> Ended {
        let what = format!("cannot run `{}`: {error}", program.display());
        if error.kind() == io::ErrorKind::NotFound { Ended::NotFound(what) } else { Ended::NotRun(what) }
    }
}

/// What came of starting a command.
pub(super) enum Started {
    Running(Command),
    Not(Ended),
}

impl Command {
    /// Not held: with its caller's environment and these variables, and everything else its caller's.
    pub(super) fn start(line: &[OsString], variables: Variables) -> anyhow::Result<Started> {
        let [program, arguments @ ..] = line else {
            anyhow::bail!("there is no command to run");
        };
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).envs(variables).kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ok(Started::Not(Ended::of_failure(program, &error))),
        };
        let handle = Handle::of(&child)?;
        let end = Box::pin(async move { child.wait().await.map(Ended::of_status) });
        Ok(Started::Running(Command { handle, end }))
    }

    /// The command of a jail, which is running.
    #[cfg(target_os = "linux")]
    pub(super) fn held(jail: Jail) -> Command {
        let jail = Arc::new(jail);
        let waiting = jail.clone();
        let end = async move {
            let ended = tokio::task::spawn_blocking(move || waiting.wait()).await;
            ended.map_err(io::Error::other)?.map(Ended::of_jail)
        };
        Command { handle: Handle::Jail(jail), end: Box::pin(end) }
    }

    /// To the command's end, or to the second interrupt's.
    async fn supervise(self, mut signals: Signals) -> anyhow::Result<Ended> {
        let Command { handle, mut end } = self;
        let mut interrupted: Option<Instant> = None;
        loop {
            let arrived = tokio::select! {
                ended = &mut end => return Ok(ended?),
                arrived = signals.next() => arrived,
            };
            if matches!(arrived, Arrived::Interrupt(_)) {
                if interrupted.is_some_and(|before| before.elapsed() < TWICE) {
                    handle.kill();
                    #[cfg(unix)]
                    end.await?;
                    return Ok(Ended::Interrupted);
                }
                interrupted = Some(Instant::now());
            }
            handle.pass_on(arrived);
        }
    }
}

impl Handle {
    #[cfg(unix)]
    fn of(child: &Child) -> anyhow::Result<Handle> {
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        pid.map(Handle::Process).context("the command has no process number")
    }

    #[cfg(not(unix))]
    fn of(_: &Child) -> anyhow::Result<Handle> {
        Ok(Handle::None)
    }

    #[cfg(unix)]
    fn pass_on(&self, arrived: Arrived) {
        match arrived {
            Arrived::Interrupt(Reached::EgretAlone) => self.signal(Signal::INT),
            Arrived::Other(signal, Reached::EgretAlone) => self.signal(signal),
            Arrived::Interrupt(Reached::Everybody) | Arrived::Other(_, Reached::Everybody) => {}
        }
    }

    #[cfg(unix)]
    fn signal(&self, signal: Signal) {
        // It may be about to end.
        let _ = match self {
            Handle::Process(pid) => kill_process(*pid, signal).map_err(io::Error::from),
            #[cfg(target_os = "linux")]
            Handle::Jail(jail) => jail.signal(signal),
        };
    }

    #[cfg(unix)]
    fn kill(&self) {
        match self {
            Handle::Process(_) => self.signal(Signal::KILL),
            #[cfg(target_os = "linux")]
            Handle::Jail(jail) => jail.kill(),
        }
    }

    /// The console has told the command.
    #[cfg(not(unix))]
    fn pass_on(&self, arrived: Arrived) {
        match (self, arrived) {
            (Handle::None, Arrived::Interrupt(Reached::Everybody)) => {}
        }
    }

    /// It ends when nobody waits for it any more.
    #[cfg(not(unix))]
    fn kill(&self) {}
}

impl Started {
    pub(super) async fn supervise(self, signals: Signals) -> anyhow::Result<Ended> {
        match self {
            Started::Running(command) => command.supervise(signals).await,
            Started::Not(ended) => Ok(ended),
        }
    }
}
