//! `egret nsg`: the network security group of an environment, for Azure's tools.

use clap::builder::FalseyValueParser;

use super::around::Common;
use super::output::Printer;
use super::{Exit, UsageError};
use crate::vnet::recipe::{self, Rest, SecurityRecipe};

const EXAMPLES: &str = "\
Examples:
  egret nsg --ase vnet.toml --to az-cli > nsg.sh
  egret nsg --ase vnet.toml --to arm --deny-rest --out nsg.json
  egret nsg --ase vnet.toml --to terraform --name ase-nsg

What the environment needs, by its version, kind and features, is allowed; the group is put on its subnet. Without
--deny-rest Azure's default rules decide of the rest. See docs/scripts.md.";

/// Write the network security group of an App Service Environment
///
/// As a script or a template that can be run again. Nothing is sent to Azure.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A last rule denies all else, in both directions
    #[arg(long, env = "EGRET_DENY_REST", value_parser = FalseyValueParser::new())]
    deny_rest: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Args { deny_rest, common } = args;
    let around = common.load(printer)?;
    let rest = if deny_rest { Rest::Deny } else { Rest::Default };
    let recipe = SecurityRecipe { group: around.name.clone(), rest };
    let changes = recipe::security(around.network.topology(), &around.environment, &recipe);
    let changes = changes.map_err(|error| UsageError(error.to_string()))?;
    let name = &around.environment.name;
    let remark = format!("The security group of the App Service Environment {name}, written by egret nsg.");
    around.write(&changes, &remark, printer)
}
