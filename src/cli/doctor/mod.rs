//! `egret doctor`: would this App Service Environment stay healthy in this network, behind this firewall?

mod catalogue;
mod fix;
mod github;
mod json;
mod junit;
mod live;
mod report;
mod sarif;
mod text;

use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};

use super::args::{PolicyArgs, given, one};
use super::output::Printer;
use super::{Exit, UsageError};
use crate::config::{self, DefaultFile, Overrides, TopologyBy};
use crate::doctor::{self, Rule, Severity};
use crate::flow::nearest;

use fix::Existing;
use report::Report;

const EXAMPLES: &str = "\
Examples:
  egret doctor vnet.toml                            would the environment stay healthy?
  egret doctor --policy policy.json azuredeploy.json   a network as templates have it, behind this policy
  egret doctor --format junit vnet.toml > doctor.xml   a test case for each rule
  egret doctor --severity degraded vnet.toml        what degrades it fails too
  egret doctor --fix mended/ vnet.toml              what mends it, as a template and as az commands
  egret doctor --live vnet.toml                     and does a running Egret get everywhere?
  egret doctor --about IN-MGMT                      what is that, and who says so?

Exits with 3 when there is a finding of --severity or worse; with 2 when nothing could be
examined. docs/doctor.md has a section for every rule.";

/// Would this App Service Environment stay healthy in this network, behind this firewall?
///
/// Asks every rule that is known to break one: security groups, routes, service endpoints, DNS and the firewall's
/// policy. Nothing is sent and no name is resolved.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Topologies, in place of EGRET_TOPOLOGY and egret.toml: vnet.toml, or templates with the network in them
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<String>,
    /// The environment to look at, where there are several; all of them where not given
    #[arg(long, env = "EGRET_ENVIRONMENT", value_name = "NAME")]
    environment: Option<String>,
    /// The least bad finding that makes it exit with 3
    #[arg(long, env = "EGRET_SEVERITY", value_enum, default_value = "unhealthy")]
    severity: Threshold,
    /// A rule to leave out; more than once for several
    #[arg(long, env = "EGRET_IGNORE", value_name = "RULE", value_delimiter = ';')]
    ignore: Vec<String>,
    /// How to answer
    #[arg(long, env = "EGRET_FORMAT", value_enum, default_value = "text")]
    format: Format,
    /// Write what mends the findings into a folder: fix.json, fix.sh, and the network and its policy as they are then
    #[arg(long, env = "EGRET_FIX", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    fix: Option<PathBuf>,
    /// Let --fix overwrite files that are there
    #[arg(long, env = "EGRET_FORCE", value_parser = clap::builder::FalseyValueParser::new())]
    force: bool,
    /// Name every rule, and examine nothing
    #[arg(long, env = "EGRET_LIST", value_parser = clap::builder::FalseyValueParser::new())]
    list: bool,
    /// Explain a rule, and examine nothing
    #[arg(long, env = "EGRET_ABOUT", value_name = "RULE")]
    about: Option<String>,
    #[command(flatten)]
    live: live::LiveArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// For code scanning, SARIF 2.1.0
    Sarif,
    /// A test case for each rule
    Junit,
    /// Annotations of GitHub Actions
    Github,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Threshold {
    /// It stops working; long enough, and it is suspended
    Suspended,
    /// It goes unhealthy, or cannot be made
    Unhealthy,
    /// It is watched, repaired or scaled less well
    Degraded,
    /// Apps or the portal lose something
    App,
    /// Everything
    Advice,
}

impl From<Threshold> for Severity {
    fn from(threshold: Threshold) -> Severity {
        match threshold {
            Threshold::Suspended => Severity::Suspended,
            Threshold::Unhealthy => Severity::Unhealthy,
            Threshold::Degraded => Severity::Degraded,
            Threshold::App => Severity::App,
            Threshold::Advice => Severity::Advice,
        }
    }
}

pub(super) fn run(args: Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Args { files, environment, severity, ignore, format, fix, force, list, about, live, policy } = args;
    if let Some(id) = one(about) {
        catalogue::explain(known(&id)?, format, printer)?;
        return Ok(Exit::Clean);
    }
    if list {
        catalogue::list(format, printer)?;
        return Ok(Exit::Clean);
    }
    let ignored = given(ignore).iter().map(|id| known(id)).collect::<Result<Vec<_>, _>>()?;
    let loaded = config::load(&overrides(given(files), policy), DefaultFile::Read)?;
    loaded.warnings.iter().for_each(|warning| printer.warn(&warning.one_line()));
    let report = Report::new(loaded, one(environment).as_deref(), &ignored)?;
    let tried = live::look(&live, &report)?;
    match format {
        Format::Text => {
            text::print(&report, printer)?;
            live::print(&tried, printer)?;
        }
        Format::Json => printer.json(&live::beside(json::whole(&report), &tried))?,
        Format::Sarif => printer.json(&sarif::log(&report, &tried))?,
        Format::Junit => junit::print(&report, &tried, severity.into(), printer)?,
        Format::Github => github::print(&report, &tried, printer)?,
    }
    let worst = match fix.filter(|path| !path.as_os_str().is_empty()) {
        Some(folder) => {
            let existing = if force { Existing::Overwrite } else { Existing::Keep };
            fix::write(&report, &folder, existing, &ignored, printer)?
        }
        None => report.worst(),
    };
    let fails = worst.is_some_and(|worst| worst >= severity.into()) || !live::is_reached(&tried);
    Ok(if fails { Exit::Denied } else { Exit::Clean })
}

fn overrides(files: Vec<String>, policy: PolicyArgs) -> Overrides {
    let flags = policy.into_overrides();
    // Files that are named stand for themselves, wherever this is run; what is typed beside them counts too.
    let topology = match flags.topology_by {
        TopologyBy::Variable if !files.is_empty() => Vec::new(),
        _ => flags.topology,
    };
    Overrides { topology, topology_words: files, ..flags }
}

fn known(id: &str) -> Result<&'static Rule, UsageError> {
    let unknown = || {
        let near = nearest(&id.to_ascii_uppercase(), doctor::rules().map(|rule| rule.id));
        let hint = near.map(|near| format!("; did you mean `{near}`?"));
        let hint = hint.unwrap_or_else(|| "; `egret doctor --list` names them".to_owned());
        UsageError(format!("`{id}` is no rule{hint}"))
    };
    doctor::rule(id).ok_or_else(unknown)
}
