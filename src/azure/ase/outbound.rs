//! The outbound dependency API in the shape of each version.

use serde::Serialize;

use super::endpoints::{EndpointDetail, OutboundEnvironmentEndpointCollection};
use super::resource::Collection;
use super::version::OutboundShape;

/// What is told is the same; only its names and how deep it is differ.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outbound<'a> {
    Flat(Collection<FlatEndpoint<'a>>),
    Misspelt(Collection<MisspeltEndpoint<'a>>),
    Current(&'a OutboundEnvironmentEndpointCollection),
}

/// Of 2016-09-01.
#[derive(Debug, Serialize)]
pub struct FlatEndpoint<'a> {
    description: &'a str,
    /// `blob.core.windows.net:443`
    endpoints: Vec<String>,
}

/// Of 2018-02-01.
#[derive(Debug, Serialize)]
pub struct MisspeltEndpoint<'a> {
    category: &'a str,
    endpoints: Vec<MisspeltDependency<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MisspeltDependency<'a> {
    domain_name: &'a str,
    endpoint_details: Vec<MisspeltDetail>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MisspeltDetail {
    ip_address: Option<std::net::IpAddr>,
    port: u16,
    latency: Option<f64>,
    #[serde(rename = "isAccessable")]
    is_accessible: bool,
}

impl<'a> Outbound<'a> {
    pub fn of(all: &'a OutboundEnvironmentEndpointCollection, shape: OutboundShape) -> Outbound<'a> {
        match shape {
            OutboundShape::Flat => Outbound::Flat(flat(all)),
            OutboundShape::Misspelt => Outbound::Misspelt(misspelt(all)),
            OutboundShape::Current => Outbound::Current(all),
        }
    }
}

fn flat(all: &OutboundEnvironmentEndpointCollection) -> Collection<FlatEndpoint<'_>> {
    let of_category = all.value.iter().map(|category| {
        let each = category.endpoints.iter().flat_map(|endpoint| {
            endpoint.endpoint_details.iter().map(|detail| format!("{}:{}", endpoint.domain_name, detail.port))
        });
        FlatEndpoint { description: &category.category, endpoints: each.collect() }
    });
    Collection::of(of_category.collect())
}

fn misspelt(all: &OutboundEnvironmentEndpointCollection) -> Collection<MisspeltEndpoint<'_>> {
    let of_category = all.value.iter().map(|category| {
        let each = category.endpoints.iter().map(|endpoint| MisspeltDependency {
            domain_name: &endpoint.domain_name,
            endpoint_details: endpoint.endpoint_details.iter().map(MisspeltDetail::of).collect(),
        });
        MisspeltEndpoint { category: &category.category, endpoints: each.collect() }
    });
    Collection::of(of_category.collect())
}

impl MisspeltDetail {
    fn of(detail: &EndpointDetail) -> MisspeltDetail {
        let EndpointDetail { ip_address, port, latency, is_accessible, .. } = detail;
        MisspeltDetail { ip_address: *ip_address, port: *port, latency: *latency, is_accessible: *is_accessible }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_version() {
        let current = concat!(
            r#"{"value":[{"category":"Azure Storage","endpoints":[{"domainName":"blob.core.windows.net","endpointDetails":["#,
            r#"{"ipAddress":"192.0.2.7","port":80,"latency":1.5,"isAccessible":true},"#,
            r#"{"ipAddress":null,"port":443,"latency":null,"isAccessible":false}]}]}],"nextLink":null}"#
        );
        let all: OutboundEnvironmentEndpointCollection = serde_json::from_str(current).unwrap();
        let json = |shape| serde_json::to_string(&Outbound::of(&all, shape)).unwrap();
        assert_eq!(json(OutboundShape::Current), current);
        assert_eq!(json(OutboundShape::Misspelt), current.replace("isAccessible", "isAccessable"));
        assert_eq!(
            json(OutboundShape::Flat),
            r#"{"value":[{"description":"Azure Storage","endpoints":["blob.core.windows.net:80","blob.core.windows.net:443"]}],"nextLink":null}"#
        );
    }
}
