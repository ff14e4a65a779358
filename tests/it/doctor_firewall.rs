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
    assert!(gov(worked()).not_applicable("FW-AZMON").contains("not at hand"));
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
    assert_eq!(
        found.mend,
        [Change::RemoveFirewallRule { rule: "ase-egress/app-service-environment/denials/no-login".into() }]
    );
    // After the rule that allows it denies nothing that is needed.
    denying(worked(), 300, "application", deny).healthy();
    // Network rules come first, whatever their priority.
    let by_port =
        "{ name = \"no-web\", ip_protocols = \"TCP\", destination_addresses = \"*\", destination_ports = 80 }";
    let network = denying(worked(), 300, "network", by_port).only("FW-DENY-FIRST");
    says(&network, &["denials/no-web denies"]);
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
        .vnet("peering = [{ remote = \"hub\" }]")
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
        &["it denies 2 dependencies that apps need", "https://api.contoso.com:443", "tcp://198.51.100.9:5672"],
    );
    assert!(matches!(&found.mend[..], [Change::ApplicationRule(_), Change::NetworkRule(_)]), "{:?}", found.mend);
    let rule = rule_for("api.contoso.com");
    needs("\"https://api.contoso.com\"").policy(OWN, &format!("{rule}{OWN}")).healthy();
    // A route past the firewall, a neighbour, a service with an endpoint.
    needs("\"tcp://198.51.100.9:5672\"")
        .routes("{ name = \"queue\", prefix = \"198.51.100.9/32\", next_hop = \"Internet\" },")
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
