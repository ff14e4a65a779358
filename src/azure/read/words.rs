//! Azure's words, in any letter case.

use crate::flow::Protocol;
use crate::policy::{Action, IpProtocols, ThreatMode, Tier};

/// Words with what they mean; messages name them all.
pub(super) type Words<T> = &'static [(&'static str, T)];

/// What a collection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenAction {
    Verdict(Action),
    Dnat,
    /// In the schema of classic firewalls; Azure Firewall has no such rules.
    Snat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CollectionType {
    Filter,
    Nat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuleType {
    Application,
    Network,
    Nat,
}

pub(super) const FLAGS: Words<bool> = &[("true", true), ("false", false), ("Enabled", true), ("Disabled", false)];
pub(super) const ACTIONS: Words<WrittenAction> = &[
    ("Allow", WrittenAction::Verdict(Action::Allow)),
    ("Deny", WrittenAction::Verdict(Action::Deny)),
    ("Dnat", WrittenAction::Dnat),
    ("Snat", WrittenAction::Snat),
];
/// The last two are what old versions of az wrote.
pub(super) const COLLECTION_TYPES: Words<CollectionType> = &[
    ("FirewallPolicyFilterRuleCollection", CollectionType::Filter),
    ("FirewallPolicyNatRuleCollection", CollectionType::Nat),
    ("FirewallPolicyFilterRule", CollectionType::Filter),
    ("FirewallPolicyNatRule", CollectionType::Nat),
];
pub(super) const RULE_TYPES: Words<RuleType> =
    &[("ApplicationRule", RuleType::Application), ("NetworkRule", RuleType::Network), ("NatRule", RuleType::Nat)];
pub(super) const APP_PROTOCOLS: Words<Protocol> =
    &[("Http", Protocol::Http), ("Https", Protocol::Https), ("Mssql", Protocol::Mssql)];
pub(super) const IP_PROTOCOLS: Words<IpProtocols> =
    &[("TCP", IpProtocols::TCP), ("UDP", IpProtocols::UDP), ("ICMP", IpProtocols::ICMP), ("Any", IpProtocols::ANY)];
pub(super) const TIERS: Words<Tier> =
    &[("Basic", Tier::Basic), ("Standard", Tier::Standard), ("Premium", Tier::Premium)];
pub(super) const MODES: Words<ThreatMode> =
    &[("Off", ThreatMode::Off), ("Alert", ThreatMode::Alert), ("Deny", ThreatMode::Deny)];

impl RuleType {
    /// As Azure writes it.
    pub(super) fn as_str(self) -> &'static str {
        RULE_TYPES.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }
}

/// The meaning of a word; else what the words are.
pub(super) fn pick<T: Copy>(words: Words<T>, text: &str) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.trim()));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("`{text}` is not one of {}", known.join(", "))
    })
}
