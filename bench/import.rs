//! What it costs to read a rule collection group of 2 MB, the largest that Azure takes: `cargo bench --bench import`.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up may as well panic")]

use std::fmt::Write;

use divan::Bencher;
use egret::allowlist::Catalogue;
use egret::azure::{json, read, shape};

fn main() {
    divan::main();
}

/// Rules of both types, of some two kilobytes for eight, until the text has so many bytes.
fn group(bytes: usize) -> String {
    let mut text = String::from(
        r#"{"type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups", "name": "fw/g", "properties": {
        "priority": 100, "ruleCollections": [{"ruleCollectionType": "FirewallPolicyFilterRuleCollection",
        "name": "names", "priority": 100, "action": {"type": "Allow"}, "rules": ["#,
    );
    let mut number = 0;
    while text.len() < bytes / 2 {
        let comma = if number > 0 { "," } else { "" };
        let _ = write!(
            text,
            r#"{comma}{{"ruleType": "ApplicationRule", "name": "rule-{number}", "description": "",
            "protocols": [{{"protocolType": "Https", "port": 443}}], "fqdnTags": [], "webCategories": [],
            "targetFqdns": ["www{number}.contoso.com", "*.a{number}.contoso.com"], "targetUrls": [],
            "terminateTLS": false, "sourceAddresses": ["10.0.0.0/16"], "destinationAddresses": [],
            "sourceIpGroups": [], "httpHeadersToInsert": []}}"#
        );
        number += 1;
    }
    text.push_str(
        r#"]}, {"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "addresses", "priority": 200,
        "action": {"type": "Allow"}, "rules": ["#,
    );
    let first = number;
    while text.len() < bytes {
        let comma = if number > first { "," } else { "" };
        let _ = write!(
            text,
            r#"{comma}{{"ruleType": "NetworkRule", "name": "rule-{number}", "ipProtocols": ["TCP"],
            "sourceAddresses": ["10.0.0.0/16"], "sourceIpGroups": [], "destinationAddresses": ["192.0.2.{}",
            "198.51.100.0/24"], "destinationIpGroups": [], "destinationFqdns": [], "destinationPorts": ["443"]}}"#,
            number % 256
        );
        number += 1;
    }
    text.push_str("]}]}}");
    text
}

#[divan::bench]
fn two_megabytes(bencher: Bencher<'_, '_>) {
    let text = group(2 * 1024 * 1024);
    bencher.bench_local(|| {
        let documents = json::parse(&text, 0).unwrap();
        let shaped = shape::resources(&documents);
        let read = read::read(
            &[read::Set { resources: &shaped.resources, asked: read::Asked::Policy }],
            &Catalogue::default(),
        );
        assert!(read.summary.rules > 5_000 && read.notes.is_empty());
        read
    });
}
