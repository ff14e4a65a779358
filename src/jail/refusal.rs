//! Why there is no jail, and what to do about it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

/// Of what a tool says, in characters: the error is on the first lines.
const SAID: usize = 1000;

#[derive(Debug, thiserror::Error)]
pub enum JailError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("cannot start the jail: {0}")]
    Start(#[from] io::Error),
    #[error("the jail was not ready in time: `ip` or `nft` may hang")]
    TookTooLong,
    #[error("the jail ended before it was ready: something killed it")]
    Vanished,
}

impl JailError {
    pub(super) fn from_start(error: io::Error) -> JailError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => JailError::TookTooLong,
            _ => JailError::Start(error),
        }
    }
}

/// Of a process of the jail that Egret cannot hear, or need not.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("this is a part of `egret run`, and of no use by itself")]
    NotForPeople,
    #[error("the jail lost its connection to egret: {0}")]
    Control(#[from] io::Error),
    #[error("cannot give up capabilities: {0}")]
    CannotConfine(io::Error),
    #[error("cannot run {}: {error}", program.display())]
    CannotRun { program: OsString, error: io::Error },
}

impl StageError {
    /// As a shell has it for a command that it cannot run; otherwise as Egret has it.
    pub fn exit_code(&self) -> u8 {
        match self {
            StageError::CannotRun { error, .. } if error.kind() == io::ErrorKind::NotFound => 127,
            StageError::CannotRun { .. } => 126,
            StageError::NotForPeople => 2,
            StageError::Control(_) | StageError::CannotConfine(_) => 4,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tool {
    Ip,
    Nft,
}

impl Tool {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Tool::Ip => "ip",
            Tool::Nft => "nft",
        }
    }

    /// The name is the same in all the distributions that have one.
    fn package(self) -> &'static str {
        match self {
            Tool::Ip => "iproute2 (iproute on Fedora)",
            Tool::Nft => "nftables",
        }
    }
}

/// What the machine does not let us do, or does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    #[error(
        "ordinary users may not make namespaces here: kernel.unprivileged_userns_clone is 0 \
         (as root: sysctl -w kernel.unprivileged_userns_clone=1)"
    )]
    UsernsCloneIsOff,
    #[error("no namespace may be made here: user.{limit} is 0 (as root: sysctl -w user.{limit}=10000)")]
    LimitIsZero { limit: String },
    #[error(
        "there are as many namespaces as there may be: see /proc/sys/user (as root: sysctl -w \
         user.max_user_namespaces=10000, and so for net, pid and mnt)"
    )]
    TooManyNamespaces,
    #[error(
        "AppArmor lets ordinary users make no namespaces: kernel.apparmor_restrict_unprivileged_userns is 1 \
         (as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0; or, for Egret alone, put \
         `abi <abi/4.0>, include <tunables/global> profile egret {program} flags=(unconfined) {{ userns, }}` \
         in /etc/apparmor.d/egret and load it with apparmor_parser -r)"
    )]
    AppArmor { program: String },
    #[error(
        "a seccomp filter, as containers have, forbids new namespaces \
         (docker run --security-opt seccomp=unconfined, or --cap-add SYS_ADMIN --cap-add NET_ADMIN)"
    )]
    Seccomp,
    #[error(
        "root has no CAP_SYS_ADMIN and CAP_NET_ADMIN here, as in a container, and may not make a user namespace \
         either (docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN)"
    )]
    RootWithoutCapabilities,
    #[error("this kernel has no user, network or PID namespaces")]
    NoNamespaces,
    #[error("{step}: {error}")]
    Namespaces { step: String, error: String },
    #[error("there is no `{}` here, which the jail's network is made with (install the package {})",
        tool.as_str(), tool.package())]
    ToolMissing { tool: Tool },
    #[error(
        "this kernel lacks parts of nf_tables (as root: modprobe -a nf_tables nft_chain_nat nft_redir nft_ct \
         nft_reject_inet): {said}"
    )]
    NoNftables { said: String },
    #[error("this kernel lacks TPROXY, which UDP needs (as root: modprobe nft_tproxy): {said}")]
    NoTproxy { said: String },
    #[error("`{}` cannot make the jail's network: {said}", tool.as_str())]
    Tool { tool: Tool, said: String },
    #[error(
        "cannot guard the kernel's files, which root could get out by: {said} (run it as an ordinary user; in a \
         container: --security-opt apparmor=unconfined for Docker, and --security-opt unmask=ALL for Podman; in a chroot: \
         mount --bind its folder on itself before)"
    )]
    Mounts { said: String },
    #[error("cannot open the jail's sockets: {error}")]
    Sockets { error: String },
}

impl Refusal {
    /// Looks for the switch that is in the way.
    pub(super) fn of_namespaces(step: &str, error: io::Error) -> Refusal {
        let otherwise = || Refusal::Namespaces { step: step.to_owned(), error: error.to_string() };
        match error.kind() {
            io::ErrorKind::PermissionDenied => of_missing_right().unwrap_or_else(otherwise),
            io::ErrorKind::InvalidInput => Refusal::NoNamespaces,
            // What the kernel says of a limit on namespaces, too.
            io::ErrorKind::StorageFull => of_limits(),
            _ => otherwise(),
        }
    }

    pub(super) fn of_unusable(tool: Tool, error: &io::Error) -> Refusal {
        Refusal::Tool { tool, said: error.to_string() }
    }

    /// A tool that failed. Whose rule the kernel does not know, `nft` quotes.
    pub(super) fn of_tool(tool: Tool, said: &str) -> Refusal {
        let said: String = said.trim().chars().take(SAID).collect();
        let is_unknown = ["No such file or directory", "not supported", "Protocol not"];
        match tool {
            Tool::Nft if is_unknown.iter().any(|words| said.contains(words)) => match said.contains("tproxy") {
                true => Refusal::NoTproxy { said },
                false => Refusal::NoNftables { said },
            },
            _ => Refusal::Tool { tool, said },
        }
    }

    pub(super) fn of_mounts(error: &io::Error) -> Refusal {
        Refusal::Mounts { said: error.to_string() }
    }

    pub(super) fn of_sockets(error: io::Error) -> Refusal {
        Refusal::Sockets { error: error.to_string() }
    }
}

fn of_missing_right() -> Option<Refusal> {
    let is = |switch: &str, value: &str| read(switch).is_some_and(|text| text == value);
    let is_root = geteuid().is_root();
    if !is_root && is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return Some(Refusal::AppArmor { program: this_program() });
    }
    if !is_root && is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return Some(Refusal::UsernsCloneIsOff);
    }
    if is_root {
        return Some(Refusal::RootWithoutCapabilities);
    }
    has_seccomp_filter().then_some(Refusal::Seccomp)
}

fn of_limits() -> Refusal {
    let limits = ["max_user_namespaces", "max_net_namespaces", "max_pid_namespaces", "max_mnt_namespaces"];
    let zero = limits.iter().find(|limit| read(&format!("/proc/sys/user/{limit}")).as_deref() == Some("0"));
    match zero {
        Some(limit) => Refusal::LimitIsZero { limit: (*limit).to_owned() },
        None => Refusal::TooManyNamespaces,
    }
}

fn has_seccomp_filter() -> bool {
    let status = read("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"]))
}

fn this_program() -> String {
    fs::read_link(Path::new(super::THIS_PROGRAM)).map_or_else(|_| "egret".to_owned(), |path| path.display().to_string())
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_says_tells_what_is_missing() {
        let check = |tool, said: &str, expected: &str| {
            let message = Refusal::of_tool(tool, said).to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(Tool::Nft, "Error: Could not process rule: No such file or directory\n tproxy ip to", "lacks TPROXY");
        check(Tool::Nft, "Error: Could not process rule: No such file or directory\n redirect", "lacks parts");
        check(Tool::Nft, "netlink: Error: cache initialization failed: Protocol not supported", "lacks parts");
        check(Tool::Nft, "Error: syntax error", "`nft` cannot make the jail's network: Error: syntax error");
        check(Tool::Ip, "RTNETLINK answers: No such file or directory", "`ip` cannot make the jail's network: RTNET");
    }

    #[test]
    fn an_error_in_starting_says_which() {
        let check = |error, expected: &str| {
            let message = Refusal::of_namespaces("cannot make namespaces", io::Error::from(error)).to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(io::ErrorKind::InvalidInput, "this kernel has no user, network or PID namespaces");
        check(io::ErrorKind::NotFound, "cannot make namespaces: entity not found");
    }

    #[test]
    fn a_command_that_cannot_be_run_ends_as_in_a_shell() {
        let check = |kind: io::ErrorKind, expected| {
            let error = StageError::CannotRun { program: "make".into(), error: kind.into() };
            assert_eq!(error.exit_code(), expected);
        };
        check(io::ErrorKind::NotFound, 127);
        check(io::ErrorKind::PermissionDenied, 126);
    }
}
