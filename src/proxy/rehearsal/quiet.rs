//! A clock that moves only while nobody has anything to do.
//!
//! tokio's paused clock jumps to the next timer whenever the runtime would sleep, also where a socket is ready and
//! nobody has looked yet: a deadline could pass before bytes that were there. So the runtime is kept from sleeping
//! until everybody has been still for some rounds.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::task::yield_now;

/// Rounds of the runtime, each with a look at all sockets, without a move: enough for bytes to pass through tasks that
/// are not watched, such as hyper's.
const STILL: u32 = 6;

/// Somebody moved.
#[derive(Default)]
pub(super) struct Stirred {
    moves: Cell<u64>,
    notify: Notify,
}

impl Stirred {
    /// The same future; whoever polls it is seen to move.
    pub(super) fn watch<F: Future>(self: &Rc<Self>, part: F) -> impl Future<Output = F::Output> + use<F> {
        let (stirred, mut part) = (self.clone(), Box::pin(part));
        poll_fn(move |cx| {
            stirred.moves.set(stirred.moves.get() + 1);
            stirred.notify.notify_one();
            part.as_mut().poll(cx)
        })
    }
}

/// Keeps the runtime awake for as long as anybody moves.
pub(super) async fn keep_time(stirred: Rc<Stirred>) {
    loop {
        let (mut still, mut seen) = (0, stirred.moves.get());
        while still < STILL {
            yield_now().await;
            let moves = stirred.moves.get();
            still = if moves == seen { still + 1 } else { 0 };
            seen = moves;
        }
        stirred.notify.notified().await;
    }
}
