//! What the analysis of a whole policy costs: `cargo bench --bench lint`.
//!
//! 20 000 rules of several kinds: each for names of its own; each for networks of its own; all for anybody and any
//! destination, told apart by port and client; copies that nothing reaches; and a little of everything; then what no
//! one writes: ports that overlap, any name for each client, one host's paths, networks and ports within each other. Then two
//! policies of 20 000 rules that differ in one of them, or in the last, which is for everything.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up may as well panic")]

use std::sync::Arc;

use divan::Bencher;
use egret::flow::{PortSet, Protocol};
use egret::lint::{Side, compare, whole_order};
use egret::policy::{
    Action, AddressSet, AppProtocol, ApplicationRule, FqdnPattern, IpProtocols, NetworkRule, Policy, PolicyRules,
    Priority, RuleCollection, RuleCollectionGroup, RuleSet, Rules, Spot, Switches, UrlPattern,
};

fn main() {
    divan::main();
}

const RULES: usize = 20_000;

const KINDS: [&str; 7] = ["names", "networks", "ports-and-clients", "copies", "dead", "globs", "mixed"];

/// Whose rules meet each other everywhere.
const TANGLED: [&str; 4] = ["ranges-and-clients", "any-name", "paths", "overlapping"];

#[divan::bench(args = TANGLED, sample_count = 3, sample_size = 1)]
fn tangled(bencher: Bencher<'_, '_>, kind: &str) {
    let set = policy(kind);
    bencher.bench_local(|| whole_order(&set, Switches::default()).undecided);
}

#[divan::bench(args = KINDS, sample_count = 5, sample_size = 1)]
fn reachability(bencher: Bencher<'_, '_>, kind: &str) {
    let set = policy(kind);
    bencher.bench_local(|| whole_order(&set, Switches::default()).findings.len());
}

#[divan::bench(args = KINDS, sample_count = 5, sample_size = 1)]
fn one_rule_differs(bencher: Bencher<'_, '_>, kind: &str) {
    let (old, new) = (policy(kind), without(policy(kind), RULES / 2));
    bencher.bench_local(|| differences(&old, &new));
}

#[divan::bench(args = KINDS, sample_count = 3, sample_size = 1)]
fn everything_is_denied_at_the_end(bencher: Bencher<'_, '_>, kind: &str) {
    let (old, mut new) = (policy(kind), policy(kind));
    new.policies[0].groups[0].collections.push(collection(9_000, Rules::Network(Action::Deny, vec![anything()])));
    bencher.bench_local(|| differences(&old, &new));
}

fn differences(old: &RuleSet, new: &RuleSet) -> usize {
    let [before, after] = [old, new].map(|set| Policy::compile(Arc::new(set.clone()), Switches::default()));
    let side = |set, policy| Side { set, policy, switches: Switches::default() };
    compare(side(old, &before), side(new, &after)).changed.len()
}

fn policy(kind: &str) -> RuleSet {
    let application =
        |make: fn(usize) -> ApplicationRule| Rules::Application(Action::Allow, (0..RULES).map(make).collect());
    let network = |make: fn(usize) -> NetworkRule| Rules::Network(Action::Allow, (0..RULES).map(make).collect());
    let collections = match kind {
        "names" => vec![collection(1000, application(names))],
        "networks" => vec![collection(1000, network(networks))],
        "ports-and-clients" => vec![collection(1000, network(ports_and_clients))],
        "copies" => vec![collection(1000, application(|at| names(at / 2)))],
        "dead" => {
            let wide = NetworkRule { ports: ports("443"), ..anything() };
            vec![collection(500, Rules::Network(Action::Allow, vec![wide])), collection(1000, application(names))]
        }
        "globs" => vec![collection(1000, application(globs))],
        "ranges-and-clients" => vec![collection(1000, network(ranges_and_clients))],
        "any-name" => vec![collection(1000, application(any_name))],
        "paths" => vec![collection(1000, application(one_path))],
        "overlapping" => vec![collection(1000, network(overlapping))],
        _ => vec![
            collection(500, Rules::Network(Action::Deny, (0..RULES / 4).map(networks).collect())),
            collection(600, Rules::Network(Action::Allow, (0..RULES / 4).map(|at| networks(at / 2)).collect())),
            collection(700, Rules::Application(Action::Allow, (0..RULES / 4).map(names).collect())),
            collection(800, Rules::Application(Action::Deny, (0..RULES / 4).map(suffixes).collect())),
        ],
    };
    let group = RuleCollectionGroup {
        name: "rcg".into(),
        priority: Priority::try_from(1000).unwrap(),
        collections,
        at: Spot::nowhere(),
    };
    let policy = PolicyRules { name: "policy".into(), groups: vec![group], ..PolicyRules::default() };
    RuleSet { policies: vec![policy], ..RuleSet::default() }
}

fn without(mut set: RuleSet, at: usize) -> RuleSet {
    for collection in &mut set.policies[0].groups[0].collections {
        match &mut collection.rules {
            Rules::Network(_, rules) if rules.len() > 1 => drop(rules.remove(at % rules.len())),
            Rules::Application(_, rules) => drop(rules.remove(at % rules.len())),
            _ => continue,
        }
        break;
    }
    set
}

fn collection(priority: i64, rules: Rules) -> RuleCollection {
    let priority = Priority::try_from(priority).unwrap();
    RuleCollection { name: format!("rc-{priority}"), priority, rules, at: Spot::nowhere() }
}

fn https() -> Vec<AppProtocol> {
    vec![AppProtocol { protocol: Protocol::Https, port: 443 }]
}

fn pattern(text: String) -> FqdnPattern {
    FqdnPattern::parse(&text).unwrap()
}

fn ports(text: &str) -> PortSet {
    [text.parse().unwrap()].into_iter().collect()
}

fn addresses(text: String) -> AddressSet {
    let mut set = AddressSet::default();
    set.insert_text(&text).unwrap();
    set
}

fn application(at: usize, fqdns: Vec<FqdnPattern>) -> ApplicationRule {
    let sources = if at.is_multiple_of(3) { AddressSet::any() } else { addresses(format!("10.{}.0.0/16", at % 200)) };
    ApplicationRule { name: format!("rule-{at}"), sources, protocols: https(), fqdns, ..ApplicationRule::default() }
}

fn names(at: usize) -> ApplicationRule {
    let own = (0..4).map(|host| pattern(format!("host-{host}.site-{at}.example")));
    application(at, own.chain([pattern(format!("*.zone-{at}.example"))]).collect())
}

fn suffixes(at: usize) -> ApplicationRule {
    application(at, vec![pattern(format!("*.site-{at}.example")), pattern("*.example".to_owned())])
}

fn globs(at: usize) -> ApplicationRule {
    if at < 200 {
        application(at, vec![pattern(format!("glob:gr-{at}-*.zone-{}.example", at % 10))])
    } else {
        names(at)
    }
}

fn networks(at: usize) -> NetworkRule {
    NetworkRule {
        name: format!("net-{at}"),
        sources: addresses(format!("10.{}.0.0/16", at % 100)),
        protocols: IpProtocols::TCP,
        destinations: addresses(format!("172.{}.{}.{}/29", 16 + at / 8192, at / 32 % 256, at % 32 * 8)),
        ports: ports(["443", "1433", "8000-9000", "22"][at % 4]),
        ..NetworkRule::default()
    }
}

fn ports_and_clients(at: usize) -> NetworkRule {
    NetworkRule {
        name: format!("wide-{at}"),
        sources: addresses(format!("10.{}.{}.0/24", at / 256 % 256, at % 256)),
        ports: ports(&(1 + at % 60_000).to_string()),
        ..anything()
    }
}

fn client(at: usize) -> AddressSet {
    addresses(format!("10.{}.{}.0/24", at / 256 % 256, at % 256))
}

fn ranges_and_clients(at: usize) -> NetworkRule {
    let own = if at.is_multiple_of(2) { "443".to_owned() } else { format!("{}-{}", at + 1, at + 30_000) };
    NetworkRule { name: format!("range-{at}"), sources: client(at), ports: ports(&own), ..anything() }
}

fn any_name(at: usize) -> ApplicationRule {
    let fqdns = vec![pattern(format!("*.zone-{}.example", at % 50)), FqdnPattern::Any];
    ApplicationRule { sources: client(at), ..application(at, fqdns) }
}

fn one_path(at: usize) -> ApplicationRule {
    let urls = vec![UrlPattern::parse(&format!("www.example/path-{at}/*")).unwrap()];
    let protocols = vec![AppProtocol { protocol: Protocol::Http, port: 80 }];
    ApplicationRule { sources: AddressSet::any(), urls, protocols, ..application(at, Vec::new()) }
}

/// Each with several destinations, ports and clients, wide and narrow, wherever chance puts them.
fn overlapping(at: usize) -> NetworkRule {
    let mut state = at as u64 + 1;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut network = |lengths: &[u64]| {
        let length = lengths[usize::try_from(next(lengths.len() as u64)).unwrap()];
        let bits = ((10 << 24) | (next(1 << 16) << 8)) & !((1 << (32 - length)) - 1);
        format!("{}/{length}", std::net::Ipv4Addr::from(u32::try_from(bits).unwrap()))
    };
    let set = |networks: [String; 3]| {
        let mut set = AddressSet::default();
        networks.iter().for_each(|text| set.insert_text(text).unwrap());
        set
    };
    let destinations = set(std::array::from_fn(|_| network(&[8, 16, 20, 24])));
    let sources = set(std::array::from_fn(|_| network(&[16, 24])));
    let ranges = std::array::from_fn::<_, 3, _>(|_| {
        let first = 1 + next(60_000);
        format!("{first}-{}", first + next(3_000)).parse().unwrap()
    });
    NetworkRule {
        name: format!("overlapping-{at}"),
        sources,
        destinations,
        ports: ranges.into_iter().collect(),
        protocols: IpProtocols::TCP,
        ..NetworkRule::default()
    }
}

fn anything() -> NetworkRule {
    NetworkRule {
        name: "anything".into(),
        sources: AddressSet::any(),
        protocols: IpProtocols::ANY,
        destinations: AddressSet::any(),
        ports: PortSet::any(),
        ..NetworkRule::default()
    }
}
