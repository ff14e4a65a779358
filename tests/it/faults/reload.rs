//! A configuration that is garbage when it is read again: what was in force stays, and who asks is told where and why.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::denied;
use crate::support::egret::{Egret, NO_FLAGS};
use crate::support::eventually;
use crate::support::raw::{Client, connect};

/// A main file that names a policy, whose content the tests replace.
fn egret() -> Egret {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("child.toml"), CHILD).unwrap();
    Egret::spawn_in(folder, crate::support::command::egret(), MAIN, NO_FLAGS)
}

const MAIN: &str = "policy = [\"child.toml\"]\nallow = [\"tcp://127.0.0.1:9\"]\n";
const CHILD: &str = "deny = [\"https://denied.test\"]\nallow = [\"https://ok.test\"]\n";

struct Kept<'a> {
    egret: &'a Egret,
    hash: serde_json::Value,
    refused: u64,
}

impl Kept<'_> {
    fn of(egret: &Egret) -> Kept<'_> {
        Kept { egret, hash: egret.get("/v1/policy").json()["hash"].clone(), refused: 0 }
    }

    /// A reload has to be refused with these words, and to change nothing.
    fn assert_refused(&mut self, case: &str, words: &[&str]) {
        let answer = self.egret.post("/v1/reload", "");
        let said = answer.json()["error"].as_str().unwrap_or_else(|| panic!("{case}: {answer:?}")).to_owned();
        assert_eq!(answer.status, 409, "{case}");
        words.iter().for_each(|words| assert!(said.contains(words), "{case}: {words}: {said}"));
        assert!(said.len() < 128 * 1024, "{case}: {} bytes", said.len());
        assert_eq!(self.egret.get("/v1/policy").json()["hash"], self.hash, "{case}");
        self.refused += 1;
        // The file is watched besides.
        let refused = || self.egret.metric("egret_reloads_total{result=\"refused\"}");
        eventually(case, || (refused() >= self.refused).then_some(()));
        assert_eq!(denied(self.egret, "denied.test"), 470, "{case}");
        let mut client = Client::send_to(self.egret.addr, connect("127.0.0.1:9"));
        assert_eq!(client.status(), 502, "{case}: allowed, and nobody there");
    }
}

/// Replaces a file by what a closure makes at its place.
fn replace(egret: &Egret, name: &str, make: impl FnOnce(&std::path::Path)) {
    let (path, new) = (egret.path(name), egret.path("new"));
    make(&new);
    if path.is_dir() {
        fs::remove_dir(&path).unwrap();
    }
    let old = egret.path("old");
    // A folder replaces no file.
    let _ = fs::rename(&path, &old);
    let _ = fs::remove_file(&old);
    fs::rename(new, path).unwrap();
}

#[test]
fn garbage() {
    let egret = egret();
    let mut kept = Kept::of(&egret);
    let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mistakes = "[[rule_collection_group]]\n".repeat(10_000);
    let texts: &[(&str, &[u8], &str)] = &[
        ("binary", &binary, "line 2 is not UTF-8"),
        ("NULs, as a crash leaves them", &[0; 4096], ":1:"),
        ("half a line", b"allow = [\"https://ok.te", ":1:"),
        ("a word", b"nonsense", ":1:"),
        ("JSON of something else", br#"{"version": 1, "services": ["a", "b"]}"#, ""),
        ("an archive", b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00", ""),
        ("a page", b"<!doctype html><title>404</title>", ":1:"),
        ("many mistakes", mistakes.as_bytes(), ":1:"),
    ];
    for file in ["egret.toml", "child.toml"] {
        for (case, text, words) in texts {
            replace(&egret, file, |new| fs::write(new, text).unwrap());
            kept.assert_refused(&format!("{file}: {case}"), &[file, words]);
        }
        replace(&egret, file, |new| fs::write(new, if file == "egret.toml" { MAIN } else { CHILD }).unwrap());
        assert_eq!(egret.post("/v1/reload", "").status, 200);
    }
}

#[test]
fn what_is_no_file() {
    let egret = egret();
    let mut kept = Kept::of(&egret);
    for file in ["egret.toml", "child.toml"] {
        replace(&egret, file, |new| fs::create_dir(new).unwrap());
        kept.assert_refused("a folder", &[file, "it is a folder"]);
        replace(&egret, file, |new| symlink(file, new).unwrap());
        kept.assert_refused("a link to itself", &[file]);
        replace(&egret, file, |new| fs::File::create(new).unwrap().set_len(1 << 40).unwrap());
        kept.assert_refused("a terabyte", &[file, "it is larger than "]);
        replace(&egret, file, |new| symlink("/dev/zero", new).unwrap());
        kept.assert_refused("a device without end", &[file, "it is larger than "]);
        replace(&egret, file, |new| fs::write(new, if file == "egret.toml" { MAIN } else { CHILD }).unwrap());
        assert_eq!(egret.post("/v1/reload", "").status, 200);
    }
    fs::remove_file(egret.path("child.toml")).unwrap();
    kept.assert_refused("removed", &["`child.toml` is neither a built-in policy nor a file"]);
}

/// It takes ten seconds to find out, during which all else goes on.
#[test]
fn a_pipe_that_nobody_writes() {
    let egret = egret();
    let mut kept = Kept::of(&egret);
    replace(&egret, "child.toml", |new| {
        assert!(Command::new("mkfifo").arg(new).status().unwrap().success());
    });
    std::thread::scope(|scope| {
        let reloading = scope.spawn(|| egret.post("/v1/reload", "").status);
        while !reloading.is_finished() {
            assert_eq!(denied(&egret, "denied.test"), 470);
            assert_eq!(egret.get("/readyz").status, 200);
            std::thread::park_timeout(std::time::Duration::from_millis(100));
        }
        assert_eq!(reloading.join().unwrap(), 409);
    });
    let refused = egret.records(|it| it["kind"] == "reload").remove(0);
    assert!(refused["error"].as_str().unwrap().contains("nothing came of it within 10 s: it is no file"), "{refused}");
    fs::remove_file(egret.path("child.toml")).unwrap();
    kept.assert_refused("removed", &["`child.toml` is neither a built-in policy nor a file"]);
}

/// A disk that is full, or an editor that has only begun, leaves a file without a byte. To take that for a policy would
/// be to open or to shut what nobody meant to.
#[test]
fn a_file_that_was_emptied() {
    for file in ["egret.toml", "child.toml"] {
        let egret = egret();
        let mut kept = Kept::of(&egret);
        fs::write(egret.path(file), "").unwrap();
        // Asking again does not make it right.
        for _ in 0..2 {
            kept.assert_refused(file, &[file, "it is empty"]);
        }
        // Who means it says so.
        let meant = if file == "egret.toml" { "# nothing\n" } else { "allow = []\n" };
        fs::write(egret.path(file), meant).unwrap();
        assert_eq!(egret.post("/v1/reload", "").status, 200, "{file}");
    }
}

#[test]
fn policies_in_a_circle() {
    let egret = egret();
    let mut kept = Kept::of(&egret);
    fs::write(egret.path("child.toml"), "policy = [\"other.toml\"]\n").unwrap();
    fs::write(egret.path("other.toml"), "policy = [\"child.toml\"]\n").unwrap();
    kept.assert_refused("a circle", &["child.toml"]);
    fs::write(egret.path("child.toml"), "policy = [\"child.toml\"]\n").unwrap();
    kept.assert_refused("itself", &["child.toml"]);
}
