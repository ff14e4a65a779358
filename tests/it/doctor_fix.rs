//! `egret doctor --fix` of templates: whom its commands reach, what a resource that is written whole keeps, and what no
//! command can do.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::command::{Answer, egret, finish};
use crate::support::patient::{SetUp, worked};

/// A set-up as the public template has it: the firewall has its rules itself.
fn classic() -> Value {
    let id = |kind: &str, names: &str| format!("[resourceId('Microsoft.Network/{kind}', {names})]");
    let network = json!({
        "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2023-09-01", "name": "net", "location": "westeurope",
        "properties": {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [
                {"name": "ase", "properties": {
                    "addressPrefix": "10.0.0.0/24",
                    "networkSecurityGroup": {"id": id("networkSecurityGroups", "'nsg'")},
                    "routeTable": {"id": id("routeTables", "'routes'")},
                    "serviceEndpoints": [
                        {"service": "Microsoft.Sql"}, {"service": "Microsoft.Storage"}, {"service": "Microsoft.EventHub"}
                    ]
                }},
                {"name": "AzureFirewallSubnet", "properties": {"addressPrefix": "10.0.1.0/26"}}
            ]
        }
    });
    let route = |name: &str, prefix: &str, rest: Value| {
        let mut properties = json!({"addressPrefix": prefix});
        properties.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({"name": name, "properties": properties})
    };
    let routes = json!({
        "type": "Microsoft.Network/routeTables", "apiVersion": "2023-09-01", "name": "routes", "location": "westeurope",
        "properties": {"routes": [
            route("management", "AppServiceManagement", json!({"nextHopType": "Internet"})),
            route("default", "0.0.0.0/0", json!({"nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.1.4"}))
        ]}
    });
    let rule = |name: &str, priority: u16, direction: &str, access: &str, to: &str| {
        json!({"name": name, "properties": {
            "priority": priority, "direction": direction, "access": access, "protocol": "*",
            "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": to, "destinationPortRange": "*"
        }})
    };
    let group = json!({
        "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2023-09-01", "name": "nsg",
        "location": "westeurope", "properties": {"securityRules": [
            rule("in", 200, "Inbound", "Allow", "10.0.0.0/24"), rule("out", 200, "Outbound", "Allow", "*")
        ]}
    });
    let firewall = json!({
        "type": "Microsoft.Network/azureFirewalls", "apiVersion": "2023-09-01", "name": "fw", "location": "westeurope",
        "properties": {
            "ipConfigurations": [{"name": "one", "properties": {
                "subnet": {"id": id("virtualNetworks/subnets", "'net', 'AzureFirewallSubnet'")}
            }}],
            "applicationRuleCollections": [{"name": "ase", "properties": {
                "priority": 500, "action": {"type": "Allow"},
                "rules": [{"name": "tags", "sourceAddresses": ["*"], "fqdnTags": ["AppServiceEnvironment", "WindowsUpdate"]}]
            }}],
            "networkRuleCollections": [{"name": "net", "properties": {
                "priority": 500, "action": {"type": "Allow"}, "rules": [
                    {"name": "ntp", "protocols": ["UDP"], "sourceAddresses": ["*"], "destinationAddresses": ["*"],
                     "destinationPorts": ["123"]},
                    {"name": "triage", "protocols": ["TCP"], "sourceAddresses": ["*"], "destinationAddresses": ["*"],
                     "destinationPorts": ["12000"]},
                    {"name": "monitor", "protocols": ["TCP"], "sourceAddresses": ["*"],
                     "destinationAddresses": ["AzureMonitor"], "destinationPorts": ["80", "443"]}
                ]
            }}]
        }
    });
    let environment = json!({
        "type": "Microsoft.Web/hostingEnvironments", "apiVersion": "2021-02-01", "kind": "ASEV2", "name": "ase",
        "location": "westeurope", "properties": {
            "internalLoadBalancingMode": "Web, Publishing",
            "virtualNetwork": {"id": id("virtualNetworks/subnets", "'net', 'ase'")}
        }
    });
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0", "resources": [network, routes, group, firewall, environment]
    })
}

const NETWORK: usize = 0;
const ROUTES: usize = 1;
const GROUP: usize = 2;
const FIREWALL: usize = 3;

fn properties(template: &mut Value, of: usize) -> &mut Value {
    &mut template["resources"][of]["properties"]
}

struct Fixed {
    folder: tempfile::TempDir,
    answer: Answer,
}

impl Fixed {
    fn of(files: &[(&str, String)], args: &[&str]) -> Fixed {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        let mut command = egret();
        command.args(["doctor", "--fix", "mended"]).args(args).current_dir(folder.path());
        Fixed { answer: finish(&mut command, ""), folder }
    }

    fn template(template: &Value) -> Fixed {
        Fixed::of(&[("net.json", template.to_string())], &["net.json"])
    }

    fn set_up(set_up: &SetUp) -> Fixed {
        Fixed::of(&[("vnet.toml", set_up.network.clone()), ("policy.toml", set_up.policy.clone())], &["vnet.toml"])
    }

    fn file(&self, name: &str) -> String {
        let path = Path::new("mended").join(name);
        fs::read_to_string(self.folder.path().join(&path))
            .unwrap_or_else(|error| panic!("{name}: {error}: {}", self.said()))
    }

    fn said(&self) -> String {
        format!("{}{}", self.answer.out, self.answer.err)
    }

    #[track_caller]
    fn says(&self, part: &str) -> &Fixed {
        assert!(self.said().contains(part), "`{part}` is not in: {}", self.said());
        self
    }

    fn resources(&self, kind: &str) -> Vec<Value> {
        let template: Value = serde_json::from_str(&self.file("fix.json")).unwrap();
        let all = template["resources"].as_array().unwrap().clone();
        all.into_iter().filter(|it| it["type"] == kind).collect()
    }
}

#[test]
fn the_classic_set_up_is_healthy() {
    Fixed::template(&classic()).says("then: healthy").says("0 findings");
}

/// There is no policy to write to: rules of a firewall itself have commands of their own.
#[test]
fn rules_of_a_firewall_without_a_policy() {
    let mut template = classic();
    let rules = &mut properties(&mut template, FIREWALL)["networkRuleCollections"][0]["properties"]["rules"];
    rules.as_array_mut().unwrap().remove(0);
    let fixed = Fixed::template(&template);
    fixed.says("has no network rule of fw to any address").says("then: healthy");
    fixed.says("fix.json: the rules of the firewall `fw` are not written");
    let script = fixed.file("fix.sh");
    let create = "az network firewall network-rule create --resource-group \"$RESOURCE_GROUP\" \\\n  --firewall-name fw \\\n  \
                  --collection-name egret-doctor-network \\\n  --name egret-OUT-NTP \\\n  --priority 100 \\\n  --action Allow";
    assert!(script.contains(create), "{script}");
    assert!(
        script.contains("network-rule collection show") && !script.contains("az network firewall policy"),
        "{script}"
    );
    assert!(fixed.resources("Microsoft.Network/firewallPolicies/ruleCollectionGroups").is_empty());
}

#[test]
fn a_denial_of_a_firewall_without_a_policy() {
    let mut template = classic();
    let denial = json!({"name": "deny", "properties": {
        "priority": 100, "action": {"type": "Deny"},
        "rules": [{"name": "ntp", "protocols": ["UDP"], "sourceAddresses": ["*"], "destinationAddresses": ["*"],
                   "destinationPorts": ["123"]}]
    }});
    let collections = &mut properties(&mut template, FIREWALL)["networkRuleCollections"];
    collections.as_array_mut().unwrap().push(denial);
    let fixed = Fixed::template(&template);
    fixed.says("then: healthy");
    let script = fixed.file("fix.sh");
    let delete = "network-rule collection delete --resource-group \"$RESOURCE_GROUP\" \\\n    --firewall-name fw \\\n    --name deny";
    assert!(script.contains(delete), "{script}");
    // One that denies more than the port is somebody's own business.
    properties(&mut template, FIREWALL)["networkRuleCollections"][1]["properties"]["rules"][0]["destinationPorts"] =
        json!(["100-200"]);
    Fixed::template(&template).says("by hand: take what is needed out of rule fw/deny/ntp");
}

#[test]
fn a_firewall_without_its_subnet() {
    let mut template = classic();
    properties(&mut template, NETWORK)["subnets"].as_array_mut().unwrap().pop();
    let fixed = Fixed::template(&template);
    fixed.says("unhealthy[FW-SUBNET]: net has no subnet AzureFirewallSubnet").says("then: healthy");
    assert!(fixed.file("fix.sh").contains("az network vnet subnet create"), "{}", fixed.file("fix.sh"));
    // Nobody is where the default route leads to, and no policy is known: that of nobody is not judged.
    let mut nobody = classic();
    nobody["resources"].as_array_mut().unwrap().remove(FIREWALL);
    let fixed = Fixed::template(&nobody);
    fixed
        .says("suspended[RT-DEFAULT]")
        .says("no firewall is in AzureFirewallSubnet")
        .says("by hand: deploy the firewall");
    assert!(!fixed.file("fix.sh").contains("az network firewall"), "{}", fixed.file("fix.sh"));
}

/// A rule that cannot come first makes room: those before it keep their order.
#[test]
fn rules_are_renumbered_where_none_before_is_free() {
    let set_up =
        worked().network("name = \"deny-inbound\", priority = 4096", "name = \"deny-inbound\", priority = 101");
    let fixed = Fixed::set_up(&set_up);
    fixed.says("then: healthy");
    let script = fixed.file("fix.sh");
    let moved = script.find("--name deny-inbound").unwrap();
    let opened = script.find("--name egret-").unwrap();
    assert!(moved < opened, "{script}");
}

/// What a template cannot take out of a resource makes it be written whole, with all that its file has.
#[test]
fn what_is_written_whole_keeps_what_it_has() {
    let mut template = classic();
    template["resources"][GROUP]["tags"] = json!({"owner": "net"});
    properties(&mut template, GROUP)["flushConnection"] = json!(true);
    let rules = &mut properties(&mut template, GROUP)["securityRules"];
    rules[0]["properties"]["description"] = json!("who comes in");
    let mut denial = rules[0].clone();
    denial["name"] = json!("no-dns");
    denial["properties"]["direction"] = json!("Outbound");
    denial["properties"]["access"] = json!("Deny");
    denial["properties"]["priority"] = json!(100);
    denial["properties"]["destinationAddressPrefix"] = json!("AzurePlatformDNS");
    rules.as_array_mut().unwrap().push(denial);
    let subnet = &mut properties(&mut template, NETWORK)["subnets"][0]["properties"];
    subnet["natGateway"] = json!({"id": "[resourceId('Microsoft.Network/natGateways', 'nat')]"});
    subnet["defaultOutboundAccess"] = json!(false);
    subnet["serviceEndpoints"] = json!([
        {"service": "Microsoft.Storage", "locations": ["westeurope"]}, {"service": "Microsoft.EventHub"}
    ]);
    let fixed = Fixed::template(&template);
    fixed.says("then: healthy").says("fix.json: the security group `nsg` is written whole");
    fixed.says("subnet `net/ase`: `natGateway` is read, not emulated");
    let [group] = &fixed.resources("Microsoft.Network/networkSecurityGroups")[..] else {
        panic!("{}", fixed.file("fix.json"))
    };
    assert_eq!((&group["tags"], &group["properties"]["flushConnection"]), (&json!({"owner": "net"}), &json!(true)));
    assert_eq!(group["properties"]["securityRules"][0]["properties"]["description"], json!("who comes in"));
    let [subnet] = &fixed.resources("Microsoft.Network/virtualNetworks/subnets")[..] else {
        panic!("{}", fixed.file("fix.json"))
    };
    let own = &subnet["properties"];
    assert_eq!(own["natGateway"], json!({"id": "[resourceId('Microsoft.Network/natGateways', 'nat')]"}));
    assert_eq!(own["defaultOutboundAccess"], json!(false));
    assert_eq!(own["serviceEndpoints"][0], json!({"service": "Microsoft.Storage", "locations": ["westeurope"]}));
}

/// A table has one route of a prefix, and takes no more than Azure's number of them.
#[test]
fn a_route_takes_the_place_of_that_of_its_prefix() {
    let mut template = classic();
    properties(&mut template, ROUTES)["routes"][0]["name"] = json!("ours");
    properties(&mut template, ROUTES)["routes"][0]["properties"]["nextHopType"] = json!("None");
    let fixed = Fixed::template(&template);
    fixed.says("then: healthy");
    let routes = fixed.resources("Microsoft.Network/routeTables/routes");
    assert_eq!(routes.iter().map(|it| it["name"].as_str().unwrap()).collect::<Vec<_>>(), ["routes/ours"]);
    let mut full = classic();
    let own = properties(&mut full, ROUTES)["routes"].as_array_mut().unwrap();
    own.remove(0);
    own.extend((0..399).map(|at| {
        json!({"name": format!("r{at}"), "properties": {
            "addressPrefix": format!("198.18.{}.{}/32", at / 250, at % 250), "nextHopType": "Internet"
        }})
    }));
    Fixed::template(&full).says("RT-MGMT").says("routes holds 400 routes, and Azure takes 400");
}

#[test]
fn a_zone_that_is_not_linked_is_linked() {
    let zone = "\n[[dns_zone]]\nname = \"ase.appserviceenvironment.net\"\nvnets = []\nrecord = [{ name = \"*\", addresses = \
                \"192.168.251.132\" }, { name = \"@\", addresses = \"192.168.251.132\" }, { name = \"*.scm\", addresses = \
                \"192.168.251.132\" }]\n";
    let worked = worked();
    let text = match worked.network.find("\n[[dns_zone]]") {
        Some(at) => format!("{}{zone}", &worked.network[..at]),
        None => format!("{}{zone}", worked.network),
    };
    let fixed = Fixed::set_up(&SetUp { network: text, ..worked });
    if fixed.said().contains("DNS-ILB") {
        assert!(fixed.file("fix.sh").contains("az network private-dns link vnet create"), "{}", fixed.file("fix.sh"));
        assert!(!fixed.file("fix.sh").contains("record-set"), "{}", fixed.file("fix.sh"));
    } else {
        panic!("{}", fixed.said());
    }
}

/// Other formats have what people see: what is not covered, the documents, and the verdict.
#[test]
fn every_format_has_the_evidence_and_the_verdict() {
    let mut template = classic();
    let group = &mut properties(&mut template, GROUP)["securityRules"][0]["properties"];
    group["sourceAddressPrefix"] = json!("10.0.0.0/24");
    properties(&mut template, GROUP)["securityRules"].as_array_mut().unwrap().push(json!({"name": "close", "properties": {
        "priority": 300, "direction": "Inbound", "access": "Deny", "protocol": "*", "sourceAddressPrefix": "13.66.140.0/26",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"
    }}));
    properties(&mut template, GROUP)["securityRules"].as_array_mut().unwrap().push(
        json!({"name": "open", "properties": {
            "priority": 400, "direction": "Inbound", "access": "Allow", "protocol": "*", "sourceAddressPrefix": "*",
            "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"
        }}),
    );
    let answer = |format: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("net.json"), template.to_string()).unwrap();
        let mut command = egret();
        command.args(["doctor", "--format", format, "net.json"]).current_dir(folder.path());
        finish(&mut command, "").out
    };
    for format in ["sarif", "github", "junit"] {
        let text = answer(format);
        for part in
            ["not covered: 13.66.140.0/26", "would be suspended", "Networking considerations", "has been suspended"]
        {
            assert!(text.contains(part), "`{part}` is not in {format}: {text}");
        }
    }
}
