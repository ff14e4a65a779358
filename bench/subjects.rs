//! The policies that decisions are measured with, and what each is asked: the built-in one, 10 000 rules of every kind,
//! and 1 000 000 names. Flows come in an order that is the same in each run.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use egret::allowlist::{self, Builtin};
use egret::flow::{Host, PortSet, Protocol};
use egret::policy::{
    Action, Address, AddressSet, AppProtocol, ApplicationRule, FqdnPattern, IpProtocols, NetworkRule, Policy,
    PolicyRules, Priority, PrivateAddresses, Query, RuleCollection, RuleCollectionGroup, RuleSet, Rules, Spot,
};

pub(crate) const LONG_LABEL: &str = "a-rather-long-label-as-generated-by-machines-for-other-machines";

/// A policy and what it is asked.
pub(crate) struct Subject {
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) policy: Policy,
    pub(crate) flows: Vec<Flow>,
}

pub(crate) struct Flow {
    client: IpAddr,
    protocol: Protocol,
    host: Host,
    address: Address,
    port: u16,
}

impl Subject {
    pub(crate) fn new(rules: RuleSet, flows: Vec<Flow>) -> Subject {
        let rules = Arc::new(rules);
        let policy = Policy::compile(Arc::clone(&rules), PrivateAddresses::Allow);
        Subject { rules, policy, flows }
    }
}

impl Flow {
    pub(crate) fn to_name(name: &str, port: u16) -> Flow {
        let protocol = if port == 80 { Protocol::Http } else { Protocol::Https };
        let client = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));
        Flow { client, protocol, host: Host::parse(name).unwrap(), address: Address::Unknown, port }
    }

    pub(crate) fn to_addr(addr: Ipv4Addr, port: u16) -> Flow {
        let addr = IpAddr::V4(addr);
        let flow = Flow::to_name("unused.test", port);
        Flow { protocol: Protocol::Tcp, host: Host::Addr(addr), address: Address::Given(addr), ..flow }
    }

    pub(crate) fn query(&self) -> Query<'_> {
        Query::new(Some(self.client), self.protocol, &self.host, self.port).with_address(self.address)
    }
}

pub(crate) fn patterns(rules: &RuleSet) -> impl Iterator<Item = &FqdnPattern> {
    let collections = rules.policies.iter().flat_map(|policy| &policy.groups).flat_map(|group| &group.collections);
    let application = collections.filter_map(|collection| match &collection.rules {
        Rules::Application(_, rules) => Some(rules),
        Rules::Dnat(_) | Rules::Network(..) => None,
    });
    application.flatten().flat_map(|rule| &rule.fqdns)
}

pub(crate) fn built_in_rules() -> RuleSet {
    let Builtin { rules, service_endpoints, .. } = allowlist::builtin("ase").unwrap();
    RuleSet { policies: vec![rules], service_endpoints, ..RuleSet::default() }
}

fn allow(rules: Vec<ApplicationRule>) -> Rules {
    Rules::Application(Action::Allow, rules)
}

fn application_rule(patterns: &[&str], port: u16, source: &str) -> ApplicationRule {
    let protocol = if port == 80 { Protocol::Http } else { Protocol::Https };
    ApplicationRule {
        name: "rule".to_owned(),
        sources: addresses(source),
        protocols: vec![AppProtocol { protocol, port }],
        fqdns: patterns.iter().map(|pattern| FqdnPattern::parse(pattern).unwrap()).collect(),
        ..ApplicationRule::default()
    }
}

fn network_rule(destination: &str, ports: &str, source: &str) -> NetworkRule {
    NetworkRule {
        name: "rule".to_owned(),
        sources: addresses(source),
        protocols: IpProtocols::TCP,
        destinations: addresses(destination),
        fqdns: Vec::new(),
        ports: ports.split(',').map(|range| range.parse().unwrap()).collect::<PortSet>(),
        ..NetworkRule::default()
    }
}

fn addresses(text: &str) -> AddressSet {
    let mut set = AddressSet::default();
    set.insert_text(text).unwrap();
    set
}

/// One collection after the other, in one group.
fn rule_set(collections: Vec<Rules>) -> RuleSet {
    let collections = collections.into_iter().zip(100..).map(|(rules, priority)| RuleCollection {
        name: format!("collection-{priority}"),
        priority: Priority::try_from(priority).unwrap(),
        rules,
        at: Spot::nowhere(),
    });
    let priority = Priority::try_from(100).unwrap();
    let group = RuleCollectionGroup {
        name: "group".to_owned(),
        priority,
        collections: collections.collect(),
        at: Spot::nowhere(),
    };
    let policies = vec![PolicyRules { name: "policy".to_owned(), groups: vec![group], ..PolicyRules::default() }];
    RuleSet { policies, ..RuleSet::default() }
}

/// Every name of the policy, as many flows to nowhere, and some below wildcards, to endpoints and to an address.
pub(crate) fn built_in_flows() -> Vec<Flow> {
    let rules = built_in_rules();
    let exact = patterns(&rules).filter(|pattern| matches!(pattern, FqdnPattern::Exact(_)));
    let mut flows: Vec<Flow> = exact.map(|name| Flow::to_name(&name.to_string(), 443)).collect();
    flows.extend(misses(60));
    for number in 0..10 {
        flows.push(Flow::to_name(&format!("region{number}.update.microsoft.com"), 443));
        flows.push(Flow::to_name(&format!("gr-prod-{number}.cloudapp.net"), 443));
        flows.push(Flow::to_name(&format!("account{number}.blob.core.windows.net"), 443));
        flows.push(Flow::to_addr(Ipv4Addr::new(40, 77, 24, 27), 443));
    }
    shuffled(flows)
}

fn misses(count: u32) -> impl Iterator<Item = Flow> {
    (0..count).map(|number| match number % 4 {
        0 => Flow::to_name(&format!("host{number}.example.com"), 443),
        1 => Flow::to_name(&format!("{LONG_LABEL}.{LONG_LABEL}.{number}.a.b.c.d.example.net"), 443),
        2 => Flow::to_name(&format!("host{number}.windows.net"), 443),
        _ => Flow::to_addr(Ipv4Addr::new(52, 1, 2, 3), 443),
    })
}

/// 5 000 application rules, 5 000 network rules; one in ten denies, one in four is for some clients only.
pub(crate) fn ten_thousand_rules() -> RuleSet {
    let source = |n: u32| if n.is_multiple_of(4) { format!("10.{}.0.0/16", n % 16) } else { "*".to_owned() };
    let application = |from: u32, to: u32| (from..to).map(|n| mixed_application_rule(n, &source(n))).collect();
    let network = |from: u32, to: u32| {
        let destination = |n: u32| format!("{}.{}.{}.0/{}", 20 + n % 50, n / 50 % 250, n % 7 * 30, 16 + n % 9);
        let ports = |n: u32| ["443", "1433", "5671-5672", "80,443,8000-9000", "*"][n as usize % 5];
        (from..to).map(|n| network_rule(&destination(n), ports(n), &source(n))).collect()
    };
    rule_set(vec![
        Rules::Network(Action::Deny, network(0, 500)),
        Rules::Network(Action::Allow, network(500, 5000)),
        Rules::Application(Action::Deny, application(0, 500)),
        Rules::Application(Action::Allow, application(500, 5000)),
    ])
}

fn mixed_application_rule(n: u32, source: &str) -> ApplicationRule {
    let exact = format!("host{n}.contoso{}.com", n % 100);
    let pattern = match n {
        _ if n.is_multiple_of(100) => format!("glob:node-*-{n}.fabric.example"),
        _ if n % 50 == 1 => format!("*tail{n}.example.org"),
        _ if n % 5 == 2 => format!("*.zone{n}.example.org"),
        _ => format!("other{n}.fabrikam.net"),
    };
    application_rule(&[&exact, &pattern], if n % 10 == 3 { 80 } else { 443 }, source)
}

pub(crate) fn ten_thousand_flows() -> Vec<Flow> {
    let hits = (0..5000).step_by(7).flat_map(|n| {
        [
            Flow::to_name(&format!("host{n}.contoso{}.com", n % 100), 443),
            Flow::to_name(&format!("a.b.zone{n}.example.org"), 443),
            Flow::to_name(&format!("x-tail{n}.example.org"), 443),
            Flow::to_name(&format!("node-7-{n}.fabric.example"), 443),
            Flow::to_addr(Ipv4Addr::from(0x1400_0001 + n * 0x0001_3a57), 443),
        ]
    });
    shuffled(hits.chain(misses(1000)).collect())
}

/// 100 rules of 10 000 names; one name in ten stands for all below it.
pub(crate) fn million_names() -> RuleSet {
    let names = |rule: u32| -> Vec<String> { (0..10_000).map(|n| million_name(rule * 10_000 + n)).collect() };
    let rules = (0..100).map(|rule| {
        let names = names(rule);
        application_rule(&names.iter().map(String::as_str).collect::<Vec<_>>(), 443, "*")
    });
    rule_set(vec![allow(rules.collect())])
}

fn million_name(n: u32) -> String {
    let star = if n.is_multiple_of(10) { "*." } else { "" };
    format!("{star}host-{n}.zone-{}.contoso.com", n % 1000)
}

pub(crate) fn million_flows() -> Vec<Flow> {
    let hits = (0..1_000_000).step_by(5).map(|n| match million_name(n).strip_prefix('*') {
        Some(below) => Flow::to_name(&format!("some.where{below}"), 443),
        None => Flow::to_name(&million_name(n), 443),
    });
    shuffled(hits.chain(misses(10_000)).collect())
}

/// In an order that neither the caches nor the branch predictor can guess, the same in each run.
fn shuffled(mut flows: Vec<Flow>) -> Vec<Flow> {
    let mut state = 0x9e37_79b9_u32;
    for at in (1..flows.len()).rev() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        flows.swap(at, (state >> 8) as usize % (at + 1));
    }
    flows
}
