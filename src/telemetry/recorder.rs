//! The ways into the log: a [`Recorder`] for each core, a [`Log`] for everybody else.

use std::cell::RefCell;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::recent::{Filter, Logged, Recent};
use super::record::{Event, FlowRecord, RunId};
use super::sight::{Sight, Sighted};

pub(super) type Batch = Vec<Event>;

/// Records that a core hands over at once.
pub(super) const BATCH: usize = 256;

/// How long a record waits for others to join it. Each batch wakes the writer's thread and is one write(2).
const FLUSH_AFTER: Duration = Duration::from_millis(10);

/// What the writer's thread shares with the rest.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) run: RunId,
    pub(super) stats: LogStats,
    pub(super) refusing: AtomicBool,
    pub(super) reopen: Notify,
    watch: Watch,
    recent: Mutex<Recent>,
    sight: Mutex<Option<Sight>>,
    /// Batches of recorders that were dropped; None once the log has ended.
    leftovers: Mutex<Option<Batch>>,
}

/// How often flows that run are looked at, for whom; None where nobody asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watch {
    /// How fast they are.
    pub fat_flows: Option<Duration>,
    /// How far they are.
    pub progress: Option<Duration>,
}

/// What the log says of itself.
#[derive(Debug, Default)]
pub(super) struct LogStats {
    pub(super) records: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) waits: AtomicU64,
    pub(super) reloads: AtomicU64,
    pub(super) reloads_refused: AtomicU64,
}

impl Shared {
    pub(super) fn new(run: RunId, watch: Watch) -> Shared {
        Shared {
            run,
            stats: LogStats::default(),
            refusing: AtomicBool::new(false),
            reopen: Notify::new(),
            watch,
            recent: Mutex::default(),
            sight: Mutex::default(),
            leftovers: Mutex::new(Some(Batch::new())),
        }
    }

    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        // A ring is whole between any two of its operations.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a decision to whoever looks at flows of some clients.
    pub(super) fn show(&self, record: &FlowRecord) {
        if let Some(sight) = &*self.sight.lock().unwrap_or_else(PoisonError::into_inner) {
            sight.show(record);
        }
    }

    /// Ends the taking of leftovers.
    pub(super) fn take_leftovers(&self) -> Batch {
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    fn leave(&self, batch: Batch) {
        match &mut *self.leftovers.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(leftovers) => leftovers.extend(batch),
            None => self.lose(batch.len()),
        }
    }

    /// The log has ended.
    fn lose(&self, records: usize) {
        self.stats.lost.fetch_add(records as u64, Relaxed);
    }
}

/// The log, for threads that serve no flows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    queue: Sender<Batch>,
    pub(super) shared: Arc<Shared>,
}

impl Log {
    pub(super) fn new(queue: Sender<Batch>, shared: Arc<Shared>) -> Log {
        Log { queue, shared }
    }

    /// A log without a writer: its batches are for whoever asked for it.
    #[cfg(all(unix, any(test, fuzzing)))]
    pub(crate) fn rehearsed() -> (Log, tokio::sync::mpsc::Receiver<Batch>) {
        let (queue, batches) = tokio::sync::mpsc::channel(super::QUEUE);
        let shared = Shared::new(RunId::from_bits(0), Watch::default());
        (Log::new(queue, Arc::new(shared)), batches)
    }

    pub fn run(&self) -> &RunId {
        &self.shared.run
    }

    pub fn recorder(&self) -> Recorder {
        Recorder { log: self.clone(), batch: RefCell::default(), armed: Notify::new() }
    }

    /// Hands one record over at once; waits while the queue is full.
    pub async fn record(&self, event: Event) {
        if let Err(ended) = self.queue.send(vec![event]).await {
            self.shared.lose(ended.0.len());
        }
    }

    /// As [`Log::record`], outside of any async runtime.
    pub fn record_blocking(&self, event: Event) {
        if let Err(ended) = self.queue.blocking_send(vec![event]) {
            self.shared.lose(ended.0.len());
        }
    }

    /// Opens every log file again, soon: for SIGHUP.
    pub fn reopen(&self) {
        self.shared.reopen.notify_one();
    }

    /// True while new flows are to be refused, because a sink fails and [`OnError::Refuse`] was chosen.
    ///
    /// [`OnError::Refuse`]: super::OnError::Refuse
    pub fn refusing(&self) -> bool {
        self.shared.refusing.load(Relaxed)
    }

    /// How often flows that run are to be looked at.
    pub fn watch(&self) -> Watch {
        self.shared.watch
    }

    /// The decisions about flows of some clients, from now on. There is one who looks: the last one to ask.
    pub fn follow(&self, clients: Vec<IpNet>) -> Sighted {
        let (sight, sighted) = Sight::of(clients);
        *self.shared.sight.lock().unwrap_or_else(PoisonError::into_inner) = Some(sight);
        sighted
    }

    /// The last decisions, newest first.
    pub fn recent(&self, filter: &Filter) -> Vec<Logged> {
        self.shared.recent().select(filter)
    }
}

/// One core's way into the log.
///
/// It gathers records and hands them over when there are [`BATCH`] of them, or 10 ms after the first, which
/// [`Recorder::keep_flushing`] sees to. Dropped, it leaves what it holds to the writer.
#[derive(Debug)]
pub struct Recorder {
    log: Log,
    batch: RefCell<Batch>,
    /// The batch is no longer empty.
    armed: Notify,
}

impl Recorder {
    /// Records, as a rule without waiting. While the queue to the writer is full and this core's batch too,
    /// it *waits*. A future that is dropped while it waits has recorded nevertheless.
    pub async fn record(&self, event: Event) {
        let held = Held { recorder: self, event: Some(event) };
        if self.is_full() && !self.flush() {
            self.log.shared.stats.waits.fetch_add(1, Relaxed);
            self.wait_for_room().await;
        }
        drop(held);
        if self.is_full() {
            self.flush();
        }
    }

    /// Records without ever waiting, for a flow that ends: there are no more of these than flows that began, and
    /// those waited where they had to.
    pub fn record_at_once(&self, event: Event) {
        self.push(event);
        if self.is_full() {
            self.flush();
        }
    }

    /// Hands over what there is. False where the queue is full: it stays for the next time.
    pub fn flush(&self) -> bool {
        if self.batch.borrow().is_empty() {
            return true;
        }
        match self.log.queue.try_reserve() {
            Ok(permit) => permit.send(self.take_batch()),
            Err(TrySendError::Full(())) => return false,
            Err(TrySendError::Closed(())) => self.log.shared.leave(self.batch.take()),
        }
        true
    }

    /// Hands over a batch that does not fill, 10 ms after its first record. To be run once on each core, for
    /// as long as the core runs.
    pub async fn keep_flushing(&self) {
        loop {
            // First what is there: whoever did this before may have been dropped while it waited.
            while !self.batch.borrow().is_empty() {
                tokio::time::sleep(FLUSH_AFTER).await;
                self.flush();
            }
            self.armed.notified().await;
        }
    }

    /// As [`Log::refusing`].
    pub fn refusing(&self) -> bool {
        self.log.refusing()
    }

    /// False where [`Recorder::record`] would wait.
    pub fn has_room(&self) -> bool {
        !self.is_full() || self.flush()
    }

    /// The next batch is likely to be as large, and has room for that.
    fn take_batch(&self) -> Batch {
        let mut batch = self.batch.borrow_mut();
        let next = Batch::with_capacity(batch.len());
        mem::replace(&mut batch, next)
    }

    fn is_full(&self) -> bool {
        self.batch.borrow().len() >= BATCH
    }

    async fn wait_for_room(&self) {
        while self.is_full() {
            match self.log.queue.reserve().await {
                // Another flow of this core may have handed the batch over meanwhile.
                Ok(permit) if self.is_full() => permit.send(self.take_batch()),
                Ok(_) => {}
                Err(_) => self.log.shared.leave(self.batch.take()),
            }
        }
    }

    fn push(&self, event: Event) {
        let mut batch = self.batch.borrow_mut();
        if batch.is_empty() {
            self.armed.notify_one();
        }
        batch.push(event);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let batch = mem::take(self.batch.get_mut());
        if !batch.is_empty() {
            self.log.shared.leave(batch);
        }
    }
}

/// An event that joins the batch when this is dropped, wherever its flow stands by then. So a batch may
/// outgrow [`BATCH`], by the flows that are cut while they wait.
struct Held<'a> {
    recorder: &'a Recorder,
    event: Option<Event>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            self.recorder.push(event);
        }
    }
}
