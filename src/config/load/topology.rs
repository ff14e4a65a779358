//! Topologies among the files that are read: `vnet.toml`, and templates with the network in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::azure::shape::{self, Format};
use crate::vnet::{Network, Tags, Topology};

use super::policies::Twice;
use super::{Loader, MAX_AZURE_FILE, Overrides, Part, canonical, stem};
use crate::config::azure::{self, AzureReference};
use crate::config::error::{Place, Placed, Problem, Source, Texts};
use crate::config::settings::many;
use crate::config::topology;
use crate::config::values;

/// The files of a topology, in the order in which they are read over each other.
#[derive(Default)]
pub(super) struct Around {
    /// The first name that was given, for messages.
    place: Option<Place>,
    written: Vec<Arc<Source>>,
    /// Of Azure's, by their numbers there, with where they were named.
    azure: Vec<(usize, Place)>,
    /// What was named already, by canonical path.
    seen: Vec<PathBuf>,
    /// What firewalls in `written` have for policies, each with the folder that it is relative to.
    policy: Vec<(Placed<String>, PathBuf)>,
    /// What was imported; read with the policies.
    pub imported: Topology,
    /// The built-in policy is due where no file of Azure's holds one.
    or_default: bool,
}

/// What decides where no file of a topology holds a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// Nobody said anything: the built-in policy does.
    BuiltIn,
    /// What was said without one, such as `--allow`.
    Said,
}

impl Around {
    pub(super) fn is_asked(&self) -> bool {
        self.place.is_some()
    }

    pub(super) fn has_policies(&self) -> bool {
        !self.policy.is_empty() || !self.azure.is_empty()
    }

    /// Could every file be opened?
    fn is_whole(&self) -> bool {
        self.seen.len() == self.written.len() + self.azure.len()
    }

    pub(super) fn is_default_due(&self) -> bool {
        self.or_default
    }
}

impl Loader {
    /// Opens what the command line, or else the main file, names; what it says is read when all is known.
    pub(super) fn add_topologies(&mut self, overrides: &Overrides, file: &[Placed<String>], main: Option<&Path>) {
        let mut typed = many(overrides.topology_by.as_str(), &overrides.topology);
        typed.extend(many("FILE", &overrides.topology_words));
        let folder = main.and_then(Path::parent).unwrap_or(Path::new(""));
        let (names, folder) = if typed.is_empty() { (file, folder) } else { (&*typed, Path::new("")) };
        for name in names {
            self.add_topology(name, folder);
        }
    }

    fn add_topology(&mut self, name: &Placed<String>, folder: &Path) {
        let Placed { value, place } = name;
        self.around.place.get_or_insert_with(|| place.clone());
        let path = values::join(folder, value);
        let id = canonical(&path);
        if self.around.seen.contains(&id) {
            let problem = Problem::new(format!("`{value}` is part of the topology already")).mend("leave it out");
            return self.findings.warn(place, problem);
        }
        self.around.seen.push(id);
        let Some(text) = self.read_text(&path, place, MAX_AZURE_FILE) else { return };
        let Some(source) = self.register(&path, text) else { return };
        match shape::detect(source.text(), &path.to_string_lossy()) {
            Format::Toml => self.add_written(source, &path),
            Format::Json => {
                let file = self.azure.add(path, source, &mut self.findings);
                self.azure.ask_for_topology(file);
                self.around.azure.push((file, place.clone()));
            }
            other => {
                if let Some(refusal) = other.refusal(&path.to_string_lossy()) {
                    let problem = Problem::new(format!("this is {}", refusal.what)).mend(refusal.mend);
                    self.findings.error(&azure::at_start(&source), problem);
                }
            }
        }
    }

    fn add_written(&mut self, source: Arc<Source>, path: &Path) {
        let topology::Named { imports, policy } = topology::named(&source);
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        self.around.policy.extend(policy.into_iter().map(|name| (name, folder.clone())));
        self.around.written.push(source);
        for import in imports {
            self.add_topology(&import, &folder);
        }
    }

    /// The policies of the topology's firewalls. Where it names none, its files may hold some; where they do not, it is
    /// what `otherwise` says.
    pub(super) fn add_policies_around(&mut self, otherwise: Otherwise) {
        let policy = std::mem::take(&mut self.around.policy);
        if policy.is_empty() {
            self.around.or_default = otherwise == Otherwise::BuiltIn;
            let file = |(file, place): &(usize, Place)| {
                Part::Around(AzureReference { file: *file, name: None, place: place.clone() })
            };
            self.parts.extend(self.around.azure.iter().map(file));
        }
        for (name, folder) in policy {
            self.add_reference(&name, &folder, Twice::Shared);
        }
    }

    /// What is around the firewall, all files read over each other.
    pub(super) fn network(&mut self, client_subnet: Option<&Placed<String>>) -> Option<Arc<Network>> {
        if !self.around.is_asked() {
            client_subnet.into_iter().for_each(|named| self.findings.error(&named.place, topology::no_subnets()));
            return None;
        }
        let mut whole = std::mem::take(&mut self.around.imported);
        let first = self.around.written.iter().map(|source| source.name()).next();
        let first = first.or_else(|| self.around.azure.first().and_then(|(file, _)| self.azure.path(*file).to_str()));
        whole.name = stem(Path::new(first.unwrap_or("topology")));
        let mut is_whole = self.around.is_whole();
        for source in &self.around.written {
            is_whole &= topology::read(source, &mut whole, &mut self.findings).is_some();
        }
        topology::settle(&mut whole);
        let tags = Tags::new(self.catalogue.clone(), whole.cloud);
        let place = self.around.place.clone().unwrap_or(Place::Flag("--topology"));
        // Of what could not be read nobody knows the names.
        if is_whole {
            topology::tell(&whole, &tags, &Texts(self.texts.clone()), place, &mut self.findings);
        }
        let network = Network::new(whole, tags);
        let Some(named) = client_subnet.filter(|_| is_whole) else { return Some(Arc::new(network)) };
        let network = match topology::subnet_called(&network, &named.value) {
            Ok(place) => network.with_client_subnet(place),
            Err(problem) => {
                self.findings.error(&named.place, problem);
                network
            }
        };
        Some(Arc::new(network))
    }
}
