//! The clients: each asks for what it knows the answer to, and says what it met to the ledger.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::RecordType;

use super::clock::{ALWAYS, EVEN, Expected, GONE, GONE_NEVER, MORTAL, NEVER, ODD};
use super::ledger::{Known, Ledger};
use super::origin::BODY;
use super::scene::Scene;
use super::wire::{Wire, is_close, strange};
use crate::support::DEADLINE;
use crate::support::gateway::NOBODY;
use crate::support::hello::Hello;
use crate::support::random::Random;
use crate::support::raw::{connect, get, header, socks_request, status_of};
use crate::support::upstream::{name, question};

/// Ways in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Connect,
    Socks,
    Gateway,
}

/// What a client met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    Served,
    Denied,
    /// Closed without an answer, where one could have been.
    Cut,
}

/// What all clients share.
pub struct Clients<'a> {
    pub scene: &'a Scene,
    pub ledger: &'a Ledger,
    pub over: AtomicBool,
    pub findings: Mutex<Vec<String>>,
    pub counts: Counts,
    /// Between two operations of one client.
    pub pause: Duration,
}

#[derive(Debug, Default)]
pub struct Counts {
    pub tunnels: AtomicU64,
    pub requests: AtomicU64,
    pub questions: AtomicU64,
    pub pings: AtomicU64,
    pub bulk_mib: AtomicU64,
    pub vanished: AtomicU64,
    pub failed_origins: AtomicU64,
}

const MOST_FINDINGS: usize = 20;
/// Of one kept connection.
const REQUESTS: usize = 50;
/// Of one bulk tunnel, each way.
const BULK: usize = 4 << 20;
/// Long tunnels of one client.
const LONG: usize = 8;

impl Clients<'_> {
    /// Repeats an operation, with pauses, until it is over. What must not happen is a finding.
    fn repeat(&self, what: &str, pause: Duration, mut operation: impl FnMut() -> io::Result<()>) {
        let mut next = Instant::now();
        while !self.over.load(Relaxed) {
            if let Err(error) = operation() {
                self.find(format!("{what}: {error}"));
            }
            // Who is late does not catch up: that would be a burst.
            next = (next + pause).max(Instant::now());
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    pub fn find(&self, what: String) {
        let mut findings = self.findings.lock().expect("nobody panics with it");
        if findings.len() < MOST_FINDINGS {
            findings.push(what);
        }
    }

    /// New tunnels by one door, to names that are allowed, denied, or either by the policy in force.
    pub fn tunnels(&self, door: Door, seed: u64) {
        let mut random = Random::seeded(seed);
        self.repeat(&format!("tunnels by {door:?}"), self.pause, || {
            let host = *random.pick(&[ALWAYS, NEVER, ODD, EVEN, ODD, EVEN]);
            let sni = if door == Door::Connect && host == ALWAYS && random.below(8) == 0 { NEVER } else { host };
            self.tunnel(door, host, sni)
        });
    }

    fn tunnel(&self, door: Door, host: &str, sni: &str) -> io::Result<()> {
        self.counts.tunnels.fetch_add(1, Relaxed);
        let since = self.scene.clock.now();
        let mut wire = self.open(door, 443)?;
        let client = wire.addr()?;
        let met = through(&mut wire, door, host, sni)?;
        wire.reset();
        let expected = if sni == host { self.scene.clock.expected(since, host) } else { Expected::Deny };
        let known = match (expected, met) {
            (Expected::Allow | Expected::Either, Met::Served) => Known::Allowed,
            (Expected::Deny | Expected::Either, Met::Denied) => Known::Denied,
            // Without a word: that is how a gateway denies, and how a hello is denied.
            (Expected::Deny, Met::Cut) if door == Door::Gateway || sni != host => Known::Denied,
            // It was allowed, or on a gateway denied, before it was cut.
            (Expected::Either, Met::Cut) => Known::Unsure,
            _ => return Err(strange(format!("{client} to {host} ({sni}): {met:?}, expected {expected:?}"))),
        };
        self.ledger.met(client, host, known);
        Ok(())
    }

    fn open(&self, door: Door, port: u16) -> io::Result<Wire> {
        match door {
            Door::Connect | Door::Socks => Wire::connect(self.scene.egret.addr),
            Door::Gateway => Wire::connect(SocketAddr::new(NOBODY.parse().expect("an address"), port)),
        }
    }

    /// Requests on kept connections, each to a name of its own. The gateway's door is its port 80.
    pub fn requests(&self, door: Door, seed: u64) {
        let mut random = Random::seeded(seed);
        let mut kept: Option<(Wire, usize)> = None;
        self.repeat(&format!("requests by {door:?}"), self.pause, || {
            let (mut wire, left) = match kept.take() {
                Some(kept) => kept,
                None => (self.open(door, 80)?, REQUESTS),
            };
            let host = *random.pick(&[ALWAYS, NEVER, ODD, EVEN, ODD, EVEN]);
            let keeps = self.request(&mut wire, door, host)?;
            match left {
                2.. if keeps => kept = Some((wire, left - 1)),
                _ => wire.reset(),
            }
            Ok(())
        });
    }

    /// True where the connection can be used again.
    fn request(&self, wire: &mut Wire, door: Door, host: &str) -> io::Result<bool> {
        self.counts.requests.fetch_add(1, Relaxed);
        let (since, client) = (self.scene.clock.now(), wire.addr()?);
        let path = if door == Door::Gateway { "/".to_owned() } else { format!("http://{host}/") };
        wire.send(get(&path, host))?;
        let answer = answer(wire);
        let expected = self.scene.clock.expected(since, host);
        let (known, keeps) = match (expected, answer) {
            (Expected::Allow | Expected::Either, Ok((200, keeps))) => (Known::Allowed, keeps),
            (Expected::Deny, Ok((470, keeps))) => (Known::Denied, keeps),
            // Denied, or allowed by one policy and refused by the next before the origin answered.
            (Expected::Either, Ok((470, keeps))) => (Known::Unsure, keeps),
            // Cut in the middle of the answer.
            (Expected::Either, Err(error)) if is_close(&error) => (Known::Unsure, false),
            (_, Ok((status, _))) => {
                return Err(strange(format!("{client} to {host}: {status}, expected {expected:?}")));
            }
            (_, Err(error)) => return Err(error),
        };
        self.ledger.met(client, host, known);
        Ok(keeps)
    }

    /// Questions to the DNS proxy.
    pub fn questions(&self, seed: u64) {
        let mut random = Random::seeded(seed);
        self.repeat("questions", self.pause, || {
            let host = *random.pick(&[ALWAYS, NEVER, ODD, EVEN]);
            self.question(host)
        });
    }

    fn question(&self, host: &str) -> io::Result<()> {
        self.counts.questions.fetch_add(1, Relaxed);
        let since = self.scene.clock.now();
        let socket = UdpSocket::bind((self.scene.dns.ip(), 0))?;
        socket.set_read_timeout(Some(DEADLINE))?;
        let client = socket.local_addr()?;
        let query = question(&format!("{host}."), RecordType::A);
        socket.send_to(&query.to_vec().expect("a question"), self.scene.dns)?;
        let mut buffer = [0; 1500];
        let read = socket.recv(&mut buffer)?;
        let answer = Message::from_vec(&buffer[..read]).map_err(strange)?;
        let expected = self.scene.clock.expected(since, host);
        let known = match (expected, answer.metadata.response_code) {
            (Expected::Allow | Expected::Either, ResponseCode::NoError) if !answer.answers.is_empty() => Known::Allowed,
            (Expected::Deny | Expected::Either, ResponseCode::Refused) => Known::Denied,
            (_, code) => return Err(strange(format!("{client} asks for {host}: {code}, expected {expected:?}"))),
        };
        // A refused question is a flow too.
        self.ledger.met(client, &name(&format!("{host}.")).to_ascii(), known);
        if known == Known::Denied {
            self.ledger.met(client, host, known);
        }
        Ok(())
    }

    /// What is allowed, to an origin that dies: it is served or it fails, and is never denied.
    pub fn mortals(&self, seed: u64) {
        let mut random = Random::seeded(seed);
        self.repeat("the mortal origin", self.pause, || match random.below(3) {
            0 => self.mortal_request(),
            1 => self.mortal_tunnel(Door::Connect),
            _ => self.mortal_tunnel(Door::Socks),
        });
    }

    fn mortal_tunnel(&self, door: Door) -> io::Result<()> {
        self.counts.tunnels.fetch_add(1, Relaxed);
        let mut wire = self.open(door, 443)?;
        let client = wire.addr()?;
        match through(&mut wire, door, MORTAL, MORTAL)? {
            Met::Served => {}
            Met::Cut => {
                self.counts.failed_origins.fetch_add(1, Relaxed);
            }
            Met::Denied => return Err(strange(format!("{client} was denied {MORTAL}"))),
        }
        wire.reset();
        self.ledger.met(client, MORTAL, Known::Allowed);
        Ok(())
    }

    fn mortal_request(&self) -> io::Result<()> {
        self.counts.requests.fetch_add(1, Relaxed);
        let mut wire = self.open(Door::Connect, 80)?;
        let client = wire.addr()?;
        wire.send(get(&format!("http://{MORTAL}/"), MORTAL))?;
        match answer(&mut wire) {
            Ok((200, _)) => {}
            Ok((502 | 504, _)) => {
                self.counts.failed_origins.fetch_add(1, Relaxed);
            }
            // In the middle of an answer there is nothing else to do.
            Err(error) if is_close(&error) => {
                self.counts.failed_origins.fetch_add(1, Relaxed);
            }
            Ok((status, _)) => return Err(strange(format!("{client} to {MORTAL}: {status}"))),
            Err(error) => return Err(error),
        }
        wire.reset();
        self.ledger.met(client, MORTAL, Known::Allowed);
        Ok(())
    }

    /// Tunnels that stay: those to what is always allowed for good, the others until a policy cuts them.
    pub fn long(&self) {
        let mut tunnels: Vec<Option<Long>> = (0..LONG).map(|_| None).collect();
        self.repeat("long tunnels", Duration::from_millis(250), || {
            for (number, tunnel) in tunnels.iter_mut().enumerate() {
                *tunnel = match tunnel.take() {
                    Some(tunnel) => self.ping(tunnel)?,
                    None => self.begin([ALWAYS, ALWAYS, ODD, EVEN][number % 4])?,
                };
            }
            Ok(())
        });
    }

    fn begin(&self, host: &'static str) -> io::Result<Option<Long>> {
        let since = self.scene.clock.now();
        let mut wire = self.open(Door::Connect, 443)?;
        let client = wire.addr()?;
        let met = through(&mut wire, Door::Connect, host, host)?;
        let expected = self.scene.clock.expected(since, host);
        match (expected, met) {
            (Expected::Allow | Expected::Either, Met::Served) => {
                self.ledger.met(client, host, Known::Allowed);
                return Ok(Some(Long { wire, host, since }));
            }
            (Expected::Deny | Expected::Either, Met::Denied) => self.ledger.met(client, host, Known::Denied),
            (Expected::Either, Met::Cut) => self.ledger.met(client, host, Known::Unsure),
            _ => return Err(strange(format!("{client} to {host}: {met:?}, expected {expected:?}"))),
        }
        Ok(None)
    }

    fn ping(&self, mut tunnel: Long) -> io::Result<Option<Long>> {
        let Long { wire, host, since } = &mut tunnel;
        let expected = self.scene.clock.expected(*since, host);
        self.counts.pings.fetch_add(1, Relaxed);
        match wire.send("ping").and_then(|()| wire.exact(4)) {
            // Two reloads later it was denied for a whole while.
            Ok(_) if expected == Expected::Either && self.scene.clock.now() >= *since + 5 => {
                Err(strange(format!("{:?} to {host} outlived a policy that denies it", wire.addr())))
            }
            Ok(echo) if echo == b"ping" => Ok(Some(tunnel)),
            Ok(echo) => Err(strange(format!("{echo:?} is no echo"))),
            Err(error) if is_close(&error) && self.scene.clock.expected(*since, host) != Expected::Allow => Ok(None),
            Err(error) => Err(strange(format!("{:?} to {host} was cut: {error}", wire.addr()))),
        }
    }

    /// Much both ways at once, every byte of which is looked at.
    pub fn bulk(&self) {
        self.repeat("bulk", Duration::from_secs(1), || {
            let mut wire = self.open(Door::Connect, 443)?;
            let client = wire.addr()?;
            if through(&mut wire, Door::Connect, ALWAYS, ALWAYS)? != Met::Served {
                return Err(strange(format!("{client} was not served")));
            }
            self.ledger.met(client, ALWAYS, Known::Allowed);
            let sent: Vec<u8> = (0..BULK).map(|at| (at / 7) as u8).collect();
            let mut writer = wire.stream.try_clone()?;
            let back = std::thread::scope(|scope| {
                let writing = scope.spawn(|| io::Write::write_all(&mut writer, &sent));
                let back = wire.exact(BULK);
                writing.join().expect("it does not panic").and(back)
            })?;
            wire.reset();
            self.counts.bulk_mib.fetch_add(2 * (BULK >> 20) as u64, Relaxed);
            if back == sent { Ok(()) } else { Err(strange("bytes were changed on their way")) }
        });
    }

    /// Clients that go away in the middle of something.
    pub fn vanishing(&self, door: Door, seed: u64) {
        let mut random = Random::seeded(seed);
        self.repeat("vanishing", self.pause, || {
            let wire = self.half_way(door, &mut random);
            self.counts.vanished.fetch_add(1, Relaxed);
            // Egret may have closed first.
            match wire {
                Ok(wire) if random.below(2) == 0 => wire.reset(),
                Err(error) if !is_close(&error) => return Err(error),
                _ => {}
            }
            Ok(())
        });
    }

    fn half_way(&self, door: Door, random: &mut Random) -> io::Result<Wire> {
        let host = *random.pick(&[GONE, GONE_NEVER]);
        let hello = Hello::of(host).bytes();
        let is_http = random.below(3) == 0;
        let mut wire = self.open(door, if is_http { 80 } else { 443 })?;
        let (ask, first) = match (is_http, door) {
            (true, Door::Gateway) => (Vec::new(), post("/", host)),
            (true, _) => (Vec::new(), post(&format!("http://{host}/"), host)),
            (false, Door::Gateway) => (Vec::new(), hello),
            (false, Door::Socks) => ([&[5, 1, 0][..], &socks_request(host, 443)].concat(), hello),
            (false, Door::Connect) => (connect(host_and_port(host).as_str()).into_bytes(), hello),
        };
        let all = [ask, first].concat();
        let end = [0, random.below(all.len()), all.len()][random.below(3)];
        wire.send(&all[..end])?;
        if random.below(2) == 0 {
            std::thread::sleep(Duration::from_millis(random.below(20) as u64));
        }
        Ok(wire)
    }
}

struct Long {
    wire: Wire,
    host: &'static str,
    since: u64,
}

fn host_and_port(host: &str) -> String {
    format!("{host}:443")
}

/// With more body announced than comes.
fn post(target: &str, host: &str) -> Vec<u8> {
    format!("POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\n{}", "b".repeat(100)).into_bytes()
}

/// Asks for a tunnel, if one has to, says hello and reads it back.
fn through(wire: &mut Wire, door: Door, host: &str, sni: &str) -> io::Result<Met> {
    let granted = match door {
        Door::Connect => {
            wire.send(connect(&host_and_port(host)))?;
            granted(answer(wire)?.0, 200, 470)?
        }
        Door::Socks => {
            wire.send([5, 1, 0])?;
            wire.exact(2)?;
            wire.send(socks_request(host, 443))?;
            granted(wire.exact(10)?[1].into(), 0, 2)?
        }
        Door::Gateway => true,
    };
    if !granted {
        return Ok(Met::Denied);
    }
    let hello = Hello::of(sni).bytes();
    match wire.send(&hello).and_then(|()| wire.exact(hello.len())) {
        Ok(echo) if echo == hello => Ok(Met::Served),
        Ok(_) => Err(strange("a hello came back changed")),
        Err(error) if is_close(&error) => Ok(Met::Cut),
        Err(error) => Err(error),
    }
}

fn granted(code: u16, yes: u16, no: u16) -> io::Result<bool> {
    match code {
        code if code == yes => Ok(true),
        code if code == no => Ok(false),
        code => Err(strange(format!("neither yes nor no but {code}"))),
    }
}

/// Reads an answer: its status, and whether the connection is kept.
fn answer(wire: &mut Wire) -> io::Result<(u16, bool)> {
    let head = wire.head()?;
    let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let body = wire.exact(length)?;
    let status = status_of(&head);
    if status == 200 && length > 0 && body != BODY.as_bytes() {
        return Err(strange(format!("a body of {}", body.escape_ascii())));
    }
    Ok((status, header(&head, "connection") != Some("close")))
}
