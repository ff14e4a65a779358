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

/// Dependencies that flows were denied and that are told apart; further ones are *not kept*: those there are make it
/// unhealthy as well.
const KEPT: usize = 256;

/// Denials of flows that are further apart than this are not one that goes on: what depends on something asks for it more
/// often. A flow that met a denial and has no successor says no more after it.
const TOGETHER: Duration = Duration::from_secs(300);

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
    /// What policy, groups and routes deny by themselves, and since when.
    judged: BTreeMap<Arc<str>, Duration>,
    /// What flows were denied.
    met: BTreeMap<Arc<str>, Met>,
}

/// Denials of flows to one dependency, none of them long after another.
#[derive(Debug, Clone, Copy)]
struct Met {
    first: Duration,
    last: Duration,
}

impl Health {
    pub(super) fn new(limits: HealthConfig, state: EnvironmentState) -> Health {
        Health { limits, state, since: Duration::ZERO, judged: BTreeMap::new(), met: BTreeMap::new() }
    }

    pub(super) fn state(&self) -> EnvironmentState {
        self.state
    }

    /// What is out of reach, each once.
    pub(super) fn unreachable(&self) -> Vec<Arc<str>> {
        let names: BTreeSet<Arc<str>> = self.judged.keys().chain(self.met.keys()).cloned().collect();
        names.into_iter().collect()
    }

    /// A flow to the dependency was denied.
    pub(super) fn denied(&mut self, now: Duration, dependency: &Arc<str>) {
        self.forget(now);
        if let Some(met) = self.met.get_mut(dependency) {
            met.last = now;
        } else if self.met.len() < KEPT {
            self.met.insert(dependency.clone(), Met { first: now, last: now });
        }
    }

    /// A flow to it was let through.
    pub(super) fn reached(&mut self, dependency: &Arc<str>) {
        self.met.remove(dependency);
    }

    /// All that a policy denies, and the network around it. What flows met of those before tells nothing any more.
    pub(super) fn judged(&mut self, now: Duration, denied: &BTreeSet<Arc<str>>) {
        self.met.clear();
        self.judged.retain(|name, _| denied.contains(name));
        denied.iter().for_each(|name| _ = self.judged.entry(name.clone()).or_insert(now));
    }

    /// What time makes of it.
    pub(super) fn tick(&mut self, now: Duration) -> Option<Transition> {
        self.forget(now);
        let to = match self.state {
            EnvironmentState::Healthy if self.goes_on(now, |first| first + self.limits.unhealthy_after) => {
                self.since = now;
                EnvironmentState::Unhealthy
            }
            EnvironmentState::Unhealthy if self.judged.is_empty() && self.met.is_empty() => EnvironmentState::Healthy,
            EnvironmentState::Unhealthy if self.goes_on(now, |_| self.since + self.limits.suspended_after) => {
                EnvironmentState::Suspended
            }
            _ => return None,
        };
        self.go(to, EnvironmentWhy::Dependencies)
    }

    /// Is something denied still when its time is over? A flow is a witness of its own moment only.
    fn goes_on(&self, now: Duration, until: impl Fn(Duration) -> Duration) -> bool {
        let judged = self.judged.values().map(|since| (*since, now));
        let met = self.met.values().map(|met| (met.first, met.last));
        judged.chain(met).any(|(first, last)| last >= until(first))
    }

    fn forget(&mut self, now: Duration) {
        self.met.retain(|_, met| now <= met.last + TOGETHER);
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
            self.judged.values_mut().for_each(|since| *since = now);
            self.met.clear();
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

    /// A flow to it is denied each minute from one to the other.
    fn denied_from(health: &mut Health, first: u64, last: u64) {
        (first..=last).step_by(60).for_each(|secs| health.denied(at(secs), &login()));
    }

    #[test]
    fn from_healthy_to_suspended_and_back_by_hand() {
        let mut health = health();
        health.judged(at(10), &BTreeSet::from([login()]));
        health.judged(at(200), &BTreeSet::from([login(), "RT-MGMT".into()]));
        assert_eq!(to(&mut health, 309), None);
        assert_eq!(to(&mut health, 310), Some(Unhealthy));
        assert_eq!(to(&mut health, 3909), None);
        assert_eq!(to(&mut health, 3910), Some(Down));
        health.judged(at(4000), &BTreeSet::new());
        assert_eq!(to(&mut health, 99_999), None, "it comes back by hand only");
        let resumed = health.obey(at(100_000), Order::Resume).unwrap();
        assert_eq!(resumed, Some(Transition { to: Healthy, why: EnvironmentWhy::Asked }));
    }

    #[test]
    fn what_flows_meet_again_and_again_suspends() {
        let mut health = health();
        denied_from(&mut health, 0, 300);
        assert_eq!(to(&mut health, 300), Some(Unhealthy));
        denied_from(&mut health, 360, 3840);
        assert_eq!(to(&mut health, 3899), None);
        denied_from(&mut health, 3900, 3900);
        assert_eq!(to(&mut health, 3900), Some(Down));
    }

    /// It is denied no longer than somebody says so: neither does one packet make it unhealthy, nor does one that was long
    /// denied suspend it once nobody asks for it any more.
    #[test]
    fn a_denial_with_no_successor_is_forgotten() {
        let mut health = health();
        health.denied(at(0), &login());
        assert_eq!(to(&mut health, 300), None, "once is not for long");
        health.denied(at(700), &login());
        assert_eq!(to(&mut health, 1000), None, "that is another one");
        denied_from(&mut health, 1000, 1300);
        assert_eq!(to(&mut health, 1300), Some(Unhealthy));
        assert_eq!(to(&mut health, 1600), None);
        assert_eq!(to(&mut health, 1601), Some(Healthy));
        assert_eq!(health.unreachable(), [] as [Arc<str>; 0]);
    }

    #[test]
    fn what_is_reached_again_in_time_does_no_harm() {
        let mut health = health();
        denied_from(&mut health, 0, 240);
        health.reached(&login());
        denied_from(&mut health, 300, 480);
        assert_eq!(to(&mut health, 480), None);
        denied_from(&mut health, 540, 600);
        assert_eq!(to(&mut health, 600), Some(Unhealthy));
        health.reached(&login());
        assert_eq!(to(&mut health, 601), Some(Healthy));
    }

    #[test]
    fn what_the_policy_says_is_not_mended_by_a_flow() {
        let mut health = health();
        let denied = BTreeSet::from([login()]);
        health.judged(at(0), &denied);
        health.judged(at(200), &denied);
        health.reached(&login());
        assert_eq!(to(&mut health, 300), Some(Unhealthy));
        health.judged(at(301), &BTreeSet::new());
        assert_eq!(to(&mut health, 301), Some(Healthy));
    }

    #[test]
    fn another_policy_judges_anew() {
        let mut health = health();
        health.judged(at(0), &BTreeSet::from(["RT-MGMT".into()]));
        health.denied(at(0), &login());
        assert_eq!(health.unreachable(), ["RT-MGMT".into(), login()]);
        health.judged(at(1), &BTreeSet::from(["OUT-DNS".into()]));
        assert_eq!(health.unreachable(), ["OUT-DNS".into()]);
    }

    #[test]
    fn orders() {
        let mut health = health();
        assert_eq!(health.obey(at(0), Order::Suspend).unwrap().map(|it| it.to), Some(Down));
        assert_eq!(health.obey(at(0), Order::Suspend), Ok(None));
        assert_eq!(health.obey(at(0), Order::Reboot), Err(Suspended));
        health.judged(at(5), &BTreeSet::from([login()]));
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
            health.denied(at(0), &format!("{n}.test:443").into());
        }
        assert_eq!(health.unreachable().len(), KEPT);
    }
}
