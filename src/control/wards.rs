//! The App Service Environments of the topology, followed while flows go on.
//!
//! Three tell of a dependency: the policy and the network around it, asked each [`TICK`] what they would say to the
//! environment, and to the platform that manages it; flows from its
//! subnet, as they are decided; and probes, when somebody asked for them. What is denied for long makes the
//! environment unhealthy, then suspended ([`health`](super::health)), and each change goes to the log, the metrics and
//! whoever asks the API.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use crate::azure::ase::{Asked, Category, Dependencies, Dependency, ResourceId, Workers};
use crate::azure::shape::kinds::ENVIRONMENT;
use crate::config::HealthConfig;
use crate::doctor::{self, Finding, Patient, Severity};
use crate::flow::{Authority, Host, Protocol, Verdict, Via};
use crate::policy::{Address, AddressRange, Query};
use crate::proxy::{Active, Outcome, Shared};
use crate::telemetry::{EnvironmentHealth, EnvironmentRecord, EnvironmentState, Event, FlowRecord, Seen, Sighted};
use crate::vnet::{AppServiceEnvironment, AseVersion, Network, Place};

use super::health::{Health, Order, Suspended, Transition, Witness};
use super::reload::Reloader;

/// How often the policy is asked, and clocks are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Dependencies that a record names.
const NAMED: usize = 16;

/// Stands for a host of the Internet (RFC 5737): nothing is sent to it.
const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// All environments there are, and what became of them.
pub(super) struct Wards {
    limits: HealthConfig,
    shared: Arc<Shared>,
    reloader: Arc<Reloader>,
    started: Instant,
    all: Mutex<All>,
    /// Locked while the doctor is asked of another network.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct All {
    network: Option<Arc<Network>>,
    policy_hash: Option<Arc<str>>,
    /// It grows with each network and policy that is taken up.
    edition: u64,
    wards: Vec<Ward>,
    /// There are others than those whose flows are followed. It stands until [`Wards::look`] takes it, whoever renews.
    moved: bool,
}

struct Ward {
    name: Arc<str>,
    id: Arc<str>,
    /// On whose behalf the policy is asked.
    client: IpAddr,
    clients: Vec<IpNet>,
    services: Vec<(Category, IpAddr)>,
    /// None of version 3, which depends on nothing here.
    dependencies: Option<Dependencies>,
    shown: Vec<Dependency>,
    /// What keeps the platform from reaching it, by the doctor's rules.
    inbound: Vec<Arc<str>>,
    workers: Workers,
    health: Health,
}

/// What the API shows of an environment beside the topology.
pub(super) struct Fares {
    pub(super) state: EnvironmentState,
    pub(super) client: IpAddr,
    pub(super) shown: Vec<Dependency>,
    /// Some of what it does not reach.
    pub(super) unreachable: Vec<Arc<str>>,
    /// Of the network and the policy that this is of.
    pub(super) edition: u64,
}

impl Wards {
    pub(super) fn new(limits: HealthConfig, shared: Arc<Shared>, reloader: Arc<Reloader>) -> Wards {
        let (mut all, network, active) = (All::default(), reloader.network(), shared.active());
        let barred = network.as_deref().map(barred);
        all.take_up(limits, network, &active, barred);
        let (started, all, renewing) = (Instant::now(), Mutex::new(all), tokio::sync::Mutex::default());
        Wards { limits, shared, reloader, started, all, renewing }
    }

    /// For ever.
    pub(super) async fn follow(&self) {
        let mut sighted = self.watch();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(record) = sighted.next() => self.see(&record),
                _ = tick.tick() => {
                    if self.look().await {
                        sighted = self.watch();
                    }
                }
            }
        }
    }

    pub(super) async fn fares(&self, name: &str) -> Option<Fares> {
        self.renew().await;
        let all = self.all();
        let ward = all.wards.iter().find(|ward| ward.name.eq_ignore_ascii_case(name))?;
        let (state, client, shown, edition) = (ward.health.state(), ward.client, ward.shown.clone(), all.edition);
        Some(Fares { state, client, shown, unreachable: ward.unreachable(), edition })
    }

    /// Everything that an environment depends on, what is shown among it.
    pub(super) fn everything(&self, name: &str) -> Vec<Dependency> {
        let known = {
            let all = self.all();
            let ward = all.wards.iter().find(|ward| ward.name.eq_ignore_ascii_case(name));
            ward.and_then(|ward| Some((ward.dependencies.clone()?, ward.workers)))
        };
        known.map(|(dependencies, workers)| dependencies.all(workers)).unwrap_or_default()
    }

    /// # Errors
    ///
    /// It is suspended, and that is not the way out of it.
    pub(super) async fn obey(&self, name: &str, order: Order) -> Result<(), Suspended> {
        let now = self.started.elapsed();
        let record = {
            let mut all = self.all();
            let Some(ward) = all.wards.iter_mut().find(|ward| ward.name.eq_ignore_ascii_case(name)) else {
                return Ok(());
            };
            let transition = ward.health.obey(now, order)?;
            transition.map(|transition| ward.record(&transition))
        };
        self.publish(record.into_iter().collect()).await;
        Ok(())
    }

    /// What a probe met.
    pub(super) fn probed(&self, name: &str, label: &Arc<str>, outcome: Outcome) {
        let now = self.started.elapsed();
        let mut all = self.all();
        if let Some(ward) = all.wards.iter_mut().find(|ward| ward.name.eq_ignore_ascii_case(name)) {
            match outcome {
                Outcome::Reached => ward.health.reached(Witness::Probe, label),
                Outcome::Denied(_) | Outcome::Failed(_) => ward.health.denied(now, Witness::Probe, label),
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        // Each of its values is whole between any two statements.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> Sighted {
        let clients = self.all().wards.iter().flat_map(|ward| ward.clients.clone()).collect();
        self.shared.log.follow(clients)
    }

    fn see(&self, record: &FlowRecord) {
        let now = self.started.elapsed();
        let mut all = self.all();
        let from = |ward: &&mut Ward| ward.clients.iter().any(|net| net.contains(&record.counted_as()));
        if let Some(ward) = all.wards.iter_mut().find(from) {
            ward.see(now, record);
        }
    }

    /// True where there are other environments than before.
    async fn look(&self) -> bool {
        self.renew().await;
        let now = self.started.elapsed();
        let (moved, records) = {
            let mut all = self.all();
            let moved = std::mem::take(&mut all.moved);
            let active = self.shared.active();
            let records = all.wards.iter_mut().filter_map(|ward| ward.look(now, &active)).collect::<Vec<_>>();
            self.shared.metrics.set_environments(all.wards.iter().map(Ward::measured).collect());
            (moved, records)
        };
        self.publish(records).await;
        moved
    }

    async fn publish(&self, records: Vec<EnvironmentRecord>) {
        for record in records {
            let (name, state) = (&record.name, record.state.as_str());
            tracing::warn!(environment = %name, unreachable = ?record.unreachable, "an App Service Environment is {state}");
            self.shared.log.record(Event::Environment(record)).await;
        }
    }

    /// Takes up another topology or policy.
    async fn renew(&self) {
        let _turn = self.renewing.lock().await;
        let (network, active) = (self.reloader.network(), self.shared.active());
        let (same_network, same_policy) = {
            let all = self.all();
            (all.is_of(network.as_ref()), all.policy_hash.as_ref() == Some(active.policy.hash()))
        };
        if same_network && same_policy {
            return;
        }
        let barred = match &network {
            Some(network) if !same_network => Some(examined(network.clone()).await),
            _ => None,
        };
        self.all().take_up(self.limits, network, &active, barred);
    }
}

/// What keeps the platform from reaching each environment, in the order of the topology.
type Barred = Vec<Vec<Arc<str>>>;

impl All {
    fn is_of(&self, network: Option<&Arc<Network>>) -> bool {
        match (&self.network, network) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (old, new) => old.is_none() && new.is_none(),
        }
    }

    /// An environment of the same name goes on as it was. Without `barred` the network is the same.
    fn take_up(
        &mut self,
        limits: HealthConfig,
        network: Option<Arc<Network>>,
        active: &Active,
        barred: Option<Barred>,
    ) {
        self.moved |= !self.is_of(network.as_ref());
        let mut old = std::mem::take(&mut self.wards);
        let environments = network.as_deref().map(|it| it.topology().environments.as_slice()).unwrap_or_default();
        for (at, environment) in environments.iter().enumerate() {
            let Some(network) = &network else { break };
            let before = old.iter().position(|ward| *ward.name == *environment.name).map(|at| old.swap_remove(at));
            let found = barred.as_ref().and_then(|all| all.get(at)).cloned();
            let (health, inbound) = match before {
                Some(ward) => (ward.health, found.unwrap_or(ward.inbound)),
                None => (Health::new(limits, at_first(environment)), found.unwrap_or_default()),
            };
            let mut ward = Ward::new(network, environment, active, health, inbound);
            ward.health.policy_changed();
            self.wards.push(ward);
        }
        self.network = network;
        self.policy_hash = Some(active.policy.hash().clone());
        self.edition += 1;
    }
}

impl Ward {
    fn new(
        network: &Network,
        environment: &AppServiceEnvironment,
        active: &Active,
        health: Health,
        inbound: Vec<Arc<str>>,
    ) -> Ward {
        let topology = network.topology();
        let place = network.place(&environment.virtual_network, &environment.subnet);
        let clients = place.map(|place| network.subnet(place).prefixes.clone()).unwrap_or_default();
        let policies = active.policy.rules().policies.iter().map(|policy| policy.name.as_str());
        let dependencies =
            (environment.version < AseVersion::V3).then(|| Dependencies::of(network.tags().cloud(), policies));
        let id = ResourceId::of(topology, ENVIRONMENT, &environment.name, Asked::nowhere(topology));
        Ward {
            name: environment.name.as_str().into(),
            id: id.to_string().into(),
            client: client_of(environment, network, place),
            services: services(network),
            clients,
            shown: dependencies.as_ref().map(Dependencies::shown).unwrap_or_default(),
            dependencies,
            inbound,
            workers: Workers::of(environment),
            health,
        }
    }

    fn see(&mut self, now: Duration, record: &FlowRecord) {
        let (Some(dependencies), Some(Seen::Valid(host))) = (&self.dependencies, &record.host) else { return };
        let FlowRecord { protocol, port, verdict, reason, .. } = record;
        if !dependencies.hold(host, *protocol, *port, self.workers) {
            return;
        }
        let label: Arc<str> = match (host, protocol) {
            (_, Protocol::Udp) => format!("udp/{port}").into(),
            (host, _) => Authority { host: host.clone(), port: *port }.to_string().into(),
        };
        match verdict {
            Verdict::Allow => self.health.reached(Witness::Flow, &label),
            Verdict::Deny if reason.is_denial() => self.health.denied(now, Witness::Flow, &label),
            // The client left, or there was no room: that says nothing of the dependency.
            Verdict::Deny => {}
        }
    }

    fn look(&mut self, now: Duration, active: &Active) -> Option<EnvironmentRecord> {
        let each = self.shown.iter().flat_map(|it| it.ports.iter().map(move |port| (it, *port)));
        let outbound = each.filter(|(dependency, port)| !is_allowed(active, self, dependency, *port));
        let outbound = outbound.map(|(dependency, port)| label(dependency, port));
        let denied: BTreeSet<Arc<str>> = outbound.chain(self.inbound.iter().cloned()).collect();
        self.health.judged(now, &denied);
        let transition = self.health.tick(now)?;
        Some(self.record(&transition))
    }

    fn somewhere(&self, category: Category) -> IpAddr {
        let of_service = self.services.iter().find(|(service, _)| *service == category);
        of_service.map_or(SOMEWHERE, |(_, address)| *address)
    }

    fn record(&self, transition: &Transition) -> EnvironmentRecord {
        EnvironmentRecord {
            ts: Timestamp::now(),
            name: self.name.clone(),
            id: self.id.clone(),
            state: transition.to,
            why: transition.why,
            unreachable: self.unreachable(),
        }
    }

    /// As many as are named.
    fn unreachable(&self) -> Vec<Arc<str>> {
        let mut unreachable = self.health.unreachable();
        unreachable.truncate(NAMED);
        unreachable
    }

    fn measured(&self) -> EnvironmentHealth {
        let unreachable = self.health.unreachable().len();
        EnvironmentHealth { name: self.name.clone(), state: self.health.state(), unreachable }
    }
}

/// As the topology has it.
fn at_first(environment: &AppServiceEnvironment) -> EnvironmentState {
    if environment.suspended { EnvironmentState::Suspended } else { EnvironmentState::Healthy }
}

/// `login.windows.net:443`
pub(super) fn label(dependency: &Dependency, port: u16) -> Arc<str> {
    format!("{}:{port}", dependency.domain_name).into()
}

/// Would a flow to it get through? Security group and route are asked about an address that stands for its own; where
/// only the firewall denies it, and only its own address could tell, it counts as allowed.
fn is_allowed(active: &Active, ward: &Ward, dependency: &Dependency, port: u16) -> bool {
    let host = Host::Name(dependency.host.clone());
    let query = Query::new(Some(ward.client), Protocol::usual(port), &host, port);
    let query = Query { path: (port == 80).then_some("/"), ..query.outbound() };
    let stands_for = Address::Given(ward.somewhere(dependency.category));
    let decision = active.egress(Via::Gateway).decide(&query.with_address(stands_for), 0).decision;
    if decision.verdict == Verdict::Allow || decision.reason.is_before_firewall() {
        return decision.verdict == Verdict::Allow;
    }
    let by_name = active.policy.decide_at_firewall(&query);
    by_name.verdict == Verdict::Allow || active.policy.is_decided_by_address(by_name, port)
}

/// The internal address, or one that a new machine in the subnet would be given.
fn client_of(environment: &AppServiceEnvironment, network: &Network, place: Option<Place>) -> IpAddr {
    let is_there = |own: &IpAddr| place.is_some_and(|place| network.subnet(place).contains(*own));
    let own = environment.internal_address.filter(is_there);
    let first = || network.free_address(place?, None);
    own.or_else(first).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// What the doctor finds of the platform's way in to each environment: `inbound IN-MGMT`. The way out is followed flow by
/// flow.
///
/// It takes its time with a large network: see [`examined`].
fn barred(network: &Network) -> Barred {
    let of = |environment: &AppServiceEnvironment| {
        let place = network.place(&environment.virtual_network, &environment.subnet);
        place.map(|place| inbound(network, environment, place)).unwrap_or_default()
    };
    network.topology().environments.iter().map(of).collect()
}

/// The same on another thread: who asks for anything else does not wait for it.
async fn examined(network: Arc<Network>) -> Barred {
    tokio::task::spawn_blocking(move || barred(&network)).await.unwrap_or_else(|panic| {
        tracing::error!("the doctor ended in a panic; please report it: {panic}");
        Vec::new()
    })
}

fn inbound(network: &Network, environment: &AppServiceEnvironment, place: Place) -> Vec<Arc<str>> {
    let patient = Patient { network, environment, place, policy: None };
    let diagnosis = doctor::examine_inbound(&patient);
    let grave = |it: &&&Finding| it.severity >= Severity::Unhealthy;
    diagnosis.findings().iter().filter(grave).map(|it| format!("inbound {}", it.rule.id).into()).collect()
}

/// An address of each service that has a tag of its own.
fn services(network: &Network) -> Vec<(Category, IpAddr)> {
    let tags = [(Category::Storage, "Storage"), (Category::Sql, "Sql")];
    let first = |tag| network.tags().published(tag)?.iter().copied().map(AddressRange::first).find(IpAddr::is_ipv4);
    tags.into_iter().filter_map(|(category, tag)| Some((category, first(tag)?))).collect()
}
