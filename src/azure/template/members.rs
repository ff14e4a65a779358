//! Members of objects by name, in any letter case, with those that are null.

use std::collections::HashMap;

use crate::azure::json::{Key, Node, Object};

/// Names that a misspelt one is compared with: each error of a large template compares anew.
pub(super) const MOST_COMPARED: usize = 1000;

/// As `Object::get`, but null is a value here.
pub(super) fn find<'o>(object: &'o Object, name: &str) -> Option<&'o (Key, Node)> {
    object.0.iter().rev().find(|(key, _)| key.name.eq_ignore_ascii_case(name))
}

/// Where each name stands; the last of several.
pub(super) fn index(object: &Object) -> HashMap<String, usize> {
    object.iter().enumerate().map(|(at, (key, _))| (key.name.to_lowercase(), at)).collect()
}
