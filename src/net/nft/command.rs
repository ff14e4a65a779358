//! Runs `nft` and `ip`, the two programs that write the rules.
//!
//! Programs rather than netlink: what is written is then what people can read, print and run themselves.

use std::io::{self, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// A ruleset is loaded in milliseconds; a kernel may have to look for modules first.
const DEADLINE: Duration = Duration::from_secs(20);

/// Where they are when the search path of whoever asks is a user's.
const PLACES: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

/// Lines of what a program says that are told.
const TOLD: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Nft,
    Ip,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Nft => "nft",
            Program::Ip => "ip",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Program::Nft => "nftables",
            Program::Ip => "iproute2",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum NftError {
    #[error("`{program}` is not here\n  = mend: install the package {package}", program = .0.name(), package = .0.package())]
    NotInstalled(Program),
    #[error(
        "`{command}` is not permitted: {said}\n  = mend: run it as root, or with CAP_NET_ADMIN: sudo egret …; \
         a container needs --cap-add NET_ADMIN; or pipe the script of --print to somebody who may"
    )]
    NotPermitted { command: String, said: String },
    #[error(
        "`{command}` failed: {said}\n  = mend: the kernel has to know nftables with tproxy, socket, fib, redirect and \
         conntrack (Linux 5.2 and nftables 0.9.3 or newer); in a container its modules have to be loaded outside: \
         modprobe -a nft_tproxy nft_socket nft_fib_inet nft_redir nft_ct"
    )]
    NotSupported { command: String, said: String },
    #[error("`{command}` failed: {said}\n  = mend: ip link set lo up")]
    LoopbackDown { command: String, said: String },
    #[error("`{command}` failed: {said}")]
    Refused { command: String, said: String },
    #[error("nft does not say which table it wrote\n  = mend: it has to be nftables 0.9.3 or newer")]
    NotNumbered,
    #[error("`{command}` did not end within {} seconds", DEADLINE.as_secs())]
    TooSlow { command: String },
    #[error("cannot run `{command}`: {error}")]
    NotRun { command: String, error: io::Error },
}

/// Runs a program to its end, with `input` to read; what it wrote to standard output.
pub(super) fn run(program: Program, args: &[&str], input: &str) -> Result<String, NftError> {
    let command = format!("{} {}", program.name(), args.join(" "));
    let child = start(program, args).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => NftError::NotInstalled(program),
        _ => NftError::NotRun { command: command.clone(), error },
    })?;
    let output = finish(child, input.to_owned());
    let Some(output) = output else { return Err(NftError::TooSlow { command }) };
    let output = output.map_err(|error| NftError::NotRun { command: command.clone(), error })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(refusal(program, command, &String::from_utf8_lossy(&output.stderr)))
}

fn start(program: Program, args: &[&str]) -> io::Result<Child> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program.name());
    command.args(args).env("PATH", format!("{path}:{PLACES}")).env("LC_ALL", "C");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// None at the deadline, when the program is killed.
fn finish(mut child: Child, input: String) -> Option<io::Result<Output>> {
    let pid = rustix::process::Pid::from_child(&child);
    let (end, ended) = sync_channel(1);
    std::thread::spawn(move || {
        let stdin = child.stdin.take();
        // A program that has read enough says by its exit code what it thinks of it.
        let _ = stdin.map(|mut stdin| stdin.write_all(input.as_bytes()));
        // Nobody waits any more once the deadline is over.
        let _ = end.send(child.wait_with_output());
    });
    let output = ended.recv_timeout(DEADLINE).ok();
    if output.is_none() {
        // It may have ended in this moment.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    output
}

fn refusal(program: Program, command: String, stderr: &str) -> NftError {
    let said = told(stderr);
    let has = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
    if has(&["Operation not permitted", "Permission denied", "must be root"]) {
        return NftError::NotPermitted { command, said };
    }
    let lacking = ["Could not process rule", "not supported", "syntax error", "cache initialization failed"];
    if program == Program::Nft && has(&lacking) {
        return NftError::NotSupported { command, said };
    }
    match has(&["device is not up", "Network is down"]) {
        true => NftError::LoopbackDown { command, said },
        false => NftError::Refused { command, said },
    }
}

/// The first lines, in one.
fn told(stderr: &str) -> String {
    let lines =
        stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !line.trim_matches(['^', '~']).is_empty());
    let told: Vec<&str> = lines.take(TOLD).collect();
    if told.is_empty() { "it does not say why".to_owned() } else { told.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_say_is_told_with_a_mend() {
        let check = |program, stderr: &str, expected: &str| {
            let shown = refusal(program, "cmd".to_owned(), stderr).to_string();
            assert!(shown.starts_with(expected), "{shown}");
        };
        let denied = "netlink: Error: cache initialization failed: Operation not permitted\n";
        check(Program::Nft, denied, "`cmd` is not permitted: netlink: Error: cache initialization failed: Operation");
        let lacking = "/dev/stdin:1:2-3: Error: Could not process rule: No such file or directory\nfib x\n^^^^\n";
        let said = "`cmd` failed: /dev/stdin:1:2-3: Error: Could not process rule: No such file or directory; fib x\n  = mend: the kernel";
        check(Program::Nft, lacking, said);
        let down = "`cmd` failed: Error: Nexthop device is not up.\n  = mend: ip link set lo up";
        check(Program::Ip, "Error: Nexthop device is not up.\n", down);
        check(Program::Ip, "", "`cmd` failed: it does not say why");
    }

    #[test]
    fn a_program_gets_its_input_and_says_how_it_ended() {
        let listed = run(Program::Ip, &["-Version"], "nobody reads this").unwrap();
        assert!(listed.contains("ip utility"), "{listed}");
        assert!(matches!(run(Program::Ip, &["nonsense"], ""), Err(NftError::Refused { .. })));
    }
}
