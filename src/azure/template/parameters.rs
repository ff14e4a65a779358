//! Parameters: what is declared, what is given for them, and whether that fits.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::eval::Machine;
use super::members::{find, nearest};
use super::meter::Stop;
use super::scope::{Env, Given, Held, Parameter, Rank, Scope, Variable};
use super::value;
use crate::azure::json::{Node, Object, Value};
use crate::azure::note::{Note, Severity};

/// The parameters that a template declares, with what is given for each; later ones win.
pub(super) fn declared<'t>(template: &'t Object, given: Vec<(Arc<str>, Given<'t>)>) -> HashMap<String, Parameter<'t>> {
    let declared = template.get("parameters").and_then(Node::object);
    let mut parameters = HashMap::new();
    for (key, node) in declared.into_iter().flat_map(Object::iter) {
        let parameter = Parameter { name: Arc::clone(&key.name), declared: node.object(), given: Given::Nothing };
        parameters.insert(key.name.to_lowercase(), parameter);
    }
    for (name, given) in given {
        if let Some(parameter) = parameters.get_mut(&name.to_lowercase())
            && (!is_null(&given) || is_nullable(parameter.declared))
        {
            parameter.given = given;
        }
    }
    parameters
}

/// The portal exports each parameter with the value null, beside a template with the defaults.
fn is_null(given: &Given) -> bool {
    matches!(given, Given::Value(held) if *held.value() == Value::Null)
}

fn is_nullable(declared: Option<&Object>) -> bool {
    declared.and_then(|declared| declared.get("nullable")).is_some_and(|node| node.value == Value::Bool(true))
}

impl<'t> Machine<'t> {
    pub(super) fn parameter(&mut self, name: &str, env: &Env<'t>) -> Result<Held, Stop> {
        let scope = Rc::clone(&env.scope);
        let Some(parameter) = scope.parameters.get(&name.to_lowercase()) else {
            return Err(unnamed("parameter", name, scope.parameters.values().map(|parameter| &*parameter.name)));
        };
        if let Given::Value(held) = &parameter.given
            && parameter.declared.is_none()
        {
            return Ok(held.clone());
        }
        let label = format!("parameters.{}", parameter.name);
        self.once(scope.number, &label, |machine| {
            let held = machine.parameter_value(parameter, &label, env)?;
            machine.look_at(parameter, &held, env);
            Ok(held)
        })
    }

    fn parameter_value(&mut self, parameter: &Parameter<'t>, label: &str, env: &Env<'t>) -> Result<Held, Stop> {
        let rank = env.scope.rank;
        if let Some(set) = (rank == Rank::Main).then(|| self.set_parameter(parameter, label)).flatten() {
            return Ok(set);
        }
        match &parameter.given {
            Given::Value(held) => return Ok(held.clone()),
            Given::Expression(node, env) => return Ok(self.held(node, env)),
            Given::Nothing => {}
        }
        let declared = parameter.declared;
        if let Some((_, default)) = declared.and_then(|declared| find(declared, "defaultValue")) {
            return Ok(self.held(default, &env.unbound()));
        }
        if is_nullable(declared) {
            return Ok(self.made(Value::Null));
        }
        Ok(self.set_parameter(parameter, label).unwrap_or_else(|| self.made(value::unknown(label))))
    }

    /// `--set parameters.NAME=VALUE`, or `--set NAME=VALUE`.
    fn set_parameter(&mut self, parameter: &Parameter<'t>, label: &str) -> Option<Held> {
        let short = self.set_text(&parameter.name);
        let text = self.set_text(label).or(short)?;
        let plain = || value::text(text);
        let value = match kind(parameter) {
            Some(Kind::Text) => plain(),
            _ => value::from_json(text, self.at).unwrap_or_else(|_| plain()),
        };
        Some(self.made(value))
    }

    /// Says what does not fit the declaration. Azure would refuse to deploy it.
    fn look_at(&mut self, parameter: &Parameter<'t>, held: &Held, env: &Env<'t>) {
        let name = &parameter.name;
        let value = held.value();
        if let Some(kind) = kind(parameter).filter(|kind| !kind.holds(value) && !matches!(value, Value::Null)) {
            let what = format!("parameter {name} is to be {}, and is {}", kind.words(), held.node.kind());
            self.note(Note::new(Severity::Warning, held.node.at, what));
        }
        let Some(allowed) = parameter.declared.and_then(|declared| declared.get("allowedValues")?.list()) else {
            return;
        };
        let is_allowed = |value: &Value| allowed.iter().any(|one| value::equal(&one.value, value) != Some(false));
        let fits =
            is_allowed(value) || value_list(value).is_some_and(|items| items.iter().all(|i| is_allowed(&i.value)));
        if !fits && env.scope.parameters.contains_key(&name.to_lowercase()) {
            let listed: Vec<String> = allowed.iter().take(20).map(|one| value::argument(&one.value)).collect();
            let what = format!("parameter {name} is {}, which is not one of its allowedValues", value::argument(value));
            let note = Note::new(Severity::Warning, held.node.at, what);
            self.note(note.mend(format!("give one of {}", listed.join(", "))));
        }
    }

    pub(super) fn variable(&mut self, name: &str, env: &Env<'t>) -> Result<Held, Stop> {
        let scope = Rc::clone(&env.scope);
        let Some(variable) = scope.variable(name) else {
            return Err(unnamed("variable", name, scope.variable_names()));
        };
        self.once(scope.number, &format!("variables.{name}"), |machine| {
            let env = env.unbound();
            Ok(match variable {
                Variable::Written(node) => machine.held(node, &env),
                Variable::Looped(node) => Held::new(machine.looped(node, &env)),
            })
        })
    }

    /// The scope of a template, with what is given for its parameters.
    pub(super) fn scope(&mut self, template: &'t Object, rank: Rank, given: Vec<(Arc<str>, Given<'t>)>) -> Scope<'t> {
        Scope {
            number: self.next_number(),
            rank,
            parameters: declared(template, given),
            variables: template.get("variables").and_then(Node::object),
            functions: template.get("functions"),
        }
    }

    /// A `--set` for a parameter counts as asked for where that is declared, whether anything uses it or not.
    pub(super) fn mark_declared(&mut self, scope: &Scope<'t>) {
        for parameter in scope.parameters.values() {
            self.set_text(&parameter.name);
            self.set_text(&format!("parameters.{}", parameter.name));
        }
    }
}

fn value_list(value: &Value) -> Option<&[Node]> {
    match value {
        Value::List(items) => Some(items),
        _ => None,
    }
}

fn unnamed<'n>(what: &str, name: &str, names: impl Iterator<Item = &'n str>) -> Stop {
    Stop::Wrong(match nearest(name, names) {
        Some(near) => format!("no {what} is named '{name}', but '{near}'"),
        None => format!("no {what} is named '{name}'"),
    })
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Whole,
    Bool,
    List,
    Object,
}

fn kind(parameter: &Parameter<'_>) -> Option<Kind> {
    let written = parameter.declared?.get("type")?.text()?.to_lowercase();
    Some(match written.as_str() {
        "string" | "securestring" => Kind::Text,
        "int" => Kind::Whole,
        "bool" => Kind::Bool,
        "array" => Kind::List,
        "object" | "secureobject" => Kind::Object,
        _ => return None,
    })
}

impl Kind {
    fn holds(self, value: &Value) -> bool {
        match (self, value) {
            (Kind::Text, Value::Text(_))
            | (Kind::Bool, Value::Bool(_))
            | (Kind::List, Value::List(_))
            | (Kind::Object, Value::Object(_))
            | (_, Value::Unknown(_)) => true,
            (Kind::Whole, value) => value::integer(value).is_some(),
            _ => false,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Kind::Text => "a text",
            Kind::Whole => "a whole number",
            Kind::Bool => "true or false",
            Kind::List => "a list",
            Kind::Object => "an object",
        }
    }
}
