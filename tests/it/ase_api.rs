//! The App Service Environment's APIs on the admin server: real curl, a real proxy, dependencies that are led to origins on
//! loopback.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use crate::support::command::run;
use crate::support::egret::Egret;
use crate::support::eventually;
use crate::support::exchange::exchange;
use crate::support::free::free_addr;
use crate::support::origin::{Origin, echo, tls_configs};
use crate::support::raw::{Client, connect, status_of};

const ASE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/hostingEnvironments/ase";
const VERSION: &str = "api-version=2021-01-15";

/// The worked set-up of the manual.
const WORKED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ase/vnet.toml");

/// Its firewall's.
const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ase/policy.toml");

/// Where names lead that nothing else is said of: a documentation address, of which `--connect-to` makes an origin.
const SOMEWHERE: &str = "--resolve=*:198.51.100.10";

/// Names of storage and SQL, with addresses of their services, as the security group has them.
const SERVICES: [&str; 5] = [
    "--resolve=gmstorageprodsn1.blob.core.windows.net:104.214.152.16",
    "--resolve=gmstorageprodsn1.queue.core.windows.net:104.214.152.16",
    "--resolve=gmstorageprodsn1.table.core.windows.net:104.214.152.16",
    "--resolve=gmstorageprodsn1.file.core.windows.net:104.214.152.16",
    "--resolve=egret-probe.database.windows.net:102.133.152.33",
];

/// An origin for each port that dependencies have.
struct Origins {
    plain: Origin,
    tls: Origin,
}

impl Origins {
    fn start() -> Origins {
        let (server, _) = tls_configs(&["login.windows.net"], &[]);
        Origins { plain: Origin::start(echo), tls: Origin::tls(server) }
    }

    fn flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = SERVICES.iter().map(ToString::to_string).collect();
        flags.push(SOMEWHERE.to_owned());
        flags.push(format!("--connect-to=:443:{}", self.tls.addr));
        flags.extend([80, 1433].map(|port| format!("--connect-to=:{port}:{}", self.plain.addr)));
        flags
    }
}

fn egret(flags: &[&str]) -> Egret {
    let all: Vec<&str> = ["--topology", WORKED].into_iter().chain(flags.iter().copied()).collect();
    Egret::start(&all)
}

/// The answer of a real client: status, head in lower case, body.
struct Curled {
    status: u16,
    head: String,
    body: String,
}

impl Curled {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn code(&self) -> (u16, String) {
        (self.status, self.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
    }
}

fn curl(egret: &Egret, args: &[&str], path: &str) -> Curled {
    let url = format!("http://{}{path}", egret.admin());
    let mut command = Command::new("curl");
    command.args(["-sSi", "--noproxy", "*", "--max-time", "60"]).args(args).arg(url);
    let output = command.output().expect("curl is there: packages of every CI image have it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Curled { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn get(egret: &Egret, part: &str) -> Curled {
    let answer = curl(egret, &[], &format!("{ASE}{part}?{VERSION}"));
    assert_eq!(answer.status, 200, "{part}: {}", answer.body);
    answer
}

fn at_version(egret: &Egret, part: &str, version: &str) -> Value {
    let answer = curl(egret, &[], &format!("{ASE}{part}?api-version={version}"));
    assert_eq!(answer.status, 200, "{part} {version}: {}", answer.body);
    answer.json()
}

fn post(egret: &Egret, part: &str) -> Curled {
    curl(egret, &["-X", "POST", "-d", ""], &format!("{ASE}{part}?{VERSION}"))
}

/// What JSON looks like, whatever it says: names in their order, elements of lists each kind once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Null,
    Flag,
    Number,
    Text,
    List(BTreeSet<Shape>),
    Object(Vec<(String, Shape)>),
}

impl Shape {
    fn of(text: &str) -> Shape {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn at(&self, name: &str) -> &Shape {
        let Shape::Object(fields) = self else { panic!("no object: {self:?}") };
        &fields.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}")).1
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(Looker)
    }
}

struct Looker;

impl<'de> Visitor<'de> for Looker {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Flag)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        let mut kinds = BTreeSet::new();
        while let Some(kind) = list.next_element()? {
            kinds.insert(kind);
        }
        Ok(Shape::List(kinds))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Shape, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = object.next_entry()? {
            fields.push(field);
        }
        Ok(Shape::Object(fields))
    }
}

const INBOUND: &str = r#"{"value":[{"description":"a","endpoints":["a"],"ports":["a"]}],"nextLink":null}"#;
const OUTBOUND: &str = r#"{"value":[{"category":"a","endpoints":[{"domainName":"a","endpointDetails":
    [{"ipAddress":"a","port":1,"latency":1.5,"isAccessible":true}]}]}],"nextLink":null}"#;

/// What is published of the two, where it is at hand.
fn sample(name: &str) -> Option<Shape> {
    let Some(folder) = std::env::var_os("EGRET_CORPUS").map(PathBuf::from) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: EGRET_CORPUS names no folder of Azure's files");
        return None;
    };
    let text = fs::read_to_string(folder.join("ase-api").join(name)).unwrap();
    Some(Shape::of(&text).at("responses").at("200").at("body").clone())
}

#[test]
fn answers_have_the_shape_of_the_published_samples() {
    let origins = Origins::start();
    let flags = origins.flags();
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    flags.extend(["--policy", "ase"]);
    let egret = egret(&flags);
    for (part, literal, file) in [
        ("/inboundNetworkDependenciesEndpoints", INBOUND, "inbound-2021-01-15.json"),
        ("/outboundNetworkDependenciesEndpoints", OUTBOUND, "outbound-2021-01-15.json"),
    ] {
        let answer = get(&egret, part);
        assert_eq!(Shape::of(&answer.body), Shape::of(literal), "{}", answer.body);
        if let Some(sample) = sample(file) {
            assert_eq!(Shape::of(&answer.body), sample, "{file}");
        }
    }
}

#[test]
fn inbound_is_filled_from_the_topology() {
    let all = get(&egret(&[]), "/inboundNetworkDependenciesEndpoints").json();
    let management = all["value"][0]["endpoints"].as_array().unwrap();
    assert_eq!(management.len(), 231);
    assert!(management.contains(&json!("13.66.140.0/26")));
    assert_eq!(
        (&all["value"][1]["endpoints"], &all["value"][1]["ports"]),
        (&json!(["203.0.113.9/32"]), &json!(["454", "455", "16001"]))
    );
    assert_eq!(
        (&all["value"][2]["endpoints"], &all["value"][2]["ports"]),
        (&json!(["192.168.251.128/25"]), &json!(["All"]))
    );
}

#[test]
fn the_resource_and_its_addresses() {
    let egret = egret(&[]);
    let resource = get(&egret, "").json();
    assert_eq!((&resource["id"], &resource["kind"]), (&json!(ASE), &json!("ASEV2")));
    let properties = &resource["properties"];
    assert_eq!(
        (&properties["suspended"], &properties["internalLoadBalancingMode"], &properties["status"]),
        (&json!(false), &json!("Web, Publishing"), &json!("Ready"))
    );
    let addresses = get(&egret, "/capacities/virtualip").json();
    assert_eq!(addresses["id"], format!("{ASE}/capacities/virtualip"));
    assert_eq!(addresses["properties"]["serviceIpAddress"], "203.0.113.9");
    assert_eq!(addresses["properties"]["internalIpAddress"], "192.168.251.132");
    for version in ["2016-09-01", "2018-02-01"] {
        let flat = at_version(&egret, "/capacities/virtualip", version);
        assert_eq!(flat["serviceIpAddress"], "203.0.113.9", "{version}: {flat}");
    }
    let networking = get(&egret, "/configurations/networking").json();
    assert_eq!(networking["properties"]["ftpEnabled"], false);
    let group = ASE.trim_end_matches("/ase");
    assert_eq!(curl(&egret, &[], &format!("{group}?{VERSION}")).json()["value"][0]["name"], "ase");
    let all = format!("/subscriptions/s/providers/Microsoft.Web/hostingEnvironments?{VERSION}");
    assert_eq!(curl(&egret, &[], &all).json()["value"][0]["name"], "ase");
}

#[test]
fn paths_in_any_case_and_every_version() {
    let egret = egret(&[]);
    let part = format!("{ASE}/inboundNetworkDependenciesEndpoints");
    let escaped = part.replace("ase/", "%61se/");
    for path in [part.to_lowercase(), part.to_uppercase(), escaped, format!("{part}/")] {
        assert_eq!(curl(&egret, &[], &format!("{path}?{VERSION}")).status, 200, "{path}");
    }
    for version in egret::azure::ase::API_VERSIONS {
        assert_eq!(curl(&egret, &[], &format!("{part}?api-version={version}")).status, 200, "{version}");
    }
}

#[test]
fn outbound_has_the_shape_of_its_version() {
    let origins = Origins::start();
    let flags = origins.flags();
    let egret = egret(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let part = "/outboundNetworkDependenciesEndpoints";
    let flat = at_version(&egret, part, "2016-09-01");
    assert_eq!(flat["value"][0]["description"], "Azure Storage", "{flat}");
    assert_eq!(flat["value"][0]["endpoints"][0], "blob.core.windows.net:80", "{flat}");
    let detail = |version| at_version(&egret, part, version)["value"][0]["endpoints"][0]["endpointDetails"][0].clone();
    let (misspelt, current) = (detail("2018-02-01"), detail("2019-08-01"));
    assert_eq!((&misspelt["isAccessable"], &misspelt["isAccessible"]), (&json!(true), &Value::Null));
    assert_eq!((&current["isAccessible"], &current["isAccessable"]), (&json!(true), &Value::Null));
}

#[test]
fn errors_have_the_shape_of_resource_manager() {
    let topology = fs::read_to_string(WORKED).unwrap();
    let own = format!("subscription = \"sub\"\nresource_group = \"lab\"\n{topology}").replace("policy.toml", "ase");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vnet.toml");
    fs::write(&path, own).unwrap();
    let egret = Egret::start(&["--topology", path.to_str().unwrap()]);
    let of = |subscription: &str, group: &str, rest: &str| {
        format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/{rest}")
    };
    let check = |path: String, status: u16, code: &str| {
        let answer = curl(&egret, &[], &path);
        assert_eq!(answer.code(), (status, code.to_owned()), "{path}");
        assert!(answer.head.contains("x-ms-request-id: ") && answer.head.contains("x-ms-correlation-request-id: "));
    };
    let ase = of("sub", "lab", "hostingEnvironments/ase");
    assert_eq!(curl(&egret, &[], &format!("{ase}?{VERSION}")).status, 200);
    check(ase.clone(), 400, "MissingApiVersionParameter");
    check(format!("{ase}?api-version=2018-11-01"), 400, "InvalidApiVersionParameter");
    check(format!("{}?{VERSION}", of("other", "lab", "hostingEnvironments/ase")), 404, "SubscriptionNotFound");
    check(format!("{}?{VERSION}", of("sub", "other", "hostingEnvironments/ase")), 404, "ResourceGroupNotFound");
    check(format!("{}?{VERSION}", of("sub", "lab", "hostingEnvironments/other")), 404, "ResourceNotFound");
    check(format!("{}?{VERSION}", of("sub", "lab", "sites/app")), 404, "InvalidResourceType");
    check(format!("{ase}/suspend?{VERSION}"), 405, "MethodNotAllowed");
    // What there is not has no versions either.
    check("/subscriptions/sub?api-version=2020-01-01".to_owned(), 404, "InvalidResourceType");
    check(format!("{}?api-version=1999-01-01", of("sub", "lab", "sites/app")), 404, "InvalidResourceType");
    check("/subscriptions/sub".to_owned(), 400, "MissingApiVersionParameter");
    assert!(curl(&egret, &[], &format!("{ase}/suspend?{VERSION}")).head.contains("allow: post"));
}

#[test]
fn without_a_topology_there_is_no_environment() {
    let egret = Egret::start(&[] as &[&str]);
    let answer = curl(&egret, &[], &format!("{ASE}?{VERSION}"));
    assert_eq!(answer.code(), (404, "ResourceNotFound".to_owned()));
    assert!(!egret.get("/metrics").body.contains("egret_ase_"));
}

#[test]
fn a_token_is_wanted_where_there_is_one() {
    let egret = egret(&["--admin-token", "s3cret"]);
    let path = format!("{ASE}?{VERSION}");
    let refused = curl(&egret, &[], &path);
    assert_eq!(refused.code(), (401, "AuthenticationFailed".to_owned()));
    assert!(refused.head.contains("www-authenticate: bearer authorization_uri="), "{}", refused.head);
    assert_eq!(curl(&egret, &["-H", "Authorization: Bearer wrong"], &path).status, 401);
    assert_eq!(curl(&egret, &["-H", "Authorization: Bearer s3cret"], &path).status, 200);
}

/// What `az rest` sends and looks at.
#[test]
fn request_ids_come_back() {
    let egret = egret(&[]);
    let own = "7c5c3a2e-0000-4000-8000-000000000001";
    let headers = [
        "-H",
        &format!("x-ms-client-request-id: {own}"),
        "-H",
        "x-ms-return-client-request-id: true",
        "-H",
        "x-ms-correlation-request-id: theirs",
        "-H",
        "Accept: */*",
        "-H",
        "CommandName: rest",
    ];
    let answer = curl(&egret, &headers, &format!("{ASE}?{VERSION}"));
    for header in [
        format!("x-ms-client-request-id: {own}"),
        "x-ms-correlation-request-id: theirs".to_owned(),
        "content-type: application/json; charset=utf-8".to_owned(),
        "cache-control: no-cache".to_owned(),
    ] {
        assert!(answer.head.contains(&header), "{header}: {}", answer.head);
    }
}

/// Accessibility of a name and port.
fn detail(all: &Value, domain: &str, port: u16) -> Value {
    let endpoints = all["value"].as_array().unwrap().iter().flat_map(|it| it["endpoints"].as_array().unwrap());
    let of = |it: &&Value| it["domainName"] == domain;
    let found = endpoints.filter(of).flat_map(|it| it["endpointDetails"].as_array().unwrap());
    let mut found = found.filter(|it| it["port"] == port);
    found.next().unwrap_or_else(|| panic!("no {domain}:{port} in {all:#}")).clone()
}

#[test]
fn dependencies_are_really_tried() {
    let origins = Origins::start();
    let flags = origins.flags();
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    // Nobody listens on the one, the other speaks no TLS.
    let closed = free_addr();
    let nobody = format!("--connect-to=ocsp.msocsp.com:443:{closed}");
    let plain = format!("--connect-to=mscrl.microsoft.com:443:{}", origins.plain.addr);
    flags.insert(0, &nobody);
    flags.insert(0, &plain);
    flags.extend(["--policy", "ase", "--deny", "https://graph.windows.net"]);
    let egret = egret(&flags);
    let all = get(&egret, "/outboundNetworkDependenciesEndpoints").json();
    let reached = detail(&all, "management.core.windows.net", 443);
    assert_eq!(reached["isAccessible"], true, "{all:#}");
    assert!(reached["latency"].as_f64().unwrap() > 0.0, "{reached}");
    assert_eq!(reached["ipAddress"], "198.51.100.10", "what the name leads to, not where it is dialled: {reached}");
    for (domain, port) in
        [("blob.core.windows.net", 80), ("blob.core.windows.net", 443), ("database.windows.net", 1433)]
    {
        assert_eq!(detail(&all, domain, port)["isAccessible"], true, "{domain}:{port} {all:#}");
    }
    let denied = detail(&all, "graph.windows.net", 443);
    assert_eq!((&denied["isAccessible"], &denied["latency"]), (&json!(false), &json!(null)), "{denied}");
    let unheard = detail(&all, "ocsp.msocsp.com", 443);
    assert_eq!((&unheard["isAccessible"], &unheard["latency"]), (&json!(false), &json!(null)), "{unheard}");
    let mute = detail(&all, "mscrl.microsoft.com", 443);
    assert_eq!(mute["isAccessible"], false, "{mute}");
    assert!(mute["latency"].as_f64().unwrap() > 0.0, "TCP was opened: {mute}");
    assert!(egret.records(|record| record["kind"] == "flow").is_empty(), "a probe is no flow");
}

#[test]
fn an_answer_is_kept_for_a_while() {
    let origins = Origins::start();
    let flags = origins.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let egret = egret(&flags);
    let part = "/outboundNetworkDependenciesEndpoints";
    let first = get(&egret, part);
    let tried = origins.tls.connections();
    assert!(tried > 5, "{tried}");
    let second = get(&egret, part);
    assert_eq!((second.body, origins.tls.connections()), (first.body, tried));
    assert!(second.head.contains("\r\nage: "), "{}", second.head);
    curl(&egret, &["-H", "Cache-Control: no-cache"], &format!("{ASE}{part}?{VERSION}"));
    assert_eq!(origins.tls.connections(), 2 * tried);
}

const SOON: &str = "[health]\nunhealthy_after = \"300ms\"\nsuspended_after = \"300ms\"\n";

fn states(egret: &Egret) -> Vec<String> {
    let records = egret.records(|record| record["kind"] == "environment");
    let text = |record: &Value, field: &str| record[field].as_str().unwrap().to_owned();
    records.iter().map(|record| format!("{} {}", text(record, "state"), text(record, "why"))).collect()
}

fn suspended(egret: &Egret) -> bool {
    get(egret, "").json()["properties"]["suspended"].as_bool().unwrap()
}

fn metric(egret: &Egret, name: &str) -> Option<String> {
    let line = format!("{name}{{environment=\"ase\"}} ");
    egret.get("/metrics").body.lines().find_map(|it| it.strip_prefix(&line)).map(str::to_owned)
}

/// Its clock was looked at twice, and what it saw of flows before: the metrics are set when it is.
fn two_looks(egret: &Egret) {
    for (order, suspended) in [("/suspend", "1"), ("/resume", "0")] {
        assert_eq!(post(egret, order).status, 202);
        eventually(order, || metric(egret, "egret_ase_suspended").filter(|it| it == suspended));
    }
}

#[test]
fn an_environment_whose_dependencies_are_denied_is_suspended() {
    let config = |policy: &str| format!("topology = [\"{WORKED}\"]\n{policy}\n{SOON}");
    let egret = Egret::with_config(&config("policy = \"none\""), &[] as &[&str]);
    eventually("it is suspended", || suspended(&egret).then_some(()));
    eventually("the log has it", || (states(&egret).len() == 2).then_some(()));
    assert_eq!(states(&egret), ["unhealthy dependencies", "suspended dependencies"]);
    let record = egret.records(|record| record["kind"] == "environment").remove(0);
    let unreachable = record["unreachable"].as_array().unwrap();
    assert!(unreachable.contains(&json!("admin.core.windows.net:443")), "{record}");
    assert!(!unreachable.iter().any(|it| it == "database.windows.net:1433"), "by its service endpoint: {record}");
    assert_eq!(metric(&egret, "egret_ase_healthy").as_deref(), Some("0"));
    assert_eq!(metric(&egret, "egret_ase_suspended").as_deref(), Some("1"));
    let properties = at_version(&egret, "", "2018-02-01")["properties"].clone();
    assert_eq!(properties["environmentIsHealthy"], false);
    assert!(properties["environmentStatus"].as_str().unwrap().contains("is suspended"), "{properties}");
    assert!(egret.stderr().contains("an App Service Environment is suspended"), "{}", egret.stderr());
    let refused = post(&egret, "/reboot");
    assert_eq!(refused.code(), (409, "Conflict".to_owned()));
    // Its dependencies are allowed again, and it stays as it is until somebody resumes it.
    assert_eq!(egret.reload(&config(&format!("policy = [\"{POLICY}\"]")))["ok"], true);
    eventually("nothing is out of reach", || metric(&egret, "egret_ase_unreachable").filter(|it| it == "0"));
    assert!(suspended(&egret));
    let resumed = post(&egret, "/resume");
    assert_eq!((resumed.status, resumed.body.as_str()), (202, r#"{"value":[],"nextLink":null}"#));
    assert!(resumed.head.contains(&format!("location: http://{}{}?{VERSION}", egret.admin(), ASE.to_lowercase())));
    assert!(!suspended(&egret));
    eventually("the metrics have it", || metric(&egret, "egret_ase_healthy").filter(|it| it == "1"));
}

#[test]
fn what_is_mended_in_time_makes_it_healthy_again() {
    let config = |policy: &str| {
        format!(
            "topology = [\"{WORKED}\"]\n{policy}\n[health]\nunhealthy_after = \"300ms\"\nsuspended_after = \"1h\"\n"
        )
    };
    let egret = Egret::with_config(&config("policy = \"none\""), &[] as &[&str]);
    eventually("it is unhealthy", || metric(&egret, "egret_ase_healthy").filter(|it| it == "0"));
    assert!(!suspended(&egret));
    for version in ["2016-09-01", "2018-02-01", "2020-10-01"] {
        let properties = at_version(&egret, "", version)["properties"].clone();
        assert_eq!(properties["environmentIsHealthy"], false, "{version}");
        assert!(properties["environmentStatus"].as_str().unwrap().contains("is unhealthy"), "{version}: {properties}");
    }
    for version in ["2020-12-01", "2025-05-01"] {
        let properties = at_version(&egret, "", version)["properties"].clone();
        assert!(properties.get("environmentIsHealthy").is_none() && properties.get("environmentStatus").is_none());
    }
    assert_eq!(egret.reload(&config(&format!("policy = [\"{POLICY}\"]")))["ok"], true);
    eventually("it is healthy", || metric(&egret, "egret_ase_healthy").filter(|it| it == "1"));
    eventually("the log has it", || (states(&egret).len() == 2).then_some(()));
    assert_eq!(states(&egret), ["unhealthy dependencies", "healthy dependencies"]);
}

#[test]
fn it_is_suspended_and_rebooted_on_request() {
    let egret = egret(&[]);
    assert_eq!(post(&egret, "/suspend").status, 202);
    assert!(suspended(&egret));
    assert_eq!(post(&egret, "/resume").status, 202);
    let rebooted = post(&egret, "/reboot");
    assert_eq!((rebooted.status, rebooted.body.as_str()), (202, ""));
    eventually("the log has it", || (states(&egret).len() == 2).then_some(()));
    assert_eq!(states(&egret), ["suspended asked", "healthy asked"]);
}

/// The subnet of the environment is where the clients of this test are. All that leaves it meets the firewall.
const LOOPBACK: &str = r#"
[[vnet]]
name = "net"
address_space = ["127.0.0.0/8", "192.0.2.0/26"]
[[vnet.subnet]]
name = "ase-subnet"
prefix = "127.0.0.0/8"
route_table = "routes"
[[vnet.subnet]]
name = "AzureFirewallSubnet"
prefix = "192.0.2.0/26"
[[route_table]]
name = "routes"
route = [{ name = "default", prefix = "0.0.0.0/0", next_hop = "VirtualAppliance", next_hop_address = "192.0.2.4" }]
[firewall]
name = "firewall"
private_address = "192.0.2.4"
[ase]
name = "ase"
version = "ASEV2"
subnet = "ase-subnet"
public_address = "203.0.113.9"
"#;

#[test]
fn a_denied_flow_to_a_dependency_counts() {
    denied_flow_counts(LOOPBACK, "");
}

/// On a laptop nobody is in the subnet.
#[test]
fn a_denied_flow_of_who_counts_as_of_the_subnet_counts() {
    let elsewhere = LOOPBACK.replace("prefix = \"127.0.0.0/8\"", "prefix = \"127.0.1.0/24\"");
    denied_flow_counts(&elsewhere, "client_subnet = \"ase-subnet\"\n");
}

fn denied_flow_counts(topology: &str, setting: &str) {
    let folder = tempfile::tempdir().unwrap();
    let rest = format!("deny = \"http://go.microsoft.com\"\n{setting}{SOON}");
    let config = in_loopback(folder.path(), &rest);
    fs::write(folder.path().join("vnet.toml"), topology).unwrap();
    let origins = Origins::start();
    let egret = Egret::with_config(&config, &origins.flags());
    let unreachable = || metric(&egret, "egret_ase_unreachable");
    let before = eventually("it is followed", unreachable).parse::<usize>().unwrap();
    let request = b"GET http://go.microsoft.com/ HTTP/1.1\r\nHost: go.microsoft.com\r\nConnection: close\r\n\r\n";
    assert_eq!((exchange(egret.addr, request).status, origins.plain.connections()), (470, 0));
    eventually("it counts", || unreachable().filter(|it| *it == (before + 1).to_string()));
}

/// A name that the doctor does not ask for, of a wildcard that he does.
const ODD: &str = "odd.update.microsoft.com";

fn ask_for_odd(egret: &Egret) {
    let mut client = Client::connect(egret.addr);
    client.send(connect(&format!("{ODD}:443")));
    assert_eq!(status_of(&client.answer().0), 470);
}

fn worked_where_odd_is_denied() -> Egret {
    let config = format!("topology = [\"{WORKED}\"]\nclient_subnet = \"ase-subnet\"\ndeny = \"{ODD}:443\"\n{SOON}");
    let egret = Egret::with_config(&config, &[SOMEWHERE]);
    eventually("it is followed", || metric(&egret, "egret_ase_healthy"));
    assert_eq!(metric(&egret, "egret_ase_unreachable").as_deref(), Some("0"));
    egret
}

/// One packet says nothing of what is so for longer.
#[test]
fn one_denied_flow_makes_nothing_unhealthy() {
    let egret = worked_where_odd_is_denied();
    ask_for_odd(&egret);
    eventually("it counts", || metric(&egret, "egret_ase_unreachable").filter(|it| it == "1"));
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(metric(&egret, "egret_ase_healthy").as_deref(), Some("1"));
    assert!(states(&egret).is_empty(), "{:?}", states(&egret));
}

#[test]
fn flows_that_are_denied_again_and_again_suspend_it() {
    let egret = worked_where_odd_is_denied();
    eventually("it is suspended", || {
        ask_for_odd(&egret);
        suspended(&egret).then_some(())
    });
    eventually("the log has it", || (states(&egret).len() == 2).then_some(()));
    let first = egret.records(|record| record["kind"] == "environment").remove(0);
    assert_eq!((&first["state"], &first["unreachable"]), (&json!("unhealthy"), &json!([format!("{ODD}:443")])));
}

fn in_loopback(folder: &Path, rest: &str) -> String {
    let path = folder.join("vnet.toml");
    fs::write(&path, LOOPBACK).unwrap();
    format!("topology = [\"{}\"]\npolicy = \"ase\"\n{rest}", path.display())
}

/// Nobody denied it to a client that left before it said anything.
#[test]
fn a_client_that_hangs_up_is_no_denial() {
    let folder = tempfile::tempdir().unwrap();
    let origins = Origins::start();
    let egret = Egret::with_config(&in_loopback(folder.path(), ""), &origins.flags());
    two_looks(&egret);
    let before = metric(&egret, "egret_ase_unreachable");
    let mut client = Client::connect(egret.addr);
    client.send(connect("login.windows.net:443"));
    assert_eq!(status_of(&client.answer().0), 200);
    let addr = client.addr();
    drop(client);
    assert_eq!(egret.verdict(addr), "deny client-gone");
    two_looks(&egret);
    assert_eq!(metric(&egret, "egret_ase_unreachable"), before);
}

/// Whoever only looks changes nothing: here nobody answers, and what stands for SQL has an address that the security group
/// does not know.
#[test]
fn a_probe_that_fails_is_no_denial() {
    let config = format!("topology = [\"{WORKED}\"]\n{SOON}");
    let nobody = format!("--connect-to=::{}", free_addr());
    let egret = Egret::with_config(&config, &[SOMEWHERE, &nobody]);
    let all = get(&egret, "/outboundNetworkDependenciesEndpoints").json();
    assert_eq!(detail(&all, "ocsp.digicert.com", 80)["isAccessible"], false, "{all:#}");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(metric(&egret, "egret_ase_unreachable").as_deref(), Some("0"));
    assert!(states(&egret).is_empty(), "{:?}", states(&egret));
}

/// The policy is the same, the network around it is not.
#[test]
fn an_answer_is_not_kept_when_the_network_changes() {
    let folder = tempfile::tempdir().unwrap();
    let origins = Origins::start();
    let config = in_loopback(folder.path(), "");
    let egret = Egret::with_config(&config, &origins.flags());
    let accessible = || {
        let all = get(&egret, "/outboundNetworkDependenciesEndpoints").json();
        detail(&all, "ocsp.digicert.com", 80)["isAccessible"].clone()
    };
    assert_eq!(accessible(), true);
    let closed = "route_table = \"routes\"\nnsg = \"closed\"\n";
    let group = "\n[[nsg]]\nname = \"closed\"\nrule = [{ name = \"no-web\", priority = 100, direction = \"Outbound\", \
                 access = \"Deny\", protocol = \"Tcp\", ports = [80] }]\n";
    let changed = LOOPBACK.replace("route_table = \"routes\"\n", closed) + group;
    fs::write(folder.path().join("vnet.toml"), changed).unwrap();
    assert_eq!(egret.reload(&config)["ok"], true);
    assert_eq!(accessible(), false);
}

/// Whoever asks the API just then is told of the new subnet; flows from there are followed all the same.
#[test]
fn an_environment_that_moved_while_somebody_asked_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vnet.toml");
    let before = LOOPBACK.replace("\"127.0.0.0/8\", \"192.0.2.0/26\"", "\"192.0.2.0/24\"");
    fs::write(&path, before.replace("127.0.0.0/8", "192.0.2.64/26")).unwrap();
    let config =
        format!("topology = [\"{}\"]\npolicy = \"ase\"\ndeny = \"http://go.microsoft.com\"\n{SOON}", path.display());
    let egret = Egret::with_config(&config, &[SOMEWHERE]);
    let ask = format!("GET {ASE}?{VERSION} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", egret.admin());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(exchange(egret.admin(), ask.as_bytes()).status, 200);
            }
        });
        fs::write(&path, LOOPBACK).unwrap();
        egret.reload(&config);
        eventually("the topology is taken up", || {
            let shown = get(&egret, "/inboundNetworkDependenciesEndpoints").body;
            shown.contains("127.0.0.0/8").then_some(())
        });
        two_looks(&egret);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let request = b"GET http://go.microsoft.com/ HTTP/1.1\r\nHost: go.microsoft.com\r\nConnection: close\r\n\r\n";
    eventually("such a flow counts", || {
        assert_eq!(exchange(egret.addr, request).status, 470);
        let records = egret.records(|record| record["kind"] == "environment");
        let named =
            |it: &Value| it["unreachable"].as_array().is_some_and(|all| all.contains(&json!("go.microsoft.com:80")));
        records.iter().any(named).then_some(())
    });
}

#[test]
fn network_watcher_answers() {
    let egret = egret(&[]);
    let ask = |what: &str, body: Value| {
        let path = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkWatchers/nw";
        let body = body.to_string();
        let args = ["-H", "Content-Type: application/json", "-d", body.as_str()];
        curl(&egret, &args, &format!("{path}/{what}?api-version=2021-02-01"))
    };
    let hop = ask(
        "nextHop",
        json!({ "targetResourceId": "/x", "sourceIPAddress": "192.168.251.140", "destinationIPAddress": "198.51.100.1" }),
    );
    let table = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/routeTables/ase-routes";
    let expected =
        json!({ "nextHopType": "VirtualAppliance", "nextHopIpAddress": "192.168.0.4", "routeTableId": table });
    assert_eq!((hop.status, hop.json()), (200, expected));
    let verify = |direction: &str, remote: &str| {
        ask(
            "ipflowverify",
            json!({
                "targetResourceId": "/x", "direction": direction, "protocol": "TCP", "localPort": "454",
                "remotePort": "60000", "localIPAddress": "192.168.251.140", "remoteIPAddress": remote
            }),
        )
        .json()
    };
    assert_eq!(verify("Inbound", "70.37.57.58")["access"], "Allow");
    assert_eq!(verify("Inbound", "198.51.100.7")["access"], "Deny");
    assert_eq!(ask("nextHop", json!({ "sourceIPAddress": "x" })).code(), (400, "InvalidRequestContent".to_owned()));
    let elsewhere = json!({
        "targetResourceId": "/x", "sourceIPAddress": "192.0.2.1", "destinationIPAddress": "192.0.2.2"
    });
    assert_eq!(ask("nextHop", elsewhere).code(), (400, "InvalidParameter".to_owned()));
    let mixed = json!({
        "targetResourceId": "/x", "direction": "Outbound", "protocol": "TCP", "localPort": "*", "remotePort": "443",
        "localIPAddress": "192.168.251.140", "remoteIPAddress": "2001:db8::7"
    });
    assert_eq!(ask("ipFlowVerify", mixed).code(), (400, "InvalidParameter".to_owned()));
    let large = json!({ "sourceIPAddress": "x".repeat(70_000) });
    assert_eq!(ask("nextHop", large).code(), (413, "RequestEntityTooLarge".to_owned()));
}

/// Azure keeps its watchers in a group of their own.
#[test]
fn a_network_watcher_may_be_in_any_group() {
    let (egret, _folder) = of_several_groups();
    let watcher = format!(
        "/subscriptions/{SUB}/resourceGroups/NetworkWatcherRG/providers/Microsoft.Network/networkWatchers/NetworkWatcher_westus2"
    );
    let body = json!({
        "targetResourceId": format!("/subscriptions/{SUB}/resourceGroups/rg-vm/providers/Microsoft.Compute/virtualMachines/vm"),
        "sourceIPAddress": "10.0.1.4", "destinationIPAddress": "198.51.100.1"
    })
    .to_string();
    let hop = curl(&egret, &["-d", &body], &format!("{watcher}/nextHop?api-version=2024-05-01"));
    let table =
        format!("/subscriptions/{SUB}/resourceGroups/rg-net/providers/Microsoft.Network/routeTables/ase-routes");
    assert_eq!((hop.status, &hop.json()["routeTableId"]), (200, &json!(table)), "{}", hop.body);
    let elsewhere = watcher.replace(SUB, "11111111-0000-0000-0000-000000000000");
    let refused = curl(&egret, &["-d", &body], &format!("{elsewhere}/nextHop?api-version=2024-05-01"));
    assert_eq!(refused.code(), (404, "SubscriptionNotFound".to_owned()));
}

const SUB: &str = "22222222-0000-0000-0000-000000000000";

/// As `az … list` prints it, the security group first: of each resource its own group.
fn of_several_groups() -> (Egret, tempfile::TempDir) {
    let id = |group: &str, kind: &str| format!("/subscriptions/{SUB}/resourceGroups/{group}/providers/{kind}");
    let resource = |group: &str, kind: &str, name: &str, properties: Value| {
        json!({
            "id": id(group, &format!("{kind}/{name}")), "name": name, "type": kind, "location": "westus2",
            "kind": "ASEV2", "properties": properties
        })
    };
    let subnet = id("rg-net", "Microsoft.Network/virtualNetworks/ase-vnet/subnets/ase");
    let all = json!([
        resource("rg-security", "Microsoft.Network/networkSecurityGroups", "ase-nsg", json!({ "securityRules": [] })),
        resource(
            "rg-net",
            "Microsoft.Network/routeTables",
            "ase-routes",
            json!({ "routes": [
            { "name": "default", "properties": { "addressPrefix": "0.0.0.0/0", "nextHopType": "Internet" } }
        ] })
        ),
        resource(
            "rg-net",
            "Microsoft.Network/virtualNetworks",
            "ase-vnet",
            json!({
                "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
                "subnets": [{ "name": "ase", "id": subnet, "properties": {
                    "addressPrefix": "10.0.1.0/24",
                    "networkSecurityGroup": { "id": id("rg-security", "Microsoft.Network/networkSecurityGroups/ase-nsg") },
                    "routeTable": { "id": id("rg-net", "Microsoft.Network/routeTables/ase-routes") }
                } }]
            })
        ),
        resource(
            "rg-ase",
            "Microsoft.Web/hostingEnvironments",
            "ase",
            json!({
                "virtualNetwork": { "id": subnet, "subnet": "ase" }, "internalLoadBalancingMode": "None"
            })
        ),
        resource(
            "rg-vm",
            "Microsoft.Network/networkInterfaces",
            "nic",
            json!({ "ipConfigurations": [
            { "name": "one", "properties": { "privateIPAddress": "10.0.1.4", "subnet": { "id": subnet } } }
        ] })
        ),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.json");
    fs::write(&path, all.to_string()).unwrap();
    (Egret::start(&["--topology", path.to_str().unwrap(), "--policy", "ase"]), folder)
}

#[test]
fn each_resource_is_of_its_own_group() {
    let (egret, _folder) = of_several_groups();
    let group = |name: &str| format!("/subscriptions/{SUB}/resourceGroups/{name}/providers");
    let ase = |name: &str| format!("{}/Microsoft.Web/hostingEnvironments", group(name));
    let shown = curl(&egret, &[], &format!("{}/ase?{VERSION}", ase("RG-ase"))).json();
    assert_eq!(shown["id"], format!("{}/ase", ase("rg-ase")), "{shown}");
    let subnet = format!("{}/Microsoft.Network/virtualNetworks/ase-vnet/subnets/ase", group("rg-net"));
    assert_eq!(shown["properties"]["virtualNetwork"]["id"], subnet);
    let code = |path: String| curl(&egret, &[], &path).code();
    assert_eq!(code(format!("{}/ase?{VERSION}", ase("rg-security"))), (404, "ResourceNotFound".to_owned()));
    assert_eq!(code(format!("{}/ase?{VERSION}", ase("rg-none"))), (404, "ResourceGroupNotFound".to_owned()));
    let names = |path: String| {
        let all = curl(&egret, &[], &path).json();
        all["value"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect::<Vec<_>>()
    };
    let own = vec![json!(format!("{}/ase", ase("rg-ase")))];
    assert_eq!(names(format!("{}?{VERSION}", ase("rg-ase"))), own);
    assert_eq!(names(format!("{}?{VERSION}", ase("rg-net"))), Vec::<Value>::new());
    assert_eq!(names(format!("/subscriptions/{SUB}/providers/Microsoft.Web/hostingEnvironments?{VERSION}")), own);
    let nic = format!("{}/Microsoft.Network/networkInterfaces/nic", group("rg-vm"));
    let ask =
        |nic: &str| curl(&egret, &["-d", ""], &format!("{nic}/effectiveNetworkSecurityGroups?api-version=2024-05-01"));
    let effective = ask(&nic).json();
    let security = format!("{}/Microsoft.Network/networkSecurityGroups/ase-nsg", group("rg-security"));
    assert_eq!(effective["value"][0]["networkSecurityGroup"]["id"], security, "{effective}");
    assert_eq!(effective["value"][0]["association"]["subnet"]["id"], subnet);
    assert_eq!(ask(&nic.replace("rg-vm", "rg-net")).code(), (404, "ResourceNotFound".to_owned()));
}

/// What `az cloud register --endpoint-resource-manager` asks.
#[test]
fn a_cloud_can_be_registered() {
    let egret = egret(&["--admin-token", "s3cret"]);
    let told = curl(&egret, &[], "/metadata/endpoints?api-version=2022-09-01");
    let own = format!("http://{}/", egret.admin());
    let told = (told.status, told.json());
    assert_eq!((told.0, &told.1["resourceManager"]), (200, &json!(own)), "{told:?}");
    assert_eq!(told.1["authentication"]["audiences"], json!([own]));
    assert_eq!(told.1["suffixes"]["storage"], "core.windows.net");
    let code = |args: &[&str], version: &str| curl(&egret, args, &format!("/metadata/endpoints{version}")).code();
    assert_eq!(code(&[], ""), (400, "MissingApiVersionParameter".to_owned()));
    assert_eq!(code(&[], "?api-version=2015-01-01"), (400, "InvalidApiVersionParameter".to_owned()));
    assert_eq!(code(&["-d", ""], "?api-version=2022-09-01"), (405, "MethodNotAllowed".to_owned()));
    // All else wants the token still.
    assert_eq!(curl(&egret, &[], &format!("{ASE}?{VERSION}")).code(), (401, "AuthenticationFailed".to_owned()));
}

#[test]
fn the_worked_set_up_is_healthy() {
    let config = format!("topology = [\"{WORKED}\"]\n{SOON}");
    let egret = Egret::with_config(&config, &[] as &[&str]);
    eventually("it is followed", || metric(&egret, "egret_ase_healthy"));
    assert_eq!(metric(&egret, "egret_ase_unreachable").as_deref(), Some("0"));
    assert!(states(&egret).is_empty());
}

#[test]
fn doctor_tries_through_a_running_egret() {
    let origins = Origins::start();
    let flags = origins.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let egret = egret(&flags);
    let admin = egret.admin().to_string();
    let live = |format: &str| run(&["doctor", "--live", "--admin", &admin, "--format", format, WORKED]);
    let text = live("text");
    assert!(text.out.contains("dependencies are reached") && text.out.contains("Azure Storage"), "{text:?}");
    let json: Value = serde_json::from_str(&live("json").out).unwrap();
    assert_eq!(json["live"][0]["environment"], "ase");
    let outbound = json["live"][0]["outbound"].to_string();
    let reached = detail(&json["live"][0]["outbound"], "management.azure.com", 443);
    assert_eq!(reached["isAccessible"], true, "{outbound}");
    drop(egret);
    let gone = live("text");
    assert!(gone.code == 4 && gone.err.contains("nobody answers at"), "{gone:?}");
}

/// One dependency that nobody listens for, told by every format.
#[test]
fn doctor_tells_what_is_not_reached_in_every_format() {
    let origins = Origins::start();
    let sql = format!("--connect-to=:1433:{}", free_addr());
    let flags: Vec<String> = origins.flags().into_iter().filter(|flag| !flag.contains(":1433:")).chain([sql]).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let egret = egret(&flags);
    let admin = egret.admin().to_string();
    let live = |format: &str| {
        let answer = run(&["doctor", "--live", "--admin", &admin, "--format", format, WORKED]);
        assert_eq!(answer.code, 3, "{answer:?}");
        answer.out
    };
    let what = "database.windows.net:1433 (Azure SQL Database) is not reached";
    let github = live("github");
    // Nobody tells the time here.
    let time = "time.windows.com:123 (Time Servers) is not reached";
    let lines: Vec<&str> = github.lines().collect();
    assert_eq!(lines.len(), 3, "{github}");
    assert_eq!(lines[0], "::notice title=egret doctor%3A ase::ase: healthy");
    assert!(lines[1].starts_with(&format!("::error title=egret doctor --live%3A ase::{what}")), "{github}");
    assert!(lines[1].contains(": connection: upstream-"), "{github}");
    assert!(lines[2].starts_with(&format!("::error title=egret doctor --live%3A ase::{time}")), "{github}");
    let text = live("text");
    let (verdict, _) = text.split_once("\n  kind").unwrap();
    assert!(
        verdict.starts_with("ase: healthy\n  live     ") && verdict.ends_with("dependencies are reached"),
        "{text}"
    );
    let junit = live("junit");
    let [rules, tried] = [1, 2].map(|nth| junit.split("<testsuite ").nth(nth).unwrap());
    assert!(rules.contains("tests=\"48\" failures=\"0\""), "{rules}");
    assert!(tried.starts_with("name=\"ase: live\"") && tried.contains("failures=\"2\""), "{tried}");
    let failure = format!("<failure type=\"not reached\" message=\"{what}");
    assert!(tried.contains(&failure) && tried.matches("<failure").count() == 2, "{tried}");
    assert!(tried.contains("<testcase name=\"login.windows.net:443\" classname=\"egret.doctor.ase.live\""), "{tried}");
    let sarif: Value = serde_json::from_str(&live("sarif")).unwrap();
    let run = &sarif["runs"][0];
    let [result, _] = run["results"].as_array().unwrap().as_slice() else { panic!("{run}") };
    assert!(result["message"]["text"].as_str().unwrap().starts_with(what), "{result}");
    assert_eq!(run["properties"]["environments"][0]["health"], "healthy", "{run}");
    let rule = result["ruleIndex"].as_u64().unwrap();
    assert_eq!(run["tool"]["driver"]["rules"][usize::try_from(rule).unwrap()]["id"], "LIVE", "{result}");
}

/// Nobody in the lab sends what these take away: the doctor's rules tell.
#[test]
fn what_the_doctor_would_have_suspended_is_suspended() {
    let worked = fs::read_to_string(WORKED).unwrap().replace("policy.toml", POLICY);
    let without = |line: &str| {
        let found = worked.lines().find(|it| it.contains(line)).unwrap();
        worked.replace(found, "")
    };
    suspends(&worked.replace("454-455", "456"), "", &["IN-MGMT"]);
    suspends(&without("name = \"management\", prefix"), "", &["RT-MGMT"]);
    suspends(&without("name = \"ntp\""), "", &["OUT-NTP"]);
    suspends(&without("name = \"dns\""), "", &["OUT-DNS"]);
    // A name of the list that the API does not show.
    suspends(&worked, "deny = \"client.wns.windows.com:443\"", &["FW-DENY-FIRST"]);
}

fn suspends(topology: &str, setting: &str, unreachable: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vnet.toml");
    fs::write(&path, topology).unwrap();
    let config = format!("topology = [\"{}\"]\n{setting}\n{SOON}", path.display());
    let egret = Egret::with_config(&config, &[] as &[&str]);
    eventually("it is suspended", || suspended(&egret).then_some(()));
    let record = eventually("the log has it", || egret.records(|record| record["kind"] == "environment").pop());
    assert_eq!(record["unreachable"], json!(unreachable), "{record}");
}
