//! Flows of datagrams that were denied, remembered so that what a client sends again is no second flow of the log.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::flow::{ClientAddr, Reason};
use crate::net::udp::Way;

use super::shared::Core;

/// Denied flows that one worker remembers. Beyond it some other one is *forgotten*: it will be decided and logged anew.
const MAX: usize = 8192;

/// Kept for `timeouts.udp` at most, also while the client goes on sending: what allows it may have come meanwhile. Then
/// it is decided, and logged, anew.
#[derive(Default)]
pub(super) struct Denied {
    flows: HashMap<Way, Remembered>,
    /// When those that are over were last looked for.
    swept: Option<Instant>,
}

/// Why a flow was denied, and under which policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Denial {
    pub(super) reason: Reason,
    pub(super) generation: u64,
}

struct Remembered {
    denial: Denial,
    /// When it was decided.
    since: Instant,
}

impl Denied {
    /// Is this one denied, and still for the same reason?
    pub(super) fn has(&mut self, way: Way, core: &Core, now: Instant) -> bool {
        let Some(remembered) = self.flows.get(&way) else { return false };
        let over = now.duration_since(remembered.since) >= core.shared.config.timeouts.udp;
        if over || !remembered.denial.holds(way, core) {
            self.flows.remove(&way);
            return false;
        }
        true
    }

    pub(super) fn remember(&mut self, way: Way, denial: Denial, core: &Core, now: Instant) {
        if self.flows.len() >= MAX {
            self.make_room(core, now);
        }
        self.flows.insert(way, Remembered { denial, since: now });
    }

    fn make_room(&mut self, core: &Core, now: Instant) {
        let kept = core.shared.config.timeouts.udp;
        // Looking at all of them is worth it once in a while only.
        if self.swept.is_none_or(|swept| now.duration_since(swept) >= kept / 4) {
            self.flows.retain(|_, remembered| now.duration_since(remembered.since) < kept);
            self.swept = Some(now);
        }
        if self.flows.len() >= MAX
            && let Some(way) = self.flows.keys().next().copied()
        {
            self.flows.remove(&way);
        }
    }
}

impl Denial {
    /// Would it be denied again, for all that is known?
    fn holds(self, way: Way, core: &Core) -> bool {
        let another_policy = core.active().generation() != self.generation;
        let passed = match self.reason {
            Reason::LimitFlows => core.shared.udp_flows.available_permits() > 0,
            Reason::LimitClient => core.shared.limiter.has_flow_place(ClientAddr::new(way.client).ip()),
            Reason::LogUnavailable => !core.recorder.refusing(),
            _ => false,
        };
        !another_policy && !passed
    }
}
