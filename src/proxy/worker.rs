//! One core: a thread, a runtime, listeners, and the connections that came in on them.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::config::DnsConfig;
use crate::flow::{ClientAddr, Reason, Via};
use crate::net::dial;
use crate::net::dns::Asker;
use crate::net::resolve::Resolver;
use crate::net::unsent::Share;

#[cfg(target_os = "linux")]
use super::icmp;
use super::intake::{Doors, Front};
use super::limit::Place;
use super::records::About;
use super::session::Session;
use super::shared::{Core, Counted, Shared};
use super::{explicit, gateway, probe, rates, udp};

/// What a runtime may take to end the tasks of others, such as DNS look-ups.
const SHUTDOWN: Duration = Duration::from_secs(1);
/// What tunnels may take, all of a core, to write down how they were cut.
const LAST_RECORDS: Duration = Duration::from_millis(250);

pub(super) fn start(
    number: usize,
    doors: Doors,
    shared: Arc<Shared>,
    dns: &DnsConfig,
    asker: Asker,
) -> io::Result<JoinHandle<()>> {
    let (tell, told) = sync_channel(1);
    let dns = dns.clone();
    let worker = std::thread::Builder::new().name(format!("egret-{number}")).spawn(move || {
        let (runtime, resolver, served) = match open(doors, &shared, &dns, asker) {
            Ok(opened) => opened,
            // Whoever started this thread waits for it.
            Err(error) => {
                let _ = tell.send(Err(error));
                return;
            }
        };
        let _ = tell.send(Ok(()));
        runtime.block_on(serve(Rc::new(Core::new(shared, number, resolver)), served));
        runtime.shutdown_timeout(SHUTDOWN);
    })?;
    told.recv().unwrap_or_else(|_| Err(io::Error::other("a worker ended before it began")))?;
    Ok(worker)
}

/// A runtime whose tasks never leave this thread, and all that is registered with it.
fn open(
    doors: Doors,
    shared: &Arc<Shared>,
    dns: &DnsConfig,
    asker: Asker,
) -> io::Result<(LocalRuntime, Resolver, Served)> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let inside = runtime.enter();
    let resolver = Resolver::new(dns, asker, shared.config.timeouts.resolve);
    let Doors { listeners, datagrams, replies, unreachable, .. } = doors;
    let listeners = listeners.into_iter().map(|(front, listener)| Ok((front, TcpListener::from_std(listener)?)));
    let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
    let served = Served {
        listeners,
        datagrams: udp::Door::new(datagrams, replies, unreachable)?,
        #[cfg(target_os = "linux")]
        echoes: icmp::Door::new(doors.echoes, shared)?,
    };
    drop(inside);
    Ok((runtime, resolver, served))
}

/// Everything that one worker serves, inside its runtime.
struct Served {
    listeners: Vec<(Front, TcpListener)>,
    datagrams: udp::Door,
    #[cfg(target_os = "linux")]
    echoes: icmp::Door,
}

/// Accepts until Egret drains, then waits for the connections until its deadline.
async fn serve(core: Rc<Core>, served: Served) {
    let mut accepting = JoinSet::new();
    let mut ringing = JoinSet::new();
    ringing.spawn_local(keep_ringing(core.clone()));
    let connections = TaskTracker::new();
    if !served.datagrams.is_shut() {
        connections.spawn_local(told("the gateway's UDP", udp::serve(core.clone(), served.datagrams)));
    }
    #[cfg(target_os = "linux")]
    if !served.echoes.is_shut() {
        connections.spawn_local(told("the gateway's ICMP", icmp::serve(core.clone(), served.echoes)));
    }
    for (front, listener) in served.listeners {
        accepting.spawn_local(told("a listener", accept_all(core.clone(), front, listener, connections.clone())));
    }
    accepting.spawn_local(rates::keep_looking(core.clone()));
    if let Some(probes) = core.shared.take_probes() {
        accepting.spawn_local(probe::serve(core.clone(), probes));
    }
    let lifecycle = core.shared.lifecycle.clone();
    tokio::select! {
        () = lifecycle.drain.cancelled() => {}
        () = core.recorder.keep_flushing() => {}
        _ = ringing.join_next() => return deaf(),
    }
    drop(accepting);
    connections.close();
    tokio::select! {
        () = core.recorder.keep_flushing() => {}
        () = lifecycle.kill.cancelled() => {
            // Tunnels hear of it and write down how they end; what has not ended by then is cut. HTTP does not hear of it.
            let _ = timeout(LAST_RECORDS, connections.wait()).await;
        }
        _ = ringing.join_next() => deaf(),
        () = connections.wait() => {}
    }
}

/// A core that hears of policies no more would let go on what they deny: it ends instead.
fn deaf() {
    tracing::error!("a core no longer hears of policies, and ends; please report it");
}

async fn keep_ringing(core: Rc<Core>) {
    core.alarm.keep_ringing(core.shared.policy_changes(), &core.shared.lifecycle).await;
}

/// `connections` end with their runtime.
async fn accept_all(core: Rc<Core>, front: Front, listener: TcpListener, connections: TaskTracker) {
    let mut share = Share::default();
    loop {
        // Waiting before there is a connection would keep its place from another listener.
        let (stream, client) = share.accept(&listener, core.shared.limiter.taken()).await;
        let Ok(place) = core.shared.limiter.place().await else {
            let session = Session::new(core.clone(), ClientAddr::new(client));
            Box::pin(refuse(&session, front, stream, Reason::LimitConnections)).await;
            continue;
        };
        if !cfg!(target_os = "linux") {
            dial::no_delay(SockRef::from(&stream));
        }
        connections.spawn_local(serve_one(core.clone(), front, stream, ClientAddr::new(client), place));
    }
}

pub(super) async fn serve_one(core: Rc<Core>, front: Front, stream: TcpStream, client: ClientAddr, place: Place) {
    let _told = PanicTold("a connection");
    let counted = Counted::new(core.clone(), |counters| &counters.connections);
    let session = Rc::new(Session::new(core.clone(), client));
    match core.shared.limiter.client_place(client.ip()) {
        Ok(client_place) => {
            let outcome = match front {
                Front::Explicit => Box::pin(explicit::serve(session.clone(), stream)).await,
                Front::Gateway => Box::pin(gateway::serve(session.clone(), stream)).await,
            };
            if let Some(tunnel) = outcome {
                session.tunnel(tunnel).await;
            }
            drop(client_place);
        }
        Err(()) => Box::pin(refuse(&session, front, stream, Reason::LimitClient)).await,
    }
    drop(counted);
    drop(place);
}

async fn told(what: &'static str, work: impl Future<Output = ()>) {
    let _told = PanicTold(what);
    work.await;
}

/// Nobody waits for the task that holds this: so it tells itself.
struct PanicTold(&'static str);

impl Drop for PanicTold {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("{} ended in a panic; please report it", self.0);
        }
    }
}

/// Refuses a connection of which nothing was read.
async fn refuse(session: &Session, front: Front, stream: TcpStream, reason: Reason) {
    match front {
        Front::Explicit => session.record_malformed(Via::Http, About::Nothing, reason).await,
        Front::Gateway => gateway::refuse(session, stream, reason).await,
    }
}
