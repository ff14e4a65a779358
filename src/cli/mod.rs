//! The command line: arguments in, an exit code out.
//!
//! A file a subcommand; [`output`] is the only printer, and `anyhow` is used nowhere else in the program.

mod allowlist;
mod annotation;
mod args;
mod around;
mod asker;
mod asking;
mod banner;
mod check;
mod completions;
mod convert;
mod doctor;
#[cfg(target_os = "linux")]
mod gateway;
mod handover;
mod lint;
mod manager;
mod nsg;
mod output;
mod portfile;
mod ready;
mod rights;
mod routes;
mod run;
mod sarif;
mod schema;
mod serve;
mod signals;
mod trace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::{OsStr, Resettable};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::allowlist::UnknownList;
use crate::config::ConfigErrors;

use output::{PrintError, Printer};

/// What the shell is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Clean,
    Usage,
    Denied,
    /// `convert` wrote less than there was.
    Lossy,
    Failed,
    /// What `run` was told to pass on, or found itself.
    Child(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Clean => 0,
            Exit::Usage => 2,
            Exit::Denied | Exit::Lossy => 3,
            Exit::Failed => 4,
            Exit::Child(code) => code,
        })
    }
}

/// The caller asked for something that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

const EXIT_CODES: &str = "\
Exit codes:
  0  clean
  2  the command line or the configuration is wrong
  3  the policy denied something (check; run, with a command that succeeded) or is wrong (lint),
     or a flow does not get through both ways (trace),
     an environment would not stay healthy (doctor),
     or a format has no words for all of it (convert)
  4  Egret itself failed
run gives the command's own code otherwise, 126, 127 and 128+n as a shell does.";

const EXAMPLES: &str = "\
Examples:
  egret serve                                       the built-in policy on 127.0.0.1:3128
  egret serve --policy ase --allow '*.contoso.com'  the same, and hosts of your own
  egret run -- make test                            one command, and a report of what it was denied
  egret check https://login.windows.net             what would the policy say?
  egret check --explain https://example.com         and why?
  egret lint policy.json                            what is wrong with a policy?
  egret doctor vnet.toml                            would this App Service Environment stay healthy?
  egret convert --to bicep policy.json              the same policy in another format
  egret trace --topology vnet.toml ase internet:443 one flow through the network around the firewall, and back
  egret allowlist show ase                          what the default policy allows";

/// An Azure Firewall for laptops and CI.
///
/// Filters real egress by SNI, Host header and address, with Azure Firewall's own rules and order, and says of
/// every flow what was decided and why.
#[derive(Debug, Parser)]
#[command(name = "egret", version, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
#[command(arg_required_else_help = true, max_term_width = 110, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Args>),
    Run(Box<run::Args>),
    Check(Box<check::Args>),
    Lint(Box<lint::Args>),
    Doctor(Box<doctor::Args>),
    Allowlist(allowlist::Args),
    Convert(Box<convert::Args>),
    Trace(Box<trace::Args>),
    Routes(Box<routes::Args>),
    Nsg(Box<nsg::Args>),
    #[cfg(target_os = "linux")]
    Gateway(gateway::Args),
    Schema(schema::Args),
    Ready(ready::Args),
    Completions(completions::Args),
}

/// Runs the command that `args` say; the first of them is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    #[cfg(target_os = "linux")]
    if let Some(code) = run::stage(&args) {
        return code;
    }
    let mut printer = Printer::new();
    let cli = match parse(trace::without_arrow(args)) {
        Ok(cli) => cli,
        Err(refusal) => return output::usage(&refusal).into(),
    };
    start_diagnostics();
    let done = match cli.command {
        Command::Serve(args) => serve::run(*args, &mut printer),
        Command::Run(args) => run::run(*args, &mut printer),
        Command::Check(args) => check::run(*args, &mut printer),
        Command::Lint(args) => lint::run(*args, &mut printer),
        Command::Doctor(args) => doctor::run(*args, &mut printer),
        Command::Allowlist(args) => allowlist::run(&args, &mut printer),
        Command::Convert(args) => convert::run(*args, &mut printer),
        Command::Trace(args) => trace::run(*args, &mut printer),
        Command::Routes(args) => routes::run(*args, &mut printer),
        Command::Nsg(args) => nsg::run(*args, &mut printer),
        #[cfg(target_os = "linux")]
        Command::Gateway(args) => gateway::run(args, &mut printer),
        Command::Schema(args) => schema::run(&args, &mut printer),
        Command::Ready(args) => ready::run(&args, &mut printer),
        Command::Completions(args) => completions::run(&args, &mut printer),
    };
    let done = done.and_then(|exit| match printer.flush() {
        // What was asked is known, whoever reads it.
        Ok(()) | Err(PrintError::Closed) => Ok(exit),
        Err(error) => Err(error.into()),
    });
    done.unwrap_or_else(|error| explain(&error, &mut printer)).into()
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = without_empty_variables(Cli::command());
    let matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// A variable that is set to nothing says nothing, whatever its flag would make of an empty text.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| match arg.get_env().is_some_and(is_empty) {
        true => arg.env(Resettable::<OsStr>::Reset),
        false => arg,
    });
    command.mut_subcommands(without_empty_variables)
}

/// Says what went wrong, and whose fault it was.
fn explain(error: &anyhow::Error, printer: &mut Printer) -> Exit {
    if let Some(PrintError::Closed) = error.downcast_ref() {
        // Whoever read this has seen enough.
        return Exit::Clean;
    }
    if let Some(errors) = error.downcast_ref::<ConfigErrors>() {
        printer.tell(&errors.to_string());
        return Exit::Usage;
    }
    printer.error(&format!("{error:#}"));
    let usage = error.is::<UsageError>() || error.is::<UnknownList>();
    if usage { Exit::Usage } else { Exit::Failed }
}

/// Egret's own troubles, on standard error. The flow log is another matter.
fn start_diagnostics() {
    let level = std::env::var("EGRET_LOG_LEVEL").ok().filter(|level| !level.is_empty());
    let filter = level.and_then(|level| EnvFilter::try_new(level).ok()).unwrap_or_else(|| EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(output::stderr_is_coloured())
        .with_target(false);
    // A second one in the same process, as in tests, is none too many.
    let _ = subscriber.try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(root: &clap::Command) -> Vec<&clap::Command> {
        let below = root.get_subcommands().flat_map(commands);
        std::iter::once(root).chain(below).collect()
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_twin_in_the_environment() {
        let root = Cli::command();
        let mut seen = 0;
        for command in commands(&root) {
            for flag in command.get_arguments().filter_map(|arg| arg.get_long().map(|long| (long, arg))) {
                let (long, arg) = flag;
                let twin = format!("EGRET_{}", long.replace('-', "_").to_uppercase());
                assert_eq!(arg.get_env().and_then(|env| env.to_str()), Some(twin.as_str()), "--{long}");
                seen += 1;
            }
        }
        assert!(seen > 20);
    }

    #[test]
    fn every_command_and_flag_is_in_the_manual() {
        let manual = include_str!("../../docs/cli.md");
        let root = Cli::command();
        for command in root.get_subcommands() {
            assert!(manual.contains(&format!("\n## `egret {}`\n", command.get_name())), "{}", command.get_name());
        }
        for long in commands(&root).iter().flat_map(|it| it.get_arguments()).filter_map(|arg| arg.get_long()) {
            assert!(manual.contains(&format!("| `--{long}")), "--{long}");
        }
    }

    #[test]
    fn every_argument_is_explained() {
        let root = Cli::command();
        for command in commands(&root) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
        }
    }
}
