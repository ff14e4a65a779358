//! Our readers and indexes against somebody else's, or against the obvious: what they differ in is written down here.

use std::net::IpAddr;
use std::sync::Arc;

use egret::flow::{Host, HostName, Protocol, Verdict};
use egret::policy::{
    Action, Address, AddressRange, AddressSet, FqdnPattern, IpProtocols, NetworkRule, Policy, PolicyRules, Query,
    RuleCollection, RuleCollectionGroup, RuleSet, Rules,
};
use egret::wire::ParseError;
use egret::wire::client_hello::{self, ClientHello, HelloError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rustls::server::Acceptor;

use super::fuzz_corpus::bodies;
use super::support::hello::{Hello, alpn, ech, server_names};

/// What rustls makes of a hello that is all there: its SNI, or that it refuses.
#[derive(Debug, PartialEq, Eq)]
enum Theirs {
    Sni(Option<String>),
    Refused(String),
    Waits,
}

fn rustls_reads(mut bytes: &[u8]) -> Theirs {
    let mut acceptor = Acceptor::default();
    loop {
        let before = bytes.len();
        if bytes.is_empty() {
            return Theirs::Waits;
        }
        if let Err(error) = acceptor.read_tls(&mut bytes) {
            return Theirs::Refused(error.to_string());
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                return Theirs::Sni(name);
            }
            Ok(None) if bytes.len() == before => return Theirs::Waits,
            Ok(None) => {}
            Err((error, _)) => return Theirs::Refused(error.to_string()),
        }
    }
}

/// Where both take a hello they have to read the same name. Where one refuses:
///
/// - rustls alone: it wants what it needs for a handshake (signature algorithms, versions, key shares of its groups, no
///   compression but none), none of which is about where a client goes.
/// - ours alone: two names; a name that is an address, which rustls passes over; one that is no host name; extensions that
///   are there twice or are malformed, where rustls looks at fewer of them; records of no bytes.
fn check_hello(bytes: &[u8]) -> Result<(), TestCaseError> {
    let ours = client_hello::parse(bytes);
    let theirs = rustls_reads(bytes);
    match (&ours, &theirs) {
        (Ok(ClientHello { sni, .. }), Theirs::Sni(name)) => {
            let own = sni.as_ref().map(HostName::as_str);
            // rustls leaves the dot that RFC 6066 forbids.
            prop_assert_eq!(own, name.as_deref().map(|name| name.strip_suffix('.').unwrap_or(name)));
        }
        (Ok(_), Theirs::Waits) => prop_assert!(false, "rustls waits for more than {:?}", ours),
        (Ok(_), Theirs::Refused(_)) => {}
        (Err(ParseError::Incomplete), theirs) => prop_assert!(!matches!(theirs, Theirs::Sni(_)), "{:?}", theirs),
        (Err(ParseError::Invalid(HelloError::NotTls | HelloError::Malformed | HelloError::BadSni)), _) => {}
        (Err(ParseError::Invalid(HelloError::TooLarge)), _) => {}
    }
    Ok(())
}

fn hello() -> impl Strategy<Value = Hello> {
    let name = prop_oneof![
        "[a-zA-Z0-9_-]{1,12}(\\.[a-zA-Z0-9-]{1,12}){0,3}\\.?".prop_map(Hello::of),
        vec(any::<u8>(), 0..30).prop_map(Hello::of),
        Just(Hello::nameless()),
        Just(Hello::nameless().with(0, server_names(&[b"a.test", b"b.test"]))),
    ];
    (name, 0..4_u8, 1..300_usize).prop_map(|(hello, more, size)| {
        let hello = match more {
            0 => hello,
            1 => hello.with(16, alpn(&[b"h2", b"http/1.1"])),
            2 => hello.with(0xfe0d, ech()),
            _ => hello.padded(size),
        };
        hello.records_of(size)
    })
}

/// How many of the changed hellos are read by both: without that the comparison would be empty.
#[test]
fn hellos_are_read_as_rustls_reads_them() {
    assert_eq!(rustls_reads(&Hello::of("OK.test").bytes()), Theirs::Sni(Some("ok.test".to_owned())));
    assert_eq!(rustls_reads(&Hello::of("ok.test").bytes()[..80]), Theirs::Waits);
    assert!(matches!(rustls_reads(b"GET / HTTP/1.1\r\n\r\n"), Theirs::Refused(_)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hellos_whole(hello in hello()) {
        check_hello(&hello.bytes())?;
    }

    #[test]
    fn hellos_with_a_wrong_byte(hello in hello(), at in any::<Index>(), byte: u8) {
        let mut bytes = hello.bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        check_hello(&bytes)?;
    }

    #[test]
    fn hellos_cut_off(hello in hello(), at in any::<Index>()) {
        let bytes = hello.bytes();
        check_hello(&bytes[..at.index(bytes.len())])?;
    }
}

/// One request, or what looks like one, with what may be read as its body.
fn request() -> impl Strategy<Value = String> {
    let line = select(vec![
        "GET / HTTP/1.1",
        "POST /x?y HTTP/1.1",
        "POST http://a.test/ HTTP/1.1",
        "PUT http://a.test:8080 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "HEAD / HTTP/1.0",
        "POST / HTTP/1.0",
        "CONNECT a.test:443 HTTP/1.1",
    ]);
    let field = select(vec![
        "Host: a.test",
        "Content-Length: 3",
        "Content-Length: 03",
        "Content-Length: 3, 3",
        "Content-Length: +3",
        "Content-Length: 0",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "transfer-encoding:\tChunked",
        "Transfer-Encoding: identity",
        "Connection: close",
        "Connection: keep-alive",
        "Expect: 100-continue",
        "X-Empty:",
        "X: \u{e4}",
    ]);
    let body = select(vec![
        "",
        "abc",
        "0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "03;x=\"y\"\r\nabc\r\n0\r\nT: u\r\n\r\n",
        "3\nabc\n0\n\n",
        "-1\r\n",
        "ffffffffffffffffff\r\n",
    ]);
    (line, vec(field, 0..4), body)
        .prop_map(|(line, fields, body)| format!("{line}\r\n{}{body}", fields.join("\r\n") + "\r\n\r\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What may differ is with the body of that fuzz target.
    #[test]
    fn requests_are_read_as_hyper_reads_them(requests in vec(request(), 1..4)) {
        bodies::http_hyper(requests.concat().as_bytes());
    }
}

/// Ranges that begin and end close to each other, so that flows fall on their edges.
fn range() -> impl Strategy<Value = AddressRange> {
    let v4 = (0..4_u32, 0..64_u32, 0..40_u32).prop_map(|(net, first, more)| {
        let first = 0xc633_6400 + (net << 8) + first * 4;
        (IpAddr::from(first.to_be_bytes()), IpAddr::from((first + more).to_be_bytes()))
    });
    let v6 = (0..4_u128, 0..64_u128, 0..40_u128).prop_map(|(net, first, more)| {
        let first = (0x2001_0db8_u128 << 96) + (net << 64) + first * 4;
        (IpAddr::from(first.to_be_bytes()), IpAddr::from((first + more).to_be_bytes()))
    });
    let text = prop_oneof![v4, v6].prop_map(|(first, last)| format!("{first}-{last}"));
    let wide = select(vec!["198.51.0.0/16", "198.51.100.0/23", "2001:db8::/32", "2001:db8:0:2::/63", "198.51.101.7"]);
    prop_oneof![5 => text, 1 => wide.prop_map(str::to_owned)].prop_map(|text| text.parse().unwrap())
}

fn place() -> impl Strategy<Value = IpAddr> {
    let v4 = (0..4_u32, 0..300_u32).prop_map(|(net, at)| IpAddr::from((0xc633_6400 + (net << 8) + at).to_be_bytes()));
    let v6 = (0..4_u128, 0..300_u128)
        .prop_map(|(net, at)| IpAddr::from(((0x2001_0db8_u128 << 96) + (net << 64) + at).to_be_bytes()));
    prop_oneof![v4, v6]
}

fn network_rules(ranges: &[Vec<AddressRange>]) -> RuleSet {
    let rule = |(number, ranges): (usize, &Vec<AddressRange>)| {
        let mut destinations = AddressSet::default();
        ranges.iter().for_each(|range| destinations.insert(*range));
        NetworkRule {
            name: format!("rule-{number}"),
            sources: AddressSet::any(),
            protocols: IpProtocols::TCP,
            destinations,
            ports: ["443".parse().unwrap()].into_iter().collect(),
            ..NetworkRule::default()
        }
    };
    let rules = ranges.iter().enumerate().map(rule).collect();
    let collection = RuleCollection {
        name: "all".to_owned(),
        priority: 100_i64.try_into().unwrap(),
        rules: Rules::Network(Action::Allow, rules),
        at: Default::default(),
    };
    let group = RuleCollectionGroup {
        name: "all".to_owned(),
        priority: 100_i64.try_into().unwrap(),
        collections: vec![collection],
        at: Default::default(),
    };
    let policy = PolicyRules { name: "policy".to_owned(), groups: vec![group], ..PolicyRules::default() };
    RuleSet { policies: vec![policy], ..RuleSet::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The prefix tree against a look at every range.
    #[test]
    fn the_first_rule_that_holds_an_address(ranges in vec(vec(range(), 1..4), 1..60), places in vec(place(), 60)) {
        let policy = Policy::compile(Arc::new(network_rules(&ranges)), egret::policy::PrivateAddresses::Allow);
        for ip in places {
            let first = ranges.iter().position(|ranges| ranges.iter().any(|range| range.contains(ip)));
            let host = Host::Addr(ip);
            let query = Query::new(None, Protocol::Tcp, &host, 443).with_address(Address::Given(ip));
            let decision = policy.decide(&query);
            prop_assert_eq!(decision.verdict == Verdict::Allow, first.is_some(), "{}", ip);
            let rule = decision.rule.map(|rule| policy.rule_name(rule).rule.to_string());
            prop_assert_eq!(rule, first.map(|number| format!("rule-{number}")), "{}", ip);
        }
    }

    /// The index of names against a look at every pattern.
    #[test]
    fn patterns_match_what_each_of_them_does(name in "[ab]{1,2}(\\.[ab]{1,2}){0,3}\\.test") {
        let name = HostName::parse(&name).unwrap();
        let patterns = ["a.test", "*.a.test", "*a.test", "*.b.a.test", "glob:a*.test", "*b.test", "*.test"];
        for text in patterns {
            let pattern = FqdnPattern::parse(text).unwrap();
            let policy = allowing(text);
            let host = Host::Name(name.clone());
            let query = Query::new(None, Protocol::Https, &host, 443).with_address(Address::Given([198, 51, 100, 7].into()));
            let decided = policy.decide(&query).verdict == Verdict::Allow;
            prop_assert_eq!(decided, pattern.matches(&name), "{} {}", text, name);
        }
    }
}

fn allowing(pattern: &str) -> Policy {
    let flags = egret::config::Overrides { allow: vec![format!("https://{pattern}")], ..Default::default() };
    let loaded =
        egret::config::load(&flags, egret::config::DefaultFile::Ignored).unwrap_or_else(|errors| panic!("{errors}"));
    Policy::compile(Arc::new(loaded.config.rules.clone()), loaded.config.switches())
}
