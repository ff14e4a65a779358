//! The App Service Environments of the topology, followed while flows go on.
//!
//! Two tell of a dependency: the policy and the network around it, asked at each change of theirs what they would say to
//! the environment, by the doctor's rules and for each name of the API; and flows from its subnet, as they are decided. What
//! is denied for long makes the environment unhealthy, then suspended
//! ([`health`](super::health)), and each change goes to the log, the metrics and whoever asks the API.
//!
//! What fails is not denied, and has no part in it: Egret's own way to an origin is not the environment's. Nor has a probe,
//! but that one that gets through takes back what a flow met.

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
use crate::doctor::{self, Patient, Severity};
use crate::flow::{Authority, Host, Protocol, Verdict, Via};
use crate::policy::{Address, AddressRange, Query};
use crate::proxy::{Active, Outcome, Shared};
use crate::telemetry::{EnvironmentHealth, EnvironmentRecord, EnvironmentState, Event, FlowRecord, Seen, Sighted};
use crate::vnet::{AppServiceEnvironment, AseVersion, HOST, Network, Place};

use super::health::{Health, Order, Suspended, Transition};
use super::reload::Reloader;

/// How often clocks are looked at, and whether there is another policy or network.
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
    /// Locked while the doctor is asked of another network or policy.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct All {
    network: Option<Arc<Network>>,
    /// Of the policy in force; None before the first.
    generation: Option<u64>,
    /// It grows with each network and policy that is taken up.
    edition: u64,
    wards: Vec<Ward>,
    /// There are others than those whose flows are followed. It stands until [`Wards::look`] takes it, whoever renews.
    moved: bool,
}

struct Ward {
    subject: Arc<Subject>,
    health: Health,
}

/// An environment as the topology and the policy have it.
struct Subject {
    name: Arc<str>,
    id: Arc<str>,
    environment: AppServiceEnvironment,
    /// None where its subnet is not in the topology.
    place: Option<Place>,
    /// On whose behalf the policy is asked.
    client: IpAddr,
    clients: Vec<IpNet>,
    /// Who resolves names for it.
    servers: Vec<IpAddr>,
    services: Vec<(Category, IpAddr)>,
    /// None of version 3, which depends on nothing here.
    dependencies: Option<Dependencies>,
    shown: Vec<Dependency>,
    workers: Workers,
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
        let (started, all, renewing) = (Instant::now(), Mutex::default(), tokio::sync::Mutex::default());
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
        let ward = all.wards.iter().find(|ward| ward.is_named(name))?;
        let Ward { subject, health } = ward;
        let (state, client, shown, edition) = (health.state(), subject.client, subject.shown.clone(), all.edition);
        Some(Fares { state, client, shown, unreachable: ward.unreachable(), edition })
    }

    /// Everything that an environment depends on, what is shown among it.
    pub(super) fn everything(&self, name: &str) -> Vec<Dependency> {
        let known = {
            let all = self.all();
            let ward = all.wards.iter().find(|ward| ward.is_named(name));
            ward.and_then(|ward| Some((ward.subject.dependencies.clone()?, ward.subject.workers)))
        };
        known.map(|(dependencies, workers)| dependencies.all(workers)).unwrap_or_default()
    }

    /// # Errors
    ///
    /// It is suspended, and that is not the way out of it.
    pub(super) async fn obey(&self, name: &str, order: Order) -> Result<(), Suspended> {
        self.renew().await;
        let now = self.started.elapsed();
        let record = {
            let mut all = self.all();
            let Some(ward) = all.wards.iter_mut().find(|ward| ward.is_named(name)) else {
                return Ok(());
            };
            let transition = ward.health.obey(now, order)?;
            transition.map(|transition| ward.record(&transition))
        };
        self.publish(record.into_iter().collect()).await;
        Ok(())
    }

    /// What a probe met. Whoever looks does no harm by it: what it is denied flows are denied too, or nobody asks for it.
    pub(super) fn probed(&self, name: &str, label: &Arc<str>, outcome: Outcome) {
        let mut all = self.all();
        if let Some(ward) = all.wards.iter_mut().find(|ward| ward.is_named(name)) {
            match outcome {
                Outcome::Reached => ward.health.reached(label),
                Outcome::Denied(_) | Outcome::Failed(_) => {}
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        // Each of its values is whole between any two statements.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> Sighted {
        let clients = self.all().wards.iter().flat_map(|ward| ward.subject.clients.clone()).collect();
        self.shared.log.follow(clients)
    }

    fn see(&self, record: &FlowRecord) {
        let now = self.started.elapsed();
        let mut all = self.all();
        let from = |ward: &&mut Ward| ward.subject.clients.iter().any(|net| net.contains(&record.counted_as()));
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
            let records = all.wards.iter_mut().filter_map(|ward| ward.look(now)).collect::<Vec<_>>();
            self.shared.metrics.set_environments(all.wards.iter().map(Ward::measured).collect());
            (moved, records)
        };
        self.publish(records).await;
        moved
    }

    async fn publish(&self, records: Vec<EnvironmentRecord>) {
        for record in records {
            let EnvironmentRecord { name, state, unreachable, .. } = &record;
            let text = state.as_str();
            match state {
                EnvironmentState::Healthy => {
                    tracing::info!(environment = %name, "an App Service Environment is {text}")
                }
                EnvironmentState::Unhealthy | EnvironmentState::Suspended => {
                    tracing::warn!(environment = %name, ?unreachable, "an App Service Environment is {text}");
                }
            }
            self.shared.log.record(Event::Environment(record)).await;
        }
    }

    /// Takes up another topology or policy.
    async fn renew(&self) {
        let _turn = self.renewing.lock().await;
        let (network, active) = (self.reloader.network(), self.shared.active());
        {
            let all = self.all();
            if all.is_of(network.as_ref()) && all.generation == Some(active.generation()) {
                return;
            }
        }
        let subjects = network.as_deref().map(|network| subjects(network, &active)).unwrap_or_default();
        let denied = judged(network.as_ref(), &active, &subjects).await;
        self.all().take_up(self, network, active.generation(), subjects, denied);
    }
}

impl All {
    fn is_of(&self, network: Option<&Arc<Network>>) -> bool {
        match (&self.network, network) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (old, new) => old.is_none() && new.is_none(),
        }
    }

    /// An environment of the same name goes on as it was. `denied` is of each subject.
    fn take_up(
        &mut self,
        of: &Wards,
        network: Option<Arc<Network>>,
        generation: u64,
        subjects: Vec<Arc<Subject>>,
        denied: Vec<BTreeSet<Arc<str>>>,
    ) {
        let (now, limits) = (of.started.elapsed(), of.limits);
        self.moved |= !self.is_of(network.as_ref());
        let mut old = std::mem::take(&mut self.wards);
        for (subject, denied) in subjects.into_iter().zip(denied) {
            let before = old.iter().position(|ward| ward.subject.name == subject.name).map(|at| old.swap_remove(at));
            let health = before.map(|ward| ward.health);
            let mut health = health.unwrap_or_else(|| Health::new(limits, at_first(&subject.environment)));
            health.judged(now, &denied);
            self.wards.push(Ward { subject, health });
        }
        self.network = network;
        self.generation = Some(generation);
        self.edition += 1;
    }
}

impl Subject {
    fn new(network: &Network, environment: &AppServiceEnvironment, active: &Active) -> Subject {
        let topology = network.topology();
        let place = network.place(&environment.virtual_network, &environment.subnet);
        let clients = place.map(|place| network.subnet(place).prefixes.clone()).unwrap_or_default();
        let own_servers = place.map(|place| network.virtual_network(place).dns_servers.clone()).unwrap_or_default();
        let policies = active.policy.rules().policies.iter().map(|policy| policy.name.as_str());
        let dependencies =
            (environment.version < AseVersion::V3).then(|| Dependencies::of(network.tags().cloud(), policies));
        let id = ResourceId::of(topology, ENVIRONMENT, &environment.name, Asked::nowhere(topology));
        Subject {
            name: environment.name.as_str().into(),
            id: id.to_string().into(),
            client: client_of(environment, network, place),
            environment: environment.clone(),
            place,
            clients,
            servers: own_servers.into_iter().chain([HOST]).collect(),
            services: services(network),
            shown: dependencies.as_ref().map(Dependencies::shown).unwrap_or_default(),
            dependencies,
            workers: Workers::of(environment),
        }
    }

    /// Of the flows from its subnet those that the environment cannot do without. Of UDP only questions to the servers that
    /// it resolves names by: to whom it sets its clocks by nobody says, and the doctor asks for all of them.
    fn depends_on(&self, host: &Host, protocol: Protocol, port: u16) -> bool {
        let Some(dependencies) = &self.dependencies else { return false };
        match (protocol, host) {
            (Protocol::Udp, Host::Addr(server)) => port == 53 && self.servers.contains(server),
            (Protocol::Udp, Host::Name(_)) => false,
            (_, host) => dependencies.hold(host, protocol, port, self.workers),
        }
    }

    /// What is denied to it, or lost: by the doctor's rules, and of the names that the API shows.
    fn denied(&self, network: &Network, active: &Active) -> BTreeSet<Arc<str>> {
        let each = self.shown.iter().flat_map(|it| it.ports.iter().map(move |port| (it, *port)));
        let names = each.filter(|(dependency, port)| !is_allowed(active, self, dependency, *port));
        let names = names.map(|(dependency, port)| label(dependency, port));
        names.chain(self.found(network, active)).collect()
    }

    fn found(&self, network: &Network, active: &Active) -> Vec<Arc<str>> {
        let Some(place) = self.place else { return Vec::new() };
        let patient = Patient { network, environment: &self.environment, place, policy: Some(&active.policy) };
        let diagnosis = doctor::examine_reach(&patient);
        let grave = diagnosis.findings().into_iter().filter(|it| it.severity >= Severity::Unhealthy);
        grave.map(|it| it.rule.id.into()).collect()
    }

    fn somewhere(&self, category: Category) -> IpAddr {
        let of_service = self.services.iter().find(|(service, _)| *service == category);
        of_service.map_or(SOMEWHERE, |(_, address)| *address)
    }
}

impl Ward {
    fn is_named(&self, name: &str) -> bool {
        self.subject.name.eq_ignore_ascii_case(name)
    }

    fn see(&mut self, now: Duration, record: &FlowRecord) {
        let Some(Seen::Valid(host)) = &record.host else { return };
        let FlowRecord { protocol, port, verdict, reason, .. } = record;
        if !self.subject.depends_on(host, *protocol, *port) {
            return;
        }
        let label: Arc<str> = match (host, protocol) {
            (_, Protocol::Udp) => format!("udp/{port}").into(),
            (host, _) => Authority { host: host.clone(), port: *port }.to_string().into(),
        };
        match verdict {
            Verdict::Allow => self.health.reached(&label),
            Verdict::Deny if reason.is_denial() => self.health.denied(now, &label),
            // The client left, or there was no room: that says nothing of the dependency.
            Verdict::Deny => {}
        }
    }

    fn look(&mut self, now: Duration) -> Option<EnvironmentRecord> {
        let transition = self.health.tick(now)?;
        Some(self.record(&transition))
    }

    fn record(&self, transition: &Transition) -> EnvironmentRecord {
        EnvironmentRecord {
            ts: Timestamp::now(),
            name: self.subject.name.clone(),
            id: self.subject.id.clone(),
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
        EnvironmentHealth { name: self.subject.name.clone(), state: self.health.state(), unreachable }
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
fn is_allowed(active: &Active, subject: &Subject, dependency: &Dependency, port: u16) -> bool {
    let host = Host::Name(dependency.host.clone());
    let query = Query::new(Some(subject.client), Protocol::usual(port), &host, port);
    let query = Query { path: (port == 80).then_some("/"), ..query.outbound() };
    let stands_for = Address::Given(subject.somewhere(dependency.category));
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

fn subjects(network: &Network, active: &Active) -> Vec<Arc<Subject>> {
    let environments = network.topology().environments.iter();
    environments.map(|environment| Arc::new(Subject::new(network, environment, active))).collect()
}

/// What is denied to each. The doctor takes its time with a large network: it is asked on another thread, so that who asks
/// for anything else does not wait for it.
async fn judged(
    network: Option<&Arc<Network>>,
    active: &Arc<Active>,
    subjects: &[Arc<Subject>],
) -> Vec<BTreeSet<Arc<str>>> {
    let Some(network) = network.filter(|_| !subjects.is_empty()).cloned() else { return Vec::new() };
    let (active, asked) = (active.clone(), subjects.to_vec());
    let judge = move || asked.iter().map(|subject| subject.denied(&network, &active)).collect();
    tokio::task::spawn_blocking(judge).await.unwrap_or_else(|panic| {
        tracing::error!("the doctor ended in a panic; please report it: {panic}");
        vec![BTreeSet::new(); subjects.len()]
    })
}

/// An address of each service that has a tag of its own.
fn services(network: &Network) -> Vec<(Category, IpAddr)> {
    let tags = [(Category::Storage, "Storage"), (Category::Sql, "Sql")];
    let first = |tag| network.tags().published(tag)?.iter().copied().map(AddressRange::first).find(IpAddr::is_ipv4);
    tags.into_iter().filter_map(|(category, tag)| Some((category, first(tag)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::HostName;
    use crate::vnet::Cloud;

    /// Whom else somebody in the subnet asks, and for the time, is nothing that the environment depends on.
    #[test]
    fn of_udp_only_questions_to_its_own_servers_are_a_dependency() {
        let subject = Subject {
            name: "ase".into(),
            id: "/x".into(),
            environment: AppServiceEnvironment::default(),
            place: None,
            client: SOMEWHERE,
            clients: Vec::new(),
            servers: vec!["192.168.0.9".parse().unwrap(), HOST],
            services: Vec::new(),
            dependencies: Some(Dependencies::of(Cloud::Public, [])),
            workers: Workers::of(&AppServiceEnvironment::default()),
            shown: Vec::new(),
        };
        let udp = |server: &str, port| subject.depends_on(&Host::Addr(server.parse().unwrap()), Protocol::Udp, port);
        assert!(udp("168.63.129.16", 53) && udp("192.168.0.9", 53));
        assert!(!udp("192.0.2.7", 53) && !udp("192.0.2.7", 123) && !udp("168.63.129.16", 54));
        let named =
            |name: &str, protocol| subject.depends_on(&Host::Name(HostName::parse(name).unwrap()), protocol, 443);
        assert!(named("login.windows.net", Protocol::Https) && !named("login.windows.net", Protocol::Udp));
        assert!(!named("example.com", Protocol::Https));
        let newer = Subject { dependencies: None, ..subject };
        assert!(!newer.depends_on(&Host::Addr(HOST), Protocol::Udp, 53));
    }
}
