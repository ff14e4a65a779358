//! How fast the flows of one core are, looked at now and then: Azure's top flows. Only where somebody asks for them.
//!
//! A flow that comes and goes between two looks is not seen, as in Azure.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::flow::{ClientAddr, Protocol};
use crate::telemetry::{Event, FatFlowRecord, FlowRecord, ProgressRecord, Watch};

use super::shared::Core;

/// Slower flows are none of the top ones (azure-docs, enable-top-ten-and-flow-trace).
const FAT: u64 = 1_000_000;

/// How often it is looked at which flow's time has come.
const GLANCE: Duration = Duration::from_secs(1);

/// The flows of a core that run, by number: as many as there are connections and flows at most.
pub(super) struct Rates {
    watch: Watch,
    flows: RefCell<HashMap<u64, Watched>>,
}

struct Watched {
    client: ClientAddr,
    protocol: Protocol,
    dst: SocketAddr,
    /// Bytes moved so far, up and down. None until it moves any.
    moved: Option<Box<dyn Fn() -> [u64; 2]>>,
    /// It is in the flow log of a network.
    is_followed: bool,
    seen: u64,
    since: Instant,
    /// When it was last told how far it is, or when it began.
    told: Instant,
}

impl Rates {
    /// None where nobody asks for them.
    pub(super) fn new(watch: Watch) -> Option<Rates> {
        (watch != Watch::default()).then(|| Rates { watch, flows: RefCell::default() })
    }

    /// An allowed flow.
    pub(super) fn opened(&self, record: &FlowRecord) {
        let Some(dst) = record.dst else { return };
        let FlowRecord { client, protocol, .. } = *record;
        let is_followed = record.network.is_some();
        let now = Instant::now();
        let watched = Watched { client, protocol, dst, moved: None, is_followed, seen: 0, since: now, told: now };
        self.flows.borrow_mut().insert(record.flow, watched);
    }

    pub(super) fn moves(&self, flow: u64, moved: impl Fn() -> [u64; 2] + 'static) {
        if let Some(watched) = self.flows.borrow_mut().get_mut(&flow) {
            watched.moved = Some(Box::new(moved));
        }
    }

    pub(super) fn closed(&self, flow: u64) {
        self.flows.borrow_mut().remove(&flow);
    }

    /// Those that moved much since the last look, the fastest first.
    fn look(&self, now: Instant) -> Vec<FatFlowRecord> {
        let ts = Timestamp::now();
        let mut flows = self.flows.borrow_mut();
        let mut fat: Vec<FatFlowRecord> = flows.values_mut().filter_map(|flow| flow.look(ts, now)).collect();
        fat.sort_by_key(|flow| std::cmp::Reverse(flow.bits_per_second));
        fat
    }

    /// How far those are that are in the flow log of a network, each so long after it began or was last told.
    fn progress(&self, now: Instant, every: Duration) -> Vec<ProgressRecord> {
        let ts = Timestamp::now();
        let record = |(flow, watched): (&u64, &mut Watched)| {
            let due = watched.is_followed && now >= watched.told + every;
            let [bytes_up, bytes_down] = watched.moved.as_ref().filter(|_| due)?();
            watched.told = now;
            Some(ProgressRecord { ts, flow: *flow, bytes_up, bytes_down })
        };
        self.flows.borrow_mut().iter_mut().filter_map(record).collect()
    }
}

impl Watched {
    fn look(&mut self, ts: Timestamp, now: Instant) -> Option<FatFlowRecord> {
        let moved: u64 = self.moved.as_ref()?().iter().sum();
        let bits = u128::from(moved.saturating_sub(self.seen)) * 8;
        let millis = now.saturating_duration_since(self.since).as_millis().max(1);
        let bits_per_second = u64::try_from(bits * 1000 / millis).unwrap_or(u64::MAX);
        (self.seen, self.since) = (moved, now);
        let Watched { client, protocol, dst, .. } = *self;
        (bits_per_second >= FAT).then_some(FatFlowRecord { ts, client, protocol, dst, bits_per_second })
    }
}

/// Looks for as long as the core runs; for ever.
pub(super) async fn keep_looking(core: Rc<Core>) {
    let Some(rates) = &core.rates else { return };
    let Watch { fat_flows, progress } = rates.watch;
    let look = async {
        while let Some(every) = fat_flows {
            tokio::time::sleep(every).await;
            for flow in rates.look(Instant::now()) {
                core.recorder.record(Event::FatFlow(flow)).await;
            }
        }
    };
    let follow = async {
        while let Some(every) = progress {
            tokio::time::sleep(every.min(GLANCE)).await;
            for flow in rates.progress(Instant::now(), every) {
                core.recorder.record(Event::Progress(flow)).await;
            }
        }
    };
    tokio::join!(look, follow);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::tests::allowed;
    use crate::telemetry::tests::crossed;
    use std::cell::Cell;

    #[test]
    fn what_moves_much_between_two_looks() {
        let watch = Watch { fat_flows: Some(Duration::from_secs(180)), progress: None };
        let rates = Rates::new(watch).unwrap();
        let start = Instant::now();
        for flow in [1, 2, 3] {
            rates.opened(&FlowRecord { flow, ..allowed() });
        }
        let moved = [Rc::new(Cell::new(0)), Rc::new(Cell::new(0))];
        for (flow, moved) in [1, 2].into_iter().zip(moved.clone()) {
            rates.moves(flow, move || [moved.get(), 0]);
        }
        let look = |seconds| -> Vec<u64> {
            let fat = rates.look(start + Duration::from_secs(seconds));
            fat.iter().map(|flow| flow.bits_per_second / 100_000).collect()
        };
        assert_eq!(look(180), [0; 0]);
        moved[0].set(22_500_000);
        moved[1].set(45_000_000);
        assert_eq!(look(360), [20, 10], "the fastest first");
        moved[0].set(44_000_000);
        moved[1].set(67_500_000);
        assert_eq!(look(540), [10], "one is a little slower by now");
        rates.closed(2);
        moved[1].set(u64::MAX);
        assert_eq!(look(720), [0; 0]);
    }

    /// Each by its own clock: two that began at different times are not told at once.
    #[test]
    fn a_flow_is_told_so_long_after_its_own_beginning() {
        let every = Duration::from_secs(300);
        let rates = Rates::new(Watch { fat_flows: None, progress: Some(every) }).unwrap();
        let start = Instant::now();
        for (flow, begun) in [(1, 0), (2, 100)] {
            rates.opened(&FlowRecord { flow, dst: allowed().dst, ..crossed() });
            rates.moves(flow, || [1, 2]);
            rates.flows.borrow_mut().get_mut(&flow).unwrap().told = start + Duration::from_secs(begun);
        }
        let told = |seconds| -> Vec<u64> {
            rates.progress(start + Duration::from_secs(seconds), every).iter().map(|it| it.flow).collect()
        };
        assert_eq!(
            [told(299), told(300), told(399), told(400), told(599), told(600)],
            [vec![], vec![1], vec![], vec![2], vec![], vec![1]]
        );
    }
}
