//! What is written is read back into the same.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::azure::export::samples::{Dialect, policies, policy};
use crate::config::{Overrides, load};
use crate::policy::arbitrary::asked;
use crate::policy::{
    Action, AddressSet, IpProtocols, NamedKind, NamedRanges, NetworkRule, Policy, PrivateAddresses, ThreatIntel,
};

/// Writes all files into a folder and loads the last.
fn again(rules: &RuleSet) -> (RuleSet, Vec<Note>) {
    let folder = tempfile::tempdir().unwrap();
    let Written { files, notes } = to_toml(rules);
    files.iter().for_each(|file| std::fs::write(folder.path().join(&file.name), &file.text).unwrap());
    let last = files.last().unwrap();
    (read(&folder.path().join(&last.name), &last.text), notes)
}

fn read(path: &Path, text: &str) -> RuleSet {
    let overrides = Overrides { config: Some(path.to_owned()), ..Overrides::default() };
    match load(&overrides, crate::config::DefaultFile::Ignored) {
        // Threat intelligence is compared by what the settings say.
        Ok(loaded) => RuleSet { threat_intel: ThreatIntel::default(), ..loaded.config.rules },
        Err(errors) => panic!("{errors}\n{text}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_policy_is_read_back_whole(rules in policy(Dialect::Egret)) {
        let (read, notes) = again(&rules);
        prop_assert_eq!(notes, vec![]);
        let says = |set: &RuleSet| set.policies.iter().any(|it| !it.groups.is_empty());
        if says(&rules) || rules.policies[0].settings != PolicySettings::default() {
            prop_assert_eq!(read, rules);
        } else {
            prop_assert!(!says(&read));
        }
    }

    #[test]
    fn several_policies_decide_as_before(
        rules in policies(Dialect::Egret),
        flows in proptest::collection::vec(asked(), 40),
    ) {
        let (read, _) = again(&rules);
        let compiled = |set: RuleSet| Policy::compile(Arc::new(set), PrivateAddresses::Allow);
        let (before, after) = (compiled(rules), compiled(read));
        for flow in flows {
            let (was, is) = (before.decide(&flow.query()), after.decide(&flow.query()));
            prop_assert_eq!((was.verdict, was.reason), (is.verdict, is.reason), "{:?}", flow);
        }
    }
}

#[test]
fn a_firewall_without_a_policy_stays_one() {
    let text = "classic = true\n\n[[rule_collection_group]]\nname = \"\"\npriority = 100\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.toml");
    std::fs::write(&path, text).unwrap();
    let rules = read(&path, text);
    assert_eq!((rules.policies[0].name.as_str(), rules.policies[0].groups[0].name.as_str()), ("", ""));
    assert_eq!(to_toml(&rules).files[0].text, text);
    assert_eq!(again(&rules).0, rules);
}

#[test]
fn a_rule_that_names_nothing_is_left_out_and_told_of() {
    let mut destinations = AddressSet::default();
    destinations.insert_text("192.0.2.1").unwrap();
    let rule = NetworkRule { name: "idle".to_owned(), destinations, ..NetworkRule::default() };
    let collection = RuleCollection {
        name: "c".to_owned(),
        priority: 100.try_into().unwrap(),
        rules: Rules::Network(Action::Allow, vec![rule]),
        at: Spot::nowhere(),
    };
    let group = RuleCollectionGroup {
        name: "g".to_owned(),
        priority: 100.try_into().unwrap(),
        collections: vec![collection],
        at: Spot::nowhere(),
    };
    let policy = PolicyRules { name: "a/b: c".to_owned(), groups: vec![group], ..PolicyRules::default() };
    let written = to_toml(&RuleSet { policies: vec![policy], ..RuleSet::default() });
    assert_eq!(written.files[0].name, "a-b--c.toml");
    assert!(!written.files[0].text.contains("idle"), "{}", written.files[0].text);
    assert_eq!(written.notes[0].what, "the rule `idle` names nothing that it could match and is left out");
}

/// One collection of network rules, each for 192.0.2.1:443 and from these sources.
fn from_sources(action: Action, sources: Vec<AddressSet>) -> RuleSet {
    let mut destinations = AddressSet::default();
    destinations.insert_text("192.0.2.1").unwrap();
    let rule = |(number, sources): (usize, AddressSet)| NetworkRule {
        name: format!("r{number}"),
        sources,
        protocols: IpProtocols::TCP,
        destinations: destinations.clone(),
        ports: ["443".parse().unwrap()].into_iter().collect(),
        ..NetworkRule::default()
    };
    let priority = || 100.try_into().unwrap();
    let rules = Rules::Network(action, sources.into_iter().enumerate().map(rule).collect());
    let collections = vec![RuleCollection { name: "c".to_owned(), priority: priority(), rules, at: Spot::nowhere() }];
    let group = RuleCollectionGroup { name: "g".to_owned(), priority: priority(), collections, at: Spot::nowhere() };
    let policy = PolicyRules { name: "lab".to_owned(), groups: vec![group], ..PolicyRules::default() };
    RuleSet { policies: vec![policy], ..RuleSet::default() }
}

fn named(kind: NamedKind) -> AddressSet {
    let mut set = AddressSet::default();
    set.insert_named(NamedRanges { name: "hosts".to_owned(), kind, ranges: Arc::from([]) });
    set
}

#[test]
fn a_rule_for_nobody_does_not_become_one_for_everybody() {
    for action in [Action::Allow, Action::Deny] {
        let mut partly = named(NamedKind::UnknownIpGroup);
        partly.insert_text("10.0.0.0/8").unwrap();
        let written = to_toml(&from_sources(action, vec![named(NamedKind::UnknownIpGroup), partly]));
        let text = &written.files[0].text;
        assert!(!text.contains("\"r0\"") && text.contains("source_addresses = [\"10.0.0.0/8\"]"), "{text}");
        let hole = if action == Action::Deny { "; what it denied may be allowed" } else { "" };
        let told: Vec<_> = written.notes.iter().map(|note| (note.severity, note.what.as_str())).collect();
        let what = |rule| format!("the rule `{rule}`: the IP group `hosts` is not known and is left out{hole}");
        assert_eq!(told, [(Severity::Error, what("r0").as_str()), (Severity::Error, what("r1").as_str())]);
    }
}

/// Service tags are no sources in a file: one without addresses has nothing that would stand for it.
#[test]
fn a_source_that_cannot_be_said_is_not_any() {
    let written = to_toml(&from_sources(Action::Allow, vec![named(NamedKind::ServiceTag)]));
    assert!(!written.files[0].text.contains("\"r0\""), "{}", written.files[0].text);
    assert_eq!(written.notes[0].what, "the rule `r0` names nothing that it could match and is left out");
}

#[test]
fn the_built_in_policy_keeps_its_globs() {
    let builtin = crate::allowlist::builtin("ase").unwrap();
    let rules = RuleSet { policies: vec![builtin.rules], ..RuleSet::default() };
    let (read, notes) = again(&rules);
    assert_eq!((read, notes), (rules, Vec::new()));
    let endpoints = RuleSet { service_endpoints: builtin.service_endpoints, ..RuleSet::default() };
    let notes = again(&endpoints).1;
    assert_eq!(notes.len(), 3);
    assert!(notes.iter().all(|note| note.severity == Severity::Error), "{notes:?}");
}

/// Azure's files by the reader for all of them.
mod azure {
    use super::*;
    use crate::azure::export::{Format, Options, export};
    use crate::policy::arbitrary::Asked;

    fn export_text(rules: &RuleSet, format: Format) -> String {
        // What a template leaves to its resource group is known after it was read.
        export(rules, format, &Options { location: Some("westeurope".to_owned()), ..Options::default() }).text
    }

    fn load_text(text: &str) -> RuleSet {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.json");
        std::fs::write(&path, text).unwrap();
        let policy = vec![path.display().to_string()];
        match load(&Overrides { policy, ..Overrides::default() }, crate::config::DefaultFile::Ignored) {
            Ok(loaded) => RuleSet { threat_intel: ThreatIntel::default(), ..loaded.config.rules },
            Err(errors) => panic!("{errors}\n{text}"),
        }
    }

    fn same_decisions(before: &RuleSet, after: &RuleSet, flows: &[Asked], text: &str) -> Result<(), TestCaseError> {
        let compiled = |set: &RuleSet| Policy::compile(Arc::new(set.clone()), PrivateAddresses::Allow);
        let (before, after) = (compiled(before), compiled(after));
        for flow in flows {
            let (was, is) = (before.decide(&flow.query()), after.decide(&flow.query()));
            prop_assert_eq!((was.verdict, was.reason), (is.verdict, is.reason), "{:?}\n{}", flow, text);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_exported_is_imported(
            rules in policy(Dialect::Azure),
            flows in proptest::collection::vec(asked(), 40),
        ) {
            for format in [Format::Arm, Format::ArmTemplate, Format::Json] {
                let text = export_text(&rules, format);
                let again = load_text(&text);
                same_decisions(&rules, &again, &flows, &text)?;
                // The same text again: settings, names, descriptions and priorities are all there.
                prop_assert_eq!(export_text(&again, format), text);
            }
        }

        #[test]
        fn arm_to_toml_to_arm_is_the_same_policy(rules in policy(Dialect::Azure)) {
            let arm = export_text(&rules, Format::Arm);
            let imported = load_text(&arm);
            let (read, notes) = again(&imported);
            prop_assert_eq!(notes, vec![]);
            prop_assume!(!imported.policies[0].groups.is_empty());
            prop_assert_eq!(export_text(&read, Format::Arm), arm);
        }

        #[test]
        fn parents_and_children_come_back(
            mut rules in policies(Dialect::Azure),
            flows in proptest::collection::vec(asked(), 40),
        ) {
            for number in 1..rules.policies.len() {
                rules.policies[number].settings.base_policy = Some(rules.policies[number - 1].name.clone());
            }
            for format in [Format::Arm, Format::ArmTemplate, Format::Json] {
                let text = export_text(&rules, format);
                same_decisions(&rules, &load_text(&text), &flows, &text)?;
            }
        }
    }
}

/// Each name that comes again tries one number, or the one after those that were written out.
#[test]
fn thousands_of_one_name() {
    let mut names = Siblings::default();
    assert_eq!([names.unique("r-2"), names.unique("r"), names.unique("r")], ["r-2", "r", "r-3"]);
    for number in 4..5000 {
        assert_eq!(names.unique("r"), format!("r-{number}"));
    }
    assert!(names.tried < 5000);
    assert_eq!(names.unique(" "), "unnamed");
}
