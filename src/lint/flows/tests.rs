//! What is said of reachability, against random policies and flows.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::flow::{AddrClass, Host, Protocol};
use crate::policy::arbitrary::{Asked, asked, rule_set};
use crate::policy::{
    Action, AddressSet, AppProtocol, ApplicationRule, DnatDeny, Feed, FqdnPattern, Indicator, Policy, PolicyRules,
    Priority, PrivateAddresses, RuleCollection, RuleCollectionGroup, RuleSet, Rules, Spot, Switches, ThreatIntel,
    ThreatMode,
};

use super::diff::{compare_with_atoms, decide};
use super::reach::{LIMITS, Limits, reach_within};
use super::witness::Way;
use super::*;

/// Rule sets times flows of each: what CI runs.
const RULE_SETS: u32 = 600;
const FLOWS: usize = 100;

fn switches(strict: bool, overrides: bool) -> Switches {
    let private = if strict { PrivateAddresses::Deny } else { PrivateAddresses::Allow };
    let dnat_deny = if overrides { DnatDeny::Overrides } else { DnatDeny::Ignored };
    Switches { private, dnat_deny }
}

/// Threat intelligence is no rule.
fn rules_of(set: RuleSet) -> RuleSet {
    RuleSet { threat_intel: ThreatIntel::default(), ..set }
}

/// Nobody sees the path of an encrypted request.
fn seen(flow: &Asked) -> Asked {
    Asked { path: flow.path.filter(|_| flow.protocol == Protocol::Http), ..flow.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: RULE_SETS, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reached_rules_are_hit_and_others_never(
        set in rule_set(), flows in vec(asked(), FLOWS), strict in any::<bool>(), overrides in any::<bool>(),
    ) {
        let set = rules_of(set);
        let switches = switches(strict, overrides);
        let policy = Policy::compile(Arc::new(set.clone()), switches);
        let reach = reach(&set, &policy, switches);
        for (outcome, rule) in reach.outcomes.iter().zip(0..) {
            if let Outcome::Reached(witness) = outcome {
                let decided = witness.ask(|query| policy.decide(query).rule);
                prop_assert_eq!(decided.map(|rule| rule.0), Some(rule), "{}", witness);
            }
            prop_assert!(!matches!(outcome, Outcome::Undecided));
        }
        for flow in flows.iter().map(seen) {
            if let Some(rule) = policy.decide(&flow.query()).rule {
                let outcome = &reach.outcomes[rule.0 as usize];
                prop_assert!(matches!(outcome, Outcome::Reached(_)), "{:?} {:?} {:?}", rule, outcome, flow);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: RULE_SETS, failure_persistence: None, ..ProptestConfig::default() })]

    /// Where the lists would be too long, each rule is laid over those that it meets: nothing else comes of it.
    #[test]
    fn one_rule_at_a_time_is_the_same(set in rule_set(), flows in vec(asked(), FLOWS), strict in any::<bool>()) {
        let set = rules_of(set);
        let switches = switches(strict, false);
        let policy = Policy::compile(Arc::new(set.clone()), switches);
        let [whole, single] =
            [LIMITS.places, 0].map(|places| reach_within(&set, &policy, switches, Limits { places, ..LIMITS }));
        let is_reached = |outcome: &Outcome| matches!(outcome, Outcome::Reached(_));
        for (whole, single) in whole.outcomes.iter().zip(&single.outcomes) {
            prop_assert!(*single != Outcome::Undecided);
            prop_assert_eq!(is_reached(whole), is_reached(single), "{:?} {:?}", whole, single);
        }
        for rule in flows.iter().filter_map(|flow| policy.decide(&seen(flow).query()).rule) {
            prop_assert!(is_reached(&single.outcomes[rule.0 as usize]));
        }
    }
}

/// What a random flow is once it is one that `egret check` can ask about.
fn checked(flow: &Asked) -> Witness {
    let host = match (&flow.name, flow.address) {
        (Some(name), _) => Host::Name(name.clone()),
        (None, address) => Host::Addr(address.ip().expect("no name and no address")),
    };
    let way = match (&flow.name, flow.address.ip()) {
        (Some(_), Some(addr)) => Way::Override(addr),
        _ => Way::Checked,
    };
    let portless = matches!(flow.protocol, Protocol::Icmp | Protocol::Other);
    Witness {
        client: flow.client,
        protocol: flow.protocol,
        host,
        port: if portless { 0 } else { flow.port },
        path: (flow.protocol == Protocol::Http).then(|| flow.path.unwrap_or("/").to_owned()),
        way,
    }
}

/// The guard refuses some addresses, whatever name leads there.
fn can_be(flow: &Witness) -> bool {
    !matches!(flow.way, Way::Override(addr) if AddrClass::of(addr).is_never_a_destination())
}

/// The same policy with one thing done to one collection.
fn edited(set: &RuleSet, which: usize, how: usize) -> RuleSet {
    let mut set = set.clone();
    let mut collections: Vec<&mut RuleCollection> = set
        .policies
        .iter_mut()
        .flat_map(|policy| &mut policy.groups)
        .flat_map(|group| &mut group.collections)
        .collect();
    let count = collections.len();
    let Some(collection) = collections.get_mut(which % count.max(1)) else { return set };
    match (&mut collection.rules, how % 4) {
        (_, 0) => collection.priority = Priority::try_from(150).unwrap(),
        (Rules::Network(action, _) | Rules::Application(action, _), 1) => {
            *action = if *action == Action::Allow { Action::Deny } else { Action::Allow };
        }
        (Rules::Network(_, rules), _) => drop(rules.pop()),
        (Rules::Application(_, rules), _) => drop(rules.pop()),
        (Rules::Dnat(rules), _) => drop(rules.pop()),
    }
    set
}

fn pair() -> impl Strategy<Value = (RuleSet, RuleSet)> {
    let rule_set = || rule_set().prop_map(rules_of);
    let edits =
        (rule_set(), 0..10_usize, 0..4_usize).prop_map(|(set, which, how)| (set.clone(), edited(&set, which, how)));
    prop_oneof![3 => edits, 1 => (rule_set(), rule_set())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: RULE_SETS, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn differences_are_real_and_complete(
        (old, new) in pair(), flows in vec(asked(), FLOWS), strict in any::<bool>(), overrides in any::<bool>(),
    ) {
        let switches = switches(strict, overrides);
        let [before, after] = [&old, &new].map(|set| Policy::compile(Arc::new(set.clone()), switches));
        let side = |set, policy| Side { set, policy, switches };
        let (comparison, atoms) = compare_with_atoms(side(&old, &before), side(&new, &after));
        for difference in &comparison.changed {
            let Difference { old, new, witness, .. } = difference;
            prop_assert_ne!(old.verdict, new.verdict);
            prop_assert_eq!(decide(&before, witness).verdict, old.verdict, "{}", witness);
            prop_assert_eq!(decide(&after, witness).verdict, new.verdict, "{}", witness);
        }
        for flow in flows.iter().map(checked).filter(can_be) {
            let (was, is) = (decide(&before, &flow).verdict, decide(&after, &flow).verdict);
            let to = atoms.class_of(&flow.host);
            let at = match flow.way {
                Way::Override(addr) => atoms.class_of(&Host::Addr(addr)),
                _ => None,
            };
            let Witness { client, protocol, port, path, .. } = &flow;
            let covers = |difference: &&Difference| {
                let region = &difference.region;
                region.has_path(path.as_deref())
                    && (region.covers(to, at, *protocol, *port, *client) || region.covers(at, None, *protocol, *port, *client))
            };
            let covering: Vec<&Difference> = comparison.changed.iter().filter(covers).collect();
            if was != is {
                let told = covering.iter().any(|it| (it.old.verdict, it.new.verdict) == (was, is));
                prop_assert!(told, "{:?} {:?} {} is told by none", was, is, flow);
            } else if flow.way == Way::Checked {
                prop_assert!(covering.is_empty(), "{} is told by {:?}", flow, covering[0]);
            }
        }
    }
}

/// What threat intelligence denies changes its verdict with the mode, by whatever rule it went.
#[test]
fn threat_intelligence_is_compared_by_what_it_speaks_of() {
    let rule = ApplicationRule {
        name: "all".to_owned(),
        sources: AddressSet::any(),
        protocols: vec![AppProtocol { protocol: Protocol::Https, port: 8443 }],
        fqdns: vec![FqdnPattern::Any],
        ..ApplicationRule::default()
    };
    let collection = RuleCollection {
        name: "c".to_owned(),
        priority: Priority::try_from(100).unwrap(),
        rules: Rules::Application(Action::Allow, vec![rule]),
        at: Spot::nowhere(),
    };
    let group = RuleCollectionGroup {
        name: "g".to_owned(),
        priority: Priority::try_from(100).unwrap(),
        collections: vec![collection],
        at: Spot::nowhere(),
    };
    let policies = vec![PolicyRules { name: "p".to_owned(), groups: vec![group], ..PolicyRules::default() }];
    let of_mode = |mode| {
        let feed = Arc::new(Feed::new(vec![Indicator::test()]));
        let threat_intel = ThreatIntel { mode, feed, ..ThreatIntel::default() };
        RuleSet { policies: policies.clone(), threat_intel, ..RuleSet::default() }
    };
    let told = |before: ThreatMode, after: ThreatMode| {
        let sets = [before, after].map(of_mode);
        let compiled = sets.each_ref().map(|set| Policy::compile(Arc::new(set.clone()), Switches::default()));
        let [old, new] = [0, 1].map(|i| Side { set: &sets[i], policy: &compiled[i], switches: Switches::default() });
        compare(old, new).changed.iter().map(|it| it.witness.target()).collect::<Vec<_>>()
    };
    let known = "https://testmaliciousdomain.eastus.cloudapp.azure.com:8443";
    assert_eq!(told(ThreatMode::Alert, ThreatMode::Deny), [known]);
    assert_eq!(told(ThreatMode::Deny, ThreatMode::Off), [known]);
    assert!(told(ThreatMode::Off, ThreatMode::Alert).is_empty());
    assert!(told(ThreatMode::Deny, ThreatMode::Deny).is_empty());
}
