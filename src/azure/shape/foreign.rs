//! Things of Azure's that speak of rules, routes or firewalls, and are no policy.

use crate::azure::json::{Node, Object};

/// What it is, where it is one of these.
pub(super) fn told(object: &Object) -> Option<&'static str> {
    if object.get("type").and_then(Node::text).is_some_and(|kind| kind.contains('/'))
        || object.get("properties").is_some()
    {
        return None;
    }
    FORMS.iter().find(|(names, _)| names.iter().all(|name| object.get(name).is_some())).map(|(_, what)| *what)
}

/// The members that tell each; the first that has all of them counts.
const FORMS: &[(&[&str], &str)] = &[
    (
        &["effectiveSecurityRules"],
        "the effective security rules of a network interface: export the security groups instead",
    ),
    (
        &["addressPrefix", "nextHopType", "state"],
        "an effective route of a network interface: export the route table instead",
    ),
    (&["nextHopType", "routeTableId"], "the answer of Network Watcher's next hop"),
    (&["access", "ruleName"], "the answer of Network Watcher's IP flow verify"),
    (&["targetResourceId", "remoteIPAddress"], "a question to Network Watcher's IP flow verify"),
    (&["targetResourceId", "destinationIPAddress"], "a question to Network Watcher's next hop"),
    (&["endpoints", "category"], DEPENDENCIES),
    (&["endpoints", "ports"], DEPENDENCIES),
    (&["actions", "notActions"], "a role definition: who may change a firewall, not what it allows"),
    (&["roleName", "permissions"], "a role definition: who may change a firewall, not what it allows"),
    (&["policyRule"], "an Azure Policy definition: rules about resources, not about traffic"),
    (&["fqdnTagName"], "the name of an FQDN tag, without what it stands for"),
    (&["customRules", "managedRules"], "a policy of a web application firewall, about requests that come in"),
    (&["matchConditions", "ruleType"], "a rule of a web application firewall, about requests that come in"),
    (&["kind", "apiVersion", "metadata"], "a Kubernetes resource"),
];

const DEPENDENCIES: &str = "what an App Service Environment depends on: egret has these as the built-in policy for ASE";
