//! Functions that take a `lambda('name', expression)`.

use std::cmp::Ordering;
use std::sync::Arc;

use super::super::eval::Machine;
use super::super::meter::Stop;
use super::super::parse::{Call, Expr};
use super::super::scope::{Bound, Env, Held};
use super::super::value;
use crate::azure::json::{Key, Node, Object, Value};

/// Levels of a value that grows by one with each step of `reduce`.
const DEEPEST: usize = 100;

struct Lambda<'e> {
    names: Vec<&'e Arc<str>>,
    body: &'e Expr,
}

impl<'e> Lambda<'e> {
    fn of(call: &'e Call, at: usize) -> Result<Lambda<'e>, Stop> {
        let wrong = || Stop::Wrong(format!("{} takes a lambda as argument {}", call.name, at + 1));
        let Some(Expr::Call(lambda)) = call.arguments.get(at) else { return Err(wrong()) };
        let Some((body, names)) = lambda.arguments.split_last() else { return Err(wrong()) };
        if !lambda.name.eq_ignore_ascii_case("lambda") {
            return Err(wrong());
        }
        let name = |expression: &'e Expr| match expression {
            Expr::Text(name) => Ok(name),
            _ => Err(Stop::Wrong("the names of a lambda's variables are texts".into())),
        };
        Ok(Lambda { names: names.iter().map(name).collect::<Result<_, _>>()?, body })
    }

    /// With as many of the values as it has names for.
    fn call<'t>(&self, machine: &mut Machine<'t>, values: &[Held], env: &Env<'t>) -> Result<Held, Stop> {
        let mut env = env.clone();
        for (name, value) in self.names.iter().zip(values) {
            env = env.bind(Bound::Lambda { name: Arc::clone(name), value: value.clone() });
        }
        machine.eval(self.body, &env)
    }
}

impl<'t> Machine<'t> {
    pub(super) fn lambda_variable(&mut self, call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        let asked = self.one_text(call, env)?;
        let found = env.bindings().find_map(|bound| match bound {
            Bound::Lambda { name, value } if name.eq_ignore_ascii_case(&asked) => Some(value.clone()),
            _ => None,
        });
        found.ok_or_else(|| Stop::Wrong(format!("no lambda around it has a variable named '{asked}'")))
    }

    /// What needs to know what is unknown gives an unknown.
    pub(super) fn lambda(&mut self, name: &str, call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        let Some(first) = call.arguments.first() else {
            return Err(Stop::Wrong(format!("{} takes a value and a lambda", call.name)));
        };
        let over = self.eval(first, env)?;
        let made = match (name, over.value()) {
            (_, Value::Unknown(_)) => Err(Stop::Unknown),
            ("mapvalues", Value::Object(object)) => self.map_values(object, call, env),
            (_, Value::List(items)) => {
                let items = self.shared(items)?;
                self.over_list(name, &items, call, env)
            }
            _ => Err(Stop::Wrong(format!("{} goes over a list, and this is {}", call.name, over.node.kind()))),
        };
        match made {
            Err(Stop::Unknown) => Ok(self.unknown_call(&call.name, &[over])),
            made => made,
        }
    }

    fn shared(&mut self, items: &[Node]) -> Result<Vec<Held>, Stop> {
        self.meter.make(items.iter().map(value::size).sum())?;
        Ok(items.iter().cloned().map(Held::new).collect())
    }

    fn over_list(&mut self, name: &str, items: &[Held], call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        match name {
            "filter" => self.filter(items, call, env),
            "map" => {
                let made = self.each(items, &Lambda::of(call, 1)?, env)?;
                Ok(self.listed(made))
            }
            "reduce" => self.reduce(items, call, env),
            "sort" => self.sort(items, call, env),
            "toobject" => self.keyed(items, call, env),
            "groupby" => self.group_by(items, call, env),
            _ => Err(Stop::Wrong(format!("{} goes over an object, and this is a list", call.name))),
        }
    }

    fn listed(&mut self, items: Vec<Held>) -> Held {
        let items = items.into_iter().map(|held| self.owned(held)).collect();
        self.made(Value::List(items))
    }

    fn each(&mut self, items: &[Held], lambda: &Lambda<'_>, env: &Env<'t>) -> Result<Vec<Held>, Stop> {
        let call = |(at, item): (usize, &Held)| {
            let index = self.made(value::number(at));
            lambda.call(self, &[item.clone(), index], env)
        };
        items.iter().enumerate().map(call).collect()
    }

    fn filter(&mut self, items: &[Held], call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        let holds = self.each(items, &Lambda::of(call, 1)?, env)?;
        let mut kept = Vec::new();
        for (item, holds) in items.iter().zip(holds) {
            match holds.value() {
                Value::Bool(true) => kept.push(item.clone()),
                Value::Bool(false) => {}
                Value::Unknown(_) => return Err(Stop::Unknown),
                _ => return Err(Stop::Wrong(format!("filter takes true or false, and this is {}", holds.node.kind()))),
            }
        }
        Ok(self.listed(kept))
    }

    fn reduce(&mut self, items: &[Held], call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        let Some(start) = call.arguments.get(1) else {
            return Err(Stop::Wrong("reduce takes a list, a value and a lambda".into()));
        };
        let mut all = self.eval(start, env)?;
        let lambda = Lambda::of(call, 2)?;
        for (at, item) in items.iter().enumerate() {
            let index = self.made(value::number(at));
            all = lambda.call(self, &[all, item.clone(), index], env)?;
            self.meter.work(value::size(&all.node))?;
            if value::is_deeper(&all.node, DEEPEST) {
                return Err(Stop::Wrong(format!("reduce nests values more than {DEEPEST} deep")));
            }
        }
        Ok(all)
    }

    /// The lambda says whether its first stands before its second.
    fn sort(&mut self, items: &[Held], call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        let lambda = Lambda::of(call, 1)?;
        let mut wrong = None;
        let mut sorted = items.to_vec();
        let mut before = |one: &Held, two: &Held| match lambda.call(self, &[one.clone(), two.clone()], env) {
            Ok(held) if *held.value() == Value::Bool(true) => true,
            Ok(held) if matches!(held.value(), Value::Unknown(_)) => {
                wrong.get_or_insert(Stop::Unknown);
                false
            }
            Ok(_) => false,
            Err(stop) => {
                wrong.get_or_insert(stop);
                false
            }
        };
        merge_sort(&mut sorted, &mut |one, two| if before(two, one) { Ordering::Greater } else { Ordering::Less });
        match wrong {
            Some(stop) => Err(stop),
            None => Ok(self.listed(sorted)),
        }
    }

    fn keyed(&mut self, items: &[Held], call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        let names = self.each(items, &Lambda::of(call, 1)?, env)?;
        let values = match call.arguments.get(2) {
            Some(_) => self.each(items, &Lambda::of(call, 2)?, env)?,
            None => items.to_vec(),
        };
        let mut members: Vec<(Key, Node)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for (name, value) in names.iter().zip(values) {
            let (key, node) = (self.key_of(name)?, self.owned(value));
            match places.get(&key.name.to_lowercase()) {
                Some(&at) => members[at] = (key, node),
                None => {
                    places.insert(key.name.to_lowercase(), members.len());
                    members.push((key, node));
                }
            }
        }
        Ok(self.made(Value::Object(Object(members))))
    }

    fn group_by(&mut self, items: &[Held], call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        let names = self.each(items, &Lambda::of(call, 1)?, env)?;
        let mut groups: Vec<(Key, Vec<Node>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for (name, item) in names.iter().zip(items) {
            let (key, node) = (self.key_of(name)?, self.owned(item.clone()));
            let at = *places.entry(key.name.to_lowercase()).or_insert(groups.len());
            match groups.get_mut(at) {
                Some((_, nodes)) => nodes.push(node),
                None => groups.push((key, vec![node])),
            }
        }
        let member = |(key, nodes)| (key, Node::new(Value::List(nodes), self.at));
        Ok(self.made(Value::Object(Object(groups.into_iter().map(member).collect()))))
    }

    fn map_values(&mut self, object: &Object, call: &Call, env: &Env<'t>) -> Result<Held, Stop> {
        let lambda = Lambda::of(call, 1)?;
        let mut members = Vec::new();
        for (key, node) in object.iter() {
            self.meter.make(value::size(node))?;
            let made = lambda.call(self, &[Held::new(node.clone())], env)?;
            members.push((key.clone(), self.owned(made)));
        }
        Ok(self.made(Value::Object(Object(members))))
    }

    fn key_of(&self, name: &Held) -> Result<Key, Stop> {
        match name.value() {
            Value::Text(name) => Ok(Key { name: Arc::clone(name), at: self.at }),
            Value::Unknown(_) => Err(Stop::Unknown),
            _ => Err(Stop::Wrong(format!("the name of a member is a text, and this is {}", name.node.kind()))),
        }
    }
}

/// Stable, and safe with an order that contradicts itself, as a template's own may; the standard library's panics.
fn merge_sort(items: &mut Vec<Held>, compare: &mut impl FnMut(&Held, &Held) -> Ordering) {
    if items.len() < 2 {
        return;
    }
    let mut second = items.split_off(items.len() / 2);
    merge_sort(items, compare);
    merge_sort(&mut second, compare);
    let mut first = std::mem::take(items).into_iter().peekable();
    let mut second = second.into_iter().peekable();
    while let (Some(one), Some(two)) = (first.peek(), second.peek()) {
        let next = if compare(one, two) == Ordering::Greater { second.next() } else { first.next() };
        items.extend(next);
    }
    items.extend(first);
    items.extend(second);
}
