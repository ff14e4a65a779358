//! What a policy or a classic firewall holds beside its rules.

use std::net::IpAddr;

use super::compact::{compact, says_something};
use super::notes::{Effect, Item, Notes, Subject};
use super::words;
use crate::azure::json::{Node, Object};
use crate::azure::note::{Note, Severity};
use crate::azure::shape::Resource;
use crate::policy::{
    AddressRange, AddressSet, DnsSettings, ExplicitProxySettings, FqdnPattern, PolicySettings, SnatSettings, Spot,
    ThreatIntelSettings,
};

/// Properties that are read into a field of their own, or that Azure makes itself.
const READ: &[&str] = &[
    "sku",
    "basePolicy",
    "threatIntelMode",
    "threatIntelWhitelist",
    "snat",
    "sql",
    "dnsSettings",
    "explicitProxy",
    "ruleCollectionGroups",
    "ruleGroups",
    "provisioningState",
    "size",
    "firewalls",
    "childPolicies",
];
const READ_CLASSIC: &[&str] = &[
    "sku",
    "threatIntelMode",
    "applicationRuleCollections",
    "networkRuleCollections",
    "natRuleCollections",
    "firewallPolicy",
    "additionalProperties",
    "provisioningState",
    "ipGroups",
    "hubIPAddresses",
];
/// Members of such properties that change nothing here.
const SWITCHES: &[(&str, &str)] = &[
    ("sql", "allowSqlRedirect"),
    ("dnsSettings", "requireProxyForNetworkRules"),
    ("snat", "autoLearnPrivateRanges"),
    ("explicitProxy", "enablePacFile"),
];
/// Beside a resource's properties; all else there is Azure's own business.
const KEPT_BESIDE: &[&str] = &["location", "tags", "identity", "zones"];
/// Where a firewall is and how many there are of it: nothing that is done to a flow.
const PLACEMENT: &[&str] =
    &["ipConfigurations", "managementIpConfiguration", "virtualHub", "autoscaleConfiguration", "sku"];

/// Of a `firewallPolicies` resource.
pub(super) fn of_policy(resource: &Resource, subject: &Subject<'_>, notes: &mut Notes) -> PolicySettings {
    let settings = PolicySettings {
        tier: notes.object(subject, "sku").and_then(|sku| notes.word(&sku, "tier", words::TIERS)),
        base_policy: base_policy(subject, notes).map(|id| id.text.to_owned()),
        threat_intel: threat_intel(subject, notes),
        dns: notes.object(subject, "dnsSettings").map(|dns| dns_settings(&dns, notes)).unwrap_or_default(),
        snat: notes.object(subject, "snat").map(|snat| snat_settings(&snat, notes)).unwrap_or_default(),
        explicit_proxy: notes.object(subject, "explicitProxy").map(|it| explicit_proxy(&it, notes)).unwrap_or_default(),
        idps: notes.object(subject, "intrusionDetection").and_then(|it| notes.word(&it, "mode", words::MODES)),
        allow_sql_redirect: notes.object(subject, "sql").and_then(|sql| notes.flag(&sql, "allowSqlRedirect")),
        kept: kept(resource, subject.object, READ),
    };
    report(subject, READ, notes);
    settings
}

/// Of an `azureFirewalls` resource without a policy.
pub(super) fn of_firewall(resource: &Resource, subject: &Subject<'_>, notes: &mut Notes) -> PolicySettings {
    let mut settings = PolicySettings {
        tier: notes.object(subject, "sku").and_then(|sku| notes.word(&sku, "tier", words::TIERS)),
        threat_intel: threat_intel(subject, notes),
        kept: kept(resource, subject.object, READ_CLASSIC),
        ..PolicySettings::default()
    };
    if let Some(additional) = notes.object(subject, "additionalProperties") {
        additional_properties(&additional, &mut settings, notes);
    }
    report(subject, READ_CLASSIC, notes);
    settings
}

/// The id of the parent, where there is one.
pub(super) fn base_policy<'a>(subject: &Subject<'a>, notes: &mut Notes) -> Option<Item<'a>> {
    let base = notes.object(subject, "basePolicy")?;
    notes.text(&base, "id")
}

fn threat_intel(subject: &Subject<'_>, notes: &mut Notes) -> ThreatIntelSettings {
    let mode = notes.word(subject, "threatIntelMode", words::MODES);
    let Some(list) = notes.object(subject, "threatIntelWhitelist") else {
        return ThreatIntelSettings { mode, ..ThreatIntelSettings::default() };
    };
    let names = notes.items(&list, "fqdns").items;
    let addresses = notes.items(&list, "ipAddresses").items;
    ThreatIntelSettings {
        mode,
        allowed_fqdns: parsed(&names, "fqdns", "host-name", notes, FqdnPattern::parse_azure),
        allowed_addresses: address_set(&addresses, "ipAddresses", notes),
    }
}

fn address_set(items: &[Item<'_>], key: &str, notes: &mut Notes) -> AddressSet {
    let mut set = AddressSet::default();
    for item in items {
        if let Err(error) = set.insert_text(item.text) {
            notes.push(Note::new(Severity::Error, item.at, format!("`{key}`: {error}")).check("address"));
        }
    }
    set
}

fn dns_settings(dns: &Subject<'_>, notes: &mut Notes) -> DnsSettings {
    let servers = notes.items(dns, "servers").items;
    DnsSettings {
        servers: name_servers(&servers, notes),
        proxy: notes.flag(dns, "enableProxy"),
        require_proxy_for_network_rules: notes.flag(dns, "requireProxyForNetworkRules"),
    }
}

fn name_servers(items: &[Item<'_>], notes: &mut Notes) -> Vec<IpAddr> {
    let read = |text: &str| text.parse().map_err(|_| format!("`{text}` is no address of a name server"));
    parsed(items, "servers", "address", notes, read)
}

fn snat_settings(snat: &Subject<'_>, notes: &mut Notes) -> SnatSettings {
    let ranges = notes.items(snat, "privateRanges").items;
    SnatSettings {
        private_ranges: snat.get("privateRanges").map(|_| private_ranges(&ranges, notes)),
        auto_learn: notes.flag(snat, "autoLearnPrivateRanges"),
    }
}

/// What `IANAPrivateRanges` stands for (azure-docs, snat-private-range.md).
const IANA_PRIVATE: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];

fn private_ranges(items: &[Item<'_>], notes: &mut Notes) -> Vec<AddressRange> {
    let expanded: Vec<Item<'_>> = items
        .iter()
        .flat_map(|item| match item.text.eq_ignore_ascii_case("IANAPrivateRanges") {
            true => IANA_PRIVATE.iter().map(|text| Item { text, at: item.at }).collect(),
            false => vec![*item],
        })
        .collect();
    parsed(&expanded, "privateRanges", "address", notes, str::parse::<AddressRange>)
}

fn explicit_proxy(proxy: &Subject<'_>, notes: &mut Notes) -> ExplicitProxySettings {
    ExplicitProxySettings {
        enabled: notes.flag(proxy, "enableExplicitProxy"),
        http_port: proxy_port(proxy, "httpPort", notes),
        https_port: proxy_port(proxy, "httpsPort", notes),
        pac_enabled: notes.flag(proxy, "enablePacFile"),
        pac_port: proxy_port(proxy, "pacFilePort", notes),
        pac_file: notes.text(proxy, "pacFile").map(|url| url.text.to_owned()),
    }
}

/// 0 is what is written where there is none.
fn proxy_port(proxy: &Subject<'_>, key: &str, notes: &mut Notes) -> Option<u16> {
    let (number, at) = notes.number(proxy, key)?;
    match u16::try_from(number) {
        Ok(port) if port <= 64_000 => Some(port).filter(|port| *port != 0),
        _ => {
            let what = format!("`{key}` of {}: `{number}`: expected a port from 0 to 64000", proxy.what);
            notes.push(Note::new(Severity::Error, at, what).check("port-range"));
            None
        }
    }
}

/// Settings of classic firewalls are texts under names of their own.
fn additional_properties(additional: &Subject<'_>, settings: &mut PolicySettings, notes: &mut Notes) {
    let mut other = Object::default();
    for (key, node) in additional.object.iter() {
        let subject = Subject { at: node.at, effect: Effect::Allows, ..*additional };
        let name: &str = &key.name;
        match name.to_ascii_lowercase().as_str() {
            "network.snat.privateranges" => {
                settings.snat.private_ranges = Some(private_ranges(&comma_list(&subject, name, notes), notes));
            }
            "network.dns.enableproxy" | "dnsenableproxy" => settings.dns.proxy = notes.flag(&subject, name),
            "network.dns.servers" | "dnsserver" => {
                settings.dns.servers = name_servers(&comma_list(&subject, name, notes), notes);
            }
            "dnsrequireproxyfornetworkrules" => {
                settings.dns.require_proxy_for_network_rules = notes.flag(&subject, name);
            }
            "threatintel.whitelist.ipaddresses" => {
                settings.threat_intel.allowed_addresses = address_set(&comma_list(&subject, name, notes), name, notes);
            }
            "threatintel.whitelist.fqdns" => {
                let items = comma_list(&subject, name, notes);
                settings.threat_intel.allowed_fqdns =
                    parsed(&items, name, "host-name", notes, FqdnPattern::parse_azure);
            }
            _ => other.0.push((key.clone(), node.clone())),
        }
    }
    if !other.0.is_empty() {
        let node = Node::new(crate::azure::json::Value::Object(other), additional.at);
        settings.kept.push(("additionalProperties".to_owned(), compact(&node)));
    }
}

fn comma_list<'a>(subject: &Subject<'a>, key: &str, notes: &mut Notes) -> Vec<Item<'a>> {
    let items = notes.items(subject, key).items;
    let parts = items.into_iter().flat_map(|item| item.text.split(',').map(move |part| (part.trim(), item.at)));
    parts.filter(|(part, _)| !part.is_empty()).map(|(text, at)| Item { text, at }).collect()
}

fn parsed<T, E: std::fmt::Display>(
    items: &[Item<'_>],
    key: &str,
    check: &'static str,
    notes: &mut Notes,
    read: impl Fn(&str) -> Result<T, E>,
) -> Vec<T> {
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        match read(item.text) {
            Ok(value) => values.push(value),
            Err(error) => notes.push(Note::new(Severity::Error, item.at, format!("`{key}`: {error}")).check(check)),
        }
    }
    values
}

/// All that has no field, so that the policy can be written again.
fn kept(resource: &Resource, properties: &Object, read: &[&str]) -> Vec<(String, String)> {
    let own = properties.iter().filter(|(key, _)| !is_in(&key.name, read));
    let beside = resource.rest.iter().filter(|(key, _)| is_in(&key.name, KEPT_BESIDE));
    let all = own.chain(beside).filter(|(_, node)| says_something(node));
    all.map(|(key, node)| (key.name.to_string(), compact(node))).collect()
}

/// Names what is set, means something, and changes nothing here.
fn report(subject: &Subject<'_>, read: &[&str], notes: &mut Notes) {
    let left = subject.object.iter().filter(|(key, _)| !is_in(&key.name, read) && !is_in(&key.name, PLACEMENT));
    let left = left.filter(|(key, node)| is_in_force(&key.name, node));
    let left = left.map(|(key, node)| (key.name.to_string(), node.at)).chain(switches(subject));
    let (names, places): (Vec<String>, Vec<Spot>) = left.unzip();
    if let Some(at) = places.first() {
        let what = format!("{}: read, not emulated: {}", subject.what, names.join(", "));
        notes.push(Note::new(Severity::Info, *at, what).check("not-emulated"));
    }
}

/// Those that are on.
fn switches(subject: &Subject<'_>) -> impl Iterator<Item = (String, Spot)> {
    SWITCHES.iter().filter_map(|(property, switch)| {
        let node = subject.object.get(property)?.get(switch)?;
        let off = node.text().is_some_and(|text| text.eq_ignore_ascii_case("Disabled"));
        (says_something(node) && !off).then(|| (format!("{property}.{switch}"), node.at))
    })
}

/// What is switched off is emulated by doing nothing.
fn is_in_force(name: &str, node: &Node) -> bool {
    let off = |key: &str, word: &str| {
        node.get(key).is_none_or(|node| node.text().is_some_and(|text| text.eq_ignore_ascii_case(word)))
    };
    match name.to_ascii_lowercase().as_str() {
        "intrusiondetection" => !off("mode", "Off"),
        "insights" => node.get("isEnabled").is_some_and(says_something),
        _ => says_something(node),
    }
}

fn is_in(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}
