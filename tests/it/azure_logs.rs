//! Azure's log formats, as the binary writes them of real flows: every structured record has the columns of its table,
//! and every legacy line is read by the parsers that Azure's own workbook and queries have for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use serde_json::Value;

use super::support::azure_tables::{assert_fits, tables};
use super::support::egret::Egret;
use super::support::free::free_addr;
use super::support::hello::Hello;
use super::support::origin::Origin;
use super::support::raw::{Client, connect, get};
use super::support::upstream::{Upstream, ask, question, with_addresses, with_soa};
use super::support::{DEADLINE, eventually};

/// Everything but threat intelligence, which has its own tests.
fn every_category() -> Vec<&'static str> {
    tables().into_keys().filter(|category| *category != "AZFWThreatIntel").collect()
}

/// Two more sinks, in Azure's formats, and the categories that they have.
fn sinks(categories: &[&str]) -> String {
    format!(
        "log.categories = {categories:?}\nlog.fat_flow_every = \"100ms\"\n\
         log.sink = [{{ target = \"azure.log\", format = \"azure\" }}, \
         {{ target = \"legacy.log\", format = \"azure-legacy\" }}]\n"
    )
}

const POLICY: &str = r#"
name = "lab"

[[rule_collection_group]]
name = "group"
priority = 100

[[rule_collection_group.rule_collection]]
name = "in"
priority = 100
type = "dnat"
rule = [
    { name = "lost", ip_protocols = "TCP", destination_addresses = ["192.0.2.1"], destination_ports = 8444, translated_fqdn = "lost.test", translated_port = 443 },
    { name = "shop", ip_protocols = "TCP", destination_addresses = ["192.0.2.1"], destination_ports = 8443, translated_address = "198.51.100.7", translated_port = 443 },
]

[[rule_collection_group.rule_collection]]
name = "net"
priority = 200
type = "network"
action = "allow"
rule = [
    { name = "gone", ip_protocols = "TCP", destination_fqdns = ["gone.test"], destination_ports = 22 },
    { name = "ssh", ip_protocols = "TCP", destination_addresses = ["198.51.100.9"], destination_ports = 22 },
    { name = "ping", ip_protocols = "ICMP", destination_addresses = ["198.51.100.7"], destination_ports = "*" },
]

[[rule_collection_group.rule_collection]]
name = "no-net"
priority = 300
type = "network"
action = "deny"
rule = [{ name = "no", ip_protocols = "TCP", destination_addresses = ["198.51.100.8"], destination_ports = 443 }]

[[rule_collection_group.rule_collection]]
name = "web"
priority = 400
type = "application"
action = "allow"
rule = [{ name = "ok", protocols = ["Http:80", "Https:443"], target_fqdns = ["ok.test"] }]
"#;

/// All complete lines of a log.
fn lines(egret: &Egret, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(egret.path(file)).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Structured records of a category with this value in a column, of which there has to be one.
fn record(egret: &Egret, category: &str, column: &str, value: impl Into<Value>) -> Value {
    let value = value.into();
    let mine = |record: &Value| record["category"] == category && record["properties"][column] == value;
    let found = eventually(&format!("a record of {category} with {column} {value}"), || {
        lines(egret, "azure.log").into_iter().find(mine)
    });
    found["properties"].clone()
}

/// The values of some columns, `Deny|Default Action||`.
fn shown(properties: &Value, columns: &[&str]) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    columns.iter().map(|column| text(&properties[*column])).collect::<Vec<_>>().join("|")
}

const RULE: [&str; 4] = ["Policy", "RuleCollectionGroup", "RuleCollection", "Rule"];

/// Ends it, and gives back what its two logs have.
fn ended(mut egret: Egret) -> (Vec<Value>, Vec<Value>) {
    egret.signal("TERM");
    assert!(egret.wait().success());
    (lines(&egret, "azure.log"), lines(&egret, "legacy.log"))
}

fn assert_tables(records: &[Value], expected: &[&str]) {
    records.iter().for_each(assert_fits);
    let written: BTreeSet<&str> = records.iter().map(|record| record["category"].as_str().unwrap()).collect();
    assert_eq!(written, expected.iter().copied().collect());
}

/// Egret as a proxy with a name server that knows one name, and an origin that echoes.
struct Lab {
    egret: Egret,
    names: Upstream,
    origin: Origin,
    dns: SocketAddr,
}

impl Lab {
    fn new() -> Lab {
        let names = Upstream::start(|reply, _| match reply.queries[0].name().to_ascii().as_str() {
            "found.test." => Some(with_addresses(reply, &[[192, 0, 2, 7].into()], 60)),
            _ => Some(with_soa(reply, ResponseCode::NXDomain, 60)),
        });
        let (origin, dns) = (Origin::echo(), free_addr());
        let flags = [names.flag(), format!("--dns={dns}"), format!("--connect-to=::{}", origin.addr)];
        let egret = Egret::with_config(&(sinks(&every_category()) + POLICY), &flags);
        Lab { egret, names, origin, dns }
    }

    /// The record of a client's flow.
    fn of(&self, client: SocketAddr, category: &str) -> Value {
        record(&self.egret, category, "SourcePort", client.port())
    }

    fn denied(&self, request: impl AsRef<[u8]>, category: &str) -> Value {
        self.of(client_of(&self.egret, request, 470), category)
    }

    fn assert_applications(&self) -> Client {
        let mut allowed = Client::tunnel(self.egret.addr, "ok.test:443");
        let hello = Hello::of("ok.test").bytes();
        allowed.send(&hello);
        assert_eq!(allowed.bytes(hello.len()), hello);
        let columns = ["Protocol", "DestinationPort", "Fqdn", "TargetUrl", "Action", "ActionReason"];
        let properties = self.of(allowed.addr(), "AZFWApplicationRule");
        assert_eq!(shown(&properties, &columns), "HTTPS|443|ok.test||Allow|");
        assert_eq!(shown(&properties, &RULE), "lab|group|web|ok");
        assert_eq!(shown(&properties, &["IsTlsInspected", "WebCategory", "IsExplicitProxyRequest"]), "false||true");
        let properties = self.denied(connect("evil.test:443"), "AZFWApplicationRule");
        assert_eq!(shown(&properties, &columns), "HTTPS|443|evil.test||Deny|Default Action");
        assert_eq!(shown(&properties, &RULE), "|||");
        let properties = self.denied(get("http://evil.test/a?secret", "evil.test"), "AZFWApplicationRule");
        assert_eq!(shown(&properties, &columns), "HTTP|80|evil.test|http://evil.test/a|Deny|Default Action");
        for host in ["evil.test", "ok.test:81"] {
            let properties = self.denied(get("http://ok.test/", host), "AZFWApplicationRule");
            assert_eq!(shown(&properties, &columns), "HTTP|80|ok.test||Deny|host-uri-mismatch", "{host}");
        }
        allowed
    }

    fn assert_networks(&self) {
        let columns = ["Protocol", "DestinationIp", "DestinationPort", "Action", "ActionReason", "Rule"];
        let properties = self.denied(connect("203.0.113.9:22"), "AZFWNetworkRule");
        assert_eq!(shown(&properties, &columns), "TCP|203.0.113.9|22|Deny|Default Action|");
        let properties = self.denied(connect("198.51.100.8:443"), "AZFWNetworkRule");
        assert_eq!(shown(&properties, &columns), "TCP|198.51.100.8|443|Deny||no");
        let ssh = Client::tunnel(self.egret.addr, "198.51.100.9:22");
        assert_eq!(self.of(ssh.addr(), "AZFWNetworkRule")["Rule"], "ssh");
    }

    fn assert_names(&self) {
        assert_eq!(ask(self.dns, &question("found.test.", RecordType::A)).answers.len(), 1);
        let properties = record(&self.egret, "AZFWDnsQuery", "QueryName", "found.test.");
        let columns =
            ["QueryType", "QueryClass", "Protocol", "DnssecOkBit", "EDNS0BufferSize", "ResponseCode", "ErrorNumber"];
        assert_eq!(shown(&properties, &columns), "A|IN|udp|false|512|NOERROR|0");
        for (fqdn, has_it) in [("gone.test", "lab|group|net|gone"), ("lost.test", "lab|group|in|lost")] {
            let properties = record(&self.egret, "AZFWFqdnResolveFailure", "Fqdn", fqdn);
            assert_eq!(shown(&properties, &RULE), has_it);
            let server = shown(&properties, &["ServerIp", "ServerPort"]);
            assert_eq!(server, self.names.addr.to_string().replace(':', "|"));
            let error = properties["Error"].as_str().unwrap();
            assert!(error.starts_with(&format!("lookup {fqdn} on {}: ", self.names.addr)), "{error}");
        }
    }

    /// Keeps this flow fast until it is told.
    fn assert_fat(&self, client: &mut Client) {
        let chunk = vec![7; 64 * 1024];
        let fat = eventually("a flow is fast", || {
            client.send(&chunk);
            client.bytes(chunk.len());
            lines(&self.egret, "azure.log").into_iter().find(|record| record["category"] == "AZFWFatFlow")
        });
        let columns = ["Protocol", "SourceIp", "SourcePort", "DestinationIp", "DestinationPort"];
        let ends = [client.addr(), self.origin.addr].map(|addr| format!("{}|{}", addr.ip(), addr.port()));
        assert_eq!(shown(&fat["properties"], &columns), format!("TCP|{}", ends.join("|")));
        assert!(fat["properties"]["FlowRate"].as_f64().unwrap() >= 1.0, "{fat}");
    }
}

#[test]
fn every_table_but_those_of_dnat() {
    let lab = Lab::new();
    lab.assert_names();
    lab.assert_networks();
    let mut allowed = lab.assert_applications();
    lab.assert_fat(&mut allowed);
    allowed.finish();
    allowed.rest();
    let client = allowed.addr();
    let (records, legacy) = ended(lab.egret);
    assert_traced(&records, client);
    let sums = of_category(&records, "AZFWNetworkRuleAggregation");
    let sums: BTreeSet<String> =
        sums.map(|sum| shown(sum, &["DestinationIp", "Action", "IsDefaultRule", "NetworkRuleCount"])).collect();
    let expected = ["198.51.100.8|Deny|false|1", "203.0.113.9|Deny|true|1"].map(str::to_owned);
    assert!(expected.iter().all(|sum| sums.contains(sum)), "{sums:?}");
    let by_dnat = ["AZFWNatRule", "AZFWNatRuleAggregation"];
    let rest: Vec<&str> = every_category().into_iter().filter(|category| !by_dnat.contains(category)).collect();
    assert_tables(&records, &rest);
    assert_legacy(&legacy, client);
}

/// A client that came, spoke, and said good-bye first.
fn assert_traced(records: &[Value], client: SocketAddr) {
    let port: Value = client.port().into();
    let of_client = |properties: &&Value| [&properties["SourcePort"], &properties["DestinationPort"]].contains(&&port);
    let traced: Vec<String> = of_category(records, "AZFWFlowTrace")
        .filter(of_client)
        .map(|properties| {
            let way = if properties["SourcePort"] == port { "up" } else { "down" };
            format!("{way} {}", shown(properties, &["Flag", "Action", "ActionReason"]))
        })
        .collect();
    let expected = ["down SYN-ACK", "up FIN", "down FIN-ACK"];
    assert_eq!(traced, expected.map(|packet| format!("{packet}|Log|Additional TCP Log")));
}

/// The legacy lines of the flows above.
fn assert_legacy(records: &[Value], allowed: SocketAddr) {
    let read: Vec<BTreeMap<&str, &str>> = records.iter().map(kql).collect();
    let with = |column: &str, value: &str| {
        let found = read.iter().find(|read| read.get(column) == Some(&value));
        found.unwrap_or_else(|| panic!("none with {column} {value}: {records:#?}"))
    };
    let port = allowed.port().to_string();
    let columns = |read: &BTreeMap<&str, &str>, names: &[&str]| -> String {
        names.iter().map(|name| read.get(name).copied().unwrap_or("-")).collect::<Vec<_>>().join("|")
    };
    let application = ["Protocol", "SourceIP", "FQDN", "TargetPort", "Action", "RuleCollection", "Rule"];
    assert_eq!(columns(with("SourcePort", &port), &application), "HTTPS|127.0.0.1|ok.test|443|Allow|web|ok");
    assert_eq!(columns(with("Url", "evil.test/a"), &application[..5]), "HTTP |127.0.0.1|evil.test|80|Deny");
    let disagrees = " to ok.test:80. Action: Deny. Reason: host-uri-mismatch";
    let mut texts = records.iter().map(|record| record["properties"]["msg"].as_str().unwrap());
    assert!(
        texts.any(|msg| msg.starts_with("HTTP  request from 127.0.0.1:") && msg.ends_with(disagrees)),
        "{records:#?}"
    );
    let network = ["Protocol", "TargetPort", "Action", "Policy", "RuleCollectionGroup", "RuleCollection", "Rule"];
    assert_eq!(columns(with("TargetIP", "203.0.113.9"), &network), "TCP|22|Deny|-|-|-|-");
    assert_eq!(columns(with("TargetIP", "198.51.100.8"), &network), "TCP|443|Deny.|lab|group|no-net|no");
    let dns = ["RequestType", "RequestClass", "protocol", "EDNSDO", "responseCode", "responseFlags"];
    assert_eq!(columns(with("hostname", "found.test"), &dns), "A|IN|udp|false|NOERROR|qr,rd,ra");
    assert_eq!(columns(with("FailedFQDN", "gone.test"), &["RuleCollection", "Rule"]), "lab:group:net|gone");
}

fn of_category<'a>(records: &'a [Value], category: &'a str) -> impl Iterator<Item = &'a Value> {
    records.iter().filter(move |record| record["category"] == category).map(|record| &record["properties"])
}

/// Sends a request that is refused with this status; from where.
fn client_of(egret: &Egret, request: impl AsRef<[u8]>, status: u16) -> SocketAddr {
    let mut client = Client::send_to(egret.addr, request);
    assert_eq!(client.status(), status);
    client.addr()
}

#[cfg(target_os = "linux")]
#[test]
fn dnat_and_echoes_through_the_gateway() {
    use super::icmp::Ping;
    use super::support::gateway::{Gateway, NOBODY};
    use super::support::netns::HandOver;
    use super::support::origin::greeter;
    let config = sinks(&every_category()) + POLICY;
    let Some(gateway) = Gateway::start(HandOver::Tproxy, &config, super::support::egret::NO_FLAGS) else { return };
    let Gateway { egret, net, .. } = gateway;
    let _origin = net.origin("198.51.100.7:443", greeter);
    let mut client = net.connect("192.0.2.1:8443");
    client.bytes(1);
    let properties = record(&egret, "AZFWNatRule", "SourcePort", client.addr().port());
    let columns = ["Protocol", "DestinationIp", "DestinationPort", "TranslatedIp", "TranslatedPort"];
    assert_eq!(shown(&properties, &columns), "TCP|192.0.2.1|8443|198.51.100.7|443");
    assert_eq!(shown(&properties, &RULE), "lab|group|in|shop");

    for (to, expected) in [("198.51.100.7", "Allow|ping"), (NOBODY, "Deny|")] {
        let ping = Ping::new(&net, to);
        ping.send(to, 1, b"payload");
        let properties = record(&egret, "AZFWNetworkRule", "DestinationIp", to);
        assert_eq!(shown(&properties, &["Protocol", "SourcePort", "DestinationPort"]), "ICMP Type=8|0|0");
        assert_eq!(shown(&properties, &["Action", "Rule"]), expected);
    }
    let missing = net.send("198.51.100.9:443", Hello::nameless().bytes());
    let properties = record(&egret, "AZFWApplicationRule", "SourcePort", missing.addr().port());
    let columns = ["Protocol", "Fqdn", "Action", "ActionReason", "IsExplicitProxyRequest"];
    assert_eq!(shown(&properties, &columns), "HTTPS||Deny|SNI TLS extension was missing.|false");

    let disagrees = [
        ("198.51.100.9:443", get("/", "ok.test"), "HTTP|443|ok.test|Deny|host-port-mismatch|false"),
        ("198.51.100.9:80", get("http://evil.test/", "ok.test"), "HTTP|80|evil.test|Deny|host-uri-mismatch|false"),
    ];
    for (to, request, expected) in disagrees {
        let client = net.send(to, request);
        let properties = record(&egret, "AZFWApplicationRule", "SourcePort", client.addr().port());
        let columns = ["Protocol", "DestinationPort", "Fqdn", "Action", "ActionReason", "IsExplicitProxyRequest"];
        assert_eq!(shown(&properties, &columns), expected);
    }

    drop(client);
    let (records, legacy) = ended(egret);
    records.iter().for_each(assert_fits);
    let sum = of_category(&records, "AZFWNatRuleAggregation").next().expect("a sum");
    assert_eq!(shown(sum, &["SourceIp", "TranslatedIp", "Rule", "NatRuleCount"]), "192.0.2.10|198.51.100.7|shop|1");
    let texts: Vec<&str> = legacy.iter().map(|line| line["properties"]["msg"].as_str().unwrap()).collect();
    let echo = "ICMP Type=8 request from 192.0.2.10:0 to 198.51.100.7:0. Action: Allow.. Policy: lab. Rule Collection \
                Group: group. Rule Collection: net. Rule: ping";
    assert!(texts.contains(&echo), "{texts:#?}");
    for (to, reason) in [("ok.test:443", "host-port-mismatch"), ("evil.test:80", "host-uri-mismatch")] {
        let ending = format!(" to {to}. Action: Deny. Reason: {reason}");
        assert!(texts.iter().any(|msg| msg.starts_with("HTTP  request") && msg.ends_with(&ending)), "{texts:#?}");
    }
    assert!(texts.contains(&"ICMP Type=8 request from 192.0.2.10:0 to 203.0.113.9:0. Action: Deny.."), "{texts:#?}");
    let read: Vec<BTreeMap<&str, &str>> = legacy.iter().map(kql).collect();
    let nat = read.iter().find(|read| read.contains_key("NatDestination")).expect("DNAT");
    assert_eq!((nat["Action"], nat["TargetIP"], nat["TargetPort"]), ("DNAT'ed", "192.0.2.1", "8443"));
    assert!(nat["NatDestination"].starts_with("198.51.100.7:443"), "{nat:?}");
}

/// What is not chosen is not written: by flag, by environment and by file.
#[test]
fn categories_are_chosen_by_name() {
    let origin = Origin::echo();
    let to = format!("--connect-to=::{}", origin.addr);
    let written = |config: &str, flags: &[&str]| {
        let usual = [to.as_str(), "--resolve=gone.test:192.0.2.9"];
        let egret = Egret::with_config(&(config.to_owned() + POLICY), &[&usual, flags].concat());
        client_of(&egret, connect("evil.test:443"), 470);
        client_of(&egret, connect("203.0.113.9:22"), 470);
        let (records, legacy) = ended(egret);
        [records, legacy].map(|records| {
            let categories = records.iter().map(|record| record["category"].as_str().unwrap().to_owned());
            categories.collect::<BTreeSet<String>>().into_iter().collect::<Vec<String>>().join(" ")
        })
    };
    let (both, lines) =
        ("AZFWApplicationRule AZFWNetworkRule", "AzureFirewallApplicationRule AzureFirewallNetworkRule");
    assert_eq!(written(&sinks(&[]), &[]), [both, lines]);
    assert_eq!(written(&sinks(&["azfwnetworkrule", "AZFWDnsQuery"]), &[]), ["AZFWNetworkRule", lines]);
    assert_eq!(written(&sinks(&["AzureFirewallDnsProxy"]), &[]), [both, ""]);
    let flags = ["--log-categories=AZFWNetworkRuleAggregation", "--log-categories=AzureFirewallNetworkRule"];
    assert_eq!(written(&sinks(&["AZFWDnsQuery"]), &flags), ["AZFWNetworkRuleAggregation", "AzureFirewallNetworkRule"]);
}

/// The columns that the workbook and the published queries parse out of a line.
fn kql(record: &Value) -> BTreeMap<&str, &str> {
    let msg = record["properties"]["msg"].as_str().unwrap();
    let operation = record["operationName"].as_str().unwrap();
    let read = match operation {
        "AzureFirewallNetworkRuleLog" | "AzureFirewallNatRuleLog" => network_columns(msg),
        "AzureFirewallApplicationRuleLog" => application_columns(msg),
        "AzureFirewallDnsProxyLog" => dns_columns(msg),
        "AzureFirewallDNSResolutionFailureLog" => failure_columns(msg),
        other => panic!("no operation of Azure's: {other}"),
    };
    read.unwrap_or_else(|| panic!("{operation} cannot be read: {msg}"))
}

type Columns<'a> = BTreeMap<&'static str, &'a str>;

/// KQL's `parse … with Column "literal" Column …`, in turn: each column ends where the next literal first stands. A
/// column `*` is passed over.
fn parse<'a>(text: &'a str, pattern: &[(&'static str, &str)], into: &mut Columns<'a>) -> Option<()> {
    let mut rest = text;
    for (column, literal) in pattern {
        let (value, after) = if literal.is_empty() { (rest, "") } else { rest.split_once(literal)? };
        if *column != "*" {
            into.insert(column, value);
        }
        rest = after;
    }
    Some(())
}

fn with_policy<'a>(msg: &'a str, into: &mut Columns<'a>) {
    let pattern = [("*", ". Policy: "), ("Policy", ". Rule Collection Group: "), ("RuleCollectionGroup", ". ")];
    // Where no rule decided, the line has none.
    let _ = parse(msg, &pattern, into);
    let _ = parse(msg, &[("*", ". Rule Collection: "), ("RuleCollection", ". Rule: "), ("Rule", "")], into);
}

/// `parse msg_s with Protocol " request from " SourceIP ":" SourcePort " to " TargetIP ":" TargetPort *`
fn network_columns(msg: &str) -> Option<Columns<'_>> {
    let mut into = Columns::new();
    let head = [("Protocol", " request from "), ("SourceIP", ":"), ("SourcePort", " to "), ("TargetIP", ":")];
    parse(msg, &head, &mut into)?;
    if msg.contains(" was ") {
        parse(
            msg,
            &[("*", " to "), ("*", ":"), ("TargetPort", " was "), ("Action", " to "), ("NatDestination", "")],
            &mut into,
        )?;
    } else {
        parse(msg, &[("*", " to "), ("*", ":"), ("TargetPort", ". Action: "), ("Action", "")], &mut into)?;
        let action = into["Action"];
        into.insert("Action", action.split_once(". ").map_or(action, |(action, _)| action));
    }
    with_policy(msg, &mut into);
    let (Ok(_), Ok(_)) = (into["SourcePort"].parse::<u16>(), into["TargetPort"].parse::<u16>()) else { return None };
    Some(into)
}

/// `parse msg_s with Protocol " request from " SourceIP ":" SourcePort " " Details`, and then of the details
/// `"to " FQDN ":" TargetPort ". Action: " Action "." *` or the same with a URL between.
fn application_columns(msg: &str) -> Option<Columns<'_>> {
    let mut into = Columns::new();
    let missing = ". Action: Deny. Reason: SNI TLS extension was missing.";
    let head = [("Protocol", " request from "), ("SourceIP", ":")];
    parse(msg, &head, &mut into)?;
    if msg.ends_with(missing) {
        parse(msg, &[("*", " request from "), ("*", ":"), ("SourcePort", ". ")], &mut into)?;
        return Some(into);
    }
    parse(msg, &[("*", " request from "), ("*", ":"), ("SourcePort", " to "), ("FQDN", ":")], &mut into)?;
    let action = ("Action", ".");
    if msg.contains(" Url: ") {
        parse(msg, &[("*", " to "), ("*", ":"), ("TargetPort", ". Url: "), ("Url", ". Action: "), action], &mut into)?;
    } else {
        parse(msg, &[("*", " to "), ("*", ":"), ("TargetPort", ". Action: "), action], &mut into)?;
    }
    with_policy(msg, &mut into);
    let (Ok(_), Ok(_)) = (into["SourcePort"].parse::<u16>(), into["TargetPort"].parse::<u16>()) else { return None };
    Some(into)
}

fn dns_columns(msg: &str) -> Option<Columns<'_>> {
    let mut into = Columns::new();
    if msg.starts_with(" Error: ") {
        parse(
            msg,
            &[("*", "Error: "), ("errorNumber", " "), ("hostname", ". "), ("RequestType", ": "), ("text", "")],
            &mut into,
        )?;
        return Some(into);
    }
    let pattern = [
        ("*", "DNS Request: "),
        ("ClientIP", ":"),
        ("ClientPort", " - "),
        ("QueryID", " "),
        ("RequestType", " "),
        ("RequestClass", " "),
        ("hostname", ". "),
        ("protocol", " "),
        ("requestSize", " "),
        ("EDNSDO", " "),
        ("EDNS0Buffersize", " "),
        ("responseCode", " "),
        ("responseFlags", " "),
        ("responseSize", " "),
        ("responseDuration", ""),
    ];
    parse(msg, &pattern, &mut into)?;
    let numbers = ["ClientPort", "QueryID", "requestSize", "EDNS0Buffersize", "responseSize"];
    let seconds = into["responseDuration"].strip_suffix('s')?.parse::<f64>().ok()?;
    (numbers.iter().all(|name| into[name].parse::<u32>().is_ok()) && seconds < DEADLINE.as_secs_f64()).then_some(into)
}

fn failure_columns(msg: &str) -> Option<Columns<'_>> {
    let mut into = Columns::new();
    let pattern = [
        ("*", "Failed to resolve FQDN "),
        ("FailedFQDN", ". Error "),
        ("Error", ". Rule Collection: "),
        ("RuleCollection", ". Rule: "),
        ("Rule", ""),
    ];
    parse(msg, &pattern, &mut into)?;
    Some(into)
}
