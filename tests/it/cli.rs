//! The command line, by running it.

use std::fs;

use serde_json::Value;

use crate::support::command::{Answer, egret, finish, run, run_with_input};
use crate::support::egret::{Egret, NO_FLAGS};

fn lines(answer: &Answer) -> Vec<Value> {
    answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn exit_codes_of_check() {
    let code = |args: &[&str]| run(&[&["check"], args].concat()).code;
    assert_eq!(code(&["https://login.windows.net"]), 0);
    assert_eq!(code(&["https://login.windows.net", "https://example.com"]), 3);
    assert_eq!(code(&["https://example.com", "not a target"]), 2);
    assert_eq!(code(&["--from", "nobody", "https://example.com"]), 2);
    assert_eq!(code(&["--policy", "nowhere", "https://example.com"]), 2);
    assert_eq!(code(&["--no-such-flag"]), 2);
    assert_eq!(code(&["--help"]), 0);
}

#[test]
fn json_lines_have_exactly_these_fields() {
    let answer = run(&["check", "--format", "json", "https://login.windows.net", "https://example.com"]);
    assert_eq!(
        answer.out,
        concat!(
            r#"{"target":"https://login.windows.net","verdict":"allow","reason":"application-rule","#,
            r#""rule":{"policy":"ase@2018-09-24","group":"ase-dependencies","collection":"fqdn-dependencies","#,
            r#""rule":"login.windows.net:443"},"profile":"azure"}"#,
            "\n",
            r#"{"target":"https://example.com","verdict":"deny","reason":"not-allowed","rule":null,"profile":"azure"}"#,
            "\n"
        )
    );
    assert_eq!(answer.err, "");
}

#[test]
fn every_row_of_the_default_lists_is_allowed() {
    let kinds = ["fqdn", "wildcard", "ip", "linux"];
    let lists = egret::allowlist::find("ase").unwrap();
    let rows = lists.iter().filter(|list| kinds.contains(&list.kind.as_str())).flat_map(|list| &list.entries);
    let targets: Vec<String> = rows
        .map(|row| match row.rsplit_once(':').unwrap() {
            (host, port) if host.parse::<std::net::IpAddr>().is_ok() => format!("tcp://{host}:{port}"),
            (host, "80") => format!("http://{}:80", host.replace('*', "x1")),
            (host, port) => format!("https://{}:{port}", host.replace('*', "x1")),
        })
        .collect();
    assert_eq!(targets.len(), 77);
    let answer = run_with_input(&["check", "--format", "json"], &targets.join("\n"));
    let answers = lines(&answer);
    assert_eq!((answers.len(), answer.code), (77, 0), "{}", answer.out);
    for (answer, target) in answers.iter().zip(&targets) {
        assert_eq!((&answer["target"], &answer["verdict"]), (&target.as_str().into(), &"allow".into()), "{answer}");
        let endpoint = answer["reason"] == "service-endpoint";
        assert_eq!(answer.get("note").is_some(), endpoint, "{answer}");
    }
    let storage = lines(&run(&["check", "--format", "json", "azperfcounters1.blob.core.windows.net:443"])).remove(0);
    assert_eq!((&storage["verdict"], &storage["reason"]), (&"allow".into(), &"service-endpoint".into()));
}

#[test]
fn lines_of_standard_input() {
    let input = "# hosts\n\nhttps://login.windows.net\n  bad host  \n\u{1b}[31m\nhttps://example.com/a\u{1b}[2J\n";
    let answer = run_with_input(&["check"], input);
    assert_eq!(answer.code, 2);
    let expected = "\
allow  https://login.windows.net                         application-rule  \
ase@2018-09-24/ase-dependencies/fqdn-dependencies/login.windows.net:443
deny   https://example.com/a\\u{1b}[2J                    not-allowed
";
    assert_eq!(answer.out, expected);
    assert!(answer.err.starts_with("error: standard input, line 4: `bad host`"), "{}", answer.err);
    assert!(answer.err.contains("error: standard input, line 5: ") && !answer.err.contains('\u{1b}'), "{}", answer.err);
    assert!(answer.err.ends_with("1 allowed, 1 denied, 2 not understood\n"), "{}", answer.err);
    let dash = run_with_input(&["check", "-"], input);
    assert_eq!((dash.out, dash.err), (answer.out, answer.err));
    assert_eq!(run_with_input(&["check"], "").code, 0, "nothing was asked, nothing was denied");
}

const RULES: &str = r#"
name = "lab"

[[rule_collection_group]]
name = "g"
priority = 200

[[rule_collection_group.rule_collection]]
name = "sql"
priority = 100
type = "network"
action = "allow"

[[rule_collection_group.rule_collection.rule]]
name = "db"
source_addresses = ["10.0.1.0/24"]
ip_protocols = ["TCP"]
destination_addresses = ["10.1.0.0/16"]
destination_ports = ["1433"]

[[rule_collection_group.rule_collection]]
name = "web"
priority = 200
type = "application"
action = "allow"

[[rule_collection_group.rule_collection.rule]]
name = "api"
protocols = ["Https:443"]
target_fqdns = ["*.contoso.com"]
"#;

fn lab() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.toml");
    fs::write(&path, RULES).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn explain_shows_the_walk() {
    let (_folder, path) = lab();
    let explain = |target: &str| run(&["check", "--policy", &path, "--explain", target]).out;
    assert_eq!(
        explain("https://api.contoso.com"),
        "\
allow  https://api.contoso.com  application-rule  lab/g/web/api
     1. network allow lab/g/sql/db: the source is not 10.0.1.0/24; the port is not 1433; the address of the name is \
not known here, so it cannot be 10.1.0.0/16
     2. application allow lab/g/web/api: matches
"
    );
    assert_eq!(
        explain("https://api.contoso.com:8443"),
        "\
deny   https://api.contoso.com:8443  port-not-allowed
     1. network allow lab/g/sql/db: the source is not 10.0.1.0/24; the port is not 1433; the address of the name is \
not known here, so it cannot be 10.1.0.0/16
     2. application allow lab/g/web/api: the port is not 443
        no rule matches: denied by default
  => lab/g/web/api would match if the port were 443
"
    );
    let json = lines(&run(&["check", "--policy", &path, "--explain", "--format", "json", "tcp://10.1.0.4:1433"]));
    assert_eq!(json[0]["steps"][0]["misses"], serde_json::json!(["the source is not 10.0.1.0/24"]));
    assert_eq!(json[0]["steps"][0]["type"], "network");
    assert_eq!(json[0]["nearest_miss"], "lab/g/sql/db would match if the client were 10.0.1.0/24");
}

#[test]
fn who_asks_and_which_address() {
    let (_folder, path) = lab();
    let ask =
        |args: &[&str]| lines(&run(&[&["check", "--format", "json", "--policy", &path], args].concat())).remove(0);
    let anybody = ask(&["tcp://10.1.0.4:1433"]);
    assert_eq!(anybody["verdict"], "deny");
    assert_eq!(anybody["note"], "lab/g/sql/db decides for clients in 10.0.1.0/24; say who asks with --from");
    let inside = ask(&["--from", "10.0.1.9", "tcp://10.1.0.4:1433"]);
    assert_eq!((&inside["verdict"], &inside["rule"]["rule"]), (&"allow".into(), &"db".into()));
    assert!(inside.get("note").is_none());
    let named = ask(&["--from", "10.0.1.9", "tcp://db.test:1433"]);
    assert_eq!(named["verdict"], "deny");
    assert!(named["note"].as_str().unwrap().contains("give the address with --resolve"), "{named}");
    let resolved = ask(&["--from", "10.0.1.9", "--resolve", "db.test:10.1.0.4", "tcp://db.test:1433"]);
    assert_eq!((&resolved["verdict"], &resolved["rule"]["rule"]), (&"allow".into(), &"db".into()));
    assert!(resolved.get("note").is_none());
    let given = ["--from", "10.0.1.9", "--resolve", "db.test:1433:10.1.0.4", "--resolve", "-db.test:1433"];
    let dropped = ask(&[&given[..], &["tcp://db.test:1433"]].concat());
    assert_eq!(dropped["verdict"], "deny");
}

#[test]
fn flags_have_twins_in_the_environment() {
    let mut command = egret();
    command.args(["check", "a.test", "b.test", "c.test"]).env("EGRET_ALLOW", "a.test;b.test").env("EGRET_POLICY", "");
    command.env("EGRET_FORMAT", "json");
    let verdicts: Vec<Value> = lines(&finish(&mut command, "")).iter().map(|line| line["verdict"].clone()).collect();
    assert_eq!(verdicts, ["allow", "allow", "deny"]);
}

#[test]
fn empty_variables_say_nothing() {
    let variables = |command: &str, names: &[&str]| {
        let mut egret = egret();
        names.iter().for_each(|name| _ = egret.env(name, ""));
        finish(egret.args(command.split(' ')), "")
    };
    let check = variables("check https://login.windows.net", &["EGRET_CONFIG", "EGRET_FROM", "EGRET_FORMAT"]);
    assert_eq!(check.code, 0, "{check:?}");
    // It gets as far as its policy.
    let names = ["EGRET_WORKERS", "EGRET_PORT_FILE", "EGRET_ADMIN", "EGRET_LISTEN", "EGRET_ADMIN_PORT_FILE"];
    let serve = variables("serve --policy nowhere", &names);
    assert!(serve.code == 2 && serve.err.starts_with("--policy: `nowhere`"), "{serve:?}");
    let ready = variables("ready --admin 127.0.0.1:1", &["EGRET_TIMEOUT", "EGRET_ADMIN_TOKEN"]);
    assert_eq!(ready.code, 4, "{ready:?}");
    let off = finish(egret().arg("ready").env("EGRET_ADMIN", "off"), "");
    assert_eq!((off.code, off.err.contains("the admin server is off")), (4, true), "{off:?}");
}

#[test]
fn configuration_errors_say_where() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("egret.toml"),
        "profile = \"azure\"\nallow = [\"10.0.0.0/35:443\"]\npolcy = \"ase\"\n",
    )
    .unwrap();
    for command in [&["check", "a.test"][..], &["serve"]] {
        let answer = finish(egret().current_dir(folder.path()).args(command), "");
        assert_eq!(answer.code, 2, "{answer:?}");
        assert!(answer.err.contains("egret.toml:2:10: ") && answer.err.contains("egret.toml:3:1: "), "{}", answer.err);
        assert!(answer.err.contains("did you mean `policy`?"), "{}", answer.err);
        assert_eq!(answer.out, "");
    }
}

#[test]
fn lists_are_listed_shown_and_compared() {
    let everything: Value = serde_json::from_str(&run(&["allowlist", "list", "--format", "json"]).out).unwrap();
    assert!(everything["lists"].as_array().unwrap().len() > 20);
    assert_eq!(everything["policies"][0]["name"], "ase");
    let text = run(&["allowlist", "list"]).out;
    assert!(text.contains("ase@2018-09-24/fqdn") && text.contains("(an approximation)"), "{text}");
    let shown = run(&["allowlist", "show", "ase/ip"]).out;
    assert!(shown.contains("168.62.226.198:12000\n") && shown.contains("date: 2018-09-24"), "{shown}");
    let shown: Value = serde_json::from_str(&run(&["allowlist", "show", "ase/fqdn", "--format", "json"]).out).unwrap();
    assert_eq!((shown[0]["count"].as_u64(), shown[0]["entries"].as_array().unwrap().len()), (Some(51), 51));
    let diff = run(&["allowlist", "diff", "ase", "ase-usgov"]).out;
    assert!(diff.contains("\n  ase-usgov has no such list\n") && diff.contains("\n  ase has no such list\n"), "{diff}");
    let diff = ["allowlist", "diff", "ase/fqdn", "ase/fqdn", "--format", "json"];
    let diff: Value = serde_json::from_str(&run(&diff).out).unwrap();
    assert_eq!((diff[0]["kept"].as_u64(), &diff[0]["added"]), (Some(51), &serde_json::json!([])));
    let linux = run(&["allowlist", "show", "ase-linux"]);
    assert!(linux.code == 0 && linux.out.contains("ase@2018-09-24/linux"), "{linux:?}");
    let none = run(&["allowlist", "show", "none"]);
    assert_eq!((none.code, none.err.as_str()), (2, "error: `none` is a policy without lists: it denies everything\n"));
    let unknown = run(&["allowlist", "show", "asee"]);
    assert_eq!((unknown.code, unknown.err.as_str()), (2, "error: no list is called `asee`; near it: ase\n"));
}

#[test]
fn what_editors_and_shells_get() {
    let schema: Value = serde_json::from_str(&run(&["schema"]).out).unwrap();
    assert_eq!(schema["title"], "egret.toml");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = run(&["completions", shell]);
        assert!(script.code == 0 && script.out.contains("service-endpoints"), "{shell}");
    }
    assert_eq!(run(&["completions", "dos"]).code, 2);
}

#[test]
fn ready_or_not() {
    let nobody = run(&["ready", "--admin", "127.0.0.1:1", "--timeout", "5"]);
    assert_eq!(nobody.code, 4);
    assert!(nobody.err.starts_with("error: nobody answers at 127.0.0.1:1"), "{}", nobody.err);
    let egret = Egret::start(&["--admin-token", "s3cret"]);
    let admin = egret.admin().to_string();
    let refused = run(&["ready", "--admin", &admin]);
    assert_eq!(refused.code, 4);
    assert!(refused.err.contains("answers 401"), "{}", refused.err);
    let ready = run(&["ready", "--admin", &admin, "--admin-token", "s3cret"]);
    assert_eq!((ready.code, ready.out.as_str()), (0, "ready\n"));
}

#[test]
fn nobody_has_to_read_to_the_end() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let mut command = egret();
    let mut child = command.args(["allowlist", "list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let said: Vec<String> = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap).collect();
    assert_eq!((child.wait().unwrap().code(), said), (Some(0), Vec::new()));
}

#[test]
fn a_denial_that_nobody_reads_is_one_nevertheless() {
    use std::process::Stdio;
    let mut command = egret();
    command.args(["check", "https://example.com", "https://login.windows.net"]).stderr(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_port_in_use_is_named_with_the_mend() {
    let egret = Egret::start(&["--admin=off"]);
    let taken = egret.addr.to_string();
    let second = run(&["serve", "--listen", &taken, "--admin", "off"]);
    assert_eq!((second.code, lines(&second).len()), (4, 2), "the log has a start and an end: {second:?}");
    assert!(second.err.contains(&format!("cannot listen on {taken}")) && second.err.contains("--listen 127.0.0.1:0"));
    let admin = run(&["serve", "--listen", "127.0.0.1:0", "--admin", &taken]);
    assert_eq!(admin.code, 4);
    assert!(admin.err.contains(&format!("cannot listen on {taken} (admin)")), "{}", admin.err);
}

#[test]
fn the_banner_says_what_becomes_of_the_default_policy() {
    let (keep, only) = ("default; keep it with --policy ase when you add --allow", "only what is allowed here");
    let check = |args: &[&str], keeps: bool, warns: bool| {
        let banner = Egret::start(args).stderr();
        assert_eq!((banner.contains(keep), banner.contains(only)), (keeps, warns), "{args:?}: {banner}");
    };
    check(&[], true, false);
    check(&["--policy", "ase"], false, false);
    check(&["--allow", "ok.test"], false, true);
    check(&["--policy", "ase", "--allow", "ok.test"], false, false);
}

/// A topology that nobody's flows meet is not kept quiet about.
#[test]
fn the_banner_says_whom_a_topology_is_for() {
    let checked = |config: &str, flags: &[&str], says: &str, warning: &str| {
        let topology = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ase/vnet.toml");
        let egret = Egret::with_config(config, &[&["--topology", topology], flags].concat());
        let banner = egret.stderr();
        assert!(banner.contains("network  ase-vnet\n") && banner.contains(says), "{flags:?}: {banner}");
        let warned: String = banner.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert!(warned.contains(warning) && warned.is_empty() == warning.is_empty(), "{flags:?}: {banner}");
    };
    let check = |flags: &[&str], says: &str, warning: &str| checked("", flags, says, warning);
    let stranger = "put them in one by --client-subnet ase-subnet";
    check(&[], "enforced for clients of its subnets\n", stranger);
    check(&["--client-subnet", "ase-subnet"], "all others count as being in ase-subnet\n", "");
    check(&["--enforce", "gateway"], "that come in by the gateway or by DNS\n", "");
    check(&["--enforce", "none"], "enforced for nobody", "");
    let sink = "log.sink = [{ target = \"vnet.log\", format = \"vnet-flow\" }]\n";
    checked(sink, &["--enforce", "none"], "enforced for nobody", "flows meet it: --enforce all");
}

#[test]
fn the_banner_teaches() {
    let egret = Egret::start(NO_FLAGS);
    let banner = egret.stderr();
    for part in [
        "ase@2018-09-24".to_owned(),
        "(2018-09-24), 51 entries".to_owned(),
        format!("curl -x http://{} https://login.windows.net/", egret.addr),
        format!("curl -x http://{} http://example.com/", egret.addr),
        format!("admin    http://{}", egret.admin()),
    ] {
        assert!(banner.contains(&part), "{part}: {banner}");
    }
    assert_eq!(Egret::start(&["--quiet"]).stderr(), "");
}
