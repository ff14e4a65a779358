//! What arrived where: every byte that came to an origin and every name that the name server was asked for, kept until
//! the end, so that what comes late is seen too.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bytes::without_record_headers;
use super::corpus::{Tls, Where};

/// Bytes that are kept of a connection. What comes after them is read and forgotten.
const KEPT: usize = 128 * 1024;

#[derive(Debug, Clone, Default)]
pub struct Sighting {
    /// The address that was dialled.
    pub to: Option<SocketAddr>,
    pub bytes: Vec<u8>,
    /// What was inside TLS records.
    payload: Vec<u8>,
    /// Heads of requests that were read.
    pub heads: Vec<String>,
}

/// How the origin serves the run that a marker belongs to.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub answers: Vec<String>,
    pub tls: Tls,
}

/// Shared by the origin, the name server and everybody who asks what came.
#[derive(Debug, Default)]
pub struct Witness {
    state: Mutex<State>,
    changed: Condvar,
    /// The address of the origin that permitted names lead to.
    public: Vec<IpAddr>,
}

#[derive(Debug, Default)]
struct State {
    sightings: Vec<Sighting>,
    asked: Vec<String>,
    scripts: HashMap<String, Script>,
    names: HashMap<String, Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    lists: Vec<Vec<IpAddr>>,
    times: usize,
}

/// Where a marker was found.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub at: String,
    /// The head of the request, where it was one.
    pub head: Option<String>,
}

impl Witness {
    pub fn of(public: Vec<IpAddr>) -> Witness {
        Witness { public, ..Witness::default() }
    }

    pub fn public(&self) -> &[IpAddr] {
        &self.public
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a thread that panicked has noted is true all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to note a connection.
    pub fn accepted(&self, to: Option<SocketAddr>) -> usize {
        let mut state = self.state();
        state.sightings.push(Sighting { to, ..Sighting::default() });
        state.sightings.len() - 1
    }

    pub fn came(&self, connection: usize, bytes: &[u8]) {
        let mut state = self.state();
        let Some(sighting) = state.sightings.get_mut(connection) else { return };
        let room = KEPT.saturating_sub(sighting.bytes.len());
        sighting.bytes.extend(&bytes[..bytes.len().min(room)]);
        if room > 0 && sighting.bytes.first().is_some_and(|first| (20..=23).contains(first)) {
            sighting.payload = without_record_headers(&sighting.bytes);
        }
        self.changed.notify_all();
    }

    pub fn requested(&self, connection: usize, head: &str) {
        if let Some(sighting) = self.state().sightings.get_mut(connection) {
            sighting.heads.push(head.to_owned());
        }
        self.changed.notify_all();
    }

    pub fn asked(&self, name: &str) {
        self.state().asked.push(name.to_ascii_lowercase());
        self.changed.notify_all();
    }

    pub fn register(&self, marker: &str, script: Script) {
        self.state().scripts.insert(marker.to_owned(), script);
    }

    pub fn name(&self, name: &str, lists: Vec<Vec<IpAddr>>) {
        self.state().names.insert(name.to_ascii_lowercase(), Answers { lists, times: 0 });
    }

    pub fn forget(&self, marker: &str) {
        self.state().scripts.remove(marker);
    }

    /// The script of the run whose marker is in there.
    pub fn script(&self, bytes: &[u8]) -> Option<Script> {
        let payload = without_record_headers(bytes);
        let state = self.state();
        let found = |(marker, _): &(&String, &Script)| contains(bytes, marker) || contains(&payload, marker);
        state.scripts.iter().find(found).map(|(_, script)| script.clone())
    }

    /// The addresses of a name that a case has given some. Each question by IPv4 moves on to its next list.
    pub fn addresses(&self, name: &str, by_ipv4: bool) -> Option<Vec<IpAddr>> {
        let mut state = self.state();
        let answers = state.names.get_mut(name)?;
        let list = answers.lists.get(answers.times).or(answers.lists.last()).cloned();
        answers.times += usize::from(by_ipv4);
        list
    }

    /// How many connections came so far: what is looked for after this needs no search before it.
    pub fn now(&self) -> usize {
        self.state().sightings.len()
    }

    pub fn arrival(&self, marker: &str, place: Where, since: usize) -> Option<Arrival> {
        let state = self.state();
        if place == Where::Names {
            let marker = marker.to_ascii_lowercase();
            let asked = state.asked.iter().find(|name| name.contains(&marker))?;
            return Some(Arrival { at: format!("a name server, as {asked}"), head: None });
        }
        let found = |it: &&Sighting| {
            let fits = match place {
                Where::Inside => self.is_inside(it),
                Where::Public => !self.is_inside(it),
                Where::Bytes | Where::Request | Where::Names => true,
            };
            fits && it.holds(marker, place)
        };
        state.sightings.iter().skip(since).find(found).map(|sighting| sighting.arrival(marker))
    }

    fn is_inside(&self, sighting: &Sighting) -> bool {
        sighting.to.is_some_and(|to| !self.public.contains(&to.ip().to_canonical()))
    }

    /// Waits for something to come, at most so long.
    pub fn wait(&self, limit: Duration) {
        let state = self.state();
        // Whether it was worth waking up is for the caller to see.
        drop(self.changed.wait_timeout(state, limit));
    }

    pub fn wait_for(&self, marker: &str, place: Where, since: usize, until: Instant) -> Option<Arrival> {
        loop {
            if let Some(arrival) = self.arrival(marker, place, since) {
                return Some(arrival);
            }
            let left = until.checked_duration_since(Instant::now())?;
            self.wait(left.min(Duration::from_millis(20)));
        }
    }
}

impl Sighting {
    fn holds(&self, marker: &str, place: Where) -> bool {
        let heads = || self.heads.iter().any(|head| head.contains(marker));
        if place == Where::Request {
            return heads();
        }
        contains(&self.bytes, marker) || contains(&self.payload, marker) || heads()
    }

    fn arrival(&self, marker: &str) -> Arrival {
        let at = self.to.map_or_else(|| "the origin".into(), |to| to.to_string());
        Arrival { at, head: self.heads.iter().find(|head| head.contains(marker)).cloned() }
    }
}

pub fn contains(bytes: &[u8], text: &str) -> bool {
    !text.is_empty() && bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
