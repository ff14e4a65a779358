//! What flows share: the policy in force, and each core's own corner.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Enforce, GatewayConfig, ProxyConfig};
use crate::flow::{Authority, Host, HostName, Profile, Via};
use crate::net::dns::Directory;
use crate::net::listener;
use crate::net::resolve::Resolver;
use crate::policy::Policy;
use crate::telemetry::{CoreCounters, Gauge, Log, Metrics, Recorder, RuleHits};
use crate::vnet::{Egress, Flows, Network};

use super::Setup;
use super::alarm::Alarm;
use super::limit::Limiter;
use super::probe::{Prober, Requests};
use super::rates::Rates;

/// A policy in force and what is around it, with what is counted of it.
pub(crate) struct Active {
    pub(crate) policy: Policy,
    pub(crate) profile: Profile,
    /// None where nobody's flows meet it, or there is none.
    network: Option<Arc<Network>>,
    enforce: Enforce,
    pub(crate) hits: Arc<RuleHits>,
    generation: u64,
}

impl Active {
    /// It grows with each policy that comes into force, and each network around it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// What is around the firewall, where some flow meets it.
    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.as_deref()
    }

    /// Is this the same network, enforced alike? Then nothing changes for live flows.
    pub(crate) fn is_in(&self, network: &Option<Arc<Network>>, enforce: Enforce) -> bool {
        let met = network.as_deref().filter(|_| enforce != Enforce::None);
        let is_same = match (self.network.as_deref(), met) {
            (Some(one), Some(other)) => {
                one.topology() == other.topology() && one.client_subnet() == other.client_subnet()
            }
            (one, other) => one.is_none() && other.is_none(),
        };
        self.enforce == enforce && is_same
    }

    /// What flows meet that come in by this door.
    pub(super) fn network_of(&self, via: Via) -> Option<&Network> {
        match (self.enforce, via) {
            (Enforce::All, _) | (Enforce::Gateway, Via::Gateway | Via::Dns) => self.network.as_deref(),
            (Enforce::Gateway | Enforce::None, _) => None,
        }
    }

    /// Who decides about flows that begin.
    pub(crate) fn egress(&self, via: Via) -> Egress<'_> {
        Egress::new(&self.policy, self.network_of(via), Flows::New)
    }

    /// Who decides about flows that run. The strict profile asks security groups again, though they are stateful.
    pub(super) fn egress_of_live_flows(&self, via: Via) -> Egress<'_> {
        let flows = if self.profile == Profile::Strict { Flows::New } else { Flows::Live };
        Egress::new(&self.policy, self.network_of(via), flows)
    }

    /// Could this client get anywhere by this name? From a subnet a route may lead past the firewall; the strict profile
    /// tells no server of a name for that.
    pub(super) fn could_allow_name(&self, name: &HostName, client: Option<IpAddr>) -> bool {
        let may_pass = || self.profile != Profile::Strict && self.egress(Via::Dns).place_of(client).is_some();
        self.policy.could_allow_name(name, client) || may_pass()
    }
}

/// The policy as one core holds it: its own count of references, so that flows write nothing that is shared.
pub(super) type InForce = Rc<Held>;

pub(super) struct Held(Arc<Active>);

impl std::ops::Deref for Held {
    type Target = Active;

    fn deref(&self) -> &Active {
        &self.0
    }
}

/// Shared by all cores. Of this only the limiter is written for a connection, and nothing for a flow.
pub(crate) struct Shared {
    active: ArcSwap<Active>,
    generation: AtomicU64,
    changed: watch::Sender<u64>,
    pub(super) config: ProxyConfig,
    pub(super) gateway: GatewayConfig,
    /// The firewall mark of sockets that leave this machine.
    pub(super) mark: Option<u32>,
    /// Places for denied connections that are left without an answer.
    pub(super) silent: Semaphore,
    /// Places for UDP flows, of all cores. Beyond it new ones are *refused*.
    pub(super) udp_flows: Arc<Semaphore>,
    pub(super) limiter: Limiter,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: Log,
    /// What the thread `egret-dns` knows of names and their addresses.
    pub(crate) directory: Arc<Directory>,
    /// Egret's own listeners, proxy and admin: never a destination. Known once they are bound.
    own: OnceLock<Vec<SocketAddr>>,
    /// Tries connections on behalf of others than clients.
    pub(crate) prober: Prober,
    /// For the core that takes them first.
    probes: Mutex<Option<Requests>>,
    pub(super) lifecycle: Lifecycle,
}

/// The two steps of going down.
#[derive(Clone, Default)]
pub(crate) struct Lifecycle {
    /// No new connections; what is idle closes.
    pub(crate) drain: CancellationToken,
    /// What still runs is closed.
    pub(crate) kill: CancellationToken,
}

impl Shared {
    pub(crate) fn new(setup: Setup) -> Shared {
        let Setup { proxy: config, gateway, dns, policy, network, enforce, profile, log, lifecycle, others: _, mark } =
            setup;
        let cores = cores(&config);
        let active = activate(InForceFrom { policy, profile, network, enforce }, cores, 0);
        let metrics = Arc::new(Metrics::new(cores, active.hits.clone(), log.clone()));
        let limiter = Limiter::new(&config.limits);
        let (changed, _) = watch::channel(0);
        let (prober, probes) = Prober::new();
        Shared {
            active: ArcSwap::from_pointee(active),
            generation: AtomicU64::new(0),
            changed,
            udp_flows: Arc::new(Semaphore::new(config.limits.udp_flows.min(Semaphore::MAX_PERMITS))),
            silent: Semaphore::new(config.limits.silent.min(Semaphore::MAX_PERMITS)),
            config,
            gateway,
            mark,
            limiter,
            metrics,
            log,
            directory: Arc::new(Directory::new(dns.synthetic.map(|synthetic| synthetic.net))),
            own: OnceLock::new(),
            prober,
            probes: Mutex::new(Some(probes)),
            lifecycle,
        }
    }

    /// Puts another policy in force. Live tunnels look whether it still allows them.
    pub(crate) fn replace(&self, from: InForceFrom) {
        let generation = self.active.load().generation + 1;
        let active = Arc::new(activate(from, self.cores(), generation));
        self.metrics.set_rule_hits(active.hits.clone());
        self.active.store(active);
        self.generation.store(generation, Release);
        self.changed.send_replace(generation);
    }

    /// Tells when another policy is in force.
    pub(crate) fn policy_changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn active(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Of the policy in force; it grows with each.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    /// Threads that count and number flows: the workers, and `egret-dns` as the last.
    pub(super) fn cores(&self) -> usize {
        cores(&self.config)
    }

    /// The counters of flows of the thread `egret-dns`.
    #[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "there is a place for each worker and one more"))]
    pub(super) fn dns_counters(&self) -> &CoreCounters {
        &self.metrics.cores()[self.config.workers]
    }

    /// What there is to try; None for all cores but the first that asks.
    pub(super) fn take_probes(&self) -> Option<Requests> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// To be called once, when the listeners are bound.
    pub(crate) fn set_own_addresses(&self, own: Vec<SocketAddr>) {
        // A second call would come with the same addresses.
        let _ = self.own.set(own);
    }

    /// What the kernel handed over for this address was meant for: a synthetic one is the name that it was given to.
    pub(super) fn meant_by(&self, dst: SocketAddr) -> Authority {
        let addr = dst.ip().to_canonical();
        let host = self.directory.name_of(addr).map_or(Host::Addr(addr), Host::Name);
        Authority { host, port: dst.port() }
    }

    /// Would a connection to this address come back to Egret?
    pub(super) fn is_own(&self, addr: SocketAddr) -> bool {
        let own = self.own.get().map_or(&[][..], Vec::as_slice);
        own.iter().any(|own| own.port() == addr.port() && listener::leads_to(own.ip(), addr.ip()))
    }
}

fn cores(config: &ProxyConfig) -> usize {
    config.workers + 1
}

/// What decides from now on.
pub(crate) struct InForceFrom {
    pub(crate) policy: Policy,
    pub(crate) profile: Profile,
    pub(crate) network: Option<Arc<Network>>,
    pub(crate) enforce: Enforce,
}

fn activate(from: InForceFrom, cores: usize, generation: u64) -> Active {
    let InForceFrom { policy, profile, network, enforce } = from;
    let network = network.filter(|_| enforce != Enforce::None);
    let hits = Arc::new(RuleHits::new(policy.hash().clone(), policy.rule_names().to_vec(), cores));
    Active { policy, profile, network, enforce, hits, generation }
}

/// Lets go of tasks that have ended; a panic is told.
pub(super) fn reap(tasks: &mut JoinSet<()>, what: &str) {
    while let Some(ended) = tasks.try_join_next() {
        if ended.is_err_and(|error| error.is_panic()) {
            tracing::error!("{what} ended in a panic; please report it");
        }
    }
}

/// Something that is open, for the metrics.
pub(super) struct Counted {
    core: Rc<Core>,
    gauge: fn(&CoreCounters) -> &Gauge,
}

impl Counted {
    pub(super) fn new(core: Rc<Core>, gauge: fn(&CoreCounters) -> &Gauge) -> Counted {
        gauge(&core.counters).inc();
        Counted { core, gauge }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.gauge)(&self.core.counters).dec();
    }
}

/// One core's own: nobody else touches it.
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    pub(super) resolver: Resolver,
    pub(super) recorder: Recorder,
    pub(super) counters: Arc<CoreCounters>,
    pub(super) alarm: Alarm,
    /// Of flows that run, where somebody asks for them.
    pub(super) rates: Option<Rates>,
    active: RefCell<InForce>,
    next_flow: Cell<u64>,
}

impl Core {
    #[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "there is a place for each worker and one more"))]
    pub(super) fn new(shared: Arc<Shared>, number: usize, resolver: Resolver) -> Core {
        let active = RefCell::new(Rc::new(Held(shared.active())));
        let recorder = shared.log.recorder();
        let counters = shared.metrics.cores()[number].clone();
        let rates = Rates::new(shared.log.watch());
        let (alarm, next_flow) = (Alarm::default(), Cell::new(number as u64));
        Core { shared, resolver, recorder, counters, alarm, rates, active, next_flow }
    }

    /// The policy in force; one atomic load where it has not changed.
    pub(super) fn active(&self) -> InForce {
        let mut active = self.active.borrow_mut();
        if active.generation != self.shared.generation.load(Acquire) {
            *active = Rc::new(Held(self.shared.active()));
        }
        active.clone()
    }

    /// Numbers for flows that no other core gives out.
    pub(super) fn next_flow(&self) -> u64 {
        let flow = self.next_flow.get();
        self.next_flow.set(flow + self.shared.cores() as u64);
        flow
    }
}
