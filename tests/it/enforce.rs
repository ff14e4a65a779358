//! The network around the firewall, enforced: what a security group denies never comes to the firewall, what a route
//! leads elsewhere goes past it, and `check` says the same. Clients are in subnets of loopback, or in network namespaces.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::support::command::{egret, finish};
use super::support::egret::Egret;
use super::support::eventually;
use super::support::free::free_addr;
use super::support::origin::Origin;
use super::support::raw::{Client, End, connect, get, header, socks_request, status_of};

/// Three subnets of loopback: whoever is at 127.0.1.5 is in `web`.
const TOPOLOGY: &str = r#"
name = "lab"
virtual_network_tag = "routes"
location = "westus2"
subscription = "11111111-2222-3333-4444-555555555555"
resource_group = "rg"

[[vnet]]
name = "lab-vnet"
address_space = ["127.0.0.0/16"]

[[vnet.subnet]]
name = "web"
prefix = "127.0.1.0/24"
nsg = "web-nsg"
route_table = "to-firewall"
service_endpoints = ["Microsoft.Storage"]

[[vnet.subnet]]
name = "data"
prefix = "127.0.2.0/24"
nsg = "data-nsg"

[[vnet.subnet]]
name = "AzureFirewallSubnet"
prefix = "127.0.3.0/26"

[[nsg]]
name = "web-nsg"
rule = [
    { name = "no-smtp", priority = 100, direction = "Outbound", access = "Deny", protocol = "Tcp", ports = 25 },
    { name = "no-lab", priority = 110, direction = "Outbound", access = "Deny", destination = "198.51.100.9" },
]

[[nsg]]
name = "data-nsg"
rule = [
    { name = "postgres", priority = 100, direction = "Inbound", access = "Allow", protocol = "Tcp", source = "127.0.1.0/24", ports = 5432 },
    { name = "closed", priority = 4096, direction = "Inbound", access = "Deny" },
]

[[route_table]]
name = "to-firewall"
route = [
    { name = "nowhere", prefix = "203.0.113.0/24", next_hop = "None" },
    { name = "direct", prefix = "198.51.100.128/25", next_hop = "Internet" },
    { name = "default", prefix = "0.0.0.0/0", next_hop = "VirtualAppliance", next_hop_address = "127.0.3.4" },
]

[firewall]
private_address = "127.0.3.4"
"#;

const WEB: &str = "127.0.1.5";
/// In the network, and in no subnet of it.
const NOWHERE: &str = "127.0.0.1";

/// Names too: each is asked for by HTTPS, and leads to where the topology has something to say.
const POLICY: &[&str] = &[
    "--allow=tcp://198.51.100.0/24:25",
    "--allow=tcp://198.51.100.0/24:443",
    "--allow=https://lab.test",
    "--resolve=lab.test:198.51.100.9",
    "--resolve=past.test:198.51.100.200",
    "--resolve=evil.test:198.51.100.7",
];

/// A flow and what becomes of it: who asks for what, verdict and reason, and who said so.
struct Case {
    from: &'static str,
    to: &'static str,
    verdict: &'static str,
    by: &'static str,
}

const fn case(from: &'static str, to: &'static str, verdict: &'static str, by: &'static str) -> Case {
    Case { from, to, verdict, by }
}

const CASES: &[Case] = &[
    // Who said so: group and rule at the client, route, group and rule at the destination.
    case(WEB, "198.51.100.7:443", "allow network-rule", "web-nsg/AllowInternetOutBound VirtualAppliance -"),
    case(WEB, "198.51.100.7:25", "deny nsg-denied", "web-nsg/no-smtp - -"),
    case(WEB, "198.51.100.9:443", "deny nsg-denied", "web-nsg/no-lab - -"),
    case(WEB, "198.51.100.7:8080", "deny port-not-allowed", "web-nsg/AllowInternetOutBound VirtualAppliance -"),
    case(WEB, "203.0.113.7:443", "deny no-route", "web-nsg/AllowInternetOutBound None -"),
    case(WEB, "198.51.100.200:9999", "allow routed-past-firewall", "web-nsg/AllowInternetOutBound Internet -"),
    case(
        WEB,
        "104.208.0.17:443",
        "allow service-endpoint",
        "web-nsg/AllowInternetOutBound VirtualNetworkServiceEndpoint -",
    ),
    case(WEB, "127.0.2.7:5432", "allow routed-past-firewall", "web-nsg/AllowVnetOutBound VnetLocal data-nsg/postgres"),
    case(WEB, "127.0.2.7:22", "deny nsg-denied", "web-nsg/AllowVnetOutBound VnetLocal data-nsg/closed"),
    case(NOWHERE, "198.51.100.7:25", "allow network-rule", "nobody"),
    case(NOWHERE, "203.0.113.7:443", "deny not-allowed", "nobody"),
    // The application rule does not help: the group comes first.
    case(WEB, "lab.test:443", "deny nsg-denied", "web-nsg/no-lab - -"),
    // The firewall knows no such name, and is not asked.
    case(WEB, "past.test:443", "allow routed-past-firewall", "web-nsg/AllowInternetOutBound Internet -"),
    case(WEB, "evil.test:444", "deny port-not-allowed", "web-nsg/AllowInternetOutBound VirtualAppliance -"),
];

/// `web-nsg/no-smtp - -`, from a record's or an answer's `network`.
fn by(network: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let group = |value: &Value| match value["nsg"].as_str() {
        Some(group) => format!("{group}/{}", text(&value["nsg_rule"])),
        None => "-".to_owned(),
    };
    match network {
        Value::Null => "nobody".to_owned(),
        network => format!("{} {} {}", group(network), text(&network["next_hop"]), group(&network["destination"])),
    }
}

/// Egret with a topology in a file that can be changed, and one origin that everything leads to.
struct Lab {
    egret: Egret,
    origin: Origin,
    folder: TempDir,
    config: String,
}

impl Lab {
    fn new(profile: &str, config: &str) -> Lab {
        Lab::with(profile, config, &[])
    }

    fn with(profile: &str, config: &str, more: &[String]) -> Lab {
        Lab::before(Origin::echo(), profile, config, more)
    }

    fn before(origin: Origin, profile: &str, config: &str, more: &[String]) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vnet.toml");
        fs::write(&path, TOPOLOGY).unwrap();
        let config = format!("topology = [{:?}]\n{config}", path.display().to_string());
        let mut flags: Vec<String> = POLICY.iter().map(ToString::to_string).collect();
        flags.extend([format!("--profile={profile}"), format!("--connect-to=::{}", origin.addr)]);
        flags.extend_from_slice(more);
        let egret = Egret::with_config(&config, &flags);
        Lab { egret, origin, folder, config }
    }

    /// Another topology, in force when this returns.
    fn change(&self, from: &str, to: &str) {
        let path = self.folder.path().join("vnet.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
        let record = self.egret.reload(&self.config);
        assert_eq!(record["ok"], true, "{record:#}");
    }

    fn client(&self, from: &str) -> Client {
        let from: IpAddr = from.parse().unwrap();
        Client::connect_from(Some(from), 0, self.egret.addr).1.unwrap()
    }

    /// What a `CONNECT` is answered, and the record of it.
    fn connect(&self, from: &str, to: &str) -> (Client, String, Value) {
        let mut client = self.client(from);
        client.send(connect(to));
        let (head, _) = client.answer();
        if head.starts_with("HTTP/1.1 200") {
            // A tunnel that is looked into is recorded when something was seen.
            client.send("hello");
        }
        let record = self.egret.flows(client.addr(), 1).remove(0);
        (client, head, record)
    }
}

fn verdict(record: &Value) -> String {
    format!("{} {}", record["verdict"].as_str().unwrap(), record["reason"].as_str().unwrap())
}

#[test]
fn the_network_decides_before_the_firewall() {
    for (profile, unreachable, refused) in [("azure", 504, 470), ("strict", 403, 403)] {
        let lab = Lab::new(profile, "");
        for Case { from, to, verdict: expected, by: who } in CASES {
            let (mut client, head, record) = lab.connect(from, to);
            assert_eq!((verdict(&record).as_str(), by(&record["network"]).as_str()), (*expected, *who), "{to}");
            let status = match *expected {
                "deny nsg-denied" | "deny no-route" => unreachable,
                denied if denied.starts_with("deny") => refused,
                _ => 200,
            };
            assert_eq!(status_of(&head), status, "{to}: {head}");
            if status == 200 {
                assert_eq!(client.bytes(5), b"hello", "{to}");
            } else {
                assert_eq!(header(&head, "x-egret-reason"), record["reason"].as_str());
            }
        }
    }
}

#[test]
fn check_says_the_same() {
    let lab = Lab::new("azure", "");
    let path = lab.folder.path().join("vnet.toml");
    for Case { from, to, verdict: expected, by: who } in CASES {
        let target = if to.contains("test") { format!("https://{to}") } else { format!("tcp://{to}") };
        let answer = check(&path, &["--format=json", "--from", from, &target]);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let shown = (verdict(&answer), by(&answer["network"]));
        assert_eq!(shown, ((*expected).to_owned(), (*who).to_owned()), "{to}: {answer:#}");
        let asked = lab.egret.get(&format!("/v1/check?target={target}&from={from}"));
        let asked: Value = serde_json::from_str(&asked.body).unwrap();
        assert_eq!((verdict(&asked), by(&asked["network"])), shown, "{to}: {asked:#}");
    }
    let asked = lab.egret.get("/v1/check?target=tcp://198.51.100.7:25&from=Web");
    assert_eq!(by(&serde_json::from_str::<Value>(&asked.body).unwrap()["network"]), "web-nsg/no-smtp - -", "{asked:?}");
    let explained = check(&path, &["--explain", "--from", WEB, "tcp://198.51.100.7:25", "tcp://198.51.100.7:8080"]);
    for line in [
        "subnet web: web-nsg/no-smtp denies\n        the firewall never sees it: no rule was looked at\n",
        "subnet web: web-nsg/AllowInternetOutBound allows, 0.0.0.0/0 to VirtualAppliance by default\n",
        "the port is not 443",
    ] {
        assert!(explained.contains(line), "{explained}");
    }
    let unknown = check(&path, &["--from", WEB, "https://lab2.test"]);
    assert!(unknown.contains("security group and route look at the address; give it with --resolve"), "{unknown}");
    let anybody = check(&path, &["tcp://198.51.100.7:25"]);
    assert!(anybody.contains("of the topology nothing was asked; say who asks with --from"), "{anybody}");
}

/// What it says, whatever the verdict.
fn check(topology: &Path, args: &[&str]) -> String {
    let mut command = egret();
    command.current_dir(topology.parent().unwrap()).arg("check").args(POLICY).arg("--topology").arg(topology);
    let answer = finish(command.args(args), "");
    assert!(matches!(answer.code, 0 | 3), "{}", answer.err);
    answer.out
}

/// Two networks with the same addresses: whoever is in the second by its name meets the second's group.
#[test]
fn a_subnet_that_is_named_among_equal_ones() {
    const TWINS: &str = "[[vnet]]\nname = \"a\"\naddress_space = \"10.0.0.0/16\"\nsubnet = [{ name = \"s\", prefix = \"10.0.1.0/24\" }]\n\
        [[vnet]]\nname = \"b\"\naddress_space = \"10.0.0.0/16\"\nsubnet = [{ name = \"t\", prefix = \"10.0.1.0/24\", nsg = \"closed\" }]\n\
        [[nsg]]\nname = \"closed\"\nrule = [{ name = \"no\", priority = 100, direction = \"Outbound\", access = \"Deny\" }]\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twins.toml");
    fs::write(&path, TWINS).unwrap();
    let args = |own: &[&str]| -> String {
        let answer = check(&path, &[own, &["--format=json", "tcp://198.51.100.7:443"]].concat());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        format!("{} {}", answer["network"]["subnet"].as_str().unwrap(), verdict(&answer))
    };
    for own in
        [&["--from=t"][..], &["--from=b/t"], &["--client-subnet=b/t"], &["--client-subnet=b/t", "--from=10.0.1.9"]]
    {
        assert_eq!(args(own), "t deny nsg-denied", "{own:?}");
    }
    assert_eq!(args(&["--from=s"]), "s allow routed-past-firewall");
}

#[test]
fn socks_and_plain_http_are_no_way_round() {
    let lab = Lab::new("azure", "");
    let mut client = lab.client(WEB);
    client.send([5, 1, 0]);
    assert_eq!(client.bytes(2), [5, 0]);
    client.send(socks_request("198.51.100.7", 25));
    assert_eq!(client.bytes(10)[1], 6, "as a destination that does not answer");
    assert_eq!(lab.egret.verdict(client.addr()), "deny nsg-denied");
    let mut client = lab.client(WEB);
    client.send("GET http://198.51.100.9/ HTTP/1.1\r\nHost: 198.51.100.9\r\n\r\n");
    let (head, body) = client.answer();
    assert_eq!((status_of(&head), body.as_str()), (504, "egret: 198.51.100.9:80 is denied: nsg-denied\n"), "{head}");
    assert_eq!(lab.origin.connections(), 0);
}

/// Whatever a route says, the machine that Egret is on is nobody's destination, nor is its metadata service.
#[test]
fn a_route_past_the_firewall_leads_to_no_internal_address() {
    let lab = Lab::new("azure", "");
    lab.change(
        "prefix = \"0.0.0.0/0\", next_hop = \"VirtualAppliance\", next_hop_address = \"127.0.3.4\"",
        "prefix = \"0.0.0.0/0\", next_hop = \"Internet\"",
    );
    lab.change("access = \"Deny\", destination = \"198.51.100.9\"", "access = \"Allow\"");
    for to in ["169.254.169.254:80", "127.9.9.9:80", "[::1]:80"] {
        let (_, _, record) = lab.connect(WEB, to);
        let expected = if to.starts_with('[') { "deny no-route" } else { "deny internal-address" };
        assert_eq!(verdict(&record), expected, "{to}: {record:#}");
    }
    let (_, _, record) = lab.connect(WEB, "198.51.100.7:8080");
    assert_eq!(verdict(&record), "allow routed-past-firewall");
    assert_eq!(lab.origin.connections(), 1);
}

#[test]
fn whose_flows_meet_it() {
    for (enforce, expected) in
        [("all", "deny nsg-denied"), ("gateway", "allow network-rule"), ("none", "allow network-rule")]
    {
        let lab = Lab::new("azure", &format!("enforce = \"{enforce}\"\n"));
        let (_, _, record) = lab.connect(WEB, "198.51.100.7:25");
        assert_eq!(verdict(&record), expected, "{enforce}");
        assert_eq!(record["network"].is_null(), enforce != "all", "{record:#}");
    }
}

/// Names that lead to an address and the user's own word for one are part of the question: the log has its answer, with
/// who denied it, and is not asked another.
#[test]
fn the_log_has_what_was_decided() {
    let rule = "log.flow_log_every = \"100ms\"\nlog.sink = [{ target = \"vnet.log\", format = \"vnet-flow\" }, \
                { target = \"azure.log\", format = \"azure\" }]\n\
                [[rule_collection_group]]\nname = \"g\"\npriority = 200\nrule_collection = [{ name = \"net\", priority = 100, \
                type = \"network\", action = \"allow\", rule = [{ name = \"db\", source_addresses = \"*\", \
                ip_protocols = \"TCP\", destination_fqdns = [\"db.lab\", \"own.lab\"], destination_ports = \"22\" }] }]\n";
    let resolve = ["--resolve=db.lab:198.51.100.70".to_owned(), "--resolve=own.lab:127.0.4.7".to_owned()];
    let lab = Lab::with("azure", rule, &resolve);
    let path = lab.folder.path().join("vnet.toml");
    lab.change("[\"127.0.0.0/16\"]", "[\"127.0.0.0/16\", \"198.51.100.64/26\"]");
    let second = "prefix = \"127.0.2.0/24\"\nnsg = \"data-nsg\"\n\n[[vnet.subnet]]\nname = \"more\"\n\
                  prefix = \"127.0.4.0/24\"\nnsg = \"data-nsg\"\n\n[[vnet.subnet]]\nname = \"far\"\n\
                  prefix = \"198.51.100.64/26\"\nnsg = \"data-nsg\"\n";
    lab.change("prefix = \"127.0.2.0/24\"\nnsg = \"data-nsg\"\n", second);
    let by_firewall = "{ name = \"far\", prefix = \"198.51.100.64/26\", next_hop = \"VirtualAppliance\", \
                       next_hop_address = \"127.0.3.4\" },\n    { name = \"more\", prefix = \"127.0.4.0/24\", \
                       next_hop = \"VirtualAppliance\", next_hop_address = \"127.0.3.4\" },\n    { name = \"nowhere\"";
    lab.change("{ name = \"nowhere\"", by_firewall);
    let out = "web-nsg/AllowVnetOutBound VirtualAppliance data-nsg/closed";
    for to in ["198.51.100.70:22", "db.lab:22", "own.lab:22"] {
        let (client, _, record) = lab.connect(WEB, to);
        assert_eq!((verdict(&record).as_str(), by(&record["network"]).as_str()), ("deny nsg-denied", out), "{to}");
        let target = format!("tcp://{to}");
        let mut command = egret();
        command.current_dir(path.parent().unwrap()).args(["check", "--config"]).arg(lab.egret.path("egret.toml"));
        command.args(POLICY).args(&resolve).args(["--format=json", "--from", WEB, &target]);
        let answer: Value = serde_json::from_str(&finish(&mut command, "").out).unwrap();
        assert_eq!((verdict(&answer).as_str(), by(&answer["network"]).as_str()), ("deny nsg-denied", out), "{to}");
        let state = || {
            let all = read_vnet_flow(&lab.egret.path("vnet.log"));
            let denied = all.get("data-nsg UserRule_closed").into_iter().flatten();
            let mut mine = denied.filter(|tuple| tuple.from.port() == client.addr().port());
            mine.next().map(|tuple| format!("{} {}", tuple.direction, tuple.state))
        };
        assert_eq!(eventually("the flow log has it", state), "I D", "{to}");
        // The firewall let it through, and its own log says so.
        let at_firewall = || {
            let all = fs::read_to_string(lab.egret.path("azure.log")).unwrap();
            let mut records = all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let port = client.addr().port();
            let mine = records.find(|it| it["properties"]["SourcePort"] == port)?;
            let text = |field: &str| mine["properties"][field].as_str().unwrap_or_default().to_owned();
            Some(format!("{} {} {}", mine["category"].as_str().unwrap(), text("Action"), text("Rule")))
        };
        assert_eq!(eventually("the firewall's log has it", at_firewall), "AZFWNetworkRule Allow db", "{to}");
    }
}

const KEPT: &[&str] = &["--allow=http://keep.test", "--resolve=keep.test:198.51.100.7"];

fn keep() -> Vec<String> {
    KEPT.iter().map(ToString::to_string).collect()
}

/// Requests of one connection to one destination are one flow for a security group, which is stateful. To another address
/// it is another flow.
#[test]
fn a_connection_kept_alive_outlives_its_group() {
    for (profile, second) in [("azure", 200), ("strict", 403)] {
        let more =
            [keep(), vec!["--resolve=other.test:198.51.100.8".into(), "--allow=http://other.test".into()]].concat();
        let lab = Lab::before(Origin::http_ok(), profile, "", &more);
        let mut client = lab.client(WEB);
        let mut ask = |host: &str| {
            client.send(get(&format!("http://{host}/"), host));
            status_of(&client.answer().0)
        };
        assert_eq!(ask("keep.test"), 200);
        lab.change("ports = 25 }", "ports = [25, 80] }");
        assert_eq!(ask("keep.test"), second, "{profile}");
        assert_eq!(ask("keep.test"), second, "{profile}: again");
        assert_eq!(ask("other.test"), if profile == "azure" { 504 } else { 403 }, "{profile}: that one is new");
        let (_, _, record) = lab.connect(WEB, "198.51.100.7:80");
        assert_eq!(verdict(&record), "deny nsg-denied");
        let records = lab.egret.flows(client.addr(), 4);
        let said = |record: &Value| format!("{} {}", verdict(record), by(&record["network"]));
        let first = "allow application-rule web-nsg/AllowInternetOutBound VirtualAppliance -";
        let denied = "deny nsg-denied web-nsg/no-smtp - -";
        let runs = if profile == "azure" { first } else { denied };
        assert_eq!(records.iter().map(said).collect::<Vec<_>>(), [first, runs, runs, denied]);
    }
}

/// Heads are payload too: of plain HTTP flow logs of networks count what Egret wrote and read.
#[test]
fn flow_logs_count_heads() {
    let sinks = "log.flow_log_every = \"100ms\"\nlog.sink = [{ target = \"vnet.log\", format = \"vnet-flow\" }]\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Y: z\r\n\r\n";
    let origin = Origin::http(move |_| format!("{head}hello").into_bytes());
    let lab = Lab::before(origin, "azure", sinks, &keep());
    let mut client = lab.client(WEB);
    client.send("POST http://keep.test/a?b HTTP/1.1\r\nHost: keep.test\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.answer().1, "hello");
    let close = lab.egret.close(client.addr());
    assert_eq!((&close["bytes_up"], &close["bytes_down"]), (&3.into(), &5.into()), "bodies alone: {close}");
    let end = eventually("the flow log has its end", || {
        let all = read_vnet_flow(&lab.egret.path("vnet.log"));
        all.into_values().flatten().find(|tuple| tuple.state == "E")
    });
    let sent = lab.origin.wait_noted(1).remove(0);
    assert!(sent.starts_with("POST /a?b HTTP/1.1\r\n"), "{sent}");
    assert_eq!((end.counts[1], end.counts[3]), (sent.len() as u64, (head.len() + 5) as u64), "{sent}");
}

/// In the strict profile nobody is told of a name that the firewall denies, wherever its address might lead.
#[test]
fn a_denied_name_is_no_question_to_dns() {
    for (profile, lookups) in [("azure", "1"), ("strict", "0")] {
        let lab = Lab::new(profile, &format!("dns.servers = [\"{}\"]\n", free_addr()));
        let (_, _, record) = lab.connect(WEB, "secret.exfil.test:443");
        assert_eq!(verdict(&record), "deny not-allowed");
        let metrics = lab.egret.get("/metrics").body;
        let counted = metrics.lines().find_map(|line| line.strip_prefix("egret_dns_lookups_total "));
        assert_eq!(counted, Some(lookups), "{profile}");
    }
}

/// On a laptop everybody is at 127.0.0.1. The stand-in is 127.0.1.4, the first that a subnet of 127.0.1.0/24 gives out.
#[test]
fn clients_of_this_machine_count_as_a_subnets() {
    let settings = "client_subnet = \"WEB\"\nlog.flow_log_every = \"100ms\"\n\
                    log.sink = [{ target = \"vnet.log\", format = \"vnet-flow\" }]\n";
    let rule = "[[rule_collection_group]]\nname = \"g\"\npriority = 200\nrule_collection = [{ name = \"net\", priority = 100, \
                type = \"network\", action = \"allow\", rule = [{ name = \"of-web\", source_addresses = \"127.0.1.4\", \
                ip_protocols = \"TCP\", destination_addresses = \"198.51.100.7\", destination_ports = \"9001\" }] }]\n";
    let lab = Lab::new("azure", &format!("{settings}{rule}"));
    let path = lab.folder.path().join("vnet.toml");
    let said = |client: &Client, record: Value| {
        assert_eq!(record["client"], client.addr().to_string(), "the log has its own address");
        (verdict(&record), by(&record["network"]))
    };
    let by_rule = Case { to: "198.51.100.7:9001", ..CASES[0] };
    for Case { to, verdict: expected, by: who, .. } in CASES.iter().filter(|case| case.from == WEB).chain([&by_rule]) {
        let (client, _, record) = lab.connect(NOWHERE, to);
        assert_eq!(said(&client, record), ((*expected).to_owned(), (*who).to_owned()), "{to}");
        if to.contains("test") || *to == by_rule.to {
            continue;
        }
        for args in
            [&["--client-subnet=web"][..], &["--client-subnet=lab-vnet/web", "--from=127.0.0.1"], &["--from=Web"]]
        {
            let answer = check(&path, &[args, &["--format=json", &format!("tcp://{to}")]].concat());
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(
                (verdict(&answer).as_str(), by(&answer["network"]).as_str()),
                (*expected, *who),
                "{args:?} {to}"
            );
        }
    }
    let (_, _, elsewhere) = lab.connect("127.0.2.7", "198.51.100.7:25");
    assert_eq!(elsewhere["network"]["subnet"], "data", "who is in a subnet stays there: {elsewhere:#}");
    let tuples = || read_vnet_flow(&lab.egret.path("vnet.log"));
    let denied = eventually("the flow log has it", || tuples().remove("web-nsg UserRule_no-smtp"));
    assert_eq!(denied[0].from.ip().to_string(), "127.0.1.4");
}

/// A security group is stateful: what runs goes on. A route is not.
#[test]
fn a_reloaded_topology() {
    for (profile, survives) in [("azure", true), ("strict", false)] {
        let lab = Lab::new(profile, "");
        let (mut running, ..) = lab.connect(WEB, "198.51.100.7:443");
        assert_eq!(running.bytes(5), b"hello");
        lab.change("ports = 25 }", "ports = [25, 443] }");
        let (_, _, record) = lab.connect(WEB, "198.51.100.7:443");
        assert_eq!(verdict(&record), "deny nsg-denied");
        if survives {
            running.send("again");
            assert_eq!(running.bytes(5), b"again");
        } else {
            assert_eq!(running.rest(), (Vec::new(), End::Reset));
            assert_eq!(lab.egret.close(running.addr())["reason"], "policy-changed");
        }
        lab.change("ports = [25, 443] }", "ports = 25 }");
        let (mut running, ..) = lab.connect(WEB, "198.51.100.7:443");
        assert_eq!(running.bytes(5), b"hello");
        lab.change("prefix = \"203.0.113.0/24\"", "prefix = \"198.51.100.0/25\"");
        assert_eq!(running.rest(), (Vec::new(), End::Reset));
        assert_eq!(lab.egret.close(running.addr())["reason"], "policy-changed");
        let (_, _, record) = lab.connect(WEB, "198.51.100.7:443");
        assert_eq!(verdict(&record), "deny no-route");
    }
}

/// An editor may be seen in the middle of its work: an empty file is refused, and what is gone is told.
#[test]
fn half_a_file_opens_nothing_in_silence() {
    let lab = Lab::new("azure", "");
    let path = lab.folder.path().join("vnet.toml");
    fs::write(&path, "").unwrap();
    let record = lab.egret.reload(&lab.config);
    let error = record["error"].as_str().unwrap_or_default();
    assert!(error.contains("there is no virtual network in the topology"), "{record:#}");
    assert_eq!(verdict(&lab.connect(WEB, "198.51.100.7:25").2), "deny nsg-denied");
    let (before, after) = TOPOLOGY.split_once("[[vnet.subnet]]\nname = \"data\"").unwrap();
    let rest = after.split_once("\n\n").unwrap().1;
    fs::write(&path, format!("{before}{rest}")).unwrap();
    assert_eq!(lab.egret.reload(&lab.config)["ok"], true);
    let warning = "the topology holds no longer: subnet lab-vnet/data";
    eventually("the warning is told", || lab.egret.stderr().contains(warning).then_some(()));
}

/// A pipe in a file's place is waited for, not for ever.
#[test]
fn a_pipe_is_no_topology() {
    let lab = Lab::new("azure", "");
    let path = lab.folder.path().join("vnet.toml");
    fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let record = lab.egret.reload(&lab.config);
    let error = record["error"].as_str().unwrap_or_default();
    assert!(error.contains("nothing came of it within 10 s"), "{record:#}");
    fs::remove_file(&path).unwrap();
    fs::write(&path, TOPOLOGY.replacen("ports = 25 }", "ports = [25, 443] }", 1)).unwrap();
    assert_eq!(lab.egret.reload(&lab.config)["ok"], true);
    assert_eq!(verdict(&lab.connect(WEB, "198.51.100.7:443").2), "deny nsg-denied");
}

/// Metrics count by reason, `/v1/flows` shows what the log has, and the end says how many went past.
#[test]
fn whoever_asks_is_told() {
    let lab = Lab::new("azure", "");
    for to in ["198.51.100.7:25", "203.0.113.7:443", "198.51.100.200:9999"] {
        drop(lab.connect(WEB, to));
    }
    let flows: Value = serde_json::from_str(&lab.egret.get("/v1/flows?reason=nsg-denied").body).unwrap();
    assert_eq!(by(&flows["flows"][0]["network"]), "web-nsg/no-smtp - -", "{flows:#}");
    let metrics = lab.egret.get("/metrics").body;
    for reason in ["nsg-denied", "no-route"] {
        let counted = |line: &&str| line.contains("egret_flows_total{") && line.contains(&format!("\"{reason}\""));
        assert!(metrics.lines().any(|line| counted(&line) && line.ends_with(" 1")), "{reason} in {metrics}");
    }
    let Lab { mut egret, .. } = lab;
    egret.signal("TERM");
    assert!(egret.wait().success());
    let end = egret.records(|record| record["kind"] == "end").remove(0);
    assert_eq!((&end["counts"]["denied"], &end["counts"]["bypassed"]), (&2.into(), &1.into()), "{end:#}");
}

/// A tuple of a VNet flow log, read as its consumers do: thirteen fields, by their places.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tuple {
    from: SocketAddr,
    to: SocketAddr,
    protocol: String,
    direction: String,
    state: String,
    /// Packets and bytes sent, packets and bytes received.
    counts: Vec<u64>,
}

impl Tuple {
    fn read(text: &str) -> Tuple {
        let fields: Vec<&str> = text.split(',').collect();
        let [at, from, to, from_port, to_port, protocol, direction, state, encryption, counts @ ..] = &fields[..]
        else {
            panic!("too few fields: {text}");
        };
        assert!(at.len() == 13 && at.parse::<u64>().is_ok(), "milliseconds: {text}");
        assert!(["I", "O"].contains(direction) && ["B", "C", "E", "D"].contains(state), "{text}");
        assert_eq!((*encryption, counts.len()), ("NX", 4), "{text}");
        let address = |ip: &str, port: &str| SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap());
        Tuple {
            from: address(from, from_port),
            to: address(to, to_port),
            protocol: (*protocol).to_owned(),
            direction: (*direction).to_owned(),
            state: (*state).to_owned(),
            counts: counts.iter().map(|count| count.parse().unwrap()).collect(),
        }
    }
}

/// The whole file as a reader of version 4 sees it: rule by rule, the tuples in their order.
fn read_vnet_flow(path: &Path) -> BTreeMap<String, Vec<Tuple>> {
    let mut found: BTreeMap<String, Vec<Tuple>> = BTreeMap::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&record["flowLogVersion"], &record["category"], &record["operationName"]),
            (&4.into(), &"FlowLogFlowEvent".into(), &"FlowLogFlowEvent".into())
        );
        let scope = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.Network";
        assert_eq!(record["targetResourceID"], format!("{scope}/virtualNetworks/lab-vnet"));
        assert!(record["flowLogResourceID"].as_str().unwrap().ends_with("/FLOWLOGS/LAB-VNET-FLOWLOG"));
        assert_eq!(record["flowLogGUID"].as_str().unwrap().len(), 36);
        assert_eq!(record["macAddress"].as_str().unwrap().len(), 12);
        for flow in record["flowRecords"]["flows"].as_array().unwrap() {
            let acl = flow["aclID"].as_str().unwrap().replace(&format!("{scope}/networkSecurityGroups/"), "");
            for group in flow["flowGroups"].as_array().unwrap() {
                let tuples = group["flowTuples"].as_array().unwrap().iter().map(|it| Tuple::read(it.as_str().unwrap()));
                let rule = format!("{acl} {}", group["rule"].as_str().unwrap());
                found.entry(rule).or_default().extend(tuples);
            }
        }
    }
    found
}

#[test]
fn flow_logs_of_the_network() {
    let sinks = "log.flow_log_every = \"100ms\"\nlog.sink = [{ target = \"vnet.log\", format = \"vnet-flow\" }, \
                 { target = \"nsg.log\", format = \"nsg-flow\" }, { target = \"azure.log\", format = \"azure\" }]\n";
    let lab = Lab::new("azure", sinks);
    let (denied, ..) = lab.connect(WEB, "198.51.100.7:25");
    let (by_firewall, ..) = lab.connect(WEB, "198.51.100.7:8080");
    let (at_data, ..) = lab.connect(WEB, "127.0.2.7:22");
    let (nobody, ..) = lab.connect(NOWHERE, "198.51.100.7:443");
    let (mut past, ..) = lab.connect(WEB, "198.51.100.200:9999");
    assert_eq!(past.bytes(5), b"hello");
    let vnet_log: PathBuf = lab.egret.path("vnet.log");
    let of = |client: SocketAddr| {
        let all = read_vnet_flow(&vnet_log);
        let mine = all.iter().flat_map(|(rule, tuples)| tuples.iter().map(move |tuple| (rule.clone(), tuple.clone())));
        mine.filter(|(_, tuple)| tuple.from == client).collect::<Vec<_>>()
    };
    eventually("it goes on", || of(past.addr()).iter().any(|(_, tuple)| tuple.state == "C").then_some(()));
    past.send("hello");
    assert_eq!(past.bytes(5), b"hello");
    past.finish();
    past.rest();
    let past_addr = past.addr();
    lab.egret.close(past_addr);
    let addrs = [denied.addr(), by_firewall.addr(), at_data.addr(), nobody.addr()];
    drop((denied, by_firewall, at_data, nobody, past));
    let Lab { mut egret, .. } = lab;
    egret.signal("TERM");
    assert!(egret.wait().success());

    let states = |client: SocketAddr| -> Vec<String> {
        let shown =
            |(rule, tuple): (String, Tuple)| format!("{rule} {} {} {}", tuple.protocol, tuple.direction, tuple.state);
        of(client).into_iter().map(shown).collect()
    };
    let allowed = "web-nsg DefaultRule_AllowInternetOutBound 6 O";
    assert_eq!(states(addrs[0]), ["web-nsg UserRule_no-smtp 6 O D"]);
    assert_eq!(states(addrs[1]), [format!("{allowed} B"), format!("{allowed} E")]);
    let expected = [
        "data-nsg UserRule_closed 6 I D",
        "web-nsg DefaultRule_AllowVnetOutBound 6 O B",
        "web-nsg DefaultRule_AllowVnetOutBound 6 O E",
    ];
    assert_eq!(states(addrs[2]), expected);
    assert_eq!(states(addrs[3]), [""; 0], "in no subnet");
    let tuples: Vec<Tuple> = of(past_addr).into_iter().map(|(_, tuple)| tuple).collect();
    assert_eq!((tuples.first().unwrap().state.as_str(), tuples.last().unwrap().state.as_str()), ("B", "E"));
    assert_eq!(tuples[0].to, "198.51.100.200:9999".parse().unwrap());
    let sum = |at: usize| tuples.iter().map(|tuple| tuple.counts[at]).sum::<u64>();
    assert_eq!((sum(1), sum(3)), (10, 10), "each byte once: {tuples:?}");

    let nsg = fs::read_to_string(egret.path("nsg.log")).unwrap();
    let records: Vec<Value> = nsg.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!records.is_empty());
    for record in &records {
        assert_eq!(
            (&record["category"], &record["properties"]["Version"]),
            (&"NetworkSecurityGroupFlowEvent".into(), &2.into())
        );
    }
    let rule = |record: &Value| record["properties"]["flows"].as_array().unwrap().clone();
    let smtp = records.iter().flat_map(rule).find(|flows| flows["rule"] == "UserRule_no-smtp").unwrap();
    let tuple = smtp["flows"][0]["flowTuples"][0].as_str().unwrap();
    assert!(tuple.ends_with(&format!(",127.0.1.5,198.51.100.7,{},25,T,O,D,B,,,,", addrs[0].port())), "{tuple}");
    assert_eq!(tuple.split(',').count(), 13);

    // The firewall's own log has what came to it, and nothing else.
    let azure = fs::read_to_string(egret.path("azure.log")).unwrap();
    let ports: Vec<u64> = azure
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["properties"]["SourcePort"].as_u64().unwrap())
        .collect();
    assert_eq!(ports, [u64::from(addrs[1].port()), u64::from(addrs[3].port())], "{azure}");
}

/// What was denied is written when any other log has it, though allowed flows wait for their minute.
#[test]
fn a_killed_process_loses_no_denied_flow() {
    let sinks = "log.sink = [{ target = \"vnet.log\", format = \"vnet-flow\" }, \
                 { target = \"nsg.log\", format = \"nsg-flow\" }]\n";
    let lab = Lab::new("azure", sinks);
    let (at_data, ..) = lab.connect(WEB, "127.0.2.7:22");
    let (denied, ..) = lab.connect(WEB, "198.51.100.7:25");
    let (vnet_log, nsg_log) = (lab.egret.path("vnet.log"), lab.egret.path("nsg.log"));
    let is_written = |addr: SocketAddr| {
        let tuple = format!(",{},{},", addr.port(), if addr == denied.addr() { 25 } else { 22 });
        [&vnet_log, &nsg_log].iter().all(|log| fs::read_to_string(log).unwrap().contains(&tuple))
    };
    eventually("both are written", || (is_written(denied.addr()) && is_written(at_data.addr())).then_some(()));
    let Lab { mut egret, .. } = lab;
    egret.signal("KILL");
    assert!(!egret.wait().success());
    let tuples = read_vnet_flow(&vnet_log);
    let rules: Vec<(&str, &str)> =
        tuples.iter().flat_map(|(rule, all)| all.iter().map(|it| (rule.as_str(), it.state.as_str()))).collect();
    assert_eq!(rules, [("data-nsg UserRule_closed", "D"), ("web-nsg UserRule_no-smtp", "D")]);
}

#[cfg(target_os = "linux")]
mod behind_a_gateway {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::super::clients::is_here;
    use super::super::icmp::Ping;
    use super::super::support::DEADLINE;
    use super::super::support::command::{BINARY, clean};
    use super::super::support::gateway::Gateway;
    use super::super::support::hello::Tls;
    use super::super::support::netns::HandOver;
    use super::super::support::origin::{GREETING, greeter, tls, tls_configs};
    use super::*;

    /// The clients' network, and what is beyond it: .7 is behind the firewall, .8 past it, .9 denied.
    const AROUND: &str = r#"
name = "lab"
virtual_network_tag = "routes"

[[vnet]]
name = "lab-vnet"
address_space = ["192.0.2.0/24"]

[[vnet.subnet]]
name = "web"
prefix = "192.0.2.0/25"
nsg = "web-nsg"
route_table = "to-firewall"
service_endpoints = ["Microsoft.Storage"]

[[vnet.subnet]]
name = "AzureFirewallSubnet"
prefix = "192.0.2.128/26"

[[nsg]]
name = "web-nsg"
rule = [
    { name = "no-smtp", priority = 100, direction = "Outbound", access = "Deny", protocol = "Tcp", ports = 25 },
    { name = "no-nine", priority = 110, direction = "Outbound", access = "Deny", destination = "198.51.100.9" },
    { name = "no-dns", priority = 120, direction = "Outbound", access = "Deny", protocol = "Udp", ports = 5353 },
]

[[route_table]]
name = "to-firewall"
route = [
    { name = "nowhere", prefix = "203.0.113.0/24", next_hop = "None" },
    { name = "direct", prefix = "198.51.100.8/32", next_hop = "Internet" },
    { name = "default", prefix = "0.0.0.0/0", next_hop = "VirtualAppliance", next_hop_address = "192.0.2.132" },
]

[firewall]
private_address = "192.0.2.132"
"#;

    const FLAGS: &[&str] = &[
        "--allow=tcp://198.51.100.0/24:25",
        "--allow=udp://198.51.100.7:5000-6000",
        "--allow=https://ok.test",
        "--resolve=ok.test:198.51.100.7",
    ];

    fn config(folder: &TempDir, rest: &str) -> String {
        let path = folder.path().join("vnet.toml");
        fs::write(&path, AROUND).unwrap();
        format!("topology = [{:?}]\n{rest}", path.display().to_string())
    }

    fn flow(gateway: &Gateway, client: SocketAddr) -> (String, String) {
        let record = gateway.egret.flows(client, 1).remove(0);
        (verdict(&record), by(&record["network"]))
    }

    fn says(verdict: &str, by: &str) -> (String, String) {
        (verdict.to_owned(), by.to_owned())
    }

    const DEFAULT: &str = "web-nsg/AllowInternetOutBound";

    /// Also on ports where the firewall would have looked into it.
    #[test]
    fn what_a_group_or_a_route_drops_is_silent() {
        let folder = tempfile::tempdir().unwrap();
        Gateway::both(&config(&folder, ""), FLAGS, |gateway| {
            for (to, verdict, who) in [
                ("198.51.100.7:25", "deny nsg-denied", "web-nsg/no-smtp - -".to_owned()),
                ("198.51.100.9:443", "deny nsg-denied", "web-nsg/no-nine - -".to_owned()),
                ("203.0.113.9:443", "deny no-route", format!("{DEFAULT} None -")),
            ] {
                let mut client = gateway.net.connect(to);
                assert!(client.is_silent_for(Duration::from_millis(200)), "{to}");
                assert_eq!(flow(gateway, client.addr()), says(verdict, &who), "{to}");
            }
        });
        let reset = config(&folder, "gateway.denied_tcp = \"reset\"\n");
        Gateway::both(&reset, FLAGS, |gateway| {
            let client = gateway.net.assert_reset("198.51.100.9:443", "");
            assert_eq!(flow(gateway, client), says("deny nsg-denied", "web-nsg/no-nine - -"));
        });
    }

    /// The firewall allows nothing of it, and is not asked. No hello is waited for.
    #[test]
    fn a_route_leads_past_the_firewall() {
        let folder = tempfile::tempdir().unwrap();
        Gateway::both(&config(&folder, ""), FLAGS, |gateway| {
            for to in ["198.51.100.8:2222", "198.51.100.8:443"] {
                let _origin = gateway.net.origin(to, greeter);
                let mut client = gateway.net.connect(to);
                assert_eq!(client.bytes(GREETING.len()), GREETING);
                let expected = says("allow routed-past-firewall", &format!("{DEFAULT} Internet -"));
                assert_eq!(flow(gateway, client.addr()), expected);
                client.finish();
                client.rest();
                assert_eq!(gateway.egret.close(client.addr())["bytes_down"], GREETING.len());
            }
        });
    }

    /// An endpoint's route comes before the user's own for the same prefix, whatever the port.
    #[test]
    fn a_service_endpoint_leads_past_the_firewall() {
        let folder = tempfile::tempdir().unwrap();
        let tags = folder.path().join("tags.json");
        let storage = r#"{"values": [{"name": "Storage", "properties": {"addressPrefixes": ["198.51.100.8/32"]}}]}"#;
        fs::write(&tags, storage).unwrap();
        let tags = format!("service_tags = {:?}\n", tags.display().to_string());
        Gateway::both(&config(&folder, &tags), FLAGS, |gateway| {
            for to in ["198.51.100.8:445", "198.51.100.8:443"] {
                let _origin = gateway.net.origin(to, greeter);
                let mut client = gateway.net.connect(to);
                assert_eq!(client.bytes(GREETING.len()), GREETING);
                let expected = says("allow service-endpoint", &format!("{DEFAULT} VirtualNetworkServiceEndpoint -"));
                assert_eq!(flow(gateway, client.addr()), expected, "{to}");
            }
            let mut client = gateway.net.connect("198.51.100.8:25");
            assert!(client.is_silent_for(Duration::from_millis(200)));
            assert_eq!(flow(gateway, client.addr()), says("deny nsg-denied", "web-nsg/no-smtp - -"));
        });
    }

    /// No group has ports for it.
    #[test]
    fn echo_requests_too() {
        let folder = tempfile::tempdir().unwrap();
        let flags = [FLAGS, &["--allow=icmp://198.51.100.7", "--allow=icmp://198.51.100.9"]].concat();
        let Some(gateway) = Gateway::start(HandOver::Tproxy, &config(&folder, ""), &flags) else { return };
        for (to, verdict, who) in [
            ("198.51.100.7", "allow network-rule", format!("{DEFAULT} VirtualAppliance -")),
            ("198.51.100.8", "allow routed-past-firewall", format!("{DEFAULT} Internet -")),
            ("198.51.100.9", "deny nsg-denied", "web-nsg/no-nine - -".to_owned()),
            ("203.0.113.9", "deny no-route", format!("{DEFAULT} None -")),
        ] {
            let ping = Ping::new(&gateway.net, to);
            if verdict.starts_with("allow") {
                ping.assert_answered(to, 1, b"through");
            } else {
                ping.send(to, 1, b"anybody there?");
            }
            assert_eq!(flow(&gateway, ping.client), says(verdict, &who), "{to}");
        }
    }

    /// What the group sees is the address that was dialled, not where the name leads.
    #[test]
    fn a_name_does_not_hide_the_address() {
        let folder = tempfile::tempdir().unwrap();
        let (server, client_config) = tls_configs(&["ok.test"], &[]);
        Gateway::both(&config(&folder, ""), FLAGS, |gateway| {
            let _origin = gateway.net.origin("198.51.100.7:443", tls(server.clone()));
            let client = gateway.net.connect("198.51.100.77:443");
            let mut tls = Tls::new(&client.stream, &client_config, "ok.test");
            assert_eq!(tls.echo("through").unwrap(), "through");
            let expected = says("allow application-rule", &format!("{DEFAULT} VirtualAppliance -"));
            assert_eq!(flow(gateway, client.addr()), expected);
            let client = gateway.net.connect("198.51.100.9:443");
            assert_eq!(flow(gateway, client.addr()), says("deny nsg-denied", "web-nsg/no-nine - -"));
        });
    }

    #[test]
    fn datagrams_too() {
        let folder = tempfile::tempdir().unwrap();
        let Some(gateway) = Gateway::start(HandOver::Tproxy, &config(&folder, ""), FLAGS) else { return };
        let origin = gateway.net.origin.enter(|| UdpSocket::bind("0.0.0.0:5353").unwrap());
        let other = gateway.net.origin.enter(|| UdpSocket::bind("0.0.0.0:5354").unwrap());
        for socket in [&origin, &other] {
            socket.set_read_timeout(Some(DEADLINE)).unwrap();
        }
        let send = |to: &str| {
            let socket = gateway.net.client.enter(|| UdpSocket::bind("192.0.2.10:0").unwrap());
            socket.send_to(b"hello", to).unwrap();
            flow(&gateway, socket.local_addr().unwrap())
        };
        assert_eq!(send("198.51.100.7:5353"), says("deny nsg-denied", "web-nsg/no-dns - -"));
        assert_eq!(send("203.0.113.9:5354"), says("deny no-route", &format!("{DEFAULT} None -")));
        let by_rule = says("allow network-rule", &format!("{DEFAULT} VirtualAppliance -"));
        assert_eq!(send("198.51.100.7:5354"), by_rule);
        let past = says("allow routed-past-firewall", &format!("{DEFAULT} Internet -"));
        assert_eq!(send("198.51.100.8:5354"), past);
        let mut buffer = [0; 16];
        for _ in 0..2 {
            assert_eq!(other.recv(&mut buffer).unwrap(), 5);
        }
        origin.set_nonblocking(true).unwrap();
        assert!(origin.recv(&mut buffer).is_err(), "what was denied did not arrive");
    }

    /// Where a group at its target denies it, nobody dials what was translated.
    #[test]
    fn a_dnat_rule_leads_to_a_group_that_denies() {
        let folder = tempfile::tempdir().unwrap();
        let data = "[[vnet.subnet]]\nname = \"data\"\nprefix = \"198.51.100.64/26\"\nnsg = \"data-nsg\"\n\n\
                    [[nsg]]\nname = \"data-nsg\"\nrule = [{ name = \"closed\", priority = 100, \
                    direction = \"Inbound\", access = \"Deny\" }]\n\n[[nsg]]";
        let around = AROUND.replacen("[[nsg]]", data, 1);
        let around = around.replacen("\"192.0.2.0/24\"]", "\"192.0.2.0/24\", \"198.51.100.64/26\"]", 1);
        let policy = "name = \"lab\"\nrule_collection_group = [{ name = \"g\", priority = 100, rule_collection = [\n\
                      { name = \"in\", priority = 100, type = \"dnat\", rule = [{ name = \"lead\", \
                      ip_protocols = \"TCP\", destination_addresses = [\"198.51.100.7\"], destination_ports = 2222, \
                      translated_address = \"198.51.100.70\", translated_port = 22 }] }] }]\n";
        let config = format!("{}{policy}", config(&folder, ""));
        fs::write(folder.path().join("vnet.toml"), around).unwrap();
        Gateway::both(&config, &["--allow=tcp://198.51.100.7:2222"], |gateway| {
            let origin = gateway.net.origin("198.51.100.7:2222", greeter);
            let mut client = gateway.net.connect("198.51.100.7:2222");
            assert!(client.is_silent_for(Duration::from_millis(200)));
            let by = "web-nsg/AllowInternetOutBound VirtualAppliance data-nsg/closed";
            assert_eq!(flow(gateway, client.addr()), says("deny nsg-denied", by));
            assert_eq!(origin.connections(), 0);
        });
    }

    /// A command of `egret run` has an address of the subnet, and its report says what denied it.
    #[test]
    fn a_command_that_is_run() {
        let folder = tempfile::tempdir().unwrap();
        config(&folder, "");
        if !is_here("curl", &["--version"]) {
            return;
        }
        for from in [&["--from", "192.0.2.10"][..], &["--from", "web"], &["--client-subnet", "lab-vnet/web"]] {
            report_of_smtp(folder.path(), from);
        }
    }

    /// It has an address of the other family too, which is in no subnet: it is no way round.
    #[test]
    fn a_command_that_is_run_and_its_other_address() {
        let folder = tempfile::tempdir().unwrap();
        config(&folder, "");
        if !is_here("curl", &["--version"]) {
            return;
        }
        let mut command = clean(BINARY);
        command.current_dir(folder.path()).args(["run", "--topology", "vnet.toml", "--from", "192.0.2.10"]);
        command.args(FLAGS).args(["--allow", "[2001:db8::25]:8025", "--report", "report.json", "--"]);
        command.args(["curl", "--silent", "--max-time", "2", "http://[2001:db8::25]:8025/"]);
        let answer = finish(&mut command, "");
        let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
        let line = &report["unexpected"]["targets"][0];
        assert_eq!(line["reason"], "no-route", "{report:#}\n{}", answer.err);
    }

    fn report_of_smtp(folder: &Path, from: &[&str]) {
        let mut command = clean(BINARY);
        command.current_dir(folder).args(["run", "--topology", "vnet.toml"]).args(from);
        command.args(FLAGS).args(["--report", "report.json", "--"]);
        command.args(["curl", "--silent", "--max-time", "2", "http://198.51.100.7:25/"]);
        let answer = finish(&mut command, "");
        assert!(answer.err.contains("nsg-denied  web-nsg/no-smtp"), "{}", answer.err);
        let report: Value = serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
        let line = &report["unexpected"]["targets"][0];
        assert_eq!(
            (&line["reason"], &line["network"]),
            (&"nsg-denied".into(), &"web-nsg/no-smtp".into()),
            "{report:#}"
        );
        assert!(line["mend"].is_null(), "no flag of the firewall's helps: {line}");
    }
}
