//! `egret completions`

use clap::CommandFactory;
use clap_complete::Shell;

use super::output::Printer;
use super::{Cli, Exit};

const EXAMPLES: &str = "\
Examples:
  egret completions bash > ~/.local/share/bash-completion/completions/egret
  egret completions zsh > ~/.zfunc/_egret
  egret completions fish > ~/.config/fish/completions/egret.fish";

/// Print a script that completes Egret's commands in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Args { shell } = args;
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut Cli::command(), "egret", &mut script);
    printer.bytes(&script)?;
    Ok(Exit::Clean)
}
