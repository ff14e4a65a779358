//! What `egret routes` and `egret nsg` share, and `egret doctor` in part: an environment of a topology, and where a script goes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::{ValueEnum, ValueHint};

use super::args::{PolicyArgs, one};
use super::output::Printer;
use super::{Exit, UsageError};
use crate::azure::export::Exported;
use crate::azure::export::network::{self, Script, Site};
use crate::azure::note::Severity;
use crate::config::{self, DefaultFile, Loaded, Overrides, TopologyBy};
use crate::flow::nearest;
use crate::policy::RuleSet;
use crate::vnet::{AppServiceEnvironment, Change, Network, Topology};

/// Which environment, what to write, and where to.
#[derive(Debug, clap::Args)]
#[command(mut_arg("topology", |topology| topology.visible_alias("ase")))]
pub(super) struct Common {
    /// The environment's name, where the topology has several
    #[arg(long, visible_alias = "ase-name", env = "EGRET_ENVIRONMENT", value_name = "NAME")]
    environment: Option<String>,
    /// What to write
    #[arg(long, env = "EGRET_TO", value_enum)]
    to: Option<To>,
    /// Where to; standard output where not given
    #[arg(long, env = "EGRET_OUT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// Its name in Azure [default: the environment's, with what it is]
    #[arg(long, env = "EGRET_NAME", value_name = "NAME")]
    name: Option<String>,
    /// The resource group [default: the topology's; else the script asks for it]
    #[arg(long, env = "EGRET_RESOURCE_GROUP", value_name = "NAME")]
    resource_group: Option<String>,
    /// Azure region [default: the topology's; else the script asks for it]
    #[arg(long, env = "EGRET_LOCATION", value_name = "REGION")]
    location: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// A form that Azure's tools take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// A bash script of az commands
    AzCli,
    /// A script of the Az modules for PowerShell
    #[value(name = "powershell")]
    PowerShell,
    /// A template to deploy
    Arm,
    /// HCL for the provider azurerm
    Terraform,
}

impl From<To> for Script {
    fn from(to: To) -> Script {
        match to {
            To::AzCli => Script::AzCli,
            To::PowerShell => Script::PowerShell,
            To::Arm => Script::Arm,
            To::Terraform => Script::Terraform,
        }
    }
}

/// What a recipe is made from.
pub(super) struct Around {
    pub(super) network: Arc<Network>,
    pub(super) environment: AppServiceEnvironment,
    /// Empty where nobody said.
    pub(super) name: String,
    /// With what flags say of it, and without what is made where it is missing.
    site: Topology,
    to: Option<To>,
    out: Option<PathBuf>,
}

/// A network, and where what is asked of it goes.
pub(super) struct Surveyed {
    pub(super) network: Arc<Network>,
    named: Option<String>,
    out: Option<PathBuf>,
}

impl Surveyed {
    pub(super) fn environment(&self) -> Result<&AppServiceEnvironment, UsageError> {
        chosen(self.network.topology(), self.named.as_deref())
    }

    pub(super) fn put(&self, text: &str, printer: &mut Printer) -> anyhow::Result<Exit> {
        put(self.out.as_deref(), text, printer)
    }
}

impl Common {
    /// Without an environment, which the topology need not have.
    pub(super) fn survey(self, printer: &mut Printer) -> anyhow::Result<Surveyed> {
        let Common { environment, out, policy, to: _, name: _, resource_group: _, location: _ } = self;
        let out = out.filter(|path| !path.as_os_str().is_empty());
        Ok(Surveyed { network: network_of(policy, printer)?, named: one(environment), out })
    }

    pub(super) fn load(self, printer: &mut Printer) -> anyhow::Result<Around> {
        let Common { environment, to, out, name, resource_group, location, policy } = self;
        let network = network_of(policy, printer)?;
        let environment = chosen(network.topology(), one(environment).as_deref())?.clone();
        let mut site = network.topology().clone();
        one(resource_group).into_iter().for_each(|name| site.resource_group = name);
        one(location).into_iter().for_each(|name| site.location = name);
        // The routes are whole: a table of that name is made where there is none. A template would make it anew, without
        // what else is in it, so there it is counted on.
        if to.is_some_and(|to| to != To::Arm) {
            site.route_tables.clear();
        }
        let out = out.filter(|path| !path.as_os_str().is_empty());
        Ok(Around { network, environment, name: one(name).unwrap_or_default(), site, to, out })
    }
}

impl Around {
    pub(super) fn write(&self, changes: &[Change], remark: &str, printer: &mut Printer) -> anyhow::Result<Exit> {
        let what = || UsageError("nothing says what to write: name it, as in --to az-cli".to_owned());
        let to = self.to.ok_or_else(what)?;
        let site = Site { topology: &self.site, rules: &RuleSet::default() };
        let written = network::write(changes, to.into(), &site, Some(remark));
        let Exported { text, notes } = written.map_err(|error| UsageError(error.to_string()))?;
        for note in notes {
            let mend = note.mend.map(|mend| format!("; {mend}")).unwrap_or_default();
            printer.warn(&format!("{}{mend}", note.what));
            debug_assert_ne!(note.severity, Severity::Error, "a recipe holds nothing that cannot be said");
        }
        self.put(&text, printer)
    }

    /// To where it was asked for.
    pub(super) fn put(&self, text: &str, printer: &mut Printer) -> anyhow::Result<Exit> {
        put(self.out.as_deref(), text, printer)
    }
}

fn put(out: Option<&Path>, text: &str, printer: &mut Printer) -> anyhow::Result<Exit> {
    match out {
        None => printer.bytes(text.as_bytes())?,
        Some(path) => write_file(path, text)?,
    }
    Ok(Exit::Clean)
}

fn network_of(policy: PolicyArgs, printer: &mut Printer) -> anyhow::Result<Arc<Network>> {
    let flags = policy.into_overrides();
    let overrides = Overrides { topology_by: typed(flags.topology_by), ..flags };
    let Loaded { config, warnings, .. } = config::load(&overrides, DefaultFile::Read)?;
    warnings.iter().for_each(|warning| printer.warn(&warning.one_line()));
    let nothing = || UsageError("no topology: name a file with the environment, as in --ase vnet.toml".to_owned());
    Ok(config.network.ok_or_else(nothing)?)
}

/// clap does not tell by which of its two names a flag was given.
fn typed(by: TopologyBy) -> TopologyBy {
    let is_ase = |arg: OsString| arg.to_str().is_some_and(|arg| arg == "--ase" || arg.starts_with("--ase="));
    match by {
        TopologyBy::Flag if std::env::args_os().any(is_ase) => TopologyBy::Ase,
        by => by,
    }
}

fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
}

fn chosen<'t>(topology: &'t Topology, name: Option<&str>) -> Result<&'t AppServiceEnvironment, UsageError> {
    match (topology.environments.as_slice(), name) {
        ([], _) => Err(UsageError("no App Service Environment is in the topology".to_owned())),
        (all, Some(name)) => named(all, name),
        ([only], None) => Ok(only),
        (all, None) => {
            let names = names(all);
            Err(UsageError(format!("there are several environments ({names}): name one with --environment")))
        }
    }
}

/// The environment of this name, in any letter case.
pub(super) fn named<'t>(all: &'t [AppServiceEnvironment], name: &str) -> Result<&'t AppServiceEnvironment, UsageError> {
    all.iter().find(|it| it.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let near = nearest(name, all.iter().map(|it| it.name.as_str()));
        let hint = near.map_or_else(|| format!("there is {}", names(all)), |near| format!("did you mean `{near}`?"));
        UsageError(format!("no environment is called `{name}`; {hint}"))
    })
}

fn names(all: &[AppServiceEnvironment]) -> String {
    all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ")
}
