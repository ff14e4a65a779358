//! What clients saw against what the log says of them: each flow once, and with the verdict that its client met.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What a client, or the log, knows of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    Allowed,
    Denied,
    /// The client was cut off while the policy changed: either will do.
    Unsure,
}

#[derive(Default)]
pub struct Ledger {
    /// Flows that one side knows and the other does not yet, by client and name. A port may come back.
    open: Mutex<HashMap<(SocketAddr, String), Sides>>,
    settled: AtomicU64,
    denied: AtomicU64,
}

#[derive(Debug, Default)]
struct Sides {
    met: Count,
    logged: Count,
}

#[derive(Debug, Default)]
struct Count {
    allowed: u64,
    denied: u64,
    unsure: u64,
}

impl Count {
    fn add(&mut self, known: Known) {
        match known {
            Known::Allowed => self.allowed += 1,
            Known::Denied => self.denied += 1,
            Known::Unsure => self.unsure += 1,
        }
    }

    fn all(&self) -> u64 {
        self.allowed + self.denied + self.unsure
    }
}

impl Sides {
    fn are_even(&self) -> bool {
        let Sides { met, logged } = self;
        met.all() == logged.all() && (met.denied..=met.denied + met.unsure).contains(&logged.denied)
    }
}

impl Ledger {
    /// A client's word.
    pub fn met(&self, client: SocketAddr, host: &str, known: Known) {
        self.add(client, host, |sides| sides.met.add(known));
    }

    /// The log's.
    pub fn logged(&self, client: SocketAddr, host: &str, known: Known) {
        self.add(client, host, |sides| sides.logged.add(known));
    }

    fn add(&self, client: SocketAddr, host: &str, add: impl FnOnce(&mut Sides)) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (client, host.to_owned());
        let sides = open.entry(key.clone()).or_default();
        add(sides);
        if sides.are_even() {
            self.settled.fetch_add(sides.met.all(), Relaxed);
            self.denied.fetch_add(sides.logged.denied, Relaxed);
            open.remove(&key);
        }
    }

    /// Flows that both sides told alike, and those of them that were denied.
    pub fn settled(&self) -> (u64, u64) {
        (self.settled.load(Relaxed), self.denied.load(Relaxed))
    }

    /// What one side knows alone, or otherwise.
    pub fn differences(&self) -> Vec<String> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().map(|((client, host), sides)| format!("{client} {host}: {sides:?}")).collect()
    }
}

#[test]
fn a_ledger_finds_what_is_missing_twice_or_otherwise() {
    let client: SocketAddr = "192.0.2.10:50000".parse().unwrap();
    let check = |met: &[Known], logged: &[Known], is_even| {
        let ledger = Ledger::default();
        met.iter().for_each(|known| ledger.met(client, "a.test", *known));
        logged.iter().for_each(|known| ledger.logged(client, "a.test", *known));
        assert_eq!(ledger.differences().is_empty(), is_even, "{met:?} {logged:?}");
    };
    use Known::{Allowed, Denied, Unsure};
    check(&[Denied], &[Denied], true);
    check(&[Denied, Allowed], &[Allowed, Denied], true);
    check(&[Unsure], &[Denied], true);
    check(&[Unsure], &[Allowed], true);
    check(&[Denied], &[], false);
    check(&[], &[Denied], false);
    check(&[Denied], &[Denied, Denied], false);
    check(&[Denied], &[Allowed], false);
    check(&[Allowed], &[Denied], false);
}
