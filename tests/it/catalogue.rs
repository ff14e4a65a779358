//! Files of service tags, and of the members of FQDN tags and web categories.

use std::fs;

use tempfile::TempDir;

use super::support::command::{Answer, egret, finish};

const RULES: &str = r#"
rule_collection_group = [{ name = "g", priority = 100, rule_collection = [
{ name = "net", priority = 100, type = "network", action = "allow", rule = [
{ name = "storage", ip_protocols = "TCP", destination_addresses = ["Storage.WestEurope"], destination_ports = 443 }] },
{ name = "app", priority = 200, type = "application", action = "allow", rule = [
{ name = "backup", fqdn_tags = ["AzureBackup"] }] }] }]
"#;

const TAGS: &str = r#"{"changeNumber": 1, "cloud": "Public", "values": [
{"name": "Storage.WestEurope", "id": "Storage.WestEurope", "properties": {"changeNumber": 1, "region": "westeurope",
"addressPrefixes": ["192.0.2.0/24", "2001:db8::/32", "192.0.2.0/24"], "networkFeatures": ["FW"]}}]}"#;

const MEMBERS: &str = "# what we saw\n*.backup.test:443\nhttp://list.test  # plain\n\nboth.test\n";

fn lab(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("egret.toml"), config).unwrap();
    fs::write(folder.path().join("tags.json"), TAGS).unwrap();
    fs::write(folder.path().join("backup.txt"), MEMBERS).unwrap();
    folder
}

fn check(folder: &TempDir, args: &[&str]) -> Answer {
    finish(egret().current_dir(folder.path()).arg("check").args(args), "")
}

const TARGETS: &[&str] = &[
    "tcp://192.0.2.7:443",
    "tcp://[2001:db8::7]:443",
    "https://a.backup.test",
    "http://list.test",
    "http://both.test",
    "https://both.test",
];

#[test]
fn by_flags_and_by_options() {
    let flags = ["--service-tags=tags.json", "--tag=azurebackup=backup.txt"];
    let by_flags = check(&lab(RULES), &[&flags, TARGETS].concat());
    assert_eq!((by_flags.code, by_flags.out.matches("allow ").count()), (0, 6), "{}{}", by_flags.out, by_flags.err);
    let options = "service_tags = \"tags.json\"\ntag = [\"AzureBackup=backup.txt\"]\n";
    let by_options = check(&lab(&format!("{options}{RULES}")), TARGETS);
    assert_eq!((by_options.code, by_options.out), (0, by_flags.out), "{}", by_options.err);
    let others = check(&lab(RULES), &[&flags, &["https://list.test", "http://a.backup.test"][..]].concat());
    assert_eq!(others.out.matches("deny ").count(), 2, "{}", others.out);
}

#[test]
fn what_is_known_to_azure_alone() {
    let folder = lab(RULES);
    let azure = check(&folder, &["https://a.backup.test"]);
    assert_eq!(azure.code, 3);
    let unpublished = "`AzureBackup` is an FQDN tag whose members Azure does not publish: it matches nothing; name them in a \
                       file: --tag AzureBackup=FILE";
    let unknown = "`Storage.WestEurope` is neither an address nor a service tag that is known here: it matches nothing";
    assert!(azure.err.contains(unpublished) && azure.err.contains(unknown), "{}", azure.err);
    let strict = check(&folder, &["--profile=strict", "https://a.backup.test"]);
    assert_eq!(strict.code, 2, "{}", strict.err);
    let replaced = lab(&RULES.replace("Storage.WestEurope", "Sql"));
    let answer = check(&replaced, &["--service-tags=tags.json", "--tag=AzureBackup=backup.txt", "https://both.test"]);
    assert!(answer.err.contains("`Sql` is neither an address nor a service tag"), "{}", answer.err);
}

#[test]
fn files_that_are_none() {
    let folder = lab("");
    fs::write(folder.path().join("bad.json"), "{\"values\": [\n{\"name\": \"X\"}]}").unwrap();
    fs::write(folder.path().join("bad.txt"), "ok.test\n192.0.2.7\n*\n").unwrap();
    for (flag, errors) in [
        ("--service-tags=bad.json", &["bad.json:2:13: it is no file of service tags: missing field `properties`"][..]),
        ("--service-tags=none.json", &["--service-tags: cannot read `none.json`: there is no such file"]),
        ("--tag=AzureBackup", &["--tag: `AzureBackup` is not NAME=FILE"]),
        (
            "--tag=X=bad.txt",
            &["bad.txt:2:1: `192.0.2.7` is an address", "bad.txt:3:1: `*`: `*` is every name there is"],
        ),
        ("--tag=Gambling=backup.txt", &["backup.txt:2:1: `*.backup.test:443`: `Gambling` is a web category"]),
    ] {
        let answer = check(&folder, &[flag, "https://ok.test"]);
        assert_eq!(answer.code, 2, "{flag}: {}", answer.err);
        errors.iter().for_each(|error| assert!(answer.err.contains(error), "{flag}: {error}\n{}", answer.err));
    }
}

#[test]
fn lists_of_approximations_are_shown() {
    let run = |args: &[&str]| finish(egret().arg("allowlist").args(args), "").out;
    let list = run(&["list"]);
    for name in ["web-categories/SocialNetworking", "fqdn-tags/AzureKubernetesService"] {
        assert!(list.lines().any(|line| line.contains(name) && line.ends_with("(an approximation)")), "{list}");
    }
    let shown = run(&["show", "gambling"]);
    assert!(shown.contains("approximation: Azure does not publish") && shown.contains("\n*.bet365.com\n"), "{shown}");
}
