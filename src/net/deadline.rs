//! A limit on waiting, for things that as a rule do not wait.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that costs nothing while bytes arrive: the timer is set when the first wait begins, and moved
/// only when it fires too early or a phase is shorter than what it was set to.
#[derive(Default)]
pub(crate) struct Deadline {
    until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Something moved: the next wait begins anew.
    pub(crate) fn passed(&mut self) {
        self.until = None;
    }

    /// Ready when the wait that is on has lasted for `limit`.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let until = *self.until.get_or_insert_with(|| Instant::now() + limit);
        self.poll_until(cx, until)
    }

    /// The same for a wait whose end is known.
    pub(crate) fn poll_until(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() > until || sleep.is_elapsed() {
            sleep.as_mut().reset(until);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until);
        }
    }
}
