//! The REST API's examples: a request's parameters and what came back for it.

use crate::azure::json::{Node, Object};

use super::gather::Hint;
use super::kinds;

/// The response where there is one, else what was asked for; never both, since they say the same.
pub(super) fn body(example: &Object) -> Option<(&Node, Hint)> {
    let parameters = example.get("parameters").and_then(Node::object);
    let hint = parameters.map(hint).unwrap_or_default();
    let body = response(example).or_else(|| parameters.and_then(request))?;
    Some((body, hint))
}

fn response(example: &Object) -> Option<&Node> {
    let responses = example.get("responses")?;
    let body = |status: &str| responses.get(status)?.get("body").filter(|body| says_something(body));
    ["200", "201", "202"].into_iter().find_map(body)
}

/// `parameters`, `subnetParameters`: the one parameter that is an object.
fn request(parameters: &Object) -> Option<&Node> {
    parameters.iter().map(|(_, node)| node).find(|node| node.object().is_some() && says_something(node))
}

fn says_something(body: &Node) -> bool {
    body.object().is_some_and(|object| !object.0.is_empty()) || body.list().is_some_and(|items| !items.is_empty())
}

/// What the path of the request names. The more there is in a path, the earlier it stands here.
const PATHS: &[(&str, &[&str])] = &[
    (kinds::GROUP, &["firewallPolicyName", "ruleCollectionGroupName"]),
    (kinds::LEGACY_GROUP, &["firewallPolicyName", "ruleGroupName"]),
    (kinds::SECURITY_RULE, &["networkSecurityGroupName", "securityRuleName"]),
    (kinds::ROUTE, &["routeTableName", "routeName"]),
    (kinds::SUBNET, &["virtualNetworkName", "subnetName"]),
    (kinds::POLICY, &["firewallPolicyName"]),
    (kinds::FIREWALL, &["azureFirewallName"]),
    (kinds::IP_GROUP, &["ipGroupsName"]),
    (kinds::SECURITY_GROUP, &["networkSecurityGroupName"]),
    (kinds::ROUTE_TABLE, &["routeTableName"]),
    (kinds::NETWORK, &["virtualNetworkName"]),
];

fn hint(parameters: &Object) -> Hint {
    let name = |name: &&str| parameters.get(name).and_then(Node::text).map(str::to_owned);
    let found = PATHS.iter().find_map(|(kind, names)| {
        let names: Option<Vec<String>> = names.iter().map(name).collect();
        names.map(|names| Hint { kind: Some(kind), names })
    });
    found.unwrap_or_default()
}
