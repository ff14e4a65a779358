//! What an expression of a plan's configuration refers to, through variables and outputs of modules.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::azure::json::{Node, Object};

use super::instance::Instance;

/// Modules deeper than this, and chains of references longer, lead nowhere.
const DEEPEST: usize = 32;
/// References of one expression that are followed, and instances that one leads to: Azure's bound on IP groups.
const MOST_REFERENCES: usize = 200;
/// Longer references are no addresses.
const LONGEST: usize = 300;

/// The configuration by address, and the instances by theirs.
#[derive(Debug, Default)]
pub(super) struct References<'d> {
    /// By addresses without indexes; the root is the empty one.
    modules: HashMap<String, &'d Node>,
    expressions: HashMap<String, &'d Node>,
    /// Places of instances by their addresses: whole, without the last index, and without any.
    whole: HashMap<String, usize>,
    within: HashMap<String, Vec<usize>>,
    plain: HashMap<String, Vec<usize>>,
    /// Each instance's module and last index.
    places: Vec<(String, Option<String>)>,
    /// Where variables and outputs lead, each looked for once.
    known: RefCell<HashMap<String, Vec<usize>>>,
}

impl<'d> References<'d> {
    pub(super) fn new(configuration: Option<&'d Node>, instances: &[Instance<'_>]) -> References<'d> {
        let mut references = References::default();
        if let Some(root) = configuration.and_then(|configuration| configuration.get("root_module")) {
            references.module(String::new(), root, 0);
        }
        for (place, instance) in instances.iter().enumerate() {
            references.whole.insert(instance.address.clone(), place);
            references.within.entry(without_last_index(&instance.address).to_owned()).or_default().push(place);
            references.plain.entry(plain(&instance.address)).or_default().push(place);
            references.places.push((instance.module.clone(), index(&instance.address).map(str::to_owned)));
        }
        references
    }

    fn module(&mut self, address: String, module: &'d Node, depth: usize) {
        for resource in module.get("resources").and_then(Node::list).into_iter().flatten() {
            let local = resource.get("address").and_then(Node::text);
            if let (Some(local), Some(expressions)) = (local, resource.get("expressions")) {
                self.expressions.insert(join(&address, local), expressions);
            }
        }
        let calls = module.get("module_calls").and_then(Node::object).map(|calls| calls.0.as_slice());
        for (key, call) in calls.unwrap_or_default() {
            if let Some(child) = call.get("module").filter(|_| depth < DEEPEST) {
                self.module(join(&address, &format!("module.{}", key.name)), child, depth + 1);
            }
        }
        self.modules.insert(address, module);
    }

    pub(super) fn expressions(&self, instance: &Instance<'_>) -> Option<&'d Node> {
        self.expressions.get(&plain(&instance.address)).copied()
    }

    /// The instances that a reference in the module of instance `from` leads to; none where it leads elsewhere.
    pub(super) fn resolve(&self, from: usize, reference: &str) -> Vec<usize> {
        let Some((module, key)) = self.places.get(from) else { return Vec::new() };
        let found = self.follow(module, reference, 0);
        let same = found.iter().copied().filter(|place| key.is_some() && self.places[*place].1 == *key);
        match same.collect::<Vec<_>>() {
            same if same.len() == 1 && found.len() > 1 => same,
            _ => found,
        }
    }

    fn follow(&self, module: &str, reference: &str, depth: usize) -> Vec<usize> {
        let segments = split(reference);
        match segments.as_slice() {
            _ if depth > DEEPEST => Vec::new(),
            ["var", name, ..] => self.once(module, reference, || self.variable(module, name, depth)),
            ["module", name, output, ..] => self.once(module, reference, || self.output(module, name, output, depth)),
            ["data", kind, name, ..] => self.named(module, &format!("data.{kind}.{name}")),
            [kind, name, ..] => self.named(module, &format!("{kind}.{name}")),
            _ => Vec::new(),
        }
    }

    /// What leads back to itself leads nowhere.
    fn once(&self, module: &str, reference: &str, find: impl FnOnce() -> Vec<usize>) -> Vec<usize> {
        let key = format!("{module} {reference}");
        if let Some(known) = self.known.borrow().get(&key) {
            return known.clone();
        }
        self.known.borrow_mut().insert(key.clone(), Vec::new());
        let found = find();
        self.known.borrow_mut().insert(key, found.clone());
        found
    }

    fn variable(&self, module: &str, name: &str, depth: usize) -> Vec<usize> {
        let segments = split(module);
        let Some((call, outer)) = segments.split_last().filter(|_| segments.len() >= 2) else { return Vec::new() };
        let outer = outer[..outer.len() - 1].join(".");
        let calls = self.modules.get(&plain(&outer)).and_then(|module| module.get("module_calls"));
        let expression = calls.and_then(|calls| calls.get(&plain(call))?.get("expressions")?.get(&plain(name)));
        expression.map(|expression| self.all(&outer, expression, depth)).unwrap_or_default()
    }

    fn output(&self, module: &str, name: &str, output: &str, depth: usize) -> Vec<usize> {
        let inner = join(module, &format!("module.{name}"));
        let outputs = self.modules.get(&plain(&inner)).and_then(|module| module.get("outputs"));
        let expression = outputs.and_then(|outputs| outputs.get(&plain(output))?.get("expression"));
        expression.map(|expression| self.all(&inner, expression, depth)).unwrap_or_default()
    }

    fn all(&self, module: &str, expression: &Node, depth: usize) -> Vec<usize> {
        let references = of_expression(expression);
        references
            .iter()
            .flat_map(|reference| self.follow(module, reference, depth + 1))
            .take(MOST_REFERENCES)
            .collect()
    }

    /// With an index, the one that has it; without, all there are in this instance of the module.
    fn named(&self, module: &str, local: &str) -> Vec<usize> {
        let full = join(module, local);
        if let Some(place) = self.whole.get(&full) {
            return vec![*place];
        }
        if let Some(places) = self.within.get(&full) {
            return places.iter().copied().take(MOST_REFERENCES).collect();
        }
        // A module that is called several times, and an output of which it is not said whose.
        let wanted = index(local);
        let places = self.plain.get(&plain(&full)).map(Vec::as_slice).unwrap_or_default();
        let inside = |place: &&usize| {
            let (own, key) = &self.places[**place];
            plain(own) == module && (wanted.is_none() || key.as_deref() == wanted)
        };
        places.iter().take(MOST_REFERENCES).filter(inside).copied().collect()
    }
}

/// What an expression refers to; of `a.b.id` and `a.b`, only the longer.
pub(super) fn of_expression(expression: &Node) -> Vec<&str> {
    let references = expression.get("references").and_then(Node::list).unwrap_or_default();
    let mut kept: Vec<&str> = Vec::new();
    for reference in references.iter().filter_map(Node::text).filter(|text| text.len() <= LONGEST).take(MOST_REFERENCES)
    {
        let begins = |longer: &&str| longer.strip_prefix(reference).is_some_and(|rest| rest.starts_with(['.', '[']));
        if !kept.last().is_some_and(begins) && kept.last() != Some(&reference) {
            kept.push(reference);
        }
    }
    kept.retain(|reference| !["each.", "count.", "path."].iter().any(|start| reference.starts_with(start)));
    kept
}

/// The expressions of the block that made this one: by its name where that is a constant, else by its place.
pub(super) fn block<'d>(blocks: &'d [Node], place: usize, value: Option<&Node>, of: usize) -> Option<&'d Node> {
    let constant = |block: &'d Node| block.get("name")?.get("constant_value")?.text();
    let name = value.and_then(|value| value.get("name")).and_then(Node::text);
    let at_place = blocks.get(place).filter(|_| blocks.len() == of);
    if let Some(block) = at_place.filter(|block| constant(block).is_none() || constant(block) == name) {
        return Some(block);
    }
    // A name that is not at its own place is sought among few only: the others stand where they were written.
    blocks.iter().take(256).find(|block| name.is_some() && constant(block) == name)
}

pub(super) fn join(module: &str, local: &str) -> String {
    if module.is_empty() { local.to_owned() } else { format!("{module}.{local}") }
}

/// Without indexes: `module.a.b.c` of `module.a[0].b.c["x"]`.
pub(super) fn plain(address: &str) -> String {
    let segments: Vec<&str> =
        split(address).into_iter().map(|segment| segment.split('[').next().unwrap_or("")).collect();
    segments.join(".")
}

/// The last segment's index, with its quotes.
fn index(address: &str) -> Option<&str> {
    let last = split(address).pop()?;
    let (_, index) = last.split_once('[')?;
    index.strip_suffix(']')
}

fn without_last_index(address: &str) -> &str {
    match index(address) {
        Some(index) => &address[..address.len() - index.len() - 2],
        None => address,
    }
}

/// Cuts at the dots that are not within brackets.
pub(super) fn split(address: &str) -> Vec<&str> {
    let (mut segments, mut from, mut inside, mut in_text) = (Vec::new(), 0, false, false);
    for (at, letter) in address.char_indices() {
        match letter {
            '"' if inside => in_text = !in_text,
            '[' if !in_text => inside = true,
            ']' if !in_text => inside = false,
            '.' if !inside => {
                segments.push(&address[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    segments.push(&address[from..]);
    segments
}

/// True where the expressions of a resource set this attribute.
pub(super) fn sets(expressions: &Object, name: &str) -> bool {
    expressions.get(name).is_some()
}
