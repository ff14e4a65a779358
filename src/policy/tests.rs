//! The compiled policy against the linear walk, over random policies and flows.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::arbitrary::{asked, rule_set};
use super::*;

/// Rule sets times flows of each: what CI runs.
const RULE_SETS: u32 = 2_500;
const FLOWS: usize = 40;

proptest! {
    #![proptest_config(ProptestConfig { cases: RULE_SETS, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compiled_and_walk_agree(set in rule_set(), flows in vec(asked(), FLOWS), strict in any::<bool>(), overrides in any::<bool>()) {
        let private = if strict { PrivateAddresses::Deny } else { PrivateAddresses::Allow };
        let dnat_deny = if overrides { DnatDeny::Overrides } else { DnatDeny::Ignored };
        let switches = Switches { private, dnat_deny };
        let policy = Policy::compile(Arc::new(set.clone()), switches);
        for flow in &flows {
            let query = flow.query();
            prop_assert_eq!(policy.decide(&query), walk(&set, switches, &query).decision, "{:?}", query);
        }
    }
}
