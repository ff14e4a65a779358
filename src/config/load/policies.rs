//! The policies that take part, in the order of their precedence: built-in ones, files in either language, and what
//! topologies hold.

use std::path::{Path, PathBuf};

use crate::allowlist::{self, Builtin};
use crate::azure::read::{FoundKind, Read as AzureRead};
use crate::azure::shape::{self, Format};
use crate::config::azure::{self, AzureReference};
use crate::config::error::{Place, Placed, Problem};
use crate::config::file::{self, File, FileRules};
use crate::config::resolved::{PolicySource, SourceOrigin};
use crate::config::settings::many;
use crate::config::shorthand::Shorthand;
use crate::config::values;
use crate::flow::nearest;
use crate::policy::{PolicyRules, PolicySettings, RuleCollection, Rules};

use super::topology::Otherwise;
use super::{Loader, MAX_AZURE_FILE, MAX_FILE, Overrides, Part, canonical, stem};

impl Loader {
    pub(super) fn add_main(&mut self, mut rules: FileRules, overrides: &Overrides, path: Option<PathBuf>) {
        let unused = Err("no built-in policy is in use".to_owned());
        self.parts_found = vec![unused; self.without.len()];
        let (allow, deny) = (many("--allow", &overrides.allow), many("--deny", &overrides.deny));
        let mut local = Shorthand::read(&allow, &deny, &mut self.findings);
        let policy = many("--policy", &overrides.policy);
        let is_silent = policy.is_empty() && allow.is_empty() && deny.is_empty() && rules.is_silent();
        let of_topology = policy.is_empty() && !rules.names_policies() && self.around.has_policies();
        if is_silent && !of_topology && self.findings.is_clean() {
            self.add_builtin("ase", SourceOrigin::Default, &Place::Flag("--policy"));
        }
        if !policy.is_empty() {
            rules.policy = Some(policy);
        }
        let origin = if local.is_empty() { path.clone() } else { None };
        local.append(std::mem::take(&mut rules.shorthand));
        self.add_local(local, origin);
        self.open.extend(path.as_deref().map(canonical));
        self.add_rules(rules, path.as_deref());
        if of_topology {
            self.add_policies_around(if is_silent { Otherwise::BuiltIn } else { Otherwise::Said });
        }
        self.open.clear();
    }

    /// The rules of `allow` and `deny`, before all others.
    fn add_local(&mut self, shorthand: Shorthand, path: Option<PathBuf>) {
        if shorthand.is_empty() {
            return;
        }
        let summary = vec![format!("{} allowed or denied by name", shorthand.len())];
        let origin = path.map_or(SourceOrigin::CommandLine, SourceOrigin::File);
        let source = PolicySource { name: "local".to_owned(), origin, summary };
        let groups = vec![shorthand.into_group()];
        let rules = PolicyRules { name: "local".to_owned(), groups, ..PolicyRules::default() };
        self.parts.push(Part::Ready(Box::new((source, rules))));
    }

    /// A file's parent, then its own rules, then the policies that it lists.
    fn add_rules(&mut self, rules: FileRules, path: Option<&Path>) {
        let FileRules {
            name,
            base_policy,
            policy,
            shorthand,
            mut groups,
            infrastructure,
            policy_settings: settings,
            at,
        } = rules;
        let folder = path.and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
        let mut settings = settings;
        let says = !(groups.is_empty() && shorthand.is_empty() && settings == PolicySettings::default());
        if let Some(base) = base_policy {
            let before = self.parts.len();
            self.add_reference(&base, &folder, Twice::Shared);
            // A parent in Azure's shapes gets its name when all is read: with that it is one policy when exported.
            if let Some(Part::Ready(ready)) = self.parts.get(before..).and_then(<[_]>::last) {
                let parent = Some(ready.1.name.clone()).filter(|name| !name.is_empty());
                settings.base_policy = settings.base_policy.or(parent);
            }
        }
        if !shorthand.is_empty() {
            groups.insert(0, shorthand.into_group());
        }
        if let (Some(path), true) = (path, says) {
            let name = name.unwrap_or_else(|| stem(path));
            let summary = groups.iter().flat_map(|group| group.collections.iter().map(describe)).collect();
            let source = PolicySource { name: name.clone(), origin: SourceOrigin::File(path.into()), summary };
            let rules = PolicyRules { name, groups, settings, at };
            self.parts.push(Part::Ready(Box::new((source, rules))));
        }
        self.infrastructure.extend(infrastructure);
        for reference in policy.unwrap_or_default() {
            let folder = match reference.place {
                Place::Flag(_) => Path::new(""),
                Place::File { .. } => &folder,
            };
            self.add_reference(&reference, folder, Twice::Mistake);
        }
    }

    /// A policy by its built-in name or its file.
    pub(super) fn add_reference(&mut self, reference: &Placed<String>, folder: &Path, twice: Twice) {
        let Placed { value: name, place } = reference;
        let (path, chosen) = named_file(folder, name);
        let builtin = allowlist::builtin(name);
        if builtin.is_none() && !path.exists() {
            self.files.push(path);
            let problem = Problem::new(format!("`{name}` is neither a built-in policy nor a file"));
            let known: Vec<&str> = allowlist::BUILTINS.iter().map(|(known, _)| *known).collect();
            let mend = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("built-in are {}", known.join(", ")),
            };
            return self.findings.error(place, problem.mend(mend));
        }
        // By what it stands for: `ase` is an edition that has a name of its own.
        let id = builtin.as_ref().map_or_else(|| canonical(&path), |builtin| PathBuf::from(&builtin.rules.name));
        let id = chosen.as_ref().map_or(id.clone(), |chosen| PathBuf::from(format!("{}#{chosen}", id.display())));
        if builtin.is_none() && self.open.contains(&id) {
            let problem = Problem::new(format!("`{name}` leads back to itself")).mend("leave it out");
            return self.findings.error(place, problem);
        }
        if self.done.contains(&id) {
            if twice == Twice::Mistake {
                let problem = Problem::new(format!("the policy `{name}` takes part already")).mend("leave it out");
                self.findings.error(place, problem);
            }
            return;
        }
        self.done.push(id.clone());
        match builtin {
            Some(_) => self.add_builtin(name, SourceOrigin::Builtin, place),
            None => self.add_file(&path, id, chosen, place),
        }
    }

    fn add_file(&mut self, path: &Path, id: PathBuf, chosen: Option<String>, place: &Place) {
        let known = self.azure.find(path);
        let file = match known {
            Some(file) => Some(PolicyFile::Azure(file)),
            None => self.read_policy_file(path, place),
        };
        let File { rules, settings: _, without: _, inputs: _, topology: _, beside_rules } = match file {
            Some(PolicyFile::Azure(file)) => {
                let reference = AzureReference { file, name: chosen, place: place.clone() };
                return self.parts.push(Part::Azure(reference));
            }
            Some(PolicyFile::Egret(_)) if chosen.is_some() => {
                let what = format!("`{}` is TOML, and holds one policy", path.display());
                return self.findings.error(place, Problem::new(what).mend("leave out what stands behind the #"));
            }
            Some(PolicyFile::Egret(file)) => *file,
            None => return,
        };
        for Placed { value, place } in beside_rules {
            self.findings.warn(&place, Problem::new(format!("`{value}` is left aside: this file is used as a policy")));
        }
        self.open.push(id);
        self.add_rules(rules, Some(path));
        self.open.pop();
    }

    pub(super) fn add_builtin(&mut self, name: &str, origin: SourceOrigin, place: &Place) {
        let Some(mut builtin) = allowlist::builtin(name) else {
            return self.findings.error(place, Problem::new(format!("`{name}` is no built-in policy")));
        };
        for (part, found) in self.without.iter().zip(&mut self.parts_found) {
            match builtin.clone().without(&part.value) {
                Ok(rest) => (builtin, *found) = (rest, Ok(())),
                Err(unknown) if found.is_err() => *found = Err(unknown.to_string()),
                Err(_) => {}
            }
        }
        let Builtin { rules, service_endpoints, lists } = builtin;
        let summary =
            lists.iter().map(|list| format!("{} ({}), {} entries", list.title, list.date, list.entries.len()));
        let name = rules.name.clone();
        let source = PolicySource { name, origin, summary: summary.collect() };
        self.parts.push(Part::Ready(Box::new((source, rules))));
        // Two editions of one list share their endpoints.
        service_endpoints.into_iter().for_each(|endpoint| {
            if !self.service_endpoints.contains(&endpoint) {
                self.service_endpoints.push(endpoint);
            }
        });
    }

    /// A file of rules in either language. What is in a third is reported with what turns it into one of these.
    fn read_policy_file(&mut self, path: &Path, place: &Place) -> Option<PolicyFile> {
        let text = self.read_text(path, place, MAX_AZURE_FILE)?;
        let source = self.register(path, text)?;
        // Lists of lists look like TOML.
        let named_json = path.extension().is_some_and(|it| it.eq_ignore_ascii_case("json"));
        let is_json = |format| format == Format::Json || (format == Format::Toml && named_json);
        match shape::detect(source.text(), &path.to_string_lossy()) {
            format if is_json(format) => {
                Some(PolicyFile::Azure(self.azure.add(path.to_owned(), source, &mut self.findings)))
            }
            Format::Toml if source.text().len() as u64 > MAX_FILE => {
                let what = format!("cannot read `{}`: it is larger than 16 MiB", path.display());
                self.findings.error(place, Problem::new(what));
                None
            }
            Format::Toml => {
                let file = file::read(&source, &self.catalogue, &mut self.findings);
                Some(PolicyFile::Egret(Box::new(file)))
            }
            other => {
                let refusal = other.refusal(&path.to_string_lossy())?;
                let what = format!("this is {}", refusal.what);
                self.findings.error(&azure::at_start(&source), Problem::new(what).mend(refusal.mend));
                None
            }
        }
    }

    /// Reads Azure's files, all together, and puts their policies where they were asked for.
    pub(super) fn settle_parts(&mut self) -> Vec<(PolicySource, PolicyRules)> {
        let parts = std::mem::take(&mut self.parts);
        let read = if self.azure.is_empty() { AzureRead::default() } else { self.read_azure() };
        let (mut taken, mut ready, mut first) = (Vec::new(), Vec::new(), None);
        for part in parts {
            match part {
                Part::Ready(part) => ready.push(*part),
                Part::Around(reference) if read.policies.iter().all(|policy| policy.set != reference.file) => {}
                Part::Azure(reference) | Part::Around(reference) => {
                    let shown = self.azure.path(reference.file).display().to_string();
                    for at in azure::lineage(&read, &reference, &shown, &mut self.findings) {
                        if !taken.contains(&at) {
                            taken.push(at);
                            ready.push(self.part_of(&read, at));
                        }
                    }
                    first.get_or_insert(reference);
                }
            }
        }
        if let (Some(reference), true, true) = (first, taken.is_empty(), self.findings.is_clean()) {
            self.report_no_policy(&read, &reference, ready.is_empty());
        }
        self.around.imported = read.topology;
        self.read = read.summary;
        if ready.is_empty() && self.around.is_default_due() && self.findings.is_clean() {
            self.add_builtin("ase", SourceOrigin::Default, &Place::Flag("--policy"));
            let added = std::mem::take(&mut self.parts).into_iter();
            ready.extend(added.filter_map(|part| if let Part::Ready(part) = part { Some(*part) } else { None }));
        }
        ready
    }

    fn part_of(&self, read: &AzureRead, at: usize) -> (PolicySource, PolicyRules) {
        let policy = &read.policies[at];
        let path = self.azure.path(policy.set);
        let name = if policy.label.is_empty() { stem(path) } else { policy.label.clone() };
        let source = PolicySource {
            name: name.clone(),
            origin: SourceOrigin::File(path.to_owned()),
            summary: vec![azure::summary(policy)],
        };
        let mut rules = policy.rules.clone();
        if policy.kind != FoundKind::Classic {
            rules.name = name;
        }
        (source, rules)
    }

    fn report_no_policy(&mut self, read: &AzureRead, reference: &AzureReference, alone: bool) {
        let AzureReference { file: _, name: _, place } = reference;
        let held = read.summary.surroundings();
        if alone && held.is_none() && self.findings.raise() {
            return;
        }
        let what = format!("there is no firewall policy: the files hold {}", held.as_deref().unwrap_or("nothing"));
        // A file that is something else altogether is a mistake wherever it stands.
        match alone || held.is_none() {
            true => self.findings.error(place, Problem::new(what).mend("give the file with the policy too")),
            false => self.findings.warn(place, Problem::new(what)),
        }
    }
}

/// A file of rules, as read.
enum PolicyFile {
    Egret(Box<File>),
    /// By its number among Azure's.
    Azure(usize),
}

/// `FILE` or `FILE#NAME`, where no file has that name with the `#` in it.
fn named_file(folder: &Path, name: &str) -> (PathBuf, Option<String>) {
    let whole = values::join(folder, name);
    match name.rsplit_once('#') {
        Some((file, chosen)) if !whole.exists() && !file.is_empty() && !chosen.is_empty() => {
            (values::join(folder, file), Some(chosen.to_owned()))
        }
        _ => (whole, None),
    }
}

/// What to make of a policy that takes part already.
#[derive(PartialEq)]
pub(super) enum Twice {
    /// Two children may have one parent.
    Shared,
    Mistake,
}

fn describe(collection: &RuleCollection) -> String {
    let (kind, count) = match &collection.rules {
        Rules::Dnat(rules) => ("DNAT", rules.len()),
        Rules::Network(_, rules) => ("network", rules.len()),
        Rules::Application(_, rules) => ("application", rules.len()),
    };
    format!("{}, {count} {kind} rules", collection.name)
}
