//! ARM's JSON: resources, a template, and what `az` prints.

use super::API_VERSION;
use super::plan::{Group, IpGroup, Plan, Policy};
use super::tree::{Builder, Fields, Target, Tree};

const POLICIES: &str = "Microsoft.Network/firewallPolicies";
pub(super) const GROUPS: &str = "Microsoft.Network/firewallPolicies/ruleCollectionGroups";
const IP_GROUPS: &str = "Microsoft.Network/ipGroups";
/// Where resources are said to be that are nowhere yet.
const SCOPE: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/egret";

/// A list of resources with ids, without expressions.
pub(super) fn resources(plan: &Plan, remark: Option<&str>) -> String {
    listed(plan, remark, Nesting::Properties)
}

/// As `az … -o json` prints them: without `properties`.
pub(super) fn flattened(plan: &Plan, remark: Option<&str>) -> String {
    listed(plan, remark, Nesting::Flat)
}

#[derive(Clone, Copy, PartialEq)]
enum Nesting {
    Properties,
    Flat,
}

fn listed(plan: &Plan, remark: Option<&str>, nesting: Nesting) -> String {
    let literal = |leaf: &Tree| match leaf {
        Tree::Id(target) => Tree::Text(id(plan, *target)),
        leaf => leaf.clone(),
    };
    let mut list: Vec<Tree> = Vec::new();
    for (number, group) in plan.ip_groups.iter().enumerate() {
        let fields = Builder::default().text("name", Some(group.name.as_str())).text("type", Some(IP_GROUPS));
        let fields = fields.text("id", Some(id(plan, Target::IpGroup(number)))).fields();
        list.push(with_properties(fields, ip_group_properties(group), nesting));
    }
    for (number, policy) in plan.policies.iter().enumerate() {
        let policy_id = id(plan, Target::Policy(number));
        let fields = Builder::default().text("name", Some(policy.name.as_str())).text("type", Some(POLICIES));
        let fields = fields.text("id", Some(policy_id.as_str())).text("location", policy.location.as_deref());
        let fields = fields.fields().into_iter().chain(policy.rest.clone()).collect();
        list.push(with_properties(fields, policy.properties.clone(), nesting));
        for group in &policy.groups {
            // The REST API names a group by itself, a template by its policy too.
            let name = match nesting {
                Nesting::Properties => format!("{}/{}", policy.name, group.name),
                Nesting::Flat => group.name.clone(),
            };
            let fields = Builder::default().text("name", Some(name)).text("type", Some(GROUPS));
            let fields = fields.text("id", Some(format!("{policy_id}/ruleCollectionGroups/{}", group.name)));
            list.push(with_properties(fields.fields(), group_properties(group), nesting));
        }
    }
    if let (Some(remark), Some(Tree::Object(first))) = (remark, list.first_mut()) {
        // JSON has no comments; Azure's resources have a property for them.
        first.insert(0, ("comments".to_owned(), Tree::Text(remark.to_owned())));
    }
    Tree::List(list).map(&literal).json()
}

fn with_properties(mut fields: Fields, properties: Fields, nesting: Nesting) -> Tree {
    match nesting {
        Nesting::Properties => fields.push(("properties".to_owned(), Tree::Object(properties))),
        Nesting::Flat => fields.extend(properties),
    }
    Tree::Object(fields)
}

fn ip_group_properties(group: &IpGroup) -> Fields {
    vec![("ipAddresses".to_owned(), Tree::texts(group.addresses.iter().cloned()))]
}

pub(super) fn group_properties(group: &Group) -> Fields {
    vec![
        ("priority".to_owned(), Tree::number(group.priority)),
        ("ruleCollections".to_owned(), group.rule_collections()),
    ]
}

fn id(plan: &Plan, target: Target) -> String {
    let (kind, name) = kind_and_name(plan, target);
    format!("{SCOPE}/providers/{kind}/{name}")
}

fn kind_and_name(plan: &Plan, target: Target) -> (&'static str, &str) {
    match target {
        Target::IpGroup(number) => (IP_GROUPS, plan.ip_groups.get(number).map_or("", |group| &group.name)),
        Target::Policy(number) => (POLICIES, plan.policies.get(number).map_or("", |policy| &policy.name)),
    }
}

/// A template whose policy's name and location are parameters. Azure changes one group of a policy at a time, so each
/// waits for the one before it.
pub(super) fn template(plan: &Plan, remark: Option<&str>) -> String {
    let templated = |leaf: &Tree| match leaf {
        Tree::Id(target) => Tree::Text(format!("[{}]", resource_id(plan, *target))),
        Tree::Text(text) => Tree::Text(literal(text)),
        leaf => leaf.clone(),
    };
    let main = plan.policies.last();
    let name = main.map_or("", |policy| &policy.name);
    let location = main.and_then(|policy| policy.location.as_deref()).unwrap_or("[resourceGroup().location]");
    let metadata = Builder::default().text("generator", Some("egret")).text("comment", remark);
    let parameter =
        |default: &str| Builder::default().text("type", Some("string")).text("defaultValue", Some(default)).object();
    let parameters =
        Builder::default().put("policyName", parameter(name)).put("location", parameter(location)).object();
    let tree = Builder::default()
        .text("$schema", Some("https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"))
        .text("contentVersion", Some("1.0.0.0"))
        .put("metadata", metadata.object())
        .put("parameters", parameters)
        .fields();
    let mut fields = tree;
    fields.push(("resources".to_owned(), Tree::List(template_resources(plan, &templated))));
    Tree::Object(fields).json()
}

fn template_resources(plan: &Plan, templated: &dyn Fn(&Tree) -> Tree) -> Vec<Tree> {
    let mut list = Vec::new();
    for group in &plan.ip_groups {
        let head = head(IP_GROUPS, literal(&group.name)).text("location", Some("[parameters('location')]"));
        list.push(finished(head, ip_group_properties(group), &[], templated));
    }
    let mut last: Option<String> = None;
    for (number, policy) in plan.policies.iter().enumerate() {
        let mut after = ids_in(plan, &Tree::Object(policy.properties.clone()));
        after.extend(last.take());
        list.push(template_policy(plan, number, policy, &after, templated));
        let own = resource_id(plan, Target::Policy(number));
        for group in &policy.groups {
            let tree = group.rule_collections();
            let mut after = vec![own.clone()];
            after.extend(ids_in(plan, &tree));
            after.extend(last.take());
            let name = format!("[format('{{0}}/{{1}}', {}, {})]", policy_name(plan, number), quoted(&group.name));
            list.push(finished(head(GROUPS, name), group_properties(group), &after, templated));
            let segments = format!("{}, {}", policy_name(plan, number), quoted(&group.name));
            last = Some(format!("resourceId('{GROUPS}', {segments})"));
        }
    }
    list
}

fn template_policy(
    plan: &Plan,
    number: usize,
    policy: &Policy,
    after: &[String],
    templated: &dyn Fn(&Tree) -> Tree,
) -> Tree {
    let name = match number + 1 == plan.policies.len() {
        true => "[parameters('policyName')]".to_owned(),
        false => literal(&policy.name),
    };
    let mut head = head(POLICIES, name).text("location", Some("[parameters('location')]"));
    for (key, value) in &policy.rest {
        head = head.put(key, value.map(templated));
    }
    finished(head, policy.properties.clone(), after, templated)
}

fn head(kind: &str, name: String) -> Builder {
    Builder::default().text("type", Some(kind)).text("apiVersion", Some(API_VERSION)).text("name", Some(name))
}

fn finished(head: Builder, properties: Fields, after: &[String], templated: &dyn Fn(&Tree) -> Tree) -> Tree {
    let after = after.iter().map(|id| format!("[{id}]"));
    let mut fields = head.put("dependsOn", Tree::texts(after)).fields();
    fields.push(("properties".to_owned(), Tree::Object(properties).map(templated)));
    Tree::Object(fields)
}

fn ids_in(plan: &Plan, tree: &Tree) -> Vec<String> {
    tree.targets().into_iter().map(|target| resource_id(plan, target)).collect()
}

/// The call of the function `resourceId`, without brackets.
fn resource_id(plan: &Plan, target: Target) -> String {
    let (kind, name) = kind_and_name(plan, target);
    let name = match target {
        Target::Policy(number) => policy_name(plan, number),
        Target::IpGroup(_) => quoted(name),
    };
    format!("resourceId('{kind}', {name})")
}

fn policy_name(plan: &Plan, number: usize) -> String {
    if number + 1 == plan.policies.len() {
        return "parameters('policyName')".to_owned();
    }
    quoted(plan.policies.get(number).map_or("", |policy| &policy.name))
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text that would be an expression is escaped by a second bracket.
pub(super) fn literal(text: &str) -> String {
    if text.starts_with('[') && text.ends_with(']') { format!("[{text}") } else { text.to_owned() }
}
