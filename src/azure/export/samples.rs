//! Random policies that can be said in any format without a loss, for the tests of all writers.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::allowlist::Catalogue;
use crate::policy::arbitrary::rule_set;
use crate::policy::{
    About, Action, AddressSet, ApplicationRule, DnatRule, DnsSettings, ExplicitProxySettings, FqdnPattern, FqdnTag,
    HeaderInsertion, NamedRanges, NetworkRule, PolicyRules, PolicySettings, RuleSet, Rules, SnatSettings, ThreatIntel,
    ThreatIntelSettings, ThreatMode, Tier, WebCategory,
};

/// Whether full globs, IPv6 and the like may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Egret,
    Azure,
}

/// One policy.
pub(crate) fn policy(dialect: Dialect) -> impl Strategy<Value = RuleSet> {
    (policies(dialect), settings()).prop_map(|(mut set, settings)| {
        set.policies.truncate(1);
        set.policies[0].settings = settings;
        set
    })
}

/// One policy or two.
pub(crate) fn policies(dialect: Dialect) -> impl Strategy<Value = RuleSet> {
    (rule_set(), select(vec!["", "for \"q\" \\ ${x} %{y} 'a'\nb", "plain"])).prop_map(move |(mut set, description)| {
        set.infrastructure.clear();
        set.service_endpoints.clear();
        // What is written of it is in the settings.
        set.threat_intel = ThreatIntel::default();
        set.policies.iter_mut().enumerate().for_each(|(i, policy)| name_policy(policy, i, dialect, description));
        set
    })
}

fn name_policy(policy: &mut PolicyRules, number: usize, dialect: Dialect, description: &str) {
    policy.name = format!("policy{number}");
    for (i, group) in policy.groups.iter_mut().enumerate() {
        group.name = format!("group{i}");
        for (j, collection) in group.collections.iter_mut().enumerate() {
            collection.name = format!("collection{i}.{j}");
            sound(&mut collection.rules, dialect);
            tell(&mut collection.rules, description);
        }
        if dialect == Dialect::Azure {
            group.collections.retain(|collection| !is_empty(&collection.rules));
        }
    }
}

fn is_empty(rules: &Rules) -> bool {
    match rules {
        Rules::Dnat(rules) => rules.is_empty(),
        Rules::Network(_, rules) => rules.is_empty(),
        Rules::Application(_, rules) => rules.is_empty(),
    }
}

/// Only rules that could match, with members that names stand for.
fn sound(rules: &mut Rules, dialect: Dialect) {
    // What is not known may stand in what allows only: a denial that matches less is an error.
    let strange = !matches!(rules, Rules::Network(Action::Deny, _) | Rules::Application(Action::Deny, _));
    match rules {
        Rules::Dnat(rules) => {
            rules.iter_mut().for_each(|rule| {
                rule.sources = set(&rule.sources, dialect);
                rule.destinations = AddressSet::default();
                rule.destinations.insert_text("40.77.24.27").unwrap();
                if dialect == Dialect::Azure && rule.ports.ranges().iter().any(|range| range.last() > 63_999) {
                    rule.ports = ["443", "1000-63999"].iter().map(|text| text.parse().unwrap()).collect();
                }
            });
        }
        Rules::Network(_, rules) => {
            rules.iter_mut().for_each(|rule| {
                rule.sources = set(&rule.sources, dialect);
                let wants = rule.protocols.icmp && rule.ports.ranges().len() > 1;
                let names = if strange { ["Sql", "Unheard.Of"].as_slice() } else { &["Sql"] };
                let tags = names.iter().filter(|_| wants).map(|name| tag(name)).collect();
                rule.destinations = tagged(tags, &rule.destinations, dialect);
            });
            rules.retain(|rule| !rule.destinations.is_empty() || !rule.fqdns.is_empty());
        }
        Rules::Application(_, rules) => {
            rules.iter_mut().for_each(|rule| {
                rule.sources = set(&rule.sources, dialect);
                rule.tags.iter_mut().for_each(|tag| *tag = fqdn_tag(tag.members.len(), strange));
                rule.categories.retain(|_| strange);
                rule.categories.iter_mut().for_each(|it| {
                    *it = WebCategory { name: "Unheard.Of".to_owned(), members: Arc::from([]) };
                });
                if dialect == Dialect::Azure {
                    rule.fqdns.retain(|pattern| !matches!(pattern, FqdnPattern::Glob(_)));
                }
            });
            let targets =
                |rule: &ApplicationRule| rule.fqdns.len() + rule.tags.len() + rule.urls.len() + rule.categories.len();
            rules.retain(|rule| targets(rule) > 0);
        }
    }
}

fn tag(name: &str) -> NamedRanges {
    let unknown =
        || NamedRanges { name: name.to_owned(), kind: crate::policy::NamedKind::ServiceTag, ranges: Arc::from([]) };
    Catalogue::default().service_tag(name).unwrap_or_else(unknown)
}

fn fqdn_tag(number: usize, strange: bool) -> FqdnTag {
    let name = if strange && number == 2 { "Unheard.Of" } else { "WindowsUpdate" };
    let unknown = || FqdnTag { name: name.to_owned(), members: Arc::from([]) };
    Catalogue::default().fqdn_tag(name).unwrap_or_else(unknown)
}

/// The same entries, each IP group by a name of its own.
fn set(from: &AddressSet, dialect: Dialect) -> AddressSet {
    tagged(Vec::new(), from, dialect)
}

/// Service tags come before IP groups, as they are read.
fn tagged(tags: Vec<NamedRanges>, from: &AddressSet, dialect: Dialect) -> AddressSet {
    let mut to = if from.is_any() { AddressSet::any() } else { AddressSet::default() };
    let fits = |v4: bool| dialect == Dialect::Egret || v4;
    from.listed().iter().filter(|range| fits(range.first().is_ipv4())).for_each(|range| to.insert(*range));
    tags.into_iter().for_each(|tag| to.insert_named(tag));
    for named in from.named() {
        let name = if named.ranges.is_empty() { "empty" } else { "filled" };
        to.insert_named(NamedRanges { name: name.to_owned(), ..named.clone() });
    }
    if to == AddressSet::default() && *from != AddressSet::default() {
        to.insert_text("10.9.0.0/16").unwrap();
    }
    to
}

fn tell(rules: &mut Rules, description: &str) {
    let about = About { description: description.to_owned(), ..About::default() };
    let name = |kind: &str, i: usize| format!("{kind}-{i}");
    match rules {
        Rules::Dnat(rules) => rules.iter_mut().enumerate().for_each(|(i, rule): (usize, &mut DnatRule)| {
            (rule.name, rule.about) = (name("dnat", i), about.clone());
        }),
        Rules::Network(_, rules) => rules.iter_mut().enumerate().for_each(|(i, rule): (usize, &mut NetworkRule)| {
            (rule.name, rule.about) = (name("net", i), about.clone());
        }),
        Rules::Application(action, rules) => rules.iter_mut().enumerate().for_each(|(i, rule)| {
            (rule.name, rule.about) = (name("app", i), about.clone());
            // One that denies so is refused: nothing is decrypted.
            rule.terminate_tls = !rule.urls.is_empty() && *action == Action::Allow;
            if i == 1 && !description.is_empty() {
                let (name, value) = ("X-Test".to_owned(), description.to_owned());
                rule.headers = vec![HeaderInsertion { name, value }];
            }
        }),
    }
}

fn settings() -> impl Strategy<Value = PolicySettings> {
    let mode = || prop::option::of(select(ThreatMode::ALL.to_vec()));
    let flag = prop::option::of(any::<bool>());
    let range = select(vec!["10.0.0.0/8", "192.168.1.1", "255.255.255.255"]);
    let ranges = prop::option::of(vec(range, 0..2));
    (prop::option::of(select(Tier::ALL.to_vec())), mode(), mode(), flag, ranges, any::<bool>()).prop_map(
        |(tier, threat, idps, flag, ranges, more)| {
            let mut settings = PolicySettings { tier, idps, allow_sql_redirect: flag, ..PolicySettings::default() };
            settings.snat = SnatSettings {
                private_ranges: ranges.map(|all| all.iter().map(|text| text.parse().unwrap()).collect()),
                auto_learn: flag,
            };
            settings.threat_intel.mode = threat;
            if more {
                fill(&mut settings);
            }
            settings
        },
    )
}

fn fill(settings: &mut PolicySettings) {
    let mut allowed_addresses = AddressSet::default();
    allowed_addresses.insert_text("203.0.113.7").unwrap();
    settings.threat_intel = ThreatIntelSettings {
        mode: settings.threat_intel.mode,
        allowed_fqdns: vec![FqdnPattern::parse("*.contoso.com").unwrap()],
        allowed_addresses,
    };
    settings.dns = DnsSettings {
        servers: vec!["10.0.0.53".parse().unwrap()],
        proxy: Some(true),
        require_proxy_for_network_rules: Some(false),
    };
    settings.explicit_proxy = ExplicitProxySettings {
        enabled: Some(true),
        http_port: Some(8080),
        https_port: Some(8443),
        pac_enabled: Some(true),
        pac_port: Some(8090),
        pac_file: Some("https://pac.test/x?sig='%2F\"".to_owned()),
    };
    settings.kept = vec![
        ("insights".to_owned(), r#"{"isEnabled":true,"retentionDays":7}"#.to_owned()),
        ("tags".to_owned(), r#"{"env":"it's ${test}"}"#.to_owned()),
    ];
}
