//! The time of day jumps, as it does where a machine wakes up, or is set right. What has to wait or to end goes by a
//! clock that does not.
//!
//! The jump is libfaketime's: the machine's own clock is not the tests' to move.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{denied, sequence};
use crate::support::command::egret;
use crate::support::egret::Egret;
use crate::support::origin::Origin;
use crate::support::raw::{Client, End, get};
use crate::support::upstream::{Upstream, with_addresses};
use crate::support::{eventually, skip};

/// Where Debian keeps it.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten();
    let found = folders.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    if found.is_none() {
        skip("libfaketime is missing (faketime)");
    }
    found
}

/// Under a clock of the day that a file moves: by so many seconds, such as `-86400`.
fn faked(library: &Path, moved: &Path) -> Command {
    let mut command = egret();
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", moved);
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    // What files say of themselves stays.
    command.env("NO_FAKE_STAT", "1");
    command
}

const DAY: i64 = 86_400;

/// Forth and back, and then far in either direction.
const JUMPS: [i64; 6] = [DAY, -DAY, 30 * DAY, -30 * DAY, 3650 * DAY, 0];

#[test]
fn deadlines_times_to_live_and_the_log() {
    let Some(library) = library() else { return };
    let origin = Origin::http_ok();
    let stalls =
        Origin::start(|mut stream, _| while matches!(std::io::Read::read(&mut stream, &mut [0; 1024]), Ok(1..)) {});
    let server = Upstream::start(|reply, _| Some(with_addresses(reply, &[[127, 0, 0, 1].into()], 3600)));
    let folder = tempfile::tempdir().unwrap();
    let moved = folder.path().join("moved");
    fs::write(&moved, "+0\n").unwrap();
    let flags = [
        "--allow=http://*.test".to_owned(),
        format!("--connect-to=ok.test:80:there.test:{}", origin.addr.port()),
        format!("--connect-to=stalls.test:80:{}", stalls.addr),
        server.flag(),
    ];
    let config = "[timeouts]\nresponse = \"3s\"\nidle_client = \"20s\"\nresolve = \"3s\"\n";
    let mut egret = Egret::spawn_in(folder, faked(&library, &moved), config, &flags);
    let ask = |egret: &Egret, host: &str| Client::send_to(egret.addr, get(&format!("http://{host}/"), host));
    let mut kept = ask(&egret, "ok.test");
    assert_eq!(kept.status(), 200);
    for (number, jump) in JUMPS.into_iter().enumerate() {
        let mut waiting = ask(&egret, "stalls.test");
        fs::write(&moved, format!("{jump:+}\n")).unwrap();
        // The jump is the program's own.
        let name = format!("jumped{number}.evil");
        let year = eventually("the jump is seen", || {
            denied(&egret, &name);
            let seen = egret.records(|it| it["host"] == name.as_str()).pop()?;
            let seen: jiff::Timestamp = seen["ts"].as_str()?.parse().ok()?;
            let off = seen.duration_since(jiff::Timestamp::now()).as_secs() - jump;
            (off.abs() < 600).then_some(seen)
        });
        // Nothing ends early, nothing hangs: a kept connection stays, what waits is given up in its time.
        kept.send(get("http://ok.test/", "ok.test"));
        assert_eq!(kept.status(), 200, "{year}");
        assert!(waiting.is_silent_for(Duration::from_millis(200)), "{year}: given up before its time");
        if number % 3 == 0 {
            assert_eq!(waiting.status(), 504, "{year}");
        }
    }
    assert_eq!(server.times_asked("there.test. A"), 1, "an hour by the clock on the wall is none");
    assert_eq!(egret.get("/readyz").status, 200);
    let close = |it: &serde_json::Value| it["kind"] == "close" && it["reason"] == "upstream-timeout";
    let closed = eventually("they are closed", || Some(egret.records(close)).filter(|it| it.len() == JUMPS.len()));
    for record in closed {
        let took = record["duration_ms"].as_u64().unwrap();
        assert!((3_000..15_000).contains(&took), "{record}");
    }
    egret.signal("TERM");
    assert_ne!(kept.rest().1, End::Silent);
    assert!(egret.wait().success(), "{}", egret.stderr());
    let log = egret.log();
    assert_eq!(sequence(&log), (0..log.len() as u64).collect::<Vec<u64>>(), "numbers go on, whatever the time");
    assert!(!egret.stderr().contains("panic"), "{}", egret.stderr());
}

/// Changed files are seen, whatever the time: one version is told from another, not the newer from the older.
#[test]
fn reloads_and_rotation() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let moved = folder.path().join("moved");
    fs::write(&moved, "-864000\n").unwrap();
    let egret = Egret::spawn_in(folder, faked(&library, &moved), "allow = \"tcp://127.0.0.1:9\"\n", &["--workers=1"]);
    let hash = |egret: &Egret| egret.get("/v1/policy").json()["hash"].clone();
    let before = hash(&egret);
    fs::write(&moved, "+864000\n").unwrap();
    fs::write(egret.path("egret.toml"), "allow = \"tcp://127.0.0.1:10\"\n").unwrap();
    let old = fs::File::options().append(true).open(egret.path("egret.toml")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    eventually("the change is taken up", || (hash(&egret) != before).then_some(()));
    fs::rename(egret.path("log.json"), egret.path("log.1")).unwrap();
    eventually("the log is opened again", || egret.path("log.json").exists().then_some(()));
}
