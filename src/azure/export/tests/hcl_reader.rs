//! Terraform's HCL, parsed by the crate and turned into ARM's words.

use std::collections::HashMap;

use hcl::{Block, Body, Expression};
use serde_json::{Map, Value, json};

use super::model::Model;

pub(super) fn read(text: &str) -> Model {
    let body: Body = hcl::parse(text).unwrap();
    let resources: Vec<&Block> = body.blocks().filter(|block| block.identifier() == "resource").collect();
    let labels = |block: &Block| -> Vec<String> { block.labels().iter().map(|it| it.as_str().to_owned()).collect() };
    let mut names = HashMap::new();
    for block in &resources {
        let [kind, symbol] = labels(block).try_into().unwrap();
        let before = names.insert(format!("{kind}.{symbol}.id"), attributes(block, &HashMap::new())["name"].clone());
        assert_eq!(before, None, "{kind} {symbol} comes twice");
    }
    let mut model = Model::default();
    for block in resources {
        let fields = attributes(block, &names);
        let name = fields["name"].as_str().unwrap();
        match labels(block)[0].as_str() {
            "azurerm_ip_group" => {
                model.add("Microsoft.Network/ipGroups", name, &json!({"ipAddresses": fields["cidrs"]}));
            }
            "azurerm_firewall_policy" => model.add("Microsoft.Network/firewallPolicies", name, &json!({})),
            _ => {
                assert_eq!(fields["firewall_policy_id"], model.policies.last().unwrap().0.as_str());
                let collections: Vec<Value> =
                    block.body().blocks().map(|collection| collection_of(collection, &names)).collect();
                let group = json!({"priority": fields["priority"], "ruleCollections": collections});
                model.add("Microsoft.Network/firewallPolicies/ruleCollectionGroups", name, &group);
            }
        }
    }
    model
}

fn attributes(block: &Block, names: &HashMap<String, Value>) -> Map<String, Value> {
    block.body().attributes().map(|it| (it.key().to_owned(), value(it.expr(), names))).collect()
}

fn value(expression: &Expression, names: &HashMap<String, Value>) -> Value {
    match expression {
        Expression::Bool(flag) => json!(flag),
        Expression::Number(number) => json!(number.as_i64().unwrap()),
        Expression::String(text) => json!(text.replace("$${", "${").replace("%%{", "%{")),
        Expression::Array(items) => items.iter().map(|item| value(item, names)).collect(),
        Expression::Traversal(_) => {
            let path = hcl::format::to_string(expression).unwrap();
            names.get(path.trim()).cloned().unwrap_or(Value::Null)
        }
        Expression::TemplateExpr(template) => panic!("a template where a text is meant: {template}"),
        _ => Value::Null,
    }
}

fn collection_of(collection: &Block, names: &HashMap<String, Value>) -> Value {
    let fields = attributes(collection, names);
    let kind = match collection.identifier() {
        "application_rule_collection" => "ApplicationRule",
        "network_rule_collection" => "NetworkRule",
        _ => "NatRule",
    };
    let rules: Vec<Value> = collection.body().blocks().map(|rule| rule_of(rule, kind, names)).collect();
    assert!(!rules.is_empty(), "azurerm refuses a collection without a rule");
    json!({"name": fields["name"], "priority": fields["priority"], "action": {"type": fields["action"]}, "rules": rules})
}

fn rule_of(rule: &Block, kind: &str, names: &HashMap<String, Value>) -> Value {
    let fields = attributes(rule, names);
    let mut arm = Map::from_iter([("ruleType".to_owned(), json!(kind))]);
    for (key, value) in fields {
        let (key, value) = match (key.as_str(), kind) {
            ("protocols", _) => ("ipProtocols", value),
            ("source_addresses", _) => ("sourceAddresses", value),
            ("source_ip_groups", _) => ("sourceIpGroups", value),
            ("destination_address", _) => ("destinationAddresses", json!([value])),
            ("destination_addresses", _) => ("destinationAddresses", value),
            ("destination_ip_groups", _) => ("destinationIpGroups", value),
            ("destination_fqdns", "NetworkRule") => ("destinationFqdns", value),
            ("destination_fqdns", _) => ("targetFqdns", value),
            ("destination_urls", _) => ("targetUrls", value),
            ("destination_fqdn_tags", _) => ("fqdnTags", value),
            ("destination_ports", "NatRule") => {
                assert_eq!(value.as_array().unwrap().len(), 1);
                ("destinationPorts", value)
            }
            ("destination_ports", _) => ("destinationPorts", value),
            ("translated_address", _) => ("translatedAddress", value),
            ("translated_port", _) => ("translatedPort", value),
            ("name" | "description" | "web_categories" | "terminate_tls", _) => (key.as_str(), value),
            other => panic!("{other:?}"),
        };
        arm.insert(key.to_owned(), value);
    }
    let protocols = rule.body().blocks().filter(|block| block.identifier() == "protocols");
    let protocols: Vec<Value> = protocols
        .map(|block| attributes(block, names))
        .map(|fields| json!({"protocolType": fields["type"], "port": fields["port"]}))
        .collect();
    if kind == "ApplicationRule" {
        arm.insert("protocols".to_owned(), json!(protocols));
    }
    Value::Object(arm)
}
