//! The evaluation of values: strings that are expressions, in lists and objects of any depth.
//!
//! Nothing here fails: what is wrong becomes a note at its place, and an unknown without a name. Loops, depth and
//! memory are bounded (`meter`), and what refers to itself is found (`Machine::once`).

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::access::Key;
use super::deployment::Nested;
use super::meter::{Meter, Stop};
use super::parse::{self, Expr, Written, written};
use super::resources::Index;
use super::scope::{Env, Held};
use super::{Inputs, Link, functions, value};
use crate::azure::json::{Node, Object, Value};
use crate::azure::note::{Note, Severity};
use crate::policy::Spot;

/// Values in values, calls in calls and variables in variables, all together; a thread's stack is what bounds it.
const DEEPEST: usize = 200;
/// Levels of one value that is kept.
const DEEPEST_VALUE: usize = 300;
/// Notes of one template; one error in a loop is one note.
const MOST_NOTES: usize = 1000;
/// Characters of an expression that a message repeats.
const QUOTED: usize = 200;

pub(super) struct Machine<'t> {
    pub(super) inputs: &'t Inputs<'t>,
    pub(super) meter: Meter,
    pub(super) notes: Vec<Note>,
    pub(super) links: Vec<Link>,
    pub(super) index: Index<'t>,
    /// What each deployment deploys, by the number of its instance.
    pub(super) nested: HashMap<usize, Option<Rc<Nested<'t>>>>,
    /// Which of the `--set` were asked for.
    pub(super) used: Vec<bool>,
    /// Where the expression stands that is being evaluated.
    pub(super) at: Spot,
    /// Instances of resources so far.
    pub(super) instances: usize,
    parsed: HashMap<Arc<str>, Rc<Result<Expr, String>>>,
    noted: HashSet<(Option<u32>, usize, String)>,
    slots: HashMap<(usize, String), Slot>,
    /// The names that are being evaluated, each for the one before it.
    trail: Vec<(usize, Arc<str>)>,
    depth: usize,
    /// That the meter has run out has been said.
    is_out: bool,
    numbers: usize,
}

impl<'t> Machine<'t> {
    pub(super) fn new(inputs: &'t Inputs<'t>) -> Machine<'t> {
        Machine {
            inputs,
            meter: Meter::default(),
            notes: Vec::new(),
            links: Vec::new(),
            index: Index::default(),
            nested: HashMap::new(),
            used: vec![false; inputs.set.len()],
            at: Spot::nowhere(),
            instances: 0,
            parsed: HashMap::new(),
            noted: HashSet::new(),
            slots: HashMap::new(),
            trail: Vec::new(),
            depth: 0,
            is_out: false,
            numbers: 0,
        }
    }

    pub(super) fn next_number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    /// Once for each place and text.
    pub(super) fn note(&mut self, note: Note) {
        let start = note.at.span().map_or(usize::MAX, |span| span.start);
        if self.notes.len() < MOST_NOTES && self.noted.insert((note.at.file(), start, note.what.clone())) {
            self.notes.push(note);
        }
    }

    /// A value as it stands in a template.
    pub(super) fn node(&mut self, node: &Node, env: &Env<'t>) -> Node {
        if let Err(stop) = self.meter.make(1) {
            self.stopped(stop, node.at, "");
            return Node::new(Value::Null, node.at);
        }
        match &node.value {
            Value::Text(text) => self.string(text, node, env),
            Value::List(items) => self.deeper(node.at, |machine| {
                let items = items.iter().map_while(|item| (!machine.meter.is_spent()).then(|| machine.node(item, env)));
                Value::List(items.collect())
            }),
            Value::Object(object) => {
                self.deeper(node.at, |machine| Value::Object(Object(machine.members(object, env))))
            }
            _ => node.clone(),
        }
    }

    fn string(&mut self, text: &Arc<str>, node: &Node, env: &Env<'t>) -> Node {
        match written(text) {
            Written::Plain => node.clone(),
            Written::Escaped(text) => Node::new(value::text(text), node.at),
            Written::Expression(_) => {
                let held = self.expression(text, node.at, env);
                Node { at: node.at, ..self.owned(held) }
            }
        }
    }

    /// The value itself, which is a copy where it is shared.
    pub(super) fn owned(&mut self, held: Held) -> Node {
        Rc::try_unwrap(held.node).unwrap_or_else(|shared| match self.meter.make(value::size(&shared)) {
            Ok(()) => Node::clone(&shared),
            Err(stop) => {
                self.stopped(stop, shared.at, "");
                Node::new(Value::Null, shared.at)
            }
        })
    }

    fn deeper(&mut self, at: Spot, inside: impl FnOnce(&mut Self) -> Value) -> Node {
        if self.depth >= DEEPEST {
            self.note(Note::new(Severity::Error, at, format!("values are nested more than {DEEPEST} deep")));
            return Node::new(Value::Null, at);
        }
        self.depth += 1;
        let value = inside(self);
        self.depth -= 1;
        Node::new(value, at)
    }

    /// As `node`, but not copied where it is one expression.
    pub(super) fn held(&mut self, node: &Node, env: &Env<'t>) -> Held {
        match &node.value {
            Value::Text(text) if matches!(written(text), Written::Expression(_)) => self.expression(text, node.at, env),
            _ => Held::new(self.node(node, env)),
        }
    }

    fn expression(&mut self, text: &Arc<str>, at: Spot, env: &Env<'t>) -> Held {
        let outside = std::mem::replace(&mut self.at, at);
        let parsed = self.parsed(text);
        let result = match &*parsed {
            Ok(expression) => self.eval(expression, env),
            Err(words) => Err(Stop::Wrong(words.clone())),
        };
        self.at = outside;
        result.unwrap_or_else(|stop| {
            self.stopped(stop, at, text);
            Held::new(Node::new(value::wrong(text), at))
        })
    }

    pub(super) fn parsed(&mut self, text: &Arc<str>) -> Rc<Result<Expr, String>> {
        if let Some(parsed) = self.parsed.get(text) {
            return Rc::clone(parsed);
        }
        let parsed = match written(text) {
            Written::Expression(inside) => parse::parse(inside),
            _ => Ok(Expr::Text(Arc::clone(text))),
        };
        let parsed = Rc::new(parsed);
        self.parsed.insert(Arc::clone(text), Rc::clone(&parsed));
        parsed
    }

    fn stopped(&mut self, stop: Stop, at: Spot, expression: &str) {
        let what = match stop {
            Stop::Wrong(words) => format!("{words}, in {}", quoted(expression)),
            Stop::Unknown => format!("what it takes is not known, in {}", quoted(expression)),
            Stop::Spent if self.is_out => return,
            Stop::Spent => match self.meter.words() {
                Some(words) => words,
                None => return,
            },
        };
        self.is_out |= self.meter.is_spent();
        self.note(Note::new(Severity::Error, at, what));
    }

    pub(super) fn eval(&mut self, expression: &Expr, env: &Env<'t>) -> Result<Held, Stop> {
        self.meter.call()?;
        if self.depth >= DEEPEST {
            self.meter.halt();
            return Err(Stop::Wrong(format!("what it takes is nested more than {DEEPEST} deep")));
        }
        self.depth += 1;
        let result = match expression {
            Expr::Text(text) => Ok(self.made(Value::Text(Arc::clone(text)))),
            Expr::Number(number) => Ok(self.made(Value::Number(Arc::clone(number)))),
            Expr::Call(call) => functions::call(self, call, env),
            Expr::Access { base, steps } => {
                let base = self.eval(base, env);
                base.and_then(|base| {
                    let keys: Result<Vec<Key>, Stop> = steps.iter().map(|step| self.key(step, env)).collect();
                    self.walk(base, &keys?)
                })
            }
        };
        self.depth -= 1;
        result
    }

    /// A value that stands where the expression does.
    pub(super) fn made(&self, value: Value) -> Held {
        Held::new(Node::new(value, self.at))
    }

    /// Evaluates what has a name, once. `number` tells the namesakes of several templates apart.
    pub(super) fn once(
        &mut self,
        number: usize,
        name: &str,
        evaluate: impl FnOnce(&mut Self) -> Result<Held, Stop>,
    ) -> Result<Held, Stop> {
        let key = (number, name.to_lowercase());
        match self.slots.get(&key) {
            Some(Slot::Done(held)) => return Ok(held.clone()),
            Some(Slot::Busy) => return Err(self.cycle(number, name)),
            None => {}
        }
        self.slots.insert(key.clone(), Slot::Busy);
        self.trail.push((number, name.into()));
        let result = evaluate(self).and_then(|held| self.kept(held));
        self.trail.pop();
        let held = result.clone().unwrap_or_else(|_| self.made(value::wrong(name)));
        self.slots.insert(key, Slot::Done(held));
        result
    }

    pub(super) fn was_asked_for(&self, number: usize, name: &str) -> bool {
        self.slots.contains_key(&(number, name.to_lowercase()))
    }

    /// The value that `--set NAME=VALUE` gives, where JSON is read as such.
    pub(super) fn set_value(&mut self, name: &str) -> Option<Value> {
        let given = self.set_text(name)?;
        Some(value::from_json(given, self.at).unwrap_or_else(|_| value::text(given)))
    }

    /// The last `--set` of that name, in any letter case.
    pub(super) fn set_text(&mut self, name: &str) -> Option<&'t str> {
        let set = &self.inputs.set;
        let mut last = None;
        for (at, (given, text)) in set.iter().enumerate() {
            if given.eq_ignore_ascii_case(name) {
                self.used[at] = true;
                last = Some(text.as_str());
            }
        }
        last
    }

    /// `a -> b -> a`, where `a` is being evaluated already.
    fn cycle(&self, number: usize, name: &str) -> Stop {
        let is_same = |(other, named): &(usize, Arc<str>)| *other == number && named.eq_ignore_ascii_case(name);
        let from = self.trail.iter().position(is_same).unwrap_or(0);
        let mut names: Vec<&str> = self.trail[from..].iter().map(|(_, name)| &**name).collect();
        names.push(name);
        Stop::Wrong(format!("it is defined by itself: {}", names.join(" -> ")))
    }

    /// What is kept must be safe to walk through and to drop.
    fn kept(&mut self, held: Held) -> Result<Held, Stop> {
        self.meter.work(value::size(&held.node))?;
        if value::is_deeper(&held.node, DEEPEST_VALUE) {
            return Err(Stop::Wrong(format!("its value is nested more than {DEEPEST_VALUE} deep")));
        }
        Ok(held)
    }
}

/// What is evaluated once, when it is first asked for.
enum Slot {
    /// Being asked for again means that it is defined by itself.
    Busy,
    Done(Held),
}

fn quoted(expression: &str) -> String {
    match expression.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &expression[..end]),
        None => expression.to_owned(),
    }
}
