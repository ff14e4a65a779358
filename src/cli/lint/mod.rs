//! `egret lint`: what is wrong with a policy, for people and for programs.

mod also;
mod catalogue;
mod diff;
mod github;
mod json;
mod report;
mod sarif;
mod text;

use std::path::{Path, PathBuf};

use clap::{ValueEnum, ValueHint};

use super::args::{PolicyArgs, given};
use super::output::Printer;
use super::{Exit, UsageError};
use crate::config::{self, DefaultFile, Overrides, SourceOrigin, Survey};
use crate::flow::nearest;
use crate::lint::{self, Check, Severity};

use report::Report;

const EXAMPLES: &str = "\
Examples:
  egret lint policy.json                          a policy as the portal, az or a template has it
  egret lint policy.json ip-groups.json           files that are one whole
  egret lint --severity warning egret.toml        warnings fail too
  egret lint --format sarif policy.json > lint.sarif
  egret lint --diff old.json new.json             which flows change their verdict?
  egret lint --about broad-network-rule           why is that wrong, and who says so?

Exits with 3 when there is a finding of --severity or worse, or with --diff a flow changes its
verdict; with 2 when nothing could be read. docs/lint.md has a section for every check.";

/// Say what is wrong with a policy, where, why, and how to mend it
///
/// Looks at each rule and at the whole order of evaluation. Nothing is sent and no name is resolved.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Policies that are one whole, each a file or a built-in name; egret.toml of this folder where none is given
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<String>,
    /// The least bad finding that makes it exit with 3
    #[arg(long, env = "EGRET_SEVERITY", value_enum, default_value = "error")]
    severity: Threshold,
    /// A check to leave out; more than once for several
    #[arg(long, env = "EGRET_IGNORE", value_name = "CHECK", value_delimiter = ';')]
    ignore: Vec<String>,
    /// How to answer
    #[arg(long, env = "EGRET_FORMAT", value_enum, default_value = "text")]
    format: Format,
    /// Name every check, and look at nothing
    #[arg(long, env = "EGRET_LIST", value_parser = clap::builder::FalseyValueParser::new())]
    list: bool,
    /// Explain a check, and look at nothing
    #[arg(long, env = "EGRET_ABOUT", value_name = "CHECK")]
    about: Option<String>,
    /// Compare two policies: which flows change their verdict?
    #[arg(long, env = "EGRET_DIFF", num_args = 2, value_names = ["OLD", "NEW"], value_delimiter = ';')]
    #[arg(value_hint = ValueHint::FilePath, conflicts_with = "files")]
    diff: Vec<String>,
    /// With --diff: flows too that another rule decides alike
    #[arg(long, env = "EGRET_ALL", requires = "diff", value_parser = clap::builder::FalseyValueParser::new())]
    all: bool,
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
    /// Annotations of GitHub Actions
    Github,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Threshold {
    /// What Azure refuses, and what nobody can have meant
    Error,
    /// What does other than it seems to, too
    Warning,
    /// Everything
    Note,
}

impl From<Threshold> for Severity {
    fn from(threshold: Threshold) -> Severity {
        match threshold {
            Threshold::Error => Severity::Error,
            Threshold::Warning => Severity::Warning,
            Threshold::Note => Severity::Note,
        }
    }
}

pub(super) fn run(args: Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Args { files, severity, ignore, format, list, about, diff, all, policy } = args;
    if let Some(id) = about {
        catalogue::explain(known(&id)?, format, printer)?;
        return Ok(Exit::Clean);
    }
    if list {
        catalogue::list(format, printer)?;
        return Ok(Exit::Clean);
    }
    if let [old, new] = given(diff).as_slice() {
        let (old, new, flags) = (old.clone(), new.clone(), policy.into_overrides());
        let shown = if all { diff::Shown::Rules } else { diff::Shown::Verdicts };
        return diff::run(diff::Diff { old, new, flags, shown, format }, printer);
    }
    let ignored = given(ignore).iter().map(|id| known(id)).collect::<Result<Vec<_>, _>>()?;
    let survey = survey(given(files), policy)?;
    let report = Report::new(survey, &ignored);
    match format {
        Format::Text => text::print(&report, printer)?,
        Format::Json => printer.json(&json::whole(&report))?,
        Format::Sarif => printer.json(&sarif::log(&report))?,
        Format::Github => github::print(&report, printer)?,
    }
    Ok(exit(&report, severity.into()))
}

fn exit(report: &Report, threshold: Severity) -> Exit {
    if report.is_blank() {
        return Exit::Usage;
    }
    let bad = report.items.iter().any(|item| item.severity >= threshold);
    if bad { Exit::Denied } else { Exit::Clean }
}

/// A configuration alone is read as one: `proxy` and `log` in it are no mistake.
fn overrides_of(files: &[String], flags: Overrides) -> Overrides {
    match files {
        [file] if is_toml(file) && flags.config.is_none() && flags.policy.is_empty() => {
            Overrides { config: Some(PathBuf::from(file)), ..flags }
        }
        _ => Overrides { policy: [flags.policy.as_slice(), files].concat(), ..flags },
    }
}

fn survey(files: Vec<String>, policy: PolicyArgs) -> Result<Survey, UsageError> {
    let flags = policy.into_overrides();
    let is_silent = files.is_empty() && flags.policy.is_empty();
    let default_file = if is_silent { DefaultFile::Read } else { DefaultFile::Ignored };
    let overrides = overrides_of(&files, flags);
    let survey = config::survey(&overrides, default_file);
    let nothing_named = survey.sources.iter().any(|source| source.origin == SourceOrigin::Default);
    if nothing_named {
        return Err(UsageError("no policy: name a file, as in `egret lint policy.json`".to_owned()));
    }
    Ok(survey)
}

fn is_toml(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

fn known(id: &str) -> Result<&'static Check, UsageError> {
    let unknown = || {
        let near = nearest(id, lint::checks().map(|check| check.id));
        let hint = near.map(|near| format!("; did you mean `{near}`?"));
        let hint = hint.unwrap_or_else(|| "; `egret lint --list` names them".to_owned());
        UsageError(format!("`{id}` is no check{hint}"))
    };
    lint::check(id).ok_or_else(unknown)
}
