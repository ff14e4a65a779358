//! What arrived where: every byte that came to an origin and every name that the name server was asked for, kept until
//! the end, so that what comes late is seen too.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bytes::without_record_headers;
use super::case::{Tls, Where};
use super::marker;

/// Bytes of a connection that begins with TLS that are kept, to find what is cut between records.
const KEPT: usize = 128 * 1024;
/// Bytes that a marker and what is appended to it take at most.
const LONGEST: usize = marker::LEN + 8;

#[derive(Debug, Default)]
struct Sighting {
    /// The address that was dialled.
    to: Option<SocketAddr>,
    /// The last bytes, in which a marker may have begun.
    tail: Vec<u8>,
    /// The first bytes, where they are TLS.
    tls: Option<Vec<u8>>,
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
    /// How every marker begins.
    prefix: String,
    /// The address of the origin that permitted names lead to.
    public: Vec<IpAddr>,
}

#[derive(Debug, Default)]
struct State {
    sightings: Vec<Sighting>,
    /// Connections that a marker came on.
    found: HashMap<String, Vec<usize>>,
    /// Heads of requests that a marker was in.
    heads: HashMap<String, Vec<(usize, String)>>,
    asked: Vec<String>,
    scripts: HashMap<String, Script>,
    names: HashMap<String, Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    lists: Vec<Vec<IpAddr>>,
    times: usize,
}

impl Answers {
    fn present(&self) -> Option<Vec<IpAddr>> {
        self.lists.get(self.times).or(self.lists.last()).cloned()
    }
}

/// Where a marker was found.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub at: String,
    /// The head of the request, where it was one.
    pub head: Option<String>,
}

impl Witness {
    pub fn of(public: Vec<IpAddr>, prefix: String) -> Witness {
        Witness { public, prefix, ..Witness::default() }
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
        let to = to.map(|to| SocketAddr::new(to.ip().to_canonical(), to.port()));
        state.sightings.push(Sighting { to, ..Sighting::default() });
        state.sightings.len() - 1
    }

    pub fn came(&self, connection: usize, bytes: &[u8]) {
        let mut state = self.state();
        let Some(sighting) = state.sightings.get_mut(connection) else { return };
        let mut markers = sighting.take(bytes, &self.prefix);
        markers.dedup();
        for marker in markers {
            let connections = state.found.entry(marker).or_default();
            if connections.last() != Some(&connection) {
                connections.push(connection);
            }
        }
        self.changed.notify_all();
    }

    pub fn requested(&self, connection: usize, head: &str) {
        let mut state = self.state();
        for marker in markers(head.as_bytes(), &self.prefix) {
            state.heads.entry(marker).or_default().push((connection, head.to_owned()));
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
        let found = [markers(bytes, &self.prefix), markers(&without_record_headers(bytes), &self.prefix)].concat();
        let state = self.state();
        found.iter().find_map(|marker| state.scripts.get(marker)).cloned()
    }

    /// The addresses of a name that a case has given some.
    pub fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.state().names.get(name)?.present()
    }

    /// The same, and it is the turn of its next list.
    pub fn take_addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        let mut state = self.state();
        let answers = state.names.get_mut(name)?;
        let list = answers.present();
        answers.times += 1;
        list
    }

    pub fn arrival(&self, marker: &str, place: Where) -> Option<Arrival> {
        let state = self.state();
        if place == Where::Names {
            let marker = marker.to_ascii_lowercase();
            let asked = state.asked.iter().rev().find(|name| name.contains(&marker))?;
            return Some(Arrival { at: format!("a name server, as {asked}"), head: None });
        }
        let heads = state.heads.get(marker).map_or(&[][..], Vec::as_slice);
        let head = |connection| heads.iter().find(|(of, _)| *of == connection).map(|(_, head)| head.clone());
        let found = state.found.get(marker).map_or(&[][..], Vec::as_slice);
        let connection = found.iter().copied().find(|connection| match place {
            Where::Inside => self.is_inside(&state.sightings[*connection]),
            Where::Public => !self.is_inside(&state.sightings[*connection]),
            Where::Request => head(*connection).is_some(),
            Where::Bytes | Where::Names => true,
        })?;
        let to = state.sightings[connection].to;
        let at = to.map_or_else(|| "the origin".into(), |to| to.to_string());
        Some(Arrival { at, head: head(connection) })
    }

    fn is_inside(&self, sighting: &Sighting) -> bool {
        sighting.to.is_some_and(|to| !self.public.contains(&to.ip()))
    }

    /// Waits for something to come, at most so long.
    pub fn wait(&self, limit: Duration) {
        let state = self.state();
        // Whether it was worth waking up is for the caller to see.
        drop(self.changed.wait_timeout(state, limit));
    }

    pub fn wait_for(&self, marker: &str, place: Where, until: Instant) -> Option<Arrival> {
        loop {
            if let Some(arrival) = self.arrival(marker, place) {
                return Some(arrival);
            }
            let left = until.checked_duration_since(Instant::now())?;
            self.wait(left.min(Duration::from_millis(20)));
        }
    }
}

impl Sighting {
    /// Takes more bytes, and says which markers are in them.
    fn take(&mut self, bytes: &[u8], prefix: &str) -> Vec<String> {
        let first = self.tail.is_empty() && self.tls.is_none();
        self.tail.extend(bytes);
        let mut found = markers(&self.tail, prefix);
        if first && bytes.first().is_some_and(|first| (20..=23).contains(first)) {
            self.tls = Some(Vec::new());
        }
        if let Some(tls) = self.tls.as_mut().filter(|tls| tls.len() < KEPT) {
            tls.extend(bytes);
            found.extend(markers(&without_record_headers(tls), prefix));
        }
        self.tail.drain(..self.tail.len().saturating_sub(LONGEST));
        found
    }
}

/// Markers in there, each alone and with what is appended to it by a hyphen.
fn markers(bytes: &[u8], prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = find(&bytes[at..], prefix.as_bytes()) {
        at += next;
        let word: Vec<u8> = bytes[at..]
            .iter()
            .copied()
            .take(LONGEST)
            .take_while(|it| it.is_ascii_alphanumeric() || *it == b'-')
            .collect();
        let word = String::from_utf8_lossy(&word).into_owned();
        if let Some(marker) = word.get(..marker::LEN) {
            found.push(marker.to_owned());
            let suffix = word[marker::LEN..].strip_prefix('-').and_then(|rest| rest.chars().next());
            found.extend(suffix.map(|suffix| format!("{marker}-{suffix}")));
        }
        at += prefix.len();
    }
    found
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut at = 0;
    // By its first byte: bodies of megabytes are looked through.
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == first) {
        at += next;
        if bytes[at..].starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: &str = "m12345670000000f";

    fn witness() -> Witness {
        Witness::of(vec!["192.0.2.7".parse().unwrap()], MARKER[..8].to_owned())
    }

    #[test]
    fn a_marker_is_found_however_it_is_cut() {
        for size in [1, 3, 100] {
            let witness = witness();
            let connection = witness.accepted(Some("192.0.2.7:80".parse().unwrap()));
            let text = format!("GET /{MARKER}-2 HTTP/1.1");
            text.as_bytes().chunks(size).for_each(|bytes| witness.came(connection, bytes));
            for (marker, found) in
                [(MARKER.to_owned(), true), (format!("{MARKER}-2"), true), (format!("{MARKER}-1"), false)]
            {
                assert_eq!(witness.arrival(&marker, Where::Bytes).is_some(), found, "{marker} {size}");
                assert_eq!(witness.arrival(&marker, Where::Public).is_some(), found, "{marker} {size}");
                assert!(witness.arrival(&marker, Where::Inside).is_none());
            }
        }
    }

    #[test]
    fn a_marker_is_found_between_records() {
        let witness = witness();
        let connection = witness.accepted(None);
        for byte in MARKER.bytes() {
            witness.came(connection, &[22, 3, 1, 0, 1, byte]);
        }
        assert!(witness.arrival(MARKER, Where::Bytes).is_some());
    }
}
