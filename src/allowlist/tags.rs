//! Service tags, FQDN tags and web categories by name, in any letter case, as Azure takes them.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, OnceLock};

use crate::policy::{AddressRange, FqdnTag, NamedKind, NamedRanges, WebCategory};

use super::entry::EndpointHost;
use super::find::newest_called;
use super::list::{Kind, List, lists};

/// The ranges of a service tag: `Storage` is the newest embedded edition, `AppServiceManagement@305` a certain
/// one. None for tags that are not embedded; regional ones (`Storage.WestEurope`) are not.
pub fn service_tag(name: &str) -> Option<NamedRanges> {
    let list = newest_called(name, Kind::ServiceTag)?;
    let tag = TAGS.iter().find(|tag| tag.list.name == list.name)?;
    let ranges = Arc::clone(tag.ranges.get_or_init(|| list.addresses().into()));
    let name = if name.contains('@') { list.file() } else { list.stem() };
    Some(NamedRanges { name: name.to_owned(), kind: NamedKind::ServiceTag, ranges })
}

/// A tag's ranges are parsed when first asked for: a policy needs few of the seven thousand prefixes.
struct Tag {
    list: &'static List,
    ranges: OnceLock<Arc<[AddressRange]>>,
}

static TAGS: LazyLock<Vec<Tag>> =
    LazyLock::new(|| of_kind(Kind::ServiceTag).map(|list| Tag { list, ranges: OnceLock::new() }).collect());

/// The tags that [`service_tag`] knows, sorted.
pub fn service_tag_names() -> Vec<&'static str> {
    stems(Kind::ServiceTag)
}

/// An FQDN tag with its members as far as they can be guessed: Azure publishes none.
pub fn fqdn_tag(name: &str) -> Option<FqdnTag> {
    let list = newest_called(name, Kind::FqdnTag)?;
    let members = list.endpoints().into_iter().filter_map(|(_, endpoint)| match &endpoint.host {
        EndpointHost::Name(pattern) => Some((pattern.clone(), endpoint.app_protocol())),
        EndpointHost::Any | EndpointHost::Addr(_) => None,
    });
    Some(FqdnTag { name: list.stem().to_owned(), members: members.collect() })
}

/// The tags that [`fqdn_tag`] knows, sorted.
pub fn fqdn_tag_names() -> Vec<&'static str> {
    stems(Kind::FqdnTag)
}

/// A web category with a few names that are surely in it: Azure publishes none.
pub fn web_category(name: &str) -> Option<WebCategory> {
    let list = newest_called(name, Kind::WebCategory)?;
    Some(WebCategory { name: list.stem().to_owned(), members: list.names().into() })
}

/// The categories that [`web_category`] knows, sorted.
pub fn web_category_names() -> Vec<&'static str> {
    stems(Kind::WebCategory)
}

fn stems(kind: Kind) -> Vec<&'static str> {
    of_kind(kind).map(List::stem).collect::<BTreeSet<_>>().into_iter().collect()
}

fn of_kind(kind: Kind) -> impl Iterator<Item = &'static List> {
    lists().iter().filter(move |list| list.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{HostName, Protocol};

    #[test]
    fn service_tags_by_name() {
        let tag = service_tag("appservicemanagement").unwrap();
        assert_eq!(tag.name, "AppServiceManagement");
        assert_eq!(tag.ranges.iter().filter(|range| range.first().is_ipv4()).count(), 231);
        assert_eq!(tag.ranges.len(), 231 + 213);
        assert!(Arc::ptr_eq(&tag.ranges, &service_tag("AppServiceManagement").unwrap().ranges));
        let old = service_tag("AppServiceManagement@305").unwrap();
        assert_eq!((old.name.as_str(), old.ranges.len()), ("AppServiceManagement@305", 219 + 201));
        assert_eq!(service_tag("AppServiceManagement-usgov").unwrap().ranges.len(), 23 + 17);
        for none in ["Storage.WestEurope", "Internet", "", "WindowsUpdate"] {
            assert!(service_tag(none).is_none(), "{none}");
        }
    }

    #[test]
    fn names_of_tags() {
        assert_eq!(
            service_tag_names(),
            [
                "AppServiceManagement",
                "AppServiceManagement-usgov",
                "AzureActiveDirectory",
                "AzureKeyVault",
                "AzureMonitor",
                "AzureResourceManager",
                "EventHub",
                "Sql",
                "Storage",
            ]
        );
        assert_eq!(fqdn_tag_names(), ["AppServiceEnvironment", "AzureKubernetesService", "WindowsUpdate"]);
    }

    /// All of the last published management addresses but one lie inside the tag.
    #[test]
    fn management_addresses_against_the_tag() {
        let tag = service_tag("AppServiceManagement").unwrap();
        let listed = super::super::find("management/public").unwrap()[0].addresses();
        let outside: Vec<String> = listed
            .iter()
            .filter(|addr| !tag.ranges.iter().any(|range| range.contains(addr.first())))
            .map(ToString::to_string)
            .collect();
        assert_eq!(outside, ["191.233.203.64"]);
    }

    #[test]
    fn fqdn_tags_by_name() {
        let tag = fqdn_tag("WINDOWSUPDATE").unwrap();
        assert_eq!(tag.name, "WindowsUpdate");
        let allows = |name: &str, protocol: Protocol, port: u16| {
            let name = HostName::parse(name).unwrap();
            tag.members.iter().any(|(p, a)| p.matches(&name) && a.protocol == protocol && a.port == port)
        };
        assert!(allows("fe2.update.microsoft.com", Protocol::Https, 443));
        assert!(allows("download.windowsupdate.com", Protocol::Http, 80));
        assert!(!allows("www.microsoft.com", Protocol::Https, 443));
        assert_eq!(fqdn_tag("AppServiceEnvironment").unwrap().members.len(), 88 + 11);
        assert!(fqdn_tag("AzureBackup").is_none());
    }
}
