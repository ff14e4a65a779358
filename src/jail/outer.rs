//! The first process: it makes the namespaces, and waits for the init that it starts in them.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::process::ExitCode;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::SigSet;
use nix::unistd::close;
use rustix::process::{
    DumpableBehavior, Signal, getegid, geteuid, set_dumpable_behavior, set_parent_process_death_signal,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set, set_capabilities,
};

use super::channel::Channel;
use super::init::Report;
use super::next_stage;
use super::refusal::{Refusal, StageError};

/// What the init needs: rules, routes and sockets in any name, reply sockets of ports below 1024, mounts, and dropping
/// capabilities for good.
const INIT_NEEDS: [CapabilitySet; 5] = [
    CapabilitySet::NET_ADMIN,
    CapabilitySet::NET_BIND_SERVICE,
    CapabilitySet::NET_RAW,
    CapabilitySet::SYS_ADMIN,
    CapabilitySet::SETPCAP,
];

pub(super) fn run(program: &OsString, args: &[OsString]) -> Result<ExitCode, StageError> {
    close_sockets()?;
    let control = Channel::from_stdin()?;
    match enter().and_then(|()| start_init(program, args)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(refusal) => {
            control.send(&Report::Refused(refusal), &[])?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Those that the caller left open are of its network, whoever uses them. Files and pipes are no way out, and some are
/// meant for the command, such as the job server's of `make`. The first three are its own.
fn close_sockets() -> io::Result<()> {
    let listed: Vec<PathBuf> = fs::read_dir("/proc/self/fd")?.flatten().map(|entry| entry.path()).collect();
    for descriptor in listed {
        let number = descriptor.file_name().and_then(|name| name.to_str()?.parse::<RawFd>().ok());
        // The folder's own is in the list and closed by now.
        let is_socket = fs::metadata(&descriptor).is_ok_and(|what| what.file_type().is_socket());
        if let Some(number) = number.filter(|number| is_socket && *number > 2) {
            close(number)?;
        }
    }
    Ok(())
}

/// New namespaces, with the right to arrange them. The PID namespace is for the next child.
fn enter() -> Result<(), Refusal> {
    let mut wanted = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    if !may_without_user_namespace() {
        wanted |= CloneFlags::CLONE_NEWUSER;
    }
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    unshare(wanted).map_err(|errno| Refusal::of_namespaces("cannot make namespaces", errno.into()))?;
    if wanted.contains(CloneFlags::CLONE_NEWUSER) {
        map_ids(uid, gid).map_err(|error| Refusal::of_namespaces("cannot map the user", error))?;
        pass_on_capabilities().map_err(|error| Refusal::of_namespaces("cannot keep capabilities", error))?;
    }
    hide().map_err(|error| Refusal::of_namespaces("cannot hide from the command", error))
}

/// Root of the machine, or of a container that has been given the right.
fn may_without_user_namespace() -> bool {
    let has = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    geteuid().is_root() && INIT_NEEDS.iter().all(|needed| has.contains(*needed))
}

/// The same user and group as outside, and no other. A process that could drop a group from its set could get
/// around a file's refusal to that group, so the kernel wants `setgroups` switched off first.
fn map_ids(uid: u32, gid: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}

/// An exec by anybody but root loses all capabilities that are not ambient.
fn pass_on_capabilities() -> io::Result<()> {
    let needed = INIT_NEEDS.into_iter().collect();
    let sets = capabilities(None)?;
    set_capabilities(None, CapabilitySets { inheritable: needed, ..sets })?;
    Ok(INIT_NEEDS.into_iter().try_for_each(|capability| configure_capability_in_ambient_set(capability, true))?)
}

/// Dies with the process that started this one, and is read or traced by nobody of the same user.
pub(super) fn hide() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// The first child in a PID namespace is its init. What it has to say it says to Egret.
fn start_init(program: &OsString, args: &[OsString]) -> Result<(), Refusal> {
    let mut init = next_stage("init", program, args)
        .spawn()
        .map_err(|error| Refusal::of_namespaces("cannot start the jail's init", error))?;
    // Ctrl-C is for the command, and an end with grace is asked of it through Egret. Whoever means this process
    // too, and not only the jail, has SIGKILL. A child starts with nothing blocked.
    SigSet::all().thread_block().map_err(|errno| Refusal::of_namespaces("cannot block signals", errno.into()))?;
    init.wait().map_err(|error| Refusal::of_namespaces("cannot wait for the jail's init", error))?;
    Ok(())
}
