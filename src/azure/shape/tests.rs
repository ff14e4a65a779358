//! Shapes as tools write them, by what comes of each.

use crate::azure::json::{Node, Value, parse};
use crate::azure::note::{Note, Severity};

use super::*;

fn shaped(text: &str) -> Shaped {
    resources(&parse(text, 0).unwrap())
}

/// One line for each resource and each note that is more than information.
fn lines(text: &str) -> Vec<String> {
    let Shaped { resources, notes } = shaped(text);
    let kind = |resource: &Resource| resource.kind.rsplit('/').next().unwrap_or_default().to_owned();
    let name = |resource: &Resource| resource.name.text().unwrap_or("?").to_owned();
    let of_resource =
        |resource: &Resource| format!("{} {} {}", kind(resource), name(resource), show(&resource.properties));
    let of_note = |note: &Note| format!("{:?}: {}", note.severity, note.what);
    let notes = notes.iter().filter(|note| note.severity > Severity::Info).map(of_note);
    resources.iter().map(of_resource).chain(notes).collect()
}

fn show(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Object(object) => {
            let members: Vec<_> = object.iter().map(|(key, node)| format!("{}:{}", key.name, show(node))).collect();
            format!("{{{}}}", members.join(" "))
        }
        Value::Unknown(unknown) => format!("<{}>", unknown.names.join(",")),
    }
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(lines(text), expected, "{text}");
}

const ID: &str = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network";

mod documents {
    use super::*;

    #[test]
    fn children_of_templates_have_relative_types() {
        check(
            r#"{"TYPE": "microsoft.network/firewallPolicies", "name": "p", "location": "x", "properties": {"sku": 1},
                "resources": [
                  {"type": "ruleCollectionGroups", "name": "g", "properties": {"priority": 200}},
                  {"type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups", "name": "p/h", "properties": {}},
                  {"type": "Microsoft.Authorization/locks", "name": "l"}]}"#,
            &["firewallPolicies p {sku:1}", "ruleCollectionGroups p/g {priority:200}", "ruleCollectionGroups p/h {}"],
        );
    }

    #[test]
    fn bodies_within_properties_are_children() {
        check(
            r#"[{"type": "Microsoft.Network/networkSecurityGroups", "name": "n", "properties": {
                  "securityRules": [{"name": "a", "properties": {"priority": 100}}]}},
                {"type": "Microsoft.Network/routeTables", "name": "t", "properties": {"routes": [{"name": "r", "properties": {}}]}},
                {"type": "Microsoft.Network/firewallPolicies", "name": "p", "properties": {
                  "ruleCollectionGroups": [{"id": "x"}, {"name": "g", "properties": {}}]}},
                {"type": "Microsoft.Network/virtualNetworks", "name": "v", "properties": {
                  "subnets": [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]}}]"#,
            &[
                "networkSecurityGroups n {securityRules:[]}",
                "securityRules n/a {priority:100}",
                "routeTables t {routes:[]}",
                "routes t/r {}",
                "firewallPolicies p {ruleCollectionGroups:[{id:x}]}",
                "ruleCollectionGroups p/g {}",
                "virtualNetworks v {subnets:[]}",
                "subnets v/s {addressPrefix:10.0.0.0/24}",
            ],
        );
    }

    #[test]
    fn existing_resources_are_named_only() {
        check(
            r#"{"type": "Microsoft.Network/ipGroups", "name": "g", "existing": true}"#,
            &["Warning: there is no firewall policy, firewall, IP group, security group, route table or network in it"],
        );
    }

    #[test]
    fn a_parent_that_is_not_known_leaves_its_child_unknown() {
        let mut documents = parse(
            r#"{"type": "Microsoft.Network/routeTables", "name": "", "resources": [{"type": "routes", "name": "r"}]}"#,
            0,
        )
        .unwrap();
        let object = build::object_mut(&mut documents[0]).unwrap();
        let unknown = crate::azure::json::Unknown { names: vec!["parameters.t".into()], shown: "{t}".into() };
        object.0[1].1.value = Value::Unknown(unknown);
        let shaped = resources(&documents);
        assert_eq!(show(&shaped.resources[1].name), "<parameters.t>");
    }

    #[test]
    fn what_is_not_read_is_told_once_for_each_type() {
        let shaped = shaped(
            r#"[{"type": "Contoso.X/y", "name": "a"}, {"type": "contoso.x/Y", "name": "b"},
                {"type": "Microsoft.Compute/virtualMachines", "name": "v"},
                {"type": "Microsoft.Network/firewallPolicies/firewallPolicyDrafts", "name": "p/default"}]"#,
        );
        let notes: Vec<_> = shaped.notes.iter().map(|note| note.what.as_str()).collect();
        let draft = "Microsoft.Network/firewallPolicies/firewallPolicyDrafts: a draft is not in force, and is left out";
        assert_eq!(notes, ["Contoso.X/y (2 of them): not about the firewall", draft]);
    }

    #[test]
    fn documents_for_other_flags_are_refused() {
        check(
            r#"{"$schema": "https://x/deploymentParameters.json#", "parameters": {}}
               {"changeNumber": 1, "cloud": "Public", "values": [{"name": "A", "properties": {"addressPrefixes": []}}]}
               {"resource": {"azurerm_firewall": {"x": {}}}}"#,
            &[
                "Error: a parameters file, and no policy",
                "Error: a list of service tags, and no policy",
                "Error: Terraform source in JSON, which only Terraform can work out",
            ],
        );
        let shape = |text: &str| shape_of(&parse(text, 0).unwrap()[0]);
        assert_eq!(
            shape(r#"{"$schema": "https://x/2018-05-01/subscriptionDeploymentTemplate.json#"}"#),
            Shape::Template
        );
        assert_eq!(shape(r#"{"resources": [{"type": "A/b", "name": "x"}]}"#), Shape::Template);
        assert_eq!(shape(r#"{"parameters": {"a": {"value": 1}}}"#), Shape::ParametersFile);
        assert_eq!(shape(r#"{"type": "A/b", "resources": [{"type": "A/b"}]}"#), Shape::Resources);
    }
}

mod tools {
    use super::*;

    #[test]
    fn examples_of_the_rest_api_are_taken_once() {
        let request = r#""parameters": {"firewallPolicyName": "p", "ruleCollectionGroupName": "g", "parameters":
            {"properties": {"priority": 100}}}"#;
        check(
            &format!("{{{request}, \"responses\": {{\"200\": {{}}}}}}"),
            &["ruleCollectionGroups p/g {priority:100}"],
        );
        let answer = format!(
            r#""responses": {{"200": {{"body": {{"id": "{ID}/firewallPolicies/q/ruleCollectionGroups/h", "name": "h",
            "properties": {{"priority": 200}}}}}}}}"#
        );
        check(&format!("{{{request}, {answer}}}"), &["ruleCollectionGroups q/h {priority:200}"]);
    }

    #[test]
    fn az_flattens() {
        check(
            &format!(
                r#"[{{"etag": "e", "id": "{ID}/firewallPolicies/p/ruleCollectionGroups/g", "name": "g", "priority": 300,
                     "resourceGroup": "r", "ruleCollections": [], "type": "Microsoft.Network/FirewallPolicies/RuleCollectionGroups"}},
                    {{"id": "{ID}/networkSecurityGroups/n/securityRules/a", "name": "a", "access": "Deny", "priority": 100}},
                    {{"id": "{ID}/firewallPolicies/p", "name": "p", "type": "Microsoft.Network/FirewallPolicies",
                     "sku": {{"tier": "Basic"}}, "threatIntelMode": "Off", "identity": null}}]"#
            ),
            &[
                "RuleCollectionGroups p/g {priority:300 ruleCollections:[]}",
                "securityRules n/a {access:Deny priority:100}",
                "FirewallPolicies p {sku:{tier:Basic} threatIntelMode:Off}",
            ],
        );
    }

    #[test]
    fn az_flattens_classic_collections() {
        check(
            &format!(
                r#"{{"id": "{ID}/azureFirewalls/f", "name": "f", "applicationRuleCollections": [
                     {{"name": "c", "priority": 100, "action": {{"type": "Allow"}}, "rules": []}},
                     {{"name": "d", "properties": {{"priority": 200}}}}]}}"#
            ),
            &[
                "azureFirewalls f {applicationRuleCollections:[{name:c properties:{priority:100 action:{type:Allow} rules:[]}} \
               {name:d properties:{priority:200}}]}",
            ],
        );
    }

    #[test]
    fn collections_alone_are_put_into_a_group() {
        let collection =
            r#"{"name": "c", "priority": 1, "ruleCollectionType": "FirewallPolicyFilterRule", "rules": []}"#;
        check(
            collection,
            &[
                "ruleCollectionGroups imported {priority:100 ruleCollections:[{name:c priority:1 \
                 ruleCollectionType:FirewallPolicyFilterRuleCollection rules:[]}]}",
                "Warning: a rule collection without its group: taken into one with priority 100",
            ],
        );
        let two = lines(&format!("[{collection}, {collection}]"));
        assert_eq!(two.len(), 2);
        assert!(two[1].ends_with("if they were in several, the order across them is lost"), "{two:?}");
    }

    #[test]
    fn rules_alone_are_put_into_collections_by_type() {
        check(
            r#"[{"ruleType": "NetworkRule", "name": "a"}, {"ruleType": "ApplicationRule", "name": "b"}]"#,
            &[
                "ruleCollectionGroups imported {priority:100 ruleCollections:[{name:imported-networkrules \
                 ruleCollectionType:FirewallPolicyFilterRuleCollection priority:100 action:{type:Allow} \
                 rules:[{ruleType:NetworkRule name:a}]} {name:imported-applicationrules \
                 ruleCollectionType:FirewallPolicyFilterRuleCollection priority:100 action:{type:Allow} \
                 rules:[{ruleType:ApplicationRule name:b}]}]}",
                "Doubt: rules without a collection: taken as allowed, in a collection with priority 100 for each type",
            ],
        );
    }

    #[test]
    fn rule_groups_are_what_groups_were() {
        check(
            r#"{"type": "Microsoft.Network/firewallPolicies/ruleGroups", "name": "p/g", "properties": {"priority": 100, "rules": [
                 {"name": "a", "priority": 1, "ruleType": "FirewallPolicyFilterRule", "action": {"type": "Deny"},
                  "ruleConditions": [{"name": "x", "ruleConditionType": "applicationRuleCondition"}]},
                 {"name": "b", "priority": 2, "ruleType": "FirewallPolicyNatRule", "translatedPort": 80,
                  "ruleCondition": {"name": "y", "ruleConditionType": "NetworkRuleCondition"}}]}}"#,
            &["ruleCollectionGroups p/g {priority:100 ruleCollections:[{name:a priority:1 action:{type:Deny} \
               ruleCollectionType:FirewallPolicyFilterRuleCollection rules:[{name:x ruleType:ApplicationRule}]} \
               {name:b priority:2 ruleCollectionType:FirewallPolicyNatRuleCollection \
               rules:[{name:y ruleType:NatRule translatedPort:80}]}]}"],
        );
    }

    #[test]
    fn powershell_has_its_own_names() {
        check(
            &format!(
                r#"[{{"Name": "g", "Id": "{ID}/firewallPolicies/p/ruleCollectionGroups/g", "Properties": {{"Priority": 100,
                     "RuleCollection": [{{"RuleCollectionType": "FirewallPolicyFilterRuleCollection",
                     "Rules": [{{"RuleType": "NetworkRule", "Protocols": ["TCP"]}}, {{"RuleType": "ApplicationRule", "Protocols": []}}]}}]}}}},
                    {{"Name": "n", "Id": "{ID}/networkSecurityGroups/n", "SecurityRules": [{{"Name": "a", "SourcePortRange": ["*"]}}]}},
                    {{"Name": "p", "Id": "{ID}/firewallPolicies/p", "PrivateRange": ["10.0.0.0/8"], "ThreatIntelMode": "Off"}},
                    {{"Name": "q", "Id": "{ID}/firewallPolicies/q/ruleCollectionGroups/q", "Properties": {{"RuleCollection": ["@{{Name=x}}"]}}}}]"#
            ),
            &[
                "ruleCollectionGroups p/g {Priority:100 ruleCollections:[{RuleCollectionType:FirewallPolicyFilterRuleCollection \
                 Rules:[{RuleType:NetworkRule ipProtocols:[TCP]} {RuleType:ApplicationRule Protocols:[]}]}]}",
                "networkSecurityGroups n {SecurityRules:[]}",
                "securityRules n/a {sourcePortRanges:[*]}",
                "firewallPolicies p {ThreatIntelMode:Off snat:{privateRanges:[10.0.0.0/8]}}",
                "ruleCollectionGroups q/q {ruleCollections:[@{Name=x}]}",
                "Error: ConvertTo-Json has written what lies deeper as a text, and it is lost",
            ],
        );
    }

    #[test]
    fn what_is_no_policy_is_named() {
        for (text, expected) in [
            (
                r#"{"value": [{"effectiveSecurityRules": []}, {"effectiveSecurityRules": [1]}]}"#,
                "effective security rules",
            ),
            (
                r#"[{"source": "Default", "state": "Active", "addressPrefix": ["0.0.0.0/0"], "nextHopType": "Internet"}]"#,
                "effective route",
            ),
            (r#"{"access": "Allow", "ruleName": "Rule1"}"#, "IP flow verify"),
            (r#"{"nextHopType": "None", "routeTableId": "x"}"#, "next hop"),
            (r#"{"value": [{"category": "x", "endpoints": []}]}"#, "App Service Environment"),
            (r#"{"roleName": "x", "permissions": []}"#, "role definition"),
            ("[1]", "no resource, but a number"),
            (r#"{"a": 1}"#, "no resource: it has no type"),
            (
                r#"{"value": [{"type": "Microsoft.Network/azureFirewallFqdnTags", "name": "x"}]}"#,
                "no firewall policy, but",
            ),
            (r#"{"type": "Microsoft.Compute/disks", "name": "d"}"#, "there is no firewall policy"),
        ] {
            let shaped = shaped(text);
            assert!(shaped.resources.is_empty(), "{text}");
            assert_eq!(shaped.notes.len(), 1, "{:?}", shaped.notes);
            assert!(shaped.notes[0].what.contains(expected), "{:?}", shaped.notes);
        }
    }
}

mod terraform_shows {
    use super::*;

    const PLAN: &str = r#"{"format_version": "1.2", "resource_changes": [
      {"address": "azurerm_firewall_policy.p", "mode": "managed", "type": "azurerm_firewall_policy", "name": "p",
       "change": {"actions": ["create"], "after": {"name": "p1", "resource_group_name": "rg", "sku": "Premium",
         "dns": [{"proxy_enabled": true, "servers": []}], "base_policy_id": ""},
         "after_unknown": {"id": true, "child_policies": true}}},
      {"address": "azurerm_ip_group.g[\"a.b\"]", "mode": "managed", "type": "azurerm_ip_group", "name": "g", "index": "a.b",
       "change": {"actions": ["create"], "after": {"name": "ga", "resource_group_name": "rg", "cidrs": ["10.0.0.0/8"]}, "after_unknown": {"id": true}}},
      {"address": "azurerm_ip_group.g[\"c\"]", "mode": "managed", "type": "azurerm_ip_group", "name": "g", "index": "c",
       "change": {"actions": ["create"], "after": {"name": "gc", "resource_group_name": "rg", "cidrs": []}, "after_unknown": {"id": true}}},
      {"address": "azurerm_ip_group.gone", "mode": "managed", "type": "azurerm_ip_group", "name": "gone",
       "change": {"actions": ["delete"], "before": {}, "after": null}},
      {"address": "module.rules.azurerm_firewall_policy_rule_collection_group.r", "mode": "managed",
       "type": "azurerm_firewall_policy_rule_collection_group", "name": "r", "change": {"actions": ["create"],
       "after": {"name": "r1", "priority": 100, "nat_rule_collection": [], "network_rule_collection": [{"name": "c", "priority": 110,
         "action": "Allow", "rule": [{"name": "x", "protocols": ["TCP"], "source_addresses": [], "destination_ports": ["443"],
         "source_ip_groups": [null], "destination_addresses": [null, "192.0.2.1"]}]}]},
       "after_unknown": {"id": true, "firewall_policy_id": true, "network_rule_collection": [{"rule": [
         {"source_ip_groups": [true], "destination_addresses": [true, false], "protocols": [false]}]}]}}}],
      "configuration": {"root_module": {"resources": [
         {"address": "azurerm_firewall_policy.p", "expressions": {"name": {"constant_value": "p1"}, "dns": [{}]}}],
       "module_calls": {"rules": {"expressions": {"policy_id": {"references": ["azurerm_firewall_policy.p.id", "azurerm_firewall_policy.p"]},
           "groups": {"references": ["azurerm_ip_group.g[\"a.b\"].id", "azurerm_ip_group.g[\"a.b\"]", "azurerm_ip_group.g"]}},
         "module": {"resources": [{"address": "azurerm_firewall_policy_rule_collection_group.r", "expressions": {
           "firewall_policy_id": {"references": ["var.policy_id"]}, "network_rule_collection": [{"name": {"constant_value": "c"}, "rule": [
             {"source_ip_groups": {"references": ["var.groups"]},
              "destination_addresses": {"references": ["azurerm_public_ip.fw.ip_address", "azurerm_public_ip.fw"]}}]}]}}]}}}}}}"#;

    const NOWHERE: &str =
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Network";

    #[test]
    fn plans_lead_through_modules_to_what_is_not_there_yet() {
        let group = format!(
            "ruleCollectionGroups p1/r1 {{priority:100 ruleCollections:[{{ruleCollectionType:FirewallPolicyFilterRuleCollection \
             name:c priority:110 action:{{type:Allow}} rules:[{{name:x ipProtocols:[TCP] sourceIpGroups:[{NOWHERE}/ipGroups/ga] \
             destinationAddresses:[<module.rules.azurerm_public_ip.fw.ip_address> 192.0.2.1] destinationPorts:[443] \
             ruleType:NetworkRule}}]}}]}}"
        );
        check(
            PLAN,
            &[
                "firewallPolicies p1 {sku:{tier:Premium} dnsSettings:{enableProxy:true}}",
                "ipGroups ga {ipAddresses:[10.0.0.0/8]}",
                "ipGroups gc {}",
                &group,
            ],
        );
        let notes = shaped(PLAN).notes;
        assert!(notes.iter().any(|note| note.what == "1 resources that this plan deletes are left out"), "{notes:?}");
        assert_eq!(shaped(PLAN).resources[0].id_text(), Some(format!("{NOWHERE}/firewallPolicies/p1").as_str()));
    }

    #[test]
    fn states_of_classic_firewalls() {
        check(
            r#"{"format_version": "1.0", "values": {"root_module": {"child_modules": [{"resources": [
              {"address": "module.a.azurerm_firewall_nat_rule_collection.n", "mode": "managed",
               "type": "azurerm_firewall_nat_rule_collection", "name": "n", "values": {"name": "n", "azure_firewall_name": "F",
               "priority": 100, "action": "Dnat", "rule": [{"name": "x", "protocols": ["TCP"], "translated_port": "80", "source_ip_groups": []}]}},
              {"address": "module.a.azurerm_firewall.f", "mode": "managed", "type": "azurerm_firewall", "name": "f",
               "values": {"id": "/i/f", "name": "f", "sku_name": "AZFW_VNet", "sku_tier": "Basic", "threat_intel_mode": "",
               "dns_servers": ["192.0.2.1", "192.0.2.2"], "zones": ["1"]}}]}]}}}"#,
            &[
                "azureFirewalls f {sku:{name:AZFW_VNet tier:Basic} additionalProperties:{Network.DNS.Servers:192.0.2.1,192.0.2.2} \
               natRuleCollections:[{name:n properties:{priority:100 action:{type:Dnat} \
               rules:[{name:x protocols:[TCP] translatedPort:80}]}}]}",
            ],
        );
    }

    fn instance(kind: &str, attributes: &str) -> String {
        format!(
            r#"{{"mode": "managed", "type": "{kind}", "name": "x", "instances": [{{"attributes": {attributes}}}]}}"#
        )
    }

    #[test]
    fn state_files_with_networks_and_azapi() {
        let resources = [
            instance(
                "azurerm_subnet",
                r#"{"id": "/S", "name": "s", "virtual_network_name": "v", "address_prefixes": ["10.0.0.0/24"]}"#,
            ),
            instance("azurerm_subnet_route_table_association", r#"{"subnet_id": "/s", "route_table_id": "/t"}"#),
            instance(
                "azurerm_route",
                r#"{"name": "r", "route_table_name": "t", "next_hop_type": "None", "next_hop_in_ip_address": ""}"#,
            ),
            instance(
                "azapi_resource",
                &format!(
                    r#"{{"type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups@2024-05-01", "name": "g",
                         "parent_id": "{ID}/firewallPolicies/p", "body": "{{\"properties\": {{\"priority\": 100}}}}"}}"#
                ),
            ),
            instance("azurerm_ip_group", r#"{"id": "/i", "name": "i"}"#),
            instance("azurerm_ip_group_cidr", r#"{"ip_group_id": "/I", "cidr": "192.0.2.0/24"}"#),
            instance("azurerm_ip_group_cidr", r#"{"ip_group_id": "/j", "cidr": "192.0.2.0/24"}"#),
        ];
        check(
            &format!(
                r#"{{"version": 4, "terraform_version": "1.9.0", "lineage": "l", "resources": [{}]}}"#,
                resources.join(",")
            ),
            &[
                "subnets v/s {addressPrefixes:[10.0.0.0/24] routeTable:{id:/t}}",
                "routes t/r {nextHopType:None}",
                "ruleCollectionGroups p/g {priority:100}",
                "ipGroups i {ipAddresses:[192.0.2.0/24]}",
                "Doubt: azurerm_ip_group_cidr.x changes a resource that is not in this file, and is left out",
            ],
        );
    }

    /// Links between networks decide nothing here, addresses of an IP group do.
    #[test]
    fn what_links_something_unsaid_is_told_of() {
        let resources = [
            instance("azurerm_ip_group_cidr", r#"{"cidr": "192.0.2.0/24"}"#),
            instance("azurerm_subnet_route_table_association", r#"{"route_table_id": "/t"}"#),
        ];
        check(
            &format!(
                r#"{{"version": 4, "terraform_version": "1.9.0", "lineage": "l", "resources": [{}]}}"#,
                resources.join(",")
            ),
            &[
                "Doubt: azurerm_ip_group_cidr.x does not say what it links, and is left out",
                "Warning: azurerm_subnet_route_table_association.x does not say what it links, and is left out",
            ],
        );
    }

    #[test]
    fn a_cidr_comes_beside_what_is_not_known_of_its_group() {
        let change = |kind: &str, name: &str, after: &str, unknown: &str| {
            format!(
                r#"{{"address": "{kind}.{name}", "mode": "managed", "type": "{kind}", "change": {{"actions": ["create"],
                     "after": {after}, "after_unknown": {unknown}}}}}"#
            )
        };
        let text = [
            change("azurerm_ip_group", "g", r#"{"id": "/i", "name": "i"}"#, r#"{"cidrs": true}"#),
            change("azurerm_ip_group_cidr", "c", r#"{"ip_group_id": "/i", "cidr": "192.0.2.0/24"}"#, "{}"),
        ];
        let configuration = r#""configuration": {"root_module": {"resources": [
            {"address": "azurerm_ip_group.g", "expressions": {"cidrs": {"references": ["var.cidrs"]}}}]}}"#;
        let lines = lines(&format!(r#"{{"resource_changes": [{}], {configuration}}}"#, text.join(",")));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("ipGroups i {") && lines[0].ends_with(" 192.0.2.0/24]}"), "{lines:?}");
        assert!(lines[0].contains("ipAddresses:[<"), "{lines:?}");
    }

    #[test]
    fn what_only_the_provider_fills_in_is_unset() {
        let group = |configuration: &str| {
            lines(&format!(
                r#"{{"resource_changes": [{{"address": "azurerm_network_security_group.n", "mode": "managed",
                "type": "azurerm_network_security_group", "change": {{"actions": ["create"], "after": {{"name": "n"}},
                "after_unknown": {{"id": true, "security_rule": true}}}}}}]{configuration}}}"#
            ))
        };
        assert_eq!(group(""), ["networkSecurityGroups n {}"]);
        let configured = r#", "configuration": {"root_module": {"resources": [
            {"address": "azurerm_network_security_group.n", "expressions": {"security_rule": {"references": ["local.rules"]}}}]}}"#;
        assert_eq!(group(configured), ["networkSecurityGroups n {securityRules:<local.rules>}"]);
    }

    #[test]
    fn attributes_that_nobody_reads_are_told() {
        let shaped = shaped(
            r#"{"values": {"root_module": {"resources": [{"address": "azurerm_firewall_policy.p", "mode": "managed",
               "type": "azurerm_firewall_policy", "values": {"name": "p", "fancy": 1, "plain": "", "off": false}}]}}}"#,
        );
        assert_eq!(shaped.notes.len(), 1, "{:?}", shaped.notes);
        assert_eq!(shaped.notes[0].what, "azurerm_firewall_policy.fancy is not read");
    }

    /// A variable that an output gives which the variable gives.
    #[test]
    fn references_in_a_circle_lead_nowhere() {
        check(
            r#"{"resource_changes": [{"address": "module.m.azurerm_firewall.f", "mode": "managed", "type": "azurerm_firewall",
                 "change": {"actions": ["create"], "after": {"name": "f"}, "after_unknown": {"firewall_policy_id": true}}}],
                "configuration": {"root_module": {"module_calls": {"m": {
                  "expressions": {"v": {"references": ["module.m.o", "module.m"]}},
                  "module": {"outputs": {"o": {"expression": {"references": ["var.v"]}}},
                    "resources": [{"address": "azurerm_firewall.f", "expressions": {"firewall_policy_id": {"references": ["var.v"]}}}]}}}}}}"#,
            &["azureFirewalls f {firewallPolicy:{id:<module.m.var.v>}}"],
        );
    }

    #[test]
    fn mocks_are_alternatives() {
        let plan = r#"{"resource_changes": [{"address": "azurerm_firewall.f", "mode": "managed", "type": "azurerm_firewall",
            "change": {"actions": ["create"], "after": {"zones": ["1"]}}}]}"#;
        check(
            &format!(r#"{{"mock": {{"default": {plan}, "other": {plan}}}}}"#),
            &[
                "azureFirewalls azurerm_firewall.f {}",
                "Warning: mocked plans that are alternatives (default, other): the first is taken, the others are left out",
            ],
        );
    }
}

/// `EGRET_CORPUS=… cargo test --lib azure::shape::tests::corpus -- --ignored --nocapture`
#[test]
#[ignore = "prints what comes of a folder of files, for people"]
fn corpus() {
    let root = std::env::var("EGRET_CORPUS").unwrap();
    let mut folders = vec![std::path::PathBuf::from(root)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = decode(&std::fs::read(&path).unwrap()).unwrap();
            let format = detect(&text, &path.to_string_lossy());
            println!("== {} {format:?}", path.display());
            if format == Format::Json {
                let documents = parse(&text, 0).unwrap();
                println!("   {:?}", documents.iter().map(shape_of).collect::<Vec<_>>());
                for line in lines(&text) {
                    println!("   {}", line.chars().take(200).collect::<String>());
                }
            }
        }
    }
}
