//! `vnet.toml`: a network as people write it down, read over what was imported before it. Pure: the text is given.
//!
//! A resource that has a name in what is imported is the same one, and what the file says of it replaces what was said
//! there: of networks and their subnets, firewalls, interfaces and App Service Environments key by key, of security
//! rules and routes one by one.

mod environment;
mod faults;
mod limits;
mod names;
mod network;
mod options;
mod routes;
mod security;
mod settle;
mod subnets;
#[cfg(test)]
mod tests;
pub(super) mod values;

use std::sync::Arc;

use crate::allowlist::Catalogue;
use crate::vnet::{Network, Tags, Topology};

use super::error::{ConfigError, ConfigErrors, Findings, Place, Placed, Source, Texts};
use super::reader::{self, Section};

pub(super) use faults::tell;
use names::Written;
pub(super) use options::TOPOLOGY;
pub use options::TOPOLOGY_OPTIONS;
pub(super) use settle::settle;
pub use subnets::client_of_subnet;
pub(super) use subnets::{no_subnets, subnet_called};

/// What has to be known of a file before it can be read.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Files, relative to this one.
    pub imports: Vec<Placed<String>>,
    /// What its firewalls have for a policy.
    pub policy: Vec<Placed<String>>,
}

/// What a file names; what is wrong in it is told by [`read`].
pub(super) fn named(source: &Arc<Source>) -> Named {
    let mut unheard = Findings::default();
    let place = |span| Place::File { source: Arc::clone(source), span, key: String::new() };
    let Some(table) = reader::parse(source, place, &mut unheard) else {
        return Named::default();
    };
    let root = Section::root_of(&TOPOLOGY, source, &table, &mut unheard);
    let firewalls = root.tables("firewall", &mut unheard);
    Named {
        imports: root.items("import"),
        policy: firewalls.iter().flat_map(|firewall| firewall.items("policy")).collect(),
    }
}

/// Reads one file over what is known already. None where it is no TOML: then nothing of it is known.
pub(super) fn read(source: &Arc<Source>, topology: &mut Topology, findings: &mut Findings) -> Option<()> {
    let place = |span| Place::File { source: Arc::clone(source), span, key: String::new() };
    let table = reader::parse(source, place, findings)?;
    let root = Section::root_of(&TOPOLOGY, source, &table, findings);
    read_whole(&root, topology, findings);
    let mut written = Written::default();
    let mut each = |key: &str, read: Read| {
        for section in root.tables(key, findings) {
            read(&section, topology, &mut written, findings);
        }
    };
    each("vnet", network::virtual_network);
    each("nsg", security::security_group);
    each("asg", network::application_security_group);
    each("route_table", routes::route_table);
    each("firewall", network::firewall);
    each("nic", network::interface);
    each("ase", environment::environment);
    each("dns_zone", network::dns_zone);
    Some(())
}

/// A network of one `vnet.toml` alone, with the warnings; of its imports nothing is known, and no file is opened.
///
/// # Errors
/// Everything that is wrong in it.
pub fn network_of(name: &str, text: &str) -> Result<(Network, Vec<ConfigError>), ConfigErrors> {
    let source = Source::new(0, name.to_owned(), text.to_owned());
    let (mut topology, mut findings) = (Topology::default(), Findings::default());
    let is_whole = read(&source, &mut topology, &mut findings).is_some();
    settle(&mut topology);
    let tags = Tags::new(Catalogue::default(), topology.cloud);
    if is_whole {
        let place = Place::File { source: Arc::clone(&source), span: 0..0, key: String::new() };
        tell(&topology, &tags, &Texts(vec![source]), place, &mut findings);
    }
    let remarks = findings.finish(&[])?;
    Ok((Network::new(topology, tags), remarks.warnings))
}

/// What reads one resource into a topology.
type Read = fn(&Section, &mut Topology, &mut Written, &mut Findings);

fn read_whole(root: &Section, topology: &mut Topology, findings: &mut Findings) {
    let set = |key: &str, field: &mut String| {
        if let Some(text) = values::maybe_text(root, key) {
            *field = text;
        }
    };
    set("name", &mut topology.name);
    set("location", &mut topology.location);
    set("subscription", &mut topology.subscription);
    set("resource_group", &mut topology.resource_group);
    if let Some(cloud) = values::word(root, "cloud", values::CLOUDS, findings) {
        topology.cloud = cloud;
    }
    if let Some(virtual_network_tag) = values::word(root, "virtual_network_tag", values::VIRTUAL_NETWORK_TAGS, findings)
    {
        topology.switches.virtual_network_tag = virtual_network_tag;
    }
    if let Some(none_routes) = values::word(root, "none_routes", values::NONE_ROUTES, findings) {
        topology.switches.none_routes = none_routes;
    }
    topology.at = root.spot();
}
