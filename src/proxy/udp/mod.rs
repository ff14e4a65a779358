//! UDP on the gateway: flows by client and destination, decided with their first datagram.
//!
//! One task receives what the kernel hands over and passes it up at once; each allowed flow has a task of its own, which
//! brings the answers down and sees to its end. Names in datagrams (QUIC, DTLS) are not looked for: Azure decides UDP by
//! network rules alone.

mod flow;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket as StdUdpSocket};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::net::icmp::Unreachable;
use crate::net::udp::{LARGEST, Receiver, ReplySockets, Way};

use super::denied::Denied;
use super::shared::{Core, reap};
use flow::Flow;

/// Flows of one worker that are being decided. Beyond it what would begin another one is *dropped and counted*, without
/// a record: waiting would hold up the flows that are known.
const UNDECIDED: usize = 256;

/// One worker's part of the UDP that the gateway gets.
pub(super) struct Door {
    receivers: Vec<Receiver>,
    replies: ReplySockets,
    unreachable: Option<Arc<Unreachable>>,
}

impl Door {
    /// To be called inside a runtime.
    pub(super) fn new(
        sockets: Vec<StdUdpSocket>,
        replies: ReplySockets,
        unreachable: Option<Arc<Unreachable>>,
    ) -> io::Result<Door> {
        let receivers = sockets.into_iter().map(Receiver::new).collect::<io::Result<_>>()?;
        Ok(Door { receivers, replies, unreachable })
    }

    pub(super) fn is_shut(&self) -> bool {
        self.receivers.is_empty()
    }
}

/// The flows' tasks: they end with the worker.
type Tasks = Rc<RefCell<JoinSet<()>>>;

/// Serves until Egret drains and the last flow has ended. Flows that live then still get what is sent to them; no new
/// one begins.
pub(super) async fn serve(core: Rc<Core>, door: Door) {
    let Door { receivers, replies, unreachable } = door;
    let drain = core.shared.lifecycle.drain.clone();
    let table = Rc::new(Table::new(core, replies, unreachable));
    let tasks = Tasks::default();
    let mut receiving = JoinSet::new();
    for receiver in receivers {
        receiving.spawn_local(receive_all(table.clone(), receiver, tasks.clone()));
    }
    drain.cancelled().await;
    poll_fn(|cx| {
        while ready!(tasks.borrow_mut().poll_join_next(cx)).is_some() {}
        Poll::Ready(())
    })
    .await;
}

async fn receive_all(table: Rc<Table>, mut receiver: Receiver, tasks: Tasks) {
    let mut buffer = vec![0; LARGEST].into_boxed_slice();
    loop {
        let (way, length) = receiver.receive(&mut buffer).await;
        let datagram = buffer.get(..length).unwrap_or_default();
        if !table.passes(way, datagram) {
            table.admit(way, datagram, &tasks);
        }
    }
}

/// What one worker knows of its flows.
struct Table {
    core: Rc<Core>,
    /// Those that are allowed or being decided.
    flows: RefCell<HashMap<Way, Rc<Flow>>>,
    denied: RefCell<Denied>,
    undecided: Arc<Semaphore>,
    replies: ReplySockets,
    /// Those that are open, by the address that they answer for.
    open_replies: RefCell<HashMap<SocketAddr, Weak<UdpSocket>>>,
    unreachable: Option<Arc<Unreachable>>,
    /// Has it been said that somebody cannot be answered for?
    told: Cell<bool>,
}

impl Table {
    fn new(core: Rc<Core>, replies: ReplySockets, unreachable: Option<Arc<Unreachable>>) -> Table {
        Table {
            core,
            flows: RefCell::default(),
            denied: RefCell::default(),
            undecided: Arc::new(Semaphore::new(UNDECIDED)),
            replies,
            open_replies: RefCell::default(),
            unreachable,
            told: Cell::new(false),
        }
    }

    /// Does what is to be done with a datagram of a flow that is known. False where it is not.
    fn passes(&self, way: Way, datagram: &[u8]) -> bool {
        if let Some(flow) = self.flows.borrow().get(&way) {
            if flow.pass_up(datagram).is_err() {
                self.core.counters.udp_dropped.add(1);
            }
            return true;
        }
        let denied = self.denied.borrow_mut().has(way, &self.core, Instant::now());
        if denied {
            self.refuse(way, datagram.len());
        }
        denied
    }

    /// Begins a flow.
    fn admit(self: &Rc<Self>, way: Way, datagram: &[u8], tasks: &Tasks) {
        if self.core.shared.lifecycle.drain.is_cancelled() {
            return;
        }
        let Ok(place) = self.undecided.clone().try_acquire_owned() else {
            self.core.counters.udp_dropped.add(1);
            return;
        };
        let flow = Rc::new(Flow::new(way, datagram));
        self.flows.borrow_mut().insert(way, flow.clone());
        let mut tasks = tasks.borrow_mut();
        reap(&mut tasks, "a UDP flow");
        tasks.spawn_local(flow::run(self.clone(), flow, place));
    }

    /// Answers a datagram that is not passed on, where that was chosen.
    fn refuse(&self, way: Way, length: usize) {
        if let Some(unreachable) = &self.unreachable {
            unreachable.tell(way, length);
        }
    }

    /// The socket that answers for this address: one for all of a worker's flows to it.
    async fn reply_socket(&self, asked: SocketAddr) -> io::Result<Rc<UdpSocket>> {
        if let Some(open) = self.open_reply(asked) {
            return Ok(open);
        }
        let socket = Rc::new(self.replies.open(asked).await?);
        match self.open_replies.borrow_mut().entry(asked) {
            Entry::Occupied(mut entry) => match entry.get().upgrade() {
                // Opened meanwhile.
                Some(open) => return Ok(open),
                None => _ = entry.insert(Rc::downgrade(&socket)),
            },
            Entry::Vacant(entry) => _ = entry.insert(Rc::downgrade(&socket)),
        }
        Ok(socket)
    }

    fn open_reply(&self, asked: SocketAddr) -> Option<Rc<UdpSocket>> {
        self.open_replies.borrow().get(&asked)?.upgrade()
    }

    /// What lacks here is lacking for many flows: once is enough.
    fn tell_once(&self, asked: SocketAddr, error: &io::Error) {
        if !self.told.replace(true) {
            let why = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "a gateway takes CAP_NET_ADMIN, and CAP_NET_BIND_SERVICE below port 1024"
                }
                _ => "does another service have its port?",
            };
            tracing::warn!(%error, "cannot answer in the name of {asked}: {why}");
        }
    }

    /// A flow is over.
    fn forget(&self, way: Way) {
        self.flows.borrow_mut().remove(&way);
        let mut open = self.open_replies.borrow_mut();
        if open.get(&way.asked).is_some_and(|socket| socket.strong_count() == 0) {
            open.remove(&way.asked);
        }
    }
}
