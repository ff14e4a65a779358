//! What a decision costs, and what a policy costs to compile: `cargo bench --bench policy`.
//!
//! Three policies: the built-in one, 10 000 rules of every kind, and 1 000 000 names. Each is asked in turn for names
//! that are in it, below a wildcard, long, and not in it at all, and for addresses. Beside them: globset alone over the
//! same patterns, which knows neither ports, sources, order nor addresses, and the linear walk.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints figures, and one that cannot be set up may as well panic"
)]

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use divan::Bencher;
use egret::policy::{Policy, PrivateAddresses, Query, RuleSet, walk};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

mod alloc;
mod subjects;

use subjects::{
    Flow, LONG_LABEL, Subject, built_in_flows, built_in_rules, million_flows, million_names, patterns,
    ten_thousand_flows, ten_thousand_rules,
};

fn main() {
    compile_figures();
    divan::main();
}

static BUILT_IN: LazyLock<Subject> = LazyLock::new(|| Subject::new(built_in_rules(), built_in_flows()));
static TEN_THOUSAND: LazyLock<Subject> = LazyLock::new(|| Subject::new(ten_thousand_rules(), ten_thousand_flows()));
static MILLION: LazyLock<Subject> = LazyLock::new(|| Subject::new(million_names(), million_flows()));

/// Asks for one flow after the other, once warm: a glob's first match on a thread makes its scratch space.
///
/// The questions are read before the clock runs, as a proxy has just read them; the policy is as cold as it is.
fn ask<T>(bencher: Bencher<'_, '_>, flows: &[Flow], mut answer: impl FnMut(&Query<'_>) -> T) {
    flows.iter().take(WARM).for_each(|flow| _ = black_box(answer(&flow.query())));
    let mut flows = flows.iter().cycle();
    let just_read = || {
        let query = flows.next().unwrap().query();
        black_box(query.name.map(|name| name.as_str().bytes().max()));
        query
    };
    bencher.with_inputs(just_read).bench_local_refs(|query| answer(query));
}

/// Flows asked before the clock runs.
const WARM: usize = 50_000;
/// Decisions timed together: one takes no longer than a look at the clock.
const BATCH: u32 = 2_000;

mod decide {
    use super::*;

    #[divan::bench(sample_size = BATCH)]
    fn a_built_in(bencher: Bencher<'_, '_>) {
        ask(bencher, &BUILT_IN.flows, |query| BUILT_IN.policy.decide(query));
    }

    #[divan::bench(sample_size = BATCH)]
    fn b_ten_thousand_rules(bencher: Bencher<'_, '_>) {
        ask(bencher, &TEN_THOUSAND.flows, |query| TEN_THOUSAND.policy.decide(query));
    }

    #[divan::bench(sample_size = BATCH)]
    fn c_million_names(bencher: Bencher<'_, '_>) {
        ask(bencher, &MILLION.flows, |query| MILLION.policy.decide(query));
    }
}

/// Where the time goes, by the kind of flow, with the built-in policy.
#[divan::bench(sample_size = BATCH, args = ["hit", "wildcard", "glob", "miss", "long-miss", "wrong-port", "address", "endpoint"])]
fn built_in_by_kind(bencher: Bencher<'_, '_>, kind: &str) {
    let flow = match kind {
        "hit" => Flow::to_name("login.windows.net", 443),
        "wildcard" => Flow::to_name("eu.update.microsoft.com", 443),
        "glob" => Flow::to_name("gr-prod-mwh.cloudapp.net", 443),
        "miss" => Flow::to_name("www.example.com", 443),
        "long-miss" => Flow::to_name(&format!("{LONG_LABEL}.{LONG_LABEL}.a.b.c.d.example.com"), 443),
        "wrong-port" => Flow::to_name("login.windows.net", 8443),
        "address" => Flow::to_addr(Ipv4Addr::new(40, 77, 24, 27), 443),
        _ => Flow::to_name("account.blob.core.windows.net", 443),
    };
    ask(bencher, &[flow], |query| BUILT_IN.policy.decide(query));
}

/// globset alone: is there a pattern that matches the name?
mod globset_alone {
    use super::*;

    #[divan::bench(sample_size = BATCH)]
    fn a_built_in(bencher: Bencher<'_, '_>) {
        ask_globset(bencher, &BUILT_IN);
    }

    #[divan::bench(sample_size = BATCH)]
    fn b_ten_thousand_rules(bencher: Bencher<'_, '_>) {
        ask_globset(bencher, &TEN_THOUSAND);
    }

    #[divan::bench(sample_size = BATCH)]
    fn c_million_names(bencher: Bencher<'_, '_>) {
        ask_globset(bencher, &MILLION);
    }

    fn ask_globset(bencher: Bencher<'_, '_>, subject: &Subject) {
        let set = globset_of(&subject.rules);
        ask(bencher, &subject.flows, |query| query.name.is_some_and(|name| set.is_match(name.as_str())));
    }
}

mod linear_walk {
    use super::*;

    #[divan::bench(sample_size = 100)]
    fn a_built_in(bencher: Bencher<'_, '_>) {
        ask(bencher, &BUILT_IN.flows, |query| walked(&BUILT_IN, query));
    }

    #[divan::bench(sample_count = 10, sample_size = 10)]
    fn b_ten_thousand_rules(bencher: Bencher<'_, '_>) {
        ask(bencher, &TEN_THOUSAND.flows[..100], |query| walked(&TEN_THOUSAND, query));
    }

    #[divan::bench(sample_count = 10, sample_size = 4)]
    fn c_million_names(bencher: Bencher<'_, '_>) {
        ask(bencher, &MILLION.flows[..20], |query| walked(&MILLION, query));
    }

    fn walked(subject: &Subject, query: &Query<'_>) -> egret::policy::Decision {
        walk(&subject.rules, PrivateAddresses::Allow, query).decision
    }
}

/// Time and memory of compiling, printed: a rule set is there before, so what grows is the compiled policy.
fn compile_figures() {
    for (what, rules) in
        [("built-in", built_in_rules()), ("10 000 rules", ten_thousand_rules()), ("1 000 000 names", million_names())]
    {
        let rules = Arc::new(rules);
        let names = patterns(&rules).count();
        let (before, started) = (alloc::live(), Instant::now());
        alloc::reset_peak();
        let policy = Policy::compile(Arc::clone(&rules), PrivateAddresses::Allow);
        let (took, grown) = (started.elapsed(), alloc::live() - before);
        println!(
            "compile {what}: {:.3} s, {names} names, {} KiB held, {} bytes a name, {} KiB at the peak",
            took.as_secs_f64(),
            grown / 1024,
            grown / names,
            (alloc::peak() - before) / 1024,
        );
        black_box(policy);
    }
}

fn globset_of(rules: &RuleSet) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns(rules) {
        let text = pattern.to_string();
        let glob = text.strip_prefix("glob:").unwrap_or(&text);
        set.add(GlobBuilder::new(glob).literal_separator(false).build().unwrap());
    }
    set.build().unwrap()
}
