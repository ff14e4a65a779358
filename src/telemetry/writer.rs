//! The thread that numbers all records and writes them to all sinks.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::derived::{Derived, Deriver};
use super::network_flows::NetworkFlows;
use super::recent::Logged;
use super::record::{CloseRecord, Counts, Event, FatFlowRecord, FlowRecord, StartRecord};
use super::recorder::{Batch, Shared};
use super::sink::{Entry, OnError, Sink};
use super::tally::Tally;
use crate::azure::category::Categories;
use crate::azure::flow_logs::Fat;
use crate::azure::network_flow_logs::Sighting;
use crate::flow::{Protocol, Verdict};

/// How often files are looked after: renamed ones, and those that could not be written.
const LOOK_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    sinks: Vec<Sink>,
    on_error: OnError,
    tally: Option<Tally>,
    derivers: Derivers,
    shared: Arc<Shared>,
    next_seq: u64,
    counts: Counts,
}

/// What is made from the records, for the sinks that want it.
pub(super) struct Derivers {
    tables: Deriver,
    networks: Option<NetworkFlows>,
}

impl Derivers {
    /// `tables` is what is wanted of Azure's tables, `networks` what gathers for flow logs of networks; None where no sink
    /// writes them.
    pub(super) fn new(tables: Option<Categories>, networks: Option<NetworkFlows>) -> Derivers {
        Derivers { tables: Deriver::new(tables), networks }
    }

    fn flow(&mut self, record: &FlowRecord, sinks: &mut [Sink]) {
        self.tables.flow(record, derive(sinks));
        self.networks.iter_mut().for_each(|networks| networks.flow(record));
    }

    fn close(&mut self, record: &CloseRecord, sinks: &mut [Sink]) {
        self.tables.close(record, derive(sinks));
        self.networks.iter_mut().for_each(|networks| networks.close(record));
    }

    /// Writes what does not wait for its time.
    fn batch_end(&mut self, sinks: &mut [Sink]) {
        self.write_networks(Timestamp::now(), sinks, NetworkFlows::urgent);
    }

    /// Writes what is due.
    fn tick(&mut self, now: Timestamp, sinks: &mut [Sink]) {
        self.tables.tick(now, derive(sinks));
        self.write_networks(now, sinks, NetworkFlows::due);
    }

    /// Writes what there is.
    fn end(&mut self, now: Timestamp, sinks: &mut [Sink]) {
        self.tables.end(now, derive(sinks));
        self.write_networks(now, sinks, NetworkFlows::take);
    }

    fn write_networks(
        &mut self,
        now: Timestamp,
        sinks: &mut [Sink],
        what: fn(&mut NetworkFlows, Timestamp) -> Vec<Sighting>,
    ) {
        let sightings = self.networks.as_mut().map(|networks| what(networks, now)).unwrap_or_default();
        if !sightings.is_empty() {
            sinks.iter_mut().for_each(|sink| sink.push_sightings(now, &sightings));
        }
    }
}

impl Writer {
    pub(super) fn new(
        sinks: Vec<Sink>,
        on_error: OnError,
        tally: Option<Tally>,
        derivers: Derivers,
        shared: Arc<Shared>,
    ) -> Writer {
        Writer { sinks, on_error, tally, derivers, shared, next_seq: 0, counts: Counts::default() }
    }

    /// Writes until it is stopped; then what is queued, and the end record.
    pub(super) async fn run(
        mut self,
        start: StartRecord,
        mut queue: Receiver<Batch>,
        stop: CancellationToken,
    ) -> Counts {
        self.number(&Entry::Start(&start));
        self.flush();
        let shared = self.shared.clone();
        let mut ticks = tokio::time::interval(LOOK_AFTER);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Under load a batch is always ready.
                biased;
                () = stop.cancelled() => break,
                () = shared.reopen.notified() => self.look_after(Sink::reopen),
                _ = ticks.tick() => {
                    self.derivers.tick(Timestamp::now(), &mut self.sinks);
                    self.look_after(Sink::follow_rename);
                }
                batch = queue.recv() => match batch {
                    Some(batch) => self.write(batch),
                    None => break,
                },
            }
        }
        queue.close();
        while let Some(batch) = queue.recv().await {
            self.write(batch);
        }
        self.write(shared.take_leftovers());
        self.end()
    }

    fn look_after(&mut self, look: impl Fn(&mut Sink)) {
        self.sinks.iter_mut().for_each(look);
        self.flush();
    }

    fn write(&mut self, batch: Batch) {
        if let Some(tally) = &self.tally {
            tally.add(&batch);
        }
        let shared = self.shared.clone();
        let mut recent = shared.recent();
        for event in batch {
            match event {
                Event::Flow(record) if record.is_unwritten() => self.counts.bypassed += 1,
                Event::Flow(record) => {
                    match record.verdict {
                        Verdict::Allow if record.bypassed() => self.counts.bypassed += 1,
                        Verdict::Allow => self.counts.allowed += 1,
                        Verdict::Deny => self.counts.denied += 1,
                    }
                    let seq = self.number(&Entry::Flow(&record));
                    self.derivers.flow(&record, &mut self.sinks);
                    shared.show(&record);
                    recent.push(Logged { run: shared.run.clone(), seq, record });
                }
                Event::Close(record) => {
                    self.counts.closed += 1;
                    self.number(&Entry::Close(&record));
                    self.derivers.close(&record, &mut self.sinks);
                }
                Event::Dns(record) => {
                    self.number(&Entry::Dns(&record));
                }
                Event::Environment(record) => {
                    self.number(&Entry::Environment(&record));
                }
                Event::FqdnFailure(record) => {
                    self.number(&Entry::FqdnFailure(&record));
                }
                Event::FatFlow(record) => {
                    derive(&mut self.sinks)(Derived::Fat(record.ts, fat(&record)));
                }
                Event::Progress(record) => {
                    self.derivers.networks.iter_mut().for_each(|networks| networks.progress(&record));
                }
                Event::Reload(record) => {
                    self.counts.reloads += 1;
                    let stats = &shared.stats;
                    let counter = if record.error.is_none() { &stats.reloads } else { &stats.reloads_refused };
                    counter.fetch_add(1, Relaxed);
                    self.number(&Entry::Reload(&record));
                }
            }
        }
        // Writing may take long, and `/v1/flows` need not wait for it.
        drop(recent);
        self.derivers.batch_end(&mut self.sinks);
        self.flush();
    }

    /// Gives a record its number and renders it for every sink.
    fn number(&mut self, entry: &Entry<'_>) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        for sink in &mut self.sinks {
            sink.push(seq, entry);
        }
        seq
    }

    fn flush(&mut self) {
        self.sinks.iter_mut().for_each(Sink::flush);
        let stats = &self.shared.stats;
        stats.records.store(self.next_seq, Relaxed);
        let lost = self.sinks.iter().map(Sink::lost).sum();
        // Not stored: those that come after the end are counted elsewhere.
        stats.lost.fetch_add(lost - self.counts.lost, Relaxed);
        self.counts.lost = lost;
        let failing = self.sinks.iter().any(Sink::is_failing);
        self.shared.refusing.store(failing && self.on_error == OnError::Refuse, Relaxed);
    }

    fn end(mut self) -> Counts {
        // What cannot be written by now never will be; the sinks that can be written say how much that is.
        self.sinks.iter_mut().filter(|sink| sink.is_failing()).for_each(Sink::abandon);
        self.derivers.end(Timestamp::now(), &mut self.sinks);
        self.flush();
        self.number(&Entry::End(Timestamp::now(), self.counts));
        self.flush();
        self.sinks.iter_mut().for_each(Sink::abandon);
        self.flush();
        self.sinks.into_iter().for_each(Sink::end);
        self.counts
    }
}

fn fat(record: &FatFlowRecord) -> Fat {
    let FatFlowRecord { ts: _, client, protocol, dst, bits_per_second } = *record;
    let protocol = if protocol == Protocol::Udp { "UDP" } else { "TCP" };
    Fat { protocol, from: client.addr(), to: dst, bits_per_second }
}

/// Has every sink write what only Azure's tables have.
fn derive(sinks: &mut [Sink]) -> impl FnMut(Derived<'_>) {
    |derived| sinks.iter_mut().for_each(|sink| sink.push_derived(&derived))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a thread of the test waits")]
mod tests {
    use super::super::record::tests::{allowed, closed, denied, start};
    use super::super::record::{ReloadRecord, RunId};
    use super::super::recorder::BATCH;
    use super::super::sink::tests::{file, sequence};
    use super::super::{Duty, Filter, Format, Recorder, SinkSpec, Telemetry, TelemetryConfig};
    use super::*;
    use crate::flow::Reason;
    use std::fs;
    use std::future::Future;
    use std::path::Path;
    use std::rc::Rc;
    use std::time::Instant;

    const LIMIT: Duration = Duration::from_secs(10);

    fn config(sinks: Vec<SinkSpec>) -> TelemetryConfig {
        let resource_id = crate::azure::logs::DEFAULT_RESOURCE_ID.into();
        TelemetryConfig {
            sinks,
            run: RunId::from_bits(1),
            start: start(),
            on_error: OnError::Serve,
            resource_id,
            categories: Categories::default(),
            fat_flow_every: Duration::from_secs(180),
            flow_log_every: Duration::from_secs(60),
            tally: None,
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    fn flow(flow: u64) -> Event {
        Event::Flow(FlowRecord { flow, ..denied() })
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + LIMIT;
        while !holds() {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn four_cores_share_one_sequence_without_gaps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let telemetry = Telemetry::start(config(vec![file(&path, Format::Json)])).unwrap();
        let core = |number: u64| {
            let log = telemetry.log().clone();
            move || {
                let recorder = log.recorder();
                block_on(async {
                    for i in 0..1_000 {
                        recorder.record(flow(number * 1_000 + i)).await;
                    }
                });
            }
        };
        let cores: Vec<_> = (0..4).map(|number| std::thread::spawn(core(number))).collect();
        cores.into_iter().for_each(|core| core.join().unwrap());
        let counts = telemetry.shutdown(LIMIT).unwrap();
        assert_eq!(counts, Counts { denied: 4_000, ..Counts::default() });
        assert_eq!(sequence(&path), (0..4_002).collect::<Vec<u64>>());
        let lines = lines(&path);
        assert_eq!((&lines[0]["kind"], &lines[4_001]["kind"]), (&"start".into(), &"end".into()));
        let mut flows: Vec<u64> = lines.iter().filter_map(|line| line["flow"].as_u64()).collect();
        flows.sort_unstable();
        assert_eq!(flows, (0..4_000).collect::<Vec<u64>>());
    }

    #[test]
    fn the_end_counts_what_happened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let telemetry = Telemetry::start(config(vec![file(&path, Format::Json)])).unwrap();
        let bypassed = FlowRecord { reason: Reason::ServiceEndpoint, rule: None, ..allowed() };
        let reload = ReloadRecord { ts: closed().ts, policy_hash: "f00d".into(), error: None };
        for event in [Event::Flow(allowed()), Event::Flow(bypassed), Event::Close(closed()), Event::Reload(reload)] {
            telemetry.log().record_blocking(event);
        }
        let log = telemetry.log().clone();
        let counts = telemetry.shutdown(LIMIT).unwrap();
        assert_eq!(counts, Counts { allowed: 1, denied: 0, bypassed: 1, closed: 1, reloads: 1, lost: 0 });
        let lines = lines(&path);
        let kinds: Vec<&str> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["start", "flow", "close", "reload", "end"], "a bypassed flow is no decision");
        assert_eq!(lines[4]["counts"], serde_json::to_value(counts).unwrap());
        assert_eq!(log.recent(&Filter::default()).len(), 1);
        log.record_blocking(flow(1));
        assert_eq!(log.shared.stats.lost.load(Relaxed), 1, "after the end");
    }

    #[test]
    fn a_batch_that_does_not_fill_is_written_soon() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let telemetry = Telemetry::start(config(vec![file(&path, Format::Json)])).unwrap();
        let recorder = telemetry.recorder();
        block_on(async {
            let written = async {
                for flows in 2..4 {
                    recorder.record(flow(1)).await;
                    while sequence(&path).len() < flows {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
            };
            tokio::select! {
                () = recorder.keep_flushing() => unreachable!("it never ends"),
                done = tokio::time::timeout(LIMIT, written) => done.expect("written without a full batch"),
            }
        });
    }

    /// A core drains: who flushed until then was waiting, and is gone.
    #[test]
    fn a_batch_is_written_by_whoever_flushes_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let telemetry = Telemetry::start(config(vec![file(&path, Format::Json)])).unwrap();
        let recorder = telemetry.recorder();
        block_on(async {
            recorder.record(flow(1)).await;
            tokio::select! {
                biased;
                () = recorder.keep_flushing() => unreachable!("it never ends"),
                () = std::future::ready(()) => {}
            }
            let written = async {
                while sequence(&path).len() < 2 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::select! {
                () = recorder.keep_flushing() => unreachable!("it never ends"),
                done = tokio::time::timeout(LIMIT, written) => done.expect("written by the second"),
            }
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_rotated_file_is_noticed_without_a_signal() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rotated) = (dir.path().join("log"), dir.path().join("log.1"));
        let telemetry = Telemetry::start(config(vec![file(&path, Format::Json)])).unwrap();
        eventually("it has begun", || telemetry.log().shared.stats.records.load(Relaxed) == 1);
        fs::rename(&path, &rotated).unwrap();
        eventually("a new file is there", || path.exists());
        telemetry.shutdown(LIMIT).unwrap();
        assert_eq!((sequence(&rotated), sequence(&path)), (vec![0], vec![1]));
    }

    #[test]
    fn several_sinks_each_in_its_format() {
        let dir = tempfile::tempdir().unwrap();
        let (json, text, azure) = (dir.path().join("json"), dir.path().join("text"), dir.path().join("azure"));
        let sinks = vec![file(&json, Format::Json), file(&text, Format::Text), file(&azure, Format::Azure)];
        let telemetry = Telemetry::start(config(sinks)).unwrap();
        telemetry.log().record_blocking(flow(1));
        telemetry.shutdown(LIMIT).unwrap();
        assert_eq!(sequence(&json), [0, 1, 2]);
        let text = fs::read_to_string(&text).unwrap();
        assert!(
            text.contains(" DENY  connect  evil.test:443 ") && text.ends_with("END   0 allowed, 1 denied\n"),
            "{text}"
        );
        assert_eq!(lines(&azure).len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let missing = Path::new("/nonexistent/egret.log");
        let error = Telemetry::start(config(vec![file(missing, Format::Json)])).err().unwrap();
        assert!(error.to_string().starts_with("cannot open the flow log `/nonexistent/egret.log`: "), "{error}");
    }

    /// A pipe that nobody reads yet.
    #[cfg(target_os = "linux")]
    fn pipe(path: &Path) -> fs::File {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // For reading and writing, so that neither end waits for the other to be opened.
        fs::OpenOptions::new().read(true).write(true).open(path).unwrap()
    }

    #[cfg(target_os = "linux")]
    fn stalled(dir: &Path) -> (Telemetry, fs::File) {
        let path = dir.join("fifo");
        let reader = pipe(&path);
        (Telemetry::start_with_queue(config(vec![file(&path, Format::Json)]), 1).unwrap(), reader)
    }

    /// Records until it has to wait; the number of records that did not.
    #[cfg(target_os = "linux")]
    async fn fill(recorder: &Recorder) -> u64 {
        // The pipe holds 64 KiB, a few hundred records.
        for n in 0..10_000 {
            let record = recorder.record(flow(n));
            if tokio::time::timeout(Duration::from_millis(300), record).await.is_err() {
                return n;
            }
        }
        panic!("nothing waits for a log that nobody reads")
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_denied_flow_waits_for_a_stalled_log_and_nothing_is_lost() {
        use std::io::{BufRead, BufReader};
        let dir = tempfile::tempdir().unwrap();
        let (telemetry, reader) = stalled(dir.path());
        let recorder = Rc::new(telemetry.recorder());
        let records = block_on(async {
            // The one that gave up waiting has recorded too.
            let cut = fill(&recorder).await;
            assert!(cut >= 2 * BATCH as u64, "a queue of one batch and a batch of its own: {cut}");
            let waiting = recorder.record(flow(cut + 1));
            tokio::pin!(waiting);
            let early = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
            assert!(early.is_err(), "the log is full: the denied flow has to wait");
            let reading = std::thread::spawn(move || {
                let lines = BufReader::new(reader).lines().map(|line| line.unwrap());
                let values = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
                let mut seen = Vec::new();
                for value in values {
                    seen.extend(value["flow"].as_u64());
                    if value["kind"] == "end" {
                        break;
                    }
                }
                seen
            });
            tokio::time::timeout(LIMIT, waiting).await.expect("the log is read again");
            (reading, cut + 2)
        });
        let (reading, recorded) = records;
        assert!(telemetry.log().shared.stats.waits.load(Relaxed) >= 2);
        drop(recorder);
        let counts = telemetry.shutdown(LIMIT).unwrap();
        assert_eq!(counts, Counts { denied: recorded, ..Counts::default() });
        let mut seen = reading.join().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, (0..recorded).collect::<Vec<u64>>());
    }

    #[cfg(target_os = "linux")]
    fn watched(path: &Path, on_error: OnError, watched: SinkSpec) -> TelemetryConfig {
        let watched = SinkSpec { duty: Duty::BestEffort, ..watched };
        TelemetryConfig { on_error, ..config(vec![file(path, Format::Json), watched]) }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_stopped_terminal_holds_up_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (path, fifo) = (dir.path().join("log"), dir.path().join("fifo"));
        let _reader = pipe(&fifo);
        let telemetry = Telemetry::start(watched(&path, OnError::Refuse, file(&fifo, Format::Text))).unwrap();
        let recorder = telemetry.recorder();
        block_on(async {
            for n in 0..10_000 {
                tokio::time::timeout(LIMIT, recorder.record(flow(n))).await.expect("nobody waits for an onlooker");
            }
        });
        drop(recorder);
        let counts = telemetry.shutdown(LIMIT).unwrap();
        assert_eq!(counts, Counts { denied: 10_000, ..Counts::default() });
        assert_eq!(sequence(&path), (0..10_002).collect::<Vec<u64>>());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_terminal_that_is_gone_is_no_loss_and_refuses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let full = file(Path::new("/dev/full"), Format::Text);
        let telemetry = Telemetry::start(watched(&path, OnError::Refuse, full)).unwrap();
        let log = telemetry.log().clone();
        log.record_blocking(flow(1));
        eventually("the record is taken", || log.shared.stats.records.load(Relaxed) == 2);
        assert!(!log.refusing());
        assert_eq!(telemetry.shutdown(LIMIT).unwrap().lost, 0);
    }

    #[test]
    fn an_onlooker_sees_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        let sink = SinkSpec { duty: Duty::BestEffort, ..file(&path, Format::Text) };
        let telemetry = Telemetry::start(config(vec![sink])).unwrap();
        telemetry.log().record_blocking(flow(1));
        telemetry.shutdown(LIMIT).unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with("END   0 allowed, 1 denied\n"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn shutdown_does_not_wait_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let (telemetry, _reader) = stalled(dir.path());
        block_on(fill(&telemetry.recorder()));
        let error = telemetry.shutdown(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }

    #[cfg(target_os = "linux")]
    fn refusing_on_a_full_disk(on_error: OnError) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let telemetry =
            Telemetry::start(TelemetryConfig { on_error, ..config(vec![file(&path, Format::Json)]) }).unwrap();
        let log = telemetry.log().clone();
        log.record_blocking(flow(1));
        eventually("the record is taken", || log.shared.stats.records.load(Relaxed) == 2);
        let refusing = log.refusing();
        fs::remove_file(&path).unwrap();
        log.reopen();
        eventually("the new file is written", || sequence_if_any(&path) == [0, 1]);
        eventually("it serves again", || !log.refusing());
        assert_eq!(telemetry.shutdown(LIMIT).unwrap().lost, 0);
        refusing
    }

    #[cfg(target_os = "linux")]
    fn sequence_if_any(path: &Path) -> Vec<u64> {
        if path.exists() { sequence(path) } else { Vec::new() }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_refuses_flows_only_where_that_was_chosen() {
        assert!(!refusing_on_a_full_disk(OnError::Serve));
        assert!(refusing_on_a_full_disk(OnError::Refuse));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_one_sink_lost_another_tells() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let sinks = vec![file(Path::new("/dev/full"), Format::Json), file(&path, Format::Json)];
        let telemetry = Telemetry::start(config(sinks)).unwrap();
        telemetry.log().record_blocking(flow(1));
        let counts = telemetry.shutdown(LIMIT).unwrap();
        assert_eq!(lines(&path)[2]["counts"]["lost"], 2, "start and flow");
        assert_eq!(counts.lost, 3, "and the end itself");
    }
}
