//! `egret convert`: a policy out of any format that is read into any that is written.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::FalseyValueParser;
use clap::{ValueEnum, ValueHint};

use super::args::{PolicyArgs, one};
use super::output::Printer;
use super::{Exit, UsageError};
use crate::azure::export::{Exported, Format, Options, Widen, export};
use crate::azure::note::{Note, Severity};
use crate::config::{self, DefaultFile, Loaded, Overrides, Texts, Written, WrittenFile};
use crate::policy::RuleSet;

const EXAMPLES: &str = "\
Examples:
  egret convert --to arm-template ase                the built-in policy, to deploy
  egret convert --to toml policy.json > egret.toml   a policy of Azure's, to read and change
  egret convert --to terraform parent.toml child.toml --output firewall.tf
  egret convert --to toml --output lab/ ase --allow '*.contoso.com'   a file a policy

A rule that a format has no words for is left out and the exit code is 3: flows may be decided otherwise. A setting that
decides nothing is left out with a warning. See docs/convert.md.";

/// Write a policy in another format
///
/// The policy decides the same in every format; what cannot be said in one is told, with what can.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Policies: files or built-in names, as for --policy; without any, what --policy and egret.toml say
    #[arg(value_name = "FILE|NAME", value_hint = ValueHint::FilePath)]
    files: Vec<String>,
    /// What to write
    #[arg(long, env = "EGRET_TO", value_enum)]
    to: To,
    /// Where to; a folder for several files of TOML; standard output where not given
    #[arg(long, env = "EGRET_OUTPUT", value_name = "FILE|FOLDER", value_hint = ValueHint::AnyPath)]
    output: Option<PathBuf>,
    /// The policy's name in Azure [default: its own]
    #[arg(long, env = "EGRET_NAME", value_name = "NAME")]
    name: Option<String>,
    /// Azure region [default: the policy's, else the resource group's]
    #[arg(long, env = "EGRET_LOCATION", value_name = "REGION")]
    location: Option<String>,
    /// Write the nearest wider pattern where Azure has none for a name, instead of nothing
    #[arg(long, env = "EGRET_WIDEN", value_parser = FalseyValueParser::new())]
    widen: bool,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// A format that policies are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum To {
    /// egret.toml
    Toml,
    /// A list of resources, as the REST API has them
    Arm,
    /// A template to deploy
    ArmTemplate,
    Bicep,
    /// HCL for the provider azurerm
    Terraform,
    /// A bash script of az commands
    AzCli,
    /// Flattened, as az prints with -o json
    Json,
}

impl To {
    /// What files of this name hold.
    pub(super) fn of_path(path: &Path) -> Option<To> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "toml" => Some(To::Toml),
            "json" => Some(To::ArmTemplate),
            "bicep" => Some(To::Bicep),
            "tf" => Some(To::Terraform),
            "sh" => Some(To::AzCli),
            _ => None,
        }
    }

    /// None for Egret's own.
    pub(super) fn azure(self) -> Option<Format> {
        match self {
            To::Toml => None,
            To::Arm => Some(Format::Arm),
            To::ArmTemplate => Some(Format::ArmTemplate),
            To::Bicep => Some(Format::Bicep),
            To::Terraform => Some(Format::Terraform),
            To::AzCli => Some(Format::AzCli),
            To::Json => Some(Format::Json),
        }
    }
}

pub(super) fn run(args: Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Args { files, to, output, name, location, widen, policy } = args;
    let mut overrides = policy.into_overrides();
    // Files that are named stand for themselves, wherever this is run.
    let default_file = if files.is_empty() { DefaultFile::Read } else { DefaultFile::Ignored };
    overrides.policy.extend(files);
    let Loaded { config, warnings, texts, .. } = load(&overrides, default_file)?;
    warnings.iter().for_each(|warning| printer.warn(&warning.one_line()));
    let options = Options {
        name: one(name),
        location: one(location),
        widen: if widen { Widen::Nearest } else { Widen::Never },
        remark: None,
    };
    let output = output.filter(|path| !path.as_os_str().is_empty());
    let notes = write(&config.rules, to, &options, output.as_deref(), printer)?;
    notes.iter().for_each(|note| tell(note, &texts, printer));
    let lossy = notes.iter().any(|note| note.severity == Severity::Error);
    Ok(if lossy { Exit::Lossy } else { Exit::Clean })
}

fn load(overrides: &Overrides, default_file: DefaultFile) -> anyhow::Result<Loaded> {
    Ok(config::load(overrides, default_file)?)
}

fn write(
    rules: &RuleSet,
    to: To,
    options: &Options,
    output: Option<&Path>,
    printer: &mut Printer,
) -> anyhow::Result<Vec<Note>> {
    let Some(format) = to.azure() else {
        let Written { files, notes } = config::to_toml(rules);
        write_files(&files, output, printer)?;
        return Ok(notes);
    };
    let Exported { text, notes } = export(rules, format, options);
    write_text(&text, output, printer)?;
    Ok(notes)
}

/// One file wherever it is to go; several into a folder.
fn write_files(files: &[WrittenFile], output: Option<&Path>, printer: &mut Printer) -> anyhow::Result<()> {
    let folder = output.filter(|path| path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/'));
    match (files, folder) {
        (_, Some(folder)) => {
            fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
            for file in files {
                write_text(&file.text, Some(&folder.join(&file.name)), printer)?;
            }
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            printer.tell(&format!("written: {}; the last one is the policy to use", names.join(", ")));
            Ok(())
        }
        ([file], None) => write_text(&file.text, output, printer),
        (files, None) => {
            let what = format!("{} policies become a file each: name a folder, as in --output lab/", files.len());
            Err(UsageError(what).into())
        }
    }
}

fn write_text(text: &str, output: Option<&Path>, printer: &mut Printer) -> anyhow::Result<()> {
    match output {
        None => Ok(printer.bytes(text.as_bytes())?),
        Some(path) => fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display())),
    }
}

fn tell(note: &Note, texts: &Texts, printer: &mut Printer) {
    let Note { severity, at, what, mend, check: _ } = note;
    let place = texts.position(*at).map(|(file, line, column)| format!("{file}:{line}:{column}: "));
    let mend = mend.as_ref().map(|mend| format!("; {mend}")).unwrap_or_default();
    let line = format!("{}{what}{mend}", place.unwrap_or_default());
    match severity {
        Severity::Error => printer.error(&line),
        Severity::Warning | Severity::Doubt => printer.warn(&line),
        Severity::Info => printer.tell(&format!("note: {line}")),
    }
}
