//! `egret convert`, by running it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::command::run;

const POLICY: &str = "\
name = \"lab\"

[settings]
tier = \"Premium\"

[[ip_group]]
name = \"workers\"
addresses = [\"10.0.1.0/24\"]

[[rule_collection_group]]
name = \"default\"
priority = 200

[[rule_collection_group.rule_collection]]
name = \"web\"
priority = 100
type = \"application\"
action = \"allow\"

[[rule_collection_group.rule_collection.rule]]
name = \"packages\"
description = \"it's ${a} %{b} \\\"c\\\"\"
source_ip_groups = [\"workers\"]
protocols = [\"Https:443\"]
target_fqdns = [\"*.ubuntu.com\"]
";

fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.toml");
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn every_format_is_written_and_json_is_read_again() {
    let (folder, path) = file(POLICY);
    let toml = run(&["convert", "--to", "toml", &path]);
    assert_eq!((toml.code, toml.err.as_str()), (0, ""));
    // The writer lets TOML choose the quotes of a text that holds some.
    let normal = |text: &str| toml::from_str::<toml::Value>(text).unwrap();
    assert_eq!(normal(&toml.out), normal(POLICY));
    for format in ["arm", "arm-template", "json"] {
        let json = run(&["convert", "--to", format, &path]);
        assert_eq!((json.code, json.err.as_str()), (0, ""), "{format}");
        serde_json::from_str::<Value>(&json.out).unwrap();
        let written = folder.path().join("policy.json");
        fs::write(&written, &json.out).unwrap();
        let written = written.display().to_string();
        let check = |from: &str| run(&["check", "--policy", &written, "--from", from, "https://x.ubuntu.com"]).code;
        assert_eq!((check("10.0.1.9"), check("10.0.2.9")), (0, 3), "{format}");
        // What the resource group says is known once it was read.
        let again = run(&["convert", "--to", "toml", &written]);
        let without_place = |text: &str| {
            let mut value = normal(text);
            value["settings"].as_table_mut().unwrap().remove("kept");
            value
        };
        assert_eq!(without_place(&again.out), normal(POLICY), "{format}: {}", again.err);
    }
    for (format, mark) in [
        ("bicep", "description: 'it\\'s \\${a} %{b} \"c\"'"),
        ("terraform", "description = \"it's $${a} %%{b} \\\"c\\\"\""),
        ("az-cli", "--source-ip-groups workers"),
    ] {
        let answer = run(&["convert", "--to", format, &path]);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{format}");
        assert!(answer.out.contains(mark), "{format}: {}", answer.out);
    }
}

#[test]
fn the_built_in_policy_tells_what_azure_has_no_words_for() {
    let answer = run(&["convert", "--to", "arm-template", "ase"]);
    assert_eq!(answer.code, 3);
    let template: Value = serde_json::from_str(&answer.out).unwrap();
    let collections = template["resources"][1]["properties"]["ruleCollections"].as_array().unwrap();
    let rules = collections.iter().map(|it| it["rules"].as_array().unwrap().len()).sum::<usize>();
    // Of 77 rules seven are full globs.
    let errors = answer.err.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!((rules, errors), (70, 7), "{}", answer.err);
    let glob = answer.err.lines().find(|line| line.contains("gr-prod-*")).unwrap();
    assert!(glob.contains("the FQDN tag AppServiceEnvironment") && glob.contains("`*.cloudapp.net`"), "{glob}");
    assert!(!answer.out.contains("\"*.cloudapp.net\""));
    let widened =
        run(&["convert", "--to", "arm-template", "--widen", "--name", "edge", "--location", "uksouth", "ase"]);
    assert_eq!(widened.code, 3);
    assert!(widened.out.contains("\"*.cloudapp.net\"") && widened.err.contains("which allows more"), "{}", widened.err);
    let template: Value = serde_json::from_str(&widened.out).unwrap();
    let default = |name: &str| template["parameters"][name]["defaultValue"].clone();
    assert_eq!((default("policyName"), default("location")), ("edge".into(), "uksouth".into()));
}

#[test]
fn several_policies_are_a_folder_of_toml() {
    let (folder, path) = file(POLICY);
    let args = ["convert", "--to", "toml", "--allow", "https://a.test", &path];
    let refused = run(&args);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""));
    assert!(refused.err.contains("2 policies become a file each: name a folder"), "{}", refused.err);
    let output = format!("{}/out/", folder.path().display());
    let written = run(&[&args[..], &["--output", &output]].concat());
    assert_eq!(written.code, 0, "{}", written.err);
    assert!(
        written.err.contains("written: local.toml, lab.toml; the last one is the policy to use"),
        "{}",
        written.err
    );
    let lab = format!("{output}lab.toml");
    let check = run(&["check", "--config", &lab, "--from", "10.0.1.9", "https://a.test", "https://x.ubuntu.com"]);
    assert_eq!(check.code, 0, "{}", check.out);
}

#[test]
fn the_folder_this_runs_in_says_what_no_file_does() {
    let (folder, path) = file(POLICY);
    let config = run(&["convert", "--to", "arm", "--config", &path, "--policy", "none"]);
    assert_eq!(config.code, 0, "{}", config.err);
    assert!(config.out.contains("packages"), "{}", config.out);
    let output = folder.path().join("out.tf").display().to_string();
    let written = run(&["convert", "--to", "terraform", "--output", &output, &path]);
    assert_eq!((written.code, written.out.as_str()), (0, ""));
    assert!(fs::read_to_string(&output).unwrap().contains("azurerm_ip_group.workers.id"));
    let nowhere = run(&["convert", "--to", "bicep", "--output", "/no/such/folder/x.bicep", &path]);
    assert_eq!(nowhere.code, 4, "{}", nowhere.err);
    assert!(nowhere.err.contains("cannot write `/no/such/folder/x.bicep`"), "{}", nowhere.err);
    assert_eq!(run(&["convert", &path]).code, 2);
}

const FORMATS: [&str; 7] = ["toml", "arm", "arm-template", "bicep", "terraform", "az-cli", "json"];

/// Files of these folders that are not converted to a whole policy: what the exit code is for TOML and for the others.
const EXCEPTIONS: &[(&str, [i32; 2])] = &[
    // No policy, or one of several.
    ("azure/valid/ip_groups.json", [2, 2]),
    ("azure/valid/surroundings.json", [2, 2]),
    ("azure/valid/two_policies.json", [2, 2]),
    ("azure/valid/unknown_values.parameters.json", [2, 2]),
    ("config/valid/azure/parameters.json", [2, 2]),
    ("config/valid/tags.json", [2, 2]),
    // Its IP groups stand in another file.
    ("azure/valid/uses_ip_groups.json", [3, 3]),
    // With a built-in policy, whose full globs Azure has no words for and whose service endpoints TOML has none for.
    ("config/valid/every_setting.toml", [3, 3]),
    ("config/valid/three_lines.toml", [3, 3]),
    ("config/valid/whole_policy.toml", [0, 3]),
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_policy = path.extension().is_some_and(|extension| extension == "json" || extension == "toml");
        match path.is_dir() {
            true => files(&path, found),
            false if is_policy => found.push(path),
            false => {}
        }
    }
}

/// As docs/convert.md says: 3 where an error told of a loss, and 0 whatever warnings there were.
fn assert_code(input: &str, expected: [i32; 2]) {
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let output = format!("{}/{}", folder.path().display(), if format == "toml" { "out/" } else { "out" });
        let answer = run(&["convert", "--to", format, "--output", &output, input]);
        let expected = expected[usize::from(format != "toml")];
        assert_eq!(answer.code, expected, "{input} to {format}: {}", answer.err);
        let has_error = answer.err.lines().any(|line| line.starts_with("error: "));
        assert_eq!(has_error, expected == 3, "{input} to {format}: {}", answer.err);
        assert_eq!(Path::new(&output).exists(), expected != 2, "{input} to {format}");
    }
}

#[test]
fn every_fixture_is_converted_to_every_format() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut found = Vec::new();
    ["azure/valid", "config/valid"].iter().for_each(|folder| files(&fixtures.join(folder), &mut found));
    for (path, _) in EXCEPTIONS {
        assert!(found.contains(&fixtures.join(path)), "{path}");
    }
    for path in found {
        let known = EXCEPTIONS.iter().find(|(known, _)| path == fixtures.join(known));
        assert_code(&path.display().to_string(), known.map_or([0, 0], |(_, codes)| *codes));
    }
    assert_code("ase", [3, 3]);
    assert_code("none", [0, 0]);
}

/// What decides nothing here is told of by a warning, and the exit code is 0.
#[test]
fn a_setting_that_is_left_out_is_a_warning() {
    let kept = "[[settings.kept]]\nproperty = \"insights\"\njson = '{\"isEnabled\":true}'\n\n[[ip_group]]";
    let (_folder, path) = file(&POLICY.replacen("[[ip_group]]", kept, 1));
    for (format, warning) in [
        ("terraform", "warning: the policy's `insights` is not written for Terraform; write it by hand\n"),
        (
            "az-cli",
            "warning: the policy's `insights` has no flag of az here and is not written; write a template instead \
             (--to arm-template)\n",
        ),
        ("bicep", ""),
    ] {
        let answer = run(&["convert", "--to", format, &path]);
        assert_eq!((answer.code, answer.err.as_str()), (0, warning), "{format}");
    }
    let help = run(&["convert", "--help"]).out;
    assert!(help.contains("A rule that a format has no words for is left out and the exit code is 3"), "{help}");
}
