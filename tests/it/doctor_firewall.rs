//! The doctor's rules about the firewall: each breakage of the worked set-up is found with its id and nothing else, and
//! what is like it and right is not.

use egret::doctor::{Coverage, Finding, Severity};
use egret::policy::FqdnPattern;
use egret::vnet::Change;

use crate::support::patient::{SetUp, worked};

const DEFAULT: &str = "prefix = \"0.0.0.0/0\", next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.0.4\"";
/// Before the rule with the tags.
const OWN: &str = "    { name = \"app-service-environment\"";
const TAGS: &str = "fqdn_tags = [\"AppServiceEnvironment\", \"WindowsUpdate\"]";
const MONITOR: &str = "{ name = \"azure-monitor\", source_addresses = \"192.168.251.128/25\", ip_protocols = \"TCP\", destination_addresses = \"AzureMonitor\", destination_ports = [80, 443] },";

/// The rows of lists as one rule a row, but for those that are left out.
fn listed(lists: &[&str], left_out: &[&str]) -> SetUp {
    let rows: Vec<String> = lists
        .iter()
        .map(|list| std::fs::read_to_string(format!("allowlists/{list}.txt")).unwrap())
        .flat_map(|text| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>())
        .filter(|row| !left_out.contains(&row.as_str()))
        .collect();
    let rules: String = rows.iter().enumerate().map(|(at, row)| rule(at, row)).collect();
    worked()
        .policy("{ name = \"app-service-environment\"", &format!("{rules}    {{ name = \"app-service-environment\""))
        .policy(TAGS, "protocols = [\"Https:443\"], target_fqdns = [\"own.test\"]")
}

fn rule(at: usize, row: &str) -> String {
    let (host, port) = row.rsplit_once(':').unwrap();
    let protocol = if port == "80" { "Http" } else { "Https" };
    let host = if host[1..].contains('*') { format!("glob:{host}") } else { host.to_owned() };
    format!("    {{ name = \"row-{at}\", protocols = [\"{protocol}:{port}\"], target_fqdns = [\"{host}\"] }},\n")
}

const NEWEST: [&str; 2] = ["ase@2023-11-20/fqdn", "ase@2023-11-20/wildcard"];

#[track_caller]
fn says(finding: &Finding, parts: &[&str]) {
    for part in parts {
        assert!(finding.what.contains(part), "`{part}` is not in: {}", finding.what);
    }
}

fn missing(finding: &Finding) -> Vec<&str> {
    finding.evidence.iter().filter(|it| it.coverage == Some(Coverage::Missing)).map(|it| it.what.as_str()).collect()
}

/// A collection that denies, before or after the others.
fn denying(set_up: SetUp, priority: u16, kind: &str, rule: &str) -> SetUp {
    let collection = format!(
        "\n[[rule_collection_group.rule_collection]]\nname = \"denials\"\npriority = {priority}\ntype = \"{kind}\"\naction = \"deny\"\nrule = [{rule}]\n"
    );
    let policy = format!("{}{collection}", set_up.policy);
    SetUp { policy, ..set_up }
}

fn to_the_internet(set_up: SetUp) -> SetUp {
    set_up.network(DEFAULT, "prefix = \"0.0.0.0/0\", next_hop = \"Internet\"")
}

#[test]
fn every_part_of_the_subnet_is_asked() {
    let one = "{ name = \"d\", source_addresses = \"192.168.251.140\", target_fqdns = [\"login.live.com\"], protocols = [\"https:443\"] }";
    assert_eq!(denying(worked(), 100, "application", one).only("FW-DENY-FIRST").severity, Severity::Suspended);
    let own = "source_addresses = \"192.168.251.128/25\"";
    let without_the_middle = "source_addresses = [\"192.168.251.128/27\", \"192.168.251.192/26\"]";
    let narrowed = |rule: &str| worked().policy(&format!("{rule}, {own}"), &format!("{rule}, {without_the_middle}"));
    assert_eq!(narrowed("name = \"ntp\"").only("OUT-NTP").severity, Severity::Suspended);
    assert_eq!(narrowed("name = \"app-service-environment\"").ids(), ["FW-ASE", "FW-WILDCARD"]);
}

#[test]
fn network_rules_deny_names_by_address() {
    let deny = |to: &str| {
        let rule = format!(
            "{{ name = \"d\", source_addresses = \"*\", ip_protocols = \"TCP\", destination_addresses = {to}, destination_ports = 443 }}"
        );
        let later = worked().policy("priority = 100\ntype = \"network\"", "priority = 120\ntype = \"network\"");
        denying(later, 110, "network", &rule)
    };
    for to in ["[\"AzureActiveDirectory\"]", "[\"0.0.0.0/1\", \"128.0.0.0/1\"]", "\"*\""] {
        let diagnosis = deny(to).diagnosis();
        let found: Vec<_> = diagnosis.findings().iter().map(|it| (it.rule.id, it.severity)).collect();
        assert_eq!(found, [("FW-DENY-FIRST", Severity::Suspended)], "{to}");
    }
    deny("\"198.51.100.0/24\"").healthy();
}

#[test]
fn fw_ase() {
    let found = listed(&NEWEST, &["graph.microsoft.com:443"]).only("FW-ASE");
    assert_eq!((found.severity, found.subject.as_str()), (Severity::Suspended, "ase-egress"));
    says(&found, &["it denies 1 of the 88 rows in ase@2023-11-20: graph.microsoft.com:443"]);
    assert_eq!(missing(&found), ["graph.microsoft.com:443"]);
    let [Change::ApplicationRule(rule)] = &found.mend[..] else { panic!("{:?}", found.mend) };
    assert_eq!(rule.fqdns, [FqdnPattern::parse("graph.microsoft.com").unwrap()]);
    assert_eq!(rule.sources.to_string(), "192.168.251.128/25");
    listed(&NEWEST, &[]).healthy();
    // One of two ports.
    says(&listed(&NEWEST, &["go.microsoft.com:80"]).only("FW-ASE"), &["go.microsoft.com:80"]);
    // What a service endpoint takes never meets the firewall.
    listed(&NEWEST, &["maupdateaccount.blob.core.windows.net:443"]).healthy();
    // Half of the subnet is not the subnet.
    let half = worked().policy(
        "app-service-environment\", source_addresses = \"192.168.251.128/25\"",
        "app-service-environment\", source_addresses = \"192.168.251.128/26\"",
    );
    assert_eq!(half.ids(), ["FW-ASE", "FW-WILDCARD"]);
    // Without a firewall in the way nothing is asked of it.
    let open = to_the_internet(worked().policy(TAGS, "protocols = [\"Https:443\"], target_fqdns = [\"own.test\"]"));
    open.healthy();
    assert!(open.not_applicable("FW-ASE").contains("goes to the Internet at once"));
}

#[test]
fn fw_wildcard() {
    let found = listed(&NEWEST, &["*.update.microsoft.com:443", "*.ctldl.windowsupdate.com:80"]).only("FW-WILDCARD");
    assert_eq!(found.severity, Severity::Suspended);
    says(&found, &["it denies 2 of the 11 rows", "*.update.microsoft.com:443 (asked: egret.update.microsoft.com:443)"]);
    let [Change::ApplicationRule(http), Change::ApplicationRule(https)] = &found.mend[..] else {
        panic!("{:?}", found.mend)
    };
    assert_eq!((http.protocols[0].port, https.protocols[0].port), (80, 443));
    // Azure has no way to write this one but the tag.
    let inner = listed(&NEWEST, &["gr-prod-*.cloudapp.net:443"]).only("FW-WILDCARD");
    let [Change::ApplicationRule(rule)] = &inner.mend[..] else { panic!("{:?}", inner.mend) };
    assert_eq!(
        rule.tags.iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>(),
        ["AppServiceEnvironment", "WindowsUpdate"]
    );
    let wider = rule_for("*.cloudapp.net");
    listed(&NEWEST, &["gr-prod-*.cloudapp.net:443"]).policy(OWN, &format!("{wider}{OWN}")).healthy();
}

fn rule_for(host: &str) -> String {
    rule(1000, &format!("{host}:443"))
}

#[test]
fn fw_linux() {
    let linux = |set_up: SetUp| set_up.ase("linux = true");
    let found = linux(listed(&NEWEST, &[])).only("FW-LINUX");
    assert_eq!(found.severity, Severity::Suspended);
    says(&found, &["it denies 26 of the 27 rows in ase@2023-11-20"]);
    assert!(missing(&found).contains(&"13.74.252.37:11371"));
    // The tag stands for names, not for the key servers' addresses.
    let keys = linux(worked()).only("FW-LINUX");
    says(&keys, &["it denies 7 of the 27 rows"]);
    let [Change::NetworkRule(rule)] = &keys.mend[..] else { panic!("{:?}", keys.mend) };
    assert_eq!((rule.ports.to_string().as_str(), rule.destinations.listed().len()), ("11371", 7));
    let addresses = "[\"13.74.252.37\", \"13.75.127.55\", \"13.76.190.189\", \"13.80.10.205\", \"13.91.48.226\", \"40.76.35.62\", \"104.215.95.108\"]";
    let keys = format!(
        "{{ name = \"keys\", ip_protocols = \"TCP\", destination_addresses = {addresses}, destination_ports = 11371 }},\n    # Triage"
    );
    linux(worked()).policy("# Triage", &keys).healthy();
    assert_eq!(worked().not_applicable("FW-LINUX"), "no Linux apps");
}

/// The worked set-up in the US Government cloud, where neither the endpoint services nor Azure Monitor have prefixes here.
fn gov(set_up: SetUp) -> SetUp {
    set_up
        .network("name = \"worked\"", "name = \"worked\"\ncloud = \"usgov\"")
        .network("\"ase.appserviceenvironment.net\"", "\"ase.appserviceenvironment.us\"")
        .network("destination = \"Sql\"", "destination = \"*\"")
}

#[test]
fn fw_gov() {
    let lists = ["ase-usgov@2023-11-20/fqdn", "ase-usgov@2023-11-20/wildcard"];
    let found = gov(listed(&lists, &["management.usgovcloudapi.net:443", "wp.microsoft.com:80"])).only("FW-GOV");
    assert_eq!(found.severity, Severity::Suspended);
    // The damaged rows are allowed as published, and denied as meant.
    says(&found, &["rows in ase-usgov@2023-11-20", "management.usgovcloudapi.net:443"]);
    assert!(missing(&found).contains(&"wp.microsoft.com:80 (asked: wdcp.microsoft.com:80)"));
    let meant: String = std::fs::read_to_string("allowlists/ase-usgov@2023-11-20/intended.txt")
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once(" -> "))
        .enumerate()
        .map(|(at, (_, meant))| rule(2000 + at, meant))
        .collect();
    let whole = gov(listed(&lists, &[]))
        .policy("{ name = \"app-service-environment\"", &format!("{meant}    {{ name = \"app-service-environment\""));
    whole.healthy();
    // The tag stands for the list of its cloud.
    gov(worked()).healthy();
    assert!(gov(worked()).not_applicable("FW-ASE").contains("FW-GOV"));
    assert_eq!(worked().not_applicable("FW-GOV"), "not the US Government cloud");
    // The tag is enough of a rule there, as nobody has its prefixes; without any rule there is none.
    assert_eq!(gov(worked()).policy(MONITOR, "").only("FW-AZMON").severity, Severity::Degraded);
    gov(worked()).policy(MONITOR, &MONITOR.replace("\"AzureMonitor\"", "\"*\"")).healthy();
    gov(worked()).policy(MONITOR, &MONITOR.replace("[80, 443]", "443")).only("FW-AZMON");
}

/// For the cloud in China no list is published.
#[test]
fn china_has_no_list() {
    let china = worked().network("name = \"worked\"", "name = \"worked\"\ncloud = \"china\"");
    for id in ["FW-ASE", "FW-WILDCARD"] {
        assert_eq!(china.not_applicable(id), "for the cloud in China no list of names is published");
    }
    assert_eq!(china.not_applicable("RT-IPDEP"), "no list is published for this cloud");
}

#[test]
fn fw_azmon() {
    let found = worked().policy(MONITOR, "").only("FW-AZMON");
    assert_eq!(found.severity, Severity::Degraded);
    says(&found, &["of AzureMonitor through on ports 80 and 443"]);
    let [Change::NetworkRule(rule)] = &found.mend[..] else { panic!("{:?}", found.mend) };
    assert_eq!((rule.destinations.to_string().as_str(), rule.ports.to_string().as_str()), ("AzureMonitor", "80,443"));
    let half = MONITOR.replace("[80, 443]", "443");
    worked().policy(MONITOR, &half).only("FW-AZMON");
    worked().policy(MONITOR, &MONITOR.replace("\"AzureMonitor\"", "\"*\"")).healthy();
    // By a route past the firewall.
    worked()
        .policy(MONITOR, "")
        .routes("{ name = \"monitor\", prefix = \"AzureMonitor\", next_hop = \"Internet\" },")
        .healthy();
}

#[test]
fn fw_deny_first() {
    let deny = "{ name = \"no-login\", protocols = [\"Https:443\"], target_fqdns = [\"*.windows.net\"] }";
    let found = denying(worked(), 110, "application", deny).only("FW-DENY-FIRST");
    assert_eq!(found.severity, Severity::Suspended);
    says(&found, &["rule ase-egress/app-service-environment/denials/no-login denies"]);
    assert!(missing(&found).contains(&"login.windows.net:443"), "{found:?}");
    let [Change::ApplicationRule(mend)] = &found.mend[..] else { panic!("{:?}", found.mend) };
    assert_eq!(mend.sources.to_string(), "192.168.251.128/25");
    assert_eq!(mend.tags.first().map(|tag| tag.name.as_str()), Some("AppServiceEnvironment"), "a row is a wildcard");
    // After the rule that allows it denies nothing that is needed.
    denying(worked(), 300, "application", deny).healthy();
    // Network rules come first, whatever their priority.
    let by_port =
        "{ name = \"no-web\", ip_protocols = \"TCP\", destination_addresses = \"*\", destination_ports = 80 }";
    let network = denying(worked(), 300, "network", by_port).only("FW-DENY-FIRST");
    says(&network, &["denials/no-web denies"]);
    // No rule for names comes before one for addresses, and nothing is opened to everybody.
    assert_eq!(network.mend, []);
    assert!(network.by_hand.as_ref().is_some_and(|it| it.contains("no-web")), "{:?}", network.by_hand);
    assert!(missing(&network).contains(&"go.microsoft.com:80"), "{network:?}");
    // What no rule allows is not denied first: a rule that denies all the rest says nothing new.
    let rest = "{ name = \"rest\", protocols = [\"Http:80\", \"Https:443\"], target_fqdns = [\"*\"] }";
    denying(listed(&NEWEST, &["graph.microsoft.com:443"]), 65000, "application", rest).only("FW-ASE");
    // Of addresses only, it is no more than degraded.
    let monitor = "{ name = \"no-monitor\", ip_protocols = \"TCP\", destination_addresses = \"AzureMonitor\", destination_ports = 443 }";
    // The names of Azure Monitor are asked by name: their addresses are not known.
    let later = worked().policy("priority = 100\ntype = \"network\"", "priority = 120\ntype = \"network\"");
    let degraded = denying(later, 110, "network", monitor).only("FW-DENY-FIRST");
    assert_eq!(degraded.severity, Severity::Degraded);
    says(&degraded, &["denials/no-monitor denies", "of AzureMonitor"]);
}

#[test]
fn fw_subnet() {
    let subnet = "\n[[vnet.subnet]]\nname = \"AzureFirewallSubnet\"\nprefix = \"192.168.0.0/26\"\n";
    let small = worked().network("prefix = \"192.168.0.0/26\"", "prefix = \"192.168.0.0/28\"").only("FW-SUBNET");
    says(&small, &["AzureFirewallSubnet is a /28, and Azure takes /26 or larger"]);
    let missing = worked().network(subnet, "").only("FW-SUBNET");
    assert_eq!((missing.severity, missing.subject.as_str()), (Severity::Unhealthy, "firewall"));
    says(&missing, &["ase-vnet has no subnet AzureFirewallSubnet"]);
    let [Change::AddSubnet { prefix, .. }] = &missing.mend[..] else { panic!("{:?}", missing.mend) };
    assert_eq!(prefix.to_string(), "192.168.0.0/26");
    let renamed = worked()
        .network("name = \"AzureFirewallSubnet\"", "name = \"firewalls\"")
        .network("name = \"firewall\"", "name = \"firewall\"\nsubnet = \"firewalls\"");
    says(&renamed.only("FW-SUBNET"), &["has no subnet AzureFirewallSubnet"]);
    // In a hub that the environment's network peers with.
    let hub = "[[vnet]]\nname = \"hub\"\naddress_space = [\"10.0.0.0/16\"]\npeering = [{ remote = \"ase-vnet\" }]\n[[vnet.subnet]]\nname = \"AzureFirewallSubnet\"\nprefix = \"10.0.0.0/26\"\n\n[[nsg]]";
    let hub_and_spoke = worked()
        .network(subnet, "")
        .vnet("peering = [{ remote = \"hub\", allow_forwarded_traffic = true }]")
        .network("[[nsg]]", hub)
        .network(
            "name = \"firewall\"\nprivate_address = \"192.168.0.4\"",
            "name = \"firewall\"\nvnet = \"hub\"\nprivate_address = \"10.0.0.4\"",
        )
        .network("subnet = \"ase-subnet\"", "vnet = \"ase-vnet\"\nsubnet = \"ase-subnet\"")
        .network(DEFAULT, &DEFAULT.replace("192.168.0.4", "10.0.0.4"));
    hub_and_spoke.healthy();
    assert!(
        worked()
            .network(DEFAULT, &DEFAULT.replace("0.4", "7.4"))
            .not_applicable("FW-SUBNET")
            .contains("no Azure Firewall")
    );
}

#[test]
fn fw_appdeps() {
    let needs = |what: &str| worked().ase(&format!("app_dependencies = [{what}]"));
    let found = needs("\"https://api.contoso.com\", \"tcp://198.51.100.9:5672\", \"https://login.windows.net\"")
        .only("FW-APPDEPS");
    assert_eq!(found.severity, Severity::App);
    says(
        &found,
        &["it does not reach 2 dependencies that apps need", "https://api.contoso.com:443", "tcp://198.51.100.9:5672"],
    );
    assert!(
        matches!(&found.mend[..], [Change::ApplicationRule(_), Change::SecurityRule { .. }, Change::NetworkRule(_)]),
        "{:?}",
        found.mend
    );
    says(&needs("\"https://api.contoso.com\"").only("FW-APPDEPS"), &["it denies 1 dependency that apps need"]);
    let rule = rule_for("api.contoso.com");
    needs("\"https://api.contoso.com\"").policy(OWN, &format!("{rule}{OWN}")).healthy();
    // A route past the firewall, a neighbour, a service with an endpoint.
    needs("\"tcp://198.51.100.9:5672\"")
        .routes("{ name = \"queue\", prefix = \"198.51.100.9/32\", next_hop = \"Internet\" },")
        .network("    { name = \"deny-outbound\"", "    { name = \"queue\", priority = 170, direction = \"Outbound\", access = \"Allow\", protocol = \"Tcp\", destination = \"198.51.100.9\", ports = 5672 },\n    { name = \"deny-outbound\"")
        .healthy();
    needs("\"tcp://192.168.7.7:5672\", \"https://own.blob.core.windows.net\"").healthy();
    to_the_internet(needs("\"https://api.contoso.com\"")).healthy();
}

#[test]
fn fw_proxy() {
    let tunnel = |gateway: &str| {
        worked()
            .network(DEFAULT, "prefix = \"0.0.0.0/0\", next_hop = \"VirtualNetworkGateway\"")
            .vnet(&format!("gateway = {{ name = \"er\", {gateway} }}"))
    };
    let found = tunnel("egress_proxy = true").only("FW-PROXY");
    assert_eq!((found.severity, found.subject.as_str()), (Severity::Unhealthy, "er"));
    says(&found, &["through a corporate proxy"]);
    tunnel("egress_proxy = false").healthy();
    worked().vnet("gateway = { name = \"er\", egress_proxy = true, routes = [\"10.0.0.0/8\"] }").healthy();
}

/// What somebody denies to everybody else stays denied.
#[test]
fn a_deny_for_all_stays_when_one_name_of_it_is_needed() {
    let bad = "{ name = \"bad-sites\", source_addresses = \"*\", protocols = [\"Http:80\", \"Https:443\"], target_fqdns = [\"malware.example\", \"*.digicert.com\"] }";
    let found = denying(worked(), 110, "application", bad).only("FW-DENY-FIRST");
    let [Change::ApplicationRule(http), Change::ApplicationRule(https)] = &found.mend[..] else {
        panic!("{:?}", found.mend)
    };
    for rule in [http, https] {
        assert!(rule.fqdns.iter().all(|it| it.to_string().ends_with(".digicert.com")), "{:?}", rule.fqdns);
        assert_eq!(rule.sources.to_string(), "192.168.251.128/25");
    }
}

/// Half of a prefix, and not its first address.
#[test]
fn a_prefix_is_asked_whole() {
    let deny = |to: &str| {
        let rule = format!(
            "{{ name = \"d\", ip_protocols = \"TCP\", destination_addresses = [{to}], destination_ports = 443 }}"
        );
        let later = worked().policy("priority = 100\ntype = \"network\"", "priority = 120\ntype = \"network\"");
        denying(later, 110, "network", &rule)
    };
    // 20.190.128.0/18 is one of Entra ID's.
    let half = deny("\"20.190.160.0/19\"").only("FW-DENY-FIRST");
    assert_eq!(half.severity, Severity::Suspended);
    says(&half, &["of AzureActiveDirectory"]);
    let ranges = std::fs::read_to_string("allowlists/service-tags/AzureMonitor@360.txt").unwrap();
    let nets: Vec<ipnet::Ipv4Net> = ranges
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|net: &ipnet::Ipv4Net| net.prefix_len() < 32)
        .collect();
    assert!(nets.len() > 100);
    let wide = nets.iter().find(|net| net.prefix_len() == 28).unwrap();
    let last = deny(&format!("\"{}\"", wide.broadcast())).only("FW-DENY-FIRST");
    assert_eq!(last.severity, Severity::Degraded);
    says(&last, &["of AzureMonitor"]);
    // First addresses alone are not the prefixes.
    let firsts: Vec<String> = ranges
        .lines()
        .filter_map(|line| line.parse().ok())
        .map(|net: ipnet::Ipv4Net| format!("\"{}\"", net.network()))
        .collect();
    let first = MONITOR.replace("\"AzureMonitor\"", &format!("[{}]", firsts.join(", ")));
    assert_eq!(worked().policy(MONITOR, &first).only("FW-AZMON").severity, Severity::Degraded);
}

#[test]
fn fw_ase_asks_for_both_tags() {
    let found = worked().policy(TAGS, "fqdn_tags = [\"AppServiceEnvironment\"]").only("FW-ASE");
    assert_eq!(found.severity, Severity::Degraded);
    says(&found, &["WindowsUpdate"]);
    let [Change::ApplicationRule(rule)] = &found.mend[..] else { panic!("{:?}", found.mend) };
    assert_eq!(
        rule.tags.iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>(),
        ["AppServiceEnvironment", "WindowsUpdate"]
    );
    let own =
        "    { name = \"updates\", source_addresses = \"192.168.251.128/25\", fqdn_tags = [\"WindowsUpdate\"] },\n";
    worked().policy(TAGS, "fqdn_tags = [\"AppServiceEnvironment\"]").policy(OWN, &format!("{own}{OWN}")).healthy();
    // Everything of the Internet holds them too.
    let all = "    { name = \"all\", source_addresses = \"192.168.251.128/25\", protocols = [\"Http:80\", \"Https:443\"], target_fqdns = [\"*\"] },\n";
    worked().policy(TAGS, "fqdn_tags = [\"AppServiceEnvironment\"]").policy(OWN, &format!("{all}{OWN}")).healthy();
}

/// A rule that denies is named, not a rule missed that is there.
#[test]
fn what_denies_a_port_is_named() {
    let deny = |port: u16, protocol: &str| {
        let rule = format!(
            "{{ name = \"no-port\", source_addresses = \"*\", ip_protocols = \"{protocol}\", destination_addresses = \"*\", destination_ports = {port} }}"
        );
        let later = worked().policy("priority = 100\ntype = \"network\"", "priority = 120\ntype = \"network\"");
        denying(later, 110, "network", &rule)
    };
    for (id, port, protocol) in [("OUT-NTP", 123, "UDP"), ("OUT-12000", 12000, "TCP")] {
        let found = deny(port, protocol).only(id);
        says(
            &found,
            &["is denied by rule ase-egress/app-service-environment/denials/no-port before a later rule allows it"],
        );
        assert!(matches!(&found.mend[..], [Change::NetworkRule(_)]), "{:?}", found.mend);
    }
}

/// The firewall is not alone on the way of what the apps need.
#[test]
fn fw_appdeps_on_the_whole_way() {
    let needs = |set_up: SetUp, what: &str| set_up.ase(&format!("app_dependencies = [{what}]"));
    let queue = "\"tcp://10.9.0.4:5672\"";
    let closed = needs(to_the_internet(worked()), queue).vnet("gateway = { name = \"er\", routes = [\"10.0.0.0/8\"] }");
    let out = "destination = \"192.168.0.0/16\" },\n    { name = \"deny-outbound\"";
    closed.clone().network(out, &out.replace("192.168.0.0/16", "VirtualNetwork")).healthy();
    let found = closed.only("FW-APPDEPS");
    assert_eq!(found.severity, Severity::App);
    says(&found, &["tcp://10.9.0.4:5672"]);
    assert!(
        found.evidence.iter().any(|it| it.what.contains("security rule ase-nsg/deny-outbound (4096) denies it")),
        "{found:?}"
    );
    // Of version 3 nobody else asks where the default route leads.
    let third = |set_up: SetUp| {
        set_up.network("version = \"ASEV2\"", "version = \"ASEV3\"").network(
            "route_table = \"ase-routes\"\n",
            "route_table = \"ase-routes\"\ndelegation = [\"Microsoft.Web/hostingEnvironments\"]\n",
        )
    };
    let dropped = worked().network(DEFAULT, "prefix = \"0.0.0.0/0\", next_hop = \"None\"");
    let lost = needs(third(dropped), "\"https://api.contoso.com\"").only("FW-APPDEPS");
    assert!(lost.evidence.iter().any(|it| it.what.contains("next hop None")), "{lost:?}");
}
