//! What a flow and a decision cost in instructions, which no noisy neighbour changes: counted by valgrind's callgrind,
//! and held to bounds that are kept in a file.
//!
//! Everything is counted twice, for N operations and for 2 N: the difference is N operations without start and end.
//! System calls count as nothing, so it is user space that is guarded; a new system call is for `compare` to see.

mod bounds;
mod callgrind;
mod decisions;
mod flows;

use std::path::Path;

use anyhow::{Result, ensure};

use crate::args::Instructions;
use crate::output;
use bounds::{Bounds, Judgement};

pub use decisions::{Policies, decide};

/// One kind of operation that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Flow(flows::Flow),
    Decision(Policies),
}

impl Subject {
    fn all() -> impl Iterator<Item = Subject> {
        let flows = flows::ALL.into_iter().map(Subject::Flow);
        flows.chain([Policies::BuiltIn, Policies::TenThousandRules].map(Subject::Decision))
    }

    fn name(self) -> &'static str {
        match self {
            Subject::Flow(flow) => flow.name(),
            Subject::Decision(policies) => policies.name(),
        }
    }

    /// How many are counted: enough that timers and flushes do not show.
    fn operations(self) -> u64 {
        match self {
            Subject::Flow(_) => 400,
            Subject::Decision(_) => 20_000,
        }
    }

    async fn count(self, egret: &Path, operations: u64) -> Result<u64> {
        match self {
            Subject::Flow(flow) => flow.count(egret, operations).await,
            Subject::Decision(policies) => decisions::count(policies, operations),
        }
    }

    /// Instructions of one operation.
    async fn cost(self, egret: &Path) -> Result<u64> {
        let operations = self.operations();
        let once = self.count(egret, operations).await?;
        let twice = self.count(egret, 2 * operations).await?;
        Ok(twice.saturating_sub(once) / operations)
    }
}

/// What `--only` takes.
pub fn names() -> impl Iterator<Item = &'static str> {
    Subject::all().map(Subject::name)
}

fn wanted(args: &Instructions) -> Vec<Subject> {
    let only = |subject: &Subject| args.only.is_empty() || args.only.iter().any(|name| name == subject.name());
    Subject::all().filter(only).collect()
}

/// Whether Egret runs for any of it.
pub fn has_flows(args: &Instructions) -> bool {
    wanted(args).iter().any(|subject| matches!(subject, Subject::Flow(_)))
}

/// Counts everything, prints it beside its bound, and fails where one is passed or there is none.
pub async fn run(args: Instructions) -> Result<()> {
    let subjects = wanted(&args);
    let Instructions { egret, bounds: path, only: _, write } = args;
    let mut bounds = if write && !path.exists() { Bounds::none() } else { Bounds::read(&path)? };
    let (mut passed, mut unknown) = (Vec::new(), Vec::new());
    output::print(format_args!("{:<24}{:>14}{:>14}\n", "instructions", "counted", "recorded"))?;
    for subject in subjects {
        let (name, cost) = (subject.name(), subject.cost(&egret).await?);
        let recorded = bounds.of(name);
        let (recorded, judgement) = (recorded.map_or("–".into(), |it| it.to_string()), bounds.judge(name, cost));
        output::print(format_args!("{name:<24}{cost:>14}{recorded:>14}  {judgement}\n"))?;
        match judgement {
            _ if write => bounds.record(name, cost),
            Judgement::Dearer => passed.push(name),
            Judgement::Unknown => unknown.push(name),
            Judgement::AsRecorded | Judgement::Cheaper => {}
        }
    }
    if write {
        bounds.write(&path)?;
    }
    ensure!(
        unknown.is_empty(),
        "not recorded in {}: {}\n  = mend: --write records them",
        path.display(),
        unknown.join(", ")
    );
    ensure!(
        passed.is_empty(),
        "dearer than recorded in {}: {}\n  = mend: callgrind_annotate shows where; --write records what is meant",
        path.display(),
        passed.join(", ")
    );
    Ok(())
}
