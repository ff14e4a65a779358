//! What mends a finding, as commands of `az`.

pub(super) use crate::azure::export::network::Site;
use crate::vnet::Change;

/// Without the blank line that commands of a script begin with.
pub(super) fn az_cli(changes: &[Change], site: &Site<'_>) -> String {
    crate::azure::export::network::az_cli(changes, site).trim_start().to_owned()
}
