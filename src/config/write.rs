//! Rules and settings as an `egret.toml` that is read back into the same.
//!
//! One file a policy: a file names the one before it as its `base_policy`, so the last is the one to load.

mod page;
mod rule;
mod topology;

use std::collections::{HashMap, HashSet};

use crate::azure::note::{Note, Severity};
use crate::policy::{
    ApplicationRule, PolicyRules, PolicySettings, RuleCollection, RuleCollectionGroup, RuleSet, Rules, Spot,
};

use page::Page;
use rule::{IpGroups, RuleWriter};
pub use topology::to_vnet_toml;

/// Files in the order in which their policies come, and what could not be said in them.
#[derive(Debug, Default)]
pub struct Written {
    pub files: Vec<WrittenFile>,
    /// An Error is a loss: flows may be decided otherwise.
    pub notes: Vec<Note>,
}

/// One file of [`Written`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// `lab.toml`, none twice.
    pub name: String,
    pub text: String,
}

/// Writes policies as files of TOML, at least one.
pub fn to_toml(rules: &RuleSet) -> Written {
    // Threat intelligence is in the settings of the policies, or the operator's own.
    let RuleSet { policies, infrastructure, service_endpoints, threat_intel: _ } = rules;
    let mut written = Written::default();
    let mut names = Siblings::default();
    let silent = [PolicyRules { name: "none".to_owned(), ..PolicyRules::default() }];
    let policies = if policies.is_empty() { &silent } else { policies.as_slice() };
    for (number, policy) in policies.iter().enumerate() {
        let parent = written.files.last().map(|file| file.name.clone());
        let last = number + 1 == policies.len();
        let infrastructure = if last { infrastructure.as_slice() } else { &[] };
        let text = file(policy, parent.as_deref(), infrastructure, &mut written.notes);
        written.files.push(WrittenFile { name: names.unique(&file_name(&policy.name)) + ".toml", text });
    }
    for endpoint in service_endpoints {
        let what = format!("the service endpoint {} belongs to a built-in policy and is not written", endpoint.service);
        let note = Note::new(Severity::Error, Spot::nowhere(), what);
        written.notes.push(note.mend("name the built-in policy in `policy`, or convert with --service-endpoints none"));
    }
    written
}

/// Letters, digits and a few signs, which no system minds.
fn file_name(policy: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = policy.chars().map(plain).take(80).collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() { "policy".to_owned() } else { name.to_owned() }
}

fn file(
    policy: &PolicyRules,
    parent: Option<&str>,
    infrastructure: &[ApplicationRule],
    notes: &mut Vec<Note>,
) -> String {
    let PolicyRules { name, groups, settings, firewall: _, at: _ } = policy;
    let mut page = Page::default();
    match name.as_str() {
        "" => page.flag("classic", Some(true)),
        name => page.text("name", Some(name)),
    }
    page.text("base_policy", parent);
    if groups.is_empty() && parent.is_none() {
        // A file that names no rule at all would stand for the default policy.
        page.raw("policy", "[]");
    }
    settings_table(settings, &mut page);
    infrastructure_table(infrastructure, &mut page, notes);
    let ip_groups = IpGroups::of(policy);
    for (name, ranges) in ip_groups.iter() {
        page.tables("ip_group");
        page.text("name", Some(name));
        page.list("addresses", ranges.iter().map(ToString::to_string));
    }
    let mut group_names = Siblings::default();
    let mut writer = RuleWriter { page: &mut page, ip_groups: &ip_groups, notes, denies: false };
    for group in groups {
        let name = if policy.name.is_empty() { group.name.clone() } else { group_names.unique(&group.name) };
        write_group(group, &name, &mut writer);
    }
    page.finish()
}

fn write_group(group: &RuleCollectionGroup, name: &str, writer: &mut RuleWriter<'_>) {
    let RuleCollectionGroup { name: _, priority, collections, at: _ } = group;
    writer.page.tables("rule_collection_group");
    writer.page.text("name", Some(name));
    writer.page.number("priority", Some(priority.get()));
    let mut names = Siblings::default();
    for collection in collections {
        write_collection(collection, &names.unique(&collection.name), writer);
    }
}

fn write_collection(collection: &RuleCollection, name: &str, writer: &mut RuleWriter<'_>) {
    let RuleCollection { name: _, priority, rules, at: _ } = collection;
    writer.page.tables("rule_collection_group.rule_collection");
    writer.page.text("name", Some(name));
    writer.page.number("priority", Some(priority.get()));
    let mut names = Siblings::default();
    match rules {
        Rules::Dnat(rules) => {
            writer.kind("dnat", None);
            rules.iter().for_each(|rule| writer.dnat(rule, &mut names));
        }
        Rules::Network(action, rules) => {
            writer.kind("network", Some(*action));
            rules.iter().for_each(|rule| writer.network(rule, &mut names));
        }
        Rules::Application(action, rules) => {
            writer.kind("application", Some(*action));
            rules.iter().for_each(|rule| writer.application(rule, &mut names));
        }
    }
}

fn settings_table(settings: &PolicySettings, page: &mut Page) {
    if *settings == PolicySettings::default() {
        return;
    }
    let PolicySettings { tier, base_policy, threat_intel, dns, snat, explicit_proxy, idps, allow_sql_redirect, kept } =
        settings;
    page.table("settings");
    page.text("tier", tier.map(|tier| tier.as_str()));
    page.text("base_policy", base_policy.as_deref());
    page.text("idps", idps.map(|mode| mode.as_str()));
    page.flag("allow_sql_redirect", *allow_sql_redirect);
    page.table("settings.threat_intel");
    page.text("mode", threat_intel.mode.map(|mode| mode.as_str()));
    page.list("allowed_fqdns", threat_intel.allowed_fqdns.iter().map(ToString::to_string));
    page.list("allowed_addresses", rule::addresses(&threat_intel.allowed_addresses));
    page.table("settings.dns");
    page.list("servers", dns.servers.iter().map(ToString::to_string));
    page.flag("proxy", dns.proxy);
    page.flag("require_proxy_for_network_rules", dns.require_proxy_for_network_rules);
    page.table("settings.snat");
    match snat.private_ranges.as_deref() {
        Some([]) => page.raw("private_ranges", "[]"),
        ranges => page.list("private_ranges", ranges.unwrap_or_default().iter().map(ToString::to_string)),
    }
    page.flag("auto_learn", snat.auto_learn);
    page.table("settings.explicit_proxy");
    page.flag("enabled", explicit_proxy.enabled);
    page.number("http_port", explicit_proxy.http_port);
    page.number("https_port", explicit_proxy.https_port);
    page.flag("pac_enabled", explicit_proxy.pac_enabled);
    page.number("pac_port", explicit_proxy.pac_port);
    page.text("pac_file", explicit_proxy.pac_file.as_deref());
    for (property, json) in kept {
        page.tables("settings.kept");
        page.text("property", Some(property));
        page.text("json", Some(json));
    }
}

fn infrastructure_table(rules: &[ApplicationRule], page: &mut Page, notes: &mut Vec<Note>) {
    let Some(first) = rules.first() else { return };
    let plain = |rule: &ApplicationRule| {
        rule.sources.is_any() && rule.protocols == first.protocols && rule.tags.is_empty() && rule.urls.is_empty()
    };
    page.table("infrastructure");
    page.list("fqdns", rules.iter().filter(|rule| plain(rule)).flat_map(|rule| &rule.fqdns).map(ToString::to_string));
    page.list("protocols", first.protocols.iter().map(|protocol| rule::app_protocol(*protocol)));
    for rule in rules.iter().filter(|rule| !plain(rule)) {
        let what = format!("the infrastructure rule `{}` does not fit into one table and is left out", rule.name);
        notes.push(Note::new(Severity::Error, rule.about.at, what));
    }
}

/// Names of siblings, of which none may come twice.
#[derive(Default)]
struct Siblings {
    taken: HashSet<String>,
    /// For each that came again the number that is tried next: thousands of one name do not go through each other's.
    next: HashMap<String, u32>,
    tried: usize,
}

impl Siblings {
    /// The name, or the name with the first number that is free.
    fn unique(&mut self, name: &str) -> String {
        let name = if name.trim().is_empty() { "unnamed" } else { name };
        let Siblings { taken, next, tried } = self;
        let mut candidate = name.to_owned();
        let next = next.entry(candidate.clone()).or_insert(2);
        while !taken.insert(candidate.clone()) {
            candidate = format!("{name}-{next}");
            *next += 1;
            *tried += 1;
        }
        candidate
    }
}

#[cfg(test)]
mod tests;
