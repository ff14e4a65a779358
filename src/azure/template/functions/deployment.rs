//! Where a template is deployed: subscription, resource group, cloud. There are defaults, and `--set` changes them:
//! `--set 'resourceGroup().location=northeurope'`.

use super::super::eval::Machine;
use super::super::meter::Stop;
use super::super::scope::{Env, Held, Level, Place};
use super::super::{ids, value};
use crate::azure::json::{Node, Value};

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
const NAME: &str = "egret";
const LOCATION: &str = "westeurope";

/// Where the outermost template goes.
pub(in super::super) fn main_place(machine: &mut Machine<'_>, level: Level) -> Place {
    let mut given = |name: &str, other: &str| {
        let set = machine.set_text(name);
        value::text(set.unwrap_or(other))
    };
    Place {
        level,
        subscription: given("subscription().subscriptionId", NOBODY),
        group: given("resourceGroup().name", NAME),
        location: match level {
            Level::Group => given("resourceGroup().location", LOCATION),
            _ => given("deployment().location", LOCATION),
        },
        deployment: given("deployment().name", NAME),
    }
}

impl<'t> Machine<'t> {
    /// Members that are not here are unknown: `{deployment().properties.templateLink.uri}`.
    pub(super) fn surroundings(&mut self, name: &str, arguments: &[Held], env: &Env<'t>) -> Result<Held, Stop> {
        let place = &env.place;
        let (shown, members) = match name {
            "subscription" => ("subscription()", self.subscription(place)?),
            "resourcegroup" => ("resourceGroup()", self.resource_group(place)?),
            "tenant" => ("tenant()", vec![("tenantId", value::text(NOBODY)), ("displayName", value::text(NAME))]),
            "managementgroup" => ("managementGroup()", management_group()),
            "deployment" => ("deployment()", deployment(place)),
            "environment" => ("environment()", self.environment()),
            _ => ("deployer()", vec![("tenantId", value::text(NOBODY)), ("objectId", value::text(NOBODY))]),
        };
        if !arguments.is_empty() {
            return Err(Stop::Wrong(format!("{shown} takes no arguments")));
        }
        if let Some(set) = self.set_value(shown) {
            return Ok(self.made(set));
        }
        Ok(Held::opened(Node::new(value::object(members, self.at), self.at), shown))
    }

    fn subscription(&mut self, place: &Place) -> Result<Vec<(&'static str, Value)>, Stop> {
        Ok(vec![
            ("id", ids::subscription_prefix(&place.subscription, &mut self.meter)?),
            ("subscriptionId", place.subscription.clone()),
            ("tenantId", value::text(NOBODY)),
            ("displayName", value::text(NAME)),
        ])
    }

    fn resource_group(&mut self, place: &Place) -> Result<Vec<(&'static str, Value)>, Stop> {
        Ok(vec![
            ("id", ids::group_prefix(&place.subscription, &place.group, &mut self.meter)?),
            ("name", place.group.clone()),
            ("type", value::text("Microsoft.Resources/resourceGroups")),
            ("location", place.location.clone()),
            ("tags", value::object([], self.at)),
        ])
    }

    /// The public cloud.
    fn environment(&self) -> Vec<(&'static str, Value)> {
        let suffixes = [
            ("acrLoginServer", ".azurecr.io"),
            ("azureDatalakeAnalyticsCatalogAndJob", "azuredatalakeanalytics.net"),
            ("azureDatalakeStoreFileSystem", "azuredatalakestore.net"),
            ("azureFrontDoorEndpointSuffix", "azurefd.net"),
            ("keyvaultDns", ".vault.azure.net"),
            ("sqlServerHostname", ".database.windows.net"),
            ("storage", "core.windows.net"),
        ];
        let authentication = [
            ("loginEndpoint", value::text("https://login.microsoftonline.com/")),
            ("tenant", value::text("common")),
            ("identityProvider", value::text("AAD")),
        ];
        let mut members = vec![
            ("name", value::text("AzureCloud")),
            ("authentication", value::object(authentication, self.at)),
            ("suffixes", value::object(suffixes.map(|(name, suffix)| (name, value::text(suffix))), self.at)),
        ];
        let endpoints = [
            ("gallery", "https://gallery.azure.com/"),
            ("graph", "https://graph.windows.net/"),
            ("portal", "https://portal.azure.com"),
            ("resourceManager", "https://management.azure.com/"),
            ("sqlManagement", "https://management.core.windows.net:8443/"),
            ("batch", "https://batch.core.windows.net/"),
        ];
        members.extend(endpoints.map(|(name, endpoint)| (name, value::text(endpoint))));
        members
    }
}

fn management_group() -> Vec<(&'static str, Value)> {
    let id = format!("/providers/Microsoft.Management/managementGroups/{NAME}");
    vec![("id", value::text(id)), ("name", value::text(NAME))]
}

/// What `properties` hold, such as the address of the template, is known to Azure only.
fn deployment(place: &Place) -> Vec<(&'static str, Value)> {
    vec![("name", place.deployment.clone()), ("location", place.location.clone())]
}
