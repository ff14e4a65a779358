//! Threat intelligence: what it alerts to, what it denies and how that looks, by every door, before every rule.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::answers::DENIED;
use super::support::command::{finish, run};
use super::support::egret::Egret;
use super::support::eventually;
use super::support::origin::Origin;
use super::support::raw::{Client, connect, get, header, status_of};
use super::support::run::{ALLOWED, RunLab, curl};

const FEED: &str = "\
# what the tests know
evil.test\tBot networks
*.bad.test
ok.test/kit/*,An exploit kit
203.0.113.9 A scanner
";

/// A file of this content, which lives as long as the folder.
struct Feed(TempDir);

impl Feed {
    fn of(text: &str) -> Feed {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("feed.txt"), text).unwrap();
        Feed(folder)
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("feed.txt")
    }

    /// Flags for a mode with this feed.
    fn flags(&self, mode: &str) -> Vec<String> {
        vec![format!("--threat-intel={mode}"), format!("--threat-feed={}", self.path().display())]
    }
}

/// Every name there is, by HTTP and HTTPS, at one origin.
fn egret(origin: &Origin, config: &str, flags: &[String]) -> Egret {
    let open = ["--allow=http://*", "--allow=https://*"].map(str::to_owned);
    let led = format!("--connect-to=::{}", origin.addr);
    Egret::with_config(config, &[&open[..], flags, &[led]].concat())
}

fn known(action: &str, indicator: &str, description: &str) -> Value {
    json!({"action": action, "indicator": indicator, "description": description})
}

/// What a mode makes of a flow that rules allow: the status, the verdict, the action.
const MODES: [(&str, u16, &str, Option<&str>); 3] = [
    ("off", 200, "allow application-rule", None),
    ("alert", 200, "allow application-rule", Some("alert")),
    ("deny", 470, "deny threat-intel", Some("deny")),
];

fn assert_known(egret: &Egret, client: &Client, verdict: &str, action: Option<&str>, indicator: &str, why: &str) {
    assert_eq!(egret.verdict(client.addr()), verdict, "{indicator}");
    let record = egret.flows(client.addr(), 1).remove(0);
    let expected = action.map_or(Value::Null, |action| known(action, indicator, why));
    assert_eq!(record["threat_intel"], expected, "{record:#}");
}

#[test]
fn names_by_every_door_of_the_proxy() {
    let feed = Feed::of(FEED);
    for (mode, status, verdict, action) in MODES {
        let origin = Origin::http_ok();
        let egret = egret(&origin, "", &feed.flags(mode));
        let check = |client: &Client| assert_known(&egret, client, verdict, action, "evil.test", "Bot networks");
        let mut client = Client::send_to(egret.addr, get("http://evil.test/", "evil.test"));
        assert_eq!(client.status(), status, "{mode}");
        check(&client);

        let mut client = Client::send_to(egret.addr, connect("evil.test:80"));
        assert_eq!(status_of(&client.head()), status, "{mode}");
        if status == 200 {
            client.send(get("/", "evil.test"));
            assert_eq!(client.status(), 200);
        }
        check(&client);

        let (mut client, reply) = Client::socks(egret.addr, "evil.test", 80);
        assert_eq!(reply, if status == 200 { 0 } else { 2 }, "{mode}");
        if status == 200 {
            client.send(get("/", "evil.test"));
            assert_eq!(client.status(), 200);
        }
        check(&client);
        assert_eq!(origin.connections() == 0, mode == "deny");
    }
}

#[test]
fn below_a_name_and_by_its_url() {
    let feed = Feed::of(FEED);
    for (mode, status, verdict, action) in MODES {
        let origin = Origin::http_ok();
        let egret = egret(&origin, "", &feed.flags(mode));
        for (url, host, indicator, why) in [
            ("http://a.b.bad.test/", "a.b.bad.test", "*.bad.test", "listed in feed.txt"),
            ("http://ok.test/kit/a.exe?x", "ok.test", "ok.test/kit/*", "An exploit kit"),
            // Two servers could read this in two ways: one of them is known.
            ("http://ok.test/a/../kit/a.exe", "ok.test", "ok.test/kit/*", "An exploit kit"),
        ] {
            let mut client = Client::send_to(egret.addr, get(url, host));
            assert_eq!(client.status(), status, "{mode} {url}");
            assert_known(&egret, &client, verdict, action, indicator, why);
        }
        for (url, host) in [("http://bad.test/", "bad.test"), ("http://ok.test/kitchen", "ok.test")] {
            let mut client = Client::send_to(egret.addr, get(url, host));
            assert_eq!(client.status(), 200, "{mode} {url}");
            assert_known(&egret, &client, "allow application-rule", None, "", "");
        }
    }
}

#[test]
fn a_denial_looks_like_any_other() {
    let (feed, origin) = (Feed::of(FEED), Origin::http_ok());
    let azure = egret(&origin, "", &feed.flags("deny"));
    let (head, body) = Client::send_to(azure.addr, get("http://evil.test/", "evil.test")).answer();
    assert!(head.starts_with("HTTP/1.1 470 status code 470\r\n"), "{head}");
    assert_eq!((body.as_str(), header(&head, "x-egret-reason")), (DENIED, Some("threat-intel")));
    assert_eq!(header(&head, "x-egret-rule"), None);
    let strict = egret(&origin, "", &[feed.flags("deny"), vec!["--profile=strict".to_owned()]].concat());
    let (head, body) = Client::send_to(strict.addr, get("http://evil.test/", "evil.test")).answer();
    assert_eq!((status_of(&head), body.as_str()), (403, "egret: evil.test:80 is denied: threat-intel\n"));
}

/// A request may be malformed and its client known.
#[test]
fn an_alert_comes_with_whatever_denied_the_flow() {
    let feed = Feed::of(FEED);
    let egret = Egret::start(&[feed.flags("alert"), vec!["--allow=http://ok.test".to_owned()]].concat());
    let mut client = Client::send_to(egret.addr, get("http://evil.test/", "evil.test"));
    assert_eq!(client.status(), 470);
    assert_known(&egret, &client, "deny not-allowed", Some("alert"), "evil.test", "Bot networks");
    let metrics = egret.get("/metrics").body;
    assert!(metrics.contains("egret_threat_intel_total{action=\"alert\"} 1\n"), "{metrics}");
    assert!(metrics.contains("egret_threat_intel_total{action=\"deny\"} 0\n"), "{metrics}");
}

#[test]
fn the_allowlist_exempts() {
    let feed = Feed::of(FEED);
    let config = "[threat_intel]\nmode = \"deny\"\nallow = [\"evil.test\", \"*.bad.test\"]\nfeed = \"FEED\"\n";
    let config = config.replace("FEED", feed.path().to_str().unwrap());
    let origin = Origin::http_ok();
    let egret = egret(&origin, &config, &[]);
    for host in ["evil.test", "a.bad.test"] {
        let mut client = Client::send_to(egret.addr, get(&format!("http://{host}/"), host));
        assert_eq!(client.status(), 200);
        assert_known(&egret, &client, "allow application-rule", None, "", "");
    }
    let mut client = Client::send_to(egret.addr, get("http://ok.test/kit/a", "ok.test"));
    assert_eq!(client.status(), 470);
    assert_known(&egret, &client, "deny threat-intel", Some("deny"), "ok.test/kit/*", "An exploit kit");
}

const TEST_NAME: &str = "testmaliciousdomain.eastus.cloudapp.azure.com";

/// What Azure says to try it with needs no feed, and Alert is what is in force where nobody says.
#[test]
fn the_name_to_try_it_with() {
    let origin = Origin::http_ok();
    let egret = egret(&origin, "", &[]);
    let mut client = Client::send_to(egret.addr, get(&format!("http://{TEST_NAME}/"), TEST_NAME));
    assert_eq!(client.status(), 200);
    let why = "This is a test indicator for a Microsoft owned domain.";
    assert_known(&egret, &client, "allow application-rule", Some("alert"), TEST_NAME, why);
}

const SINKS: &str = "\
[[log.sink]]
target = \"azure.json\"
format = \"azure\"

[[log.sink]]
target = \"legacy.json\"
format = \"azure-legacy\"

[[log.sink]]
target = \"text.log\"
format = \"text\"
";

fn lines(path: &Path, wanted: &str) -> Vec<String> {
    let text = eventually("it is written", || fs::read_to_string(path).ok().filter(|text| text.contains(wanted)));
    text.lines().map(str::to_owned).collect()
}

fn of_category<'a>(records: &'a [Value], category: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["category"] == category).collect()
}

#[test]
fn logs_in_every_format() {
    let feed = Feed::of(FEED);
    for (mode, action, rules) in [("alert", "Alert", 1), ("deny", "Deny", 0)] {
        let origin = Origin::http_ok();
        let egret = egret(&origin, SINKS, &feed.flags(mode));
        let mut client = Client::send_to(egret.addr, get("http://evil.test/a?secret", "evil.test"));
        client.status();
        let (ip, port) = (client.addr().ip().to_string(), client.addr().port());
        let read = |line: &String| serde_json::from_str::<Value>(line).unwrap();
        let azure: Vec<Value> = lines(&egret.path("azure.json"), "AZFWThreatIntel").iter().map(read).collect();
        let expected = json!({
            "Protocol": "HTTP", "SourceIp": ip, "SourcePort": port, "DestinationIp": "", "DestinationPort": 80,
            "Fqdn": "evil.test", "TargetUrl": "http://evil.test/a", "Action": action,
            "ThreatDescription": "Bot networks", "IsTlsInspected": false,
        });
        let threats = of_category(&azure, "AZFWThreatIntel");
        assert_eq!((threats.len(), &threats[0]["properties"]), (1, &expected));
        assert_eq!(of_category(&azure, "AZFWApplicationRule").len(), rules, "{mode}");

        let legacy: Vec<Value> = lines(&egret.path("legacy.json"), "ThreatIntel: ").iter().map(read).collect();
        let threats: Vec<_> =
            legacy.iter().filter(|record| record["operationName"] == "AzureFirewallThreatIntelLog").collect();
        let line = format!(
            "HTTP request from {} to evil.test:80. Url: evil.test/a. Action: {action}. ThreatIntel: Bot networks",
            client.addr()
        );
        assert_eq!((threats.len(), &threats[0]["properties"]["msg"]), (1, &Value::from(line)));
        assert_eq!((legacy.len(), &threats[0]["category"]), (1 + rules, &Value::from("AzureFirewallNetworkRule")));

        let text = lines(&egret.path("text.log"), "evil.test:80").join("\n");
        assert!(text.contains(&format!("(threat intelligence, {mode}: evil.test, Bot networks)")), "{text}");
    }
}

#[test]
fn a_feed_is_watched() {
    let feed = Feed::of("other.test\n");
    let origin = Origin::echo();
    let flags = [&feed.flags("deny")[..], &["--allow=tcp://198.51.100.7:25".to_owned()]].concat();
    let egret = egret(&origin, "", &flags);
    let mut client = Client::tunnel(egret.addr, "198.51.100.7:25");
    client.send("hello");
    assert_eq!(client.bytes(5), b"hello");
    fs::write(feed.path(), "198.51.100.7\n").unwrap();
    // A tunnel that is known by now is cut.
    assert_eq!(egret.close(client.addr())["reason"], "policy-changed");
    let mut client = Client::send_to(egret.addr, connect("198.51.100.7:25"));
    assert_eq!(client.status(), 470);
    assert_known(&egret, &client, "deny threat-intel", Some("deny"), "198.51.100.7", "listed in feed.txt");
    fs::write(feed.path(), "a b\nevil..test\n").unwrap();
    let refused = eventually("the reload is refused", || egret.records(|it| it["ok"] == false).pop());
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains("feed.txt:1:1: ") || error.contains("feed.txt:2:1: "), "{error}");
}

/// A download into the file's place empties it before it fills it, and where it fails leaves it so: whom the feed denies
/// stays denied meanwhile. A feed that is to be empty says so.
#[test]
fn a_feed_that_was_emptied() {
    let feed = Feed::of("evil.test\n");
    let origin = Origin::http_ok();
    let egret = egret(&origin, "", &feed.flags("deny"));
    let status = || Client::send_to(egret.addr, get("http://evil.test/", "evil.test")).status();
    fs::write(feed.path(), "").unwrap();
    let refused = egret.reload("");
    let error = refused["error"].as_str().unwrap();
    for words in ["feed.txt`: it is empty, and was not before", "write it again, or a comment (`#`) into it"] {
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(status(), 470);
    fs::write(feed.path(), "# nobody today\n").unwrap();
    assert_eq!(egret.reload("")["ok"], true);
    assert_eq!(status(), 200);
}

#[test]
fn check_says_what_is_known() {
    let feed = Feed::of(FEED);
    let ask = |mode: &str, more: &[&str]| {
        let flags = feed.flags(mode);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        run(&[&["check", "--allow=https://evil.test", "--allow=http://ok.test"], &flags[..], more].concat())
    };
    let denied = ask("deny", &["https://evil.test"]);
    assert_eq!(denied.code, 3, "{}", denied.err);
    assert!(
        denied.out.contains("threat-intel") && denied.out.contains("deny: evil.test, Bot networks"),
        "{}",
        denied.out
    );
    let explained = ask("deny", &["--explain", "https://evil.test"]).out;
    assert!(explained.contains("threat intelligence comes first: no rule was looked at"), "{explained}");
    let alert = ask("alert", &["--format=json", "https://evil.test"]);
    let answer: Value = serde_json::from_str(&alert.out).unwrap();
    assert_eq!((alert.code, &answer["verdict"]), (0, &Value::from("allow")));
    assert_eq!(answer["threat_intel"], known("alert", "evil.test", "Bot networks"));
    let url = ask("deny", &["http://ok.test/kit/a", "--format=json"]).out;
    assert!(url.contains("\"reason\":\"threat-intel\""), "{url}");
    let open = ask("deny", &["http://ok.test/"]).out;
    assert!(open.contains("threat intelligence may know the address"), "{open}");
    let resolved = ask("deny", &["--resolve=ok.test:203.0.113.9", "http://ok.test/"]).out;
    assert!(resolved.contains("threat-intel") && resolved.contains("A scanner"), "{resolved}");
    let off = ask("off", &["https://evil.test"]);
    assert_eq!((off.code, off.out.contains("threat")), (0, false), "{}", off.out);
}

#[test]
fn a_report_counts_alerts() {
    let lab = RunLab::new();
    let feed = Feed::of(&format!("{}\tBot networks\n", ALLOWED.split(':').next().unwrap()));
    let flags = feed.flags("alert");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let answer = lab.proxied(&flags, &curl(ALLOWED));
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.err.contains("threat intelligence: ok.test (Bot networks)\n"), "{}", answer.err);
    assert!(
        answer.err.contains("flows that threat intelligence knew and let pass to the rules: 1\n"),
        "{}",
        answer.err
    );
}

#[test]
fn what_is_no_feed() {
    let feed = Feed::of("0.0.0.0 hosts.test\n");
    let flags = feed.flags("alert");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let answer = run(&[&["check", "https://ok.test"], &flags[..]].concat());
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("feed.txt:1:1: `0.0.0.0` is this machine"), "{}", answer.err);
    let missing =
        finish(super::support::command::egret().args(["check", "--threat-feed=no.txt", "https://ok.test"]), "");
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("--threat-feed: cannot read `no.txt`: there is no such file"), "{}", missing.err);
    let mode = run(&["check", "--threat-intel=loud", "https://ok.test"]);
    assert_eq!(mode.code, 2);
    assert!(mode.err.contains("`loud` is not one of \"off\", \"alert\", \"deny\""), "{}", mode.err);
}

#[cfg(target_os = "linux")]
mod gateway {
    use std::net::UdpSocket;

    use super::super::icmp::Ping;
    use super::super::support::gateway::{Gateway, NOBODY};
    use super::super::support::hello::{Hello, Tls};
    use super::super::support::netns::HandOver;
    use super::super::support::origin::{greeter, http_ok, tls, tls_configs};
    use super::*;

    /// What is denied where nothing is looked into shows at once.
    const RESETS: &str = "[gateway]\ndenied_tcp = \"reset\"\n";

    fn both(config: &str, feed: &Feed, mode: &str, flags: &[&str], test: impl Fn(&Gateway)) {
        let flags: Vec<String> = feed.flags(mode).into_iter().chain(flags.iter().map(ToString::to_string)).collect();
        Gateway::both(config, &flags, test);
    }

    fn dialled(port: u16) -> String {
        format!("{NOBODY}:{port}")
    }

    const OK: &[&str] = &[
        "--allow=https://ok.test",
        "--allow=http://ok.test",
        "--allow=http://evil.test",
        "--resolve=ok.test:198.51.100.8",
        "--resolve=evil.test:198.51.100.8",
    ];

    /// Nobody's address is known: no rule and no name is looked at then, on whatever port.
    #[test]
    fn an_address_is_denied_before_any_rule() {
        let feed = Feed::of(FEED);
        let rules = [OK, &["--allow=tcp://203.0.113.9:443", "--allow=tcp://203.0.113.9:25"]].concat();
        both(RESETS, &feed, "deny", &rules, |gateway| {
            for port in [443, 80, 25] {
                let client = gateway.net.assert_reset(&dialled(port), "");
                assert_eq!(gateway.egret.verdict(client), "deny threat-intel");
                let record = gateway.egret.flows(client, 1).remove(0);
                assert_eq!(record["threat_intel"], known("deny", NOBODY, "A scanner"));
            }
        });
    }

    /// The address that was dialled counts for no rule, but it is known all the same.
    #[test]
    fn an_address_is_alerted_to_whatever_name_shows() {
        let feed = Feed::of(FEED);
        let (server, client_config) = tls_configs(&["ok.test"], &[]);
        both("", &feed, "alert", OK, |gateway| {
            let _http = gateway.net.origin("198.51.100.8:80", http_ok());
            let _https = gateway.net.origin("198.51.100.8:443", tls(server.clone()));
            let mut client = gateway.net.send(&dialled(80), get("/", "ok.test"));
            assert_eq!(client.status(), 200);
            assert_known(&gateway.egret, &client, "allow application-rule", Some("alert"), NOBODY, "A scanner");
            let client = gateway.net.connect(&dialled(443));
            assert_eq!(Tls::new(&client.stream, &client_config, "ok.test").echo("through").unwrap(), "through");
            assert_known(&gateway.egret, &client, "allow application-rule", Some("alert"), NOBODY, "A scanner");
            gateway.assert_closed(&dialled(443), Hello::nameless().bytes(), "deny missing-sni");
            // A bare handshake leaves no trace, but to what is known.
            for port in [80, 443] {
                let client = gateway.net.connect(&dialled(port));
                let addr = client.addr();
                drop(client);
                assert_eq!(gateway.egret.flows(addr, 1)[0]["threat_intel"]["indicator"], NOBODY);
            }
        });
    }

    #[test]
    fn names_and_urls_behind_the_gateway() {
        let feed = Feed::of(FEED);
        for (mode, status, verdict, action) in MODES {
            both("", &feed, mode, OK, |gateway| {
                let _http = gateway.net.origin("198.51.100.8:80", http_ok());
                let mut client = gateway.net.send("198.51.100.7:80", get("/", "evil.test"));
                assert_eq!(client.status(), status);
                assert_known(&gateway.egret, &client, verdict, action, "evil.test", "Bot networks");
                let mut client = gateway.net.send("198.51.100.7:80", get("/kit/a", "ok.test"));
                assert_eq!(client.status(), status);
                assert_known(&gateway.egret, &client, verdict, action, "ok.test/kit/*", "An exploit kit");
            });
        }
        both("", &feed, "deny", OK, |gateway| {
            gateway.assert_closed("198.51.100.7:443", Hello::of("evil.test").bytes(), "deny threat-intel");
        });
    }

    /// Microsoft's own words: a network rule for 80 or 443 masks alerts to names, because no name is seen.
    #[test]
    fn a_network_rule_masks_names() {
        let feed = Feed::of(FEED);
        let rules = ["--allow=tcp://198.51.100.8:80"];
        both("", &feed, "alert", &rules, |gateway| {
            let _http = gateway.net.origin("198.51.100.8:80", http_ok());
            let mut client = gateway.net.send("198.51.100.8:80", get("/", "evil.test"));
            assert_eq!(client.status(), 200);
            assert_known(&gateway.egret, &client, "allow network-rule", None, "", "");
            let mut client = gateway.net.send("198.51.100.7:80", get("/", "evil.test"));
            assert_eq!(client.status(), 470);
            assert_known(&gateway.egret, &client, "deny not-allowed", Some("alert"), "evil.test", "Bot networks");
        });
    }

    const DNAT: &str = "\
name = \"lab\"
rule_collection_group = [{ name = \"g\", priority = 100, rule_collection = [
{ name = \"in\", priority = 100, type = \"dnat\", rule = [
{ name = \"ssh\", ip_protocols = \"TCP\", destination_addresses = [\"192.0.2.1\"], destination_ports = 2222, \
translated_address = \"198.51.100.7\", translated_port = 22 }] }] }]
";

    /// An address that comes in is known like one that is gone to.
    #[test]
    fn clients_are_known_before_dnat() {
        let feed = Feed::of("192.0.2.10-192.0.2.11 Clients\n");
        both(&format!("{DNAT}{RESETS}"), &feed, "deny", &[], |gateway| {
            let origin = gateway.net.origin("198.51.100.7:22", greeter);
            let client = gateway.net.assert_reset("192.0.2.1:2222", "");
            assert_eq!(gateway.egret.verdict(client), "deny threat-intel");
            assert_eq!(gateway.egret.flows(client, 1)[0]["threat_intel"], known("deny", "192.0.2.10/31", "Clients"));
            assert_eq!(origin.connections(), 0);
        });
        both(DNAT, &feed, "alert", &[], |gateway| {
            let _origin = gateway.net.origin("198.51.100.7:22", greeter);
            let client = gateway.net.connect("192.0.2.1:2222");
            assert_known(&gateway.egret, &client, "allow dnat-rule", Some("alert"), "192.0.2.10/31", "Clients");
        });
        let exempt = format!("{DNAT}[threat_intel]\nallow = [\"192.0.2.10\"]\n");
        both(&exempt, &feed, "deny", &[], |gateway| {
            let _origin = gateway.net.origin("198.51.100.7:22", greeter);
            let client = gateway.net.connect("192.0.2.1:2222");
            assert_known(&gateway.egret, &client, "allow dnat-rule", None, "", "");
        });
    }

    #[test]
    fn datagrams_and_echoes() {
        let feed = Feed::of("198.51.100.7 A scanner\n");
        for (mode, verdict) in [("alert", "allow network-rule"), ("deny", "deny threat-intel")] {
            let rules = ["--allow=udp://198.51.100.7:53", "--allow=icmp://198.51.100.7"].map(str::to_owned);
            let flags = [feed.flags(mode), rules.to_vec()].concat();
            let Some(gateway) = Gateway::start(HandOver::Tproxy, "", &flags) else { return };
            let socket = gateway.net.client.enter(|| UdpSocket::bind("192.0.2.10:0").unwrap());
            socket.send_to(b"?", "198.51.100.7:53").unwrap();
            Ping::new(&gateway.net, "198.51.100.7").send("198.51.100.7", 1, b"?");
            for proto in ["udp", "icmp"] {
                let mine = |record: &Value| record["kind"] == "flow" && record["proto"] == proto;
                let record = eventually("it is logged", || gateway.egret.records(mine).pop());
                let [verdict_of, reason] = ["verdict", "reason"].map(|field| record[field].as_str().unwrap());
                assert_eq!(format!("{verdict_of} {reason}"), verdict, "{proto}");
                assert_eq!(record["threat_intel"], known(mode, "198.51.100.7", "A scanner"), "{proto}");
            }
        }
    }

    /// An address that a name resolves to is known when it is resolved.
    #[test]
    fn addresses_behind_names() {
        let feed = Feed::of("198.51.100.8 A scanner\n");
        for (mode, status, verdict, action) in MODES {
            let flags = [feed.flags(mode), OK.iter().map(ToString::to_string).collect()].concat();
            let Some(gateway) = Gateway::start(HandOver::Tproxy, "", &flags) else { return };
            let origin = gateway.net.origin("198.51.100.8:80", http_ok());
            let ask = || Client::send_to(gateway.egret.addr, get("http://ok.test/", "ok.test"));
            let mut client = gateway.net.gateway.enter(ask);
            assert_eq!(client.status(), status);
            assert_known(&gateway.egret, &client, verdict, action, "198.51.100.8", "A scanner");
            assert_eq!(origin.connections(), usize::from(status == 200));
        }
    }
}
