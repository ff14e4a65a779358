//! The admin server, reload and the end of a run, by a running `egret serve`.

use std::fs;

use serde_json::{Value, json};

use crate::support::command::run;
use crate::support::egret::{Egret, NO_FLAGS};
use crate::support::eventually;
use crate::support::exchange::exchange;

fn denied_through(egret: &Egret) -> u16 {
    exchange(egret.addr, b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n").status
}

fn verdict(egret: &Egret, target: &str) -> Value {
    egret.get(&format!("/v1/check?target={target}")).json()["verdict"].clone()
}

#[test]
fn routes() {
    let egret = Egret::start(NO_FLAGS);
    assert_eq!((egret.get("/healthz").status, egret.get("/healthz").body.as_str()), (200, "ok\n"));
    assert_eq!((egret.get("/readyz").status, egret.get("/readyz").body.as_str()), (200, "ready\n"));
    let metrics = egret.get("/metrics");
    assert!(metrics.head.contains("content-type: application/openmetrics-text") && metrics.body.ends_with("# EOF\n"));
    let policy = egret.get("/v1/policy").json();
    assert_eq!((&policy["policies"], &policy["profile"]), (&json!(["ase@2018-09-24"]), &json!("azure")));
    assert_eq!(policy["rules"].as_array().unwrap().len(), 77);
    assert_eq!((&policy["rules"][0]["type"], &policy["rules"][0]["hits"]), (&json!("network"), &json!(0)));
    assert_eq!(policy["sources"][0]["origin"], "builtin");
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_refuses_flows_is_not_ready() {
    let dead = |on_error: &str| Egret::start(&["--log", "/dev/full", "--log-on-error", on_error]);
    let egret = dead("refuse");
    let refusal = eventually("it refuses", || Some(egret.get("/readyz")).filter(|answer| answer.status == 503));
    assert_eq!(refusal.body, "log unavailable\n");
    assert_eq!(egret.get("/healthz").status, 200);
    assert_eq!(dead("serve").get("/readyz").status, 200);
}

#[test]
fn flows_can_be_filtered() {
    let egret = Egret::start(NO_FLAGS);
    assert_eq!(denied_through(&egret), 470);
    let count = |query: &str| egret.get(&format!("/v1/flows{query}")).json()["flows"].as_array().unwrap().len();
    eventually("the flow is recorded", || (count("") == 1).then_some(()));
    assert_eq!(count("?verdict=deny&host=EXAMPLE&reason=not-allowed&limit=5"), 1);
    assert_eq!(count("?verdict=allow"), 0);
    for bad in ["verdict=maybe", "reason=why", "limit=0", "limit=1001", "limit=x", "colour=red"] {
        let refused = egret.get(&format!("/v1/flows?{bad}"));
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!("bad-parameter")), "{bad}");
    }
}

#[test]
fn check_answers_as_the_command_line() {
    let egret = Egret::start(NO_FLAGS);
    for target in
        ["https://login.windows.net", "login.windows.net:80", "https://example.com/a%20b", "tcp://10.0.0.1:22"]
    {
        let shown = run(&["check", "--format", "json", "--from", "10.0.0.9", target]).out;
        let body = json!({ "target": target, "from": "10.0.0.9" }).to_string();
        assert_eq!(egret.post("/v1/check", &body).body, shown);
        let query = target.replace('%', "%25").replace(':', "%3A");
        assert_eq!(egret.get(&format!("/v1/check?target={query}&from=10.0.0.9")).body, shown);
    }
    let get = |query: &str| egret.get(&format!("/v1/check{query}"));
    let post = |body: &str| egret.post("/v1/check", body);
    for (refused, status, code) in [
        (get(""), 400, "bad-parameter"),
        (get("?target=a.test&from=nobody"), 400, "bad-parameter"),
        (get("?target=a+b"), 400, "bad-target"),
        (get("?target=%ff"), 400, "bad-target"),
        (post("{"), 400, "bad-body"),
        (post(r#"{"target": "a.test", "form": "10.0.0.1"}"#), 400, "bad-body"),
        (post(&"x".repeat(70_000)), 413, "body-too-large"),
    ] {
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (status, &json!(code)), "{refused:?}");
    }
}

#[test]
fn paths_and_methods() {
    let egret = Egret::start(NO_FLAGS);
    assert_eq!(egret.get("/").status, 404);
    assert_eq!(egret.get("/healthz/").json()["error"]["code"], "not-found");
    let reload = egret.get("/v1/reload");
    assert!(reload.status == 405 && reload.head.contains("allow: post"), "{reload:?}");
    let head = egret.ask(&format!("HEAD /readyz HTTP/1.1\r\nHost: {}\r\n", egret.admin()), "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn rebound_names_and_foreign_pages_are_refused() {
    let egret = Egret::start(NO_FLAGS);
    let port = egret.admin().port();
    let get = |host: &str| egret.ask(&format!("GET /v1/policy HTTP/1.1\r\nHost: {host}\r\n"), "").status;
    assert_eq!(get(&format!("localhost:{port}")), 200);
    assert_eq!(get(&format!("evil.test:{port}")), 421);
    assert_eq!(get("127.0.0.1"), 421);
    assert_eq!(egret.ask("GET /v1/policy HTTP/1.1\r\n", "").status, 400);
    let absolute = format!("GET http://evil.test:{port}/v1/policy HTTP/1.1\r\nHost: {}\r\n", egret.admin());
    assert_eq!(egret.ask(&absolute, "").status, 421);
    let post = |origin: &str| {
        let head = format!("POST /v1/reload HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\n", egret.admin());
        egret.ask(&format!("{head}Content-Length: 0\r\n"), "").status
    };
    assert_eq!(post("http://evil.test"), 403);
    assert_eq!(post(&format!("http://{}", egret.admin())), 200);
}

#[test]
fn a_token_is_wanted_where_there_is_one() {
    let egret = Egret::start(&["--admin-token", "s3cret"]);
    let get = |header: &str| egret.ask(&format!("GET /readyz HTTP/1.1\r\nHost: egret:9315\r\n{header}"), "");
    let refused = get("");
    assert!(refused.status == 401 && refused.head.contains("www-authenticate: bearer"), "{refused:?}");
    assert_eq!(get("Authorization: Bearer wrong\r\n").status, 401);
    assert_eq!(get("Authorization: Bearer s3cret\r\n").status, 200);
}

fn reloads(egret: &Egret) -> Vec<Value> {
    egret.records(|record| record["kind"] == "reload")
}

#[test]
fn reload_is_whole_or_not_at_all() {
    let egret = Egret::with_config("allow = \"a.test\"\n", NO_FLAGS);
    let hash = |answer: Value| answer["policy_hash"].clone();
    assert_eq!(verdict(&egret, "b.test"), "deny");
    fs::write(egret.path("egret.toml"), "allow = [\"b.test\"]\n[limits]\nconnections = 7\n").unwrap();
    let done = egret.post("/v1/reload", "").json();
    assert_eq!((&done["ok"], verdict(&egret, "b.test")), (&json!(true), json!("allow")), "{done}");
    assert_eq!(done["warnings"], json!(["what changed of the limits takes a restart"]));
    assert_eq!(egret.get("/v1/policy").json()["hash"], done["policy_hash"]);
    let good = hash(done);
    fs::write(egret.path("egret.toml"), "allow = \"b.test:99999\"\n").unwrap();
    let refused = egret.post("/v1/reload", "");
    assert_eq!((refused.status, &refused.json()["ok"]), (409, &json!(false)));
    assert!(refused.json()["error"].as_str().unwrap().contains("egret.toml:1:9: "), "{refused:?}");
    assert_eq!((hash(refused.json()), verdict(&egret, "b.test")), (good, json!("allow")), "the old policy stays");
    assert!(egret.stderr().contains("the old policy stays in force"), "{}", egret.stderr());
    eventually("both are in the log", || (reloads(&egret).len() >= 2).then_some(()));
    let ok: Vec<Value> = reloads(&egret).iter().map(|record| record["ok"].clone()).collect();
    assert_eq!(ok[..2], [json!(true), json!(false)]);
}

#[test]
fn a_changed_file_is_taken_up() {
    let egret = Egret::with_config("allow = \"a.test\"\n", NO_FLAGS);
    fs::write(egret.path("egret.toml"), "allow = \"bb.test\"\n").unwrap();
    eventually("the new policy is in force", || (verdict(&egret, "bb.test") == "allow").then_some(()));
    fs::write(egret.path("egret.toml"), "allow = broken\n").unwrap();
    eventually("it is refused", || (reloads(&egret).len() == 2).then_some(()));
    assert_eq!((verdict(&egret, "bb.test"), &reloads(&egret)[1]["ok"]), (json!("allow"), &json!(false)));
    fs::write(egret.path("egret.toml"), "allow = \"ccc.test\"\n").unwrap();
    eventually("it is mended", || (verdict(&egret, "ccc.test") == "allow").then_some(()));
}

#[test]
fn a_file_that_a_refused_reload_met_for_the_first_time_is_watched() {
    for broken in [Some("allow = broken\n"), None] {
        let egret = Egret::with_config("allow = \"a.test\"\n", NO_FLAGS);
        if let Some(broken) = broken {
            fs::write(egret.path("child.toml"), broken).unwrap();
        }
        fs::write(egret.path("egret.toml"), "policy = \"child.toml\"\n").unwrap();
        eventually("it is refused", || (reloads(&egret).len() == 1).then_some(()));
        assert_eq!(reloads(&egret)[0]["ok"], false);
        fs::write(egret.path("child.toml"), "allow = \"mended.test\"\n").unwrap();
        eventually("the child is mended", || (verdict(&egret, "mended.test") == "allow").then_some(()));
    }
}

#[cfg(unix)]
#[test]
fn sighup_reloads() {
    let egret = Egret::with_config("allow = \"a.test\"\n", NO_FLAGS);
    egret.signal("HUP");
    eventually("the reload is in the log", || (reloads(&egret).len() == 1).then_some(()));
    assert_eq!(egret.get("/readyz").status, 200);
}

#[cfg(unix)]
#[test]
fn sigterm_drains_and_leaves_nothing_behind() {
    for name in ["TERM", "INT"] {
        let mut egret = Egret::start(NO_FLAGS);
        assert_eq!(denied_through(&egret), 470);
        egret.signal(name);
        assert_eq!(egret.wait().code(), Some(0), "{}", egret.stderr());
        assert!(!egret.path("port").exists() && !egret.path("admin-port").exists());
        let log = egret.log();
        let kinds: Vec<&str> = log.iter().map(|record| record["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["start", "flow", "end"]);
        assert_eq!(log[2]["counts"]["denied"], 1);
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_cuts_what_still_runs() {
    use std::io::{Read, Write};
    let origin = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let allow = format!("tcp://{}", origin.local_addr().unwrap());
    let mut egret = Egret::start(&["--allow", &allow]);
    let mut client = std::net::TcpStream::connect(egret.addr).unwrap();
    client.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
    let to = origin.local_addr().unwrap();
    client.write_all(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes()).unwrap();
    let mut head = [0; 12];
    client.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    egret.signal("TERM");
    eventually("it drains", || (egret.get("/readyz").status == 503).then_some(()));
    egret.signal("TERM");
    assert_eq!(egret.wait().code(), Some(0));
    let log = egret.log();
    let close = log.iter().find(|record| record["kind"] == "close").unwrap();
    assert_eq!(close["reason"], "shutdown");
}
