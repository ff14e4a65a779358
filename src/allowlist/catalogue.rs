//! What the names of tags and web categories stand for.

use crate::policy::{FqdnTag, NamedRanges, WebCategory};

use super::tags;

/// Service tags, FQDN tags and web categories by name, in any letter case. As it comes, those that are built in.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {}

impl Catalogue {
    /// None for a tag that is not known here.
    pub fn service_tag(&self, name: &str) -> Option<NamedRanges> {
        tags::service_tag(name)
    }

    /// The service tags that it knows, for who misspelt one.
    pub fn service_tag_names(&self) -> Vec<&str> {
        tags::service_tag_names()
    }

    /// None for a tag that is not known here.
    pub fn fqdn_tag(&self, name: &str) -> Option<FqdnTag> {
        tags::fqdn_tag(name)
    }

    pub fn fqdn_tag_names(&self) -> Vec<&str> {
        tags::fqdn_tag_names()
    }

    /// None for a category that is not known here.
    pub fn web_category(&self, _name: &str) -> Option<WebCategory> {
        None
    }

    pub fn web_category_names(&self) -> Vec<&str> {
        Vec::new()
    }
}
