//! Versions of the API, and where their shapes differ.
//!
//! Sources: the models of azure-mgmt-web 0.42 to 11.0, which are made from the REST specification of each version.

use std::fmt;

/// Those whose specification has App Service Environments (azure-rest-api-specs and azure-mgmt-web, Microsoft.Web). Of
/// 2018-11-01 that was withdrawn.
pub const API_VERSIONS: [&str; 19] = [
    "2016-09-01",
    "2018-02-01",
    "2019-08-01",
    "2020-06-01",
    "2020-09-01",
    "2020-10-01",
    "2020-12-01",
    "2021-01-01",
    "2021-01-15",
    "2021-02-01",
    "2021-03-01",
    "2022-03-01",
    "2022-09-01",
    "2023-01-01",
    "2023-12-01",
    "2024-04-01",
    "2024-11-01",
    "2025-03-01",
    "2025-05-01",
];

/// One of [`API_VERSIONS`], the later the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(&'static str);

impl ApiVersion {
    pub const NEWEST: ApiVersion = ApiVersion(API_VERSIONS[API_VERSIONS.len() - 1]);

    pub fn parse(text: &str) -> Option<ApiVersion> {
        API_VERSIONS.iter().find(|known| **known == text).map(|known| ApiVersion(known))
    }

    /// Whether the resource has `environmentIsHealthy` and `environmentStatus`.
    pub fn tells_health(self) -> bool {
        self.0 <= "2020-10-01"
    }

    pub fn addresses(self) -> AddressShape {
        if self.0 < "2019-08-01" { AddressShape::Flat } else { AddressShape::Resource }
    }

    pub fn outbound(self) -> OutboundShape {
        match self.0 {
            "2016-09-01" => OutboundShape::Flat,
            "2018-02-01" => OutboundShape::Misspelt,
            _ => OutboundShape::Current,
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Of `capacities/virtualip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressShape {
    /// The addresses alone.
    Flat,
    /// `id`, `name`, `type`, and the addresses as `properties`.
    Resource,
}

/// Of the outbound dependency API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboundShape {
    /// `description` and `endpoints`, a list of texts: no specification of this version has the path, the first that was
    /// published of the next one had this shape.
    Flat,
    /// `isAccessable`
    Misspelt,
    Current,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order() {
        assert!(API_VERSIONS.is_sorted());
        let all: Vec<ApiVersion> = API_VERSIONS.iter().filter_map(|it| ApiVersion::parse(it)).collect();
        assert!(all.len() == API_VERSIONS.len() && all.is_sorted());
        assert_eq!(ApiVersion::parse("2018-11-01"), None);
    }

    #[test]
    fn shapes() {
        let check = |text: &str, health: bool, addresses, outbound| {
            let version = ApiVersion::parse(text).unwrap();
            assert_eq!(
                (version.tells_health(), version.addresses(), version.outbound()),
                (health, addresses, outbound)
            );
        };
        check("2016-09-01", true, AddressShape::Flat, OutboundShape::Flat);
        check("2018-02-01", true, AddressShape::Flat, OutboundShape::Misspelt);
        check("2019-08-01", true, AddressShape::Resource, OutboundShape::Current);
        check("2020-10-01", true, AddressShape::Resource, OutboundShape::Current);
        check("2020-12-01", false, AddressShape::Resource, OutboundShape::Current);
        check("2025-05-01", false, AddressShape::Resource, OutboundShape::Current);
    }
}
