//! The corpus of the fuzz target `session`, and plays that a fuzzer would not find by itself.

use super::peers::{Manner, Then};
use super::*;

fn explicit(says: &[u8]) -> Play {
    Play {
        door: Door::Explicit,
        profile: Profile::Azure,
        client: Client { says: says.to_vec(), then: Then::EndsItsHalf },
        origin: Origin { says: Vec::new(), manner: Manner::Answers },
    }
}

fn reasons(play: &Play) -> Vec<&'static str> {
    let seen = run(play, &Cuts::none());
    assert_rules(&seen);
    decisions(&seen).iter().map(|decided| decided.reason.as_str()).collect()
}

#[test]
fn a_request_is_answered() {
    let play = explicit(b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    let seen = run(&play, &Cuts::after(&[1, 20, 1]));
    assert_rules(&seen);
    assert!(seen.to_client.ends_with(b"hi"), "{seen:?}");
    assert_eq!(reasons(&play), ["application-rule"]);
}

#[test]
fn the_corpus() {
    crate::rehearsal::replay("session", session);
}
