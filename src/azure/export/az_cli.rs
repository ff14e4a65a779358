//! A bash script of `az` commands (extension azure-firewall). A group is made anew, empty, and filled rule by rule, so
//! that the script may be run again.

use std::fmt::Write as _;

use crate::azure::note::{Note, Severity};
use crate::policy::Spot;

use super::plan::{Collection, CollectionAction, Group, Plan, Policy};
use super::settings::user_assigned;
use super::terraform::without_rules;
use super::tree::{Target, Tree, field};

const HEAD: &str = "\
# Needs the extension: az extension add --name azure-firewall
# Run again, it makes each group anew: until its last command a group holds only a part of its rules.
set -euo pipefail
: \"${RESOURCE_GROUP:?set RESOURCE_GROUP to the name of the resource group}\"
";

const POLICY: &str = "az network firewall policy";
pub(super) const GROUP: &str = "az network firewall policy rule-collection-group";

/// ARM's names of a rule's fields and the flags for them.
const FLAGS: &[(&str, &str)] = &[
    ("description", "--description"),
    ("ipProtocols", "--ip-protocols"),
    ("sourceAddresses", "--source-addresses"),
    ("sourceIpGroups", "--source-ip-groups"),
    ("destinationAddresses", "--destination-addresses"),
    ("destinationIpGroups", "--destination-ip-groups"),
    ("destinationFqdns", "--destination-fqdns"),
    ("destinationPorts", "--destination-ports"),
    ("translatedAddress", "--translated-address"),
    ("translatedFqdn", "--translated-fqdn"),
    ("translatedPort", "--translated-port"),
    ("protocols", "--protocols"),
    ("targetFqdns", "--target-fqdns"),
    ("targetUrls", "--target-urls"),
    ("fqdnTags", "--fqdn-tags"),
    ("webCategories", "--web-categories"),
    ("terminateTLS", "--enable-tls-insp"),
    ("httpHeadersToInsert", "--http-headers-to-insert"),
];

/// The same of traffic that intrusion detection passes over.
const BYPASS: &[(&str, &str)] = &[
    ("name", "--rule-name"),
    ("description", "--rule-description"),
    ("protocol", "--rule-protocol"),
    ("sourceAddresses", "--rule-src-addresses"),
    ("sourceIpGroups", "--rule-src-ip-groups"),
    ("destinationAddresses", "--rule-dest-addresses"),
    ("destinationIpGroups", "--rule-dest-ip-groups"),
    ("destinationPorts", "--rule-dest-ports"),
];

/// One command, an option a line.
pub(super) struct Command(String);

impl Command {
    pub(super) fn new(command: &str) -> Command {
        Command(format!("\n{command} --resource-group \"$RESOURCE_GROUP\""))
    }

    pub(super) fn option(mut self, flag: &str, value: &str) -> Command {
        // What begins with a hyphen would be taken for a flag.
        let between = if value.starts_with('-') { "=" } else { " " };
        write!(self.0, " \\\n  {flag}{between}{}", quoted(value)).expect("a String takes any text");
        self
    }

    /// What bash is to read as it stands.
    pub(super) fn raw(mut self, text: &str) -> Command {
        write!(self.0, " \\\n  {text}").expect("a String takes any text");
        self
    }

    pub(super) fn maybe(self, flag: &str, value: Option<&str>) -> Command {
        value.into_iter().fold(self, |command, value| command.option(flag, value))
    }

    /// Several values, or nothing where there is none.
    pub(super) fn list(mut self, flag: &str, values: &[String]) -> Command {
        if !values.is_empty() {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            write!(self.0, " \\\n  {flag} {}", values.join(" ")).expect("a String takes any text");
        }
        self
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('\n');
        self.0
    }
}

/// For bash. No value holds a zero byte: neither TOML nor a rule's name can.
pub(super) fn quoted(text: &str) -> String {
    let text = text.replace('\0', "");
    shlex::try_quote(&text).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

pub(super) fn write(plan: &mut Plan, remark: Option<&str>) -> String {
    let mut notes = Vec::new();
    let mut text = String::from("#!/usr/bin/env bash\n");
    remark.iter().for_each(|remark| writeln!(text, "# {remark}").expect("a String takes any text"));
    text.push_str(HEAD);
    let location = plan.policies.last().and_then(|policy| policy.location.as_deref());
    for group in &plan.ip_groups {
        let command = Command::new("az network ip-group create").option("--name", &group.name);
        text.push_str(&command.maybe("--location", location).list("--ip-addresses", &group.addresses).end());
    }
    for policy in &plan.policies {
        text.push_str(&create_policy(policy, location, plan, &mut notes));
        write_intrusion_detection(&mut text, policy, plan, &mut notes);
        for group in &policy.groups {
            write_group(&mut text, policy, group, plan, &mut notes);
        }
    }
    plan.notes.append(&mut notes);
    text
}

fn create_policy(policy: &Policy, location: Option<&str>, plan: &Plan, notes: &mut Vec<Note>) -> String {
    let mut command = Command::new(&format!("{POLICY} create")).option("--name", &policy.name);
    command = command.maybe("--location", location);
    for (key, value) in policy.properties.iter().chain(&policy.rest) {
        let text = |name: &str| value.field(name).map(|value| word(value, plan));
        let words = |name: &str| value.field(name).map(|value| words(value, plan)).unwrap_or_default();
        command = match key.as_str() {
            "sku" => command.maybe("--sku", text("tier").as_deref()),
            "basePolicy" => command.maybe("--base-policy", text("id").as_deref()),
            "threatIntelMode" => command.maybe("--threat-intel-mode", value.text()),
            "threatIntelWhitelist" => {
                command.list("--ip-addresses", &words("ipAddresses")).list("--fqdns", &words("fqdns"))
            }
            "dnsSettings" => {
                if value.field("requireProxyForNetworkRules").is_some() {
                    notes.push(not_written("dnsSettings.requireProxyForNetworkRules"));
                }
                let command = command.list("--dns-servers", &words("servers"));
                command.maybe("--enable-dns-proxy", text("enableProxy").as_deref())
            }
            "snat" => {
                let command = command.maybe("--learn-ranges", text("autoLearnPrivateRanges").as_deref());
                match value.field("privateRanges") {
                    Some(ranges) if ranges.items().is_empty() => command.option("--private-ranges", "[]"),
                    _ => command.list("--private-ranges", &words("privateRanges")),
                }
            }
            "sql" => command.maybe("--sql", text("allowSqlRedirect").as_deref()),
            "explicitProxy" => command.list("--explicit-proxy", &explicit_proxy(value, plan)),
            "intrusionDetection" => {
                let command = command.maybe("--idps-mode", text("mode").as_deref());
                command.maybe("--idps-profile", text("profile").as_deref())
            }
            "transportSecurity" => with_certificate(command, value, notes),
            "identity" => with_identity(command, value, notes),
            "tags" => command.list("--tags", &tags(value, plan)),
            key => {
                notes.push(not_written(key));
                command
            }
        };
    }
    command.end()
}

fn with_certificate(command: Command, transport: &Tree, notes: &mut Vec<Note>) -> Command {
    let authority = |name: &str| transport.field("certificateAuthority")?.field(name)?.text();
    let (Some(secret), Some(name)) = (authority("keyVaultSecretId"), authority("name")) else {
        notes.push(not_written("transportSecurity"));
        return command;
    };
    command.option("--key-vault-secret-id", secret).option("--cert-name", name)
}

/// The flag takes one identity, of the user.
fn with_identity(command: Command, identity: &Tree, notes: &mut Vec<Note>) -> Command {
    match user_assigned(identity).as_deref() {
        Some([id]) => command.option("--identity", id),
        _ => {
            notes.push(not_written("identity"));
            command
        }
    }
}

/// What `policy create` has no flags for. The extension makes a configuration of an overridden signature only: there is
/// no other way to begin one.
fn write_intrusion_detection(text: &mut String, policy: &Policy, plan: &Plan, notes: &mut Vec<Note>) {
    let Some(configuration) = field(&policy.properties, "intrusionDetection").and_then(|it| it.field("configuration"))
    else {
        return;
    };
    let items = |name: &str| configuration.field(name).map(Tree::items).unwrap_or_default();
    let command = || Command::new(&format!("{POLICY} intrusion-detection add")).option("--policy-name", &policy.name);
    let overrides = items("signatureOverrides");
    if overrides.is_empty() {
        let unwritten = ["privateRanges", "bypassTrafficSettings"].into_iter().filter(|name| !items(name).is_empty());
        notes.extend(unwritten.map(|name| not_written(&format!("intrusionDetection.configuration.{name}"))));
        return;
    }
    for (number, signature) in overrides.iter().enumerate() {
        let part = |name: &str| signature.field(name).and_then(Tree::text);
        let command = command().maybe("--mode", part("mode")).maybe("--signature-id", part("id"));
        let ranges = if number == 0 { words_of(items("privateRanges"), plan) } else { Vec::new() };
        text.push_str(&command.list("--private-ranges", &ranges).end());
    }
    for bypass in items("bypassTrafficSettings") {
        text.push_str(&with_fields(command(), bypass, BYPASS, plan).end());
    }
}

fn not_written(property: &str) -> Note {
    let what = format!("the policy's `{property}` has no flag of az here and is not written");
    Note::new(Severity::Warning, Spot::nowhere(), what).mend("write a template instead (--to arm-template)")
}

fn explicit_proxy(proxy: &Tree, plan: &Plan) -> Vec<String> {
    let keys = [
        ("enableExplicitProxy", "enable-explicit-proxy"),
        ("httpPort", "http-port"),
        ("httpsPort", "https-port"),
        ("enablePacFile", "enable-pac-file"),
        ("pacFilePort", "pac-file-port"),
        ("pacFile", "pac-file"),
    ];
    let pair = |(arm, own): (&str, &str)| Some(format!("{own}={}", word(proxy.field(arm)?, plan)));
    keys.into_iter().filter_map(pair).collect()
}

fn tags(tags: &Tree, plan: &Plan) -> Vec<String> {
    let Tree::Object(fields) = tags else { return Vec::new() };
    fields.iter().map(|(key, value)| format!("{key}={}", word(value, plan))).collect()
}

pub(super) fn write_group(text: &mut String, policy: &Policy, group: &Group, plan: &Plan, notes: &mut Vec<Note>) {
    let command = Command::new(&format!("{GROUP} create")).option("--policy-name", &policy.name);
    let command = command.option("--name", &group.name).option("--priority", &group.priority.to_string());
    text.push_str(&command.end());
    for collection in &group.collections {
        if collection.rules.is_empty() {
            notes.push(without_rules(group, collection, "az"));
        }
        for (number, rule) in collection.rules.iter().enumerate() {
            let command = match number {
                0 => add_collection(policy, group, collection, rule),
                _ => add_rule(policy, group, collection, rule),
            };
            text.push_str(&with_fields(command, rule, FLAGS, plan).end());
        }
    }
}

/// A collection comes with its first rule.
fn add_collection(policy: &Policy, group: &Group, collection: &Collection, rule: &Tree) -> Command {
    let verb = match collection.action {
        CollectionAction::Dnat => "add-nat-collection",
        CollectionAction::Allow | CollectionAction::Deny => "add-filter-collection",
    };
    let command = Command::new(&format!("{GROUP} collection {verb}"))
        .option("--policy-name", &policy.name)
        .option("--rule-collection-group-name", &group.name)
        .option("--name", &collection.name)
        .option("--collection-priority", &collection.priority.to_string())
        .option("--action", collection.action.as_str());
    let kind = match collection.action {
        CollectionAction::Dnat => None,
        CollectionAction::Allow | CollectionAction::Deny => rule.field("ruleType").and_then(Tree::text),
    };
    command.maybe("--rule-type", kind).maybe("--rule-name", rule.field("name").and_then(Tree::text))
}

fn add_rule(policy: &Policy, group: &Group, collection: &Collection, rule: &Tree) -> Command {
    Command::new(&format!("{GROUP} collection rule add"))
        .option("--policy-name", &policy.name)
        .option("--rule-collection-group-name", &group.name)
        .option("--collection-name", &collection.name)
        .maybe("--name", rule.field("name").and_then(Tree::text))
        .maybe("--rule-type", rule.field("ruleType").and_then(Tree::text))
}

pub(super) fn with_fields(mut command: Command, rule: &Tree, flags: &[(&str, &str)], plan: &Plan) -> Command {
    for (arm, flag) in flags {
        command = match rule.field(arm) {
            Some(list @ Tree::List(_)) => command.list(flag, &words(list, plan)),
            Some(value) => command.option(flag, &word(value, plan)),
            None => command,
        };
    }
    command
}

fn words(list: &Tree, plan: &Plan) -> Vec<String> {
    words_of(list.items(), plan)
}

fn words_of(items: &[Tree], plan: &Plan) -> Vec<String> {
    items.iter().map(|item| word(item, plan)).collect()
}

/// One value; a protocol as `Https=443`, a header as `Name=value`, a resource by its name.
fn word(value: &Tree, plan: &Plan) -> String {
    match value {
        Tree::Flag(flag) => flag.to_string(),
        Tree::Text(text) | Tree::Number(text) => text.clone(),
        Tree::Id(Target::IpGroup(number)) => plan.ip_groups.get(*number).map_or("", |it| &it.name).to_owned(),
        Tree::Id(Target::Policy(number)) => plan.policies.get(*number).map_or("", |it| &it.name).to_owned(),
        Tree::Object(_) => {
            let part = |names: [&str; 2]| names.iter().find_map(|name| value.field(name)?.text()).unwrap_or_default();
            format!("{}={}", part(["protocolType", "headerName"]), part(["port", "headerValue"]))
        }
        Tree::Null | Tree::List(_) => String::new(),
    }
}
