//! One flow, from its first datagram to its end.

use std::cell::{OnceCell, RefCell};
use std::io;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout};

use crate::flow::{ClientAddr, Protocol, Reason, Via};
use crate::net::udp::{LARGEST, Way};
use crate::telemetry::CloseWhy;

use super::super::denied::Denial;
use super::super::limit::ClientPlace;
use super::super::pulse::Pulse;
use super::super::session::{Ask, Permitted, Refused, Session};
use super::super::shared::{Core, Counted};
use super::Table;

/// Datagrams that wait for a decision, and their bytes. Beyond it they are *dropped and counted*.
const EARLY: usize = 16;
const EARLY_BYTES: usize = 96 * 1024;

thread_local! {
    /// An idle flow owns no buffer.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; LARGEST].into_boxed_slice());
}

pub(super) struct Flow {
    way: Way,
    /// Of the datagram that began it.
    first: usize,
    early: RefCell<Vec<Box<[u8]>>>,
    /// There once the flow is allowed.
    origin: OnceCell<UdpSocket>,
    pulse: Pulse,
}

/// A datagram that was dropped.
pub(super) struct Lost;

impl Flow {
    pub(super) fn new(way: Way, datagram: &[u8]) -> Flow {
        Flow {
            way,
            first: datagram.len(),
            early: RefCell::new(vec![datagram.into()]),
            origin: OnceCell::new(),
            pulse: Pulse::new(),
        }
    }

    /// Sends a datagram on, without waiting: what the kernel does not take is lost, as on any line. Before the flow is
    /// allowed it is kept.
    pub(super) fn pass_up(&self, datagram: &[u8]) -> Result<(), Lost> {
        let Some(origin) = self.origin.get() else { return self.keep(datagram) };
        self.pulse.beat();
        match origin.try_send(datagram) {
            Ok(sent) => self.pulse.moved_up(sent),
            Err(error) if is_final(&error) => self.pulse.fail(),
            Err(_) => return Err(Lost),
        }
        Ok(())
    }

    fn keep(&self, datagram: &[u8]) -> Result<(), Lost> {
        let mut early = self.early.borrow_mut();
        let bytes: usize = early.iter().map(|kept| kept.len()).sum();
        if early.len() >= EARLY || bytes + datagram.len() > EARLY_BYTES {
            return Err(Lost);
        }
        early.push(datagram.into());
        Ok(())
    }

    /// Brings answers down for as long as the origin can be reached.
    async fn bring_down(&self, origin: &UdpSocket, reply: &UdpSocket, core: &Core) {
        // What ICMP says makes a socket no more readable: it is asked for by itself.
        while let Ok(ready) = origin.ready(Interest::READABLE | Interest::ERROR).await {
            if ready.is_error() && origin.try_io(Interest::ERROR, || taken(origin)).is_err_and(|error| is_final(&error))
            {
                return;
            }
            if BUFFER.with_borrow_mut(|buffer| self.pass_down(origin, reply, core, buffer)).is_err() {
                return;
            }
            consume_budget().await;
        }
    }

    /// Takes one answer, where there is one, and sends it on. An error says that the origin cannot be reached.
    fn pass_down(&self, origin: &UdpSocket, reply: &UdpSocket, core: &Core, buffer: &mut [u8]) -> io::Result<()> {
        let length = match origin.try_recv(buffer) {
            Ok(length) => length,
            Err(error) if is_final(&error) => return Err(error),
            Err(_) => return Ok(()),
        };
        self.pulse.beat();
        match reply.try_send_to(buffer.get(..length).unwrap_or_default(), self.way.client) {
            Ok(sent) => self.pulse.moved_down(sent),
            Err(_) => core.counters.udp_dropped.add(1),
        }
        Ok(())
    }
}

/// The error that waits at a socket; without one it would block.
fn taken(socket: &UdpSocket) -> io::Result<()> {
    Err(socket.take_error()?.unwrap_or_else(|| io::ErrorKind::WouldBlock.into()))
}

/// Errors that ICMP brought, or the routing table: all others are of one datagram.
fn is_final(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

/// What an allowed flow takes: a place among its client's connections and flows, and one among all flows.
struct Places {
    _of_client: Option<ClientPlace>,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    fn of(session: &Session) -> Result<Places, Reason> {
        let shared = &session.core.shared;
        let of_client = shared.limiter.flow_place(session.client.ip()).map_err(|()| Reason::LimitClient)?;
        let of_all = shared.udp_flows.clone().try_acquire_owned().map_err(|_| Reason::LimitFlows)?;
        Ok(Places { _of_client: of_client, _of_all: of_all })
    }
}

/// Decides the flow and serves it to its end.
pub(super) async fn run(table: Rc<Table>, flow: Rc<Flow>, undecided: OwnedSemaphorePermit) {
    let way = flow.way;
    let _listed = Listed { table: table.clone(), way };
    let to = table.core.shared.meant_by(way.asked);
    let ask = Ask { via: Via::Gateway, to: &to, protocols: &[Protocol::Udp], path: None, dialled: None, live: None };
    let session = Session::new(table.core.clone(), ClientAddr::new(way.client));
    let denial = match decide(&session, ask).await {
        Ok((permitted, places)) => {
            let served = serve(&table, &flow, &session, ask, permitted, undecided).await;
            drop(places);
            served.err()
        }
        Err(denial) => Some(denial),
    };
    if let Some(denial) = denial {
        table.refuse(way, flow.first);
        if !denial.reason.is_upstream_failure() {
            table.denied.borrow_mut().remember(way, denial, &table.core, Instant::now());
        }
    }
}

/// A flow that the table knows. It is forgotten also where its task panics.
struct Listed {
    table: Rc<Table>,
    way: Way,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.table.forget(self.way);
    }
}

/// The flow's permit and its places, or why it has none: that is logged then.
async fn decide(session: &Session, ask: Ask<'_>) -> Result<(Permitted, Places), Denial> {
    let decided = session.authorize_handed_over(ask).await;
    let placed = decided.and_then(|permitted| match Places::of(session) {
        Ok(places) => Ok((permitted, places)),
        Err(reason) => Err(session.refuse(permitted, reason)),
    });
    match placed {
        Ok(placed) => Ok(placed),
        Err(refused) => Err(record(session, ask, refused).await),
    }
}

async fn record(session: &Session, ask: Ask<'_>, refused: Refused) -> Denial {
    session.record_refused(ask, &refused, None).await;
    Denial { reason: refused.reason, generation: refused.active.generation() }
}

/// Serves an allowed flow. The error says that its origin is not to be reached.
async fn serve(
    table: &Table,
    flow: &Rc<Flow>,
    session: &Session,
    ask: Ask<'_>,
    permitted: Permitted,
    undecided: OwnedSemaphorePermit,
) -> Result<(), Denial> {
    let denial = |reason| Denial { reason, generation: permitted.active.generation() };
    let opened = session.record_allowed(ask, &permitted, None).await;
    let connected = connect(table, flow, session, &permitted).await;
    drop(undecided);
    let reply = match connected {
        Ok(reply) => reply,
        Err(reason) => {
            session.close_failed(opened, [0, 0], reason);
            return Err(denial(reason));
        }
    };
    let _counted = Counted::new(table.core.clone(), |counters| &counters.udp_flows);
    if opened.is_measured() {
        let flow = flow.clone();
        opened.moves(move || flow.pulse.moved());
    }
    let why = carry(flow, session, ask, &permitted, &reply).await;
    session.close_connectionless(opened, flow.pulse.moved(), why);
    match why {
        CloseWhy::Reason(reason) if reason.is_upstream_failure() => Err(denial(reason)),
        _ => Ok(()),
    }
}

/// Opens both sockets and sends what came meanwhile.
async fn connect(
    table: &Table,
    flow: &Flow,
    session: &Session,
    permitted: &Permitted,
) -> Result<Rc<UdpSocket>, Reason> {
    let origin = session.dial_udp(permitted)?;
    let ready = async {
        let reply = table.reply_socket(flow.way.asked).await?;
        // Only then do they take anything without waiting.
        reply.writable().await?;
        origin.writable().await?;
        io::Result::Ok(reply)
    };
    let ready =
        timeout(session.timeouts().connect, ready).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let reply = ready.map_err(|error| {
        table.tell_once(flow.way.asked, &error);
        Reason::UpstreamUnreachable
    })?;
    // It is set once: here.
    let _ = flow.origin.set(origin);
    for datagram in flow.early.take() {
        if flow.pass_up(&datagram).is_err() {
            session.core.counters.udp_dropped.add(1);
        }
    }
    Ok(reply)
}

/// Carries datagrams both ways until the flow is over.
async fn carry(flow: &Flow, session: &Session, ask: Ask<'_>, permitted: &Permitted, reply: &UdpSocket) -> CloseWhy {
    let origin = flow.origin.get().expect("it was connected");
    tokio::select! {
        why = flow.pulse.end(session, ask, permitted) => why,
        () = flow.bring_down(origin, reply, &session.core) => CloseWhy::Reason(Reason::UpstreamUnreachable),
    }
}
