//! Variables that are defined by themselves and that nothing asks for: Azure refuses the template all the same.

use std::collections::HashMap;

use super::eval::Machine;
use super::parse::{Call, Expr};
use super::scope::Scope;
use crate::azure::json::{Node, Object, Value};
use crate::azure::note::{Note, Severity};
use crate::policy::Spot;

/// Variables by their places, each with those that it asks for.
struct Graph<'t> {
    names: Vec<&'t str>,
    at: Vec<Spot>,
    asks: Vec<Vec<usize>>,
}

impl<'t> Machine<'t> {
    /// To be called when all is evaluated: of a cycle that something asked for an error has been told.
    pub(super) fn report_unused_cycles(&mut self, scope: &Scope<'t>) {
        let Some(variables) = scope.variables else { return };
        let graph = self.graph(variables);
        for cycle in graph.cycles() {
            let label = |place: &usize| format!("variables.{}", graph.names[*place]);
            if cycle.iter().any(|place| self.was_asked_for(scope.number, &label(place))) {
                continue;
            }
            let names: Vec<String> = cycle.iter().chain(cycle.first()).map(label).collect();
            let what = format!("it is defined by itself: {}; nothing uses it", names.join(" -> "));
            self.note(Note::new(Severity::Warning, graph.at[cycle[0]], what));
        }
    }

    fn graph(&mut self, variables: &'t Object) -> Graph<'t> {
        let places: HashMap<String, usize> =
            variables.iter().enumerate().map(|(place, (key, _))| (key.name.to_lowercase(), place)).collect();
        let mut graph = Graph { names: Vec::new(), at: Vec::new(), asks: Vec::new() };
        for (key, node) in variables.iter() {
            let mut asked = Vec::new();
            self.asked_by(node, &places, &mut asked);
            graph.names.push(&key.name);
            graph.at.push(node.at);
            graph.asks.push(asked);
        }
        graph
    }

    fn asked_by(&mut self, node: &Node, places: &HashMap<String, usize>, asked: &mut Vec<usize>) {
        match &node.value {
            Value::Text(text) if text.contains("variables") => {
                if let Ok(expression) = &*self.parsed(text) {
                    calls_in(expression, places, asked);
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.asked_by(item, places, asked)),
            Value::Object(object) => object.iter().for_each(|(_, node)| self.asked_by(node, places, asked)),
            _ => {}
        }
    }
}

/// An expression is as deep as the parser lets it be.
fn calls_in(expression: &Expr, places: &HashMap<String, usize>, asked: &mut Vec<usize>) {
    match expression {
        Expr::Call(Call { name, arguments }) => {
            if let [Expr::Text(variable)] = arguments.as_slice()
                && name.eq_ignore_ascii_case("variables")
            {
                asked.extend(places.get(&variable.to_lowercase()));
            }
            arguments.iter().for_each(|argument| calls_in(argument, places, asked));
        }
        Expr::Access { base, steps } => {
            calls_in(base, places, asked);
            steps.iter().for_each(|step| calls_in(&step.key, places, asked));
        }
        Expr::Text(_) | Expr::Number(_) => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    OnTrail,
    Left,
}

impl Graph<'_> {
    /// Each is told by the first link that closes it. A chain may be as long as there are variables, so nothing calls
    /// itself here.
    fn cycles(&self) -> Vec<Vec<usize>> {
        let mut seen = vec![Seen::Not; self.asks.len()];
        let mut cycles = Vec::new();
        for start in 0..self.asks.len() {
            if seen[start] == Seen::Not {
                self.walk(start, &mut seen, &mut cycles);
            }
        }
        cycles
    }

    fn walk(&self, start: usize, seen: &mut [Seen], cycles: &mut Vec<Vec<usize>>) {
        let mut trail = vec![(start, 0)];
        seen[start] = Seen::OnTrail;
        while let Some((place, next)) = trail.last_mut() {
            let Some(asked) = self.asks[*place].get(*next).copied() else {
                seen[*place] = Seen::Left;
                trail.pop();
                continue;
            };
            *next += 1;
            match seen[asked] {
                Seen::Not => {
                    seen[asked] = Seen::OnTrail;
                    trail.push((asked, 0));
                }
                Seen::OnTrail if cycles.len() < MOST => {
                    let places = trail.iter().map(|(place, _)| *place);
                    cycles.push(places.skip_while(|place| *place != asked).collect());
                }
                Seen::OnTrail | Seen::Left => {}
            }
        }
    }
}

/// Cycles of one template that are told.
const MOST: usize = 20;
