//! What is found while reading, and the typed way to an object's members.

use std::sync::Arc;

use super::words::{self, Words};
use crate::azure::json::{Node, Object, Unknown, Value};
use crate::azure::note::{Note, Severity};
use crate::azure::shape::Resource;
use crate::policy::{Priority, Spot};

/// What it means when less matches here than in Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Less gets through: it is on the safe side.
    Allows,
    /// More gets through than in Azure.
    Denies,
}

/// A place at which something stands that only Azure knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownUse {
    /// What `--set` would have to give.
    pub names: Vec<Arc<str>>,
    /// As far as it is known.
    pub shown: Arc<str>,
    pub at: Spot,
    /// ``destinationAddresses of rule `web` ``
    pub field: String,
    pub effect: Effect,
}

/// Reading goes on after an error, so that all of them are told.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub notes: Vec<Note>,
    pub unknowns: Vec<UnknownUse>,
    /// Of what is around a firewall, where that was asked for.
    pub unknowns_around: Vec<UnknownUse>,
    /// Tags, categories and IP groups that are not known here.
    pub unknown_names: usize,
    /// What names of resources, collections and rules hang on, each once, with where it first stands.
    in_names: Vec<(Arc<str>, Spot)>,
}

/// An object of which members are read, as messages call it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub object: &'a Object,
    pub at: Spot,
    /// ``rule `web` ``
    pub what: &'a str,
    pub effect: Effect,
}

/// The items of a list.
#[derive(Debug)]
pub(super) struct Items<'a> {
    pub items: Vec<Item<'a>>,
    /// Something stands there: what is known of it, what only Azure knows, or what an error was reported of.
    pub given: bool,
    /// Some of it only Azure knows.
    pub incomplete: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    pub text: &'a str,
    pub at: Spot,
}

impl Effect {
    /// Of a thing that matches less than in Azure.
    pub(super) fn severity(self) -> Severity {
        match self {
            Effect::Allows => Severity::Doubt,
            Effect::Denies => Severity::Error,
        }
    }
}

impl<'a> Subject<'a> {
    /// A member by its name in any letter case; null and an empty text count as not there.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.object.get(key).filter(|node| node.text() != Some(""))
    }

    pub(super) fn place_of(&self, key: &str) -> Spot {
        self.get(key).map_or(self.at, |node| node.at)
    }
}

impl Notes {
    pub(super) fn push(&mut self, note: Note) {
        self.notes.push(note);
    }

    /// A resource's properties.
    pub(super) fn resource<'a>(
        &mut self,
        resource: &'a Resource,
        what: &'a str,
        effect: Effect,
    ) -> Option<Subject<'a>> {
        let around = Subject { object: &resource.rest, at: resource.at, what, effect };
        self.properties(&resource.properties, &around).map(|object| Subject { object, ..around })
    }

    /// The properties of what is around them.
    pub(super) fn properties<'a>(&mut self, node: &'a Node, around: &Subject<'_>) -> Option<&'a Object> {
        match &node.value {
            Value::Object(object) => return Some(object),
            Value::Unknown(unknown) => self.unknown(around, "properties", node.at, unknown),
            _ => self.expected(node, "properties", around, "an object"),
        }
        None
    }

    /// Something matches less than it does in Azure.
    pub(super) fn less(&mut self, effect: Effect, at: Spot, what: String, check: &'static str, mend: Option<String>) {
        let what = match effect {
            Effect::Allows => what,
            Effect::Denies => format!("{what}, so this collection would not deny what Azure denies"),
        };
        self.push(Note { mend, ..Note::new(effect.severity(), at, what).check(check) });
    }

    pub(super) fn unknown(&mut self, subject: &Subject<'_>, key: &str, at: Spot, unknown: &Unknown) {
        self.unknowns.push(UnknownUse {
            names: unknown.names.clone(),
            shown: Arc::clone(&unknown.shown),
            at,
            field: format!("{key} of {}", subject.what),
            effect: subject.effect,
        });
    }

    fn expected(&mut self, node: &Node, key: &str, subject: &Subject<'_>, expected: &str) {
        let what = format!("`{key}` of {} is {expected}, not {}", subject.what, node.kind());
        self.push(Note::new(Severity::Error, node.at, what));
    }

    pub(super) fn missing(&mut self, key: &str, subject: &Subject<'_>, expected: &str) {
        let what = format!("`{key}` of {} is missing: {expected}", subject.what);
        self.push(Note::new(Severity::Error, subject.at, what));
    }

    /// Texts, and numbers where they are ports, in a list or alone.
    pub(super) fn items<'a>(&mut self, subject: &Subject<'a>, key: &str) -> Items<'a> {
        let mut read = Items { items: Vec::new(), given: false, incomplete: false };
        let Some(node) = subject.get(key) else {
            return read;
        };
        match &node.value {
            Value::List(items) => {
                read.items.reserve(items.len());
                items.iter().for_each(|item| self.item(subject, key, item, &mut read));
            }
            Value::Text(_) | Value::Unknown(_) => self.item(subject, key, node, &mut read),
            Value::Number(_) if may_be_number(key) => self.item(subject, key, node, &mut read),
            _ => {
                read.given = true;
                self.expected(node, key, subject, "a list of texts");
            }
        }
        read
    }

    fn item<'a>(&mut self, subject: &Subject<'a>, key: &str, node: &'a Node, read: &mut Items<'a>) {
        match &node.value {
            Value::Null => return,
            Value::Text(text) => read.items.push(Item { text: text.trim(), at: node.at }),
            Value::Number(text) if may_be_number(key) => read.items.push(Item { text, at: node.at }),
            Value::Unknown(unknown) => {
                read.incomplete = true;
                self.unknown(subject, key, node.at, unknown);
            }
            _ => self.expected(node, key, subject, "a list of texts"),
        }
        read.given = true;
    }

    /// The objects of a list.
    pub(super) fn objects<'a>(&mut self, subject: &Subject<'a>, key: &str) -> Vec<&'a Node> {
        let Some(node) = subject.get(key) else {
            return Vec::new();
        };
        match &node.value {
            Value::List(items) => items.iter().filter(|item| self.is_object(subject, key, item)).collect(),
            Value::Object(_) => {
                self.expected(node, key, subject, "a list of objects");
                Vec::new()
            }
            _ => {
                self.is_object(subject, key, node);
                Vec::new()
            }
        }
    }

    fn is_object(&mut self, subject: &Subject<'_>, key: &str, node: &Node) -> bool {
        match &node.value {
            Value::Object(_) => return true,
            Value::Null => {}
            Value::Unknown(unknown) => self.unknown(subject, key, node.at, unknown),
            _ => self.expected(node, key, subject, "a list of objects"),
        }
        false
    }

    /// A member that is an object, as a subject of the same name.
    pub(super) fn object<'a>(&mut self, subject: &Subject<'a>, key: &str) -> Option<Subject<'a>> {
        let node = subject.get(key)?;
        match &node.value {
            Value::Object(object) => return Some(Subject { object, at: node.at, ..*subject }),
            Value::Unknown(unknown) => self.unknown(subject, key, node.at, unknown),
            _ => self.expected(node, key, subject, "an object"),
        }
        None
    }

    /// A text, or a number as it is written.
    pub(super) fn text<'a>(&mut self, subject: &Subject<'a>, key: &str) -> Option<Item<'a>> {
        self.scalar(subject, key, "a text")
    }

    fn scalar<'a>(&mut self, subject: &Subject<'a>, key: &str, expected: &str) -> Option<Item<'a>> {
        let node = subject.get(key)?;
        match &node.value {
            Value::Text(text) | Value::Number(text) => return Some(Item { text: text.trim(), at: node.at }),
            Value::Unknown(unknown) => self.unknown(subject, key, node.at, unknown),
            _ => self.expected(node, key, subject, expected),
        }
        None
    }

    /// True or false, as such or as a text; also `Enabled` and `Disabled`.
    pub(super) fn flag(&mut self, subject: &Subject<'_>, key: &str) -> Option<bool> {
        let node = subject.get(key)?;
        match &node.value {
            Value::Bool(flag) => return Some(*flag),
            Value::Text(text) => match words::pick(words::FLAGS, text) {
                Ok(flag) => return Some(flag),
                Err(what) => self.bad_word(subject, key, node.at, &what),
            },
            Value::Unknown(unknown) => self.unknown(subject, key, node.at, unknown),
            _ => self.expected(node, key, subject, "true or false"),
        }
        None
    }

    /// One of some words, in any letter case.
    pub(super) fn word<T: Copy>(&mut self, subject: &Subject<'_>, key: &str, words: Words<T>) -> Option<T> {
        let item = self.text(subject, key)?;
        match words::pick(words, item.text) {
            Ok(value) => Some(value),
            Err(what) => {
                self.bad_word(subject, key, item.at, &what);
                None
            }
        }
    }

    pub(super) fn bad_word(&mut self, subject: &Subject<'_>, key: &str, at: Spot, what: &str) {
        self.push(Note::new(Severity::Error, at, format!("`{key}` of {}: {what}", subject.what)));
    }

    pub(super) fn number(&mut self, subject: &Subject<'_>, key: &str) -> Option<(i64, Spot)> {
        let item = self.scalar(subject, key, "a whole number")?;
        let number = item.text.parse().ok();
        if number.is_none() {
            let what = format!("`{key}` of {} is a whole number, not `{}`", subject.what, item.text);
            self.push(Note::new(Severity::Error, item.at, what));
        }
        Some((number?, item.at))
    }

    /// None where an error was reported, or where only Azure knows it.
    pub(super) fn priority(&mut self, subject: &Subject<'_>) -> Option<Priority> {
        if subject.get("priority").is_none() {
            self.missing("priority", subject, "a number from 100 (first) to 65000 (last)");
            return None;
        }
        let (number, at) = self.number(subject, "priority")?;
        Priority::try_from(number).map_err(|error| self.push(Note::new(Severity::Error, at, error.to_string()))).ok()
    }

    /// A name as it is; as far as it is known where it is not.
    pub(super) fn name(&mut self, object: &Object) -> String {
        object.get("name").map_or_else(String::new, |name| {
            self.used_in_name(name);
            shown(name)
        })
    }

    pub(super) fn used_in_name(&mut self, name: &Node) {
        let Value::Unknown(unknown) = &name.value else { return };
        for part in &unknown.names {
            if !self.in_names.iter().any(|(known, _)| known == part) {
                self.in_names.push((Arc::clone(part), name.at));
            }
        }
    }

    /// The values that nothing but names hangs on: no flow is decided by them, and yet they are missing.
    pub(super) fn report_names(&mut self) {
        let decides = |name: &Arc<str>| self.unknowns.iter().any(|unknown| unknown.names.contains(name));
        let only: Vec<&(Arc<str>, Spot)> = self.in_names.iter().filter(|(name, _)| !decides(name)).collect();
        let Some((_, at)) = only.first() else { return };
        let names: Vec<String> = only.iter().map(|(name, _)| format!("`{name}`")).collect();
        let flags: Vec<String> = only.iter().map(|(name, _)| format!("--set '{name}=…'")).collect();
        let what = format!("known to Azure only, and only names hang on it: {}", names.join(", "));
        let note = Note::new(Severity::Info, *at, what).mend(flags.join(" "));
        self.push(note);
    }

    pub(super) fn description(&mut self, subject: &Subject<'_>) -> String {
        subject.get("description").map_or_else(String::new, shown)
    }
}

/// Ports are written as texts and as numbers.
fn may_be_number(key: &str) -> bool {
    key.to_ascii_lowercase().contains("port")
}

/// What an expression came to that is wrong, of which an error was told.
pub(super) fn is_wrong(node: &Node) -> bool {
    matches!(&node.value, Value::Unknown(unknown) if unknown.names.is_empty())
}

/// A text for people: an unknown one as far as it is known.
pub(super) fn shown(node: &Node) -> String {
    match &node.value {
        Value::Text(text) | Value::Number(text) => text.to_string(),
        Value::Unknown(unknown) => unknown.shown.to_string(),
        _ => String::new(),
    }
}
