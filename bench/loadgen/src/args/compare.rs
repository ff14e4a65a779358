//! What `egret-bench compare` takes, and what is compared when it is given less.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use super::seconds;
use crate::door::Door;
use crate::namespace;
use crate::proxies::{Subject, egret_binary};
use crate::suite::{Case, Suite};
use crate::workload::{Limit, Workload};

pub const HELP: &str = "\
Without arguments everything is measured, three rounds of one second each, which takes about 40
minutes with ten peers. What is on the PATH joins in; what is not is named. The direct
connection and a bare relay are always in the table. By `cargo run`, Egret is built first,
unless --egret says which one is measured. The report goes to standard output, progress to
standard error; JSON, report and charts are kept. Ctrl-C stops it and keeps what there is.

Examples:
  egret-bench compare                                everything
  egret-bench compare --quick                        a smoke: Egret, the relay and no proxy, once
  egret-bench compare --doors gateway --peers nginx  the gateway, of the peers nginx alone
  egret-bench compare --suite concurrency,policy     curves alone
  egret-bench compare --full --out bench/results/2026-11-22-compare
  egret-bench report bench/results/2026-11-22-compare.json --readme README.md

The exit code is 1 if a measurement failed or was interrupted.";

#[derive(Debug, Args)]
pub struct Compare {
    /// The egret binary [default: beside this program; by `cargo run`, built first from what is in the workspace]
    #[arg(long, value_name = "PATH")]
    pub egret: Option<PathBuf>,
    /// Who takes part beside Egret, the relay and the direct connection [default: whoever is installed]
    #[arg(long, value_delimiter = ',')]
    pub peers: Vec<Subject>,
    /// Which questions are asked [default: all; with --quick the doors]
    #[arg(long, value_delimiter = ',')]
    pub suite: Vec<Suite>,
    /// Leave out the other doors
    #[arg(long, value_delimiter = ',')]
    pub doors: Vec<Door>,
    /// Leave out the other workloads
    #[arg(long, value_delimiter = ',')]
    pub workloads: Vec<Workload>,
    /// A smoke of a minute or two: short, once, and without --peers beside the relay and the direct connection alone
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// Five rounds of two seconds each, about two hours: for figures to keep
    #[arg(long)]
    pub full: bool,
    /// How often everybody has its turn
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub rounds: Option<u8>,
    /// How long each measurement takes, seconds
    #[arg(long, value_parser = seconds)]
    pub seconds: Option<Duration>,
    /// Where it is kept: STEM.json, STEM.md and charts in the folder STEM; with a slash at its end the folder of all of
    /// it, by date [default: compare/ in the target folder]
    #[arg(long, value_name = "STEM")]
    pub out: Option<PathBuf>,
    /// Bound the machine's time-wait sockets while running (root); in a network namespace they are
    #[arg(long)]
    pub tune: bool,
}

impl Compare {
    pub fn egret(&self) -> Result<PathBuf> {
        let path = match &self.egret {
            Some(path) => path.clone(),
            None => own_egret(&std::env::current_exe().context("finding this program")?)?,
        };
        egret_binary(&path)
    }

    pub fn rounds(&self) -> usize {
        let usual = match (self.quick, self.full) {
            (true, _) => 1,
            (_, true) => 5,
            _ => 3,
        };
        self.rounds.map_or(usual, usize::from)
    }

    pub fn seconds(&self) -> Duration {
        let usual = match (self.quick, self.full) {
            (true, _) => 0.2,
            (_, true) => 2.0,
            _ => 1.0,
        };
        self.seconds.unwrap_or(Duration::from_secs_f64(usual))
    }

    fn suites(&self) -> &[Suite] {
        match &self.suite[..] {
            [] if self.quick => &[Suite::Doors],
            [] => Suite::value_variants(),
            named => named,
        }
    }

    /// Each once, whichever suites it is in.
    pub fn cases(&self) -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        for case in self.suites().iter().flat_map(|suite| suite.cases()) {
            let wanted = (self.doors.is_empty() || self.doors.contains(&case.door))
                && (self.workloads.is_empty() || self.workloads.contains(&case.workload));
            if wanted && !cases.contains(&case) {
                cases.push(case);
            }
        }
        cases
    }

    /// Whether a suite wants this of it, and it can do it.
    pub fn wants(&self, subject: &Subject, case: &Case) -> bool {
        let any = Limit::Count(1);
        let is_asked = |suite: &Suite| suite.wants(subject) && suite.cases().contains(case);
        self.suites().iter().any(is_asked) && subject.can(&case.plan(any, None))
    }

    pub fn out(&self) -> Result<PathBuf> {
        let date = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
        Ok(match &self.out {
            // Who names the file has its stem in mind.
            Some(stem) if stem.extension().is_some_and(|ending| ending == "json") => stem.with_extension(""),
            Some(stem) if is_folder(stem) => stem.join(date),
            Some(stem) => stem.clone(),
            None => target_folder(&std::env::current_exe()?).join("compare").join(date),
        })
    }
}

/// By how it is written: a stem is a name.
fn is_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.file_name().is_none()
}

/// The one beside this program, or that of the workspace as it is now where cargo runs this.
fn own_egret(program: &Path) -> Result<PathBuf> {
    let (Some(cargo), Some(target)) = (std::env::var_os("CARGO"), cargo_target(program)) else {
        return Ok(program.with_file_name("egret"));
    };
    // Anew in the namespace, this program has built it already.
    if !namespace::is_entered() {
        build_egret(&cargo, target)?;
    }
    Ok(target.join("release/egret"))
}

/// By the same cargo, and to where that has put this program, whichever way it was told.
fn build_egret(cargo: &OsStr, target: &Path) -> Result<()> {
    let mut command = std::process::Command::new(cargo);
    command.args(["build", "--release", "--package", "egret", "--target-dir"]).arg(target);
    if let Some(workspace) = std::env::var_os("CARGO_MANIFEST_DIR") {
        command.current_dir(workspace);
    }
    let status = command.stdout(Stdio::null()).status().context("running cargo")?;
    ensure!(status.success(), "building egret ended with {status}: --egret PATH measures another one");
    Ok(())
}

/// Where cargo has put this program, or the present folder.
fn target_folder(program: &Path) -> PathBuf {
    cargo_target(program).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn cargo_target(program: &Path) -> Option<&Path> {
    let profile = program.parent().filter(|folder| folder.ends_with("release") || folder.ends_with("debug"));
    profile.and_then(Path::parent)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn compare(line: &str) -> Compare {
        let cli = Cli::try_parse_from(["egret-bench", "compare"].into_iter().chain(line.split_whitespace())).unwrap();
        let Command::Compare(compare) = cli.command else { panic!("{line}") };
        compare
    }

    #[test]
    fn suites_share_their_cases() {
        let all = compare("").cases();
        let each: usize = Suite::value_variants().iter().map(|suite| suite.cases().len()).sum();
        assert!(all.len() < each, "{} of {each}", all.len());
        assert!(all.iter().enumerate().all(|(at, case)| !all[..at].contains(case)));
        assert!(compare("--quick").cases().iter().all(Case::is_usual));
        assert_eq!(compare("--suite policy").cases(), Suite::Policy.cases());
    }

    #[test]
    fn doors_and_workloads_are_left_out() {
        let cases = compare("--doors gateway --workloads tunnel,bulk --suite doors").cases();
        assert!(cases.iter().all(|case| case.door == Door::Gateway), "{cases:?}");
        assert_eq!(cases.len(), 3, "{cases:?}");
    }

    #[test]
    fn how_long_it_takes() {
        let shape = |line: &str| (compare(line).rounds(), compare(line).seconds().as_secs_f64());
        assert_eq!([shape(""), shape("--quick"), shape("--full")], [(3, 1.0), (1, 0.2), (5, 2.0)]);
        assert_eq!(shape("--full --rounds 2 --seconds 0.5"), (2, 0.5));
    }

    #[test]
    fn a_missing_egret_is_told_with_its_mend() {
        let error = compare("--egret /nowhere/egret").egret().unwrap_err().to_string();
        assert!(error.contains("/nowhere/egret") && error.contains("cargo build --release"), "{error}");
    }

    #[test]
    fn the_file_names_its_stem() {
        let out = |line: &str| compare(line).out().unwrap();
        assert_eq!(out("--out runs/today"), Path::new("runs/today"));
        assert_eq!(out("--out runs/today.json"), Path::new("runs/today"));
        assert_eq!(out("--out runs/v1.2"), Path::new("runs/v1.2"));
        for (folder, parent) in [("runs/", "runs"), (".", "."), ("../", ".."), ("/", "/")] {
            let stem = out(&format!("--out {folder}"));
            assert_eq!(stem.parent(), Some(Path::new(parent)));
            assert!(stem.file_name().unwrap().to_str().unwrap().starts_with("20"), "{}", stem.display());
        }
    }

    #[test]
    fn it_is_kept_where_cargo_builds() {
        assert_eq!(target_folder(Path::new("/src/target/release/egret-bench")), Path::new("/src/target"));
        assert_eq!(target_folder(Path::new("/usr/bin/egret-bench")), Path::new("."));
    }
}
