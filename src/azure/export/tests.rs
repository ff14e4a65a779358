//! Each format is read by a small reader of its own, made for the tests, and decides as before.

pub(super) mod az_reader;
mod bicep_reader;
mod hcl_reader;
mod model;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::azure::note::Severity;
use crate::policy::arbitrary::{Asked, asked};
use crate::policy::{
    Action, AddressRange, AddressSet, AppProtocol, ApplicationRule, DnatRule, FqdnPattern, HeaderInsertion,
    IpProtocols, NamedKind, NamedRanges, PolicyRules, PolicySettings, PrivateAddresses, RuleCollection,
    RuleCollectionGroup, Rules, Spot, ThreatMode, Translated,
};
use model::Model;
use samples::{Dialect, policies, policy};

fn written(rules: &RuleSet, format: Format) -> Exported {
    export(rules, format, &Options::default())
}

fn read(text: &str, format: Format) -> Model {
    match format {
        Format::Arm | Format::Json => Model::of_resources(text),
        Format::ArmTemplate => Model::of_template(text),
        Format::Bicep => bicep_reader::read(text),
        Format::Terraform => hcl_reader::read(text),
        Format::AzCli => az_reader::read(text),
    }
}

fn same_decisions(rules: &RuleSet, format: Format, flows: &[Asked]) -> Result<(), TestCaseError> {
    let Exported { text, notes } = written(rules, format);
    let losses: Vec<_> = notes.iter().filter(|note| note.severity == Severity::Error).collect();
    prop_assert!(losses.is_empty(), "{:?}", losses);
    let again = read(&text, format).rules();
    let compiled = |set: &RuleSet| crate::policy::Policy::compile(Arc::new(set.clone()), PrivateAddresses::Allow);
    let (before, after) = (compiled(rules), compiled(&again));
    for flow in flows {
        let (was, is) = (before.decide(&flow.query()), after.decide(&flow.query()));
        prop_assert_eq!((was.verdict, was.reason), (is.verdict, is.reason), "{:?} {:?}\n{}", format, flow, text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn documents_decide_as_before(
        rules in prop_oneof![policy(Dialect::Azure), policies(Dialect::Azure)],
        flows in proptest::collection::vec(asked(), 40),
    ) {
        for format in [Format::Arm, Format::Json, Format::ArmTemplate, Format::Bicep, Format::Terraform] {
            same_decisions(&rules, format, &flows)?;
        }
    }
}

// Each case runs a shell.
#[cfg(unix)]
proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_script_decides_as_before(
        rules in prop_oneof![policy(Dialect::Azure), policies(Dialect::Azure)],
        flows in proptest::collection::vec(asked(), 40),
    ) {
        same_decisions(&rules, Format::AzCli, &flows)?;
    }
}

/// A policy of one collection.
fn single(rules: Rules) -> RuleSet {
    let priority = || 100.try_into().unwrap();
    let collection = RuleCollection { name: "c".to_owned(), priority: priority(), rules, at: Spot::nowhere() };
    let collections = vec![collection];
    let group = RuleCollectionGroup { name: "g".to_owned(), priority: priority(), collections, at: Spot::nowhere() };
    let policy = PolicyRules { name: "lab".to_owned(), groups: vec![group], ..PolicyRules::default() };
    RuleSet { policies: vec![policy], ..RuleSet::default() }
}

fn app(name: &str, fqdns: &[&str], ports: &[u16]) -> ApplicationRule {
    let https = |port: &u16| AppProtocol { protocol: crate::flow::Protocol::Https, port: *port };
    ApplicationRule {
        name: name.to_owned(),
        sources: AddressSet::any(),
        protocols: ports.iter().map(https).collect(),
        fqdns: fqdns.iter().map(|text| FqdnPattern::parse(text).unwrap()).collect(),
        ..ApplicationRule::default()
    }
}

fn set(entries: &[&str]) -> AddressSet {
    let mut set = AddressSet::default();
    entries.iter().for_each(|entry| set.insert_text(entry).unwrap());
    set
}

fn told(rules: &RuleSet, severity: Severity) -> Vec<String> {
    let notes = written(rules, Format::Arm).notes;
    let shown = |note: &Note| format!("{}; {}", note.what, note.mend.clone().unwrap_or_default());
    notes.iter().filter(|note| note.severity == severity).map(shown).collect()
}

#[test]
fn a_glob_is_left_out_and_the_alternatives_are_told() {
    let rules = single(Rules::Application(Action::Allow, vec![app("r", &["glob:gr-Prod-*.cloudapp.net"], &[443])]));
    assert_eq!(
        told(&rules, Severity::Error),
        [
            "g/c/r: Azure takes `*` only as the left-most character, so `gr-prod-*.cloudapp.net` is left out; the FQDN tag \
          AppServiceEnvironment holds it; `*.cloudapp.net` is the nearest that Azure takes and allows more (--widen)"
        ]
    );
    let options = Options { widen: Widen::Nearest, ..Options::default() };
    let Exported { text, notes } = export(&rules, Format::Arm, &options);
    assert!(text.contains("\"*.cloudapp.net\""), "{text}");
    assert!(
        notes.iter().any(|it| it.severity == Severity::Error && it.what.ends_with("which allows more")),
        "{notes:?}"
    );
    let plain = single(Rules::Application(Action::Allow, vec![app("r", &["glob:*.a.test", "glob:b.test"], &[443])]));
    assert!(told(&plain, Severity::Error).is_empty());
    assert!(written(&plain, Format::Arm).text.contains("\"*.a.test\""));
}

#[test]
fn a_denial_that_is_left_out_is_called_a_hole() {
    let rules = single(Rules::Application(Action::Deny, vec![app("r", &["glob:a?.test"], &[443])]));
    let told = told(&rules, Severity::Error);
    assert!(told[0].contains("is left out; what it denied may be allowed; `*.test` is the nearest"), "{told:?}");
    assert!(told[0].contains("denies more"), "{told:?}");
}

#[test]
fn what_azure_refuses_is_left_out_and_told_of() {
    let ports = single(Rules::Application(Action::Allow, vec![app("r", &["a.test"], &[443, 64_001])]));
    assert!(told(&ports, Severity::Error)[0].starts_with("g/c/r: port 64001 of an application rule is left out"));
    let dnat = |destinations: &[&str], port: &str| {
        let translated = Translated { host: crate::flow::Host::parse("10.0.0.4").unwrap(), port: 443 };
        let rule = DnatRule {
            name: "d".to_owned(),
            sources: AddressSet::any(),
            protocols: IpProtocols::TCP,
            destinations: set(destinations),
            ports: [port.parse().unwrap()].into_iter().collect(),
            translated,
            about: crate::policy::About::default(),
        };
        single(Rules::Dnat(vec![rule]))
    };
    assert!(told(&dnat(&["192.0.2.1"], "64000"), Severity::Error)[0].contains("ports above 63999 are left out"));
    assert!(told(&dnat(&["*"], "443"), Severity::Error)[0].contains("for every destination is left out"));
    assert!(told(&dnat(&["192.0.2.1", "2001:db8::1"], "443"), Severity::Error)[0].contains("IPv6 addresses"));
}

#[test]
fn a_rule_of_which_nothing_is_left_is_left_out() {
    let mut rule = app("r", &["a.test"], &[443]);
    rule.sources = set(&["2001:db8::/32"]);
    let mut grouped = app("s", &["a.test"], &[443]);
    let ranges: [AddressRange; 1] = ["2001:db8::1".parse().unwrap()];
    grouped.sources = AddressSet::default();
    grouped.sources.insert_named(NamedRanges { name: "v6".into(), kind: NamedKind::IpGroup, ranges: ranges.into() });
    let rules = single(Rules::Application(Action::Allow, vec![rule, grouped]));
    let model = Model::of_resources(&written(&rules, Format::Arm).text).rules();
    assert!(crate::policy::in_order(&model).is_empty());
    assert_eq!((told(&rules, Severity::Error).len(), told(&rules, Severity::Warning).len()), (2, 0));
}

/// A group that is not at hand has no id to name it by: its rule matches less, or nothing.
#[test]
fn an_unknown_ip_group_is_told_of() {
    let unknown = NamedRanges { name: "hosts".into(), kind: NamedKind::UnknownIpGroup, ranges: [].into() };
    let mut partly = app("partly", &["a.test"], &[443]);
    partly.sources = set(&["10.0.0.0/8"]);
    partly.sources.insert_named(unknown.clone());
    let mut whole = app("whole", &["a.test"], &[443]);
    whole.sources = AddressSet::default();
    whole.sources.insert_named(unknown);
    for (action, hole) in [(Action::Allow, ""), (Action::Deny, "; what it denied may be allowed")] {
        let rules = single(Rules::Application(action, vec![partly.clone(), whole.clone()]));
        let text = |rule| {
            format!("g/c/{rule}: the IP group `hosts` is not known and is left out{hole}; give the IP group's file too")
        };
        assert_eq!(told(&rules, Severity::Error), [text("partly"), text("whole")]);
        assert!(told(&rules, Severity::Warning).is_empty());
        let model = Model::of_resources(&written(&rules, Format::Arm).text).rules();
        let names: Vec<String> =
            crate::policy::in_order(&model).iter().map(|rule| rule.rule.name().to_owned()).collect();
        assert_eq!(names, ["partly"]);
    }
}

#[test]
fn a_rule_that_names_nothing_is_told_of() {
    let mut rule = app("r", &["a.test"], &[443]);
    rule.fqdns.clear();
    let rules = single(Rules::Application(Action::Allow, vec![rule]));
    let expected = "g/c/r: the rule names nothing that it could match, and is left out; ";
    assert_eq!(told(&rules, Severity::Warning), [expected]);
}

#[test]
fn unrelated_policies_become_one_and_a_child_keeps_its_parent() {
    let named = |name: &str, base: Option<&str>| {
        let mut policy = single(Rules::Network(Action::Allow, Vec::new())).policies.remove(0);
        (policy.name, policy.settings.base_policy) = (name.to_owned(), base.map(str::to_owned));
        policy
    };
    let resources = |policies: Vec<PolicyRules>| {
        let text = written(&RuleSet { policies, ..RuleSet::default() }, Format::Arm).text;
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let names = value.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>(), value)
    };
    let (names, value) = resources(vec![named("local", None), named("ase", None)]);
    assert_eq!(names, ["ase", "ase/g", "ase/g-2"]);
    assert_eq!((&value[1]["properties"]["priority"], &value[2]["properties"]["priority"]), (&100.into(), &101.into()));
    let base = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/firewallPolicies/Parent";
    let (names, value) = resources(vec![named("parent", None), named("child", Some(base))]);
    assert_eq!(names, ["parent", "parent/g", "child", "child/g"]);
    assert_eq!(value[2]["properties"]["basePolicy"]["id"], value[0]["id"]);
    let (_, value) = resources(vec![named("child", Some(base))]);
    assert_eq!(value[0]["properties"]["basePolicy"]["id"], base);
}

#[test]
fn a_rule_with_tags_and_names_becomes_two() {
    let mut rule = app("r", &["a.test"], &[443]);
    rule.tags = vec![crate::allowlist::Catalogue::default().fqdn_tag("WindowsUpdate").unwrap()];
    let text = written(&single(Rules::Application(Action::Allow, vec![rule])), Format::Arm).text;
    let model = Model::of_resources(&text).rules();
    let names: Vec<String> = crate::policy::in_order(&model).iter().map(|rule| rule.rule.name().to_owned()).collect();
    assert_eq!(names, ["r", "r-tags"]);
}

#[test]
fn groups_wait_for_each_other() {
    let builtin = crate::allowlist::builtin("ase").unwrap().rules;
    let mut policy = PolicyRules { name: "lab".to_owned(), ..builtin };
    let mut second = policy.groups[0].clone();
    second.name = "second".to_owned();
    policy.groups.push(second);
    let rules = RuleSet { policies: vec![policy], ..RuleSet::default() };
    let template: serde_json::Value = serde_json::from_str(&written(&rules, Format::ArmTemplate).text).unwrap();
    let group = |number: usize| &template["resources"][number];
    assert_eq!(group(1)["name"], "[format('{0}/{1}', parameters('policyName'), 'ase-dependencies')]");
    let policy_id = "[resourceId('Microsoft.Network/firewallPolicies', parameters('policyName'))]";
    assert_eq!(group(1)["dependsOn"], serde_json::json!([policy_id]));
    let first = "[resourceId('Microsoft.Network/firewallPolicies/ruleCollectionGroups', parameters('policyName'), \
                 'ase-dependencies')]";
    assert_eq!(group(2)["dependsOn"], serde_json::json!([policy_id, first]));
    let bicep = written(&rules, Format::Bicep).text;
    assert!(bicep.contains("dependsOn: [\n    group_lab_ase_dependencies\n  ]"), "{}", &bicep[bicep.len() - 600..]);
}

#[test]
fn the_settings_are_written_in_azures_words() {
    let runner = &mut proptest::test_runner::TestRunner::deterministic();
    let full = loop {
        let tree = policy(Dialect::Azure).new_tree(runner).unwrap().current();
        if tree.policies[0].settings.explicit_proxy.enabled.is_some() && tree.policies[0].settings.idps.is_some() {
            break tree;
        }
    };
    let value: serde_json::Value = serde_json::from_str(&written(&full, Format::Arm).text).unwrap();
    let policy = value.as_array().unwrap().iter().find(|it| it["type"] == "Microsoft.Network/firewallPolicies");
    let (policy, settings) = (policy.unwrap(), &full.policies[0].settings);
    let properties = &policy["properties"];
    assert_eq!(policy["tags"]["env"], "it's ${test}");
    assert_eq!(properties["insights"]["retentionDays"], 7);
    assert_eq!(properties["intrusionDetection"]["mode"], settings.idps.unwrap().as_str());
    assert_eq!(properties["threatIntelWhitelist"]["fqdns"][0], "*.contoso.com");
    assert_eq!(properties["threatIntelWhitelist"]["ipAddresses"][0], "203.0.113.7");
    assert_eq!(properties["dnsSettings"]["enableProxy"], true);
    assert_eq!(properties["dnsSettings"]["requireProxyForNetworkRules"], false);
    assert_eq!(properties["explicitProxy"]["httpPort"], 8080);
    assert_eq!(properties["explicitProxy"]["pacFile"], "https://pac.test/x?sig='%2F\"");
    let bicep = written(&full, Format::Bicep).text;
    assert!(bicep.contains("env: 'it\\'s \\${test}'"), "{bicep}");
    let terraform = written(&full, Format::Terraform).text;
    assert!(terraform.contains("\"env\" = \"it's $${test}\""), "{terraform}");
}

/// Strings in a template that would be expressions are none.
#[test]
fn brackets_are_escaped_in_a_template() {
    let mut rule = app("r", &["a.test"], &[443]);
    rule.about.description = "[concat('a')]".to_owned();
    let text = written(&single(Rules::Application(Action::Allow, vec![rule])), Format::ArmTemplate).text;
    assert!(text.contains("\"[[concat('a')]\""), "{text}");
}

/// One application rule that inserts headers.
fn inserting() -> RuleSet {
    let header = |name: &str, value: &str| HeaderInsertion { name: name.to_owned(), value: value.to_owned() };
    let headers = vec![header("Restrict-Access-To-Tenants", "contoso.com"), header("X-Note", "it's \"a\" b=c")];
    let rule = |name: &str| ApplicationRule { headers: headers.clone(), ..app(name, &["login.test"], &[443]) };
    single(Rules::Application(Action::Allow, vec![rule("first"), rule("second")]))
}

#[cfg(unix)]
#[test]
fn az_inserts_headers() {
    let Exported { text, notes } = written(&inserting(), Format::AzCli);
    assert!(notes.iter().all(|note| note.severity == Severity::Info), "{notes:?}");
    let expected = ["Restrict-Access-To-Tenants=contoso.com", "X-Note=it's \"a\" b=c"];
    let calls = az_reader::calls(&text);
    let of_rules: Vec<&Vec<String>> =
        calls.iter().filter(|call| call.iter().any(|it| it == "ApplicationRule")).collect();
    assert_eq!(of_rules.len(), 2, "the collection comes with the first rule");
    for call in of_rules {
        let flag = call.iter().position(|word| word == "--http-headers-to-insert").expect("the flag");
        assert_eq!(call[flag + 1..flag + 3], expected, "{call:?}");
    }
}

/// A policy with what means nothing here.
fn keeping(kept: &[(&str, &str)]) -> RuleSet {
    let mut rules = single(Rules::Application(Action::Allow, vec![app("rule", &["a.test"], &[443])]));
    let kept = kept.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect();
    rules.policies[0].settings = PolicySettings { idps: Some(ThreatMode::Alert), kept, ..PolicySettings::default() };
    rules
}

const IDENTITY: &str = r#"{"type":"UserAssigned","userAssignedIdentities":{"/subscriptions/1/x":{}}}"#;
const INSIGHTS: &str = r#"{"isEnabled":true,"retentionDays":30,"logAnalyticsResources":{"workspaces":[{"region":"uksouth",
    "workspaceId":{"id":"/w/uk"}}],"defaultWorkspaceId":{"id":"/w/main"}}}"#;
const TLS: &str = r#"{"certificateAuthority":{"name":"ca","keyVaultSecretId":"https://kv.test/secrets/s"}}"#;
const IDPS: &str = r#"{"mode":"Deny","profile":"Extended","configuration":{"signatureOverrides":[{"id":"200001","mode":"Off"},
    {"id":"200002","mode":"Deny"}],"privateRanges":["10.0.0.0/8"],"bypassTrafficSettings":[{"name":"b","description":"d e",
    "protocol":"TCP","sourceAddresses":["10.0.0.4"],"destinationAddresses":["*"],"destinationPorts":["443"],
    "sourceIpGroups":["/g/a"],"destinationIpGroups":["/g/b"]}]}}"#;

fn kept_written(format: Format, kept: &[(&str, &str)]) -> (String, Vec<String>) {
    let Exported { text, notes } = written(&keeping(kept), format);
    assert!(notes.iter().all(|note| note.severity != Severity::Error), "{notes:?}");
    let warnings = notes.into_iter().filter(|note| note.severity == Severity::Warning).map(|note| note.what);
    (text.split_whitespace().collect::<Vec<_>>().join(" "), warnings.collect())
}

#[test]
fn terraform_has_words_for_most_of_what_is_kept() {
    let kept =
        [("intrusionDetection", IDPS), ("transportSecurity", TLS), ("insights", INSIGHTS), ("identity", IDENTITY)];
    let (text, warnings) = kept_written(Format::Terraform, &kept);
    for block in [
        r#"intrusion_detection { mode = "Alert" private_ranges = [ "10.0.0.0/8" ] signature_overrides { id = "200001" state = "Off" } signature_overrides { id = "200002" state = "Deny" } traffic_bypass { name = "b" description = "d e" protocol = "TCP" source_addresses = [ "10.0.0.4" ] source_ip_groups = [ "/g/a" ] destination_addresses = [ "*" ] destination_ip_groups = [ "/g/b" ] destination_ports = [ "443" ] } }"#,
        r#"tls_certificate { key_vault_secret_id = "https://kv.test/secrets/s" name = "ca" }"#,
        r#"insights { enabled = true retention_in_days = 30 default_log_analytics_workspace_id = "/w/main" log_analytics_workspace { id = "/w/uk" firewall_location = "uksouth" } }"#,
        r#"identity { type = "UserAssigned" identity_ids = [ "/subscriptions/1/x" ] }"#,
    ] {
        assert!(text.contains(block), "{block}\n{text}");
    }
    assert_eq!(warnings, ["the policy's `intrusionDetection.profile` is not written for Terraform"]);
    // A block without what the provider wants would be refused.
    let kept = [
        ("transportSecurity", r#"{"certificateAuthority":{"name":"ca"}}"#),
        ("insights", r#"{"isEnabled":true}"#),
        ("identity", r#"{"type":"SystemAssigned"}"#),
    ];
    let (text, warnings) = kept_written(Format::Terraform, &kept);
    assert!(!["tls_certificate", "insights", "identity"].iter().any(|block| text.contains(block)), "{text}");
    let expected = ["transportSecurity", "insights", "identity"]
        .map(|name| format!("the policy's `{name}` is not written for Terraform"));
    assert_eq!(warnings, expected);
}

#[test]
fn az_has_flags_for_most_of_what_is_kept() {
    let kept =
        [("intrusionDetection", IDPS), ("transportSecurity", TLS), ("insights", INSIGHTS), ("identity", IDENTITY)];
    let (text, warnings) = kept_written(Format::AzCli, &kept);
    let add = "az network firewall policy intrusion-detection add --resource-group \"$RESOURCE_GROUP\" \\ --policy-name lab \\";
    for part in [
        "--idps-mode Alert \\ --idps-profile Extended".to_owned(),
        "--key-vault-secret-id https://kv.test/secrets/s \\ --cert-name ca".to_owned(),
        "--identity /subscriptions/1/x".to_owned(),
        format!("{add} --mode Off \\ --signature-id 200001 \\ --private-ranges 10.0.0.0/8"),
        format!("{add} --mode Deny \\ --signature-id 200002 az "),
        format!(
            "{add} --rule-name b \\ --rule-description 'd e' \\ --rule-protocol TCP \\ --rule-src-addresses 10.0.0.4"
        ),
        "--rule-src-ip-groups /g/a \\ --rule-dest-addresses '*' \\ --rule-dest-ip-groups /g/b \\ --rule-dest-ports 443"
            .to_owned(),
    ] {
        assert!(text.contains(&part), "{part}\n{text}");
    }
    assert_eq!(warnings, ["the policy's `insights` has no flag of az here and is not written"]);
    // The extension makes its first configuration of an overridden signature only.
    let bare = r#"{"configuration":{"privateRanges":["10.0.0.0/8"]}}"#;
    let (text, warnings) = kept_written(Format::AzCli, &[("intrusionDetection", bare)]);
    assert!(!text.contains("intrusion-detection add"), "{text}");
    assert_eq!(
        warnings,
        ["the policy's `intrusionDetection.configuration.privateRanges` has no flag of az here and is not written"]
    );
}

#[test]
fn a_name_that_is_too_short_for_the_provider_is_told_of() {
    let rules = single(Rules::Application(Action::Allow, vec![app("w", &["a.test"], &[443])]));
    let told = |format| {
        let notes = written(&rules, format).notes;
        notes.into_iter().map(|note| note.what).find(|what| what.contains("the rule `w`"))
    };
    let expected =
        "the rule `w` is written as `w_`: the provider takes letters, digits and `_.-`, two of them at least";
    assert_eq!(told(Format::Terraform).as_deref(), Some(expected));
    assert_eq!(told(Format::Arm), None);
}
