//! A command whose only way out are sockets that Egret holds. Linux only.
//!
//! [`Jail::start`] runs this program again, in namespaces of its own, and gets back [`Sockets`] that were opened
//! inside. Whatever the command connects to, TCP arrives at the gateway listeners, DNS at the DNS sockets and other
//! UDP at a transparent socket, the original destination recoverable from each; nothing else leaves. What to do with
//! them is not decided here: this is mechanism, and knows no policy.
//!
//! # Processes
//!
//! ```text
//! egret ── outer ── init ── the command ── …
//!          │        └ PID 1 inside; sets up the network, opens sockets, reaps. Ends with the command
//!          └ made the namespaces, which only its children are in. Ends with the init, or dies with Egret
//! ```
//!
//! Each is this program under the word [`STAGE`]: no `fork`, which is unsound beside threads. They talk over a
//! sequenced-packet socket, the init's standard input; the command's own standard input is sent through it.
//! The end of that socket, and the parent's death, end the init, and with the first process of a PID namespace the
//! kernel ends all others in it: nothing outlives Egret, however it dies.
//!
//! # What holds the command
//!
//! It has no capability in the namespaces' owner and cannot gain one, so it can change neither rules nor routes, open
//! no raw socket, trace nothing that has more, and enter no other namespace. Namespaces that it makes itself lie
//! within, and have no network at all. Sockets that no network namespace holds, and typing into the caller's terminal,
//! are refused by a filter of system calls; sockets that the caller left open are closed. Root's command reads the
//! kernel's settings and cannot write them. What it can do as before: use files, devices and the Unix sockets of other
//! processes. One that speaks to a daemon of this machine (Docker's, D-Bus) has that daemon's network.

mod channel;
mod confine;
mod init;
mod mounts;
mod network;
mod outer;
mod refusal;
mod seccomp;
mod sockets;
mod sources;

use std::ffi::OsString;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use channel::Channel;
use init::{Order, Report};

pub use refusal::{JailError, Refusal, StageError};
pub use rustix::process::Signal;
pub use sockets::Sockets;
pub use sources::Sources;

/// The word that makes this program a part of a jail: `egret __jail outer -- command`.
pub const STAGE: &str = "__jail";

/// This program, also when its file was replaced or removed since.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// For each message of the start, of which there are as many as sockets. Before the first one two programs run; no peer
/// is waited for.
const START: Duration = Duration::from_secs(30);

/// For one socket from the init, which does nothing else that could take long.
const ONE_SOCKET: Duration = Duration::from_secs(2);

/// What to run, and what it sees.
#[derive(Debug, Clone)]
pub struct Spec {
    pub program: OsString,
    pub args: Vec<OsString>,
    /// Beside what this process has.
    pub env: Vec<(OsString, OsString)>,
    /// Ports of the loopback addresses that lead to the gateway, rather than to what listens inside.
    pub host_ports: Vec<u16>,
    /// Where its connections come from.
    pub sources: Sources,
    /// How many gateway listeners share a port.
    pub workers: usize,
    pub ipv6: Ipv6,
}

/// Is there a way to IPv6 addresses?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ipv6 {
    Routed,
    /// Only `::1`: everything else is unreachable at once, and programs do not ask for such addresses.
    Loopback,
}

impl Ipv6 {
    /// As this machine has it. Nothing is sent.
    pub fn of_this_machine() -> Ipv6 {
        let anywhere = SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9));
        let routed = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).and_then(|socket| socket.connect(anywhere));
        if routed.is_ok() { Ipv6::Routed } else { Ipv6::Loopback }
    }
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    Exited(u8),
    Killed { signal: u8 },
}

/// What is left to say where the init had no time to.
const KILLED: Ended = Ended::Killed { signal: 9 };

impl Ended {
    /// As a shell has it.
    pub fn exit_code(self) -> u8 {
        match self {
            Ended::Exited(code) => code,
            Ended::Killed { signal } => 128 + signal,
        }
    }
}

/// Namespaces with an init in them and, from [`Jail::run`] on, the command. Dropping it ends all of that.
#[derive(Debug)]
pub struct Jail {
    control: Channel,
    outer: Mutex<Child>,
    reply_sockets: ReplySockets,
    /// The init's end of `reply_sockets`, until it is handed over.
    answering: Mutex<Option<Channel>>,
    sockets: Mutex<Option<Sockets>>,
}

impl Jail {
    /// Makes the namespaces and everything in them but the command.
    ///
    /// The init dies with the thread that calls this, not only with the process: call it on the main thread.
    pub fn start(spec: Spec) -> Result<Jail, JailError> {
        let Spec { program, args, env, host_ports, sources, workers, ipv6 } = spec;
        let (control, theirs) = Channel::pair()?;
        let (asking, answering) = Channel::pair()?;
        asking.set_deadline(Some(ONE_SOCKET))?;
        control.set_deadline(Some(START))?;
        let outer = spawn_outer(theirs, &program, &args, env)?;
        let mut jail = Jail {
            control,
            outer: Mutex::new(outer),
            reply_sockets: ReplySockets(Arc::new(Mutex::new(asking))),
            answering: Mutex::new(Some(answering)),
            sockets: Mutex::new(None),
        };
        // Whoever is not there to read it has said why, or ended without a word.
        let _ = jail.control.send(&Order::SetUp { host_ports, sources, workers, ipv6 }, &[]);
        jail.sockets = Mutex::new(Some(jail.receive_sockets()?));
        jail.control.set_deadline(None)?;
        Ok(jail)
    }

    fn receive_sockets(&self) -> Result<Sockets, JailError> {
        let mut sockets = Sockets::default();
        loop {
            match self.control.receive().map_err(JailError::from_start)? {
                Some((Report::Sockets(kind), fds)) => sockets.add(kind, fds),
                Some((Report::Ready, _)) => return Ok(sockets),
                Some((Report::Refused(refusal), _)) => return Err(JailError::Refused(refusal)),
                Some((Report::Ended(_), _)) | None => return Err(JailError::Vanished),
            }
        }
    }

    /// The sockets that were opened inside, once.
    pub fn take_sockets(&self) -> Option<Sockets> {
        lock(&self.sockets).take()
    }

    pub fn reply_sockets(&self) -> ReplySockets {
        self.reply_sockets.clone()
    }

    /// Starts the command, on this process's standard input, output and error.
    pub fn run(&self) -> io::Result<()> {
        let Some(answering) = lock(&self.answering).take() else { return Ok(()) };
        self.control.send(&Order::Run, &[io::stdin().as_fd(), answering.as_fd()])
    }

    /// Sends a signal to the command alone. Nothing happens where it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.control.send(&Order::Signal(signal.as_raw()), &[])
    }

    /// Ends everything inside, without asking it. [`Jail::wait`] returns then.
    pub fn kill(&self) {
        self.control.close();
    }

    /// Blocks until the command and all that it left running are gone.
    pub fn wait(&self) -> io::Result<Ended> {
        let ended = match self.control.receive()? {
            Some((Report::Ended(ended), _)) => ended,
            _ => KILLED,
        };
        lock(&self.outer).wait()?;
        Ok(ended)
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        self.control.close();
        let outer = self.outer.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It may have ended already; then there is nothing to kill, and the status is known.
        let _ = outer.kill();
        let _ = outer.wait();
    }
}

/// Sockets for answers in the name of somebody outside. For any thread: they take turns.
#[derive(Debug, Clone)]
pub struct ReplySockets(Arc<Mutex<Channel>>);

impl ReplySockets {
    /// A socket of the jail's network that is bound to this address, whosever it is, and does not block.
    ///
    /// Asks the init, which takes a fraction of a millisecond; at most [`ONE_SOCKET`].
    pub fn open(&self, from: SocketAddr) -> io::Result<UdpSocket> {
        let channel = lock(&self.0);
        channel.send(&from, &[])?;
        loop {
            let (answer, fds) = channel.receive::<init::Answer>()?.ok_or(io::ErrorKind::NotConnected)?;
            // An answer that came after its deadline was for somebody else.
            if answer.from != from {
                continue;
            }
            return match (answer.errno, fds.into_iter().next()) {
                (None, Some(socket)) => Ok(socket.into()),
                (errno, _) => Err(errno.map_or(io::ErrorKind::Other.into(), io::Error::from_raw_os_error)),
            };
        }
    }
}

/// The rest of a command line that began with [`STAGE`]: what a process of the jail does.
pub fn stage(args: impl IntoIterator<Item = OsString>) -> Result<ExitCode, StageError> {
    let mut args = args.into_iter();
    let (stage, separator) = (args.next(), args.next());
    let command = (args.next(), separator.filter(|word| word == "--"), stage);
    let (Some(program), Some(_), Some(stage)) = command else { return Err(StageError::NotForPeople) };
    let args: Vec<OsString> = args.collect();
    match stage.to_str() {
        Some("outer") => outer::run(&program, &args),
        Some("init") => init::run(&program, &args),
        Some("command") => Err(confine::become_command(program, &args)),
        _ => Err(StageError::NotForPeople),
    }
}

/// This program again, as a part of the jail.
fn next_stage(stage: &str, program: &OsString, args: &[OsString]) -> Command {
    let mut next = Command::new(THIS_PROGRAM);
    next.arg0("egret").args([STAGE, stage, "--"]).arg(program).args(args);
    next
}

fn spawn_outer(
    control: Channel,
    program: &OsString,
    args: &[OsString],
    env: Vec<(OsString, OsString)>,
) -> io::Result<Child> {
    next_stage("outer", program, args).envs(env).stdin(control).spawn()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
