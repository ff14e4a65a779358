//! Functions that a template defines: `functions: [{namespace, members: {name: {parameters, output}}}]`.

use std::rc::Rc;

use super::super::eval::Machine;
use super::super::meter::Stop;
use super::super::parse::Call;
use super::super::scope::{Env, Given, Held, Parameter, Rank, Scope, Variables};
use crate::azure::json::Node;

impl<'t> Machine<'t> {
    /// It sees its own arguments, and neither the variables nor the parameters of the template.
    pub(super) fn own_function(&mut self, call: &Call, arguments: &[Held], env: &Env<'t>) -> Result<Held, Stop> {
        let unknown = || Stop::Wrong(format!("the template defines no function {}", call.name));
        let function = definition(&env.scope, &call.name).ok_or_else(unknown)?;
        let output = function.get("output").and_then(|output| output.get("value"));
        let output = output.ok_or_else(|| Stop::Wrong(format!("the function {} has no output", call.name)))?;
        let declared = function.get("parameters").and_then(Node::list).unwrap_or_default();
        if declared.len() != arguments.len() {
            let (takes, has) = (declared.len(), arguments.len());
            return Err(Stop::Wrong(format!("{} takes {takes} arguments, and has {has}", call.name)));
        }
        let names = declared.iter().map(|one| one.get("name").and_then(Node::text).unwrap_or_default());
        let scope = Scope {
            number: self.next_number(),
            rank: Rank::Nested,
            parameters: names.zip(arguments).map(|(name, held)| given(name, held)).collect(),
            variables: Variables::default(),
            functions: env.scope.functions,
        };
        Ok(self.held(output, &Env { scope: Rc::new(scope), ..env.unbound() }))
    }
}

fn given<'t>(name: &str, held: &Held) -> (String, Parameter<'t>) {
    (name.to_lowercase(), Parameter { name: name.into(), declared: None, given: Given::Value(held.clone()) })
}

fn definition<'t>(scope: &Scope<'t>, name: &str) -> Option<&'t Node> {
    let (namespace, name) = name.split_once('.')?;
    let spaces = scope.functions?.list()?;
    let is_named =
        |space: &&Node| space.get("namespace").and_then(Node::text).is_some_and(|n| n.eq_ignore_ascii_case(namespace));
    spaces.iter().filter(is_named).find_map(|space| space.get("members")?.get(name))
}
