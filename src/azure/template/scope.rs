//! What the names in an expression mean: parameters, variables, the loops around it, and where it is deployed.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

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
    pub(super) variables: Variables<'t>,
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

/// The variables of a template. A large one has as many references to them as it has variables.
#[derive(Default)]
pub(super) struct Variables<'t> {
    written: Option<&'t Object>,
    /// By their names in lower case.
    named: HashMap<String, Variable<'t>>,
}

impl<'t> Variables<'t> {
    /// Of several that are written the last, else of several that loops make the first.
    pub(super) fn of(written: Option<&'t Object>) -> Variables<'t> {
        let mut named = HashMap::new();
        let loops = written.and_then(|written| written.get("copy")?.list()).unwrap_or_default();
        for each in loops.iter().rev() {
            if let Some(name) = each.get("name").and_then(Node::text) {
                named.insert(name.to_ascii_lowercase(), Variable::Looped(each));
            }
        }
        for (key, node) in written.into_iter().flat_map(Object::iter) {
            if !key.name.eq_ignore_ascii_case("copy") {
                named.insert(key.name.to_ascii_lowercase(), Variable::Written(node));
            }
        }
        Variables { written, named }
    }

    /// The value of a variable as it is written, and of its loop if it is made by one.
    pub(super) fn find(&self, name: &str) -> Option<Variable<'t>> {
        self.named.get(&name.to_ascii_lowercase()).copied()
    }

    pub(super) fn written(&self) -> Option<&'t Object> {
        self.written
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'t str> {
        self.written.into_iter().flat_map(|written| written.iter().map(|(key, _)| &*key.name))
    }
}

#[derive(Debug, Clone, Copy)]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::json;

    /// One entry for each name: looking one up does not go through the others.
    #[test]
    fn variables_are_found_by_name() {
        let text = r#"{"A": 1, "a": 2, "copy": [{"name": "B", "count": 1}, {"name": "b", "count": 2}, {"name": "a"}]}"#;
        let documents = json::parse(text, 0).unwrap();
        let variables = Variables::of(documents[0].object());
        assert_eq!(variables.named.len(), 2);
        let Some(Variable::Written(node)) = variables.find("A") else { panic!() };
        assert_eq!(node.value, Value::Number("2".into()));
        let Some(Variable::Looped(node)) = variables.find("b") else { panic!() };
        assert_eq!(node.get("count").map(|node| &node.value), Some(&Value::Number("1".into())));
        assert!(variables.find("copy").is_none() && variables.find("c").is_none());
        assert_eq!(variables.names().collect::<Vec<_>>(), ["A", "a", "copy"]);
    }
}
