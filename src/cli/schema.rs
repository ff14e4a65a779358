//! `egret schema`

use super::Exit;
use super::output::Printer;
use crate::config;

/// Print the JSON schema of egret.toml
///
/// Editors complete and check egret.toml with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  egret schema > egret.schema.json")]
pub(super) struct Args {}

pub(super) fn run(args: &Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Args {} = args;
    printer.json(&config::schema())?;
    Ok(Exit::Clean)
}
