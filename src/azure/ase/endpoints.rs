//! What an environment depends on, as the two dependency APIs show it.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::vnet::{AppServiceEnvironment, AseVersion, Network, Place};

/// `inboundNetworkDependenciesEndpoints`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InboundEnvironmentEndpointCollection {
    pub value: Vec<InboundEndpoint>,
    /// There is one page.
    pub next_link: Option<String>,
}

/// `InboundEnvironmentEndpoint`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundEndpoint {
    pub description: String,
    /// Prefixes, an address alone as `/32`.
    pub endpoints: Vec<String>,
    /// Texts: `All` is one of them.
    pub ports: Vec<String>,
}

/// `outboundNetworkDependenciesEndpoints`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundEnvironmentEndpointCollection {
    pub value: Vec<OutboundEndpoint>,
    /// There is one page.
    pub next_link: Option<String>,
}

/// `OutboundEnvironmentEndpoint`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutboundEndpoint {
    pub category: String,
    pub endpoints: Vec<EndpointDependency>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointDependency {
    pub domain_name: String,
    pub endpoint_details: Vec<EndpointDetail>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointDetail {
    /// None where no address was come by: the name was denied or did not resolve.
    pub ip_address: Option<IpAddr>,
    pub port: u16,
    /// Milliseconds to open a TCP connection; None where none was opened.
    pub latency: Option<f64>,
    pub is_accessible: bool,
    /// Why not. The published shape has no such member: it is there for who asks for [`ALL_DEPENDENCIES`] alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a query has for every dependency, in categories of Egret's own too, and for reasons: `egret=all`.
pub const ALL_DEPENDENCIES: &str = "egret=all";

/// Who has to reach an environment. Version 3 is not managed by way of the customer's network.
pub fn inbound(
    network: &Network,
    environment: &AppServiceEnvironment,
    place: Option<Place>,
) -> InboundEnvironmentEndpointCollection {
    let endpoint = |description: &str, endpoints: Vec<IpNet>, ports: &[&str]| InboundEndpoint {
        description: description.to_owned(),
        endpoints: endpoints.iter().map(ToString::to_string).collect(),
        ports: ports.iter().map(ToString::to_string).collect(),
    };
    let subnet = place.map(|place| network.subnet(place).prefixes.clone()).unwrap_or_default();
    let own = endpoint("App Service Environment subnet", subnet, &["All"]);
    let mut value = Vec::new();
    if environment.version < AseVersion::V3 {
        let management = network.tags().management().into_iter().flat_map(|range| range.nets()).collect();
        value.push(endpoint("App Service management", management, &["454", "455"]));
        let vip = environment.public_address.map(IpNet::from).into_iter().collect();
        value.push(endpoint("App Service Environment VIP", vip, &["454", "455", "16001"]));
    }
    value.push(own);
    InboundEnvironmentEndpointCollection { value, next_link: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allowlist::Catalogue;
    use crate::policy::{NamedKind, NamedRanges};
    use crate::vnet::samples::{SUBNET, VNET, built, worked};
    use crate::vnet::{Cloud, Tags, Topology};

    fn of(topology: Topology, cloud: Cloud) -> InboundEnvironmentEndpointCollection {
        let network = Network::new(topology, Tags::new(Catalogue::default(), cloud));
        inbound(&network, &network.topology().environments[0], network.place(VNET, SUBNET))
    }

    #[test]
    fn inbound_of_the_worked_set_up() {
        let network = built(worked());
        let all = inbound(&network, &network.topology().environments[0], network.place(VNET, SUBNET));
        assert_eq!(all.value[0].endpoints.len(), 231);
        let json = serde_json::to_string(&all).unwrap();
        assert!(json.starts_with(r#"{"value":[{"description":"App Service management","endpoints":["#), "{json}");
        let rest = r#""ports":["454","455"]},{"description":"App Service Environment VIP","endpoints":["203.0.113.9/32"],"ports":["454","455","16001"]},{"description":"App Service Environment subnet","endpoints":["192.168.251.128/25"],"ports":["All"]}],"nextLink":null}"#;
        assert!(json.ends_with(rest), "{json}");
    }

    #[test]
    fn management_addresses_are_those_of_the_cloud() {
        assert_eq!(of(worked(), Cloud::UsGov).value[0].endpoints.len(), 23);
        let china = of(worked(), Cloud::China).value.remove(0);
        assert_eq!(china.endpoints, ["42.159.4.236/32", "42.159.80.125/32"]);
    }

    /// Each cloud's file has the one name.
    #[test]
    fn management_addresses_are_those_of_a_file_of_service_tags() {
        let mut catalogue = Catalogue::default();
        let name = "AppServiceManagement".into();
        let ranges = ["42.159.4.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()].into_iter().collect();
        catalogue.replace_service_tags(vec![NamedRanges { name, kind: NamedKind::ServiceTag, ranges }]);
        for cloud in [Cloud::Public, Cloud::UsGov, Cloud::China] {
            let network = Network::new(worked(), Tags::new(catalogue.clone(), cloud));
            let all = inbound(&network, &network.topology().environments[0], network.place(VNET, SUBNET));
            assert_eq!(all.value[0].endpoints, ["42.159.4.0/24"], "{cloud:?}");
        }
    }

    #[test]
    fn version_3_has_its_subnet_alone() {
        let mut topology = worked();
        topology.environments[0].version = AseVersion::V3;
        let all = of(topology, Cloud::Public);
        let descriptions: Vec<&str> = all.value.iter().map(|it| it.description.as_str()).collect();
        assert_eq!(descriptions, ["App Service Environment subnet"]);
    }
}
