//! A signal ends what was started with the program, and nothing of it stays behind.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const DEADLINE: Duration = Duration::from_secs(60);
const SIGNALS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// A build of the workspace leaves it beside this program; alone, this test builds it.
fn egret() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_egret-bench")).with_file_name("egret");
    if !beside.exists() {
        let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
        let built = Command::new(env!("CARGO")).args(["build", "--package", "egret", "--profile", profile]).status();
        assert!(built.unwrap().success(), "egret does not build");
    }
    beside
}

fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        match probe() {
            Some(found) => return found,
            None if Instant::now() >= until => panic!("{what}: not in time"),
            None => sleep(Duration::from_millis(20)),
        }
    }
}

/// Processes that are no zombies.
fn children(of: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let child = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let (state, parent) = (fields.next()?, fields.next()?);
        (state != "Z" && parent == of.to_string()).then_some(pid)
    };
    processes.filter_map(|entry| child(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Once it has started Egret to serve. Before that it asks for the version, and has nothing to clean up.
fn egret_of(bench: &mut Child) -> u32 {
    eventually("egret starts", || {
        assert_eq!(bench.try_wait().unwrap(), None, "it ended before its egret began");
        children(bench.id()).into_iter().find(|pid| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.split(|byte| *byte == 0).any(|it| it == b"serve"))
        })
    })
}

fn bench(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret-bench"));
    command.args(args).arg("--egret").arg(egret()).env("TMPDIR", folder).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn send(bench: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(bench.id()).unwrap()).unwrap(), signal).unwrap();
}

/// By its own end, with this exit code and these words, without its child, and with an empty folder.
fn check(args: &[&str], signal: Signal, code: i32, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = bench(args, folder.path()).spawn().unwrap();
    let egret = egret_of(&mut bench);
    send(&bench, signal);
    let ended = bench.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(code), "{args:?} after {signal:?}: {}: {said}", ended.status);
    assert!(said.contains(words), "{args:?} after {signal:?}: {said}");
    assert!(!Path::new(&format!("/proc/{egret}")).exists(), "{args:?} after {signal:?}: egret still runs");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{args:?} after {signal:?}: {left:?}");
}

/// As `egret-bench attack` makes one for itself.
fn has_namespaces() -> bool {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "--mount", "sh", "-c", "ip link set lo up && nft list tables"]);
    let made = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !made {
        let why = "no network namespace can be made here";
        assert!(std::env::var_os("EGRET_NO_SKIP").is_none(), "{why}, and no test may be skipped here");
        let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
    }
    made
}

#[test]
fn load_stops_what_it_has_started() {
    for signal in SIGNALS {
        check(&["load", "--workload", "tunnel", "--seconds", "600"], signal, 1, "egret-bench: ");
    }
}

#[test]
fn attack_stops_what_it_has_started() {
    if has_namespaces() {
        for signal in SIGNALS {
            check(&["attack", "--profile", "strict"], signal, 2, "egret-bench: ");
        }
    }
}

#[test]
fn compare_keeps_what_there_is_when_the_terminal_is_gone() {
    let kept = tempfile::tempdir().unwrap();
    let out = kept.path().join("today");
    let args = ["compare", "--quick", "--doors", "explicit", "--workloads", "tunnel", "--seconds", "600", "--out"];
    check(&[&args[..], &[out.to_str().unwrap()]].concat(), Signal::HUP, 1, "interrupted");
    assert!(out.with_extension("json").exists() && out.with_extension("md").exists());
}

/// `nohup` has the signal ignored, and so it stays.
#[test]
fn who_was_told_to_ignore_the_end_of_the_terminal_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let inner = bench(&["load", "--workload", "tunnel", "--seconds", "600"], folder.path());
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(inner.get_program()).args(inner.get_args());
    let mut bench = command.env("TMPDIR", folder.path()).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let egret = egret_of(&mut bench);
    send(&bench, Signal::HUP);
    sleep(Duration::from_millis(500));
    assert_eq!(bench.try_wait().unwrap(), None, "it has ended");
    send(&bench, Signal::TERM);
    bench.wait().unwrap();
    assert!(!Path::new(&format!("/proc/{egret}")).exists(), "egret still runs");
}
