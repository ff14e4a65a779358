//! What a comparison is made of: cases, in suites that answer one question each.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::door::Door;
use crate::proxies::{Floor, Peer, Subject};
use crate::workload::{HelloKind, Limit, LogTo, Plan, Setting, Workload};

/// A question to the proxies; they answer it with their figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub door: Door,
    pub workload: Workload,
    pub concurrency: usize,
    pub setting: Setting,
    /// How many are opened by `idle`, where that is not the usual number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<u64>,
}

/// A question that several cases together answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Every workload by every door, as usual
    Doors,
    /// Cost against connections at a time
    Concurrency,
    /// Cost against entries of the allowlist, 10 to 1 000 000
    Policy,
    /// Memory against idle tunnels
    Connections,
    /// A ClientHello as ever, and with a post-quantum key share
    Hello,
    /// The flow log off, to a file, to a sink that is slow
    Log,
    /// Reloads every second
    Churn,
}

/// Curves and variants are of these; the other cases would say the same again.
const TUNNELS: [(Door, Workload); 2] = [(Door::Explicit, Workload::Tunnel), (Door::Gateway, Workload::Tunnel)];
const TUNNELS_AND_HTTP: [(Door, Workload); 3] = [TUNNELS[0], TUNNELS[1], (Door::Explicit, Workload::Http)];

const CONCURRENCIES: [usize; 6] = [1, 4, 16, 64, 256, 1024];
const POLICIES: [usize; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];
const CONNECTIONS: [u64; 4] = [250, 1_000, 4_000, 16_000];

impl Case {
    pub fn usual(door: Door, workload: Workload) -> Case {
        let concurrency = workload.default_concurrency();
        Case { door, workload, concurrency, setting: Setting::default(), tunnels: None }
    }

    /// As usual but for the number of tunnels that carry bulk.
    pub fn is_usual(&self) -> bool {
        let usual = Case::usual(self.door, self.workload);
        let concurrency = if self.is_bulk() { self.concurrency } else { usual.concurrency };
        *self == Case { concurrency, ..usual }
    }

    pub fn is_bulk(&self) -> bool {
        matches!(self.workload, Workload::Bulk | Workload::BulkUp)
    }

    /// Whether operations can begin by a schedule: bulk and idle tunnels have none to begin.
    pub fn has_open_loop(&self) -> bool {
        !self.is_bulk() && !matches!(self.workload, Workload::Idle | Workload::Crowd)
    }

    pub fn plan(&self, limit: Limit, rate: Option<f64>) -> Plan {
        let Case { door, workload, concurrency, setting, tunnels } = *self;
        Plan { door, workload, concurrency, limit: tunnels.map_or(limit, Limit::Count), setting, rate }
    }

    /// What it is, in a few words.
    pub fn title(&self) -> String {
        let tunnels = if self.concurrency == 1 { "1 tunnel".into() } else { format!("{} tunnels", self.concurrency) };
        match (self.door, self.workload) {
            (Door::Explicit, Workload::Tunnel) => "new tunnel by CONNECT".into(),
            (Door::Socks5, Workload::Tunnel) => "new tunnel by SOCKS5".into(),
            (Door::Gateway, Workload::Tunnel) => "new flow through the gateway".into(),
            (Door::Gateway, Workload::Handshake) => "TLS handshake through the gateway".into(),
            (_, Workload::Handshake) => "TLS handshake in a new tunnel".into(),
            (Door::Explicit, Workload::Refused) => "refused CONNECT".into(),
            (Door::Socks5, Workload::Refused) => "refused by SOCKS5".into(),
            (Door::Gateway, Workload::Refused) => "refused flow".into(),
            (Door::Dns, Workload::Refused) => "refused lookup".into(),
            (_, Workload::Http) => "HTTP request, kept alive".into(),
            (_, Workload::Bulk) => format!("bulk down, {tunnels}"),
            (_, Workload::BulkUp) => format!("bulk up, {tunnels}"),
            (_, Workload::Pingpong) => "1 byte there and back".into(),
            (_, Workload::Idle) => "idle tunnel".into(),
            (_, Workload::Lookup) => "lookup, cached".into(),
            (Door::Dns, Workload::Tunnel) | (_, Workload::Crowd) => self.workload.as_str().into(),
        }
    }

    /// The same where cases of other doors stand beside it.
    pub fn full_title(&self) -> String {
        let place = match (self.door, self.workload) {
            (_, Workload::Tunnel | Workload::Handshake | Workload::Refused | Workload::Http | Workload::Lookup) => "",
            (Door::Explicit, _) => ", CONNECT",
            (Door::Socks5, _) => ", SOCKS5",
            (Door::Gateway, _) => ", gateway",
            (Door::Dns, _) => ", DNS",
        };
        self.title() + place
    }
}

impl Suite {
    pub fn cases(self) -> Vec<Case> {
        let usual = |(door, workload): (Door, Workload)| Case::usual(door, workload);
        let with = |case: Case, setting: Setting| Case { setting, ..case };
        let default = Setting::default();
        match self {
            Suite::Doors => Door::value_variants().iter().flat_map(|door| by_door(*door)).collect(),
            Suite::Concurrency => {
                let cases = TUNNELS_AND_HTTP.into_iter().map(usual);
                cases.flat_map(|case| CONCURRENCIES.map(|concurrency| Case { concurrency, ..case })).collect()
            }
            Suite::Policy => POLICIES.map(|policy| with(usual(TUNNELS[0]), Setting { policy, ..default })).into(),
            Suite::Connections => {
                let cases = [Door::Explicit, Door::Gateway].map(|door| Case::usual(door, Workload::Idle));
                cases.into_iter().flat_map(|case| CONNECTIONS.map(|n| Case { tunnels: Some(n), ..case })).collect()
            }
            Suite::Hello => {
                variants(&TUNNELS, &[HelloKind::Classic, HelloKind::PostQuantum], |hello| Setting { hello, ..default })
            }
            Suite::Log => variants(&TUNNELS_AND_HTTP, &[LogTo::Off, LogTo::File, LogTo::SlowSink], |log| Setting {
                log,
                ..default
            }),
            Suite::Churn => variants(&TUNNELS_AND_HTTP, &[false, true], |churn| Setting { churn, ..default }),
        }
    }

    /// Everybody in the table of the doors; in curves those who are near, and in Egret's own settings Egret.
    pub fn wants(self, subject: &Subject) -> bool {
        match self {
            Suite::Doors => true,
            Suite::Log => matches!(subject, Subject::Egret(_)),
            Suite::Concurrency | Suite::Policy | Suite::Connections | Suite::Hello | Suite::Churn => {
                let far_behind = [Peer::Sniproxy, Peer::Mitmproxy, Peer::MitmproxyPassthrough].map(Subject::Peer);
                let bare = [Subject::Direct, Subject::Floor(Floor::Splice)];
                !far_behind.contains(subject) && !bare.contains(subject)
            }
        }
    }
}

fn by_door(door: Door) -> Vec<Case> {
    let mut cases = Vec::new();
    for case in Workload::of(door).iter().map(|workload| Case::usual(door, *workload)) {
        if case.is_bulk() {
            cases.push(Case { concurrency: 1, ..case });
        }
        cases.push(case);
    }
    cases
}

fn variants<T: Copy>(of: &[(Door, Workload)], values: &[T], setting: impl Fn(T) -> Setting) -> Vec<Case> {
    let each = |&(door, workload): &(Door, Workload)| {
        let case = Case::usual(door, workload);
        values.iter().map(|value| Case { setting: setting(*value), ..case }).collect::<Vec<_>>()
    };
    of.iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_has_its_cases_once() {
        for suite in Suite::value_variants() {
            let cases = suite.cases();
            assert!(cases.len() >= 2, "{suite:?}");
            for (at, case) in cases.iter().enumerate() {
                assert!(!cases[..at].contains(case), "{suite:?}: {case:?} twice");
                assert!(case.workload.fits(case.door), "{suite:?}: {case:?} makes no sense");
            }
        }
    }

    #[test]
    fn the_doors_are_as_usual_and_have_names_of_their_own() {
        let cases = Suite::Doors.cases();
        assert!(cases.iter().all(Case::is_usual));
        let mut titles: Vec<String> = cases.iter().map(Case::full_title).collect();
        titles.sort();
        let all = titles.clone();
        titles.dedup();
        assert_eq!(titles, all);
        assert!(Suite::Policy.cases().iter().all(|case| !case.is_usual()));
    }
}
