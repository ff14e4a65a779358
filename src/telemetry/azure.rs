//! The log in Azure's formats: which records become which of Azure's, and which of those are wanted.

use std::sync::Arc;

use serde::Serialize;

use super::clock::{Clock, Precision};
use super::derived::Derived;
use super::record::{
    DnsRecord, EnvironmentRecord, EnvironmentState, EnvironmentWhy, FlowRecord, FqdnFailureRecord, Seen,
};
use super::sink::Entry;
use crate::azure::ase::{PlatformEvent, platform_record};
use crate::azure::category::{Categories, Category};
use crate::azure::dns_logs::{
    DnsQueried, FqdnFailed, dns_record, fqdn_failure_record, legacy_dns_records, legacy_fqdn_failure_record,
};
use crate::azure::flow_logs::{fat_flow_record, flow_trace_record};
use crate::azure::legacy_logs::{legacy_category, legacy_record};
use crate::azure::logs::{Decided, Threat, azure_record};
use crate::azure::threat_logs::{legacy_threat_record, threat_record};
use crate::flow::{Host, Reason, Verdict, Via};
use crate::policy::RuleName;

/// The two shapes of Azure's logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A table for each category.
    Structured,
    /// Lines of text in few categories.
    Legacy,
}

/// What writes Azure's records for one sink.
pub(super) struct AzureWriter {
    pub(super) shape: Shape,
    pub(super) resource_id: Arc<str>,
    pub(super) categories: Categories,
}

impl AzureWriter {
    /// Appends the lines of a record; of what Azure has no words for, none.
    pub(super) fn write(&self, out: &mut Vec<u8>, clock: &mut Clock, entry: &Entry<'_>) {
        let time = clock.show(entry.ts(), Precision::Azure);
        match *entry {
            Entry::Flow(record) => self.write_flow(out, time, record),
            Entry::Dns(record) => self.write_dns(out, time, record),
            Entry::Environment(record) if self.shape == Shape::Structured => {
                let EnvironmentRecord { ts: _, name: _, id, state, why, unreachable } = record;
                let event = platform_event(*state, *why, unreachable);
                write_json(out, &platform_record(&event, time, id));
            }
            Entry::FqdnFailure(record) => self.write_fqdn_failure(out, time, record),
            Entry::Start(_) | Entry::Close(_) | Entry::Environment(_) | Entry::Reload(_) | Entry::End(..) => {}
        }
    }

    /// The same of what only Azure's tables have.
    pub(super) fn write_derived(&self, out: &mut Vec<u8>, clock: &mut Clock, derived: &Derived<'_>) {
        if self.shape == Shape::Legacy || !self.has(derived.category()) {
            return;
        }
        let time = clock.show(derived.ts(), Precision::Azure);
        match *derived {
            Derived::Trace(_, traced) => write_json(out, &flow_trace_record(traced, time, &self.resource_id)),
            Derived::Fat(_, fat) => write_json(out, &fat_flow_record(fat, time, &self.resource_id)),
            Derived::Sum(_, summed, count) => write_json(out, &summed.record(count, time, &self.resource_id)),
        }
    }

    fn has(&self, category: Category) -> bool {
        self.categories.contains(category)
    }

    fn write_flow(&self, out: &mut Vec<u8>, time: &str, record: &FlowRecord) {
        with_decided(record, time, |decided| {
            self.write_threat(out, decided);
            if record.reason == Reason::ThreatIntel {
                // No rule was looked at.
                return;
            }
            let category = match self.shape {
                Shape::Structured => decided.category(),
                Shape::Legacy => legacy_category(decided),
            };
            match self.shape {
                _ if !self.has(category) => {}
                Shape::Structured => write_json(out, &azure_record(decided, &self.resource_id)),
                Shape::Legacy => write_json(out, &legacy_record(decided, time, &self.resource_id)),
            }
        });
    }

    fn write_threat(&self, out: &mut Vec<u8>, decided: &Decided<'_>) {
        let id = &*self.resource_id;
        match self.shape {
            Shape::Structured if self.has(Category::ThreatIntel) => {
                threat_record(decided, id).iter().for_each(|record| write_json(out, record));
            }
            Shape::Legacy if self.has(Category::LegacyNetworkRule) => {
                legacy_threat_record(decided, id).iter().for_each(|record| write_json(out, record));
            }
            _ => {}
        }
    }

    fn write_dns(&self, out: &mut Vec<u8>, time: &str, record: &DnsRecord) {
        let queried = queried(record, time);
        match self.shape {
            Shape::Structured if self.has(Category::DnsQuery) => {
                write_json(out, &dns_record(&queried, &self.resource_id));
            }
            Shape::Legacy if self.has(Category::LegacyDnsProxy) => {
                legacy_dns_records(&queried, &self.resource_id).for_each(|line| write_json(out, &line));
            }
            _ => {}
        }
    }

    /// One for each rule that has the name.
    fn write_fqdn_failure(&self, out: &mut Vec<u8>, time: &str, record: &FqdnFailureRecord) {
        let FqdnFailureRecord { ts: _, fqdn, server, error, rules } = record;
        let bare = FqdnFailed { time, fqdn: fqdn.as_str(), error, server: *server, rule: None };
        let of_rules = rules.iter().map(|rule| FqdnFailed { rule: Some(rule), ..bare });
        for failed in of_rules.chain(rules.is_empty().then_some(bare)) {
            match self.shape {
                Shape::Structured if self.has(Category::FqdnResolveFailure) => {
                    write_json(out, &fqdn_failure_record(&failed, &self.resource_id));
                }
                Shape::Legacy if self.has(Category::LegacyNetworkRule) => {
                    write_json(out, &legacy_fqdn_failure_record(&failed, &self.resource_id));
                }
                _ => {}
            }
        }
    }
}

/// What has no destination, such as a malformed request, has no place in the firewall's tables, nor has what the firewall
/// never saw; a question is in the table of questions, with its answer. What the firewall let through and a group behind it
/// denied is there as the firewall saw it.
pub(super) fn with_decided<T>(record: &FlowRecord, time: &str, then: impl FnOnce(&Decided<'_>) -> T) -> Option<T> {
    let has_destination = record.host.is_some() || record.dst.is_some();
    let passed = record.network.as_ref().and_then(|network| network.passed.as_ref());
    let unseen = record.bypassed() || (record.reason.is_before_firewall() && passed.is_none());
    if unseen || !has_destination || record.via == Via::Dns || matches!(record.host, Some(Seen::Raw(_))) {
        return None;
    }
    let host = record.host.as_ref().map_or(String::new(), |host| host.to_string());
    let by_itself = (record.verdict, record.reason, record.rule.as_deref());
    let (verdict, reason, rule) =
        passed.map_or(by_itself, |passed| (Verdict::Allow, passed.reason, passed.rule.as_deref()));
    let decided = Decided {
        time,
        via: record.via,
        protocol: record.protocol,
        client: record.client,
        host: &host,
        port: record.port,
        dst: record.dst,
        url: record.url.as_ref().map(|url| url.as_str()),
        verdict,
        reason,
        rule,
        web_category: web_category(rule, record),
        threat: record
            .threat
            .as_ref()
            .map(|threat| Threat { description: &threat.description, indicator: &threat.indicator }),
    };
    Some(then(&decided))
}

/// Of the rule that decided, the one that the name is in.
fn web_category<'a>(rule: Option<&'a RuleName>, record: &FlowRecord) -> &'a str {
    match (rule, &record.host) {
        (Some(rule), Some(Seen::Valid(Host::Name(name)))) => rule.categories.of(name).unwrap_or_default(),
        _ => "",
    }
}

fn queried<'a>(record: &'a DnsRecord, time: &'a str) -> DnsQueried<'a> {
    let DnsRecord { ts: _, client, transport, id, name, kind, class, request_bytes, dnssec_ok, .. } = record;
    DnsQueried {
        time,
        client: *client,
        transport: transport.as_str(),
        id: *id,
        name: name.as_str(),
        kind,
        class,
        request_bytes: *request_bytes,
        dnssec_ok: *dnssec_ok,
        buffer_bytes: record.buffer_bytes,
        code: record.code,
        flags: &record.flags,
        response_bytes: record.response_bytes,
        duration: record.duration,
        error: record.error.as_deref(),
    }
}

pub(super) fn write_json(out: &mut Vec<u8>, record: &impl Serialize) {
    serde_json::to_writer(&mut *out, record).expect("plain structs to a Vec cannot fail");
    out.push(b'\n');
}

fn platform_event(state: EnvironmentState, why: EnvironmentWhy, unreachable: &[Arc<str>]) -> PlatformEvent<'_> {
    match (state, why) {
        (EnvironmentState::Healthy, _) => PlatformEvent::Healthy,
        (EnvironmentState::Unhealthy, _) => PlatformEvent::Unhealthy { unreachable },
        (EnvironmentState::Suspended, EnvironmentWhy::Dependencies) => PlatformEvent::Suspended,
        (EnvironmentState::Suspended, EnvironmentWhy::Asked) => PlatformEvent::SuspendedOnRequest,
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{allowed, closed, denied, fqdn_failure};
    use super::*;
    use crate::policy::{
        About, Action, ApplicationRule, FqdnPattern, Policy, PolicyRules, Priority, PrivateAddresses, RuleCollection,
        RuleCollectionGroup, RuleSet, Rules, Spot, WebCategory,
    };
    use serde_json::Value;

    /// The records of this shape in all categories but those that are off where nothing is chosen.
    fn written(shape: Shape, entry: &Entry<'_>) -> Vec<Value> {
        let writer = AzureWriter { shape, resource_id: "/x".into(), categories: Categories::default() };
        let mut out = Vec::new();
        writer.write(&mut out, &mut Clock::new(), entry);
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn rule_of_category() -> Arc<RuleName> {
        let members = Arc::from([FqdnPattern::parse("*.test").unwrap()]);
        let rule = ApplicationRule {
            name: "games".to_owned(),
            categories: vec![WebCategory { name: "Games".to_owned(), members }],
            about: About::default(),
            ..ApplicationRule::default()
        };
        let priority = Priority::try_from(100).unwrap();
        let rules = Rules::Application(Action::Allow, vec![rule]);
        let collection = RuleCollection { name: "web".to_owned(), priority, rules, at: Spot::default() };
        let collections = vec![collection];
        let group = RuleCollectionGroup { name: "g".to_owned(), priority, collections, at: Spot::default() };
        let policy = PolicyRules { name: "lab".to_owned(), groups: vec![group], ..PolicyRules::default() };
        let set = RuleSet { policies: vec![policy], ..RuleSet::default() };
        Policy::compile(set.into(), PrivateAddresses::Allow).rule_names()[0].clone()
    }

    #[test]
    fn the_category_of_the_rule_is_told() {
        let record = FlowRecord { rule: Some(rule_of_category()), ..allowed() };
        let [structured] = written(Shape::Structured, &Entry::Flow(&record)).try_into().unwrap();
        assert_eq!(structured["properties"]["WebCategory"], "Games");
        let [legacy] = written(Shape::Legacy, &Entry::Flow(&record)).try_into().unwrap();
        let msg = legacy["properties"]["msg"].as_str().unwrap();
        assert!(msg.ends_with("Rule Collection: web. Rule: games. Web Category: Games"), "{msg}");
        let [none] = written(Shape::Structured, &Entry::Flow(&allowed())).try_into().unwrap();
        assert_eq!(none["properties"]["WebCategory"], "");
    }

    #[test]
    fn each_rule_has_its_failure() {
        let mut failure = fqdn_failure();
        failure.rules.push(rule_of_category());
        for (rules, expected) in [(failure.rules.clone(), &["allow git", "games"][..]), (Vec::new(), &[""])] {
            let failure = FqdnFailureRecord { rules, ..failure.clone() };
            let records = written(Shape::Structured, &Entry::FqdnFailure(&failure));
            let rules: Vec<&str> = records.iter().map(|it| it["properties"]["Rule"].as_str().unwrap()).collect();
            assert_eq!(rules, expected);
            assert_eq!(written(Shape::Legacy, &Entry::FqdnFailure(&failure)).len(), expected.len());
        }
    }

    #[test]
    fn decisions_and_no_ends() {
        for shape in [Shape::Structured, Shape::Legacy] {
            assert_eq!(written(shape, &Entry::Close(&closed())), [Value::Null; 0]);
            assert_eq!(written(shape, &Entry::Flow(&denied())).len(), 1);
        }
    }
}
