//! What the names in an expression mean: parameters, variables, the loops around it, and where it is deployed.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::members::find;
use crate::azure::json::{Node, Object, Value};

/// A value in the course of evaluation. It is shared, so that an element of a long list costs that element only.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) node: Rc<Node>,
    /// The name of an object that Azure adds members to, such as `reference(fw-ip)`: what it lacks here is unknown.
    pub(super) open: Option<Arc<str>>,
}

impl Held {
    pub(super) fn new(node: Node) -> Held {
        Held { node: Rc::new(node), open: None }
    }

    pub(super) fn opened(node: Node, name: impl Into<Arc<str>>) -> Held {
        Held { node: Rc::new(node), open: Some(name.into()) }
    }

    pub(super) fn value(&self) -> &Value {
        &self.node.value
    }
}

#[derive(Clone)]
pub(super) struct Env<'t> {
    pub(super) scope: Rc<Scope<'t>>,
    /// What `resourceGroup()` and the like answer.
    pub(super) place: Rc<Place>,
    pub(super) stage: Rc<Stage>,
    pub(super) bound: Option<Rc<Binding>>,
}

impl<'t> Env<'t> {
    pub(super) fn bind(&self, bound: Bound) -> Env<'t> {
        Env { bound: Some(Rc::new(Binding { bound, outer: self.bound.clone() })), ..self.clone() }
    }

    /// Outside of all loops, as variables and defaults are.
    pub(super) fn unbound(&self) -> Env<'t> {
        Env { bound: None, ..self.clone() }
    }

    pub(super) fn bindings(&self) -> impl Iterator<Item = &Bound> {
        std::iter::successors(self.bound.as_deref(), |binding| binding.outer.as_deref()).map(|binding| &binding.bound)
    }
}

pub(super) struct Binding {
    bound: Bound,
    outer: Option<Rc<Binding>>,
}

pub(super) enum Bound {
    Loop {
        name: Arc<str>,
        index: i64,
        of: Looped,
    },
    /// What `lambdaVariables('name')` answers.
    Lambda {
        name: Arc<str>,
        value: Held,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looped {
    Resource,
    Value,
}

/// The parameters and variables of one template, or the arguments of one call of a function of its own.
pub(super) struct Scope<'t> {
    pub(super) number: usize,
    pub(super) rank: Rank,
    /// By their names in lower case.
    pub(super) parameters: HashMap<String, Parameter<'t>>,
    pub(super) variables: Option<&'t Object>,
    pub(super) functions: Option<&'t Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    /// Its parameters are what `--set` and the parameters files give.
    Main,
    Nested,
}

pub(super) struct Parameter<'t> {
    pub(super) name: Arc<str>,
    pub(super) declared: Option<&'t Object>,
    pub(super) given: Given<'t>,
}

pub(super) enum Given<'t> {
    Nothing,
    Value(Held),
    /// What the deployment around a nested template passes, evaluated there.
    Expression(&'t Node, Box<Env<'t>>),
}

impl<'t> Scope<'t> {
    /// The value of a variable as it is written, and of its loop if it is made by one.
    pub(super) fn variable(&self, name: &str) -> Option<Variable<'t>> {
        let variables = self.variables?;
        if let Some((_, node)) = find(variables, name).filter(|(key, _)| !key.name.eq_ignore_ascii_case("copy")) {
            return Some(Variable::Written(node));
        }
        let loops = variables.get("copy")?.list()?;
        let is_named =
            |item: &&Node| item.get("name").and_then(Node::text).is_some_and(|n| n.eq_ignore_ascii_case(name));
        loops.iter().find(is_named).map(Variable::Looped)
    }

    pub(super) fn variable_names(&self) -> impl Iterator<Item = &'t str> {
        self.variables.into_iter().flat_map(|variables| variables.iter().map(|(key, _)| &*key.name))
    }
}

pub(super) enum Variable<'t> {
    Written(&'t Node),
    Looped(&'t Node),
}

/// Where a template is deployed. Its parts may be unknown.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) level: Level,
    pub(super) subscription: Value,
    pub(super) group: Value,
    pub(super) location: Value,
    /// The deployment's own name.
    pub(super) deployment: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Group,
    Subscription,
    /// A management group, or the tenant.
    Tenant,
}

/// The resources of one template, for those that refer to them; those of the templates around it come after.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) number: usize,
    /// Where its resources go.
    pub(super) place: Rc<Place>,
    pub(super) outer: Option<Rc<Stage>>,
}
