//! The doctor's rules about DNS, the subnet, and what becomes old: each breakage of the worked set-up is found with its
//! id and nothing else, and what is like it and right is not.

use egret::doctor::{Finding, Severity};
use egret::vnet::Change;

use crate::support::patient::{SetUp, worked};

const DEFAULT: &str = "prefix = \"0.0.0.0/0\", next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.0.4\"";
const PREFIX: &str = "prefix = \"192.168.251.128/25\"";

#[track_caller]
fn says(finding: &Finding, parts: &[&str]) {
    for part in parts {
        assert!(finding.what.contains(part), "`{part}` is not in: {}", finding.what);
    }
}

fn servers(addresses: &str) -> SetUp {
    let first = "[[vnet.subnet]]\nname = \"ase-subnet\"";
    let resolvers = format!("[[vnet.subnet]]\nname = \"resolvers\"\nprefix = \"192.168.3.0/24\"\n\n{first}");
    worked().network(first, &resolvers).vnet(&format!("dns_servers = [{addresses}]"))
}

/// A security rule before the others.
fn outbound(set_up: SetUp, rule: &str) -> SetUp {
    set_up.network(
        "    { name = \"dns\", priority = 100",
        &format!("    {{ {rule} }},\n    {{ name = \"dns\", priority = 105"),
    )
}

#[test]
fn dns_azure() {
    let deny = "name = \"no-azure-dns\", priority = 100, direction = \"Outbound\", access = \"Deny\", destination = \"AzurePlatformDNS\"";
    let found = outbound(servers("\"192.168.3.4\""), deny).only("DNS-AZURE");
    assert_eq!((found.severity, found.subject.as_str()), (Severity::Suspended, "ase-nsg"));
    says(&found, &["security rule ase-nsg/no-azure-dns (100) denies Azure DNS at 168.63.129.16"]);
    assert_eq!(found.mend, [Change::RemoveSecurityRule { group: "ase-nsg".into(), rule: "no-azure-dns".into() }]);
    servers("\"192.168.3.4\"").healthy();
    assert!(worked().not_applicable("DNS-AZURE").contains("OUT-DNS"));
    let line = set_line(&found);
    assert!(line.contains("no-azure-dns"), "{line}");
    // Azure's own named as the network's server is Azure's own.
    let own = outbound(servers("\"168.63.129.16\""), deny).only("OUT-DNS");
    assert_eq!(own.severity, Severity::Suspended);
    says(&own, &["denies Azure DNS at 168.63.129.16"]);
}

#[test]
fn dns_custom() {
    let found = servers("\"10.1.0.4\"").only("DNS-CUSTOM");
    assert_eq!(found.severity, Severity::Unhealthy);
    says(&found, &["its DNS server 10.1.0.4 cannot be asked from the subnet", "no network rule for UDP 53"]);
    let rule = "{ name = \"dns\", ip_protocols = \"UDP\", destination_addresses = \"10.1.0.4\", destination_ports = 53 },\n    # Triage";
    servers("\"10.1.0.4\"").policy("# Triage", rule).healthy();
    let behind =
        |routes: &str| servers("\"10.1.0.4\"").vnet(&format!("gateway = {{ name = \"vpn\", routes = [{routes}] }}"));
    behind("\"10.0.0.0/8\"").healthy();
    behind("\"10.2.0.0/16\"").only("DNS-CUSTOM");
    // The security group has something against it.
    let deny = "name = \"no-dns\", priority = 100, direction = \"Outbound\", access = \"Deny\", protocol = \"Udp\", destination = \"192.168.3.4\", ports = 53";
    says(
        &outbound(servers("\"192.168.3.4\""), deny).only("DNS-CUSTOM"),
        &["security rule ase-nsg/no-dns (100) denies UDP 53"],
    );
    // The firewall answers as a DNS proxy, if it is one.
    let proxy = |on: bool| {
        let settings = format!("name = \"ase-egress\"\n\n[settings.dns]\nproxy = {on}\n");
        servers("\"192.168.0.4\"").policy("name = \"ase-egress\"\n", &settings)
    };
    proxy(true).healthy();
    says(&proxy(false).only("DNS-CUSTOM"), &["it is the firewall firewall, whose policy has the DNS proxy off"]);
    let dropped = servers("\"10.1.0.4\"")
        .routes("{ name = \"hole\", prefix = \"10.0.0.0/8\", next_hop = \"None\" },")
        .only("DNS-CUSTOM");
    says(&dropped, &["route ase-routes/hole (10.0.0.0/8 to None) drops what is for it"]);
    let names = worked().ase("unresolvable = [\"management.azure.com\"]").only("DNS-CUSTOM");
    says(&names, &["its DNS servers do not resolve management.azure.com"]);
}

#[test]
fn dns_reboot() {
    let found = servers("\"192.168.3.4\"").ase("dns_changed = true").only("DNS-REBOOT");
    assert_eq!(found.severity, Severity::Advice);
    says(&found, &["(now 192.168.3.4)"]);
    assert!(found.by_hand.unwrap().contains("reboot"));
    servers("\"192.168.3.4\"").ase("dns_changed = false").healthy();
}

const SCM: &str = "    { name = \"*.scm\", addresses = \"192.168.251.132\" },\n";

#[test]
fn dns_ilb() {
    let found = worked().network(SCM, "").only("DNS-ILB");
    assert_eq!(found.severity, Severity::App);
    says(&found, &["*.scm.ase.appserviceenvironment.net do not lead to the internal load balancer at 192.168.251.132"]);
    let [Change::DnsRecord { zone, name, .. }] = &found.mend[..] else { panic!("{:?}", found.mend) };
    assert_eq!((zone.as_str(), name.as_str()), ("ase.appserviceenvironment.net", "*.scm"));
    let wrong = worked().network(
        "{ name = \"@\", addresses = \"192.168.251.132\" }",
        "{ name = \"@\", addresses = \"192.168.251.133\" }",
    );
    says(&wrong.only("DNS-ILB"), &["ase.appserviceenvironment.net do not lead"]);
    worked()
        .network("[[nsg]]", "[[vnet]]\nname = \"elsewhere\"\naddress_space = \"10.0.0.0/16\"\n\n[[nsg]]")
        .network("[firewall]\n", "[firewall]\nvnet = \"ase-vnet\"\n")
        .ase("vnet = \"ase-vnet\"")
        .network("vnets = [\"ase-vnet\"]", "vnets = [\"elsewhere\"]")
        .only("DNS-ILB");
    let zone = "[[dns_zone]]\nname = \"scm.ase.appserviceenvironment.net\"\nvnets = [\"ase-vnet\"]\nrecord = [{ name = \"*\", addresses = \"192.168.251.132\" }]\n\n[[dns_zone]]\nname = \"ase.";
    worked().network(SCM, "").network("[[dns_zone]]\nname = \"ase.", zone).healthy();
    worked().ase("dns_suffix = \"contoso.net\"").only("DNS-ILB");
    worked()
        .ase("dns_suffix = \"contoso.net\"")
        .network("\"ase.appserviceenvironment.net\"", "\"contoso.net\"")
        .healthy();
}

/// The environment's subnet with another prefix, and its address in it.
fn sized(prefix: &str) -> SetUp {
    let mut set_up = worked().network(PREFIX, &format!("prefix = \"{prefix}\""));
    set_up.network = set_up.network.replace("192.168.251.128/25", prefix);
    set_up.policy = set_up.policy.replace("192.168.251.128/25", prefix);
    set_up
}

/// An environment of version 3, with all that it needs.
fn version_3(set_up: SetUp) -> SetUp {
    set_up.ase("version = \"ASEV3\"").network("version = \"ASEV2\"\n", "").network(
        "route_table = \"ase-routes\"",
        "route_table = \"ase-routes\"\ndelegation = [\"Microsoft.Web/hostingEnvironments\"]",
    )
}

#[test]
fn net_size() {
    let found = sized("192.168.251.128/26").only("NET-SIZE");
    assert_eq!((found.severity, found.subject.as_str()), (Severity::Advice, "ase-subnet"));
    says(&found, &["/26 leaves 46 addresses to grow into; /24 is advised"]);
    let impossible = sized("192.168.251.128/28").only("NET-SIZE");
    assert_eq!(impossible.severity, Severity::Unhealthy);
    says(&impossible, &["/28 has 11 addresses to give, and an empty environment takes 13"]);
    sized("192.168.251.0/24").healthy();
    // What the platform logs of it.
    let said = |set_up: SetUp| set_up.diagnosis().platform_messages("ase");
    let left = |addresses: u8| {
        format!("the subnet ase-subnet of the environment ase is almost out of space: {addresses} addresses are left")
    };
    assert_eq!(said(sized("192.168.251.128/27")), [left(14)]);
    assert!(said(sized("192.168.251.128/28")).contains(&left(0)));
    assert!(said(sized("192.168.251.128/26")).is_empty());
    version_3(sized("192.168.251.128/27")).healthy();
    let small = version_3(sized("192.168.251.128/28")).only("NET-SIZE");
    assert_eq!(small.severity, Severity::Unhealthy);
}

#[test]
fn net_delegation() {
    version_3(worked()).healthy();
    let delegation = "\ndelegation = [\"Microsoft.Web/hostingEnvironments\"]";
    let found = version_3(worked()).network(delegation, "").only("NET-DELEGATION");
    assert_eq!(found.severity, Severity::Unhealthy);
    assert!(
        matches!(&found.mend[..], [Change::Delegation { service, .. }] if service == "Microsoft.Web/hostingEnvironments")
    );
    version_3(worked())
        .network("Microsoft.Web/hostingEnvironments", "Microsoft.Web/serverFarms")
        .only("NET-DELEGATION");
    let occupied = version_3(worked()).network(delegation, &format!("{delegation}\noccupants = [\"vm-1\"]"));
    says(&occupied.only("NET-DELEGATION"), &["vm-1 is in it"]);
    assert_eq!(worked().not_applicable("NET-DELEGATION"), "an environment of version 2");
}

#[test]
fn net_latency() {
    let tunnel = |ms: u32| {
        worked()
            .network(DEFAULT, "prefix = \"0.0.0.0/0\", next_hop = \"VirtualNetworkGateway\"")
            .vnet(&format!("gateway = {{ name = \"er\", latency_ms = {ms} }}"))
    };
    let found = tunnel(100).only("NET-LATENCY");
    assert_eq!(found.severity, Severity::Degraded);
    says(&found, &["100 ms away"]);
    tunnel(99).healthy();
    worked().vnet("gateway = { name = \"er\", latency_ms = 300, routes = [\"10.0.0.0/8\"] }").healthy();
}

#[test]
fn life_restore() {
    let found = worked().ase("restored = true\nsql_egress_ranges = [\"198.51.100.0/24\"]").only("LIFE-RESTORE");
    assert_eq!(found.severity, Severity::Advice);
    says(&found, &["(now 203.0.113.9)"]);
    assert!(found.evidence.iter().any(|it| it.what == "userWhitelistedIpRanges has 198.51.100.0/24"));
    worked().ase("restored = false").healthy();
}

#[test]
fn doc_list_age() {
    // The rules of 2018 in place of the tags.
    let old = |edition: &str| {
        worked().network("policy = [\"policy.toml\"]", &format!("policy = [\"{edition}\", \"policy.toml\"]")).policy(
            "fqdn_tags = [\"AppServiceEnvironment\", \"WindowsUpdate\"]",
            "protocols = [\"Https:443\"], target_fqdns = [\"own.test\"]",
        )
    };
    let found = old("ase@2018-09-24").only("DOC-LIST-AGE");
    assert_eq!(found.severity, Severity::Advice);
    says(&found, &["its rules are those of the list of 2018-09-24", "in the list of 2023-11-20 it denies"]);
    assert!(found.evidence.iter().any(|it| it.what == "graph.microsoft.com:443"));
    old("ase@2023-11-20").healthy();
    worked().healthy();
    let endpoints = worked().network("Microsoft.EventHub", "Microsoft.KeyVault").only("DOC-LIST-AGE");
    says(&endpoints, &["Microsoft.KeyVault, where later ones have Microsoft.EventHub"]);
}

#[test]
fn dns_servers_are_in_a_subnet() {
    let found = servers("\"192.168.9.4\"").only("DNS-CUSTOM");
    assert!(found.what.contains("it is in no subnet of the network"), "{}", found.what);
}

#[test]
fn azure_dns_answers_for_linked_zones_alone() {
    worked().network("vnets = [\"ase-vnet\"]", "vnets = []").only("DNS-ILB");
}

/// The place in the network's file that a finding rests on.
fn set_line(found: &Finding) -> String {
    let evidence = found.evidence.iter().find(|it| it.coverage.is_none()).unwrap();
    assert_ne!(evidence.at.span(), found.at.span(), "the rule is not where its group begins");
    evidence.what.clone()
}

/// The server's own subnet has a security group too.
#[test]
fn dns_custom_is_not_let_in() {
    let group = "[[nsg]]\nname = \"resolvers-nsg\"\nrule = [{ name = \"no-dns\", priority = 100, direction = \"Inbound\", access = \"Deny\", protocol = \"Udp\", ports = 53 }]\n\n[[nsg]]";
    let closed = servers("\"192.168.3.4\"")
        .network("prefix = \"192.168.3.0/24\"\n", "prefix = \"192.168.3.0/24\"\nnsg = \"resolvers-nsg\"\n")
        .network("[[nsg]]", group);
    let found = closed.only("DNS-CUSTOM");
    says(&found, &["security rule resolvers-nsg/no-dns (100) denies UDP 53 at resolvers"]);
}

/// Wide rules of one's own were made from no list.
#[test]
fn rules_of_no_list_are_judged_by_the_newest() {
    let wild = worked().policy(
        "fqdn_tags = [\"AppServiceEnvironment\", \"WindowsUpdate\"]",
        "protocols = [\"Https:443\", \"Http:80\"], target_fqdns = [\"*.microsoft.com\", \"*.windows.net\", \"*.azure.com\", \"*.core.windows.net\"]",
    );
    assert_eq!(wild.ids(), ["FW-ASE", "FW-WILDCARD"]);
    let diagnosis = wild.diagnosis();
    assert!(diagnosis.findings().iter().all(|it| it.what.contains("ase@2023-11-20")), "{:?}", diagnosis.findings());
}
