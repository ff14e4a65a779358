//! `egret gateway`: the nftables rules that hand clients' connections over to `egret serve`.

use clap::Subcommand;
use clap::builder::FalseyValueParser;
use serde::Serialize;
use serde_json::Value;

use super::args::{GatewayArgs, PolicyArgs};
use super::handover::Claim;
use super::output::{Format, PrintError, Printer};
use super::{Exit, UsageError};
use crate::config::{self, DefaultFile, Loaded};
use crate::net::nft::{self, InForce, Spec};

const EXAMPLES: &str = "\
Examples:
  egret gateway up --gateway 0.0.0.0:3129 --interface veth0  hand over what comes in by veth0
  egret gateway up --gateway 0.0.0.0:3129 --print | sudo sh  read it first, or have somebody else run it
  egret gateway show                                         what is in force
  egret gateway down                                         remove it all";

/// The kernel's part of the gateway: write, remove or show its nftables rules (Linux)
///
/// `egret serve` with a gateway writes and removes them by itself, unless it is told --gateway-rules leave: then they
/// outlive it, and while nobody listens what clients send is dropped. They are one nftables table, inet egret, and
/// for TPROXY a routing rule and a route a family. Nobody else's are touched. Without --interface nothing at all is
/// forwarded by this machine past Egret, for its containers and virtual machines neither: name the clients'
/// interfaces where it does other work too.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Up(Box<Up>),
    Down(Down),
    Show(Show),
}

/// Write the rules, in place of those that Egret wrote before
///
/// They need root or CAP_NET_ADMIN, nft and ip. The configuration and its flags are those of `egret serve`; of the
/// policy only the destinations of DNAT rules count.
#[derive(Debug, clap::Args)]
struct Up {
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    print: Print,
}

/// Remove whatever Egret wrote, and nothing else; without any it is done at once
#[derive(Debug, clap::Args)]
struct Down {
    #[command(flatten)]
    print: Print,
}

#[derive(Debug, clap::Args)]
struct Print {
    /// Print a shell script that does it, and do nothing
    #[arg(long, env = "EGRET_PRINT", value_parser = FalseyValueParser::new())]
    print: bool,
}

/// Show what of it is in force
#[derive(Debug, clap::Args)]
struct Show {
    /// How to print it
    #[arg(long, env = "EGRET_FORMAT", value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(args: Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    match args.action {
        Action::Up(args) => up(*args, printer)?,
        Action::Down(Down { print: Print { print: true } }) => printer.bytes(nft::down_script().as_bytes())?,
        Action::Down(Down { print: Print { print: false } }) => down(printer)?,
        Action::Show(Show { format }) => show(format, printer)?,
    }
    Ok(Exit::Clean)
}

fn up(args: Up, printer: &mut Printer) -> anyhow::Result<()> {
    let Up { policy, gateway, print: Print { print } } = args;
    let Loaded { config, warnings, .. } = config::load(&gateway.over(policy.into_overrides()), DefaultFile::Read)?;
    warnings.iter().for_each(|warning| printer.warn(&warning.one_line()));
    let spec = Spec::of(&config.gateway, &config.rules).map_err(|error| UsageError(error.to_string()))?;
    if print {
        return Ok(printer.bytes(nft::up_script(&spec).as_bytes())?);
    }
    let _claim = Claim::take()?;
    nft::warnings(&spec).iter().for_each(|warning| printer.warn(warning));
    nft::up(&spec)?;
    printer
        .tell("the gateway's rules are in force; `egret gateway show` prints them, `egret gateway down` removes them");
    Ok(())
}

fn down(printer: &mut Printer) -> anyhow::Result<()> {
    nft::down()?;
    printer.tell("no rule of Egret's is in force");
    Ok(())
}

/// What `egret gateway show --format json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    in_force: bool,
    /// The objects of `nft -j list table`.
    nftables: Value,
    routing: &'a [String],
}

fn show(format: Format, printer: &mut Printer) -> anyhow::Result<()> {
    let now = nft::in_force()?;
    match format {
        Format::Text => show_text(&now, printer)?,
        Format::Json => show_json(&now, printer)?,
    }
    if let Some(what) = now.lack() {
        printer.warn(what);
    }
    Ok(())
}

fn show_text(InForce { table, routing }: &InForce, printer: &mut Printer) -> Result<(), PrintError> {
    match table {
        Some(table) => printer.line(table.trim_end())?,
        None => printer.line("no rule of Egret's is in force")?,
    }
    routing.iter().try_for_each(|command| printer.line(command))
}

fn show_json(InForce { table, routing }: &InForce, printer: &mut Printer) -> anyhow::Result<()> {
    let mut listed: Value = nft::table_json()?.map_or(Ok(Value::Null), |text| serde_json::from_str(&text))?;
    let nftables = listed.get_mut("nftables").map_or(Value::Null, Value::take);
    Ok(printer.json(&Shown { in_force: table.is_some(), nftables, routing })?)
}
