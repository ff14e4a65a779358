//! `egret doctor`: what comes in to the worked set-up and what goes out of it, and how the answer is told. Each breakage
//! is found with its id and nothing else, and what is like it and right is not.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use egret::doctor::{Coverage, Finding, Health, Severity};
use egret::policy::Action;
use egret::vnet::{Change, FlowDirection, SecurityRule};
use serde_json::Value;

use crate::support::command::{Answer, egret, finish};
use crate::support::patient::{SetUp, worked};

const MANAGEMENT: &str = "source = \"AppServiceManagement\"";
const DNS: &str = "    { name = \"dns\", priority = 1";
const HTTP: &str = "source = \"192.168.0.0/16\", destination = \"192.168.251.128/25\", ports = [80, 443]";
const WEB: &str = "name = \"web\", priority = 120, direction = \"Outbound\", access = \"Allow\", protocol = \"Tcp\", source = \"192.168.251.128/25\", ports = [80, 443]";
const DEFAULT: &str = "next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.0.4\"";

/// A security rule before the others.
fn rule(set_up: SetUp, direction: &str, priority: u16, access: &str, rest: &str) -> SetUp {
    let rule = format!(
        "    {{ name = \"first\", priority = {priority}, direction = \"{direction}\", access = \"{access}\", {rest} }},\n"
    );
    set_up.network(DNS, &format!("{rule}{DNS}"))
}

fn deny_in(rest: &str) -> SetUp {
    rule(worked(), "Inbound", 125, "Deny", rest)
}

fn deny_out(rest: &str) -> SetUp {
    rule(moved(worked()), "Outbound", 100, "Deny", rest)
}

/// With a priority that is free before all outbound rules.
fn moved(set_up: SetUp) -> SetUp {
    set_up.network("name = \"dns\", priority = 100", "name = \"dns\", priority = 105")
}

/// The same with an environment of version 3.
fn v3() -> SetUp {
    worked().network("version = \"ASEV2\"", "version = \"ASEV3\"").network(
        "route_table = \"ase-routes\"\n",
        "route_table = \"ase-routes\"\ndelegation = [\"Microsoft.Web/hostingEnvironments\"]\n",
    )
}

/// The same with apps that are reached from the Internet.
fn external() -> SetUp {
    worked()
        .network("internal_load_balancing_mode = \"Web, Publishing\"", "internal_load_balancing_mode = \"None\"")
        .network("internal_address = \"192.168.251.132\"\nclient_ranges = [\"192.168.0.0/16\"]\n", "")
        .network(DEFAULT, "next_hop = \"Internet\"")
        .network(HTTP, &HTTP.replace("192.168.0.0/16", "*"))
}

#[track_caller]
fn says(finding: &Finding, what: &str) {
    assert!(finding.what.contains(what), "`{what}` is not in: {}", finding.what);
}

fn evidence(finding: &Finding) -> Vec<&str> {
    finding.evidence.iter().filter(|it| it.coverage.is_none()).map(|it| it.what.as_str()).collect()
}

/// The security rule that mends it, which is the only change.
#[track_caller]
fn opened(finding: &Finding) -> &SecurityRule {
    let [Change::SecurityRule { group, rule }] = finding.mend.as_slice() else { panic!("{:?}", finding.mend) };
    assert_eq!((group.as_str(), rule.access), ("ase-nsg", Action::Allow));
    rule
}

#[test]
fn the_worked_set_up_is_healthy() {
    worked().healthy();
    assert_eq!(worked().diagnosis().health(), Health::Healthy);
    v3().healthy();
    external().healthy();
}

#[test]
fn in_mgmt() {
    let found = worked().network(MANAGEMENT, "source = \"13.66.140.0/26\"").only("IN-MGMT");
    assert_eq!((found.severity, found.subject.as_str()), (Severity::Suspended, "ase-nsg"));
    says(&found, "of 231 prefixes of AppServiceManagement 1 reach TCP 454 and 455 fully, 0 partly and 230 not at all");
    assert!(
        evidence(&found)[0].starts_with("security rule ase-nsg/deny-inbound (4096) denies TCP 454 of"),
        "{found:?}"
    );
    let mend = opened(&found);
    assert_eq!((mend.priority, mend.direction), (4095, FlowDirection::Inbound));
    let half = worked().network("ports = \"454-455\"", "ports = 454").only("IN-MGMT");
    says(&half, "0 reach TCP 454 and 455 fully, 231 partly and 0 not at all");
    // Whatever lets them in does.
    worked().network(MANAGEMENT, "source = \"*\"").healthy();
    worked().network(MANAGEMENT, "source = \"Internet\"").healthy();
}

/// The recipe of the seed document, in a security group: its addresses are /32, the tag's are wider.
#[test]
fn in_mgmt_by_the_list() {
    let list = fs::read_to_string("allowlists/management/public@2022-10-24.txt").unwrap();
    let addresses: Vec<String> =
        list.lines().filter(|line| !line.starts_with('#')).map(|line| format!("\"{line}\"")).collect();
    assert_eq!(addresses.len(), 72);
    let found = worked().network(MANAGEMENT, &format!("source = [{}]", addresses.join(", "))).only("IN-MGMT");
    says(
        &found,
        "of 231 prefixes of AppServiceManagement 34 reach TCP 454 and 455 fully, 37 partly and 160 not at all",
    );
    let of = |coverage| found.evidence.iter().filter(|it| it.coverage == Some(coverage)).count();
    assert_eq!((of(Coverage::Partly), of(Coverage::Missing)), (37, 160));
}

const DNAT: &str = r#"
[[rule_collection_group.rule_collection]]
name = "in"
priority = 100
type = "dnat"
rule = [
    { name = "lead", source_addresses = "*", ip_protocols = "TCP", destination_addresses = "203.0.113.4", destination_ports = PORT, translated_address = "192.168.251.132", translated_port = PORT },
]
"#;

fn dnat(port: &str) -> SetUp {
    let mut set_up = worked();
    set_up.policy.push_str(&DNAT.replace("PORT", port));
    set_up
}

#[test]
fn in_mgmt_fw() {
    let found = dnat("454").only("IN-MGMT-FW");
    assert_eq!(found.severity, Severity::Suspended);
    says(&found, "the DNAT rule ase-egress/app-service-environment/in/lead leads TCP 454 through the firewall");
    let rule = "ase-egress/app-service-environment/in/lead".to_owned();
    assert_eq!(found.mend, [Change::RemoveFirewallRule { rule }]);
    let shared = worked().network("public_address = \"203.0.113.9\"", "public_address = \"203.0.113.4\"");
    says(&shared.only("IN-MGMT-FW"), "management comes to a public address of the firewall firewall");
    dnat("443").healthy();
    assert_eq!(v3().not_applicable("IN-MGMT-FW"), "an environment of version 3");
}

#[test]
fn in_lb_16001() {
    let found = deny_in("source = \"AzureLoadBalancer\", ports = 16001")
        .network("priority = 110, direction = \"Inbound\"", "priority = 126, direction = \"Inbound\"")
        .only("IN-LB-16001");
    assert_eq!(found.severity, Severity::Unhealthy);
    says(&found, "AzureLoadBalancer does not reach all of TCP 454-455,16001 of the subnet");
    assert_eq!(evidence(&found), ["security rule ase-nsg/first (125) denies TCP 16001 of 168.63.129.16"]);
    assert!(opened(&found).priority < 125);
    // Somebody's own rule that denies everything comes before Azure's that lets the load balancer in.
    let line = "    { name = \"load-balancer\", priority = 110, direction = \"Inbound\", access = \"Allow\", source = \"AzureLoadBalancer\" },\n";
    let shadowed = worked().network(line, "").only("IN-LB-16001");
    assert_eq!(evidence(&shadowed), ["security rule ase-nsg/deny-inbound (4096) denies TCP 454 of 168.63.129.16"]);
    // Without it the default rules do.
    let deny = "    { name = \"deny-inbound\", priority = 4096, direction = \"Inbound\", access = \"Deny\" },\n";
    worked().network(line, "").network(deny, "").healthy();
}

#[test]
fn in_self() {
    let found = worked()
        .network(
            "name = \"ase-internal\", priority = 120, direction = \"Inbound\", access = \"Allow\"",
            "name = \"ase-internal\", priority = 120, direction = \"Inbound\", access = \"Allow\", protocol = \"Tcp\"",
        )
        .only("IN-SELF");
    assert_eq!(found.severity, Severity::Suspended);
    says(&found, "the subnet reaches itself on some ports and protocols only");
    assert!(
        evidence(&found).contains(&"security rule ase-nsg/deny-inbound (4096) denies UDP 1 of 192.168.251.128"),
        "{found:?}"
    );
    let one_port =
        rule(worked(), "Inbound", 115, "Deny", "source = \"192.168.251.128/25\", ports = 30000").only("IN-SELF");
    assert_eq!(evidence(&one_port)[0], "security rule ase-nsg/first (115) denies TCP 30000 of 192.168.251.128");
    // What comes later decides nothing.
    deny_in("source = \"192.168.251.128/25\", ports = 30000").healthy();
}

#[test]
fn in_appip() {
    let app = "app_address = [{ address = \"203.0.113.20\", http_port = 20080, https_port = 20443 }]";
    let external = || {
        external().network("public_address = \"203.0.113.9\"\n", &format!("public_address = \"203.0.113.9\"\n{app}\n"))
    };
    let found = external().only("IN-APPIP");
    assert_eq!(found.severity, Severity::App);
    says(&found, "the app at 203.0.113.20 is not reached on its ports 20080,20443");
    let mend = opened(&found);
    assert_eq!(mend.name, "egret-IN-APPIP-1");
    let open = "protocol = \"Tcp\", source = \"203.0.113.20\", ports = [20080, 20443]";
    rule(external(), "Inbound", 125, "Allow", open).healthy();
    let closed_to_probes = rule(
        rule(external(), "Inbound", 125, "Allow", open),
        "Inbound",
        105,
        "Deny",
        "source = \"AzureLoadBalancer\", ports = 20080",
    );
    let found = closed_to_probes
        .network("name = \"first\", priority = 125", "name = \"second\", priority = 125")
        .only("IN-APPIP");
    assert_eq!(evidence(&found), ["security rule ase-nsg/first (105) denies TCP 20080 of 168.63.129.16"]);
    assert!(worked().not_applicable("IN-APPIP").contains("ILB"));
}

/// Each finding finds its mend alone, and whoever makes them all by hand makes them in one group.
#[test]
fn mends_of_one_answer_have_priorities_of_their_own() {
    let app = |nth: u16| {
        format!("{{ address = \"203.0.113.{nth}\", http_port = {}, https_port = {} }}", 20_000 + nth, 21_000 + nth)
    };
    let apps: Vec<String> = (20..25).map(app).collect();
    let keys = format!("public_address = \"203.0.113.9\"\napp_address = [{}]\n", apps.join(", "));
    let broken = external()
        .network("public_address = \"203.0.113.9\"\n", &keys)
        .network(MANAGEMENT, "source = \"13.66.140.0/26\"")
        .network("source = \"AzureLoadBalancer\"", "source = \"198.51.100.1\"")
        .network(&HTTP.replace("192.168.0.0/16", "*"), &HTTP.replace("192.168.0.0/16", "*").replace("80, 443", "8080"))
        .network("ports = 53 }", "ports = 54 }")
        .network("ports = 123 }", "ports = 124 }")
        .network("ports = 12000 }", "ports = 12001 }");
    let diagnosis = broken.diagnosis();
    let changes = diagnosis.findings().into_iter().flat_map(|finding| &finding.mend);
    let rules: Vec<&SecurityRule> = changes
        .filter_map(|change| match change {
            Change::SecurityRule { rule, .. } => Some(rule),
            _ => None,
        })
        .collect();
    assert!(rules.iter().filter(|rule| rule.name.starts_with("egret-IN-APPIP")).count() == 10, "{rules:#?}");
    let mut seen = HashSet::new();
    for rule in rules {
        assert!(seen.insert((rule.direction, rule.priority)), "{} is taken: {}", rule.priority, rule.name);
    }
    assert!(seen.iter().any(|(direction, _)| *direction == FlowDirection::Outbound));
}

/// What cannot be reached is said once, though findings about other things stand between those that say it.
#[test]
fn the_platform_says_a_thing_once() {
    let half = "app-service-environment\", source_addresses = \"192.168.251.128/25\"";
    let diagnosis =
        deny_out("protocol = \"Tcp\", ports = [443, 1433]").policy(half, &half.replace("/25", "/26")).diagnosis();
    let ids: Vec<&str> = diagnosis.findings().iter().map(|finding| finding.rule.id).collect();
    assert!(["OUT-WEB", "OUT-SQL", "FW-ASE"].iter().all(|id| ids.contains(id)), "{ids:?}");
    let messages = diagnosis.platform_messages("ase");
    let unreached: Vec<&str> =
        messages.iter().filter_map(|it| it.strip_prefix("the environment cannot reach ")).collect();
    assert_eq!(unreached, ["its dependencies over HTTP and HTTPS", "Azure SQL"]);
}

#[test]
fn in_app() {
    let web = worked().network(HTTP, &HTTP.replace("80, 443", "443")).only("IN-APP");
    assert_eq!(web.severity, Severity::Advice);
    says(&web, "not all clients reach TCP 80 of the subnet: apps");
    let public = external()
        .network(&HTTP.replace("192.168.0.0/16", "*"), &HTTP.replace("192.168.0.0/16", "*").replace("80, 443", "80"))
        .only("IN-APP");
    assert_eq!(public.severity, Severity::App);
    says(&public, "nobody reaches TCP 443 of the subnet: apps");
    let ftp =
        worked().ase("ftp = true").network("ports = [21, 990, \"10001-10020\"]", "ports = [21, 990]").only("IN-APP");
    says(&ftp, "TCP 21,990,10001-10020 of the subnet: FTP");
    worked().ase("ftp = true\nremote_debug = true\nweb_deploy = true").healthy();
    // The ports of another version.
    let v3 = v3().ase("remote_debug = true").only("IN-APP");
    says(&v3, "TCP 4022,4024,4026 of the subnet: remote debugging");
    // Who lets in some of the Internet means those.
    external()
        .network(&HTTP.replace("192.168.0.0/16", "*"), &HTTP.replace("192.168.0.0/16", "198.51.100.0/24"))
        .healthy();
}

#[test]
fn in_scm() {
    let found = worked().network(HTTP, &HTTP.replace("80, 443", "80")).only("IN-SCM");
    assert_eq!(found.severity, Severity::App);
    says(&found, "not all clients reach TCP 443 of the subnet: SCM sites");
    let remote = worked().network("client_ranges = [\"192.168.0.0/16\"]", "client_ranges = [\"192.168.7.0/24\"]");
    rule(remote, "Inbound", 128, "Deny", "source = \"192.168.8.0/24\", ports = 443").healthy();
    assert!(external().not_applicable("IN-SCM").contains("External"));
}

#[test]
fn in_v3_80() {
    let deny =
        |port: u16| rule(v3(), "Inbound", 105, "Deny", &format!("source = \"AzureLoadBalancer\", ports = {port}"));
    let found = deny(80).only("IN-V3-80");
    assert_eq!(found.severity, Severity::Suspended);
    says(&found, "AzureLoadBalancer does not reach TCP 80 of the subnet");
    assert!(opened(&found).priority < 105);
    deny(16001).healthy();
    assert_eq!(worked().not_applicable("IN-V3-80"), "an environment of version 2");
}

#[test]
fn in_v3_21() {
    let deny = || rule(v3(), "Inbound", 105, "Deny", "source = \"AzureLoadBalancer\", ports = 21");
    let found = deny().ase("ftp = true").only("IN-V3-21");
    assert_eq!(found.severity, Severity::Degraded);
    says(&found, "AzureLoadBalancer does not reach TCP 21 of the subnet");
    deny().healthy();
    assert_eq!(v3().not_applicable("IN-V3-21"), "FTP is off");
}

#[test]
fn out_self() {
    let found = rule(
        moved(worked()),
        "Outbound",
        100,
        "Deny",
        "protocol = \"Udp\", destination = \"192.168.251.128/25\", ports = \"20000-20100\"",
    )
    .only("OUT-SELF");
    assert_eq!(found.severity, Severity::Suspended);
    assert_eq!(evidence(&found), ["security rule ase-nsg/first (100) denies UDP 20000 of 192.168.251.128"]);
    // Other subnets are others.
    deny_out("destination = \"192.168.9.0/24\"").healthy();
    // The rule for the whole network does as well.
    let line = "    { name = \"ase-internal-out\", priority = 150, direction = \"Outbound\", access = \"Allow\", source = \"192.168.251.128/25\", destination = \"192.168.251.128/25\" },\n";
    worked().network(line, "").healthy();
}

#[test]
fn out_self_by_routes() {
    let led = |prefix: &str, hop: &str| {
        let default = "{ name = \"default\", prefix";
        worked().network(default, &format!("{{ name = \"own\", prefix = \"{prefix}\", {hop} }},\n    {default}"))
    };
    let none = led("192.168.251.128/25", "next_hop = \"None\"").only("OUT-SELF");
    assert_eq!((none.severity, none.subject.as_str()), (Severity::Suspended, "ase-subnet"));
    says(&none, "what its machines send to each other goes to None");
    assert_eq!(none.mend, [Change::RemoveRoute { table: "ase-routes".into(), route: "own".into() }]);
    for prefix in ["192.168.251.128/25", "192.168.251.192/27", "192.168.0.0/16"] {
        says(&led(prefix, DEFAULT).only("OUT-SELF"), "goes to VirtualAppliance 192.168.0.4");
    }
    assert_eq!(led("192.168.0.0/16", "next_hop = \"None\"").ids(), ["OUT-SELF", "RT-APP-REPLY"]);
    led("192.168.251.128/25", "next_hop = \"VnetLocal\"").healthy();
}

#[test]
fn out_web_is_closed_to_most() {
    let web = |to: &str| {
        let (from, rest) = (
            "name = \"web\", priority = 120, direction = \"Outbound\", access = \"Allow\", protocol = \"Tcp\", source = \"192.168.251.128/25\", ",
            "ports = [80, 443]",
        );
        worked().network(&format!("{from}{rest}"), &format!("{from}{to}"))
    };
    assert_eq!(web("ports = 80").only("OUT-WEB").severity, Severity::Suspended);
    let pinned = web("ports = [80, 443], destination = [\"40.126.31.67\", \"20.190.159.4\"]");
    let diagnosis = pinned.diagnosis();
    let found: Vec<_> = diagnosis.findings().iter().map(|it| (it.rule.id, it.severity)).collect();
    assert_eq!(found, [("OUT-WEB", Severity::Suspended), ("OUT-NSG-PIN", Severity::Advice)]);
}

#[test]
fn what_is_suspended_is_not_healthy() {
    let suspended = worked().ase("suspended = true");
    let found = suspended.only("LIFE-RESTORE");
    assert_eq!(found.severity, Severity::Suspended);
    says(&found, "it is suspended");
    let diagnosis = suspended.diagnosis();
    assert_eq!(diagnosis.health().as_str(), "suspended");
    let messages = diagnosis.platform_messages("ase");
    assert!(
        matches!(&messages[..], [only] if only.starts_with("the environment ase has been suspended")),
        "{messages:?}"
    );
}

#[test]
fn out_dns() {
    let found = worked()
        .network(
            "protocol = \"Udp\", source = \"192.168.251.128/25\", ports = 53",
            "protocol = \"Tcp\", source = \"192.168.251.128/25\", ports = 53",
        )
        .only("OUT-DNS");
    assert_eq!(found.severity, Severity::Suspended);
    says(&found, "UDP 53 (DNS) is not let out to any address");
    assert_eq!(opened(&found).name, "egret-OUT-DNS");
    let platform = deny_out("destination = \"AzurePlatformDNS\"").only("OUT-DNS");
    says(&platform, "denies Azure DNS at 168.63.129.16");
    assert_eq!(platform.mend, [Change::RemoveSecurityRule { group: "ase-nsg".into(), rule: "first".into() }]);
    // Azure's own is exempt from what names its address.
    deny_out("destination = \"168.63.129.16\"").healthy();
}

#[test]
fn out_ntp() {
    let found = worked().network("ports = 123 },", "ports = 124 },").only("OUT-NTP");
    assert_eq!(found.severity, Severity::Suspended);
    says(&found, "UDP 123 (NTP) is not let out to any address");
    let some = deny_out("destination = \"203.0.0.0/8\", protocol = \"Udp\", ports = 123").only("OUT-NTP");
    assert_eq!(some.severity, Severity::Unhealthy);
    says(&some, "UDP 123 (NTP) is not let out to all of any address");
    // The firewall has to let it through as well.
    let firewall = worked().policy("destination_ports = 123", "destination_ports = 124").only("OUT-NTP");
    says(&firewall, "UDP 123 (NTP) has no network rule of ase-egress to any address");
    assert!(matches!(firewall.mend.as_slice(), [Change::NetworkRule(rule)] if rule.name == "egret-OUT-NTP"));
    let narrow = worked().policy(
        "destination_addresses = \"*\", destination_ports = 123",
        "destination_addresses = \"3.0.0.0/8\", destination_ports = 123",
    );
    assert_eq!(narrow.only("OUT-NTP").severity, Severity::Unhealthy);
    // Where nothing passes it nobody asks.
    external().policy("destination_ports = 123", "destination_ports = 124").healthy();
}

#[test]
fn out_web() {
    let found = worked().network("name = \"web\", priority = 120, direction = \"Outbound\", access = \"Allow\", protocol = \"Tcp\", source = \"192.168.251.128/25\", ports = [80, 443]", "name = \"web\", priority = 120, direction = \"Outbound\", access = \"Allow\", protocol = \"Tcp\", source = \"192.168.251.128/25\", ports = 443").only("OUT-WEB");
    assert_eq!(found.severity, Severity::Suspended);
    says(&found, "TCP 80,443 (HTTP and HTTPS) is not let out to most of any address");
    let none = deny_out("protocol = \"Tcp\", destination = \"Internet\", ports = [80, 443]").only("OUT-WEB");
    assert_eq!(none.severity, Severity::Suspended);
    deny_out("protocol = \"Tcp\", destination = \"192.168.9.0/24\", ports = 80").healthy();
}

#[test]
fn out_sql() {
    let found = worked()
        .network("ports = [1433, \"11000-11999\", \"14000-14999\"]", "ports = [\"11000-11999\", \"14000-14999\"]")
        .only("OUT-SQL");
    assert_eq!(found.severity, Severity::Suspended);
    says(&found, "TCP 1433 (the environment's own database) is not let out to the tag Sql");
    // Only documents until 2017 name the others.
    let old = worked().network("ports = [1433, \"11000-11999\", \"14000-14999\"]", "ports = 1433").only("OUT-SQL");
    assert_eq!(old.severity, Severity::Advice);
    says(&old, "as documented until 2017");
    let wide = worked().network(
        "destination = \"Sql\", ports = [1433, \"11000-11999\", \"14000-14999\"]",
        "destination = \"AzureCloud\", ports = \"*\"",
    );
    assert_eq!(wide.ids(), ["OUT-SQL"], "a tag that is not at hand stands for nothing");
}

#[test]
fn out_12000() {
    let found = worked().network("ports = 12000 },", "ports = 12001 },").only("OUT-12000");
    assert_eq!(found.severity, Severity::Degraded);
    says(&found, "TCP 12000 (monitoring) is not let out to any address");
    let firewall = worked().policy("destination_ports = 12000", "destination_ports = 12001").only("OUT-12000");
    says(&firewall, "TCP 12000 (monitoring) has no network rule of ase-egress");
    worked().network("ports = 12000 },", "ports = \"12000-12001\" },").healthy();
}

#[test]
fn out_445() {
    let closed =
        || worked().network("destination = \"Storage\", ports = 445", "destination = \"Storage\", ports = 446");
    assert_eq!(closed().only("OUT-445").severity, Severity::Advice);
    let first = closed().network("version = \"ASEV2\"", "version = \"ASEV1\"").only("OUT-445");
    assert_eq!(first.severity, Severity::Suspended);
    worked().network("destination = \"Storage\", ports = 445", "ports = 445").healthy();
}

#[test]
fn out_nsg_pin() {
    let pinned = |to: &str| {
        rule(moved(worked()), "Outbound", 100, "Allow", &format!("protocol = \"Tcp\", destination = {to}, ports = 443"))
    };
    // Beside a rule for everything it harms nobody.
    pinned("[\"20.1.2.3/32\", \"20.1.2.4\"]").healthy();
    let alone = |to: &str| pinned(to).network(WEB, &WEB.replace("[80, 443]", "8081"));
    let of = |set_up: SetUp| set_up.diagnosis().findings().into_iter().find(|it| it.rule.id == "OUT-NSG-PIN").cloned();
    let found = of(alone("[\"20.1.2.3/32\", \"20.1.2.4\"]")).unwrap();
    assert_eq!((found.severity, found.subject.as_str()), (Severity::Advice, "ase-nsg/first"));
    says(&found, "lets out to 20.1.2.3 and 20.1.2.4 alone");
    assert!(found.by_hand.is_some());
    // Published as an address; one's own; a range; what the apps need.
    assert!(of(alone("[\"40.77.24.27\", \"192.168.7.7\", \"20.1.2.0/24\"]")).is_none());
    assert!(of(alone("\"20.1.2.3\"").ase("app_dependencies = [\"https://20.1.2.3\"]")).is_none());
}

fn doctor(folder: &Path, args: &[&str]) -> Answer {
    finish(egret().current_dir(folder).arg("doctor").args(args), "")
}

/// A folder with the two files of a set-up.
fn folder(set_up: &SetUp) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("vnet.toml"), &set_up.network).unwrap();
    fs::write(folder.path().join("policy.toml"), &set_up.policy).unwrap();
    folder
}

fn sick() -> tempfile::TempDir {
    folder(&worked().network(MANAGEMENT, "source = \"13.66.140.0/26\""))
}

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.out).unwrap_or_else(|_| panic!("{}{}", answer.out, answer.err))
}

#[test]
fn the_answer_for_people() {
    let healthy = doctor(folder(&worked()).path(), &["vnet.toml"]);
    assert_eq!(healthy.code, 0, "{}{}", healthy.out, healthy.err);
    assert!(healthy.out.starts_with("ase: healthy\n  kind     ILB ASE, version 2\n"), "{}", healthy.out);
    assert!(healthy.out.contains("leaves   by the firewall firewall at 192.168.0.4\n"), "{}", healthy.out);
    assert!(healthy.err.contains("0 found something"), "{}", healthy.err);
    let sick = sick();
    let answer = doctor(sick.path(), &["--topology", "vnet.toml"]);
    assert_eq!(answer.code, 3, "{}", answer.err);
    for part in [
        "ase: would be suspended\n",
        "will be suspended if that goes on",
        "suspended[IN-MGMT]: of 231 prefixes of AppServiceManagement 1 reach TCP 454 and 455 fully",
        "--> vnet.toml:",
        "| security rule ase-nsg/deny-inbound (4096) denies TCP 454 of ",
        "| not covered: 4.199.85.64/26, ",
        " and 224 more",
        "= mend: ",
        "az network nsg rule create",
        "--source-address-prefixes AppServiceManagement",
        "= see: App Service Environment management addresses (2022-10-24); ",
    ] {
        assert!(answer.out.contains(part), "`{part}` is not in\n{}", answer.out);
    }
    assert!(answer.err.contains("1 found something"), "{}", answer.err);
}

/// Two halves beat the default route, and the way out is theirs.
#[test]
fn the_way_out_is_that_of_the_rules() {
    let default = format!("{{ name = \"default\", prefix = \"0.0.0.0/0\", {DEFAULT} }},");
    let half = |name: &str, prefix: &str| format!("{{ name = \"{name}\", prefix = \"{prefix}\", {DEFAULT} }},");
    let halves = format!("{}\n{}", half("low", "0.0.0.0/1"), half("high", "128.0.0.0/1"));
    let answer = doctor(folder(&worked().network(&default, &halves)).path(), &["vnet.toml"]);
    assert!(answer.out.contains("leaves   by the firewall firewall at 192.168.0.4\n"), "{}", answer.out);
}

#[test]
fn the_answer_for_programs() {
    let sick = sick();
    let answer = doctor(sick.path(), &["--format", "json", "vnet.toml"]);
    assert_eq!(answer.code, 3);
    let whole = json(&answer);
    let environment = &whole["environments"][0];
    assert_eq!((&environment["name"], &environment["health"]), (&"ase".into(), &"would be suspended".into()));
    let rules = environment["rules"].as_array().unwrap();
    assert_eq!(rules.len(), egret::doctor::rules().count());
    let of = |id: &str| rules.iter().find(|rule| rule["rule"] == id).unwrap();
    assert_eq!((&of("IN-MGMT")["outcome"], &of("IN-MGMT")["findings"]), (&"found".into(), &1.into()));
    assert_eq!(of("IN-SELF")["outcome"], "passed");
    assert_eq!(of("IN-V3-80")["why_not"], "an environment of version 2");
    let finding = &environment["findings"][0];
    assert_eq!((&finding["rule"], &finding["file"]), (&"IN-MGMT".into(), &"vnet.toml".into()));
    assert!(finding["line"].as_u64().unwrap() > 1);
    assert!(finding["mend"]["az_cli"].as_str().unwrap().contains("egret-IN-MGMT"));
    assert_eq!(finding["sources"][0]["date"], "2022-10-24");
    assert_eq!(
        finding["evidence"].as_array().unwrap().iter().filter(|it| it["coverage"] == "not covered").count(),
        230
    );
}

#[test]
fn the_answer_for_code_scanning() {
    let sick = sick();
    let log = json(&doctor(sick.path(), &["--format", "sarif", "vnet.toml"]));
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), egret::doctor::rules().count());
    let result = &run["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"IN-MGMT".into(), &"error".into()));
    assert_eq!(rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()]["id"], "IN-MGMT");
    assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "vnet.toml");
}

#[test]
fn the_answer_as_tests() {
    let sick = folder(
        &worked()
            .network("destination = \"Storage\", ports = 445", "destination = \"Storage\", ports = 446")
            .network(MANAGEMENT, "source = \"13.66.140.0/26\""),
    );
    let xml = doctor(sick.path(), &["--format", "junit", "vnet.toml"]).out;
    let count = |part: &str| xml.matches(part).count();
    assert_eq!(count("<testcase "), egret::doctor::rules().count(), "{xml}");
    assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"egret doctor\""), "{xml}");
    assert_eq!((count("<failure "), count("<system-out>")), (1, 1), "{xml}");
    assert!(xml.contains("<failure type=\"suspended\" message=\"of 231 prefixes"), "{xml}");
    assert!(xml.contains("<property name=\"health\" value=\"would be suspended\"/>"), "{xml}");
    assert_eq!(
        count("<skipped message="),
        xml.split("skipped=\"").nth(1).unwrap().split('"').next().unwrap().parse::<usize>().unwrap()
    );
    let all = doctor(sick.path(), &["--format", "junit", "--severity", "advice", "vnet.toml"]).out;
    assert_eq!(all.matches("<failure ").count(), 2);
}

#[test]
fn the_answer_for_github() {
    let sick = sick();
    let out = doctor(sick.path(), &["--format", "github", "vnet.toml"]).out;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[0].starts_with("::error title=egret doctor%3A ase::ase: would be suspended%0A"), "{out}");
    assert!(lines[1].starts_with("::error file=vnet.toml,line="), "{out}");
    assert!(out.contains("title=egret doctor%3A IN-MGMT (suspended)::of 231 prefixes"), "{out}");
}

#[test]
fn what_counts_as_unhealthy() {
    let degraded = folder(&worked().network("ports = 12000 },", "ports = 12001 },"));
    let code = |args: &[&str]| doctor(degraded.path(), args).code;
    assert_eq!(code(&["vnet.toml"]), 0);
    assert_eq!(code(&["--severity", "degraded", "vnet.toml"]), 3);
    assert_eq!(code(&["--severity", "degraded", "--ignore", "out-12000", "vnet.toml"]), 0);
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let folder = folder(&worked());
    let refused = |args: &[&str], what: &str| {
        let answer = doctor(folder.path(), args);
        assert_eq!(answer.code, 2, "{}{}", answer.out, answer.err);
        assert!(answer.err.contains(what), "`{what}` is not in {}", answer.err);
    };
    refused(&[], "no topology: name a file, as in `egret doctor vnet.toml`");
    let missing = "cannot read `missing.toml`: there is no such file";
    refused(&["missing.toml"], &format!("FILE: {missing}"));
    refused(&["--topology", "missing.toml"], &format!("--topology: {missing}"));
    refused(&["--environment", "ace", "vnet.toml"], "no environment is called `ace`; did you mean `ase`?");
    refused(&["--about", "IN-MGNT"], "`IN-MGNT` is no rule; did you mean `IN-MGMT`?");
    refused(&["--ignore", "x", "vnet.toml"], "`x` is no rule; `egret doctor --list` names them");
    fs::write(folder.path().join("bare.toml"), "[[vnet]]\nname = \"a\"\naddress_space = [\"10.0.0.0/16\"]\n").unwrap();
    refused(&["bare.toml"], "no App Service Environment is in the topology");
}

/// Files in words take the place of what the environment names, and stand beside what is typed.
#[test]
fn one_topology_named_in_two_ways() {
    let folder = folder(&worked());
    let with = |name: &str, value: &str, args: &[&str]| {
        finish(egret().current_dir(folder.path()).env(name, value).arg("doctor").args(args), "")
    };
    for named in ["vnet.toml", "missing.toml"] {
        let answer = with("EGRET_TOPOLOGY", named, &["vnet.toml"]);
        assert_eq!(answer.code, 0, "{named}: {}{}", answer.out, answer.err);
        assert!(!answer.err.contains("topology"), "{named}: {}", answer.err);
    }
    let answer = with("EGRET_TOPOLOGY", "missing.toml", &[]);
    assert_eq!(answer.code, 2, "{}", answer.out);
    assert!(answer.err.contains("EGRET_TOPOLOGY: cannot read `missing.toml`"), "{}", answer.err);
    let twice = doctor(folder.path(), &["--topology", "vnet.toml", "./vnet.toml"]);
    assert_eq!(twice.code, 0, "{}{}", twice.out, twice.err);
    assert!(twice.err.contains("FILE: `./vnet.toml` is part of the topology already"), "{}", twice.err);
    // A template beside it counts too: another network, which is told of in no finding.
    let other = r#"{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0", "resources": [{"type": "Microsoft.Web/hostingEnvironments", "name": "other",
        "apiVersion": "2022-03-01", "kind": "ASEV2", "location": "westus2", "properties": {"virtualNetwork":
        {"id": "[resourceId('Microsoft.Network/virtualNetworks/subnets', 'ase-vnet', 'ase-subnet')]"}}}]}"#;
    fs::write(folder.path().join("other.json"), other).unwrap();
    let both = doctor(folder.path(), &["--format", "json", "--topology", "other.json", "vnet.toml"]);
    assert!(both.out.contains("\"other\"") && both.out.contains("\"ase\""), "{}{}", both.out, both.err);
}

/// What only flows are decided by is not offered where there are none.
#[test]
fn flags_that_would_do_nothing_are_refused() {
    for command in ["trace", "doctor", "routes", "nsg", "lint", "convert"] {
        for flag in ["--enforce=none", "--client-subnet=ase-subnet"] {
            let answer = finish(egret().args([command, flag]), "");
            assert_eq!(answer.code, 2, "{command} {flag}: {}", answer.err);
            assert!(answer.err.contains("unexpected argument"), "{command} {flag}: {}", answer.err);
        }
    }
}

#[test]
fn one_variable_is_of_all_commands() {
    let folder = folder(&worked());
    let with = |name: &str, value: &str| {
        finish(egret().current_dir(folder.path()).env(name, value).args(["doctor", "vnet.toml"]), "")
    };
    let answer = with("EGRET_ENVIRONMENT", "ace");
    assert_eq!(answer.code, 2, "{}{}", answer.out, answer.err);
    assert!(answer.err.contains("no environment is called `ace`"), "{}", answer.err);
}

/// An admin server that has tried one dependency and not reached it.
fn unreached() -> std::net::SocketAddr {
    let detail = serde_json::json!({ "ipAddress": null, "port": 443, "latency": null, "isAccessible": false });
    let endpoint = serde_json::json!({ "domainName": "login.windows.net", "endpointDetails": [detail] });
    let category = serde_json::json!({ "category": "Azure Active Directory", "endpoints": [endpoint] });
    let body = serde_json::json!({ "value": [category], "nextLink": null }).to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
            write!(stream, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    address
}

/// What was tried and not reached is not mended by files that were written.
#[test]
fn what_is_not_reached_fails_with_fix_too() {
    let folder = folder(&worked());
    let admin = unreached().to_string();
    let live = ["--live", "--admin", &admin, "vnet.toml"];
    let answer = doctor(folder.path(), &live);
    assert!(answer.out.contains("0 of 1 dependencies are reached"), "{}{}", answer.out, answer.err);
    assert_eq!(answer.code, 3, "{}", answer.err);
    let answer = doctor(folder.path(), &[&live[..], &["--fix", "mended"]].concat());
    assert_eq!(answer.code, 3, "{}{}", answer.out, answer.err);
    assert!(answer.err.contains("mended: 0 findings by 0 changes"), "{}", answer.err);
}

/// The mend of a tag that the cloud does not have is not that very tag.
#[test]
fn a_tag_that_is_not_at_hand_is_not_proposed() {
    let set_up = worked().network("name = \"worked\"", "name = \"worked\"\ncloud = \"usgov\"");
    let answer = doctor(folder(&set_up).path(), &["vnet.toml"]);
    assert!(answer.err.contains("the service tag `Sql` is not known here"), "{}", answer.err);
    assert!(!answer.err.contains("did you mean `Sql`?"), "{}", answer.err);
    let typed = set_up.network("source = \"AppServiceManagement\"", "source = \"AppServiceManagment\"");
    let answer = doctor(folder(&typed).path(), &["vnet.toml"]);
    assert!(answer.err.contains("did you mean `AppServiceManagement`?"), "{}", answer.err);
}

#[test]
fn the_rules_are_listed_and_explained() {
    let here = Path::new(".");
    let list = doctor(here, &["--list"]).out;
    assert_eq!(list.lines().count(), egret::doctor::rules().count());
    assert!(list.contains("IN-MGMT"), "{list}");
    let about = doctor(here, &["--about", "in-lb-16001"]).out;
    assert!(about.starts_with("IN-LB-16001 (unhealthy): the load balancer cannot tell"), "{about}");
    assert!(about.contains("docs/doctor.md#in-lb-16001"), "{about}");
    let json = json(&doctor(here, &["--about", "IN-V3-80", "--format", "json"]));
    assert_eq!(json["versions"], serde_json::json!([3]));
}

/// `docs/doctor.md` has a section for every rule, in order, that says what the rule says.
#[test]
fn every_rule_is_in_the_manual() {
    let manual = include_str!("../../docs/doctor.md");
    let mut from = 0;
    let mut seen = HashSet::new();
    for rule in egret::doctor::rules() {
        assert!(seen.insert(rule.id), "{} is there twice", rule.id);
        let heading = format!("\n### {}\n", rule.id);
        let at = manual[from..].find(&heading).unwrap_or_else(|| panic!("no section for {} where it belongs", rule.id));
        from += at + heading.len();
        let section = manual[from..].split("\n### ").next().unwrap();
        let title = format!("*{}*: {}.", rule.severity, rule.title);
        assert!(section.contains(&title), "{}: `{title}` is not in its section", rule.id);
        assert!(section.contains(rule.why), "{}: why it matters is not in its section", rule.id);
        for document in rule.sources {
            let source = format!("[{}]({}) ({})", document.title, document.page, document.date);
            assert!(section.contains(&source), "{}: `{source}` is not in its section", rule.id);
        }
        for part in ["Example: ", "Mend: "] {
            assert!(section.contains(part), "{}: no `{part}` in its section", rule.id);
        }
    }
    assert!(seen.len() > 40);
}

/// A few addresses may be denied on purpose, as a route may drop them; what is known to be needed may not.
#[test]
fn out_in_part() {
    for few in ["45.80.12.7", "45.80.12.0/24", "45.80.0.0/17"] {
        deny_out(&format!("destination = \"{few}\"")).healthy();
    }
    let many = deny_out("destination = \"45.80.0.0/16\", protocol = \"Udp\", ports = 123").only("OUT-NTP");
    assert_eq!(many.severity, Severity::Unhealthy);
    let tag = |name: &str| deny_out(&format!("destination = \"{name}\", protocol = \"Tcp\", ports = [80, 443]"));
    for needed in ["Storage", "AzureActiveDirectory", "AzureResourceManager", "EventHub"] {
        let found = tag(needed).only("OUT-WEB");
        assert_eq!(found.severity, Severity::Suspended, "{needed}");
        says(&found, &format!("is not let out to {needed}"));
    }
    let watched = tag("AzureMonitor").only("OUT-WEB");
    assert_eq!(watched.severity, Severity::Degraded);
    says(&watched, "is not let out to AzureMonitor");
    // One address of a service that is needed is more than one of nobody's.
    let one = deny_out("destination = \"20.38.98.4\", protocol = \"Tcp\", ports = 443").only("OUT-WEB");
    assert_eq!(one.severity, Severity::Unhealthy);
    says(&one, "part of Storage");
}

/// By a default route of one's own all addresses count as the network's: what is asked for is asked for all the same.
#[test]
fn out_where_the_default_route_widens_the_network() {
    let vnet = "    { name = \"vnet\", priority = 160, direction = \"Outbound\", access = \"Allow\", source = \"192.168.251.128/25\", destination = \"192.168.0.0/16\" },\n";
    let closed = worked()
        .network("ports = 53 }", "ports = 54 }")
        .network("ports = 123 }", "ports = 124 }")
        .network(WEB, &WEB.replace("[80, 443]", "8081"))
        .network("ports = 12000 }", "ports = 12001 }")
        .network(vnet, "");
    let found: Vec<_> = closed.diagnosis().findings().iter().map(|it| (it.rule.id, it.severity)).collect();
    let grave = ["OUT-DNS", "OUT-NTP", "OUT-WEB"].map(|id| (id, Severity::Suspended));
    assert_eq!(found, [grave.as_slice(), &[("OUT-12000", Severity::Degraded)]].concat());
}

/// Nobody knows which port a flow begins at.
#[test]
fn source_ports() {
    let denied = deny_out("protocol = \"Tcp\", destination = \"Internet\", source_ports = \"50000-60000\"");
    let ids = denied.ids();
    assert!(["OUT-WEB", "OUT-SQL", "OUT-12000"].iter().all(|id| ids.contains(id)), "{ids:?}");
    let one = worked().network("ports = \"454-455\"", "ports = \"454-455\", source_ports = \"49152\"").only("IN-MGMT");
    says(&one, "0 reach TCP 454 and 455 fully, 231 partly and 0 not at all");
    worked().network("ports = \"454-455\"", "ports = \"454-455\", source_ports = \"1024-65535\"").healthy();
    deny_out("protocol = \"Tcp\", source_ports = \"1-1023\"").healthy();
}

#[test]
fn in_mgmt_fw_by_name() {
    let named = |name: &str| {
        let mut set_up = dnat("454");
        set_up.policy =
            set_up.policy.replace("translated_address = \"192.168.251.132\"", &format!("translated_fqdn = \"{name}\""));
        set_up
    };
    says(&named("ase.appserviceenvironment.net").only("IN-MGMT-FW"), "leads TCP 454 through the firewall");
    named("app.ase.appserviceenvironment.net").only("IN-MGMT-FW");
    named("elsewhere.test").healthy();
}

const CLIENTS: &str = "client_ranges = [\"192.168.0.0/16\"]\n";

/// The environment itself is no client of its apps.
#[test]
fn in_app_without_known_clients() {
    let nobody = |ports: &str| worked().network(CLIENTS, "").network(HTTP, &HTTP.replace("[80, 443]", ports));
    let closed = nobody("8081");
    assert_eq!(closed.ids(), ["IN-APP", "IN-SCM"]);
    let diagnosis = closed.diagnosis();
    says(diagnosis.findings()[0], "nobody reaches TCP 80,443 of the subnet: apps");
    nobody("80").only("IN-SCM");
    assert_eq!(nobody("443").only("IN-APP").severity, Severity::Advice);
    nobody("[80, 443]").healthy();
    // A neighbour is somebody.
    worked().network(CLIENTS, "").network(HTTP, &HTTP.replace("192.168.0.0/16", "192.168.7.0/24")).healthy();
}

const PROBES: &str = "    { name = \"load-balancer\", priority = 110, direction = \"Inbound\", access = \"Allow\", source = \"AzureLoadBalancer\" },\n";

/// The tag VirtualNetwork holds the host's address, says one document; that the load balancer needs a rule, another.
#[test]
fn probes_by_the_network_alone() {
    let by_network = |set_up: SetUp| {
        set_up.network(PROBES, "    { name = \"near\", priority = 110, direction = \"Inbound\", access = \"Allow\", source = \"VirtualNetwork\" },\n")
    };
    let found = by_network(worked()).only("IN-LB-16001");
    assert_eq!(found.severity, Severity::Degraded);
    says(&found, "reaches TCP 454-455,16001 of the subnet by VirtualNetwork alone");
    assert_eq!(evidence(&found), ["security rule ase-nsg/near (110) lets in 168.63.129.16 as part of VirtualNetwork"]);
    assert!(opened(&found).priority < 110);
    let v3 = by_network(v3()).only("IN-V3-80");
    assert_eq!(v3.severity, Severity::Degraded);
    // Whoever lets in everything, or Azure's default rules, mean it.
    worked().network(PROBES, &PROBES.replace("AzureLoadBalancer", "*")).healthy();
    let deny = "    { name = \"deny-inbound\", priority = 4096, direction = \"Inbound\", access = \"Deny\" },\n";
    by_network(worked()).network(deny, "").healthy();
}
