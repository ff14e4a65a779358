//! The categories of Azure Firewall's diagnostic settings, by the names that Azure has for them.
//!
//! Source: azure-docs, monitor-firewall-reference.

/// One category: what a record's `category` says, and what a diagnostic setting chooses by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    ApplicationRule,
    ApplicationRuleAggregation,
    DnsAdditional,
    DnsQuery,
    FatFlow,
    FlowTrace,
    FqdnResolveFailure,
    IdpsSignature,
    NatRule,
    NatRuleAggregation,
    NetworkRule,
    NetworkRuleAggregation,
    ThreatIntel,
    LegacyApplicationRule,
    LegacyDnsProxy,
    LegacyNetworkRule,
}

impl Category {
    /// Every category by its name.
    pub const WORDS: &'static [(&'static str, Category)] = &[
        ("AZFWApplicationRule", Category::ApplicationRule),
        ("AZFWApplicationRuleAggregation", Category::ApplicationRuleAggregation),
        ("AZFWDnsAdditional", Category::DnsAdditional),
        ("AZFWDnsQuery", Category::DnsQuery),
        ("AZFWFatFlow", Category::FatFlow),
        ("AZFWFlowTrace", Category::FlowTrace),
        ("AZFWFqdnResolveFailure", Category::FqdnResolveFailure),
        ("AZFWIdpsSignature", Category::IdpsSignature),
        ("AZFWNatRule", Category::NatRule),
        ("AZFWNatRuleAggregation", Category::NatRuleAggregation),
        ("AZFWNetworkRule", Category::NetworkRule),
        ("AZFWNetworkRuleAggregation", Category::NetworkRuleAggregation),
        ("AZFWThreatIntel", Category::ThreatIntel),
        ("AzureFirewallApplicationRule", Category::LegacyApplicationRule),
        ("AzureFirewallDnsProxy", Category::LegacyDnsProxy),
        ("AzureFirewallNetworkRule", Category::LegacyNetworkRule),
    ];

    pub fn name(self) -> &'static str {
        // In the order of the variants: a test holds it.
        Category::WORDS[self as usize].0
    }

    /// True for those whose records are lines of text (`AzureDiagnostics`).
    pub fn is_legacy(self) -> bool {
        matches!(self, Category::LegacyApplicationRule | Category::LegacyDnsProxy | Category::LegacyNetworkRule)
    }

    /// False for those that Egret has nothing for: it knows no signatures, and what the messages of `AZFWDnsAdditional`
    /// look like is not published.
    pub fn is_emulated(self) -> bool {
        !matches!(self, Category::DnsAdditional | Category::IdpsSignature)
    }
}

/// The categories that a log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Categories(u32);

impl Default for Categories {
    fn default() -> Categories {
        Categories::USUAL
    }
}

impl Categories {
    /// What Azure writes as soon as it is asked to: not the traces and sums, which cost something.
    const USUAL: Categories = Categories::of(&[
        Category::ApplicationRule,
        Category::DnsQuery,
        Category::FqdnResolveFailure,
        Category::NatRule,
        Category::NetworkRule,
        Category::ThreatIntel,
        Category::LegacyApplicationRule,
        Category::LegacyDnsProxy,
        Category::LegacyNetworkRule,
    ]);
    const LEGACY: Categories =
        Categories::of(&[Category::LegacyApplicationRule, Category::LegacyDnsProxy, Category::LegacyNetworkRule]);

    const fn of(list: &[Category]) -> Categories {
        let mut bits = 0;
        let mut at = 0;
        while at < list.len() {
            bits |= 1 << list[at] as u32;
            at += 1;
        }
        Categories(bits)
    }

    /// These; of a format of which none is named, the usual ones.
    pub fn chosen(list: &[Category]) -> Categories {
        let named = Categories::of(list).0;
        let part = |mask: u32| if named & mask == 0 { Categories::USUAL.0 & mask } else { named & mask };
        Categories(part(Categories::LEGACY.0) | part(!Categories::LEGACY.0))
    }

    pub fn contains(self, category: Category) -> bool {
        self.0 & (1 << category as u32) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_name() {
        for (name, category) in Category::WORDS {
            assert_eq!(category.name(), *name);
            assert_eq!(category.is_legacy(), name.starts_with("AzureFirewall"), "{name}");
        }
    }

    #[test]
    fn what_is_named_stands_for_its_format_alone() {
        let usual = Categories::default();
        assert!(usual.contains(Category::ThreatIntel) && !usual.contains(Category::FlowTrace));
        assert_eq!(Categories::chosen(&[]), usual);
        let traces = Categories::chosen(&[Category::FlowTrace, Category::NatRule]);
        assert!(traces.contains(Category::FlowTrace) && traces.contains(Category::NatRule));
        assert!(!traces.contains(Category::NetworkRule) && traces.contains(Category::LegacyNetworkRule));
        let lines = Categories::chosen(&[Category::LegacyDnsProxy]);
        assert!(lines.contains(Category::NetworkRule) && !lines.contains(Category::LegacyNetworkRule));
    }
}
