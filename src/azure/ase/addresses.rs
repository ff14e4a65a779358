//! `capacities/virtualip`: the addresses of an environment, and the pairs of ports behind those of single apps.

use std::net::IpAddr;

use serde::Serialize;

use crate::vnet::AppServiceEnvironment;

use super::resource::ResourceId;
use super::version::AddressShape;

/// `AddressResponse`
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Addresses {
    Flat(AddressResponse),
    Resource(AddressResource),
}

#[derive(Debug, Serialize)]
pub struct AddressResource {
    id: String,
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    properties: AddressResponse,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressResponse {
    /// The public VIP.
    service_ip_address: Option<IpAddr>,
    /// Of the internal load balancer; null for an External environment.
    internal_ip_address: Option<IpAddr>,
    outbound_ip_addresses: Vec<IpAddr>,
    vip_mappings: Vec<VirtualIpMapping>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualIpMapping {
    #[serde(rename = "virtualIP")]
    virtual_ip: IpAddr,
    internal_http_port: u16,
    internal_https_port: u16,
    in_use: bool,
    /// Of the app that has it, which no topology knows.
    service_name: Option<String>,
}

impl Addresses {
    /// `id` is the environment's.
    pub fn of(environment: &AppServiceEnvironment, id: &ResourceId<'_>, shape: AddressShape) -> Addresses {
        let properties = AddressResponse::of(environment);
        match shape {
            AddressShape::Flat => Addresses::Flat(properties),
            AddressShape::Resource => Addresses::Resource(AddressResource {
                id: format!("{id}/capacities/virtualip"),
                name: "virtualip",
                kind: "Microsoft.Web/hostingEnvironments/capacities",
                properties,
            }),
        }
    }
}

impl AddressResponse {
    fn of(environment: &AppServiceEnvironment) -> AddressResponse {
        let AppServiceEnvironment { public_address, internal_address, outbound_addresses, app_addresses, .. } =
            environment;
        let outbound = if outbound_addresses.is_empty() {
            public_address.iter().copied().collect()
        } else {
            outbound_addresses.clone()
        };
        let mappings = app_addresses.iter().map(|app| VirtualIpMapping {
            virtual_ip: app.address,
            internal_http_port: app.http_port,
            internal_https_port: app.https_port,
            in_use: true,
            service_name: None,
        });
        AddressResponse {
            service_ip_address: *public_address,
            internal_ip_address: internal_address.filter(|_| environment.load_balancing.is_internal()),
            outbound_ip_addresses: outbound,
            vip_mappings: mappings.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vnet::AppAddress;
    use crate::vnet::samples::worked;

    #[test]
    fn addresses_and_pairs_of_ports() {
        let mut environment = worked().environments.remove(0);
        let id = ResourceId {
            subscription: "s",
            resource_group: "g",
            kind: "Microsoft.Web/hostingEnvironments",
            name: "ase",
        };
        let json = |shape| serde_json::to_string(&Addresses::of(&environment, &id, shape)).unwrap();
        let flat = r#"{"serviceIpAddress":"203.0.113.9","internalIpAddress":"192.168.251.132","outboundIpAddresses":["203.0.113.9"],"vipMappings":[]}"#;
        assert_eq!(json(AddressShape::Flat), flat);
        let envelope = concat!(
            r#"{"id":"/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/hostingEnvironments/ase/capacities/virtualip","#,
            r#""name":"virtualip","type":"Microsoft.Web/hostingEnvironments/capacities","properties":"#
        );
        assert_eq!(json(AddressShape::Resource), format!("{envelope}{flat}}}"));
        let app = AppAddress { address: "203.0.113.20".parse().unwrap(), http_port: 20_000, https_port: 20_001 };
        environment.app_addresses.push(app);
        let json = serde_json::to_value(AddressResponse::of(&environment)).unwrap();
        assert_eq!(
            json["vipMappings"][0].to_string(),
            r#"{"inUse":true,"internalHttpPort":20000,"internalHttpsPort":20001,"serviceName":null,"virtualIP":"203.0.113.20"}"#
        );
    }
}
