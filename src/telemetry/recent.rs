//! The last decisions, for `/v1/flows`.

use std::collections::VecDeque;

use serde::{Serialize, Serializer};

use super::json;
use super::record::{FlowRecord, RunId};
use crate::flow::{Reason, Verdict};

/// Decisions that are kept; the oldest goes first.
pub const RECENT_FLOWS: usize = 1000;

/// A decision with its place in the log. Serialises as the log's own line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    pub run: RunId,
    pub seq: u64,
    pub record: FlowRecord,
}

impl Serialize for Logged {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json::serialize_flow(serializer, &self.run, self.seq, &self.record)
    }
}

/// Which decisions are asked for; what is None does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub verdict: Option<Verdict>,
    pub reason: Option<Reason>,
    /// Part of the host or the SNI, in any case.
    pub host: Option<String>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

impl Filter {
    /// `host` is in lower case.
    fn matches(&self, record: &FlowRecord, host: Option<&str>) -> bool {
        self.verdict.is_none_or(|verdict| verdict == record.verdict)
            && self.reason.is_none_or(|reason| reason == record.reason)
            && host.is_none_or(|part| names_of(record).any(|name| name.to_ascii_lowercase().contains(part)))
    }
}

fn names_of(record: &FlowRecord) -> impl Iterator<Item = String> {
    let host = record.host.as_ref().map(|host| host.to_string());
    host.into_iter().chain(record.sni.as_ref().map(|sni| sni.to_string()))
}

/// A ring of [`RECENT_FLOWS`] decisions.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<Logged>);

impl Recent {
    pub(super) fn push(&mut self, logged: Logged) {
        if self.0.len() == RECENT_FLOWS {
            self.0.pop_front();
        }
        self.0.push_back(logged);
    }

    /// Newest first.
    pub(super) fn select(&self, filter: &Filter) -> Vec<Logged> {
        let host = filter.host.as_ref().map(|host| host.to_ascii_lowercase());
        let wanted = |logged: &&Logged| filter.matches(&logged.record, host.as_deref());
        let limit = filter.limit.unwrap_or(RECENT_FLOWS);
        self.0.iter().rev().filter(wanted).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{allowed, denied};
    use super::*;

    fn ring(records: impl IntoIterator<Item = FlowRecord>) -> Recent {
        let mut recent = Recent::default();
        for (seq, record) in (0..).zip(records) {
            recent.push(Logged { run: RunId::from_bits(1), seq, record });
        }
        recent
    }

    #[test]
    fn filters() {
        let mismatch = FlowRecord { reason: Reason::SniConnectMismatch, sni: allowed().sni, ..denied() };
        let recent = ring([denied(), allowed(), mismatch]);
        let check = |filter: Filter, expected: &[u64]| {
            let got: Vec<u64> = recent.select(&filter).iter().map(|logged| logged.seq).collect();
            assert_eq!(got, expected, "{filter:?}");
        };
        check(Filter::default(), &[2, 1, 0]);
        check(Filter { limit: Some(2), ..Filter::default() }, &[2, 1]);
        check(Filter { verdict: Some(Verdict::Deny), ..Filter::default() }, &[2, 0]);
        check(Filter { reason: Some(Reason::NotAllowed), ..Filter::default() }, &[0]);
        check(Filter { host: Some("EVIL".into()), ..Filter::default() }, &[2, 0]);
        check(Filter { host: Some("ok.t".into()), ..Filter::default() }, &[2, 1]);
        check(Filter { host: Some("ok.t".into()), verdict: Some(Verdict::Allow), ..Filter::default() }, &[1]);
    }

    #[test]
    fn the_oldest_goes_first() {
        let kept = ring((0..RECENT_FLOWS + 5).map(|_| denied())).select(&Filter::default());
        assert_eq!((kept.len(), kept.last().unwrap().seq), (RECENT_FLOWS, 5));
    }

    #[test]
    fn shown_as_the_log_shows_it() {
        let value = serde_json::to_value(&ring([denied()]).select(&Filter::default())[0]).unwrap();
        assert_eq!(
            (&value["kind"], &value["host"], &value["run"]),
            (&"flow".into(), &"evil.test".into(), &"00000001".into())
        );
    }
}
