//! The life of a flow that has no connection (UDP, ICMP echo): what it moved, when it last did, and what ends it.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::flow::Reason;
use crate::telemetry::CloseWhy;

use super::session::{Ask, Permitted, Session};

/// While Egret drains, a flow that rests for so long has said what it had to say.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) struct Pulse {
    up: Cell<u64>,
    down: Cell<u64>,
    last: Cell<Instant>,
    failed: Notify,
}

impl Pulse {
    pub(super) fn new() -> Pulse {
        Pulse { up: Cell::new(0), down: Cell::new(0), last: Cell::new(Instant::now()), failed: Notify::new() }
    }

    /// Something is on its way: whether it arrives or not, the flow does not rest.
    pub(super) fn beat(&self) {
        self.last.set(Instant::now());
    }

    pub(super) fn moved_up(&self, bytes: usize) {
        self.up.set(self.up.get() + bytes as u64);
    }

    pub(super) fn moved_down(&self, bytes: usize) {
        self.down.set(self.down.get() + bytes as u64);
    }

    /// Bytes up and down.
    pub(super) fn moved(&self) -> [u64; 2] {
        [self.up.get(), self.down.get()]
    }

    /// The destination cannot be reached any more.
    pub(super) fn fail(&self) {
        self.failed.notify_one();
    }

    /// Completes when the flow is over, and says why.
    pub(super) async fn end(&self, session: &Session, ask: Ask<'_>, permitted: &Permitted) -> CloseWhy {
        let drain = &session.core.shared.lifecycle.drain;
        let drained = async {
            drain.cancelled().await;
            // Whoever rested until now may have something to say, too.
            self.beat();
            self.rested(LAST_WORDS).await;
        };
        tokio::select! {
            why = session.cut(ask, permitted) => why,
            () = self.failed.notified() => CloseWhy::Reason(Reason::UpstreamUnreachable),
            () = self.rested(session.timeouts().udp) => CloseWhy::IdleTimeout,
            () = drained => CloseWhy::Shutdown,
        }
    }

    /// Completes when nothing was sent either way for so long.
    async fn rested(&self, limit: Duration) {
        loop {
            let until = self.last.get() + limit;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}
