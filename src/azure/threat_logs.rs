//! Azure Firewall's log of threat intelligence: `AZFWThreatIntel`, and the legacy line of `AzureFirewallThreatIntelLog`.
//!
//! Sources: azure-docs, reference table AZFWThreatIntel; the line from the samples of logs-and-metrics.md, which has one
//! blank after HTTP where those of application rules have two.

use std::fmt::Write;
use std::net::IpAddr;

use serde::Serialize;

use super::category::Category;
use super::envelope::{LegacyRecord, Record};
use super::legacy_logs::destination;
use super::logs::{Decided, Threat};
use crate::flow::Reason;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ThreatIntel<'a> {
    protocol: &'static str,
    source_ip: IpAddr,
    source_port: u16,
    destination_ip: String,
    destination_port: u16,
    fqdn: &'a str,
    target_url: String,
    action: &'static str,
    threat_description: &'a str,
    is_tls_inspected: bool,
}

/// The structured record of a flow that met an indicator; None of any other.
pub fn threat_record<'a>(decided: &'a Decided<'a>, resource_id: &'a str) -> Option<Record<'a, ThreatIntel<'a>>> {
    let Threat { description, indicator: _ } = decided.threat?;
    let properties = ThreatIntel {
        protocol: protocol(decided),
        source_ip: decided.client.ip(),
        source_port: decided.client.port(),
        destination_ip: destination_ip(decided),
        destination_port: decided.port,
        fqdn: fqdn(decided),
        target_url: decided.url.map_or(String::new(), |url| format!("http://{url}")),
        action: action(decided),
        threat_description: description,
        is_tls_inspected: false,
    };
    Some(Record::new(Category::ThreatIntel, decided.time, resource_id, properties))
}

/// The same as AzureDiagnostics shows it as `msg_s`.
pub fn legacy_threat_record<'a>(decided: &Decided<'a>, resource_id: &'a str) -> Option<LegacyRecord<'a>> {
    let kind = (Category::LegacyNetworkRule, "AzureFirewallThreatIntelLog");
    Some(LegacyRecord::new(kind, decided.time, resource_id, legacy_threat_msg(decided)?))
}

fn legacy_threat_msg(decided: &Decided<'_>) -> Option<String> {
    let Threat { description, indicator: _ } = decided.threat?;
    let mut msg = String::with_capacity(256);
    let (protocol, action) = (protocol(decided), action(decided));
    let to = match fqdn(decided) {
        "" => destination(decided),
        name => name.to_owned(),
    };
    let Decided { client, port, url, .. } = decided;
    let written = write!(msg, "{protocol} request from {client} to {to}:{port}.")
        .and_then(|()| url.map_or(Ok(()), |url| write!(msg, " Url: {url}.")))
        .and_then(|()| write!(msg, " Action: {action}. ThreatIntel: {description}"));
    written.expect("writing to a String cannot fail");
    Some(msg)
}

/// What threat intelligence made of it: anything else may have denied it too.
fn action(decided: &Decided<'_>) -> &'static str {
    if decided.reason == Reason::ThreatIntel { "Deny" } else { "Alert" }
}

fn protocol(decided: &Decided<'_>) -> &'static str {
    if decided.is_network() { decided.network_protocol() } else { decided.protocol.azure_name() }
}

/// Empty in samples of requests: a name is judged before it is resolved.
fn destination_ip(decided: &Decided<'_>) -> String {
    if decided.is_network() || fqdn(decided).is_empty() { decided.destination_ip() } else { String::new() }
}

/// The host where it is no address.
fn fqdn<'a>(decided: &Decided<'a>) -> &'a str {
    if decided.host.parse::<IpAddr>().is_ok() { "" } else { decided.host }
}

#[cfg(test)]
mod tests {
    use super::super::logs::DEFAULT_RESOURCE_ID;
    use super::*;
    use crate::flow::{ClientAddr, Protocol, Verdict, Via};
    use serde_json::json;

    const TEST_NAME: &str = "testmaliciousdomain.eastus.cloudapp.azure.com";

    fn met() -> Decided<'static> {
        Decided {
            time: "2023-09-06T14:33:46.8121070Z",
            via: Via::Http,
            protocol: Protocol::Http,
            client: ClientAddr::new("10.13.2.4:50975".parse().unwrap()),
            host: TEST_NAME,
            port: 80,
            dst: Some("192.0.2.7:80".parse().unwrap()),
            url: Some("testmaliciousdomain.eastus.cloudapp.azure.com/a"),
            verdict: Verdict::Allow,
            reason: Reason::ApplicationRule,
            rule: None,
            web_category: "",
            threat: Some(Threat {
                description: "This is a test indicator for a Microsoft owned domain.",
                indicator: TEST_NAME,
            }),
        }
    }

    fn by_address() -> Decided<'static> {
        let reason = Reason::ThreatIntel;
        Decided {
            protocol: Protocol::Tcp,
            host: "192.0.2.7",
            port: 22,
            url: None,
            reason,
            verdict: Verdict::Deny,
            ..met()
        }
    }

    #[test]
    fn the_structured_record() {
        let shown = |decided: Decided<'_>| serde_json::to_value(threat_record(&decided, DEFAULT_RESOURCE_ID)).unwrap();
        let expected = json!({
            "category": "AZFWThreatIntel",
            "time": "2023-09-06T14:33:46.8121070Z",
            "resourceId": DEFAULT_RESOURCE_ID,
            "properties": {
                "Protocol": "HTTP", "SourceIp": "10.13.2.4", "SourcePort": 50975, "DestinationIp": "",
                "DestinationPort": 80, "Fqdn": TEST_NAME,
                "TargetUrl": "http://testmaliciousdomain.eastus.cloudapp.azure.com/a", "Action": "Alert",
                "ThreatDescription": "This is a test indicator for a Microsoft owned domain.",
                "IsTlsInspected": false,
            },
        });
        assert_eq!(shown(met()), expected);
        let properties = &shown(by_address())["properties"];
        let of = |key: &str| properties[key].as_str().unwrap().to_owned();
        assert_eq!(
            ["Protocol", "DestinationIp", "Fqdn", "TargetUrl", "Action"].map(of),
            ["TCP", "192.0.2.7", "", "", "Deny"]
        );
        assert!(threat_record(&Decided { threat: None, ..met() }, DEFAULT_RESOURCE_ID).is_none());
    }

    #[test]
    fn the_legacy_line() {
        let check = |decided: Decided<'_>, expected: &str| assert_eq!(legacy_threat_msg(&decided).unwrap(), expected);
        check(
            met(),
            "HTTP request from 10.13.2.4:50975 to testmaliciousdomain.eastus.cloudapp.azure.com:80. Url: \
             testmaliciousdomain.eastus.cloudapp.azure.com/a. Action: Alert. ThreatIntel: This is a test indicator for a \
             Microsoft owned domain.",
        );
        check(
            by_address(),
            "TCP request from 10.13.2.4:50975 to 192.0.2.7:22. Action: Deny. ThreatIntel: This is a test indicator for \
             a Microsoft owned domain.",
        );
        let record = serde_json::to_value(legacy_threat_record(&met(), DEFAULT_RESOURCE_ID)).unwrap();
        assert_eq!(record["category"], "AzureFirewallNetworkRule");
        assert_eq!(record["operationName"], "AzureFirewallThreatIntelLog");
    }
}
