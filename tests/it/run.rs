//! `egret run --proxy-only`: reports, expectations, learning, exit codes and signals, without a jail.

use std::collections::HashMap;
use std::fs;

use serde_json::Value;

use super::support::command::{finish, signal};
use super::support::eventually;
use super::support::run::{ALLOWED, DENIED, RunLab, curl, shell, started};

#[test]
fn a_clean_run_is_the_commands_own() {
    let lab = RunLab::new();
    let answer = lab.proxied(&[], &curl(ALLOWED));
    assert_eq!((answer.code, answer.out.as_str()), (0, "hello from the origin"), "{}", answer.err);
    assert!(answer.err.contains("egret run: none denied, 1 allowed\n"), "{}", answer.err);
    assert!(answer.err.contains("https://ok.test:443 "), "{}", answer.err);
    assert!(answer.err.contains("not enforced (--proxy-only)"), "{}", answer.err);
    assert_eq!(lab.proxied(&[], "exit 7").code, 7);
    assert_eq!(lab.proxied(&[], "kill -TERM $$").code, 128 + 15);
}

#[test]
fn what_was_denied_is_told_with_its_mend_and_fails_the_run() {
    let lab = RunLab::new();
    let script = format!("{0}; {0}; {1}; true", curl(DENIED), curl("ok.test:8443"));
    let answer = lab.proxied(&[], &script);
    assert_eq!(answer.code, 3, "{}", answer.err);
    for line in [
        "egret run: 3 denied, none allowed\n",
        "https://denied.test:443                        x2  not-allowed\n",
        "      allow it: --allow https://denied.test:443\n",
        "https://ok.test:8443                           x1  port-not-allowed\n",
        "local/shorthand/allow/https://ok.test would match if the port were 443\n",
        "  allow = [\"https://denied.test:443\", \"https://ok.test:8443\"]\n",
    ] {
        assert!(answer.err.contains(line), "{line}{}", answer.err);
    }
    assert_eq!(lab.proxied(&[], &format!("{}; exit 7", curl(DENIED))).code, 7, "the command's own failure comes first");
}

#[test]
fn a_program_that_cannot_be_run() {
    let lab = RunLab::new();
    let run = |program: &str| finish(lab.egret(&["--proxy-only", "--", program]).arg("x"), "");
    let missing = run("no-such-program");
    assert_eq!(missing.code, 127);
    assert!(missing.err.contains("cannot run `no-such-program`: No such file"), "{}", missing.err);
    fs::write(lab.path("plain"), "").unwrap();
    assert_eq!(run("./plain").code, 126);
}

#[test]
fn usage() {
    let lab = RunLab::new();
    let code = |flags: &[&str]| finish(lab.egret(&["--proxy-only"]).args(flags), "").code;
    assert_eq!(code(&[]), 2, "no command");
    assert_eq!(code(&["--expect-denied", "a..b", "--", "true"]), 2);
    assert_eq!(code(&["--host-port", "0", "--", "true"]), 2);
    assert_eq!(code(&["--log", "stdout", "--", "true"]), 2);
    assert_eq!(code(&["--generalise", "3", "--", "true"]), 2, "without --learn");
    assert_eq!(code(&["--learn", "no/such/folder", "--", "true"]), 2);
    assert_eq!(code(&["--log", "no/such/folder", "--", "true"]), 4);
}

#[test]
fn expected_denials_and_what_fails() {
    let lab = RunLab::new();
    let script = format!("{}; true", curl(DENIED));
    let code = |flags: &[&str]| lab.proxied(flags, &script).code;
    assert_eq!(code(&["--fail-on", "never"]), 0);
    assert_eq!(code(&["--expect-denied", "denied.test"]), 0);
    assert_eq!(code(&["--expect-denied", "https://*.test"]), 0);
    assert_eq!(code(&["--expect-denied", "other.test"]), 3);
    assert_eq!(code(&["--expect-denied", "denied.test", "--fail-on", "denied"]), 3);
    let answer = lab.proxied(&["--expect-denied", "denied.test", "--expect-denied", "other.test:443"], &script);
    assert!(answer.err.contains("denied as expected\n  https://denied.test:443"), "{}", answer.err);
    assert!(answer.err.contains("nobody asked for it: other.test:443"), "{}", answer.err);
}

#[test]
fn what_a_command_that_is_not_held_has_no_use_for() {
    let lab = RunLab::new();
    let warned = |flags: &[&str]| lab.proxied(flags, "true").err.contains("do nothing with --proxy-only");
    assert!(warned(&["--host-port", "5432"]));
    assert!(warned(&["--dns-mode", "strict"]));
    assert!(!warned(&[]));
    let from = |flags: &[&str]| lab.proxied(flags, "true").err.contains("--from does nothing with --proxy-only");
    assert!(from(&["--from", "10.0.1.4"]));
    let topology = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ase/vnet.toml");
    assert!(!from(&["--topology", topology, "--from", "ase-subnet"]));
}

/// With what a caller may have set before.
#[test]
fn the_environment_of_an_unheld_command() {
    let lab = RunLab::new();
    let mut command = lab.egret(&["--proxy-only"]);
    command.env("NO_PROXY", "*").env("no_proxy", ".test").env("HTTPS_PROXY", "http://198.51.100.1:1");
    command.env("JAVA_TOOL_OPTIONS", "-Xmx1g").env("KEPT", "as it was");
    let answer = finish(command.args(["--", "env"]), "");
    let variables: HashMap<&str, &str> = answer.out.lines().filter_map(|line| line.split_once('=')).collect();
    let proxy = variables["http_proxy"];
    assert!(proxy.starts_with("http://127.0.0.1:"), "{proxy}");
    for name in ["HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        assert_eq!(variables[name], proxy, "{name}");
    }
    let port = proxy.rsplit(':').next().unwrap();
    assert!(variables["JAVA_TOOL_OPTIONS"].starts_with("-Xmx1g -Dhttp.proxyHost=127.0.0.1"));
    assert!(variables["JAVA_TOOL_OPTIONS"].contains(&format!("-Dhttps.proxyPort={port}")));
    assert_eq!((variables["NO_PROXY"], variables["no_proxy"]), ("localhost,127.0.0.1,::1", "localhost,127.0.0.1,::1"));
    assert_eq!((variables["NODE_USE_ENV_PROXY"], variables["KEPT"]), ("1", "as it was"));
    assert_eq!(variables["EGRET_RUN"].len(), 8);
    assert_eq!(variables["CURL_CA_BUNDLE"], lab.origin.ca.to_str().unwrap(), "certificates are left alone");
}

#[test]
fn reports_and_logs_for_programs() {
    let lab = RunLab::new();
    let script = format!("{}; {}; true", curl(ALLOWED), curl(DENIED));
    let answer = lab.proxied(&["--report", "report.json", "--log", "flows.json", "--format", "json"], &script);
    assert_eq!(answer.code, 3);
    let report: Value = serde_json::from_str(answer.err.trim()).unwrap();
    assert_eq!(report, lab.json("report.json"));
    assert_eq!(
        (&report["schema"], &report["outcome"], &report["enforced"]),
        (&1.into(), &"denied".into(), &false.into())
    );
    assert_eq!((&report["exit_code"], &report["command_exit_code"]), (&3.into(), &0.into()));
    let denied = &report["unexpected"]["targets"][0];
    assert_eq!((&report["unexpected"]["flows"], &denied["count"]), (&1.into(), &1.into()));
    assert_eq!((&denied["target"], &denied["host"]), (&"https://denied.test:443".into(), &DENIED.into()));
    assert_eq!(
        (&denied["reason"], &denied["mend"]),
        (&"not-allowed".into(), &"--allow https://denied.test:443".into())
    );
    let allowed = &report["allowed"]["targets"][0];
    assert_eq!(
        (&allowed["host"], &allowed["rule"]),
        (&ALLOWED.into(), &"local/shorthand/allow/https://ok.test".into())
    );
    let log = fs::read_to_string(lab.path("flows.json")).unwrap();
    let kinds: Vec<Value> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].take()).collect();
    assert_eq!((&kinds[0], kinds.last().unwrap()), (&"start".into(), &"end".into()));
    assert!(log.contains(&format!("\"run\":{}", report["run"])), "the same run");
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_command_runs() {
    let lab = RunLab::new();
    for file in ["no/such/folder", "."] {
        let answer = lab.proxied(&["--report", file], "echo ran; exit 7");
        assert_eq!((answer.code, answer.out.as_str()), (2, ""), "{}", answer.err);
        assert!(answer.err.contains(&format!("--report: cannot write `{file}`: ")), "{}", answer.err);
    }
    lab.proxied(&["--report", "report.json"], "test ! -e report.json || : > found");
    assert!(lab.path("report.json").exists() && !lab.path("found").exists(), "looking leaves nothing behind");
    fs::write(lab.path("report.json"), "an older one").unwrap();
    lab.proxied(&["--report", "report.json"], "cp report.json found");
    assert_eq!(fs::read_to_string(lab.path("found")).unwrap(), "an older one", "nor does it change what is there");
    assert_eq!(lab.json("report.json")["schema"], 1);
}

/// The command took the folder away.
#[test]
fn what_cannot_be_written_in_the_end_fails_no_command_that_failed() {
    let lab = RunLab::new();
    for flag in ["--report", "--learn"] {
        let run = |script: &str| {
            fs::create_dir(lab.path("gone")).unwrap();
            lab.proxied(&[flag, "gone/file"], &format!("rm -r gone; {script}"))
        };
        let answer = run("exit 7");
        assert_eq!(answer.code, 7, "{flag}: {}", answer.err);
        assert!(answer.err.contains("error: ") && answer.err.contains("`gone/file`"), "{}", answer.err);
        assert!(answer.err.contains("egret run: nothing asked of the network"), "{}", answer.err);
        assert_eq!(run("true").code, 4, "{flag}");
    }
}

/// A log on standard output is meant for `serve`: here that is the command's.
#[test]
fn standard_output_is_the_commands() {
    let lab = RunLab::new();
    fs::write(lab.path("egret.toml"), "[[log.sink]]\ntarget = \"stdout\"\n").unwrap();
    let answer = lab.proxied(&[], &curl(ALLOWED));
    assert_eq!(answer.out, "hello from the origin");
}

#[test]
fn a_learned_policy_allows_what_was_seen_and_nothing_else() {
    let lab = RunLab::new();
    let script = format!("{}; {}", curl(ALLOWED), curl(DENIED));
    let learn =
        |flags: &[&str]| shell(lab.with_policy(&["--proxy-only", "--learn", "egret.toml"]).args(flags), &script);
    let answer = learn(&[]);
    assert_eq!((answer.code, answer.out.matches("hello").count()), (0, 2), "{}", answer.err);
    assert!(answer.err.contains("learned: 2 targets, written to egret.toml"), "{}", answer.err);
    let text = fs::read_to_string(lab.path("egret.toml")).unwrap();
    let first = text.lines().next().unwrap();
    assert_eq!(first, "# Learned by `egret run --learn` from `sh`", "arguments may be secret");
    let learned: toml::Table = text.parse().unwrap();
    let expected = ["https://denied.test:443", "https://ok.test:443"].map(toml::Value::from).to_vec();
    assert_eq!(learned.into_iter().collect::<Vec<_>>(), [("allow".to_owned(), toml::Value::Array(expected))]);
    // Read from there, as anybody would.
    assert_eq!(shell(&mut lab.with_policy(&["--proxy-only"]), &script).code, 0);
    assert_eq!(shell(&mut lab.with_policy(&["--proxy-only"]), &format!("{}; true", curl("third.test"))).code, 3);
    assert_eq!(learn(&[]).code, 0, "what was learned may be learned again");
    fs::write(lab.path("egret.toml"), "allow = [\"mine.test\"]\n").unwrap();
    let refused = learn(&[]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert_eq!(refused.out, "", "it says so before anything runs");
}

#[test]
fn annotations_where_a_ci_system_asks_for_them() {
    let lab = RunLab::new();
    let script = format!("{}; true", curl(DENIED));
    let summary = lab.path("summary.md");
    fs::write(&summary, "before\n").unwrap();
    let mut command = lab.egret(&["--proxy-only"]);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary).env("TF_BUILD", "True");
    let answer = shell(&mut command, &script);
    let message = "denied: https://denied.test:443 (not-allowed, 1 times); allow it: --allow https://denied.test:443";
    assert!(answer.err.contains(&format!("\n::error title=egret run::{message}\n")), "{}", answer.err);
    assert!(answer.err.contains(&format!("\n##vso[task.logissue type=error]egret run: {message}\n")), "{}", answer.err);
    let summary = fs::read_to_string(&summary).unwrap();
    assert!(summary.starts_with("before\n### egret run\n\n1 flows denied, 0 allowed."), "{summary}");
    assert!(summary.contains("| `https://denied.test:443` | 1 | not-allowed |"), "{summary}");
}

#[test]
fn signals_are_the_commands() {
    let lab = RunLab::new();
    for (name, code) in [("TERM", 21), ("HUP", 22), ("USR1", 23), ("INT", 24), ("QUIT", 25)] {
        let mut child = started(lab.egret(&["--proxy-only"]), &lab, &format!("trap 'exit {code}' {name}"));
        signal(child.id(), name);
        assert_eq!(child.ended(), Some(code), "{name}");
        fs::remove_file(lab.path("ready")).unwrap();
    }
    let mut child = started(lab.egret(&["--proxy-only"]), &lab, "");
    signal(child.id(), "TERM");
    assert_eq!(child.ended(), Some(128 + 15));
}

#[test]
fn a_second_interrupt_ends_a_command_that_will_not() {
    let lab = RunLab::new();
    let mut child = started(lab.egret(&["--proxy-only"]), &lab, "trap ': > told' INT");
    signal(child.id(), "INT");
    eventually("the first is the command's", || lab.path("told").exists().then_some(()));
    signal(child.id(), "INT");
    assert_eq!(child.ended(), Some(130));
}
