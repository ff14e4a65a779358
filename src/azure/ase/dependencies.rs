//! What an environment has to reach, in the six categories of the outbound dependency API's sample.
//!
//! The sample is one region's answer of 2021. Names and ports here are those of the dated lists in `allowlists/`; what a
//! list has that falls under none of the categories is not among them. Nobody publishes the hosts behind Azure SQL, and
//! of storage accounts only some: what stands for such a zone is [`Dependency::published`] false.

use crate::allowlist::{Endpoint, EndpointHost, Kind, List, lists};
use crate::flow::{Host, HostName, Protocol};
use crate::vnet::{AppServiceEnvironment, Cloud};

/// The categories, as the sample spells and sorts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    Storage,
    Sql,
    Management,
    ActiveDirectory,
    Regional,
    Certificates,
}

impl Category {
    pub const ALL: [Category; 6] = [
        Category::Storage,
        Category::Sql,
        Category::Management,
        Category::ActiveDirectory,
        Category::Regional,
        Category::Certificates,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Category::Storage => "Azure Storage",
            Category::Sql => "Azure SQL Database",
            Category::Management => "Azure Management",
            Category::ActiveDirectory => "Azure Active Directory",
            Category::Regional => "Regional Service",
            Category::Certificates => "SSL Certificate Verification",
        }
    }
}

/// One name of the outbound dependency API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    pub category: Category,
    /// As it is shown: of storage and SQL the zone, not the account.
    pub domain_name: HostName,
    /// Who is asked.
    pub host: HostName,
    /// False for a host that stands for its zone and need not exist.
    pub published: bool,
    pub ports: Vec<u16>,
}

/// Names of the lists by category, each in the order of the sample. `gr-prod-mwh` is the sample's own stamp (West US 2):
/// those of other regions are not published.
const NAMES: &[(Category, &[&str])] = &[
    (
        Category::Management,
        &[
            "management.core.windows.net",
            "admin.core.windows.net",
            "management.azure.com",
            "management.core.usgovcloudapi.net",
            "admin.core.usgovcloudapi.net",
            "management.usgovcloudapi.net",
        ],
    ),
    (
        Category::ActiveDirectory,
        &[
            "graph.windows.net",
            "graph.microsoft.com",
            "login.windows.net",
            "login.microsoftonline.com",
            "login.microsoftonline.us",
        ],
    ),
    (Category::Regional, &["gr-prod-mwh.cloudapp.net", "az-prod.metrics.nsatc.net"]),
    (
        Category::Certificates,
        &[
            "ocsp.msocsp.com",
            "mscrl.microsoft.com",
            "crl.microsoft.com",
            "www.microsoft.com",
            "crl3.digicert.com",
            "ocsp.digicert.com",
            "cacerts.digicert.com",
            "www.thawte.com",
        ],
    ),
];

/// The services behind zones, with the ports that the sample has.
const ZONES: &[(Category, &str, &[u16])] =
    &[(Category::Storage, "Microsoft.Storage", &[80, 443]), (Category::Sql, "Microsoft.Sql", &[1433])];

/// A storage account that has a name in all four zones in the list of 2023.
const ACCOUNT: &str = "gmstorageprodsn1";
/// Stands for a SQL server.
const SERVER: &str = "egret-probe";

/// What the workers of an environment run on: those of Linux need more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    Windows,
    Linux,
}

impl Workers {
    pub fn of(environment: &AppServiceEnvironment) -> Workers {
        if environment.linux { Workers::Linux } else { Workers::Windows }
    }
}

/// The lists of one edition.
#[derive(Debug, Clone)]
pub struct Dependencies {
    lists: Vec<&'static List>,
}

impl Dependencies {
    /// The edition that a policy in force is made of; where none is, the newest one of the cloud. China publishes none
    /// and is taken for the public cloud.
    pub fn of<'a>(cloud: Cloud, policies: impl IntoIterator<Item = &'a str>) -> Dependencies {
        let newest = if cloud == Cloud::UsGov { "ase-usgov@2023-11-20" } else { "ase@2023-11-20" };
        let stem = newest.split_once('@').map_or(newest, |(stem, _)| stem);
        let in_force = policies.into_iter().find(|name| name.split_once('@').is_some_and(|(it, _)| it == stem));
        let of = |folder: &str| lists().iter().filter(|list| list.folder() == folder).collect::<Vec<_>>();
        let found = in_force.map(of).filter(|found| !found.is_empty());
        Dependencies { lists: found.unwrap_or_else(|| of(newest)) }
    }

    /// What the outbound dependency API shows, category by category.
    pub fn shown(&self) -> Vec<Dependency> {
        let endpoints = self.endpoints(&[Kind::Fqdn, Kind::Wildcard]);
        let zones = ZONES.iter().flat_map(|(category, service, ports)| self.zone(*category, service, ports));
        let named = NAMES.iter().flat_map(|(category, names)| names.iter().map(move |name| (*category, *name)));
        let named = named.filter_map(|(category, name)| {
            let host = HostName::parse(name).expect("these are names");
            let mut ports: Vec<u16> =
                endpoints.iter().filter(|it| names(it, &host)).map(|endpoint| endpoint.port).collect();
            ports.sort_unstable();
            ports.dedup();
            let dependency = Dependency { category, domain_name: host.clone(), host, published: true, ports };
            Some(dependency).filter(|it| !it.ports.is_empty())
        });
        zones.chain(named).collect()
    }

    fn zone(&self, category: Category, service: &str, ports: &[u16]) -> Vec<Dependency> {
        let lists = self.lists.iter().flat_map(|list| list.service_endpoints());
        let zones = lists.filter(|it| it.service == service).flat_map(|it| it.zones);
        let listed = self.endpoints(&[Kind::Fqdn]);
        zones
            .map(|zone| {
                let account = if category == Category::Sql { SERVER } else { ACCOUNT };
                let host = HostName::parse(&format!("{account}.{zone}")).expect("a label more is a name");
                let published = listed.iter().any(|endpoint| names(endpoint, &host));
                Dependency { category, domain_name: zone, host, published, ports: ports.to_vec() }
            })
            .collect()
    }

    /// Is this one of the flows that an environment cannot do without? Names of its lists, DNS and NTP. Azure's own
    /// monitoring (12000) and the addresses beside the names are missed, and their lack makes no environment unhealthy.
    pub fn hold(&self, host: &Host, protocol: Protocol, port: u16, workers: Workers) -> bool {
        match host {
            _ if protocol == Protocol::Udp => matches!(port, 53 | 123),
            Host::Addr(_) => false,
            Host::Name(name) => {
                let kinds: &[Kind] = match workers {
                    Workers::Windows => &[Kind::Fqdn, Kind::Wildcard],
                    Workers::Linux => &[Kind::Fqdn, Kind::Wildcard, Kind::Linux],
                };
                self.endpoints(kinds).iter().any(|endpoint| endpoint.port == port && names(endpoint, name))
            }
        }
    }

    fn endpoints(&self, kinds: &[Kind]) -> Vec<Endpoint> {
        let lists = self.lists.iter().filter(|list| kinds.contains(&list.kind));
        lists.flat_map(|list| list.endpoints()).map(|(_, endpoint)| endpoint).collect()
    }
}

fn names(endpoint: &Endpoint, name: &HostName) -> bool {
    matches!(&endpoint.host, EndpointHost::Name(pattern) if pattern.matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(cloud: Cloud, policies: &[&str]) -> Vec<String> {
        let all = Dependencies::of(cloud, policies.iter().copied()).shown();
        let ports = |it: &Dependency| it.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        all.iter().map(|it| format!("{}: {} {}", it.category.as_str(), it.domain_name, ports(it))).collect()
    }

    #[test]
    fn the_edition_in_force_says_which() {
        let seed = shown(Cloud::Public, &["mine", "ase@2018-09-24"]);
        assert_eq!(seed[0], "Azure Storage: blob.core.windows.net 80,443");
        assert!(seed.contains(&"Azure SQL Database: database.windows.net 1433".to_owned()), "{seed:#?}");
        assert!(seed.contains(&"Azure Active Directory: graph.windows.net 443".to_owned()), "{seed:#?}");
        assert!(seed.contains(&"Regional Service: gr-prod-mwh.cloudapp.net 443".to_owned()), "{seed:#?}");
        assert!(!seed.iter().any(|it| it.contains("management.azure.com")), "only names below it are in the list");
        let newest = shown(Cloud::Public, &[]);
        assert!(newest.contains(&"Azure Management: management.azure.com 443".to_owned()), "{newest:#?}");
        assert!(newest.contains(&"SSL Certificate Verification: ocsp.msocsp.com 80,443".to_owned()), "{newest:#?}");
        let gov = shown(Cloud::UsGov, &["ase@2018-09-24"]);
        assert!(gov.contains(&"Azure Storage: blob.core.usgovcloudapi.net 80,443".to_owned()), "{gov:#?}");
        assert_eq!(shown(Cloud::China, &[]), newest);
    }

    #[test]
    fn categories_come_in_the_order_of_the_sample() {
        for cloud in [Cloud::Public, Cloud::UsGov] {
            let all = Dependencies::of(cloud, []).shown();
            assert!(all.is_sorted_by_key(|it| it.category));
            assert!(all.len() > 10);
        }
    }

    #[test]
    fn hosts_that_stand_for_a_zone_are_told() {
        let all = Dependencies::of(Cloud::Public, []).shown();
        let of = |zone: &str| all.iter().find(|it| it.domain_name.as_str() == zone).unwrap();
        assert_eq!(of("queue.core.windows.net").host.as_str(), "gmstorageprodsn1.queue.core.windows.net");
        assert!(of("queue.core.windows.net").published && !of("database.windows.net").published);
    }

    #[test]
    fn flows_that_matter() {
        let all = Dependencies::of(Cloud::Public, []);
        let holds =
            |host: &str, protocol, port| all.hold(&Host::parse(host).unwrap(), protocol, port, Workers::Windows);
        assert!(holds("login.windows.net", Protocol::Https, 443));
        assert!(holds("a.update.microsoft.com", Protocol::Tcp, 443));
        assert!(holds("192.0.2.1", Protocol::Udp, 123) && holds("192.0.2.1", Protocol::Udp, 53));
        assert!(!holds("login.windows.net", Protocol::Https, 8443));
        assert!(!holds("example.com", Protocol::Https, 443));
        assert!(!holds("192.0.2.1", Protocol::Tcp, 12_000));
        assert!(!holds("registry-1.docker.io", Protocol::Https, 443));
        assert!(all.hold(&Host::parse("registry-1.docker.io").unwrap(), Protocol::Https, 443, Workers::Linux));
    }
}
