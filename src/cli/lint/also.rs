//! What differs between two policies and shows in no verdict: where DNAT leads, what is inserted, what is decrypted,
//! and the settings. Rules are held against each other by their names; one that only one side has is not told here.

use std::collections::HashMap;

use crate::control::RulePlace;
use crate::policy::{
    AnyRule, ApplicationRule, DnsSettings, ExplicitProxySettings, HeaderInsertion, OrderedRule, PolicyRules,
    PolicySettings, RuleSet, SnatSettings, ThreatIntelSettings, Translated, in_order,
};

/// One sentence each, in the order of the new policy.
pub(super) fn also(old: &RuleSet, new: &RuleSet) -> Vec<String> {
    let before = in_order(old);
    let mut by_place: HashMap<String, &OrderedRule<'_>> = HashMap::new();
    for rule in &before {
        by_place.entry(RulePlace::from(rule).to_string()).or_insert(rule);
    }
    let rules = in_order(new).into_iter().flat_map(|rule| {
        let place = RulePlace::from(&rule).to_string();
        by_place.get(&place).map(|was| of_rule(&place, was.rule, rule.rule)).unwrap_or_default()
    });
    let policies = new.policies.iter().filter_map(|policy| Some((policy, same_policy(old, new, policy)?)));
    rules.chain(policies.flat_map(|(is, was)| of_settings(&is.name, &was.settings, &is.settings))).collect()
}

/// The one of its name; where each side has one alone, that.
fn same_policy<'p>(old: &'p RuleSet, new: &RuleSet, policy: &PolicyRules) -> Option<&'p PolicyRules> {
    match (old.policies.as_slice(), new.policies.as_slice()) {
        ([one], [_]) => Some(one),
        (all, _) => all.iter().find(|old| old.name == policy.name),
    }
}

fn of_rule(place: &str, old: AnyRule<'_>, new: AnyRule<'_>) -> Vec<String> {
    match (old, new) {
        (AnyRule::Dnat(old), AnyRule::Dnat(new)) if old.translated != new.translated => {
            vec![format!("DNAT rule {place} leads to {}, before {}", to(&new.translated), to(&old.translated))]
        }
        (AnyRule::Application(_, old), AnyRule::Application(_, new)) => of_application(place, old, new),
        _ => Vec::new(),
    }
}

fn to(translated: &Translated) -> String {
    let Translated { host, port } = translated;
    format!("{host}:{port}")
}

fn of_application(place: &str, old: &ApplicationRule, new: &ApplicationRule) -> Vec<String> {
    let mut said = Vec::new();
    if old.headers != new.headers {
        said.push(format!("rule {place} inserts {}, before {}", headers(&new.headers), headers(&old.headers)));
    }
    if old.terminate_tls != new.terminate_tls {
        let word = |on: bool| if on { "true" } else { "false" };
        let (is, was) = (word(new.terminate_tls), word(old.terminate_tls));
        said.push(format!("rule {place}: terminateTLS {is}, before {was}"));
    }
    said
}

fn headers(headers: &[HeaderInsertion]) -> String {
    listed(headers.iter().map(|HeaderInsertion { name, value }| format!("`{name}: {value}`")))
}

fn of_settings(policy: &str, old: &PolicySettings, new: &PolicySettings) -> Vec<String> {
    let (was, is) = (said(old), said(new));
    let mut names: Vec<&String> = is.iter().chain(&was).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let of = |all: &[(String, String)], wanted: &str| {
        let found = all.iter().find(|(name, _)| name == wanted);
        found.map_or_else(|| "none".to_owned(), |(_, text)| text.clone())
    };
    let policy = if policy.is_empty() { String::new() } else { format!(" of `{policy}`") };
    let each = names.into_iter().map(|name| (name, of(&is, name), of(&was, name)));
    each.filter(|(_, is, was)| is != was)
        .map(|(name, is, was)| format!("settings{policy}: {name} {is}, before {was}"))
        .collect()
}

/// Each setting that says something, by Azure's name for it.
fn said(settings: &PolicySettings) -> Vec<(String, String)> {
    let PolicySettings { tier, base_policy, threat_intel, dns, snat, explicit_proxy, idps, allow_sql_redirect, kept } =
        settings;
    let ThreatIntelSettings { mode, allowed_fqdns, allowed_addresses } = threat_intel;
    let DnsSettings { servers, proxy, require_proxy_for_network_rules } = dns;
    let SnatSettings { private_ranges, auto_learn } = snat;
    let ExplicitProxySettings { enabled, http_port, https_port, pac_enabled, pac_port, pac_file } = explicit_proxy;
    let addresses = allowed_addresses.to_string();
    let all = [
        ("sku.tier", text(*tier)),
        ("basePolicy", base_policy.clone()),
        ("threatIntelMode", text(*mode)),
        ("threatIntelWhitelist.fqdns", some_of(allowed_fqdns)),
        ("threatIntelWhitelist.ipAddresses", Some(addresses).filter(|text| !text.is_empty())),
        ("dnsSettings.servers", some_of(servers)),
        ("dnsSettings.enableProxy", text(*proxy)),
        ("dnsSettings.requireProxyForNetworkRules", text(*require_proxy_for_network_rules)),
        ("snat.privateRanges", private_ranges.as_ref().map(|ranges| listed(ranges.iter().map(ToString::to_string)))),
        ("snat.autoLearnPrivateRanges", text(*auto_learn)),
        ("explicitProxy.enableExplicitProxy", text(*enabled)),
        ("explicitProxy.httpPort", text(*http_port)),
        ("explicitProxy.httpsPort", text(*https_port)),
        ("explicitProxy.enablePacFile", text(*pac_enabled)),
        ("explicitProxy.pacFilePort", text(*pac_port)),
        // There is a signature in it.
        ("explicitProxy.pacFile", pac_file.as_ref().map(|file| file.split('?').next().unwrap_or(file).to_owned())),
        ("intrusionDetection.mode", text(*idps)),
        ("sql.allowSqlRedirect", text(*allow_sql_redirect)),
    ];
    let all = all.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
    all.chain(kept.iter().cloned()).collect()
}

fn text<T: ToString>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn some_of<T: ToString>(items: &[T]) -> Option<String> {
    (!items.is_empty()).then(|| listed(items.iter().map(ToString::to_string)))
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
