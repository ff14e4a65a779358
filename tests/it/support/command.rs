//! Runs the real binary to its end, within a deadline. No variable `EGRET_…` of whoever runs the tests gets in.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::DEADLINE;

pub const BINARY: &str = env!("CARGO_BIN_EXE_egret");

/// The binary, in a clean environment.
pub fn egret() -> Command {
    clean(BINARY)
}

/// The same with so many descriptors, soft and hard.
pub fn egret_with_descriptors(limit: usize) -> Command {
    let mut shell = clean("sh");
    shell.args(["-c", &format!("ulimit -n {limit} && exec \"$@\""), "sh", BINARY]);
    shell
}

/// A program in the environment of whoever runs the tests, without a variable of Egret's.
pub fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EGRET_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Copies a program, in a process of its own: a file that this one has open for writing, another test's child that
/// begins just then has open as well, and it could not be run.
pub fn install(program: impl AsRef<Path>, to: impl AsRef<Path>) {
    let mut install = Command::new("install");
    let copied = install.args(["-m", "755", "--"]).args([program.as_ref(), to.as_ref()]).status();
    assert!(copied.is_ok_and(|status| status.success()), "install {}", to.as_ref().display());
}

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs a command in the root of the repository.
pub fn run(args: &[&str]) -> Answer {
    run_with_input(args, "")
}

pub fn run_with_input(args: &[&str], input: &str) -> Answer {
    let mut command = egret();
    finish(command.args(args), input)
}

/// Feeds a command its standard input and waits for its end.
pub fn finish(command: &mut Command, input: &str) -> Answer {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A command that reads nothing closes its end.
    let feeding = std::thread::spawn(move || stdin.write_all(input.as_bytes()).is_ok());
    let (end, ended) = std::sync::mpsc::sync_channel(1);
    let pid = child.id();
    std::thread::spawn(move || end.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(DEADLINE) else {
        signal(pid, "KILL");
        panic!("{command:?} does not end");
    };
    feeding.join().unwrap();
    let Output { status, stdout, stderr } = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

/// A signal to a process that a test started.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}
