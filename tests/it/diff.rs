//! `egret lint --diff`: what it prints, and that each witness is what it says.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A policy of collections, each `type action` and its rules.
fn policy(collections: &[(&str, &[&str])]) -> String {
    let mut text = "name = \"p\"\n[[rule_collection_group]]\nname = \"g\"\npriority = 1000\n".to_owned();
    for ((head, rules), number) in collections.iter().zip(1..) {
        let (kind, action) = head.split_once(' ').unwrap();
        text += &format!(
            "[[rule_collection_group.rule_collection]]\nname = \"c{number}\"\npriority = {number}00\ntype = \"{kind}\"\n\
             action = \"{action}\"\n"
        );
        for rule in *rules {
            text += &format!("[[rule_collection_group.rule_collection.rule]]\n{rule}\n");
        }
    }
    text
}

struct Files {
    folder: TempDir,
}

impl Files {
    fn new(old: &str, new: &str) -> Files {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("old.toml"), old).unwrap();
        fs::write(folder.path().join("new.toml"), new).unwrap();
        Files { folder }
    }

    fn egret(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.env_clear().current_dir(self.folder.path()).args(args);
        command.output().unwrap()
    }

    fn diff(&self, more: &[&str]) -> Output {
        self.egret(&[&["lint", "--diff", "old.toml", "new.toml"], more].concat())
    }

    /// The verdict of `egret check` with these words.
    fn check(&self, file: &str, words: &str) -> String {
        let mut args = vec!["check", "--config", file, "--format", "json"];
        args.extend(words.split(' '));
        let output = self.egret(&args);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words}: {output:?}"));
        answer["verdict"].as_str().unwrap().to_owned()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

const CONTOSO: &str = r#"name = "contoso"
source_addresses = ["10.0.0.0/24"]
protocols = ["Https:443"]
target_fqdns = ["*.contoso.com", "www.fabrikam.com"]"#;

const FABRIKAM: &str = r#"name = "contoso"
source_addresses = ["10.0.0.0/24"]
protocols = ["Https:443"]
target_fqdns = ["www.fabrikam.com"]"#;

const DENY_NET: &str = r#"name = "no-lab"
ip_protocols = ["TCP"]
destination_addresses = ["198.18.0.0/16"]
destination_ports = ["1-1000"]"#;

#[test]
fn a_name_less() {
    let old = policy(&[("Application Allow", &[CONTOSO])]);
    let new = policy(&[("Application Allow", &[FABRIKAM])]);
    let files = Files::new(&old, &new);
    let output = files.diff(&[]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let expected = "\
allow → deny  https to *.contoso.com on 443, from 10.0.0.0/24
  old: p/g/c1/contoso (application-rule)
  new: no rule (not-allowed)
  egret check --from 10.0.0.1 https://www.contoso.com:443
";
    assert_eq!(text(&output), expected);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "flows change their verdict in 1 way\n");
    assert_eq!(files.check("old.toml", "--from 10.0.0.1 https://www.contoso.com:443"), "allow");
    assert_eq!(files.check("new.toml", "--from 10.0.0.1 https://www.contoso.com:443"), "deny");
}

#[test]
fn nothing_changes() {
    let old = policy(&[("Application Allow", &[CONTOSO, &FABRIKAM.replace("\"contoso\"", "\"again\"")])]);
    let new = policy(&[("Application Allow", &[CONTOSO])]);
    let output = Files::new(&old, &new).diff(&[]);
    assert_eq!((output.status.code(), text(&output)), (Some(0), String::new()), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "no flow changes its verdict\n");
}

#[test]
fn another_rule_decides_alike() {
    let old = policy(&[("Application Allow", &[CONTOSO])]);
    let new = policy(&[(
        "Application Allow",
        &[&CONTOSO.replace("\"contoso\"", "\"renamed\"").replace("443", "443\", \"Http:80")],
    )]);
    let files = Files::new(&old, &new);
    let all = text(&files.diff(&["--all"]));
    assert!(all.contains("deny → allow  http to *.contoso.com, www.fabrikam.com on 80, from 10.0.0.0/24"), "{all}");
    assert!(all.contains("allow → allow  https to *.contoso.com, www.fabrikam.com on 443, from 10.0.0.0/24"), "{all}");
    assert!(!text(&files.diff(&[])).contains("allow → allow"));
}

/// The address alone is denied before and after; only a name that leads to it shows the difference.
#[test]
fn names_that_lead_to_a_denied_address() {
    let old = policy(&[("Application Allow", &[CONTOSO])]);
    let new = policy(&[("Network Deny", &[DENY_NET]), ("Application Allow", &[CONTOSO])]);
    let files = Files::new(&old, &new);
    let output = text(&files.diff(&[]));
    let headline = "allow → deny  https to *.contoso.com, www.fabrikam.com on 443 where it leads to 198.18.0.0/16, from 10.0.0.0/24";
    assert!(output.starts_with(headline), "{output}");
    let words = output.lines().find_map(|line| line.trim().strip_prefix("egret check ")).unwrap();
    assert_eq!(
        (files.check("old.toml", words), files.check("new.toml", words)),
        ("allow".into(), "deny".into()),
        "{words}"
    );
}

#[test]
fn every_witness_is_what_the_programs_are_told() {
    let old = policy(&[
        (
            "Network Allow",
            &[
                "name = \"n\"\nip_protocols = [\"UDP\", \"ICMP\"]\ndestination_addresses = [\"192.0.2.0/24\", \"2001:db8::/48\"]\ndestination_ports = [\"*\"]",
            ],
        ),
        (
            "Application Allow",
            &["name = \"u\"\nprotocols = [\"Http:8080\"]\ntarget_urls = [\"www.contoso.com/a-b/*\"]", CONTOSO],
        ),
    ]);
    let new = policy(&[("Network Deny", &[DENY_NET]), ("Application Deny", &[FABRIKAM])]);
    let files = Files::new(&old, &new);
    let output = files.diff(&["--format", "json"]);
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(whole["complete"], true);
    let changed = whole["changed"].as_array().unwrap();
    let protocols: Vec<&str> = changed
        .iter()
        .flat_map(|it| it["flows"]["protocols"].as_array().unwrap())
        .map(|it| it.as_str().unwrap())
        .collect();
    for protocol in ["udp", "icmp", "https"] {
        assert!(protocols.contains(&protocol), "{protocols:?}");
    }
    for difference in changed {
        let words = difference["witness"]["arguments"].as_str().unwrap();
        if words.contains('\'') {
            continue;
        }
        assert_eq!(files.check("old.toml", words), difference["old"]["verdict"].as_str().unwrap(), "{words}");
        assert_eq!(files.check("new.toml", words), difference["new"]["verdict"].as_str().unwrap(), "{words}");
    }
}

#[test]
fn what_is_no_comparison() {
    let files = Files::new("name = 3", "");
    assert_eq!(files.diff(&[]).status.code(), Some(2));
    let good = policy(&[("Application Allow", &[CONTOSO])]);
    let files = Files::new(&good, &good);
    assert_eq!(files.egret(&["lint", "--diff", "old.toml"]).status.code(), Some(2));
    assert_eq!(files.diff(&["--format", "sarif"]).status.code(), Some(2));
}

#[test]
fn what_differs_and_is_no_verdict() {
    let nat = |port: u16| {
        format!(
            "name = \"d\"\nip_protocols = [\"TCP\"]\ndestination_addresses = [\"192.0.2.1\"]\n\
             destination_ports = [\"443\"]\ntranslated_address = \"198.51.100.4\"\ntranslated_port = {port}"
        )
    };
    let settings = |server: &str| format!("[settings.dns]\nservers = [\"{server}\"]\n");
    let (old, new) = (policy(&[("DNAT DNAT", &[&nat(8080)])]), policy(&[("DNAT DNAT", &[&nat(9090)])]));
    let files = Files::new(&(old + &settings("192.0.2.53")), &(new + &settings("192.0.2.54")));
    let output = files.diff(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let expected = [
        "not a verdict, and different: DNAT rule p/g/c1/d leads to 198.51.100.4:9090, before 198.51.100.4:8080",
        "not a verdict, and different: settings of `p`: dnsSettings.servers 192.0.2.54, before 192.0.2.53",
    ];
    assert_eq!(text(&output).lines().collect::<Vec<_>>(), expected);
    let whole: Value = serde_json::from_slice(&files.diff(&["--format", "json"]).stdout).unwrap();
    assert_eq!(whole["also"].as_array().unwrap().len(), 2);
    let inserts = format!("{CONTOSO}\nhttp_headers = [{{ name = \"X-A\", value = \"1\" }}]\nterminate_tls = true");
    let (old, new) = (policy(&[("Application Allow", &[CONTOSO])]), policy(&[("Application Allow", &[&inserts])]));
    let output = text(&Files::new(&old, &new).diff(&[]));
    assert!(output.contains("rule p/g/c1/contoso inserts `X-A: 1`, before none"), "{output}");
    assert!(output.contains("rule p/g/c1/contoso: terminateTLS true, before false"), "{output}");
    assert_eq!(text(&Files::new(&old, &old).diff(&[])), "");
}
