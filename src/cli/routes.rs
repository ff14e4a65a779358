//! `egret routes`: the route table of an environment behind a firewall, for Azure's tools.

use std::net::IpAddr;

use clap::ValueEnum;
use clap::builder::FalseyValueParser;

use super::around::{Common, Surveyed};
use super::output::Printer;
use super::{Exit, UsageError};
use crate::azure::watcher;
use crate::config::client_of_subnet;
use crate::telemetry::Printable;
use crate::vnet::recipe::{self, MOST_ROUTES, RouteRecipe};
use crate::vnet::{AppServiceEnvironment, AseVersion, Change, Network, Place};

const EXAMPLES: &str = "\
Examples:
  egret routes --ase vnet.toml --to az-cli > routes.sh
  egret routes --ase vnet.toml --to arm --out routes.json
  egret routes --ase vnet.toml --to powershell --management addresses --ip-dependencies
  egret routes --ase vnet.toml --effective table
  egret routes --topology vnet.toml --effective az --subnet hub/AzureFirewallSubnet

The management addresses, by their service tag or one by one, and what else must not go through the firewall have the
next hop Internet; all else goes to the firewall; the table is put on the environment's subnet. See docs/scripts.md.";

/// Write the route table of an App Service Environment behind a firewall
///
/// As a script or a template that can be run again. Nothing is sent to Azure.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How the way back to App Service is written
    #[arg(long, env = "EGRET_MANAGEMENT", value_enum, default_value = "tag")]
    management: Management,
    /// Routes to the Internet for the addresses that the document of 2018 names as dependencies
    #[arg(long, env = "EGRET_IP_DEPENDENCIES", value_parser = FalseyValueParser::new())]
    ip_dependencies: bool,
    /// The firewall's private address [default: the topology's]
    #[arg(long, env = "EGRET_FIREWALL", value_name = "ADDRESS")]
    firewall: Option<String>,
    /// Print the effective routes that a subnet has in the topology instead, as Azure's tools do
    #[arg(long, env = "EGRET_EFFECTIVE", value_enum, value_name = "FORMAT")]
    effective: Option<Effective>,
    /// The subnet whose effective routes are printed [default: the environment's]
    #[arg(long, env = "EGRET_SUBNET", value_name = "[VNET/]SUBNET")]
    subnet: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Management {
    /// One route with the service tag AppServiceManagement
    Tag,
    /// The addresses that were published last, one by one
    Addresses,
    /// Every prefix of the service tag
    Prefixes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Effective {
    /// As `az network nic show-effective-route-table -o table` prints them
    Table,
    /// The same as JSON
    Az,
    /// As Resource Manager answers `effectiveRouteTable`
    Arm,
}

impl From<Management> for recipe::Management {
    fn from(management: Management) -> recipe::Management {
        match management {
            Management::Tag => recipe::Management::Tag,
            Management::Addresses => recipe::Management::Addresses,
            Management::Prefixes => recipe::Management::Prefixes,
        }
    }
}

pub(super) fn run(args: Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Args { management, ip_dependencies, firewall, effective, subnet, common } = args;
    let firewall = firewall.filter(|text| !text.is_empty()).map(|text| address(&text)).transpose()?;
    let subnet = subnet.filter(|name| !name.is_empty());
    if subnet.is_some() && effective.is_none() {
        return Err(UsageError("--subnet is for --effective: the recipe is that of an environment".to_owned()).into());
    }
    if let Some(format) = effective {
        let surveyed = common.survey(printer)?;
        return surveyed.put(&effective_routes(&surveyed, subnet.as_deref(), format)?, printer);
    }
    let around = common.load(printer)?;
    let recipe = RouteRecipe { table: around.name.clone(), management: management.into(), ip_dependencies, firewall };
    let (network, environment) = (&around.network, &around.environment);
    let changes = recipe::routes(network.topology(), environment, network.tags(), &recipe);
    let changes = changes.map_err(|error| UsageError(error.to_string()))?;
    let routes = changes.iter().filter(|change| matches!(change, Change::Route { .. })).count();
    if routes > MOST_ROUTES {
        printer
            .warn(&format!("{routes} routes: Azure takes {MOST_ROUTES} in a table; write the tag (--management tag)"));
    }
    if management == Management::Addresses {
        printer.warn("addresses that were published one by one cover a part of the service tag: see docs/scripts.md");
    }
    warn_of_endpoints(network, environment, printer);
    let remark = format!("The routes of the App Service Environment {}, written by egret routes.", environment.name);
    around.write(&changes, &remark, printer)
}

/// What the documents have on the subnet before its default route leads to a firewall (Locking down an App Service
/// Environment, 2023-11-20).
const ENDPOINTS: [&str; 3] = ["Microsoft.Sql", "Microsoft.Storage", "Microsoft.EventHub"];

/// The table alone would take the environment's own database and storage away.
fn warn_of_endpoints(network: &Network, environment: &AppServiceEnvironment, printer: &mut Printer) {
    let Ok(place) = place_of(network, environment) else { return };
    let subnet = network.subnet(place);
    let missing: Vec<&str> = ENDPOINTS.into_iter().filter(|service| !subnet.has_endpoint(service)).collect();
    if environment.version < AseVersion::V3 && !missing.is_empty() {
        printer.warn(&format!(
            "behind a firewall the subnet `{}` needs service endpoints for {} too: `egret doctor --fix` writes them",
            Printable(&subnet.name),
            missing.join(", ")
        ));
    }
}

fn effective_routes(surveyed: &Surveyed, subnet: Option<&str>, format: Effective) -> anyhow::Result<String> {
    let network = &surveyed.network;
    let place = match subnet {
        Some(name) => {
            client_of_subnet(Some(network), name).map_err(|why| UsageError(format!("--subnet: {why}")))?.place
        }
        None => place_of(network, surveyed.environment()?)?,
    };
    let routes = network.effective_routes(place);
    Ok(match format {
        Effective::Table => watcher::table(routes),
        Effective::Az => serde_json::to_string_pretty(&watcher::cli_routes(network, place))? + "\n",
        Effective::Arm => serde_json::to_string_pretty(&watcher::effective_routes(routes))? + "\n",
    })
}

fn place_of(network: &Network, environment: &AppServiceEnvironment) -> Result<Place, UsageError> {
    let place = network.place(&environment.virtual_network, &environment.subnet);
    place.ok_or_else(|| UsageError(format!("the environment {} is in no subnet of the topology", environment.name)))
}

fn address(text: &str) -> Result<IpAddr, UsageError> {
    text.parse().map_err(|_| UsageError(format!("--firewall: `{text}` is no address, such as 10.0.1.4")))
}
