//! What integration tests share: Egret as a process, origins, a name server and raw clients, all on loopback.

pub mod command;
pub mod dns;
pub mod egret;
pub mod exchange;
pub mod hello;
pub mod https;
pub mod lab;
pub mod origin;
pub mod packages;
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
