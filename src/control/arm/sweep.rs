//! Each outbound dependency tried through the running proxy, as the outbound dependency API shows it.
//!
//! The answer of the last sweep is given again while it is fresh and the same policy is in force, in the same network. Who asks while one of
//! the same environment is under way waits for it and gets the same; other environments do not wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::azure::ase::{
    Category, Dependency, EndpointDependency, EndpointDetail, OutboundEndpoint, OutboundEnvironmentEndpointCollection,
};
use crate::flow::Reason;
use crate::proxy::{Outcome, Probe, Probed, Shared};

use super::super::wards::{Fares, Wards, label};

/// An answer this old is made anew.
const FRESH: Duration = Duration::from_secs(30);
/// What a sweep may take: what has not answered by then is not accessible.
const LONGEST: Duration = Duration::from_secs(45);

/// The last answer for each environment, by its name in lower case.
#[derive(Default)]
pub(super) struct Sweeps(StdMutex<HashMap<String, Arc<Last>>>);

/// Locked while a sweep is under way.
type Last = Mutex<Option<Arc<Swept>>>;

pub(super) struct Swept {
    pub(super) at: Instant,
    of: Edition,
    pub(super) answer: OutboundEnvironmentEndpointCollection,
}

/// What was in force, and which environments there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edition {
    generation: u64,
    wards: u64,
}

/// What a client of the API says of answers that were made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// One of the last half minute will do.
    Usual,
    /// `Cache-Control: no-cache`
    Anew,
}

impl Sweeps {
    pub(super) async fn get(
        &self,
        name: &str,
        fares: Fares,
        shared: &Shared,
        wards: &Wards,
        wanted: Freshness,
    ) -> Arc<Swept> {
        let of = || Edition { generation: shared.active().generation(), wards: fares.edition };
        self.kept(name, wanted, of, sweep(name, &fares, shared, wards)).await
    }

    /// `sweep` is begun only where no answer is at hand.
    async fn kept(
        &self,
        name: &str,
        wanted: Freshness,
        of: impl Fn() -> Edition,
        sweep: impl Future<Output = OutboundEnvironmentEndpointCollection>,
    ) -> Arc<Swept> {
        let asked = Instant::now();
        let since = if wanted == Freshness::Anew { asked } else { asked.checked_sub(FRESH).unwrap_or(asked) };
        let last = self.last(name);
        let mut last = last.lock().await;
        let of = of();
        if let Some(swept) = last.as_ref().filter(|it| it.at >= since && it.of == of) {
            return swept.clone();
        }
        let answer = sweep.await;
        let swept = Arc::new(Swept { at: Instant::now(), of, answer });
        *last = Some(swept.clone());
        swept
    }

    fn last(&self, name: &str) -> Arc<Last> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.to_ascii_lowercase()).or_default().clone()
    }
}

async fn sweep(name: &str, fares: &Fares, shared: &Shared, wards: &Wards) -> OutboundEnvironmentEndpointCollection {
    let until = Instant::now() + LONGEST;
    let mut trying = JoinSet::new();
    for (at, dependency) in fares.shown.iter().enumerate() {
        for (which, port) in dependency.ports.iter().enumerate() {
            let probe = Probe { client: fares.client, host: dependency.host.clone(), port: *port };
            let prober = shared.prober.clone();
            trying.spawn(async move {
                let probed = timeout_at(until, prober.probe(probe)).await.ok().flatten();
                ((at, which), probed.unwrap_or(LATE))
            });
        }
    }
    let mut met = HashMap::new();
    while let Some(tried) = trying.join_next().await {
        met.extend(tried.ok());
    }
    let details = |(at, dependency): (usize, &Dependency)| {
        let ports = dependency.ports.iter().enumerate();
        let details = ports.map(|(which, port)| {
            let probed = met.get(&(at, which)).copied().unwrap_or(LATE);
            if is_no_host(dependency, probed) {
                return detail(*port, Probed { outcome: Outcome::Reached, ..probed });
            }
            wards.probed(name, &label(dependency, *port), probed.outcome);
            detail(*port, probed)
        });
        EndpointDependency { domain_name: dependency.domain_name.to_string(), endpoint_details: details.collect() }
    };
    let of = |category: Category| {
        let mine = fares.shown.iter().enumerate().filter(|(_, it)| it.category == category);
        OutboundEndpoint { category: category.as_str().to_owned(), endpoints: mine.map(details).collect() }
    };
    let value = Category::ALL.into_iter().map(of).filter(|it| !it.endpoints.is_empty()).collect();
    OutboundEnvironmentEndpointCollection { value, next_link: None }
}

const LATE: Probed = Probed { addr: None, latency: None, outcome: Outcome::Failed(Reason::UpstreamTimeout) };

/// A host that stands for its zone need not exist. Then what the policy says of it is all there is to know: it counts as
/// accessible, and tells nothing of how the environment fares.
fn is_no_host(dependency: &Dependency, probed: Probed) -> bool {
    !dependency.published && probed.outcome == Outcome::Failed(Reason::NameUnresolvable)
}

fn detail(port: u16, probed: Probed) -> EndpointDetail {
    let Probed { addr, latency, outcome } = probed;
    EndpointDetail {
        ip_address: addr.map(|addr: IpAddr| addr.to_canonical()),
        port,
        latency: latency.map(milliseconds),
        is_accessible: outcome == Outcome::Reached,
    }
}

/// With four digits after the point, as the sample has them.
fn milliseconds(latency: Duration) -> f64 {
    (latency.as_secs_f64() * 1e7).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::HostName;

    #[tokio::test]
    async fn who_asks_waits_for_a_sweep_of_the_same_environment_only() {
        let none = || OutboundEnvironmentEndpointCollection { value: Vec::new(), next_link: None };
        let (sweeps, of) = (Sweeps::default(), || Edition { generation: 1, wards: 1 });
        let (end, ended) = tokio::sync::oneshot::channel();
        let slow = async {
            ended.await.unwrap();
            none()
        };
        let mut first = std::pin::pin!(sweeps.kept("one", Freshness::Usual, of, slow));
        tokio::select! {
            biased;
            _ = &mut first => panic!("nobody ended it"),
            _ = sweeps.kept("other", Freshness::Usual, of, async { none() }) => {}
            () = tokio::task::yield_now() => panic!("the other environment had to wait"),
        }
        end.send(()).unwrap();
        let again = sweeps.kept("ONE", Freshness::Anew, of, async { panic!("it is tried a second time") });
        let (second, first) = tokio::join!(again, first);
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn details() {
        let reached = Probed {
            addr: Some("::ffff:192.0.2.7".parse().unwrap()),
            latency: Some(Duration::from_nanos(42_046_949)),
            outcome: Outcome::Reached,
        };
        let json = |probed| serde_json::to_string(&detail(443, probed)).unwrap();
        assert_eq!(json(reached), r#"{"ipAddress":"192.0.2.7","port":443,"latency":42.0469,"isAccessible":true}"#);
        let denied = Probed { addr: None, latency: None, outcome: Outcome::Denied(Reason::NotAllowed) };
        assert_eq!(json(denied), r#"{"ipAddress":null,"port":443,"latency":null,"isAccessible":false}"#);
    }

    #[test]
    fn a_host_that_stands_for_its_zone_need_not_exist() {
        let name = HostName::parse("egret-probe.database.windows.net").unwrap();
        let of = |published| Dependency {
            category: Category::Sql,
            domain_name: name.clone(),
            host: name.clone(),
            published,
            ports: vec![1433],
        };
        let lost = Probed { outcome: Outcome::Failed(Reason::NameUnresolvable), ..LATE };
        assert!(is_no_host(&of(false), lost));
        assert!(!is_no_host(&of(true), lost));
        let denied = Probed { outcome: Outcome::Denied(Reason::NotAllowed), ..LATE };
        assert!(!is_no_host(&of(false), denied));
    }
}
