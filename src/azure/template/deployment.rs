//! Deployments within deployments: templates written in place, and those that are linked to.

use std::rc::Rc;
use std::sync::Arc;

use super::eval::Machine;
use super::resources::Instance;
use super::scope::{Env, Given, Held, Level, Place, Rank, Stage};
use super::{Link, parameters_of, value};
use crate::azure::json::{Key, Node, Object, Value};
use crate::azure::note::{Note, Severity};
use crate::policy::Spot;

/// Deployments in deployments, as links may lead in a circle. Azure's own limit is lower.
const DEEPEST: usize = 16;

/// A template in a template.
pub(super) struct Nested<'t> {
    template: &'t Object,
    env: Env<'t>,
    pub(super) planned: Vec<Rc<Instance<'t>>>,
}

/// Whose parameters and variables the expressions of a nested template mean.
enum Scoping {
    Inner,
    Outer,
}

impl<'t> Machine<'t> {
    /// Names the resources of a template and of those within it.
    pub(super) fn plan_deep(&mut self, template: &'t Object, env: &Env<'t>) -> Vec<Rc<Instance<'t>>> {
        let planned = self.plan(template, env);
        for instance in planned.iter().filter(|instance| instance.is_deployment()) {
            self.nested(instance);
        }
        planned
    }

    /// What a deployment deploys; none where its condition does not hold, or its template is not at hand.
    pub(super) fn nested(&mut self, instance: &Rc<Instance<'t>>) -> Option<Rc<Nested<'t>>> {
        if let Some(nested) = self.nested.get(&instance.number) {
            return nested.clone();
        }
        // While it is being named, it has no resources for its own names to refer to.
        self.nested.insert(instance.number, None);
        let nested = self.is_deployed(instance).then(|| self.open(instance)).flatten().map(Rc::new);
        self.nested.insert(instance.number, nested.clone());
        nested
    }

    fn open(&mut self, instance: &Rc<Instance<'t>>) -> Option<Nested<'t>> {
        let outer = &instance.env.stage;
        if std::iter::successors(Some(outer), |stage| stage.outer.as_ref()).count() > DEEPEST {
            let what = format!("deployments are nested more than {DEEPEST} deep");
            self.note(Note::new(Severity::Error, instance.at, what));
            return None;
        }
        let properties = instance.written.get("properties")?;
        let (template, scoping) = self.template_of(instance, properties)?;
        let place = Rc::new(Place { level: level(template), ..Place::clone(&instance.place) });
        let stage =
            Rc::new(Stage { number: self.next_number(), place: Rc::clone(&place), outer: Some(Rc::clone(outer)) });
        let env = match scoping {
            Scoping::Outer => Env { stage, ..instance.env.clone() },
            Scoping::Inner => {
                let given = self.passed(instance, properties);
                let scope = Rc::new(self.scope(template, Rank::Nested, given));
                let place = Rc::new(Place { deployment: instance.name.clone(), ..Place::clone(&place) });
                Env { scope, place, stage, bound: None }
            }
        };
        let planned = self.plan_deep(template, &env);
        Some(Nested { template, env, planned })
    }

    fn template_of(&mut self, instance: &Instance<'t>, properties: &'t Node) -> Option<(&'t Object, Scoping)> {
        if let Some(template) = properties.get("template") {
            let options = properties.get("expressionEvaluationOptions").and_then(|options| options.get("scope"));
            let scope = options.map(|scope| self.node(scope, &instance.env));
            let is_inner = scope.as_ref().and_then(Node::text).is_some_and(|text| text.eq_ignore_ascii_case("inner"));
            let scoping = if is_inner { Scoping::Inner } else { Scoping::Outer };
            return match template.object() {
                Some(template) => Some((template, scoping)),
                None => {
                    let what = "the template of this deployment is made by an expression, and was not read";
                    self.note(Note::new(Severity::Doubt, template.at, what));
                    None
                }
            };
        }
        let link = properties.get("templateLink")?;
        Some((self.follow(instance, link)?.object()?, Scoping::Inner))
    }

    fn follow(&mut self, instance: &Instance<'t>, link: &'t Node) -> Option<&'t Node> {
        let written = ["relativePath", "uri", "id"].iter().find_map(|name| link.get(name));
        let Some(written) = written else {
            self.note(Note::new(Severity::Error, link.at, "a templateLink has no uri, relativePath or id"));
            return None;
        };
        let to = target(&self.node(written, &instance.env).value)?;
        let found = (self.inputs.linked)(&to);
        self.links.push(Link { at: written.at, to: to.clone(), file: found.and_then(|node| node.at.file()) });
        if found.is_none() {
            let what = format!("it links to {to}, which is not at hand; what that deploys was left out");
            let note = Note::new(Severity::Doubt, written.at, what);
            self.note(note.mend(format!("give that file too: --policy {}", file_name(&to))));
        }
        found
    }

    /// The parameters that a deployment passes, each to be evaluated around it when it is asked for.
    fn passed(&mut self, instance: &Instance<'t>, properties: &'t Node) -> Vec<(Arc<str>, Given<'t>)> {
        let Some(passed) = properties.get("parameters") else { return self.passed_by_link(instance, properties) };
        let Some(written) = passed.object() else {
            let held = self.held(passed, &instance.env);
            let object = held.node.object().map(|object| object.0.as_slice()).unwrap_or_default();
            let member = |(key, node): &(Key, Node)| Some((Arc::clone(&key.name), node.get("value")?.clone()));
            return object
                .iter()
                .filter_map(member)
                .map(|(name, node)| (name, Given::Value(Held::new(node))))
                .collect();
        };
        written.iter().map(|(key, node)| (Arc::clone(&key.name), self.passed_one(&key.name, node, instance))).collect()
    }

    fn passed_one(&mut self, name: &str, node: &'t Node, instance: &Instance<'t>) -> Given<'t> {
        match node.object().and_then(|object| super::members::find(object, "value")) {
            Some((_, value)) => Given::Expression(value, Box::new(instance.env.clone())),
            None if node.get("reference").is_some() => {
                Given::Value(Held::new(Node::new(value::unknown(format!("parameters.{name}")), node.at)))
            }
            None => Given::Nothing,
        }
    }

    fn passed_by_link(&mut self, instance: &Instance<'t>, properties: &'t Node) -> Vec<(Arc<str>, Given<'t>)> {
        let uri = properties.get("parametersLink").and_then(|link| link.get("uri"));
        let to = uri.and_then(|uri| target(&self.node(uri, &instance.env).value));
        let found = to.and_then(|to| (self.inputs.linked)(&to));
        let given = found.map(parameters_of).unwrap_or_default();
        given.into_iter().map(|(name, node)| (name, Given::Value(Held::new(node)))).collect()
    }

    /// `{outputs: {name: {type, value}}}`, as `reference()` of a deployment answers.
    pub(super) fn outputs(&mut self, instance: &Rc<Instance<'t>>) -> Held {
        let Some(nested) = self.nested(instance) else {
            return Held::new(Node::new(Value::Object(Object::default()), instance.at));
        };
        let written = nested.template.get("outputs").and_then(Node::object);
        let mut outputs = Vec::new();
        for (key, node) in written.into_iter().flat_map(Object::iter) {
            if let Some(value) = self.output(node, &nested.env) {
                outputs.push((key.clone(), wrapped("value", value, node.at)));
            }
        }
        let outputs = Node::new(Value::Object(Object(outputs)), instance.at);
        Held::new(wrapped("outputs", outputs, instance.at))
    }

    fn output(&mut self, output: &'t Node, env: &Env<'t>) -> Option<Node> {
        let condition = output.get("condition").map(|condition| self.node(condition, env).value);
        if condition == Some(Value::Bool(false)) {
            return None;
        }
        match output.get("copy") {
            Some(copy) => Some(self.looped(copy, env)),
            None => output.get("value").map(|value| self.node(value, env)),
        }
    }

    /// Where a resource goes that names a resource group or a subscription of its own.
    pub(super) fn place_of(&mut self, resource: &'t Object, env: &Env<'t>) -> Rc<Place> {
        let place = &env.stage.place;
        let (group, subscription) = (resource.get("resourceGroup"), resource.get("subscriptionId"));
        if group.is_none() && subscription.is_none() {
            return Rc::clone(place);
        }
        let level = if group.is_some() { Level::Group } else { Level::Subscription };
        let mut value = |node: Option<&Node>, other: &Value| node.map_or(other.clone(), |n| self.node(n, env).value);
        let subscription = value(subscription, &place.subscription);
        Rc::new(Place { level, subscription, group: value(group, &place.group), ..Place::clone(place) })
    }
}

/// What a template deploys to, by its schema.
pub(super) fn level(template: &Object) -> Level {
    let schema = template.get("$schema").and_then(Node::text).unwrap_or_default().to_lowercase();
    let schema = schema.rsplit('/').next().unwrap_or_default();
    match schema.trim_end_matches('#').trim_end_matches(".json") {
        "subscriptiondeploymenttemplate" => Level::Subscription,
        "managementgroupdeploymenttemplate" | "tenantdeploymenttemplate" => Level::Tenant,
        _ => Level::Group,
    }
}

fn wrapped(name: &str, node: Node, at: Spot) -> Node {
    Node::new(Value::Object(Object(vec![(Key { name: name.into(), at }, node)])), at)
}

/// Where a link leads to. Of an address that is known in part it is the part that names a file.
fn target(link: &Value) -> Option<String> {
    match link {
        Value::Text(text) => Some(text.to_string()),
        Value::Unknown(unknown) => {
            let known = unknown.shown.split(['{', '}']).filter(|part| !part.is_empty());
            let longest = known.filter(|part| part.to_lowercase().contains(".json")).max_by_key(|part| part.len());
            Some(longest.map_or_else(|| unknown.shown.to_string(), |part| part.trim_start_matches('/').to_owned()))
        }
        _ => None,
    }
}

fn file_name(link: &str) -> &str {
    let path = link.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("FILE")
}
