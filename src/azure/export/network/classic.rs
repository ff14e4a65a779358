//! Rules of a firewall without a policy, as commands of `az` (extension azure-firewall).
//!
//! `network-rule create` adds to what is there and refuses a priority for a collection that is there already, so that the
//! collection of the changes is made anew: then the script can be run again.

use std::fmt::Write as _;

use crate::azure::export::az_cli::{Command, with_fields};
use crate::azure::export::plan::{Collection, Plan};
use crate::azure::export::tree::Tree;
use crate::policy::Rules;

use super::firewall::Found;

/// ARM's names of a rule's fields and the flags for them.
const FLAGS: &[(&str, &str)] = &[
    ("description", "--description"),
    ("ipProtocols", "--protocols"),
    ("sourceAddresses", "--source-addresses"),
    ("sourceIpGroups", "--source-ip-groups"),
    ("destinationAddresses", "--destination-addresses"),
    ("destinationIpGroups", "--destination-ip-groups"),
    ("destinationFqdns", "--destination-fqdns"),
    ("destinationPorts", "--destination-ports"),
    ("protocols", "--protocols"),
    ("targetFqdns", "--target-fqdns"),
    ("fqdnTags", "--fqdn-tags"),
];

/// What is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    Rule,
    /// Its last rule goes, and it with that.
    Collection,
}

/// One collection, made anew with all its rules.
pub(super) fn write(text: &mut String, firewall: &str, collection: &Collection, plan: &Plan) {
    let Some(noun) = collection.rules.first().map(noun) else { return };
    let whole = |verb: &str| named(&format!("{noun} collection {verb}"), firewall).option("--name", &collection.name);
    text.push_str(&where_there(whole("show"), whole("delete")));
    for (number, rule) in collection.rules.iter().enumerate() {
        let name = rule.field("name").and_then(Tree::text);
        let mut command = named(&format!("{noun} create"), firewall)
            .option("--collection-name", &collection.name)
            .maybe("--name", name);
        if number == 0 {
            let priority = collection.priority.to_string();
            command = command.option("--priority", &priority).option("--action", collection.action.as_str());
        }
        // The command wants protocols, also beside a tag that brings its own.
        if rule.field("fqdnTags").is_some() && rule.field("protocols").is_none() {
            command = command.list("--protocols", &["Http=80".to_owned(), "Https=443".to_owned()]);
        }
        text.push_str(&with_fields(command, rule, FLAGS, plan).end());
    }
}

pub(super) fn removal(firewall: &str, found: &Found<'_>, lost: Lost) -> String {
    let noun = match found.rules {
        Rules::Dnat(_) => "nat-rule",
        Rules::Network(..) => "network-rule",
        Rules::Application(..) => "application-rule",
    };
    let command = |verb: &str| match lost {
        Lost::Rule => named(&format!("{noun} {verb}"), firewall)
            .option("--collection-name", found.collection)
            .option("--name", found.rule),
        Lost::Collection => named(&format!("{noun} collection {verb}"), firewall).option("--name", found.collection),
    };
    where_there(command("show"), command("delete"))
}

fn noun(rule: &Tree) -> &'static str {
    if rule.field("ruleType").and_then(Tree::text) == Some("ApplicationRule") {
        "application-rule"
    } else {
        "network-rule"
    }
}

fn named(command: &str, firewall: &str) -> Command {
    Command::new(&format!("az network firewall {command}")).option("--firewall-name", firewall)
}

fn where_there(show: Command, delete: Command) -> String {
    let (show, delete) = (show.end(), delete.end());
    let mut text = String::new();
    let (show, delete) = (show.trim(), delete.trim().replace("\n  ", "\n    "));
    writeln!(text, "\nif {show} >/dev/null 2>&1\nthen\n  {delete}\nfi").expect("a String takes any text");
    text
}
