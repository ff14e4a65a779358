//! What is said of reachability, against random policies and flows.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::flow::Protocol;
use crate::policy::arbitrary::{Asked, asked, rule_set};
use crate::policy::{DnatDeny, Policy, PrivateAddresses, Switches};

use super::*;

/// Rule sets times flows of each: what CI runs.
const RULE_SETS: u32 = 600;
const FLOWS: usize = 100;

fn cases() -> u32 {
    std::env::var("CASES").map_or(RULE_SETS, |n| n.parse().unwrap())
}

fn switches(strict: bool, overrides: bool) -> Switches {
    let private = if strict { PrivateAddresses::Deny } else { PrivateAddresses::Allow };
    let dnat_deny = if overrides { DnatDeny::Overrides } else { DnatDeny::Ignored };
    Switches { private, dnat_deny }
}

/// Nobody sees the path of an encrypted request.
fn seen(flow: &Asked) -> Asked {
    Asked { path: flow.path.filter(|_| flow.protocol == Protocol::Http), ..flow.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reached_rules_are_hit_and_others_never(
        set in rule_set(), flows in vec(asked(), FLOWS), strict in any::<bool>(), overrides in any::<bool>(),
    ) {
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
