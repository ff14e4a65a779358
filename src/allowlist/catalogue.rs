//! What the names of tags and web categories stand for.

use std::collections::HashMap;
use std::sync::Arc;

use crate::policy::{AppProtocol, FqdnPattern, FqdnTag, NamedRanges, WebCategory};

use super::azures;
use super::members::{Member, USUAL};
use super::tags;

/// Service tags, FQDN tags and web categories by name, in any letter case. As it comes, those that are built in.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// None where those that are built in count.
    service_tags: Option<ServiceTags>,
    /// What users gave, by name in lower case: before what is built in.
    given: HashMap<String, Given>,
}

#[derive(Debug, Clone)]
struct ServiceTags {
    /// By name in lower case.
    by_name: HashMap<String, NamedRanges>,
    /// Sorted: there are thousands, and each unknown tag of a policy is compared with all of them.
    names: Vec<String>,
}

#[derive(Debug, Clone)]
struct Given {
    name: String,
    members: Vec<Member>,
}

impl Catalogue {
    /// These service tags instead of those that are built in, which are older. Two of one name are taken together.
    pub fn replace_service_tags(&mut self, tags: Vec<NamedRanges>) {
        let mut by_name: HashMap<String, NamedRanges> = HashMap::with_capacity(tags.len());
        for tag in tags {
            by_name
                .entry(tag.name.to_lowercase())
                .and_modify(|first| first.ranges = first.ranges.iter().chain(tag.ranges.iter()).copied().collect())
                .or_insert(tag);
        }
        let mut names: Vec<String> = by_name.values().map(|tag| tag.name.clone()).collect();
        names.sort_unstable();
        self.service_tags = Some(ServiceTags { by_name, names });
    }

    /// These members for an FQDN tag or web category. The first that are given for a name count.
    pub fn give(&mut self, name: &str, members: Vec<Member>) {
        let given = Given { name: name.to_owned(), members };
        self.given.entry(name.to_lowercase()).or_insert(given);
    }

    /// None for a tag that is not known here.
    pub fn service_tag(&self, name: &str) -> Option<NamedRanges> {
        match &self.service_tags {
            Some(tags) => tags.by_name.get(&name.to_lowercase()).cloned(),
            None => tags::service_tag(name),
        }
    }

    /// Did somebody bring a file of service tags?
    pub fn has_own_service_tags(&self) -> bool {
        self.service_tags.is_some()
    }

    /// The service tags that it knows, for who misspelt one.
    pub fn service_tag_names(&self) -> Vec<&str> {
        match &self.service_tags {
            Some(tags) => tags.names.iter().map(String::as_str).collect(),
            None => tags::service_tag_names(),
        }
    }

    /// None for a tag whose members are not known here; whether it is one at all says
    /// [`Catalogue::is_azures_fqdn_tag`].
    pub fn fqdn_tag(&self, name: &str) -> Option<FqdnTag> {
        match self.given(name) {
            Some(Given { name, members }) => Some(FqdnTag { name: name.clone(), members: tagged(members) }),
            None => tags::fqdn_tag(name),
        }
    }

    /// Those that it has members of, and those that it has none of, for who misspelt one.
    pub fn fqdn_tag_names(&self) -> Vec<&str> {
        self.names(azures::FQDN_TAGS, tags::fqdn_tag_names())
    }

    /// Does Azure have an FQDN tag of this name? It does not publish what it stands for.
    pub fn is_azures_fqdn_tag(&self, name: &str) -> bool {
        azures::is_fqdn_tag(name)
    }

    /// None for a category whose members are not known here; whether it is one at all says
    /// [`Catalogue::is_azures_web_category`].
    pub fn web_category(&self, name: &str) -> Option<WebCategory> {
        match self.given(name) {
            Some(Given { name, members }) => {
                let members: Arc<[FqdnPattern]> = members.iter().map(|member| member.pattern.clone()).collect();
                Some(WebCategory { name: name.clone(), members })
            }
            None => tags::web_category(name),
        }
    }

    /// As [`Catalogue::fqdn_tag_names`].
    pub fn web_category_names(&self) -> Vec<&str> {
        self.names(azures::WEB_CATEGORIES, tags::web_category_names())
    }

    /// Does Azure have a web category of this name? It does not publish which hosts are in it.
    pub fn is_azures_web_category(&self, name: &str) -> bool {
        azures::is_web_category(name)
    }

    fn given(&self, name: &str) -> Option<&Given> {
        self.given.get(&name.to_lowercase())
    }

    fn names<'a>(&'a self, azures: &[&'a str], listed: Vec<&'a str>) -> Vec<&'a str> {
        let given = self.given.values().map(|given| given.name.as_str());
        let mut names: Vec<&str> = azures.iter().copied().chain(listed).chain(given).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn tagged(members: &[Member]) -> Arc<[(FqdnPattern, AppProtocol)]> {
    let each = members.iter().flat_map(|Member { pattern, protocol }| {
        let protocols = protocol.map_or(USUAL.to_vec(), |protocol| vec![protocol]);
        protocols.into_iter().map(|protocol| (pattern.clone(), protocol))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::NamedKind;

    fn tag(name: &str, ranges: &[&str]) -> NamedRanges {
        let ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
        NamedRanges { name: name.to_owned(), kind: NamedKind::ServiceTag, ranges }
    }

    #[test]
    fn a_file_of_service_tags_replaces_all_that_are_built_in() {
        let mut catalogue = Catalogue::default();
        assert!(catalogue.service_tag("sql").is_some());
        let parts = [tag("Storage.WestEurope", &["192.0.2.0/24"]), tag("storage.westeurope", &["2001:db8::/32"])];
        catalogue.replace_service_tags(parts.to_vec());
        let found = catalogue.service_tag("STORAGE.westEurope").unwrap();
        assert_eq!((found.name.as_str(), found.ranges.len()), ("Storage.WestEurope", 2));
        assert!(catalogue.service_tag("Sql").is_none());
        assert_eq!(catalogue.service_tag_names(), ["Storage.WestEurope"]);
    }

    #[test]
    fn what_is_given_comes_before_what_is_built_in() {
        let members = |text: &str| vec![text.parse::<Member>().unwrap()];
        let mut catalogue = Catalogue::default();
        catalogue.give("windowsupdate", members("own.test"));
        catalogue.give("WindowsUpdate", members("second.test"));
        catalogue.give("AzureBackup", members("https://backup.test"));
        catalogue.give("Gambling", members("*.bet.test"));
        let shown = |name: &str| -> Vec<String> {
            let tag = catalogue.fqdn_tag(name).unwrap();
            tag.members.iter().map(|(pattern, protocol)| format!("{pattern} {protocol}")).collect()
        };
        assert_eq!(shown("WindowsUpdate"), ["own.test http:80", "own.test https:443"]);
        assert_eq!(shown("azurebackup"), ["backup.test https:443"]);
        let gambling = catalogue.web_category("gambling").unwrap();
        assert_eq!((gambling.name.as_str(), gambling.members[0].to_string().as_str()), ("Gambling", "*.bet.test"));
    }

    #[test]
    fn known_to_azure_is_not_known_here() {
        let catalogue = Catalogue::default();
        for name in
            ["AzureBackup", "azurehdinsight", "Office365.Skype.Optimize", "Microsoft365.Common.Default.Required"]
        {
            assert!(catalogue.is_azures_fqdn_tag(name) && catalogue.fqdn_tag(name).is_none(), "{name}");
        }
        for name in ["AzureBackups", "Office365.Teams.Optimize", "Office365.Skype", "Office365", ""] {
            assert!(!catalogue.is_azures_fqdn_tag(name), "{name}");
        }
        assert!(catalogue.is_azures_web_category("childabuseimages"));
        assert!(catalogue.web_category("ChildAbuseImages").is_none());
        assert!(!catalogue.is_azures_web_category("Puppies"));
        assert!(catalogue.web_category("socialnetworking").unwrap().members.len() > 4);
    }
}
