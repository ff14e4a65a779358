//! Two policies that take turns, and which of them is in force, as the one who reloads knows it.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Allowed by both policies, and its origin always answers.
pub const ALWAYS: &str = "always.test";
/// Denied by both.
pub const NEVER: &str = "never.test";
pub const ODD: &str = "odd.test";
pub const EVEN: &str = "even.test";
/// Allowed by both; its origin is killed now and then.
pub const MORTAL: &str = "mortal.test";
/// Allowed by both, for clients that vanish.
pub const GONE: &str = "gone.test";
/// Denied by both, for the same.
pub const GONE_NEVER: &str = "gone-never.test";

/// Each allows one name that the other denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    Odd,
    Even,
}

impl Rules {
    pub const FIRST: Rules = Rules::Odd;

    pub fn other(self) -> Rules {
        match self {
            Rules::Odd => Rules::Even,
            Rules::Even => Rules::Odd,
        }
    }

    fn own(self) -> &'static str {
        match self {
            Rules::Odd => ODD,
            Rules::Even => EVEN,
        }
    }

    pub fn config(self) -> String {
        format!("allow = [\"{ALWAYS}\", \"{MORTAL}\", \"{GONE}\", \"{}\"]\n", self.own())
    }

    pub fn allows(self, host: &str) -> bool {
        [ALWAYS, MORTAL, GONE, self.own()].contains(&host)
    }
}

/// What may become of a flow that was asked for in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Allow,
    Deny,
    /// The policy changed meanwhile.
    Either,
}

/// Counts the beginnings and the ends of reloads: while it is even, one policy is in force for everybody.
#[derive(Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// A reload begins, or has ended.
    pub fn tick(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    pub fn now(&self) -> u64 {
        self.0.load(SeqCst)
    }

    pub fn expected(&self, since: u64, host: &str) -> Expected {
        let first = if (since / 2).is_multiple_of(2) { Rules::FIRST } else { Rules::FIRST.other() };
        let is_settled = since.is_multiple_of(2) && since == self.now();
        match (first.allows(host), first.other().allows(host) || is_settled) {
            (true, true) => Expected::Allow,
            (false, _) if is_settled || !first.other().allows(host) => Expected::Deny,
            _ => Expected::Either,
        }
    }
}

#[test]
fn a_clock_knows_what_may_be() {
    let clock = Clock::default();
    let check = |since, expected: [Expected; 4]| {
        assert_eq!([ALWAYS, NEVER, ODD, EVEN].map(|host| clock.expected(since, host)), expected, "{since}");
    };
    use Expected::{Allow, Deny, Either};
    check(0, [Allow, Deny, Allow, Deny]);
    clock.tick();
    check(0, [Allow, Deny, Either, Either]);
    check(1, [Allow, Deny, Either, Either]);
    clock.tick();
    check(1, [Allow, Deny, Either, Either]);
    check(2, [Allow, Deny, Deny, Allow]);
}
