//! The log cannot be written: a full disk, a limit on files, a reader that is gone, a folder that is gone.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{denied, reason_of, sequence};
use crate::support::command::{BINARY, clean, egret};
use crate::support::egret::Egret;
use crate::support::origin::Origin;
use crate::support::raw::{Client, connect, get};
use crate::support::{eventually, skip};

/// Whole records of a file.
fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn is_ready(egret: &Egret) -> bool {
    let answer = egret.get("/readyz");
    assert!(matches!((answer.status, answer.body.as_str()), (200, _) | (503, "log unavailable\n")), "{answer:?}");
    answer.status == 200
}

/// So many denied flows on one connection, all of them recorded.
fn many_denied(egret: &Egret, count: usize) {
    let mut client = Client::connect(egret.addr);
    for number in 0..count {
        client.send(connect(&format!("n{number}.evil.test:443")));
        assert_eq!(client.status(), 470);
    }
    let last = format!("n{}.evil.test", count - 1);
    eventually("the last is recorded", || egret.records(|it| it["host"] == last.as_str()).pop());
}

/// A limit on the size of files is a full disk, and no end: the kernel sends a signal with it.
#[test]
fn a_file_that_may_grow_no_more() {
    let mut command = clean("prlimit");
    command.args(["--fsize=32768", "--", BINARY]);
    let folder = tempfile::tempdir().unwrap();
    let mut egret = Egret::spawn_in(folder, command, "", &["--log-on-error=refuse"]);
    let mut client = Client::connect(egret.addr);
    let full = (0..1000).find(|number| {
        client.send(connect(&format!("n{number}.evil.test:443")));
        client.status();
        !is_ready(&egret)
    });
    let denied_until = full.expect("32 KiB are full by now");
    assert!(egret.stderr().contains("cannot write the flow log `log.json`: File too large"), "{}", egret.stderr());
    assert_eq!(denied(&egret, "late.evil.test"), 470);
    fs::rename(egret.path("log.json"), egret.path("log.1")).unwrap();
    eventually("it is written again", || is_ready(&egret).then_some(()));
    assert_eq!(denied(&egret, "again.evil.test"), 470);
    assert_eq!(reason_of(&egret, "late.evil.test"), "log-unavailable");
    assert_eq!(reason_of(&egret, "again.evil.test"), "not-allowed");
    egret.signal("TERM");
    assert!(egret.wait().success(), "{}", egret.stderr());
    let all = [records(&egret.path("log.1")), records(&egret.path("log.json"))].concat();
    assert_eq!(sequence(&all), (0..all.len() as u64).collect::<Vec<u64>>(), "{denied_until}");
    assert_eq!(all.last().unwrap()["counts"]["lost"], 0);
    assert!(egret.stderr().contains("`log.json` is written again; records lost meanwhile: 0"), "{}", egret.stderr());
}

/// A disk of 128 KiB that nobody else sees, with half of it taken. None, and said so, without the right to mount.
struct Disk {
    egret: Egret,
    log: PathBuf,
    ballast: PathBuf,
}

impl Disk {
    fn start(flags: &[&str]) -> Option<Disk> {
        let may = Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
        if !may.is_ok_and(|may| may.status.success()) {
            skip("nothing can be mounted here");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let script = "mkdir disk && mount -t tmpfs -o size=128k none disk && \
                      head -c 65536 /dev/zero > disk/ballast && exec \"$@\"";
        let mut command = clean("unshare");
        command.args(["--mount", "--propagation=private", "sh", "-c", script, "sh", BINARY]);
        let flags = [&["--log", "disk/log"], flags].concat();
        let egret = Egret::spawn_in(folder, command, "", &flags);
        let disk = PathBuf::from(format!("/proc/{}/cwd/disk", egret.pid()));
        Some(Disk { egret, log: disk.join("log"), ballast: disk.join("ballast") })
    }

    fn fill(&self) {
        let mut client = Client::connect(self.egret.addr);
        eventually("the disk is full", || {
            client.send(connect("filling.evil.test:443"));
            client.status();
            self.egret.stderr().contains("`disk/log`: No space left on device").then_some(())
        });
    }

    fn wait_written(&self) {
        let said = "the flow log `disk/log` is written again";
        eventually("it is written again", || self.egret.stderr().contains(said).then_some(()));
    }
}

#[test]
fn a_full_disk_refuses_where_that_was_chosen_and_loses_nothing() {
    let Some(disk) = Disk::start(&["--log-on-error=refuse"]) else { return };
    disk.fill();
    eventually("it refuses", || (!is_ready(&disk.egret)).then_some(()));
    assert_eq!(denied(&disk.egret, "late.evil.test"), 470);
    // What another sink has goes on.
    assert_eq!(reason_of(&disk.egret, "late.evil.test"), "log-unavailable");
    fs::remove_file(&disk.ballast).unwrap();
    disk.wait_written();
    assert_eq!(denied(&disk.egret, "again.evil.test"), 470);
    let again = |it: &Value| it["host"] == "again.evil.test" && it["reason"] == "not-allowed";
    let all = eventually("all is there", || Some(records(&disk.log)).filter(|all| all.last().is_some_and(again)));
    assert_eq!(sequence(&all), (0..all.len() as u64).collect::<Vec<u64>>());
    assert_eq!(disk.egret.metric("egret_log_lost_total"), 0);
}

#[test]
fn a_full_disk_that_is_served_on_has_a_gap_that_is_told() {
    let Some(disk) = Disk::start(&[]) else { return };
    disk.fill();
    // Of some 400 bytes each: more than is kept.
    many_denied(&disk.egret, 4_000);
    assert!(is_ready(&disk.egret));
    let lost = disk.egret.metric("egret_log_lost_total");
    assert!(lost > 0);
    // Nothing more can be lost: the disk takes all that is kept.
    Command::new("nsenter")
        .args(["--mount", "--target", &disk.egret.pid().to_string(), "mount", "-o", "remount,size=8m"])
        .arg(disk.egret.path("disk"))
        .status()
        .unwrap();
    disk.wait_written();
    assert_eq!(denied(&disk.egret, "again.evil.test"), 470);
    let again = |it: &Value| it["host"] == "again.evil.test";
    let all = eventually("all is there", || Some(records(&disk.log)).filter(|all| all.last().is_some_and(again)));
    let gaps: Vec<u64> = sequence(&all).windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|gap| *gap > 0).collect();
    assert_eq!(gaps.iter().sum::<u64>(), lost, "{gaps:?}");
    let said = format!("records lost meanwhile: {lost}");
    assert!(disk.egret.stderr().contains(&said), "{said}: {}", disk.egret.stderr());
    assert_eq!(sequence(&disk.egret.log()).len() as u64, all.len() as u64 + lost, "the other sink has all of them");
}

/// Who makes room by emptying the log does not find half a record in it.
#[test]
fn a_full_log_that_is_emptied_begins_with_a_whole_record() {
    let Some(disk) = Disk::start(&[]) else { return };
    disk.fill();
    let text = fs::read(&disk.log).unwrap();
    assert_ne!(text.last(), Some(&b'\n'), "the last record is torn");
    File::create(&disk.log).unwrap();
    disk.wait_written();
    assert_eq!(denied(&disk.egret, "again.evil.test"), 470);
    let again = |it: &Value| it["host"] == "again.evil.test";
    let all = eventually("all is there", || Some(records(&disk.log)).filter(|all| all.last().is_some_and(again)));
    let numbers = sequence(&all);
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    let begun = text.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(numbers[0], begun, "the one that was begun is the first");
}

/// A request waits for the log; meanwhile the policy that allowed it is replaced.
#[test]
fn what_waited_for_the_log_is_judged_again() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let reader = std::thread::spawn(move || File::open(fifo).unwrap());
    let origin = Origin::http_ok();
    let to = format!("--connect-to=::{}", origin.addr);
    let config = "allow = [\"http://ok.test\"]\n";
    let egret = Egret::spawn_in(folder, egret(), config, &["--log", "fifo", "--workers=1", &to]);
    let mut log = reader.join().unwrap();
    let mut waiting = Client::send_to(egret.addr, get("http://ok.test/first", "ok.test"));
    assert_eq!(waiting.status(), 200);
    let mut denied = Client::connect(egret.addr);
    let full = (0..100_000).any(|_| {
        denied.send(connect("evil.test:443"));
        denied.is_silent_for(Duration::from_secs(1)) || denied.status() != 470
    });
    assert!(full, "the log is bounded");
    waiting.send(get("http://ok.test/second", "ok.test"));
    assert!(waiting.is_silent_for(Duration::from_secs(1)));
    fs::write(egret.path("egret.toml"), "allow = [\"https://ok.test\"]\n").unwrap();
    eventually("the policy is replaced", || (!egret.get("/v1/policy").body.contains("http://ok.test")).then_some(()));
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::copy(&mut log, &mut std::io::sink()));
        assert_eq!(waiting.status(), 470);
        drop(egret);
    });
    assert_eq!(origin.noted().len(), 1);
}

#[test]
fn a_pipe_whose_reader_is_gone_is_written_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let reader = {
        let fifo = fifo.clone();
        std::thread::spawn(move || BufReader::new(File::open(fifo).unwrap()))
    };
    let egret = Egret::spawn_in(folder, egret(), "", &["--log", "fifo", "--log-on-error", "refuse"]);
    let mut reader = reader.join().unwrap();
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.contains(r#""kind":"start""#), "{line}");
    drop(reader);
    assert_eq!(denied(&egret, "one.evil.test"), 470);
    eventually("it refuses", || (!is_ready(&egret)).then_some(()));
    assert_eq!(denied(&egret, "two.evil.test"), 470);
    // Opening it again waits for no reader.
    egret.signal("HUP");
    assert_eq!(denied(&egret, "three.evil.test"), 470);
    assert_eq!(reason_of(&egret, "three.evil.test"), "log-unavailable");
    // The flow before it met the pipe before anybody knew.
    assert!(egret.stderr().contains("cannot write the flow log `fifo`: Broken pipe"), "{}", egret.stderr());
    let lines = BufReader::new(File::open(&fifo).unwrap()).lines();
    let hosts = ["one", "two", "three"].map(|it| format!("{it}.evil.test"));
    let read = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut wanted = hosts.iter();
    let mut next = wanted.next();
    for record in read {
        if next.is_some_and(|host| record["host"] == **host) {
            next = wanted.next();
        }
        if next.is_none() {
            break;
        }
    }
    eventually("it serves again", || is_ready(&egret).then_some(()));
    assert_eq!(egret.metric("egret_log_lost_total"), 0);
}

/// Records of a file that nobody can find any more are not written.
#[test]
fn a_folder_that_was_removed_is_a_log_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    let egret = Egret::spawn_in(folder, egret(), "", &["--log", "logs/flows", "--log-on-error", "refuse"]);
    let logs = egret.path("logs");
    fs::remove_dir_all(&logs).unwrap();
    eventually("it is found out", || (!is_ready(&egret)).then_some(()));
    assert_eq!(denied(&egret, "gone.evil.test"), 470);
    assert!(egret.stderr().contains("cannot open the flow log `logs/flows`: No such file"), "{}", egret.stderr());
    fs::create_dir(&logs).unwrap();
    eventually("it is written again", || is_ready(&egret).then_some(()));
    assert_eq!(denied(&egret, "again.evil.test"), 470);
    let hosts = || Some(records(&logs.join("flows"))).filter(|it| it.iter().any(|it| it["host"] == "again.evil.test"));
    let all = eventually("all is there", hosts);
    assert!(all.iter().any(|it| it["host"] == "gone.evil.test"), "{all:#?}");
    assert_eq!(egret.metric("egret_log_lost_total"), 0);
}

/// What was renamed and can still be found is written until its path can be opened.
#[test]
fn a_path_that_something_else_took() {
    let egret = Egret::start(&["--log-on-error=refuse"]);
    fs::rename(egret.path("log.json"), egret.path("log.1")).unwrap();
    fs::create_dir(egret.path("log.json")).unwrap();
    let said = "cannot open the flow log `log.json`: Is a directory";
    eventually("it is said", || egret.stderr().contains(said).then_some(()));
    assert_eq!(denied(&egret, "one.evil.test"), 470);
    let has = |file: &str, host: &str| records(&egret.path(file)).iter().any(|it| it["host"] == host);
    eventually("the old file has it", || has("log.1", "one.evil.test").then_some(()));
    fs::remove_dir(egret.path("log.json")).unwrap();
    eventually("the new file is there", || egret.path("log.json").is_file().then_some(()));
    assert_eq!(denied(&egret, "two.evil.test"), 470);
    eventually("the new file has it", || has("log.json", "two.evil.test").then_some(()));
    assert_eq!(egret.stderr().matches(said).count(), 1);
}
