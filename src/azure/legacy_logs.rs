//! The lines that Azure Firewall writes of a decision in its legacy categories, `msg_s` in `AzureDiagnostics`.
//!
//! Sources: samples, and the parsers of the Azure Firewall workbook. A rule of a firewall without a policy, a classic
//! one, has no policy and no group: neither have its lines.

use std::fmt::{self, Display, Write};
use std::net::{IpAddr, SocketAddr};

use super::category::Category;
use super::envelope::LegacyRecord;
use super::logs::Decided;
use crate::flow::{Protocol, Reason, Verdict};
use crate::policy::RuleName;

/// The record of a decision that AzureDiagnostics shows as `msg_s`.
pub fn legacy_record<'a>(decided: &Decided<'_>, time: &'a str, resource_id: &'a str) -> LegacyRecord<'a> {
    let operation = match decided.category() {
        Category::NatRule => "AzureFirewallNatRuleLog",
        Category::NetworkRule => "AzureFirewallNetworkRuleLog",
        _ => "AzureFirewallApplicationRuleLog",
    };
    LegacyRecord::new((legacy_category(decided), operation), time, resource_id, legacy_msg(decided))
}

/// The legacy category that a decision is written in: DNAT shares one with network rules.
pub fn legacy_category(decided: &Decided<'_>) -> Category {
    match decided.category() {
        Category::NatRule | Category::NetworkRule => Category::LegacyNetworkRule,
        _ => Category::LegacyApplicationRule,
    }
}

/// The text of a legacy record.
pub fn legacy_msg(decided: &Decided<'_>) -> String {
    let mut msg = String::with_capacity(256);
    let written = match (decided.translated(), decided.category()) {
        (Some(translated), _) => nat_msg(&mut msg, decided, translated),
        (None, Category::NetworkRule) => network_msg(&mut msg, decided),
        (None, _) => application_msg(&mut msg, decided),
    };
    written.expect("writing to a String cannot fail");
    msg
}

fn nat_msg(msg: &mut String, decided: &Decided<'_>, translated: SocketAddr) -> fmt::Result {
    let Decided { client, port, .. } = decided;
    let (protocol, host) = (decided.network_protocol(), bracketed(decided.host));
    write!(msg, "{protocol} request from {client} to {host}:{port} was DNAT'ed to {translated}")?;
    decided.deciding_rule().map_or(Ok(()), |rule| write!(msg, ". {}", RuleWords(rule)))
}

/// The address, else the host.
pub(super) fn destination(decided: &Decided<'_>) -> String {
    match decided.destination_ip() {
        none if none.is_empty() => decided.host.to_owned(),
        addr => bracketed(&addr),
    }
}

fn network_msg(msg: &mut String, decided: &Decided<'_>) -> fmt::Result {
    let destination = destination(decided);
    let (protocol, source, action) = (decided.network_protocol(), decided.source(), decided.action());
    write!(msg, "{protocol} request from {source} to {destination}:{}. Action: {action}", decided.port)?;
    match decided.deciding_rule() {
        // The second dot comes with a policy, and with ICMP in any case.
        Some(rule) if is_classic(rule) => write!(msg, ". {}", RuleWords(rule)),
        Some(rule) => write!(msg, ".. {}", RuleWords(rule)),
        None if decided.verdict == Verdict::Deny && !decided.nothing_matched() => {
            write!(msg, ". Reason: {}", decided.reason)
        }
        None if decided.protocol == Protocol::Icmp => msg.write_str(".."),
        None => Ok(()),
    }
}

fn application_msg(msg: &mut String, decided: &Decided<'_>) -> fmt::Result {
    let Decided { client, host, port, reason, web_category, .. } = decided;
    // Padded to five letters: hence the two blanks after HTTP.
    write!(msg, "{:<5} request from {client}", decided.protocol.azure_name())?;
    if *reason == Reason::MissingSni {
        return msg.write_str(". Action: Deny. Reason: SNI TLS extension was missing.");
    }
    write!(msg, " to {}:{port}.", bracketed(host))?;
    if let Some(url) = decided.url {
        write!(msg, " Url: {url}.")?;
    }
    write!(msg, " Action: {}", decided.action())?;
    match decided.deciding_rule() {
        Some(rule) if web_category.is_empty() => write!(msg, ". {}", RuleWords(rule)),
        Some(rule) => write!(msg, ". {}. Web Category: {web_category}", RuleWords(rule)),
        None if decided.verdict == Verdict::Allow => Ok(()),
        None if decided.nothing_matched() => msg.write_str(". No rule matched. Proceeding with default action"),
        None => write!(msg, ". Reason: {reason}"),
    }
}

/// An IPv6 address as it stands before a port.
fn bracketed(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V6(addr)) => format!("[{addr}]"),
        _ => host.to_owned(),
    }
}

fn is_classic(rule: &RuleName) -> bool {
    rule.policy.is_empty() && rule.group.is_empty()
}

/// `Policy: P. Rule Collection Group: G. Rule Collection: C. Rule: R`
struct RuleWords<'a>(&'a RuleName);

impl Display for RuleWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RuleName { policy, group, collection, rule, .. } = self.0;
        if !is_classic(self.0) {
            write!(f, "Policy: {policy}. Rule Collection Group: {group}. ")?;
        }
        write!(f, "Rule Collection: {collection}. Rule: {rule}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::logs::DEFAULT_RESOURCE_ID;
    use super::super::logs::tests::{denied, http, network, rule, translated};
    use super::*;
    use crate::policy::{RuleCategories, RuleKind};
    use serde_json::json;

    fn classic(kind: RuleKind) -> RuleName {
        RuleName {
            policy: "".into(),
            group: "".into(),
            collection: "c".into(),
            rule: "r".into(),
            kind,
            categories: RuleCategories::default(),
        }
    }

    fn check(decided: Decided<'_>, expected: &str) {
        assert_eq!(legacy_msg(&decided), expected);
    }

    #[test]
    fn application_rules() {
        let (rule, classic) = (rule(RuleKind::Application), classic(RuleKind::Application));
        let allowed =
            |rule| Decided { verdict: Verdict::Allow, reason: Reason::ApplicationRule, rule: Some(rule), ..denied() };
        check(
            denied(),
            "HTTPS request from 10.13.2.4:50975 to evil.test:443. Action: Deny. No rule matched. Proceeding with default action",
        );
        check(
            http(),
            "HTTP  request from 10.13.2.4:50975 to evil.test:80. Url: evil.test/a. Action: Deny. No rule matched. Proceeding with default action",
        );
        check(
            allowed(&rule),
            "HTTPS request from 10.13.2.4:50975 to evil.test:443. Action: Allow. Policy: p. Rule Collection Group: g. Rule Collection: c. Rule: r",
        );
        check(
            Decided { web_category: "Gambling", ..allowed(&rule) },
            "HTTPS request from 10.13.2.4:50975 to evil.test:443. Action: Allow. Policy: p. Rule Collection Group: g. Rule Collection: c. Rule: r. Web Category: Gambling",
        );
        check(
            allowed(&classic),
            "HTTPS request from 10.13.2.4:50975 to evil.test:443. Action: Allow. Rule Collection: c. Rule: r",
        );
        check(
            Decided { reason: Reason::MissingSni, ..denied() },
            "HTTPS request from 10.13.2.4:50975. Action: Deny. Reason: SNI TLS extension was missing.",
        );
        check(
            Decided { reason: Reason::SniConnectMismatch, ..denied() },
            "HTTPS request from 10.13.2.4:50975 to evil.test:443. Action: Deny. Reason: sni-connect-mismatch",
        );
    }

    #[test]
    fn network_rules() {
        let (rule, classic) = (rule(RuleKind::Network), classic(RuleKind::Network));
        let by_rule = |rule| Decided { reason: Reason::DeniedByRule, rule: Some(rule), ..network() };
        let words = "Policy: p. Rule Collection Group: g. Rule Collection: c. Rule: r";
        check(network(), "TCP request from 10.13.2.4:50975 to 192.0.2.7:22. Action: Deny");
        check(by_rule(&rule), &format!("TCP request from 10.13.2.4:50975 to 192.0.2.7:22. Action: Deny.. {words}"));
        check(
            by_rule(&classic),
            "TCP request from 10.13.2.4:50975 to 192.0.2.7:22. Action: Deny. Rule Collection: c. Rule: r",
        );
        let on_https = Decided { protocol: Protocol::Https, ..by_rule(&rule) };
        check(on_https, &format!("TCP request from 10.13.2.4:50975 to 192.0.2.7:22. Action: Deny.. {words}"));
        let v6 = Decided { host: "2001:db8::7", ..network() };
        check(v6, "TCP request from 10.13.2.4:50975 to [2001:db8::7]:22. Action: Deny");
        let internal = Decided { reason: Reason::InternalAddress, rule: Some(&rule), ..network() };
        check(internal, "TCP request from 10.13.2.4:50975 to 192.0.2.7:22. Action: Deny. Reason: internal-address");
    }

    #[test]
    fn echoes_have_a_type_and_no_ports() {
        let rule = rule(RuleKind::Network);
        let echo = Decided { protocol: Protocol::Icmp, port: 0, ..network() };
        check(echo, "ICMP Type=8 request from 10.13.2.4:0 to 192.0.2.7:0. Action: Deny..");
        let allowed = Decided { verdict: Verdict::Allow, reason: Reason::NetworkRule, rule: Some(&rule), ..echo };
        check(
            allowed,
            "ICMP Type=8 request from 10.13.2.4:0 to 192.0.2.7:0. Action: Allow.. Policy: p. Rule Collection Group: g. Rule Collection: c. Rule: r",
        );
    }

    #[test]
    fn dnat_rules() {
        let line = "TCP request from 10.13.2.4:50975 to 203.0.113.10:22 was DNAT'ed to 10.0.0.4:3389.";
        let (rule, classic) = (rule(RuleKind::Dnat), classic(RuleKind::Dnat));
        check(translated(&rule), &format!("{line} Policy: p. Rule Collection Group: g. Rule Collection: c. Rule: r"));
        check(translated(&classic), &format!("{line} Rule Collection: c. Rule: r"));
    }

    #[test]
    fn the_envelope() {
        let time = "2023-09-06T14:33:46.8121070Z";
        let expected = json!({
            "category": "AzureFirewallNetworkRule",
            "time": time,
            "resourceId": DEFAULT_RESOURCE_ID,
            "operationName": "AzureFirewallNetworkRuleLog",
            "properties": {"msg": "TCP request from 10.13.2.4:50975 to 192.0.2.7:22. Action: Deny"},
        });
        let shown = |decided| serde_json::to_value(legacy_record(&decided, time, DEFAULT_RESOURCE_ID)).unwrap();
        assert_eq!(shown(network()), expected);
        let application = shown(denied());
        assert_eq!(application["category"], "AzureFirewallApplicationRule");
        assert_eq!(application["operationName"], "AzureFirewallApplicationRuleLog");
        let rule = rule(RuleKind::Dnat);
        let nat = translated(&rule);
        assert_eq!(shown(nat)["category"], "AzureFirewallNetworkRule");
        assert_eq!(shown(nat)["operationName"], "AzureFirewallNatRuleLog");
    }
}
