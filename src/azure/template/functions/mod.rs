//! The functions of template expressions, by subject. Names are taken in any letter case.
//!
//! Those that take values and give a value are *pure* and in a table; those that decide which of their arguments are
//! evaluated, or know the template, are called with the expressions themselves. What is not known here – a function
//! of Azure's runtime, or one that is newer than this program – is an unknown that bears its own name.

mod args;
mod array;
mod cidr;
mod collection;
mod deployment;
mod format;
mod lambda;
mod logic;
mod numeric;
mod object;
mod resource;
mod string;
mod user;

use std::sync::Arc;

use super::eval::Machine;
use super::meter::Stop;
use super::parse::{Call, Expr};
use super::scope::{Env, Held};
use super::value;
use crate::azure::note::{Note, Severity};
use args::Args;

pub(super) use deployment::main_place;

type Pure = fn(&mut Args<'_>) -> Result<crate::azure::json::Value, Stop>;

pub(super) fn call<'t>(machine: &mut Machine<'t>, call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
    let name = call.name.to_ascii_lowercase();
    match name.as_str() {
        "parameters" => {
            let asked = machine.one_text(call, env)?;
            machine.parameter(&asked, env)
        }
        "variables" => {
            let asked = machine.one_text(call, env)?;
            machine.variable(&asked, env)
        }
        "copyindex" => machine.copy_index(call, env),
        "if" | "and" | "or" | "coalesce" => machine.logic(&name, call, env),
        "tryget" => machine.try_get(call, env),
        "contains" => machine.contains(call, env),
        "filter" | "map" | "reduce" | "sort" | "toobject" | "groupby" | "mapvalues" => machine.lambda(&name, call, env),
        "lambdavariables" => machine.lambda_variable(call, env),
        "lambda" => Err(Stop::Wrong("lambda() stands only in filter, map, reduce, sort and the like".into())),
        _ => called_with_values(machine, &name, call, env),
    }
}

fn called_with_values<'t>(machine: &mut Machine<'t>, name: &str, call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
    let arguments = machine.arguments(call, env)?;
    if let Some(function) = pure(name) {
        return machine.apply(function, &call.name, &arguments);
    }
    match name {
        "resourceid"
        | "subscriptionresourceid"
        | "tenantresourceid"
        | "managementgroupresourceid"
        | "extensionresourceid" => machine.resource_id(name, &arguments, env),
        "reference" => machine.reference(&arguments, env),
        "references" => machine.references(&call.name, &arguments),
        "resourceinfo" => machine.resource_info(&arguments, env),
        "subscription" | "resourcegroup" | "tenant" | "managementgroup" | "deployment" | "environment" | "deployer" => {
            machine.surroundings(name, &arguments, env)
        }
        _ if name.contains('.') => machine.own_function(call, &arguments, env),
        _ => machine.beyond(name, &call.name, &arguments),
    }
}

fn pure(name: &str) -> Option<Pure> {
    collection::function(name)
        .or_else(|| array::function(name))
        .or_else(|| string::function(name))
        .or_else(|| object::function(name))
        .or_else(|| numeric::function(name))
        .or_else(|| logic::function(name))
        .or_else(|| cidr::function(name))
}

impl<'t> Machine<'t> {
    pub(super) fn arguments(&mut self, call: &Call, env: &Env<'t>) -> Result<Vec<Held>, Stop> {
        call.arguments.iter().map(|argument| self.eval(argument, env)).collect()
    }

    /// The one argument of `parameters('name')` and the like.
    fn one_text(&mut self, call: &Call, env: &Env<'t>) -> Result<Arc<str>, Stop> {
        let [argument] = call.arguments.as_slice() else {
            return Err(Stop::Wrong(format!("{} takes one argument, a name", call.name)));
        };
        if let Expr::Text(text) = argument {
            return Ok(Arc::clone(text));
        }
        let held = self.eval(argument, env)?;
        let text = held.node.text().map(Arc::from);
        text.ok_or_else(|| Stop::Wrong(format!("{} takes a name, and this is {}", call.name, held.node.kind())))
    }

    /// What a pure function gives; an unknown where it needs to know an argument that is unknown.
    fn apply(&mut self, function: Pure, name: &str, arguments: &[Held]) -> Result<Held, Stop> {
        let at = self.at;
        let mut args = Args { name, items: arguments, meter: &mut self.meter, at };
        args.charge()?;
        match function(&mut args) {
            Ok(value) => Ok(self.made(value)),
            Err(Stop::Unknown) => Ok(self.unknown_call(name, arguments)),
            Err(stop) => Err(stop),
        }
    }

    /// `{name(argument, argument)}`, which takes what its arguments take.
    fn unknown_call(&self, name: &str, arguments: &[Held]) -> Held {
        let mut names = Vec::new();
        arguments.iter().for_each(|argument| value::names_in(&argument.node, &mut names));
        self.made(value::unknown_of(names, format!("{{{}}}", shown_call(name, arguments))))
    }

    /// What Azure's runtime alone can answer, under the name of the call.
    fn beyond(&mut self, lower: &str, name: &str, arguments: &[Held]) -> Result<Held, Stop> {
        if lower.starts_with("list") {
            let of = arguments.first().map(|id| resource::asked_name(id.value())).unwrap_or_default();
            return self.named(&format!("{name}({of})"), &[]);
        }
        let shown = shown_call(name, arguments);
        if !RUNTIME.contains(&lower) {
            let what = format!("the function {name} is not known; what it gives is taken as unknown");
            let note = Note::new(Severity::Doubt, self.at, what);
            self.note(note.mend(format!("give it with --set \"{shown}=VALUE\"")));
        }
        self.named(&shown, &[])
    }
}

const RUNTIME: [&str; 9] = [
    "newguid",
    "utcnow",
    "providers",
    "pickzones",
    "tologicalzone",
    "tologicalzones",
    "tophysicalzone",
    "tophysicalzones",
    "externalinput",
];

fn shown_call(name: &str, arguments: &[Held]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|argument| value::argument(argument.value())).collect();
    format!("{name}({})", arguments.join(", "))
}
