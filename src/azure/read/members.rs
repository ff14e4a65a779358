//! Which members groups, collections and rules have, so that a misspelt one is told instead of passed over.

use super::compact::says_something;
use super::notes::{Effect, Notes, Subject};
use super::rules::Form;
use super::words::{RuleType, near};
use crate::azure::json::{Key, Node};
use crate::azure::note::{Note, Severity};

pub(super) const GROUP: &[&[&str]] = &[&["name", "priority", "ruleCollections"]];
pub(super) const COLLECTION: &[&[&str]] = &[&["name", "priority", "action", "ruleCollectionType", "rules"]];

/// What every rule has.
const RULE: &[&str] = &["name", "ruleType", "description", "sourceAddresses", "sourceIpGroups"];
const APPLICATION: &[&str] = &[
    "destinationAddresses",
    "protocols",
    "targetFqdns",
    "fqdnTags",
    "targetUrls",
    "webCategories",
    "terminateTLS",
    "httpHeadersToInsert",
];
const NETWORK: &[&str] =
    &["destinationAddresses", "destinationIpGroups", "destinationFqdns", "destinationPorts", "ipProtocols"];
const NAT: &[&str] = &[
    "destinationAddresses",
    "destinationPorts",
    "ipProtocols",
    "translatedAddress",
    "translatedPort",
    "translatedFqdn",
];
/// Of network and NAT rules of firewalls without a policy, in place of `ipProtocols`.
const CLASSIC: &[&str] = &["protocols"];

/// What Azure and its tools write beside, and what says nothing of any flow.
const HARMLESS: &[&str] = &[
    "id",
    "etag",
    "type",
    "provisioningState",
    "resourceGroup",
    "resourceGuid",
    "description",
    "size",
    "location",
    "tags",
    "comments",
    "comment",
    "metadata",
    "apiVersion",
    "dependsOn",
];

/// The members of a rule of this type.
pub(super) fn of_rule(kind: RuleType, form: Form) -> Vec<&'static [&'static str]> {
    let own = match kind {
        RuleType::Application => APPLICATION,
        RuleType::Network => NETWORK,
        RuleType::Nat => NAT,
    };
    let mut members = vec![RULE, own];
    if form == Form::Classic {
        members.push(CLASSIC);
    }
    members
}

impl Notes {
    /// Tells the members that nobody reads: in what denies, one of them may be why Azure denies more.
    pub(super) fn strangers(&mut self, subject: &Subject<'_>, known: &[&[&'static str]]) {
        let names = || known.iter().copied().flatten().copied();
        let strange = |(key, node): &&(Key, Node)| {
            let is_known = names().chain(HARMLESS.iter().copied()).any(|name| name.eq_ignore_ascii_case(&key.name));
            !is_known && !is_aside(&key.name) && says_something(node)
        };
        for (key, _) in subject.object.iter().filter(strange) {
            let severity = match subject.effect {
                Effect::Allows => Severity::Warning,
                Effect::Denies => Severity::Doubt,
            };
            let what = format!("`{}` of {} is not known here, and not read", key.name, subject.what);
            let mend = near(&key.name, names()).map(|near| format!("did you mean `{near}`?"));
            self.push(Note { mend, ..Note::new(severity, key.at, what) });
        }
    }
}

/// `_comment`, `$schema`, `//`: what people write to themselves, and to their editors.
fn is_aside(name: &str) -> bool {
    name.starts_with(['_', '$', '#', '/', '@'])
}
