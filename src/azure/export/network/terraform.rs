//! HCL for the providers azurerm and azapi.

use crate::azure::export::Exported;
use crate::vnet::Change;

use super::Site;

pub(super) fn write(_changes: &[Change], _site: &Site<'_>, _remark: Option<&str>) -> Exported {
    Exported { text: String::new(), notes: Vec::new() }
}
