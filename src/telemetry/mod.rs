//! What is written down of every flow: the flow log, the last decisions and the metrics.
//!
//! Each core has a [`Recorder`], which gathers records and hands them over in batches; one thread writes them
//! to all sinks and numbers them. Records of one core keep their order; between cores the numbers follow the
//! order of arrival. The queue is bounded: when it is full, whoever records *waits*. A sink that fails keeps
//! a bounded backlog; beyond it records are *counted as lost*, and [`OnError`] says whether new flows are
//! refused meanwhile. A sink of [`Duty::BestEffort`] does neither.
//!
//! May use [`flow`](crate::flow), [`policy`](crate::policy) and the log shapes of [`azure`](crate::azure).
//! Knows nothing of proxies and admin servers: they call it.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unreachable))]

mod azure;
mod clock;
mod derived;
mod json;
mod metrics;
mod network_flows;
mod object;
mod onlooker;
mod recent;
mod record;
mod recorder;
mod sight;
mod sink;
mod tally;
mod text;
mod writer;

pub use json::SCHEMA_VERSION;
pub use metrics::{
    CONTENT_TYPE, CoreCounters, Counter, DnsCounters, DnsOutcome, EnvironmentHealth, Gauge, Metrics, RuleHits,
};
pub use recent::{Filter, Logged, RECENT_FLOWS};
#[cfg(test)]
pub(crate) use record::tests;
pub use record::{
    CloseRecord, CloseWhy, ClosedBy, Counts, DnsRecord, EnvironmentRecord, EnvironmentState, EnvironmentWhy, Escaped,
    Event, FatFlowRecord, FlowRecord, FqdnFailureRecord, KnownThreat, Passed, ProgressRecord, ReloadRecord, RouteTaken,
    RunId, Secured, SecuredBy, SecurityRuleName, Seen, StartRecord, Surroundings, Transport,
};
pub use recorder::{Log, Recorder, Watch};
pub use sight::Sighted;
pub use sink::{Duty, Format, OnError, SinkSpec, Target};
pub use tally::{Row, Rows, Tally, Totals};
pub(crate) use text::Printable;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::azure::category::{Categories, Category};
use network_flows::NetworkFlows;
use recorder::Shared;
use sink::{Identity, Sink};
use writer::{Derivers, Writer};

/// What a log is started with.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// May be none: metrics and the last decisions are kept all the same.
    pub sinks: Vec<SinkSpec>,
    pub run: RunId,
    /// Written first.
    pub start: StartRecord,
    pub on_error: OnError,
    /// Of the firewall that Azure's formats name.
    pub resource_id: Arc<str>,
    /// What Azure's formats write.
    pub categories: Categories,
    /// How often the rates of flows are looked at, where [`Category::FatFlow`] is wanted.
    pub fat_flow_every: Duration,
    /// How often flow logs of networks are written, where there are any.
    pub flow_log_every: Duration,
    /// Counts what is recorded, for a report; None where nobody asks for one.
    pub tally: Option<Tally>,
}

/// After so many writings of a network's flow log, flows that run are in it again: every five minutes in Azure, which
/// writes every minute (azure-docs, nsg-flow-logs-overview.md).
const PROGRESS_AFTER: u32 = 5;

/// Batches that wait for the writer at most, of [`recorder::BATCH`] records each: some 3 MB.
const QUEUE: usize = 32;

/// The running log. Dropped without [`Telemetry::shutdown`], the thread ends too, but nobody waits for it.
pub struct Telemetry {
    log: Log,
    ended: Receiver<Counts>,
    stop: tokio_util::sync::DropGuard,
}

impl Telemetry {
    /// Opens every sink, writes the start record and starts the writer's thread. An error names the file.
    pub fn start(config: TelemetryConfig) -> io::Result<Telemetry> {
        Telemetry::start_with_queue(config, QUEUE)
    }

    fn start_with_queue(config: TelemetryConfig, queue: usize) -> io::Result<Telemetry> {
        let TelemetryConfig {
            sinks,
            run,
            start,
            on_error,
            resource_id,
            categories,
            fat_flow_every,
            flow_log_every,
            tally,
        } = config;
        let tables = sinks.iter().any(|spec| spec.format == Format::Azure).then_some(categories);
        let fat_flows = tables.filter(|tables| tables.contains(Category::FatFlow)).map(|_| fat_flow_every);
        let of_networks = sinks.iter().any(|spec| matches!(spec.format, Format::VnetFlow | Format::NsgFlow));
        let network_flows = of_networks.then(|| NetworkFlows::new(flow_log_every));
        let watch = Watch { fat_flows, progress: of_networks.then(|| flow_log_every * PROGRESS_AFTER) };
        let identity = Identity { run: run.clone(), resource_id, categories };
        let sinks = sinks.iter().map(|spec| Sink::open(spec, &identity)).collect::<io::Result<Vec<Sink>>>()?;
        let shared = Arc::new(Shared::new(run, watch));
        let (batches, queue) = tokio::sync::mpsc::channel(queue);
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let writer = Writer::new(sinks, on_error, tally, Derivers::new(tables, network_flows), shared.clone());
        let (end, ended) = std::sync::mpsc::sync_channel(1);
        let stopped = stop.clone();
        std::thread::Builder::new().name("egret-log".to_owned()).spawn(move || {
            let counts = runtime.block_on(writer.run(start, queue, stopped));
            // Nobody may be waiting for it.
            let _ = end.send(counts);
        })?;
        Ok(Telemetry { log: Log::new(batches, shared), ended, stop: stop.drop_guard() })
    }

    /// A handle for everybody but the cores.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// A handle for one core; each core makes its own.
    pub fn recorder(&self) -> Recorder {
        self.log.recorder()
    }

    /// Writes all that was recorded, then the end record. Every [`Recorder`] is to be dropped before: what is
    /// recorded later is lost. Blocks for `limit` at most, which a sink that nobody reads can take.
    pub fn shutdown(self, limit: Duration) -> io::Result<Counts> {
        let Telemetry { log, ended, stop } = self;
        drop(stop);
        drop(log);
        ended.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                io::Error::new(io::ErrorKind::TimedOut, "the flow log could not be written to its end in time")
            }
            RecvTimeoutError::Disconnected => io::Error::other("the flow log's thread ended early"),
        })
    }
}
