//! App Service Environments.

use crate::config::error::{Findings, Problem};
use crate::config::reader::Section;
use crate::config::target::CheckTarget;
use crate::vnet::{AppAddress, AppDependency, AppServiceEnvironment, SqlDatabase, Topology};

use super::names::{Written, require};
use super::network::only_name;
use super::values::{self, flag, maybe_text, text, texts};

pub(super) fn environment(section: &Section, topology: &mut Topology, written: &mut Written, findings: &mut Findings) {
    let usual = only_name(&topology.environments, |it| &it.name, "ase");
    let name = maybe_text(section, "name").unwrap_or(usual);
    let environment = written.slot(&mut topology.environments, name, section, findings);
    environment.at = section.spot();
    kind(section, environment, findings);
    places(section, environment, findings);
    addresses(section, environment, findings);
    clients(section, environment, findings);
    apps(section, environment, findings);
    state(section, environment);
}

fn kind(section: &Section, ase: &mut AppServiceEnvironment, findings: &mut Findings) {
    ase.version = values::word(section, "version", values::ASE_VERSIONS, findings).unwrap_or(ase.version);
    let mode = values::word(section, "internal_load_balancing_mode", values::ILB_MODES, findings);
    ase.load_balancing = mode.unwrap_or(ase.load_balancing);
    ase.linux = flag(section, "linux", ase.linux);
}

fn places(section: &Section, ase: &mut AppServiceEnvironment, findings: &mut Findings) {
    if let Some(network) = maybe_text(section, "vnet") {
        ase.virtual_network = network;
    }
    if let Some(subnet) = maybe_text(section, "subnet") {
        ase.subnet = subnet;
    }
    require(section, "subnet", !ase.subnet.is_empty(), findings);
    if let Some(suffix) = maybe_text(section, "dns_suffix") {
        ase.dns_suffix = suffix;
    }
}

fn addresses(section: &Section, ase: &mut AppServiceEnvironment, findings: &mut Findings) {
    if section.has("public_address") {
        ase.public_address = values::address(section, "public_address", findings);
    }
    if section.has("internal_address") {
        ase.internal_address = values::address(section, "internal_address", findings);
    }
    if section.has("outbound_addresses") {
        ase.outbound_addresses = values::addresses(section, "outbound_addresses", findings);
    }
    if section.has("app_address") {
        let each = section.tables("app_address", findings);
        ase.app_addresses = each.iter().filter_map(|section| app_address(section, findings)).collect();
    }
}

fn app_address(section: &Section, findings: &mut Findings) -> Option<AppAddress> {
    let port = |key: &str| section.count(key).and_then(|port| u16::try_from(port.value).ok());
    Some(AppAddress {
        address: values::address(section, "address", findings)?,
        http_port: port("http_port")?,
        https_port: port("https_port")?,
    })
}

fn clients(section: &Section, ase: &mut AppServiceEnvironment, findings: &mut Findings) {
    if section.has("sql_egress_ranges") {
        ase.sql_egress_ranges = values::ranges(section, "sql_egress_ranges", findings);
    }
    if section.has("client_ranges") {
        ase.client_ranges = values::ranges(section, "client_ranges", findings);
    }
    if let Some(gateway) = section.text("application_gateway") {
        ase.application_gateway = gateway.read(findings, |text| values::range(text));
    }
}

fn apps(section: &Section, ase: &mut AppServiceEnvironment, findings: &mut Findings) {
    if section.has("app_dependencies") {
        let each = section.items("app_dependencies");
        ase.app_dependencies =
            each.iter().filter_map(|item| item.read(findings, |text| app_dependency(text))).collect();
    }
    if section.has("app_database") {
        let each = section.tables("app_database", findings);
        let database = |section: &Section| SqlDatabase {
            name: text(section, "name"),
            virtual_network_rule: flag(section, "virtual_network_rule", false),
        };
        ase.app_databases = each.iter().map(database).collect();
    }
    if section.has("unresolvable") {
        ase.unresolvable = texts(section, "unresolvable");
    }
}

pub(super) fn app_dependency(text: &str) -> Result<AppDependency, Problem> {
    let CheckTarget { text: _, protocol, host, port, path } = CheckTarget::parse(text)?;
    match path.as_deref() {
        None | Some("/") => Ok(AppDependency { protocol, host, port }),
        Some(path) => {
            let what = format!("`{text}`: an app's dependency has no path, and this has `{path}`");
            Err(Problem::new(what).mend("leave the path out"))
        }
    }
}

fn state(section: &Section, ase: &mut AppServiceEnvironment) {
    let flags = [
        ("ftp", &mut ase.ftp),
        ("remote_debug", &mut ase.remote_debug),
        ("web_deploy", &mut ase.web_deploy),
        ("dns_changed", &mut ase.dns_changed),
        ("restored", &mut ase.restored),
        ("suspended", &mut ase.suspended),
    ];
    for (key, field) in flags {
        *field = flag(section, key, *field);
    }
}
