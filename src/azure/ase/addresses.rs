//! `capacities/virtualip`: the addresses of an environment, and the pairs of ports behind those of single apps.

use std::net::IpAddr;

use serde::Serialize;

use crate::vnet::AppServiceEnvironment;

/// `AddressResponse`, as Microsoft.Web answers it: without an envelope.
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

impl AddressResponse {
    pub fn of(environment: &AppServiceEnvironment) -> AddressResponse {
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
        let json = serde_json::to_string(&AddressResponse::of(&environment)).unwrap();
        assert_eq!(
            json,
            r#"{"serviceIpAddress":"203.0.113.9","internalIpAddress":"192.168.251.132","outboundIpAddresses":["203.0.113.9"],"vipMappings":[]}"#
        );
        let app = AppAddress { address: "203.0.113.20".parse().unwrap(), http_port: 20_000, https_port: 20_001 };
        environment.app_addresses.push(app);
        let json = serde_json::to_value(AddressResponse::of(&environment)).unwrap();
        assert_eq!(
            json["vipMappings"][0].to_string(),
            r#"{"inUse":true,"internalHttpPort":20000,"internalHttpsPort":20001,"serviceName":null,"virtualIP":"203.0.113.20"}"#
        );
    }
}
