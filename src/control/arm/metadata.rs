//! `/metadata/endpoints`, which tells a tool what belongs to a cloud: `az cloud register` asks for it.
//!
//! The shape is public Azure's of 2022-09-01, as far as the Azure CLI reads it; what is told is the emulator's. Nobody can
//! log in here: as its own login endpoint it keeps a tool from asking a real one on its behalf.

use serde::Serialize;

use crate::azure::ase::ArmError;
use crate::vnet::Cloud;

/// The one version there is.
pub(super) const VERSION: &str = "2022-09-01";

pub(super) const METHODS: &str = "GET, HEAD";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoints {
    name: &'static str,
    resource_manager: String,
    authentication: Authentication,
    suffixes: Suffixes,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Authentication {
    login_endpoint: String,
    audiences: [String; 1],
    tenant: &'static str,
    identity_provider: &'static str,
}

/// Of the cloud that the topology is in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Suffixes {
    acr_login_server: &'static str,
    key_vault_dns: &'static str,
    sql_server_hostname: &'static str,
    storage: &'static str,
}

/// Is it this path? Nobody needs a token for it, as with Azure.
pub(in super::super) fn is_metadata(path: &str) -> bool {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.map(str::to_ascii_lowercase).eq(["metadata", "endpoints"])
}

/// `host` is where whoever asks found the admin server.
///
/// # Errors
/// Another version.
pub(super) fn endpoints(host: &str, cloud: Cloud, version: &str) -> Result<Endpoints, ArmError> {
    if version != VERSION {
        return Err(ArmError::InvalidApiVersionParameter(version.to_owned(), VERSION.to_owned()));
    }
    let own = format!("http://{host}/");
    let authentication = Authentication {
        login_endpoint: own.clone(),
        audiences: [own.clone()],
        tenant: "common",
        identity_provider: "AAD",
    };
    Ok(Endpoints { name: "Egret", resource_manager: own, authentication, suffixes: Suffixes::of(cloud) })
}

impl Suffixes {
    fn of(cloud: Cloud) -> Suffixes {
        let (acr_login_server, key_vault_dns, sql_server_hostname, storage) = match cloud {
            Cloud::Public => ("azurecr.io", "vault.azure.net", "database.windows.net", "core.windows.net"),
            Cloud::UsGov => {
                ("azurecr.us", "vault.usgovcloudapi.net", "database.usgovcloudapi.net", "core.usgovcloudapi.net")
            }
            Cloud::China => ("azurecr.cn", "vault.azure.cn", "database.chinacloudapi.cn", "core.chinacloudapi.cn"),
        };
        Suffixes { acr_login_server, key_vault_dns, sql_server_hostname, storage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape() {
        let told = endpoints("127.0.0.1:9315", Cloud::Public, VERSION).unwrap();
        assert_eq!(
            serde_json::to_string(&told).unwrap(),
            concat!(
                r#"{"name":"Egret","resourceManager":"http://127.0.0.1:9315/","authentication":{"#,
                r#""loginEndpoint":"http://127.0.0.1:9315/","audiences":["http://127.0.0.1:9315/"],"tenant":"common","#,
                r#""identityProvider":"AAD"},"suffixes":{"acrLoginServer":"azurecr.io","keyVaultDns":"vault.azure.net","#,
                r#""sqlServerHostname":"database.windows.net","storage":"core.windows.net"}}"#
            )
        );
        let refused = endpoints("127.0.0.1:9315", Cloud::Public, "2015-01-01").unwrap_err();
        assert_eq!(refused.code(), "InvalidApiVersionParameter");
    }

    #[test]
    fn paths() {
        assert!(is_metadata("/metadata/endpoints") && is_metadata("/Metadata/Endpoints/"));
        assert!(!is_metadata("/metadata") && !is_metadata("/metadata/endpoints/x") && !is_metadata("/"));
    }
}
