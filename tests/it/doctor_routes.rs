//! The doctor's rules about routes: each breakage of the worked set-up is found with its id and nothing else, and what is
//! like it and right is not.

use egret::doctor::{Coverage, Finding, Severity};
use egret::policy::Spot;
use egret::vnet::Change;

use crate::support::patient::{SetUp, worked};

const TAG_ROUTE: &str = "{ name = \"management\", prefix = \"AppServiceManagement\", next_hop = \"Internet\" },";
const DEFAULT: &str = "prefix = \"0.0.0.0/0\", next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.0.4\"";
const ENDPOINTS: &str = "\"Microsoft.Sql\", \"Microsoft.Storage\", \"Microsoft.EventHub\"";
const ILB: &str = "internal_load_balancing_mode = \"Web, Publishing\"";

/// 0.0.0.0/0 leads somewhere else.
fn default_to(hop: &str) -> SetUp {
    worked().network(DEFAULT, &format!("prefix = \"0.0.0.0/0\", {hop}"))
}

fn to_the_internet() -> SetUp {
    default_to("next_hop = \"Internet\"")
}

/// Traffic is forced to one's own premises, and all is done that this needs.
fn forced_tunnel(gateway: &str) -> SetUp {
    default_to("next_hop = \"VirtualNetworkGateway\"").vnet(&format!("gateway = {{ name = \"er\", {gateway} }}"))
}

fn covered(finding: &Finding, coverage: Coverage) -> usize {
    finding.evidence.iter().filter(|it| it.coverage == Some(coverage)).count()
}

#[track_caller]
fn says(finding: &Finding, parts: &[&str]) {
    for part in parts {
        assert!(finding.what.contains(part), "`{part}` is not in: {}", finding.what);
    }
}

#[test]
fn the_worked_set_up_is_healthy() {
    worked().healthy();
}

#[test]
fn rt_default() {
    let dropped = default_to("next_hop = \"None\"").only("RT-DEFAULT");
    assert_eq!((dropped.severity, dropped.subject.as_str()), (Severity::Suspended, "ase-routes/default"));
    says(&dropped, &["0.0.0.0/0 has the next hop None"]);
    assert!(
        matches!(&dropped.mend[..], [Change::Route { route, .. }] if route.name == "default"),
        "{:?}",
        dropped.mend
    );
    let outside = default_to("next_hop = \"VirtualAppliance\", next_hop_address = \"10.9.9.9\"").only("RT-DEFAULT");
    says(&outside, &["10.9.9.9", "neither in ase-vnet nor in a network that it peers with"]);
    let nobody = default_to("next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.0.5\"").only("RT-DEFAULT");
    says(&nobody, &["192.168.0.5", "the firewall firewall is at 192.168.0.4"]);
    let nowhere = default_to("next_hop = \"VirtualNetworkGateway\"").only("RT-DEFAULT");
    says(&nowhere, &["there is no gateway"]);
    to_the_internet().healthy();
    forced_tunnel("routes = []").healthy();
    // An appliance of somebody else's, elsewhere in the network; where nothing can be, there is none.
    let elsewhere = default_to("next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.7.4\"");
    says(&elsewhere.only("RT-DEFAULT"), &["192.168.7.4, which is in no subnet of ase-vnet"]);
    subnet(elsewhere, "{ name = \"appliances\", prefix = \"192.168.7.0/24\" }").healthy();
}

/// One more subnet, `{ name = …, prefix = … }`.
fn subnet(set_up: SetUp, keys: &str) -> SetUp {
    let keys = keys.trim_matches(['{', '}', ' ']).replace(", ", "\n");
    let first = "[[vnet.subnet]]\nname = \"ase-subnet\"";
    set_up.network(first, &format!("[[vnet.subnet]]\n{keys}\n\n{first}"))
}

/// A route table on the firewall's subnet.
fn behind_the_firewall(hop: &str) -> SetUp {
    let table = format!(
        "[[route_table]]\nname = \"beyond\"\nroute = [{{ name = \"on\", prefix = \"0.0.0.0/0\", {hop} }}]\n\n[[nsg]]\n"
    );
    worked()
        .network("prefix = \"192.168.0.0/26\"\n", "prefix = \"192.168.0.0/26\"\nroute_table = \"beyond\"\n")
        .network("[[nsg]]\n", &table)
}

#[test]
fn rt_default_behind_the_firewall() {
    let dropped = behind_the_firewall("next_hop = \"None\"").only("RT-DEFAULT");
    assert_eq!((dropped.severity, dropped.subject.as_str()), (Severity::Suspended, "beyond/on"));
    says(&dropped, &["behind the firewall firewall", "next hop None"]);
    let back = "next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.0.4\"";
    says(&behind_the_firewall(back).only("RT-DEFAULT"), &["back into its own subnet"]);
    behind_the_firewall("next_hop = \"Internet\"").healthy();
}

#[test]
fn rt_default_in_parts() {
    let hole =
        |prefix: &str| worked().routes(&format!("{{ name = \"hole\", prefix = \"{prefix}\", next_hop = \"None\" }},"));
    for prefix in ["0.0.0.0/1", "64.0.0.0/2", "13.64.0.0/11"] {
        let found = hole(prefix).only("RT-DEFAULT");
        assert_eq!(found.severity, Severity::Suspended, "{prefix}");
        says(&found, &["part of the Internet is not reached", prefix]);
        assert!(covered(&found, Coverage::Missing) > 0, "{prefix}");
    }
    // What is private or set aside is not the Internet, and a little of it may be dropped on purpose.
    for prefix in ["10.0.0.0/8", "240.0.0.0/4", "100.64.0.0/10", "45.80.0.0/24"] {
        hole(prefix).healthy();
    }
}

#[test]
fn rt_app_reply_to_a_subnet_beside() {
    let route = "{ name = \"clients\", prefix = \"192.168.5.0/24\", next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.0.4\" },";
    let clients = |table: &str| {
        let keys = format!("{{ name = \"clients\", prefix = \"192.168.5.0/24\"{table} }}");
        subnet(worked().routes(route), &keys)
    };
    says(&clients("").only("RT-APP-REPLY"), &["do not go back the way they came"]);
    // They come by the firewall too.
    let there = "[[route_table]]\nname = \"there\"\nroute = [{ name = \"apps\", prefix = \"192.168.251.128/25\", next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.0.4\" }]\n\n[[nsg]]\n";
    clients(", route_table = \"there\"").network("[[nsg]]\n", there).healthy();
}

#[test]
fn rt_mgmt() {
    let none = worked().network(TAG_ROUTE, "").only("RT-MGMT");
    assert_eq!(none.severity, Severity::Suspended);
    says(&none, &["of 231 prefixes of AppServiceManagement", "cover 0 fully, 0 partly and 231 not at all"]);
    says(&none, &["6,695 of 6,695", "VirtualAppliance 192.168.0.4"]);
    assert_eq!(covered(&none, Coverage::Missing), 231);
    let [Change::Route { table, route }] = &none.mend[..] else { panic!("{:?}", none.mend) };
    assert_eq!((table.as_str(), route.name.as_str()), ("ase-routes", "AppServiceManagement"));
    // A route with a longer prefix than the tag's.
    let narrower = "{ name = \"odd\", prefix = \"13.66.140.0/27\", next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.0.4\" },";
    let diverted = worked().routes(narrower).only("RT-MGMT");
    says(&diverted, &["cover 230 fully, 1 partly and 0 not at all", "32 of 6,695"]);
    assert!(diverted.evidence.iter().any(|it| it.what.contains("route ase-routes/odd (13.66.140.0/27")));
    assert!(diverted.mend.contains(&Change::RemoveRoute { table: "ase-routes".into(), route: "odd".into() }));
    // One that is wider than the tag's takes nothing away.
    worked().routes(&narrower.replace("13.66.140.0/27", "13.0.0.0/8")).healthy();
    // Where all goes to the Internet, no route is needed; where it is forced elsewhere, it is.
    to_the_internet().network(TAG_ROUTE, "").healthy();
    forced_tunnel("routes = []").network(TAG_ROUTE, "").only("RT-MGMT");
}

/// The /32 routes of the recipe.
fn recipe() -> SetUp {
    let list = std::fs::read_to_string("allowlists/management/public@2022-10-24.txt").unwrap();
    let addresses: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(addresses.len(), 72);
    let route = |it: &&str| format!("{{ name = \"{it}\", prefix = \"{it}/32\", next_hop = \"Internet\" }},\n");
    worked().network(TAG_ROUTE, &addresses.iter().map(route).collect::<String>())
}

#[test]
fn rt_mgmt_stale() {
    let stale = recipe().only("RT-MGMT-STALE");
    says(&stale, &["of 231 prefixes of AppServiceManagement", "cover 34 fully, 37 partly and 160 not at all"]);
    says(&stale, &["of 6,695 management addresses"]);
    assert_eq!([Coverage::Covered, Coverage::Partly, Coverage::Missing].map(|it| covered(&stale, it)), [34, 37, 160]);
    let prefix = |text: &str| stale.evidence.iter().find(|it| it.what == text).unwrap().coverage;
    assert_eq!(prefix("70.37.57.58"), Some(Coverage::Covered));
    assert_eq!(prefix("13.66.140.0/26"), Some(Coverage::Partly));
    assert_eq!(prefix("4.232.43.128/26"), Some(Coverage::Missing));
    // The tag mends it, whatever else is there.
    recipe().routes(TAG_ROUTE).healthy();
    // Where nothing is forced anywhere it is a list like any other.
    recipe().network(DEFAULT, "prefix = \"0.0.0.0/0\", next_hop = \"Internet\"").healthy();
}

#[test]
fn rt_sql() {
    let without = |set_up: SetUp| set_up.network("\"Microsoft.Sql\", ", "");
    let refused = without(worked()).only("RT-SQL");
    says(&refused, &["leave by VirtualAppliance 192.168.0.4 as 203.0.113.4", "userWhitelistedIpRanges"]);
    assert!(matches!(&refused.mend[..], [Change::ServiceEndpoint { service, .. }] if service == "Microsoft.Sql"));
    // With its address in the list, the firewall has to let SQL through as well.
    let listed = without(worked()).ase("sql_egress_ranges = [\"203.0.113.4\"]");
    says(&listed.only("RT-SQL"), &["which denies them"]);
    let sql = "{ name = \"sql\", ip_protocols = \"TCP\", destination_addresses = \"Sql\", destination_ports = 1433 },\n    # Triage";
    listed.policy("# Triage", sql).healthy();
    // By a route to the Internet it leaves by the VIP.
    without(worked()).routes("{ name = \"sql\", prefix = \"Sql\", next_hop = \"Internet\" },").healthy();
    without(to_the_internet()).healthy();
    let tunnel = |address: &str| without(forced_tunnel(&format!("egress_addresses = [\"{address}\"]")));
    says(&tunnel("198.51.100.7").only("RT-SQL"), &["leave by VirtualNetworkGateway as 198.51.100.7"]);
    tunnel("203.0.113.9").healthy();
    tunnel("198.51.100.7").ase("sql_egress_ranges = [\"198.51.100.0/24\"]").healthy();
}

#[test]
fn rt_se() {
    let missing = worked().network(", \"Microsoft.EventHub\"", "").only("RT-SE");
    says(&missing, &["without a service endpoint for Microsoft.EventHub"]);
    assert_eq!(missing.severity, Severity::Suspended);
    let storage = worked().network(" \"Microsoft.Storage\",", "").only("RT-SE");
    assert!(matches!(&storage.mend[..], [Change::ServiceEndpoint { service, .. }] if service == "Microsoft.Storage"));
    worked()
        .network(", \"Microsoft.EventHub\"", "")
        .routes("{ name = \"hub\", prefix = \"EventHub\", next_hop = \"Internet\" },")
        .healthy();
    to_the_internet().network(ENDPOINTS, "").healthy();
    // A forced tunnel needs Storage alone.
    forced_tunnel("egress_addresses = [\"203.0.113.9\"]").network(ENDPOINTS, "\"Microsoft.Storage\"").healthy();
    forced_tunnel("egress_addresses = [\"203.0.113.9\"]").network(ENDPOINTS, "").only("RT-SE");
    // Key Vault instead of Event Hubs is what the document of 2018 has: old, not broken.
    worked().network("Microsoft.EventHub", "Microsoft.KeyVault").only("DOC-LIST-AGE");
}

#[test]
fn rt_se_sqlall() {
    let database =
        |rule: bool| worked().ase(&format!("app_database = [{{ name = \"orders\", virtual_network_rule = {rule} }}]"));
    let found = database(false).only("RT-SE-SQLALL");
    assert_eq!(found.severity, Severity::App);
    says(&found, &["apps reach orders by the service endpoint"]);
    database(true).healthy();
    worked().healthy();
    let open = database(false)
        .network("\"Microsoft.Sql\", ", "")
        .routes("{ name = \"sql\", prefix = \"Sql\", next_hop = \"Internet\" },");
    open.healthy();
}

#[test]
fn rt_bgp_specific() {
    let advertised = |nets: &str| {
        worked().vnet(&format!("gateway = {{ name = \"er\", kind = \"ExpressRoute\", routes = [{nets}] }}"))
    };
    // All of Azure's ranges there, but for what the tag's narrower routes and the endpoints hold.
    let found = advertised("\"0.0.0.0/0\", \"20.0.0.0/8\"").only("RT-BGP-SPECIFIC");
    assert_eq!((found.severity, found.subject.as_str()), (Severity::Suspended, "er"));
    says(&found, &["er advertises 20.0.0.0/8 by BGP"]);
    assert!(found.evidence.iter().any(|it| it.what.contains("of AzureMonitor")), "{:?}", found.evidence);
    let [Change::Route { route, .. }] = &found.mend[..] else { panic!("{:?}", found.mend) };
    assert_eq!(route.name, "azure-20.0.0.0-8");
    // Narrower than management's own.
    let management = advertised("\"13.66.140.0/27\"").only("RT-BGP-SPECIFIC");
    assert!(management.evidence.iter().any(|it| it.what.contains("1 prefix of AppServiceManagement")));
    // Both halves stand in for the default route.
    let halves = advertised("\"0.0.0.0/1\", \"128.0.0.0/1\"").ids();
    assert!(halves.contains(&"RT-BGP-SPECIFIC"), "{halves:?}");
    advertised("\"0.0.0.0/0\", \"10.0.0.0/8\", \"203.0.113.0/24\"").healthy();
    let ignored = advertised("\"20.0.0.0/8\"")
        .network("name = \"ase-routes\"\n", "name = \"ase-routes\"\ndisable_bgp_route_propagation = true\n");
    ignored.healthy();
}

#[test]
fn rt_bgp_off() {
    let off = |nets: &str| {
        worked()
            .vnet(&format!("gateway = {{ name = \"er\", routes = [{nets}] }}"))
            .network("name = \"ase-routes\"\n", "name = \"ase-routes\"\ndisable_bgp_route_propagation = true\n")
    };
    let found = off("\"10.1.0.0/16\", \"10.2.0.0/16\"").only("RT-BGP-OFF");
    assert_eq!(found.severity, Severity::App);
    says(&found, &["no route of its own leads to 10.1.0.0/16 and 10.2.0.0/16"]);
    assert_eq!(found.mend.len(), 2);
    let route = "{ name = \"premises\", prefix = \"10.0.0.0/8\", next_hop = \"VirtualNetworkGateway\" },";
    off("\"10.1.0.0/16\"").network("route = [\n", &format!("route = [\n{route}\n")).healthy();
    off("").healthy();
    worked().vnet("gateway = { name = \"er\", routes = [\"10.1.0.0/16\"] }").healthy();
}

/// An External environment whose clients are anywhere.
fn external() -> SetUp {
    worked()
        .network(ILB, "internal_load_balancing_mode = \"None\"")
        .network("internal_address = \"192.168.251.132\"\n", "")
        .network("client_ranges = [\"192.168.0.0/16\"]\n", "client_ranges = []\n")
        .network("{ name = \"http\", priority = 130, direction = \"Inbound\", access = \"Allow\", protocol = \"Tcp\", source = \"192.168.0.0/16\"", "{ name = \"http\", priority = 130, direction = \"Inbound\", access = \"Allow\", protocol = \"Tcp\"")
}

#[test]
fn rt_app_reply() {
    let dead = external().only("RT-APP-REPLY");
    assert_eq!(dead.severity, Severity::App);
    says(&dead, &["replies to them leave by VirtualAppliance 192.168.0.4"]);
    let clients = |set_up: SetUp| set_up.network("client_ranges = []", "client_ranges = [\"198.51.100.0/24\"]");
    let known = clients(external()).only("RT-APP-REPLY");
    says(&known, &["replies to clients in 198.51.100.0/24"]);
    assert!(matches!(&known.mend[..], [Change::Route { route, .. }] if route.name == "clients-198.51.100.0-24"));
    let route = "{ name = \"clients\", prefix = \"198.51.100.0/24\", next_hop = \"Internet\" },";
    clients(external()).network("route = [\n", &format!("route = [\n{route}\n")).healthy();
    external().network(DEFAULT, "prefix = \"0.0.0.0/0\", next_hop = \"Internet\"").healthy();
    // Behind an internal load balancer, clients of a network that nothing leads to.
    let lost = worked().network("client_ranges = [\"192.168.0.0/16\"]", "client_ranges = [\"10.1.0.0/16\"]");
    let lost = lost.network("{ name = \"deny-inbound\"", "{ name = \"premises\", priority = 200, direction = \"Inbound\", access = \"Allow\", source = \"10.1.0.0/16\" },\n    { name = \"deny-inbound\"");
    says(&lost.only("RT-APP-REPLY"), &["replies to clients in 10.1.0.0/16"]);
    lost.clone().vnet("gateway = { name = \"er\", routes = [\"10.0.0.0/8\"] }").healthy();
    // What is led to an appliance on purpose came by it.
    lost.routes("{ name = \"premises\", prefix = \"10.0.0.0/8\", next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.0.4\" },").healthy();
}

#[test]
fn rt_appgw() {
    let behind = |set_up: SetUp| set_up.ase("application_gateway = \"192.168.9.0/28\"");
    behind(worked()).healthy();
    let astray = behind(worked()).routes(
        "{ name = \"hub\", prefix = \"192.168.9.0/24\", next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.0.4\" },",
    );
    let found = astray.only("RT-APPGW");
    assert_eq!(found.severity, Severity::App);
    says(&found, &["Application Gateway at 192.168.9.0/28 leave by VirtualAppliance 192.168.0.4"]);
    assert!(
        matches!(&found.mend[..], [Change::Route { route, .. }] if route.name == "application-gateway-192.168.9.0")
    );
    // In front of an External environment it has a public address.
    let public = external().network("client_ranges = []", "application_gateway = \"203.0.113.77\"");
    public.only("RT-APPGW");
    public
        .network(
            "route = [\n",
            "route = [\n{ name = \"gateway\", prefix = \"203.0.113.77/32\", next_hop = \"Internet\" },\n",
        )
        .healthy();
}

const DEPENDENCY: &str = "{ name = \"dependency-1\", prefix = \"40.77.24.27/32\", next_hop = \"Internet\" },";

#[test]
fn rt_ipdep() {
    let hole = worked().network(DEPENDENCY, &DEPENDENCY.replace("Internet", "None")).only("RT-IPDEP");
    assert_eq!(hole.severity, Severity::Degraded);
    says(&hole, &["40.77.24.27:443 and 40.77.24.27:80", "list of 2023-11-20"]);
    let [Change::Route { route, .. }] = &hole.mend[..] else { panic!("{:?}", hole.mend) };
    assert_eq!(route.name, "dependency-1");
    // All of them are in the tag AzureMonitor, which has a network rule.
    let unrouted = worked().network(DEPENDENCY, "");
    unrouted.healthy();
    let monitor = unrouted.policy.lines().find(|line| line.contains("azure-monitor")).unwrap().to_owned();
    let with = |rule: &str| unrouted.clone().policy(&monitor, rule);
    assert_eq!(with("").ids(), ["FW-AZMON", "RT-IPDEP"]);
    let rule = "{ name = \"dependency\", ip_protocols = \"TCP\", destination_addresses = \"40.77.24.27\", destination_ports = [80, 443] },";
    assert_eq!(with(rule).ids(), ["FW-AZMON"]);
    let diagnosis = with(&rule.replace("[80, 443]", "443")).diagnosis();
    let half = diagnosis.findings().into_iter().find(|it| it.rule.id == "RT-IPDEP").unwrap();
    says(half, &["40.77.24.27:80 reach"]);
    // Listed in 2018 only: nobody needs it now.
    let old = "{ name = \"dependency-7\", prefix = \"168.62.226.198/32\", next_hop = \"Internet\" },";
    worked().network(old, &old.replace("Internet", "None")).healthy();
}

/// By rules of the list of 2018, seven addresses and port 443 alone are what is asked for.
#[test]
fn rt_ipdep_by_the_list_of_2018() {
    let old = worked().network("policy = [\"policy.toml\"]", "policy = [\"ase\", \"policy.toml\"]").policy(
        "fqdn_tags = [\"AppServiceEnvironment\", \"WindowsUpdate\"]",
        "protocols = [\"Https:443\"], target_fqdns = [\"a.test\"]",
    );
    old.only("DOC-LIST-AGE");
    let last = "{ name = \"dependency-7\", prefix = \"168.62.226.198/32\", next_hop = \"Internet\" },";
    let hole = old.network(last, &last.replace("Internet", "None"));
    assert_eq!(hole.ids(), ["DOC-LIST-AGE", "RT-IPDEP"]);
    let diagnosis = hole.diagnosis();
    let found = diagnosis.findings().into_iter().find(|it| it.rule.id == "RT-IPDEP").unwrap();
    says(found, &["168.62.226.198:12000", "list of 2018-09-24"]);
}

#[test]
fn rt_nva_subnet() {
    let inside =
        default_to("next_hop = \"VirtualAppliance\", next_hop_address = \"192.168.251.200\"").only("RT-NVA-SUBNET");
    assert_eq!((inside.severity, inside.subject.as_str()), (Severity::Unhealthy, "ase-routes/default"));
    says(&inside, &["the next hop of default is inside ase-subnet"]);
    assert_eq!(inside.mend.len(), 1);
    let occupied =
        worked().network("route_table = \"ase-routes\"", "route_table = \"ase-routes\"\noccupants = [\"vm-1\"]");
    says(&occupied.only("RT-NVA-SUBNET"), &["vm-1 is in the environment's subnet"]);
    let nic = |subnet: &str, address: &str| {
        let text = format!(
            "[firewall]\n# before it\n[nic]\nname = \"vm-2\"\nsubnet = \"{subnet}\"\naddresses = \"{address}\"\n\n"
        );
        let nic = text.trim_start_matches("[firewall]\n# before it\n").to_owned();
        worked().network("[firewall]\n", &format!("{nic}[firewall]\n"))
    };
    says(&nic("ase-subnet", "192.168.251.140").only("RT-NVA-SUBNET"), &["vm-2"]);
    nic("AzureFirewallSubnet", "192.168.0.9").healthy();
}

#[test]
fn rt_limits() {
    let routes = |number: usize| {
        let route = |at: usize| {
            format!(
                "{{ name = \"r{at}\", prefix = \"198.18.{}.{}/32\", next_hop = \"Internet\" }},\n",
                at / 256,
                at % 256
            )
        };
        worked().routes(&(0..number).map(route).collect::<String>())
    };
    routes(391).healthy();
    let found = routes(392).only("RT-LIMITS");
    assert_eq!(found.severity, Severity::Unhealthy);
    says(&found, &["401 routes, where Azure takes 400"]);
    let tags = |number: usize| {
        let route =
            |at: usize| format!("{{ name = \"t{at}\", prefix = \"Storage.Region{at}\", next_hop = \"Internet\" }},\n");
        worked().routes(&(0..number).map(route).collect::<String>())
    };
    tags(24).healthy();
    says(&tags(25).only("RT-LIMITS"), &["26 routes with a service tag, where Azure takes 25"]);
}

/// The US Government cloud has a tag of its own.
#[test]
fn management_of_the_us_government() {
    let gov = worked()
        .network("name = \"worked\"", "name = \"worked\"\ncloud = \"usgov\"")
        .network("appserviceenvironment.net", "appserviceenvironment.us");
    assert!(!gov.ids().contains(&"RT-MGMT"), "{:?}", gov.ids());
    let diagnosis = gov.network(TAG_ROUTE, "").diagnosis();
    let found = diagnosis.findings().into_iter().find(|it| it.rule.id == "RT-MGMT").unwrap();
    says(found, &["of 23 prefixes of AppServiceManagement", "cover 0 fully, 0 partly and 23 not at all"]);
}

/// The cloud in China has two addresses in a document, and no file of tags.
#[test]
fn management_of_china() {
    let china = worked()
        .network("name = \"worked\"", "name = \"worked\"\ncloud = \"china\"")
        .network("appserviceenvironment.net", "appserviceenvironment.cn");
    assert!(!china.ids().contains(&"RT-MGMT"), "{:?}", china.ids());
    let diagnosis = china.clone().network(TAG_ROUTE, "").diagnosis();
    let found = diagnosis.findings().into_iter().find(|it| it.rule.id == "RT-MGMT").unwrap().clone();
    says(&found, &["of 2 prefixes of management/china@2022-10-24", "2 of 2 management addresses"]);
    let routes: Vec<&str> = found
        .mend
        .iter()
        .map(|change| match change {
            Change::Route { route, .. } => route.name.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(routes, ["management-42.159.4.236", "management-42.159.80.125"]);
    assert_eq!(found.at, Spot::nowhere());
}

/// A peering carries what both of its halves let through; a reply from the Internet is forwarded into the spoke.
#[test]
fn rt_default_over_a_peering() {
    let spoke = |near: &str, back: &str| {
        let hub = format!(
            "[[vnet]]\nname = \"hub\"\naddress_space = [\"10.0.0.0/16\"]\n{back}[[vnet.subnet]]\nname = \"AzureFirewallSubnet\"\nprefix = \"10.0.0.0/26\"\n\n[[nsg]]"
        );
        worked()
            .network("\n[[vnet.subnet]]\nname = \"AzureFirewallSubnet\"\nprefix = \"192.168.0.0/26\"\n", "")
            .vnet(&format!("peering = [{{ remote = \"hub\"{near} }}]"))
            .network("[[nsg]]", &hub)
            .network(
                "name = \"firewall\"\nprivate_address = \"192.168.0.4\"",
                "name = \"firewall\"\nvnet = \"hub\"\nprivate_address = \"10.0.0.4\"",
            )
            .network("subnet = \"ase-subnet\"", "vnet = \"ase-vnet\"\nsubnet = \"ase-subnet\"")
            .network(DEFAULT, &DEFAULT.replace("192.168.0.4", "10.0.0.4"))
    };
    let back = "peering = [{ remote = \"ase-vnet\" }]\n";
    let forwarded = ", allow_forwarded_traffic = true";
    spoke(forwarded, back).healthy();
    let half = spoke(forwarded, "").only("RT-DEFAULT");
    assert_eq!(half.severity, Severity::Suspended);
    says(
        &spoke(", allow_virtual_network_access = false, allow_forwarded_traffic = true", back).only("RT-DEFAULT"),
        &["peering"],
    );
    let refused = spoke("", back).only("RT-DEFAULT");
    says(&refused, &["replies", "forwarded"]);
}

/// What is known to be needed is missed, however narrow the routes that drop it.
#[test]
fn rt_default_and_what_is_needed() {
    let led = |tag: &str, hop: &str| worked().routes(&format!("{{ name = \"hole\", prefix = \"{tag}\", {hop} }},"));
    let none = "next_hop = \"None\"";
    let absent = "next_hop = \"VirtualAppliance\", next_hop_address = \"10.99.0.4\"";
    for (tag, hop) in [
        ("AzureActiveDirectory", none),
        ("AzureResourceManager", absent),
        ("AzureResourceManager", "next_hop = \"VirtualNetworkGateway\""),
    ] {
        let found = led(tag, hop).only("RT-DEFAULT");
        assert_eq!((found.severity, found.subject.as_str()), (Severity::Suspended, "ase-routes/hole"), "{tag}");
        says(&found, &[tag, "is not reached"]);
    }
    let monitor = led("AzureMonitor", none);
    assert_eq!(monitor.ids(), ["RT-DEFAULT"]);
    assert_eq!(monitor.only("RT-DEFAULT").severity, Severity::Degraded);
    // What an endpoint takes needs no route.
    led("Storage", none).healthy();
    let without = |set_up: SetUp| set_up.network(ENDPOINTS, "\"Microsoft.Sql\"");
    without(led("Storage", none)).only("RT-SE");
    let direct = without(led("Storage", none)).network(DEFAULT, "prefix = \"0.0.0.0/0\", next_hop = \"Internet\"");
    says(&direct.only("RT-DEFAULT"), &["Storage is not reached"]);
}

#[test]
fn rt_ipdep_that_leads_nowhere() {
    let led = |hop: &str| worked().network(DEPENDENCY, &DEPENDENCY.replace("next_hop = \"Internet\"", hop));
    for hop in
        ["next_hop = \"VirtualNetworkGateway\"", "next_hop = \"VirtualAppliance\", next_hop_address = \"10.77.0.4\""]
    {
        let found = led(hop).only("RT-IPDEP");
        says(&found, &["40.77.24.27:443 and 40.77.24.27:80"]);
    }
}

/// The firewall's own subnet has routes too, for what it sends on and for what comes back.
#[test]
fn beyond_the_firewall() {
    let with = |routes: &str| {
        let table = format!("[[route_table]]\nname = \"beyond\"\nroute = [{routes}]\n\n[[nsg]]\n");
        worked()
            .network("prefix = \"192.168.0.0/26\"\n", "prefix = \"192.168.0.0/26\"\nroute_table = \"beyond\"\n")
            .network("[[nsg]]\n", &table)
    };
    let hole = with("{ name = \"hole\", prefix = \"52.0.0.0/8\", next_hop = \"None\" }").only("RT-DEFAULT");
    assert_eq!((hole.severity, hole.subject.as_str()), (Severity::Suspended, "beyond/hole"));
    says(&hole, &["behind the firewall firewall", "52.0.0.0/8"]);
    let lost = with("{ name = \"back\", prefix = \"192.168.0.0/16\", next_hop = \"None\" }").only("RT-DEFAULT");
    assert_eq!(lost.subject, "beyond/back");
    says(&lost, &["replies", "firewall firewall"]);
    let gateway = |keys: &str| {
        with("{ name = \"d\", prefix = \"0.0.0.0/0\", next_hop = \"VirtualNetworkGateway\" }")
            .vnet(&format!("gateway = {{ name = \"er\", routes = [\"10.0.0.0/8\"], {keys} }}"))
    };
    gateway("egress_proxy = false").healthy();
    let proxy = gateway("egress_proxy = true").only("FW-PROXY");
    assert_eq!((proxy.severity, proxy.subject.as_str()), (Severity::Unhealthy, "er"));
    gateway("latency_ms = 250").only("NET-LATENCY");
    // Whom the database sees is whom the premises leave by.
    let sql =
        |address: &str| gateway(&format!("egress_addresses = [\"{address}\"]")).network("\"Microsoft.Sql\", ", "");
    says(&sql("198.51.100.77").only("RT-SQL"), &["as 198.51.100.77"]);
    let rule = "{ name = \"sql\", ip_protocols = \"TCP\", destination_addresses = \"Sql\", destination_ports = 1433 },\n    # Triage";
    sql("198.51.100.77").ase("sql_egress_ranges = [\"198.51.100.77\"]").policy("# Triage", rule).healthy();
    sql("198.51.100.77").ase("sql_egress_ranges = [\"203.0.113.4\"]").policy("# Triage", rule).only("RT-SQL");
}

/// An appliance of somebody else's tells by its interface which address it leaves by.
#[test]
fn rt_sql_by_an_interface() {
    let nva = |list: &str| {
        let nic = "[[nic]]\nname = \"nva\"\nsubnet = \"nva\"\naddresses = \"192.168.9.4\"\npublic_addresses = \"198.51.100.10\"\n\n[firewall]\n";
        subnet(worked(), "{ name = \"nva\", prefix = \"192.168.9.0/28\" }")
            .network("[firewall]\n", nic)
            .network("\"Microsoft.Sql\", ", "")
            .network(DEFAULT, &DEFAULT.replace("192.168.0.4", "192.168.9.4"))
            .ase(&format!("sql_egress_ranges = [{list}]"))
    };
    assert!(!nva("\"198.51.100.10/32\"").ids().contains(&"RT-SQL"));
    let other = nva("").diagnosis();
    let found = other.findings().into_iter().find(|it| it.rule.id == "RT-SQL").unwrap();
    says(found, &["as 198.51.100.10"]);
}

/// All of a network behind the gateway, not its first address.
#[test]
fn rt_bgp_off_in_part() {
    let off = |set_up: SetUp| {
        set_up.network("name = \"ase-routes\"\n", "name = \"ase-routes\"\ndisable_bgp_route_propagation = true\n")
    };
    let gateway = "gateway = { name = \"vpn\", routes = [\"10.0.0.0/8\"] }";
    let half = "{ name = \"half\", prefix = \"10.0.0.0/9\", next_hop = \"VirtualNetworkGateway\" },";
    let found = off(worked().vnet(gateway)).routes_after(half).only("RT-BGP-OFF");
    says(&found, &["no route of its own leads to 10.0.0.0/8"]);
    let rest = "{ name = \"rest\", prefix = \"10.128.0.0/9\", next_hop = \"VirtualNetworkGateway\" },";
    off(worked().vnet(gateway)).routes_after(&format!("{half}{rest}")).healthy();
    let peer = "[[vnet]]\nname = \"peer\"\naddress_space = [\"10.0.0.0/16\"]\npeering = [{ remote = \"ase-vnet\" }]\n\n[[nsg]]";
    let peered = off(worked().vnet(&format!("peering = [{{ remote = \"peer\" }}]\n{gateway}")))
        .network("[[nsg]]", peer)
        .network("[firewall]\n", "[firewall]\nvnet = \"ase-vnet\"\n")
        .ase("vnet = \"ase-vnet\"");
    peered.only("RT-BGP-OFF");
}

#[test]
fn rt_nva_subnet_of_others() {
    let second = "[[ase]]\nname = \"second\"\nversion = \"ASEV2\"\nsubnet = \"ase-subnet\"\n\n";
    let two = worked()
        .network("[ase]\n", "[[ase]]\n")
        .network("# Behind an internal", &format!("{second}# Behind an internal"));
    let diagnosis = two.diagnosis();
    let found = diagnosis.findings().into_iter().find(|it| it.rule.id == "RT-NVA-SUBNET").unwrap();
    says(found, &["second is in the environment's subnet"]);
    let with_firewall = worked()
        .network("[ase]\nname = \"ase\"", "[ase]\nname = \"ase\"\n")
        .network("subnet = \"ase-subnet\"", "subnet = \"AzureFirewallSubnet\"")
        .network("internal_address = \"192.168.251.132\"\n", "");
    let diagnosis = with_firewall.diagnosis();
    let found = diagnosis.findings().into_iter().find(|it| it.rule.id == "RT-NVA-SUBNET").unwrap();
    says(found, &["firewall is in the environment's subnet"]);
}

#[test]
fn storage_of_other_regions() {
    worked().network("\"Microsoft.Storage\"", "\"Microsoft.Storage.Global\"").healthy();
}

/// What is dropped leaves by no address at all.
#[test]
fn replies_that_are_dropped() {
    let found = worked().routes("{ name = \"x\", prefix = \"13.66.140.7/32\", next_hop = \"None\" },").only("RT-MGMT");
    says(&found, &["replies to 1 of 6,695 management addresses are dropped"]);
    assert!(!found.what.contains("leave by"), "{}", found.what);
    // A route with a tag goes by it.
    let tag = worked().network(TAG_ROUTE, &TAG_ROUTE.replace("Internet", "None")).only("RT-MGMT");
    let shown: Vec<&str> = tag.evidence.iter().filter(|it| it.coverage.is_none()).map(|it| it.what.as_str()).collect();
    assert_eq!(shown, ["route ase-routes/management (AppServiceManagement to None)"]);
}
