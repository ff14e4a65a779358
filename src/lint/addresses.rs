//! Addresses, IP groups, service tags, and the other names that stand for something.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::allowlist;
use crate::flow::Protocol;
use crate::policy::{
    About, Action, AddressRange, AddressSet, ApplicationRule, FqdnPattern, NamedKind, NetworkRule, RuleSet, Rules,
    ServiceEndpoint,
};

use super::catalogue as c;
use super::finding::{Check, Finding};
use super::network::is_public;
use super::place::{Place, is_written};

const MOST_GROUPS: usize = 200;
const MOST_ENTRIES: usize = 5_000;

pub(super) fn check(set: &RuleSet, found: &mut Vec<Finding>) {
    let tags = Tags::of_builtin();
    let mut groups = HashMap::new();
    for place in Place::all(set) {
        for rule in in_rules(&place.collection.rules) {
            let at = InRule { place, rule };
            at.ipv6(found);
            at.named(found, &mut groups);
        }
        if let Rules::Network(Action::Allow, rules) = &place.collection.rules {
            found.extend(rules.iter().filter_map(|rule| tag_instead(place, rule, &tags)));
        }
        if let Rules::Application(_, rules) = &place.collection.rules {
            rules.iter().for_each(|rule| unknown_names(place, rule, found));
            found.extend(rules.iter().filter_map(|rule| bypassed(place, rule, &set.service_endpoints)));
        }
    }
    found.extend(too_many_groups(groups));
}

/// What the three types of rules have in common.
struct AddressRule<'a> {
    name: &'a str,
    about: &'a About,
    sources: &'a AddressSet,
    destinations: Option<&'a AddressSet>,
    /// The check that an IPv6 address in it is a case of.
    ipv6: &'static Check,
}

fn in_rules(rules: &Rules) -> Vec<AddressRule<'_>> {
    let of = |name, about, sources, destinations, ipv6| AddressRule { name, about, sources, destinations, ipv6 };
    match rules {
        Rules::Dnat(rules) => {
            rules.iter().map(|r| of(&r.name, &r.about, &r.sources, Some(&r.destinations), &c::IPV6_LITERAL)).collect()
        }
        Rules::Network(_, rules) => rules
            .iter()
            .map(|r| of(&r.name, &r.about, &r.sources, Some(&r.destinations), &c::IPV6_NETWORK_RULE))
            .collect(),
        Rules::Application(_, rules) => {
            rules.iter().map(|r| of(&r.name, &r.about, &r.sources, None, &c::IPV6_LITERAL)).collect()
        }
    }
}

struct InRule<'a> {
    place: Place<'a>,
    rule: AddressRule<'a>,
}

impl<'a> InRule<'a> {
    fn say(&self, check: &'static Check, what: String) -> Finding {
        self.place.rule(check, self.rule.name, self.rule.about, what)
    }

    fn sets(&self) -> impl Iterator<Item = &'a AddressSet> + use<'a> {
        std::iter::once(self.rule.sources).chain(self.rule.destinations)
    }

    fn ipv6(&self, found: &mut Vec<Finding>) {
        let six = self.sets().flat_map(AddressSet::listed).find(|range| range.first().is_ipv6());
        if let Some(range) = six {
            let what = format!("`{range}` is IPv6");
            found.push(self.say(self.rule.ipv6, what).about(range).mend("leave it out"));
        }
        let groups = self.sets().flat_map(AddressSet::named).filter(|named| named.kind == NamedKind::IpGroup);
        let six = |ranges: &[AddressRange]| ranges.iter().copied().find(|range| range.first().is_ipv6());
        for (group, range) in groups.filter_map(|group| Some((group, six(&group.ranges)?))) {
            let what = format!("the IP group `{}` has `{range}`, which is IPv6", group.name);
            found.push(self.say(&c::IPV6_LITERAL, what).about(&group.name).mend("take it out of the group"));
        }
    }

    fn named(&self, found: &mut Vec<Finding>, groups: &mut HashMap<&'a str, Finding>) {
        for named in self.sets().flat_map(AddressSet::named) {
            match named.kind {
                NamedKind::ServiceTag if named.ranges.is_empty() => {
                    let what = format!("the service tag `{}` is not known here: it matches nothing", named.name);
                    let say = self.say(&c::UNKNOWN_SERVICE_TAG, what).about(&named.name);
                    found.push(say.mend("bring Microsoft's file with `--service-tags`"));
                }
                NamedKind::ServiceTag => {}
                NamedKind::UnknownIpGroup => {
                    let what = format!("the IP group `{}` is in none of the files: it matches nothing", named.name);
                    let say = self.say(&c::UNKNOWN_IP_GROUP, what).about(&named.name);
                    found.push(say.mend("give its file too"));
                }
                NamedKind::IpGroup => {
                    if named.ranges.is_empty() {
                        found.push(self.empty_group(&named.name));
                    }
                    if !groups.contains_key(named.name.as_str()) {
                        found.extend(self.large_group(&named.name, named.ranges.len()));
                        let what = String::new();
                        groups.insert(&named.name, self.say(&c::TOO_MANY_IP_GROUPS, what).about(&named.name));
                    }
                }
            }
        }
    }

    fn empty_group(&self, name: &str) -> Finding {
        let denies = match &self.place.collection.rules {
            Rules::Network(Action::Deny, _) | Rules::Application(Action::Deny, _) => ", and what it denies goes on",
            _ => "",
        };
        let what = format!("the IP group `{name}` is empty: the whole rule is skipped{denies}");
        self.say(&c::EMPTY_IP_GROUP, what).about(name).mend("fill the group, or take it out of the rule")
    }

    fn large_group(&self, name: &str, entries: usize) -> Option<Finding> {
        let what = || format!("the IP group `{name}` has {entries} entries; {MOST_ENTRIES} is the most");
        let say = || self.say(&c::IP_GROUP_TOO_LARGE, what()).about(name).mend("split it, or join its prefixes");
        (entries > MOST_ENTRIES).then(say)
    }
}

fn too_many_groups(groups: HashMap<&str, Finding>) -> Option<Finding> {
    let count = groups.len();
    let last = groups.into_iter().max_by(|a, b| a.0.cmp(b.0)).map(|(_, found)| found)?;
    let what = format!("the rules name {count} IP groups; {MOST_GROUPS} is the most");
    (count > MOST_GROUPS).then(|| Finding { what, ..last }.mend("join groups that are used together"))
}

fn unknown_names(place: Place<'_>, rule: &ApplicationRule, found: &mut Vec<Finding>) {
    let mut say = |check, kind: &str, name: &str| {
        let what = format!("the {kind} `{name}` is not known here: it matches nothing");
        let mend = format!("give it members with `--tag {name}=FILE`");
        found.push(place.rule(check, &rule.name, &rule.about, what).about(name).mend(mend));
    };
    for tag in rule.tags.iter().filter(|tag| tag.members.is_empty()) {
        say(&c::UNKNOWN_FQDN_TAG, "FQDN tag", &tag.name);
    }
    for category in rule.categories.iter().filter(|category| category.members.is_empty()) {
        say(&c::UNKNOWN_WEB_CATEGORY, "web category", &category.name);
    }
}

/// Every name of it is below a zone that leaves by a service endpoint, on ports that do.
fn bypassed(place: Place<'_>, rule: &ApplicationRule, endpoints: &[ServiceEndpoint]) -> Option<Finding> {
    let named = !rule.fqdns.is_empty() && rule.tags.is_empty() && rule.urls.is_empty() && rule.categories.is_empty();
    if !named || endpoints.is_empty() || !is_written(rule.about.at) {
        return None;
    }
    let leaves = |endpoint: &&ServiceEndpoint| {
        let below = |name: &str| endpoint.zones.iter().any(|zone| is_below(name, zone.as_str()));
        rule.fqdns.iter().all(|pattern| match pattern {
            FqdnPattern::Exact(name) | FqdnPattern::Subdomains(name) => below(name.as_str()),
            _ => false,
        }) && rule.protocols.iter().all(|it| it.protocol != Protocol::Udp && endpoint.ports.contains(it.port))
    };
    let endpoint = endpoints.iter().find(leaves)?;
    let what = format!("these names leave by the service endpoint {} and never reach the firewall", endpoint.service);
    let pattern = rule.fqdns.first()?;
    let mend = "nothing, where the subnet has the endpoint; else `--service-endpoints none`";
    Some(place.rule(&c::SERVICE_ENDPOINT_BYPASS, &rule.name, &rule.about, what).about(pattern).mend(mend))
}

fn is_below(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|left| left.ends_with('.'))
}

/// The built-in service tags, each as sorted ranges that do not touch.
struct Tags(Vec<(&'static str, Vec<(Ipv4Addr, Ipv4Addr)>)>);

impl Tags {
    fn of_builtin() -> Tags {
        let mut seen = HashSet::new();
        let names = allowlist::service_tag_names().into_iter().filter(|name| seen.insert(*name));
        Tags(names.filter_map(|name| Some((name, merged(&allowlist::service_tag(name)?.ranges)))).collect())
    }

    fn that_holds(&self, ranges: &[AddressRange]) -> Option<&'static str> {
        self.0.iter().find(|(_, tag)| ranges.iter().all(|range| holds(tag, *range))).map(|(name, _)| *name)
    }
}

fn merged(ranges: &[AddressRange]) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let v4 = |range: &AddressRange| match (range.first(), range.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Some((first, last)),
        _ => None,
    };
    let mut sorted: Vec<_> = ranges.iter().filter_map(v4).collect();
    sorted.sort_unstable();
    let mut merged: Vec<(Ipv4Addr, Ipv4Addr)> = Vec::new();
    for (first, last) in sorted {
        match merged.last_mut() {
            Some(before) if u64::from(u32::from(first)) <= u64::from(u32::from(before.1)) + 1 => {
                before.1 = before.1.max(last);
            }
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn holds(tag: &[(Ipv4Addr, Ipv4Addr)], range: AddressRange) -> bool {
    let (IpAddr::V4(first), IpAddr::V4(last)) = (range.first(), range.last()) else { return false };
    let at = tag.partition_point(|(_, end)| *end < first);
    tag.get(at).is_some_and(|(begin, end)| *begin <= first && last <= *end)
}

fn tag_instead(place: Place<'_>, rule: &NetworkRule, tags: &Tags) -> Option<Finding> {
    let public: Vec<AddressRange> =
        rule.destinations.listed().iter().copied().filter(|range| is_public(*range)).collect();
    let first = public.first().filter(|_| is_written(rule.about.at) && !rule.destinations.is_any())?;
    let tag = tags.that_holds(&public)?;
    let what = match public.len() {
        1 => format!("`{first}` is an address of the service tag {tag}"),
        many => format!("all {many} public addresses are of the service tag {tag}"),
    };
    let mend = format!("name `{tag}` instead, where the whole service is meant");
    Some(place.rule(&c::ADDRESS_OF_SERVICE_TAG, &rule.name, &rule.about, what).about(first).mend(mend))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one() {
        let range = |text: &str| text.parse::<AddressRange>().unwrap();
        let tag = merged(&["10.0.1.0/24", "10.0.0.0/24", "192.0.2.1", "2001:db8::/32"].map(range));
        assert_eq!(tag.len(), 2);
        assert!(holds(&tag, range("10.0.0.250-10.0.1.3")) && holds(&tag, range("192.0.2.1")));
        assert!(!holds(&tag, range("10.0.1.0-10.0.2.0")) && !holds(&tag, range("2001:db8::1")));
    }
}
