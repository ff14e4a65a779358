//! `Get-Az… | ConvertTo-Json`: PowerShell's names for what ARM calls otherwise, and what it cuts off.

use crate::azure::json::{Node, Object, Value};
use crate::azure::note::{Note, Severity};

use super::build::{object_mut, rename, single, take};
use super::gather::Gathered;
use super::kinds;
use super::resource::Resource;

pub(super) fn tidy(resource: &mut Resource, out: &mut Gathered) {
    if let Some(at) = cut_off(&resource.properties, 4) {
        let note =
            Note::new(Severity::Error, at, "ConvertTo-Json has written what lies deeper as a text, and it is lost");
        out.notes.push(note.mend("write it with `| ConvertTo-Json -Depth 20`"));
    }
    let policy = resource.is(kinds::POLICY);
    let rule = resource.is(kinds::SECURITY_RULE);
    let Some(properties) = object_mut(&mut resource.properties) else { return };
    if policy {
        policy_names(properties);
    }
    if rule {
        plural_names(properties);
    }
}

fn policy_names(properties: &mut Object) {
    rename(properties, "sqlSetting", "sql");
    if properties.get("snat").is_none()
        && let Some(ranges) = take(properties, "privateRange")
    {
        super::build::set(properties, "snat", single("privateRanges", ranges));
    }
}

/// PowerShell gives lists where ARM has one name for one and another for several.
fn plural_names(properties: &mut Object) {
    for (one, several) in [
        ("sourcePortRange", "sourcePortRanges"),
        ("destinationPortRange", "destinationPortRanges"),
        ("sourceAddressPrefix", "sourceAddressPrefixes"),
        ("destinationAddressPrefix", "destinationAddressPrefixes"),
    ] {
        if properties.get(one).is_some_and(|node| node.list().is_some()) {
            rename(properties, one, several);
        }
    }
}

/// The texts that stand for objects below ConvertTo-Json's depth.
fn cut_off(node: &Node, depth: usize) -> Option<crate::policy::Spot> {
    match &node.value {
        Value::Text(text) if is_class(text) => Some(node.at),
        Value::List(items) if depth > 0 => items.iter().find_map(|item| cut_off(item, depth - 1)),
        Value::Object(object) if depth > 0 => object.iter().find_map(|(_, node)| cut_off(node, depth - 1)),
        _ => None,
    }
}

fn is_class(text: &str) -> bool {
    ["Microsoft.Azure.Commands.", "System.Collections.", "System.Object[]", "@{"]
        .iter()
        .any(|start| text.starts_with(start))
}
