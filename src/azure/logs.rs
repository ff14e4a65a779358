//! Azure Firewall's structured records of a decision: `AZFWApplicationRule`, `AZFWNetworkRule` and `AZFWNatRule`.
//!
//! Sources: azure-docs, reference tables of these names; values from samples and from the Azure Firewall workbook. Azure
//! has no words for denials that only Egret makes: those carry Egret's reason code where Azure would say why.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::category::Category;
use super::envelope::Record;
use crate::flow::{ClientAddr, Protocol, Reason, Verdict, Via};
use crate::policy::{RuleKind, RuleName};

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
    /// The web category by which the rule matched; empty where it was no category.
    pub web_category: &'a str,
    /// What threat intelligence knows of it.
    pub threat: Option<Threat<'a>>,
}

/// An indicator that a flow met.
#[derive(Debug, Clone, Copy)]
pub struct Threat<'a> {
    pub description: &'a str,
    pub indicator: &'a str,
}

impl<'a> Decided<'a> {
    /// The category that it is written in.
    pub fn category(&self) -> Category {
        match self.translated() {
            Some(_) => Category::NatRule,
            None if self.is_network() => Category::NetworkRule,
            None => Category::ApplicationRule,
        }
    }

    /// As its rule is; where none matched, a flow of an application protocol counts as an application rule's, as a
    /// proxied one does in Azure.
    pub(super) fn is_network(&self) -> bool {
        let of_rule = self.rule.map(|rule| rule.kind != RuleKind::Application);
        let carried = matches!(self.protocol, Protocol::Tcp | Protocol::Udp | Protocol::Icmp | Protocol::Other);
        of_rule.unwrap_or(carried)
    }

    /// Where a DNAT rule led the flow; None where none did.
    pub(super) fn translated(&self) -> Option<SocketAddr> {
        self.dst.filter(|_| self.reason == Reason::DnatRule)
    }

    pub(super) fn action(&self) -> &'static str {
        match self.verdict {
            Verdict::Allow => "Allow",
            Verdict::Deny => "Deny",
        }
    }

    pub(super) fn nothing_matched(&self) -> bool {
        matches!(self.reason, Reason::NotAllowed | Reason::PortNotAllowed | Reason::ProtoNotAllowed)
    }

    /// The rule that made the decision. A denial that Egret makes of what a rule allows is not that rule's.
    pub(super) fn deciding_rule(&self) -> Option<&'a RuleName> {
        self.rule.filter(|_| self.verdict == Verdict::Allow || self.reason == Reason::DeniedByRule)
    }

    pub(super) fn action_reason(&self) -> &'static str {
        match self.reason {
            _ if self.verdict == Verdict::Allow => "",
            Reason::DeniedByRule => "",
            _ if self.nothing_matched() => "Default Action",
            Reason::MissingSni => "SNI TLS extension was missing.",
            reason => reason.as_str(),
        }
    }

    /// Network rules see what carries HTTP, HTTPS and MSSQL. Of ICMP, Egret knows echo requests only.
    pub(super) fn network_protocol(&self) -> &'static str {
        match self.protocol {
            Protocol::Http | Protocol::Https | Protocol::Mssql => Protocol::Tcp.azure_name(),
            Protocol::Icmp if self.client.ip().is_ipv6() => "ICMP Type=128",
            Protocol::Icmp => "ICMP Type=8",
            other => other.azure_name(),
        }
    }

    /// The client, with port 0 where its protocol has none.
    pub(super) fn source(&self) -> SocketAddr {
        let port = if self.protocol == Protocol::Icmp { 0 } else { self.client.port() };
        SocketAddr::new(self.client.ip(), port)
    }

    /// The destination's address as text; the host's, where that is an address; else empty.
    pub(super) fn destination_ip(&self) -> String {
        match self.dst {
            Some(dst) => dst.ip().to_string(),
            None if self.host.parse::<IpAddr>().is_ok() => self.host.to_owned(),
            None => String::new(),
        }
    }

    /// The name that was asked for. Without an SNI there is none, and what the client connected to is no name.
    pub(super) fn fqdn(&self) -> &'a str {
        let unnamed = self.reason == Reason::MissingSni && self.host.parse::<IpAddr>().is_ok();
        if unnamed { "" } else { self.host }
    }

    pub(super) fn target_url(&self) -> String {
        self.url.map_or(String::new(), |url| format!("http://{url}"))
    }

    pub(super) fn is_explicit_proxy_request(&self) -> bool {
        matches!(self.via, Via::Http | Via::Connect | Via::Socks5)
    }
}

/// The names of a rule, as every table has them; empty where no rule decided.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Names<'a> {
    policy: &'a str,
    rule_collection_group: &'a str,
    rule_collection: &'a str,
    rule: &'a str,
}

impl<'a> Names<'a> {
    pub(super) fn of(rule: Option<&'a RuleName>) -> Names<'a> {
        rule.map_or(Names::default(), |RuleName { policy, group, collection, rule, .. }| Names {
            policy,
            rule_collection_group: group,
            rule_collection: collection,
            rule,
        })
    }
}

/// The columns of one of the three tables.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Properties<'a> {
    Application(ApplicationRule<'a>),
    Network(NetworkRule<'a>),
    Nat(NatRule<'a>),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ApplicationRule<'a> {
    protocol: &'static str,
    source_ip: IpAddr,
    source_port: u16,
    destination_port: u16,
    fqdn: &'a str,
    target_url: String,
    action: &'static str,
    #[serde(flatten)]
    names: Names<'a>,
    action_reason: &'static str,
    is_tls_inspected: bool,
    web_category: &'a str,
    is_explicit_proxy_request: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkRule<'a> {
    protocol: &'static str,
    source_ip: IpAddr,
    source_port: u16,
    destination_ip: String,
    destination_port: u16,
    action: &'static str,
    #[serde(flatten)]
    names: Names<'a>,
    action_reason: &'static str,
}

/// There is no action: what a DNAT rule matches is allowed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NatRule<'a> {
    protocol: &'static str,
    source_ip: IpAddr,
    source_port: u16,
    destination_ip: &'a str,
    destination_port: u16,
    translated_ip: IpAddr,
    translated_port: u16,
    #[serde(flatten)]
    names: Names<'a>,
}

/// The structured record of a decision.
pub fn azure_record<'a>(decided: &Decided<'a>, resource_id: &'a str) -> Record<'a, Properties<'a>> {
    let properties = match decided.translated() {
        Some(translated) => Properties::Nat(nat_rule(decided, translated)),
        None if decided.is_network() => Properties::Network(network_rule(decided)),
        None => Properties::Application(application_rule(decided)),
    };
    Record::new(decided.category(), decided.time, resource_id, properties)
}

fn application_rule<'a>(decided: &Decided<'a>) -> ApplicationRule<'a> {
    ApplicationRule {
        protocol: decided.protocol.azure_name(),
        source_ip: decided.client.ip(),
        source_port: decided.client.port(),
        destination_port: decided.port,
        fqdn: decided.fqdn(),
        target_url: decided.target_url(),
        action: decided.action(),
        names: Names::of(decided.deciding_rule()),
        action_reason: decided.action_reason(),
        is_tls_inspected: false,
        web_category: decided.web_category,
        is_explicit_proxy_request: decided.is_explicit_proxy_request(),
    }
}

fn network_rule<'a>(decided: &Decided<'a>) -> NetworkRule<'a> {
    NetworkRule {
        protocol: decided.network_protocol(),
        source_ip: decided.client.ip(),
        source_port: decided.source().port(),
        destination_ip: decided.destination_ip(),
        destination_port: decided.port,
        action: decided.action(),
        names: Names::of(decided.deciding_rule()),
        action_reason: decided.action_reason(),
    }
}

fn nat_rule<'a>(decided: &Decided<'a>, translated: SocketAddr) -> NatRule<'a> {
    NatRule {
        protocol: decided.network_protocol(),
        source_ip: decided.client.ip(),
        source_port: decided.client.port(),
        destination_ip: decided.host,
        destination_port: decided.port,
        translated_ip: translated.ip(),
        translated_port: translated.port(),
        names: Names::of(decided.deciding_rule()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::legacy_logs::legacy_msg;
    use super::*;
    use crate::policy::RuleCategories;
    use serde_json::{Value, json};

    pub(in super::super) fn rule(kind: RuleKind) -> RuleName {
        RuleName {
            policy: "p".into(),
            group: "g".into(),
            collection: "c".into(),
            rule: "r".into(),
            kind,
            categories: RuleCategories::default(),
        }
    }

    pub(in super::super) fn denied() -> Decided<'static> {
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
            web_category: "",
            threat: None,
        }
    }

    pub(in super::super) fn http() -> Decided<'static> {
        Decided { protocol: Protocol::Http, port: 80, url: Some("evil.test/a"), ..denied() }
    }

    pub(in super::super) fn network() -> Decided<'static> {
        Decided { protocol: Protocol::Tcp, host: "192.0.2.7", port: 22, ..denied() }
    }

    pub(in super::super) fn translated(rule: &RuleName) -> Decided<'_> {
        Decided {
            host: "203.0.113.10",
            dst: Some("10.0.0.4:3389".parse().unwrap()),
            verdict: Verdict::Allow,
            reason: Reason::DnatRule,
            rule: Some(rule),
            ..network()
        }
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
        let rule = rule(RuleKind::Application);
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
        let rule = rule(RuleKind::Dnat);
        let record = record(translated(&rule));
        assert_eq!(record["category"], "AZFWNatRule");
        let properties = &record["properties"];
        assert_eq!((&properties["TranslatedIp"], &properties["TranslatedPort"]), (&json!("10.0.0.4"), &json!(3389)));
        assert_eq!(properties["DestinationIp"], "203.0.113.10");
        assert!(properties.get("Action").is_none());
    }

    #[test]
    fn a_denial_names_no_rule_that_allows() {
        let rule = rule(RuleKind::Application);
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
        let rule = rule(RuleKind::Network);
        let allowed = Decided { verdict: Verdict::Allow, reason: Reason::NetworkRule, rule: Some(&rule), ..denied() };
        assert_eq!(record(allowed)["category"], "AZFWNetworkRule", "a network rule decided on HTTPS");
        assert_eq!(record(allowed)["properties"]["Protocol"], "TCP");
    }
    #[test]
    fn a_denial_is_of_the_type_of_its_rule() {
        let rule = rule(RuleKind::Network);
        let by_rule = Decided { reason: Reason::DeniedByRule, rule: Some(&rule), dst: None, ..denied() };
        assert_eq!(record(by_rule)["category"], "AZFWNetworkRule");
        assert_eq!(record(by_rule)["properties"]["Rule"], "r");
    }

    #[test]
    fn without_an_sni_an_address_is_no_name() {
        let missing = Decided { reason: Reason::MissingSni, via: Via::Gateway, host: "192.0.2.7", ..denied() };
        assert_eq!(record(missing)["properties"]["Fqdn"], "");
        assert_eq!(record(Decided { host: "asked.test", ..missing })["properties"]["Fqdn"], "asked.test");
        assert_eq!(record(Decided { reason: Reason::NotAllowed, ..missing })["properties"]["Fqdn"], "192.0.2.7");
    }

    #[test]
    fn echoes_have_a_type_and_no_ports() {
        let echo = Decided { protocol: Protocol::Icmp, port: 0, ..network() };
        let shown = |decided| {
            let properties = record(decided)["properties"].clone();
            ["Protocol", "SourcePort", "DestinationPort"].map(|name| properties[name].to_string()).join(" ")
        };
        assert_eq!(shown(echo), "\"ICMP Type=8\" 0 0");
        let client = ClientAddr::new("[2001:db8::1]:9".parse().unwrap());
        assert_eq!(shown(Decided { client, host: "2001:db8::7", ..echo }), "\"ICMP Type=128\" 0 0");
    }
}
