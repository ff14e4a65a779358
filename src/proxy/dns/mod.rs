//! The thread `egret-dns`: it answers DNS clients, looks names up for the cores, and keeps the names of network rules
//! resolved. It runs without listeners as well.
//!
//! Here is what is answered and what is written down; how an answer is found is [`net::dns`](crate::net::dns)'s.

mod answer;
mod listen;
mod ready;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep;

use crate::config::DnsConfig;
use crate::flow::HostName;
use crate::net::dns::{
    Lookup, REFRESH_EVERY, Request, Requests, Resolved, Unresolved, Upstream, UpstreamError, outcome, system_servers,
};
use crate::net::listener::{self, Accepts};
use crate::net::udp::bind_own;
use crate::policy::Policy;
use crate::telemetry::{DnsCounters, Event, FqdnFailureRecord, Recorder};

use super::shared::Shared;
use ready::Ready;

/// Questions of clients that are worked on at once. Beyond it a datagram is *dropped and counted*, which costs less
/// than any answer; a question that came by TCP *waits*.
const CLIENT_QUESTIONS: usize = 1024;

/// Of these, those that wait for name servers. Beyond it a question *fails* (SERVFAIL), so that whoever floods the
/// servers leaves room for what is known.
const WAITING_FOR_SERVERS: usize = 768;

/// Look-ups for cores that are worked on at once; the rest *waits* in the queue.
const CORE_LOOKUPS: usize = 1024;

/// Names of network rules that are looked up at once.
const REFRESHED_AT_ONCE: usize = 16;

/// Rules that are told of a name that does not resolve, the first that have it. The rest are *left out*.
const RULES_TOLD: usize = 100;

/// What the runtime may take to end.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// Where clients ask; there may be none.
#[derive(Default)]
pub(crate) struct Sockets {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    addrs: Vec<SocketAddr>,
}

impl Sockets {
    /// One of each for every address. An error names the address.
    pub(crate) fn bind(addrs: &[SocketAddr]) -> io::Result<Sockets> {
        let naming = |addr: SocketAddr| {
            move |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {addr} (DNS): {error}"))
        };
        let mut sockets = Sockets::default();
        for addr in addrs {
            let udp = bind_own(*addr).map_err(naming(*addr))?;
            let bound = udp.local_addr()?;
            sockets.tcp.extend(listener::bind(bound, 1, Accepts::ItsOwn).map_err(naming(bound))?);
            sockets.udp.push(udp);
            sockets.addrs.push(bound);
        }
        Ok(sockets)
    }

    /// Of another network: whoever they answer for, Egret itself is not asked at their addresses.
    #[cfg(target_os = "linux")]
    pub(crate) fn handed_over(udp: Vec<UdpSocket>, tcp: Vec<TcpListener>) -> Sockets {
        Sockets { udp, tcp, addrs: Vec::new() }
    }

    pub(super) fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }
}

/// The DNS proxy and the firewall's own resolution.
struct Dns {
    shared: Arc<Shared>,
    config: DnsConfig,
    lookup: Lookup,
    ready: Ready,
    recorder: Recorder,
    next_flow: Cell<u64>,
    places: Arc<Semaphore>,
    asking: Semaphore,
    /// Names of network rules that did not resolve last time.
    failing: RefCell<HashSet<HostName>>,
}

/// Starts the thread. It ends when no core can ask it any more. `mark` is the firewall mark of what is sent to name
/// servers.
pub(crate) fn start(
    sockets: Sockets,
    requests: Requests,
    shared: Arc<Shared>,
    config: &DnsConfig,
    mark: Option<u32>,
) -> io::Result<JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let inside = runtime.enter();
    let sockets = listen::Sockets::new(sockets)?;
    drop(inside);
    let config = config.clone();
    std::thread::Builder::new().name("egret-dns".to_owned()).spawn(move || {
        let local = LocalSet::new();
        local.block_on(&runtime, async {
            let dns = Rc::new(Dns::new(shared, config, mark));
            dns.run(sockets, requests).await;
        });
        drop(local);
        runtime.shutdown_timeout(SHUTDOWN);
    })
}

impl Dns {
    fn new(shared: Arc<Shared>, config: DnsConfig, mark: Option<u32>) -> Dns {
        let DnsConfig { proxy, servers, overrides, synthetic: _, connect_to: _ } = &config;
        let servers = servers.clone().unwrap_or_else(system_servers);
        let servers = without_own(servers, &proxy.listen);
        let metrics = shared.metrics.clone();
        let upstream = Upstream::new(
            servers,
            mark,
            Box::new(move |server, error| {
                metrics.dns().upstream_failures.add(1);
                tracing::info!(%error, "the name server {server} failed");
            }),
        );
        let deadline = shared.config.timeouts.resolve;
        let lookup = Lookup::new(overrides.clone(), upstream, shared.directory.clone(), deadline);
        Dns {
            lookup,
            ready: Ready::default(),
            recorder: shared.log.recorder(),
            // The last of the cores, as far as flows are numbered.
            next_flow: Cell::new(shared.cores() as u64 - 1),
            places: Arc::new(Semaphore::new(CLIENT_QUESTIONS)),
            asking: Semaphore::new(WAITING_FOR_SERVERS),
            failing: RefCell::default(),
            config,
            shared,
        }
    }

    async fn run(self: Rc<Self>, sockets: listen::Sockets, requests: Requests) {
        let mut serving = JoinSet::new();
        sockets.serve(&self, &mut serving);
        serving.spawn_local(self.clone().keep_fqdns());
        tokio::select! {
            () = self.clone().answer_cores(requests) => {}
            () = self.recorder.keep_flushing() => {}
            () = watch(serving) => {}
        }
    }

    fn counters(&self) -> &DnsCounters {
        self.shared.metrics.dns()
    }

    fn next_flow(&self) -> u64 {
        let flow = self.next_flow.get();
        self.next_flow.set(flow + self.shared.cores() as u64);
        flow
    }

    /// Until the last core has gone.
    async fn answer_cores(self: Rc<Self>, mut requests: Requests) {
        let mut answering = JoinSet::new();
        loop {
            tokio::select! {
                request = requests.recv(), if answering.len() < CORE_LOOKUPS => match request {
                    Some(request) => answering.spawn_local(self.clone().answer_core(request)),
                    None => return,
                },
                Some(ended) = answering.join_next() => { outcome(ended); continue }
            };
        }
    }

    async fn answer_core(self: Rc<Self>, request: Request) {
        let Request { name, answer } = request;
        let tell = |resolved| {
            // Its flow may be over.
            let _ = answer.send(resolved);
        };
        Box::pin(self.lookup.addresses(&name, tell)).await;
    }

    /// Looks the names of network rules up, again and again; at once when the policy changes.
    async fn keep_fqdns(self: Rc<Self>) {
        let mut changes = self.shared.policy_changes();
        loop {
            let round = async {
                self.refresh().await;
                sleep(REFRESH_EVERY).await;
            };
            tokio::select! {
                () = round => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn refresh(self: &Rc<Self>) {
        let active = self.shared.active();
        self.lookup.follow(active.policy.network_fqdns());
        let mut refreshing = JoinSet::new();
        for name in active.policy.network_fqdns().iter().chain(self.watched_by_dnat(&active.policy)) {
            if refreshing.len() == REFRESHED_AT_ONCE {
                refreshing.join_next().await.map(outcome);
            }
            refreshing.spawn_local(self.clone().refresh_one(name.clone()));
        }
        while refreshing.join_next().await.map(outcome).is_some() {}
        self.lookup.forget();
    }

    /// The names that DNAT rules lead to are resolved when a flow comes; that one of them does not resolve is told where
    /// the DNS proxy is in use (azure-docs, fqdn-filtering-network-rules).
    fn watched_by_dnat<'a>(&self, policy: &'a Policy) -> impl Iterator<Item = &'a HostName> {
        let is_in_use = !self.config.proxy.listen.is_empty();
        policy.translated_fqdns().filter(move |_| is_in_use)
    }

    /// The addresses go into the table by themselves. A failure is written down when it begins.
    async fn refresh_one(self: Rc<Self>, name: HostName) {
        let mut heard = None;
        Box::pin(self.lookup.addresses(&name, |resolved| heard = Some(resolved))).await;
        match heard {
            None | Some(Resolved::To { .. }) => {
                self.failing.borrow_mut().remove(&name);
            }
            Some(Resolved::Failed(error)) => {
                self.counters().fqdn_failures.add(1);
                if self.failing.borrow_mut().insert(name.clone()) {
                    self.record_failure(name, error).await;
                }
            }
        }
    }

    async fn record_failure(&self, fqdn: HostName, error: Unresolved) {
        let Unresolved { why, server } = error;
        let mut rules = self.shared.active().policy.rules_with_fqdn(&fqdn);
        rules.truncate(RULES_TOLD);
        let record = FqdnFailureRecord { ts: Timestamp::now(), fqdn, server, error: why.into(), rules };
        self.recorder.record(Event::FqdnFailure(record)).await;
    }
}

/// Those that serve clients: should one end, the others go on.
async fn watch(mut serving: JoinSet<()>) {
    while serving.join_next().await.map(outcome).is_some() {}
    std::future::pending().await
}

/// A server that is this process itself would be asked for what it asks.
fn without_own(mut servers: Vec<SocketAddr>, listen: &[SocketAddr]) -> Vec<SocketAddr> {
    servers.retain(|server| {
        let own = |own: &SocketAddr| own.port() == server.port() && listener::leads_to(own.ip(), server.ip());
        let is_own = listen.iter().any(own);
        if is_own {
            tracing::warn!("the name server {server} is Egret itself and is not asked; name another by --dns-server");
        }
        !is_own
    });
    if servers.is_empty() {
        tracing::warn!("{}: only names that are given are resolved", UpstreamError::NoServer);
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn egret_does_not_ask_itself() {
        let check = |server: &str, listen: &str, kept: usize| {
            let (server, listen) = (server.parse().unwrap(), listen.parse().unwrap());
            assert_eq!(without_own(vec![server], &[listen]).len(), kept, "{server} {listen}");
        };
        check("127.0.0.1:53", "127.0.0.1:53", 0);
        check("127.0.0.1:53", "0.0.0.0:53", 0);
        check("127.0.0.1:5353", "127.0.0.1:53", 1);
        check("127.0.0.53:53", "127.0.0.1:53", 1);
    }
}
