//! `--fix`: what mends the findings, as a template and as commands, and the network as it is then.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::report::Report;
use crate::azure::export::Exported;
use crate::azure::export::network::{self, Script, Site};
use crate::azure::note::Severity as Grave;
use crate::cli::UsageError;
use crate::cli::output::Printer;
use crate::config::{self, Written, WrittenFile};
use crate::doctor::{self, Finding, Mended, Rule, Severity};
use crate::policy::RuleSet;

/// What becomes of files that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Keep,
    Overwrite,
}

const REMARK: &str = "What mends the findings of egret doctor.";

/// Writes `fix.json`, `fix.sh`, `vnet.toml` and the policies into a folder. The worst that is found in the mended
/// network.
pub(super) fn write(
    report: &Report,
    folder: &Path,
    existing: Existing,
    ignored: &[&'static Rule],
    printer: &mut Printer,
) -> anyhow::Result<Option<Severity>> {
    let environments: Vec<String> = report.environments.iter().map(|it| it.environment.name.clone()).collect();
    let mended = doctor::mend(&report.network, &report.rules, report.switches, &environments, ignored);
    let files = files(report, &mended, printer);
    refuse(folder, &files, existing)?;
    for WrittenFile { name, text } in &files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot make the folder `{}`", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    tell(&mended, folder, &files, printer);
    Ok(left(&mended).map(|(_, finding)| finding.severity).max())
}

/// With names inside the folder.
fn files(report: &Report, mended: &Mended, printer: &mut Printer) -> Vec<WrittenFile> {
    let site = Site { topology: report.network.topology(), rules: &report.rules };
    let mut files = Vec::new();
    for (name, script) in [("fix.json", Script::Arm), ("fix.sh", Script::AzCli)] {
        let Exported { text, notes } = network::write(&mended.changes, script, &site, Some(REMARK));
        for note in notes {
            let mend = note.mend.map(|mend| format!("; {mend}")).unwrap_or_default();
            printer.warn(&format!("{name}: {}{mend}", note.what));
        }
        files.push(WrittenFile { name: name.to_owned(), text });
    }
    // Service endpoints are the subnet's here; those of a built-in policy say nothing more.
    let rules = RuleSet { service_endpoints: Vec::new(), ..mended.rules.clone() };
    let Written { files: policies, notes } = config::to_toml(&rules);
    for note in notes.iter().filter(|note| note.severity == Grave::Error) {
        printer.warn(&format!("the mended policy: {}", note.what));
    }
    let policies = policies.into_iter().map(|file| WrittenFile { name: format!("policy/{}", file.name), ..file });
    let policies: Vec<WrittenFile> = policies.collect();
    let last: Vec<String> = policies.last().map(|file| file.name.clone()).into_iter().collect();
    files.push(WrittenFile { name: "vnet.toml".to_owned(), text: config::to_vnet_toml(&mended.topology, &last) });
    files.extend(policies);
    files
}

fn refuse(folder: &Path, files: &[WrittenFile], existing: Existing) -> Result<(), UsageError> {
    let there = files.iter().map(|file| folder.join(&file.name)).find(|path| path.exists());
    match (there, existing) {
        (Some(path), Existing::Keep) => {
            Err(UsageError(format!("`{}` is there: name another folder, or overwrite with --force", path.display())))
        }
        _ => Ok(()),
    }
}

/// What is found after all, each with its environment.
fn left(mended: &Mended) -> impl Iterator<Item = (&String, &Finding)> {
    mended.left.iter().flat_map(|(name, diagnosis)| diagnosis.findings().into_iter().map(move |it| (name, it)))
}

fn tell(mended: &Mended, folder: &Path, files: &[WrittenFile], printer: &mut Printer) {
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    printer.tell(&format!(
        "mended: {} by {}; written to {}: {}",
        counted(mended.findings, "finding"),
        counted(mended.changes.len(), "change"),
        folder.display(),
        names.join(", "),
    ));
    for (name, finding) in left(mended) {
        let Finding { rule, subject, what, by_hand, .. } = finding;
        let how = by_hand.as_ref().map(|how| format!("; by hand: {how}")).unwrap_or_default();
        printer.tell(&format!("not mended: {name}: {} {subject}: {what}{how}", rule.id));
    }
    let policy = match (mended.topology.firewalls.is_empty(), names.last()) {
        (true, Some(last)) => format!("--policy {} ", folder.join(last).display()),
        _ => String::new(),
    };
    let vnet = folder.join("vnet.toml");
    printer.tell(&format!(
        "then: {}; ask again with egret doctor {policy}{}",
        mended.health().as_str(),
        vnet.display()
    ));
}
