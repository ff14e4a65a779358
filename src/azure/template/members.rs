//! Members of objects by name, in any letter case, with those that are null.

use std::collections::HashMap;

use crate::azure::json::{Key, Node, Object};

/// As `Object::get`, but null is a value here.
pub(super) fn find<'o>(object: &'o Object, name: &str) -> Option<&'o (Key, Node)> {
    object.0.iter().rev().find(|(key, _)| key.name.eq_ignore_ascii_case(name))
}

/// Where each name stands; the last of several.
pub(super) fn index(object: &Object) -> HashMap<String, usize> {
    object.iter().enumerate().map(|(at, (key, _))| (key.name.to_lowercase(), at)).collect()
}

/// The name that was meant, for one that is not there.
pub(super) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let name = name.to_lowercase();
    let near = names.take(1000).map(|other| (strsim::damerau_levenshtein(&name, &other.to_lowercase()), other));
    near.min_by_key(|(distance, _)| *distance).filter(|(distance, _)| *distance <= 1 + name.len() / 5).map(|(_, n)| n)
}
