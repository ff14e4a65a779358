//! The collections of classic firewalls, which az and PowerShell flatten.

use crate::azure::json::{Node, Object};

use super::build::{get_mut, list_mut, members, object_mut};
use super::resource::Resource;

const LISTS: &[&str] = &["applicationRuleCollections", "networkRuleCollections", "natRuleCollections"];

/// Puts what a collection says under its properties again.
pub(super) fn unflatten(firewall: &mut Resource) {
    let Some(properties) = object_mut(&mut firewall.properties) else { return };
    for name in LISTS {
        for item in get_mut(properties, name).and_then(list_mut).into_iter().flatten() {
            collection(item);
        }
    }
}

fn collection(item: &mut Node) {
    let at = item.at;
    let Some(object) = object_mut(item) else { return };
    if object.get("properties").is_some() {
        return;
    }
    let beside = |name: &str| {
        ["name", "id", "etag", "type", "resourceGroup"].iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    let (envelope, inside) = std::mem::take(&mut object.0).into_iter().partition(|(key, _)| beside(&key.name));
    *object = Object(envelope);
    super::build::set(object, "properties", members(inside, at));
}
