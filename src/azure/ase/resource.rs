//! `Microsoft.Web/hostingEnvironments`, and its networking configuration.

use std::fmt;

use serde::Serialize;

use crate::azure::shape::kinds::ENVIRONMENT;
use crate::policy::AddressRange;
use crate::vnet::{AppServiceEnvironment, AseVersion, IlbMode, LoadBalancing, Topology};

/// Where a resource is, as it was asked for: Azure echoes what it was given where nothing else is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceId<'a> {
    pub subscription: &'a str,
    pub resource_group: &'a str,
    /// `Microsoft.Web/hostingEnvironments`
    pub kind: &'a str,
    pub name: &'a str,
}

impl fmt::Display for ResourceId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ResourceId { subscription, resource_group, kind, name } = self;
        write!(f, "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/{kind}/{name}")
    }
}

/// `{"value": […], "nextLink": null}`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collection<T> {
    value: Vec<T>,
    next_link: Option<String>,
}

impl<T> Collection<T> {
    pub fn of(value: Vec<T>) -> Collection<T> {
        Collection { value, next_link: None }
    }
}

/// `AppServiceEnvironmentResource`
#[derive(Debug, Serialize)]
pub struct HostingEnvironment {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind_of_resource: &'static str,
    kind: &'static str,
    location: String,
    properties: Properties,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    provisioning_state: &'static str,
    /// Nothing here takes a while.
    status: &'static str,
    virtual_network: VirtualNetworkProfile,
    internal_load_balancing_mode: &'static str,
    ipssl_address_count: usize,
    dns_suffix: String,
    suspended: bool,
    user_whitelisted_ip_ranges: Vec<String>,
    has_linux_workers: bool,
}

#[derive(Debug, Serialize)]
struct VirtualNetworkProfile {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    subnet: String,
}

/// The resource as it is shown.
pub fn environment(
    topology: &Topology,
    environment: &AppServiceEnvironment,
    id: &ResourceId<'_>,
) -> HostingEnvironment {
    let network = ResourceId { kind: "Microsoft.Network/virtualNetworks", name: &environment.virtual_network, ..*id };
    HostingEnvironment {
        id: id.to_string(),
        name: environment.name.clone(),
        kind_of_resource: ENVIRONMENT,
        kind: kind(environment.version),
        location: topology.location.clone(),
        properties: Properties {
            provisioning_state: "Succeeded",
            status: "Ready",
            virtual_network: VirtualNetworkProfile {
                id: format!("{network}/subnets/{}", environment.subnet),
                name: environment.virtual_network.clone(),
                kind: "Microsoft.Network/virtualNetworks/subnets",
                subnet: environment.subnet.clone(),
            },
            internal_load_balancing_mode: load_balancing(environment.load_balancing),
            ipssl_address_count: environment.app_addresses.len(),
            dns_suffix: environment.suffix(topology.cloud),
            suspended: environment.suspended,
            user_whitelisted_ip_ranges: environment.sql_egress_ranges.iter().map(AddressRange::to_string).collect(),
            has_linux_workers: environment.linux,
        },
    }
}

fn kind(version: AseVersion) -> &'static str {
    match version {
        AseVersion::V1 => "ASEV1",
        AseVersion::V2 => "ASEV2",
        AseVersion::V3 => "ASEV3",
    }
}

fn load_balancing(mode: LoadBalancing) -> &'static str {
    match mode {
        LoadBalancing::External => "None",
        LoadBalancing::Internal(IlbMode::Web) => "Web",
        LoadBalancing::Internal(IlbMode::Publishing) => "Publishing",
        LoadBalancing::Internal(IlbMode::WebAndPublishing) => "Web, Publishing",
    }
}

/// `AseV3NetworkingConfiguration`
#[derive(Debug, Serialize)]
pub struct Networking {
    id: String,
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    properties: NetworkingProperties,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkingProperties {
    windows_outbound_ip_addresses: Vec<String>,
    linux_outbound_ip_addresses: Vec<String>,
    external_inbound_ip_addresses: Vec<String>,
    internal_inbound_ip_addresses: Vec<String>,
    allow_new_private_endpoint_connections: bool,
    ftp_enabled: bool,
    remote_debug_enabled: bool,
}

/// `configurations/networking`. Private endpoints are not emulated: no more of them may be made.
pub fn networking(environment: &AppServiceEnvironment, id: &ResourceId<'_>) -> Networking {
    let AppServiceEnvironment { public_address, internal_address, outbound_addresses, ftp, remote_debug, .. } =
        environment;
    let texts = |addresses: &[std::net::IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    let outbound = match outbound_addresses.as_slice() {
        [] => texts(public_address.as_slice()),
        own => texts(own),
    };
    let is_internal = environment.load_balancing.is_internal();
    let (external, internal) = match is_internal {
        true => (Vec::new(), texts(internal_address.as_slice())),
        false => (texts(public_address.as_slice()), Vec::new()),
    };
    Networking {
        id: format!("{id}/configurations/networking"),
        name: "networking",
        kind: "Microsoft.Web/hostingEnvironments/configurations",
        properties: NetworkingProperties {
            linux_outbound_ip_addresses: if environment.linux { outbound.clone() } else { Vec::new() },
            windows_outbound_ip_addresses: outbound,
            external_inbound_ip_addresses: external,
            internal_inbound_ip_addresses: internal,
            allow_new_private_endpoint_connections: false,
            ftp_enabled: *ftp,
            remote_debug_enabled: *remote_debug,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vnet::Cloud;
    use crate::vnet::samples::worked;

    const ID: ResourceId<'static> =
        ResourceId { subscription: "s", resource_group: "g", kind: "Microsoft.Web/hostingEnvironments", name: "ase" };

    #[test]
    fn the_resource() {
        let topology = worked();
        let suspended = AppServiceEnvironment { suspended: true, ..topology.environments[0].clone() };
        let shown = environment(&topology, &suspended, &ID);
        assert_eq!(
            serde_json::to_string(&shown).unwrap(),
            concat!(
                r#"{"id":"/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/hostingEnvironments/ase","name":"ase","#,
                r#""type":"Microsoft.Web/hostingEnvironments","kind":"ASEV2","location":"westus2","#,
                r#""properties":{"provisioningState":"Succeeded","status":"Ready","virtualNetwork":{"#,
                r#""id":"/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/ase-vnet/subnets/ase-subnet","#,
                r#""name":"ase-vnet","type":"Microsoft.Network/virtualNetworks/subnets","subnet":"ase-subnet"},"#,
                r#""internalLoadBalancingMode":"Web, Publishing","ipsslAddressCount":0,"#,
                r#""dnsSuffix":"ase.appserviceenvironment.net","suspended":true,"userWhitelistedIpRanges":[],"#,
                r#""hasLinuxWorkers":false}}"#
            )
        );
    }

    #[test]
    fn networking_by_kind() {
        let mut topology = worked();
        let shown = |topology: &Topology| serde_json::to_value(networking(&topology.environments[0], &ID)).unwrap();
        let internal = shown(&topology);
        assert_eq!(internal["properties"]["internalInboundIpAddresses"][0], "192.168.251.132");
        topology.environments[0].load_balancing = LoadBalancing::External;
        topology.environments[0].ftp = true;
        let external = shown(&topology);
        assert_eq!(external["properties"]["externalInboundIpAddresses"][0], "203.0.113.9");
        assert_eq!(external["properties"]["ftpEnabled"], true);
        topology.cloud = Cloud::UsGov;
        topology.environments[0].dns_suffix = "Apps.Example.COM".into();
        let shown = serde_json::to_value(environment(&topology, &topology.environments[0], &ID)).unwrap();
        assert_eq!(shown["properties"]["dnsSuffix"], "apps.example.com");
        topology.environments[0].dns_suffix.clear();
        let shown = serde_json::to_value(environment(&topology, &topology.environments[0], &ID)).unwrap();
        assert_eq!(shown["properties"]["dnsSuffix"], "ase.p.azurewebsites.us");
    }
}
