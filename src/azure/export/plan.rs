//! Rules as the resources that Azure would hold them in: names, priorities and values that it takes.
//!
//! What it does not take is left out, or widened where that was asked for, and a note says so.

use crate::azure::note::{Note, Severity};
use crate::policy::{NamedRanges, PolicyRules, Priority, RuleCollectionGroup, RuleSet, Spot};

use super::names::{Names, Shortest};
use super::rules::RulePlanner;
use super::settings;
use super::tree::{Fields, Target, Tree};
use super::{Options, Widen};

/// Resources in the order in which they can be made.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub ip_groups: Vec<IpGroup>,
    /// A parent before its child.
    pub policies: Vec<Policy>,
    pub notes: Vec<Note>,
}

#[derive(Debug)]
pub(super) struct IpGroup {
    pub name: String,
    pub addresses: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Policy {
    pub name: String,
    pub location: Option<String>,
    /// Beside the properties: `tags`, `identity`.
    pub rest: Fields,
    pub properties: Fields,
    pub groups: Vec<Group>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub name: String,
    pub priority: u16,
    pub collections: Vec<Collection>,
}

#[derive(Debug)]
pub(super) struct Collection {
    pub name: String,
    pub priority: u16,
    pub action: CollectionAction,
    /// Objects with ARM's names.
    pub rules: Vec<Tree>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CollectionAction {
    Dnat,
    Allow,
    Deny,
}

impl CollectionAction {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            CollectionAction::Dnat => "DNAT",
            CollectionAction::Allow => "Allow",
            CollectionAction::Deny => "Deny",
        }
    }
}

impl Group {
    /// Its `ruleCollections`, as ARM has them.
    pub(super) fn rule_collections(&self) -> Tree {
        Tree::List(self.collections.iter().map(Collection::arm).collect())
    }
}

impl Collection {
    fn arm(&self) -> Tree {
        let Collection { name, priority, action, rules } = self;
        let kind = match action {
            CollectionAction::Dnat => "FirewallPolicyNatRuleCollection",
            CollectionAction::Allow | CollectionAction::Deny => "FirewallPolicyFilterRuleCollection",
        };
        let text = |text: &str| Tree::Text(text.to_owned());
        Tree::Object(vec![
            ("ruleCollectionType".to_owned(), text(kind)),
            ("name".to_owned(), text(name)),
            ("priority".to_owned(), Tree::number(*priority)),
            ("action".to_owned(), Tree::Object(vec![("type".to_owned(), text(action.as_str()))])),
            ("rules".to_owned(), Tree::List(rules.clone())),
        ])
    }
}

/// Policies that become one, in the order of their precedence.
struct Unit<'r> {
    policies: Vec<&'r PolicyRules>,
    /// Its parent is the unit before it.
    is_child: bool,
}

/// A policy that names the one before it as its base stays its child. All others have no such bond in Azure, where a
/// firewall has one policy: they become one, which decides the same when their groups keep their order.
fn units(rules: &RuleSet) -> Vec<Unit<'_>> {
    let mut units: Vec<Unit<'_>> = Vec::new();
    for policy in &rules.policies {
        let before = units.last().and_then(|unit| unit.policies.last());
        let is_child = before.is_some_and(|before| is_base(policy, before));
        match units.last_mut() {
            Some(unit) if !is_child => unit.policies.push(policy),
            _ => units.push(Unit { policies: vec![policy], is_child }),
        }
    }
    if units.is_empty() {
        units.push(Unit { policies: Vec::new(), is_child: false });
    }
    units
}

fn is_base(policy: &PolicyRules, before: &PolicyRules) -> bool {
    let base = policy.settings.base_policy.as_deref().map(leaf);
    base.is_some_and(|base| !base.is_empty() && base.eq_ignore_ascii_case(leaf(&before.name)))
}

/// The name at the end of a resource id.
pub(super) fn leaf(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

impl Plan {
    pub(super) fn new(rules: &RuleSet, options: &Options, shortest: Shortest) -> Plan {
        let mut planner = Planner {
            plan: Plan::default(),
            ip_groups: Vec::new(),
            names: Names::new(shortest),
            shortest,
            renamed: Vec::new(),
            options,
        };
        let units = units(rules);
        let mut names = Names::new(shortest);
        for (number, unit) in units.iter().enumerate() {
            let last = number + 1 == units.len();
            let name = planner.name_of(unit, last, &mut names);
            planner.policy(unit, name);
        }
        planner.surroundings(rules);
        planner.tell_renamed();
        let mut plan = planner.plan;
        super::limits::check(&mut plan);
        plan
    }
}

pub(super) struct Planner<'r> {
    pub plan: Plan,
    /// Those of the plan, as rules have them.
    ip_groups: Vec<NamedRanges>,
    names: Names,
    shortest: Shortest,
    /// Rules whose names Azure does not take, each with what it is called instead.
    pub renamed: Vec<(String, String)>,
    options: &'r Options,
}

impl<'r> Planner<'r> {
    fn name_of(&mut self, unit: &Unit<'_>, last: bool, names: &mut Names) -> String {
        let own = unit.policies.last().map_or("", |policy| policy.name.as_str());
        let wanted = self.options.name.as_deref().filter(|_| last).unwrap_or(own);
        let name = names.take(leaf(wanted), "policy");
        if name != wanted && !wanted.is_empty() {
            let at = unit.policies.last().map_or(Spot::nowhere(), |policy| policy.at);
            self.tell(Severity::Info, at, format!("the policy `{wanted}` is written as `{name}`"));
        }
        name
    }

    fn policy(&mut self, unit: &Unit<'r>, name: String) {
        let parent = unit.is_child.then(|| Target::Policy(self.plan.policies.len() - 1));
        let merged: Vec<&str> = unit.policies.iter().map(|policy| policy.name.as_str()).collect();
        if merged.len() > 1 {
            let what = format!("the policies {} become one, `{name}`", merged.join(", "));
            self.tell(Severity::Info, Spot::nowhere(), what);
        }
        let groups = self.groups(unit);
        let settings = settings::of_unit(&unit.policies, &mut self.plan.notes);
        let shape = settings::plan(&settings, parent, settings::needs_premium(&groups), &mut self.plan.notes);
        let settings::Shape { location, rest, properties } = shape;
        let location = self.options.location.clone().or(location);
        self.plan.policies.push(Policy { name, location, rest, properties, groups });
    }

    fn groups(&mut self, unit: &Unit<'r>) -> Vec<Group> {
        let ordered = unit.policies.iter().flat_map(|policy| by_priority(&policy.groups, |group| group.priority));
        let groups: Vec<&RuleCollectionGroup> = ordered.collect();
        let priorities = distinct(groups.iter().map(|group| group.priority.get()));
        let mut names = Names::new(self.shortest);
        let mut planned = Vec::with_capacity(groups.len());
        for (group, priority) in groups.into_iter().zip(priorities) {
            self.tell_priority("group", &group.name, group.priority, priority, group.at);
            let name = names.take(&group.name, "rules");
            if name != group.name && !group.name.is_empty() {
                self.tell(Severity::Info, group.at, format!("the group `{}` is written as `{name}`", group.name));
            }
            let collections = self.collections(group);
            planned.push(Group { name, priority, collections });
        }
        planned
    }

    fn collections(&mut self, group: &'r RuleCollectionGroup) -> Vec<Collection> {
        let collections = by_priority(&group.collections, |collection| collection.priority);
        let priorities = distinct(collections.iter().map(|collection| collection.priority.get()));
        let mut names = Names::new(self.shortest);
        let mut planned = Vec::with_capacity(collections.len());
        for (collection, priority) in collections.into_iter().zip(priorities) {
            self.tell_priority("collection", &collection.name, collection.priority, priority, collection.at);
            let name = names.take(&collection.name, "rules");
            if name != collection.name && !collection.name.is_empty() {
                let what = format!("the collection `{}` is written as `{name}`", collection.name);
                self.tell(Severity::Info, collection.at, what);
            }
            let (action, rules) = RulePlanner::new(self, &group.name, &collection.name).rules(&collection.rules);
            planned.push(Collection { name, priority, action, rules });
        }
        planned
    }

    fn tell_priority(&mut self, what: &str, name: &str, was: Priority, is: u16, at: Spot) {
        if was.get() != is {
            let why = "another has the same or comes before it";
            let what = format!("the {what} `{name}` is written with priority {is} instead of {was}: {why}");
            self.tell(Severity::Warning, at, what);
        }
    }

    /// One note for all of them: lists of hosts have one for each.
    fn tell_renamed(&mut self) {
        let Some((was, is)) = self.renamed.first() else { return };
        let others = match self.renamed.len() - 1 {
            0 => String::new(),
            others => format!(", and {others} more are renamed"),
        };
        let who_takes = match self.shortest {
            Shortest::One => "Azure takes letters, digits and `_.-`",
            Shortest::Two => "the provider takes letters, digits and `_.-`, two of them at least",
        };
        let what = format!("the rule `{was}` is written as `{is}`{others}: {who_takes}");
        self.tell(Severity::Info, Spot::nowhere(), what);
    }

    /// What is no part of a firewall policy.
    fn surroundings(&mut self, rules: &RuleSet) {
        for rule in &rules.infrastructure {
            let what = format!("the infrastructure rule `{}` is Azure's own and is left out", rule.name);
            self.tell(Severity::Warning, rule.about.at, what);
        }
        if !rules.service_endpoints.is_empty() {
            let services: Vec<&str> = rules.service_endpoints.iter().map(|it| it.service.as_str()).collect();
            let what = format!("the service endpoints {} are the subnet's, not the policy's", services.join(", "));
            let mend = format!("az network vnet subnet update --service-endpoints {} …", services.join(" "));
            self.plan.notes.push(Note::new(Severity::Warning, Spot::nowhere(), what).mend(mend));
        }
    }

    /// The IP group of the plan that these ranges are.
    pub(super) fn ip_group(&mut self, group: &NamedRanges) -> Target {
        if let Some(known) = self.ip_groups.iter().position(|known| known == group) {
            return Target::IpGroup(known);
        }
        let name = self.names.take(leaf(&group.name), "addresses");
        if group.ranges.iter().any(|range| !range.first().is_ipv4()) {
            let what = format!("the IP group `{}`: IPv6 addresses are left out", group.name);
            self.tell(Severity::Error, Spot::nowhere(), what);
        }
        let addresses = group.ranges.iter().filter(|range| range.first().is_ipv4()).map(ToString::to_string);
        self.plan.ip_groups.push(IpGroup { name, addresses: addresses.collect() });
        self.ip_groups.push(group.clone());
        Target::IpGroup(self.ip_groups.len() - 1)
    }

    /// For the rules of a collection.
    pub(super) fn names(&self) -> Names {
        Names::new(self.shortest)
    }

    pub(super) fn widen(&self) -> Widen {
        self.options.widen
    }

    pub(super) fn tell(&mut self, severity: Severity, at: Spot, what: String) {
        self.plan.notes.push(Note::new(severity, at, what));
    }
}

fn by_priority<T>(items: &[T], priority: impl Fn(&T) -> Priority) -> Vec<&T> {
    let mut ordered: Vec<&T> = items.iter().collect();
    ordered.sort_by_key(|item| priority(item));
    ordered
}

/// Each larger than the one before it, and unchanged where it was; evenly spaced where there is no room for that.
fn distinct(wanted: impl Iterator<Item = u16>) -> Vec<u16> {
    let wanted: Vec<u16> = wanted.collect();
    let mut next = 100_u32;
    let mut given = Vec::with_capacity(wanted.len());
    for priority in &wanted {
        let priority = u32::from(*priority).max(next);
        next = priority + 1;
        given.push(priority);
    }
    if next > 65_001 {
        let step = (64_900 / wanted.len()).max(1);
        given = (0..wanted.len()).map(|i| u32::try_from(100 + i * step).unwrap_or(u32::MAX)).collect();
    }
    given.into_iter().map(|priority| u16::try_from(priority).unwrap_or(65_000)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_told_apart_and_keep_their_order() {
        let check = |wanted: &[u16], given: &[u16]| assert_eq!(distinct(wanted.iter().copied()), given, "{wanted:?}");
        check(&[100, 200, 300], &[100, 200, 300]);
        check(&[100, 100, 100, 102, 200], &[100, 101, 102, 103, 200]);
        check(&[300, 100], &[300, 301]);
        check(&[65_000, 65_000], &[100, 32_550]);
        check(&[], &[]);
    }
}
