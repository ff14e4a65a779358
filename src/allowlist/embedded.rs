//! The text of every list, part of the binary.

macro_rules! files {
    ($($name:literal,)*) => {
        &[$(($name, include_str!(concat!("../../allowlists/", $name, ".txt"))),)*]
    };
}

/// Name and text of every file below `allowlists/`, sorted by name.
pub(super) const FILES: &[(&str, &str)] = files![
    "ase-usgov@2023-11-20/fqdn",
    "ase-usgov@2023-11-20/intended",
    "ase-usgov@2023-11-20/ip",
    "ase-usgov@2023-11-20/service-endpoints",
    "ase-usgov@2023-11-20/wildcard",
    "ase@2018-09-24/app-ports",
    "ase@2018-09-24/fqdn",
    "ase@2018-09-24/inbound",
    "ase@2018-09-24/ip",
    "ase@2018-09-24/linux",
    "ase@2018-09-24/outbound",
    "ase@2018-09-24/service-endpoints",
    "ase@2018-09-24/wildcard",
    "ase@2023-11-20/fqdn",
    "ase@2023-11-20/ip",
    "ase@2023-11-20/linux",
    "ase@2023-11-20/service-endpoints",
    "ase@2023-11-20/wildcard",
    "fqdn-tags/AppServiceEnvironment",
    "fqdn-tags/WindowsUpdate",
    "management/china@2022-10-24",
    "management/public@2018-05-29",
    "management/public@2019-01-16",
    "management/public@2019-04-03",
    "management/public@2020-12-21",
    "management/public@2022-10-24",
    "management/usgov@2018-05-29",
    "management/usgov@2019-01-16",
    "management/usgov@2019-04-03",
    "management/usgov@2020",
    "management/usgov@2022-10-24",
    "service-tags/AppServiceManagement-usgov@401",
    "service-tags/AppServiceManagement@305",
    "service-tags/AppServiceManagement@360",
    "service-tags/AzureActiveDirectory@360",
    "service-tags/AzureKeyVault@360",
    "service-tags/AzureMonitor@360",
    "service-tags/AzureResourceManager@360",
    "service-tags/EventHub@360",
    "service-tags/Sql@360",
    "service-tags/Storage@360",
];
