//! The first process inside: it arranges the network, opens the sockets, starts the command and reaps.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::thread;

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal, wait};
use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::refusal::{Refusal, StageError};
use super::sockets::{self, Kind};
use super::sources::Sources;
use super::{Ended, Ipv6, mounts, network, next_stage, outer};

/// Egret to the init.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    SetUp {
        host_ports: Vec<u16>,
        sources: Sources,
        workers: usize,
        ipv6: Ipv6,
    },
    /// With the command's standard input, and the channel on which reply sockets are asked for.
    Run,
    Signal(i32),
}

/// The init, or the outer process before it, to Egret.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    Refused(Refusal),
    /// With one of these sockets.
    Sockets(Kind),
    Ready,
    Ended(Ended),
}

/// To the request for a socket, which is an address. With the socket, or with the number of an error.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) from: SocketAddr,
    pub(super) errno: Option<i32>,
}

pub(super) fn run(program: &OsString, args: &[OsString]) -> Result<ExitCode, StageError> {
    let control = Channel::from_stdin()?;
    outer::hide()?;
    let Some((Order::SetUp { host_ports, sources, workers, ipv6 }, _)) = control.receive()? else {
        return Ok(ExitCode::FAILURE);
    };
    if let Err(refusal) = set_up(&control, &host_ports, sources, workers, ipv6) {
        control.send(&Report::Refused(refusal), &[])?;
        return Ok(ExitCode::FAILURE);
    }
    control.send(&Report::Ready, &[])?;
    // Signals are none before the command; without an order there is no Egret.
    let Some((Order::Run, descriptors)) = control.receive()? else { return Ok(ExitCode::FAILURE) };
    let ended = run_command(Arc::new(control), descriptors, program, args)?;
    Ok(ExitCode::from(ended.exit_code()))
}

fn set_up(control: &Channel, host_ports: &[u16], sources: Sources, workers: usize, ipv6: Ipv6) -> Result<(), Refusal> {
    mounts::arrange()?;
    let families = network::set_up(host_ports, sources, ipv6)?;
    for (kind, socket) in sockets::open(&families, workers)? {
        control.send(&Report::Sockets(kind), &[socket.as_fd()]).map_err(Refusal::of_sockets)?;
    }
    Ok(())
}

/// Starts the command and waits for it, serving Egret meanwhile. The kernel ends what it leaves behind, as soon as
/// this process ends, and this process's parent sees it end only then.
fn run_command(
    control: Arc<Channel>,
    descriptors: Vec<OwnedFd>,
    program: &OsString,
    args: &[OsString],
) -> Result<Ended, StageError> {
    let Ok([stdin, replies]) = <[OwnedFd; 2]>::try_from(descriptors) else { return Err(StageError::NotForPeople) };
    let command = next_stage("command", program, args).stdin(Stdio::from(stdin)).spawn()?;
    let pid = Pid::from_child(&command);
    let handle = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from)?;
    let orders = Arc::clone(&control);
    thread::spawn(move || obey(&orders, &handle));
    thread::spawn(move || answer(&Channel::from(replies)));
    let ended = reap(pid)?;
    // Where nobody hears it, Egret is gone.
    let _ = control.send(&Report::Ended(ended), &[]);
    Ok(ended)
}

/// Passes signals on. When Egret is gone, the command ends, and with it everything.
fn obey(orders: &Channel, command: &OwnedFd) {
    while let Ok(Some((order, _))) = orders.receive() {
        let Order::Signal(number) = order else { continue };
        if let Some(signal) = Signal::from_named_raw(number) {
            // It may have ended meanwhile.
            let _ = pidfd_send_signal(command, signal);
        }
    }
    let _ = pidfd_send_signal(command, Signal::KILL);
}

/// Opens sockets until nobody asks any more.
fn answer(replies: &Channel) {
    while let Ok(Some((from, _))) = replies.receive::<SocketAddr>() {
        let sent = match sockets::reply_socket(from) {
            Ok(socket) => replies.send(&Answer { from, errno: None }, &[socket.as_fd()]),
            Err(error) => replies.send(&Answer { from, errno: error.raw_os_error() }, &[]),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Waits for everybody, as an init has to, until the command has ended.
fn reap(command: Pid) -> io::Result<Ended> {
    loop {
        match rustix::io::retry_on_intr(|| wait(WaitOptions::empty()))? {
            Some((pid, status)) if pid == command => return Ok(ended(status)),
            _ => {}
        }
    }
}

fn ended(status: WaitStatus) -> Ended {
    let low_byte = |number: i32| number.to_le_bytes()[0];
    match status.terminating_signal() {
        Some(signal) => Ended::Killed { signal: low_byte(signal) },
        None => Ended::Exited(status.exit_status().map_or(u8::MAX, low_byte)),
    }
}
