//! A future beside busier ones in the same task, polled only when it was woken itself.
//!
//! A tunnel is polled for every byte that passes, and what may cut it is shared by all of them: asking that anew each
//! time would take locks that every core wants.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

pub(crate) struct Apart<'a, F> {
    future: Pin<&'a mut F>,
    bell: Arc<Bell>,
}

/// What the future wakes instead of the task.
struct Bell {
    rung: AtomicBool,
    /// The task, once it has polled.
    task: Mutex<Option<Waker>>,
}

impl<'a, F: Future> Apart<'a, F> {
    /// The first poll is due.
    pub(crate) fn new(future: Pin<&'a mut F>) -> Apart<'a, F> {
        Apart { future, bell: Arc::new(Bell { rung: AtomicBool::new(true), task: Mutex::default() }) }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Before the look at what was rung: so no ring is lost in between.
        self.bell.remember(cx.waker());
        if !self.bell.rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let waker = Waker::from(self.bell.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

impl Bell {
    fn remember(&self, waker: &Waker) {
        let mut task = self.task();
        if !task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }

    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        let task = self.task().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn only_its_own_waking_has_it_polled() {
        let (notify, mut polls) = (Notify::new(), 0);
        let mut notified = pin!(notify.notified());
        let mut counted = pin!(poll_fn(|cx| {
            polls += 1;
            notified.as_mut().poll(cx)
        }));
        let mut apart = Apart::new(counted.as_mut());
        for _ in 0..3 {
            assert!(poll_fn(|cx| Poll::Ready(apart.poll(cx).is_pending())).await);
        }
        notify.notify_waiters();
        poll_fn(|cx| apart.poll(cx)).await;
        assert_eq!(polls, 2);
    }
}
