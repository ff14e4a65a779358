//! The corpus of the fuzz target `session`: what becomes of it, and that no cut changes that.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/session"))
}

fn named(name: &str) -> Play {
    let bytes = fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    script(&bytes).unwrap_or_else(|| panic!("{name} is too short")).0
}

/// Of those that are long enough.
fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().map(Result::unwrap);
    let long = entries.filter(|entry| entry.metadata().unwrap().len() > 4);
    let mut names: Vec<String> = long.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Verdict and reason of each flow, and of one that was allowed why it ended.
fn become_of(play: &Play) -> Vec<String> {
    let seen = run(play, &Cuts::none());
    assert_rules(&seen);
    let end = |flow: u64| {
        seen.events.iter().find_map(|event| match event {
            Event::Close(close) if close.flow == flow => Some(format!(", {}", close.why.as_str())),
            _ => None,
        })
    };
    let shown = |flow: &FlowRecord| format!("{} {}{}", flow.verdict, flow.reason, end(flow.flow).unwrap_or_default());
    seen.flows().map(shown).collect()
}

fn check(name: &str, expected: &[&str]) {
    assert_eq!(become_of(&named(name)), expected, "{name}");
}

#[test]
fn the_corpus() {
    crate::rehearsal::replay("session", session);
}

#[test]
fn what_becomes_of_it() {
    check("answer_close", &["allow application-rule, eof"]);
    check("answer_garbage", &["allow application-rule, upstream-invalid"]);
    check("answer_two", &["allow application-rule, eof", "allow application-rule, eof"]);
    check("connect", &["allow application-rule, eof"]);
    check("connect_bad_name", &["deny bad-name"]);
    check("connect_denied_then_allowed", &["deny not-allowed", "allow application-rule, eof"]);
    check("connect_hangs_up", &["allow application-rule, upstream-unreachable"]);
    check("connect_http_inside", &["allow application-rule, eof", "deny host-uri-mismatch"]);
    check("connect_other_name", &["deny sni-connect-mismatch"]);
    check("connect_raw", &["allow network-rule, eof"]);
    check("connect_refused", &["allow network-rule, upstream-unreachable"]);
    check("connect_retry", &["allow application-rule, eof"]);
    check("connect_retry_other", &["allow application-rule, sni-changed"]);
    check("connect_slow", &["allow application-rule, eof"]);
    check("connect_tds", &["allow application-rule, eof"]);
    check("connect_unresolvable", &["allow application-rule, name-unresolvable"]);
    check("gateway_denied", &["deny not-allowed"]);
    check("gateway_ech", &["deny ech-present"]);
    check("gateway_http", &["allow application-rule, eof", "deny not-allowed"]);
    check("gateway_leaves", &["allow application-rule, reset"]);
    check("gateway_nameless", &["deny missing-sni"]);
    check("gateway_noise", &["deny not-tls"]);
    check("gateway_raw", &["allow network-rule, eof"]);
    check("gateway_silence", &["deny hello-timeout"]);
    check("gateway_tds", &["allow application-rule, eof"]);
    check("get", &["allow application-rule, eof"]);
    check("get_denied", &["deny denied-by-rule", "allow application-rule, eof"]);
    check("noise", &["deny bad-request"]);
    check("nothing", &[]);
    check("pipelined", &["allow application-rule, eof", "allow application-rule, eof", "deny not-allowed"]);
    check("post_chunked", &["allow application-rule, eof", "allow application-rule, eof"]);
    check("real_curl_connect", &["allow application-rule, eof"]);
    check("real_openssl_nameless", &["deny missing-sni"]);
    check("real_rustls", &["allow application-rule, eof"]);
    check("smuggled", &["deny bad-framing"]);
    check("socks", &["allow application-rule, eof"]);
    check("socks_addr", &["allow network-rule, eof"]);
    check("socks_bind", &["deny bad-request"]);
    check("socks_denied", &["deny not-allowed"]);
    check("socks_http", &["allow application-rule, eof"]);
    check("upgrade", &["allow application-rule, eof"]);
    check("upgrade_declined", &["allow application-rule, eof", "deny bad-upgrade"]);
}

#[test]
fn a_client_hears_the_answer() {
    let seen = run(&named("get"), &Cuts::after(&[1, 20, 1]));
    assert_rules(&seen);
    assert!(seen.to_client.ends_with(b"hi"), "{seen:?}");
}

#[test]
fn silence_costs_no_time_and_ends() {
    let seen = run(&named("connect_silent"), &Cuts::none());
    assert_rules(&seen);
    let why = seen.events.iter().filter_map(|event| match event {
        Event::Close(close) => Some((close.why.as_str(), close.duration.as_secs())),
        _ => None,
    });
    assert_eq!(why.collect::<Vec<_>>(), [("upstream-timeout", 240)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_cut_changes_what_becomes_of_it(name in select(names()), sizes in vec(1..300_usize, 1..12)) {
        let play = named(&name);
        let (whole, cut) = (run(&play, &Cuts::none()), run(&play, &Cuts::after(&sizes)));
        assert_rules(&cut);
        assert_decided_alike(&cut, &whole);
    }
}
