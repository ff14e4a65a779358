//! Decisions about flows of some clients, for somebody in the same process who follows them.

use ipnet::IpNet;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::record::FlowRecord;

/// Decisions that wait to be looked at. When it is full, further ones are *dropped*: who follows states and not single
/// flows sees the next one of its kind.
const WAITING: usize = 1024;

/// The writer's end.
#[derive(Debug)]
pub(super) struct Sight {
    clients: Vec<IpNet>,
    seen: Sender<FlowRecord>,
}

/// The end of whoever looks.
#[derive(Debug)]
pub struct Sighted(Receiver<FlowRecord>);

impl Sight {
    pub(super) fn of(clients: Vec<IpNet>) -> (Sight, Sighted) {
        let (seen, sighted) = channel(WAITING);
        (Sight { clients, seen }, Sighted(sighted))
    }

    pub(super) fn show(&self, record: &FlowRecord) {
        let client = record.counted_as();
        if self.clients.iter().any(|net| net.contains(&client)) {
            // Full: dropped. Closed: nobody looks any more.
            let _ = self.seen.try_send(record.clone());
        }
    }
}

impl Sighted {
    /// None once the log has ended.
    pub async fn next(&mut self) -> Option<FlowRecord> {
        self.0.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{crossed, denied};
    use super::super::record::{Secured, Surroundings};
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn only_flows_of_these_clients_are_shown() {
        let (sight, mut sighted) = Sight::of(vec!["10.0.0.0/8".parse().unwrap()]);
        let from =
            |client: &str| FlowRecord { client: crate::flow::ClientAddr::new(client.parse().unwrap()), ..denied() };
        sight.show(&from("192.0.2.1:1"));
        sight.show(&from("10.1.2.3:2"));
        let mut stand_in = from("192.0.2.1:3");
        let network = (*crossed().network.unwrap()).clone();
        let source = "10.1.2.4:3".parse().unwrap();
        let outbound = network.outbound.clone().map(|outbound| Secured { source, ..outbound });
        stand_in.network = Some(Arc::new(Surroundings { outbound, ..network }));
        sight.show(&stand_in);
        drop(sight);
        assert_eq!(sighted.next().await.map(|it| it.client.port()), Some(2));
        assert_eq!(sighted.next().await.map(|it| it.client.port()), Some(3), "it counts as one of them");
        assert!(sighted.next().await.is_none());
    }

    #[test]
    fn what_nobody_looks_at_in_time_is_dropped() {
        let (sight, mut sighted) = Sight::of(vec!["0.0.0.0/0".parse().unwrap()]);
        (0..WAITING + 10).for_each(|_| sight.show(&denied()));
        let mut seen = 0;
        while sighted.0.try_recv().is_ok() {
            seen += 1;
        }
        assert_eq!(seen, WAITING);
    }
}
