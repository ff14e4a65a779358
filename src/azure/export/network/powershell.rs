//! A script of the Az modules for PowerShell.

use crate::azure::export::Exported;
use crate::vnet::Change;

use super::Site;

pub(super) fn script(_changes: &[Change], _site: &Site<'_>, _remark: Option<&str>) -> Exported {
    Exported { text: String::new(), notes: Vec::new() }
}
