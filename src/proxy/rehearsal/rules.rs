//! What has to hold of every play.
#![expect(clippy::panic, reason = "what does not hold is a finding")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::flow::{Host, Protocol, Reason, Verdict, Via};
use crate::telemetry::{Event, FlowRecord, Seen as Name};
use crate::wire::client_hello;
use crate::wire::http_body::{BodyTracker, Progress};
use crate::wire::http_head::{self, Framing, RequestHead};
use crate::wire::{ParseError, tds};

use super::{Reached, Seen, world};

pub(super) fn assert_rules(seen: &Seen) {
    assert!(seen.ended, "it never ended: {seen:?}");
    assert_each_flow_ends_once(seen);
    for reached in &seen.reached {
        assert!(world::may_be_dialled(reached.addr), "{}: {seen:?}", reached.addr);
        assert!(reached.open.iter().any(|flow| leads_to(flow, reached)), "nothing allowed it: {reached:?}");
        assert_heard_what_was_allowed(reached);
    }
}

/// What was allowed is closed once, after that; what was denied is not; and nothing is closed that was not recorded.
fn assert_each_flow_ends_once(seen: &Seen) {
    let mut open: BTreeMap<u64, Verdict> = BTreeMap::new();
    for event in &seen.events {
        match event {
            Event::Flow(flow) => {
                assert_eq!(open.insert(flow.flow, flow.verdict), None, "two flows of a number: {seen:?}")
            }
            Event::Close(close) => {
                let was = open.insert(close.flow, Verdict::Deny);
                assert_eq!(was, Some(Verdict::Allow), "{} was not open: {seen:?}", close.flow);
            }
            _ => {}
        }
    }
    assert!(open.values().all(|verdict| *verdict == Verdict::Deny), "an allowed flow has no end: {seen:?}");
}

fn leads_to(flow: &FlowRecord, reached: &Reached) -> bool {
    let ip = match &flow.host {
        Some(Name::Valid(Host::Name(name))) => world::address_of(name.as_str()),
        Some(Name::Valid(Host::Addr(ip))) => Some(*ip),
        _ => None,
    };
    flow.dst == Some(reached.addr) && ip == Some(reached.addr.ip()) && flow.port == reached.addr.port()
}

/// Nobody looks into what a network rule allowed. Of the rest, whatever an origin hears says for itself who it is for.
fn assert_heard_what_was_allowed(reached: &Reached) {
    if let IpAddr::V4(ip) = reached.addr.ip()
        && world::is_raw((ip.octets(), reached.addr.port()))
    {
        return;
    }
    match reached.heard.first() {
        None => {}
        Some(22) => assert_hellos(&reached.heard, &reached.said, reached),
        Some(0x12) => assert_packets(reached),
        Some(_) => assert_requests(reached),
    }
}

/// The first hello names a server that may be reached; so does the second, if one was asked for.
fn assert_hellos(heard: &[u8], said: &[u8], reached: &Reached) {
    let hello = match client_hello::parse(heard) {
        Ok(hello) => hello,
        // The origin hung up.
        Err(ParseError::Incomplete) => return,
        Err(ParseError::Invalid(error)) => panic!("{error:?}: {reached:?}"),
    };
    assert!(!hello.ech, "it may be for another: {reached:?}");
    let name = hello.sni.expect("a hello without a name is not passed on");
    assert!(world::may_be_reached(name.as_str()), "{name}: {reached:?}");
    assert_eq!(world::address_of(name.as_str()), Some(reached.addr.ip()), "{reached:?}");
    let length = client_hello::wire_length(heard).expect("it was parsed");
    if !is_retry(said) {
        return;
    }
    if let Some(Ok(second)) = first_handshake(&heard[length..]).map(client_hello::parse) {
        assert_eq!((second.sni.as_ref(), second.ech), (Some(&name), false), "another name after a retry: {reached:?}");
    }
}

/// The random of a HelloRetryRequest, RFC 8446 section 4.1.3.
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

fn is_retry(said: &[u8]) -> bool {
    said.first() == Some(&22) && said.get(5) == Some(&2) && said.get(11..43) == Some(&RETRY)
}

/// What follows records of other kinds.
fn first_handshake(mut records: &[u8]) -> Option<&[u8]> {
    loop {
        match records {
            [22, ..] => return Some(records),
            [20..=24, _, _, high, low, rest @ ..] => {
                records = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..)?;
            }
            _ => return None,
        }
    }
}

/// A pre-login, and behind it a hello in packets.
fn assert_packets(reached: &Reached) {
    let Ok((_, length)) = tds::pre_login(&reached.heard) else { return };
    match tds::hello(&reached.heard[length..]) {
        Ok(hello) => {
            assert!(!hello.ech, "it may be for another: {reached:?}");
            let name = hello.sni.expect("a hello without a name is not passed on");
            assert!(world::may_be_reached(name.as_str()), "{name}: {reached:?}");
        }
        Err(ParseError::Incomplete) => {}
        Err(ParseError::Invalid(error)) => panic!("{error:?}: {reached:?}"),
    }
}

/// Every request, up to one that may turn into something else, names a host that may be reached here.
fn assert_requests(reached: &Reached) {
    let mut rest = reached.heard.as_slice();
    while !rest.is_empty() {
        let (head, length) = match http_head::parse(rest) {
            Ok(read) => read,
            Err(ParseError::Incomplete) => return,
            Err(ParseError::Invalid(error)) => panic!("{error:?} at {:?}", String::from_utf8_lossy(rest)),
        };
        assert_host(&head, reached);
        let framing = if head.upgrade { Framing::None } else { head.framing };
        match BodyTracker::new(framing).advance(&rest[length..]) {
            _ if head.upgrade => return,
            Ok(Progress::Done(body)) => rest = &rest[length + body..],
            Ok(Progress::More) => return,
            Err(error) => panic!("{error:?}: {reached:?}"),
        }
    }
}

fn assert_host(head: &RequestHead<'_>, reached: &Reached) {
    let host = head.host.expect("every request is sent with a Host");
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    assert!(world::may_be_reached(name), "{host}: {reached:?}");
    assert_eq!(world::address_of(name), Some(reached.addr.ip()), "{host}: {reached:?}");
    assert_eq!(port, reached.addr.port().to_string(), "{host}: {reached:?}");
}

/// What was decided of each flow, but for what tells one play from the other.
#[derive(Debug, PartialEq, Eq)]
struct Decided {
    via: Via,
    protocol: Protocol,
    host: Option<String>,
    port: u16,
    sni: Option<String>,
    verdict: Verdict,
    reason: Reason,
    rule: Option<String>,
}

/// The same was decided of the same bytes, with the same reasons, but for what a pause lets happen between two segments,
/// which the client may have waited for:
///
/// - What follows a request for another protocol is refused where it comes before the answer, for the client takes that for
///   granted, and read where it comes after. In one piece it comes before.
/// - Where a request is answered before its body is there, the connection ends: what follows is not read.
pub(super) fn assert_decided_alike(cut: &Seen, whole: &Seen) {
    let (mut one, mut other) = (decisions(cut), decisions(whole));
    if other.pop_if(|last| last.reason == Reason::BadUpgrade).is_some() {
        one.truncate(other.len());
    }
    if one.last().is_some_and(|last| last.protocol == Protocol::Http) {
        other.truncate(one.len());
    }
    assert_eq!(one, other, "{cut:?}");
}

fn decisions(seen: &Seen) -> Vec<Decided> {
    let decided = |flow: &FlowRecord| Decided {
        via: flow.via,
        protocol: flow.protocol,
        host: flow.host.as_ref().map(ToString::to_string),
        port: flow.port,
        sni: flow.sni.as_ref().map(ToString::to_string),
        verdict: flow.verdict,
        reason: flow.reason,
        rule: flow.rule.as_ref().map(ToString::to_string),
    };
    seen.flows().map(decided).collect()
}
