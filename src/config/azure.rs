//! Policies in Azure's shapes: the documents of all files, the templates in them worked out, and what was noted of
//! them as findings. Pure: what a template links to is asked for, and opened in `load`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::allowlist::Catalogue;
use crate::azure::json::{self, Key, Node, Object, Unknown, Value};
use crate::azure::note::{Note, Severity};
use crate::azure::read::{self, Asked, Base, Effect, FoundPolicy, Read, Refusal, Set, UnknownUse, Wanted};
use crate::azure::shape::{self, Resource, Shape};
use crate::azure::template::{self, Expanded, Inputs};
use crate::policy::Spot;

use super::error::{Findings, Place, Placed, Problem, Source};

/// The files in Azure's shapes that take part, by their numbers here, and what templates are given.
#[derive(Debug, Default)]
pub(super) struct AzureFiles {
    files: Vec<AzureFile>,
    parameters: Vec<(Arc<str>, Node)>,
    set: Vec<Placed<(String, String)>>,
    /// What links lead to, by the linking file's number among all and the link as it was asked for.
    linked: BTreeMap<(u32, String), Arc<[Node]>>,
}

#[derive(Debug)]
struct AzureFile {
    path: PathBuf,
    source: Arc<Source>,
    documents: Arc<[Node]>,
    asked: Asked,
}

/// A link in a template that was not followed yet.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OpenLink {
    /// The number among all files of the one that links.
    pub from: u32,
    pub to: String,
}

/// One policy of Azure's that was asked for.
#[derive(Debug, Clone)]
pub(super) struct AzureReference {
    /// The file's number here.
    pub file: usize,
    /// Of `FILE#NAME`.
    pub name: Option<String>,
    pub place: Place,
}

impl AzureFiles {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(super) fn find(&self, path: &Path) -> Option<usize> {
        self.files.iter().position(|file| file.path == path)
    }

    pub(super) fn path(&self, file: usize) -> &Path {
        &self.files[file].path
    }

    /// Takes a file in; answers its number here. What is no JSON is reported, and has no documents.
    pub(super) fn add(&mut self, path: PathBuf, source: Arc<Source>, findings: &mut Findings) -> usize {
        let documents: Arc<[Node]> = parse(&source, findings).into();
        for document in documents.iter().filter(|document| shape::shape_of(document) == Shape::ParametersFile) {
            let problem = Problem::new("this is a file of parameters, no policy: it is used for the templates");
            findings.warn(&at_start(&source), problem.mend("give it by --parameters"));
            self.parameters.extend(template::parameters_of(document));
        }
        self.files.push(AzureFile { path, source, documents, asked: Asked::Policy });
        self.files.len() - 1
    }

    /// What is around the firewall is wanted of this file too.
    pub(super) fn ask_for_topology(&mut self, file: usize) {
        self.files[file].asked = Asked::Topology;
    }

    /// A file of `--parameters`; later ones win.
    pub(super) fn add_parameters(&mut self, source: &Arc<Source>, findings: &mut Findings) {
        for document in parse(source, findings) {
            if template::is_template(&document) {
                let problem = Problem::new("this is a template, no file of parameters").mend("give it by --policy");
                findings.error(&at_start(source), problem);
                continue;
            }
            report_parameters(&document, source, findings);
            self.parameters.extend(template::parameters_of(&document));
        }
    }

    /// `NAME=VALUE`; the later of two for one name wins.
    pub(super) fn add_set(&mut self, texts: &[Placed<String>], findings: &mut Findings) {
        for text in texts {
            let read = text.read(findings, |text| match text.split_once('=') {
                Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
                _ => Err(Problem::new(format!("`{text}` sets nothing")).mend("write NAME=VALUE")),
            });
            if let Some(value) = read {
                self.set.retain(|known| !known.value.0.eq_ignore_ascii_case(&value.0));
                self.set.push(Placed { value, place: text.place.clone() });
            }
        }
    }

    /// What was given for templates, where there is none to give it to.
    pub(super) fn refuse_inputs(&self, parameters: &[Placed<String>], findings: &mut Findings) {
        let places = parameters.iter().map(|it| &it.place).chain(self.set.iter().map(|it| &it.place));
        for place in places {
            let problem = Problem::new("there is no template that this could be for").mend("name it by --policy");
            findings.error(place, problem);
        }
    }

    /// The links that nobody looked for yet.
    pub(super) fn open_links(&self) -> Vec<OpenLink> {
        let mut links: Vec<OpenLink> = Vec::new();
        for file in &self.files {
            for expanded in self.expand(file) {
                let open = expanded.links.into_iter().filter(|link| link.file.is_none());
                links.extend(open.filter_map(|link| Some(OpenLink { from: link.at.file()?, to: link.to })));
            }
        }
        links.retain(|link| !self.linked.contains_key(&(link.from, link.to.clone())));
        links.sort();
        links.dedup();
        links
    }

    /// What a link leads to; an empty list where nothing was found.
    pub(super) fn follow(&mut self, link: OpenLink, documents: Arc<[Node]>) {
        self.linked.insert((link.from, link.to), documents);
    }

    /// The documents of a given file whose name ends as a link does: `ase.vnet.json` for `nested/vnet.json`.
    pub(super) fn named_like(&self, link: &OpenLink) -> Option<Arc<[Node]>> {
        let wanted = last_name(&link.to);
        let fits = |file: &&AzureFile| {
            let name =
                file.path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
            let rest = name.strip_suffix(&wanted.to_ascii_lowercase());
            file.source.number() != link.from
                && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-', '_']))
        };
        self.files.iter().find(fits).map(|file| Arc::clone(&file.documents))
    }

    fn expand(&self, file: &AzureFile) -> Vec<Expanded> {
        if self.is_linked_to(file) {
            return Vec::new();
        }
        let templates = file.documents.iter().filter(|document| shape::shape_of(document) == Shape::Template);
        templates.map(|template| self.expand_one(template, file)).collect()
    }

    fn expand_one(&self, template: &Node, file: &AzureFile) -> Expanded {
        let number = file.source.number();
        let linked = |to: &str| self.linked_template(number, to);
        let inputs = Inputs {
            parameters: self.parameters.clone(),
            set: self.set.iter().map(|set| set.value.clone()).collect(),
            linked: &linked,
            wanted: match file.asked {
                Asked::Policy => &read::takes,
                Asked::Topology => &read::takes_around,
            },
        };
        template::expand(template, &inputs)
    }

    /// By the template that is worked out, or by one that it links to in turn.
    fn linked_template(&self, number: u32, to: &str) -> Option<&Node> {
        let own = self.linked.get(&(number, to.to_owned()));
        let any = || self.linked.iter().find(|((_, link), _)| link == to).map(|(_, documents)| documents);
        own.or_else(any)?.first()
    }

    /// A template that another one links to is worked out there, with what it is passed.
    fn is_linked_to(&self, file: &AzureFile) -> bool {
        let own = file.source.number();
        let is_own = |node: &Node| node.at.file() == Some(own);
        self.linked.iter().any(|((from, _), documents)| *from != own && documents.first().is_some_and(is_own))
    }

    /// Reads all files together.
    pub(super) fn read(&self, catalogue: &Catalogue, findings: &mut Findings, texts: &[Arc<Source>]) -> Read {
        let mut usage = Usage::default();
        let sets: Vec<Vec<Resource>> =
            self.files.iter().map(|file| self.resources(file, &mut usage, findings, texts)).collect();
        self.report_unused(&usage, findings, texts);
        let sets = sets.iter().zip(&self.files);
        let sets: Vec<Set<'_>> = sets.map(|(resources, file)| Set { resources, asked: file.asked }).collect();
        let read = read::read(&sets, catalogue);
        read.notes.iter().for_each(|note| report(note, texts, findings));
        report_unknowns(&read.unknowns, texts, findings);
        let around: Vec<&UnknownUse> = read.unknowns_around.iter().collect();
        if let Some(first) = around.first() {
            let problem = unknown_values(&around, "the network cannot be told without it", texts);
            findings.error(&place_of(first.at, texts), problem);
        }
        for (policy, Base { ident: _, name, at }) in read.missing_bases() {
            let what =
                format!("the base policy `{name}` of `{}` is not in the files: its rules are missing", policy.label);
            let problem = Problem::new(what).mend("give its file too, by one more --policy");
            findings.doubt(&place_of(*at, texts), problem.check(Some("missing-base")));
        }
        read
    }

    fn resources(
        &self,
        file: &AzureFile,
        usage: &mut Usage,
        findings: &mut Findings,
        texts: &[Arc<Source>],
    ) -> Vec<Resource> {
        if self.is_linked_to(file) {
            return Vec::new();
        }
        let mut nodes = Vec::new();
        for document in file.documents.iter() {
            match shape::shape_of(document) {
                Shape::Template => {
                    let Expanded { resources, notes, links: _, unused, undeclared } = self.expand_one(document, file);
                    usage.add(unused, undeclared);
                    notes.iter().for_each(|note| report(note, texts, findings));
                    nodes.extend(resources);
                }
                Shape::ParametersFile => {}
                Shape::ServiceTags => {
                    let problem = Problem::new("these are service tags, no policy").mend("give them by --service-tags");
                    findings.error(&at_start(&file.source), problem);
                }
                _ => nodes.push(document.clone()),
            }
        }
        if nodes.is_empty() {
            return Vec::new();
        }
        let shaped = shape::resources(&nodes);
        // What is about no place in particular is about the file.
        let whole = nodes.first().map_or(Spot::nowhere(), |node| node.at);
        for note in shaped.notes {
            let at = if note.at.file().is_some() { note.at } else { whole };
            report(&Note { at, ..note }, texts, findings);
        }
        shaped.resources.into_iter().map(|resource| self.with_set(resource, usage)).collect()
    }

    /// What stands in a plan for what is known after it is applied; a template has asked for its own already.
    fn with_set(&self, resource: Resource, usage: &mut Usage) -> Resource {
        if self.set.is_empty() {
            return resource;
        }
        let name = self.node_with_set(resource.name, usage);
        let properties = self.node_with_set(resource.properties, usage);
        Resource { name, properties, ..resource }
    }

    fn node_with_set(&self, node: Node, usage: &mut Usage) -> Node {
        let at = node.at;
        let value = match node.value {
            Value::Unknown(unknown) => match self.set_for(&unknown, at) {
                Some((name, value)) => {
                    usage.used.push(name.to_owned());
                    value
                }
                None => Value::Unknown(unknown),
            },
            Value::List(items) => {
                Value::List(items.into_iter().flat_map(|item| self.item_with_set(item, usage)).collect())
            }
            Value::Object(Object(members)) => {
                let member = |(key, node): (Key, Node)| (key, self.node_with_set(node, usage));
                Value::Object(Object(members.into_iter().map(member).collect()))
            }
            other => other,
        };
        Node::new(value, at)
    }

    /// A list that is given for an item stands for as many items.
    fn item_with_set(&self, item: Node, usage: &mut Usage) -> Vec<Node> {
        let was_unknown = matches!(item.value, Value::Unknown(_));
        match self.node_with_set(item, usage) {
            Node { value: Value::List(items), .. } if was_unknown => items,
            node => vec![node],
        }
    }

    /// What is given for a value as a whole, not for what is a part of it.
    fn set_for(&self, unknown: &Unknown, at: Spot) -> Option<(&str, Value)> {
        let [name] = unknown.names.as_slice() else { return None };
        let set = self.set.iter().find(|set| name == &unknown.shown && name.eq_ignore_ascii_case(&set.value.0))?;
        let (name, text) = &set.value;
        Some((name, template::value_of_set(text, at)))
    }

    /// What no template asked for is most often misspelt.
    fn report_unused(&self, usage: &Usage, findings: &mut Findings, texts: &[Arc<Source>]) {
        for set in &self.set {
            let name = &set.value.0;
            if usage.used.iter().any(|used| used.eq_ignore_ascii_case(name)) {
                continue;
            }
            if usage.templates == 0 || usage.unused.get(name) == Some(&usage.templates) {
                findings.warn(&set.place, Problem::new(format!("nothing asks for `{name}`")));
            }
        }
        for (name, node) in &self.parameters {
            if usage.templates > 0 && usage.undeclared.get(&**name) == Some(&usage.templates) {
                findings.warn(&place_of(node.at, texts), Problem::new(format!("no template has a parameter `{name}`")));
            }
        }
    }
}

/// How many templates had no use for what.
#[derive(Debug, Default)]
struct Usage {
    templates: usize,
    unused: BTreeMap<String, usize>,
    undeclared: BTreeMap<String, usize>,
    /// Outside of templates.
    used: Vec<String>,
}

impl Usage {
    fn add(&mut self, unused: Vec<String>, undeclared: Vec<Arc<str>>) {
        self.templates += 1;
        unused.into_iter().for_each(|name| *self.unused.entry(name).or_default() += 1);
        undeclared.iter().for_each(|name| *self.undeclared.entry(name.to_string()).or_default() += 1);
    }
}

/// What is of another shape would be passed over, and the template's own default be taken for it.
fn report_parameters(document: &Node, source: &Arc<Source>, findings: &mut Findings) {
    let members = document.get("parameters").unwrap_or(document);
    let Some(object) = members.object() else {
        let problem = Problem::new(format!("parameters are an object of theirs, and this is {}", members.kind()));
        return findings.error(&place_in(members.at, source), problem.mend(PARAMETERS));
    };
    let named = object.iter().filter(|(key, _)| !BESIDE_PARAMETERS.contains(&&*key.name));
    for (Key { name, at }, node) in named {
        let holds = |what: &str| {
            let members = node.object().map(Object::iter).into_iter().flatten();
            members.map(|(key, _)| key).any(|key| key.name.eq_ignore_ascii_case(what))
        };
        if holds("value") {
            continue;
        }
        let place = place_in(*at, source);
        if holds("reference") {
            let problem = Problem::new(format!("the parameter `{name}` is in a key vault, and not known here"));
            findings.warn(&place, problem.mend(format!("give it with --set 'parameters.{name}=…'")));
        } else {
            findings.error(&place, Problem::new(format!("the parameter `{name}` has no `value`")).mend(PARAMETERS));
        }
    }
}

const PARAMETERS: &str = "write {\"parameters\": {\"NAME\": {\"value\": …}}}";
const BESIDE_PARAMETERS: [&str; 3] = ["$schema", "contentVersion", "metadata"];

/// The documents of a text.
pub(super) fn parse(source: &Arc<Source>, findings: &mut Findings) -> Vec<Node> {
    match json::parse(source.text(), source.number()) {
        Ok(documents) if documents.is_empty() => {
            findings.error(&at_start(source), Problem::new("the file is empty").mend("give a policy as JSON"));
            Vec::new()
        }
        Ok(documents) => {
            report_duplicates(&documents, source, findings);
            documents
        }
        Err(error) => {
            let cut = shape::is_cut_off(source.text());
            let mend = cut.then(|| "the file ends before its brackets do: get it anew".to_owned());
            let place = Place::File { source: Arc::clone(source), span: error.span.clone(), key: String::new() };
            findings.error(&place, Problem::new(error.to_string()).maybe_mend(mend));
            Vec::new()
        }
    }
}

/// More names that stand twice are not told one by one.
const MOST_DUPLICATES: usize = 8;

fn report_duplicates(documents: &[Node], source: &Arc<Source>, findings: &mut Findings) {
    for key in json::duplicates(documents).into_iter().take(MOST_DUPLICATES) {
        let what = format!("`{}` stands twice in this object: only the last counts", key.name);
        findings.warn(&place_in(key.at, source), Problem::new(what).mend("leave one out"));
    }
}

fn place_in(spot: Spot, source: &Arc<Source>) -> Place {
    let span = spot.span().unwrap_or(0..0);
    let key = source.path(&span).unwrap_or_default();
    Place::File { source: Arc::clone(source), span, key }
}

pub(super) fn at_start(source: &Arc<Source>) -> Place {
    Place::File { source: Arc::clone(source), span: 0..0, key: String::new() }
}

fn place_of(spot: Spot, texts: &[Arc<Source>]) -> Place {
    let source = spot.file().and_then(|file| texts.get(file as usize));
    match source.zip(spot.span()) {
        Some((source, span)) => {
            let key = source.path(&span).unwrap_or_default();
            Place::File { source: Arc::clone(source), span, key }
        }
        None => Place::Flag("--policy"),
    }
}

fn report(note: &Note, texts: &[Arc<Source>], findings: &mut Findings) {
    let Note { severity, at, what, mend, check } = note;
    let place = place_of(*at, texts);
    let mend = mend.clone().or_else(|| parameter_of(&place));
    let problem = Problem::new(what.clone()).maybe_mend(mend).check(*check);
    match severity {
        Severity::Info => findings.info(&place, problem),
        Severity::Warning => findings.warn(&place, problem),
        Severity::Doubt => findings.doubt(&place, problem),
        Severity::Error => findings.error(&place, problem),
    }
}

/// What is wrong with a parameter's default value is mended by giving another one.
fn parameter_of(place: &Place) -> Option<String> {
    let Place::File { key, .. } = place else { return None };
    let (name, rest) = key.strip_prefix("$.parameters.")?.split_once('.')?;
    rest.starts_with("defaultValue").then(|| format!("give the parameter: --set 'parameters.{name}=…'"))
}

/// All of them at once, each with what would tell it: as an error where something would not be denied that Azure
/// denies.
fn report_unknowns(unknowns: &[UnknownUse], texts: &[Arc<Source>], findings: &mut Findings) {
    for effect in [Effect::Denies, Effect::Allows] {
        let those: Vec<&UnknownUse> = unknowns.iter().filter(|unknown| unknown.effect == effect).collect();
        let Some(first) = those.first() else { continue };
        let place = place_of(first.at, texts);
        let problem = unknown_values(&those, then(effect), texts);
        match effect {
            Effect::Denies => findings.error(&place, problem),
            Effect::Allows => findings.doubt(&place, problem),
        }
    }
}

fn unknown_values(unknowns: &[&UnknownUse], then: &str, texts: &[Arc<Source>]) -> Problem {
    let by_name = by_name(unknowns);
    let told = by_name.iter().take(NAMES);
    let mut each: Vec<String> =
        told.clone().map(|(name, uses)| format!("`{name}` ({})", places(uses, texts))).collect();
    let mut flags: Vec<String> = told.map(|(name, _)| format!("--set '{name}=…'")).collect();
    if let Some(more @ 1..) = by_name.len().checked_sub(NAMES) {
        each.push(format!("and {more} more"));
        flags.push(format!("and {more} more, which are told once these are given"));
    }
    if by_name.is_empty() {
        let what = format!("what stands here is known to Azure only, and {then}: {}", places(unknowns, texts));
        return Problem::new(what).check(Some("unknown-value"));
    }
    let count = match by_name.len() {
        1 => "1 value is".to_owned(),
        count => format!("{count} values are"),
    };
    let what = format!("{count} known to Azure only, and {then}: {}", each.join(", "));
    Problem::new(what).mend(flags.join(" ")).check(Some("unknown-value"))
}

fn then(effect: Effect) -> &'static str {
    match effect {
        Effect::Allows => "what hangs on it matches nothing",
        Effect::Denies => "without it this would not deny what Azure denies",
    }
}

/// Beyond this many, values are counted: a template can ask for thousands.
const NAMES: usize = 24;

/// In the order in which they are first asked for.
fn by_name<'u>(unknowns: &[&'u UnknownUse]) -> Vec<(&'u str, Vec<&'u UnknownUse>)> {
    let mut by_name: Vec<(&str, Vec<&UnknownUse>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for unknown in unknowns {
        for name in &unknown.names {
            let place = *places.entry(name).or_insert(by_name.len());
            match by_name.get_mut(place) {
                Some((_, uses)) => uses.push(unknown),
                None => by_name.push((name, vec![unknown])),
            }
        }
    }
    by_name
}

/// Beyond this many, places of one value are counted.
const PLACES: usize = 3;

fn places(uses: &[&UnknownUse], texts: &[Arc<Source>]) -> String {
    let line = |at: Spot| {
        let source = texts.get(at.file()? as usize)?;
        Some(source.line(at.span()?.start))
    };
    let shown = uses.iter().take(PLACES).map(|unknown| match line(unknown.at) {
        Some(line) => format!("line {line}: {}", unknown.field),
        None => unknown.field.clone(),
    });
    let shown: Vec<String> = shown.collect();
    let more = uses.len().saturating_sub(PLACES);
    if more > 0 { format!("{}; and {more} more", shown.join("; ")) } else { shown.join("; ") }
}

/// The policies that one reference means, parents first; what is wrong with it is reported.
pub(super) fn lineage(read: &Read, reference: &AzureReference, file: &str, findings: &mut Findings) -> Vec<usize> {
    let wanted = Wanted { set: reference.file, name: reference.name.as_deref() };
    let refusal = match read.lineage(wanted) {
        Ok(line) => return line,
        Err(refusal) => refusal,
    };
    let problem = match refusal {
        Refusal::Several { names } => {
            let flags: Vec<String> = names.iter().map(|name| format!("--policy '{file}#{name}'")).collect();
            let what = format!("`{file}` holds {} policies that have nothing to do with each other", names.len());
            Problem::new(what).mend(format!("say which one: {}", flags.join(" or ")))
        }
        Refusal::SameName { ids, names } => {
            let flags: Vec<String> = names.iter().map(|name| format!("--policy '{file}#{name}'")).collect();
            let name = wanted.name.unwrap_or_default();
            let what = format!("`{file}` holds {} policies `{name}`: {}", ids.len(), ids.join(" and "));
            Problem::new(what).mend(format!("say which one: {}", flags.join(" or ")))
        }
        Refusal::NoSuchPolicy { names } if names.is_empty() => Problem::new(format!("`{file}` holds no policy")),
        Refusal::NoSuchPolicy { names } => {
            let name = wanted.name.unwrap_or_default();
            Problem::new(format!("`{file}` holds no policy `{name}`")).mend(format!("it holds {}", names.join(", ")))
        }
        Refusal::Cycle { name } => Problem::new(format!("the base policies of `{name}` lead back to it")),
    };
    findings.error(&reference.place, problem);
    Vec::new()
}

/// `12 rules in 3 groups`
pub(super) fn summary(policy: &FoundPolicy) -> String {
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!("{} in {}", plural(policy.count_rules(), "rule"), plural(policy.rules.groups.len(), "group"))
}

/// The parts of a link that may be a path beside the template, longest first: `nested/vnet.json`, `vnet.json`.
pub(super) fn beside(link: &str) -> Vec<PathBuf> {
    let path = link.split(['?', '#']).next().unwrap_or(link);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    (0..segments.len()).map(|from| segments[from..].iter().collect()).collect()
}

fn last_name(link: &str) -> String {
    let last = beside(link).pop().unwrap_or_default();
    last.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::error::ConfigError;

    fn asked(name: &str) -> UnknownUse {
        let (names, shown, field) = (vec![Arc::from(name)], Arc::from(name), "destinationAddresses".to_owned());
        UnknownUse { names, shown, at: Spot::nowhere(), field, effect: Effect::Allows }
    }

    /// Some dozens are told, each once; the rest is counted.
    #[test]
    fn thousands_of_unknown_values() {
        let uses: Vec<UnknownUse> = (0..6000).map(|number| asked(&format!("v{}", number % 3000))).collect();
        let uses: Vec<&UnknownUse> = uses.iter().collect();
        let named = by_name(&uses);
        assert_eq!((named.len(), named[2999].0, named[2999].1.len()), (3000, "v2999", 2));
        let problem = unknown_values(&uses, then(Effect::Allows), &[]);
        let error = ConfigError::new(&Place::Flag("--policy"), problem);
        assert!(error.what.starts_with("3000 values are known to Azure only"), "{}", error.what);
        assert!(error.what.ends_with("and 2976 more"), "{}", error.what);
        let mend = error.mend.unwrap();
        assert_eq!(mend.matches("--set '").count(), NAMES);
        assert!(mend.ends_with("--set 'v23=…' and 2976 more, which are told once these are given"), "{mend}");
        let few = unknown_values(&uses[..NAMES], then(Effect::Allows), &[]);
        let mend = ConfigError::new(&Place::Flag("--policy"), few).mend.unwrap();
        assert!(mend.ends_with("--set 'v23=…'"), "{mend}");
    }
}
