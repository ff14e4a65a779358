//! Azure Firewall's hourly sums of decisions for policy analytics: `AZFWApplicationRuleAggregation`,
//! `AZFWNetworkRuleAggregation` and `AZFWNatRuleAggregation`.
//!
//! Source: azure-docs, reference tables of these names.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::category::Category;
use super::envelope::Record;
use super::logs::{Decided, Names};
use crate::policy::RuleName;

/// What decisions that are summed up have in common: every column but the count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Summed {
    source: IpAddr,
    protocol: &'static str,
    rule: Option<Rule>,
    of: Of,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Of {
    Application { outcome: Outcome, fqdn: Box<str>, url: String, port: u16 },
    Network { outcome: Outcome, destination: String, port: u16 },
    Nat { translated: SocketAddr },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Outcome {
    action: &'static str,
    reason: &'static str,
    is_default: bool,
}

/// A rule by its names, which are what is summed by.
#[derive(Debug, Clone)]
struct Rule(RuleName);

impl Rule {
    fn names(&self) -> [&str; 4] {
        let RuleName { policy, group, collection, rule, .. } = &self.0;
        [policy, group, collection, rule]
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        self.names() == other.names()
    }
}

impl Eq for Rule {}

impl std::hash::Hash for Rule {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.names().hash(state);
    }
}

impl Summed {
    pub fn of(decided: &Decided<'_>) -> Summed {
        let outcome = Outcome {
            action: decided.action(),
            reason: decided.action_reason(),
            is_default: decided.nothing_matched(),
        };
        let port = decided.port;
        let (protocol, of) = match (decided.category(), decided.translated()) {
            (_, Some(translated)) => (decided.network_protocol(), Of::Nat { translated }),
            (Category::NetworkRule, None) => {
                (decided.network_protocol(), Of::Network { outcome, destination: decided.destination_ip(), port })
            }
            (_, None) => {
                let (fqdn, url) = (decided.fqdn().into(), decided.target_url());
                (decided.protocol.azure_name(), Of::Application { outcome, fqdn, url, port })
            }
        };
        let rule = decided.deciding_rule().map(|rule| Rule(rule.clone()));
        Summed { source: decided.client.ip(), protocol, rule, of }
    }

    /// The category that the sum is written in.
    pub fn category(&self) -> Category {
        match self.of {
            Of::Application { .. } => Category::ApplicationRuleAggregation,
            Of::Network { .. } => Category::NetworkRuleAggregation,
            Of::Nat { .. } => Category::NatRuleAggregation,
        }
    }

    /// The structured record of so many of them.
    pub fn record<'a>(&'a self, count: u32, time: &'a str, resource_id: &'a str) -> Record<'a, Aggregation<'a>> {
        let properties = Aggregation {
            source_ip: self.source,
            protocol: self.protocol,
            names: Names::of(self.rule.as_ref().map(|rule| &rule.0)),
            own: self.columns(count),
        };
        Record::new(self.category(), time, resource_id, properties)
    }

    fn columns(&self, count: u32) -> Columns<'_> {
        match &self.of {
            Of::Application { outcome, fqdn, url, port } => Columns::Application {
                action: outcome.action,
                action_reason: outcome.reason,
                application_rule_count: count,
                destination_port: *port,
                fqdn,
                target_url: url,
            },
            Of::Network { outcome, destination, port } => Columns::Network {
                action: outcome.action,
                action_reason: outcome.reason,
                network_rule_count: count,
                destination_ip: destination,
                destination_port: *port,
                is_default_rule: outcome.is_default,
            },
            Of::Nat { translated } => Columns::Nat {
                nat_rule_count: count,
                translated_ip: translated.ip(),
                translated_port: translated.port(),
            },
        }
    }
}

/// The columns of one of the three tables.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Aggregation<'a> {
    source_ip: IpAddr,
    protocol: &'static str,
    #[serde(flatten)]
    names: Names<'a>,
    #[serde(flatten)]
    own: Columns<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "PascalCase")]
enum Columns<'a> {
    Application {
        action: &'static str,
        action_reason: &'static str,
        application_rule_count: u32,
        destination_port: u16,
        fqdn: &'a str,
        target_url: &'a str,
    },
    Network {
        action: &'static str,
        action_reason: &'static str,
        network_rule_count: u32,
        destination_ip: &'a str,
        destination_port: u16,
        is_default_rule: bool,
    },
    Nat {
        nat_rule_count: u32,
        translated_ip: IpAddr,
        translated_port: u16,
    },
}

#[cfg(test)]
mod tests {
    use super::super::logs::tests::{denied, http, network, rule};
    use super::*;
    use crate::flow::{ClientAddr, Protocol, Reason, Verdict};
    use crate::policy::RuleKind;

    #[test]
    fn what_differs_in_a_column_is_summed_apart() {
        let rule = rule(RuleKind::Application);
        let another_port = ClientAddr::new("10.13.2.4:1".parse().unwrap());
        assert_eq!(Summed::of(&denied()), Summed::of(&Decided { client: another_port, time: "later", ..denied() }));
        let by_rule = Decided { reason: Reason::DeniedByRule, rule: Some(&rule), ..denied() };
        let others = [
            Decided { host: "other.test", ..denied() },
            Decided { port: 8443, ..denied() },
            Decided { protocol: Protocol::Http, ..denied() },
            Decided { client: ClientAddr::new("10.13.2.5:50975".parse().unwrap()), ..denied() },
            http(),
            network(),
            by_rule,
        ];
        for other in others {
            assert_ne!(Summed::of(&denied()), Summed::of(&other), "{other:?}");
        }
    }

    #[test]
    fn the_count_and_the_default_rule() {
        let shown = |decided: &Decided<'_>| {
            let summed = Summed::of(decided);
            serde_json::to_value(summed.record(3, "", "")).unwrap()
        };
        assert_eq!(shown(&denied())["properties"]["ApplicationRuleCount"], 3);
        assert_eq!(shown(&network())["properties"]["IsDefaultRule"], true);
        let rule = rule(RuleKind::Network);
        let allowed = Decided { verdict: Verdict::Allow, reason: Reason::NetworkRule, rule: Some(&rule), ..network() };
        let shown = shown(&allowed);
        assert_eq!(shown["category"], "AZFWNetworkRuleAggregation");
        assert_eq!((&shown["properties"]["IsDefaultRule"], &shown["properties"]["Rule"]), (&false.into(), &"r".into()));
    }
}
