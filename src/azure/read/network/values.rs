//! Addresses, prefixes and ports in the properties of networks.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::azure::json::Node;
use crate::azure::note::{Note, Severity};
use crate::azure::read::ident::{leaf, reference};
use crate::azure::read::notes::{Items, Notes, Subject, shown};
use crate::azure::shape::kinds;
use crate::flow::PortRange;
use crate::policy::{AddressError, AddressRange, Spot};
use crate::vnet::Prefix;

/// The items of lists, of which some are a list in one text, as templates write it.
fn parts<'a>(subject: &Subject<'a>, key: &str, notes: &mut Notes) -> Vec<(&'a str, Spot)> {
    let Items { items, .. } = notes.items(subject, key);
    let each = items.into_iter().flat_map(|item| item.text.split(',').map(move |part| (part.trim(), item.at)));
    each.filter(|(text, _)| !text.is_empty()).collect()
}

pub(super) fn prefixes(subject: &Subject<'_>, keys: &[&str], notes: &mut Notes) -> Vec<Prefix> {
    let mut all = Vec::new();
    for key in keys {
        for (text, at) in parts(subject, key, notes) {
            match prefix(text) {
                Ok(prefixes) => all.extend(prefixes),
                Err(what) => notes.push(Note::new(Severity::Error, at, format!("`{key}`: {what}"))),
            }
            note_host_bits(text, at, notes);
        }
    }
    all
}

/// Prefixes alone, no tags.
pub(super) fn nets(subject: &Subject<'_>, keys: &[&str], notes: &mut Notes) -> Vec<IpNet> {
    let found = prefixes(subject, keys, notes);
    let nets = found.into_iter().filter_map(|prefix| match prefix {
        Prefix::Net(net) => Some(net),
        Prefix::Any | Prefix::Tag(_) => None,
    });
    nets.collect()
}

/// A range that is no prefix stands for several.
fn prefix(text: &str) -> Result<Vec<Prefix>, String> {
    if text == "*" {
        return Ok(vec![Prefix::Any]);
    }
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.contains([':', '/']) {
        return Ok(vec![Prefix::Tag(text.to_owned())]);
    }
    if let Ok(net) = text.parse::<IpNet>() {
        return Ok(vec![Prefix::Net(net.trunc())]);
    }
    let range: AddressRange = text.parse().map_err(|error: AddressError| error.to_string())?;
    Ok(range.nets().into_iter().map(Prefix::Net).collect())
}

fn note_host_bits(text: &str, at: Spot, notes: &mut Notes) {
    let Ok(net) = text.parse::<IpNet>() else { return };
    if net != net.trunc() {
        let what = format!("`{text}` has bits of the host set: it is taken as {}", net.trunc());
        notes.push(Note::new(Severity::Warning, at, what).mend(format!("write {}", net.trunc())));
    }
}

pub(super) fn ports(subject: &Subject<'_>, keys: &[&str], notes: &mut Notes) -> Vec<PortRange> {
    let mut all = Vec::new();
    for key in keys {
        for (text, at) in parts(subject, key, notes) {
            match port_range(text) {
                Ok(range) => all.push(range),
                Err(what) => notes.push(Note::new(Severity::Error, at, format!("`{key}`: {what}"))),
            }
        }
    }
    all
}

/// Port 0 stands in security rules, though nothing uses it.
fn port_range(text: &str) -> Result<PortRange, String> {
    if let Some(last) = text.strip_prefix("0-").and_then(|last| last.parse::<u16>().ok()) {
        return Ok(PortRange::between(0, last));
    }
    match text {
        "0" => Ok(PortRange::single(0)),
        _ => text.parse::<PortRange>().map_err(|error| error.to_string()),
    }
}

pub(super) fn addresses(subject: &Subject<'_>, key: &str, notes: &mut Notes) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for (text, at) in parts(subject, key, notes) {
        match text.parse() {
            Ok(address) => all.push(address),
            Err(_) => notes.push(Note::new(Severity::Error, at, format!("`{key}`: `{text}` is no address"))),
        }
    }
    all
}

/// None where it is not there, and where only Azure knows it.
pub(super) fn address(subject: &Subject<'_>, key: &str, notes: &mut Notes) -> Option<IpAddr> {
    let node = subject.get(key)?;
    let text = node.text()?.trim();
    let parsed = text.parse().ok();
    if parsed.is_none() {
        notes.push(Note::new(Severity::Error, node.at, format!("`{key}`: `{text}` is no address")));
    }
    parsed
}

/// The name at the end of the id that a member holds.
pub(super) fn referred(subject: &Subject<'_>, key: &str) -> Option<String> {
    let id = subject.get(key).map(|node| shown(reference(node)))?;
    Some(leaf(&id).to_owned()).filter(|name| !name.is_empty())
}

/// Names at the ends of ids in a list.
pub(super) fn all_referred(subject: &Subject<'_>, key: &str) -> Vec<String> {
    let items = subject.get(key).and_then(Node::list).unwrap_or_default();
    items.iter().map(|item| leaf(&shown(reference(item))).to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Network and subnet of the id of a subnet; of a network, without a subnet.
pub(super) fn subnet_of(node: &Node) -> Option<(String, String)> {
    let id = shown(reference(node));
    let (kind, names) = kinds::of_id(&id)?;
    match names.as_slice() {
        [network, subnet] if kind.eq_ignore_ascii_case(kinds::SUBNET) => {
            Some(((*network).to_owned(), (*subnet).to_owned()))
        }
        [network] if kind.eq_ignore_ascii_case(kinds::NETWORK) => Some(((*network).to_owned(), String::new())),
        _ => None,
    }
}
