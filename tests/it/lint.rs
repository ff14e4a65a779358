//! `egret lint`, by running it: every check found and not found, where it stands, and every format.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::command::{Answer, egret, finish};

/// A folder with one file in it.
fn folder(name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    folder
}

fn lint(folder: &Path, args: &[&str]) -> Answer {
    finish(egret().current_dir(folder).arg("lint").args(args), "")
}

fn findings(name: &str, text: &str) -> Vec<Value> {
    let folder = folder(name, text);
    let answer = lint(folder.path(), &["--format", "json", name]);
    let whole: Value = serde_json::from_str(&answer.out).unwrap_or_else(|_| panic!("{}{}", answer.out, answer.err));
    whole["findings"].as_array().unwrap().clone()
}

fn of<'a>(found: &'a [Value], check: &str) -> Vec<&'a Value> {
    found.iter().filter(|it| it["check"] == check).collect()
}

/// Every check, with a policy that has it, the text at which it stands, and one that has it not.
struct Case {
    check: &'static str,
    bad: String,
    /// What is written where the finding points; its line and column follow from it.
    at: String,
    good: String,
}

fn case(check: &'static str, bad: impl Into<String>, at: impl Into<String>, good: impl Into<String>) -> Case {
    Case { check, bad: bad.into(), at: at.into(), good: good.into() }
}

fn group(collections: &str) -> String {
    format!("name = \"corp\"\n\n[[rule_collection_group]]\nname = \"group\"\npriority = 200\n\n{collections}")
}

fn collection(kind: &str, action: &str, rules: &[String]) -> String {
    let action = if kind == "dnat" { String::new() } else { format!("action = \"{action}\"\n") };
    let rules: String = rules
        .iter()
        .enumerate()
        .map(|(at, rule)| format!("\n[[rule_collection_group.rule_collection.rule]]\nname = \"rule{at}\"\n{rule}\n"))
        .collect();
    format!(
        "[[rule_collection_group.rule_collection]]\nname = \"{kind}\"\npriority = 300\ntype = \"{kind}\"\n{action}{rules}"
    )
}

fn network(rule: &str) -> String {
    group(&collection("network", "allow", &[rule.to_owned()]))
}

fn application(rule: &str) -> String {
    group(&collection("application", "allow", &[rule.to_owned()]))
}

fn dnat(rule: &str) -> String {
    group(&collection("dnat", "", &[rule.to_owned()]))
}

fn names(fqdns: &str) -> String {
    application(&format!("protocols = [\"Https:443\"]\ntarget_fqdns = [{fqdns}]"))
}

/// Before the groups, where TOML wants what is no table.
fn with(settings: &str, policy: &str) -> String {
    format!("{policy}\n{settings}\n")
}

const NET: &str = "ip_protocols = [\"TCP\"]\nsource_addresses = [\"10.0.0.0/8\"]\n";
const TO: &str = "destination_addresses = [\"10.1.0.0/16\"]\n";

#[allow(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let net = |rest: &str| network(&format!("{NET}{rest}"));
    let quiet = || net(&format!("{TO}destination_ports = [\"22\"]"));
    let app = names("\"www.contoso.com\"");
    let nat = |rest: &str| dnat(&format!("ip_protocols = [\"TCP\"]\ntranslated_address = \"10.0.0.4\"\n{rest}"));
    let nat_ok = nat(
        "source_addresses = [\"198.51.100.0/24\"]\ndestination_addresses = [\"203.0.113.4\"]\ndestination_ports = [\"443\"]\ntranslated_port = 443",
    );
    let premium = |rule: &str| with("[settings]\ntier = \"Premium\"", &application(rule));
    let inspected = "protocols = [\"Https:443\"]\nterminate_tls = true\ntarget_urls = [\"www.contoso.com/a\"]";
    let header = |name: &str| {
        application(&format!(
            "protocols = [\"Http:80\"]\ntarget_fqdns = [\"www.contoso.com\"]\nhttp_headers = [{{name = \"{name}\", value = \"x\"}}]"
        ))
    };
    let long = "x".repeat(101);
    let many = |count: usize, make: &dyn Fn(usize) -> String| (0..count).map(make).collect::<Vec<_>>().join(", ");
    let in_group = |entries: &str, rule: &str| {
        with(&format!("[[ip_group]]\nname = \"many\"\naddresses = [{entries}]"), &net(rule))
    };
    let of_group = "destination_ip_groups = [\"many\"]\ndestination_ports = [\"22\"]";
    let groups = |count: usize| -> String {
        let one = |at: usize| format!("[[rule_collection_group]]\nname = \"g{at}\"\npriority = {}\n", 100 + at);
        (0..count).map(one).collect()
    };
    let collections = |count: usize| -> String {
        let one = |at: usize| {
            let kind = "type = \"network\"\naction = \"allow\"";
            format!("[[rule_collection_group.rule_collection]]\nname = \"c{at}\"\npriority = {}\n{kind}\n", 100 + at)
        };
        format!("[[rule_collection_group]]\nname = \"g\"\npriority = 100\n{}", (0..count).map(one).collect::<String>())
    };
    vec![
        case("allow-everything", network("ip_protocols = [\"Any\"]\ndestination_addresses = [\"*\"]\ndestination_ports = [\"*\"]"), "destination_addresses = [\"*\"]", quiet()),
        case("broad-network-rule", net("destination_addresses = [\"0.0.0.0/0\"]\ndestination_ports = [\"443\"]"), "destination_addresses", net("destination_addresses = [\"10.0.0.0/8\"]\ndestination_ports = [\"443\"]")),
        case("threat-alert-masked", with("[settings.threat_intel]\nmode = \"Alert\"", &net("destination_addresses = [\"*\"]\ndestination_ports = [\"80\"]")), "[[rule_collection_group.rule_collection.rule]]", with("[settings.threat_intel]\nmode = \"Deny\"", &net("destination_addresses = [\"*\"]\ndestination_ports = [\"80\"]"))),
        case("quic-passes-by", network("ip_protocols = [\"UDP\"]\ndestination_addresses = [\"*\"]\ndestination_ports = [\"443\"]"), "[[rule_collection_group.rule_collection.rule]]", network("ip_protocols = [\"UDP\"]\ndestination_addresses = [\"*\"]\ndestination_ports = [\"53\"]")),
        case("any-fqdn", names("\"*\""), "\"*\"", app.clone()),
        case("top-level-wildcard", names("\"*.com\""), "\"*.com\"", names("\"*.contoso.com\"")),
        case("shared-suffix", names("\"*.blob.core.windows.net\""), "\"*.blob.core.windows.net\"", names("\"mine.blob.core.windows.net\"")),
        case("lookalike-suffix", names("\"a.test\", \"*contoso.com\""), "\"*contoso.com\"", names("\"*-prod.contoso.com\"")),
        case("bare-domain-missing", names("\"*.contoso.com\""), "\"*.contoso.com\"", names("\"*.contoso.com\", \"contoso.com\"")),
        case("unsupported-wildcard", names("\"www.contoso.*\""), "\"www.contoso.*\"", app.clone()),
        case("egret-glob", names("\"glob:a*b.contoso.com\""), "\"glob:a*b.contoso.com\"", app.clone()),
        case("wildcard-in-network-fqdn", net("destination_fqdns = [\"*.contoso.com\"]\ndestination_ports = [\"22\"]"), "\"*.contoso.com\"", net("destination_fqdns = [\"a.contoso.com\"]\ndestination_ports = [\"22\"]")),
        case("fqdn-tag-without-https", application("fqdn_tags = [\"WindowsUpdate\"]"), "\"WindowsUpdate\"", application("protocols = [\"Https:443\"]\nfqdn_tags = [\"WindowsUpdate\"]")),
        case("unknown-fqdn-tag", application("protocols = [\"Https:443\"]\nfqdn_tags = [\"NoSuchTag\"]"), "\"NoSuchTag\"", application("protocols = [\"Https:443\"]\nfqdn_tags = [\"WindowsUpdate\"]")),
        case("unknown-service-tag", net("destination_addresses = [\"NoSuchTag\"]\ndestination_ports = [\"22\"]"), "\"NoSuchTag\"", net("destination_addresses = [\"Storage\"]\ndestination_ports = [\"22\"]")),
        case("unknown-web-category", application("protocols = [\"Https:443\"]\nweb_categories = [\"NoSuchThing\"]"), "\"NoSuchThing\"", app.clone()),
        case("empty-ip-group", in_group("", of_group), "\"many\"]", in_group("\"10.1.0.0/16\"", of_group)),
        case("any-protocol-with-ports", network(&format!("ip_protocols = [\"Any\"]\n{TO}destination_ports = [\"22\"]")), "\"Any\"", network(&format!("ip_protocols = [\"Any\"]\n{TO}destination_ports = [\"*\"]"))),
        case("icmp-to-internet", network("ip_protocols = [\"ICMP\"]\ndestination_addresses = [\"203.0.114.1\"]"), "\"ICMP\"", network(&format!("ip_protocols = [\"ICMP\"]\n{TO}"))),
        case("service-endpoint-bypass", format!("policy = [\"ase\"]\n{}", names("\"mine.blob.core.windows.net\"")), "\"mine.blob.core.windows.net\"", format!("policy = [\"ase\"]\n{app}")),
        case("ipv6-literal", application("source_addresses = [\"2001:db8::1\"]\nprotocols = [\"Https:443\"]\ntarget_fqdns = [\"a.test\"]"), "\"2001:db8::1\"", app.clone()),
        case("ipv6-network-rule", net("destination_addresses = [\"2001:db8::1\"]\ndestination_ports = [\"22\"]"), "\"2001:db8::1\"", quiet()),
        case("dnat-port-out-of-range", nat("source_addresses = [\"198.51.100.0/24\"]\ndestination_addresses = [\"203.0.113.4\"]\ndestination_ports = [\"64000\"]\ntranslated_port = 443"), "\"64000\"", nat_ok.clone()),
        case("application-port-out-of-range", application("protocols = [\"Https:64001\"]\ntarget_fqdns = [\"a.test\"]"), "\"Https:64001\"", app.clone()),
        case("duplicate-name", format!("{}{}", names("\"a.test\""), "\n[[rule_collection_group.rule_collection.rule]]\nname = \"Rule0\"\nprotocols = [\"Https:443\"]\ntarget_fqdns = [\"b.test\"]"), "name = \"Rule0\"", app.clone()),
        case("reserved-header", header("X-Forwarded-For"), "http_headers", header("X-Tenant")),
        case("header-too-large", header(&long), "http_headers", header("X-Tenant")),
        case("header-not-inserted", application("protocols = [\"Https:443\"]\ntarget_fqdns = [\"a.test\"]\nhttp_headers = [{name = \"X-A\", value = \"x\"}]"), "http_headers", header("X-A")),
        case("url-without-tls-inspection", application("protocols = [\"Https:443\"]\ntarget_urls = [\"www.contoso.com/a\"]"), "\"www.contoso.com/a\"", application(inspected)),
        case("terminate-tls-without-https", application("protocols = [\"Http:80\"]\nterminate_tls = true\ntarget_fqdns = [\"a.test\"]"), "terminate_tls", application(inspected)),
        case("inspection-without-certificate", premium(inspected), "terminate_tls", with("[settings]\ntier = \"Premium\"\nkept = [{property = \"transportSecurity\", json = \"{}\"}]", &application(inspected))),
        case("category-never-inspected", application("protocols = [\"Https:443\"]\nterminate_tls = true\nweb_categories = [\"Finance\"]"), "\"Finance\"", application("protocols = [\"Https:443\"]\nweb_categories = [\"Finance\"]")),
        case("needs-premium", with("[settings]\ntier = \"Standard\"", &application(inspected)), "\"www.contoso.com/a\"", premium(inspected)),
        case("not-in-basic", with("[settings]\ntier = \"Basic\"", &application("protocols = [\"Https:443\"]\nweb_categories = [\"News\"]")), "\"News\"", with("[settings]\ntier = \"Standard\"", &application("protocols = [\"Https:443\"]\nweb_categories = [\"News\"]"))),
        case("equal-priority", format!("{}\n[[rule_collection_group]]\nname = \"other\"\npriority = 200\n", app), "priority = 200\n", format!("{}\n[[rule_collection_group]]\nname = \"other\"\npriority = 201\n", app)),
        case("default-group-priority", "[[rule_collection_group]]\nname = \"DefaultDnatRuleCollectionGroup\"\npriority = 200\n", "priority", "[[rule_collection_group]]\nname = \"DefaultDnatRuleCollectionGroup\"\npriority = 100\n"),
        case("deny-all-last", group(&collection("application", "deny", &["protocols = [\"Https:443\"]\ntarget_fqdns = [\"*\"]".to_owned()])), "\"*\"", app.clone()),
        case("empty-collection", "[[rule_collection_group]]\nname = \"none\"\npriority = 100\n", "[[rule_collection_group]]", app.clone()),
        case("name-too-long", app.replace("name = \"application\"", &format!("name = \"{}\"", "n".repeat(81))), "[[rule_collection_group.rule_collection]]", app.clone()),
        case("fqdn-rule-without-dns-proxy", net("destination_fqdns = [\"a.contoso.com\"]\ndestination_ports = [\"22\"]"), "\"a.contoso.com\"", with("[settings.dns]\nproxy = true", &net("destination_fqdns = [\"a.contoso.com\"]\ndestination_ports = [\"22\"]"))),
        case("inherited-dns", with("[settings]\nbase_policy = \"parent\"", &net("destination_fqdns = [\"a.contoso.com\"]\ndestination_ports = [\"22\"]")), "\"a.contoso.com\"", with("[settings]\nbase_policy = \"parent\"\ndns.proxy = true", &net("destination_fqdns = [\"a.contoso.com\"]\ndestination_ports = [\"22\"]"))),
        case("too-many-fqdns", net(&format!("destination_fqdns = [{}]\ndestination_ports = [\"22\"]", many(1001, &|at| format!("\"h{at}.test\"")))), "[[rule_collection_group.rule_collection.rule]]", net(&format!("destination_fqdns = [{}]\ndestination_ports = [\"22\"]", many(1000, &|at| format!("\"h{at}.test\""))))),
        case("too-many-dns-servers", with(&format!("[settings.dns]\nservers = [{}]", many(16, &|at| format!("\"10.0.0.{at}\""))), &app), "servers", with("[settings.dns]\nservers = [\"10.0.0.1\"]", &app)),
        case("dnat-any-source", nat("destination_addresses = [\"203.0.113.4\"]\nsource_addresses = [\"*\"]\ndestination_ports = [\"443\"]\ntranslated_port = 443"), "source_addresses", nat_ok.clone()),
        case("dnat-internal-source", nat("source_addresses = [\"10.0.0.0/8\"]\ndestination_addresses = [\"203.0.114.4\"]\ndestination_ports = [\"443\"]\ntranslated_port = 443"), "[[rule_collection_group.rule_collection.rule]]", nat_ok.clone()),
        case("dnat-several-ports", nat("source_addresses = [\"198.51.100.0/24\"]\ndestination_addresses = [\"203.0.113.4\"]\ndestination_ports = [\"80\", \"443\"]\ntranslated_port = 443"), "destination_ports", nat_ok),
        case("snat-misses-private", with("[settings.snat]\nprivate_ranges = [\"10.0.0.0/8\"]", &app), "private_ranges", with("[settings.snat]\nprivate_ranges = [\"10.0.0.0/8\", \"172.16.0.0/13\", \"172.24.0.0/13\", \"192.168.0.0/16\", \"100.64.0.0/10\"]", &app)),
        case("handshake-on-port", application("protocols = [\"Https:8443\"]\ntarget_fqdns = [\"a.test\"]"), "\"Https:8443\"", app.clone()),
        case("sql-redirect-port", application("protocols = [\"Mssql:11000\"]\ntarget_fqdns = [\"a.test\"]"), "\"Mssql:11000\"", application("protocols = [\"Mssql:1433\"]\ntarget_fqdns = [\"a.test\"]")),
        case("sql-redirect-conflict", with("[settings]\nallow_sql_redirect = true", &net(&format!("{TO}destination_ports = [\"11000-11999\"]"))), "[[rule_collection_group.rule_collection.rule]]", with("[settings]\nallow_sql_redirect = true", &quiet())),
        case("sql-proxy-mode", application("protocols = [\"Mssql:1433\"]\ntarget_fqdns = [\"a.test\"]"), "\"Mssql:1433\"", app.clone()),
        case("threat-intel-off", with("[settings.threat_intel]\nmode = \"Off\"", &app), "mode", with("[settings.threat_intel]\nmode = \"Alert\"", &app)),
        case("idps-deny", with("[settings]\nidps = \"Deny\"", &app), "idps", with("[settings]\nidps = \"Alert\"", &app)),
        case("explicit-proxy-without-rules", with("[settings.explicit_proxy]\nenabled = true", &quiet()), "settings.explicit_proxy", with("[settings.explicit_proxy]\nenabled = true", &app)),
        case("explicit-proxy-ports", with("[settings.explicit_proxy]\nenabled = true\nhttp_port = 8080\nhttps_port = 8080", &app), "https_port", with("[settings.explicit_proxy]\nenabled = true\nhttp_port = 8080\nhttps_port = 8443", &app)),
        case("group-too-large", net(&format!("destination_ip_groups = []\ndestination_fqdns = [{}]\ndestination_ports = [\"22\"]", many(30_000, &|at| format!("\"{at}.{}.test\"", "x".repeat(60))))), "[[rule_collection_group]]", app.clone()),
        case("too-many-groups", groups(61), "[[rule_collection_group]]\nname = \"g60\"", groups(60)),
        case("too-many-collections", collections(2001), "[[rule_collection_group.rule_collection]]\nname = \"c2000\"", collections(2000)),
        case("too-many-addresses", network(&format!("ip_protocols = [\"TCP\"]\nsource_addresses = [{}]\ndestination_addresses = [{}]\ndestination_ports = [\"22\"]", many(201, &|at| format!("\"10.0.0.{at}\"")), many(100, &|at| format!("\"10.0.1.{at}\"")))), "name = \"corp\"", quiet()),
        case("too-many-dnat", with("", &group(&collection("dnat", "", &(0..251).map(|at| format!("ip_protocols = [\"TCP\"]\nsource_addresses = [\"198.51.100.0/24\"]\ndestination_addresses = [\"203.0.113.4\"]\ndestination_ports = [\"{}\"]\ntranslated_address = \"10.0.0.4\"\ntranslated_port = 443", at + 1)).collect::<Vec<_>>()))), "name = \"corp\"", quiet()),
        case("too-many-ip-groups", with(&(0..201).map(|at| format!("[[ip_group]]\nname = \"ip{at}\"\naddresses = [\"10.0.0.1\"]\n")).collect::<String>(), &net(&format!("destination_ip_groups = [{}]\ndestination_ports = [\"22\"]", many(201, &|at| format!("\"ip{at}\""))))), "\"ip99\",", quiet()),
        case("ip-group-too-large", in_group(&many(5001, &|at| format!("\"10.{}.{}.1\"", at / 250, at % 250)), of_group), "\"many\"]", in_group("\"10.0.0.1\"", of_group)),
        case("address-of-service-tag", net(&format!("destination_addresses = [\"{}\"]\ndestination_ports = [\"443\"]", address_of_tag())), format!("\"{}\"", address_of_tag()), quiet()),
        case("cannot-read", net(&format!("{TO}destination_ports = [\"none\"]")), "\"none\"", quiet()),
    ]
}

/// One that is in the tag AppServiceManagement.
fn address_of_tag() -> String {
    let tag = egret::allowlist::service_tag("AppServiceManagement").unwrap();
    tag.ranges.iter().find(|range| range.first().is_ipv4()).unwrap().to_string()
}

/// Checks that a file of Egret's own rules cannot show, or that other tests show.
const ELSEWHERE: &[&str] = &[
    "weaker-than-parent",
    "doubtful",
    "not-emulated",
    "missing-base",
    "missing-policy",
    "missing-group",
    "unknown-value",
    "unknown-ip-group",
    "no-source",
    "no-destination",
    "no-port",
    "no-protocol",
    "no-target",
    "mixed-types",
    "dnat-protocol",
    "dnat-destination",
    "dnat-target",
    "application-destination",
    "classic-beside-policy",
];

#[test]
fn every_check_is_found_where_it_is_and_not_where_it_is_not() {
    let cases: Vec<Case> = cases().into_iter().filter(|case| !ELSEWHERE.contains(&case.check)).collect();
    let tested: HashSet<&str> = cases.iter().map(|case| case.check).collect();
    for check in egret::lint::checks().filter(|check| !ELSEWHERE.contains(&check.id)) {
        assert!(tested.contains(check.id) || is_of_the_whole_order(check.id), "no case of {}", check.id);
    }
    let mut wrong = Vec::new();
    for Case { check, bad, at, good } in cases {
        let found = findings("policy.toml", &bad);
        let places: Vec<(u64, u64)> = of(&found, check).iter().filter_map(|it| place(it)).collect();
        let byte = bad.rfind(&at).unwrap_or_else(|| panic!("{check}: no {at:?}"));
        let expected = position(&bad, byte);
        if !places.contains(&expected) {
            wrong.push(format!("{check}: expected at {expected:?}, found {places:?}"));
        }
        let found = findings("policy.toml", &good);
        if !of(&found, check).is_empty() {
            wrong.push(format!("{check}: found in the good one: {}", of(&found, check)[0]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Those have tests of their own.
fn is_of_the_whole_order(check: &str) -> bool {
    let own = include_str!("../../src/lint/catalogue.rs");
    !own.contains(&format!("\"{check}\""))
}

fn place(finding: &Value) -> Option<(u64, u64)> {
    Some((finding["line"].as_u64()?, finding["column"].as_u64()?))
}

fn position(text: &str, byte: usize) -> (u64, u64) {
    let before = &text[..byte];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line as u64, column as u64)
}

#[test]
fn a_child_is_not_laxer_than_its_parent() {
    let folder =
        folder("parent.toml", "name = \"parent\"\n[settings]\nidps = \"Deny\"\nthreat_intel.mode = \"Deny\"\n");
    let child = "name = \"child\"\nbase_policy = \"parent.toml\"\n[settings]\nbase_policy = \"/x/parent\"\nidps = \"Alert\"\nthreat_intel.mode = \"Deny\"\n";
    fs::write(folder.path().join("child.toml"), child).unwrap();
    let answer = lint(folder.path(), &["--format", "json", "child.toml"]);
    let whole: Value = serde_json::from_str(&answer.out).unwrap();
    let found = of(whole["findings"].as_array().unwrap(), "weaker-than-parent").len();
    assert_eq!(found, 1, "{}", answer.out);
}

/// A policy of Azure's with several things wrong, each at its word.
#[test]
fn a_policy_in_json_is_found_wrong_at_the_word() {
    let policy = json!({"$schema": "x/deploymentTemplate.json#", "contentVersion": "1.0.0.0", "resources": [{
        "type": "Microsoft.Network/firewallPolicies", "name": "corp", "apiVersion": "2024-05-01",
        "properties": {
            "sku": {"tier": "Standard"}, "threatIntelMode": "Off", "intrusionDetection": {"mode": "Deny"},
        },
    }, {
            "type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups", "name": "corp/group", "apiVersion": "2024-05-01",
            "properties": {"priority": 200, "ruleCollections": [
                {"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "net", "priority": 100,
                 "action": {"type": "Allow"}, "rules": [
                    {"ruleType": "NetworkRule", "name": "web", "ipProtocols": ["TCP"], "sourceAddresses": ["*"],
                     "destinationAddresses": ["*"], "destinationPorts": ["443"]}]},
                {"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "app", "priority": 100,
                 "action": {"type": "Allow"}, "rules": [
                    {"ruleType": "ApplicationRule", "name": "names", "sourceAddresses": ["10.0.0.0/8"],
                     "protocols": [{"protocolType": "Https", "port": 443}], "targetFqdns": ["*contoso.com"]},
                    {"ruleType": "ApplicationRule", "name": "star", "sourceAddresses": ["10.0.0.0/8"],
                     "protocols": [{"protocolType": "Https", "port": 443}], "targetFqdns": ["www.contoso.*"]}]},
            ]},
    }]});
    let text = serde_json::to_string_pretty(&policy).unwrap();
    let found = findings("policy.json", &text);
    let check = |check: &str, at: &str, path: &str| {
        let found = of(&found, check);
        let [finding] = found.as_slice() else { panic!("{check}: {found:?}") };
        assert_eq!(place(finding), Some(position(&text, text.find(at).unwrap())), "{finding}");
        assert!(finding["path"].as_str().unwrap().ends_with(path), "{finding}");
    };
    check("lookalike-suffix", "\"*contoso.com\"", "ruleCollections[1].rules[0].targetFqdns[0]");
    check("unsupported-wildcard", "\"www.contoso.*\"", "ruleCollections[1].rules[1].targetFqdns[0]");
    check("broad-network-rule", "\"destinationAddresses\"", "ruleCollections[0].rules[0].destinationAddresses");
    check("threat-intel-off", "\"threatIntelMode\"", "properties.threatIntelMode");
    check("needs-premium", "\"intrusionDetection\"", "properties.intrusionDetection");
    assert_eq!(of(&found, "lookalike-suffix")[0]["subject"], "corp/group/app/names");
}

fn bad() -> String {
    names("\"*contoso.com\", \"www.contoso.*\"")
}

#[test]
fn text_is_six_lines_at_most_for_a_finding() {
    let folder = folder("policy.toml", &bad());
    let answer = lint(folder.path(), &["policy.toml"]);
    assert_eq!(answer.code, 3);
    let expected = "\
error[unsupported-wildcard]: `www.contoso.*`: Azure Firewall takes `*` only as the left-most character; \
the nearest it accepts is `*` (in egret.toml, `glob:www.contoso.*` says it exactly)
  --> policy.toml:16:33  rule_collection_group[0].rule_collection[0].rule[0].target_fqdns
  16 | target_fqdns = [\"*contoso.com\", \"www.contoso.*\"]
     |                                 ^^^^^^^^^^^^^^^
";
    assert!(answer.out.contains(expected), "{}", answer.out);
    assert!(answer.out.split("\n\n").all(|finding| finding.lines().count() <= 6), "{}", answer.out);
    assert!(
        answer.err.contains("1 policy, 1 group, 1 collection, 1 rule: 1 error, 1 warning, 0 notes"),
        "{}",
        answer.err
    );
}

#[test]
fn exit_codes_and_thresholds() {
    let folder = folder("warned.toml", &names("\"*contoso.com\""));
    fs::write(folder.path().join("noted.toml"), names("\"*.contoso.com\"")).unwrap();
    fs::write(folder.path().join("fine.toml"), names("\"contoso.com\"")).unwrap();
    fs::write(folder.path().join("broken.toml"), "name = \n").unwrap();
    fs::write(folder.path().join("bad.toml"), bad()).unwrap();
    let code = |args: &[&str]| lint(folder.path(), args).code;
    assert_eq!(code(&["fine.toml", "--severity", "note"]), 0);
    assert_eq!(code(&["bad.toml"]), 3);
    assert_eq!(code(&["bad.toml", "--ignore", "unsupported-wildcard"]), 0);
    assert_eq!(code(&["warned.toml"]), 0);
    assert_eq!(code(&["warned.toml", "--severity", "warning"]), 3);
    assert_eq!(code(&["warned.toml", "--severity", "warning", "--ignore", "lookalike-suffix"]), 0);
    assert_eq!(code(&["noted.toml", "--severity", "warning"]), 0);
    assert_eq!(code(&["noted.toml", "--severity", "note"]), 3);
    assert_eq!(code(&["broken.toml"]), 2);
    assert_eq!(code(&["nowhere.toml"]), 2);
    assert_eq!(code(&[]), 2);
    let unknown = lint(folder.path(), &["fine.toml", "--ignore", "lookalike-sufix"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("`lookalike-sufix` is no check; did you mean `lookalike-suffix`?"), "{}", unknown.err);
}

#[test]
fn sarif_has_what_the_schema_requires() {
    let folder = folder("policy one.toml", &bad());
    let sarif = |args: &[&str]| -> Value { serde_json::from_str(&lint(folder.path(), args).out).unwrap() };
    let log = sarif(&["--format", "sarif", "policy one.toml"]);
    assert_eq!((&log["version"], log["runs"].as_array().unwrap().len()), (&json!("2.1.0"), 1));
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), egret::lint::checks().count());
    for rule in rules {
        let level = rule["defaultConfiguration"]["level"].as_str().unwrap();
        assert!(["error", "warning", "note"].contains(&level), "{rule}");
        assert!(rule["helpUri"].as_str().unwrap().starts_with("https://"), "{rule}");
        assert!(rule["fullDescription"]["text"].is_string() && rule["id"].is_string(), "{rule}");
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2, "{run}");
    let mut prints = HashSet::new();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(result["message"]["text"].is_string() && result["level"].is_string());
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "policy%20one.toml");
        assert_eq!(place["region"]["startLine"], 16);
        assert!(prints.insert(result["partialFingerprints"]["egretFinding/v1"].as_str().unwrap().to_owned()));
    }
    let first = &results[0];
    assert_eq!(first["ruleId"], "lookalike-suffix");
    assert_eq!(first["locations"][0]["physicalLocation"]["region"]["startColumn"], 17);
    assert_eq!(first["locations"][0]["physicalLocation"]["region"]["endColumn"], 31);
    let path = "rule_collection_group[0].rule_collection[0].rule[0].target_fqdns[0]";
    assert_eq!(first["locations"][0]["logicalLocations"][0]["fullyQualifiedName"], path);
    // Lines move, the finding is the same.
    fs::write(folder.path().join("policy one.toml"), format!("# a line more\n{}", bad())).unwrap();
    let moved = sarif(&["--format", "sarif", "policy one.toml"]);
    assert_eq!(moved["runs"][0]["results"][0]["partialFingerprints"], first["partialFingerprints"]);
    assert_eq!(moved["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"], 17);
}

#[test]
fn annotations_are_the_worst_first() {
    let folder = folder("policy.toml", &bad());
    let answer = lint(folder.path(), &["--format", "github", "policy.toml"]);
    let lines: Vec<&str> = answer.out.lines().collect();
    let [error, warning] = lines.as_slice() else { panic!("{}", answer.out) };
    let begin = "::error file=policy.toml,line=16,col=33,endColumn=48,title=egret lint%3A unsupported-wildcard::";
    assert!(error.starts_with(begin), "{error}");
    assert!(warning.starts_with("::warning file=policy.toml,line=16,col=17,"), "{warning}");
    assert!(warning.contains("%0Amend: write `*.contoso.com` and `contoso.com`"), "{warning}");
}

#[test]
fn checks_are_listed_and_explained() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list: Value = serde_json::from_str(&lint(here, &["--list", "--format", "json"]).out).unwrap();
    assert_eq!(list.as_array().unwrap().len(), egret::lint::checks().count());
    assert!(lint(here, &["--list"]).out.contains("broad-network-rule"));
    let about = lint(here, &["--about", "broad-network-rule"]);
    assert_eq!(about.code, 0);
    assert!(about.out.contains("A network rule that matches ends processing"), "{}", about.out);
}

#[test]
fn every_check_has_its_section_in_the_manual() {
    let manual = include_str!("../../docs/lint.md");
    let mut sections: Vec<&str> = manual.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut checks: Vec<&str> = egret::lint::checks().map(|check| check.id).collect();
    for check in egret::lint::checks() {
        let head = format!("\n### {}\n\n*{}*", check.id, check.severity);
        assert!(manual.contains(&head), "{}: wanted {head:?}", check.id);
        assert!(manual.contains(check.source), "{}: its source is not named", check.id);
    }
    sections.sort_unstable();
    checks.sort_unstable();
    assert_eq!(sections, checks);
    let unique: HashSet<&str> = checks.iter().copied().collect();
    assert_eq!(unique.len(), checks.len(), "two checks of one id");
}

/// Built-in policies say what a document says: nothing in them is an error.
#[test]
fn built_in_policies_have_no_errors() {
    for name in ["ase", "ase@2023-11-20", "ase-usgov"] {
        let answer = lint(Path::new(env!("CARGO_MANIFEST_DIR")), &[name, "--format", "json"]);
        let whole: Value = serde_json::from_str(&answer.out).unwrap();
        assert_eq!((answer.code, &whole["counts"]["error"]), (0, &json!(0)), "{}", answer.out);
    }
}

/// What reading names a check is one: an id that the table lacks would fall to the general ones in silence.
#[test]
fn every_check_that_reading_names_is_in_the_table() {
    let mut named = HashSet::new();
    for folder in ["src/azure", "src/config"] {
        rust_texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut |text| named.extend(ids_in(text)));
    }
    for known in ["duplicate-name", "no-port", "unknown-fqdn-tag", "unknown-value", "unsupported-wildcard"] {
        assert!(named.contains(known), "the search finds no `{known}`: {named:?}");
    }
    let unknown: Vec<&String> = named.iter().filter(|id| egret::lint::check(id).is_none()).collect();
    assert!(unknown.is_empty(), "not in src/lint/catalogue.rs: {unknown:?}");
}

#[test]
fn ids_of_checks_are_found() {
    let text = r#"note.check("a-b"); x.check(star.then_some("c-d")); self.want_one(rule, &["k", f("x")], "e-f");
        notes.less(effect, at, format!("`{}`: no-id", a(b)), "g-h", None); other("i-j");"#;
    let mut found: Vec<String> = ids_in(text).into_iter().collect();
    found.sort_unstable();
    assert_eq!(found, ["a-b", "c-d", "e-f", "g-h"]);
}

/// The ids among the arguments of the functions that take one.
fn ids_in(text: &str) -> HashSet<String> {
    let calls = [".check(", ".less(", ".want_one(", ".unknown_name("];
    let starts = calls.iter().flat_map(|call| text.match_indices(call).map(|(at, call)| at + call.len()));
    let literals = starts.flat_map(|at| arguments(&text[at..]).split('"').skip(1).step_by(2));
    let is_id = |text: &&str| text.contains('-') && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    literals.filter(is_id).map(str::to_owned).collect()
}

/// Up to the bracket that closes the call.
fn arguments(text: &str) -> &str {
    let mut depth = 1;
    let end = text.find(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    &text[..end.unwrap_or(text.len())]
}

fn rust_texts(folder: &Path, take: &mut dyn FnMut(&str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_texts(&path, take);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            take(&fs::read_to_string(&path).unwrap());
        }
    }
}
