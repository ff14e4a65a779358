//! What has addresses in a network: firewalls and interfaces; public addresses and DNS zones.

use super::named::{PublicOf, Surroundings};
use super::values::{address, addresses, all_referred, referred, subnet_of};
use super::{Notes, Whole, each};
use crate::azure::json::Value;
use crate::azure::note::{Note, Severity};

/// One that is not there yet has no address.
pub(super) fn public_address(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    if let Some(address) = address(&whole.subject, "ipAddress", notes) {
        network.public_addresses.insert(whole.name.to_ascii_lowercase(), address);
    }
}

pub(super) fn firewall(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let configurations = each(&whole.subject, "ipConfigurations", notes);
    // One in a hub has neither: it is in no network of one's own.
    let Some(place) = configurations.iter().find_map(|it| it.get("subnet")).and_then(subnet_of) else { return };
    let firewall = network.firewalls.of(&whole.name, whole.resource.at);
    (firewall.virtual_network, firewall.subnet) = place;
    for configuration in &configurations {
        let own = address(configuration, "privateIPAddress", notes);
        firewall.private_address = firewall.private_address.or(own);
        let public = referred(configuration, "publicIPAddress");
        network.publics.extend(public.map(|name| (PublicOf::Firewall(whole.name.clone()), name)));
    }
}

pub(super) fn interface(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let configurations = each(&whole.subject, "ipConfigurations", notes);
    let interface = network.interfaces.of(&whole.name, whole.resource.at);
    interface.security_group = referred(&whole.subject, "networkSecurityGroup");
    for configuration in &configurations {
        if let Some((of, subnet)) = configuration.get("subnet").and_then(subnet_of) {
            (interface.virtual_network, interface.subnet) = (of, subnet);
        }
        interface.addresses.extend(address(configuration, "privateIPAddress", notes));
        interface.application_security_groups.extend(all_referred(configuration, "applicationSecurityGroups"));
        let public = referred(configuration, "publicIPAddress");
        network.publics.extend(public.map(|name| (PublicOf::Interface(whole.name.clone()), name)));
    }
}

pub(super) fn dns_zone(whole: &Whole<'_>, network: &mut Surroundings, _: &mut Notes) {
    network.dns_zones.of(&whole.name, whole.resource.at).at = whole.resource.at;
}

pub(super) fn dns_record(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let mut found = Vec::new();
    for record in each(&whole.subject, "aRecords", notes) {
        match record.get("ipv4Address").map(|node| &node.value) {
            Some(Value::Unknown(unknown)) => {
                let what = format!("the address of {} is known to Azure only: `{}`", record.what, unknown.shown);
                let mend = format!("--set '{}=…', or write the zone in a vnet.toml", unknown.shown);
                notes.push(Note::new(Severity::Warning, record.at, what).mend(mend));
            }
            _ => found.extend(addresses(&record, "ipv4Address", notes)),
        }
    }
    let zone = network.dns_zones.of(whole.parent(), whole.resource.at);
    let name = whole.leaf();
    zone.records.extend(found.into_iter().map(|address| (name.clone(), address)));
}

pub(super) fn dns_link(whole: &Whole<'_>, network: &mut Surroundings, _: &mut Notes) {
    let zone = network.dns_zones.of(whole.parent(), whole.resource.at);
    zone.virtual_networks.extend(referred(&whole.subject, "virtualNetwork"));
}
