//! The policy engine: a tree of rules in, decisions out. Pure: no I/O, no clock, no log.
//!
//! [`RuleSet`] is what people write. [`Policy`] is compiled from it once and asked for every flow.
//! [`walk`] evaluates the tree rule by rule: slow, obviously right, the text of `--explain` and the oracle
//! that the compiled policy is tested against.

mod address;
mod applications;
pub(crate) mod chains;
mod compiled;
mod decision;
mod endpoints;
mod guard;
pub(crate) mod names;
mod networks;
mod order;
mod pattern;
mod ports;
mod settings;
mod sources;
mod spot;
mod switches;
mod tree;
mod walk;

pub use address::{AddressError, AddressRange, AddressSet, NamedKind, NamedRanges};
pub use compiled::Policy;
pub use decision::{Address, Decision, Denied, Direction, Permit, Query, RuleId, RuleName};
pub use guard::PrivateAddresses;
pub use order::{AnyRule, OrderedRule, in_order};
pub(crate) use pattern::compile_glob;
pub use pattern::{FqdnPattern, PathPattern, PatternError, UrlPattern};
pub use settings::{
    DnsSettings, ExplicitProxySettings, PolicySettings, SnatSettings, ThreatIntelSettings, ThreatMode, Tier,
};
pub use spot::Spot;
pub use switches::{DnatDeny, Switches};
pub use tree::{
    About, Action, AppProtocol, ApplicationRule, DnatRule, FqdnTag, HeaderInsertion, IpProtocols, NetworkRule,
    PolicyRules, Priority, PriorityError, RuleCollection, RuleCollectionGroup, RuleSet, Rules, ServiceEndpoint,
    Translated, WebCategory,
};
pub use walk::{Explanation, Miss, Step, walk};

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;
