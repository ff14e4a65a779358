//! ICMP echo on the gateway: flows by client, destination and identifier, decided with their first request.
//!
//! One worker serves them all. A flow is kept as one of UDP is: it ends when it rests, it has a place of
//! `limits.udp_flows`, and what is denied is recorded once. Toward its destination it has an identifier of Egret's own.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::future::poll_fn;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use crate::flow::{ClientAddr, Protocol, Reason, Via};
use crate::net::echo::{Echo, Replies, Requests, Senders, Sockets, is_elsewhere};
use crate::net::udp::{LARGEST, Way};

use super::denied::{Denial, Denied};
use super::pulse::Pulse;
use super::session::{Ask, Permitted, Refused, Session};
use super::shared::{Core, Counted, Shared, reap};

/// Flows that are being decided. At the cap receiving *waits*, and the kernel's queue drops what it cannot hold: so
/// nobody's denial is lost from the log.
const UNDECIDED: usize = 256;

/// Requests of a flow that wait for its decision. Beyond it they are *dropped and counted*.
const EARLY: usize = 16;

/// Identifiers that are tried for a new flow. Where all are taken it is *refused*.
const TRIES: u16 = 1024;

/// What is served, of each family.
pub(super) struct Door(Vec<(Requests, Replies, Senders)>);

impl Door {
    /// To be called inside a runtime.
    pub(super) fn new(sockets: Vec<Sockets>, shared: &Shared) -> io::Result<Door> {
        let split = |sockets: Sockets| sockets.split(&shared.gateway.interfaces, shared.mark);
        Ok(Door(sockets.into_iter().map(split).collect::<io::Result<_>>()?))
    }

    pub(super) fn is_shut(&self) -> bool {
        self.0.is_empty()
    }
}

/// The flows' tasks: they end with the worker.
type Tasks = Rc<RefCell<JoinSet<()>>>;

/// Serves until Egret drains and the last flow has ended. Flows that live then go on; no new one begins.
pub(super) async fn serve(core: Rc<Core>, door: Door) {
    let drain = core.shared.lifecycle.drain.clone();
    let tasks = Tasks::default();
    let mut receiving = JoinSet::new();
    for (requests, replies, senders) in door.0 {
        let table = Rc::new(Table::new(core.clone(), senders));
        receiving.spawn_local(take_requests(table.clone(), requests, tasks.clone()));
        receiving.spawn_local(take_replies(table, replies));
    }
    drain.cancelled().await;
    poll_fn(|cx| {
        while ready!(tasks.borrow_mut().poll_join_next(cx)).is_some() {}
        Poll::Ready(())
    })
    .await;
}

async fn take_requests(table: Rc<Table>, requests: Requests, tasks: Tasks) {
    let mut buffer = vec![0; LARGEST].into_boxed_slice();
    loop {
        let (way, echo) = requests.receive(&mut buffer).await;
        if !table.passes(way, echo) && is_elsewhere(way.asked.ip()) && is_elsewhere(way.client.ip()) {
            table.admit(way, echo, &tasks).await;
        }
        consume_budget().await;
    }
}

async fn take_replies(table: Rc<Table>, replies: Replies) {
    let mut buffer = vec![0; LARGEST].into_boxed_slice();
    loop {
        let (from, identifier, echo) = replies.receive(&mut buffer).await;
        let asked = table.asked.borrow().get(&(from, identifier)).cloned();
        if let Some(flow) = asked {
            table.pass_down(&flow, echo);
        }
        consume_budget().await;
    }
}

/// The flows of one family.
struct Table {
    core: Rc<Core>,
    /// Those that are allowed or being decided.
    flows: RefCell<HashMap<Way, Rc<Flow>>>,
    /// Those that are allowed, by whom Egret asks for them and with what identifier.
    asked: RefCell<HashMap<(IpAddr, u16), Rc<Flow>>>,
    denied: RefCell<Denied>,
    undecided: Arc<Semaphore>,
    senders: Senders,
    /// To be tried next. Whoever else asks from this machine begins elsewhere, so that answers are not mistaken.
    identifier: Cell<u16>,
}

struct Flow {
    way: Way,
    early: RefCell<Vec<(u16, Box<[u8]>)>>,
    /// There once the flow is allowed.
    allowed: OnceCell<Allowed>,
    pulse: Pulse,
}

struct Allowed {
    permitted: Permitted,
    to: IpAddr,
    identifier: u16,
    _place: OwnedSemaphorePermit,
}

impl Flow {
    fn new(way: Way, echo: Echo<'_>) -> Flow {
        Flow {
            way,
            early: RefCell::new(vec![(echo.sequence, echo.payload.into())]),
            allowed: OnceCell::new(),
            pulse: Pulse::new(),
        }
    }
}

impl Table {
    fn new(core: Rc<Core>, senders: Senders) -> Table {
        let [high, low, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
        Table {
            core,
            flows: RefCell::default(),
            asked: RefCell::default(),
            denied: RefCell::default(),
            undecided: Arc::new(Semaphore::new(UNDECIDED)),
            senders,
            identifier: Cell::new(u16::from_be_bytes([high, low])),
        }
    }

    /// Does what is to be done with a request of a flow that is known. False where it is not.
    fn passes(&self, way: Way, echo: Echo<'_>) -> bool {
        if let Some(flow) = self.flows.borrow().get(&way) {
            self.pass_up(flow, echo);
            return true;
        }
        self.denied.borrow_mut().has(way, &self.core, Instant::now())
    }

    /// Begins a flow.
    async fn admit(self: &Rc<Self>, way: Way, echo: Echo<'_>, tasks: &Tasks) {
        let undecided = self.undecided.clone().acquire_owned().await.expect("the semaphore is never closed");
        if self.core.shared.lifecycle.drain.is_cancelled() {
            return;
        }
        let flow = Rc::new(Flow::new(way, echo));
        self.flows.borrow_mut().insert(way, flow.clone());
        let mut tasks = tasks.borrow_mut();
        reap(&mut tasks, "an ICMP flow");
        tasks.spawn_local(run(self.clone(), flow, undecided));
    }

    /// Asks the destination, or keeps the request until that is allowed.
    fn pass_up(&self, flow: &Flow, echo: Echo<'_>) {
        let Some(Allowed { permitted, to, identifier, .. }) = flow.allowed.get() else {
            let mut early = flow.early.borrow_mut();
            match early.len() < EARLY {
                true => early.push((echo.sequence, echo.payload.into())),
                false => self.core.counters.icmp_dropped.add(1),
            }
            return;
        };
        flow.pulse.beat();
        match self.senders.ask(&permitted.permit, *to, *identifier, echo) {
            Ok(()) => flow.pulse.moved_up(echo.payload.len()),
            Err(error) if is_final(&error) => flow.pulse.fail(),
            Err(_) => self.core.counters.icmp_dropped.add(1),
        }
    }

    fn pass_down(&self, flow: &Flow, echo: Echo<'_>) {
        flow.pulse.beat();
        match self.senders.answer(flow.way, echo) {
            Ok(()) => flow.pulse.moved_down(echo.payload.len()),
            Err(_) => self.core.counters.icmp_dropped.add(1),
        }
    }

    /// An identifier that no other flow to there has. None where there is none to be found.
    fn identify(&self, flow: &Rc<Flow>, to: IpAddr) -> Option<u16> {
        let mut asked = self.asked.borrow_mut();
        for _ in 0..TRIES {
            let identifier = self.identifier.get();
            self.identifier.set(identifier.wrapping_add(1));
            if let Entry::Vacant(entry) = asked.entry((to, identifier)) {
                entry.insert(flow.clone());
                return Some(identifier);
            }
        }
        None
    }

    /// A flow is over.
    fn forget(&self, flow: &Flow) {
        self.flows.borrow_mut().remove(&flow.way);
        if let Some(Allowed { to, identifier, .. }) = flow.allowed.get() {
            self.asked.borrow_mut().remove(&(*to, *identifier));
        }
    }
}

/// The routing table says that there is no way there.
fn is_final(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)
}

/// Decides the flow and serves it to its end.
async fn run(table: Rc<Table>, flow: Rc<Flow>, undecided: OwnedSemaphorePermit) {
    let to = table.core.shared.meant_by(flow.way.asked);
    let ask = Ask { via: Via::Gateway, to: &to, protocols: &[Protocol::Icmp], path: None, dialled: None, live: None };
    let session = Session::new(table.core.clone(), ClientAddr::new(flow.way.client));
    match decide(&table, &flow, &session, ask).await {
        Ok(allowed) => serve_one(&table, &flow, &session, ask, allowed, undecided).await,
        Err(refused) => {
            session.record_refused(ask, &refused, None).await;
            if !refused.reason.is_upstream_failure() {
                let denial = Denial { reason: refused.reason, generation: refused.active.generation() };
                table.denied.borrow_mut().remember(flow.way, denial, &table.core, Instant::now());
            }
        }
    }
    table.forget(&flow);
}

/// The flow's permit, its place among all and its identifier, or why it has none.
async fn decide(table: &Table, flow: &Rc<Flow>, session: &Session, ask: Ask<'_>) -> Result<Allowed, Refused> {
    let permitted = session.authorize(ask).await?;
    let Some(to) = permitted.first().map(|to| to.ip()).filter(|to| to.is_ipv4() == flow.way.asked.is_ipv4()) else {
        // A name may stand for an address of the other family, which this echo cannot be turned into.
        return Err(session.refuse(permitted, Reason::UpstreamUnreachable));
    };
    let place = session.core.shared.udp_flows.clone().try_acquire_owned().ok();
    match place.and_then(|place| Some((place, table.identify(flow, to)?))) {
        Some((_place, identifier)) => Ok(Allowed { permitted, to, identifier, _place }),
        None => Err(session.refuse(permitted, Reason::LimitFlows)),
    }
}

async fn serve_one(
    table: &Table,
    flow: &Flow,
    session: &Session,
    ask: Ask<'_>,
    allowed: Allowed,
    undecided: OwnedSemaphorePermit,
) {
    let opened = session.record_allowed(ask, &allowed.permitted, None).await;
    drop(undecided);
    let _counted = Counted::new(table.core.clone(), |counters| &counters.icmp_flows);
    let allowed = flow.allowed.get_or_init(|| allowed);
    for (sequence, payload) in flow.early.take() {
        table.pass_up(flow, Echo { sequence, payload: &payload });
    }
    let why = flow.pulse.end(session, ask, &allowed.permitted).await;
    session.close_connectionless(opened, flow.pulse.moved(), why);
}
