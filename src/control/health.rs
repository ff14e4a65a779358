//! How an App Service Environment fares: reachable, unhealthy once something that it depends on has been out of its reach
//! for long enough, suspended once that has gone on for longer still.
//!
//! Pure: it is told what was seen and what time it is, as a duration from any beginning. The order of states is
//! documented (Networking considerations for an App Service Environment, 2017 and 2022), the durations are not: they are
//! options. It leaves *suspended* by hand only, as in Azure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::config::HealthConfig;
use crate::telemetry::{EnvironmentState, EnvironmentWhy};

/// Dependencies out of reach that are told apart; further ones are *not kept*: those there are make it unhealthy as well.
const KEPT: usize = 256;

/// What somebody saw of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Witness {
    /// The policy and the network around it, asked without a flow.
    Policy,
    /// A flow from the environment's subnet.
    Flow,
    /// A probe.
    Probe,
}

/// What somebody asks of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Suspend,
    Resume,
    Reboot,
}

/// It went to another state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transition {
    pub(super) to: EnvironmentState,
    pub(super) why: EnvironmentWhy,
}

#[derive(Debug)]
pub(super) struct Health {
    limits: HealthConfig,
    state: EnvironmentState,
    /// When it went to *unhealthy*.
    since: Duration,
    /// What is out of reach, by whose word, and since when.
    broken: BTreeMap<(Arc<str>, Witness), Duration>,
}

impl Health {
    pub(super) fn new(limits: HealthConfig, state: EnvironmentState) -> Health {
        Health { limits, state, since: Duration::ZERO, broken: BTreeMap::new() }
    }

    pub(super) fn state(&self) -> EnvironmentState {
        self.state
    }

    /// What is out of reach, each once.
    pub(super) fn unreachable(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = self.broken.keys().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names
    }

    /// The dependency is out of reach, and was from when that was first seen.
    pub(super) fn denied(&mut self, now: Duration, witness: Witness, dependency: &Arc<str>) {
        let key = (dependency.clone(), witness);
        if self.broken.len() < KEPT || self.broken.contains_key(&key) {
            self.broken.entry(key).or_insert(now);
        }
    }

    /// The same witness, or one that saw more, no longer finds it out of reach. Of a flow it is known that it was let
    /// through, and not what became of it; a probe got to the other side, as flows do.
    pub(super) fn reached(&mut self, by: Witness, dependency: &Arc<str>) {
        let mended: &[Witness] = match by {
            Witness::Policy => &[Witness::Policy],
            Witness::Flow => &[Witness::Flow],
            Witness::Probe => &[Witness::Flow, Witness::Probe],
        };
        for witness in mended {
            self.broken.remove(&(dependency.clone(), *witness));
        }
    }

    /// All that the policy denies, and the network around it.
    pub(super) fn judged(&mut self, now: Duration, denied: &BTreeSet<Arc<str>>) {
        self.broken.retain(|(name, witness), _| *witness != Witness::Policy || denied.contains(name));
        denied.iter().for_each(|name| self.denied(now, Witness::Policy, name));
    }

    /// Another policy is in force: what flows and probes met before tells nothing any more.
    pub(super) fn policy_changed(&mut self) {
        self.broken.retain(|(_, witness), _| *witness == Witness::Policy);
    }

    /// What time makes of it.
    pub(super) fn tick(&mut self, now: Duration) -> Option<Transition> {
        let oldest = self.broken.values().min().copied();
        let to = match (self.state, oldest) {
            (EnvironmentState::Healthy, Some(since)) if now >= since + self.limits.unhealthy_after => {
                self.since = now;
                EnvironmentState::Unhealthy
            }
            (EnvironmentState::Unhealthy, None) => EnvironmentState::Healthy,
            (EnvironmentState::Unhealthy, Some(_)) if now >= self.since + self.limits.suspended_after => {
                EnvironmentState::Suspended
            }
            _ => return None,
        };
        self.go(to, EnvironmentWhy::Dependencies)
    }

    /// What becomes of it on request. A reboot of a suspended environment is refused.
    pub(super) fn obey(&mut self, now: Duration, order: Order) -> Result<Option<Transition>, Suspended> {
        let to = match order {
            Order::Suspend => EnvironmentState::Suspended,
            Order::Resume => EnvironmentState::Healthy,
            Order::Reboot if self.state == EnvironmentState::Suspended => return Err(Suspended),
            Order::Reboot => EnvironmentState::Healthy,
        };
        if self.state != to || order == Order::Reboot {
            // Its patience starts anew.
            self.broken.values_mut().for_each(|since| *since = now);
        }
        Ok(self.go(to, EnvironmentWhy::Asked))
    }

    fn go(&mut self, to: EnvironmentState, why: EnvironmentWhy) -> Option<Transition> {
        let from = std::mem::replace(&mut self.state, to);
        (from != to).then_some(Transition { to, why })
    }
}

/// It is suspended: only resuming helps.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Suspended;

#[cfg(test)]
mod tests {
    use super::*;
    use EnvironmentState::{Healthy, Suspended as Down, Unhealthy};

    fn health() -> Health {
        let (unhealthy_after, suspended_after) = (Duration::from_secs(300), Duration::from_secs(3600));
        Health::new(HealthConfig { unhealthy_after, suspended_after }, Healthy)
    }

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn login() -> Arc<str> {
        "login.windows.net:443".into()
    }

    fn to(health: &mut Health, secs: u64) -> Option<EnvironmentState> {
        health.tick(at(secs)).map(|transition| transition.to)
    }

    #[test]
    fn from_healthy_to_suspended_and_back_by_hand() {
        let mut health = health();
        health.denied(at(10), Witness::Flow, &login());
        health.denied(at(200), Witness::Flow, &login());
        assert_eq!(to(&mut health, 309), None);
        assert_eq!(to(&mut health, 310), Some(Unhealthy));
        assert_eq!(to(&mut health, 3909), None);
        assert_eq!(to(&mut health, 3910), Some(Down));
        health.reached(Witness::Flow, &login());
        assert_eq!(to(&mut health, 99_999), None, "it comes back by hand only");
        let resumed = health.obey(at(100_000), Order::Resume).unwrap();
        assert_eq!(resumed, Some(Transition { to: Healthy, why: EnvironmentWhy::Asked }));
    }

    #[test]
    fn what_is_reached_again_in_time_does_no_harm() {
        let mut health = health();
        health.denied(at(0), Witness::Flow, &login());
        health.reached(Witness::Flow, &login());
        assert_eq!(to(&mut health, 1000), None);
        health.denied(at(1000), Witness::Flow, &login());
        assert_eq!(to(&mut health, 1300), Some(Unhealthy));
        health.reached(Witness::Probe, &login());
        assert_eq!(to(&mut health, 1301), Some(Healthy));
    }

    #[test]
    fn what_the_policy_says_is_not_mended_by_a_flow() {
        let mut health = health();
        let denied = BTreeSet::from([login()]);
        health.judged(at(0), &denied);
        health.judged(at(200), &denied);
        health.reached(Witness::Flow, &login());
        health.reached(Witness::Probe, &login());
        assert_eq!(to(&mut health, 300), Some(Unhealthy));
        health.judged(at(301), &BTreeSet::new());
        assert_eq!(to(&mut health, 301), Some(Healthy));
    }

    /// That it was let through says nothing of the other side.
    #[test]
    fn what_a_probe_met_is_not_mended_by_a_flow() {
        let mut health = health();
        health.denied(at(0), Witness::Probe, &login());
        health.reached(Witness::Flow, &login());
        assert_eq!(to(&mut health, 300), Some(Unhealthy));
        health.reached(Witness::Probe, &login());
        assert_eq!(to(&mut health, 301), Some(Healthy));
    }

    #[test]
    fn another_policy_judges_anew() {
        let mut health = health();
        for witness in [Witness::Flow, Witness::Probe, Witness::Policy] {
            health.denied(at(0), witness, &login());
        }
        assert_eq!(health.unreachable(), [login()]);
        health.policy_changed();
        assert_eq!(health.broken.keys().map(|(_, witness)| *witness).collect::<Vec<_>>(), [Witness::Policy]);
    }

    #[test]
    fn orders() {
        let mut health = health();
        assert_eq!(health.obey(at(0), Order::Suspend).unwrap().map(|it| it.to), Some(Down));
        assert_eq!(health.obey(at(0), Order::Suspend), Ok(None));
        assert_eq!(health.obey(at(0), Order::Reboot), Err(Suspended));
        health.denied(at(5), Witness::Policy, &login());
        assert_eq!(health.obey(at(1000), Order::Resume).unwrap().map(|it| it.to), Some(Healthy));
        assert_eq!(to(&mut health, 1299), None, "its patience starts anew");
        assert_eq!(to(&mut health, 1300), Some(Unhealthy));
        assert_eq!(health.obey(at(1400), Order::Reboot).unwrap().map(|it| it.to), Some(Healthy));
        assert_eq!(health.obey(at(1400), Order::Resume), Ok(None));
        assert_eq!(Health::new(HealthConfig::default(), Down).state(), Down);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut health = health();
        for n in 0..KEPT + 10 {
            health.denied(at(0), Witness::Flow, &format!("{n}.test:443").into());
        }
        assert_eq!(health.unreachable().len(), KEPT);
    }
}
