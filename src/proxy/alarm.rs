//! What may end the connections of a core from outside: another policy, or the end of Egret.
//!
//! One task of each core waits for that, and wakes those that mind. They are on a list of the core's own, so that a flow
//! takes no lock that flows of other cores take.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use slab::Slab;
use tokio::sync::watch;

use super::shared::Lifecycle;

#[derive(Default)]
pub(super) struct Alarm {
    rings: Cell<u64>,
    draining: Cell<bool>,
    killed: Cell<bool>,
    /// As many as there are connections and flows at most.
    listeners: RefCell<Slab<Waker>>,
}

impl Alarm {
    /// Rings for each change of policy and each step of going down, for as long as the core runs.
    pub(super) async fn keep_ringing(&self, mut changes: watch::Receiver<u64>, lifecycle: &Lifecycle) {
        loop {
            tokio::select! {
                Ok(()) = changes.changed() => {}
                () = lifecycle.drain.cancelled(), if !self.draining.get() => self.draining.set(true),
                () = lifecycle.kill.cancelled(), if !self.killed.get() => self.killed.set(true),
                else => return,
            }
            self.ring();
        }
    }

    fn ring(&self) {
        self.rings.set(self.rings.get() + 1);
        for (_, waker) in &*self.listeners.borrow() {
            waker.wake_by_ref();
        }
    }

    /// No new connections; what is idle closes.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// What still runs is closed.
    pub(super) fn is_killed(&self) -> bool {
        self.killed.get()
    }

    pub(super) fn listen(&self) -> Listener<'_> {
        Listener { alarm: self, heard: self.rings.get(), key: None }
    }
}

/// Hears what rings from when it was made.
pub(super) struct Listener<'a> {
    alarm: &'a Alarm,
    heard: u64,
    /// On the list, once it has been polled.
    key: Option<usize>,
}

impl Listener<'_> {
    /// Ready where it rang since the last time that this was ready. Cheap enough to be asked for every byte that passes.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.remember(cx.waker());
        let rings = self.alarm.rings.get();
        if rings == self.heard {
            return Poll::Pending;
        }
        self.heard = rings;
        Poll::Ready(())
    }

    fn remember(&mut self, waker: &Waker) {
        let mut listeners = self.alarm.listeners.borrow_mut();
        match self.key.and_then(|key| listeners.get_mut(key)) {
            Some(known) => known.clone_from(waker),
            None => self.key = Some(listeners.insert(waker.clone())),
        }
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.alarm.listeners.borrow_mut().remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn each_listener_hears_what_rings_from_when_it_was_made() {
        let (policy, changes) = watch::channel(0);
        let (alarm, lifecycle) = (Alarm::default(), Lifecycle::default());
        let heard = async {
            let mut early = alarm.listen();
            poll_fn(|cx| early.poll(cx)).await;
            let mut late = alarm.listen();
            let pending = poll_fn(|cx| Poll::Ready([early.poll(cx), late.poll(cx)])).await;
            assert_eq!(pending, [Poll::Pending; 2]);
            assert!(!alarm.is_killed());
            lifecycle.kill.cancel();
            poll_fn(|cx| late.poll(cx)).await;
            assert!(alarm.is_killed() && !alarm.is_draining());
            drop(early);
            assert_eq!(alarm.listeners.borrow().len(), 1);
        };
        policy.send_replace(1);
        tokio::select! {
            // Who listens does so before it rings.
            biased;
            () = heard => {}
            () = alarm.keep_ringing(changes, &lifecycle) => unreachable!("it rings for as long as somebody may"),
        }
    }
}
