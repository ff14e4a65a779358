//! Limits on waiting, for things that as a rule do not wait.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// It took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late;

impl From<Late> for io::Error {
    fn from(Late: Late) -> io::Error {
        io::ErrorKind::TimedOut.into()
    }
}

/// One timer for all that a task waits for.
///
/// It is set when something has to wait for the first time, and moved only where a later wait ends earlier or where it
/// fires too early: so a wait that ends in time costs a look at the clock. Whatever waits at the same time has to belong
/// to the same task, which is woken for the earliest.
#[derive(Default)]
pub(crate) struct Timer {
    sleep: RefCell<Option<Pin<Box<Sleep>>>>,
}

impl Timer {
    /// What comes of `future`, which has so long from where it first has to wait.
    ///
    /// # Errors
    ///
    /// It was not ready in time.
    pub(crate) async fn within<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Late> {
        let (mut future, mut until) = (pin!(future), None);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => {
                let until = *until.get_or_insert_with(|| Instant::now() + limit);
                self.poll(cx, until).map(|()| Err(Late))
            }
        })
        .await
    }

    /// The same up to a point in time.
    ///
    /// # Errors
    ///
    /// It was not ready by then.
    pub(crate) async fn by<F: Future>(&self, until: Instant, future: F) -> Result<F::Output, Late> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll(cx, until).map(|()| Err(Late)),
        })
        .await
    }

    /// Ready from then on.
    pub(crate) fn poll(&self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let mut sleep = self.sleep.borrow_mut();
        let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
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

/// A limit on how long nothing may move, each wait within it beginning anew.
#[derive(Default)]
pub(crate) struct Deadline {
    until: Option<Instant>,
    timer: Timer,
}

impl Deadline {
    /// Something moved: the next wait begins anew.
    pub(crate) fn passed(&mut self) {
        self.until = None;
    }

    /// Ready when the wait that is on has lasted for `limit`.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let until = *self.until.get_or_insert_with(|| Instant::now() + limit);
        self.timer.poll(cx, until)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(5);

    #[tokio::test]
    async fn one_timer_serves_waits_of_any_length_and_order() {
        let timer = Timer::default();
        for (limit, takes, expected) in
            [(LONG, SHORT, Ok(())), (SHORT, LONG, Err(Late)), (LONG, SHORT, Ok(())), (2 * SHORT, LONG, Err(Late))]
        {
            let since = Instant::now();
            assert_eq!(timer.within(limit, sleep(takes)).await, expected);
            assert!(since.elapsed() >= limit.min(takes));
        }
    }

    #[tokio::test]
    async fn of_two_waits_at_once_each_has_its_own_end() {
        let timer = Timer::default();
        let wait = async |limit| {
            let since = Instant::now();
            assert_eq!(timer.within(limit, pending::<()>()).await, Err(Late));
            assert!(since.elapsed() >= limit);
        };
        tokio::join!(wait(7 * SHORT), wait(3 * SHORT), wait(5 * SHORT));
    }

    #[tokio::test]
    async fn what_is_ready_is_never_late() {
        let timer = Timer::default();
        assert_eq!(timer.within(Duration::ZERO, async { 1 }).await, Ok(1));
        assert_eq!(timer.by(Instant::now(), async { 2 }).await, Ok(2));
    }
}
