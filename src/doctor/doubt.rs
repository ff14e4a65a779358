//! Service tags whose prefixes are not at hand: what they would change is not known.
//!
//! Nothing is in such a tag where security groups and routes are asked. So each rule is asked twice more: with all that
//! is known of Azure in the tags that let through, and with all of it in those that deny or lead astray. What comes out
//! the same is known; what does not is said not to be.

use crate::policy::{Action, AddressRange, Spot};
use crate::vnet::{Network, NextHop, Prefix, RouteDestination, SecurityRule, Tags, Topology};

use super::Patient;
use super::finding::{Evidence, Finding, Outcome, Severity};
use super::spans;
use super::words::some;

/// Those whose prefixes make up what is known of Azure.
const AZURE: [&str; 7] =
    ["AzureActiveDirectory", "AzureKeyVault", "AzureMonitor", "AzureResourceManager", "EventHub", "Sql", "Storage"];

/// The tag that holds them all.
const WHOLE: &str = "AzureCloud";

/// What the unknown tags might come to.
pub(super) struct Doubt {
    best: Network,
    worst: Network,
    uses: Vec<Use>,
}

/// Where an unknown tag stands.
struct Use {
    tag: String,
    /// `service tag AzureCloud of security rule ase-nsg/management (100): its prefixes are not at hand`
    what: String,
    at: Spot,
}

/// What a tag does where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Helps,
    Harms,
}

impl Doubt {
    /// None where all tags of the subnet's group and routes are known, or hold nothing that is needed.
    pub(super) fn of(patient: &Patient<'_>) -> Option<Doubt> {
        let uses = uses(patient);
        if uses.is_empty() {
            return None;
        }
        let network = |wanted: Effect| {
            let mut topology = patient.network.topology().clone();
            let tags = patient.network.tags();
            let known = uses.iter().fold(tags.clone(), |all, it| match assumed(tags, &it.tag) {
                Some(ranges) => all.assuming(&it.tag, &ranges),
                None => all,
            });
            let is_used = |tag: &str| uses.iter().any(|it| it.tag.eq_ignore_ascii_case(tag));
            hide(&mut topology, |tag, effect| effect != wanted && is_used(tag));
            Network::new(topology, known)
        };
        Some(Doubt { best: network(Effect::Helps), worst: network(Effect::Harms), uses })
    }

    /// What is known of a rule. `asked` is what came of it with nothing in the tags.
    pub(super) fn judge(&self, patient: &Patient<'_>, asked: Outcome, look: fn(&Patient<'_>) -> Outcome) -> Outcome {
        let [best, worst] = [&self.best, &self.worst].map(|network| look(&Patient { network, ..*patient }));
        let [at_best, as_asked, at_worst] = [&best, &asked, &worst].map(gravity);
        let certain = if at_best == as_asked { &asked } else { &best };
        let mut findings = certain.findings().to_vec();
        if at_best == as_asked && said(&best) != said(&asked) {
            findings.iter_mut().for_each(|finding| self.explain(finding));
        }
        let graver = if at_worst > as_asked { &worst } else { &asked };
        let doubtful = graver.findings().iter().find(|_| gravity(graver) > at_best);
        findings.extend(doubtful.map(|it| self.not_known(it)));
        match (findings.is_empty(), asked) {
            (true, Outcome::NotApplicable(why)) => Outcome::NotApplicable(why),
            _ => Outcome::from(findings),
        }
    }

    fn not_known(&self, finding: &Finding) -> Finding {
        let what = format!(
            "whether {} is not known: the prefixes of {} are not at hand",
            finding.rule.title,
            some(self.tags())
        );
        let mut doubt = Finding::new(finding.rule, finding.at, &finding.subject, what)
            .graded(finding.severity.min(Severity::Degraded))
            .by_hand("say what the tags hold: --service-tags FILE, the ServiceTags_….json that Azure publishes for the cloud");
        self.explain(&mut doubt);
        doubt
    }

    fn explain(&self, finding: &mut Finding) {
        let told = |it: &Use| Evidence { coverage: None, what: it.what.clone(), at: it.at };
        finding.evidence.extend(self.uses.iter().map(told));
    }

    fn tags(&self) -> Vec<&str> {
        let mut tags: Vec<&str> = Vec::new();
        for Use { tag, .. } in &self.uses {
            if !tags.iter().any(|known| known.eq_ignore_ascii_case(tag)) {
                tags.push(tag);
            }
        }
        tags
    }
}

/// None is less than any.
fn gravity(outcome: &Outcome) -> Option<Severity> {
    outcome.findings().iter().map(|finding| finding.severity).max()
}

fn said(outcome: &Outcome) -> Vec<&str> {
    outcome.findings().iter().map(|finding| finding.what.as_str()).collect()
}

/// What might be in a tag: of the regional part of a known one all of it, and of what holds all of Azure all that is known.
fn assumed(tags: &Tags, tag: &str) -> Option<Vec<AddressRange>> {
    let whole = tag.split('.').next().unwrap_or(tag);
    if tags.published(tag).is_some() {
        return None;
    }
    if whole.eq_ignore_ascii_case(WHOLE) {
        let services = AZURE.iter().filter_map(|tag| tags.published(tag)).flat_map(|ranges| ranges.to_vec());
        return Some(spans::joined(services.chain(tags.management()))).filter(|all| !all.is_empty());
    }
    tags.published(whole).map(|ranges| ranges.to_vec())
}

fn uses(patient: &Patient<'_>) -> Vec<Use> {
    let tags = patient.network.tags();
    let is_unknown = |tag: &str| assumed(tags, tag).is_some();
    let told = |tag: &str, of: String, at: Spot| Use {
        tag: tag.to_owned(),
        what: format!("service tag {tag} of {of}: its prefixes are not at hand"),
        at,
    };
    let mut uses = Vec::new();
    if let Some(group) = patient.network.security_group_of(patient.place) {
        for rule in &group.rules {
            let of = || format!("security rule {}/{} ({})", group.name, rule.name, rule.priority);
            let unknown = prefixes(rule).filter_map(tag_of).filter(|tag| is_unknown(tag));
            uses.extend(unknown.map(|tag| told(tag, of(), rule.at)));
        }
    }
    if let Some(table) = patient.network.route_table_of(patient.place) {
        for route in &table.routes {
            let RouteDestination::Tag(tag) = &route.destination else { continue };
            if is_unknown(tag) {
                uses.push(told(tag, format!("route {}/{}", table.name, route.name), route.at));
            }
        }
    }
    uses
}

fn prefixes(rule: &SecurityRule) -> impl Iterator<Item = &Prefix> {
    rule.source.prefixes.iter().chain(&rule.destination.prefixes)
}

fn tag_of(prefix: &Prefix) -> Option<&str> {
    match prefix {
        Prefix::Tag(tag) => Some(tag),
        Prefix::Any | Prefix::Net(_) => None,
    }
}

/// Gives tags a name that nobody has where they stand for what is not wanted.
fn hide(topology: &mut Topology, is_hidden: impl Fn(&str, Effect) -> bool) {
    let hidden = |tag: &mut String, effect| {
        if is_hidden(tag, effect) {
            tag.insert_str(0, "unknown:");
        }
    };
    for rule in topology.security_groups.iter_mut().flat_map(|group| &mut group.rules) {
        let effect = if rule.access == Action::Allow { Effect::Helps } else { Effect::Harms };
        for prefix in rule.source.prefixes.iter_mut().chain(&mut rule.destination.prefixes) {
            if let Prefix::Tag(tag) = prefix {
                hidden(tag, effect);
            }
        }
    }
    for route in topology.route_tables.iter_mut().flat_map(|table| &mut table.routes) {
        let effect = if route.next_hop == NextHop::Internet { Effect::Helps } else { Effect::Harms };
        if let RouteDestination::Tag(tag) = &mut route.destination {
            hidden(tag, effect);
        }
    }
}
