//! A log for somebody who looks on: a terminal that is stopped or gone holds up nobody.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::sink::Backlog;

/// Batches that wait for a stopped terminal.
const WAITING: usize = 64;
/// What a terminal may take to show the last lines.
const LAST_LOOK: Duration = Duration::from_millis(500);

/// Takes whole batches and writes them on a thread of its own. When it is full, or the file cannot be
/// written, it *drops* them.
pub(super) struct Onlooker {
    batches: SyncSender<Vec<u8>>,
    ended: Receiver<Infallible>,
}

impl Onlooker {
    pub(super) fn start(mut file: File) -> io::Result<Onlooker> {
        let (batches, queue) = sync_channel::<Vec<u8>>(WAITING);
        let (end, ended) = sync_channel(1);
        std::thread::Builder::new().name("egret-onlooker".to_owned()).spawn(move || {
            for batch in queue {
                // What is owed to nobody may fail.
                let _ = Backlog::of(batch).write_to(&mut file);
            }
            drop(end);
        })?;
        Ok(Onlooker { batches, ended })
    }

    /// Waits a moment for what is still queued.
    pub(super) fn end(self) {
        let Onlooker { batches, ended } = self;
        drop(batches);
        // Nothing is ever sent: either the thread has ended or the time is up.
        let _ = ended.recv_timeout(LAST_LOOK);
    }
}

impl Write for Onlooker {
    fn write(&mut self, batch: &[u8]) -> io::Result<usize> {
        // Full: dropped.
        let _ = self.batches.try_send(batch.to_vec());
        Ok(batch.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
