//! Policies with flows, and what has to come of each: `tests/cases/*.toml`.
//!
//! A case has `policy` (an egret.toml), perhaps `base` (its base.toml) and `order` (collections as they are looked
//! at), and `flows`: `ask`, perhaps `from`, `address` (where the name leads) and `profile`, then `verdict`, `reason`
//! and perhaps `collection`. Each flow is asked of the compiled policy and of the linear walk.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use egret::allowlist::{self, EndpointHost, Kind};
use egret::config::{self, CheckTarget, Overrides};
use egret::flow::{Host, HostName, Protocol, Verdict};
use egret::policy::{Address, FqdnPattern, Policy, PrivateAddresses, Query, RuleSet, in_order, walk};
use serde::Deserialize;
use tempfile::TempDir;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    policy: String,
    base: Option<String>,
    #[serde(default)]
    order: Vec<String>,
    pub(super) flows: Vec<Flow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flow {
    pub(super) ask: String,
    pub(super) from: Option<IpAddr>,
    pub(super) address: Option<IpAddr>,
    pub(super) profile: Option<String>,
    pub(super) verdict: String,
    pub(super) reason: String,
    pub(super) collection: Option<String>,
}

/// Every case by the name of its file, with a folder that has its policy as `egret.toml`.
pub(super) fn all() -> Vec<(String, Case, TempDir)> {
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases")).unwrap();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "patterns_refused.toml");
    names.sort();
    names.into_iter().map(read).collect()
}

fn read(name: String) -> (String, Case, TempDir) {
    let path = format!("{}/tests/cases/{name}", env!("CARGO_MANIFEST_DIR"));
    let case: Case = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("egret.toml"), &case.policy).unwrap();
    if let Some(base) = &case.base {
        fs::write(folder.path().join("base.toml"), base).unwrap();
    }
    (name, case, folder)
}

#[test]
fn every_case_is_decided_as_it_says() {
    let flows: usize = all().iter().map(|(name, case, folder)| check_case(name, case, folder)).sum();
    assert!(flows > 100, "found only {flows} flows");
}

fn check_case(name: &str, case: &Case, folder: &TempDir) -> usize {
    for flow in &case.flows {
        let (rules, private) = load(folder.path(), flow.profile.as_deref(), name);
        check_flow(name, flow, &rules, private);
    }
    if !case.order.is_empty() {
        let (rules, _) = load(folder.path(), None, name);
        let mut order: Vec<&str> = in_order(&rules).iter().map(|rule| rule.collection).collect();
        order.dedup();
        assert_eq!(order, case.order, "{name}");
    }
    case.flows.len()
}

fn load(folder: &Path, profile: Option<&str>, name: &str) -> (RuleSet, PrivateAddresses) {
    let overrides = Overrides {
        config: Some(folder.join("egret.toml")),
        profile: profile.map(str::to_owned),
        ..Overrides::default()
    };
    let config = config::load(&overrides, config::DefaultFile::Ignored)
        .unwrap_or_else(|errors| panic!("{name}:\n{errors}"))
        .config;
    (config.rules, config.private_addresses)
}

fn check_flow(name: &str, flow: &Flow, rules: &RuleSet, private: PrivateAddresses) {
    let target = CheckTarget::parse(&flow.ask).unwrap();
    let mut query = Query::new(flow.from, target.protocol, &target.host, target.port);
    query.path = target.path.as_deref().or(Some("/")).filter(|_| target.protocol == Protocol::Http);
    if let Some(address) = flow.address {
        query.address = Address::Given(address);
    }
    let policy = Policy::compile(rules.clone().into(), private);
    let decision = policy.decide(&query);
    let collection = decision.rule.map(|rule| policy.rule_name(rule).collection.to_string());
    let what = format!("{name}: {} from {:?} at {:?}", flow.ask, flow.from, flow.address);
    assert_eq!((decision.verdict.as_str(), decision.reason.as_str()), (&*flow.verdict, &*flow.reason), "{what}");
    assert!(flow.collection.is_none() || flow.collection == collection, "{what}: by {collection:?}");
    assert_eq!(walk(rules, private, &query).decision, decision, "{what}: the walk differs");
}

#[derive(Deserialize)]
struct RefusedPatterns {
    refused: Vec<RefusedPattern>,
}

#[derive(Deserialize)]
struct RefusedPattern {
    key: String,
    pattern: String,
    because: String,
}

#[test]
fn patterns_that_azure_refuses_are_refused_with_the_reason() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/patterns_refused.toml");
    let RefusedPatterns { refused } = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(refused.len(), 10);
    for RefusedPattern { key, pattern, because } in refused {
        let folder = tempfile::tempdir().unwrap();
        let policy = format!(
            "[[rule_collection_group]]\nname = \"g\"\npriority = 100\n[[rule_collection_group.rule_collection]]\n\
             name = \"c\"\npriority = 100\ntype = \"application\"\naction = \"allow\"\n\
             [[rule_collection_group.rule_collection.rule]]\nname = \"r\"\nprotocols = \"Https:443\"\n\
             {key} = \"{pattern}\"\n"
        );
        fs::write(folder.path().join("egret.toml"), policy).unwrap();
        let overrides = Overrides { config: Some(folder.path().join("egret.toml")), ..Overrides::default() };
        let errors = config::load(&overrides, config::DefaultFile::Ignored)
            .err()
            .map(|errors| errors.to_string())
            .unwrap_or_default();
        assert!(errors.contains(&pattern) && errors.contains(&because), "{key} {pattern}: {errors:?}");
        assert!(errors.contains("egret.toml:12:"), "{key} {pattern}: {errors:?}");
    }
}

/// A name that the pattern of a list's row stands for.
fn example(pattern: &FqdnPattern) -> HostName {
    let text = match pattern {
        FqdnPattern::Any => "any.example".to_owned(),
        FqdnPattern::Exact(name) => name.to_string(),
        FqdnPattern::Subdomains(parent) => format!("x1.{parent}"),
        FqdnPattern::Suffix(tail) => format!("x1{tail}"),
        FqdnPattern::Glob(glob) => glob.replace('*', "x1"),
    };
    HostName::parse(&text).unwrap()
}

#[test]
fn every_row_of_the_seed_lists_is_allowed_on_its_port_and_denied_on_another() {
    let builtin = allowlist::builtin("ase").unwrap();
    let rules = RuleSet {
        policies: vec![builtin.rules],
        infrastructure: Vec::new(),
        service_endpoints: builtin.service_endpoints,
        ..RuleSet::default()
    };
    let policy = Policy::compile(rules.into(), PrivateAddresses::Allow);
    let verdict = |protocol, host: &Host, port| policy.decide(&Query::new(None, protocol, host, port)).verdict;
    let mut rows = 0;
    for list in allowlist::find("ase@2018-09-24").unwrap() {
        if !matches!(list.kind, Kind::Fqdn | Kind::Wildcard | Kind::Ip | Kind::Linux) {
            continue;
        }
        for (row, endpoint) in list.endpoints() {
            let (host, protocol) = match &endpoint.host {
                EndpointHost::Name(pattern) => (Host::Name(example(pattern)), endpoint.app_protocol().protocol),
                EndpointHost::Addr(addr) => (Host::Addr(*addr), Protocol::Tcp),
                EndpointHost::Any => panic!("the seeds name no such row: {row}"),
            };
            assert_eq!(verdict(protocol, &host, endpoint.port), Verdict::Allow, "{row}");
            assert_eq!(verdict(protocol, &host, 8443), Verdict::Deny, "{row} on another port");
            rows += 1;
        }
    }
    assert_eq!(rows, 51 + 10 + 7 + 9);
}
