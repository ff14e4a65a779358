//! Resources: their loops, children, full types and names; and how others find them.
//!
//! All are named before any is evaluated, so that they may refer to each other in any order.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::copy::Count;
use super::eval::Machine;
use super::meter::Stop;
use super::scope::{Bound, Env, Held, Looped, Place, Stage};
use super::{ids, value};
use crate::azure::json::{Key, Node, Object, Unknown, Value};
use crate::azure::note::{Note, Severity};
use crate::policy::Spot;

/// Instances of resources of one template with all that it links to.
const MOST_INSTANCES: usize = 100_000;
/// Members that say how to deploy, and nothing of what is deployed.
const NOT_DEPLOYED: [&str; 9] =
    ["copy", "condition", "resources", "dependsOn", "comments", "metadata", "type", "name", "properties"];

/// One resource, once its loops have gone round.
pub(super) struct Instance<'t> {
    pub(super) number: usize,
    pub(super) written: &'t Object,
    pub(super) at: Spot,
    /// In full: `Microsoft.Network/firewallPolicies/ruleCollectionGroups`.
    pub(super) kind: Arc<str>,
    /// In full: `policy/group`.
    pub(super) name: Value,
    pub(super) id: Value,
    pub(super) place: Rc<Place>,
    pub(super) env: Env<'t>,
}

impl Instance<'_> {
    pub(super) fn is_deployment(&self) -> bool {
        self.kind.eq_ignore_ascii_case("Microsoft.Resources/deployments")
    }

    /// It is there already, and is only named for others to refer to.
    fn is_existing(&self) -> bool {
        self.written.get("existing").is_some_and(|node| node.value == Value::Bool(true))
    }

    pub(super) fn shown(&self) -> String {
        value::reading(&self.name).unwrap_or("?").to_owned()
    }
}

#[derive(Default)]
pub(super) struct Index<'t> {
    found: HashMap<String, Rc<Instance<'t>>>,
}

impl<'t> Index<'t> {
    /// One that is deployed goes before one that exists.
    fn insert(&mut self, key: String, instance: &Rc<Instance<'t>>) {
        let known = self.found.get(&key);
        if known.is_none_or(|known| known.is_existing() && !instance.is_existing()) {
            self.found.insert(key, Rc::clone(instance));
        }
    }

    /// By symbolic name, id, `Namespace/type/name` or name, whichever `reference()` was given.
    pub(super) fn find(&self, asked: &str, stage: &Rc<Stage>) -> Option<Rc<Instance<'t>>> {
        let asked = asked.to_lowercase();
        if asked.starts_with('/') || asked.starts_with("{") && asked.contains("/providers/") {
            return self.found.get(&asked).cloned();
        }
        let mut stages = std::iter::successors(Some(stage), |stage| stage.outer.as_ref());
        let near = stages.find_map(|stage| self.found.get(&format!("{}:{asked}", stage.number)));
        near.or_else(|| self.found.get(&asked)).cloned()
    }
}

impl<'t> Machine<'t> {
    /// The resources of a template, named and found by others, not evaluated.
    pub(super) fn plan(&mut self, template: &'t Object, env: &Env<'t>) -> Vec<Rc<Instance<'t>>> {
        let mut planned = Vec::new();
        if let Some(resources) = template.get("resources") {
            self.plan_all(resources, None, env, &mut planned);
        }
        planned
    }

    fn plan_all(
        &mut self,
        resources: &'t Node,
        parent: Option<&Rc<Instance<'t>>>,
        env: &Env<'t>,
        planned: &mut Vec<Rc<Instance<'t>>>,
    ) {
        match &resources.value {
            Value::List(items) => items.iter().for_each(|node| {
                self.plan_one(&Written { node, symbol: None, parent }, env, planned);
            }),
            Value::Object(object) => object.iter().for_each(|(key, node)| {
                self.plan_one(&Written { node, symbol: Some(&key.name), parent }, env, planned);
            }),
            _ => {
                let what = format!("resources are a list or an object, and this is {}", resources.kind());
                self.note(Note::new(Severity::Error, resources.at, what));
            }
        }
    }

    fn plan_one(&mut self, written: &Written<'_, 't>, env: &Env<'t>, planned: &mut Vec<Rc<Instance<'t>>>) {
        let Some(object) = written.node.object() else {
            let what = format!("a resource is an object, and this is {}", written.node.kind());
            return self.note(Note::new(Severity::Error, written.node.at, what));
        };
        let Some(copy) = object.get("copy").filter(|copy| copy.object().is_some()) else {
            return self.plan_instance(written, object, None, env, planned);
        };
        match self.count(copy, env) {
            Some(Count::Known(count)) => {
                let name: Arc<str> = copy.get("name").and_then(Node::text).unwrap_or_default().into();
                for index in 0..count {
                    if self.instances > MOST_INSTANCES {
                        break;
                    }
                    let bound = Bound::Loop { name: Arc::clone(&name), index, of: Looped::Resource };
                    self.plan_instance(written, object, Some(index), &env.bind(bound), planned);
                }
            }
            Some(Count::Unknown(unknown)) => self.note(uncounted(copy.at, &unknown)),
            None => {}
        }
    }

    fn plan_instance(
        &mut self,
        written: &Written<'_, 't>,
        object: &'t Object,
        index: Option<i64>,
        env: &Env<'t>,
        planned: &mut Vec<Rc<Instance<'t>>>,
    ) {
        if !self.has_room(written.node.at) {
            return;
        }
        let Some(instance) = self.named_instance(written, object, env) else { return };
        let instance = Rc::new(instance);
        self.enlist(&instance, written.symbol, index);
        planned.push(Rc::clone(&instance));
        if let Some(children) = object.get("resources") {
            self.plan_all(children, Some(&instance), env, planned);
        }
    }

    /// For one instance more. The first that is too many is said.
    fn has_room(&mut self, at: Spot) -> bool {
        self.instances += 1;
        if self.instances == MOST_INSTANCES + 1 {
            let what = format!("the template makes more than {MOST_INSTANCES} resources; the others were left out");
            self.note(Note::new(Severity::Error, at, what));
        }
        self.instances <= MOST_INSTANCES
    }

    fn named_instance(&mut self, written: &Written<'_, 't>, object: &'t Object, env: &Env<'t>) -> Option<Instance<'t>> {
        let at = written.node.at;
        let (Some(kind), Some(name)) = (object.get("type"), object.get("name")) else {
            self.note(Note::new(Severity::Error, at, "a resource needs a type and a name"));
            return None;
        };
        let (kind_node, name_node) = (self.node(kind, env), self.node(name, env));
        let Some(kind) = value::reading(&kind_node.value) else {
            let what = format!("the type of a resource is a text, and this is {}", kind_node.kind());
            self.note(Note::new(Severity::Error, kind.at, what));
            return None;
        };
        let place = self.place_of(object, env);
        let named = self.full_name(written.parent, kind, &name_node.value);
        let scope = object.get("scope").map(|scope| self.node(scope, env).value);
        let named = named.and_then(|(kind, name)| Ok((self.id_of(&place, scope, &kind, &name)?, kind, name)));
        let (id, kind, name) = named.ok()?;
        Some(Instance { number: self.next_number(), written: object, at, kind, name, id, place, env: env.clone() })
    }

    fn full_name(
        &mut self,
        parent: Option<&Rc<Instance<'t>>>,
        kind: &str,
        name: &Value,
    ) -> Result<(Arc<str>, Value), Stop> {
        match parent {
            Some(parent) => ids::of_child((&parent.kind, &parent.name), kind, name, &mut self.meter),
            None => Ok((kind.into(), name.clone())),
        }
    }

    fn id_of(&mut self, place: &Place, scope: Option<Value>, kind: &str, name: &Value) -> Result<Value, Stop> {
        let own = ids::prefix(place, &mut self.meter)?;
        let prefix = match scope {
            Some(scope) if value::reading(&scope).is_some_and(|scope| !scope.starts_with(['/', '{'])) => {
                ids::weave(&[&own, &value::text("/providers/"), &scope], &mut self.meter)?
            }
            Some(scope) => scope,
            None => own,
        };
        ids::id(&prefix, kind, &ids::names(name), &mut self.meter)
    }

    /// Makes it findable.
    fn enlist(&mut self, instance: &Rc<Instance<'t>>, symbol: Option<&str>, index: Option<i64>) {
        let stage = instance.env.stage.number;
        if let Some(symbol) = symbol {
            let index = index.map_or_else(String::new, |index| format!("[{index}]"));
            self.index.insert(format!("{stage}:{symbol}{index}").to_lowercase(), instance);
        }
        if let Some(id) = value::reading(&instance.id).map(str::to_lowercase) {
            self.index.insert(ids::provider_path(&id).to_owned(), instance);
            self.index.insert(id, instance);
        }
        if let Some(name) = value::reading(&instance.name) {
            self.index.insert(format!("{stage}:{}", name.to_lowercase()), instance);
        }
    }

    /// Evaluates what was planned, and what the deployments among it deploy.
    pub(super) fn deploy(&mut self, planned: &[Rc<Instance<'t>>], resources: &mut Vec<Node>) {
        for instance in planned {
            if self.meter.is_spent() {
                return;
            }
            if instance.is_deployment() {
                if let Some(nested) = self.nested(instance) {
                    self.deploy(&nested.planned, resources);
                }
            } else if !instance.is_existing() {
                resources.extend(self.deployed(instance));
            }
        }
    }

    fn deployed(&mut self, instance: &Rc<Instance<'t>>) -> Option<Node> {
        let is_wanted = (self.inputs.wanted)(&instance.kind);
        if is_wanted && !self.is_deployed(instance) {
            return None;
        }
        if !is_wanted {
            self.note_unknown_type(instance);
        }
        let spot = |name: &str| instance.written.get(name).map_or(instance.at, |node| node.at);
        let member = |name: &str, value| (Key { name: name.into(), at: spot(name) }, Node::new(value, spot(name)));
        let mut members = vec![
            member("type", value::text(Arc::clone(&instance.kind))),
            member("name", instance.name.clone()),
            member("id", instance.id.clone()),
        ];
        if is_wanted {
            members.extend(self.rest(instance));
            if let Some(properties) = instance.written.get("properties") {
                let key = Key { name: "properties".into(), at: properties.at };
                members.push((key, self.node(properties, &instance.env)));
            }
        }
        Some(Node::new(Value::Object(Object(members)), instance.at))
    }

    /// It may be anything, and so also a group of rules that denies.
    fn note_unknown_type(&mut self, instance: &Instance<'t>) {
        let Some(written) = instance.written.get("type") else { return };
        let held = self.held(written, &instance.env);
        if let Value::Unknown(unknown) = held.value()
            && !unknown.names.is_empty()
            && self.is_deployed(instance)
        {
            let what = format!("of what type {} is is not known here: {}", instance.shown(), unknown.shown);
            let note = Note::new(Severity::Doubt, written.at, format!("{what}; it is left out, also what it may deny"));
            self.note(note.mend(settable(unknown, "VALUE")).check("unknown-value"));
        }
    }

    fn rest(&mut self, instance: &Instance<'t>) -> Vec<(Key, Node)> {
        let is_deployed = |name: &str| {
            !name.eq_ignore_ascii_case("id") && NOT_DEPLOYED.iter().all(|not| !not.eq_ignore_ascii_case(name))
        };
        let rest = instance.written.iter().filter(|(key, _)| is_deployed(&key.name));
        rest.map(|(key, node)| (key.clone(), self.node(node, &instance.env))).collect()
    }

    /// Its condition. One that is unknown is taken to hold, and said.
    pub(super) fn is_deployed(&mut self, instance: &Instance<'t>) -> bool {
        let Some(written) = instance.written.get("condition") else { return true };
        let held = self.held(written, &instance.env);
        let words = match held.value() {
            Value::Bool(condition) => return *condition,
            Value::Text(text) if text.eq_ignore_ascii_case("true") => return true,
            Value::Text(text) if text.eq_ignore_ascii_case("false") => return false,
            Value::Unknown(unknown) if unknown.names.is_empty() => return true,
            Value::Unknown(unknown) => {
                self.note(unconditioned(instance, written.at, unknown));
                return true;
            }
            _ => format!("the condition of a resource is true or false, and this is {}", held.node.kind()),
        };
        self.note(Note::new(Severity::Error, written.at, words));
        true
    }

    /// A whole resource, for others that refer to it.
    pub(super) fn whole(&mut self, instance: &Rc<Instance<'t>>) -> Result<Held, Stop> {
        let properties = self.properties(instance)?;
        self.once(instance.number, &format!("reference({}, 'Full')", instance.shown()), |machine| {
            let mut members = machine.rest(instance);
            let member =
                |name: &str, value| (Key { name: name.into(), at: instance.at }, Node::new(value, instance.at));
            members.push(member("id", instance.id.clone()));
            let properties = machine.owned(properties);
            members.push(member("properties", properties.value));
            Ok(Held::new(Node::new(Value::Object(Object(members)), instance.at)))
        })
    }

    /// The properties of a resource, for others that refer to it.
    pub(super) fn properties(&mut self, instance: &Rc<Instance<'t>>) -> Result<Held, Stop> {
        self.once(instance.number, &format!("reference({})", instance.shown()), |machine| {
            if instance.is_deployment() {
                return Ok(machine.outputs(instance));
            }
            let nothing = || no_properties(instance.at);
            Ok(instance.written.get("properties").map_or_else(nothing, |node| machine.held(node, &instance.env)))
        })
    }
}

fn no_properties(at: Spot) -> Held {
    Held::new(Node::new(Value::Object(Object::default()), at))
}

/// A resource as it is written, before its loops go round.
struct Written<'w, 't> {
    node: &'t Node,
    symbol: Option<&'w str>,
    parent: Option<&'w Rc<Instance<'t>>>,
}

fn uncounted(at: Spot, unknown: &Unknown) -> Note {
    let what = format!("how many resources this loop makes is not known here: {}", unknown.shown);
    Note::new(Severity::Doubt, at, format!("{what}; none was made")).mend(settable(unknown, "VALUE"))
}

fn unconditioned(instance: &Instance<'_>, at: Spot, unknown: &Unknown) -> Note {
    let what = format!("whether {} is deployed is not known here: {}", instance.shown(), unknown.shown);
    Note::new(Severity::Doubt, at, format!("{what}; it is taken to be")).mend(settable(unknown, "VALUE"))
}

/// `give it with --set NAME=VALUE`.
pub(super) fn settable(unknown: &Unknown, value: &str) -> String {
    let flags: Vec<String> = unknown.names.iter().map(|name| format!("--set '{name}={value}'")).collect();
    format!("give it with {}", flags.join(" "))
}
