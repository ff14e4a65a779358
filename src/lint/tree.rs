//! Groups and collections: their names, priorities and sizes.

use std::collections::HashMap;

use crate::policy::{
    AddressSet, ApplicationRule, DnatRule, NetworkRule, PolicyRules, Priority, RuleCollection, RuleCollectionGroup,
    RuleSet, Rules, Spot,
};

use super::catalogue as c;
use super::finding::Finding;
use super::place::{Place, of_group, of_policy};

const MOST_GROUPS: usize = 60;
const MOST_COLLECTIONS: usize = 2_000;
const MOST_PAIRS: usize = 20_000;
const MOST_BYTES: usize = 2_000_000;
const LONGEST_NAME: usize = 80;

/// The groups that the portal makes.
const DEFAULT_GROUPS: [(&str, u16); 3] = [
    ("DefaultDnatRuleCollectionGroup", 100),
    ("DefaultNetworkRuleCollectionGroup", 200),
    ("DefaultApplicationRuleCollectionGroup", 300),
];

pub(super) fn check(set: &RuleSet, found: &mut Vec<Finding>) {
    for policy in &set.policies {
        groups(policy, found);
        for group in &policy.groups {
            collections(policy, group, found);
        }
        found.extend(too_many_collections(policy));
        found.extend(too_many_pairs(policy));
    }
}

fn groups(policy: &PolicyRules, found: &mut Vec<Finding>) {
    let mut priorities = HashMap::new();
    let mut names = HashMap::new();
    for group in &policy.groups {
        let say = |check, what: String| of_group(policy, group, check, what);
        if let Some(other) = earlier(&mut priorities, group.priority, (group.name.as_str(), group.at)) {
            found.push(same_priority(say(&c::EQUAL_PRIORITY, equal(&group.name, other.0, group.priority)), other));
        }
        if let Some(other) = earlier(&mut names, group.name.to_lowercase(), (group.name.as_str(), group.at)) {
            found.push(same_name(say(&c::DUPLICATE_NAME, twice("rule collection group", &group.name)), other));
        }
        let fixed = DEFAULT_GROUPS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&group.name));
        if let Some((_, priority)) = fixed.filter(|(_, priority)| *priority != group.priority.get()) {
            let what = format!("`{}` has the priority {}, and always {priority} in Azure", group.name, group.priority);
            found.push(say(&c::DEFAULT_GROUP_PRIORITY, what).about("priority").mend("rename it"));
        }
        if group.collections.is_empty() {
            found.push(say(&c::EMPTY_COLLECTION, format!("the group `{}` has no collection", group.name)));
        }
        let bytes = bytes_of(group);
        if bytes > MOST_BYTES {
            let what = format!(
                "the group `{}` is about {}.{} MB in Azure",
                group.name,
                bytes / 1_000_000,
                bytes / 100_000 % 10
            );
            found.push(say(&c::GROUP_TOO_LARGE, what).mend("split it, or use IP groups"));
        }
    }
    if let Some(first_beyond) = policy.groups.get(MOST_GROUPS) {
        let what =
            format!("the policy has {} groups; {MOST_GROUPS} is the most that is documented", policy.groups.len());
        found.push(of_group(policy, first_beyond, &c::TOO_MANY_GROUPS, what).mend("join groups"));
    }
}

fn collections(policy: &PolicyRules, group: &RuleCollectionGroup, found: &mut Vec<Finding>) {
    let mut priorities = HashMap::new();
    let mut names = HashMap::new();
    for collection in &group.collections {
        let place = Place { policy, group, collection };
        let known = (collection.name.as_str(), collection.at);
        let key = (collection.priority, kind(collection));
        if let Some(other) = earlier(&mut priorities, key, known) {
            let what = equal(&collection.name, other.0, collection.priority);
            found.push(same_priority(place.collection(&c::EQUAL_PRIORITY, what), other));
        }
        if let Some(other) = earlier(&mut names, collection.name.to_lowercase(), known) {
            let what = twice("rule collection", &collection.name);
            found.push(same_name(place.collection(&c::DUPLICATE_NAME, what), other));
        }
        if collection.name.chars().count() > LONGEST_NAME {
            let what = format!("`{}` has more than {LONGEST_NAME} characters", super::short(&collection.name));
            found.push(place.collection(&c::NAME_TOO_LONG, what).about(&collection.name).mend("shorten it"));
        }
        rules(place, found);
    }
}

fn rules(place: Place<'_>, found: &mut Vec<Finding>) {
    let rules: Vec<(&str, &crate::policy::About)> = match &place.collection.rules {
        Rules::Dnat(rules) => rules.iter().map(|rule| (rule.name.as_str(), &rule.about)).collect(),
        Rules::Network(_, rules) => rules.iter().map(|rule| (rule.name.as_str(), &rule.about)).collect(),
        Rules::Application(_, rules) => rules.iter().map(|rule| (rule.name.as_str(), &rule.about)).collect(),
    };
    if rules.is_empty() {
        let what = format!("the collection `{}` has no rule", place.collection.name);
        found.push(place.collection(&c::EMPTY_COLLECTION, what));
    }
    let mut names = HashMap::with_capacity(rules.len());
    for (name, about) in rules {
        if let Some(other) = earlier(&mut names, name.to_lowercase(), (name, about.at)) {
            found.push(same_name(place.rule(&c::DUPLICATE_NAME, name, about, twice("rule", name)), other));
        }
    }
}

fn kind(collection: &RuleCollection) -> u8 {
    match collection.rules {
        Rules::Dnat(_) => 0,
        Rules::Network(..) => 1,
        Rules::Application(..) => 2,
    }
}

/// Who had this key before.
fn earlier<'a, K: std::hash::Hash + Eq>(
    seen: &mut HashMap<K, (&'a str, Spot)>,
    key: K,
    here: (&'a str, Spot),
) -> Option<(&'a str, Spot)> {
    match seen.entry(key) {
        std::collections::hash_map::Entry::Occupied(before) => Some(*before.get()),
        std::collections::hash_map::Entry::Vacant(free) => {
            free.insert(here);
            None
        }
    }
}

fn equal(name: &str, other: &str, priority: Priority) -> String {
    format!("`{name}` and `{other}` both have the priority {priority}")
}

fn twice(what: &str, name: &str) -> String {
    format!("there is another {what} `{name}`")
}

fn same_priority(finding: Finding, (name, at): (&str, Spot)) -> Finding {
    finding.about("priority").mend("give each its own priority").with(at, format!("`{name}`"))
}

fn same_name(finding: Finding, (name, at): (&str, Spot)) -> Finding {
    finding.about("name").mend("rename one of them").with(at, format!("`{name}`"))
}

fn too_many_collections(policy: &PolicyRules) -> Option<Finding> {
    let mut counts = [0; 3];
    let beyond = Place::of_policy(policy).find(|place| {
        let count = &mut counts[usize::from(kind(place.collection))];
        *count += 1;
        *count > MOST_COLLECTIONS
    })?;
    let what = format!("the policy has more than {MOST_COLLECTIONS} collections of one type");
    Some(beyond.collection(&c::TOO_MANY_COLLECTIONS, what).mend("join collections of the same action"))
}

fn too_many_pairs(policy: &PolicyRules) -> Option<Finding> {
    let rules = Place::of_policy(policy).filter_map(|place| match &place.collection.rules {
        Rules::Network(_, rules) => Some(rules),
        _ => None,
    });
    let pairs: usize =
        rules.flatten().map(|rule| count(&rule.sources) * (count(&rule.destinations) + rule.fqdns.len())).sum();
    let what = format!("{pairs} pairs of source and destination in network rules; {MOST_PAIRS} is the most");
    (pairs > MOST_PAIRS).then(|| of_policy(policy, &c::TOO_MANY_ADDRESSES, what).mend("use IP groups"))
}

fn count(set: &AddressSet) -> usize {
    usize::from(set.is_any()) + set.listed().len() + set.named().len()
}

/// About what the group is as Azure's JSON: names and values, and what stands around them.
fn bytes_of(group: &RuleCollectionGroup) -> usize {
    let collection = |it: &RuleCollection| {
        let rules: usize = match &it.rules {
            Rules::Dnat(rules) => rules.iter().map(bytes_of_dnat).sum(),
            Rules::Network(_, rules) => rules.iter().map(bytes_of_network).sum(),
            Rules::Application(_, rules) => rules.iter().map(bytes_of_application).sum(),
        };
        it.name.len() + 150 + rules
    };
    group.collections.iter().map(collection).sum()
}

fn bytes_of_set(set: &AddressSet) -> usize {
    // `"10.100.100.0/24",`, and an IP group by its resource id.
    set.listed().len() * 18 + set.named().iter().map(|named| named.name.len() + 100).sum::<usize>()
}

fn bytes_of_network(rule: &NetworkRule) -> usize {
    let names: usize = rule.fqdns.iter().map(|name| name.as_str().len() + 3).sum();
    let sets = bytes_of_set(&rule.sources) + bytes_of_set(&rule.destinations);
    240 + rule.name.len() + rule.about.description.len() + sets + names + rule.ports.ranges().len() * 9
}

fn bytes_of_dnat(rule: &DnatRule) -> usize {
    300 + rule.name.len() + bytes_of_set(&rule.sources) + bytes_of_set(&rule.destinations)
}

fn bytes_of_application(rule: &ApplicationRule) -> usize {
    let name = |text: &crate::policy::FqdnPattern| match text {
        crate::policy::FqdnPattern::Exact(name) | crate::policy::FqdnPattern::Subdomains(name) => {
            name.as_str().len() + 4
        }
        crate::policy::FqdnPattern::Suffix(tail) | crate::policy::FqdnPattern::Glob(tail) => tail.len() + 4,
        crate::policy::FqdnPattern::Any => 4,
    };
    let fqdns: usize = rule.fqdns.iter().chain(rule.urls.iter().map(|url| &url.host)).map(name).sum();
    let headers: usize = rule.headers.iter().map(|header| header.name.len() + header.value.len() + 40).sum();
    380 + rule.name.len() + rule.about.description.len() + bytes_of_set(&rule.sources) + fqdns + headers
}
