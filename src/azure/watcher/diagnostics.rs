//! NSG diagnostics: which rules were looked at for a flow, and what of each matched.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::vnet::{AppliedTo, FlowDirection, GroupEvaluation, NetFlow, Network, Place, SecurityRule};

use super::{Ids, WatcherError, direction, name_of, port, transport, wrong};

/// `NetworkConfigurationDiagnosticParameters`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NsgDiagnosticsParameters {
    /// An interface, by the last part of its id.
    pub target_resource_id: String,
    pub profiles: Vec<Profile>,
}

/// One flow. The end that is the target's own may be `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    pub direction: String,
    /// TCP, UDP or ICMP.
    pub protocol: String,
    pub source: String,
    pub destination: String,
    pub destination_port: String,
}

/// `NetworkConfigurationDiagnosticResponse`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NsgDiagnosticsResult {
    pub results: Vec<ProfileResult>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileResult {
    profile: Profile,
    network_security_group_result: GroupsResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupsResult {
    security_rule_access_result: &'static str,
    evaluated_network_security_groups: Vec<EvaluatedGroup>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct EvaluatedGroup {
    network_security_group_id: String,
    /// The id of what the group is on.
    applied_to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_rule: Option<MatchedRule>,
    rules_evaluation_result: Vec<RuleResult>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct MatchedRule {
    rule_name: String,
    action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleResult {
    name: String,
    protocol_matched: bool,
    source_matched: bool,
    source_port_matched: bool,
    destination_matched: bool,
    destination_port_matched: bool,
}

/// # Errors
/// What is no direction, protocol, port or address, and a local address that is of no subnet.
pub fn nsg_diagnostics(
    network: &Network,
    ids: Ids<'_>,
    asked: &NsgDiagnosticsParameters,
) -> Result<NsgDiagnosticsResult, WatcherError> {
    let target = name_of(&asked.target_resource_id);
    let target = network.topology().interfaces.iter().find(|interface| interface.name.eq_ignore_ascii_case(target));
    let own = target.and_then(|interface| interface.addresses.first().copied());
    let results: Result<_, _> = asked.profiles.iter().map(|profile| diagnose(network, ids, own, profile)).collect();
    Ok(NsgDiagnosticsResult { results: results? })
}

fn diagnose(
    network: &Network,
    ids: Ids<'_>,
    own: Option<IpAddr>,
    profile: &Profile,
) -> Result<ProfileResult, WatcherError> {
    let direction = direction(&profile.direction)?;
    let transport = transport(&profile.protocol);
    let inbound = direction == FlowDirection::Inbound;
    let flow = NetFlow {
        transport: transport.ok_or_else(|| wrong("protocol", "TCP, UDP or ICMP", &profile.protocol))?,
        source: end("source", &profile.source, own.filter(|_| !inbound))?,
        source_port: 0,
        destination: end("destination", &profile.destination, own.filter(|_| inbound))?,
        destination_port: port("destinationPort", &profile.destination_port)?,
    };
    let (field, local) = if inbound { ("destination", flow.destination) } else { ("source", flow.source) };
    let place = network.place_of(local).ok_or(WatcherError::Nowhere { field, address: local })?;
    let groups = network.evaluate(place, direction, &flow);
    let result = GroupsResult {
        security_rule_access_result: network.security(place, direction, &flow).access.as_str(),
        evaluated_network_security_groups: groups.iter().map(|it| evaluated(network, ids, place, it)).collect(),
    };
    Ok(ProfileResult { profile: profile.clone(), network_security_group_result: result })
}

/// One end of a flow: an address, with or without a length, or `*` for the target's own.
fn end(field: &'static str, text: &str, own: Option<IpAddr>) -> Result<IpAddr, WatcherError> {
    let expected = "an address, or * for the target's own";
    match (text, own) {
        ("*", Some(own)) => Ok(own),
        (text, _) => {
            let (address, _) = text.split_once('/').unwrap_or((text, ""));
            address.parse().map_err(|_| wrong(field, expected, text))
        }
    }
}

fn evaluated(network: &Network, ids: Ids<'_>, place: Place, group: &GroupEvaluation<'_>) -> EvaluatedGroup {
    let rules = group.rules.iter().map(|it| RuleResult {
        name: name(it.rule),
        protocol_matched: it.protocol,
        source_matched: it.source,
        source_port_matched: it.source_port,
        destination_matched: it.destination,
        destination_port_matched: it.destination_port,
    });
    EvaluatedGroup {
        network_security_group_id: ids.network(&format!("networkSecurityGroups/{}", group.group.name)),
        applied_to: match group.applied_to {
            AppliedTo::Subnet(_) => ids.subnet(network, place),
            AppliedTo::NetworkInterface(name) => ids.network(&format!("networkInterfaces/{name}")),
        },
        matched_rule: group.matched().map(|rule| MatchedRule { rule_name: name(rule), action: rule.access.as_str() }),
        rules_evaluation_result: rules.collect(),
    }
}

/// As flow logs name rules, and transcripts of this show them.
fn name(rule: &SecurityRule) -> String {
    let kind = if rule.is_default() { "DefaultRule" } else { "UserRule" };
    format!("{kind}_{}", rule.name)
}
