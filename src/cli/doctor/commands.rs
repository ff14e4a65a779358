//! What mends a finding, as commands of `az`.

use crate::policy::RuleSet;
use crate::vnet::{Change, Topology};

pub(super) struct Site<'a> {
    pub(super) topology: &'a Topology,
    pub(super) rules: &'a RuleSet,
}

pub(super) fn az_cli(_changes: &[Change], _site: &Site<'_>) -> String {
    String::new()
}
