//! Counters of each core, added up when somebody asks: `docs/metrics.md` lists what comes out.
//!
//! A counter has one writer, its core, so counting is a load and a store and no line of cache is fought over.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::record::EnvironmentState;
use super::recorder::Log;
use crate::flow::{Reason, Verdict, Via};
use crate::policy::{RuleId, RuleName};

/// Of what [`Metrics::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Rules with hits that are shown at most, in the order of evaluation.
const MAX_RULE_SERIES: usize = 1000;

/// A number that only grows. Only one thread may add to it; any may read it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number of things that are there now. Only one thread may change it; any may read it.
#[derive(Debug, Default)]
pub struct Gauge(Counter);

impl Gauge {
    pub fn inc(&self) {
        self.0.add(1);
    }

    pub fn dec(&self) {
        self.0.add(u64::MAX);
    }

    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// What one core counts.
#[derive(Debug, Default)]
pub struct CoreCounters {
    core: usize,
    flows: FlowCounters,
    pub bytes_up: Counter,
    pub bytes_down: Counter,
    /// Client connections that are open.
    pub connections: Gauge,
    pub tunnels: Gauge,
    /// UDP flows that are allowed and not over.
    pub udp_flows: Gauge,
    /// Datagrams of flows that are not denied, lost because a queue was full or the kernel did not take them.
    pub udp_dropped: Counter,
    /// The same two of ICMP echo.
    pub icmp_flows: Gauge,
    pub icmp_dropped: Counter,
    pub dns_lookups: Counter,
    pub dns_failures: Counter,
    pub connect_failures: Counter,
    bypassed: Counter,
    threat_alerts: Counter,
    threat_denials: Counter,
}

impl CoreCounters {
    /// Counts a decision; a flow that a service endpoint takes past the firewall counts as bypassed.
    pub fn flow(&self, via: Via, verdict: Verdict, reason: Reason) {
        match reason {
            reason if reason.is_past_firewall() => self.bypassed.add(1),
            _ => self.flows.of(via, verdict, reason).add(1),
        }
    }

    /// Counts a flow that threat intelligence knows, by what became of it.
    pub fn threat(&self, reason: Reason) {
        match reason {
            Reason::ThreatIntel => self.threat_denials.add(1),
            _ => self.threat_alerts.add(1),
        }
    }

    /// This core's place among all, for [`RuleHits::hit`].
    pub fn core(&self) -> usize {
        self.core
    }
}

const VIAS: [Via; 5] = [Via::Http, Via::Connect, Via::Socks5, Via::Gateway, Via::Dns];
const VERDICTS: [Verdict; 2] = [Verdict::Allow, Verdict::Deny];

/// A counter for each door, verdict and reason.
#[derive(Debug)]
struct FlowCounters(Box<[Counter]>);

impl Default for FlowCounters {
    fn default() -> Self {
        FlowCounters(counters(VIAS.len() * VERDICTS.len() * Reason::ALL.len()))
    }
}

impl FlowCounters {
    #[cfg_attr(
        not(test),
        expect(clippy::indexing_slicing, reason = "there is a place for each via, verdict and reason")
    )]
    fn of(&self, via: Via, verdict: Verdict, reason: Reason) -> &Counter {
        let via = match via {
            Via::Http => 0,
            Via::Connect => 1,
            Via::Socks5 => 2,
            Via::Gateway => 3,
            Via::Dns => 4,
        };
        let verdict = match verdict {
            Verdict::Allow => 0,
            Verdict::Deny => 1,
        };
        &self.0[(via * VERDICTS.len() + verdict) * Reason::ALL.len() + reason as usize]
    }
}

fn counters(n: usize) -> Box<[Counter]> {
    std::iter::repeat_with(Counter::default).take(n).collect()
}

/// What the thread `egret-dns` counts.
#[derive(Debug, Default)]
pub struct DnsCounters {
    outcomes: [Counter; DnsOutcome::ALL.len()],
    /// Answers that were known without asking a server.
    pub cache_hits: Counter,
    /// Messages that nobody answers.
    pub dropped: Counter,
    /// Times that a server was asked and failed.
    pub upstream_failures: Counter,
    /// Look-ups of names of network rules that failed.
    pub fqdn_failures: Counter,
}

impl DnsCounters {
    #[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "there is a place for each outcome"))]
    pub fn answered(&self, outcome: DnsOutcome) {
        self.outcomes[outcome as usize].add(1);
    }
}

/// The codes that answers are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsOutcome {
    NoError,
    FormErr,
    ServFail,
    NxDomain,
    NotImp,
    Refused,
    Other,
}

impl DnsOutcome {
    pub const ALL: [DnsOutcome; 7] = [
        DnsOutcome::NoError,
        DnsOutcome::FormErr,
        DnsOutcome::ServFail,
        DnsOutcome::NxDomain,
        DnsOutcome::NotImp,
        DnsOutcome::Refused,
        DnsOutcome::Other,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            DnsOutcome::NoError => "NOERROR",
            DnsOutcome::FormErr => "FORMERR",
            DnsOutcome::ServFail => "SERVFAIL",
            DnsOutcome::NxDomain => "NXDOMAIN",
            DnsOutcome::NotImp => "NOTIMP",
            DnsOutcome::Refused => "REFUSED",
            DnsOutcome::Other => "OTHER",
        }
    }
}

/// How often each rule of one policy decided. A reload brings a new one, from zero.
#[derive(Debug)]
pub struct RuleHits {
    policy_hash: Arc<str>,
    /// By [`RuleId`].
    rules: Vec<Arc<RuleName>>,
    by_core: Vec<Box<[Counter]>>,
}

impl RuleHits {
    pub fn new(policy_hash: Arc<str>, rules: Vec<Arc<RuleName>>, cores: usize) -> RuleHits {
        let by_core = (0..cores).map(|_| counters(rules.len())).collect();
        RuleHits { policy_hash, rules, by_core }
    }

    /// To be called on that core only. A rule of another policy is not counted.
    pub fn hit(&self, core: usize, rule: RuleId) {
        if let Some(counter) = self.by_core.get(core).and_then(|rules| rules.get(rule.0 as usize)) {
            counter.add(1);
        }
    }

    /// Every rule with its hits, in the order of evaluation.
    pub fn totals(&self) -> impl Iterator<Item = (&RuleName, u64)> {
        let total = |at: usize| self.by_core.iter().filter_map(|rules| rules.get(at)).map(Counter::get).sum();
        self.rules.iter().enumerate().map(move |(at, name)| (&**name, total(at)))
    }
}

/// All that is counted, of all cores.
#[derive(Debug)]
pub struct Metrics {
    cores: Vec<Arc<CoreCounters>>,
    dns: DnsCounters,
    hits: Mutex<Arc<RuleHits>>,
    environments: Mutex<Vec<EnvironmentHealth>>,
    log: Log,
}

/// How an App Service Environment fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentHealth {
    pub name: Arc<str>,
    pub state: EnvironmentState,
    /// Dependencies that are known to be out of reach.
    pub unreachable: usize,
}

impl Metrics {
    /// `hits` is the policy's that is in force first.
    pub fn new(cores: usize, hits: Arc<RuleHits>, log: Log) -> Metrics {
        let cores = (0..cores).map(|core| Arc::new(CoreCounters { core, ..CoreCounters::default() })).collect();
        Metrics { cores, dns: DnsCounters::default(), hits: Mutex::new(hits), environments: Mutex::default(), log }
    }

    /// The counters of each core, in its order.
    pub fn cores(&self) -> &[Arc<CoreCounters>] {
        &self.cores
    }

    /// To be added to by the thread `egret-dns` only.
    pub fn dns(&self) -> &DnsCounters {
        &self.dns
    }

    /// Another policy is in force.
    pub fn set_rule_hits(&self, hits: Arc<RuleHits>) {
        *self.hits.lock().unwrap_or_else(PoisonError::into_inner) = hits;
    }

    /// How the environments of the topology fare from now on.
    pub fn set_environments(&self, environments: Vec<EnvironmentHealth>) {
        *self.environments.lock().unwrap_or_else(PoisonError::into_inner) = environments;
    }

    pub fn rule_hits(&self) -> Arc<RuleHits> {
        self.hits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything, as OpenMetrics text.
    pub fn encode(self: &Arc<Self>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(self.clone())));
        let mut out = String::new();
        text::encode(&mut out, &registry).expect("writing to a String cannot fail");
        out
    }

    fn sum(&self, of: impl Fn(&CoreCounters) -> u64) -> u64 {
        // A connection stays on its core: no single gauge is below zero.
        self.cores.iter().map(|core| of(core)).sum()
    }
}

#[derive(Debug)]
struct Scrape(Arc<Metrics>);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = &*self.0;
        let mut page = Page(encoder);
        info(metrics, &mut page)?;
        flows(metrics, &mut page)?;
        traffic(metrics, &mut page)?;
        upstream(metrics, &mut page)?;
        dns(metrics, &mut page)?;
        log(metrics, &mut page)?;
        environments(metrics, &mut page)?;
        rules(metrics, &mut page)
    }
}

fn info(metrics: &Metrics, page: &mut Page<'_>) -> fmt::Result {
    page.info("egret_build", "The running version", ("version", env!("CARGO_PKG_VERSION")))?;
    page.info("egret_policy", "The policy in force", ("hash", &*metrics.rule_hits().policy_hash))
}

fn flows(metrics: &Metrics, page: &mut Page<'_>) -> fmt::Result {
    let each = VIAS.into_iter().flat_map(|via| {
        let verdicts = VERDICTS.into_iter();
        verdicts.flat_map(move |verdict| Reason::ALL.iter().map(move |reason| (via, verdict, *reason)))
    });
    let counted = each.map(|(via, verdict, reason)| {
        let labels = [("via", via.as_str()), ("verdict", verdict.as_str()), ("reason", reason.as_str())];
        (labels, metrics.sum(|core| core.flows.of(via, verdict, reason).get()))
    });
    page.counters("egret_flows", "Flows that were decided", counted.filter(|(_, count)| *count > 0))?;
    let bypassed = metrics.sum(|core| core.bypassed.get());
    page.counter("egret_bypassed", "Flows that a service endpoint or a route took past the firewall", bypassed)?;
    let alerts = metrics.sum(|core| core.threat_alerts.get());
    let denials = metrics.sum(|core| core.threat_denials.get());
    let known = [([("action", "alert")], alerts), ([("action", "deny")], denials)];
    page.counters("egret_threat_intel", "Flows that threat intelligence knew", known)
}

fn traffic(metrics: &Metrics, page: &mut Page<'_>) -> fmt::Result {
    let up = metrics.sum(|core| core.bytes_up.get());
    let down = metrics.sum(|core| core.bytes_down.get());
    let bytes = [([("direction", "up")], up), ([("direction", "down")], down)];
    page.counters("egret_bytes", "Bytes relayed, to the origin (up) and from it (down)", bytes)?;
    page.gauge("egret_connections", "Client connections open", metrics.sum(|core| core.connections.get()))?;
    page.gauge("egret_tunnels", "Tunnels open", metrics.sum(|core| core.tunnels.get()))?;
    page.gauge("egret_udp_flows", "UDP flows open", metrics.sum(|core| core.udp_flows.get()))?;
    let dropped = metrics.sum(|core| core.udp_dropped.get());
    page.counter("egret_udp_dropped", "Datagrams of flows that are not denied that were lost in Egret", dropped)?;
    page.gauge("egret_icmp_flows", "ICMP echo flows open", metrics.sum(|core| core.icmp_flows.get()))?;
    let dropped = metrics.sum(|core| core.icmp_dropped.get());
    page.counter("egret_icmp_dropped", "Echoes of flows that are not denied that were lost in Egret", dropped)
}

fn upstream(metrics: &Metrics, page: &mut Page<'_>) -> fmt::Result {
    page.counter("egret_dns_lookups", "Names looked up", metrics.sum(|core| core.dns_lookups.get()))?;
    page.counter("egret_dns_failures", "Names that did not resolve", metrics.sum(|core| core.dns_failures.get()))?;
    let failures = metrics.sum(|core| core.connect_failures.get());
    page.counter("egret_connect_failures", "Permitted destinations that could not be reached", failures)
}

fn dns(metrics: &Metrics, page: &mut Page<'_>) -> fmt::Result {
    let DnsCounters { outcomes, cache_hits, dropped, upstream_failures, fqdn_failures } = &metrics.dns;
    let counted = DnsOutcome::ALL.iter().zip(outcomes);
    let counted = counted.map(|(outcome, count)| ([("rcode", outcome.as_str())], count.get()));
    page.counters(
        "egret_dns_queries",
        "Questions that the DNS proxy answered",
        counted.filter(|(_, count)| *count > 0),
    )?;
    page.counter("egret_dns_cache_hits", "Answers that no server was asked for", cache_hits.get())?;
    page.counter("egret_dns_dropped", "Messages to the DNS proxy that nobody answers", dropped.get())?;
    let failures = upstream_failures.get();
    page.counter("egret_dns_upstream_failures", "Times that a name server failed", failures)?;
    let failures = fqdn_failures.get();
    page.counter("egret_dns_fqdn_failures", "Times that a network rule's name did not resolve", failures)
}

fn log(metrics: &Metrics, page: &mut Page<'_>) -> fmt::Result {
    let stats = &metrics.log.shared.stats;
    page.counter("egret_log_records", "Records of the flow log", stats.records.load(Relaxed))?;
    page.counter("egret_log_lost", "Records that a sink could not write", stats.lost.load(Relaxed))?;
    page.counter("egret_log_waits", "Records that had to wait for the log", stats.waits.load(Relaxed))?;
    let (ok, refused) = (stats.reloads.load(Relaxed), stats.reloads_refused.load(Relaxed));
    let reloads = [([("result", "ok")], ok), ([("result", "refused")], refused)];
    page.counters("egret_reloads", "Reloads of the configuration", reloads)
}

/// Nothing where there is no topology with an environment.
fn environments(metrics: &Metrics, page: &mut Page<'_>) -> fmt::Result {
    let all = metrics.environments.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if all.is_empty() {
        return Ok(());
    }
    let each = |of: fn(&EnvironmentHealth) -> u64| all.iter().map(move |it| ([("environment", &*it.name)], of(it)));
    let healthy = |it: &EnvironmentHealth| u64::from(it.state == EnvironmentState::Healthy);
    page.gauges("egret_ase_healthy", "1 while the App Service Environment is healthy", each(healthy))?;
    let suspended = |it: &EnvironmentHealth| u64::from(it.state == EnvironmentState::Suspended);
    page.gauges("egret_ase_suspended", "1 while the App Service Environment is suspended", each(suspended))?;
    let unreachable = |it: &EnvironmentHealth| u64::try_from(it.unreachable).unwrap_or(u64::MAX);
    page.gauges("egret_ase_unreachable", "What it depends on and is denied", each(unreachable))
}

fn rules(metrics: &Metrics, page: &mut Page<'_>) -> fmt::Result {
    let hits = metrics.rule_hits();
    // Nothing keeps two rules from having the same names, and a series may be there only once.
    let mut shown: BTreeMap<[&str; 4], u64> = BTreeMap::new();
    for (name, count) in hits.totals().filter(|(_, count)| *count > 0).take(MAX_RULE_SERIES) {
        let RuleName { policy, group, collection, rule, .. } = name;
        *shown.entry([policy, group, collection, rule]).or_default() += count;
    }
    let counted = shown.into_iter().map(|([policy, group, collection, rule], count)| {
        ([("policy", policy), ("group", group), ("collection", collection), ("rule", rule)], count)
    });
    page.counters("egret_rule_hits", "Flows that each rule decided", counted)
}

/// The exposition; counters get their `_total` and infos their `_info` from the encoder.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn info(&mut self, name: &str, help: &str, label: (&str, &str)) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&[label])
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            encoder.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        counted: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in counted {
            encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{allowed, start};
    use super::super::{Event, OnError, RunId, Telemetry, TelemetryConfig};
    use super::*;
    use crate::azure::category::Categories;
    use crate::policy::RuleKind;
    use std::collections::BTreeSet;
    use std::time::Duration;

    fn rule(rule: &str) -> Arc<RuleName> {
        Arc::new(RuleName { group: "g".into(), ..super::super::record::tests::rule(RuleKind::Network, "c\"x\"", rule) })
    }

    /// Two cores that both counted, after a log of one flow.
    fn metrics() -> Arc<Metrics> {
        let resource_id = "".into();
        let config = TelemetryConfig {
            sinks: vec![],
            run: RunId::from_bits(1),
            start: start(),
            on_error: OnError::Serve,
            resource_id,
            categories: Categories::default(),
            fat_flow_every: Duration::from_secs(180),
            flow_log_every: Duration::from_secs(60),
            tally: None,
        };
        let telemetry = Telemetry::start(config).unwrap();
        telemetry.log().record_blocking(Event::Flow(allowed()));
        let hits = Arc::new(RuleHits::new("c0ffee".into(), vec![rule("a"), rule("b"), rule("b")], 2));
        let metrics = Arc::new(Metrics::new(2, hits.clone(), telemetry.log().clone()));
        for core in metrics.cores() {
            core.flow(Via::Connect, Verdict::Deny, Reason::NotAllowed);
            core.bytes_up.add(5);
            hits.hit(core.core(), RuleId(1));
        }
        let [first, second] = metrics.cores() else { panic!("two cores") };
        metrics.dns().answered(DnsOutcome::Refused);
        first.flow(Via::Http, Verdict::Allow, Reason::ServiceEndpoint);
        first.flow(Via::Socks5, Verdict::Deny, Reason::PolicyChanged);
        first.threat(Reason::ThreatIntel);
        second.threat(Reason::NotAllowed);
        second.threat(Reason::ApplicationRule);
        first.tunnels.inc();
        first.tunnels.inc();
        first.tunnels.dec();
        second.tunnels.inc();
        hits.hit(0, RuleId(2));
        hits.hit(1, RuleId(99));
        let name = "ase".into();
        metrics.set_environments(vec![EnvironmentHealth { name, state: EnvironmentState::Suspended, unreachable: 3 }]);
        telemetry.shutdown(Duration::from_secs(10)).unwrap();
        metrics
    }

    #[test]
    fn cores_are_added_up() {
        let page = metrics().encode();
        for line in [
            r#"egret_flows_total{via="connect",verdict="deny",reason="not-allowed"} 2"#,
            r#"egret_flows_total{via="socks5",verdict="deny",reason="policy-changed"} 1"#,
            "egret_bypassed_total 1",
            r#"egret_bytes_total{direction="up"} 10"#,
            r#"egret_threat_intel_total{action="alert"} 2"#,
            r#"egret_threat_intel_total{action="deny"} 1"#,
            "egret_tunnels 2",
            r#"egret_dns_queries_total{rcode="REFUSED"} 1"#,
            "egret_log_records_total 3",
            "egret_log_lost_total 0",
            r#"egret_reloads_total{result="ok"} 0"#,
            r#"egret_policy_info{hash="c0ffee"} 1"#,
            r#"egret_ase_healthy{environment="ase"} 0"#,
            r#"egret_ase_suspended{environment="ase"} 1"#,
            r#"egret_ase_unreachable{environment="ase"} 3"#,
            r#"egret_rule_hits_total{policy="lab",group="g",collection="c\"x\"",rule="b"} 3"#,
        ] {
            assert!(page.lines().any(|shown| shown == line), "no line {line} in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn a_reload_starts_the_hits_anew() {
        let metrics = metrics();
        let totals = |metrics: &Metrics| metrics.rule_hits().totals().map(|(_, count)| count).collect::<Vec<u64>>();
        assert_eq!(totals(&metrics), [0, 2, 1]);
        metrics.set_rule_hits(Arc::new(RuleHits::new("f00d".into(), vec![rule("a")], 2)));
        assert_eq!(totals(&metrics), [0]);
        assert!(metrics.encode().contains(r#"egret_policy_info{hash="f00d"}"#));
    }

    #[test]
    fn every_flow_counter_is_its_own() {
        let counters = FlowCounters::default();
        for via in VIAS {
            for verdict in VERDICTS {
                Reason::ALL.iter().for_each(|reason| counters.of(via, verdict, *reason).add(1));
            }
        }
        assert!(counters.0.iter().all(|counter| counter.get() == 1));
    }

    #[test]
    fn the_manual_lists_every_metric_and_no_other() {
        let page = metrics().encode();
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let series: BTreeSet<&str> = samples.filter_map(|line| line.split([' ', '}']).next()).collect();
        let labels = |sample: &str| {
            sample.split(['{', ',']).skip(1).filter_map(|l| l.split('=').next()).collect::<Vec<_>>().join(", ")
        };
        let produced: BTreeSet<(String, String)> =
            series.iter().map(|s| (s.split('{').next().unwrap().to_owned(), labels(s))).collect();
        let rows = include_str!("../../docs/metrics.md").lines().filter(|line| line.starts_with("| `egret_"));
        let documented: BTreeSet<(String, String)> = rows
            .map(|row| {
                let cells: Vec<String> = row.split('|').map(|cell| cell.trim().replace('`', "")).collect();
                (cells[1].clone(), cells[2].clone())
            })
            .collect();
        assert_eq!(produced, documented);
    }
}
