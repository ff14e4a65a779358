//! Connections that Egret tries itself, to tell whether somebody would get through: named, judged and dialled as those of
//! clients are, then dropped.
//!
//! What the policy denies is not dialled, nor looked up where its name is enough to deny it. A probe is nobody's flow: it
//! has no record and hits no rule, and whoever asked is told what became of it.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::flow::{Authority, ClientAddr, Host, HostName, Protocol, Reason, Via};
use crate::wire::ParseError;
use crate::wire::greeting::{GREETING_BYTES, Greeting, client_hello, greeting};

use super::session::{Ask, Permitted, Session};
use super::shared::{Core, reap};

/// Probes that wait for a place; when it is full, whoever asks *waits*.
const QUEUE: usize = 64;
/// Probes under way at once; beyond them new ones wait in the queue.
const AT_ONCE: usize = 16;

/// What is to be tried.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    /// On whose behalf: rules with sources look at it.
    pub(crate) client: IpAddr,
    pub(crate) host: HostName,
    pub(crate) port: u16,
    pub(crate) way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    /// Asked for the time (RFC 5905), which is what depends on UDP.
    Udp,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Probed {
    /// What the name leads to, also where `--connect-to` has another address dialled.
    pub(crate) addr: Option<IpAddr>,
    /// What it took to open a TCP connection.
    pub(crate) latency: Option<Duration>,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// TCP, and on port 443 TLS as far as the server's first word.
    Reached,
    /// It was not dialled.
    Denied(Reason),
    /// It is allowed, and does not answer.
    Failed(Reason),
}

impl Probed {
    fn nowhere(outcome: Outcome) -> Probed {
        Probed { addr: None, latency: None, outcome }
    }
}

struct Request {
    probe: Probe,
    answer: oneshot::Sender<Probed>,
}

/// The end of whoever asks.
#[derive(Debug, Clone)]
pub(crate) struct Prober(mpsc::Sender<Request>);

/// The end of the core that tries.
pub(super) struct Requests(mpsc::Receiver<Request>);

impl Prober {
    pub(super) fn new() -> (Prober, Requests) {
        let (sender, requests) = mpsc::channel(QUEUE);
        (Prober(sender), Requests(requests))
    }

    /// Each step has the deadline that flows have; None where Egret is going down.
    pub(crate) async fn probe(&self, probe: Probe) -> Option<Probed> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Request { probe, answer }).await.ok()?;
        answered.await.ok()
    }
}

/// For as long as anybody may ask.
pub(super) async fn serve(core: Rc<Core>, Requests(mut requests): Requests) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    while let Some(Request { probe, mut answer }) = requests.recv().await {
        let place = places.clone().acquire_owned().await.expect("nobody closes it");
        let core = core.clone();
        reap(&mut running, "a probe");
        running.spawn_local(async move {
            let session = Session::new(core, ClientAddr::new(SocketAddr::new(probe.client, 0)));
            tokio::select! {
                probed = Box::pin(session.probe(&probe)) => {
                    // Who asked may have gone meanwhile.
                    let _ = answer.send(probed);
                }
                () = answer.closed() => {}
            }
            drop(place);
        });
    }
}

impl Session {
    async fn probe(&self, probe: &Probe) -> Probed {
        let Probe { client: _, host, port, way } = probe;
        let to = Authority { host: Host::Name(host.clone()), port: *port };
        let protocols = match Protocol::usual(*port) {
            _ if *way == Way::Udp => vec![Protocol::Udp],
            Protocol::Tcp => vec![Protocol::Tcp],
            named => vec![named, Protocol::Tcp],
        };
        let path = (*port == 80).then_some("/");
        // As one that comes out of the network, which what is around the firewall is asked about.
        let ask = Ask { via: Via::Gateway, to: &to, protocols: &protocols, path, dialled: None, live: None };
        let mut permitted = match self.authorize(ask).await {
            Ok(permitted) => permitted,
            Err(refused) => {
                let failed = refused.reason.is_upstream_failure();
                let outcome = if failed { Outcome::Failed(refused.reason) } else { Outcome::Denied(refused.reason) };
                return Probed { addr: refused.dst.map(|dst| dst.ip()), ..Probed::nowhere(outcome) };
            }
        };
        let since = Instant::now();
        if *way == Way::Udp {
            let addr = permitted.first().map(|addr| addr.ip());
            let told = self.ask_the_time(&permitted).await;
            let latency = told.is_ok().then(|| since.elapsed());
            return Probed { addr, latency, outcome: told.map_or_else(Outcome::Failed, |()| Outcome::Reached) };
        }
        let dialled = self.dial(&mut permitted).await;
        let latency = since.elapsed();
        let addr = permitted.judged().ip().or_else(|| permitted.first().map(|addr| addr.ip()));
        match dialled {
            Err(reason) => Probed { addr, ..Probed::nowhere(Outcome::Failed(reason)) },
            Ok(stream) => {
                let greeted = if *port == 443 { self.greet(stream, host).await } else { Ok(()) };
                let outcome = greeted.map_or_else(Outcome::Failed, |()| Outcome::Reached);
                Probed { addr, latency: Some(latency), outcome }
            }
        }
    }

    /// Does a time server answer?
    async fn ask_the_time(&self, permitted: &Permitted) -> Result<(), Reason> {
        let socket = self.dial_udp(permitted)?;
        let mut question = [0; 48];
        // No warning of leap seconds, version 4, a client.
        question[0] = 0b00_100_011;
        let exchange = async {
            socket.send(&question).await?;
            socket.recv(&mut [0; 48]).await
        };
        match timeout(self.timeouts().hello, exchange).await {
            Err(_) => Err(Reason::UpstreamTimeout),
            Ok(Err(_)) => Err(Reason::UpstreamUnreachable),
            Ok(Ok(_)) => Ok(()),
        }
    }

    /// Does the other side speak TLS for this name?
    async fn greet(&self, stream: TcpStream, host: &HostName) -> Result<(), Reason> {
        let limit = self.timeouts().hello;
        match timeout(limit, said(stream, &client_hello(host, bits(), bits()))).await {
            Err(_) => Err(Reason::UpstreamTimeout),
            Ok(Err(_)) => Err(Reason::UpstreamUnreachable),
            Ok(Ok(Some(Greeting::Hello))) => Ok(()),
            Ok(Ok(Some(Greeting::Alert(_)) | None)) => Err(Reason::UpstreamInvalid),
        }
    }
}

/// The first word of the answer; None for what is no TLS.
async fn said(mut stream: TcpStream, hello: &[u8]) -> std::io::Result<Option<Greeting>> {
    stream.write_all(hello).await?;
    let mut bytes = Vec::with_capacity(GREETING_BYTES);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        match greeting(&bytes) {
            Ok(greeting) => return Ok(Some(greeting)),
            Err(ParseError::Incomplete) if bytes.len() < GREETING_BYTES => {}
            Err(_) => return Ok(None),
        }
    }
}

/// Different each time, which is all that a handshake that ends here needs.
fn bits() -> [u8; 32] {
    let mut bits = [0; 32];
    for eight in bits.chunks_exact_mut(8) {
        eight.copy_from_slice(&RandomState::new().hash_one(0).to_ne_bytes());
    }
    bits
}
