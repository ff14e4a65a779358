//! The last process before the command: it gives up what could lead out, and becomes the command.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::geteuid;
use rustix::thread::CapabilitySet;

use crate::net::rights::keep_only;

use super::refusal::StageError;
use super::seccomp;

/// What root keeps: power over files and users, which installers and tests need, and over its own processes.
///
/// Left out, as they lead around the rules or out of the namespaces: NET_ADMIN and NET_RAW (rules, routes, raw
/// sockets); SYS_ADMIN (entering another namespace, mounts); SYS_PTRACE (making a process outside do it, and reading
/// its namespaces); SYS_MODULE, SYS_BOOT, SYS_RAWIO, MKNOD (the kernel, its memory and its disks); BPF and PERFMON
/// (programs in the kernel's network path). SYS_TIME, SYSLOG, the MAC and audit rules, and whatever a later kernel
/// invents are the machine's, not the command's.
const ROOT_KEEPS: [CapabilitySet; 19] = [
    CapabilitySet::CHOWN,
    CapabilitySet::DAC_OVERRIDE,
    CapabilitySet::DAC_READ_SEARCH,
    CapabilitySet::FOWNER,
    CapabilitySet::FSETID,
    CapabilitySet::KILL,
    CapabilitySet::SETGID,
    CapabilitySet::SETUID,
    CapabilitySet::SETPCAP,
    CapabilitySet::LINUX_IMMUTABLE,
    CapabilitySet::NET_BIND_SERVICE,
    CapabilitySet::IPC_LOCK,
    CapabilitySet::IPC_OWNER,
    CapabilitySet::SYS_CHROOT,
    CapabilitySet::SYS_NICE,
    CapabilitySet::SYS_RESOURCE,
    CapabilitySet::LEASE,
    CapabilitySet::AUDIT_WRITE,
    CapabilitySet::SETFCAP,
];

/// Returns only where the command cannot be run.
pub(super) fn become_command(program: OsString, args: &[OsString]) -> StageError {
    if let Err(error) = confine() {
        return StageError::CannotConfine(error);
    }
    let error = Command::new(&program).args(args).exec();
    let error = if is_anywhere(&program) { error } else { Errno::NOENT.into() };
    StageError::CannotRun { program, error }
}

/// A folder of the search path that may not be read makes the error a lack of permission; to a shell it is empty.
fn is_anywhere(program: &OsStr) -> bool {
    if Path::new(program).components().count() > 1 {
        return true;
    }
    is_in(&std::env::var_os("PATH").unwrap_or_default(), program)
}

pub(super) fn is_in(search_path: &OsStr, program: &OsStr) -> bool {
    std::env::split_paths(search_path).any(|folder| folder.join(program).exists())
}

/// Root gains its capabilities anew with each exec, up to the bounding set. Nobody gains any by a program's set-user-ID
/// bit or its file capabilities, with `no_new_privs`, which a filter takes: that is root's users as well.
fn confine() -> io::Result<()> {
    let keeps = if geteuid().is_root() { ROOT_KEEPS.into_iter().collect() } else { CapabilitySet::empty() };
    keep_only(keeps)?;
    seccomp::apply()
}
