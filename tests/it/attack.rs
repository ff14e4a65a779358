//! The corpus of attacks against this Egret, in both profiles and by every way in, as anybody may run it against
//! another proxy. What each case is about is in `bench/attacks`; the tests of `adversarial_*` hold the same ground from
//! inside.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::command::{BINARY, clean, install};
use super::support::{DEADLINE, netns};

/// All cases take a third of that on an idle machine.
const ALL: Duration = Duration::from_secs(240);

/// `egret-bench`, which a build of the workspace leaves beside `egret`; alone, this test builds it.
fn bench() -> PathBuf {
    let beside = PathBuf::from(BINARY).with_file_name("egret-bench");
    if !beside.exists() {
        let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo).args(["build", "--package", "egret-bench", "--profile", profile]).status();
        assert!(built.unwrap().success(), "egret-bench does not build");
    }
    beside
}

/// What it says, and its exit code, within so long.
fn attack(args: &[&str], limit: Duration) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let file = std::fs::File::create(&said).unwrap();
    let mut command = clean(bench().to_str().unwrap());
    command.arg("attack").args(args).stdout(file.try_clone().unwrap()).stderr(file);
    let mut child = command.spawn().unwrap();
    let until = Instant::now() + limit;
    let code = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended.code();
        }
        if Instant::now() >= until {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it does not end: {}", std::fs::read_to_string(&said).unwrap());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    (std::fs::read_to_string(&said).unwrap(), code)
}

fn report(path: &std::path::Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_case_comes_out_as_expected_in_both_profiles() {
    if !netns::is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let args = ["--egret", BINARY, "--jobs", "32", "--patience", "15", "--json", json.to_str().unwrap()];
    let (said, code) = attack(&args, ALL);
    assert_eq!(code, Some(0), "{said}");
    let report = report(&json);
    let subjects = report["subjects"].as_array().unwrap();
    assert_eq!(subjects.len(), 2, "{said}");
    for subject in subjects {
        let lines = subject["came"].as_array().unwrap();
        let count = |result: &str| lines.iter().filter(|line| line["result"] == result).count();
        // What is not applicable: the jail, datagrams, and a look into TLS.
        assert!(count("as-expected") > 2000 && count("not-applicable") < 40, "{said}");
    }
}

/// The runner has to see what gets through: a proxy that allows everything is wrong about all that is denied.
#[test]
fn a_proxy_that_allows_everything_looks_bad() {
    if !netns::is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open = folder.path().join("open");
    let script = format!("#!/bin/sh\nexec '{BINARY}' \"$@\" --allow 'tcp://*:*' --allow 'tcp://0.0.0.0/0:*'\n");
    let text = folder.path().join("open.sh");
    std::fs::write(&text, script).unwrap();
    install(&text, &open);
    let json = folder.path().join("report.json");
    let open = open.to_str().unwrap();
    let cases = "name-29-apex,name-29-prefix-glued,tunnel-05-port-22,tunnel-01-other-name,control-00-get";
    let args = ["--egret", open, "--profile", "strict", "--case", cases, "--json", json.to_str().unwrap()];
    let (said, code) = attack(&args, DEADLINE * 4);
    assert_eq!(code, Some(1), "{said}");
    let report = report(&json);
    let lines = report["subjects"][0]["came"].as_array().unwrap();
    assert!(lines.iter().any(|line| line["expected"] == "allow") && lines.len() > 30, "{said}");
    for line in lines {
        let denied = line["expected"] != "allow";
        assert_eq!(line["result"], if denied { "wrong" } else { "as-expected" }, "{line}");
    }
}
