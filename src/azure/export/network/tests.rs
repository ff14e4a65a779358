use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::allowlist::Catalogue;
use crate::azure::export::tests::az_reader;
use crate::vnet::recipe::{Management, Rest, RouteRecipe, SecurityRecipe, routes, security};
use crate::vnet::samples::{self, GROUP, SUBNET, TABLE, VNET};
use crate::vnet::{Cloud, Tags};

/// The worked set-up without its route table and its security group.
fn bare() -> Topology {
    let mut topology = Topology { security_groups: Vec::new(), route_tables: Vec::new(), ..samples::worked() };
    let subnet = &mut topology.virtual_networks[0].subnets[0];
    subnet.security_group = None;
    subnet.route_table = None;
    topology
}

fn tags() -> Tags {
    Tags::new(Catalogue::default(), Cloud::Public)
}

fn route_changes(topology: &Topology, management: Management) -> Vec<Change> {
    let recipe = RouteRecipe { table: TABLE.into(), management, ip_dependencies: true, firewall: None };
    routes(topology, &topology.environments[0], &tags(), &recipe).unwrap()
}

fn nsg_changes(topology: &Topology) -> Vec<Change> {
    let recipe = SecurityRecipe { group: GROUP.into(), rest: Rest::Deny };
    security(topology, &topology.environments[0], &recipe).unwrap()
}

fn written(changes: &[Change], topology: &Topology, script: Script) -> Exported {
    write(changes, script, &Site { topology, rules: &RuleSet::default() }, None).unwrap()
}

/// What the commands of a script leave behind: resources by what they are and what they are called.
fn made(calls: &[Vec<String>]) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let mut made = BTreeMap::new();
    for call in calls {
        let options = az_reader::options_of(call);
        let verb: Vec<&str> = call.iter().map(String::as_str).take_while(|word| !word.starts_with("--")).collect();
        let parent = ["route-table-name", "nsg-name", "vnet-name"].iter().find_map(|it| options.get(*it));
        let parent = parent.map(|it| it[0].clone()).unwrap_or_default();
        let name = options.get("name").map(|it| it[0].clone()).unwrap_or_default();
        made.insert(format!("{} {parent}/{name}", verb.join(" ")), options);
    }
    made
}

#[test]
fn bash_runs_the_loop_of_the_document() {
    let topology = bare();
    let changes = route_changes(&topology, Management::Addresses);
    let text = written(&changes, &topology, Script::AzCli).text;
    let calls = az_reader::calls(&text);
    let made = made(&calls);
    // 72 addresses of management, 7 dependencies and the default route.
    let routes = made.keys().filter(|key| key.starts_with("network route-table route create")).count();
    assert_eq!(routes, 80, "{text}");
    let one = &made["network route-table route create ase-routes/70.37.57.58"];
    assert_eq!(one["address-prefix"], ["70.37.57.58/32"]);
    assert_eq!(one["next-hop-type"], ["Internet"]);
    let default = &made["network route-table route create ase-routes/default"];
    assert_eq!(default["next-hop-type"], ["VirtualAppliance"]);
    assert_eq!(default["next-hop-ip-address"], ["192.168.0.4"]);
    assert_eq!(made["network vnet subnet update ase-vnet/ase-subnet"]["route-table"], [TABLE]);
    assert_eq!(text.matches("az network route-table route create").count(), 2, "one in the loop, one for the default");
}

#[test]
fn what_is_made_is_made_where_it_is_missing_only() {
    let topology = bare();
    let text = written(&route_changes(&topology, Management::Tag), &topology, Script::AzCli).text;
    // A stub that finds everything.
    let found: Vec<_> = az_reader::calls(&text);
    assert!(!found.iter().any(|call| call.starts_with(&["network".into(), "route-table".into(), "create".into()])));
    let missing = az_reader::calls_where(&text, "show");
    let creates = |call: &&Vec<String>| call[..3] == ["network", "route-table", "create"];
    assert_eq!(missing.iter().filter(creates).count(), 1, "{text}");
}

/// Every rule of the group comes back as it was, by its words.
#[test]
fn bash_makes_the_security_group() {
    let topology = bare();
    let changes = nsg_changes(&topology);
    let text = written(&changes, &topology, Script::AzCli).text;
    let calls = az_reader::calls(&text);
    let made = made(&calls);
    let management = &made["network nsg rule create ase-nsg/management"];
    let expected = [
        ("priority", "100"),
        ("direction", "Inbound"),
        ("access", "Allow"),
        ("protocol", "Tcp"),
        ("source-address-prefixes", "AppServiceManagement"),
        ("source-port-ranges", "*"),
        ("destination-address-prefixes", "192.168.251.128/25"),
        ("destination-port-ranges", "454-455"),
    ];
    for (flag, value) in expected {
        assert_eq!(management[flag], [value], "{flag}");
    }
    let denies = &made["network nsg rule create ase-nsg/deny-outbound"];
    assert_eq!((denies["priority"][0].as_str(), denies["access"][0].as_str()), ("4096", "Deny"));
    assert_eq!(denies["destination-address-prefixes"], ["*"]);
    assert_eq!(made["network vnet subnet update ase-vnet/ase-subnet"]["network-security-group"], [GROUP]);
}

/// All kinds of changes, each with a value that a shell or an expression would take for its own.
pub(super) fn hostile() -> Vec<Change> {
    use crate::policy::{AddressSet, ApplicationRule, FqdnPattern, IpProtocols, NetworkRule};
    use crate::vnet::{FlowDirection, SecurityProtocol};
    let name = || "it's [a] $(name) `x` \"q\"".to_owned();
    let mut rule = samples::security_rule("r", 200, FlowDirection::Inbound, SecurityProtocol::Any, "*", "*", "80");
    rule.name = name();
    let route = Route {
        name: name(),
        destination: RouteDestination::Net("198.51.100.0/24".parse().unwrap()),
        next_hop: NextHop::Internet,
        at: Spot::nowhere(),
    };
    let application = ApplicationRule {
        name: "app".into(),
        sources: AddressSet::any(),
        protocols: vec![https()],
        fqdns: vec![FqdnPattern::parse_azure("*.contoso.com").unwrap()],
        ..ApplicationRule::default()
    };
    let network = NetworkRule {
        name: "net".into(),
        sources: AddressSet::any(),
        protocols: IpProtocols::UDP,
        destinations: AddressSet::any(),
        ports: crate::flow::PortSet::any(),
        ..NetworkRule::default()
    };
    let (in_network, in_subnet) = (VNET.to_owned(), SUBNET.to_owned());
    vec![
        Change::SecurityRule { group: name(), rule },
        Change::RemoveSecurityRule { group: GROUP.into(), rule: name() },
        Change::SubnetSecurityGroup { network: in_network.clone(), subnet: in_subnet.clone(), group: name() },
        Change::Route { table: name(), route },
        Change::RemoveRoute { table: TABLE.into(), route: name() },
        Change::SubnetRouteTable { network: in_network.clone(), subnet: in_subnet.clone(), table: name() },
        Change::ServiceEndpoint {
            network: in_network.clone(),
            subnet: in_subnet.clone(),
            service: "Microsoft.KeyVault".into(),
        },
        Change::Delegation {
            network: in_network.clone(),
            subnet: in_subnet,
            service: "Microsoft.Web/hostingEnvironments".into(),
        },
        Change::AddSubnet {
            network: in_network.clone(),
            subnet: "added".into(),
            prefix: "192.168.9.0/24".parse().unwrap(),
        },
        Change::ApplicationRule(application),
        Change::NetworkRule(network),
        Change::DnsRecord { zone: "ase.test".into(), name: "*".into(), address: "192.168.251.132".parse().unwrap() },
    ]
}

fn https() -> crate::policy::AppProtocol {
    crate::policy::AppProtocol { protocol: crate::flow::Protocol::Https, port: 443 }
}

#[test]
fn every_change_is_a_command_that_bash_reads() {
    let topology = samples::worked();
    let changes = hostile();
    let text = written(&changes, &topology, Script::AzCli).text;
    let calls = az_reader::calls_where(&text, "show");
    let made = made(&calls);
    let odd = "it's [a] $(name) `x` \"q\"";
    assert_eq!(made[&format!("network nsg rule create {odd}/{odd}")]["priority"], ["200"]);
    assert_eq!(made["network vnet subnet update ase-vnet/ase-subnet"].len(), 4, "the last of several");
    let lists: Vec<&Vec<String>> =
        calls.iter().filter(|call| call.contains(&"--service-endpoints".to_owned())).collect();
    assert_eq!(lists.len(), 1);
    assert!(lists[0].ends_with(
        &["Microsoft.Sql", "Microsoft.Storage", "Microsoft.EventHub", "Microsoft.KeyVault"].map(String::from)
    ));
    let verbs: Vec<String> = calls
        .iter()
        .map(|call| call.iter().take_while(|it| !it.starts_with("--")).cloned().collect::<Vec<_>>().join(" "))
        .collect();
    for verb in [
        "network nsg rule delete",
        "network route-table route delete",
        "network vnet subnet create",
        "network firewall policy rule-collection-group create",
        "network firewall policy rule-collection-group collection add-filter-collection",
        "network private-dns zone create",
        "network private-dns link vnet create",
        "network private-dns record-set a add-record",
    ] {
        assert!(verbs.iter().any(|it| it == verb), "{verb}: {verbs:#?}");
    }
}

/// What is printed for one finding says that it is no part of a whole.
#[test]
fn commands_of_one_finding_make_the_group_anew() {
    let topology = samples::worked();
    let site = Site { topology: &topology, rules: &RuleSet::default() };
    let rule = crate::policy::NetworkRule { name: "net".into(), ..crate::policy::NetworkRule::default() };
    let change = [Change::NetworkRule(rule)];
    assert!(az_cli(&change, &site).starts_with(ANEW), "{}", az_cli(&change, &site));
    assert!(!write(&change, Script::AzCli, &site, None).unwrap().text.contains(ANEW));
}

#[test]
fn a_rule_of_the_firewall_is_removed_where_it_is() {
    let mut rules = RuleSet::default();
    let rule = crate::policy::NetworkRule { name: "net".into(), ..crate::policy::NetworkRule::default() };
    Change::NetworkRule(rule).apply(&mut Topology::default(), &mut rules);
    let topology = samples::worked();
    let path = "firewall-policy/egret-doctor/network/net".to_owned();
    let site = Site { topology: &topology, rules: &rules };
    let change = [Change::RemoveFirewallRule { rule: path.clone() }];
    let text = az_cli(&change, &site);
    assert!(text.contains("collection rule remove"), "{text}");
    assert!(text.contains("rules=$(az network firewall policy") && text.contains("grep -xF -e net <<<"), "{text}");
    let whole = write(&change, Script::AzCli, &site, None).unwrap().text;
    assert!(whole.contains("# Needs the extension"), "{whole}");
    let template: Value = serde_json::from_str(&write(&change, Script::Arm, &site, None).unwrap().text).unwrap();
    let [group] = template["resources"].as_array().unwrap().as_slice() else { panic!("{template:#}") };
    assert_eq!(group["name"], "firewall-policy/egret-doctor");
    assert_eq!(group["properties"]["ruleCollections"], serde_json::json!([]), "{group:#}");
    let unknown = [Change::RemoveFirewallRule { rule: format!("{path}x") }];
    let notes = write(&unknown, Script::AzCli, &site, None).unwrap().notes;
    assert_eq!(notes[0].what, format!("the firewall has no rule `{path}x`"));
}

#[test]
fn a_template_is_json_of_resources_in_order() {
    let topology = samples::worked();
    let text = written(&hostile(), &topology, Script::Arm).text;
    let template: Value = serde_json::from_str(&text).unwrap();
    let resources = template["resources"].as_array().unwrap();
    let kinds: Vec<&str> = resources.iter().map(|it| it["type"].as_str().unwrap()).collect();
    // What loses a rule that it has not is not written.
    assert_eq!(
        kinds,
        [
            "Microsoft.Network/networkSecurityGroups",
            "Microsoft.Network/routeTables",
            "Microsoft.Network/virtualNetworks/subnets",
            "Microsoft.Network/virtualNetworks/subnets",
            "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
            "Microsoft.Network/privateDnsZones",
            "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
            "Microsoft.Network/privateDnsZones/A",
        ]
    );
    // Nothing waits for what comes later, or for what is not there.
    for (number, resource) in resources.iter().enumerate() {
        for wanted in resource["dependsOn"].as_array().into_iter().flatten() {
            let kind = wanted.as_str().unwrap().split('\'').nth(1).unwrap();
            assert!(kinds[..number].contains(&kind), "{wanted}");
        }
    }
}
