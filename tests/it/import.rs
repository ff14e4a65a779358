//! Azure's own files as policies, by running the binary on them.

use std::fs;
use std::path::{Path, PathBuf};

use egret::config::{ConfigErrors, Loaded, Overrides, load};
use egret::policy::{PolicySettings, ThreatMode, Tier, in_order};

use crate::support::command::{Answer, run};

const VALID: &str = "tests/fixtures/azure/valid";

fn valid(name: &str) -> String {
    format!("{VALID}/{name}")
}

fn load_files(names: &[&str], change: impl FnOnce(&mut Overrides)) -> Result<Loaded, ConfigErrors> {
    let mut overrides = Overrides { policy: names.iter().map(|name| valid(name)).collect(), ..Overrides::default() };
    change(&mut overrides);
    load(&overrides, egret::config::DefaultFile::Ignored)
}

fn loaded(names: &[&str]) -> Loaded {
    load_files(names, |_| {}).unwrap_or_else(|errors| panic!("{errors}"))
}

fn check(files: &[&str], args: &[&str]) -> Answer {
    let files: Vec<String> = files.iter().map(|file| format!("--policy={file}")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    run(&[&["check"], files.as_slice(), args].concat())
}

/// Each target with its verdict, reason and rule.
fn verdicts(files: &[&str], args: &[&str]) -> Vec<String> {
    let files: Vec<String> = files.iter().map(|file| valid(file)).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let answer = check(&files, args);
    assert!(answer.code == 0 || answer.code == 3, "{}", answer.err);
    let first_words = |line: &str| {
        // What follows in brackets is advice.
        let line = line.split("  (").next().unwrap_or(line);
        line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    };
    answer.out.lines().map(first_words).collect()
}

fn files_in(folder: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        all.filter(|path| path.is_file() && path.extension().is_some_and(|it| it != "err")).collect();
    files.sort();
    assert!(files.len() > 5, "no fixtures in {folder}");
    files
}

/// `EGRET_BLESS=1 cargo test` writes the messages anew, to be read in the diff.
#[test]
fn what_is_refused_is_refused_with_its_reason() {
    for path in files_in("tests/fixtures/azure/invalid") {
        let answer = check(&[path.to_str().unwrap()], &["https://a.example"]);
        assert_eq!(answer.code, 2, "{}: {}", path.display(), answer.err);
        let expected = path.with_extension(format!("{}.err", path.extension().unwrap().to_string_lossy()));
        if std::env::var_os("EGRET_BLESS").is_some() {
            fs::write(&expected, &answer.err).unwrap();
        }
        assert_eq!(answer.err, fs::read_to_string(&expected).unwrap_or_default(), "{}", path.display());
    }
}

#[test]
fn a_policy_with_its_groups() {
    let answers = verdicts(
        &["policy.json"],
        &[
            "https://www.contoso.com",
            "https://contoso.com",
            "tcp://192.0.2.9:1433",
            "tcp://192.0.2.9:11000",
            "tcp://192.0.2.66:1433",
            "icmp://198.51.100.1",
            "http://download.windowsupdate.com",
        ],
    );
    assert_eq!(
        answers,
        [
            "allow https://www.contoso.com application-rule fw/second/names/web",
            "deny https://contoso.com not-allowed",
            "allow tcp://192.0.2.9:1433 network-rule fw/first/addresses/sql",
            "allow tcp://192.0.2.9:11000 network-rule fw/first/addresses/sql",
            "deny tcp://192.0.2.66:1433 denied-by-rule fw/first/denied/no",
            "allow icmp://198.51.100.1 network-rule fw/first/addresses/ping",
            "allow http://download.windowsupdate.com application-rule fw/second/names/tags",
        ]
    );
}

#[test]
fn settings_of_a_policy() {
    let loaded = loaded(&["policy.json"]);
    let policy = &loaded.config.rules.policies[0];
    let PolicySettings { tier, base_policy, threat_intel, dns, snat, explicit_proxy, idps, allow_sql_redirect, kept } =
        &policy.settings;
    assert_eq!((tier, base_policy, idps), (&Some(Tier::Premium), &None, &Some(ThreatMode::Alert)));
    assert_eq!((threat_intel.mode, allow_sql_redirect), (Some(ThreatMode::Deny), &Some(false)));
    assert_eq!(threat_intel.allowed_fqdns[0].to_string(), "*.ok.example");
    assert_eq!(threat_intel.allowed_addresses.to_string(), "192.0.2.1");
    assert_eq!((dns.servers.len(), dns.proxy, dns.require_proxy_for_network_rules), (1, Some(true), None));
    assert_eq!((snat.private_ranges.as_ref().map(Vec::len), snat.auto_learn), (Some(5), Some(true)));
    let ports = (explicit_proxy.enabled, explicit_proxy.http_port, explicit_proxy.https_port);
    assert_eq!((ports, explicit_proxy.pac_enabled), ((Some(true), Some(8080), Some(8443)), Some(false)));
    let kept: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(kept, ["intrusionDetection", "insights", "location", "tags"]);
    assert_eq!(loaded.config.sources[0].summary, ["6 rules in 2 groups"]);
    let infos: Vec<&str> = loaded.infos.iter().map(|info| info.what.as_str()).collect();
    let told = "policy `fw`: read, not emulated: intrusionDetection, insights, snat.autoLearnPrivateRanges";
    assert_eq!(infos, [told, "names are resolved by 192.0.2.53, as the policy says"]);
    let web = loaded.config.rules.policies[0].groups.iter().find(|group| group.name == "second").unwrap();
    let egret::policy::Rules::Application(_, rules) = &web.collections[0].rules else { panic!("{web:?}") };
    assert_eq!((rules[0].about.description.as_str(), rules[0].terminate_tls), ("the shop", true));
    assert_eq!(rules[0].headers[0].name, "X-Tenant");
    assert_eq!(loaded.texts.position(rules[0].about.at).map(|(file, ..)| file), Some(valid("policy.json").as_str()));
    assert_eq!(
        loaded.texts.path(rules[0].about.at).as_deref(),
        Some("$.resources[1].properties.ruleCollections[0].rules[0]")
    );
}

/// Beside a template whose parameters have defaults.
#[test]
fn the_parameters_that_the_portal_exports_are_null() {
    let [template, parameters] =
        ["template.json", "parameters.json"].map(|it| format!("tests/fixtures/azure/portal/{it}"));
    let answer = check(&[&template], &["--parameters", &parameters, "https://api.contoso.com"]);
    assert!(answer.out.contains(" fw-lab/DefaultApplicationRuleCollectionGroup/web/own-services"), "{answer:?}");
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
}

#[test]
fn a_parent_comes_before_its_child_whatever_the_order_of_the_files() {
    let orders =
        [["child.json", "parent.json", "parent_groups.json"], ["parent_groups.json", "parent.json", "child.json"]];
    for files in orders {
        let loaded = loaded(&files);
        let names: Vec<&str> = loaded.config.rules.policies.iter().map(|policy| policy.name.as_str()).collect();
        assert_eq!(names, ["parent", "child"], "{files:?}: {:?}", loaded.warnings);
        let answers = verdicts(&files, &["https://denied.example", "https://a.example"]);
        assert_eq!(answers[0], "deny https://denied.example denied-by-rule parent/g/c/no");
        assert_eq!(answers[1], "allow https://a.example application-rule child/g/c/all");
    }
    let alone = loaded(&["child.json"]);
    let said = alone.warnings[0].what.as_str();
    assert_eq!(said, "the base policy `Parent` of `child` is not in the files: its rules are missing");
    assert!(load_files(&["child.json"], |flags| flags.profile = Some("strict".into())).is_err());
    let named = loaded(&["child.json", "parent.json"]);
    assert_eq!(
        named.warnings[0].what,
        "policy `parent` names the rule collection group `g`, which is not in the files"
    );
}

#[test]
fn a_classic_firewall_in_any_letter_case() {
    let files = ["classic.json"];
    let targets = [
        "https://fe2.update.microsoft.com",
        "http://www.contoso.com",
        "https://www.contoso.com:8443",
        "udp://192.0.2.1:123",
    ];
    let answers = verdicts(&files, &[&["--from=10.1.2.3"], targets.as_slice()].concat());
    assert!(answers.iter().all(|answer| answer.starts_with("allow")), "{answers:#?}");
    let answers = verdicts(&files, &[&["--from=192.0.2.3"], targets.as_slice()].concat());
    let allowed: Vec<bool> = answers.iter().map(|answer| answer.starts_with("allow")).collect();
    assert_eq!(allowed, [true, false, false, true], "{answers:#?}");
    let loaded = loaded(&files);
    let policy = &loaded.config.rules.policies[0];
    assert_eq!((policy.name.as_str(), policy.groups[0].name.as_str()), ("", ""));
    let settings = &policy.settings;
    assert_eq!((settings.threat_intel.mode, settings.dns.proxy), (Some(ThreatMode::Off), Some(true)));
    assert_eq!(settings.threat_intel.allowed_fqdns.len(), 2);
    assert_eq!(settings.snat.private_ranges.as_ref().map(Vec::len), Some(2));
    assert_eq!(settings.kept, [("additionalProperties".to_owned(), "{\"Else\":\"1\"}".to_owned())]);
    assert_eq!(loaded.config.sources[0].name, "hub");
    assert_eq!(loaded.warnings[0].check, Some("no-source"));
}

/// Nor does anybody know what destination addresses of an application rule do: any will do, and it is told.
#[test]
fn classic_rules_of_a_firewall_with_a_policy_do_not_count() {
    let files = ["policy_beside_classic.json"];
    let answers = verdicts(&files, &["https://policy.example", "https://classic.example"]);
    let allowed = "allow https://policy.example application-rule fw/g/c/of the policy";
    assert_eq!(answers, [allowed, "deny https://classic.example not-allowed"]);
    let warnings = loaded(&files).warnings;
    let mut told: Vec<_> = warnings.iter().map(|warning| (warning.check.unwrap(), warning.what.as_str())).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            (
                "application-destination",
                "`destinationAddresses` of rule `of the policy` is read, not emulated: any address will do"
            ),
            ("classic-beside-policy", "firewall `hub` has a policy: its own rules do not count"),
        ]
    );
    assert!(load_files(&files, |flags| flags.profile = Some("strict".into())).is_err());
}

#[test]
fn ip_groups_of_other_files() {
    let files = ["uses_ip_groups.json", "ip_groups.json"];
    let names = ["workers", "template", "empty", "missing"];
    let targets: Vec<String> = names.iter().map(|name| format!("https://{name}.example")).collect();
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let allowed = |from: &str| -> Vec<bool> {
        let answers = verdicts(&files, &[&[from], targets.as_slice()].concat());
        answers.iter().map(|answer| answer.starts_with("allow")).collect()
    };
    assert_eq!(allowed("--from=10.2.0.9"), [true, true, false, false]);
    // A rule with an empty group is skipped whole; one with a group that is not at hand has its other addresses.
    assert_eq!(allowed("--from=10.9.0.1"), [false, false, false, true]);
    let loaded = loaded(&files);
    let checks: Vec<_> = loaded.warnings.iter().filter_map(|warning| warning.check).collect();
    assert_eq!(checks, ["empty-ip-group", "unknown-ip-group"]);
    assert_eq!((loaded.read.ip_groups, loaded.read.unknown_names), (2, 1));
}

#[test]
fn what_only_azure_knows_is_listed_at_once() {
    let unknown = loaded(&["unknown_values.json"]);
    let [warning] = unknown.warnings.as_slice() else { panic!("{:#?}", unknown.warnings) };
    assert!(warning.what.starts_with("2 values are known to Azure only, and what hangs on it matches nothing: "));
    for part in ["reference(", "destinationAddresses of rule `to the address`", "targetFqdns of rule `of a region`"] {
        assert!(warning.what.contains(part), "{warning:?}");
    }
    let mend = warning.mend.clone().unwrap();
    assert_eq!(mend.matches("--set '").count(), 2, "{mend}");
    let answers = verdicts(&["unknown_values.json"], &["tcp://192.0.2.1:443", "tcp://192.0.2.7:443"]);
    assert!(answers[0].starts_with("allow") && answers[1].starts_with("deny"), "{answers:?}");
    let name = mend.split("--set '").nth(1).and_then(|rest| rest.split("=…'").next()).unwrap().to_owned();
    let parameters = valid("unknown_values.parameters.json");
    let told = load_files(&["unknown_values.json"], |flags| {
        flags.parameters = vec![parameters];
        flags.set = vec![format!("{name}=192.0.2.7")];
    });
    let told = told.unwrap_or_else(|errors| panic!("{errors}"));
    let said: Vec<&str> = told.warnings.iter().map(|warning| warning.what.as_str()).collect();
    assert_eq!(said, ["no template has a parameter `nobody`"]);
    assert!(load_files(&["unknown_values.json"], |flags| flags.profile = Some("strict".into())).is_err());
}

/// What a plan leaves open goes by the names that the warning about them proposes.
#[test]
fn what_a_plan_leaves_open_can_be_set() {
    const GROUP: &str = "azurerm_firewall_policy_rule_collection_group.g";
    let plan = valid("plan_unknown.json");
    let check = |set: &[String], targets: &[&str]| {
        let set: Vec<String> = set.iter().map(|set| format!("--set={set}")).collect();
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        check(&[&plan], &[set.as_slice(), targets].concat())
    };
    let target = "tcp://10.1.2.3:1433";
    let open = check(&[], &[target]);
    for name in ["priority", "network_rule_collection[0].rule[0].destination_addresses"] {
        assert!(open.err.contains(&format!("--set '{GROUP}.{name}=…'")), "{}", open.err);
    }
    let given = |addresses: &str| {
        let addresses = format!("{GROUP}.network_rule_collection[0].rule[0].destination_addresses={addresses}");
        check(&[format!("{GROUP}.priority=300"), addresses], &[target, "tcp://10.9.0.1:1433"])
    };
    for addresses in ["10.1.0.0/16", "[\"192.0.2.1\", \"10.1.0.0/16\"]"] {
        let answer = given(addresses);
        assert!(answer.out.starts_with("allow"), "{addresses}: {}{}", answer.out, answer.err);
        assert!(answer.out.contains("p/g/n/sql") && answer.out.contains("deny"), "{}", answer.out);
        assert!(!answer.err.contains("warning"), "{}", answer.err);
    }
}

#[test]
fn inputs_without_a_use() {
    let error = |change: fn(&mut Overrides)| {
        let mut overrides = Overrides { policy: vec!["ase".into()], ..Overrides::default() };
        change(&mut overrides);
        load(&overrides, egret::config::DefaultFile::Ignored).unwrap_err().to_string()
    };
    let set = error(|flags| flags.set = vec!["a=b".into()]);
    assert_eq!(set, "--set: there is no template that this could be for\n  = mend: name it by --policy");
    let set = error(|flags| flags.set = vec!["a".into()]);
    assert_eq!(set, "--set: `a` sets nothing\n  = mend: write NAME=VALUE");
    let parameters = error(|flags| flags.parameters = vec![valid("unknown_values.parameters.json")]);
    assert!(parameters.starts_with("--parameters: there is no template"), "{parameters}");
    let policy = error(|flags| flags.parameters = vec![valid("policy.json")]);
    assert!(policy.contains("this is a template, no file of parameters"), "{policy}");
    let loaded = load_files(&["policy.json"], |flags| flags.set = vec!["nobody=1".into()]).unwrap();
    assert_eq!(loaded.warnings[0].one_line(), "--set: nothing asks for `nobody`");
}

#[test]
fn linked_templates_lie_beside_or_are_given() {
    let answers = verdicts(&["links.json"], &["https://linked.example"]);
    assert_eq!(answers, ["allow https://linked.example application-rule fw/g/c/a"]);
    let loaded = loaded(&["links.json"]);
    assert!(loaded.files.contains(&Path::new(VALID).join("linked/policy.json")), "{:?}", loaded.files);
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| {
        let to = folder.path().join(to);
        fs::copy(valid(from), &to).unwrap();
        to.to_str().unwrap().to_owned()
    };
    let (links, policy) = (copy("links.json", "main.json"), copy("linked/policy.json", "my-policy.json"));
    let answer = check(&[&links, &policy], &["https://linked.example"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{}", answer.out);
    let alone = check(&[&links], &["https://linked.example"]);
    assert!(alone.code == 2 && alone.err.contains("linked/policy.json"), "{}", alone.err);
}

#[test]
fn one_of_several_policies() {
    let files = ["two_policies.json#b"];
    assert_eq!(verdicts(&files, &["https://b.example"]), ["allow https://b.example application-rule b/g/c/b"]);
    assert_eq!(verdicts(&files, &["https://a.example"]), ["deny https://a.example not-allowed"]);
    let both = verdicts(&["two_policies.json#b", "two_policies.json#A"], &["https://a.example", "https://b.example"]);
    assert!(both.iter().all(|answer| answer.starts_with("allow")), "{both:?}");
    let error = load_files(&["two_policies.json#c"], |_| {}).unwrap_err().to_string();
    assert!(error.contains("holds no policy `c`") && error.contains("it holds a, b"), "{error}");
    let error = load_files(&["two_policies.json#a", "two_policies.json#a"], |_| {}).unwrap_err().to_string();
    assert!(error.contains("takes part already"), "{error}");
}

#[test]
fn what_surrounds_a_firewall_is_read() {
    let loaded = loaded(&["policy.json", "surroundings.json"]);
    let read = &loaded.read;
    assert_eq!((read.security_groups, read.security_rules), (1, 2));
    assert_eq!((read.route_tables, read.routes), (1, 2));
    assert_eq!((read.virtual_networks, read.subnets), (1, 1));
    let said: Vec<&str> = loaded.warnings.iter().map(|warning| warning.what.as_str()).collect();
    assert_eq!(
        said,
        [
            "`priority` of `nsg/bad` is missing: every security rule has one",
            "`sourceAddressPrefix`: `10.0.0.0/40` has a prefix that is too long: at most /32",
        ]
    );
    let infos: Vec<&str> = loaded.infos.iter().map(|info| info.what.as_str()).collect();
    let expected = "read, not emulated: 1 network security group with 2 rules, 1 route table with 2 routes \
                    and 1 virtual network with 1 subnet";
    assert!(infos.contains(&expected), "{infos:?}");
}

#[test]
fn policies_of_azure_in_a_file_of_egret() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(valid("child.json"), folder.path().join("child.json")).unwrap();
    for (name, text) in
        [("policy", "policy = [\"child.json\"]"), ("base", "base_policy = \"child.json\"\nallow = [\"x.test\"]")]
    {
        let path = folder.path().join(format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        let loaded =
            load(&Overrides { config: Some(path), ..Overrides::default() }, egret::config::DefaultFile::Ignored);
        let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        assert!(loaded.config.rules.policies.iter().any(|policy| policy.name == "child"), "{name}");
        assert!(!in_order(&loaded.config.rules).is_empty(), "{name}");
    }
}

#[test]
fn hostile_files_end_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let deep = "[".repeat(10_000);
    let mut large = b"[\"".to_vec();
    large.resize(33 * 1024 * 1024, b'a');
    let cases: [(&str, &[u8], &str); 5] = [
        ("deep.json", deep.as_bytes(), "depth"),
        ("large.json", &large, "it is larger than 32 MiB"),
        ("binary.json", b"\x7fELF\x02\x01\x01\x00\xff\xfe\xfd", "is not UTF-8"),
        ("zip.json", b"PK\x03\x04\xff\xff\xff", "Zip archive"),
        ("open.json", b"{\"type\": \"Microsoft.Network/firewallPolicies\", \"name\": [", "not JSON"),
    ];
    for (name, bytes, expected) in cases {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let answer = check(&[path.to_str().unwrap()], &["https://a.example"]);
        assert!(answer.code == 2 && answer.err.contains(expected), "{name}: {}", answer.err);
        assert!(answer.err.len() < 2_000, "{name}");
    }
}

/// PowerShell 5 writes its output so.
#[test]
fn files_in_utf_16() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    let text = fs::read_to_string(valid("policy.json")).unwrap();
    let bytes: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    fs::write(&path, bytes).unwrap();
    let answer = check(&[path.to_str().unwrap()], &["https://www.contoso.com"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
}
