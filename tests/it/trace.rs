//! `egret trace`: flows of the worked set-up, of a hub with spokes, and of Azure's own quickstart; as text and as JSON.
//! Pictures are in `picture.rs`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::picture::picture;
use super::quickstart::Quickstart;
use super::readme::{fences, page};
use super::support::command::{Answer, BINARY, egret, finish, run};
use super::support::run::undisturbed;

pub(super) const WORKED: &str = "docs/ase/vnet.toml";
pub(super) const HUB: &str = "tests/fixtures/trace/hub.toml";

pub(super) fn trace(topology: &str, args: &[&str]) -> Answer {
    run(&[&["trace", "--topology", topology], args].concat())
}

fn json_of(topology: &str, args: &[&str]) -> (i32, Value) {
    let answer = trace(topology, &[&["--format", "json"], args].concat());
    let read = serde_json::from_str(&answer.out);
    (answer.code, read.unwrap_or_else(|error| panic!("{args:?}: {error}: {answer:?}")))
}

/// `outcome | request's stations | reply's stations`
fn shown(trace: &Value) -> String {
    let way = |leg: &str| {
        let stations = trace[leg].as_array().unwrap().iter();
        stations.map(|it| it["at"].as_str().unwrap()).collect::<Vec<_>>().join(" > ")
    };
    format!("{} | {} | {}", trace["outcome"]["kind"].as_str().unwrap(), way("request"), way("reply"))
}

/// One flow: how it goes, and what its trace says somewhere.
#[track_caller]
fn check(topology: &str, args: &[&str], expected: &str, says: &[&str]) {
    let (code, trace) = json_of(topology, args);
    let text = serde_json::to_string_pretty(&trace).unwrap();
    assert_eq!(shown(&trace), expected, "{args:?}\n{text}");
    let delivered = expected.starts_with("delivered");
    assert_eq!((code, trace["delivered"].as_bool()), (if delivered { 0 } else { 3 }, Some(delivered)), "{args:?}");
    for part in says {
        assert!(text.contains(part), "{args:?}: {part}\n{text}");
    }
}

/// The worked set-up with some of its text replaced, in a folder of its own.
fn changed(folder: &Path, changes: &[(&str, &str)]) -> String {
    let mut text = fs::read_to_string(WORKED).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let path = folder.join("vnet.toml");
    fs::write(&path, text).unwrap();
    fs::copy("docs/ase/policy.toml", folder.join("policy.toml")).unwrap();
    path.display().to_string()
}

const MANAGEMENT_ROUTE: &str = r#"{ name = "management", prefix = "AppServiceManagement", next_hop = "Internet" },"#;
const ILB: &str = r#"internal_load_balancing_mode = "Web, Publishing""#;

#[test]
fn the_worked_set_up() {
    let delivered = "delivered | ase-subnet > firewall > Internet | Internet > firewall > ase-subnet";
    check(
        WORKED,
        &["ase", "https://login.windows.net"],
        delivered,
        &["\"application-rule\"", "ase-nsg", "\"priority\": 120"],
    );
    check(WORKED, &["https://login.windows.net"], delivered, &["203.0.113.4"]);
    check(WORKED, &["ase", "https://example.com"], "denied | ase-subnet > firewall | ", &["\"port-not-allowed\""]);
    check(
        WORKED,
        &["AppServiceManagement", "vip:454"],
        "delivered | Internet > VIP of ase > ase-subnet | ase-subnet > Internet",
        &["ase-routes/management", "\"longest-prefix\"", "\"count\": 231"],
    );
    check(
        WORKED,
        &["ase", "mssql://db.database.windows.net"],
        "delivered | ase-subnet > Microsoft.Sql | Microsoft.Sql > ase-subnet",
        &["\"service-endpoint\"", "192.168.251.132"],
    );
    check(
        WORKED,
        &["ase", "tcp://198.51.100.9:25"],
        "denied | ase-subnet | ",
        &["\"by\": \"security-group\"", "ase-nsg/deny-outbound (4096)"],
    );
    check(
        WORKED,
        &["AzureLoadBalancer", "ase"],
        "delivered | Azure's load balancer > ase-subnet | ase-subnet > Azure's host",
        &["16001"],
    );
}

#[test]
fn without_the_management_route_replies_leave_by_the_firewall() {
    let folder = tempfile::tempdir().unwrap();
    let topology = changed(folder.path(), &[(MANAGEMENT_ROUTE, "")]);
    check(
        &topology,
        &["AppServiceManagement", "vip:455"],
        "asymmetric | Internet > VIP of ase > ase-subnet | ase-subnet > firewall",
        &["\"came_to\"", "\"203.0.113.9\"", "\"leaves_by\"", "\"203.0.113.4\""],
    );
    let text = trace(&topology, &["AppServiceManagement", "vip:455"]).out;
    let mut lines = text.lines().skip_while(|line| !line.starts_with("request"));
    let mut beside =
        || lines.next().unwrap().split("  ").map(str::trim).filter(|it| !it.is_empty()).collect::<Vec<_>>();
    assert_eq!(beside(), ["request", "reply"]);
    assert_eq!(beside(), ["sent to 203.0.113.9 (VIP of ase)", "to leave by 203.0.113.4 (public address of firewall)"]);
    assert_eq!(beside(), ["by way of Internet → VIP of ase → ase-subnet", "by way of ase-subnet → firewall"]);
    let drawn = picture(folder.path(), &topology, &["AppServiceManagement", "vip:455"]);
    for part in
        ["request, sent to 203.0.113.9 (VIP of ase)", "reply, would leave by 203.0.113.4 (public address of firewall)"]
    {
        assert!(drawn.contains(part), "{drawn}");
    }
}

#[test]
fn apps_of_an_external_environment() {
    let folder = tempfile::tempdir().unwrap();
    let open = r#"source = "192.168.0.0/16", destination = "192.168.251.128/25", ports = [80, 443]"#;
    let opened = r#"source = "*", destination = "192.168.251.128/25", ports = [80, 443]"#;
    let external = [(ILB, ""), (open, opened), (r#"client_ranges = ["192.168.0.0/16"]"#, "")];
    let topology = changed(folder.path(), &external);
    let dead = "asymmetric | Internet > VIP of ase > ase-subnet | ase-subnet > firewall";
    check(&topology, &["internet", "vip:443"], dead, &["203.0.113.9", "203.0.113.4"]);
    let clients = r#"{ name = "clients", prefix = "198.51.100.0/24", next_hop = "Internet" },"#;
    let mended = format!("{MANAGEMENT_ROUTE}\n{clients}");
    let topology = changed(folder.path(), &[external[0], external[1], external[2], (MANAGEMENT_ROUTE, &mended)]);
    let well = "delivered | Internet > VIP of ase > ase-subnet | ase-subnet > Internet";
    check(&topology, &["198.51.100.7", "ase"], well, &["ase-routes/clients"]);
    check(&topology, &["203.0.113.200", "ase"], dead, &[]);
}

#[test]
fn a_hub_and_its_spokes() {
    let firewalled = "delivered | ase-subnet > firewall > Internet | Internet > firewall > ase-subnet";
    let resolve = ["--resolve", "login.windows.net:192.0.2.7"];
    check(
        HUB,
        &[&["ase", "https://login.windows.net"][..], &resolve].concat(),
        firewalled,
        &["over the peering with hub"],
    );
    check(
        HUB,
        &["ase", "https://login.windows.net", "--resolve", "login.windows.net:198.51.100.3"],
        "black-hole | ase-subnet | ",
        &["\"none-route\"", "ase-routes/dropped"],
    );
    check(HUB, &["ase", "tcp://192.0.2.1:25"], "denied | ase-subnet | ", &["ase-nsg/no-smtp (100)"]);
    check(
        HUB,
        &["vm1", "https://login.windows.net"],
        "delivered | web > Internet | Internet > web",
        &["Azure's choice"],
    );
    check(
        HUB,
        &["vm1", "10.1.0.4:443"],
        "delivered | web > firewall > ase-subnet | ase-subnet > firewall > web",
        &["hub-policy"],
    );
    check(
        HUB,
        &["10.0.2.9", "vm1:22"],
        "denied | dns > web | ",
        &["vm-nsg/no-ssh (100) on the interface", "\"on\": \"interface\""],
    );
    check(HUB, &["batch", "ase:8080"], "denied | batch > Internet > VIP of ase > ase-subnet | ", &["DenyAllInBound"]);
    check(HUB, &["10.0.2.9", "10.200.1.1"], "delivered | dns > partner | partner > dns", &["are not known here"]);
    check(HUB, &["web", "10.200.1.1"], "black-hole | web | ", &["\"none-route\""]);
}

#[test]
fn premises_of_a_hub() {
    check(
        HUB,
        &["on-premises", "vm1:443"],
        "delivered | on-premises > er-gateway > firewall > web | web > firewall > er-gateway > on-premises",
        &["gateway-routes/to-web", "web-routes/back"],
    );
    check(
        HUB,
        &["on-premises", "batch:443"],
        "asymmetric | on-premises > er-gateway > firewall > batch | batch > er-gateway > on-premises",
        &["asymmetric route: firewall has seen the request and does not see the reply"],
    );
    check(
        HUB,
        &["on-premises", "10.1.0.4:443"],
        "delivered | on-premises > er-gateway > ase-subnet | ase-subnet > er-gateway > on-premises",
        &["BGP route"],
    );
}

#[test]
fn what_the_firewall_publishes() {
    check(
        HUB,
        &["internet", "firewall:2222"],
        "delivered | Internet > firewall > web | web > firewall > Internet",
        &["\"dnat-rule\"", "hub-policy/hub/published/ssh"],
    );
    check(HUB, &["internet", "firewall:22"], "denied | Internet > firewall | ", &["\"by\": \"firewall\""]);
}

/// Azure's own quickstart, from the folder that EGRET_CORPUS names: routes for single addresses, as the seed has them.
#[test]
fn the_quickstart_leaves_most_of_the_management_asymmetric() {
    let Some(quickstart) = Quickstart::new() else { return };
    let (template, parameters) = (quickstart.path("azuredeploy.json"), quickstart.path("parameters.json"));
    let (template, parameters) = (template.as_str(), parameters.as_str());
    let (code, management) = json_of(template, &["--parameters", parameters, "AppServiceManagement", "vip:454"]);
    let counted = |group: &Value| {
        let count = |list: &str| group[list].as_array().unwrap().len();
        (group["outcome"]["kind"].as_str().unwrap().to_owned(), count("wholly"), count("partly"))
    };
    let groups: Vec<_> = management["prefixes"]["groups"].as_array().unwrap().iter().map(counted).collect();
    assert_eq!(code, 3);
    assert_eq!(groups, [("asymmetric".to_owned(), 169, 28), ("delivered".to_owned(), 34, 28)]);
    let with = |args: &[&'static str]| [&["--parameters", parameters], args].concat();
    check(
        template,
        &with(&["ase", "https://login.windows.net"]),
        "delivered | ase-subnet > azFirewall > Internet | Internet > azFirewall > ase-subnet",
        &["//AppServiceEnvironment/ASE"],
    );
    let sql = "delivered | ase-subnet > Microsoft.Sql | Microsoft.Sql > ase-subnet";
    check(template, &with(&["ase", "mssql://db.database.windows.net"]), sql, &["service-endpoint"]);
}

#[test]
fn every_spelling_of_the_two_ends() {
    let first = trace(WORKED, &["ase", "https://login.windows.net"]);
    for args in [
        &["ase", "->", "https://login.windows.net"][..],
        &["ase -> https://login.windows.net"],
        &["https://login.windows.net"],
        &["-> https://login.windows.net"],
        &["ase-vnet/ase-subnet", "https://login.windows.net"],
    ] {
        let other = trace(WORKED, args);
        assert_eq!((other.code, &other.out), (0, &first.out), "{args:?}: {}", other.err);
    }
}

#[test]
fn what_is_no_flow_is_a_usage_error() {
    let refused = |args: &[&str], expected: &str| {
        let answer = trace(WORKED, args);
        assert_eq!((answer.code, answer.out.as_str()), (2, ""), "{args:?}: {answer:?}");
        assert!(answer.err.contains(expected), "{args:?}: {answer:?}");
    };
    refused(&["ase-subnett", "vip:454"], "did you mean `ase-subnet`?");
    refused(&["on-premises", "ase"], "there is no gateway with routes in the topology");
    refused(&["ase", "tcp://198.51.100.1"], "names no port: write tcp://198.51.100.1:443");
    refused(&["ase", "ftp://x.test"], "`ftp` is no scheme of a flow");
    refused(&["ase", "vip:99999"], "expected a port from 1 to 65535");
    let nowhere = run(&["trace", "ase", "internet"]);
    assert_eq!(nowhere.code, 2, "{nowhere:?}");
    assert!(nowhere.err.contains("there is no network to trace in"), "{nowhere:?}");
}

#[test]
fn text_is_as_wide_as_there_is_room() {
    for (columns, two) in [("50", false), ("80", false), ("120", true), ("150", true)] {
        let mut command = egret();
        command.env("COLUMNS", columns).args(["trace", "--topology", WORKED, "AppServiceManagement", "vip:454"]);
        let answer = finish(&mut command, "");
        let widest = answer.out.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= columns.parse().unwrap(), "{columns}: {widest}\n{}", answer.out);
        let side_by_side = answer.out.lines().any(|line| line.starts_with("request") && line.ends_with("reply"));
        assert_eq!(side_by_side, two, "{columns}\n{}", answer.out);
        assert!(!answer.out.contains('\u{1b}'), "no colours where nobody looks");
    }
}

/// `kind file:line:column` of every step that says where something is written, and what begins there.
fn written(trace: &Value) -> Vec<String> {
    let stations = trace["request"].as_array().unwrap().iter();
    let steps = stations.flat_map(|it| it["steps"].as_array().unwrap());
    let places = steps.flat_map(|it| match it["step"].as_str().unwrap() {
        "route" => vec![("route", &it["route"]), ("beaten", &it["beaten"][0])],
        kind => vec![(kind, it)],
    });
    places.filter_map(|(kind, it)| Some(format!("{kind} {}", pointed(it)?))).collect()
}

/// The file's name, and the text from its line and column up to the next comma.
fn pointed(place: &Value) -> Option<String> {
    let file = Path::new(place["file"].as_str()?);
    let number = |member: &str| usize::try_from(place[member].as_u64().unwrap()).unwrap();
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().nth(number("line") - 1).unwrap();
    let rest: String = line.chars().skip(number("column") - 1).collect();
    let name = file.file_name().unwrap().to_str().unwrap();
    Some(format!("{name} {}", rest.split(',').next().unwrap()))
}

#[test]
fn json_says_where_rules_and_routes_are_written() {
    let (_, trace) = json_of(WORKED, &["ase", "https://login.windows.net"]);
    assert_eq!(
        written(&trace),
        [
            r#"security vnet.toml { name = "web""#,
            r#"route vnet.toml { name = "default""#,
            "beaten vnet.toml [[vnet]]",
            r#"firewall policy.toml { name = "app-service-environment""#,
            "route vnet.toml [[vnet]]",
        ],
        "a route of the system is where its network is"
    );
    let (_, trace) = json_of(WORKED, &["ase", "mssql://db.database.windows.net"]);
    assert_eq!(
        written(&trace),
        [r#"security vnet.toml { name = "sql""#, r#"beaten vnet.toml { name = "default""#],
        "the route of a service endpoint is in no file"
    );
    let (_, trace) = json_of(HUB, &["batch", "ase:8080"]);
    assert_eq!(
        written(&trace),
        ["route hub.toml [[vnet]]", "security hub.toml [[nsg]]"],
        "a default rule is where its group is"
    );
}

#[test]
fn groups_of_subnet_and_interface_are_both_shown_in_the_order_of_asking() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.toml");
    let text = fs::read_to_string(HUB).unwrap();
    let both = text.replace(
        r#"{ name = "web", prefix = "10.2.0.0/24", "#,
        r#"{ name = "web", prefix = "10.2.0.0/24", nsg = "web-nsg", "#,
    );
    assert_ne!(both, text);
    let group = r#"
        [[nsg]]
        name = "web-nsg"
        rule = [
            { name = "out", priority = 100, direction = "Outbound", access = "Allow" },
            { name = "ssh", priority = 110, direction = "Inbound", access = "Allow", ports = 22 },
            { name = "no-sql", priority = 120, direction = "Outbound", access = "Deny", ports = 1433 },
        ]
        "#;
    fs::write(&path, both + group).unwrap();
    fs::copy("tests/fixtures/trace/firewall.toml", folder.path().join("firewall.toml")).unwrap();
    let asked = |args: &[&str]| -> Vec<String> {
        let (_, trace) = json_of(path.to_str().unwrap(), args);
        let stations = trace["request"].as_array().unwrap().iter();
        let steps = stations.flat_map(|it| it["steps"].as_array().unwrap());
        let told = steps.filter(|it| it["step"] == "security" && !it["group"].is_null());
        told.map(|it| format!("{} {}", it["on"].as_str().unwrap(), it["text"].as_str().unwrap())).collect()
    };
    assert_eq!(
        asked(&["vm1", "https://login.windows.net"]),
        [
            "interface vm-nsg/AllowInternetOutBound (65001, default) on the interface allows",
            "subnet web-nsg/out (100) allows"
        ]
    );
    assert_eq!(
        asked(&["10.0.2.9", "vm1:22"]),
        ["subnet web-nsg/ssh (110) allows", "interface vm-nsg/no-ssh (100) on the interface denies"]
    );
    assert_eq!(asked(&["10.0.2.9", "vm1:23"]).len(), 2);
}

/// What docs/trace.md shows is what happens, in a copy of the folder docs/ase.
#[test]
fn every_console_block_of_the_page_is_what_happens() {
    let blocks = fences(&page("docs/trace.md"), "console");
    assert!(blocks.len() > 3, "{}", blocks.len());
    let folder = tempfile::tempdir().unwrap();
    for file in ["vnet.toml", "policy.toml"] {
        fs::copy(Path::new("docs/ase").join(file), folder.path().join(file)).unwrap();
    }
    let path = format!("{}:{}", Path::new(BINARY).parent().unwrap().display(), std::env::var("PATH").unwrap());
    for block in blocks {
        let (line, expected) = block.strip_prefix("$ ").unwrap().split_once('\n').unwrap();
        let mut shell = undisturbed("sh");
        shell.current_dir(folder.path()).env("PATH", &path).env_remove("COLUMNS");
        let answer = finish(shell.args(["-c", &format!("exec 2>&1; {line}")]), "");
        assert_eq!(answer.out.trim_end(), expected.trim_end(), "{line}");
    }
}

/// What `az network nic show-effective-route-table` prints counts in the subnet where the flow begins.
#[test]
fn effective_routes_of_a_real_machine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.json");
    let flow = ["ase", "https://login.windows.net"];
    let (_, usual) = json_of(WORKED, &flow);
    assert!(shown(&usual).contains("> firewall >"), "{}", shown(&usual));
    let printed = run(&["routes", "--ase", WORKED, "--effective", "az"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    fs::write(&path, &printed.out).unwrap();
    let given = ["--effective-routes", path.to_str().unwrap()];
    let (_, same) = json_of(WORKED, &[&given[..], &flow[..]].concat());
    assert_eq!(shown(&same), shown(&usual));
    let direct = r#"{ "value": [{ "source": "Default", "state": "Active", "addressPrefix": ["0.0.0.0/0"],
        "nextHopType": "Internet", "nextHopIpAddress": [] }] }"#;
    fs::write(&path, direct).unwrap();
    let (_, real) = json_of(WORKED, &[&given[..], &flow[..]].concat());
    assert!(shown(&real).starts_with("delivered | ase-subnet > ") && !shown(&real).contains("firewall"), "{real:#}");
    let nowhere = trace(WORKED, &[&given[..], &["internet", "vip:443"]].concat());
    assert!(nowhere.code == 2 && nowhere.err.contains("begins in no subnet"), "{nowhere:?}");
    fs::write(&path, "[{}]").unwrap();
    let broken = trace(WORKED, &[&given[..], &flow[..]].concat());
    assert!(broken.code == 2 && broken.err.contains("these are no effective routes"), "{broken:?}");
}

#[test]
fn effective_routes_are_printed_as_azures_tools_do() {
    let of = |format: &str| run(&["routes", "--ase", WORKED, "--effective", format]);
    let table = of("table").out;
    assert!(table.starts_with("Source   ") && table.contains("VirtualAppliance"), "{table}");
    for (format, key) in [("az", "hasBgpOverride"), ("arm", "addressPrefix")] {
        let json: Value = serde_json::from_str(&of(format).out).unwrap();
        assert!(json["value"][0].get(key).is_some(), "{json:#}");
    }
    let neither = run(&["routes", "--ase", WORKED]);
    assert!(neither.code == 2 && neither.err.contains("--to az-cli"), "{neither:?}");
    let mut twin = egret();
    twin.args(["routes", "--ase", WORKED]).env("EGRET_EFFECTIVE", "table");
    assert_eq!(finish(&mut twin, "").out, table);
}

/// Of any subnet, without an environment; and what is printed as a table is read again.
#[test]
fn effective_routes_of_any_subnet() {
    let of = |args: &[&str]| run(&[&["routes", "--topology", HUB, "--effective", "table"], args].concat());
    let gateway = of(&["--subnet", "hub/gatewaysubnet"]);
    assert_eq!(gateway.code, 0, "{gateway:?}");
    assert!(gateway.out.contains("10.2.0.0/16       VirtualAppliance       10.0.0.4"), "{}", gateway.out);
    let unknown = of(&["--subnet", "hub/nowhere"]);
    assert!(unknown.code == 2 && unknown.err.contains("--subnet: there is no subnet `hub/nowhere`"), "{unknown:?}");
    let alone = run(&["routes", "--topology", HUB, "--to", "arm", "--subnet", "web"]);
    assert!(alone.code == 2 && alone.err.contains("--subnet is for --effective"), "{alone:?}");

    let folder = tempfile::tempdir().unwrap();
    let (routes, network) = (folder.path().join("routes.txt"), folder.path().join("vnet.toml"));
    fs::write(&network, "[vnet]\nname = \"v\"\naddress_space = \"10.0.0.0/16\"\n[[vnet.subnet]]\nname = \"s\"\nprefix = \"10.0.1.0/24\"\n").unwrap();
    let network = network.to_str().unwrap();
    let bare = run(&["routes", "--topology", network, "--effective", "table", "--subnet", "s"]);
    assert_eq!(bare.code, 0, "there need not be an environment: {bare:?}");
    fs::write(&routes, of(&["--subnet", "web"]).out).unwrap();
    let given = ["--effective-routes", routes.to_str().unwrap()];
    check(
        HUB,
        &[&["10.2.0.9", "10.0.2.7:443"][..], &given].concat(),
        "delivered | web > dns | dns > web",
        &["VNetPeering", "over the peering with hub"],
    );
}

#[test]
fn two_prefixes_and_parts_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let rule = r#"{ name = "http", priority = 130, direction = "Inbound", access = "Allow", protocol = "Tcp", source = "192.168.0.0/16", destination = "192.168.251.128/25""#;
    let narrow = rule.replace("192.168.251.128/25", "192.168.251.140/32");
    let topology = changed(folder.path(), &[(rule, &narrow)]);
    let (code, both) = json_of(&topology, &["192.168.0.0/26", "192.168.251.140/31:443"]);
    assert_eq!((code, &both["prefixes"]["to"]["of"]), (3, &Value::from("192.168.251.140/31")));
    assert_eq!(both["prefixes"]["groups"][0]["pairs"][0]["to"][0], "192.168.251.141");
    let (_, one) = json_of(&topology, &["192.168.0.9", "192.168.251.140/31:443"]);
    let group = &one["prefixes"]["groups"][0];
    assert_eq!((&group["partly"][0], &group["parts"][0]), (&"192.168.251.140/31".into(), &"192.168.251.141".into()));
    let text = trace(&topology, &["192.168.0.9", "192.168.251.140/31:443"]).out;
    assert!(text.contains("192.168.251.140/31: 1 prefix\n"), "{text}");
    assert!(
        text.contains("1 partly, by AzureFirewallSubnet → ase-subnet: 192.168.251.141 of 192.168.251.140/31"),
        "{text}"
    );
}
