//! Questions of the worked set-up in Azure's shapes, and answers of real machines read.

use serde_json::{Value, json};

use crate::policy::{Action, Spot};
use crate::vnet::samples::{SUBNET, VNET, built, security_rule, worked};
use crate::vnet::{
    EffectiveRoute, FlowDirection, Hop, Network, NetworkInterface, NetworkSecurityGroup, RouteSource, RouteState,
    SecurityProtocol, SecurityRule, Topology,
};

use super::*;

const OWN: &str = "192.168.251.140";

fn ids(network: &Network) -> Ids<'_> {
    Ids::of(network.topology())
}

fn shown<T: serde::Serialize>(value: T) -> Value {
    serde_json::to_value(value).unwrap()
}

/// With a machine in the subnet, which has a group of its own.
fn with_machine() -> Topology {
    let mut topology = worked();
    let deny = SecurityRule {
        access: Action::Deny,
        ..security_rule("no-telnet", 100, FlowDirection::Inbound, SecurityProtocol::Tcp, "*", "*", "23")
    };
    topology.security_groups.push(NetworkSecurityGroup { name: "own".into(), rules: vec![deny], at: Spot::nowhere() });
    topology.interfaces.push(NetworkInterface {
        name: "nic".into(),
        virtual_network: VNET.into(),
        subnet: SUBNET.into(),
        addresses: vec![OWN.parse().unwrap()],
        security_group: Some("own".into()),
        ..NetworkInterface::default()
    });
    topology
}

fn verified(change: Value) -> Result<Value, String> {
    let mut body = json!({
        "targetResourceId": "/x", "direction": "Inbound", "protocol": "TCP", "localPort": "454", "remotePort": "60000",
        "localIPAddress": OWN, "remoteIPAddress": "70.37.57.58"
    });
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let asked: IpFlowVerifyParameters = serde_json::from_value(body).unwrap();
    ip_flow_verify(&built(worked()), &asked).map(shown).map_err(|error| error.to_string())
}

#[test]
fn ip_flows_are_verified() {
    let check = |change, access: &str, rule: &str| {
        assert_eq!(verified(change), Ok(json!({ "access": access, "ruleName": rule })));
    };
    check(json!({}), "Allow", "securityRules/management");
    check(json!({ "remoteIPAddress": "198.51.100.7" }), "Deny", "securityRules/deny-inbound");
    let out = |port: &str, to: &str| json!({ "direction": "outbound", "protocol": "Udp", "localPort": "*", "remotePort": port, "remoteIPAddress": to });
    check(out("123", "198.51.100.7"), "Allow", "securityRules/ntp");
    check(out("53", "168.63.129.16"), "Allow", "PlatformRule");
    let refused = |change, words: &str| assert_eq!(verified(change), Err(words.to_owned()));
    refused(json!({ "direction": "up" }), "direction is Inbound or Outbound, not 'up'");
    refused(json!({ "protocol": "ICMP" }), "protocol is TCP or UDP, not 'ICMP'");
    refused(json!({ "localPort": "http" }), "localPort is a port or *, not 'http'");
    refused(json!({ "remoteIPAddress": "*" }), "remoteIPAddress is an address, not '*'");
    refused(
        json!({ "remoteIPAddress": "2001:db8::7" }),
        "remoteIPAddress is an IPv4 address, as localIPAddress is, not '2001:db8::7'",
    );
    refused(json!({ "localIPAddress": "192.0.2.1" }), "localIPAddress: '192.0.2.1' is of no subnet of the topology");
}

#[test]
fn next_hops_are_told() {
    let network = built(worked());
    let hop = |to: &str| {
        let body = json!({ "targetResourceId": "/x", "sourceIPAddress": OWN, "destinationIPAddress": to });
        shown(next_hop(&network, ids(&network), &serde_json::from_value(body).unwrap()).unwrap())
    };
    let table = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/egret/providers/Microsoft.Network/\
                 routeTables/ase-routes";
    assert_eq!(
        hop("198.51.100.1"),
        json!({ "nextHopType": "VirtualAppliance", "nextHopIpAddress": "192.168.0.4", "routeTableId": table })
    );
    assert_eq!(hop("192.168.7.7"), json!({ "nextHopType": "VnetLocal", "routeTableId": "System Route" }));
    assert_eq!(hop("70.37.57.58"), json!({ "nextHopType": "Internet", "routeTableId": table }));
    let host = json!({ "nextHopType": "Internet", "routeTableId": "System Route" });
    assert_eq!(hop("168.63.129.16"), host, "no route of a user's leads to the platform");
    assert_eq!(hop("2600::1"), json!({ "nextHopType": "None", "routeTableId": "System Route" }));
}

/// A watcher is seldom where the network is.
#[test]
fn ids_have_the_group_of_each_resource() {
    let mut topology = worked();
    let table = |topology: &Topology, target: &str| {
        let network = built(topology.clone());
        let asked = Asked { subscription: "s", resource_group: "NetworkWatcherRG" };
        let ids = Ids::asked(network.topology(), asked).about(target);
        let body =
            json!({ "targetResourceId": target, "sourceIPAddress": OWN, "destinationIPAddress": "198.51.100.1" });
        let told = shown(next_hop(&network, ids, &serde_json::from_value(body).unwrap()).unwrap());
        let id = told["routeTableId"].as_str().unwrap().to_owned();
        let end = "/providers/Microsoft.Network/routeTables/ase-routes";
        id.strip_prefix("/subscriptions/s/resourceGroups/").and_then(|id| id.strip_suffix(end)).map(str::to_owned)
    };
    let machine = "/subscriptions/s/resourceGroups/rg-vm/providers/Microsoft.Compute/virtualMachines/vm";
    assert_eq!(table(&topology, "/x").as_deref(), Some("NetworkWatcherRG"), "where it was asked for");
    assert_eq!(table(&topology, machine).as_deref(), Some("rg-vm"), "beside what it was asked about");
    topology.resource_group = "lab".into();
    assert_eq!(table(&topology, machine).as_deref(), Some("lab"), "where the topology is");
    topology.homes.add("Microsoft.Network/routeTables", "ase-routes", "s", "rg-net");
    assert_eq!(table(&topology, machine).as_deref(), Some("rg-net"), "where its own file says");
}

#[test]
fn diagnostics_tell_what_of_each_rule_matched() {
    let network = built(with_machine());
    let profile = json!({ "direction": "Inbound", "protocol": "TCP", "source": "192.168.7.7", "destination": "*", "destinationPort": "80" });
    let asked = json!({ "targetResourceId": "/x/networkInterfaces/NIC", "profiles": [profile] });
    let asked = serde_json::from_value(asked).unwrap();
    let result = shown(nsg_diagnostics(&network, ids(&network), &asked).unwrap());
    let groups = &result["results"][0]["networkSecurityGroupResult"];
    assert_eq!((&groups["securityRuleAccessResult"], &result["results"][0]["profile"]), (&json!("Allow"), &profile));
    let subnet = &groups["evaluatedNetworkSecurityGroups"][0];
    assert_eq!(subnet["matchedRule"], json!({ "ruleName": "UserRule_http", "action": "Allow" }));
    assert_eq!(
        subnet["rulesEvaluationResult"][0],
        json!({
            "name": "UserRule_management", "protocolMatched": true, "sourceMatched": false, "sourcePortMatched": true,
            "destinationMatched": true, "destinationPortMatched": false
        })
    );
    let own = &groups["evaluatedNetworkSecurityGroups"][1];
    assert!(subnet["appliedTo"].as_str().unwrap().ends_with("/virtualNetworks/ase-vnet/subnets/ase-subnet"));
    assert!(own["appliedTo"].as_str().unwrap().ends_with("/networkInterfaces/nic"));
    assert_eq!(own["matchedRule"], json!({ "ruleName": "DefaultRule_AllowVnetInBound", "action": "Allow" }));
}

#[test]
fn effective_security_rules_are_normalised() {
    let network = built(with_machine());
    let place = network.place(VNET, SUBNET).unwrap();
    let groups = shown(effective_security_groups(&network, ids(&network), place, Some(OWN.parse().unwrap())));
    let groups = groups["value"].as_array().unwrap();
    assert_eq!(groups.len(), 2);
    let rules = groups[0]["effectiveSecurityRules"].as_array().unwrap();
    let find = |name: &str| rules.iter().find(|rule| rule["name"] == name).unwrap();
    let management = find("securityRules/management");
    assert_eq!(
        (&management["protocol"], &management["sourcePortRange"], &management["destinationPortRange"]),
        (&json!("Tcp"), &json!("0-65535"), &json!("454-455"))
    );
    assert_eq!(management["sourceAddressPrefix"], "AppServiceManagement");
    assert_eq!(management["destinationAddressPrefix"], "192.168.251.128/25");
    assert!(management["expandedSourceAddressPrefix"].as_array().unwrap().len() > 231);
    assert!(management.get("expandedDestinationAddressPrefix").is_none());
    assert_eq!(find("securityRules/ftp")["destinationPortRanges"], json!(["21-21", "990-990", "10001-10020"]));
    let default = find("defaultSecurityRules/AllowVnetOutBound");
    assert_eq!((&default["protocol"], &default["priority"]), (&json!("All"), &json!(65000)));
    // With a default route to an appliance, as azure-powershell, issue 4972 shows it.
    assert_eq!(default["expandedSourceAddressPrefix"], json!(["0.0.0.0/0"]));
    let names = groups[0]["tagMap"].as_object().unwrap().keys().collect::<Vec<_>>();
    assert_eq!(names, ["AppServiceManagement", "AzureLoadBalancer", "Internet", "Sql", "Storage", "VirtualNetwork"]);
    assert!(groups[1]["association"]["networkInterface"]["id"].as_str().unwrap().ends_with("/nic"));
    assert_eq!(groups[1]["effectiveSecurityRules"][0]["name"], "securityRules/no-telnet");
}

/// The worked set-up without what has hundreds of prefixes.
fn small() -> Network {
    let mut topology = worked();
    topology.virtual_networks[0].subnets[0].service_endpoints.clear();
    topology.route_tables[0].routes.retain(|route| route.name == "default");
    built(topology)
}

#[test]
fn effective_routes_are_written_and_read() {
    let network = small();
    let place = network.place(VNET, SUBNET).unwrap();
    let routes = network.effective_routes(place);
    let arm = shown(effective_routes(routes));
    assert_eq!(
        arm["value"],
        json!([
            { "source": "Default", "state": "Active", "addressPrefix": ["192.168.0.0/16"], "nextHopType": "VnetLocal",
              "nextHopIpAddress": [] },
            { "source": "Default", "state": "Invalid", "addressPrefix": ["0.0.0.0/0"], "nextHopType": "Internet",
              "nextHopIpAddress": [] },
            { "name": "default", "source": "User", "state": "Active", "addressPrefix": ["0.0.0.0/0"],
              "nextHopType": "VirtualAppliance", "nextHopIpAddress": ["192.168.0.4"] },
        ])
    );
    let cli = serde_json::to_string_pretty(&cli_routes(&network, place)).unwrap();
    assert!(cli.contains("\"destinationServiceTags\": [],\n      \"disableBgpRoutePropagation\": false"), "{cli}");
    let without_table = |route: &EffectiveRoute| EffectiveRoute { route_table: None, ..route.clone() };
    let expected: Vec<EffectiveRoute> = routes.iter().map(without_table).collect();
    let noisy = cli.replacen('{', "{- Finished ..", 1);
    for text in [arm.to_string(), arm["value"].to_string(), cli.clone(), noisy, format!(" - Running ..\n{cli}")] {
        assert_eq!(read_effective_routes(&text).unwrap(), expected, "{text}");
    }
    let read = small().with_effective_routes(place, expected);
    assert_eq!(read.route(place, "198.51.100.1".parse().unwrap()).unwrap().route.name, "default");
}

#[test]
fn effective_routes_as_a_table() {
    let network = small();
    let place = network.place(VNET, SUBNET).unwrap();
    let expected = "\
Source    State    Address Prefix    Next Hop Type     Next Hop IP
--------  -------  ----------------  ----------------  -------------
Default   Active   192.168.0.0/16    VnetLocal
Default   Invalid  0.0.0.0/0         Internet
User      Active   0.0.0.0/0         VirtualAppliance  192.168.0.4
";
    assert_eq!(table(network.effective_routes(place)), expected);
}

fn one(change: Value) -> Result<EffectiveRoute, String> {
    let mut route = json!({
        "source": "Default", "state": "Active", "addressPrefix": ["10.0.0.4/32"], "nextHopType": "InterfaceEndpoint",
        "nextHopIpAddress": [], "tagMap": {}, "hasBgpOverride": false
    });
    route.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let text = json!({ "value": [route], "nextLink": null }).to_string();
    read_effective_routes(&text).map(|routes| routes[0].clone()).map_err(|error| error.to_string())
}

#[test]
fn what_real_machines_have() {
    let hop = |kind: &str| one(json!({ "nextHopType": kind })).map(|route| route.next_hop);
    assert_eq!(hop("InterfaceEndpoint"), Ok(Hop::InterfaceEndpoint));
    assert_eq!(hop("VNetGlobalPeering"), Ok(Hop::VnetGlobalPeering(String::new())));
    assert_eq!(hop("ConnectedGroup"), Ok(Hop::VnetPeering(String::new())));
    assert_eq!(hop("VirtualNetworkServiceEndpoint"), Ok(Hop::VirtualNetworkServiceEndpoint(String::new())));
    let gateway = json!({
        "source": "VirtualNetworkGateway", "state": "Invalid", "nextHopType": "VirtualNetworkGateway",
        "nextHopIpAddress": ["10.0.0.5"]
    });
    let gateway = one(gateway).unwrap();
    assert_eq!((gateway.source, gateway.state), (RouteSource::VirtualNetworkGateway, RouteState::Invalid));
    let tagged = one(json!({ "destinationServiceTags": ["Storage"], "name": null })).unwrap();
    assert_eq!((tagged.tag.as_deref(), tagged.name.as_str()), (Some("Storage"), ""));
}

#[test]
fn a_table_of_effective_routes_is_read() {
    let network = small();
    let place = network.place(VNET, SUBNET).unwrap();
    let read = read_effective_routes(&table(network.effective_routes(place))).unwrap();
    let plain = |route: &EffectiveRoute| (route.source, route.state, route.prefixes.clone(), route.next_hop.clone());
    assert_eq!(
        read.iter().map(plain).collect::<Vec<_>>(),
        network.effective_routes(place).iter().map(plain).collect::<Vec<_>>()
    );
    // As `az` sets heads: to the right, or in the middle.
    let captured = "\
     Source    State    Address Prefix    Next Hop Type     Next Hop IP
--------  -------  ----------------  ----------------  -------------
Default   Active   10.1.0.0/16       VnetLocal
User      Active   0.0.0.0/0         VirtualAppliance  10.0.0.4
";
    let read = read_effective_routes(captured).unwrap();
    assert_eq!(read[0].next_hop, Hop::VnetLocal);
    assert_eq!(read[1].next_hop, Hop::VirtualAppliance("10.0.0.4".parse().unwrap()));
    assert_eq!((read.len(), read[1].prefixes[0].to_string().as_str()), (2, "0.0.0.0/0"));
}

#[test]
fn what_are_no_effective_routes() {
    let refused = |change, words: &str| assert_eq!(one(change).unwrap_err(), words);
    refused(json!({ "nextHopType": "Moon" }), "effective route 1: `Moon` is no next hop");
    refused(json!({ "source": "Me" }), "effective route 1: `Me` is no source");
    refused(json!({ "state": "Tired" }), "effective route 1: `Tired` is no state");
    refused(json!({ "addressPrefix": ["10.0.0.4"] }), "effective route 1: `10.0.0.4` is no prefix");
    refused(
        json!({ "nextHopType": "VirtualAppliance" }),
        "effective route 1: a next hop `VirtualAppliance` without an address",
    );
    for text in ["", "{", "{\"value\": 1}", "nothing", "{}", "[{}]"] {
        let error = read_effective_routes(text).unwrap_err().to_string();
        assert!(error.starts_with("these are no effective routes: "), "{text}: {error}");
    }
}
