//! Decisions of the policy engine alone, in a process of their own.

use std::hint::black_box;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use super::callgrind::Counted;

#[allow(dead_code, clippy::unwrap_used, reason = "the subjects of bench/policy.rs, which uses more of them")]
#[path = "../../../subjects.rs"]
mod subjects;

use subjects::{Subject, built_in_flows, built_in_rules, ten_thousand_flows, ten_thousand_rules};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Policies {
    BuiltIn,
    TenThousandRules,
}

impl Policies {
    pub(super) fn name(self) -> &'static str {
        match self {
            Policies::BuiltIn => "decision-built-in",
            Policies::TenThousandRules => "decision-10000-rules",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Policies::BuiltIn => "built-in",
            Policies::TenThousandRules => "ten-thousand-rules",
        }
    }
}

pub(super) fn count(policies: Policies, operations: u64) -> Result<u64> {
    let counted = Counted::new(&std::env::current_exe().context("finding this program")?)?;
    let mut command = Command::new(counted.program());
    command.args(["decide", policies.word(), &operations.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().context("running valgrind (is it installed?)")?;
    ensure!(status.success(), "deciding under callgrind ended with {status}");
    counted.instructions()
}

/// What runs under callgrind: so many decisions, one flow after the other.
pub fn decide(policies: Policies, operations: u64) {
    let subject = match policies {
        Policies::BuiltIn => Subject::new(built_in_rules(), built_in_flows()),
        Policies::TenThousandRules => Subject::new(ten_thousand_rules(), ten_thousand_flows()),
    };
    let flows = subject.flows.iter().cycle();
    for (flow, _) in flows.zip(0..operations) {
        black_box(subject.policy.decide(&flow.query()));
    }
}
