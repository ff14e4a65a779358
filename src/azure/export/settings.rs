//! What a policy holds beside its rules, as ARM has it.

use crate::azure::json;
use crate::azure::note::{Note, Severity};
use crate::policy::{
    AddressSet, DnsSettings, ExplicitProxySettings, FqdnPattern, PolicyRules, PolicySettings, SnatSettings, Spot,
    ThreatIntelSettings,
};

use super::plan::{Group, leaf};
use super::tree::{Builder, Fields, Target, Tree, field};

const DNS_SERVERS: usize = 15;
/// Properties that stand beside `properties`.
const BESIDE: [&str; 5] = ["location", "tags", "identity", "zones", "extendedLocation"];
/// What Azure says and does not take.
const READ_ONLY: [&str; 9] =
    ["id", "name", "type", "etag", "size", "provisioningState", "firewalls", "childPolicies", "ruleCollectionGroups"];

pub(super) struct Shape {
    pub location: Option<String>,
    pub rest: Fields,
    pub properties: Fields,
}

/// The settings of policies that become one: those of the last that has any.
pub(super) fn of_unit(policies: &[&PolicyRules], notes: &mut Vec<Note>) -> PolicySettings {
    let plain = PolicySettings::default();
    let mut told = policies.iter().rev().filter(|policy| policy.settings != plain);
    let Some(chosen) = told.next() else { return plain };
    for other in told.filter(|other| other.settings != chosen.settings) {
        let what = format!("the settings of `{}` give way to those of `{}`", other.name, chosen.name);
        notes.push(Note::new(Severity::Warning, other.at, what));
    }
    chosen.settings.clone()
}

/// URLs and TLS inspection are Premium's.
pub(super) fn needs_premium(groups: &[Group]) -> bool {
    let rules = groups.iter().flat_map(|group| &group.collections).flat_map(|collection| &collection.rules);
    let premium = ["targetUrls", "terminateTLS", "httpHeadersToInsert"];
    rules.into_iter().any(|rule| premium.iter().any(|name| rule.field(name).is_some()))
}

pub(super) fn plan(
    settings: &PolicySettings,
    parent: Option<Target>,
    needs_premium: bool,
    notes: &mut Vec<Note>,
) -> Shape {
    let PolicySettings { tier, base_policy, threat_intel, dns, snat, explicit_proxy, idps, allow_sql_redirect, kept } =
        settings;
    let needs_premium = needs_premium || idps.is_some();
    let tier = match tier {
        Some(tier) => Some(tier.as_str()),
        None if needs_premium => {
            let what = "the policy is written with the tier Premium: URLs, TLS inspection, headers or IDPS want it";
            notes.push(Note::new(Severity::Info, Spot::nowhere(), what));
            Some("Premium")
        }
        None => None,
    };
    let base = match (parent, base_policy.as_deref()) {
        (Some(parent), _) => Tree::Id(parent),
        (None, Some(id)) if !leaf(id).is_empty() => Tree::Text(id.to_owned()),
        (None, _) => Tree::Null,
    };
    let ThreatIntelSettings { mode, allowed_fqdns, allowed_addresses } = threat_intel;
    let allowlist = Builder::default()
        .put("ipAddresses", Tree::texts(addresses(allowed_addresses)))
        .put("fqdns", Tree::texts(fqdns(allowed_fqdns, notes)));
    let properties = Builder::default()
        .put("sku", Builder::default().text("tier", tier).object())
        .put("basePolicy", Builder::default().put("id", base).object())
        .text("threatIntelMode", mode.map(|mode| mode.as_str()))
        .put("threatIntelWhitelist", allowlist.object())
        .put("dnsSettings", dns_settings(dns, notes))
        .put("snat", snat_settings(snat))
        .put("explicitProxy", proxy_settings(explicit_proxy))
        .put("intrusionDetection", Builder::default().text("mode", idps.map(|mode| mode.as_str())).object())
        .put("sql", Builder::default().flag("allowSqlRedirect", *allow_sql_redirect).object());
    with_kept(properties.fields(), kept, notes)
}

fn dns_settings(dns: &DnsSettings, notes: &mut Vec<Note>) -> Tree {
    let DnsSettings { servers, proxy, require_proxy_for_network_rules } = dns;
    if servers.len() > DNS_SERVERS {
        let what = format!("{} name servers: Azure takes {DNS_SERVERS}, the others are left out", servers.len());
        notes.push(Note::new(Severity::Warning, Spot::nowhere(), what));
    }
    Builder::default()
        .put("servers", Tree::texts(servers.iter().take(DNS_SERVERS).map(ToString::to_string)))
        .flag("enableProxy", *proxy)
        .flag("requireProxyForNetworkRules", *require_proxy_for_network_rules)
        .object()
}

/// An empty list is an answer: it stays.
fn snat_settings(snat: &SnatSettings) -> Tree {
    let SnatSettings { private_ranges, auto_learn } = snat;
    let auto_learn = auto_learn.map(|on| if on { "Enabled" } else { "Disabled" });
    let mut fields = Builder::default().text("autoLearnPrivateRanges", auto_learn).fields();
    if let Some(ranges) = private_ranges {
        fields.insert(0, ("privateRanges".to_owned(), Tree::texts(ranges.iter().map(ToString::to_string))));
    }
    Tree::Object(fields)
}

fn proxy_settings(proxy: &ExplicitProxySettings) -> Tree {
    let ExplicitProxySettings { enabled, http_port, https_port, pac_enabled, pac_port, pac_file } = proxy;
    Builder::default()
        .flag("enableExplicitProxy", *enabled)
        .number("httpPort", *http_port)
        .number("httpsPort", *https_port)
        .flag("enablePacFile", *pac_enabled)
        .number("pacFilePort", *pac_port)
        .text("pacFile", pac_file.as_deref())
        .object()
}

fn addresses(set: &AddressSet) -> Vec<String> {
    let any = set.is_any().then(|| "*".to_owned());
    any.into_iter().chain(set.ranges().map(|range| range.to_string())).collect()
}

fn fqdns(patterns: &[FqdnPattern], notes: &mut Vec<Note>) -> Vec<String> {
    let (globs, rest): (Vec<_>, Vec<_>) = patterns.iter().partition(|it| matches!(it, FqdnPattern::Glob(_)));
    for glob in globs {
        let what = format!("threat intelligence: Azure takes no full glob, so `{glob}` is left out");
        notes.push(Note::new(Severity::Error, Spot::nowhere(), what).mend("name the hosts that are meant"));
    }
    rest.into_iter().map(ToString::to_string).collect()
}

/// The ids of the identities that the user assigned, where there are no others.
pub(super) fn user_assigned(identity: &Tree) -> Option<Vec<String>> {
    let is_user = identity.field("type")?.text()?.eq_ignore_ascii_case("UserAssigned");
    let Some(Tree::Object(identities)) = identity.field("userAssignedIdentities").filter(|_| is_user) else {
        return None;
    };
    Some(identities.iter().map(|(id, _)| id.clone()).collect())
}

/// Adds the properties that mean nothing here; where both have one, what is meant here wins.
fn with_kept(mut properties: Fields, kept: &[(String, String)], notes: &mut Vec<Note>) -> Shape {
    let mut shape = Shape { location: None, rest: Fields::new(), properties: Fields::new() };
    for (name, text) in kept {
        if READ_ONLY.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        let Some(value) = json::parse(text, 0).ok().and_then(|nodes| nodes.first().map(Tree::of_json)) else {
            notes.push(Note::new(Severity::Warning, Spot::nowhere(), format!("`{name}` is no JSON and is left out")));
            continue;
        };
        match name.as_str() {
            "location" => shape.location = value.text().map(str::to_owned),
            name if BESIDE.contains(&name) => shape.rest.push((name.to_owned(), value)),
            name => merge(&mut properties, name, value),
        }
    }
    Shape { properties, ..shape }
}

fn merge(properties: &mut Fields, name: &str, value: Tree) {
    let Some((_, own)) = properties.iter_mut().find(|(key, _)| key == name) else {
        return properties.push((name.to_owned(), value));
    };
    if let (Tree::Object(own), Tree::Object(more)) = (own, value) {
        let new = more.into_iter().filter(|(key, _)| field(own, key).is_none()).collect::<Vec<_>>();
        own.extend(new);
    }
}
