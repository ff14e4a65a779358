//! The names of application rules: what their wildcards cover, and what they leave out.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::flow::HostName;
use crate::policy::{Action, ApplicationRule, FqdnPattern, RuleSet, Rules};

use super::catalogue as c;
use super::finding::Finding;
use super::place::Place;

/// Zones in which every customer of a cloud has names of their own choice. Sorted.
const SHARED: &[&str] = &[
    "amazonaws.com",
    "appspot.com",
    "azure-api.net",
    "azurecontainerapps.io",
    "azurecr.io",
    "azuredatabricks.net",
    "azureedge.net",
    "azurefd.net",
    "azurestaticapps.net",
    "azurewebsites.net",
    "blob.core.windows.net",
    "blob.storage.azure.net",
    "cloudapp.azure.com",
    "cloudapp.net",
    "cloudfront.net",
    "database.windows.net",
    "dfs.core.windows.net",
    "digitaloceanspaces.com",
    "documents.azure.com",
    "file.core.windows.net",
    "firebaseapp.com",
    "firebaseio.com",
    "github.io",
    "githubusercontent.com",
    "gitlab.io",
    "googleapis.com",
    "herokuapp.com",
    "netlify.app",
    "ngrok-free.app",
    "ngrok.io",
    "onrender.com",
    "pages.dev",
    "queue.core.windows.net",
    "r2.dev",
    "redis.cache.windows.net",
    "search.windows.net",
    "servicebus.windows.net",
    "sharepoint.com",
    "table.core.windows.net",
    "trafficmanager.net",
    "trycloudflare.com",
    "vault.azure.net",
    "vercel.app",
    "web.app",
    "web.core.windows.net",
    "workers.dev",
];

/// Where names are registered on the third level. Sorted.
const SECOND_LEVEL: &[&str] = &[
    "ac.uk", "co.in", "co.jp", "co.kr", "co.nz", "co.uk", "co.za", "com.ar", "com.au", "com.br", "com.cn", "com.mx",
    "com.sg", "com.tr", "com.tw", "gov.uk", "net.au", "org.au", "org.uk",
];

/// The shared zones, and what they are in.
static OPEN: LazyLock<HashSet<&str>> = LazyLock::new(|| SHARED.iter().flat_map(|zone| with_parents(zone)).collect());

pub(super) fn check(set: &RuleSet, found: &mut Vec<Finding>) {
    for place in Place::all(set) {
        let Rules::Application(action, rules) = &place.collection.rules else { continue };
        for rule in rules {
            for pattern in patterns(rule) {
                found.extend(egret_glob(place, rule, pattern));
                if *action == Action::Allow {
                    found.extend(too_wide(place, rule, pattern));
                }
            }
        }
    }
    bare_domains(set, found);
}

fn patterns(rule: &ApplicationRule) -> impl Iterator<Item = &FqdnPattern> {
    rule.fqdns.iter().chain(rule.urls.iter().map(|url| &url.host))
}

fn egret_glob(place: Place<'_>, rule: &ApplicationRule, pattern: &FqdnPattern) -> Option<Finding> {
    let FqdnPattern::Glob(glob) = pattern else { return None };
    let what = format!("`{pattern}` cannot be said to Azure Firewall");
    let tail = glob.rsplit(['*', '?', ']', '}']).next().unwrap_or_default();
    let wider = tail.find('.').map_or("*", |dot| &tail[dot..]);
    let mend = match wider {
        "*" => "list the names".to_owned(),
        tail => format!("list the names, or allow `*{tail}`, which is wider"),
    };
    Some(place.rule(&c::EGRET_GLOB, &rule.name, &rule.about, what).about(pattern).mend(mend))
}

fn too_wide(place: Place<'_>, rule: &ApplicationRule, pattern: &FqdnPattern) -> Option<Finding> {
    let say = |check, what: String| place.rule(check, &rule.name, &rule.about, what).about(pattern);
    match pattern {
        FqdnPattern::Any => {
            let what = format!("the rule allows every name on {}", protocols(rule));
            Some(say(&c::ANY_FQDN, what).mend("name what is needed; `egret run --learn` writes it down"))
        }
        FqdnPattern::Subdomains(zone) if is_registry(zone.as_str()) => {
            let what = format!("`{pattern}` is everything below .{zone}");
            Some(say(&c::TOP_LEVEL_WILDCARD, what).mend("name the domains that are needed"))
        }
        FqdnPattern::Subdomains(zone) if OPEN.contains(zone.as_str()) => {
            let what = format!("`{pattern}` covers names that anybody can have");
            Some(say(&c::SHARED_SUFFIX, what).mend("list the names that are yours"))
        }
        FqdnPattern::Suffix(tail) => of_suffix(tail).map(|lookalike| {
            let what = format!("`{pattern}` matches `{lookalike}` too");
            let mend = format!("write `*.{tail}` and `{tail}`");
            say(&c::LOOKALIKE_SUFFIX, what).mend(mend)
        }),
        _ => None,
    }
}

fn protocols(rule: &ApplicationRule) -> String {
    rule.protocols.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn is_registry(zone: &str) -> bool {
    !zone.contains('.') || SECOND_LEVEL.binary_search(&zone).is_ok()
}

/// A name that ends so and that a stranger can have. None where the tail's last cut is within a domain of one's own.
fn of_suffix(tail: &str) -> Option<String> {
    let parent = tail.split_once('.').map_or("", |(_, parent)| parent);
    let open = parent.is_empty() || is_registry(parent) || OPEN.contains(parent);
    open.then(|| format!("evil{tail}"))
}

/// `a.b.c` and `b.c`, but not `c`.
fn with_parents<'a>(zone: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
    let below = zone.match_indices('.').map(|(at, _)| &zone[at + 1..]);
    std::iter::once(zone).chain(below.filter(|parent| parent.contains('.')))
}

/// What all rules that allow by name allow, for the question whether a name is among it.
#[derive(Default)]
struct Allowed<'a> {
    any: bool,
    exact: HashSet<&'a str>,
    below: HashSet<&'a str>,
    tails: HashSet<&'a str>,
}

impl<'a> Allowed<'a> {
    fn of(set: &'a RuleSet) -> Allowed<'a> {
        let mut allowed = Allowed::default();
        for pattern in Place::all(set).filter_map(allowing).flatten().flat_map(patterns) {
            match pattern {
                FqdnPattern::Any => allowed.any = true,
                FqdnPattern::Exact(name) => drop(allowed.exact.insert(name.as_str())),
                FqdnPattern::Subdomains(zone) => drop(allowed.below.insert(zone.as_str())),
                FqdnPattern::Suffix(tail) => drop(allowed.tails.insert(tail)),
                FqdnPattern::Glob(_) => {}
            }
        }
        allowed
    }

    fn has(&self, name: &HostName) -> bool {
        let name = name.as_str();
        let parents = || name.match_indices('.').map(|(at, _)| &name[at + 1..]);
        let tails = || (0..name.len()).filter_map(|at| name.get(at..));
        self.any
            || self.exact.contains(name)
            || parents().any(|parent| self.below.contains(parent))
            || tails().any(|tail| self.tails.contains(tail))
    }
}

fn allowing(place: Place<'_>) -> Option<&Vec<ApplicationRule>> {
    match &place.collection.rules {
        Rules::Application(Action::Allow, rules) => Some(rules),
        _ => None,
    }
}

/// Once for each domain, where it is first: the same domain is allowed in many rules.
fn bare_domains(set: &RuleSet, found: &mut Vec<Finding>) {
    let allowed = Allowed::of(set);
    let mut told = HashSet::new();
    for place in Place::all(set) {
        for rule in allowing(place).into_iter().flatten() {
            for pattern in patterns(rule) {
                let FqdnPattern::Subdomains(zone) = pattern else { continue };
                let is_own = !is_registry(zone.as_str()) && !OPEN.contains(zone.as_str());
                if is_own && !allowed.has(zone) && told.insert(zone) {
                    let what = format!("`{pattern}` is allowed, `{zone}` itself is not");
                    let mend = format!("add `{zone}` where it is needed");
                    found.push(
                        place.rule(&c::BARE_DOMAIN_MISSING, &rule.name, &rule.about, what).about(pattern).mend(mend),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(SHARED.is_sorted() && SECOND_LEVEL.is_sorted());
    }

    #[test]
    fn parents() {
        assert_eq!(with_parents("a.b.c").collect::<Vec<_>>(), ["a.b.c", "b.c"]);
        assert!(OPEN.contains("core.windows.net") && OPEN.contains("windows.net") && !OPEN.contains("net"));
    }

    #[test]
    fn lookalikes() {
        let open = |tail: &str| of_suffix(tail).is_some();
        assert!(open("contoso.com") && open("com") && open("contoso.co.uk") && open("mine.blob.core.windows.net"));
        assert!(!open("prod.contoso.com") && !open("-prod.contoso.com"));
    }
}
