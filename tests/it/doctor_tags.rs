//! The doctor and service tags whose prefixes are not at hand: what would be known with them is not said for certain, in
//! neither direction, and what can be known without them is.

use egret::doctor::{Finding, Severity};

use crate::support::patient::{SetUp, worked};

const TAG_ROUTE: &str = "{ name = \"management\", prefix = \"AppServiceManagement\", next_hop = \"Internet\" },";
const MANAGEMENT: &str = "source = \"AppServiceManagement\"";
const MANAGED: &str = "priority = 100, direction = \"Inbound\", access = \"Allow\", protocol = \"Tcp\", source = \"AppServiceManagement\", destination = \"192.168.251.128/25\", ports = \"454-455\"";

#[track_caller]
fn is_not_known(set_up: &SetUp, id: &str, tag: &str) -> Finding {
    let found = set_up.only(id);
    assert_eq!(found.severity, Severity::Degraded, "{found:?}");
    assert!(found.what.contains("is not known") && found.what.contains(tag), "{}", found.what);
    assert!(found.by_hand.as_ref().is_some_and(|it| it.contains("--service-tags")), "{:?}", found.by_hand);
    assert!(found.evidence.iter().any(|it| it.what.contains(&format!("service tag {tag}"))), "{:?}", found.evidence);
    assert!(found.mend.is_empty(), "{:?}", found.mend);
    found
}

#[test]
fn what_a_tag_would_allow_is_not_known() {
    is_not_known(&worked().network(MANAGEMENT, "source = \"AzureCloud\""), "IN-MGMT", "AzureCloud");
    is_not_known(&worked().network("destination = \"Sql\"", "destination = \"Sql.WestUS2\""), "OUT-SQL", "Sql.WestUS2");
    for tag in ["AzureCloud", "AppServiceManagement.WestUS2"] {
        is_not_known(&worked().network(TAG_ROUTE, &TAG_ROUTE.replace("AppServiceManagement", tag)), "RT-MGMT", tag);
    }
}

#[test]
fn what_a_tag_would_deny_is_not_known() {
    let deny = "{ name = \"away\", priority = 100, direction = \"Inbound\", access = \"Deny\", source = \"AzureCloud.eastus\" },\n    { name = \"management\", priority = 105,";
    is_not_known(&worked().network("{ name = \"management\", priority = 100,", deny), "IN-MGMT", "AzureCloud.eastus");
    let away = worked().routes("{ name = \"away\", prefix = \"AppServiceManagement.WestUS2\", next_hop = \"None\" },");
    is_not_known(&away, "RT-MGMT", "AppServiceManagement.WestUS2");
}

/// Whatever the tag holds, it is not what is asked for.
#[test]
fn what_no_tag_can_help_is_known() {
    let web = "source = \"192.168.251.128/25\", ports = [80, 443]";
    let found = worked().network(web, &format!("{web}, destination = \"AzureCloud\"")).only("OUT-WEB");
    assert_eq!(found.severity, Severity::Suspended, "names of the list are outside of Azure");
    assert!(found.evidence.iter().any(|it| it.what.contains("service tag AzureCloud")), "{:?}", found.evidence);
    let wrong_port =
        worked().network(MANAGED, &MANAGED.replace("AppServiceManagement", "AzureCloud").replace("454-455", "453"));
    assert_eq!(wrong_port.only("IN-MGMT").severity, Severity::Suspended);
    // A tag of nothing that is needed changes nothing.
    let other = "{ name = \"away\", priority = 101, direction = \"Inbound\", access = \"Deny\", source = \"AzureDatabricks\" },\n    { name = \"load-balancer\"";
    worked().network("{ name = \"load-balancer\"", other).healthy();
}

fn china() -> SetUp {
    worked()
        .network("name = \"worked\"", "name = \"worked\"\ncloud = \"china\"")
        .network("appserviceenvironment.net", "appserviceenvironment.cn")
}

/// A rule or a route with the tag counts for the two documented addresses, as far as it goes.
#[test]
fn a_tag_in_china_is_believed_no_further_than_its_rule() {
    let managed = |rule: &str| china().network(MANAGED, rule);
    let severity = |set_up: SetUp| {
        let diagnosis = set_up.diagnosis();
        diagnosis.findings().into_iter().find(|it| it.rule.id == "IN-MGMT").map(|it| it.severity)
    };
    assert_eq!(severity(china()), None);
    assert_eq!(severity(managed(&MANAGED.replace("454-455", "454"))), Some(Severity::Suspended));
    assert_eq!(severity(managed(&MANAGED.replace("Tcp", "Udp"))), Some(Severity::Suspended));
    let behind = china().network(
        "{ name = \"management\", priority = 100",
        "{ name = \"d\", priority = 100, direction = \"Inbound\", access = \"Deny\", protocol = \"Tcp\", source = \"Internet\", ports = 454 },\n    { name = \"management\", priority = 102",
    );
    assert_eq!(severity(behind), Some(Severity::Suspended));
    let route = china().routes("{ name = \"n\", prefix = \"42.159.4.236/32\", next_hop = \"None\" },");
    let diagnosis = route.diagnosis();
    let found = diagnosis.findings().into_iter().find(|it| it.rule.id == "RT-MGMT").unwrap().clone();
    assert!(found.what.contains("1 fully, 0 partly and 1 not at all"), "{}", found.what);
    // Wider than an address it may well be wider than the tag's prefix.
    let wide = china().routes("{ name = \"n\", prefix = \"42.159.0.0/16\", next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.0.4\" },");
    assert!(!wide.ids().contains(&"RT-MGMT"), "{:?}", wide.ids());
}

fn gov() -> SetUp {
    worked()
        .network("name = \"worked\"", "name = \"worked\"\ncloud = \"usgov\"")
        .network("appserviceenvironment.net", "appserviceenvironment.us")
}

/// Without the prefixes of Sql a rule with the tag counts, and no rule at all is none.
#[test]
fn sql_of_the_us_government() {
    gov().healthy();
    let found = gov().network("ports = [1433, \"11000-11999\", \"14000-14999\"]", "ports = 1434").only("OUT-SQL");
    assert_eq!(found.severity, Severity::Suspended);
    assert!(found.what.contains("TCP 1433"), "{}", found.what);
    gov().network("destination = \"Sql\", ports = [1433", "ports = [1433").healthy();
}
