//! One `egret.toml` as read: its rules, the policies that it names, its settings. Pure: the text is given.

use std::sync::Arc;

use crate::allowlist::Catalogue;
use crate::azure::shape::{self, Format};
use crate::policy::{ApplicationRule, PolicySettings, RuleCollectionGroup, Spot};

use super::error::{Findings, Place, Placed, Problem, Source};
use super::reader::{self, Section};
use super::rules;
use super::settings::Settings;
use super::settings_table;
use super::shorthand::Shorthand;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct File {
    pub rules: FileRules,
    pub settings: Settings,
    pub without: Vec<Placed<String>>,
    pub inputs: TemplateInputs,
    /// Files, relative to this one.
    pub topology: Vec<Placed<String>>,
    /// The sections and options that mean nothing in a file that is only used as a policy.
    pub beside_rules: Vec<Placed<String>>,
}

/// What templates among the policies are given.
#[derive(Debug, Default)]
pub(super) struct TemplateInputs {
    /// Files, relative to this one.
    pub parameters: Vec<Placed<String>>,
    /// `NAME=VALUE`
    pub set: Vec<Placed<String>>,
}

/// The part of a file that decides.
#[derive(Debug, Default)]
pub(super) struct FileRules {
    pub name: Option<String>,
    pub base_policy: Option<Placed<String>>,
    /// None where the file names no policies; an empty list is an answer.
    pub policy: Option<Vec<Placed<String>>>,
    pub shorthand: Shorthand,
    pub groups: Vec<RuleCollectionGroup>,
    pub infrastructure: Option<ApplicationRule>,
    /// `[settings]`
    pub policy_settings: PolicySettings,
    /// From `[settings]` on, or the whole file.
    pub at: Spot,
}

impl FileRules {
    /// True where it says nothing about what is allowed.
    pub(super) fn is_silent(&self) -> bool {
        let FileRules { name: _, base_policy, policy, shorthand, groups, infrastructure: _, policy_settings: _, at: _ } =
            self;
        base_policy.is_none() && policy.is_none() && shorthand.is_empty() && groups.is_empty()
    }

    /// True where it says more than what to allow or deny beside other policies.
    pub(super) fn names_policies(&self) -> bool {
        self.base_policy.is_some() || self.policy.is_some() || !self.groups.is_empty()
    }
}

const RULE_KEYS: &[&str] = &[
    "name",
    "classic",
    "policy",
    "base_policy",
    "allow",
    "deny",
    "infrastructure",
    "settings",
    "ip_group",
    "rule_collection_group",
];

/// Reads one file, reporting everything that is wrong with it.
pub(super) fn read(source: &Arc<Source>, catalogue: &Catalogue, findings: &mut Findings) -> File {
    if shape::detect(source.text(), source.name()) == Format::Json {
        let problem = Problem::new("this is JSON, not TOML").mend("name a policy in JSON by --policy, or by `policy`");
        findings.error(&Place::File { source: Arc::clone(source), span: 0..0, key: String::new() }, problem);
        return File::default();
    }
    let place = |span| Place::File { source: Arc::clone(source), span, key: String::new() };
    let Some(table) = reader::parse(source, place, findings) else {
        return File::default();
    };
    let root = Section::root(source, &table, findings);
    File {
        rules: FileRules { at: policy_spot(source, &root), ..read_rules(&root, catalogue, findings) },
        settings: Settings::of_file(&root, findings),
        without: root.items("without"),
        inputs: TemplateInputs { parameters: root.items("parameters"), set: root.items("set") },
        topology: root.items("topology"),
        beside_rules: beside_rules(&root),
    }
}

fn read_rules(root: &Section, catalogue: &Catalogue, findings: &mut Findings) -> FileRules {
    let infrastructure = root.table("infrastructure", findings);
    let classic = root.flag("classic") == Some(true);
    FileRules {
        name: if classic { Some(String::new()) } else { root.text("name").map(|name| name.value) },
        base_policy: root.text("base_policy"),
        policy: root.list("policy"),
        shorthand: Shorthand::read(&root.items("allow"), &root.items("deny"), findings),
        groups: rules::read(root, catalogue, findings),
        infrastructure: infrastructure.map(|section| rules::infrastructure(&section, findings)),
        policy_settings: settings_table::read(root, findings),
        at: Spot::nowhere(),
    }
}

fn policy_spot(source: &Source, root: &Section) -> Spot {
    match root.place_of_key("settings") {
        Place::File { span, .. } if root.has("settings") => Spot::new(source.number(), span.start..source.text().len()),
        _ => root.spot(),
    }
}

fn beside_rules(root: &Section) -> Vec<Placed<String>> {
    let keys = root.keys().filter(|key| !RULE_KEYS.contains(key));
    keys.map(|key| Placed { value: key.to_owned(), place: root.place_of_key(key) }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::options::OPTIONS;
    use super::*;
    use proptest::prelude::*;

    fn read_text(text: String) {
        let mut findings = Findings::default();
        read(&Source::new(0, "egret.toml".to_owned(), text), &Catalogue::default(), &mut findings);
        let _ = findings.finish(&[]).map_err(|errors| errors.to_string());
    }

    /// A line that sets some option, in a table or not, to some value of some kind.
    fn line() -> impl Strategy<Value = String> {
        let path = proptest::sample::select(OPTIONS).prop_map(|opt| opt.path);
        let value = prop_oneof![
            "[0-9a-z:/.*@-]{0,12}".prop_map(|text| format!("\"{text}\"")),
            "[0-9a-z:/.*@-]{0,12}".prop_map(|text| format!("[\"{text}\", 1]")),
            any::<i64>().prop_map(|number| number.to_string()),
            Just("{name = \"x\", priority = 100, rule = [{}]}".to_owned()),
            Just("[{}, {name = \"\", type = \"network\", rule_collection = [{rule = [{}]}]}]".to_owned()),
        ];
        (path, value, 0..3).prop_map(|(path, value, form)| match form {
            0 => format!("{path} = {value}"),
            1 => format!("[[{path}]]"),
            _ => format!("{} = {value}", path.rsplit('.').next().unwrap_or(path)),
        })
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer(text in any::<String>()) {
            read_text(text);
        }

        #[test]
        fn any_options_are_an_answer(lines in proptest::collection::vec(line(), 0..12)) {
            read_text(lines.join("\n"));
        }
    }
}
