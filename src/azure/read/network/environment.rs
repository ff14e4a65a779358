//! App Service Environments, and the plans in them.

use std::collections::HashSet;

use super::named::Surroundings;
use super::values::{address, addresses, referred, subnet_of};
use super::{Notes, Subject, Whole, each};
use crate::azure::json::{Node, Value};
use crate::azure::note::{Note, Severity};
use crate::azure::read::ident::{leaf, reference};
use crate::azure::read::notes::Items;
use crate::azure::read::words::{self, Words};
use crate::policy::AddressRange;
use crate::vnet::{AppAddress, AppServiceEnvironment, AseVersion, IlbMode, LoadBalancing};

const VERSIONS: Words<AseVersion> = &[("ASEV1", AseVersion::V1), ("ASEV2", AseVersion::V2), ("ASEV3", AseVersion::V3)];
/// Templates write the number too.
const MODES: Words<LoadBalancing> = &[
    ("None", LoadBalancing::External),
    ("0", LoadBalancing::External),
    ("Web", LoadBalancing::Internal(IlbMode::Web)),
    ("1", LoadBalancing::Internal(IlbMode::Web)),
    ("Publishing", LoadBalancing::Internal(IlbMode::Publishing)),
    ("2", LoadBalancing::Internal(IlbMode::Publishing)),
    ("Web, Publishing", LoadBalancing::Internal(IlbMode::WebAndPublishing)),
    ("Web,Publishing", LoadBalancing::Internal(IlbMode::WebAndPublishing)),
    ("3", LoadBalancing::Internal(IlbMode::WebAndPublishing)),
];

pub(super) fn environment(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let subject = &whole.subject;
    let ase = network.environments.of(&whole.name, whole.resource.at);
    ase.at = whole.resource.at;
    if let Some(kind) = whole.beside("kind") {
        match words::pick(VERSIONS, &kind) {
            Ok(version) => ase.version = version,
            Err(what) => notes.push(Note::new(Severity::Error, subject.at, format!("`kind`: {what}"))),
        }
    }
    ase.load_balancing = notes.word(subject, "internalLoadBalancingMode", MODES).unwrap_or(ase.load_balancing);
    ase.linux = notes.flag(subject, "hasLinuxWorkers").unwrap_or(ase.linux);
    ase.suspended = notes.flag(subject, "suspended").unwrap_or(ase.suspended);
    if let Some(suffix) = subject.get("dnsSuffix").and_then(|node| node.text()) {
        suffix.clone_into(&mut ase.dns_suffix);
    }
    if subject.get("userWhitelistedIpRanges").is_some() {
        ase.sql_egress_ranges = ranges(subject, "userWhitelistedIpRanges", notes);
    }
    place(subject, ase, notes);
    if let Some(inner) = notes.object(subject, "networkingConfiguration") {
        let inner = inner
            .object
            .get("properties")
            .and_then(|node| node.object())
            .map_or(inner, |object| Subject { object, ..inner });
        networking(&inner, ase, notes);
    }
}

/// The id of the subnet, or that of the network with the subnet's name beside it.
fn place(subject: &Subject<'_>, ase: &mut AppServiceEnvironment, notes: &mut Notes) {
    if let Some(Node { value: Value::Unknown(unknown), at }) = subject.get("virtualNetwork").map(reference) {
        return notes.unknown(subject, "virtualNetwork", *at, unknown);
    }
    let own = subject.get("virtualNetwork").and_then(|node| {
        let named = node.get("subnet").and_then(|name| name.text());
        let (network, subnet) = subnet_of(node)?;
        Some((network, if subnet.is_empty() { leaf(named?).to_owned() } else { subnet }))
    });
    match own {
        Some((network, subnet)) => (ase.virtual_network, ase.subnet) = (network, subnet),
        None => notes.missing("virtualNetwork", subject, "an App Service Environment is in a subnet"),
    }
}

fn ranges(subject: &Subject<'_>, key: &str, notes: &mut Notes) -> Vec<AddressRange> {
    let Items { items, .. } = notes.items(subject, key);
    let mut found = Vec::new();
    for item in items {
        match item.text.parse::<AddressRange>() {
            Ok(range) => found.push(range),
            Err(error) => notes.push(Note::new(Severity::Error, item.at, format!("`{key}`: {error}"))),
        }
    }
    found
}

/// `configurations/networking`
pub(super) fn configuration(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let ase = network.environments.of(whole.parent(), whole.resource.at);
    networking(&whole.subject, ase, notes);
}

fn networking(subject: &Subject<'_>, ase: &mut AppServiceEnvironment, notes: &mut Notes) {
    ase.ftp = notes.flag(subject, "ftpEnabled").unwrap_or(ase.ftp);
    ase.remote_debug = notes.flag(subject, "remoteDebugEnabled").unwrap_or(ase.remote_debug);
    let outside = addresses(subject, "externalInboundIpAddresses", notes);
    ase.public_address = outside.first().copied().or(ase.public_address);
    let inside = addresses(subject, "internalInboundIpAddresses", notes);
    ase.internal_address = inside.first().copied().or(ase.internal_address);
    let mut outbound = addresses(subject, "windowsOutboundIpAddresses", notes);
    outbound.extend(addresses(subject, "linuxOutboundIpAddresses", notes));
    if !outbound.is_empty() {
        let mut seen = HashSet::new();
        outbound.retain(|address| seen.insert(*address));
        ase.outbound_addresses = outbound;
    }
}

/// `capacities/virtualip`
pub(super) fn capacity(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let subject = &whole.subject;
    let ase = network.environments.of(whole.parent(), whole.resource.at);
    ase.public_address = address(subject, "serviceIpAddress", notes).or(ase.public_address);
    ase.internal_address = address(subject, "internalIpAddress", notes).or(ase.internal_address);
    let outbound = addresses(subject, "outboundIpAddresses", notes);
    if !outbound.is_empty() {
        ase.outbound_addresses = outbound;
    }
    if subject.get("vipMappings").is_some() {
        ase.app_addresses.clear();
    }
    for mapping in each(subject, "vipMappings", notes) {
        let in_use = notes.flag(&mapping, "inUse").unwrap_or(true);
        let mut port = |key: &str| notes.number(&mapping, key).and_then(|(number, _)| u16::try_from(number).ok());
        let ports = port("internalHttpPort").zip(port("internalHttpsPort"));
        let own = address(&mapping, "virtualIP", notes);
        if let (Some((http_port, https_port)), Some(address), true) = (ports, own, in_use) {
            ase.app_addresses.push(AppAddress { address, http_port, https_port });
        }
    }
}

/// A plan for Linux makes the environment's workers be of that kind.
pub(super) fn server_farm(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let subject = &whole.subject;
    let named = subject.get("hostingEnvironment").and_then(|node| node.text()).map(|name| leaf(name).to_owned());
    let environment = referred(subject, "hostingEnvironmentProfile").or(named);
    if let (Some(environment), Some(true)) = (environment, notes.flag(subject, "reserved")) {
        network.linux.push(environment.to_ascii_lowercase());
    }
}
