//! The rules that every security group has behind its own.

use std::sync::LazyLock;

use crate::flow::PortRange;
use crate::policy::{Action, Spot};

use super::super::topology::{Prefix, RuleSide, SecurityProtocol, SecurityRule};
use super::FlowDirection;

/// The lowest priority of a default rule; one's own end at 4096.
pub(in super::super) const FIRST: u16 = 65000;

/// As ARM names them (azure-docs, network-security-groups-overview.md, 2025; REST examples of 2021).
const DEFAULTS: [(FlowDirection, &str, u16, &str, &str, Action); 6] = [
    (FlowDirection::Inbound, "AllowVnetInBound", FIRST, "VirtualNetwork", "VirtualNetwork", Action::Allow),
    (FlowDirection::Inbound, "AllowAzureLoadBalancerInBound", 65001, "AzureLoadBalancer", "*", Action::Allow),
    (FlowDirection::Inbound, "DenyAllInBound", 65500, "*", "*", Action::Deny),
    (FlowDirection::Outbound, "AllowVnetOutBound", FIRST, "VirtualNetwork", "VirtualNetwork", Action::Allow),
    (FlowDirection::Outbound, "AllowInternetOutBound", 65001, "*", "Internet", Action::Allow),
    (FlowDirection::Outbound, "DenyAllOutBound", 65500, "*", "*", Action::Deny),
];

static RULES: LazyLock<Vec<SecurityRule>> = LazyLock::new(|| {
    let rule = |(direction, name, priority, from, to, access): (_, &str, _, _, _, _)| SecurityRule {
        name: name.to_owned(),
        priority,
        direction,
        access,
        protocol: SecurityProtocol::Any,
        source: side(from),
        destination: side(to),
        at: Spot::nowhere(),
    };
    DEFAULTS.into_iter().map(rule).collect()
});

/// The six default rules, inbound first, each direction in its order.
pub fn default_security_rules() -> &'static [SecurityRule] {
    &RULES
}

fn side(prefix: &str) -> RuleSide {
    let prefix = if prefix == "*" { Prefix::Any } else { Prefix::Tag(prefix.to_owned()) };
    RuleSide { prefixes: vec![prefix], ports: vec![PortRange::ANY], ..RuleSide::default() }
}
