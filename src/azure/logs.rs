//! Azure Firewall's logs of a decision: the structured records (`AZFWApplicationRule`, `AZFWNetworkRule`)
//! and the lines of the legacy `AzureFirewall…Rule` categories, each in its diagnostic envelope.
//!
//! Sources: azure-docs, reference tables AZFWApplicationRule and AZFWNetworkRule; the messages from samples
//! and from the parsers of the Azure Firewall workbook. Azure has no words for denials that only Egret
//! makes: those carry Egret's reason code where Azure would say why.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use serde::{Serialize, Serializer};

use crate::flow::{ClientAddr, Protocol, Reason, Verdict, Via};
use crate::policy::RuleName;

/// Used where no Azure Firewall is named.
pub const DEFAULT_RESOURCE_ID: &str = "/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000/RESOURCEGROUPS/EGRET/PROVIDERS/MICROSOFT.NETWORK/AZUREFIREWALLS/EGRET";

/// A decision, as far as Azure's records speak of it.
#[derive(Debug, Clone, Copy)]
pub struct Decided<'a> {
    /// RFC 3339 in UTC with seven digits after the second: `2023-09-06T14:33:46.8121070Z`.
    pub time: &'a str,
    pub via: Via,
    pub protocol: Protocol,
    pub client: ClientAddr,
    /// The host that was asked for, by name or address; empty where none was.
    pub host: &'a str,
    pub port: u16,
    pub dst: Option<SocketAddr>,
    /// Host and path of a plain HTTP request.
    pub url: Option<&'a str>,
    pub verdict: Verdict,
    pub reason: Reason,
    pub rule: Option<&'a RuleName>,
    /// What threat intelligence knows of it.
    pub threat: Option<Threat<'a>>,
}

/// An indicator that a flow met.
#[derive(Debug, Clone, Copy)]
pub struct Threat<'a> {
    pub description: &'a str,
    pub indicator: &'a str,
}

impl Decided<'_> {
    /// Which of the two categories a decision belongs to. A denial does not say of which type its rule was:
    /// a flow of an application protocol then counts as an application rule's, as a proxied one is in Azure.
    pub(super) fn is_network(&self) -> bool {
        let carried = matches!(self.protocol, Protocol::Tcp | Protocol::Udp | Protocol::Icmp | Protocol::Other);
        carried || self.reason == Reason::NetworkRule
    }

    /// Where a DNAT rule led the flow; None where none did.
    fn translated(&self) -> Option<SocketAddr> {
        self.dst.filter(|_| self.reason == Reason::DnatRule)
    }

    fn action(&self) -> &'static str {
        match self.verdict {
            Verdict::Allow => "Allow",
            Verdict::Deny => "Deny",
        }
    }

    fn nothing_matched(&self) -> bool {
        matches!(self.reason, Reason::NotAllowed | Reason::PortNotAllowed | Reason::ProtoNotAllowed)
    }

    /// The rule that made the decision. A denial that Egret makes of what a rule allows is not that rule's.
    fn deciding_rule(&self) -> Option<&RuleName> {
        self.rule.filter(|_| self.verdict == Verdict::Allow || self.reason == Reason::DeniedByRule)
    }

    fn action_reason(&self) -> &'static str {
        match self.reason {
            _ if self.verdict == Verdict::Allow => "",
            Reason::DeniedByRule => "",
            _ if self.nothing_matched() => "Default Action",
            Reason::MissingSni => "SNI TLS extension was missing.",
            reason => reason.as_str(),
        }
    }

    /// Network rules see what carries HTTP, HTTPS and MSSQL.
    pub(super) fn network_protocol(&self) -> &'static str {
        match self.protocol {
            Protocol::Http | Protocol::Https | Protocol::Mssql => Protocol::Tcp.azure_name(),
            other => other.azure_name(),
        }
    }

    /// The destination's address as text; the host's, where that is an address; else empty.
    pub(super) fn destination_ip(&self) -> String {
        match self.dst {
            Some(dst) => dst.ip().to_string(),
            None if self.host.parse::<IpAddr>().is_ok() => self.host.to_owned(),
            None => String::new(),
        }
    }

    /// The same, an IPv6 address in brackets; the host where there is none.
    pub(super) fn destination(&self) -> String {
        let destination = self.destination_ip();
        match destination.parse() {
            Ok(IpAddr::V6(addr)) => format!("[{addr}]"),
            _ if destination.is_empty() => self.host.to_owned(),
            _ => destination,
        }
    }

    fn names(&self) -> Names<'_> {
        self.deciding_rule().map_or(Names::default(), |RuleName { policy, group, collection, rule }| Names {
            policy,
            group,
            collection,
            rule,
        })
    }
}

#[derive(Default)]
struct Names<'a> {
    policy: &'a str,
    group: &'a str,
    collection: &'a str,
    rule: &'a str,
}

/// A structured record in its envelope.
#[derive(Debug, Serialize)]
pub struct Record<'a> {
    category: &'static str,
    time: &'a str,
    #[serde(rename = "resourceId", serialize_with = "upper_case")]
    resource_id: &'a str,
    properties: Properties<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Properties<'a> {
    Application(ApplicationRule<'a>),
    Network(NetworkRule<'a>),
    Nat(NatRule<'a>),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ApplicationRule<'a> {
    protocol: &'static str,
    source_ip: IpAddr,
    source_port: u16,
    destination_port: u16,
    fqdn: &'a str,
    target_url: String,
    action: &'static str,
    policy: &'a str,
    rule_collection_group: &'a str,
    rule_collection: &'a str,
    rule: &'a str,
    action_reason: &'static str,
    is_tls_inspected: bool,
    web_category: &'static str,
    is_explicit_proxy_request: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkRule<'a> {
    protocol: &'static str,
    source_ip: IpAddr,
    source_port: u16,
    destination_ip: String,
    destination_port: u16,
    action: &'static str,
    policy: &'a str,
    rule_collection_group: &'a str,
    rule_collection: &'a str,
    rule: &'a str,
    action_reason: &'static str,
}

/// Azure writes resource ids in upper case in its diagnostic records.
pub(super) fn upper_case<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text.to_ascii_uppercase())
}

/// The structured record of a decision.
pub fn azure_record<'a>(decided: &'a Decided<'a>, resource_id: &'a str) -> Record<'a> {
    let (category, properties) = match decided.translated() {
        Some(translated) => ("AZFWNatRule", Properties::Nat(nat_rule(decided, translated))),
        None if decided.is_network() => ("AZFWNetworkRule", Properties::Network(network_rule(decided))),
        None => ("AZFWApplicationRule", Properties::Application(application_rule(decided))),
    };
    Record { category, time: decided.time, resource_id, properties }
}

fn application_rule<'a>(decided: &'a Decided<'a>) -> ApplicationRule<'a> {
    let Names { policy, group, collection, rule } = decided.names();
    ApplicationRule {
        protocol: decided.protocol.azure_name(),
        source_ip: decided.client.ip(),
        source_port: decided.client.port(),
        destination_port: decided.port,
        fqdn: decided.host,
        target_url: decided.url.map_or(String::new(), |url| format!("http://{url}")),
        action: decided.action(),
        policy,
        rule_collection_group: group,
        rule_collection: collection,
        rule,
        action_reason: decided.action_reason(),
        is_tls_inspected: false,
        web_category: "",
        is_explicit_proxy_request: matches!(decided.via, Via::Http | Via::Connect | Via::Socks5),
    }
}

fn nat_rule<'a>(decided: &'a Decided<'a>, translated: SocketAddr) -> NatRule<'a> {
    let Names { policy, group, collection, rule } = decided.names();
    NatRule {
        protocol: decided.network_protocol(),
        source_ip: decided.client.ip(),
        source_port: decided.client.port(),
        destination_ip: decided.host,
        destination_port: decided.port,
        translated_ip: translated.ip(),
        translated_port: translated.port(),
        policy,
        rule_collection_group: group,
        rule_collection: collection,
        rule,
    }
}

fn network_rule<'a>(decided: &'a Decided<'a>) -> NetworkRule<'a> {
    let Names { policy, group, collection, rule } = decided.names();
    NetworkRule {
        protocol: decided.network_protocol(),
        source_ip: decided.client.ip(),
        source_port: decided.client.port(),
        destination_ip: decided.destination_ip(),
        destination_port: decided.port,
        action: decided.action(),
        policy,
        rule_collection_group: group,
        rule_collection: collection,
        rule,
        action_reason: decided.action_reason(),
    }
}

/// There is no action: what a DNAT rule matches is allowed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NatRule<'a> {
    protocol: &'static str,
    source_ip: IpAddr,
    source_port: u16,
    destination_ip: &'a str,
    destination_port: u16,
    translated_ip: IpAddr,
    translated_port: u16,
    policy: &'a str,
    rule_collection_group: &'a str,
    rule_collection: &'a str,
    rule: &'a str,
}

/// A legacy line in its envelope.
#[derive(Debug, Serialize)]
pub struct LegacyRecord<'a> {
    category: &'static str,
    time: &'a str,
    #[serde(rename = "resourceId", serialize_with = "upper_case")]
    resource_id: &'a str,
    #[serde(rename = "operationName")]
    operation_name: &'static str,
    properties: LegacyProperties,
}

impl<'a> LegacyRecord<'a> {
    /// The first is the category with the name of its operation.
    pub(super) fn new(
        (category, operation_name): (&'static str, &'static str),
        time: &'a str,
        resource_id: &'a str,
        msg: String,
    ) -> LegacyRecord<'a> {
        LegacyRecord { category, time, resource_id, operation_name, properties: LegacyProperties { msg } }
    }
}

#[derive(Debug, Serialize)]
struct LegacyProperties {
    msg: String,
}

/// The record of a decision that AzureDiagnostics shows as `msg_s`.
pub fn legacy_record<'a>(decided: &Decided<'a>, resource_id: &'a str) -> LegacyRecord<'a> {
    let kind = match decided.translated() {
        Some(_) => ("AzureFirewallNetworkRule", "AzureFirewallNatRuleLog"),
        None if decided.is_network() => ("AzureFirewallNetworkRule", "AzureFirewallNetworkRuleLog"),
        None => ("AzureFirewallApplicationRule", "AzureFirewallApplicationRuleLog"),
    };
    LegacyRecord::new(kind, decided.time, resource_id, legacy_msg(decided))
}

/// The text of a legacy record.
pub fn legacy_msg(decided: &Decided<'_>) -> String {
    let mut msg = String::with_capacity(256);
    let written = match decided.translated() {
        Some(translated) => nat_msg(&mut msg, decided, translated),
        None if decided.is_network() => network_msg(&mut msg, decided),
        None => application_msg(&mut msg, decided),
    };
    written.expect("writing to a String cannot fail");
    msg
}

fn nat_msg(msg: &mut String, decided: &Decided<'_>, translated: SocketAddr) -> std::fmt::Result {
    let Decided { client, host, port, .. } = decided;
    let protocol = decided.network_protocol();
    write!(msg, "{protocol} request from {client} to {host}:{port} was DNAT'ed to {translated}")?;
    decided.deciding_rule().map_or(Ok(()), |rule| write!(msg, ". {}", RuleWords(rule)))
}

fn network_msg(msg: &mut String, decided: &Decided<'_>) -> std::fmt::Result {
    let Decided { client, port, .. } = decided;
    let destination = decided.destination();
    let (protocol, action) = (decided.network_protocol(), decided.action());
    write!(msg, "{protocol} request from {client} to {destination}:{port}. Action: {action}")?;
    match decided.deciding_rule() {
        // Two dots, as Azure writes it.
        Some(rule) => write!(msg, ".. {}", RuleWords(rule)),
        None if decided.verdict == Verdict::Allow || decided.nothing_matched() => Ok(()),
        None => write!(msg, ". Reason: {}", decided.reason),
    }
}

fn application_msg(msg: &mut String, decided: &Decided<'_>) -> std::fmt::Result {
    let Decided { client, host, port, reason, .. } = decided;
    // Padded to five letters: hence the two blanks after HTTP.
    write!(msg, "{:<5} request from {client}", decided.protocol.azure_name())?;
    if *reason == Reason::MissingSni {
        return msg.write_str(". Action: Deny. Reason: SNI TLS extension was missing.");
    }
    write!(msg, " to {host}:{port}.")?;
    if let Some(url) = decided.url {
        write!(msg, " Url: {url}.")?;
    }
    write!(msg, " Action: {}", decided.action())?;
    match decided.deciding_rule() {
        Some(rule) => write!(msg, ". {}", RuleWords(rule)),
        None if decided.verdict == Verdict::Allow => Ok(()),
        None if decided.nothing_matched() => msg.write_str(". No rule matched. Proceeding with default action"),
        None => write!(msg, ". Reason: {reason}"),
    }
}

/// `Policy: P. Rule Collection Group: G. Rule Collection: C. Rule: R`
struct RuleWords<'a>(&'a RuleName);

impl std::fmt::Display for RuleWords<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RuleName { policy, group, collection, rule } = self.0;
        write!(f, "Policy: {policy}. Rule Collection Group: {group}. Rule Collection: {collection}. Rule: {rule}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rule() -> RuleName {
        RuleName { policy: "p".into(), group: "g".into(), collection: "c".into(), rule: "r".into() }
    }

    fn denied() -> Decided<'static> {
        Decided {
            time: "2023-09-06T14:33:46.8121070Z",
            via: Via::Connect,
            protocol: Protocol::Https,
            client: ClientAddr::new("10.13.2.4:50975".parse().unwrap()),
            host: "evil.test",
            port: 443,
            dst: None,
            url: None,
            verdict: Verdict::Deny,
            reason: Reason::NotAllowed,
            rule: None,
            threat: None,
        }
    }

    fn http() -> Decided<'static> {
        Decided { protocol: Protocol::Http, port: 80, url: Some("evil.test/a"), ..denied() }
    }

    fn network() -> Decided<'static> {
        Decided { protocol: Protocol::Tcp, host: "192.0.2.7", port: 22, ..denied() }
    }

    fn record(decided: Decided<'_>) -> Value {
        serde_json::to_value(azure_record(&decided, DEFAULT_RESOURCE_ID)).unwrap()
    }

    #[test]
    fn application_rule_record() {
        let expected = json!({
            "category": "AZFWApplicationRule",
            "time": "2023-09-06T14:33:46.8121070Z",
            "resourceId": DEFAULT_RESOURCE_ID,
            "properties": {
                "Protocol": "HTTPS", "SourceIp": "10.13.2.4", "SourcePort": 50975, "DestinationPort": 443,
                "Fqdn": "evil.test", "TargetUrl": "", "Action": "Deny", "Policy": "", "RuleCollectionGroup": "",
                "RuleCollection": "", "Rule": "", "ActionReason": "Default Action", "IsTlsInspected": false,
                "WebCategory": "", "IsExplicitProxyRequest": true,
            },
        });
        assert_eq!(record(denied()), expected);
    }

    #[test]
    fn what_a_match_changes() {
        let rule = rule();
        let allowed = Decided { verdict: Verdict::Allow, reason: Reason::ApplicationRule, rule: Some(&rule), ..http() };
        let properties = &record(allowed)["properties"];
        let names = ["Action", "ActionReason", "Policy", "RuleCollectionGroup", "RuleCollection", "Rule", "TargetUrl"];
        let values: Vec<&str> = names.iter().map(|name| properties[name].as_str().unwrap()).collect();
        assert_eq!(values, ["Allow", "", "p", "g", "c", "r", "http://evil.test/a"]);
        assert_eq!(
            record(Decided { reason: Reason::MissingSni, ..denied() })["properties"]["ActionReason"],
            "SNI TLS extension was missing."
        );
    }

    #[test]
    fn a_translated_flow_is_logged_as_nat() {
        let rule = rule();
        let translated = Decided {
            host: "203.0.113.10",
            dst: Some("10.0.0.4:3389".parse().unwrap()),
            verdict: Verdict::Allow,
            reason: Reason::DnatRule,
            rule: Some(&rule),
            ..network()
        };
        assert_eq!(
            legacy_msg(&translated),
            "TCP request from 10.13.2.4:50975 to 203.0.113.10:22 was DNAT'ed to 10.0.0.4:3389. \
             Policy: p. Rule Collection Group: g. Rule Collection: c. Rule: r"
        );
        let record = record(translated);
        assert_eq!(record["category"], "AZFWNatRule");
        let properties = &record["properties"];
        assert_eq!((&properties["TranslatedIp"], &properties["TranslatedPort"]), (&json!("10.0.0.4"), &json!(3389)));
        assert_eq!(properties["DestinationIp"], "203.0.113.10");
        assert!(properties.get("Action").is_none());
    }

    #[test]
    fn a_denial_names_no_rule_that_allows() {
        let rule = rule();
        let check = |reason: Reason, action_reason: &str, named: &str, msg: &str| {
            let decided = Decided { reason, rule: Some(&rule), ..denied() };
            let properties = &record(decided)["properties"];
            let names = ["Action", "ActionReason", "Policy", "RuleCollectionGroup", "RuleCollection", "Rule"];
            let values = names.map(|name| properties[name].as_str().unwrap());
            let named: Vec<&str> = if named.is_empty() { vec![""; 4] } else { named.split('/').collect() };
            assert_eq!(values[..], [&["Deny", action_reason], named.as_slice()].concat(), "{reason}");
            assert_eq!(legacy_msg(&decided), format!("HTTPS request from 10.13.2.4:50975{msg}"), "{reason}");
        };
        let whole = " to evil.test:443. Action: Deny. Policy: p. Rule Collection Group: g. Rule Collection: c. Rule: r";
        let default = " to evil.test:443. Action: Deny. No rule matched. Proceeding with default action";
        let mismatch = " to evil.test:443. Action: Deny. Reason: sni-connect-mismatch";
        let internal = " to evil.test:443. Action: Deny. Reason: internal-address";
        let missing = ". Action: Deny. Reason: SNI TLS extension was missing.";
        check(Reason::DeniedByRule, "", "p/g/c/r", whole);
        check(Reason::ProtoNotAllowed, "Default Action", "", default);
        check(Reason::MissingSni, "SNI TLS extension was missing.", "", missing);
        check(Reason::SniConnectMismatch, "sni-connect-mismatch", "", mismatch);
        check(Reason::InternalAddress, "internal-address", "", internal);
        let internal = Decided { reason: Reason::InternalAddress, rule: Some(&rule), ..network() };
        assert!(legacy_msg(&internal).ends_with("192.0.2.7:22. Action: Deny. Reason: internal-address"));
    }

    #[test]
    fn network_rule_record() {
        let expected = json!({
            "category": "AZFWNetworkRule",
            "time": "2023-09-06T14:33:46.8121070Z",
            "resourceId": "/SUBSCRIPTIONS/X",
            "properties": {
                "Protocol": "TCP", "SourceIp": "10.13.2.4", "SourcePort": 50975, "DestinationIp": "192.0.2.7",
                "DestinationPort": 22, "Action": "Deny", "Policy": "", "RuleCollectionGroup": "",
                "RuleCollection": "", "Rule": "", "ActionReason": "Default Action",
            },
        });
        assert_eq!(serde_json::to_value(azure_record(&network(), "/subscriptions/x")).unwrap(), expected);
        let rule = rule();
        let allowed = Decided { verdict: Verdict::Allow, reason: Reason::NetworkRule, rule: Some(&rule), ..denied() };
        assert_eq!(record(allowed)["category"], "AZFWNetworkRule", "a network rule decided on HTTPS");
        assert_eq!(record(allowed)["properties"]["Protocol"], "TCP");
    }

    #[test]
    fn legacy_envelope() {
        let expected = json!({
            "category": "AzureFirewallNetworkRule",
            "time": "2023-09-06T14:33:46.8121070Z",
            "resourceId": DEFAULT_RESOURCE_ID,
            "operationName": "AzureFirewallNetworkRuleLog",
            "properties": {"msg": "TCP request from 10.13.2.4:50975 to 192.0.2.7:22. Action: Deny"},
        });
        assert_eq!(serde_json::to_value(legacy_record(&network(), DEFAULT_RESOURCE_ID)).unwrap(), expected);
        let application = serde_json::to_value(legacy_record(&denied(), DEFAULT_RESOURCE_ID)).unwrap();
        assert_eq!(application["category"], "AzureFirewallApplicationRule");
        assert_eq!(application["operationName"], "AzureFirewallApplicationRuleLog");
    }

    #[test]
    fn legacy_lines() {
        let check = |decided: Decided<'_>, expected: &str| assert_eq!(legacy_msg(&decided), expected);
        let rule = rule();
        check(
            denied(),
            "HTTPS request from 10.13.2.4:50975 to evil.test:443. Action: Deny. No rule matched. Proceeding with default action",
        );
        check(
            http(),
            "HTTP  request from 10.13.2.4:50975 to evil.test:80. Url: evil.test/a. Action: Deny. No rule matched. Proceeding with default action",
        );
        check(
            Decided { verdict: Verdict::Allow, reason: Reason::ApplicationRule, rule: Some(&rule), ..denied() },
            "HTTPS request from 10.13.2.4:50975 to evil.test:443. Action: Allow. Policy: p. Rule Collection Group: g. Rule Collection: c. Rule: r",
        );
        check(
            Decided { reason: Reason::MissingSni, ..denied() },
            "HTTPS request from 10.13.2.4:50975. Action: Deny. Reason: SNI TLS extension was missing.",
        );
        check(
            Decided { reason: Reason::SniConnectMismatch, ..denied() },
            "HTTPS request from 10.13.2.4:50975 to evil.test:443. Action: Deny. Reason: sni-connect-mismatch",
        );
        check(
            Decided { reason: Reason::DeniedByRule, rule: Some(&rule), ..network() },
            "TCP request from 10.13.2.4:50975 to 192.0.2.7:22. Action: Deny.. Policy: p. Rule Collection Group: g. Rule Collection: c. Rule: r",
        );
    }
}
