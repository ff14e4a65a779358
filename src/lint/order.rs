//! What the whole order of evaluation does to a rule: shadowed, contradicted, dead, unreachable, never matching.
//!
//! The analysis is that of [`flows`](super::flows); here it is put into words. Rules that nobody wrote (built-in lists,
//! Azure's infrastructure collection) shadow others, but are not complained of.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::flow::Protocol;
use crate::policy::{
    About, Action, AddressSet, AnyRule, ApplicationRule, DnatRule, NetworkRule, OrderedRule, Policy, RuleId, RuleSet,
    Switches, ThreatIntel,
};

use super::finding::{Check, Finding, checks};
use super::flows::{Cover, Outcome, Reach, Witness, reach};
use super::place::{is_written, subject};

const RULES: &str = "https://learn.microsoft.com/azure/firewall/rule-processing";

checks! {
    /// In the order of `docs/lint.md`.
    CHECKS:

    DEAD_APPLICATION_RULE = "dead-application-rule", Warning, Some(1), RULES,
        "a network rule leaves application rules nothing to decide",
        "Network rules are looked at before all application rules, whatever their priorities, and the first match ends it. What the application rules say of these flows (names, tags, categories, logs) counts for nothing.";
    CONTRADICTED_RULE = "contradicted-rule", Warning, None, RULES,
        "an earlier rule decides the opposite of all that a rule says",
        "Every flow that the rule matches has been decided the other way by then: what it is meant to deny is allowed, or what it is meant to allow is denied.";
    DUPLICATE_RULE = "duplicate-rule", Warning, None, RULES,
        "a rule says what an earlier one says",
        "The second of two rules that match the same and do the same never decides anything. Whoever changes one of them later will wonder why nothing happens.";
    SHADOWED_RULE = "shadowed-rule", Warning, None, RULES,
        "an earlier rule matches all that a rule matches",
        "Every flow that the rule matches is decided alike by the earlier rule: it can go, and with it what it costs of the limits. Its own name never shows in a log.";
    UNREACHABLE_RULE = "unreachable-rule", Warning, None, RULES,
        "several earlier rules match between them all that a rule matches",
        "No single one of them covers it, but together they leave it no flow to decide.";
    NEVER_MATCHES = "never-matches", Warning, None, RULES,
        "there is no flow that a rule matches",
        "It lacks something that every match needs: a source, a destination, a protocol, a port, or members of what it names.";
}

/// What was found, and how far the search went.
pub struct WholeOrder {
    pub findings: Vec<Finding>,
    /// Rules that more flows would have to be asked about than are asked about: nothing is said of them.
    pub undecided: usize,
    /// Globs meet in more ways than were looked at: what is said of rules with globs is not proven.
    pub globs_are_sampled: bool,
}

/// Looks at every rule of every pass.
pub fn whole_order(set: &RuleSet, switches: Switches) -> WholeOrder {
    // Threat intelligence is no rule: what it denies, a rule still stands for.
    let rules_alone = RuleSet { threat_intel: ThreatIntel::default(), ..set.clone() };
    let policy = Policy::compile(Arc::new(rules_alone), switches);
    let Reach { rules, outcomes, globs_are_sampled } = reach(set, &policy, switches);
    let undecided = outcomes.iter().filter(|outcome| **outcome == Outcome::Undecided).count();
    let mut findings = Vec::new();
    let mut dead: BTreeMap<RuleId, Vec<RuleId>> = BTreeMap::new();
    let order = Order { set, rules: &rules, first: first_of_each(&rules) };
    for (outcome, number) in outcomes.iter().zip(0..).filter(|(_, number)| order.is_complained_of(RuleId(*number))) {
        let rule = RuleId(number);
        match outcome {
            Outcome::Reached(_) | Outcome::Undecided => {}
            Outcome::Never => findings.extend(order.never(rule)),
            Outcome::Covered { by, witness } => match by.as_slice() {
                [Cover::Rule(by)] if order.kills(*by, rule) => dead.entry(*by).or_default().push(rule),
                [by] => findings.push(order.covered_by_one(rule, *by, witness)),
                several => findings.push(order.covered_by_several(rule, several, witness)),
            },
        }
    }
    findings.extend(dead.iter().map(|(by, rules)| order.dead(*by, rules, witness_of(&outcomes, rules))));
    WholeOrder { findings, undecided, globs_are_sampled }
}

fn witness_of<'a>(outcomes: &'a [Outcome], rules: &[RuleId]) -> Option<&'a Witness> {
    rules.iter().find_map(|rule| match &outcomes[rule.0 as usize] {
        Outcome::Covered { witness, .. } => Some(witness),
        _ => None,
    })
}

struct Order<'o, 'a> {
    set: &'a RuleSet,
    rules: &'o [OrderedRule<'a>],
    /// Of rules that say the same, the first.
    first: HashMap<Sense<'a>, RuleId>,
}

/// What a rule says, whatever it is called.
#[derive(PartialEq, Eq, Hash)]
enum Sense<'a> {
    Dnat(DnatRule),
    Network(Action, NetworkRule),
    Application(Action, ApplicationRule),
    Infrastructure(&'a ApplicationRule),
}

fn first_of_each<'a>(rules: &[OrderedRule<'a>]) -> HashMap<Sense<'a>, RuleId> {
    let mut first = HashMap::with_capacity(rules.len());
    for (rule, number) in rules.iter().zip(0..) {
        first.entry(sense(rule.rule)).or_insert(RuleId(number));
    }
    first
}

fn sense(rule: AnyRule<'_>) -> Sense<'_> {
    let about = About::default;
    match rule {
        AnyRule::Dnat(rule) => Sense::Dnat(DnatRule { name: String::new(), about: about(), ..rule.clone() }),
        AnyRule::Network(action, rule) => {
            Sense::Network(action, NetworkRule { name: String::new(), about: about(), ..rule.clone() })
        }
        AnyRule::Application(action, rule) => {
            Sense::Application(action, ApplicationRule { name: String::new(), about: about(), ..rule.clone() })
        }
        AnyRule::Infrastructure(rule) => Sense::Infrastructure(rule),
    }
}

/// Rules that a finding names; the rest is counted.
const NAMED: usize = 3;
/// Places that a finding points to.
const RELATED: usize = 20;

impl<'a> Order<'_, 'a> {
    fn rule(&self, id: RuleId) -> OrderedRule<'a> {
        self.rules[id.0 as usize]
    }

    fn is_complained_of(&self, id: RuleId) -> bool {
        let rule = self.rule(id).rule;
        !matches!(rule, AnyRule::Infrastructure(_)) && is_written(about_of(rule).at)
    }

    /// Does a network rule keep an application rule from being looked at?
    fn kills(&self, by: RuleId, rule: RuleId) -> bool {
        matches!((self.rule(by).rule, self.rule(rule).rule), (AnyRule::Network(..), AnyRule::Application(..)))
    }

    fn name(&self, id: RuleId) -> String {
        let OrderedRule { policy, group, collection, rule } = self.rule(id);
        subject(&[policy, group, collection, rule.name()])
    }

    fn cover(&self, cover: Cover) -> String {
        match cover {
            Cover::Rule(rule) => format!("`{}`", self.name(rule)),
            Cover::Endpoint(number) => {
                let endpoint = self.set.service_endpoints.get(number as usize);
                format!("the service endpoint {}", endpoint.map_or("", |endpoint| &endpoint.service))
            }
        }
    }

    fn finding(&self, check: &'static Check, rule: RuleId, what: String) -> Finding {
        Finding::new(check, about_of(self.rule(rule).rule).at, self.name(rule), what)
    }

    fn covered_by_one(&self, rule: RuleId, by: Cover, witness: &Witness) -> Finding {
        let shown = shown(Some(witness));
        let Cover::Rule(other) = by else {
            let what = format!("{} takes all that it matches past the firewall{shown}", self.cover(by));
            return self.finding(&SHADOWED_RULE, rule, what).mend("remove it, or the service endpoint of the subnet");
        };
        let (mine, its) = (self.rule(rule).rule.action(), self.rule(other).rule.action());
        let is_same = self.first.get(&sense(self.rule(rule).rule)) == Some(&other);
        let cover = self.cover(by);
        let (check, what, mend) = if is_same {
            let what = format!("it says what {cover} says, which comes before it");
            (&DUPLICATE_RULE, what, "remove one of the two".to_owned())
        } else if mine == its {
            let what = format!("{cover} comes before it and {} all that it matches{shown}", does(its));
            (&SHADOWED_RULE, what, format!("remove it, or narrow {cover}"))
        } else {
            let what =
                format!("it never {} anything: {cover} {} all that it matches before{shown}", does(mine), does(its));
            (&CONTRADICTED_RULE, what, format!("put it before {cover}, or remove it"))
        };
        self.finding(check, rule, what)
            .mend(mend)
            .with(about_of(self.rule(other).rule).at, does(its).to_owned() + " it all before")
    }

    fn covered_by_several(&self, rule: RuleId, by: &[Cover], witness: &Witness) -> Finding {
        let mine = self.rule(rule).rule.action();
        let opposite = by.iter().filter(|cover| self.action(**cover) != mine).count();
        let names = listed(by.iter().map(|cover| self.cover(*cover)), by.len());
        let how = match opposite {
            0 => format!("all of them {} too", plural(mine)),
            all if all == by.len() => "all of them decide the opposite".to_owned(),
            some => format!("{some} of them decide the opposite"),
        };
        let what = format!("{names} match between them all that it matches; {how}{}", shown(Some(witness)));
        let mut finding = self.finding(&UNREACHABLE_RULE, rule, what).mend("remove it, or put it before them");
        for cover in by.iter().take(RELATED) {
            if let Cover::Rule(other) = cover {
                finding = finding.with(about_of(self.rule(*other).rule).at, "matches a part of it before");
            }
        }
        finding
    }

    fn action(&self, cover: Cover) -> Action {
        match cover {
            Cover::Rule(rule) => self.rule(rule).rule.action(),
            Cover::Endpoint(_) => Action::Allow,
        }
    }

    fn dead(&self, by: RuleId, rules: &[RuleId], witness: Option<&Witness>) -> Finding {
        let its = self.rule(by).rule.action();
        let names = listed(rules.iter().map(|rule| format!("`{}`", self.name(*rule))), rules.len());
        let count = if rules.len() == 1 {
            "an application rule".to_owned()
        } else {
            format!("{} application rules", rules.len())
        };
        let opposite = rules.iter().filter(|rule| self.rule(**rule).rule.action() != its).count();
        let against =
            if opposite > 0 { format!(", {opposite} of which would decide the opposite") } else { String::new() };
        let what = format!(
            "it {} all that {count} would decide, before they are looked at{against}: {names}{}",
            does(its),
            shown(witness)
        );
        let mend = "narrow its destinations, ports or sources, or say by application rules what it is to allow";
        let finding = self.finding(&DEAD_APPLICATION_RULE, by, what).mend(mend);
        let related = rules.iter().take(RELATED).map(|rule| (about_of(self.rule(*rule).rule).at, "never looked at"));
        related.fold(finding, |finding, (at, what)| finding.with(at, what))
    }

    /// None where a check of its own says so: an empty IP group, URLs without inspection.
    fn never(&self, rule: RuleId) -> Option<Finding> {
        let (why, mend) = why_never(self.rule(rule).rule)?;
        Some(self.finding(&NEVER_MATCHES, rule, format!("it matches no flow: {why}")).mend(mend))
    }
}

fn why_never(rule: AnyRule<'_>) -> Option<(&'static str, &'static str)> {
    let sources = match rule {
        AnyRule::Dnat(rule) => &rule.sources,
        AnyRule::Network(_, rule) => &rule.sources,
        AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => &rule.sources,
    };
    let skipped = |set: &AddressSet| set.has_empty_group();
    match rule {
        _ if skipped(sources) => None,
        _ if sources.is_empty() => Some(("it has no source", "give it sources; `*` is anybody")),
        AnyRule::Dnat(rule) if skipped(&rule.destinations) => None,
        AnyRule::Network(_, rule) if skipped(&rule.destinations) => None,
        AnyRule::Dnat(DnatRule { destinations, .. }) if destinations.is_empty() => {
            Some(("it has no destination address", "give it the firewall's public address"))
        }
        AnyRule::Network(_, rule) if rule.destinations.is_empty() && rule.fqdns.is_empty() => {
            Some(("no destination that it names has an address", "give it destinations that are known here"))
        }
        AnyRule::Dnat(_) | AnyRule::Network(..) => {
            Some(("no flow has both its protocol and its ports", "give it a protocol and ports that go together"))
        }
        AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => why_never_application(rule),
    }
}

fn why_never_application(rule: &ApplicationRule) -> Option<(&'static str, &'static str)> {
    let names_hosts = !rule.fqdns.is_empty() || rule.categories.iter().any(|category| !category.members.is_empty());
    let has_http = rule.protocols.iter().any(|it| it.protocol == Protocol::Http);
    let names_tags = !rule.tags.is_empty() || !rule.categories.is_empty();
    if rule.protocols.is_empty() && (names_hosts || !rule.urls.is_empty()) {
        Some(("it has targets and no protocol", "give it a protocol, such as Https:443"))
    } else if !rule.urls.is_empty() && !has_http {
        let why = "its target URLs are for encrypted requests only, whose paths Egret does not see";
        rule.terminate_tls.then_some((why, "know that Azure Firewall Premium would match them"))
    } else if names_tags {
        Some(("no tag or category that it names has members here", "give their members with --tag"))
    } else if rule.urls.is_empty() {
        Some(("it has no target", "give it target FQDNs"))
    } else {
        Some(("no path can be what its target URLs want", "mend the paths of its target URLs"))
    }
}

fn about_of(rule: AnyRule<'_>) -> &About {
    match rule {
        AnyRule::Dnat(rule) => &rule.about,
        AnyRule::Network(_, rule) => &rule.about,
        AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => &rule.about,
    }
}

fn does(action: Action) -> &'static str {
    match action {
        Action::Allow => "allows",
        Action::Deny => "denies",
    }
}

fn plural(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    }
}

fn listed(names: impl Iterator<Item = String>, all: usize) -> String {
    let shown: Vec<String> = names.take(NAMED).collect();
    match all - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// One flow of those that are decided otherwise.
fn shown(witness: Option<&Witness>) -> String {
    let asked = witness.and_then(Witness::check_arguments);
    asked.map_or_else(String::new, |arguments| format!(" (egret check {arguments})"))
}
