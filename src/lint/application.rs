//! Application rules beside their names: tags, protocols, ports, SQL, and the rule that denies all.

use std::collections::HashSet;

use crate::flow::Protocol;
use crate::policy::{Action, AnyRule, ApplicationRule, FqdnPattern, RuleSet, Rules, in_order};

use super::catalogue as c;
use super::finding::Finding;
use super::place::Place;

const HIGHEST: u16 = 64000;
/// Where the firewall answers as it comes.
const USUAL: [u16; 3] = [80, 443, 1433];
const REDIRECT: std::ops::RangeInclusive<u16> = 11000..=11999;

pub(super) fn check(set: &RuleSet, found: &mut Vec<Finding>) {
    let mut ports_told = HashSet::new();
    let mut sql = None;
    for place in Place::all(set) {
        let Rules::Application(action, rules) = &place.collection.rules else { continue };
        for rule in rules {
            found.extend(tag_without_https(place, rule));
            found.extend(ports(place, rule, &mut ports_told));
            if *action == Action::Allow && sql.is_none() {
                sql = proxy_mode(place, rule);
            }
        }
    }
    found.extend(sql);
    redirect_conflicts(set, found);
    found.extend(deny_all(set));
}

fn tag_without_https(place: Place<'_>, rule: &ApplicationRule) -> Option<Finding> {
    let tag = rule.tags.first()?;
    // The classic rules of a firewall name no protocols beside tags.
    let fits = place.policy.name.is_empty() || rule.protocols.iter().any(|it| it.protocol == Protocol::Https);
    let what = || format!("the rule with the FQDN tag `{}` does not name Https", tag.name);
    let say = || place.rule(&c::FQDN_TAG_WITHOUT_HTTPS, &rule.name, &rule.about, what()).about(&tag.name);
    (!fits).then(|| say().mend("add the protocol Https:443"))
}

fn ports(place: Place<'_>, rule: &ApplicationRule, told: &mut HashSet<u16>) -> Vec<Finding> {
    let say = |check, what: String| place.rule(check, &rule.name, &rule.about, what);
    let mut found = Vec::new();
    for it in &rule.protocols {
        let port = it.port;
        if port > HIGHEST {
            let what = format!("`{it}` is above {HIGHEST}");
            found.push(say(&c::APPLICATION_PORT_OUT_OF_RANGE, what).about(it).about(port).mend("choose a lower port"));
        }
        if it.protocol == Protocol::Mssql && REDIRECT.contains(&port) {
            let what = format!("`{it}` is a port of redirect mode, where no name is seen");
            let mend = "set the server's connection policy to Proxy and name Mssql:1433";
            found.push(say(&c::SQL_REDIRECT_PORT, what).about(it).about(port).mend(mend));
        } else if !USUAL.contains(&port) && told.insert(port) {
            let what =
                format!("with `{it}` the firewall completes TCP handshakes on port {port} for every destination");
            let mend = "nothing, where it is meant; a network rule for named destinations does without";
            found.push(say(&c::HANDSHAKE_ON_PORT, what).about(it).about(port).mend(mend));
        }
    }
    found
}

fn proxy_mode(place: Place<'_>, rule: &ApplicationRule) -> Option<Finding> {
    let sql = rule.protocols.iter().find(|it| it.protocol == Protocol::Mssql && !REDIRECT.contains(&it.port))?;
    let decided = place.policy.settings.allow_sql_redirect == Some(true);
    let what = format!("`{sql}` is filtered by name only while clients are not redirected");
    let say = || place.rule(&c::SQL_PROXY_MODE, &rule.name, &rule.about, what).about(sql);
    (!decided).then(|| say().mend("set the server's connection policy to Proxy"))
}

fn redirect_conflicts(set: &RuleSet, found: &mut Vec<Finding>) {
    let redirecting = set.policies.iter().filter(|policy| policy.settings.allow_sql_redirect == Some(true));
    for place in redirecting.flat_map(Place::of_policy) {
        let what = |ports: &str| format!("the rule names {ports}, which `allowSqlRedirect` keeps for the firewall");
        let mut say = |name, about, ports: String| {
            let ports = super::short(&ports);
            let finding = place.rule(&c::SQL_REDIRECT_CONFLICT, name, about, what(&ports));
            found.push(finding.mend("take the ports out of the rule, or switch the setting off"));
        };
        match &place.collection.rules {
            Rules::Network(_, rules) => {
                let hit = |rule: &&crate::policy::NetworkRule| {
                    let reaches = |range: &crate::flow::PortRange| range.first() <= 11999 && range.last() >= 11000;
                    !rule.ports.is_any() && rule.ports.ranges().iter().any(reaches)
                };
                rules.iter().filter(hit).for_each(|rule| say(&rule.name, &rule.about, rule.ports.to_string()));
            }
            Rules::Application(_, rules) => {
                for rule in rules {
                    if let Some(it) = rule.protocols.iter().find(|it| REDIRECT.contains(&it.port)) {
                        say(&rule.name, &rule.about, it.to_string());
                    }
                }
            }
            Rules::Dnat(_) => {}
        }
    }
}

/// The last application rule that is looked at, where it denies everybody everything.
fn deny_all(set: &RuleSet) -> Option<Finding> {
    let ordered = in_order(set);
    let last = ordered.iter().rev().find(|it| matches!(it.rule, AnyRule::Application(..)))?;
    let AnyRule::Application(Action::Deny, rule) = last.rule else { return None };
    let all = rule.sources.is_any() && rule.fqdns.contains(&FqdnPattern::Any);
    let place = Place::all(set).find(|place| match &place.collection.rules {
        Rules::Application(_, rules) => rules.iter().any(|it| std::ptr::eq(it, rule)),
        _ => false,
    })?;
    let what = "the last rule denies every name, those of Azure's infrastructure collection too";
    let say = || place.rule(&c::DENY_ALL_LAST, &rule.name, &rule.about, what).about("*");
    all.then(|| say().mend("leave the rule out, where the platform's own names may pass"))
}
