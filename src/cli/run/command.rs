//! The command itself: started, waited for, told of signals.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::Instant;

use super::environment::Variables;
use super::signals::{Arrived, Signals};

/// Two interrupts within this end everything. Apart from that they are the command's: a shell may well want many.
const TWICE: Duration = Duration::from_secs(3);

/// A command that runs, in Egret's own process group: the terminal is its as well.
pub(super) struct Command {
    child: Child,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Exited(u8),
    /// By this signal.
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

    /// Why the command was not run, where it was not.
    pub(super) fn error(&self) -> Option<&str> {
        match self {
            Ended::NotFound(what) | Ended::NotRun(what) => Some(what),
            Ended::Exited(_) | Ended::Signalled(_) | Ended::Interrupted => None,
        }
    }

    pub(super) fn of_status(status: ExitStatus) -> Ended {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Ended::Signalled(u8::try_from(signal).unwrap_or(u8::MAX));
        }
        // Windows has larger codes; none of them is a success.
        Ended::Exited(status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1)))
    }

    pub(super) fn of_failure(program: &OsStr, error: &io::Error) -> Ended {
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
    /// With its caller's environment and these variables, and everything else its caller's.
    pub(super) fn start(line: &[OsString], variables: Variables) -> anyhow::Result<Started> {
        let [program, arguments @ ..] = line else {
            anyhow::bail!("there is no command to run");
        };
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).envs(variables).kill_on_drop(true);
        Ok(match command.spawn() {
            Ok(child) => Started::Running(Command { child }),
            Err(error) => Started::Not(Ended::of_failure(program, &error)),
        })
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            // It may have ended this very moment.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    fn pass_on(&self, arrived: Arrived) {
        #[cfg(unix)]
        match arrived {
            Arrived::Interrupt(super::signals::Reached::EgretAlone) => self.signal(rustix::process::Signal::INT),
            Arrived::Other(signal, super::signals::Reached::EgretAlone) => self.signal(signal),
            Arrived::Interrupt(_) | Arrived::Other(..) => {}
        }
        #[cfg(not(unix))]
        match arrived {
            Arrived::Interrupt(_) => {}
        }
    }
}

impl Started {
    /// To the command's end, or to the second interrupt's.
    pub(super) async fn supervise(self, mut signals: Signals) -> anyhow::Result<Ended> {
        let mut command = match self {
            Started::Running(command) => command,
            Started::Not(ended) => return Ok(ended),
        };
        let mut interrupted: Option<Instant> = None;
        loop {
            let arrived = tokio::select! {
                ended = command.child.wait() => return Ok(Ended::of_status(ended?)),
                arrived = signals.next() => arrived,
            };
            if matches!(arrived, Arrived::Interrupt(_)) {
                if interrupted.is_some_and(|before| before.elapsed() < TWICE) {
                    command.child.kill().await?;
                    return Ok(Ended::Interrupted);
                }
                interrupted = Some(Instant::now());
            }
            command.pass_on(arrived);
        }
    }
}
