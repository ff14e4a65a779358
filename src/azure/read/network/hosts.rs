//! What has addresses in a network: firewalls and interfaces; public addresses and DNS zones.

use std::net::IpAddr;

use super::named::{PublicOf, Surroundings};
use super::values::{address, addresses, all_referred, referred, subnet_of};
use super::{Notes, Whole, each, open_name};
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
    let own: Vec<IpAddr> = configurations.iter().filter_map(|it| address(it, "privateIPAddress", notes)).collect();
    firewall.private_address = own.first().copied().or(firewall.private_address);
    network.set_publics(&PublicOf::Firewall(whole.name.to_ascii_lowercase()), &configurations);
}

pub(super) fn interface(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let configurations = each(&whole.subject, "ipConfigurations", notes);
    let Some(place) = configurations.iter().find_map(|it| it.get("subnet")).and_then(subnet_of) else {
        let what = format!("in which subnet {} is is not known here: it is left out", whole.subject.what);
        return notes.push(Note::new(Severity::Info, whole.resource.at, what));
    };
    let interface = network.interfaces.of(&whole.name, whole.resource.at);
    (interface.virtual_network, interface.subnet) = place;
    interface.security_group = referred(&whole.subject, "networkSecurityGroup");
    interface.application_security_groups = all_referred(&whole.subject, "applicationSecurityGroups");
    let of_parts = configurations.iter().flat_map(|it| all_referred(it, "applicationSecurityGroups"));
    interface.application_security_groups.extend(of_parts);
    interface.addresses = configurations.iter().filter_map(|it| address(it, "privateIPAddress", notes)).collect();
    network.set_publics(&PublicOf::Interface(whole.name.to_ascii_lowercase()), &configurations);
}

pub(super) fn dns_zone(whole: &Whole<'_>, network: &mut Surroundings, _: &mut Notes) {
    network.dns_zones.of(&whole.name, whole.resource.at).at = whole.resource.at;
}

pub(super) fn dns_record(whole: &Whole<'_>, network: &mut Surroundings, notes: &mut Notes) {
    let mut found = Vec::new();
    for record in each(&whole.subject, "aRecords", notes) {
        match record.get("ipv4Address").map(|node| &node.value) {
            Some(Value::Unknown(unknown)) => {
                let name = open_name(unknown);
                let what = format!("the address of {} is known to Azure only: `{name}`", record.what);
                let mend = format!("--set '{name}=…', or write the zone in a vnet.toml");
                notes.push(Note::new(Severity::Warning, record.at, what).mend(mend));
            }
            _ => found.extend(addresses(&record, "ipv4Address", notes)),
        }
    }
    let again = network.is_again("record", &whole.name);
    let zone = network.dns_zones.of(whole.parent(), whole.resource.at);
    let name = whole.leaf();
    if again {
        zone.records.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
    }
    zone.records.extend(found.into_iter().map(|address| (name.clone(), address)));
}

pub(super) fn dns_link(whole: &Whole<'_>, network: &mut Surroundings, _: &mut Notes) {
    let zone = network.dns_zones.of(whole.parent(), whole.resource.at);
    let linked = referred(&whole.subject, "virtualNetwork");
    let is_new = |name: &String| !zone.virtual_networks.iter().any(|known| known.eq_ignore_ascii_case(name));
    let linked = linked.filter(is_new);
    zone.virtual_networks.extend(linked);
}
