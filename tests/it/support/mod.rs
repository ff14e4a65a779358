//! What integration tests share: Egret as a process, origins, a name server and raw clients, on loopback or in network
//! namespaces.

pub mod azure_tables;
pub mod command;
pub mod dns;
pub mod egret;
pub mod exchange;
pub mod free;
#[cfg(target_os = "linux")]
pub mod gateway;
pub mod hello;
pub mod https;
pub mod lab;
#[cfg(target_os = "linux")]
pub mod netns;
pub mod origin;
pub mod packages;
pub mod patient;
pub mod random;
pub mod raw;
pub mod run;
pub mod upstream;

use std::time::{Duration, Instant};

/// How long anything may take that is expected to happen.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// Asks again and again until there is an answer; `None` at the deadline.
pub fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= until {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The same, for what has to happen.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    poll(probe).unwrap_or_else(|| panic!("{what}: not in time"))
}

/// Says that a test is left out for want of something. In CI none may be.
pub fn skip(why: &str) {
    use std::io::Write;
    assert!(std::env::var_os("EGRET_NO_SKIP").is_none(), "{why}, and no test may be skipped here");
    // The harness captures what is printed; a skip has to be seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
