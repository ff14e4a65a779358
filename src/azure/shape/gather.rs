//! Walks what a file holds and collects resources and what is to be said of the rest.

use std::collections::BTreeMap;

use crate::azure::json::{Node, Object, Value};
use crate::azure::note::{Note, Severity};
use crate::policy::Spot;

use super::build::{cut, text};
use super::form::{Shape, shape_of};
use super::kinds::{self, Use};
use super::resource::Resource;
use super::{envelope, foreign, fragment, nest, rest, terraform};

/// What is known of a body from what it came with.
#[derive(Debug, Clone, Default)]
pub(super) struct Hint {
    pub(super) kind: Option<&'static str>,
    /// Outermost first.
    pub(super) names: Vec<String>,
}

impl Hint {
    /// An answer to a request may be something else than what its path names.
    pub(super) fn is_for(&self, object: &Object) -> bool {
        object.get("properties").is_some() || foreign::told(object).is_none()
    }

    /// The full name of a thing whose own name is this.
    pub(super) fn name(&self, own: Option<&Node>, segments: usize) -> Option<Node> {
        let own_text = own.and_then(Node::text);
        let at = own.map_or_else(Spot::nowhere, |own| own.at);
        let names = match own_text {
            None if self.names.len() == segments && own.is_none() => self.names.join("/"),
            Some(own) if self.names.len() >= segments && segments > 1 => {
                format!("{}/{own}", self.names[..segments - 1].join("/"))
            }
            Some(own) if self.names.len() + 1 == segments && segments > 1 => format!("{}/{own}", self.names.join("/")),
            _ => return None,
        };
        Some(text(&names, at))
    }
}

/// What a resource stands in.
#[derive(Clone, Copy)]
pub(super) struct Parent<'p> {
    pub(super) kind: &'p str,
    pub(super) name: &'p Node,
}

/// Everything that has been found.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) resources: Vec<Resource>,
    pub(super) notes: Vec<Note>,
    /// Types that are not read, by their lower-case names.
    others: BTreeMap<String, Other>,
}

struct Other {
    kind: String,
    count: usize,
    first: Spot,
    why: Use,
}

impl Gathered {
    pub(super) fn note(&mut self, severity: Severity, at: Spot, what: impl Into<String>) {
        self.notes.push(Note::new(severity, at, what));
    }

    pub(super) fn mended(&mut self, severity: Severity, at: Spot, what: impl Into<String>, mend: &str) {
        self.notes.push(Note::new(severity, at, what).mend(mend));
    }

    pub(super) fn document(&mut self, document: &Node) {
        let shape = shape_of(document);
        match shape {
            Shape::TerraformPlan => terraform::plan(document, self),
            Shape::TerraformState => terraform::state(document, self),
            Shape::TerraformStateFile => terraform::state_file(document, self),
            Shape::RestExample => self.example(document),
            Shape::Resources => self.value(document, &Hint::default()),
            Shape::Foreign(what) => self.foreign(document.at, what),
            Shape::Template | Shape::ParametersFile | Shape::ServiceTags | Shape::TerraformSource => {
                let (what, mend) = elsewhere(shape);
                self.mended(Severity::Error, document.at, what, mend);
            }
        }
    }

    fn example(&mut self, document: &Node) {
        match document.object().and_then(rest::body) {
            Some((body, hint)) => self.value(body, &hint),
            None => self.note(
                Severity::Warning,
                document.at,
                "an example of the REST API whose request and answer are empty",
            ),
        }
    }

    fn foreign(&mut self, at: Spot, what: &str) {
        self.note(Severity::Warning, at, format!("no firewall policy, but {what}"));
    }

    fn value(&mut self, node: &Node, hint: &Hint) {
        match &node.value {
            Value::List(items) => self.items(node, items, hint),
            Value::Object(object) => match listed(object) {
                Some((list, items)) => self.items(list, items, hint),
                None => self.object(node, object, hint),
            },
            _ => self.note(Severity::Warning, node.at, format!("no resource, but {}", node.kind())),
        }
    }

    /// What is not a resource but part of one is taken together.
    fn items(&mut self, list: &Node, items: &[Node], hint: &Hint) {
        let mut parts = fragment::Parts::default();
        let mut foreign_before = None;
        for item in items {
            if parts.take(item) {
                continue;
            }
            let told = item.object().and_then(foreign::told);
            match told {
                Some(what) if foreign_before == Some(what) => {}
                Some(what) => self.foreign(item.at, what),
                None => self.value(item, hint),
            }
            foreign_before = told.or(foreign_before);
        }
        parts.finish(list, self);
    }

    fn object(&mut self, node: &Node, object: &Object, hint: &Hint) {
        let mut parts = fragment::Parts::default();
        if parts.take(node) {
            return parts.finish(node, self);
        }
        if let Some(what) = foreign::told(object) {
            return self.foreign(node.at, what);
        }
        match envelope::kind_of(object, hint) {
            Some(kind) => self.resource(node, object, kind, hint, None),
            None => {
                let what = "no resource: it has no type, no id and nothing by which it could be told";
                self.note(Severity::Warning, node.at, what);
            }
        }
    }

    /// Adds a resource of this type and, behind it, its children.
    pub(super) fn resource(
        &mut self,
        node: &Node,
        object: &Object,
        kind: String,
        hint: &Hint,
        parent: Option<Parent<'_>>,
    ) {
        // It names something that stands elsewhere.
        if object.get("existing").is_some_and(|existing| existing.value == Value::Bool(true)) {
            return;
        }
        match kinds::use_of(&kind) {
            Use::Read => nest::add(envelope::open(node, object, kind, hint, parent), object, self),
            why => {
                self.count(&kind, node.at, why);
                if let Some(children) = object.get("resources").and_then(Node::list) {
                    let opened = envelope::open(node, object, kind, hint, parent);
                    nest::children(children, Parent { kind: &opened.kind, name: &opened.name }, self);
                }
            }
        }
    }

    pub(super) fn count(&mut self, kind: &str, at: Spot, why: Use) {
        let new = || Other { kind: kind.to_owned(), count: 0, first: at, why };
        self.others.entry(kind.to_ascii_lowercase()).or_insert_with(new).count += 1;
    }

    /// One note for each type that is not read, and one where nothing was found at all.
    pub(super) fn finish(mut self) -> (Vec<Resource>, Vec<Note>) {
        let others = std::mem::take(&mut self.others);
        let nothing = self.resources.is_empty();
        for other in others.into_values() {
            self.notes.extend(other.note(nothing));
        }
        let said = self.notes.iter().any(|note| note.severity > Severity::Info);
        if nothing && !said {
            let what = "there is no firewall policy, firewall, IP group, security group, route table or network in it";
            self.note(Severity::Warning, Spot::nowhere(), what);
        }
        (self.resources, self.notes)
    }
}

impl Other {
    /// What could be taken for a policy is worth a warning where it is all there is.
    fn note(self, alone: bool) -> Option<Note> {
        let Other { kind, count, first, why } = self;
        let kind = cut(&kind);
        let kind = if count == 1 { kind.to_owned() } else { format!("{kind} ({count} of them)") };
        let (severity, what) = match why {
            Use::Read | Use::Irrelevant => return None,
            Use::Lookalike(what) if alone => (Severity::Warning, format!("no firewall policy, but {kind}: {what}")),
            Use::Lookalike(what) => (Severity::Info, format!("{kind}: {what}")),
            Use::Draft => (Severity::Warning, format!("{kind}: a draft is not in force, and is left out")),
            Use::Unknown => (Severity::Info, format!("{kind}: not about the firewall")),
        };
        Some(Note::new(severity, first, what))
    }
}

/// What has to go another way first: what it is, and which.
fn elsewhere(shape: Shape) -> (&'static str, &'static str) {
    match shape {
        Shape::ParametersFile => ("a parameters file, and no policy", "give it with --parameters"),
        Shape::ServiceTags => ("a list of service tags, and no policy", "give it with --service-tags"),
        Shape::TerraformSource => {
            ("Terraform source in JSON, which only Terraform can work out", super::detect::TERRAFORM)
        }
        _ => ("a template, whose expressions have to be worked out first", "give the template as a file of its own"),
    }
}

/// The lists that tools wrap their answers in: REST and az `value`, Resource Graph `data`.
fn listed(object: &Object) -> Option<(&Node, &[Node])> {
    let told = ["type", "id", "name", "properties"].iter().any(|name| object.get(name).is_some());
    let list = ["value", "data"].iter().find_map(|name| object.get(name).filter(|node| node.list().is_some()))?;
    list.list().filter(|_| !told).map(|items| (list, items))
}
