//! `egret schema`

use super::Exit;
use super::output::Printer;
use crate::config;

/// Print the JSON schema of egret.toml, or of vnet.toml
///
/// Editors complete and check these files with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  egret schema > egret.schema.json\n  egret schema topology > vnet.schema.json")]
pub(super) struct Args {
    /// Of which file
    #[arg(value_enum, default_value = "config")]
    file: File,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum File {
    /// egret.toml
    Config,
    /// vnet.toml
    Topology,
}

pub(super) fn run(args: &Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let schema = match args.file {
        File::Config => config::schema(),
        File::Topology => config::topology_schema(),
    };
    printer.json(&schema)?;
    Ok(Exit::Clean)
}
