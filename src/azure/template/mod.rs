//! Templates of Azure Resource Manager: their expressions, loops and nested deployments, evaluated.
//!
//! What comes out are the resources that would be deployed, in one flat list, each with its full type, name and id.
//! What only Azure knows – what is passed at deployment, or read from what runs – stays in them as
//! [`Value::Unknown`](crate::azure::json::Value::Unknown) with the name that `--set` takes. Hashes (`uniqueString`,
//! `guid`) have the right shape, and are not those of Azure. Dates are not computed, and outputs not evaluated but
//! for those of nested deployments that others refer to.

mod access;
mod copy;
mod cycles;
mod deployment;
mod eval;
mod functions;
mod ids;
mod members;
mod meter;
mod parameters;
mod parse;
mod resources;
mod scope;
#[cfg(test)]
mod tests;
mod value;

use std::rc::Rc;
use std::sync::Arc;

use crate::azure::json::{Key, Node, Object, Value};
use crate::azure::note::{Note, Severity};
use crate::policy::Spot;
use eval::Machine;
use scope::{Env, Given, Held, Rank, Stage};

/// What a template is given.
pub struct Inputs<'t> {
    /// From parameters files; later ones win.
    pub parameters: Vec<(Arc<str>, Node)>,
    /// From `--set NAME=VALUE`: a parameter (`parameters.location` or `location`), or an unknown by its name.
    pub set: Vec<(String, String)>,
    /// Finds the template that a link leads to, by its address or relative path. Of an address that is known in part
    /// it is given that part: `nested/vnet.json`.
    pub linked: &'t dyn Fn(&str) -> Option<&'t Node>,
    /// Whether a resource of this full type matters. Of others the name, type and id are evaluated only.
    pub wanted: &'t dyn Fn(&str) -> bool,
}

/// What a template deploys.
#[derive(Debug, Default)]
pub struct Expanded {
    /// In the order of the template, children after their parents. Each is an object with its full `type`, its full
    /// `name`, its `id`, and what is written of it, without what says how it is deployed.
    pub resources: Vec<Node>,
    pub notes: Vec<Note>,
    /// The templates that it links to, whether they were at hand or not.
    pub links: Vec<Link>,
    /// The names of each `--set` that nothing asked for.
    pub unused: Vec<String>,
    /// The names of parameters that are given, and that the template does not declare.
    pub undeclared: Vec<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub at: Spot,
    /// As `linked` was asked for it.
    pub to: String,
    /// The number of the file that it was found in.
    pub file: Option<u32>,
}

/// Whether a document is a deployment template.
pub fn is_template(document: &Node) -> bool {
    if schema(document).is_some_and(|schema| schema.contains("deploymenttemplate")) {
        return true;
    }
    let has = |name: &str| document.get(name).is_some();
    has("resources") && !has("type") && (has("contentVersion") || has("parameters") || has("variables"))
}

/// Whether a document is a file of parameters for a template.
pub fn is_parameters_file(document: &Node) -> bool {
    if let Some(schema) = schema(document) {
        return schema.contains("deploymentparameters");
    }
    let has = |name: &str| document.get(name).is_some();
    has("contentVersion") && has("parameters") && !has("resources")
}

fn schema(document: &Node) -> Option<String> {
    document.get("$schema")?.text().map(str::to_lowercase)
}

/// The values of a parameters file, or of a bare object `{name: {value: …}}`. Those that it leaves to a key vault stay
/// unknown.
pub fn parameters_of(document: &Node) -> Vec<(Arc<str>, Node)> {
    let members = document.get("parameters").unwrap_or(document).object();
    let value = |key: &Key, node: &Node| {
        let object = node.object()?;
        let in_vault = || object.get("reference").map(|_| kept_elsewhere(key, node.at));
        members::find(object, "value").map(|(_, value)| value.clone()).or_else(in_vault)
    };
    members
        .into_iter()
        .flat_map(Object::iter)
        .filter_map(|(key, node)| Some((key.name.clone(), value(key, node)?)))
        .collect()
}

/// A parameter that Azure takes from a key vault, whatever the template's default.
fn kept_elsewhere(key: &Key, at: Spot) -> Node {
    Node::new(value::unknown(format!("parameters.{}", key.name)), at)
}

/// What `--set NAME=VALUE` gives: JSON where it is a list, an object or a number, else the text.
pub fn value_of_set(text: &str, at: Spot) -> Value {
    match value::from_json(text, at) {
        Ok(value @ (Value::List(_) | Value::Object(_) | Value::Number(_))) => value,
        _ => value::text(text),
    }
}

/// Evaluates a template.
pub fn expand<'t>(template: &'t Node, inputs: &'t Inputs<'t>) -> Expanded {
    let Some(object) = template.object() else {
        let what = format!("a template is an object, and this is {}", template.kind());
        return Expanded { notes: vec![Note::new(Severity::Error, template.at, what)], ..Expanded::default() };
    };
    let mut machine = Machine::new(inputs);
    let env = main_env(&mut machine, object);
    let undeclared = undeclared(inputs, &env);
    let planned = machine.plan_deep(object, &env);
    let mut resources = Vec::new();
    machine.deploy(&planned, &mut resources);
    machine.report_unused_cycles(&env.scope);
    let unused = inputs.set.iter().zip(&machine.used).filter(|(_, used)| !**used);
    let unused = unused.map(|((name, _), _)| name.clone()).collect();
    Expanded { resources, notes: machine.notes, links: machine.links, unused, undeclared }
}

fn main_env<'t>(machine: &mut Machine<'t>, template: &'t Object) -> Env<'t> {
    let place = Rc::new(functions::main_place(machine, deployment::level(template)));
    let given = machine.inputs.parameters.iter();
    let given = given.map(|(name, node)| (Arc::clone(name), Given::Value(Held::new(node.clone())))).collect();
    let scope = machine.scope(template, Rank::Main, given);
    machine.mark_declared(&scope);
    let stage = Stage { number: machine.next_number(), place: Rc::clone(&place), outer: None };
    Env { scope: Rc::new(scope), place, stage: Rc::new(stage), bound: None }
}

fn undeclared(inputs: &Inputs<'_>, env: &Env<'_>) -> Vec<Arc<str>> {
    let is_declared = |name: &str| env.scope.parameters.contains_key(&name.to_lowercase());
    inputs.parameters.iter().map(|(name, _)| name).filter(|name| !is_declared(name)).cloned().collect()
}
