//! A client connection from its first byte to its last record, through the sessions that serve real ones, without a
//! network: for fuzz targets and property tests.
//!
//! Sockets are the ends of Unix socket pairs, which the sessions cannot tell from TCP; connecting leads to another
//! pair ([`crate::net::rehearsal`]); names are looked up in a table; the clock moves when nothing else does. So a play
//! comes out the same each time it is run, and hours of silence cost nothing.
//!
//! Here are no resets, no network around the firewall and no UDP.

mod peers;
mod quiet;
mod rules;
mod script;
#[cfg(test)]
mod tests;
mod world;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use crate::flow::{ClientAddr, Profile, Verdict};
use crate::net::dns::Asker;
use crate::net::rehearsal::{Stage, set};
use crate::net::resolve::Resolver;
use crate::telemetry::{Event, FlowRecord, Log};

use super::intake::Front;
use super::shared::{Core, Shared};
use super::worker;

use peers::{Client, Origin, pair};
use quiet::{Stirred, keep_time};
use rules::{assert_decided_alike, assert_rules};
use script::{Cuts, script};

/// No play lasts longer than this, on its own clock.
const CURTAIN: Duration = Duration::from_secs(3 * 3600);

/// The body of the fuzz target: what a client and an origin say, and how it is cut. What is decided may not depend on
/// the cuts.
pub fn session(bytes: &[u8]) {
    let Some((play, cuts)) = script(bytes) else { return };
    let cut = run(&play, &cuts);
    assert_rules(&cut);
    if cuts.are_quick() {
        let whole = run(&play, &Cuts::none());
        assert_rules(&whole);
        assert_decided_alike(&cut, &whole);
    }
}

/// Where a connection comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Explicit,
    /// Handed over by the kernel, on its way to this address.
    Gateway(SocketAddr),
}

/// What happens, but for how it is cut.
#[derive(Debug, Clone)]
struct Play {
    door: Door,
    profile: Profile,
    client: Client,
    origin: Origin,
}

/// What came of it.
#[derive(Debug, Default)]
struct Seen {
    /// False where it was still going on at the curtain.
    ended: bool,
    /// In the order of the log.
    events: Vec<Event>,
    reached: Vec<Reached>,
    to_client: Vec<u8>,
}

/// A connection to an origin.
#[derive(Debug)]
struct Reached {
    addr: SocketAddr,
    /// What the log had allowed and not closed by then.
    open: Vec<FlowRecord>,
    heard: Vec<u8>,
    said: Vec<u8>,
}

type Notes = Rc<RefCell<Seen>>;

fn run(play: &Play, cuts: &Cuts) -> Seen {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime needs no peer");
    let notes = Notes::default();
    LocalSet::new().block_on(&runtime, perform(play, cuts, notes.clone()));
    drop(runtime);
    notes.take()
}

async fn perform(play: &Play, cuts: &Cuts, notes: Notes) {
    // What Rust's own start does, and a fuzzer's does not: a write to who is gone is an error, not the end.
    let _handled = signal(SignalKind::pipe()).expect("no handler forbids another");
    let (log, batches) = Log::rehearsed();
    let shared = Arc::new(Shared::new(world::setup(play.profile, log)));
    shared.set_own_addresses(vec![world::OWN]);
    let (asker, requests) = Asker::new();
    let resolver = Resolver::new(&world::config().dns, asker, shared.config.timeouts.resolve);
    let core = Rc::new(Core::new(shared.clone(), 0, resolver));
    let stirred = Rc::new(Stirred::default());
    let crew = Rc::new(RefCell::new(JoinSet::new()));
    crew.borrow_mut().spawn_local(world::answer_names(requests));
    crew.borrow_mut().spawn_local(keep_time(stirred.clone()));
    let book = Book { core: core.clone(), batches: Rc::new(RefCell::new(batches)), notes: notes.clone() };
    let meant_for = match play.door {
        Door::Explicit => world::OWN,
        Door::Gateway(addr) => addr,
    };
    let _stage = set(Stage { meant_for, connect: connecting(play, &book, &crew, &stirred) });
    let (inside, outside) = pair().expect("a socket pair needs no peer");
    let client = play.client.clone().act(outside, cuts.clone(), notes.clone());
    let mut audience = JoinSet::new();
    audience.spawn_local(stirred.watch(client));
    let front = if play.door == Door::Explicit { Front::Explicit } else { Front::Gateway };
    let place = shared.limiter.place().await.expect("there is room for one connection");
    let session = worker::serve_one(core, front, inside, ClientAddr::new(world::CLIENT), place);
    notes.borrow_mut().ended = to_its_end(stirred.watch(session)).await;
    book.write_up();
    // The client has still to hear what was said last.
    let _ = timeout(CURTAIN, audience.join_next()).await;
}

/// False where the curtain fell before. As a task of its own it is polled when it is woken, and not with everybody else.
async fn to_its_end(session: impl Future<Output = ()> + 'static) -> bool {
    let mut task = JoinSet::new();
    task.spawn_local(session);
    match timeout(CURTAIN, task.join_next()).await {
        Ok(Some(Err(error))) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        ended => ended.is_ok(),
    }
}

/// Connects to origins, each of which does its part, and notes what the log had allowed by then.
fn connecting(
    play: &Play,
    book: &Book,
    crew: &Rc<RefCell<JoinSet<()>>>,
    stirred: &Rc<Stirred>,
) -> Box<dyn Fn(SocketAddr) -> std::io::Result<tokio::net::TcpStream>> {
    let (origin, book, crew, stirred) = (play.origin.clone(), book.clone(), crew.clone(), stirred.clone());
    Box::new(move |addr| {
        book.write_up();
        let number = book.note(addr);
        if origin.refuses() {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        }
        let (inside, outside) = pair()?;
        let part = origin.clone().act(outside, number, book.notes.clone());
        crew.borrow_mut().spawn_local(stirred.watch(part));
        Ok(inside)
    })
}

/// The log of a play.
#[derive(Clone)]
struct Book {
    core: Rc<Core>,
    batches: Rc<RefCell<Receiver<Vec<Event>>>>,
    notes: Notes,
}

impl Book {
    /// Notes what was recorded since.
    fn write_up(&self) {
        self.core.recorder.flush();
        while let Ok(batch) = self.batches.borrow_mut().try_recv() {
            self.notes.borrow_mut().events.extend(batch);
        }
    }

    /// The number of the connection.
    fn note(&self, addr: SocketAddr) -> usize {
        let mut notes = self.notes.borrow_mut();
        let open = notes.open();
        notes.reached.push(Reached { addr, open, heard: Vec::new(), said: Vec::new() });
        notes.reached.len() - 1
    }
}

impl Seen {
    fn flows(&self) -> impl Iterator<Item = &FlowRecord> {
        self.events.iter().filter_map(|event| match event {
            Event::Flow(flow) => Some(flow),
            _ => None,
        })
    }

    fn closed(&self, flow: u64) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Close(close) if close.flow == flow)).count()
    }

    /// Allowed, and not closed.
    fn open(&self) -> Vec<FlowRecord> {
        let allowed = self.flows().filter(|flow| flow.verdict == Verdict::Allow);
        allowed.filter(|flow| self.closed(flow.flow) == 0).cloned().collect()
    }
}
