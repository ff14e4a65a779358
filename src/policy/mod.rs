//! The policy engine: a tree of rules in, decisions out. Pure: no I/O, no clock, no log.
//!
//! [`RuleSet`] is what people write. [`Policy`] is compiled from it once and asked for every flow.
//! [`walk`] evaluates the tree rule by rule: slow, obviously right, the text of `--explain` and the oracle
//! that the compiled policy is tested against.

mod address;
mod applications;
mod categories;
pub(crate) mod chains;
mod compiled;
mod decision;
mod digest;
mod endpoints;
mod guard;
mod insertion;
pub(crate) mod names;
mod networks;
mod order;
mod pattern;
mod ports;
mod settings;
mod sources;
mod spot;
mod switches;
mod threat_index;
mod threats;
mod tree;
mod walk;

pub use address::{AddressError, AddressRange, AddressSet, NamedKind, NamedRanges};
pub use categories::RuleCategories;
pub use compiled::Policy;
pub use decision::{Address, Decision, Denied, Direction, Permit, Query, RuleId, RuleKind, RuleName};
pub use guard::PrivateAddresses;
pub use insertion::{HeaderInsertion, InsertionError};
pub use order::{AnyRule, OrderedRule, in_order};
pub(crate) use pattern::compile_glob;
pub use pattern::{FqdnPattern, PathPattern, PatternError, UrlPattern};
pub use settings::{
    DnsSettings, ExplicitProxySettings, PolicySettings, SnatSettings, ThreatIntelSettings, ThreatMode, Tier,
};
pub use spot::Spot;
pub use switches::{DnatDeny, Switches};
pub use threats::{Feed, Indicator, Sign, SignError, ThreatId, ThreatIntel};
pub use tree::{
    About, Action, AppProtocol, ApplicationRule, DnatRule, FqdnTag, IpProtocols, NetworkRule, PolicyRules, Priority,
    PriorityError, RuleCollection, RuleCollectionGroup, RuleSet, Rules, ServiceEndpoint, Translated, WebCategory,
};
pub use walk::{Explanation, Miss, Step, walk};

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;
