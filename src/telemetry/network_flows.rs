//! What security groups saw, for the flow logs of networks: what they allowed is gathered, and written once in a while;
//! what they denied is written with the batch that it came in, as in every other log, and outlives a killed process.
//!
//! Only where such a log is written. A flow that began has its end, and in between what it moved; of a flow that the
//! firewall denied the groups saw no more than that it began.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::record::{CloseRecord, FlowRecord, ProgressRecord, Secured, SecuredBy, SecurityRuleName, Surroundings};
use crate::azure::network_flow_logs::{Direction, Moved, Observer, Sighting, State, Tuple};
use crate::flow::{Protocol, Verdict};

/// Flows that are followed at once. Of one beyond them *neither progress nor end is written*.
const FOLLOWED: usize = 65_536;

/// Tuples of allowed flows that wait, with those of a batch at most. Beyond it they are *written early*.
const WAITING: usize = 8_192;

/// Rules of groups whose words are kept. Beyond it they are *put together anew*.
const KNOWN: usize = 4_096;

/// Gathers them.
pub(super) struct NetworkFlows {
    every: Duration,
    written: Timestamp,
    followed: HashMap<u64, Followed>,
    waiting: Vec<Sighting>,
    /// Of the batch that is being written.
    denied: Vec<Sighting>,
    observers: Observers,
}

/// Rules of groups in the words of the log, each once.
#[derive(Default)]
struct Observers(HashMap<Known, Arc<Observer>>);

#[derive(PartialEq, Eq, Hash)]
struct Known {
    scope: Arc<str>,
    location: Arc<str>,
    virtual_network: Arc<str>,
    by: SecuredBy,
}

/// An allowed flow, as one or two groups see it.
struct Followed {
    sides: Vec<Side>,
    /// Bytes up and down by the last tuple.
    told: [u64; 2],
}

struct Side {
    by: Arc<Observer>,
    direction: Direction,
    source: SocketAddr,
    destination: SocketAddr,
    protocol: Protocol,
}

impl NetworkFlows {
    pub(super) fn new(every: Duration) -> NetworkFlows {
        let (waiting, denied, observers) = (Vec::new(), Vec::new(), Observers::default());
        NetworkFlows { every, written: Timestamp::now(), followed: HashMap::new(), waiting, denied, observers }
    }

    /// A decision.
    pub(super) fn flow(&mut self, record: &FlowRecord) {
        let Some(network) = &record.network else { return };
        let mut sides = Vec::new();
        for (secured, direction) in sides_of(network) {
            let by = self.observers.of(network, secured);
            let Secured { source, destination, .. } = *secured;
            let side = Side { by, direction, source, destination, protocol: record.protocol };
            match secured.access {
                Verdict::Deny => self.denied.push(side.sighting(record.ts, State::Denied)),
                Verdict::Allow => {
                    self.waiting.push(side.sighting(record.ts, State::Began));
                    sides.push(side);
                }
            }
        }
        if record.verdict == Verdict::Deny {
            let ended = sides.iter().map(|side| side.sighting(record.ts, State::Ended(Moved::default())));
            self.waiting.extend(ended);
        } else if self.followed.len() < FOLLOWED {
            self.followed.insert(record.flow, Followed { sides, told: [0, 0] });
        }
    }

    /// How far an allowed flow is.
    pub(super) fn progress(&mut self, record: &ProgressRecord) {
        let ProgressRecord { ts, flow, bytes_up, bytes_down } = *record;
        if let Some(followed) = self.followed.get_mut(&flow) {
            let moved = followed.moved([bytes_up, bytes_down]);
            self.waiting.extend(followed.sides.iter().map(|side| side.sighting(ts, State::Continues(moved))));
        }
    }

    /// The end of an allowed flow.
    pub(super) fn close(&mut self, record: &CloseRecord) {
        if let Some(mut followed) = self.followed.remove(&record.flow) {
            let [head_up, head_down] = record.heads;
            let moved = followed.moved([record.bytes_up + head_up, record.bytes_down + head_down]);
            self.waiting.extend(followed.sides.iter().map(|side| side.sighting(record.ts, State::Ended(moved))));
        }
    }

    /// After each batch: what was denied is written at once, and what was allowed where too much of it waits.
    pub(super) fn urgent(&mut self, now: Timestamp) -> Vec<Sighting> {
        let mut urgent = std::mem::take(&mut self.denied);
        if self.waiting.len() >= WAITING {
            urgent.extend(self.take(now));
        }
        urgent
    }

    /// What is to be written of allowed flows, if its time has come.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<Sighting> {
        let waited = now.duration_since(self.written).unsigned_abs();
        if waited >= self.every { self.take(now) } else { Vec::new() }
    }

    /// What there is of allowed flows.
    pub(super) fn take(&mut self, now: Timestamp) -> Vec<Sighting> {
        self.written = now;
        std::mem::take(&mut self.waiting)
    }
}

impl Followed {
    /// Since the last tuple.
    fn moved(&mut self, now: [u64; 2]) -> Moved {
        let [told_up, told_down] = std::mem::replace(&mut self.told, now);
        let [up, down] = now;
        Moved { sent: up.saturating_sub(told_up), received: down.saturating_sub(told_down) }
    }
}

impl Side {
    fn sighting(&self, ts: Timestamp, state: State) -> Sighting {
        let Side { by, direction, source, destination, protocol } = self;
        let machine = match direction {
            Direction::Outbound => source.ip(),
            Direction::Inbound => destination.ip(),
        };
        let (source, destination, protocol, direction) = (*source, *destination, *protocol, *direction);
        let tuple = Tuple { at: ts.as_millisecond(), source, destination, protocol, direction, state };
        Sighting { by: by.clone(), machine, tuple }
    }
}

impl Observers {
    fn of(&mut self, network: &Surroundings, secured: &Secured) -> Arc<Observer> {
        let known = Known {
            scope: network.scope.clone(),
            location: network.location.clone(),
            virtual_network: secured.virtual_network.clone(),
            by: secured.by.clone(),
        };
        if self.0.len() >= KNOWN && !self.0.contains_key(&known) {
            self.0.clear();
        }
        self.0.entry(known).or_insert_with(|| Arc::new(observer(network, secured))).clone()
    }
}

fn sides_of(network: &Surroundings) -> impl Iterator<Item = (&Secured, Direction)> {
    let outbound = network.outbound.as_ref().map(|outbound| (outbound, Direction::Outbound)).into_iter();
    outbound.chain(network.inbound.as_ref().map(|inbound| (inbound, Direction::Inbound)))
}

fn observer(network: &Surroundings, secured: &Secured) -> Observer {
    let (group, rule) = match &secured.by {
        SecuredBy::Rule(SecurityRuleName { group, rule, is_default }) => {
            (Some(group.clone()), Observer::rule_name(rule, *is_default))
        }
        SecuredBy::Nobody | SecuredBy::Platform => (None, Observer::platform_rule()),
    };
    let (scope, location) = (network.scope.clone(), network.location.clone());
    Observer { scope, location, virtual_network: secured.virtual_network.clone(), group, rule }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{allowed, closed, crossed, denied};
    use super::*;
    use crate::flow::Reason;

    const MINUTE: Duration = Duration::from_secs(60);

    /// `UserRule_vnet O B` of each that waits.
    fn shown(flows: &mut NetworkFlows) -> Vec<String> {
        lines(&flows.take(Timestamp::now()))
    }

    fn lines(sightings: &[Sighting]) -> Vec<String> {
        let show = |it: &Sighting| {
            let tuple = it.tuple.vnet_v4();
            let fields: Vec<&str> = tuple.split(',').collect();
            format!("{} {}", it.by.rule, fields[6..].join(" "))
        };
        sightings.iter().map(show).collect()
    }

    #[test]
    fn each_group_has_its_own_tuple_of_a_flow() {
        let mut flows = NetworkFlows::new(MINUTE);
        let start = flows.written;
        flows.flow(&crossed());
        assert_eq!(lines(&flows.urgent(start)), ["DefaultRule_DenyAllInBound I D NX 0 0 0 0"]);
        assert_eq!(shown(&mut flows), ["UserRule_vnet O B NX 0 0 0 0", "UserRule_vnet O E NX 0 0 0 0"]);
        assert!(flows.followed.is_empty());
    }

    #[test]
    fn counts_are_since_the_last_tuple() {
        let mut flows = NetworkFlows::new(MINUTE);
        let network = Surroundings { inbound: None, ..(*crossed().network.unwrap()).clone() };
        let flow = FlowRecord { network: Some(Arc::new(network)), ..allowed() };
        flows.flow(&flow);
        let progress = ProgressRecord { ts: closed().ts, flow: flow.flow, bytes_up: 500, bytes_down: 3_000 };
        flows.progress(&progress);
        let with_heads = CloseRecord { heads: [60, 90], ..closed() };
        flows.close(&with_heads);
        flows.close(&with_heads);
        let expected =
            ["UserRule_vnet O B NX 0 0 0 0", "UserRule_vnet O C NX 1 500 3 3000", "UserRule_vnet O E NX 1 77 7 9090"];
        assert_eq!(shown(&mut flows), expected);
    }

    #[test]
    fn what_is_in_no_subnet_is_in_no_log() {
        let mut flows = NetworkFlows::new(MINUTE);
        flows.flow(&denied());
        flows.flow(&FlowRecord { reason: Reason::ServiceEndpoint, ..allowed() });
        assert!(flows.followed.is_empty() && flows.waiting.is_empty());
    }

    #[test]
    fn written_when_it_is_time_or_too_much() {
        let mut flows = NetworkFlows::new(MINUTE);
        let start = flows.written;
        flows.flow(&crossed());
        assert_eq!(flows.due(start).len(), 0);
        assert_eq!(flows.due(start + MINUTE).len(), 2);
        assert_eq!(flows.urgent(start + MINUTE).len(), 1, "what was denied does not wait");
        for _ in 0..WAITING / 2 - 1 {
            flows.flow(&crossed());
        }
        assert_eq!(flows.urgent(start + MINUTE).len(), WAITING / 2 - 1);
        flows.flow(&crossed());
        assert_eq!(flows.urgent(start + MINUTE).len(), WAITING + 1, "written early");
        assert!(flows.waiting.is_empty());
    }

    /// Two flows by the same rules have their words once; other rules have their own.
    #[test]
    fn a_rule_is_put_into_words_once() {
        let mut flows = NetworkFlows::new(MINUTE);
        flows.flow(&crossed());
        flows.flow(&FlowRecord { flow: 8, ..crossed() });
        let by: Vec<Arc<Observer>> = flows.take(Timestamp::now()).into_iter().map(|it| it.by).collect();
        assert!(Arc::ptr_eq(&by[0], &by[2]), "{by:?}");
        let network = (*crossed().network.unwrap()).clone();
        let elsewhere = Surroundings { location: "eastus".into(), ..network };
        flows.flow(&FlowRecord { network: Some(Arc::new(elsewhere)), ..crossed() });
        assert_eq!(flows.waiting[0].by.location.as_ref(), "eastus");
        assert_eq!(flows.observers.0.len(), 4);
    }

    #[test]
    fn there_is_an_end_to_what_is_followed() {
        let mut flows = NetworkFlows::new(MINUTE);
        for flow in 0..FOLLOWED as u64 + 10 {
            flows.flow(&FlowRecord { flow, verdict: Verdict::Allow, ..crossed() });
            flows.waiting.clear();
        }
        assert_eq!(flows.followed.len(), FOLLOWED);
    }
}
