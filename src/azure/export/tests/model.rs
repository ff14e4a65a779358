//! ARM's resources as the tests read them, and the rules that they hold. Much smaller than the real reader, and
//! independent of it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::allowlist::Catalogue;
use crate::flow::{Host, HostName, PortRange, Protocol};
use crate::policy::{
    Action, AddressSet, AppProtocol, ApplicationRule, DnatRule, FqdnPattern, FqdnTag, IpProtocols, NamedKind,
    NamedRanges, NetworkRule, PolicyRules, RuleCollection, RuleCollectionGroup, RuleSet, Rules, Spot, Translated,
    UrlPattern,
};

/// Resources with references cut down to names.
#[derive(Default)]
pub(super) struct Model {
    pub ip_groups: HashMap<String, Vec<String>>,
    /// In the order in which they are made: a parent first.
    pub policies: Vec<(String, Vec<Value>)>,
}

impl Model {
    pub(super) fn of_resources(text: &str) -> Model {
        let value: Value = serde_json::from_str(text).unwrap();
        Model::of_list(value.as_array().unwrap())
    }

    /// Of a template whose expressions are those that are written here and no others.
    pub(super) fn of_template(text: &str) -> Model {
        let value: Value = serde_json::from_str(text).unwrap();
        let name = value["parameters"]["policyName"]["defaultValue"].as_str().unwrap();
        let plain =
            text.replace("[parameters('policyName')]", name).replace("parameters('policyName')", &format!("'{name}'"));
        let value: Value = serde_json::from_str(&plain).unwrap();
        Model::of_list(value["resources"].as_array().unwrap())
    }

    fn of_list(list: &[Value]) -> Model {
        let mut model = Model::default();
        for resource in list {
            let properties = if resource["properties"].is_null() { resource } else { &resource["properties"] };
            let name = leaf(resource["name"].as_str().unwrap());
            model.add(resource["type"].as_str().unwrap(), &name, properties);
        }
        model
    }

    pub(super) fn add(&mut self, kind: &str, name: &str, properties: &Value) {
        match kind {
            "Microsoft.Network/ipGroups" => {
                self.ip_groups.insert(name.to_owned(), texts(&properties["ipAddresses"]));
            }
            "Microsoft.Network/firewallPolicies" => self.policies.push((name.to_owned(), Vec::new())),
            "Microsoft.Network/firewallPolicies/ruleCollectionGroups" => {
                let group = json!({"name": name, "priority": properties["priority"],
                    "ruleCollections": properties["ruleCollections"]});
                self.policies.last_mut().unwrap().1.push(group);
            }
            other => panic!("{other}"),
        }
    }

    pub(super) fn rules(&self) -> RuleSet {
        let policy = |(name, groups): &(String, Vec<Value>)| PolicyRules {
            name: name.clone(),
            groups: groups.iter().map(|group| self.group(group)).collect(),
            ..PolicyRules::default()
        };
        RuleSet { policies: self.policies.iter().map(policy).collect(), ..RuleSet::default() }
    }

    fn group(&self, group: &Value) -> RuleCollectionGroup {
        let collections = group["ruleCollections"].as_array().unwrap();
        let mut priorities: Vec<i64> = collections.iter().map(|it| it["priority"].as_i64().unwrap()).collect();
        priorities.sort_unstable();
        priorities.dedup();
        assert_eq!(priorities.len(), collections.len(), "Azure refuses equal priorities");
        RuleCollectionGroup {
            name: text(&group["name"]),
            priority: group["priority"].as_i64().unwrap().try_into().unwrap(),
            collections: collections.iter().map(|collection| self.collection(collection)).collect(),
            at: Spot::nowhere(),
        }
    }

    fn collection(&self, collection: &Value) -> RuleCollection {
        let rules = collection["rules"].as_array().unwrap();
        let action = match collection["action"]["type"].as_str().unwrap() {
            "Deny" => Action::Deny,
            _ => Action::Allow,
        };
        let kind = rules.first().map_or("NetworkRule", |rule| rule["ruleType"].as_str().unwrap());
        let rules = match kind {
            "NatRule" => Rules::Dnat(rules.iter().map(|rule| self.dnat(rule)).collect()),
            "NetworkRule" => Rules::Network(action, rules.iter().map(|rule| self.network(rule)).collect()),
            _ => Rules::Application(action, rules.iter().map(|rule| self.application(rule)).collect()),
        };
        RuleCollection {
            name: text(&collection["name"]),
            priority: collection["priority"].as_i64().unwrap().try_into().unwrap(),
            rules,
            at: Spot::nowhere(),
        }
    }

    fn set(&self, addresses: &Value, groups: &Value) -> AddressSet {
        let mut set = AddressSet::default();
        for entry in texts(addresses) {
            if set.insert_text(&entry).is_err() {
                set.insert_named(Catalogue::default().service_tag(&entry).unwrap_or(NamedRanges {
                    name: entry,
                    kind: NamedKind::ServiceTag,
                    ranges: Arc::from([]),
                }));
            }
        }
        for id in texts(groups) {
            let name = leaf(&id);
            let ranges = self.ip_groups[&name].iter().map(|range| range.parse().unwrap()).collect();
            set.insert_named(NamedRanges { name, kind: NamedKind::IpGroup, ranges });
        }
        set
    }

    fn network(&self, rule: &Value) -> NetworkRule {
        NetworkRule {
            name: text(&rule["name"]),
            sources: self.set(&rule["sourceAddresses"], &rule["sourceIpGroups"]),
            protocols: ip_protocols(&rule["ipProtocols"]),
            destinations: self.set(&rule["destinationAddresses"], &rule["destinationIpGroups"]),
            fqdns: texts(&rule["destinationFqdns"]).iter().map(|name| HostName::parse(name).unwrap()).collect(),
            ports: ports(&rule["destinationPorts"]).collect(),
            ..NetworkRule::default()
        }
    }

    fn dnat(&self, rule: &Value) -> DnatRule {
        let host = rule["translatedAddress"].as_str().or(rule["translatedFqdn"].as_str()).unwrap();
        DnatRule {
            name: text(&rule["name"]),
            sources: self.set(&rule["sourceAddresses"], &rule["sourceIpGroups"]),
            protocols: ip_protocols(&rule["ipProtocols"]),
            destinations: self.set(&rule["destinationAddresses"], &Value::Null),
            ports: ports(&rule["destinationPorts"]).collect(),
            translated: Translated {
                host: Host::parse(host).unwrap(),
                port: rule["translatedPort"].as_str().unwrap().parse().unwrap(),
            },
            about: crate::policy::About::default(),
        }
    }

    fn application(&self, rule: &Value) -> ApplicationRule {
        let tag = |name: &String| {
            let unknown = || FqdnTag { name: name.clone(), members: Arc::from([]) };
            Catalogue::default().fqdn_tag(name).unwrap_or_else(unknown)
        };
        let protocols = rule["protocols"].as_array().unwrap();
        if !rule["fqdnTags"].is_null() {
            assert!(protocols.contains(&json!({"protocolType": "Https", "port": 443})), "{rule}");
        }
        ApplicationRule {
            name: text(&rule["name"]),
            sources: self.set(&rule["sourceAddresses"], &rule["sourceIpGroups"]),
            protocols: protocols.iter().map(app_protocol).collect(),
            fqdns: texts(&rule["targetFqdns"]).iter().map(|it| FqdnPattern::parse_azure(it).unwrap()).collect(),
            tags: texts(&rule["fqdnTags"]).iter().map(tag).collect(),
            urls: texts(&rule["targetUrls"]).iter().map(|url| UrlPattern::parse(url).unwrap()).collect(),
            ..ApplicationRule::default()
        }
    }
}

/// The name in an id, in a call of `resourceId` or `format`, or the name itself.
fn leaf(id: &str) -> String {
    let id = id.strip_suffix(")]").map_or(id, |call| call.trim_end_matches('\'').rsplit('\'').next().unwrap());
    id.rsplit('/').next().unwrap().to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().map(|items| items.iter().map(text).collect()).unwrap_or_default()
}

fn ports(value: &Value) -> impl Iterator<Item = PortRange> {
    texts(value).into_iter().map(|text| text.parse().unwrap())
}

fn ip_protocols(value: &Value) -> IpProtocols {
    texts(value).iter().fold(IpProtocols::default(), |all, name| {
        all.union(match name.as_str() {
            "TCP" => IpProtocols::TCP,
            "UDP" => IpProtocols::UDP,
            "ICMP" => IpProtocols::ICMP,
            _ => IpProtocols::ANY,
        })
    })
}

fn app_protocol(value: &Value) -> AppProtocol {
    let protocol = match value["protocolType"].as_str().unwrap() {
        "Http" => Protocol::Http,
        "Mssql" => Protocol::Mssql,
        _ => Protocol::Https,
    };
    AppProtocol { protocol, port: u16::try_from(value["port"].as_i64().unwrap()).unwrap() }
}
